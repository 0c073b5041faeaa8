"""Tables: `xpnet train --dataset FILE.csv` or `FILE.npz`, and the other commands on such runs."""

import csv
import json
import re
import shutil
import tomllib

import numpy as np
import pytest
import safetensors.numpy


def config_of(run):
    return json.loads((run / "config.json").read_text())


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def forward(run, x):
    """The output of a run's mlp with ReLU, computed with NumPy only."""
    state = safetensors.numpy.load_file(run / "model.safetensors")
    layers = sorted({int(name.split(".")[1]) for name in state})
    for i in layers:
        x = x @ state[f"layers.{i}.weight"].astype("f8") + state[f"layers.{i}.bias"]
        x = x if i == layers[-1] else np.maximum(x, 0)
    return x


@pytest.fixture
def learn(run_xpnet, tmp_path):
    """A function that trains on a table for a moment."""

    def run(table, *flags):
        short = ("--hidden", 16, "--epochs", 100, "--lr", 0.01, "--optimizer", "adam")
        return run_xpnet("train", "--dataset", table, "--out", tmp_path / "run", *short, *flags)

    return run


# --- classes --------------------------------------------------------------------------------------


def test_a_table_with_named_classes_is_learned(learn, run_xpnet, flowers, tmp_path):
    """The table by class and the predictions have the names."""
    answer = learn(flowers)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("48 training and 12 test samples, on numpy in float32, adam")
    assert "Affine(2 -> 16)" in answer.out
    assert "Affine(16 -> 3)" in answer.out
    assert "Test accuracy 100.00%" in answer.out
    run = tmp_path / "run"
    answer = run_xpnet("evaluate", run)
    assert answer.out.startswith(f"12 test samples of {flowers}, on numpy\nTest loss ")
    for kind in ("crocus", "iris", "rose"):
        assert re.search(rf"^ *{kind} +4 +100.00% +100.00%  -$", answer.out, re.MULTILINE)
    answer = run_xpnet("predict", run, flowers)
    assert (answer.code, answer.err) == (0, "")
    head, *lines = answer.out.splitlines()
    assert head == "line,kind,probability"
    answers = [line.split(",") for line in lines]
    assert [line for line, _, _ in answers] == [str(n) for n in range(2, 62)]
    assert [kind for _, kind, _ in answers] == [row["kind"] for row in rows_of(flowers)]
    assert all(0.5 < float(share) <= 1 for _, _, share in answers)


def test_predict_needs_no_target_and_any_order_of_columns(learn, run_xpnet, flowers, tmp_path):
    """Columns are found by their names."""
    assert learn(flowers).code == 0
    rows = rows_of(flowers)
    lines = [f"{row['width']},{i},{row['length']}" for i, row in enumerate(rows)]
    other = tmp_path / "new.csv"
    other.write_text("\n".join(["width,number,length", *lines]))
    expected = run_xpnet("predict", tmp_path / "run", flowers).out
    assert run_xpnet("predict", tmp_path / "run", other).out == expected
    head, *lines = run_xpnet(
        "predict", tmp_path / "run", other, flowers
    ).out.splitlines()  # one head
    assert head == "file,row,kind,probability"
    answers = expected.splitlines()[1:]
    assert lines == [f"{path},{line}" for path in (other, flowers) for line in answers]


def test_the_test_may_have_its_own_file(learn, run_xpnet, flowers, tmp_path):
    head, *lines = flowers.read_text().splitlines()
    for name, part in (("train", lines[:45]), ("test", lines[45:])):
        (tmp_path / f"{name}.csv").write_text("\n".join([head, *part]))
    answer = learn(tmp_path / "train.csv", "--test", tmp_path / "test.csv")
    assert answer.out.startswith("45 training and 15 test samples, ")
    answer = run_xpnet("evaluate", tmp_path / "run")
    assert answer.out.startswith(f"15 test samples of {tmp_path / 'test.csv'}, on numpy\n")


def test_the_share_and_the_seed_decide_the_split(learn, flowers):
    answer = learn(flowers, "--test", 0.5, "--epochs", 1)
    assert answer.out.startswith("30 training and 30 test samples")


