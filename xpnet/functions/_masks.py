"""Masking by `where` instead of by a product with 0, since 0 times infinity is NaN."""

from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.kernels.lookup import kernel


def zero_unless(mask: Array, x: Array) -> Array:
    """x where `mask` is true and 0 elsewhere, also where x is NaN or infinite.

    Parameters
    ----------
    mask : array of booleans that broadcasts to the shape of x
    x : array or Variable
    """
    if fast := kernel("zero_unless", x, mask):
        return fast(x, mask)
    return array_namespace(x).where(mask, x, 0)


def product_where_not_zero(x: Array, factors: Array) -> Array:
    """x times factors, and 0 where the factor is 0, also where x is NaN or infinite.

    Parameters
    ----------
    x : array or Variable
    factors : array or Variable, of the dtype of x, that broadcasts to its shape
    """
    if fast := kernel("masked", x, factors):
        return fast(x, factors, 1.0)
    return zero_unless(factors != 0.0, x) * factors
