"""The C executor: a plan that a small C library carries out, with calls of NumPy where it must.

A step takes one call of the library if C has all of its operations; else C and NumPy alternately. Python's
lock is released while C computes.
"""

import ctypes
import threading
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from xpnet._printable import counted
from xpnet._typing import Array
from xpnet.compiler.buffers import ALIGNMENT, aligned_empty, bytes_of
from xpnet.compiler.c import (
    lower_chains,  # noqa: F401 - each adds to what C has
    lower_gathers,  # noqa: F401
    lower_heads,  # noqa: F401
    lower_moves,  # noqa: F401
    lower_products,  # noqa: F401
    lower_reductions,  # noqa: F401
    lower_windows,  # noqa: F401
)
from xpnet.compiler.c.blas import find_blas, usable_threads
from xpnet.compiler.c.encode import Encoded, Failure, chosen
from xpnet.compiler.c.load import Library, wait
from xpnet.compiler.c.lowering import Call, Instruction, Number, lower
from xpnet.compiler.c.memory import View, contiguous_strides
from xpnet.compiler.executors._base import Executor, another_shape
from xpnet.compiler.executors._overlap import Changed, StateMemory, is_own
from xpnet.compiler.record import Operation, Program, Value, leaves, replaced
from xpnet.errors import IndexingError

MOST_COPIED = 8192
"""Bytes: to copy an input of this size takes less time than to ask NumPy for its address."""

__all__ = ["CExecutor"]