def test_a_table_that_was_moved_is_an_error(learn, run_xpnet, flowers, tmp_path):
    table = tmp_path / "flowers.csv"
    shutil.copy(flowers, table)
    assert learn(table).code == 0
    figures = run_xpnet("evaluate", tmp_path / "run").out.partition("\n")[2]
    table.unlink()
    answer = run_xpnet("evaluate", tmp_path / "run")
    assert (answer.code, answer.out) == (2, "")
    assert (
        f"{table}: the run's data are missing. Name another table with --dataset" in answer.output
    )
    answer = run_xpnet("evaluate", tmp_path / "run", "--dataset", flowers)  # all of its rows
    assert answer.out.startswith(f"60 test samples of {flowers}, on numpy\n")
    assert figures


# --- numbers --------------------------------------------------------------------------------------


def test_errors_and_predictions_are_in_the_units_of_the_targets(learn, run_xpnet, plane, tmp_path):
    """NumPy computes the same."""
    flags = ("--task", "regress", "--epochs", 300, "--activation", "relu")
    answer = learn(plane, "--target", "price", *flags)
    assert (answer.code, answer.err) == (0, "")
    run = tmp_path / "run"
    r2, error = map(float, re.search(r"R2 (\S+), mean absolute error (\S+),", answer.out).groups())
    assert r2 > 0.99
    answer = run_xpnet("predict", run, plane)
    head, *lines = answer.out.splitlines()
    assert head == "line,price"
    predicted = np.asarray([line.split(",")[1] for line in lines], float)
    rows = rows_of(plane)
    price = np.asarray([float(row["price"]) for row in rows])
    assert np.abs(predicted - price).mean() < 10  # of prices from 2860 to 3140
    reading = config_of(run)["reading"]
    x = np.asarray([[float(row["a"]), float(row["b"])] for row in rows])
    units = reading["schema"]["standardizer"]
    y = forward(run, (x - units["mean"]) / units["scale"])[:, 0]
    y = y * reading["targets"]["scale"][0] + reading["targets"]["mean"][0]
    np.testing.assert_allclose(predicted, y, rtol=1e-5)
    answer = run_xpnet("evaluate", run)
    assert f"R2 {r2:.4f}, mean absolute error {error:.4g}\n" in answer.out
    answer = run_xpnet("evaluate", run, "--dataset", plane)
    found = re.search(r"R2 (\S+), mean absolute error (\S+)\n", answer.out).groups()
    expected = 1 - ((y - price) ** 2).sum() / ((price - price.mean()) ** 2).sum()
    assert float(found[0]) == pytest.approx(expected, abs=1e-4)
    assert float(found[1]) == pytest.approx(np.abs(y - price).mean(), rel=1e-3)


# --- archives -------------------------------------------------------------------------------------


def test_an_archive_of_images_is_learned(run_xpnet, tmp_path):
    """Arrays (n, height, width) of one colour. The third is the class."""
    rng = np.random.default_rng(0)
    t = np.arange(80) % 2
    x = rng.integers(0, 100, (80, 14, 14)) + 100 * t[:, None, None]
    np.savez(tmp_path / "images.npz", x=x.astype("u1"), t=t)
    run = tmp_path / "run"
    flags = ("--model", "lenet", "--epochs", 5, "--batch-size", 20, "--out", run)
    answer = run_xpnet("train", "--dataset", tmp_path / "images.npz", *flags)
    assert (answer.code, answer.err) == (0, "")
    assert "Test accuracy 100.00%" in answer.out
    answer = run_xpnet("evaluate", run)
    assert f"16 test samples of {tmp_path / 'images.npz'}" in answer.out
    answer = run_xpnet("predict", run, tmp_path / "images.npz")
    head, *lines = answer.out.splitlines()
    assert head == "row,t,probability"
    assert [line.split(",")[0] for line in lines] == [str(i) for i in range(80)]
    assert [int(line.split(",")[1]) for line in lines] == t.tolist()


