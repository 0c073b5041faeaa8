"""DataLoader: its batches and their order, on every backend; and what it refuses."""

import mmap
import threading
import tracemalloc

import numpy as np
import pytest

import xpnet
from xpnet import DataError, ShapeError
from xpnet.data import DataLoader
from xpnet.data._sources import Arrays

X = np.arange(20.0).reshape(10, 2)
T = np.arange(10)
ORDER = np.random.default_rng([3, 1]).permutation(10).tolist()  # seed 3, epoch 1: as documented


def targets(batches):
    """The second entries of all batches, on the host."""
    return [xpnet.to_numpy(t).tolist() for _, t in batches]


def test_batches_on_the_device(backend):
    """Floats have the backend's dtype, class numbers are integers, and rows keep their targets."""
    loader = DataLoader(X, T, batch_size=4)
    batches = list(loader)
    assert [tuple(x.shape) for x, _ in batches] == [(4, 2), (4, 2), (2, 2)]
    for x, t in batches:
        assert x.dtype == backend.dtype
        assert backend.xp.isdtype(t.dtype, "integral")
        np.testing.assert_array_equal(xpnet.to_numpy(x)[:, 0], 2 * xpnet.to_numpy(t))
    assert targets(batches) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len(loader) == 3
    assert loader.samples == 10


@pytest.mark.parametrize("options", [{}, {"prefetch": 2}, {"resident": True}])
def test_the_order_is_the_documented_one_on_every_backend(backend, options):
    """It depends on seed and epoch only: host, thread and device have the same order."""
    loader = DataLoader(X, T, batch_size=4, shuffle=True, seed=3, **options)
    assert targets(loader) == [ORDER[:4], ORDER[4:8], ORDER[8:]]
    second = np.random.default_rng([3, 2]).permutation(10).tolist()
    assert targets(loader) == [second[:4], second[4:8], second[8:]]
    assert targets(loader.epoch(1)) == [ORDER[:4], ORDER[4:8], ORDER[8:]]


@pytest.mark.parametrize("prefetch", [0, 3])
@pytest.mark.parametrize("start", [0, 1, 2, 3])
def test_an_epoch_from_its_middle_equals_the_rest_of_the_whole_one(prefetch, start):
    """Order and transforms do not depend on earlier batches."""

    def noise(x, rng):
        return x + rng.normal(size=x.shape)

    options = {"batch_size": 4, "shuffle": True, "seed": 3, "transform": noise}
    whole = list(DataLoader(X, T, **options).epoch(5))
    rest = list(DataLoader(X, T, prefetch=prefetch, **options).epoch(5, start))
    assert len(rest) == 3 - start
    for (x, t), (expected_x, expected_t) in zip(rest, whole[start:], strict=True):
        np.testing.assert_array_equal(x, expected_x)
        np.testing.assert_array_equal(t, expected_t)


def test_transforms_draw_from_seed_epoch_and_batch():
    """The generator is the documented one, and differs from that of the order."""
    drawn = []

    def transform(x, rng):
        return drawn.append(rng.random()) or x

    list(DataLoader(X, T, batch_size=5, seed=3, transform=transform).epoch(2))
    assert drawn == [np.random.default_rng([3, 2, b]).random() for b in (1, 2)]
    assert drawn[0] != np.random.default_rng([3, 2]).random()


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("keep", [ORDER[:4], ORDER[4:8], ORDER[8:]]),
        ("drop", [ORDER[:4], ORDER[4:8]]),
        ("fill", [ORDER[:4], ORDER[4:8], ORDER[8:] + ORDER[:2]]),
    ],
)
@pytest.mark.parametrize("resident", [False, True])
def test_the_last_batch_is_kept_dropped_or_filled(last, expected, resident):
    """It is filled up with the first samples of the epoch."""
    options = {"batch_size": 4, "shuffle": True, "seed": 3, "last": last, "resident": resident}
    loader = DataLoader(X, T, **options)
    assert targets(loader) == expected
    assert len(loader) == len(expected)
    ordered = DataLoader(X, T, batch_size=4, last=last, resident=resident)
    tail = {"keep": [[8, 9]], "drop": [], "fill": [[8, 9, 0, 1]]}[last]
    assert targets(ordered) == [[0, 1, 2, 3], [4, 5, 6, 7], *tail]


