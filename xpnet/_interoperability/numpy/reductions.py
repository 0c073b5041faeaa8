"""NumPy's reductions: sums, means, extremes, cumulative sums, and those that ignore NaN."""

import math
from collections.abc import Callable
from typing import Any

from xpnet._interoperability.numpy.registry import (
    ADVICE,
    REFUSED,
    ArrayLike,
    Axis,
    Mask,
    Number,
    along,
    arrays_in,
    as_arrays,
    as_tuple,
    cast,
    dtype_of,
    flat,
    implements,
    integers,
    lists_as_arrays,
    not_available,
    positive_axis,
)
from xpnet._typing import Array, DType
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import as_constant, data_of
from xpnet.errors import ArgumentError
from xpnet.functions.indexing import ScatterAdd

ADVICE["method"] = 'Only method="linear" is available.'


def _masked(x: Array, where: Mask, neutral: Array | Number) -> Array:
    """x, with the neutral number where the mask is false."""
    if where is None or where is True:
        return x
    where = integers(x, where)
    return array_namespace(x).where(where, x, neutral)


def _neutral(x: Array, number: int) -> int | bool:
    """0 or 1 as a number, or as a boolean if x is boolean."""
    return bool(number) if has_dtype(x, "bool") else number


@implements("sum")
def sum_(
    a: Array,
    axis: Axis = None,
    dtype: DType | None = None,
    out: Array | None = None,
    keepdims: bool = False,
    initial: Array | Number | None = None,
    where: Mask = None,
) -> Array:
    """np.sum: `initial` plus the sum of the elements where the mask is true."""
    xp = array_namespace(a)
    a = _masked(a, where, _neutral(a, 0))
    y = xp.sum(a, axis=axis, dtype=dtype_of(xp, dtype), keepdims=keepdims)
    if initial is not None:
        y = y + initial
    return y


@implements("prod")
def prod(
    a: Array,
    axis: Axis = None,
    dtype: DType | None = None,
    out: Array | None = None,
    keepdims: bool = False,
    initial: Array | Number | None = None,
    where: Mask = None,
) -> Array:
    """np.prod: `initial` times the product of the elements where the mask is true."""
    xp = array_namespace(a)
    a = _masked(a, where, _neutral(a, 1))
    y = xp.prod(a, axis=axis, dtype=dtype_of(xp, dtype), keepdims=keepdims)
    if initial is not None:
        y = y * initial
    return y


def _extreme(name: str, pair: str) -> Callable[..., Any]:
    """np.max or np.min; `pair` is the elementwise function of two arrays."""

    def extreme(
        a: Array,
        axis: Axis = None,
        out: Array | None = None,
        keepdims: bool = False,
        initial: Array | Number | None = None,
        where: Mask = None,
    ) -> Array:
        """The largest or smallest of `initial` and the elements where the mask is true."""
        xp = array_namespace(a)
        if where is not None and where is not True:
            if initial is None:
                raise ArgumentError(
                    f"np.{name} expected `initial` with the mask `where`, got None."
                )
            a = _masked(a, where, initial)
        y = getattr(xp, name)(a, axis=axis, keepdims=keepdims)
        if initial is None:
            return y
        return getattr(xp, pair)(y, xp.full_like(y, initial))

    return implements(name, f"a{name}")(extreme)


max_ = _extreme("max", "maximum")
min_ = _extreme("min", "minimum")


@implements("mean")
def mean(
    a: Array,
    axis: Axis = None,
    dtype: DType | None = None,
    out: Array | None = None,
    keepdims: bool = False,
    *,
    where: Mask = None,
) -> Array:
    """np.mean: the mean of the elements where the mask is true."""
    xp = array_namespace(a)
    a = cast(a, dtype)
    if where is None or where is True:
        return xp.mean(a, axis=axis, keepdims=keepdims)
    total = xp.sum(_masked(a, where, 0), axis=axis, keepdims=keepdims)
    return total / _count(a, where, axis, keepdims)


def _count(a: Array, where: Mask, axis: Axis, keepdims: bool) -> Array:
    """The number of elements that the mask selects, in the dtype of `a`."""
    where = integers(a, where)
    xp = array_namespace(a)
    selected = xp.broadcast_to(xp.astype(where, a.dtype), a.shape)
    return xp.sum(selected, axis=axis, keepdims=keepdims)


