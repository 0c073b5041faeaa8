"""StoredSamples: samples that stay in their files, which may be larger than memory.

>>> import numpy as np
>>> from xpnet.data import DataLoader, StoredSamples
>>> x, t = np.arange(20.0).reshape(10, 2), np.arange(10)  # in practice: zarr arrays, memory maps, ...
>>> for xb, tb in DataLoader(StoredSamples(x, t), batch_size=4, shuffle=True, seed=0):
...     print(xb.shape)
(4, 2)
(4, 2)
(2, 2)
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from xpnet._printable import counted
from xpnet.autodiff import tree as trees
from xpnet.data._block_order import OVERHEAD, BlockOrder, Reading, Rows
from xpnet.data._mapped import MappedRows
from xpnet.data._prefetch import prefetched
from xpnet.data._sources import Arrays, Tree, unmasked
from xpnet.errors import ArgumentError, DataError, XpnetError

BUFFER = 1 << 27  # bytes
BLOCK = 1 << 20  # bytes: large enough for a disk, and for Python's overhead to be small


class StoredSamples:
    """Samples in files, which are read in blocks; for `DataLoader`, in place of arrays.

    With `shuffle=True`, the blocks are read in an order that is new in each epoch. As many of them as
    fit into `buffer` are in memory at the same time, and their samples are mixed, so that each batch
    has samples of all of them. The order depends on (seed, epoch) and on the sizes of blocks, buffer and
    batches, and can be resumed at any batch.

    Parameters
    ----------
    x : array, or a tuple or dict of arrays
        Shapes (n, ...), n at least 1 and the same for all. An array is anything that has `shape`, `dtype`
        and slices of consecutive rows: a zarr array, a data set of an HDF5 file, a `numpy.memmap`, or an
        array in memory. `open_samples` opens folders of NumPy files, Parquet and Arrow too.
    t : likewise, optional
        The targets.
    buffer : int
        The bytes of the samples that are mixed, at most. A loader with `prefetch` reads the next ones
        meanwhile, and takes twice as much memory.

    Attributes
    ----------
    samples : int
    edges : int64 array, shape (blocks + 1,)
        The first row of each block, and the number of samples. Blocks are the row groups of a Parquet
        file, the batches of an Arrow file, and about 1 MiB of other files: whole chunks of zarr and HDF5.
        If there are several arrays, they are those of the array with the largest rows.

    Raises
    ------
    ShapeError
        There are no samples, or the numbers of samples differ.
    DataError
        A block is larger than `buffer`.

    Notes
    -----
    What another process writes into a memory-mapped file, a zarr array or an HDF5 file during an epoch is
    read as it is at that time; rows that it appends are not read. The files of `open_samples` other
    than zarr must not change: see there.

    Examples
    --------
    >>> import numpy as np
    >>> from xpnet import to_numpy
    >>> from xpnet.data import DataLoader, StoredSamples
    >>> data = StoredSamples(np.arange(6.0).reshape(3, 2), np.asarray([7, 8, 9]))
    >>> for x, t in DataLoader(data, batch_size=2):
    ...     print(to_numpy(x).tolist(), to_numpy(t).tolist())
    [[0.0, 1.0], [2.0, 3.0]] [7, 8]
    [[4.0, 5.0]] [9]
    """

    def __init__(self, x: Any, t: Any = None, *, buffer: int = BUFFER) -> None:
        self._arrays = Arrays(x if t is None else (x, t))
        self.samples = self._arrays.samples
        leaves = trees.leaves(self._arrays.tree)
        row_bytes = [max(_row_bytes(x), 1) for x in leaves]
        largest = leaves[int(np.argmax(row_bytes))]
        self.edges = _edges(largest, max(row_bytes), block_bytes(buffer))
        self.buffer = buffer
        self._recent: tuple[Any, BlockOrder] | None = None
        self._window = buffer // (sum(row_bytes) + OVERHEAD)
        block = int(np.max(np.diff(self.edges)))
        if block > self._window:
            needed = block * (sum(row_bytes) + OVERHEAD)
            raise DataError(
                f"Expected blocks of at most buffer={buffer} bytes, got one of {counted(block, 'sample')}, for "
                f"which {needed} are needed. Set buffer={needed} or, to mix the samples of several blocks, a multiple "
                "of it; or write the files with smaller chunks or row groups."
            )

    @property
    def layout(self) -> str:
        """What the order of an epoch depends on besides seed, epoch and batch size."""
        blocks = f"{len(self.edges) - 1} blocks ({crc32(self.edges.tobytes()):08x})"
        return f"{blocks}, {self._window} samples at a time"

    def order(
        self, batch_size: int, last: str = "keep", seeds: Sequence[int] | None = None
    ) -> BlockOrder:
        """The order of an epoch; `seeds` are seed and epoch, None for the order of the data."""
        key = (batch_size, last, seeds)
        found = self._recent
        if found is None or found[0] != key:
            found = self._recent = (key, BlockOrder(self.edges, self._window, *key))
        return found[1]

    def batches(
        self,
        order: BlockOrder,
        start: int = 0,
        *,
        rank: int = 0,
        size: int = 1,
        ahead: bool = False,
    ) -> Iterator[Tree]:
        """The batches of an epoch on the host, or a rank's part of each, from number `start` on.

        Parameters
        ----------
        order : BlockOrder
            What `order` returned: the same for all ranks.
        start : int
            Counted from 0.
        rank, size : int
            The batches of all ranks, from 0 to size - 1, one after the other, are the batch of
            size 1. If it has fewer samples than there are ranks, some are empty: shape (0, ...). With
            shuffle=True each rank reads about 1 / size of the blocks.
        ahead : bool
            Whether a thread reads the next blocks meanwhile.
        """
        if not 0 <= rank < size:
            raise ArgumentError(f"Expected 0 <= rank < size, got rank={rank} and size={size}.")
        pools: Any = self._pools(order.plan(start, rank, size))
        if ahead:
            pools = prefetched(pools, 1)
        with closing(pools):
            for pool, batches in pools:
                for places in batches:
                    yield trees.rebuild(self._arrays.tree, pool.take(places).arrays)
                del pool  # its memory is for the next one

    def _pools(self, plan: Iterator[Reading]) -> Iterator[tuple["_Pool", list[Rows]]]:
        """For each window its samples in memory, and the batches that they complete."""
        held = _Pool(np.arange(0), [])
        for reading in plan:
            pool = self._read(reading.rows, held)
            held = pool.take(reading.kept)
            yield pool, reading.batches
            del pool

    def _read(self, rows: Rows, held: "_Pool") -> "_Pool":
        """The samples in these rows: those that are held, and the others, read block by block."""
        named = list(trees.matched(self._arrays.tree, self._arrays.tree))
        arrays = [np.empty((len(rows), *x.shape[1:]), x.dtype) for _, x in named]
        places: Any = np.searchsorted(rows, held.rows)
        for x, kept in zip(arrays, held.arrays, strict=False):  # none at first
            x[places] = kept
        is_missing = np.ones(len(rows), bool)
        is_missing[places] = False
        bounds = np.searchsorted(rows, self.edges)
        for block in np.flatnonzero(np.diff(bounds)):
            start = bounds[block]
            places = start + np.flatnonzero(is_missing[start : bounds[block + 1]])
            if not len(places):
                continue
            wanted = rows[places]
            if len(places) == places[-1] - places[0] + 1:
                places = slice(places[0], places[-1] + 1)  # faster
            for x, reader, (path, _) in zip(arrays, self._arrays.readers, named, strict=True):
                x[places] = _rows(reader, wanted, path)
        return _Pool(rows, arrays)

    def __repr__(self) -> str:
        blocks = counted(len(self.edges) - 1, "block")
        return f"StoredSamples({counted(self.samples, 'sample')} in {blocks}, buffer={self.buffer})"


class _Pool(NamedTuple):
    """Samples in memory."""

    rows: Rows  # ascending
    arrays: list[NDArray[Any]]

    def take(self, places: Rows) -> "_Pool":
        """A copy of the samples in these places."""
        return _Pool(self.rows[places], [np.take(x, places, axis=0) for x in self.arrays])


def _rows(x: Any, rows: Rows, path: str) -> NDArray[Any]:
    """Rows of one block of an array, which are ascending.

    Raises
    ------
    DataError
        They cannot be read.
    """
    first = int(rows[0])
    stop = int(rows[-1]) + 1
    if isinstance(x, MappedRows) and len(rows) < stop - first:
        return x[rows]  # the other rows need not be read
    where = f"rows {first} to {stop - 1} of {_name_of(x, path)}"
    try:
        block = np.asarray(unmasked(x[first:stop]))
    except (XpnetError, MemoryError):
        raise
    except Exception as error:  # each library has its own
        raise DataError(f"Expected to read {where}, got {type(error).__name__}: {error}") from error
    if block.shape != (stop - first, *x.shape[1:]):
        raise DataError(
            f"Expected {where}, got an array of shape {block.shape}: has it become shorter?"
        )
    return block if len(rows) == len(block) else block[rows - first]


def _name_of(x: Any, path: str) -> str:
    """A name for an array in a message: that of its file, if it has one."""
    names = [getattr(x, "store", None), getattr(x, "name", None)]
    found = " ".join(str(name) for name in names if name)
    return found or f"the {type(x).__name__}{path}"


def _row_bytes(x: Any) -> int:
    """The bytes of a row of an array."""
    return int(np.prod(x.shape[1:], dtype=np.int64)) * int(x.dtype.itemsize)


def block_bytes(buffer: int) -> int:
    """The bytes of a block, at most, where the file does not decide it: many fit into the buffer."""
    return min(BLOCK, buffer // 16)


def _edges(x: Any, row_bytes: int, block: int) -> Rows:
    """The first row of each block of an array, and the number of rows."""
    if hasattr(x, "edges"):
        return np.unique(x.edges)  # a part may be empty
    chunks = getattr(x, "chunks", None)
    rows = int(chunks[0]) if chunks else 1
    rows *= max(block // (rows * row_bytes), 1)
    return np.append(np.arange(0, x.shape[0], rows), x.shape[0])
