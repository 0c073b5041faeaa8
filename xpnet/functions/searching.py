"""Choosing by condition, and finding places."""

from typing import Any

from xpnet.autodiff import Function
from xpnet.functions.declare import constant, standard
from xpnet.functions.statistical import Axis
from xpnet.namespace import array_namespace


class Where(Function, broadcasts=True):
    def forward(self, condition: Any, x1: Any, x2: Any) -> Any:
        return array_namespace(condition, x1, x2).where(condition, x1, x2)

    def backward(self, gy: Any, condition: Any) -> Any:
        where = array_namespace(gy).where
        gx1 = where(condition, gy, 0.0) if self.needs[1] else None
        gx2 = where(condition, 0.0, gy) if self.needs[2] else None
        return None, gx1, gx2


@standard
def where(condition: Any, x1: Any, x2: Any, /) -> Any:
    """x1 where `condition` is true, else x2.

    Both are computed everywhere: an infinite derivative of the one that is not picked makes
    0 * inf = nan. Give it a harmless argument there.
    """
    return Where()(condition, x1, x2)


@constant
def argmax(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Any:
    """The index of the largest number along an axis, or in the flattened x."""


@constant
def argmin(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Any:
    """The index of the smallest number along an axis, or in the flattened x."""


@constant
def nonzero(x: Any, /) -> Any:
    """The places of the numbers that are not 0: an array of indices for each axis."""


@constant
def count_nonzero(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """How many numbers along the axes are not 0."""


@constant
def searchsorted(x1: Any, x2: Any, /, *, side: str = "left", sorter: Any = None) -> Any:
    """Where to insert each number of x2 into the sorted x1, before its equals or after them."""


@constant
def any(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Whether any number along the axes is not 0."""


@constant
def all(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Whether all numbers along the axes are not 0."""
