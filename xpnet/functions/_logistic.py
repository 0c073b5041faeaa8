"""The sigmoid, and the derivatives of sigmoid and tanh, precise in their tails.

The usual formulas for the derivatives, y (1 - y) and 1 - y^2, are 0 where y is rounded to 1, as at
x = 20 in float32; the derivative there is 2e-9, and may be all that a network has left to learn
from. Here they are computed from exp(-|x|), with a small relative error everywhere.
"""

from xpnet._typing import Array
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.functions._masks import product_where_not_zero
from xpnet.kernels.lookup import kernel


class Sigmoid(Function):
    """1 / (1 + exp(-x)), without overflow."""

    def forward(self, x: Array) -> Array:
        if fast := kernel("sigmoid", x):
            return fast(x)
        xp = array_namespace(x)
        # 1 / (1 + exp(-x)) for x > 0, and exp(x) / (1 + exp(x)) for x < 0, which is the same number:
        # exp is taken of negative numbers only, so it cannot overflow.
        return xp.exp(xp.minimum(x, 0.0)) / (1.0 + xp.exp(-xp.abs(x)))

    def backward(self, gy: Array, x: Array) -> Array:
        if fast := kernel("sigmoid_gradient", gy, x):
            return fast(gy, x)
        return gy * LogisticDensity()(x)


class LogisticDensity(Function):
    """y = sigmoid(x) sigmoid(-x), the derivative of the sigmoid. Its own is -y tanh(x / 2)."""

    def forward(self, x: Array) -> Array:
        xp = array_namespace(x)
        small = xp.exp(-xp.abs(x))
        return small / ((1.0 + small) * (1.0 + small))

    def backward(self, gy: Array, y: Array, x: Array) -> Array:
        return -(gy * (y * array_namespace(gy).tanh(0.5 * x)))


class SquaredSech(Function):
    """y = 1 / cosh(x)^2, the derivative of tanh. Its own is -2 y tanh(x)."""

    def forward(self, x: Array) -> Array:
        xp = array_namespace(x)
        small = xp.exp(-xp.abs(x))
        small = small * small  # exp(-2 |x|) by a square, since 2 |x| may overflow
        return 4.0 * small / ((1.0 + small) * (1.0 + small))

    def backward(self, gy: Array, y: Array, x: Array) -> Array:
        return -2.0 * (gy * (y * array_namespace(gy).tanh(x)))


class LogOnePlusExp(Function):
    """log(1 + exp(x)), without overflow and with a small relative error everywhere."""

    def forward(self, x: Array) -> Array:
        xp = array_namespace(x)
        return xp.maximum(x, 0.0) + xp.log1p(xp.exp(-xp.abs(x)))

    def backward(self, gy: Array, x: Array) -> Array:
        return gy * Sigmoid()(x)


class LogisticLoss(Function):
    """a log(1 + exp(-x)) + b log(1 + exp(x)); a term with a factor of 0 is 0, also for infinite x.

    The gradient is b sigmoid(x) - a sigmoid(-x). With a + b = 1 that equals sigmoid(x) - a, but this
    difference loses its digits where both are nearly equal.
    """

    def forward(self, x: Array, a: Array, b: Array) -> Array:
        xp = array_namespace(x)
        near_0 = (a + b) * xp.log1p(xp.exp(-xp.abs(x)))
        linear_a = product_where_not_zero(xp.maximum(-x, 0.0), a)
        linear_b = product_where_not_zero(xp.maximum(x, 0.0), b)
        return linear_a + linear_b + near_0

    def backward(
        self, gy: Array, x: Array, a: Array, b: Array
    ) -> tuple[Array | None, Array | None, Array | None]:
        gx = None
        ga = None
        gb = None
        if self.needs[0]:
            gx = gy * (b * Sigmoid()(x) - a * Sigmoid()(-x))
        if self.needs[1]:
            ga = gy * LogOnePlusExp()(-x)
        if self.needs[2]:
            gb = gy * LogOnePlusExp()(x)
        return gx, ga, gb


def tanh_gradient(gy: Array, x: Array) -> Array:
    """The gradient of tanh, from that of its output."""
    if fast := kernel("tanh_gradient", gy, x):
        return fast(gy, x)
    if has_dtype(x, "complex floating"):
        y = array_namespace(x).tanh(x)
        return gy * (1.0 - y * y)
    return gy * SquaredSech()(x)
