"""Copies of batches to the GPU while it computes, for CuPy: pinned memory and a copy stream.

A stream is a queue of work for the GPU, and pinned memory is host memory that the operating system
never moves. A copy from ordinary memory makes the GPU wait; a copy from pinned memory, on a stream of
its own, runs beside the computation. Two events keep the two streams in order:

    thread     pinned <- batch;  copy stream: [wait `free`]  staging <- pinned,  record `full`
    consumer   compute stream:   [wait `full`]  array <- staging,  record `free`

The arrays that `receive` returns are copies, made on the device by the compute stream. So a batch may
be kept, or dropped while a kernel still reads it, as CuPy's memory pool is per stream. These copies run
at the speed of the GPU's memory. A staging buffer never leaves this file.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

from xpnet._typing import Array, DType
from xpnet.autodiff import tree as trees
from xpnet.backend import Backend
from xpnet.data._sources import Tree


def sender(backend: Backend, depth: int) -> "CopyStream | None":
    """A `CopyStream` to a backend that has one, for `depth` batches in flight; else None."""
    if backend.library.has_copy_stream:
        return CopyStream(backend, depth + 2)
    return None


class Buffer(NamedTuple):
    """Memory for one array of a batch: on the host, pinned, and on the device."""

    pinned: Array  # a NumPy array
    staging: Array  # a CuPy array


class Slot:
    """Memory for one batch, used again and again, and the events that mark when it may be used.

    Attributes
    ----------
    buffers : list of Buffer
        One for each array of a batch.
    full, free : CuPy's events
        The staging memory has been filled (`full`), and has been read (`free`).
    """

    def __init__(self, event: Callable[[], Any]) -> None:
        self.buffers: list[Buffer] = []
        self.full = event()
        self.free = event()


class Ticket(NamedTuple):
    """A batch on its way to the device."""

    slot: Slot
    tree: Tree  # the batch on the host, for its structure


class CopyStream:
    """Sends batches from one thread, and receives them in another.

    Parameters
    ----------
    backend : Backend
        CuPy.
    slots : int
        How many batches may be on their way: two more than the queue between the threads holds, as
        each of the two threads works on one.
    """

    def __init__(self, backend: Backend, slots: int) -> None:
        self.backend = backend
        self.cupy = import_module("cupy")
        self.cupyx = import_module("cupyx")
        with backend.device:
            self.stream = self.cupy.cuda.Stream(non_blocking=True)
            event = partial(self.cupy.cuda.Event, disable_timing=True)
            self.slots = [Slot(event) for _ in range(slots)]
        self.sent = 0  # batches

    def send(self, batch: Tree) -> Ticket:
        """Begin to copy a tree of host arrays; called by the thread that prefetches."""
        slot = self.slots[self.sent % len(self.slots)]
        self.sent += 1
        arrays = trees.leaves(batch)
        with self.backend.device, self.stream:
            slot.full.synchronize()  # the previous copy from this pinned memory has finished
            self.stream.wait_event(slot.free)
            wanted = [(x.shape, self._dtype_on_device(x)) for x in arrays]
            if wanted != [(b.pinned.shape, b.pinned.dtype) for b in slot.buffers]:
                slot.buffers = [self._buffer(shape, dtype) for shape, dtype in wanted]
            for x, buffer in zip(arrays, slot.buffers, strict=True):
                buffer.pinned[...] = x
                buffer.staging.set(buffer.pinned, stream=self.stream)
            slot.full.record(self.stream)
        return Ticket(slot, batch)

    def _dtype_on_device(self, x: Array) -> DType:
        """Floating-point numbers get the backend's dtype, and others the machine's byte order."""
        if x.dtype.kind == "f":
            return self.backend.dtype
        return x.dtype.newbyteorder("=")

    def _buffer(self, shape: tuple[int, ...], dtype: DType) -> Buffer:
        """New memory for arrays of a shape and dtype."""
        return Buffer(self.cupyx.empty_pinned(shape, dtype), self.cupy.empty(shape, dtype))

    def receive(self, ticket: Ticket) -> Tree:
        """The tree, with its arrays on the device, for the current stream of the thread that computes."""
        slot = ticket.slot
        with self.backend.device:
            compute = self.cupy.cuda.get_current_stream()
            compute.wait_event(slot.full)
            arrays: list[Array] = [buffer.staging.copy() for buffer in slot.buffers]
            slot.free.record(compute)
        return trees.rebuild(ticket.tree, arrays)
