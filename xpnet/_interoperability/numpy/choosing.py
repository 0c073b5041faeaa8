"""NumPy's functions that select: by condition, by index, by size; sorting, searching, rounding."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

from xpnet._interoperability.numpy.registry import (
    ADVICE,
    Axis,
    Number,
    arrays_in,
    as_arrays,
    flat,
    implements,
    integers,
    lists_as_arrays,
    namespace_of,
    not_available,
    positive_axis,
)
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import data_of
from xpnet.errors import ArgumentError

ADVICE["mode"] = 'Only mode="raise" is available.'
ADVICE["sorter"] = "Sort x1 first."
ADVICE["axis"] = "Call it for each slice."

# --- by condition ---------------------------------------------------------------------------------


@implements("where", refuses=())
def where(
    condition: Array, x: Array | None = None, y: Array | None = None, /
) -> Array | tuple[Array, ...]:
    """np.where: x where the condition holds, else y. Without x and y, the indices where it holds."""
    if any(True for _ in arrays_in((x, y))):
        x, y = lists_as_arrays(x, y)
    model = next(arrays_in((condition, x, y)))
    condition = integers(model, condition)
    xp = namespace_of(condition, x, y)
    if x is None and y is None:
        return xp.nonzero(condition)
    if not has_dtype(condition, "bool"):
        condition = condition != 0
    return xp.where(condition, x, y)


@implements("select")
def select(
    condlist: Sequence[Array], choicelist: Sequence[Array], default: Array | Number = 0
) -> Array:
    """np.select: elementwise, the choice whose condition is the first that holds."""
    result = default
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        result = where(condition, choice, result)
    return result


@implements("piecewise")
def piecewise(
    x: Array,
    condlist: Array | Sequence[Array],
    funclist: Sequence[Callable[..., Array] | Array | Number],
    *args: Any,
    **kw: Any,
) -> Array:
    """np.piecewise: each function of those elements for which its condition is the last that holds."""
    x = as_arrays(x, *arrays_in([condlist]))[0]
    conditions = _conditions(condlist, x)
    functions = list(funclist)
    xp = namespace_of(x, conditions)
    if len(functions) == len(conditions) + 1:
        conditions.append(xp.logical_not(functools.reduce(xp.logical_or, conditions)))
    if len(functions) != len(conditions):
        raise ArgumentError(
            f"np.piecewise expected {len(conditions)} functions, or one more, got {len(functions)}."
        )
    y = xp.zeros_like(x)
    for condition, function in zip(conditions, functions, strict=True):
        part = x[condition]
        if part.size:
            y[condition] = function(part, *args, **kw) if callable(function) else function
    return y


def _conditions(condlist: Array | Sequence[Array], x: Array) -> list[Array]:
    """The conditions of np.piecewise, of the shape of x: one array may be one condition, or several."""
    one = isinstance(condlist, bool) or (
        getattr(condlist, "ndim", None) == x.ndim
        if hasattr(condlist, "ndim")
        else not hasattr(condlist[0], "__len__") and x.ndim > 0
    )
    xp = namespace_of(x)
    masks = (integers(x, c) for c in ([condlist] if one else condlist))
    return [xp.broadcast_to(xp.astype(mask, xp.bool), x.shape) for mask in masks]


@implements("choose", refuses=("out", "mode"))
def choose(a: Array, choices: Array, out: Array | None = None, mode: str = "raise") -> Array:
    """np.choose: elementwise, choices[i] where a is i, from 0 to len(choices) - 1."""
    model = next(arrays_in(choices), a)
    a = integers(model, a)
    choices = list(choices)
    result = choices[-1]
    for i in reversed(range(len(choices) - 1)):
        result = where(a == i, choices[i], result)
    return result


@implements("compress")
def compress(
    condition: Array, a: Array, axis: int | None = None, out: Array | None = None
) -> Array:
    """np.compress: the slices along an axis where the condition holds."""
    condition = integers(a, condition)
    if axis is None:
        a = flat(a)
        axis = 0
    (indices,) = array_namespace(data_of(condition)).nonzero(data_of(condition))
    return array_namespace(a).take(a, indices, axis=axis)


@implements("extract")
def extract(condition: Array, arr: Array) -> Array:
    """np.extract: the elements where the condition holds."""
    condition = integers(arr, condition)
    return compress(flat(condition), flat(arr), 0)


@implements("clip")
def clip(
    a: Array,
    a_min: Array | Number | None = None,
    a_max: Array | Number | None = None,
    out: Array | None = None,
    *,
    min: Array | Number | None = None,
    max: Array | Number | None = None,
    **options: Any,
) -> Array:
    """np.clip: the nearest number within two bounds."""
    for option in options:
        raise not_available("clip", option)
    low = a_min if min is None else min
    high = a_max if max is None else max
    a, low, high = lists_as_arrays(a, low, high)
    if isinstance(a, (int, float)):
        a = as_arrays(a, low, high)[0]
    return namespace_of(a, low, high).clip(a, low, high)


@implements("nan_to_num")
def nan_to_num(
    x: Array,
    copy: bool = True,
    nan: float = 0.0,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Array:
    """np.nan_to_num: NaN becomes 0, and infinities become the largest finite numbers."""
    xp = array_namespace(x)
    if not has_dtype(x, "real floating"):
        return x
    limits = xp.finfo(x.dtype)
    if posinf is None:
        posinf = float(limits.max)
    if neginf is None:
        neginf = float(limits.min)
    x = xp.where(xp.isnan(x), nan, x)
    x = xp.where(x == math.inf, posinf, x)
    return xp.where(x == -math.inf, neginf, x)


# --- by index -------------------------------------------------------------------------------------


@implements("take", refuses=("out",))
def take(
    a: Array, indices: Array, axis: int | None = None, out: Array | None = None, mode: str = "raise"
) -> Array:
    """np.take: the elements at these indices along an axis, or of the flattened array."""
    if axis is None:
        a = flat(a)
        axis = 0
    axis = positive_axis(axis, a.ndim, "take")
    xp = array_namespace(a)
    indices = integers(a, indices)
    n = a.shape[axis]
    if mode == "wrap":
        indices = xp.remainder(indices, n)
    elif mode == "clip":
        indices = xp.clip(indices, 0, n - 1)
    elif mode != "raise":
        raise ArgumentError(f'np.take expected the mode "raise", "wrap" or "clip", got {mode!r}.')
    return xp.take(a, indices, axis=axis)


@implements("take_along_axis")
def take_along_axis(arr: Array, indices: Array, axis: int | None = -1) -> Array:
    """np.take_along_axis: elementwise, the element at that index along an axis."""
    if axis is None:
        arr = flat(arr)
        axis = 0
    return array_namespace(arr).take_along_axis(arr, indices, axis=axis)


# --- sorting --------------------------------------------------------------------------------------


@implements("sort", refuses=("order",))
def sort(
    a: Array,
    axis: int | None = -1,
    kind: str | None = None,
    order: str | None = None,
    *,
    stable: bool | None = None,
) -> Array:
    """np.sort: in ascending order along an axis; with None, of the flattened array."""
    if axis is None:
        a = flat(a)
        axis = 0
    return array_namespace(a).sort(a, axis=axis)


@implements("argsort", refuses=("order",))
def argsort(
    a: Array,
    axis: int | None = -1,
    kind: str | None = None,
    order: str | None = None,
    *,
    stable: bool | None = None,
) -> Array:
    """np.argsort: the indices that sort along an axis."""
    if axis is None:
        a = flat(a)
        axis = 0
    return array_namespace(a).argsort(a, axis=axis)


@implements("partition", refuses=("order",))
def partition(
    a: Array, kth: Array, axis: int | None = -1, kind: str = "introselect", order: str | None = None
) -> Array:
    """np.partition: smaller elements before the k-th, larger ones after it. Here all are sorted."""
    return sort(a, axis)


@implements("argpartition", refuses=("order",))
def argpartition(
    a: Array, kth: Array, axis: int | None = -1, kind: str = "introselect", order: str | None = None
) -> Array:
    """np.argpartition: the indices of np.partition."""
    return argsort(a, axis)


@implements("sort_complex")
def sort_complex(a: Array) -> Array:
    """np.sort_complex: sorted, with a complex dtype."""
    xp = array_namespace(a)
    if has_dtype(a, "complex floating"):
        raise not_available("sort_complex", "a")
    return xp.astype(xp.sort(a), xp.result_type(a.dtype, xp.complex64))


# --- searching ------------------------------------------------------------------------------------


def _index_of_extreme(name: str) -> Callable[..., Any]:
    """np.argmax or np.argmin."""

    def index_of_extreme(
        a: Array, axis: int | None = None, out: Array | None = None, *, keepdims: bool = False
    ) -> Array:
        """The index of the largest or smallest element."""
        return getattr(array_namespace(a), name)(a, axis=axis, keepdims=keepdims)

    return implements(name)(index_of_extreme)


def _nan_index_of_extreme(name: str, worst: float) -> Callable[..., Any]:
    """np.nanargmax or np.nanargmin."""

    def index_of_extreme(
        a: Array, axis: int | None = None, out: Array | None = None, *, keepdims: bool = False
    ) -> Array:
        """The index of the largest or smallest element that is not NaN."""
        xp = array_namespace(a)
        numbers = xp.where(xp.isnan(a), worst, a)
        return getattr(xp, name)(numbers, axis=axis, keepdims=keepdims)

    return implements(f"nan{name}")(index_of_extreme)


argmax = _index_of_extreme("argmax")
argmin = _index_of_extreme("argmin")
nanargmax = _nan_index_of_extreme("argmax", -math.inf)
nanargmin = _nan_index_of_extreme("argmin", math.inf)


@implements("nonzero")
def nonzero(a: Array) -> tuple[Array, ...]:
    """np.nonzero: the indices of the elements that are not 0, an array for each axis."""
    indices: tuple[Array, ...] = array_namespace(a).nonzero(a)
    return indices


@implements("flatnonzero")
def flatnonzero(a: Array) -> Array:
    """np.flatnonzero: the indices of the elements of the flattened array that are not 0."""
    return nonzero(flat(a))[0]


@implements("argwhere")
def argwhere(a: Array) -> Array:
    """np.argwhere: the indices of the elements that are not 0, a row for each."""
    return array_namespace(a).stack(nonzero(a), axis=-1)


@implements("count_nonzero")
def count_nonzero(a: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """np.count_nonzero: the number of elements that are not 0."""
    return array_namespace(a).count_nonzero(a, axis=axis, keepdims=keepdims)


@implements("searchsorted")
def searchsorted(a: Array, v: Array, side: str = "left", sorter: Array | None = None) -> Array:
    """np.searchsorted: the indices at which to insert numbers into a sorted array."""
    a, v = as_arrays(a, v)
    xp = array_namespace(a, v)
    return xp.searchsorted(a, v, side=side, sorter=sorter)


@implements("digitize")
def digitize(x: Array, bins: Array, right: bool = False) -> Array:
    """np.digitize: the number of the bin, for bins in ascending or descending order."""
    bins, x = as_arrays(bins, x)
    side = "left" if right else "right"
    edges = data_of(bins)
    xp = array_namespace(edges)
    if bool(xp.all(edges[1:] >= edges[:-1])):
        return searchsorted(bins, x, side)
    if bool(xp.all(edges[1:] <= edges[:-1])):
        ascending = array_namespace(bins).flip(bins)
        return edges.shape[0] - searchsorted(ascending, x, side)
    raise ArgumentError("np.digitize expected bins in ascending or descending order, got neither.")


@implements("isin")
def isin(
    element: Array,
    test_elements: Array,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    kind: str | None = None,
) -> Array:
    """np.isin: elementwise, whether an element is among others."""
    element, test_elements = as_arrays(element, test_elements)
    return array_namespace(element, test_elements).isin(element, test_elements, invert=invert)


# --- sets -----------------------------------------------------------------------------------------


@implements("unique", refuses=("axis", "equal_nan"))
def unique(
    ar: Array,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    sorted: bool = True,
) -> Array | tuple[Array, ...]:
    """np.unique: the distinct elements in ascending order, and on request their indices and counts."""
    found = array_namespace(ar).unique_all(ar)
    parts = [found.values]
    if return_index:
        parts.append(found.indices)
    if return_inverse:
        parts.append(found.inverse_indices)
    if return_counts:
        parts.append(found.counts)
    return tuple(parts) if len(parts) > 1 else found.values


def _unique(name: str) -> Callable[..., Any]:
    """One of np.unique_all, np.unique_counts and so on, which are the standard's."""

    def unique_of(x: Array) -> Array | tuple[Array, ...]:
        """The distinct elements, with their indices or counts."""
        return getattr(array_namespace(x), name)(x)

    return implements(name)(unique_of)


