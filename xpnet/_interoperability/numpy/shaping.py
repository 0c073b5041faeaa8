"""NumPy's functions that move elements: reshaping, joining, splitting, repeating, padding."""

import operator
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from numbers import Integral
from typing import Any, TypeAlias

import array_api_compat as compat

from xpnet._interoperability.numpy.registry import (
    ArrayLike,
    Axis,
    Number,
    Shape,
    along,
    as_arrays,
    as_tuple,
    cast,
    flat,
    implements,
    integers,
    not_available,
    positive_axis,
)
from xpnet._typing import Array, Device, DType
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import FLOATING, data_of
from xpnet.errors import ArgumentError, ArgumentTypeError, IndexingError, ShapeError

# --- axes -----------------------------------------------------------------------------------------


@implements("reshape", refuses=())
def reshape(
    a: Array,
    /,
    shape: Shape = None,
    order: str = "C",
    *,
    newshape: Shape = None,
    copy: bool | None = None,
) -> Array:
    """np.reshape: in order "C", the last axis changes fastest; in order "F", the first."""
    xp = array_namespace(a)
    if shape is None:
        shape = newshape
    shape = tuple(map(operator.index, as_tuple(shape)))
    if order == "F":
        return _reversed(xp.reshape(_reversed(a), shape[::-1]))
    if order != "C":
        raise not_available("reshape", "order")
    if copy is None:
        return xp.reshape(a, shape)
    return xp.reshape(a, shape, copy=copy)


def _reversed(a: Array) -> Array:
    """`a` with its axes in reversed order."""
    return array_namespace(a).permute_dims(a, tuple(reversed(range(a.ndim))))


@implements("ravel", refuses=())
def ravel(a: Array, order: str = "C") -> Array:
    """np.ravel: flattened to one axis."""
    return reshape(a, (-1,), order)


@implements("transpose")
def transpose(a: Array, axes: Sequence[int] | None = None) -> Array:
    """np.transpose: the axes in another order, reversed by default."""
    if axes is None:
        return _reversed(a)
    return array_namespace(a).permute_dims(a, tuple(axes))


@implements("matrix_transpose", "linalg.matrix_transpose")
def matrix_transpose(x: Array, /) -> Array:
    """np.matrix_transpose: the last two axes exchanged."""
    return array_namespace(x).matrix_transpose(x)


@implements("swapaxes")
def swapaxes(a: Array, axis1: int, axis2: int) -> Array:
    """np.swapaxes: two axes exchanged."""
    order = list(range(a.ndim))
    first = positive_axis(axis1, a.ndim, "swapaxes")
    second = positive_axis(axis2, a.ndim, "swapaxes")
    order[first] = second
    order[second] = first
    return array_namespace(a).permute_dims(a, tuple(order))


@implements("moveaxis")
def moveaxis(a: Array, source: Axis, destination: Axis) -> Array:
    """np.moveaxis: axes moved to other positions."""
    return array_namespace(a).moveaxis(a, source, destination)


@implements("rollaxis")
def rollaxis(a: Array, axis: int, start: int = 0) -> Array:
    """np.rollaxis: one axis moved before another."""
    axis = positive_axis(axis, a.ndim, "rollaxis")
    if start < 0:
        start += a.ndim
    if axis < start:  # without this axis, the others move up by one
        start -= 1
    return array_namespace(a).moveaxis(a, axis, start)


@implements("expand_dims")
def expand_dims(a: Array, axis: Axis) -> Array:
    """np.expand_dims: new axes of length 1."""
    return array_namespace(a).expand_dims(a, axis=axis)


@implements("squeeze")
def squeeze(a: Array, axis: Axis = None) -> Array:
    """np.squeeze: without axes of length 1, by default without all of them."""
    if axis is None:
        axis = tuple(i for i, n in enumerate(a.shape) if n == 1)
    return array_namespace(a).squeeze(a, axis=axis)


@implements("broadcast_to")
def broadcast_to(array: Array, shape: Shape, subok: bool = False) -> Array:
    """np.broadcast_to: repeated up to a shape."""
    return array_namespace(array).broadcast_to(array, as_tuple(shape))


@implements("broadcast_arrays")
def broadcast_arrays(*args: Array, subok: bool = False) -> tuple[Array, ...]:
    """np.broadcast_arrays: each repeated up to the common shape."""
    arrays = as_arrays(*args)
    return tuple(array_namespace(*arrays).broadcast_arrays(*arrays))


