"""From a Program to the steps of a plan: instructions for the C library, and calls of NumPy between.

`lower` goes through the operations once. One that only shows its input in another way (a transpose, a
slice) becomes a view, and costs nothing. One that C has becomes an instruction, in `LOWERINGS`; any other
is a `Call` of its function. Then each piece of the arena is given its place.

A new value of a state is computed where the old one lies, if nobody needs that any more; else the plan
ends with a copy.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from xpnet._typing import DType
from xpnet.compiler.buffers import ALIGNMENT, aligned_empty, assign, bytes_of
from xpnet.compiler.c.blas import Blas
from xpnet.compiler.c.load import Library
from xpnet.compiler.c.memory import (
    Memory,
    View,
    batch_last_strides,
    contiguous_strides,
    merged_axes,
)
from xpnet.compiler.passes.rewriting import readers
from xpnet.compiler.record import Operation, Program, Value, leaves, replaced

__all__ = [
    "INDICES",
    "LOWERINGS",
    "Call",
    "Instruction",
    "Lowered",
    "Lowering",
    "Number",
    "lower",
    "suffix",
    "views_of",
]

NATIVE = np.dtype("f4").str[0]  # the byte order of this machine, as dtypes write it
INDICES = (np.dtype(np.int32), np.dtype(np.int64))
"""The dtypes of indices that C reads; one with another byte order is equal to none of them."""

VIEWS = frozenset(
    [
        *("T", "broadcast_to", "diagonal", "expand_dims", "flip", "getitem", "matrix_transpose"),
        *("moveaxis", "permute_dims", "reshape", "squeeze", "swapaxes", "transpose"),
    ]
)
"""Functions and methods whose results may be views of their first argument."""


SHARING = VIEWS | {"checked", "unstack"}
"""Operations whose results may share the memory of their first argument."""

OF_IMAGES = {
    "convolution": 1,
    "maxima": 1,
    "place": 3,
    "pooling": 1,
    "shares": 1,
    "spread": 1,
    "sums": 1,
    "unpooling": 2,
    "weighing": 2,
}
"""Operations on images with the batch innermost: how many of their arguments are images."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number of the host, by its place among them, times a constant; index -1: the constant."""

    index: int
    constant: float


@dataclass(eq=False, slots=True)
class Instruction:
    """One call of a C operation.

    Attributes
    ----------
    name : str
        With the size of its numbers: "product_f32".
    operands : list of View or None
    sizes : list of int
    numbers : list of Number
    detail : ctypes structure or None
    scratch : int
        The bytes of scratch memory that it needs.
    where : str
        "file:line" of the user's code.
    alternative : list of Instruction
        Others that do the same, of which the faster ones are taken.
    """

    name: str
    operands: list[View | None]
    sizes: list[int] = field(default_factory=list)
    numbers: list[Number] = field(default_factory=list)
    detail: Any = None
    scratch: int = 0
    where: str = ""
    alternative: "list[Instruction]" = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Call:
    """A call of an operation's function on NumPy arrays; its results are copied to `targets`."""

    operation: Operation
    args: tuple[Any, ...]
    options: dict[str, Any]
    targets: list[View]


@dataclass(eq=False, slots=True)
class Lowered:
    """What a Program was made into.

    Attributes
    ----------
    steps : list of Instruction and Call
    arena_bytes, scratch_bytes : int
    constants, outputs : list of Memory
    output_views : list of View
        The outputs of the program, each contiguous in its own memory.
    """

    steps: list[Instruction | Call]
    arena_bytes: int
    scratch_bytes: int
    constants: list[Memory]
    output_views: list[View]


Lowerer = Callable[["Lowering", Operation], bool]
LOWERINGS: dict[str, Lowerer] = {}
"""For each operation that C has, by its name, what appends its instructions.

It returns False if C does not have the operation for these shapes or dtypes, and has then changed
nothing.
"""


def lower(program: Program, library: Library, blas: Blas | None, threads: int = 1) -> Lowered:
    """Make a Program of NumPy arrays into steps.

    Parameters
    ----------
    program : Program
        Cleaned.
    library : Library
    blas : Blas or None
        The products of NumPy's BLAS, if they can be called.
    threads : int
        How many threads compute an operation, at most.
    """
    lowering = Lowering(program, library, blas, threads)
    lowering.begin()
    for operation in program.operations:
        lowering.add(operation)
    lowering.end()
    return lowering.lowered()


