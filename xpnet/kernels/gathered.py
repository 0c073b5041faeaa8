"""Convolution and pooling for CuPy: a kernel to gather, one product, a kernel to put in place.

The functions are those of `xpnet.functions.windows`. Images lie as (batch, channels, *spatial) with
no gaps, as everyone expects of an array that CuPy holds: so elementwise kernels run over flat
memory, reshaping copies nothing, and what leaves for another library is laid out as it assumes. (On
the CPU the batch lies innermost, for its caches: see `strided`.)

    correlate    gather columns, one product, add the bias on the way to the images
    spread       gather rows, one product, fold the columns
    weigh        gather columns and rows, one product

Each arrow is one launch. The columns of a product, of shape (channels * kernel, batch * places), take
COLUMNS bytes at most; larger batches are computed in parts. They are gathered again for the
derivative rather than kept. Pooling is one launch each way.

Sums of float16 numbers are taken in float32: cuBLAS does so, and the product of `spread`, whose
results are summed further, is in float32 altogether.

Source of im2col: Chellapilla, Puri and Simard, "High performance convolutional neural networks for
document processing", 2006.
"""

import math
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib import import_module
from typing import Any

from xpnet.kernels.cuda_source import THREADS, alike, compiled, cupy, on_its_device
from xpnet.kernels.window import Window

np: Any = import_module("numpy")

COLUMNS = 1 << 28  # bytes of columns at a time: what keeps a GPU busy, and leaves its memory free
SHORT = 1 << 30  # arrays of fewer numbers are indexed by 32 bits: a GPU divides those faster
MAXIMA = ("maxima", "place", "choose")  # the kernels of maxima.cu; all others: gathered.cu


