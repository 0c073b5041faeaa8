"""Choosing by condition, and finding places."""

from typing import Any

from xpnet._typing import Array
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace
from xpnet.functions._registry import constant, standard
from xpnet.functions._shapes import Axis


class Where(Function, broadcasts=True):
    def forward(self, condition: Array, x1: Array, x2: Array) -> Array:
        return array_namespace(condition, x1, x2).where(condition, x1, x2)

    def backward(self, gy: Array, condition: Array) -> tuple[None, Array | None, Array | None]:
        where = array_namespace(gy).where
        gx1 = None
        gx2 = None
        if self.needs[1]:
            gx1 = where(condition, gy, 0.0)
        if self.needs[2]:
            gx2 = where(condition, 0.0, gy)
        return None, gx1, gx2


@standard
def where(condition: Array, x1: Array, x2: Array, /) -> Array:
    """x1 where `condition` is true, else x2.

    Both are computed everywhere, and where one is not chosen its gradient is 0. If its derivative
    is infinite there, the product is NaN: compute it from a harmless argument at these places, as in
    where(x > 0, sqrt(where(x > 0, x, 1.0)), 0.0).

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.where(F.asarray([True, False]), F.asarray([1.0, 2.0]), F.asarray([10.0, 20.0]))
    Variable(array([ 1., 20.], dtype=float32))
    """
    return Where()(condition, x1, x2)


@constant
def argmax(x: Array, /, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """The index of the largest number along an axis, or in the flattened x.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.argmax(F.asarray([[1.0, 5.0], [4.0, 2.0]]), axis=1)
    Variable(array([1, 0]))
    """


@constant
def argmin(x: Array, /, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """The index of the smallest number along an axis, or in the flattened x.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.argmin(F.asarray([[1.0, 5.0], [4.0, 2.0]]), axis=1)
    Variable(array([0, 1]))
    """


@constant
def nonzero(x: Array, /) -> Any:
    """The places of the numbers that are not 0: an array of indices for each axis.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.nonzero(F.asarray([0.0, 5.0, 0.0, 7.0]))
    (Variable(array([1, 3])),)
    """


@constant
def count_nonzero(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """How many numbers along the axes are not 0.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.count_nonzero(F.asarray([0.0, 2.0, 3.0]))
    Variable(array(2))
    """


@constant
def searchsorted(
    x1: Array, x2: Array, /, *, side: str = "left", sorter: Array | None = None
) -> Array:
    """Where to insert each number of x2 into the sorted x1: before equal numbers, or after them.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.searchsorted(F.asarray([1.0, 2.0, 3.0]), F.asarray([2.5]))
    Variable(array([2]))
    """


@constant
def any(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether any number along the axes is not 0.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.any(F.asarray([True, False]))
    Variable(array(True))
    """


@constant
def all(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether all numbers along the axes are not 0.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.all(F.asarray([True, False]))
    Variable(array(False))
    """
