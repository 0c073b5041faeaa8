"""A run folder after a power failure: each file empty, cut, damaged, older, or missing.

The training is resumed as if it had not been interrupted, or refused with the file's name; it is never another
training.
"""

import os
import shutil
import stat

import numpy as np
import pytest
import safetensors.numpy

from xpnet.training import checkpoint

FLAGS = (
    "--hidden", 4, "--lr", 0.02, "--schedule", "exponential:gamma=0.8", "--weight-decay", 0.1,
    "--clip", 0.5, "--seed", 3, "--batch-size", 7, "--dtype", "float64", "--quiet",
)  # fmt: skip
FILES = ["config.toml", "config.json", "model.safetensors", "history.csv", "last.safetensors"]


def without_clocks(run):
    state = checkpoint.read(run / "last.safetensors")
    for row in state["history"]["rows"]:
        row["seconds"] = row["samples_per_s"] = 0.0
    state["position"]["seconds"] = 0.0
    text, arrays = checkpoint.flattened(state)
    return text, {name: x.tobytes() for name, x in arrays.items()}


def weights_of(run):
    state = safetensors.numpy.load_file(run / "model.safetensors")
    return {name: x.tobytes() for name, x in state.items()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def interrupted_runs(run_xpnet, flowers, runs, tmp_path):
    """A copy of a run of two epochs, a run of one epoch, and an uninterrupted run of four."""
    for epochs in (1, 2):
        if not (runs / str(epochs)).exists():
            out = runs / str(epochs)
            assert run_xpnet("train", flowers, "--epochs", epochs, "--out", out, *FLAGS).code == 0
    if not (runs / "whole").exists():
        shutil.copytree(runs / "2", runs / "whole")
        answer = run_xpnet("train", "--resume", runs / "whole", "--epochs", 4, "--quiet")
        assert (answer.code, answer.err) == (0, "")
    run = shutil.copytree(runs / "2", tmp_path / "run")
    return run, runs / "1", runs / "whole"


def _noise(data, _):
    return np.random.default_rng(0).bytes(len(data))


DAMAGE = {
    "empty": lambda data, _: b"",
    "a byte": lambda data, _: data[:1],
    "half": lambda data, _: data[: len(data) // 2],
    "all but a byte": lambda data, _: data[:-1],
    "zeros": lambda data, _: bytes(len(data)),
    "noise": _noise,
    "older": lambda _, older: older,
    "gone": lambda *_: None,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_run_is_resumed_unchanged_or_refused(interrupted_runs, run_xpnet, name, damage):
    """Only the checkpoint matters; none of the other files is needed."""
    run, older, whole = interrupted_runs
    file = run / name
    data = DAMAGE[damage](file.read_bytes(), (older / name).read_bytes())
    if data is None:
        file.unlink()
    else:
        file.write_bytes(data)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    answer = run_xpnet("train", "--resume", run, "--epochs", 4, "--quiet")
    refusable = name == "last.safetensors" or (
        name == "config.toml" and damage in ("half", "older")
    )
    if answer.code == 0:
        assert answer.err == ""
        assert name != "last.safetensors" or damage == "older"
        if damage != "older":
            assert without_clocks(run) == without_clocks(whole)
        assert weights_of(run).keys() == weights_of(whole).keys()
        if name != "last.safetensors":
            assert weights_of(run) == weights_of(whole)
            assert (run / name).exists()
    else:
        assert refusable
        assert answer.code == 2
        assert str(file) in answer.output
        assert {path.name: path.read_bytes() for path in run.iterdir()} == before


@pytest.mark.parametrize("place", range(0, 1000, 37))
def test_every_flipped_bit_of_the_checkpoint_is_noticed(interrupted_runs, run_xpnet, place):
    """In its header, its text and its arrays: each has a checksum, or only one valid value."""
    run, _, _ = interrupted_runs
    file = run / "last.safetensors"
    data = bytearray(file.read_bytes())
    data[place * len(data) // 1000] ^= 1 << place % 8
    file.write_bytes(bytes(data))
    answer = run_xpnet("train", "--resume", run, "--epochs", 4, "--quiet")
    assert (answer.code, answer.out) == (2, "")
    assert str(file) in answer.output


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lr = 0.02", "lr = 0.03", "its lr is 0.02, not 0.03"),
        ("clip = 0.5\n", "", "its clip is 0.5, not None"),
        ("seed = 3", "seed = 4", "its seed is 3, not 4"),
        ("seed = 3", "seed = 3\nprecision = 'float16'", "its precision is None, not 'float16'"),
    ],
)
def test_a_setting_that_was_edited_is_named(interrupted_runs, run_xpnet, old, new, message):
    """It would have no effect."""
    run, _, _ = interrupted_runs
    text = (run / "config.toml").read_text()
    assert old in text
    (run / "config.toml").write_text(text.replace(old, new))
    answer = run_xpnet("train", "--resume", run, "--epochs", 4)
    assert (answer.code, answer.out) == (2, "")
    assert f"{run / 'last.safetensors'}: it is a checkpoint of another training" in answer.output
    assert message in answer.output
    assert "begin a new run: xpnet train --config" in answer.output


def test_comments_in_the_file_are_no_edit(interrupted_runs, run_xpnet):
    run, _, whole = interrupted_runs
    text = (run / "config.toml").read_text()
    (run / "config.toml").write_text(f"# mine\n{text}\n\n# more\n")
    assert run_xpnet("train", "--resume", run, "--epochs", 4, "--quiet").code == 0
    assert weights_of(run) == weights_of(whole)


@pytest.mark.skipif(os.name != "posix", reason="Windows cannot synchronise a folder")
def test_every_file_is_synchronised_before_it_is_renamed(run_xpnet, flowers, tmp_path, monkeypatch):
    """Each file of the run, and its folder afterwards."""
    calls, sync, replace = [], os.fsync, type(tmp_path).replace

    def synced(handle):
        status = os.fstat(handle)
        calls.append(("folder" if stat.S_ISDIR(status.st_mode) else "file", status.st_ino))
        sync(handle)

    def replaced(self, target):
        calls.append(("rename", self.stat().st_ino, target.name))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(type(tmp_path), "replace", replaced)
    run = tmp_path / "run"
    assert run_xpnet("train", flowers, "--epochs", 2, "--out", run, *FLAGS).code == 0
    renamed = [i for i, call in enumerate(calls) if call[0] == "rename"]
    assert {calls[i][2] for i in renamed} >= set(FILES)
    for i in renamed:
        assert calls[i - 1] == ("file", calls[i][1])
        assert calls[i + 1] == ("folder", run.stat().st_ino)


@pytest.mark.skipif(os.name != "posix", reason="permissions and links are of POSIX")
def test_permissions_and_links_of_a_run_are_kept(interrupted_runs, run_xpnet, tmp_path):
    """A history on another disk, and weights that only their owner may read."""
    run, _, whole = interrupted_runs
    (run / "history.csv").rename(tmp_path / "history.csv")
    (run / "history.csv").symlink_to(tmp_path / "history.csv")
    for name in ("model.safetensors", "last.safetensors"):
        (run / name).chmod(0o600)
    assert run_xpnet("train", "--resume", run, "--epochs", 4, "--quiet").code == 0
    assert (run / "history.csv").is_symlink()
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 5
    for name in ("model.safetensors", "last.safetensors"):
        assert stat.S_IMODE((run / name).stat().st_mode) == 0o600
    assert weights_of(run) == weights_of(whole)
