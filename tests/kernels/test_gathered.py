"""The kernels for convolution and pooling on CuPy agree with the portable code.

Derivatives, to the second order, are tested where the functions are: tests/functions.
"""

import threading

import numpy as np
import pytest
from hypothesis import given

from tests.kernels.drawn import DRAWN, arrays_and_windows, window_over
from xpnet import functions as F, to_numpy
from xpnet.functions import _windows as windows
from xpnet.kernels import gathered, kernels
from xpnet.kernels.window import Window
from xpnet.testing import assert_close

EXACT = {"rtol": 1e-12, "atol": 1e-12}
DTYPES = [
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "complex64", "complex128",
]  # fmt: skip
ORDERED = [dtype for dtype in DTYPES if not dtype.startswith("complex")]
OVERLAP = Window((5, 6), (2, 3), (1, 2), ((1, 0), (1, 2)), (2, 1))


def both(name, arrays, *rest):
    """The results of CuPy's kernel, as NumPy arrays, and of the portable code."""
    import cupy

    given = [None if x is None else cupy.asarray(x) for x in arrays]
    actual = getattr(gathered, name)(*given, *rest)
    return to_numpy(actual), getattr(windows, name)(*arrays, *rest)


def agree(name, arrays, *rest, **tolerances):
    actual, expected = both(name, arrays, *rest)
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    assert_close(actual, expected, **tolerances)


def convolution_agrees(window, groups, x, W, gy, b, c, **tolerances):
    for bias in (b, None):
        agree("correlate", (x, W, bias), window, groups, **tolerances)
    for bias in (c, None):
        agree("spread", (gy, W, bias), window, groups, **tolerances)
    agree("weigh", (x, gy), window, groups, **tolerances)


def pooling_agrees(window, x, gy, z, **tolerances):
    y = windows.maxima(x, window)
    agree("maxima", (x,), window)
    agree("place", (gy, x, y), window, **tolerances)
    agree("choose", (z, x, y), window)
    agree("sums", (x,), window, **tolerances)
    agree("shares", (gy,), window, **tolerances)


@DRAWN
@given(drawn=arrays_and_windows())
def test_convolution(cupy_backend, drawn):
    """Forward, transposed and by the weights: one to three axes, groups, and an empty batch."""
    convolution_agrees(*drawn, **EXACT)


@DRAWN
@given(drawn=arrays_and_windows())
def test_pooling(cupy_backend, drawn):
    """Maxima, some of them equal, sums, and the transposes of both."""
    window, _, x, _, _, _, _ = drawn
    gy = np.random.default_rng(1).normal(size=(*x.shape[:2], *window.out))
    z = np.random.default_rng(2).normal(size=x.shape)
    pooling_agrees(window, x, gy, z, **EXACT)


def test_four_axes(cupy_backend):
    window = window_over((3, 2, 4, 3), (2, 1, 3, 2), (1, 1, 2, 1), (1, 0, 1, 0), (1, 1, 1, 2))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, *window.size))
    W = rng.normal(size=(2, 3, *window.kernel))
    gy = rng.normal(size=(2, 2, *window.out))
    convolution_agrees(window, 1, x, W, gy, np.ones(2), np.ones(3), **EXACT)