@implements("var", refuses=(*REFUSED, "mean"))
def var(
    a: Array,
    axis: Axis = None,
    dtype: DType | None = None,
    out: Array | None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Mask = None,
    mean: Array | None = None,
    correction: float | None = None,
) -> Array:
    """np.var: sum(|a - mean|^2) / (n - ddof), over the n elements where the mask is true."""
    xp = array_namespace(a)
    a = cast(a, dtype)
    if correction is not None:
        ddof = correction
    everywhere = where is None or where is True
    is_complex = has_dtype(a, "complex floating")
    if everywhere and not is_complex:
        return xp.var(a, axis=axis, correction=ddof, keepdims=keepdims)
    if everywhere:
        where = xp.ones_like(xp.isnan(a))
    deviations = _masked(a - _mean(a, axis, where), where, 0)
    squares = deviations * deviations
    if is_complex:
        squares = xp.real(deviations * xp.conj(deviations))
    count = _count(squares, where, axis, keepdims)
    total = xp.sum(squares, axis=axis, keepdims=keepdims)
    return total / xp.maximum(count - ddof, xp.zeros_like(count))


def _mean(a: Array, axis: Axis, where: Mask) -> Array:
    """`mean`, under a name that the parameter `mean` of `var` does not hide."""
    return mean(a, axis, keepdims=True, where=where)


@implements("std", refuses=(*REFUSED, "mean"))
def std(
    a: Array,
    axis: Axis = None,
    dtype: DType | None = None,
    out: Array | None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Mask = None,
    mean: Array | None = None,
    correction: float | None = None,
) -> Array:
    """np.std: the square root of np.var."""
    variance = var(a, axis, dtype, None, ddof, keepdims, where=where, correction=correction)
    return array_namespace(variance).sqrt(variance)


def _truth(name: str) -> Callable[..., Any]:
    """np.any or np.all."""

    def truth(
        a: Array,
        axis: Axis = None,
        out: Array | None = None,
        keepdims: bool = False,
        *,
        where: Mask = None,
    ) -> Array:
        """Whether any element, or each element, is not 0 where the mask is true."""
        a = _masked(a, where, _neutral(a, int(name == "all")))
        return getattr(array_namespace(a), name)(a, axis=axis, keepdims=keepdims)

    return implements(name)(truth)


any_ = _truth("any")
all_ = _truth("all")


@implements("ptp")
def ptp(a: Array, axis: Axis = None, out: Array | None = None, keepdims: bool = False) -> Array:
    """np.ptp: the largest minus the smallest."""
    xp = array_namespace(a)
    return xp.max(a, axis=axis, keepdims=keepdims) - xp.min(a, axis=axis, keepdims=keepdims)


@implements("average")
def average(
    a: Array,
    axis: Axis = None,
    weights: ArrayLike | None = None,
    returned: bool = False,
    *,
    keepdims: bool = False,
) -> Array | tuple[Array, Array]:
    """np.average: sum(w a) / sum(w). Weights w with fewer axes than `a` lie along `axis`."""
    a, weights = lists_as_arrays(a, weights)
    xp = array_namespace(a, weights)
    if weights is None:
        weights = xp.ones_like(a)
    elif weights.ndim < a.ndim:
        axes = [positive_axis(i, a.ndim, "average") for i in as_tuple(axis)]
        lengths = iter(weights.shape)
        shape = tuple(next(lengths) if i in axes else 1 for i in range(a.ndim))
        weights = xp.reshape(weights, shape)
    weights = xp.broadcast_to(weights, a.shape)
    total = xp.sum(weights, axis=axis, keepdims=keepdims)
    y = xp.sum(a * weights, axis=axis, keepdims=keepdims) / total
    if returned:
        return y, total
    return y


@implements("bincount")
def bincount(x: Array, /, weights: Array | None = None, minlength: int = 0) -> Array:
    """np.bincount: for each number from 0 on, how often it is in x, or the sum of its weights."""
    model = next(arrays_in((weights, x)))
    x = data_of(integers(model, x))
    xp = array_namespace(x)
    if has_dtype(x, "bool"):
        x = xp.astype(x, xp.int64)
    if x.ndim != 1 or has_dtype(x, "real floating") or (x.size and int(xp.min(x)) < 0):
        raise ArgumentError("np.bincount expected integers from 0 on, of shape (n,).")
    n = max(minlength, int(xp.max(x)) + 1 if x.size else 0)
    if weights is None:
        return as_constant(ScatterAdd(x, n)(xp.ones_like(x)))
    (weights,) = as_arrays(weights) if weights is model else as_arrays(weights, model)[:1]
    return ScatterAdd(x, n)(weights)


