"""Host to GPU while the GPU computes: pinned memory and a copy stream, for CuPy.

A copy from ordinary memory makes the GPU wait; one from pinned memory, on a stream of its own, runs
beside the computation. Two events keep the two streams in order:

    thread     pinned <- batch;  copy stream: [wait `free`]  staging <- pinned,  record `full`
    consumer   compute stream:   [wait `full`]  array <- staging,  record `free`

The arrays that are handed out are the compute stream's own, copied on the device: a batch may be
kept, or dropped amid a kernel that still reads it, and CuPy's pool, which is per stream, needs no
care. That copy runs at the speed of the GPU's memory; a staging buffer never leaves this file.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from xpnet._typing import Array
from xpnet.autodiff import tree as trees
from xpnet.backend import Backend


def sender(backend: Backend, depth: int) -> "CopyStream | None":
    """A `CopyStream` to a backend that has one, for `depth` batches in flight; else None."""
    return CopyStream(backend, depth + 2) if backend.library.has_copy_stream else None


class Buffer(NamedTuple):
    """Memory for one array of a batch: on the host, pinned, and on the device."""

    pinned: Any
    staging: Any


class Slot:
    """Memory for one batch, used again and again, and the events that say when it may be."""

    def __init__(self, event: Callable[[], Any]) -> None:
        self.buffers: list[Buffer] = []
        self.full, self.free = event(), event()


class Ticket(NamedTuple):
    """A batch on its way."""

    slot: Slot
    tree: Any


class CopyStream:
    """Sends batches from one thread, and receives them in another.

    Parameters
    ----------
    backend : Backend
        CuPy.
    slots : int
        How many batches may be under way: two more than the queue between the threads holds, one
        in the hands of each.
    """

    def __init__(self, backend: Backend, slots: int) -> None:
        self.backend, self.cupy = backend, import_module("cupy")
        self.cupyx = import_module("cupyx")
        with backend.device:
            self.stream = self.cupy.cuda.Stream(non_blocking=True)
            event = lambda: self.cupy.cuda.Event(disable_timing=True)  # noqa: E731
            self.slots = [Slot(event) for _ in range(slots)]
        self.number = 0

    def send(self, batch: Any) -> Ticket:
        """Begin to copy a tree of host arrays; in the thread that prefetches."""
        slot = self.slots[self.number % len(self.slots)]
        self.number += 1
        arrays = trees.leaves(batch)
        dtypes = [
            self.backend.dtype if x.dtype.kind == "f" else x.dtype.newbyteorder("=") for x in arrays
        ]
        with self.backend.device, self.stream:
            slot.full.synchronize()  # the host may write once the last copy has read
            self.stream.wait_event(slot.free)
            shaped = [(b.pinned.shape, b.pinned.dtype) for b in slot.buffers]
            if shaped != [(x.shape, dtype) for x, dtype in zip(arrays, dtypes, strict=True)]:
                slot.buffers = [
                    Buffer(self.cupyx.empty_pinned(x.shape, dtype), self.cupy.empty(x.shape, dtype))
                    for x, dtype in zip(arrays, dtypes, strict=True)
                ]
            for x, buffer in zip(arrays, slot.buffers, strict=True):
                buffer.pinned[...] = x
                buffer.staging.set(buffer.pinned, stream=self.stream)
            slot.full.record(self.stream)
        return Ticket(slot, batch)

    def receive(self, ticket: Ticket) -> Any:
        """The tree on the device, in order for the current stream; in the thread that computes."""
        slot = ticket.slot
        with self.backend.device:
            compute = self.cupy.cuda.get_current_stream()
            compute.wait_event(slot.full)
            arrays: list[Array] = [buffer.staging.copy() for buffer in slot.buffers]
            slot.free.record(compute)
        return trees.rebuild(ticket.tree, arrays)
