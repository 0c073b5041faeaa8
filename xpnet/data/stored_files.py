"""open_samples: samples in zarr stores, and in NumPy, Parquet and Arrow files, which stay there.

The functions `load_...` read files into memory. This one opens files of any size, from which a
`DataLoader` reads a part at a time.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from xpnet._typing import PathLike
from xpnet.data._messages import listed
from xpnet.data._parts import NpyFiles, require_numbers
from xpnet.data.stored import BUFFER, StoredSamples, block_bytes
from xpnet.errors import ArgumentError, DataError, MissingPackageError

Names: TypeAlias = Any  # a name, or a list, tuple or dict of names
Opener: TypeAlias = Callable[[Any], Any]  # from a name, a list of names or None to an array

_KINDS = {".parquet": "Parquet", ".arrow": "Arrow", ".feather": "Arrow", ".npy": "NumPy"}
_HDF5 = (".h5", ".hdf5", ".he5", ".nc", ".nc4")


def open_samples(
    path: PathLike, x: Names = None, t: Names = None, *, buffer: int = BUFFER
) -> StoredSamples:
    """Open samples in files, which may be larger than memory, for a `DataLoader`.

        train = open_samples("train.zarr", x="images", t="labels")
        sales = open_samples("sales/", x=["price", "stock"], t="sold")
        loader = DataLoader(train, batch_size=256, shuffle=True, prefetch=2)

    Parameters
    ----------
    path : path
        One of these:

        - a zarr store (`pip install "xpnet[zarr]"`): a group of arrays, or an array;
        - a Parquet or Arrow file, or a folder of such files (`pip install "xpnet[arrow]"`), ending in
          .parquet, .arrow or .feather. The rows of several files follow each other in the order of
          their paths;
        - a .npy file; or a folder in which the array `x` is the file x.npy or the folder x of .npy
          files, whose rows follow each other in the order of their names.
    x : str, optional
        The name of the array or column with the samples. A list of names is for tables: several columns
        of numbers, side by side, shape (n, columns). For models of several inputs: a tuple or dict of
        these. By default, the array at `path` itself.
    t : likewise, optional
        The targets. By default, there are none.
    buffer : int
        As for `StoredSamples`.

    Raises
    ------
    MissingPackageError
        zarr or pyarrow is not installed; the message has the command that installs it.
    DataError
        A file is missing, damaged, or does not fit the others; there is no such array or column; it
        does not consist of numbers; or a block is larger than `buffer`. When it is read: it has a null,
        or the file was changed since it was opened.
    ShapeError
        The numbers of samples and targets differ.

    Notes
    -----
    Files other than zarr must not change while they are open. A file that another process changes,
    appends to or truncates raises a DataError with its name when it is read next. zarr has no mark of a
    change: what is written is read as it is at that time, and a chunk that is missing consists of the
    array's fill value.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from xpnet import to_numpy
    >>> from xpnet.data import DataLoader, open_samples
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(pathlib.Path(folder, "images.npy"), np.arange(6.0).reshape(3, 2))
    ...     np.save(pathlib.Path(folder, "labels.npy"), np.asarray([0, 1, 0]))
    ...     data = open_samples(folder, x="images", t="labels")
    ...     labels = [to_numpy(t).tolist() for x, t in DataLoader(data, batch_size=2)]
    >>> data.samples, labels
    (3, [[0, 1], [0]])
    """
    opener = _opener(Path(path), block_bytes(buffer))
    samples = _arrays(opener, x)
    targets = None if t is None else _arrays(opener, t)
    return StoredSamples(samples, targets, buffer=buffer)


def _arrays(opener: Opener, names: Names) -> Any:
    """The arrays of these names: a tuple or dict of them, as of the names."""
    if isinstance(names, tuple):
        return tuple(_arrays(opener, name) for name in names)
    if isinstance(names, dict):
        return {key: _arrays(opener, name) for key, name in names.items()}
    return opener(names)


def _opener(path: Path, block: int) -> Opener:
    """What opens the arrays at a path by their names; .npy files in blocks of so many bytes."""
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder.")
    marks = ("zarr.json", ".zgroup", ".zarray")
    if path.suffix == ".zarr" or any((path / mark).exists() for mark in marks):
        return _zarr_opener(path)
    if path.suffix in _HDF5:
        raise DataError(
            f"{path}: HDF5 and NetCDF files are opened by h5py or netCDF4, whose arrays go to StoredSamples: "
            "f = h5py.File(path), StoredSamples(f['x'], f['t'])."
        )
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    kinds = {_KINDS[file.suffix] for file in files if file.suffix in _KINDS}
    if len(kinds) > 1:
        raise DataError(
            f"{path}: expected files of one kind, got {' and '.join(sorted(kinds))} files. Give the path of a "
            "single file, or move the others into a folder of their own."
        )
    if kinds & {"Parquet", "Arrow"}:
        return _table_opener([file for file in files if file.suffix in _KINDS])
    return _npy_opener(path, block)


def _table_opener(files: list[Path]) -> Opener:
    """What opens columns of tables."""
    from xpnet.data._arrow_files import TableColumns

    def open_columns(names: Any) -> TableColumns:
        if not names:
            raise ArgumentError(
                f"{files[0]}: expected the names of columns, x='...', got {names!r}."
            )
        return TableColumns(files, names)

    return open_columns


def _zarr_opener(path: Path) -> Opener:
    """What opens arrays of a zarr store."""
    try:
        import zarr
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f'{path}: zarr stores need zarr: pip install "xpnet[zarr]"', name=error.name
        ) from error
    try:
        store: Any = zarr.open(path, mode="r")
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: expected a zarr store, got {error}.") from error

    def open_array(name: Any) -> Any:
        found = store
        if name is not None:
            _require_one_name(path, name)
            found = store.get(name) if isinstance(store, zarr.Group) else None
        if isinstance(found, zarr.Array):
            require_numbers(found.dtype, f"{path}: the array {found.name!r}")
            return found
        arrays = [key for key, _ in store.arrays()] if isinstance(store, zarr.Group) else []
        raise DataError(f"{path}: expected an array {name!r}, got {listed(arrays)}.")

    return open_array


def _npy_opener(path: Path, block: int) -> Opener:
    """What opens .npy files, or folders of them."""

    def open_files(name: Any) -> NpyFiles:
        found = path
        if name is not None:
            _require_one_name(path, name)
            found = path / name
            if not found.exists():
                found = path / f"{name}.npy"
        files = [found]
        if found.is_dir():
            files = sorted(found.glob("*.npy"))
        if not files or not found.exists():
            raise DataError(
                f"{found}: expected a .npy file or a folder of such files, a zarr store, or Parquet or Arrow files."
            )
        return NpyFiles(files, block)

    return open_files


def _require_one_name(path: Path, name: Any) -> None:
    if not isinstance(name, str):
        raise ArgumentError(
            f"{path}: expected the name of one array, got {name!r}. Several inputs are a tuple of names; a "
            "list is for columns of Parquet and Arrow files."
        )
