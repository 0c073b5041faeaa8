"""`mpiexec -n 2 xpnet train`: the same training, and what happens when a rank fails."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.distributed.test_processes import MPIEXEC, pytestmark  # noqa: F401 - it marks this file
from tests.processes import ROOT, environment
from xpnet.saving.safetensors import load_file

SECONDS = 120  # for one command, on a busy machine


def table(folder, rows=200, name="rows.csv"):
    """A table of two numbers and a class; returns the file."""
    numbers = np.random.default_rng(0)
    x = numbers.standard_normal((rows, 2))
    lines = ["a,b,class", *(f"{a},{b},{int(a * b > 0)}" for a, b in x)]
    file = folder / name
    file.write_text("\n".join(lines) + "\n")
    return file


def start(count, *flags, **variables):
    """Start `xpnet train` on so many ranks; returns the launcher."""
    command = [sys.executable, "-m", "xpnet", "train", *map(str, flags)]
    if count > 1:
        command = [MPIEXEC, "-n", str(count), *command]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(XPNET_EXECUTOR="numpy", **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,  # a signal of the tests is for these processes alone
    )


def ended(launcher):
    """What a command has printed, as soon as it ends: (exit code, output, errors)."""
    try:
        output, errors = launcher.communicate(timeout=SECONDS)
    finally:
        launcher.kill()
    return launcher.returncode, output, errors


def trained(count, *flags):
    """A command that succeeds; returns its output."""
    code, output, errors = ended(start(count, *flags))
    assert code == 0, output + errors
    return output


def history(run):
    """The losses and accuracies of a run, an array with a row for each epoch."""
    with (run / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [x for x in rows[0] if "loss" in x or "accuracy" in x]
    assert names
    return np.array([[float(row[name]) for name in names] for row in rows])


def weights(run):
    return load_file(run / "model.safetensors")[0]


def assert_same_runs(found, expected, rtol):
    np.testing.assert_allclose(history(found), history(expected), rtol=rtol)
    for name, x in weights(expected).items():
        np.testing.assert_allclose(weights(found)[name], x, rtol=rtol, atol=rtol)


def ranks_of(launcher):
    """The process numbers of the ranks that a launcher has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:  # it has ended, or is another user's
            continue
        if b"PMI_SIZE=2" in variables and _is_below(int(entry.name), launcher.pid):
            found.append(int(entry.name))
    return sorted(found)


def _is_below(process, ancestor):
    """Whether a process was started by another one, or by one that it has started."""
    while process > 1:
        if process == ancestor:
            return True
        try:
            stat = Path(f"/proc/{process}/stat").read_text()
            process = int(stat.rpartition(")")[2].split()[1])
        except OSError:
            return False
    return False


def wait_for(condition, what):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.02)


def epochs_of(run):
    """How many epochs the history of a run has."""
    file = run / "history.csv"
    return max(len(file.read_text().splitlines()) - 1, 0) if file.exists() else 0


@pytest.mark.parametrize("count", [2, 4])
def test_ranks_learn_what_one_process_learns(tmp_path, count):
    """The same flags give the same figures: 160 rows in batches of 48, the last of which is short."""
    data = table(tmp_path)
    flags = [data, "--epochs", "3", "--dtype", "float64", "--batch-size", "48"]
    output = trained(count, *flags, "--out", tmp_path / "several")
    assert f"{count} ranks by MPI" in output.splitlines()[0]
    assert output.count("Test accuracy") == 1
    trained(1, *flags, "--out", tmp_path / "one")
    assert_same_runs(tmp_path / "several", tmp_path / "one", rtol=1e-9)


def test_another_number_of_ranks_resumes_a_run(tmp_path):
    data = table(tmp_path)
    flags = ["--dtype", "float64", "--schedule", "constant"]
    trained(2, data, *flags, "--epochs", "2", "--out", tmp_path / "run")
    output = trained(3, "--resume", tmp_path / "run", "--epochs", "4")
    assert "Resumed with ranks 2 -> 3." in output
    trained(1, data, *flags, "--epochs", "4", "--out", tmp_path / "one")
    assert_same_runs(tmp_path / "run", tmp_path / "one", rtol=1e-9)


def test_gradients_in_16_bits_are_an_option(tmp_path):
    data = table(tmp_path)
    trained(2, data, "--epochs", "3", "--out", tmp_path / "wide")
    trained(2, data, "--epochs", "3", "--compression", "bfloat16", "--out", tmp_path / "narrow")
    wide = weights(tmp_path / "wide")
    narrow = weights(tmp_path / "narrow")
    assert any(np.any(wide[name] != narrow[name]) for name in wide)
    np.testing.assert_allclose(history(tmp_path / "narrow"), history(tmp_path / "wide"), atol=0.05)


def test_a_folder_that_is_not_empty_is_refused_once(tmp_path):
    data = table(tmp_path)
    code, _, errors = ended(start(2, data, "--out", tmp_path))
    assert code != 0
    assert errors.count("is a folder that is not empty") == 1


def test_a_flag_that_is_wrong_ends_all_ranks(tmp_path):
    code, _, errors = ended(start(2, table(tmp_path), "--optimizer", "nothing"))
    assert code != 0
    assert "--optimizer" in errors


