"""`xpnet evaluate`: its figures are those that NumPy computes from the files."""

import json
import re
import shutil
import sys

import numpy as np
import pytest
import safetensors.numpy

from xpnet.data import load_mnist


def table_of(out):
    """The rows by class: images, recall and precision (in per cent, or None), worst mistake."""
    rows = re.findall(r"^ +(\d+) +(\d+) +([\d.]+%|-) +([\d.]+%|-)  (.+)$", out, re.MULTILINE)
    share = lambda text: None if text == "-" else float(text[:-1])  # noqa: E731 - used in one line
    return {
        int(c): (int(n), share(found), share(named), worst) for c, n, found, named, worst in rows
    }


def test_loss_and_accuracy_are_those_of_the_run_and_of_numpy(
    backend, run_xpnet, run_folder, scores, digits
):
    """On any backend; they equal those of config.json, and of a forward pass in NumPy."""
    folder, _ = run_folder
    answer = run_xpnet("evaluate", folder, "--backend", backend.name)
    assert (answer.code, answer.err) == (0, "")
    loss, accuracy = re.search(
        r"^Test loss (\S+), accuracy (\S+)%$", answer.out, re.MULTILINE
    ).groups()
    config = json.loads((folder / "config.json").read_text())
    y, t = scores(folder, digits)
    losses = np.log(np.exp(y).sum(axis=1)) - y[range(400), t]
    assert float(loss) == pytest.approx(losses.mean(), abs=1e-4)
    assert float(loss) == pytest.approx(config["test_loss"], abs=1e-4)
    assert accuracy == f"{100 * (y.argmax(axis=1) == t).mean():.2f}"
    assert accuracy == f"{100 * config['test_accuracy']:.2f}"
    assert answer.out.startswith(f"400 test images of {digits}, on {backend.name}\n")


def test_the_table_agrees_with_numpy(run_xpnet, run_folder, scores, digits):
    """The number of images of each class, its recall, its precision, and its worst mistake."""
    y, t = scores(run_folder[0], digits)
    p = y.argmax(axis=1)
    table = table_of(run_xpnet("evaluate", run_folder[0]).out)
    assert list(table) == list(range(10))
    assert sum(row[0] for row in table.values()) == 400
    for c, (images, found, named, worst) in table.items():
        assert images == (t == c).sum()
        assert found == pytest.approx(100 * (p[t == c] == c).mean(), abs=0.006)
        assert named == pytest.approx(100 * (t[p == c] == c).mean(), abs=0.006)
        mistakes = np.bincount(p[(t == c) & (p != c)], minlength=10)
        if mistakes.any():
            other, times = re.fullmatch(r"(\d), (\d+) times?", worst).groups()
            assert int(times) == mistakes.max() == mistakes[int(other)]
        else:
            assert worst == "-"


def test_other_data_may_be_named(run_xpnet, run_folder, write_digits, tmp_path):
    """Ten images of sevens: the other classes have no images, and so no recall."""
    (x, t), _ = load_mnist(normalize=False, flatten=False)
    seven = x[t == 7][:10, 0]
    data = write_digits(tmp_path / "sevens", (seven, np.full(10, 7)), (seven, np.full(10, 7)))
    answer = run_xpnet("evaluate", run_folder[0], "--data-dir", data)
    assert answer.code == 0
    assert answer.out.startswith(f"10 test images of {data}, on numpy\n")
    table = table_of(answer.out)
    assert [row[0] for row in table.values()] == [0] * 7 + [10, 0, 0]
    assert table[7][1] >= 50
    assert table[7][2] == 100
    assert {row[1] for c, row in table.items() if c != 7} == {None}


def test_a_run_on_the_built_in_data_is_tested_on_them(run_xpnet, run_folder, tmp_path):
    """All 10,000 images, if the description of the run names no folder."""
    run = tmp_path / "run"
    run.mkdir()
    state, described = _read(run_folder[0])
    _write(run, state, {**described, "data_dir": None})
    answer = run_xpnet("evaluate", run)
    assert answer.out.startswith("10000 test images of the built-in MNIST, on numpy\n")
    images = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]  # LeCun et al.'s test set
    assert [row[0] for row in table_of(answer.out).values()] == images


def test_an_unfinished_run_is_reported_as_such(run_xpnet, run_folder, tmp_path):
    assert "not finished" not in run_xpnet("evaluate", run_folder[0]).out
    run = tmp_path / "run"
    run.mkdir()
    state, described = _read(run_folder[0])
    _write(run, state, {**described, "epochs_finished": 3, "finished": False})
    answer = run_xpnet("evaluate", run)
    assert answer.code == 0
    assert answer.out.startswith("The training was not finished: 3 of 4 epochs.\n400 test images")


def test_a_report_that_cannot_be_written_is_an_error_at_once(run_xpnet, run_folder, tmp_path):
    for page, message in (
        (tmp_path, "that is a folder"),
        (tmp_path / "no" / "r.html", "no such folder"),
    ):
        answer = run_xpnet("evaluate", run_folder[0], "--report", page)
        assert (answer.code, answer.out) == (2, "")
        assert "Invalid value for '--report'" in answer.output
        assert str(page) in answer.output
        assert message in answer.output


