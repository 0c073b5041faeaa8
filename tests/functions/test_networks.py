"""The networks' own functions, by the rows of networks.py that make the capability table."""

import ast
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from tests.functions.networks import BESIDES, ROWS, owned
from xpnet import Variable, functions as F, gradients, using
from xpnet.testing import assert_close, check_gradients


def test_every_function_has_a_row():
    assert owned().keys() == ROWS.keys() | BESIDES


def given_in_tests(name):
    """All parameters of a function, and those that the tests of its chapter, or the table, pass."""
    function = owned()[name]
    chapter = function.__module__.rpartition(".")[2]
    files = [Path(__file__).with_name(f) for f in (f"test_{chapter}.py", "networks.py")]
    code = "\n".join(file.read_text("utf-8") for file in files)
    parameters = list(inspect.signature(function).parameters)
    found = {p for p in parameters if re.search(rf"\b{p}=|[\"']{p}[\"']: ", code)}
    for call in ast.walk(ast.parse(code)):
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == name:
            found.update(parameters[: len(call.args)])
    return set(parameters), found


@pytest.mark.parametrize("name", sorted(owned().keys() - BESIDES))
def test_every_parameter_is_given_by_some_test(name):
    """Otherwise no test would fail if a parameter had no effect."""
    parameters, found = given_in_tests(name)
    assert parameters - found == set()


@pytest.mark.parametrize("name", ["batch_norm", "layer_norm", "group_norm"])
def test_eps_is_that_of_pytorch(name):
    """For a large value, and by default."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    x = np.random.default_rng(0).normal(size=(4, 6))
    torchs = getattr(torch.nn.functional, name)
    calls = {
        "batch_norm": lambda f, x, **eps: f(x, None, None, **eps),
        "layer_norm": lambda f, x, **eps: f(x, (6,), **eps),
        "group_norm": lambda f, x, **eps: f(x, 3, **eps),
    }
    training = {"training": True} if name == "batch_norm" else {}
    for eps in ({}, {"eps": 0.5}):
        expected = calls[name](torchs, torch.tensor(x), **eps, **training)
        y = calls[name](getattr(F, name), x, **eps)
        assert_close(y[0] if name == "batch_norm" else y, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ROWS)
def test_derivatives(backend64, array, order, name):
    """Compared with differences to the second order (on JAX, first), on arrays and on Variables."""
    row = ROWS[name]
    constant = [array(c.tolist()) for c in row.constant]
    xs = [array(x.tolist()) for x in row.hosts()]
    check_gradients(lambda *xs: row.call(*xs, *constant), *xs, order=order)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.torch is not None])
def test_agrees_with_torch(name):
    """Value and gradients, in float64."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    row = ROWS[name]
    hosts = ROWS[name].hosts()
    tensors = [torch.tensor(x, requires_grad=True) for x in hosts]
    constant = [torch.tensor(c) for c in row.constant]
    expected = row.torch(torch.nn.functional, *tensors, *constant)
    weights = np.random.default_rng(0).uniform(0.5, 1.5, expected.shape)
    (expected * torch.tensor(weights)).sum().backward()
    with using("numpy", dtype="float64"):
        xs = [Variable(x) for x in hosts]
        y = row.call(*xs, *row.constant)
        assert_close(y, expected.detach(), rtol=1e-10, atol=1e-13)
        found = gradients(F.sum(y * weights), xs)
    for g, tensor in zip(found, tensors, strict=True):
        assert_close(g, tensor.grad, rtol=1e-10, atol=1e-13)
