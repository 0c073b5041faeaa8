"""Convolution and pooling for NumPy: windows are views, and results are added in place.

Inside, images lie as (channels, *spatial, batch), the batch innermost (cuda-convnet's layout). A
window's number then meets runs of stride-1 memory as long as a row of outputs times the batch: so
columns are gathered, gradients scattered and maxima taken at the speed of memory. Results are views
of that layout with the axes in their usual order, and NumPy's elementwise functions keep it: what
lies so already is not copied again.

Columns lie as (rows, channels, kernel but for its rows, places in a row, batch). A window that moves
on by a row meets the same memory, one row on: so a 3 x 3 kernel's columns are 3 times the image, not
9 times, and the matrices for two rows of outputs overlap.

The columns are made for a block of outputs at a time, as much as a core's cache holds, and are used
while they are there; they are made again for the derivative rather than kept.

Source of im2col: Chellapilla, Puri and Simard, "High performance convolutional neural networks for
document processing", 2006; of a window's rows as views: Cho and Brand, "MEC: memory-efficient
convolution for deep neural network", 2017.
"""

import math
from collections.abc import Callable
from functools import partial, wraps
from importlib import import_module
from typing import Any

from xpnet._typing import Array, DType
from xpnet.kernels.elementary import zero_unless
from xpnet.kernels.window import Window

np: Any = import_module("numpy")

BLOCK = 1 << 21  # bytes of columns at a time: what a core's second cache holds
COLUMNS = 1 << 9  # and so many side by side: BLAS is fastest where the product stays in cache too
SMALL = 10**6  # multiplications up to which OpenBLAS has a way of its own, without packing
NARROW = 16  # columns of a row of places, below which it makes no matrix
APART = 16  # numbers between rows of columns: power-of-two distances share one place in a cache


def _prepared(kernel: Callable[..., Any], least: int = 1) -> Callable[..., Any]:
    """A kernel of two arrays, given what it is made for: numbers and windows.

    Sums of float16 numbers are taken in float32, which is faster too. Where rows do not follow each
    other in a window, or do not form a matrix, all images are treated as if they lay in one row.
    """

    @wraps(kernel)
    def computed(first: Any, second: Any, *rest: Any) -> Any:
        *bias, window, groups = rest
        dtype = np.result_type(first, second)
        if dtype == "float16":
            first, second = first.astype("float32"), second.astype("float32")
        narrow = math.prod(window.out[1:]) * first.shape[0] < NARROW * least
        lifted = window.padded[0] > 1 and (narrow or window.dilation[0] > 1)
        if lifted:
            first, second, window = first[:, :, None], second[:, :, None], window.lifted
        y = kernel(first, second, *bias, window, groups)
        return (y[:, :, 0] if lifted else y).astype(dtype, copy=False)

    return computed


