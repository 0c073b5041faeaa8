"""Convolution and pooling for NumPy: windows are views, and results are added in place.

Internally, images have the layout (channels, *spatial, batch), with the batch innermost, as in
cuda-convnet. Each number of the kernel then meets contiguous runs of memory, as long as a row of
outputs times the batch, so columns are gathered, gradients scattered and maxima taken at the speed of
memory. Results are views of that layout with the axes in their usual order. NumPy's elementwise
functions keep the layout, so an image that has it already is not copied again.

A convolution is a product of the weights and a matrix of columns; a column holds the numbers that the
window meets at one place. Columns have the layout (rows, channels, the kernel without its rows, places
in a row, batch). A window that moves on by a row meets the same memory, one row further on. So the
columns of a 3 x 3 kernel are 3 times the image, not 9 times, and the matrices for two rows of outputs
overlap.

The columns are computed for one block of outputs at a time, small enough for a core's cache, and are
used while they are in it. For the derivative they are computed again rather than kept.

In the formulas n is an image of the batch, c a channel, o an output channel, p a place of the window,
and k a number of the window: x[n, c, p under k] is what number k meets when the window is at place p.

Source of im2col: Chellapilla, Puri and Simard, "High performance convolutional neural networks for
document processing", 2006; of a window's rows as views: Cho and Brand, "MEC: memory-efficient
convolution for deep neural network", 2017.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial, wraps
from typing import Any

import numpy as np

from xpnet._typing import Array, DType
from xpnet.kernels.elementary import zero_unless
from xpnet.kernels.window import Blocks, Key, Sizes, Window

BLOCK = 1 << 21  # bytes of columns in a block: what a core's second-level cache holds
COLUMNS = 1 << 9  # columns in a block: BLAS is fastest where the product stays in the cache too
SMALL = 10**6  # multiplications up to which OpenBLAS multiplies without packing the matrices first
NARROW = 16  # with fewer columns than this, a row of places is too small a matrix
APART = 16  # gap between rows of columns: a power of two apart, they would compete for cache lines


def _prepared(kernel: Callable[..., Any], least: int = 1) -> Callable[..., Any]:
    """Decorator: prepare the dtype of the two arrays, and the window, for a kernel.

    Sums of float16 numbers are taken in float32, which is faster too. Where the rows of a window are
    not adjacent, or one row of places is too small a matrix, each image is treated as a single row.

    Parameters
    ----------
    least : int
        A row of places must have at least `least` times `NARROW` columns.
    """

    @wraps(kernel)
    def computed(first: Array, second: Array, *rest: Any) -> Array:
        *bias, window, groups = rest
        dtype = np.result_type(first, second)
        if dtype == "float16":
            first = first.astype("float32")
            second = second.astype("float32")
        narrow = math.prod(window.out[1:]) * first.shape[0] < NARROW * least
        lifted = window.padded[0] > 1 and (narrow or window.dilation[0] > 1)
        if lifted:
            y = kernel(first[:, :, None], second[:, :, None], *bias, window.lifted, groups)[:, :, 0]
        else:
            y = kernel(first, second, *bias, window, groups)
        return y.astype(dtype, copy=False)

    return computed


@_prepared
def correlate(x: Array, W: Array, b: Array | None, window: Window, groups: int) -> Array:
    """y[n, o, p] = b[o] + the sum over c, k of x[n, c, p under k] W[o, c, k]."""
    flat = _flat(W, groups)
    columns = _Columns(x, window, groups)
    y = np.empty((groups, flat.shape[2], *window.out, x.shape[0]), np.result_type(x, W))
    bias = None if b is None else b.reshape(groups, 1, -1, 1)
    for start, stop in columns.blocks(SMALL // math.prod(flat.shape[2:])):
        part = _part(y, start, stop)
        np.matmul(flat, columns(start, stop), out=part)
        if bias is not None:
            part += bias
    return _outward(y)


@_prepared
def spread(gy: Array, W: Array, b: Array | None, window: Window, groups: int) -> Array:
    """x[n, c, p under k] += gy[n, o, p] W[o, c, k], beginning with b[c]: `correlate` transposed.

    Where the window moves by 1, this is `correlate` with the kernel turned round, which is faster
    unless there are many more outputs than channels. Otherwise columns are computed, and added where
    the window met them.
    """
    channels = W.shape[1] * groups
    many = W.shape[0] * math.prod(window.size) > 3 * channels * math.prod(window.out)
    turned = window.turned
    if turned is not None and not many:
        W = W.reshape(groups, W.shape[0] // groups, *W.shape[1:]).swapaxes(1, 2)
        W = np.flip(W, tuple(range(3, W.ndim))).reshape(-1, *W.shape[2:])
        return correlate(gy, W, b, turned, groups)
    x = _spread_by_columns(gy, W, window, groups)
    if window.pads:
        x = x[(..., *window.inner, slice(None))]
    if b is not None:
        x += b.reshape(groups, -1, *[1] * (x.ndim - 2))
    return _outward(x)


def _spread_by_columns(gy: Array, W: Array, window: Window, groups: int) -> Array:
    """The x of `spread` without bias, in the internal layout and with the padding."""
    flat = _flat(W, groups).swapaxes(2, 3)
    g = _inward(gy, groups)
    n = gy.shape[0]
    x: Array = np.zeros((groups, W.shape[1], *window.padded, n), np.result_type(gy, W))
    most = min(8 * COLUMNS, math.prod(g.shape[3:]))  # a whole row, if possible
    after = (slice(None),) * len(window.kernel)
    memory = None
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
    return x


@partial(_prepared, least=16)  # this sums over the columns, so it needs more of them
def weigh(x: Array, gy: Array, window: Window, groups: int) -> Array:
    """W[o, c, k] = the sum over n, p of x[n, c, p under k] gy[n, o, p]."""
    g = _inward(gy, groups)
    columns = _Columns(x, window, groups)
    channels = x.shape[1] // groups
    rows = channels * math.prod(window.kernel)
    W = np.zeros((groups, rows, g.shape[1]), np.result_type(x, gy))
    for start, stop in columns.blocks(8 * COLUMNS):  # the long matrix first: up to twice as fast
        parts = np.matmul(columns(start, stop), _part(g, start, stop).swapaxes(2, 3))
        if parts.shape[1] > 1:
            W += parts.sum(axis=1)
        else:  # one row of places: there is nothing to add up
            W += parts[:, 0]
    high, *aside = window.kernel
    W = W.swapaxes(1, 2).reshape(gy.shape[1], high, channels, *aside)
    return np.ascontiguousarray(W.swapaxes(1, 2))


class _Columns:
    """The columns of a block of places, in memory that all blocks share.

    Calling the object with a block, as (start, stop), returns an array of shape (groups, rows of
    places, kernel * channels, places in a row * batch). It is a matrix for each row of places, which
    shares memory with the matrix of the next row.
    """

    def __init__(self, x: Array, window: Window, groups: int) -> None:
        x = _inward(_padded(x, window), groups)
        group, channel, row, *spatial, batch = x.strides
        spaced = [s * d for s, d in zip(spatial, window.dilation[1:], strict=True)]
        moved = [s * m for s, m in zip(spatial, window.stride[1:], strict=True)]
        sides = (groups, x.shape[2], x.shape[1], *window.kernel[1:])
        shape = (*sides, *window.out[1:], x.shape[-1])
        strides = (group, row, channel, *spaced, *moved, batch)
        # x, in which each number occurs once for each place in its row at which the window meets it.
        self.view: Array = np.lib.stride_tricks.as_strided(x, shape, strides)
        self.window = window
        self.rows = math.prod(sides[2:])
        self.image: Array | None = None
        if window.reach == window.stride == (1,) * len(window.kernel):
            self.image = x  # the columns of a 1 x 1 kernel
        self.memory: Array | None = None

    def blocks(self, most: int = COLUMNS) -> Blocks:
        """Blocks of about `most` columns; see `_room`."""
        return self.window.blocks(*_room(self.rows, self.view.shape[-1], self.view.itemsize, most))

    def __call__(self, start: Sizes, stop: Sizes) -> Array:
        if self.image is not None:
            return _part(self.image, start, stop)
        step = self.window.stride[0]
        kernel = self.window.kernel
        met = slice(start[0] * step, (stop[0] - 1) * step + kernel[0])
        part = self.view[(slice(None), met, ..., *map(slice, start[1:], stop[1:]), slice(None))]
        shape = (*part.shape[:2], self.rows, math.prod(part.shape[2 + len(kernel) :]))
        columns = self.memory = _memory(shape, part.dtype, self.memory)
        np.copyto(columns.reshape(part.shape), part)
        group, row, *rest = columns.strides
        # A matrix for each row of places: the rows of the window that it meets, which the next shares.
        shape = (shape[0], stop[0] - start[0], kernel[0] * self.rows, shape[3])
        return np.lib.stride_tricks.as_strided(columns, shape, (group, row * step, *rest))


def _memory(shape: Sizes, dtype: DType, memory: Array | None) -> Array:
    """Memory for columns: that of the previous block, if it has the same shape."""
    if memory is not None and memory.shape == shape:
        return memory
    return np.empty((*shape[:-1], shape[-1] + APART), dtype)[..., : shape[-1]]


def maxima(x: Array, window: Window) -> Array:
    """y[p] = the largest x under the window at p; padding does not count."""
    x = _inward(x)
    y = np.empty((x.shape[0], *window.out, x.shape[-1]), x.dtype)
    filled = window.pads  # without padding, the first number of the window fills y
    if filled:
        y[...] = _lowest(y.dtype)
    for offset in window.offsets:
        found = window.inside(offset)
        if found is None:
            continue
        places, met = found
        part = y[_within(places)]
        if filled:
            np.maximum(part, x[_within(met)], out=part)
        else:
            part[...] = x[_within(met)]
            filled = True
    return _outward(y[None])


def _lowest(dtype: DType) -> float | int:
    """The number that is below all others of a dtype."""
    if dtype.kind == "f":
        return -math.inf
    return int(np.iinfo(dtype).min)


def place(gy: Array, x: Array, y: Array, window: Window) -> Array:
    """Zeros, but gy added where the maxima y of x lie: at the first of equal ones."""
    g = _inward(gy)
    x = _inward(x)
    y = _inward(y)
    overlap = any(r > s for r, s in zip(window.reach, window.stride, strict=True))
    once = window.kernel == window.stride == window.reach and window.padded == window.size
    tiles = once and not any(n % k for n, k in zip(window.size, window.kernel, strict=True))
    dtype = _for_sums(g) if overlap else g.dtype
    new = np.empty if tiles else np.zeros  # windows that tile x write each of its numbers once
    gx = new(x.shape, dtype)
    for hit, places, met in _hits(x, y, window):
        if overlap:
            gx[met] += zero_unless(g[places], hit)
        else:
            zero_unless(g[places], hit, out=gx[met])
    return _outward(gx.astype(g.dtype, copy=False)[None])


def choose(z: Array, x: Array, y: Array, window: Window) -> Array:
    """For each place the z that lies where the maximum y of x does: `place` transposed."""
    z = _inward(z)
    x = _inward(x)
    y = _inward(y)
    chosen = np.zeros(y.shape, z.dtype)
    for hit, places, met in _hits(x, y, window):
        np.copyto(chosen[places], z[met], where=hit)
    return _outward(chosen[None])


def _hits(x: Array, y: Array, window: Window) -> Iterator[tuple[Array, Key, Key]]:
    """For each number of the window, the places at which it meets the first maximum.

    Yields
    ------
    hit : array of booleans
        At which of these places the number meets the first maximum.
    places, met : tuples of slices
        The places as a key of y, and what the number meets there as a key of x.
    """
    unfound = np.ones(y.shape, bool)
    for offset in window.offsets:
        found = window.inside(offset)
        if found is not None:
            places, met = map(_within, found)
            # "unfound and not x < y" in one call; not "x == y", which NaN would never be
            hit = np.greater(unfound[places], x[met] < y[places])
            unfound[places] ^= hit
            yield hit, places, met


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


def _for_sums(x: Array) -> DType:
    """The dtype in which numbers like those of x are added up."""
    if x.dtype == np.float16:
        return np.float32
    return x.dtype


# --- the internal layout ----------------------------------------------------------------------


def _inward(x: Array, groups: int = 0) -> Array:
    """An array of shape (batch, channels, ...) as one of shape (channels, ..., batch), contiguous.

    With `groups`, the channels are two axes: (groups, channels of a group).
    """
    x = np.ascontiguousarray(np.moveaxis(x, 0, -1))
    if groups:
        return x.reshape(groups, x.shape[0] // groups, *x.shape[1:])
    return x


def _padded(x: Array, window: Window) -> Array:
    """x, of shape (batch, channels, ...), with the window's padding of zeros around it.

    It is a view of the internal layout, so that `_inward` does not copy it again.
    """
    if not window.pads:
        return x
    padded = np.empty((x.shape[1], *window.padded, x.shape[0]), x.dtype)
    padded[_within(window.inner)] = np.moveaxis(x, 0, -1)
    for axis, inner in enumerate(window.inner):
        for end in (slice(inner.start), slice(inner.stop, None)):
            padded[(slice(None),) * (axis + 1) + (end,)] = 0
    return np.moveaxis(padded, -1, 0)


def _outward(y: Array) -> Array:
    """An array of shape (groups, channels, ..., batch) as a view of shape (batch, channels, ...)."""
    y = y.reshape(y.shape[0] * y.shape[1], *y.shape[2:])
    return y.transpose(y.ndim - 1, *range(y.ndim - 1))


def _flat(W: Array, groups: int) -> Array:
    """The weights as one matrix for each group: (groups, 1, outputs of a group, kernel * channels)."""
    return W.swapaxes(1, 2).reshape(groups, 1, W.shape[0] // groups, math.prod(W.shape[1:]))


def _within(key: Key) -> Key:
    """A key of the spatial axes as a key of an array of shape (channels, *spatial, batch)."""
    return (slice(None), *key, slice(None))


def _part(y: Array, start: Sizes, stop: Sizes) -> Array:
    """A block of places of y as matrices: (groups, rows of places, channels, places in a row * batch)."""
    part = y[(..., *map(slice, start, stop), slice(None))]
    return part.reshape(*part.shape[:3], math.prod(part.shape[3:])).swapaxes(1, 2)


def _room(rows: int, batch: int, itemsize: int, most: int) -> tuple[int, int]:
    """How many rows of places a block has, and how many places there are in each.

    Parameters
    ----------
    rows, batch, itemsize : int
        The height of a matrix of columns, the images in a batch, the bytes of a number.
    most : int
        The columns that a row should have; if that is fewer than 64, `COLUMNS` instead.
    """
    if most < 64:
        most = COLUMNS
    places = max(most // max(batch, 1), 1)
    row_bytes = rows * places * batch * itemsize
    return max(BLOCK // max(row_bytes, 1), 1), places
