"""torch_module: a layer of xpnet in a network of PyTorch, with one set of weights."""

import copy
import gc
import io
import pickle
import weakref

import numpy as np
import pytest

import xpnet
from tests.layers.cases import LAYERS
from xpnet import (
    Affine,
    ArgumentError,
    ArgumentTypeError,
    BatchNorm1d,
    CompileError,
    Layer,
    Parameter,
    Sequential,
    StateError,
    Variable,
    functions as F,
)
from xpnet.adapters import TorchLayer, torch_module
from xpnet.testing import assert_close
from xpnet.training import Trainer

torch = pytest.importorskip("torch", reason="PyTorch's modules are what is tested")
nn = torch.nn


@pytest.fixture(autouse=True)
def on_torch():
    torch.manual_seed(0)
    with xpnet.using("torch"):
        yield


def layer64():
    with xpnet.using("torch", dtype="float64"):
        return Sequential(Affine(3, 4, rng=0), BatchNorm1d(4), xpnet.Tanh(), Affine(4, 2, rng=1))


def rows(n=7, features=3, dtype=torch.float32):
    return torch.asarray(np.random.default_rng(0).normal(size=(n, features)), dtype=dtype)


def test_values_and_gradients_are_those_of_the_layer_alone():
    layer = layer64()
    alone = copy.deepcopy(layer)
    model = nn.Sequential(nn.Linear(3, 3), torch_module(layer)).double()
    x = rows(dtype=torch.float64)
    (model(x) ** 2).sum().backward()
    h = Variable(model[0](x).detach())
    F.sum(alone(h) ** 2).backward()
    for (name, ours), theirs in zip(layer.named_parameters(), alone.parameters(), strict=True):
        assert_close(ours.grad, theirs.grad, rtol=1e-10), name
    assert_close(model[0].bias.grad, h.grad.sum(dim=0), rtol=1e-9, atol=1e-12)
    for ours, theirs in zip(layer.named_buffers(), alone.named_buffers(), strict=True):
        assert_close(ours[1].data, theirs[1].data)


def test_first_and_second_derivatives_are_right():
    """Also by the parameters, which gradcheck passes by `torch.func.functional_call`."""
    module = torch_module(layer64())
    x = rows(dtype=torch.float64).requires_grad_()
    names = [name for name, _ in module.named_parameters()]

    def call(x, *tensors):
        return torch.func.functional_call(module, dict(zip(names, tensors, strict=True)), (x,))

    inputs = (x, *[p.detach().clone().requires_grad_() for p in module.parameters()])
    assert torch.autograd.gradcheck(call, inputs)
    assert torch.autograd.gradgradcheck(call, inputs)


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_in_a_module(name):
    case = LAYERS[name]
    layer = case.layer().eval()
    xs = [torch.asarray(x) for x in case.hosts()]
    xs = [x.float().requires_grad_() if x.is_floating_point() else x for x in xs]
    ours = [Variable(x.detach(), requires_grad=x.requires_grad) for x in xs]
    expected = layer(*ours)
    expected = expected if isinstance(expected, tuple) else (expected,)
    sum(F.sum(F.sin(y)) for y in expected).backward()
    slopes = {n: p.grad for n, p in layer.named_parameters()}
    layer.zero_grad()
    module = torch_module(layer)
    assert list(dict(module.named_parameters())) == list(slopes)
    y = module(*xs)
    ys = y if isinstance(y, tuple) else (y,)
    sum(torch.sin(y).sum() for y in ys).backward()
    for y, e in zip(ys, expected, strict=True):
        assert_close(y.detach(), e, rtol=1e-5, atol=1e-6)
    for n, p in module.named_parameters():
        assert_close(p.grad, slopes[n], rtol=1e-5, atol=1e-6)
    for x, v in zip(xs, ours, strict=True):
        if v.requires_grad and v.grad is not None:
            assert_close(x.grad, v.grad, rtol=1e-5, atol=1e-6)


def test_an_optimizer_of_either_side_makes_the_step():
    layer = Affine(3, 1, bias=False)
    before_module = xpnet.SGD(layer.parameters(), lr=0.1)
    module = torch_module(layer)
    for optimizer in (before_module, torch.optim.SGD(module.parameters(), lr=0.1)):
        before = layer.weight.data.clone()
        optimizer.zero_grad()
        module(rows()).sum().backward()
        optimizer.step()
        assert_close(layer.weight, before - 0.1 * rows().sum(dim=0)[:, None], rtol=1e-5, atol=1e-6)
        (p,) = module.parameters()
        assert p.data_ptr() == layer.weight.data.data_ptr()


