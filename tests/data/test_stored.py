"""StoredSamples: the batches of a loader that reads blocks, and those of ranks; resuming; errors."""

import copy
import multiprocessing
import os
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import xpnet
from xpnet import DataError, ShapeError, StateError, functions as F
from xpnet.data import DataLoader, StoredSamples
from xpnet.training import Trainer

N = 101
X = np.arange(2.0 * N).reshape(N, 2)
T = np.arange(N)


class OnDisk:
    """An array in chunks, of which consecutive rows are read; it counts what is read."""

    def __init__(self, x, chunk):
        self.x = x
        self.shape = x.shape
        self.dtype = x.dtype
        self.chunks = (chunk, *x.shape[1:])
        self.read = []

    def __getitem__(self, rows):
        assert rows.step is None
        self.read.append((rows.start, rows.stop))
        return self.x[rows]


class InBlocks(OnDisk):
    """The same, in which each chunk is a block."""

    def __init__(self, x, chunk):
        super().__init__(x, chunk)
        self.edges = np.append(np.arange(0, len(x), chunk), len(x))


def stored(buffer_samples=30, chunk=7):
    row = X[0].nbytes + T[0].nbytes + 64
    return StoredSamples(InBlocks(X, chunk), InBlocks(T, chunk), buffer=buffer_samples * row)


def targets(batches):
    return [xpnet.to_numpy(t).tolist() for _, t in batches]


def flat(lists):
    return [i for part in lists for i in part]


# --- batches --------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefetch", [0, 2])
def test_batches_on_the_device(backend, prefetch):
    """Rows keep their targets, and each sample comes once per epoch."""
    loader = DataLoader(stored(), batch_size=8, shuffle=True, seed=3, prefetch=prefetch)
    batches = list(loader)
    assert len(batches) == len(loader) == 13
    assert loader.samples == N
    for x, t in batches:
        assert x.dtype == backend.dtype
        np.testing.assert_array_equal(xpnet.to_numpy(x)[:, 0], 2 * xpnet.to_numpy(t))
    assert sorted(flat(targets(batches))) == list(range(N))


def test_without_shuffle_the_order_is_that_of_the_data():
    assert flat(targets(DataLoader(stored(), batch_size=8))) == list(range(N))
    for (x, t), (expected_x, expected_t) in zip(
        DataLoader(stored(), batch_size=8), DataLoader(X, T, batch_size=8), strict=True
    ):
        np.testing.assert_array_equal(x, expected_x)
        np.testing.assert_array_equal(t, expected_t)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_each_epoch_has_a_new_order_which_the_seed_determines(prefetch):
    options = {"batch_size": 8, "shuffle": True, "prefetch": prefetch}
    loader = DataLoader(stored(), seed=3, **options)
    first = targets(loader)
    second = targets(loader)
    assert first != second
    assert sorted(flat(second)) == list(range(N))
    assert targets(DataLoader(stored(), seed=3, **options).epoch(2)) == second
    assert targets(DataLoader(stored(), seed=4, **options)) != first


@pytest.mark.parametrize("last", ["keep", "drop", "fill"])
def test_rows_and_order_are_those_of_the_batches(last):
    loader = DataLoader(stored(), batch_size=8, shuffle=True, seed=3, last=last)
    found = targets(loader.epoch(2))
    assert len(found) == len(loader)
    assert [loader.rows(2, i).tolist() for i in range(len(loader))] == found
    assert loader.order(2).tolist() == flat(found)
    assert DataLoader(stored(), batch_size=8).rows(1, 1).tolist() == list(range(8, 16))


@pytest.mark.parametrize("prefetch", [0, 2])
def test_an_epoch_from_any_batch_equals_the_rest_of_the_whole_one(prefetch):
    """The order and the transform of a batch do not depend on earlier batches."""

    def noise(x, rng):
        return x + rng.normal(size=x.shape)

    options = {"batch_size": 8, "shuffle": True, "seed": 3, "transform": noise}
    whole = [(x.tolist(), t.tolist()) for x, t in DataLoader(stored(), **options).epoch(5)]
    for start in range(len(whole) + 1):
        rest = DataLoader(stored(), prefetch=prefetch, **options).epoch(5, start)
        assert [(x.tolist(), t.tolist()) for x, t in rest] == whole[start:]


def test_trees_of_arrays_in_memory_and_in_files():
    """Small arrays, such as targets, may be in memory."""
    data = StoredSamples({"a": InBlocks(X, 7), "b": (T, X.tolist())}, {"t": T}, buffer=10_000)
    for x, t in DataLoader(data, batch_size=8, shuffle=True, seed=0):
        np.testing.assert_array_equal(x["a"][:, 0], 2 * t["t"])
        np.testing.assert_array_equal(x["b"][0], t["t"])
        np.testing.assert_array_equal(x["b"][1], x["a"])


