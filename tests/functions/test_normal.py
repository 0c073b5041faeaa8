"""The normal distribution: against the C library's erfc, number by number."""

import math

import numpy as np

from xpnet import functions as F
from xpnet.testing import assert_close, check_gradients


def by_erfc(x):
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def test_normal_cdf_in_float64(backend64, array):
    """To 1e-15; in the tail the relative error is that of rounding x^2 / 2."""
    for start, rtol in ((-6.0, 1e-14), (-30.0, 2e-13)):
        points = np.concatenate([np.linspace(start, 9.0, 701), [-0.0, 0.0, 1e-300]]).tolist()
        expected = [by_erfc(x) for x in points]
        y = F.normal_cdf(array(points))
        assert_close(y, expected, rtol=0.0, atol=1e-15)
        assert_close(y, expected, rtol=rtol)


def test_normal_cdf_in_float32(backend, array):
    """To 2e-7, and in the negative tail to a relative error of 1e-5."""
    points = np.linspace(-12.0, 6.0, 401).astype(np.float32).astype(float).tolist()
    expected = [by_erfc(x) for x in points]
    y = F.normal_cdf(array(points))
    assert y.dtype == backend.dtype
    assert_close(y, expected, rtol=0.0, atol=2.5e-7)
    assert_close(y, expected, rtol=1e-5)


def test_normal_cdf_of_large_numbers_and_of_nan(backend, array):
    """0, 1 and NaN."""
    y = F.normal_cdf(array([-math.inf, -1e30, -100.0, 100.0, 1e30, math.inf, math.nan]))
    assert_close(y, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, math.nan])


def test_the_derivative_is_the_density(backend64, array):
    check_gradients(F.normal_cdf, array([-3.0, -0.5, 0.0, 1.25]), order=3)


def test_both_tails_sum_to_1(backend64, array):
    """Phi(x) + Phi(-x) = 1."""
    x = array(np.linspace(0.0, 8.0, 33).tolist())
    assert_close(F.normal_cdf(x) + F.normal_cdf(-x), [1.0] * 33, rtol=1e-15)
