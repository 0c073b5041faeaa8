"""Namespaces, modules and kernels of a library whose functions are recorded."""

from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

from xpnet import _each_step
from xpnet._typing import Namespace
from xpnet.compiler.calls import Recorded, called, copied, unwrapped
from xpnet.compiler.record import replaced
from xpnet.kernels.lookup import Kernel

__all__ = ["RecordingNamespace", "recorded_kernel", "recorded_module", "recording_namespace"]

FACTS = frozenset(
    [
        *("isdtype", "finfo", "iinfo", "result_type", "can_cast", "broadcast_shapes"),
        *("__array_namespace_info__", "__array_api_version__"),
    ]
)
"""Functions of a namespace that return facts, not arrays."""


class RecordingNamespace:
    """A library's namespace whose functions are recorded."""

    def __init__(self, xp: Namespace, prefix: str = "") -> None:
        self._xp = xp
        self._prefix = prefix
        self.__name__ = xp.__name__

    def with_record(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that belongs to the library, from another package, recorded."""
        return _recorded_function(name, function)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._xp, name)
        if isinstance(found, ModuleType):
            found = RecordingNamespace(found, f"{self._prefix}{name}.")
        elif name in FACTS:
            found = _on_arrays(found)
        elif callable(found) and not isinstance(found, type) and not name.startswith("_"):
            found = _recorded_function(self._prefix + name, found)
        setattr(self, name, found)
        return found


def _on_arrays(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        return function(*replaced(args, unwrapped), **replaced(options, unwrapped))

    return call


def _recorded_update(run: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel "update", which changes its arrays in place, as an operation that returns new ones."""

    def moved(formula: str, numbers: Any, slots: Any, moves: Any) -> Any:
        new = [(copied(p), g, [copied(x) for x in state]) for p, g, state in moves]
        run(formula, numbers, slots, new)
        return [(p, state) for p, _, state in new]

    def update(formula: str, numbers: Any, slots: Any, moves: Any) -> Any:
        for p, _, state in moves:
            for x in (p, *state):
                if isinstance(x, Recorded):
                    x.recorder.about_to_change(x.plain)
        left = run(formula, replaced(numbers, unwrapped), slots, replaced(moves, unwrapped))
        active: Any = _each_step.recorder.get()
        made = [move for i, move in enumerate(moves) if i not in left]
        if made and hasattr(active, "updated"):
            active.updated(moved, (formula, numbers, slots, made))
        return left

    return update


def _recorded_function(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        return called(name, function, args, options)

    return call


@cache
def recording_namespace(xp: Namespace) -> RecordingNamespace:
    """The one recording namespace of a library: namespaces are compared by identity."""
    return RecordingNamespace(xp)


def recorded_kernel(name: str, found: Kernel) -> Kernel:
    """A kernel as an operation of its name."""
    takes = found.takes
    if name == "update":
        return Kernel(_recorded_update(found.run), lambda *xs: takes(*map(unwrapped, xs)))
    return Kernel(_recorded_function(name, found.run), lambda *xs: takes(*map(unwrapped, xs)))


@cache
def recorded_module(module: ModuleType) -> Any:
    """An object with the functions of a module, recorded."""
    return RecordingNamespace(module)
