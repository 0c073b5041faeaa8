"""open_samples: zarr, Parquet, Arrow and NumPy files give what the arrays in memory give."""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import xpnet
from tests.processes import environment
from xpnet import DataError, ShapeError, functions as F
from xpnet.data import DataLoader, open_samples
from xpnet.errors import MissingPackageError
from xpnet.training import Trainer

N = 103
X = np.random.default_rng(0).normal(size=(N, 3, 2)).astype(np.float32)
T = np.arange(N)
CUTS = (0, 20, 20, 64, 64 + 7, N)  # of the files: unequal, and one is empty


def parts(x):
    return [x[a:b] for a, b in pairwise(CUTS)]


def write_npy(folder, x=X, t=T):
    for name, array in (("x", x), ("t", t)):
        (folder / name).mkdir(parents=True)
        for i, part in enumerate(parts(array)):
            np.save(folder / name / f"{i:03}.npy", part)
    return folder


def write_zarr(folder, x=X, t=T, chunk=10, **options):
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    group = zarr.open_group(folder / "data.zarr", mode="w")
    for name, array in (("x", x), ("t", t)):
        chunks = (chunk, *array.shape[1:])
        stored = group.create_array(
            name, shape=array.shape, chunks=chunks, dtype=array.dtype, **options
        )
        stored[:] = array
    return folder / "data.zarr"


def table_of(x=X, t=T):
    """Columns: t, x as lists of lists of fixed sizes, and `a` and `b`, which are numbers of x."""
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    column = arrow.array(x.reshape(-1))
    for length in reversed(x.shape[1:]):
        column = arrow.FixedSizeListArray.from_arrays(column, length)
    return arrow.table({"x": column, "t": t, "a": x[:, 0, 0], "b": x[:, 1, 1].astype(np.float64)})


def write_parquet(folder, table=None, row_group_size=10):
    table = table or table_of()
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    (folder / "tables").mkdir()
    for i, (a, b) in enumerate(pairwise(CUTS)):
        name = folder / "tables" / f"{i:03}.parquet"
        parquet.write_table(table.slice(a, b - a), name, row_group_size=row_group_size)
    return folder / "tables"


def write_arrow(folder, table=None, **options):
    table = table or table_of()
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    (folder / "tables").mkdir()
    for i, (a, b) in enumerate(pairwise(CUTS)):
        path = str(folder / "tables" / f"{i:03}.arrow")
        settings = arrow.ipc.IpcWriteOptions(**options)
        with arrow.ipc.new_file(path, table.schema, options=settings) as file:
            file.write_table(table.slice(a, b - a), max_chunksize=10)
    return folder / "tables"


WRITERS = {"npy": write_npy, "zarr": write_zarr, "parquet": write_parquet, "arrow": write_arrow}


@pytest.fixture(params=WRITERS)
def folder(request, tmp_path):
    """The same samples in each format."""
    return WRITERS[request.param](tmp_path)


# --- the same as arrays in memory -----------------------------------------------------------------


def test_the_samples_are_those_of_the_arrays_in_memory(folder):
    """In their order, with their shapes and dtypes."""
    stored = DataLoader(open_samples(folder, x="x", t="t"), batch_size=8)
    memory = DataLoader(X, T, batch_size=8)
    assert len(stored) == len(memory)
    for (x, t), (expected_x, expected_t) in zip(stored, memory, strict=True):
        np.testing.assert_array_equal(x, expected_x)
        np.testing.assert_array_equal(t, expected_t)
        assert (x.dtype, t.dtype) == (expected_x.dtype, expected_t.dtype)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_shuffled_samples_keep_their_targets(folder, prefetch):
    loader = DataLoader(
        open_samples(folder, x="x", t="t", buffer=45 * 200),
        batch_size=8,
        shuffle=True,
        seed=0,
        prefetch=prefetch,
    )
    seen = []
    for x, t in loader:
        np.testing.assert_array_equal(x, X[t])
        seen += t.tolist()
    assert sorted(seen) == list(range(N))
    assert seen != list(range(N))
    rest = [t.tolist() for _, t in loader.epoch(1, start=5)]
    assert [i for part in rest for i in part] == seen[40:]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_ranks_have_parts_of_each_batch(folder, size):
    """Each sample comes once, at one rank."""
    source = open_samples(folder, x="x", t="t", buffer=45 * 200)
    order = source.order(8, seeds=(0, 1))
    whole = [t.tolist() for _, t in source.batches(order)]
    ranks = [list(source.batches(order, rank=r, size=size)) for r in range(size)]
    for expected, found in zip(whole, zip(*ranks, strict=True), strict=True):
        assert np.concatenate([t for _, t in found]).tolist() == expected
        for x, t in found:
            np.testing.assert_array_equal(x, X[t])


