"""The training loop: its results, its transfers between host and device, and its end."""

import math
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import numpy as np
import pytest

import xpnet
from xpnet import functions as F
from xpnet.metrics import F1, accuracy
from xpnet.training import Callback, CSVLogger, Interrupts, Trainer
from xpnet.training.interrupt import ignore_in_all_blocks


def make(rng=0, callbacks=(), hidden=8, log_every=0.25, lr=0.1):
    """A trainer of a small network; weights and order from one stream, as in the command line."""
    rng = np.random.default_rng(rng)
    model = xpnet.MLP(4, hidden, 3, rng=rng)
    optimizer = xpnet.Momentum(model.parameters(), lr=lr)
    return Trainer(model, F.softmax_cross_entropy, optimizer, [accuracy], callbacks, rng, log_every)


def test_a_trainer_learns_and_records_it(backend, clusters):
    """Linearly separable clusters are learned without a mistake."""
    trainer = make()
    history = trainer.fit(clusters, clusters, epochs=5, batch_size=20)
    assert history["epoch"] == [1, 2, 3, 4, 5]
    assert history["test_accuracy"][-1] == pytest.approx(1.0)  # a mean, in float32
    assert history["test_loss"][-1] < 0.1 < history["train_loss"][0]
    assert not history.interrupted
    assert all(p.dtype == backend.dtype for p in trainer.model.parameters())


def test_an_epoch_equals_steps_written_by_hand(clusters):
    """NumPy, no autodiff: the same permutation, batches of 20 and a last one of 10, plain SGD."""
    x, t = clusters
    rng = np.random.default_rng(3)
    model = xpnet.MLP(4, [], 3, rng=rng)
    trainer = Trainer(
        model, F.softmax_cross_entropy, xpnet.SGD(model.parameters(), 0.5), [accuracy], rng=rng
    )
    by_hand = np.random.default_rng(3)
    W = (by_hand.standard_normal((4, 3)) * math.sqrt(2 / 4)).astype("float32")
    b = np.zeros(3, "float32")
    losses, right = 0.0, 0
    order = np.random.default_rng([by_hand.integers(2**63), 1]).permutation(110)
    for batch in np.split(order, range(20, 110, 20)):
        e = np.exp(x[batch] @ W + b)
        p = e / e.sum(axis=1, keepdims=True)
        losses -= np.log(p[range(len(batch)), t[batch]]).sum()
        right += (p.argmax(axis=1) == t[batch]).sum()
        g = (p - np.eye(3)[t[batch]]) / len(batch)
        W, b = W - 0.5 * x[batch].T @ g, b - 0.5 * g.sum(axis=0)
    began = time.monotonic()
    history = trainer.fit(clusters, epochs=1, batch_size=20)
    np.testing.assert_allclose(model[0].weight.data, W, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model[0].bias.data, b, rtol=1e-4, atol=1e-6)
    assert history["train_loss"][0] == pytest.approx(losses / 110, rel=1e-5)
    assert history["train_accuracy"][0] == pytest.approx(right / 110)
    assert history.columns == [
        "epoch", "train_loss", "train_accuracy", "lr", "seconds", "samples_per_s",
    ]  # fmt: skip
    assert 0.0 < history["seconds"][0] < time.monotonic() - began
    assert history["samples_per_s"][0] == pytest.approx(110 / history["seconds"][0], rel=0.2)


def test_one_seed_is_one_training_on_every_backend(backend, clusters):
    """Initial weights bit for bit, batches index for index, losses to the precision of float32."""

    class Batches(Trainer):
        def step(self, x, t):
            seen.append(xpnet.to_numpy(t).tolist())
            return super().step(x, t)

    def run():
        seen.clear()
        rng = np.random.default_rng(5)
        model = xpnet.MLP(4, 8, 3, rng=rng)
        begin = {name: xpnet.to_numpy(x).copy() for name, x in model.state_dict().items()}
        optimizer = xpnet.Adam(model.parameters())
        trainer = Batches(model, F.softmax_cross_entropy, optimizer, rng=rng)
        return begin, trainer.fit(clusters, epochs=3, batch_size=32)["train_loss"], list(seen)

    seen = []
    begin, losses, batches = run()
    with xpnet.using("numpy"):
        begin_numpy, losses_numpy, batches_numpy = run()
    for name, x in begin.items():
        assert x.tobytes() == begin_numpy[name].tobytes()
    assert batches == batches_numpy
    np.testing.assert_allclose(losses, losses_numpy, rtol=1e-4)


