"""A step as one CUDA graph: captured once, and then launched as a whole.

What a graph holds is fixed when it is captured: its kernels, their arguments by value, and the addresses
that they read and write. So

- arguments, masks, and states that the step replaces are copied to memory of the graph before a launch;
- numbers of the host, a learning rate for example, lie in the device's memory, and the kernels read them
  there: passed by value, each launch would compute with the numbers of the capture;
- states that the step changes in place, or only reads, are the arrays themselves. If one of them is
  replaced by another array, the graph is of no use any more;
- results are copied to new arrays after a launch;
- the note to which checks of indices write is that of the thread that captured them: each launch has it read.

Together this is three launches: the copies, the graph, the copies.

All memory of a graph comes from a pool of its own, in which nothing is freed before the graph: CuPy's
default pool would give free blocks to others, or back to the device.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from xpnet._typing import Array
from xpnet.compiler.executors.cuda.copies import copy_all
from xpnet.compiler.executors.cuda.fusion import updated_in_place
from xpnet.compiler.executors.cuda.matrix import Columns, Head
from xpnet.compiler.executors.straight_line import straight_line
from xpnet.compiler.record import Operation, Program, Value
from xpnet.kernels.bounds import checked, note_on, reopen
from xpnet.kernels.cuda_source import cupy, current_device
from xpnet.kernels.products import Products, product_or

__all__ = ["Graph", "why_not"]

SWITCH = "XPNET_CUDA_GRAPHS"


def why_not(program: Program) -> str:
    """Why a program cannot be captured; "" if it may.

    Parameters
    ----------
    program : Program
        As it runs on CuPy: see `xpnet.compiler.executors.cuda.fusion`.
    """
    if os.environ.get(SWITCH) == "0":
        return f"{SWITCH}=0 is set"
    if any(x.dtype is None for x in (*program.outputs, *program.updates.values())):
        return "a number of the host is a result"
    for operation in program.operations:
        where = f"{operation.name}, at {operation.where}" if operation.where else operation.name
        if operation.name.startswith("fft."):
            return f"{where}: cuFFT works in memory that CuPy may free"
        if any(_is_number(x) for x in operation.inputs()) and not _reads_numbers(operation):
            return f"{where}: CuPy's function is given a number that may change by value"
    return ""


def _is_number(x: Any) -> bool:
    """Whether x is a number of the host, which may be another one in each step."""
    return isinstance(x, Value) and x.source == "host" and x.dtype is None


def _reads_numbers(operation: Operation) -> bool:
    """Whether an operation can be given an array of no axes, of float64, in place of a number."""
    if operation.function is updated_in_place or isinstance(operation.function, (Columns, Head)):
        return True
    return operation.name == "chain" and not operation.options  # a kernel with float64 parameters


class Graph:
    """A step that was captured.

    Parameters
    ----------
    program : Program
        For which `why_not` is "".
    written : sequence of int
        The states that it changes in place.
    """

    def __init__(self, program: Program, written: Sequence[int]) -> None:
        self.program = program
        self._written = set(written)
        self._replaced = set(program.updates) - self._written
        self._device = current_device()()
        self._memory = _Memory()
        self._workspace: Any = None
        self._stream = cupy().cuda.get_current_stream()  # of the last launch
        self._inputs: list[Array] = []
        self._numbers: Any = None
        self._fixed: list[Array] = []  # the states in place, which it keeps alive
        self._results: list[Array] = []
        self._graph: Any = None
        self._note: Any = None  # of indices that are out of range
        if any(x.function is checked for x in program.operations):
            self._note = note_on(self._device)
        self._step = straight_line(_for_capture(program))

    # --- capture ----------------------------------------------------------------------------------

    def capture(
        self, arguments: Sequence[Array], states: Sequence[Array], hosts: Sequence[Any]
    ) -> None:
        """Capture the step. Its states are as before: nothing of it has run.

        First the step runs on copies of the states. So all kernels are loaded, which a capture may not
        wait for, and the memory is there.

        Raises
        ------
        Exception
            The step cannot be captured: it waits for the device, for example.
        """
        cuda = cupy().cuda
        given = self._given(arguments, states, hosts)
        copies = [x.copy() if i in self._written else x for i, x in enumerate(states)]
        self._fixed = [x for i, x in enumerate(states) if i not in self._replaced]
        stream = cuda.Stream(non_blocking=True)
        stream.wait_event(self._stream.record())
        with cuda.using_allocator(self._memory.allocate), stream:
            self._inputs = [cupy().empty(x.shape, dtype=x.dtype) for x in given]
            self._numbers = cupy().empty(len(self.program.hosts), dtype="float64")
            self._fill(given, hosts)
            with Products(stream) as products:
                self._workspace = products.workspace
                self._step(*self._placed(copies))
                stream.synchronize()  # the copies may be freed now
                self._capture_on(stream, states)

    def _capture_on(self, stream: Any, states: Sequence[Array]) -> None:
        stream.begin_capture()
        try:
            outputs, updates = self._step(*self._placed(states))
            new = [
                x for i, x in zip(self.program.updates, updates, strict=True) if i in self._replaced
            ]
            self._results = [cupy().ascontiguousarray(x).reshape(x.shape) for x in (*outputs, *new)]
        except BaseException:
            _abandon(stream)
            raise
        self._graph = stream.end_capture()

    def _placed(
        self, states: Sequence[Array]
    ) -> tuple[Sequence[Array], Sequence[Array], Sequence[Array]]:
        """The arguments, states and hosts of the step, in the memory of the graph where it has its own."""
        program = self.program
        own = iter(self._inputs)
        arguments = [next(own) for _ in program.arguments]
        states = [next(own) if i in self._replaced else x for i, x in enumerate(states)]
        hosts = [
            self._numbers[i] if x.dtype is None else next(own) for i, x in enumerate(program.hosts)
        ]
        return arguments, states, hosts

    # --- launches ---------------------------------------------------------------------------------

    def launch(
        self, arguments: Sequence[Array], states: Sequence[Array], hosts: Sequence[Any]
    ) -> tuple[list[Array], list[Array]]:
        """Run the step on the current stream.

        Returns
        -------
        outputs, updates : lists of arrays
            As those of `xpnet.compiler.executors.straight_line.straight_line`.
        """
        stream = cupy().cuda.get_current_stream()
        if stream.ptr != self._stream.ptr:  # work there may still use the memory of the graph
            stream.wait_event(self._stream.record())
            self._stream = stream
        self._fill(self._given(arguments, states, hosts), hosts)
        self._graph.launch()
        if self._note is not None:
            reopen(self._note)
        new = [cupy().ndarray(x.shape, x.dtype) for x in self._results]
        copy_all([*zip(self._results, new, strict=True)], (), 0)
        outputs = new[: len(self.program.outputs)]
        replaced = iter(new[len(outputs) :])
        updates = [
            next(replaced) if i in self._replaced else states[i] for i in self.program.updates
        ]
        return outputs, updates

    def _given(
        self, arguments: Sequence[Array], states: Sequence[Array], hosts: Sequence[Any]
    ) -> list[Array]:
        """The arrays of a call that are copied to the memory of the graph, in the order of `_placed`."""
        given = [*arguments, *(states[i] for i in range(len(states)) if i in self._replaced)]
        given += [
            x for x, value in zip(hosts, self.program.hosts, strict=True) if value.dtype is not None
        ]
        return [x if x.flags.c_contiguous else cupy().ascontiguousarray(x) for x in given]

    def _fill(self, given: Sequence[Array], hosts: Sequence[Any]) -> None:
        numbers = [
            x if value.dtype is None else 0.0
            for x, value in zip(hosts, self.program.hosts, strict=True)
        ]
        copy_all([*zip(given, self._inputs, strict=True)], numbers, self._numbers.data.ptr)

    # --- what it holds ----------------------------------------------------------------------------

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        # A default argument: when the interpreter exits, this module's globals may be None already.
        is_complete = "_memory" in vars(self)  # else `__init__` has failed
        if is_complete and not is_finalizing():
            self.close()

    def close(self) -> None:
        """Give the memory back. The graph cannot be launched any more."""
        self._graph = None
        self._inputs = []
        self._results = []
        self._fixed = []
        self._numbers = None
        self._workspace = None
        with cupy().cuda.Device(self._device):
            self._memory.free()


class _Memory:
    """A pool that keeps all its memory until it is freed as a whole."""

    def __init__(self) -> None:
        self._blocks: list[Any] = []
        self._pool = cupy().cuda.MemoryPool(self._new)

    def allocate(self, size: int) -> Any:
        """A pointer to memory: CuPy's allocator for a block."""
        return self._pool.malloc(size)

    def _new(self, size: int) -> Any:
        cuda = cupy().cuda
        try:
            block = cuda.Memory(size)
        except cuda.runtime.CUDARuntimeError:  # other memory may be free, but in another pool
            cupy().get_default_memory_pool().free_all_blocks()
            block = cuda.Memory(size)
        self._blocks.append(block)
        return cuda.MemoryPointer(block, 0)

    def free(self) -> None:
        """Free all memory that no array is in."""
        self._blocks = []
        self._pool.free_all_blocks()


def _abandon(stream: Any) -> None:
    """End a capture that has failed, so that the stream, and its device, can be waited for again."""
    try:
        stream.end_capture()
    except (
        RuntimeError,
        cupy().cuda.runtime.CUDARuntimeError,
    ):  # it reports that the capture is invalid
        return


def _for_capture(program: Program) -> Program:
    """The program with kernels that read numbers from memory, and products that can be captured."""
    operations = []
    for operation in program.operations:
        function = operation.function
        if isinstance(function, Head):
            function = function.from_memory(factor=_is_number(operation.args[1]))
        elif isinstance(function, Columns):
            function = function.from_memory()
        elif operation.name == "matmul":
            function = partial(product_or, function)
        operations.append(replace(operation, function=function))
    return replace(program, operations=operations)
