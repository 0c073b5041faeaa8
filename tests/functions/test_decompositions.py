"""Decompositions: the product of the factors is x; and their derivatives, at corners too.

The signs, or phases, of vectors depend on the library. The tests therefore use quantities that do
not depend on them: squares of absolute values, and products of the factors.
"""

import numpy as np
import pytest

from xpnet import GradientError, Variable, functions as F, gradients, to_numpy, using
from xpnet.functions import linalg
from xpnet.functions.products import adjoint
from xpnet.testing import assert_close, check_gradients

KINDS = ["float64", "complex128"]


def draw(shape, dtype="float64"):
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape)
    return x + 1j * rng.normal(size=shape) if dtype == "complex128" else x


def positive(x):
    """A positive definite matrix, from any matrix."""
    return F.matmul(x, adjoint(x)) + 2.0 * F.eye(x.shape[-1], dtype=x.dtype)


def lengths(x):
    """The squares of absolute values."""
    return F.real(x * F.conj(x))


# --- cholesky -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("upper", [False, True])
def test_cholesky(backend64, array, order, upper, dtype):
    """A triangle with real numbers on the diagonal, whose product with its transpose is x."""
    a = draw((2, 3, 3), dtype)
    a = a @ np.conj(np.swapaxes(a, -1, -2)) + 2.0 * np.eye(3)
    for given in (array(a, dtype), Variable(array(a, dtype))):
        y = to_numpy(linalg.cholesky(given, upper=upper))
        L = np.conj(np.swapaxes(y, -1, -2)) if upper else y
        assert_close(L, np.linalg.cholesky(a), rtol=1e-12, atol=1e-14)
    x = array(draw((2, 2, 2), dtype), dtype)
    check_gradients(lambda x: linalg.cholesky(positive(x), upper=upper), x, order=order)


@pytest.mark.parametrize("dtype", KINDS)
def test_the_gradient_of_cholesky_is_hermitian(backend64, array, dtype):
    """2 sum(log(diag L)) = log det x, whose gradient is x^-T."""
    a = draw((3, 3), dtype)
    a = a @ np.conj(a.T) + 2.0 * np.eye(3)
    x = Variable(array(a, dtype))
    diagonal = F.real(linalg.diagonal(linalg.cholesky(x)))
    (g,) = gradients(2.0 * F.sum(F.log(diagonal)), [x])
    assert_close(g, np.linalg.inv(a).T, rtol=1e-10, atol=1e-13)


# --- qr -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("mode", ["reduced", "complete"])
@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (2, 3, 2)], ids=str)
def test_qr(backend64, array, shape, mode, dtype):
    a = draw(shape, dtype)
    m, n = shape[-2:]
    k = m if mode == "complete" else min(m, n)
    for given in (array(a, dtype), Variable(array(a, dtype))):
        result = linalg.qr(given, mode=mode)
        assert result._fields == ("Q", "R")
        Q = to_numpy(result.Q)
        R = to_numpy(result.R)
        assert Q.shape == (*shape[:-2], m, k)
        assert R.shape == (*shape[:-2], k, n)
        assert_close(Q @ R, a, rtol=1e-12, atol=1e-13)
        assert_close(np.tril(R, -1), np.zeros_like(R))
        unit = np.conj(np.swapaxes(Q, -1, -2)) @ Q
        assert_close(unit, np.broadcast_to(np.eye(k), unit.shape), atol=1e-13)


@pytest.mark.usefixtures("sampled")
@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("shape", [(3, 3), (3, 2), (2, 3), (2, 3, 2)], ids=str)
def test_derivatives_of_qr(backend64, array, order, shape, dtype):
    x = array(draw(shape, dtype), dtype)
    check_gradients(lambda x: linalg.qr(x).Q, x, order=order)
    check_gradients(lambda x: linalg.qr(x).R, x, order=order)
    check_gradients(lambda x: F.matmul(lengths(linalg.qr(x).Q), F.tanh(linalg.qr(x).R)), x, order=1)


def test_derivatives_of_a_complete_qr(backend64, array, order):
    """By both factors where nothing was completed, otherwise by R."""
    for shape in ((2, 3), (2, 2)):
        check_gradients(lambda x: linalg.qr(x, mode="complete").Q, array(draw(shape)), order=order)
        check_gradients(lambda x: linalg.qr(x, mode="complete").R, array(draw(shape)), order=order)
    check_gradients(lambda x: linalg.qr(x, mode="complete").R, array(draw((3, 2))), order=order)


def test_the_derivative_by_a_completed_q_is_an_error(backend64, array):
    x = Variable(array(draw((3, 2))))
    Q, _ = linalg.qr(x, mode="complete")
    message = r'Q of qr has no derivative for x of shape \(3, 2\).*Use qr\(x, mode="reduced"\)\.'
    with pytest.raises(GradientError, match=message):
        F.sum(Q).backward()


