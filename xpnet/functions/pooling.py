"""Pooling: the largest, or the mean, of the numbers under a sliding window, channel by channel."""

import math
from functools import lru_cache
from typing import Any

import array_api_compat as compat

from xpnet._libraries.devices import follows
from xpnet._typing import Array
from xpnet.autodiff._messages import named
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.errors import ArgumentError, ShapeError
from xpnet.functions import _windows as windows
from xpnet.functions._in_float32 import like, widened
from xpnet.kernels import kernels
from xpnet.kernels.lookup import kernel
from xpnet.kernels.window import Lengths, Window, lengths, sliding


class MaxPool(Function):
    """The largest number under the window; its gradient goes to the first of equal ones."""

    def __init__(self, window: Window) -> None:
        self.window = window

    def forward(self, x: Array) -> Array:
        return (kernels(x) or windows).maxima(x, self.window)

    def backward(self, gy: Array, y: Array, x: Array) -> Array:
        return Place(self.window, data_of(x), data_of(y))(gy)


class Place(Function):
    """Zeros, but gy added where the maxima lie: linear, and transposed it is `Choose`."""

    def __init__(self, window: Window, x: Array, y: Array) -> None:
        self.window, self.x, self.y = window, x, y

    def forward(self, gy: Array) -> Array:
        return (kernels(gy) or windows).place(gy, self.x, self.y, self.window)

    def backward(self, gy: Array) -> Array:
        return Choose(self.window, self.x, self.y)(gy)


class Choose(Function):
    """What lies where the maxima lie, for each place of the window."""

    def __init__(self, window: Window, x: Array, y: Array) -> None:
        self.window, self.x, self.y = window, x, y

    def forward(self, z: Array) -> Array:
        return (kernels(z) or windows).choose(z, self.x, self.y, self.window)

    def backward(self, gy: Array) -> Array:
        return Place(self.window, self.x, self.y)(gy)


class WindowSum(Function):
    """The sum of the numbers under the window: linear, and transposed it is `WindowShare`."""

    def __init__(self, window: Window) -> None:
        self.window = window

    def forward(self, x: Array) -> Array:
        return (kernels(x) or windows).sums(x, self.window)

    def backward(self, gy: Array) -> Array:
        return WindowShare(self.window)(gy)


class WindowShare(Function):
    """Every number of gy, added to all that lay under the window at its place."""

    def __init__(self, window: Window) -> None:
        self.window = window

    def forward(self, gy: Array) -> Array:
        return (kernels(gy) or windows).shares(gy, self.window)

    def backward(self, gy: Array) -> Array:
        return WindowSum(self.window)(gy)


@named
@follows
def max_pool(
    x: Array,
    kernel: Lengths,
    *,
    stride: Lengths | None = None,
    padding: Lengths = 0,
    dilation: Lengths = 1,
    ceil_mode: bool = False,
) -> Array:
    """The largest number under a window that slides over each channel.

    Parameters
    ----------
    x : array or Variable, shape (batch, channels, *spatial)
        Any number of spatial axes, at least one.
    kernel : int, or one for each axis
        The lengths of the window.
    stride : int, or one for each axis, optional
        How far it moves; unless given, by its own length, so that windows do not overlap.
    padding : int, or one for each axis
        How far it may reach beyond each end, where there is nothing: less than the (dilated) length
        of the window, as in ONNX, so that no window lies beyond an end. PyTorch allows half.
    dilation : int, or one for each axis
        How far apart the window's numbers lie.
    ceil_mode : bool
        Whether a window that begins inside, and reaches beyond the end, counts.

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
    The largest of no numbers, where a dilated window meets padding alone, is -inf. The gradient goes to the first of equal maxima, row by row, as in PyTorch; of a window with a
    nan, whose maximum is nan, to its first number. Source: Riesenhuber and Poggio, "Hierarchical
    models of object recognition in cortex", 1999.
    """
    return MaxPool(_window("max_pool", x, kernel, stride, padding, dilation, ceil_mode)[0])(x)


