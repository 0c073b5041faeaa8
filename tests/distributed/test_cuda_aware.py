"""Whether arrays on a GPU are handed to MPI as they are, or by way of the host; MPI is a stand-in."""

from types import SimpleNamespace

import numpy as np
import pytest

import xpnet
from xpnet._libraries import LIBRARIES
from xpnet.distributed.mpi import MPICommunicator, is_cuda_aware


def mpi_that_says(kinds):
    information = SimpleNamespace(get=lambda key: kinds, Free=lambda: None)
    return SimpleNamespace(COMM_WORLD=SimpleNamespace(Get_info=lambda: information))


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (None, False),
        ("mpi,system", False),
        ("mpi,system,cuda", True),
        ("mpi, cuda:device", True),
        ("rocm", False),
    ],
)
def test_mpi_says_what_memory_it_takes(kinds, expected):
    assert is_cuda_aware(mpi_that_says(kinds)) is expected


class Stand:
    """A communicator of mpi4py with one rank, which notes the memory that it is given."""

    def __init__(self):
        self.given = []

    def Iallreduce(self, sent, x, operation):  # noqa: N802 - its name in mpi4py
        assert (sent, operation) == ("in place", "sum")
        self.given.append(x)
        return SimpleNamespace(Test=lambda: True)

    def Ibcast(self, x, root):  # noqa: N802 - likewise
        self.given.append(x)
        return SimpleNamespace(Test=lambda: True)


def communicator(cuda_aware):
    made = object.__new__(MPICommunicator)
    made.comm = Stand()
    made.MPI = SimpleNamespace(IN_PLACE="in place")
    made.cuda_aware = cuda_aware
    made.timeout = None
    made.broken = ""
    made._operations = {"sum": "sum"}
    return made


def test_arrays_on_a_gpu_go_to_mpi_as_they_are_once_they_are_computed(cupy_backend, monkeypatch):
    waited = []
    monkeypatch.setattr(LIBRARIES["cupy"], "synchronize", waited.append)
    direct = communicator(cuda_aware=True)
    x = cupy_backend.asarray([1.0, 2.0])
    assert direct.allreduce(x) is x
    assert direct.broadcast(x) is x
    assert [y is x for y in direct.comm.given] == [True, True]
    assert [y is x for y in waited] == [True, True]


def test_otherwise_they_are_copied_to_pinned_memory_and_back(cupy_backend):
    staged = communicator(cuda_aware=False)
    x = cupy_backend.asarray([[1.0, 2.0], [3.0, 4.0]]).T  # not in one piece
    for y in (staged.allreduce(x), staged.broadcast(x)):
        assert type(y) is type(x)
        np.testing.assert_array_equal(xpnet.to_numpy(y), [[1.0, 3.0], [2.0, 4.0]])
    assert all(type(memory) is np.ndarray for memory in staged.comm.given)


def test_numbers_of_16_bits_go_by_the_host(cupy_backend):
    staged = communicator(cuda_aware=True)
    staged._operation_on_bits = lambda op, bits: "sum"
    x = cupy_backend.asarray([1.0, 2.0])
    assert staged.allreduce(x, compression="float16").tolist() == [1.0, 2.0]
    assert staged.allreduce(x.astype("float16")).tolist() == [1.0, 2.0]
    assert [memory.dtype.name for memory in staged.comm.given] == ["uint16", "uint16"]
