"""A step or evaluation that is only observed changes nothing, in the model nor in the loss."""

import numpy as np
import pytest

import xpnet
from xpnet import functions as F, layers
from xpnet.layers.hooks import watching
from xpnet.training import Callback, Trainer


@pytest.fixture(autouse=True)
def _on_numpy(monkeypatch):
    monkeypatch.setenv("XPNET_EXECUTOR", "numpy")
    with xpnet.using("numpy"):
        yield


class Blurred(layers.Layer):
    """A loss with a mask, running means and a weight of its own."""

    def __init__(self):
        self.norm = layers.BatchNorm1d(3)
        self.drop = layers.Dropout(0.3, rng=7)

    def forward(self, y, t):
        return F.softmax_cross_entropy(self.drop(self.norm(y)), t)

    def method(self, y, t):
        return self.forward(y, t)


class Noise(layers.Layer):
    """A layer that draws in evaluation too."""

    def __init__(self):
        self.drop = layers.Dropout(0.3, rng=8)

    def forward(self, x):
        return F.dropout(x, 0.3, rng=self.drop.rng)


class Watches(Callback):
    """Observes all steps and evaluations."""

    reads_gradients = False

    def __init__(self):
        self.calls = []

    def on_start(self, trainer):
        layer = trainer.model.layers[0]
        self.block = watching([layer], lambda *_: self.calls.append(1), only_observes=True)
        self.block.__enter__()

    def on_end(self, trainer):
        self.block.__exit__(None, None, None)


def data(n=60):
    rng = np.random.default_rng(0)
    return rng.normal(0, 1, (n, 4)).astype("float32"), np.arange(n) % 3


def trained(loss, *callbacks, noise=False, **options):
    xpnet.manual_seed(1)
    more = [Noise()] if noise else []
    model = layers.Sequential(layers.Affine(4, 8, rng=0), *more, layers.Affine(8, 3, rng=1))
    optimizer = xpnet.Momentum(model.parameters(), lr=0.1)
    trainer = Trainer(model, loss, optimizer, rng=2, callbacks=callbacks, **options)
    trainer.fit(data(), data(30), epochs=2, batch_size=10)
    return trainer


@pytest.mark.parametrize("kind", ["layer", "method"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_loss_with_a_state_is_that_of_a_training_nobody_watches(kind, accumulate):
    def training(*callbacks):
        loss = Blurred()
        given = loss if kind == "layer" else loss.method
        return loss, trained(given, *callbacks, accumulate=accumulate)

    watch = Watches()
    loss, trainer = training(watch)
    other, plain = training()
    assert len(watch.calls) == 2 * 6 + 2
    assert not trainer.learner.reason
    assert trainer.history["train_loss"] == plain.history["train_loss"]
    assert trainer.history["test_loss"] == plain.history["test_loss"]
    for name, x in loss.state_dict().items():
        np.testing.assert_array_equal(x, other.state_dict()[name])
    for a, b in zip(loss.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(xpnet.to_numpy(a.grad), xpnet.to_numpy(b.grad))


def test_an_evaluation_that_draws_is_that_of_a_training_nobody_watches():
    trainer = trained(F.softmax_cross_entropy, Watches(), noise=True)
    plain = trained(F.softmax_cross_entropy, noise=True)
    assert trainer.history["test_loss"] == plain.history["test_loss"]
    assert trainer.history["train_loss"] == plain.history["train_loss"]