unique_all = _unique("unique_all")
unique_counts = _unique("unique_counts")
unique_inverse = _unique("unique_inverse")
unique_values = _unique("unique_values")


@implements("union1d")
def union1d(ar1: Array, ar2: Array) -> Array:
    """np.union1d: the distinct elements of both."""
    ar1, ar2 = as_arrays(ar1, ar2)
    xp = array_namespace(ar1, ar2)
    return xp.unique_values(xp.concat([flat(ar1), flat(ar2)]))


# --- rounding and parts of numbers ----------------------------------------------------------------


@implements("round", "around")
def round_(a: Array, decimals: int = 0, out: Array | None = None) -> Array:
    """np.round: to this number of decimals; a step, without a derivative."""
    xp = array_namespace(a)
    if decimals == 0:
        return xp.round(a)
    a = data_of(a)
    scale = 10.0 ** abs(decimals)
    if decimals > 0:
        return xp.round(xp.asarray(a * scale)) / scale
    return xp.round(xp.asarray(a / scale)) * scale


@implements("fix")
def fix(x: Array, out: Array | None = None) -> Array:
    """np.fix: without the fraction."""
    return array_namespace(x).trunc(x)


@implements("real")
def real(val: Array) -> Array:
    """np.real: the real part."""
    if not has_dtype(val, "complex floating"):
        return val
    return array_namespace(val).real(val)


