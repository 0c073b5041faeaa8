"""A Parameter is not lost: assigning something else raises, and updates in place change it."""

import numpy as np
import pytest

import xpnet
from xpnet import (
    Affine,
    ArgumentTypeError,
    GradientError,
    Layer,
    Parameter,
    ReLU,
    Variable,
    functions as F,
    no_grad,
    to_numpy,
)
from xpnet.layers import BatchNorm1d, Buffer, Sequential
from xpnet.lessons import SoftmaxWithLoss
from xpnet.testing import assert_close
from xpnet.training import Trainer

UPDATES = {
    "+=": (lambda p, v: p.__iadd__(v), lambda x, v: x + v),
    "-=": (lambda p, v: p.__isub__(v), lambda x, v: x - v),
    "*=": (lambda p, v: p.__imul__(v), lambda x, v: x * v),
    "/=": (lambda p, v: p.__itruediv__(v), lambda x, v: x / v),
    "//=": (lambda p, v: p.__ifloordiv__(v), lambda x, v: x // v),
    "%=": (lambda p, v: p.__imod__(v), lambda x, v: x % v),
    "**=": (lambda p, v: p.__ipow__(v), lambda x, v: x**v),
    "@=": (lambda p, v: p.__imatmul__(v), lambda x, v: x @ v),
}
W = [[1.5, 2.0], [3.0, 4.5]]
V = [[2.0, 0.5], [1.0, 3.0]]


# --- updates in place -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "computed",
    [
        lambda p: 0.5 * p,
        F.sin,
        lambda p: Variable(p.data, requires_grad=False),
        lambda p: Parameter(p.data),
    ],
    ids=["product", "function", "constant", "Parameter"],
)
@pytest.mark.parametrize("name", ["weight", "bias"])
def test_assigning_a_variable_to_the_data_of_a_parameter_raises(backend, computed, name):
    """The Parameter would hide a graph. The error contains the line to write."""
    p = getattr(Affine(2, 2, rng=0), name)
    before = to_numpy(p.data).copy()
    with pytest.raises(ArgumentTypeError, match=r"got a Variable\. Write p\.data = value\.data"):
        p.data = computed(p)
    assert_close(p.data, before)
    p.data = computed(p).data
    assert type(p.data) is type(backend.asarray([1.0]))
    F.sum(p).backward()
    assert_close(p.grad, np.ones(p.shape))


@pytest.mark.parametrize("sign", UPDATES)
@pytest.mark.parametrize("kind", ["array", "constant", "number", "without recording"])
def test_an_update_in_place_keeps_the_parameter_object(backend, array, sign, kind):
    """By an array, a constant or a number; under no_grad also by a recorded Variable."""
    update, plain = UPDATES[sign]
    p = Parameter(array(W))
    if kind == "number" and sign == "@=":
        pytest.skip("a number is not an operand of a matrix product")
    value = {
        "array": lambda: array(V),
        "constant": lambda: Variable(array(V), requires_grad=False),
        "number": lambda: 2.0,
        "without recording": lambda: Variable(array(V)),
    }[kind]()
    with no_grad() if kind == "without recording" else xpnet.autodiff.tape.recorded():
        assert update(p, value) is p
    assert (type(p), p.requires_grad, p.creator) == (Parameter, True, None)
    assert p.dtype == backend.dtype
    assert_close(p, plain(np.asarray(W), 2.0 if kind == "number" else np.asarray(V)), rtol=1e-6)
    F.sum(p).backward()
    assert_close(p.grad, np.ones((2, 2)))


@pytest.mark.parametrize("sign", UPDATES)
@pytest.mark.parametrize("frozen", [False, True])
def test_an_update_by_a_recorded_variable_raises(backend, array, sign, frozen):
    """A Parameter is a leaf. The error says what to write, and nothing is changed."""
    p = Parameter(array(W))
    v = Variable(array(V))
    p.requires_grad = not frozen
    for value in (v, v * 2.0, Parameter(array(V))):
        with pytest.raises(GradientError, match="leaf.*value.data.*with no_grad"):
            UPDATES[sign][0](p, value)
    assert to_numpy(p).tolist() == W


def test_an_update_keeps_the_shape_and_the_dtype(backend, array):
    """An update neither broadcasts the parameter nor promotes it to float64."""
    p = Parameter(array(W))
    with pytest.raises(xpnet.ShapeError):
        p -= array(np.ones((3, 2, 2)).tolist())
    with pytest.raises(TypeError):
        p *= 1j
    assert to_numpy(p).tolist() == W
    if backend.name == "numpy":
        p -= np.ones((2, 2))  # an array of float64, which NumPy's own `-=` also accepts
        assert p.dtype == np.float32
        p += np.ones((2, 2), "int64")
        assert to_numpy(p).tolist() == W


