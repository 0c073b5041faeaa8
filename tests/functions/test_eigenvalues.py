"""Eigenvalues and eigenvectors: against formulas, and where eigenvalues are equal."""

import numpy as np
import pytest

from xpnet import Variable, functions as F, gradients, to_numpy
from xpnet.functions import linalg
from xpnet.functions.linalg.decompositions import hermitian
from xpnet.functions.products import adjoint
from xpnet.testing import assert_close, check_gradients

KINDS = ["float64", "complex128"]


def draw(shape, dtype="float64"):
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape)
    return x + 1j * rng.normal(size=shape) if dtype == "complex128" else x


def lengths(x):
    """The squares of absolute values."""
    return F.real(x * F.conj(x))


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 2, 2)], ids=str)
def test_eigh(backend64, array, shape, dtype):
    a = draw(shape, dtype)
    a = a + np.conj(np.swapaxes(a, -1, -2))
    for given in (array(a, dtype), Variable(array(a, dtype))):
        result = linalg.eigh(given)
        assert result._fields == ("eigenvalues", "eigenvectors")
        w, V = (to_numpy(part) for part in result)
        assert w.dtype == np.float64
        assert_close(V * w[..., None, :] @ np.conj(np.swapaxes(V, -1, -2)), a, 1e-12, 1e-13)
        assert_close(linalg.eigvalsh(given), w, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("shape", [(3, 3), (2, 2, 2)], ids=str)
def test_derivatives_of_eigh(backend64, array, order, shape, dtype):
    def together(x):
        w, V = linalg.eigh(hermitian(x))
        return F.matmul(V * F.sin(w)[..., None, :], adjoint(V))

    x = array(draw(shape, dtype), dtype)
    check_gradients(together, x, order=order)
    check_gradients(lambda x: linalg.eigvalsh(hermitian(x)), x, order=order)
    check_gradients(lambda x: lengths(linalg.eigh(hermitian(x)).eigenvectors), x, order=order)


@pytest.mark.parametrize("diagonal", [(1.0, 1.0, 2.0), (0.0, 0.0, 0.0)], ids=str)
def test_equal_eigenvalues_have_a_derivative(backend64, array, diagonal):
    """sum(w^2) = sum(x^2) for a symmetric x, so the gradient is 2 x."""
    a = np.diag(diagonal)
    for f in (lambda x: linalg.eigh(x).eigenvalues, linalg.eigvalsh):
        x = Variable(array(a))
        (g,) = gradients(F.sum(f(x) ** 2), [x])
        assert_close(g, 2.0 * a, atol=1e-14)


def test_the_derivative_by_the_vectors_of_equal_eigenvalues_is_not_finite(backend64, array):
    """It is NaN or infinite, and never a plausible number."""
    x = Variable(array(np.diag([1.0, 1.0, 2.0])))
    weights = array(draw((3, 3)))
    with np.errstate(all="ignore"):
        (g,) = gradients(F.sum(linalg.eigh(x).eigenvectors * weights), [x])
    assert not np.isfinite(to_numpy(g)).all()


def test_the_gradient_of_eigvalsh_is_symmetric(backend64, array):
    """The largest eigenvalue changes by v^T dx v."""
    a = draw((3, 3))
    a = a + a.T
    v = np.linalg.eigh(a).eigenvectors[:, -1]
    x = Variable(array(a))
    (g,) = gradients(F.max(linalg.eigvalsh(x)), [x])
    assert_close(g, np.outer(v, v), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 2, 2)], ids=str)
def test_eig(backend64, array, shape, dtype):
    """The result is complex, also for real matrices, in the order of the library."""
    a = draw(shape, dtype)
    for given in (array(a, dtype), Variable(array(a, dtype))):
        result = linalg.eig(given)
        assert result._fields == ("eigenvalues", "eigenvectors")
        w, V = (to_numpy(part) for part in result)
        assert w.dtype == V.dtype == np.complex128
        assert_close(a @ V, V * w[..., None, :], rtol=1e-10, atol=1e-12)
        assert_close(np.linalg.norm(V, axis=-2), np.ones(w.shape), rtol=1e-12)
        assert_close(linalg.eigvals(given), w, rtol=1e-11)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("shape", [(3, 3), (2, 2, 2)], ids=str)
def test_derivatives_of_eig(backend64, array, order, shape, dtype):
    def together(x):
        w, V = linalg.eig(x)
        return F.matmul(V * F.sin(w)[..., None, :], linalg.inv(V))

    x = array(draw(shape, dtype), dtype)
    check_gradients(together, x, order=order)
    check_gradients(linalg.eigvals, x, order=order)
    check_gradients(lambda x: lengths(linalg.eig(x).eigenvectors), x, order=order)


def test_eigenvalues_of_a_rotation(backend64, array):
    """a + ib and a - ib: their sum is the trace, their product the determinant."""
    x = Variable(array([[3.0, -2.0], [2.0, 3.0]]))
    w = linalg.eigvals(x)
    assert_close(np.sort_complex(to_numpy(w)), [3.0 - 2.0j, 3.0 + 2.0j], rtol=1e-12)
    (g,) = gradients(F.sum(F.real(w)), [x])
    assert_close(g, [[1.0, 0.0], [0.0, 1.0]], atol=1e-12)
    (g,) = gradients(F.real(w[0] * w[1]), [x])
    assert_close(g, [[3.0, -2.0], [2.0, 3.0]], rtol=1e-12)


def test_equal_eigenvalues_of_a_general_matrix(backend64, array):
    """sum(w^3) = tr(x^3), so the gradient is 3 (x^2)^T."""
    x = Variable(array(np.diag([2.0, 2.0, 1.0])))
    (g,) = gradients(F.sum(F.real(linalg.eigvals(x) ** 3)), [x])
    assert_close(g, np.diag([12.0, 12.0, 3.0]), rtol=1e-12)
