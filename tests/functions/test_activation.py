"""Activations: values against formulas in Python, derivatives against differences."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from xpnet import Variable, functions as F, gradients, to_numpy, using
from xpnet.testing import assert_close, check_gradients

X = [[-2.0, -0.5, 0.25], [3.0, 1.0, -1.0]]


def by_number(f):
    return lambda rows: [[f(x) for x in row] for row in rows]


def phi(x):
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def tanh_gelu(x):
    return 0.5 * x * (1.0 + math.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def softmax(row):
    total = math.fsum(math.exp(x) for x in row)
    return [math.exp(x) / total for x in row]


ACTIVATIONS = {
    "relu": lambda rows: [[max(x, 0.0) for x in row] for row in rows],
    "sigmoid": lambda rows: [[1.0 / (1.0 + math.exp(-x)) for x in row] for row in rows],
    "leaky_relu": by_number(lambda x: x if x > 0.0 else 0.01 * x),
    "elu": by_number(lambda x: x if x > 0.0 else math.expm1(x)),
    "gelu": by_number(lambda x: x * phi(x)),
    "silu": by_number(lambda x: x / (1.0 + math.exp(-x))),
    "softplus": by_number(lambda x: math.log1p(math.exp(x))),
    "softmax": lambda rows: [softmax(row) for row in rows],
    "log_softmax": lambda rows: [[math.log(p) for p in softmax(row)] for row in rows],
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(backend64, array, order, name):
    """The formula, and its derivatives to the third order."""
    f = getattr(F, name)
    assert_close(f(array(X)), ACTIVATIONS[name](X), rtol=1e-14)
    check_gradients(f, array(X), order=3 if order > 1 else 1)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_along_the_first_axis(backend64, array, order, name):
    """axis=0 is the transpose of axis=-1 of the transpose."""
    columns = [list(column) for column in zip(*X, strict=True)]
    expected = list(zip(*ACTIVATIONS[name](columns), strict=True))
    assert_close(getattr(F, name)(array(X), axis=0), expected, rtol=1e-13)
    check_gradients(lambda x: getattr(F, name)(x, axis=0), array(X), order=order)


def test_relu_has_the_derivative_0_at_0(backend64, array):
    """PyTorch and JAX define it so, too."""
    x = Variable(array([0.0, -1.0, 1.0]))
    (g,) = gradients(F.relu(x), [x], 1)
    assert_close(g, [0.0, 0.0, 1.0])


def test_extremes_do_not_overflow(backend, array):
    """Warnings are errors in these tests; no exponential may overflow."""
    x = array([-1e4, -80.0, 0.0, 80.0, 1e4])
    assert_close(F.sigmoid(x), [0.0, math.exp(-80.0), 0.5, 1.0, 1.0], rtol=1e-5)
    assert_close(F.softmax(array([1e4, 0.0, -1e4])), [1.0, 0.0, 0.0])
    assert_close(F.log_softmax(array([1e4, 0.0, -1e4])), [0.0, -1e4, -2e4])
    assert_close(F.leaky_relu(x), [-100.0, -0.8, 0.0, 80.0, 1e4])
    assert_close(F.elu(x), [-1.0, -1.0, 0.0, 80.0, 1e4])
    assert_close(F.silu(x), [0.0, -80.0 * math.exp(-80.0), 0.0, 80.0, 1e4], rtol=1e-5)
    assert_close(F.softplus(x), [0.0, math.exp(-80.0), math.log(2.0), 80.0, 1e4], rtol=1e-5)
    for approximate in ("none", "tanh"):
        assert_close(F.gelu(x, approximate), [0.0, 0.0, 0.0, 80.0, 1e4])


@pytest.mark.parametrize("largest", [1e4, 1e30])
def test_derivatives_at_extremes(backend, array, largest):
    """On the left 0 or the slope, on the right 1, to the second order, without overflow or NaN."""
    for f, left in [
        (F.leaky_relu, 0.01),
        (F.elu, 0.0),
        (F.gelu, 0.0),
        (lambda x: F.gelu(x, "tanh"), 0.0),
        (F.silu, 0.0),
        (F.softplus, 0.0),
    ]:
        x = Variable(array([-largest, largest]))
        (g,) = gradients(F.sum(f(x)), [x], create_graph=True)
        assert_close(g, [left, 1.0], rtol=1e-6)
        if g.requires_grad:
            assert_close(gradients(F.sum(g), [x])[0], [0.0, 0.0])


def test_options_of_activations(backend64, array, order):
    """Slope, alpha, beta, threshold and approximation, with derivatives."""
    x = array(X)
    for f, expected in [
        (lambda x: F.leaky_relu(x, 0.3), lambda x: x if x > 0.0 else 0.3 * x),
        (lambda x: F.elu(x, 0.5), lambda x: x if x > 0.0 else 0.5 * math.expm1(x)),
        (lambda x: F.gelu(x, approximate="tanh"), tanh_gelu),
        (lambda x: F.softplus(x, beta=2.0), lambda x: 0.5 * math.log1p(math.exp(2.0 * x))),
    ]:
        assert_close(f(x), by_number(expected)(X), rtol=1e-14)
        check_gradients(f, x, order=3 if order > 1 else 1)
    y = F.softplus(array([0.9, 1.1]), beta=2.0, threshold=2.0)
    assert_close(y, [0.5 * math.log1p(math.exp(1.8)), 1.1], rtol=1e-14)


def test_derivatives_at_0(backend64, array):
    """As in PyTorch: leaky_relu has the slope of its left side, and elu has alpha."""
    for f, expected in [
        (F.leaky_relu, 0.01),
        (lambda x: F.elu(x, 0.5), 0.5),
        (F.gelu, 0.5),
        (F.silu, 0.5),
        (F.softplus, 0.5),
    ]:
        x = Variable(array([0.0]))
        assert_close(gradients(f(x), [x], 1)[0], [expected], rtol=1e-14)


def test_gelu_refuses_an_unknown_approximation(backend, array):
    with pytest.raises(ValueError, match="approximate='none' or 'tanh', got 'erf'"):
        F.gelu(array([1.0]), "erf")


def test_nan_stays_nan(backend, array):
    x = array([math.nan])
    for f in (F.leaky_relu, F.elu, F.gelu, F.silu, F.softplus):
        assert math.isnan(float(f(x)[0]))


TOLERANCES = {"float32": (1e-5, 2e-6), "float64": (1e-10, 1e-13)}  # near 0, gelu cancels there


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    shape=st.sampled_from([(), (1,), (3, 4), (2, 0)]),
    scale=st.sampled_from([1.0, 10.0, 1000.0]),
    seed=st.integers(0, 2**16),
)
def test_activations_agree_with_torch(dtype, shape, scale, seed):
    """Values and gradients."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    T = torch.nn.functional
    rng = np.random.default_rng(seed)
    host = np.asarray(scale * rng.normal(size=shape), dtype=dtype)
    weights = np.asarray(rng.uniform(0.5, 1.5, shape), dtype=dtype)
    rtol, atol = TOLERANCES[dtype]
    for ours, theirs in [
        (F.relu, T.relu),
        (F.leaky_relu, T.leaky_relu),
        (lambda x: F.elu(x, 1.5), lambda x: T.elu(x, 1.5)),
        (F.gelu, T.gelu),
        (lambda x: F.gelu(x, "tanh"), lambda x: T.gelu(x, approximate="tanh")),
        (F.silu, T.silu),
        (lambda x: F.softplus(x, 2.0, 15.0), lambda x: T.softplus(x, 2.0, 15.0)),
        (F.sigmoid, T.sigmoid),
    ]:
        with using("numpy", dtype=dtype):
            x = Variable(host)
            tensor = torch.tensor(host, requires_grad=True)
            y = ours(x)
            expected = theirs(tensor)
            assert y.dtype == x.dtype
            assert_close(y, expected.detach().numpy(), rtol=rtol, atol=atol)
            y.backward(weights)
            expected.backward(torch.tensor(weights))
            assert_close(x.grad, tensor.grad.numpy(), rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize(("shape", "axis"), [((3, 0), -1), ((0, 3), 0), ((0, 3), 1), ((0,), 0)])
def test_softmax_of_an_empty_array(backend, array, name, shape, axis):
    """The result is empty, as in PyTorch, and so is the gradient; in float16 too."""
    for dtype in ("float32", "float16"):
        if not hasattr(backend.xp, dtype):
            continue
        x = Variable(array(np.zeros(shape), dtype))
        y = getattr(F, name)(x, axis=axis)
        (g,) = gradients(y, [x], array(np.zeros(shape), dtype))
        assert y.shape == g.shape == shape
        assert y.dtype == g.dtype == x.dtype


def test_the_third_derivative_of_the_sigmoid_and_of_tanh(backend64, array):
    """From the formulas s' = s (1 - s) and t' = 1 - t^2, differentiated twice more."""
    x = Variable(array([-2.0, -0.3, 0.0, 0.7, 3.0]))
    s, t = (to_numpy(f(x).data) for f in (F.sigmoid, F.tanh))
    slope = s * (1.0 - s)
    expected = {
        F.sigmoid: (slope, slope * (1.0 - 2.0 * s), slope * (1.0 - 6.0 * slope)),
        F.tanh: (1.0 - t**2, -2.0 * t * (1.0 - t**2), (1.0 - t**2) * (6.0 * t**2 - 2.0)),
    }
    for f, derivatives in expected.items():
        y = f(x)
        for derivative in derivatives:
            (y,) = gradients(F.sum(y), [x], create_graph=True)
            assert_close(y, derivative, rtol=1e-12, atol=1e-15)
