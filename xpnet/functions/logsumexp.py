"""The logarithm of a sum of exponentials, without overflow or underflow."""

import math

from xpnet._libraries.devices import follows
from xpnet._typing import Array
from xpnet.autodiff._messages import named
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace
from xpnet.functions._in_float32 import cast_like, widened
from xpnet.functions._masks import product_where_not_zero
from xpnet.functions._registry import axes_of
from xpnet.functions._shapes import Axis


class LogSumExp(Function):
    """log(sum(exp(x))) over axes, which are kept with length 1."""

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes

    def forward(self, x: Array) -> Array:
        xp = array_namespace(x)
        if math.prod(x.shape[a] for a in self.axes) == 0:  # an empty axis has no maximum
            shape = tuple(1 if i in self.axes else n for i, n in enumerate(x.shape))
            return xp.broadcast_to(xp.full_like(xp.sum(x), -math.inf), shape)
        top = xp.max(x, axis=self.axes, keepdims=True)
        total = xp.sum(xp.exp(_difference(x, top)), axis=self.axes, keepdims=True)
        return xp.log(total) + top

    def backward(self, gy: Array, y: Array, x: Array) -> Array:
        xp = array_namespace(gy)
        e = xp.exp(_difference(x, y))
        weights = e / xp.sum(e, axis=self.axes, keepdims=True)  # equal shares where several are inf
        return xp.where(y == -math.inf, 0.0, product_where_not_zero(gy, weights))


def _difference(x: Array, y: Array) -> Array:
    """x - y, and 0 where both are the same infinity."""
    xp = array_namespace(x, y)
    same = x == y
    return xp.where(same, 0.0, x) - xp.where(same, 0.0, y)


@named
@follows
def logsumexp(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """log(sum(exp(x))) over `axis`, finite where the exponentials themselves would overflow.

    Parameters
    ----------
    x : array or Variable, of real floating-point numbers
    axis : int, tuple of ints or None
        None: over all axes.
    keepdims : bool
        Whether the reduced axes are kept, with length 1.

    Returns
    -------
    array or Variable, of the dtype of `x`
        -inf where all numbers are -inf, or the axis is empty; inf where one of them is inf.

    Raises
    ------
    ArgumentTypeError
        x is not of real floating-point numbers.
    IndexingError
        x has no such axis.

    Notes
    -----
    With the maximum m it is computed as m + log(sum(exp(x - m))). The gradient is `softmax`: 0
    where all numbers are -inf, and equal shares for several numbers that are inf. For float16 and
    bfloat16 inputs, the sum is computed in float32. Source: Blanchard, Higham and Higham,
    "Accurately computing the log-sum-exp and softmax functions", 2021.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.logsumexp(F.asarray([1000.0, 1000.0]))
    Variable(array(1000.6932, dtype=float32))
    """
    wide = widened("logsumexp", x)
    axes = axes_of(axis, x.ndim, "logsumexp")
    y = LogSumExp(axes)(wide)
    if not keepdims:
        y = array_namespace(y).squeeze(y, axis=axes)
    return cast_like(y, x)
