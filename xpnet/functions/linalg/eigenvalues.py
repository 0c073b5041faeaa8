"""Eigenvalues and eigenvectors, of symmetric matrices and of any: `eigh`, `eig`.

Stacks of matrices are in the last two axes; w are the eigenvalues, and the columns of V the vectors.
`decompositions` explains the notation, and how the rules treat complex numbers, the freedom of
vectors, and equal values.
"""

from typing import NamedTuple

from xpnet._typing import Array
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace
from xpnet.functions._registry import extension
from xpnet.functions.linalg.decompositions import divided_off_diagonal, hermitian, is_diagonal
from xpnet.functions.products import adjoint
from xpnet.kernels.solvers import linalg_of


class EighResult(NamedTuple):
    """The result of `eigh`."""

    eigenvalues: Array
    eigenvectors: Array


class EigResult(NamedTuple):
    """The result of `eig`."""

    eigenvalues: Array
    eigenvectors: Array


class Eigh(Function):
    """gA is the Hermitian part of V (diag(gw) + V^H gV / E) V^H, where E[i, j] = w[j] - w[i].

    Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
    differentiation", 2008.
    """

    def forward(self, x: Array) -> tuple[Array, Array]:
        w, V = linalg_of(array_namespace(x)).eigh(x)
        return w, V

    def backward(self, gy: tuple[Array, Array], y: tuple[Array, Array]) -> Array:
        gw, gV = gy
        w, V = y
        xp = array_namespace(gw)
        V = xp.conj(V)
        E = w[..., None, :] - w[..., :, None]
        inner = adjoint(V) @ gV
        if self.used[1]:  # otherwise gV is 0, and 0 / 0 for equal eigenvalues would be NaN
            inner = divided_off_diagonal(inner, E)
        inner = xp.where(is_diagonal(inner), gw[..., None, :], inner)
        return hermitian(V @ inner @ adjoint(V))


class Eigvalsh(Function):
    """gA = V diag(gw) V^H: the vectors are computed only for the derivative."""

    def forward(self, x: Array) -> Array:
        return linalg_of(array_namespace(x)).eigvalsh(x)

    def backward(self, gy: Array, x: Array) -> Array:
        xp = array_namespace(gy)
        V = xp.conj(linalg_of(xp).eigh(x).eigenvectors)
        return hermitian((V * gy[..., None, :]) @ adjoint(V))


class Eig(Function):
    """gA = V^-T (diag(gw) + (V^T gV - V^T conj(V) diag(Re(V^T gV))) / E) V^T, with E as in `Eigh`.

    The subtracted part keeps the vectors at length 1. Boeddeker et al., "On the computation of
    complex-valued gradients with application to statistically optimum beamforming", 2017.
    """

    def forward(self, x: Array) -> tuple[Array, Array]:
        w, V = linalg_of(array_namespace(x)).eig(x)
        return w, V

    def backward(self, gy: tuple[Array, Array], y: tuple[Array, Array]) -> Array:
        gw, gV = gy
        w, V = y
        xp = array_namespace(gw)
        Vt = xp.matrix_transpose(V)
        E = w[..., None, :] - w[..., :, None]
        inner = Vt @ gV
        lengthening = xp.real(linalg_of(xp).diagonal(inner))
        inner = inner - (Vt @ xp.conj(V)) * lengthening[..., None, :]
        if self.used[1]:  # otherwise gV is 0, and 0 / 0 for equal eigenvalues would be NaN
            inner = divided_off_diagonal(inner, E)
        inner = xp.where(is_diagonal(inner), gw[..., None, :], inner)
        return linalg_of(xp).solve(Vt, inner @ Vt)


@extension("linalg")
def eigh(x: Array, /) -> EighResult:
    """Eigenvalues and eigenvectors of a symmetric or Hermitian x = V diag(w) V^H.

    Parameters
    ----------
    x : array or Variable, shape (..., n, n)
        Its gradient is symmetric, or Hermitian, too.

    Returns
    -------
    eigenvalues : array or Variable, shape (..., n), real
    eigenvectors : array or Variable, shape (..., n, n)
        In columns, orthonormal.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> values, vectors = F.linalg.eigh(F.asarray([[2.0, 1.0], [1.0, 2.0]]))
    >>> values
    Variable(array([1., 3.], dtype=float32))
    """
    return EighResult(*Eigh()(x))


@extension("linalg")
def eigvalsh(x: Array, /) -> Array:
    """The eigenvalues of a symmetric or Hermitian x.

    Parameters
    ----------
    x : array or Variable, shape (..., n, n)

    Returns
    -------
    array or Variable, shape (..., n), real

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.linalg.eigvalsh(F.asarray([[2.0, 1.0], [1.0, 2.0]]))
    Variable(array([1., 3.], dtype=float32))
    """
    return Eigvalsh()(x)


@extension("linalg")
def eig(x: Array, /) -> EigResult:
    """Eigenvalues and eigenvectors of a square x: x V = V diag(w).

    Parameters
    ----------
    x : array or Variable, shape (..., n, n)

    Returns
    -------
    eigenvalues : array or Variable, shape (..., n), complex
    eigenvectors : array or Variable, shape (..., n, n), complex
        In columns, of length 1.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> values, vectors = F.linalg.eig(F.asarray([[0.0, -1.0], [1.0, 0.0]]))
    >>> values.shape, vectors.shape
    ((2,), (2, 2))
    """
    return EigResult(*Eig()(x))


@extension("linalg")
def eigvals(x: Array, /) -> Array:
    """The eigenvalues of a square x.

    Parameters
    ----------
    x : array or Variable, shape (..., n, n)

    Returns
    -------
    array or Variable, shape (..., n), complex
        In the order of `eig`.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.linalg.eigvals(F.asarray([[2.0, 0.0], [0.0, 3.0]])).dtype
    dtype('complex64')
    """
    return eig(x).eigenvalues
