"""`xpnet train --no-compile`: the same training, of which each step runs as it is."""

import shutil

import pytest
import safetensors.numpy

from xpnet import CompileError
from xpnet.compiler.c import load


@pytest.fixture(autouse=True)
def _numpy_executor(monkeypatch):
    """Its results are those of steps that are not compiled, bit for bit."""
    monkeypatch.setenv("XPNET_EXECUTOR", "numpy")


def weights_of(run):
    arrays = safetensors.numpy.load_file(run / "model.safetensors")
    return {name: x.tobytes() for name, x in arrays.items()}


def test_a_run_is_the_same_without_compilation(train, tmp_path):
    run = tmp_path / "run"
    compiled = train("--epochs", 2)
    assert (compiled.code, compiled.err) == (0, "")
    assert ", compiled (NumPy)\n" in compiled.out
    assert "compile = true\n" in (run / "config.toml").read_text()
    shutil.move(run, tmp_path / "compiled")
    plain = train("--epochs", 2, "--no-compile")
    assert (plain.code, plain.err) == (0, "")
    assert ", not compiled\n" in plain.out
    assert "compile = false\n" in (run / "config.toml").read_text()
    assert weights_of(run) == weights_of(tmp_path / "compiled")


def test_a_run_is_resumed_without_compilation(train, run_xpnet, tmp_path):
    """And compiled again: the result is that of a training that was not interrupted."""
    flags = ("--schedule", "constant")
    assert train(*flags, "--epochs", 3).code == 0
    shutil.move(tmp_path / "run", tmp_path / "whole")
    assert train(*flags, "--epochs", 1).code == 0
    run = tmp_path / "run"
    answer = run_xpnet("train", "--resume", run, "--epochs", 2, "--no-compile")
    assert (answer.code, answer.err) == (0, "")
    assert ", not compiled\n" in answer.out
    answer = run_xpnet("train", "--resume", run, "--epochs", 3, "--compile")
    assert (answer.code, answer.err) == (0, "")
    assert ", compiled (NumPy)\n" in answer.out
    assert weights_of(run) == weights_of(tmp_path / "whole")


def test_c_by_force_without_a_library_ends_before_the_training(train, monkeypatch):
    def wait():
        raise CompileError("There is no C library: no compiler was found")

    monkeypatch.setenv("XPNET_EXECUTOR", "c")
    monkeypatch.setattr(load, "wait", wait)
    answer = train("--epochs", 1)
    assert answer.code == 2
    assert "no compiler was found" in answer.err
    assert "compiled" not in answer.out
