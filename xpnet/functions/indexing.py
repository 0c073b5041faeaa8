"""Picking: x[key], `take` and `take_along_axis`; and assignment: x[key] = value, x += value.

A number may be picked more than once. Its gradient is then the sum over all its places, so the
derivative of picking is to add up: `ScatterAdd`, whose own derivative is to pick again. A place may
also be assigned to more than once: the last value wins, and only that value has a gradient.
"""

import math
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import array_api_compat as compat

from xpnet._libraries import library_of
from xpnet._libraries.devices import follows
from xpnet._libraries.numpy import require_unmasked
from xpnet._typing import Array
from xpnet.autodiff._half_precision import in_full
from xpnet.autodiff._views import is_view_of, require_writable, view, write
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import Variable, data_of
from xpnet.backend import to_numpy
from xpnet.errors import ArgumentError, ArgumentTypeError, IndexingError, ShapeError
from xpnet.functions._in_float32 import cast_like
from xpnet.functions._registry import from_front, method, standard
from xpnet.functions._shapes import broadcasts_to
from xpnet.kernels.bounds import require_within, require_within_on_host
from xpnet.kernels.lookup import kernel

# The kinds of numbers, each of which includes those before it, by Python's type and by name.
SCALARS: Sequence[type[bool | int | float | complex]] = (bool, int, float, complex)
KINDS = ("bool", "integral", "real floating", "complex floating")

# A key as a tuple of integers, slices, `...`, None and arrays of integers or booleans.
Key = tuple[Any, ...]


class GetItem(Function):
    """x[key] for integers, slices, `...` and None: each number is picked at most once."""

    def __init__(self, key: Key) -> None:
        self.key = key

    def forward(self, x: Array) -> Array:
        self.x_shape = x.shape
        return x[self.key]

    def backward(self, gy: Array) -> Array:
        return PutItem(self.key, self.x_shape)(gy)


class PutItem(Function):
    """Zeros of `shape` with x at [key]: the transpose of `GetItem`."""

    def __init__(self, key: Key, shape: tuple[int, ...]) -> None:
        self.key = key
        self.shape = shape

    def forward(self, x: Array) -> Array:
        xp = array_namespace(x)
        zeros = xp.zeros(self.shape, dtype=x.dtype, device=compat.device(x))
        # The standard does not define an assignment to new axes.
        place = tuple(k for k in self.key if k is not None)
        return library_of(zeros).set_item(zeros, place, xp.reshape(x, zeros[place].shape))

    def backward(self, gy: Array) -> Array:
        return gy[self.key]


class SetItem(Function):
    """x after x[key] = value, for a value of x's dtype that broadcasts; x itself does not change.

    The gradient of x is that of the result, with zeros at the key. The gradient of the value is the
    part at the key, with zeros for the numbers that another number of the value overwrote.
    """

    def __init__(self, key: Any) -> None:
        self.key = key
        self.by_mask = any(map(_is_mask, _as_tuple(key)))
        self.may_repeat = any(map(_is_integer_array, _as_tuple(key)))

    def forward(self, x: Array, value: Array | complex) -> Array:
        try:
            by_array = self.by_mask or self.may_repeat
            if by_array and not self._library_assigns_in_order(x, value):
                return self._assigned_by_where(x, value)
            return library_of(x).with_item(x, self.key, value)
        except (ValueError, RuntimeError, TypeError) as error:
            expected = tuple(x[self.key].shape)
            given = tuple(getattr(value, "shape", ()))
            if broadcasts_to(given, expected):
                raise
            raise ShapeError(
                f"x[key] = value expected a value that broadcasts to the shape of x[key], "
                f"{expected}, got shape {given}."
            ) from error

    def backward(self, gy: Array) -> tuple[Array | None, Array | None]:
        needs_x, needs_value = self.needs
        gx = None
        gvalue = None
        if needs_x:
            gx = SetItem(self.key)(gy, 0.0)
        if needs_value and self.may_repeat:
            gvalue = self._gradient_of_last_values(gy)
        elif needs_value:
            gvalue = gy[self.key]
        return gx, gvalue

    def _library_assigns_in_order(self, x: Array, value: Array | complex) -> bool:
        """Whether the library's own assignment by arrays lets the last of several values win."""
        one_value = math.prod(getattr(value, "shape", ())) == 1  # any of equal values may win
        return library_of(x).assigns_by_arrays(self.may_repeat, one_value)

    def _assigned_by_where(self, x: Array, value: Array | complex) -> Array:
        """The result by `where`: some libraries do not define which of several values wins."""
        xp = array_namespace(x)
        places, last = self._last_assignments(x)
        values = xp.asarray(value, dtype=x.dtype, device=compat.device(x))
        values = xp.reshape(xp.broadcast_to(values, places.shape), (-1,))
        if not values.shape[0]:
            return xp.asarray(x, copy=True)
        chosen = xp.take(values, xp.where(last < 0, 0, last), axis=0)
        return xp.reshape(xp.where(last < 0, xp.reshape(x, (-1,)), chosen), x.shape)

    def _gradient_of_last_values(self, gy: Array) -> Array:
        """gy[key], with zeros for values that were overwritten."""
        places, last = self._last_assignments(data_of(gy))
        xp = array_namespace(places)
        flat = xp.reshape(places, (-1,))
        order = xp.arange(flat.shape[0], dtype=last.dtype, device=compat.device(flat))
        is_last = xp.reshape(xp.take(last, flat, axis=0) == order, places.shape)
        return array_namespace(gy).where(is_last, gy[self.key], 0.0)

    def _last_assignments(self, x: Array) -> tuple[Array, Array]:
        """The places of x that the key names, and for each place of x its last assignment.

        Places are counted in the flattened x, and assignments in the flattened key; a place that
        the key does not name has -1.
        """
        xp = array_namespace(x)
        size = math.prod(x.shape)
        numbered = xp.reshape(xp.arange(size, device=compat.device(x)), x.shape)
        places = numbered[self.key]
        return places, library_of(x).last_at(xp.reshape(places, (-1,)), size)


