"""Reductions for the C library: sums, means, largest numbers and their places."""

import ctypes
from math import prod
from typing import Any

import numpy as np

from xpnet._typing import DType
from xpnet.compiler.c import structures
from xpnet.compiler.c.lower_chains import EXACT, TYPES
from xpnet.compiler.c.lowering import LOWERINGS, Instruction, Lowering, suffix
from xpnet.compiler.c.memory import View
from xpnet.compiler.record import Operation, Value

__all__: list[str] = []

NAMES = {
    "all": "all",
    "any": "any",
    "argmax": "argmax",
    "argmin": "argmin",
    "column_sums": "sum",
    "count_nonzero": "count",
    "linalg.vector_norm": "sum_of_squares",
    "max": "max",
    "mean": "sum",
    "min": "min",
    "prod": "prod",
    "sum": "sum",
}
"""What each operation is called in C."""
SUMS = ("sum", "sum_of_squares", "prod")


def _lower_reduction(lowering: Lowering, operation: Operation) -> bool:
    """Append a reduction as one instruction."""
    if not _is_known(operation):
        return False
    x = operation.args[0]
    y = operation.outputs[0]
    real = _real(operation, x, y)
    axis = operation.options.get("axis", (*operation.args, None)[1])
    if real is None or not (axis is None or isinstance(axis, (int, tuple))):
        return False
    made = _structure(operation, lowering.view(x), lowering.view(y), axis)
    end = suffix(real)
    if getattr(lowering.library.c, f"reduce_prepare{end}")(ctypes.byref(made)) != 0:
        return False
    operands: list[View | None] = [lowering.view(x), lowering.view(y)]
    lowering.emit(
        Instruction(f"reduce{end}", operands, detail=made, scratch=structures.REDUCE_SCRATCH)
    )
    return True


def _lower_norm(lowering: Lowering, operation: Operation) -> bool:
    """Append the Euclidean norm: sqrt(sum of squares)."""
    x = operation.args[0]
    y = operation.outputs[0]
    order = operation.options.get("ord", 2)
    if order != 2 or not _is_known(operation) or _real(operation, x, y) is None:
        return False
    norm = lowering.view(y)
    root = lowering.library.c.chain_operation(b"sqrt")
    kind = norm.dtype.name
    made = structures.chain(
        y.shape, [(kind, norm.strides)], 0, [(root, 0)], [(kind, norm.strides, 1)]
    )
    end = suffix(y.dtype)
    if getattr(lowering.library.c, f"chain_prepare{end}")(ctypes.byref(made)) != 0:
        return False
    if not _lower_reduction(lowering, operation):
        return False
    instruction = Instruction(f"chain{end}", [norm, norm], detail=made)
    instruction.scratch = made.scratch_bytes
    lowering.emit(instruction)
    return True


def _is_known(operation: Operation) -> bool:
    """Whether the arguments are those that C knows: an array that is not empty, and its axes."""
    x = operation.args[0]
    return (
        set(operation.options) <= {"axis", "dtype", "keepdims", "ord"}
        and len(operation.args) <= 2
        and isinstance(x, Value)
        and x.dtype is not None
        and 0 not in x.shape
    )


def _structure(operation: Operation, x: View, y: View, axis: Any) -> structures.Reduction:
    """A reduction as C's structure."""
    axes = _axes(operation.name, axis, len(x.shape))
    strides = y.strides
    if len(y.shape) == len(x.shape):
        strides = tuple(y.strides[n] for n in range(len(x.shape)) if n not in axes)
    count = 1.0
    if operation.name == "mean":
        count = prod(x.shape[n] for n in axes)
    name = NAMES[operation.name]
    return structures.reduction(
        name, x.shape, axes, (x.dtype.name, x.strides), (y.dtype.name, strides), count
    )


def _real(operation: Operation, x: Value, y: Value) -> DType | None:
    """The dtype in which C computes a reduction; None if it cannot."""
    given = np.dtype(x.dtype)
    result = np.dtype(y.dtype)
    real: Any = given
    if NAMES[operation.name] == "count":  # the sum of as many ones
        real = np.dtype(np.float64)
    elif given in EXACT and NAMES[operation.name] not in SUMS:
        real = np.dtype(np.float32)
    if suffix(real) is None or given not in TYPES or len(x.shape) > structures.DIMENSIONS:
        return None
    if NAMES[operation.name] in (*SUMS, "max", "min"):
        return real if result == given else None
    return real if result in TYPES else None


def _axes(name: str, axis: Any, dimensions: int) -> list[int]:
    """The axes that are reduced, in order."""
    if name == "column_sums":
        return list(range(dimensions - 1))
    if axis is None:
        return list(range(dimensions))
    given = (axis,) if isinstance(axis, int) else axis
    return sorted(n % dimensions for n in given)


for _name in NAMES:
    LOWERINGS[_name] = _lower_reduction
LOWERINGS["linalg.vector_norm"] = _lower_norm
