"""Undo: what a recorded call has changed apart from arrays is put back, so that the call can be made anew.

A step that cannot be recorded as a whole is made in another way, in parts or as it is. If it kept what the
recording computed, the first step of a process would be rounded otherwise than the following ones.
"""

from collections import deque
from typing import Any

from xpnet import random
from xpnet.compiler.generators import Draws
from xpnet.compiler.state import Place, Survey

__all__ = ["Undo", "Undone"]


class Undone(Exception):  # noqa: N818 - the caller makes the call in another way
    """A call could not be rehearsed. All is as it was before it, and it was not made."""


class Undo:
    """Numbers, objects and random streams that a function can reach, as they were before a call.

    Of lists, dicts and sets it knows what was in them; not of text that is changed in place.

    Parameters
    ----------
    found : Survey
    """

    def __init__(self, found: Survey) -> None:
        self._found = found
        self._snapshot = found.snapshot()
        self._draws = Draws([*found.generators, (random.__name__, random)])

    def is_possible(self) -> bool:
        """Whether what has changed since then can be put back."""
        return all(
            not isinstance(before, bytes) if entry.kind == "keys" else entry.place.is_settable
            for entry, before, _ in self._found.changed_since(self._snapshot)
        )

    def undo(self) -> None:
        """Put it back."""
        for _ in range(2):  # a list that was replaced is looked into when it is in its place again
            for entry, before, _ in self._found.changed_since(self._snapshot):
                if entry.kind == "keys":
                    _restore_keys(entry.place, before)
                else:
                    entry.place.set(before)
        self._draws.pause()
        self._draws.undo()


def _restore_keys(place: Place, before: Any) -> None:
    """Remove what a container did not have; what it has lost is put back by the places in it."""
    held = place.get()
    if isinstance(held, dict):
        for key in [key for key in held if key not in before]:
            del held[key]
    elif isinstance(held, set):
        held.clear()
        held.update(before)
    elif isinstance(held, (list, deque)):
        while len(held) > before:
            held.pop()
        held.extend([None] * (before - len(held)))
