"""The CuPy executor: few launches in each step.

On a GPU a launch takes microseconds of the host however small the arrays. So chains, and what surrounds
them, become one launch each (see `cuda.fusion`), and the update of all parameters is one. Numbers of
the host are arguments of launches: nothing is copied for them, and nothing waits.

The update writes to the arrays of the state. All other results are new arrays, which CuPy's memory pool
provides without a call of CUDA.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from xpnet._libraries.devices import call_on_one_device, known
from xpnet._typing import Array
from xpnet.compiler.buffers import is_view
from xpnet.compiler.executors.cuda.fusion import fused, updated_states
from xpnet.compiler.executors.library import LibraryExecutor
from xpnet.compiler.record import Program

__all__ = ["CuPyExecutor"]


class CuPyExecutor(LibraryExecutor):
    """Runs the program as kernels of CuPy, merged where one launch can do the work of several."""

    name: ClassVar[str] = "cupy"

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        read = {x for operation in program.operations for x in operation.inputs()}
        self._read = [i for i, state in enumerate(program.states) if state in read]
        self._written = updated_states(self.program)
        self._memory: set[int] = set()  # the ids of the memory that is written over

    def prepared(self, program: Program) -> Program:
        """The program with its operations merged into kernels."""
        return fused(program)

    def bind(self, states: Sequence[Array]) -> list[Array]:
        """Take over the state: what is updated in place, in the order of its axes."""
        own = list(states)
        for i in self._written:
            if not own[i].flags.c_contiguous:
                with own[i].device:
                    own[i] = own[i].copy(order="C")
        self._memory = {id(own[i].data.mem) for i in self._written}
        return super().bind(own)

    def run(self, arguments: Sequence[Array], hosts: Sequence[Any]) -> list[Array]:
        """Run one step on the device of its arrays: see `Executor.run`.

        Raises
        ------
        BackendError
            They lie on several devices.
        """
        if not known.several:
            return self._run(arguments, hosts)
        arrays = [*arguments, *(self.states[i] for i in self._read)]
        found: list[Array] = call_on_one_device(
            "A compiled step", lambda *_: self._run(arguments, hosts), arrays
        )
        return found

    def _run(self, arguments: Sequence[Array], hosts: Sequence[Any]) -> list[Array]:
        memory = self._memory
        if memory and any(id(x.data.mem) in memory for x in arguments):  # `step(layer.weight.data)`
            arguments = [x.copy() for x in arguments]
        return super().run(arguments, hosts)

    def describe(self) -> list[str]:
        """Lines for `print(plan)`: how many operations are launched in each step."""
        launched = [x for x in self.program.operations if not is_view(x)]
        return [f"executor: cupy ({len(launched)} operations on the device in each step)"]
