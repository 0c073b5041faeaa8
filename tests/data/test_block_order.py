"""BlockOrder: each sample once per epoch, for any number of ranks, from any batch; and what is read."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from xpnet.data._block_order import BlockOrder
from xpnet.distributed import share_of

SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=12)  # of blocks


def order_of(sizes, window, batch_size, last="keep", seeds=(0, 1)):
    edges = np.concatenate([[0], np.cumsum(sizes)])
    return BlockOrder(edges, max(window, *sizes, 1), batch_size, last, seeds)


def planned(order, start=0, rank=0, size=1):
    """The batches of a plan, after a check that what is kept is in memory later."""
    held = np.arange(0)
    batches = []
    for reading in order.plan(start, rank, size):
        assert (np.diff(reading.rows) > 0).all()
        assert np.isin(held, reading.rows).all()
        held = np.sort(reading.rows[reading.kept])
        batches += [reading.rows[places] for places in reading.batches]
    return batches


def read(order, rank=0, size=1):
    """The rows that are read for each window: those that are needed and not held."""
    held = np.arange(0)
    for reading in order.plan(0, rank, size):
        yield np.setdiff1d(reading.rows, held)
        held = reading.rows[reading.kept]


@given(SIZES, st.integers(1, 100), st.integers(1, 40), st.sampled_from([None, (3, 2)]))
@settings(max_examples=100, deadline=None)
def test_an_epoch_has_each_sample_once(sizes, window, batch_size, seeds):
    order = order_of(sizes, window, batch_size, seeds=seeds)
    batches = planned(order)
    n = sum(sizes)
    assert [len(rows) for rows in batches[:-1]] == [batch_size] * (len(order) - 1)
    rows = np.concatenate(batches)
    assert sorted(rows) == list(range(n))
    if seeds is None:
        assert rows.tolist() == list(range(n))


@given(SIZES, st.integers(1, 100), st.integers(1, 40), st.sampled_from(["keep", "drop", "fill"]))
@settings(max_examples=50, deadline=None)
def test_the_batches_of_all_ranks_are_those_of_one(sizes, window, batch_size, last):
    """One after the other, and from any batch on: unequal blocks and shares included."""
    order = order_of(sizes, window, batch_size, last)
    whole = planned(order)
    assert len(whole) == len(order)
    for number in range(len(order)):
        assert order.batch(number).rows.tolist() == whole[number].tolist()
    for size in 1, 2, 3:
        for start in {0, len(order) // 2, max(len(order) - 1, 0), len(order)}:
            ranks = [planned(order, start, rank, size) for rank in range(size)]
            together = [np.concatenate(parts).tolist() for parts in zip(*ranks, strict=True)]
            assert together == [rows.tolist() for rows in whole[start:]]


@pytest.mark.parametrize(
    ("last", "lengths"), [("keep", [4, 4, 2]), ("drop", [4, 4]), ("fill", [4, 4, 4])]
)
def test_the_last_batch_is_kept_dropped_or_filled(last, lengths):
    """It is filled up with samples from the beginning of the epoch."""
    order = order_of([3, 3, 4], 6, 4, last)
    batches = planned(order)
    assert [len(rows) for rows in batches] == lengths
    if last == "fill":
        assert sorted(np.unique(np.concatenate(batches))) == list(range(10))
        assert len(np.unique(batches[-1])) == 4


def test_a_batch_larger_than_the_data_is_filled_repeatedly():
    (rows,) = planned(order_of([2, 1], 3, 7, "fill"))
    assert np.bincount(rows).tolist() in ([3, 2, 2], [2, 3, 2], [2, 2, 3])


def test_the_order_depends_on_seed_and_epoch_alone():
    def rows(seeds):
        return np.concatenate(planned(order_of([10] * 20, 50, 8, seeds=seeds))).tolist()

    assert rows((5, 1)) == rows((5, 1))
    assert rows((5, 1)) != rows((5, 2))
    assert rows((5, 1)) != rows((6, 1))


def test_the_order_is_the_same_as_before():
    """It is part of a checkpoint: a change would repeat samples in a training that is resumed."""
    rows = planned(order_of([3, 3, 4], 6, 5, seeds=(0, 1)))
    assert [batch.tolist() for batch in rows] == [[8, 7, 9, 6, 0], [2, 1, 3, 5, 4]]


def test_a_batch_has_its_share_of_each_block_of_its_window():
    """Blocks that are sorted by class give mixed batches: at most one sample from the exact share."""
    order = order_of([100] * 40, 1000, 50)  # windows of 10 blocks, batches of half a percent
    for number in range(len(order)):
        blocks, counts = np.unique(order.batch(number).rows // 100, return_counts=True)
        assert len(blocks) == 10
        assert counts.min() >= 3
        assert counts.max() <= 7


def test_all_places_of_a_window_are_equally_likely():
    """The mean place of each sample in the epoch is the middle, within four standard errors."""
    places = np.zeros(60)
    epochs = 2000
    for epoch in range(epochs):
        order = order_of([20, 30, 10], 60, 1, seeds=(0, epoch))
        places[order._between(0, 60).rows] += np.arange(60)
    error = np.sqrt((60**2 - 1) / 12 / epochs)
    assert abs(places / epochs - 29.5).max() < 4 * error


def test_each_rank_reads_its_part_of_the_blocks():
    """And at most one more at each of its two borders, per window."""
    order = order_of([100] * 64, 1600, 64)  # four windows of 16 blocks
    for size in 2, 4:
        for rank in range(size):
            blocks = [np.unique(rows // 100) for rows in read(order, rank, size)]
            assert sum(map(len, blocks)) <= 64 / size + 2 * len(blocks)


def test_a_row_is_read_once():
    """But for those that fill up the last batch."""
    for size in 1, 3:
        rows = [r for rank in range(size) for r in read(order_of([7] * 20, 30, 8), rank, size)]
        assert sorted(np.concatenate(rows)) == list(range(140))


@given(st.integers(0, 50), st.integers(1, 8))
@settings(max_examples=50, deadline=None)
def test_shares_differ_by_one_sample_at_most(samples, size):
    parts = [share_of(samples, rank, size) for rank in range(size)]
    assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
    assert parts[-1].stop == samples
    lengths = [part.stop - part.start for part in parts]
    assert max(lengths) - min(lengths) <= 1


def test_billions_of_samples_need_no_list_of_rows():
    """An epoch can begin at any batch, at once."""
    n = 10**9
    tracemalloc.start()
    try:
        order = BlockOrder(np.arange(0, n + 1, 10**5), 2 * 10**5, 128, "keep", (0, 1))
        middle = order.batch(len(order) // 2).rows
        assert len(np.unique(middle)) == 128
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()
