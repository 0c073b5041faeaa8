"""Mixed precision: 16 bits in the model, 32 in the weights, and the scale between them."""

import math

import numpy as np
import pytest

import xpnet
from xpnet import (
    BackendError,
    Layer,
    Parameter,
    StateError,
    TrainingError,
    Variable,
    functions as F,
    to_numpy,
)
from xpnet.autodiff import gradient_checkpoint
from xpnet.testing import assert_close
from xpnet.training.precision import MixedPrecision

X = np.random.default_rng(0).standard_normal((40, 6)).astype("float32")
T = np.argmax(np.tanh(X) @ np.random.default_rng(1).standard_normal((6, 3)), axis=1)
HALF_OF_THE_LAST_BIT = {"float16": 2.0**-11, "bfloat16": 2.0**-8}  # relative


@pytest.fixture(params=["float16", "bfloat16"])
def low(request, backend):
    """The name of a 16-bit dtype of the backend's library."""
    if not hasattr(backend.xp, request.param):
        with pytest.raises(BackendError, match=f"has no {request.param}; torch and jax have it"):
            MixedPrecision(xpnet.Affine(2, 2), request.param)
        pytest.skip(f"{backend.name} has no {request.param}; the error says so")
    return request.param


class Witness(Layer):
    """Returns its input, and remembers its dtype and that of its parameter."""

    def __init__(self):
        self.weight, self.seen = Parameter([1.0]), []

    def forward(self, x):
        self.seen += [str(x.dtype).rpartition(".")[2], str(self.weight.dtype).rpartition(".")[2]]
        return x * self.weight


def trained(dtype, epochs=60):
    """The loss after a training; `dtype` None is float32."""
    home = xpnet.current()
    x, t = home.asarray(X), home.asarray(T)
    model = xpnet.MLP(6, 24, 3, rng=0)
    optimizer = xpnet.Adam(model.parameters(), lr=0.02)
    precision = MixedPrecision(model, dtype) if dtype else None
    for _ in range(epochs):
        optimizer.zero_grad()
        if precision is None:
            F.softmax_cross_entropy(model(x), t).backward()
            optimizer.step()
            continue
        precision.backward(F.softmax_cross_entropy(precision(x), t))
        if precision.unscale():
            optimizer.step()
    assert all(p.dtype == home.dtype for p in model.parameters())
    return float(F.softmax_cross_entropy(model(x), t))


def test_a_training_ends_with_nearly_the_same_loss_as_in_float32(backend, low):
    """The loss falls from 1.3 to 0.03; in 16 bits it ends within a twentieth of that."""
    full = trained(None)
    assert full < 0.1
    assert trained(low) == pytest.approx(full, rel=0.05)


def test_dtypes_of_weights_inputs_and_outputs(backend, low):
    """Inside, everything has 16 bits; the output, the weights and their gradients have 32."""
    witness = Witness()
    model = xpnet.Sequential(xpnet.Affine(6, 4, rng=0), witness, xpnet.Affine(4, 3, rng=0))
    precision = MixedPrecision(model, low)
    y = precision(backend.asarray(X))
    assert witness.seen == [low, low]
    assert y.dtype == backend.dtype
    precision.backward(F.softmax_cross_entropy(y, backend.asarray(T)))
    assert precision.unscale()
    assert all(p.grad.dtype == p.dtype == backend.dtype for p in model.parameters())
    model(backend.asarray(X))
    assert witness.seen[2:] == ["float32", "float32"]


def test_gradients_are_those_of_float32_rounded(backend, low):
    """After `unscale` gradients have the right size: of one backward, and of two added up."""
    x, t = backend.asarray(X), backend.asarray(T)
    model = xpnet.MLP(6, 8, 3, activation="tanh", rng=0)
    F.softmax_cross_entropy(model(x), t).backward()
    expected = [to_numpy(p.grad).copy() for p in model.parameters()]
    model.zero_grad()
    precision = MixedPrecision(model, low)
    for _ in range(2):
        precision.backward(F.softmax_cross_entropy(precision(x), t))
    assert precision.unscale(model.parameters())
    for p, g in zip(model.parameters(), expected, strict=True):
        half = HALF_OF_THE_LAST_BIT[low]
        assert_close(p.grad, 2.0 * g, rtol=4.0 * half, atol=8.0 * half * float(np.max(np.abs(g))))


