"""Picking: x[key], `take` and `take_along_axis`; and assignment: x[key] = value, x += value.

A number may be picked more than once. Its gradient is then the sum over all its places, so the
derivative of picking is to add up: `ScatterAdd`, whose own derivative is to pick again. A number may
also be assigned to more than once: the last one wins, and the gradient is its alone.
"""

import math
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import array_api_compat as compat

from xpnet._libraries import library_of
from xpnet._libraries.devices import follows
from xpnet._typing import Array
from xpnet.autodiff._half_precision import in_full
from xpnet.autodiff._views import is_view_of, require_writable, view, write
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import data_of
from xpnet.backend import to_numpy
from xpnet.errors import ArgumentError, ArgumentTypeError, IndexingError, ShapeError
from xpnet.functions._in_float32 import like
from xpnet.functions._registry import from_front, method, standard
from xpnet.kernels.bounds import require_within, require_within_on_host
from xpnet.kernels.lookup import kernel

SCALARS: Sequence[Any] = (bool, int, float, complex)
KINDS = ("bool", "integral", "real floating", "complex floating")  # each holds those before it


class GetItem(Function):
    """x[key] for integers, slices, `...` and None: each number is picked at most once."""

    def __init__(self, key: tuple[Any, ...]) -> None:
        self.key = key

    def forward(self, x: Array) -> Array:
        self.was = x.shape
        return x[self.key]

    def backward(self, gy: Array) -> Array:
        return PutItem(self.key, self.was)(gy)


class PutItem(Function):
    """Zeros of `shape`, but x at [key]: it undoes x[key], and x[key] undoes it."""

    def __init__(self, key: tuple[Any, ...], shape: tuple[int, ...]) -> None:
        self.key, self.to = key, shape

    def forward(self, x: Array) -> Array:
        xp = array_namespace(x)
        zeros = xp.zeros(self.to, dtype=x.dtype, device=compat.device(x))
        place = tuple(k for k in self.key if k is not None)  # to assign to new axes is not standard
        return library_of(zeros).set_item(zeros, place, xp.reshape(x, zeros[place].shape))

    def backward(self, gy: Array) -> Array:
        return gy[self.key]


class SetItem(Function):
    """x after x[key] = value, for a value of x's dtype that broadcasts; x itself stays as it is.

    The gradient of x is that of the result, with zeros at the key; that of the value is what stands
    at the key, but for what another number of the value was written over.
    """

    def __init__(self, key: Any) -> None:
        self.key = key
        self.by_mask = any(map(_is_mask, _as_tuple(key)))
        self.may_repeat = any(map(_is_integers, _as_tuple(key)))

    def forward(self, x: Array, value: Any) -> Array:
        try:
            by_array = self.by_mask or self.may_repeat
            if by_array and not self._is_known_to_the_library(x, value):
                return self._last_ones(x, value)
            return library_of(x).with_item(x, self.key, value)
        except (ValueError, RuntimeError, TypeError) as error:
            expected, given = tuple(x[self.key].shape), tuple(getattr(value, "shape", ()))
            if _broadcasts(given, expected):
                raise
            raise ShapeError(
                f"x[key] = value expected a value that broadcasts to the shape of x[key], "
                f"{expected}, got shape {given}."
            ) from error

    def backward(self, gy: Array) -> Any:
        needs_x, needs_value = self.needs
        gx = SetItem(self.key)(gy, 0.0) if needs_x else None
        if not needs_value:
            return gx, None
        return gx, self._of_the_last(gy) if self.may_repeat else gy[self.key]

    def _is_known_to_the_library(self, x: Array, value: Any) -> bool:
        """Whether its own assignment by arrays does, where a place may be named twice, as NumPy's."""
        one_value = math.prod(getattr(value, "shape", ())) == 1  # whichever wins, it is this one
        return library_of(x).assigns_by_arrays(self.may_repeat, one_value)

    def _last_ones(self, x: Array, value: Any) -> Array:
        """The result by `where`: other libraries do not say which of several numbers wins."""
        xp = array_namespace(x)
        places, last = self._winners(x)
        if not math.prod(places.shape):
            return xp.asarray(x, copy=True)
        values = xp.asarray(value, dtype=x.dtype, device=compat.device(x))
        values = xp.reshape(xp.broadcast_to(values, places.shape), (-1,))
        chosen = xp.take(values, xp.where(last < 0, 0, last), axis=0)
        return xp.reshape(xp.where(last < 0, xp.reshape(x, (-1,)), chosen), x.shape)

    def _of_the_last(self, gy: Array) -> Array:
        """gy[key], with zeros for numbers that were written over."""
        places, last = self._winners(data_of(gy))
        xp = array_namespace(places)
        flat = xp.reshape(places, (-1,))
        order = xp.arange(flat.shape[0], dtype=last.dtype, device=compat.device(flat))
        won = xp.reshape(xp.take(last, flat, axis=0) == order, places.shape)
        return array_namespace(gy).where(won, gy[self.key], 0.0)

    def _winners(self, x: Array) -> tuple[Any, Any]:
        """The places in x that the key names; for each place of x, which of these comes last."""
        xp, size = array_namespace(x), math.prod(x.shape)
        numbered = xp.reshape(xp.arange(size, device=compat.device(x)), x.shape)
        places = numbered[self.key]
        return places, library_of(x).last_at(xp.reshape(places, (-1,)), size)


