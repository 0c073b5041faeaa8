"""The example of sequences learns what it says, on every backend, and draws it.

It runs as a reader runs it, in a process of its own.
"""

import re
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="the examples draw: the extra `examples`")

from PIL import Image

from tests.processes import example

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "sequence.py"


@pytest.fixture
def run(tmp_path):
    """A function that runs the example: the rates that it printed, by step, and its last lines."""

    def run(*flags):
        done = example("sequence", "--out", tmp_path, *flags)
        assert (done.returncode, done.stderr) == (0, "")
        with Image.open(tmp_path / "sequence.png") as image:
            assert image.width >= 800
            assert len(image.convert("RGB").getcolors(image.width * image.height)) > 100
        rates = re.findall(r"^step +(\d+) +digits right (\S+)", done.stdout, re.MULTILINE)
        digits = re.findall(r"^(?:in|out) +([\d ]+)$", done.stdout, re.MULTILINE)
        return {int(step): float(rate) for step, rate in rates}, [d.split() for d in digits]

    return run


def test_it_begins_on_every_backend(run, backend):
    """It knows nothing yet, and gets better than chance."""
    rates, _ = run("--backend", backend.name, "--steps", 40, "--length", 4)
    assert list(rates) == [0, 40]
    assert rates[0] < 0.2 < rates[40]


def test_it_learns(run):
    """At least 99 of 100 digits right, of chance's ten; and what it says is backwards."""
    rates, (given, said) = run("--backend", "numpy")
    assert rates[300] >= 0.99
    assert said == given[::-1]


def test_it_shows_how_to_run_it():
    """No more than 100 lines of 100 columns, and in the list of examples."""
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 100
    assert max(map(len, lines)) <= 100
    assert "    python examples/sequence.py" in lines
    assert "(sequence.py)" in (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