# --- svd ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (2, 3, 2)], ids=str)
def test_svd(backend64, array, shape, full, dtype):
    a = draw(shape, dtype)
    *_, m, n = shape
    k = min(m, n)
    for given in (array(a, dtype), Variable(array(a, dtype))):
        result = linalg.svd(given, full_matrices=full)
        assert result._fields == ("U", "S", "Vh")
        U, S, Vh = (to_numpy(part) for part in result)
        assert U.shape == (*shape[:-2], m, m if full else k)
        assert Vh.shape == (*shape[:-2], n if full else k, n)
        assert_close(S, np.linalg.svd(a, compute_uv=False), rtol=1e-12)
        assert_close(U[..., :k] * S[..., None, :] @ Vh[..., :k, :], a, rtol=1e-12, atol=1e-13)
        assert_close(linalg.svdvals(given), S, rtol=1e-12)


@pytest.mark.usefixtures("sampled")
@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("shape", [(2, 2), (3, 2), (2, 3), (2, 2, 1)], ids=str)
def test_derivatives_of_svd(backend64, array, order, shape, dtype):
    """By the values, by either of the vectors, and by both with their phases together."""

    def parts(x):
        return linalg.svd(x, full_matrices=False)

    def together(x):
        U, S, Vh = parts(x)
        return F.matmul(U * F.sin(S)[..., None, :], Vh)

    x = array(draw(shape, dtype), dtype)
    check_gradients(linalg.svdvals, x, order=order)
    check_gradients(together, x, order=order)
    check_gradients(lambda x: lengths(parts(x).U), x, order=order)
    check_gradients(lambda x: lengths(parts(x).Vh), x, order=order)


@pytest.mark.parametrize("shape", [(3, 2), (2, 3)], ids=str)
def test_derivatives_of_a_full_svd(backend64, array, order, shape):
    """By the values, to any order, and by the vectors that were not added to complete a matrix."""
    x = array(draw(shape))
    check_gradients(lambda x: linalg.svd(x).S, x, order=order)
    smaller = "Vh" if shape == (3, 2) else "U"
    check_gradients(lambda x: lengths(getattr(linalg.svd(x), smaller)), x, order=order)


@pytest.mark.parametrize(("shape", "field"), [((3, 2), "U"), ((2, 3), "Vh")])
def test_the_derivative_by_completed_vectors_is_an_error(backend64, array, shape, field):
    x = Variable(array(draw(shape)))
    completed = getattr(linalg.svd(x), field)
    message = rf"{field} of svd has no derivative .* Use svd\(x, full_matrices=False\)\."
    with pytest.raises(GradientError, match=message):
        F.sum(completed).backward()
    assert_close(getattr(linalg.svd(x.data), field), completed)  # the value itself is defined


@pytest.mark.usefixtures("sampled")  # one formula for all shapes
@pytest.mark.parametrize("values", [(1.0, 1.0), (2.0, 0.0), (0.0, 0.0)], ids=str)
@pytest.mark.parametrize("shape", [(2, 2), (3, 2), (2, 3)], ids=str)
def test_equal_singular_values_have_a_derivative(backend64, array, values, shape):
    """sum(S^2) = sum(x^2), so the gradient is 2 x, whatever the values are."""
    a = np.zeros(shape)
    a[0, 0], a[1, 1] = values
    for f in (lambda x: linalg.svd(x).S, lambda x: linalg.svd(x, full_matrices=False).S):
        x = Variable(array(a))
        (g,) = gradients(F.sum(f(x) ** 2), [x])
        assert_close(g, 2.0 * a, atol=1e-14)
    x = Variable(array(a))
    (g,) = gradients(F.sum(linalg.svdvals(x) ** 2), [x])
    assert_close(g, 2.0 * a, atol=1e-14)


def test_the_derivative_by_the_vectors_of_equal_values_is_not_finite(backend64, array):
    """It is NaN or infinite, and never a plausible number."""
    x = Variable(array([[1.0, 0.0], [0.0, 1.0]]))
    U, _, Vh = linalg.svd(x)
    loss = F.sum(U * array([[0.3, 0.5], [0.7, 0.2]])) + F.sum(Vh * array([[0.1, 0.2], [0.6, 0.3]]))
    with np.errstate(all="ignore"):
        (g,) = gradients(loss, [x])
    assert not np.isfinite(to_numpy(g)).all()


@pytest.mark.filterwarnings("ignore:invalid value|divide by zero:RuntimeWarning")
def test_a_gradient_through_the_vectors_of_equal_values_is_nan():
    """U S Vh is x; but at x = 0 its derivative cannot be computed through U and Vh. JAX returns NaN
    as well.
    """
    with using("numpy", dtype="float64") as backend:
        x = Variable(backend.asarray([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]))
        U, S, Vh = linalg.svd(x, full_matrices=False)
        (g,) = gradients(F.sum(F.matmul(U * S, Vh)), [x])
        assert np.isnan(to_numpy(g)).all()