def test_data_that_were_moved_are_an_error_that_names_the_run(
    run_xpnet, run_folder, digits, tmp_path
):
    run = tmp_path / "run"
    run.mkdir()
    state, described = _read(run_folder[0])
    _write(run, state, {**described, "data_dir": str(tmp_path / "gone")})
    answer = run_xpnet("evaluate", run)
    assert (answer.code, answer.out) == (2, "")
    assert f"{run}: the run was trained on {tmp_path / 'gone'}, which is missing" in answer.output
    assert answer.output.endswith("Name another with --data-dir.")
    assert run_xpnet("evaluate", run, "--data-dir", digits).code == 0


def test_a_folder_with_the_name_of_a_data_set_is_not_taken_for_it(
    run_xpnet, run_folder, digits, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(digits, "mnist")
    answer = run_xpnet("evaluate", run_folder[0], "--data-dir", "mnist", "--report", "page.html")
    assert answer.out.startswith("400 test images of mnist, on numpy")


def _read(run):
    with safetensors.safe_open(run / "model.safetensors", framework="numpy") as file:
        described = json.loads(file.metadata()["xpnet"])
    return safetensors.numpy.load_file(run / "model.safetensors"), described


def _write(run, state, described):
    metadata = {"xpnet": json.dumps(described)}
    safetensors.numpy.save_file(state, run / "model.safetensors", metadata)


def _no_file(run):
    (run / "model.safetensors").unlink()


def _foreign(run):
    safetensors.numpy.save_file({"weight": np.zeros(3)}, run / "model.safetensors")


def _cut(run):
    data = (run / "model.safetensors").read_bytes()
    (run / "model.safetensors").write_bytes(data[: len(data) // 2])


def _not_finite(run):
    state, described = _read(run)
    _write(run, {name: x * np.float32(np.inf) for name, x in state.items()}, described)


def _half_described(run):
    state, described = _read(run)
    del described["architecture"]["out_features"]
    _write(run, state, described)


def _another_models(run):
    state, described = _read(run)
    described["architecture"]["hidden"] = [5]
    _write(run, state, described)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_no_file, "expected a run folder with model.safetensors"),
        (_foreign, "its metadata do not describe the model"),
        (_cut, "cannot be read as safetensors"),
        (_half_described, "model.safetensors: its metadata do not describe the model"),
        (_another_models, "model.safetensors: these are another model's weights"),
        (_not_finite, "model.safetensors: expected finite scores of the network"),
    ],
)
@pytest.mark.parametrize("command", ["evaluate", "predict"])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # of making the harm
def test_a_folder_that_is_no_run_is_named(
    run_xpnet, run_folder, pictures, tmp_path, command, harm, message
):
    run = shutil.copytree(run_folder[0], tmp_path / "run")
    harm(run)
    answer = run_xpnet(command, run, *([pictures / "7.png"] if command == "predict" else []))
    assert (answer.code, answer.out) == (2, "")
    assert answer.output.startswith("Error: ")
    assert str(run) in answer.output
    assert message in answer.output


def test_data_that_are_missing_or_do_not_fit_are_named(
    run_xpnet, run_folder, write_digits, tmp_path
):
    """A folder that no longer exists, and images of another size, which the first layer refuses."""
    answer = run_xpnet("evaluate", run_folder[0], "--data-dir", tmp_path / "none")
    assert (answer.code, answer.out) == (2, "")
    assert str(tmp_path / "none") in answer.output
    small = (np.zeros((2, 14, 14)), np.zeros(2))
    data = write_digits(tmp_path / "small", small, small)
    answer = run_xpnet("evaluate", run_folder[0], "--data-dir", data)
    assert (answer.code, answer.out) == (2, "")
    assert re.search(r"Affine\(784 -> 32\).* 196\)", answer.output)


def test_labels_outside_the_classes_of_the_network_are_an_error(
    run_xpnet, run_folder, write_digits, tmp_path
):
    letters = (np.zeros((2, 28, 28)), np.asarray([3, 11]))
    data = write_digits(tmp_path / "letters", letters, letters)
    answer = run_xpnet("evaluate", run_folder[0], "--data-dir", data)
    assert (answer.code, answer.out) == (2, "")
    assert "The labels go from 3 to 11, but the model has 10 outputs" in answer.output


def test_an_unknown_backend_is_an_error(run_xpnet, run_folder):
    answer = run_xpnet("evaluate", run_folder[0], XPNET_BACKEND="numpi")
    assert (answer.code, answer.out) == (2, "")
    assert "Unknown backend 'numpi'" in answer.output


# --- the report page ------------------------------------------------------------------------------


def text_of(page):
    return " ".join(
        re.sub(
            r"<style.*?</style>|<[^>]+>", " ", page.read_text(encoding="utf-8"), flags=re.DOTALL
        ).split()
    )