def test_a_batch_may_be_larger_than_the_data():
    """It is short, or filled with all samples repeatedly; to drop it is an error."""
    assert targets(DataLoader(X, T, batch_size=11)) == [list(range(10))]
    filled = targets(DataLoader(X, T, batch_size=25, last="fill"))
    assert filled == [[*range(10), *range(10), *range(5)]]
    with pytest.raises(DataError, match=r"batch of 11 .* 10 samples.* smaller batch_size"):
        DataLoader(X, T, batch_size=11, last="drop")


def test_data_may_be_trees_of_arrays():
    """x and t may be tuples, dicts or lists; without t a batch is x only."""
    x = {"a": X.tolist(), "b": (T, T.astype(np.float64))}
    (batch,) = DataLoader(x, batch_size=10)
    assert list(batch) == ["a", "b"]
    assert batch["a"].dtype == np.float32
    assert batch["b"][0].tolist() == list(range(10))
    ((x, t),) = DataLoader((X, T), {"t": T}, batch_size=10, transform=lambda x, rng: x[::-1])
    assert x[0].tolist() == list(range(10))  # the transform swapped the entries of x
    assert t["t"].tolist() == list(range(10))


def test_batches_are_copies():
    """A transform that writes in place does not change the data."""

    def spoil(x, rng):
        x[...] = -1
        return x

    x = X.astype(np.float32)
    for options in {}, {"shuffle": True, "seed": 0}:
        list(DataLoader(x, T, transform=spoil, **options))
        for batch, _ in DataLoader(x, T, **options):
            batch[...] = -1
    np.testing.assert_array_equal(x, X)


def test_read_only_and_big_endian_arrays_are_accepted(backend):
    """Memory-mapped IDX files are such arrays."""
    x = np.arange(6, dtype=">i2").reshape(3, 2)
    x.flags.writeable = False
    for resident in False, True:
        ((batch,),) = DataLoader((x,), batch_size=3, resident=resident)
        assert xpnet.to_numpy(batch).tolist() == [[0, 1], [2, 3], [4, 5]]


def test_arrays_of_any_library_are_accepted(backend, array):
    """Data may be on the device already, or belong to another library."""
    (batch,) = list(DataLoader(array(X.tolist()), array(T), batch_size=10))
    np.testing.assert_array_equal(xpnet.to_numpy(batch[0]), X)


def test_resident_data_stay_on_their_backend():
    """A backend that is chosen later does not affect them."""
    with xpnet.using("array_api_strict:device1"):
        loader = DataLoader(X, T, batch_size=5, shuffle=True, seed=3, resident=True)
    assert targets(loader) == [ORDER[:5], ORDER[5:]]
    assert str(next(iter(loader))[0].device) != "cpu"


# --- seeds ----------------------------------------------------------------------------------------


def test_the_seed_is_drawn_after_manual_seed():
    """It is drawn once, and only if something is random."""
    xpnet.random.manual_seed(5)
    first = DataLoader(X, T, shuffle=True).seed
    xpnet.random.manual_seed(5)
    before = xpnet.random.state()
    assert DataLoader(X, T).seed == 0
    assert xpnet.random.state() == before
    loader = DataLoader(X, T, shuffle=True)
    assert loader.seed == first
    assert targets(DataLoader(X, T, shuffle=True, seed=first)) == targets(loader)
    seeds = [DataLoader(X, T, shuffle=True).seed for _ in range(20)]
    assert len(set(seeds)) == 20
    assert 2**58 < max(seeds) < 2**63  # drawn from all seeds, not from a few


def test_iter_counts_epochs_and_epoch_does_not():
    """`iter` is the next epoch; `epoch` may be called for any."""
    loader = DataLoader(X, T, batch_size=10, shuffle=True, seed=3)
    list(loader.epoch(7))
    assert targets(loader) == [ORDER]
    assert targets(loader) != [ORDER]


# --- streams --------------------------------------------------------------------------------------


def samples():
    """Yield ten samples."""
    for x, t in zip(X, T, strict=True):
        yield x, int(t)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_samples_of_a_generator_function_are_stacked(backend, prefetch):
    """Each epoch calls it again, and an epoch can be resumed."""
    loader = DataLoader(samples, batch_size=4, prefetch=prefetch)
    assert loader.samples is None
    for _ in range(2):
        assert targets(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    x, _ = next(loader.epoch(1, start=1))
    assert x.dtype == backend.dtype
    np.testing.assert_array_equal(xpnet.to_numpy(x), X[4:8])
    assert targets(loader.epoch(1, start=3)) == []


@pytest.mark.parametrize(
    ("last", "tail"), [("keep", [[8, 9]]), ("drop", []), ("fill", [[8, 9, 0, 1]])]
)
def test_the_last_batch_of_a_stream_is_kept_dropped_or_filled(last, tail):
    """This equals the last batch of arrays."""
    loader = DataLoader(samples, batch_size=4, last=last)
    assert targets(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], *tail]
    long = {"keep": [[*range(10)]], "drop": [], "fill": [[*range(10), *range(10), *range(5)]]}
    assert targets(DataLoader(samples, batch_size=25, last=last)) == long[last]


