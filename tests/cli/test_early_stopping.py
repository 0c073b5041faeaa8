"""Early stopping on the command line: `--patience`, `--validation`, and `--class-weight`."""

import csv
import json
import re
import tomllib
from base64 import b64decode

import numpy as np
import pytest
import safetensors.numpy

from xpnet.data import split


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """A table of 200 rows with two classes, which a line parts but for noise; a network learns the noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5))
    t = np.where(x[:, 0] + rng.normal(size=200) > 0, "yes", "no")
    path = tmp_path_factory.mktemp("tables") / "noisy.csv"
    lines = ["a,b,c,d,e,answer"]
    lines += [
        ",".join([*(f"{value:.6f}" for value in row), name]) for row, name in zip(x, t, strict=True)
    ]
    path.write_text("\n".join([*lines, ""]))
    return path


def config_of(run):
    return tomllib.loads((run / "config.toml").read_text())


def rows_of(run):
    with (run / "history.csv").open(newline="") as file:
        return [{name: float(x) for name, x in row.items()} for row in csv.DictReader(file)]


def test_a_table_stops_early_by_default_and_keeps_the_best_epoch(run_xpnet, noisy, tmp_path):
    run = tmp_path / "run"
    answer = run_xpnet("train", noisy, "--lr", 0.01, "--out", run)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("144 training, 16 validation and 40 test samples")
    assert "validation loss" in answer.out
    assert "test loss" not in answer.out
    rows = rows_of(run)
    losses = [row["validation_loss"] for row in rows]
    best = int(np.argmin(losses)) + 1
    assert len(rows) == best + 10
    stopped = f"Stopped after epoch {best + 10} of 100: validation loss was best in epoch {best}, whose weights are kept."
    assert stopped in answer.out
    accuracy = rows[best - 1]["test_accuracy"]
    assert f"Test accuracy {accuracy:.2%}, with the weights of epoch {best}, after" in answer.out
    assert config_of(run)["patience"] == 10
    assert config_of(run)["validation"] == 0.1
    answer = run_xpnet("evaluate", run)
    assert answer.out.startswith("40 test samples of ")  # nothing about an unfinished training
    assert f"accuracy {accuracy:.2%}" in answer.out


def test_the_validation_is_of_training_samples(run_xpnet, noisy, tmp_path):
    """The test is the same with and without it."""
    losses = []
    for name, flags in (("with", ()), ("without", ("--patience", 0))):
        run = tmp_path / name
        answer = run_xpnet("train", noisy, "--epochs", 1, "--lr", 1e-12, "--out", run, *flags)
        assert answer.code == 0
        losses.append(rows_of(run)[0]["test_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_without_patience_all_epochs_are_done(run_xpnet, noisy, tmp_path):
    run = tmp_path / "run"
    answer = run_xpnet("train", noisy, "--patience", 0, "--epochs", 12, "--lr", 0.05, "--out", run)
    assert answer.out.startswith("160 training and 40 test samples")
    assert len(rows_of(run)) == 12
    assert "Stopped" not in answer.out
    assert "with the weights of" not in answer.out
    assert "validation" not in config_of(run)


def test_a_share_without_patience_is_measured_only(run_xpnet, noisy, tmp_path):
    run = tmp_path / "run"
    flags = ("--patience", 0, "--validation", 0.25, "--epochs", 3)
    answer = run_xpnet("train", noisy, *flags, "--out", run)
    assert answer.out.startswith("120 training, 40 validation and 40 test samples")
    assert len(rows_of(run)) == 3
    assert "validation_accuracy" in rows_of(run)[0]


def test_few_rows_are_all_learned(run_xpnet, flowers, tmp_path):
    """Of fewer than 100 training rows, a tenth says too little."""
    answer = run_xpnet("train", flowers, "--epochs", 2, "--out", tmp_path / "run")
    assert answer.out.startswith("48 training and 12 test samples")
    answer = run_xpnet(
        "train", flowers, "--epochs", 2, "--patience", 3, "--out", tmp_path / "asked"
    )
    assert answer.out.startswith("43 training, 5 validation and 12 test samples")


def test_images_stop_early_if_they_are_asked_to(train, tmp_path):
    answer = train("--epochs", 30, "--patience", 1, "--lr", 1.0, "--out", tmp_path / "run")
    assert answer.code == 0
    assert "Stopped after epoch" in answer.out


def test_a_regression_stops_early(run_xpnet, plane, tmp_path):
    run = tmp_path / "run"
    flags = ("--task", "regress", "--patience", 2, "--lr", 0.1, "--out", run)
    answer = run_xpnet("train", plane, *flags)
    assert answer.code == 0
    found = re.search(r"Test R2 (\S+), mean .* with the weights of epoch (\d+)", answer.out)
    assert float(found[1]) == pytest.approx(rows_of(run)[int(found[2]) - 1]["test_r2"], abs=1e-4)
    pytest.importorskip("matplotlib", reason="the curves are drawn")
    assert run_xpnet("evaluate", run).code == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    curves = [b64decode(data).decode() for data in re.findall(r"svg\+xml;base64,([^\"]+)", page)]
    assert any(
        f"<!-- after epoch {found[2]}, whose weights are kept -->" in text for text in curves
    )


def test_a_repeated_and_a_resumed_run_stop_at_the_same_epoch(run_xpnet, noisy, tmp_path):
    run = tmp_path / "run"
    first = run_xpnet("train", noisy, "--lr", 0.01, "--out", run)
    again = run_xpnet("train", "--config", run / "config.toml", "--out", tmp_path / "again")
    resumed = run_xpnet("train", "--resume", run)
    results = []
    for answer in (first, again, resumed):
        assert answer.code == 0, answer.err
        results.append(
            re.findall(r"^Stopped after .*$|^Test .*(?=, after)", answer.out, re.MULTILINE)
        )
    assert len(results[0]) == 2
    assert results[0] == results[1] == results[2]
    weights = [
        safetensors.numpy.load_file(path / "model.safetensors")
        for path in (run, tmp_path / "again")
    ]
    for name, x in weights[0].items():
        np.testing.assert_array_equal(x, weights[1][name])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--patience", -1), "-1"),
        (("--validation", 0), "between 0 and 1"),
        (("--validation", 1.5), "between 0 and 1"),
        (("--validation", "x"), "between 0 and 1"),
        (("--class-weight", "even"), "expected one of balanced"),
        (("--task", "regress", "--class-weight", "balanced"), "it is for classes"),
    ],
)
def test_wrong_flags_are_refused(run_xpnet, noisy, tmp_path, flags, message):
    answer = run_xpnet("train", noisy, *flags, "--out", tmp_path / "run")
    assert answer.code == 2
    assert message in " ".join(answer.err.replace("│", " ").split())
    assert not (tmp_path / "run").exists()


# --- the weights of classes -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def rare(tmp_path_factory):
    """A table of 400 rows, of which one in ten has the class "yes", next to the others."""
    rng = np.random.default_rng(1)
    t = np.arange(400) % 10 == 0
    x = rng.normal(size=(400, 2)) + 1.2 * t[:, None]
    path = tmp_path_factory.mktemp("tables") / "rare.csv"
    names = np.where(t, "yes", "no")
    lines = ["a,b,answer"]
    lines += [f"{a:.6f},{b:.6f},{name}" for (a, b), name in zip(x, names, strict=True)]
    path.write_text("\n".join([*lines, ""]))
    return path


def recall_of(answer, name):
    return float(re.search(rf"^ *{name} +\d+ +(\S+)%", answer.out, re.MULTILINE)[1])


def test_balanced_classes_make_a_rare_one_found_more_often(run_xpnet, rare, tmp_path):
    recalls = []
    for name, flags in (("as they are", ()), ("balanced", ("--class-weight", "balanced"))):
        run = tmp_path / name
        answer = run_xpnet("train", rare, "--hidden", 8, *flags, "--out", run)
        assert answer.code == 0, answer.err
        recalls.append(recall_of(run_xpnet("evaluate", run), "yes"))
        assert config_of(run).get("class-weight") == (flags[1] if flags else None)
    assert recalls[1] >= recalls[0] + 25


def test_the_loss_of_balanced_classes_is_the_weighted_mean(run_xpnet, rare, tmp_path):
    """With scikit-learn's weights, n / (classes times the samples of the class)."""
    run = tmp_path / "run"
    flags = ("--class-weight", "balanced", "--patience", 0, "--epochs", 1, "--lr", 1e-12)
    network = ("--hidden", 8, "--activation", "relu")
    answer = run_xpnet("train", rare, *network, *flags, "--batch-size", 320, "--out", run)
    assert answer.code == 0, answer.err
    with rare.open(newline="") as file:
        rows = list(csv.DictReader(file))
    t = np.asarray([row["answer"] == "yes" for row in rows]).astype(int)
    x = np.asarray([[float(row["a"]), float(row["b"])] for row in rows])
    train, test = split(t, 0.2, seed=0)
    x = (x - x[train].mean(0)) / x[train].std(0)
    state = safetensors.numpy.load_file(run / "model.safetensors")
    hidden = np.maximum(x[test] @ state["layers.0.weight"] + state["layers.0.bias"], 0)
    scores = hidden @ state["layers.2.weight"] + state["layers.2.bias"]
    losses = np.log(np.exp(scores).sum(1)) - scores[np.arange(len(test)), t[test]]
    weights = (len(train) / (2 * np.bincount(t[train])))[t[test]]
    expected = (weights * losses).sum() / weights.sum()
    assert rows_of(run)[0]["test_loss"] == pytest.approx(expected, rel=1e-4)
    assert json.loads((run / "config.json").read_text())["class_weight"] == "balanced"
    stated = re.search(r"^Test loss (\S+),", run_xpnet("evaluate", run).out, re.MULTILINE)[1]
    assert float(stated) == pytest.approx(expected, abs=6e-5)  # not the mean without weights
    assert abs(losses.mean() - expected) > 1e-3
