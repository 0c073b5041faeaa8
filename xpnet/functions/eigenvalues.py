"""Eigenvalues and eigenvectors, of symmetric matrices and of any: `eigh`, `eig`.

Stacks of matrices are in the last two axes. What the rules make of complex numbers, of the freedom
of vectors, and of equal values is said in `decompositions`.
"""

from typing import Any, NamedTuple

from xpnet._typing import Array
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace
from xpnet.functions._registry import extension
from xpnet.functions.decompositions import between_pairs, hermitian, is_diagonal
from xpnet.functions.products import adjoint
from xpnet.kernels.solvers import linalg_of


class EighResult(NamedTuple):
    """What `eigh` gives."""

    eigenvalues: Any
    eigenvectors: Any


class EigResult(NamedTuple):
    """What `eig` gives."""

    eigenvalues: Any
    eigenvectors: Any


class Eigh(Function):
    """gA = V (diag(gw) + V^H gV / E) V^H, E[i, j] = w[j] - w[i], and of that the Hermitian part.

    Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
    differentiation", 2008.
    """

    def forward(self, x: Array) -> Array:
        return tuple(linalg_of(array_namespace(x)).eigh(x))

    def backward(self, gy: Array, y: Array) -> Array:
        (gw, gV), (w, V) = gy, y
        xp = array_namespace(gw)
        V = xp.conj(V)
        E = w[..., None, :] - w[..., :, None]
        inner = adjoint(V) @ gV
        inner = between_pairs(inner, E) if self.used[1] else inner  # which is 0 then
        inner = xp.where(is_diagonal(inner), gw[..., None, :], inner)
        return hermitian(V @ inner @ adjoint(V))


class Eigvalsh(Function):
    """gA = V diag(gw) V^H: the vectors are computed only where they are asked for."""

    def forward(self, x: Array) -> Array:
        return linalg_of(array_namespace(x)).eigvalsh(x)

    def backward(self, gy: Array, x: Array) -> Array:
        xp = array_namespace(gy)
        V = xp.conj(linalg_of(xp).eigh(x).eigenvectors)
        return hermitian((V * gy[..., None, :]) @ adjoint(V))


class Eig(Function):
    """gA = V^-T (diag(gw) + (V^T gV - V^T conj(V) diag(Re(V^T gV))) / E) V^T, E as for Eigh.

    The subtracted part keeps the vectors at length 1. Boeddeker et al., "On the computation of
    complex-valued gradients with application to statistically optimum beamforming", 2017.
    """

    def forward(self, x: Array) -> Array:
        return tuple(linalg_of(array_namespace(x)).eig(x))

    def backward(self, gy: Array, y: Array) -> Array:
        (gw, gV), (w, V) = gy, y
        xp = array_namespace(gw)
        Vt = xp.matrix_transpose(V)
        E = w[..., None, :] - w[..., :, None]
        inner = Vt @ gV
        longer = xp.real(linalg_of(xp).diagonal(inner))
        inner = inner - (Vt @ xp.conj(V)) * longer[..., None, :]
        inner = between_pairs(inner, E) if self.used[1] else inner  # which is 0 then
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
    """
    return eig(x).eigenvalues
