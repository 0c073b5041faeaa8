"""Reductions over some axes or all, such as sum and max; and cumulative ones along one axis.

Parameters are the standard's. `x` has any shape; `axis` is an int, a tuple of ints, or None for
all axes; with `keepdims` the reduced axes are kept, with length 1. `dtype` is that of the result.
"""

import builtins
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
from xpnet.functions._in_float32 import cast_like, in_float32
from xpnet.functions._masks import zero_unless
from xpnet.functions._registry import axes_of, from_front, standard
from xpnet.functions._shapes import Axis, slice_along


class _Reduction(Function):
    """A reduction over `axis` by the library's function `name`."""

    name: str

    def __init__(self, axis: Axis, keepdims: bool, **options: Any) -> None:
        self.axis = axis
        self.keepdims = keepdims
        self.options = options

    def forward(self, x: Array) -> Array:
        axes = axes_of(self.axis, x.ndim, self.name)
        self.reduced = set(axes)
        self.x_shape = x.shape
        self.kept_shape = tuple(1 if i in self.reduced else n for i, n in enumerate(x.shape))
        reduce = getattr(array_namespace(x), self.name)
        axis = None if self.axis is None else axes
        return reduce(x, axis=axis, keepdims=self.keepdims, **self.options)

    def spread(self, gy: Array) -> Array:
        """`gy`, which has one number for each group that was reduced, copied to the whole group."""
        xp = array_namespace(gy)
        return xp.broadcast_to(xp.reshape(gy, self.kept_shape), self.x_shape)


class Sum(_Reduction):
    name = "sum"

    def forward(self, x: Array) -> Array:
        xp = array_namespace(x)
        if self.options or not is_half(x):
            return super().forward(x)
        self.options = {"dtype": xp.float32}
        return cast_like(super().forward(x), x)

    def backward(self, gy: Array) -> Array:
        return self.spread(gy)


