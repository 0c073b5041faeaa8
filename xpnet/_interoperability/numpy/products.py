"""NumPy's products and linear algebra: np.dot, np.einsum, np.linalg."""

import operator
from collections.abc import Callable, Sequence
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from xpnet import functions as F
from xpnet._interoperability.numpy.registry import (
    Axis,
    Order,
    as_arrays,
    as_tuple,
    cast,
    flat,
    implements,
    is_floating,
    lists_as_arrays,
    not_available,
    positive_axis,
)
from xpnet._typing import Array, DType
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.errors import ArgumentError

# --- products -------------------------------------------------------------------------------------


@implements("dot")
def dot(a: Array, b: Array, out: Array | None = None) -> Array:
    """np.dot: the sum of products over the last axis of `a` and the last but one of `b`."""
    a, b = as_arrays(a, b)
    xp = array_namespace(a, b)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    if b.ndim <= 2:
        return xp.matmul(a, b)
    return xp.tensordot(a, b, axes=((a.ndim - 1,), (b.ndim - 2,)))


@implements("inner", refuses=())
def inner(a: Array, b: Array, /) -> Array:
    """np.inner: the sum of products over the last axes of both."""
    a, b = as_arrays(a, b)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return array_namespace(a, b).tensordot(a, b, axes=((a.ndim - 1,), (b.ndim - 1,)))


@implements("outer")
def outer(a: Array, b: Array, out: Array | None = None) -> Array:
    """np.outer: the products of all pairs of elements."""
    a, b = as_arrays(a, b)
    return array_namespace(a, b).linalg.outer(flat(a), flat(b))


@implements("linalg.outer")
def linalg_outer(x1: Array, x2: Array, /) -> Array:
    """np.linalg.outer: the products of all pairs of elements of two vectors."""
    x1, x2 = as_arrays(x1, x2)
    return array_namespace(x1, x2).linalg.outer(x1, x2)


@implements("vdot", refuses=())
def vdot(a: Array, b: Array, /) -> Array:
    """np.vdot: the inner product of both, flattened, with the first conjugated."""
    a, b = as_arrays(a, b)
    return array_namespace(a, b).vecdot(flat(a), flat(b))