class Pick(Function):
    """The numbers of x that `choose` picks by their places: some perhaps several times, some never.

    `choose` is applied to x and, for the derivative, to an array that numbers the places of x. The
    result of the second shows where each picked number came from.
    """

    def __init__(self, choose: Callable[[Array], Array]) -> None:
        self.choose = choose

    def forward(self, x: Array) -> Array:
        self.x_shape = x.shape
        return self.choose(x)

    def backward(self, gy: Array) -> Array:
        xp = array_namespace(gy)
        size = math.prod(self.x_shape)
        order = xp.arange(size, device=compat.device(data_of(gy)))
        numbered = data_of(xp.reshape(order, self.x_shape))
        places = array_namespace(numbered).reshape(self.choose(numbered), (-1,))
        gx = ScatterAdd(places, size)(xp.reshape(gy, (-1,)))
        return xp.reshape(gx, self.x_shape)


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
    """`length` rows of zeros, with the rows of x added at the places `indices`."""

    def __init__(self, indices: Array, length: int) -> None:
        self.indices = indices
        self.length = length

    def forward(self, x: Array) -> Array:
        if fast := kernel("added_by_index", x):
            return fast(x, self.indices, self.length)
        xp = array_namespace(x)
        full = in_full(x)
        zeros = xp.zeros((self.length, *x.shape[1:]), dtype=full.dtype, device=compat.device(x))
        return cast_like(library_of(zeros).scatter_add(zeros, self.indices, full), x)

    def backward(self, gy: Array) -> Array:
        return Take(self.indices)(gy)


@method("__getitem__")
@follows
def getitem(x: Array, key: Any) -> Array:
    """x[key]: the numbers of x that the key picks.

    Parameters
    ----------
    x : array or Variable
    key : integers, slices, `...`, None, a mask, arrays or lists of integers, or a tuple of these

    Returns
    -------
    array or Variable
        For a Variable x and a key without arrays and lists, it is a view: what is assigned to it is
        assigned to x.

    Raises
    ------
    IndexError
        The key is invalid or out of range. For arrays and lists of integers, the error is that of
        the library; on CuPy it is raised as for `take`, and JAX uses the nearest index that is in
        range instead.

    Examples
    --------
    `x[key]` calls it; a gradient goes back to the numbers that were picked, as often as they were.

    >>> from xpnet import functions as F, grad, to_numpy
    >>> x = F.asarray([1.0, 2.0, 3.0])
    >>> to_numpy(x[1:]).tolist()
    [2.0, 3.0]
    >>> to_numpy(grad(lambda x: F.sum(x[[0, 2, 2]]))(x)).tolist()
    [1.0, 0.0, 2.0]
    """
    keys = _checked_key(_lists_as_arrays(key, x))
    if any(hasattr(k, "shape") for k in keys):
        # A mask stays without a tuple if it came without one: some libraries refuse it in a tuple.
        chosen = keys if isinstance(key, tuple) else keys[0]
        _require_masks_fit(keys, x.shape)
        _check_index_arrays(keys, data_of(x))
        return Pick(lambda x: x[chosen])(x)
    _check_bounds(keys, x.shape)
    if any(map(_has_negative_step, keys)) and not library_of(data_of(x)).slices_backwards:
        forward, axes = _with_positive_steps(keys, x.shape)
        return array_namespace(x).flip(getitem(x, forward), axis=axes)
    return view(GetItem(keys)(x), x, keys, _item_of, _with_item)


