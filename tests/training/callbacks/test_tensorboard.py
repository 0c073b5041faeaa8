"""Event files, read back by TensorBoard's own reader."""

import sys

import numpy as np
import pytest

import xpnet
from xpnet import functions as F
from xpnet.metrics import accuracy
from xpnet.training import Callback, Checkpoint, Statistics, TensorBoard, Trainer

pytest.importorskip("tensorboard")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def make(*callbacks, lr=0.1):
    model = xpnet.MLP(4, 8, 3, rng=0)
    optimizer = xpnet.SGD(model.parameters(), lr)
    return Trainer(
        model, F.softmax_cross_entropy, optimizer, [accuracy], callbacks, 0, log_every=1e9
    )


def events(folder):
    """What TensorBoard finds there."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def read(folder):
    """{tag: [(step, value), ...]} of all files in the folder."""
    found = events(folder)
    return {
        tag: [(event.step, event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def test_the_figures_are_those_of_the_history(clusters, tmp_path):
    """One point per epoch, at the number of its last step."""
    history = make(TensorBoard(tmp_path)).fit(clusters, clusters, 3, 20)
    found = read(tmp_path)
    for tag, column in {
        "train/loss": "train_loss", "test/loss": "test_loss", "train/accuracy": "train_accuracy",
        "test/accuracy": "test_accuracy", "lr": "lr", "running/loss": "train_loss",
    }.items():  # fmt: skip
        assert [step for step, _ in found[tag]] == [6, 12, 18]
        assert [value for _, value in found[tag]] == pytest.approx(history[column], rel=1e-6)


@pytest.mark.parametrize("first", [True, False])
def test_the_figures_of_statistics_are_written_too(clusters, tmp_path, first):
    statistics, board = Statistics(), TensorBoard(tmp_path)
    make(*([board, statistics] if first else [statistics, board])).fit(clusters, None, 3, 20)
    found = read(tmp_path)["layers.0.weight/grad_norm"]
    expected = [(row["step"], row["layers.0.weight/grad_norm"]) for row in statistics.rows]
    assert [step for step, _ in found] == [step for step, _ in expected]
    assert [v for _, v in found] == pytest.approx([v for _, v in expected])


def test_histograms_of_weights_and_gradients(backend, clusters, tmp_path):
    """As NumPy counts; a frozen parameter has no gradient, and one that is not finite no histogram."""
    trainer = make(TensorBoard(tmp_path))
    model = trainer.model
    model[0].bias.requires_grad = False
    model.idle = xpnet.Parameter([float("inf")])
    trainer.fit(clusters, None, 2, 20)
    found = events(tmp_path)
    assert set(found.Tags()["histograms"]) == {
        "weights/layers.0.weight", "weights/layers.0.bias", "weights/layers.2.weight", "weights/layers.2.bias",
        "gradients/layers.0.weight", "gradients/layers.2.weight", "gradients/layers.2.bias",
    }  # fmt: skip
    for tag, x in (
        ("weights/layers.0.weight", model[0].weight.data),
        ("gradients/layers.0.weight", model[0].weight.grad),
    ):
        x = xpnet.to_numpy(x).ravel()
        last = found.Histograms(tag)[-1]
        assert last.step == 12
        histogram = last.histogram_value
        counts, edges = np.histogram(x, len(histogram.bucket))
        assert histogram.num == sum(histogram.bucket) == x.size
        assert np.abs(np.cumsum(histogram.bucket) - np.cumsum(counts)).max() <= 1  # on an edge
        np.testing.assert_allclose(histogram.bucket_limit, edges[1:], rtol=1e-5, atol=1e-7)
        assert (histogram.min, histogram.max) == (x.min(), x.max())
        assert histogram.sum == pytest.approx(x.sum(), abs=1e-4)
        assert histogram.sum_squares == pytest.approx((x * x).sum(), rel=1e-5)
    make(TensorBoard(tmp_path / "none", histograms=False)).fit(clusters, None, 1, 20)
    assert not events(tmp_path / "none").Tags()["histograms"]


def test_a_resumed_training_discards_the_points_after_its_checkpoint(
    clusters, tmp_path, monkeypatch
):
    """Three epochs and a part, of which two are in the checkpoint, then three: three points.

    TensorBoard reads the files of a folder in the order of their names, which are a second and the number
    of the file in its process. Within one second, number 10 would come before number 9.
    """
    from tensorboard.summary.writer import event_file_writer

    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))
    first = make(TensorBoard(tmp_path / "board"), Statistics(), Checkpoint(tmp_path / "all"))

    class Keep(Callback):
        order = 2

        def on_epoch(self, trainer):
            if len(trainer.history) == 2:
                trainer.save(tmp_path / "two.safetensors")

    first.callbacks = [*first.callbacks, Keep()]
    first.fit(clusters, clusters, 3, 20)
    again = make(TensorBoard(tmp_path / "board"), Statistics())
    again.fit(clusters, clusters, 4, 20, resume=tmp_path / "two.safetensors")
    found = read(tmp_path / "board")
    assert [step for step, _ in found["train/loss"]] == [6, 12, 18, 24]
    assert [value for _, value in found["train/loss"]] == pytest.approx(again.history["train_loss"])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_error_closes_the_file(clusters, tmp_path):
    with pytest.raises(xpnet.TrainingError):
        make(TensorBoard(tmp_path), lr=1e30).fit(clusters, None, 3, 20)
    assert "running/loss" in read(tmp_path)


def test_a_missing_package_is_an_error_at_once(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.event_file_writer", None)
    with pytest.raises(ModuleNotFoundError, match="tensorboard"):
        TensorBoard(tmp_path)
