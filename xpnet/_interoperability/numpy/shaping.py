"""NumPy's functions that move numbers: reshaping, joining, splitting, repeating, padding."""

import operator
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import array_api_compat as compat

from xpnet._interoperability.numpy.table import (
    along,
    as_tuple,
    cast,
    flat,
    front,
    integers,
    lifted,
    namespace_of,
    not_available,
    numpys,
)
from xpnet._typing import Array, Device, DType
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.errors import ArgumentError, ShapeError

# --- axes -----------------------------------------------------------------------------------------


@numpys("reshape", refuses=())
def reshape(
    a: Array,
    /,
    shape: Any = None,
    order: str = "C",
    *,
    newshape: Any = None,
    copy: bool | None = None,
) -> Array:
    """np.reshape: in order "C", the last axis changes fastest; in order "F", the first."""
    xp = array_namespace(a)
    shape = tuple(map(operator.index, as_tuple(newshape if shape is None else shape)))
    if order == "F":
        return _reversed(xp.reshape(_reversed(a), shape[::-1]))
    if order != "C":
        raise not_available("reshape", "order")
    return xp.reshape(a, shape) if copy is None else xp.reshape(a, shape, copy=copy)


def _reversed(a: Array) -> Array:
    """`a` with its axes in reversed order."""
    return array_namespace(a).permute_dims(a, tuple(reversed(range(a.ndim))))


@numpys("ravel", refuses=())
def ravel(a: Array, order: str = "C") -> Array:
    """np.ravel: one axis."""
    return reshape(a, (-1,), order)


@numpys("transpose")
def transpose(a: Array, axes: Any = None) -> Array:
    """np.transpose: the axes in another order, reversed by default."""
    axes = tuple(reversed(range(a.ndim))) if axes is None else tuple(axes)
    return array_namespace(a).permute_dims(a, axes)


@numpys("matrix_transpose", "linalg.matrix_transpose")
def matrix_transpose(x: Array, /) -> Array:
    """np.matrix_transpose: the last two axes exchanged."""
    return array_namespace(x).matrix_transpose(x)


@numpys("swapaxes")
def swapaxes(a: Array, axis1: int, axis2: int) -> Array:
    """np.swapaxes: two axes exchanged."""
    order = list(range(a.ndim))
    first = front(axis1, a.ndim, "swapaxes")
    second = front(axis2, a.ndim, "swapaxes")
    order[first], order[second] = second, first
    return array_namespace(a).permute_dims(a, tuple(order))


@numpys("moveaxis")
def moveaxis(a: Array, source: Any, destination: Any) -> Array:
    """np.moveaxis: axes at other places."""
    return array_namespace(a).moveaxis(a, source, destination)


@numpys("rollaxis")
def rollaxis(a: Array, axis: int, start: int = 0) -> Array:
    """np.rollaxis: one axis before another."""
    axis = front(axis, a.ndim, "rollaxis")
    start = start + a.ndim if start < 0 else start
    return array_namespace(a).moveaxis(a, axis, start - 1 if axis < start else start)


@numpys("expand_dims")
def expand_dims(a: Array, axis: Any) -> Array:
    """np.expand_dims: new axes of length 1."""
    return array_namespace(a).expand_dims(a, axis=axis)


@numpys("squeeze")
def squeeze(a: Array, axis: Any = None) -> Array:
    """np.squeeze: without the axes of length 1, all of them by default."""
    if axis is None:
        axis = tuple(i for i, n in enumerate(a.shape) if n == 1)
    return array_namespace(a).squeeze(a, axis=axis)


@numpys("broadcast_to")
def broadcast_to(array: Array, shape: Any, subok: bool = False) -> Array:
    """np.broadcast_to: repeated up to a shape."""
    return array_namespace(array).broadcast_to(array, as_tuple(shape))


