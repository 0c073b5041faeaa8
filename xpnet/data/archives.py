"""NPZ archives: NumPy arrays by name, as `numpy.savez(path, x=x, t=t)` writes them.

The reader trusts no header: it reads the few that NumPy writes, executes nothing (no pickle, no
literal), takes bytes in small pieces, and no more of them than a limit.
"""

import math
import os
import re
import zipfile
import zlib
from collections.abc import Container, Iterable
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.data.idx import take
from xpnet.data.splitting import split
from xpnet.errors import ArgumentError, DataError

Pair = tuple[NDArray[Any], NDArray[Any]]
PathLike = str | os.PathLike[str]

LIMIT = 1 << 34  # bytes that an archive may unpack to: 16 GiB
_HEADER = re.compile(
    r"\{'descr': '([<>|=]?)(\w+)', 'fortran_order': (True|False), 'shape': \(([\d, ]*)\),? ?\}\s*",
    re.ASCII,
)
_DTYPES = {"b1", *(f"{kind}{size}" for kind in "iu" for size in "1248"), "f2", "f4", "f8"}


def load_archive(
    path: PathLike,
    test: float = 0.2,
    seed: int = 0,
    limit: int = LIMIT,
    task: Literal["classify", "regress"] = "classify",
) -> tuple[Pair, Pair]:
    """Load samples and targets for training and test from an NPZ file.

    Parameters
    ----------
    path : str or path-like
        It has arrays x_train, t_train, x_test, t_test; or x and t, which are split. Other names are
        understood as well: X, data, images or features in place of x; y, target, targets, labels or
        label in place of t; the part before as after it (train_images). Other arrays are not read.
    test : float
        The share of x and t that is put aside for the test: see `split`.
    seed : int
        Of the split.
    limit : int
        So many bytes the arrays may have.
    task : {"classify", "regress"}
        Whether targets that are integers of shape (n,) are classes, or numbers as any others.

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : tuple of pairs of ndarray
        As stored: x of shape (n, ...); t of shape (n,) or (n, ...). To classify, t is int64 of shape
        (n,) also where it is stored in another form that says the same: (n, 1), rows with a single 1
        (one-hot), booleans, or floats that are whole.

    Raises
    ------
    DataError
        As `read_npz`; an array is missing; samples and targets are not equally many; a value is NaN
        or infinite; a class is negative, or in the test but not in the training.
    """
    if task not in ("classify", "regress"):
        raise ArgumentError(f"Expected task 'classify' or 'regress', got {task!r}.")
    path = Path(path)
    content = _Content(*_read(path, limit, _UNDERSTOOD))
    both = [_pair(path, content, part, task) for part in ("train", "test")]
    if both[0] and both[1]:
        train, tested = both[0], both[1]
    elif both[0] or both[1]:
        there = "x_train" if both[0] else "x_test"
        raise DataError(f"{path}: it has {there}, but not the other part: {_listed(content.names)}")
    else:
        pair = _pair(path, content, "", task)
        if pair is None:
            raise DataError(
                f"{path}: expected arrays x and t, or x_train, t_train, x_test and t_test; "
                f"found {_listed(content.names)}"
            )
        try:
            grouped = pair[1] if task == "classify" else pair[1].astype(np.float64)
            first, rest = split(grouped, test, seed)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        train, tested = (pair[0][first], pair[1][first]), (pair[0][rest], pair[1][rest])
    if train[0].shape[1:] != tested[0].shape[1:] or train[1].shape[1:] != tested[1].shape[1:]:
        raise DataError(
            f"{path}: samples of shapes {train[0].shape[1:]} and {train[1].shape[1:]} for "
            f"training, but {tested[0].shape[1:]} and {tested[1].shape[1:]} for the test"
        )
    if task == "classify" and train[1].ndim == 1 and train[1].dtype.kind in "iu":
        unseen = np.flatnonzero(~np.isin(tested[1], train[1]))
        if unseen.size:
            raise DataError(
                f"{path}: the test's target {unseen[0]} is the class {tested[1][unseen[0]]}, "
                "which is not among the training's"
            )
    return train, tested


