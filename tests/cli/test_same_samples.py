"""A run is tested and resumed on its own samples, and on others only if the user names them."""

import csv
import json
import re

import numpy as np
import pytest
import safetensors.numpy

from xpnet.data import split

QUICK = ("--hidden", 8, "--epochs", 2, "--quiet")


def write(path, rows, head="a,b,c,kind"):
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")


def accuracy(answer):
    return float(re.search(r"accuracy (\S+)%", answer.out)[1])


@pytest.fixture(scope="module")
def noise():
    """400 rows of numbers and a yes or no that have nothing to do with each other."""
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((400, 20)).round(4), rng.integers(0, 2, 400)
    head = ",".join([*(f"x{i}" for i in range(20)), "answer"])
    return head, [",".join([*map(str, row), "ny"[n]]) for row, n in zip(x.tolist(), t, strict=True)]


def with_another_value(rows):
    """The rows, with another number in one of the test."""
    _, tested = split([row[-1] for row in rows], 0.2, seed=0)
    place = int(tested[0])
    return [*rows[:place], rows[place].replace("0.", "1.", 1), *rows[place + 1 :]]


CHANGES = {
    "sorted": (sorted, "the same samples in another order"),
    "turned round": (lambda rows: rows[::-1], "the same samples in another order"),
    "longer": (lambda rows: [*rows[:10], *rows], "410 samples instead of 400"),
    "appended to": (lambda rows: [*rows, rows[0]], "401 samples instead of 400"),
    "shorter": (lambda rows: rows[:-1], "399 samples instead of 400"),
    "one value": (with_another_value, "with other content"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_table_is_not_split_again(run_xpnet, noise, tmp_path, change):
    """Rows that were learned would be in the test, and memorised noise would count as right."""
    table, run, (head, rows) = tmp_path / "noise.csv", tmp_path / "run", noise
    write(table, rows, head)
    answer = run_xpnet("train", table, "--hidden", 64, "--epochs", 40, "--quiet", "--out", run)
    before = accuracy(answer)
    assert before < 70
    assert accuracy(run_xpnet("evaluate", run)) == before
    changed, message = CHANGES[change]
    write(table, changed(rows), head)
    answer = run_xpnet("evaluate", run)
    assert (answer.code, answer.out) == (2, "")
    assert answer.output.startswith(f"Error: {table}: it has changed since the training: it has ")
    assert message in answer.output
    assert "name them: --dataset FILE" in answer.output
    write(tmp_path / "other.csv", rows[:50], head)
    assert run_xpnet("evaluate", run, "--dataset", tmp_path / "other.csv").code == 0
    write(table, rows, head)
    assert accuracy(run_xpnet("evaluate", run)) == before


def test_a_run_whose_test_had_other_rows_is_not_tested_on_rows_that_it_learned(
    run_xpnet, noise, tmp_path, monkeypatch
):
    """As one of an older version, which drew them in another way: the file has not changed."""
    table, run, (head, rows) = tmp_path / "noise.csv", tmp_path / "run", noise
    write(table, rows, head)
    assert run_xpnet("train", table, *QUICK, "--out", run).code == 0
    monkeypatch.setattr("xpnet.data.split", lambda t, share, seed: split(t, share, seed + 1))
    answer = run_xpnet("evaluate", run)
    assert (answer.code, answer.out) == (2, "")
    assert "or the run is of an older version, which drew other rows for the test." in answer.err


def test_the_same_rows_in_another_format_are_the_same(run_xpnet, noise, tmp_path):
    """Other line ends, delimiters and quotes, and columns in another order."""
    table, run, (head, rows) = tmp_path / "noise.csv", tmp_path / "run", noise
    write(table, rows, head)
    before = accuracy(run_xpnet("train", table, *QUICK, "--out", run))
    cells = [line.split(",") for line in [head, *rows]]
    text = "\r\n".join(";".join(f'"{cell}"' for cell in row[::-1]) for row in cells)
    table.write_text("\ufeff" + text, encoding="utf-8", newline="")
    assert accuracy(run_xpnet("evaluate", run)) == before


def test_a_changed_test_file_is_refused(run_xpnet, noise, tmp_path):
    """The training file is not needed."""
    run, (head, rows) = tmp_path / "run", noise
    table, test = tmp_path / "train.csv", tmp_path / "test.csv"
    write(table, rows[:300], head)
    write(test, rows[300:], head)
    before = accuracy(run_xpnet("train", table, "--test", test, *QUICK, "--out", run))
    table.unlink()
    assert accuracy(run_xpnet("evaluate", run)) == before
    write(test, rows[299:], head)
    answer = run_xpnet("evaluate", run)
    assert answer.code == 2
    assert (
        f"{test}: it has changed since the training: it has 101 samples instead of 100"
        in answer.output
    )
    assert accuracy(run_xpnet("evaluate", run, "--dataset", test)) > 0  # named: it is meant


@pytest.mark.parametrize("task", ["classify", "regress"])
@pytest.mark.parametrize("images", [False, True])
def test_a_changed_archive_is_refused(run_xpnet, tmp_path, task, images):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (60, 8, 8)).astype("u1") if images else rng.standard_normal((60, 4))
    t = np.arange(60) % 2 if task == "classify" else rng.standard_normal(60)
    path, run = tmp_path / "a.npz", tmp_path / "run"
    np.savez(path, x=x, t=t)
    assert run_xpnet("train", path, "--task", task, *QUICK, "--out", run).code == 0
    before = run_xpnet("evaluate", run)
    assert before.code == 0
    np.savez(path, t=t, x=x, names=np.asarray(["of", "columns"]))  # the same samples
    assert run_xpnet("evaluate", run).out == before.out
    order = np.argsort(t, kind="stable")
    np.savez(path, x=x[order], t=t[order])
    for command in ("evaluate", run), ("train", "--resume", run, "--epochs", 4):
        answer = run_xpnet(*command)
        assert (answer.code, answer.out) == (2, "")
        assert str(path) in answer.output
        assert "the same samples in another order" in answer.output
    assert "the same samples in another order" in run_xpnet("evaluate", run).output


def test_changed_images_are_refused(run_xpnet, digits, write_digits, tmp_path):
    """A folder of other images of the same shape must be named, or belongs to another run."""
    from xpnet.data import load_idx_folder

    (x, t), (x_test, t_test) = load_idx_folder(digits)
    train, test = (x[:200], t[:200]), (x_test[:50], t_test[:50])
    folder, run = write_digits(tmp_path / "data", train, test), tmp_path / "run"
    assert (
        run_xpnet("train", "--data-dir", folder, *QUICK, "--batch-size", 50, "--out", run).code == 0
    )
    before = run_xpnet("evaluate", run)
    moved = folder.rename(tmp_path / "moved")
    assert accuracy(run_xpnet("evaluate", run, "--data-dir", moved)) == accuracy(before)
    resumed = run_xpnet("train", "--resume", run, "--data-dir", moved, "--epochs", 3, "--quiet")
    assert resumed.code == 0
    other = write_digits(tmp_path / "other", (x[200:400], t[200:400]), test)
    answer = run_xpnet("train", "--resume", run, "--data-dir", other, "--epochs", 4)
    assert (answer.code, answer.out) == (2, "")
    assert f"{other}: it is not what the run was trained on: it has other values" in answer.output
    write_digits(moved, train, (x_test[50:100], t_test[50:100]))
    answer = run_xpnet("evaluate", run)
    assert (answer.code, answer.out) == (2, "")
    assert (
        f"{moved}: it has changed since the training: it has as many samples (50)" in answer.output
    )
    assert "name them: --data-dir FOLDER" in answer.output
    assert run_xpnet("evaluate", run, "--data-dir", moved).code == 0


@pytest.mark.parametrize("name", ["{0}", "{0.parent}/./{0.name}", "link", "copy", "shuffled"])
def test_the_training_file_is_refused_as_a_test(run_xpnet, noise, tmp_path, name):
    """Under any name: the test would be on the samples that were learned."""
    table, (head, rows) = tmp_path / "noise.csv", noise
    write(table, rows, head)
    test = tmp_path / f"{name}.csv"
    if "{" in name:
        test = name.format(table)
    elif name == "link":
        test.symlink_to(table)
    else:
        write(test, rows[::-1] if name == "shuffled" else rows, head)
    answer = run_xpnet("train", table, "--test", test, *QUICK, "--out", tmp_path / "run")
    assert (answer.code, answer.out) == (2, "")
    assert "the test data are the training data themselves" in answer.output
    assert not (tmp_path / "run").exists()


def test_an_idx_folder_of_one_class_or_with_unseen_test_classes_is_refused(
    run_xpnet, write_digits, tmp_path
):
    """As in tables and archives; an accuracy of 100 % would mean nothing."""
    x = np.zeros((20, 28, 28))
    ones, both = np.ones(20), np.arange(20) % 2
    for train, test, message in (
        (ones, ones, "expected two classes or more, got only class 1"),
        (both, both + 1, "test images have the class 2, but no training image has"),
    ):
        folder = write_digits(tmp_path / "data", (x, train), (x, test))
        answer = run_xpnet("train", "--data-dir", folder, *QUICK, "--out", tmp_path / "run")
        assert (answer.code, answer.out) == (2, "")
        assert f"{folder}: {message}" in answer.output


# --- what does not matter to a prediction ---------------------------------------------------------


@pytest.fixture
def flowers_run(run_xpnet, flowers, tmp_path):
    answer = run_xpnet(
        "train", flowers, "--hidden", 16, "--epochs", 60, "--quiet", "--out", tmp_path / "run"
    )
    assert answer.code == 0
    return tmp_path / "run"


@pytest.mark.parametrize("target", ["", "?", "tulip", "NA", '"a\nb"'])
@pytest.mark.parametrize("index", [False, True])
def test_predict_reads_only_the_features(run_xpnet, flowers_run, flowers, tmp_path, target, index):
    """The target may be missing or new, other columns text or missing, as in the test file of a competition."""
    with flowers.open(newline="") as file:
        rows = list(csv.DictReader(file))
    new = tmp_path / "new.csv"
    lines = [
        ",".join(
            [*([f"p{i}"] if index else []), row["width"], f"name {i}", "", row["length"], target]
        )
        for i, row in enumerate(rows)
    ]
    write(new, lines, ("" if not index else ",") + "width,name,when,length,kind")
    answer = run_xpnet("predict", flowers_run, new)
    note = f"Note: {new}: ignored, as the training did not have them: columns name, when.\n"
    assert (answer.code, answer.err) == (0, note)
    head, *found = answer.out.splitlines()
    expected = run_xpnet("predict", flowers_run, flowers).out.splitlines()[1:]
    assert [line.split(",")[1:] for line in found] == [line.split(",")[1:] for line in expected]
    assert head == ("column 1" if index else "line") + ",kind,probability"
    if index:
        assert [line.split(",")[0] for line in found] == [f"p{i}" for i in range(60)]


def test_answers_are_attributable_if_a_file_fails(run_xpnet, flowers_run, flowers, tmp_path):
    """Each prediction has its file and its line."""
    bad = tmp_path / "bad.csv"
    write(bad, ["1,2", "1,long"], "length,width")
    answer = run_xpnet("predict", flowers_run, flowers, bad, flowers)
    assert answer.code == 2
    assert f"{bad}, line 3, column 'width': expected a number" in answer.err
    head, *lines = answer.out.splitlines()
    assert head == "file,row,kind,probability"
    assert [line.split(",")[:2] for line in lines] == 2 * [
        [str(flowers), str(line)] for line in range(2, 62)
    ]


@pytest.mark.parametrize(
    "samples",
    [None, [], "x", {}, {"train": 3, "test": {}}, {"train": {"samples": -1}, "test": None}],
)
def test_invalid_fingerprints_are_an_error(run_xpnet, flowers_run, samples):
    """As in a run folder that somebody has edited."""
    state = safetensors.numpy.load_file(flowers_run / "model.safetensors")
    described = json.loads((flowers_run / "config.json").read_text())
    described["reading"]["samples"] = samples
    safetensors.numpy.save_file(
        state, flowers_run / "model.safetensors", {"xpnet": json.dumps(described)}
    )
    answer = run_xpnet("evaluate", flowers_run)
    assert (answer.code, answer.out) == (2, "")
    assert answer.output.startswith("Error: Expected the fingerprint")