def test_mapped_files_give_what_arrays_in_memory_give(tmp_path):
    """Whole blocks, and the rows that a rank needs of a block."""
    X.tofile(tmp_path / "x")
    x = np.memmap(tmp_path / "x", X.dtype, "r").reshape(X.shape)
    mapped = StoredSamples(x, T, buffer=4000)
    memory = StoredSamples(X, T, buffer=4000)
    order = mapped.order(8, seeds=(0, 1))
    for rank, size in (0, 1), (1, 3):
        found = mapped.batches(order, rank=rank, size=size)
        expected = memory.batches(order, rank=rank, size=size)
        for (a, t), (b, u) in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(t, u)
            assert not isinstance(a, np.memmap)


@pytest.mark.parametrize("wrap", [lambda x: x, StoredSamples])
def test_a_mapped_file_that_becomes_shorter_is_an_error(tmp_path, wrap):
    """Without the check the system would end the process."""
    X.tofile(tmp_path / "x")
    x = np.memmap(tmp_path / "x", X.dtype, "r").reshape(X.shape)
    loader = DataLoader(wrap(x), batch_size=8, shuffle=True, seed=0)
    list(loader)
    os.truncate(tmp_path / "x", 100)
    with pytest.raises(DataError, match=f"x: expected {X.nbytes} bytes, .* got 100"):
        list(loader)


def test_batches_are_copies():
    """A transform that writes in place changes no later batch."""

    def spoil(x, rng):
        x[...] = -1
        return x

    x = X.astype(np.float32)
    data = StoredSamples(x, T)
    list(DataLoader(data, batch_size=8, transform=spoil))
    np.testing.assert_array_equal(x, X)


@given(
    chunks=st.lists(st.integers(0, 9), min_size=1, max_size=9).filter(any),
    buffer=st.integers(1, 40),
    batch_size=st.integers(1, 20),
    size=st.integers(1, 3),
    shuffle=st.booleans(),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_ranks_have_parts_of_each_batch(chunks, buffer, batch_size, size, shuffle, data):
    """One after the other they are the batch of one rank; blocks of any sizes, empty ones included."""
    n = sum(chunks)
    x = OnDisk(np.arange(n), 1)
    x.edges = np.concatenate([[0], np.cumsum(chunks)])
    source = StoredSamples(x, buffer=max([buffer, *chunks]) * (8 + 64))
    seeds = (1, 2) if shuffle else None
    order = source.order(batch_size, seeds=seeds)
    start = data.draw(st.integers(0, len(order)))
    whole = [batch.tolist() for batch in source.batches(order)]
    assert sorted(flat(whole)) == list(range(n))
    parts = [list(source.batches(order, start, rank=r, size=size)) for r in range(size)]
    together = [np.concatenate(part).tolist() for part in zip(*parts, strict=True)]
    assert together == whole[start:]


def test_each_rank_reads_its_part_of_the_file():
    """With blocks of 100 samples and windows of 20 blocks, both ranks read little of each other's."""
    x = InBlocks(np.arange(10_000), 100)
    source = StoredSamples(x, buffer=2000 * (8 + 64))
    order = source.order(64, seeds=(0, 1))
    read = []
    for rank in 0, 1:
        x.read.clear()
        list(source.batches(order, rank=rank, size=2))
        read.append(sum(stop - start for start, stop in x.read))
    assert max(read) <= 5_500
    x.read.clear()
    list(source.batches(order))
    assert sum(stop - start for start, stop in x.read) == 10_000


def test_blocks_are_read_once_per_epoch_and_whole():
    """A chunk of a compressed file is decompressed once."""
    data = stored(buffer_samples=30, chunk=7)
    x = data._arrays.readers[0]
    x.read.clear()
    for prefetch in 0, 2:
        list(DataLoader(data, batch_size=8, shuffle=True, seed=1, prefetch=prefetch))
        assert sorted(x.read) == [(i, min(i + 7, N)) for i in range(0, N, 7)]
        x.read.clear()


def test_small_chunks_are_read_together():
    """About 1 MiB at a time, in whole chunks."""
    x = np.zeros((5000, 100))
    blocks = np.diff(StoredSamples(OnDisk(x, 7)).edges)
    assert set(blocks[:-1] % 7) == {0}
    assert 1 << 19 < blocks[0] * 800 <= 1 << 20
    assert np.diff(StoredSamples(OnDisk(x, 2000)).edges).tolist() == [2000, 2000, 1000]


# --- threads, processes, training -----------------------------------------------------------------


def test_the_threads_end_with_the_iterator():
    """After a break, too."""
    before = threading.active_count()
    batches = DataLoader(stored(), batch_size=8, shuffle=True, seed=0, prefetch=2).epoch(1)
    next(batches)
    assert threading.active_count() == before + 2  # of the blocks, and of the batches
    batches.close()
    assert threading.active_count() == before


def test_an_error_while_reading_is_raised_in_the_thread_of_the_training():
    class Broken(InBlocks):
        def __getitem__(self, rows):
            if rows.start >= 49:
                raise OSError("the network is gone")
            return super().__getitem__(rows)

    before = threading.active_count()
    data = StoredSamples(Broken(X, 7), buffer=10_000)
    with pytest.raises(DataError, match=r"rows 49 to 55 of the Broken, got OSError: the network"):
        list(DataLoader(data, batch_size=8, prefetch=2))
    assert threading.active_count() == before


def test_a_loader_can_be_copied():
    """By pickle, for another process, and by deepcopy."""
    loader = DataLoader(StoredSamples(X, T), batch_size=8, shuffle=True, seed=3)
    expected = targets(loader.epoch(1))
    for other in copy.deepcopy(loader), pickle.loads(pickle.dumps(loader)):
        assert targets(other.epoch(1)) == expected


def _sum(loader, results):
    results.put(sum(int(t.sum()) for _, t in loader.epoch(1)))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_a_forked_process_begins_an_epoch_of_its_own():
    """The threads of an iterator that was begun before are not there, but an epoch starts new ones."""
    loader = DataLoader(stored(), batch_size=8, shuffle=True, seed=3, prefetch=2)
    list(loader)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=_sum, args=(loader, results))
    process.start()
    assert results.get(timeout=30) == T.sum()
    process.join(30)
    assert process.exitcode == 0


