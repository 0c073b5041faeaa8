"""Reductions: values against NumPy's, derivatives against differences."""

import numpy as np
import pytest

from xpnet import Variable, functions as F, gradients
from xpnet.testing import assert_close, check_gradients

X = [[[1.0, -2.0, 3.0], [0.5, 4.0, -1.5]], [[2.5, 0.25, -3.0], [6.0, -0.75, 1.25]]]  # (2, 2, 3)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (-2,)], ids=str)
@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "var", "std"])
def test_reduction(backend64, array, name, axis, keepdims):
    """Over one axis, several or all, with and without keepdims; to the second derivative."""

    def f(x):
        return getattr(F, name)(x, axis=axis, keepdims=keepdims)

    expected = getattr(np, name)(np.asarray(X), axis=axis, keepdims=keepdims)
    assert_close(f(array(X)), expected, rtol=1e-14, atol=1e-15)
    assert_close(f(Variable(array(X))), expected, rtol=1e-14, atol=1e-15)
    check_gradients(f, array(X))


@pytest.mark.parametrize("name", ["var", "std"])
def test_correction(backend64, array, name):
    """correction=1 divides by n - 1."""
    f = getattr(F, name)
    expected = getattr(np, name)(np.asarray(X), axis=(0, 2), ddof=1)
    assert_close(f(Variable(array(X)), axis=(0, 2), correction=1), expected, rtol=1e-14)


@pytest.mark.parametrize("name", ["max", "min"])
def test_ties_share_the_gradient(backend64, array, name):
    """Three equal extremes get a third each; a fourth number nothing."""
    other = -1.0 if name == "max" else 9.0
    x = Variable(array([2.0, other, 2.0, 2.0]))
    (g,) = gradients(getattr(F, name)(x), [x])
    assert_close(g, [1 / 3, 0.0, 1 / 3, 1 / 3], rtol=1e-15)
