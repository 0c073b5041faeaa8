"""Instructions as the C structures of plan.h."""

import ctypes
from collections.abc import Callable, Sequence
from math import prod
from statistics import median
from typing import Any

import numpy as np

from xpnet.compiler.buffers import ALIGNMENT, aligned_empty
from xpnet.compiler.c.choices import is_first_chosen
from xpnet.compiler.c.load import Library
from xpnet.compiler.c.lowering import Instruction
from xpnet.compiler.c.memory import Memory, View

__all__ = ["Encoded", "Failure", "chosen"]


class Operand(ctypes.Structure):
    """Where an array begins: a slot, and an offset in bytes."""

    _fields_ = [("slot", ctypes.c_int64), ("offset", ctypes.c_int64)]


class NumberStructure(ctypes.Structure):
    """One of the step's numbers, times a constant."""

    _fields_ = [("index", ctypes.c_int64), ("constant", ctypes.c_double)]


class InstructionStructure(ctypes.Structure):
    """One call of an operation."""

    _fields_ = [
        ("code", ctypes.c_int64),
        ("operands", ctypes.POINTER(Operand)),
        ("sizes", ctypes.POINTER(ctypes.c_int64)),
        ("numbers", ctypes.POINTER(NumberStructure)),
        ("detail", ctypes.c_void_p),
    ]


class Failure(ctypes.Structure):
    """Why a run stopped."""

    _fields_ = [
        (name, ctypes.c_int64) for name in ("step", "instruction", "code", "value", "position")
    ]


class PlanStructure(ctypes.Structure):
    """A list of instructions."""

    _fields_ = [
        ("count", ctypes.c_int64),
        ("instructions", ctypes.POINTER(InstructionStructure)),
        ("slot_count", ctypes.c_int64),
        ("number_count", ctypes.c_int64),
        ("scratch", ctypes.c_void_p),
        ("scratch_bytes", ctypes.c_int64),
        ("threads", ctypes.c_int64),
    ]


class Encoded:
    """A list of instructions, ready to run.

    Parameters
    ----------
    library : Library
    instructions : sequence of Instruction
    locate : function from View to (int, int)
        The slot of a view, and its offset in bytes.
    slot_count, number_count : int
    scratch : numpy.ndarray of bytes
    threads : int
        How many threads compute an operation, at most.

    Attributes
    ----------
    address : int
        Of the plan.
    """

    def __init__(
        self,
        library: Library,
        instructions: Sequence[Instruction],
        locate: Callable[[View], tuple[int, int]],
        slot_count: int,
        number_count: int,
        scratch: Any,
        threads: int,
    ) -> None:
        self._kept: list[Any] = [scratch]
        self.instructions = list(instructions)
        array = (InstructionStructure * max(len(instructions), 1))()
        for target, given in zip(array, instructions, strict=False):
            self._fill(target, given, library.codes[given.name], locate)
        self._plan = PlanStructure(
            len(instructions),
            array,
            slot_count,
            number_count,
            scratch.ctypes.data,
            scratch.nbytes,
            threads,
        )
        self._kept.append(array)
        self.address = ctypes.addressof(self._plan)

    def _fill(
        self,
        target: Any,
        given: Instruction,
        code: int,
        locate: Callable[[View], tuple[int, int]],
    ) -> None:
        operands = (Operand * max(len(given.operands), 1))()
        for operand, view in zip(operands, given.operands, strict=False):
            operand.slot = -1
            if view is not None:
                operand.slot, operand.offset = locate(view)
        sizes = (ctypes.c_int64 * max(len(given.sizes), 1))(*given.sizes)
        numbers = (NumberStructure * max(len(given.numbers), 1))()
        for number, value in zip(numbers, given.numbers, strict=False):
            number.index = value.index
            number.constant = value.constant
        target.code = code
        target.operands = operands
        target.sizes = sizes
        target.numbers = numbers
        if given.detail is not None:
            target.detail = ctypes.addressof(given.detail)
        self._kept.append((operands, sizes, numbers, given.detail))


# ---- which of two ways is taken -----------------------------------------------------------------

