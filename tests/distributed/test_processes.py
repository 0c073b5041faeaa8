"""Ranks that are processes: what threads show in the other tests holds over MPI."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT, environment

MPIEXEC = shutil.which("mpiexec", path=Path(sys.executable).parent) or shutil.which("mpiexec")
pytestmark = [
    pytest.mark.skipif(MPIEXEC is None, reason="mpiexec is missing: pip install mpich"),
    pytest.mark.skipif(
        importlib.util.find_spec("mpi4py") is None, reason="mpi4py is missing: pip install mpi4py"
    ),
]


def ranks(count, *arguments):
    """Run a function of `rank.py` on so many processes; returns the finished launcher."""
    return subprocess.run(
        [MPIEXEC, "-n", str(count), sys.executable, "-m", "tests.distributed.rank", *arguments],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


def assert_holds(count, *arguments):
    found = ranks(count, *map(str, arguments))
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("count", [2, 4])
def test_messages(count):
    assert_holds(count, "messages")


def test_messages_of_the_backend(backend):
    """Other libraries' arrays are viewed, or copied to the host."""
    assert_holds(2, "messages", backend.name)


@pytest.mark.parametrize("name", ["training", "eager_training", "normalized_training"])
def test_a_training_of_two_processes_is_that_of_one(name):
    assert_holds(2, name)


def test_processes_that_diverge_notice_it():
    assert_holds(2, "divergence")


def test_a_training_is_resumed_by_another_number_of_processes(tmp_path):
    assert_holds(2, "saved", tmp_path)
    assert_holds(1, "resumed", tmp_path)
    assert_holds(3, "resumed", tmp_path)


def test_a_rank_that_waits_too_long_ends_all():
    found = ranks(2, "late")
    assert found.returncode != 0
    assert "xpnet: rank 0 of 2 ends all: as it should" in found.stderr
