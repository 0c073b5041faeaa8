"""docs/sweeps.md: each program runs as its reader runs it, and finds good parameters.

Ray is 79 MB, and Dask needs a minute to start its workers on a busy machine: `nox -s sweeps` installs them.
In the other sessions, where they are missing, their tests are skipped.
"""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "sweeps.md"


def programs_of(page):
    """The program in each section of the page that has one, by the section's title."""
    found = {}
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        title, _, text = section.partition("\n")
        _, fence, code = text.partition("```python\n")
        if fence:
            found[title] = code.partition("\n```")[0] + "\n"
    return found


PROGRAMS = programs_of(PAGE.read_text(encoding="utf-8"))


@pytest.fixture
def start(tmp_path):
    """A function that starts a program of the page as a process, in a folder of its own."""
    env = os.environ | {
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }

    def begin(title):
        program = tmp_path / "sweep.py"
        program.write_text(PROGRAMS[title], encoding="utf-8")
        return subprocess.Popen(
            [sys.executable, str(program)],
            cwd=tmp_path,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin


def ended(process):
    """The number of trials, the best accuracy and its parameters, which a program prints last."""
    printed, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    count, accuracy, parameters = printed.splitlines()[-1].split(maxsplit=2)
    return int(count), float(accuracy), ast.literal_eval(parameters)


def test_the_page_has_a_program_for_each_library():
    assert list(PROGRAMS) == ["Optuna", "Dask", "Ray Tune"]


def test_optuna_alone_again_and_twice_at_once(start):
    """The trials of all processes are in one file."""
    pytest.importorskip("optuna", reason="Optuna is not installed: nox -s sweeps")
    count, accuracy, parameters = ended(start("Optuna"))
    assert count == 8
    assert accuracy > 0.9
    assert parameters.keys() == {"units", "learning_rate_init", "alpha"}
    both = [start("Optuna"), start("Optuna")]
    found = [ended(process) for process in both]
    assert max(count for count, _, _ in found) == 24
    assert min(best for _, best, _ in found) >= accuracy


def test_dask(start):
    pytest.importorskip("distributed", reason="Dask is not installed: nox -s sweeps")
    count, accuracy, parameters = ended(start("Dask"))
    assert count == 4
    assert accuracy > 0.9
    assert parameters.keys() == {"alpha", "learning_rate_init"}


def test_ray_tune(start):
    pytest.importorskip("ray", reason="Ray is not installed: nox -s sweeps")
    count, accuracy, parameters = ended(start("Ray Tune"))
    assert count == 4
    assert accuracy > 0.5  # of four random trials
    assert parameters.keys() == {"alpha", "learning_rate_init"}
