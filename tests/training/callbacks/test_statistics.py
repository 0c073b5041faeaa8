"""Statistics layer by layer: their values, their cost, and where they are written."""

import csv
from typing import Any, NamedTuple

import numpy as np
import pytest

import xpnet
from xpnet import functions as F
from xpnet.autodiff.variable import data_of
from xpnet.compiler.c import load
from xpnet.layers import Affine, BatchNorm1d, Dropout, Sequential
from xpnet.layers._context import hooks
from xpnet.layers.hooks import watching
from xpnet.training import Callback, Checkpoint, Statistics, Trainer
from xpnet.training.callbacks.probe import probing


def make(*callbacks, log_every=1e9, model=None, **options):
    model = model or xpnet.MLP(4, 8, 3, rng=0)
    optimizer = xpnet.SGD(model.parameters(), 0.1)
    return Trainer(
        model, F.softmax_cross_entropy, optimizer, (), callbacks, 0, log_every, **options
    )


def test_the_figures_are_those_of_the_step(backend, clusters):
    """One batch of all samples, compared with NumPy: outputs, gradients, weights after the step."""
    statistics = Statistics()
    trainer = make(statistics)
    W1, b1, W2, b2 = (xpnet.to_numpy(p).copy() for p in trainer.model.parameters())
    trainer.fit(clusters, None, 1, 110)
    (row,) = statistics.rows
    x, t = clusters
    h = x @ W1 + b1
    a = np.maximum(h, 0)
    e = np.exp(a @ W2 + b2)
    gy = (e / e.sum(axis=1, keepdims=True) - np.eye(3)[t]) / 110
    ga = gy @ W2.T
    expected = {
        "epoch": 1, "step": 1,
        "layers.0/output_mean": h.mean(), "layers.0/output_std": h.std(),
        "layers.0/output_zeros": 0, "layers.1/output_zeros": (a == 0).mean(),
        "layers.1/gradient_std": np.sqrt((ga**2).mean()),
        "layers.0/gradient_std": np.sqrt(((ga * (h > 0)) ** 2).mean()),
        "model/gradient_std": np.sqrt((gy**2).mean()),
        "layers.2.weight/grad_norm": np.linalg.norm(a.T @ gy),
        "layers.2.weight/norm": np.linalg.norm(W2 - 0.1 * a.T @ gy),
    }  # fmt: skip
    assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    assert len(row) == 2 + 4 * 4 + 4 * 2


def test_each_log_line_makes_one_row_with_one_transfer(clusters, monkeypatch):
    """With no log line within an epoch, only the first of its 11 steps is watched."""
    calls = []

    def counted(x):
        calls.append(np.shape(x))
        return xpnet.backend.to_numpy(x)

    monkeypatch.setattr("xpnet.training.callbacks.statistics.to_numpy", counted)
    statistics = Statistics()
    make(statistics).fit(clusters, None, 3, 10)
    assert [row["step"] for row in statistics.rows] == [1, 12, 23]
    assert calls == [(24,)] * 3
    make(statistics, log_every=0.0).fit(clusters, None, 1, 10)
    assert [row["step"] for row in statistics.rows] == list(range(1, 12))


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("executor", ["numpy", "c"])
def test_statistics_do_not_change_the_training(clusters, monkeypatch, executor, accumulate):
    """The weights are equal bit for bit, and no layer has an additional attribute afterwards.

    The layers have masks and running means: a step that is watched is run twice, once for the watcher.
    """
    if executor == "c":
        try:
            load.wait()
        except xpnet.CompileError as error:
            pytest.skip(str(error))
    monkeypatch.setenv("XPNET_EXECUTOR", executor)

    def trained(*callbacks, **options):
        xpnet.manual_seed(3)
        layers = [Affine(4, 40, rng=0), BatchNorm1d(40), Dropout(0.1, rng=1), Dropout(0.2)]
        model = Sequential(*layers, Affine(40, 3, rng=2))
        trainer = make(*callbacks, model=model, accumulate=accumulate, **options)
        trainer.fit(clusters, clusters, 2, 10)
        return trainer

    with_ = trained(Statistics(), log_every=0.0)
    without = trained()
    assert with_.compiled[0].replays
    assert not with_.learner.reason
    for name, x in without.model.state_dict().items():
        np.testing.assert_array_equal(with_.model.state_dict()[name], x)
    for name in ("train_loss", "test_loss"):
        assert with_.history[name] == without.history[name]
    assert hooks.get() == ()  # nobody watches any more


