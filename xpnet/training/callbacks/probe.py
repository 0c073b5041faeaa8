"""Probes: a look at what goes through each layer of a model, without a line in the layers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from xpnet.autodiff import Function, Variable, data_of
from xpnet.backend import Array
from xpnet.layers import Layer
from xpnet.layers.base import _inventory
from xpnet.namespace import has_dtype

Look = Callable[[str, Layer, Array], None]


def named_layers(model: Layer) -> dict[str, Layer]:
    """Each layer in the model once, by the path of attributes to it; the model itself is "model"."""
    found: dict[int, tuple[str, Layer]] = {id(model): ("model", model)}
    for name, value in _inventory(vars(model), ""):
        if isinstance(value, Layer):
            found.setdefault(id(value), (name, value))
    return dict(found.values())


@contextmanager
def watching(model: Layer, on_output: Look, on_gradient: Look | None = None) -> Iterator[None]:
    """A block in which each layer's floating outputs are shown, and later their gradients.

    Parameters
    ----------
    model : Layer
        In the block each layer has a text of its own around its class's; afterwards no trace is
        left. A layer that another one calls by `layer.forward(x)` is not seen.
    on_output, on_gradient : function `(name, layer, array)`
        Outputs come as they are computed, so a layer's before that of the one that it is in; the
        gradients come in the backward pass, the other way round.
    """
    layers = named_layers(model)
    for name, layer in layers.items():
        vars(layer)["_text"] = _seen(name, layer, on_output, on_gradient)
    try:
        yield
    finally:
        for layer in layers.values():
            vars(layer).pop("_text", None)


def _seen(name: str, layer: Layer, on_output: Look, on_gradient: Look | None) -> Callable[..., Any]:
    text = layer._text  # noqa: SLF001 - what a call runs

    def through(y: Any) -> Any:
        if isinstance(y, (tuple, list)):
            return type(y)(map(through, y))
        if hasattr(y, "dtype") and has_dtype(y, "real floating"):
            on_output(name, layer, data_of(y))
            if on_gradient is not None and isinstance(y, Variable) and y.requires_grad:
                return _Tap(lambda g: on_gradient(name, layer, g))(y)
        return y

    return lambda *xs, **options: through(text(*xs, **options))


class _Tap(Function):
    """y = x, and a look at the gradient that comes back."""

    def __init__(self, look: Callable[[Array], None]) -> None:
        self.look = look

    def forward(self, x: Array) -> Array:
        return x

    def backward(self, gy: Any) -> Any:
        self.look(data_of(gy))
        return gy
