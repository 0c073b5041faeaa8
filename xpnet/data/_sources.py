"""The sources of a loader's samples, read batch by batch on the host.

    Arrays(tree)                 arrays of any library, memory-mapped files, HDF5 data sets
    stream(samples, batch_size)  samples from an iterator
    whole(batches)               batches from an iterator

A tree is an array, or a tuple or dict of trees. Nested lists of numbers count as arrays.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeAlias

import array_api_compat as compat
import numpy as np
from numpy.typing import NDArray

from xpnet.autodiff import tree as trees
from xpnet.backend import to_numpy
from xpnet.data._mapped import MappedRows, mapped, reader
from xpnet.errors import DataError, ShapeError

Tree: TypeAlias = Any


class Arrays:
    """Arrays with a sample in each row, and the same number of rows.

    Parameters
    ----------
    tree : array of any library, list, or a tuple or dict of these
        Shapes (n, ...), n at least 1. An array on a device is copied to the host, once. A
        memory-mapped array, or an object that only looks like an array (a data set of an HDF5 file
        has `shape`, `dtype` and indexing), stays in its file and is read batch by batch.

    Attributes
    ----------
    tree : tree of arrays
    samples : int

    Raises
    ------
    ShapeError
        An array has no samples, or the numbers of samples differ.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = _normal(tree)
        named = list(trees.matched(self.tree, self.tree))
        if not named:
            raise ShapeError("Expected samples, got no array.")
        for path, x in named:
            if not x.shape or not x.shape[0]:
                place = f" at {path}" if path else ""
                raise ShapeError(
                    f"Expected samples, shape (n, ...) with n >= 1, got shape {tuple(x.shape)}{place}."
                )
        lengths = {path: x.shape[0] for path, x in named}
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{n} at {path}" for path, n in lengths.items())
            raise ShapeError(f"Expected as many targets as samples, got {counts}.")
        self.samples = int(named[0][1].shape[0])
        self.readers = [reader(x) for _, x in named]

    def take(self, rows: slice | NDArray[np.int64]) -> Tree:
        """The samples in these rows, as NumPy arrays of their own.

        Rows in a file are read in ascending order, each once: HDF5 requires this, and disks are
        faster that way.
        """
        return trees.rebuild(self.tree, [_taken(x, rows) for x in self.readers])


def _taken(x: Any, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
    """Copies of the rows of a reader."""
    if isinstance(x, np.ndarray) and not isinstance(rows, slice):
        return np.take(x, rows, axis=0)
    if isinstance(rows, slice):
        return x[rows] if isinstance(x, MappedRows) else np.array(unmasked(x[rows]))
    ascending, place = np.unique(rows, return_inverse=True)
    return np.take(np.asarray(unmasked(x[ascending])), place, axis=0)


def unmasked(part: Any) -> Any:
    """A part that was read of a file, as netCDF4 returns it: a masked array.

    Raises
    ------
    DataError
        Some of its numbers are masked.
    """
    if np.any(getattr(part, "mask", False)):
        raise DataError(
            f"Expected numbers, got a masked array, with {np.count_nonzero(part.mask)} of {part.size} "
            "masked. Read the numbers under the mask, by the set_auto_mask(False) of a netCDF4 variable, and "
            "replace them; or store the data with numbers in their place."
        )
    return part


def stream(samples: Iterable[Tree], batch_size: int, last: str) -> Iterator[Tree]:
    """Batches of an iterator's samples, stacked along a new first axis.

    Parameters
    ----------
    last : {"keep", "drop", "fill"}
        A short last batch is yielded as it is, or left out, or filled up with the first samples of
        the stream.

    Raises
    ------
    DataError
        Two samples of one batch differ in their structure or shapes; the message names them.
    """
    samples = iter(samples)
    first = None
    number = 0
    while group := [_copied(sample) for sample in islice(samples, batch_size)]:
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
    """The batch of several samples; for an error, the first has this number in the stream."""
    model = [x.shape for x in trees.leaves(group[0])]
    columns: list[list[Any]] = [[] for _ in model]
    for i, sample in enumerate(group):
        try:
            found = list(trees.matched(group[0], sample))
        except TypeError as error:
            raise DataError(f"Sample {number + i} of the stream: {error}") from None
        for column, (path, x), shape in zip(columns, found, model, strict=True):
            found_shape = getattr(x, "shape", None)
            if found_shape != shape:
                place = f" at {path}" if path else ""
                raise DataError(
                    f"Sample {number + i} of the stream has shape {found_shape}{place}, but sample "
                    f"{number} has {shape}: they cannot be stacked into a batch."
                )
            column.append(x)
    return trees.rebuild(group[0], [np.stack(column) for column in columns])


def whole(batches: Iterable[Tree]) -> Iterator[Tree]:
    """The batches of an iterator, as NumPy arrays on the host.

    Raises
    ------
    DataError
        A batch has no samples.
    """
    for number, batch in enumerate(map(_copied, batches)):
        if any(x.shape[:1] == (0,) for x in trees.leaves(batch)):
            raise DataError(f"Batch {number} of the stream has no samples: leave it out.")
        yield batch


def _copied(tree: Tree) -> Tree:
    """A copy of a sample: a generator may overwrite the array that it yielded."""
    return trees.map(np.array, _normal(tree))


def _normal(tree: Tree) -> Tree:
    """The same tree with arrays on the host; objects that read from a file stay as they are."""
    if isinstance(tree, dict):
        return {key: _normal(child) for key, child in tree.items()}
    if isinstance(tree, tuple):
        parts = [_normal(child) for child in tree]
        if hasattr(tree, "_fields"):  # a named tuple takes its parts one by one
            return type(tree)(*parts)
        return tuple(parts)
    if tree is None:
        return tree
    if isinstance(tree, np.ndarray) and np.any(getattr(tree, "mask", False)):
        raise DataError("Expected numbers, got a masked array. Fill it first: x.filled(0).")
    try:
        reads = _in_file(tree)
        array = np.asarray(tree[0:1]) if reads else to_numpy(tree)
    except ValueError as error:  # a list whose rows have different lengths
        raise ShapeError(
            f"Expected an array, got a {type(tree).__name__}: {error} For samples one by one, "
            "(x, t), give a function that returns an iterator."
        ) from None
    if array.dtype.kind not in "biufc" or (reads and array.shape[1:] != tuple(tree.shape[1:])):
        raise DataError(
            f"Expected arrays of numbers, got a {type(tree).__name__} of {array.dtype}."
        )
    return tree if reads else array


def _in_file(x: Any) -> bool:
    """Whether `x` reads its rows from a file: it is memory-mapped, or only looks like an array."""
    if isinstance(x, np.ndarray):
        return x.ndim > 0 and mapped(x) is not None
    like_array = all(hasattr(x, name) for name in ("shape", "dtype", "__getitem__"))
    # A pandas Series has these attributes too, but finds rows by label; it converts itself to NumPy.
    other = compat.is_array_api_obj(x) or any(
        hasattr(x, name) for name in ("__array_namespace__", "to_numpy", "numpy")
    )
    return like_array and not other