def load_samples(path: PathLike, targets: Literal["classify", "regress"] | None = None) -> Any:
    """Load all samples of an NPZ file, and their targets: of data that nothing is learned from.

    Parameters
    ----------
    path : str or path-like
        It has x, or x_test; and t or y of that kind.
    targets : {"classify", "regress"}, optional
        The task that targets are for. Unless given, they are left aside, and need not be there.

    Returns
    -------
    x, or (x, t)

    Raises
    ------
    DataError
        As `load_archive`.
    """
    path = Path(path)
    content = _Content(*_read(path, LIMIT, _UNDERSTOOD))
    part = next((part for part in ("", "test") if content.find(_SAMPLES, part)), None)
    if part is None:
        what = "an array x" if targets is None else "arrays x and t"
        raise DataError(f"{path}: expected {what}; found {_listed(content.names)}")
    if targets is not None:
        return _pair(path, content, part, targets)
    name = str(content.find(_SAMPLES, part))
    x = content.arrays[name]
    if not x.ndim or not x.size:
        raise DataError(f"{path}: expected one sample or more; found {name} of shape {x.shape}")
    _require_finite(path, name, x)
    return x


# --- samples and targets --------------------------------------------------------------------------

_SAMPLES = ("x", "X", "data", "images", "features")
_TARGETS = ("t", "y", "target", "targets", "labels", "label")


def _names(kinds: Iterable[str], part: str) -> list[str]:
    """What arrays of these kinds may be called, those of the whole or of a part of it."""
    ends = [(f"{kind}_{part}", f"{part}_{kind}") if part else (kind,) for kind in kinds]
    return [name for names in ends for name in names]


_UNDERSTOOD = {
    name for part in ("", "train", "test") for name in _names((*_SAMPLES, *_TARGETS), part)
}


class _Content(NamedTuple):
    """The arrays of an archive that are understood, and the names of all."""

    arrays: dict[str, NDArray[Any]]
    names: list[str]

    def find(self, kinds: Iterable[str], part: str) -> str | None:
        """The name of the first array of these kinds."""
        return next((name for name in _names(kinds, part) if name in self.arrays), None)


def _require_finite(path: Path, name: str, array: NDArray[Any]) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        at = tuple(int(i) for i in np.unravel_index(np.argmin(finite), finite.shape))
        raise DataError(f"{path}: {name}{list(at)} is {array[at]}; expected numbers")


def _pair(path: Path, content: _Content, part: str, task: str) -> Pair | None:
    """x and t of one part, checked; None if neither is there."""
    x_name, t_name = content.find(_SAMPLES, part), content.find(_TARGETS, part)
    if x_name is None and t_name is None:
        return None
    if x_name is None or t_name is None:
        end = f"_{part}" if part else ""
        raise DataError(
            f"{path}: expected x{end} and t{end} (or y{end}); found {_listed(content.names)}"
        )
    x = content.arrays[x_name]
    t = content.arrays[t_name]
    if not x.ndim or not t.ndim or len(x) != len(t) or not x.size or not t.size:
        raise DataError(
            f"{path}: expected as many targets as samples, one or more; found {x_name} of shape "
            f"{x.shape}, {t_name} of shape {t.shape}"
        )
    _require_finite(path, x_name, x)
    _require_finite(path, t_name, t)
    if task == "classify":
        t = _class_numbers(t)
        if t.ndim == 1 and t.dtype.kind == "i" and t.min() < 0:
            row = int(np.argmin(t))
            raise DataError(f"{path}: {t_name}[{row}] is {t[row]}; expected classes, from 0 on")
    return x, t


def _class_numbers(t: NDArray[Any]) -> NDArray[Any]:
    """Classes as int64 of shape (n,), where that is what targets of another form are; else as is."""
    if t.ndim == 2 and t.shape[1] == 1:
        t = t[:, 0]
    if t.ndim == 2 and ((t == 0) | (t == 1)).all() and (np.count_nonzero(t, axis=1) == 1).all():
        numbers: NDArray[Any] = np.argmax(t, axis=1)
        return numbers.astype(np.int64)
    exact = t.dtype.kind in "bi" or (t.dtype.kind == "u" and t.max() < 2**63)
    if t.dtype.kind == "f":
        exact = bool((t == np.floor(t)).all() and (np.abs(t.astype(np.float64)) < 2**53).all())
    return t.astype(np.int64) if t.ndim == 1 and exact else t


def _listed(names: Iterable[str]) -> str:
    some = sorted(names)
    return (", ".join(some[:12]) + (", ..." if len(some) > 12 else "")) or "no array"


