"""Pooling: against loops and PyTorch, its derivatives against differences."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import xpnet
from xpnet import ShapeError, Variable, functions as F, gradients
from xpnet.testing import assert_close, check_gradients

DRAWN = settings(max_examples=25, deadline=None, derandomize=True, database=None)

# x, kernel, options
CASES = {
    "plain": ((2, 3, 4, 6), 2, {}),
    "kernel of 1": ((2, 1, 3, 2), 1, {}),
    "a signal": ((2, 2, 7), 3, {"stride": 2}),
    "a volume": ((1, 2, 4, 3, 2), 2, {"stride": 1}),
    "overlapping": ((2, 2, 5, 6), (3, 2), {"stride": (2, 1), "padding": (1, 0)}),
    "some are not met": ((1, 2, 7, 5), (2, 1), {"stride": (3, 2)}),
    "reaching out": ((1, 2, 6, 5), (3, 2), {"stride": (2, 2), "ceil_mode": True}),
    "padded, reaching out": ((1, 1, 5, 5), 3, {"stride": 3, "padding": 1, "ceil_mode": True}),
    "an empty batch": ((0, 2, 4, 4), 2, {}),
}


def windows(shape, kernel, *, stride=None, padding=0, ceil_mode=False):
    """For each position: its index, the slices inside x, and the count of numbers with the padding."""
    d = len(shape) - 2
    k, p = ((v if isinstance(v, tuple) else (v,) * d) for v in (kernel, padding))
    s = k if stride is None else stride if isinstance(stride, tuple) else (stride,) * d
    axes = []
    for n, ki, si, pi in zip(shape[2:], k, s, p, strict=True):
        starts = [a for a in range(-pi, n + pi, si) if a + ki <= n + pi or (ceil_mode and a < n)]
        axes.append([(a, min(a + ki, n + pi), n) for a in starts])
    for place in product(*(range(len(axis)) for axis in axes)):
        spans = [axis[i] for axis, i in zip(axes, place, strict=True)]
        slices = tuple(slice(max(a, 0), min(b, n)) for a, b, n in spans)
        yield place, slices, math.prod(b - a for a, b, _ in spans)


def by_loops(x, kernel, what, **options):
    found = list(windows(x.shape, kernel, **options))
    y = np.zeros((*x.shape[:2], *(i + 1 for i in found[-1][0])))
    for place, slices, count in found:
        met = x[(slice(None), slice(None), *slices)]
        met = met.reshape(*x.shape[:2], math.prod(met.shape[2:]))
        y[(slice(None), slice(None), *place)] = what(met, count)
    return y


def drawn(shape, low=-9, high=9):
    """Whole numbers, some of which are equal."""
    return np.random.default_rng(0).integers(low, high, shape).astype("float64")


@pytest.mark.parametrize("case", CASES)
def test_max_pool_follows_its_formula(backend64, array, case):
    """The maximum of the numbers inside x; padding is never the maximum."""
    shape, kernel, options = CASES[case]
    x = drawn(shape, -9, -1)
    expected = by_loops(x, kernel, lambda met, _: met.max(axis=-1), **options)
    assert_close(F.max_pool(array(x), kernel, **options), expected)


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_avg_pool_follows_its_formula(backend64, array, case, include):
    """The sum, divided by the count of numbers with the padding, or without it."""
    shape, kernel, options = CASES[case]
    x = drawn(shape)
    expected = by_loops(
        x, kernel, lambda met, n: met.sum(-1) / (n if include else met.shape[-1]), **options
    )
    y = F.avg_pool(array(x), kernel, count_include_pad=include, **options)
    assert_close(y, expected, rtol=1e-14)


OF_DERIVATIVES = [
    ((1, 2, 4), 2, {}),
    ((1, 1, 3, 4), (2, 3), {"stride": (2, 1), "padding": (0, 1), "ceil_mode": True}),
]


@pytest.mark.parametrize(("shape", "kernel", "options"), OF_DERIVATIVES, ids=["plain", "reaching"])
def test_derivatives(backend64, array, order, shape, kernel, options):
    """To the third order, against differences; the numbers are far apart, so the maxima stay the
    same.
    """
    x = array(np.random.default_rng(0).permutation(math.prod(shape)).reshape(shape) / 10.0)
    order = order if options or order == 1 else 3
    check_gradients(lambda x: F.max_pool(F.tanh(x), kernel, **options) ** 3, x, order=order)
    options = {**options, "count_include_pad": False}
    check_gradients(lambda x: F.avg_pool(F.tanh(x), kernel, **options) ** 3, x, order=order)


def test_derivatives_of_global_pooling(backend64, array, order):
    """First and second order against differences."""
    x = array(np.random.default_rng(0).permutation(12).reshape(2, 1, 2, 3) / 10.0)
    check_gradients(lambda x: F.global_avg_pool(x * x) ** 2, x, order=order)
    check_gradients(lambda x: F.global_max_pool(x * x) ** 2, x, order=order)


def test_the_first_of_equal_maxima_has_the_gradient(backend, array):
    """Row by row, also where windows overlap; padding has no gradient, even for maxima of -inf."""
    x = Variable(array([[[[1.0, 3.0, 3.0], [3.0, 0.0, 3.0]]]]))
    gy = array([[[[10.0, 1.0]]]])
    (gx,) = gradients(F.max_pool(x, 2, stride=1), [x], gy)
    assert_close(gx, [[[[0.0, 11.0, 0.0], [0.0, 0.0, 0.0]]]])
    x = Variable(array([[[-math.inf, -math.inf]]]))
    (gx,) = gradients(F.max_pool(x, 2, padding=1), [x], array([[[1.0, 2.0]]]))
    assert_close(gx, [[[1.0, 2.0]]])
    x = Variable(array([[[5.0, 7.0, 7.0]]]))
    (gx,) = gradients(F.global_max_pool(x), [x], array([[1.0]]))
    assert_close(gx, [[[0.0, 1.0, 0.0]]])


def test_nan_is_the_maximum(backend, array):
    """A NaN is not lost, and the gradient of its window goes to one number."""
    x = Variable(array([[[1.0, math.nan, 2.0, 3.0]]]))
    y = F.max_pool(x, 2)
    assert_close(y, [[[math.nan, 3.0]]])
    (gx,) = gradients(y, [x], array([[[1.0, 2.0]]]))
    assert_close(gx, [[[1.0, 0.0, 0.0, 2.0]]])


def test_max_pool_of_integers(backend, xp):
    """Padding is below all of them."""
    x = xp.asarray([[[3, 200, 0]]], dtype=xp.uint8, device=backend.device)
    y = F.max_pool(x, 2, stride=1, padding=1)
    assert y.dtype == xp.uint8
    assert_close(y, [[[3, 200, 200, 0]]])


def test_global_pooling(backend, array):
    """Of signals and images."""
    x = array([[[[1.0, 2.0], [3.0, 6.0]], [[0.0, -4.0], [0.0, 0.0]]]])
    assert_close(F.global_avg_pool(x), [[3.0, -1.0]])
    assert_close(F.global_max_pool(x), [[6.0, 0.0]])
    assert_close(F.global_avg_pool(x[0, ...]), [[1.5, 4.5], [-2.0, 0.0]])


def test_means_of_float16(backend, array):
    """The sum, 90,000, and the number of places, 90,000, are above float16's range."""
    if not hasattr(backend.xp, "float16"):
        pytest.skip("float16 is none of the standard's dtypes; this library keeps to those")
    float16 = backend.xp.float16
    x = Variable(array([[[30000.0, 30000.0, 30000.0]]], float16))
    y = F.avg_pool(x, 3)
    (g,) = gradients(y, [x], array([[[3.0]]], float16))
    assert y.dtype == g.dtype == float16
    assert_close(y, [[[30000.0]]])
    assert_close(g, [[[1.0, 1.0, 1.0]]], rtol=1e-3)
    x = Variable(array(np.full((1, 1, 300, 300), 10.0).tolist(), float16))
    y = F.global_avg_pool(x)
    (g,) = gradients(y, [x], array([[9000.0]], float16))
    assert y.dtype == g.dtype == float16
    assert_close(y, [[10.0]])
    assert_close(g, np.full((1, 1, 300, 300), 0.1), rtol=1e-3)


