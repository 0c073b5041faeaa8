"""The arrays that a function can reach: in closures, objects, and containers.

A step changes parameters, buffers, and an optimizer's moments. None of them is an argument. They are
found by following what the function refers to: its closure, the object that it is a method of, their
attributes, lists and dicts. Each place that holds an array is a cell.
"""

from collections.abc import Callable, Iterator
from types import FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import array_api_compat as compat

from xpnet._typing import Array

__all__ = ["Cell", "cells_of"]


class Cell(NamedTuple):
    """A place that holds an array: an attribute of an object, or an item of a list or dict."""

    owner: Any
    key: Any
    is_attribute: bool
    name: str

    def get(self) -> Array:
        """What the place holds."""
        if self.is_attribute:
            return getattr(self.owner, self.key)
        return self.owner[self.key]

    def set(self, x: Array) -> None:
        """Put something into the place."""
        if self.is_attribute:
            setattr(self.owner, self.key, x)
        else:
            self.owner[self.key] = x


def cells_of(function: Callable[..., Any]) -> list[Cell]:
    """All cells that the function can reach, in the order in which they are found."""
    return [cell for cell in _walk(function)]


def _walk(root: Any) -> Iterator[Cell]:
    seen: set[int] = set()
    stack: list[tuple[Any, str]] = [(root, "")]
    while stack:
        x, name = stack.pop()
        if id(x) in seen or isinstance(x, (str, bytes, int, float, type, ModuleType)) or x is None:
            continue
        seen.add(id(x))
        for owner, key, is_attribute, child, part in _children(x):
            full = f"{name}{part}".lstrip(".")
            if compat.is_array_api_obj(child) and not hasattr(child, "requires_grad"):
                yield Cell(owner, key, is_attribute, full)
            else:
                stack.append((child, full))


def _children(x: Any) -> Iterator[tuple[Any, Any, bool, Any, str]]:
    """(owner, key, is attribute, child, the child's part of the name)."""
    if isinstance(x, MethodType):
        yield x, "__self__", True, x.__self__, ".self"
        yield x, "__func__", True, x.__func__, ""
    elif isinstance(x, FunctionType):
        for name, cell in zip(x.__code__.co_freevars, x.__closure__ or (), strict=True):
            yield cell, "cell_contents", True, cell.cell_contents, f".{name}"
        for name in x.__code__.co_names:
            if name in x.__globals__:
                yield x.__globals__, name, False, x.__globals__[name], f".{name}"
    elif isinstance(x, dict):
        for key, child in list(x.items()):
            yield x, key, False, child, f".{key}"
    elif isinstance(x, list):
        for i, child in enumerate(x):
            yield x, i, False, child, f".{i}"
    elif isinstance(x, tuple):
        for i, child in enumerate(x):
            yield x, i, False, child, f".{i}"
    else:
        for name, child in list(getattr(x, "__dict__", {}).items()):
            yield x, name, True, child, f".{name}"
        for kind in type(x).__mro__:
            slots = vars(kind).get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if not name.startswith("__") and hasattr(x, name):
                    yield x, name, True, getattr(x, name), f".{name}"
