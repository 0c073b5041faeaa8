"""Probes: a look at what goes through each layer of a model, without a line in the layers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from xpnet._typing import Array
from xpnet.autodiff import tree
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import has_dtype
from xpnet.autodiff.variable import Variable, data_of
from xpnet.layers import Layer
from xpnet.layers.hooks import watching

Look = Callable[[str, Layer, Array], None]


@contextmanager
def probing(model: Layer, on_output: Look, on_gradient: Look | None = None) -> Iterator[None]:
    """A block in which each layer's floating outputs are shown, and later their gradients.

    Parameters
    ----------
    model : Layer
    on_output, on_gradient : function `(name, layer, array)`
        Outputs come as they are computed, so a layer's before that of the one that it is in; the
        gradients come in the backward pass, the other way round. The model itself is called "model".
    """
    names = {id(layer): name or "model" for name, layer in model.named_layers()}

    def look(layer: Layer, _: Any, output: Any) -> Any:
        def through(y: Array) -> Any:
            if hasattr(y, "dtype") and has_dtype(y, "real floating"):
                on_output(names[id(layer)], layer, data_of(y))
                if on_gradient is not None and isinstance(y, Variable) and y.requires_grad:
                    return _Tap(lambda g: on_gradient(names[id(layer)], layer, g))(y)
            return y

        return tree.map(through, output)

    with watching(model.sublayers(), look):
        yield


class _Tap(Function):
    """y = x, and a look at the gradient that comes back."""

    def __init__(self, look: Callable[[Array], None]) -> None:
        self.look = look

    def forward(self, x: Array) -> Array:
        return x

    def backward(self, gy: Array) -> Any:
        self.look(data_of(gy))
        return gy
