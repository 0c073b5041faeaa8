"""SIGTERM and SIGHUP act as Ctrl-C: files are written, and a line shows how to resume."""

import json
import re
import signal
import sys
import threading
import time

import pytest

from tests.processes import on_terminal
from xpnet.training.interrupt import IMPATIENT, Interrupts, Termination

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")

CODES = {"SIGTERM": 143, "SIGHUP": 129, "SIGINT": 130}


@pytest.fixture
def flags(digits, tmp_path):
    """The flags of a training that does not end by itself."""
    return ("--data-dir", digits, "--epochs", 100000, "--hidden", 8, "--out", tmp_path / "run")


def read_until(shown, text, pattern):
    """What a terminal shows, from `text` on, until it matches a pattern."""
    for piece in shown:
        text += piece
        if re.search(pattern, text):
            return text
    raise AssertionError(f"It ended without {pattern!r}: {text}")


@pytest.mark.parametrize("name", CODES)
def test_a_signal_on_a_terminal_ends_the_training_like_ctrl_c(
    start, flags, tmp_path, run_xpnet, name
):
    """The bar is removed, the cursor visible, and the last line shows how to resume, which works."""
    process, shown = on_terminal(start, "train", *flags)
    text = read_until(shown, "", r"(?s)\x1b\[\?25l.*\x1b\[2K")
    process.send_signal(getattr(signal, name))
    text += "".join(shown)
    assert process.wait() == CODES[name]
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    end = text[text.rindex("\x1b[?25h") :].splitlines()
    run = tmp_path / "run"
    assert re.search(
        r"Interrupted in epoch \d+ of 100000\. What was learned so far is in ", end[-2]
    )
    assert end[-1] == f"To resume: xpnet train --resume {run}"
    assert process.stderr.read() == ""
    config = json.loads((run / "config.json").read_text())
    assert (config["interrupted"], config["finished"]) == (True, False)
    epochs = config["epochs_finished"] + 1
    assert run_xpnet("train", "--resume", run, "--epochs", epochs, "--quiet").code == 0
    assert json.loads((run / "config.json").read_text())["epochs_finished"] == epochs


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_in_a_pipe_ends_the_training_like_ctrl_c(start, flags, tmp_path, name):
    process = start("train", *flags)
    lines = iter(process.stdout.readline, "")
    assert any(line.startswith("    1  ") for line in lines)
    process.send_signal(getattr(signal, name))
    *_, line = lines
    assert (process.wait(), process.stderr.read()) == (CODES[name], "")
    assert line == f"To resume: xpnet train --resume {tmp_path / 'run'}\n"


def test_two_signals_at_once_count_as_one(start, flags, tmp_path):
    """GNU timeout sends its signal to the process, and at once to its group."""
    process = start("train", *flags)
    lines = iter(process.stdout.readline, "")
    assert any(line.startswith("    1  ") for line in lines)
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.01)
    *_, line = lines
    assert process.wait() == 143
    assert line.startswith("To resume: ")


SLOW = (
    "import time, xpnet.cli, xpnet.training as t\n"
    "def slow(*_):\n"
    "    print('writing', flush=True)\n"
    "    time.sleep(60)\n"
    "t.Checkpoint.on_end = slow\n"
    "xpnet.cli.main()"
)


def test_a_second_signal_ends_the_process_at_once(start, flags):
    """Even if writing would take a minute; and the cursor is visible."""
    process, shown = on_terminal(start, "train", *flags, program=("-c", SLOW))
    text = read_until(shown, "", r"(?s)\x1b\[\?25l.*\x1b\[2K")
    process.send_signal(signal.SIGTERM)
    text = read_until(shown, text, "writing")
    time.sleep(IMPATIENT + 0.1)
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    text += "".join(shown)
    assert process.wait() == -signal.SIGTERM
    assert time.monotonic() - begin < 20.0
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_what_was_learned_is_saved_if_the_terminal_is_closed(start, flags, tmp_path):
    """Printing raises an error from then on; the weights of that moment are written."""
    process, shown = on_terminal(start, "train", *flags)
    read_until(shown, "", r"(?s)\x1b\[\?25l.*\x1b\[2K")
    process.send_signal(
        signal.SIGSTOP
    )  # until the terminal is gone, as its shell's signal comes late
    shown.close()
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGCONT)
    assert process.wait() == 129
    assert json.loads((tmp_path / "run" / "config.json").read_text())["interrupted"]


