"""What NumPy does faster in another way than by the function that is meant for it.

`np.where` is up to 14 times slower than a product: it branches for each number, and a processor cannot
predict a random mask. A product of the bits of a number, read as an integer, with 0 or 1 has no
branch, and it has no NaN for 0 times infinity either.

`np.matmul` of a column and a row takes six times as long as `np.dot`, and for stacks of them two to
three times as long as a product with broadcasting. For a small batch `np.sum` takes longer to find
`np.add.reduce` than that takes to add.
"""

from importlib import import_module
from typing import Any

from xpnet._typing import Array
from xpnet.kernels.lookup import Kernel

np: Any = import_module("numpy")

BITS = {np.dtype(f"f{size}"): np.dtype(f"i{size}") for size in (2, 4, 8)}  # of native numbers


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
    if bits is None:  # another kind, or numbers in the byte order of another machine
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
    return zero_unless(gy, y > 0.0)


def _takes_gradient(gy: Array, y: Array) -> bool:
    return gy.shape == y.shape and gy.dtype in BITS and gy.ndim > 0


KERNELS = {
    "column_sums": Kernel(column_sums, _has_columns),
    "outer_product": Kernel(outer_product, _one_column_and_row),
    "zero_unless": Kernel(zero_unless, _takes),
    "relu_gradient": Kernel(_relu_gradient, _takes_gradient),
}
