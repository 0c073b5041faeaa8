"""The kernels for NumPy return the same as the portable code."""

import numpy as np
import pytest
from hypothesis import given

from tests.kernels.drawn import DRAWN, arrays_and_windows, window_over
from xpnet.functions import _windows as windows
from xpnet.kernels import kernels, strided
from xpnet.testing import assert_close


@pytest.mark.parametrize("block", ["one row", "rows", "small"])
@DRAWN
@given(drawn=arrays_and_windows())
def test_convolution(drawn, block):
    """Forward, transposed and by the weights, for every size of a block."""
    window, groups, x, W, gy, b, c = drawn
    plain = windows
    with pytest.MonkeyPatch.context() as patch:
        if block != "one row":  # so few columns make a matrix elsewhere
            patch.setattr(strided, "NARROW", 0)
        if block == "small":
            patch.setattr(strided, "COLUMNS", 5)
            patch.setattr(strided, "SMALL", 5)
            patch.setattr(strided, "BLOCK", 1000)
        for bias in (b, None):
            expected = plain.correlate(x, W, bias, window, groups)
            actual = strided.correlate(x, W, bias, window, groups)
            assert_close(actual, expected, rtol=1e-12, atol=1e-12)
        for bias in (c, None):
            expected = plain.spread(gy, W, bias, window, groups)
            actual = strided.spread(gy, W, bias, window, groups)
            assert_close(actual, expected, rtol=1e-12, atol=1e-12)
        expected = plain.weigh(x, gy, window, groups)
        assert_close(strided.weigh(x, gy, window, groups), expected, rtol=1e-12, atol=1e-12)


@DRAWN
@given(drawn=arrays_and_windows())
def test_pooling(drawn):
    """Maxima with equals among them, sums, and the transposes of both."""
    window, _, x, _, _, _, _ = drawn
    gy = np.random.default_rng(1).normal(size=(*x.shape[:2], *window.out))
    z = np.random.default_rng(2).normal(size=x.shape)
    y = strided.maxima(x, window)
    assert_close(y, windows.maxima(x, window))
    for name, arrays in {
        "place": (gy, x, y),
        "choose": (z, x, y),
        "sums": (x,),
        "shares": (gy,),
    }.items():
        actual, expected = (getattr(module, name)(*arrays, window) for module in (strided, windows))
        assert_close(actual, expected, rtol=1e-12, atol=1e-12)


def test_sums_of_float16():
    """They are float32's, rounded once: 5,000 ones are 5,000, where float16 counts to 2,048."""
    x, W = np.ones((1, 50, 10, 10), "float16"), np.ones((1, 50, 10, 10), "float16")
    window = window_over((10, 10), (10, 10), (1, 1), (0, 0), (1, 1))
    y = strided.correlate(x, W, np.ones(1, "float16"), window, 1)
    assert (y.dtype, y.item()) == ("float16", 5000.0)  # 5,001, to the four digits there are
    x, gy = np.ones((5000, 1, 1, 1), "float16"), np.ones((5000, 1, 1, 1), "float16")
    window = window_over((1, 1), (1, 1), (1, 1), (0, 0), (1, 1))
    W = strided.weigh(x, gy, window, 1)
    assert (W.dtype, W.item()) == ("float16", 5000.0)


def test_inputs_stay_as_they_are():
    """Read-only arrays, and results that share no memory with them."""
    window = window_over((4, 4), (1, 1), (1, 1), (0, 0), (1, 1))
    x, W = np.ones((2, 3, 4, 4)), np.ones((2, 3, 1, 1))
    x.flags.writeable = W.flags.writeable = False
    for y in (
        strided.correlate(x, W, None, window, 1),
        strided.spread(strided.correlate(x, W, None, window, 1), W, None, window, 1),
        strided.maxima(x, window),
        strided.sums(x, window),
        strided.shares(x, window),
        strided.place(x, x, x, window),
    ):
        assert not np.shares_memory(y, x)
        assert y.flags.writeable


def test_the_batch_is_innermost():
    """The next kernel takes the result of a kernel without a copy."""
    window = window_over((5, 5), (2, 2), (1, 1), (0, 0), (1, 1))
    x = np.random.default_rng(0).normal(size=(8, 3, 5, 5)).astype("float32")
    y = strided.correlate(x, np.ones((4, 3, 2, 2), "float32"), None, window, 1)
    assert y.dtype == "float32"
    assert np.moveaxis(np.maximum(y, 0.0), 0, -1).flags.c_contiguous
    pool = window_over((4, 4), (2, 2), (2, 2), (0, 0), (1, 1))
    assert np.moveaxis(strided.maxima(y, pool), 0, -1).flags.c_contiguous


def test_the_arrays_choose():
    """NumPy's arrays have kernels; those of the strict library have none."""
    assert kernels(windows, np.zeros(3)) is strided
    strict = pytest.importorskip("array_api_strict", reason="a library without kernels")
    assert kernels(windows, strict.zeros(3)) is windows
    assert kernels(windows, np.zeros(3), strict.zeros(3)) is windows
