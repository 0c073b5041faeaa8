"""Replay on any library: each operation is a call of its function."""

from collections.abc import Sequence
from typing import Any, ClassVar

from xpnet._typing import Array
from xpnet.compiler.executors._base import Executor
from xpnet.compiler.record import Value, leaves, replaced

__all__ = ["LibraryExecutor"]


class LibraryExecutor(Executor):
    """Calls the functions of the operations in their order; nothing is changed in place."""

    name: ClassVar[str] = "library"

    def run(self, arguments: Sequence[Array], hosts: Sequence[Any]) -> list[Array]:
        """Run one step: see `Executor.run`."""
        program = self.program
        known: dict[Value, Any] = {}
        known.update(zip(program.arguments, arguments, strict=True))
        known.update(zip(program.states, self.states, strict=True))
        known.update(zip(program.hosts, hosts, strict=True))

        def array(x: Any) -> Any:
            if not isinstance(x, Value):
                return x
            return x.array if x.source == "constant" else known[x]

        for operation in program.operations:
            args = replaced(operation.args, array)
            result = operation.function(*args, **replaced(operation.options, array))
            values = [x for x in leaves(operation.result) if isinstance(x, Value)]
            arrays = [
                y
                for x, y in zip(leaves(operation.result), leaves(result), strict=True)
                if isinstance(x, Value)
            ]
            known.update(zip(values, arrays, strict=True))
        outputs = [array(x) for x in program.outputs]
        for i, x in program.updates.items():
            self.states[i] = array(x)
        return outputs