def _item_of(x: Array, keys: Key) -> Array:
    """x[keys], for keys without arrays that have been checked."""
    return GetItem(keys)(x)


def _with_item(x: Array, keys: Key, value: Any) -> Array:
    """x after x[keys] = value, for a value of that shape and keys that pick each number once."""
    # The standard does not define an assignment to new axes.
    place = tuple(k for k in keys if k is not None)
    if len(place) < len(keys):
        value = array_namespace(value).reshape(value, data_of(x)[place].shape)
    return SetItem(place)(x, value)


@method("__setitem__")
@follows
def setitem(x: Variable, key: Any, value: Any) -> None:
    """x[key] = value: x gets a new array and, if x or the value has a history, a new node.

    Results that were computed from x before keep the numbers that they were computed from, and
    their derivatives do not change. Results that are computed from x afterwards are differentiated
    through the assignment, to any order. Views of x, such as `x[0]` or a reshaped x, show the new
    numbers; if x is itself a view, the assignment reaches the Variable that it is a view of.

    An assignment copies x: filling n numbers one by one takes n copies. `stack` or `concat` of the
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
        x is a leaf that requires a gradient, or a view of one, and the assignment is recorded: it
        is not within `no_grad`.
    ArgumentTypeError
        The value's kind of dtype is above that of x: floating-point numbers for integers.
    ShapeError
        The value does not broadcast to the shape of x[key].
    IndexError
        The key is invalid or out of range, as for `getitem`.
    """
    require_writable(x, "x[key] = value")
    keys = _checked_key(_lists_as_arrays(key, x))
    if any(hasattr(k, "shape") for k in keys):
        _set_by_arrays(x, keys, _as_value(value, x))
    elif not is_view_of(value, x, _item_of, keys):  # x[key] += 1 has written to its view already
        _set_by_slices(x, keys, _as_value(value, x))


def _set_by_arrays(x: Variable, keys: Key, value: Any) -> None:
    """x[keys] = value, for keys with masks or arrays of integers."""
    if any(k is None for k in keys):
        raise IndexingError(
            "x[key] = value expected no None beside arrays in the key: it makes a new axis. "
            "Leave it out of the key, and give the value the shape of x[key] without it."
        )
    _require_masks_fit(keys, x.shape)
    _check_index_arrays(keys, x.data)
    if library_of(x.data).wraps_indices:  # sent to the GPU once: derivatives read the key again
        xp = array_namespace(x.data)
        keys = tuple(xp.asarray(k) if hasattr(k, "shape") else k for k in keys)
    chosen = keys if len(keys) > 1 else keys[0]  # some libraries refuse a mask in a tuple
    value = _without_extra_axes(value, lambda: x.data[chosen].shape)
    write(x, SetItem(chosen)(x, value))


def _set_by_slices(x: Variable, keys: Key, value: Any) -> None:
    """x[keys] = value, for keys without arrays."""
    _check_bounds(keys, x.shape)
    xp = array_namespace(x)
    if any(map(_has_negative_step, keys)) and not library_of(x.data).slices_backwards:
        forward, axes = _with_positive_steps(keys, x.shape)
        part = x[forward]
        if not hasattr(value, "shape"):
            value = xp.full_like(part, value)
        setitem(part, ..., xp.flip(xp.broadcast_to(value, part.shape), axis=axes))
        return
    value = _without_extra_axes(value, lambda: x.data[keys].shape)
    if None in keys and hasattr(value, "shape"):
        shape = x.data[keys].shape
        _require_broadcast(value.shape, shape)
        write(x, _with_item(x, keys, xp.broadcast_to(value, shape)))
    else:
        write(x, SetItem(tuple(k for k in keys if k is not None))(x, value))