@numpys("broadcast_arrays")
def broadcast_arrays(*args: Any, subok: bool = False) -> Any:
    """np.broadcast_arrays: each repeated up to the common shape."""
    arrays = lifted(*args)
    return array_namespace(*arrays).broadcast_arrays(*arrays)


def _at_least(n: int) -> Callable[..., Any]:
    """np.atleast_1d and its kind."""

    def at_least(*arys: Any) -> Any:
        """Each array with new axes where it has fewer than asked for."""
        padded = tuple(_with_axes(x, n) for x in lifted(*arys))
        return padded[0] if len(padded) == 1 else padded

    return numpys(f"atleast_{n}d")(at_least)


def _with_axes(x: Array, n: int) -> Array:
    """x with `n` axes at least, placed as NumPy does: (N,) becomes (1, N), (1, N, 1)."""
    if x.ndim >= n:
        return x
    shapes = {0: (1,) * n, 1: (1, *x.shape, 1)[:n] if n > 1 else x.shape, 2: (*x.shape, 1)}
    return array_namespace(x).reshape(x, shapes[x.ndim])


atleast_1d, atleast_2d, atleast_3d = map(_at_least, (1, 2, 3))


# --- joining --------------------------------------------------------------------------------------


def _cast_all(arrays: Sequence[Any], dtype: DType) -> list[Any]:
    return [cast(x, dtype) for x in lifted(*arrays)]


@numpys("concatenate")
def concatenate(
    arrays: Sequence[Any],
    /,
    axis: int | None = 0,
    out: Array | None = None,
    *,
    dtype: DType | None = None,
    casting: str = "same_kind",
) -> Array:
    """np.concatenate: arrays one after another along an axis; flattened for None."""
    parts = _cast_all(arrays, dtype)
    return array_namespace(*parts).concat(parts, axis=axis)


@numpys("stack")
def stack(
    arrays: Sequence[Any],
    axis: int = 0,
    out: Array | None = None,
    *,
    dtype: DType | None = None,
    casting: str = "same_kind",
) -> Array:
    """np.stack: arrays side by side along a new axis."""
    parts = _cast_all(arrays, dtype)
    return array_namespace(*parts).stack(parts, axis=axis)


@numpys("vstack")
def vstack(tup: Sequence[Any], *, dtype: DType | None = None, casting: str = "same_kind") -> Any:
    """np.vstack: rows below one another."""
    return concatenate([_with_axes(x, 2) for x in _cast_all(tup, dtype)])


@numpys("hstack")
def hstack(tup: Sequence[Any], *, dtype: DType | None = None, casting: str = "same_kind") -> Any:
    """np.hstack: along the second axis; vectors along their only one."""
    parts = [_with_axes(x, 1) for x in _cast_all(tup, dtype)]
    return concatenate(parts, axis=0 if parts[0].ndim == 1 else 1)


@numpys("dstack")
def dstack(tup: Sequence[Any]) -> Any:
    """np.dstack: along the third axis."""
    return concatenate([_with_axes(x, 3) for x in lifted(*tup)], axis=2)


@numpys("column_stack")
def column_stack(tup: Sequence[Any]) -> Any:
    """np.column_stack: vectors as columns beside one another."""
    parts = [x[:, None] if x.ndim == 1 else x for x in (_with_axes(x, 1) for x in lifted(*tup))]
    return concatenate(parts, axis=1)


@numpys("append")
def append(arr: Array, values: Array, axis: int | None = None) -> Array:
    """np.append: `values` after `arr`; both flattened by default."""
    return concatenate([arr, values], axis=axis)


@numpys("block")
def block(arrays: Any) -> Any:
    """np.block: nested lists of blocks; the innermost lists lie along the last axis."""
    namespace_of(arrays)
    depth = _depth(arrays)
    ndim = max(depth, *(x.ndim for x in lifted(*_leaves(arrays))))
    return _block(arrays, depth, ndim, list(_leaves(arrays)))


