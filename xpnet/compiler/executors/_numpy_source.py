"""The source that the NumPy executor runs: lines of Python for each operation of a program.

    h = np.matmul(x, weight) becomes        np.matmul(x, weight, out=matmul_0)

Names of arrays are bound once. What changes from step to step is an argument of the generated function.
"""

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from keyword import iskeyword
from typing import Any

import numpy as np

from xpnet._typing import Array, DType
from xpnet.compiler.buffers import Block
from xpnet.compiler.executors._numpy_memory import Batch, Memory
from xpnet.compiler.passes.chain import Chain, Step
from xpnet.compiler.record import Operation, Value, leaves

__all__ = ["BLOCK", "Source"]

BLOCK = 1 << 14  # numbers of an array that are computed at once: they stay in a core's cache
LARGE = 1 << 19  # bytes of a chain's arrays from which they are computed in blocks

UFUNCS: dict[str, np.ufunc] = {
    "abs": np.absolute,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "atanh": np.arctanh,
    "bitwise_invert": np.invert,
    "bitwise_left_shift": np.left_shift,
    "bitwise_right_shift": np.right_shift,
}
UFUNCS |= {
    name: getattr(np, name)
    for name in [
        *("add", "bitwise_and", "bitwise_or", "bitwise_xor", "ceil", "copysign", "cos", "cosh"),
        *("divide", "equal", "exp", "expm1", "floor", "floor_divide", "greater"),
        *("greater_equal", "hypot", "isfinite", "isinf", "isnan", "less", "less_equal", "log"),
        *("log10", "log1p", "log2", "logaddexp", "logical_and", "logical_not", "logical_or"),
        *("logical_xor", "maximum", "minimum", "multiply", "negative", "nextafter"),
        *("not_equal", "reciprocal", "remainder", "sign", "signbit", "sin", "sinh", "sqrt"),
        *("square", "subtract", "tan", "tanh", "trunc"),
    ]
}
"""NumPy's function for each step of a chain that is one call."""

BITS = {np.dtype(f"f{size}"): f"np.int{8 * size}" for size in (2, 4, 8)}

NO_CODE = ("nan", "inf")  # numbers whose repr is no Python code

REDUCTIONS = {"sum": "np.add", "max": "np.maximum", "min": "np.minimum", "prod": "np.multiply"}


Lasting = Value | Block | list[Value]
"""What lies in memory: a value, scratch, or values that lie one behind the other."""


@dataclass(eq=False, slots=True)
class Flat:
    """An array as memory: the numbers in one axis.

    Attributes
    ----------
    of : Value, Block or list of Value
    dtype : dtype
    size : int
        How many numbers.
    """

    of: Lasting
    dtype: DType
    size: int


@dataclass(eq=False, slots=True)
class Pieces:
    """Arrays in pieces of equal length, as a list of tuples; of scratch, each piece is the same memory."""

    arrays: list[Flat]
    size: int
    step: int


@dataclass(eq=False, slots=True)
class Bound:
    """What a name of the source stands for: an array that is found when the state is bound.

    Attributes
    ----------
    what : Value, Flat, Pieces, or any constant
    is_constant : bool
    change : function of an array, optional
        Makes the view that is bound in place of the array.
    """

    what: Any
    is_constant: bool = False
    change: Callable[[Array], Array] | None = None
    like: Value | None = None  # of scratch: its shape, if that is not one axis


