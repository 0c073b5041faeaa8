"""The source of a chain for NumPy: one call for each step, and where its registers lie."""

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from xpnet._typing import DType
from xpnet.compiler.executors._numpy_memory import Batch
from xpnet.compiler.executors._numpy_source import Bound, Flat, Lasting, Pieces, Source
from xpnet.compiler.passes.chain import Chain, Step
from xpnet.compiler.record import Operation, Value

__all__ = ["BLOCK", "ChainWriter"]

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
            self.step = min(BLOCK, self.size)
        self.arrays: list[Flat] = []  # those that are taken as memory
        self.array_names: list[str] = []
        self.lines: list[str] = []
        self.names: dict[int, str] = {}  # of the inputs and results
        self.places: dict[str, Any] = {}  # for each of these names, see `_memory_of`
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
        if self.batch is not None or self.step < self.size:
            size = self.step * np.dtype(dtype).itemsize
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
        registers = (*range(len(self.inputs)), *chain.results)
        for j, x in enumerate((*self.inputs, *self.operation.outputs)):
            name = self._array(j, x)
            self.names[registers[j]] = name
            self.places.setdefault(name, self._memory_of(x))
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
        memory = self.places.get(name, name)
        for register, other in where.items():
            if self.last.get(register, -1) > n and self.places.get(other, other) is memory:
                return True
        return False

    def _memory_of(self, x: Value) -> Any:
        """An object that values in the same memory have in common."""
        home = self.source.memory.home(x)
        root = self.source.memory.roots.get(home, home)
        return self.source.memory.block.get(root, root)

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
        """Whether it is `x ** 2`, which NumPy computes as a square: in the dtype of x."""
        exponent = step.registers[1] - len(self.inputs)
        if step.function is not operator.pow or not 0 <= exponent < len(self.chain.numbers):
            return False
        dtype = self._dtype(step.registers[0])
        return self.chain.numbers[exponent] == 2 and dtype == step.dtype and dtype.kind == "f"

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