@on_its_device
def correlate(x: Any, W: Any, b: Any, window: Window, groups: int) -> Any:
    """y[n, o, p] = b[o] + the sum over c, k of x[n, c, p under k] W[o, c, k]."""
    x, W, b = alike(x, W, b)
    y = cupy().empty((x.shape[0], W.shape[0], *window.out), x.dtype)
    flat = W.reshape(groups, W.shape[0] // groups, -1)
    for part in _parts(x.shape[0], x.shape[1] * math.prod(window.kernel), window, x.itemsize):
        images, places = x[part], y[part]
        columns = _gathered(images, None, window)
        product = _product(flat, columns.reshape(groups, flat.shape[2], columns.shape[1]))
        _launch("outward", x.dtype, window, [product, b, places], *places.shape[:2])
    return y


@on_its_device
def spread(gy: Any, W: Any, b: Any, window: Window, groups: int) -> Any:
    """x[n, c, p under k] += gy[n, o, p] W[o, c, k], beginning with b[c]: `correlate` transposed."""
    gy, W, b = alike(gy, W, b)
    channels = W.shape[1] * groups
    x = cupy().empty((gy.shape[0], channels, *window.size), gy.dtype)
    flat = W.reshape(groups, W.shape[0] // groups, -1).swapaxes(1, 2)
    wide = gy.dtype == "float16"
    if wide:
        flat = flat.astype("float32")
    for part in _parts(gy.shape[0], channels * math.prod(window.kernel), window, flat.itemsize):
        images, places = x[part], gy[part]
        rows = _gathered(None, places, window, wide)
        columns = _product(flat, rows.reshape(groups, flat.shape[2], rows.shape[1]))
        _launch("fold", gy.dtype, window, [columns, b, images], *images.shape[:2])
    return x


@on_its_device
def weigh(x: Any, gy: Any, window: Window, groups: int) -> Any:
    """W[o, c, k] = the sum over n, p of x[n, c, p under k] gy[n, o, p]."""
    x, gy = alike(x, gy)
    above = x.shape[1] * math.prod(window.kernel)
    parts = list(_parts(x.shape[0], above + gy.shape[1], window, x.itemsize))
    W: Any = None
    for part in parts:
        both = _gathered(x[part], gy[part], window)
        columns = both[:above].reshape(groups, above // groups, both.shape[1])
        rows = both[above:].reshape(groups, gy.shape[1] // groups, both.shape[1])
        if groups == 1:
            product = _product(rows, columns.swapaxes(1, 2))
        else:  # here what is transposed is copied, so the smaller of the two
            product = _product(columns, rows.swapaxes(1, 2)).swapaxes(1, 2)
        if len(parts) > 1 and product.dtype == "float16":
            product = product.astype("float32")
        W = product if W is None else W + product
    W = W.reshape(gy.shape[1], x.shape[1] // groups, *window.kernel)
    return W.astype(x.dtype, copy=False)


@on_its_device
def maxima(x: Any, window: Window) -> Any:
    """y[p] = the largest x under the window at p; padding does not count."""
    (x,) = alike(x)
    y = cupy().empty((*x.shape[:2], *window.out), x.dtype)
    _launch("maxima", x.dtype, window, [x, _lowest(x.dtype), y], math.prod(x.shape[:2]))
    return y


@on_its_device
def place(gy: Any, x: Any, y: Any, window: Window) -> Any:
    """Zeros, but gy added where the maxima y of x lie: at the first of equal ones."""
    g, x, y = alike(gy, x, y)
    gx = cupy().empty(x.shape, g.dtype)
    _launch("place", x.dtype, window, [g, x, y, gx], math.prod(x.shape[:2]))
    return gx.astype(gy.dtype, copy=False)


@on_its_device
def choose(z: Any, x: Any, y: Any, window: Window) -> Any:
    """For each place the z that lies where the maximum y of x does: `place` transposed."""
    numbers, x, y = alike(z, x, y)
    chosen = cupy().empty(y.shape, numbers.dtype)
    _launch("choose", x.dtype, window, [numbers, x, y, chosen], math.prod(x.shape[:2]))
    return chosen.astype(z.dtype, copy=False)


@on_its_device
def sums(x: Any, window: Window) -> Any:
    """y[p] = the sum of the x under the window at p."""
    (x,) = alike(x)
    y = cupy().empty((*x.shape[:2], *window.out), x.dtype)
    _launch("sums", x.dtype, window, [x, y], math.prod(x.shape[:2]))
    return y


@on_its_device
def shares(gy: Any, window: Window) -> Any:
    """x[p under k] += gy[p]: `sums` transposed."""
    (g,) = alike(gy)
    x = cupy().empty((*g.shape[:2], *window.size), g.dtype)
    _launch("shares", g.dtype, window, [g, x], math.prod(g.shape[:2]))
    return x


# --- what they are made of ------------------------------------------------------------------------


def _parts(batch: int, rows: int, window: Window, itemsize: int) -> Iterator[slice]:
    """The batch in parts whose columns, of so many rows, take COLUMNS bytes at most if they can."""
    image = rows * math.prod(window.out) * itemsize
    size = max(COLUMNS // max(image, 1), 1)
    for start in range(0, max(batch, 1), size):
        yield slice(start, min(start + size, batch))


def _gathered(x: Any, u: Any, window: Window, wide: bool = False) -> Any:
    """A column for each image and place: what of x meets the window there, and below it u.

    Of shape (x's channels * kernel + u's channels, batch * places); x or u may be None. If it is to
    be `wide`, float16 becomes float32.
    """
    given = u if x is None else x
    channels = 0 if x is None else x.shape[1]
    outputs = 0 if u is None else u.shape[1]
    shape = (
        channels * math.prod(window.kernel) + outputs,
        given.shape[0] * math.prod(window.out),
    )
    rows = cupy().empty(shape, "float32" if wide else given.dtype)
    name = "gather_wide" if wide else "gather"
    _launch(name, given.dtype, window, [x, channels, u, outputs, rows], given.shape[0])
    return rows


def _product(a: Any, b: Any) -> Any:
    """The products of matrices, group by group: (groups, m, k), (groups, k, n) to (groups, m, n).

    CuPy's product of two matrices takes transposed ones as they are, and sums float16 in float32;
    but for one number, which it sums in float16. That of stacks copies and widens them first.
    """
    if a.shape[0] > 1 or a.shape[1] == b.shape[2] == 1:
        return cupy().matmul(a, b)
    return cupy().dot(a[0], b[0])


def _launch(name: str, dtype: Any, window: Window, arguments: list[Any], *counts: int) -> None:
    """Start a kernel, with a thread for each number of its result: the last of the arguments.

    It is the one for images of `dtype`. After the arguments it is given the counts (of images, of
    channels), then the window.
    """
    result = arguments[-1]
    if result.size == 0:
        return
    sizes = [x.size for x in arguments if isinstance(x, cupy().ndarray)]
    index = "int" if max(sizes) < SHORT else "long long"
    kernel = compiled(
        ("window.cuh", "maxima.cu" if name in MAXIMA else "gathered.cu"),
        name,
        dtype.name,
        f"typedef {index} I;",
        f"enum {{ D = {len(window.size)} }};",
    )
    kernel((-(-result.size // THREADS),), (THREADS,), (*arguments, *counts, _packed(window)))


@lru_cache(maxsize=1024)
def _packed(window: Window) -> Any:
    """The window as the kernels' `struct Window`: an array of one record, which CuPy hands over."""
    before = tuple(before for before, _ in window.padding)
    axes = (window.size, window.out, window.kernel, window.stride, before, window.dilation)
    products = [math.prod(lengths) for lengths in (window.size, window.out, window.kernel)]
    return np.array([*sum(axes, ()), *products], "int64").view(f"V{8 * (6 * len(before) + 3)}")


@cache
def _lowest(dtype: Any) -> Any:
    """The least number of a dtype.

    Raises
    ------
    TypeError
        Its numbers have no order.
    """
    if dtype.kind not in "fiu":
        raise TypeError(f"maxima expected real numbers, integers or floats, got {dtype}.")
    return np.asarray(-math.inf if dtype.kind == "f" else np.iinfo(dtype).min, dtype)
