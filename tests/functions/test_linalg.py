"""The extension `linalg` as a whole, and the functions that linalg.py itself defines."""

import inspect
import math

import numpy as np
import pytest

from xpnet import (
    GradientError,
    ShapeError,
    Variable,
    array_namespace,
    functions as F,
    gradients,
    to_numpy,
)
from xpnet.functions import linalg
from xpnet.testing import assert_close, check_gradients

KINDS = ["float64", "complex128"]
SIGNATURES = {
    "cholesky": "(x, /, *, upper=False)",
    "cross": "(x1, x2, /, *, axis=-1)",
    "det": "(x, /)",
    "diagonal": "(x, /, *, offset=0)",
    "eig": "(x, /)",
    "eigh": "(x, /)",
    "eigvals": "(x, /)",
    "eigvalsh": "(x, /)",
    "inv": "(x, /)",
    "matmul": "(x1, x2, /)",
    "matrix_norm": "(x, /, *, keepdims=False, ord='fro')",
    "matrix_power": "(x, n, /)",
    "matrix_rank": "(x, /, *, rtol=None)",
    "matrix_transpose": "(x, /)",
    "outer": "(x1, x2, /)",
    "pinv": "(x, /, *, rtol=None)",
    "qr": "(x, /, *, mode='reduced')",
    "slogdet": "(x, /)",
    "solve": "(x1, x2, /)",
    "svd": "(x, /, *, full_matrices=True)",
    "svdvals": "(x, /)",
    "tensordot": "(x1, x2, /, *, axes=2)",
    "trace": "(x, /, *, offset=0, dtype=None)",
    "vecdot": "(x1, x2, /, *, axis=-1)",
    "vector_norm": "(x, /, *, axis=None, keepdims=False, ord=2)",
}


def draw(shape, dtype="float64"):
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape)
    return x + 1j * rng.normal(size=shape) if dtype == "complex128" else x


def signature(function):
    """Its parameters as the standard writes them, without types."""
    plain = inspect.Parameter.empty
    parameters = inspect.signature(function).parameters.values()
    return str(inspect.Signature([p.replace(annotation=plain) for p in parameters]))


def test_the_extension_is_complete(backend, array):
    """Every function of the standard, with its parameters, in the module and in a Variable's
    namespace.
    """
    xp = array_namespace(Variable(array([1.0])))
    assert sorted(SIGNATURES) == linalg.__all__ == dir(xp.linalg)
    for name, expected in SIGNATURES.items():
        assert signature(getattr(linalg, name)) == expected, name
        assert getattr(xp.linalg, name) is getattr(linalg, name)


def test_functions_of_both_namespaces_are_the_same_object(backend, array):
    xp = array_namespace(Variable(array([1.0])))
    for name in ("matmul", "matrix_transpose", "tensordot", "vecdot"):
        assert getattr(xp, name) is getattr(xp.linalg, name)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("n", [-3, -1, 0, 1, 2, 3, 6])
def test_matrix_power(backend64, array, order, n, dtype):
    a = draw((2, 2, 2), dtype)
    x = array(a, dtype)
    for given in (x, Variable(x)):
        assert_close(linalg.matrix_power(given, n), np.linalg.matrix_power(a, n), 1e-10, 1e-13)
    check_gradients(lambda x: linalg.matrix_power(x, n), x, order=order)


def test_matrix_power_0_has_the_derivative_0(backend64, array):
    """For any numbers."""
    x = Variable(array([[math.inf, 2.0], [math.nan, 0.0]]))
    y = linalg.matrix_power(x, 0)
    assert_close(y, [[1.0, 0.0], [0.0, 1.0]])
    x = Variable(array([[1.0, 2.0], [3.0, 0.0]]))
    (g,) = gradients(F.sum(linalg.matrix_power(x, 0)), [x])
    assert_close(g, [[0.0, 0.0], [0.0, 0.0]])


def test_matrix_power_refuses_other_shapes_and_exponents(backend, array):
    x = array([[1.0, 2.0]])
    for n in (0, 1, 2):
        with pytest.raises(ShapeError, match=r"square matrices, got shape \(1, 2\)"):
            linalg.matrix_power(x, n)
    with pytest.raises(TypeError, match="integer"):
        linalg.matrix_power(array([[1.0]]), 2.0)


@pytest.mark.parametrize("shape", [(3, 3), (2, 2, 4), (4, 2), (0, 3)], ids=str)
def test_diagonal_and_trace(backend64, array, order, shape):
    """Above and below the main diagonal, and beyond the matrix, where they are empty."""
    a = draw(shape)
    x = array(a)
    for k in range(-5, 6):
        expected = np.diagonal(a, k, -2, -1)
        for given in (x, Variable(x)):
            assert_close(linalg.diagonal(given, offset=k), expected)
            assert_close(linalg.trace(given, offset=k), expected.sum(-1), 1e-12, 1e-14)
    if x.shape[0]:
        check_gradients(lambda x: linalg.diagonal(x, offset=1), x, order=order)
        check_gradients(lambda x: linalg.trace(x, offset=-1), x, order=order)


def test_the_diagonal_of_a_vector_is_an_error(backend, array):
    with pytest.raises(ShapeError, match=r"expected matrices, got shape \(2,\)"):
        linalg.diagonal(array([1.0, 2.0]))


def test_trace_has_the_dtype_of_sum(backend, array):
    """Small integers in the default integer dtype; or in `dtype`, if one is given."""
    x = Variable(array([[100, 0], [0, 100]], "int8"))
    assert to_numpy(linalg.trace(x)) == 200
    assert linalg.trace(x).dtype == F.sum(x).dtype
    assert linalg.trace(x, dtype=backend.dtype).dtype == backend.dtype
    x = Variable(array([[1.5, 0.0], [0.0, 2.5]]))
    assert linalg.trace(x).dtype == x.dtype


def test_matrix_rank(backend, array):
    """It is an integer without a derivative."""
    x = Variable(array([[[1.0, 0.0], [0.0, 0.1]], [[1.0, 2.0], [2.0, 4.0]]]))
    assert to_numpy(linalg.matrix_rank(x)).tolist() == [2, 1]
    assert to_numpy(linalg.matrix_rank(x, rtol=0.5)).tolist() == [1, 1]
    assert to_numpy(linalg.matrix_rank(x.data)).tolist() == [2, 1]
    with pytest.raises(GradientError, match="Nothing was recorded"):
        F.sum(linalg.matrix_rank(x)).backward()


def test_products_of_real_and_complex_factors(backend64, array):
    """A real factor has a real gradient."""
    a = array(draw((2, 2)) + 2.0 * np.eye(2))
    z = array(draw((2, 2), "complex128"), "complex128")
    for f in (linalg.solve, linalg.matmul, linalg.tensordot, linalg.vecdot):
        check_gradients(f, a, z, order=1)
        check_gradients(f, z, a, order=1)
