"""NumPy's functions that choose: by condition, by index, by size; sorting, searching, rounding."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from xpnet._interoperability.numpy.table import (
    ADVICE,
    arrays_in,
    flat,
    front,
    integers,
    lifted,
    listed,
    namespace_of,
    not_available,
    numpys,
)
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import data_of
from xpnet.errors import ArgumentError

ADVICE["mode"] = 'Only mode="raise" is available.'
ADVICE["sorter"] = "Sort x1 first."
ADVICE["axis"] = "Compute it for one slice after another."

# --- by condition ---------------------------------------------------------------------------------


@numpys("where", refuses=())
def where(condition: Array, x: Array | None = None, y: Array | None = None, /) -> Array:
    """np.where: x where the condition holds, else y; the places where it holds, without x and y."""
    x, y = listed(x, y) if any(True for _ in arrays_in((x, y))) else (x, y)
    model = next(arrays_in((condition, x, y)))
    condition = integers(model, condition)
    xp = namespace_of(condition, x, y)
    if x is None and y is None:
        return xp.nonzero(condition)
    if not has_dtype(condition, "bool"):
        condition = condition != 0
    return xp.where(condition, x, y)


@numpys("select")
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """np.select: for each place the choice of the first condition that holds."""
    result = default
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        result = where(condition, choice, result)
    return result


@numpys("choose", refuses=("out", "mode"))
def choose(a: Array, choices: Any, out: Array | None = None, mode: str = "raise") -> Array:
    """np.choose: for each place the choice of that number; 0 to len(choices) - 1."""
    model = next(arrays_in(choices), a)
    a = integers(model, a)
    choices = list(choices)
    result = choices[-1]
    for i in reversed(range(len(choices) - 1)):
        result = where(a == i, choices[i], result)
    return result


@numpys("compress")
def compress(
    condition: Array, a: Array, axis: int | None = None, out: Array | None = None
) -> Array:
    """np.compress: the slices along an axis where the condition holds."""
    condition = integers(a, condition)
    if axis is None:
        a, axis = flat(a), 0
    (places,) = array_namespace(data_of(condition)).nonzero(data_of(condition))
    return array_namespace(a).take(a, places, axis=axis)


@numpys("extract")
def extract(condition: Array, arr: Array) -> Array:
    """np.extract: the numbers where the condition holds."""
    condition = integers(arr, condition)
    return compress(flat(condition), flat(arr), 0)


@numpys("clip")
def clip(
    a: Array,
    a_min: Any = None,
    a_max: Any = None,
    out: Array | None = None,
    *,
    min: Any = None,
    max: Any = None,
    **options: Any,
) -> Array:
    """np.clip: the nearest number between two bounds."""
    for option in options:
        raise not_available("clip", option)
    a, low, high = listed(a, a_min if min is None else min, a_max if max is None else max)
    if isinstance(a, (int, float)):
        a = lifted(a, low, high)[0]
    return namespace_of(a, low, high).clip(a, low, high)


@numpys("nan_to_num")
def nan_to_num(
    x: Array, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Array:
    """np.nan_to_num: numbers in place of NaN and of infinities, which become the largest."""
    xp = array_namespace(x)
    if not has_dtype(x, "real floating"):
        return x
    limits = xp.finfo(x.dtype)
    x = xp.where(xp.isnan(x), nan, x)
    x = xp.where(x == math.inf, float(limits.max) if posinf is None else posinf, x)
    return xp.where(x == -math.inf, float(limits.min) if neginf is None else neginf, x)


# --- by index -------------------------------------------------------------------------------------


@numpys("take", refuses=("out",))
def take(
    a: Array, indices: Array, axis: int | None = None, out: Array | None = None, mode: str = "raise"
) -> Array:
    """np.take: the numbers at these indices along an axis, or of the flattened array."""
    if axis is None:
        a, axis = flat(a), 0
    axis = front(axis, a.ndim, "take")
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


@numpys("take_along_axis")
def take_along_axis(arr: Array, indices: Array, axis: Any = -1) -> Array:
    """np.take_along_axis: for each place the number at that index along an axis."""
    if axis is None:
        arr, axis = flat(arr), 0
    return array_namespace(arr).take_along_axis(arr, indices, axis=axis)


# --- sorting --------------------------------------------------------------------------------------


@numpys("sort", refuses=("order",))
def sort(
    a: Array, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: Any = None
) -> Array:
    """np.sort: in ascending order along an axis; of the flattened array for None."""
    if axis is None:
        a, axis = flat(a), 0
    return array_namespace(a).sort(a, axis=axis)


@numpys("argsort", refuses=("order",))
def argsort(
    a: Array, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: Any = None
) -> Array:
    """np.argsort: the indices that sort along an axis."""
    if axis is None:
        a, axis = flat(a), 0
    return array_namespace(a).argsort(a, axis=axis)


@numpys("partition", refuses=("order",))
def partition(
    a: Array, kth: Any, axis: int | None = -1, kind: str = "introselect", order: Any = None
) -> Array:
    """np.partition: smaller numbers before the k-th, larger ones after it; here all are sorted."""
    return sort(a, axis)


@numpys("argpartition", refuses=("order",))
def argpartition(
    a: Array, kth: Any, axis: int | None = -1, kind: str = "introselect", order: Any = None
) -> Array:
    """np.argpartition: the indices of np.partition."""
    return argsort(a, axis)


@numpys("sort_complex")
def sort_complex(a: Array) -> Array:
    """np.sort_complex: sorted, as complex numbers."""
    xp = array_namespace(a)
    if has_dtype(a, "complex floating"):
        raise not_available("sort_complex", "a")
    return xp.astype(xp.sort(a), xp.result_type(a.dtype, xp.complex64))


# --- searching ------------------------------------------------------------------------------------


def _place(name: str) -> Callable[..., Any]:
    """np.argmax or np.argmin."""

    def place(
        a: Array, axis: int | None = None, out: Array | None = None, *, keepdims: bool = False
    ) -> Array:
        """The index of the largest or smallest number."""
        return getattr(array_namespace(a), name)(a, axis=axis, keepdims=keepdims)

    return numpys(name)(place)


def _nan_place(name: str, worst: float) -> Callable[..., Any]:
    """np.nanargmax or np.nanargmin."""

    def place(
        a: Array, axis: int | None = None, out: Array | None = None, *, keepdims: bool = False
    ) -> Array:
        """The index of the largest or smallest of the numbers that are not NaN."""
        xp = array_namespace(a)
        numbers = xp.where(xp.isnan(a), worst, a)
        return getattr(xp, name)(numbers, axis=axis, keepdims=keepdims)

    return numpys(f"nan{name}")(place)


argmax = _place("argmax")
argmin = _place("argmin")
nanargmax = _nan_place("argmax", -math.inf)
nanargmin = _nan_place("argmin", math.inf)


@numpys("nonzero")
def nonzero(a: Array) -> Array:
    """np.nonzero: the places of the numbers that are not 0, an array for each axis."""
    return array_namespace(a).nonzero(a)


@numpys("flatnonzero")
def flatnonzero(a: Array) -> Array:
    """np.flatnonzero: the places in the flattened array of the numbers that are not 0."""
    return nonzero(flat(a))[0]


@numpys("argwhere")
def argwhere(a: Array) -> Array:
    """np.argwhere: the places of the numbers that are not 0, a row for each."""
    return array_namespace(a).stack(nonzero(a), axis=-1)


@numpys("count_nonzero")
def count_nonzero(a: Array, axis: Any = None, *, keepdims: bool = False) -> Array:
    """np.count_nonzero: how many numbers are not 0."""
    return array_namespace(a).count_nonzero(a, axis=axis, keepdims=keepdims)


@numpys("searchsorted")
def searchsorted(a: Array, v: Array, side: str = "left", sorter: Any = None) -> Array:
    """np.searchsorted: where to insert numbers into a sorted array."""
    a, v = lifted(a, v)
    xp = array_namespace(a, v)
    return xp.searchsorted(a, v, side=side, sorter=sorter)


@numpys("digitize")
def digitize(x: Array, bins: Any, right: bool = False) -> Array:
    """np.digitize: the number of the bin, for bins in ascending order."""
    return searchsorted(bins, x, "left" if right else "right")


@numpys("isin")
def isin(
    element: Any,
    test_elements: Any,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    kind: Any = None,
) -> Any:
    """np.isin: whether a number is among others."""
    element, test_elements = lifted(element, test_elements)
    return array_namespace(element, test_elements).isin(element, test_elements, invert=invert)


# --- sets -----------------------------------------------------------------------------------------


@numpys("unique", refuses=("axis", "equal_nan"))
def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: Any = None,
    *,
    equal_nan: bool = True,
    sorted: bool = True,
) -> Any:
    """np.unique: the different numbers, in ascending order, and on request where they are."""
    found = array_namespace(ar).unique_all(ar)
    wanted = {
        "indices": return_index,
        "inverse_indices": return_inverse,
        "counts": return_counts,
    }
    parts = [getattr(found, name) for name, asked in wanted.items() if asked]
    return (found.values, *parts) if parts else found.values


def _unique(name: str) -> Callable[..., Any]:
    """np.unique_all and its kind: the standard's."""

    def unique_of(x: Array) -> Array:
        """The different numbers, and where they are."""
        return getattr(array_namespace(x), name)(x)

    return numpys(name)(unique_of)


