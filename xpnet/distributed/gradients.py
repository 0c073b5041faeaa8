"""The gradients of all ranks, added up in flat buckets while the walk back goes on.

One message has a cost, however short it is. So the gradients of many parameters are put into one flat
array, a *bucket*. The walk back reaches the last layers first: their bucket is on its way while it
computes the gradients of the first layers.
"""

from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import NamedTuple

import array_api_compat as compat

from xpnet._libraries import library_of
from xpnet._libraries.devices import device_key, follow, stays
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import Parameter, data_of
from xpnet.distributed.agreement import total
from xpnet.distributed.base import Communicator, Compression, Pending

BUCKET = (
    4 * 2**20
)  # bytes: long enough that its latency does not matter, short enough to start early


class Totals(NamedTuple):
    """What a step adds up over the ranks, beside the gradients.

    Attributes
    ----------
    samples : int
        How many samples the ranks have learned from together.
    signals : tuple of int
        For each signal, how many ranks have given it: that it is time for a log line, that the user
        has pressed Ctrl-C.

    Examples
    --------
    >>> from xpnet import distributed
    >>> def program(communicator):
    ...     gradients = distributed.GradientSum([], communicator)
    ...     return gradients.finish(samples=4 - communicator.rank, signals=[communicator.is_root])
    >>> distributed.run(2, program)[1]
    Totals(samples=7, signals=(1,))
    """

    samples: int
    signals: tuple[int, ...]


class GradientSum:
    """Replaces the gradients of parameters by their sums over all ranks.

    Each step has the same parts on every rank, whichever of the first three it is given:

        begin()          before a walk back
        arrived(p)       any number of times, while it goes on: the gradient of p is final
        start(i, ...)    the gradients of bucket i are: called by `arrived`, or by a replay of it
        finish(n)        all gradients are; afterwards each parameter has the sum

    Parameters
    ----------
    parameters : iterable of Parameter
        Those of the optimizer, in the same order on each rank.
    communicator : Communicator
    compression : {"float16", "bfloat16"}, optional
        Send the gradients in 16 bits: see `Communicator.allreduce`.
    bucket_bytes : int
        The size that a bucket of several parameters does not exceed.

    Notes
    -----
    The sum of a parameter that has a gradient on some ranks only is the sum of those. If it has none on
    any rank it stays without. Messages are started in the order of the buckets, which is the same on
    each rank, whatever the order in which gradients arrive.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import distributed, functions as F, to_numpy
    >>> def program(communicator):
    ...     weight = xpnet.Parameter([1.0, 2.0])
    ...     gradients = distributed.GradientSum([weight], communicator)
    ...     F.sum(weight * (1.0 + communicator.rank)).backward()  # 1 on rank 0, 2 on rank 1
    ...     gradients.finish(samples=4)
    ...     return to_numpy(weight.grad).tolist()
    >>> distributed.run(2, program)
    [[3.0, 3.0], [3.0, 3.0]]
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        communicator: Communicator,
        compression: Compression | None = None,
        bucket_bytes: int = BUCKET,
    ) -> None:
        self.communicator = communicator
        self.compression = compression
        self.parameters = [p for p in parameters if p.requires_grad]
        self._ids = [id(p) for p in self.parameters]
        self.buckets = _buckets(self.parameters, bucket_bytes)
        self._memory = [_memory_for(bucket) for bucket in self.buckets]
        self._bucket_of = {id(p): i for i, bucket in enumerate(self.buckets) for p in bucket}
        self._reset()

    @property
    def is_half_done(self) -> bool:
        """Whether gradients are on their way. Between two steps they are only after one that failed."""
        return bool(self._flat)

    def is_of(self, parameters: Iterable[Parameter]) -> bool:
        """Whether these are still the parameters that require a gradient."""
        return [id(p) for p in parameters if p.requires_grad] == self._ids

    def _reset(self) -> None:
        self._flat: dict[int, Array] = {}  # the buckets that are complete
        self._present: dict[int, list[bool]] = {}  # which of their parameters have a gradient
        self._started: list[Pending] = []  # the first of these buckets
        self.begin()

    def begin(self) -> None:
        """Note that a walk back begins, in which no gradient is final yet."""
        self._missing = [len(bucket) for bucket in self.buckets]

    def arrived(self, p: Parameter, start: Callable[..., None] | None = None) -> None:
        """Note that the gradient of p is final; if that completes a bucket, start it.

        Parameters
        ----------
        p : Parameter
        start : function of the number of a bucket and of its gradients, optional
            Called in place of `self.start`, with the same arguments. The parameters have no gradients
            then: they are on their way.
        """
        number = self._bucket_of.get(id(p))
        if number is None:  # the optimizer does not have it
            return
        self._missing[number] -= 1
        if not self._missing[number]:
            (start or self.start)(number, *self._taken(number))

    def _taken(self, number: int) -> list[Array | None]:
        """The gradients of a bucket, which the parameters have no longer."""
        bucket = self.buckets[number]
        gradients = [None if p.raw_grad is None else data_of(p.raw_grad) for p in bucket]
        for p in bucket:
            p.raw_grad = None
        return gradients

    def start(self, number: int, *gradients: Array | None) -> None:
        """Send the gradients of a bucket as soon as those before it are sent; zeros in place of None."""
        bucket = self.buckets[number]
        follow(bucket[0].data)
        self._flat[number] = _flat(bucket, gradients, self._memory[number])
        self._present[number] = [g is not None for g in gradients]
        while len(self._started) in self._flat:
            for pending in self._started:
                pending.test()  # MPI moves messages on only while it is called
            flat = self._flat[len(self._started)]
            bits = self._compressed(flat)
            self._started.append(self.communicator.allreduce_start(flat, "sum", bits))

    def _compressed(self, flat: Array) -> Compression | None:
        """The compression of a bucket; gradients of 16 bits are sent as they are."""
        wide = array_namespace(flat).finfo(flat.dtype).bits > 16
        return self.compression if wide else None

    @stays
    def finish(self, samples: int, signals: Sequence[bool] = ()) -> Totals:
        """Wait until each parameter has the sum of the gradients of all ranks.

        Parameters
        ----------
        samples : int
            How many samples this rank's gradients are of; 0 for a rank that has none.
        signals : sequence of bool
            What all ranks are to know after this step, if it is True on any of them.
        """
        present: list[bool] = []
        for number in range(len(self.buckets)):
            if number not in self._flat:
                self.start(number, *self._taken(number))
            present += self._present[number]
        samples_of_all, *others = total(self.communicator, [samples, *signals, *present])
        counts = iter(others[len(signals) :])
        for bucket, pending in zip(self.buckets, self._started, strict=True):
            follow(bucket[0].data)
            flat = pending.wait()
            for p, g in zip(bucket, self._pieces(flat, bucket), strict=True):
                p.raw_grad = g if next(counts) > 0 else None
        self._reset()
        return Totals(int(samples_of_all), tuple(map(int, others[: len(signals)])))

    def _pieces(self, flat: Array, bucket: list[Parameter]) -> list[Array]:
        """The sums of a bucket, in the shapes of its parameters."""
        for memory in self._memory:
            if memory is not None and memory.flat is flat:
                return memory.pieces
        return _pieces(flat, bucket)


class _Memory(NamedTuple):
    """A flat array on the host that each step uses again, and its parts in the shapes of parameters.

    So the gradients that a compiled update reads are the same arrays in each step: it need not look for
    them anew.
    """

    flat: Array
    pieces: list[Array]


def _memory_for(bucket: list[Parameter]) -> _Memory | None:
    """Memory for a bucket of a library whose arrays are the host's; None for others."""
    x = bucket[0].data
    if not library_of(x).is_host_memory(x):
        return None
    flat = array_namespace(x).zeros(sum(prod(p.shape) for p in bucket), dtype=x.dtype)
    return _Memory(flat, _pieces(flat, bucket))