class Mean(_Reduction):
    name = "mean"

    def backward(self, gy: Array) -> Array:
        n = math.prod(self.x_shape[i] for i in self.reduced)
        if not is_half(gy):
            return self.spread(gy / float(n))
        # Two divisions, since n may be infinite in float16; the first, by a power of 2, is exact.
        root = 2.0 ** (n.bit_length() // 2)
        return self.spread(gy / root / (n / root))


class Prod(_Reduction):
    """The derivative with respect to a factor is the product of the factors before it and those after it.

    It is computed without a division, since a factor may be 0.
    """

    name = "prod"

    def backward(self, gy: Array, x: Array) -> Array:
        xp = array_namespace(gy)
        # First, one row for each product: the reduced axes are moved to the end, and made one axis.
        kept = [i for i in range(len(self.x_shape)) if i not in self.reduced]
        order = (*kept, *self.reduced)
        count = math.prod(self.x_shape[i] for i in self.reduced)
        rows = xp.reshape(xp.permute_dims(x, order), (*(self.x_shape[i] for i in kept), count))
        before = _products_before(rows)
        after = xp.flip(_products_before(xp.flip(rows, axis=-1)), axis=-1)
        # Then back to the axes of x.
        others = xp.reshape(before * after, tuple(self.x_shape[i] for i in order))
        inverse = tuple(order.index(i) for i in range(len(order)))
        return self.spread(gy) * xp.permute_dims(others, inverse)


def _products_before(rows: Array) -> Array:
    """For each number of a row, the product of the numbers before it."""
    return array_namespace(rows).cumulative_prod(rows, axis=-1, include_initial=True)[..., :-1]


class Max(_Reduction):
    """The gradient goes to the maximum; equal maxima share it, as in JAX."""

    name = "max"

    def backward(self, gy: Array, y: Array, x: Array) -> Array:
        xp = array_namespace(gy)
        y = xp.reshape(y, self.kept_shape)
        gy = in_full(xp.reshape(gy, self.kept_shape))
        has_nan = xp.isnan(y)  # NaN equals no number of x: the gradient is NaN as well
        wins = data_of(xp.logical_or(x == y, has_nan))
        winners = array_namespace(wins).count_nonzero(wins, axis=tuple(self.reduced), keepdims=True)
        share = gy / array_namespace(winners).astype(winners, gy.dtype)
        share = xp.where(has_nan, math.nan, share)
        return zero_unless(wins, xp.broadcast_to(share, self.x_shape))


class Min(Max):
    """The gradient goes to the minimum; equal minima share it."""

    name = "min"


class _Cumulative(Function):
    """A cumulative reduction along one axis."""

    name: str

    def __init__(self, axis: int, dtype: DType | None, include_initial: bool) -> None:
        self.axis = axis
        self.dtype = dtype
        self.include_initial = include_initial

    def forward(self, x: Array) -> Array:
        self.axis = from_front(self.axis, x.ndim, self.name)
        accumulate = getattr(array_namespace(x), self.name)
        full = in_full(x) if self.dtype is None else x
        y = accumulate(full, axis=self.axis, dtype=self.dtype, include_initial=self.include_initial)
        return y if full is x else cast_like(y, x)

    def without_initial(self, gy: Array) -> Array:
        """`gy` without the gradient of the initial 0 or 1, which does not depend on x."""
        if not self.include_initial:
            return gy
        return slice_along(gy, self.axis, 1, None)


class CumulativeSum(_Cumulative):
    name = "cumulative_sum"

    def backward(self, gy: Array) -> Array:
        xp = array_namespace(gy)
        gy = in_full(self.without_initial(gy))
        backwards = xp.cumulative_sum(xp.flip(gy, axis=self.axis), axis=self.axis)
        return xp.flip(backwards, axis=self.axis)


class CumulativeProd(_Cumulative):
    """y[k] = x[0] ... x[k]. Its derivative does not divide, since a factor may be 0.

    The derivative with respect to x[k] is y[k-1] s[k], where s[k] = gy[k] + x[k+1] s[k+1] is the sum over all
    later outputs. That recurrence is solved in log2(n) steps, each of which doubles the length of
    the spans that s covers (Hillis and Steele, "Data parallel algorithms", 1986).
    """

    name = "cumulative_prod"

    def backward(self, gy: Array, x: Array) -> Array:
        xp = array_namespace(gy)
        s = in_full(self.without_initial(gy))
        x = in_full(x)
        n = x.shape[self.axis]
        if n == 0:
            return s
        one = xp.ones_like(slice_along(x, self.axis, 0, 1))
        zero = xp.zeros_like(slice_along(s, self.axis, 0, 1))
        before = xp.cumulative_prod(x, axis=self.axis, include_initial=True)
        factors = xp.concat([slice_along(x, self.axis, 1, None), one], axis=self.axis)
        span = 1
        while span < n:
            s = s + factors * self._shifted(s, span, zero)
            factors = factors * self._shifted(factors, span, one)
            span *= 2
        return slice_along(before, self.axis, None, -1) * s

    def _shifted(self, x: Array, by: int, fill: Array) -> Array:
        """x moved towards the front of the axis, with `fill` in the places at the end."""
        xp = array_namespace(x)
        end = xp.broadcast_to(fill, (*x.shape[: self.axis], by, *x.shape[self.axis + 1 :]))
        return xp.concat([slice_along(x, self.axis, by, None), end], axis=self.axis)


@standard
def sum(
    x: Array, /, *, axis: Axis = None, dtype: DType | None = None, keepdims: bool = False
) -> Array:
    """The sum over `axis`.

    Parameters
    ----------
    x : array or Variable, any shape
        Of numbers.
    axis : int, tuple of int or None, default None
        None: all axes.
    dtype : of the library, optional
        Of the result. By default that of x, and for integers narrower than the default ones, the default.
    keepdims : bool, default False
        Keep the reduced axes, with length 1.

    Returns
    -------
    array or Variable
        Shape of x without the reduced axes.

    Raises
    ------
    IndexingError
        x has no such axis.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> x = F.asarray([[1.0, 2.0], [3.0, 4.0]])
    >>> F.sum(x, axis=0)
    Variable(array([4., 6.], dtype=float32))
    """
    if dtype is None:
        return Sum(axis, keepdims)(x)
    return Sum(axis, keepdims, dtype=dtype)(x)


@standard
def prod(
    x: Array, /, *, axis: Axis = None, dtype: DType | None = None, keepdims: bool = False
) -> Array:
    """The product over `axis`.

    Parameters
    ----------
    x : array or Variable, any shape
        Of numbers.
    axis : int, tuple of int or None, default None
        None: all axes.
    dtype : of the library, optional
        Of the result. By default that of x, and for integers narrower than the default ones, the default.
    keepdims : bool, default False
        Keep the reduced axes, with length 1.

    Returns
    -------
    array or Variable
        Shape of x without the reduced axes.

    Raises
    ------
    IndexingError
        x has no such axis.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> x = F.asarray([[1.0, 2.0], [3.0, 4.0]])
    >>> F.prod(x, axis=1)
    Variable(array([ 2., 12.], dtype=float32))
    """
    return Prod(axis, keepdims, dtype=dtype)(x)


@standard
def mean(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The arithmetic mean over `axis`.

    Parameters
    ----------
    x : array or Variable, any shape
        Of floating-point numbers.
    axis : int, tuple of int or None, default None
        None: all axes.
    keepdims : bool, default False
        Keep the reduced axes, with length 1.

    Returns
    -------
    array or Variable
        Shape of x without the reduced axes.

    Raises
    ------
    IndexingError
        x has no such axis.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> x = F.asarray([[1.0, 2.0], [3.0, 4.0]])
    >>> F.mean(x, axis=0)
    Variable(array([2., 3.], dtype=float32))
    """
    return Mean(axis, keepdims)(x)


@standard
def max(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The largest number over `axis`. Equal maxima share the gradient.

    Parameters
    ----------
    x : array or Variable, any shape
        Of real numbers, at least one along the axes.
    axis : int, tuple of int or None, default None
        None: all axes.
    keepdims : bool, default False
        Keep the reduced axes, with length 1.

    Returns
    -------
    array or Variable
        Shape of x without the reduced axes.

    Raises
    ------
    IndexingError
        x has no such axis.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> x = F.asarray([[1.0, 2.0], [3.0, 4.0]])
    >>> F.max(x, axis=0)
    Variable(array([3., 4.], dtype=float32))
    """
    return Max(axis, keepdims)(x)


@standard
def min(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The smallest number over `axis`. Equal minima share the gradient.

    Parameters
    ----------
    x : array or Variable, any shape
        Of real numbers, at least one along the axes.
    axis : int, tuple of int or None, default None
        None: all axes.
    keepdims : bool, default False
        Keep the reduced axes, with length 1.

    Returns
    -------
    array or Variable
        Shape of x without the reduced axes.

    Raises
    ------
    IndexingError
        x has no such axis.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> x = F.asarray([[1.0, 2.0], [3.0, 4.0]])
    >>> F.min(x, axis=1)
    Variable(array([1., 3.], dtype=float32))
    """
    return Min(axis, keepdims)(x)


@standard
@follows
@in_float32
def var(
    x: Array, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False
) -> Array:
    """The variance over `axis`: sum((x - mean)^2) / (n - correction).

    Parameters
    ----------
    x : array or Variable, any shape
        Of real floating-point numbers.
    axis : int, tuple of int or None, default None
        None: all axes.
    correction : float, default 0.0
        1 makes it the unbiased estimate.
    keepdims : bool, default False
        Keep the reduced axes, with length 1.

    Returns
    -------
    array or Variable
        Shape of x without the reduced axes.

    Raises
    ------
    IndexingError
        x has no such axis.
    ArgumentTypeError
        x is complex.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.var(F.asarray([1.0, 3.0]))
    Variable(array(1., dtype=float32))
    """
    if has_dtype(x, "complex floating"):
        raise ArgumentTypeError(
            f"var expected real numbers, got {x.dtype}. Compute |x - mean|^2 with abs."
        )
    deviations = x - mean(x, axis=axis, keepdims=True)
    squares = sum(deviations * deviations, axis=axis, keepdims=keepdims)
    count = compat.size(x) // (compat.size(squares) or 1)
    return squares / builtins.max(count - correction, 0.0)


@standard
@follows
@in_float32
def std(
    x: Array, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False
) -> Array:
    """The standard deviation over `axis`: the square root of `var`.

    Where it is 0 its gradient is 0, the shortest subgradient, as in PyTorch.

    Parameters
    ----------
    x : array or Variable, any shape
        Of real floating-point numbers.
    axis : int, tuple of int or None, default None
        None: all axes.
    correction : float, default 0.0
        As for `var`.
    keepdims : bool, default False
        Keep the reduced axes, with length 1.

    Returns
    -------
    array or Variable
        Shape of x without the reduced axes.

    Raises
    ------
    IndexingError
        x has no such axis.
    ArgumentTypeError
        x is complex.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.std(F.asarray([1.0, 3.0]), correction=1.0)
    Variable(array(1.4142, dtype=float32))
    """
    variance = var(x, axis=axis, correction=correction, keepdims=keepdims)
    xp = array_namespace(variance)
    nonzero = variance != 0.0
    return xp.where(nonzero, xp.sqrt(xp.where(nonzero, variance, 1.0)), 0.0)


@standard
def cumulative_sum(
    x: Array,
    /,
    *,
    axis: int | None = None,
    dtype: DType | None = None,
    include_initial: bool = False,
) -> Array:
    """The sums of the first 1, 2, ... numbers along `axis`; with `include_initial`, 0 before them.

    `axis` may be None for an x of one dimension.

    Parameters
    ----------
    x : array or Variable, any shape
        Of numbers.
    axis : int, optional
        Required unless x has one dimension.
    dtype : of the library, optional
        Of the result; by default as for `sum`.
    include_initial : bool, default False
        Begin with 0, so that the axis is longer by one.

    Returns
    -------
    array or Variable, shape of x, or longer by one along `axis`

    Raises
    ------
    IndexingError
        x has no such axis.
    ArgumentError
        No axis is given, and x does not have one dimension.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.cumulative_sum(F.asarray([1.0, 2.0, 3.0]))
    Variable(array([1., 3., 6.], dtype=float32))
    """
    return CumulativeSum(_axis_or_only_axis(x, axis, "cumulative_sum"), dtype, include_initial)(x)


@standard
def cumulative_prod(
    x: Array,
    /,
    *,
    axis: int | None = None,
    dtype: DType | None = None,
    include_initial: bool = False,
) -> Array:
    """The products of the first 1, 2, ... numbers along `axis`; with `include_initial`, 1 before.

    `axis` may be None for an x of one dimension.

    Parameters
    ----------
    x : array or Variable, any shape
        Of numbers.
    axis : int, optional
        Required unless x has one dimension.
    dtype : of the library, optional
        Of the result; by default as for `prod`.
    include_initial : bool, default False
        Begin with 1, so that the axis is longer by one.

    Returns
    -------
    array or Variable, shape of x, or longer by one along `axis`

    Raises
    ------
    IndexingError
        x has no such axis.
    ArgumentError
        No axis is given, and x does not have one dimension.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.cumulative_prod(F.asarray([1.0, 2.0, 3.0]))
    Variable(array([1., 2., 6.], dtype=float32))
    """
    return CumulativeProd(_axis_or_only_axis(x, axis, "cumulative_prod"), dtype, include_initial)(x)


def _axis_or_only_axis(x: Array, axis: int | None, name: str) -> int:
    """The axis; None stands for the only axis of an x of one dimension."""
    if axis is not None:
        return axis
    if x.ndim != 1:
        raise ArgumentError(f"{name} expected an axis for x of shape {tuple(x.shape)}, got None.")
    return 0
