"""The NumPy executor: a program as generated Python, in which every call writes into given memory.

    np.matmul(x, layers_0_weight, out=matmul)
    # t3 = add(x0, x1); t4 = maximum(t3, 0.0) (32, 32)
    np.add(matmul, layers_0_bias, out=chain)
    np.maximum(chain, _0_0, out=chain)

The results have the bits of eager code, on parameters and arguments that lie in memory in the order of
their axes, as NumPy makes them. The executor moves each parameter into that order. So the first replay
rounds otherwise than eager code did where a parameter was, say, the transpose of a saved matrix: BLAS and
sums add in the order of memory.

The arrays are views of one arena and of the state; they and all constants are bound to names once. The
source is in `NumPyExecutor.source`; tracebacks show its lines.
"""

import linecache
import threading
import weakref
from collections.abc import Callable, Sequence
from itertools import count
from operator import is_
from typing import Any, ClassVar

import numpy as np

from xpnet._typing import Array
from xpnet.compiler.buffers import ALIGNMENT, aligned_empty
from xpnet.compiler.executors._base import Executor, stacked
from xpnet.compiler.executors._numpy_memory import Memory, flat
from xpnet.compiler.executors._numpy_source import Bound, Flat, Pieces
from xpnet.compiler.executors._numpy_step import source_of
from xpnet.compiler.executors._overlap import Changed, StateMemory, is_own
from xpnet.compiler.record import Operation, Program, Value, replaced
from xpnet.errors import StateError

__all__ = ["NumPyExecutor"]

LARGE = 1 << 24  # bytes of a state that is not moved to aligned memory only to be read

_numbers = count(1)  # of the generated sources of this process


