"""Matrices as products: `cholesky`, `qr`, `svd`. Stacks of matrices are in the last two axes.

Notation. A is the matrix x, dA a small change of it, and gA the gradient with respect to it. A^H is the
conjugate transpose, A^-1 the inverse, and A^-H the inverse of A^H.

Complex numbers. The gradient of a real L with respect to z = x + iy is dL/dx - i dL/dy here, as in
JAX; papers (and PyTorch) write rules for its conjugate. If G = f(G_y; y) is such a rule, with real numbers as
coefficients, then in our convention it is g = f(g_y; conj(y)): the same rule, with conjugated
factors.

Freedom. A vector is determined up to its sign, or its phase if it is complex. The rules assume that
L does not depend on this choice.

Equal values. The vectors of equal eigenvalues, or equal singular values, may be mixed, and have no
derivative: the rules divide by the difference of the values and return inf or NaN, as in JAX. Where
the vectors are not used, nothing is divided, and the derivative with respect to the values is correct.
"""

from typing import NamedTuple

import array_api_compat as compat

from xpnet._typing import Array
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace
from xpnet.errors import GradientError
from xpnet.functions._registry import extension
from xpnet.functions.products import adjoint
from xpnet.kernels.solvers import linalg_of


class QRResult(NamedTuple):
    """The result of `qr`."""

    Q: Array
    R: Array


class SVDResult(NamedTuple):
    """The result of `svd`."""

    U: Array
    S: Array
    Vh: Array


# --- parts of the rules -------------------------------------------------------------------------


def hermitian(x: Array) -> Array:
    """The Hermitian part of x: the gradient with respect to matrices that are Hermitian."""
    return (x + adjoint(x)) / 2


def is_diagonal(x: Array) -> Array:
    """Which places of square matrices x are on the diagonal."""
    xp = array_namespace(x)
    return xp.eye(x.shape[-1], dtype=xp.bool, device=compat.device(x))


def divided_off_diagonal(numerator: Array, difference: Array) -> Array:
    """numerator / difference, but 0 on the diagonal, where a value is compared with itself."""
    xp = array_namespace(numerator, difference)
    diagonal = is_diagonal(numerator)
    return xp.where(diagonal, 0.0, numerator) / xp.where(diagonal, 1.0, difference)


class Completed(Function):
    """Orthonormal vectors that were completed to a square matrix: their derivative is an error.

    The vectors that complete the matrix may be any, so x does not determine them. This node stands
    between them and the user; the rules of `QR` and `SVD` use only the vectors that are determined.
    """

    def __init__(self, what: str, x: Array, instead: str) -> None:
        self.message = (
            f"{what} has no derivative for x of shape {tuple(x.shape)}: the vectors that complete "
            f"it to a square matrix are not determined by x. Use {instead}."
        )

    def forward(self, x: Array) -> Array:
        return x

    def backward(self, gy: Array) -> Array:
        raise GradientError(self.message)


# --- the rules ----------------------------------------------------------------------------------


class Cholesky(Function):
    """A = L L^H: dL = L low(L^-1 dA L^-H), where low is the lower triangle, with half the diagonal.

    Murray, "Differentiation of the Cholesky decomposition", 2016.
    """

    def forward(self, x: Array) -> Array:
        return linalg_of(array_namespace(x)).cholesky(x)

    def backward(self, gy: Array, y: Array) -> Array:
        xp = array_namespace(gy)
        solve = linalg_of(xp).solve
        Lh = xp.matrix_transpose(y)  # the adjoint of conj(L)
        inner = Lh @ gy
        inner = (xp.tril(inner) + xp.tril(inner, k=-1)) / 2
        return hermitian(solve(Lh, adjoint(solve(Lh, inner))))


class QR(Function):
    """A = Q R: gA = (gQ + Q (T + T^H)) R^-H, where T is a triangle with half the diagonal.

    T is the upper triangle of gR R^H - Q^H gQ. This is the rule for m >= n. A wide A is [B C], with B
    square, and its R is [R1 Q^H C]: so the rule is applied to B = Q R1, and the gradient through
    Q^H C is added to gQ.

    Walter and Lehmann, "Algorithmic differentiation of linear algebra functions", 2012; Roberts and
    Roberts, "QR and LQ decomposition matrix backpropagation algorithms", 2020.
    """

    def __init__(self, mode: str) -> None:
        self.mode = mode

    def forward(self, x: Array) -> tuple[Array, Array]:
        Q, R = linalg_of(array_namespace(x)).qr(x, mode=self.mode)
        return Q, R

    def backward(self, gy: tuple[Array, Array], y: tuple[Array, Array], x: Array) -> Array:
        gQ, gR = gy
        Q, R = y
        xp = array_namespace(gQ)
        m, n = x.shape[-2:]
        k = min(m, n)
        gQ = gQ[..., :k]
        gR = gR[..., :k, :]
        Q = xp.conj(Q[..., :k])
        R = xp.conj(R[..., :k, :])
        if n <= m:
            return self._gradient_of_tall(gQ, gR, Q, R)
        gC = Q @ gR[..., m:]
        gQ = gQ + xp.conj(x[..., m:]) @ adjoint(gR[..., m:])
        gB = self._gradient_of_tall(gQ, gR[..., :m], Q, R[..., :m])
        return xp.concat([gB, gC], axis=-1)

    def _gradient_of_tall(self, gQ: Array, gR: Array, Q: Array, R: Array) -> Array:
        """The gradient of a matrix with at least as many rows as columns."""
        xp = array_namespace(gQ)
        inner = gR @ adjoint(R) - adjoint(Q) @ gQ
        inner = (xp.triu(inner) + xp.triu(inner, k=1)) / 2
        gA = gQ + Q @ (inner + adjoint(inner))
        return adjoint(linalg_of(xp).solve(R, adjoint(gA)))