def test_a_graph_keeps_the_values_from_before_an_update(backend, array):
    """backward computes the derivative at the values that forward used."""
    p = Parameter(array([1.0, 2.0]))
    loss = F.sum(p * p)
    p -= 0.5
    loss.backward()
    assert_close(p.grad, [2.0, 4.0])
    assert_close(p, [0.5, 1.5])


def test_a_parameter_of_a_layer_can_be_updated_in_place(backend, array):
    """`layer.weight -= ...` also assigns the attribute, to the same Parameter."""
    layer = Affine(2, 1, rng=0)
    W = layer.weight
    before = to_numpy(layer.weight).copy()
    F.sum(layer(array([[1.0, 2.0]]))).backward()
    layer.weight -= 0.5 * layer.weight.grad
    assert layer.weight is W
    assert list(layer.state_dict()) == ["weight", "bias"]
    assert_close(layer.weight, before - 0.5 * np.asarray([[1.0], [2.0]]), rtol=1e-6)


def test_the_training_loop_of_the_lessons_agrees_with_numpy(backend):
    """Lesson 5: Parameters in a dict, layers called one by one, and no zero_grad."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 5)).astype("float32")
    t = (x @ rng.standard_normal((5, 3)).astype("float32")).argmax(axis=1)
    affine1 = Affine(5, 8, rng=1)
    relu = ReLU()
    affine2 = Affine(8, 3, rng=2)
    params = {"W1": affine1.weight, "b1": affine1.bias, "W2": affine2.weight, "b2": affine2.bias}
    own = {key: to_numpy(p).astype("float64") for key, p in params.items()}
    losses = []
    last = SoftmaxWithLoss()
    xb = xpnet.current().asarray(x)
    tb = xpnet.current().asarray(t)
    for _ in range(30):
        y = affine2.forward(relu.forward(affine1.forward(xb)))
        losses.append(float(last.forward(y, tb)))
        dout = last.backward(1)
        for layer in (affine2, relu, affine1):
            dout = layer.backward(dout)
        grad = {key: p.grad for key, p in params.items()}
        for key in ("W1", "b1", "W2", "b2"):
            params[key] -= 0.5 * grad[key]

        h = np.maximum(x @ own["W1"] + own["b1"], 0.0)
        scores = h @ own["W2"] + own["b2"]
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        g = (e / e.sum(axis=1, keepdims=True) - np.eye(3)[t]) / len(t)
        gh = (g @ own["W2"].T) * (h > 0)
        steps = {"W1": x.T @ gh, "b1": gh.sum(axis=0), "W2": h.T @ g, "b2": g.sum(axis=0)}
        own = {key: own[key] - 0.5 * steps[key] for key in own}
    assert params["W1"] is affine1.weight
    assert losses[-1] < 0.5 * losses[0]
    for key, p in params.items():
        assert_close(p, own[key], rtol=1e-3, atol=1e-4)


# --- assignment of attributes ---------------------------------------------------------------------

REPLACEMENTS = {
    "a product": lambda layer: layer.weight * 0.5,
    "a difference": lambda layer: layer.weight - 0.1 * layer.weight.data,
    "an array": lambda layer: layer.weight.data * 0.5,
    "a Variable": lambda layer: Variable(layer.weight.data),
    "a constant": lambda layer: Variable(layer.weight.data, requires_grad=False),
    "a list": lambda layer: [[1.0], [2.0]],
    "a number": lambda layer: 0.0,
}


@pytest.mark.parametrize("how", REPLACEMENTS)
@pytest.mark.parametrize("name", ["weight", "bias"])
def test_assigning_something_else_to_a_parameter_raises(backend, how, name):
    """As in PyTorch. The layer is unchanged, and the message contains the line to write."""
    layer = Affine(2, 1, rng=0)
    held = getattr(layer, name)
    value = REPLACEMENTS[how](layer)
    words = rf"^Affine\.{name} is a Parameter.*Write {name}\.data = array"
    with pytest.raises(ArgumentTypeError, match=words):
        setattr(layer, name, value)
    assert getattr(layer, name) is held
    assert list(layer.state_dict()) == ["weight", "bias"]


def test_a_parameter_may_be_replaced_by_another_one_or_by_none(backend, array):
    """A new Parameter is learned and saved; None removes it."""
    layer = Affine(2, 1, rng=0)
    other = Affine(2, 1, rng=1)
    layer.weight = other.weight
    assert layer.weight is other.weight
    layer.weight = Parameter(array([[1.0], [2.0]]))
    layer.bias = None
    assert list(layer.state_dict()) == ["weight"]
    assert to_numpy(layer(array([[1.0, 1.0]]))).tolist() == [[3.0]]
    layer.bias = Parameter(array([1.0]))
    layer.weight.data = layer.weight.data * 0.5
    assert to_numpy(layer(array([[1.0, 1.0]]))).tolist() == [[2.5]]
    del layer.bias
    assert list(layer.state_dict()) == ["weight"]


def test_assigning_an_array_to_a_buffer_raises(backend, array):
    """The array would not be saved."""
    layer = BatchNorm1d(2)
    for value in (array([0.0, 0.0]), Variable(array([0.0, 0.0])), [0.0, 0.0]):
        with pytest.raises(
            ArgumentTypeError, match=r"running_mean is a Buffer.*running_mean\.data"
        ):
            layer.running_mean = value
    layer.running_mean.data = array([1.0, 2.0])
    layer.running_var = Buffer(array([3.0, 4.0]))
    assert to_numpy(layer.state_dict()["running_mean"]).tolist() == [1.0, 2.0]
    assert to_numpy(layer.state_dict()["running_var"]).tolist() == [3.0, 4.0]


class Net(Layer):
    """Layers and parameters in attributes, a list and a dict."""

    def __init__(self):
        self.hidden = Affine(2, 2, rng=0)
        self.weights = [Parameter([1.0, 2.0]), Parameter([3.0, 4.0])]
        self.params = {"W": Parameter([5.0, 6.0])}

    def forward(self, x):
        x = self.hidden(x)
        for w in self.weights:
            x = F.multiply(x, w)
        return F.multiply(x, self.params["W"])


def test_assigning_something_else_to_a_layer_raises(backend):
    net = Net()
    for value in (F.relu, "relu", net.hidden.weight * 1.0):
        with pytest.raises(ArgumentTypeError, match=r"^Net\.hidden is a layer.*del hidden"):
            net.hidden = value
    net.hidden = Sequential(ReLU())
    net.hidden = None
    del net.hidden
    net.hidden = F.relu
    assert len(list(net.parameters())) == 3


def test_replacing_a_list_of_parameters_by_variables_raises(backend):
    """A list as from `ws = [w - lr * g for w in ws]`, or a dict. Their items can be updated in place."""
    net = Net()
    with pytest.raises(ArgumentTypeError, match=r"^Net\.weights holds parameters.*p -= "):
        net.weights = [w - 0.1 * w.data for w in net.weights]
    with pytest.raises(ArgumentTypeError, match=r"^Net\.params holds parameters"):
        net.params = {"W": net.params["W"] * 0.5}
    net.params["W"] -= 1.0
    net.weights[0] *= 2.0
    for w in net.weights:
        w += 1.0  # it is the same Parameter
    assert to_numpy(net.params["W"]).tolist() == [4.0, 5.0]
    assert [to_numpy(w).tolist() for w in net.weights] == [[3.0, 5.0], [4.0, 5.0]]
    net.weights = [Parameter([1.0, 1.0])]
    net.params = {}
    assert list(net.state_dict()) == ["hidden.weight", "hidden.bias", "weights.0"]


# --- Variables that should be Parameters ----------------------------------------------------------


class Scaled(Layer):
    """A layer that holds its factor in an attribute, a list or a dict."""

    def __init__(self, factor, where):
        self.inner = Affine(2, 2, rng=0)
        held = {"attribute": factor, "list": [factor], "dict": {"deep": (factor,)}}
        self.factor = held[where]

    def forward(self, x):
        return self.inner(x)


@pytest.mark.parametrize(
    ("where", "path"),
    [("attribute", "factor"), ("list", "factor.0"), ("dict", "factor.deep.0")],
)
def test_a_variable_that_should_be_a_parameter_raises_in_the_optimizer(backend, array, where, path):
    """Also in the trainer. The message says which Variable, and to make it a Parameter."""
    model = Sequential(Scaled(Variable(array([2.0])), where))
    words = (
        rf"layers\.0\.{path} is a Variable that requires a gradient, but not a Parameter.*Make it P"
    )
    for make in (
        lambda: xpnet.SGD(model.parameters()),
        lambda: xpnet.Adam([{"params": model.parameters(), "lr": 0.1}]),
        lambda: Trainer(model, F.mean_squared_error, xpnet.SGD(list(model.parameters()))),
    ):
        with pytest.raises(ArgumentTypeError, match=words):
            make()


@pytest.mark.parametrize("where", ["attribute", "list", "dict"])
def test_constants_and_computed_variables_in_a_layer_do_not_raise(backend, array, where):
    """A layer may keep its last attention, or a table of constants."""
    for value in (
        Variable(array([2.0]), requires_grad=False),
        Variable(array([2.0])) * 2.0,
        Parameter(array([2.0])),
        array([2.0]),
    ):
        model = Scaled(value, where)
        model.forward(array([[1.0, 2.0]]))  # the layer keeps its input
        xpnet.SGD(model.parameters())
        Trainer(model, F.mean_squared_error, xpnet.SGD(list(model.parameters())))
