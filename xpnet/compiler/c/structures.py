"""The structures that the C functions take, as ctypes, with a builder for chains.

They mirror chain.h, reduce.h, gather.h and head.h; the C tests call the functions through them.
"""

import ctypes
from collections.abc import Sequence

__all__ = ["FLOATS", "TYPES", "Chain", "ChainOperand", "ChainStep", "chain"]

TYPES = {"float32": 0, "float64": 1, "bool": 2, "uint8": 3, "int32": 4, "int64": 5}
FLOATS = {"f32": "float32", "f64": "float64"}  # by the end of a function's name
DIMENSIONS = 8
CHAIN_OPERANDS = 48
CHAIN_NUMBERS = 32
CHAIN_STEPS = 64
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
