"""An array leaves its graph only by a function whose name says so; every other way raises."""

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

import xpnet
from xpnet import (
    ExportError,
    GradientError,
    Parameter,
    Variable,
    XpnetError,
    functions as F,
    gradients,
    to_numpy,
    using,
)
from xpnet.testing import assert_close

CONVERSIONS = {
    "asarray": np.asarray,
    "array": np.array,
    "asarray with a dtype": lambda v: np.asarray(v, dtype=np.float64),
    "array of a list": lambda v: np.array([v, v]),
    "sin of a list": lambda v: np.sin([v, v]),
    "mean of a list": lambda v: np.mean([v, v]),
    "assignment into an array": lambda v: np.zeros(2).__setitem__(slice(None), v),
    "float64": np.float64,
}


@pytest.mark.parametrize("name", CONVERSIONS)
def test_a_variable_does_not_become_a_numpy_array(backend, array, name):
    """The error names functions that keep the gradient, and to_numpy, which does not."""
    with pytest.raises(XpnetError, match=r"F\.mean\(x\).*keep the gradient.*to_numpy") as caught:
        CONVERSIONS[name](Variable(array([1.0, 2.0])))
    assert isinstance(caught.value, TypeError)


def stored(x):
    y = np.zeros(3)
    y[0] = x[0]
    return F.sum(y * x)


def added_to_an_element(x):
    y = np.zeros((3, 3), dtype=np.float32)
    y[0, 1] += x[0]
    return F.sum(y @ x)


def stored_as_complex(x):
    y = np.zeros(3, dtype=complex)
    y[0] = x[0] * 1j
    return F.sum(F.imag(y) * x)


@pytest.mark.parametrize("f", [stored, added_to_an_element, stored_as_complex])
@pytest.mark.parametrize("derivative", [xpnet.grad, xpnet.jacobian, xpnet.hessian])
def test_a_number_that_is_differentiated_is_not_stored_in_an_array(f, derivative):
    """NumPy takes a float of it, and its gradient would be lost; the way out works."""
    x = np.asarray([1.0, 2.0, 3.0])
    with pytest.raises(GradientError, match=r"np\.zeros\(n, like=x\)") as caught:
        derivative(f)(x)
    assert f.__name__ in [entry.name for entry in caught.traceback]  # with the author's line


def test_an_error_of_the_author_s_with_such_a_cause_is_kept():
    def f(x):
        try:
            stored(x)
        except (GradientError, ValueError) as error:
            raise ValueError("x is not supported here") from error

    def g(x):
        try:
            F.stop_gradient(F.sum(x)).backward()
        except GradientError as error:
            raise ValueError("x is not supported here") from error

    for h in (f, g):
        with pytest.raises(ValueError, match="x is not supported here"):
            xpnet.grad(h)(np.asarray([1.0, 2.0, 3.0]))


def test_a_number_is_stored_where_the_array_records():
    def f(x):
        y = np.zeros(3, like=x)
        y[0] = x[0]
        return F.sum(y * x)

    assert xpnet.grad(f)(np.asarray([1.0, 2.0, 3.0])).tolist() == [2.0, 0.0, 0.0]


def test_a_number_is_stored_where_nothing_is_differentiated_or_by_float():
    losses = np.zeros(3)
    losses[0] = Variable(np.asarray(2.0)) * 3.0  # as in a training loop

    def f(x):
        losses[1] = float(x)
        losses[2] = F.floor(x)  # has no gradient to lose
        return x * x

    assert xpnet.grad(f)(np.asarray(4.5)) == 9.0
    assert losses.tolist() == [6.0, 4.5, 4.0]


RECORDED = {
    "a leaf": lambda x: Variable(x),
    "a Parameter": Parameter,
    "a result": lambda x: F.sin(Variable(x)),
    "a view": lambda x: Variable(x)[:1],
    "one of several outputs": lambda x: F.unstack(Variable(x)[None, :])[0],
}
CONSTANT = {
    "a leaf without gradient": lambda x: Variable(x, requires_grad=False),
    "computed from constants": lambda x: F.sin(Variable(x, requires_grad=False)),
    "a step": lambda x: F.floor(Variable(x)),
}


@pytest.mark.parametrize("kind", RECORDED)
def test_dlpack_raises_for_variables_that_require_a_gradient(backend, array, kind):
    v = RECORDED[kind](array([1.0, 2.0]))
    for take in (lambda v: v.__dlpack__(), F.from_dlpack):
        with pytest.raises(ExportError, match=r"Pass x\.data") as caught:
            take(v)
        assert isinstance(caught.value, GradientError)
        assert isinstance(caught.value, BufferError)


@pytest.mark.parametrize("kind", RECORDED)
def test_importing_a_variable_by_dlpack_raises_in_numpy_and_torch(kind):
    torch = pytest.importorskip("torch", reason="another library that speaks DLPack")
    with using("numpy") as numpy:
        v = RECORDED[kind](numpy.asarray([1.0, 2.0]))
        for take in (np.from_dlpack, torch.from_dlpack, torch.as_tensor, torch.tensor):
            with pytest.raises(BufferError, match=r"Pass x\.data"):
                take(v)


@pytest.mark.parametrize("kind", CONSTANT)
def test_dlpack_exports_constants(backend, array, kind):
    v = CONSTANT[kind](array([1.5, 2.5]))
    with using("numpy"):
        # By the standard, a copy from a GPU to the CPU is made only if a device is named.
        options = {"device": "cpu"} if backend.name.startswith("cupy") else {}
        out = F.from_dlpack(v, **options)
    assert isinstance(out, Variable)
    assert_close(out, to_numpy(v))