# --- order statistics -----------------------------------------------------------------------------


@implements("median")
def median(
    a: Array,
    axis: Axis = None,
    out: Array | None = None,
    overwrite_input: bool = False,
    keepdims: bool = False,
) -> Array:
    """np.median: the middle element, or the mean of the two in the middle."""
    return quantile(a, 0.5, axis, keepdims=keepdims)


@implements("quantile", refuses=("out", "method", "weights"))
def quantile(
    a: Array,
    q: ArrayLike,
    axis: Axis = None,
    out: Array | None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Array | None = None,
) -> Array:
    """np.quantile: the number below which a share q of the elements lies, linearly interpolated."""
    xp = array_namespace(a)
    rows, shape = _rows(a, axis, keepdims)
    has_nan = xp.any(xp.isnan(rows), axis=-1)
    ordered = xp.sort(rows, axis=-1)
    parts = []
    for p in _quantiles(q):
        y = xp.where(has_nan, math.nan, _interpolated(ordered, float(p)))
        parts.append(xp.reshape(y, shape))
    return xp.stack(parts) if _are_several(q) else parts[0]


def _rows(a: Array, axis: Axis, keepdims: bool) -> tuple[Array, tuple[int, ...]]:
    """`a` with the axes to reduce as one, the last; and the shape that the reduction has."""
    xp = array_namespace(a)
    if axis is None:
        axis = tuple(range(a.ndim))
    reduced = [positive_axis(i, a.ndim, "quantile") for i in as_tuple(axis)]
    remaining = [i for i in range(a.ndim) if i not in reduced]
    shape = tuple(a.shape[i] for i in remaining)
    rows = xp.reshape(xp.permute_dims(a, (*remaining, *reduced)), (*shape, -1))
    if keepdims:
        shape = tuple(1 if i in reduced else n for i, n in enumerate(a.shape))
    return rows, shape


def _quantiles(q: ArrayLike) -> list[ArrayLike]:
    """The quantiles to compute; there is no derivative with respect to them."""
    if getattr(q, "requires_grad", False):
        raise not_available("quantile", "q")
    return list(q) if _are_several(q) else [q]


def _are_several(q: ArrayLike) -> bool:
    """Whether q is a list, or an array with axes."""
    return hasattr(q, "__len__") and getattr(q, "ndim", 1) > 0


def _interpolated(ordered: Array, q: float) -> Array:
    """The quantile of sorted rows, interpolated between two elements."""
    if not 0.0 <= q <= 1.0:
        raise ArgumentError(f"np.quantile expected q from 0 to 1, got {q}.")
    place = q * (ordered.shape[-1] - 1)
    below = math.floor(place)
    above = math.ceil(place)
    if below == above:
        return ordered[..., below]
    part = place - below
    return ordered[..., below] * (1.0 - part) + ordered[..., above] * part


@implements("percentile", refuses=("out", "method", "weights"))
def percentile(
    a: Array,
    q: ArrayLike,
    axis: Axis = None,
    out: Array | None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Array | None = None,
) -> Array:
    """np.percentile: np.quantile of q / 100."""
    shares = [float(p) / 100.0 for p in _quantiles(q)]
    if not _are_several(q):
        return quantile(a, shares[0], axis, keepdims=keepdims)
    return quantile(a, shares, axis, keepdims=keepdims)


# --- cumulative reductions ------------------------------------------------------------------------


def _running(name: str, standard: str) -> Callable[..., Any]:
    """np.cumsum or np.cumprod."""

    def running(
        a: Array, axis: Axis = None, dtype: DType | None = None, out: Array | None = None
    ) -> Array:
        """The sums, or products, up to each element; by default of the flattened array."""
        xp = array_namespace(a)
        if axis is None:
            a = flat(a)
            axis = 0
        return getattr(xp, standard)(a, axis=axis, dtype=dtype_of(xp, dtype))

    return implements(name)(running)


cumsum = _running("cumsum", "cumulative_sum")
cumprod = _running("cumprod", "cumulative_prod")


