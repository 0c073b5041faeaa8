"""Python code of a run folder is executed only with consent, and only its `model.py`."""

import io
import json
import os
import shutil
import sys

import pytest
import safetensors.numpy

import xpnet
from xpnet.cli.consent import require_consent
from xpnet.saving import safetensors as serialization
from xpnet.training import open_run
from xpnet.training.model_file import read

NET = """
import os, pathlib
import xpnet

marks = pathlib.Path(os.environ["MARKS"])
marks.joinpath(f"imported{len(list(marks.iterdir()))}").touch()

def net(input_shape, outputs):
    return xpnet.Sequential(xpnet.Flatten(), xpnet.Affine(784, outputs))

def other(input_shape, outputs):
    marks.joinpath("other").touch()
    return net(input_shape, outputs)
"""


@pytest.fixture
def count_executions(tmp_path, monkeypatch):
    """A function that returns how often the code was executed since its last call."""
    marks = tmp_path / "marks"
    marks.mkdir()
    monkeypatch.setenv("MARKS", str(marks))

    def count():
        found = list(marks.iterdir())
        for mark in found:
            mark.unlink()
        return len(found)

    return count


@pytest.fixture
def own_run(count_executions, run_xpnet, few_digits, tmp_path):
    """A run of this user's, with a model of the user's own."""
    (tmp_path / "net.py").write_text(NET)
    flags = ("--epochs", 1, "--batch-size", 50, "--quiet", "--data-dir", few_digits)
    answer = run_xpnet(
        "train", "--model", f"{tmp_path / 'net.py'}:net", "--out", tmp_path / "run", *flags
    )
    assert (answer.code, answer.err) == (0, "")
    assert count_executions() == 1
    return tmp_path / "run"


@pytest.fixture
def foreign_run(own_run, tmp_path, monkeypatch):
    """The same run as if it were somebody else's: this user has not trusted its code."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "state"))
    return own_run


def commands(run, pictures, tmp_path):
    """The commands that build the model of a run."""
    return {
        "evaluate": ("evaluate", run),
        "predict": ("predict", run, pictures / "7.png"),
        "resume": ("train", "--resume", run, "--epochs", 2, "--quiet"),
        "config": ("train", "--config", run / "config.toml", "--out", tmp_path / "new", "--quiet"),
    }


COMMANDS = ["evaluate", "predict", "resume", "config"]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_code_of_somebody_elses_run_is_not_executed(
    foreign_run, count_executions, run_xpnet, pictures, tmp_path, command
):
    before = {p.name: p.read_bytes() for p in foreign_run.iterdir()}
    answer = run_xpnet(*commands(foreign_run, pictures, tmp_path)[command])
    assert (answer.code, answer.out) == (2, "")
    assert count_executions() == 0
    assert answer.output.startswith(f"Error: {foreign_run / 'model.py'}: this model is Python code")
    for part in ("13 lines", "the function net", "SHA-256", "Read it first", "--trust"):
        assert part in answer.output
    assert {p.name: p.read_bytes() for p in foreign_run.iterdir()} == before
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_with_trust_code_is_executed_and_afterwards_without(
    foreign_run, count_executions, run_xpnet, pictures, tmp_path, command
):
    words = commands(foreign_run, pictures, tmp_path)[command]
    answer = run_xpnet(*words, "--trust")
    assert (answer.code, answer.err) == (0, "")
    assert count_executions() >= 1
    answer = run_xpnet("evaluate", foreign_run)
    assert (answer.code, answer.err) == (0, "")
    assert count_executions() == 1


def test_the_code_of_the_users_own_run_is_trusted(
    own_run, count_executions, run_xpnet, pictures, tmp_path
):
    """In its folder and in a copy of it."""
    shutil.copytree(own_run, tmp_path / "copy")
    for run in (own_run, tmp_path / "copy"):
        for words in commands(run, pictures, tmp_path / run.name).values():
            answer = run_xpnet(*words)
            assert (answer.code, answer.err) == (0, "")
            assert count_executions() >= 1


def test_changed_code_needs_consent_again(own_run, count_executions, run_xpnet, pictures, tmp_path):
    """A resumed run refuses it, because it would continue with another model."""
    (own_run / "model.py").write_text(NET + "# and more\n")
    for name, words in commands(own_run, pictures, tmp_path).items():
        answer = run_xpnet(*words)
        assert (answer.code, answer.out) == (2, "")
        message = "not the code that the run was trained with" if name == "resume" else "--trust"
        assert message in answer.output
        assert count_executions() == 0
    answer = run_xpnet("train", "--resume", own_run, "--epochs", 2, "--trust")
    assert (answer.code, answer.out) == (2, "")
    assert count_executions() == 0


def test_a_file_of_flags_that_the_user_wrote_may_name_code(
    count_executions, run_xpnet, few_digits, tmp_path, monkeypatch
):
    """Its author asks for the code, as does a user who names it on the command line."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "net.py").write_text(NET)
    flags = f"data-dir = '{few_digits}'\nepochs = 1\nbatch-size = 50\nquiet = true\n"
    (tmp_path / "train.toml").write_text(f"{flags}model = 'net.py:net'\n")
    answer = run_xpnet("train", "--config", tmp_path / "train.toml", "--out", tmp_path / "a")
    assert (answer.code, answer.err) == (0, "")
    assert count_executions() == 1


# --- what metadata may name -----------------------------------------------------------------------


