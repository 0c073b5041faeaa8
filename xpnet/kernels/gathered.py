"""Convolution and pooling for CuPy: a kernel that gathers, one product, a kernel that scatters.

The functions are those of `xpnet.functions._windows`. In their formulas n is an image of the batch, c a
channel, o an output channel, p a place of the window, and k a number of the window: x[n, c, p under k]
is what number k meets when the window is at place p. Images are contiguous, in the layout (batch,
channels, *spatial) that users of CuPy expect: elementwise kernels run over flat memory, reshaping
copies nothing, and other libraries assume the same. The last step of a convolution reads and writes
every number anyway, to add the bias, so it writes them in that order at no cost. (On the CPU the
batch is innermost, for its caches: see `strided`.)

    correlate    gather columns, one product, add the bias while writing the images
    spread       gather rows, one product, fold the columns
    weigh        gather columns and rows, one product

Each of these steps is one launch, and pooling is one launch each way. The columns of a product, of
shape (channels * kernel, batch * places), take COLUMNS bytes at most; larger batches are computed in
parts. For the derivative, columns are gathered again rather than kept.

Sums of float16 numbers are taken in float32: cuBLAS does so, and the product of `spread`, whose
results are summed further, is in float32 altogether.

Source of im2col: Chellapilla, Puri and Simard, "High performance convolutional neural networks for
document processing", 2006.
"""

import math
from functools import cache, lru_cache
from typing import Any

import numpy as np

from xpnet._typing import Array, DType
from xpnet.errors import ArgumentTypeError
from xpnet.kernels.cuda_source import (
    SHORT,
    THREADS,
    alike,
    compiled,
    cupy,
    index_type,
    on_its_device,
)
from xpnet.kernels.lookup import Kernel
from xpnet.kernels.products import product
from xpnet.kernels.window import Window

COLUMNS = 1 << 28  # bytes of columns at a time: enough to keep a GPU busy, and little of its memory
MAXIMA = ("maxima", "place", "choose")  # the kernels of maxima.cu; all others: gathered.cu


@on_its_device
def correlate(x: Array, W: Array, b: Array | None, window: Window, groups: int) -> Array:
    """y[n, o, p] = b[o] + the sum over c, k of x[n, c, p under k] W[o, c, k]."""
    x, W, b = alike(x, W, b)
    n = x.shape[0]
    outputs = W.shape[0]
    y = cupy().ndarray((n, outputs, *window.out), x.dtype)
    flat = _stacked(W.reshape(outputs, -1), groups)
    for images, places in _parts(x.shape[1] * window.numbers, window, x.dtype, x, y):
        columns = _stacked(_gathered(images, None, window), groups)
        rows = _product(flat, columns)
        _launch("outward", x.dtype, window, (rows, b, places), images.shape[0], outputs)
    return y


@on_its_device
def spread(gy: Array, W: Array, b: Array | None, window: Window, groups: int) -> Array:
    """x[n, c, p under k] += gy[n, o, p] W[o, c, k], beginning with b[c]: `correlate` transposed."""
    gy, W, b = alike(gy, W, b)
    n = gy.shape[0]
    channels = W.shape[1] * groups
    x = cupy().ndarray((n, channels, *window.size), gy.dtype)
    flat = _stacked(W.reshape(W.shape[0], -1), groups).swapaxes(-1, -2)
    wide = gy.dtype == "float16"
    if wide:
        flat = flat.astype("float32")
    for places, images in _parts(channels * window.numbers, window, flat.dtype, gy, x):
        rows = _stacked(_gathered(None, places, window, wide), groups)
        columns = _product(flat, rows)
        _launch("fold", gy.dtype, window, (columns, b, images), places.shape[0], channels)
    return x


