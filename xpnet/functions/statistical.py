"""Reductions: many numbers to one, over some axes or all; and running ones, along one axis.

Parameters are the standard's. `x` has any shape; `axis` is an int, a tuple of ints, or None for
all axes; with `keepdims` the reduced axes stay, with length 1. `dtype` is that of the result.
"""

import math
from typing import Any

import array_api_compat as compat

from xpnet._libraries.devices import follows
from xpnet._typing import Array, DType
from xpnet.autodiff._half_precision import in_full, is_half
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import data_of
from xpnet.errors import ArgumentError, ArgumentTypeError
from xpnet.functions._in_float32 import in_float32, like
from xpnet.functions._masks import zero_unless
from xpnet.functions._registry import axes_of, from_front, standard
from xpnet.functions._shapes import Axis


class _Reduction(Function):
    """A reduction over `axis`, which remembers the shape that its gradient must get back to."""

    def __init__(self, axis: Axis, keepdims: bool, **options: Any) -> None:
        self.axis, self.keepdims, self.options = axis, keepdims, options

    def forward(self, x: Array) -> Array:
        name, xp = type(self).__name__.lower(), array_namespace(x)
        axes = axes_of(self.axis, x.ndim, name)
        self.reduced = set(axes)
        self.full = x.shape
        self.kept = tuple(1 if i in self.reduced else n for i, n in enumerate(x.shape))
        axis = None if self.axis is None else axes
        return getattr(xp, name)(x, axis=axis, keepdims=self.keepdims, **self.options)

    def spread(self, gy: Array) -> Array:
        """`gy`, one number for each reduced group, copied to all the group's places."""
        xp = array_namespace(gy)
        return xp.broadcast_to(xp.reshape(gy, self.kept), self.full)


class Sum(_Reduction):
    def forward(self, x: Array) -> Array:
        xp = array_namespace(x)
        if self.options or not is_half(x):
            return super().forward(x)
        self.options = {"dtype": xp.float32}
        return like(super().forward(x), x)

    def backward(self, gy: Array) -> Array:
        return self.spread(gy)


