"""Replay on any library: each operation is a call of its function."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from xpnet._typing import Array
from xpnet.compiler.buffers import owners
from xpnet.compiler.calls import copied
from xpnet.compiler.executors._base import Executor
from xpnet.compiler.executors.straight_line import straight_line
from xpnet.compiler.record import Operation, Program, Value

__all__ = ["LibraryExecutor", "with_own_results"]


class LibraryExecutor(Executor):
    """Calls the function of each operation: for libraries that have no executor of their own.

    Nothing is changed in place, since not every library can: the states are new arrays after each run.

    Attributes
    ----------
    source : str
        The Python code that runs.
    """

    name: ClassVar[str] = "library"

    def __init__(self, program: Program) -> None:
        super().__init__(self.prepared(with_own_results(program)))
        self._step = straight_line(self.program)
        self._updated = [*program.updates]

    def prepared(self, program: Program) -> Program:
        """The program as this executor runs it, perhaps with other functions."""
        return program

    @property
    def source(self) -> str:
        """The Python code that runs."""
        source: str = self._step.source  # type: ignore[attr-defined]
        return source

    def run(self, arguments: Sequence[Array], hosts: Sequence[Any]) -> list[Array]:
        """Run one step: see `Executor.run`."""
        outputs, updates = self._step(arguments, self.states, hosts)
        self._replace(updates)
        return outputs

    def _replace(self, updates: Sequence[Array]) -> None:
        """Store the new values of the states; all of them, once the step has succeeded."""
        for i, x in zip(self._updated, updates, strict=True):
            self.states[i] = x


def with_own_results(program: Program) -> Program:
    """The program with copies, so that each output and each new value of a state has its own memory.

    Whoever is given an output may change it, a later run may write over a state, and an argument is the
    caller's. The passes can make such a result: `weight * 1.0` is the weight. Only the new value of a
    state may lie in the memory of its old one.

    A value is copied as soon as it is computed, so that it may be written over afterwards.
    """
    taken: set[Value] = set()
    copies: dict[Operation | None, list[Operation]] = {}

    def own(x: Value, old: Value | None = None) -> Value:
        """x, or a copy if it may share memory with an input or another result."""
        found = owners(x)
        inputs = {y for y in found if y.source != "operation" and y is not old}
        if not inputs and found.isdisjoint(taken):
            taken.update(found)
            return x
        copy = Operation("copy", copied, (x,))
        copy.result = Value(x.shape, x.dtype, "operation", operation=copy)
        copy.outputs = [copy.result]
        copies.setdefault(x.operation, []).append(copy)
        return copy.outputs[0]

    updates = {i: own(x, program.states[i]) for i, x in program.updates.items()}
    outputs = [own(x) for x in program.outputs]
    operations = copies.get(None, [])
    for operation in program.operations:
        operations += [operation, *copies.get(operation, [])]
    return replace(program, operations=operations, outputs=outputs, updates=updates)
