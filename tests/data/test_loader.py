"""DataLoader: which batches, in which order, on every backend; and where it says no."""

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
    """The second entries of batches, on the host."""
    return [xpnet.to_numpy(t).tolist() for _, t in batches]


def test_batches_on_the_device(backend):
    """Floats come in the backend's dtype, class numbers as integers, rows and targets together."""
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
    """A function of seed and epoch: host, thread and device give one order."""
    loader = DataLoader(X, T, batch_size=4, shuffle=True, seed=3, **options)
    assert targets(loader) == [ORDER[:4], ORDER[4:8], ORDER[8:]]
    second = np.random.default_rng([3, 2]).permutation(10).tolist()
    assert targets(loader) == [second[:4], second[4:8], second[8:]]
    assert targets(loader.epoch(1)) == [ORDER[:4], ORDER[4:8], ORDER[8:]]


@pytest.mark.parametrize("prefetch", [0, 3])
@pytest.mark.parametrize("start", [0, 1, 2, 3])
def test_an_epoch_from_its_middle_goes_on_as_the_whole_one(prefetch, start):
    """Order and transforms do not depend on what was given before."""

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
    """The generator is the documented one, and is not the one that made the order."""
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
def test_the_last_batch(last, expected, resident):
    """It is short, left out, or filled up with the first samples of the epoch."""
    options = {"batch_size": 4, "shuffle": True, "seed": 3, "last": last, "resident": resident}
    loader = DataLoader(X, T, **options)
    assert targets(loader) == expected
    assert len(loader) == len(expected)
    ordered = DataLoader(X, T, batch_size=4, last=last, resident=resident)
    tail = {"keep": [[8, 9]], "drop": [], "fill": [[8, 9, 0, 1]]}[last]
    assert targets(ordered) == [[0, 1, 2, 3], [4, 5, 6, 7], *tail]


def test_a_batch_larger_than_the_data():
    """It is short, or filled with all samples again and again; dropped, it would be no batch."""
    assert targets(DataLoader(X, T, batch_size=11)) == [list(range(10))]
    filled = targets(DataLoader(X, T, batch_size=25, last="fill"))
    assert filled == [[*range(10), *range(10), *range(5)]]
    with pytest.raises(DataError, match=r"batch of 11 .* 10 samples.* smaller batch_size"):
        DataLoader(X, T, batch_size=11, last="drop")


def test_trees_of_arrays():
    """x may be a tuple or dict; t too; a list is an array; without t a batch is x."""
    x = {"a": X.tolist(), "b": (T, T.astype(np.float64))}
    (batch,) = DataLoader(x, batch_size=10)
    assert list(batch) == ["a", "b"]
    assert batch["a"].dtype == np.float32
    assert batch["b"][0].tolist() == list(range(10))
    ((x, t),) = DataLoader((X, T), {"t": T}, batch_size=10, transform=lambda x, rng: x[::-1])
    assert x[0].tolist() == list(range(10))  # the transform swapped the entries of x
    assert t["t"].tolist() == list(range(10))


def test_batches_are_the_receivers_own():
    """A transform that writes in place changes no data."""

    def spoil(x, rng):
        x[...] = -1
        return x

    x = X.astype(np.float32)
    for options in {}, {"shuffle": True, "seed": 0}:
        list(DataLoader(x, T, transform=spoil, **options))
        for batch, _ in DataLoader(x, T, **options):
            batch[...] = -1
    np.testing.assert_array_equal(x, X)


def test_read_only_and_big_endian_arrays(backend):
    """As IDX files mapped to memory are."""
    x = np.arange(6, dtype=">i2").reshape(3, 2)
    x.flags.writeable = False
    for resident in False, True:
        ((batch,),) = DataLoader((x,), batch_size=3, resident=resident)
        assert xpnet.to_numpy(batch).tolist() == [[0, 1], [2, 3], [4, 5]]


def test_arrays_of_the_backend(backend, array):
    """Data may lie where the batches go, or come from another library."""
    (batch,) = list(DataLoader(array(X.tolist()), array(T), batch_size=10))
    np.testing.assert_array_equal(xpnet.to_numpy(batch[0]), X)


def test_resident_data_stay_where_they_were_sent():
    """A backend chosen later does not mix with them."""
    with xpnet.using("array_api_strict:device1"):
        loader = DataLoader(X, T, batch_size=5, shuffle=True, seed=3, resident=True)
    assert targets(loader) == [ORDER[:5], ORDER[5:]]
    assert str(next(iter(loader))[0].device) != "cpu"


# --- seeds ----------------------------------------------------------------------------------------


def test_the_seed_comes_from_manual_seed():
    """Drawn once, where something is random; an ordered loader draws nothing."""
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
    assert 2**58 < max(seeds) < 2**63  # of all seeds, not of a few


