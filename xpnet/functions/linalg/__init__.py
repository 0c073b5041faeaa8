"""Linear algebra: the standard's complete extension `linalg`, differentiable to any order.

    from xpnet.functions import linalg       linalg.inv(x), for arrays and for Variables
    xp = array_namespace(x)                  xp.linalg.inv(x), for either

Functions take a matrix, or a stack of them in the last two axes.
"""

import operator
from functools import partial

import array_api_compat as compat

from xpnet._typing import Array, DType
from xpnet.autodiff.namespace import array_namespace
from xpnet.errors import ShapeError
from xpnet.functions._registry import constant, extension, hide_chapters
from xpnet.functions.linalg.decompositions import cholesky, qr, svd, svdvals
from xpnet.functions.linalg.eigenvalues import eig, eigh, eigvals, eigvalsh
from xpnet.functions.linalg.inverses import det, inv, pinv, slogdet, solve
from xpnet.functions.linalg.norms import matrix_norm, vector_norm
from xpnet.functions.products import cross, matmul, matrix_transpose, outer, tensordot, vecdot
from xpnet.functions.statistical import sum as sum_of
from xpnet.kernels.solvers import linalg_of

__all__ = [
    "cholesky",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "inv",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]


@extension("linalg")
def matrix_power(x: Array, n: int, /) -> Array:
    """The product of n matrices x, by repeated squaring; for a negative n, of -n inverses.

    Parameters
    ----------
    x : array or Variable, shape (..., m, m)
    n : int
        The exponent; 0 returns identity matrices.

    Returns
    -------
    array or Variable, shape (..., m, m)

    Raises
    ------
    ShapeError
        The matrices are not square.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.linalg.matrix_power(F.asarray([[1.0, 1.0], [0.0, 1.0]]), 3)
    Variable(array([[1., 3.],
           [0., 1.]], dtype=float32))
    """
    xp = array_namespace(x)
    n = operator.index(n)
    if x.ndim < 2 or x.shape[-2] != x.shape[-1]:
        raise ShapeError(f"matrix_power expected square matrices, got shape {tuple(x.shape)}.")
    if n == 0:
        identity = xp.eye(x.shape[-1], dtype=x.dtype, device=compat.device(x))
        return identity * x**0  # x**0 is ones, with the stack of x and its history
    if n < 0:
        x = linalg_of(xp).inv(x)
        n = -n
    y = None
    while True:  # x is the original matrix to the power 1, 2, 4, ...; y collects the bits of n
        if n % 2:
            y = x if y is None else y @ x
        n //= 2
        if n == 0:
            return y
        x = x @ x


@partial(constant, within="linalg")
def matrix_rank(x: Array, /, *, rtol: Array | float | None = None) -> Array:
    """The number of singular values of each matrix above rtol times the largest: no derivative.

    Parameters
    ----------
    x : array or Variable, shape (..., m, n)
    rtol : float or array, shape (...), optional
        By default, max(m, n) times the dtype's precision.

    Returns
    -------
    array or Variable of integers, shape (...)

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.linalg.matrix_rank(F.asarray([[1.0, 2.0], [2.0, 4.0]]))
    Variable(array(1))
    """


@extension("linalg")
def diagonal(x: Array, /, *, offset: int = 0) -> Array:
    """The numbers x[..., i, i + offset] of each matrix.

    Parameters
    ----------
    x : array or Variable, shape (..., m, n)
    offset : int
        Above the main diagonal, or below it if negative.

    Returns
    -------
    array or Variable, shape (..., k), where k is the length of the diagonal

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.linalg.diagonal(F.asarray([[1.0, 2.0], [3.0, 4.0]]))
    Variable(array([1., 4.], dtype=float32))
    """
    if x.ndim < 2:
        raise ShapeError(f"diagonal expected matrices, got shape {tuple(x.shape)}.")
    *stack, m, n = x.shape
    flat = array_namespace(x).reshape(x, (*stack, m * n))
    if offset >= 0:
        length = min(m, n - offset)
        first = offset
    else:
        length = min(m + offset, n)
        first = -offset * n
    if length <= 0:
        return flat[..., :0]
    last = first + (length - 1) * (n + 1)
    return flat[..., first : last + 1 : n + 1]


@extension("linalg")
def trace(x: Array, /, *, offset: int = 0, dtype: DType | None = None) -> Array:
    """The sum of a diagonal of each matrix.

    Parameters
    ----------
    x : array or Variable, shape (..., m, n)
    offset : int
        As for `diagonal`.
    dtype : of the library, optional
        The dtype of the sum; by default as for `sum`.

    Returns
    -------
    array or Variable, shape (...)

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.linalg.trace(F.asarray([[1.0, 2.0], [3.0, 4.0]]))
    Variable(array(5., dtype=float32))
    """
    return sum_of(diagonal(x, offset=offset), axis=-1, dtype=dtype)


hide_chapters(globals())