def test_each_epoch_has_all_samples_once_in_another_order(clusters):
    """Two epochs: every label as often as in the data, including the last short batch."""
    seen = []

    class Batches(Trainer):
        def step(self, x, t):
            seen.append(xpnet.to_numpy(t).tolist())
            return super().step(x, t)

    model = xpnet.MLP(4, 2, 3, rng=0)
    optimizer = xpnet.SGD(model.parameters())
    Batches(model, F.softmax_cross_entropy, optimizer, rng=0).fit(clusters, None, 2, 30)
    assert [len(batch) for batch in seen] == [30, 30, 30, 20] * 2
    first, second = (list(chain(*part)) for part in (seen[:4], seen[4:]))
    assert sorted(first) == sorted(second) == sorted(clusters[1].tolist())
    assert first != second


def _count_transfers(monkeypatch):
    """Calls of to_numpy, wherever a module has imported it, by the function that asks."""
    calls = []

    def counted(x):
        calls.append(np.shape(getattr(x, "data", x)))
        return xpnet.backend.to_numpy(x)

    for module in ("meter", "batches"):
        monkeypatch.setattr(f"xpnet.training.{module}.to_numpy", counted)
    return calls


def test_the_loss_is_transferred_once_per_log_line(monkeypatch, clusters):
    """3 epochs of 11 steps, no log line within them: 4 arrays are sent, 2 figures read per epoch."""
    calls = _count_transfers(monkeypatch)
    make(log_every=1e9).fit(clusters, clusters, epochs=3, batch_size=10)
    assert calls[:4] == [(110, 4), (110,)] * 2  # the data, once for the run
    assert len(calls) == 4 + 3 * 2  # per epoch: its own figures, and those of its test


def test_log_every_of_zero_logs_each_step(monkeypatch, clusters):
    """The control of the test above: without time between log lines there is one per step."""
    calls = _count_transfers(monkeypatch)
    make(log_every=0.0).fit(clusters, epochs=1, batch_size=10)
    assert len(calls) == 2 + 11


def test_a_step_transfers_nothing_to_the_host(clusters, monkeypatch):
    """On a simulated device NumPy raises for a transfer; those by to_numpy are counted."""
    with xpnet.using("array_api_strict:device1") as backend:
        trainer = make()
        x, t = (backend.asarray(a) for a in clusters)
        with pytest.raises(Exception, match="device"):
            np.asarray(x)  # the trap is armed
        monkeypatch.setattr("xpnet.backend.compat", None)  # now to_numpy and asarray fail
        for _ in range(3):  # the first one is recorded, the others are replayed
            y, loss = trainer.step(x, t)
    assert loss.device == y.device == backend.device


def test_an_interrupted_fit_keeps_what_it_learned(backend, clusters):
    """Ctrl-C in the third epoch: two rows, weights that have moved on, on_end called."""

    class Impatient(Callback):
        ended = 0

        def on_log(self, trainer, progress):
            if progress.epoch == 3:
                raise KeyboardInterrupt

        def on_end(self, trainer):
            self.ended += 1
            assert trainer.history.interrupted

    impatient = Impatient()
    trainer = make(callbacks=[impatient], log_every=0.0)
    history = trainer.fit(clusters, clusters, epochs=9, batch_size=20)
    assert history.interrupted
    assert len(history) == 2
    assert impatient.ended == 1
    assert trainer.evaluate(clusters)["accuracy"] > 0.9


def test_ctrl_c_at_the_start_waits_until_all_callbacks_are_notified(clusters, ctrl_c):
    """A callback that gets on_end has got on_start, and has opened what it closes."""
    told = []

    class Impatient(Callback):
        def on_start(self, trainer):
            ctrl_c()

    class Second(Callback):
        def on_start(self, trainer):
            told.append("start")

        def on_end(self, trainer):
            told.append("end")

    history = make(callbacks=[Impatient(), Second()]).fit(clusters, epochs=2)
    assert (history.interrupted, len(history), told) == (True, 0, ["start", "end"])


