"""Names, order, defaults and values are PyTorch's, apart from what docs/pytorch.md lists."""

import ast
import importlib
import inspect
import typing
import warnings
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest

import xpnet
from tests import pytorch
from tests.pytorch import FUNCTIONS, INITIALIZERS, LAYERS, OPTIMIZERS, SCHEDULES, page
from xpnet import functions as F, schedules
from xpnet.layers import initializers
from xpnet.saving import torch_state_dict
from xpnet.testing import assert_close

PAIRS = [*LAYERS, *FUNCTIONS, *OPTIMIZERS]
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")


def test_the_page_is_up_to_date():
    written = Path(__file__).parents[1] / "docs" / "pytorch.md"
    assert written.read_text(encoding="utf-8") == page(), (
        "make it anew: python -m tests.pytorch > docs/pytorch.md"
    )


# --- signatures -----------------------------------------------------------------------------------


def ours_of(pair):
    return attrgetter(pair.ours.replace("F.", "functions."))(xpnet)


def theirs_of(pair):
    return attrgetter(pair.theirs)(importlib.import_module("torch"))


def in_a_docstring(function):
    """The signature of a built-in function, from the first sentence of its docstring."""
    text = inspect.cleandoc(function.__doc__)
    call = text[: text.index(")") + 1]
    tree = ast.parse(f"def {call}: pass").body[0]
    scope = {}
    exec(ast.unparse(tree), scope)
    return inspect.signature(scope[tree.name])


def parameters(kind):
    """{name: parameter} of a class or function of either library."""
    written = kind
    if isinstance(kind, type):
        base = next(x for x in kind.__mro__ if "__init__" in vars(x))
        if base.__name__ in ("object", "Module"):  # `ReLU()`, `nn.Tanh()`
            return {}
        written = base.__init__
    if overloads := typing.get_overloads(written):
        found = dict(inspect.signature(overloads[0]).parameters)  # `nn.LSTM(*args, **kwargs)`
        del found["self"]
        return found
    try:
        found = dict(inspect.signature(kind).parameters)
    except ValueError:
        found = {}
    if not found or "kwargs" in found:
        return dict(in_a_docstring(kind).parameters)
    return found


def compared(pair):
    """(ours by PyTorch's names, PyTorch's): their parameters."""
    other = dict(pair.renamed)
    ours = {other.get(name, name): p for name, p in parameters(ours_of(pair)).items()}
    return ours, parameters(theirs_of(pair))


def listed(differences):
    """{(pair, parameter)} of a list in the table."""
    return {(ours, name) for x in differences for ours in x.where for name in x.parameters}


def by_position(found):
    return [name for name, p in found.items() if p.kind in POSITIONAL]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_an_argument_by_position_is_pytorchs(torch, pair):
    ours, theirs = map(by_position, compared(pair))
    assert ours == theirs[: len(ours)]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_parameters_are_pytorchs(torch, pair):
    ours, theirs = compared(pair)
    added = {name for where, name in listed(pytorch.ADDED) if where == pair.ours}
    left_out = {name for where, name in listed(pytorch.LEFT_OUT) if where == pair.ours}
    assert ours.keys() - theirs.keys() == added
    assert theirs.keys() - ours.keys() <= left_out
    assert not ours.keys() & left_out
    for name in added:
        assert ours[name].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_defaults_are_pytorchs(torch, pair):
    ours, theirs = compared(pair)
    differ = {
        name: (shown(ours[name].default), shown(theirs[name].default))
        for name in ours.keys() & theirs.keys()
        if ours[name].default != theirs[name].default
    }
    listed = {x.parameter: (x.ours, x.theirs) for x in pytorch.DEFAULTS if pair.ours in x.where}
    assert differ == listed


def shown(default):
    """A default as the table has it."""
    if default is inspect.Parameter.empty:
        return pytorch.REQUIRED
    return "the function" if callable(default) else default


def test_each_difference_is_there(torch):
    """What is left out for several pairs, such as `device`, is a parameter of one of them at least."""
    theirs = {pair.ours: compared(pair)[1] for pair in PAIRS}
    for x in pytorch.LEFT_OUT:
        for name in x.parameters:
            assert any(name in theirs[ours] for ours in x.where), (x, name)
        if len(x.where) < 10:
            for ours in x.where:
                assert set(x.parameters) & theirs[ours].keys(), (x, ours)


