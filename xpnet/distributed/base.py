"""Communicator: what a rank asks of the other ranks, whatever carries the messages.

A *rank* is one of the processes of a distributed training; each has a number, and rank 0 writes the
files. All ranks run the same program. A method of a communicator is *collective*: every rank calls it,
in the same order, or all of them wait until the timeout.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar, Literal, Protocol

from xpnet._typing import Array
from xpnet.errors import ArgumentError, DistributedError, MissingMethodError

Operation = Literal["sum", "max", "min"]
Compression = Literal["float16", "bfloat16"]
Json = Any  # None, a number, a string, or a list or dict (by strings) of these

OPERATIONS = ("sum", "max", "min")
COMPRESSIONS = (None, "float16", "bfloat16")


class Request(Protocol):
    """A message on its way."""

    def test(self) -> bool:
        """Whether it has arrived; asking may move it on."""
        ...

    def wait(self) -> None:
        """Return when it has arrived."""
        ...


class Pending:
    """A reduction that was started: `wait` returns its result.

    Parameters
    ----------
    request : Request or None
        The message; None if there is nothing to wait for.
    result : function without parameters
        Returns the reduced array, once the message has arrived.

    Examples
    --------
    >>> import numpy as np
    >>> from xpnet import distributed
    >>> def program(communicator):
    ...     pending = communicator.allreduce_start(np.asarray([1.0 + communicator.rank]))
    ...     # ... meanwhile, this rank computes something else ...
    ...     return pending.wait().tolist()
    >>> distributed.run(2, program)
    [[3.0], [3.0]]
    """

    def __init__(self, request: Request | None, result: Callable[[], Array]) -> None:
        self._request = request
        self._result = result

    def test(self) -> bool:
        """Whether `wait` would return at once."""
        return self._request is None or self._request.test()

    def wait(self) -> Array:
        """The reduced array, as soon as all ranks have sent theirs."""
        if self._request is not None:
            self._request.wait()
        return self._result()


class Communicator:
    """The base class: a rank among others. A subclass defines the methods that raise here.

    Attributes
    ----------
    rank : int
        The number of this rank, from 0.
    size : int
        The number of ranks.
    local_rank : int
        The number of this rank among those on the same machine, by which it picks its GPU.
    name : str
        What carries the messages, for people: "MPI", "NCCL".

    Examples
    --------
    The mean of five numbers, of which each of two ranks has a share:

    >>> import numpy as np
    >>> from xpnet import distributed
    >>> def program(communicator):
    ...     own = np.arange(5.0)[distributed.share_of(5, communicator.rank, communicator.size)]
    ...     return float(communicator.allreduce(np.sum(own, keepdims=True))[0]) / 5
    >>> distributed.run(2, program)
    [2.0, 2.0]
    """

    name: ClassVar[str] = ""
    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_root(self) -> bool:
        """Whether this is rank 0, which writes the files and prints."""
        return self.rank == 0

    def allreduce(
        self, x: Array, op: Operation = "sum", compression: Compression | None = None
    ) -> Array:
        """The sum, maximum or minimum over the ranks of the arrays x; the same bits on each rank.

        Parameters
        ----------
        x : array of any library, of the same shape and dtype on each rank
            Its memory may be reused for the result: pass an array that nothing else needs.
        op : {"sum", "max", "min"}
        compression : {"float16", "bfloat16"}, optional
            Send float32 or float64 numbers in 16 bits. They are added in float32 and rounded again,
            so the result has about 3 digits, or 2 with bfloat16.

        Returns
        -------
        array
            Of the shape, dtype, library and device of x; it may be x itself.
        """
        return self.allreduce_start(x, op, compression).wait()

    def allreduce_start(
        self, x: Array, op: Operation = "sum", compression: Compression | None = None
    ) -> Pending:
        """Start `allreduce` and return at once; do not use x before `wait` has returned."""
        raise MissingMethodError(f"{type(self).__name__} defines no allreduce_start.")

    def broadcast(self, x: Array, root: int = 0) -> Array:
        """The array that rank `root` has; the others pass one of the same shape and dtype.

        As for `allreduce`, the memory of x may be reused for the result.
        """
        raise MissingMethodError(f"{type(self).__name__} defines no broadcast.")

    def allgather(self, value: Json) -> list[Json]:
        """The values of all ranks, in their order: small things that JSON can hold."""
        raise MissingMethodError(f"{type(self).__name__} defines no allgather.")

    def barrier(self) -> None:
        """Wait until all ranks have come here."""
        self.allgather(None)

    def abort(self, reason: str) -> None:
        """End all ranks at once, because this one cannot continue; MPI ends the processes."""
        raise MissingMethodError(f"{type(self).__name__} defines no abort.")

    def leave(self, reason: str) -> bool:
        """Call this where the program ends with an error: the others are not to wait for this rank.

        It returns if all of them leave within two seconds, as they do after an error that all of them
        have; otherwise it ends them: see `abort`.

        Returns
        -------
        bool
            Whether the reason is to be printed here: not if rank 0 has the same one, and prints it.
        """
        self.abort(reason)
        return True

    def close(self) -> None:
        """Release what the communicator holds; it cannot be used any more."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(rank {self.rank} of {self.size})"


