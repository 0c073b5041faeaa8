"""Ranks that are processes, started by `mpiexec`; mpi4py carries their messages.

Arrays on the host are sent from their own memory. Arrays on a GPU are handed to MPI as they are where
it is CUDA-aware, and else copied to pinned memory and back.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any
from zlib import crc32

import numpy as np

from xpnet._libraries import library_of
from xpnet._typing import Array
from xpnet.distributed._host import BITS, HostCommunicator, combined
from xpnet.distributed.base import (
    Compression,
    Json,
    Operation,
    Pending,
    Request,
    require_known,
)
from xpnet.errors import DistributedError, MissingPackageError

SECONDS_TO_LEAVE = 2.0
"""How long a rank that cannot continue waits for the others, which may have the same error."""

PATIENCE = 0.001
"""For how many seconds a rank that waits looks for its message without a pause, if it has a core of its own."""

SHORTEST_SLEEP = 1e-6
"""Linux makes more than 50 us of it, in which MPI moves nothing on: a rank with a core of its own yields first."""

yield_core = getattr(os, "sched_yield", partial(time.sleep, 0))


class _Waiting:
    """A request of mpi4py, with a timeout; it keeps the memory that MPI reads and writes alive."""

    def __init__(self, communicator: "MPICommunicator", request: Any, *memory: Any) -> None:
        self._communicator = communicator
        self._request = request
        self._memory = memory

    def test(self) -> bool:
        return bool(self._request.Test())

    def wait(self) -> None:
        if self._request.Test():  # as usual, if it was started early
            return
        began = time.monotonic()
        timeout = self._communicator.timeout
        presence = self._communicator.presence
        while not self._request.Test():
            waited = time.monotonic() - began
            if waited < self._communicator.patience:
                yield_core()
            else:
                time.sleep(SHORTEST_SLEEP)
            if waited > 1.0:
                presence.answer()
            if timeout is not None and waited > timeout:
                missing = presence.missing()
                who = f"rank {', '.join(map(str, missing))} is missing"
                if not missing:
                    who = "all ranks wait, but not for the same: they have done different things"
                self._communicator.broken = (
                    f"Rank {self._communicator.rank} of {self._communicator.size} waited {timeout:g} "
                    f"s for the others: {who}."
                )
                raise DistributedError(self._communicator.broken)


class Presence:
    """Which ranks are there: those that wait answer a question, and those that hang do not.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
        A group of processes for these messages alone.
    """

    QUESTION = 1  # the tags of messages, which have no other content
    ANSWER = 2
    SECONDS = 2.0  # for the answers

    def __init__(self, comm: Any, MPI: Any) -> None:
        self._comm = comm
        self._status = MPI.Status()
        self._sent: list[Any] = []  # requests, and the memory that they read

    def missing(self) -> list[int]:
        """Ask all ranks, and return those that do not answer."""
        silent = set(range(self._comm.Get_size())) - {self._comm.Get_rank()}
        for rank in silent:
            self._send(rank, self.QUESTION)
        began = time.monotonic()
        while silent and time.monotonic() - began < self.SECONDS:
            self.answer()
            silent -= set(self._received(self.ANSWER))
            time.sleep(SHORTEST_SLEEP)
        return sorted(silent)

    def answer(self) -> None:
        """Answer the questions that have come."""
        for rank in self._received(self.QUESTION):
            self._send(rank, self.ANSWER)

    def _send(self, rank: int, tag: int) -> None:
        content = bytearray()
        self._sent.append((self._comm.Isend(content, rank, tag), content))

    def _received(self, tag: int) -> list[int]:
        """The ranks whose messages of this kind have come."""
        found = []
        while self._comm.Iprobe(tag=tag, status=self._status):
            rank = self._status.Get_source()
            self._comm.Recv(bytearray(), rank, tag)
            found.append(rank)
        return found


class MPICommunicator(HostCommunicator):
    """A rank that is a process of MPI.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, optional
        The group of processes; by default all. It is duplicated, so that the messages of xpnet do not
        meet those of the program.
    timeout : float, optional
        The seconds after which a rank that waits for another raises DistributedError, which names the
        ranks that did not come. By default it waits as long as it takes.

    Attributes
    ----------
    cuda_aware : bool
        Whether MPI takes arrays on a GPU.
    patience : float
        The seconds for which a rank that waits does not sleep; 0 where a machine has more ranks than cores.
    broken : str
        The error of a rank that has waited too long: its message may still be on its way, and would be
        taken for another one. Empty if there is none.

    Raises
    ------
    MissingPackageError
        mpi4py is not installed, or finds no MPI.

    Notes
    -----
    After a timeout, all methods that send raise DistributedError.

    Examples
    --------
    In a process alone; with `mpiexec -n 4`, the sum is [4.0] on each of the ranks.

    >>> import mpi4py
    >>> import numpy as np
    >>> from xpnet.distributed import MPICommunicator
    >>> communicator = MPICommunicator(timeout=30.0)
    >>> communicator.allreduce(np.asarray([1.0])).tolist()
    [1.0]
    """

    name = "MPI"

    def __init__(self, comm: Any = None, timeout: float | None = None) -> None:
        self.MPI = _mpi()
        self.comm = (comm or self.MPI.COMM_WORLD).Dup()
        self.presence = Presence(self.comm.Dup(), self.MPI)
        self._ends = self.comm.Dup()  # only for `leave`: the others may wait for something else
        self._barriers = (
            self.comm.Dup()
        )  # where a rank that waits takes no other message for a barrier
        self.broken = ""
        self.timeout = timeout
        self.rank = self.comm.Get_rank()
        self.size = self.comm.Get_size()
        neighbors = self.comm.Split_type(self.MPI.COMM_TYPE_SHARED)
        self.local_rank = neighbors.Get_rank()
        # Where ranks share a core, one that waits takes the time of the one that it waits for: Linux
        # hardly lets a thread that yields wait longer than one that computes.
        self.patience = PATIENCE if _cores_of(neighbors) >= neighbors.Get_size() else 0.0
        neighbors.Free()
        self.cuda_aware = is_cuda_aware(self.MPI)
        self._operations = {"sum": self.MPI.SUM, "max": self.MPI.MAX, "min": self.MPI.MIN}
        self._of_bits: dict[tuple[Operation, Compression], Any] = {}

    @property
    def library(self) -> str:
        """The name and version of the MPI: "MPICH 5.0.2"."""
        name, version = self.MPI.get_vendor()
        return f"{name} {'.'.join(map(str, version))}"

    def allreduce_start(
        self, x: Array, op: Operation = "sum", compression: Compression | None = None
    ) -> Pending:
        if compression is None and self._takes(x):
            require_known(op, compression)
            library_of(x).synchronize(x)  # MPI knows nothing of the stream that computes x
            return Pending(self._reduced_in_place(x, self._operations[op]), lambda: x)
        return super().allreduce_start(x, op, compression)

    def broadcast(self, x: Array, root: int = 0) -> Array:
        if not self._takes(x):
            return super().broadcast(x, root)
        library_of(x).synchronize(x)
        self._started(self.comm.Ibcast, x, root).wait()
        return x

    def _takes(self, x: Array) -> bool:
        """Whether MPI takes an array as it is: it lies on a GPU, in one piece, in 32 or 64 bits."""
        if not (self.cuda_aware and library_of(x).is_cuda_memory(x)):
            return False
        return str(x.dtype).rpartition(".")[2] not in BITS

    def _start(self, host: np.ndarray, op: Operation, bits: Compression | None) -> Request:
        operation = self._operations[op] if bits is None else self._operation_on_bits(op, bits)
        return self._reduced_in_place(host, operation)

    def _reduced_in_place(self, x: Any, operation: Any) -> _Waiting:
        return self._started(self.comm.Iallreduce, self.MPI.IN_PLACE, x, operation)

    def _started(self, start: Callable[..., Any], *args: Any) -> _Waiting:
        """start(*args), a method of mpi4py that returns a request; its arguments are kept alive."""
        if self.broken:
            raise DistributedError(f"The ranks cannot continue: {self.broken}")
        return _Waiting(self, start(*args), *args)

    def _operation_on_bits(self, op: Operation, bits: Compression) -> Any:
        """The operation of MPI on 16-bit numbers, which it does not know: it calls Python."""
        if (op, bits) not in self._of_bits:

            def add(incoming: Any, total: Any, datatype: Any) -> None:
                result = np.frombuffer(total, np.uint16)
                result[...] = combined(np.frombuffer(incoming, np.uint16), result, op, bits)

            self._of_bits[op, bits] = self.MPI.Op.Create(add, commute=True)
        return self._of_bits[op, bits]

    def _send(self, host: np.ndarray, root: int) -> Request:
        return self._started(self.comm.Ibcast, host, root)

    def allgather(self, value: Json) -> list[Json]:
        own = np.frombuffer(json.dumps(value).encode(), np.uint8)
        counts = np.empty(self.size, np.int64)
        sent = np.asarray([own.size], np.int64)
        self._started(self.comm.Iallgather, sent, counts).wait()
        everything = np.empty(int(counts.sum()), np.uint8)
        places = [everything, counts.tolist()]
        self._started(self.comm.Iallgatherv, own, places).wait()
        parts = np.split(everything, np.cumsum(counts)[:-1])
        return [json.loads(part.tobytes()) for part in parts]

    def barrier(self) -> None:
        self._started(self._barriers.Ibarrier).wait()

    def abort(self, reason: str) -> None:
        sys.stderr.write(f"xpnet: rank {self.rank} of {self.size} ends all: {reason}\n")
        sys.stderr.flush()
        self.comm.Abort(1)

    def leave(self, reason: str) -> bool:
        own = np.asarray([crc32(reason.encode())], np.int64)
        everyone = np.empty(self.size, np.int64)
        request = self._ends.Iallgather(own, everyone)
        began = time.monotonic()
        while not request.Test():
            if time.monotonic() - began > SECONDS_TO_LEAVE:
                self.abort(reason)
            time.sleep(0.01)
        return self.is_root or bool(everyone[0] != own[0])

    def close(self) -> None:
        for operation in self._of_bits.values():
            operation.Free()
        self._of_bits = {}
        for comm in (self._barriers, self.comm):
            if comm != self.MPI.COMM_NULL:
                comm.Free()


def _mpi() -> Any:
    """mpi4py's module MPI, which starts MPI when it is first imported."""
    try:
        return import_module("mpi4py.MPI")
    except (ImportError, RuntimeError) as error:
        raise MissingPackageError(
            f"Several processes were to be started by MPI, and mpi4py cannot be used ({error}). "
            'Install it with an MPI: pip install "xpnet[mpi]".'
        ) from error


def _cores_of(neighbors: Any) -> int:
    """On how many cores the ranks of a machine may run: a launcher may bind each of them to its own."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    return len(set().union(*neighbors.allgather(os.sched_getaffinity(0))))


def is_cuda_aware(MPI: Any) -> bool:
    """Whether MPI says that it takes memory of a GPU, in the way of MPI 4.1; else it is not asked to."""
    information = MPI.COMM_WORLD.Get_info()
    kinds = information.get("mpi_memory_alloc_kinds") or ""
    information.Free()
    return any(kind.strip().startswith("cuda") for kind in kinds.split(","))
