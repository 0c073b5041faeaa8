"""The same expressions differentiated by JAX, which shares no rule with xpnet."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.functions.cases import AGAINST_JAX, CASES, DEPARTURES
from xpnet import Variable, array_namespace, functions as F, gradients, using
from xpnet.testing import assert_close

jax = pytest.importorskip("jax", reason="JAX is the oracle of these tests")
jnp = jax.numpy

HURRIED = settings(
    max_examples=3,  # few, since JAX compiles for each shape; test_rules.py draws others
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def by_jax(call, hosts, weights):
    """The gradients of Re(sum(weights * call)) by each of the arrays."""
    with using("jax", dtype="float64") as there:
        arrays = [there.asarray(host) for host in hosts]
        w = there.asarray(weights)

        def number(*xs):
            return jnp.sum(jnp.real(w * call(jnp, *xs)))

        return jax.jit(jax.grad(number, argnums=tuple(range(len(arrays)))))(*arrays)


def by_xpnet(call, hosts, weights):
    """Likewise by xpnet; the weights have the shape of the value."""
    with using("numpy", dtype="float64") as here:
        xs = [Variable(here.asarray(host)) for host in hosts]
        xp = array_namespace(*xs)
        y = call(xp, *xs)
        assert y.shape == weights.shape
        return gradients(xp.sum(xp.real(y * here.asarray(weights))), xs)


def shape_of(call, hosts):
    with using("numpy", dtype="float64") as here:
        xs = [Variable(here.asarray(host), requires_grad=False) for host in hosts]
        return call(array_namespace(*xs), *xs).shape


@pytest.mark.parametrize(
    ("name", "number"), [(name, i) for name in sorted(CASES) for i in range(len(CASES[name]))]
)
@HURRIED
@given(data=st.data())
def test_every_differentiable_function_agrees_with_jax(name, number, data):
    """First order, to 1e-5 relative in float64: shapes, broadcasting, axes and keepdims drawn."""
    if name in AGAINST_JAX:
        pytest.skip(AGAINST_JAX[name])
    call, hosts = data.draw(CASES[name][number])
    weights = np.random.default_rng(0).uniform(0.5, 1.5, shape_of(call, hosts))
    for ours, theirs in zip(
        by_xpnet(call, hosts, weights), by_jax(call, hosts, weights), strict=True
    ):
        assert_close(ours, theirs, rtol=1e-5, atol=1e-9)


EXPRESSIONS = {  # functions beyond the standard, and compositions
    "relu": F.relu,
    "sigmoid": F.sigmoid,
    "softmax": F.softmax,
    "log_softmax": lambda x: F.log_softmax(x, axis=0),
    "tanh of a product": lambda x: F.tanh(x @ F.matrix_transpose(x)),
    "maximum": lambda x: F.maximum(x, 0.25 * x * x),
    "where": lambda x: F.where(x > 0.0, F.sin(x), F.expm1(x)),
    "slices": lambda x: x[:, ::2] ** 3,
    "concat": lambda x: F.concat([x, F.exp(x)], axis=1),
}
shapes = st.sampled_from([(1, 1), (3, 4), (4, 2)])


@pytest.mark.parametrize("name", EXPRESSIONS)
@HURRIED
@given(shape=shapes, seed=st.integers(0, 2**32 - 1))
def test_gradients_of_expressions_agree_with_jax(name, shape, seed):
    """First order, and second order through the sum of squares of the gradient, to 1e-9 in float64."""
    f = EXPRESSIONS[name]
    host = np.random.default_rng(seed).normal(size=shape)

    def first(x):
        return F.sum(f(x) * f(x))

    with using("jax", dtype="float64") as there, using("numpy", dtype="float64") as here:
        x = there.asarray(host)
        g = jax.jit(jax.grad(first))(x)
        gg = jax.jit(jax.grad(lambda x: F.sum(jax.grad(first)(x) ** 2)))(x)
        v = Variable(here.asarray(host))
        (ours,) = gradients(first(v), [v], create_graph=True)
        assert_close(ours, g, rtol=1e-9, atol=1e-11)
        (second,) = gradients(F.sum(ours * ours), [v])
        assert_close(second, gg, rtol=1e-8, atol=1e-9)


# --- where a derivative does not exist, or is not unique ------------------------------------------

CORNERS = {  # name: (a call, its arguments); each of them is a leaf of its own
    "clip at a bound": (lambda xp, x: xp.clip(x, 1.0, 2.0), [[0.5, 1.0, 1.5, 2.0]]),
    "cumulative_prod with zeros": (lambda xp, x: xp.cumulative_prod(x), [[2.0, 0.0, 3.0, 0.0]]),
    "det of a singular matrix": (lambda xp, x: xp.linalg.det(x), [[[1.0, 2.0], [2.0, 4.0]]]),
    "max of equals": (lambda xp, x: xp.max(x), [[2.0, 1.0, 2.0, 2.0]]),
    "maximum of equals": (lambda xp, x1, x2: xp.maximum(x1, x2), [[1.0, 2.0], [1.0, 3.0]]),
    "min of equals": (lambda xp, x: xp.min(x, axis=0), [[[1.0, 2.0], [1.0, 3.0]]]),
    "minimum of equals": (lambda xp, x1, x2: xp.minimum(x1, x2), [[1.0, 2.0], [1.0, 3.0]]),
    "pow of 0": (lambda xp, x: xp.pow(x, 2.0), [[0.0, 1.0]]),
    "pow of 0, by the exponent": (lambda xp, n: xp.pow(0.0 * n, n), [[1.0, 2.0]]),
    "prod with a zero": (lambda xp, x: xp.prod(x), [[2.0, 0.0, 3.0]]),
    "prod with zeros": (lambda xp, x: xp.prod(x), [[2.0, 0.0, 0.0]]),
    "sort of equals": (lambda xp, x: xp.sort(x), [[2.0, 1.0, 2.0]]),
    "sqrt at 0": (lambda xp, x: xp.sqrt(x), [[0.0, 4.0]]),
    "equal singular values": (lambda xp, x: xp.linalg.svdvals(x), [[[2.0, 0.0], [0.0, 2.0]]]),
    "vectors of equal singular values": (
        lambda xp, x: xp.linalg.svd(x, full_matrices=False)[0],
        [[[2.0, 0.0], [0.0, 2.0]]],
    ),
    "equal eigenvalues": (lambda xp, x: xp.linalg.eigvalsh(x), [[[2.0, 0.0], [0.0, 2.0]]]),
    "vectors of equal eigenvalues": (
        lambda xp, x: xp.linalg.eigh(x)[1],
        [[[2.0, 0.0], [0.0, 2.0]]],
    ),
}


def both(call, lists):
    """xpnet's gradients and JAX's, each by all arguments, with unequal weights."""
    hosts = [np.asarray(x) for x in lists]
    shape = shape_of(call, hosts)
    weights = np.arange(1.0, np.prod(shape, dtype=int) + 1.0).reshape(shape)
    return by_xpnet(call, hosts, weights), by_jax(call, hosts, weights)


@pytest.mark.parametrize("name", CORNERS)
@pytest.mark.filterwarnings("ignore:divide by zero|invalid value:RuntimeWarning")
def test_gradients_at_corners_agree_with_jax(name):
    ours, theirs = both(*CORNERS[name])
    for g, expected in zip(ours, theirs, strict=True):
        assert_close(g, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", DEPARTURES)
@pytest.mark.filterwarnings("ignore:divide by zero|invalid value:RuntimeWarning")
def test_differences_from_jax_are_those_of_the_page(name):
    """Both values are checked: xpnet's and JAX's."""
    call, lists, expected, of_jax, _ = DEPARTURES[name]
    ours, theirs = both(call, lists)
    assert_close(ours[0], expected, rtol=1e-12)
    assert_close(theirs[0], of_jax, rtol=1e-12)
