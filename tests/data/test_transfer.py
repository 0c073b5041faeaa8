"""The copy stream: its order of events, on simulated streams that work as late or early as CUDA allows.

CuPy is not needed here: the tests show that no buffer is written while another stream, or the host,
still has to read it. A simulated stream works when it is forced to, by an event or at the end; one
that is `hasty` works at once. Without the waits, wrong numbers are read.
"""

import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

import xpnet
from xpnet.backend import Backend
from xpnet.data import DataLoader
from xpnet.data._transfer import CopyStream, sender

LOCK = threading.RLock()


class Stream:
    """A queue of work that is done in order."""

    def __init__(self, hasty=False):
        self.work, self.done, self.hasty = [], 0, hasty

    def add(self, job):
        with LOCK:
            self.work.append(job)
            if self.hasty:
                self.run(len(self.work))

    def run(self, until):
        with LOCK:
            while self.done < until:
                self.done += 1
                self.work[self.done - 1]()

    def wait_event(self, event):
        if (mark := event.mark) is not None:
            stream, place = mark
            self.add(lambda: stream.run(place))

    def __enter__(self):
        LOCAL.streams.append(self)
        return self

    def __exit__(self, *error):
        LOCAL.streams.pop()


class Event:
    """A place in a stream."""

    def __init__(self, disable_timing=False):
        self.mark = None

    def record(self, stream):
        stream.add(lambda: None)
        self.mark = stream, len(stream.work)

    def synchronize(self):
        if self.mark is not None:
            stream, place = self.mark
            stream.run(place)


class OnDevice:
    """An array that streams write and read."""

    def __init__(self, shape, dtype):
        self.shape, self.dtype, self.memory = shape, dtype, np.full(shape, 99, dtype)

    def set(self, host, stream):
        stream.add(lambda: np.copyto(self.memory, host))

    def copy(self):
        new = OnDevice(self.shape, self.dtype)
        LOCAL.streams[-1].add(lambda: np.copyto(new.memory, self.memory))
        return new


class Local(threading.local):
    """Each thread has its current stream."""

    def __init__(self):
        self.streams = [Stream()]


LOCAL = Local()


class Device:
    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


@pytest.fixture(params=[False, True], ids=["late", "hasty"])
def gpu(request, monkeypatch):
    """A backend that looks like CuPy, whose copies happen as late, or as early, as they may."""
    cuda = SimpleNamespace(
        Stream=lambda non_blocking: Stream(hasty=request.param),
        Event=Event,
        get_current_stream=lambda: LOCAL.streams[-1],
    )
    cupy = SimpleNamespace(cuda=cuda, empty=OnDevice, ndarray=type("ndarray", (), {}))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "cupyx", SimpleNamespace(empty_pinned=np.empty))
    monkeypatch.setattr(LOCAL, "streams", [Stream()])
    return Backend("cupy:0", np, Device(), np.float32)


def finished():
    compute = LOCAL.streams[-1]
    compute.run(len(compute.work))


def batch(i, n=3):
    return np.full((n, 2), float(i)), np.full(n, i)


def received_batches(copier, ahead, count=20):
    """The batches that arrive when `ahead` of them are sent before the first is received."""
    received, tickets = [], []
    for i in range(count):
        tickets.append(copier.send(batch(i)))
        if len(tickets) > ahead:
            received.append(copier.receive(tickets.pop(0)))
    received += [copier.receive(ticket) for ticket in tickets]
    finished()
    return [(float(x.memory.max()), int(t.memory.max())) for x, t in received]


def test_each_batch_arrives_as_it_was_sent(gpu):
    """At any time at which the streams work, and after any number of uses of the buffers."""
    for ahead in range(4):
        expected = [(float(i), i) for i in range(20)]
        assert received_batches(CopyStream(gpu, slots=ahead + 2), ahead) == expected


def test_without_its_waits_batches_are_wrong(gpu, monkeypatch):
    """The simulation finds a missing wait."""
    monkeypatch.setattr(Stream, "wait_event", lambda self, event: None)
    monkeypatch.setattr(Event, "synchronize", lambda self: None)
    assert received_batches(CopyStream(gpu, slots=3), 1) != [(float(i), i) for i in range(20)]


def test_dtypes_and_shapes(gpu):
    """Floats come in the backend's dtype, in native byte order; a short batch gets new buffers."""
    copier = CopyStream(gpu, slots=2)
    for n in 3, 3, 1, 3:
        x, t = copier.receive(copier.send((np.ones((n, 2)), np.arange(n, dtype=">i2"))))
        finished()
        assert (x.dtype, t.dtype) == (np.float32, np.int16)
        assert x.memory.tolist() == [[1, 1]] * n
        assert t.memory.tolist() == list(range(n))


def test_a_loader_uses_it(gpu):
    """On that backend, with a thread; the batches are the same as on any other."""
    before, x, t = threading.active_count(), np.arange(60.0).reshape(30, 2), np.arange(30)
    options = {"batch_size": 4, "shuffle": True, "seed": 0}
    expected = [t.tolist() for _, t in DataLoader(x, t, **options)]
    with xpnet.using(gpu):
        batches = list(DataLoader(x, t, prefetch=2, **options))
        finished()
    assert [t.memory.tolist() for _, t in batches] == expected
    assert isinstance(batches[0][0], OnDevice)
    assert threading.active_count() == before


def test_other_backends_have_no_copy_stream(backend):
    if not backend.name.startswith("cupy"):
        assert sender(backend, 2) is None
