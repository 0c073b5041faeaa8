"""Errors for names of other libraries name what to write in xpnet."""

import _thread
import re
import sys
import threading
from importlib import import_module
from types import ModuleType

import numpy as np
import pytest

import xpnet
from tests import names_of_others
from xpnet import Variable, XpnetError, functions as F
from xpnet._hints import FUNCTIONS, IN_MODULES, LAYERS, METHODS, OPTIMIZERS, PACKAGE, RULES
from xpnet._interoperability.numpy.hints import hints as hints_of_numpy
from xpnet.testing import assert_close

HINTS = {**METHODS, **LAYERS, **OPTIMIZERS, **FUNCTIONS, **PACKAGE, **RULES}


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


@pytest.mark.parametrize("name", [*OPTIMIZERS, "learning_rate"])
def test_an_attribute_of_other_optimizers_raises_with_xpnets(name):
    optimizer = xpnet.SGD([xpnet.Parameter([1.0])])
    assert not hasattr(optimizer, name)
    assert name not in dir(optimizer)
    instead = OPTIMIZERS.get(name, "optimizer.lr")
    with pytest.raises(XpnetError, match=rf"An SGD has no '{name}'. Write {re.escape(instead)}"):
        getattr(optimizer, name)


def test_a_learning_rate_that_nothing_would_read_is_refused():
    optimizer = xpnet.SGD([xpnet.Parameter([1.0])])
    with pytest.raises(XpnetError, match=r"has no 'learning_rate'. Write optimizer\.lr"):
        optimizer.learning_rate = 0.1
    assert optimizer.lr == 0.001


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


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (xpnet.Affine(2, 3), "An Affine"),
        (xpnet.MLP(2, 3, 4), "An MLP"),
        (xpnet.LSTM(2, 3), "An LSTM"),
        (xpnet.GRU(2, 3), "A GRU"),
        (xpnet.LayerNorm(2), "A LayerNorm"),
    ],
)
def test_the_article_is_that_of_the_sound(layer, name):
    with pytest.raises(AttributeError, match=f"^{name} has no 'fit'"):
        _ = layer.fit


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


def message_for(module, name):
    """The message of the error for a name that a module does not have; "" if it has it."""
    try:
        getattr(module, name)
    except AttributeError as error:
        return str(error)
    return ""


LISTS = [
    *((F, library, names) for library, names in names_of_others.FUNCTIONS.items()),
    *((xpnet, library, names) for library, names in names_of_others.PACKAGE.items()),
]
NO_EQUAL = {name for names in names_of_others.NO_EQUAL.values() for name in names.split()}


@pytest.mark.parametrize(
    ("module", "library", "names"), LISTS, ids=lambda x: getattr(x, "__name__", x)
)
def test_the_names_of_other_libraries_lead_to_xpnets(module, library, names):
    for name in names.split():
        message = message_for(module, name)
        leads = not message or "Write" in message or "Did you mean" in message
        assert leads or name in NO_EQUAL, message
        assert not (name in NO_EQUAL and "Write" in message), message
    assert len(names.split()) > 1


def test_every_name_without_an_equal_is_in_a_list():
    listed = {name for _, _, names in LISTS for name in names.split()}
    assert listed >= NO_EQUAL


@pytest.mark.parametrize(
    ("module", "name", "end"),
    [
        (F, "deconv2d", "Write F.conv_transpose(x, weight, bias)."),
        (F, "conv3d", "Did you mean conv?"),
        (F, "relu_", "Did you mean relu?"),
        (F, "max_pool1d_with_indices", "Did you mean max_pool?"),
        (F, "average_pooling", "Did you mean avg_pool?"),
        (F, "rfft", "Write F.fft.rfft."),
        (F, "pinv", "Write F.linalg.pinv."),
        (F, "erf", "Write F.special.erf(x)."),
        (xpnet, "Conv2DTranspose", "Write xpnet.ConvTranspose2d."),
        (xpnet, "MaxPooling1D", "Did you mean MaxPool1d?"),
        (xpnet, "MaxPooling3D", "Write xpnet.functions.max_pool."),
        (xpnet, "LazyLinear", "Write xpnet.Affine(in_features, out_features)."),
        (xpnet, "TimeLSTM", "Did you mean LSTM?"),
        (xpnet, "Mish", "Write x * F.tanh(F.softplus(x)), with F = xpnet.functions."),
        (xpnet, "NLLLoss2d", "with scores from before F.log_softmax, with F = xpnet.functions."),
        (xpnet, "RMSProp", "Write xpnet.RMSprop."),
    ],
)
def test_a_name_that_is_spelled_otherwise(module, name, end):
    assert message_for(module, name).endswith(end)


MODULES_OF_DEZERO = {
    "xpnet.layers": ("dezero.layers", "dezero.models", "common"),
    "xpnet.optimizers": ("dezero.optimizers",),
    "xpnet.data": ("dezero.datasets", "dezero.transforms"),
    "xpnet.lessons": ("dezero", "dezero.layers", "dezero.models", "common"),
}


@pytest.mark.parametrize("module", MODULES_OF_DEZERO)
def test_the_names_of_dezeros_modules_lead_to_xpnets(module):
    for library in MODULES_OF_DEZERO[module]:
        for name in names_of_others.PACKAGE[library].split():
            message = message_for(import_module(module), name)
            leads = not message or "Write" in message or "Did you mean" in message
            assert leads or name in NO_EQUAL, message


