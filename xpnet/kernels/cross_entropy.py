"""Softmax cross entropy for CuPy: one launch forward, and one for the gradient.

The forward kernel keeps for the gradient the maximum of each row, the sum of its exponentials and,
if the target is weights, their sum: three numbers per row, not a softmax as large as the scores.
"""

import numpy as np

from xpnet._typing import Array, DType
from xpnet.kernels.cuda import Raw, floating, on_one_device
from xpnet.kernels.cuda_source import C_TYPES, cupy
from xpnet.kernels.lookup import Kernel

ONE_BLOCK = (
    1 << 16
)  # up to this many scores there is one block: adding several takes another launch
BLOCKS = 1024  # at most
THREADS = 1024  # per block if there is only one
THREADS_OF_MANY = 256  # per block if there are several
NARROW = 32  # up to this many classes, a thread computes a row; otherwise a warp does
LANES = 32  # threads of a warp

WEIGHTS = ("typedef T Target;", "#define WEIGHTS 1")
NUMBERS = {  # the definitions for a target of class numbers, by their dtype
    np.dtype(name): (f"typedef {C_TYPES[name]} Target;", "#define WEIGHTS 0")
    for name in C_TYPES
    if "int" in name
}


def _for_targets(name: str) -> dict[DType | None, Raw]:
    """A kernel for each dtype of class numbers, and one for weights, under the key None."""
    kernels: dict[DType | None, Raw] = {
        dtype: Raw("cross_entropy.cu", name, *lines) for dtype, lines in NUMBERS.items()
    }
    kernels[None] = Raw("cross_entropy.cu", name, *WEIGHTS)
    return kernels


_forward = _for_targets("xpnet_cross_entropy")
_gradient = _for_targets("xpnet_cross_entropy_gradient")
_mean = Raw("cross_entropy.cu", "xpnet_cross_entropy_mean", *WEIGHTS)


def _takes(x: Array, t: Array) -> bool:
    """Whether x is scores in 32 or 64 bits, and t class numbers, or weights of the same dtype."""
    if type(t) is not type(x) or x.dtype.char == "e" or not floating(x) or not on_one_device(x, t):
        return False
    if x.shape[-1] == 0:
        return False
    if t.ndim == x.ndim:
        return bool(x.dtype == t.dtype)
    return t.dtype in NUMBERS


def _kind(x: Array, t: Array) -> DType | None:
    """The key of the kernels for a target: the dtype of class numbers, or None for weights."""
    return None if t.ndim == x.ndim else t.dtype


def cross_entropy(x: Array, t: Array) -> tuple[Array, Array]:
    """The mean loss over all rows, and what `cross_entropy_gradient` needs.

    Parameters
    ----------
    x : CuPy array, shape (..., classes)
        Scores.
    t : CuPy array, shape (...) or (..., classes)
        Class numbers, or a weight for each score. The loss is infinite if a class number is not from
        0 to classes - 1.

    Returns
    -------
    loss : CuPy array, shape ()
    kept : CuPy array, shape (2, rows) or (3, rows)
        See the docstring of this module.
    """
    new = cupy().ndarray
    dtype = x.dtype
    classes = x.shape[-1]
    kind = _kind(x, t)
    rows = x.size // classes
    lanes = 1 if classes <= NARROW else LANES
    threads = min(-(-max(rows, 1) * lanes // LANES) * LANES, THREADS)
    blocks = 1
    if x.size > ONE_BLOCK:
        threads = min(threads, THREADS_OF_MANY)
        blocks = min(-(-rows * lanes // threads), BLOCKS)
    loss = new((), dtype)
    numbers_per_row = 3 if kind is None else 2
    kept = new((numbers_per_row, rows), dtype)
    sums = None
    if blocks > 1:
        sums = new((blocks, 2), dtype)
    run = _forward[kind].of(dtype)
    contiguous = cupy().ascontiguousarray
    arguments = contiguous(x), contiguous(t), kept, loss, sums, rows, classes, lanes
    run((blocks,), (threads,), arguments)
    if sums is not None:
        _mean.of(dtype)((1,), (THREADS,), (sums, loss, blocks, rows))
    return loss, kept


def cross_entropy_gradient(gy: Array | float, x: Array, t: Array, kept: Array) -> Array:
    """The gradient of the loss with respect to x, times gy: an array of one number, or a Python number."""
    gx = cupy().ndarray(x.shape, x.dtype)
    if not gx.size:
        return gx
    run = _gradient[_kind(x, t)].of(x.dtype)
    factor = (None, gy) if isinstance(gy, float) else (gy, 0.0)
    contiguous = cupy().ascontiguousarray
    classes = x.shape[-1]
    arguments = contiguous(x), contiguous(t), kept, *factor, gx, x.size // classes, classes
    run((min(-(-x.size // 256), 4096),), (256,), arguments)
    return gx


KERNELS = {
    "cross_entropy": Kernel(cross_entropy, _takes),
    "cross_entropy_gradient": Kernel(cross_entropy_gradient, _takes),
}