@st.composite
def pools(draw):
    """The shape of x, a kernel and options, as PyTorch accepts them."""
    d = draw(st.integers(1, 2))

    def axes(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(d))

    kernel = axes(1, 4)
    stride = axes(1, 4)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    least = [max(1, k - 2 * p) for k, p in zip(kernel, padding, strict=True)]
    size = tuple(n + draw(st.integers(0, 6)) for n in least)
    options = {"stride": stride, "padding": padding, "ceil_mode": draw(st.booleans())}
    return (draw(st.integers(1, 3)), draw(st.integers(1, 3)), *size), kernel, options


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@DRAWN
@given(data=st.data())
def test_pooling_agrees_with_pytorch(dtype, data):
    """Value and gradient of both, with equal maxima, over drawn windows."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    shape, kernel, options = data.draw(pools())
    f = torch.nn.functional
    d = len(shape) - 3
    dilation = data.draw(st.integers(1, 2)) if not any(options["padding"]) else 1
    if all(n > dilation * (k - 1) for n, k in zip(shape[2:], kernel, strict=True)):
        dilated = {**options, "dilation": dilation}
        agree(torch, F.max_pool, [f.max_pool1d, f.max_pool2d][d], shape, kernel, dilated, dtype)
    options["count_include_pad"] = data.draw(st.booleans())
    agree(torch, F.avg_pool, [f.avg_pool1d, f.avg_pool2d][d], shape, kernel, options, dtype)


def agree(torch, ours, theirs, shape, kernel, options, dtype):
    x = drawn(shape, 0, 5).astype(dtype)
    tensor = torch.tensor(x, requires_grad=True)
    expected = theirs(tensor, kernel, **options)
    gy = np.random.default_rng(1).uniform(0.5, 1.5, expected.shape).astype(dtype)
    expected.backward(torch.tensor(gy))
    rtol = 1e-10 if dtype == "float64" else 1e-5
    with xpnet.using("numpy"):
        v = Variable(x)
        y = ours(v, kernel, **options)
        assert_close(y, expected.detach(), rtol=rtol)
        (gx,) = gradients(y, [v], gy)
        assert gx.dtype == dtype
        assert_close(gx, tensor.grad, rtol=rtol)


def test_any_memory_layout():
    """NumPy's arrays with gaps, negative strides or Fortran order give the result of their copies."""
    x = drawn((4, 4, 6, 6))
    with xpnet.using("numpy"):
        for a in (x[::2, ::2], x[::-2, 1:3, ::-1], np.asfortranarray(x), x.mT):
            for pool in (F.max_pool, F.avg_pool):
                v = Variable(a)
                w = Variable(a.copy())
                y = pool(v, 3, stride=2, padding=1)
                expected = pool(w, 3, stride=2, padding=1)
                assert_close(y, expected)
                gy = np.asfortranarray(drawn(y.shape))
                assert_close(gradients(y, [v], gy)[0], gradients(expected, [w], gy.copy())[0])


