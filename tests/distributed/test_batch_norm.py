"""BatchNorm(sync=True): statistics of all ranks, and the gradient through them."""

import numpy as np
import pytest

import xpnet
from tests.distributed.trainings import assert_same, clusters, on_ranks, train
from xpnet import Variable, distributed, functions as F


def network(sync=True):
    return xpnet.Sequential(
        xpnet.Affine(4, 6, bias=False, rng=0),  # the mean is subtracted: a bias has no gradient
        xpnet.BatchNorm1d(6, sync=sync),
        xpnet.Tanh(),
        xpnet.Affine(6, 3, rng=1),
    )


def test_a_training_with_sync_is_that_of_one_rank():
    """102 steps on three ranks, with short last batches."""
    options = {"build": network, "epochs": 17, "test": clusters(30), "kind": "momentum", "lr": 0.02}
    assert_same(train(None, **options), on_ranks(3, **options))


def test_steps_outside_of_fit_have_the_statistics_of_all_ranks():
    """On a process of MPI, no block of `using` is around them."""
    x, t = clusters(40)

    def steps(communicator):
        with xpnet.using("numpy", dtype="float64"), distributed.using(distributed.SingleProcess()):
            model = network()
            optimizer = xpnet.SGD(model.parameters(), 0.1)
            trainer = xpnet.training.Trainer(
                model, F.softmax_cross_entropy, optimizer, communicator=communicator
            )
            part = slice(None)
            if communicator is not None:
                part = distributed.share_of(8, communicator.rank, communicator.size)
            for i in range(0, 40, 8):
                trainer.step(x[i : i + 8][part], t[i : i + 8][part])
            return {name: x.copy() for name, x in model.state_dict().items()}

    alone = steps(None)
    for together in distributed.run(3, steps):
        for name, x_ in alone.items():
            np.testing.assert_allclose(together[name], x_, rtol=1e-9, err_msg=name)


def test_without_sync_it_is_another_training():
    options = {"kind": "sgd", "lr": 0.1, "epochs": 2}
    alone = train(None, build=network, **options)
    together = on_ranks(2, build=lambda: network(sync=False), **options)
    name = "model.layers.0.weight"
    assert not np.allclose(alone.state[name], together.state[name], rtol=1e-3)


def test_a_rank_without_samples_takes_part():
    """The last batch has two samples on three ranks."""
    options = {"build": network, "data": clusters(42), "batch_size": 20, "kind": "sgd", "lr": 0.1}
    assert_same(train(None, **options), on_ranks(3, **options))


def test_one_sample_on_all_ranks_together_is_an_error_on_each():
    seen = []

    def fit(communicator):
        with pytest.raises(xpnet.ShapeError, match="more than one number per channel"):
            train(communicator, build=network, data=clusters(41))
        seen.append(communicator.rank)

    distributed.run(2, fit)
    assert sorted(seen) == [0, 1]


def test_accumulation_weights_shares_of_different_sizes():
    options = {
        "build": network,
        "accumulate": 3,
        "data": clusters(52),
        "batch_size": 7,
        "epochs": 4,
    }
    assert_same(train(None, **options), on_ranks(3, **options))


def test_images_and_half_precision(backend):
    """The statistics of float16 images are computed in float32, over the pixels of all ranks."""
    x = np.random.default_rng(0).normal(1.0, 2.0, (6, 3, 4, 5)).astype("float32")
    layer = xpnet.BatchNorm2d(3)
    expected = xpnet.to_numpy(layer(backend.asarray(x)))

    def normalize(communicator):
        with xpnet.using(backend):
            layer = xpnet.BatchNorm2d(3, sync=True)
            part = distributed.share_of(6, communicator.rank, 2)
            y = xpnet.to_numpy(layer(backend.asarray(x[part])))
            return y, [xpnet.to_numpy(b.data) for _, b in layer.named_buffers()]

    results = distributed.run(2, normalize)
    np.testing.assert_allclose(np.concatenate([y for y, _ in results]), expected, atol=2e-6)
    for _, buffers in results:
        for found, (name, buffer) in zip(buffers, layer.named_buffers(), strict=True):
            own = xpnet.to_numpy(buffer.data)
            np.testing.assert_allclose(found, own, rtol=1e-5, atol=1e-7, err_msg=name)


def test_the_gradient_is_that_of_the_losses_of_all_ranks():
    """Against central differences of the sum of the losses of the ranks, by the x of each rank."""
    rng = np.random.default_rng(1)
    xs = [rng.normal(size=(n, 2)) for n in (2, 3)]
    targets = [rng.normal(size=x.shape) for x in xs]

    def loss_on(communicator, xs):
        with xpnet.using("numpy", dtype="float64"):
            layer = xpnet.BatchNorm1d(2, sync=True)
            x = Variable(xs[communicator.rank])
            loss = F.sum(F.exp(layer(x)) * targets[communicator.rank])
            loss.backward()
            return float(loss), np.array(x.raw_grad)

    def total(xs):
        return sum(loss for loss, _ in distributed.run(2, lambda c: loss_on(c, xs)))

    gradients = [g for _, g in distributed.run(2, lambda c: loss_on(c, xs))]
    for rank, x in enumerate(xs):
        for place in np.ndindex(x.shape):
            step = 1e-5
            up, down = [x.copy() for x in xs], [x.copy() for x in xs]
            up[rank][place] += step
            down[rank][place] -= step
            difference = (total(up) - total(down)) / (2 * step)
            np.testing.assert_allclose(gradients[rank][place], difference, rtol=1e-5, atol=1e-8)


def test_alone_sync_changes_nothing():
    options = {"kind": "sgd", "lr": 0.1, "epochs": 2}
    synced = train(None, build=network, **options)
    assert_same(train(None, build=lambda: network(sync=False), **options), synced, rtol=0)


def test_a_trainer_says_why_such_steps_are_not_compiled():
    def fit(communicator):
        with xpnet.using("numpy", dtype="float64"):
            model = network()
            trainer = xpnet.training.Trainer(
                model,
                F.softmax_cross_entropy,
                xpnet.SGD(model.parameters()),
                communicator=communicator,
                compile=True,
            )
            with pytest.raises(xpnet.CompileError, match="exchange statistics"):
                trainer.fit(clusters(), None, 1, 20)

    distributed.run(2, fit)


def test_sync_is_shown():
    assert repr(xpnet.BatchNorm1d(3, sync=True)) == "BatchNorm1d(3, sync=True)"
