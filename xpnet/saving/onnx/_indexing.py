"""Selection and assignment, x[key] and x[key] = y, as ONNX nodes.

Slices are `Slice`, an integer and an array of integers are `Gather`, several arrays are `GatherND`. An
assignment joins the parts before and after it, or is written by `ScatterElements`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from xpnet.errors import CompileError
from xpnet.saving.onnx._lowering import Edge, Lowering, Lowers, Operand, Shape, length, names_of
from xpnet.saving.onnx._sizes import Dimension, Size

__all__ = ["INDEXING", "sliced", "transposed"]

INDEXING: dict[str, Lowers] = {}
"""By the name of an operation: the function that lowers it."""

named = names_of(INDEXING)

LAST = np.iinfo(np.int64).max  # the end of a slice that goes to the end of an axis
INDICES = np.dtype(np.int64)
WHOLE = slice(None)


def transposed(lo: Lowering, name: str, order: Sequence[int]) -> str:
    """An array with its axes in another order."""
    if [*order] == [*range(len(order))]:
        return name
    return lo.node("Transpose", name, perm=[*order])


def sliced(lo: Lowering, name: str, key: Sequence[Any]) -> str:
    """x[key] for slices of the first axes; other parts of the key are passed over."""
    axes = []
    starts: list[Dimension] = []
    ends: list[Dimension] = []
    steps: list[int] = []
    for axis, part in enumerate(key):
        if not isinstance(part, slice) or part == WHOLE:
            continue
        start, end, step = _bounds(part)
        axes.append(axis)
        starts.append(start)
        ends.append(end)
        steps.append(step)
    if not axes:
        return name
    given = [lo.lengths(starts), lo.lengths(ends), lo.integers(*axes)]
    if set(steps) != {1}:
        given.append(lo.integers(*steps))
    return lo.node("Slice", name, *given)


def _bounds(part: slice) -> tuple[Dimension, Dimension, int]:
    """The start, the end and the step of a slice as ONNX wants them: all three."""
    step = part.step or 1
    first, last = (0, LAST)
    if step < 0:
        first, last = (LAST, -LAST)
    start = part.start
    if start is None:
        start = first
    stop = part.stop
    if stop is None:
        stop = last
    return start, stop, step


# --- selection ----------------------------------------------------------------------------------------


@named("getitem")
def _getitem(lo: Lowering, y: Edge, x: Edge, key: Any, /) -> str:
    return selected(lo, x, key)


def selected(lo: Lowering, x: Edge, key: Any) -> str:
    """x[key]."""
    if not isinstance(key, tuple):
        key = (key,)
    parts = _parts(key, len(x.shape))
    own = [part for part in parts if part is not None]
    if not any(isinstance(part, Edge) and part.dtype == np.bool_ for part in own):
        own = [_within(part, n) for part, n in zip(own, x.shape, strict=True)]
    name = sliced(lo, x.name, own)
    if any(map(_is_array, parts)):
        return _gathered(lo, name, parts, _are_apart(key))
    axis = 0
    new: list[int] = []
    for part in parts:
        if isinstance(part, (int, Size)):
            name = lo.node("Gather", name, lo.scalar(part), axis=axis - len(new))
            continue
        if part is None:
            new.append(axis)
        axis += 1
    if new:
        name = lo.node("Unsqueeze", name, lo.integers(*new))
    return name


def _parts(key: Any, axes: int) -> list[Any]:
    """A key with a part for each axis, and None for new axes."""
    parts = [key]
    if isinstance(key, tuple):
        parts = [*key]
    rest = [WHOLE] * (axes - sum(map(_axes_used, parts)))
    for i, x in enumerate(parts):
        if x is Ellipsis:
            return parts[:i] + rest + parts[i + 1 :]
    return parts + rest


def _within(part: Any, n: Dimension) -> Any:
    """A slice whose bounds are in range, as Python counts them; ONNX has other rules beyond the ends."""
    if not isinstance(part, slice) or not isinstance(n, int):
        return part
    bounds = (part.start, part.stop)
    if any(isinstance(x, Size) for x in bounds):
        return part
    start, stop, step = part.indices(n)
    chosen = range(start, stop, step)
    if chosen == range(n):
        return WHOLE
    if not chosen:
        return slice(0, 0)
    if stop < 0:
        return slice(start, None, step)
    return slice(start, stop, step)


def _are_apart(key: Any) -> bool:
    """Whether a slice, `...` or a new axis is between the indices of a key."""
    at = [i for i, part in enumerate(key) if isinstance(part, (int, Size)) or _is_array(part)]
    return at != [*range(at[0], at[0] + len(at))]


def _axes_used(x: Any) -> int:
    """How many axes of the array a part of the key is for."""
    if isinstance(x, Edge) and x.dtype == np.bool_:
        return len(x.shape)
    return int(x is not None and x is not Ellipsis)


def _is_array(x: Any) -> bool:
    return isinstance(x, Edge) or (hasattr(x, "dtype") and hasattr(x, "shape"))


def _gathered(lo: Lowering, name: str, parts: Sequence[Any], are_apart: bool) -> str:
    """x[parts] with arrays of integers; the slices are taken already.

    The axes of the indices come first in the result if these are apart in the key, as in NumPy.
    """
    new = [i for i, part in enumerate(parts) if part is None]
    if new:
        name = lo.node("Unsqueeze", name, lo.integers(*new))
    at = [i for i, part in enumerate(parts) if not isinstance(part, slice) and part is not None]
    indices = [_index(lo, parts[i]) for i in at]
    if len(at) == 1:
        return lo.node("Gather", name, indices[0].name, axis=at[0])
    rest = [i for i in range(len(parts)) if i not in at]
    table, count = _stacked(lo, indices)
    found = lo.node("GatherND", transposed(lo, name, [*at, *rest]), table)
    if are_apart:
        return found
    after = [count + i for i in range(len(rest))]
    return transposed(lo, found, [*after[: at[0]], *range(count), *after[at[0] :]])


def _index(lo: Lowering, x: Any) -> Edge:
    """An array of indices in int64."""
    if isinstance(x, (int, Size)):
        return Edge(lo.scalar(x), (), INDICES)
    if x.dtype == np.bool_:
        raise CompileError(
            "expected integers as indices, got a mask, which selects a shape that depends on values. "
            "Keep all elements, and set those that do not count to 0 with F.where."
        )
    if isinstance(x, Edge):
        return Edge(lo.cast(x, INDICES), x.shape, INDICES)
    return Edge(lo.constant(x, INDICES), x.shape, INDICES)


def _stacked(lo: Lowering, indices: Sequence[Edge]) -> tuple[str, int]:
    """Arrays of indices, broadcast and stacked along a new last axis; and how many axes they have."""
    count = max(len(x.shape) for x in indices)
    shape: list[Dimension] = [1] * count
    for x in indices:
        for i, n in enumerate(x.shape, count - len(x.shape)):
            if shape[i] == 1:
                shape[i] = n
    wide = [lo.expanded(x.name, x.shape, tuple(shape)) for x in indices]
    return lo.joined([lo.node("Unsqueeze", x, lo.integers(count)) for x in wide], count), count


@named("take")
def _take(lo: Lowering, y: Edge, x: Edge, indices: Edge, /, *, axis: int | None = None) -> str:
    return lo.node("Gather", x.name, lo.cast(indices, INDICES), axis=axis or 0)


@named("take_along_axis")
def _take_along_axis(lo: Lowering, y: Edge, x: Edge, indices: Edge, /, *, axis: int = -1) -> str:
    at = axis % len(x.shape)
    whole = (*y.shape[:at], x.shape[at], *y.shape[at + 1 :])
    table = lo.expanded(lo.cast(indices, INDICES), indices.shape, y.shape)
    return lo.node("GatherElements", lo.expanded(x.name, x.shape, whole), table, axis=at)


# --- assignment ---------------------------------------------------------------------------------------


@named("set_item")
def _set_item(lo: Lowering, y: Edge, x: Edge, key: Any, value: Operand, /) -> str:
    """x after x[key] = value."""
    parts = _parts(key, len(x.shape))
    if any(part is None for part in parts):
        raise CompileError("expected a key without new axes, got x[None] = y. Assign to x itself.")
    if any(isinstance(part, Edge) and part.dtype == np.bool_ for part in parts):
        return _set_by_mask(lo, y, x, parts, value)
    changed = [i for i, part in enumerate(parts) if _is_array(part) or part != WHOLE]
    if not changed:
        return _broadcast(lo, y, value, x.shape)
    if len(changed) == 1 and _is_run(parts[changed[0]], x.shape[changed[0]]):
        return _joined(lo, y, x, changed[0], parts[changed[0]], value)
    return _scattered(lo, y, x, key, value)


def _broadcast(lo: Lowering, y: Edge, value: Operand, shape: Shape) -> str:
    """A value in the shape of what it is assigned to; it may have more axes, of length 1."""
    name = lo.cast(value, y.dtype)
    own = _shape_of(value)
    if len(own) > len(shape):
        own = own[len(own) - len(shape) :]
        name = lo.reshaped(name, own)
    return lo.expanded(name, own, shape)


def _shape_of(x: Operand) -> Shape:
    if isinstance(x, Edge):
        return x.shape
    return ()


def _set_by_mask(lo: Lowering, y: Edge, x: Edge, parts: Sequence[Any], value: Operand) -> str:
    mask = parts[0]
    if not isinstance(mask, Edge) or mask.shape != x.shape[: len(mask.shape)] or _shape_of(value):
        raise CompileError(
            "expected one number for the elements of a mask, as in x[mask] = 0.0. Use F.where, which takes "
            "arrays."
        )
    whole = mask.shape + (1,) * (len(x.shape) - len(mask.shape))
    name = lo.reshaped(mask.name, whole)
    return lo.node("Where", name, lo.cast(value, y.dtype), x.name)


def _is_run(part: Any, n: Dimension) -> bool:
    """Whether a part of a key selects an index, or neighbouring ones, of an axis of fixed length."""
    if isinstance(part, slice):
        bounds = (part.start, part.stop)
        is_fixed = not any(isinstance(x, Size) for x in bounds)
        return is_fixed and part.step in (None, 1) and isinstance(n, int)
    return isinstance(part, int) and isinstance(n, int)


def _joined(lo: Lowering, y: Edge, x: Edge, axis: int, part: Any, value: Operand) -> str:
    """What is before the part of an axis, the new values, and what is after it."""
    n: Any = x.shape[axis]
    before = x.shape[:axis]
    after = x.shape[axis + 1 :]
    if isinstance(part, int):
        start = part % n
        stop = start + 1
        middle = _broadcast(lo, y, value, (*before, *after))
        middle = lo.node("Unsqueeze", middle, lo.integers(axis))
    else:
        start, stop, _ = part.indices(n)
        stop = max(start, stop)
        middle = _broadcast(lo, y, value, (*before, stop - start, *after))
    others = [WHOLE] * axis
    pieces = [middle]
    if start > 0:
        pieces.insert(0, sliced(lo, x.name, [*others, slice(0, start)]))
    if stop < n:
        pieces.append(sliced(lo, x.name, [*others, slice(stop, None)]))
    return lo.joined(pieces, axis)


def _scattered(lo: Lowering, y: Edge, x: Edge, key: Any, value: Operand) -> str:
    """Written where the key selects the numbers of the elements."""
    total = length(x.shape)
    numbers = lo.node("Range", lo.scalar(0), lo.scalar(total), lo.scalar(1))
    numbered = Edge(lo.reshaped(numbers, x.shape), x.shape, INDICES)
    places = selected(lo, numbered, key)
    wide = lo.node("Expand", lo.cast(value, y.dtype), lo.node("Shape", places))
    flat = [lo.node("Reshape", name, lo.integers(-1)) for name in (x.name, places, wide)]
    return lo.reshaped(lo.node("ScatterElements", *flat, axis=0), x.shape)


@named("scatter_add")
def _scatter_add(lo: Lowering, y: Edge, x: Edge, indices: Edge, values: Edge, /) -> str:
    """x after x[indices[i], ...] += values[i, ...].

    By `ScatterElements`: ONNX Runtime's `ScatterND` adds in several threads, and loses sums of equal indices.
    """
    column = indices.shape + (1,) * (len(values.shape) - len(indices.shape))
    table = lo.expanded(lo.reshaped(lo.cast(indices, INDICES), column), column, values.shape)
    wide = x.dtype
    if wide == np.float16:  # which runtimes do not add
        wide = np.dtype(np.float32)
    operands = (lo.cast(x, wide), table, lo.cast(values, wide))
    added = lo.node("ScatterElements", *operands, axis=0, reduction="add")
    return lo.converted(added, wide, y.dtype)