def fitted(trainer, loader, **options):
    trainer.fit(loader, epochs=2, **options)
    return [xpnet.to_numpy(p.data).tolist() for p in trainer.model.parameters()]


def trainer_of():
    xpnet.manual_seed(0)
    model = xpnet.Affine(2, 1)
    return Trainer(model, F.mean_squared_error, xpnet.SGD(model.parameters(), lr=1e-6))


def data_of(**options):
    x = InBlocks(X, 7)
    y = InBlocks(X.sum(axis=1, keepdims=True), 7)
    return StoredSamples(x, y, **options)


@pytest.mark.parametrize("batch", range(1, 14))
def test_a_training_resumes_at_each_batch(tmp_path, batch):
    """Its weights are those of a training that was not interrupted, bit for bit."""
    options = {"batch_size": 8, "shuffle": True, "seed": 3, "prefetch": 1}
    expected = fitted(trainer_of(), DataLoader(data_of(buffer=4000), **options))

    class Interrupt(xpnet.training.Callback):
        def on_step(self, trainer):
            if trainer.batch == batch:
                trainer.save(tmp_path / "state")
                raise KeyboardInterrupt

    trainer = trainer_of()
    trainer.callbacks = [Interrupt()]
    threads = threading.active_count()
    trainer.fit(DataLoader(data_of(buffer=4000), **options), epochs=2)
    assert trainer.history.interrupted
    assert threading.active_count() == threads
    loader = DataLoader(data_of(buffer=4000), **options)
    assert fitted(trainer_of(), loader, resume=tmp_path / "state") == expected


def test_another_buffer_within_an_epoch_is_refused(tmp_path):
    """Its order is another one: samples would be repeated, and others left out."""
    trainer = trainer_of()
    options = {"batch_size": 8, "shuffle": True, "seed": 3}
    loader = DataLoader(data_of(buffer=4000), **options)
    trainer.fit(loader, epochs=1)
    trainer.save(tmp_path / "between")
    other = DataLoader(data_of(buffer=8000), **options)
    trainer_of().fit(other, epochs=2, resume=tmp_path / "between")

    state = trainer.state_dict()
    state["position"]["batch"] = 3
    state["meter"] = trainer.meter.state_dict()
    trainer.loader = other
    with pytest.raises(
        StateError, match="layout=15 blocks .*, 4[0-9] samples .* now it is 15 blocks"
    ):
        trainer.load_state_dict(state)