class Mean(_Reduction):
    def backward(self, gy: Array) -> Array:
        n = math.prod(self.full[i] for i in self.reduced)
        root = 2.0 ** (n.bit_length() // 2)  # exact; and to float16, n itself may be infinite
        return self.spread(gy / root / (n / root))


class Prod(_Reduction):
    """The derivative by one factor is the product of all others: those before, times those after.

    No division: a factor may be 0.
    """

    def backward(self, gy: Array, x: Array) -> Array:
        xp = array_namespace(gy)
        kept = [i for i in range(len(self.full)) if i not in self.reduced]
        order = (*kept, *self.reduced)
        count = math.prod(self.full[i] for i in self.reduced)
        rows = xp.reshape(xp.permute_dims(x, order), (*(self.full[i] for i in kept), count))
        others = _before(rows) * xp.flip(_before(xp.flip(rows, axis=-1)), axis=-1)
        others = xp.reshape(others, tuple(self.full[i] for i in order))
        inverse = tuple(order.index(i) for i in range(len(order)))
        return self.spread(gy) * xp.permute_dims(others, inverse)


def _before(rows: Any) -> Any:
    """For each number of a row, the product of those before it."""
    return array_namespace(rows).cumulative_prod(rows, axis=-1, include_initial=True)[..., :-1]


class Max(_Reduction):
    """The gradient goes to the largest number; equal ones share it, as in JAX."""

    def backward(self, gy: Array, y: Array, x: Array) -> Array:
        xp = array_namespace(gy)
        y, gy = xp.reshape(y, self.kept), in_full(xp.reshape(gy, self.kept))
        unordered = xp.isnan(y)  # y is NaN, which equals nothing: the gradient is NaN as well
        wins = data_of(xp.logical_or(x == y, unordered))
        winners = array_namespace(wins).count_nonzero(wins, axis=tuple(self.reduced), keepdims=True)
        share = gy / array_namespace(winners).astype(winners, gy.dtype)
        share = xp.where(unordered, math.nan, share)
        return zero_unless(wins, xp.broadcast_to(share, self.full))


class Min(Max):
    """As Max, of the smallest."""


class _Running(Function):
    """A running reduction along one axis."""

    name: str

    def __init__(self, axis: int, dtype: DType, include_initial: bool) -> None:
        self.axis, self.options = axis, {"dtype": dtype, "include_initial": include_initial}

    def forward(self, x: Array) -> Array:
        self.axis = from_front(self.axis, x.ndim, self.name)
        full = in_full(x) if self.options["dtype"] is None else x
        y = getattr(array_namespace(x), self.name)(full, axis=self.axis, **self.options)
        return y if full is x else like(y, x)

    def without_initial(self, gy: Array) -> Array:
        """`gy` without that of the neutral element that came first; it depends on nothing."""
        return self.part(gy, 1, None) if self.options["include_initial"] else gy

    def part(self, x: Array, start: int | None, stop: int | None) -> Array:
        """x[start:stop] along the axis."""
        return x[(*(slice(None),) * self.axis, slice(start, stop), ...)]


class CumulativeSum(_Running):
    name = "cumulative_sum"

    def backward(self, gy: Array) -> Array:
        xp, gy = array_namespace(gy), in_full(self.without_initial(gy))
        backwards = xp.cumulative_sum(xp.flip(gy, axis=self.axis), axis=self.axis)
        return xp.flip(backwards, axis=self.axis)


class CumulativeProd(_Running):
    """y[k] = x[0] ... x[k]; no division in its derivative, for a factor may be 0.

    The derivative by x[k] is y[k-1] s[k], where s[k] = gy[k] + x[k+1] s[k+1] counts what comes
    after. That recurrence is solved in log2(n) steps, each of which joins spans to spans twice as
    long (Hillis and Steele, "Data parallel algorithms", 1986).
    """

    name = "cumulative_prod"

    def shifted(self, x: Array, by: int, fill: Any) -> Array:
        """x moved to the front of its axis, the place that it left at the end filled."""
        xp = array_namespace(x)
        left = xp.broadcast_to(fill, (*x.shape[: self.axis], by, *x.shape[self.axis + 1 :]))
        return xp.concat([self.part(x, by, None), left], axis=self.axis)

    def backward(self, gy: Array, x: Array) -> Array:
        xp, s, x = array_namespace(gy), in_full(self.without_initial(gy)), in_full(x)
        n = x.shape[self.axis]
        if n == 0:
            return s
        ones, zeros = xp.ones_like(self.part(x, 0, 1)), xp.zeros_like(self.part(s, 0, 1))
        before = xp.cumulative_prod(x, axis=self.axis, include_initial=True)
        factors, span = xp.concat([self.part(x, 1, None), ones], axis=self.axis), 1
        while span < n:
            s = s + factors * self.shifted(s, span, zeros)
            factors, span = factors * self.shifted(factors, span, ones), 2 * span
        return self.part(before, None, -1) * s


@standard
def sum(
    x: Array, /, *, axis: Axis = None, dtype: DType | None = None, keepdims: bool = False
) -> Array:
    """The sum over `axis`."""
    return Sum(axis, keepdims, dtype=dtype)(x) if dtype is not None else Sum(axis, keepdims)(x)


@standard
def prod(
    x: Array, /, *, axis: Axis = None, dtype: DType | None = None, keepdims: bool = False
) -> Array:
    """The product over `axis`."""
    return Prod(axis, keepdims, dtype=dtype)(x)


@standard
def mean(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The arithmetic mean over `axis`."""
    return Mean(axis, keepdims)(x)


@standard
def max(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The largest number over `axis`. Equal ones share the gradient."""
    return Max(axis, keepdims)(x)


@standard
def min(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The smallest number over `axis`. Equal ones share the gradient."""
    return Min(axis, keepdims)(x)


@standard
@follows
@in_float32
def var(
    x: Array, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False
) -> Array:
    """The variance over `axis`: sum((x - mean)^2) / (n - correction)."""
    if has_dtype(x, "complex floating"):
        raise ArgumentTypeError(
            f"var expected real numbers, got {x.dtype}; for |x - mean|^2 see abs."
        )
    deviations = x - mean(x, axis=axis, keepdims=True)
    squares = sum(deviations * deviations, axis=axis, keepdims=keepdims)
    count = compat.size(x) // (compat.size(squares) or 1)
    return squares / (count - correction if count > correction else 0.0)


@standard
@follows
@in_float32
def std(
    x: Array, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False
) -> Array:
    """The standard deviation over `axis`: the square root of `var`.

    Its gradient where it is 0 is 0, as in PyTorch, the shortest of its subgradients.
    """
    variance = var(x, axis=axis, correction=correction, keepdims=keepdims)
    xp, spreads = array_namespace(variance), variance != 0.0
    return xp.where(spreads, xp.sqrt(xp.where(spreads, variance, 1.0)), 0.0)


@standard
def cumulative_sum(
    x: Array,
    /,
    *,
    axis: int | None = None,
    dtype: DType | None = None,
    include_initial: bool = False,
) -> Array:
    """The sums of the first 1, 2, ... numbers along `axis`; of none too with `include_initial`.

    `axis` may be None for an x of one dimension.
    """
    return CumulativeSum(_only_axis(x, axis), dtype, include_initial)(x)


@standard
def cumulative_prod(
    x: Array,
    /,
    *,
    axis: int | None = None,
    dtype: DType | None = None,
    include_initial: bool = False,
) -> Array:
    """The products of the first 1, 2, ... numbers along `axis`; of none with `include_initial`.

    `axis` may be None for an x of one dimension.
    """
    return CumulativeProd(_only_axis(x, axis), dtype, include_initial)(x)


def _only_axis(x: Array, axis: int | None) -> int:
    if axis is None and x.ndim != 1:
        raise ArgumentError(f"Expected an axis, for x of shape {tuple(x.shape)}, got None.")
    return 0 if axis is None else axis