def _cumulative(name: str) -> Callable[..., Any]:
    """np.cumulative_sum or np.cumulative_prod, which are the standard's."""

    def cumulative(
        x: Array,
        /,
        *,
        axis: Axis = None,
        dtype: DType | None = None,
        out: Array | None = None,
        include_initial: bool = False,
    ) -> Array:
        """The sums, or products, up to each element, after the empty one with `include_initial`."""
        xp = array_namespace(x)
        return getattr(xp, name)(
            x, axis=axis, dtype=dtype_of(xp, dtype), include_initial=include_initial
        )

    return implements(name)(cumulative)


cumulative_sum = _cumulative("cumulative_sum")
cumulative_prod = _cumulative("cumulative_prod")


# --- without NaN ----------------------------------------------------------------------------------


def _without_nan(name: str, neutral: float) -> Callable[..., Any]:
    """A reduction such as np.nansum, with NaN replaced by a number that does not change it."""
    function = {"sum": sum_, "prod": prod, "cumsum": cumsum, "cumprod": cumprod}[name]

    def without(a: Array, *args: Any, out: Array | None = None, **options: Any) -> Array:
        """The reduction of the elements that are not NaN."""
        xp = array_namespace(a)
        return function(xp.where(xp.isnan(a), neutral, a), *args, **options)

    return implements(f"nan{name}")(without)


nansum = _without_nan("sum", 0.0)
nanprod = _without_nan("prod", 1.0)
nancumsum = _without_nan("cumsum", 0.0)
nancumprod = _without_nan("cumprod", 1.0)


def _nan_extreme(name: str, neutral: float) -> Callable[..., Any]:
    """np.nanmax or np.nanmin."""

    def extreme(
        a: Array,
        axis: Axis = None,
        out: Array | None = None,
        keepdims: bool = False,
        initial: Array | Number | None = None,
        where: Mask = None,
    ) -> Array:
        """The largest, or smallest, element that is not NaN; NaN if all are."""
        xp = array_namespace(a)
        missing = xp.isnan(a)
        y = getattr(xp, name)(xp.where(missing, neutral, a), axis=axis, keepdims=keepdims)
        return xp.where(xp.all(missing, axis=axis, keepdims=keepdims), math.nan, y)

    return implements(f"nan{name}", refuses=("out", "initial", "where"))(extreme)


nanmax = _nan_extreme("max", -math.inf)
nanmin = _nan_extreme("min", math.inf)


def _present(a: Array, where: Mask) -> tuple[Array, Array]:
    """`a` with 0 in place of NaN, and the mask of the elements that are not NaN."""
    xp = array_namespace(a)
    present = xp.logical_not(xp.isnan(a))
    if where is not None and where is not True:
        where = integers(a, where)
        present = xp.logical_and(present, where)
    return xp.where(present, a, 0.0), present


@implements("nanmean")
def nanmean(
    a: Array,
    axis: Axis = None,
    dtype: DType | None = None,
    out: Array | None = None,
    keepdims: bool = False,
    *,
    where: Mask = None,
) -> Array:
    """np.nanmean: the mean of the elements that are not NaN."""
    a, present = _present(cast(a, dtype), where)
    return mean(a, axis, None, None, keepdims, where=present)


@implements("nanmedian")
def nanmedian(
    a: Array,
    axis: Axis = None,
    out: Array | None = None,
    overwrite_input: bool = False,
    keepdims: bool = False,
) -> Array:
    """np.nanmedian: the median of the elements that are not NaN."""
    return nanquantile(a, 0.5, axis, keepdims=keepdims)


@implements("nanquantile", refuses=("out", "method", "weights"))
def nanquantile(
    a: Array,
    q: ArrayLike,
    axis: Axis = None,
    out: Array | None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Array | None = None,
) -> Array:
    """np.nanquantile: np.quantile of the elements that are not NaN; NaN if all are."""
    xp = array_namespace(a)
    rows, shape = _rows(a, axis, keepdims)
    missing = xp.isnan(rows)
    ordered = xp.sort(xp.where(missing, math.inf, rows), axis=-1)
    last = data_of(xp.count_nonzero(xp.logical_not(missing), axis=-1, keepdims=True) - 1)
    parts = []
    for p in _quantiles(q):
        y = _interpolated_up_to(ordered, float(p), last)
        parts.append(xp.reshape(xp.where(xp.all(missing, axis=-1), math.nan, y), shape))
    return xp.stack(parts) if _are_several(q) else parts[0]


