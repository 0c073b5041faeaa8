"""The networks' own functions as the capability table has them: rows of networks.py."""

import numpy as np
import pytest

from tests.functions.networks import BESIDES, ROWS, owned
from xpnet import Variable, functions as F, gradients, using
from xpnet.testing import assert_close, check_gradients


def test_every_function_has_a_row():
    assert owned().keys() == ROWS.keys() | BESIDES


@pytest.mark.parametrize("name", ROWS)
def test_derivatives(backend64, array, order, name):
    """Of order 1 and 2, on JAX 1, against differences, with rules on arrays and on Variables."""
    row = ROWS[name]
    constant = [array(c.tolist()) for c in row.constant]
    xs = [array(x.tolist()) for x in row.hosts()]
    check_gradients(lambda *xs: row.call(*xs, *constant), *xs, order=order)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.torch is not None])
def test_agrees_with_torch(name):
    """Value and gradients, in float64."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    row, hosts = ROWS[name], ROWS[name].hosts()
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