def _depth(x: Array) -> int:
    return 1 + _depth(x[0]) if isinstance(x, list) else 0


def _leaves(x: Array) -> list[Any]:
    return [leaf for part in x for leaf in _leaves(part)] if isinstance(x, list) else [x]


def _block(x: Array, depth: int, ndim: int, leaves: list[Any]) -> Array:
    if not isinstance(x, list):
        x = lifted(*leaves, x)[-1]
        return array_namespace(x).reshape(x, (1,) * (ndim - x.ndim) + tuple(x.shape))
    return concatenate([_block(part, depth - 1, ndim, leaves) for part in x], axis=-depth)


# --- splitting ------------------------------------------------------------------------------------


@numpys("array_split")
def array_split(ary: Array, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """np.array_split: parts along an axis, of nearly equal length, or between given places."""
    axis = front(axis, ary.ndim, "array_split")
    n = ary.shape[axis]
    if isinstance(indices_or_sections, int):
        each, more = divmod(n, indices_or_sections)
        lengths = [each + 1] * more + [each] * (indices_or_sections - more)
        ends = [0, *accumulate(lengths)]
    else:
        ends = [0, *map(int, indices_or_sections), n]
    return [ary[along(axis, slice(a, b))] for a, b in pairwise(ends)]


@numpys("split")
def split(ary: Array, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """np.split: parts of equal length, or between given places."""
    n = ary.shape[front(axis, ary.ndim, "split")]
    if isinstance(indices_or_sections, int) and n % indices_or_sections:
        raise ArgumentError(
            f"np.split expected parts of equal length, got {indices_or_sections} parts of {n}; "
            "see np.array_split."
        )
    return array_split(ary, indices_or_sections, axis)


@numpys("hsplit")
def hsplit(ary: Array, indices_or_sections: Any) -> list[Any]:
    """np.hsplit: along the second axis; a vector along its only one."""
    return split(ary, indices_or_sections, 0 if ary.ndim == 1 else 1)


@numpys("vsplit")
def vsplit(ary: Array, indices_or_sections: Any) -> list[Any]:
    """np.vsplit: along the first axis."""
    return split(ary, indices_or_sections, 0)


@numpys("dsplit")
def dsplit(ary: Array, indices_or_sections: Any) -> list[Any]:
    """np.dsplit: along the third axis."""
    return split(ary, indices_or_sections, 2)


@numpys("unstack")
def unstack(x: Array, /, *, axis: int = 0) -> tuple[Any, ...]:
    """np.unstack: the parts along an axis, without that axis."""
    parts: tuple[Any, ...] = array_namespace(x).unstack(x, axis=axis)
    return parts


# --- turning and repeating ------------------------------------------------------------------------


@numpys("flip")
def flip(m: Array, axis: Any = None) -> Array:
    """np.flip: reversed along some axes, all by default."""
    return array_namespace(m).flip(m, axis=axis)


@numpys("fliplr")
def fliplr(m: Array) -> Array:
    """np.fliplr: reversed along the second axis."""
    return flip(m, 1)


@numpys("flipud")
def flipud(m: Array) -> Array:
    """np.flipud: reversed along the first axis."""
    return flip(m, 0)


@numpys("rot90")
def rot90(m: Array, k: int = 1, axes: Any = (0, 1)) -> Array:
    """np.rot90: turned by k right angles in the plane of two axes."""
    first, second = axes
    turns = k % 4
    if turns == 2:
        return flip(m, (first, second))
    if turns == 1:
        return swapaxes(flip(m, second), first, second)
    return flip(swapaxes(m, first, second), second) if turns else m


@numpys("roll")
def roll(a: Array, shift: Any, axis: Any = None) -> Array:
    """np.roll: moved along an axis, and round the end."""
    return array_namespace(a).roll(a, shift, axis=axis)


@numpys("tile")
def tile(A: Any, reps: Any) -> Any:
    """np.tile: laid several times along each axis."""
    return array_namespace(A).tile(A, tuple(map(int, as_tuple(reps))))


@numpys("repeat")
def repeat(a: Array, repeats: Any, axis: int | None = None) -> Array:
    """np.repeat: each number several times in a row."""
    times = repeats if isinstance(repeats, int) else integers(a, repeats)
    return array_namespace(a).repeat(a, times, axis=axis)


@numpys("tril")
def tril(m: Array, k: int = 0) -> Array:
    """np.tril: the numbers on and below a diagonal."""
    return array_namespace(m).tril(_square(m), k=k)


@numpys("triu")
def triu(m: Array, k: int = 0) -> Array:
    """np.triu: the numbers on and above a diagonal."""
    return array_namespace(m).triu(_square(m), k=k)


def _square(m: Array) -> Array:
    """A vector as each row of a matrix, as np.tril and np.triu take it."""
    if m.ndim != 1:
        return m
    return array_namespace(m).broadcast_to(m, (m.shape[0], m.shape[0]))


@numpys("meshgrid")
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    """np.meshgrid: the coordinates of a grid."""
    if sparse:
        raise not_available("meshgrid", "sparse")
    vectors = [flat(x) for x in lifted(*xi)]
    return array_namespace(*vectors).meshgrid(*vectors, indexing=indexing)


# --- diagonals ------------------------------------------------------------------------------------


def _last_two(a: Array, axis1: int, axis2: int, name: str) -> Array:
    """`a` with two axes moved to the end."""
    axes = (front(axis1, a.ndim, name), front(axis2, a.ndim, name))
    return array_namespace(a).moveaxis(a, axes, (-2, -1))


@numpys("diagonal")
def diagonal(a: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """np.diagonal: the diagonal of the matrices in two axes."""
    matrices = _last_two(a, axis1, axis2, "diagonal")
    return array_namespace(a).linalg.diagonal(matrices, offset=offset)


@numpys("trace")
def trace(
    a: Array,
    offset: int = 0,
    axis1: int = 0,
    axis2: int = 1,
    dtype: DType | None = None,
    out: Array | None = None,
) -> Array:
    """np.trace: the sum of the diagonal of the matrices in two axes."""
    matrices = _last_two(a, axis1, axis2, "trace")
    return cast(array_namespace(a).linalg.trace(cast(matrices, dtype), offset=offset), dtype)


@numpys("diag")
def diag(v: Array, k: int = 0) -> Array:
    """np.diag: the diagonal of a matrix, or the matrix that has a vector on its diagonal."""
    if v.ndim == 2:
        return diagonal(v, k)
    if v.ndim != 1:
        raise ShapeError(f"np.diag expected a vector or a matrix, got shape {tuple(v.shape)}.")
    xp = array_namespace(v)
    n = v.shape[0] + abs(k)
    rest = xp.zeros((abs(k),), dtype=v.dtype, device=compat.device(data_of(v)))
    rows = xp.concat([v, rest] if k >= 0 else [rest, v])
    on = xp.eye(n, k=k, dtype=xp.bool, device=compat.device(data_of(v)))
    return xp.where(on, rows[:, None], xp.zeros_like(rows)[:, None])


@numpys("diagflat")
def diagflat(v: Array, k: int = 0) -> Array:
    """np.diagflat: the matrix that has all the numbers on its diagonal."""
    return diag(flat(v), k)


# --- padding and leaving out ----------------------------------------------------------------------


def _pairs(width: Any, ndim: int) -> list[Any]:
    """What np.pad is given for the sides of each axis: one for all, a pair, or a pair for each."""
    if isinstance(width, dict):
        given = {front(axis, ndim, "pad"): pair for axis, pair in width.items()}
        return [_pair(given.get(axis, 0)) for axis in range(ndim)]
    if not hasattr(width, "__len__"):
        return [(width, width)] * ndim
    if len(width) == 1 or not hasattr(width[0], "__len__"):
        inner = width[0] if hasattr(width[0], "__len__") else width
        return [_pair(inner)] * ndim
    return [_pair(pair) for pair in width]


def _pair(x: Array) -> tuple[Any, Any]:
    both = as_tuple(x)
    return (both[0], both[-1])


@numpys("pad", refuses=("stat_length", "end_values"))
def pad(
    array: Array,
    pad_width: Any,
    mode: str = "constant",
    *,
    constant_values: Any = 0,
    reflect_type: str = "even",
    stat_length: Any = None,
    end_values: Any = 0,
) -> Array:
    """np.pad: by numbers, or by numbers of the array: "edge", "reflect", "symmetric", "wrap"."""
    if reflect_type != "even":
        raise not_available("pad", "reflect_type")
    widths = _pairs(pad_width, array.ndim)
    if mode == "constant":
        values = _pairs(constant_values, array.ndim)
        for axis in range(array.ndim):
            array = _with_constants(array, axis, widths[axis], values[axis])
        return array
    if mode not in PLACES:
        raise ArgumentError(
            f'np.pad of a Variable expected the mode "constant" or one of {sorted(PLACES)}, got '
            f"{mode!r}."
        )
    for axis in range(array.ndim):
        before, after = widths[axis]
        if before or after:
            n = array.shape[axis]
            places = [PLACES[mode](i, n) for i in range(-before, n + after)]
            array = _picked(array, places, axis)
    return array


def _with_constants(array: Array, axis: int, width: Any, values: Array) -> Array:
    xp = array_namespace(array)
    sides = []
    for n, value in zip(width, values, strict=True):
        shape = (*array.shape[:axis], n, *array.shape[axis + 1 :])
        device = compat.device(data_of(array))
        sides.append(xp.full(shape, value, dtype=array.dtype, device=device))
    return xp.concat([sides[0], array, sides[1]], axis=axis) if any(width) else array


def _picked(array: Array, places: list[int], axis: int) -> Array:
    """The numbers at these places along an axis."""
    xp = array_namespace(array)
    device = compat.device(data_of(array))
    indices = xp.asarray(places, device=device) if places else xp.arange(0, device=device)
    return xp.take(array, indices, axis=axis)


def _reflected(i: int, n: int) -> int:
    period = max(2 * (n - 1), 1)
    return min(i % period, period - i % period) if n > 1 else 0


def _symmetric(i: int, n: int) -> int:
    return min(i % (2 * n), 2 * n - 1 - i % (2 * n))


PLACES: dict[str, Callable[[int, int], int]] = {
    "edge": lambda i, n: min(max(i, 0), n - 1),
    "reflect": _reflected,
    "symmetric": _symmetric,
    "wrap": lambda i, n: i % n,
}
"""For each mode of np.pad, the place that a number beyond the ends is taken from."""


@numpys("delete")
def delete(arr: Array, obj: Any, axis: int | None = None) -> Array:
    """np.delete: without the numbers at these places along an axis."""
    if axis is None:
        arr, axis = flat(arr), 0
    axis = front(axis, arr.ndim, "delete")
    n = arr.shape[axis]
    gone = range(n)[obj] if isinstance(obj, slice) else [range(n)[int(i)] for i in as_tuple(obj)]
    dropped = set(gone)
    return _picked(arr, [i for i in range(n) if i not in dropped], axis)


@numpys("copy")
def copy(a: Array, order: str = "K", subok: bool = False) -> Array:
    """np.copy: new memory, the same history."""
    if order not in ("K", "C", "A"):
        raise not_available("copy", "order")
    return array_namespace(a).asarray(a, copy=True)


@numpys("astype")
def astype(x: Array, dtype: DType, /, *, copy: bool = True, device: Device | None = None) -> Array:
    """np.astype: another dtype."""
    if device not in (None, "cpu"):
        raise not_available("astype", "device")
    return cast(x, dtype)
