"""Snapshot: the state of a training at one moment, so that a failed load can be undone."""

from collections.abc import Iterable
from typing import Any, TypeVar

from xpnet.autodiff import tree
from xpnet.backend import array_like
from xpnet.layers import Layer
from xpnet.training._streams import Streams


class Snapshot:
    """Remembers the parts of a training; `restore` cannot fail.

    Loading replaces arrays and never changes one in place. So it is enough to remember which
    arrays, attributes, dicts and lists the parts hold, and no array is copied.

    Parameters
    ----------
    parts : iterable of object or None
        The objects whose attributes may change.
    model : Layer
        Its parameters and buffers hold the arrays.
    streams : Streams
    """

    def __init__(self, parts: Iterable[object], model: Layer, streams: Streams) -> None:
        self._containers: dict[int, tuple[Any, Any]] = {}  # by id: a container and its copy
        for part in parts:
            self._remember(getattr(part, "__dict__", None))  # the dict of its attributes
        holders: list[Any] = [v for _, v in (*model.named_parameters(), *model.named_buffers())]
        self._arrays = [(holder, holder.data) for holder in holders]
        self._streams = streams
        self._positions = streams.state_dict()

    def _remember(self, value: object) -> None:
        """Copy a dict or list, and those within it; the copies refer to the same other objects."""
        if type(value) not in (dict, list) or id(value) in self._containers:
            return
        container: Any = value
        self._containers[id(container)] = (container, container.copy())
        items = container.values() if isinstance(container, dict) else container
        for item in items:
            self._remember(item)

    def restore(self) -> None:
        """Bring all parts back to what they were; the dicts and lists stay the same objects."""
        for container, copy in self._containers.values():
            container.clear()
            if isinstance(container, dict):
                container.update(copy)
            else:
                container.extend(copy)
        for holder, x in self._arrays:
            holder.data = x
        self._streams.load_state_dict(self._positions)


State = TypeVar("State")


def copied(state: State) -> State:
    """A state with copies of its arrays, each on its own device: later changes do not reach it."""
    copy: State = tree.map(lambda x: array_like(x, x) if hasattr(x, "dtype") else x, state)
    return copy