class SVD(Function):
    """gA = U ((P + P^H) S + S (Q + Q^H) + D) V^H, and two terms more if A is not square.

        P = U^H gU / E,  Q = V^H gV / E,  E[i, j] = S[j]^2 - S[i]^2,  D = gS + i Im(U^H gU) / S

    S is a diagonal matrix here, and S[i] a number on its diagonal; D is diagonal too. Division is
    elementwise. E has opposite signs on both sides of the diagonal: elementwise, therefore,
    (P + P^H) E = U^H gU - gU^H U.

    The two terms are for changes of U, or V, that leave the space that its vectors span:

        (1 - U U^H) gU S^-1 V^H,  U S^-1 gV^H (1 - V V^H)

    Townsend, "Differentiating the singular value decomposition", 2016; Wan and Zhang,
    "Automatic differentiation for complex valued SVD", 2019.
    """

    def __init__(self, full_matrices: bool) -> None:
        self.full_matrices = full_matrices

    def forward(self, x: Array) -> tuple[Array, Array, Array]:
        U, S, Vh = linalg_of(array_namespace(x)).svd(x, full_matrices=self.full_matrices)
        return U, S, Vh

    def backward(self, gy: tuple[Array, Array, Array], y: tuple[Array, Array, Array]) -> Array:
        gU, gS, gVh = gy
        U, S, Vh = y
        xp = array_namespace(gS)
        m = U.shape[-2]
        n = Vh.shape[-1]
        k = S.shape[-1]
        gU = gU[..., :k]  # the vectors beyond k have no gradient: see Completed
        gVh = gVh[..., :k, :]
        U = xp.conj(U[..., :k])
        Vh = xp.conj(Vh[..., :k, :])
        columns = S[..., None, :]
        rows = S[..., :, None]
        UhgU = adjoint(U) @ gU
        VhgV = Vh @ adjoint(gVh)
        inner = UhgU  # off the diagonal it is 0 if no vectors were used; the diagonal is replaced
        if self.used[0] or self.used[2]:
            # The squares of small or large S are out of range: S / (S[j]^2 - S[i]^2) in two steps.
            sums = xp.where(is_diagonal(UhgU), 1.0, columns + rows)
            PS = (UhgU - adjoint(UhgU)) * (columns / sums)
            SQ = (VhgV - adjoint(VhgV)) * (rows / sums)
            inner = divided_off_diagonal(PS + SQ, columns - rows)
        turn = linalg_of(xp).diagonal(UhgU)
        diagonal = gS + (turn - xp.conj(turn)) / (2.0 * xp.where(S == 0, 1.0, S))
        inner = xp.where(is_diagonal(inner), diagonal[..., None, :], inner)
        gx = U @ inner @ Vh
        if m > k and self.used[0]:
            gx = gx + ((gU - U @ UhgU) / columns) @ Vh
        if n > k and self.used[2]:
            gx = gx + U @ ((gVh - adjoint(VhgV) @ Vh) / rows)
        return gx


class Svdvals(Function):
    """gA = U diag(gS) V^H: the vectors are computed only for the derivative."""

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
        Symmetric, or Hermitian if complex, and positive definite. Its gradient is symmetric, or
        Hermitian, too.
    upper : bool

    Returns
    -------
    array or Variable, shape (..., n, n)

    Raises
    ------
    numpy.linalg.LinAlgError
        A matrix is not positive definite, on NumPy and CuPy; for CuPy the host waits for the GPU.
        PyTorch raises an error of its own; JAX returns NaN.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.linalg.cholesky(F.asarray([[4.0, 2.0], [2.0, 2.0]]))
    Variable(array([[2., 0.],
           [1., 1.]], dtype=float32))
    """
    L = Cholesky()(x)
    return adjoint(L) if upper else L


@extension("linalg")
def qr(x: Array, /, *, mode: str = "reduced") -> QRResult:
    """x = Q R: orthonormal columns, times an upper triangle.

    Parameters
    ----------
    x : array or Variable, shape (..., m, n)
        Its first k = min(m, n) columns must be linearly independent.
    mode : "reduced" or "complete"

    Returns
    -------
    Q : array or Variable, shape (..., m, k); (..., m, m) if complete
    R : array or Variable, shape (..., k, n); (..., m, n) if complete

    Raises
    ------
    GradientError
        Raised by `backward` if mode is "complete" and m > n: the columns that complete Q are not
        determined by x, and have no derivative.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> q, r = F.linalg.qr(F.asarray([[3.0, 0.0], [4.0, 5.0]]))
    >>> q.shape, r.shape
    ((2, 2), (2, 2))
    """
    Q, R = QR(mode)(x)
    m, n = x.shape[-2:]
    if mode == "complete" and m > n:
        Q = Completed("Q of qr", x, 'qr(x, mode="reduced")')(Q)
    return QRResult(Q, R)


@extension("linalg")
def svd(x: Array, /, *, full_matrices: bool = True) -> SVDResult:
    """x = U diag(S) Vh: orthonormal columns, singular values, and orthonormal rows.

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
        Raised by `backward` if vectors were added that complete U or Vh: these are not determined
        by x, and have no derivative.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> u, s, vh = F.linalg.svd(F.ones((3, 2)), full_matrices=False)
    >>> u.shape, s.shape, vh.shape
    ((3, 2), (2,), (2, 2))
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

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.linalg.svdvals(F.asarray([[3.0, 0.0], [0.0, 4.0]]))
    Variable(array([4., 3.], dtype=float32))
    """
    return Svdvals()(x)
