"""The command line as a whole: help, version, unknown words, and errors."""

import re
import shutil
import subprocess
import sys

import pytest

import xpnet

COMMANDS = ["train", "evaluate", "predict", "export", "doctor"]


def test_help_lists_the_commands(run_xpnet):
    answer = run_xpnet("--help")
    assert (answer.code, answer.err) == (0, "")
    assert "Begin with: xpnet train" in answer.out
    for command in COMMANDS:
        assert re.search(rf"\b{command} +[A-Z]\w+", answer.out), command


def test_without_a_command_the_help_is_shown(run_xpnet):
    answer = run_xpnet()
    assert answer.code == 2
    assert "Begin with: xpnet train" in answer.out + answer.err


def test_each_help_text_begins_with_a_capital_letter(run_xpnet):
    """With a noun, a verb or a name, and not in the middle of a sentence."""
    screens = [run_xpnet(*words, "--help").out for words in ([], *([c] for c in COMMANDS))]
    firsts = set(re.findall(r"  ([A-Z][a-z]+) .* +│$", "\n".join(screens), re.MULTILINE))
    assert {"Show", "Widths", "Seed", "Run", "Folder"} <= firsts
    assert not firsts & {"And", "Of", "Where", "In", "To", "As"}


def test_the_version_is_printed(run_xpnet):
    answer = run_xpnet("--version")
    assert (answer.code, answer.out, answer.err) == (0, f"xpnet {xpnet.__version__}\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_a_help_page(run_xpnet, command):
    answer = run_xpnet(command, "--help")
    assert answer.code == 0
    assert f"xpnet {command}" in answer.out or f"{command} [OPTIONS]" in answer.out


def test_the_help_of_train_lists_every_flag(run_xpnet):
    out = run_xpnet("train", "--help").out
    for flag in ("dataset", "data-dir", "target", "test", "task", "augment",
                 "model", "hidden", "activation", "epochs", "batch-size", "optimizer", "lr",
                 "schedule", "weight-decay", "clip", "seed", "backend", "dtype", "precision",
                 "out", "resume", "config", "tensorboard", "quiet"):  # fmt: skip
        assert f"--{flag} " in out, flag


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trane"], "No such command 'trane'"),
        (["--verbose"], "No such option: --verbose"),
        (["train", "--verbose"], "No such option: --verbose"),
        (["train", "mnist", "mnist"], "unexpected extra argument"),
        (["train", "--epochs"], "--epochs"),
        (["evaluate"], "Missing argument 'RUN'"),
        (["predict", "run"], "Missing argument 'FILE|FOLDER...'"),
        (["doctor", "numpy"], "unexpected extra argument"),
    ],
)
def test_unknown_commands_and_flags_are_named(run_xpnet, words, message):
    answer = run_xpnet(*words)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.output


def test_a_flag_that_the_help_does_not_show_is_not_suggested(run_xpnet):
    output = run_xpnet("train", "--epoch", 3).output
    assert "--epochs" in output
    assert "--earlier-epochs" not in output


def test_the_module_can_be_run_as_the_command(start):
    """`python -m xpnet`, with the name of the installed command."""
    process = start("--version")
    assert process.communicate() == (f"xpnet {xpnet.__version__}\n", "")
    assert process.returncode == 0
    process = start("--help", FORCE_COLOR="")
    plain = re.sub(r"\x1b\[[\d;]*m", "", process.communicate()[0])  # FORCE_COLOR="" is on, or off
    assert "Usage: xpnet [OPTIONS] COMMAND" in plain


@pytest.mark.skipif(sys.platform == "win32", reason="a closed pipe is another error on Windows")
@pytest.mark.parametrize("command", ["doctor", "train"])
def test_a_closed_pipe_is_no_error(start, digits, tmp_path, command):
    """`xpnet doctor | head -1` ends without a message."""
    flags = ["--data-dir", digits, "--epochs", 100000, "--hidden", 8, "--out", tmp_path / "run"]
    process = start(command, *(flags if command == "train" else []))
    assert process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such shell, nor signal")
