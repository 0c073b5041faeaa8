"""TorchLayer: a PyTorch module in a network of xpnet, with one set of weights."""

import copy
import gc
import pickle
import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import pytest

import xpnet
from xpnet import (
    Affine,
    ArgumentError,
    ArgumentTypeError,
    CompileError,
    GradientError,
    Sequential,
    StateError,
    Variable,
    functional_call,
    functions as F,
    gradients,
    no_grad,
)
from xpnet.adapters import TorchLayer, torch_module
from xpnet.layers._context import evaluating
from xpnet.saving import load_torch_state_dict, torch_state_dict
from xpnet.testing import assert_close
from xpnet.training import Trainer

torch = pytest.importorskip("torch", reason="PyTorch's modules are what is tested")
nn = torch.nn


@pytest.fixture(autouse=True)
def on_torch():
    torch.manual_seed(0)
    with xpnet.using("torch"):
        yield


def body():
    return nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Tanh())


def rows(n=7, features=3, dtype=torch.float32):
    return torch.asarray(np.random.default_rng(0).normal(size=(n, features)), dtype=dtype)


def test_values_and_gradients_are_those_of_pytorch_alone():
    module = body()
    alone = nn.Sequential(copy.deepcopy(module), nn.Linear(5, 2))
    model = Sequential(TorchLayer(module), Affine(5, 2))
    load_torch_state_dict(model[1], alone[1].state_dict())
    x = Variable(rows())
    loss = F.sum(model(x) ** 2)
    loss.backward()
    x_alone = rows().requires_grad_()
    loss_alone = (alone(x_alone) ** 2).sum()
    loss_alone.backward()
    assert_close(loss, loss_alone.detach(), rtol=1e-6)
    assert_close(x.grad, x_alone.grad, rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(module.parameters(), alone[0].parameters(), strict=True):
        assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(module.buffers(), alone[0].buffers(), strict=True):
        assert_close(ours, theirs)


def test_names_are_those_of_the_module():
    module = body()
    layer = TorchLayer(module)
    assert list(torch_state_dict(layer)) == list(module.state_dict())
    model = Sequential(layer)
    assert set(model.state_dict()) == {f"layers.0.{name}" for name in module.state_dict()}
    other = Sequential(TorchLayer(body()))
    other.load_state_dict(model.state_dict())
    assert_close(other(rows()), model(rows()))


def test_an_optimizer_of_either_side_makes_the_step():
    module = nn.Linear(3, 1)
    layer = TorchLayer(module)
    optimizers = xpnet.SGD(layer.parameters(), lr=0.1), torch.optim.SGD(module.parameters(), lr=0.1)
    for optimizer in optimizers:
        before = module.weight.detach().clone()
        optimizer.zero_grad()
        assert layer.weight.grad is None
        assert module.weight.grad is None
        F.sum(layer(rows())).backward()
        optimizer.step()
        assert_close(module.weight, before - 0.1 * rows().sum(dim=0), rtol=1e-5, atol=1e-6)
        assert layer.weight.data.data_ptr() == module.weight.data_ptr()


def test_all_optimizers_of_xpnet_move_the_module():
    for name, kind in xpnet.optimizers.BY_NAME.items():
        module = nn.Linear(3, 1)
        layer = TorchLayer(module)
        before = module.weight.detach().clone()
        optimizer = kind(layer.parameters(), lr=0.1)
        F.sum(layer(rows())).backward()
        optimizer.step()
        assert not torch.equal(module.weight, before), name


def test_gradients_add_up_and_are_not_shared():
    """PyTorch changes gradients in place: here by clipping, which would scale a shared one twice."""
    a, b = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    x = torch.ones(1, 1)
    for _ in range(2):
        F.sum(TorchLayer(a)(x) + TorchLayer(b)(x)).backward()
    assert_close(a.weight.grad, [[2.0]])
    nn.utils.clip_grad_norm_(a.parameters(), 1.0)
    assert_close(a.weight.grad, [[1.0]], rtol=1e-5)
    assert_close(b.weight.grad, [[2.0]])


def test_second_derivatives_are_pytorchs():
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh()).double()
    x = rows(dtype=torch.float64)
    v = torch.ones_like(x)
    layer = TorchLayer(module)
    ours = xpnet.hvp(lambda x: F.sum(layer(x) ** 3))(x, v)
    _, theirs = torch.autograd.functional.hvp(lambda x: (module(x) ** 3).sum(), x, v)
    assert_close(ours.data, theirs, rtol=1e-10)