class Pick(Function):
    """Any choice of numbers from x that `choose` makes, by place: some of them twice, some never.

    Where each came from is found by the same choice, made in an array that numbers the places.
    """

    def __init__(self, choose: Callable[[Any], Any]) -> None:
        self.choose = choose

    def forward(self, x: Array) -> Array:
        self.was = x.shape
        return self.choose(x)

    def backward(self, gy: Array) -> Array:
        xp, size = array_namespace(gy), math.prod(self.was)
        numbered = data_of(xp.reshape(xp.arange(size, device=compat.device(data_of(gy))), self.was))
        places = array_namespace(numbered).reshape(self.choose(numbered), (-1,))
        return xp.reshape(ScatterAdd(places, size)(xp.reshape(gy, (-1,))), self.was)


class Take(Function):
    """Rows of x, by an array of one dimension: the first axis of x is the one to pick from."""

    def __init__(self, indices: Array) -> None:
        self.indices = indices

    def forward(self, x: Array) -> Array:
        self.length = x.shape[0]
        return array_namespace(x).take(x, self.indices, axis=0)

    def backward(self, gy: Array) -> Array:
        return ScatterAdd(self.indices, self.length)(gy)


class ScatterAdd(Function):
    """Rows of zeros, as many as `length`, with the rows of x added at the places `indices`."""

    def __init__(self, indices: Array, length: int) -> None:
        self.indices, self.length = indices, length

    def forward(self, x: Array) -> Array:
        if fast := kernel("added_by_index", x):
            return fast(x, self.indices, self.length)
        xp, full = array_namespace(x), in_full(x)
        zeros = xp.zeros((self.length, *x.shape[1:]), dtype=full.dtype, device=compat.device(x))
        return like(library_of(zeros).scatter_add(zeros, self.indices, full), x)

    def backward(self, gy: Array) -> Array:
        return Take(self.indices)(gy)


@method("__getitem__")
@follows
def getitem(x: Array, key: Any) -> Array:
    """x[key]: integers, slices, `...`, None, a mask, arrays or lists of integers, or a tuple of these."""
    keys = _keys(_with_arrays(key, x))
    if any(hasattr(k, "shape") for k in keys):
        chosen = keys if isinstance(key, tuple) else keys[0]
        _require_masks_fit(keys, x.shape)
        _look_at_arrays(keys, data_of(x))
        return Pick(lambda x: x[chosen])(x)
    _check_bounds(keys, x.shape)
    if any(map(_is_backward, keys)) and not library_of(data_of(x)).slices_backwards:
        forward, axes = _forward(keys, x.shape)
        return array_namespace(x).flip(getitem(x, forward), axis=axes)
    return view(GetItem(keys)(x), x, keys, _item_of, _with_item)


