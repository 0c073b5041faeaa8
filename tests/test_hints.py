"""Names of other libraries are errors that name xpnet's own."""

import re

import numpy as np
import pytest

import xpnet
from xpnet import Variable, XpnetError, functions as F
from xpnet._hints import FUNCTIONS, LAYERS, METHODS, PACKAGE

HINTS = {**METHODS, **LAYERS, **FUNCTIONS, **PACKAGE}


def resolved(path):
    found = {"F": F, "xpnet": xpnet}[path.split(".")[0]]
    for part in path.split(".")[1:]:
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("hint", sorted(set(HINTS.values())))
def test_each_hint_names_what_there_is(hint):
    for path in re.findall(r"\b(?:F|xpnet)(?:\.[A-Za-z_0-9]+)+", hint):
        assert resolved(path) is not None


@pytest.mark.parametrize("name", METHODS)
def test_a_method_of_other_arrays_names_the_function(backend, array, name):
    v = Variable(array([1.0, 2.0]))
    assert not hasattr(v, name)
    assert name not in dir(v)
    words = rf"A Variable has no '{name}'. Write {re.escape(METHODS[name])}"
    with pytest.raises(XpnetError, match=words) as caught:
        getattr(v, name)
    assert isinstance(caught.value, AttributeError)


@pytest.mark.parametrize("kind", [xpnet.Parameter, Variable])
def test_the_error_names_the_class(backend, array, kind):
    with pytest.raises(AttributeError, match=f"A {kind.__name__} has no 'item'"):
        kind(array(1.0)).item()


def test_what_is_nobodys_method_is_pythons_error(backend, array):
    with pytest.raises(AttributeError, match="object has no attribute 'no_such_name'"):
        _ = Variable(array(1.0)).no_such_name


def test_hints_do_not_stand_in_front_of_attributes():
    """A hint of the name of a real attribute would hide it."""
    own = {name for kind in Variable.__mro__[:1] for name in vars(kind)}
    assert not own & METHODS.keys()
    assert {"data", "grad", "shape", "dtype", "T", "backward", "zero_grad", "cleargrad"} <= set(
        dir(Variable(1.0))
    )


def test_help_of_a_variable_shows_what_to_write():
    assert repr(vars(xpnet.autodiff._array_object.ArrayObject)["item"]).startswith(
        "not there: write float(x)"
    )


def test_hints_cost_an_attribute_nothing():
    """There is no `__getattr__`, which would make every attribute slower."""
    assert not hasattr(Variable, "__getattr__")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_other_libraries_names_ours(name):
    if name in F.__all__:
        pytest.fail(f"F.{name} is there; its hint is out of date")
    with pytest.raises(XpnetError, match=re.escape(f"Write {FUNCTIONS[name]}.")) as caught:
        getattr(F, name)
    assert isinstance(caught.value, AttributeError)
    assert not hasattr(F, name)


@pytest.mark.parametrize("name", ["mse_loss", "concatenate", "cross_entropy"])
def test_the_namespace_of_a_variable_says_the_same(backend, array, name):
    xp = xpnet.array_namespace(Variable(array(1.0)))
    with pytest.raises(XpnetError, match=re.escape(FUNCTIONS[name])):
        getattr(xp, name)


@pytest.mark.parametrize("name", PACKAGE)
def test_a_class_of_other_libraries_names_ours(name):
    assert not hasattr(xpnet, name)
    with pytest.raises(XpnetError, match=re.escape(f"Write {PACKAGE[name]}.")) as caught:
        getattr(xpnet, name)
    assert isinstance(caught.value, AttributeError)


@pytest.mark.parametrize(
    ("module", "name", "similar"), [(F, "sofmax", "softmax"), (xpnet, "Convd2", "Conv2d")]
)
def test_a_misspelled_name_is_answered_with_similar_ones(module, name, similar):
    with pytest.raises(AttributeError, match=rf"Did you mean .*\b{similar}\b"):
        getattr(module, name)


def test_a_step_of_gradient_descent_by_hand(backend, array):
    """`grad` is an array like `data`, so the line is the same on every library."""
    W = xpnet.Parameter(array([1.0, 2.0]))
    F.sum(W * W).backward()
    assert isinstance(W.grad, type(W.data))
    W.data -= 0.25 * W.grad
    assert xpnet.to_numpy(W).tolist() == [0.5, 1.0]


