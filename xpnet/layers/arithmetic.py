"""Add and Multiply: the nodes of a computational graph, for drawing one by hand."""

from xpnet import functions as F
from xpnet._typing import Array
from xpnet.layers.base import Layer


class Add(Layer):
    """x1 + x2. The gradient of each is `dout`. Shapes broadcast.

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

    def backward(self, dout: Array) -> Array | tuple[Array, Array]:
        """Compute the gradient of x1 and x2: one array, or a tuple if they differ in shape or dtype.

        The two are equal, so one array is enough: `dx = node.backward(dout)`, as in the lessons.

        Raises
        ------
        GradientError
            See `Layer.backward`.
        """
        dx = super().backward(dout)
        if not isinstance(dx, tuple):  # the other summand has no gradient
            return dx
        dx1, dx2 = dx
        if dx1.shape == dx2.shape and dx1.dtype == dx2.dtype:
            return dx1
        return dx


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