class CExecutor(Executor):
    """Runs a Program of NumPy arrays by the C library.

    Runs use the same memory, so they take turns, whichever thread they come from.

    Parameters
    ----------
    program : Program
        Cleaned, for "c".
    library : Library, optional
        By default the one that `xpnet.compiler.c.load.wait` returns.
    threads : int, optional
        How many threads compute an operation, at most. By default `usable_threads()`.

    Raises
    ------
    CompileError
        If there is no library.
    """

    name: ClassVar[str] = "c"
    in_place: ClassVar[bool] = True

    def __init__(
        self, program: Program, library: Library | None = None, threads: int | None = None
    ) -> None:
        super().__init__(program)
        found = wait() if library is None else library
        self.library = found
        self.threads = usable_threads() if threads is None else threads
        lowered = lower(program, found, find_blas(), self.threads)
        self._steps: list[Instruction | Call] = []
        for step in lowered.steps:
            self._steps += [step] if isinstance(step, Call) else chosen(found, step, self.threads)
        self._arena = aligned_empty(lowered.arena_bytes)
        self._scratch = aligned_empty(lowered.scratch_bytes)
        self._output_views = lowered.output_views
        self._constants = lowered.constants
        self._place_inputs()
        self._segments: list[Encoded | _BoundCall] = []
        self._last_segment: Encoded | _BoundCall | None = None
        self._changed = Changed()
        self._lock = threading.Lock()

    def _place_inputs(self) -> None:
        """Give each piece of memory a slot; those of states and arguments are filled in later."""
        program = self.program
        array_hosts = [x for x in program.hosts if x.dtype is not None]
        self._array_hosts = [x.index for x in array_hosts]
        self._number_hosts = [x.index for x in program.hosts if x.dtype is None]
        named = [*program.states, *program.arguments, *array_hosts]
        places: list[tuple[str, int]] = [(x.source, x.index) for x in named]
        places += [(x.kind, x.index) for x in self._constants]
        places += [("output", i) for i in range(len(self._output_views))]
        self._slot = {place: n for n, place in enumerate(places, 1)}
        count = len(places) + 1
        self._slots = (ctypes.c_int64 * count)()
        self._stay = (ctypes.c_int64 * count)()
        self._advances = (ctypes.c_int64 * count)()
        self._numbers = (ctypes.c_double * max(len(program.hosts), 1))()
        self._failure = Failure()
        self._memory: dict[tuple[str, int], Array] = {}  # the bytes behind each slot
        self._slots[0] = self._arena.ctypes.data
        for constant in self._constants:
            self._fill("constant", constant.index, constant.array)
        self._results = []
        for i, view in enumerate(self._output_views):
            self._fill("output", i, aligned_empty(view.memory.size))
            self._results.append(view.in_memory(self._memory["output", i]))
        self._place_copies([*program.arguments, *array_hosts])
        pointers = (self._slots, self._stay, self._numbers)
        addresses = [ctypes.addressof(x) for x in pointers]
        self._run_with = (*addresses, 1, ctypes.addressof(self._failure))

    def _place_copies(self, inputs: Sequence[Value]) -> None:
        """Make memory for small inputs, to which they are copied; larger ones are read where they lie."""
        self._copied: list[tuple[str, int, Array]] = []
        self._pointed: list[tuple[str, int]] = []
        for x in inputs:
            size = bytes_of(x)
            if size > MOST_COPIED:
                self._pointed.append((x.source, x.index))
                continue
            self._fill(x.source, x.index, aligned_empty(size))
            array = np.ndarray(x.shape, x.dtype, self._memory[x.source, x.index])
            self._copied.append((x.source, x.index, array))

    def _fill(self, kind: str, index: int, array: Array) -> None:
        """Let a slot point to an array."""
        self._slots[self._slot[kind, index]] = array.ctypes.data
        self._memory[kind, index] = _bytes(array)

    def _locate(self, view: View) -> tuple[int, int]:
        memory = view.memory
        if memory.kind == "arena":
            return 0, memory.offset + view.offset
        return self._slot[memory.kind, memory.index], view.offset

    # ---- state -----------------------------------------------------------------------------------

    def bind(self, states: Sequence[Array]) -> list[Array]:
        """Take over the state: what the step changes is moved to aligned memory."""
        changed = set(self.program.updates)
        return self._take(
            [x if _is_suitable(x, i in changed) else _aligned_copy(x) for i, x in enumerate(states)]
        )

    def _take(self, states: Sequence[Array]) -> list[Array]:
        """Take over arrays of the state that are row-major and may be changed where they are."""
        self.states = list(states)
        self._changed = Changed(self.states[i] for i in self.program.updates)
        for i, x in enumerate(self.states):
            self._fill("state", i, x)
        if not self._segments:
            self._segments = self._encode()
            self._last_segment = self._segments[-1] if self._segments else None
        for segment in self._segments:
            if isinstance(segment, _BoundCall):
                segment.bind(self)
        return self.states

    def _encode(self) -> "list[Encoded | _BoundCall]":
        """The steps as calls: of the library for as many instructions as possible, and of NumPy."""
        segments: list[Encoded | _BoundCall] = []
        run: list[Instruction] = []
        for step in [*self._steps, None]:
            if isinstance(step, Instruction):
                run.append(step)
                continue
            if run:
                segments.append(self._encoded(run))
                run = []
            if step is not None:
                segments.append(_BoundCall(step))
        return segments

    def _encoded(self, run: list[Instruction]) -> Encoded:
        return Encoded(
            self.library,
            run,
            self._locate,
            len(self._slots),
            len(self.program.hosts),
            self._scratch,
            self.threads,
        )

    def array(self, view: View) -> Array | None:
        """The array that a view stands for; None for an input that is read where it lies."""
        if view.memory.kind == "arena":
            start = view.memory.offset
            return view.in_memory(self._arena[start : start + max(view.memory.size, 1)])
        if (view.memory.kind, view.memory.index) in self._pointed:
            return None
        return view.in_memory(self._memory[view.memory.kind, view.memory.index])

    # ---- runs ------------------------------------------------------------------------------------

    def run(self, arguments: Sequence[Array], hosts: Sequence[Array | float]) -> list[Array]:
        """Run one step."""
        with self._lock:
            return self._run(arguments, hosts)

    def _run(self, arguments: Sequence[Array], hosts: Sequence[Array | float]) -> list[Array]:
        given = {"argument": arguments, "host": hosts}
        for kind, i, array in self._copied:
            array[...] = given[kind][i]
        kept: dict[tuple[str, int], Array] = {}  # until the step is done
        for kind, i in self._pointed:
            x = self._changed.apart(_contiguous(given[kind][i]))
            self._slots[self._slot[kind, i]] = x.ctypes.data
            kept[kind, i] = x
        numbers = self._numbers
        for i in self._number_hosts:
            numbers[i] = hosts[i]
        self._failure.step = 0
        segment: Encoded | _BoundCall | None = None
        try:
            for segment in self._segments:
                if isinstance(segment, _BoundCall):
                    self._failure.step = 0
                    segment.run(hosts, kept)
                    self._failure.step = 1
                elif self.library.c.xpnet_run(segment.address, *self._run_with):
                    raise self._error(segment)  # noqa: TRY301 - one call less in each step
            return [x.copy() for x in self._results]
        except BaseException:  # an interrupt may come after the step
            self.last = [x.copy() for x in self._results]
            raise
        finally:
            if segment is self._last_segment:  # of another one the step has more to do
                self.done += self._failure.step

    @property
    def runs_many_in_one(self) -> bool:
        """Whether C has all operations of a step."""
        return self._only_segment is not None

    @property
    def _only_segment(self) -> Encoded | None:
        """The step as one call of the library; None if it takes several, or calls of NumPy."""
        found = [x for x in self._segments if isinstance(x, Encoded)]
        return found[0] if len(found) == len(self._segments) == 1 else None

    def run_steps(
        self, arguments: Sequence[Array], hosts: Sequence[Sequence[Array | float]]
    ) -> list[Array]:
        """Run several steps, in one call if C has all of their operations."""
        steps = len(hosts)
        segment = self._only_segment
        if segment is None:
            return super().run_steps(arguments, hosts)
        with self._lock:
            return self._run_steps(arguments, hosts, steps, segment)

    def _run_steps(
        self,
        arguments: Sequence[Array],
        hosts: Sequence[Sequence[Array | float]],
        steps: int,
        segment: Encoded,
    ) -> list[Array]:
        slots = type(self._slots)(*self._slots)  # C moves them from step to step
        kept = [self._changed.apart(_contiguous(x)) for x in arguments]
        for i, x in enumerate(kept):
            self._move(slots, "argument", i, x)
        for i in self._array_hosts:
            stacked = np.stack([np.asarray(row[i]) for row in hosts])
            self._move(slots, "host", i, stacked)
            kept.append(stacked)
        numbers = np.zeros((steps, max(len(self.program.hosts), 1)))
        if self._array_hosts:
            for i in self._number_hosts:
                numbers[:, i] = [row[i] for row in hosts]
        elif self._number_hosts:
            numbers[...] = hosts
        results = [np.empty((steps, *x.shape), x.dtype) for x in self._output_views]
        for i, x in enumerate(results):
            self._move(slots, "output", i, x)
        pointers = (slots, self._advances, numbers.ctypes.data)
        failure = ctypes.byref(self._failure)
        self._failure.step = 0
        try:
            if self.library.c.xpnet_run(segment.address, *pointers, steps, failure):
                raise self._error(segment, steps)  # noqa: TRY301 - as in `_run`
        except BaseException:  # an interrupt may come after the steps
            if self._failure.step:
                self.last = [x[self._failure.step - 1, ...].copy() for x in results]
            raise
        finally:
            self.done += self._failure.step
        return results

    def _move(self, slots: Any, kind: str, index: int, stacked: Array) -> None:
        """Let a slot move along the first axis of an array from step to step."""
        place = self._slot[kind, index]
        slots[place] = stacked.ctypes.data
        self._advances[place] = stacked.strides[0] if len(stacked) > 1 else 0

    def _error(self, segment: Encoded, steps: int = 1) -> Exception:
        """The error that an operation reported, in one of several steps, which are counted from 0."""
        instruction = segment.instructions[self._failure.instruction]
        step = f"in step {self._failure.step} of {steps}, " if steps > 1 else ""
        return IndexingError(
            f"An index is out of range: {self._failure.value} at position {self._failure.position}, "
            f"{step}at {instruction.where or instruction.name}."
        )

    # ---- what is shown ---------------------------------------------------------------------------

    def calls(self) -> list[Operation]:
        """The operations that are left to NumPy, between those that C has."""
        calls = [x.operation for x in self._steps if isinstance(x, Call)]
        return [x for x in calls if x.outputs]

    def describe(self) -> list[str]:
        """Lines for `print(plan)`: what runs where, and why."""
        calls = len(self.calls())
        lines = [f"executor: c, {self.library.origin} for {self.library.variant}"]
        called = counted(calls, "call")
        instructions = sum(isinstance(x, Instruction) for x in self._steps)
        lines.append(f"{instructions} instructions, {called} of NumPy")
        lines.append(f"threads: {self.threads}")
        lines.append(f"arena: {self._arena.nbytes} bytes")
        return lines