class TestMain:
    """What `main` does before a command runs."""

    def test_a_closed_standard_output_is_no_error(self, start, digits, tmp_path):
        """`xpnet train >&-`, as some services start programs."""
        flags = f"--data-dir {digits} --epochs 1 --hidden 8 --out {tmp_path / 'run'}"
        program = ("-c", f"import os; os.execl('/bin/sh', 'sh', '-c', {SHELL_COMMAND!r} + ' >&-')")
        process = start(program=program, ARGS=f"train {flags}", PYTHON=sys.executable)
        assert process.stderr.read() == ""
        assert process.wait() == 0
        assert (tmp_path / "run" / "config.json").exists()

    def test_a_character_that_the_encoding_lacks_is_escaped(
        self, start, run_folder, pictures, tmp_path
    ):
        shutil.copy(pictures / "7.png", tmp_path / "日.png")
        process = start("predict", run_folder[0], tmp_path / "日.png", PYTHONIOENCODING="cp1252")
        out, err = process.communicate()
        assert (process.returncode, err) == (0, "")
        assert out.startswith(f"{tmp_path}/\\u65e5.png  ")

    def test_a_character_in_the_name_of_a_run_is_escaped_too(self, start, digits, tmp_path):
        """In the table as well, which rich prints."""
        flags = ("--data-dir", digits, "--epochs", 1, "--hidden", 8, "--out", tmp_path / "é")
        process = start("train", *flags, PYTHONIOENCODING="ascii")
        out, err = process.communicate()
        assert (process.returncode, err) == (0, "")
        assert out.endswith(f"Run folder: {tmp_path}/\\xe9\n")

    @pytest.mark.parametrize("module", ["typer", "typer.core", "xpnet.training", "xpnet.data"])
    def test_ctrl_c_during_an_import_ends_the_command(self, start, module):
        """By the command line at its start, or by the command."""
        code = (
            "import os, signal, sys, xpnet.cli\n"
            "class Slow:\n"
            "    def find_spec(self, name, *_):\n"
            f"        if name == {module!r}:\n"
            "            os.kill(os.getpid(), signal.SIGINT)\n"
            "sys.meta_path.insert(0, Slow())\n"
            "sys.argv[1:] = ['evaluate', 'run']\n"
            "xpnet.cli.main()"
        )
        process = start(program=("-c", code))
        assert process.communicate() == ("", "Interrupted.\n")
        assert process.returncode == 130

    @pytest.mark.parametrize("command", ["evaluate", "predict"])
    def test_ctrl_c_in_a_command_that_saves_nothing_prints_one_word(
        self, start, run_folder, command
    ):
        """A second one, while it ends, prints nothing more."""
        code = (
            "import atexit, os, signal, xpnet.cli, xpnet.training as t\n"
            "press = lambda *_: os.kill(os.getpid(), signal.SIGINT)\n"
            "t.open_run = press\n"
            "atexit.register(press)\n"
            "xpnet.cli.main()"
        )
        process = start(command, run_folder[0], *["x.png"][: command == "predict"],
                        program=("-c", code))  # fmt: skip
        assert process.communicate() == ("", "Interrupted.\n")
        assert process.returncode == 130


SHELL_COMMAND = "exec $PYTHON -m xpnet $ARGS"


def error_with_note(message):
    """An error with a note."""
    error = xpnet.DataError(message)
    error.add_note("Do this")
    return error


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (MemoryError(), 2, "Error: there is not enough memory."),
        (MemoryError("Unable to allocate\n 9 TiB"), 2, "Error: Unable to allocate 9 TiB"),
        (OSError(28, "No space left on device"), 2, "Error: [Errno 28] No space left on device"),
        (xpnet.DataError("a.idx: cut"), 2, "Error: a.idx: cut"),
        (error_with_note("few. (A reason.)"), 2, "Error: few. (A reason.) Do this"),
        (error_with_note("few"), 2, "Error: few. Do this"),
        (KeyboardInterrupt(), 130, "Interrupted. Nothing was saved."),
    ],
    ids=["memory", "so much memory", "disk", "ours", "a note", "another", "Ctrl-C"],
)
def test_an_error_that_is_no_bug_is_one_sentence(
    train, tmp_path, monkeypatch, error, code, message
):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr("xpnet.data.load_dataset", fails)
    answer = train()
    assert (answer.code, answer.out, answer.err) == (code, "", message + "\n")
    assert list(tmp_path.iterdir()) == []


def test_a_bug_keeps_its_traceback(train, monkeypatch):
    """Any other exception is a fault of xpnet, and its traceback is shown."""

    def fails(*_, **__):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("xpnet.data.load_dataset", fails)
    with pytest.raises(AssertionError, match="a bug"):
        train()


def test_the_command_line_is_parsed_without_the_libraries():
    """Help and errors of flags come at once: only NumPy is imported, and not matplotlib."""
    code = (
        "import sys, xpnet.cli; "
        "print({'cupy', 'torch', 'jax', 'matplotlib', 'safetensors'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "set()\n"