def test_state_dicts_and_copies():
    module = torch_module(Sequential(Affine(3, 4), BatchNorm1d(4)))
    names = ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"]
    buffers = ["running_mean", "running_var", "num_batches_tracked"]
    assert list(module.state_dict()) == [*names, *(f"layers.1.{name}" for name in buffers)]
    module(rows())
    other = torch_module(Sequential(Affine(3, 4), BatchNorm1d(4)))
    other.load_state_dict(module.state_dict())
    for copied in (other, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert_close(copied.eval()(rows()).detach(), module.eval()(rows()).detach())
        assert copied.layer is not module.layer
        copied.train()(rows()).sum().backward()
        assert copied.layer[0].weight.grad is not None
        assert module.layer[0].weight.grad is None
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))


def test_train_eval_and_conversion_reach_the_layer():
    model = nn.Sequential(torch_module(Sequential(Affine(3, 4), BatchNorm1d(4))))
    layer = model[0].layer
    model.eval()
    assert not layer[1].training
    model.double()
    assert layer[1].running_mean.data.dtype == torch.float64
    assert model(rows(dtype=torch.float64)).dtype == torch.float64
    model.train()
    count = int(layer[1].num_batches_tracked.data)
    model(rows(dtype=torch.float64))
    assert int(model.state_dict()["0.layers.1.num_batches_tracked"]) == count + 1