class _BoundCall:
    """A call of NumPy within a plan."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._args: Any = None
        self._options: Any = None
        self._targets: list[Array] = []

    def bind(self, executor: CExecutor) -> None:
        """Find the arrays that the views stand for; arguments and host values stay as they are."""

        def found(x: Any) -> Any:
            if not isinstance(x, View):
                return x
            array = executor.array(x)
            return x if array is None else array

        self._args = replaced(self._call.args, found)
        self._options = replaced(self._call.options, found)
        self._targets = [executor.array(x) for x in self._call.targets]

    def run(self, hosts: Sequence[Array | float], inputs: dict[tuple[str, int], Array]) -> None:
        """Call the function, and copy its results to where they belong.

        Parameters
        ----------
        hosts : sequence
        inputs : dict
            Those that are read where they lie, by their kind and index.
        """

        def given(x: Any) -> Any:
            if isinstance(x, Number):
                return hosts[x.index]
            if not isinstance(x, View):
                return x
            return x.in_memory(_bytes(inputs[x.memory.kind, x.memory.index]))

        operation = self._call.operation
        result = operation.function(*replaced(self._args, given), **replaced(self._options, given))
        arrays = _arrays(operation.result, result)
        for target, x in zip(self._targets, arrays, strict=True):
            if x.shape != target.shape:
                raise another_shape(operation, x.shape, target.shape)
            target[...] = x


def _arrays(expected: Any, result: Any) -> list[Array]:
    """The arrays of a result, in the places where a Value is expected."""
    pairs = zip(leaves(expected), leaves(result), strict=True)
    return [x for value, x in pairs if isinstance(value, Value)]


def _bytes(x: Array) -> Array:
    """The bytes of a row-major array."""
    return x.reshape(-1).view(np.uint8)


def _contiguous(x: Any) -> Array:
    """A NumPy array with row-major memory: the same one if it can be."""
    if type(x) is np.ndarray:
        flags = x.flags
        if flags.c_contiguous and flags.aligned:
            return x
    return np.require(np.asarray(x), requirements=("C", "A"))


def _is_suitable(x: Array, changed: bool) -> bool:
    """Whether an array of the state can stay where it is."""
    if not changed:
        return bool(x.flags.c_contiguous and x.flags.aligned)
    aligned = x.__array_interface__["data"][0] % ALIGNMENT == 0
    return is_own(x) and bool(
        x.flags.c_contiguous and x.flags.writeable and (aligned or x.size == 0)
    )


def _aligned_copy(x: Array) -> Array:
    """The same numbers, row-major, in memory of their own."""
    whole = aligned_empty(x.nbytes).view(StateMemory)
    memory = whole[:]  # whose base is of its class: NumPy would pass by it otherwise
    size = x.dtype.itemsize
    strides = tuple(size * s for s in contiguous_strides(x.shape))
    made = np.ndarray(x.shape, x.dtype, memory, 0, strides)
    made[...] = x
    return made
