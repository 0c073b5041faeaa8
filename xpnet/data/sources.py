"""Sources: where a loader's samples come from, read batch by batch on the host.

    Arrays(tree)                 arrays of any library, memory-mapped files, HDF5 data sets
    stream(samples, batch_size)  samples that an iterator gives, one after another

A tree is an array, or a tuple or dict of trees; a list is an array written out.
"""

import mmap
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

import array_api_compat as compat
import numpy as np
from numpy.typing import NDArray

from xpnet.autodiff import tree as trees
from xpnet.backend import to_numpy
from xpnet.errors import DataError, ShapeError

Tree = Any


class Arrays:
    """Arrays that have one sample in each row, all of them equally many.

    Parameters
    ----------
    tree : array of any library, list, or a tuple or dict of these
        Shapes (n, ...), n at least 1. What lies on a device is brought to the host, once. What is
        memory-mapped, and what only looks like an array (a data set of an HDF5 file: it has `shape`,
        `dtype` and indexing), stays where it is and is read batch by batch.

    Attributes
    ----------
    tree : tree of arrays
    samples : int

    Raises
    ------
    ShapeError
        An array has no samples, or they have not equally many.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = _normal(tree)
        named = list(trees.matched(self.tree, self.tree))
        if not named:
            raise ShapeError("Expected samples, got no array at all.")
        for path, x in named:
            if not x.shape or not x.shape[0]:
                raise ShapeError(
                    f"Expected samples, shape (n, ...) with n >= 1, got shape {tuple(x.shape)}"
                    + (f" at {path}." if path else ".")
                )
        lengths = {path: x.shape[0] for path, x in named}
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{n} at {path}" for path, n in lengths.items())
            raise ShapeError(f"Expected as many targets as samples, got {counts}.")
        self.samples = int(named[0][1].shape[0])
        self._in_file = {id(x) for _, x in named if _in_file(x)}

    def take(self, rows: slice | NDArray[np.int64]) -> Tree:
        """The samples in those rows, as fresh NumPy arrays.

        In a file, rows are read in ascending order, each once: a disk, and HDF5, want it so.
        """
        return trees.map(lambda x: self._rows(x, rows), self.tree)

    def _rows(self, x: Any, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
        if isinstance(rows, slice):
            return np.array(x[rows])
        if id(x) in self._in_file:
            ascending, place = np.unique(rows, return_inverse=True)
            if file := _mapped(x):
                _announce(file, x, ascending)
            return np.take(np.asarray(x[ascending]), place, axis=0)
        return np.take(x, rows, axis=0)


def stream(samples: Iterable[Tree], batch_size: int, last: str) -> Iterator[Tree]:
    """Batches of an iterator's samples, each array stacked along a new first axis.

    Parameters
    ----------
    last : {"keep", "drop", "fill"}
        What becomes of a last batch that is short: it is given so, or not at all, or filled up
        with the first samples of the stream.

    Raises
    ------
    DataError
        Two samples of one batch differ in their structure or shapes; the message says which.
    """
    samples, first, number = iter(samples), None, 0
    while group := [_fresh(sample) for sample in islice(samples, batch_size)]:
        if len(group) < batch_size:
            if last == "drop":
                return
            if last == "fill":
                beginning = first or group
                group += [beginning[i % len(beginning)] for i in range(batch_size - len(group))]
        if first is None and last == "fill":
            first = group
        yield _stacked(group, number)
        number += len(group)


def _stacked(group: list[Tree], number: int) -> Tree:
    """One batch of a list of samples, the first of which is the stream's `number`-th."""
    model = [x.shape for x in trees.leaves(group[0])]
    columns: list[list[Any]] = [[] for _ in model]
    for i, sample in enumerate(group):
        try:
            found = list(trees.matched(group[0], sample))
        except TypeError as error:
            raise DataError(f"Sample {number + i} of the stream: {error}") from None
        for column, (path, x), shape in zip(columns, found, model, strict=True):
            if getattr(x, "shape", None) != shape:
                raise DataError(
                    f"Sample {number + i} of the stream has shape {getattr(x, 'shape', None)}"
                    + (f" at {path}" if path else "")
                    + f", sample {number} has {shape}: they make no batch."
                )
            column.append(x)
    return trees.rebuild(group[0], [np.stack(column) for column in columns])


def whole(batches: Iterable[Tree]) -> Iterator[Tree]:
    """A stream's own batches, on the host; DataError for one without samples."""
    for number, batch in enumerate(map(_fresh, batches)):
        if any(x.shape[:1] == (0,) for x in trees.leaves(batch)):
            raise DataError(f"Batch {number} of the stream has no samples: leave it out.")
        yield batch


def _fresh(tree: Tree) -> Tree:
    """Copies: a generator may fill one array again and again."""
    return trees.map(np.array, _normal(tree))


def _normal(tree: Tree) -> Tree:
    """A tree of host arrays, or of what is read like one."""
    if isinstance(tree, dict):
        return {key: _normal(child) for key, child in tree.items()}
    if isinstance(tree, tuple):
        parts = [_normal(child) for child in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    if tree is None:
        return tree
    try:
        reads = _in_file(tree)
        array = np.asarray(tree[0:1]) if reads else to_numpy(tree)
    except ValueError as error:  # of a list whose rows are not equally long
        raise ShapeError(
            f"Expected an array, got a {type(tree).__name__}: {error} Of samples, (x, t) by (x, t), "
            "give a function that returns an iterator."
        ) from None
    if array.dtype.kind not in "biufc" or (reads and array.shape[1:] != tuple(tree.shape[1:])):
        raise DataError(
            f"Expected arrays of numbers, got a {type(tree).__name__} of {array.dtype}."
        )
    if isinstance(tree, np.ndarray) and np.any(getattr(tree, "mask", False)):
        raise DataError("Expected numbers, got an array that masks some. Give x.filled(0), say.")
    return tree if reads else array


def _in_file(x: Any) -> bool:
    """Whether reading a row of `x` reads a file: it is mapped, or only looks like an array."""
    if isinstance(x, np.ndarray):
        return x.ndim > 0 and _mapped(x) is not None
    like_array = all(hasattr(x, name) for name in ("shape", "dtype", "__getitem__"))
    # A Series of pandas has these too, but counts its rows by labels; it can say its numbers.
    other = compat.is_array_api_obj(x) or any(
        hasattr(x, name) for name in ("__array_namespace__", "to_numpy", "numpy")
    )
    return like_array and not other


def _mapped(x: Any) -> mmap.mmap | None:
    """The map of a file that an array is a part of; None if it is of none."""
    while isinstance(x, np.ndarray):
        x = x.base
    return x if isinstance(x, mmap.mmap) else None


def _announce(file: mmap.mmap, x: NDArray[Any], rows: NDArray[np.int64]) -> None:
    """Tell the system which rows of a mapped file are read next.

    Else each waits for the disk by itself, and for all that is read ahead behind it, which nobody
    wants: up to megabytes.
    """
    row = x[:1]
    if hasattr(file, "madvise") and row.flags.c_contiguous:  # Windows has no such call
        first = x.ctypes.data - np.frombuffer(file, np.uint8).ctypes.data
        starts = first + rows * x.strides[0]
        pages = starts - starts % mmap.PAGESIZE
        sizes = starts - pages + row.nbytes
        with suppress(OSError):  # it is advice
            for page, size in zip(pages.tolist(), sizes.tolist(), strict=True):
                file.madvise(mmap.MADV_WILLNEED, page, size)