@_prepared
def correlate(x: Array, W: Array, b: Array, window: Window, groups: int) -> Array:
    """y[n, o, p] = b[o] + the sum over c, k of x[n, c, p under k] W[o, c, k]."""
    flat, columns = _flat(W, groups), _Columns(x, window, groups)
    y = np.empty((groups, flat.shape[2], *window.out, x.shape[0]), np.result_type(x, W))
    bias = None if b is None else b.reshape(groups, 1, -1, 1)
    for start, stop in columns.blocks(SMALL // math.prod(flat.shape[2:])):
        part = _part(y, start, stop)
        np.matmul(flat, columns(start, stop), out=part)
        if bias is not None:
            part += bias
    return _outward(y)


@_prepared
def spread(gy: Array, W: Array, b: Array, window: Window, groups: int) -> Array:
    """x[n, c, p under k] += gy[n, o, p] W[o, c, k], beginning with b[c]: `correlate` transposed.

    Where the window moves by 1, that is to correlate with the kernel turned round, which is faster
    unless there are many more outputs than channels; else columns are added where they lay.
    """
    channels = W.shape[1] * groups
    many = W.shape[0] * math.prod(window.size) > 3 * channels * math.prod(window.out)
    turned = window.turned
    if turned is not None and not many:
        W = W.reshape(groups, W.shape[0] // groups, *W.shape[1:]).swapaxes(1, 2)
        W = np.flip(W, tuple(range(3, W.ndim))).reshape(-1, *W.shape[2:])
        return correlate(gy, W, b, turned, groups)
    flat, g = _flat(W, groups).swapaxes(2, 3), _inward(gy, groups)
    n, after = gy.shape[0], (slice(None),) * len(window.kernel)
    x = np.zeros((groups, W.shape[1], *window.padded, n), np.result_type(gy, W))
    memory, most = None, min(8 * COLUMNS, math.prod(g.shape[3:]))  # a whole row, if it can be
    for start, stop in window.blocks(*_room(flat.shape[2], n, x.itemsize, most)):
        part = _part(g, start, stop)
        lengths = [j - i for i, j in zip(start, stop, strict=True)]
        shape = (*part.shape[:2], flat.shape[2], part.shape[3])
        memory = _memory(shape, x.dtype, memory)
        columns = np.matmul(flat, part, out=memory)
        rows, *aside = window.kernel
        columns = columns.reshape(groups, lengths[0], rows, W.shape[1], *aside, *lengths[1:], n)
        for offset in window.offsets:
            place = x[(..., *window.under(offset, start, stop), slice(None))]
            place += columns[(..., offset[0], slice(None), *offset[1:], *after)].swapaxes(1, 2)
    if window.pads:
        x = x[(..., *window.inner, slice(None))]
    if b is not None:
        x += b.reshape(groups, -1, *[1] * (x.ndim - 2))
    return _outward(x)


@partial(_prepared, least=16)  # here the columns are what is summed over
def weigh(x: Array, gy: Array, window: Window, groups: int) -> Array:
    """W[o, c, k] = the sum over n, p of x[n, c, p under k] gy[n, o, p]."""
    g, columns = _inward(gy, groups), _Columns(x, window, groups)
    channels = x.shape[1] // groups
    rows = channels * math.prod(window.kernel)
    W = np.zeros((groups, rows, g.shape[1]), np.result_type(x, gy))
    for start, stop in columns.blocks(8 * COLUMNS):  # the long matrix first: up to twice as fast
        parts = np.matmul(columns(start, stop), _part(g, start, stop).swapaxes(2, 3))
        W += parts.sum(axis=1) if parts.shape[1] > 1 else parts[:, 0]
    high, *aside = window.kernel
    W = W.swapaxes(1, 2).reshape(gy.shape[1], high, channels, *aside)
    return np.ascontiguousarray(W.swapaxes(1, 2))


class _Columns:
    """The columns that meet the window at the places of a block, one memory for all blocks.

    A block's are of shape (groups, rows, kernel times channels, places in a row times batch): a
    matrix for each row of places, which shares memory with that of the next.
    """

    def __init__(self, x: Array, window: Window, groups: int) -> None:
        x = _inward(x, groups, window)
        group, channel, row, *spatial, batch = x.strides
        spaced = [s * d for s, d in zip(spatial, window.dilation[1:], strict=True)]
        moved = [s * m for s, m in zip(spatial, window.stride[1:], strict=True)]
        sides = (groups, x.shape[2], x.shape[1], *window.kernel[1:])
        shape = (*sides, *window.out[1:], x.shape[-1])
        strides = (group, row, channel, *spaced, *moved, batch)
        self.view = np.lib.stride_tricks.as_strided(x, shape, strides)
        self.window = window
        self.rows = math.prod(sides[2:])
        self.image = x if window.reach == window.stride == (1,) * len(window.kernel) else None
        self.memory: Any = None

    def blocks(self, most: int = COLUMNS) -> Any:
        """Blocks of `most` columns, or as many as are common if that is few."""
        n, itemsize = self.view.shape[-1], self.view.itemsize
        return self.window.blocks(*_room(self.rows, n, itemsize, most))

    def __call__(self, start: Any, stop: Any) -> Any:
        if self.image is not None:  # a number's columns are the image itself
            return _part(self.image, start, stop)
        step, kernel = self.window.stride[0], self.window.kernel
        met = slice(start[0] * step, (stop[0] - 1) * step + kernel[0])
        part = self.view[(slice(None), met, ..., *map(slice, start[1:], stop[1:]), slice(None))]
        shape = (*part.shape[:2], self.rows, math.prod(part.shape[2 + len(kernel) :]))
        columns = self.memory = _memory(shape, part.dtype, self.memory)
        np.copyto(columns.reshape(part.shape), part)
        group, row, *rest = columns.strides
        shape = (shape[0], stop[0] - start[0], kernel[0] * self.rows, shape[3])
        return np.lib.stride_tricks.as_strided(columns, shape, (group, row * step, *rest))


def _memory(shape: tuple[int, ...], dtype: DType, memory: Any) -> Any:
    """Memory for columns: that of the block before, if it has the same shape."""
    if memory is not None and memory.shape == shape:
        return memory
    return np.empty((*shape[:-1], shape[-1] + APART), dtype)[..., : shape[-1]]


def maxima(x: Array, window: Window) -> Array:
    """y[p] = the largest x under the window at p; padding does not count."""
    x = _inward(x)
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


def place(gy: Array, x: Array, y: Array, window: Window) -> Array:
    """Zeros, but gy added where the maxima y of x lie: at the first of equal ones."""
    g, x, y = _inward(gy), _inward(x), _inward(y)
    overlap = any(r > s for r, s in zip(window.reach, window.stride, strict=True))
    once = window.kernel == window.stride == window.reach and window.padded == window.size
    tiles = once and not any(n % k for n, k in zip(window.size, window.kernel, strict=True))
    gx = (np.empty if tiles else np.zeros)(x.shape, _for_sums(g) if overlap else g.dtype)
    for hit, here, there in _hits(x, y, window):
        if overlap:
            gx[there] += zero_unless(g[here], hit)
        else:
            zero_unless(g[here], hit, out=gx[there])
    return _outward(gx.astype(g.dtype, copy=False)[None])


def choose(z: Array, x: Array, y: Array, window: Window) -> Array:
    """For each place the z that lies where the maximum y of x does: `place` transposed."""
    z, x, y = _inward(z), _inward(x), _inward(y)
    chosen = np.zeros(y.shape, z.dtype)
    for hit, here, there in _hits(x, y, window):
        np.copyto(chosen[here], z[there], where=hit)
    return _outward(chosen[None])


def _hits(x: Array, y: Array, window: Window) -> Any:
    """For each number of the window: where it is the first maximum, and the places it meets."""
    unfound = np.ones(y.shape, bool)
    for offset in window.offsets:
        found = window.inside(offset)
        if found is not None:
            here, there = map(_within, found)
            hit = np.greater(unfound[here], x[there] < y[here])
            unfound[here] ^= hit
            yield hit, here, there


def sums(x: Array, window: Window) -> Array:
    """y[p] = the sum of the x under the window at p."""
    x = _inward(x)
    y = np.zeros((x.shape[0], *window.out, x.shape[-1]), _for_sums(x))
    for offset in window.offsets:
        found = window.inside(offset)
        if found is not None:
            y[_within(found[0])] += x[_within(found[1])]
    return _outward(y.astype(x.dtype, copy=False)[None])


def shares(gy: Array, window: Window) -> Array:
    """x[p under k] += gy[p]: `sums` transposed."""
    g = _inward(gy)
    x = np.zeros((g.shape[0], *window.size, g.shape[-1]), _for_sums(g))
    for offset in window.offsets:
        found = window.inside(offset)
        if found is not None:
            x[_within(found[1])] += g[_within(found[0])]
    return _outward(x.astype(g.dtype, copy=False)[None])


def _for_sums(x: Array) -> Array:
    """The dtype in which numbers like those of x are added up."""
    return np.float32 if x.dtype == np.float16 else x.dtype


# --- the layout inside ------------------------------------------------------------------------


def _inward(x: Array, groups: int = 0, window: Window | None = None) -> Array:
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


def _outward(y: Array) -> Array:
    """(groups, channels, ..., batch) as (batch, channels, ...): a view."""
    y = y.reshape(-1 if y.size else y.shape[0] * y.shape[1], *y.shape[2:])
    return y.transpose(y.ndim - 1, *range(y.ndim - 1))


def _flat(W: Array, groups: int) -> Array:
    """The weights as one matrix for each group: (groups, 1, outputs, columns' channels)."""
    return W.swapaxes(1, 2).reshape(groups, 1, W.shape[0] // groups, math.prod(W.shape[1:]))


def _within(key: Any) -> Any:
    return (slice(None), *key, slice(None))


def _part(y: Array, start: Any, stop: Any) -> Array:
    """A block of places of y as matrices: (groups, rows, channels, places in a row times batch)."""
    part = y[(..., *map(slice, start, stop), slice(None))]
    return part.reshape(*part.shape[:3], math.prod(part.shape[3:])).swapaxes(1, 2)


def _room(rows: int, batch: int, itemsize: int, most: int) -> tuple[int, int]:
    """How many rows of places a block has, and how many places in each."""
    places = max((most if most >= 64 else COLUMNS) // max(batch, 1), 1)
    return max(BLOCK // max(rows * places * batch * itemsize, 1), 1), places
