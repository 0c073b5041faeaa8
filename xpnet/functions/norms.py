"""The lengths of vectors, and of matrices. Parameters are the standard's."""

import math
from typing import Any

from xpnet._typing import Array
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace
from xpnet.errors import ArgumentError
from xpnet.functions._in_float32 import in_float32
from xpnet.functions._masks import zero_unless
from xpnet.functions._registry import axes_of, extension
from xpnet.functions._shapes import Axis
from xpnet.kernels.solvers import linalg_of


class VectorNorm(Function):
    """y = (sum |x|^p)^(1/p), with the axes kept: gx = gy conj(x)/y (|x|/y)^(p-2)."""

    def __init__(self, axis: Axis, ord: float) -> None:
        self.axis, self.ord = axis, ord

    def forward(self, x: Array) -> Array:
        norm = linalg_of(array_namespace(x)).vector_norm
        return norm(x, axis=self.axis, keepdims=True, ord=self.ord)

    def backward(self, gy: Array, y: Array, x: Array) -> Array:
        xp, p = array_namespace(gy), self.ord
        nothing = y == 0
        y = xp.where(nothing, 1.0, y)
        gx = xp.conj(x) / y
        if p > 2 and p % 2 == 0:  # a polynomial: smooth where a component is 0
            gx = gx * xp.real(gx * xp.conj(gx)) ** (p // 2 - 1)
        elif p != 2:
            nothing = xp.logical_or(nothing, x == 0)
            gx = gx * (xp.abs(xp.where(nothing, 1.0, x)) / y) ** (p - 2)
        return zero_unless(xp.logical_not(nothing), gy) * xp.where(nothing, 0.0, gx)


@extension("linalg")
@in_float32
def vector_norm(x: Array, /, *, axis: Axis = None, keepdims: bool = False, ord: float = 2) -> Array:
    """The norm of the numbers along `axis`: (sum |x|^ord)^(1/ord).

    Parameters
    ----------
    x : array or Variable
    axis : int, tuple of ints or None
        None for all axes, as one vector.
    keepdims : bool
        Keep the axes, with length 1.
    ord : int or float
        inf is the largest |x|, -inf the smallest, and 0 counts those that are not 0.

    Returns
    -------
    array or Variable, real

    Notes
    -----
    At corners: the gradient of a norm that is 0 is 0, the shortest of its subgradients (JAX has
    nan). A component that is 0 has gradient 0, unless `ord` is 2, 4, ..., where all derivatives
    are exact. The largest, or smallest, share where they are equal. The count has no derivative.
    """
    xp = array_namespace(x)
    if ord == math.inf:
        return xp.max(xp.abs(x), axis=axis, keepdims=keepdims)
    if ord == -math.inf:
        return xp.min(xp.abs(x), axis=axis, keepdims=keepdims)
    if ord == 1:
        return xp.sum(xp.abs(x), axis=axis, keepdims=keepdims)
    if ord == 0:
        counted = xp.astype(x != 0, xp.abs(x).dtype)
        return xp.sum(counted, axis=axis, keepdims=keepdims)
    axes = axes_of(axis, x.ndim, "vector_norm")
    if not axes:
        return xp.abs(x)
    y = VectorNorm(axes, ord)(x)
    return y if keepdims else xp.squeeze(y, axis=axes)


@extension("linalg")
@in_float32
def matrix_norm(x: Array, /, *, keepdims: bool = False, ord: Any = "fro") -> Array:
    """The norm of each matrix.

    Parameters
    ----------
    x : array or Variable, shape (..., m, n)
    keepdims : bool
        Keep the last two axes, with length 1.
    ord : "fro", "nuc", 1, -1, 2, -2, inf or -inf
        "fro" is that of all its numbers as one vector; "nuc" is the sum of its singular values, 2
        the largest and -2 the smallest; 1 is the largest sum of the |x| of a column and -1 the
        smallest, inf and -inf those of a row. None is "fro".

    Returns
    -------
    array or Variable, shape (...), real

    Notes
    -----
    At corners: "fro" of a matrix of zeros has gradient 0. Equal sums, or singular values, share.
    "nuc" of a singular matrix has many subgradients; U Vh, of its `svd`, is the one that is given.
    """
    xp = array_namespace(x)
    if ord is None or ord == "fro":
        return vector_norm(x, axis=(-2, -1), keepdims=keepdims, ord=2)
    if ord in ("nuc", 2, -2):
        sums = linalg_of(xp).svdvals(x)[..., None]
    elif ord in (1, -1, math.inf, -math.inf):
        sums = xp.sum(xp.abs(x), axis=-2 if ord in (1, -1) else -1, keepdims=True)
    else:
        raise ArgumentError(
            f'matrix_norm expected ord "fro", "nuc", 1, -1, 2, -2, inf or -inf, got {ord!r}.'
        )
    reduce = xp.sum if ord == "nuc" else xp.max if ord > 0 else xp.min
    return reduce(sums, axis=(-2, -1), keepdims=keepdims)