def test_an_error_on_one_rank_ends_the_others(tmp_path):
    """Rank 1 finds other data, which its model does not fit."""
    table(tmp_path)
    script = tmp_path / "data.py"
    script.write_text(
        "import os, sys, numpy as np, xpnet\n"
        "from xpnet import distributed, functions as F\n"
        "from xpnet.training import Trainer\n"
        "communicator = distributed.communicator()\n"
        "model = xpnet.MLP(2, 3, 2, rng=0)\n"
        "optimizer = xpnet.SGD(model.parameters())\n"
        "trainer = Trainer(model, F.softmax_cross_entropy, optimizer, communicator=communicator)\n"
        "if communicator.rank == 1: raise ValueError('a file is damaged')\n"
        "trainer.fit((np.zeros((8, 2), 'f'), np.zeros(8, int)), epochs=1, batch_size=4)\n"
    )
    began = time.monotonic()
    found = subprocess.run(
        [MPIEXEC, "-n", "2", sys.executable, str(script)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
    )
    assert time.monotonic() - began < 30
    assert found.returncode != 0
    assert "xpnet: rank 1 of 2 ends all: ValueError: a file is damaged" in found.stderr


linux = pytest.mark.skipif(sys.platform != "linux", reason="the ranks are found in /proc")


@linux
def test_a_rank_that_is_killed_ends_the_others_and_the_checkpoint_stands(tmp_path):
    data = table(tmp_path)
    run = tmp_path / "run"
    flags = ["--dtype", "float64", "--schedule", "constant"]
    launcher = start(2, data, *flags, "--epochs", "4000", "--out", run)
    wait_for(lambda: epochs_of(run) >= 3, "the third epoch")
    others = ranks_of(launcher)
    assert len(others) == 2
    began = time.monotonic()
    os.kill(others[1], signal.SIGKILL)
    code, output, errors = ended(launcher)
    assert time.monotonic() - began < 30
    assert code != 0
    assert f"PID {others[1]}" in output + errors  # mpiexec names it
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in others), "the end of all")
    done = epochs_of(run)
    trained(2, "--resume", run, "--epochs", str(done + 2))
    trained(1, data, *flags, "--epochs", str(done + 2), "--out", tmp_path / "one")
    assert_same_runs(run, tmp_path / "one", rtol=1e-7)


@linux
def test_a_rank_that_hangs_is_named_and_ends_all(tmp_path):
    run = tmp_path / "run"
    launcher = start(2, table(tmp_path), "--epochs", "4000", "--timeout", "1.5", "--out", run)
    wait_for(lambda: epochs_of(run) >= 2, "the second epoch")
    os.kill(ranks_of(launcher)[1], signal.SIGSTOP)
    began = time.monotonic()
    code, _, errors = ended(launcher)
    assert time.monotonic() - began < 30
    assert code != 0
    assert "waited 1.5 s for the others: rank 1 is missing." in errors


@linux
def test_ctrl_c_ends_all_ranks_after_the_same_step(tmp_path):
    data = table(tmp_path)
    run = tmp_path / "run"
    flags = ["--dtype", "float64", "--schedule", "constant"]
    launcher = start(2, data, *flags, "--epochs", "4000", "--out", run)
    wait_for(lambda: epochs_of(run) >= 2, "the second epoch")
    launcher.send_signal(signal.SIGINT)
    code, output, errors = ended(launcher)
    assert code == 130, output + errors
    assert output.count("Interrupted in epoch") == 1
    done = epochs_of(run) + 2
    trained(2, "--resume", run, "--epochs", str(done))
    trained(1, data, *flags, "--epochs", str(done), "--out", tmp_path / "one")
    assert_same_runs(run, tmp_path / "one", rtol=1e-7)


@linux
@pytest.mark.slow
def test_twenty_kills_lose_nothing(tmp_path):
    """Random ranks are killed at random times; what is resumed is as if nothing had happened."""
    numbers = random.Random(0)
    data = table(tmp_path)
    run = tmp_path / "run"
    flags = ["--dtype", "float64", "--schedule", "constant", "--batch-size", "8"]
    launcher = start(2, data, *flags, "--epochs", "4000", "--out", run)
    wait_for(lambda: epochs_of(run) >= 1, "the first epoch")
    for _ in range(20):
        before = epochs_of(run)
        time.sleep(numbers.uniform(0.0, 1.0))
        os.kill(numbers.choice(ranks_of(launcher)), signal.SIGKILL)
        code, *_ = ended(launcher)
        assert code != 0
        assert epochs_of(run) >= before
        launcher = start(2, "--resume", run, "--epochs", "4000")
        wait_for(lambda: len(ranks_of(launcher)) == 2 or launcher.poll() is not None, "a start")  # noqa: B023 - called at once
        time.sleep(2.0)
    launcher.send_signal(signal.SIGINT)
    code, output, errors = ended(launcher)
    assert code == 130, output + errors
    done = epochs_of(run) + 1
    trained(2, "--resume", run, "--epochs", str(done))
    trained(1, data, *flags, "--epochs", str(done), "--out", tmp_path / "one")
    assert_same_runs(run, tmp_path / "one", rtol=1e-6)