@pytest.mark.parametrize(
    ("module", "name", "advice"),
    [
        ("xpnet", "Linear", "Write xpnet.Affine(in_features, out_features)."),
        ("xpnet.functions", "conv2d", "Write F.conv(x, weight, bias)."),
        ("xpnet.layers", "Linear", "Write xpnet.Affine(in_features, out_features)."),
        ("xpnet.layers", "Lstm", "Did you mean LSTM?"),
        ("xpnet.optimizers", "AdaGrad", "Write xpnet.Adagrad."),
        ("xpnet.data", "MNIST", "Write xpnet.data.load_mnist()."),
        ("xpnet.lessons", "Dropout", "Write xpnet.Dropout."),
        ("xpnet.lessons", "softmax", "Write xpnet.functions.softmax."),
    ],
)
def test_an_import_of_a_name_of_another_library_raises_with_xpnets_name(module, name, advice):
    """Python's own ImportError would be without the message of the AttributeError."""
    words = re.escape(f"{module} has no {name!r}. {advice}")
    with pytest.raises(XpnetError, match=words) as caught:
        exec(f"from {module} import {name}", {})
    assert isinstance(caught.value, ImportError)
    assert not hasattr(import_module(module), name)
    with pytest.raises(AttributeError, match=words):
        getattr(import_module(module), name)


@pytest.mark.parametrize("module", ["xpnet", "xpnet.functions", *MODULES_OF_DEZERO])
def test_an_import_of_a_name_without_advice_raises_pythons_error(module):
    with pytest.raises(ImportError, match=f"cannot import name 'no_such_name' from '{module}'"):
        exec(f"from {module} import no_such_name", {})


def test_an_import_of_a_submodule_that_is_being_imported_is_pythons(monkeypatch):
    """As in a circle of imports: it is in sys.modules, and not yet an attribute of its package."""
    module = ModuleType("xpnet.Linear")
    monkeypatch.setitem(sys.modules, "xpnet.Linear", module)
    names = {}
    exec("from xpnet import Linear", names)
    assert names["Linear"] is module


def test_a_name_that_c_code_looks_up_is_an_error_with_xpnets_name(monkeypatch):
    """In a thread of its own, the C code has no caller in Python."""
    done = threading.Event()
    errors = []

    def keep(unraisable):
        errors.append(str(unraisable.exc_value))
        done.set()

    monkeypatch.setattr(sys, "unraisablehook", keep)
    _thread.start_new_thread(getattr, (xpnet, "Linear"))
    assert done.wait(10.0)
    assert errors == ["xpnet has no 'Linear'. Write xpnet.Affine(in_features, out_features)."]


def test_names_in_modules_are_found_from_the_package():
    for module, names in IN_MODULES.items():
        offered = import_module(f"xpnet.{module}").__all__
        for name in names.split():
            assert name in offered
            assert message_for(xpnet, name).endswith(f"Write xpnet.{module}.{name}.")


def test_functions_of_numpy_lead_to_numpy():
    assert {"convolve", "median", "interp", "gradient"} <= hints_of_numpy().keys()
    for name in hints_of_numpy().keys() - set(dir(F)):
        assert "Write" in message_for(F, name)
    assert message_for(F, "median").endswith(
        "Write np.median, which is differentiable for Variables too."
    )


X = np.linspace(-4.0, 4.0, 41)
Y = np.linspace(0.1, 0.9, 41)
T = np.where(np.arange(41) % 3 == 0, 1.0, -1.0)
FORMULAS = {
    **dict.fromkeys(
        ["relu6", "hardtanh", "hardsigmoid", "hardswish", "hardshrink", "softshrink", "tanhshrink"],
        (X,),
    ),
    **dict.fromkeys(["softsign", "softmin", "logsigmoid", "mish", "selu", "celu"], (X,)),
    "soft_margin_loss": (X, T),
    "poisson_nll_loss": (X, Y),
    "gaussian_nll_loss": (X, Y, Y),
    "margin_ranking_loss": (X, Y, T),
    "multilabel_soft_margin_loss": (X[:, None], Y[:, None]),
    "pairwise_distance": (X.reshape(1, 41), Y.reshape(1, 41)),
    "rms_norm": (X,),
    "bilinear": (X.reshape(1, 41), Y[None, :2], np.ones((3, 41, 2))),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_a_formula_in_a_hint_is_pytorchs(name):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    given = FORMULAS[name]
    more = {"softmin": (-1,), "rms_norm": ((41,),)}.get(name, ())
    theirs = getattr(torch.nn.functional, name)(*map(torch.asarray, given), *more)
    x1, x2, *rest = (*given, None, None)
    names = {
        "F": F,
        "x": x1,
        "y": x1,
        "t": x2,
        "x1": x1,
        "x2": x2,
        "var": rest[0],
        "weight": rest[0],
    }
    if name == "margin_ranking_loss":
        names["t"] = T
    formula = FUNCTIONS[name].partition(", for ")[0]
    ours = eval(formula, {**names, "alpha": 1.0, "margin": 0.0, "eps": 2.0**-52})
    assert_close(ours, theirs.numpy(), rtol=1e-5, atol=1e-6)


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