class Source:
    """Writes the source of a program.

    Attributes
    ----------
    lines : list of str
    bound : dict from str to Bound
        The names that the source uses, other than those of arguments and of what it computes.
    calls : list of Operation
        Those that only their functions compute.
    """

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.program = memory.program
        self.bound: dict[str, Bound] = {"np": Bound(np, is_constant=True)}
        self.lines: list[str] = []
        self.calls: list[Operation] = []
        self.names: dict[Any, str] = {}
        self._taken: set[str] = {"np", "slice"}
        self.place = 0
        self.readers: dict[Value, list[Operation]] = {}
        for operation in self.program.operations:
            for x in operation.inputs():
                self.readers.setdefault(x, []).append(operation)
        self.needed = {*self.program.outputs, *self.program.updates.values()}
        self.parameters = [self._input(x) for x in self.program.arguments]
        self.parameters += [self._input(x) for x in self.program.hosts]
        batch_of = {member: batch for batch in memory.batches for member in batch.members}
        for n, operation in enumerate(self.program.operations):
            self.place = n
            batch = batch_of.get(operation)
            if batch is None:
                self._write(operation)
            elif operation is batch.members[-1]:
                self._write_chain(operation, batch)
        self._finish()

    # --- names ------------------------------------------------------------------------------------

    def new_name(self, wish: str) -> str:
        wish = re.sub("[^0-9A-Za-z]+", "_", wish).strip("_") or "x"
        if wish[0].isdigit() or iskeyword(wish):
            wish = f"_{wish}"
        name = wish
        n = 1
        while name in self._taken:
            n += 1
            name = f"{wish}_{n}"
        self._taken.add(name)
        return name

    def _input(self, x: Value) -> str:
        wish = x.name or ("x" if x.source == "argument" else "number")
        self.names[x] = self.new_name(wish)
        return self.names[x]

    def name(self, x: Value) -> str:
        """The name of a value; it is bound if the source does not compute it."""
        if x in self.names:
            return self.names[x]
        if x.source == "state":
            wish = "_".join(x.name.removesuffix(".data").split(".")[-2:]) or f"state_{x.index}"
            wish = wish if not wish[:1].isdigit() else f"state_{x.index}"
        else:
            wish = x.name or (x.operation.name if x.operation else "constant")
        self.names[x] = self.new_name(wish)
        if not self.at_run_time(x):
            self.bound[self.names[x]] = Bound(x)
        return self.names[x]

    def at_run_time(self, x: Value) -> bool:
        """Whether the array of a value, or the one that it is a view of, is another one at each run."""
        root = self.memory.roots.get(x, x)
        return root.source in ("argument", "host") or root in self.memory.local

    def constant(self, x: Any, wish: str) -> str:
        """A name for an object."""
        is_literal = type(x) in (bool, int, float, type(None), str)  # and no scalar of NumPy
        if is_literal and repr(x).strip("-") not in NO_CODE:
            return repr(x)
        return self.bind(Bound(x, is_constant=True), wish)

    def bind(self, bound: Bound, wish: str) -> str:
        name = self.new_name(wish)
        self.bound[name] = bound
        return name

    def scratch(self, dtype: DType, size: int, like: Value | None = None) -> str:
        """A name for memory that this operation needs: of one axis, or of the shape of a value."""
        block = self.memory.scratch(self.place, size * np.dtype(dtype).itemsize)
        return self.bind(Bound(Flat(block, dtype, size), like=like), "scratch")

    def view_of(self, name: str, change: Callable[[Array], Array]) -> str:
        """A name for a view of the array of another bound name."""
        return self.bind(replace(self.bound[name], change=change), name)

    def operand(self, x: Any) -> str:
        """The name of a value, or a number as it is."""
        if isinstance(x, Value):
            return self.name(x)
        return self.constant(x, "number")

    def are_below(self, x: Value, bound: int) -> str:
        """The expression that whole numbers are all from 0 to bound - 1."""
        name = self.name(x)
        if np.dtype(x.dtype) != np.intp:
            return f"np.minimum.reduce({name}) >= 0 and np.maximum.reduce({name}) < {bound}"
        unsigned = f"{name}.view(np.uintp)"  # in which negative numbers are large
        if name in self.bound:
            unsigned = self.view_of(name, lambda array: array.view(np.uintp))
        return f"np.maximum.reduce({unsigned}) < {bound}"

    # --- operations -------------------------------------------------------------------------------

    def _write(self, operation: Operation) -> None:
        first = operation.outputs[0]
        if first in self.memory.roots:
            if self.at_run_time(first):
                self.lines.append(f"{self.name(first)} = {self._view(operation)}")
            return
        if operation.name == "chain":
            self._write_chain(operation, None)
            return
        self.lines.append(self._comment(operation))
        write = WRITERS.get(operation.name)
        if write is not None and write(self, operation):
            return
        self._write_call(operation)

    def _view(self, operation: Operation) -> str:
        """A view of an array that is another one at each run: by a method, where there is one."""
        base = operation.args[0]
        if operation.name == "matrix_transpose":
            return f"{self.name(base)}.swapaxes(-1, -2)"
        return self.call(operation)

    def _comment(self, operation: Operation) -> str:
        shapes = [str(x.shape) for x in operation.inputs() if x.shape]
        results = [str(x.shape) for x in operation.outputs]
        return f"# {operation.name} {', '.join(shapes)} -> {', '.join(results)}"

    def call(self, operation: Operation) -> str:
        """The call of the recorded function."""

        def expression(x: Any) -> str:
            if isinstance(x, Value):
                return self.name(x)
            if type(x) is tuple:
                return f"({''.join(expression(y) + ', ' for y in x)})"
            if isinstance(x, (list, dict, slice)) and any(isinstance(y, Value) for y in leaves(x)):
                return _container(x, expression)
            return self.constant(x, "option")

        function = self.constant(operation.function, f"{operation.name}_function")
        parts = [expression(x) for x in operation.args]
        parts += [f"{key}={expression(x)}" for key, x in operation.options.items()]
        return f"{function}({', '.join(parts)})"

    def _write_call(self, operation: Operation) -> None:
        """An operation that only its function computes."""
        self.calls.append(operation)
        call = self.call(operation)
        if operation.result is operation.outputs[0]:
            x = operation.outputs[0]
            if x in self.memory.local:
                self.lines.append(f"{self.name(x)} = {call}")
            else:
                self.lines.append(f"np.copyto({self.name(x)}, {call})")
            return
        result = self.new_name("result")
        self.lines.append(f"{result} = {call}")
        for x, path in _paths(operation.result, result):
            if x in self.memory.local:
                self.lines.append(f"{self.name(x)} = {path}")
            else:
                self.lines.append(f"np.copyto({self.name(x)}, {path})")

    def _finish(self) -> None:
        """Outputs, and new values that are not in the state yet."""
        outputs = [self.new_name("output") for _ in self.program.outputs]
        pairs = zip(outputs, self.program.outputs, strict=True)
        lines = [f"{output} = np.array({self.name(x)})" for output, x in pairs]
        late = {
            i: x for i, x in self.program.updates.items() if self.memory.updates.get(i) is not x
        }
        new = {i: self.new_name("new") for i in late}
        lines += [f"{new[i]} = np.array({self.name(x)})" for i, x in late.items()]
        lines += [f"np.copyto({self.name(self.program.states[i])}, {new[i]})" for i in late]
        lines.append(f"return [{', '.join(outputs)}]")
        self.lines += lines

    # --- chains -----------------------------------------------------------------------------------

    def _write_chain(self, operation: Operation, batch: Batch | None) -> None:
        """One chain, or all of a batch at once."""
        chain: Chain = operation.options["chain"]
        self.lines.append(f"# {chain} {chain.shape}")
        if batch is not None:
            self.lines[-1] += f" and {len(batch.members) - 1} others"
        ChainWriter(self, operation, chain, batch).write()


