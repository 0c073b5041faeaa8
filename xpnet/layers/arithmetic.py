"""Add and Multiply: the nodes of a computational graph, for drawing one by hand."""

from typing import Any

from xpnet import functions as F
from xpnet._typing import Array
from xpnet.layers.base import Layer


class Add(Layer):
    """x1 + x2. The gradient of each is `dout`. Shapes broadcast.

    The two gradients are equal, so `backward` returns one array for both, as in the lessons:
    `dx = node.backward(dout)`. It returns a tuple if they differ in shape or dtype.

    Examples
    --------
    >>> node = Add()
    >>> float(node.forward(400, 210))
    610.0
    >>> float(node.backward(2.0))
    2.0
    """

    def forward(self, x1: Array, x2: Array) -> Array:
        return F.add(x1, x2)

    def _returned_by_backward(self, gradients: tuple[Array, ...]) -> Any:
        if len(gradients) == 2:
            dx1, dx2 = gradients
            if dx1.shape == dx2.shape and dx1.dtype == dx2.dtype:
                return dx1
        return super()._returned_by_backward(gradients)


class Multiply(Layer):
    """x1 * x2. The gradient of each is the other's value times `dout`. Shapes broadcast.

    Examples
    --------
    >>> node = Multiply()
    >>> float(node.forward(4, 100))
    400.0
    >>> [float(g) for g in node.backward(1.0)]
    [100.0, 4.0]
    """

    def forward(self, x1: Array, x2: Array) -> Array:
        return F.multiply(x1, x2)