def test_dlpack_exports_everything_under_no_grad():
    with using("numpy"), xpnet.no_grad():
        out = np.from_dlpack(F.sin(Variable(np.ones(2))))
    assert_close(out, np.sin(np.ones(2)))


def test_variables_have_no_buffer_protocol(backend, array):
    v = Variable(array([1.0, 2.0]))
    for name in ("__array_interface__", "__array_struct__", "__cuda_array_interface__"):
        assert not hasattr(v, name)
    with pytest.raises(TypeError):
        memoryview(v)


# --- copies ---------------------------------------------------------------------------------------

COMPUTED = {
    "by an operator": lambda v: v * 2.0,
    "a view of it": lambda v: (v * 2.0)[0],
    "a view of a leaf": lambda v: v[0],
    "one of several outputs": lambda v: F.unstack(v)[0],
}


@pytest.mark.parametrize("kind", COMPUTED)
@pytest.mark.parametrize("duplicate", [copy.deepcopy, pickle.dumps, lambda v: copy.deepcopy([v])])
def test_copying_a_computed_variable_raises(backend, array, kind, duplicate):
    """As in PyTorch: the gradient would reach copies of the leaves."""
    y = COMPUTED[kind](Variable(array([1.0, 2.0])))
    with pytest.raises(GradientError, match=r"expected a leaf.*Copy x\.data"):
        duplicate(y)


@pytest.mark.parametrize("kind", [Variable, Parameter])
def test_a_copied_leaf_has_its_gradient(backend, array, kind):
    v = kind(array([1.0, 2.0]))
    F.sum(v * v).backward()
    for w in (copy.deepcopy(v), pickle.loads(pickle.dumps(v))):
        assert type(w) is kind
        assert w.data is not v.data
        assert w.requires_grad
        assert w.creator is None
        assert_close(w, v)
        assert_close(w.grad, v.grad)
        w.zero_grad()
        F.sum(w * 3.0).backward()
        assert_close(w.grad, [3.0, 3.0])
    assert_close(v.grad, [2.0, 4.0])


def test_constants_and_views_of_constants_can_be_copied(backend, array):
    v = Variable(array([1.0, 2.0]), requires_grad=False)
    for x in (v, v[1:]):
        w = copy.deepcopy(x)
        assert type(w) is Variable
        assert not w.requires_grad
        w[0] = 9.0
        assert_close(v, [1.0, 2.0])


def test_a_shallow_copy_has_the_same_history(backend, array):
    v = Variable(array([1.0, 2.0]))
    for y in (v * v, (v * v)[:]):
        w = copy.copy(y)
        assert w is not y
        (g,) = gradients(F.sum(w), [v])
        assert_close(g, [2.0, 4.0])


def test_a_copied_leaf_in_a_closure_is_constant(backend, array):
    """grad treats it as a constant, like every leaf that is not an argument."""
    w = pickle.loads(pickle.dumps(Variable(array(3.0))))
    assert_close(xpnet.grad(lambda x: x * w)(array(2.0)), 3.0)


def test_copies_of_a_subclass_have_its_attributes(backend, array):
    class Named(Variable):
        pass

    v = Named(array([1.0]))
    v.names = ["a"]
    w = copy.deepcopy(v)
    assert w.names == ["a"]
    assert w.names is not v.names
    assert copy.copy(v).names is v.names


def test_a_copied_model_has_its_own_parameters(backend):
    model = xpnet.MLP(3, 4, 2, rng=0)
    twin = copy.deepcopy(model)
    x = F.ones((1, 3))
    assert_close(twin(x), model(x))
    F.sum(twin(x)).backward()
    assert all(p.grad is None for p in model.parameters())
    assert all(p.grad is not None for p in twin.parameters())


# --- scikit-learn ---------------------------------------------------------------------------------

LINEAR_MODELS = """
import warnings
warnings.simplefilter("ignore")
import numpy as np, sklearn, xpnet
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
xpnet.use({library!r}, dtype="float64")
rng = np.random.default_rng(0)
x = rng.normal(size=(20, 3))
t = x @ [1.0, 2.0, 3.0]
labels = (t > 0).astype(int)
home = xpnet.current()
for model, target in [(Ridge(solver="svd"), xpnet.Variable(home.asarray(t))),
                      (LinearRegression(), xpnet.Variable(home.asarray(t))),
                      (LogisticRegression(), labels),
                      (LogisticRegression(), xpnet.Variable(home.asarray(labels)))]:
    with sklearn.config_context(array_api_dispatch=True):
        try:
            y = model.fit(xpnet.Variable(home.asarray(x)), target).coef_
        except (xpnet.XpnetError, BufferError) as error:
            print(type(model).__name__, "raised", type(error).__name__)
        else:
            print(type(model).__name__, "recorded", y.requires_grad)
"""


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_linear_models_of_scikit_learn_are_differentiable_or_raise(library):
    """None may take the data by DLPack and return coefficients without a history."""
    for package in ("sklearn", library):
        pytest.importorskip(
            package, reason="it fits scikit-learn's models to arrays of this library"
        )
    done = subprocess.run(
        [sys.executable, "-c", LINEAR_MODELS.format(library=library)],
        env=os.environ | {"SCIPY_ARRAY_API": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert "Ridge recorded True" in lines
    assert not any("recorded False" in line for line in lines)
