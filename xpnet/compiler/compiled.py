"""Compiled: a function whose calls are recorded, and then replayed."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import array_api_compat as compat

from xpnet._typing import Array
from xpnet.autodiff.variable import Variable, constant
from xpnet.compiler.executors._base import Executor
from xpnet.compiler.record import Program, Value, leaves, replaced
from xpnet.compiler.recording import RecordedArray, Recorder
from xpnet.compiler.state import Cell, cells_of

__all__ = ["Compiled", "Recording", "compile", "recorded_call"]


class Recording(NamedTuple):
    """One call of a step, and what was recorded of it.

    Attributes
    ----------
    result : Any
        What the call returned: real numbers.
    program : Program
        Not cleaned.
    cells : list of lists of Cell
        For each state, the places that hold its array.
    tree : Any
        The result with Values in place of arrays.
    recorder : Recorder
    """

    result: Any
    program: Program
    cells: list[list[Cell]]
    tree: Any
    recorder: Recorder


def recorded_call(function: Callable[..., Any], args: Sequence[Any]) -> Recording:
    """Call the function, and record it."""
    recorder = Recorder()
    states: list[RecordedArray] = []
    cells: list[list[Cell]] = []
    place: dict[int, int] = {}
    for cell in cells_of(function):
        x = cell.get()
        if id(x) not in place:
            place[id(x)] = len(states)
            value = Value(tuple(x.shape), x.dtype, "state", len(states), name=cell.name)
            states.append(recorder.wrap(x, value))
            cells.append([])
        cells[place[id(x)]].append(cell)
    initial = [x.value for x in states]
    for x, holders in zip(states, cells, strict=True):
        for cell in holders:
            cell.set(x)
    arguments: list[Value] = []

    def argument(x: Any) -> Any:
        if not compat.is_array_api_obj(x):
            return x
        value = Value(tuple(x.shape), x.dtype, "argument", len(arguments))
        arguments.append(value)
        return recorder.wrap(x, value)

    try:
        with recorder:
            result = function(*replaced(tuple(args), argument))
    finally:
        updates: dict[int, Value] = {}
        for i, holders in enumerate(cells):
            for cell in holders:
                now = cell.get()
                if isinstance(now, RecordedArray):
                    cell.set(now.array)
                    if now.value is not initial[i]:
                        updates[i] = now.value
        for cell in cells_of(function):  # places that held no array before
            now = cell.get()
            if isinstance(now, RecordedArray):
                cell.set(now.array)
    tree = replaced(result, _value)
    outputs = [x for x in leaves(tree) if isinstance(x, Value)]
    program = Program(arguments, initial, recorder.hosts, recorder.operations, outputs, updates)
    return Recording(replaced(result, _plain), program, cells, tree, recorder)


def _value(x: Any) -> Any:
    data = x.data if isinstance(x, Variable) else x
    return data.value if isinstance(data, RecordedArray) else x


def _plain(x: Any) -> Any:
    """A result without recording arrays; Variables become constants."""
    if isinstance(x, Variable) and isinstance(x.data, RecordedArray):
        return constant(x.data.array)
    return x.array if isinstance(x, RecordedArray) else x


class Compiled:
    """A function that is recorded in its first calls, and replayed in the following ones."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.executor: Executor | None = None

    def __call__(self, *args: Array) -> Any:
        raise NotImplementedError


def compile(function: Callable[..., Any]) -> Compiled:  # noqa: A001 - the field's name
    """Record a step once, and replay it without Python."""
    return Compiled(function)