def test_invalid_shapes_and_options_are_errors():
    """The message says what was expected and what was given."""
    x = np.zeros((2, 3, 4, 4))
    for pool in (F.max_pool, F.avg_pool):
        with pytest.raises(ShapeError, match=r"\(batch, channels, \*spatial\), got \(4, 4\)"):
            pool(x[0, 0], 2)
        with pytest.raises(ShapeError, match=r"window of \(5, 2\) does not fit into \(4, 4\)"):
            pool(x, (5, 2))
        with pytest.raises(ValueError, match=r"shorter than the window, of length \(3, 3\)"):
            pool(x, 3, padding=3)
        with pytest.raises(ValueError, match="Expected a whole number from 1, or 2 of them"):
            pool(x, (2, 2, 2))
    for pool in (F.global_avg_pool, F.global_max_pool):
        with pytest.raises(ShapeError, match=r"expected x of shape \(batch, channels, \*spatial\)"):
            pool(x[0, 0])
        with pytest.raises(ShapeError, match=r"got \(2, 3, 0\)"):
            pool(np.zeros((2, 3, 0)))


# --- padding above half the window, and windows with gaps -----------------------------------------

WIDE = {  # x, kernel, options
    "two of three": ((2, 2, 4, 5), 3, {"padding": 2, "stride": 1}),
    "all but one": ((1, 2, 3, 4), (3, 4), {"padding": (2, 3), "stride": (2, 1)}),
    "beside a dilation": ((1, 1, 6, 5), 2, {"padding": 2, "dilation": 3, "stride": 1}),
    "gaps": ((2, 1, 6, 7), 2, {"dilation": (2, 3)}),
    "gaps, padded": ((1, 2, 7, 6), 3, {"dilation": 2, "padding": 1, "stride": 2}),
    "gaps, reaching out": ((1, 1, 8, 6), 2, {"dilation": 2, "stride": 3, "ceil_mode": True}),
    "both ends at once": ((1, 1, 2, 2), 2, {"padding": 3, "dilation": 4, "stride": 1}),
    "a signal": ((2, 2, 9), 3, {"padding": 4, "dilation": 2, "stride": 2, "ceil_mode": True}),
}


