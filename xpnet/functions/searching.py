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

    Parameters
    ----------
    condition : array or Variable of booleans
    x1, x2 : arrays, Variables or Python numbers

    Returns
    -------
    array or Variable, shape to which all three broadcast

    Raises
    ------
    ShapeError
        The shapes do not broadcast.

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

    Parameters
    ----------
    x : array or Variable, any shape
        Of real numbers.
    axis : int or None, default None
        None: the index in the flattened x.
    keepdims : bool, default False
        Keep the reduced axes, with length 1.

    Returns
    -------
    array or Variable of integers
        Shape of x without the axis. It has no derivative.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.argmax(F.asarray([[1.0, 5.0], [4.0, 2.0]]), axis=1)
    Variable(array([1, 0]))
    """


@constant
def argmin(x: Array, /, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """The index of the smallest number along an axis, or in the flattened x.

    Parameters
    ----------
    x : array or Variable, any shape
        Of real numbers.
    axis : int or None, default None
        None: the index in the flattened x.
    keepdims : bool, default False
        Keep the reduced axes, with length 1.

    Returns
    -------
    array or Variable of integers
        Shape of x without the axis. It has no derivative.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.argmin(F.asarray([[1.0, 5.0], [4.0, 2.0]]), axis=1)
    Variable(array([0, 1]))
    """


@constant
def nonzero(x: Array, /) -> Any:
    """The places of the numbers that are not 0: an array of indices for each axis.

    Parameters
    ----------
    x : array or Variable, at least one dimension

    Returns
    -------
    tuple of arrays or Variables of integers
        For each axis of x the places, all of one shape, (n,).

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.nonzero(F.asarray([0.0, 5.0, 0.0, 7.0]))
    (Variable(array([1, 3])),)
    """


@constant
def count_nonzero(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """How many numbers along the axes are not 0.

    Parameters
    ----------
    x : array or Variable, any shape
    axis : int, tuple of int or None, default None
        None: all axes.
    keepdims : bool, default False
        Keep the reduced axes, with length 1.

    Returns
    -------
    array or Variable of integers
        Shape of x without the reduced axes. It has no derivative.

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

    Parameters
    ----------
    x1 : array or Variable, shape (n,)
        In ascending order.
    x2 : array or Variable, any shape
    side : {"left", "right"}, default "left"
        "left": before equal numbers.
    sorter : array or Variable of integers, shape (n,), optional
        The indices that sort x1, as `argsort` returns them.

    Returns
    -------
    array or Variable of integers, shape of x2
        From 0 to n.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.searchsorted(F.asarray([1.0, 2.0, 3.0]), F.asarray([2.5]))
    Variable(array([2]))
    """


@constant
def any(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether any number along the axes is not 0.

    Parameters
    ----------
    x : array or Variable, any shape
    axis : int, tuple of int or None, default None
        None: all axes.
    keepdims : bool, default False
        Keep the reduced axes, with length 1.

    Returns
    -------
    array or Variable of booleans
        Shape of x without the reduced axes.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.any(F.asarray([True, False]))
    Variable(array(True))
    """


@constant
def all(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether all numbers along the axes are not 0.

    Parameters
    ----------
    x : array or Variable, any shape
    axis : int, tuple of int or None, default None
        None: all axes.
    keepdims : bool, default False
        Keep the reduced axes, with length 1.

    Returns
    -------
    array or Variable of booleans
        Shape of x without the reduced axes.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.all(F.asarray([True, False]))
    Variable(array(False))
    """
