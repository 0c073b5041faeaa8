"""Errors for names of other libraries name what to write in xpnet."""

import re

import numpy as np
import pytest

import xpnet
from xpnet import Variable, XpnetError, functions as F
from xpnet._hints import FUNCTIONS, LAYERS, METHODS, PACKAGE, RULES

HINTS = {**METHODS, **LAYERS, **FUNCTIONS, **PACKAGE, **RULES}


def object_at(path):
    """The object with a dotted path that begins with F or xpnet."""
    found = {"F": F, "xpnet": xpnet}[path.split(".")[0]]
    for part in path.split(".")[1:]:
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("hint", sorted(set(HINTS.values())))
def test_every_name_in_a_hint_exists(hint):
    for path in re.findall(r"\b(?:F|xpnet)(?:\.[A-Za-z_0-9]+)+", hint):
        assert object_at(path) is not None


@pytest.mark.parametrize("name", METHODS)
def test_a_method_of_other_arrays_raises_with_the_function_to_call(backend, array, name):
    v = Variable(array([1.0, 2.0]))
    assert not hasattr(v, name)
    assert name not in dir(v)
    words = rf"A Variable has no '{name}'. Write {re.escape(METHODS[name])}"
    with pytest.raises(XpnetError, match=words) as caught:
        getattr(v, name)
    assert isinstance(caught.value, AttributeError)


@pytest.mark.parametrize("kind", [xpnet.Parameter, Variable])
def test_the_hint_for_a_method_names_the_class(backend, array, kind):
    with pytest.raises(AttributeError, match=f"A {kind.__name__} has no 'item'"):
        kind(array(1.0)).item()


def test_an_unknown_attribute_raises_pythons_error(backend, array):
    with pytest.raises(AttributeError, match="object has no attribute 'no_such_name'"):
        _ = Variable(array(1.0)).no_such_name


def test_hints_do_not_hide_attributes():
    """A hint with the name of a real attribute would replace it."""
    own = {name for kind in Variable.__mro__[:1] for name in vars(kind)}
    assert not own & METHODS.keys()
    assert {"data", "grad", "shape", "dtype", "T", "backward", "zero_grad", "cleargrad"} <= set(
        dir(Variable(1.0))
    )


def test_the_repr_of_a_hint_shows_what_to_write():
    assert repr(vars(xpnet.autodiff._array_object.ArrayObject)["item"]).startswith(
        "missing: write float(x)"
    )


def test_variables_have_no_getattr():
    """`__getattr__` would make every missing attribute slower, such as those that NumPy asks for."""
    assert not hasattr(Variable, "__getattr__")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_other_libraries_raises_with_xpnets_name(name):
    if name in F.__all__:
        pytest.fail(f"F.{name} exists; its hint is out of date")
    with pytest.raises(XpnetError, match=re.escape(f"Write {FUNCTIONS[name]}.")) as caught:
        getattr(F, name)
    assert isinstance(caught.value, AttributeError)
    assert not hasattr(F, name)


@pytest.mark.parametrize("name", ["mse_loss", "concatenate", "cross_entropy"])
def test_the_namespace_of_a_variable_has_the_same_hints(backend, array, name):
    xp = xpnet.array_namespace(Variable(array(1.0)))
    with pytest.raises(XpnetError, match=re.escape(FUNCTIONS[name])):
        getattr(xp, name)


@pytest.mark.parametrize("name", PACKAGE)
def test_a_class_of_other_libraries_raises_with_xpnets_name(name):
    assert not hasattr(xpnet, name)
    with pytest.raises(XpnetError, match=re.escape(f"Write {PACKAGE[name]}.")) as caught:
        getattr(xpnet, name)
    assert isinstance(caught.value, AttributeError)


@pytest.mark.parametrize(
    ("module", "name", "similar"), [(F, "sofmax", "softmax"), (xpnet, "Convd2", "Conv2d")]
)
def test_a_misspelled_name_raises_with_similar_names(module, name, similar):
    with pytest.raises(AttributeError, match=rf"Did you mean .*\b{similar}\b"):
        getattr(module, name)


def test_gradient_descent_by_hand_works_on_every_library(backend, array):
    """`grad` is an array of the same library as `data`."""
    W = xpnet.Parameter(array([1.0, 2.0]))
    F.sum(W * W).backward()
    assert isinstance(W.grad, type(W.data))
    W.data -= 0.25 * W.grad
    assert xpnet.to_numpy(W).tolist() == [0.5, 1.0]


