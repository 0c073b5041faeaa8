"""DataLoader: batches of samples on the device, in an order that a seed determines.

>>> import numpy as np
>>> x, t = np.arange(10.0).reshape(5, 2), np.arange(5)
>>> for xb, tb in DataLoader(x, t, batch_size=2, shuffle=True, seed=0):
...     print(xb.shape, tb)
(2, 2) [1 4]
(2, 2) [3 0]
(1, 2) [2]
"""

import math
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from copy import copy
from operator import index, itemgetter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xpnet._libraries.devices import call_on_their_device
from xpnet._printable import counted
from xpnet._typing import Array
from xpnet.autodiff import tree as trees
from xpnet.autodiff.namespace import array_namespace
from xpnet.backend import current
from xpnet.data._block_order import BlockOrder
from xpnet.data._placement import place
from xpnet.data._prefetch import prefetched
from xpnet.data._sources import Arrays, Tree, stream, whole
from xpnet.data.stored import StoredSamples
from xpnet.distributed.base import share_of
from xpnet.errors import ArgumentError, ArgumentTypeError, DataError
from xpnet.random import default_rng

Transform = Callable[[Any, np.random.Generator], Any]
Last = Literal["keep", "drop", "fill"]


class DataLoader:
    """Iterates over data in batches, on the current backend's device, floats in its dtype.

    Everything random depends on (seed, epoch, batch) only: the order of an epoch is drawn from
    `numpy.random.default_rng([seed, epoch])`, the transform of a batch from
    `default_rng([seed, epoch, batch + 1])`, on the host. So the batches are the same on each backend,
    with or without a thread; and a training that knows its epoch and batch resumes exactly where it
    stopped: `loader.epoch(epoch, start=batch)`.

    Parameters
    ----------
    x : array of any library, nested list, or a tuple or dict of these; StoredSamples; or a function
        Arrays have shape (n, ...), n at least 1 and the same for all. A `numpy.memmap`, or a data set
        of an HDF5 file, may be larger than memory: it is read batch by batch, each in ascending
        order. `StoredSamples` are read in blocks, which files that are compressed or far away need. A
        function, such as a generator function, returns a new iterator of samples: it is called once per
        epoch, without arguments.
    t : likewise, optional
        The targets. StoredSamples and the samples of a function include them, (x, t), and take no t.
    batch_size : int or None
        None is for a function whose iterator yields whole batches instead of samples.
    shuffle : bool
        Whether each epoch has a new order: for `StoredSamples`, of their blocks, and of the samples of
        several blocks. A function is then called with the epoch's own `numpy.random.Generator`, and has
        to shuffle.
    seed : int, optional
        At least 0. By default it is drawn once, from the generator of `xpnet.manual_seed`; if there
        is neither an order nor a transform to draw, it is 0 and nothing is drawn.
    last : {"keep", "drop", "fill"}
        What to do with the samples that are left over if n is not a multiple of `batch_size`.
        "keep": they are a short batch. "drop": they are left out in this epoch. "fill": their batch
        is filled up with the first samples of the epoch, which then count twice; so all batches
        have the same shape, for which JAX compiles once.
    transform : function `(x, rng) -> x`, optional
        It is applied to each batch on the host; see `xpnet.data.transforms`. If the batch is a
        tuple, (x, t), it is applied to the first entry. It may change the batch in place.
    prefetch : int
        The number of batches that a thread prepares ahead; with 0 there is no thread. On CuPy the
        thread copies from pinned memory, on a stream of its own.
    resident : bool
        Whether all arrays are copied to the device now, and batches are taken there. This is
        fastest, if the arrays fit. Batches may then be views of them, and must not be written to.

    Attributes
    ----------
    samples : int or None
        The number of samples; None for a function, where it is unknown.
    seed : int

    Raises
    ------
    ShapeError
        There are no samples, or the numbers of samples differ.
    DataError
        With last="drop", a batch is larger than the data, so that no batch would be left; or
        resident data do not fit on the device.

    Examples
    --------
    >>> import xpnet
    >>> import numpy as np
    >>> from xpnet.data import DataLoader
    >>> loader = DataLoader(np.zeros((5, 3)), np.arange(5), batch_size=2, shuffle=True, seed=0)
    >>> [x.shape for x, t in loader]
    [(2, 3), (2, 3), (1, 3)]
    """

    def __init__(
        self,
        x: Any,
        t: Any = None,
        *,
        batch_size: int | None = 100,
        shuffle: bool = False,
        seed: int | None = None,
        last: Last = "keep",
        transform: Transform | None = None,
        prefetch: int = 0,
        resident: bool = False,
    ) -> None:
        if last not in ("keep", "drop", "fill"):
            raise ArgumentError(f"Expected last to be 'keep', 'drop' or 'fill', got {last!r}.")
        if prefetch < 0:
            raise ArgumentError(f"Expected prefetch >= 0, got {prefetch}.")
        self.batch_size = None if batch_size is None else index(batch_size)
        if batch_size is not None and batch_size < 1:
            raise ArgumentError(f"Expected batch_size >= 1, got {batch_size}.")
        self.shuffle = shuffle
        self.last = last
        self.transform = transform
        self.prefetch = index(prefetch)
        self.resident = resident
        if seed is None:
            seed = 0
            if shuffle or transform is not None:
                seed = int(default_rng().integers(2**63))
        elif index(seed) < 0:
            raise ArgumentError(f"Expected seed >= 0, got {seed}.")
        self.seed = index(seed)
        self.samples: int | None = None
        self._rank = 0  # of those ranks that share each batch
        self._ranks = 1
        self._epochs = 0
        self._make: Callable[..., Any] | None = None
        if callable(x):
            self._make = x
            self._require_stream(t)
        elif isinstance(x, StoredSamples) and t is not None:
            raise ArgumentError("Expected no t: StoredSamples(x, t) include their targets.")
        else:
            self._open(x if t is None else (x, t))

    def _require_stream(self, t: Any) -> None:
        """Refuse options that do not suit a function's samples."""
        if t is not None:
            raise ArgumentError(
                "Expected no t: the samples of a function include their targets, (x, t)."
            )
        if self.resident:
            raise ArgumentError("Expected resident=False: a function's samples are not resident.")
        if self.batch_size is None and self.last != "keep":
            raise ArgumentError(
                f"Expected last='keep' for a function that yields batches, got {self.last!r}."
            )

    def _open(self, data: Any) -> None:
        """Take arrays as the data; copy them to the device if they are resident."""
        if hasattr(data, "__next__"):
            raise ArgumentTypeError(
                f"Expected arrays, or a function that returns a new iterator, got a "
                f"{type(data).__name__}, which can be iterated over only once. Give the "
                "function that returns it."
            )
        if self.batch_size is None:
            raise ArgumentError("Expected a batch_size: None is for functions that yield batches.")
        self._data = data if isinstance(data, StoredSamples) else Arrays(data)
        self.samples = self._data.samples
        if self.last == "drop" and self.batch_size > self.samples:
            raise DataError(
                f"A batch of {self.batch_size} is larger than the data, {counted(self.samples, 'sample')}, and "
                "last='drop' would leave no batch. Use a smaller batch_size, or last='keep'."
            )
        if not self.resident:
            return
        if isinstance(self._data, StoredSamples):
            raise ArgumentError("Expected resident=False: StoredSamples stay in their files.")
        if self.transform is not None or self.prefetch:
            raise ArgumentError(
                "Expected no transform and no prefetch: resident data are on the device already."
            )
        backend = current()
        self._home = backend
        self._resident_data = trees.map(lambda x: place(x[:], backend), self._data.tree)

    def __len__(self) -> int:
        """The number of batches per epoch; TypeError for a function, where it is unknown."""
        if self.samples is None or self.batch_size is None:
            raise ArgumentTypeError("A loader of a function's samples has no length.")
        if self.last == "drop":
            return self.samples // self.batch_size
        return math.ceil(self.samples / self.batch_size)

    def __iter__(self) -> Iterator[Tree]:
        """The next epoch: epoch 1 at the first call, then 2, and so on."""
        self._epochs += 1
        return self.epoch(self._epochs)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Tree]:
        """The batches of an epoch from number `start` on, the same as in a whole epoch.

        Parameters
        ----------
        epoch : int
            Counted from 1.
        start : int
            Counted from 0; if it is the number of batches, nothing is yielded. A function's samples
            before `start` are computed and skipped.

        Raises
        ------
        ValueError
            There is no such epoch or batch.
        DataError
            A function's samples end before `start`.
        """
        if index(epoch) < 1 or index(start) < 0:
            raise ArgumentError(f"Expected epoch >= 1 and start >= 0, got {epoch} and {start}.")
        if self.samples is not None and start > len(self):
            raise ArgumentError(
                f"Expected start <= {len(self)}, the number of batches; got {start}."
            )
        backend = current()
        if self.resident:
            return self._resident_batches(epoch, start)
        if self.prefetch:
            from xpnet.data._transfer import sender

            copy_stream = sender(backend, self.prefetch)
            if copy_stream is not None:
                sent = map(copy_stream.send, self._on_host(epoch, start))
                return _received(prefetched(sent, self.prefetch), copy_stream.receive)
        batches = (
            trees.map(lambda x: place(x, backend), batch) for batch in self._on_host(epoch, start)
        )
        if self.prefetch:
            return prefetched(batches, self.prefetch)
        return batches

    def share(self, rank: int, ranks: int) -> "DataLoader":
        """A loader of the same batches, of each of which it has the part of one of several ranks.

        The parts of all ranks, one after the other, are the batch that this loader has: see
        `xpnet.distributed.share_of`. A part may be empty. `samples`, `batch_size`, `seed` and `len`
        are those of the whole, and the data are not copied. A transform draws other numbers on each
        rank.
        """
        loader = copy(self)
        loader._rank = rank  # noqa: SLF001 - its own
        loader._ranks = ranks  # noqa: SLF001
        return loader

    def order(self, epoch: int) -> NDArray[np.int64] | None:
        """The rows of an epoch in the order of its batches; None for the order of the data."""
        if self.samples is None:
            raise ArgumentTypeError("Expected arrays: a function's samples have their own order.")
        if isinstance(self._data, StoredSamples):
            stored = self._stored_order(self._data, epoch)
            return np.concatenate([stored.batch(i).rows for i in range(len(stored))])
        rows = None
        if self.shuffle:
            rows = np.random.default_rng([self.seed, epoch]).permutation(self.samples)
        if self.last == "fill" and self.batch_size is not None:
            rows = np.arange(self.samples) if rows is None else rows
            rows = np.resize(rows, len(self) * self.batch_size)  # resize repeats from the beginning
        return rows

    @property
    def layout(self) -> str | None:
        """What the order of an epoch of StoredSamples depends on besides its seed; None for others."""
        if self._make is None and isinstance(self._data, StoredSamples):
            return self._data.layout
        return None

    def _stored_order(self, data: StoredSamples, epoch: int) -> BlockOrder:
        """The order of an epoch of samples that are read in blocks."""
        seeds = (self.seed, epoch) if self.shuffle else None
        return data.order(self.batch_size or 1, self.last, seeds)

    def rows(self, epoch: int, batch: int) -> NDArray[np.int64] | None:
        """The rows of a batch's samples in the data.

        For a function's samples these are their numbers in the epoch's stream; for a function's
        batches, None.
        """
        if self.samples is None:
            size = self.batch_size
            if size is None:
                return None
            return np.arange(batch * size, (batch + 1) * size)
        if isinstance(self._data, StoredSamples):
            found = self._stored_order(self._data, epoch).batch(batch).rows
            return found[share_of(len(found), self._rank, self._ranks)]
        part = next(self._slices(batch))
        order = self.order(epoch)
        return np.arange(part.start, part.stop) if order is None else order[part]

    def _slices(self, start: int) -> Iterator[slice]:
        """The part of the epoch's order that each batch has, from batch `start` on."""
        size = self.batch_size or 1
        n = self.samples or 0
        end = n if self.last == "keep" else len(self) * size
        wholes = (slice(i * size, min((i + 1) * size, end)) for i in range(start, len(self)))
        return wholes if self._ranks == 1 else map(self._part_of_slice, wholes)

    def _part_of_slice(self, whole: slice) -> slice:
        part = share_of(whole.stop - whole.start, self._rank, self._ranks)
        return slice(whole.start + part.start, whole.start + part.stop)

    def _resident_batches(self, epoch: int, start: int) -> Iterator[Tree]:
        """The batches of an epoch, taken from the data on the device."""
        rows = self.order(epoch)
        if rows is None:
            for part in self._slices(start):
                yield trees.map(itemgetter((part, ...)), self._resident_data)
            return
        for batch in self.rows_on_device(epoch, start):
            yield self.take(batch)

    @property
    def resident_data(self) -> Tree | None:
        """All data on the device; None if they are not resident."""
        return self._resident_data if self.resident else None

    @property
    def in_rows(self) -> bool:
        """Whether batches are rows of the data in any order, and not slices."""
        return self.shuffle or self.last == "fill"

    def rows_on_device(self, epoch: int, start: int = 0) -> Iterator[Array]:
        """The row numbers of each batch of an epoch of resident data, for `take`."""
        order = self._home.asarray(self.order(epoch))  # one copy to the device for the whole epoch
        return (order[part] for part in self._slices(start))

    def take(self, rows: Array) -> Tree:
        """The samples in these rows of resident data."""
        return trees.map(lambda x: self.taken(x, rows), self._resident_data)

    @staticmethod
    def taken(x: Array, rows: Array) -> Array:
        """Rows of an array."""
        return call_on_their_device(array_namespace(rows).take, x, rows, axis=0)

    def _on_host(self, epoch: int, start: int) -> Iterator[Tree]:
        """The batches of an epoch on the host, after the transform."""
        if self._make is None:
            batches = self._read(epoch, start)
        else:
            batches = self._streamed(self._make, epoch, start)
        for number, batch in enumerate(batches, start):
            if self.transform is None:
                yield batch
                continue
            # Not `number` itself: to NumPy, [seed, epoch, 0] is the same seed as [seed, epoch], from
            # which the order is drawn.
            where = [self.seed, epoch, number + 1, self._rank]
            rng = np.random.default_rng(where if self._rank else where[:3])
            if type(batch) is tuple:
                yield (self.transform(batch[0], rng), *batch[1:])
            else:
                yield self.transform(batch, rng)

    def _read(self, epoch: int, start: int) -> Iterator[Tree]:
        """The batches of an epoch of arrays."""
        if isinstance(self._data, StoredSamples):
            order = self._stored_order(self._data, epoch)
            ahead = self.prefetch > 0
            yield from self._data.batches(
                order, start, rank=self._rank, size=self._ranks, ahead=ahead
            )
            return
        rows = self.order(epoch)
        for part in self._slices(start):
            yield self._data.take(part if rows is None else rows[part])

    def _streamed(
        self, make: Callable[..., Iterable[Tree]], epoch: int, start: int
    ) -> Iterator[Tree]:
        """The batches of a function's samples; its generator is closed with this one."""
        if self.shuffle:
            samples = iter(make(np.random.default_rng([self.seed, epoch])))
        else:
            samples = iter(make())
        if self.batch_size is None:
            batches = whole(samples)
        else:
            batches = stream(samples, self.batch_size, self.last)
        try:
            for number in range(start):
                if next(batches, None) is None:
                    raise DataError(
                        f"Expected batch {start} of epoch {epoch}, which has {number} now: the "
                        "function yields fewer samples than before."
                    )
            yield from batches if self._ranks == 1 else map(self._part_of_batch, batches)
        finally:
            if isinstance(samples, Generator):
                samples.close()

    def _part_of_batch(self, batch: Tree) -> Tree:
        part = share_of(len(trees.leaves(batch)[0]), self._rank, self._ranks)
        return trees.map(itemgetter(part), batch)

    def __repr__(self) -> str:
        if self.samples is not None:
            shown = [
                f"{counted(self.samples, 'sample')}, {len(self)} {'batch' if len(self) == 1 else 'batches'} of {self.batch_size}"
            ]
        elif self.batch_size is not None:
            shown = [f"a stream, by {self.batch_size}"]
        else:
            shown = ["a stream"]
        if self.shuffle:
            shown.append("shuffle=True")
        if self.shuffle or self.transform is not None:
            shown.append(f"seed={self.seed}")
        if self.last != "keep":
            shown.append(f"last={self.last!r}")
        if self.transform is not None:
            shown.append(f"transform={self.transform!r}")
        if self.prefetch:
            shown.append(f"prefetch={self.prefetch}")
        if self.resident:
            shown.append("resident=True")
        if self._ranks > 1:
            shown.append(f"rank {self._rank} of {self._ranks}")
        return f"DataLoader({', '.join(shown)})"


def _received(sent: Generator[Any], receive: Callable[[Any], Tree]) -> Iterator[Tree]:
    """The batches that the thread has sent to the device; its generator is closed with this one."""
    with closing(sent):
        for ticket in sent:
            yield receive(ticket)