def test_trees_of_names(folder):
    """For models of several inputs."""
    data = open_samples(folder, x={"first": "x", "second": ("t", "x")}, t="t")
    for x, t in DataLoader(data, batch_size=10, shuffle=True, seed=0):
        np.testing.assert_array_equal(x["second"][0], t)
        np.testing.assert_array_equal(x["second"][1], x["first"])
        np.testing.assert_array_equal(x["first"], X[t])


def test_without_targets_a_batch_is_x(folder):
    x = next(iter(DataLoader(open_samples(folder, x="x"), batch_size=10)))
    np.testing.assert_array_equal(x, X[:10])


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int16", "uint32", "int64", "float16", "float64"]
)
def test_dtypes_are_kept(tmp_path, dtype):
    x = np.arange(N).astype(dtype)
    for name, write in WRITERS.items():
        (tmp_path / name).mkdir()
        if name in {"npy", "zarr"}:
            folder = write(tmp_path / name, x, T)
        else:
            arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
            folder = write(tmp_path / name, arrow.table({"x": x, "t": T}))
        source = open_samples(folder, x="x", t="t")
        batches = [x for x, _ in source.batches(source.order(10))]
        assert {b.dtype for b in batches} == {np.dtype(dtype)}
        np.testing.assert_array_equal(np.concatenate(batches), x)


@given(
    n=st.integers(1, 60),
    width=st.integers(0, 3),
    chunk=st.integers(1, 20),
    group=st.integers(1, 20),
)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_sizes(tmp_path_factory, n, width, chunk, group):
    """Of zarr's chunks, Parquet's row groups, and rows, which may be empty."""
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    folder = tmp_path_factory.mktemp("sizes")
    x = np.arange(n * width, dtype=np.int32).reshape(n, width)
    store = zarr.create_array(
        folder / "x.zarr", shape=(n, 1 + width), chunks=(chunk, 2), dtype="i4"
    )
    store[:, 1:] = x
    columns = {str(i): x[:, i] for i in range(width)} | {"t": np.arange(n)}
    arrow.parquet.write_table(arrow.table(columns), folder / "x.parquet", row_group_size=group)
    opened = [
        open_samples(folder / "x.zarr"),
        open_samples(folder / "x.parquet", x=["t", *map(str, range(width))]),
    ]
    for first, source in zip((0, np.arange(n)), opened, strict=True):
        expected = np.concatenate([np.zeros((n, 1), int), x], axis=1)
        expected[:, 0] = first
        batches = list(source.batches(source.order(7, seeds=(0, 1))))
        found = np.concatenate(batches)
        rows = np.concatenate(
            [source.order(7, seeds=(0, 1)).batch(i).rows for i in range(len(batches))]
        )
        assert sorted(rows) == list(range(n))
        np.testing.assert_array_equal(found, expected[rows])


# --- NumPy ----------------------------------------------------------------------------------------


def test_a_npy_file_alone(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "t.npy", T)
    (x,) = DataLoader(open_samples(tmp_path / "x.npy"), batch_size=N)
    np.testing.assert_array_equal(x, X)
    for names in ("x", "t"), ("x.npy", "t.npy"):
        ((x, t),) = DataLoader(open_samples(tmp_path, *names), batch_size=N)
        np.testing.assert_array_equal(x, X)
        np.testing.assert_array_equal(t, T)


def test_large_npy_files_are_read_in_blocks(tmp_path):
    """Of about 1 MiB, none of which crosses the end of a file."""
    x = np.arange(3_000_000, dtype=np.float64).reshape(-1, 100)
    np.save(tmp_path / "a.npy", x[:20_000])
    np.save(tmp_path / "b.npy", x[20_000:])
    source = open_samples(tmp_path)
    assert 20_000 in source.edges
    assert max(np.diff(source.edges)) == (1 << 20) // 800
    np.testing.assert_array_equal(np.concatenate(list(source.batches(source.order(999)))), x)