@pytest.mark.parametrize("kind", [xpnet.Variable, xpnet.Parameter])
def test_the_same_by_the_data_of_the_gradient(kind):
    """As DeZero and PyTorch write it. NumPy's own `data`, a buffer, would be a TypeError."""
    for spec in ("numpy", "torch"):
        try:
            backend = xpnet.backend.resolve(spec)
        except xpnet.BackendError:
            continue  # PyTorch is not installed; its tensors have `data` of their own
        W = kind(backend.asarray([1.0, 2.0]))
        for _ in range(2):
            W.zero_grad()
            F.sum(W * W).backward()
            W.data -= 0.25 * W.grad.data
        assert type(W.data) is type(backend.asarray(0.0))
        assert xpnet.to_numpy(W).tolist() == [0.25, 0.5]


def test_what_is_computed_of_a_gradient_is_an_ordinary_array():
    W = xpnet.Parameter(np.array([[1.0, 2.0], [3.0, 4.0]], "float32"))
    F.sum(W * W).backward()
    for y in (2.0 * W.grad, W.grad.data, np.exp(W.grad), W.grad + W.data, W.grad @ W.data):
        assert type(y) is np.ndarray
    assert type(W.grad.sum()) is np.float32
    assert type(np.linalg.norm(W.grad)) is np.float32
    assert F.sum(W.grad) == W.grad.sum()
    assert repr(W.grad) == repr(W.grad.data)


def test_a_gradient_that_is_changed_or_set_is_that_of_the_optimizer():
    W = xpnet.Parameter(np.array([1.0, 2.0]))
    F.sum(W * W).backward()
    W.grad *= 0.5
    W.grad = W.grad + 1.0
    assert type(W.raw_grad) is np.ndarray
    xpnet.SGD([W], lr=1.0).step()
    assert W.data.tolist() == [-1.0, -1.0]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    "make", [lambda: xpnet.Affine(2, 3), lambda: xpnet.Sequential(xpnet.ReLU())]
)
def test_an_attribute_of_other_models_names_what_to_write(name, make):
    layer = make()
    assert not hasattr(layer, name)
    assert name not in dir(layer)
    with pytest.raises(XpnetError, match=f"has no '{name}'. Write {re.escape(LAYERS[name])}"):
        getattr(layer, name)


def test_a_layer_may_have_attributes_of_these_names():
    class Net(xpnet.Layer):
        def __init__(self):
            self.weights = [1.0, 2.0]

        def predict(self, x):
            return x

    net = Net()
    assert (net.weights, net.predict(3)) == ([1.0, 2.0], 3)
    assert {"weights", "predict"} <= set(dir(net))


@pytest.mark.parametrize(("name", "own"), [("W", "layer.weight"), ("b", "layer.bias")])
def test_the_lessons_names_of_an_affine_layers_parameters_name_xpnets(name, own):
    layer = xpnet.Affine(2, 3)
    with pytest.raises(AttributeError, match=f"An Affine has no '{name}'. Write {own}"):
        getattr(layer, name)
    with pytest.raises(AttributeError, match=f"An Affine has no '{name}'. Write {own}"):
        setattr(layer, name, layer.weight)  # to share it: nothing would read it
    assert [n for n, _ in layer.named_parameters()] == ["weight", "bias"]


@pytest.mark.parametrize(
    ("holder", "name", "words"),
    [
        (F, "erf", "Write F.special.erf"),
        (F, "gammaln", "Write F.special.gammaln"),
        (F, "no_grad", "Write xpnet.no_grad"),
        (xpnet, "relu", "Write xpnet.functions.relu"),
        (xpnet, "mean", "Write xpnet.functions.mean"),
        (xpnet, "Relu", "Did you mean ReLU"),
        (xpnet, "LayerNORM", "Did you mean LayerNorm"),
    ],
)
def test_a_name_that_is_elsewhere_names_the_place(holder, name, words):
    with pytest.raises(AttributeError, match=re.escape(words)):
        getattr(holder, name)


def test_f_is_explained_where_it_is_written(backend, array):
    with pytest.raises(AttributeError, match=r"Write F.sum\(x\), with F = xpnet.functions\.$"):
        _ = Variable(array(1.0)).sum
    with pytest.raises(AttributeError, match=r"complex\(x\)\.$"):
        _ = Variable(array(1.0)).item
