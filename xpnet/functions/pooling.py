"""Pooling: the maximum or the mean of the numbers under a sliding window, channel by channel."""

import math
from functools import lru_cache

import array_api_compat as compat

from xpnet._libraries.devices import follows
from xpnet._typing import Array
from xpnet.autodiff._messages import named
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.errors import ArgumentError, ShapeError
from xpnet.functions import _windows as windows
from xpnet.functions._in_float32 import cast_like, widened
from xpnet.kernels import kernels, lookup
from xpnet.kernels.window import Lengths, Padding, Sizes, Window, lengths, sliding


class MaxPool(Function):
    """The maximum under the window; the gradient goes to the first of equal maxima."""

    def __init__(self, window: Window) -> None:
        self.window = window

    def forward(self, x: Array) -> Array:
        return kernels(windows, x).maxima(x, self.window)

    def backward(self, gy: Array, y: Array, x: Array) -> Array:
        return Place(self.window, data_of(x), data_of(y))(gy)


class Place(Function):
    """Zeros, with gy added where the maxima y of x are: linear, with the transpose `Choose`."""

    def __init__(self, window: Window, x: Array, y: Array) -> None:
        self.window = window
        self.x = x
        self.y = y

    def forward(self, gy: Array) -> Array:
        return kernels(windows, gy).place(gy, self.x, self.y, self.window)

    def backward(self, gy: Array) -> Array:
        return Choose(self.window, self.x, self.y)(gy)


class Choose(Function):
    """For each place of the window, the number of z at the place of the maximum y of x."""

    def __init__(self, window: Window, x: Array, y: Array) -> None:
        self.window = window
        self.x = x
        self.y = y

    def forward(self, z: Array) -> Array:
        return kernels(windows, z).choose(z, self.x, self.y, self.window)

    def backward(self, gy: Array) -> Array:
        return Place(self.window, self.x, self.y)(gy)


class WindowSum(Function):
    """The sum of the numbers under the window: linear, with the transpose `WindowShare`."""

    def __init__(self, window: Window) -> None:
        self.window = window

    def forward(self, x: Array) -> Array:
        return kernels(windows, x).sums(x, self.window)

    def backward(self, gy: Array) -> Array:
        return WindowShare(self.window)(gy)


class WindowShare(Function):
    """Every number of gy, added to all the places that lay under the window."""

    def __init__(self, window: Window) -> None:
        self.window = window

    def forward(self, gy: Array) -> Array:
        return kernels(windows, gy).shares(gy, self.window)

    def backward(self, gy: Array) -> Array:
        return WindowSum(self.window)(gy)


@named
@follows
def max_pool(
    x: Array,
    kernel_size: Lengths,
    *,
    stride: Lengths | None = None,
    padding: Lengths = 0,
    dilation: Lengths = 1,
    ceil_mode: bool = False,
) -> Array:
    """The maximum under a window that slides over each channel.

    Parameters
    ----------
    x : array or Variable, shape (batch, channels, *spatial)
        Any number of spatial axes, at least one.
    kernel_size : int, or one for each axis
        The lengths of the window.
    stride : int, or one for each axis, optional
        The step from one window to the next; by default the length of the window, so that windows
        do not overlap.
    padding : int, or one for each axis
        How far a window may reach beyond each end: less than the (dilated) length of the window, as
        in ONNX, so that no window lies wholly outside. PyTorch allows half of that length.
    dilation : int, or one for each axis
        The distance between neighbouring numbers of the window.
    ceil_mode : bool
        Whether to include a last window that begins inside x and reaches beyond its end.

    Returns
    -------
    array or Variable, shape (batch, channels, *places)

    Raises
    ------
    ShapeError
        The window does not fit into x.
    ValueError
        The padding is as long as the window.

    Notes
    -----
    Where a dilated window covers only padding, the maximum is -inf. The gradient goes to the first
    of equal maxima, row by row, as in PyTorch; in a window that holds NaN, whose maximum is NaN, to
    its first number. Source: Riesenhuber and Poggio, "Hierarchical models of object recognition in
    cortex", 1999.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.max_pool(F.asarray([[[1.0, 3.0, 5.0, 7.0]]]), 2)
    Variable(array([[[3., 7.]]], dtype=float32))
    """
    window, _ = _window("max_pool", x, kernel_size, stride, padding, dilation, ceil_mode)
    return MaxPool(window)(x)


