"""What every layer can do, whatever it computes."""

import pickle
from contextlib import nullcontext

import numpy as np
import pytest

import xpnet
from xpnet import (
    MLP,
    Add,
    Affine,
    Flatten,
    GradientError,
    Layer,
    Multiply,
    Parameter,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    StateError,
    Tanh,
    Variable,
    functions as F,
    gradients,
    no_grad,
    to_numpy,
    using,
)
from xpnet.autodiff import tree
from xpnet.layers import Buffer
from xpnet.layers.hooks import watching
from xpnet.testing import assert_close, numerical_gradient

X = [[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]]
LAYERS = {
    "Affine": lambda: Affine(3, 2, rng=0),
    "Affine without bias": lambda: Affine(3, 2, bias=False, rng=0),
    "ReLU": ReLU,
    "Sigmoid": Sigmoid,
    "Tanh": Tanh,
    "Softmax": Softmax,
    "Softmax of axis 0": lambda: Softmax(dim=0),
    "Flatten": Flatten,
    "Sequential": lambda: Sequential(Affine(3, 4, rng=0), Tanh(), Affine(4, 2, rng=1)),
    "MLP": lambda: MLP(3, [4, 3], 2, activation="sigmoid", rng=0),
    "Add": Add,
    "Multiply": Multiply,
}


def inputs_of(name):
    """Most layers take one input; the graph's nodes take two."""
    return [X, [[2.0, 0.5, -1.0], [3.0, 1.0, 0.25]]] if name in ("Add", "Multiply") else [X]