def test_several_numbers_are_learned_at_once(run_xpnet, tmp_path):
    """An archive of (n, 3) and (n, 2), with its own test arrays."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((120, 3))
    t = x @ np.asarray([[1.0, 100.0], [2.0, 0.0], [0.0, -300.0]]) + [5.0, 1000.0]
    np.savez(tmp_path / "a.npz", x_train=x[:100], t_train=t[:100], x_test=x[100:], t_test=t[100:])
    flags = ("--task", "regress", "--hidden", 32, "--epochs", 150, "--lr", 0.01)
    run = tmp_path / "run"
    answer = run_xpnet("train", "--dataset", tmp_path / "a.npz", *flags, "--out", run)
    assert answer.code == 0
    assert float(re.search(r"Test R2 (\S+),", answer.out)[1]) > 0.98
    np.savez(tmp_path / "new.npz", x=x[:4])
    answer = run_xpnet("predict", run, tmp_path / "new.npz")
    head, *lines = answer.out.splitlines()
    assert head == "row,t 1,t 2"
    found = np.asarray([line.split(",")[1:] for line in lines], float)
    off = abs(found - t[:4]) / t.std(axis=0)  # of each column by itself
    assert off.max() < 0.5
    for answer in (
        run_xpnet("evaluate", run),
        run_xpnet("evaluate", run, "--dataset", tmp_path / "a.npz"),
    ):
        assert answer.out.startswith("20 test samples of ")


# --- what may be wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("crocus", "", "line 2, column 'kind': the value is missing"),
        ("{length}", "long", "line 2, column 'length': expected a number, found the text 'long'"),
        ("{length}", "inf", "line 2, column 'length': inf"),
        ("crocus", "crocus,1", "line 2: expected 3 cells"),
    ],
)
def test_an_error_in_a_table_names_file_line_and_column(
    learn, flowers, tmp_path, old, new, message
):
    """And no folder is created."""
    lines = flowers.read_text().splitlines()
    lines[1] = lines[1].replace(old.format(length=lines[1].split(",")[0]), new)
    table = tmp_path / "table.csv"
    table.write_text("\n".join(lines))
    answer = learn(table)
    assert (answer.code, answer.out) == (2, "")
    assert answer.output.startswith(f"Error: {table}, line 2")
    assert message in answer.output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--target", "colour"], "no column 'colour'; its columns are length, width, kind"),
        (["--task", "regress"], "column 'kind': expected a number, found the text 'crocus'"),
        (["--task", "regress"], "classes to predict: --task classify"),
        (["--batch-size", 49], "A batch of 49 is larger than the data, 48 samples"),
        (["--data-dir", "."], "'--data-dir': it is for data sets of images; .* flowers.csv"),
        (["--augment"], "'--augment': it is for data sets of images; the data are flowers.csv"),
        (["--test", "0"], "--test.*: expected a number between 0 and 1"),
        (["--test", "none.csv"], "none.csv: no such file"),
        (["mnist"], "'--dataset': .*flowers.csv, but DATASET is mnist: give one of them"),
    ],
)
def test_a_flag_that_does_not_suit_the_table_is_named(learn, flowers, tmp_path, flags, message):
    answer = learn(flowers, *flags)
    assert (answer.code, answer.out) == (2, "")
    assert re.search(message, answer.output), answer.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--target", "x"], "'--target': it is for CSV tables; the data are mnist"),
        (["--test", 0.5], "'--test': it is for tables; mnist has its own test images"),
        (["--task", "regress"], "'--task': regress is for numbers in a table; mnist has classes"),
        (["--task", "guess"], "'--task': expected one of classify, regress; got 'guess'"),
    ],
)
def test_flags_of_tables_are_refused_for_images(train, tmp_path, flags, message):
    answer = train(*flags)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        (100, "numbers to predict: --task regress"),
        (45, "have 45 classes for 80 training samples. .* numbers to predict: --task regress"),
    ],
)
def test_many_classes_that_are_numbers_are_refused_with_a_hint(learn, tmp_path, prices, message):
    """Whole prices, each of which would be a class."""
    lines = [f"{i},{1000 + i % prices}" for i in range(100)]
    (tmp_path / "prices.csv").write_text("\n".join(["area,price", *lines]))
    answer = learn(tmp_path / "prices.csv")
    assert (answer.code, answer.out) == (2, "")
    assert re.search(message, answer.output), answer.output


def test_archives_with_other_targets_are_refused(learn, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((9, 2)), t=np.linspace(0, 1, 9))
    answer = learn(tmp_path / "a.npz")
    assert answer.code == 2
    assert (
        "expected classes as targets, integers of shape (n,), got float64 of shape (7,). To predict "
        "numbers: --task regress" in answer.output
    )
    np.savez(tmp_path / "a.npz", x=np.zeros((9, 2)))
    assert (
        f"{tmp_path / 'a.npz'}: expected x and t (or y); found x"
        in learn(tmp_path / "a.npz").output
    )
    x = np.zeros((9, 2))
    x[4, 1] = np.nan
    np.savez(tmp_path / "a.npz", x=x, t=np.arange(9) % 2)
    answer = learn(tmp_path / "a.npz")
    assert answer.code == 2
    assert f"{tmp_path / 'a.npz'}: x[4, 1] is nan" in answer.output
    assert not (tmp_path / "run").exists()


def test_numbers_that_are_no_classes_take_no_memory(learn, tmp_path):
    """The largest number would mean two billion names of classes."""
    np.savez(tmp_path / "a.npz", x=np.zeros((30, 2)), t=np.arange(30) % 3 * 10**9)
    answer = learn(tmp_path / "a.npz")
    assert (answer.code, answer.out) == (2, "")
    assert "have 2000000001 classes" in answer.output
    assert "--task regress" in answer.output
    kinds = ["low"] * 3 + [str(i) for i in range(57)]
    (tmp_path / "b.csv").write_text(
        "\n".join(["a,kind", *(f"{i},{k}" for i, k in enumerate(kinds))])
    )
    assert "If they are numbers to predict: --task regress" in learn(tmp_path / "b.csv").output


@pytest.fixture
def archive_run(learn, tmp_path):
    """A run on an archive whose targets, three classes, are called y; and its samples."""
    x, y = np.random.default_rng(0).standard_normal((60, 2)), np.arange(60) % 3
    np.savez(tmp_path / "a.npz", x=x, y=y)
    assert learn(tmp_path / "a.npz", "--epochs", 2).code == 0
    return x, y


def test_the_mistakes_of_an_archive_are_rows_of_its_arrays(archive_run, run_xpnet, tmp_path):
    """Of x, of which the test is a part; and of x_test, if the archive has that."""
    x, y = archive_run
    own = tmp_path / "own.npz"
    np.savez(own, x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:])
    flags = ("--epochs", 1, "--quiet", "--out", tmp_path / "own")
    assert run_xpnet("train", own, *flags).code == 0
    for run, answers in ((tmp_path / "run", y), (tmp_path / "own", y[40:])):
        assert run_xpnet("evaluate", run).code == 0
        page = (run / "report.html").read_text(encoding="utf-8")
        mistakes = re.findall(r">row (\d+)</th><td>(\d)</td><td>[^<]*</td><td>(\d)</td>", page)
        assert len(mistakes) > 2
        assert all(answers[int(row)] == int(actual) for row, _, actual in mistakes)


def test_another_archive_is_read_like_the_first(archive_run, run_xpnet, tmp_path):
    """And its errors name it, not the network."""
    x, y = archive_run
    other, run = tmp_path / "other.npz", tmp_path / "run"
    np.savez(other, x=x[:9], y=y[:9])
    answer = run_xpnet("evaluate", run, "--dataset", other)
    assert answer.out.startswith(f"9 test samples of {other}")
    np.savez(other, x=x[:9], t=y[:9] + 1)
    answer = run_xpnet("evaluate", run, "--dataset", other)
    assert (answer.code, answer.out) == (2, "")
    assert f"{other}: the class 3 in t[2] was not seen in training" in answer.output
    np.savez(other, x=np.where(np.arange(60)[:, None] == 7, np.nan, x), t=y)
    for command in (("evaluate", run, "--dataset", other), ("predict", run, other)):
        answer = run_xpnet(*command)
        assert (answer.code, answer.out) == (2, "")
        assert f"{other}: x[7, 0] is nan; expected numbers" in answer.output
    np.savez(other, z=x)
    assert "expected an array x; found z" in run_xpnet("predict", run, other).output
    np.savez(other, x=np.float64(1))
    assert "expected one sample or more" in run_xpnet("predict", run, other).output


def test_negative_integers_can_be_predicted(learn, tmp_path):
    x = np.random.default_rng(0).standard_normal((60, 2))
    np.savez(tmp_path / "a.npz", x=x, t=np.rint(9 * x[:, 0]).astype(int))
    assert learn(tmp_path / "a.npz", "--task", "regress", "--epochs", 2).code == 0


@pytest.mark.parametrize(("task", "rate"), [("classify", 0.003), ("regress", 0.001)])
def test_a_table_is_learned_in_many_small_steps(run_xpnet, flowers, plane, tmp_path, task, rate):
    """With the defaults for images, 10 epochs of batches of 100, there would be ten steps."""
    table = (
        ["--dataset", flowers] if task == "classify" else ["--dataset", plane, "--target", "price"]
    )
    run = tmp_path / "run"
    answer = run_xpnet("train", *table, "--task", task, "--quiet", "--out", run)
    assert answer.code == 0
    found = tomllib.loads((run / "config.toml").read_text())
    keys = ("epochs", "batch-size", "optimizer", "lr")
    assert [found[key] for key in keys] == [100, 32, "adam", rate]
    printed = re.search(r"Test (?:accuracy (\S+)%|R2 (\S+),)", answer.out).groups()
    assert float(printed[0] or 0) == 100 if task == "classify" else float(printed[1]) > 0.98


def test_fractions_are_refused_as_classes(learn, plane):
    answer = learn(plane, "--target", "price")
    assert (answer.code, answer.out) == (2, "")
    assert re.search(r"plane.csv, line \d+, column 'price': \S+ is not a class: ", answer.output)
    assert "To predict numbers: --task regress" in answer.output


def test_a_model_of_images_refuses_a_table(run_xpnet, flowers, tmp_path):
    answer = run_xpnet("train", "--dataset", flowers, "--model", "lenet", "--out", tmp_path / "run")
    assert (answer.code, answer.out) == (2, "")
    assert "lenet expected images of shape (channels, height, width)" in answer.output


def test_an_unseen_class_is_named_with_its_place(learn, run_xpnet, flowers, tmp_path):
    """In the test file, at the training and later."""
    other = tmp_path / "other.csv"
    other.write_text("length,width,kind\n1,2,iris\n3,4,tulip\n")
    message = f"{other}, line 3, column 'kind': the class 'tulip' was not seen in training"
    answer = learn(flowers, "--test", other)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.output
    assert learn(flowers, "--epochs", 1).code == 0
    answer = run_xpnet("evaluate", tmp_path / "run", "--dataset", other)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.output


def test_a_file_that_cannot_be_predicted_is_reported_and_others_are_predicted(
    learn, run_xpnet, flowers, tmp_path
):
    assert learn(flowers, "--epochs", 1).code == 0
    bad = tmp_path / "bad.csv"
    bad.write_text("length,kind\n1,iris\n")
    answer = run_xpnet("predict", tmp_path / "run", bad, flowers, tmp_path / "none.csv")
    assert answer.code == 2
    assert len(answer.out.splitlines()) == 61
    first, second = answer.err.splitlines()
    assert first.startswith(f"Error: {bad}: no column 'width', which the model needs")
    assert second.startswith(f"Error: {tmp_path / 'none.csv'}: no such file")


def test_evaluate_refuses_data_of_another_kind(learn, run_xpnet, run_folder, flowers, tmp_path):
    assert learn(flowers, "--epochs", 1).code == 0
    answer = run_xpnet("evaluate", tmp_path / "run", "--data-dir", tmp_path)
    assert (answer.code, answer.out) == (2, "")
    assert "'--data-dir': the run was trained on a table." in answer.output
    answer = run_xpnet("evaluate", run_folder[0], "--dataset", flowers)
    assert (answer.code, answer.out) == (2, "")
    assert "'--dataset': the run was trained on images." in answer.output
