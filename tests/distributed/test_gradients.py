"""The walk back reports each gradient when it is final, and gradients travel in buckets."""

from functools import partial

import numpy as np
import pytest

import xpnet
from xpnet import Parameter, Variable, distributed, functions as F
from xpnet.distributed.gradients import GradientSum


def test_gradients_are_reported_when_they_are_final():
    """`shared` is used first and last: it comes at the end, with both parts of its gradient."""
    shared = Parameter(np.asarray([2.0]))
    first, last = Parameter(np.asarray([3.0])), Parameter(np.asarray([5.0]))
    seen = []

    def note(p):
        seen.append((p, float(p.raw_grad[0])))

    loss = F.sum(((shared * first) * last) * shared)
    loss.backward(on_gradient=note)
    assert [id(p) for p, _ in seen] == [id(last), id(first), id(shared)]
    assert [g for _, g in seen] == [12.0, 20.0, 60.0]


def test_the_report_is_made_while_the_walk_goes_on():
    order = []

    class Noted(xpnet.Function):
        def __init__(self, name):
            self.name = name

        def forward(self, x):
            return x

        def backward(self, gy):
            order.append(self.name)
            return gy

    names = {}
    x = Variable(np.ones(2))
    for i in range(3):
        p = Parameter(np.ones(2))
        names[id(p)] = f"p{i}"
        x = Noted(f"call{i}")(x * p)
    F.sum(x).backward(on_gradient=lambda p: order.append(names.get(id(p), "x")))
    assert order == ["call2", "p2", "call1", "p1", "call0", "p0", "x"]


def test_a_gradient_is_added_to_those_that_are_there():
    p = Parameter(np.asarray([2.0]))
    F.sum(p * 3.0).backward()
    found = []
    F.sum(p * p).backward(on_gradient=lambda leaf: found.append(float(leaf.raw_grad[0])))
    assert found == [7.0]


def test_a_leaf_by_itself_is_reported():
    x = Variable(np.asarray(2.0))
    found = []
    x.backward(on_gradient=found.append)
    assert found[0] is x
    assert float(x.raw_grad) == 1.0


def test_both_walks_have_the_same_gradients(backend):
    xpnet.manual_seed(0)
    x = backend.asarray(np.random.default_rng(0).normal(size=(5, 4)), backend.dtype)
    grads = []
    for hook in (None, lambda p: None):
        model = xpnet.MLP(4, 8, 3, rng=0)
        F.sum(model(x) ** 2).backward(on_gradient=hook)
        grads.append([xpnet.to_numpy(p.raw_grad) for p in model.parameters()])
    for a, b in zip(*grads, strict=True):
        np.testing.assert_array_equal(a, b)


def parameters_of(rank):
    made = partial(xpnet.current().asarray, dtype="float32")
    parameters = [Parameter(made(np.ones(shape))) for shape in ((3, 2), (4,), (), (2,))]
    for i, p in enumerate(parameters):
        p.raw_grad = made(np.full(p.shape, 10.0 * i + rank))
    return parameters


@pytest.mark.parametrize("bucket_bytes", [1, 20, 10**6])
def test_sums_in_buckets(backend, bucket_bytes):
    def reduce(communicator):
        with xpnet.using(backend):
            parameters = parameters_of(communicator.rank)
            reduction = GradientSum(parameters, communicator, bucket_bytes=bucket_bytes)
            totals = reduction.finish(3 + communicator.rank, [communicator.rank == 1])
            assert totals == (7, (1,))
            return [xpnet.to_numpy(p.raw_grad) for p in parameters], len(reduction.buckets)

    for grads, count in distributed.run(2, reduce):
        assert count == {1: 4, 20: 3, 10**6: 1}[bucket_bytes]
        for i, g in enumerate(grads):
            np.testing.assert_array_equal(g, np.full(g.shape, 20.0 * i + 1))


def test_buckets_start_while_others_are_not_complete():
    """The last parameter's bucket is on its way when the first one's gradient arrives."""

    def reduce(communicator):
        parameters = parameters_of(communicator.rank)
        reduction = GradientSum(parameters, communicator, bucket_bytes=1)
        started = []
        for p in (parameters[3], parameters[1], parameters[2], parameters[0]):
            reduction.arrived(p)
            started.append(len(reduction._started))
        reduction.finish(1)
        return started

    assert distributed.run(2, reduce) == [[1, 1, 3, 4]] * 2


def test_gradients_of_several_dtypes_are_in_buckets_of_their_own():
    def reduce(communicator):
        parameters = [Parameter(np.ones(2, dtype)) for dtype in ("float32", "float64", "float32")]
        for p in parameters:
            p.raw_grad = np.full(2, 1.5, p.dtype)
        reduction = GradientSum(parameters, communicator)
        reduction.finish(1)
        return [[p.dtype.name for p in bucket] for bucket in reduction.buckets], [
            (p.raw_grad.dtype.name, p.raw_grad.tolist()) for p in parameters
        ]

    buckets, grads = distributed.run(2, reduce)[0]
    assert buckets == [["float32", "float32"], ["float64"]]
    assert grads == [(name, [3.0, 3.0]) for name in ("float32", "float64", "float32")]
