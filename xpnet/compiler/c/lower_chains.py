"""Chains of elementwise operations for the C library.

C computes a chain in float32 or in float64 throughout. Truth values are 1 and 0 there, and bytes are
exact. Integers are computed in float64 where it holds them exactly, as it does most indices; a chain with
others, or with both sizes of floating-point numbers, is left to NumPy.
"""

import ctypes
from math import prod
from typing import Any

import numpy as np

from xpnet._typing import DType
from xpnet.compiler.c import structures
from xpnet.compiler.c.integers import dtypes_of, holds_integers
from xpnet.compiler.c.lowering import LOWERINGS, Instruction, Lowering, Number, suffix
from xpnet.compiler.c.memory import View
from xpnet.compiler.passes.chain import Chain, Step
from xpnet.compiler.record import Operation, Value

__all__ = ["broadcast_strides"]

BOOL = np.dtype(bool)
BYTE = np.dtype(np.uint8)
SINGLE = np.dtype(np.float32)
DOUBLE = np.dtype(np.float64)
EXACT = (BOOL, BYTE)
"""Dtypes whose numbers both sizes of floating-point numbers can represent."""
TYPES = tuple(np.dtype(name) for name in structures.TYPES)
"""The dtypes that C reads and writes."""
OF_TRUTH = {  # steps on truth values that have another name in C
    "add": "logical_or",
    "bitwise_and": "logical_and",
    "bitwise_invert": "logical_not",
    "bitwise_or": "logical_or",
    "bitwise_xor": "logical_xor",
    "maximum": "logical_or",
    "minimum": "logical_and",
    "multiply": "logical_and",
}
TO_TRUTH = frozenset(
    [
        *("equal", "greater", "greater_equal", "isfinite", "isinf", "isnan", "less", "less_equal"),
        *("logical_and", "logical_not", "logical_or", "logical_xor", "not_equal", "where"),
        *("zero_unless", "signbit"),
    ]
)


class _Unknown(Exception):  # noqa: N818 - it ends the search, and is no error
    """C has no such step."""


class _Builder:
    """The steps of a chain in C's numbering: array inputs, numbers, results of steps."""

    def __init__(self, library: Any, chain: Chain, args: tuple[Value, ...]) -> None:
        self._library = library
        self._chain = chain
        self._dtypes = dtypes_of(chain)
        self.arrays = [x for x in args if x.dtype is not None]
        self.numbers = [Number(x.index, 1.0) for x in args if x.dtype is None]
        self.numbers += [Number(-1, float(x)) for x in chain.numbers]
        self._extra: dict[float, int] = {}
        self.steps: list[tuple[int, ...]] = []
        self._value: dict[int, Any] = {}
        arrays = 0
        numbers = 0
        for register, x in enumerate(args):
            if x.dtype is None:
                self._value[register] = ("number", numbers)
                numbers += 1
            else:
                self._value[register] = ("array", arrays)
                arrays += 1
        for n in range(len(chain.numbers)):
            self._value[len(args) + n] = ("number", numbers + n)

    def build(self) -> None:
        """Translate all steps.

        Raises
        ------
        _Unknown
            If C does not have one of them.
        """
        for n, step in enumerate(self._chain.steps):
            self._value[self._chain.first + n] = self._translated(step)

    def _translated(self, step: Step) -> Any:
        """The value of a step."""
        operands = [self._value[register] for register in step.registers]
        if step.name == "clip":
            raised = self._add("maximum", operands[0], operands[1])
            return self._add("minimum", raised, operands[2])
        if step.name == "astype" and np.dtype(step.dtype) == BOOL:
            return self._add("not_equal", operands[0], self._number(0.0))
        name, count = self._name_of(step)
        return self._add(name, *operands[:count])

    def _name_of(self, step: Step) -> tuple[str, int]:
        """What C calls a step, and how many of its operands it takes."""
        name = step.name
        if np.dtype(step.dtype) == BOOL and name not in TO_TRUTH:
            if name not in OF_TRUTH:
                raise _Unknown
            name = OF_TRUTH[name]
        elif name == "astype":
            is_real = self._dtypes[step.registers[0]].kind == "f"
            name = "trunc" if is_real and np.dtype(step.dtype).kind == "i" else "copy"
        elif name == "maximum" and self._is_number(step.registers[1], 0.0):
            return "relu", 1
        elif name == "pow" and self._is_number(step.registers[1], 2.0):
            return "square", 1
        return name, len(step.registers)

    def _is_number(self, register: int, number: float) -> bool:
        place = register - len(self._chain.inputs)
        if not 0 <= place < len(self._chain.numbers):
            return False
        return repr(float(self._chain.numbers[place])) == repr(number)

    def _number(self, x: float) -> Any:
        """A number that the chain does not have itself."""
        if x not in self._extra:
            self._extra[x] = len(self.numbers)
            self.numbers.append(Number(-1, x))
        return ("number", self._extra[x])

    def _add(self, name: str, *operands: Any) -> Any:
        code = self._library.c.chain_operation(name.encode())
        if code < 0 or self._library.c.chain_operation_inputs(code) != len(operands):
            raise _Unknown
        self.steps.append((code, *operands))
        return ("step", len(self.steps) - 1)

    def numbered(self, value: Any) -> int:
        """A value in C's numbering, once all of them are known."""
        kind, place = value
        before = {"array": 0, "number": len(self.arrays)}
        return int(place + before.get(kind, len(self.arrays) + len(self.numbers)))

    def result(self, register: int) -> int:
        """A register in C's numbering."""
        return self.numbered(self._value[register])