def test_a_function_may_yield_batches():
    """With batch_size=None they may have any length."""

    def batches():
        return iter([(X[:3], T[:3]), (X[3:], T[3:])])

    loader = DataLoader(batches, batch_size=None)
    assert targets(loader) == [[0, 1, 2], list(range(3, 10))]
    assert targets(loader.epoch(1, start=1)) == [list(range(3, 10))]
    with pytest.raises(DataError, match="Batch 1 of the stream has no samples"):
        list(DataLoader(lambda: iter([(X, T), (X[:0], T[:0])]), batch_size=None))


def test_a_function_that_shuffles_gets_a_generator():
    """It is the generator of the epoch."""

    def shuffled(rng):
        return ((X[i], i) for i in rng.permutation(10))

    loader = DataLoader(shuffled, batch_size=5, shuffle=True, seed=3)
    assert targets(loader) == [ORDER[:5], ORDER[5:]]
    assert targets(loader) != [ORDER[:5], ORDER[5:]]


def test_a_stream_is_closed_when_its_batches_are():
    """Its open files are closed at once, not when garbage is collected."""
    closed = []

    def source():
        try:
            yield from samples()
        finally:
            closed.append(True)

    for prefetch in 0, 2:
        batches = DataLoader(source, batch_size=2, prefetch=prefetch).epoch(1)
        next(batches)
        batches.close()
        assert closed.pop()


@pytest.mark.parametrize("batch_size", [3, None])
@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_generator_may_overwrite_the_array_that_it_yielded(batch_size, prefetch):
    """Earlier samples do not change."""

    def refills():
        x = np.zeros((1, 2))
        for i in range(6):
            x[...] = i
            yield x

    batches = list(DataLoader(refills, batch_size=batch_size, prefetch=prefetch))
    assert np.concatenate(batches).reshape(6, 2)[:, 0].tolist() == [0, 1, 2, 3, 4, 5]


def test_samples_that_cannot_be_stacked_are_refused():
    """The message names the first one that differs."""

    def odd():
        return iter([(np.zeros(2), 0), (np.zeros(3), 1)])

    with pytest.raises(DataError, match=r"Sample 1 .* \(3,\) at \[0\], but sample 0 has \(2,\)"):
        list(DataLoader(odd))
    with pytest.raises(DataError, match="Sample 1 of the stream: Expected a tree like"):
        list(DataLoader(lambda: iter([(1.0, 2), 1.0])))
    with pytest.raises(DataError, match="numbers"):
        list(DataLoader(lambda: iter(["text"])))


def test_a_stream_that_has_become_shorter_is_an_error():
    """The epoch is not just empty."""
    with pytest.raises(DataError, match="Expected batch 5 of epoch 2, which has 3 now"):
        list(DataLoader(samples, batch_size=4).epoch(2, start=5))


# --- files larger than memory ------------------------------------------------------------------


@pytest.fixture
def mapped(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(2000, dtype=np.float32).reshape(1000, 2))
    return np.load(tmp_path / "x.npy", mmap_mode="r")


def test_samples_of_a_stream_may_be_numbers_of_a_mapped_file(mapped):
    """They have no axis."""
    (batch,) = DataLoader(lambda: (mapped[i, 0, ...] for i in range(3)))
    np.testing.assert_array_equal(batch, [0, 2, 4])
    with pytest.raises(ShapeError, match=r"got shape \(\)"):
        DataLoader(mapped[0, 0, ...])


@pytest.mark.parametrize("last", ["keep", "fill"])
def test_memory_mapped_files_have_the_same_batches(mapped, last):
    """The batches equal those of an array in memory."""
    options = {"batch_size": 300, "shuffle": True, "seed": 1, "last": last}
    for (x,), (expected,) in zip(
        DataLoader((mapped,), **options), DataLoader((np.array(mapped),), **options), strict=True
    ):
        np.testing.assert_array_equal(x, expected)
        assert not isinstance(x, np.memmap)