def test_npy_files_that_do_not_fit_are_named(tmp_path):
    np.save(tmp_path / "a.npy", X)
    np.save(tmp_path / "b.npy", X[:, :2])
    with pytest.raises(DataError, match=r"b.npy: expected rows of shape \(3, 2\) .*got \(2, 2\)"):
        open_samples(tmp_path)
    np.save(tmp_path / "b.npy", X.astype(np.float64))
    with pytest.raises(DataError, match=r"b.npy: expected .* float32, as in a.npy, got .* float64"):
        open_samples(tmp_path)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b"text"),
        lambda path: path.write_bytes(b""),
        lambda path: np.save(path, np.asfortranarray(np.zeros((3, 4)))),
        lambda path: np.save(path, np.float32(1.0)),
        lambda path: np.save(path, np.array([{}]), allow_pickle=True),
        lambda path: (np.savez(path), path.with_suffix(".npy.npz").rename(path)),
    ],
)
def test_other_files_are_refused_with_their_name(tmp_path, write):
    write(tmp_path / "x.npy")
    with pytest.raises(DataError, match="x.npy: expected"):
        open_samples(tmp_path / "x.npy")


@pytest.mark.parametrize("name", ["x.h5", "x.nc"])
def test_hdf5_files_are_refused_with_a_way_out(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x89HDF")
    with pytest.raises(DataError, match=rf"{name}: .*StoredSamples\(f\['x'\], f\['t'\]\)"):
        open_samples(tmp_path / name, x="x")


def test_strings_are_refused_with_a_way_out(tmp_path):
    """In tables, too: see below."""
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    names = np.array(["a", "b"])
    np.save(tmp_path / "x.npy", names)
    with pytest.raises(DataError, match="x.npy: expected numbers, got <U1.*numpy.unique"):
        open_samples(tmp_path / "x.npy")
    group = zarr.open_group(tmp_path / "x.zarr", mode="w", zarr_format=2)
    group.create_array("names", shape=(2,), chunks=(2,), dtype=names.dtype)
    with pytest.raises(DataError, match="the array '/names': expected numbers, got <U1"):
        open_samples(tmp_path / "x.zarr", x="names")


# --- files that are damaged, or change meanwhile --------------------------------------------------


def files_of(folder):
    return sorted(p for p in folder.rglob("*") if p.suffix in {".npy", ".parquet", ".arrow"})


@pytest.mark.parametrize("write", [write_npy, write_parquet, write_arrow])
@pytest.mark.parametrize("change", ["truncate", "append", "rewrite", "replace", "remove"])
def test_a_file_that_changes_meanwhile_is_named(tmp_path, write, change):
    """Whether its size changes or not, and whether it is read now or was read before."""
    folder = write(tmp_path)
    path = files_of(folder)[-1]
    loader = DataLoader(open_samples(folder, x="x", t="t"), batch_size=8)
    list(loader)
    content = path.read_bytes()
    if change == "truncate":
        os.truncate(path, len(content) // 2)
    elif change == "append":
        path.write_bytes(content + b"more")
    elif change == "rewrite":
        path.write_bytes(content)
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 10))
    elif change == "replace":
        (path.parent / "new").write_bytes(content)
        (path.parent / "new").replace(path)
    else:
        path.unlink()
    name = path.name if path.suffix != ".npy" else r"\d+.npy"
    with pytest.raises(
        DataError, match=rf"{name}(: No such file| was changed after it was opened)"
    ):
        list(loader)


@pytest.mark.parametrize("write", [write_npy, write_parquet, write_arrow])
def test_truncated_files_are_named_when_they_are_opened(tmp_path, write):
    folder = write(tmp_path)
    path = files_of(folder)[1 if write is write_npy else 0]
    os.truncate(path, path.stat().st_size - 7)
    with pytest.raises(DataError, match=path.name):
        open_samples(folder, x="x", t="t")


def test_a_damaged_chunk_of_zarr_is_named(tmp_path):
    folder = write_zarr(tmp_path)
    chunk = max((folder / "x" / "c").rglob("*"), key=lambda path: path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"rows 0 to \d+ of .*data.zarr.*x"):
        list(DataLoader(open_samples(folder, x="x", t="t"), batch_size=8))


