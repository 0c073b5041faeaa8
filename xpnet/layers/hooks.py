"""Hooks: watch a model while it computes, and leave it as it was.

A hook belongs to a block and to the thread that entered it; see `xpnet.layers._context`.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from xpnet import random
from xpnet.backend import array_like
from xpnet.layers._contents import Buffer
from xpnet.layers._context import Call, add_hook, evaluating, hooked, remove_hook
from xpnet.layers._stand_ins import StandIns, original
from xpnet.layers.base import Layer

__all__ = [
    "add_hook",
    "evaluating",
    "hooked",
    "remove_hook",
    "untouched",
    "watching",
]

Look = Callable[[Layer, tuple[Any, ...], Any], Any]  # (layer, inputs, output) -> output or None


class _Watch:
    """The hook of `watching`."""

    def __init__(self, layers: Iterable[Layer], look: Look, only_observes: bool) -> None:
        self.watched = {id(layer): layer for layer in layers}
        self.look = look
        self.only_observes = only_observes

    def __call__(self, call: Call, layer: Layer, *xs: Any, **options: Any) -> Any:
        y = call(layer, *xs, **options)
        found = self.watched.get(id(original(layer)))
        if found is None:
            return y
        replacement = self.look(found, xs, y)
        return y if replacement is None else replacement


@contextmanager
def watching(layers: Iterable[Layer], look: Look, *, only_observes: bool = False) -> Iterator[None]:
    """A block in which `look(layer, inputs, output)` is called after each call of these layers.

    Only the calls in this block are watched, not those that another thread makes at the same time.
    Outside of such blocks, a call of a layer takes no longer than before.

    Parameters
    ----------
    layers : iterable of Layer
        A `Sequential` is one; `model.sublayers()` are all layers of any model.
    look : function of a layer, the tuple of its inputs, and its output
        If it returns something other than None, that replaces the output.
    only_observes : bool, by name, default False
        A promise that `look` changes no number and calls no layer: then a `Trainer` computes the same
        as without it, to the last bit, although it compiles its steps.

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
    with hooked(_Watch(layers, look, only_observes)):
        yield


@contextmanager
def untouched(model: Layer) -> Iterator[None]:
    """A block in evaluation, without a tape, in which calls leave the model as it was.

    The layers use copies of their buffers and random number generators, and attributes that they
    set on themselves are discarded. xpnet's own random numbers are copies too.
    """
    buffers = [(b, Buffer(array_like(b.data, b.data))) for _, b in model.named_buffers()]
    generators = [(g, deepcopy(g)) for _, g in model.named_generators()]
    copies = StandIns(model, [*buffers, *generators], copy_back=False)
    with evaluating(), random.aside(), hooked(copies, innermost=True):
        yield