def _item_of(x: Array, keys: tuple[Any, ...]) -> Array:
    return GetItem(keys)(x)


def _with_item(x: Array, keys: tuple[Any, ...], value: Any) -> Array:
    """x with a value of the shape of x[keys] at that place; keys choose each number at most once."""
    place = tuple(k for k in keys if k is not None)  # to assign to new axes is not standard
    if len(place) < len(keys):
        value = array_namespace(value).reshape(value, data_of(x)[place].shape)
    return SetItem(place)(x, value)


@method("__setitem__")
@follows
def setitem(x: Array, key: Any, value: Any) -> None:
    """x[key] = value: x gets a new array and, if x or the value has a history, a new node.

    What was computed from x before keeps the numbers that it was computed from, and is
    differentiated as if nothing had happened. What is computed from x afterwards is differentiated
    through the assignment, to any order. Views of x, such as `x[0]` or a reshaped x, show the new
    numbers; and if x is itself a view, the assignment reaches what it is a view of.

    An assignment copies x: to fill n numbers one by one takes n copies. `stack` or `concat` of the
    parts takes one.

    Parameters
    ----------
    x : Variable
    key : integers, slices, `...`, None, a mask, arrays or lists of integers, or a tuple of these
        Where a key names a place more than once, the last value wins, on every library.
    value : Variable, array, scalar or nested list
        Broadcasts to the shape of x[key], and is cast to the dtype of x within its kind.

    Raises
    ------
    GradientError
        x is a leaf that requires a gradient, or a view of one, and no block without recording
        surrounds it.
    ArgumentTypeError
        The value's kind of dtype is above that of x: floating-point numbers for integers.
    ShapeError, IndexingError
        The value does not broadcast to x[key]; a key is out of range. Of integers in an array, JAX
        takes the nearest that is in range instead.
    """
    require_writable(x, "x[key] = value")
    keys = _keys(_with_arrays(key, x))
    if any(hasattr(k, "shape") for k in keys):
        _set_by_arrays(x, keys, _as_value(value, x))
    elif not is_view_of(value, x, _item_of, keys):  # else x[key] += 1 has written it already
        _set_by_slices(x, keys, _as_value(value, x))


def _set_by_arrays(x: Array, keys: tuple[Any, ...], value: Any) -> None:
    if any(k is None for k in keys):
        raise IndexingError(
            "x[key] = value expected no None beside arrays in the key: it makes a new axis. "
            "Write the key without it, and the value in the shape of that."
        )
    _require_masks_fit(keys, x.shape)
    _look_at_arrays(keys, x.data)
    if library_of(x.data).wraps_indices:  # sent once: the key is read again for the derivatives
        keys = tuple(array_namespace(x.data).asarray(k) if hasattr(k, "shape") else k for k in keys)
    chosen = keys if len(keys) > 1 else keys[0]  # some libraries want a mask to stand alone
    write(x, SetItem(chosen)(x, _without_leading(value, lambda: x.data[chosen].shape)))


def _set_by_slices(x: Array, keys: tuple[Any, ...], value: Any) -> None:
    _check_bounds(keys, x.shape)
    xp = array_namespace(x)
    if any(map(_is_backward, keys)) and not library_of(x.data).slices_backwards:
        forward, axes = _forward(keys, x.shape)
        there = x[forward]
        value = value if hasattr(value, "shape") else xp.full_like(there, value)
        setitem(there, ..., xp.flip(xp.broadcast_to(value, there.shape), axis=axes))
        return
    value = _without_leading(value, lambda: x.data[keys].shape)
    if None in keys and hasattr(value, "shape"):
        shape = x.data[keys].shape
        _require_broadcast(value.shape, shape)
        write(x, _with_item(x, keys, xp.broadcast_to(value, shape)))
    else:
        write(x, SetItem(tuple(k for k in keys if k is not None))(x, value))


