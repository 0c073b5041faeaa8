"""NPZ archives: NumPy arrays by name, as `numpy.savez(path, x=x, t=t)` writes them.

An archive may come from anybody, so `numpy.load` does not read it: that allocates what a header
promises before it has seen the data. Here NumPy parses the header, pickles are refused, and bytes
are read in small pieces, up to a limit.
"""

import io
import math
import sys
import zipfile
import zlib
from collections.abc import Container, Iterable
from pathlib import Path
from typing import IO, Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from xpnet._typing import PathLike
from xpnet.data._messages import listed
from xpnet.data._typing import Pair, Task
from xpnet.data.idx import take
from xpnet.data.splitting import split
from xpnet.errors import ArgumentError, DataError

LIMIT = 1 << 34  # bytes that the arrays of an archive may take: 16 GiB
_MAX_NDIM = 64  # of NumPy's arrays
_HEADER = 1 << 12  # bytes that a header may have: a page, to which some writers align the elements
_START = _HEADER + 12  # bytes: with the magic string, the version and the header's length


def load_archive(
    path: PathLike,
    test: float = 0.2,
    seed: int = 0,
    limit: int = LIMIT,
    task: Task = "classify",
) -> tuple[Pair, Pair]:
    """Load samples and targets for training and test from an NPZ file.

    Parameters
    ----------
    path : str or path-like
        The file has arrays x_train, t_train, x_test, t_test; or x and t, which are split. Other
        names are accepted too: X, data, images or features instead of x; y, target, targets, labels
        or label instead of t; and the part may come first (train_images). Other arrays are not read.
    test : float
        The fraction of x and t that is held out for the test: see `split`.
    seed : int
        The seed of the split.
    limit : int
        The maximum number of bytes that the arrays may take.
    task : {"classify", "regress"}
        Whether integer targets of shape (n,) are classes, or numbers like any others.

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : tuple of pairs of ndarray
        As stored: x of shape (n, ...), t of shape (n,) or (n, ...). For classification, t becomes
        int64 of shape (n,) where it is stored in another form with the same meaning: shape (n, 1),
        one-hot rows, booleans, or floats that are whole numbers.

    Raises
    ------
    DataError
        As `read_npz`; an array is missing; the numbers of samples and targets differ; a value is
        NaN or infinite; a class is negative, or occurs in the test but not in the training.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from xpnet.data import load_archive
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "samples.npz")
    ...     np.savez(path, x=np.ones((10, 3)), t=np.arange(10) % 2)
    ...     (x_train, t_train), (x_test, t_test) = load_archive(path, test=0.2)
    >>> x_train.shape, x_test.shape, sorted(t_test.tolist())
    ((8, 3), (2, 3), [0, 1])
    """
    train, tested, _ = load_archive_with_rows(path, test, seed, limit, task)
    return train, tested


def load_archive_with_rows(
    path: PathLike, test: float, seed: int, limit: int = LIMIT, task: Task = "classify"
) -> tuple[Pair, Pair, NDArray[np.int64]]:
    """As `load_archive`, with the row of each test sample in x; or in x_test, if the file has that."""
    if task not in ("classify", "regress"):
        raise ArgumentError(f"Expected task 'classify' or 'regress', got {task!r}.")
    path = Path(path)
    content = _Content(*_read(path, limit, _UNDERSTOOD))
    train = _pair(path, content, "train", task)
    tested = _pair(path, content, "test", task)
    if train is None and tested is None:
        train, tested, rows = _split_pair(path, content, test, seed, task)
    elif train is None or tested is None:
        present = "x_test" if train is None else "x_train"
        raise DataError(
            f"{path}: it has {present}, but not the other part: {_sorted(content.names)}"
        )
    else:
        rows = np.arange(len(tested[0]))
    _require_same_shapes(path, train, tested)
    if task == "classify":
        _require_known_classes(path, train[1], tested[1])
    return train, tested, rows


@overload
def load_samples(path: PathLike, targets: Task) -> Pair: ...


@overload
def load_samples(path: PathLike, targets: None = None) -> NDArray[Any]: ...


def load_samples(path: PathLike, targets: Task | None = None) -> NDArray[Any] | Pair:
    """Load all samples of an NPZ file, and perhaps their targets, to predict or to evaluate.

    Parameters
    ----------
    path : str or path-like
        The file has x, or x_test; and t or y likewise.
    targets : {"classify", "regress"}, optional
        The task that the targets are for. By default targets are not read, and may be missing.

    Returns
    -------
    x or (x, t) : ndarray, or tuple of two

    Raises
    ------
    DataError
        As `load_archive`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from xpnet.data import load_samples
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "samples.npz")
    ...     np.savez(path, x=np.ones((2, 3)), t=np.asarray([[1.0], [0.0]]))
    ...     x, t = load_samples(path, "classify")
    >>> x.shape, t.tolist()  # whole numbers are classes
    ((2, 3), [1, 0])
    """
    path = Path(path)
    content = _Content(*_read(path, LIMIT, _UNDERSTOOD))
    for part in ("", "test"):
        name = content.find(_SAMPLES, part)
        if name is not None:
            break
    else:
        expected = "an array x" if targets is None else "arrays x and t"
        raise DataError(f"{path}: expected {expected}; found {_sorted(content.names)}")
    if targets is not None:
        return _required_pair(path, content, part, targets)
    x = content.arrays[name]
    if x.ndim == 0 or x.size == 0:
        raise DataError(f"{path}: expected one sample or more; found {name} of shape {x.shape}")
    _require_finite(path, name, x)
    return x


