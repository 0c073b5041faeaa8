"""The CuPy executor: few launches in each step.

On a GPU a launch takes microseconds of the host however small the arrays. So chains, and what surrounds
them, become one launch each (see `cuda.fusion`), and the update of all parameters is one. Numbers of
the host are arguments of launches: nothing is copied for them, and nothing waits.

The update writes to the arrays of the state. All other results are new arrays, which CuPy's memory pool
provides without a call of CUDA.

A step that is replayed on the same arrays of the state is captured as a CUDA graph, if it can be: then
all its launches are one (see `cuda.graph`). `print(plan)` says whether it is, or why not.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from xpnet._libraries.devices import call_on_one_device, known
from xpnet._printable import counted
from xpnet._typing import Array
from xpnet.compiler.buffers import is_view
from xpnet.compiler.executors.cuda.fusion import fused, updated_states
from xpnet.compiler.executors.cuda.graph import Graph, why_not
from xpnet.compiler.executors.library import LibraryExecutor
from xpnet.compiler.record import Program
from xpnet.kernels.cuda_source import cupy

__all__ = ["CuPyExecutor"]

FIRST = 2  # the run, on the same arrays of the state, for which a step is captured
LATER = 8  # how many times as many runs it takes after a graph was of no use any more
PER_THREAD = 2  # the handle of a thread's default stream


class CuPyExecutor(LibraryExecutor):
    """Runs the program as kernels of CuPy, merged where one launch can do the work of several."""

    name: ClassVar[str] = "cupy"

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        read = {x for operation in program.operations for x in operation.inputs()}
        self._read = [i for i, state in enumerate(program.states) if state in read]
        self._written = updated_states(self.program)
        self._memory: set[int] = set()  # the ids of the memory that is written over
        self._graph: Graph | None = None
        self._why_not = why_not(self.program)
        replaced = set(program.updates).difference(self._written)
        self._in_graph = (
            set(range(len(program.states))) - replaced
        )  # the states that it uses as they are
        self._runs = 0  # since the state was bound
        self._wanted = FIRST  # runs until it is captured

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
        if self._are_others(own):
            self._runs = 0
            if self._graph is not None:
                self._graph.close()
                self._graph = None
                self._wanted *= LATER
        return super().bind(own)

    def _are_others(self, states: Sequence[Array]) -> bool:
        """Whether an array was replaced that a graph reads or changes where it is."""
        if len(self.states) < len(states):  # they are the first ones
            return True
        pairs = enumerate(zip(self.states, states, strict=True))
        return any(x is not y and i in self._in_graph for i, (x, y) in pairs)

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
        if self._graph is None and not self._why_not:
            self._runs += 1
            if self._runs >= self._wanted:
                self._capture(arguments, hosts)
        if self._graph is not None:
            outputs, updates = self._graph.launch(arguments, self.states, hosts)
            self._replace(updates)
            return outputs
        memory = self._memory
        if memory and any(id(x.data.mem) in memory for x in arguments):  # `step(layer.weight.data)`
            arguments = [x.copy() for x in arguments]
        return super().run(arguments, hosts)

    def _capture(self, arguments: Sequence[Array], hosts: Sequence[Any]) -> None:
        """Capture the step as a graph, or note why it cannot be."""
        stream = cupy().cuda.get_current_stream()
        if stream.ptr == PER_THREAD:
            self._why_not = "each thread has a default stream of its own"
            return
        if stream.is_capturing():  # the caller makes a graph
            return
        graph = Graph(self.program, self._written)
        try:
            graph.capture(arguments, self.states, hosts)
        except Exception as error:  # noqa: BLE001 - it runs without a graph, and the plan says why
            self._why_not = f"{type(error).__name__}: {error}"
            graph.close()
        except BaseException:
            graph.close()
            raise
        else:
            self._graph = graph

    def notes(self) -> list[str]:
        """Whether the step is a CUDA graph, or why not: see `Executor.notes`."""
        if self._graph is not None:
            return [
                "graph: each call copies its arguments, launches one CUDA graph, and copies results"
            ]
        if self._why_not:
            return [f"graph: operations are launched one by one ({self._why_not})"]
        if self._wanted == FIRST:
            return [f"graph: captured by the replay number {FIRST} on the same arrays of the state"]
        again = f"captured again by the replay number {self._wanted} on the same ones"
        return [f"graph: arrays of the state were replaced; {again}"]

    def describe(self) -> list[str]:
        """Lines for `print(plan)`: how many operations are launched in each step."""
        launched = [x for x in self.program.operations if not is_view(x)]
        lines = [
            f"executor: cupy ({counted(len(launched), 'operation')} on the device in each step)"
        ]
        return [*lines, *self.notes()]