@method("in_place")
@follows
def in_place(x: Variable, y: Variable, sign: str) -> Variable:
    """x after `x += value`, where y is x + value; or after another such operator, `sign`.

    It is an assignment like x[...] = y and raises the same errors. It also raises where NumPy would
    not cast the dtype of y to that of x (casting "same_kind").
    """
    statement = f"x {sign}= value"
    require_writable(x, statement)
    if y.shape != x.shape:
        raise ShapeError(
            f"{statement} expected a value that broadcasts to the shape of x, {tuple(x.shape)}; the "
            f"result has shape {tuple(y.shape)}. Write x = x {sign} value."
        )
    if y.dtype != x.dtype:
        loses_sign = has_dtype(y.data, "signed integer") and has_dtype(x.data, "unsigned integer")
        if _rank(y) > _rank(x) or loses_sign:
            raise ArgumentTypeError(
                f"{statement} expected numbers that keep x in its dtype, {x.dtype}; the result is of "
                f"{y.dtype}. Write x = x {sign} value, or cast the value with xp.astype first."
            )
        y = array_namespace(y).astype(y, x.dtype)
    write(x, y)
    return x


def _as_value(value: Any, x: Variable) -> Any:
    """The value in the library and dtype of x, or as a scalar of its kind.

    Raises
    ------
    ArgumentTypeError
        The value is not of numbers, or of a kind above that of x.
    ArgumentError
        It is a masked array, and some of its numbers are masked.
    """
    if isinstance(value, (list, tuple)):
        value = array_namespace(x).asarray(value)
    number = isinstance(value, (bool, int, float, complex)) and not hasattr(value, "shape")
    if not number and not hasattr(value, "shape"):
        raise ArgumentTypeError(
            f"x[key] = value expected a Variable, an array, a number or a list of numbers, got "
            f"{type(value).__name__}."
        )
    if not number:
        array_namespace(x.data, data_of(value))  # raises for arrays of different libraries
        require_unmasked(value)
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


def _rank(x: Any) -> int:
    """The kind of a number or an array: 0 bool, 1 integers, 2 floating-point, 3 complex numbers."""
    if not hasattr(x, "dtype"):
        return next(i for i, kind in enumerate(SCALARS) if isinstance(x, kind))
    return next(i for i, kind in enumerate(KINDS) if has_dtype(data_of(x), kind))


def _lists_as_arrays(key: Any, x: Array) -> tuple[Any, ...]:
    """A key as a tuple, with arrays in place of lists."""
    return tuple(_list_as_array(k, x) if isinstance(k, list) else k for k in _as_tuple(key))


def _list_as_array(k: list[Any], x: Array) -> Array:
    """A list in a key as an array of x's library and device; an empty list becomes integers.

    For CuPy it stays on the host, where its integers can be checked at once.
    """
    array = data_of(x)
    xp = array_namespace(array)
    device = compat.device(array)
    if not k:
        return xp.zeros((0,), dtype=xp.int64, device=device)
    if library_of(array).wraps_indices:
        return to_numpy(k)
    return xp.asarray(k, device=device)


def _without_extra_axes(value: Any, target_shape: Callable[[], tuple[int, ...]]) -> Any:
    """The value without leading axes of length 1 that the target lacks.

    The shape of the target costs an indexing operation, so it is asked for only where needed.
    """
    shape: tuple[int, ...] = getattr(value, "shape", ())
    if len(shape) < 2 or shape[0] != 1:
        return value
    extra = len(shape) - len(target_shape())
    if extra <= 0 or any(n != 1 for n in shape[:extra]):
        return value
    return array_namespace(value).reshape(value, shape[extra:])


