"""How a process waits for the others: with its core at first, if it has one of its own; the request is a stand-in."""

import os
from types import SimpleNamespace

import pytest

from xpnet.distributed import mpi


@pytest.fixture
def passed(monkeypatch):
    """What a rank did while it waited; each thing takes a millisecond of a clock that only this moves."""
    done = []
    monkeypatch.setattr(mpi, "yield_core", lambda: done.append("yielded"))
    clock = SimpleNamespace(
        sleep=lambda s: done.append("slept"), monotonic=lambda: len(done) / 1000
    )
    monkeypatch.setattr(mpi, "time", clock)
    return done


def wait(patience, looks):
    """Wait for a message that has come when it is looked for so many times."""
    left = iter([False] * (looks - 1) + [True])
    communicator = SimpleNamespace(patience=patience, timeout=None, presence=None)
    mpi._Waiting(communicator, SimpleNamespace(Test=lambda: next(left))).wait()


def test_a_message_that_is_there_is_not_waited_for(passed):
    wait(0.0, 1)
    assert passed == []


def test_a_rank_with_a_core_of_its_own_is_patient_for_a_while(passed):
    wait(0.003, 8)
    assert passed == ["yielded"] * 3 + ["slept"] * 3


def test_a_rank_that_shares_its_core_leaves_it_to_others_at_once(passed):
    wait(0.0, 5)
    assert passed == ["slept"] * 3


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="processes are not bound to cores")
@pytest.mark.parametrize(("bound", "cores"), [([{0}, {1}, {5}], 3), ([{0, 1}] * 4, 2)])
def test_cores_are_those_of_all_ranks_of_a_machine(monkeypatch, bound, cores):
    """Open MPI binds each rank to a core, MPICH none of them."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: bound[0])

    def allgather(own):
        assert own == bound[0]
        return bound

    assert mpi._cores_of(SimpleNamespace(allgather=allgather)) == cores
