"""Norms: against NumPy, and at their corners."""

import math

import numpy as np
import pytest

from xpnet import GradientError, Variable, functions as F, gradients
from xpnet.functions import linalg
from xpnet.testing import assert_close, check_gradients

KINDS = ["float64", "complex128"]
ORDERS = [0.5, 1, 1.5, 2, 2.0, 3, 3.5, 4, -1, -2.5, math.inf, -math.inf]


def draw(shape, dtype="float64"):
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape)
    return x + 1j * rng.normal(size=shape) if dtype == "complex128" else x


@pytest.mark.usefixtures("sampled")
@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("ord", [0, *ORDERS])
def test_vector_norm(backend64, array, ord, dtype):
    """For any order, along any axes, on arrays and on Variables."""
    a = draw((2, 3, 2), dtype)
    x = array(a, dtype)
    for axis in (None, 1, -1, (0, 2), (-1, 1)):
        for keepdims in (False, True):
            options = {"axis": axis, "keepdims": keepdims, "ord": ord}
            expected = np.linalg.vector_norm(a, **options)
            for given in (x, Variable(x)):
                y = linalg.vector_norm(given, **options)
                assert_close(y, expected, rtol=1e-12)
                assert F.isdtype(y.dtype, "real floating")


@pytest.mark.parametrize("ord", [1.5, 2, 3])
def test_norms_of_float16_do_not_overflow_or_underflow(backend, ord):
    """Powers are computed in float32, as in PyTorch."""
    if not hasattr(backend.xp, "float16"):
        pytest.skip(f"{backend.name} has no float16")
    for size in (3000.0, 3e-4):
        x = Variable(backend.asarray([size] * 4, "float16"))
        y = linalg.vector_norm(x, ord=ord)
        (g,) = gradients(y, [x])
        assert y.dtype == g.dtype == x.dtype
        assert_close(y, np.asarray(size * 4 ** (1 / ord), "float16"), rtol=2e-3)
        assert_close(g, np.asarray([4 ** (1 / ord - 1)] * 4, "float16"), rtol=2e-3)


@pytest.mark.usefixtures("sampled")
@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("ord", ORDERS)
def test_derivatives_of_vector_norm(backend64, array, order, ord, dtype):
    x = array(draw((2, 3), dtype), dtype)
    check_gradients(lambda x: linalg.vector_norm(x, ord=ord), x, order=order)
    check_gradients(lambda x: linalg.vector_norm(x, ord=ord, axis=0, keepdims=True), x, order=1)


@pytest.mark.parametrize("ord", [2, 4, 6])
def test_even_orders_are_smooth_where_a_component_is_0(backend64, array, ord):
    check_gradients(lambda x: linalg.vector_norm(x, ord=ord), array([1.5, 0.0, -1.0]), order=3)


@pytest.mark.parametrize("ord", [0.5, 1, 1.5, 2, 3, 4, math.inf, -math.inf])
def test_the_gradient_of_a_norm_that_is_0_is_0(backend64, array, ord):
    """The shortest subgradient, as for the absolute value, on arrays and on Variables."""
    for create_graph in (False, True):
        x = Variable(array([[0.0, 0.0], [3.0, 4.0]]))
        y = linalg.vector_norm(x, axis=1, ord=ord)
        (g,) = gradients(F.sum(y), [x], create_graph=create_graph)
        assert_close(g[0, :], [0.0, 0.0])


@pytest.mark.parametrize("ord", [1, 1.5, 2, 3, 4, math.inf])
def test_the_gradient_by_a_component_that_is_0(backend64, array, ord):
    x = Variable(array([0.0, 2.0]))
    (g,) = gradients(linalg.vector_norm(x, ord=ord), [x])
    assert_close(g, [0.0, 1.0], rtol=1e-12)


def test_equal_largest_components_share_the_gradient(backend64, array):
    x = Variable(array([3.0, -3.0, 1.0]))
    (g,) = gradients(linalg.vector_norm(x, ord=math.inf), [x])
    assert_close(g, [0.5, -0.5, 0.0])


def test_the_norm_of_order_0_has_no_derivative(backend, array):
    """Differentiating it is an error."""
    x = Variable(array([0.0, 2.0, -1.0]))
    y = linalg.vector_norm(x, ord=0)
    assert y.dtype == x.dtype
    assert_close(y, 2.0)
    with pytest.raises(GradientError, match="Nothing was recorded"):
        y.backward()


def test_vector_norm_along_an_axis_out_of_range_is_an_error(backend, array):
    with pytest.raises(IndexError, match="got axis 2|axis 2 is out of range"):
        linalg.vector_norm(array([[1.0, 2.0]]), axis=2)


MATRIX_ORDERS = ["fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf]


@pytest.mark.usefixtures("sampled")
@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("ord", MATRIX_ORDERS)
def test_matrix_norm(backend64, array, order, ord, dtype):
    a = draw((2, 3, 2), dtype)
    x = array(a, dtype)
    for keepdims in (False, True):
        expected = np.linalg.norm(a, ord, axis=(-2, -1), keepdims=keepdims)
        for given in (x, Variable(x)):
            y = linalg.matrix_norm(given, ord=ord, keepdims=keepdims)
            assert_close(y, expected, rtol=1e-12)
    check_gradients(lambda x: linalg.matrix_norm(x, ord=ord), x, order=order)
    check_gradients(lambda x: linalg.matrix_norm(F.matrix_transpose(x), ord=ord), x, order=1)


def test_matrix_norms_at_corners(backend64, array):
    """The norm of zeros has the gradient 0; equal maxima share the gradient."""
    x = Variable(array([[0.0, 0.0], [0.0, 0.0]]))
    (g,) = gradients(linalg.matrix_norm(x, ord=None), [x])
    assert_close(g, [[0.0, 0.0], [0.0, 0.0]])
    x = Variable(array([[1.0, -2.0], [2.0, 1.0]]))
    (g,) = gradients(linalg.matrix_norm(x, ord=1), [x])
    assert_close(g, [[0.5, -0.5], [0.5, 0.5]])
    with pytest.raises(ValueError, match='ord "fro", "nuc", 1, -1, 2, -2, inf or -inf, got 3'):
        linalg.matrix_norm(x, ord=3)
