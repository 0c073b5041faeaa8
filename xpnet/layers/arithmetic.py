"""Add and Multiply: the nodes of a computational graph, for drawing one by hand."""

from typing import Any

from xpnet import functions as F
from xpnet._typing import Array
from xpnet.layers.base import Layer


class Add(Layer):
    """x1 + x2: hands `dout` to both. Shapes broadcast.

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

    def backward(self, dout: Array) -> Any:
        """`dout`, the gradient of x1 and of x2; a tuple of two if they differ in shape or dtype.

        Raises
        ------
        GradientError
            As `Layer.backward`.
        """
        dx = super().backward(dout)
        if not isinstance(dx, tuple):  # the other summand has none
            return dx
        dx1, dx2 = dx
        alike = dx1.shape == dx2.shape and dx1.dtype == dx2.dtype
        return dx1 if alike else dx


class Multiply(Layer):
    """x1 * x2: hands each the other's value times `dout`, as a tuple of two. Shapes broadcast.

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
