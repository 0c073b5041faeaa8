"""What holds for the calls in a block, and for those of no other thread: nothing here is set on a layer.

Two threads may use one model at the same time. So the mode that an evaluation needs, who watches a
call, and what stands in for a parameter while it is computed in 16 bits are properties of the call,
in context variables. A layer has none of them as attributes, which all threads would see.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from xpnet.autodiff.tape import no_grad

Run = Callable[..., Any]  # (layer, *inputs, **options) -> output
Around = Callable[..., Any]  # (run, layer, *inputs, **options) -> output; it calls run

mode: ContextVar[bool | None] = ContextVar("xpnet_mode", default=None)
"""Whether the layers that are called now are in training; None where each decides by itself."""

around: ContextVar[tuple[Around, ...]] = ContextVar("xpnet_around", default=())
"""What each call of a layer goes through, the innermost first."""


@contextmanager
def evaluating() -> Iterator[None]:
    """A block in which nothing is recorded, and every layer that is called is in evaluation."""
    token = mode.set(False)
    try:
        with no_grad():
            yield
    finally:
        mode.reset(token)


@contextmanager
def surrounded(by: Around, *, innermost: bool = False) -> Iterator[None]:
    """A block in which each call of a layer goes through `by`."""
    enter(by, innermost=innermost)
    try:
        yield
    finally:
        leave(by)


def enter(by: Around, *, innermost: bool = False) -> None:
    """Let each call of a layer go through `by`, until `leave`."""
    around.set((by, *around.get()) if innermost else (*around.get(), by))


def leave(by: Around) -> None:
    """Undo one `enter`. Those of others stay, in whatever order they came and go."""
    others = list(around.get())
    if by in others:
        others.remove(by)
    around.set(tuple(others))


def through(arounds: tuple[Around, ...], run: Run) -> Run:
    """`run`, with a way through each of `arounds`."""
    for by in arounds:
        run = _within(by, run)
    return run


def _within(by: Around, run: Run) -> Run:
    return lambda layer, *xs, **options: by(run, layer, *xs, **options)


def original(layer: Any) -> Any:
    """The layer that a view stands for, see `StandIns`; any other layer itself."""
    for by in around.get():
        if isinstance(by, Views) and (found := by.originals.get(id(layer))) is not None:
            return found
    return layer


class Views:
    """What runs views of layers instead of these."""

    originals: dict[int, Any]  # by the id of the view
