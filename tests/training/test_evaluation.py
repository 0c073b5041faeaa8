"""Evaluation in batches gives the result of one batch, records nothing, and changes no mode."""

import numpy as np
import pytest

import xpnet
from xpnet import functions as F
from xpnet.data import DataLoader
from xpnet.metrics import accuracy
from xpnet.training import evaluate, predict


@pytest.mark.parametrize("batch_size", [1, 7, 110, 1000])
def test_the_size_of_the_batches_does_not_matter(backend, clusters, batch_size):
    """Each sample counts once, in short batches too: the mean is that of one pass by NumPy."""
    x, t = clusters
    model = xpnet.MLP(4, 5, 3, rng=0)
    W1, b1, W2, b2 = (xpnet.to_numpy(p) for p in model.parameters())
    y = np.maximum(x @ W1 + b1, 0) @ W2 + b2
    logs = y - np.log(np.exp(y).sum(axis=1, keepdims=True))
    figures = evaluate(model, F.softmax_cross_entropy, clusters, [accuracy], batch_size)
    assert figures["loss"] == pytest.approx(-logs[range(110), t].mean(), rel=1e-5)
    assert figures["accuracy"] == pytest.approx((y.argmax(axis=1) == t).mean())
    predicted = predict(model, x, batch_size)
    assert not isinstance(predicted, xpnet.Variable)
    np.testing.assert_allclose(xpnet.to_numpy(predicted), y, rtol=1e-4, atol=1e-5)


def test_a_loader_is_predicted_batch_by_batch(backend, clusters):
    """With targets or without; so data may be larger than memory."""
    model = xpnet.MLP(4, 5, 3, rng=0)
    expected = xpnet.to_numpy(predict(model, clusters[0], 55))
    for data in (clusters, clusters[:1]):
        found = predict(model, DataLoader(*data, batch_size=55))
        np.testing.assert_array_equal(xpnet.to_numpy(found), expected)
    with pytest.raises(
        xpnet.DataError, match="Expected data to predict, got a loader without batches"
    ):
        predict(model, DataLoader(lambda: iter(()), batch_size=5))


def test_outputs_without_a_row_for_each_sample_are_not_joined():
    """States of an LSTM, of shape (layers, batch, hidden), would be joined along the wrong axis."""
    model, x = xpnet.LSTM(4, 3, batch_first=True, rng=0), np.ones((6, 5, 4), "float32")
    assert [y.shape for y in predict(model, x)] == [(6, 5, 3), (1, 6, 3), (1, 6, 3)]
    for batch_size in 2, 4:
        with pytest.raises(xpnet.ShapeError, match="with a row for each of 2 samples, got shapes"):
            predict(model, x, batch_size)


def test_a_loss_may_be_computed_on_the_host(backend, clusters):
    """An evaluation needs no gradient, so a function of another package will do."""

    def half(y, t):
        return 0.5

    model = xpnet.MLP(4, 5, 3, rng=0)
    assert evaluate(model, half, clusters) == {"loss": 0.5}
    accurate = evaluate(model, F.softmax_cross_entropy, clusters, [accuracy])["accuracy"]
    figures = evaluate(model, half, clusters, [accuracy])
    assert figures == {"loss": 0.5, "accuracy": accurate}


def test_one_hot_targets_give_the_same_figures(clusters):
    """Loss and accuracy are those of class numbers."""
    x, t = clusters
    model = xpnet.MLP(4, 5, 3, rng=0)
    by_number = evaluate(model, F.softmax_cross_entropy, (x, t), [accuracy])
    by_row = evaluate(model, F.softmax_cross_entropy, (x, np.eye(3)[t]), [accuracy])
    assert by_number == pytest.approx(by_row)


def test_the_model_is_in_evaluation_mode_during_the_call_only(clusters):
    """`training` is False inside and unchanged afterwards; nothing is recorded."""
    seen = []

    class Spy(xpnet.Layer):
        def forward(self, x):
            y = x * xpnet.Variable(2.0)
            seen.append((self.training, y.requires_grad))
            return y

    spies = xpnet.Sequential(Spy(), Spy())
    spies[1].eval()  # only one, as a frozen layer
    predict(spies, clusters[0], 50)
    assert seen == [(False, False)] * 6
    assert [layer.training for layer in spies.sublayers()] == [True, True, False]


@pytest.mark.parametrize("error", [MemoryError, RuntimeError])
def test_data_that_do_not_fit_on_the_device_raise_a_dataerror(clusters, monkeypatch, error):
    """NumPy and CuPy raise a MemoryError, PyTorch and JAX a RuntimeError: 110 x 4 float32."""

    class Full(xpnet.backend.Backend):
        def asarray(self, x, dtype=None):
            raise error("out of memory, tried to allocate 1760 bytes")

    model, full = xpnet.MLP(4, 5, 3, rng=0), Full(*xpnet.current())
    monkeypatch.setattr("xpnet.training.batches.current", lambda: full)
    x = np.tile(clusters[0], (1000, 1))
    with pytest.raises(xpnet.DataError, match=r"^2 MB of data could not be placed on .*: out of"):
        predict(model, x)
