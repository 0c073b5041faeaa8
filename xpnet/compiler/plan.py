"""Plan: what a compiled step does, to read."""

import math
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from xpnet._printable import counted
from xpnet.compiler.buffers import is_view
from xpnet.compiler.executors._base import Executor
from xpnet.compiler.passes.chain import Chain
from xpnet.compiler.record import Operation, Program, Value

__all__ = ["Plan"]

WIDTH = 80
LEGEND = "Each row: what is computed, from what, its shape; [2] is the result of row 2."
NAMES = {"c": "C", "numpy": "NumPy", "cupy": "CuPy", "jax": "jax.jit", "torch": "PyTorch"}


class Plan:
    """A step as it is replayed: `print(plan)` shows it, `plan.explain()` says what limits it.

    Parameters
    ----------
    recorded : Program
        As it was recorded.
    executor : Executor
        What runs it.
    name : str
        Of the function.

    Attributes
    ----------
    program : Program
        As it runs: cleaned.
    """

    def __init__(self, recorded: Program, executor: Executor, name: str = "step") -> None:
        self.recorded = recorded
        self.executor = executor
        self.name = name

    @property
    def program(self) -> Program:
        """The program as it runs."""
        return self.executor.program

    @property
    def source(self) -> str:
        """The code that runs, if the executor generates Python; otherwise an empty string."""
        source: str = getattr(self.executor, "source", "")
        return source

    def __repr__(self) -> str:
        return f"Plan({self.name}, {counted(len(self.program.operations), 'operation')}, {self._runs_on()})"

    def __str__(self) -> str:
        return "\n".join(
            [self._title(), LEGEND, "", *self._operations(), "", *self._memory(), *self._why()]
        )

    def explain(self) -> str:
        """What is not compiled, and where in the step: as text for a reader."""
        calls = self.executor.calls()
        notes = [*self._hand_overs(), *self.executor.notes()]
        if not calls:
            whole = f"{self._runs_on()} computes all operations of {self.name} itself."
            return "\n".join([whole, *notes])
        segments = ", ".join(self._segments(set(calls)))
        lines = _cut(f"{self.name} runs as {segments}.", WIDTH)
        lines.append("The library's own functions compute, in new memory each time:")
        for operation in calls:
            shapes = ", ".join(_shape(x) for x in operation.outputs)
            lines.append(f"  {operation.name} -> {shapes}, at {_line(operation)}")
        return "\n".join([*lines, *notes])

    def _hand_overs(self) -> Iterator[str]:
        """A line for each time that Python is called in the midst of the step."""
        last = len(self.program.operations)
        for n, operation in enumerate(self.program.operations, 1):
            if not operation.outputs:
                receiver = getattr(operation.function, "__name__", operation.name)
                count = _counted(len(operation.inputs()), "array")
                yield f"After {n - 1} of {last} operations, {receiver} is given {count}."

    # --- parts of the table -----------------------------------------------------------------------

    def _runs_on(self) -> str:
        return NAMES.get(self.executor.name, self.executor.name)

    def _title(self) -> str:
        before = len(self.recorded.operations)
        after = len(self.program.operations)
        return (
            f"Plan of {self.name}: {before} operations were recorded, {after} run, "
            f"by {self._runs_on()}"
        )

    def _operations(self) -> Iterator[str]:
        """The operations under the line of code that they come from."""
        table = _Table(self.program)
        numbered = list(enumerate(self.program.operations, 1))
        for line, rows in groupby(numbered, key=lambda row: _line(row[1])):
            yield line
            for n, operation in rows:
                yield from table.row(n, operation)

    def _memory(self) -> Iterator[str]:
        program = self.program
        states = sum(map(_bytes, program.states))
        arguments = ", ".join(f"{x.name or 'x'} {_shape(x)}" for x in program.arguments)
        yield from _wrapped("arguments", arguments or "none")
        changed = len(program.updates)
        text = (
            f"{counted(len(program.states), 'array')}, {_size(states)}; the step changes {changed}"
        )
        yield from _wrapped("state", text)
        memory = getattr(self.executor, "memory", None)
        if memory is not None:
            text = f"{_size(memory.arena_size)} for all other arrays; "
            text += f"{_size(memory.live_size)} are needed at once"
            yield from _wrapped("arena", text)

    def _why(self) -> Iterator[str]:
        for line in self.executor.describe():
            head, _, rest = line.partition(": ")
            if head != "arena" or not hasattr(self.executor, "memory"):
                yield from _wrapped(head, rest) if rest else _wrapped("", line)
        if self.executor.reason:
            yield from _wrapped("chosen", self.executor.reason)

    def _segments(self, calls: set[Operation]) -> Iterator[str]:
        """The operations in runs, each of those that are computed in one way."""
        computed = [x for x in self.program.operations if not is_view(x)]
        for is_call, run in groupby(computed, key=calls.__contains__):
            count = len(list(run))
            if is_call:
                yield f"{_counted(count, 'call')} of the library"
            else:
                yield f"{self._runs_on()} ({_counted(count, 'operation')})"