def test_invalid_arguments_of_a_trainer_are_refused(clusters):
    """Each error has what was expected, before the data are looked at."""
    model, loss = xpnet.MLP(4, 8, 3, rng=0), F.softmax_cross_entropy
    sgd = xpnet.SGD(model.parameters())
    for error, said, args, options in (
        (TypeError, "a function as loss, got 'mse'", (model, "mse", sgd), {}),
        (TypeError, "a function as schedule, got 0.1", (model, loss, sgd), {"schedule": 0.1}),
        (TypeError, "an optimizer, .* got <class", (model, loss, xpnet.SGD), {}),
        (
            ValueError,
            "optimizer of this model's parameters, got SGD.*none of them",
            (xpnet.MLP(4, 8, 3), loss, sgd),
            {},
        ),
        (TypeError, "metrics in a list.*'accuracy'", (model, loss, sgd, ["accuracy"]), {}),
        (TypeError, "metrics in a list.*function", (model, loss, sgd, accuracy), {}),
        (
            TypeError,
            "metrics in a list.*class",
            (model, loss, sgd, [type(F1(average="macro"))]),
            {},
        ),
        (TypeError, "callbacks in a list.*class", (model, loss, sgd, (), [CSVLogger]), {}),
        (TypeError, "callbacks in a list", (model, loss, sgd, (), CSVLogger("h.csv")), {}),
        (TypeError, "callbacks in a list.*None", (model, loss, sgd, (), None), {}),
        (TypeError, "in a list.*generator", (model, loss, sgd, (), (c for c in [Callback()])), {}),
        (TypeError, "a function as schedule, got 0", (model, loss, sgd), {"schedule": 0}),
        (TypeError, "unexpected keyword argument 'seed'", (model, loss, sgd), {"seed": 0}),
        (TypeError, "integer", (model, loss, sgd), {"accumulate": 2.5}),
    ):
        with pytest.raises(error, match=said):
            Trainer(*args, **options)
    aside = Trainer(model, lambda y, t: float(xpnet.to_numpy(y).mean()), sgd)
    with pytest.raises(
        xpnet.GradientError, match="the loss to be a Variable, got float: compute it"
    ):
        aside.fit(clusters)


def test_ctrl_c_after_the_last_epoch_interrupts_nothing(clusters):
    """The training is complete; only a callback was interrupted."""

    class Late(Callback):
        def on_epoch(self, trainer):
            raise KeyboardInterrupt

    history = make(callbacks=[Late()]).fit(clusters, epochs=1)
    assert not history.interrupted
    assert len(history) == 1


