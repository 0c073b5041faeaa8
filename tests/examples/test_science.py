"""The examples beyond the lessons keep what they promise, on every backend.

Each runs as a reader runs it, in a process of its own.
"""

import re
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="the examples draw: the extra `examples`")

from PIL import Image

from tests.processes import example as start

ROOT = Path(__file__).parents[2]
PHYSICS, MINIMIZE = EXAMPLES = "physics_informed", "minimize"


@pytest.fixture
def run(tmp_path):
    """A function that runs an example and gives what it printed; there is a picture as well."""

    def run(example, backend, *flags):
        done = start(example, "--backend", backend, "--out", tmp_path, *flags)
        assert (done.returncode, done.stderr) == (0, "")
        picture = tmp_path / f"{example}.png"
        assert done.stdout.endswith(f"\npicture: {picture}\n")
        with Image.open(picture) as image:
            assert image.width >= 800
            assert len(image.convert("RGB").getcolors(image.width * image.height)) > 100
        return done.stdout

    return run


# --- a physics-informed network -------------------------------------------------------------------


def residuals(printed):
    """{step: mean squared residual}."""
    rows = re.findall(r"^step +(\d+) +mean squared residual (\S+)$", printed, re.MULTILINE)
    return {int(step): float(residual) for step, residual in rows}


def test_the_network_learns_to_obey(run, backend64):
    """In 150 steps the residual falls below a tenth of what it was, the same on every backend."""
    found = residuals(run(PHYSICS, backend64.name, "--steps", 150))
    assert list(found) == [0, 149]
    assert found[0] == pytest.approx(0.878, rel=1e-3)
    assert found[149] < 0.1 * found[0]


@pytest.mark.slow
def test_the_network_solves_the_equation(run):
    """To 1e-3 of the formula, everywhere."""
    printed = run(PHYSICS, "numpy")
    assert max(residuals(printed)) == 1999
    assert float(re.search(r"largest error of u: (\S+)", printed)[1]) < 1e-3


# --- SciPy's minimizers ---------------------------------------------------------------------------


def test_derivatives_save_work_and_come_closer(run, backend64):
    """Rosenbrock's minimum to 1e-8; Newton's way needs a fraction of the steps of a convex one."""
    pytest.importorskip("scipy", reason="the minimizers are SciPy's: the extra `examples`")
    printed = run(MINIMIZE, backend64.name, "--size", 10)
    errors = [float(e) for e in re.findall(r"largest error of x (\S+)$", printed, re.MULTILINE)]
    assert len(errors) == 3
    assert max(errors[1:]) < 1e-8
    rows = re.findall(r"^\w+ ?\w+ +(?:BFGS|trust-ncg) +(.*)$", printed, re.MULTILINE)
    counts = [[float(n) for n in row.split()] for row in rows]
    assert len(counts) == 6
    for alone, gradient, product in (counts[:3], counts[3:]):
        assert alone[1] > 8 * gradient[1]  # values: a difference for each of ten variables
        assert (alone[2], gradient[3]) == (0, 0)
        assert product[3] > 0
        assert product[4] < 1e-8
    assert counts[5][0] < counts[4][0] / 3


# --- both -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_shows_how_to_run_it(example):
    """No more than 100 columns wide, and in the list of examples."""
    text = (ROOT / "examples" / f"{example}.py").read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 100
    assert f"    python examples/{example}.py" in text
    assert f"({example}.py)" in (ROOT / "examples" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("example", EXAMPLES)
def test_what_cannot_be_done_is_said_at_once(example, tmp_path):
    """Exit code 2 and one sentence."""
    if example == MINIMIZE:
        pytest.importorskip("scipy", reason="it looks for SciPy first")
    done = start(example, "--backend", "cupy:99", "--out", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{example}.py: The backend 'cupy:99' cannot be used: ")