def _container(x: Any, expression: Callable[[Any], str]) -> str:
    """A list, dict or slice with values in it, as an expression."""
    if isinstance(x, slice):
        return f"slice({expression(x.start)}, {expression(x.stop)}, {expression(x.step)})"
    if isinstance(x, dict):
        return "{" + ", ".join(f"{key!r}: {expression(y)}" for key, y in x.items()) + "}"
    return "[" + ", ".join(expression(y) for y in x) + "]"


def _paths(tree: Any, path: str) -> list[tuple[Value, str]]:
    """Each Value of a result, and the expression for it."""
    if isinstance(tree, Value):
        return [(tree, path)]
    if isinstance(tree, dict):
        return [pair for key, x in tree.items() for pair in _paths(x, f"{path}[{key!r}]")]
    if isinstance(tree, (tuple, list)):
        return [pair for n, x in enumerate(tree) for pair in _paths(x, f"{path}[{n}]")]
    return []


class ChainWriter:
    """Writes the calls of one chain, and decides where its registers lie.

    A register lies in the memory of a result that is not computed yet, or in scratch. It may take over
    the memory of an operand that no later step reads, as each number depends only on those at the same
    place.
    """

    def __init__(
        self, source: Source, operation: Operation, chain: Chain, batch: Batch | None
    ) -> None:
        self.source = source
        self.operation = operation
        self.chain = chain
        self.batch = batch
        self.inputs = list(operation.args)
        self.last: dict[int, int] = {}  # the last step that reads a register
        for n, step in enumerate(chain.steps):
            for register in step.registers:
                self.last[register] = n
        self.size = self._size()
        self.flat = batch is not None or self._may_be_flat()
        self.step = self.size
        if self.flat and len(chain.steps) > 1 and self._bytes() > LARGE:
            self.step = BLOCK
        self.arrays: list[Flat] = []  # those that are taken as memory
        self.array_names: list[str] = []
        self.lines: list[str] = []
        self.names: dict[int, str] = {}  # of the inputs and results
        self.free: list[tuple[str, DType]] = []  # scratch that nobody needs any more
        self.own: set[str] = set()  # all scratch

    def _is_whole(self, x: Value) -> bool:
        return x.dtype is not None and x.shape == self.chain.shape

    def _size(self) -> int:
        """The numbers in each array."""
        members = [self.operation] if self.batch is None else self.batch.members
        return sum(math.prod(member.outputs[0].shape) for member in members)

    def _bytes(self) -> int:
        arrays = [x for x in (*self.inputs, *self.operation.outputs) if self._is_whole(x)]
        return sum(self.size * np.dtype(x.dtype).itemsize for x in arrays)

    def _may_be_flat(self) -> bool:
        """Whether all arrays are whole pieces of memory in the same order, or single numbers."""
        if not self.chain.shape:
            return False
        orders = {self._order(y) for y in self.operation.outputs}
        for x in self.inputs:
            if x.dtype is None or x.shape == ():
                continue
            if not self._is_whole(x) or self.source.at_run_time(x):
                return False
            orders.add(self._order(x))
        return len(orders) == 1 and None not in orders

    def _order(self, x: Value) -> tuple[int, ...] | None:
        """The order of the axes in memory; None if the array is not one piece of memory."""
        shadow = self.source.memory.shadow(x)
        axes = sorted(range(shadow.ndim), key=lambda i: -shadow.strides[i])
        if not shadow.transpose(axes).flags.c_contiguous:
            return None
        return tuple(i for i in axes if shadow.shape[i] > 1)

    # --- names of arrays --------------------------------------------------------------------------

    def _array(self, j: int, x: Value) -> str:
        """The name of an operand or result."""
        as_values = self.batch is None and self.step == self.size
        if as_values or not self._is_whole(x):
            return self.source.name(x)
        if self.batch is None:
            return self._as_memory(
                self.source.memory.home(x), x.dtype, f"{self.source.name(x)}_part"
            )
        rows = [(*member.args, *member.outputs) for member in self.batch.members]
        column = [self.source.memory.home(y) for y in self.batch.column(rows, j)]
        return self._as_memory(column, x.dtype, _plural(column[0]))

    def _as_memory(self, of: Lasting, dtype: DType, wish: str) -> str:
        """The name of an array as memory: in a loop, of a piece of it."""
        for name, other in zip(self.array_names, self.arrays, strict=True):
            if other.of is of or (isinstance(of, list) and other.of == of):
                return name
        name = self.source.new_name(wish)
        self.arrays.append(Flat(of, dtype, self.size))
        self.array_names.append(name)
        return name

    def _scratch(self, dtype: DType) -> str:
        """Memory for a register."""
        for n, (name, other) in enumerate(self.free):
            if other == dtype:
                del self.free[n]
                return name
        if self.flat and (self.batch is not None or self.step < self.size):
            size = min(self.size, self.step) * np.dtype(dtype).itemsize
            block = self.source.memory.scratch(self.source.place, size)
            name = self._as_memory(block, dtype, "scratch")
        else:
            name = self.source.scratch(dtype, self.size, like=self.operation.outputs[0])
        self.own.add(name)
        return name

    # --- steps ------------------------------------------------------------------------------------

    def write(self) -> None:
        """Append the lines to the source."""
        chain = self.chain
        for j, x in enumerate(self.inputs):
            self.names[j] = self._array(j, x)
        for j, x in enumerate(self.operation.outputs):
            self.names[chain.results[j]] = self._array(len(self.inputs) + j, x)
        waiting = {
            chain.results[j]: self.names[chain.results[j]] for j in range(len(chain.results))
        }
        where: dict[int, str] = dict(self.names)
        for r in chain.results:
            where.pop(r)
        late = []
        for n, step in enumerate(chain.steps):
            register = chain.first + n
            out = waiting.pop(register, None)
            if out is not None and self._is_read_later(out, n, where):
                late.append((out, register))  # an operand is still in that memory
                self.last[register] = len(chain.steps)
                out = self._scratch(step.dtype)
            elif out is None:
                out = self._in_result(register, n, waiting, where) or self._scratch(step.dtype)
            operands = [self._operand(i, step, where) for i in step.registers]
            self._write_step(step, out, operands)
            where[register] = out
            self._release(n, where, {register for _, register in late})
        self.lines += [f"np.copyto({out}, {where[register]})" for out, register in late]
        self._append()

    def _in_result(
        self, register: int, n: int, waiting: dict[int, str], where: dict[int, str]
    ) -> str | None:
        """The memory of a result that is computed when the register is no longer needed."""
        dtype = self._dtype(register)
        for result, name in waiting.items():
            fits = self._dtype(result) == dtype
            in_time = self.last.get(register, n) <= result - self.chain.first
            if fits and in_time and not self._is_read_later(name, n, where):
                return name
        return None

    def _is_read_later(self, name: str, n: int, where: dict[int, str]) -> bool:
        """Whether a step after step n reads a register that lies in the memory of that name.

        A result has the memory of an input where the executor decided so.
        """
        memory = self._memory_of(name)
        for register, other in where.items():
            if self.last.get(register, -1) > n and self._memory_of(other) is memory:
                return True
        return False

    def _memory_of(self, name: str) -> Any:
        """An object that names of the same memory have in common."""
        for j, x in enumerate((*self.inputs, *self.operation.outputs)):
            register = j if j < len(self.inputs) else self.chain.results[j - len(self.inputs)]
            if self.names.get(register) == name:
                home = self.source.memory.home(x)
                root = self.source.memory.roots.get(home, home)
                return self.source.memory.block.get(root, root)
        return name

    def _release(self, n: int, where: dict[int, str], kept: set[int]) -> None:
        """Give scratch back that no step after step n reads."""
        for register in list(where):
            name = where[register]
            if name not in self.own or register in kept:
                continue
            if self.last.get(register, -1) <= n:
                del where[register]
                dtype = self.chain.steps[register - self.chain.first].dtype
                self.free.append((name, dtype))

    def _operand(self, register: int, step: Step, where: dict[int, str]) -> str:
        if register in where:
            return where[register]
        number = self.chain.numbers[register - len(self.inputs)]
        dtypes = {self._dtype(r) for r in step.registers} - {None}
        if len(dtypes) == 1 and not isinstance(number, bool):
            dtype = np.dtype(dtypes.pop())
            if dtype.kind == "f":  # as NumPy converts a Python number, but once
                return self._number(number, dtype)
        return self.source.constant(number, "number")

    def _number(self, number: float, dtype: DType) -> str:
        key = (repr(number), dtype)
        names = self.source.names
        if key not in names:
            wish = f"number_{number!r}".replace("-", "minus_").replace(".", "_")
            names[key] = self.source.constant(np.array(number, dtype), wish)
        return names[key]

    def _dtype(self, register: int) -> DType | None:
        if register < len(self.inputs):
            return self.chain.inputs[register]
        if register < self.chain.first:
            return None
        return self.chain.steps[register - self.chain.first].dtype

    def _write_step(self, step: Step, out: str, operands: Sequence[str]) -> None:
        dtypes = [self._dtype(r) for r in step.registers]
        if step.name == "astype":
            self.lines.append(f'np.copyto({out}, {operands[0]}, casting="unsafe")')
        elif step.name == "relu_gradient" and dtypes[0] in BITS:
            mask = self._scratch(np.dtype(bool))
            zero = self._number(0.0, np.dtype(dtypes[0]))
            self.lines.append(f"np.greater({operands[1]}, {zero}, out={mask})")
            self._write_mask(out, operands[0], mask, dtypes[0])
            self.free.append((mask, np.dtype(bool)))
        elif step.name == "zero_unless" and dtypes[0] in BITS:
            self._write_mask(out, operands[0], operands[1], dtypes[0])
        elif step.name == "pow" and self._is_square(step):
            self.lines.append(f"np.square({operands[0]}, out={out})")
        elif step.name in UFUNCS:
            self.lines.append(f"np.{UFUNCS[step.name].__name__}({', '.join(operands)}, out={out})")
        else:
            function = self.source.constant(step.function, f"{step.name}_function")
            self.lines.append(f"np.copyto({out}, {function}({', '.join(operands)}))")

    def _is_square(self, step: Step) -> bool:
        """Whether it is `x ** 2`, which NumPy computes as a square."""
        exponent = step.registers[1] - len(self.inputs)
        if step.function is not operator.pow or not 0 <= exponent < len(self.chain.numbers):
            return False
        return self.chain.numbers[exponent] == 2 and np.dtype(step.dtype).kind == "f"

    def _write_mask(self, out: str, x: str, mask: str, dtype: DType) -> None:
        """x where the mask is True, and +0 elsewhere: its bits times 0 or 1."""
        bits = np.dtype(BITS[np.dtype(dtype)].removeprefix("np."))
        factor = mask
        if self._is_scratch(mask):  # as integers: NumPy would convert booleans in small pieces
            factor = self._scratch(bits)
            self.lines.append(f"np.copyto({factor}, {mask})")
            self.free.append((factor, bits))
        integers = [self._bits(name, bits) for name in (x, out)]
        self.lines.append(f"np.multiply({integers[0]}, {factor}, out={integers[1]})")

    def _is_scratch(self, name: str) -> bool:
        return name in self.own

    def _bits(self, name: str, bits: DType) -> str:
        """An array's bits as integers: bound once, where the array is."""
        source = self.source
        if name not in source.bound or name in self.array_names:
            return f"{name}.view(np.{bits.name})"
        key = ("bits", name)
        if key not in source.names:
            source.names[key] = source.view_of(name, lambda x: x.view(bits))
        return source.names[key]

    def _append(self) -> None:
        """Append the lines, in a loop if the arrays are computed piece by piece."""
        lines = self.source.lines
        if self.step == self.size:
            for name, array in zip(self.array_names, self.arrays, strict=True):
                self.source.bound[name] = Bound(array)
            lines += self.lines
            return
        pieces = Pieces(self.arrays, self.size, self.step)
        names = ", ".join(self.array_names)
        lines.append(f"for {names} in {self.source.bind(Bound(pieces), 'pieces')}:")
        lines += [f"    {line}" for line in self.lines]