@named
@follows
def avg_pool(
    x: Array,
    kernel: Lengths,
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
    x, kernel, stride, padding, dilation, ceil_mode
        As of `max_pool`.
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
    The mean of no numbers, where a dilated window meets padding alone, is 0. Sums of float16 and bfloat16 are taken in float32. What a window reaches beyond the padding,
    with `ceil_mode`, never counts. Source: LeCun et al., "Gradient-based learning applied to
    document recognition", 1998.
    """
    window, around = _window("avg_pool", x, kernel, stride, padding, dilation, ceil_mode)
    y = WindowSum(window)(widened("avg_pool", x))
    counted = around if count_include_pad else None
    count = _count(window, counted)
    return like(y / (count or _numbers_under(window, counted, data_of(y))), x)


@named
@follows
def global_avg_pool(x: Array) -> Array:
    """The mean of each channel: (batch, channels, *spatial) to (batch, channels).

    Source: Lin, Chen and Yan, "Network in network", 2014.
    """
    axes = tuple(range(2, _spatial("global_avg_pool", x) + 2))
    return like(array_namespace(x).mean(widened("global_avg_pool", x), axis=axes), x)


@named
@follows
def global_max_pool(x: Array) -> Array:
    """The largest number of each channel: (batch, channels, *spatial) to (batch, channels).

    The gradient goes to the first of equal ones.
    """
    xp = array_namespace(x)
    ones = (1,) * _spatial("global_max_pool", x)
    if kernel("maxima", data_of(x)):  # one launch each way; to find the places takes twenty
        size = tuple(x.shape[2:])
        whole = sliding(size, size, ones, ((0, 0),) * len(size), ones)
        return xp.reshape(MaxPool(whole)(x), x.shape[:2])
    rows = xp.reshape(x, (*x.shape[:2], math.prod(x.shape[2:])))
    return xp.take_along_axis(rows, xp.argmax(rows, axis=2, keepdims=True), axis=2)[:, :, 0]


def _spatial(name: str, x: Array) -> int:
    """The number of spatial axes of x, which has some."""
    if x.ndim < 3 or 0 in x.shape[2:]:
        raise ShapeError(
            f"{name} expected x of shape (batch, channels, *spatial), got {tuple(x.shape)}."
        )
    d: int = x.ndim - 2
    return d


def _window(
    name: str, x: Array, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool
) -> tuple[Window, tuple[int, ...]]:
    """The window, and the padding that was asked for: `ceil` adds to it at the end."""
    d = _spatial(name, x)
    kernel = lengths(kernel, d)
    stride = kernel if stride is None else lengths(stride, d)
    around, gaps = lengths(padding, d, least=0), lengths(dilation, d)
    reach = tuple(g * (k - 1) + 1 for k, g in zip(kernel, gaps, strict=True))
    if any(p >= r for p, r in zip(around, reach, strict=True)):
        raise ArgumentError(
            f"{name} expected a padding that is shorter than the window, of length {reach}, got "
            f"{around}: a window must not lie in the padding alone."
        )
    window = sliding(tuple(x.shape[2:]), kernel, stride, tuple((p, p) for p in around), gaps)
    if ceil:
        more = []
        for n, r, s, p, size in zip(
            window.padded, window.reach, stride, around, window.size, strict=True
        ):
            places = -((r - n) // s) + 1
            if (places - 1) * s >= size + p:
                places -= 1  # the last would begin in the padding
            more.append((p, p + max(0, (places - 1) * s + r - n)))
        window = sliding(window.size, kernel, stride, tuple(more), gaps)
    return window, around


def _numbers_under(window: Window, around: tuple[int, ...] | None, y: Array) -> Array:
    """How many numbers lie under the window at each place, as `_count` defines it: an array like y.

    It is the sum of ones that are created on the device: a list would be sent there each time.
    """
    size = window.size
    padding = window.padding
    if around is not None:
        size = tuple(n + 2 * p for n, p in zip(size, around, strict=True))
        padding = tuple(
            (before - p, after - p) for (before, after), p in zip(padding, around, strict=True)
        )
    one = sliding(size, window.kernel, window.stride, padding, window.dilation, window.out)
    xp = array_namespace(y)
    ones = xp.ones((1, 1, *size), dtype=y.dtype, device=compat.device(y))
    numbers = (kernels(ones) or windows).sums(ones, one)
    if any(0 in counts for counts in _counts(window, around)):
        return xp.maximum(numbers, 1.0)  # the sum of none is 0
    return numbers


@lru_cache(maxsize=1024)
def _count(window: Window, around: tuple[int, ...] | None) -> float | None:
    """How many numbers lie under the window, with the padding `around`; None if places differ."""
    count = 1.0
    for counts in _counts(window, around):
        if len(counts) != 1:
            return None
        count *= max(counts)
    return max(count, 1.0)  # the sum of none is 0


@lru_cache(maxsize=1024)
def _counts(window: Window, around: tuple[int, ...] | None) -> tuple[frozenset[int], ...]:
    """For each axis, how many numbers lie under the window at one place or another."""
    found = []
    for i, (n, (before, _)) in enumerate(zip(window.size, window.padding, strict=True)):
        p = around[i] if around else 0
        starts = [place * window.stride[i] - before for place in range(window.out[i])]
        offsets = range(0, window.reach[i], window.dilation[i])
        counts = (sum(-p <= start + o < n + p for o in offsets) for start in starts)
        found.append(frozenset(counts))
    return tuple(found)