def test_a_torch_layer_within_the_layer_is_a_part_of_the_module():
    inner = nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2)).double()
    layer = Sequential(layer64()[0], TorchLayer(inner))
    module = torch_module(layer)
    assert [name for name, _ in module.named_parameters()] == [
        "layers.0.weight", "layers.0.bias", "layers.1.0.weight", "layers.1.0.bias",
        "layers.1.1.weight", "layers.1.1.bias",
    ]  # fmt: skip
    assert inner in list(module.modules())
    x = rows(dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(module, (x,))
    assert torch.autograd.gradgradcheck(module, (x,))


def test_rules_of_xpnet_hold_in_pytorchs_backward():
    class Reversed(Layer):
        def __init__(self):
            self.w = Parameter([2.0])

        def forward(self, x):
            return reverse(x * self.w) + F.stop_gradient(x)

    @xpnet.custom_rule(lambda gy: -gy)
    def reverse(x):
        return 1.0 * x

    x = torch.ones(3, requires_grad=True)
    torch_module(Reversed())(x).sum().backward()
    assert_close(x.grad, [-2.0, -2.0, -2.0])


def test_frozen_parameters_are_frozen_on_both_sides():
    layer = Affine(3, 1)
    module = torch_module(layer)
    module.requires_grad_(False)
    assert not layer.weight.requires_grad
    assert not module(rows()).requires_grad
    x = rows().requires_grad_()
    module(x).sum().backward()
    assert layer.weight.grad is None
    assert x.grad is not None


def test_nothing_is_recorded_under_no_grad():
    module = torch_module(Affine(3, 1))
    with torch.no_grad():
        assert not module(rows()).requires_grad
    with xpnet.no_grad():  # PyTorch decides
        assert module(rows()).requires_grad


def test_structures_and_options_pass_through():
    layer = xpnet.LSTM(3, 4, batch_first=True)
    module = torch_module(layer)
    y, h, c = module(torch.ones(2, 5, 3), None, torch.zeros(1, 2, 4))
    assert all(isinstance(x, torch.Tensor) for x in (y, h, c))
    c.sum().backward()
    assert layer.weight_ih_l0.grad is not None
    attention = torch_module(xpnet.MultiheadAttention(4, 2, batch_first=True))
    y, weights = attention(torch.ones(2, 5, 4), need_weights=True)
    assert tuple(weights.shape) == (2, 5, 5)


def test_a_parameter_in_two_places_is_one_tensor():
    first = Affine(3, 3, bias=False)
    module = torch_module(Sequential(first, first))
    assert len(list(module.parameters())) == 1
    assert list(module.state_dict()) == ["layers.0.weight", "layers.1.weight"]
    module(rows()).sum().backward()
    assert first.weight.grad is not None


def test_torch_compile_runs_it_as_it_is():
    """A break in the graph: the compiled rest computes the same."""
    model = nn.Sequential(nn.Linear(3, 3), torch_module(Affine(3, 2)), nn.Tanh())
    compiled = torch.compile(model, backend="eager")
    y = compiled(rows())
    assert_close(y.detach(), model(rows()).detach())
    y.sum().backward()
    assert model[1].layer.weight.grad is not None


def test_the_steps_of_a_layer_by_hand_still_work():
    layer = Affine(3, 1)
    torch_module(layer)
    for _ in range(2):  # each step replaces the gradient of the one before
        y = layer.forward(rows())
        layer.backward(torch.ones_like(y))
        assert_close(layer.weight.grad, rows().sum(dim=0)[:, None], rtol=1e-5, atol=1e-6)


def test_a_change_in_place_of_what_is_saved_is_an_error():
    module = torch_module(xpnet.Sigmoid())
    x = rows().requires_grad_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        module(x).mul_(2.0).sum().backward()
    module = torch_module(Affine(3, 1))
    y = module(rows())
    xpnet.SGD(module.layer.parameters(), lr=0.1)
    with torch.no_grad():
        module.layer.weight.data.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_graph_is_freed_with_its_last_tensor():
    layer = Sequential(Affine(3, 3), xpnet.Sigmoid())
    made = []

    class Watched(Layer):
        def forward(self, x):
            y = layer(x)
            made.append(weakref.ref(y.creator))
            return y

    module = torch_module(Watched())
    gc.collect()
    gc.disable()
    try:
        y = module(rows().requires_grad_())
        del y
        assert [found() for found in made] == [None]
    finally:
        gc.enable()


def test_a_trainer_runs_a_layer_that_is_in_a_module_as_it_is():
    """A recording replaces tensors by arrays that PyTorch must not be asked about: it would crash."""
    layer = Sequential(Affine(3, 4), xpnet.Tanh(), Affine(4, 1))
    torch_module(layer)
    trainer = Trainer(layer, F.mean_squared_error, xpnet.Adam(layer.parameters(), lr=0.05), rng=0)
    x = rows(64)
    history = trainer.fit((x, x[:, :1]), epochs=5, batch_size=16)
    assert history["train_loss"][-1] < 0.5 * history["train_loss"][0]
    assert "PyTorch" in trainer.learner.reason


def test_a_compiled_step_of_a_layer_in_a_module_is_an_error_that_says_why():
    layer = Affine(3, 1)
    module = torch_module(layer)
    optimizer = xpnet.SGD(layer.parameters())

    @xpnet.compile
    def step(x):
        loss = F.sum(layer(x))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    with pytest.raises(CompileError, match="such a step cannot be compiled"):
        step(rows())
    assert all(isinstance(p, nn.Parameter) for p in module.parameters())
    module(rows()).sum().backward()
    assert layer.weight.grad is not None


def test_a_variable_is_an_error():
    """PyTorch would not differentiate with respect to it, nor xpnet through the module."""
    module = torch_module(Affine(3, 1))
    with pytest.raises(
        ArgumentTypeError, match=r"expected PyTorch tensors, got a Variable.*module.layer"
    ):
        module(Variable(rows()))
    F.sum(TorchLayer(module)(Variable(rows()))).backward()
    assert_close(module.layer.bias.grad, [7.0])


def test_autocast_does_not_apply():
    """Nor in the derivatives. PyTorch's own attention would compute in bfloat16."""
    layer = xpnet.TransformerEncoderLayer(4, 2, 8, dropout=0.0, rng=0)
    module = torch_module(layer)
    found = []
    for enabled in (False, True):
        x = rows(6, 4).reshape(2, 3, 4).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            y = module(x)
            (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
            (slope**2).sum().backward()
        assert y.dtype == torch.float32
        found.append([y.detach(), x.grad, *[p.grad for p in module.parameters()]])
        module.zero_grad()
    for plain, other in zip(*found, strict=True):
        assert (plain is None and other is None) or torch.equal(plain, other)


def test_half_precision_under_autocast_is_an_error_that_names_the_dtype():
    model = nn.Sequential(nn.Linear(3, 3), torch_module(Affine(3, 2)))
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        pytest.raises(ArgumentTypeError, match="dtype float32, got bfloat16"),
    ):
        model(rows())


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_activation_checkpoints_of_pytorch(use_reentrant):
    module = torch_module(Sequential(Affine(3, 4), xpnet.Tanh()))
    slopes = []
    for call in (
        module,
        lambda x: torch.utils.checkpoint.checkpoint(module, x, use_reentrant=use_reentrant),
    ):
        x = rows().requires_grad_()
        (call(x) ** 2).sum().backward()
        slopes.append(x.grad)
    assert torch.equal(*slopes)


def test_a_parametrization_of_it_is_an_error():
    module = torch_module(Affine(3, 2))
    nn.utils.parametrizations.weight_norm(module)
    with pytest.raises(
        StateError, match="what torch_module returns cannot be given parametrizations"
    ):
        module(rows())


def test_torch_func_needs_the_pure_function():
    module = torch_module(Affine(3, 1))
    with pytest.raises(RuntimeError, match="functorch"):
        torch.func.grad(lambda x: module(x).sum())(rows())


def test_what_cannot_be_a_module():
    with pytest.raises(ArgumentTypeError, match="expected a Layer, got a Linear"):
        torch_module(nn.Linear(1, 1))
    with xpnet.using("numpy"):
        layer = Sequential(Affine(1, 1))
    with pytest.raises(
        ArgumentTypeError, match=r"(?s)layers.0.weight of .* expected a PyTorch tensor, got a numpy"
    ):
        torch_module(layer)
    layer.to("torch")
    torch_module(layer)
    with pytest.raises(
        ArgumentError, match=r"(?s)layers.0.weight of .* is in a PyTorch module already"
    ):
        torch_module(layer)
