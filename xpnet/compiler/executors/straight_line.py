"""A program as a Python function: one line for each operation, without loops or decisions.

    def step(arguments, states, hosts):
        x, t, = arguments
        s0, s1, = states
        v0 = f0(x, s0)  # matmul train.py:12
        v1 = f1(v0, s1)  # add train.py:12
        ...
        return [v7], [v8, v9]

Each line calls the operation's function. So the source runs on any library, and JAX can trace it. A
variable is deleted after its last use: its memory is free for the next operations.
"""

import linecache
import math
import weakref
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from types import EllipsisType
from typing import Any

from xpnet._typing import Array
from xpnet.compiler.record import Operation, Program, Value, leaves

__all__ = ["Step", "Writer", "arrays_in", "straight_line"]

Step = Callable[[Sequence[Array], Sequence[Array], Sequence[Any]], tuple[list[Array], list[Array]]]
"""(arguments, states, hosts) -> (outputs, new values of the states in `program.updates`)."""

_numbers = count()  # of the functions, which have different file names in tracebacks


class Writer:
    """Collects lines of Python, and the objects that they refer to by name.

    Attributes
    ----------
    lines : list of str
        The body of the function so far.
    objects : dict of str to object
        Functions, dtypes, constants: the globals of the source.
    names : dict of Value to str
        The variable of each value.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.objects: dict[str, Any] = {}
        self.names: dict[Value, str] = {}
        self._objects_by_id: dict[int, str] = {}

    def line(self, line: str) -> None:
        """Add a line to the body of the function."""
        self.lines.append(f"    {line}")

    def unpack(self, values: Sequence[Value], prefix: str, source: str) -> None:
        """A line that gives names to the items of a sequence."""
        if not values:
            return
        for i, value in enumerate(values):
            self.names[value] = f"{prefix}{i}"
        names = "".join(f"{self.names[value]}, " for value in values)
        self.line(f"{names.rstrip()} = {source}")

    def value(self, value: Value) -> str:
        """The variable of a value, which is named when it occurs first."""
        if value not in self.names:
            if value.source == "constant":
                self.names[value] = self.object(value.array, "constant")
            else:
                self.names[value] = f"v{len(self.names)}"
        return self.names[value]

    def object(self, x: Any, prefix: str) -> str:
        """A name for an object among the globals of the source."""
        name = self._objects_by_id.get(id(x))
        if name is None:
            name = f"{prefix}{len(self.objects)}"
            self._objects_by_id[id(x)] = name
            self.objects[name] = x
        return name

    def expression(self, tree: Any) -> str:
        """Python for an argument: a value, a number, another object, or a tree of these."""
        if isinstance(tree, Value):
            written = self.value(tree)
        elif isinstance(tree, tuple) and hasattr(tree, "_fields"):
            written = f"{self.object(type(tree), 'c')}({self._items(tree)})"
        elif type(tree) is tuple:
            written = f"({self._items(tree)})"
        elif type(tree) is list:
            written = f"[{self._items(tree)}]"
        elif isinstance(tree, dict):
            items = (f"{key!r}: {self.expression(x)}" for key, x in tree.items())
            written = f"{{{', '.join(items)}}}"
        elif isinstance(tree, slice):
            written = f"slice({self._items((tree.start, tree.stop, tree.step))})"
        elif _is_literal(tree):
            written = repr(tree)
        else:
            written = self.object(tree, "c")
        return written

    def _items(self, items: Iterable[Any]) -> str:
        return "".join(f"{self.expression(x)}, " for x in items).rstrip()

    def call(self, operation: Operation) -> str:
        """Python for an operation: a call of its function."""
        function = self.object(operation.function, "f")
        parts = [self.expression(x) for x in operation.args]
        parts += [f"{name}={self.expression(x)}" for name, x in operation.options.items()]
        return f"{function}({', '.join(parts)})"

    def targets(self, operation: Operation, call: str) -> str:
        """The left side of an assignment, and the call: `v3 = ...` or `(v3, (v4, _)) = ...`."""
        if any(isinstance(x, dict) for x in _nodes(operation.result)):
            outputs = "".join(f"{self.value(x)}, " for x in operation.outputs).rstrip()
            return f"{outputs} = {self.object(arrays_in, 'f')}({call})"
        return f"{self._pattern(operation.result)} = {call}"

    def _pattern(self, tree: Any) -> str:
        if isinstance(tree, Value):
            return self.value(tree)
        if isinstance(tree, (tuple, list)):
            return f"({''.join(f'{self._pattern(x)}, ' for x in tree).rstrip()})"
        return "_"

    def function(self, name: str, parameters: str) -> Callable[..., Any]:
        """The function whose body was written; tracebacks show its lines."""
        source = "\n".join([f"def {name}({parameters}):", *self.lines, ""])
        file = f"<xpnet {name} {next(_numbers)}>"
        exec(compile(source, file, "exec"), self.objects)  # noqa: S102 - the lines are our own
        function: Callable[..., Any] = self.objects[name]
        function.source = source  # type: ignore[attr-defined]
        linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
        weakref.finalize(function, linecache.cache.pop, file, None)
        return function


def arrays_in(tree: Any) -> list[Array]:
    """The arrays in a result, in the order of an operation's outputs."""
    return [x for x in leaves(tree) if hasattr(x, "shape") and hasattr(x, "dtype")]


def straight_line(program: Program) -> Step:
    """The program as a function of arguments, states and host values."""
    writer = Writer()
    writer.unpack(program.arguments, "x", "arguments")
    writer.unpack(program.states, "s", "states")
    writer.unpack(program.hosts, "h", "hosts")
    results = [*program.outputs, *program.updates.values()]
    last = last_uses(program)
    for i, operation in enumerate(program.operations):
        line = writer.targets(operation, writer.call(operation))
        writer.line(f"{line}  # {operation.name} {_line_number(operation)}".rstrip())
        if dead := [writer.value(x) for x in last.get(i, []) if x not in results]:
            writer.line(f"del {', '.join(dead)}")
    outputs = ", ".join(writer.value(x) for x in program.outputs)
    updates = ", ".join(writer.value(x) for x in program.updates.values())
    writer.line(f"return [{outputs}], [{updates}]")
    return writer.function("step", "arguments, states, hosts")


def last_uses(program: Program) -> dict[int, list[Value]]:
    """For the number of an operation, the computed values that no later one needs."""
    last: dict[Value, int] = {}
    for i, operation in enumerate(program.operations):
        for value in (*operation.inputs(), *operation.outputs):
            if value.source == "operation":
                last[value] = i
    dead: dict[int, list[Value]] = {}
    for value, i in last.items():
        dead.setdefault(i, []).append(value)
    return dead


def _nodes(tree: Any) -> Iterable[Any]:
    """All tuples, lists and dicts in a tree."""
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, (tuple, list)):
        yield tree
        for x in tree:
            yield from _nodes(x)


def _is_literal(x: Any) -> bool:
    """Whether Python reads repr(x) as x itself, as it does not for NaN and infinity."""
    if type(x) is float:
        return math.isfinite(x)
    return x is None or type(x) in (int, bool, str, EllipsisType)


def _line_number(operation: Operation) -> str:
    return operation.where.replace("\n", " ")
