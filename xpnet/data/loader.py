"""DataLoader: samples in, batches out, on the device; in an order that a seed tells.

>>> import numpy as np
>>> x, t = np.arange(10.0).reshape(5, 2), np.arange(5)
>>> for xb, tb in DataLoader(x, t, batch_size=2, shuffle=True, seed=0):
...     print(xb.shape, tb)
(2, 2) [1 4]
(2, 2) [3 0]
(1, 2) [2]
"""

import math
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from operator import index
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xpnet._libraries.devices import there
from xpnet.autodiff import tree as trees
from xpnet.autodiff.namespace import array_namespace
from xpnet.backend import current
from xpnet.data._placement import place
from xpnet.data.prefetch import prefetched
from xpnet.data.sources import Arrays, Tree, stream, whole
from xpnet.errors import ArgumentError, ArgumentTypeError, DataError
from xpnet.random import default_rng

Transform = Callable[[Any, np.random.Generator], Any]
Last = Literal["keep", "drop", "fill"]


class DataLoader:
    """Gives data in batches, on the current backend's device, floats in its dtype.

    Everything random is a function of (seed, epoch, batch) alone: the order of an epoch is drawn
    from `numpy.random.default_rng([seed, epoch])`, the transform of a batch from
    `default_rng([seed, epoch, batch + 1])`, on the host. So each backend sees the same
    batches, with or without a thread; and a training that knows its epoch and batch goes on exactly
    where it stood: `loader.epoch(epoch, start=batch)`.

    Parameters
    ----------
    x : array of any library, nested list, or a tuple or dict of these; or a function
        Arrays have shape (n, ...), n at least 1 and the same for all. `numpy.memmap`s, and data sets
        of HDF5 files, may be larger than memory: they are read batch by batch, each in ascending
        order. A function returns a fresh iterator of samples (say, a generator function): it is
        called once an epoch, without arguments.
    t : likewise, optional
        The targets; none for a function, whose samples are (x, t) already.
    batch_size : int or None
        None, for a function alone: it gives whole batches, not samples.
    shuffle : bool
        A new order each epoch. A function is then called with a `numpy.random.Generator`, the
        epoch's own, and shuffles itself.
    seed : int, optional
        At least 0. By default it is drawn, once, from the generator of `xpnet.manual_seed`; or is
        0, and nothing drawn, if there is neither an order nor a transform to draw.
    last : {"keep", "drop", "fill"}
        What becomes of the samples that are left over when n is no multiple of `batch_size`. "keep":
        they are a short batch. "drop": they are left out, in this epoch. "fill": they are a batch
        filled up with the first samples of the epoch, which so count twice; all batches have one
        shape then, for which JAX compiles once.
    transform : function `(x, rng) -> x`, optional
        What is done to each batch on the host; see `xpnet.data.transforms`. Of a batch that is a
        tuple, (x, t), it is given the first entry. The batch is its own to change.
    prefetch : int
        So many batches a thread prepares ahead; 0: none, and no thread. On CuPy it copies from
        pinned memory on a stream of its own.
    resident : bool
        All arrays are sent to the device at once, now, and batches taken there: the fastest way,
        where they fit. (Batches may be views of these then: not to be written to.)

    Attributes
    ----------
    samples : int or None
        In the data; None for a function, which nobody has counted.
    seed : int

    Raises
    ------
    ShapeError
        There are no samples, or not equally many in all arrays.
    DataError
        With last="drop", a batch is larger than the data, so that none would be left; or resident
        data do not fit on the device.
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
        self.batch_size = batch_size if batch_size is None else index(batch_size)
        if batch_size is not None and batch_size < 1:
            raise ArgumentError(f"Expected batch_size >= 1, got {batch_size}.")
        self.shuffle, self.last, self.transform = shuffle, last, transform
        self.prefetch, self.resident = index(prefetch), resident
        if seed is None:
            random = shuffle or transform is not None
            seed = int(default_rng().integers(2**63)) if random else 0
        elif index(seed) < 0:
            raise ArgumentError(f"Expected seed >= 0, got {seed}.")
        self.seed = index(seed)
        self.samples: int | None = None
        self._epochs = 0
        self._make: Callable[..., Any] | None = None
        if callable(x):
            self._make = x
            self._require_stream(t)
        else:
            self._open(x if t is None else (x, t))

    def _require_stream(self, t: Any) -> None:
        if t is not None:
            raise ArgumentError(
                "A function gives samples with their targets, (x, t): expected no t."
            )
        if self.resident:
            raise ArgumentError("A function's samples are not resident: expected resident=False.")
        if self.batch_size is None and self.last != "keep":
            raise ArgumentError(f"A function that gives batches keeps all, got last={self.last!r}.")

    def _open(self, data: Any) -> None:
        if hasattr(data, "__next__"):
            raise ArgumentTypeError(
                f"Expected arrays, or a function that returns a fresh iterator, got a "
                f"{type(data).__name__}: it can be gone through only once. Give the function."
            )
        if self.batch_size is None:
            raise ArgumentError("Expected a batch_size: None is for functions that give batches.")
        self._data = Arrays(data)
        self.samples = self._data.samples
        if self.last == "drop" and self.batch_size > self.samples:
            raise DataError(
                f"A batch of {self.batch_size} is larger than the data, {self.samples} samples, and "
                "last='drop' would leave none. Take a smaller batch_size, or last='keep'."
            )
        if not self.resident:
            return
        if self.transform is not None or self.prefetch:
            raise ArgumentError(
                "Resident data are on the device: expected no transform, no prefetch."
            )
        home = self._home = current()
        self._there = trees.map(lambda x: place(x[:], home), self._data.tree)

    def __len__(self) -> int:
        """Batches in an epoch; TypeError for a function, which nobody has counted."""
        if self.samples is None or self.batch_size is None:
            raise ArgumentTypeError("A loader of a function's samples has no length.")
        if self.last == "drop":
            return self.samples // self.batch_size
        return math.ceil(self.samples / self.batch_size)

    def __iter__(self) -> Iterator[Tree]:
        """The next epoch: 1 for the first time, then 2, and so on."""
        self._epochs += 1
        return self.epoch(self._epochs)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Tree]:
        """The batches of an epoch from number `start` on, as if those before had been given.

        Parameters
        ----------
        epoch : int
            From 1.
        start : int
            From 0; the number of batches gives none. A function's samples are made up to there, and
            passed over.

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
                f"Expected start <= {len(self)}, the batches there are; got {start}."
            )
        backend = current()
        if self.resident:
            return self._taken_there(epoch, start)
        if self.prefetch:
            from xpnet.data._transfer import sender

            if send := sender(backend, self.prefetch):
                sent = prefetched(map(send.send, self._on_host(epoch, start)), self.prefetch)
                return _received(sent, send.receive)
        batches = (
            trees.map(lambda x: place(x, backend), batch) for batch in self._on_host(epoch, start)
        )
        return prefetched(batches, self.prefetch) if self.prefetch else batches

    def order(self, epoch: int) -> NDArray[np.int64] | None:
        """The rows of an epoch's batches, one after another; None where it is their own order."""
        if self.samples is None:
            raise ArgumentTypeError("A function gives its samples in an order of its own.")
        rows = None
        if self.shuffle:
            rows = np.random.default_rng([self.seed, epoch]).permutation(self.samples)
        if self.last == "fill" and self.batch_size is not None:
            rows = np.arange(self.samples) if rows is None else rows
            rows = np.resize(rows, len(self) * self.batch_size)  # again from the beginning
        return rows

    def rows(self, epoch: int, batch: int) -> NDArray[np.int64] | None:
        """The numbers that a batch's samples have in the data; None of a function's batches.

        Of a function's samples, those that they have in the epoch's stream.
        """
        if self.samples is None:
            size = self.batch_size
            return None if size is None else np.arange(batch * size, (batch + 1) * size)
        part, order = next(self._slices(batch)), self.order(epoch)
        return np.arange(part.start, part.stop) if order is None else order[part]

    def _slices(self, start: int) -> Iterator[slice]:
        """The places of each batch in the order."""
        size, n = self.batch_size or 1, self.samples or 0
        end = n if self.last == "keep" else len(self) * size
        return (slice(i * size, min((i + 1) * size, end)) for i in range(start, len(self)))

    def _taken_there(self, epoch: int, start: int) -> Iterator[Tree]:
        rows, xp = self.order(epoch), array_namespace(trees.leaves(self._there)[0])
        order = None if rows is None else self._home.asarray(rows)  # one transfer

        def taken(part: slice) -> Tree:
            if order is None:
                return trees.map(lambda x: x[part, ...], self._there)
            batch = order[part]
            return trees.map(lambda x: there(xp.take, x, batch, axis=0), self._there)

        return map(taken, self._slices(start))

    def _on_host(self, epoch: int, start: int) -> Iterator[Tree]:
        make = self._make
        batches = self._read(epoch, start) if make is None else self._made(make, epoch, start)
        for number, batch in enumerate(batches, start):
            if self.transform is None:
                yield batch
                continue
            # Not `number` alone: NumPy's seeds end in implied zeros, and batch 0's numbers would be
            # those that made the order.
            rng = np.random.default_rng([self.seed, epoch, number + 1])
            if type(batch) is tuple:
                yield (self.transform(batch[0], rng), *batch[1:])
            else:
                yield self.transform(batch, rng)

    def _read(self, epoch: int, start: int) -> Iterator[Tree]:
        rows = self.order(epoch)
        for part in self._slices(start):
            yield self._data.take(part if rows is None else rows[part])

    def _made(self, make: Callable[..., Any], epoch: int, start: int) -> Iterator[Tree]:
        """The batches of a function's samples; its generator is closed with this one."""
        rng = [np.random.default_rng([self.seed, epoch])] if self.shuffle else []
        samples, size = iter(make(*rng)), self.batch_size
        batches = whole(samples) if size is None else stream(samples, size, self.last)
        try:
            for number in range(start):
                if next(batches, None) is None:
                    raise DataError(
                        f"Epoch {epoch} has {number} batches now; its batch {start} was asked for. "
                        "The function gives fewer samples than before."
                    )
            yield from batches
        finally:
            if isinstance(samples, Generator):
                samples.close()

    def __repr__(self) -> str:
        if self.samples is None:
            what = "a stream" if self.batch_size is None else f"a stream, by {self.batch_size}"
        else:
            what = f"{self.samples} samples, {len(self)} batches of {self.batch_size}"
        drawn = self.shuffle or self.transform is not None
        options = [
            what,
            *(["shuffle=True"] if self.shuffle else []),
            *([f"seed={self.seed}"] if drawn else []),
            *([f"last={self.last!r}"] if self.last != "keep" else []),
            *([f"transform={self.transform!r}"] if self.transform is not None else []),
            *([f"prefetch={self.prefetch}"] if self.prefetch else []),
            *(["resident=True"] if self.resident else []),
        ]
        return f"DataLoader({', '.join(options)})"


def _received(sent: Generator[Any], receive: Callable[[Any], Tree]) -> Iterator[Tree]:
    with closing(sent):
        for ticket in sent:
            yield receive(ticket)
