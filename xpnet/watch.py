"""Looking at a model while it computes, and leaving it as it was."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from xpnet import random
from xpnet.backend import array_like
from xpnet.layers import Layer
from xpnet.tape import no_grad

Look = Callable[[Layer, tuple[Any, ...], Any], Any]
OWN = ("_text", "forward")  # what a watched layer has of its own: what a call of it runs


@contextmanager
def watching(layers: Iterable[Layer], look: Look) -> Iterator[None]:
    """A block in which `look(layer, inputs, output)` is told of each call of these layers.

    What it returns, if that is not None, is handed on instead of the output.

    The layers get attributes of their own for it, and lose them afterwards: a layer that nobody
    watches takes no time for it.

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

    def call(layer: Layer, text: Callable[..., Any], *xs: Any, **options: Any) -> Any:
        y = text(*xs, **options)
        seen = look(layer, xs, y)
        return y if seen is None else seen

    watched = list({id(layer): layer for layer in layers}.values())
    before = [{name: vars(layer).get(name) for name in OWN} for layer in watched]
    try:
        for layer in watched:
            text = layer._text  # noqa: SLF001 - what a call of it runs
            vars(layer).update(_text=partial(call, layer, text), forward=layer.__call__)
        yield
    finally:
        for layer, own in zip(watched, before, strict=True):
            for name, was in own.items():
                vars(layer).pop(name, None)
                if was is not None:  # one who watches already
                    vars(layer)[name] = was


@contextmanager
def untouched(model: Layer) -> Iterator[None]:
    """A block in evaluation, unrecorded, after which flags, buffers and generators are as before."""
    flags = [(layer, vars(layer).get("training")) for layer in model.sublayers()]
    buffers = [(b, array_like(b.data, b.data)) for _, b in model.named_buffers()]
    generators = [None, *(g for _, g in model.named_generators())]  # None: xpnet's own stream
    states = [random.state(g) for g in generators]
    model.eval()
    try:
        with no_grad():
            yield
    finally:
        for layer, flag in flags:
            vars(layer).pop("training", None)
            if flag is not None:
                layer.training = flag
        for buffer, data in buffers:
            buffer.data = data
        for generator, state in zip(generators, states, strict=True):
            random.set_state(state, generator)