@implements("nanpercentile", refuses=("out", "method", "weights"))
def nanpercentile(
    a: Array,
    q: ArrayLike,
    axis: Axis = None,
    out: Array | None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Array | None = None,
) -> Array:
    """np.nanpercentile: np.nanquantile of q / 100."""
    shares = [float(p) / 100.0 for p in _quantiles(q)]
    if not _are_several(q):
        return nanquantile(a, shares[0], axis, keepdims=keepdims)
    return nanquantile(a, shares, axis, keepdims=keepdims)


def _interpolated_up_to(ordered: Array, q: float, last: Array) -> Array:
    """The quantile of sorted rows, each of which ends at an index of its own, last, of shape (..., 1)."""
    if not 0.0 <= q <= 1.0:
        raise ArgumentError(f"np.nanquantile expected q from 0 to 1, got {q}.")
    xp = array_namespace(last)
    end = xp.clip(last, 0, None)
    place = q * xp.astype(end, ordered.dtype)
    below = xp.astype(xp.floor(place), end.dtype)
    above = xp.minimum(below + 1, end)
    part = place - xp.floor(place)
    take = array_namespace(ordered).take_along_axis
    y = take(ordered, below, axis=-1) * (1.0 - part) + take(ordered, above, axis=-1) * part
    return y[..., 0]


@implements("nanvar", refuses=(*REFUSED, "mean"))
def nanvar(
    a: Array,
    axis: Axis = None,
    dtype: DType | None = None,
    out: Array | None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Mask = None,
    mean: Array | None = None,
    correction: float | None = None,
) -> Array:
    """np.nanvar: the variance of the elements that are not NaN."""
    a, present = _present(cast(a, dtype), where)
    return var(a, axis, None, None, ddof, keepdims, where=present, correction=correction)


@implements("nanstd", refuses=(*REFUSED, "mean"))
def nanstd(
    a: Array,
    axis: Axis = None,
    dtype: DType | None = None,
    out: Array | None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Mask = None,
    mean: Array | None = None,
    correction: float | None = None,
) -> Array:
    """np.nanstd: the square root of np.nanvar."""
    variance = nanvar(a, axis, dtype, None, ddof, keepdims, where=where, correction=correction)
    return array_namespace(variance).sqrt(variance)


# --- differences ----------------------------------------------------------------------------------


@implements("diff")
def diff(
    a: Array,
    n: int = 1,
    axis: int = -1,
    prepend: ArrayLike | None = None,
    append: ArrayLike | None = None,
) -> Array:
    """np.diff: the differences of neighbours, `n` times, after numbers are prepended or appended."""
    xp = array_namespace(a)
    axis = positive_axis(axis, a.ndim, "diff")
    if prepend is not None:
        prepend = _end(a, prepend, axis)
    if append is not None:
        append = _end(a, append, axis)
    return xp.diff(a, axis=axis, n=n, prepend=prepend, append=append)


def _end(a: Array, end: ArrayLike, axis: int) -> Array:
    """The array to be prepended or appended; a number is repeated for each row."""
    xp = array_namespace(a)
    first = a[along(axis, slice(0, 1))]
    if getattr(end, "ndim", 0) == 0 and not isinstance(end, (list, tuple)):
        return xp.zeros_like(first) + end
    _, end = lists_as_arrays(a, end)
    return end


@implements("ediff1d")
def ediff1d(
    ary: Array, to_end: ArrayLike | None = None, to_begin: ArrayLike | None = None
) -> Array:
    """np.ediff1d: `to_begin`, the differences of neighbours in the flattened array, and `to_end`."""
    xp = array_namespace(ary)
    row = flat(ary)
    parts = [row[1:] - row[:-1]]
    if to_begin is not None:
        parts.insert(0, _row(row, to_begin))
    if to_end is not None:
        parts.append(_row(row, to_end))
    return xp.concat(parts) if len(parts) > 1 else parts[0]


def _row(model: Array, x: ArrayLike) -> Array:
    """A number, list or array as an array with one axis."""
    if not hasattr(x, "shape") and not isinstance(x, (list, tuple)):
        x = [x]
    _, x = lists_as_arrays(model, x)
    return flat(x)