class NumPyExecutor(Executor):
    """Runs a program by generated source.

    Parameters
    ----------
    program : Program
        Cleaned for "numpy".

    Attributes
    ----------
    source : str
        The source of a function of the arguments and the host values.
    """

    name: ClassVar[str] = "numpy"
    in_place: ClassVar[bool] = True

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.memory = Memory(program)
        written = source_of(self.memory)
        self.memory.finish()
        self._bound = written.bound
        self._calls = written.calls
        names = ", ".join(written.parameters)
        body = "".join(f"    {line}\n" for line in written.lines)
        self.source = f"def step({names}):\n{body}"
        self._file = f"<compiled step {next(_numbers)}>"
        linecache.cache[self._file] = (
            len(self.source),
            None,
            self.source.splitlines(keepends=True),
            self._file,
        )
        weakref.finalize(self, linecache.cache.pop, self._file, None)
        self._code = compile(self.source, self._file, "exec")
        self._step: Callable[..., list[Array]] | None = None
        self._changed = Changed()
        self._lock = threading.Lock()  # two runs at once would write into the same arena

    def bind(self, states: Sequence[Array]) -> list[Array]:
        """Take over the state: into aligned memory, where it is not there yet."""
        for value, given in zip(self.program.states, states, strict=True):
            if given.shape != value.shape or given.dtype != value.dtype:
                raise StateError(
                    f"Expected a state of shape {value.shape} and dtype {value.dtype} for "
                    f"{value.name or 'an array'}, as in the recorded step, got {given.shape} and "
                    f"{given.dtype}."
                )
        with self._lock:
            same = len(self.states) == len(states) and all(map(is_, self.states, states))
            if self._step is not None and same:
                return self.states
            # The arrays that were replaced may be somebody's now: nothing is written into them.
            self.states = self._moved(states)
            self._changed = Changed(self.states[i] for i in self.program.updates)
            self._step = self._compiled()
            return self.states

    def run(self, arguments: Sequence[Array], hosts: Sequence[Array | float]) -> list[Array]:
        with self._lock:
            step = self._ready()
            outputs = step(*map(self._changed.apart, arguments), *hosts)
            self.done += 1
            return outputs

    def run_steps(
        self, arguments: Sequence[Array], hosts: Sequence[Sequence[Array | float]]
    ) -> list[Array]:
        with self._lock:
            step = self._ready()
            outputs: list[list[Array]] = []
            try:
                for *row, numbers in zip(*map(self._changed.apart, arguments), hosts, strict=True):
                    outputs.append(step(*row, *numbers))
            except BaseException:
                self.done = len(outputs)
                self.last = outputs[-1] if outputs else None
                raise
            self.done += len(outputs)
            return stacked(outputs)

    def calls(self) -> list[Operation]:
        return self._calls

    def describe(self) -> list[str]:
        memory = self.memory
        return [
            f"executor: numpy, {len(self.source.splitlines())} lines of generated source",
            f"arena: {memory.arena_size} bytes (largest live set: {memory.live_size})",
        ]

    def _ready(self) -> Callable[..., list[Array]]:
        """The function that runs one step; a program without state need not be bound."""
        if self._step is None:
            self.states = self._moved([])
            self._step = self._compiled()
        return self._step

    # --- memory -----------------------------------------------------------------------------------

    def _moved(self, states: Sequence[Array]) -> list[Array]:
        """The states, each family one behind the other, on multiples of 64 bytes.

        What the step changes, it changes in memory that an executor has made: an array that somebody
        else has put into the state keeps its numbers. Large arrays that the program only reads, such as
        a data set, stay where they are.
        """
        given = dict(zip(self.program.states, states, strict=True))
        groups = [x for x in self.memory.state_groups() if not self._stays(x, given)]
        if all(_is_placed(given, group) for group in groups):
            return list(states)
        sizes = [sum(given[x].nbytes for x in group) for group in groups]
        whole = aligned_empty(sum(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes))
        memory = whole.view(StateMemory)
        start = 0
        moved: dict[Value, Array] = {}
        for group, size in zip(groups, sizes, strict=True):
            at = start
            for x in group:
                old = given[x]
                new = memory[at : at + old.nbytes].view(old.dtype).reshape(old.shape)
                new = new.view(np.ndarray)
                np.copyto(new, old)
                moved[x] = new
                at += old.nbytes
            start += -(-size // ALIGNMENT) * ALIGNMENT
        return [moved.get(x, given[x]) for x in self.program.states]

    def _stays(self, group: list[Value], given: dict[Value, Array]) -> bool:
        """Whether a state stays where it is, wherever that is."""
        first = group[0]
        x = given[first]
        if first.fixed and x.flags.c_contiguous and x.flags.aligned:
            return True
        if len(group) > 1 or not x.flags.c_contiguous:
            return False
        if is_own(x):  # another plan has put it there, perhaps in a family
            return True
        return x.nbytes > LARGE and first.index not in self.program.updates

    def _compiled(self) -> Callable[..., list[Array]]:
        """The function of the source, with all names bound."""
        arrays = _Arrays(self.memory, self.states)
        namespace = {name: arrays.found(bound) for name, bound in self._bound.items()}
        exec(self._code, namespace)  # noqa: S102 - source that this class has written
        step: Callable[..., list[Array]] = namespace["step"]
        return step


def _is_placed(given: dict[Value, Array], group: list[Value]) -> bool:
    """Whether the arrays of a family lie one behind the other, in aligned memory of an executor."""
    at = given[group[0]].ctypes.data
    if at % ALIGNMENT:
        return False
    for x in group:
        array = given[x]
        if array.ctypes.data != at or not array.flags.c_contiguous or not is_own(array):
            return False
        at += array.nbytes
    return True


class _Arrays:
    """The arrays that names are bound to."""

    def __init__(self, memory: Memory, states: Sequence[Array]) -> None:
        self._memory = memory
        self._arena = aligned_empty(memory.arena_size)
        self._found: dict[Value, Array] = dict(zip(memory.program.states, states, strict=True))

    def found(self, bound: Bound) -> Any:
        """What a name is bound to."""
        if bound.is_constant:
            return bound.what
        if isinstance(bound.what, Pieces):
            return self._pieces(bound.what)
        if isinstance(bound.what, Flat):
            array = self._flat(bound.what)
            if bound.like is not None:
                array = self._memory.shaped(bound.like, array)
        else:
            array = self.array(bound.what)
        return array if bound.change is None else bound.change(array)

    def array(self, x: Value) -> Array:
        """The array of a value."""
        if x not in self._found:
            self._found[x] = self._new(x)
        return self._found[x]

    def _new(self, x: Value) -> Array:
        if x.array is not None:
            return x.array
        home = self._memory.home(x)
        if home is not x:
            return self.array(home)
        operation = x.operation
        if x in self._memory.roots and operation is not None:
            args, options = replaced((operation.args, operation.options), self._array_or_self)
            return operation.function(*args, **options)
        return self._memory.in_arena(x, self._arena)

    def _array_or_self(self, x: Any) -> Any:
        return self.array(x) if isinstance(x, Value) else x

    def _flat(self, x: Flat) -> Array:
        if isinstance(x.of, Value):
            return flat(self.array(x.of))
        if isinstance(x.of, list):  # a family: as one array, from the first one's beginning
            first = flat(self.array(x.of[0]))
            return np.lib.stride_tricks.as_strided(first, (x.size,), (first.itemsize,))
        start = x.of.offset
        return self._arena[start : start + x.of.size].view(x.dtype)

    def _pieces(self, pieces: Pieces) -> list[tuple[Array, ...]]:
        arrays = [self._flat(x) for x in pieces.arrays]
        found = []
        for start in range(0, pieces.size, pieces.step):
            stop = min(start + pieces.step, pieces.size)
            found.append(
                tuple(x[start:stop] if len(x) == pieces.size else x[: stop - start] for x in arrays)
            )
        return found