def test_a_report_page_is_written(run_xpnet, run_folder, tmp_path):
    """In the run folder, or at the path of --report; one file, with the figures that are printed."""
    pytest.importorskip("matplotlib")
    run = shutil.copytree(run_folder[0], tmp_path / "run")
    answer = run_xpnet("evaluate", run)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.endswith(f"\n\nReport page: {run / 'report.html'}\n")
    accuracy = re.search(r"accuracy (\S+)%", answer.out)[1]
    text = text_of(run / "report.html")
    assert f"Accuracy {accuracy} %" in text
    for heading in ("Confusion matrix", "Each class", "Worst mistakes", "Training", "Versions"):
        assert heading in text
    assert "run: mnist" in text
    assert "32, 16" in text  # the widths, among the settings
    assert (run / "report.html").read_text().count('src="data:image/png') >= 5  # mistaken digits
    other = tmp_path / "page.html"
    answer = run_xpnet("evaluate", run, "--report", other)
    assert answer.out.endswith(f"Report page: {other}\n")
    assert text_of(other) == text


def test_the_page_of_a_regression_has_the_units_of_the_targets(run_xpnet, plane, tmp_path):
    pytest.importorskip("matplotlib")
    run = tmp_path / "run"
    flags = ("--dataset", plane, "--target", "price", "--task", "regress", "--epochs", 60)
    assert run_xpnet("train", *flags, "--out", run, "--quiet").code == 0
    answer = run_xpnet("evaluate", run)
    error = re.search(r"mean absolute error (\S+)\n", answer.out)[1]
    text = text_of(run / "report.html")
    assert f"Mean absolute error {error}" in text
    assert "run: plane.csv" in text
    assert "Predictions and errors" in text
    other = plane.with_name("other.csv")
    shutil.copyfile(plane, other)
    assert run_xpnet("evaluate", run, "--dataset", other).code == 0
    assert "run: other.csv" in text_of(run / "report-other.html")


def test_the_page_has_the_names_of_classes(run_xpnet, flowers, tmp_path):
    pytest.importorskip("matplotlib")
    flags = ("--dataset", flowers, "--epochs", 2, "--out", tmp_path / "run", "--quiet")
    assert run_xpnet("train", *flags).code == 0
    assert run_xpnet("evaluate", tmp_path / "run").code == 0
    text = text_of(tmp_path / "run" / "report.html")
    assert all(name in text for name in ("crocus", "iris", "rose"))


@pytest.mark.parametrize("index", [False, True])
@pytest.mark.parametrize("share", [False, True])
def test_the_page_names_the_rows_with_mistakes(run_xpnet, tmp_path, index, share):
    """By their lines in the file, or by its index."""
    pytest.importorskip("matplotlib")
    table, test, run = tmp_path / "t.csv", tmp_path / "test.csv", tmp_path / "run"
    for path, wrong in ((table, range(57, 60) if share else ()), (test, [7])):
        rows = [f"{10 * (i % 2)},{'ab'[i % 2 if i not in wrong else 1 - i % 2]}" for i in range(60)]
        rows = [f"p{i},{row}" if index else row for i, row in enumerate(rows)]
        path.write_text("\n".join([",x,kind" if index else "x,kind", *rows]))
    flags = ("--test", 0.5 if share else test, "--hidden", 16, "--quiet", "--out", run)
    assert run_xpnet("train", table, *flags).code == 0
    assert run_xpnet("evaluate", run).code == 0
    found = re.findall(r"(line|column 1) p?(\d+) [ab] ", text_of(run / "report.html"))
    assert {title for title, _ in found} == {"column 1" if index else "line"}
    rows = {int(number) - (0 if index else 2) for _, number in found}
    assert rows == {7} if not share else rows <= {57, 58, 59}


def test_without_matplotlib_the_figures_are_still_printed(
    run_xpnet, run_folder, tmp_path, monkeypatch
):
    run = shutil.copytree(run_folder[0], tmp_path / "run")
    (run / "report.html").unlink(missing_ok=True)  # another test's
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    answer = run_xpnet("evaluate", run)
    assert (answer.code, answer.err) == (0, "")
    assert "Test loss" in answer.out
    assert "report.html was skipped: matplotlib" in answer.out
    assert answer.out.endswith("To have it next time: pip install matplotlib\n")
    assert not (run / "report.html").exists()


def test_a_damaged_history_is_named(run_xpnet, run_folder, tmp_path):
    run = shutil.copytree(run_folder[0], tmp_path / "run")
    (run / "history.csv").write_text("epoch,train_loss\n1,low\n")
    answer = run_xpnet("evaluate", run)
    assert answer.code == 2
    assert f"Error: {run / 'history.csv'}: expected the history of a training" in answer.output
    assert "Test loss" in answer.out  # the figures are still printed
    (run / "history.csv").unlink()
    assert run_xpnet("evaluate", run).code == 0
