"""A thread that prepares items ahead, and ends when its iterator is closed or garbage-collected."""

import threading
from collections.abc import Generator, Iterator
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

from xpnet.errors import ArgumentError, DataError

T = TypeVar("T")

PATIENCE = 5.0  # seconds that closing waits for the thread, which may be in a slow read


def prefetched(items: Iterator[T], depth: int) -> Generator[T]:
    """The same items, prepared by a thread that is at most `depth` items ahead.

    The thread starts with the first `next`. It ends with the items; or, after its current item, when
    this iterator is closed or garbage-collected (after `break`, an exception, Ctrl-C). An exception
    that `items` raises is raised here, after the items before it. The thread has the context of the caller: the backend of a
    `using` block, `no_grad` and the like.

    Parameters
    ----------
    items : iterator
        Only the thread may use it from now on. If it is a generator, the thread closes it.
    depth : int
        At least 1.

    Notes
    -----
    Python cannot stop a thread from outside. A thread whose source waits forever, perhaps for a
    network, is abandoned after five seconds; as a daemon it does not keep the process alive. A
    forked process has no threads of its parent: an iterator that was started before the fork raises
    a DataError there.

    Examples
    --------
    >>> list(prefetched(iter([1, 2, 3]), depth=2))
    [1, 2, 3]
    """
    if depth < 1:
        raise ArgumentError(f"Expected depth >= 1, got {depth}.")
    return _consumer(items, depth)


class _Entry(NamedTuple):
    """What the thread puts into the queue: an item, or the end, with or without an error."""

    item: Any = None
    error: BaseException | None = None
    last: bool = False


class _Channel:
    """The connection between the two threads: the only object that both of them hold."""

    def __init__(self, depth: int) -> None:
        self.entries: SimpleQueue[_Entry] = SimpleQueue()
        self.room = threading.Semaphore(depth)
        self.closed = False

    def next(self, thread: threading.Thread) -> _Entry:
        """The next entry; an error if the thread that would put it there is gone."""
        while True:
            try:
                return self.entries.get(timeout=1.0)
            except Empty:
                if not thread.is_alive() and self.entries.empty():
                    raise DataError(
                        "Expected the thread that prefetches, but it is gone, as it is in a forked "
                        "process. Start the epoch after the fork."
                    ) from None

    def close(self) -> None:
        """Have the thread end after its current item."""
        self.closed = True
        self.room.release()  # wakes the thread, if it waits for room


def _consumer(items: Iterator[T], depth: int) -> Generator[T]:
    """The generator that `prefetched` returns. It starts the thread at the first `next`."""
    channel = _Channel(depth)
    run = copy_context().run
    thread = threading.Thread(
        target=run, args=(_work, items, channel), name="prefetch", daemon=True
    )
    thread.start()
    del items, run  # from now on only the thread refers to them
    try:
        while not (entry := channel.next(thread)).last:
            channel.room.release()
            yield entry.item
            del entry  # free the memory of this item while the next one is awaited
        if entry.error is not None:
            raise entry.error
    finally:
        channel.close()
        # The garbage collector may close this generator in any thread, even in the one to be joined.
        if thread is not threading.current_thread():
            thread.join(PATIENCE)


def _work(items: Iterator[Any], channel: _Channel) -> None:
    """What the thread does: prepare items while there is room."""
    end = _Entry(last=True)
    try:
        channel.room.acquire()
        while not channel.closed:
            try:
                item = next(items)
            except StopIteration:
                break
            channel.entries.put(_Entry(item))
            del item
            channel.room.acquire()
    except BaseException as error:  # noqa: BLE001 - raised again in the thread of the consumer
        end = _Entry(error=error, last=True)
    finally:
        try:
            if hasattr(items, "close"):
                items.close()
        except BaseException as error:  # noqa: BLE001 - likewise
            end = _Entry(error=error, last=True)
        channel.entries.put(end)