def test_a_gradient_penalty_reaches_the_parameters():
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh()).double()
    layer = TorchLayer(module)
    x = Variable(rows(dtype=torch.float64))
    (slope,) = gradients(F.sum(layer(x)), [x], create_graph=True)
    F.sum(slope**2).backward()
    ours = module[0].weight.grad
    x = rows(dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(module(x).sum(), x, create_graph=True)
    (theirs,) = torch.autograd.grad((slope**2).sum(), module[0].weight)
    assert_close(ours, theirs, rtol=1e-10)


def test_dropout_is_drawn_once_for_all_derivatives():
    layer = TorchLayer(nn.Dropout(0.5))
    x = Variable(torch.ones(100))
    y = layer(x)
    (g,) = gradients(y, [x], torch.ones(100), create_graph=True)
    assert_close(g, y)


def test_grad_after_a_recorded_backward_is_a_variable():
    module = nn.Linear(1, 1).double()
    layer = TorchLayer(module)
    (F.sum(layer(torch.full((1, 1), 3.0, dtype=torch.float64))) ** 2).backward(create_graph=True)
    assert isinstance(layer.weight.grad, Variable)
    assert_close(module.weight.grad, layer.weight.grad.data)


def test_several_inputs_outputs_and_structures():
    module = nn.LSTM(3, 4, batch_first=True)
    layer = TorchLayer(module)
    x = Variable(torch.ones(2, 5, 3))
    start = (torch.zeros(1, 2, 4), torch.zeros(1, 2, 4))
    y, (h, c) = layer(x, start)
    assert all(isinstance(v, Variable) for v in (y, h, c))
    F.sum(c).backward()
    grad = module.weight_ih_l0.grad.clone()
    module.zero_grad()
    module(torch.ones(2, 5, 3))[1][1].sum().backward()
    assert_close(grad, module.weight_ih_l0.grad, rtol=1e-5, atol=1e-6)


def test_options_by_name_and_outputs_without_a_gradient():
    class Module(nn.Module):
        def forward(self, x, *, scale, name):
            return {"y": x * scale, "first": x.argmax(), "name": name}

    x = Variable(torch.asarray([1.0, 2.0]))
    scale = Variable(torch.asarray(3.0))
    found = TorchLayer(Module())(x, scale=scale, name="a")
    assert found["name"] == "a"
    assert not found["first"].requires_grad
    F.sum(found["y"]).backward()
    assert_close(scale.grad, 3.0)


def test_outputs_that_are_dicts_and_tuples_of_a_class_of_their_own():
    """As those of a Transformers model, and the packed sequences of an LSTM."""

    class Output(OrderedDict):
        def __getattr__(self, name):
            return self[name]

    class Module(nn.Module):
        def forward(self, x):
            return Output(logits=2.0 * x, hidden=(x,))

    x = Variable(torch.ones(3))
    y = TorchLayer(Module())(x)
    assert isinstance(y, Output)
    F.sum(y.logits).backward()
    assert_close(x.grad, [2.0, 2.0, 2.0])
    module = nn.LSTM(3, 4)
    packed = nn.utils.rnn.pack_sequence([torch.ones(3, 3), torch.ones(2, 3)])
    y, _ = TorchLayer(module)(packed)
    F.sum(y.data).backward()
    grad = module.weight_ih_l0.grad.clone()
    module.zero_grad()
    module(packed)[0].data.sum().backward()
    assert_close(grad, module.weight_ih_l0.grad)


@dataclass
class Held:
    """A tensor within an object, which is not a tree."""

    x: object


@pytest.mark.parametrize("wrap", [Held, lambda x: [Held([x])], lambda x: {"y": Held({"x": x})}])
def test_tensors_within_other_objects_are_an_error(wrap):
    """They would be tensors of PyTorch's graph alone, and have no gradients here."""

    class Module(nn.Module):
        def forward(self, x):
            return wrap(2.0 * x)

    layer = TorchLayer(Module())
    message = r"expected tensors, or tuples, lists and dicts of them, got a Held with tensors in it"
    for x in (Variable(torch.ones(3)), torch.ones(3)):
        with pytest.raises(ArgumentTypeError, match=message):
            layer(x)
    assert TorchLayer(Other())(torch.ones(3)).x == 1.0


class Other(nn.Module):
    """It returns an object without a tensor."""

    def forward(self, x):
        return Held(1.0)


@pytest.mark.parametrize("name", ["weight_norm", "spectral_norm"])
def test_parametrizations_of_the_module(name):
    """Also their buffers: the power iteration of spectral_norm goes on."""
    module = getattr(nn.utils.parametrizations, name)(nn.Linear(30, 20))
    alone = copy.deepcopy(module)
    layer = TorchLayer(module)
    x = rows(4, 30)
    for _ in range(3):
        module.zero_grad()
        alone.zero_grad()
        F.sum(layer(x) ** 2).backward()
        (alone(x) ** 2).sum().backward()
    for ours, theirs in zip(module.parameters(), alone.parameters(), strict=True):
        assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(module.buffers(), alone.buffers(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_compiled_module():
    module = torch.compile(nn.Linear(3, 2), backend="eager")
    layer = TorchLayer(module)
    assert [name for name, _ in layer.named_parameters()] == ["_orig_mod.weight", "_orig_mod.bias"]
    F.sum(layer(rows())).backward()
    assert_close(module.bias.grad, [7.0, 7.0])


def test_a_module_that_changes_its_input_is_an_error_of_pytorchs():
    model = Sequential(Affine(3, 4), TorchLayer(nn.ReLU(inplace=True)))
    with pytest.raises(RuntimeError, match="in-place operation"):
        model(rows())


def test_a_layer_in_a_module_in_a_layer():
    """Gradients and second derivatives through both borders."""
    with xpnet.using("torch", dtype="float64"):
        inner = Sequential(Affine(3, 4, rng=0), xpnet.Tanh())
    module = nn.Sequential(torch_module(inner), nn.Linear(4, 2).double())
    layer = TorchLayer(module)
    x = rows(dtype=torch.float64)
    v = torch.ones_like(x)
    ours = xpnet.hvp(lambda x: F.sum(layer(x) ** 3))(x, v)
    weight, bias = inner[0].weight.data, inner[0].bias.data

    def alone(x):
        return (module[1](torch.tanh(x @ weight + bias)) ** 3).sum()

    _, theirs = torch.autograd.functional.hvp(alone, x, v)
    assert_close(ours.data, theirs, rtol=1e-10)


@pytest.mark.parametrize("library", ["numpy", "jax"])
def test_a_model_of_another_library_is_an_error(library):
    pytest.importorskip(library, reason="the other library")
    with xpnet.using(library):
        model = Sequential(Affine(3, 3), TorchLayer(nn.Linear(3, 2)))
        x = xpnet.current().asarray(np.ones((2, 3), "float32"))
        with pytest.raises(ArgumentTypeError, match=r'expected a PyTorch tensor, .*use\("torch"\)'):
            model(x)


def test_a_training_with_a_module_is_saved_and_resumed():
    def trainer():
        body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        model = Sequential(TorchLayer(body), Affine(4, 1))
        return Trainer(model, F.mean_squared_error, xpnet.Adam(model.parameters(), lr=0.05), rng=0)

    x = rows(16)
    data = (x, x[:, :1])
    first = trainer()
    first.fit(data, epochs=1, batch_size=4)
    second = trainer()
    second.load_state_dict(first.state_dict())
    for each in (first, second):
        each.fit(data, epochs=2, batch_size=4)
    for name, p in first.model.state_dict().items():
        assert torch.equal(p, second.model.state_dict()[name]), name


def test_what_does_not_depend_on_an_input_has_the_gradient_zero():
    class Module(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = nn.Parameter(torch.ones(2))

        def forward(self, x):
            return 2.0 * x

    layer = TorchLayer(Module())
    F.sum(layer(Variable(torch.ones(3)))).backward()
    assert_close(layer.unused.grad, [0.0, 0.0])


def test_frozen_parameters_are_frozen_on_both_sides():
    module = nn.Linear(3, 1)
    module.weight.requires_grad_(False)
    layer = TorchLayer(module)
    assert not layer.weight.requires_grad
    F.sum(layer(rows())).backward()
    assert module.weight.grad is None
    assert module.bias.grad is not None


def test_a_tensor_in_two_places_is_one_parameter():
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].weight = module[0].weight
    layer = TorchLayer(module)
    assert [name for name, _ in layer.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    F.sum(layer(rows())).backward()
    grad = module[0].weight.grad.clone()
    module.zero_grad()
    module(rows()).sum().backward()
    assert_close(grad, module[0].weight.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["one module", "a part of it", "tied", "a layer and its module"])
def test_a_tensor_in_two_layers_is_one_parameter(kind):
    """So that an optimizer changes it once."""
    module = nn.Linear(3, 3, bias=False)
    if kind == "one module":
        model = Sequential(TorchLayer(module), TorchLayer(module))
    elif kind == "a part of it":
        model = Sequential(TorchLayer(nn.Sequential(module)), TorchLayer(module))
    elif kind == "tied":
        other = nn.Linear(3, 3, bias=False)
        other.weight = module.weight
        model = Sequential(TorchLayer(module), TorchLayer(other))
    else:
        layer = Affine(3, 3, bias=False)
        module = torch_module(layer)
        model = Sequential(layer, TorchLayer(module))
    (p,) = model.parameters()
    (tensor,) = module.parameters()
    before = tensor.detach().clone()
    F.sum(model(rows())).backward()
    xpnet.SGD([p], lr=0.1).step()
    assert_close(tensor, before - 0.1 * tensor.grad, rtol=1e-6)
    assert not torch.equal(tensor, before)


def test_train_and_eval_reach_the_module_and_come_from_it():
    module = body()
    model = Sequential(TorchLayer(module))
    assert not model.eval()[0].training
    assert not module[1].training
    module.train()
    assert model[0].training


def test_predict_evaluates_and_leaves_every_setting():
    """A part of the module that is frozen in evaluation stays so."""
    module = body()
    module[1].eval()
    model = Sequential(TorchLayer(module), Affine(5, 2))
    before = [m.training for m in module.modules()]
    state = copy.deepcopy(module.state_dict())
    trainer = Trainer(model, F.mean_squared_error, xpnet.SGD(model.parameters()))
    trainer.predict(rows())
    assert [m.training for m in module.modules()] == before
    assert torch.equal(module.state_dict()["1.running_mean"], state["1.running_mean"])


def test_a_trainer_runs_such_a_model_as_it_is_and_says_why():
    model = Sequential(TorchLayer(nn.Linear(3, 4)), xpnet.Tanh(), Affine(4, 1))
    trainer = Trainer(model, F.mean_squared_error, xpnet.Adam(model.parameters(), lr=0.05), rng=0)
    x = rows(64)
    history = trainer.fit((x, x[:, :1]), epochs=5, batch_size=16)
    assert history["train_loss"][-1] < 0.5 * history["train_loss"][0]
    assert "PyTorch" in trainer.learner.reason


def test_a_compiled_step_is_an_error_that_says_why():
    model = Sequential(TorchLayer(nn.Linear(3, 4)))
    optimizer = xpnet.SGD(model.parameters())

    @xpnet.compile
    def step(x):
        loss = F.sum(model(x))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    with pytest.raises(CompileError, match="PyTorch's own operations are not recorded"):
        step(rows())
    assert isinstance(model[0].module.weight, nn.Parameter)
    F.sum(model(rows())).backward()


def test_nothing_is_recorded_under_no_grad():
    layer = TorchLayer(nn.Linear(3, 1))
    with no_grad():
        y = layer(Variable(rows()))
    assert not y.requires_grad
    assert not y.data.requires_grad


def test_copies_and_pickles_are_whole():
    model = Sequential(TorchLayer(body()), Affine(5, 2))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert_close(other.eval()(rows()), model.eval()(rows()))
        inner = other[0].module
        assert inner is not model[0].module
        before = inner[0].weight.detach().clone()
        F.sum(other(rows())).backward()
        xpnet.SGD(other.parameters(), lr=0.1).step()
        assert not torch.equal(inner[0].weight, before)
        assert model[0].module[0].weight.grad is None


def test_a_module_that_is_converted_stays_linked():
    """`double()` gives the module other memory, and `load_state_dict` other numbers."""
    module = body()
    layer = TorchLayer(module)
    module.double()
    assert layer.state_dict()["0.weight"].dtype == torch.float64
    F.sum(layer(rows(dtype=torch.float64))).backward()
    assert module[0].weight.grad.dtype == torch.float64
    other = body().double()
    module.load_state_dict(other.state_dict())
    assert_close(layer(rows(dtype=torch.float64)), other(rows(dtype=torch.float64)).detach())


def test_data_may_be_assigned():
    module = nn.Linear(2, 1)
    layer = TorchLayer(module)
    layer.weight.data = torch.asarray([[5.0, 6.0]])
    assert_close(module.weight, [[5.0, 6.0]])
    layer.to("torch")
    assert_close(module.weight, [[5.0, 6.0]])
    with pytest.raises(ArgumentTypeError, match=r"expected a PyTorch tensor, got a numpy.ndarray"):
        layer.weight.data = np.ones((1, 2))


def test_a_model_that_cannot_move_stays_as_it_is():
    model = Sequential(Affine(2, 2), TorchLayer(nn.Linear(2, 1)))
    with pytest.raises(ArgumentError, match=r"(?s)layers.1.weight stays with torch.*to\('numpy'\)"):
        model.to("numpy")
    assert isinstance(model[0].weight.data, torch.Tensor)


def test_functional_call_passes_parameters_and_buffers_to_the_module():
    module = body()
    model = Sequential(TorchLayer(module), Affine(5, 2))
    before = copy.deepcopy(module.state_dict())
    state = {name: 0.5 * x for name, x in model.state_dict().items() if x.is_floating_point()}
    given = {name: x.clone() for name, x in state.items()}
    slopes = torch.func.grad(
        lambda p: functional_call(model, p, rows(), return_buffers=True)[0].sum()
    )({name: x for name, x in state.items() if "running" not in name})
    assert_close(slopes["layers.1.bias"], [7.0, 7.0])
    assert slopes["layers.0.0.weight"].abs().max() > 0
    _, buffers = functional_call(model, state, rows(), return_buffers=True)
    alone = copy.deepcopy(module)
    alone.load_state_dict({k: state.get(f"layers.0.{k}", x) for k, x in before.items()})
    alone(rows())
    assert_close(buffers["layers.0.1.running_mean"], alone[1].running_mean, rtol=1e-5, atol=1e-7)
    for name, x in state.items():
        assert torch.equal(x, given[name]), name
    for name, x in module.state_dict().items():
        assert torch.equal(x, before[name]), name


def test_an_average_of_weights_follows_the_module():
    module = nn.Linear(2, 1, bias=False)
    layer = TorchLayer(module)
    average = xpnet.optimizers.ExponentialMovingAverage(layer.parameters(), decay=0.5)
    first = module.weight.detach().clone()
    with torch.no_grad():
        module.weight += 2.0
    average.update()
    with average.applied():
        y = layer(torch.eye(2))
    assert_close(layer(torch.eye(2)), (first + 2.0).T)
    assert not torch.equal(y.data, (first + 2.0).T)


def test_two_threads_may_call_one_layer():
    """One of them evaluates: dropout stays on in the other."""
    layer = TorchLayer(nn.Dropout(0.5))
    x = torch.ones(1000)
    wrong = []

    def predict():
        for _ in range(100):
            with evaluating():
                if not torch.equal(layer(Variable(x)).data, x):
                    wrong.append("dropout in evaluation")

    def train():
        outputs = [layer(Variable(x)).data for _ in range(100)]
        wrong.extend("no dropout in training" for y in outputs if torch.equal(y, x))

    threads = [threading.Thread(target=predict), threading.Thread(target=train)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_graph_is_freed_with_its_last_variable():
    layer = TorchLayer(nn.Linear(3, 3))
    gc.collect()
    gc.disable()
    try:
        y = layer(Variable(rows()))
        alive = weakref.ref(y.creator)
        del y
        assert alive() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: torch.ones(2), ArgumentTypeError, r"expected a torch.nn.Module, got a Tensor"),
        (lambda: nn.DataParallel(nn.Linear(1, 1)), ArgumentError, r"Pass what is in it: TorchLayer\(module.module\)"),
        (lambda: nn.LazyLinear(3), ArgumentError, "weight has no shape yet. Call the module"),
        (lambda: Holding(module=torch.ones(1)), ArgumentError, "called module, which is a name of the layer"),
        (lambda: Holding(w=torch.ones(1, dtype=torch.complex64)), GradientError, r"real parameters, got w, torch.complex64"),
    ],
)  # fmt: skip
def test_modules_that_cannot_be_layers(make, error, message):
    with pytest.raises(error, match=message):
        TorchLayer(make())


class Holding(nn.Module):
    """A module with parameters of these names."""

    def __init__(self, **tensors):
        super().__init__()
        for name, x in tensors.items():
            setattr(self, name, nn.Parameter(x))

    def forward(self, x):
        return x


def test_an_array_of_another_library_is_an_error():
    layer = TorchLayer(nn.Linear(3, 1))
    with pytest.raises(
        ArgumentTypeError, match=r'expected a PyTorch tensor, got a numpy.ndarray.*use\("torch"\)'
    ):
        layer(np.ones((2, 3), "float32"))


def test_a_module_that_has_changed_is_an_error():
    module = nn.Sequential(nn.Linear(3, 1))
    layer = TorchLayer(module)
    module.append(nn.Linear(1, 1))
    with pytest.raises(StateError, match=r"added or removed, \['1.bias', '1.weight'\]"):
        layer(rows())
    del module[1]
    del module[0].bias
    with pytest.raises(StateError, match="bias is no longer a tensor of its module"):
        layer.state_dict()