def small(rng, dtype, *shape):
    """Whole numbers so small that every sum of them is exact in every dtype."""
    low = 0 if dtype.startswith("u") else -2
    return rng.integers(low, 3, shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_of_convolution(cupy_backend, dtype):
    rng = np.random.default_rng(0)
    x, W = small(rng, dtype, 3, 4, *OVERLAP.size), small(rng, dtype, 6, 2, *OVERLAP.kernel)
    gy = small(rng, dtype, 3, 6, *OVERLAP.out)
    convolution_agrees(OVERLAP, 2, x, W, gy, small(rng, dtype, 6), small(rng, dtype, 4))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_of_sums(cupy_backend, dtype):
    rng = np.random.default_rng(0)
    agree("sums", (small(rng, dtype, 3, 2, *OVERLAP.size),), OVERLAP)
    agree("shares", (small(rng, dtype, 3, 2, *OVERLAP.out),), OVERLAP)


@pytest.mark.parametrize("dtype", ORDERED)
def test_every_dtype_of_maxima(cupy_backend, dtype):
    """Also with the lowest number of the dtype, which stands for padding."""
    rng = np.random.default_rng(0)
    x = small(rng, dtype, 3, 2, *OVERLAP.size)
    x[:, :, :3, :3] = -np.inf if np.dtype(dtype).kind == "f" else np.iinfo(dtype).min
    gy, z = small(rng, dtype, 3, 2, *OVERLAP.out), small(rng, dtype, *x.shape)
    pooling_agrees(OVERLAP, x, gy, z)


@pytest.mark.parametrize("window", [OVERLAP, window_over((6, 6), (2, 2), (2, 2), (0, 0), (1, 1))])
def test_what_is_not_finite(cupy_backend, window):
    """NaN is the maximum wherever it is, and its gradient goes to the window's first number."""
    rng = np.random.default_rng(0)
    x = rng.choice([np.nan, -np.inf, np.inf, 0.0, -0.0, 1.0], (4, 5, *window.size))
    gy, z = rng.normal(size=(4, 5, *window.out)), rng.normal(size=x.shape)
    y = windows.maxima(x, window)
    agree("maxima", (x,), window)
    agree("place", (gy, x, y), window, **EXACT)
    agree("choose", (z, x, y), window)


def test_a_window_over_padding_only(cupy_backend):
    """Its maximum is -inf, which is at no place of x."""
    window = Window((1,), (2,), (1,), ((3, 3),), (1,))
    x, gy, z = np.ones((1, 1, 1)), np.ones((1, 1, 6)), np.full((1, 1, 1), 2.0)
    pooling_agrees(window, x, gy, z)
    assert to_numpy(gathered.maxima(cupy_backend.asarray(x), window))[0, 0, 0] == -np.inf


def test_dtypes_that_differ(cupy_backend):
    """A convolution has the dtype to which its inputs promote; a gradient keeps its own."""
    rng = np.random.default_rng(0)
    x, W = small(rng, "float32", 2, 2, *OVERLAP.size), small(rng, "float64", 3, 2, *OVERLAP.kernel)
    gy = small(rng, "float64", 2, 3, *OVERLAP.out)
    convolution_agrees(OVERLAP, 1, x, W, gy, np.ones(3, "float32"), np.ones(2, "float32"))
    y, g = windows.maxima(x, OVERLAP), small(rng, "float64", 2, 2, *OVERLAP.out)
    agree("place", (g, x, y), OVERLAP)


def views(x):
    """The numbers of CuPy's x in arrays that are not C-contiguous."""
    yield x.T.copy().T
    yield x.repeat(2, axis=-1)[..., ::2]
    yield x[:, ::-1].copy()[:, ::-1]


def test_views(cupy_backend):
    """Transposed, strided, reversed, and broadcast with strides of 0."""
    import cupy

    rng = np.random.default_rng(0)
    x, W = rng.normal(size=(3, 4, *OVERLAP.size)), rng.normal(size=(2, 4, *OVERLAP.kernel))
    gy = rng.normal(size=(3, 2, *OVERLAP.out))
    for x_view, W_view, gy_view in zip(*map(views, map(cupy.asarray, (x, W, gy))), strict=True):
        assert not x_view.flags.c_contiguous
        for name, seen, plain in (
            ("correlate", (x_view, W_view, None), (x, W, None)),
            ("spread", (gy_view, W_view, None), (gy, W, None)),
            ("weigh", (x_view, gy_view), (x, gy)),
        ):
            y = getattr(gathered, name)(*seen, OVERLAP, 1)
            assert_close(to_numpy(y), getattr(windows, name)(*plain, OVERLAP, 1), **EXACT)
        assert_close(to_numpy(gathered.maxima(x_view, OVERLAP)), windows.maxima(x, OVERLAP))
    one = cupy.broadcast_to(cupy.ones((1, 1, 1, 1)), gy.shape)
    expected = windows.shares(np.ones(gy.shape), OVERLAP)
    assert_close(to_numpy(gathered.shares(one, OVERLAP)), expected, **EXACT)


@pytest.mark.parametrize("groups", [1, 2])
def test_in_parts(cupy_backend, monkeypatch, groups):
    """A batch whose columns take too much memory is computed in parts: here, image by image."""
    monkeypatch.setattr(gathered, "COLUMNS", 1)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 2 * groups, *OVERLAP.size))
    W = rng.normal(size=(3 * groups, 2, *OVERLAP.kernel))
    gy = rng.normal(size=(5, 3 * groups, *OVERLAP.out))
    b, c = rng.normal(size=3 * groups), rng.normal(size=2 * groups)
    convolution_agrees(OVERLAP, groups, x, W, gy, b, c, **EXACT)