def forge(run, model, **architecture):
    """Make the metadata of a run's model name other code."""
    path = run / "model.safetensors"
    state, metadata = serialization.load_file(path)
    config = json.loads(metadata["xpnet"])
    config["architecture"] = {**config["architecture"], "model": model, **architecture}
    path.write_bytes(safetensors.numpy.save(state, {"xpnet": json.dumps(config)}))


@pytest.mark.parametrize(
    "model",
    [
        "../elsewhere/evil.py:net", "/{tmp}/elsewhere/evil.py:net", "elsewhere/evil.py:net",
        "evil.py:net", "../run/model.py:net", "model.py.py:net", "MODEL.PY:net", "model:net",
        "model.py:net()", "model.py:os.system", "model.py:", ":net", "model.py: net",
        "model.py\x00:net", "~/model.py:net", "file://model.py:net", "model.py::net",
    ],
)  # fmt: skip
def test_code_outside_model_py_is_refused_even_with_trust(
    own_run, count_executions, run_xpnet, tmp_path, model
):
    """Wherever the file is."""
    (tmp_path / "elsewhere").mkdir()
    for folder in (own_run, tmp_path / "elsewhere", own_run.parent):
        (folder / "evil.py").write_text(NET)
    forge(own_run, model.replace("/{tmp}", str(tmp_path)))
    answer = run_xpnet("evaluate", own_run, "--trust")
    assert (answer.code, answer.out) == (2, "")
    assert "Expected a function of model.py in the same folder" in answer.output
    with pytest.raises(xpnet.StateError, match="nothing else is executed"):
        open_run(own_run, trust=True).build()
    assert count_executions() == 0


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_link_is_refused(own_run, count_executions, run_xpnet, pictures, tmp_path, command):
    """Even if the code that it points to is trusted."""
    (own_run / "model.py").rename(tmp_path / "moved.py")
    (own_run / "model.py").symlink_to(tmp_path / "moved.py")
    answer = run_xpnet(*commands(own_run, pictures, tmp_path)[command], "--trust")
    assert (answer.code, answer.out) == (2, "")
    assert "is a link" in answer.output or "Expected a function of model.py" in answer.output
    assert count_executions() == 0


def test_another_function_of_trusted_code_is_not_trusted(own_run, count_executions, run_xpnet):
    """Metadata could name anything that the file has imported."""
    forge(own_run, "model.py:other")
    answer = run_xpnet("evaluate", own_run)
    assert (answer.code, answer.out) == (2, "")
    assert "with the function other" in answer.output
    assert count_executions() == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_shape": ["rm -rf"]}, {"input_shape": "abc"}, {"input_shape": None},
        {"outputs": "x"}, {"outputs": -1}, {"outputs": True}, {"input_shape": [[784]]},
        {"input_shape": [1.5]}, {"input_shape": {"a": 1}},
    ],
)  # fmt: skip
def test_the_function_is_called_with_numbers_only(own_run, count_executions, wrong):
    forge(own_run, "model.py:net", **wrong)
    with pytest.raises(xpnet.StateError, match=r"model\.safetensors: its metadata"):
        open_run(own_run).build()
    assert count_executions() == 0


def test_in_python_an_argument_gives_trust(foreign_run, count_executions):
    """It is not remembered, because it may be meant for one call."""
    trained = open_run(foreign_run)
    with pytest.raises(xpnet.StateError, match=r"Read it first\. .*open_run\(path, trust=True\)"):
        trained.build()
    assert count_executions() == 0
    assert len(list(open_run(foreign_run, trust=True).build().parameters())) == 2
    assert count_executions() == 1
    with pytest.raises(xpnet.StateError, match="trust=True"):
        open_run(foreign_run).build()


def test_in_python_the_users_own_run_needs_no_argument(own_run, count_executions):
    assert len(list(open_run(own_run).build().parameters())) == 2
    assert count_executions() == 1


def test_the_executed_code_is_the_code_that_was_shown(tmp_path, count_executions):
    """The file may be replaced after it was read."""
    path = tmp_path / "net.py"
    path.write_text(NET)
    source = read(path, "net")
    path.write_text("raise SystemExit(3)")
    source.build((1, 28, 28), 10)
    assert count_executions() == 1


# --- asked on a terminal --------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("answer", ["y\n", "n\n", "\n"])
def test_on_a_terminal_the_user_is_asked_once(tmp_path, monkeypatch, capsys, answer):
    """The question describes the code; an empty answer means no."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = tmp_path / "model.py"
    path.write_text(NET)
    source = read(path, "net")
    for stream, text in (("stdin", answer), ("stderr", "")):
        monkeypatch.setattr(sys, stream, Terminal(text))
    if answer == "y\n":
        require_consent(source, trust=False)
        assert source.is_trusted()
        monkeypatch.setattr(sys, "stdin", Terminal(""))
        require_consent(source, trust=False)
    else:
        with pytest.raises(xpnet.StateError, match="--trust"):
            require_consent(source, trust=False)
        assert not source.is_trusted()
    asked = sys.stderr.getvalue()
    assert str(path) in asked
    assert source.digest[:16] in asked
    assert asked.count("Execute it?") == 1


@pytest.mark.skipif(os.name != "posix", reason="permissions are of POSIX")
def test_the_list_of_trusted_code_is_private(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = tmp_path / "model.py"
    path.write_text(NET)
    for function in ("net", "other", "net"):
        read(path, function).trust()
    file = tmp_path / "state" / "xpnet" / "trusted"
    assert len(file.read_text().splitlines()) == 2
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_without_a_writable_list_the_user_is_asked_again(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    (tmp_path / "model.py").write_text(NET)
    source = read(tmp_path / "model.py", "net")
    source.trust()
    assert not source.is_trusted()
