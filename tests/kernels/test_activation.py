"""The kernels for activations on CuPy agree with the portable code on NumPy, in value and derivative."""

import numpy as np
import pytest

from xpnet import Variable, functions as F, gradients, to_numpy
from xpnet.autodiff.variable import data_of
from xpnet.kernels.lookup import kernel
from xpnet.testing import assert_close

FUNCTIONS = {
    "relu": F.relu,
    "sigmoid": F.sigmoid,
    "tanh": F.tanh,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.3),
    "elu": lambda x: F.elu(x, 0.7),
    "softplus": lambda x: F.softplus(x, 2.0, 9.0),
    "silu": F.silu,
    "gelu": F.gelu,
    "tanh_gelu": lambda x: F.gelu(x, "tanh"),
}
TOLERANCES = {"float16": 2e-3, "float32": 1e-6, "float64": 1e-13}
VALUES = [-200.0, -30.0, -5.0, -4.5, -1.0, -1e-3, -0.0, 0.0, 1e-3, 0.5, 4.4, 4.6, 9.0, 30.0, 200.0]


def portable(function, x, gy):
    """Value and gradient on NumPy, which has no such kernels, in float64."""
    v = Variable(np.asarray(x, "float64"))
    y = function(v)
    return to_numpy(y), gradients(y, [v], np.asarray(gy, "float64"))[0]


def by_kernel(function, x, gy):
    """Value and gradient on CuPy."""
    v = Variable(x)
    y = function(v)
    (gx,) = gradients(y, [v], gy)
    return y.data, gx


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_value_and_derivative(cupy_backend, name, dtype):
    """Far from 0 too, on both sides of every bend; for arrays of one dimension and of three."""
    x = np.asarray(VALUES, dtype)
    gy = np.linspace(-2.0, 3.0, x.size).astype(dtype)
    expected = portable(FUNCTIONS[name], x, gy)
    for shape in ((15,), (5, 1, 3)):
        given = [cupy_backend.asarray(a.reshape(shape)) for a in (x, gy)]
        for actual, wanted in zip(by_kernel(FUNCTIONS[name], *given), expected, strict=True):
            assert actual.dtype == dtype
            limit = TOLERANCES[dtype]
            assert_close(actual, wanted.reshape(shape), rtol=limit, atol=limit)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_of_second_order(cupy_backend, name):
    """A recorded gradient is computed by the portable code, which has a derivative."""
    x = np.asarray([-3.0, -0.5, 0.25, 2.0])
    second = []
    for given in (x, cupy_backend.asarray(x)):
        v = Variable(given)
        (gx,) = gradients(F.sum(FUNCTIONS[name](v)), [v], create_graph=True)
        second.append(gradients(F.sum(gx), [v])[0] if gx.requires_grad else 0.0 * given)
    assert_close(second[1], second[0], rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nan_stays_and_infinities_have_their_limits(cupy_backend, name):
    x = np.asarray([np.nan, np.inf])
    y = to_numpy(FUNCTIONS[name](cupy_backend.asarray(x)))
    assert np.isnan(y[0])
    assert y[1] == (1.0 if name in ("sigmoid", "tanh") else np.inf)
    v = Variable(cupy_backend.asarray([np.nan]))
    (gx,) = gradients(FUNCTIONS[name](v), [v], cupy_backend.asarray([1.0]))
    assert np.isnan(to_numpy(gx)[0]) or name in ("relu", "leaky_relu")  # these only test x > 0


def test_a_gradient_that_is_cut_off_is_zero(cupy_backend):
    """Even one that is infinite or NaN, since that number has no influence on the result."""
    v = Variable(cupy_backend.asarray([-1.0, -1.0, 0.0, 2.0]))
    gy = cupy_backend.asarray([np.inf, np.nan, -np.inf, np.inf])
    (gx,) = gradients(F.relu(v), [v], gy)
    assert to_numpy(gx).tolist() == [0.0, 0.0, 0.0, np.inf]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_empty_and_with_gaps(cupy_backend, name):
    """Empty arrays; and views of others: a transpose, and every other column."""
    for shape in ((0,), (3, 0)):
        empty = cupy_backend.asarray(np.zeros(shape, "float32"))
        y, gx = by_kernel(FUNCTIONS[name], empty, empty)
        assert y.shape == gx.shape == shape
    x, gy = np.random.default_rng(0).standard_normal((2, 4, 6))
    for cut in (np.transpose, lambda a: a[:, ::2], lambda a: a[::-1]):
        given = [cut(cupy_backend.asarray(a)) for a in (x, gy)]
        found = by_kernel(FUNCTIONS[name], *given)
        for actual, wanted in zip(found, portable(FUNCTIONS[name], cut(x), cut(gy)), strict=True):
            assert_close(actual, wanted, rtol=1e-12, atol=1e-14)


def test_which_arrays_have_a_kernel(cupy_backend):
    """CuPy's real floating-point arrays of one dtype; not Variables, so that rules are recorded."""
    x = cupy_backend.asarray([1.0])
    assert kernel("relu", x) is not None
    assert kernel("relu", cupy_backend.asarray([1])) is None
    assert kernel("relu", cupy_backend.asarray([1j])) is None
    assert kernel("relu", Variable(x)) is None
    assert kernel("relu", to_numpy(x)) is None
    assert kernel("relu_gradient", x, x) is not None
    assert kernel("relu_gradient", x, cupy_backend.asarray([1.0], "float64")) is None
    assert kernel("relu_gradient", x, to_numpy(x)) is None
    assert data_of(F.relu(cupy_backend.asarray([-1, 2]))).tolist() == [0, 2]
