"""logsumexp: SciPy's values, infinite numbers and empty axes."""

import math

import numpy as np
import pytest

from xpnet import ArgumentTypeError, IndexingError, Variable, functions as F
from xpnet.testing import assert_close, check_gradients

inf, nan = math.inf, math.nan


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (0, 1, 2), ()])
@pytest.mark.parametrize("keepdims", [False, True])
def test_value(backend64, array, axis, keepdims):
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    y = F.logsumexp(array(x), axis=axis, keepdims=keepdims)
    assert_close(y, np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims)), rtol=1e-13)


def test_by_default_all_axes_are_reduced_and_dropped(backend64, array):
    y = F.logsumexp(array([[0.0, math.log(3.0)], [math.log(2.0), math.log(4.0)]]))
    assert y.shape == ()
    assert_close(y, math.log(10.0), rtol=1e-14)


def test_derivatives(backend64, array, order):
    x = array([[0.3, -1.0, 2.0], [1.5, 0.0, -0.7]])
    check_gradients(lambda x: F.logsumexp(x, axis=1), x, order=order)
    check_gradients(lambda x: F.logsumexp(x, keepdims=True), x, order=order)


ROWS = {  # a row: its value, and its gradient
    (1000.0, 1000.0): (1000.0 + math.log(2.0), (0.5, 0.5)),
    (-1000.0, -1000.0): (-1000.0 + math.log(2.0), (0.5, 0.5)),
    (-1e30, 3.0): (3.0, (0.0, 1.0)),
    (-inf, 3.0): (3.0, (0.0, 1.0)),
    (-inf, -inf): (-inf, (0.0, 0.0)),
    (inf, 3.0): (inf, (1.0, 0.0)),
    (inf, -inf): (inf, (1.0, 0.0)),
    (inf, inf): (inf, (0.5, 0.5)),
    (nan, 0.0): (nan, (nan, nan)),
}


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_infinite_and_large_numbers(backend, array, row):
    """By themselves, and beside a row of ordinary numbers; without a warning."""
    value, gradient = ROWS[row]
    x = Variable(array([list(row), [0.0, 0.0]]))
    y = F.logsumexp(x, axis=1)
    F.sum(y).backward()
    assert_close(y, [value, math.log(2.0)], rtol=1e-6)
    assert_close(x.grad, [gradient, (0.5, 0.5)], rtol=1e-6)


def test_the_second_derivative_of_impossible_rows_is_0(backend64, array):
    x = Variable(array([-inf, -inf]))
    F.logsumexp(x).backward(create_graph=True)
    g = x.grad
    x.grad = None
    F.sum(g * g).backward()
    assert_close(x.grad, [0.0, 0.0])


def test_over_an_empty_axis_it_is_minus_infinity(backend, array):
    x = Variable(array(np.zeros((2, 0)), "float32"))
    y = F.logsumexp(x, axis=1)
    assert_close(y, [-inf, -inf])
    F.sum(y).backward()
    assert x.grad.shape == (2, 0)
    assert F.logsumexp(x, axis=0).shape == (0,)
    assert F.logsumexp(x, axis=1, keepdims=True).shape == (2, 1)
    assert_close(F.logsumexp(x), -inf)


def test_many_numbers_in_half_precision(backend, array):
    """70,000 is infinite in float16, log(70,000) is not."""
    if not hasattr(backend.xp, "float16"):
        pytest.skip("the library has no float16")
    x = Variable(backend.xp.astype(array(np.zeros(70_000), "float32"), backend.xp.float16))
    y = F.logsumexp(x)
    assert y.dtype == x.dtype
    assert_close(float(y), math.log(70_000), rtol=1e-3)
    y.backward()
    assert x.grad.dtype == x.dtype
    assert_close(F.sum(F.astype(x.grad, backend.dtype)), 1.0, rtol=1e-2)


def test_errors(backend, array):
    with pytest.raises(ArgumentTypeError, match="logsumexp expected floating-point"):
        F.logsumexp(array([1, 2], "int32"))
    with pytest.raises(IndexingError, match="logsumexp expected an axis from -2 to 1, got axis 2"):
        F.logsumexp(array([[1.0]]), axis=2)


def test_values_agree_with_scipy():
    special = pytest.importorskip("scipy.special", reason="SciPy is the oracle of this test")
    x = np.random.default_rng(1).normal(scale=300.0, size=(20, 7))
    for axis in (None, 0, 1):
        assert_close(F.logsumexp(x, axis), special.logsumexp(x, axis=axis), rtol=1e-13)
