"""NumPy's reductions: sums, means, extremes, running sums, and those that leave NaN out."""

import math
from collections.abc import Callable
from typing import Any

from xpnet._interoperability.numpy.table import (
    ADVICE,
    REFUSED,
    along,
    as_tuple,
    cast,
    dtype_of,
    flat,
    front,
    integers,
    listed,
    not_available,
    numpys,
)
from xpnet._typing import Array, DType
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.errors import ArgumentError

ADVICE["method"] = 'Only method="linear" is available.'


def _among(x: Array, where: Any, neutral: Any) -> Array:
    """x with the neutral number where the mask is false."""
    if where is None or where is True:
        return x
    where = integers(x, where)
    return array_namespace(x).where(where, x, neutral)


def _neutral(x: Array, number: int) -> Array:
    """A number of the kind of x: booleans need their own."""
    return bool(number) if has_dtype(x, "bool") else number


@numpys("sum")
def sum_(
    a: Array,
    axis: Any = None,
    dtype: DType | None = None,
    out: Array | None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Array:
    """np.sum: `initial` plus the sum of the numbers where the mask is true."""
    xp = array_namespace(a)
    a = _among(a, where, _neutral(a, 0))
    y = xp.sum(a, axis=axis, dtype=dtype_of(xp, dtype), keepdims=keepdims)
    return y if initial is None else y + initial


@numpys("prod")
def prod(
    a: Array,
    axis: Any = None,
    dtype: DType | None = None,
    out: Array | None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Array:
    """np.prod: `initial` times the product of the numbers where the mask is true."""
    xp = array_namespace(a)
    a = _among(a, where, _neutral(a, 1))
    y = xp.prod(a, axis=axis, dtype=dtype_of(xp, dtype), keepdims=keepdims)
    return y if initial is None else y * initial


def _extreme(name: str, pair: str) -> Callable[..., Any]:
    """np.max or np.min, where `pair` is the function of two numbers."""

    def extreme(
        a: Array,
        axis: Any = None,
        out: Array | None = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
    ) -> Array:
        """The largest or smallest of `initial` and the numbers where the mask is true."""
        xp = array_namespace(a)
        masked = where is not None and where is not True
        if masked and initial is None:
            raise ArgumentError(f"np.{name} expected `initial` beside the mask `where`, got none.")
        if masked:
            a = _among(a, where, initial)
        y = getattr(xp, name)(a, axis=axis, keepdims=keepdims)
        if initial is None:
            return y
        return getattr(xp, pair)(y, xp.full_like(y, initial))

    return numpys(name, f"a{name}")(extreme)


max_ = _extreme("max", "maximum")
min_ = _extreme("min", "minimum")


@numpys("mean")
def mean(
    a: Array,
    axis: Any = None,
    dtype: DType | None = None,
    out: Array | None = None,
    keepdims: bool = False,
    *,
    where: Any = None,
) -> Array:
    """np.mean: the mean of the numbers where the mask is true."""
    xp = array_namespace(a)
    a = cast(a, dtype)
    if where is None or where is True:
        return xp.mean(a, axis=axis, keepdims=keepdims)
    total = xp.sum(_among(a, where, 0), axis=axis, keepdims=keepdims)
    return total / _count(a, where, axis, keepdims)


def _count(a: Array, where: Any, axis: Any, keepdims: bool) -> Array:
    """How many numbers the mask picks, in the dtype of `a`."""
    where = integers(a, where)
    xp = array_namespace(a)
    picked = xp.broadcast_to(xp.astype(where, a.dtype), a.shape)
    return xp.sum(picked, axis=axis, keepdims=keepdims)


@numpys("var", refuses=(*REFUSED, "mean"))
def var(
    a: Array,
    axis: Any = None,
    dtype: DType | None = None,
    out: Array | None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Array | None = None,
    correction: float | None = None,
) -> Array:
    """np.var: sum(|x - mean|^2) / (n - ddof) of the numbers where the mask is true."""
    xp = array_namespace(a)
    a = cast(a, dtype)
    ddof = ddof if correction is None else correction
    everywhere = where is None or where is True
    is_complex = has_dtype(a, "complex floating")
    if everywhere and not is_complex:
        return xp.var(a, axis=axis, correction=ddof, keepdims=keepdims)
    if everywhere:
        where = xp.ones_like(xp.isnan(a))
    deviations = _among(a - _mean(a, axis, where), where, 0)
    squares = deviations * deviations
    if is_complex:
        squares = xp.real(deviations * xp.conj(deviations))
    count = _count(squares, where, axis, keepdims)
    total = xp.sum(squares, axis=axis, keepdims=keepdims)
    return total / xp.maximum(count - ddof, xp.zeros_like(count))


def _mean(a: Array, axis: Any, where: Any) -> Array:
    return mean(a, axis, keepdims=True, where=where)


@numpys("std", refuses=(*REFUSED, "mean"))
def std(
    a: Array,
    axis: Any = None,
    dtype: DType | None = None,
    out: Array | None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Array | None = None,
    correction: float | None = None,
) -> Array:
    """np.std: the square root of np.var."""
    variance = var(a, axis, dtype, None, ddof, keepdims, where=where, correction=correction)
    return array_namespace(variance).sqrt(variance)


def _question(name: str) -> Callable[..., Any]:
    """np.any or np.all."""

    def ask(
        a: Array,
        axis: Any = None,
        out: Array | None = None,
        keepdims: bool = False,
        *,
        where: Any = None,
    ) -> Array:
        """Whether any number, or each number, is not 0 where the mask is true."""
        a = _among(a, where, _neutral(a, int(name == "all")))
        return getattr(array_namespace(a), name)(a, axis=axis, keepdims=keepdims)

    return numpys(name)(ask)


any_ = _question("any")
all_ = _question("all")


@numpys("ptp")
def ptp(a: Array, axis: Any = None, out: Array | None = None, keepdims: bool = False) -> Array:
    """np.ptp: the largest minus the smallest."""
    xp = array_namespace(a)
    return xp.max(a, axis=axis, keepdims=keepdims) - xp.min(a, axis=axis, keepdims=keepdims)


@numpys("average")
def average(
    a: Array,
    axis: Any = None,
    weights: Array | None = None,
    returned: bool = False,
    *,
    keepdims: bool = False,
) -> Any:
    """np.average: sum(w x) / sum(w); of one dimension, the weights lie along `axis`."""
    a, weights = listed(a, weights)
    xp = array_namespace(a, weights)
    if weights is None:
        weights = xp.ones_like(a)
    elif weights.ndim < a.ndim:
        axes = [front(i, a.ndim, "average") for i in as_tuple(axis)]
        lengths = iter(weights.shape)
        weights = xp.reshape(
            weights, tuple(next(lengths) if i in axes else 1 for i in range(a.ndim))
        )
    weights = xp.broadcast_to(weights, a.shape)
    total = xp.sum(weights, axis=axis, keepdims=keepdims)
    y = xp.sum(a * weights, axis=axis, keepdims=keepdims) / total
    return (y, total) if returned else y


# --- order statistics -----------------------------------------------------------------------------


@numpys("median")
def median(
    a: Array,
    axis: Any = None,
    out: Array | None = None,
    overwrite_input: bool = False,
    keepdims: bool = False,
) -> Array:
    """np.median: the middle number, or the mean of both in the middle."""
    return quantile(a, 0.5, axis, keepdims=keepdims)


@numpys("quantile", refuses=("out", "method", "weights"))
def quantile(
    a: Array,
    q: Array,
    axis: Any = None,
    out: Array | None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Array | None = None,
) -> Array:
    """np.quantile: q of the numbers are below; between two numbers, a straight line."""
    xp = array_namespace(a)
    axes = [front(i, a.ndim, "quantile") for i in as_tuple(axis)] if axis is not None else None
    axes = list(range(a.ndim)) if axes is None else axes
    kept = [i for i in range(a.ndim) if i not in axes]
    lengths = tuple(a.shape[i] for i in kept)
    ordered = xp.reshape(xp.permute_dims(a, (*kept, *axes)), (*lengths, -1))
    missing = xp.any(xp.isnan(ordered), axis=-1)
    ordered = xp.sort(ordered, axis=-1)
    shape = tuple(1 if i in axes else n for i, n in enumerate(a.shape)) if keepdims else lengths
    parts = [
        xp.reshape(xp.where(missing, math.nan, _at(ordered, float(p))), shape) for p in _numbers(q)
    ]
    return xp.stack(parts) if _are_several(q) else parts[0]


def _numbers(q: Array) -> list[Any]:
    """The quantiles that are asked for, which need no derivative."""
    if getattr(q, "requires_grad", False):
        raise not_available("quantile", "q")
    return list(q) if _are_several(q) else [q]


def _are_several(q: Array) -> bool:
    """Whether q is a list, or an array that is not a single number."""
    return hasattr(q, "__len__") and getattr(q, "ndim", 1) > 0


def _at(ordered: Any, q: float) -> Any:
    """The number at q times the length of the last axis, between its neighbours."""
    if not 0.0 <= q <= 1.0:
        raise ArgumentError(f"np.quantile expected q from 0 to 1, got {q}.")
    place = q * (ordered.shape[-1] - 1)
    below = math.floor(place)
    above = math.ceil(place)
    if below == above:
        return ordered[..., below]
    part = place - below
    return ordered[..., below] * (1.0 - part) + ordered[..., above] * part


@numpys("percentile", refuses=("out", "method", "weights"))
def percentile(
    a: Array,
    q: Array,
    axis: Any = None,
    out: Array | None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Array | None = None,
) -> Array:
    """np.percentile: np.quantile of q / 100."""
    parts = [float(p) / 100.0 for p in _numbers(q)]
    return quantile(a, parts if _are_several(q) else parts[0], axis, keepdims=keepdims)


# --- running reductions ---------------------------------------------------------------------------


def _running(name: str, standard: str) -> Callable[..., Any]:
    """np.cumsum or np.cumprod."""

    def running(
        a: Array, axis: Any = None, dtype: DType | None = None, out: Array | None = None
    ) -> Array:
        """The sums, or products, up to each number; of the flattened array by default."""
        xp = array_namespace(a)
        a = flat(a) if axis is None else a
        axis = 0 if axis is None else axis
        return getattr(xp, standard)(a, axis=axis, dtype=dtype_of(xp, dtype))

    return numpys(name)(running)


cumsum = _running("cumsum", "cumulative_sum")
cumprod = _running("cumprod", "cumulative_prod")


def _cumulative(name: str) -> Callable[..., Any]:
    """np.cumulative_sum or np.cumulative_prod: the standard's."""

    def cumulative(
        x: Array,
        /,
        *,
        axis: Any = None,
        dtype: DType | None = None,
        out: Array | None = None,
        include_initial: bool = False,
    ) -> Array:
        """The sums, or products, up to each number, and of none with `include_initial`."""
        xp = array_namespace(x)
        return getattr(xp, name)(
            x, axis=axis, dtype=dtype_of(xp, dtype), include_initial=include_initial
        )

    return numpys(name)(cumulative)


cumulative_sum = _cumulative("cumulative_sum")
cumulative_prod = _cumulative("cumulative_prod")


# --- without NaN ----------------------------------------------------------------------------------


def _without_nan(name: str, neutral: float) -> Callable[..., Any]:
    """np.nansum and its kind: NaN replaced by a number that changes nothing."""
    function = {"sum": sum_, "prod": prod, "cumsum": cumsum, "cumprod": cumprod}[name]

    def without(a: Array, *args: Any, out: Array | None = None, **options: Any) -> Array:
        """The reduction of the numbers that are not NaN."""
        xp = array_namespace(a)
        return function(xp.where(xp.isnan(a), neutral, a), *args, **options)

    return numpys(f"nan{name}")(without)


nansum = _without_nan("sum", 0.0)
nanprod = _without_nan("prod", 1.0)
nancumsum = _without_nan("cumsum", 0.0)
nancumprod = _without_nan("cumprod", 1.0)


def _nan_extreme(name: str, neutral: float) -> Callable[..., Any]:
    """np.nanmax or np.nanmin."""

    def extreme(
        a: Array,
        axis: Any = None,
        out: Array | None = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
    ) -> Array:
        """The largest, or smallest, of the numbers that are not NaN; NaN if all are."""
        xp = array_namespace(a)
        missing = xp.isnan(a)
        y = getattr(xp, name)(xp.where(missing, neutral, a), axis=axis, keepdims=keepdims)
        return xp.where(xp.all(missing, axis=axis, keepdims=keepdims), math.nan, y)

    return numpys(f"nan{name}", refuses=("out", "initial", "where"))(extreme)


nanmax = _nan_extreme("max", -math.inf)
nanmin = _nan_extreme("min", math.inf)


def _present(a: Array, where: Any) -> tuple[Any, Any]:
    """`a` with 0 for NaN, and the mask of the numbers that count."""
    xp = array_namespace(a)
    present = xp.logical_not(xp.isnan(a))
    if where is not None and where is not True:
        where = integers(a, where)
        present = xp.logical_and(present, where)
    return xp.where(present, a, 0.0), present


@numpys("nanmean")
def nanmean(
    a: Array,
    axis: Any = None,
    dtype: DType | None = None,
    out: Array | None = None,
    keepdims: bool = False,
    *,
    where: Any = None,
) -> Array:
    """np.nanmean: the mean of the numbers that are not NaN."""
    a, present = _present(cast(a, dtype), where)
    return mean(a, axis, None, None, keepdims, where=present)


@numpys("nanvar", refuses=(*REFUSED, "mean"))
def nanvar(
    a: Array,
    axis: Any = None,
    dtype: DType | None = None,
    out: Array | None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Array | None = None,
    correction: float | None = None,
) -> Array:
    """np.nanvar: the variance of the numbers that are not NaN."""
    a, present = _present(cast(a, dtype), where)
    return var(a, axis, None, None, ddof, keepdims, where=present, correction=correction)


@numpys("nanstd", refuses=(*REFUSED, "mean"))
def nanstd(
    a: Array,
    axis: Any = None,
    dtype: DType | None = None,
    out: Array | None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Array | None = None,
    correction: float | None = None,
) -> Array:
    """np.nanstd: the square root of np.nanvar."""
    variance = nanvar(a, axis, dtype, None, ddof, keepdims, where=where, correction=correction)
    return array_namespace(variance).sqrt(variance)


# --- differences ----------------------------------------------------------------------------------


@numpys("diff")
def diff(a: Array, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Array:
    """np.diff: the differences of neighbours, `n` times; a number is put before or after each row."""
    xp = array_namespace(a)
    axis = front(axis, a.ndim, "diff")
    ends = [None if end is None else _end(a, end, axis) for end in (prepend, append)]
    return xp.diff(a, axis=axis, n=n, prepend=ends[0], append=ends[1])


def _end(a: Array, end: Any, axis: int) -> Array:
    """What is put before or after: a number for each row, or an array."""
    xp = array_namespace(a)
    first = a[along(axis, slice(0, 1))]
    if getattr(end, "ndim", 0) == 0 and not isinstance(end, (list, tuple)):
        return xp.zeros_like(first) + end
    (_, end) = listed(a, end)
    return end


@numpys("ediff1d")
def ediff1d(ary: Array, to_end: Any = None, to_begin: Any = None) -> Array:
    """np.ediff1d: the differences of the flattened array, between what is given."""
    xp = array_namespace(ary)
    row = flat(ary)
    parts = [row[1:] - row[:-1]]
    if to_begin is not None:
        parts.insert(0, _row(row, to_begin))
    if to_end is not None:
        parts.append(_row(row, to_end))
    return xp.concat(parts) if len(parts) > 1 else parts[0]


def _row(model: Any, x: Array) -> Array:
    """Numbers as an array of one axis."""
    if not hasattr(x, "shape") and not isinstance(x, (list, tuple)):
        x = [x]
    (_, x) = listed(model, x)
    return flat(x)