def test_a_watcher_that_changes_outputs_changes_the_training(clusters):
    """Its steps run as they are: it may replace what layers return."""
    trainer = make()

    def half_of(model):
        return watching(model, lambda layer, xs, y: y * 0.5)

    plain = make(compile=False)
    with half_of(trainer.model):
        trainer.fit(clusters, None, 1, 10)
        assert "hooks" in trainer.learner.reason
    assert trainer.learner.reason == ""
    another = make(compile=True)
    with half_of(another.model), pytest.raises(xpnet.CompileError, match="hooks watch"):
        another.fit(clusters, None, 1, 10)
    with half_of(plain.model):
        plain.fit(clusters, None, 1, 10)
    for a, b in zip(trainer.model.parameters(), plain.model.parameters(), strict=True):
        np.testing.assert_array_equal(xpnet.to_numpy(a), xpnet.to_numpy(b))


def test_statistics_are_written_to_a_file_and_to_the_history(clusters, tmp_path):
    statistics = Statistics(tmp_path / "new" / "s.csv", history=True)
    history = make(statistics, log_every=0.0).fit(clusters, None, 2, 55)
    with (tmp_path / "new" / "s.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    assert float(rows[3]["layers.0.weight/norm"]) == pytest.approx(
        history["layers.0.weight/norm"][1], rel=1e-5
    )
    assert history["layers.0.weight/norm"] == [
        statistics.rows[i]["layers.0.weight/norm"] for i in (1, 3)
    ]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_file_is_written_after_an_error_too(clusters, tmp_path):
    """It may show the reason."""
    trainer = make(Statistics(tmp_path / "s.csv"), log_every=0.0)
    trainer.optimizer.lr = 1e30
    with pytest.raises(xpnet.TrainingError):
        trainer.fit(clusters, None, 2, 10)
    assert len((tmp_path / "s.csv").read_text().splitlines()) > 1
    assert hooks.get() == ()


def test_a_checkpoint_holds_the_rows(clusters, tmp_path):
    first, then = Statistics(), Statistics()
    make(first, Checkpoint(tmp_path)).fit(clusters, None, 2, 10)
    make(then).fit(clusters, None, 3, 10, resume=tmp_path / Checkpoint.LAST)
    assert then.rows[:2] == first.rows
    assert then.rows[2]["step"] == 23


def test_a_parameter_without_a_gradient_has_only_a_norm(clusters):
    statistics = Statistics()
    trainer = make(statistics)
    trainer.model[0].bias.requires_grad = False
    trainer.fit(clusters, None, 1, 110)
    assert "layers.0.bias/norm" in statistics.rows[0]
    assert "layers.0.bias/grad_norm" not in statistics.rows[0]


def test_outputs_of_all_kinds_are_watched(backend):
    """Named tuples, lists and integers; values and gradients are unchanged."""

    class Pair(NamedTuple):
        y: Any
        rest: Any

    class Two(xpnet.Layer):
        def forward(self, x):
            return Pair(x * 2.0, [F.argmax(x), None])

    seen = []
    layer, x = Two(), xpnet.Variable(backend.asarray([1.0, 3.0]))
    with probing(layer, lambda *found: seen.append(found), lambda *found: seen.append(found)):
        y, (index, nothing) = layer(x)
        F.sum(y * y).backward()
    assert int(index) == 1
    assert nothing is None
    assert [name for name, _, _ in seen] == ["model", "model"]
    for (_, _, found), expected in zip(seen, ([2.0, 6.0], [4.0, 12.0]), strict=True):
        np.testing.assert_array_equal(xpnet.to_numpy(found), expected)
    np.testing.assert_array_equal(xpnet.to_numpy(data_of(x.grad)), [8.0, 24.0])


class Quiet(Callback):
    """Looks on."""


def test_empty_outputs_have_no_mean(clusters):
    class Empty(xpnet.Layer):
        def forward(self, x):
            return x[:, :0]

    class Net(xpnet.MLP):
        def __init__(self):
            super().__init__(4, [], 3, rng=0)
            self.nothing = Empty()

        def forward(self, x):
            self.nothing(x * 1.0)
            return super().forward(x)

    model, statistics = Net(), Statistics()
    optimizer = xpnet.SGD(model.parameters(), 0.1)
    Trainer(model, F.softmax_cross_entropy, optimizer, (), [statistics, Quiet()], 0).fit(
        clusters, None, 1, 110
    )
    assert not any(name.startswith("nothing") for name in statistics.rows[0])