class Announced(mmap.mmap):
    """A mapped file that records which bytes were announced, and then raises."""

    def madvise(self, advice, start, length):
        assert advice == mmap.MADV_WILLNEED
        self.bytes = [*getattr(self, "bytes", []), range(start, start + length)]
        if len(self.bytes) > 1:
            raise OSError("never mind")


@pytest.mark.skipif(not hasattr(mmap, "MADV_WILLNEED"), reason="this system takes no advice")
@pytest.mark.parametrize(
    "view", [np.s_[:], np.s_[::-1], np.s_[5::3, 100:1900], np.s_[:, 7], np.s_[:, ::2]], ids=str
)
def test_rows_of_a_mapped_file_are_announced_to_the_system(tmp_path, view):
    """Each contiguous row is announced from the beginning of its page. The system may fail to."""
    np.arange(200_000, dtype=np.float32).tofile(tmp_path / "x")  # number i is at byte 4 i
    with (tmp_path / "x").open("rb") as file:
        mapped = Announced(file.fileno(), 0, access=mmap.ACCESS_READ)
    x = np.ndarray((100, 2000), np.float32, buffer=mapped)[view]
    rows = np.asarray([7, 2, 7])
    np.testing.assert_array_equal(Arrays(x).take(rows), np.array(x)[rows])
    ends = [(4 * int(x[i].min()), 4 * int(x[i].max()) + 4) for i in (2, 7)]
    expected = [range(start - start % mmap.PAGESIZE, stop) for start, stop in ends]
    assert getattr(mapped, "bytes", []) == ([] if view == np.s_[:, ::2] else expected)


def test_a_file_may_be_much_larger_than_memory(tmp_path):
    """Three batches of a terabyte take the memory of a few batches."""
    rows, length = 1 << 20, 1 << 18  # of 1 MiB each
    with (tmp_path / "large").open("wb") as file:
        try:
            file.truncate(4 * rows * length)  # a hole: it takes no space on disk
            file.seek(4 * length * (rows - 1))
            file.write(np.full(length, 7, np.float32).tobytes())
        except OSError as error:
            pytest.skip(f"no file system for large files: {error}")
    x = np.memmap(tmp_path / "large", np.float32, "r", shape=(rows, length))
    loader = DataLoader(x, np.arange(rows), batch_size=4, shuffle=True, seed=0)
    last = int(np.flatnonzero(loader.order(1) == rows - 1)[0])  # its place in the epoch
    tracemalloc.start()
    try:
        batches = loader.epoch(1, start=last // 4)
        batch, t = next(batches)
        place = t.tolist().index(rows - 1)
        assert batch[place].min() == batch[place].max() == 7
        assert np.delete(batch, place, axis=0).max() == 0
        next(batches)
        next(batches)
        # The order takes 8 MiB, drawing it takes 8 MiB more, and a batch takes 4 MiB.
        assert tracemalloc.get_traced_memory()[1] < 40e6
    finally:
        tracemalloc.stop()


class OnDisk:
    """Like a data set of an HDF5 file: rows are indexed in ascending order, once each."""

    def __init__(self, x):
        self.x, self.shape, self.dtype, self.asked = x, x.shape, x.dtype, []

    def __getitem__(self, rows):
        if isinstance(rows, slice):
            self.asked.append(len(self.x[rows]))
        else:
            assert np.all(np.diff(rows) > 0)
            self.asked.append(len(rows))
        return self.x[rows]


def test_objects_that_look_like_arrays_are_read_batch_by_batch():
    """They are never read as a whole."""
    disk = OnDisk(X)
    assert targets(DataLoader(disk, T, batch_size=4, shuffle=True, seed=3)) == [
        ORDER[:4], ORDER[4:8], ORDER[8:]
    ]  # fmt: skip
    (_, _, (x, _)) = DataLoader(disk, T, batch_size=4, last="fill")
    np.testing.assert_array_equal(x[:, 0], [16, 18, 0, 2])
    assert max(disk.asked) <= 4
    assert targets(DataLoader(disk, T, batch_size=4, resident=True, seed=3, shuffle=True)) == [
        ORDER[:4], ORDER[4:8], ORDER[8:]
    ]  # fmt: skip


class Labelled:
    """Like a Series of pandas: rows are indexed by labels, and it converts itself to NumPy."""

    shape, dtype = (10,), np.dtype(np.int64)

    def __getitem__(self, rows):
        raise KeyError(rows)

    def __array__(self, dtype=None, copy=None):
        return T

    to_numpy = __array__


def test_rows_are_not_indexed_by_label():
    assert targets(DataLoader(X, Labelled(), batch_size=4, shuffle=True, seed=3))[0] == ORDER[:4]


class Strange:
    """Like a sparse matrix: it looks like an array, but its rows do not."""

    shape, dtype = (10, 2), np.dtype(np.float64)

    def __getitem__(self, rows):
        return object()


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        ((X, T[:9]), {}, ShapeError, "10 at .0., 9 at .1."),
        ((X[:0],), {}, ShapeError, r"n >= 1, got shape \(0, 2\)"),
        ((np.float32(1.0),), {}, ShapeError, "samples"),
        (((),), {}, ShapeError, "no array"),
        ((["a", "b"],), {}, DataError, "numbers, got a list of <U1"),
        (([[1, 2], [3]],), {}, ShapeError, "got a list: .*inhomogeneous"),
        (([(X[0], 1), (X[1], 0)],), {}, ShapeError, "give a function that returns an iterator"),
        ((np.ma.masked_equal(X, 3.0),), {}, DataError, "got a masked array"),
        ((Strange(),), {}, DataError, "numbers, got a Strange of object"),
        ((X, T), {"batch_size": 0}, ValueError, "batch_size >= 1, got 0"),
        ((X, T), {"batch_size": 2.5}, TypeError, "integer"),
        ((X, T), {"batch_size": None}, ValueError, "functions that yield batches"),
        ((X, T), {"last": "pad"}, ValueError, "'keep', 'drop' or 'fill'"),
        ((X, T), {"seed": -1}, ValueError, "seed >= 0"),
        ((X, T), {"prefetch": -1}, ValueError, "prefetch >= 0"),
        ((X, T), {"resident": True, "prefetch": 1}, ValueError, "no prefetch"),
        ((X, T), {"resident": True, "transform": abs}, ValueError, "no transform"),
        ((samples, T), {}, ValueError, "Expected no t: "),
        ((samples,), {"resident": True}, ValueError, "resident"),
        (
            (samples,),
            {"batch_size": None, "last": "drop"},
            ValueError,
            "Expected last='keep' for a function that yields batches",
        ),
        ((samples(),), {}, TypeError, "only once. Give the function"),
    ],
)
def test_invalid_arguments_are_refused(arguments, options, error, match):
    """They are refused at once, not during an epoch."""
    with pytest.raises(error, match=match):
        DataLoader(*arguments, **options)


