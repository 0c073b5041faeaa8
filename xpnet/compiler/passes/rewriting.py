"""A new Program out of another one, operation by operation.

A pass changes no Program that it is given: inputs, constants, and operations on values that are the same
in both are shared; other operations and the values that they compute are copied.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from xpnet.compiler.record import Operation, Program, Value, replaced

__all__ = ["Replacement", "Rewriting", "readers", "with_replacements"]


@dataclass(frozen=True, slots=True)
class Replacement:
    """An operation that computes Values of the given Program in another way.

    Attributes
    ----------
    name, function : str and callable
        As of an `Operation`.
    args, options : tuple and dict
        Likewise, with Values of the given Program.
    outputs : list of Value
        What it computes.
    """

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    options: dict[str, Any]
    outputs: list[Value]


class Rewriting:
    """Makes a Program that computes what another one does.

    Parameters
    ----------
    program : Program
        The given one; it stays as it is.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._new: dict[Value, Value] = {}
        self.operations: list[Operation] = []

    def value(self, x: Any) -> Any:
        """What stands for a Value of the given Program; anything else as it is."""
        return self._new.get(x, x) if isinstance(x, Value) else x

    def replace(self, old: Value, new: Value) -> None:
        """Let `new`, a Value of the new Program, stand for `old`."""
        self._new[old] = new

    def keep(self, operation: Operation) -> Operation:
        """Append an operation of the given Program: itself, unless it reads values that were replaced."""
        if self._new.keys().isdisjoint(operation.inputs()):
            self.operations.append(operation)
            return operation
        return self.copy(operation)

    def copy(self, operation: Operation) -> Operation:
        """Append a copy of an operation of the given Program, with the values of the new one."""
        return self.append(
            operation.name,
            operation.function,
            replaced(operation.args, self.value),
            replaced(operation.options, self.value),
            like=operation,
        )

    def append(
        self,
        name: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        options: dict[str, Any],
        like: Operation,
    ) -> Operation:
        """Append a new operation that computes what the operation `like` of the given Program does.

        Parameters
        ----------
        args, options : tuple and dict
            With Values of the new Program.
        """
        new = Operation(name, function, args, options, where=like.where)
        for old in like.outputs:
            new.outputs.append(self.output(old, new, len(new.outputs)))
        new.result = self.value(like.result)
        if not isinstance(like.result, Value):
            new.result = replaced(like.result, self.value)
        self.operations.append(new)
        return new

    def append_replacement(self, given: Replacement, where: str) -> None:
        """Append a new operation, of which each output stands for a Value of the given Program."""
        args, options = replaced((given.args, given.options), self.value)
        new = Operation(given.name, given.function, args, options, where=where)
        new.outputs = [self.output(old, new, n) for n, old in enumerate(given.outputs)]
        new.result = tuple(new.outputs)
        if len(new.outputs) == 1:
            new.result = new.outputs[0]
        self.operations.append(new)

    def output(self, old: Value, operation: Operation, index: int) -> Value:
        """A Value that stands for `old` from now on, computed by an operation of the new Program."""
        value = Value(old.shape, old.dtype, "operation", index, name=old.name, operation=operation)
        self.replace(old, value)
        return value

    def program(self, operations: Iterable[Operation] | None = None) -> Program:
        """The new Program; with other operations, or another order, if they are given."""
        old = self._program
        return Program(
            arguments=old.arguments,
            states=old.states,
            hosts=old.hosts,
            operations=list(self.operations if operations is None else operations),
            outputs=[self.value(x) for x in old.outputs],
            updates={i: self.value(x) for i, x in old.updates.items()},
        )


def with_replacements(
    program: Program,
    replacements: Mapping[Operation, Replacement],
    absorbed: Collection[Operation] = (),
) -> Program:
    """The program with other operations in the places of some, and without those that are absorbed."""
    rewriting = Rewriting(program)
    for operation in program.operations:
        if operation in absorbed:
            continue
        if operation in replacements:
            rewriting.append_replacement(replacements[operation], operation.where)
        else:
            rewriting.keep(operation)
    return rewriting.program()


def readers(program: Program) -> dict[Value, list[Operation]]:
    """For each Value that an operation reads, those that do, in order; each once."""
    found: dict[Value, list[Operation]] = {}
    for operation in program.operations:
        for value in dict.fromkeys(operation.inputs()):
            found.setdefault(value, []).append(operation)
    return found
