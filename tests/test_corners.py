"""Inputs that once produced a wrong number or a confusing error."""

import copy
from collections import OrderedDict, defaultdict

import numpy as np
import pytest

from xpnet import (
    SGD,
    Function,
    Parameter,
    Variable,
    functions as F,
    grad,
    gradient_checkpoint,
    gradients,
    jvp,
    using,
)
from xpnet.autodiff import tree
from xpnet.testing import assert_close, check_gradients


@pytest.fixture
def v():
    """A Variable of NumPy, in float64."""
    with using("numpy", dtype="float64") as backend:
        yield Variable(backend.asarray([1.5, 2.5]))


# --- integers have no history ---------------------------------------------------------------------


def test_integers_of_a_differentiable_function(v):
    """Sums of truncated numbers have no derivative, and clip keeps the dtype of its argument."""
    integers = F.asarray([1, 5])
    for y in (
        F.sum(v, dtype=np.int64),
        F.cumulative_sum(v, dtype=np.int64),
        F.linalg.trace(F.linalg.outer(v, v), dtype=np.int64),
        F.clip(integers, F.astype(v[0], np.int64), None),
    ):
        assert y.dtype == np.int64
        assert not y.requires_grad

    class Above(Function):
        def forward(self, x):
            return x > 2.0

        def backward(self, gy):
            return gy

    assert not Above()(v).requires_grad
    (g,) = gradients(F.sum(v * F.sum(v, dtype=np.int64)), [v])
    assert_close(g, [3.0, 3.0])


# --- what a Variable reports about itself --------------------------------------------------------------


def test_an_intermediate_result_may_be_detached(v):
    """As in PyTorch: y.requires_grad = False makes y a constant."""
    y = v * v
    y.requires_grad = False
    (g,) = gradients(F.sum(y * v), [v])
    assert_close(g, [2.25, 6.25])


def test_formats_copies_and_versions(v):
    assert f"{v[0]:.2f}" == "1.50"
    assert f"{v[0]}" == str(v[0])
    assert_close(copy.deepcopy(v), v)
    assert v.__array_namespace__(api_version="2024.12") is v.__array_namespace__()
    with pytest.raises(ValueError, match="got '1999.01'"):
        v.__array_namespace__(api_version="1999.01")


def test_operators_leave_other_classes_the_answer(v):
    class Stranger:
        def __radd__(self, other):
            return "answered"

    assert v + Stranger() == "answered"
    assert (v == "text") is False
    with pytest.raises(TypeError, match="unsupported operand"):
        v - "text"


# --- numbers --------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:divide by zero|invalid value:RuntimeWarning")
def test_variance(v):
    """A correction above the count does not make the variance negative; complex numbers are an
    error.
    """
    assert float(F.var(v, correction=3)) == float("inf")
    with pytest.raises(TypeError, match="var expected real numbers, got complex128"):
        F.var(v * 1j)


def test_logaddexp_of_infinities(v):
    """The larger has the whole gradient; two equal infinities have 1 each, as in JAX."""
    inf = float("inf")
    for x1, x2, expected in (
        (inf, 0.0, [1.0, 0.0]),
        (inf, inf, [1.0, 1.0]),
        (-inf, 0.0, [0.0, 1.0]),
    ):
        a = Variable(x1)
        b = Variable(x2)
        assert_close(gradients(F.logaddexp(a, b), [a, b]), expected)


def test_asarray_of_arrays_keeps_their_dtype():
    with using("numpy"):
        assert F.asarray([np.ones(2), np.ones(2)]).dtype == np.float64
        assert F.asarray([[1.0, 2.0]]).dtype == np.float32
        with pytest.raises(ValueError, match="for copy=False, got several Variables"):
            F.asarray([Variable(1.0)], copy=False)


def test_negative_indices_of_take(backend64, array, order):
    x = array([1.0, 2.0, 3.0])
    check_gradients(lambda x: F.take(x, array([-1, 0, -1], "int64")) ** 2, x, order=order)


def test_axes_that_are_numpys_integers(v):
    one = np.int64(0)
    x = F.stack([v, v])
    calls = [F.sum, F.max, F.expand_dims, F.flip, F.linalg.vector_norm, F.cumulative_sum, F.sort]
    for f in calls:
        assert_close(f(x, axis=one), f(x, axis=0))
    y = F.roll(x, np.int64(1), axis=one)
    (g,) = gradients(F.sum(y * y), [v])
    assert_close(g, [6.0, 10.0])


def test_sizes_of_zero(v):
    x = Variable(np.zeros((3, 0)))
    (g,) = gradients(F.sum(F.prod(x, axis=0)), [x])
    assert g.shape == (3, 0)
    for f in (F.concat, F.stack):
        with pytest.raises((ValueError, IndexError), match="one array or more"):
            f([])


def test_numbers_are_not_variables(v):
    for make in (lambda: F.linspace(v[0], 1.0, 3), lambda: F.arange(v[0])):
        with pytest.raises(TypeError, match="expected Python numbers, got a Variable"):
            make()


# --- transforms -----------------------------------------------------------------------------------


def test_an_argument_named_twice():
    with pytest.raises(TypeError, match=r"\(0, 0\) names an argument of .* twice"):
        grad(lambda x: x * x, argnums=(0, 0))(3.0)


def test_jvp_of_a_function_that_also_counts(v):
    (_, n), (y_dot, n_dot) = jvp(lambda x: (x * x, F.argmax(x)), (v.data,), (np.ones(2),))
    assert_close(y_dot, [3.0, 5.0])
    assert (int(n), int(n_dot)) == (1, 0)


def test_gradient_checkpoint_of_a_function_that_is_not_recorded(v):
    assert int(gradient_checkpoint(F.argmax)(v)) == 1
    assert gradient_checkpoint(lambda x: None)(v) is None


def test_trees_of_dict_subclasses():
    given = defaultdict(list, a=1.0)
    assert isinstance(tree.map(lambda x: x + 1.0, given), defaultdict)
    assert tree.map(lambda x: x + 1.0, OrderedDict(b=1.0, a=2.0)) == OrderedDict(b=2.0, a=3.0)
    assert given == {"a": 1.0}


def test_a_parameter_that_the_function_creates_is_kept():
    """Within a derivative, a layer takes its shape from its first input."""

    class Lazy:
        w = None

        def __call__(self, x):
            self.w = self.w or Parameter(2.0)
            return x * x * self.w

    model = Lazy()
    p = grad(model)(3.0)
    (model(Variable(1.0)) + p).backward()
    assert_close(model.w.grad, 7.0)


def test_a_parameter_stays_differentiable_after_an_optimizer_step_within_the_function():
    """The parameter existed before f, also after an optimizer has changed it."""
    p = Parameter(2.0)
    optimizer = SGD([p], lr=0.1)

    def f(x):
        (p * p).backward()
        optimizer.step()
        p.zero_grad()
        return x * x * p

    g = grad(f)(3.0)
    assert isinstance(g, Variable)
    (slope,) = gradients(g, [p])
    assert_close(slope, 6.0)