def test_iterating_counts_epochs_and_asking_does_not():
    """`epoch` is a question; `iter` goes on."""
    loader = DataLoader(X, T, batch_size=10, shuffle=True, seed=3)
    list(loader.epoch(7))
    assert targets(loader) == [ORDER]
    assert targets(loader) != [ORDER]


# --- streams --------------------------------------------------------------------------------------


def samples():
    """Ten samples, one after another."""
    for x, t in zip(X, T, strict=True):
        yield x, int(t)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_generator_function(backend, prefetch):
    """Its samples are stacked; each epoch calls it anew; it can be gone on with."""
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
def test_the_last_batch_of_a_stream(last, tail):
    """As for arrays, though nobody knows that it is the last before it ends."""
    loader = DataLoader(samples, batch_size=4, last=last)
    assert targets(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], *tail]
    long = {"keep": [[*range(10)]], "drop": [], "fill": [[*range(10), *range(10), *range(5)]]}
    assert targets(DataLoader(samples, batch_size=25, last=last)) == long[last]


def test_a_function_that_gives_batches():
    """With batch_size=None it makes them itself, of any length."""

    def batches():
        return iter([(X[:3], T[:3]), (X[3:], T[3:])])

    loader = DataLoader(batches, batch_size=None)
    assert targets(loader) == [[0, 1, 2], list(range(3, 10))]
    assert targets(loader.epoch(1, start=1)) == [list(range(3, 10))]
    with pytest.raises(DataError, match="Batch 1 of the stream has no samples"):
        list(DataLoader(lambda: iter([(X, T), (X[:0], T[:0])]), batch_size=None))


def test_a_function_that_shuffles():
    """It is given the generator of the epoch."""

    def shuffled(rng):
        return ((X[i], i) for i in rng.permutation(10))

    loader = DataLoader(shuffled, batch_size=5, shuffle=True, seed=3)
    assert targets(loader) == [ORDER[:5], ORDER[5:]]
    assert targets(loader) != [ORDER[:5], ORDER[5:]]


def test_a_stream_is_closed_when_its_batches_are():
    """Files that it has open are closed at once, not when memory is swept."""
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
def test_a_generator_may_fill_one_array_again_and_again(batch_size, prefetch):
    """What it gave before does not change with it."""

    def refills():
        x = np.zeros((1, 2))
        for i in range(6):
            x[...] = i
            yield x

    batches = list(DataLoader(refills, batch_size=batch_size, prefetch=prefetch))
    assert np.concatenate(batches).reshape(6, 2)[:, 0].tolist() == [0, 1, 2, 3, 4, 5]


def test_samples_that_make_no_batch():
    """The first one that differs is named."""

    def odd():
        return iter([(np.zeros(2), 0), (np.zeros(3), 1)])

    with pytest.raises(DataError, match=r"Sample 1 .* \(3,\) at \[0\], but sample 0 has \(2,\)"):
        list(DataLoader(odd))
    with pytest.raises(DataError, match="Sample 1 of the stream: Expected a tree like"):
        list(DataLoader(lambda: iter([(1.0, 2), 1.0])))
    with pytest.raises(DataError, match="numbers"):
        list(DataLoader(lambda: iter(["text"])))


def test_a_stream_that_became_shorter():
    """A position that it no longer has is an error, not an empty epoch."""
    with pytest.raises(DataError, match="Expected batch 5 of epoch 2, which has 3 batches now"):
        list(DataLoader(samples, batch_size=4).epoch(2, start=5))


# --- files larger than memory ------------------------------------------------------------------


@pytest.fixture
def mapped(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(2000, dtype=np.float32).reshape(1000, 2))
    return np.load(tmp_path / "x.npy", mmap_mode="r")


def test_single_numbers_of_a_mapped_file(mapped):
    """Samples of a stream that have no axis."""
    (batch,) = DataLoader(lambda: (mapped[i, 0, ...] for i in range(3)))
    np.testing.assert_array_equal(batch, [0, 2, 4])
    with pytest.raises(ShapeError, match=r"got shape \(\)"):
        DataLoader(mapped[0, 0, ...])


@pytest.mark.parametrize("last", ["keep", "fill"])
def test_memory_mapped_files(mapped, last):
    """The same batches as of the array in memory."""
    options = {"batch_size": 300, "shuffle": True, "seed": 1, "last": last}
    for (x,), (expected,) in zip(
        DataLoader((mapped,), **options), DataLoader((np.array(mapped),), **options), strict=True
    ):
        np.testing.assert_array_equal(x, expected)
        assert not isinstance(x, np.memmap)


class Told(mmap.mmap):
    """A mapped file that notes which bytes it was told of, and then refuses."""

    def madvise(self, advice, start, length):
        assert advice == mmap.MADV_WILLNEED
        self.bytes = [*getattr(self, "bytes", []), range(start, start + length)]
        if len(self.bytes) > 1:
            raise OSError("never mind")