@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"shuffle": True, "last": "fill"}])
def test_rows_are_those_of_the_samples_of_a_batch(options):
    """They are the rows in the data."""
    loader = DataLoader(np.arange(10), batch_size=4, seed=3, **options)
    for number, batch in enumerate(loader.epoch(2)):
        np.testing.assert_array_equal(loader.rows(2, number), batch)
    stream = DataLoader(lambda: iter(range(10)), batch_size=4)
    np.testing.assert_array_equal(stream.rows(1, 1), [4, 5, 6, 7])
    assert DataLoader(lambda: iter([np.arange(4)]), batch_size=None).rows(1, 0) is None


def test_invalid_positions_are_refused():
    """Epochs are counted from 1, batches from 0."""
    loader = DataLoader(X, T, batch_size=4)
    for epoch, start in (0, 0), (1, -1), (1, 4):
        with pytest.raises(ValueError, match="Expected"):
            loader.epoch(epoch, start)
    with pytest.raises(TypeError, match="no length"):
        len(DataLoader(samples))
    with pytest.raises(TypeError, match="their own order"):
        DataLoader(samples).order(1)


def test_repr_shows_the_arguments():
    """Arguments with their default are left out."""
    assert repr(DataLoader(X, T)) == "DataLoader(10 samples, 1 batch of 100)"
    loader = DataLoader(X, T, batch_size=4, shuffle=True, seed=3, last="drop", prefetch=2)
    assert repr(loader) == (
        "DataLoader(10 samples, 2 batches of 4, shuffle=True, seed=3, last='drop', prefetch=2)"
    )
    assert repr(DataLoader(samples, batch_size=8)) == "DataLoader(a stream, by 8)"


def test_a_thread_has_the_context_of_its_caller():
    """The backend of a `using` block is that of the thread."""
    before = threading.active_count()
    with xpnet.using("array_api_strict:device1", dtype="float64") as backend:
        (x, _), *_ = DataLoader(X, T, prefetch=1)
    assert x.device == backend.device
    assert x.dtype == backend.dtype
    assert threading.active_count() == before
