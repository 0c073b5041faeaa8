"""A training that was interrupted, at any moment and in any way, is resumed bit for bit."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import xpnet
from tests.processes import environment
from tests.training import resumable
from xpnet.training import Callback, Checkpoint, checkpoint, evaluation

ROOT = Path(__file__).parents[2]
on_posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork, no SIGKILL")


def assert_same(a, b, path=""):
    """Two trees with the same numbers, to the last bit."""
    assert type(a) is type(b), path
    if isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for name in a:
            assert_same(a[name], b[name], f"{path}.{name}")
    elif isinstance(a, list):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{path}.{i}")
    elif isinstance(a, np.ndarray):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()), path
    else:
        assert a == b, path


def assert_same_end(folder, expected):
    """The last checkpoints, and the best ones, hold the same but for the clocks."""
    for name in (Checkpoint.LAST, Checkpoint.BEST):
        found, wanted = (checkpoint.read(Path(f) / name) for f in (folder, expected))
        assert_same(resumable.without_clocks(found), resumable.without_clocks(wanted), name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of the training that nothing breaks off."""
    folder = tmp_path_factory.mktemp("whole")
    with xpnet.using("numpy"):
        trainer = resumable.fit(folder)
    assert len(trainer.history) == resumable.EPOCHS
    assert trainer.history["train_loss"][-1] < 0.7 * trainer.history["train_loss"][0]
    return folder


class Server:
    """A process that forks a training for each folder, so that no training has to import anything."""

    def __init__(self, server):
        self.server = server

    def start(self, folder):
        """Start or resume a training in `folder`; return the number of its process."""
        self.server.stdin.write(f"{folder}\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())

    def wait(self):
        """The exit code of the training that was started last."""
        return int(self.server.stdout.readline())


@pytest.fixture
def server():
    env = environment(OPENBLAS_NUM_THREADS="1")
    env.pop("XPNET_BACKEND", None)
    command, pipe = [sys.executable, resumable.__file__], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=env) as process:
        yield Server(process)
        process.stdin.close()


@on_posix
def test_killed_at_50_random_moments_a_training_ends_bit_for_bit_the_same(server, whole, tmp_path):
    """Each process lives up to a tenth of the time of the training; afterwards all checkpoints load.

    A process that achieved nothing is followed by one that lives longer, so that a machine that becomes
    slower does not stop the test. If the training ends early, the next one starts in a new folder.
    """
    (tmp_path / "0").mkdir()
    server.start(tmp_path / "0")
    begin = time.perf_counter()
    assert server.wait() == 0
    assert_same_end(tmp_path / "0", whole)
    rng, length = random.Random(0), (time.perf_counter() - begin) / 10
    kills, folder, steps, last = 0, tmp_path / "1", set(), set()
    while kills < 50:
        folder.mkdir(exist_ok=True)
        child = server.start(folder)
        time.sleep(rng.uniform(0.0, length))
        with suppress(ProcessLookupError):  # it has come to its end
            os.kill(child, signal.SIGKILL)
        if server.wait() == 0:
            assert_same_end(folder, whole)
            folder = folder.with_name(f"{int(folder.name) + 1}")
            continue
        kills += 1
        files = list(folder.glob("*.safetensors"))
        found = {checkpoint.read(file)["steps"] for file in files}
        length *= 1.1 if found == last else 1.0  # it stood still: the machine has become slower
        steps, last = steps | found, found
    assert len(steps) > 5  # it was not killed at its start each time
    server.start(folder)
    assert server.wait() == 0
    assert_same_end(folder, whole)


@pytest.mark.parametrize("batch", [1, 2, 7, 9, 11, 55])
def test_ctrl_c_within_an_epoch_loses_no_step(whole, tmp_path, batch):
    """After this number of batches, two of which make a step: those of half a step are learned again."""
    left = iter(range(batch - 1, -1, -1))

    class Press(Callback):
        def on_step(self, trainer):
            if not next(left):
                raise KeyboardInterrupt

    trainer = resumable.make(tmp_path)
    trainer.callbacks = [*trainer.callbacks, Press()]
    data = resumable.loader(), resumable.data()
    assert trainer.fit(*data, resumable.EPOCHS).interrupted
    saved = checkpoint.read(tmp_path / Checkpoint.LAST)["position"]
    of_epoch = (batch - 1) % 7 + 1
    assert saved["epoch"] * 7 + saved["batch"] == batch - of_epoch % 2
    resumable.fit(tmp_path, seed=99)
    assert_same_end(tmp_path, whole)