def met_by_hand(x, kernel, *, stride=None, padding=0, dilation=1, ceil_mode=False):
    """For each position along each axis: the indices under its window, and their count with
    padding.
    """
    d = x.ndim - 2
    kernel, padding, dilation = (
        v if isinstance(v, tuple) else (v,) * d for v in (kernel, padding, dilation)
    )
    stride = kernel if stride is None else stride if isinstance(stride, tuple) else (stride,) * d
    axes = []
    for n, k, s, p, g in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True):
        last = n + p - g * (k - 1) - 1  # the start of the last window that ends within the padding
        starts = [
            a for a in range(-p, n + p, s) if a <= last or (ceil_mode and a - s < last and a < n)
        ]
        places = [[a + g * i for i in range(k)] for a in starts]
        axes.append(
            [([i for i in at if 0 <= i < n], sum(-p <= i < n + p for i in at)) for at in places]
        )
    return axes


def pooled_by_hand(x, kernel, what, **options):
    axes = met_by_hand(x, kernel, **options)
    y = np.zeros((*x.shape[:2], *map(len, axes)))
    for place in product(*(range(len(axis)) for axis in axes)):
        chosen = [axis[i] for axis, i in zip(axes, place, strict=True)]
        met = x
        for axis, (indices, _) in enumerate(chosen):
            met = np.take(met, np.asarray(indices, int), axis=axis + 2)
        y[(slice(None), slice(None), *place)] = what(
            met.reshape(*x.shape[:2], math.prod(met.shape[2:])), math.prod(c for _, c in chosen)
        )
    return y


@pytest.mark.parametrize("case", WIDE)
def test_wide_padding_and_dilation(backend64, array, case):
    """The maximum is -inf where only padding lies under the window, and the mean is 0, by either
    count.
    """
    shape, kernel, options = WIDE[case]
    x = drawn(shape, -9, -1)
    expected = pooled_by_hand(
        x, kernel, lambda met, _: met.max(axis=-1, initial=-math.inf), **options
    )
    assert_close(F.max_pool(array(x), kernel, **options), expected)
    for include in (True, False):
        expected = pooled_by_hand(
            x,
            kernel,
            lambda met, count, i=include: met.sum(axis=-1) / max(count if i else met.shape[-1], 1),
            **options,
        )
        y = F.avg_pool(array(x), kernel, count_include_pad=include, **options)
        assert_close(y, expected, rtol=1e-13)


@pytest.mark.parametrize("case", ["two of three", "gaps, padded", "both ends at once"])
def test_derivatives_of_wide_padding_and_dilation(backend64, array, case, order):
    shape, kernel, options = WIDE[case]
    numbers = np.random.default_rng(0).permutation(math.prod(shape)).reshape(shape) / 7.0
    x = array(numbers)
    for include in (True, False):
        check_gradients(
            lambda x, i=include: F.avg_pool(x, kernel, count_include_pad=i, **options),
            x,
            order=order,
        )
    if case != "both ends at once":  # some of its maxima are -inf
        check_gradients(lambda x: F.max_pool(x, kernel, **options), x, order=order)


def test_a_window_over_padding_only_has_no_gradient(backend, array):
    """Its maximum is -inf, and does not depend on x."""
    x = Variable(array([[[1.0, 2.0]]]))
    y = F.max_pool(x, 2, stride=1, padding=3, dilation=4)
    assert_close(y, [[[2.0, -math.inf, -math.inf, 1.0]]])
    (g,) = gradients(y, [x], array(np.ones(y.shape, "float32")))
    assert_close(g, [[[1.0, 1.0]]])


def test_padding_as_long_as_the_window_is_an_error(backend, array):
    """Windows would lie in the padding only; the length counts with the dilation."""
    x = array([[[1.0, 2.0, 3.0]]])
    for pool in (F.max_pool, F.avg_pool):
        for options in ({"padding": 2}, {"padding": 3, "dilation": 2}):
            with pytest.raises(ValueError, match="shorter than the window"):
                pool(x, 2, **options)
        assert pool(x, 2, padding=1, stride=1).shape == (1, 1, 4)
        assert pool(x, 2, padding=2, dilation=2, stride=1).shape == (1, 1, 5)


def test_dilation_of_the_layers(backend, array):
    """AvgPool1d and AvgPool2d pass it on, and show it."""
    x = array(np.arange(32.0, dtype="float32").reshape(1, 1, 4, 8))
    layer = xpnet.layers.AvgPool2d(2, stride=1, dilation=(2, 3))
    assert_close(layer(x), F.avg_pool(x, 2, stride=1, dilation=(2, 3)))
    assert repr(layer) == "AvgPool2d(kernel_size=2, stride=1, dilation=(2, 3))"
    signal = xpnet.layers.AvgPool1d(2, stride=1, dilation=2)
    assert_close(signal(x[0, ...]), F.avg_pool(x[0, ...], 2, stride=1, dilation=2))