@method("in_place")
@follows
def in_place(x: Array, y: Array, sign: str) -> Array:
    """x after `x += value`, for one of the operators: x is now y, which is x + value.

    It is a write like x[...] = y, and raises the same errors, and where the dtype of y is not one
    that NumPy casts to that of x ("same_kind").
    """
    statement = f"x {sign}= value"
    require_writable(x, statement)
    if y.shape != x.shape:
        raise ShapeError(
            f"{statement} expected a value that broadcasts to the shape of x, {tuple(x.shape)}; the "
            f"result has shape {tuple(y.shape)}. Write x = x {sign} value."
        )
    if y.dtype != x.dtype:
        signs = has_dtype(y.data, "signed integer") and has_dtype(x.data, "unsigned integer")
        if _rank(y) > _rank(x) or signs:
            raise ArgumentTypeError(
                f"{statement} expected numbers that keep x in its dtype, {x.dtype}; the result is of "
                f"{y.dtype}. Write x = x {sign} value, or cast the value with xp.astype first."
            )
        y = array_namespace(y).astype(y, x.dtype)
    write(x, y)
    return x


def _as_value(value: Any, x: Array) -> Array:
    """What may be assigned to items of x: in its library and dtype, or a scalar; or an error."""
    if isinstance(value, (list, tuple)):
        value = array_namespace(x).asarray(value)
    number = isinstance(value, (bool, int, float, complex)) and not hasattr(value, "shape")
    if not number and not hasattr(value, "shape"):
        raise ArgumentTypeError(
            f"x[key] = value expected a Variable, an array, a number or a list of numbers, got "
            f"{type(value).__name__}."
        )
    if not number:
        array_namespace(x.data, data_of(value))  # of one library, or an error
    if _rank(value) > _rank(x):
        given = type(value).__name__ if number else f"{value.dtype}"
        raise ArgumentTypeError(
            f"x[key] = value expected a value that keeps x in its dtype, {x.dtype}, got {given}. "
            "Write x = xp.astype(x, dtype) first, or x[key] = xp.astype(value, x.dtype)."
        )
    if number:
        return SCALARS[_rank(x)](value)
    if value.dtype == x.dtype:
        return value
    return array_namespace(value).astype(value, x.dtype)


def _rank(x: Array) -> int:
    """Which kind its numbers are of: 0 bool, 1 integers, 2 floating-point numbers, 3 complex ones."""
    if not hasattr(x, "dtype"):
        return next(i for i, kind in enumerate(SCALARS) if isinstance(x, kind))
    return next(i for i, kind in enumerate(KINDS) if has_dtype(data_of(x), kind))


def _with_arrays(key: Any, x: Array) -> tuple[Any, ...]:
    """A key as a tuple, with arrays for its lists."""
    return tuple(_array_of(k, x) if isinstance(k, list) else k for k in _as_tuple(key))


def _array_of(k: list[Any], x: Array) -> Array:
    """A list in a key as an array beside x; an empty one is of integers.

    For CuPy it stays on the host, where its integers are checked at once.
    """
    array = data_of(x)
    xp, device = array_namespace(array), compat.device(array)
    if not k:
        return xp.zeros((0,), dtype=xp.int64, device=device)
    if library_of(array).wraps_indices:
        return to_numpy(k)
    return xp.asarray(k, device=device)


def _without_leading(value: Any, target: Callable[[], Any]) -> Any:
    """The value without axes of length 1 before those that the target has."""
    shape: tuple[int, ...] = getattr(value, "shape", ())
    if len(shape) < 2 or shape[0] != 1:
        return value
    extra = len(shape) - len(target())
    if extra <= 0 or any(n != 1 for n in shape[:extra]):
        return value
    return array_namespace(value).reshape(value, shape[extra:])


