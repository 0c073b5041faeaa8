"""The copy stream on the real CuPy: batches arrive as they were sent, in any order in which streams work.

On the emulated device the streams' work runs late and in a random order, which only the copy stream's
own waits restrict: so a missing wait for an event gives wrong numbers. On a GPU the order is the GPU's
own.
"""

from contextlib import nullcontext

import numpy as np
import pytest

import xpnet
from tests.host_cuda.device import emulated, shuffled
from xpnet.data import DataLoader
from xpnet.data._transfer import CopyStream

SEEDS = range(24)
BATCHES = 12


@pytest.fixture
def gpu():
    """The first device of CuPy, real or emulated."""
    try:
        backend = xpnet.backend.resolve("cupy")
    except xpnet.BackendError as error:
        pytest.skip(str(error))
    with xpnet.using(backend):
        yield backend


@pytest.fixture(params=SEEDS)
def order(request):
    """A context manager in which streams work in a random order; on a GPU, once, in the GPU's order."""
    if emulated():
        return shuffled(request.param)
    if request.param != SEEDS[0]:
        pytest.skip("a GPU orders its streams by itself: it has no seeds")
    return nullcontext()


def batch(i, n=50):
    """A batch that differs from all others."""
    return np.full((n, 3), float(i), "float32"), np.full(n, i)


def went_round(backend, ahead):
    """The batches that arrive if `ahead` are sent before the first is received, each used at once."""
    copier, tickets, used = CopyStream(backend, slots=ahead + 2), [], []

    def receive():
        x, t = copier.receive(tickets.pop(0))
        used.append((x * 2.0 + 1.0, t))  # a kernel that reads the batch, after which it is dropped

    for i in range(BATCHES):
        tickets.append(copier.send(batch(i)))
        if len(tickets) > ahead:
            receive()
    while tickets:
        receive()
    return [(x.get(), t.get()) for x, t in used]


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_each_batch_arrives_as_it_was_sent(gpu, order, ahead):
    with order:
        received = went_round(gpu, ahead)
    for i, (x, t) in enumerate(received):
        np.testing.assert_array_equal(x, np.full((50, 3), 2.0 * i + 1.0), err_msg=f"batch {i}")
        np.testing.assert_array_equal(t, np.full(50, i), err_msg=f"batch {i}")
    assert len(received) == BATCHES


def test_a_loader_with_a_thread_delivers_the_same_as_one_without(gpu, order):
    """Two threads: one copies, one computes."""
    x, t = np.arange(120.0, dtype="float32").reshape(60, 2), np.arange(60)
    options = {"batch_size": 8, "shuffle": True, "seed": 0}
    expected = [(a.get(), b.get()) for a, b in DataLoader(x, t, **options)]
    with order:
        used = [(a * 2.0, b) for a, b in DataLoader(x, t, prefetch=2, **options)]
        found = [(a.get(), b.get()) for a, b in used]
    assert len(found) == len(expected) == 8
    for (a, b), (c, d) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, 2.0 * c)
        np.testing.assert_array_equal(b, d)