@implements("linalg.vecdot")
def vecdot(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    """np.linalg.vecdot: the inner product of vectors along an axis, with the first conjugated."""
    x1, x2 = as_arrays(x1, x2)
    return array_namespace(x1, x2).vecdot(x1, x2, axis=axis)


@implements("linalg.matmul")
def matmul(x1: Array, x2: Array, /) -> Array:
    """np.linalg.matmul: the product of matrices."""
    x1, x2 = as_arrays(x1, x2)
    return array_namespace(x1, x2).matmul(x1, x2)


@implements("tensordot")
def tensordot(a: Array, b: Array, axes: int | Sequence[int | Sequence[int]] = 2) -> Array:
    """np.tensordot: the sum of products over some axes of `a` and the same number of axes of `b`."""
    a, b = as_arrays(a, b)
    if isinstance(axes, Sequence):
        pair = tuple(as_tuple(each) for each in axes)
        return array_namespace(a, b).tensordot(a, b, axes=pair)
    return array_namespace(a, b).tensordot(a, b, axes=operator.index(axes))


@implements("linalg.tensordot")
def linalg_tensordot(
    a: Array, b: Array, /, *, axes: int | Sequence[int | Sequence[int]] = 2
) -> Array:
    """np.linalg.tensordot: the same as np.tensordot."""
    return tensordot(a, b, axes)


@implements("kron")
def kron(a: Array, b: Array) -> Array:
    """np.kron: a block for each element of `a`, which is that element times `b`."""
    a, b = as_arrays(a, b)
    xp = array_namespace(a, b)
    n = max(a.ndim, b.ndim)
    shape1 = (1,) * (n - a.ndim) + tuple(a.shape)
    shape2 = (1,) * (n - b.ndim) + tuple(b.shape)
    # (m1, 1, m2, 1, ...) times (1, k1, 1, k2, ...) is (m1, k1, m2, k2, ...).
    spread1 = xp.reshape(a, tuple(k for m in shape1 for k in (m, 1)))
    spread2 = xp.reshape(b, tuple(k for m in shape2 for k in (1, m)))
    return xp.reshape(spread1 * spread2, tuple(map(operator.mul, shape1, shape2)))


@implements("cross", refuses=("axisa", "axisb", "axisc"))
def cross(
    a: Array, b: Array, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Array:
    """np.cross: the cross product of vectors of three components."""
    a, b = as_arrays(a, b)
    if axis is None:
        axis = -1
    return array_namespace(a, b).linalg.cross(a, b, axis=axis)


@implements("linalg.cross")
def linalg_cross(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    """np.linalg.cross: the same as np.cross."""
    return cross(x1, x2, axis=axis)


@implements("einsum", refuses=("out", "dtype", "order", "casting"))
def einsum(
    *operands: Array,
    out: Array | None = None,
    optimize: bool | str = False,
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
    return F.einsum(subscripts, *as_arrays(*arrays))


def _subscripts(operands: tuple[Any, ...]) -> tuple[str, tuple[Array, ...]]:
    """einsum(a, [0, 1], b, [1, 2], [0, 2]) as einsum("AB,BC->AC", a, b)."""
    pairs = len(operands) // 2
    arrays = operands[: 2 * pairs : 2]
    subscripts = ",".join(_letters(sublist) for sublist in operands[1 : 2 * pairs : 2])
    if len(operands) % 2:
        subscripts += f"->{_letters(operands[-1])}"
    return subscripts, arrays


def _letters(sublist: Sequence[Any]) -> str:
    """The letters of axes that are given as numbers and Ellipsis."""
    letters = ascii_uppercase + ascii_lowercase
    for i in sublist:
        if i is not ... and not 0 <= i < len(letters):
            raise ArgumentError(f"np.einsum expected axes from 0 to {len(letters) - 1}, got {i}.")
    return "".join("..." if i is ... else letters[i] for i in sublist)


@implements("polyval")
def polyval(p: Array, x: Array) -> Array:
    """np.polyval: p[0] x^(n-1) + ... + p[n-1], where n = len(p), by Horner's rule."""
    p, x = as_arrays(p, x)
    y = array_namespace(p, x).zeros_like(x)
    for i in range(p.shape[0]):
        y = y * x + p[i]
    return y


@implements("vander")
def vander(x: Array, N: int | None = None, increasing: bool = False) -> Array:
    """np.vander: the powers of x as columns, N of them, the highest first."""
    xp = array_namespace(x)
    count = x.shape[0] if N is None else N
    columns = [xp.ones_like(x)]
    for _ in range(1, count):
        columns.append(columns[-1] * x)
    return xp.stack(columns if increasing else columns[::-1], axis=-1)[:, :count]


@implements("polyfit", refuses=("full", "cov"))
def polyfit(
    x: Array,
    y: Array,
    deg: int,
    rcond: float | None = None,
    full: bool = False,
    w: Array | None = None,
    cov: bool = False,
) -> Array:
    """np.polyfit: the coefficients of the polynomial that is nearest to the points (x, y)."""
    x, y, w = as_arrays(x, y, w)
    x = _as_floating(x, y)
    powers = vander(x, deg + 1)
    xp = array_namespace(powers, y, w)
    weights = xp.ones_like(x) if w is None else w
    columns = weights[:, None] * powers
    scale = xp.linalg.vector_norm(columns, axis=0)
    if rcond is None:
        rcond = x.shape[0] * xp.finfo(x.dtype).eps
    rows = weights[:, None] if y.ndim == 2 else weights
    found = xp.linalg.pinv(columns / scale, rtol=rcond) @ (rows * y)
    return found / (scale[:, None] if y.ndim == 2 else scale)


def _as_floating(x: Array, other: Array) -> Array:
    """An array of integers in the dtype of another array, or in float64 if that holds integers too."""
    if is_floating(x):
        return x
    xp = array_namespace(x)
    return xp.astype(x, other.dtype if is_floating(other) else xp.float64)


# --- statistics that are products -----------------------------------------------------------------


@implements("cov", refuses=("fweights", "aweights"))
def cov(
    m: Array,
    y: Array | None = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Array | None = None,
    aweights: Array | None = None,
    *,
    dtype: DType | None = None,
) -> Array:
    """np.cov: the covariance matrix of random variables in rows, or in columns."""
    m, y = lists_as_arrays(cast(m, dtype), y)
    xp = array_namespace(m, y)
    rows = _rows(m, rowvar)
    if y is not None:
        rows = xp.concat([rows, _rows(y, rowvar)])
    if ddof is None:
        ddof = 0 if bias else 1
    deviations = rows - xp.mean(rows, axis=1, keepdims=True)
    matrix = deviations @ xp.conj(deviations).mT / max(rows.shape[1] - ddof, 0)
    if matrix.shape == (1, 1):
        return xp.squeeze(matrix, axis=(0, 1))
    return matrix


def _rows(x: Array, rowvar: bool) -> Array:
    """Random variables as the rows of a matrix."""
    if x.ndim < 2:
        return array_namespace(x).reshape(x, (1, -1))
    return x if rowvar else x.mT


@implements("corrcoef")
def corrcoef(
    x: Array, y: Array | None = None, rowvar: bool = True, *, dtype: DType | None = None
) -> Array:
    """np.corrcoef: the covariance divided by both standard deviations."""
    matrix = cov(x, y, rowvar, dtype=dtype)
    xp = array_namespace(matrix)
    if matrix.ndim == 0:
        return matrix / matrix
    variances = xp.linalg.diagonal(matrix)
    if has_dtype(matrix, "complex floating"):
        variances = xp.real(variances)
    deviations = xp.sqrt(variances)
    return matrix / deviations[:, None] / deviations[None, :]


# --- np.linalg ------------------------------------------------------------------------------------


def _linalg(name: str) -> Callable[..., Any]:
    """A function of a stack of matrices, which the standard has under the same name."""

    def function(a: Array) -> Array:
        """The function, applied to each matrix."""
        return getattr(array_namespace(a).linalg, name)(a)

    return implements(f"linalg.{name}")(function)


inv, det, slogdet, eig, eigvals, svdvals = map(
    _linalg, ("inv", "det", "slogdet", "eig", "eigvals", "svdvals")
)


@implements("linalg.cholesky")
def cholesky(a: Array, /, *, upper: bool = False) -> Array:
    """np.linalg.cholesky: the triangular factor L of a = L @ L^H; or its U, where a = U^H @ U."""
    return array_namespace(a).linalg.cholesky(a, upper=upper)


@implements("linalg.diagonal")
def diagonal(x: Array, /, *, offset: int = 0) -> Array:
    """np.linalg.diagonal: the diagonals of the matrices in the last two axes."""
    return array_namespace(x).linalg.diagonal(x, offset=offset)


@implements("linalg.trace")
def trace(x: Array, /, *, offset: int = 0, dtype: DType | None = None) -> Array:
    """np.linalg.trace: the traces of the matrices in the last two axes."""
    return array_namespace(x).linalg.trace(cast(x, dtype), offset=offset)


def _triangle(a: Array, UPLO: str, name: str) -> Array:
    """The symmetric matrix that has this triangle: the standard's functions read the lower one."""
    if UPLO.upper() not in ("L", "U"):
        raise ArgumentError(f'np.linalg.{name} expected UPLO "L" or "U", got {UPLO!r}.')
    xp = array_namespace(a)
    lower = xp.tril(a) if UPLO.upper() == "L" else xp.conj(xp.triu(a)).mT
    return lower + xp.conj(xp.tril(lower, k=-1)).mT


@implements("linalg.eigh")
def eigh(a: Array, UPLO: str = "L") -> tuple[Array, Array]:
    """np.linalg.eigh: eigenvalues and eigenvectors of symmetric matrices, from one triangle."""
    found: tuple[Array, Array] = array_namespace(a).linalg.eigh(_triangle(a, UPLO, "eigh"))
    return found


@implements("linalg.eigvalsh")
def eigvalsh(a: Array, UPLO: str = "L") -> Array:
    """np.linalg.eigvalsh: the eigenvalues of symmetric matrices, from one triangle."""
    return array_namespace(a).linalg.eigvalsh(_triangle(a, UPLO, "eigvalsh"))


@implements("linalg.svd", refuses=("hermitian",))
def svd(
    a: Array, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Array | tuple[Array, Array, Array]:
    """np.linalg.svd: the singular value decomposition, or the singular values only."""
    if not compute_uv:
        return array_namespace(a).linalg.svdvals(a)
    return array_namespace(a).linalg.svd(a, full_matrices=full_matrices)


@implements("linalg.qr")
def qr(a: Array, mode: str = "reduced") -> Array | tuple[Array, Array]:
    """np.linalg.qr: the QR decomposition, or R only."""
    if mode == "r":
        return array_namespace(a).linalg.qr(a).R
    if mode not in ("reduced", "complete"):
        raise ArgumentError(
            f'np.linalg.qr expected the mode "reduced", "complete" or "r", got {mode!r}.'
        )
    return array_namespace(a).linalg.qr(a, mode=mode)


@implements("linalg.pinv", refuses=("hermitian",))
def pinv(
    a: Array,
    rcond: Array | float | None = None,
    hermitian: bool = False,
    *,
    rtol: Array | float | None = None,
) -> Array:
    """np.linalg.pinv: the pseudo-inverse."""
    if rtol is None:
        rtol = rcond
    return array_namespace(a).linalg.pinv(a, rtol=rtol)


@implements("linalg.lstsq")
def lstsq(a: Array, b: Array, rcond: float | None = None) -> tuple[Array, Array, int, Array]:
    """np.linalg.lstsq: the x of least norm for which a @ x is nearest to b.

    Also the sums of squared residuals (empty if a has not full rank, or not more rows than columns),
    the rank of a, and its singular values.
    """
    a, b = as_arrays(a, b)
    a = _as_floating(a, b)
    xp = array_namespace(a, b)
    m, n = a.shape
    if rcond is None:
        rcond = max(m, n) * xp.finfo(a.dtype).eps
    x = xp.linalg.pinv(a, rtol=rcond) @ b
    rank = int(xp.linalg.matrix_rank(a, rtol=rcond))
    squares = xp.abs(b - a @ x) ** 2
    residuals = xp.reshape(xp.sum(squares, axis=0), (-1,))
    if rank < n or m <= n:
        residuals = residuals[:0]
    return x, residuals, rank, xp.linalg.svdvals(a)


@implements("linalg.matrix_rank", refuses=("hermitian",))
def matrix_rank(
    A: Array,
    tol: Array | float | None = None,
    hermitian: bool = False,
    *,
    rtol: Array | float | None = None,
) -> Array:
    """np.linalg.matrix_rank: the number of singular values above a tolerance."""
    xp = array_namespace(A)
    if tol is None:
        return xp.linalg.matrix_rank(A, rtol=rtol)
    return xp.count_nonzero(xp.linalg.svdvals(A) > tol, axis=-1)


@implements("linalg.solve")
def solve(a: Array, b: Array) -> Array:
    """np.linalg.solve: x such that a @ x = b."""
    a, b = as_arrays(a, b)
    return array_namespace(a, b).linalg.solve(a, b)


@implements("linalg.matrix_power")
def matrix_power(a: Array, n: int) -> Array:
    """np.linalg.matrix_power: a @ a @ ... @ a."""
    return array_namespace(a).linalg.matrix_power(a, n)


@implements("linalg.multi_dot")
def multi_dot(arrays: Sequence[Array], *, out: Array | None = None) -> Array:
    """np.linalg.multi_dot: the product of several matrices, from left to right."""
    if out is not None:
        raise not_available("linalg.multi_dot", "out")
    first, *rest = as_arrays(*arrays)
    for x in rest:
        first = dot(first, x)
    return first


@implements("linalg.vector_norm")
def vector_norm(x: Array, /, *, axis: Axis = None, keepdims: bool = False, ord: Order = 2) -> Array:
    """np.linalg.vector_norm: (sum |x|^ord)^(1/ord)."""
    return array_namespace(x).linalg.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)


@implements("linalg.matrix_norm")
def matrix_norm(x: Array, /, *, keepdims: bool = False, ord: Order = "fro") -> Array:
    """np.linalg.matrix_norm: the norms of the matrices in the last two axes."""
    return array_namespace(x).linalg.matrix_norm(x, keepdims=keepdims, ord=ord)


@implements("linalg.norm")
def norm(x: Array, ord: Order = None, axis: Axis = None, keepdims: bool = False) -> Array:
    """np.linalg.norm: the norms of vectors along one axis, or of matrices in two; or of all elements."""
    xp = array_namespace(x)
    if ord is None and not (isinstance(axis, tuple) and len(axis) == 2):
        return xp.linalg.vector_norm(x, axis=axis, keepdims=keepdims)
    if axis is None:
        axis = tuple(range(x.ndim))
    axes = tuple(positive_axis(i, x.ndim, "linalg.norm") for i in as_tuple(axis))
    if len(axes) == 1:
        return xp.linalg.vector_norm(x, axis=axes[0], keepdims=keepdims, ord=ord)
    if len(axes) != 2:
        raise ArgumentError(
            f"np.linalg.norm expected one axis or two for ord={ord!r}, got {len(axes)}."
        )
    if ord is None:
        ord = "fro"
    y = xp.linalg.matrix_norm(xp.moveaxis(x, axes, (-2, -1)), ord=ord)
    if not keepdims:
        return y
    return xp.reshape(y, tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


@implements("linalg.cond")
def cond(x: Array, p: Order = None) -> Array:
    """np.linalg.cond: the norm of a matrix times that of its inverse."""
    xp = array_namespace(x)
    if p is None or p in (2, -2):
        values = xp.linalg.svdvals(x)
        largest = values[..., 0]
        smallest = values[..., -1]
        if p == -2:
            return smallest / largest
        return largest / smallest
    return xp.linalg.matrix_norm(x, ord=p) * xp.linalg.matrix_norm(xp.linalg.inv(x), ord=p)