@on_its_device
def weigh(x: Array, gy: Array, window: Window, groups: int) -> Array:
    """W[o, c, k] = the sum over n, p of x[n, c, p under k] gy[n, o, p]."""
    x, gy = alike(x, gy)
    above = x.shape[1] * window.numbers  # the rows of `both` with numbers of x, above those of gy
    outputs = gy.shape[1]
    parts = _parts(above + outputs, window, x.dtype, x, gy)
    W: Array = None
    for images, places in parts:
        both = _gathered(images, places, window)
        columns = _stacked(both[:above], groups)
        rows = _stacked(both[above:], groups)
        if groups == 1:
            part = _product(rows, columns.T)
        else:  # CuPy copies a transposed stack, so transpose the smaller of the two
            part = _product(columns, rows.swapaxes(1, 2)).swapaxes(1, 2)
        if len(parts) > 1 and part.dtype == "float16":
            part = part.astype("float32")
        W = part if W is None else W + part
    W = W.reshape(outputs, x.shape[1] // groups, *window.kernel)
    return W.astype(x.dtype, copy=False)


@on_its_device
def maxima(x: Array, window: Window) -> Array:
    """y[p] = the largest x under the window at p; padding does not count."""
    (x,) = alike(x)
    y = cupy().ndarray((*x.shape[:2], *window.out), x.dtype)
    _launch("maxima", x.dtype, window, (x, _lowest(x.dtype), y), x.shape[0] * x.shape[1])
    return y


@on_its_device
def place(gy: Array, x: Array, y: Array, window: Window) -> Array:
    """Zeros, but gy added where the maxima y of x lie: at the first of equal ones."""
    g, x, y = alike(gy, x, y)
    gx = cupy().ndarray(x.shape, g.dtype)
    _launch("place", x.dtype, window, (g, x, y, gx), x.shape[0] * x.shape[1])
    return gx.astype(gy.dtype, copy=False)


@on_its_device
def choose(z: Array, x: Array, y: Array, window: Window) -> Array:
    """For each place the z that lies where the maximum y of x does: `place` transposed."""
    numbers, x, y = alike(z, x, y)
    chosen = cupy().ndarray(y.shape, numbers.dtype)
    _launch("choose", x.dtype, window, (numbers, x, y, chosen), x.shape[0] * x.shape[1])
    return chosen.astype(z.dtype, copy=False)


@on_its_device
def sums(x: Array, window: Window) -> Array:
    """y[p] = the sum of the x under the window at p."""
    (x,) = alike(x)
    y = cupy().ndarray((*x.shape[:2], *window.out), x.dtype)
    _launch("sums", x.dtype, window, (x, y), x.shape[0] * x.shape[1])
    return y


@on_its_device
def shares(gy: Array, window: Window) -> Array:
    """x[p under k] += gy[p]: `sums` transposed."""
    (g,) = alike(gy)
    x = cupy().ndarray((*g.shape[:2], *window.size), g.dtype)
    _launch("shares", g.dtype, window, (g, x), g.shape[0] * g.shape[1])
    return x


# --- the steps ------------------------------------------------------------------------------------


def _parts(rows: int, window: Window, dtype: DType, *arrays: Array) -> list[tuple[Any, ...]]:
    """The arrays, cut along the batch so that columns with `rows` rows take COLUMNS bytes at most.

    A part has one image at least, however much memory that takes.
    """
    batch = arrays[0].shape[0]
    bytes_per_image = rows * window.positions * dtype.itemsize
    size = max(COLUMNS // max(bytes_per_image, 1), 1)
    if batch <= size:
        return [arrays]
    return [tuple(x[i : i + size] for x in arrays) for i in range(0, batch, size)]


def _stacked(x: Array, groups: int) -> Array:
    """A matrix as a stack of `groups` matrices, its rows split among them; unchanged for one group."""
    if groups == 1:
        return x
    return x.reshape(groups, x.shape[0] // groups, x.shape[1])


def _gathered(x: Array | None, u: Array | None, window: Window, wide: bool = False) -> Array:
    """A column for each image and place: the numbers of x under the window, and below them those of u.

    The shape is (x's channels * kernel + u's channels, batch * places); x or u may be None. If
    `wide`, float16 becomes float32.
    """
    first: Array = u if x is None else x
    images = first.shape[0]
    channels = 0 if x is None else x.shape[1]
    outputs = 0 if u is None else u.shape[1]
    name = "gather"
    result = first.dtype
    if wide:
        name = "gather_wide"
        result = "float32"
    shape = (channels * window.numbers + outputs, images * window.positions)
    rows = cupy().ndarray(shape, result)
    _launch(name, first.dtype, window, (x, channels, u, outputs, rows), images)
    return rows


def _product(a: Array, b: Array) -> Array:
    """The product of two matrices, or of the matrices of two stacks in pairs.

    CuPy's product of two matrices takes transposed ones as they are, and sums float16 in float32,
    except if the result is one number, which it sums in float16. Its product of stacks copies and
    widens them first.
    """
    if a.ndim == 2 and a.shape[0] == b.shape[1] == 1 and a.dtype == "float16":
        return cupy().matmul(a[None], b[None])[0]
    return product(a, b)


def _launch(
    name: str, dtype: DType, window: Window, arguments: tuple[Any, ...], *counts: int
) -> None:
    """Launch the kernel for images of `dtype`, with one thread for each number of its result.

    The result is the last of the arguments. After them come the counts (of images, of channels), then
    the window.
    """
    size = arguments[-1].size
    if size == 0:
        return
    first = arguments[0]  # the other arguments are no larger than these two
    short = size < SHORT and (first is None or first.size < SHORT)
    kernel = _kernel(name, dtype, len(window.size), short)
    kernel((-(-size // THREADS),), (THREADS,), (*arguments, *counts, _packed(window)))


@cache
def _kernel(name: str, dtype: DType, axes: int, short: bool) -> Any:
    """A kernel for arrays of a dtype with `axes` spatial axes, which are short or not."""
    file = "maxima.cu" if name in MAXIMA else "gathered.cu"
    files = ("window.cuh", file)
    return compiled(files, name, dtype.name, index_type(short), f"enum {{ D = {axes} }};")


@lru_cache(maxsize=1024)
def _packed(window: Window) -> Any:
    """The window as the kernels' `struct Window`: a record, which CuPy passes by value."""
    before = tuple(before for before, _ in window.padding)
    axes = (window.size, window.out, window.kernel, window.stride, before, window.dilation)
    products = math.prod(window.size), window.positions, window.numbers
    return np.array([*sum(axes, ()), *products], "int64").view(f"V{8 * (6 * len(before) + 3)}")


@cache
def _lowest(dtype: DType) -> Any:
    """The lowest number of a dtype.

    Raises
    ------
    TypeError
        The dtype's numbers have no order.
    """
    if not _ordered(dtype):
        raise ArgumentTypeError(f"maxima expected real numbers, integers or floats, got {dtype}.")
    lowest = -math.inf if dtype.kind == "f" else np.iinfo(dtype).min
    return np.asarray(lowest, dtype)


def _ordered(dtype: DType) -> bool:
    """Whether the numbers of a dtype have an order, and so a maximum."""
    return dtype.kind in "fiu"


def _takes(x: Array) -> bool:
    """Whether x is an array of real numbers."""
    return _ordered(x.dtype)


KERNELS = {"maxima": Kernel(maxima, _takes)}
