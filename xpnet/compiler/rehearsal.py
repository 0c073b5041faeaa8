"""Rehearsal: what a recorded call has changed is undone, so that the call can be made again.

An executor may round otherwise than the library does: the C executor sums in another order. If the first
calls of each kind ran as they are, results would depend on where a process began, and a training that is
resumed would differ from one that was not interrupted. So a call is recorded as often as a plan needs it,
undone each time, and then made by the plan.

A call that fails because its code was given recording arrays is undone too, and then made as it is.

Only what the call itself has changed is put back: another thread may train the same model meanwhile.
"""

from array import array
from collections import deque
from collections.abc import Iterator
from copy import copy
from typing import TYPE_CHECKING, Any

import array_api_compat as compat
import numpy as np

from xpnet._libraries import library_of
from xpnet._typing import Array
from xpnet.compiler.calls import copied
from xpnet.compiler.record import Value
from xpnet.compiler.sharing import memory_of
from xpnet.compiler.state import Entry, Place

if TYPE_CHECKING:
    from xpnet.compiler.call import Found, Recording, _Call

__all__ = ["Before"]


class Before:
    """What a call found, as far as the call changes it.

    Attributes
    ----------
    done : list
        What the actions of `each_step` returned in the call: they are not undone.
    """

    def __init__(self) -> None:
        self.done: list[Any] = []
        self._call: _Call | None = None
        self._found: Found = {}
        self._held: dict[tuple[int, Any], Any] = {}  # what places of arrays held
        self._containers: dict[tuple[int, Any], tuple[Any, Any]] = {}  # and copies of them
        self._memory: set[int | None] = set()  # the memory of arrays that are older than the call
        self._copies: dict[int, tuple[Array, Array]] = {}  # what the call changed in place

    # --- during the call --------------------------------------------------------------------

    def begin(self, call: "_Call", found: "Found") -> None:
        """Note what the places hold that a call can reach.

        Parameters
        ----------
        call : _Call
        found : dict
            It will have the places that hold recorded arrays after the call.
        """
        self._call = call
        self._found = found
        self.done = call.recorder.returned
        for place in [*call.before.cells, *call.before.gradients]:
            self._held[place.id] = place.get()
        for place, kind, _, _ in call.before.entries:
            container = place.get() if kind == "keys" else None
            if isinstance(container, _REFILLED):
                self._containers[place.id] = (container, copy(container))

    def add_memory(self, x: Array) -> None:
        """Note that an array is older than the call: if it is changed, then a copy is kept."""
        self._memory.add(memory_of(x))

    def keep(self, x: Array, is_known: bool) -> None:
        """Keep a copy of an array that is about to change in place, unless the call created it.

        Parameters
        ----------
        x : array
        is_known : bool
            Whether it was computed from arrays of the call, so that its memory is that of `add_memory`
            or new.
        """
        if id(x) in self._copies or not _can_change(x):
            return
        memory = memory_of(x)
        if is_known and memory is not None and memory not in self._memory:
            return
        with library_of(x).selected(compat.device(x)):
            self._copies[id(x)] = (x, copied(x))

    # --- after it ---------------------------------------------------------------------------

    @property
    def can_undo_error(self) -> bool:
        """Whether the call has failed in its own code; what an action had done by then is not known."""
        return self._call is not None and not self._call.in_action

    def can_undo(self, recording: "Recording") -> bool:
        """Whether a call has changed nothing but arrays in places that held some before.

        An array that the call did not compute may have been put there by another thread.
        """
        updates = recording.program.updates.values()
        stored = [*updates, *(value for _, value in recording.writes)]
        if any(value.source == "constant" for value in stored):
            return False
        known = all(place.id in self._held for place, _ in recording.writes)
        return known and not recording.changes and not recording.varying

    def undo(self) -> None:
        """Put the arrays back, with the numbers that they had."""
        for place in self._changed_places():
            if place.is_settable:
                place.set(self._held[place.id])
        for x, numbers in reversed(self._copies.values()):  # the first copy is the oldest one
            with library_of(x).selected(compat.device(x)):
                x[...] = numbers
        self._copies.clear()
        if self._call is not None:
            self._call.recorder.handed_over.clear()  # nobody is to receive it

    def undo_error(self) -> None:
        """Put back all that a call has changed before it failed, apart from what actions did."""
        call = self._call
        if call is None:
            return
        self.undo()
        changed = call.before.changed_since(call.start)
        self._undo_entries([x for x in changed if x[0].place.id not in call.written])
        call.draws.pause()
        call.draws.undo()

    def undo_actions(self) -> None:
        """Set the numbers that actions have changed to what they were."""
        call = self._call
        if call is not None:
            changed = call.before.changed_since(call.start)
            self._undo_entries([x for x in changed if x[0].place.id in call.written])

    def _undo_entries(self, changed: list[tuple[Entry, Any, Any]]) -> None:
        """Put back what places held; first into the containers that have such places."""
        for entry, _, _ in changed:
            if entry.place.id in self._containers:
                _refill(*self._containers[entry.place.id])
        for entry, before, _ in changed:
            if entry.kind != "keys" and entry.place.is_settable:
                entry.place.set(before)

    def _changed_places(self) -> Iterator[Place]:
        """The places of arrays in which the call has put another array, or another value."""
        call = self._call
        if call is None:
            return
        for place, value in self._found.values():
            state = call.of_place.get(place.id)
            is_initial = state is not None and value is call.initial[state]
            if place.id in self._held and not is_initial:
                yield place
        used = {id(x) for operation in call.recorder.operations for x in operation.inputs()}
        for place in call.before.gradients:
            is_gone = place.get() is None and self._held[place.id] is not None
            # A step that hands its gradients over finds sums of them in the next call: as now.
            if is_gone and (id(_initial(call, place)) in used or call.recorder.handed_over):
                yield place


def _initial(call: "_Call", place: Place) -> Value | None:
    """The value of the gradient that a call found in a place."""
    state = call.of_place.get(place.id)
    return None if state is None else call.initial[state]


_REFILLED = (dict, set, np.ndarray, list, bytearray, array, deque)
"""Containers that are given their items back."""


def _refill(container: Any, items: Any) -> None:
    """Give a container the items back that it had; another thread finds the others at any time."""
    if isinstance(container, dict):
        for key in container.keys() - items.keys():
            del container[key]
        for key in items.keys() - container.keys():
            container[key] = items[key]
    elif isinstance(container, set):
        container &= items
        container |= items
    elif isinstance(container, np.ndarray):
        container[...] = items
    elif isinstance(container, (list, bytearray, array)):
        container[:] = items
    elif isinstance(container, deque):
        container.clear()
        container.extend(items)


def _can_change(x: Array) -> bool:
    """Whether the numbers of an array can be changed in place."""
    flags = getattr(x, "flags", None)
    is_writeable = bool(getattr(flags, "writeable", True))
    return library_of(x).mutable and hasattr(x, "__setitem__") and is_writeable