def _require_broadcast(shape: tuple[int, ...], target: tuple[int, ...]) -> None:
    if not broadcasts_to(shape, target):
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
    indices : array of integers, of any shape
        From 0 to n - 1; they may repeat. On NumPy, CuPy and PyTorch -1, -2, ... count from the end.
    axis : int, optional
        Required unless x has one dimension.

    Returns
    -------
    array or Variable
        Shape of x with the axis replaced by the shape of `indices`.

    Raises
    ------
    IndexError
        An index is out of range. On CuPy the error is raised when xpnet next brings numbers to the
        host, so that no call waits for the GPU; with XPNET_DEBUG_INDICES=1 in the environment, by
        the call itself. JAX raises no error.
    IndexingError
        x has no such axis.
    ArgumentError
        No axis is given, and x does not have one dimension.
    TypeError
        The indices are not integers, or belong to another library than x.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.take(F.asarray([10.0, 20.0, 30.0]), F.asarray([2, 0]))
    Variable(array([30., 10.], dtype=float32))
    """
    xp = array_namespace(x)
    if axis is None and x.ndim != 1:
        raise ArgumentError(f"take expected an axis, for x of shape {tuple(x.shape)}, got None.")
    if not has_dtype(indices, "integral"):
        raise ArgumentTypeError(f"take expected indices of integers, got {indices.dtype}.")
    axis = from_front(axis or 0, x.ndim, "take")
    indices = data_of(indices)
    _require_one_library(x, indices)
    _check_indices("take", indices, data_of(x), axis)
    flat = array_namespace(indices).reshape(indices, (-1,))
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    if axis:
        x = xp.moveaxis(x, axis, 0)
    rows = Take(flat)(x)
    if axis:
        rows = xp.moveaxis(rows, 0, axis)
    return xp.reshape(rows, shape)


@standard
@follows
def take_along_axis(x: Array, indices: Array, /, *, axis: int = -1) -> Array:
    """The numbers of x that `indices` name along `axis`, each at its place in the other axes.

    For two dimensions and axis 1, y[i, j] = x[i, indices[i, j]].

    Parameters
    ----------
    x : array or Variable, shape (..., n, ...)
    indices : array of integers, shape (..., m, ...)
        It has as many dimensions as x; its other axes broadcast against those of x.
    axis : int

    Returns
    -------
    array or Variable, shape (..., m, ...)

    Raises
    ------
    IndexError
        An index is out of range, as for `take`.
    IndexingError
        x has no such axis.
    ArgumentError
        The indices do not have as many dimensions as x.
    TypeError
        The indices belong to another library than x.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.take_along_axis(F.asarray([[1.0, 2.0], [3.0, 4.0]]), F.asarray([[1], [0]]), axis=1)
    Variable(array([[2.],
           [3.]], dtype=float32))
    """
    if indices.ndim != x.ndim:
        raise ArgumentError(
            f"take_along_axis expected indices of {x.ndim} dimensions, got {indices.ndim}."
        )
    indices = data_of(indices)
    axis = from_front(axis, x.ndim, "take_along_axis")
    _require_one_library(x, indices)
    _check_indices("take_along_axis", indices, data_of(x), axis)
    return along_axis(x, indices, axis)


def along_axis(x: Array, indices: Array, axis: int) -> Array:
    """`take_along_axis` with indices that are known to be in range."""
    return Pick(lambda x: array_namespace(x).take_along_axis(x, indices, axis=axis))(x)


def _require_one_library(x: Array, indices: Array) -> None:
    """Raise TypeError for indices of another library: CuPy would copy NumPy's in each call."""
    array_namespace(data_of(x), indices)


def _check_indices(name: str, indices: Array, x: Array, axis: int) -> None:
    """Check indices along an axis of x where the library would wrap them around, as CuPy does.

    For other libraries it does nothing. See `kernels.bounds`.

    Parameters
    ----------
    name : str
        The function that was given the indices, for the error.
    indices : array of integers
        They belong to the library of x, or lie on the host.
    x : array
    axis : int

    Raises
    ------
    IndexError
        An index is out of range. For an array of CuPy it is raised when numbers next come to the
        host.
    """
    if not library_of(x).wraps_indices:
        return
    length = x.shape[axis]
    if library_of(indices).wraps_indices:
        require_within(name, indices, -length, length - 1)
    else:
        require_within_on_host(name, indices, -length, length - 1)


def _check_index_arrays(keys: Key, x: Array) -> None:
    """`_check_indices` for each array of integers in x[keys]."""
    if not library_of(x).wraps_indices:
        return
    consumed = [_axes_consumed(k) for k in keys]
    ellipsis = next((i for i, k in enumerate(keys) if k is ...), None)
    if ellipsis is not None:
        consumed[ellipsis] = x.ndim - (sum(consumed) - 1)
    for i, k in enumerate(keys):
        axis = sum(consumed[:i])
        if _is_integer_array(k) and axis < x.ndim:
            _check_indices("x[key]", k, x, axis)


def _axes_consumed(k: Any) -> int:
    """How many axes of x one part of a key applies to; an ellipsis counts as one."""
    if _is_mask(k):
        return int(k.ndim)
    return 0 if k is None else 1


def _is_mask(k: Any) -> bool:
    return hasattr(k, "shape") and has_dtype(k, "bool")


def _is_integer_array(k: Any) -> bool:
    return hasattr(k, "shape") and not _is_mask(k)