# --- samples and targets --------------------------------------------------------------------------

_SAMPLES = ("x", "X", "data", "images", "features")
_TARGETS = ("t", "y", "target", "targets", "labels", "label")


def _names(kinds: Iterable[str], part: str) -> list[str]:
    """The names that arrays of these kinds may have, for the whole data set or a part of it."""
    if not part:
        return list(kinds)
    return [name for kind in kinds for name in (f"{kind}_{part}", f"{part}_{kind}")]


_UNDERSTOOD = {
    name for part in ("", "train", "test") for name in _names((*_SAMPLES, *_TARGETS), part)
}


class _Content(NamedTuple):
    """The arrays of an archive whose names are understood, and the names of all."""

    arrays: dict[str, NDArray[Any]]
    names: list[str]

    def find(self, kinds: Iterable[str], part: str) -> str | None:
        """The name of the first array of these kinds."""
        return next((name for name in _names(kinds, part) if name in self.arrays), None)


def _pair(path: Path, content: _Content, part: str, task: Task) -> Pair | None:
    """The samples and targets of one part, checked; None if it has neither."""
    if content.find(_SAMPLES, part) is None and content.find(_TARGETS, part) is None:
        return None
    return _required_pair(path, content, part, task)


def _required_pair(path: Path, content: _Content, part: str, task: Task) -> Pair:
    """The samples and targets of one part, checked; an error if one is missing."""
    x_name = content.find(_SAMPLES, part)
    t_name = content.find(_TARGETS, part)
    if x_name is None or t_name is None:
        end = f"_{part}" if part else ""
        raise DataError(
            f"{path}: expected x{end} and t{end} (or y{end}); found {_sorted(content.names)}"
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


def _split_pair(
    path: Path, content: _Content, test: float, seed: int, task: Task
) -> tuple[Pair, Pair, NDArray[np.int64]]:
    """The arrays x and t, split into training and test, and the rows of the test."""
    pair = _pair(path, content, "", task)
    if pair is None:
        raise DataError(
            f"{path}: expected arrays x and t, or x_train, t_train, x_test and t_test; "
            f"found {_sorted(content.names)}"
        )
    x, t = pair
    # `split` takes integers to be classes, and splits each class by itself.
    grouped = t if task == "classify" else t.astype(np.float64)
    try:
        train_rows, test_rows = split(grouped, test, seed)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    return (x[train_rows], t[train_rows]), (x[test_rows], t[test_rows]), test_rows


def _require_finite(path: Path, name: str, array: NDArray[Any]) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        place = tuple(int(i) for i in np.unravel_index(np.argmin(finite), finite.shape))
        raise DataError(f"{path}: {name}{list(place)} is {array[place]}; expected numbers")


def _require_same_shapes(path: Path, train: Pair, tested: Pair) -> None:
    x_shape, t_shape = (array.shape[1:] for array in train)
    x_tested, t_tested = (array.shape[1:] for array in tested)
    if x_shape != x_tested or t_shape != t_tested:
        raise DataError(
            f"{path}: samples of shapes {x_shape} and {t_shape} for training, but {x_tested} and "
            f"{t_tested} for the test"
        )


def _require_known_classes(path: Path, t: NDArray[Any], tested: NDArray[Any]) -> None:
    """Refuse a class that occurs in the test only, if the targets are class numbers."""
    if t.ndim != 1 or t.dtype.kind not in "iu":
        return
    unseen = np.flatnonzero(~np.isin(tested, t))
    if unseen.size:
        raise DataError(
            f"{path}: the test's target {unseen[0]} is the class {tested[unseen[0]]}, "
            "which is not among the training's"
        )


def _class_numbers(t: NDArray[Any]) -> NDArray[Any]:
    """Targets as class numbers, int64 of shape (n,), if they are classes; else unchanged."""
    if t.ndim == 2 and t.shape[1] == 1:
        t = t[:, 0]
    if t.ndim == 2 and _is_one_hot(t):
        numbers: NDArray[Any] = np.argmax(t, axis=1)
        return numbers.astype(np.int64)
    if t.ndim == 1 and _fits_int64(t):
        return t.astype(np.int64)
    return t


def _is_one_hot(t: NDArray[Any]) -> bool:
    is_binary = bool(((t == 0) | (t == 1)).all())
    return is_binary and bool((np.count_nonzero(t, axis=1) == 1).all())


def _fits_int64(t: NDArray[Any]) -> bool:
    """Whether all values are whole numbers that int64 holds exactly."""
    if t.dtype.kind == "u":
        return bool(t.max() < 2**63)
    if t.dtype.kind == "f":  # from 2**53 on, float64 no longer holds every whole number
        is_whole = bool((t == np.floor(t)).all())
        return is_whole and bool((np.abs(t.astype(np.float64)) < 2**53).all())
    return t.dtype.kind in "bi"


def _sorted(names: Iterable[str]) -> str:
    return listed(sorted(names))


# --- the file -------------------------------------------------------------------------------------


def read_npz(path: PathLike, limit: int = LIMIT) -> dict[str, NDArray[Any]]:
    """Read all arrays of an NPZ file.

    Parameters
    ----------
    path : str or path-like
    limit : int
        The maximum number of bytes that the arrays may take together. The error is raised before
        more than that is in memory.

    Returns
    -------
    dict of str to ndarray
        C-contiguous and in native byte order, of booleans, integers, or floats of 16 to 64 bits.

    Raises
    ------
    DataError
        The file is missing, unreadable, corrupt, too large or not an NPZ archive; or an array holds
        Python objects (a pickle, which could execute anything), text, or another type. The message
        names the file and the array.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from xpnet.data import read_npz
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "weights.npz")
    ...     np.savez(path, weight=np.asarray([[1.0, 2.0]]), bias=np.asarray([0.5]))
    ...     arrays = read_npz(path)
    >>> {name: x.tolist() for name, x in arrays.items()}
    {'weight': [[1.0, 2.0]], 'bias': [0.5]}
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
        raise DataError(f"{path}: not an NPZ archive, truncated or corrupt: {error}") from error
    except EOFError:
        raise DataError(f"{path}: truncated: its compressed data end too early") from None
    # What zipfile and NumPy raise for forged lengths, versions, flags, names and shapes.
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
        if name in arrays:
            raise DataError(f"{where} occurs twice")
        if name == info.filename:
            raise DataError(f"{where} is not a .npy array")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(f"{where} is compressed in a way that NumPy never uses")
        with archive.open(info) as file:
            arrays[name] = _array(where, file, limit)
        limit -= arrays[name].nbytes
    return arrays


def _array(where: str, file: IO[bytes], limit: int) -> NDArray[Any]:
    """One array in NumPy's format: a header, then the elements."""
    start = io.BytesIO(take(file, _START))
    dtype, is_fortran, shape = _header(where, start)
    promised = math.prod(shape) * dtype.itemsize
    header = f"its header promises {dtype.name} {shape}, which is {promised} bytes"
    if promised > limit:
        raise DataError(f"{where}: {header}, more than the limit for the archive allows: {limit}")
    data = take(file, promised, start.read())
    if len(data) < promised:
        raise DataError(f"{where}: {header}, but there are fewer")
    # Reading to the end also makes zipfile verify the checksum.
    if len(data) > promised or file.read(1):
        raise DataError(f"{where}: {header}, but there are more")
    array: NDArray[Any]
    if dtype.kind == "b":  # a forged byte may be neither 0 nor 1, which NumPy's booleans must be
        array = np.frombuffer(data, np.uint8) != 0
    else:
        array = np.frombuffer(data, dtype).astype(dtype.newbyteorder("="), copy=False)
    if is_fortran:
        array = np.ascontiguousarray(array.reshape(shape[::-1]).T)
    return array.reshape(shape)


def _header(where: str, start: IO[bytes]) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    """The dtype, whether the order is Fortran's, and the shape; `start` is then at the elements."""
    try:
        shape, is_fortran, dtype = _parsed(start)
    except Exception as error:  # a forged header fails in many ways within NumPy and ast
        raise DataError(f"{where}: expected an array in NumPy's format: {error}") from error
    if dtype.hasobject:
        raise DataError(
            f"{where} is an array of Python objects, a pickle, which could execute anything, and is "
            "not read. Save numbers, as with x.astype(float)"
        )
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        hint = ""
        if dtype.kind in "US":
            hint = ". Text becomes numbers with numpy.unique(a, return_inverse=True)"
        raise DataError(f"{where}: expected an array of numbers, found {dtype}{hint}")
    # NumPy's parser lets any integers pass.
    if len(shape) > _MAX_NDIM or any(not 0 <= size <= sys.maxsize for size in shape):
        raise DataError(f"{where}: no array can have the shape {str(shape)[:80]}")
    return dtype, is_fortran, tuple(map(int, shape))


def _parsed(start: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """What NumPy finds in the header."""
    major, _ = np.lib.format.read_magic(start)
    if major == 1:
        return np.lib.format.read_array_header_1_0(start, _HEADER)
    if major in (2, 3):  # they differ in the names of fields only, which numbers do not have
        return np.lib.format.read_array_header_2_0(start, _HEADER)
    raise ArgumentError(f"version {major}, expected 1, 2 or 3")
