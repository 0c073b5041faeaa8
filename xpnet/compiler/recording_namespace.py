"""Namespaces, modules and kernels of a library whose functions are recorded."""

from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import array_api_compat as compat

from xpnet import _each_step
from xpnet._typing import Array, Namespace
from xpnet.compiler.calls import FACTS, Recorded, called, unwrapped
from xpnet.compiler.record import replaced
from xpnet.errors import CompileError
from xpnet.kernels.lookup import Kernel

__all__ = ["RecordingNamespace", "recorded_kernel", "recorded_module", "recording_namespace"]


WINDOWS = frozenset(("choose", "correlate", "maxima", "place", "shares", "spread", "sums", "weigh"))
"""Names of xpnet's functions for convolution and pooling: the library's of the same name are others."""


class RecordingNamespace:
    """A library's namespace whose functions are recorded."""

    def __init__(self, xp: Namespace, prefix: str = "", of_library: bool = True) -> None:
        self._xp = xp
        self._prefix = prefix
        self._of_library = of_library
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
            taken = self._of_library and name in WINDOWS
            found = _recorded_function(f"{self._prefix}{'xp.' if taken else ''}{name}", found)
        setattr(self, name, found)
        return found


def _on_arrays(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        return function(*replaced(args, unwrapped), **replaced(options, unwrapped))

    return call


def _recorded_update(run: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel "update", which changes its arrays in place, as an operation that returns new ones."""

    def moved(formula: str, numbers: Any, slots: Any, moves: Any) -> Any:
        new = [(_in_order(p), g, [_in_order(x) for x in state]) for p, g, state in moves]
        if run(formula, numbers, slots, new):
            raise CompileError(
                "Expected gradients of the same dtype and on the same device as their parameters, as in "
                "the recorded step. Compile the step again after they were replaced."
            )
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


def _in_order(x: Array) -> Array:
    """A copy in the order of its axes, which the kernel expects."""
    return compat.array_namespace(x).asarray(x, copy=True, order="C")


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
    return RecordingNamespace(module, of_library=False)
