"""The same texts differentiated by JAX: an oracle that shares no rule with xpnet."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpnet import Variable, gradients, using
from xpnet import functions as F
from xpnet.testing import assert_close

jax = pytest.importorskip("jax", reason="JAX is the oracle of these tests")

TEXTS = {
    "relu": F.relu,
    "sigmoid": F.sigmoid,
    "softmax": F.softmax,
    "log_softmax": lambda x: F.log_softmax(x, axis=0),
    "mean": lambda x: F.mean(x, axis=0),
    "max": lambda x: F.max(x, axis=-1, keepdims=True),
    "var": lambda x: F.var(x, axis=0, correction=0),
    "tanh of a product": lambda x: F.tanh(x @ F.matrix_transpose(x)),
    "maximum": lambda x: F.maximum(x, 0.25 * x * x),
    "where": lambda x: F.where(x > 0.0, F.sin(x), F.expm1(x)),
    "logaddexp": lambda x: F.logaddexp(x, -x),
    "slices": lambda x: x[:, ::2] ** 3,
    "concat": lambda x: F.concat([x, F.exp(x)], axis=1),
    "atan2": lambda x: F.atan2(x, x * x + 1.0),
}
shapes = st.sampled_from([(1, 1), (3, 4), (4, 2)])  # few: JAX compiles anew for each


@pytest.mark.parametrize("name", TEXTS)
@settings(max_examples=6, deadline=None)
@given(shape=shapes, seed=st.integers(0, 2**32 - 1))
def test_gradients_agree_with_jax(name, shape, seed):
    """First order, and second through the gradient's own sum of squares, to 1e-9 in float64."""
    f = TEXTS[name]
    host = np.random.default_rng(seed).normal(size=shape)

    def first(x):
        return F.sum(f(x) * f(x))

    with using("jax", dtype="float64") as there, using("numpy", dtype="float64") as here:
        x = there.asarray(host)
        g = jax.grad(first)(x)
        gg = jax.grad(lambda x: F.sum(jax.grad(first)(x) ** 2))(x)
        v = Variable(here.asarray(host))
        (ours,) = gradients(first(v), [v], create_graph=True)
        assert_close(ours, g, rtol=1e-9, atol=1e-11)
        (second,) = gradients(F.sum(ours * ours), [v])
        assert_close(second, gg, rtol=1e-8, atol=1e-9)
