"""The structures that the C functions take, as ctypes, with a builder for chains.

They mirror chain.h, reduce.h, gather.h and head.h; the C tests call the functions through them.
"""

import ctypes
from collections.abc import Sequence

__all__ = [
    "FLOATS",
    "REDUCE_SCRATCH",
    "REDUCTIONS",
    "TYPES",
    "Chain",
    "ChainOperand",
    "ChainStep",
    "CrossEntropy",
    "Gather",
    "Reduction",
    "chain",
    "reduction",
]

TYPES = {"float32": 0, "float64": 1, "bool": 2, "uint8": 3, "int32": 4, "int64": 5}
FLOATS = {"f32": "float32", "f64": "float64"}  # by the end of a function's name
REDUCTIONS = [
    *("sum", "sum_of_squares", "prod", "max", "min", "any", "all", "count", "argmax", "argmin"),
]
REDUCE_SCRATCH = 8192  # bytes
DIMENSIONS = 8
CHAIN_OPERANDS = 48
CHAIN_NUMBERS = 64
CHAIN_STEPS = 128
CHAIN_VALUES = CHAIN_OPERANDS + CHAIN_NUMBERS + CHAIN_STEPS


class ChainStep(ctypes.Structure):
    """One operation: its code and the numbers of the values that it takes."""

    _fields_ = [(name, ctypes.c_int32) for name in ("operation", "first", "second", "third")]


class ChainOperand(ctypes.Structure):
    """An input or a result: its type, the value that is written, its strides in elements."""

    _fields_ = [
        ("type", ctypes.c_int32),
        ("value", ctypes.c_int32),
        ("strides", ctypes.c_int64 * DIMENSIONS),
        ("access", ctypes.c_int32),
        ("fixed", ctypes.c_int32),
    ]


class Chain(ctypes.Structure):
    """A chain of elementwise operations over one shape."""

    _fields_ = [
        *((n, ctypes.c_int32) for n in ("dimensions", "inputs", "numbers", "steps", "results")),
        ("reserved", ctypes.c_int32),
        ("shape", ctypes.c_int64 * DIMENSIONS),
        ("operands", ChainOperand * CHAIN_OPERANDS),
        ("step", ChainStep * CHAIN_STEPS),
        ("scratch_bytes", ctypes.c_int64),
        ("capacity", ctypes.c_int64),
        ("work", ctypes.c_int64),
        ("slices", ctypes.c_int64),
        ("slice_size", ctypes.c_int64),
        ("split", ctypes.c_int32),
        ("buffers", ctypes.c_int32),
        ("buffer", ctypes.c_int32 * CHAIN_VALUES),
        ("last_use", ctypes.c_int32 * CHAIN_VALUES),
        ("uniform", ctypes.c_int32 * CHAIN_VALUES),
    ]


def chain(
    shape: Sequence[int],
    inputs: Sequence[tuple[str, Sequence[int]]],
    numbers: int,
    steps: Sequence[tuple[int, ...]],
    results: Sequence[tuple[str, Sequence[int], int]],
) -> Chain:
    """A chain, to be completed by chain_prepare.

    Parameters
    ----------
    shape : sequence of int
        The common shape, of at most 8 axes.
    inputs : sequence of (type, strides)
        The name of a type, and strides in elements, one for each axis of the shape.
    numbers : int
        How many numbers are passed at each call.
    steps : sequence of (operation, value, ...)
        The code of an operation, and its values: inputs, then numbers, then results of steps.
    results : sequence of (type, strides, value)
    """
    made = Chain(len(shape), len(inputs), numbers, len(steps), len(results))
    made.shape[: len(shape)] = shape
    operands = [*((kind, strides, 0) for kind, strides in inputs), *results]
    for operand, (kind, strides, value) in zip(made.operands, operands, strict=False):
        operand.type = TYPES[kind]
        operand.value = value
        operand.strides[: len(strides)] = strides
    for step, given in zip(made.step, steps, strict=False):
        step.operation, step.first, step.second, step.third = (*given, 0, 0)[:4]
    return made


class Reduction(ctypes.Structure):
    """A reduction of a strided array over some of its axes."""

    _fields_ = [
        *((n, ctypes.c_int32) for n in ("operation", "input_type", "result_type", "by_columns")),
        *((n, ctypes.c_int32) for n in ("kept", "reduced")),
        ("divisor", ctypes.c_double),
        *(
            (n, ctypes.c_int64 * DIMENSIONS)
            for n in (
                "kept_shape",
                "kept_strides",
                "result_strides",
                "reduced_shape",
                "reduced_strides",
            )
        ),
    ]


def reduction(
    operation: str,
    shape: Sequence[int],
    axes: Sequence[int],
    array: tuple[str, Sequence[int]],
    result: tuple[str, Sequence[int]],
    divisor: float = 1.0,
) -> Reduction:
    """A reduction, to be completed by reduce_prepare.

    Parameters
    ----------
    operation : str
        One of REDUCTIONS.
    shape : sequence of int
        The shape of the array.
    axes : sequence of int
        The axes over which it is reduced, in increasing order.
    array : (type, strides)
        Strides are in elements.
    result : (type, strides)
        Strides for each axis that is kept.
    divisor : float
        The result is divided by it: the count of numbers for a mean.
    """
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    made = Reduction(REDUCTIONS.index(operation), TYPES[array[0]], TYPES[result[0]])
    made.kept = len(kept)
    made.reduced = len(axes)
    made.divisor = divisor
    made.kept_shape[: len(kept)] = [shape[axis] for axis in kept]
    made.kept_strides[: len(kept)] = [array[1][axis] for axis in kept]
    made.result_strides[: len(kept)] = result[1]
    made.reduced_shape[: len(axes)] = [shape[axis] for axis in axes]
    made.reduced_strides[: len(axes)] = [array[1][axis] for axis in axes]
    return made


class Gather(ctypes.Structure):
    """Rows of a table by their numbers: layout of the table and of the result."""

    _fields_ = [
        ("table_type", ctypes.c_int32),
        ("index_type", ctypes.c_int32),
        *((n, ctypes.c_int64) for n in ("count", "table_rows", "table_stride", "row_stride")),
        ("shape", ctypes.c_int64 * 3),
        ("strides", ctypes.c_int64 * 3),
        ("scale", ctypes.c_double),
        ("shift", ctypes.c_double),
    ]


class CrossEntropy(ctypes.Structure):
    """The softmax cross entropy with class numbers: shape and strides of scores and gradient."""

    _fields_ = [
        *((n, ctypes.c_int64) for n in ("rows", "classes", "row_stride", "class_stride")),
        *((n, ctypes.c_int64) for n in ("gradient_row_stride", "gradient_class_stride")),
        ("index_type", ctypes.c_int32),
        ("reserved", ctypes.c_int32),
    ]