def _counted(n: int, noun: str) -> str:
    """A number and what it counts: "1 call" and "2 calls"."""
    if n == 1:
        return f"1 {noun}"
    return f"{n} {noun}s"


def _labels(program: Program) -> dict[Value, str]:
    """What each value is called in the table: inputs by name, results by their operation's number."""
    labels = {x: x.name or f"x{x.index}" for x in program.arguments}
    labels |= {x: x.name or f"state {x.index}" for x in program.states}
    labels |= {x: x.name or f"number {x.index}" for x in program.hosts}
    for n, operation in enumerate(program.operations, 1):
        for x in operation.outputs:
            several = len(operation.outputs) > 1
            labels[x] = f"[{n}.{x.index}]" if several else f"[{n}]"
    return labels


class _Table:
    """The rows of a program's operations: number, what is computed, from what, and the result's shape.

    A chain that was in the table before, on other arrays, is not spelled out again: an optimizer has the
    same one for each parameter.
    """

    def __init__(self, program: Program) -> None:
        self._labels = _labels(program)
        self._first: dict[Any, tuple[int, list[str]]] = {}  # the row of a chain, and its operands

    def row(self, n: int, operation: Operation) -> Iterator[str]:
        """One operation, in one line or more."""
        operands = [
            _short(self._labels.get(x, "constant")) for x in dict.fromkeys(operation.inputs())
        ]
        name = operation.name
        chain = operation.options.get("chain")
        if isinstance(chain, Chain):
            name = ", ".join(step.name for step in chain.steps)
            first, known = self._first.setdefault(chain.key, (n, operands))
            if first != n and len(chain.steps) > 2:
                name = f"as in row {first}, on"
                operands = [x for x in operands if x not in known]
        result = _shape(operation.outputs[0]) if operation.outputs else ""
        if len(operation.outputs) > 1:
            result += f" and {len(operation.outputs) - 1} more"
        room = WIDTH - 8 - len(result)
        parts = _cut(f"{name}  {', '.join(operands)}".rstrip(), room)
        if len(parts) > 1:
            parts = _cut(name, room) + _cut(", ".join(operands), WIDTH - 9)
        yield f"  {n:>3}  {parts[0]:<{room}} {result}"
        for part in parts[1:]:
            yield f"         {part}"


def _cut(text: str, room: int) -> list[str]:
    """A text in lines of at most `room` characters, broken at spaces."""
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if len(joined) > room and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = joined
    return lines


def _wrapped(head: str, text: str) -> Iterator[str]:
    """A line with a heading, broken where it is longer than the table."""
    first, *others = _cut(text, WIDTH - 12)
    yield f"{head:<11} {first}".rstrip()
    for line in others:
        yield f"{'':<11} {line}"


def _short(name: str, most: int = 24) -> str:
    """A name, without its beginning if it is long."""
    if len(name) <= most:
        return name
    return f"...{name[3 - most :]}"


def _shape(x: Value) -> str:
    if x.dtype is None:
        return "a number"
    return f"{x.shape} {str(x.dtype).rpartition('.')[2]}"


def _line(operation: Operation) -> str:
    """The file and the line: relative to the working folder, or without folders if it is not there."""
    path, _, line = operation.where.rpartition(":")
    if not path:
        return "xpnet"
    file = Path(path)
    here = Path.cwd()
    if file.is_relative_to(here):
        return f"{file.relative_to(here).as_posix()}:{line}"
    return f"{file.name}:{line}"


def _bytes(x: Value) -> int:
    size = getattr(x.dtype, "itemsize", 0)
    return math.prod(x.shape) * int(size)


def _size(count: int) -> str:
    """Bytes as a reader writes them: 1.5 MB."""
    if count < 1000:
        return f"{count} bytes"
    size = count / 1000
    for unit in ("kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
