"""stop_gradient returns the same numbers, without a gradient."""

import numpy as np
import pytest

import xpnet
from xpnet import Parameter, Variable, functions as F
from xpnet.testing import assert_close


def test_no_gradient_passes(backend, array):
    x = Variable(array([1.0, 2.0]))
    y = F.stop_gradient(x * x)
    assert isinstance(y, Variable)
    assert not y.requires_grad
    assert y.creator is None
    assert_close(y, [1.0, 4.0])
    F.sum(x * y).backward()
    assert_close(x.grad, [1.0, 4.0])


def test_other_objects_are_returned_unchanged(array, backend):
    x = array([1.0, 2.0])
    assert F.stop_gradient(x) is x
    assert F.stop_gradient(2.5) == 2.5
    assert F.stop_gradient(None) is None


def test_trees(backend, array):
    """`jax.lax.stop_gradient` accepts them too."""
    w = Parameter(array([1.0]))
    b = Variable(array([2.0]))
    stopped = F.stop_gradient({"w": w, "rest": [b, (3.0, None)]})
    assert stopped.keys() == {"w", "rest"}
    assert stopped["rest"][1] == (3.0, None)
    for x, before in ((stopped["w"], w), (stopped["rest"][0], b)):
        assert not x.requires_grad
        assert_close(x, before.data)
    assert w.requires_grad
    assert b.requires_grad


def test_within_grad_and_the_like(backend, array):
    """It stops their derivative, as in JAX."""
    x = array([1.0, 3.0])
    g = xpnet.grad(lambda x: F.sum(x * F.stop_gradient(x)))(x)
    assert_close(g, [1.0, 3.0])


def test_gradients_agree_with_jax():
    jax = pytest.importorskip("jax", reason="JAX is the oracle of this test")
    x = np.asarray([0.5, 2.0], "float32")
    theirs = jax.grad(lambda x: (x**2 * jax.lax.stop_gradient(jax.numpy.sin(x))).sum())(x)
    ours = xpnet.grad(lambda x: F.sum(x**2 * F.stop_gradient(F.sin(x))))(x)
    assert_close(ours, theirs, rtol=1e-6)