def test_the_scale_keeps_small_gradients_from_underflow(backend):
    """1e-8 is 0 in float16, unless the loss is scaled."""
    if not hasattr(backend.xp, "float16"):
        pytest.skip(f"{backend.name} has no float16")
    model, x = xpnet.Affine(2, 1, bias=False, rng=0), backend.asarray([[1.0, 0.5]])
    for scale, expected in ((1.0, [[0.0], [0.0]]), (2.0**16, [[1e-8], [5e-9]])):
        model.zero_grad()
        precision = MixedPrecision(model, "float16", scale=scale)
        precision.backward(F.sum(precision(x)) * 1e-8)
        assert precision.unscale()
        assert_close(model.weight.grad, np.asarray(expected, "float32"), rtol=0.01)


def test_mixed_precision_holds_for_calls_within_the_block(backend, low):
    """`with precision:` and the model called as ever; within, parameters stay in their places."""
    model, x = xpnet.MLP(6, 8, 3, rng=0), backend.asarray(X)
    before = dict(vars(model.layers[0])), dict(vars(model))
    with MixedPrecision(model, low) as precision:
        y = model(x)
        assert [p.dtype for p in model.parameters()] == [backend.dtype] * 4
        with precision:
            assert to_numpy(model(x)).tobytes() == to_numpy(y).tobytes()
        assert to_numpy(model(x)).tobytes() == to_numpy(y).tobytes()
    assert to_numpy(model(x)).tobytes() != to_numpy(y).tobytes()
    assert (dict(vars(model.layers[0])), dict(vars(model))) == before


def test_step_by_step(backend, low):
    """Arrays in, arrays out, as in the lessons."""
    model, x = xpnet.Affine(6, 3, rng=0), backend.asarray(X)
    with MixedPrecision(model, low):
        y = model.forward(x)
    dx = model.backward(backend.xp.ones_like(y))
    assert y.dtype == dx.dtype == model.weight.grad.dtype == backend.dtype
    half = HALF_OF_THE_LAST_BIT[low]
    assert_close(y, model.forward(x), rtol=4.0 * half, atol=4.0 * half)
    assert_close(
        dx, X * 0.0 + np.sum(to_numpy(model.weight), axis=1), rtol=4.0 * half, atol=4.0 * half
    )


def test_without_recording(backend, low):
    """An evaluation in 16 bits."""
    model = xpnet.MLP(6, 8, 3, rng=0)
    with xpnet.no_grad():
        y = MixedPrecision(model, low)(backend.asarray(X))
    assert y.dtype == backend.dtype
    assert not y.requires_grad
    half = HALF_OF_THE_LAST_BIT[low]
    assert_close(y, model(backend.asarray(X)), rtol=4.0 * half, atol=8.0 * half)


class Odd(Layer):
    """Parameters in lists, tuples and dicts, one of them twice; integers; several outputs."""

    def __init__(self):
        self.pair = (Parameter([2.0]), Parameter([3.0]))
        self.named = {"shared": self.pair[0], "other": Parameter([5.0])}
        self.several, self.notes = [Parameter([7.0]), None], ["text"]

    def forward(self, x, index, flip=False):
        a, b = self.pair
        assert self.named["shared"] is a
        y = x * a * b + self.named["other"] * self.several[0]
        self.notes.append("seen")
        if flip is None:
            raise KeyError("flip")
        y = F.take(y, index, axis=0)
        return (y, index) if not flip else (index, y)


def test_parameters_anywhere(backend, low):
    """Parameters in any containers; after an error, everything is as before."""
    model = Odd()
    precision, state = MixedPrecision(model, low, scale=8.0), dict(vars(model))
    x, index = backend.asarray([1.0, 2.0]), backend.asarray([1])
    y, same = precision(x, index)
    assert to_numpy(y).tolist() == [47.0]
    assert same is index
    assert precision(x, index, flip=True)[0] is index
    precision.backward(F.sum(y))
    assert precision.unscale()
    grads = [float(p.grad[0]) for p in model.parameters()]
    assert grads == [6.0, 4.0, 7.0, 5.0]
    assert model.notes == ["text", "seen", "seen"]
    with pytest.raises(KeyError):
        precision(x, index, flip=None)
    assert dict(vars(model)) == state


def test_normalization_computes_its_means_in_float32(backend, low):
    """The squares of 300 are beyond float16; the running statistics stay float32."""
    x = (300.0 + X).astype("float32")
    model = xpnet.layers.BatchNorm1d(6)
    precision = MixedPrecision(model, low)
    y = precision(backend.asarray(x))
    assert bool(backend.xp.all(backend.xp.isfinite(y.data)))
    assert model.running_mean.data.dtype == model.running_var.data.dtype == backend.dtype
    rounded = F.astype(F.astype(backend.asarray(x), getattr(backend.xp, low)), backend.dtype)
    rounded = to_numpy(rounded)
    assert_close(model.running_mean.data, 0.1 * np.mean(rounded, axis=0), rtol=1e-5)


