"""Convolution and pooling in the array API standard: windows that slide over arrays.

The portable text. It holds for every library, and for Variables; `xpnet.kernels` has functions of
the same names that are faster on some. All of them are made of two:

    taps(x, window)        for each number of the window, what it meets at its places
    fold(parts, window)    transposed: what was met is added up where it lay
"""

import math
from typing import Any

import array_api_compat as compat

from xpnet._typing import Array
from xpnet.autodiff._half_precision import in_full
from xpnet.autodiff.namespace import array_namespace
from xpnet.functions._in_float32 import like
from xpnet.kernels.window import Window


def correlate(x: Array, W: Array, b: Array, window: Window, groups: int) -> Array:
    """y[n, o, p] = b[o] + the sum over c, k of x[n, c, p under k] W[o, c, k]."""
    xp = array_namespace(x, W)
    columns = _columns(x, window, groups)
    y = xp.matmul(xp.reshape(W, (groups, W.shape[0] // groups, columns.shape[1])), columns)
    return _images(xp.reshape(y, (W.shape[0], x.shape[0], *window.out)), b)


def spread(gy: Array, W: Array, b: Array, window: Window, groups: int) -> Array:
    """x[n, c, p under k] += gy[n, o, p] W[o, c, k], beginning with b[c]: `correlate` transposed."""
    xp, (outputs, channels), n = array_namespace(gy, W), W.shape[:2], gy.shape[0]
    size = channels * math.prod(window.kernel)
    flat = xp.reshape(W, (groups, outputs // groups, size))
    columns = xp.matmul(xp.matrix_transpose(flat), _rows(gy, groups))
    shape = (groups * channels, math.prod(window.kernel), n, *window.out)
    columns = xp.reshape(columns, shape)
    parts = [columns[:, i, ...] for i in range(shape[1])]
    return _images(fold(parts, window), b)


def weigh(x: Array, gy: Array, window: Window, groups: int) -> Array:
    """W[o, c, k] = the sum over n, p of x[n, c, p under k] gy[n, o, p]."""
    xp = array_namespace(x, gy)
    W = xp.matmul(_rows(gy, groups), xp.matrix_transpose(_columns(x, window, groups)))
    return xp.reshape(W, (gy.shape[1], x.shape[1] // groups, *window.kernel))


def _columns(x: Array, window: Window, groups: int) -> Array:
    """What meets the window, one column a place: (groups, channels * kernel, batch * places)."""
    xp = array_namespace(x)
    columns = xp.stack(taps(_channels_first(x), window), axis=1)
    size = x.shape[1] // groups * math.prod(window.kernel)
    return xp.reshape(columns, (groups, size, x.shape[0] * math.prod(window.out)))


def _rows(u: Array, groups: int) -> Array:
    """(batch, channels, *places) as (groups, channels, batch * places)."""
    size = u.shape[0] * math.prod(u.shape[2:])
    shape = (groups, u.shape[1] // groups, size)
    return array_namespace(u).reshape(_channels_first(u), shape)


def _images(y: Array, b: Array) -> Array:
    """(channels, batch, *places) as (batch, channels, *places), and the bias."""
    ones = [1] * (y.ndim - 2)
    y = _channels_first(y)
    return y if b is None else y + array_namespace(b).reshape(b, (y.shape[1], *ones))


def _channels_first(x: Array) -> Array:
    """The first two axes in the other order."""
    return array_namespace(x).permute_dims(x, (1, 0, *range(2, x.ndim)))


def maxima(x: Array, window: Window) -> Array:
    """y[p] = the largest x under the window at p; padding does not count."""
    xp, lowest = array_namespace(x), -math.inf
    if not xp.isdtype(x.dtype, "real floating"):
        lowest = xp.iinfo(x.dtype).min
    y, *rest = taps(x, window, lowest)
    for tap in rest:
        y = xp.maximum(y, tap)
    return y


def place(gy: Array, x: Array, y: Array, window: Window) -> Array:
    """Zeros, but gy added where the maxima y of x lie: at the first of equal ones."""
    xp = array_namespace(gy)
    parts = [xp.where(hit, gy, 0) for hit in _hits(x, y, window)]
    return fold(parts, window)


def choose(z: Array, x: Array, y: Array, window: Window) -> Array:
    """For each place the z that lies where the maximum y of x does: `place` transposed."""
    xp, chosen = array_namespace(z), array_namespace(y).zeros_like(y)
    for hit, tap in zip(_hits(x, y, window), taps(z, window), strict=True):
        chosen = xp.where(hit, tap, chosen)
    return chosen


def sums(x: Array, window: Window) -> Array:
    """y[p] = the sum of the x under the window at p."""
    y, *rest = taps(in_full(x), window)
    for tap in rest:
        y = y + tap
    return like(y, x)


def shares(gy: Array, window: Window) -> Array:
    """x[p under k] += gy[p]: `sums` transposed."""
    return fold([gy] * math.prod(window.kernel), window)


def _hits(x: Array, y: Array, window: Window) -> list[Any]:
    """For each number of the window, where it is the first maximum. Padding is none."""
    xp, hits = array_namespace(x), []
    unfound = xp.ones_like(y, dtype=xp.bool)
    inside: Any = [True] * math.prod(window.kernel)
    if window.pads:
        inside = taps(xp.ones_like(x, dtype=xp.bool), window, False)
    for tap, real in zip(taps(x, window), inside, strict=True):
        hit = unfound & ~(tap < y)
        hit = hit & real if window.pads else hit
        unfound = unfound & ~hit
        hits.append(hit)
    return hits


# --- the two that they are made of ---------------------------------------------------------------


def taps(x: Array, window: Window, fill: float = 0.0) -> list[Any]:
    """For each number of the window the x that it meets at its places: shape (..., *window.out).

    The window moves over the last axes of `x`; the padding is of `fill`.
    """
    x = _pad(x, window.padding, fill)
    return [x[(..., *window.under(offset))] for offset in window.offsets]


def fold(parts: list[Any], window: Window) -> Any:
    """`taps` transposed: what each number of the window met is added up where it lay."""
    parts, half = [in_full(part) for part in parts], parts[0]
    total: Any = None
    for part, offset in zip(parts, window.offsets, strict=True):
        for axis, (o, d, s, n) in enumerate(
            zip(offset, window.dilation, window.stride, window.padded, strict=True)
        ):
            at = axis - len(offset)
            part = _apart(part, at, s)
            before = o * d
            part = _pad_axis(part, at, before, n - before - part.shape[at], 0.0)
        total = part if total is None else total + part
    return like(total[(..., *window.inner)] if window.pads else total, half)


def _apart(x: Array, axis: int, stride: int) -> Array:
    """x with stride - 1 zeros between its neighbours along `axis`, counted from the end."""
    if stride == 1:
        return x
    xp, n = array_namespace(x), x.shape[axis]
    at = x.ndim + axis
    x = xp.expand_dims(x, axis=at + 1)
    x = _pad_axis(x, axis, 0, stride - 1, 0.0)
    x = xp.reshape(x, (*x.shape[:at], n * stride, *x.shape[at + 2 :]))
    return x[(..., slice(0, (n - 1) * stride + 1), *[slice(None)] * (-axis - 1))]


def _pad(x: Array, padding: tuple[tuple[int, int], ...], fill: float = 0.0) -> Array:
    """x with so many numbers before and after each of its last axes; fewer where negative."""
    for axis, (before, after) in enumerate(padding):
        x = _pad_axis(x, axis - len(padding), before, after, fill)
    return x


def _pad_axis(x: Array, axis: int, before: int, after: int, fill: float) -> Array:
    xp = array_namespace(x)
    parts = []
    for n in (before, after):
        shape = list(x.shape)
        shape[axis] = max(n, 0)
        parts.append(xp.full(tuple(shape), fill, dtype=x.dtype, device=compat.device(x)))
    return xp.concat([parts[0], x, parts[1]], axis=axis) if before or after else x