def test_indices_of_64_bits(cupy_backend, monkeypatch):
    """The kernels for arrays of 2**30 numbers and more, on small arrays."""
    monkeypatch.setattr(gathered, "SHORT", 0)
    rng = np.random.default_rng(0)
    x, W = rng.normal(size=(3, 2, *OVERLAP.size)), rng.normal(size=(2, 2, *OVERLAP.kernel))
    gy = rng.normal(size=(3, 2, *OVERLAP.out))
    convolution_agrees(OVERLAP, 1, x, W, gy, np.ones(2), np.ones(2), **EXACT)
    pooling_agrees(OVERLAP, x, gy, x, **EXACT)


def test_sums_of_float16(cupy_backend):
    """They are taken in float32 and rounded once: 5,000 ones are 5,000; float16 stops at 2,048."""
    import cupy

    def ones(*shape):
        return cupy.ones(shape, "float16")

    window = window_over((10, 10), (10, 10), (1, 1), (0, 0), (1, 1))
    for outputs in (1, 2):  # for a single number CuPy uses another product
        W = ones(outputs, 50, 10, 10)
        y = gathered.correlate(ones(1, 50, 10, 10), W, ones(outputs), window, 1)
        assert (y.dtype, y.ravel().tolist()) == ("float16", [5000.0] * outputs)  # of 5,001
    window = window_over((1, 1), (1, 1), (1, 1), (0, 0), (1, 1))
    for outputs in (1, 2):
        W = gathered.weigh(ones(5000, 1, 1, 1), ones(5000, outputs, 1, 1), window, 1)
        assert (W.dtype, W.ravel().tolist()) == ("float16", [5000.0] * outputs)
    window = window_over((19,), (10,), (1,), (0,), (1,))
    x = gathered.spread(ones(1, 500, 10), ones(500, 1, 10), None, window, 1)
    assert (x.dtype, x[0, 0, 9].item()) == ("float16", 5000.0)
    window = window_over((5000,), (5000,), (1,), (0,), (1,))
    assert gathered.sums(ones(1, 1, 5000), window).item() == 5000.0
    window = window_over((5001,), (2501,), (1,), (0,), (1,))
    assert gathered.shares(ones(1, 1, 2501), window)[0, 0, 2500].item() == 2500.0  # of 2,501


def test_float16_is_not_rounded_on_the_way_back(cupy_backend):
    """2049 - 2048 = 1, though float16 holds neither 2049 nor the window's shares of it."""
    import cupy

    window = window_over((2,), (2,), (1,), (1,), (1,))
    gy = cupy.asarray([[[0.0, 1.0, -1.0], [0.0, 1.0, 0.0]]], "float16")
    W = cupy.asarray([[[0.0, 2048.0]], [[0.0, 1.0]]], "float16")
    W[:, :, 0] = cupy.asarray([[2048.0], [0.0]])
    x = gathered.spread(gy, W, None, window, 1)
    expected = windows.spread(to_numpy(gy).astype("f8"), to_numpy(W).astype("f8"), None, window, 1)
    assert x.tolist() == expected.tolist()