def _at_least(n: int) -> Callable[..., Any]:
    """One of np.atleast_1d, np.atleast_2d and np.atleast_3d."""

    def at_least(*arys: Array) -> Array | tuple[Array, ...]:
        """Each array, with new axes if it has fewer than n."""
        padded = tuple(_with_axes(x, n) for x in as_arrays(*arys))
        return padded[0] if len(padded) == 1 else padded

    return implements(f"atleast_{n}d")(at_least)


def _with_axes(x: Array, n: int) -> Array:
    """x with at least n axes, where NumPy puts them: (N,) becomes (1, N) or (1, N, 1)."""
    if x.ndim >= n:
        return x
    if x.ndim == 2:
        shape = (*x.shape, 1)
    elif x.ndim == 1:
        shape = (1, *x.shape, 1)[:n]
    else:
        shape = (1,) * n
    return array_namespace(x).reshape(x, shape)


atleast_1d, atleast_2d, atleast_3d = map(_at_least, (1, 2, 3))


# --- joining --------------------------------------------------------------------------------------


def _cast_all(arrays: Sequence[Array], dtype: DType | None) -> list[Array]:
    """Arrays, numbers and lists as arrays of one library, in this dtype if there is one."""
    return [cast(x, dtype) for x in as_arrays(*arrays)]


@implements("concatenate")
def concatenate(
    arrays: Sequence[Array],
    /,
    axis: int | None = 0,
    out: Array | None = None,
    *,
    dtype: DType | None = None,
    casting: str = "same_kind",
) -> Array:
    """np.concatenate: arrays joined along an axis; with None, flattened and joined."""
    parts = _cast_all(arrays, dtype)
    return array_namespace(*parts).concat(parts, axis=axis)


@implements("stack")
def stack(
    arrays: Sequence[Array],
    axis: int = 0,
    out: Array | None = None,
    *,
    dtype: DType | None = None,
    casting: str = "same_kind",
) -> Array:
    """np.stack: arrays joined along a new axis."""
    parts = _cast_all(arrays, dtype)
    return array_namespace(*parts).stack(parts, axis=axis)


@implements("vstack")
def vstack(
    tup: Sequence[Array], *, dtype: DType | None = None, casting: str = "same_kind"
) -> Array:
    """np.vstack: arrays joined as rows."""
    return concatenate([_with_axes(x, 2) for x in _cast_all(tup, dtype)])


@implements("hstack")
def hstack(
    tup: Sequence[Array], *, dtype: DType | None = None, casting: str = "same_kind"
) -> Array:
    """np.hstack: arrays joined along the second axis, or vectors along their only one."""
    parts = [_with_axes(x, 1) for x in _cast_all(tup, dtype)]
    axis = 0 if parts[0].ndim == 1 else 1
    return concatenate(parts, axis=axis)


@implements("dstack")
def dstack(tup: Sequence[Array]) -> Array:
    """np.dstack: arrays joined along the third axis."""
    return concatenate([_with_axes(x, 3) for x in as_arrays(*tup)], axis=2)


@implements("column_stack")
def column_stack(tup: Sequence[Array]) -> Array:
    """np.column_stack: arrays joined along the second axis, with vectors as columns."""
    parts = [_with_axes(x, 1) for x in as_arrays(*tup)]
    columns = [x[:, None] if x.ndim == 1 else x for x in parts]
    return concatenate(columns, axis=1)


@implements("append")
def append(arr: Array, values: ArrayLike, axis: int | None = None) -> Array:
    """np.append: `arr` and then `values`; by default both are flattened."""
    return concatenate([arr, values], axis=axis)


@implements("block")
def block(arrays: ArrayLike) -> Array:
    """np.block: nested lists of blocks; the innermost lists are joined along the last axis."""
    depth = _depth(arrays)
    leaves = _leaves(arrays)
    ndim = max(depth, *(x.ndim for x in as_arrays(*leaves)))
    return _block(arrays, depth, ndim, leaves)


def _depth(x: ArrayLike) -> int:
    """How deeply lists are nested."""
    if not isinstance(x, list):
        return 0
    return 1 + _depth(x[0])


def _leaves(x: ArrayLike) -> list[ArrayLike]:
    """The arrays and numbers in nested lists."""
    if not isinstance(x, list):
        return [x]
    return [leaf for part in x for leaf in _leaves(part)]