def _broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Whether an array of that shape broadcasts to the target."""
    pairs = zip(reversed(shape), reversed(target), strict=False)
    return len(shape) <= len(target) and all(n in (1, m) for n, m in pairs)


def _require_broadcast(shape: tuple[int, ...], target: tuple[int, ...]) -> None:
    if not _broadcasts(shape, target):
        raise ShapeError(
            f"x[key] = value expected a value that broadcasts to the shape of x[key], "
            f"{tuple(target)}, got shape {tuple(shape)}."
        )


@standard
@follows
def take(x: Array, indices: Array, /, *, axis: int | None = None) -> Array:
    """The numbers of x at `indices` along `axis`.

    Parameters
    ----------
    x : array or Variable, shape (..., n, ...)
    indices : array of integers, shape (m,) or any other
        From 0 to n - 1; they may repeat. On NumPy, CuPy and PyTorch -1, -2, ... count from the end.
    axis : int, optional
        May be left out for an x of one dimension.

    Returns
    -------
    array or Variable
        Shape of x with the axis replaced by the shape of `indices`.

    Raises
    ------
    IndexError
        An index is out of range. On CuPy the error is raised when xpnet next brings numbers to the
        host, so that no call waits for the GPU; with XPNET_DEBUG_INDICES=1 in the environment, by
        the call itself. JAX raises nothing.
    TypeError
        The indices are not integers, or are an array of another library than x.
    """
    xp = array_namespace(x)
    if axis is None and x.ndim != 1:
        raise ArgumentError(f"take expected an axis, for x of shape {tuple(x.shape)}, got None.")
    if not has_dtype(indices, "integral"):
        raise ArgumentTypeError(f"take expected indices of integers, got {indices.dtype}.")
    axis, indices = from_front(axis or 0, x.ndim, "take"), data_of(indices)
    _require_one_library(x, indices)
    look("take", indices, data_of(x), axis)
    flat = array_namespace(indices).reshape(indices, (-1,))
    rows = Take(flat)(xp.moveaxis(x, axis, 0) if axis else x)
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    rows = xp.moveaxis(rows, 0, axis) if axis else rows
    return xp.reshape(rows, (*before, *indices.shape, *after))


@standard
@follows
def take_along_axis(x: Array, indices: Array, /, *, axis: int = -1) -> Array:
    """For each place of `indices` the number of x there, but at that index along `axis`.

    Parameters
    ----------
    x : array or Variable, shape (..., n, ...)
    indices : array of integers, shape (..., m, ...)
        Of as many dimensions as x; the others broadcast against those of x.
    axis : int

    Raises
    ------
    IndexError
        As of `take`.
    TypeError
        The indices are of another library than x.
    """
    if indices.ndim != x.ndim:
        raise ArgumentError(
            f"take_along_axis expected indices of {x.ndim} dimensions, got {indices.ndim}."
        )
    indices, axis = data_of(indices), from_front(axis, x.ndim, "take_along_axis")
    _require_one_library(x, indices)
    look("take_along_axis", indices, data_of(x), axis)
    return along_axis(x, indices, axis)


def along_axis(x: Array, indices: Array, axis: int) -> Array:
    """`take_along_axis` with indices that are known to be in range."""
    return Pick(lambda x: array_namespace(x).take_along_axis(x, indices, axis=axis))(x)


def _require_one_library(x: Array, indices: Array) -> None:
    """Raise TypeError for indices of another library: CuPy would copy NumPy's in each call."""
    array_namespace(data_of(x), indices)


def look(name: str, indices: Array, x: Array, axis: int, least: int | None = None) -> None:
    """Check indices along an axis of x on CuPy, which would wrap them around: see `kernels.bounds`.

    Parameters
    ----------
    name : str
        The function that was given the indices.
    indices : array of integers, or a list
        An array of CuPy, or numbers on the host.
    x : array
    axis : int
    least : int, optional
        The least index that is in range; by default, the one that counts from the end.

    Raises
    ------
    IndexError
        An index is out of range. For an array of CuPy it is raised when numbers next come to the
        host.
    """
    if not library_of(x).wraps_indices:
        return
    length = x.shape[axis]
    require = require_within if library_of(indices).wraps_indices else require_within_on_host
    require(name, indices, -length if least is None else least, length - 1)


