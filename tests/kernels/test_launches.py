"""A training step on a GPU: few launches, and nothing that waits.

This is counted on the emulated CUDA device, which counts every launch, copy and allocation.
"""

import numpy as np
import pytest

import xpnet
from tests.host_cuda.device import counting, emulated
from xpnet import functions as F


@pytest.fixture
def counted(cupy_backend):
    """A function that makes three training steps, and returns the counts of the last one."""
    if not emulated():
        pytest.skip("launches can be counted only on the emulated CUDA device")

    def last_step(model, optimizer, x, t):
        x, t = cupy_backend.asarray(x), cupy_backend.asarray(t)
        for _ in range(3):
            with counting(names=True) as counts:
                optimizer.zero_grad()
                loss = F.softmax_cross_entropy(model(x), t)
                loss.backward()
                optimizer.step()
            del loss
        return counts

    return last_step


def batch(size, classes=10):
    rng = np.random.default_rng(0)
    return rng.random((size, 784), dtype="float32"), rng.integers(0, classes, size)


def runs_on_its_own(counts):
    """Nothing goes to or from the host, nothing waits, no memory is allocated."""
    waits = counts.to_device, counts.to_host, counts.synchronizes, counts.records, counts.waits
    memory = counts.on_device, counts.allocations, counts.frees, counts.compilations
    return not any(waits) and not any(memory)


def test_one_hidden_layer_by_sgd(counted):
    """5 products; 2 biases, a ReLU, the loss; their 4 gradients; and the step."""
    model = xpnet.MLP(784, 80, 10, rng=0)
    counts = counted(model, xpnet.SGD(model.parameters(), lr=0.1), *batch(200))
    assert counts.products == 5
    assert counts.total <= 14, counts.names
    assert runs_on_its_own(counts), counts.names


def test_two_hidden_layers_by_adam(counted):
    """8 products; 3 biases, 2 ReLUs, the loss; their 6 gradients; and the step."""
    model = xpnet.MLP(784, [1024, 1024], 10, rng=0)
    counts = counted(model, xpnet.Adam(model.parameters()), *batch(8))
    assert counts.products == 8
    assert counts.total <= 21, counts.names
    assert runs_on_its_own(counts), counts.names


@pytest.mark.parametrize(
    "activation", ["leaky_relu", "elu", "gelu", "silu", "softplus", "sigmoid", "tanh"]
)
def test_every_activation_is_a_launch_each_way(counted, activation):
    model = xpnet.MLP(784, 80, 10, activation=activation, rng=0)
    counts = counted(model, xpnet.SGD(model.parameters(), lr=0.1), *batch(200))
    assert counts.total <= 14, counts.names


@pytest.mark.parametrize("name", sorted(xpnet.optimizers.BY_NAME.keys() - {"lamb"}))
def test_every_optimizer_is_one_launch(counted, name):
    """With either kind of weight decay too; except LAMB, whose steps depend on norms."""
    for options in ({}, {"weight_decay": 0.1}):
        model = xpnet.MLP(784, 8, 10, rng=0)
        optimizer = xpnet.optimizers.optimizer(name, model.parameters(), **options)
        counts = counted(model, optimizer, *batch(8))
        assert counts.total <= 14, counts.names


def test_gradients_that_add_up_cost_a_launch_for_each(counted):
    """`backward` runs twice: gradients are not added in place, since they may be shared."""
    model = xpnet.MLP(784, 8, 10, rng=0)
    optimizer = xpnet.SGD(model.parameters(), lr=0.1)
    optimizer.zero_grad = lambda: None
    assert counted(model, optimizer, *batch(8)).total == 14 + 4


def test_averages_of_all_parameters_are_one_launch(counted, cupy_backend):
    model = xpnet.MLP(784, 8, 10, rng=0)
    average = xpnet.optimizers.ExponentialMovingAverage(model.parameters(), 0.9)
    with counting() as counts:
        average.update()
    assert counts.total == 1