@implements("imag")
def imag(val: Array) -> Array:
    """np.imag: the imaginary part, which is 0 for a real array."""
    xp = array_namespace(val)
    if not has_dtype(val, "complex floating"):
        return xp.zeros_like(val)
    return xp.imag(val)


@implements("real_if_close")
def real_if_close(a: Array, tol: float = 100) -> Array:
    """np.real_if_close: the real part, if no imaginary part is larger than `tol` epsilons."""
    if not has_dtype(a, "complex floating"):
        return a
    xp = array_namespace(a)
    limit = tol
    if tol > 1:
        limit = tol * xp.finfo(a.dtype).eps
    is_close = bool(xp.all(xp.abs(xp.imag(a)) < limit))
    return xp.real(a) if is_close else a


@implements("angle")
def angle(z: Array, deg: bool = False) -> Array:
    """np.angle: the argument of a complex number, in radians or degrees."""
    y = array_namespace(z).atan2(imag(z), real(z))
    if deg:
        return y * (180.0 / math.pi)
    return y


@implements("sinc")
def sinc(x: Array) -> Array:
    """np.sinc: sin(pi x) / (pi x), and near 0 a polynomial, which has derivatives of every order."""
    xp = array_namespace(x)
    near = xp.abs(x) < 0.03
    # Where one branch is chosen, the other is computed from a number that suits it: otherwise the 0 / 0
    # of the branch that is not chosen would make the derivative NaN.
    z = math.pi * xp.where(near, x, 0.0)
    z2 = z * z
    # The Taylor polynomial of sin(z) / z: 1 - z^2/3! + z^4/5! - z^6/7! + z^8/9!.
    series = 1.0 - z2 / 6.0 * (1.0 - z2 / 20.0 * (1.0 - z2 / 42.0 * (1.0 - z2 / 72.0)))
    far = math.pi * xp.where(near, 1.0, x)
    return xp.where(near, series, xp.sin(far) / far)
