"""Dropout's masks applied on CuPy, in one launch: 0 where the mask is 0, even if x is NaN or infinite."""

from xpnet._typing import Array
from xpnet.kernels.cuda import Elementwise, floating
from xpnet.kernels.lookup import Kernel

masked = Elementwise(
    "masked", "T x, T mask, float64 scale", "y = mask == T(0) ? T(0) : T(x * T(mask * T(scale)));"
)


def _takes(x: Array, mask: Array) -> bool:
    """Whether these are arrays of one floating-point dtype, on the current device."""
    return floating(x, mask)


KERNELS = {"masked": Kernel(masked, _takes)}