@pytest.mark.parametrize("pair", LAYERS, ids=str)
def test_a_layer_is_called_as_pytorchs(torch, pair):
    calls = [
        tuple(
            f"*{p.name}" if p.kind is inspect.Parameter.VAR_POSITIONAL else p.name
            for p in list(inspect.signature(kind.forward).parameters.values())[1:]
            if p.kind is not inspect.Parameter.KEYWORD_ONLY
        )
        for kind in (ours_of(pair), theirs_of(pair))
    ]
    listed = [[x.ours, x.theirs] for x in pytorch.CALLS if pair.ours in x.where]
    assert calls in (listed or [[("x",), ("input",)]])


def test_other_names_are_listed():
    last = {pair.ours: pair.theirs.rpartition(".")[2] for pair in PAIRS}
    assert pytorch.NAMES.keys() == {
        ours for ours, theirs in last.items() if ours.removeprefix("F.") != theirs
    }
    renamed = {theirs for pair in PAIRS for _, theirs in pair.renamed}
    assert pytorch.RENAMED.keys() == renamed


OF_XPNET_ONLY = {
    *(
        "Add",
        "Multiply",
        "Residual",
        "MLP",
        "GlobalAvgPool2d",
        "GlobalMaxPool2d",
        "PositionalEncoding",
    ),
    *("Reshape", "Sequential", "TransformerEncoder", "Layer", "Buffer", "functional_call"),
    *(
        "initializers",
        "watching",
        "LAMB",
        "Lion",
        "ExponentialMovingAverage",
        "Optimizer",
        "optimizer",
    ),
}
"""What has no equal in PyTorch that is built from the same arguments."""


def test_every_layer_and_optimizer_is_compared():
    offered = {*xpnet.layers.__all__, *xpnet.optimizers.__all__}
    assert offered == {pair.ours for pair in [*LAYERS, *OPTIMIZERS]} | OF_XPNET_ONLY


# --- values, with defaults ------------------------------------------------------------------------


def first(y):
    return y[0] if isinstance(y, tuple) else y


