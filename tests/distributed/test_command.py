"""`mpiexec -n 2 xpnet train`: the same training, and what happens when a rank fails."""

import csv
import functools
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
    """The process numbers of the ranks that a launcher has started, in their order."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:  # it has ended, or is another user's
            continue
        number = next((x for x in variables if x.startswith(b"PMI_RANK=")), None)
        if number is not None and _is_below(int(entry.name), launcher.pid):
            found.append((int(number.partition(b"=")[2]), int(entry.name)))
    return [process for _, process in sorted(found)]


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


def wait_for_epochs(run, more):
    """Wait until a run has so many epochs more than now."""
    count = epochs_of(run) + more
    wait_for(lambda: epochs_of(run) >= count, f"epoch {count}")


@pytest.fixture(scope="module")
def run_of(tmp_path_factory):
    """A function that trains on so many ranks with more flags; returns the run and what was printed.

    160 rows in batches of 48, the last of which is short. Each training is made once.
    """
    folder = tmp_path_factory.mktemp("runs")
    data = table(folder)

    @functools.cache
    def run(count, *more):
        out = folder / "-".join(["run", str(count), *more])
        flags = ["--epochs", "3", "--dtype", "float64", "--batch-size", "48", *more]
        return out, trained(count, data, *flags, "--out", out)

    return run


@pytest.mark.parametrize("count", [2, 4])
def test_ranks_learn_what_one_process_learns(run_of, count):
    """The same flags give the same figures."""
    several, output = run_of(count)
    assert f"{count} ranks by MPI" in output.splitlines()[0]
    assert output.count("Test accuracy") == 1
    one, _ = run_of(1)
    assert_same_runs(several, one, rtol=1e-9)


@pytest.mark.parametrize("count", [2, 4])
def test_gradients_in_16_bits_are_an_option(run_of, count):
    wide, _ = run_of(count)
    narrow, _ = run_of(count, "--compression", "bfloat16")
    expected = weights(wide)
    found = weights(narrow)
    assert any(np.any(expected[name] != found[name]) for name in expected)
    np.testing.assert_allclose(history(narrow), history(wide), atol=0.05)


@pytest.mark.parametrize(("before", "after"), [(2, 3), (4, 2)])
def test_another_number_of_ranks_resumes_a_run(tmp_path, before, after):
    data = table(tmp_path)
    flags = ["--dtype", "float64", "--schedule", "constant"]
    trained(before, data, *flags, "--epochs", "2", "--out", tmp_path / "run")
    output = trained(after, "--resume", tmp_path / "run", "--epochs", "4")
    assert f"Resumed with ranks {before} -> {after}." in output
    trained(1, data, *flags, "--epochs", "4", "--out", tmp_path / "one")
    assert_same_runs(tmp_path / "run", tmp_path / "one", rtol=1e-9)


def test_a_folder_that_is_not_empty_is_refused_once(tmp_path):
    data = table(tmp_path)
    code, _, errors = ended(start(2, data, "--out", tmp_path))
    assert code != 0
    assert errors.count("is a folder that is not empty") == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--optimizer", "nothing"], "for '--optimizer'"),  # while the command line is parsed
        (["--nonsense"], "No such option"),
        (["--hidden", "0"], "for '--hidden'"),  # when flags are compared
        (["--target", "nothing"], "no column 'nothing'"),  # when the data are read
        (["--batch-size", "1000"], "A batch of 1000 is larger than the data"),
        (["--lr", "1e30", "--optimizer", "sgd"], "The loss became nan"),  # in the training
    ],
)
def test_an_error_that_all_ranks_have_is_printed_once(tmp_path, flags, message):
    out = tmp_path / "run"
    code, output, errors = ended(start(2, table(tmp_path), *flags, "--out", out))
    assert code == 2, output + errors
    assert errors.count(message) == 1, errors


def start_elsewhere(tmp_path, rows):
    """Start two ranks, the second one in another folder, with such a table or without one."""
    own = tmp_path / "own"
    other = tmp_path / "other"
    own.mkdir()
    other.mkdir()
    table(own)
    if rows is not None:
        table(other, rows)
    script = tmp_path / "rank.py"
    script.write_text(
        "import os, sys\n"
        "os.chdir(sys.argv.pop(1 + int(os.environ['PMI_RANK'])))\n"
        "sys.argv.pop(1)\n"
        "from xpnet.cli import main\n"
        "main()\n"
    )
    command = [str(script), str(own), str(other), "train", "rows.csv", "--out", tmp_path / "run"]
    return subprocess.Popen(
        [MPIEXEC, "-n", "2", sys.executable, *map(str, command)],
        env=environment(XPNET_EXECUTOR="numpy", PYTHONPATH=str(ROOT)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )


def test_a_file_that_one_rank_lacks_is_named(tmp_path):
    code, _, errors = ended(start_elsewhere(tmp_path, None))
    assert code != 0
    assert "rank 1 of 2 ends all: DataError" in errors
    assert "rows.csv: no such file" in errors
    # Rank 0 was ended while it had claimed the folder; the system has released the lock.
    assert [path.name for path in (tmp_path / "run").glob("*")] in ([], [".lock"])


def test_ranks_that_read_different_files_do_not_train(tmp_path):
    code, _, errors = ended(start_elsewhere(tmp_path, 199))
    assert code == 2, errors
    message = "Error: Rank 1 has read other data than rank 0, with 199 samples instead of 200."
    assert errors.count(message) == 1, errors
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("count", [2, 4])
def test_an_error_on_one_rank_ends_the_others(tmp_path, count):
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
        [MPIEXEC, "-n", str(count), sys.executable, str(script)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
    )
    assert time.monotonic() - began < 30
    assert found.returncode != 0
    assert f"xpnet: rank 1 of {count} ends all: ValueError: a file is damaged" in found.stderr


linux = pytest.mark.skipif(sys.platform != "linux", reason="the ranks are found in /proc")


# A training that goes on until it is ended, with figures that do not depend on the number of ranks.
ENDLESS = ["--dtype", "float64", "--schedule", "constant", "--epochs", "100000"]


def assert_continues(run, count, data, *flags, rtol=1e-7):
    """Resume the run for two more epochs: it is as if nothing had happened, and one rank had made it."""
    epochs = ["--epochs", str(epochs_of(run) + 2)]
    trained(count, "--resume", run, *epochs)
    one = run.parent / "one"
    trained(1, data, *ENDLESS, *flags, *epochs, "--out", one)
    assert_same_runs(run, one, rtol)


@linux
def test_a_rank_that_is_killed_ends_the_others_and_the_checkpoint_stands(tmp_path):
    data = table(tmp_path)
    run = tmp_path / "run"
    launcher = start(2, data, *ENDLESS, "--out", run)
    wait_for_epochs(run, 3)
    others = ranks_of(launcher)
    assert len(others) == 2
    began = time.monotonic()
    os.kill(others[1], signal.SIGKILL)
    code, output, errors = ended(launcher)
    assert time.monotonic() - began < 30
    assert code != 0
    assert f"PID {others[1]}" in output + errors  # mpiexec names it
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in others), "the end of all")
    assert_continues(run, 2, data)


@linux
@pytest.mark.parametrize("count", [2, 4])
def test_a_rank_that_hangs_is_named_and_ends_all(tmp_path, count):
    run = tmp_path / "run"
    launcher = start(count, table(tmp_path), *ENDLESS, "--timeout", "1.5", "--out", run)
    wait_for_epochs(run, 2)
    os.kill(ranks_of(launcher)[1], signal.SIGSTOP)
    began = time.monotonic()
    code, _, errors = ended(launcher)
    assert time.monotonic() - began < 30
    assert code != 0
    assert "waited 1.5 s for the others: rank 1 is missing." in errors


@linux
@pytest.mark.parametrize("count", [2, 4])
def test_ctrl_c_ends_all_ranks_after_the_same_step(tmp_path, count):
    data = table(tmp_path)
    run = tmp_path / "run"
    launcher = start(count, data, *ENDLESS, "--out", run)
    wait_for_epochs(run, 2)
    launcher.send_signal(signal.SIGINT)
    code, output, errors = ended(launcher)
    assert code == 130, output + errors
    assert output.count("Interrupted in epoch") == 1
    assert_continues(run, count, data)


@linux
@pytest.mark.slow
@pytest.mark.parametrize(("count", "compile"), [(2, "--compile"), (4, "--no-compile")])
def test_twenty_kills_lose_nothing(tmp_path, count, compile):
    """Random ranks are killed at random moments; what is resumed is as if nothing had happened.

    About half of the kills come while the ranks start or read the checkpoint, the others while they learn. It is
    slow because the ranks start twenty times.
    """
    numbers = random.Random(count)
    data = table(tmp_path)
    run = tmp_path / "run"
    flags = ["--batch-size", "8", compile]
    launcher = start(count, data, *ENDLESS, *flags, "--out", run)
    wait_for_epochs(run, 1)
    for _ in range(20):
        before = epochs_of(run)
        if numbers.random() < 0.5:
            wait_for_epochs(run, 1)
        time.sleep(numbers.uniform(0.0, 0.3))
        os.kill(numbers.choice(ranks_of(launcher)), signal.SIGKILL)
        code, output, errors = ended(launcher)
        assert code != 0, output + errors
        assert epochs_of(run) >= before
        launcher = start(count, "--resume", run, *ENDLESS[-2:])
        wait_for(lambda: len(ranks_of(launcher)) == count, "a start")  # noqa: B023 - called at once
    wait_for_epochs(run, 1)
    launcher.send_signal(signal.SIGINT)
    code, output, errors = ended(launcher)
    assert code == 130, output + errors
    assert_continues(run, count, data, *flags, rtol=1e-6)
