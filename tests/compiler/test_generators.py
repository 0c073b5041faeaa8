"""Draws outside of actions: a step with them is not compiled, and draws once a call."""

import random
from random import random as drawn
from types import SimpleNamespace

import numpy as np
import pytest

import xpnet
from xpnet import functions as F, layers
from xpnet._each_step import each_step
from xpnet.compiler import compile
from xpnet.compiler.compiled import Compiled
from xpnet.compiler.generators import Draws, generator_of
from xpnet.errors import CompileError
from xpnet.training import Trainer

X = np.ones(4)


@pytest.fixture(autouse=True)
def _on_numpy(monkeypatch):
    monkeypatch.setenv("XPNET_EXECUTOR", "numpy")
    with xpnet.using("numpy", dtype="float64"):
        yield


def holder_of(rng):
    return SimpleNamespace(rng=rng)


def of_generator():
    own = holder_of(np.random.default_rng(0))
    return lambda: own.rng.random()


def of_bit_generator():
    own = holder_of(np.random.PCG64(0))
    return lambda: own.rng.random_raw() / 2.0**64


def of_random_state():
    own = [np.random.RandomState(0)]
    return lambda: own[0].random_sample()


def of_python():
    own = {"rng": random.Random(0)}
    return lambda: own["rng"].random()


def of_a_method():
    draw = random.Random(0).random
    return lambda: draw()


def of_a_method_of_numpy():
    draw = np.random.default_rng(0).random
    return lambda: draw()


def of_numpy_itself():
    np.random.seed(0)  # noqa: NPY002 - what users may do
    return lambda: np.random.random()  # noqa: NPY002


def of_python_itself():
    random.seed(0)
    return lambda: random.random()


def of_a_function_of_python():
    random.seed(0)
    return lambda: drawn()


def of_xpnet():
    xpnet.manual_seed(0)
    return lambda: xpnet.random.default_rng().random()


SOURCES = {
    of_generator: "own.rng",
    of_bit_generator: "own.rng",
    of_random_state: "own.0",
    of_python: "own.rng",
    of_a_method: "draw",
    of_a_method_of_numpy: "draw.self",
    of_numpy_itself: "np.random",
    of_python_itself: "random",
    of_a_function_of_python: "drawn",
    of_xpnet: "xpnet.random",
}


def called(step, times):
    """The results of several calls."""
    return [step(X) for _ in range(times)]


def halving(draw):
    """A step that decides by a draw what it computes: three draws of these streams agree at first."""

    def step(x):
        if draw() < 0.999:
            return F.exp(x) * 0.5
        return x

    return step


def adding(draw):
    """A step that computes with a draw."""

    def step(x):
        return x + draw()

    return step


@pytest.mark.parametrize("make", SOURCES)
def test_a_step_that_decides_by_a_draw_is_refused_by_name(make):
    step = compile(halving(make()))
    with pytest.raises(CompileError, match=rf"random numbers from (draw\.)?{SOURCES[make]}: "):
        called(step, 5)


@pytest.mark.parametrize("rehearse", [False, True])
@pytest.mark.parametrize("kind", [halving, adding])
@pytest.mark.parametrize("make", SOURCES)
def test_a_step_draws_once_a_call(make, kind, rehearse):
    step = kind(make())
    expected = called(step, 6)
    step = Compiled(kind(make()), fallback=True, rehearse=rehearse)
    found = called(step, 6)
    np.testing.assert_array_equal(found, expected)
    assert "draws random numbers" in step.reason


def test_a_generator_among_the_arguments():
    step = compile(lambda x, rng: x * 0.5 if rng.random() < 0.999 else x)
    rng = np.random.default_rng(0)
    with pytest.raises(CompileError, match="draws random numbers from an argument"):
        called(lambda x: step(x, rng), 5)


