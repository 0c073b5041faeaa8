"""Rows of memory-mapped files: they are copied, and the pages that hold them are released.

A page that was read counts as memory of the process until the system needs it for something else. So
an epoch would take as much memory as the file has bytes, though each is needed only once, and the
limit of a job or of a container may end the process.
"""

import mmap
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.errors import DataError

AROUND = 1 << 16  # bytes: Linux maps as many around a byte that is read, if it has them in memory
MOST = 1 << 26  # bytes that stay mapped


class MappedRows:
    """The rows of an array that is a view of a memory-mapped file.

    Parameters
    ----------
    x : NumPy array, shape (n, ...)
    file : mmap.mmap
        The map: `mapped(x)`.

    Notes
    -----
    Pages are released only if the file is mapped for reading: in mode "c" of `numpy.memmap`, a page
    may have changes that are nowhere else.

    What another process writes into the file is read as it is at that time. A file that has become
    shorter is an error; without the check the system would end this process.
    """

    def __init__(self, x: NDArray[Any], file: mmap.mmap) -> None:
        self.x = x
        self.shape = x.shape
        self.file = file
        self._size = _size_of(file)
        inner = zip(x.shape[1:], x.strides[1:], strict=True)
        # The bytes of the file from the first number of a row to its last.
        self._row = x.itemsize + sum(max(n - 1, 0) * abs(stride) for n, stride in inner)
        self._releases = memoryview(file).readonly and hasattr(mmap, "MADV_DONTNEED")
        self._mapped = 0  # bytes, at most, since the pages were released

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
        """A copy of consecutive rows, or of rows in ascending order."""
        self._require_size()
        if isinstance(rows, slice):
            view = self.x[rows]
            return self._copied(view.__getitem__, len(view), max(self._row, abs(self.x.strides[0])))
        _announce(self.file, self.x, rows)
        return self._copied(lambda part: self.x[rows[part]], len(rows), self._row + AROUND)

    def _copied(
        self, piece: Callable[[slice], NDArray[Any]], count: int, per_row: int
    ) -> NDArray[Any]:
        """A copy of `count` rows, each of which maps `per_row` bytes, in pieces that map few of them."""
        found = np.empty((count, *self.x.shape[1:]), self.x.dtype)
        step = max(MOST // per_row, 1)
        for start in range(0, count, step):
            part = slice(start, min(start + step, count))
            found[part] = piece(part)
            self._release_after((part.stop - start) * per_row)
        return found

    def _release_after(self, mapped: int) -> None:
        """Note that so many bytes were mapped, and release all pages if there are many."""
        self._mapped += mapped
        if self._releases and self._mapped >= MOST:
            self._mapped = 0
            with suppress(OSError):  # the system may ignore the advice
                self.file.madvise(mmap.MADV_DONTNEED)

    def __reduce__(self) -> tuple[Any, ...]:
        return reader, (self.x,)  # a map cannot be copied; the copy of a mapped array is in memory

    def _require_size(self) -> None:
        size = _size_of(self.file)
        if size < self._size:
            raise DataError(
                f"{getattr(self.x, 'filename', 'The mapped file')}: expected {self._size} bytes, as when "
                f"it was mapped, got {size}. Write changed data into a new file, and rename it when it "
                "is complete."
            )


def reader(x: Any) -> Any:
    """What reads the rows of an array: `x` itself, unless it is memory-mapped."""
    file = mapped(x)
    return x if file is None else MappedRows(x, file)


def mapped(x: Any) -> mmap.mmap | None:
    """The memory map that an array is a view of, or None."""
    while isinstance(x, np.ndarray):
        x = x.base
    return x if isinstance(x, mmap.mmap) else None


def _size_of(file: mmap.mmap) -> int:
    """The present size of a mapped file in bytes; 0 if memory without a file is mapped."""
    try:
        return file.size()
    except OSError:
        return 0


def _announce(file: mmap.mmap, x: NDArray[Any], rows: NDArray[np.int64]) -> None:
    """Announce to the system which rows of a mapped file are read next.

    Otherwise each row waits for the disk in turn, and for the megabytes behind it that the system
    reads ahead in vain.
    """
    row = x[:1]
    if hasattr(file, "madvise") and row.flags.c_contiguous:  # Windows has no such call
        first = x.ctypes.data - np.frombuffer(file, np.uint8).ctypes.data
        starts = first + rows * x.strides[0]
        pages = starts - starts % mmap.PAGESIZE
        sizes = starts - pages + row.nbytes
        with suppress(OSError):  # the system may ignore the advice
            for page, size in zip(pages.tolist(), sizes.tolist(), strict=True):
                file.madvise(mmap.MADV_WILLNEED, page, size)
