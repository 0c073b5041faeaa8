"""NumPy's products and linear algebra: np.dot, np.einsum, np.linalg."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

from xpnet import functions as F
from xpnet._interoperability.numpy.table import (
    as_tuple,
    cast,
    flat,
    front,
    lifted,
    listed,
    not_available,
    numpys,
)
from xpnet._typing import Array, DType
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.errors import ArgumentError

# --- products -------------------------------------------------------------------------------------


@numpys("dot")
def dot(a: Array, b: Array, out: Array | None = None) -> Array:
    """np.dot: the sum over the last axis of `a` and the last but one of `b`."""
    a, b = lifted(a, b)
    xp = array_namespace(a, b)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    if b.ndim <= 2:
        return xp.matmul(a, b)
    return xp.tensordot(a, b, axes=((a.ndim - 1,), (b.ndim - 2,)))


@numpys("inner", refuses=())
def inner(a: Array, b: Array, /) -> Array:
    """np.inner: the sum over the last axes of both."""
    a, b = lifted(a, b)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return array_namespace(a, b).tensordot(a, b, axes=((a.ndim - 1,), (b.ndim - 1,)))


@numpys("outer")
def outer(a: Array, b: Array, out: Array | None = None) -> Array:
    """np.outer: the products of all pairs of numbers."""
    a, b = lifted(a, b)
    return array_namespace(a, b).linalg.outer(flat(a), flat(b))


@numpys("linalg.outer")
def linalg_outer(x1: Array, x2: Array, /) -> Array:
    """np.linalg.outer: of two vectors."""
    x1, x2 = lifted(x1, x2)
    return array_namespace(x1, x2).linalg.outer(x1, x2)


@numpys("vdot", refuses=())
def vdot(a: Array, b: Array, /) -> Array:
    """np.vdot: the product of both flattened, the first conjugated."""
    a, b = lifted(a, b)
    return array_namespace(a, b).vecdot(flat(a), flat(b))


@numpys("linalg.vecdot")
def vecdot(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    """np.linalg.vecdot: the product of vectors along an axis, the first conjugated."""
    x1, x2 = lifted(x1, x2)
    return array_namespace(x1, x2).vecdot(x1, x2, axis=axis)


@numpys("linalg.matmul")
def matmul(x1: Array, x2: Array, /) -> Array:
    """np.linalg.matmul: the product of matrices."""
    x1, x2 = lifted(x1, x2)
    return array_namespace(x1, x2).matmul(x1, x2)


@numpys("tensordot")
def tensordot(a: Array, b: Array, axes: Any = 2) -> Array:
    """np.tensordot: the sum over some axes of `a` and as many of `b`."""
    a, b = lifted(a, b)
    if hasattr(axes, "__len__"):
        axes = tuple(as_tuple(each) for each in axes)
    return array_namespace(a, b).tensordot(a, b, axes=axes)


@numpys("linalg.tensordot")
def linalg_tensordot(a: Array, b: Array, /, *, axes: Any = 2) -> Array:
    """np.linalg.tensordot: likewise."""
    return tensordot(a, b, axes)


@numpys("kron")
def kron(a: Array, b: Array) -> Array:
    """np.kron: `b` once for each number of `a`, times that number."""
    a, b = lifted(a, b)
    xp = array_namespace(a, b)
    n = max(a.ndim, b.ndim)
    shape1 = (1,) * (n - a.ndim) + tuple(a.shape)
    shape2 = (1,) * (n - b.ndim) + tuple(b.shape)
    spread1 = xp.reshape(a, tuple(k for m in shape1 for k in (m, 1)))
    spread2 = xp.reshape(b, tuple(k for m in shape2 for k in (1, m)))
    return xp.reshape(spread1 * spread2, tuple(map(operator.mul, shape1, shape2)))


@numpys("cross", refuses=("axisa", "axisb", "axisc"))
def cross(
    a: Array, b: Array, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Array:
    """np.cross: the cross product of vectors of three components."""
    a, b = lifted(a, b)
    return array_namespace(a, b).linalg.cross(a, b, axis=-1 if axis is None else axis)


@numpys("linalg.cross")
def linalg_cross(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    """np.linalg.cross: likewise."""
    return cross(x1, x2, axis=axis)


@numpys("einsum", refuses=("out", "dtype", "order", "casting"))
def einsum(
    *operands: Any,
    out: Array | None = None,
    optimize: Any = False,
    dtype: DType | None = None,
    order: str = "K",
    casting: str = "safe",
) -> Array:
    """np.einsum: sums of products by Einstein's convention."""
    if isinstance(operands[0], str):
        subscripts = operands[0]
        arrays = operands[1:]
    else:
        subscripts, arrays = _subscripts(operands)
    return F.einsum(subscripts, *lifted(*arrays))


