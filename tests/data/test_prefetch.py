"""The prefetching thread ends with its items, with its consumer, and with its process."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from xpnet.data._prefetch import prefetched


@pytest.fixture(autouse=True)
def no_thread_is_left():
    """Check that each test has ended the threads that it started."""
    before = set(threading.enumerate())
    yield
    assert not set(threading.enumerate()) - before


def counted(made, n=100):
    for i in range(n):
        made.append(i)
        yield i


@pytest.mark.parametrize("depth", [1, 3, 200])
def test_all_items_are_yielded_in_order(depth):
    assert list(prefetched(counted([]), depth)) == list(range(100))
    assert list(prefetched(iter([]), depth)) == []


def test_the_thread_is_ahead_by_at_most_its_depth():
    """With three items ready and one in use it waits."""
    made = []
    items = prefetched(counted(made), 3)
    assert made == []  # nothing before the first `next`
    next(items)
    deadline = time.monotonic() + 60
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.05)
    assert len(made) == 4
    items.close()


def test_items_are_prepared_in_one_other_thread():
    def names():
        for _ in range(3):
            yield threading.current_thread().name

    assert set(prefetched(names(), 1)) == {"prefetch"}


def test_an_error_is_raised_in_its_turn_with_its_traceback():
    """Earlier items are yielded first."""

    def fails():
        yield from range(3)
        raise KeyError("the fourth")

    seen = []
    with pytest.raises(KeyError, match="the fourth") as caught:
        seen.extend(prefetched(fails(), 10))
    assert seen == [0, 1, 2]
    assert any(entry.name == "fails" for entry in caught.traceback)
    items = prefetched(fails(), 10)
    assert [next(items), next(items), next(items)] == [0, 1, 2]
    with pytest.raises(KeyError):
        next(items)
    with pytest.raises(StopIteration):
        next(items)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError])
def test_other_errors_end_the_thread_too(error):
    def fails():
        yield 1
        raise error

    with pytest.raises(error):
        list(prefetched(fails(), 2))


def test_break_close_and_forgetting_end_the_thread():
    """The generator is closed in the thread."""
    closed = []

    def items():
        try:
            yield from range(10**9)
        finally:
            closed.append(threading.current_thread().name)

    for _ in prefetched(items(), 2):
        break
    assert closed == ["prefetch"]
    kept = prefetched(items(), 2)
    next(kept)
    kept.close()
    kept = prefetched(items(), 2)
    next(kept)
    del kept
    assert len(closed) == 3


def test_garbage_collection_of_the_iterator_ends_the_thread():
    """The iterator may be part of a reference cycle."""
    kept = {"items": prefetched(counted([], 10**9), 2)}
    next(kept["items"])
    kept["self"] = kept
    del kept
    gc.collect()


def test_an_error_of_the_consumer_ends_the_thread():
    with pytest.raises(ZeroDivisionError):
        sum(1 / i for i in prefetched(counted([], 10**9), 2))


def test_an_unused_iterator_does_not_start_a_thread():
    before = threading.active_count()
    items = prefetched(counted([]), 2)
    assert threading.active_count() == before
    del items


def test_an_error_while_closing_is_raised():
    """The error is raised at the end of the items."""

    def items():
        yield 1
        yield 2

    class Closing:
        def __init__(self):
            self.items = items()

        def __iter__(self):
            return self

        def __next__(self):
            return next(self.items)

        def close(self):
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        list(prefetched(Closing(), 2))


def test_depth_must_be_at_least_one():
    with pytest.raises(ValueError, match="depth >= 1, got 0"):
        prefetched(iter([]), 0)


PROGRAM = """
import sys, threading, time
from xpnet.data._prefetch import prefetched
def items():
    i = 0
    while True:
        time.sleep({pause})
        i += 1
        yield i
try:
    for i in prefetched(items(), 2):
        if i == 1:
            print("ready", flush=True)
        {body}
except KeyboardInterrupt:
    print("interrupted", threading.active_count(), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT is sent as on POSIX")
@pytest.mark.parametrize(("pause", "body"), [(0, "time.sleep(10)"), (0.3, "pass")])
def test_ctrl_c_ends_the_thread(pause, body):
    """The consumer may be working, or waiting for the thread."""
    program = PROGRAM.format(pause=pause, body=body)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout.readline() == "ready\n"
        run.send_signal(signal.SIGINT)
        assert run.stdout.readline() == "interrupted 1\n"
        assert run.wait(timeout=30) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_gets_an_error():
    """It has no thread to wait for. In the parent the thread continues, and the child can start one."""
    program = """
import os
from xpnet.data._prefetch import prefetched
from xpnet.errors import DataError
items = prefetched(iter(range(100)), 2)
next(items)
if child := os.fork():
    assert os.waitpid(child, 0)[1] == 0
    assert list(items) == list(range(1, 100))
else:
    try:
        list(items)
        os._exit(1)
    except DataError as error:
        assert "gone, as it is in a forked process" in str(error)
    assert list(prefetched(iter(range(100)), 2)) == list(range(100))
    os._exit(0)
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=True).returncode == 0


def test_a_program_may_end_during_an_epoch():
    """A thread that waits, or prepares an item, does not keep the process alive."""
    program = """
from xpnet.data._prefetch import prefetched
import itertools
kept = prefetched(itertools.count(), 2)
next(kept)
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=True).returncode == 0
