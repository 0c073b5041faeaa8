"""Sums of many float16 or bfloat16 numbers, in rules and functions, are accumulated in float32.

4,096 ones added in float16 are 2,048, and 70,000 are infinite. Expected values are computed in
float64 from the same rounded inputs, and rounded once: so all are exact to the dtype's precision.
"""

import numpy as np
import pytest

import xpnet
from xpnet import Variable, functions as F, gradients, layers as L, to_numpy
from xpnet.autodiff._half_precision import in_full, is_half, total
from xpnet.autodiff.variable import data_of
from xpnet.training.precision import MixedPrecision

N = 4096
EPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7}


@pytest.fixture(params=EPS)
def half(request, backend):
    """The name of a dtype of 16 bits that the backend's library has."""
    if not hasattr(backend.xp, request.param):
        pytest.skip(f"{backend.name} has no {request.param}")
    return request.param


def wide(x):
    """Any array as a NumPy array in float64."""
    xp = xpnet.current().xp
    return to_numpy(xp.astype(data_of(x), xp.float32)).astype("float64")


def near(actual, expected, half):
    np.testing.assert_allclose(wide(actual), expected, rtol=2 * EPS[half], atol=1e-30)


def test_is_half(backend, half):
    """By the name of the dtype, for arrays and Variables; float32 is not."""
    x = backend.asarray(np.ones((3, N)), half)
    single = backend.asarray(np.ones(3, "float32"))
    assert is_half(x)
    assert is_half(Variable(x))
    assert not is_half(single)
    assert in_full(single) is single
    assert in_full(x).dtype == backend.xp.float32
    assert total(x, 1).dtype == x.dtype
    near(total(x, 1), [N] * 3, half)
    near(total(x, (0, 1), keepdims=True), [[3.0 * N]], half)


BROADCAST = {  # name: f(a, b), where b is repeated N times
    "add": lambda a, b: a + b,
    "multiply": lambda a, b: a * b,
    "broadcast_to": lambda a, b: F.broadcast_to(b, a.shape),
    "stretched": lambda a, b: a + F.reshape(b, (1, 2)),
    "maximum": lambda a, b: F.maximum(a, b + 5.0),
    "where": lambda a, b: F.where(a > 5.0, a, b),
    "bias": lambda a, b: F.linear(a, F.astype(F.asarray(np.eye(2)), a.dtype), b),
}


@pytest.mark.parametrize("name", BROADCAST)
def test_gradients_of_broadcast_numbers(backend, half, name):
    a, b = (Variable(backend.asarray(np.ones(s), half)) for s in ((N, 2), (2,)))
    y = BROADCAST[name](a, b)
    (g,) = gradients(y, [b], backend.asarray(np.ones((N, 2)), half))
    assert g.dtype == b.dtype
    near(g, [N, N], half)


REPEATED = {  # name: f(x), each of whose numbers occurs N times
    "take": lambda x: F.take(x, F.asarray(np.zeros(N, "int32")), axis=0),
    "mask of integers": lambda x: x[F.asarray(np.zeros(N, "int32"))],
    "repeat": lambda x: F.repeat(x, N, axis=0),
    "tile": lambda x: F.tile(x, (N, 1)),
    "embedding": lambda x: F.embedding(F.asarray(np.zeros(N, "int32")), x),
    "take_along_axis": lambda x: F.take_along_axis(x, F.argmax(F.zeros((N, 2, 3)), axis=2), axis=0),
}


@pytest.mark.parametrize("name", REPEATED)
def test_gradients_of_numbers_that_were_picked_often(backend, half, name):
    x = Variable(backend.asarray(np.ones((1, 2)), half))
    y = REPEATED[name](x)
    (g,) = gradients(y, [x], backend.asarray(np.ones(y.shape), half))
    near(g, [[N, N]], half)


@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_over_many_classes(backend, half, axis):
    """The rows of 4,096 sum to 1, with a gradient that sums to 0 over them."""
    shape = (N, 2) if axis == 0 else (2, N)
    x = Variable(backend.asarray(np.zeros(shape), half))
    y = F.softmax(x, axis=axis)
    assert y.dtype == x.dtype
    near(y, np.full(shape, 1.0 / N), half)
    (g,) = gradients(F.log_softmax(x, axis=axis), [x], backend.asarray(np.ones(shape), half))
    np.testing.assert_allclose(wide(g), np.zeros(shape), atol=2e-3)


