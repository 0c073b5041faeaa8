"""Arrays whose rows are in several parts of files, of which each is read when it is asked for.

Parts       the base class
NpyFiles    NumPy's .npy files, one after the other
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from xpnet._typing import DType
from xpnet.errors import DataError, MissingMethodError


class Parts:
    """An array that is read in parts; what `xpnet.data.StoredSamples` needs of an array.

    Parameters
    ----------
    sizes : sequence of int
        The number of rows of each part.
    shape : tuple of int
        That of a row.
    dtype : data type
    name : str
        For messages.

    Attributes
    ----------
    edges : int64 array, shape (parts + 1,)
        The first row of each part, and the number of all rows.
    """

    def __init__(
        self, sizes: Sequence[int], shape: tuple[int, ...], dtype: DTypeLike, name: str
    ) -> None:
        self.edges = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self.shape = (int(self.edges[-1]), *shape)
        self.dtype = np.dtype(dtype)
        self.name = name

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """A copy of consecutive rows."""
        start, stop, _ = rows.indices(self.shape[0])
        pieces = [np.empty((0, *self.shape[1:]), self.dtype)]
        part = int(np.searchsorted(self.edges, start, side="right")) - 1
        while start < stop:
            first, end = self.edges[part : part + 2].tolist()
            pieces.append(self.read(part, start - first, min(stop, end) - first))
            start = end
            part += 1
        return pieces[1] if len(pieces) == 2 else np.concatenate(pieces)

    def read(self, part: int, start: int, stop: int) -> NDArray[Any]:
        """Rows of a part."""
        raise MissingMethodError(f"{type(self).__name__} has no method read.")


class KnownFile(NamedTuple):
    """A file as it was when it was opened: what was learned then holds only while it does not change."""

    path: Path
    size: int  # bytes
    written: int  # when, in ns

    @classmethod
    def now(cls, path: Path) -> "KnownFile":
        """The file as it is now; a DataError if it is not there."""
        try:
            found = path.stat()
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}.") from error
        return cls(path, found.st_size, found.st_mtime_ns)

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """A block that reads the file; a DataError if it is changed before its end.

        A change is also the reason for any other error within the block.
        """
        self._require_unchanged()
        try:
            yield
        finally:
            self._require_unchanged()

    def _require_unchanged(self) -> None:
        found = KnownFile.now(self.path)
        if found != self:
            raise DataError(
                f"{self.path} was changed after it was opened: it had {self.size} bytes, and now has "
                f"{found.size}, written later. Open the samples again when the file is complete."
            )


class NpyFiles(Parts):
    """The arrays of several .npy files, one after the other.

    Parameters
    ----------
    paths : sequence of Path
    block : int
        The bytes of a part, at most; at least one row.

    Raises
    ------
    DataError
        A file is not NumPy's, or truncated, or its rows have another shape or dtype than those of the
        first one; the message names it.

    Notes
    -----
    The files are read, not mapped into memory: a file that is truncated meanwhile is an error, where a
    map would end the process, and what was read does not count as memory of the process.
    """

    def __init__(self, paths: Sequence[Path], block: int) -> None:
        self._parts: list[tuple[KnownFile, int]] = []  # each with the place of its first byte
        sizes: list[int] = []
        first = None
        for path in paths:
            file = KnownFile.now(path)
            x = _mapped_npy(path)
            if first is None:
                first = x
            if x.dtype != first.dtype or x.shape[1:] != first.shape[1:]:
                raise DataError(
                    f"{path}: expected rows of shape {first.shape[1:]} and {first.dtype}, as in "
                    f"{paths[0].name}, got {x.shape[1:]} and {x.dtype}."
                )
            row = x.dtype.itemsize * int(np.prod(x.shape[1:], dtype=np.int64))
            step = max(block // max(row, 1), 1)
            for start in range(0, len(x), step):
                self._parts.append((file, x.offset + start * row))
                sizes.append(min(step, len(x) - start))
        if first is None:
            raise DataError("Expected .npy files, got none.")
        super().__init__(sizes, first.shape[1:], first.dtype, str(paths[0].parent))

    def read(self, part: int, start: int, stop: int) -> NDArray[Any]:
        known, place = self._parts[part]
        shape = (stop - start, *self.shape[1:])
        numbers = int(np.prod(shape[1:], dtype=np.int64))
        place += start * numbers * self.dtype.itemsize
        with known.unchanged():
            found = np.fromfile(known.path, self.dtype, numbers * shape[0], offset=place)
        return found.reshape(shape)


def require_numbers(dtype: DType, where: str) -> None:
    """Refuse strings, dates and other data that are not numbers; `where` is part of the message."""
    if dtype.kind not in "biufc":
        raise DataError(
            f"{where}: expected numbers, got {dtype}. Encode the values as numbers first, for example by "
            "numpy.unique(x, return_inverse=True)."
        )


def _mapped_npy(path: Path) -> Any:
    """The array of a .npy file, mapped into memory and not read, to learn its shape and its place."""
    try:
        x = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: expected an array in NumPy's format, got: {error}") from error
    if not isinstance(x, np.memmap) or x.ndim == 0 or not x.flags.c_contiguous:
        raise DataError(
            f"{path}: expected one array, shape (n, ...), whose rows are stored one after the other, got "
            f"a {type(x).__name__}: save numpy.ascontiguousarray(x) as a .npy file."
        )
    require_numbers(x.dtype, str(path))
    return x