def read_npz(path: PathLike, limit: int = LIMIT) -> dict[str, NDArray[Any]]:
    """Read all arrays of an NPZ file.

    Parameters
    ----------
    path : str or path-like
    limit : int
        So many bytes the arrays may have, together; what would have more is an error before it is
        in memory.

    Returns
    -------
    dict of str to ndarray
        C-contiguous, in native byte order: bool, integers, floats of 16 to 64 bits.

    Raises
    ------
    DataError
        The file is missing, unreadable, corrupt, too large or no such archive; or an array is of
        Python objects (a pickle, which could execute anything), of text, or of another type.
        The message names the file and the array.
    """
    return _read(Path(path), limit)[0]


def _read(
    path: Path, limit: int, wanted: Container[str] | None = None
) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """The arrays of an archive, all or those that are wanted, and the names of all."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename.removesuffix(".npy") for info in archive.infolist()]
            return _arrays(path, archive, limit, wanted), names
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; expected an NPZ archive") from None
    except DataError:
        raise
    except zipfile.BadZipFile as error:
        raise DataError(f"{path}: no NPZ archive, cut or corrupt: {error}") from error
    except EOFError:
        raise DataError(f"{path}: cut: its compressed data end too early") from None
    # What zipfile lets through, of forged lengths, versions, flags and names.
    except (OSError, ValueError, RuntimeError, zlib.error, OverflowError, LookupError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: unreadable or corrupt: {reason}") from error
    except MemoryError:
        raise DataError(f"{path}: too large for this machine's memory") from None


def _arrays(
    path: Path, archive: zipfile.ZipFile, limit: int, wanted: Container[str] | None
) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if wanted is not None and name not in wanted:
            continue
        where = f"{path}: {name!r}"
        if name in arrays or name == info.filename:
            raise DataError(f"{where} is there twice, or no .npy array")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(f"{where} is packed in a way that NumPy never uses")
        with archive.open(info) as file:
            arrays[name] = _array(where, file, limit)
        limit -= arrays[name].nbytes
    return arrays


def _array(where: str, file: IO[bytes], limit: int) -> NDArray[Any]:
    """One array in the NPY format: a magic number, the length of a header, the header, the data."""
    start = take(file, 8)
    if len(start) < 8 or start[:6] != b"\x93NUMPY" or start[6] not in (1, 2, 3):
        raise DataError(f"{where}: expected an array in NumPy's format, found {bytes(start)!r}")
    length = int.from_bytes(take(file, 2 if start[6] == 1 else 4), "little")
    if length > 1 << 16:
        raise DataError(f"{where}: a header of {length} bytes; NumPy's are far shorter")
    order, is_fortran, shape = _header(where, bytes(take(file, length)).decode("latin-1"))
    promised = math.prod(shape) * order.itemsize
    says = f"its header says {order.name} {shape}, which is {promised} bytes"
    if promised > limit:
        raise DataError(f"{where}: {says}, more than the limit for the archive allows: {limit}")
    data = take(file, promised)
    if len(data) < promised or file.read(1):  # reading to the end also verifies the checksum
        more = "fewer" if len(data) < promised else "more"
        raise DataError(f"{where}: {says}, but there are {more}")
    array: NDArray[Any]
    if order.kind == "b":  # of any byte that is not 0, and so the byte 1
        array = np.frombuffer(data, np.uint8) != 0
    else:
        array = np.frombuffer(data, order).astype(order.newbyteorder("="), copy=False)
    if is_fortran:
        array = np.ascontiguousarray(array.reshape(shape[::-1]).T)
    return array.reshape(shape)


def _header(where: str, text: str) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    """What the header of an array states: its dtype, whether it is in Fortran's order, its shape."""
    header = _HEADER.fullmatch(text)
    if header is None or header[2] not in _DTYPES:
        raise _unusable(where, text)
    sizes = [size.strip() for size in header[4].split(",") if size.strip()]
    if len(sizes) > 64 or any(len(size) > 18 for size in sizes):
        raise DataError(f"{where}: no array can have the shape ({header[4][:80]})")
    return np.dtype(header[1] + header[2]), header[3] == "True", tuple(map(int, sizes))


def _unusable(where: str, text: str) -> DataError:
    """The error for an array of another kind than numbers."""
    if "'|O'" in text:
        return DataError(
            f"{where} is an array of Python objects, a pickle, which could execute anything: it is not "
            "read. Save numbers, as with x.astype(float)"
        )
    is_text = re.search(r"'descr': '[<>|=]?[US]\d", text)
    hint = ". Texts become numbers with numpy.unique(a, return_inverse=True)" if is_text else ""
    return DataError(f"{where}: expected an array of numbers, found the header {text[:80]!r}{hint}")