def test_softmax_over_70000_classes(backend, half):
    """The sum is above float16's range; the probabilities, and their logarithms, are not."""
    n = 70_000
    x = Variable(backend.asarray(np.zeros(n), half))
    near(F.log_softmax(x), np.full(n, -np.log(n)), half)
    np.testing.assert_allclose(wide(F.softmax(x)), np.full(n, 1.0 / n), rtol=4 * EPS[half])
    q, k = (backend.asarray(np.zeros((m, 1)), half) for m in (1, n))
    shares = F.attention_weights(q, k)
    np.testing.assert_allclose(wide(shares), np.full((1, n), 1.0 / n), rtol=4 * EPS[half])


@pytest.mark.parametrize("name", ["max", "min"])
def test_ties_of_70000_numbers(backend, half, name):
    """Each has 1 / 70,000 of the gradient, which float16 can represent, although not 70,000 itself."""
    n = 70_000
    x = Variable(backend.asarray(np.ones(n), half))
    (g,) = gradients(getattr(F, name)(x), [x], backend.asarray(8.0, half))
    np.testing.assert_allclose(wide(g), np.full(n, 8.0 / n), rtol=4 * EPS[half])


def test_sums_and_cumulative_sums(backend, half):
    """NumPy adds in float16 along all axes but the last, and in cumulative sums."""
    x = Variable(backend.asarray(np.ones((N, 2)), half))
    near(F.sum(x, axis=0), [N, N], half)
    counts = np.arange(1.0, N + 1)[:, None] * np.ones(2)
    running = F.cumulative_sum(x, axis=0)
    assert running.dtype == x.dtype
    near(running, counts, half)
    (g,) = gradients(running, [x], backend.asarray(np.ones((N, 2)), half))
    near(g, counts[::-1], half)
    (g,) = gradients(F.cumulative_prod(x, axis=0), [x], backend.asarray(np.ones((N, 2)), half))
    near(g, counts[::-1], half)


@pytest.mark.usefixtures("eager")
def test_overlapping_windows(backend, half):
    """A number is the maximum of 96 windows, whose gradients of 1 + eps would be rounded away."""
    numbers = np.zeros((1, 1, 96))
    numbers[..., 48] = 3.0
    x = Variable(backend.asarray(numbers, half))
    y = F.max_pool(x, 64, stride=1, padding=32)
    gy = np.full(y.shape, 1.0 + EPS[half])
    met = np.sum(wide(y) == 3.0)
    (g,) = gradients(y, [x], backend.asarray(gy, half))
    near(g[0, 0, 48], met * (1.0 + EPS[half]), half)
    x = Variable(backend.asarray(np.ones((1, 1, 512)), half))
    y = F.avg_pool(x, 256, stride=1)
    near(y, np.ones(y.shape), half)
    (g,) = gradients(y, [x], backend.asarray(np.full(y.shape, 2.0), half))
    covering = np.minimum(np.minimum(np.arange(512) + 1, 512 - np.arange(512)), 256)
    near(g[0, 0, :], 2.0 * covering / 256.0, half)


def test_losses_of_many_numbers(backend, half):
    """The sum over 4,096 classes, and squares above float16's range."""
    n = N
    t = backend.asarray(np.full((1, n), 0.5), half)
    near(
        F.kl_divergence(backend.asarray(np.full((1, n), -8.0), half), t),
        (8 + np.log(0.5)) * n / 2,
        half,
    )
    y = backend.asarray(np.asarray([300.0, 0.0, 0.0, 0.0]), half)
    near(F.mean_squared_error(y, backend.asarray(np.zeros(4), half)), 22500.0, half)


def test_embedding_row_and_bias_under_mixed_precision(backend, half):
    """With float32 weights: a row that occurs 4,096 times, a bias over 32 x 128 rows."""

    class Net(xpnet.Layer):
        def __init__(self):
            self.table = L.Embedding(3, 2, rng=0)
            self.last = L.Affine(2, 2, rng=0)

        def forward(self, i):
            return self.last(self.table(i))

    net = Net()
    precision = MixedPrecision(net, half)
    i = backend.asarray(np.zeros((32, 128)), "int32")
    precision.backward(F.sum(precision(i)) / (64 * N))  # within float16's range
    assert precision.unscale()
    near(net.last.bias.grad, [1.0 / 64.0] * 2, half)
    rounded = wide(backend.xp.astype(net.last.weight.data, getattr(backend.xp, half)))
    expected = rounded.sum(axis=1) / 64.0
    np.testing.assert_allclose(wide(net.table.weight.grad)[0], expected, rtol=8 * EPS[half])
