"""Callbacks that end a training, reduce its learning rate, or write a table."""

import csv
import math

import numpy as np
import pytest

import xpnet
from xpnet import functions as F, training
from xpnet.cli import run_files, setup
from xpnet.metrics import accuracy
from xpnet.training import (
    Callback,
    Checkpoint,
    CSVLogger,
    EarlyStopping,
    ReduceOnPlateau,
    Trainer,
    checkpoint,
)
from xpnet.training.callback import reads_gradients


def make(*callbacks, lr=0.1, **options):
    model = xpnet.MLP(4, 8, 3, rng=0)
    optimizer = xpnet.SGD(model.parameters(), lr)
    return Trainer(model, F.softmax_cross_entropy, optimizer, [accuracy], callbacks, 0, **options)


class Told(Callback):
    """Writes what it wants into the history, before the others look."""

    order = -2

    def __init__(self, values, column="test_loss"):
        self.values, self.column, self.weights = values, column, []

    def on_epoch(self, trainer):
        trainer.history.rows[-1][self.column] = self.values[len(trainer.history) - 1]
        with trainer.averaged():
            self.weights.append(xpnet.to_numpy(trainer.model[0].weight).copy())


NAN = math.nan


@pytest.mark.parametrize(
    ("values", "options", "epochs", "best"),
    [
        ([5, 4, 3, 2, 1, 0], {}, 6, 6),
        ([5, 4, 6, 7, 8, 9], {"patience": 2}, 4, 2),
        ([5, 4, 6, 7, 3, 9], {"patience": 3}, 6, 5),
        ([5, 4, 4, 1, 1, 1], {"patience": 0}, 3, 2),
        ([5, 4.95, 4.9, 4.85, 1, 1], {"patience": 3, "min_delta": 0.2}, 4, 1),
        ([0.1, 0.5, 0.4, 0.3, 0.9, 1], {"patience": 2, "mode": "max"}, 4, 2),
        ([NAN, 5, NAN, NAN, 1, 1], {"patience": 2}, 4, 2),
    ],
)
def test_early_stopping_ends_a_training_that_no_longer_improves(
    clusters, values, options, epochs, best
):
    """The model then has the weights of its best epoch."""
    told = Told(values)
    trainer = make(EarlyStopping(**options), told)
    history = trainer.fit(clusters, clusters, 6, 20)
    assert (len(history), history.kept, history.interrupted) == (epochs, best, False)
    np.testing.assert_array_equal(trainer.model[0].weight.data, told.weights[best - 1])


def test_large_values_of_an_accuracy_are_good(clusters):
    told = Told([0.5, 0.9, 0.8, 0.7], "test_accuracy")
    history = make(EarlyStopping("test_accuracy", patience=2), told).fit(clusters, clusters, 4, 20)
    assert (len(history), history.kept) == (4, 2)


def test_without_restore_best_the_model_keeps_the_last_weights(clusters):
    told = Told([1, 2, 3, 4], "train_loss")
    trainer = make(EarlyStopping(patience=1, restore_best=False), told)
    history = trainer.fit(clusters, None, 4, 20)
    assert (len(history), history.kept) == (2, None)
    np.testing.assert_array_equal(trainer.model[0].weight.data, told.weights[-1])


def test_the_restored_weights_are_the_averaged_ones(clusters):
    """Those that were measured; predictions use them too."""
    told = Told([1, 2, 3])
    trainer = make(EarlyStopping(patience=2), told, average=0.5)
    trainer.fit(clusters, clusters, 3, 20)
    np.testing.assert_array_equal(trainer.model[0].weight.data, told.weights[0])
    with trainer.averaged():
        np.testing.assert_array_equal(trainer.model[0].weight.data, told.weights[0])


def test_a_resumed_training_stays_stopped_unless_the_callback_is_removed(clusters, tmp_path):
    """The checkpoint holds the history, from which the callback computes its decision."""
    values = [1, 2, 3, 4, 5]
    make(EarlyStopping(patience=2), Told(values), Checkpoint(tmp_path)).fit(
        clusters, clusters, 5, 20
    )
    again = make(EarlyStopping(patience=2), Told(values))
    history = again.fit(clusters, clusters, 5, 20, resume=tmp_path / Checkpoint.LAST)
    assert (len(history), history.kept) == (3, 1)
    free = make(Told(values)).fit(clusters, clusters, 5, 20, resume=tmp_path / Checkpoint.LAST)
    assert len(free) == 5


def test_a_second_fit_starts_counting_again(clusters):
    stopping = EarlyStopping(patience=1)
    trainer = make(stopping, Told([1, 2, 3]))
    assert len(trainer.fit(clusters, clusters, 3, 20)) == 2
    assert len(trainer.fit(clusters, clusters, 3, 20)) == 2


def test_an_unknown_column_and_invalid_options_are_refused(clusters):
    with pytest.raises(ValueError, match=r"one of epoch, train_loss, .*; got 'test_f1'"):
        make(EarlyStopping("test_f1")).fit(clusters, clusters, 2, 20)
    with pytest.raises(ValueError, match="patience >= 0"):
        EarlyStopping(patience=-1)
    with pytest.raises(ValueError, match="'auto', 'min' or 'max', got 'least'"):
        EarlyStopping(mode="least")
    with pytest.raises(ValueError, match="min_delta >= 0, got nan"):
        EarlyStopping(min_delta=NAN)