@named
@follows
def avg_pool(
    x: Array,
    kernel_size: Lengths,
    *,
    stride: Lengths | None = None,
    padding: Lengths = 0,
    dilation: Lengths = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """The mean of the numbers under a window that slides over each channel.

    Parameters
    ----------
    x, kernel_size, stride, padding, dilation, ceil_mode
        As for `max_pool`.
    count_include_pad : bool
        Whether padding counts as zeros, or not at all.

    Returns
    -------
    array or Variable, shape (batch, channels, *places)

    Raises
    ------
    ShapeError
        The window does not fit into x.
    ValueError
        The padding is as long as the window.
    TypeError
        x is not of floating-point numbers.

    Notes
    -----
    Where a dilated window covers only padding that does not count, the mean is 0. For float16 and
    bfloat16 inputs, sums are computed in float32. With `ceil_mode`, places beyond the padding never
    count. Source: LeCun et al., "Gradient-based learning applied to document recognition", 1998.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.avg_pool(F.asarray([[[1.0, 3.0, 5.0, 7.0]]]), 2)
    Variable(array([[[2., 6.]]], dtype=float32))
    """
    window, around = _window("avg_pool", x, kernel_size, stride, padding, dilation, ceil_mode)
    y = WindowSum(window)(widened("avg_pool", x))
    counted = around if count_include_pad else None
    count: Array | float | None = _count(window, counted)
    if count is None:
        count = _count_at_each_place(window, counted, data_of(y))
    return cast_like(y / count, x)


@named
@follows
def global_avg_pool(x: Array) -> Array:
    """The mean of each channel: (batch, channels, *spatial) to (batch, channels).

    Source: Lin, Chen and Yan, "Network in network", 2014.

    Parameters
    ----------
    x : array or Variable, shape (batch, channels, *spatial)

    Returns
    -------
    array or Variable, shape (batch, channels)

    Raises
    ------
    ShapeError
        x has no spatial axis.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.global_avg_pool(F.asarray([[[1.0, 3.0, 5.0, 7.0]]]))
    Variable(array([[4.]], dtype=float32))
    """
    axes = tuple(range(2, _spatial("global_avg_pool", x) + 2))
    return cast_like(array_namespace(x).mean(widened("global_avg_pool", x), axis=axes), x)


@named
@follows
def global_max_pool(x: Array) -> Array:
    """The maximum of each channel: (batch, channels, *spatial) to (batch, channels).

    The gradient goes to the first of equal maxima.

    Parameters
    ----------
    x : array or Variable, shape (batch, channels, *spatial)

    Returns
    -------
    array or Variable, shape (batch, channels)

    Raises
    ------
    ShapeError
        x has no spatial axis.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.global_max_pool(F.asarray([[[1.0, 3.0, 5.0, 7.0]]]))
    Variable(array([[7.]], dtype=float32))
    """
    xp = array_namespace(x)
    ones = (1,) * _spatial("global_max_pool", x)
    if lookup.kernel(
        "maxima", data_of(x)
    ):  # one launch each way, where argmax and indexing take twenty
        size = tuple(x.shape[2:])
        whole = sliding(size, size, ones, ((0, 0),) * len(size), ones)
        return xp.reshape(MaxPool(whole)(x), x.shape[:2])
    rows = xp.reshape(x, (*x.shape[:2], math.prod(x.shape[2:])))
    places = xp.argmax(rows, axis=2, keepdims=True)
    return xp.take_along_axis(rows, places, axis=2)[:, :, 0]


def _spatial(name: str, x: Array) -> int:
    """The number of spatial axes of x; ShapeError if it has none, or an empty one."""
    if x.ndim < 3 or 0 in x.shape[2:]:
        raise ShapeError(
            f"{name} expected x of shape (batch, channels, *spatial), got {tuple(x.shape)}."
        )
    d: int = x.ndim - 2
    return d


def _window(
    name: str,
    x: Array,
    kernel: Lengths,
    stride: Lengths | None,
    padding: Lengths,
    dilation: Lengths,
    ceil_mode: bool,
) -> tuple[Window, Sizes]:
    """The window, and the padding that was asked for: `ceil_mode` may add more to the window's."""
    d = _spatial(name, x)
    kernel = lengths(kernel, d)
    stride = kernel if stride is None else lengths(stride, d)
    around = lengths(padding, d, least=0)
    gaps = lengths(dilation, d)
    reach = tuple(g * (k - 1) + 1 for k, g in zip(kernel, gaps, strict=True))
    if any(p >= r for p, r in zip(around, reach, strict=True)):
        raise ArgumentError(
            f"{name} expected a padding that is shorter than the window, of length {reach}, got "
            f"{around}: a window must not lie entirely in the padding."
        )
    window = sliding(tuple(x.shape[2:]), kernel, stride, tuple((p, p) for p in around), gaps)
    if ceil_mode:
        padded = _padding_with_last_window(window, around)
        window = sliding(window.size, kernel, stride, padded, gaps)
    return window, around


def _padding_with_last_window(window: Window, around: Sizes) -> Padding:
    """The padding before and after each axis that makes room for a last, incomplete window."""
    padding = []
    for n, reach, stride, p, size in zip(
        window.padded, window.reach, window.stride, around, window.size, strict=True
    ):
        places = -((reach - n) // stride) + 1  # (n - reach) / stride + 1, rounded up
        if (places - 1) * stride >= size + p:
            places -= 1  # the last would begin in the padding
        missing = (places - 1) * stride + reach - n
        padding.append((p, p + max(0, missing)))
    return tuple(padding)


def _count_at_each_place(window: Window, around: Sizes | None, y: Array) -> Array:
    """How many numbers lie under the window at each place, as `_count` defines it: an array like y.

    It is the sum of ones that are created on the device: a list would be sent there each time.
    """
    size = window.size
    padding = window.padding
    if around is not None:  # the padding counts: it belongs to the ones
        size = tuple(n + 2 * p for n, p in zip(size, around, strict=True))
        padding = tuple(
            (before - p, after - p) for (before, after), p in zip(padding, around, strict=True)
        )
    counting = sliding(size, window.kernel, window.stride, padding, window.dilation, window.out)
    xp = array_namespace(y)
    ones = xp.ones((1, 1, *size), dtype=y.dtype, device=compat.device(y))
    count = kernels(windows, ones).sums(ones, counting)
    if any(0 in counts for counts in _counts(window, around)):
        return xp.maximum(count, 1.0)  # the sum is 0 there, and so is the mean
    return count


@lru_cache(maxsize=1024)
def _count(window: Window, around: Sizes | None) -> float | None:
    """How many numbers lie under the window, or None if that differs from place to place.

    The padding `around` counts as numbers; if it is None, no padding counts.
    """
    count = 1.0
    for counts in _counts(window, around):
        if len(counts) != 1:
            return None
        count *= max(counts)
    return max(count, 1.0)  # where nothing counts the sum is 0, and so is the mean


@lru_cache(maxsize=1024)
def _counts(window: Window, around: Sizes | None) -> tuple[frozenset[int], ...]:
    """For each axis, the set of how many numbers lie under the window, over all its positions."""
    counts = []
    for i, n in enumerate(window.size):
        p = around[i] if around else 0
        before, _ = window.padding[i]
        starts = [place * window.stride[i] - before for place in range(window.out[i])]
        offsets = range(0, window.reach[i], window.dilation[i])
        counts.append(frozenset(sum(-p <= start + o < n + p for o in offsets) for start in starts))
    return tuple(counts)