def broadcast_strides(x: View, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of an array that is broadcast to a shape."""
    missing = len(shape) - len(x.shape)
    spread = [0 if n == 1 else s for n, s in zip(x.shape, x.strides, strict=True)]
    return (*[0] * missing, *spread)


def _real(operation: Operation, chain: Chain) -> DType | None:
    """The dtype in which C computes a chain; None if it cannot.

    Numbers of another dtype are converted where C reads or writes them: that is all that the chain may
    do with them.
    """
    dtypes = dtypes_of(chain)
    computed: set[int] = set()
    for n, step in enumerate(chain.steps, chain.first):
        if step.name != "astype":
            computed.update((n, *step.registers))
        elif dtypes[n].kind != "i":
            computed.add(n)
        elif dtypes[step.registers[0]].kind != "f":
            computed.update((n, *step.registers))
    results = {dtypes[register] for register in computed if register >= chain.first} - {*EXACT}
    found = {dtypes[register] for register in computed} - {*EXACT}
    if not {*dtypes} <= {*TYPES} or BYTE in dtypes[chain.first :]:
        return None
    if DOUBLE in found:  # to which NumPy converts whatever it is combined with
        return DOUBLE if results <= {DOUBLE} else None
    if found <= {SINGLE}:
        return SINGLE
    return DOUBLE if SINGLE not in found and holds_integers(chain, operation.args) else None


def _lower_chain(lowering: Lowering, operation: Operation) -> bool:
    """Append a chain as one instruction."""
    chain: Chain = operation.options["chain"]
    if _lower_count(lowering, operation, chain):
        return True
    builder = _built(lowering, operation, chain)
    if builder is None:
        return False
    inputs = [lowering.view(x) for x in builder.arrays]
    _place_results(lowering, operation, inputs)
    results = [lowering.view(x) for x in operation.outputs]
    made = _structure(chain, builder, inputs, results)
    end = suffix(_real(operation, chain))
    if getattr(lowering.library.c, f"chain_prepare{end}")(ctypes.byref(made)) != 0:
        return False
    instruction = Instruction(f"chain{end}", [*inputs, *results], numbers=builder.numbers)
    instruction.detail = made
    instruction.scratch = lowering.for_each_thread(made.scratch_bytes)
    lowering.emit(instruction)
    return True


def _built(lowering: Lowering, operation: Operation, chain: Chain) -> _Builder | None:
    """The steps of a chain in C's words; None if C cannot compute it."""
    if _real(operation, chain) is None:
        return None
    builder = _Builder(lowering.library, chain, operation.args)
    try:
        builder.build()
    except _Unknown:
        return None
    operands = len(builder.arrays) + len(operation.outputs)
    return builder if _fits(chain, builder, operands) else None


def _place_results(lowering: Lowering, operation: Operation, inputs: list[View]) -> None:
    """Give results the order of memory that the inputs have, so that all are read in one go."""
    shape = operation.options["chain"].shape
    whole = [x for x in inputs if x.shape == shape]
    if any(x.is_contiguous for x in whole) or not any(x.is_batch_last for x in whole):
        return
    for x in operation.outputs:
        if not lowering.is_placed(x):
            lowering.place(x, lowering.temporary(x.shape, x.dtype, batch_last=True))


def _structure(
    chain: Chain, builder: _Builder, inputs: list[View], results: list[View]
) -> structures.Chain:
    """A chain as C's structure."""
    return structures.chain(
        chain.shape,
        [(x.dtype.name, broadcast_strides(x, chain.shape)) for x in inputs],
        len(builder.numbers),
        [(step[0], *map(builder.numbered, step[1:])) for step in builder.steps],
        [
            (x.dtype.name, broadcast_strides(x, chain.shape), builder.result(register))
            for x, register in zip(results, chain.results, strict=True)
        ],
    )


def _lower_count(lowering: Lowering, operation: Operation, chain: Chain) -> bool:
    """x + number for int64: a counter."""
    if len(chain.steps) != 1 or chain.inputs != (np.dtype(np.int64),) or len(chain.numbers) != 1:
        return False
    [step] = chain.steps
    [number] = chain.numbers
    signs = {"add (0, 1)": 1, "add (1, 0)": 1, "subtract (0, 1)": -1}
    sign = signs.get(f"{step.name} {step.registers}")
    if sign is None or type(number) is not int or not -(2**62) < number < 2**62:
        return False
    x = lowering.view(operation.args[0])
    y = lowering.view(operation.outputs[0])
    if x.shape != y.shape or not (x.is_contiguous and y.is_contiguous):
        return False
    count = prod(chain.shape)
    lowering.emit(Instruction("count", [y, x], [count, sign * number]))
    return True


def _fits(chain: Chain, builder: _Builder, operands: int) -> bool:
    """Whether the structure in C has room for a chain."""
    return (
        len(chain.shape) <= structures.DIMENSIONS
        and operands <= structures.CHAIN_OPERANDS
        and len(builder.numbers) <= structures.CHAIN_NUMBERS
        and len(builder.steps) <= structures.CHAIN_STEPS
        and 0 not in chain.shape
    )


LOWERINGS["chain"] = _lower_chain
