"""Ranks that are processes: what threads show in the other tests holds over MPI."""

import functools
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT, environment
from xpnet.optimizers import BY_NAME

MPIEXEC = shutil.which("mpiexec", path=Path(sys.executable).parent) or shutil.which("mpiexec")
pytestmark = [
    pytest.mark.skipif(MPIEXEC is None, reason="mpiexec is missing: pip install mpich"),
    pytest.mark.skipif(
        importlib.util.find_spec("mpi4py") is None, reason="mpi4py is missing: pip install mpi4py"
    ),
]


# What holds for any number of processes: see rank.py. One launch runs all of it, because a process takes longer to
# start than most of these cases take.
CASES = [
    "messages",
    *(f"steps,{kind},{how}" for kind in BY_NAME for how in ("eager", "compiled")),
    "training",
    "eager_training",
    "normalized_training",
    "divergence",
    "failed_fit",
]
RESUMED = {2: ["resumed,2,1", "resumed,1,2"], 4: ["resumed,2,4", "resumed,4,2", "resumed,4,3"]}
OF_COUNT = {count: [*CASES, *cases] for count, cases in RESUMED.items()}


def ranks(count, *cases):
    """Run cases of `rank.py` on so many processes; returns the finished launcher."""
    return subprocess.run(
        [MPIEXEC, "-n", str(count), sys.executable, "-m", "tests.distributed.rank", *cases],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


@functools.cache
def all_cases(count):
    """The launcher of all cases on so many processes, when it has finished."""
    try:
        return ranks(count, *OF_COUNT[count])
    except subprocess.TimeoutExpired as error:  # not to be waited for by each case
        return subprocess.CompletedProcess(error.cmd, 1, "", str(error))


@pytest.mark.parametrize(
    ("count", "case"), [(count, case) for count, cases in OF_COUNT.items() for case in cases]
)
def test_case_holds_on_all_ranks(count, case):
    cases = OF_COUNT[count]
    found = all_cases(count)
    held = found.stdout.splitlines()
    assert held == cases[: len(held)]
    if cases.index(case) > len(held):
        pytest.fail(f"The ranks have ended before, in {cases[len(held)]}.")
    assert case in held, found.stderr
    assert found.returncode == 0 or held != cases, found.stderr


def test_messages_of_the_backend(backend):
    """Other libraries' arrays are viewed, or copied to the host."""
    case = f"messages,{backend.name}"
    found = ranks(2, case)
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.split() == [case]


@pytest.mark.parametrize("count", [2, 4])
def test_a_rank_that_waits_too_long_ends_all(count):
    found = ranks(count, "late")
    assert found.returncode != 0
    assert f"xpnet: rank 0 of {count} ends all: as it should" in found.stderr
