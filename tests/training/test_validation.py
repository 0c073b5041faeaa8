"""Validation data: measured after each epoch, and what callbacks decide by."""

import numpy as np
import pytest

import xpnet
from xpnet import functions as F
from xpnet.distributed import threads
from xpnet.metrics import accuracy
from xpnet.training import Callback, Checkpoint, EarlyStopping, ReduceOnPlateau, Trainer


def halves(seed=0):
    """Samples of two classes, which a line parts but for noise: 60 to learn, 30 and 30 to measure."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(120, 4))
    t = (x[:, 0] + 0.8 * rng.normal(size=120) > 0).astype(np.int64)
    return (x[:60], t[:60]), (x[60:90], t[60:90]), (x[90:], t[90:])


def trainer_of(*callbacks, **options):
    model = xpnet.MLP(4, 32, 2, rng=0)
    optimizer = xpnet.Adam(model.parameters(), lr=0.05)
    return Trainer(
        model, F.softmax_cross_entropy, optimizer, [accuracy], list(callbacks), rng=0, **options
    )


def test_each_row_has_the_figures_of_all_parts(backend):
    train, validation, test = halves()
    trainer = trainer_of()
    history = trainer.fit(train, test, epochs=2, batch_size=20, validation=validation)
    parts = [name for name in history.columns if name.endswith(("loss", "accuracy"))]
    assert parts == [
        *("train_loss", "train_accuracy"),
        *("validation_loss", "validation_accuracy"),
        *("test_loss", "test_accuracy"),
    ]
    for name, data in (("validation", validation), ("test", test)):
        expected = trainer.evaluate(data)
        for figure in ("loss", "accuracy"):
            assert history[f"{name}_{figure}"][-1] == pytest.approx(expected[figure], rel=1e-6)


def test_a_training_stops_by_the_validation_and_not_by_the_test(backend):
    """The weights of the epoch that is best on the validation are kept, whatever the test says."""
    train, validation, test = halves()
    trainer = trainer_of(EarlyStopping(patience=3))
    history = trainer.fit(train, test, epochs=60, batch_size=20, validation=validation)
    losses = history["validation_loss"]
    best = int(np.argmin(losses)) + 1
    assert history.kept == best
    assert len(history) == best + 3
    assert int(np.argmin(history["test_loss"])) + 1 != best
    assert trainer.evaluate(validation)["loss"] == pytest.approx(min(losses), rel=1e-6)
    assert trainer.reason == f"validation loss was best in epoch {best}, whose weights are kept"


def test_without_test_data_too(backend):
    train, validation, _ = halves()
    history = trainer_of().fit(train, epochs=1, batch_size=20, validation=validation)
    assert "test_loss" not in history
    assert "validation_loss" in history


@pytest.mark.parametrize("make", [ReduceOnPlateau, Checkpoint])
def test_other_callbacks_follow_the_validation(make, tmp_path):
    callback = make(tmp_path) if make is Checkpoint else make()
    train, validation, test = halves()
    trainer = trainer_of(callback)
    trainer.fit(train, test, epochs=1, batch_size=20, validation=validation)
    assert callback.monitor.name(trainer) == "validation_loss"
    if make is ReduceOnPlateau:
        trainer.fit(train, test, epochs=1, batch_size=20)
        assert callback.monitor.name(trainer) == "test_loss"


class Interrupting(Callback):
    """Ctrl-C in the fourth epoch."""

    def on_step(self, trainer):
        if len(trainer.history) == 3 and not trainer.resumed:
            raise KeyboardInterrupt


def test_a_resumed_training_ends_as_one_that_was_not_interrupted(tmp_path):
    train, validation, test = halves()
    straight = trainer_of(EarlyStopping(patience=3))
    expected = straight.fit(train, test, epochs=60, batch_size=20, validation=validation)
    checkpoint = Checkpoint(tmp_path)
    trainer_of(EarlyStopping(patience=3), Interrupting(), checkpoint).fit(
        train, test, epochs=60, batch_size=20, validation=validation
    )
    again = trainer_of(EarlyStopping(patience=3), Interrupting(), Checkpoint(tmp_path))
    found = again.fit(
        train, test, epochs=60, batch_size=20, resume=checkpoint.last, validation=validation
    )
    assert found["validation_loss"] == expected["validation_loss"]
    assert found.kept == expected.kept


def test_ranks_measure_their_shares_together():
    train, validation, _ = halves()
    expected = trainer_of().fit(train, epochs=2, batch_size=20, validation=validation)

    def rank(communicator):
        trainer = trainer_of(communicator=communicator)
        return trainer.fit(train, epochs=2, batch_size=20, validation=validation)

    for found in threads.run(2, rank):
        assert found["validation_loss"] == pytest.approx(expected["validation_loss"], rel=1e-4)
        assert found["validation_accuracy"] == pytest.approx(expected["validation_accuracy"])


def test_a_loss_that_is_not_finite_is_named():
    train, (x, t), _ = halves()
    huge = 3e38 * (x / abs(x).max())
    with np.errstate(all="ignore"), pytest.raises(xpnet.TrainingError, match="The validation loss"):
        trainer_of().fit(train, epochs=1, batch_size=20, validation=(huge, t))