def test_zarr_that_grows_meanwhile_keeps_its_samples(tmp_path):
    """Rows that are appended are not read; rows that are cut off are an error."""
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    folder = write_zarr(tmp_path)
    loader = DataLoader(open_samples(folder, x="x", t="t"), batch_size=8)
    group = zarr.open_group(folder, mode="r+")
    group["x"].append(X[:20])
    assert sum(len(t) for _, t in loader) == N


# --- zarr -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{}, {"compressors": None}, {"shards": (20, 3, 2)}, {"zarr_format": 2}]
)
def test_zarr_arrays_of_other_layouts(tmp_path, options):
    """Without compression, with shards, and in the older format."""
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    array = zarr.create_array(
        tmp_path / "x.zarr", shape=X.shape, chunks=(10, 3, 2), dtype=X.dtype, **options
    )
    array[:] = X
    (x,) = DataLoader(open_samples(tmp_path / "x.zarr"), batch_size=N)
    np.testing.assert_array_equal(x, X)


def test_zarr_names_that_are_missing(tmp_path):
    folder = write_zarr(tmp_path)
    with pytest.raises(DataError, match="expected an array 'y', got .*t"):
        open_samples(folder, x="y")
    with pytest.raises(DataError, match="expected an array None"):
        open_samples(folder)
    with pytest.raises(ValueError, match="the name of one array, got"):
        open_samples(folder, x=["x", "t"])
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(DataError, match="expected a zarr store"):
        open_samples(tmp_path / "empty.zarr")


# --- tables ---------------------------------------------------------------------------------------


def test_several_columns_side_by_side(tmp_path):
    """They have the dtype that holds them all."""
    for write in write_parquet, write_arrow:
        (tmp_path / write.__name__).mkdir()
        folder = write(tmp_path / write.__name__)
        source = open_samples(folder, x=["b", "a"], t="t")
        ((x, _),) = source.batches(source.order(N))
        assert x.dtype == np.float64
        np.testing.assert_array_equal(x, np.stack([X[:, 1, 1], X[:, 0, 0]], axis=1))


def test_tensors_of_a_fixed_shape(tmp_path):
    """pyarrow's extension type for pictures."""
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    tensors = arrow.FixedShapeTensorArray.from_numpy_ndarray(X)
    for write in write_parquet, write_arrow:
        (tmp_path / write.__name__).mkdir()
        folder = write(tmp_path / write.__name__, arrow.table({"x": tensors}))
        (x,) = DataLoader(open_samples(folder, x="x"), batch_size=N)
        np.testing.assert_array_equal(x, X)


def test_compressed_arrow_files(tmp_path):
    folder = write_arrow(tmp_path, compression="zstd")
    (x,) = DataLoader(open_samples(folder, x="x"), batch_size=N)
    np.testing.assert_array_equal(x, X)


@pytest.mark.parametrize("write", [write_parquet, write_arrow])
def test_a_null_is_an_error_that_names_column_and_row(tmp_path, write):
    """Of a number, of a list, and of a number within a list."""
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    pairs = arrow.list_(arrow.float32(), 2)
    lists = [[1.0, 2.0]] * N
    columns = {
        "a": arrow.array([None if i == 73 else i for i in range(N)]),
        "b": arrow.array([None if i == 71 else v for i, v in enumerate(lists)], pairs),
        "c": arrow.array([[1.0, None] if i == 72 else v for i, v in enumerate(lists)], pairs),
    }
    folder = write(tmp_path, arrow.table(columns))
    # Older versions of pyarrow cannot read a list that is null from Parquet, and say so themselves.
    refused = "|expected a file of Parquet, got: Expected all lists to be of size=2"
    for name, row in ("a", 73), ("b", 71), ("c", 72):
        match = rf"004.\w+: (the column '{name}' has a null in row {row} of{refused})"
        with pytest.raises(DataError, match=match):
            list(DataLoader(open_samples(folder, x=name), batch_size=8))


