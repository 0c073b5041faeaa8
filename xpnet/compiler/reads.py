"""What a step itself reads of the numbers that are read anew in each step.

The numbers of an optimizer may change between two replays without another recording, because actions of
`each_step` read them: see `numbers_of_each_step`. If the step's own code reads one, `x * optimizer.lr`, it
must not be repeated by a replay. So while a step is recorded, attributes of such objects are noted when
code other than xpnet's reads them: a number is read by an action of its own, and what holds numbers, such
as `optimizer.groups`, is compared from then on before each replay. So are all numbers of an object whose
`vars`, `state_dict` or copy the step asks for.

What does not look up an attribute of the object is not noticed: `object.__getattribute__(optimizer, name)`,
the getter of a property that is called by itself, and `repr`. To notice these, too, each function of
Python would have to be another one.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FunctionType, new_class
from typing import Any

from xpnet import _each_step
from xpnet.compiler.origins import is_users_file, is_xpnets_file

__all__ = ["dicts_in", "noted"]

Note = Callable[[Any, str, Iterable[tuple[int, Any]]], None]

WHOLE = frozenset(("__dict__", "__getstate__", "__reduce__", "__reduce_ex__", "state_dict"))
"""Attributes by which all numbers of an object can be read."""


@contextmanager
def noted(objects: Iterable[Any], note: Note) -> Iterator[None]:
    """A block in which note(x, name, ids) is called where code other than xpnet's reads x.name.

    `ids` are those of the places of numbers that can be read there: see `Place.id`. The block replaces the
    classes of the objects.
    """
    kinds: dict[type, type] = {}
    replaced = []
    try:
        for x in objects:
            kind = type(x)
            if kind not in kinds:
                kinds[kind] = _noting(kind, note)
            object.__setattr__(x, "__class__", kinds[kind])
            replaced.append((x, kind))
        yield
    finally:
        for x, kind in replaced:
            object.__setattr__(x, "__class__", kind)


def _noting(kind: type, note: Note) -> type:
    """A class like `kind` whose objects note what the user's code reads."""
    inherited: Callable[..., Any] = kind.__getattribute__
    reduced: Callable[..., Any] = kind.__reduce_ex__

    def read(self: Any, name: str) -> Any:
        if name == "__class__":
            return kind
        value = inherited(self, name)
        if name not in WHOLE and not _is_read_anew(kind, name):
            return value
        if _each_step.recorder.get() is None or is_xpnets_file(
            sys._getframe(1).f_code.co_filename  # noqa: SLF001 - the one way to a caller
        ):
            return value
        if name in WHOLE:
            note(self, name, _numbers_of(self, kind))
        elif isinstance(value, (int, float)):
            return _each_step.each_step(partial(getattr, self, name))
        else:
            note(self, name, _numbers_in(value))
        return value

    def reduce(self: Any, protocol: Any) -> Any:
        """Copies, which another thread may make meanwhile, are of the class itself."""
        if _each_step.recorder.get() is not None:
            note(self, "a copy", _numbers_of(self, kind))
        made, args, *rest = reduced(self, protocol)
        return made, tuple(kind if x is type(self) else x for x in args), *rest

    def fill(members: dict[str, Any]) -> None:
        members.update(__slots__=(), __getattribute__=read, __reduce_ex__=reduce)
        members["__module__"] = kind.__module__

    return new_class(kind.__name__, (kind,), {}, fill)


def _is_read_anew(kind: type, name: str) -> bool:
    """Whether an attribute holds numbers of each step, or is a property of ours that may return one."""
    names: tuple[str, ...] = getattr(kind, "numbers_of_each_step", ())
    if name in names:
        return True
    getter = getattr(getattr(kind, name, None), "fget", None)
    return isinstance(getter, FunctionType) and not is_users_file(getter.__code__.co_filename)


def _numbers_of(x: Any, kind: type) -> Iterator[tuple[int, Any]]:
    """The ids of the places of all numbers of an object that are read anew in each step."""
    names: tuple[str, ...] = getattr(kind, "numbers_of_each_step", ())
    for name in names:
        yield id(x), name
        yield from _numbers_in(getattr(x, name, None))


def _numbers_in(x: Any) -> Iterator[tuple[int, Any]]:
    """The ids of the places of numbers in dicts, lists and tuples."""
    for container in _containers_in(x, set()):
        items = container.items() if isinstance(container, dict) else enumerate(container)
        for key, part in items:
            if isinstance(part, (int, float, tuple)):
                yield id(container), key


def dicts_in(x: Any) -> Iterator[dict[Any, Any]]:
    """The dicts in dicts, lists and tuples."""
    return (found for found in _containers_in(x, set()) if isinstance(found, dict))


def _containers_in(x: Any, seen: set[int]) -> Iterator[Any]:
    if id(x) in seen or not isinstance(x, (dict, list, tuple)):
        return
    seen.add(id(x))
    yield x
    for part in x.values() if isinstance(x, dict) else x:
        yield from _containers_in(part, seen)