def test_other_layers(backend, low):
    """Layers between Affines keep the 16 bits; all layers get gradients."""
    L, rng = xpnet.layers, np.random.default_rng(0)
    images = xpnet.Sequential(
        L.Conv2d(2, 4, 3, rng=0), L.BatchNorm2d(4), L.ReLU(), L.MaxPool2d(2), L.Flatten(),
        L.Dropout(0.5, rng=0), L.Affine(16, 3, rng=0),
    )  # fmt: skip
    words = xpnet.Sequential(
        L.Embedding(9, 4, rng=0), L.LayerNorm(4), L.GELU(), L.Flatten(), L.Affine(12, 3, rng=0)
    )
    sequences = xpnet.Sequential(
        L.PositionalEncoding(4), L.TransformerEncoderLayer(4, 2, 8, batch_first=True, rng=0),
        L.Flatten(), L.Affine(12, 3, rng=0),
    )  # fmt: skip
    inputs = {
        images: rng.standard_normal((3, 2, 6, 6)).astype("float32"),
        sequences: rng.standard_normal((3, 3, 4)).astype("float32"),
        words: rng.integers(0, 9, (3, 3)),
    }
    if backend.name.startswith("jax"):  # which compiles long: one that is large, once
        del inputs[images if low == "bfloat16" else sequences], inputs[words]
    for model, x in inputs.items():
        precision = MixedPrecision(model, low, scale=64.0)
        y = precision(backend.asarray(x))
        precision.backward(F.softmax_cross_entropy(y, backend.asarray(T[:3])))
        assert precision.unscale()
        assert all(p.grad.dtype == backend.dtype for p in model.parameters())
        model.eval()
        assert precision(backend.asarray(x)).dtype == backend.dtype


class Stack(Layer):
    """Blocks that share a weight, with their own dropout, with or without gradient_checkpoint."""

    def __init__(self, light):
        L = xpnet.layers
        self.blocks = [
            xpnet.Sequential(L.Affine(6, 6, rng=i), L.Dropout(0.3, rng=i), L.Tanh())
            for i in range(2)
        ]
        self.blocks[1].layers[0].weight = self.blocks[0].layers[0].weight
        self.light = light

    def forward(self, x):
        for block in self.blocks:
            x = x + (gradient_checkpoint(block) if self.light else block)(x)
        return x


def test_a_gradient_checkpoint_recomputes_in_the_same_precision(backend, low):
    """Within the model, around it, and around the block: bit for bit as without, also scaled."""
    x, t, found = backend.asarray(X[:5]), backend.asarray(T[:5]), []
    for how in ("plain", "within", "around", "outside"):
        model = Stack(light=how == "within")
        precision = MixedPrecision(model, low, scale=64.0)
        if how == "around":
            with precision:
                y = gradient_checkpoint(model)(x)
        else:
            y = (gradient_checkpoint(precision) if how == "outside" else precision)(x)
        precision.backward(F.softmax_cross_entropy(y, t))
        assert precision.unscale()
        assert all(p.grad.dtype == p.dtype == backend.dtype for p in model.parameters())
        found.append([to_numpy(y), *(to_numpy(p.grad) for p in model.parameters())])
    assert len(found[0]) == 4
    assert all(np.max(np.abs(g)) > 0.01 for g in found[0])
    for others in found[1:]:
        assert [g.tobytes() for g in others] == [g.tobytes() for g in found[0]]


def test_a_gradient_checkpoint_recomputes_with_the_weights_of_the_forward_pass(backend, low):
    """The casts are kept: the derivative of w x by x is the w of the forward pass."""
    model = xpnet.Affine(1, 1, bias=False, rng=0)
    model.weight.data = backend.asarray([[2.0]])
    x = Variable(backend.asarray([[3.0]]))

    class Light(Layer):
        def __init__(self):
            self.inner = model

        def forward(self, x):
            return gradient_checkpoint(self.inner)(x)

    y = MixedPrecision(Light(), low)(x)
    model.weight.grad = backend.asarray([[1.0]])
    xpnet.SGD([model.weight], lr=1.0).step()
    y.backward()
    assert float(x.grad[0, 0]) == 2.0
    assert float(model.weight.grad[0, 0]) == 4.0


