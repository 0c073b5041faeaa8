"""Sums of exponentials, as logarithms: no overflow, and no underflow."""

import math

from xpnet._libraries.devices import follows
from xpnet._typing import Array
from xpnet.autodiff._messages import named
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace
from xpnet.functions._in_float32 import like, widened
from xpnet.functions._masks import product_where_not_zero
from xpnet.functions._registry import axes_of
from xpnet.functions._shapes import Axis


class LogSumExp(Function):
    """The axes are kept, with length 1."""

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes

    def forward(self, x: Array) -> Array:
        xp = array_namespace(x)
        if math.prod(x.shape[a] for a in self.axes) == 0:  # nothing has a maximum
            kept = tuple(1 if i in self.axes else n for i, n in enumerate(x.shape))
            return xp.broadcast_to(xp.full_like(xp.sum(x), -math.inf), kept)
        top = xp.max(x, axis=self.axes, keepdims=True)
        total = xp.sum(xp.exp(_below(x, top)), axis=self.axes, keepdims=True)
        return xp.log(total) + top

    def backward(self, gy: Array, y: Array, x: Array) -> Array:
        xp = array_namespace(gy)
        e = xp.exp(_below(x, y))
        weights = e / xp.sum(e, axis=self.axes, keepdims=True)  # infinite numbers share
        return xp.where(y == -math.inf, 0.0, product_where_not_zero(gy, weights))


def _below(x: Array, y: Array) -> Array:
    """x - y, which is 0 where both are infinite."""
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
        Whether the reduced axes stay, with length 1.

    Returns
    -------
    array or Variable, of the dtype of `x`
        -inf where all numbers are -inf, or there are none; inf where one is inf.

    Raises
    ------
    ArgumentTypeError
        x is not of real floating-point numbers.
    IndexingError
        x has no such axis.

    Notes
    -----
    The largest number m is taken out: m + log(sum(exp(x - m))). The gradient is `softmax`; 0 where
    all numbers are -inf; of numbers that are inf each has the same share. For float16 and bfloat16
    inputs, the sum is computed in float32. Source: Blanchard, Higham and Higham, "Accurately
    computing the log-sum-exp and softmax functions", 2021.
    """
    wide = widened("logsumexp", x)
    axes = axes_of(axis, x.ndim, "logsumexp")
    y = LogSumExp(axes)(wide)
    if not keepdims:
        y = array_namespace(y).squeeze(y, axis=axes)
    return like(y, x)
