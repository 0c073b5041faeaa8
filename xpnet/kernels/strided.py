"""Convolution and pooling for NumPy and CuPy: windows are views, and results are added in place.

Inside, images lie as (channels, *spatial, batch), the batch innermost (cuda-convnet's layout). A
window's number then meets runs of stride-1 memory as long as a row of outputs times the batch: so
columns are gathered, gradients scattered and maxima taken at the speed of memory, and each product
is one large GEMM. Results are views of that layout with the axes in their usual order, and NumPy's
elementwise functions keep it: what lies so already is not copied again.

On NumPy the columns are made for a block of outputs at a time, as much as a core's cache holds,
and are used while they are there; they are made again for the derivative rather than kept.

Source of im2col: Chellapilla, Puri and Simard, "High performance convolutional neural networks for
document processing", 2006.
"""

import math
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from types import ModuleType
from typing import Any

import array_api_compat as compat

from xpnet.kernels.window import Window

BLOCK = 1 << 21  # bytes of columns at a time, on NumPy: what a core's second cache holds
COLUMNS = 1 << 12  # and so many columns: BLAS is fastest where the product stays in cache too
APART = 16  # numbers between rows of columns: power-of-two distances share one place in a cache


def _wide(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel whose sums of float16 numbers are taken in float32: on NumPy, that is faster too."""

    @wraps(kernel)
    def computed(first: Any, second: Any, *rest: Any) -> Any:
        np = _library(first)
        dtype = np.result_type(first, second)
        if dtype != "float16" or np.__name__ != "numpy":  # a GPU has its own way with them
            return kernel(first, second, *rest)
        y = kernel(first.astype("float32"), second.astype("float32"), *rest)
        return y.astype(dtype)

    return computed


@_wide
def correlate(x: Any, W: Any, b: Any, window: Window, groups: int) -> Any:
    """y[n, o, p] = b[o] + the sum over c, k of x[n, c, p under k] W[o, c, k]."""
    np = _library(x)
    flat, columns = _flat(W, groups), _Columns(np, x, window, groups)
    y = np.empty((*flat.shape[:2], *window.out, x.shape[0]), np.result_type(x, W))
    bias = None if b is None else b.reshape(groups, -1, 1)
    for start, stop in columns.blocks():
        part = _part(y, start, stop)
        np.matmul(flat, columns(start, stop), out=part)
        if bias is not None:
            part += bias
    return _outward(y)


@_wide
def spread(gy: Any, W: Any, b: Any, window: Window, groups: int) -> Any:
    """x[n, c, p under k] += gy[n, o, p] W[o, c, k], beginning with b[c]: `correlate` transposed.

    Where the window moves by 1 and there are no more outputs than channels, that is to correlate
    with the kernel turned round; else the columns of the product are added where they lay.
    """
    np = _library(gy)
    turned = window.turned if W.shape[0] <= W.shape[1] * groups else None
    if turned is not None:
        W = W.reshape(groups, W.shape[0] // groups, *W.shape[1:]).swapaxes(1, 2)
        W = np.flip(W, tuple(range(3, W.ndim))).reshape(-1, *W.shape[2:])
        return correlate(gy, W, b, turned, groups)
    flat = _flat(W, groups).transpose(0, 2, 1)
    g = _inward(np, gy, groups)
    inner, n = W.shape[1:], gy.shape[0]
    x = np.zeros((groups, inner[0], *window.padded, n), np.result_type(gy, W))
    room, memory = _room(np, flat.shape[1], n, x.itemsize), None
    for start, stop in window.blocks(room):
        part = _part(g, start, stop)
        columns = memory = _rows(np, (*flat.shape[:2], part.shape[2]), x.dtype, memory)
        np.matmul(flat, part, out=columns)
        lengths = [j - i for i, j in zip(start, stop, strict=True)]
        columns = columns.reshape(groups, *inner, *lengths, n)
        for offset in window.offsets:
            place = x[(..., *window.under(offset, start, stop), slice(None))]
            place += columns[(slice(None), slice(None), *offset)]
    if window.pads:
        x = x[(..., *window.inner, slice(None))]
    if b is not None:
        x += b.reshape(groups, -1, *[1] * (x.ndim - 2))
    return _outward(x)


@_wide
def weigh(x: Any, gy: Any, window: Window, groups: int) -> Any:
    """W[o, c, k] = the sum over n, p of x[n, c, p under k] gy[n, o, p]."""
    np = _library(x)
    g, columns = _inward(np, gy, groups), _Columns(np, x, window, groups)
    channels = x.shape[1] // groups
    rows = channels * math.prod(window.kernel)
    W = np.zeros((groups, rows, g.shape[1]), np.result_type(x, gy))
    for start, stop in columns.blocks():  # the long matrix first: up to twice as fast
        W += np.matmul(columns(start, stop), _part(g, start, stop).transpose(0, 2, 1))
    return W.transpose(0, 2, 1).reshape(gy.shape[1], channels, *window.kernel)


class _Columns:
    """The columns that meet the window at the places of a block, one memory for all blocks."""

    def __init__(self, np: ModuleType, x: Any, window: Window, groups: int) -> None:
        x = _inward(np, x, groups, window)
        channels, spatial, batch = x.strides[:2], x.strides[2:-1], x.strides[-1:]
        spaced = [s * d for s, d in zip(spatial, window.dilation, strict=True)]
        moved = [s * m for s, m in zip(spatial, window.stride, strict=True)]
        shape = (*x.shape[:2], *window.kernel, *window.out, x.shape[-1])
        strides = (*channels, *spaced, *moved, *batch)
        self.np, self.window, self.at = np, window, 2 + len(window.kernel)
        self.view = np.lib.stride_tricks.as_strided(x, shape, strides)
        self.rows = x.shape[1] * math.prod(window.kernel)
        self.free = window.reach == window.stride == (1,) * len(window.kernel)
        self.memory: Any = None

    def blocks(self) -> Any:
        n = self.view.shape[-1]
        if self.free:
            return self.window.blocks(math.prod(self.window.out))
        return self.window.blocks(_room(self.np, self.rows, n, self.view.itemsize))

    def __call__(self, start: Any, stop: Any) -> Any:
        part = self.view[_block(self.at, start, stop)]
        shape = (part.shape[0], self.rows, math.prod(part.shape[self.at :]))
        if self.free:  # a number's columns are the image itself
            return part.reshape(shape)
        columns = self.memory = _rows(self.np, shape, part.dtype, self.memory)
        self.np.copyto(columns.reshape(part.shape), part)
        return columns


def _rows(np: ModuleType, shape: tuple[int, int, int], dtype: Any, memory: Any) -> Any:
    """Memory for columns: that of the block before, if it has the same shape."""
    if memory is not None and memory.shape == shape:
        return memory
    return np.empty((*shape[:2], shape[2] + APART), dtype)[:, :, : shape[2]]


def maxima(x: Any, window: Window) -> Any:
    """y[p] = the largest x under the window at p; padding does not count."""
    np = _library(x)
    x = _inward(np, x)
    y = np.empty((x.shape[0], *window.out, x.shape[-1]), x.dtype)
    whole = not window.pads
    if not whole:
        y[...] = -math.inf if y.dtype.kind == "f" else np.iinfo(y.dtype).min
    for i, offset in enumerate(window.offsets):
        found = window.inside(offset)
        if found is None:
            continue
        here, there = y[_within(found[0])], x[_within(found[1])]
        if i == 0 and whole:
            here[...] = there
        else:
            np.maximum(here, there, out=here)
    return _outward(y[None])


def place(gy: Any, x: Any, y: Any, window: Window) -> Any:
    """Zeros, but gy added where the maxima y of x lie: at the first of equal ones."""
    np = _library(gy)
    g, x, y = _inward(np, gy), _inward(np, x), _inward(np, y)
    overlap = any(r > s for r, s in zip(window.reach, window.stride, strict=True))
    met_once = window.kernel == window.stride and window.reach == window.stride
    tiles = (
        met_once
        and window.padded == window.size
        and not any(n % k for n, k in zip(window.size, window.kernel, strict=True))
    )
    gx = (np.empty if tiles else np.zeros)(x.shape, g.dtype)
    for hit, here, there in _hits(np, x, y, window):
        if overlap:
            gx[there] += g[here] * hit
        else:
            np.multiply(g[here], hit, out=gx[there])
    return _outward(gx[None])


def choose(z: Any, x: Any, y: Any, window: Window) -> Any:
    """For each place the z that lies where the maximum y of x does: `place` transposed."""
    np = _library(z)
    z, x, y = _inward(np, z), _inward(np, x), _inward(np, y)
    chosen = np.zeros(y.shape, z.dtype)
    for hit, here, there in _hits(np, x, y, window):
        np.copyto(chosen[here], z[there], where=hit)
    return _outward(chosen[None])


def _hits(np: ModuleType, x: Any, y: Any, window: Window) -> Any:
    """For each number of the window: where it is the first maximum, and the places it meets."""
    unfound = np.ones(y.shape, bool)
    for offset in window.offsets:
        found = window.inside(offset)
        if found is not None:
            here, there = map(_within, found)
            hit = np.greater(unfound[here], x[there] < y[here])
            unfound[here] ^= hit
            yield hit, here, there


def sums(x: Any, window: Window) -> Any:
    """y[p] = the sum of the x under the window at p."""
    np = _library(x)
    x = _inward(np, x)
    y = np.zeros((x.shape[0], *window.out, x.shape[-1]), x.dtype)
    for offset in window.offsets:
        found = window.inside(offset)
        if found is not None:
            y[_within(found[0])] += x[_within(found[1])]
    return _outward(y[None])


def shares(gy: Any, window: Window) -> Any:
    """x[p under k] += gy[p]: `sums` transposed."""
    np = _library(gy)
    g = _inward(np, gy)
    x = np.zeros((g.shape[0], *window.size, g.shape[-1]), g.dtype)
    for offset in window.offsets:
        found = window.inside(offset)
        if found is not None:
            x[_within(found[1])] += g[_within(found[0])]
    return _outward(x[None])


# --- the layout inside ------------------------------------------------------------------------


def _library(x: Any) -> ModuleType:
    return import_module("cupy" if compat.is_cupy_array(x) else "numpy")


def _inward(np: ModuleType, x: Any, groups: int = 0, window: Window | None = None) -> Any:
    """(batch, channels, ...) as (channels, ..., batch) without gaps; padded, if there is a window.

    With `groups`, the channels are two axes: (groups, channels of one).
    """
    x = np.moveaxis(x, 0, -1)
    if window is not None and window.pads:
        padded = np.empty((x.shape[0], *window.padded, x.shape[-1]), x.dtype)
        padded[_within(window.inner)] = x
        for axis, inner in enumerate(window.inner):
            for end in (slice(inner.start), slice(inner.stop, None)):
                padded[(slice(None),) * (axis + 1) + (end,)] = 0
        x = padded
    x = np.ascontiguousarray(x)
    return x.reshape(groups, x.shape[0] // groups, *x.shape[1:]) if groups else x


def _outward(y: Any) -> Any:
    """(groups, channels, ..., batch) as (batch, channels, ...): a view."""
    y = y.reshape(-1 if y.size else y.shape[0] * y.shape[1], *y.shape[2:])
    return y.transpose(y.ndim - 1, *range(y.ndim - 1))


def _flat(W: Any, groups: int) -> Any:
    """The weights as one matrix for each group: (groups, outputs, channels times kernel)."""
    return W.reshape(groups, W.shape[0] // groups, math.prod(W.shape[1:]))


def _within(key: Any) -> Any:
    return (slice(None), *key, slice(None))


def _block(before: int, start: Any, stop: Any) -> Any:
    return (slice(None),) * before + tuple(map(slice, start, stop))


def _part(y: Any, start: Any, stop: Any) -> Any:
    """A block of places of y, (groups, channels, ..., batch), with its places as one axis."""
    part = y[_block(2, start, stop)]
    return part.reshape(*part.shape[:2], math.prod(part.shape[2:]))


def _room(np: ModuleType, rows: int, batch: int, itemsize: int) -> int:
    """How many places a block has; a GPU takes all at once."""
    if np.__name__ != "numpy":
        return 1 << 62
    return min(BLOCK // max(rows * batch * itemsize, 1), COLUMNS // max(batch, 1))
