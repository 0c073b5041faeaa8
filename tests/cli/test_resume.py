"""`xpnet train --resume RUN`: the run ends as if it had not been interrupted."""

import json
import shutil
import signal
import sys

import numpy as np
import pytest
import safetensors.numpy

on_posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


def config_of(run):
    return json.loads((run / "config.json").read_text())


def weights_of(run):
    state = safetensors.numpy.load_file(run / "model.safetensors")
    return {name: x.tobytes() for name, x in state.items()}


def figures_of(run):
    """history.csv without measured times."""
    lines = (run / "history.csv").read_text().splitlines()
    return [line.rsplit(",", 2)[0] for line in lines]


FLAGS = ("--batch-size", 20, "--hidden", 16, "--optimizer", "adam", "--schedule", "cosine")


@pytest.fixture(scope="module")
def whole_run(start, few_digits, tmp_path_factory):
    """A run of 150 epochs that was not interrupted."""
    run = tmp_path_factory.mktemp("whole") / "run"
    flags = ("--data-dir", few_digits, *FLAGS, "--epochs", 150, "--augment", "--quiet")
    process = start("train", *flags, "--out", run)
    _, err = process.communicate()
    assert process.returncode == 0, err
    return run


def start_until_epoch(start, few_digits, run, epoch):
    """Start the same run, and return its process once the line of that epoch is printed."""
    flags = ("--data-dir", few_digits, *FLAGS, "--epochs", 150, "--augment")
    process = start("train", *flags, "--out", run)
    assert any(line.startswith(f"{epoch:5}  ") for line in iter(process.stdout.readline, ""))
    return process


@on_posix
@pytest.mark.parametrize("epoch", [1, 30, 100])
def test_a_killed_run_ends_like_an_uninterrupted_one(
    start, run_xpnet, whole_run, few_digits, tmp_path, epoch
):
    """SIGKILL, then --resume: the same weights and the same history, to the last bit."""
    run = tmp_path / "run"
    process = start_until_epoch(start, few_digits, run, epoch)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not config_of(run)["finished"]
    answer = run_xpnet("train", "--resume", run)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.count("\n    1  ") == 1  # the epochs before are shown as well
    assert weights_of(run) == weights_of(whole_run)
    assert figures_of(run) == figures_of(whole_run)
    assert config_of(run)["finished"]


@on_posix
def test_an_interrupted_run_ends_like_an_uninterrupted_one(
    start, run_xpnet, whole_run, few_digits, tmp_path
):
    """Ctrl-C, twice."""
    run = tmp_path / "run"
    process = start_until_epoch(start, few_digits, run, 5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, err) == (130, "")
    assert out.endswith(f"To resume: xpnet train --resume {run}\n")
    done = config_of(run)["epochs_finished"]
    process = start("train", "--resume", run)
    lines = iter(process.stdout.readline, "")
    assert any(line.startswith(f"{done + 1:5}  ") for line in lines)
    process.send_signal(signal.SIGINT)
    assert process.wait() in (0, 130)
    answer = run_xpnet("train", "--resume", run, "--quiet")
    assert (answer.code, answer.err) == (0, "")
    assert weights_of(run) == weights_of(whole_run)


def test_a_finished_run_is_reported_as_such(run_xpnet, run_folder, tmp_path):
    run = shutil.copytree(run_folder[0], tmp_path / "run")
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    for epochs in ([], ["--epochs", 4], ["--epochs", 2]):
        answer = run_xpnet("train", "--resume", run, *epochs)
        assert (answer.code, answer.err) == (0, "")
        assert answer.out == (
            f"{run} is finished: 4 epochs are done. To continue it, ask for more epochs: "
            "--epochs 8\n"
        )
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


@on_posix
def test_an_interrupted_run_is_not_called_finished(start, run_xpnet, few_digits, tmp_path):
    """If it has had as many epochs as the command asks for, but not as many as were planned."""
    run = tmp_path / "run"
    flags = ("--data-dir", few_digits, *FLAGS, "--epochs", 10000)
    process = start("train", *flags, "--out", run)
    assert any(line.startswith("    2  ") for line in iter(process.stdout.readline, ""))
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    done = config_of(run)["epochs_finished"]
    for epochs in 1, done:
        answer = run_xpnet("train", "--resume", run, "--epochs", epochs)
        assert (answer.code, answer.err) == (0, "")
        assert answer.out == (
            f"{run} was interrupted after {done} of 10000 epochs, and --epochs {epochs} asks for no more. To "
            f"resume it for all 10000: xpnet train --resume {run}\n"
        )


def test_a_finished_run_can_be_resumed_for_more_epochs(run_xpnet, train, tmp_path):
    """With a constant rate the result is that of asking for them at once."""
    flags = ("--schedule", "constant", "--optimizer", "adam")
    assert train(*flags, "--epochs", 2).code == 0
    run = tmp_path / "run"
    answer = run_xpnet("train", "--resume", run, "--epochs", 5)
    assert (answer.code, answer.err) == (0, "")
    assert config_of(run)["epochs_finished"] == config_of(run)["epochs"] == 5
    assert "epochs = 5\n" in (run / "config.toml").read_text()
    assert train(*flags, "--epochs", 5, "--out", tmp_path / "whole").code == 0
    assert weights_of(run) == weights_of(tmp_path / "whole")