def _plural(x: Value) -> str:
    """A name for the arrays of a batch."""
    if x.source == "state":
        last = x.name.removesuffix(".data").rsplit(".", 1)[-1]
        return f"all_{last}" if last.isidentifier() else "all_states"
    return f"all_{x.operation.name}" if x.operation else "all"


# --- operations that write into a given array -------------------------------------------------------


def _matmul(source: Source, operation: Operation) -> bool:
    a, b = operation.args
    y = operation.outputs[0]
    if operation.options or {a.dtype, b.dtype} != {y.dtype}:
        return False
    function = "np.matmul"
    if _is_plain_product(source, a, b, y):
        function = "np.dot"
    source.lines.append(f"{function}({source.name(a)}, {source.name(b)}, out={source.name(y)})")
    return True


def _is_plain_product(source: Source, a: Value, b: Value, y: Value) -> bool:
    """Whether `np.dot` makes the same call of BLAS as `np.matmul`, which takes longer to reach it."""
    if np.dtype(y.dtype) not in (np.float32, np.float64):
        return False
    for x in (a, b):
        flags = source.memory.shadow(x).flags
        if len(x.shape) != 2 or min(x.shape) < 2 or source.at_run_time(x):
            return False
        if not (flags.c_contiguous or flags.f_contiguous):
            return False
    return a is not b and source.memory.shadow(y).flags.c_contiguous