@pytest.mark.parametrize("pair", LAYERS, ids=str)
def test_a_layer_with_its_defaults_computes_pytorchs_numbers(torch, pair):
    layer = ours_of(pair)(*pair.arguments).train(pair.ours.startswith("BatchNorm"))
    module = theirs_of(pair)(*pair.arguments).train(layer.training)
    module.load_state_dict(
        {k: torch.asarray(np.array(x)) for k, x in torch_state_dict(layer).items()}
    )
    theirs = first(module(*map(torch.asarray, pair.inputs)))
    assert_close(first(layer(*pair.inputs)), theirs.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pair", FUNCTIONS, ids=str)
def test_a_function_with_its_defaults_computes_pytorchs_numbers(torch, pair):
    options = {"reduction": "batchmean"} if pair.ours == "F.kl_divergence" else {}
    inputs = [torch.asarray(x) for x in pair.inputs]
    if pair.ours == "F.linear":
        inputs[1] = inputs[1].T
    theirs = theirs_of(pair)(*inputs, *pair.arguments, **options)
    if "axis" in parameters(ours_of(pair)):
        ours = ours_of(pair)(*pair.inputs, axis=pair.arguments[0])
    elif pair.ours in ("F.group_norm", "F.layer_norm"):
        ours = ours_of(pair)(*pair.inputs, pair.arguments[0])
    else:
        ours = ours_of(pair)(*pair.inputs, *pair.arguments)
    assert_close(first(ours), theirs.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pair", [x for x in OPTIMIZERS if x.theirs.startswith("optim")], ids=str)
def test_an_optimizer_with_its_defaults_takes_pytorchs_steps(torch, pair):
    """Apart from the defaults that the table lists, which PyTorch's is given."""
    options = {x.parameter: x.ours for x in pytorch.DEFAULTS if pair.ours in x.where}
    if pair.ours == "Nesterov":
        options["nesterov"] = True
    p = xpnet.Parameter(np.asarray([1.0, -2.0], "float32"))
    q = torch.tensor([1.0, -2.0], requires_grad=True)
    optimizer = ours_of(pair)([p])
    other = theirs_of(pair)([q], **options)
    for _ in range(3):
        optimizer.zero_grad()
        other.zero_grad()
        F.sum(p * p).backward()
        (q * q).sum().backward()
        optimizer.step()
        other.step()
    assert_close(p, q.detach().numpy(), rtol=1e-6)


@pytest.mark.parametrize("name", ["clip_grad_norm", "clip_grad_value"])
def test_gradients_are_clipped_as_pytorchs(torch, name):
    p = xpnet.Parameter(np.asarray([1.0, -2.0], "float32"))
    q = torch.tensor([1.0, -2.0], requires_grad=True)
    F.sum(p * p).backward()
    (q * q).sum().backward()
    getattr(xpnet, name)([p], 1.5)
    getattr(torch.nn.utils, f"{name}_")([q], 1.5)
    assert_close(p.grad, q.grad.numpy(), rtol=1e-5)


@pytest.mark.parametrize("formula", SCHEDULES, ids=lambda x: x.ours)
def test_a_schedule_has_pytorchs_values(torch, formula):
    moving = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an order of calls that does not matter here
        scheduler = formula.their_call(torch.optim.lr_scheduler, moving)
        for n in range(8):
            assert formula.our_call(n) == pytest.approx(moving.param_groups[0]["lr"], abs=1e-12)
            scheduler.step() if n < 7 else None


def spread(x):
    """The standard deviation, and the largest number in units of it: 1.73 if uniform."""
    x = np.asarray(x)
    return np.asarray([x.std(), min(np.abs(x).max() / x.std(), 2.0)])


def test_the_options_of_a_plateau_are_pytorchs(torch):
    """Apart from the names of two, and from `eps`, below which PyTorch does not change a rate."""
    ours = inspect.signature(schedules.reduce_on_plateau).parameters
    theirs = inspect.signature(torch.optim.lr_scheduler.ReduceLROnPlateau).parameters
    found = {name: p.default for name, p in ours.items()}
    found["min_lr"] = found.pop("least")
    del found["losses"]
    assert found == {n: p.default for n, p in theirs.items() if n not in ("optimizer", "eps")}


@pytest.mark.parametrize(("name", "theirs", "call"), INITIALIZERS)
def test_an_initializer_has_pytorchs_distribution(torch, name, theirs, call):
    name, _, bound = name.removesuffix(")").partition("(bound=")
    options = {"bound": float(bound)} if bound else {}
    ours = getattr(initializers, name)((300, 200), rng=0, **options)  # (in, out)
    torch.manual_seed(0)
    assert_close(spread(ours), spread(call(torch.nn.init, torch.empty(200, 300))), rtol=0.02)


@pytest.mark.parametrize("kind", ["Embedding", "RNN", "LSTM", "GRU", "MultiheadAttention"])
def test_initial_weights_are_pytorchs_as_the_page_says(torch, kind):
    arguments = (200, 4) if kind == "MultiheadAttention" else (200, 150)
    torch.manual_seed(0)
    theirs = getattr(torch.nn, kind)(*arguments).state_dict()
    ours = torch_state_dict(getattr(xpnet, kind)(*arguments, rng=0))
    assert ours.keys() == theirs.keys()
    for name in [n for n in ours if "weight" in n and n != "out_proj.weight"]:
        assert_close(spread(ours[name]), spread(theirs[name]), rtol=0.03)


@pytest.mark.parametrize(("kind", "arguments"), [("Affine", (300, 200)), ("Conv2d", (30, 50, 3))])
def test_initial_weights_are_not_pytorchs_as_the_page_says(torch, kind, arguments):
    """Normal, of variance 2 / fan_in, and a bias of 0; PyTorch's are uniform, of 1 / (3 fan_in)."""
    layer = getattr(xpnet, kind)(*arguments, rng=0)
    module = getattr(torch.nn, kind.replace("Affine", "Linear"))(*arguments)
    fan_in = layer.weight.size / arguments[1]
    assert_close(np.var(layer.weight.data), 2.0 / fan_in, rtol=0.03)
    assert_close(module.weight.var().item(), 1.0 / (3.0 * fan_in), rtol=0.03)
    assert not np.any(layer.bias.data)
