"""Replay on any library: each operation is a call of its function."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import array_api_compat as compat

from xpnet._typing import Array
from xpnet.compiler.executors._base import Executor
from xpnet.compiler.executors.straight_line import straight_line
from xpnet.compiler.record import Operation, Program, Value

__all__ = ["LibraryExecutor", "viewed", "with_own_outputs"]

VIEWS = (
    "broadcast_to", "checked", "expand_dims", "flip", "getitem", "imag", "matrix_transpose", "moveaxis",
    "permute_dims", "real", "reshape", "squeeze",
)  # fmt: skip
"""Operations whose result may share the memory of their first operand."""


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
        super().__init__(self.prepared(with_own_outputs(program)))
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


def with_own_outputs(program: Program) -> Program:
    """The program with copies of outputs that are also inputs, or the new values of states.

    Whoever is given an output may change it, and a later run may write over a state. An output that is
    a view of one of these is copied too. The passes can make one: `weight * 1.0` is the weight.
    """
    shared = {viewed(x) for x in program.updates.values()}
    operations = list(program.operations)
    outputs = []
    for x in program.outputs:
        base = viewed(x)
        if base in shared or base.source != "operation":
            copy = Operation("asarray", _copied, (x,))
            own = Value(x.shape, x.dtype, "operation", operation=copy)
            copy.outputs = [own]
            copy.result = own
            operations.append(copy)
            outputs.append(own)
        else:
            outputs.append(x)
            shared.add(base)  # for an output that is listed twice
    return replace(program, operations=operations, outputs=outputs)


def viewed(x: Value) -> Value:
    """The value whose memory x may share; x itself if it has its own."""
    while x.operation is not None and x.operation.name in VIEWS:
        x = x.operation.args[0]
    return x


def _copied(x: Array) -> Array:
    return compat.array_namespace(x).asarray(x, copy=True)
