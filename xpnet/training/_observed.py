"""A step that is only observed: it runs as it is, for the hooks of layers, and is undone.

A compiled step has no calls of layers to watch, and may round otherwise than the same step without
compilation. If steps ran as they are whenever a callback watches them, the training would depend on
that, and on the clock that decides about log lines.
"""

from collections.abc import Iterable, Iterator
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
def undone(model: Layer, parameters: Iterable[Parameter]) -> Iterator[None]:
    """A block that computes gradients; at its end all is as it was before.

    The gradients of the parameters, the buffers of the model, and the random number generators are
    what such a block changes.
    """
    streams = Streams(model, None)
    positions = streams.state_dict()
    owners = {id(p): p for p in [*model.parameters(), *parameters]}.values()
    gradients = [(p, p.raw_grad) for p in owners]
    buffers = [(buffer, buffer.data) for _, buffer in model.named_buffers()]
    arrays = [x for _, x in buffers] + [data_of(g) for _, g in gradients if g is not None]
    copies = [(x, array_like(x, x)) for x in arrays if library_of(x).mutable]
    try:
        yield
    finally:
        for p, gradient in gradients:
            p.raw_grad = gradient
        for buffer, x in buffers:
            buffer.data = x
        for x, copy in copies:
            _assign(x, copy)
        streams.load_state_dict(positions)


def _assign(x: Array, numbers: Any) -> None:
    """Put numbers into an array, on its device."""
    with library_of(x).selected(compat.device(x)):
        x[...] = numbers
