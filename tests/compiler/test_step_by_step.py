"""`forward` and `backward` of a layer, as in the lessons, within compiled steps and between them."""

import numpy as np
import pytest

import xpnet
from xpnet import Layer, functions as F
from xpnet.compiler import compile
from xpnet.errors import GradientError
from xpnet.testing import assert_close

CALLS = 6


def data(backend):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((4, 5)).astype("float32")
    t = rng.standard_normal((4, 3)).astype("float32")
    return backend.asarray(x), backend.asarray(t)


def by_the_tape():
    """A model, and a step by the tape."""
    model = xpnet.MLP(5, [4], 3, activation="tanh", rng=0)
    optimizer = xpnet.Momentum(model.parameters(), lr=0.05)

    def step(x, t):
        loss = F.mean_squared_error(model(x), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return model, step


def by_the_lessons():
    """A model, and a step that calls its `forward` and `backward`."""
    model = xpnet.MLP(5, [4], 3, activation="tanh", rng=0)
    optimizer = xpnet.Momentum(model.parameters(), lr=0.05)

    def step(x, t):
        y = model.forward(x)
        dx = model.backward((y - t) / 6.0)
        optimizer.step()
        return y, dx

    return model, step


def parameters(model):
    return [xpnet.to_numpy(p).copy() for p in model.parameters()]


def calls(make, x, t, between=lambda model, x: None, compiled=True):
    """What `between` returns after each call of a step, the parameters, and the step."""
    model, step = make()
    step = compile(step) if compiled else step
    seen = []
    for _ in range(CALLS):
        step(x, t)
        seen.append(between(model, x))
    return seen, parameters(model), step


def assert_equal_to_eager(backend, make, between):
    """Returns the compiled step."""
    x, t = data(backend)
    seen, weights, step = calls(make, x, t, between)
    expected, others, _ = calls(make, x, t, between, compiled=False)
    for a, b in zip([*seen, *weights], [*expected, *others], strict=True):
        assert_close(a, xpnet.to_numpy(b), rtol=1e-5, atol=1e-6)
    return step


def forward_only(model, x):
    return xpnet.to_numpy(model.forward(x)).copy()


def there_and_back(model, x):
    y = model.forward(x)
    return xpnet.to_numpy(model.backward(F.ones_like(y))).copy()


@pytest.mark.parametrize("make", [by_the_tape, by_the_lessons])
@pytest.mark.parametrize("between", [forward_only, there_and_back])
def test_between_compiled_calls(backend, make, between):
    """What the layer remembers in between is no part of the step."""
    step = assert_equal_to_eager(backend, make, between)
    assert step.reason is None
    assert step.replays


def test_forward_between_calls_makes_no_new_plan(backend):
    x, t = data(backend)
    model, step = by_the_tape()
    step = compile(step)
    model.forward(x)
    for _ in range(4):
        step(x, t)
    assert len(step.replays) == 1
    for _ in range(3):
        model.forward(x)
        step(x, t)
    assert len(step.replays) == 1


@pytest.mark.parametrize("make", [by_the_tape, by_the_lessons])
def test_backward_after_a_step_that_changed_the_weights_is_an_error(backend, make):
    """As in eager code: its tape has weights that are no longer there."""
    x, t = data(backend)
    model, step = make()
    step = compile(step)
    for _ in range(CALLS):
        y = model.forward(x)
        step(x, t)
        with pytest.raises(GradientError, match="call MLP.forward|changed it since"):
            model.backward(F.ones_like(y))


def test_backward_after_a_step_that_only_reads(backend):
    """The tape is as it was, and so are the weights: gradients are right."""
    x, t = data(backend)
    model, _ = by_the_tape()
    loss = compile(lambda x, t: F.mean_squared_error(model(x), t))
    expected = there_and_back(model, x)
    for _ in range(CALLS):
        y = model.forward(x)
        loss(2.0 * x, t)
        assert_close(model.backward(F.ones_like(y)), expected)
    assert loss.replays


def test_a_step_forgets_what_was_remembered_before_it(backend):
    """The last forward is that of the step, whether it is recorded or replayed."""
    x, _ = data(backend)
    model, _ = by_the_tape()
    features = compile(model.forward)
    for _ in range(CALLS):
        y = model.forward(x)
        features(2.0 * x)
        with pytest.raises(GradientError, match="call MLP.forward"):
            model.backward(F.ones_like(y))
    assert features.replays


def test_a_step_whose_forward_was_outside_is_an_error(backend):
    """A replay would not notice that there is another forward."""
    x, _ = data(backend)
    model, _ = by_the_tape()
    gradient = compile(lambda dy: model.backward(dy))
    y = model.forward(x)
    with pytest.raises(GradientError, match="before this compiled step"):
        gradient(F.ones_like(y))
    assert_close(model.backward(F.ones_like(y)), there_and_back(model, x))


def test_with_fallback_it_runs_as_it_is(backend):
    x, _ = data(backend)
    model, _ = by_the_tape()
    gradient = compile(lambda dy: model.backward(dy), fallback=True)
    for factor in (1.0, 2.0, 3.0):
        expected = there_and_back(model, factor * x)
        y = model.forward(factor * x)
        assert_close(gradient(F.ones_like(y)), expected)
    assert "before this compiled step" in gradient.reason


def test_with_fallback_forward_is_called_once_as_it_is(backend):
    """What was forgotten in the recording that failed is remembered by the call itself."""
    x, _ = data(backend)
    model, _ = by_the_tape()

    def function(x):
        y = model.forward(x)
        if float(F.sum(y)) > -1e9:  # reads a value: it cannot be compiled
            return model.backward(F.ones_like(y))
        return y

    step = compile(function, fallback=True)
    assert_close(step(x), there_and_back(model, x))
    assert step.reason is not None


class Shared(Layer):
    """Two layers, which the step calls one after the other, as the lessons do."""

    def __init__(self):
        self.first = xpnet.Affine(5, 4, rng=0)
        self.second = xpnet.Affine(4, 3, rng=1)

    def forward(self, x):
        return self.second(self.first(x))


def test_layers_one_by_one(backend):
    """Each layer of the step has a tape of its own."""

    def make():
        model = Shared()
        optimizer = xpnet.SGD(model.parameters(), lr=0.05)

        def step(x, t):
            y = model.second.forward(F.tanh(model.first.forward(x)))
            model.first.backward(model.second.backward(y - t))
            optimizer.step()
            return y

        return model, step

    step = assert_equal_to_eager(backend, make, there_and_back)
    assert step.replays


def test_a_recording_keeps_no_tape(backend):
    """What a layer remembers within the step is gone when the call has returned."""
    x, _ = data(backend)
    model, _ = by_the_tape()
    features = compile(model.forward)
    for _ in range(4):
        features(x)
    assert features.replays
    assert not features.replays[0].recording.recorder.steps
    assert vars(model).keys() == {"layers"}