unique_all = _unique("unique_all")
unique_counts = _unique("unique_counts")
unique_inverse = _unique("unique_inverse")
unique_values = _unique("unique_values")


@numpys("union1d")
def union1d(ar1: Array, ar2: Array) -> Array:
    """np.union1d: the different numbers of both."""
    ar1, ar2 = lifted(ar1, ar2)
    xp = array_namespace(ar1, ar2)
    return xp.unique_values(xp.concat([flat(ar1), flat(ar2)]))


# --- rounding and parts of numbers ----------------------------------------------------------------


@numpys("round", "around")
def round_(a: Array, decimals: int = 0, out: Array | None = None) -> Array:
    """np.round: to so many decimals; a step, without derivative."""
    xp = array_namespace(a)
    if decimals == 0:
        return xp.round(a)
    scale = 10.0 ** abs(decimals)
    a = data_of(a) if hasattr(a, "creator") else a
    rounded = xp.round(xp.asarray(a * scale if decimals > 0 else a / scale))
    return rounded / scale if decimals > 0 else rounded * scale


@numpys("fix")
def fix(x: Array, out: Array | None = None) -> Array:
    """np.fix: without the fraction."""
    return array_namespace(x).trunc(x)


@numpys("real")
def real(val: Any) -> Any:
    """np.real: the real part."""
    return array_namespace(val).real(val) if has_dtype(val, "complex floating") else val