@pytest.mark.parametrize("kind", [xpnet.Variable, xpnet.Parameter])
def test_gradient_descent_by_the_data_of_the_gradient(kind):
    """As in DeZero and PyTorch. `data` of a NumPy array is a buffer, which would raise TypeError."""
    for spec in ("numpy", "torch"):
        try:
            backend = xpnet.backend.resolve(spec)
        except xpnet.BackendError:
            continue  # PyTorch is not installed
        W = kind(backend.asarray([1.0, 2.0]))
        for _ in range(2):
            W.zero_grad()
            F.sum(W * W).backward()
            W.data -= 0.25 * W.grad.data
        assert type(W.data) is type(backend.asarray(0.0))
        assert xpnet.to_numpy(W).tolist() == [0.25, 0.5]


def test_results_computed_from_a_gradient_are_ordinary_arrays():
    W = xpnet.Parameter(np.array([[1.0, 2.0], [3.0, 4.0]], "float32"))
    F.sum(W * W).backward()
    for y in (2.0 * W.grad, W.grad.data, np.exp(W.grad), W.grad + W.data, W.grad @ W.data):
        assert type(y) is np.ndarray
    assert type(W.grad.sum()) is np.float32
    assert type(np.linalg.norm(W.grad)) is np.float32
    assert F.sum(W.grad) == W.grad.sum()
    assert repr(W.grad) == repr(W.grad.data)


def test_the_optimizer_uses_a_gradient_that_was_changed():
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
def test_an_attribute_of_other_libraries_models_raises_with_what_to_write(name, make):
    layer = make()
    assert not hasattr(layer, name)
    assert name not in dir(layer)
    with pytest.raises(XpnetError, match=f"has no '{name}'. Write {re.escape(LAYERS[name])}"):
        getattr(layer, name)


def test_a_layer_may_define_attributes_that_have_hints():
    class Net(xpnet.Layer):
        def __init__(self):
            self.weights = [1.0, 2.0]

        def predict(self, x):
            return x

    net = Net()
    assert (net.weights, net.predict(3)) == ([1.0, 2.0], 3)
    assert {"weights", "predict"} <= set(dir(net))


@pytest.mark.parametrize("name", RULES)
def test_a_rule_that_reads_an_attribute_of_dezero_raises_with_what_to_write(backend, array, name):
    class Square(xpnet.Function):
        def forward(self, x):
            return x * x

        def backward(self, gy):
            return getattr(self, name)

    assert name not in dir(Square())
    words = f"A Square has no '{name}'. Write {re.escape(RULES[name])}."
    with pytest.raises(XpnetError, match=words) as caught:
        Square()(Variable(array(3.0))).backward()
    assert isinstance(caught.value, AttributeError)


def test_a_function_may_have_attributes_of_these_names():
    class Square(xpnet.Function):
        def forward(self, x):
            self.inputs = 2.0 * x
            return x * x

        def backward(self, gy):
            return gy * self.inputs

    x = Variable(np.asarray(3.0))
    square = Square()
    square(x).backward()
    assert float(x.grad) == 6.0
    assert "inputs" in dir(square)


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("W", "layer.weight"),
        ("b", "layer.bias"),
        ("dW", "layer.weight.grad"),
        ("db", "layer.bias.grad"),
    ],
)
def test_the_lessons_names_of_the_arrays_of_affine_raise_with_xpnets(name, own):
    layer = xpnet.Affine(2, 3)
    with pytest.raises(AttributeError, match=f"An Affine has no '{name}'. Write {own}"):
        getattr(layer, name)
    with pytest.raises(AttributeError, match=f"An Affine has no '{name}'. Write {own}"):
        setattr(layer, name, layer.weight)  # the layer would not use it
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
def test_a_name_of_another_module_raises_with_its_place(holder, name, words):
    with pytest.raises(AttributeError, match=re.escape(words)):
        getattr(holder, name)


def test_a_hint_that_uses_f_explains_it(backend, array):
    with pytest.raises(AttributeError, match=r"Write F.sum\(x\), with F = xpnet.functions\.$"):
        _ = Variable(array(1.0)).sum
    with pytest.raises(AttributeError, match=r"complex\(x\)\.$"):
        _ = Variable(array(1.0)).item
