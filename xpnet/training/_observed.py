"""A step or evaluation that is only observed: it runs as it is, for the hooks of layers, and is undone.

A compiled step has no calls of layers to watch, and may round otherwise than the same step without
compilation. If steps ran as they are whenever a callback watches them, the training would depend on
that, and on the clock that decides about log lines.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import array_api_compat as compat

from xpnet._libraries import library_of
from xpnet._typing import Array
from xpnet.autodiff.variable import Parameter, data_of
from xpnet.backend import array_like
from xpnet.layers import Layer
from xpnet.training._streams import Streams

__all__ = ["undone"]


@contextmanager
def undone(functions: Iterable[object], parameters: Iterable[Parameter]) -> Iterator[None]:
    """A block that computes gradients, or evaluates; at its end all is as it was before.

    Parameters
    ----------
    functions : iterable of functions
        What the block calls. The layers among them, or whose methods they are, are looked into: their
        buffers, the gradients of their parameters and their random number generators may change.
    parameters : iterable of Parameter
        Others whose gradients may change.

    Notes
    -----
    xpnet's own generator is looked after in any case. What else a call changes in Python stays: a
    counter in `forward` advances once more for a step that is observed. So do layers that a function
    finds in its closure or globals, such as a dropout in `lambda y, t: loss(drop(y), t)`: make such a
    function a Layer.
    """
    layers = [x for x in map(_layer_of, functions) if x is not None]
    streams = [Streams(layer, None) for layer in layers]
    positions = [x.state_dict() for x in streams]
    own = [p for layer in layers for p in layer.parameters()]
    owners = {id(p): p for p in [*own, *parameters]}.values()
    restore = _restoring(layers, owners)
    try:
        yield
    finally:
        restore()
        for stream, position in zip(streams, positions, strict=True):
            stream.load_state_dict(position)


def _restoring(layers: Iterable[Layer], parameters: Iterable[Parameter]) -> Callable[[], None]:
    """A function that puts gradients and buffers back, with the numbers that they have now."""
    gradients = [(p, p.raw_grad) for p in parameters]
    buffers = [(buffer, buffer.data) for x in layers for _, buffer in x.named_buffers()]
    arrays = [x for _, x in buffers] + [data_of(g) for _, g in gradients if g is not None]
    copies = [(x, array_like(x, x)) for x in arrays if library_of(x).mutable]

    def restore() -> None:
        for p, gradient in gradients:
            p.raw_grad = gradient
        for buffer, x in buffers:
            buffer.data = x
        for x, copy in copies:
            _assign(x, copy)

    return restore


def _layer_of(function: object) -> Layer | None:
    """The layer that a function is, or is a method of."""
    owner = getattr(function, "__self__", function)
    return owner if isinstance(owner, Layer) else None


def _assign(x: Array, numbers: Any) -> None:
    """Put numbers into an array, on its device."""
    with library_of(x).selected(compat.device(x)):
        x[...] = numbers