def _block(x: ArrayLike, depth: int, ndim: int, leaves: list[ArrayLike]) -> Array:
    """Nested lists joined to one array; each leaf is given `ndim` axes, with new ones in front."""
    if not isinstance(x, list):
        x = as_arrays(*leaves, x)[-1]
        return array_namespace(x).reshape(x, (1,) * (ndim - x.ndim) + tuple(x.shape))
    return concatenate([_block(part, depth - 1, ndim, leaves) for part in x], axis=-depth)


# --- splitting ------------------------------------------------------------------------------------

Sections: TypeAlias = Any
"""The number of parts, or the indices at which to split: an int, a list or an array of ints."""


@implements("array_split")
def array_split(ary: Array, indices_or_sections: Sections, axis: int = 0) -> list[Array]:
    """np.array_split: parts along an axis, of nearly equal length, or split at given indices."""
    axis = positive_axis(axis, ary.ndim, "array_split")
    n = ary.shape[axis]
    if isinstance(indices_or_sections, Integral):
        length, longer = divmod(n, int(indices_or_sections))
        lengths = [length + 1] * longer + [length] * (int(indices_or_sections) - longer)
        ends = [0, *accumulate(lengths)]
    else:
        ends = [0, *map(int, indices_or_sections), n]
    return [ary[along(axis, slice(a, b))] for a, b in pairwise(ends)]


@implements("split")
def split(ary: Array, indices_or_sections: Sections, axis: int = 0) -> list[Array]:
    """np.split: parts along an axis, of equal length, or split at given indices."""
    n = ary.shape[positive_axis(axis, ary.ndim, "split")]
    if isinstance(indices_or_sections, Integral) and n % indices_or_sections:
        raise ArgumentError(
            f"np.split expected parts of equal length, got {indices_or_sections} parts of {n}; "
            "see np.array_split."
        )
    return array_split(ary, indices_or_sections, axis)


@implements("hsplit")
def hsplit(ary: Array, indices_or_sections: Sections) -> list[Array]:
    """np.hsplit: split along the second axis, or a vector along its only one."""
    axis = 0 if ary.ndim == 1 else 1
    return split(ary, indices_or_sections, axis)


@implements("vsplit")
def vsplit(ary: Array, indices_or_sections: Sections) -> list[Array]:
    """np.vsplit: split along the first axis."""
    return split(ary, indices_or_sections, 0)


@implements("dsplit")
def dsplit(ary: Array, indices_or_sections: Sections) -> list[Array]:
    """np.dsplit: split along the third axis."""
    return split(ary, indices_or_sections, 2)


@implements("unstack")
def unstack(x: Array, /, *, axis: int = 0) -> tuple[Array, ...]:
    """np.unstack: the slices along an axis, without that axis."""
    parts: tuple[Array, ...] = array_namespace(x).unstack(x, axis=axis)
    return parts


# --- rotating and repeating -----------------------------------------------------------------------


@implements("flip")
def flip(m: Array, axis: Axis = None) -> Array:
    """np.flip: reversed along some axes, by default along all."""
    return array_namespace(m).flip(m, axis=axis)


@implements("fliplr")
def fliplr(m: Array) -> Array:
    """np.fliplr: reversed along the second axis."""
    return flip(m, 1)


@implements("flipud")
def flipud(m: Array) -> Array:
    """np.flipud: reversed along the first axis."""
    return flip(m, 0)


