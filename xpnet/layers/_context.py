"""Whether the layers that are called in a block are in training, and the hooks of their calls.

Two threads may use one model at the same time. An evaluation in one of them must not switch off
dropout in the other, and a hook must see the calls of its own block only. So both are properties of
the call, in context variables, and not attributes of the layers, which all threads share.

A hook is a function that each call of a layer goes through:

    def hook(call, layer, *xs, **options):
        y = call(layer, *xs, **options)  # the next hook, or the layer itself
        return y

It may look at the inputs and the output, change them, or pass another layer to `call`. A hook that has
an attribute `only_observes`, which is True, changes nothing: a step that it watches is still compiled.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from xpnet.autodiff.tape import no_grad

Call = Callable[..., Any]  # (layer, *xs, **options) -> output
Hook = Callable[..., Any]  # (call, layer, *xs, **options) -> output

training_mode: ContextVar[bool | None] = ContextVar("xpnet_training_mode", default=None)
"""Whether the layers that are called now are in training; None if each decides by itself."""

hooks: ContextVar[tuple[Hook, ...]] = ContextVar("xpnet_hooks", default=())
"""The hooks that each call of a layer goes through, the innermost first."""


@contextmanager
def evaluating() -> Iterator[None]:
    """A block in which nothing is recorded, and every layer that is called is in evaluation."""
    token = training_mode.set(False)
    try:
        with no_grad():
            yield
    finally:
        training_mode.reset(token)


@contextmanager
def hooked(hook: Hook, *, innermost: bool = False) -> Iterator[None]:
    """A block in which each call of a layer goes through `hook`."""
    add_hook(hook, innermost=innermost)
    try:
        yield
    finally:
        remove_hook(hook)


def add_hook(hook: Hook, *, innermost: bool = False) -> None:
    """Let each call of a layer go through `hook`, until `remove_hook`."""
    others = hooks.get()
    if innermost:
        hooks.set((hook, *others))
    else:
        hooks.set((*others, hook))


@contextmanager
def unhooked() -> Iterator[None]:
    """A block in which calls of layers go through no hooks."""
    token = hooks.set(())
    try:
        yield
    finally:
        hooks.reset(token)


def remove_hook(hook: Hook) -> None:
    """Undo one `add_hook`. Other hooks stay, in whatever order they were added and removed."""
    remaining = list(hooks.get())
    if hook in remaining:
        remaining.remove(hook)
    hooks.set(tuple(remaining))
