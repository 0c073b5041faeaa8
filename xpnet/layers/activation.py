"""Activations as layers. They have no parameters; the mathematics is in `xpnet.functions`."""

from typing import Any

from xpnet import functions as F
from xpnet.layers.base import Layer


class ReLU(Layer):
    """max(x, 0), elementwise: Nair and Hinton, ICML 2010. Any shape."""

    def forward(self, x: Any) -> Any:
        return F.relu(x)


class Sigmoid(Layer):
    """1 / (1 + exp(-x)), elementwise. Any shape."""

    def forward(self, x: Any) -> Any:
        return F.sigmoid(x)


class Tanh(Layer):
    """tanh(x), elementwise. Any shape."""

    def forward(self, x: Any) -> Any:
        return F.tanh(x)


class Softmax(Layer):
    """exp(x) / sum(exp(x)) along `axis`: probabilities.

    A network that is trained with `F.softmax_cross_entropy` ends before it: that loss contains it.

    Parameters
    ----------
    axis : int
        The axis of the classes.
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Any:
        return F.softmax(x, axis=self.axis)

    def __repr__(self) -> str:
        return f"Softmax(axis={self.axis})"


BY_NAME: dict[str, type[Layer]] = {"relu": ReLU, "sigmoid": Sigmoid, "tanh": Tanh}


def activation(name: str) -> Layer:
    """A new activation layer, by its name in lower case.

    Raises
    ------
    ValueError
        No activation has that name; the message lists those there are.
    """
    if name not in BY_NAME:
        raise ValueError(f"Unknown activation {name!r}. Expected one of: {', '.join(BY_NAME)}.")
    return BY_NAME[name]()
