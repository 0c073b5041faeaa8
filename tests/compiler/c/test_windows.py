"""Convolution and pooling in C against the portable functions on NumPy.

Most arrays hold small whole numbers, so that sums are exact in any order and results must be equal,
and so that there are equal maxima.
"""

import ctypes
import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.compiler.c import conftest
from tests.compiler.c.windows import Windows, address
from xpnet.compiler.c.windows import window_structure
from xpnet.errors import CompileError
from xpnet.functions import _windows as portable
from xpnet.kernels.window import Window

SETTINGS = hypothesis.settings(
    deadline=None,
    max_examples=80,
    # The fixtures are the library and two constants: no example changes them.
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
CPUINFO = Path("/proc/cpuinfo")
CPU_FLAGS = CPUINFO.read_text(encoding="utf-8").split() if CPUINFO.exists() else []
BATCHES = st.one_of(st.integers(0, 40), st.sampled_from([64, 100, 128]))


@pytest.fixture
def functions(library):
    """The C library with all functions for windows."""
    return library("window", "weigh", "pool", "layout")


@st.composite
def windows(draw, cut=False, pool=False):
    """A window over one or two axes: any kernel, stride, padding and dilation that fit."""
    axes = draw(st.integers(1, 2))
    kernel = tuple(draw(st.integers(1, 5)) for _ in range(axes))
    stride = tuple(draw(st.integers(1, 4)) for _ in range(axes))
    dilation = tuple(draw(st.integers(1, 3)) for _ in range(axes))
    padding = []
    size = []
    for k, d in zip(kernel, dilation, strict=True):
        reach = d * (k - 1) + 1
        widest = reach - 1 if pool else 5
        pad = [draw(st.integers(-2 if cut else 0, widest)) for _ in range(2)]
        least = max(reach - sum(pad), 1, -min(0, *pad) + 1)
        size.append(draw(st.integers(least, least + 9)))
        padding.append(tuple(pad))
    return Window(tuple(size), kernel, stride, tuple(padding), dilation)


def whole(rng, shape, dtype, most=3):
    """Random whole numbers, as floating-point numbers."""
    return rng.integers(-most, most + 1, shape).astype(dtype)


@st.composite
def convolutions(draw, cut=False):
    """A window, groups, and the shapes of x and W."""
    window = draw(windows(cut))
    groups = draw(st.integers(1, 3))
    batch = draw(BATCHES)
    channels = groups * draw(st.integers(1, 7))
    outputs = groups * draw(st.integers(1, 19))
    x = (batch, channels, *window.size)
    W = (outputs, channels // groups, *window.kernel)
    return window, groups, x, W, draw(st.integers(0, 2**32 - 1))


@hypothesis.given(convolutions(), st.booleans(), st.booleans())
@SETTINGS
def test_correlate(functions, suffix, dtype, given, rectified, with_bias):
    window, groups, x_shape, W_shape, seed = given
    rng = np.random.default_rng(seed)
    x = whole(rng, x_shape, dtype)
    W = whole(rng, W_shape, dtype)
    b = whole(rng, W_shape[:1], dtype) if with_bias else None
    y = Windows(functions, suffix, window, groups).correlate(x, W, b, rectified)
    expected = portable.correlate(x, W, b, window, groups)
    if rectified:
        expected = np.maximum(expected, 0)
    np.testing.assert_array_equal(y, expected)


@hypothesis.given(convolutions(), st.booleans())
@SETTINGS
def test_spread(functions, suffix, dtype, given, with_bias):
    window, groups, x_shape, W_shape, seed = given
    rng = np.random.default_rng(seed)
    gy = whole(rng, (x_shape[0], W_shape[0], *window.out), dtype)
    W = whole(rng, W_shape, dtype)
    b = whole(rng, x_shape[1:2], dtype) if with_bias else None
    gx = Windows(functions, suffix, window, groups).spread(gy, W, b)
    np.testing.assert_array_equal(gx, portable.spread(gy, W, b, window, groups))


@hypothesis.given(convolutions())
@SETTINGS
def test_weigh(functions, suffix, dtype, given):
    window, groups, x_shape, W_shape, seed = given
    rng = np.random.default_rng(seed)
    x = whole(rng, x_shape, dtype)
    gy = whole(rng, (x_shape[0], W_shape[0], *window.out), dtype)
    gW, gb = Windows(functions, suffix, window, groups).weigh(x, gy)
    np.testing.assert_array_equal(gW, portable.weigh(x, gy, window, groups))
    np.testing.assert_array_equal(gb, gy.sum(axis=(0, *range(2, gy.ndim))))


@pytest.mark.parametrize("batch", [1, 5, 33, 200])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("channels", "outputs"), [(70, 40), (33, 100)])
def test_weigh_of_many_channels(functions, suffix, dtype, batch, stride, channels, outputs):
    window = Window((5, 6), (3, 5), (1, stride), ((1, 1), (2, 1)), (1, 1))
    rng = np.random.default_rng(batch)
    x = whole(rng, (batch, channels, *window.size), dtype)
    gy = whole(rng, (batch, outputs, *window.out), dtype)
    gW, gb = Windows(functions, suffix, window).weigh(x, gy)
    np.testing.assert_array_equal(gW, portable.weigh(x, gy, window, 1))
    np.testing.assert_array_equal(gb, gy.sum(axis=(0, 2, 3)))


@hypothesis.given(convolutions(cut=True))
@SETTINGS
def test_negative_padding_cuts_x_off(functions, suffix, dtype, given):
    window, groups, x_shape, W_shape, seed = given
    rng = np.random.default_rng(seed)
    x = whole(rng, x_shape, dtype)
    W = whole(rng, W_shape, dtype)
    y = Windows(functions, suffix, window, groups).correlate(x, W)
    kept = tuple(
        slice(max(-before, 0), n - max(-after, 0))
        for n, (before, after) in zip(window.size, window.padding, strict=True)
    )
    inner = x[(..., *kept)]
    padding = tuple((max(before, 0), max(after, 0)) for before, after in window.padding)
    smaller = Window(inner.shape[2:], window.kernel, window.stride, padding, window.dilation)
    np.testing.assert_array_equal(y, portable.correlate(inner, W, None, smaller, groups))


@pytest.mark.parametrize(("kernel", "padding"), [(3, 1), (5, 2), (5, 0)])
def test_rounding_is_that_of_the_sums(functions, suffix, dtype, kernel, padding):
    """The error of a sum of n products is about sqrt(n) units in the last place of their sizes.

    Source of the bound: Higham and Mary, "A new approach to probabilistic rounding error analysis",
    2019.
    """
    window = Window((9, 10), (kernel, kernel), (1, 1), ((padding, padding),) * 2, (1, 1))
    rng = np.random.default_rng(3)
    x = rng.standard_normal((24, 12, 9, 10)).astype(dtype)
    W = rng.standard_normal((20, 12, kernel, kernel)).astype(dtype)
    gy = rng.standard_normal((24, 20, *window.out)).astype(dtype)
    in_c = Windows(functions, suffix, window)
    computed = in_c.correlate(x, W), in_c.spread(gy, W), in_c.weigh(x, gy)[0]
    terms = 12 * kernel**2, 20 * kernel**2, 24 * window.positions

    def all_three(x, W, gy):
        return (
            portable.correlate(x, W, None, window, 1),
            portable.spread(gy, W, None, window, 1),
            portable.weigh(x, gy, window, 1),
        )

    wide = [a.astype(np.longdouble) for a in (x, W, gy)]
    expected = all_three(*wide)
    sizes = all_three(*map(np.abs, wide))
    for got, right, size, n in zip(computed, expected, sizes, terms, strict=True):
        assert np.all(np.abs(got - right) <= 4 * np.sqrt(n) * np.finfo(dtype).eps / 2 * size)


@pytest.mark.parametrize("batch", [3, 16, 21])
def test_nan_and_infinity_reach_the_outputs_that_meet_them(functions, suffix, dtype, batch):
    window = Window((6, 5), (3, 2), (1, 1), ((1, 1), (1, 0)), (1, 1))
    rng = np.random.default_rng(5)
    x = whole(rng, (batch, 4, 6, 5), dtype)
    x[1, 2, 3, 4] = np.inf
    x[2, 0, 0, 0] = np.nan
    x[0, 1, 5, 1] = -np.inf
    W = whole(rng, (7, 4, 3, 2), dtype)
    gy = whole(rng, (batch, 7, *window.out), dtype)
    in_c = Windows(functions, suffix, window)
    with np.errstate(invalid="ignore"):
        expected = portable.correlate(x, W, None, window, 1)
        np.testing.assert_array_equal(in_c.correlate(x, W), expected)
        np.testing.assert_array_equal(in_c.correlate(x, W, rectified=True), np.maximum(expected, 0))
        np.testing.assert_array_equal(in_c.weigh(x, gy)[0], portable.weigh(x, gy, window, 1))


def test_two_threads_run_the_same_functions_at_once(functions, suffix, dtype):
    window = Window((12, 12), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
    in_c = Windows(functions, suffix, window)

    def computed(seed):
        rng = np.random.default_rng(seed)
        x = whole(rng, (20, 16, 12, 12), dtype)
        W = whole(rng, (24, 16, 3, 3), dtype)
        y = in_c.correlate(x, W)
        gy = whole(rng, y.shape, dtype)
        return y, in_c.spread(gy, W), in_c.weigh(x, gy)[0]

    seeds = range(40)
    alone = [computed(seed) for seed in seeds]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(computed, seeds))
    for one, other in zip(alone, together, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def compiled_for(processor, folder):
    """The library for an older kind of x86-64 processor."""
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        pytest.skip("the older processors are those of x86-64")
    names = ("window", "weigh", "pool", "layout")
    return conftest.compiled(names, folder, [f"-march={processor}"])


@pytest.fixture(scope="session", params=["x86-64-v2", "x86-64-v3"])
def older(library, request, tmp_path_factory):
    """The library for processors with 16 and 32 bytes in a vector, and half as many registers."""
    library("window", "weigh", "pool", "layout")  # skips where there is no compiler
    if request.param == "x86-64-v3" and "avx2" not in CPU_FLAGS:
        pytest.skip("this processor has no AVX2")
    return compiled_for(request.param, tmp_path_factory.mktemp("older"))


@pytest.mark.parametrize("outputs", [5, 70])
@pytest.mark.parametrize("batch", [1, 11, 64])
@pytest.mark.parametrize("stride", [1, 2])
def test_older_processors(older, suffix, dtype, outputs, batch, stride):
    window = Window((8, 9), (3, 4), (stride, stride), ((1, 1), (2, 1)), (1, 1))
    rng = np.random.default_rng(outputs)
    x = whole(rng, (batch, 24, 8, 9), dtype)
    W = whole(rng, (outputs, 24, 3, 4), dtype)
    in_c = Windows(older, suffix, window)
    y = in_c.correlate(x, W)
    np.testing.assert_array_equal(y, portable.correlate(x, W, None, window, 1))
    gy = whole(rng, y.shape, dtype)
    np.testing.assert_array_equal(in_c.spread(gy, W), portable.spread(gy, W, None, window, 1))
    np.testing.assert_array_equal(in_c.weigh(x, gy)[0], portable.weigh(x, gy, window, 1))
    largest, index = in_c.maxima(x)
    np.testing.assert_array_equal(largest, portable.maxima(x, window))
    gradient = whole(rng, largest.shape, dtype)
    gx, _ = in_c.place(gradient, index)
    np.testing.assert_array_equal(gx, portable.place(gradient, x, largest, window))


# --- pooling ---------------------------------------------------------------------------------------

SPECIAL = [0.0, 1.0, 2.0, -1.0, np.nan, np.inf, -np.inf]


@st.composite
def pools(draw):
    """A window, and the batch and the channels of x."""
    return draw(windows(pool=True)), draw(BATCHES), draw(st.integers(1, 4))


@hypothesis.given(pools(), st.integers(0, 2**32 - 1), st.booleans())
@SETTINGS
def test_maxima_and_their_gradient(functions, suffix, dtype, given, seed, special):
    window, batch, channels = given
    rng = np.random.default_rng(seed)
    x = whole(rng, (batch, channels, *window.size), dtype)
    if special:
        x = rng.choice(np.asarray(SPECIAL, dtype), x.shape)
    gy = whole(rng, (batch, channels, *window.out), dtype)
    in_c = Windows(functions, suffix, window)
    y, index = in_c.maxima(x)
    np.testing.assert_array_equal(y, portable.maxima(x, window))
    np.testing.assert_array_equal(in_c.maxima(x, with_index=False)[0], y)
    expected = portable.place(gy, x, y, window)
    gx, total = in_c.place(gy, index)
    np.testing.assert_array_equal(gx, expected)
    np.testing.assert_array_equal(total, expected.sum(axis=(0, *range(2, expected.ndim))))
    np.testing.assert_array_equal(in_c.place_by_values(gy, x, y), expected)


@hypothesis.given(pools(), st.integers(0, 2**32 - 1))
@SETTINGS
def test_sums_and_shares(functions, suffix, dtype, given, seed):
    window, batch, channels = given
    rng = np.random.default_rng(seed)
    x = whole(rng, (batch, channels, *window.size), dtype)
    gy = whole(rng, (batch, channels, *window.out), dtype)
    in_c = Windows(functions, suffix, window)
    np.testing.assert_array_equal(in_c.sums(x), portable.sums(x, window))
    np.testing.assert_array_equal(in_c.shares(gy), portable.shares(gy, window))


def test_place_by_values_takes_windows_of_any_size(functions, suffix, dtype):
    window = Window((14, 13), (12, 13), (1, 1), ((0, 0), (0, 0)), (1, 1))
    x = whole(np.random.default_rng(1), (5, 2, 14, 13), dtype)
    in_c = Windows(functions, suffix, window)
    y, _ = in_c.maxima(x, with_index=False)
    gy = y + 10
    expected = portable.place(gy, x, y, window)
    np.testing.assert_array_equal(in_c.place_by_values(gy, x, y), expected)


@st.composite
def convolutions_with_pools(draw):
    """A convolution, and a window that slides over its outputs."""
    given = draw(convolutions())
    window = given[0]
    kernel = tuple(draw(st.integers(1, min(3, n))) for n in window.out)
    stride = tuple(draw(st.integers(1, 3)) for _ in kernel)
    padding = tuple((draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))) for k in kernel)
    return given, Window(window.out, kernel, stride, padding, (1,) * len(kernel))


