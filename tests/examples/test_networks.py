"""The example of a convolution runs on every backend, goes on exactly, and writes its page.

It runs as a reader runs it, in a process of its own.
"""

import re
from pathlib import Path

import pytest

from tests.host_cuda.device import emulated
from tests.processes import example

pytest.importorskip("matplotlib", reason="the examples draw: the extra `examples`")

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "digits_convolution.py"


def start(*flags):
    """The finished process."""
    return example("digits_convolution", *flags)


def run(*flags):
    """What it printed, and the test accuracy of each epoch, in per cent."""
    done = start(*flags)
    assert (done.returncode, done.stderr) == (0, "")
    rows = re.findall(r"^ +\d+ +[\d.]+ +[\d.]+% +[\d.]+ +([\d.]+)%", done.stdout, re.MULTILINE)
    return done.stdout, [float(row) for row in rows]


def test_it_learns_on_every_backend(backend, tmp_path):
    """A thousand images, twice; in its table are the layers, in its folder checkpoints and page."""
    if backend.name.startswith("cupy") and emulated():
        pytest.skip("it takes two minutes on the emulated device; tests/cli trains LeNet there")
    flags = ("--backend", backend.name, "--samples", 1000, "--epochs", 2, "--out", tmp_path)
    printed, accuracies = run(*flags)
    assert "0: Conv2d(1 -> 16, kernel_size=5, padding=2)" in printed
    assert "Parameters     21,354" in printed
    assert len(accuracies) == 2
    assert accuracies[1] > 60
    assert f"\ntest accuracy {accuracies[1]:.2f}%\npage: " in printed
    assert {path.name for path in tmp_path.iterdir()} == {
        "last.safetensors", "best.safetensors", "digits_convolution.html",
    }  # fmt: skip


@pytest.mark.slow
def test_it_learns_mnist(tmp_path):
    _, accuracies = run("--out", tmp_path)
    assert accuracies[-1] > 99.0


def test_what_cannot_be_done_is_said_at_once(tmp_path):
    done = start("--backend", "cupy:99", "--out", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "digits_convolution.py: The backend 'cupy:99' cannot be used: " in done.stderr


def test_it_shows_how_to_run_it():
    """Less than 80 lines of at most 100 columns, and in the list of examples."""
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 80
    assert max(map(len, lines)) <= 100
    assert "    python examples/digits_convolution.py" in lines
    assert "(digits_convolution.py)" in (ROOT / "examples" / "README.md").read_text(
        encoding="utf-8"
    )
