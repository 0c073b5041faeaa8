"""Steps that take their rows by themselves are those of the trainer, whatever is changed or overridden."""

import numpy as np
import pytest

import xpnet
from tests.training.test_compiled import assert_same_weights, data, trainer_of
from xpnet import functions as F
from xpnet.data import DataLoader
from xpnet.metrics import accuracy
from xpnet.training import Callback


@pytest.fixture(autouse=True)
def _on_numpy(monkeypatch):
    """The executor whose results are those of eager steps bit for bit."""
    monkeypatch.setenv("XPNET_EXECUTOR", "numpy")
    with xpnet.using("numpy"):
        yield


def loader_of(kind=DataLoader, **options):
    x, t = data()
    return kind(x, t, batch_size=15, shuffle=True, seed=4, **{"resident": True, **options})


# --- what a callback changes ----------------------------------------------------------------------


class At(Callback):
    """Calls a function once, after a step."""

    def __init__(self, step, function):
        self.step = step
        self.function = function

    def on_step(self, trainer):
        if trainer.batch + 6 * len(trainer.history) == self.step:
            self.function(trainer)


def set_accumulate(n):
    def change(trainer):
        trainer.learner.accumulate = n

    return change


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize(
    ("before", "at", "after", "steps"),
    [(1, 6, 3, 6 + 2), (3, 6, 1, 2 + 6), (3, 4, 1, 1 + 1 + 1 + 6), (1, 2, 4, 2 + 1 + 2)],
)
def test_a_callback_changes_how_many_batches_make_a_step(resident, before, at, after, steps):
    """Also while batches wait for others: the next one ends their step."""

    def trained(**options):
        change = At(at, set_accumulate(after))
        trainer = trainer_of(accumulate=before, callbacks=[change], **options)
        trainer.fit(loader_of(resident=resident), epochs=2)
        return trainer

    trainer = trained(compile=True)
    assert trainer.steps == steps
    assert_same_weights(trainer, trained(compile=False))


def wrong(y, t):
    return 1.0 - accuracy(y, t)


def positive(y, t):
    xp = xpnet.array_namespace(y)
    return xp.mean(xp.astype(y > 0.0, y.dtype))


@pytest.mark.parametrize("metrics", [[], [wrong], [positive, accuracy]])
def test_a_callback_changes_the_metrics(metrics):
    """From the next epoch on they are those of the history, with figures of their own."""

    def change(trainer):
        trainer.metrics = metrics

    def trained(**options):
        trainer = trainer_of(metrics=[accuracy], callbacks=[At(3, change)], **options)
        trainer.fit(loader_of(), epochs=3)
        return trainer

    trainer = trained(compile=True)
    plain = trained(compile=False)
    for row, expected in zip(trainer.history.rows, plain.history.rows, strict=True):
        assert row.keys() == expected.keys()
        for name in row.keys() - {"seconds", "samples_per_s"}:
            assert row[name] == pytest.approx(expected[name], rel=1e-6)
    assert trainer.history.rows[2].keys() >= {f"train_{metric.__name__}" for metric in metrics}
    assert trainer.compiled[0].replays


# --- what is overridden ---------------------------------------------------------------------------


class Negated(DataLoader):
    """Its batches are negated on the device."""

    def take(self, rows):
        x, t = super().take(rows)
        return -x, t


class NegatedRows(DataLoader):
    @staticmethod
    def taken(x, rows):
        found = DataLoader.taken(x, rows)
        return -found if found.dtype == np.float32 else found


def with_own_epoch():
    loader = loader_of()
    usual = loader.epoch
    loader.epoch = lambda epoch, start=0: ((-x, t) for x, t in usual(epoch, start))
    return loader


def with_own_take():
    loader = loader_of()
    usual = loader.take

    def take(rows):
        x, t = usual(rows)
        return -x, t

    loader.take = take
    return loader


@pytest.mark.parametrize(
    "make",
    [
        lambda: loader_of(Negated),
        lambda: loader_of(NegatedRows),
        with_own_epoch,
        with_own_take,
    ],
    ids=["take", "taken", "epoch of the object", "take of the object"],
)
def test_batches_are_those_of_the_loader(make):
    trainer = trainer_of()
    trainer.fit(make(), epochs=2)
    x, t = data()
    plain = trainer_of(compile=False)
    plain.fit(DataLoader(-x, t, batch_size=15, shuffle=True, seed=4, resident=True), epochs=2)
    assert_same_weights(trainer, plain)
    assert trainer.compiled[0].replays


@pytest.mark.parametrize("owner", ["trainer", "learner"])
def test_a_step_that_is_wrapped_is_called(owner):
    trainer = trainer_of()
    wrapped = trainer if owner == "trainer" else trainer.learner
    usual = wrapped.step
    sizes = []

    def step(x, t):
        sizes.append(len(t))
        return usual(x, t)

    wrapped.step = step
    trainer.fit(loader_of(), epochs=2)
    assert sizes == [15] * 12
    assert trainer.compiled[0].replays


def test_an_update_that_is_wrapped_is_called():
    trainer = trainer_of(compile=True)
    usual = trainer.learner.update
    calls = []

    def update():
        calls.append(trainer.steps)
        usual()

    trainer.learner.update = update
    trainer.fit(loader_of(), epochs=2)
    assert calls == list(range(12))
    plain = trainer_of(compile=False)
    plain.fit(loader_of(), epochs=2)
    assert_same_weights(trainer, plain)


# --- whose gradients are read ---------------------------------------------------------------------


def norm(trainer):
    return sum(float(F.sum(p.grad**2)) for p in trainer.model.parameters())


@pytest.mark.parametrize("owner", ["subclass", "trainer", "learner"])
def test_a_step_may_read_the_gradients(owner):
    norms = []

    class Reads(xpnet.training.Trainer):
        def step(self, x, t):
            found = super().step(x, t)
            norms.append(norm(self))
            return found

    trainer = trainer_of(kind=Reads if owner == "subclass" else xpnet.training.Trainer)
    if owner != "subclass":
        wrapped = trainer if owner == "trainer" else trainer.learner
        usual = wrapped.step

        def step(x, t):
            found = usual(x, t)
            norms.append(norm(trainer))
            return found

        wrapped.step = step
    trainer.fit(loader_of(), epochs=2)
    assert len(norms) == 12
    assert min(norms) > 0.0


def test_after_the_training_steps_keep_their_gradients_again():
    trainer = trainer_of()
    trainer.fit(loader_of(), epochs=1)
    x, t = next(iter(loader_of()))
    for _ in range(5):
        trainer.step(x, t)
    assert norm(trainer) > 0.0


def test_after_an_error_steps_keep_their_gradients_again():
    def fail(trainer):
        raise RuntimeError("the callback's")

    class Fails(At):
        reads_gradients = False

        def __init__(self):
            super().__init__(2, fail)

    trainer = trainer_of(callbacks=[Fails()])
    with pytest.raises(RuntimeError, match="the callback's"):
        trainer.fit(loader_of(), epochs=1)
    assert trainer.learner.keeps_gradients
