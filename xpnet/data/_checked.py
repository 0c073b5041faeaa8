"""Files that are checked as they are read: `opened` compares them with a published checksum.

A program that first checks a file and then opens it again may read another one: the file may be
replaced in between. Here the bytes that are hashed are the bytes that are read.
"""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xpnet.errors import DataError

_PIECE = 1 << 18  # bytes that are read at a time: 256 KiB


@contextmanager
def opened(path: Path, checksum: str | None = None) -> Iterator[io.BufferedReader]:
    """Open a file for reading; at the end of the block, check what was read from it.

    Parameters
    ----------
    path : Path
    checksum : str, optional
        The SHA-256 checksum of the whole file, in hexadecimal digits. By default nothing is checked.

    Raises
    ------
    DataError
        The checksum differs. This is raised at the end of the block, unless the block itself raises;
        so use what was read only after the block.
    OSError
        The file cannot be opened or read.
    """
    with path.open("rb") as file:
        if checksum is None:
            yield file
            return
        hashed = _Hashed(file)
        yield io.BufferedReader(hashed, _PIECE)
        while hashed.read(_PIECE):  # hash the rest of the file, which the block has not read
            pass
    if hashed.hash.hexdigest() != checksum:
        raise DataError(
            f"{path}: expected the SHA-256 checksum {checksum} of the published file, got "
            f"{hashed.hash.hexdigest()}. The file is damaged, or is another one. Delete it to fetch it "
            "again, or name a folder with data of your own: data_dir (--data-dir FOLDER)"
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
