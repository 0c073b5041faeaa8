"""Matrices as products: `cholesky`, `qr`, `svd`. Stacks of matrices are in the last two axes.

Complex numbers. The gradient of a real L by z = x + iy is dL/dx - i dL/dy here, as in JAX; papers
(and PyTorch) write rules for its conjugate. If G = f(G_y; y) is such a rule, with real numbers as
coefficients, then in our convention it is g = f(g_y; conj(y)): the same, of conjugated factors.

Freedom. A vector may change its sign, a complex one its phase, and be as good a vector. The rules
are for what makes no difference between them.

Equal values. The vectors of equal eigenvalues, or equal singular values, may be mixed, and have no
derivative: the rules divide by the difference of the values, and give inf or nan, as in JAX. Where
nothing was made of the vectors, nothing is divided: the derivative by the values alone is right.
"""

from typing import Any, NamedTuple

import array_api_compat as compat

from xpnet._typing import Array
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace
from xpnet.errors import GradientError
from xpnet.functions._registry import extension
from xpnet.functions.products import adjoint
from xpnet.kernels.solvers import linalg_of


class QRResult(NamedTuple):
    """What `qr` gives."""

    Q: Any
    R: Any


class SVDResult(NamedTuple):
    """What `svd` gives."""

    U: Any
    S: Any
    Vh: Any


# --- parts of the rules -------------------------------------------------------------------------


def hermitian(x: Array) -> Array:
    """The Hermitian part of x: the gradient by matrices that are Hermitian."""
    return (x + adjoint(x)) / 2


def is_diagonal(x: Array) -> Array:
    """Which places of square matrices x are on the diagonal."""
    xp = array_namespace(x)
    return xp.eye(x.shape[-1], dtype=xp.bool, device=compat.device(x))


def between_pairs(numerator: Any, difference: Any) -> Any:
    """numerator / difference, but 0 on the diagonal, where a value meets itself."""
    xp, itself = array_namespace(numerator, difference), is_diagonal(numerator)
    return xp.where(itself, 0.0, numerator) / xp.where(itself, 1.0, difference)


class Completed(Function):
    """Orthonormal vectors, made a square matrix by more of them: any will do, so they are refused.

    That is for the user's part of the graph. The rules, which do not use them, go past this.
    """

    def __init__(self, what: str, x: Array, instead: str) -> None:
        self.why = (
            f"{what} has no derivative for x of shape {tuple(x.shape)}: the vectors that complete "
            f"it to a square matrix are not determined by x. Use {instead}."
        )

    def forward(self, x: Array) -> Array:
        return x

    def backward(self, gy: Array) -> Any:
        raise GradientError(self.why)


# --- the rules ----------------------------------------------------------------------------------


class Cholesky(Function):
    """dL = L low(L^-1 dA L^-H), where low takes the lower triangle, with half the diagonal.

    Murray, "Differentiation of the Cholesky decomposition", 2016.
    """

    def forward(self, x: Array) -> Array:
        return linalg_of(array_namespace(x)).cholesky(x)

    def backward(self, gy: Array, y: Array) -> Array:
        xp = array_namespace(gy)
        Lh = xp.matrix_transpose(y)  # that of conj(L)
        inner = Lh @ gy
        inner = (xp.tril(inner) + xp.tril(inner, k=-1)) / 2
        return hermitian(linalg_of(xp).solve(Lh, adjoint(linalg_of(xp).solve(Lh, inner))))


class QR(Function):
    """gA = (gQ + Q (T + T^H)) R^-H, where T is a triangle, with half the diagonal.

    It is the upper one of gR R^H - Q^H gQ. That is for m >= n. A wide A is [B C], with B square,
    and its R is [R1 Q^H C]: so B = Q R1, with what flows through Q^H C added to gQ.

    Walter and Lehmann, "Algorithmic differentiation of linear algebra functions", 2012; Roberts and
    Roberts, "QR and LQ decomposition matrix backpropagation algorithms", 2020.
    """

    def __init__(self, mode: str) -> None:
        self.mode = mode

    def forward(self, x: Array) -> Array:
        return tuple(linalg_of(array_namespace(x)).qr(x, mode=self.mode))

    def backward(self, gy: Array, y: Array, x: Array) -> Array:
        (gQ, gR), (Q, R) = gy, y
        xp, (m, n) = array_namespace(gQ), x.shape[-2:]
        k = min(m, n)
        gQ, Q, gR, R = gQ[..., :k], xp.conj(Q[..., :k]), gR[..., :k, :], xp.conj(R[..., :k, :])
        rest = []
        if n > m:
            rest = [Q @ gR[..., m:]]
            gQ = gQ + xp.conj(x[..., m:]) @ adjoint(gR[..., m:])
            gR, R = gR[..., :m], R[..., :m]
        inner = gR @ adjoint(R) - adjoint(Q) @ gQ
        inner = (xp.triu(inner) + xp.triu(inner, k=1)) / 2
        gx = gQ + Q @ (inner + adjoint(inner))
        gx = adjoint(linalg_of(xp).solve(R, adjoint(gx)))
        return xp.concat([gx, *rest], axis=-1) if rest else gx


