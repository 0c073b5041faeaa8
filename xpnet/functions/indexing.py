"""Picking: x[key], `take` and `take_along_axis`; and assignment, for Variables without history.

A number may be picked more than once. Its gradient is then the sum over all its places, so the
derivative of picking is to add up: `ScatterAdd`, whose own derivative is to pick again.
"""

import math
from collections.abc import Callable
from numbers import Integral
from typing import Any

import array_api_compat as compat

from xpnet.autodiff import Function, data_of
from xpnet.backend import array_like, scatter_add, with_item
from xpnet.devices import follows
from xpnet.errors import ArgumentError, ArgumentTypeError, GradientError, IndexingError
from xpnet.functions.declare import from_front, method, standard
from xpnet.functions.wide import like
from xpnet.half import in_full
from xpnet.kernels.bounds import require_within, require_within_on_host
from xpnet.kernels.scatter import added
from xpnet.namespace import array_namespace, has_dtype


class GetItem(Function):
    """x[key] for integers, slices, `...` and None: each number is picked at most once."""

    def __init__(self, key: tuple[Any, ...]) -> None:
        self.key = key

    def forward(self, x: Any) -> Any:
        self.was = x.shape
        return x[self.key]

    def backward(self, gy: Any) -> Any:
        return PutItem(self.key, self.was)(gy)


class PutItem(Function):
    """Zeros of `shape`, but x at [key]: it undoes x[key], and x[key] undoes it."""

    def __init__(self, key: tuple[Any, ...], shape: tuple[int, ...]) -> None:
        self.key, self.to = key, shape

    def forward(self, x: Any) -> Any:
        xp = array_namespace(x)
        zeros = xp.zeros(self.to, dtype=x.dtype, device=compat.device(x))
        place = tuple(k for k in self.key if k is not None)  # to assign to new axes is not standard
        return with_item(zeros, place, xp.reshape(x, zeros[place].shape))

    def backward(self, gy: Any) -> Any:
        return gy[self.key]


class Pick(Function):
    """Any choice of numbers from x that `choose` makes, by place: some of them twice, some never.

    Where each came from is found by the same choice, made in an array that numbers the places.
    """

    def __init__(self, choose: Callable[[Any], Any]) -> None:
        self.choose = choose

    def forward(self, x: Any) -> Any:
        self.was = x.shape
        return self.choose(x)

    def backward(self, gy: Any) -> Any:
        xp, size = array_namespace(gy), math.prod(self.was)
        numbered = data_of(xp.reshape(xp.arange(size, device=compat.device(data_of(gy))), self.was))
        places = array_namespace(numbered).reshape(self.choose(numbered), (-1,))
        return xp.reshape(ScatterAdd(places, size)(xp.reshape(gy, (-1,))), self.was)


class Take(Function):
    """Rows of x, by an array of one dimension: the first axis of x is the one to pick from."""

    def __init__(self, indices: Any) -> None:
        self.indices = indices

    def forward(self, x: Any) -> Any:
        self.length = x.shape[0]
        return array_namespace(x).take(x, self.indices, axis=0)

    def backward(self, gy: Any) -> Any:
        return ScatterAdd(self.indices, self.length)(gy)


class ScatterAdd(Function):
    """Rows of zeros, as many as `length`, with the rows of x added at the places `indices`."""

    def __init__(self, indices: Any, length: int) -> None:
        self.indices, self.length = indices, length

    def forward(self, x: Any) -> Any:
        if compat.is_cupy_array(x):
            return added(x, self.indices, self.length)
        xp, full = array_namespace(x), in_full(x)
        zeros = xp.zeros((self.length, *x.shape[1:]), dtype=full.dtype, device=compat.device(x))
        return like(scatter_add(zeros, self.indices, full), x)

    def backward(self, gy: Any) -> Any:
        return Take(self.indices)(gy)


@method("__getitem__")
@follows
def getitem(x: Any, key: Any) -> Any:
    """x[key]: integers, slices, `...`, None, a mask, arrays of integers, or a tuple of these."""
    keys = tuple(int(k) if _is_integer(k) else data_of(k) for k in _as_tuple(key))
    plain = (type(None), type(...), slice)
    if not all(isinstance(k, plain) or _is_integer(k) or hasattr(k, "shape") for k in keys):
        given = ", ".join(type(k).__name__ for k in keys)
        raise IndexingError(
            f"x[key] expected integers, slices, ..., None and arrays of integers or booleans, "
            f"got {given}."
        )
    if any(hasattr(k, "shape") for k in keys):
        chosen = keys if isinstance(key, tuple) else keys[0]
        _look_at_arrays(keys, data_of(x))
        return Pick(lambda x: x[chosen])(x)
    _check_bounds(keys, x.shape)
    return GetItem(keys)(x)


@method("__setitem__")
@follows
def setitem(x: Any, key: Any, value: Any) -> None:
    """x[key] = value, for a Variable that nobody has to differentiate.

    x gets a new array: what was computed from the old one, or shares memory with it, stays.
    """
    if x.requires_grad or getattr(value, "requires_grad", False):
        raise GradientError(
            "x[key] = value would change what is recorded: "
            f"{'x' if x.requires_grad else 'value'} requires a gradient. "
            "Write a new array instead: F.where(mask, value, x), or F.concat of its parts."
        )
    key = tuple(map(data_of, key)) if isinstance(key, tuple) else data_of(key)
    _look_at_arrays(_as_tuple(key), x.data)
    x.data = with_item(array_like(x.data, x.data), key, data_of(value))


@standard
@follows
def take(x: Any, indices: Any, /, *, axis: int | None = None) -> Any:
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
def take_along_axis(x: Any, indices: Any, /, *, axis: int = -1) -> Any:
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


def along_axis(x: Any, indices: Any, axis: int) -> Any:
    """`take_along_axis` with indices that are known to be in range."""
    return Pick(lambda x: array_namespace(x).take_along_axis(x, indices, axis=axis))(x)


def _require_one_library(x: Any, indices: Any) -> None:
    """Raise TypeError for indices of another library: CuPy would copy NumPy's in each call."""
    array_namespace(data_of(x), indices)


def look(name: str, indices: Any, x: Any, axis: int, least: int | None = None) -> None:
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
    if not compat.is_cupy_array(x):
        return
    length = x.shape[axis]
    require = require_within if compat.is_cupy_array(indices) else require_within_on_host
    require(name, indices, -length if least is None else least, length - 1)


def _look_at_arrays(keys: tuple[Any, ...], x: Any) -> None:
    """`look` at each array of integers in x[keys], and at lists, which CuPy takes in an assignment."""
    if not compat.is_cupy_array(x):
        return
    taken = [getattr(k, "ndim", 1) if _is_mask(k) else 0 if k is None else 1 for k in keys]
    first = next((i for i, k in enumerate(keys) if k is ...), None)
    if first is not None:
        taken[first] = x.ndim - (sum(taken) - 1)
    for i, k in enumerate(keys):
        chooses = isinstance(k, list) or (hasattr(k, "shape") and not _is_mask(k))
        if chooses and sum(taken[:i]) < x.ndim:
            look("x[key]", k, x, sum(taken[:i]))


def _is_mask(k: Any) -> bool:
    return hasattr(k, "shape") and has_dtype(k, "bool")


def _as_tuple(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


def _is_integer(k: Any) -> bool:
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
