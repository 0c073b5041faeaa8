"""The thread that works ahead: it ends with its work, with its reader, and with its process."""

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
    """After each test there is no thread that it has started; others may have ended meanwhile."""
    before = set(threading.enumerate())
    yield
    assert not set(threading.enumerate()) - before


def counted(made, n=100):
    for i in range(n):
        made.append(i)
        yield i


@pytest.mark.parametrize("depth", [1, 3, 200])
def test_all_items_in_order(depth):
    assert list(prefetched(counted([]), depth)) == list(range(100))
    assert list(prefetched(iter([]), depth)) == []


def test_it_is_ahead_by_its_depth_and_no_more():
    """With three in store and one in use it waits."""
    made = []
    items = prefetched(counted(made), 3)
    assert made == []  # nothing before the first `next`
    next(items)
    deadline = time.monotonic() + 5
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.05)
    assert len(made) == 4
    items.close()


def test_the_work_is_done_in_one_other_thread():
    def names():
        for _ in range(3):
            yield threading.current_thread().name

    assert set(prefetched(names(), 1)) == {"prefetch"}


def test_an_error_comes_in_its_turn_with_its_place():
    """What was made before it is given first."""

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
    """And the generator is closed, in the thread."""
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


def test_a_cycle_that_is_swept_ends_the_thread():
    """However the iterator is forgotten."""
    kept = {"items": prefetched(counted([], 10**9), 2)}
    next(kept["items"])
    kept["self"] = kept
    del kept
    gc.collect()


def test_an_error_of_the_reader_ends_the_thread():
    with pytest.raises(ZeroDivisionError):
        sum(1 / i for i in prefetched(counted([], 10**9), 2))


def test_one_that_is_never_asked_starts_no_thread():
    before = threading.active_count()
    items = prefetched(counted([]), 2)
    assert threading.active_count() == before
    del items


def test_an_error_while_closing_is_raised():
    """One that its end brings is an error as any other."""

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


def test_depth_must_be_one_at_least():
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
def test_ctrl_c_ends_it(pause, body):
    """While the reader works, and while it waits for the thread."""
    program = PROGRAM.format(pause=pause, body=body)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout.readline() == "ready\n"
        run.send_signal(signal.SIGINT)
        assert run.stdout.readline() == "interrupted 1\n"
        assert run.wait(timeout=30) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fork_is_told_that_it_has_no_thread():
    """It would wait for ever; in the parent the thread goes on, and a new one can be begun."""
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
        assert "gone, as in a fork" in str(error)
    assert list(prefetched(iter(range(100)), 2)) == list(range(100))
    os._exit(0)
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=True).returncode == 0


def test_a_program_that_ends_amid_an_epoch_ends():
    """A thread that waits for room, or makes an item, keeps no process alive."""
    program = """
from xpnet.data._prefetch import prefetched
import itertools
kept = prefetched(itertools.count(), 2)
next(kept)
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=True).returncode == 0
