"""Inverses and determinants: against NumPy and formulas, for singular matrices too."""

import numpy as np
import pytest

from xpnet import ShapeError, Variable, functions as F, gradients, to_numpy
from xpnet.functions import linalg
from xpnet.testing import assert_close, check_gradients

KINDS = ["float64", "complex128"]


def draw(shape, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    return x + 1j * rng.normal(size=shape) if dtype == "complex128" else x


def cofactors(x):
    """By definition: determinants without a row and a column."""
    n = len(x)
    return np.array(
        [
            [(-1) ** (i + j) * np.linalg.det(np.delete(np.delete(x, i, 0), j, 1)) for j in range(n)]
            for i in range(n)
        ]
    )


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 2, 2)], ids=str)
def test_inv_det_and_slogdet(backend64, array, order, shape, dtype):
    a = draw(shape, dtype)
    x = array(a, dtype)
    v = Variable(x)
    assert_close(linalg.inv(v), np.linalg.inv(a), rtol=1e-10)
    assert_close(linalg.det(v), np.linalg.det(a), rtol=1e-12)
    for given in (x, v):
        sign, logabsdet = linalg.slogdet(given)
        assert_close(sign, np.linalg.slogdet(a).sign, rtol=1e-12)
        assert_close(logabsdet, np.linalg.slogdet(a).logabsdet, rtol=1e-10)
    check_gradients(linalg.inv, x, order=order)
    check_gradients(linalg.det, x, order=order)
    check_gradients(lambda x: linalg.slogdet(x).logabsdet, x, order=order)
    check_gradients(lambda x: linalg.slogdet(x).sign, x, order=order)


def test_derivatives_of_the_determinant_follow_the_formulas(backend64, array):
    """The gradient of log|det x| is x^-T; the Hessian of det x in a direction d follows Jacobi's
    formula.
    """
    a = draw((3, 3))
    d = draw((3, 3), seed=1)
    x = Variable(array(a))
    inverse = np.linalg.inv(a)
    (g,) = gradients(linalg.slogdet(x).logabsdet, [x])
    assert_close(g, inverse.T, rtol=1e-10)
    (g,) = gradients(linalg.det(x), [x], create_graph=True)
    assert_close(g, np.linalg.det(a) * inverse.T, rtol=1e-10)
    (gg,) = gradients(F.sum(g * array(d)), [x])
    hessian = np.trace(inverse @ d) * inverse.T - (inverse @ d @ inverse).T
    assert_close(gg, np.linalg.det(a) * hessian, rtol=1e-9)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_det_of_a_singular_matrix_has_a_derivative(backend64, array, rank, dtype):
    """The cofactors; below rank 2 they are all 0."""
    a = draw((3, rank), dtype) @ draw((rank, 3), dtype, seed=1)
    x = Variable(array(a, dtype))
    (g,) = gradients(linalg.det(x), [x], 1.0)
    assert_close(g, cofactors(a), rtol=1e-10, atol=1e-13)


def test_derivatives_that_need_an_inverse_of_a_singular_matrix_are_not_finite(backend64, array):
    """An error where the library raises one, otherwise NaN or infinite."""
    singular = [[1.0, 2.0], [2.0, 4.0]]

    def second_of_det(x):
        (g,) = gradients(linalg.det(x), [x], create_graph=True)
        return g * g

    for f in (linalg.inv, second_of_det, lambda x: linalg.slogdet(x).logabsdet):
        x = Variable(array(singular))
        with np.errstate(all="ignore"):
            try:
                (g,) = gradients(F.sum(f(x)), [x])
            except (np.linalg.LinAlgError, RuntimeError) as error:
                assert "ingular" in str(error)
            else:
                assert not np.isfinite(to_numpy(g)).all()