def test_columns_that_are_not_numbers_are_refused_with_a_way_out(tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    columns = {
        "name": ["a"] * N,
        "kind": arrow.array(["a"] * N).dictionary_encode(),
        "list": [[1.0]] * N,
        "when": arrow.array([0] * N, arrow.timestamp("s")),
    }
    for write in write_parquet, write_arrow:
        (tmp_path / write.__name__).mkdir()
        folder = write(tmp_path / write.__name__, arrow.table(columns))
        for name, advice in [
            ("name", "dictionary_encode"),
            ("kind", "indices"),
            ("list", "list_"),
            ("when", "cast"),
        ]:
            with pytest.raises(DataError, match=rf"numbers in the column '{name}', .*{advice}"):
                open_samples(folder, x=name)


def test_columns_that_do_not_fit_are_named(tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    folder = write_parquet(tmp_path)
    with pytest.raises(DataError, match="000.parquet: expected a column 'y', got x, t, a, b"):
        open_samples(folder, x="y")
    with pytest.raises(ValueError, match="expected the names of columns"):
        open_samples(folder)
    with pytest.raises(DataError, match=r"a number per row .*got float32 of shape \(3, 2\) in 'x'"):
        open_samples(folder, x=["a", "x"])
    arrow.parquet.write_table(arrow.table({"a": [1, 2]}), folder / "005.parquet")
    with pytest.raises(DataError, match="005.parquet: expected float32 in .* 'a', .* got int64"):
        open_samples(folder, x="a")


def test_a_stream_of_arrow_is_refused_with_a_way_out(tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    table = table_of()
    with arrow.ipc.new_stream(str(tmp_path / "x.arrow"), table.schema) as stream:
        stream.write_table(table)
    with pytest.raises(DataError, match=r"x.arrow: expected a file of Arrow.*new_file"):
        open_samples(tmp_path / "x.arrow", x="a")


# --- what is missing ------------------------------------------------------------------------------


def test_what_is_not_there(tmp_path):
    with pytest.raises(DataError, match="nowhere: there is no such"):
        open_samples(tmp_path / "nowhere")
    with pytest.raises(DataError, match="expected a .npy file or a folder"):
        open_samples(tmp_path)
    write_npy(tmp_path)
    with pytest.raises(DataError, match=r"y.npy: expected"):
        open_samples(tmp_path, x="y")
    np.save(tmp_path / "short.npy", T[:5])
    with pytest.raises(ShapeError, match="103 at .0., 5 at .1."):
        open_samples(tmp_path, x="x", t="short")


def test_a_folder_with_files_of_several_kinds_is_refused(tmp_path):
    """Nobody could tell which of them are meant."""
    write_npy(tmp_path)
    (tmp_path / "t.parquet").touch()
    with pytest.raises(DataError, match="of one kind, got NumPy and Parquet files"):
        open_samples(tmp_path, x="x", t="t")


@pytest.mark.parametrize(
    ("package", "file", "extra"),
    [
        ("zarr", "x.zarr", "zarr"),
        ("pyarrow", "x.parquet", "arrow"),
        ("pyarrow", "x.arrow", "arrow"),
    ],
)
def test_a_missing_library_is_named_with_its_command(tmp_path, monkeypatch, package, file, extra):
    (tmp_path / file).touch()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=rf'pip install "xpnet\[{extra}\]"') as caught:
        open_samples(tmp_path / file, x="x")
    assert caught.value.name == package


def test_the_libraries_are_imported_when_they_are_used():
    program = "import sys, xpnet.data; print({'zarr', 'pyarrow'} & set(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "set()"


def test_the_code_of_the_page_runs(tmp_path, monkeypatch):
    """docs/larger-than-memory.md: its first example, on a store of pictures."""
    page = (Path(__file__).parents[2] / "docs" / "larger-than-memory.md").read_text(
        encoding="utf-8"
    )
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    write_zarr(tmp_path)
    (tmp_path / "data.zarr").rename(tmp_path / "train.zarr")
    monkeypatch.chdir(tmp_path)
    model = xpnet.Sequential(xpnet.Flatten(), xpnet.Affine(6, N))
    optimizer = xpnet.SGD(model.parameters(), lr=0.01)
    trainer = Trainer(model, F.softmax_cross_entropy, optimizer)
    exec(code.replace('"images"', '"x"').replace('"labels"', '"t"'), {"trainer": trainer})
    assert len(trainer.history) == 10
