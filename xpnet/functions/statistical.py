"""Reductions: many numbers to one, over some axes or all.

Parameters are the standard's. `x` has any shape; `axis` is an int, a tuple of ints, or None for
all axes; with `keepdims` the reduced axes stay, with length 1.
"""

from typing import Any

import array_api_compat as compat

from xpnet.autodiff import Function
from xpnet.functions.declare import from_front, standard
from xpnet.namespace import array_namespace

Axis = int | tuple[int, ...] | None


class _Reduction(Function):
    """A reduction over `axis`, which remembers the shape that its gradient must get back to."""

    def __init__(self, axis: Axis, keepdims: bool) -> None:
        self.axis, self.keepdims = axis, keepdims

    def forward(self, x: Any) -> Any:
        axes = range(x.ndim) if self.axis is None else self.axis
        axes = (axes,) if isinstance(axes, int) else axes
        self.reduced = {from_front(a, x.ndim) for a in axes}
        self.full = x.shape
        self.kept = tuple(1 if i in self.reduced else n for i, n in enumerate(x.shape))
        reduce = getattr(array_namespace(x), type(self).__name__.lower())
        return reduce(x, axis=self.axis, keepdims=self.keepdims)

    def spread(self, gy: Any) -> Any:
        """`gy`, one number for each reduced group, copied to all the group's places."""
        xp = array_namespace(gy)
        return xp.broadcast_to(xp.reshape(gy, self.kept), self.full)


class Sum(_Reduction):
    def backward(self, gy: Any) -> Any:
        return self.spread(gy)


class Mean(_Reduction):
    def backward(self, gy: Any) -> Any:
        count = 1
        for i in self.reduced:
            count *= self.full[i]
        return self.spread(gy / count)


class Max(_Reduction):
    """The gradient goes to the largest number; equal ones share it, as in JAX."""

    def backward(self, gy: Any, y: Any, x: Any) -> Any:
        xp = array_namespace(gy)
        winners = xp.where(x == self.spread(y), self.spread(xp.ones_like(gy)), 0.0)
        return self.spread(gy) * winners / xp.sum(winners, axis=tuple(self.reduced), keepdims=True)


class Min(Max):
    """As Max, of the smallest."""


@standard
def sum(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """The sum over `axis`."""
    return Sum(axis, keepdims)(x)


@standard
def mean(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """The arithmetic mean over `axis`."""
    return Mean(axis, keepdims)(x)


@standard
def max(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """The largest number over `axis`. Equal ones share the gradient."""
    return Max(axis, keepdims)(x)


@standard
def min(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """The smallest number over `axis`. Equal ones share the gradient."""
    return Min(axis, keepdims)(x)


@standard
def var(x: Any, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """The variance over `axis`: sum((x - mean)^2) / (n - correction)."""
    deviations = x - mean(x, axis=axis, keepdims=True)
    squares = sum(deviations * deviations, axis=axis, keepdims=keepdims)
    count = compat.size(x) // (compat.size(squares) or 1)
    return squares / (count - correction)


@standard
def std(x: Any, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """The standard deviation over `axis`: the square root of `var`."""
    variance = var(x, axis=axis, correction=correction, keepdims=keepdims)
    return array_namespace(variance).sqrt(variance)
