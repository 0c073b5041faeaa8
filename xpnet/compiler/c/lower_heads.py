"""The softmax cross entropy for the C library: the loss and its gradient at once."""

import ctypes
from math import prod
from typing import Any

import numpy as np

from xpnet.compiler.c import structures
from xpnet.compiler.c.lower_products import one_stride
from xpnet.compiler.c.lowering import INDICES, LOWERINGS, Instruction, Lowering, Number, suffix
from xpnet.compiler.c.memory import View
from xpnet.compiler.record import Operation, Value

__all__: list[str] = []


def _lower_cross_entropy(lowering: Lowering, operation: Operation) -> bool:
    """Append the loss, and the gradient if it is this loss times a number."""
    x, t = operation.args
    loss, *kept = operation.outputs
    users = {user for value in kept for user in lowering.readers.get(value, [])}
    if operation.options or len(users) > 1 or not _suits(x, t):
        return False
    if any(value in lowering.needed for value in kept):
        return False
    factor = Number(-1, 1.0)
    target = None
    for gradient in users:
        found = _factor(gradient, x)
        if found is None:
            return False
        factor = found
        target = lowering.view(gradient.outputs[0])
    lowering.done.update(users)
    is_read = loss in lowering.readers or loss in lowering.needed
    result = lowering.view(loss) if is_read else None
    _emit(lowering, x, t, result, target, factor)
    return True


def _emit(
    lowering: Lowering, x: Value, t: Value, loss: View | None, target: View | None, factor: Number
) -> None:
    """Append the instruction, and a copy of the gradient if its rows are not evenly spaced."""
    scores = lowering.view(x)
    if one_stride(scores.shape[:-1], scores.strides[:-1]) is None:
        scores = lowering.contiguous(scores)
    gradient = target
    if target is not None and one_stride(target.shape[:-1], target.strides[:-1]) is None:
        gradient = lowering.temporary(target.shape, target.dtype)
    end = suffix(x.dtype)
    layout = structures.CrossEntropy()
    layout.rows = prod(x.shape[:-1])
    scale = Number(factor.index, factor.constant / layout.rows)
    layout.classes = x.shape[-1]
    layout.row_stride = _row_stride(scores)
    layout.class_stride = scores.strides[-1]
    if gradient is not None:
        layout.gradient_row_stride = _row_stride(gradient)
        layout.gradient_class_stride = gradient.strides[-1]
    layout.index_type = structures.TYPES[np.dtype(t.dtype).name]
    count = getattr(lowering.library.c, f"cross_entropy_scratch{end}")
    operands = [scores, lowering.contiguous(lowering.view(t)), loss, gradient]
    wanted = int(count(ctypes.byref(layout)))
    lowering.emit(
        Instruction(f"cross_entropy{end}", operands, [], [scale], detail=layout, scratch=wanted)
    )
    if gradient is not None and target is not None and gradient is not target:
        lowering.copy(target, gradient)


def _row_stride(x: View) -> int:
    """The stride of a row, which is 0 if all rows are one."""
    stride = one_stride(x.shape[:-1], x.strides[:-1])
    return x.shape[-1] if stride is None else stride


def _suits(x: Any, t: Any) -> bool:
    """Whether C has the loss for these scores and class numbers."""
    return (
        isinstance(x, Value)
        and isinstance(t, Value)
        and x.dtype is not None
        and suffix(x.dtype) is not None
        and np.dtype(t.dtype) in INDICES
        and x.shape[:-1] == t.shape
        and 0 not in x.shape
    )


def _factor(gradient: Operation, x: Value) -> Number | None:
    """What the gradient is multiplied by, if it is a number that is known before the loss."""
    if gradient.name != "cross_entropy_gradient" or gradient.args[1] is not x:
        return None
    gy = gradient.args[0]
    if isinstance(gy, (int, float)):
        return Number(-1, float(gy))
    if not isinstance(gy, Value):
        return None
    if gy.dtype is None:
        return Number(gy.index, 1.0)
    if gy.source == "constant" and gy.array is not None and gy.array.size == 1:
        return Number(-1, float(gy.array.reshape(())))
    return None


LOWERINGS["cross_entropy"] = _lower_cross_entropy
