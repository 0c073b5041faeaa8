"""One contract for all layers: each row of cases.py, on every backend."""

import copy
import importlib
import pickle
import re
import sys

import numpy as np
import pytest

import xpnet
from tests.layers.cases import LAYERS, Integers
from xpnet import Add, Layer, ShapeError, Variable, functions as F, gradients, to_numpy, using
from xpnet.kernels.bounds import require_within_on_host
from xpnet.layers import Buffer, Dropout
from xpnet.saving.safetensors import load, save
from xpnet.testing import assert_close

# The function of the same name hides the module in `xpnet.functions`.
embedding_module = importlib.import_module("xpnet.functions.embedding")
each_layer = pytest.mark.parametrize("name", LAYERS)
WITH_STATE = [name for name, case in LAYERS.items() if list(case.layer()._state())]
WITH_WRONG = [name for name, case in LAYERS.items() if case.wrong]


def inputs(case, array, seed=0, **sizes):
    """The case's inputs on the backend: floating-point ones in its dtype."""
    return [array(host.tolist()) for host in case.hosts(seed, **sizes)]


def as_tuple(y):
    return y if isinstance(y, tuple) else (y,)


def weights_for(ys, array):
    """For each output different numbers, as `dout`."""
    rng = np.random.default_rng(1)
    return tuple(array(rng.uniform(0.5, 1.5, tuple(y.shape)).tolist()) for y in ys)


def trained(case, array):
    """A layer after a step, whose buffers have changed."""
    layer = case.layer()
    layer(*inputs(case, array, seed=5))
    return layer


def state_of(layer):
    """Copies on the host: libraries may change arrays in place."""
    return {name: to_numpy(x).copy() for name, x in layer.state_dict().items()}


def test_every_layer_is_in_the_table():
    """The layers that xpnet.layers exports, without the base class."""
    exported = {
        value
        for value in vars(xpnet.layers).values()
        if isinstance(value, type) and issubclass(value, Layer) and value is not Layer
    }
    assert {type(case.layer()) for case in LAYERS.values()} == exported


def test_every_layer_with_sizes_names_wrong_shapes():
    """The layers without sizes take all shapes, or are containers, whose layers raise the error."""
    silent = {type(c.layer()).__name__ for n, c in LAYERS.items() if n not in WITH_WRONG}
    silent -= {type(LAYERS[n].layer()).__name__ for n in WITH_WRONG}
    anything = {"Add", "Multiply", "Embedding", "Dropout"}
    activations = {f.__name__ for f in xpnet.layers.activation.BY_NAME.values()}
    containers = {"Sequential", "MLP", "Residual", "TransformerEncoder"}
    assert silent == anything | activations | containers | {"Softmax", "LogSoftmax"}


def by_steps(case, mode, array):
    """The lessons' style: the outputs, and the gradients of inputs and parameters in a row."""
    layer = getattr(case.layer(), mode)()
    ys = layer.forward(*inputs(case, array))
    douts = weights_for(as_tuple(ys), array)
    dxs = layer.backward(douts if isinstance(ys, tuple) else douts[0])
    dxs = () if dxs is None else as_tuple(dxs)
    if isinstance(layer, Add):
        dxs *= 2  # one gradient is that of both
    return as_tuple(ys), [*dxs, *(p.grad for p in layer.parameters())]


def in_training_on_jax(backend, mode):
    """Most layers do the same in both modes, and JAX compiles each function for each shape."""
    if mode == "eval" and backend.name.startswith("jax"):
        pytest.skip("on JAX evaluation is asked for in float32 alone")


