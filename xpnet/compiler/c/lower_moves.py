"""What only moves numbers, for the C library: arrays joined, taken apart, and written into others."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from xpnet.compiler.c.lower_chains import broadcast_strides
from xpnet.compiler.c.lowering import LOWERINGS, Lowering
from xpnet.compiler.c.memory import View, contiguous_strides
from xpnet.compiler.record import Operation, Value, leaves

__all__: list[str] = []


def _part(y: View, axis: int, start: int, length: int) -> View:
    """A slice along an axis."""
    shape = (*y.shape[:axis], length, *y.shape[axis + 1 :])
    return y.shown(shape, y.strides, start * y.strides[axis])


def _without_axis(y: View, axis: int, place: int) -> View:
    """One index of an axis."""
    shape = (*y.shape[:axis], *y.shape[axis + 1 :])
    strides = (*y.strides[:axis], *y.strides[axis + 1 :])
    return y.shown(shape, strides, place * y.strides[axis])


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
    lowering.copy(target.shown(x.shape, contiguous_strides(x.shape)), lowering.view(x))
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
    lowering.copy(where, source.shown(part.shape, broadcast_strides(source, part.shape)))
    return True


def _axes_of(x: Value, key: Any) -> int:
    """How many axes x[key] has."""
    return int(np.empty(x.shape, np.uint8)[key].ndim)


def _flat(x: View) -> View:
    """A row-major array as one axis."""
    return x.shown((prod(x.shape),), (1,))


def _lower_roll(lowering: Lowering, operation: Operation) -> bool:
    """An array that is moved along some axes: what leaves it at one end comes back at the other."""
    x, shift = operation.args
    axis = operation.options.get("axis")
    target = lowering.view(operation.outputs[0])
    if not isinstance(x, Value) or (axis is None and not target.is_contiguous):
        return False
    source = lowering.view(x)
    if axis is None:
        source = _flat(lowering.contiguous(source))
        target = _flat(target)
        axis = 0
    shifts = (shift,) if isinstance(shift, int) else shift
    axes = [a % len(target.shape) for a in ((axis,) if isinstance(axis, int) else axis)]
    if len(shifts) != len(axes) or len({*axes}) < len(axes):
        return False
    pieces = [(target, source)]
    for by, a in zip(shifts, axes, strict=True):
        pieces = [piece for pair in pieces for piece in _rolled(*pair, a, by)]
    for to, part in pieces:
        if 0 not in to.shape:
            lowering.copy(to, part)
    return True


def _rolled(to: View, source: View, axis: int, by: int) -> list[tuple[View, View]]:
    """The two parts of a copy that moves an array along an axis."""
    n = source.shape[axis]
    last = by % n  # so many come back at the beginning
    return [
        (_part(to, axis, last, n - last), _part(source, axis, 0, n - last)),
        (_part(to, axis, 0, last), _part(source, axis, n - last, last)),
    ]


def _lower_tile(lowering: Lowering, operation: Operation) -> bool:
    """An array several times along each axis."""
    x, times = operation.args
    y = operation.outputs[0]
    times = (1,) * (len(y.shape) - len(times)) + tuple(times)
    return _copy_often(lowering, x, y, times, (1,) * len(times))


def _lower_repeat(lowering: Lowering, operation: Operation) -> bool:
    """Each number several times along an axis."""
    x, times = operation.args
    axis = operation.options.get("axis")
    y = operation.outputs[0]
    if axis is None and len(y.shape) == len(x.shape):
        axis = 0
    if not isinstance(times, int) or not isinstance(axis, int):
        return False
    each = [1] * len(y.shape)
    each[axis] = times
    return _copy_often(lowering, x, y, (1,) * len(each), each)


def _copy_often(
    lowering: Lowering, x: Any, y: Value, times: Sequence[int], each: Sequence[int]
) -> bool:
    """Append a copy of an array, repeated as a whole and number by number along each axis."""
    if not isinstance(x, Value):
        return False
    source = lowering.view(x)
    target = lowering.view(y)
    missing = len(y.shape) - len(x.shape)
    lengths = (1,) * missing + x.shape
    strides = (0,) * missing + source.strides
    shape: list[int] = []
    to: list[int] = []
    read: list[int] = []
    for n, step, whole, single, to_step in zip(
        lengths, strides, times, each, target.strides, strict=True
    ):
        shape += [whole, n, single]
        to += [n * single * to_step, single * to_step, to_step]
        read += [0, step, 0]
    lowering.copy(target.shown(shape, to), source.shown(shape, read))
    return True


LOWERINGS["concat"] = _lower_concat
LOWERINGS["stack"] = _lower_stack
LOWERINGS["unstack"] = _lower_unstack
LOWERINGS["repeat"] = _lower_repeat
LOWERINGS["reshape"] = _lower_reshape
LOWERINGS["roll"] = _lower_roll
LOWERINGS["set_item"] = _lower_set_item
LOWERINGS["tile"] = _lower_tile