def test_results_are_contiguous(cupy_backend):
    """So flattening images copies nothing; and no result shares memory with an argument."""
    import cupy

    x, W = cupy.ones((2, 3, 4, 4), "float32"), cupy.ones((2, 3, 1, 1), "float32")
    window = window_over((4, 4), (1, 1), (1, 1), (0, 0), (1, 1))
    y = gathered.correlate(x, W, None, window, 1)
    for result in (
        y,
        gathered.spread(y, W, None, window, 1),
        gathered.weigh(x, y, window, 1),
        gathered.maxima(x, window),
        gathered.sums(x, window),
        gathered.shares(x, window),
        gathered.place(x, x, x, window),
        gathered.choose(x, x, x, window),
    ):
        assert result.flags.c_contiguous
        assert not cupy.may_share_memory(result, x)
    assert F.reshape(y, (2, -1)).base is y


def test_the_arrays_choose(cupy_backend):
    import cupy

    x = cupy.zeros((1, 1, 3))
    assert kernels(windows, x, x) is gathered
    assert kernels(windows, x, np.zeros(3)) is windows


def test_what_has_no_sum_and_no_maximum_is_an_error(cupy_backend):
    import cupy

    window = window_over((3,), (2,), (1,), (0,), (1,))
    with pytest.raises(TypeError, match=r"sums expected numbers, float16, .*, got bool"):
        gathered.sums(cupy.ones((1, 1, 3), bool), window)
    for dtype in "bool", "complex64":
        with pytest.raises(TypeError, match=f"maxima expected real numbers, .*, got {dtype}"):
            gathered.maxima(cupy.ones((1, 1, 3), dtype), window)


# --- other devices, streams and threads -----------------------------------------------------------


@pytest.fixture
def two_devices(cupy_backend):
    import cupy

    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("one device here; HOST_CUDA_DEVICES=2 emulates two")
    return cupy


def test_it_runs_where_the_arrays_lie(two_devices):
    """The result lies on the device of the arrays, whichever device is current."""
    cupy, rng = two_devices, np.random.default_rng(0)
    x, W = rng.normal(size=(2, 3, *OVERLAP.size)), rng.normal(size=(2, 3, *OVERLAP.kernel))
    with cupy.cuda.Device(1):
        x_there, W_there = cupy.asarray(x), cupy.asarray(W)
    with cupy.cuda.Device(0):
        y = gathered.correlate(x_there, W_there, None, OVERLAP, 1)
        largest = gathered.maxima(x_there, OVERLAP)
    assert y.device.id == largest.device.id == 1
    with cupy.cuda.Device(1):
        assert_close(y.get(), windows.correlate(x, W, None, OVERLAP, 1), **EXACT)
        assert_close(largest.get(), windows.maxima(x, OVERLAP))


def test_arrays_on_two_devices_are_an_error(two_devices):
    cupy = two_devices
    x = cupy.ones((2, 3, *OVERLAP.size))
    with cupy.cuda.Device(1):
        W = cupy.ones((2, 3, *OVERLAP.kernel))
    with pytest.raises(ValueError, match=r"one device, got some on the GPUs \[0, 1\]"):
        gathered.correlate(x, W, None, OVERLAP, 1)


def test_on_other_streams(cupy_backend):
    """Threads with a stream each: every kernel runs on the stream that is current."""
    import cupy

    rng = np.random.default_rng(0)
    xs = rng.normal(size=(4, 3, 2, *OVERLAP.size))
    W = rng.normal(size=(2, 2, *OVERLAP.kernel))
    found = [None] * len(xs)

    def compute(i):
        with cupy_backend.selected(), cupy.cuda.Stream(non_blocking=True):
            x, weight = cupy.asarray(xs[i]), cupy.asarray(W)
            y = gathered.correlate(x, weight, None, OVERLAP, 1)
            largest = gathered.maxima(y, pool)
            found[i] = largest.get(), gathered.place(largest, y, largest, pool).get()

    pool = window_over(OVERLAP.out, (2, 2), (1, 1), (1, 1), (1, 1))
    threads = [threading.Thread(target=compute, args=(i,)) for i in range(len(xs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for x, actual in zip(xs, found, strict=True):
        y = windows.correlate(x, W, None, OVERLAP, 1)
        largest = windows.maxima(y, pool)
        assert_close(actual[0], largest, **EXACT)
        assert_close(actual[1], windows.place(largest, y, largest, pool), **EXACT)
