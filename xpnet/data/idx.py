"""The IDX format, in which MNIST and its relatives are published.

An IDX file is one array: a short header, then the elements in C order, all big-endian.

    bytes   0      1      2      3      4 ...                 4 + 4 ndim ...
            0      0      code   ndim   ndim sizes, uint32    the elements

The reader does not trust headers. It reads small pieces and stores only what has arrived, so a file
that promises terabytes takes no more memory than it contains.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from io import BufferedReader
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from xpnet._printable import counted
from xpnet._typing import PathLike
from xpnet.data._checked import opened
from xpnet.errors import DataError

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"
_XZ_MAGIC = b"\xfd7zXZ\0"
_MAX_NDIM = 64  # NumPy's own limit
_PIECE = 1 << 18  # bytes that are read at a time
_XZ_MEMORY = 1 << 28  # `xz -9` needs a quarter of it; a forged header may ask for 4 GiB


def read_idx(path: PathLike, checksum: str | None = None) -> NDArray[Any]:
    """Read the array in an IDX file, plain or compressed with gzip or xz.

    The compression is recognised by the first bytes of the file, not by its name, because some
    browsers decompress a file and keep its name.

    Parameters
    ----------
    path : str or path-like
        The file.
    checksum : str, optional
        The SHA-256 checksum of the file as it is stored.

    Returns
    -------
    ndarray
        Writable, C-contiguous, in native byte order, of the shape in the header. Its dtype is
        uint8, int8, int16, int32, float32 or float64.

    Raises
    ------
    DataError
        The file is missing, unreadable, corrupt, not IDX, shorter or longer than its header
        promises, or has another checksum. The message names the file, what was expected and what
        was found.

    Examples
    --------
    >>> from importlib.resources import files
    >>> read_idx(files("xpnet.data") / "mnist" / "train-labels-idx1-ubyte.xz")[:5]
    array([5, 0, 4, 1, 9], dtype=uint8)
    """
    path = Path(path)
    try:
        with opened(path, checksum) as file:
            return _parse(_unpacked(file), path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; expected an IDX file") from None
    except EOFError:
        raise DataError(
            f"{path}: truncated: its compressed stream ends too early; fetch or copy the file again"
        ) from None
    except (OSError, zlib.error) as error:  # gzip's BadGzipFile is an OSError
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: unreadable or corrupt: {reason}") from error
    except MemoryError:
        raise DataError(f"{path}: too large for this machine's memory") from None


def _parse(source: _Source, path: Path) -> NDArray[Any]:
    """The array in a stream, which must end with it."""
    dtype, shape = _header(source, path)
    promised = math.prod(shape) * dtype.itemsize
    header = f"its header promises {dtype.name} {shape}, which is {promised} bytes of data"
    data = take(source, promised)
    if len(data) < promised:
        raise DataError(f"{path}: truncated: {header}, but only {len(data)} are there")
    if source.read(1):  # reading to the end also makes gzip and xz verify their checksums
        raise DataError(f"{path}: trailing bytes: {header}, but more bytes follow")
    try:
        array = np.frombuffer(data, dtype).reshape(shape)
    except ValueError as error:  # no elements, and sizes whose product NumPy cannot represent
        raise DataError(f"{path}: {header}, which NumPy rejects: {error}") from None
    return array.astype(dtype.newbyteorder("="), copy=False)


def _header(source: _Source, path: Path) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """The dtype and the shape; `source` is then at the elements."""
    magic = take(source, 4)
    if len(magic) < 4:
        raise DataError(
            f"{path}: truncated: expected an IDX header, found {counted(len(magic), 'byte')} in all"
        )
    if magic[:2] != b"\0\0":
        raise DataError(
            f"{path}: wrong magic number: expected two zero bytes at the beginning of an IDX file, "
            f"got {bytes(magic)!r}"
        )
    code, ndim = magic[2:]
    if code not in _DTYPES:
        known = ", ".join(f"{code:02x}" for code in _DTYPES)
        raise DataError(f"{path}: unknown IDX type code {code:02x}; expected one of {known}")
    if ndim > _MAX_NDIM:
        raise DataError(f"{path}: {ndim} dimensions; NumPy's arrays have {_MAX_NDIM} at most")
    sizes = take(source, 4 * ndim)
    if len(sizes) < 4 * ndim:
        raise DataError(
            f"{path}: truncated: {ndim} dimensions need {4 * ndim} bytes of sizes, found {len(sizes)}"
        )
    return np.dtype(_DTYPES[code]), struct.unpack(f">{ndim}I", sizes)


class _Source(Protocol):
    """A stream of bytes: `read` returns at most `size`, and b"" only at the end."""

    def read(self, size: int, /) -> bytes: ...


def take(source: _Source, size: int, first: bytes = b"") -> bytearray:
    """`first`, which was read before, and then bytes of `source`: `size` bytes together.

    There are fewer if `source` ends earlier. The memory grows with what has arrived, however large
    `size` is.
    """
    data = bytearray(first)
    while len(data) < size:
        piece = source.read(min(size - len(data), _PIECE))
        if not piece:
            break
        data += piece
    return data


def _unpacked(file: BufferedReader) -> _Source:
    """The content of a file, decompressed if it is compressed."""
    start = file.peek(len(_XZ_MAGIC))
    if start.startswith(_GZIP_MAGIC):
        return gzip.GzipFile(fileobj=file)
    if start.startswith(_XZ_MAGIC):
        return _XzFile(file)
    return file


class _XzFile:
    """A stream like `lzma.LZMAFile` that limits the memory and rejects garbage after the data."""

    def __init__(self, file: BufferedReader) -> None:
        try:
            import lzma  # not at the top: a Python that was built without liblzma lacks it
        except ImportError:
            raise OSError("this Python was built without lzma, which .xz files need") from None
        self._lzma = lzma
        self._file = file
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY)

    def read(self, size: int, /) -> bytes:
        data = b""
        while not data:
            packed = b""
            if self._decoder.eof:
                packed = self._next_stream()
                if not packed:
                    return b""
                self._decoder = self._lzma.LZMADecompressor(self._lzma.FORMAT_XZ, _XZ_MEMORY)
            elif self._decoder.needs_input:
                packed = self._file.read(_PIECE)
                if not packed:
                    raise EOFError
            try:
                data = self._decoder.decompress(packed, size)
            except self._lzma.LZMAError as error:
                raise OSError(str(error)) from error
        return data

    def _next_stream(self) -> bytes:
        """The beginning of the next xz stream, after zero padding; b"" at the end of the file."""
        packed = self._decoder.unused_data.lstrip(b"\0")
        while not packed:
            piece = self._file.read(_PIECE)
            if not piece:
                return b""
            packed = piece.lstrip(b"\0")
        if not _XZ_MAGIC.startswith(packed[: len(_XZ_MAGIC)]):
            raise OSError("garbage after the compressed stream")
        return packed