def test_the_inverse_of_a_singular_matrix_is_an_error(backend64, array):
    """On NumPy and CuPy; PyTorch raises an error of its own, and JAX returns NaN or infinity."""
    library = backend64.name.partition(":")[0]
    singular = array([[1.0, 2.0], [2.0, 4.0]])
    b = array([1.0, 2.0])
    calls = [
        linalg.inv,
        lambda x: linalg.solve(x, b),
        lambda x: linalg.cholesky(x - 2.0 * array([[1.0, 0.0], [0.0, 1.0]])),
    ]
    for call, said in zip(calls, ("ingular", "ingular", "positive"), strict=True):
        for x in (singular, Variable(singular)):
            if library == "jax":
                assert not np.isfinite(to_numpy(call(x))).all()
                continue
            kinds = RuntimeError if library == "torch" else np.linalg.LinAlgError
            with pytest.raises(kinds, match=said):
                call(x)
    assert float(linalg.det(singular)) == 0.0


def test_the_sign_of_a_real_determinant_has_the_derivative_0(backend64, array):
    x = Variable(array([[1.0, 2.0], [3.0, 4.0]]))
    sign, _ = linalg.slogdet(x)
    assert_close(sign, -1.0)
    (g,) = gradients(sign, [x])
    assert_close(g, [[0.0, 0.0], [0.0, 0.0]])


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((3, 3), (3,)),
        ((3, 3), (3, 2)),
        ((2, 3, 3), (3,)),
        ((2, 3, 3), (3, 1)),
        ((3, 3), (2, 3, 1)),
        ((2, 1, 2, 2), (3, 2, 1)),
        ((2, 2, 2), (2, 2)),
    ],
    ids=str,
)
def test_solve(backend64, array, order, left, right, dtype):
    """x2 is a vector only if it has one dimension; stacks broadcast."""
    a = draw(left, dtype) + 2.0 * np.eye(left[-1])
    b = draw(right, dtype, seed=1)
    x1 = array(a, dtype)
    x2 = array(b, dtype)
    expected = np.linalg.inv(a) @ b
    for one, two in ((x1, x2), (Variable(x1), Variable(x2))):
        assert_close(linalg.solve(one, two), expected, rtol=1e-9, atol=1e-12)
    check_gradients(linalg.solve, x1, x2, order=order)


def test_solve_computes_only_the_gradients_that_are_needed(backend64, array):
    A = array([[2.0, 1.0], [1.0, 3.0]])
    b = array([1.0, 2.0])
    v = Variable(b)
    (g,) = gradients(F.sum(linalg.solve(A, v)), [v])
    assert_close(g, np.linalg.inv([[2.0, 1.0], [1.0, 3.0]]).T @ [1.0, 1.0], rtol=1e-12)


def test_solve_reports_stacks_that_do_not_broadcast(backend, xp):
    A = xp.ones((2, 3, 3), dtype=backend.dtype, device=backend.device)
    B = xp.ones((4, 3, 1), dtype=backend.dtype, device=backend.device)
    with pytest.raises(ShapeError, match=r"got \(2,\) and \(4,\)"):
        linalg.solve(Variable(A), B)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (2, 2), (2, 1, 3)], ids=str)
def test_pinv(backend64, array, order, shape, dtype):
    a = draw(shape, dtype)
    x = array(a, dtype)
    assert_close(linalg.pinv(Variable(x)), np.linalg.pinv(a), rtol=1e-9, atol=1e-12)
    check_gradients(linalg.pinv, x, order=order)


def test_pinv_of_a_rank_deficient_matrix(backend64, array, order):
    """Its derivative holds for changes that keep the rank: here 1, of a column times a row."""
    check_gradients(
        lambda column, row: linalg.pinv(F.matmul(column, row), rtol=1e-8),
        array(draw((3, 1))),
        array(draw((1, 2), seed=1)),
        order=order,
    )


def test_pinv_treats_values_below_rtol_as_0(backend64, array):
    """A number for all matrices of a stack, or one for each."""
    x = array([[[1.0, 0.0], [0.0, 0.1]], [[1.0, 0.0], [0.0, 0.1]]])
    small = [[1.0, 0.0], [0.0, 0.0]]
    assert_close(linalg.pinv(Variable(x), rtol=0.5), [small, small], atol=1e-12)
    each = linalg.pinv(Variable(x), rtol=Variable(array([0.5, 0.01])))
    assert_close(each, [small, [[1.0, 0.0], [0.0, 10.0]]], rtol=1e-9, atol=1e-12)