def _outer_product(source: Source, operation: Operation) -> bool:
    a, b = map(source.name, operation.args)
    y = operation.outputs[0]
    function = (
        "np.dot"
        if len(operation.args[0].shape) == len(operation.args[1].shape) == 2
        else "np.multiply"
    )
    source.lines.append(f"{function}({a}, {b}, out={source.name(y)})")
    return True


def _column_sums(source: Source, operation: Operation) -> bool:
    (x,) = operation.args
    axes: Any = tuple(range(len(x.shape) - 1))
    if len(axes) == 1:
        axes = 0
    y = source.name(operation.outputs[0])
    source.lines.append(f"np.add.reduce({source.name(x)}, axis={axes}, out={y})")
    return True


def _reduction(source: Source, operation: Operation) -> bool:
    x = operation.args[0]
    y = operation.outputs[0]
    options = dict(operation.options)
    axis = options.pop("axis", None)
    keepdims = options.pop("keepdims", False)
    if len(operation.args) > 1 or options or x.dtype != y.dtype or x.dtype.kind != "f":
        return False
    source.lines.append(
        f"{REDUCTIONS[operation.name]}.reduce({source.name(x)}, axis={axis!r}, "
        f"keepdims={bool(keepdims)}, out={source.name(y)})"
    )
    return True


