"""Probing: functions are called with the outputs of each layer of a model, and with their gradients.

The outputs come from `xpnet.layers.hooks.watching`, the gradients from a `_Tap` on each output.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
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
    """A block in which functions are called with each layer's floating-point outputs and gradients.

    Parameters
    ----------
    model : Layer
    on_output, on_gradient : function `(name, layer, array)`
        `on_output` is called as outputs are computed: a layer's before that of a layer which contains
        it. `on_gradient` is called in the backward pass, in the reverse order. The name of a layer
        is the path of attributes to it; that of the model itself is "model".
    """
    names = {id(layer): name or "model" for name, layer in model.named_layers()}

    def look(layer: Layer, _: Any, output: Any) -> Any:
        name = names[id(layer)]

        def look_at(y: Any) -> Any:
            if not (hasattr(y, "dtype") and has_dtype(y, "real floating")):
                return y
            on_output(name, layer, data_of(y))
            if on_gradient is None or not isinstance(y, Variable) or not y.requires_grad:
                return y
            return _Tap(partial(on_gradient, name, layer))(y)

        return tree.map(look_at, output)

    with watching(model.sublayers(), look, only_observes=True):
        yield


class _Tap(Function):
    """y = x; its rule passes the gradient to a function, and returns it unchanged."""

    def __init__(self, look: Callable[[Array], None]) -> None:
        self.look = look

    def forward(self, x: Array) -> Array:
        return x

    def backward(self, gy: Array) -> Array:
        self.look(data_of(gy))
        return gy
