"""Masks by choice, not by a product: 0 times infinity is NaN."""

from typing import Any

from xpnet.kernels.lookup import kernel
from xpnet.namespace import array_namespace


def zero_unless(mask: Any, x: Any) -> Any:
    """x where `mask` is true and 0 elsewhere, also where x is NaN or infinite.

    Parameters
    ----------
    mask : array of booleans that broadcasts to the shape of x
    x : array or Variable
    """
    if fast := kernel("zero_unless", x, mask):
        return fast(x, mask)
    return array_namespace(x).where(mask, x, 0.0)