class SingleProcess(Communicator):
    """The only rank: every reduction is the array itself.

    Examples
    --------
    A program for many ranks runs on one as it is:

    >>> import numpy as np
    >>> from xpnet.distributed import SingleProcess
    >>> communicator = SingleProcess()
    >>> communicator.allreduce(np.asarray([1.0, 2.0])).tolist(), communicator.allgather("here")
    ([1.0, 2.0], ['here'])
    """

    name = "one process"

    def allreduce_start(
        self, x: Array, op: Operation = "sum", compression: Compression | None = None
    ) -> Pending:
        require_known(op, compression)
        return Pending(None, lambda: x)

    def broadcast(self, x: Array, root: int = 0) -> Array:
        return x

    def allgather(self, value: Json) -> list[Json]:
        return [value]

    def abort(self, reason: str) -> None:
        raise DistributedError(reason)

    def leave(self, reason: str) -> bool:
        return True


def require_known(op: str, compression: str | None) -> None:
    """Raise ArgumentError for another operation or compression than those there are."""
    if op not in OPERATIONS:
        raise ArgumentError(f"Expected op to be one of {', '.join(OPERATIONS)}, got {op!r}.")
    if compression not in COMPRESSIONS:
        raise ArgumentError(
            f"Expected compression to be 'float16', 'bfloat16' or None, got {compression!r}."
        )
    if compression is not None and op != "sum":
        raise ArgumentError(f"Expected op='sum' with compression={compression!r}, got {op!r}.")


def share_of(n: int, rank: int, size: int) -> slice:
    """The part of n samples that a rank has: all differ by one at most, the first ones are larger.

    Parameters
    ----------
    n : int
    rank, size : int
        As those of a `Communicator`.

    Returns
    -------
    slice

    Examples
    --------
    >>> [share_of(5, rank, 3) for rank in range(3)]
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    least, more = divmod(n, size)
    start = rank * least + min(rank, more)
    return slice(start, start + least + (rank < more))


_current: ContextVar[Communicator | None] = ContextVar("xpnet_communicator", default=None)


def current() -> Communicator:
    """The communicator of the surrounding `using` block; a SingleProcess outside of all blocks.

    Layers that exchange statistics, such as `BatchNorm2d(sync=True)`, use it. `Trainer.fit` is such a
    block.

    Examples
    --------
    >>> from xpnet import distributed
    >>> distributed.current()
    SingleProcess(rank 0 of 1)
    >>> distributed.run(2, lambda communicator: distributed.current() is communicator)
    [True, True]
    """
    return _current.get() or SingleProcess()


_has_samples: ContextVar[bool] = ContextVar("xpnet_has_samples", default=True)


@contextmanager
def without_samples() -> Iterator[None]:
    """A block in which what a layer computes does not count: this rank has no samples of a batch.

    It takes part in what the ranks do together all the same, with samples that stand in.

    Examples
    --------
    >>> from xpnet import distributed
    >>> def count(x):  # as a layer does that has statistics
    ...     return len(x) if distributed.has_samples() else 0
    >>> with distributed.without_samples():
    ...     count([0.0])
    0
    """
    token = _has_samples.set(False)
    try:
        yield
    finally:
        _has_samples.reset(token)


def has_samples() -> bool:
    """Whether this rank's samples count: see `without_samples`.

    Examples
    --------
    >>> from xpnet import distributed
    >>> distributed.has_samples()
    True
    >>> with distributed.without_samples():
    ...     distributed.has_samples()
    False
    """
    return _has_samples.get()


@contextmanager
def using(communicator: Communicator) -> Iterator[Communicator]:
    """A block in which layers communicate by this communicator, in this thread.

    Parameters
    ----------
    communicator : Communicator

    Examples
    --------
    >>> from xpnet import distributed
    >>> with distributed.using(distributed.SingleProcess()) as communicator:
    ...     distributed.current() is communicator
    True
    """
    token = _current.set(communicator)
    try:
        yield communicator
    finally:
        _current.reset(token)