def _subscripts(operands: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """einsum(a, [0, 1], b, [1, 2], [0, 2]) as einsum("AB,BC->AC", a, b)."""
    arrays, sublists = operands[: len(operands) // 2 * 2 : 2], operands[1::2]
    words = [_word(sublist) for sublist in sublists]
    last = f"->{_word(operands[-1])}" if len(operands) % 2 else ""
    return ",".join(words) + last, arrays


def _word(sublist: Any) -> str:
    return "".join(
        "..." if i is ... else chr(ord("A") + i) if i < 26 else chr(71 + i) for i in sublist
    )


@numpys("polyval")
def polyval(p: Any, x: Array) -> Array:
    """np.polyval: p[0] x^(n-1) + ... + p[n-1], by Horner's rule."""
    p, x = lifted(p, x)
    y = array_namespace(p, x).zeros_like(x)
    for i in range(p.shape[0]):
        y = y * x + p[i]
    return y


# --- statistics that are products -----------------------------------------------------------------


@numpys("cov", refuses=("fweights", "aweights"))
def cov(
    m: Array,
    y: Array | None = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: DType | None = None,
) -> Array:
    """np.cov: the covariance matrix of variables that lie in rows, or in columns."""
    m, y = listed(cast(m, dtype), y)
    xp = array_namespace(m, y)
    rows = _rows(m, rowvar)
    if y is not None:
        rows = xp.concat([rows, _rows(y, rowvar)])
    ddof = (0 if bias else 1) if ddof is None else ddof
    deviations = rows - xp.mean(rows, axis=1, keepdims=True)
    matrix = deviations @ xp.conj(deviations).mT / max(rows.shape[1] - ddof, 0)
    return xp.squeeze(matrix, axis=(0, 1)) if matrix.shape == (1, 1) else matrix


def _rows(x: Array, rowvar: bool) -> Array:
    """Variables as the rows of a matrix."""
    if x.ndim < 2:
        return array_namespace(x).reshape(x, (1, -1))
    return x if rowvar else x.mT


@numpys("corrcoef")
def corrcoef(
    x: Array, y: Array | None = None, rowvar: bool = True, *, dtype: DType | None = None
) -> Array:
    """np.corrcoef: the covariance divided by both standard deviations."""
    matrix = cov(x, y, rowvar, dtype=dtype)
    xp = array_namespace(matrix)
    if matrix.ndim == 0:
        return matrix / matrix
    deviation = xp.sqrt(xp.real(_diagonal(matrix)) if _complex(matrix) else _diagonal(matrix))
    return matrix / deviation[:, None] / deviation[None, :]


def _diagonal(x: Array) -> Array:
    return array_namespace(x).linalg.diagonal(x)


def _complex(x: Array) -> bool:
    return has_dtype(x, "complex floating")


# --- np.linalg ------------------------------------------------------------------------------------


def _linalg(name: str) -> Callable[..., Any]:
    """A function of one stack of matrices that the standard has."""

    def function(a: Array) -> Array:
        """Of each matrix."""
        return getattr(array_namespace(a).linalg, name)(a)

    return numpys(f"linalg.{name}")(function)


inv, det, slogdet, eig, eigvals, svdvals = map(
    _linalg, ("inv", "det", "slogdet", "eig", "eigvals", "svdvals")
)


@numpys("linalg.cholesky")
def cholesky(a: Array, /, *, upper: bool = False) -> Array:
    """np.linalg.cholesky: the triangular factor."""
    return array_namespace(a).linalg.cholesky(a, upper=upper)


@numpys("linalg.diagonal")
def diagonal(x: Array, /, *, offset: int = 0) -> Array:
    """np.linalg.diagonal: of the matrices in the last two axes."""
    return array_namespace(x).linalg.diagonal(x, offset=offset)


@numpys("linalg.trace")
def trace(x: Array, /, *, offset: int = 0, dtype: DType | None = None) -> Array:
    """np.linalg.trace: of the matrices in the last two axes."""
    return array_namespace(x).linalg.trace(cast(x, dtype), offset=offset)


def _triangle(a: Array, UPLO: str, name: str) -> Array:
    """The matrix whose other triangle the standard's function does not read."""
    if UPLO.upper() not in ("L", "U"):
        raise ArgumentError(f'np.linalg.{name} expected UPLO "L" or "U", got {UPLO!r}.')
    xp = array_namespace(a)
    low = xp.tril(a) if UPLO.upper() == "L" else xp.conj(xp.triu(a)).mT
    strict = xp.tril(low, k=-1)
    return low + xp.conj(strict).mT


@numpys("linalg.eigh")
def eigh(a: Array, UPLO: str = "L") -> Array:
    """np.linalg.eigh: eigenvalues and vectors of symmetric matrices, from one triangle."""
    return array_namespace(a).linalg.eigh(_triangle(a, UPLO, "eigh"))


@numpys("linalg.eigvalsh")
def eigvalsh(a: Array, UPLO: str = "L") -> Array:
    """np.linalg.eigvalsh: the eigenvalues of symmetric matrices, from one triangle."""
    return array_namespace(a).linalg.eigvalsh(_triangle(a, UPLO, "eigvalsh"))


@numpys("linalg.svd", refuses=("hermitian",))
def svd(
    a: Array, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Array:
    """np.linalg.svd: the singular value decomposition, or its values alone."""
    if not compute_uv:
        return array_namespace(a).linalg.svdvals(a)
    return array_namespace(a).linalg.svd(a, full_matrices=full_matrices)


@numpys("linalg.qr")
def qr(a: Array, mode: str = "reduced") -> Array:
    """np.linalg.qr: the QR decomposition, or R alone."""
    if mode == "r":
        return array_namespace(a).linalg.qr(a).R
    if mode not in ("reduced", "complete"):
        raise ArgumentError(
            f'np.linalg.qr expected the mode "reduced", "complete" or "r", got {mode!r}.'
        )
    return array_namespace(a).linalg.qr(a, mode=mode)


@numpys("linalg.pinv", refuses=("hermitian",))
def pinv(a: Array, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Array:
    """np.linalg.pinv: the pseudo-inverse."""
    return array_namespace(a).linalg.pinv(a, rtol=rcond if rtol is None else rtol)


@numpys("linalg.matrix_rank", refuses=("hermitian",))
def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """np.linalg.matrix_rank: how many singular values are above a tolerance."""
    xp = array_namespace(A)
    if tol is None:
        return xp.linalg.matrix_rank(A, rtol=rtol)
    return xp.count_nonzero(xp.linalg.svdvals(A) > tol, axis=-1)


@numpys("linalg.solve")
def solve(a: Array, b: Array) -> Array:
    """np.linalg.solve: x such that a @ x = b."""
    a, b = lifted(a, b)
    return array_namespace(a, b).linalg.solve(a, b)


@numpys("linalg.matrix_power")
def matrix_power(a: Array, n: int) -> Array:
    """np.linalg.matrix_power: a @ a @ ... @ a."""
    return array_namespace(a).linalg.matrix_power(a, n)


@numpys("linalg.multi_dot")
def multi_dot(arrays: Sequence[Any], *, out: Array | None = None) -> Array:
    """np.linalg.multi_dot: the product of several matrices, from left to right."""
    if out is not None:
        raise not_available("linalg.multi_dot", "out")
    first, *rest = lifted(*arrays)
    for x in rest:
        first = dot(first, x)
    return first


@numpys("linalg.vector_norm")
def vector_norm(x: Array, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Array:
    """np.linalg.vector_norm: (sum |x|^ord)^(1/ord)."""
    return array_namespace(x).linalg.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)


@numpys("linalg.matrix_norm")
def matrix_norm(x: Array, /, *, keepdims: bool = False, ord: Any = "fro") -> Array:
    """np.linalg.matrix_norm: of the matrices in the last two axes."""
    return array_namespace(x).linalg.matrix_norm(x, keepdims=keepdims, ord=ord)


@numpys("linalg.norm")
def norm(x: Array, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Array:
    """np.linalg.norm: of vectors along one axis, or of matrices in two; by default of all numbers."""
    xp = array_namespace(x)
    if ord is None and not (isinstance(axis, tuple) and len(axis) == 2):
        return xp.linalg.vector_norm(x, axis=axis, keepdims=keepdims)
    axes = tuple(range(x.ndim)) if axis is None else as_tuple(axis)
    axes = tuple(front(i, x.ndim, "linalg.norm") for i in axes)
    if len(axes) == 1:
        return xp.linalg.vector_norm(x, axis=axes[0], keepdims=keepdims, ord=ord)
    if len(axes) != 2:
        raise ArgumentError(
            f"np.linalg.norm expected one axis or two for ord={ord!r}, got {len(axes)}."
        )
    y = xp.linalg.matrix_norm(xp.moveaxis(x, axes, (-2, -1)), ord="fro" if ord is None else ord)
    if not keepdims:
        return y
    return xp.reshape(y, tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


@numpys("linalg.cond")
def cond(x: Array, p: Any = None) -> Array:
    """np.linalg.cond: the norm of a matrix times that of its inverse."""
    xp = array_namespace(x)
    if p is None or p in (2, -2):
        values = xp.linalg.svdvals(x)
        first = values[..., 0]
        last = values[..., -1]
        return last / first if p == -2 else first / last
    linalg = xp.linalg
    return linalg.matrix_norm(x, ord=p) * linalg.matrix_norm(linalg.inv(x), ord=p)
