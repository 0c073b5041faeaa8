"""Kernels for NumPy, each faster than the function that NumPy has for the task.

`np.where` is up to 14 times slower than a product: it branches for each number, and a processor cannot
predict a random mask. `zero_unless` reads the bits of each number as an integer and multiplies that by
0 or 1: there is no branch, and no NaN, as there would be for infinity times 0.

`np.matmul` of a column and a row takes six times as long as `np.dot`, and for stacks of them two to
three times as long as a product with broadcasting. For a small batch, `np.sum` takes longer to reach
`np.add.reduce` than `np.add.reduce` takes to add.

A cross entropy reads one number in each row. NumPy finds it by an index; the standard has no such
index, so the portable code compares every class with the target's.
"""

import numpy as np

from xpnet._typing import Array
from xpnet.kernels.lookup import Kernel

# For each floating-point dtype in the machine's byte order, the integers with as many bits.
BITS = {np.dtype(f"f{size}"): np.dtype(f"i{size}") for size in (2, 4, 8)}


def zero_unless(x: Array, mask: Array, out: Array | None = None) -> Array:
    """x where `mask` is True and +0 elsewhere.

    Parameters
    ----------
    x : numpy.ndarray
    mask : numpy.ndarray of booleans that broadcasts to the shape of x
    out : numpy.ndarray of the dtype and shape of x, optional
        Where to write the result.
    """
    bits = BITS.get(x.dtype)
    if bits is None:  # another kind of numbers, or another byte order
        chosen = np.where(mask, x, 0).astype(x.dtype, copy=False)
        if out is None:
            return chosen
        out[...] = chosen
        return out
    if out is not None:
        np.multiply(x.view(bits), mask, out=out.view(bits))
        return out
    return np.multiply(x.view(bits), mask).view(x.dtype)


def _takes(x: Array, mask: Array) -> bool:
    """Whether these are arrays of native floating-point numbers and of booleans, x not smaller."""
    return (
        x.dtype in BITS
        and isinstance(mask, np.ndarray)
        and mask.dtype == np.bool_
        and x.ndim > 0
        and mask.ndim <= x.ndim
        and (mask.shape == x.shape or np.broadcast_shapes(mask.shape, x.shape) == x.shape)
    )


def outer_product(x1: Array, x2: Array) -> Array:
    """x1 @ x2 for arrays of shapes (..., m, 1) and (..., 1, n)."""
    if x1.ndim == x2.ndim == 2:
        return np.dot(x1, x2)
    return np.multiply(x1, x2)


def _one_column_and_row(x1: Array, x2: Array) -> bool:
    """Whether x1 @ x2 is a product of one column and one row, or a stack of such products."""
    return (
        isinstance(x2, np.ndarray)
        and x1.ndim > 1
        and x2.ndim > 1
        and x1.shape[-1] == x2.shape[-2] == 1
        and x1.dtype == x2.dtype
        and x1.dtype in BITS
    )


def column_sums(x: Array) -> Array:
    """The sum over all axes but the last."""
    return np.add.reduce(x, axis=0 if x.ndim == 2 else tuple(range(x.ndim - 1)))


def _has_columns(x: Array) -> bool:
    """Whether x is a matrix, or a stack, of numbers that are added in their own dtype."""
    return x.ndim >= 2 and x.dtype.char in "fd"


def _relu_gradient(gy: Array, y: Array) -> Array:
    """The gradient of y = relu(x) with respect to x."""
    return zero_unless(gy, y > 0.0)


def _takes_gradient(gy: Array, y: Array) -> bool:
    """Whether gy is native floating-point numbers, of the shape of y."""
    return gy.shape == y.shape and gy.dtype in BITS and gy.ndim > 0


def cross_entropy(x: Array, t: Array) -> tuple[Array, tuple[Array, ...]]:
    """The mean of -log softmax(x)[t] over all rows, and what `cross_entropy_gradient` needs.

    Parameters
    ----------
    x : numpy.ndarray, shape (..., classes)
        Scores.
    t : numpy.ndarray of integers, shape (...)
        Class numbers. The loss is infinite if one of them is not from 0 to classes - 1.
    """
    classes = x.shape[-1]
    scores = x.reshape(-1, classes)
    z = scores - np.maximum.reduce(scores, axis=1, keepdims=True)
    e = np.exp(z)
    total = np.add.reduce(e, axis=1)
    t = t.reshape(-1).astype(np.intp, copy=False)
    rows = np.arange(len(t))
    unsigned = t.view(np.uintp)  # here negative numbers are large: one comparison finds them too
    if np.maximum.reduce(unsigned) < classes:
        loss = np.add.reduce(np.log(total) - z[rows, t]) / len(rows)
    else:
        loss = x.dtype.type(np.inf)
        rows = rows[unsigned < classes]
        t = t[rows]
    return np.asarray(loss), (e, total, rows, t)


def cross_entropy_gradient(gy: Array, x: Array, t: Array, kept: tuple[Array, ...]) -> Array:
    """The gradient of the loss with respect to x, times gy: an array of one number, or a Python number."""
    e, total, rows, class_numbers = kept
    gx = e / total[:, None]  # the softmax
    gx[rows, class_numbers] -= 1.0
    gx *= gy / len(gx)
    return gx.reshape(x.shape)


def _takes_class_numbers(x: Array, t: Array) -> bool:
    """Whether x is scores in 32 or 64 bits, in one row or more, and t class numbers, both native."""
    return (
        x.ndim > 1
        and t.ndim < x.ndim
        and x.size > 0
        and isinstance(t, np.ndarray)
        and x.dtype in BITS
        and x.dtype.char != "e"
        and t.dtype.kind in "iu"
        and t.dtype.isnative
    )


KERNELS = {
    "cross_entropy": Kernel(cross_entropy, _takes_class_numbers),
    "cross_entropy_gradient": Kernel(cross_entropy_gradient, _takes_class_numbers),
    "column_sums": Kernel(column_sums, _has_columns),
    "outer_product": Kernel(outer_product, _one_column_and_row),
    "zero_unless": Kernel(zero_unless, _takes),
    "relu_gradient": Kernel(_relu_gradient, _takes_gradient),
}