@pytest.mark.usefixtures("sampled")
@pytest.mark.parametrize("mode", ["train", "eval"])
@each_layer
def test_the_lessons_style_equals_the_tape(backend64, array, name, mode):
    """Value, input gradients and parameter gradients, both ways of use; float64 stays float64."""
    in_training_on_jax(backend64, mode)
    case = LAYERS[name]
    ys, grads = by_steps(case, mode, array)
    layer = getattr(case.layer(), mode)()
    variables = [Variable(x) for x in inputs(case, array)]
    called = as_tuple(layer(*variables))
    leaves = [v for v in variables if v.requires_grad]
    douts = weights_for(called, array)
    total = sum(F.sum(y * dout) for y, dout in zip(called, douts, strict=True))
    found = gradients(total, [*leaves, *layer.parameters()])
    for y, expected in zip(ys, called, strict=True):
        assert type(y) is type(variables[0].data)
        assert y.dtype == backend64.dtype
        assert_close(y, expected, rtol=1e-13, atol=1e-15)
    for g, expected in zip(grads, found, strict=True):
        assert isinstance(g, type(variables[0].data))
        assert g.dtype == backend64.dtype
        assert_close(g, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("mode", ["train", "eval"])
@each_layer
def test_every_library_computes_what_numpy_does(backend64, array, name, mode):
    """One seed, one network: NumPy's numbers, which test_against_torch.py compares with PyTorch's.

    Relative to the largest; what cancels altogether is held to what goes in, which is about 1.
    """
    if backend64.name.startswith("numpy"):
        pytest.skip("NumPy is what the others are compared with")
    in_training_on_jax(backend64, mode)
    ys, grads = by_steps(LAYERS[name], mode, array)
    with using("numpy", dtype="float64") as host:
        plain_ys, plain_grads = by_steps(LAYERS[name], mode, host.asarray)
    for found, expected in zip([*ys, *grads], [*plain_ys, *plain_grads], strict=True):
        largest = float(np.max(np.abs(expected), initial=1.0))
        assert_close(found, expected, rtol=0.0, atol=1e-10 * largest)


@pytest.mark.usefixtures("eager")
@each_layer
def test_second_derivatives(backend64, array, name):
    """The gradients of all inputs and parameters at once, along one direction, against differences.

    What is differentiated again is the squared length of the gradient.
    """
    case, rng = LAYERS[name], np.random.default_rng(7)
    layer = case.layer().train("train" in case.modes)
    hosts = case.hosts(3)
    numbers = [h for h in hosts if h.dtype.kind == "f"] + [
        to_numpy(p.data) + 0.3 * rng.normal(size=p.shape) for p in layer.parameters()
    ]
    direction = [rng.normal(size=x.shape) for x in numbers]

    def squared_length(step):
        moved = iter(
            [array((x + step * v).tolist()) for x, v in zip(numbers, direction, strict=True)]
        )
        xs = [Variable(next(moved) if h.dtype.kind == "f" else array(h.tolist())) for h in hosts]
        for p in layer.parameters():
            p.data = next(moved)
        leaves = [*(x for x in xs if x.requires_grad), *layer.parameters()]
        total = sum(F.sum(F.sin(y)) for y in as_tuple(layer(*xs)))
        found = gradients(total, leaves, create_graph=True)
        return sum(F.sum(g * g) for g in found), leaves

    value, leaves = squared_length(0.0)
    found = gradients(value, leaves)
    shares = [(to_numpy(g) * v).sum() for g, v in zip(found, direction, strict=True)]
    up, down = (to_numpy(squared_length(step)[0]) for step in (1e-5, -1e-5))
    scale = sum(np.abs(to_numpy(g) * v).sum() for g, v in zip(found, direction, strict=True))
    assert_close((up - down) / 2e-5, sum(shares), rtol=0.0, atol=1e-7 * max(1.0, scale))


def draws(layer):
    """Whether a layer draws random numbers: while JAX traces it, that is an error."""
    return any(isinstance(inner, Dropout) and inner.p for inner in [layer, *layer.sublayers()])


def computed(f, *arrays):
    return f(*arrays)


@each_layer
def test_float32_stays_float32(backend, array, traced, name):
    """Values, gradients and buffers; on `no_float64` anything else raises."""
    layer = LAYERS[name].layer()
    run = computed if draws(layer) else traced

    def step(*xs):
        ys = layer.forward(*xs)
        douts = weights_for(as_tuple(ys), array)
        dxs = layer.backward(douts if isinstance(ys, tuple) else douts[0])
        dxs = () if dxs is None else as_tuple(dxs)
        numbers = [b.data for _, b in layer.named_buffers() if b.data.ndim]
        return [*as_tuple(ys), *dxs, *(p.grad for p in layer.parameters()), *numbers]

    for x in run(step, *inputs(LAYERS[name], array)):
        assert x.dtype == backend.dtype


@pytest.fixture
def no_way_to_the_host(backend, monkeypatch):
    """From here on, an array that leaves its device is an error; but indices are checked on the host."""
    checks = []  # those that are running

    def refusing(read):
        def refuse(x, *args, **kwargs):
            is_on_the_host = isinstance(x, np.ndarray) and "numpy" not in backend.name
            if checks or is_on_the_host:  # on the host: a mask on its way to the device
                return read(x, *args, **kwargs)
            raise AssertionError(f"{type(x).__name__} on its way to the host")

        return refuse

    def check(*args):
        checks.append(args)
        try:
            require_within_on_host(*args)
        finally:
            checks.pop()

    def close():
        monkeypatch.setattr(embedding_module, "require_within_on_host", check)
        for module in [m for n, m in sys.modules.items() if n.partition(".")[0] == "xpnet"]:
            if getattr(module, "to_numpy", None) is to_numpy:
                monkeypatch.setattr(module, "to_numpy", refusing(to_numpy))
        if backend.name.startswith("torch"):
            import torch

            for method in ("__array__", "__bool__", "__float__", "__int__", "item", "numpy"):
                monkeypatch.setattr(torch.Tensor, method, refusing(getattr(torch.Tensor, method)))

    return close


@each_layer
def test_a_step_copies_nothing_to_the_host(backend, array, traced, no_way_to_the_host, name):
    """On array-api-strict's devices a hidden transfer raises an error, as it does when JAX traces."""
    case = LAYERS[name]
    layer = case.layer()

    def step(*xs):
        layer(*xs)  # what is made once, is made
        no_way_to_the_host()
        ys = as_tuple(layer(*(Variable(x) for x in xs)))
        total = sum(F.sum(y * y) for y in ys)
        if total.requires_grad:
            total.backward()
        layer.eval()
        layer(*xs)

    run = computed if draws(layer) else traced
    run(step, *inputs(case, array))


@pytest.mark.usefixtures("eager")
@each_layer
def test_evaluation_is_repeatable(backend, array, name):
    """The same twice, and no state changes; `train()` goes back."""
    case = LAYERS[name]
    layer, xs = trained(case, array), inputs(case, array)
    assert layer.eval() is layer
    assert not any(inner.training for inner in layer.sublayers())
    before = state_of(layer)
    first, second = as_tuple(layer(*xs)), as_tuple(layer(*xs))
    for a, b in zip(first, second, strict=True):
        assert to_numpy(a).tolist() == to_numpy(b).tolist()
    for key, value in state_of(layer).items():
        assert (value == before[key]).all()
    layer.train()
    assert all(inner.training for inner in layer.sublayers())


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", WITH_STATE)
def test_state_goes_round(backend, array, tmp_path, name):
    """Into another layer of the same form, as arrays and through a file: it computes the same."""
    case = LAYERS[name]
    first, xs = trained(case, array).eval(), inputs(case, array)
    expected = as_tuple(first(*xs))
    save(first, tmp_path / "layer.safetensors")
    by_state, by_file = case.layer().eval(), case.layer().eval()
    for other in (by_state, by_file):
        for _, holder in other._state():
            holder.data = holder.data * 0
    by_state.load_state_dict(first.state_dict())
    load(by_file, tmp_path / "layer.safetensors")
    for other in (by_state, by_file):
        for y, wanted in zip(as_tuple(other(*xs)), expected, strict=True):
            assert to_numpy(y).tolist() == to_numpy(wanted).tolist()
        for key, value in state_of(first).items():
            assert (to_numpy(other.state_dict()[key]) == value).all()
            assert other.state_dict()[key].dtype == first.state_dict()[key].dtype


@pytest.mark.usefixtures("eager")
@each_layer
def test_repr_names_class_and_sizes(backend, array, name):
    """Never an address; and no state, which would be pages."""
    case = LAYERS[name]
    layer = case.layer()
    text = repr(layer)
    assert text.startswith(f"{type(layer).__name__}(")
    assert text.endswith(")")
    assert not re.search(r"0x[0-9a-f]{6}| object at |array\(|tensor\(|Parameter", text)
    if name in WITH_STATE:
        assert re.search(r"\d", text)
    trained(case, array)
    assert repr(layer) == text


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", WITH_WRONG)
def test_wrong_shapes_are_errors(backend, array, name):
    """Where, what was expected, and what was given."""
    layer = LAYERS[name].layer()
    for shape, expected in LAYERS[name].wrong:
        with pytest.raises(ShapeError) as caught:
            layer(zeros(shape))
        message = str(caught.value)
        assert message.startswith(f"{layer!r} expected ")
        assert expected in message
        assert f"got {shape}" in message


def zeros(shape):
    """On the backend in force."""
    return F.zeros(shape).data


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", WITH_WRONG)
def test_an_input_that_is_not_an_array_is_an_error(backend, name):
    """A list is an error that says how to make an array of it, not an AttributeError."""
    with pytest.raises((TypeError, ShapeError), match="expected x of .*got a list; .*asarray"):
        LAYERS[name].layer()([[1.0, 2.0]])


@pytest.mark.parametrize("target", ["numpy", "array_api_strict:device2"])
@pytest.mark.parametrize("name", WITH_STATE)
def test_to_moves_all_state(backend, array, name, target):
    """Parameters and buffers; there it computes what it did here."""
    if backend.name.startswith("jax") and target != "numpy":
        pytest.skip("JAX compiles each function for each shape; there, one target is enough")
    case = LAYERS[name]
    layer = trained(case, array).eval()
    expected = as_tuple(layer(*inputs(case, array)))
    assert layer.to(target) is layer
    with using(target) as there:
        home = type(there.asarray(0.0))
        assert all(type(x) is home for x in layer.state_dict().values())
        xs = [there.asarray(host.tolist()) for host in case.hosts()]
        for y, wanted in zip(as_tuple(layer(*xs)), expected, strict=True):
            assert_close(y, to_numpy(wanted), rtol=1e-5, atol=1e-6)
        ys = as_tuple(layer.train()(*xs))
        sum(F.sum(y * y) for y in ys).backward()
        assert all(isinstance(p.grad, home) for p in layer.parameters())


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    "again",
    [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))],
    ids=["deepcopy", "pickle"],
)
@each_layer
def test_copies_are_whole_and_their_own(backend, array, name, again):
    """A copy computes the same, draws the same, and learns for itself."""
    case = LAYERS[name]
    layer, xs = trained(case, array), inputs(case, array)
    layer.forward(*xs)
    other = again(layer)
    assert repr(other) == repr(layer)
    before = state_of(layer)
    for a, b in zip(as_tuple(other(*xs)), as_tuple(layer(*xs)), strict=True):
        assert to_numpy(a).tolist() == to_numpy(b).tolist()
    before = state_of(layer)
    for p in other.parameters():
        p.data = p.data + 1.0
    other(*xs)
    for key, value in state_of(layer).items():
        assert (value == before[key]).all()
    mine = [layer, *layer.sublayers(), *layer.parameters()]
    theirs = [other, *other.sublayers(), *other.parameters()]
    for a, b in zip(mine, theirs, strict=True):
        assert type(a) is type(b)
        assert a is not b


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", [name for name, case in LAYERS.items() if case.batch is not None])
def test_an_empty_batch_is_no_error(backend, array, name):
    """The output is an empty batch, and the gradients of the parameters are zeros."""
    case = LAYERS[name]
    layer = case.layer().eval()
    specs = case.inputs(case.at(n=0))
    xs = [
        backend.asarray(np.zeros(s.shape, int)) if isinstance(s, Integers) else zeros(s)
        for s in specs
    ]
    ys = as_tuple(layer(*(Variable(x) for x in xs)))
    full = as_tuple(layer(*inputs(case, array)))
    for y, whole in zip(ys, full, strict=True):
        shape = list(whole.shape)
        shape[case.batch] = 0
        assert list(y.shape) == shape
    total = sum(F.sum(y * y) for y in ys)
    if total.requires_grad:
        total.backward()
    for p in layer.parameters():
        assert p.grad is None or (to_numpy(p.grad) == 0.0).all()


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", WITH_STATE)
def test_buffers_are_not_learned(backend, array, name):
    """A training step records nothing through them: they are plain arrays before and after."""
    layer = trained(LAYERS[name], array)
    layer(*(Variable(x) for x in inputs(LAYERS[name], array)))
    for _, buffer in layer.named_buffers():
        assert isinstance(buffer, Buffer)
        assert not isinstance(buffer.data, Variable)