def _mean(source: Source, operation: Operation) -> bool:
    x = operation.args[0]
    y = operation.outputs[0]
    options = dict(operation.options)
    axis = options.pop("axis", None)
    keepdims = options.pop("keepdims", False)
    if len(operation.args) > 1 or options or x.dtype != y.dtype or x.dtype.kind != "f":
        return False
    source.lines.append(
        f"np.mean({source.name(x)}, axis={axis!r}, keepdims={bool(keepdims)}, out={source.name(y)})"
    )
    return True


def _joined(function: str) -> Callable[[Source, Operation], bool]:
    def write(source: Source, operation: Operation) -> bool:
        arrays = operation.args[0]
        y = operation.outputs[0]
        options = dict(operation.options)
        axis = options.pop("axis", 0)
        plain = isinstance(arrays, (list, tuple)) and isinstance(axis, int)
        if not plain or options or len(operation.args) > 1:
            return False
        if {x.dtype for x in arrays} != {y.dtype}:
            return False
        names = ", ".join(source.name(x) for x in arrays)
        source.lines.append(f"{function}(({names},), axis={axis}, out={source.name(y)})")
        return True

    return write


def _reshape(source: Source, operation: Operation) -> bool:
    """A reshaping that no view can do: a copy, in the order of the axes."""
    x = operation.args[0]
    y = operation.outputs[0]
    if not source.memory.shadow(y).flags.c_contiguous:
        return False
    target = source.view_of(source.name(y), lambda array: array.reshape(x.shape))
    source.lines.append(f"np.copyto({target}, {source.name(x)})")
    return True


