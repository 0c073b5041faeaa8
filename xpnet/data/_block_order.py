"""The order of an epoch over data that are read in blocks, and what each of several ranks reads of it.

    blocks      consecutive rows that are read together, in an order that is drawn
    windows     consecutive blocks of that order, whose samples are in memory at the same time
    batches     samples of a window, in which each of its blocks has its share

The order is a function of (seed, epoch), and of the sizes of blocks, windows and batches. It is computed
window by window: an epoch can begin at any batch, and billions of samples need no list of all rows.

Within a window, the j-th of the m samples of a block, which are permuted, is due at the time
(j + u) / m, with u drawn from [0, 1). So each block has nearly the same share of each batch. The samples
of a batch are then sorted by block: if each of several ranks takes a consecutive part of each batch, it
reads its part of the blocks, and those at the borders, but not the others.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.distributed.base import share_of

Rows = NDArray[np.int64]

OVERHEAD = 64  # bytes per sample that it takes to draw the order of a window


class Picks(NamedTuple):
    """Samples in their order; each attribute is an array of shape (n,)."""

    rows: Rows
    windows: Rows  # the number of the window with which each is read
    lanes: NDArray[np.float64]  # where its block is within the window, from 0 to 1

    def at(self, places: slice | Rows) -> "Picks":
        return Picks(self.rows[places], self.windows[places], self.lanes[places])

    @classmethod
    def joined(cls, parts: Sequence["Picks"]) -> "Picks":
        rows, windows, lanes = zip(*parts, strict=True)
        return cls(np.concatenate(rows), np.concatenate(windows), np.concatenate(lanes))


class _Drawn(NamedTuple):
    """The order of a window."""

    rows: Rows
    lanes: NDArray[np.float64]


class Reading(NamedTuple):
    """What is in memory for a window, and what can be done then."""

    rows: Rows  # ascending, each once; those that the window before kept are among them
    batches: list[Rows]  # those that are complete then: the places of their samples in `rows`
    kept: Rows  # the places of the samples that the next window needs, for a batch that is not complete


class BlockOrder:
    """The order of an epoch.

    Parameters
    ----------
    edges : int64 array, shape (blocks + 1,)
        The first row of each block, and the number of all rows.
    window : int
        The largest number of samples in a window, at least that of the largest block.
    batch_size : int
    last : {"keep", "drop", "fill"}
        As for `DataLoader`.
    seeds : sequence of int or None
        Seed and epoch, from which the order is drawn; None for the order of the data.
    """

    def __init__(
        self, edges: Rows, window: int, batch_size: int, last: str, seeds: Sequence[int] | None
    ) -> None:
        blocks = np.arange(len(edges) - 1)
        if seeds is not None:
            blocks = np.random.default_rng(seeds).permutation(blocks)
        self.samples = int(edges[-1])
        self.batch_size = batch_size
        self._starts = edges[blocks]
        self._stops = edges[blocks + 1]
        self._last = last
        self._seeds = seeds
        # The place of the first sample of each block in the epoch, and of each window.
        places = np.concatenate([[0], np.cumsum(self._stops - self._starts)])
        self._cuts = [0]
        while self._cuts[-1] < len(blocks):
            full = places[self._cuts[-1]] + window
            self._cuts.append(int(np.searchsorted(places, full, side="right")) - 1)
        self._windows = places[self._cuts]
        self._recent: dict[int, _Drawn] = {}  # replaced, never changed: threads may share an order

    def __len__(self) -> int:
        """The number of batches."""
        if self._last == "drop":
            return self.samples // self.batch_size
        return math.ceil(self.samples / self.batch_size)

    def batch(self, number: int) -> Picks:
        """The samples of a batch."""
        first = number * self.batch_size
        stop = min(first + self.batch_size, self.samples)
        picks = self._between(first, stop)
        missing = first + self.batch_size - stop
        if missing and self._last == "fill":
            more = self._between(0, min(missing, self.samples))
            more = more.at(np.arange(missing) % self.samples)
            more.windows[:] = len(self._windows) - 2  # they are read again, with the last window
            picks = Picks.joined([picks, more])
        return picks.at(np.argsort(picks.lanes, kind="stable"))

    def plan(self, start: int, rank: int, size: int) -> Iterator[Reading]:
        """What a rank reads for its part of each batch, from batch `start` on."""
        number = start
        first = np.searchsorted(self._windows, start * self.batch_size, side="right") - 1
        for window in range(int(first), len(self._windows) - 1):
            end = self._windows[window + 1]
            asked = []
            kept = np.arange(0)
            while number < len(self) and number * self.batch_size < end:
                picks = self.batch(number)
                picks = picks.at(share_of(len(picks.rows), rank, size))
                if min((number + 1) * self.batch_size, self.samples) > end:
                    kept = picks.rows[picks.windows <= window]
                    break
                asked.append(picks.rows)
                number += 1
            rows, places = np.unique(np.concatenate([*asked, kept]), return_inverse=True)
            *batches, kept = np.split(places, np.cumsum([len(part) for part in asked], dtype=int))
            yield Reading(rows, batches, kept)
            if number == len(self):
                return

    def _between(self, first: int, stop: int) -> Picks:
        """The samples from one place in the epoch to another, before batches are sorted."""
        window = int(np.searchsorted(self._windows, first, side="right")) - 1
        parts = []
        while first < stop:
            begin, end = self._windows[window : window + 2].tolist()
            rows, lanes = self._drawn(window)
            part = slice(first - begin, min(stop, end) - begin)
            windows = np.full(part.stop - part.start, window)
            parts.append(Picks(rows[part], windows, lanes[part]))
            first = end
            window += 1
        return Picks.joined(parts)

    def _drawn(self, window: int) -> "_Drawn":
        """The samples of a window in their order, drawn once for all its batches."""
        found = self._recent.get(window)
        if found is None:
            before = self._recent.get(window - 1)  # a batch may have samples of both
            found = self._draw(window)
            self._recent = {window: found}
            if before is not None:
                self._recent = {window - 1: before, window: found}
        return found

    def _draw(self, window: int) -> "_Drawn":
        begin, end = self._windows[window : window + 2].tolist()
        if self._seeds is None:
            return _Drawn(np.arange(begin, end), np.zeros(end - begin))
        # DataLoader draws from [seed, epoch] and, for its transform, from [seed, epoch, batch + 1].
        rng = np.random.default_rng([*self._seeds, 0, window + 1])
        rows = np.empty(end - begin, np.int64)
        times = np.empty(end - begin)
        lanes = np.empty(end - begin)
        place = 0
        blocks = slice(self._cuts[window], self._cuts[window + 1])
        for start, stop in zip(self._starts[blocks], self._stops[blocks], strict=True):
            m = int(stop - start)
            part = slice(place, place + m)
            rows[part] = start + rng.permutation(m)
            times[part] = (np.arange(m) + rng.random(m)) / m
            lanes[part] = place / len(rows)
            place += m
        order = np.argsort(times, kind="stable")
        return _Drawn(rows[order], lanes[order])