def test_a_run_can_be_resumed_on_another_backend(backend, run_xpnet, train, tmp_path):
    """An epoch on NumPy, then on the other one; the results agree to tolerance."""
    run = tmp_path / "run"
    assert train("--schedule", "constant").code == 0
    own = shutil.copytree(run, tmp_path / "own")
    for folder, name in ((own, "numpy"), (run, backend.name)):
        answer = run_xpnet("train", "--resume", folder, "--epochs", 2, "--backend", name)
        assert (answer.code, answer.err) == (0, "")
        assert config_of(folder)["backend"] == name
    a, b = (safetensors.numpy.load_file(r / "model.safetensors") for r in (own, run))
    for name in a:
        np.testing.assert_allclose(b[name], a[name], rtol=1e-3, atol=1e-4)


def test_a_run_on_a_table_is_resumed(run_xpnet, plane, tmp_path):
    flags = ("--dataset", plane, "--target", "price", "--task", "regress", "--hidden", 4)
    for run, epochs in (("run", 2), ("whole", 4)):
        place = ("--out", tmp_path / run, "--schedule", "constant", "--quiet")
        assert run_xpnet("train", *flags, *place, "--epochs", epochs).code == 0
    assert run_xpnet("train", "--resume", tmp_path / "run", "--epochs", 4, "--quiet").code == 0
    assert weights_of(tmp_path / "run") == weights_of(tmp_path / "whole")


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--lr", 0.1], "'--lr'"),
        (["--hidden", 8], "'--hidden'"),
        (["--out", "elsewhere"], "'--out'"),
        (["--seed", 0], "'--seed'"),
        (["--tensorboard"], "'--tensorboard'"),
        (["mnist"], "'DATASET'"),
        (["--dataset", "mnist"], "'--dataset'"),
    ],
)
def test_a_resumed_run_keeps_its_settings(run_xpnet, run_folder, flags, named):
    answer = run_xpnet("train", "--resume", run_folder[0], *flags)
    assert (answer.code, answer.out) == (2, "")
    assert f"{named}: a resumed run keeps its settings" in answer.output
    assert (
        "only --epochs, --backend, --no-compile, --compression, --timeout, --data-dir, --trust and --quiet"
        in answer.output
    )


def test_a_file_of_flags_is_refused_with_resume(run_xpnet, run_folder):
    config = run_folder[0] / "config.toml"
    answer = run_xpnet("train", "--resume", run_folder[0], "--config", config)
    assert (answer.code, answer.out) == (2, "")
    assert "'--config': a resumed run keeps its settings" in answer.output


# --- what may be wrong with it --------------------------------------------------------------------


def _cut(run):
    data = (run / "last.safetensors").read_bytes()
    (run / "last.safetensors").write_bytes(data[: len(data) // 2])


def _flipped(run):
    data = bytearray((run / "last.safetensors").read_bytes())
    data[-100] ^= 1
    (run / "last.safetensors").write_bytes(data)


def _foreign(run):
    safetensors.numpy.save_file({"weight": np.zeros(3)}, run / "last.safetensors")


def _gone(run):
    (run / "last.safetensors").unlink()


def _of_another(run):
    text = (run / "config.toml").read_text()
    (run / "config.toml").write_text(text.replace('hidden = "32,16"', 'hidden = "32,8"'))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_cut, "cannot be read as safetensors"),
        (_flipped, "is damaged: its checksum is wrong"),
        (_foreign, "expected a checkpoint"),
        (_gone, "expected a safetensors file, but there is no such file"),
        (_of_another, "it is a checkpoint of another training"),
    ],
)
def test_a_damaged_checkpoint_is_named_and_nothing_is_lost(
    run_xpnet, run_folder, tmp_path, harm, message
):
    run = shutil.copytree(run_folder[0], tmp_path / "run")
    harm(run)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    answer = run_xpnet("train", "--resume", run, "--epochs", 9, "--quiet")
    assert (answer.code, answer.out) == (2, "")
    assert answer.output.startswith(f"Error: {run / 'last.safetensors'}: ")
    assert message in answer.output
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


@pytest.mark.parametrize("what", ["nothing", "a file", "an empty folder"])
def test_a_folder_that_is_no_run_is_named(run_xpnet, tmp_path, what):
    run = tmp_path / "run"
    if what == "a file":
        run.write_text("mine")
    elif what == "an empty folder":
        run.mkdir()
    answer = run_xpnet("train", "--resume", run)
    assert (answer.code, answer.out) == (2, "")
    assert f"{run}: expected a run folder" in answer.output


def test_a_changed_table_is_named(run_xpnet, plane, tmp_path):
    """The units of the targets would be different."""
    table = tmp_path / "table.csv"
    shutil.copy(plane, table)
    flags = ("--dataset", table, "--target", "price", "--task", "regress", "--epochs", 1)
    assert run_xpnet("train", *flags, "--out", tmp_path / "run").code == 0
    table.write_text(table.read_text() + "9,9,9\n")
    answer = run_xpnet("train", "--resume", tmp_path / "run", "--epochs", 2)
    assert (answer.code, answer.out) == (2, "")
    assert f"Error: {table}: it is not what the run was trained on" in answer.output
