"""Claims: only one training writes to a folder, whatever its process or thread."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

import xpnet
from tests.processes import environment
from xpnet import functions as F
from xpnet.training import (
    Callback,
    Checkpoint,
    CSVLogger,
    Run,
    Trainer,
    _claim as claims,
    checkpoint,
)
from xpnet.training._claim import Claim
from xpnet.training.run import claim_path

HOLD = """
import sys
from xpnet.training._claim import Claim
from xpnet.training.run import claim_path
with Claim(sys.argv[1]):
    print("held", flush=True)
    input()
"""


@pytest.fixture
def other():
    """A function that starts a process that has claimed a folder."""
    started = []

    def start(folder, program=HOLD):
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(folder)],
            stdin=pipe, stdout=pipe, text=True, env=environment(),
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_folder_is_created_and_an_empty_one_removed(tmp_path):
    with Claim(tmp_path / "a" / "b") as claim:
        assert [p.name for p in claim.folder.iterdir()] == [".lock"]
    assert list(tmp_path.iterdir()) == []
    with Claim(tmp_path / "a" / "b"):
        (tmp_path / "a" / "mine").touch()
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["mine"]


def test_a_folder_that_existed_before_stays(tmp_path):
    (tmp_path / "a").mkdir()
    with Claim(tmp_path / "a"):
        pass
    assert list((tmp_path / "a").iterdir()) == []


def test_another_process_is_refused_with_the_number_of_the_first(other, tmp_path):
    process = other(tmp_path / "run")
    said = rf"run: a training is writing to this folder: process {process.pid} on .*another folder"
    for _ in range(2):  # a refused claim leaves the other one intact
        with pytest.raises(xpnet.StateError, match=said):
            Claim(tmp_path / "run").acquire()
    process.communicate("\n")
    with Claim(tmp_path / "run"):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_process_does_not_keep_others_out(other, tmp_path):
    process = other(tmp_path / "run")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / "run" / ".lock").exists()
    with Claim(tmp_path / "run"):
        pass
    assert not (tmp_path / "run" / ".lock").exists()


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no symbolic links")
def test_a_folder_has_one_claim_under_all_its_names(other, tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")
    other(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    for name in ("link", "run", "./run/../run", tmp_path / "link"):
        with pytest.raises(xpnet.StateError, match="is writing to this folder"):
            Claim(name).acquire()


def test_a_thread_may_claim_again_and_another_thread_is_refused(tmp_path):
    errors = []

    def claim():
        try:
            Claim(tmp_path / "run").acquire()
        except xpnet.StateError as error:
            errors.append(str(error))

    def in_a_thread():
        thread = threading.Thread(target=claim)
        thread.start()
        thread.join()

    outer, inner = Claim(tmp_path / "run"), Claim(tmp_path / "run")
    with outer:
        with inner:
            in_a_thread()
        in_a_thread()
        inner.release()  # twice is once
        in_a_thread()
    assert len(errors) == 3
    assert all("another thread of this process" in error for error in errors)
    in_a_thread()
    assert len(errors) == 3


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"pid": "x", "host": 1}', '{"pid": 1', "\0"])
def test_the_content_of_a_lock_file_does_not_matter(content, tmp_path):
    (tmp_path / ".lock").write_text(content)
    assert claims._holder(tmp_path / ".lock") == "another process"
    with Claim(tmp_path):
        pass


def test_escapes_in_a_lock_file_are_not_printed():
    assert claims._holder('{"pid": 7, "host": "\\u001b[2J"}') == "process 7"


# --- the callbacks that write to a folder ---------------------------------------------------------


def trainer_of(*callbacks):
    model = xpnet.MLP(4, 8, 3, rng=0)
    optimizer = xpnet.Adam(model.parameters())
    return Trainer(model, F.softmax_cross_entropy, optimizer, callbacks=list(callbacks), rng=0)


CONFIG = {
    "architecture": {"in_features": 4, "hidden": [8], "out_features": 3, "activation": "relu"},
    "dtype": "float32", "dataset": "x", "data_dir": None,
}  # fmt: skip
WRITERS = {
    "Checkpoint": Checkpoint,
    "Run": lambda folder: Run(folder, CONFIG),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_folder_in_which_a_process_trains_is_refused(clusters, other, tmp_path, writer):
    """The other training is not disturbed."""
    callback = WRITERS[writer](tmp_path / "run")
    process = other(tmp_path / "run")
    with pytest.raises(xpnet.StateError, match=f"process {process.pid}"):
        trainer_of(callback).fit(clusters, None, 1, 20)
    assert [p.name for p in (tmp_path / "run").iterdir()] == [".lock"]


class Fails(Callback):
    """Ends the training in one of its moments."""

    def __init__(self, moment, error):
        self.error = error
        setattr(self, moment, self.fail)

    def fail(self, *args):
        raise self.error


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(
    ("moment", "error"),
    [
        ("on_start", ZeroDivisionError), ("on_start", SystemExit),  # Ctrl-C waits for the start
        ("on_log", ZeroDivisionError), ("on_log", KeyboardInterrupt),
        ("on_epoch", SystemExit), ("on_epoch", KeyboardInterrupt),
        ("on_end", ZeroDivisionError), ("on_end", KeyboardInterrupt),
    ],
)  # fmt: skip
def test_a_training_releases_its_folder_however_it_ends(clusters, tmp_path, writer, moment, error):
    callback = WRITERS[writer](tmp_path / "run")
    for callbacks in ([callback, Fails(moment, error)], [Fails(moment, error), callback]):
        with suppress(error):
            trainer_of(*callbacks).fit(clusters, None, 1, 20)
        assert callback.claim.lock is None
        assert not (tmp_path / "run" / ".lock").exists()
        for file in (tmp_path / "run").glob("*"):
            file.unlink()


# --- an older training's files --------------------------------------------------------------------


def content(folder):
    return {p.name: p.read_bytes() for p in Path(folder).iterdir()}


@pytest.mark.parametrize("left", ["last.safetensors", "best.safetensors", "both"])
def test_a_new_training_does_not_overwrite_the_checkpoints_of_an_older_one(
    clusters, tmp_path, left
):
    """Neither before its first step nor later; also if it has the same trainer."""
    trainer = trainer_of(Checkpoint(tmp_path))
    trainer.fit(clusters, None, 2, 20)
    for name in {"last.safetensors", "best.safetensors"} - {left}:
        if left != "both":
            (tmp_path / name).unlink()
    before = content(tmp_path)
    for new in (trainer_of(Checkpoint(tmp_path)), trainer):
        with pytest.raises(xpnet.StateError, match=r"safetensors: an older") as refused:
            new.fit(clusters, None, 3, 20)
        name = "best" if left == "best.safetensors" else "last"
        last = str(tmp_path / f"{name}.safetensors")
        files = " and ".join(str(tmp_path / name) for name in sorted(before, reverse=True))
        assert f"To resume the older one: fit(..., resume={last!r}). " in str(refused.value)
        assert f"To begin anew, remove {files} first." in str(refused.value)
        assert content(tmp_path) == before


def test_a_folder_accepts_only_the_training_that_its_files_resume(clusters, tmp_path):
    """From the last or the best file; a checkpoint from another folder is a new training here."""
    for name in "ab":
        trainer_of(Checkpoint(tmp_path / name)).fit(clusters, None, 2, 20)
    before = content(tmp_path / "a")
    with pytest.raises(xpnet.StateError, match="an older training"):
        trainer_of(Checkpoint(tmp_path / "a")).fit(
            clusters, None, 3, 20, resume=tmp_path / "b" / "last.safetensors"
        )
    assert content(tmp_path / "a") == before
    for epochs, name in ((3, "last"), (4, "best")):
        trainer = trainer_of(Checkpoint(tmp_path / "a"))
        trainer.fit(clusters, None, epochs, 20, resume=tmp_path / "a" / f"{name}.safetensors")
        assert checkpoint.steps_of(tmp_path / "a" / "last.safetensors") == 6 * epochs
    trainer_of(Checkpoint(tmp_path / "c")).fit(
        clusters, None, 3, 20, resume=tmp_path / "a" / "last.safetensors"
    )
    assert checkpoint.steps_of(tmp_path / "c" / "last.safetensors") == 24


def test_a_checkpoint_that_was_resumed_meanwhile_is_not_overwritten(clusters, tmp_path):
    """It was read before the other training began, and that has ended before this one writes."""
    last = tmp_path / "last.safetensors"
    trainer_of(Checkpoint(tmp_path)).fit(clusters, None, 1, 20)

    class Other(Callback):
        order = -1

        def on_start(self, trainer):
            trainer_of(Checkpoint(tmp_path)).fit(clusters, None, 2, 20, resume=last)

    with pytest.raises(xpnet.StateError, match="has resumed it meanwhile"):
        trainer_of(Other(), Checkpoint(tmp_path)).fit(clusters, None, 3, 20, resume=last)
    assert checkpoint.steps_of(last) == 12


def test_a_run_is_not_overwritten_by_a_second_training(clusters, tmp_path):
    """By the same trainer, by a run created before the first began, and by one with `again`."""
    first, early = trainer_of(Run(tmp_path / "run", CONFIG)), Run(tmp_path / "run", CONFIG)
    first.fit(clusters, None, 2, 20)
    before = content(tmp_path / "run")
    for new in (first, trainer_of(early), trainer_of(Run(tmp_path / "run", CONFIG, again=True))):
        with pytest.raises(xpnet.StateError, match="an older training"):
            new.fit(clusters, None, 3, 20)
        assert content(tmp_path / "run") == before


def test_a_table_of_an_older_training_is_not_overwritten(clusters, tmp_path):
    trainer_of(CSVLogger(tmp_path / "h.csv"), Checkpoint(tmp_path / "c")).fit(clusters, None, 2, 20)
    before = content(tmp_path / "c"), (tmp_path / "h.csv").read_text()
    with pytest.raises(xpnet.StateError, match=r"h\.csv: an older training"):
        trainer_of(CSVLogger(tmp_path / "h.csv")).fit(clusters, None, 2, 20)
    assert (content(tmp_path / "c"), (tmp_path / "h.csv").read_text()) == before
    trainer_of(CSVLogger(tmp_path / "h.csv")).fit(
        clusters, None, 3, 20, resume=tmp_path / "c" / "last.safetensors"
    )
    assert len((tmp_path / "h.csv").read_text().splitlines()) == 4


def test_a_folder_with_only_the_lock_file_of_a_killed_process_is_free(tmp_path):
    """Nobody holds the lock file that it has left."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").write_text('{"pid": 1, "host": "x"}')
    Run(tmp_path / "run", CONFIG)
    with claim_path(tmp_path / "run", "mnist") as claim:
        assert claim.folder == tmp_path / "run"
    assert list((tmp_path / "run").iterdir()) == []


def test_a_folder_that_must_be_new_must_not_exist(tmp_path):
    with pytest.raises(xpnet.StateError, match="expected a new folder, but it exists"):
        Claim(tmp_path).acquire(new=True)
    assert list(tmp_path.iterdir()) == []