def test_the_learning_rate_falls_on_a_plateau(clusters):
    """It is halved after two epochs without improvement; the next row has the new rate."""
    trainer = make(ReduceOnPlateau(factor=0.5, patience=1), Told([5, 4, 4, 4, 4, 4]), lr=0.8)
    history = trainer.fit(clusters, clusters, 6, 20)
    assert history["lr"] == pytest.approx([0.8, 0.8, 0.8, 0.8, 0.4, 0.4])
    assert trainer.learner.damping == 0.25


def test_the_factor_of_a_plateau_multiplies_that_of_the_schedule(clusters):
    told = Told([0.5, 0.5, 0.6, 0.6], "test_accuracy")
    callback = ReduceOnPlateau("test_accuracy", factor=0.5, patience=0)
    trainer = make(callback, told, lr=0.8, schedule=lambda step: 0.5)
    history = trainer.fit(clusters, clusters, 4, 20)
    assert history["lr"] == pytest.approx([0.4, 0.4, 0.2, 0.2])


def test_the_history_is_written_after_each_epoch(clusters, tmp_path):
    lines = []

    class Look(Callback):
        def on_epoch(self, trainer):
            lines.append(len((tmp_path / "new" / "h.csv").read_text().splitlines()))

    history = make(CSVLogger(tmp_path / "new" / "h.csv"), Look()).fit(clusters, clusters, 3, 20)
    assert lines == [2, 3, 4]
    with (tmp_path / "new" / "h.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["test_loss"]) for row in rows] == pytest.approx(
        history["test_loss"], rel=1e-5
    )


def test_the_best_checkpoint_is_kept_beside_the_last(clusters, tmp_path):
    told = Told([3, 1, 2])
    make(Checkpoint(tmp_path), told).fit(clusters, clusters, 3, 20)
    states = {name: checkpoint.read(tmp_path / f"{name}.safetensors") for name in ("best", "last")}
    for name, epoch in (("best", 2), ("last", 3)):
        assert states[name]["position"]["epoch"] == epoch
        np.testing.assert_array_equal(
            states[name]["model"]["layers.0.weight"], told.weights[epoch - 1]
        )
    make(Checkpoint(tmp_path / "b", best=False)).fit(clusters, None, 1, 20)
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["last.safetensors"]


@pytest.mark.parametrize("event", ["on_start", "on_step", "on_log", "on_epoch", "on_end"])
def test_all_callbacks_are_notified_of_an_error(clusters, event):
    """The error is raised afterwards, even if a callback fails in on_error."""
    told = []

    class Bad(Callback):
        def on_error(self, trainer, error):
            raise OSError("full")

    def fail(self, trainer, *args):
        raise LookupError("mine")

    class Good(Callback):
        def on_error(self, trainer, error):
            told.append(str(error))

    setattr(Bad, event, fail)
    with pytest.raises(LookupError, match="mine") as caught:
        make(Bad(), Good()).fit(clusters, None, 2, 20)
    assert told == ["mine"]
    assert caught.value.__notes__ == ["Bad.on_error raised OSError('full')."]


# --- whether gradients are read -------------------------------------------------------------------


class States(CSVLogger):
    """A subclass with a method of its own that states that it reads no gradients."""

    reads_gradients = False

    def on_log(self, trainer, progress):
        super().on_log(trainer, progress)


class Overrides(CSVLogger):
    def on_step(self, trainer):
        pass


class Helps(CSVLogger):
    """What it computes may be called from a method of its base."""

    @property
    def path(self):
        return self.kept

    @path.setter
    def path(self, path):
        self.kept = path


class Renames(CSVLogger):
    order = 1


class Again(States):
    def on_epoch(self, trainer):
        super().on_epoch(trainer)


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (CSVLogger, False),
        (Renames, False),
        (States, False),
        (Overrides, True),
        (Helps, True),
        (Again, True),
    ],
)
def test_what_a_class_states_of_gradients_does_not_count_for_methods_of_a_subclass(
    kind, answer, clusters, tmp_path
):
    callback = kind(tmp_path / "log.csv")
    assert reads_gradients(callback) is answer
    seen = []

    class Looks(Callback):
        reads_gradients = False

        def on_step(self, trainer):
            seen.append(trainer.learner.keeps_gradients)

    make(callback, Looks()).fit(clusters, epochs=1, batch_size=50)
    assert set(seen) == {answer}
    callback.reads_gradients = not answer  # of the object
    assert reads_gradients(callback) is not answer


def test_no_callback_of_the_package_or_its_command_line_keeps_gradients(tmp_path):
    """Apart from those that look at steps which they observe."""
    kinds = [*setup.Throttled.__subclasses__(), setup.IgnoreInterruptsAtEnd, run_files.RunFiles]
    kinds += [getattr(training, name) for name in training.__all__]
    found = [x for x in kinds if isinstance(x, type) and issubclass(x, Callback)]
    names = {x.__name__ for x in found if reads_gradients(object.__new__(x))}
    assert names == {"Callback", "TensorBoard"}