def _set_item(source: Source, operation: Operation) -> bool:
    x, key, value = operation.args
    y = operation.outputs[0]
    if any(isinstance(part, Value) for part in leaves(key)):
        return False
    name = source.name(y)
    written = source.operand(value)
    source.lines.append(f"np.copyto({name}, {source.name(x)})")
    source.lines.append(f"{name}[{source.constant(key, 'key')}] = {written}")
    return True


def _take(source: Source, operation: Operation) -> bool:
    """Rows of an array: without NumPy's checks, which copy, after a check of all indices at once."""
    x, i = operation.args[:2]
    axis = operation.options.get("axis", 0)
    indices_fit = isinstance(i, Value) and i.dtype == np.dtype(np.intp) and len(i.shape) == 1
    if len(operation.args) > 2 or set(operation.options) - {"axis"} or not indices_fit:
        return False
    if axis != 0 or not i.shape[0]:
        return False
    rows = source.name(i)
    y = source.name(operation.outputs[0])
    call = source.call(operation)
    key = ("valid", i, x.shape[0])
    if key not in source.names:  # for the first table of that length
        source.names[key] = source.new_name("valid")
        source.lines.append(f"{source.names[key]} = {source.are_below(i, x.shape[0])}")
    source.lines += [
        f"if {source.names[key]}:",
        f'    np.take({source.name(x)}, {rows}, axis=0, out={y}, mode="clip")',
        "else:  # a negative index, or one that is too large: as without this check",
        f"    np.copyto({y}, {call})",
    ]
    return True


def _getitem(source: Source, operation: Operation) -> bool:
    """x[i] for an array of whole numbers: rows."""
    return isinstance(operation.args[1], Value) and _take(source, operation)


