"""Files that are checked as they are read: `opened` gives only what has the published checksum.

Whoever checks a file and then reads it may read another one: it was replaced in between, or a second
file beside it has the name that the reader prefers. Here the bytes that are hashed are those that were
read.
"""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xpnet.errors import DataError

_PIECE = 1 << 18  # bytes


@contextmanager
def opened(path: Path, checksum: str | None = None) -> Iterator[io.BufferedReader]:
    """Open a file for reading; at the end of the block, check what was read from it.

    Parameters
    ----------
    path : Path
    checksum : str, optional
        The SHA-256 checksum of the whole file, in hexadecimal digits. None: nothing is checked.

    Raises
    ------
    DataError
        The checksum is another. It is raised at the end of a block that raised nothing: nothing that
        was read may leave the block before.
    OSError
        The file cannot be opened or read.
    """
    with path.open("rb") as file:
        if checksum is None:
            yield file
            return
        hashed = _Hashed(file)
        yield io.BufferedReader(hashed, _PIECE)
        while hashed.read(_PIECE):  # what the reader left, and what its buffer did
            pass
    if hashed.hash.hexdigest() != checksum:
        raise DataError(
            f"{path}: its SHA-256 checksum is {hashed.hash.hexdigest()}, but that of the published file "
            f"is {checksum}. It is damaged, or another file. Delete it, and it is fetched again; data of "
            "your own are read from a folder that you name: data_dir (--data-dir FOLDER)"
        )


class _Hashed(io.RawIOBase):
    """A file that hashes what is read from it."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self.hash = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._file.readinto(buffer)
        self.hash.update(memoryview(buffer)[:size])
        return size
