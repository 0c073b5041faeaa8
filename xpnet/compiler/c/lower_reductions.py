"""Reductions for the C library: sums, means, largest numbers and their places."""

import ctypes
from typing import Any

import numpy as np

from xpnet._typing import DType
from xpnet.compiler.c import structures
from xpnet.compiler.c.lower_chains import EXACT
from xpnet.compiler.c.lowering import LOWERINGS, Instruction, Lowering, suffix
from xpnet.compiler.record import Operation, Value

__all__: list[str] = []

NAMES = {
    "all": "all",
    "any": "any",
    "argmax": "argmax",
    "argmin": "argmin",
    "column_sums": "sum",
    "max": "max",
    "mean": "sum",
    "min": "min",
    "prod": "prod",
    "sum": "sum",
}
"""What each operation is called in C."""
SCRATCH = 8192  # REDUCE_SCRATCH of reduce.h
TYPES = ("float32", "float64", "bool", "uint8", "int32", "int64")


def _lower_reduction(lowering: Lowering, operation: Operation) -> bool:
    """A reduction as one instruction."""
    if not set(operation.options) <= {"axis", "keepdims", "dtype"} or len(operation.args) not in (
        1,
        2,
    ):
        return False
    x = operation.args[0]
    y = operation.outputs[0]
    if not isinstance(x, Value) or x.dtype is None or 0 in x.shape:
        return False
    axis = operation.options.get("axis", operation.args[1] if len(operation.args) == 2 else None)
    real = _real(operation, x, y)
    if real is None or not (axis is None or isinstance(axis, (int, tuple))):
        return False
    axes = _axes(operation.name, axis, len(x.shape))
    given = lowering.view(x)
    result = lowering.view(y)
    kept = [n for n in range(len(x.shape)) if n not in axes]
    strides = result.strides
    if len(y.shape) == len(x.shape):
        strides = tuple(result.strides[n] for n in kept)
    count = float(np.prod([x.shape[n] for n in axes], dtype=np.int64))
    made = structures.reduction(
        NAMES[operation.name],
        x.shape,
        axes,
        (given.dtype.name, given.strides),
        (result.dtype.name, strides),
        count if operation.name == "mean" else 1.0,
    )
    end = suffix(real)
    if getattr(lowering.library.c, f"reduce_prepare{end}")(ctypes.byref(made)) != 0:
        return False
    lowering.emit(Instruction(f"reduce{end}", [given, result], detail=made, scratch=SCRATCH))
    return True


def _real(operation: Operation, x: Value, y: Value) -> DType | None:
    """The dtype in which C computes a reduction; None if it cannot."""
    given = np.dtype(x.dtype)
    result = np.dtype(y.dtype)
    exact = given in EXACT and NAMES[operation.name] not in ("sum", "prod")
    real = np.dtype(np.float32) if exact else given
    if suffix(real) is None or len(x.shape) > structures.DIMENSIONS:
        return None
    if NAMES[operation.name] in ("sum", "prod", "max", "min"):
        return real if result == given else None
    return real if result.name in TYPES else None


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
