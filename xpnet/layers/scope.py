"""What holds for the calls in a block, and for those of no other thread: nothing here is set on a layer.

Two threads may use one model at the same time. So the mode that an evaluation needs, who watches a
call, and what stands in for a parameter while it is computed in 16 bits are properties of the call,
in context variables. A layer has none of them as attributes, which all threads would see.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from xpnet import tree
from xpnet.tape import no_grad

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


class StandIns:
    """In the calls of a block, objects that stand in for others that layers hold.

    A layer that holds one of the others is run as a view of itself: an object of its class, with
    its attributes but for these. What `forward` sets on the view is set on the layer.

    Parameters
    ----------
    pairs : list of (object, what stands in for it)
        Parameters, buffers or generators, in attributes of layers, or in lists, tuples and dicts
        that are.
    kept : bool
        Whether the layer is given what `forward` sets; else all layers are run as views, and it is
        lost.
    """

    def __init__(self, pairs: list[tuple[Any, Any]], *, kept: bool = True) -> None:
        self._of = {id(one): (one, other) for one, other in pairs}  # no id is used again
        self._kept = kept

    def __contains__(self, x: object) -> bool:
        return id(x) in self._of

    def __call__(self, run: Run, layer: Any, *xs: Any, **options: Any) -> Any:
        own = vars(layer)
        seen = {name: self._seen(value) for name, value in own.items()}
        if self._kept and all(seen[name] is own[name] for name in own):
            return run(layer, *xs, **options)
        view = object.__new__(type(layer))
        vars(view).update(seen)
        try:
            return run(view, *xs, **options)
        finally:
            if self._kept:
                _hand_on(own, seen, vars(view))

    def _seen(self, value: Any) -> Any:
        """What stands in for a value; of a list, tuple or dict, for what it holds."""
        if isinstance(value, (list, tuple, dict)):
            if any(id(leaf) in self._of for leaf in tree.leaves(value)):
                return tree.map(self._seen, value)
            return value
        return self._of[id(value)][1] if id(value) in self._of else value


def _hand_on(own: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> None:
    """Give a layer the attributes that were set on its view, and take those that were deleted."""
    missing = object()
    for name in before.keys() - after.keys():
        own.pop(name, None)
    own |= {name: value for name, value in after.items() if before.get(name, missing) is not value}
