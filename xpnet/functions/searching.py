"""Choosing by condition, and finding places."""

from typing import Any

from xpnet.autodiff import Function
from xpnet.functions.declare import constant, standard
from xpnet.namespace import array_namespace


class Where(Function):
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


argmax = constant("argmax", "The index of the largest number along an axis.")
argmin = constant("argmin", "The index of the smallest number along an axis.")
any = constant("any", "Whether any number along an axis is not 0.")
all = constant("all", "Whether all numbers along an axis are not 0.")
