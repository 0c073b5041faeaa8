"""Convolution and pooling in the array API standard: windows that slide over arrays.

This is the portable implementation, for every library and for Variables; `xpnet.kernels` has
functions of the same names that are faster on some libraries. All are built from two functions:

    taps(x, window)        for each number of the window, the numbers of x that it meets
    fold(parts, window)    the transpose: adds up these numbers at the places that they came from

A window has offsets k (one for each number of the window) and positions p (one for each output). In
formulas, x[n, c, p under k] is the number of x that offset k meets at position p.
"""

import math
from typing import Any

import array_api_compat as compat

from xpnet._typing import Array
from xpnet.autodiff._half_precision import in_full
from xpnet.autodiff.namespace import array_namespace
from xpnet.functions._in_float32 import cast_like
from xpnet.kernels.window import Padding, Window


def correlate(x: Array, W: Array, b: Array | None, window: Window, groups: int) -> Array:
    """y[n, o, p] = b[o] + the sum over c, k of x[n, c, p under k] W[o, c, k]."""
    xp = array_namespace(x, W)
    outputs = W.shape[0]
    columns = _columns(x, window, groups)
    rows = xp.reshape(W, (groups, outputs // groups, columns.shape[1]))
    y = xp.matmul(rows, columns)
    return _images(xp.reshape(y, (outputs, x.shape[0], *window.out)), b)


def spread(gy: Array, W: Array, b: Array | None, window: Window, groups: int) -> Array:
    """x[n, c, p under k] += gy[n, o, p] W[o, c, k], beginning with b[c]: `correlate` transposed."""
    xp = array_namespace(gy, W)
    outputs, channels = W.shape[:2]
    offsets = math.prod(window.kernel)
    rows = xp.reshape(W, (groups, outputs // groups, channels * offsets))
    columns = xp.matmul(xp.matrix_transpose(rows), _rows(gy, groups))
    columns = xp.reshape(columns, (groups * channels, offsets, gy.shape[0], *window.out))
    parts = [columns[:, i, ...] for i in range(offsets)]
    return _images(fold(parts, window), b)


def weigh(x: Array, gy: Array, window: Window, groups: int) -> Array:
    """W[o, c, k] = the sum over n, p of x[n, c, p under k] gy[n, o, p]."""
    xp = array_namespace(x, gy)
    W = xp.matmul(_rows(gy, groups), xp.matrix_transpose(_columns(x, window, groups)))
    return xp.reshape(W, (gy.shape[1], x.shape[1] // groups, *window.kernel))


def _columns(x: Array, window: Window, groups: int) -> Array:
    """The numbers under the window, in columns: (groups, channels * kernel, batch * places)."""
    xp = array_namespace(x)
    columns = xp.stack(taps(_channels_first(x), window), axis=1)
    size = x.shape[1] // groups * math.prod(window.kernel)
    return xp.reshape(columns, (groups, size, x.shape[0] * math.prod(window.out)))


def _rows(u: Array, groups: int) -> Array:
    """(batch, channels, *places) as (groups, channels, batch * places)."""
    size = u.shape[0] * math.prod(u.shape[2:])
    shape = (groups, u.shape[1] // groups, size)
    return array_namespace(u).reshape(_channels_first(u), shape)


def _images(y: Array, b: Array | None) -> Array:
    """(channels, batch, *places) as (batch, channels, *places), plus the bias."""
    y = _channels_first(y)
    if b is None:
        return y
    ones = [1] * (y.ndim - 2)
    return y + array_namespace(b).reshape(b, (y.shape[1], *ones))


def _channels_first(x: Array) -> Array:
    """The first two axes exchanged."""
    return array_namespace(x).permute_dims(x, (1, 0, *range(2, x.ndim)))


def maxima(x: Array, window: Window) -> Array:
    """y[p] = the largest x under the window at p; padding does not count."""
    xp = array_namespace(x)
    lowest = -math.inf
    if not xp.isdtype(x.dtype, "real floating"):
        lowest = xp.iinfo(x.dtype).min
    y, *rest = taps(x, window, lowest)
    for tap in rest:
        y = xp.maximum(y, tap)
    return y


def place(gy: Array, x: Array, y: Array, window: Window) -> Array:
    """Zeros, with gy added where the maxima y of x are: at the first of equal maxima."""
    xp = array_namespace(gy)
    parts = [xp.where(hit, gy, 0) for hit in _hits(x, y, window)]
    return fold(parts, window)


def choose(z: Array, x: Array, y: Array, window: Window) -> Array:
    """For each position the z at the place of the maximum y of x: `place` transposed."""
    xp = array_namespace(z)
    chosen = array_namespace(y).zeros_like(y)
    for hit, tap in zip(_hits(x, y, window), taps(z, window), strict=True):
        chosen = xp.where(hit, tap, chosen)
    return chosen


def sums(x: Array, window: Window) -> Array:
    """y[p] = the sum of the x under the window at p."""
    y, *rest = taps(in_full(x), window)
    for tap in rest:
        y = y + tap
    return cast_like(y, x)


def shares(gy: Array, window: Window) -> Array:
    """x[p under k] += gy[p]: `sums` transposed."""
    return fold([gy] * math.prod(window.kernel), window)


def _hits(x: Array, y: Array, window: Window) -> list[Array]:
    """For each number of the window, where it is the first maximum; padding never is."""
    xp = array_namespace(x)
    unfound = xp.ones_like(y, dtype=xp.bool)
    inside: list[Any] = [True] * math.prod(window.kernel)
    if window.pads:
        inside = taps(xp.ones_like(x, dtype=xp.bool), window, False)
    hits = []
    for tap, is_inside in zip(taps(x, window), inside, strict=True):
        hit = unfound & ~(tap < y)  # not tap >= y: a maximum that is NaN is found as well
        if window.pads:
            hit = hit & is_inside
        unfound = unfound & ~hit
        hits.append(hit)
    return hits


# --- the two functions that the others are built from ---------------------------------------------


def taps(x: Array, window: Window, fill: float = 0.0) -> list[Array]:
    """For each offset of the window, the x at all its positions: shape (..., *window.out).

    The window moves over the last axes of `x`; the padding has the value `fill`.
    """
    x = _padded(x, window.padding, fill)
    return [x[(..., *window.under(offset))] for offset in window.offsets]


def fold(parts: list[Array], window: Window) -> Array:
    """`taps` transposed: the sum of all parts, each number at the place that it came from."""
    total: Any = None
    for part, offset in zip(parts, window.offsets, strict=True):
        placed = _at_its_places(in_full(part), offset, window)
        total = placed if total is None else total + placed
    if window.pads:
        total = total[(..., *window.inner)]
    return cast_like(total, parts[0])


def _at_its_places(part: Array, offset: tuple[int, ...], window: Window) -> Array:
    """One part, with zeros at the places of the padded axes that the offset does not meet."""
    for i, o in enumerate(offset):
        axis = i - len(offset)
        before = o * window.dilation[i]
        part = _with_gaps(part, axis, window.stride[i])
        after = window.padded[i] - before - part.shape[axis]
        part = _padded_along(part, axis, before, after, 0.0)
    return part


def _with_gaps(x: Array, axis: int, stride: int) -> Array:
    """x with stride - 1 zeros between its neighbours along `axis`, counted from the end."""
    if stride == 1:
        return x
    xp = array_namespace(x)
    n = x.shape[axis]
    at = x.ndim + axis
    x = xp.expand_dims(x, axis=at + 1)
    x = _padded_along(x, axis, 0, stride - 1, 0.0)
    x = xp.reshape(x, (*x.shape[:at], n * stride, *x.shape[at + 2 :]))
    return x[(..., slice(0, (n - 1) * stride + 1), *[slice(None)] * (-axis - 1))]


def _padded(x: Array, padding: Padding, fill: float) -> Array:
    """x with numbers before and after each of its last axes."""
    for axis, (before, after) in enumerate(padding):
        x = _padded_along(x, axis - len(padding), before, after, fill)
    return x


def _padded_along(x: Array, axis: int, before: int, after: int, fill: float) -> Array:
    """x with numbers before and after one axis, counted from the end."""
    if not before and not after:
        return x
    xp = array_namespace(x)
    parts = []
    for n in (before, after):
        shape = list(x.shape)
        shape[axis] = n
        parts.append(xp.full(tuple(shape), fill, dtype=x.dtype, device=compat.device(x)))
    return xp.concat([parts[0], x, parts[1]], axis=axis)
