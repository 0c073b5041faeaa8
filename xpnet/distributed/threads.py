"""Ranks that are threads of one process: for tests, and to try out a distributed training."""

import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import numpy as np

from xpnet.distributed._host import HostCommunicator, combined
from xpnet.distributed.base import Compression, Json, Operation, using
from xpnet.errors import DistributedError
from xpnet.random import aside


class _Meeting:
    """What the ranks of one group share: a row of places for each of their messages, by its number."""

    def __init__(self, size: int, timeout: float) -> None:
        self.size = size
        self.timeout = timeout
        self.changed = threading.Condition()
        self.messages: dict[int, dict[int, Any]] = {}  # by number: what each rank has brought
        self.taken: dict[int, int] = {}  # how many ranks have taken the result
        self.results: dict[int, Any] = {}
        self.broken = ""

    def bring(self, number: int, rank: int, value: Any) -> None:
        with self.changed:
            brought = self.messages.setdefault(number, {})
            brought[rank] = value
            if len(brought) == self.size:  # a rank that wakes earlier only waits again
                self.changed.notify_all()

    def is_complete(self, number: int) -> bool:
        return bool(self.broken) or len(self.messages.get(number, ())) == self.size

    def take(self, number: int, rank: int, function: Callable[[list[Any]], Any]) -> Any:
        """function(what all ranks have brought, in their order), which is computed once."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.is_complete(number), self.timeout):
                missing = sorted(set(range(self.size)) - self.messages[number].keys())
                self.broken = f"rank {rank} waited {self.timeout:g} s for ranks {missing}"
                self.changed.notify_all()
            if self.broken:
                raise DistributedError(f"The ranks cannot continue: {self.broken}.")
            if number not in self.results:
                brought = self.messages[number]
                self.results[number] = function([brought[r] for r in range(self.size)])
            result = self.results[number]
            self.taken[number] = self.taken.get(number, 0) + 1
            if self.taken[number] == self.size:
                del self.messages[number], self.results[number], self.taken[number]
            return result


class _Message:
    """A request: the rank's array is replaced by the result when all have brought theirs."""

    def __init__(
        self,
        communicator: "ThreadCommunicator",
        host: np.ndarray,
        function: Callable[[list[Any]], Any],
    ) -> None:
        self._communicator = communicator
        self._host = host
        self._function = function
        self._number = communicator.bring(host.copy())

    def test(self) -> bool:
        return self._communicator.meeting.is_complete(self._number)

    def wait(self) -> None:
        self._host[...] = self._communicator.take(self._number, self._function)


class ThreadCommunicator(HostCommunicator):
    """A rank that is a thread of this process; `run` creates and starts all of them.

    Sums are added in the order of the ranks, so a test can compute the expected bits.

    Parameters
    ----------
    meeting : object
        What `run` creates: the messages that the ranks of one group share.
    rank : int
        The number of this rank.

    Examples
    --------
    >>> from xpnet import distributed
    >>> distributed.run(2, repr)
    ['ThreadCommunicator(rank 0 of 2)', 'ThreadCommunicator(rank 1 of 2)']
    """

    name = "threads"

    def __init__(self, meeting: _Meeting, rank: int) -> None:
        self.meeting = meeting
        self.rank = self.local_rank = rank
        self.size = meeting.size
        self._count = 0

    def bring(self, value: Any) -> int:
        """Leave this rank's part of the next message; returns the number of the message."""
        number = self._count
        self._count += 1
        self.meeting.bring(number, self.rank, value)
        return number

    def take(self, number: int, function: Callable[[list[Any]], Any]) -> Any:
        """The result of a message."""
        return self.meeting.take(number, self.rank, function)

    def _start(self, host: np.ndarray, op: Operation, bits: Compression | None) -> _Message:
        def reduced(arrays: list[np.ndarray]) -> np.ndarray:
            total = arrays[0]
            for x in arrays[1:]:
                total = combined(total, x, op, bits)
            return total

        return _Message(self, host, reduced)

    def _send(self, host: np.ndarray, root: int) -> _Message:
        return _Message(self, host, lambda arrays: arrays[root])

    def allgather(self, value: Json) -> list[Json]:
        gathered: list[Json] = self.take(self.bring(value), list)
        return list(gathered)

    def abort(self, reason: str) -> None:
        with self.meeting.changed:
            self.meeting.broken = self.meeting.broken or f"rank {self.rank}: {reason}"
            self.meeting.changed.notify_all()


def run(
    size: int, function: Callable[[ThreadCommunicator], Any], timeout: float = 60.0
) -> list[Any]:
    """Call function(communicator) in `size` threads, as so many ranks; returns what they return.

    Each rank begins with a copy of xpnet's own random streams. If a rank raises an error, the others
    end too, and the first error is raised here.

    Parameters
    ----------
    size : int
        The number of ranks.
    function : function of a ThreadCommunicator
    timeout : float
        The seconds after which a rank that waits for another raises DistributedError.

    Returns
    -------
    list
        What the function has returned on each rank, in their order.

    Examples
    --------
    >>> import numpy as np
    >>> [float(x[0]) for x in run(2, lambda c: c.allreduce(np.asarray([1.0 + c.rank])))]
    [3.0, 3.0]
    """
    meeting = _Meeting(size, timeout)
    results: list[Any] = [None] * size
    errors: list[tuple[float, BaseException]] = []

    def rank(number: int) -> None:
        communicator = ThreadCommunicator(meeting, number)
        try:
            with aside(), using(communicator):
                results[number] = function(communicator)
        except BaseException as error:  # noqa: BLE001 - it is raised in the calling thread
            errors.append((time.monotonic(), error))
            communicator.abort(f"{type(error).__name__}: {error}")

    threads = [
        threading.Thread(target=copy_context().run, args=(rank, number)) for number in range(size)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0][1]
    return results