class Lowering:
    """The steps of a plan while they are being made.

    Parameters
    ----------
    program : Program
    library : Library
    blas : Blas or None
    threads : int
    """

    def __init__(
        self, program: Program, library: Library, blas: Blas | None, threads: int = 1
    ) -> None:
        self.threads = threads
        self.program = program
        self.library = library
        self.blas = blas
        self.steps: list[Instruction | Call] = []
        self._views: dict[Value, View] = {}
        self._constants: list[Memory] = []
        self._outputs: list[View] = []
        self._contents: dict[Memory, Any] = {}  # bytes like the memory's, to find strides with
        self._roots: dict[Value, Value] = {}
        self._batch_last: set[Value] = set()
        self._turned: dict[Value, View] = {}
        self.readers = readers(program)
        self.needed = {*program.outputs, *program.updates.values()}
        self.done: set[Operation] = set()  # those whose results an earlier one has computed
        for kind, values in (("argument", program.arguments), ("state", program.states)):
            self._add_inputs(kind, values)
        self._add_inputs("host", [x for x in program.hosts if x.dtype is not None])

    def _add_inputs(self, kind: Any, values: Sequence[Value]) -> None:
        for x in values:
            memory = Memory(kind, bytes_of(x), x.index)
            self._views[x] = _contiguous(memory, x)

    # ---- what the lowerings use ------------------------------------------------------------------

    def view(self, x: Value) -> View:
        """Where a value lies; a result that is asked for the first time gets memory of its own."""
        if x not in self._views:
            if x.source == "constant":
                self._views[x] = self._constant(x)
            else:
                self._views[x] = self.temporary(x.shape, x.dtype, x in self._batch_last)
        return self._views[x]

    def temporary(self, shape: Sequence[int], dtype: Any, batch_last: bool = False) -> View:
        """New memory in the arena: row-major, or with the first axis innermost."""
        dtype = np.dtype(dtype)
        size = dtype.itemsize * prod(shape)
        memory = Memory("arena", size)
        strides = batch_last_strides(shape) if batch_last else contiguous_strides(shape)
        return View(memory, 0, tuple(shape), strides, dtype)

    def place(self, x: Value, view: View) -> None:
        """Let a value lie there."""
        self._views[x] = view

    def is_placed(self, x: Value) -> bool:
        """Whether a value has a place already: that of the state whose new value it is, or an output's."""
        return x in self._views

    def for_each_thread(self, scratch: int) -> int:
        """The bytes of scratch memory if each thread needs so many, aligned."""
        return self.threads * (-(-scratch // ALIGNMENT) * ALIGNMENT)

    def emit(self, instruction: Instruction) -> None:
        """Append an instruction."""
        self.steps.append(instruction)

    def start_from(self, y: Value, x: Value) -> View:
        """Where y lies, with the numbers of x in it: those of x itself if nothing else reads them."""
        alone = y.operation is not None and y.operation.inputs().count(x) == 1
        if y not in self._views and alone and self._dies(x):
            self._views[y] = self._views[x]
        target = self.view(y)
        old = self.view(x)
        if not old.same_place(target):
            self.copy(target, old)
        return target

    def _dies(self, x: Value) -> bool:
        """Whether the memory of x is its own, and the operation at hand is the only one to read it."""
        return (
            x.source == "operation"
            and not _may_be_view(x.operation)
            and x not in self.needed
            and x not in self._turned
            and len(self.readers[x]) == 1
            and self.view(x).memory.kind == "arena"
        )

    def copy(self, to: View, source: View) -> None:
        """Append to[...] = source[...]."""
        axes = merged_axes(to.shape, to.strides, source.strides) or [(1, 1, 1)]
        loops = [x for column in zip(*axes, strict=True) for x in column]
        self.emit(Instruction("copy", [to, source], [to.dtype.itemsize, len(axes), *loops]))

    def contiguous(self, x: View) -> View:
        """The array itself if it is row-major, else a copy that is."""
        if x.is_contiguous:
            return x
        made = self.temporary(x.shape, x.dtype)
        self.copy(made, x)
        return made

    def batch_last(self, x: Value) -> View:
        """A value with its first axis innermost: itself if it is so, else a copy, made once."""
        given = self.view(x)
        if given.is_batch_last:
            return given
        if x not in self._turned:
            self._turned[x] = self.temporary(x.shape, x.dtype, batch_last=True)
            self._turn(self._turned[x], given)
        return self._turned[x]

    def _turn(self, to: View, source: View) -> None:
        """Append a copy of an array to one with its first axis innermost."""
        end = suffix(source.dtype)
        if end is None or not source.is_contiguous:
            self.copy(to, source)
            return
        rows = source.shape[0]
        columns = prod(source.shape[1:])
        self.emit(Instruction(f"transpose{end}", [to, source], [rows, columns, columns, rows]))

    # ---- the program -----------------------------------------------------------------------------

    def begin(self) -> None:
        """Place the results that are outputs or new states, and save old states that are outputs."""
        self._find_batch_last()
        self._place_states()
        for i, x in enumerate(self.program.outputs):
            memory = Memory("output", bytes_of(x), i)
            self._outputs.append(_contiguous(memory, x))
            if x.source == "operation":
                if x not in self._views and not _may_be_view(x.operation):
                    self._views[x] = self._outputs[i]
            else:
                self.copy(self._outputs[i], self.view(x))

    def _find_batch_last(self) -> None:
        """Find the values that are best computed with their first axis innermost.

        These are what convolution and pooling read, and what is only shown or computed number by
        number before they do.
        """
        for operation in reversed(self.program.operations):
            last = self._batch_last
            if operation.name in OF_IMAGES:
                images = operation.args[: OF_IMAGES[operation.name]]
                last.update(x for x in images if isinstance(x, Value))
            elif last.isdisjoint(operation.outputs):
                continue
            elif operation.name == "chain":
                shape = operation.options["chain"].shape
                last.update(x for x in operation.args if x.shape == shape and x.dtype is not None)
            elif operation.name == "reshape":
                x = operation.args[0]
                if x.shape[:1] == operation.outputs[0].shape[:1] and len(x.shape) > 1:
                    last.add(x)

    def _place_states(self) -> None:
        """Let new values of states lie where the old ones do, where that changes no result."""
        order = {operation: n for n, operation in enumerate(self.program.operations)}
        last = self._last_readers(order)
        for i, x in self.program.updates.items():
            state = self.program.states[i]
            alike = x.shape == state.shape and x.dtype == state.dtype
            if x.operation is None or x in self._views or not alike or _may_be_view(x.operation):
                continue
            if _may_be_early(x.operation):
                continue
            read = last.get(state, -1)
            now = order[x.operation]
            if read < now or (read == now and self._replaces(state, x)):
                self._views[x] = self._views[state]

    def _last_readers(self, order: dict[Operation, int]) -> dict[Value, int]:
        """For each value that is read, itself or through views, the place of the last operation that does.

        Those that the end of the plan reads come after all operations.
        """
        last: dict[Value, int] = {}
        for operation, n in order.items():
            for x in operation.inputs():
                last[self._root(x)] = n
            first = operation.args[0] if operation.args else None
            if _may_be_view(operation) and isinstance(first, Value):
                for x in operation.outputs:
                    self._roots[x] = self._root(first)
        for x in self.program.outputs:
            if self._root(x) is not x:  # an old state itself is copied at the beginning
                last[self._root(x)] = len(order)
        for i, x in self.program.updates.items():
            if self._root(x) is not self.program.states[i]:
                last[self._root(x)] = len(order)
        return last

    def _root(self, x: Value) -> Value:
        """What x is a view of: itself, in most cases."""
        return self._roots.get(x, x)

    def _replaces(self, state: Value, x: Value) -> bool:
        """Whether x's operation may write its result over the state that it reads."""
        operation = x.operation
        if operation is None or operation.name not in ("product_update", "chain"):
            return False
        reads = [n for n, arg in enumerate(operation.args) if self._reads(arg, state)]
        if any(operation.args[n] is not state for n in reads):
            return False
        if operation.name == "product_update":
            return reads == [0]
        return _written_last(operation.options["chain"], reads, x.index)

    def _reads(self, arg: Any, state: Value) -> bool:
        return isinstance(arg, Value) and self._root(arg) is state

    def add(self, operation: Operation) -> None:
        """Append what computes an operation."""
        outputs = operation.outputs
        if operation in self.done or (outputs and all(0 in x.shape for x in outputs)):
            return
        if _function(operation) in VIEWS and self._add_view(operation):
            return
        lowering = LOWERINGS.get(operation.name)
        before = len(self.steps)
        if lowering is not None and lowering(self, operation):
            for step in self.steps[before:]:
                if isinstance(step, Instruction):
                    step.where = operation.where
            return
        targets = [self.view(x) for x in operation.outputs]
        args = replaced(operation.args, self._argument)
        options = replaced(operation.options, self._argument)
        self.steps.append(Call(operation, args, options, targets))

    def _argument(self, x: Any) -> Any:
        """What stands for a Value among the arguments of a Call: a View, or a Number of the host."""
        if not isinstance(x, Value):
            return x
        return Number(x.index, 1.0) if x.dtype is None else self.view(x)

    def _add_view(self, operation: Operation) -> bool:
        """Place the result of an operation that shows its input in another way, if it does."""
        x = operation.args[0]
        others = [v for v in operation.inputs() if v is not x]
        if not isinstance(x, Value) or x.dtype is None or others or len(operation.outputs) != 1:
            return False
        given = self.view(x)
        if given.memory not in self._contents:
            self._contents[given.memory] = aligned_empty(given.memory.size)
        contents = self._contents[given.memory]
        shown = operation.function(
            given.in_memory(contents), *operation.args[1:], **operation.options
        )
        offset = shown.__array_interface__["data"][0] - contents.__array_interface__["data"][0]
        if not 0 <= offset <= given.memory.size or not np.may_share_memory(shown, contents):
            return False
        strides = tuple(s // given.dtype.itemsize for s in shown.strides)
        self._views[operation.outputs[0]] = View(
            given.memory, int(offset), shown.shape, strides, given.dtype
        )
        return True

    def _constant(self, x: Value) -> View:
        """Where a constant lies; along an axis with stride 0, such as a broadcast one, only once."""
        given = np.asarray(x.array)
        part = given[(*(slice(1) if s == 0 else slice(None) for s in given.strides), ...)]
        array = np.ascontiguousarray(part).reshape(part.shape)
        memory = Memory("constant", array.nbytes, len(self._constants), array)
        self._constants.append(memory)
        strides = contiguous_strides(array.shape)
        shown = (0 if s == 0 else new for s, new in zip(given.strides, strides, strict=True))
        return View(memory, 0, x.shape, tuple(shown), np.dtype(x.dtype))

    def end(self) -> None:
        """Copy results that are not where they belong: outputs, then new states."""
        for i, x in enumerate(self.program.outputs):
            view = self.view(x)
            if x.source == "operation" and not view.same_place(self._outputs[i]):
                self.copy(self._outputs[i], view)
        late = [
            (self._views[self.program.states[i]], self.view(x))
            for i, x in self.program.updates.items()
            if not self.view(x).same_place(self._views[self.program.states[i]])
        ]
        changed = {self._views[self.program.states[i]].memory for i in self.program.updates}
        sources = []
        for _, source in late:
            if source.memory in changed:  # the copies would overwrite it
                saved = self.temporary(source.shape, source.dtype)
                self.copy(saved, source)
                source = saved
            sources.append(source)
        for (target, _), source in zip(late, sources, strict=True):
            self.copy(target, source)

    def lowered(self) -> Lowered:
        """The steps, with the arena assigned."""
        pieces: dict[Memory, None] = {}
        for n, step in enumerate(self.steps):
            for view in views_of(step):
                if view.memory.kind == "arena":
                    view.memory.used(n)
                    pieces[view.memory] = None
        instructions = [x for x in self.steps if isinstance(x, Instruction)]
        scratch = max((s.scratch for x in instructions for s in (x, *x.alternative)), default=0)
        return Lowered(self.steps, assign(pieces), scratch, self._constants, self._outputs)


def suffix(dtype: DType) -> str | None:
    """The end of the names of the C operations for a dtype; None if there are none."""
    return {"f4": "_f32", "f8": "_f64"}.get(np.dtype(dtype).str.removeprefix(NATIVE))


def views_of(step: Instruction | Call) -> list[View]:
    """The views that a step reads and writes."""
    if isinstance(step, Instruction):
        return [x for x in step.operands if x is not None]
    found = [x for x in leaves((step.args, step.options)) if isinstance(x, View)]
    return found + step.targets


def _contiguous(memory: Memory, x: Value) -> View:
    return View(memory, 0, x.shape, contiguous_strides(x.shape), np.dtype(x.dtype))


def _may_be_view(operation: Operation | None) -> bool:
    """Whether results may be views of another value, and so cannot be placed at will."""
    return operation is not None and _function(operation) in SHARING


def _function(operation: Operation) -> str:
    """The name without what stands before it: "x.T" and "np.squeeze" are a method and a function of NumPy's."""
    return operation.name.rpartition(".")[2]


def _may_be_early(operation: Operation) -> bool:
    """Whether a lowering may compute an operation together with one that comes before it."""
    sources = [x.operation for x in operation.inputs() if x.operation is not None]
    return operation.name == "cross_entropy_gradient" or any(
        source.name in ("take", "getitem") for source in sources
    )


def _written_last(chain: Any, inputs: list[int], result: int) -> bool:
    """Whether a chain needs an input no more when it writes a result.

    C may put off a product until the sum that it is added to, so the reader of a product counts too.
    """
    register = chain.results[result]
    reading = set(inputs)
    for n, step in enumerate(chain.steps):
        if reading.isdisjoint(step.registers):
            continue
        if chain.first + n > register:
            return False
        if step.name == "multiply":
            reading.add(chain.first + n)
    return True