def _checked_key(key: Any) -> Key:
    """A key as a tuple, with Python's integers in place of NumPy's.

    Raises
    ------
    IndexingError
        A part of the key is of a type that cannot index an array.
    """
    keys = tuple(int(k) if _is_integer(k) else data_of(k) for k in _as_tuple(key))
    if not all(map(_is_key, keys)):
        given = ", ".join(map(_kind_of, keys))
        raise IndexingError(
            f"x[key] expected integers, slices, ..., None and arrays of integers or booleans, "
            f"got {given}."
        )
    return keys


def _is_key(k: Any) -> bool:
    if hasattr(k, "shape"):
        return has_dtype(k, "integral", "bool")
    return isinstance(k, (type(None), type(...), slice)) or _is_integer(k)


def _kind_of(k: Any) -> str:
    """The kind of one part of a key, for an error."""
    return f"an array of {k.dtype}" if hasattr(k, "shape") else type(k).__name__


def _require_masks_fit(keys: Key, shape: tuple[int, ...]) -> None:
    """Raise IndexingError unless each mask has the shape of the axes that it chooses from."""
    consumed = [_axes_consumed(k) for k in keys]
    ellipsis = next((i for i, k in enumerate(keys) if k is ...), len(keys))
    for i, k in enumerate(keys):
        if not _is_mask(k):
            continue
        axis = sum(consumed[:i])
        if i > ellipsis:  # axes after an ellipsis are counted from the end
            axis = len(shape) - sum(consumed[i:])
        chosen = tuple(shape[axis : axis + k.ndim])
        if tuple(k.shape) != chosen:
            raise IndexingError(
                f"x[mask] expected a mask of shape {chosen}, got {tuple(k.shape)}; x has shape "
                f"{tuple(shape)}."
            )


def _has_negative_step(k: Any) -> bool:
    """Whether k is a slice with a negative step, which PyTorch does not support."""
    return isinstance(k, slice) and k.step is not None and k.step < 0


def _with_positive_steps(keys: Key, shape: tuple[int, ...]) -> tuple[Key, tuple[int, ...]]:
    """A key that picks the same numbers in rising order, and the axes of x[key] to be flipped."""
    forward: list[Any] = []
    flipped = []
    axis = 0  # of x
    axis_of_result = 0
    for k in _without_ellipsis(keys, len(shape)):
        if _has_negative_step(k):
            forward.append(_reversed_slice(k, shape[axis]))
            flipped.append(axis_of_result)
        else:
            forward.append(k)
        if k is not None:
            axis += 1
        if not isinstance(k, int):
            axis_of_result += 1
    return tuple(forward), tuple(flipped)


def _without_ellipsis(keys: Key, ndim: int) -> list[Any]:
    """A key without arrays, with full slices for its ellipsis and for the axes after its end."""
    if ... not in keys:
        keys = (*keys, ...)
    consumed = sum(k is not None and k is not ... for k in keys)
    at = keys.index(...)
    return [*keys[:at], *[slice(None)] * (ndim - consumed), *keys[at + 1 :]]


def _reversed_slice(k: slice, length: int) -> slice:
    """The slice with a positive step that picks the same numbers."""
    chosen = range(*k.indices(length))
    if not chosen:
        return slice(0, 0)
    return slice(chosen[-1], chosen[0] + 1, -chosen.step)


def _as_tuple(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


def _is_integer(k: Any) -> bool:
    """Whether k is an integer, NumPy's included; True and False do not count as integers."""
    return isinstance(k, Integral) and not isinstance(k, bool)


def _check_bounds(keys: Key, shape: tuple[int, ...]) -> None:
    """Raise IndexingError for an integer that is out of range: JAX would use the nearest one."""
    axes = [k for k in keys if k is not None]
    has_ellipsis = ... in axes
    ellipsis = axes.index(...) if has_ellipsis else len(axes)
    given = len(axes) - has_ellipsis
    if given > len(shape):
        raise IndexingError(
            f"x[key] expected at most {len(shape)} indices, one for each axis, got {given}; x has "
            f"shape {tuple(shape)}."
        )
    for i, k in enumerate(axes):
        if not isinstance(k, int):
            continue
        axis = i if i < ellipsis else i + len(shape) - len(axes)
        n = shape[axis]
        if not -n <= k < n:
            expected = f"an index from {-n} to {n - 1}" if n else "no index"
            raise IndexingError(
                f"x[key] expected {expected} along axis {axis}, got {k}: it is out of range. x has "
                f"shape {tuple(shape)}."
            )