@pytest.mark.skipif(not hasattr(mmap, "MADV_WILLNEED"), reason="this system takes no advice")
@pytest.mark.parametrize(
    "view", [np.s_[:], np.s_[::-1], np.s_[5::3, 100:1900], np.s_[:, 7], np.s_[:, ::2]], ids=str
)
def test_the_system_is_told_which_rows_are_read_next(tmp_path, view):
    """Each from the beginning of its page to its end; none with gaps. It need not listen."""
    np.arange(200_000, dtype=np.float32).tofile(tmp_path / "x")  # number i is at byte 4 i
    with (tmp_path / "x").open("rb") as file:
        told = Told(file.fileno(), 0, access=mmap.ACCESS_READ)
    x = np.ndarray((100, 2000), np.float32, buffer=told)[view]
    rows = np.asarray([7, 2, 7])
    np.testing.assert_array_equal(Arrays(x).take(rows), np.array(x)[rows])
    ends = [(4 * int(x[i].min()), 4 * int(x[i].max()) + 4) for i in (2, 7)]
    expected = [range(start - start % mmap.PAGESIZE, stop) for start, stop in ends]
    assert getattr(told, "bytes", []) == ([] if view == np.s_[:, ::2] else expected)


def test_a_file_much_larger_than_memory(tmp_path):
    """A terabyte of which three batches are read costs the memory of a few batches."""
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
        # The order takes 8 MiB and drawing it as much again; a batch takes 4, a few at a time.
        assert tracemalloc.get_traced_memory()[1] < 40e6
    finally:
        tracemalloc.stop()


class OnDisk:
    """What a data set of an HDF5 file is: it can be asked for rows in ascending order, once each."""

    def __init__(self, x):
        self.x, self.shape, self.dtype, self.asked = x, x.shape, x.dtype, []

    def __getitem__(self, rows):
        if isinstance(rows, slice):
            self.asked.append(len(self.x[rows]))
        else:
            assert np.all(np.diff(rows) > 0)
            self.asked.append(len(rows))
        return self.x[rows]


def test_what_only_looks_like_an_array_is_read_batch_by_batch():
    """Never as a whole."""
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
    """What a Series of pandas is: rows are called by labels, and it can say its numbers."""

    shape, dtype = (10,), np.dtype(np.int64)

    def __getitem__(self, rows):
        raise KeyError(rows)

    def __array__(self, dtype=None, copy=None):
        return T

    to_numpy = __array__


def test_rows_are_not_asked_for_by_label():
    assert targets(DataLoader(X, Labelled(), batch_size=4, shuffle=True, seed=3))[0] == ORDER[:4]


class Strange:
    """What a sparse matrix is: it looks like an array, but its rows are none."""

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
def test_what_makes_no_loader(arguments, options, error, match):
    """Each is said at once, not amid an epoch."""
    with pytest.raises(error, match=match):
        DataLoader(*arguments, **options)


@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"shuffle": True, "last": "fill"}])
def test_the_rows_of_a_batch(options):
    """Those whose samples it has."""
    loader = DataLoader(np.arange(10), batch_size=4, seed=3, **options)
    for number, batch in enumerate(loader.epoch(2)):
        np.testing.assert_array_equal(loader.rows(2, number), batch)
    stream = DataLoader(lambda: iter(range(10)), batch_size=4)
    np.testing.assert_array_equal(stream.rows(1, 1), [4, 5, 6, 7])
    assert DataLoader(lambda: iter([np.arange(4)]), batch_size=None).rows(1, 0) is None


def test_positions_that_are_not_there():
    """An epoch counts from 1, a batch from 0 to their number."""
    loader = DataLoader(X, T, batch_size=4)
    for epoch, start in (0, 0), (1, -1), (1, 4):
        with pytest.raises(ValueError, match="Expected"):
            loader.epoch(epoch, start)
    with pytest.raises(TypeError, match="no length"):
        len(DataLoader(samples))
    with pytest.raises(TypeError, match="their own order"):
        DataLoader(samples).order(1)


def test_repr():
    """What is not as usual is shown."""
    assert repr(DataLoader(X, T)) == "DataLoader(10 samples, 1 batches of 100)"
    loader = DataLoader(X, T, batch_size=4, shuffle=True, seed=3, last="drop", prefetch=2)
    assert repr(loader) == (
        "DataLoader(10 samples, 2 batches of 4, shuffle=True, seed=3, last='drop', prefetch=2)"
    )
    assert repr(DataLoader(samples, batch_size=8)) == "DataLoader(a stream, by 8)"


def test_a_thread_sees_the_block_that_asked():
    """A `using` block holds for what its thread prepares."""
    before = threading.active_count()
    with xpnet.using("array_api_strict:device1", dtype="float64") as backend:
        (x, _), *_ = DataLoader(X, T, prefetch=1)
    assert x.device == backend.device
    assert x.dtype == backend.dtype
    assert threading.active_count() == before