@pytest.fixture
def ctrl_c(monkeypatch):
    """A function that presses Ctrl-C, answered as Python does, also where pytest's caller does not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler  # whatever was held
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("epoch", [2, 99], ids=["interrupted", "complete"])
def test_ctrl_c_is_ignored_during_on_end(clusters, ctrl_c, epoch):
    """Pressed again while `on_end` writes, or there for the first time."""
    ended = []

    class Impatient(Callback):
        def on_log(self, trainer, progress):
            if progress.epoch == epoch:
                ctrl_c()

        def on_end(self, trainer):
            ctrl_c()
            ended.append(trainer.history.interrupted)

    history = make(callbacks=[Impatient()]).fit(clusters, epochs=3)
    assert ended == [history.interrupted] == [epoch == 2]
    with pytest.raises(KeyboardInterrupt):
        ctrl_c()


def test_a_block_ignores_ctrl_c_for_itself_only(clusters, ctrl_c):
    """A training ignores it until its own end; a caller may ask for the same afterwards."""
    with Interrupts():
        make().fit(clusters, epochs=1)
        with pytest.raises(KeyboardInterrupt):
            ctrl_c()
        ignore_in_all_blocks()
        ctrl_c()
    with pytest.raises(KeyboardInterrupt):
        ctrl_c()


def test_a_second_press_within_a_second_counts_as_the_first(ctrl_c):
    """It comes while the first KeyboardInterrupt is being handled; a later one counts again."""
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            ctrl_c()
        ctrl_c()
        interrupts.pressed -= 2.0  # seconds
        with pytest.raises(KeyboardInterrupt):
            ctrl_c()


def test_other_threads_and_own_handlers_are_left_alone(clusters, monkeypatch):
    """Only the main thread may set handlers, and a program may have its own."""
    with ThreadPoolExecutor(1) as pool:
        assert len(pool.submit(make().fit, clusters, None, 1).result()) == 1
    mine = lambda *_: None  # noqa: E731 - it is compared
    before = signal.signal(signal.SIGINT, mine)
    try:
        make().fit(clusters, epochs=1)
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_test_loss_that_is_not_finite_is_an_error(clusters):
    """With one step per epoch, the training loss is computed before the step that ruins the weights."""
    trainer = make(lr=1e30)
    with pytest.raises(
        xpnet.TrainingError, match=r"The test loss became (nan|inf) after epoch 1.* than 1e"
    ):
        trainer.fit(clusters, clusters, epochs=3, batch_size=110)
    assert len(trainer.history) == 0


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_loss_that_is_not_finite_is_an_error_with_advice(clusters):
    """At the next log line, with the epoch, the loss and the learning rate in the message."""
    with pytest.raises(xpnet.TrainingError, match=r"became (nan|inf) in epoch 1.* than 1e\+30"):
        make(lr=1e30).fit(clusters, epochs=3, batch_size=10)


@pytest.mark.parametrize(
    ("bad", "said"), [(3, "from 0 to 3"), (-1, "from -1 to 2")], ids=["high", "negative"]
)
def test_labels_outside_the_classes_are_an_error_before_the_training(backend, clusters, bad, said):
    """In the test data too; no weight has moved and no callback was notified."""

    class Nobody(Callback):
        def on_start(self, trainer):
            raise AssertionError("the training began")

    x, t = clusters
    wrong = t.copy()
    wrong[17] = bad
    trainer = make(callbacks=[Nobody()])
    for train, test in (((x, wrong), None), ((x, t), (x, wrong))):
        with pytest.raises(xpnet.DataError, match=f"{said}, but the model has 3 outputs"):
            trainer.fit(train, test)


def test_data_that_do_not_fit_are_refused(clusters):
    """No samples, too few targets, the wrong width, no epochs, empty batches."""
    x, t = clusters
    trainer = make()
    with pytest.raises(xpnet.ShapeError, match=r"got shape \(0, 4\)"):
        trainer.fit((x[:0], t[:0]))
    with pytest.raises(xpnet.ShapeError, match=r"each of the 110 samples.*\(109,\)"):
        trainer.fit((x, t[1:]))
    with pytest.raises(xpnet.ShapeError, match="Affine"):
        trainer.fit((x[:, 1:], t))
    with pytest.raises(ValueError, match="epochs >= 1, got 0"):
        trainer.fit(clusters, epochs=0)
    with pytest.raises(ValueError, match="batch_size >= 1, got 0"):
        trainer.fit(clusters, batch_size=0)


def test_a_regression_needs_no_metric_and_no_labels(backend):
    """y = 2 x + 1 by least squares; float64 data become the backend's float32."""
    x = np.linspace(-1, 1, 50)[:, None]
    model = xpnet.MLP(1, [], 1, rng=0)
    optimizer = xpnet.SGD(model.parameters(), 0.3)
    trainer = Trainer(model, F.mean_squared_error, optimizer, rng=0)
    history = trainer.fit((x, 2 * x + 1), epochs=30, batch_size=10)
    assert history.columns == ["epoch", "train_loss", "lr", "seconds", "samples_per_s"]
    assert model[0].weight.dtype == backend.dtype
    np.testing.assert_allclose(xpnet.to_numpy(trainer.predict([[3.0]])), [[7.0]], rtol=1e-3)


def test_callbacks_are_notified_in_order(clusters):
    """Start, then log lines and the end of each epoch, then the end; each with its figures."""
    told = []

    class Listener(Callback):
        def on_start(self, trainer):
            told.append("start")

        def on_log(self, trainer, progress):
            assert set(progress.figures) == {"loss", "accuracy"}
            assert progress.samples_per_s > 0
            told.append((progress.epoch, progress.epochs, progress.seen, progress.samples))

        def on_epoch(self, trainer):
            told.append(len(trainer.history))

        def on_end(self, trainer):
            told.append("end")

    make(callbacks=[Listener()], log_every=1e9).fit(clusters, epochs=2)
    assert told == ["start", (1, 2, 110, 110), 1, (2, 2, 110, 110), 2, "end"]


def test_a_training_within_a_training_leaves_ctrl_c_to_it(clusters, ctrl_c):
    """The inner one ignores Ctrl-C until its own end, and no longer."""

    class Inner(Callback):
        def on_epoch(self, trainer):
            make().fit(clusters, epochs=1)
            ctrl_c()

    history = make(callbacks=[Inner()]).fit(clusters, epochs=3)
    assert (len(history), history.interrupted) == (1, True)


def test_a_handler_set_during_a_training_stays(clusters, ctrl_c):
    mine = lambda *_: None  # noqa: E731 - it is compared

    class Sets(Callback):
        def on_start(self, trainer):
            signal.signal(signal.SIGINT, mine)

    make(callbacks=[Sets()]).fit(clusters, epochs=1)
    assert signal.getsignal(signal.SIGINT) is mine
    signal.signal(signal.SIGINT, signal.default_int_handler)
