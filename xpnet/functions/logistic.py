"""The sigmoid and the bells that are the slopes of sigmoid and tanh, precise in their tails.

y (1 - y) and 1 - y^2 are 0 where y is rounded to 1, though a gradient of 2e-9 may be all there is.
Here the slopes are computed from exp(-|x|), and so are precise relative to themselves.
"""

from typing import Any

from xpnet.autodiff import Function
from xpnet.kernels.lookup import kernel
from xpnet.namespace import array_namespace, has_dtype


class Sigmoid(Function):
    """1 / (1 + exp(-x)), without overflow."""

    def forward(self, x: Any) -> Any:
        if fast := kernel("sigmoid", x):
            return fast(x)
        xp = array_namespace(x)
        small = xp.exp(-xp.abs(x))  # never above 1: no overflow on either side
        return xp.where(x < 0.0, small, 1.0) / (1.0 + small)

    def backward(self, gy: Any, x: Any) -> Any:
        if fast := kernel("sigmoid_gradient", gy, x):
            return fast(gy, x)
        return gy * LogisticDensity()(x)


class LogisticDensity(Function):
    """sigmoid(x) sigmoid(-x), the derivative of the sigmoid."""

    def forward(self, x: Any) -> Any:
        xp = array_namespace(x)
        small = xp.exp(-xp.abs(x))
        return small / ((1.0 + small) * (1.0 + small))

    def backward(self, gy: Any, y: Any, x: Any) -> Any:
        return -(gy * (y * array_namespace(gy).tanh(0.5 * x)))


class SquaredSech(Function):
    """1 / cosh(x)^2, the derivative of tanh."""

    def forward(self, x: Any) -> Any:
        xp = array_namespace(x)
        small = xp.exp(-xp.abs(x))
        small = small * small  # exp(-2 |x|), of which 2 |x| may be out of range
        return 4.0 * small / ((1.0 + small) * (1.0 + small))

    def backward(self, gy: Any, y: Any, x: Any) -> Any:
        return -2.0 * (gy * (y * array_namespace(gy).tanh(x)))


def tanh_gradient(gy: Any, x: Any) -> Any:
    """The rule for tanh."""
    if fast := kernel("tanh_gradient", gy, x):
        return fast(gy, x)
    if has_dtype(x, "complex floating"):
        y = array_namespace(x).tanh(x)
        return gy * (1.0 - y * y)
    return gy * SquaredSech()(x)
