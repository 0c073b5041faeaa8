"""Steps that C computes as a whole are made several in one call, with the results of single ones."""

import weakref

import numpy as np
import pytest

import xpnet
from tests.training.test_compiled import assert_same_weights, data, trainer_of, weights
from xpnet import functions as F
from xpnet.compiler import each_step
from xpnet.compiler.c import build, load
from xpnet.compiler.compiled import Compiled
from xpnet.compiler.undo import Undone
from xpnet.metrics import F1, accuracy
from xpnet.training import Callback

pytestmark = pytest.mark.skipif(
    not build.find_compilers() and not load.BINARIES.exists(),
    reason="there is neither a C compiler (cc, gcc or clang) nor a compiled library",
)

N = 97  # samples; the last batch of an epoch has 7


@pytest.fixture(autouse=True)
def _in_c(monkeypatch):
    monkeypatch.setenv("XPNET_EXECUTOR", "c")
    monkeypatch.setattr("xpnet.training.trainer.LONGEST_CALL", 60.0)
    with xpnet.using("numpy"):
        yield


@pytest.fixture
def calls(monkeypatch):
    """How many steps were made by each call of `scan`."""
    found = []
    scan = Compiled.scan

    def counted(compiled, *stacked):
        found.append(len(stacked[0]))
        return scan(compiled, *stacked)

    monkeypatch.setattr(Compiled, "scan", counted)
    return found


def trained(epochs=3, **options):
    trainer = trainer_of(**{"metrics": [accuracy], "log_every": 60.0, **options})
    trainer.fit(data(N), epochs=epochs, batch_size=15)
    return trainer


def assert_close_weights(a, b):
    """C rounds otherwise than NumPy."""
    for x, y in zip(weights(a), weights(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)


class Counter(Callback):
    """Counts the steps that it is notified of."""

    def __init__(self):
        self.batches = []

    def on_step(self, trainer):
        self.batches.append(trainer.batch)


def test_the_results_are_those_of_single_steps(calls):
    together = trained()
    assert max(calls) == 6  # all whole batches of an epoch
    calls.clear()
    alone = trained(log_every=0.0)
    assert calls == []
    assert_same_weights(together, alone)
    assert together.steps == alone.steps == 3 * 7
    for name in ("train_loss", "train_accuracy"):
        assert together.history[name] == alone.history[name]


def test_dropout_draws_the_same_numbers(calls):
    together = trainer_of(xpnet.Dropout(0.5, rng=1), log_every=60.0)
    together.fit(data(N), epochs=3, batch_size=15)
    assert max(calls) == 6
    alone = trainer_of(xpnet.Dropout(0.5, rng=1), log_every=0.0)
    alone.fit(data(N), epochs=3, batch_size=15)
    assert_same_weights(together, alone)


@pytest.mark.parametrize(
    "options",
    [
        {"log_every": 0.0},
        {"callbacks": [Counter()]},
        {"metrics": [F1(average="macro")]},
        {"schedule": lambda step: 1.0 / (1.0 + step)},
        {"accumulate": 2},
    ],
    ids=lambda options: next(iter(options)),
)
def test_steps_are_made_one_by_one_if_something_happens_between_them(calls, options):
    trainer = trained(**options)
    assert calls == []
    assert_close_weights(trainer, trained(**options | {"compile": False, "callbacks": []}))
    for counter in options.get("callbacks", ()):
        assert counter.batches == 3 * [1, 2, 3, 4, 5, 6, 7]


def test_an_action_of_the_users_may_read_how_far_the_training_is(calls):
    def fitted(**options):
        def loss(y, t):
            return F.softmax_cross_entropy(y, t) * each_step(lambda: 1.0 / (1.0 + found().steps))

        trainer = trainer_of(loss=loss, log_every=60.0, **options)
        found = weakref.ref(trainer)
        trainer.fit(data(N), epochs=3, batch_size=15)
        return trainer

    trainer = fitted()
    assert trainer.compiled[0].replays
    assert calls == []
    assert_close_weights(trainer, fitted(compile=False))


def test_a_later_call_of_a_scan_that_cannot_be_rehearsed_runs_as_it_is():
    """Those before it were made: the caller could not make all of them anew."""
    made = []

    def double(x):
        return 2.0 * x

    compiled = Compiled(double, fallback=True, rehearse=True, undo=True)
    call = Compiled.__call__

    def failing(self, *args):
        made.append(args)
        if len(made) == 2:
            raise Undone
        return call(self, *args)

    compiled.__class__ = type("Failing", (Compiled,), {"__call__": failing})
    compiled._ready_for = lambda args: None
    x = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(compiled.scan(x), 2.0 * x)
    assert len(made) == 3