@pytest.mark.parametrize("name", LAYERS)
def test_called_and_step_by_step_agree(backend64, array, name):
    """One contract for all: value, input gradients, parameter gradients, both ways of use."""
    layer, xs = LAYERS[name](), [array(x) for x in inputs_of(name)]
    y = layer.forward(*xs)
    assert type(y) is type(xs[0])
    dout = array((to_numpy(y) * 0 + 1.5).tolist())
    dxs = layer.backward(dout)
    dxs = dxs if isinstance(dxs, tuple) else (dxs,) * len(xs)  # Add's is that of both
    stepwise = [p.grad for p in layer.parameters()]

    variables = [Variable(x) for x in xs]
    called = layer(*variables)
    assert_close(called, y, rtol=1e-15)
    found = gradients(called, [*variables, *layer.parameters()], dout)
    for g, expected in zip([*dxs, *stepwise], found, strict=True):
        assert isinstance(g, type(xs[0]))
        assert_close(g, expected, rtol=1e-14, atol=1e-16)
    for i, x in enumerate(xs):

        def weighted(z, i=i):
            return F.sum(layer(*(z if j == i else xs[j] for j in range(len(xs)))) * dout)

        assert_close(dxs[i], numerical_gradient(weighted, x), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", LAYERS)
def test_float32_stays_float32(backend, array, traced, name):
    """Values and gradients have the dtype of the data; on `no_float64` anything else raises."""
    layer = LAYERS[name]()

    def step(*xs):
        return layer.forward(*xs), layer.backward(1.0), [p.grad for p in layer.parameters()]

    for x in tree.leaves(traced(step, *(array(x) for x in inputs_of(name)))):
        assert x.dtype == backend.dtype


@pytest.mark.parametrize("name", LAYERS)
def test_state_round_trip(backend, array, name):
    """A second layer of the same form, given the first one's state, computes the same."""
    first, second = LAYERS[name](), LAYERS[name]()
    for p in second.parameters():
        p.data = p.data * 0.0
    second.load_state_dict({k: to_numpy(v) for k, v in first.state_dict().items()})
    xs = [array(x) for x in inputs_of(name)]
    assert_close(second(*xs), first(*xs))


def test_step_by_step_through_a_network(backend64, array):
    """Forward through the layers, backward through them reversed: the tape's gradients."""
    layers = [Affine(3, 4, rng=0), ReLU(), Affine(4, 2, rng=1), Softmax()]
    x = array(X)
    for layer in layers:
        x = layer.forward(x)
    dout = array([[1.0, 0.0], [0.0, 1.0]])
    d = dout
    for layer in reversed(layers):
        d = layer.backward(d)
    stepwise = [p.grad for layer in layers for p in layer.parameters()]
    model = Sequential(*layers)
    model.zero_grad()
    v = Variable(array(X))
    model(v).backward(dout)
    assert_close(d, v.grad, rtol=1e-13)
    for p, expected in zip(model.parameters(), stepwise, strict=True):
        assert_close(p.grad, expected, rtol=1e-13, atol=1e-16)


def test_backward_replaces_the_gradients_of_the_step_before(backend, array):
    """As in the lessons; also for a second backward of one step. zero_grad forgets them."""
    layer = Affine(3, 2, rng=0)
    for _ in range(2):
        layer.forward(array(X))
        layer.backward(1.0)
    assert_close(layer.bias.grad, [2.0, 2.0])
    layer.backward(3.0)
    assert_close(layer.bias.grad, [6.0, 6.0])
    layer.zero_grad()
    assert layer.weight.grad is layer.bias.grad is None
    layer.backward(1.0)
    assert_close(layer.bias.grad, [2.0, 2.0])


def test_dezeros_names_for_zero_grad_are_aliases(backend, array):
    layer = Affine(3, 2, rng=0)
    for forget in (layer.zero_grad, layer.cleargrads, layer.bias.zero_grad, layer.bias.cleargrad):
        layer(array(X)).backward(array([[1.0, 1.0]] * len(X)))
        assert layer.bias.grad is not None
        forget()
        assert layer.bias.grad is None


def test_layers_that_share_a_parameter_add_up_within_a_step(backend64, array):
    """As on the tape; and the next step starts from zero, without zero_grad."""
    first, second = Affine(3, 3, bias=False, rng=0), Affine(3, 3, bias=False, rng=1)
    second.weight = first.weight
    v = Variable(array(X))
    y = second(first(v))
    y.backward(y.data)
    expected = first.weight.grad
    for _ in range(3):
        y = second.forward(first.forward(array(X)))
        first.backward(second.backward(y))
        assert_close(first.weight.grad, expected, rtol=1e-13)


def test_backward_without_forward_is_an_error(backend):
    """The message says what to call first."""
    with pytest.raises(GradientError, match=r"ReLU\(\).backward: call ReLU.forward\(x\) first"):
        ReLU().backward(1.0)


def test_calling_a_layer_leaves_no_memory_in_it(backend, array):
    """Only step-by-step use makes a layer remember; a call keeps nothing alive."""
    layer = ReLU()
    layer(Variable(array(X)))
    with pytest.raises(GradientError):
        layer.backward(1.0)


class Doubling(Layer):
    """Calls its sublayers' forward, as some do, rather than the sublayers."""

    def __init__(self):
        self.first, self.last = Affine(3, 4, rng=0), Affine(4, 1, rng=1)

    def forward(self, x):
        return self.last.forward(self.first.forward(x))


def test_forward_inside_a_layer_records(backend, array):
    """No gradient is lost where a layer writes self.first.forward(x) for self.first(x)."""
    layer = Doubling()
    F.sum(layer(array(X))).backward()
    expected = to_numpy(layer.first.weight.grad)
    assert (expected != 0).all()
    layer.zero_grad()
    layer.forward(array(X))
    layer.backward(1.0)
    assert_close(layer.first.weight.grad, expected)


class Sum(Layer):
    """A layer with two inputs, each through the forward of a sublayer."""

    def __init__(self):
        self.first, self.second = Affine(3, 1, rng=0), Affine(3, 1, rng=1)

    def forward(self, x, z):
        return self.first.forward(x) + self.second.forward(z)


def test_forward_of_a_variable_and_an_array_records_both(backend, array):
    """An array that passes through a sublayer is not a step of the sublayer's own."""
    layer = Sum()
    F.sum(layer.forward(Variable(array(X)), array(X))).backward()
    assert_close(layer.second.weight.grad, layer.first.weight.grad)


class Halved(Affine):
    """Calls the forward of its base class."""

    def forward(self, x):
        return super().forward(x) * 0.5


@pytest.mark.parametrize("watched", [False, True])
def test_super_forward_is_not_a_second_call_of_the_layer(backend, array, watched):
    """`super().forward` is part of the same call: `watching` reports one call."""
    layer, above = Halved(3, 2, rng=0), Affine(3, 2, rng=0)
    calls = []
    by = watching([layer], lambda layer, xs, y: calls.append(layer)) if watched else nullcontext()
    with by:
        called = layer(array(X))
        stepwise = layer.forward(array(X))
    assert calls == [layer, layer][: 2 * watched]
    expected = 0.5 * to_numpy(above(array(X)))
    assert_close(called, expected)
    assert_close(stepwise, expected)


def test_integers_have_no_gradient(backend, array):
    """For an array and class numbers, backward returns the gradient of the array only."""

    class SoftmaxWithLoss(Layer):
        def forward(self, x, t):
            return F.softmax_cross_entropy(x, t)

    loss = SoftmaxWithLoss()
    loss.forward(array([[1.0, 1.0], [1.0, 1.0]]), array([0, 1]))
    assert_close(loss.backward(1), [[-0.25, 0.25], [0.25, -0.25]])


def test_recording_stops_under_no_grad(backend, array):
    """A model under no_grad gives a constant."""
    with no_grad():
        y = Affine(3, 2, rng=0)(array(X))
    assert not y.requires_grad


class Nest(Layer):
    """Parameters and layers in attributes, lists, tuples and dicts, one of them twice."""

    def __init__(self):
        self.scale = Parameter([1.0])
        self.stack = [Affine(2, 2, rng=0), {"inner": Affine(2, 1, rng=1)}]
        self.again = (self.stack[0],)
        self.number = 3

    def forward(self, x):
        return x * self.scale


def test_named_parameters(backend):
    """Names are paths; a shared parameter counts once, under its first name."""
    assert [name for name, _ in Nest().named_parameters()] == [
        "scale",
        "stack.0.weight",
        "stack.0.bias",
        "stack.1.inner.weight",
        "stack.1.inner.bias",
    ]


def test_layers_have_the_names_of_their_parameters():
    """Each once, also one that stands in two places."""
    shared = xpnet.ReLU()
    model = xpnet.Sequential(xpnet.MLP(2, 3, 2), shared, shared)
    shared.model = [model.layers[0]]
    found = dict(model.named_layers())
    assert list(found) == [
        "", "layers.0", "layers.0.layers.0", "layers.0.layers.1", "layers.0.layers.2", "layers.1",
    ]  # fmt: skip
    assert found[""] is model
    assert found["layers.1"] is shared


def test_train_and_eval_reach_every_layer(backend):
    """The switch is set on sublayers in containers too."""
    nest = Nest()
    assert nest.eval() is nest
    assert not any(layer.training for layer in nest.sublayers())
    nest.train()
    assert all(layer.training for layer in nest.sublayers())
    assert len(list(nest.sublayers())) == 4


def test_load_state_dict_refuses_what_does_not_fit(backend):
    """Missing and unknown names and wrong shapes; nothing is changed then."""
    layer = Affine(3, 2, rng=0)
    before = to_numpy(layer.weight).tolist()
    W, b = to_numpy(layer.weight) * 0, to_numpy(layer.bias)
    with pytest.raises(StateError, match=r"lacks \['bias'\] and has unknown \['c'\]"):
        layer.load_state_dict({"weight": W, "c": b})
    with pytest.raises(
        StateError, match=r"unknown \['0.bias', '0.weight'\]. .* see xpnet.saving.pytorch"
    ):
        Sequential(layer).load_state_dict({"0.weight": W, "0.bias": b})
    with pytest.raises(StateError, match=r"unknown \['other.weight'\]\.$"):
        layer.load_state_dict({"bias": b, "weight": W, "other.weight": W})
    with pytest.raises(
        StateError, match=r"weight of shape \(3, 2\), got \(2, 3\). .*saving.pytorch"
    ):
        layer.load_state_dict({"weight": W.T, "bias": b})
    with pytest.raises(
        StateError, match=r"Affine\(3 -> 2\): expected bias of shape \(2,\), got \(3,\)"
    ):
        layer.load_state_dict({"weight": W, "bias": to_numpy([1.0, 2.0, 3.0])})
    assert to_numpy(layer.weight).tolist() == before


def test_load_state_dict_refuses_complex_numbers(backend):
    """As half of each number would be lost."""
    layer = Affine(1, 2)
    W = to_numpy(layer.weight.data).copy()
    for x in (W + 1j, backend.asarray(W + 1j)):
        with pytest.raises(
            StateError, match="expected weight to be real, as .*float32, got .*complex"
        ):
            layer.load_state_dict({"weight": x, "bias": layer.bias.data})
    assert to_numpy(layer.weight.data).tolist() == W.tolist()


def test_load_state_dict_copies(backend):
    """What is loaded is not shared with the source."""
    source, layer = to_numpy([[1.0], [2.0], [3.0]]).copy(), Affine(3, 1, bias=False, rng=0)
    layer.load_state_dict({"weight": source})
    source[:] = 0.0
    assert_close(layer.weight, [[1.0], [2.0], [3.0]])
    assert layer.weight.dtype == backend.dtype


def test_load_state_dict_casts_single_numbers_too(backend):
    """For example the count of a BatchNorm that was trained on JAX, in 32 bits."""
    layer = xpnet.BatchNorm1d(2)
    for count in (np.asarray(3, "int32"), np.asarray(3.0)):
        layer.load_state_dict(layer.state_dict() | {"num_batches_tracked": count})
        assert int(layer.num_batches_tracked.data) == 3
        assert "int" in str(layer.num_batches_tracked.data.dtype)


@pytest.mark.parametrize("target", ["numpy", "array_api_strict:device2"])
def test_to_moves_the_parameters(backend, target):
    """The values stay, the library and device change, and training continues there."""
    layer = Affine(3, 2, rng=0)
    before = to_numpy(layer.weight).tolist()
    assert layer.to(target) is layer
    with using(target) as there:
        y = layer(there.asarray(X))
        F.sum(y).backward()
    assert to_numpy(layer.weight).tolist() == before
    assert isinstance(layer.weight.grad, type(there.asarray(0.0)))


def test_layer_without_forward_is_an_error(backend):
    """The message names the class."""

    class Empty(Layer):
        pass

    with pytest.raises(NotImplementedError, match="Empty defines no forward"):
        Empty().forward(1.0)


def test_reprs():
    """Layers show their shapes."""
    model = MLP(784, [256, 128], 10, rng=0)
    assert repr(model).splitlines() == [
        "MLP(",
        "  Affine(784 -> 256)",
        "  ReLU()",
        "  Affine(256 -> 128)",
        "  ReLU()",
        "  Affine(128 -> 10)",
        ")",
    ]
    assert repr(Affine(2, 1, bias=False, rng=0)) == "Affine(2 -> 1, bias=False)"
    assert repr(Softmax(dim=1)) == "Softmax(dim=1)"
    assert repr(Sequential()) == "Sequential()"
    assert xpnet.__version__.count(".") == 2


def test_the_repr_of_a_layer_of_ones_own_shows_the_layers_in_it(backend):
    """Layers are shown by name, in lists and dicts too; each shows the layers within itself."""
    nest = Nest()
    nest.last = Sequential(ReLU(), Sequential())
    assert repr(nest).splitlines() == [
        "Nest(",
        "  stack.0=Affine(2 -> 2)",
        "  stack.1.inner=Affine(2 -> 1)",
        "  again.0=Affine(2 -> 2)",
        "  last=Sequential(",
        "    ReLU()",
        "    Sequential()",
        "  )",
        ")",
    ]


class Halves(Layer):
    """Two outputs, and an option."""

    def __init__(self):
        self.factor = Parameter(2.0)

    def forward(self, x, *, shift=0.0):
        return x * self.factor, x + shift


def test_forward_may_come_from_a_class_that_is_no_layer(backend, array):
    """Called and step by step; a Layer without a forward stands in no other's way."""

    class Doubles:
        def forward(self, x):
            return 2.0 * x

    class Named(Layer):
        pass

    class Mixed(Doubles, Named):
        pass

    class Below(Named, ReLU):
        pass

    x = array([3.0])
    with pytest.raises(NotImplementedError, match="Named defines no forward"):
        Named()(x)
    for layer, slope in ((Mixed(), 2.0), (Below(), 1.0)):
        y = layer.forward(x)
        assert not isinstance(y, Variable)
        assert_close(y, [3.0 * slope])
        assert_close(layer.backward(array([1.0])), [slope])
        assert_close(layer(Variable(x)), y)


def assigned(kind, forward):
    kind.forward = forward


def patched(kind, forward):
    """As IPython's autoreload does: the function stays, and has the code of the new one."""
    kind.forward.__dict__.clear()
    closure = kind.forward.__code__.co_freevars
    assert closure  # which `__code__ =` requires the new code to have too
    namespace = dict.fromkeys(closure)
    exec(
        "def around({0}):\n    def forward(self, x):\n        {0}\n        return self.w * self.w * x\n"
        "    return forward".format(", ".join(closure)),
        namespace,
    )
    kind.forward.__code__ = namespace["around"](*closure).__code__


@pytest.mark.parametrize("replace", [assigned, patched])
def test_a_forward_that_is_replaced_is_the_one_that_is_called(backend, array, replace):
    """Also in a class that inherits it. `backward` refuses a step of the other one; from there on, step by step too."""

    class Base(Layer):
        def __init__(self):
            self.w = Parameter(2.0)

        def forward(self, x):
            return self.w * x

    class Net(Base):
        pass

    net = Net()
    x = array([3.0])
    assert to_numpy(net.forward(x)) == [6.0]
    replace(Base, lambda self, x: self.w * self.w * x)
    assert to_numpy(net(x).data) == [12.0]
    with pytest.raises(GradientError, match="was replaced.*call Net.forward.* again"):
        net.backward(x)
    assert to_numpy(net.forward(x)) == [12.0]
    assert to_numpy(net.backward(array([1.0]))) == [4.0]
    assert "forward" not in vars(Net)


def test_a_reload_of_a_base_class_reaches_its_subclasses(backend, array):
    """IPython's superreload gives the old function all that the new one has, but its closure."""

    class Base(Layer):
        def forward(self, x):
            return 2.0 * x

    class Net(Base):
        def forward(self, x):
            return super().forward(x) + 1.0

    class Reloaded(Layer):
        def forward(self, t, x):
            return 5.0 * t * x

    x = array([3.0])
    assert to_numpy(Net().forward(x)) == [7.0]
    old, new = Base.forward, Reloaded.forward
    old.__code__ = new.__code__
    old.__dict__ = new.__dict__
    Net.forward = lambda self, t, x: super(Net, self).forward(t, x) + 1.0
    assert to_numpy(Net()(x, x)) == [46.0]  # arrays, as Net has no parameters
    layer = Base()
    assert to_numpy(layer.forward(x, x)) == [45.0]
    assert to_numpy(layer.backward(array([1.0]))) == [15.0]  # by x, and not by the target


def test_a_forward_of_one_layer_is_an_error():
    """A call would not use it."""
    layer = Tanh()
    with pytest.raises(TypeError, match=r"method of the class Tanh.*set Tanh\.forward"):
        layer.forward = lambda x: x


def test_several_outputs_go_forward_and_back(backend, array):
    """The derivative of 3 * 2 x + 5 (x + 1) by x is 11; by the factor, it is 3 * the sum of x."""
    layer, x = Halves(), array([1.0, 2.0])
    y, z = layer.forward(x, shift=1.0)
    assert not isinstance(y, Variable)
    assert_close(z, [2.0, 3.0])
    dx = layer.backward((array([3.0, 3.0]), array([5.0, 5.0])))
    assert_close(dx, [11.0, 11.0])
    assert_close(layer.factor.grad, 9.0)


def test_a_text_that_gives_arrays_is_handed_on(backend, array):
    class Step(Layer):
        def forward(self, x):
            return F.floor(x).data

    y = Step().forward(array([1.5]))
    assert_close(y, [1.0])


def test_backward_does_not_use_an_older_forward(backend, array):
    layer = Affine(2, 1, rng=0)
    layer.forward(array([[1.0, 2.0]]))
    layer.forward(Variable(array([[1.0, 2.0]])))
    with pytest.raises(GradientError, match="first"):
        layer.backward(array([[1.0]]))


def test_frozen_parameters_are_left_alone_by_backward(backend, array):
    layer = Affine(2, 1, rng=0)
    layer.bias.requires_grad = False
    layer.forward(array([[1.0, 2.0]]))
    layer.backward(array([[1.0]]))
    assert layer.bias.grad is None
    assert_close(layer.weight.grad, [[1.0], [2.0]])


def test_a_layer_without_forward_raises_an_error(backend, array):
    class Empty(Layer):
        pass

    for use in (Empty(), Empty().forward):
        with pytest.raises(NotImplementedError, match="Empty defines no forward"):
            use(array([1.0]))


def test_an_error_has_a_note_that_names_the_innermost_layer(backend, array):
    """The note names the innermost layer, after the function; the library's own message does not."""

    class Wrong(Layer):
        def forward(self, x):
            return F.reshape(x, (7, 7))

    with pytest.raises(Exception) as caught:  # noqa: PT011 - each library has its own
        Sequential(Wrong())(array([[1.0]]))
    function, layer = caught.value.__notes__
    assert function.startswith("Reshape was given an array of float32, shape (1, 1), on ")
    assert layer == "in Wrong()"


def test_a_moved_model_forgets_its_gradients_and_can_be_trained(backend):
    """Also where the library that it comes from shares read-only memory, as JAX does."""
    model = Affine(2, 1, rng=0)
    model(Variable([[1.0, 2.0]])).backward()
    with using("numpy"):
        model.to("numpy")
        assert model.weight.grad is None
        optimizer = xpnet.SGD(model.parameters(), lr=1.0)
        before = model.weight.data.copy()
        model(Variable([[1.0, 2.0]])).backward()
        optimizer.step()
        assert_close(model.weight, before - [[1.0], [2.0]], rtol=1e-6)


def test_sequential_takes_layers():
    with pytest.raises(TypeError, match=r"got a list; for a list, write Sequential\(\*layers\)"):
        Sequential([xpnet.ReLU()])


def test_several_gradients_must_have_the_outputs_shapes(backend, array):
    """Gradients do not broadcast; None stands for an output that does not count."""
    layer = Halves()
    layer.forward(array([1.0, 2.0]))
    with pytest.raises(xpnet.ShapeError, match=r"Expected gy of shape \(2,\), got \(2, 1\)"):
        layer.backward((array([[1.0], [1.0]]), array([1.0, 1.0])))
    assert_close(layer.backward((array([1.0, 1.0]), None)), [2.0, 2.0])
    for dout in (array([1.0, 1.0]), 1.0, (array([1.0, 1.0]),), (None, None)):
        with pytest.raises(GradientError, match=r"Halves\(\).backward expected a tuple of 2 grad"):
            layer.backward(dout)


def test_an_array_passed_by_name_is_an_error_step_by_step(backend, array):
    with pytest.raises(TypeError, match="pass x by position"):
        Affine(2, 1, rng=0).forward(x=array([[1.0, 2.0]]))
    x, shift = Variable(array([1.0, 2.0])), Variable(array([3.0, 5.0]))
    F.sum(Scaled().forward(x, shift=shift)).backward()  # the tape does
    assert_close(shift.grad, [1.0, 1.0])


class Child(Layer):
    """A layer that holds the layer that holds it, and has attributes with common names."""

    def __init__(self, parent):
        self.parent = parent
        self.inner = Affine(3, 2, rng=0)
        self._step = 7

    def forward(self, x):
        return self.inner(x)


def test_a_layer_may_hold_the_layer_that_holds_it(backend):
    """Each parameter, buffer and layer comes once, and the repr ends."""
    parent = Sequential()
    parent.append(Child(parent))
    names = {"layers.0.inner.weight", "layers.0.inner.bias"}
    assert {name for name, _ in parent.named_parameters()} == names
    assert [name for name, _ in parent.named_layers()] == ["", "layers.0", "layers.0.inner"]
    assert "inner=Affine(3 -> 2)" in repr(parent)
    assert not any(layer.training for layer in parent.eval().sublayers())
    again = pickle.loads(pickle.dumps(parent))
    assert again[0].parent is again


def test_the_last_step_collides_with_no_attribute(backend):
    layer = Child(None)
    layer.backward(layer.forward(backend.asarray(X)))
    assert layer._step == 7
    assert pickle.loads(pickle.dumps(layer))._step == 7


def test_a_layer_is_pickled_without_its_last_step(backend):
    """A tape cannot be, and is not what the layer has learned."""
    with using("numpy") as numpy:
        layer = xpnet.Tanh()
        layer.forward(numpy.asarray([1.0]))
        with pytest.raises(GradientError, match="first"):
            pickle.loads(pickle.dumps(layer)).backward(1.0)


def test_layer_and_data_of_two_precisions(backend64, array):
    """The error says how to convert: else the product, and all that follows, would be float64."""
    layer = Affine(2, 1, rng=0)
    x = array([[1.0, 2.0]], "float32")
    for given in (Variable(x), x):
        with pytest.raises(TypeError, match="expected .*dtype float64, got float32. Use F.ast"):
            layer(given)
    y = layer(F.astype(x, backend64.dtype))
    assert y.dtype == backend64.dtype


class Counter(xpnet.Layer):
    """It counts what it has seen, and draws."""

    def __init__(self):
        self.weight = Parameter([2.0])
        self.seen = Buffer(xpnet.current().asarray([0.0]))
        self.rng = np.random.default_rng(0)

    def forward(self, x):
        self.seen.data = self.seen.data + 1.0
        return self.weight * x


def test_buffers_are_saved_and_moved_but_never_learn(backend, array):
    """They are in state_dict under their names; parameters() has them not."""
    model = xpnet.Sequential(Counter(), Counter())
    model(array([1.0]))
    assert [name for name, _ in model.named_buffers()] == ["layers.0.seen", "layers.1.seen"]
    assert len(list(model.parameters())) == 2
    state = {name: to_numpy(x).copy() for name, x in model.state_dict().items()}
    assert state["layers.1.seen"].tolist() == [1.0]
    other = xpnet.Sequential(Counter(), Counter())
    other.load_state_dict(state)
    assert_close(other[1].seen.data, [1.0])
    with pytest.raises(StateError, match="layers.1.seen"):
        other.load_state_dict({k: v for k, v in state.items() if k != "layers.1.seen"})
    model.to("numpy")
    assert isinstance(model[0].seen.data, np.ndarray)


def test_named_generators_finds_the_generators_of_layers(backend):
    """By name, one that two layers share once: a checkpoint keeps where they are."""
    model = xpnet.Sequential(Counter(), Counter())
    assert [n for n, _ in model.named_generators()] == ["layers.0.rng", "layers.1.rng"]
    model[1].rng = model[0].rng
    assert [n for n, _ in model.named_generators()] == ["layers.0.rng"]


class Scaled(xpnet.Layer):
    """An input that may be left out."""

    def forward(self, x, factor=None, shift=None):
        x = x if factor is None else F.multiply(x, factor)
        return x if shift is None else F.add(x, shift)


def test_none_means_that_an_input_is_left_out(backend, array):
    """Step by step as in a call; only the given inputs have gradients."""
    layer, x, shift = Scaled(), array([1.0, 2.0]), array([3.0, 5.0])
    assert_close(layer.forward(x, None, shift), [4.0, 7.0])
    dx, dshift = layer.backward(array([1.0, 10.0]))
    assert_close(dx, [1.0, 10.0])
    assert_close(dshift, [1.0, 10.0])


# --- what has a gradient, step by step ------------------------------------------------------------


def test_the_summands_of_one_shape_have_one_gradient(backend64, array):
    node = Add()
    node.forward(array([1.0, 2.0]), array([3.0, 4.0]))
    assert_close(node.backward(array([5.0, 6.0])), [5.0, 6.0])
    node.forward(array([[1.0, 2.0]]), array([3.0, 4.0]))
    dx1, dx2 = node.backward(array([[5.0, 6.0]]))
    assert dx1.shape == (1, 2)
    assert dx2.shape == (2,)


def test_a_backward_that_the_tape_would_not_call_is_refused():
    """As in the book, where each layer has one: `loss.backward()` would leave it out without a word."""
    with pytest.raises(
        TypeError, match=r"Swish expected no backward.* a subclass of xpnet\.Function"
    ):

        class Swish(Layer):
            def forward(self, x):
                return x * F.sigmoid(x)

            def backward(self, dout):
                return 2.0 * dout

    class WithBackward:
        def backward(self, dout):
            return 2.0 * dout

    with pytest.raises(xpnet.ArgumentTypeError, match="Inherited expected no backward"):

        class Inherited(WithBackward, Layer):
            pass


def test_a_summand_of_integers_leaves_the_gradient_of_the_other():
    node = Add()
    node.forward(np.asarray([1.0, 2.0]), np.asarray([3, 4]))  # not every library adds these
    assert_close(node.backward(np.asarray([5.0, 6.0])), [5.0, 6.0])


class SquaredError(Layer):
    def forward(self, x, t):
        return F.mean((x - t) ** 2)


def test_a_target_of_floats_has_no_gradient_step_by_step(backend64, array):
    layer = SquaredError()
    layer.forward(array([1.0, 2.0]), array([0.0, 4.0]))
    assert_close(layer.backward(1), [1.0, -2.0])


def test_a_target_is_differentiated_when_the_layer_is_called(backend64, array):
    x, t = Variable(array([1.0, 2.0])), Variable(array([0.0, 4.0]))
    _, dt = gradients(SquaredError()(x, t), [x, t])
    assert_close(dt, [-1.0, 2.0])


def test_a_tuple_of_gradients_for_one_output_is_named_as_such(backend64, array):
    node, layer = Multiply(), SquaredError()
    node.forward(array(1.0), array(2.0))
    layer.forward(array([1.0]), array([2.0]))
    with pytest.raises(xpnet.GradientError, match="expected one gradient, got a tuple of 2"):
        layer.backward(node.backward(1))