def index_of_valid(t: Array, index: Array, classes: int) -> Array:
    """The entries of an index that belong to class numbers from 0 to classes - 1."""
    return index[(t >= 0) & (t < classes)]


def _cross_entropy(source: Source, operation: Operation) -> bool:
    """What `xpnet.kernels.elementary.cross_entropy` computes, for a head: see `heads`."""
    if operation not in source.memory.heads:
        return False
    x, t = operation.args
    loss, e, total, rows, _ = operation.outputs
    n, classes = x.shape
    maxima = source.scratch(x.dtype, n)
    column = source.view_of(maxima, lambda array: array[:, None])
    offsets = source.constant(np.arange(n, dtype=np.intp) * classes, "offsets")
    memory = source.constant(np.empty(n, np.intp), "index_memory")  # also for the gradient
    scores = source.name(x)
    z = source.name(e)
    index = source.name(rows)
    valid = source.new_name("valid")
    chosen = source.constant(index_of_valid, "index_of_valid")
    _write_row_maxima(source, x, maxima, offsets)
    source.lines += [
        f"np.subtract({scores}, {column}, out={z})",
        f"{index} = np.add({source.name(t)}, {offsets}, out={memory})",
        f"{valid} = {source.are_below(t, classes)}",
        f"if not {valid}:",
        f"    {index} = {chosen}({source.name(t)}, {index}, {classes})",
    ]
    wanted = loss in source.readers or loss in source.needed
    picked = source.new_name("picked")
    if wanted:
        flat = source.view_of(z, lambda array: array.reshape(-1))
        source.lines.append(f"{picked} = {flat}.take({index})")
    source.lines += [
        f"np.exp({z}, out={z})",
        f"np.add.reduce({z}, axis=1, out={source.name(total)})",
    ]
    if wanted:
        infinite = source.constant(np.dtype(x.dtype).type(np.inf), "infinite")
        result = source.name(loss)
        source.lines += [
            f"{result} = {infinite}",
            f"if {valid}:",
            f"    {result} = np.add.reduce(np.log({source.name(total)}) - {picked}) / {n}",
        ]
    return True


def _write_row_maxima(source: Source, x: Value, out: str, offsets: str) -> None:
    """The largest score of each row: by its place, which NumPy finds three times as fast."""
    scores = source.name(x)
    if source.at_run_time(x) or not source.memory.shadow(x).flags.c_contiguous:
        source.lines.append(f"np.maximum.reduce({scores}, axis=1, out={out})")
        return
    places = source.scratch(np.dtype(np.intp), x.shape[0])
    flat = source.view_of(scores, lambda array: array.reshape(-1))
    source.lines += [
        f"{scores}.argmax(axis=1, out={places})",
        f"np.add({places}, {offsets}, out={places})",
        f'{flat}.take({places}, out={out}, mode="clip")',
    ]


def _cross_entropy_gradient(source: Source, operation: Operation) -> bool:
    """What `xpnet.kernels.elementary.cross_entropy_gradient` computes, for a head."""
    gy, x, _, kept = operation.args
    if operation not in source.memory.heads:
        return False
    e, total, rows, _ = kept
    y = source.name(operation.outputs[0])
    n = x.shape[0]
    column = source.view_of(source.name(total), lambda array: array[:, None])
    flat = source.view_of(y, lambda array: array.reshape(-1))
    scale = f"{source.operand(gy)} / {n}"
    source.lines += [
        f"np.divide({source.name(e)}, {column}, out={y})",
        f"{flat}[{source.name(rows)}] -= 1.0",
        f"np.multiply({y}, {scale}, out={y})",
    ]
    return True


WRITERS: dict[str, Callable[[Source, Operation], bool]] = {
    "matmul": _matmul,
    "outer_product": _outer_product,
    "column_sums": _column_sums,
    **dict.fromkeys(REDUCTIONS, _reduction),
    "mean": _mean,
    "concat": _joined("np.concatenate"),
    "stack": _joined("np.stack"),
    "reshape": _reshape,
    "set_item": _set_item,
    "take": _take,
    "getitem": _getitem,
    "cross_entropy": _cross_entropy,
    "cross_entropy_gradient": _cross_entropy_gradient,
}
