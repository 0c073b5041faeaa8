"""Dropout: which numbers are set to 0, how the others are scaled, and masks from a seed."""

import numpy as np
import pytest

import xpnet
from xpnet import ShapeError, Variable, functions as F, gradients, to_numpy
from xpnet.testing import assert_close, check_gradients


def test_a_given_mask(backend64, array, order):
    """x mask / (1 - p), and likewise for the gradient, to any order."""
    x = array([[1.0, 2.0], [3.0, 4.0]])
    mask = array([[True, False], [False, True]])
    assert_close(F.dropout(x, 0.75, mask=mask), [[4.0, 0.0], [0.0, 16.0]])
    check_gradients(lambda x: F.dropout(x * x, 0.75, mask=mask), x, order=order)


def test_a_mask_of_whole_channels(backend, array):
    """It broadcasts to x."""
    y = F.dropout(F.ones((1, 2, 2, 2)).data, 0.5, mask=array([[[[1.0]], [[0.0]]]]))
    assert_close(y, [[[[2.0, 2.0], [2.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]]]])


def test_a_mask_that_does_not_broadcast_is_an_error(backend, array):
    """x does not broadcast to the mask."""
    with pytest.raises(ShapeError, match=r"shape of x, \(2,\), got \(3, 2\)"):
        F.dropout(array([1.0, 2.0]), 0.5, mask=array([[1.0, 1.0]] * 3))


def test_a_seed_determines_the_mask(backend, array):
    """On every library it is the mask that NumPy draws; float32 stays float32."""
    kept = np.random.default_rng(7).random((4, 5), dtype=np.float32) >= 0.3
    x = Variable(F.ones((4, 5)).data)
    y = F.dropout(x, 0.3, rng=7)
    assert y.dtype == backend.dtype
    assert_close(y, kept / 0.7, rtol=1e-6)
    assert_close(gradients(y, [x], F.ones((4, 5)).data)[0], kept / 0.7, rtol=1e-6)
    xpnet.manual_seed(7)
    assert_close(F.dropout(x, 0.3), y)
    assert (to_numpy(F.dropout(x, 0.3)) != to_numpy(y)).any()


def test_the_share_of_numbers_that_are_kept(backend):
    """0.8 of 100,000 numbers, within five standard deviations; their mean is still 1."""
    y = to_numpy(F.dropout(F.ones((100_000,)).data, 0.2, rng=0))
    share = float((y != 0.0).mean())
    assert abs(share - 0.8) < 5.0 * (0.2 * 0.8 / 100_000) ** 0.5
    assert abs(float(y.mean()) - 1.0) < 0.01


def test_probabilities_of_0_and_1(backend, array):
    """p = 0 returns x, p = 1 returns zeros, and neither divides by 0."""
    x = array([1.0, 2.0])
    assert F.dropout(x, 0.0) is x
    assert_close(F.dropout(x, 1.0), [0.0, 0.0])


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_an_invalid_probability_is_an_error(backend, array, p):
    with pytest.raises(ValueError, match="probability p from 0 to 1, got "):
        F.dropout(array([1.0]), p)
