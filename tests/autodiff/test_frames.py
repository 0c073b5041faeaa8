"""The number of Python frames of a layer's forward and backward pass: the overhead of a small step."""

import sys

import numpy as np
import pytest

from xpnet import Affine
from xpnet.backend import current

FORWARD = 8
BACKWARD = 27


def frames_of(call):
    """The names of the Python functions that `call()` enters, without `call` itself."""
    names = []

    def note(frame, event, argument):
        if event == "call":
            names.append(frame.f_code.co_qualname)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(before)
    return names[1:]


@pytest.fixture
def step(backend):
    """A layer, a batch, and a gradient of the layer's output."""
    if current().name != "numpy":
        pytest.skip("other libraries run Python frames of their own")
    rng = np.random.default_rng(0)
    x = rng.random((32, 784), dtype=np.float32)
    g = rng.random((32, 80), dtype=np.float32)
    return Affine(784, 80, rng=0), x, g


def test_a_call_of_affine_takes_few_frames(step):
    layer, x, _ = step
    layer(x)  # the first call fills caches
    results = []
    names = frames_of(lambda: results.append(layer(x)))
    assert names[0] == "Layer.__call__"
    assert "Linear.forward" in names
    assert len(names) <= FORWARD, names
    np.testing.assert_allclose(
        results[0].data, x @ layer.weight.data + layer.bias.data, rtol=1e-5, atol=1e-5
    )


def test_the_backward_pass_of_affine_takes_few_frames(step):
    layer, x, g = step
    layer(x).backward(g)
    for p in layer.parameters():
        p.raw_grad = None
    y = layer(x)
    names = frames_of(lambda: y.backward(g))
    assert names[0] == "Variable.backward"
    assert "Linear.backward" in names
    assert len(names) <= BACKWARD, names
    np.testing.assert_allclose(layer.weight.grad, x.T @ g, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(layer.bias.grad, g.sum(axis=0), rtol=1e-4, atol=1e-4)


def test_frames_are_counted(step):
    """The limits above would be meaningless if the count missed calls."""

    def inner():
        return None

    def outer():
        inner()
        inner()

    counted = [name.rpartition(".")[2] for name in frames_of(outer)]
    assert counted == ["inner", "inner"]