REPEATS = 31
NANOSECONDS = 100_000  # a measurement takes about as long, or one run
MOST = 10_000_000  # no more measurements after so long, but at least three
# So many times as long as the alternative may an instruction take. What is nearer would be decided, for
# good, by what else the machine does at that moment; and the library's own products fetch the next batch
# meanwhile. A large product must be faster, as its matrices are not in the cache when its turn comes:
# BLAS, which copies both in the order in which it reads them, then loses less than is measured here.
GAIN = 1.1
GAIN_IF_LARGE = 0.95
LARGE = 100_000_000  # multiplications


def chosen(library: Library, instruction: Instruction, threads: int) -> list[Instruction]:
    """An instruction, or its alternative if that one is clearly faster here."""
    if not instruction.alternative:
        return [instruction]

    def measured() -> bool:
        ratio = _ratio(library, [instruction], instruction.alternative, threads)
        return ratio <= (GAIN_IF_LARGE if prod(instruction.sizes[:3]) >= LARGE else GAIN)

    if is_first_chosen(f"{_key(library, instruction)} {threads} threads", measured):
        return [instruction]
    return instruction.alternative


def _key(library: Library, instruction: Instruction) -> str:
    """What the time that an instruction takes depends on."""
    given = "".join("-" if x is None else "x" for x in instruction.operands)
    sizes = ",".join(map(str, instruction.sizes))
    return f"{library.sources} {library.path.name} {instruction.name} {given} {sizes}"


def _ratio(
    library: Library, first: list[Instruction], second: list[Instruction], threads: int
) -> float:
    """The time of one way divided by that of another, on memory of their own.

    It is the median of ratios: what disturbs the processor lasts longer than two measurements.
    """
    everything = [*first, *second]
    memories = dict.fromkeys(
        x.memory for each in everything for x in each.operands if x is not None
    )
    contents: dict[Memory, Any] = {}
    dtype = np.float32 if first[0].name.endswith("_f32") else np.float64
    for memory in memories:
        contents[memory] = aligned_empty(memory.size + ALIGNMENT)
        numbers = contents[memory][: memory.size // dtype().itemsize * dtype().itemsize]
        numbers.view(dtype)[...] = 0.5
    bench = _Bench(library, everything, contents, threads)
    split = len(first)
    ratios: list[float] = []
    while len(ratios) < REPEATS and (len(ratios) < 3 or bench.spent < MOST):
        taken = bench.time(range(split))
        ratios.append(taken / max(bench.time(range(split, len(everything))), 1.0))
    return median(ratios)


class _Bench:
    """Runs single instructions to find out how long they take."""

    def __init__(
        self,
        library: Library,
        instructions: list[Instruction],
        contents: dict[Memory, Any],
        threads: int,
    ) -> None:
        self._library = library
        slots = {memory: n for n, memory in enumerate(contents)}
        scratch = aligned_empty(max(x.scratch for x in instructions) + ALIGNMENT)
        scratch[...] = 0  # the system gives memory when it is written to: that is not measured
        count = max((n.index for x in instructions for n in x.numbers), default=-1) + 1
        self._encoded = Encoded(
            library,
            instructions,
            lambda view: (slots[view.memory], view.offset),
            len(contents),
            count,
            scratch,
            threads,
        )
        self._slots = (ctypes.c_int64 * max(len(contents), 1))(
            *(x.ctypes.data for x in contents.values())
        )
        self._advances = (ctypes.c_int64 * max(len(contents), 1))()
        self._numbers = (ctypes.c_double * max(count, 1))(*[1e-4] * count)
        self._failure = Failure()
        self._contents = contents
        self.spent = 0.0  # nanoseconds in all

    def time(self, which: range) -> float:
        """The nanoseconds that some instructions take together."""
        return sum(self._time_of(i) for i in which)

    def _time_of(self, i: int) -> float:
        once = self._call(i, 1)
        if once > NANOSECONDS:
            return once
        times = int(min(NANOSECONDS / max(once, 100.0), 1000.0)) + 1
        return self._call(i, times) / times

    def _call(self, i: int, times: int) -> float:
        taken: float = self._library.c.xpnet_time(
            self._encoded.address,
            self._slots,
            self._advances,
            self._numbers,
            i,
            times,
            ctypes.byref(self._failure),
        )
        self.spent += taken
        return taken