@pytest.mark.parametrize("command", ["evaluate", "predict", "train"])
def test_a_signal_before_the_first_step_saves_nothing(start, run_folder, tmp_path, command):
    """While a model or data are read: one word, and its exit code."""
    code = (
        "import os, signal, xpnet.cli, xpnet.data, xpnet.training as t\n"
        "press = lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM)\n"
        f"if {command == 'train'}:\n"
        "    xpnet.data.load_dataset = press\n"
        "else:\n"
        "    t.open_run = press\n"
        "xpnet.cli.main()"
    )
    words = {"train": ["--out", tmp_path / "run"], "predict": [run_folder[0], "x.png"]}
    process = start(command, *words.get(command, [run_folder[0]]), program=("-c", code))
    out, err = process.communicate()
    message = "Interrupted. Nothing was saved.\n" if command == "train" else "Interrupted.\n"
    assert (process.returncode, out, err) == (143, "", message)


def test_sigterm_ends_a_training_that_ignores_sigint(start, flags, tmp_path):
    """Like a background job of a script: SIGTERM ends it after a complete step."""
    code = (
        "import signal, xpnet.cli\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "xpnet.cli.main()"
    )
    process = start("train", *flags, program=("-c", code))
    lines = iter(process.stdout.readline, "")
    assert any(line.startswith("    1  ") for line in lines)
    process.send_signal(signal.SIGHUP)  # under nohup it is not to end
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    *_, line = lines
    assert (process.wait(), line[:10]) == (143, "To resume:")


class TestTermination:
    """What `Termination` does within a process."""

    def test_the_handlers_are_restored(self):
        before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)]
        with Termination() as termination:
            assert signal.getsignal(signal.SIGTERM) is termination
            assert signal.getsignal(signal.SIGHUP) is termination
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
        assert termination.received == signal.SIGTERM
        assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)] == before

    @pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda *_: None])
    def test_a_handler_of_the_program_is_kept(self, handler):
        before = signal.signal(signal.SIGTERM, handler)
        try:
            with Termination() as termination:
                assert signal.getsignal(signal.SIGTERM) is handler
                signal.raise_signal(signal.SIGTERM)
            assert signal.getsignal(signal.SIGTERM) is handler
            assert termination.received is None
        finally:
            signal.signal(signal.SIGTERM, before)

    def test_another_thread_installs_no_handler(self):
        found = []

        def enter():
            with Termination() as termination:
                found.append(signal.getsignal(signal.SIGTERM) is termination)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        assert found == [False]

    def test_a_signal_waits_for_the_end_of_a_deferred_block(self):
        """Like Ctrl-C: it is raised at the end of the block; and not after `ignore`."""
        done = []

        def steps(interrupts):
            with interrupts.deferred():
                signal.raise_signal(signal.SIGTERM)
                done.append("the step")
            done.append("another")

        with Termination(), Interrupts() as interrupts:
            with pytest.raises(KeyboardInterrupt):
                steps(interrupts)
            assert done == ["the step"]
        with Termination(), Interrupts() as interrupts:
            interrupts.ignore()
            signal.raise_signal(signal.SIGTERM)

    def test_the_library_installs_no_handler(self, fit_small_model):
        """A Trainer is used in programs that handle their own end."""
        before = signal.getsignal(signal.SIGTERM)
        seen = fit_small_model(lambda: signal.getsignal(signal.SIGTERM))
        assert seen
        assert set(seen) == {before}


@pytest.fixture
def fit_small_model():
    """A function that fits a small model, and collects what `look` finds in each step."""
    import numpy as np

    import xpnet
    from xpnet import functions as F
    from xpnet.training import Callback, Trainer

    def fit(look):
        seen = []

        class Look(Callback):
            def on_step(self, trainer):
                seen.append(look())

        model = xpnet.MLP(2, 3, 2, rng=0)
        trainer = Trainer(
            model, F.softmax_cross_entropy, xpnet.SGD(model.parameters(), 0.1), callbacks=[Look()]
        )
        trainer.fit((np.eye(2, dtype="float32"), np.asarray([0, 1])), epochs=2, batch_size=2)
        return seen

    return fit
