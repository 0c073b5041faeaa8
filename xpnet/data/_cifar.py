"""CIFAR-10 in its binary version: records of one label and 3 x 32 x 32 colour levels.

    byte 0    1 ...                                                3073
    label     1024 of red, row by row;  1024 of green;  1024 of blue

Five files of 10,000 records are for training, and one is for the test. The archive is read as a
stream and never unpacked to disk, so paths and links in it have no effect. The version that
consists of Python pickles is not read, because a pickle may execute anything.
"""

import tarfile
import zlib
from collections.abc import Iterator
from gzip import GzipFile
from pathlib import Path
from typing import Any

import numpy as np

from xpnet.data._checked import opened
from xpnet.data._typing import Pair
from xpnet.errors import DataError

ARCHIVE = "cifar-10-binary.tar.gz"
FOLDER = "cifar-10-batches-bin"
TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST = "test_batch.bin"
RECORD = 1 + 3 * 32 * 32
MOST = 10_000 * RECORD  # bytes that one file may have
_PIECE = 1 << 18  # bytes that are read at a time: 256 KiB


def load_cifar_folder(folder: Path) -> tuple[Pair, Pair]:
    """Read CIFAR-10 from a folder that has its archive, or the files of the archive.

    Returns
    -------
    (train_images, train_labels), (test_images, test_labels) : tuple of pairs of ndarray
        Images uint8 (N, 3, 32, 32), labels uint8 (N,).

    Raises
    ------
    DataError
        A file is missing, truncated, corrupt or too long, or a label is above 9. The message names
        the file.
    """
    for place in (folder, folder / FOLDER):
        if (place / TEST).is_file():
            files = [place / name for name in (*TRAIN, TEST)]
            *train, test = [_batch(_content(path), path) for path in files]
            return _joined(train), test
    if not (folder / ARCHIVE).is_file():
        raise _missing(folder)
    return load_cifar_archive(folder / ARCHIVE)


def load_cifar_archive(path: Path, checksum: str | None = None) -> tuple[Pair, Pair]:
    """Read CIFAR-10 from its archive.

    Parameters
    ----------
    path : Path
    checksum : str, optional
        The SHA-256 checksum of the archive.

    Returns
    -------
    (train_images, train_labels), (test_images, test_labels) : tuple of pairs of ndarray
        As `load_cifar_folder` returns them.

    Raises
    ------
    DataError
        As `load_cifar_folder`; or the checksum differs.
    """
    found = {name: _batch(data, f"{path}: {name}") for name, data in _unpacked(path, checksum)}
    missing = [name for name in (*TRAIN, TEST) if name not in found]
    if missing:
        raise DataError(f"{path}: truncated, or another archive: it has no {', '.join(missing)}")
    *train, test = [found[name] for name in (*TRAIN, TEST)]
    return _joined(train), test


def _joined(parts: list[Pair]) -> Pair:
    """The images and labels of several files, in their order."""
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _missing(folder: Path) -> DataError:
    """The error for a folder without the archive or its files."""
    hint = ""
    for name in ("cifar-10-python.tar.gz", "cifar-10-batches-py"):
        if (folder / name).exists():
            hint = f" {name} holds pickles, which could execute anything."
            break
    return DataError(f"{folder}: expected {ARCHIVE}, or the files {TRAIN[0]} to {TEST}.{hint}")


def _content(path: Path) -> bytes:
    """The content of a file; one byte more than it may have shows that it is too long."""
    try:
        with path.open("rb") as file:
            return file.read(MOST + 1)
    except OSError as error:
        raise DataError(f"{path}: unreadable: {error.strerror}") from error


def _batch(data: bytes, where: object) -> Pair:
    """The images and labels of one file."""
    if not data or len(data) % RECORD or len(data) > MOST:
        more = " or more" if len(data) > MOST else ""
        raise DataError(
            f"{where}: expected 1 to 10000 records of {RECORD} bytes, found {len(data)} bytes{more}"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
    labels = records[:, 0].copy()
    wrong = np.flatnonzero(labels > 9)
    if wrong.size:
        raise DataError(
            f"{where}: record {wrong[0]} has the label {labels[wrong[0]]}; expected 0 to 9"
        )
    return records[:, 1:].reshape(-1, 3, 32, 32).copy(), labels


def _unpacked(path: Path, checksum: str | None) -> Iterator[tuple[str, bytes]]:
    """The name and the content of each of the six files in the archive."""
    seen: set[str] = set()
    try:
        with opened(path, checksum) as file:
            stream: Any = _Bounded(GzipFile(fileobj=file))
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                for member in archive:
                    place, _, name = member.name.rpartition("/")
                    if place != FOLDER or name not in (*TRAIN, TEST):
                        continue
                    if name in seen:
                        raise DataError(f"{path}: it has {name} twice")
                    seen.add(name)
                    yield name, _member(path, archive, member)
            while stream.read(_PIECE):  # at the end of the stream, gzip verifies its checksum
                pass
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: truncated, corrupt or not an archive: {error}") from error


def _member(path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """The content of one file in the archive."""
    is_plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
    if not is_plain or member.size > MOST:
        raise DataError(f"{path}: {member.name} is not a plain file, or is too long")
    content = archive.extractfile(member)
    data = b"" if content is None else content.read()
    if len(data) != member.size:
        raise DataError(f"{path}: truncated within {member.name}")
    return data


class _Bounded:
    """A stream that raises an error once it has returned more bytes than CIFAR-10 can have."""

    def __init__(self, stream: GzipFile) -> None:
        self._stream = stream
        self._left = 7 * MOST  # bytes: six files, and ample room for the headers of tar

    def read(self, size: int) -> bytes:
        data = self._stream.read(min(size, _PIECE))
        self._left -= len(data)
        if self._left < 0:
            raise OSError("it unpacks to far more than CIFAR-10")
        return data
