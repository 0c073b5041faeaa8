"""The norms of vectors and of matrices. Parameters are the standard's."""

import math

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
    """y = (sum |x|^p)^(1/p), where p is `ord`: gx = gy conj(x)/y (|x|/y)^(p-2).

    The axes are kept, with length 1.
    """

    def __init__(self, axes: tuple[int, ...], ord: float) -> None:
        self.axes = axes
        self.ord = ord

    def forward(self, x: Array) -> Array:
        norm = linalg_of(array_namespace(x)).vector_norm
        return norm(x, axis=self.axes, keepdims=True, ord=self.ord)

    def backward(self, gy: Array, y: Array, x: Array) -> Array:
        xp = array_namespace(gy)
        p = self.ord
        corner = y == 0
        y = xp.where(corner, 1.0, y)
        gx = xp.conj(x) / y
        if p > 2 and p % 2 == 0:  # a polynomial of x: smooth where a component is 0
            gx = gx * xp.real(gx * xp.conj(gx)) ** (p // 2 - 1)
        elif p != 2:
            corner = xp.logical_or(corner, x == 0)
            gx = gx * (xp.abs(xp.where(corner, 1.0, x)) / y) ** (p - 2)
        return zero_unless(xp.logical_not(corner), gy) * xp.where(corner, 0.0, gx)


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
        inf is the largest |x|, -inf the smallest, and 0 counts the numbers that are not 0.

    Returns
    -------
    array or Variable, real

    Notes
    -----
    At corners: a norm that is 0 has the gradient 0, its shortest subgradient (JAX returns NaN). A
    component that is 0 has the gradient 0, unless `ord` is 2, 4, ..., where all derivatives are
    exact. For inf and -inf, equal numbers share the gradient. For 0 the gradient is 0.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.linalg.vector_norm(F.asarray([3.0, 4.0]))
    Variable(array(5., dtype=float32))
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
def matrix_norm(x: Array, /, *, keepdims: bool = False, ord: float | str | None = "fro") -> Array:
    """The norm of each matrix.

    Parameters
    ----------
    x : array or Variable, shape (..., m, n)
    keepdims : bool
        Keep the last two axes, with length 1.
    ord : "fro", "nuc", 1, -1, 2, -2, inf or -inf
        "fro" is the norm of all numbers of the matrix as one vector. "nuc" is the sum of its
        singular values, 2 the largest and -2 the smallest of them. 1 is the largest and -1 the
        smallest sum of |x| over a column; inf and -inf likewise over a row. None is "fro".

    Returns
    -------
    array or Variable, shape (...), real

    Raises
    ------
    ArgumentError
        `ord` is another value.

    Notes
    -----
    At corners: "fro" of a matrix of zeros has the gradient 0. Equal sums or singular values share
    the gradient. "nuc" of a singular matrix has many subgradients; the result is U Vh of its `svd`.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.linalg.matrix_norm(F.asarray([[3.0, 0.0], [0.0, 4.0]]))
    Variable(array(5., dtype=float32))
    """
    xp = array_namespace(x)
    if ord is None or ord == "fro":
        return vector_norm(x, axis=(-2, -1), keepdims=keepdims, ord=2)
    if ord in ("nuc", 2, -2):
        values = linalg_of(xp).svdvals(x)[..., None]
    elif ord in (1, -1):
        values = xp.sum(xp.abs(x), axis=-2, keepdims=True)
    elif ord in (math.inf, -math.inf):
        values = xp.sum(xp.abs(x), axis=-1, keepdims=True)
    else:
        raise ArgumentError(
            f'matrix_norm expected ord "fro", "nuc", 1, -1, 2, -2, inf or -inf, got {ord!r}.'
        )
    if ord == "nuc":
        return xp.sum(values, axis=(-2, -1), keepdims=keepdims)
    if ord in (1, 2, math.inf):
        return xp.max(values, axis=(-2, -1), keepdims=keepdims)
    return xp.min(values, axis=(-2, -1), keepdims=keepdims)
