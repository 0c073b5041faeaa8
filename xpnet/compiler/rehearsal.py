"""Rehearsal: what a recorded call has changed is undone, so that the plan can make the same call.

An executor may round otherwise than the library does: the C executor sums in another order. If the first
calls of each kind ran as they are, results would depend on where a process began, and a training that is
resumed would differ from one that was not interrupted. So a call is recorded as often as a plan needs it,
undone each time, and then made by the plan.
"""

from typing import Any

import array_api_compat as compat

from xpnet._libraries import library_of
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import Variable
from xpnet.compiler.call import Recording
from xpnet.compiler.state import Place, Survey

__all__ = ["Before"]


class Before:
    """The arrays that a function can reach, as they were before a call.

    Parameters
    ----------
    found : Survey
    """

    def __init__(self, found: Survey) -> None:
        self._held: list[tuple[Any, Any]] = []  # each place, and what it held
        self._copies: dict[int, tuple[Array, Array]] = {}  # arrays that can change, and copies
        for place in [*found.cells, *found.gradients]:
            held = place.get()
            self._held.append((place, held))
            x = held.data if isinstance(held, Variable) else held
            if x is not None and id(x) not in self._copies and _can_change(x):
                with library_of(x).selected(compat.device(x)):
                    self._copies[id(x)] = (x, array_namespace(x).asarray(x, copy=True))
        self._places = {place.id for place, _ in self._held}

    def can_undo(self, recording: Recording) -> bool:
        """Whether a call has changed nothing but arrays in places that held some before."""
        known = all(place.id in self._places for place, _ in recording.writes)
        return known and not recording.changes and not recording.varying

    def restore(self) -> None:
        """Put the arrays back, with the numbers that they had."""
        for place, held in self._held:
            if place.is_settable and _held(place) is not held:
                place.set(held)
        for x, copy in self._copies.values():
            with library_of(x).selected(compat.device(x)):
                x[...] = copy


def _held(place: Place) -> Any:
    """What a place holds; None if it is gone."""
    try:
        return place.get()
    except (AttributeError, KeyError, IndexError):
        return None


def _can_change(x: Array) -> bool:
    """Whether the numbers of an array can be changed in place."""
    flags = getattr(x, "flags", None)
    return library_of(x).mutable and bool(getattr(flags, "writeable", True))