def test_draws_of_actions_are_replayed():
    """Also those of a generator that the step can reach, and of Python's and NumPy's own."""
    own = holder_of(np.random.default_rng(0))

    def draw():
        return own.rng.normal() + random.random() + np.random.random()  # noqa: NPY002

    def seeded():
        own.rng = np.random.default_rng(0)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002

    seeded()
    expected = [X + draw() for _ in range(6)]
    seeded()
    step = compile(lambda x: x + each_step(draw))
    np.testing.assert_array_equal(called(step, 6), expected)
    assert step.replays


def test_a_draw_between_two_actions_is_refused():
    rng = np.random.default_rng(0)

    def step(x):
        a = each_step(lambda: rng.random())
        b = rng.random()
        c = each_step(lambda: rng.random())
        return x * a * c if b < 0.999 else x

    step = compile(step)
    with pytest.raises(CompileError, match="draws random numbers from rng: "):
        called(step, 5)


def test_a_step_that_draws_in_its_first_call_only():
    """It may create something: later calls are compiled."""
    rng = np.random.default_rng(0)
    own = SimpleNamespace(noise=None)

    def step(x):
        if own.noise is None:
            own.noise = rng.normal(size=4)
        return x + own.noise

    step = compile(step)
    results = called(step, 8)
    np.testing.assert_array_equal(results, [results[0]] * 8)
    assert step.replays


class Shaken(layers.Layer):
    """A layer that decides by a draw."""

    def __init__(self, rng):
        self.rng = rng

    def forward(self, x):
        return x * 0.5 if self.rng.random() < 0.5 else x


def test_a_training_with_a_layer_that_draws():
    """It runs as without an attempt to compile it, and the reason names the generator."""

    def trained(compile):
        shaken = Shaken(np.random.default_rng(3))
        model = layers.Sequential(layers.Affine(5, 6, rng=0), shaken, layers.Affine(6, 3, rng=1))
        optimizer = xpnet.Adam(model.parameters())
        trainer = Trainer(model, F.softmax_cross_entropy, optimizer, rng=2, compile=compile)
        t = np.arange(90) % 3
        trainer.fit((np.eye(3, 5)[t], t), epochs=2, batch_size=15)
        return trainer

    found = trained(None)
    expected = trained(False)
    assert "draws random numbers from" in found.learner.reason
    assert "layers.1.rng" in found.learner.reason
    for p, q in zip(found.model.parameters(), expected.model.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)


def test_what_is_no_generator():
    for x in (np, math_like, random.SystemRandom, "random", X, len):
        assert generator_of(x) is None


def math_like():
    return 0.0


def test_numbers_of_the_system_have_no_state():
    draws = Draws([("system", random.SystemRandom())])
    draws.pause()
    assert not draws.moved


@pytest.mark.parametrize(
    "rng",
    [
        np.random.default_rng(0),
        np.random.MT19937(0),
        np.random.RandomState(0),
        random.Random(0),
        xpnet.random.DeviceGenerator(0),
        xpnet.random,
    ],
    ids=lambda rng: getattr(rng, "__name__", type(rng).__name__),
)
def test_generators_are_set_back(rng):
    def draw():
        if hasattr(rng, "advance"):
            return rng.advance(1)
        if hasattr(rng, "random_raw"):
            return rng.random_raw()
        return rng.default_rng().random() if rng is xpnet.random else rng.random()

    draws = Draws([("rng", generator_of(rng))])
    first = draw()
    draws.pause()
    assert [name for name, _, _ in draws.moved.values()] == ["rng"]
    draws.undo()
    assert draw() == first


def test_generators_of_pytorch():
    torch = pytest.importorskip("torch")
    rng = torch.Generator().manual_seed(0)
    for found in (generator_of(rng), generator_of(torch)):
        draws = Draws([("rng", found)])
        first = torch.rand(3, generator=found)
        draws.pause()
        draws.undo()
        assert draws.moved
        assert torch.equal(torch.rand(3, generator=found), first)
