"""The command line as a whole: help, versions, wrong words, and what ends each command."""

import re
import subprocess
import sys

import pytest

import xpnet

COMMANDS = ["train", "evaluate", "predict", "doctor"]


def test_help_lists_the_commands(xpnet_):
    answer = xpnet_("--help")
    assert (answer.code, answer.err) == (0, "")
    assert "Begin with: xpnet train" in answer.out
    for command in COMMANDS:
        assert re.search(rf"\b{command} +[A-Z]\w+", answer.out), command


def test_without_a_word_it_shows_the_help(xpnet_):
    answer = xpnet_()
    assert answer.code == 2
    assert "Begin with: xpnet train" in answer.out + answer.err


def test_the_version(xpnet_):
    answer = xpnet_("--version")
    assert (answer.code, answer.out, answer.err) == (0, f"xpnet {xpnet.__version__}\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(xpnet_, command):
    answer = xpnet_(command, "--help")
    assert answer.code == 0
    assert f"xpnet {command}" in answer.out or f"{command} [OPTIONS]" in answer.out


def test_the_help_of_train_names_every_flag(xpnet_):
    out = xpnet_("train", "--help").out
    for flag in ("backend", "hidden", "activation", "epochs", "batch-size", "lr", "optimizer",
                 "seed", "dtype", "data-dir", "out", "quiet"):  # fmt: skip
        assert f"--{flag} " in out, flag


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trane"], "No such command 'trane'"),
        (["--verbose"], "No such option: --verbose"),
        (["train", "--verbose"], "No such option: --verbose"),
        (["train", "mnist", "mnist"], "unexpected extra argument"),
        (["train", "--epochs"], "--epochs"),
        (["evaluate"], "Missing argument 'RUN'"),
        (["predict", "run"], "Missing argument 'IMAGE...'"),
        (["doctor", "numpy"], "unexpected extra argument"),
    ],
)
def test_wrong_words_are_named(xpnet_, words, said):
    answer = xpnet_(*words)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.said


def test_the_module_is_the_command(start):
    """`python -m xpnet`, by the name under which it is installed."""
    process = start("--version")
    assert process.communicate() == (f"xpnet {xpnet.__version__}\n", "")
    assert process.returncode == 0
    process = start("--help", FORCE_COLOR="")
    assert "Usage: xpnet [OPTIONS] COMMAND" in process.communicate()[0]


@pytest.mark.skipif(sys.platform == "win32", reason="a closed pipe is another error on Windows")
@pytest.mark.parametrize("command", ["doctor", "train"])
def test_a_reader_that_leaves_is_no_error(start, digits, tmp_path, command):
    """`xpnet doctor | head -1`: it ends, and says nothing."""
    flags = ["--data-dir", digits, "--epochs", 100000, "--hidden", 8, "--out", tmp_path / "run"]
    process = start(command, *(flags if command == "train" else []))
    assert process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 1


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (MemoryError(), 2, "Error: there is not enough memory."),
        (MemoryError("Unable to allocate\n 9 TiB"), 2, "Error: Unable to allocate 9 TiB"),
        (OSError(28, "No space left on device"), 2, "Error: [Errno 28] No space left on device"),
        (xpnet.DataError("a.idx: cut"), 2, "Error: a.idx: cut"),
        (KeyboardInterrupt(), 130, "Interrupted: nothing was saved."),
    ],
    ids=["memory", "so much memory", "disk", "ours", "Ctrl-C"],
)
def test_what_is_no_bug_is_a_sentence(train, tmp_path, monkeypatch, error, code, said):
    def fails(**_):
        raise error

    monkeypatch.setattr("xpnet.data.load_mnist", fails)
    answer = train()
    assert (answer.code, answer.out, answer.err) == (code, "", said + "\n")
    assert list(tmp_path.iterdir()) == []


def test_a_bug_keeps_its_traceback(train, monkeypatch):
    """Whatever else is raised is ours to mend, and is shown whole."""

    def fails(**_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("xpnet.data.load_mnist", fails)
    with pytest.raises(AssertionError, match="a bug"):
        train()


def test_the_command_line_is_read_without_the_libraries():
    """Help and a wrong flag come at once: no array library but NumPy is imported, no matplotlib."""
    code = (
        "import sys, xpnet.cli; "
        "print({'cupy', 'torch', 'jax', 'matplotlib', 'safetensors'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "set()\n"
