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
def executed(tmp_path, monkeypatch):
    """A function: how often the code was executed since it was last asked."""
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
def own(executed, xpnet_, few, tmp_path):
    """A run of this user's, with a model of the user's own."""
    (tmp_path / "net.py").write_text(NET)
    flags = ("--epochs", 1, "--batch-size", 50, "--quiet", "--data-dir", few)
    answer = xpnet_(
        "train", "--model", f"{tmp_path / 'net.py'}:net", "--out", tmp_path / "run", *flags
    )
    assert (answer.code, answer.err) == (0, "")
    assert executed() == 1
    return tmp_path / "run"


@pytest.fixture
def foreign(own, tmp_path, monkeypatch):
    """The same, of somebody else: this user knows nothing of it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "state"))
    return own


def commands(run, pictures, tmp_path):
    """All that build the model of a run."""
    return {
        "evaluate": ("evaluate", run),
        "predict": ("predict", run, pictures / "7.png"),
        "resume": ("train", "--resume", run, "--epochs", 2, "--quiet"),
        "config": ("train", "--config", run / "config.toml", "--out", tmp_path / "new", "--quiet"),
    }


COMMANDS = ["evaluate", "predict", "resume", "config"]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_code_of_somebody_elses_run_is_not_executed(
    foreign, executed, xpnet_, pictures, tmp_path, command
):
    before = {p.name: p.read_bytes() for p in foreign.iterdir()}
    answer = xpnet_(*commands(foreign, pictures, tmp_path)[command])
    assert (answer.code, answer.out) == (2, "")
    assert executed() == 0
    assert answer.said.startswith(f"Error: {foreign / 'model.py'}: this model is Python code")
    for part in ("13 lines", "the function net", "SHA-256", "Read it first", "--trust"):
        assert part in answer.said
    assert {p.name: p.read_bytes() for p in foreign.iterdir()} == before
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_with_trust_code_is_executed_and_afterwards_without(
    foreign, executed, xpnet_, pictures, tmp_path, command
):
    words = commands(foreign, pictures, tmp_path)[command]
    answer = xpnet_(*words, "--trust")
    assert (answer.code, answer.err) == (0, "")
    assert executed() >= 1
    answer = xpnet_("evaluate", foreign)
    assert (answer.code, answer.err) == (0, "")
    assert executed() == 1


def test_the_code_of_the_users_own_run_is_trusted(own, executed, xpnet_, pictures, tmp_path):
    """In its folder and in a copy of it."""
    shutil.copytree(own, tmp_path / "copy")
    for run in (own, tmp_path / "copy"):
        for words in commands(run, pictures, tmp_path / run.name).values():
            answer = xpnet_(*words)
            assert (answer.code, answer.err) == (0, "")
            assert executed() >= 1


def test_changed_code_needs_consent_again(own, executed, xpnet_, pictures, tmp_path):
    """A resumed run refuses it, because it would continue with another model."""
    (own / "model.py").write_text(NET + "# and more\n")
    for name, words in commands(own, pictures, tmp_path).items():
        answer = xpnet_(*words)
        assert (answer.code, answer.out) == (2, "")
        said = "not the code that the run was trained with" if name == "resume" else "--trust"
        assert said in answer.said
        assert executed() == 0
    answer = xpnet_("train", "--resume", own, "--epochs", 2, "--trust")
    assert (answer.code, answer.out) == (2, "")
    assert executed() == 0


def test_a_file_of_flags_that_the_user_wrote_may_name_code(
    executed, xpnet_, few, tmp_path, monkeypatch
):
    """Its author asks for the code, as does a user who names it on the command line."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "net.py").write_text(NET)
    flags = f"data-dir = '{few}'\nepochs = 1\nbatch-size = 50\nquiet = true\n"
    (tmp_path / "train.toml").write_text(f"{flags}model = 'net.py:net'\n")
    answer = xpnet_("train", "--config", tmp_path / "train.toml", "--out", tmp_path / "a")
    assert (answer.code, answer.err) == (0, "")
    assert executed() == 1


# --- what metadata may name -----------------------------------------------------------------------


def forge(run, model, **architecture):
    """Let the metadata of a run's model name other code."""
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
def test_code_outside_model_py_is_refused_even_with_trust(own, executed, xpnet_, tmp_path, model):
    """Wherever the file is."""
    (tmp_path / "elsewhere").mkdir()
    for folder in (own, tmp_path / "elsewhere", own.parent):
        (folder / "evil.py").write_text(NET)
    forge(own, model.replace("/{tmp}", str(tmp_path)))
    answer = xpnet_("evaluate", own, "--trust")
    assert (answer.code, answer.out) == (2, "")
    assert "Expected a function of model.py in the same folder" in answer.said
    with pytest.raises(xpnet.StateError, match="nothing else is executed"):
        open_run(own, trust=True).build()
    assert executed() == 0


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_link_is_refused(own, executed, xpnet_, pictures, tmp_path, command):
    """Even if the code that it points to is trusted."""
    (own / "model.py").rename(tmp_path / "moved.py")
    (own / "model.py").symlink_to(tmp_path / "moved.py")
    answer = xpnet_(*commands(own, pictures, tmp_path)[command], "--trust")
    assert (answer.code, answer.out) == (2, "")
    assert "is a link" in answer.said or "Expected a function of model.py" in answer.said
    assert executed() == 0


def test_another_function_of_trusted_code_is_not_trusted(own, executed, xpnet_):
    """Metadata could name anything that the file has imported."""
    forge(own, "model.py:other")
    answer = xpnet_("evaluate", own)
    assert (answer.code, answer.out) == (2, "")
    assert "called by the function other" in answer.said
    assert executed() == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_shape": ["rm -rf"]}, {"input_shape": "abc"}, {"input_shape": None},
        {"outputs": "x"}, {"outputs": -1}, {"outputs": True}, {"input_shape": [[784]]},
        {"input_shape": [1.5]}, {"input_shape": {"a": 1}},
    ],
)  # fmt: skip
def test_the_function_is_called_with_numbers_only(own, executed, wrong):
    forge(own, "model.py:net", **wrong)
    with pytest.raises(xpnet.StateError, match=r"model\.safetensors: its metadata"):
        open_run(own).build()
    assert executed() == 0


def test_in_python_an_argument_gives_trust(foreign, executed):
    """It is not remembered, because it may be meant for one call."""
    trained = open_run(foreign)
    with pytest.raises(xpnet.StateError, match=r"Read it first\. .*open_run\(path, trust=True\)"):
        trained.build()
    assert executed() == 0
    assert len(list(open_run(foreign, trust=True).build().parameters())) == 2
    assert executed() == 1
    with pytest.raises(xpnet.StateError, match="trust=True"):
        open_run(foreign).build()


def test_in_python_the_users_own_run_needs_no_argument(own, executed):
    assert len(list(open_run(own).build().parameters())) == 2
    assert executed() == 1


def test_the_executed_code_is_the_code_that_was_shown(tmp_path, executed):
    """The file may be replaced after it was read."""
    path = tmp_path / "net.py"
    path.write_text(NET)
    source = read(path, "net")
    path.write_text("raise SystemExit(3)")
    source.build((1, 28, 28), 10)
    assert executed() == 1


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