def test_blocks_of_a_model_and_of_a_part_of_it(backend, low):
    """The part finds casts in its places, and computes with these."""
    witness = Witness()
    part = xpnet.Sequential(xpnet.Affine(6, 4, rng=0), witness)
    whole = xpnet.Sequential(part, xpnet.Affine(4, 3, rng=0))
    x, inner, outer = backend.asarray(X), MixedPrecision(part, low), MixedPrecision(whole, low)
    expected = to_numpy(outer(x))
    with inner, outer:
        assert to_numpy(whole(x)).tobytes() == expected.tobytes()
        assert part(x).dtype == backend.dtype
    assert witness.seen == [low] * 6


# --- the scale ----------------------------------------------------------------------------------


def test_an_overflow_halves_the_scale_and_good_steps_double_it(backend, low):
    """The step is to be left out; the weights' owner asks `unscale`."""
    model, x = xpnet.Affine(1, 1, bias=False, rng=0), backend.asarray([[1.0]])
    precision = MixedPrecision(model, low, scale=2.0**10, growth_interval=2)
    most = math.inf if low == "float16" else 2.0**10
    found = []
    for size in (1.0, 1e38, 1.0, 1.0, 1.0, 1.0, 1.0):
        model.zero_grad()
        precision.backward(F.sum(precision(x)) * size)
        good = precision.unscale()
        assert good == (size == 1.0)
        if good:
            assert float(model.weight.grad[0, 0]) == 1.0
        found.append((precision.scale, precision.good))
    expected = [(10, 1), (9, 0), (9, 1), (10, 0), (10, 1), (11, 0), (11, 1)]
    assert found == [(min(2.0**k, most), n) for k, n in expected]


def test_gradients_that_overflow_at_any_scale_are_an_error(backend, low):
    """NaN in every step: not for ever."""
    model = xpnet.Affine(1, 1, rng=0)
    precision = MixedPrecision(model, low, scale=2.0**-20)

    def forever():
        for _ in range(100):
            model.zero_grad()
            precision.backward(F.sum(precision(backend.asarray([[math.nan]]))))
            assert not precision.unscale()

    with pytest.raises(TrainingError, match=f"infinite or NaN in {low}, however small"):
        forever()


def test_without_gradients_unscale_leaves_the_error_to_the_optimizer(backend, low):
    model = xpnet.Affine(1, 1, rng=0)
    assert MixedPrecision(model, low).unscale()
    with pytest.raises(xpnet.GradientError, match="No parameter has a gradient"):
        xpnet.SGD(model.parameters()).step()


def test_the_scale_can_be_resumed(backend, low):
    model = xpnet.Affine(1, 1, rng=0)
    precision = MixedPrecision(model, low)
    assert precision.state_dict() == {"scale": 65536.0 if low == "float16" else 1.0, "good": 0}
    precision.load_state_dict({"scale": 8.0, "good": 3})
    assert precision.state_dict() == {"scale": 8.0, "good": 3}
    for wrong in ({}, {"scale": 8.0}, {"scale": 0.0, "good": 1}, {"scale": math.nan, "good": 1}):
        with pytest.raises(StateError, match="expected a scale and a count of good steps"):
            precision.load_state_dict(wrong)
    assert repr(precision) == f"MixedPrecision(Affine(1 -> 1), {low}, scale=8)"


# --- where there are no 16 bits ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "dtype", "message"),
    [
        ("numpy", "bfloat16", r"numpy has no bfloat16; torch and jax have it\. It has float16\."),
        ("array_api_strict", "bfloat16", "array_api_strict has no bfloat16; torch and jax"),
        ("array_api_strict", "float16", "array_api_strict has no float16; torch and jax"),
    ],
)
def test_a_library_without_the_dtype_is_an_error(spec, dtype, message):
    pytest.importorskip(spec, reason="the library of this case")
    with xpnet.using(spec), pytest.raises(BackendError, match=message):
        MixedPrecision(xpnet.Affine(1, 1), dtype)


def test_wrong_options_are_errors():
    model = xpnet.Affine(1, 1)
    with pytest.raises(ValueError, match="Expected dtype float16 or bfloat16, got 'int8'"):
        MixedPrecision(model, "int8")
    for scale in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="Expected scale > 0"):
            MixedPrecision(model, scale=scale)
    with pytest.raises(ValueError, match="Expected growth_interval >= 1, got 0"):
        MixedPrecision(model, growth_interval=0)
    with pytest.raises(ValueError, match="has no parameters"):
        MixedPrecision(xpnet.ReLU())
