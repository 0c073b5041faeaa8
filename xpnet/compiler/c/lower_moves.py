"""What only moves numbers, for the C library: arrays joined, taken apart, and written into others."""

from typing import Any

import numpy as np

from xpnet.compiler.c.lowering import LOWERINGS, Lowering
from xpnet.compiler.c.memory import View
from xpnet.compiler.record import Operation, Value, leaves

__all__: list[str] = []


def _part(y: View, axis: int, start: int, length: int) -> View:
    """A slice along an axis."""
    shape = (*y.shape[:axis], length, *y.shape[axis + 1 :])
    offset = y.offset + start * y.strides[axis] * y.dtype.itemsize
    return View(y.memory, offset, shape, y.strides, y.dtype)


def _without_axis(y: View, axis: int, place: int) -> View:
    """One index of an axis."""
    shape = (*y.shape[:axis], *y.shape[axis + 1 :])
    strides = (*y.strides[:axis], *y.strides[axis + 1 :])
    offset = y.offset + place * y.strides[axis] * y.dtype.itemsize
    return View(y.memory, offset, shape, strides, y.dtype)


def _axis(operation: Operation, dimensions: int) -> int | None:
    """The axis of a function of arrays, between 0 and `dimensions`."""
    axis = operation.options.get("axis", operation.args[1] if len(operation.args) > 1 else 0)
    if not set(operation.options) <= {"axis"} or not isinstance(axis, int):
        return None
    return axis % dimensions


def _are_alike(arrays: Any, y: Value) -> bool:
    """Whether these are arrays of the result's dtype, which C can copy."""
    return isinstance(arrays, (tuple, list)) and all(
        isinstance(x, Value) and x.dtype == y.dtype for x in arrays
    )


def _lower_concat(lowering: Lowering, operation: Operation) -> bool:
    """Arrays one after the other along an axis."""
    y = operation.outputs[0]
    arrays = operation.args[0]
    axis = _axis(operation, max(len(y.shape), 1))
    if axis is None or not _are_alike(arrays, y):
        return False
    whole = lowering.view(y)
    start = 0
    for x in arrays:
        part = lowering.view(x)
        lowering.copy(_part(whole, axis, start, x.shape[axis]), part)
        start += x.shape[axis]
    return True


def _lower_stack(lowering: Lowering, operation: Operation) -> bool:
    """Arrays one after the other along a new axis."""
    y = operation.outputs[0]
    arrays = operation.args[0]
    axis = _axis(operation, len(y.shape))
    if axis is None or not _are_alike(arrays, y):
        return False
    whole = lowering.view(y)
    for i, x in enumerate(arrays):
        lowering.copy(_without_axis(whole, axis, i), lowering.view(x))
    return True


def _lower_unstack(lowering: Lowering, operation: Operation) -> bool:
    """The arrays along an axis: views."""
    x = operation.args[0]
    axis = _axis(operation, len(x.shape))
    if axis is None or len(operation.outputs) != x.shape[axis]:
        return False
    whole = lowering.view(x)
    for i, y in enumerate(operation.outputs):
        part = _without_axis(whole, axis, i)
        if lowering.is_placed(y):
            lowering.copy(lowering.view(y), part)
        else:
            lowering.place(y, part)
    return True


def _lower_reshape(lowering: Lowering, operation: Operation) -> bool:
    """An array in another shape, where that takes a copy."""
    x = operation.args[0]
    y = operation.outputs[0]
    if not isinstance(x, Value) or x.dtype != y.dtype or operation.options.get("order", "C") != "C":
        return False
    target = lowering.view(y)
    if not target.is_contiguous:
        return False
    as_x = lowering.temporary(x.shape, x.dtype)
    same = View(target.memory, target.offset, as_x.shape, as_x.strides, target.dtype)
    lowering.copy(same, lowering.view(x))
    return True


def _lower_set_item(lowering: Lowering, operation: Operation) -> bool:
    """x, with other numbers at a key of integers and slices."""
    x, key, new = operation.args
    y = operation.outputs[0]
    fixed = all(type(k) in (int, type(None), type(...)) for k in leaves(key))
    if operation.options or not fixed or x.dtype != y.dtype:
        return False
    if not isinstance(new, Value) or new.dtype != y.dtype or len(new.shape) > _axes_of(x, key):
        return False
    target = lowering.start_from(y, x)
    contents = np.empty(max(target.memory.size, 1), np.uint8)
    part = target.in_memory(contents)[key if isinstance(key, tuple) else (key,)]
    size = target.dtype.itemsize
    start = part.__array_interface__["data"][0] - contents.__array_interface__["data"][0]
    strides = tuple(s // size for s in part.strides)
    where = View(target.memory, int(start), part.shape, strides, target.dtype)
    source = lowering.view(new)
    missing = part.ndim - len(source.shape)
    spread = (
        *[0] * missing,
        *(0 if n == 1 else s for n, s in zip(source.shape, source.strides, strict=True)),
    )
    shown = View(source.memory, source.offset, part.shape, spread, source.dtype)
    lowering.copy(where, shown)
    return True


def _axes_of(x: Value, key: Any) -> int:
    """How many axes x[key] has."""
    return int(np.empty(x.shape, np.uint8)[key].ndim)


LOWERINGS["concat"] = _lower_concat
LOWERINGS["stack"] = _lower_stack
LOWERINGS["unstack"] = _lower_unstack
LOWERINGS["reshape"] = _lower_reshape
LOWERINGS["set_item"] = _lower_set_item
