"""Reductions: values against NumPy's, derivatives against differences."""

import numpy as np
import pytest

from xpnet import Variable, functions as F, gradients, to_numpy
from xpnet.testing import assert_close, check_gradients

X = [[[1.0, -2.0, 3.0], [0.5, 4.0, -1.5]], [[2.5, 0.25, -3.0], [6.0, -0.75, 1.25]]]  # (2, 2, 3)


@pytest.mark.usefixtures("sampled")
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (-2,)], ids=str)
@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "var", "std"])
def test_reduction(backend64, array, order, name, axis, keepdims):
    """Over one axis, several or all, with and without keepdims; to the second derivative."""

    def f(x):
        return getattr(F, name)(x, axis=axis, keepdims=keepdims)

    expected = getattr(np, name)(np.asarray(X), axis=axis, keepdims=keepdims)
    assert_close(f(array(X)), expected, rtol=1e-14, atol=1e-15)
    assert_close(f(Variable(array(X))), expected, rtol=1e-14, atol=1e-15)
    check_gradients(f, array(X), order=order)


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "max", "min", "var", "std"])
def test_a_list_is_not_an_array(name):
    """As for all functions."""
    with pytest.raises(TypeError, match="expected an array or a Variable for x, got list"):
        getattr(F, name)([1.0, 2.0])


@pytest.mark.parametrize("name", ["var", "std"])
def test_correction(backend64, array, name):
    """correction=1 divides by n - 1."""
    f = getattr(F, name)
    expected = getattr(np, name)(np.asarray(X), axis=(0, 2), ddof=1)
    assert_close(f(Variable(array(X)), axis=(0, 2), correction=1), expected, rtol=1e-14)


MANY = (0.25, -0.5, 1.0, 3.25)  # their mean is 1, their variance 63/32


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_statistics_of_more_numbers_than_float16_can_count(backend, dtype):
    """100,000: mean, var and std, and their derivatives, do not overflow."""
    if not hasattr(backend.xp, dtype):
        pytest.skip(f"{backend.name} has no {dtype}")
    numbers = np.tile(np.asarray(MANY), 25_000)
    mean = 1.0
    var = 63.0 / 32.0
    n = numbers.size
    slopes = {
        "mean": (mean, 1.0 + 0.0 * numbers),
        "var": (var, 2.0 * (numbers - mean)),
        "std": (var**0.5, (numbers - mean) / var**0.5),
    }
    for name, (value, slope) in slopes.items():
        x = Variable(backend.asarray(numbers, dtype))
        y = getattr(F, name)(x)
        (g,) = gradients(y, [x], gy=1024.0)
        assert y.dtype == g.dtype == x.dtype
        digits = 2.0**-11 if dtype == "float16" else 2.0**-8  # half of the last bit
        assert float(y) == pytest.approx(value, rel=2.0 * digits)
        g = to_numpy(backend.xp.astype(g, backend.dtype))
        assert_close(g, 1024.0 / n * slope, rtol=4.0 * digits, atol=1e-7)


@pytest.mark.parametrize("name", ["max", "min"])
def test_ties_share_the_gradient(backend64, array, name):
    """Three equal extremes get a third each, and a fourth number gets 0."""
    other = -1.0 if name == "max" else 9.0
    x = Variable(array([2.0, other, 2.0, 2.0]))
    (g,) = gradients(getattr(F, name)(x), [x])
    assert_close(g, [1 / 3, 0.0, 1 / 3, 1 / 3], rtol=1e-15)
