"""Prefetch: a thread that works ahead, and is gone when nobody asks any more."""

import threading
from collections.abc import Generator, Iterator
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

from xpnet.errors import ArgumentError, DataError

T = TypeVar("T")

PATIENCE = 5.0  # seconds that closing waits for the thread, which may be amid a slow read


def prefetched(items: Iterator[T], depth: int) -> Generator[T]:
    """The same items, made by a thread that is at most `depth` of them ahead.

    The thread starts with the first `next`. It ends with the items, or when this iterator is closed
    or forgotten (`break`, an exception, Ctrl-C), after the item that it is making. What `items`
    raises is raised here, in its turn. The thread sees the context of the caller: the backend
    of a `using` block, `no_grad` and the like.

    Parameters
    ----------
    items : iterator
        Only the thread touches it from now on; if it is a generator, the thread closes it.
    depth : int
        At least 1.

    Notes
    -----
    Python cannot stop a thread from outside. One whose source waits for ever (for a network, say)
    is given up after five seconds: a daemon, it does not keep the process alive. A fork has none of
    its parent's threads: there, an iterator that was begun before ends with a RuntimeError.

    Examples
    --------
    >>> list(prefetched(iter([1, 2, 3]), depth=2))
    [1, 2, 3]
    """
    if depth < 1:
        raise ArgumentError(f"Expected depth >= 1, got {depth}.")
    return _consumer(items, depth)


class _Made(NamedTuple):
    """What the thread hands over: an item, or the end, with an error or without."""

    item: Any = None
    error: BaseException | None = None
    last: bool = False


class _Line:
    """Between the two threads. Neither holds the other's frame, so that each can be forgotten."""

    def __init__(self, depth: int) -> None:
        self.made: SimpleQueue[_Made] = SimpleQueue()
        self.room = threading.Semaphore(depth)
        self.closed = False

    def next(self, thread: threading.Thread) -> _Made:
        while True:
            try:
                return self.made.get(timeout=1.0)
            except Empty:
                if not thread.is_alive() and self.made.empty():
                    raise DataError(
                        "The thread that works ahead is gone, as in a fork. Begin the epoch there."
                    ) from None

    def close(self) -> None:
        self.closed = True
        self.room.release()  # wakes the thread, if it waits for room


def _consumer(items: Iterator[T], depth: int) -> Generator[T]:
    line = _Line(depth)
    run = copy_context().run
    thread = threading.Thread(target=run, args=(_work, items, line), name="prefetch", daemon=True)
    thread.start()
    del items, run
    try:
        while not (made := line.next(thread)).last:
            line.room.release()
            yield made.item
            del made  # a batch that is done with is not kept while the next one is awaited
        if made.error is not None:
            raise made.error
    finally:
        line.close()
        # The garbage collector may find this generator anywhere, even in that thread.
        if thread is not threading.current_thread():
            thread.join(PATIENCE)


def _work(items: Iterator[Any], line: _Line) -> None:
    """The thread: make items while there is room."""
    end = _Made(last=True)
    try:
        line.room.acquire()
        while not line.closed:
            try:
                item = next(items)
            except StopIteration:
                break
            line.made.put(_Made(item))
            del item
            line.room.acquire()
    except BaseException as error:  # noqa: BLE001 - raised where the items are asked for
        end = _Made(error=error, last=True)
    finally:
        try:
            if hasattr(items, "close"):
                items.close()
        except BaseException as error:  # noqa: BLE001 - likewise
            end = _Made(error=error, last=True)
        line.made.put(end)