@implements("rot90")
def rot90(m: Array, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Array:
    """np.rot90: rotated by k right angles in the plane of two axes."""
    first, second = axes
    turns = k % 4
    if turns == 0:
        return m
    if turns == 1:
        return swapaxes(flip(m, second), first, second)
    if turns == 2:
        return flip(m, (first, second))
    return flip(swapaxes(m, first, second), second)


@implements("roll")
def roll(a: Array, shift: int | tuple[int, ...], axis: Axis = None) -> Array:
    """np.roll: shifted along an axis; what leaves at one end enters at the other."""
    return array_namespace(a).roll(a, shift, axis=axis)


@implements("tile")
def tile(A: Array, reps: int | Sequence[int]) -> Array:
    """np.tile: repeated as a whole along each axis."""
    return array_namespace(A).tile(A, tuple(map(int, as_tuple(reps))))


@implements("repeat")
def repeat(a: Array, repeats: ArrayLike, axis: int | None = None) -> Array:
    """np.repeat: each element several times in a row."""
    times = repeats if isinstance(repeats, int) else integers(a, repeats)
    return array_namespace(a).repeat(a, times, axis=axis)


@implements("tril")
def tril(m: Array, k: int = 0) -> Array:
    """np.tril: the elements on and below a diagonal, and 0 above."""
    return array_namespace(m).tril(_square(m), k=k)


@implements("triu")
def triu(m: Array, k: int = 0) -> Array:
    """np.triu: the elements on and above a diagonal, and 0 below."""
    return array_namespace(m).triu(_square(m), k=k)


def _square(m: Array) -> Array:
    """A vector as every row of a square matrix, as np.tril and np.triu use it."""
    if m.ndim != 1:
        return m
    return array_namespace(m).broadcast_to(m, (m.shape[0], m.shape[0]))


@implements("meshgrid")
def meshgrid(
    *xi: Array, copy: bool = True, sparse: bool = False, indexing: str = "xy"
) -> Sequence[Array]:
    """np.meshgrid: the coordinates of a grid."""
    if sparse:
        raise not_available("meshgrid", "sparse")
    vectors = [flat(x) for x in as_arrays(*xi)]
    grids: Sequence[Array] = array_namespace(*vectors).meshgrid(*vectors, indexing=indexing)
    return grids


# --- diagonals ------------------------------------------------------------------------------------


def _last_two(a: Array, axis1: int, axis2: int, name: str) -> Array:
    """`a` with two axes moved to the end."""
    axes = (positive_axis(axis1, a.ndim, name), positive_axis(axis2, a.ndim, name))
    return array_namespace(a).moveaxis(a, axes, (-2, -1))


@implements("diagonal")
def diagonal(a: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """np.diagonal: the diagonals of the matrices in two axes."""
    matrices = _last_two(a, axis1, axis2, "diagonal")
    return array_namespace(a).linalg.diagonal(matrices, offset=offset)


@implements("trace")
def trace(
    a: Array,
    offset: int = 0,
    axis1: int = 0,
    axis2: int = 1,
    dtype: DType | None = None,
    out: Array | None = None,
) -> Array:
    """np.trace: the sums of the diagonals of the matrices in two axes."""
    matrices = _last_two(a, axis1, axis2, "trace")
    return cast(array_namespace(a).linalg.trace(cast(matrices, dtype), offset=offset), dtype)


@implements("diag")
def diag(v: Array, k: int = 0) -> Array:
    """np.diag: the diagonal of a matrix, or the matrix that has a vector on its diagonal."""
    if v.ndim == 2:
        return diagonal(v, k)
    if v.ndim != 1:
        raise ShapeError(f"np.diag expected a vector or a matrix, got shape {tuple(v.shape)}.")
    xp = array_namespace(v)
    n = v.shape[0] + abs(k)
    device = compat.device(data_of(v))
    rest = xp.zeros((abs(k),), dtype=v.dtype, device=device)
    rows = xp.concat([v, rest] if k >= 0 else [rest, v])
    is_on_diagonal = xp.eye(n, k=k, dtype=xp.bool, device=device)
    return xp.where(is_on_diagonal, rows[:, None], xp.zeros_like(rows)[:, None])


@implements("diagflat")
def diagflat(v: Array, k: int = 0) -> Array:
    """np.diagflat: the matrix that has all elements on its diagonal."""
    return diag(flat(v), k)


# --- padding and deleting -------------------------------------------------------------------------


def _pairs(width: Any, ndim: int) -> list[tuple[Any, Any]]:
    """An argument of np.pad as a pair for each axis: it may be one number, a pair, or pairs."""
    if isinstance(width, dict):
        given = {positive_axis(axis, ndim, "pad"): pair for axis, pair in width.items()}
        return [_pair(given.get(axis, 0)) for axis in range(ndim)]
    if not hasattr(width, "__len__"):
        return [(width, width)] * ndim
    if not hasattr(width[0], "__len__"):
        return [_pair(width)] * ndim
    if len(width) == 1:
        return [_pair(width[0])] * ndim
    return [_pair(pair) for pair in width]


def _pair(x: Any) -> tuple[Any, Any]:
    """A number twice; of a sequence, the first and the last element."""
    both = as_tuple(x)
    return (both[0], both[-1])


@implements("pad", refuses=("stat_length", "end_values"))
def pad(
    array: Array,
    pad_width: int | Sequence[Any] | dict[int, Any],
    mode: str = "constant",
    *,
    constant_values: Number | Sequence[Any] | dict[int, Any] = 0,
    reflect_type: str = "even",
    stat_length: int | Sequence[Any] | None = None,
    end_values: Number | Sequence[Any] = 0,
) -> Array:
    """np.pad: with constants, or with elements: "edge", "reflect", "symmetric", "wrap"."""
    if reflect_type != "even":
        raise not_available("pad", "reflect_type")
    widths = _pairs(pad_width, array.ndim)
    if mode == "constant":
        values = _pairs(constant_values, array.ndim)
        for axis in range(array.ndim):
            array = _with_constants(array, axis, widths[axis], values[axis])
        return array
    if mode not in SOURCES:
        raise ArgumentError(
            f'np.pad of a Variable expected the mode "constant" or one of {sorted(SOURCES)}, got '
            f"{mode!r}."
        )
    for axis in range(array.ndim):
        before, after = widths[axis]
        if before or after:
            n = array.shape[axis]
            indices = [SOURCES[mode](i, n) for i in range(-before, n + after)]
            array = _taken(array, indices, axis)
    return array


def _with_constants(
    array: Array, axis: int, widths: tuple[int, int], values: tuple[Number, Number]
) -> Array:
    """The array with constants before and after it along an axis."""
    if not any(widths):
        return array
    xp = array_namespace(array)
    device = compat.device(data_of(array))
    sides = []
    for n, value in zip(widths, values, strict=True):
        shape = (*array.shape[:axis], n, *array.shape[axis + 1 :])
        sides.append(xp.full(shape, value, dtype=array.dtype, device=device))
    return xp.concat([sides[0], array, sides[1]], axis=axis)


def _taken(array: Array, indices: list[int], axis: int) -> Array:
    """The elements at these indices along an axis."""
    xp = array_namespace(array)
    device = compat.device(data_of(array))
    if not indices:  # asarray([]) would have a floating-point dtype
        return xp.take(array, xp.arange(0, device=device), axis=axis)
    return xp.take(array, xp.asarray(indices, device=device), axis=axis)


def _reflected(i: int, n: int) -> int:
    """Mirrored at the elements at the ends, which are not repeated."""
    if n <= 1:
        return 0
    period = 2 * (n - 1)
    return min(i % period, period - i % period)


def _symmetric(i: int, n: int) -> int:
    """Mirrored at the ends, so that the elements there are repeated."""
    return min(i % (2 * n), 2 * n - 1 - i % (2 * n))


SOURCES: dict[str, Callable[[int, int], int]] = {
    "edge": lambda i, n: min(max(i, 0), n - 1),
    "reflect": _reflected,
    "symmetric": _symmetric,
    "wrap": lambda i, n: i % n,
}
"""For each mode of np.pad, the index from which the element at i is taken, which is i for 0 <= i < n.

For n = 3 and two elements before and after:

    edge         0 0 | 0 1 2 | 2 2
    reflect      2 1 | 0 1 2 | 1 0
    symmetric    1 0 | 0 1 2 | 2 1
    wrap         1 2 | 0 1 2 | 0 1
"""


@implements("delete")
def delete(arr: Array, obj: int | slice | Sequence[int] | Array, axis: int | None = None) -> Array:
    """np.delete: without the elements at these indices, or where a mask is true, along an axis."""
    if axis is None:
        arr = flat(arr)
        axis = 0
    axis = positive_axis(axis, arr.ndim, "delete")
    indices = range(arr.shape[axis])
    if isinstance(obj, slice):
        deleted = set(indices[obj])
    else:
        deleted = _deleted(integers(arr, obj), indices)
    return _taken(arr, [i for i in indices if i not in deleted], axis)


def _deleted(obj: Array, indices: range) -> set[int]:
    """The indices that np.delete removes, counted from the front."""
    obj = data_of(obj)
    if not has_dtype(obj, "bool"):
        numbers = flat(obj)
        return {indices[int(numbers[k])] for k in range(numbers.shape[0])}
    if tuple(obj.shape) != (len(indices),):
        raise ShapeError(
            f"np.delete expected a mask of shape {(len(indices),)}, got {tuple(obj.shape)}."
        )
    return {i for i in indices if bool(obj[i])}


@implements("insert")
def insert(
    arr: Array, obj: int | slice | Sequence[int] | Array, values: Array, axis: int | None = None
) -> Array:
    """np.insert: with values inserted before these indices along an axis."""
    arr, values = as_arrays(arr, values)
    for kinds in (FLOATING, ("complex floating",)):
        if has_dtype(values, *kinds) and not has_dtype(arr, *kinds):
            raise ArgumentTypeError(
                f"np.insert expected numbers that keep the array in its dtype, {arr.dtype}, got {values.dtype}. "
                "Convert the array first: F.astype(arr, dtype)."
            )
    if axis is None:
        arr = flat(arr)
        axis = 0
    axis = positive_axis(axis, arr.ndim, "insert")
    xp = array_namespace(arr, values)
    n = arr.shape[axis]
    places = _places(arr, obj, n)
    values = xp.reshape(values, (*(1,) * (arr.ndim - values.ndim), *values.shape))
    if isinstance(obj, int) or getattr(obj, "ndim", None) == 0:
        values = xp.moveaxis(values, 0, axis)
    if len(places) == 1:  # all values are inserted there
        places *= values.shape[axis]
    shape = tuple(len(places) if i == axis else k for i, k in enumerate(arr.shape))
    both = xp.concat([arr, xp.astype(xp.broadcast_to(values, shape), arr.dtype)], axis=axis)
    # An inserted value comes before the element at its place, and after those inserted earlier.
    keys = [(i, 1, 0) for i in range(n)] + [(p, 0, k) for k, p in enumerate(places)]
    return _taken(both, sorted(range(len(keys)), key=keys.__getitem__), axis)


def _places(arr: Array, obj: int | slice | Sequence[int] | Array, n: int) -> list[int]:
    """The indices of np.insert, counted from the front of an axis of length n."""
    if isinstance(obj, slice):
        return list(range(n)[obj])
    numbers = flat(data_of(integers(arr, obj)))
    if has_dtype(numbers, "bool"):
        (numbers,) = array_namespace(numbers).nonzero(numbers)
    places = [int(numbers[k]) for k in range(numbers.shape[0])]
    for i in places:
        if not -n <= i <= n:
            raise IndexingError(f"np.insert expected an index from {-n} to {n}, got {i}.")
    return [i + n if i < 0 else i for i in places]


@implements("lib.stride_tricks.sliding_window_view", refuses=("subok", "writeable"))
def sliding_window_view(
    x: Array,
    window_shape: Shape,
    axis: Axis = None,
    *,
    subok: bool = False,
    writeable: bool = False,
) -> Array:
    """np.lib.stride_tricks.sliding_window_view: all windows of a shape, in axes at the end."""
    sizes = as_tuple(window_shape)
    axes = range(x.ndim) if axis is None else as_tuple(axis)
    if len(sizes) != len(axes):
        raise ArgumentError(
            f"np.sliding_window_view expected a window for each of {len(axes)} axes, got {len(sizes)}."
        )
    xp = array_namespace(x)
    for size, i in zip(
        sizes, [positive_axis(i, x.ndim, "sliding_window_view") for i in axes], strict=True
    ):
        if not 0 <= size <= x.shape[i]:
            raise ArgumentError(
                f"np.sliding_window_view expected a window from 0 to {x.shape[i]} numbers along axis {i}, "
                f"got {size}."
            )
        count = x.shape[i] - size + 1
        rows = _taken(x, [k + j for k in range(count) for j in range(size)], i)
        rows = xp.reshape(rows, (*x.shape[:i], count, size, *x.shape[i + 1 :]))
        x = xp.moveaxis(rows, i + 1, -1)
    return x


@implements("apply_along_axis")
def apply_along_axis(
    func1d: Callable[..., Array], axis: int, arr: Array, *args: Any, **kwargs: Any
) -> Array:
    """np.apply_along_axis: a function of each row along an axis."""
    xp = array_namespace(arr)
    axis = positive_axis(axis, arr.ndim, "apply_along_axis")
    last = xp.moveaxis(arr, axis, -1)
    rows = xp.reshape(last, (-1, last.shape[-1]))
    results = [func1d(rows[i, ...], *args, **kwargs) for i in range(rows.shape[0])]
    found = xp.stack([as_arrays(result, arr)[0] for result in results])
    found = xp.reshape(found, (*last.shape[:-1], *found.shape[1:]))
    ends = range(last.ndim - 1, found.ndim)
    return xp.moveaxis(found, tuple(ends), tuple(range(axis, axis + len(ends))))


@implements("copy")
def copy(a: Array, order: str = "K", subok: bool = False) -> Array:
    """np.copy: a copy in memory of its own, which is part of the same graph."""
    if order not in ("K", "C", "A"):
        raise not_available("copy", "order")
    return array_namespace(a).asarray(a, copy=True)


@implements("astype")
def astype(x: Array, dtype: DType, /, *, copy: bool = True, device: Device | None = None) -> Array:
    """np.astype: the array in another dtype."""
    if device not in (None, "cpu"):
        raise not_available("astype", "device")
    return cast(x, dtype)
