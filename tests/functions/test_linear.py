"""`linear`, the fused product and sum: against its composite, NumPy, and differences."""

import numpy as np
import pytest

import xpnet
from tests.functions import composites
from xpnet import Variable, functions as F, gradients
from xpnet.testing import assert_close, check_gradients


@pytest.mark.parametrize("batch", [(4,), (2, 3), (2, 1, 3)], ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_linear_equals_its_composite(backend64, array, order, batch, bias):
    """The fused node has the value, gradients and second derivatives of matmul and add."""
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=(*batch, 3)), rng.normal(size=(3, 2))]
    arrays += [rng.normal(size=2)] if bias else []
    xs = [Variable(array(a.tolist())) for a in arrays]
    fused = F.linear(*xs)
    composed = composites.linear(*xs)
    assert_close(fused, arrays[0] @ arrays[1] + (arrays[2] if bias else 0.0), rtol=1e-12)
    assert_close(fused, composed, rtol=1e-15)
    weights = array(rng.normal(size=fused.shape).tolist())
    for g, expected in zip(
        gradients(fused, xs, weights), gradients(composed, xs, weights), strict=True
    ):
        assert_close(g, expected, rtol=1e-12, atol=1e-14)
    check_gradients(F.linear, *(x.data for x in xs), order=order)


def test_linear_of_an_empty_batch(backend, array, xp):
    """The result is empty, and gradients are zeros."""
    x = xp.zeros((0, 3), dtype=backend.dtype, device=backend.device)
    W = Variable(array([[1.0], [2.0], [3.0]]))
    b = Variable(array([1.0]))
    y = F.linear(x, W, b)
    assert y.shape == (0, 1)
    F.sum(y).backward()
    assert_close(W.grad, [[0.0], [0.0], [0.0]])
    assert_close(b.grad, [0.0])


@pytest.mark.parametrize("shape", [(2,), (2, 2, 2)])
def test_weights_that_are_not_a_matrix_are_an_error(backend, array, shape):
    """`matmul` multiplies other shapes."""
    W = array(np.ones(shape).tolist())
    with pytest.raises(xpnet.ShapeError, match=r"linear expected weight of shape \(in_.* got \(2,"):
        F.linear(Variable(array([[1.0, 2.0], [3.0, 4.0]])), W)


def test_linear_of_two_libraries_is_an_error():
    """NumPy's matmul would accept the other library's array as its own."""
    strict = pytest.importorskip("array_api_strict", reason="the other library")
    with xpnet.using("numpy") as backend:
        x = backend.asarray([[1.0, 2.0]])
        with pytest.raises(TypeError, match="Arrays of different libraries do not mix"):
            F.linear(x, strict.asarray([[1.0], [2.0]]), None)
