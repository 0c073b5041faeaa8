"""The functions between a network's layers, and the probabilities at its end."""

from typing import Any

from xpnet.autodiff import Function
from xpnet.namespace import array_namespace


class ReLU(Function):
    def forward(self, x: Any) -> Any:
        return array_namespace(x).maximum(x, 0.0)

    def backward(self, gy: Any, y: Any) -> Any:
        return gy * array_namespace(y).astype(y > 0.0, y.dtype)


class Sigmoid(Function):
    def forward(self, x: Any) -> Any:
        xp = array_namespace(x)  # exp of what is never positive: no overflow on either side
        return xp.exp(xp.minimum(x, 0.0)) / (1.0 + xp.exp(-xp.abs(x)))

    def backward(self, gy: Any, y: Any) -> Any:
        return gy * (y * (1.0 - y))


class LogSoftmax(Function):
    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Any:
        xp = array_namespace(x)
        x = x - xp.max(x, axis=self.axis, keepdims=True)
        return x - xp.log(xp.sum(xp.exp(x), axis=self.axis, keepdims=True))

    def backward(self, gy: Any, y: Any) -> Any:
        xp = array_namespace(gy)
        return gy - xp.exp(y) * xp.sum(gy, axis=self.axis, keepdims=True)


class Softmax(Function):
    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Any:
        xp = array_namespace(x)
        e = xp.exp(x - xp.max(x, axis=self.axis, keepdims=True))
        return e / xp.sum(e, axis=self.axis, keepdims=True)

    def backward(self, gy: Any, y: Any) -> Any:
        gy_y = gy * y
        return gy_y - y * array_namespace(gy).sum(gy_y, axis=self.axis, keepdims=True)


def relu(x: Any) -> Any:
    """max(x, 0), elementwise; its derivative is 1 where x > 0 and 0 elsewhere, at 0 too.

    Source: Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines", 2010.
    """
    return ReLU()(x)


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), elementwise, without overflow for any x; its derivative is y (1 - y)."""
    return Sigmoid()(x)


def softmax(x: Any, axis: int = -1) -> Any:
    """exp(x) / sum(exp(x)) over `axis`: positive numbers that sum to 1, without overflow."""
    return Softmax(axis)(x)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """log(softmax(x)) over `axis`, finite where the softmax itself would underflow to 0."""
    return LogSoftmax(axis)(x)