def _look_at_arrays(keys: tuple[Any, ...], x: Array) -> None:
    """`look` at each array of integers in x[keys], and at lists, which CuPy takes in an assignment."""
    if not library_of(x).wraps_indices:
        return
    taken = [getattr(k, "ndim", 1) if _is_mask(k) else 0 if k is None else 1 for k in keys]
    first = next((i for i, k in enumerate(keys) if k is ...), None)
    if first is not None:
        taken[first] = x.ndim - (sum(taken) - 1)
    for i, k in enumerate(keys):
        chooses = isinstance(k, list) or (hasattr(k, "shape") and not _is_mask(k))
        if chooses and sum(taken[:i]) < x.ndim:
            look("x[key]", k, x, sum(taken[:i]))


def _is_mask(k: Array) -> bool:
    return hasattr(k, "shape") and has_dtype(k, "bool")


def _is_integers(k: Array) -> bool:
    return hasattr(k, "shape") and not _is_mask(k)


def _keys(key: Any) -> tuple[Any, ...]:
    """A key as a tuple of Python's integers, slices, `...`, None and arrays; or IndexingError."""
    keys = tuple(int(k) if _is_integer(k) else data_of(k) for k in _as_tuple(key))
    if not all(map(_is_key, keys)):
        given = ", ".join(map(_named, keys))
        raise IndexingError(
            f"x[key] expected integers, slices, ..., None and arrays of integers or booleans, "
            f"got {given}."
        )
    return keys


def _is_key(k: Array) -> bool:
    if hasattr(k, "shape"):
        return has_dtype(k, "integral", "bool")
    return isinstance(k, (type(None), type(...), slice)) or _is_integer(k)


def _named(k: Array) -> str:
    """What kind of key k is, for an error."""
    return f"an array of {k.dtype}" if hasattr(k, "shape") else type(k).__name__


def _require_masks_fit(keys: tuple[Any, ...], shape: tuple[int, ...]) -> None:
    """Raise IndexingError unless each mask has the shape of the axes that it chooses from."""
    taken = [k.ndim if _is_mask(k) else 0 if k is None else 1 for k in keys]
    first = next((i for i, k in enumerate(keys) if k is ...), len(keys))
    for i, k in enumerate(keys):
        if not _is_mask(k):
            continue
        axis = sum(taken[:i]) if i < first else len(shape) - sum(taken[i:])
        chosen = tuple(shape[axis : axis + k.ndim])
        if tuple(k.shape) != chosen:
            raise IndexingError(
                f"x[mask] expected a mask of shape {chosen}, got {tuple(k.shape)}; x has shape "
                f"{tuple(shape)}."
            )


def _is_backward(k: Array) -> bool:
    """Whether k is a slice that goes backward, which PyTorch does not know."""
    return isinstance(k, slice) and k.step is not None and k.step < 0


def _forward(keys: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
    """The key that picks the same numbers in rising order; the axes of x[key] to be reversed."""
    taken = sum(k is not None and k is not ... for k in keys)
    filled: list[Any] = []
    for k in keys if ... in keys else (*keys, ...):
        filled += [slice(None)] * (len(shape) - taken) if k is ... else [k]
    axes = []
    axis = result = 0
    for i, k in enumerate(filled):
        if _is_backward(k):
            chosen = range(*k.indices(shape[axis]))
            filled[i] = slice(chosen[-1], chosen[0] + 1, -chosen.step) if chosen else slice(0, 0)
            axes.append(result)
        axis += k is not None
        result += not isinstance(k, int)
    return tuple(filled), tuple(axes)


def _as_tuple(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


def _is_integer(k: Array) -> bool:
    """NumPy's integers too; True is none."""
    return isinstance(k, Integral) and not isinstance(k, bool)


def _check_bounds(keys: tuple[Any, ...], shape: tuple[int, ...]) -> None:
    """Not every library does: JAX takes the last number in place of one that is not there."""
    axes = [k for k in keys if k is not None]
    before = axes.index(...) if ... in axes else len(axes)
    for i, k in enumerate(axes):
        axis = i if i < before else i + len(shape) - len(axes)
        if isinstance(k, int) and not (axis < len(shape) and -shape[axis] <= k < shape[axis]):
            raise IndexingError(
                f"Index {k} is out of range for axis {axis} of shape {tuple(shape)}."
            )