@numpys("imag")
def imag(val: Any) -> Any:
    """np.imag: the imaginary part; of a real number 0."""
    xp = array_namespace(val)
    return xp.imag(val) if has_dtype(val, "complex floating") else xp.zeros_like(val)


@numpys("real_if_close")
def real_if_close(a: Array, tol: float = 100) -> Array:
    """np.real_if_close: the real part, if no imaginary part is larger than `tol` epsilons."""
    if not has_dtype(a, "complex floating"):
        return a
    xp = array_namespace(a)
    limit = tol * xp.finfo(a.dtype).eps if tol > 1 else tol
    return xp.real(a) if bool(xp.all(xp.abs(xp.imag(a)) < limit)) else a


@numpys("angle")
def angle(z: Array, deg: bool = False) -> Array:
    """np.angle: the argument of a complex number, in radians or degrees."""
    y = array_namespace(z).atan2(imag(z), real(z))
    return y * (180.0 / math.pi) if deg else y


@numpys("sinc")
def sinc(x: Array) -> Array:
    """np.sinc: sin(pi x) / (pi x); near 0 a polynomial, which has all derivatives."""
    xp = array_namespace(x)
    near = xp.abs(x) < 0.03
    z = math.pi * xp.where(near, x, 0.0)
    z2 = z * z
    series = 1.0 - z2 / 6.0 * (1.0 - z2 / 20.0 * (1.0 - z2 / 42.0 * (1.0 - z2 / 72.0)))
    far = math.pi * xp.where(near, 1.0, x)
    return xp.where(near, series, xp.sin(far) / far)