def test_evaluate_and_predict_take_a_loader():
    """In the order of the data, their results are those of arrays in memory."""
    trainer = trainer_of()
    loader = DataLoader(data_of(), batch_size=8)
    y = X.sum(axis=1, keepdims=True)
    assert trainer.evaluate(loader)["loss"] == pytest.approx(trainer.evaluate((X, y))["loss"])
    np.testing.assert_allclose(trainer.predict(loader), trainer.predict(X), rtol=1e-6)


def test_nan_in_a_file_is_named_by_its_row():
    """The training looks for it when the loss is NaN."""
    x = X.copy()
    x[77, 1] = np.nan
    data = StoredSamples(InBlocks(x, 7), InBlocks(X.sum(axis=1, keepdims=True), 7))
    with pytest.raises(DataError, match="got nan at .77, 1., of sample 77"):
        fitted(trainer_of(), DataLoader(data, batch_size=8, shuffle=True, seed=0))


# --- what is refused ------------------------------------------------------------------------------


def test_a_block_larger_than_the_buffer_is_refused():
    """The message has the size to set."""
    x = InBlocks(np.zeros((100, 1000)), 50)
    with pytest.raises(DataError, match=r"one of 50 samples.* Set buffer=(\d+)") as caught:
        StoredSamples(x, buffer=10_000)
    needed = int(str(caught.value).split("Set buffer=")[1].split()[0])
    assert StoredSamples(x, buffer=needed).samples == 100
    with pytest.raises(DataError):
        StoredSamples(x, buffer=needed - 1)


def test_an_array_that_became_shorter_is_an_error():
    x = InBlocks(X, 7)
    data = StoredSamples(x, T)
    x.x = X[:50]
    with pytest.raises(DataError, match="rows 49 to 55 .*become shorter"):
        list(DataLoader(data, batch_size=8))


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: StoredSamples(X, T[:9]), ShapeError, "101 at .0., 9 at .1."),
        (lambda: StoredSamples(X[:0]), ShapeError, "n >= 1"),
        (lambda: StoredSamples(np.array(["a"])), DataError, "numbers"),
        (lambda: DataLoader(StoredSamples(X), T), ValueError, "Expected no t"),
        (lambda: DataLoader(StoredSamples(X), resident=True), ValueError, "resident=False"),
        (lambda: DataLoader(StoredSamples(X), batch_size=None), ValueError, "batch_size"),
        (
            lambda: DataLoader(StoredSamples(X), batch_size=200, last="drop"),
            DataError,
            "larger than the data",
        ),
        (
            lambda: next(stored().batches(stored().order(8), rank=2, size=2)),
            ValueError,
            "rank < size",
        ),
        (lambda: DataLoader(stored(), batch_size=8).epoch(1, 14), ValueError, "start <= 13"),
    ],
)
def test_invalid_arguments_are_refused(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_repr_shows_samples_and_blocks():
    assert repr(stored()) == "StoredSamples(101 samples in 15 blocks, buffer=2640)"


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_the_batches_of_stored_samples(ranks, shuffle):
    x = np.arange(50, dtype=np.float32).reshape(25, 2)
    samples = StoredSamples(x, np.arange(25))
    whole = DataLoader(samples, batch_size=7, shuffle=shuffle, seed=3)
    shares = [whole.share(rank, ranks) for rank in range(ranks)]
    for batch, *parts in zip(whole.epoch(2), *(s.epoch(2) for s in shares), strict=True):
        for i in (0, 1):
            together = np.concatenate([np.asarray(part[i]) for part in parts])
            np.testing.assert_array_equal(together, np.asarray(batch[i]))
    rows = np.concatenate([s.rows(2, 1) for s in shares])
    np.testing.assert_array_equal(rows, whole.rows(2, 1))


class RowsOfNetCDF:
    """As a variable of netCDF4: rows are masked arrays, and the second row has a gap."""

    shape = (3, 2)
    dtype = np.dtype("float64")

    def __init__(self, gaps):
        self.numbers = np.ma.masked_equal(np.arange(6.0).reshape(3, 2), gaps)

    def __len__(self):
        return 3

    def __getitem__(self, key):
        return self.numbers[key]


@pytest.mark.parametrize("source", [StoredSamples, lambda x: x], ids=["StoredSamples", "itself"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_rows_with_masked_numbers_are_an_error(source, shuffle):
    whole = DataLoader(source(RowsOfNetCDF(gaps=-1.0)), batch_size=3, shuffle=shuffle, seed=0)
    (x,) = whole
    assert sorted(xpnet.to_numpy(x).ravel().tolist()) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    with pytest.raises(DataError, match="1 of .* masked"):
        list(DataLoader(source(RowsOfNetCDF(gaps=3.0)), batch_size=3, shuffle=shuffle, seed=0))