@hypothesis.given(convolutions_with_pools(), st.booleans(), st.booleans())
@SETTINGS
def test_correlate_maxima(functions, suffix, dtype, given, rectified, special):
    (window, groups, x_shape, W_shape, seed), pool = given
    rng = np.random.default_rng(seed)
    x = whole(rng, x_shape, dtype)
    if special:
        x[rng.random(x.shape) < 0.02] = np.nan
    W = whole(rng, W_shape, dtype)
    b = whole(rng, W_shape[:1], dtype)
    y, index = Windows(functions, suffix, window, groups, pool).correlate_maxima(x, W, b, rectified)
    with np.errstate(invalid="ignore"):
        z = portable.correlate(x, W, b, window, groups)
        h = np.maximum(z, 0) if rectified else z
        pooled = portable.maxima(h, pool)
        np.testing.assert_array_equal(y, pooled)
        gy = whole(rng, y.shape, dtype)
        expected = portable.place(gy, h, pooled, pool)
        if rectified:
            expected = np.where(z > 0, expected, 0)
    gz, _ = Windows(functions, suffix, pool).place(gy, index)
    np.testing.assert_array_equal(gz, expected)


@pytest.mark.parametrize("batch", [1, 20, 128])
def test_correlate_maxima_of_lenet(functions, suffix, dtype, batch):
    window = Window((14, 14), (5, 5), (1, 1), ((0, 0), (0, 0)), (1, 1))
    pool = Window((10, 10), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))
    rng = np.random.default_rng(batch)
    x = whole(rng, (batch, 6, 14, 14), dtype)
    W = whole(rng, (16, 6, 5, 5), dtype)
    b = whole(rng, (16,), dtype)
    y, _ = Windows(functions, suffix, window, 1, pool).correlate_maxima(x, W, b, True)
    z = np.maximum(portable.correlate(x, W, b, window, 1), 0)
    np.testing.assert_array_equal(y, portable.maxima(z, pool))


# --- layouts ---------------------------------------------------------------------------------------


@hypothesis.given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 5), st.integers(0, 5))
@SETTINGS
def test_transpose(functions, suffix, dtype, rows, columns, x_more, y_more):
    x = np.arange(rows * (columns + x_more), dtype=dtype).reshape(rows, columns + x_more)
    y = np.full((columns, rows + y_more), -1, dtype)
    sizes = map(ctypes.c_int64, (rows, columns))
    function = getattr(functions, f"transpose_{suffix}")
    function(
        *sizes,
        address(x),
        ctypes.c_int64(columns + x_more),
        address(y),
        ctypes.c_int64(rows + y_more),
    )
    np.testing.assert_array_equal(y[:, :rows], x[:, :columns].T)
    assert np.all(y[:, rows:] == -1)


def test_a_window_over_volumes_is_refused():
    volume = Window((3, 3, 3), (1, 1, 1), (1, 1, 1), ((0, 0),) * 3, (1, 1, 1))
    with pytest.raises(CompileError, match="one or two axes, got 3"):
        window_structure(volume, 1, 1)