def test_ctrl_c_within_an_evaluation_loses_no_step(whole, tmp_path, monkeypatch):
    """In the second epoch: all its steps are done, and the resumed training does its test."""
    measure, calls = evaluation.measure, []

    def pressed(*args, **options):
        calls.append(0)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return measure(*args, **options)

    monkeypatch.setattr(evaluation, "measure", pressed)
    trainer = resumable.make(tmp_path, every_steps=None)
    history = trainer.fit(resumable.loader(), resumable.data(), resumable.EPOCHS)
    assert (history.interrupted, len(history), trainer.batch) == (True, 1, 7)
    resumable.fit(tmp_path, seed=99)
    assert_same_end(tmp_path, whole)


def test_ctrl_c_within_a_step_is_raised_at_its_end(whole, tmp_path, monkeypatch):
    """Half of the parameters have moved when the key is pressed."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    trainer = resumable.make(tmp_path)
    update, calls = trainer.optimizer.update, []

    def pressed(*args):
        calls.append(0)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return update(*args)

    monkeypatch.setattr(trainer.optimizer, "update", pressed)
    data = resumable.loader(), resumable.data()
    try:
        assert trainer.fit(*data, resumable.EPOCHS).interrupted
    finally:
        signal.signal(signal.SIGINT, before)
    assert (trainer.steps, len(calls), trainer.between_steps) == (1, 6, True)
    resumable.fit(tmp_path, seed=99)
    assert_same_end(tmp_path, whole)


def test_an_interrupted_step_is_not_saved(tmp_path, monkeypatch):
    """The checkpoint is that of the step before."""
    trainer = resumable.make(tmp_path)
    update, calls = trainer.optimizer.update, []

    def broken(*args):
        calls.append(0)
        if len(calls) == 9:  # six parameters: in the second step
            raise KeyboardInterrupt
        return update(*args)

    monkeypatch.setattr(trainer.optimizer, "update", broken)
    trainer.fit(resumable.data(), None, 2, 20)
    assert checkpoint.read(tmp_path / Checkpoint.LAST)["steps"] == 1
    with pytest.raises(xpnet.StateError, match="half done"):
        trainer.save(tmp_path / "mine.safetensors")
    trainer.load(tmp_path / Checkpoint.LAST)
    trainer.save(tmp_path / "mine.safetensors")


def test_a_training_can_be_resumed_on_another_backend(backend, tmp_path):
    """From a checkpoint of NumPy within an epoch, to the precision of float32.

    With momentum: Adam enlarges a gradient that is only rounding, such as that of a bias which BatchNorm
    subtracts again.
    """

    class Stop(Callback):
        def on_step(self, trainer):
            if trainer.steps == 17:
                raise KeyboardInterrupt

    options = {"every_steps": None, "rule": "momentum", "precision": None}
    with xpnet.using("numpy"):
        resumable.fit(tmp_path / "whole", train=resumable.data(), **options)
        trainer = resumable.make(tmp_path, **options)
        trainer.callbacks = [*trainer.callbacks, Stop()]
        trainer.fit(*[resumable.data()] * 2, resumable.EPOCHS, 20)
    trainer = resumable.fit(tmp_path, seed=5, train=resumable.data(), **options)
    assert all(type(p.data) is type(backend.asarray([1.0])) for p in trainer.model.parameters())
    expected = checkpoint.read(tmp_path / "whole" / Checkpoint.LAST)
    for column in ("train_loss", "test_loss", "train_accuracy"):
        np.testing.assert_allclose(
            trainer.history[column], [row[column] for row in expected["history"]["rows"]], rtol=1e-4
        )
    found = checkpoint.read(tmp_path / Checkpoint.LAST)  # `trainer.model` is the best one
    for name, x in found["model"].items():
        np.testing.assert_allclose(x, expected["model"][name], rtol=1e-3, atol=1e-5, err_msg=name)