def _buckets(parameters: Iterable[Parameter], most: int) -> list[list[Parameter]]:
    """The parameters, last ones first, in groups of one dtype and device, and up to `most` bytes."""
    buckets: list[list[Parameter]] = []
    sizes: list[int] = []
    open_buckets: dict[object, int] = {}  # by dtype and device: the bucket that is not full
    for p in reversed(list(parameters)):
        x = p.data
        kind = (type(x), str(x.dtype), device_key(compat.device(x)))
        size = prod(x.shape) * array_namespace(x).finfo(x.dtype).bits // 8
        number = open_buckets.get(kind)
        if number is None or sizes[number] + size > most:
            number = open_buckets[kind] = len(buckets)
            buckets.append([])
            sizes.append(0)
        buckets[number].append(p)
        sizes[number] += size
    return buckets


def _flat(
    bucket: list[Parameter], gradients: Sequence[Array | None], memory: _Memory | None
) -> Array:
    """The gradients of a bucket in one array of one axis: in that memory, or a new one."""
    if memory is not None:
        for g, piece in zip(gradients, memory.pieces, strict=True):
            piece[...] = 0.0 if g is None else g
        return memory.flat
    xp = array_namespace(bucket[0].data)
    parts = []
    for p, g in zip(bucket, gradients, strict=True):
        parts.append(xp.reshape(xp.zeros_like(p.data) if g is None else g, (-1,)))
    return xp.concat(parts)


def _pieces(flat: Array, bucket: list[Parameter]) -> list[Array]:
    """The parts of a flat array, in the shapes of the parameters."""
    xp = array_namespace(flat)
    pieces = []
    start = 0
    for p in bucket:
        end = start + prod(p.shape)
        pieces.append(xp.reshape(flat[start:end], p.shape))
        start = end
    return pieces