class SVD(Function):
    """gA = U ((P + P^H) S + S (Q + Q^H) + D) V^H, and two terms more if A is not square.

        P = U^H gU / E,  Q = V^H gV / E,  E[i, j] = S[j]^2 - S[i]^2,  D = gS + i Im(U^H gU) / S

    where E has opposite signs on both sides of the diagonal: (P + P^H) E = U^H gU - gU^H U.

    The others are for what moves U, or V, out of the space that its vectors span:

        (1 - U U^H) gU S^-1 V^H,  U S^-1 gV^H (1 - V V^H)

    Townsend, "Differentiating the singular value decomposition", 2016; Wan and Zhang,
    "Automatic differentiation for complex valued SVD", 2019.
    """

    def __init__(self, full_matrices: bool) -> None:
        self.full_matrices = full_matrices

    def forward(self, x: Array) -> Array:
        return tuple(linalg_of(array_namespace(x)).svd(x, full_matrices=self.full_matrices))

    def backward(self, gy: Array, y: Array) -> Array:
        (gU, gS, gVh), (U, S, Vh) = gy, y
        xp, m, n, k = array_namespace(gS), U.shape[-2], Vh.shape[-1], S.shape[-1]
        gU, U = gU[..., :k], xp.conj(U[..., :k])  # the others have none: see Completed
        gVh, Vh = gVh[..., :k, :], xp.conj(Vh[..., :k, :])
        columns, rows = S[..., None, :], S[..., :, None]
        UhgU, VhgV = adjoint(U) @ gU, Vh @ adjoint(gVh)
        inner = UhgU  # of which the diagonal is replaced, and the rest 0 if no vectors were used
        if self.used[0] or self.used[2]:
            # The squares of small or large S are out of range: S / (S[j]^2 - S[i]^2) in two steps.
            sums = xp.where(is_diagonal(UhgU), 1.0, columns + rows)
            PS = (UhgU - adjoint(UhgU)) * (columns / sums)
            SQ = (VhgV - adjoint(VhgV)) * (rows / sums)
            inner = between_pairs(PS + SQ, columns - rows)
        turned = linalg_of(xp).diagonal(UhgU)
        diagonal = gS + (turned - xp.conj(turned)) / (2.0 * xp.where(S == 0, 1.0, S))
        inner = xp.where(is_diagonal(inner), diagonal[..., None, :], inner)
        gx = U @ inner @ Vh
        if m > k and self.used[0]:
            gx = gx + ((gU - U @ UhgU) / columns) @ Vh
        if n > k and self.used[2]:
            gx = gx + U @ ((gVh - adjoint(VhgV) @ Vh) / rows)
        return gx


class Svdvals(Function):
    """gA = U diag(gS) V^H: the vectors are computed only where they are asked for."""

    def forward(self, x: Array) -> Array:
        return linalg_of(array_namespace(x)).svdvals(x)

    def backward(self, gy: Array, x: Array) -> Array:
        xp = array_namespace(gy)
        U, _, Vh = linalg_of(xp).svd(x, full_matrices=False)
        return (xp.conj(U) * gy[..., None, :]) @ xp.conj(Vh)


# --- the functions ------------------------------------------------------------------------------


@extension("linalg")
def cholesky(x: Array, /, *, upper: bool = False) -> Array:
    """The lower triangle L of x = L L^H; or the upper one, L^H.

    Parameters
    ----------
    x : array or Variable, shape (..., n, n)
        Symmetric, or Hermitian if complex, and positive definite. Its gradient is so too.
    upper : bool

    Returns
    -------
    array or Variable, shape (..., n, n)

    Raises
    ------
    numpy.linalg.LinAlgError
        A matrix is not positive definite, on NumPy and CuPy; for CuPy the host waits for the GPU.
        PyTorch raises an error of its own; JAX returns NaN.
    """
    L = Cholesky()(x)
    return adjoint(L) if upper else L


@extension("linalg")
def qr(x: Array, /, *, mode: str = "reduced") -> QRResult:
    """x = Q R, of orthonormal columns and an upper triangle.

    Parameters
    ----------
    x : array or Variable, shape (..., m, n)
        Its first k = min(m, n) columns are independent.
    mode : "reduced" or "complete"

    Returns
    -------
    Q : array or Variable, shape (..., m, k); (..., m, m) if complete
    R : array or Variable, shape (..., k, n); (..., m, n) if complete

    Raises
    ------
    GradientError
        Later, by the walk back: the columns that complete Q may be any, and have no derivative.
    """
    Q, R = QR(mode)(x)
    m, n = x.shape[-2:]
    if mode == "complete" and m > n:
        Q = Completed("Q of qr", x, 'qr(x, mode="reduced")')(Q)
    return QRResult(Q, R)


@extension("linalg")
def svd(x: Array, /, *, full_matrices: bool = True) -> SVDResult:
    """x = U diag(S) Vh, of orthonormal columns, singular values, and orthonormal rows.

    Parameters
    ----------
    x : array or Variable, shape (..., m, n)
    full_matrices : bool
        Complete U and Vh to square matrices.

    Returns
    -------
    U : array or Variable, shape (..., m, k), where k = min(m, n); (..., m, m) if full
    S : array or Variable, shape (..., k)
        Real, and not negative, the largest first.
    Vh : array or Variable, shape (..., k, n); (..., n, n) if full

    Raises
    ------
    GradientError
        Later, by the walk back: vectors that complete a matrix may be any, and have no derivative.
    """
    U, S, Vh = SVD(full_matrices)(x)
    m, n = x.shape[-2:]
    if full_matrices and m > n:
        U = Completed("U of svd", x, "svd(x, full_matrices=False)")(U)
    if full_matrices and n > m:
        Vh = Completed("Vh of svd", x, "svd(x, full_matrices=False)")(Vh)
    return SVDResult(U, S, Vh)


@extension("linalg")
def svdvals(x: Array, /) -> Array:
    """The singular values of x, the largest first.

    Parameters
    ----------
    x : array or Variable, shape (..., m, n)

    Returns
    -------
    array or Variable, shape (..., min(m, n)), real
    """
    return Svdvals()(x)
