"""Add and Multiply: the nodes of a computational graph, for drawing one by hand."""

from typing import Any

from xpnet import functions as F
from xpnet.layers.base import Layer


class Add(Layer):
    """x1 + x2: hands `dout` to both. Shapes broadcast."""

    def forward(self, x1: Any, x2: Any) -> Any:
        return F.add(x1, x2)


class Multiply(Layer):
    """x1 * x2: hands each the other's value times `dout`. Shapes broadcast.

    Examples
    --------
    >>> node = Multiply()
    >>> float(node.forward(4, 100))
    400.0
    >>> [float(g) for g in node.backward(1.0)]
    [100.0, 4.0]
    """

    def forward(self, x1: Any, x2: Any) -> Any:
        return F.multiply(x1, x2)
