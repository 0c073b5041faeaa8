"""Looking at a model while it computes, and leaving it as it was."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from xpnet import random
from xpnet._typing import Array
from xpnet.backend import array_like
from xpnet.layers import Buffer, Layer
from xpnet.layers._scope import evaluating, original, surrounded
from xpnet.layers._stand_ins import StandIns

__all__ = [
    "untouched",
    "watching",
]

Look = Callable[[Layer, tuple[Any, ...], Any], Any]


@contextmanager
def watching(layers: Iterable[Layer], look: Look) -> Iterator[None]:
    """A block in which `look(layer, inputs, output)` is told of each call of these layers.

    What it returns, if that is not None, is handed on instead of the output.

    It is called for the calls in this block, not for those that another thread makes meanwhile. The
    layers do not know of it: a layer that nobody watches takes no time for it.

    Examples
    --------
    >>> import xpnet
    >>> model = xpnet.MLP(4, 3, 2)
    >>> with watching(model, lambda layer, xs, y: print(layer, tuple(y.shape))):
    ...     y = model(xpnet.Variable([[1.0, 2.0, 3.0, 4.0]]))
    Affine(4 -> 3) (1, 3)
    ReLU() (1, 3)
    Affine(3 -> 2) (1, 2)
    """
    watched = {id(layer): layer for layer in layers}

    def call(run: Callable[..., Any], layer: Layer, *xs: Array, **options: Any) -> Any:
        y = run(layer, *xs, **options)
        found = watched.get(id(original(layer)))
        seen = None if found is None else look(found, xs, y)
        return y if seen is None else seen

    with surrounded(call):
        yield


@contextmanager
def untouched(model: Layer) -> Iterator[None]:
    """A block in evaluation, unrecorded, in which the model's layers change nothing that lasts.

    They have copies of their buffers and random number generators, and what they set on themselves
    is lost. xpnet's own random numbers are copies too.
    """
    buffers = [(b, Buffer(array_like(b.data, b.data))) for _, b in model.named_buffers()]
    generators = [(g, deepcopy(g)) for _, g in model.named_generators()]
    views = StandIns(model, [*buffers, *generators], kept=False)
    with evaluating(), random.aside(), surrounded(views, innermost=True):
        yield
