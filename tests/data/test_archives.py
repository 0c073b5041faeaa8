"""NPZ archives: those that NumPy writes are read; forged ones, cut ones and pickles are refused."""

import io
import re
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

from xpnet import DataError
from xpnet.data import load_archive, load_samples, read_npz

X = np.arange(60.0).reshape(20, 3)
T = np.arange(20) % 2


@pytest.fixture
def save(tmp_path):
    def save(pack=np.savez, **arrays):
        pack(tmp_path / "data.npz", **arrays)
        return tmp_path / "data.npz"

    return save


@pytest.fixture
def forge(tmp_path):
    """A function that writes an archive with these members, byte for byte."""

    def forge(*members, compression=zipfile.ZIP_STORED):
        with zipfile.ZipFile(tmp_path / "data.npz", "w", compression) as archive:
            for name, content in members:
                archive.writestr(name, content)
        return tmp_path / "data.npz"

    return forge


def npy(header, data=b"", version=1):
    """The bytes of an array in NumPy's format, with any header."""
    text = header.encode("latin-1")
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + data


def header(descr="<f8", order=False, shape="(2,)"):
    return f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n"


def refusal(read, path, **options):
    with pytest.raises(DataError) as caught:
        read(path, **options)
    assert str(caught.value).startswith(str(path))
    return str(caught.value).removeprefix(str(path)).removeprefix(": ")


# --- the archive ----------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    "array",
    [
        *(
            np.arange(6).reshape(2, 3).astype(d)
            for d in ["?", "b", "B", "h", "H", "i", "I", "q", "Q", "e", "f", "d"]
        ),
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
        np.asarray(5.0),
        np.zeros((0, 3)),
        np.zeros((2, 0), order="F"),
    ],
    ids=lambda a: f"{a.dtype.str}{a.shape}",
)
def test_an_archive_that_numpy_writes_is_read(save, pack, array):
    """The arrays equal those that NumPy reads; they are writable and in native byte order."""
    path = save(pack, x=array, **{"folder/y": X})
    found = read_npz(path)
    assert list(found) == ["x", "folder/y"]
    with np.load(path) as expected:
        assert np.array_equal(found["x"], expected["x"])
    assert found["x"].dtype == array.dtype.newbyteorder("=")
    assert found["x"].flags.c_contiguous
    assert found["x"].flags.writeable
    assert np.array_equal(found["folder/y"], X)


@pytest.mark.parametrize("version", [2, 3])
def test_newer_versions_of_the_format_are_read(forge, version):
    path = forge(("x.npy", npy(header(), X[0, :2].tobytes(), version)))
    assert read_npz(path)["x"].tolist() == [0, 1]


def test_headers_as_long_as_a_page_are_read(forge):
    """Some writers fill up the header with spaces, so that the elements begin a page."""
    padded = header().strip().ljust(4096 - 10 - 1) + "\n"
    path = forge(("x.npy", npy(padded, X[0, :2].tobytes())))
    assert read_npz(path)["x"].tolist() == [0, 1]


def test_an_array_is_in_memory_once(save):
    path = save(x=np.ones(10**6))
    tracemalloc.start()
    try:
        read_npz(path)
        assert tracemalloc.get_traced_memory()[1] < 1.5 * 8e6
    finally:
        tracemalloc.stop()


def test_pickles_are_refused_without_being_executed(save, tmp_path):
    """The message says why."""
    flag = tmp_path / "executed"

    class Harm:
        def __reduce__(self):
            return (flag.touch, ())

    message = refusal(read_npz, save(x=np.asarray([Harm()], dtype=object)))
    assert "'x' is an array of Python objects, a pickle, which could execute anything" in message
    assert not flag.exists()


@pytest.mark.parametrize(
    "array",
    [np.asarray(["text"]), np.asarray([b"bytes"]), np.asarray([1j]), np.zeros(2, "M8[s]"),
     np.zeros(2, "f4,i4"), np.zeros(2, "V3")],
    ids=lambda a: a.dtype.str,
)  # fmt: skip
def test_arrays_of_other_types_are_refused(save, array):
    assert f"'x': expected an array of numbers, found {array.dtype}" in refusal(
        read_npz, save(x=array)
    )


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (
            b"",
            "expected an array in NumPy's format: EOF: reading magic string, expected 8 bytes got 0",
        ),
        (b"\x80\x04K\x01.........", "NumPy's format: the magic string is not correct"),
        (
            b"\x93NUMPY\x04\x00",
            "expected an array in NumPy's format: version 4, expected 1, 2 or 3",
        ),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "array header, expected 4294967295 bytes got 0"),
        (npy("__import__('os').system('true')"), "expected an array in NumPy's format"),
        (npy("(" * 60000), "expected an array in NumPy's format"),
        (npy("(" * 9000), "expected an array in NumPy's format"),
        (npy("-" * 9000 + "1"), "expected an array in NumPy's format"),
        (npy(header(shape="(-1,)")), "no array can have the shape (-1,)"),
        (npy(header(), bytes(15)), "which is 16 bytes, but there are fewer"),
        (npy(header(), bytes(17)), "which is 16 bytes, but there are more"),
        (npy(header(shape="(1000000000000,)")), "more than the limit"),
        (npy(header(shape="(100000000,)"), bytes(8)), "but there are fewer"),
        (npy(header(shape=f"({'9' * 19},)")), "no array can have the shape"),
        (npy(header(shape=f"({'1,' * 65})"), bytes(8)), "no array can have the shape"),
        (npy(header(shape="(0, 999999999999999999, 999999999999)")), "corrupt"),
    ],
)
def test_forged_headers_are_refused_without_allocating_memory(forge, content, match):
    """A header is neither executed nor believed."""
    path = forge(("x.npy", content))
    tracemalloc.start()
    try:
        message = refusal(read_npz, path)
        assert tracemalloc.get_traced_memory()[1] < 2e6
    finally:
        tracemalloc.stop()
    assert match in message


def test_arrays_above_the_limit_are_refused_before_they_are_in_memory(forge):
    """The limit holds for one array, and for the sum of several."""
    zeros = npy(header("|u1", shape="(100000000,)"), bytes(10**8))
    path = forge(("x.npy", zeros), compression=zipfile.ZIP_DEFLATED)
    del zeros
    assert path.stat().st_size < 2e5
    tracemalloc.start()
    try:
        message = refusal(read_npz, path, limit=10**7)
        assert tracemalloc.get_traced_memory()[1] < 2e6
    finally:
        tracemalloc.stop()
    assert "more than the limit for the archive allows: 10000000" in message
    part = npy(header("|u1", shape="(600,)"), bytes(600))
    assert "'b'" in refusal(read_npz, forge(("a.npy", part), ("b.npy", part)), limit=1000)
    assert read_npz(path, limit=1200)["b"].shape == (600,)


def test_forged_zip_files_are_refused(forge, save, tmp_path):
    good = npy(header(), bytes(16))
    assert "is not a .npy array" in refusal(read_npz, forge(("x.txt", b"text")))
    with pytest.warns(UserWarning, match="Duplicate"):
        path = forge(("x.npy", good), ("x.npy", good))
    assert "occurs twice" in refusal(read_npz, path)
    path = forge(("x.npy", good), compression=zipfile.ZIP_BZIP2)
    assert "in a way that NumPy never uses" in refusal(read_npz, path)
    content = bytearray(save(x=X).read_bytes())
    content[200] ^= 1  # within the data: the checksum detects it
    (tmp_path / "data.npz").write_bytes(content)
    assert "Bad CRC-32" in refusal(read_npz, tmp_path / "data.npz")
    path = forge(("x.npy", good))
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flag of encryption
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert "encrypted" in refusal(read_npz, path)


@pytest.mark.parametrize("kept", [0, 10, 100, -1])
def test_a_truncated_file_is_refused(save, kept):
    path = save(x=X, t=T)
    path.write_bytes(path.read_bytes()[:kept])
    assert "not an NPZ archive, truncated or corrupt" in refusal(read_npz, path)


def test_a_truncated_compressed_stream_is_refused(tmp_path):
    """The archive is complete, but the compressed data of an array end too early."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy(header(shape="(1000,)"), np.arange(1000.0).tobytes()))
    content = file.getvalue()
    start = content.index(b"x.npy") + 5
    length = struct.unpack("<I", content[18:22])[0]
    packed = zlib.compressobj(wbits=-15)
    broken = packed.compress(b"\x93NUMPY") + packed.flush(zlib.Z_SYNC_FLUSH)
    broken = broken + b"\x07" * (length - len(broken))  # no block of deflate begins with this byte
    (tmp_path / "x.npz").write_bytes(content[:start] + broken + content[start + length :])
    assert "corrupt" in refusal(read_npz, tmp_path / "x.npz")


def test_an_unreadable_file_is_an_error_that_names_it(tmp_path):
    assert refusal(read_npz, tmp_path / "none.npz") == "no such file; expected an NPZ archive"
    assert "Is a directory" in refusal(read_npz, tmp_path)


# --- the data set ---------------------------------------------------------------------------------


def test_x_and_t_are_split_into_training_and_test(save):
    """The split depends on the seed and is made class by class. The targets may be called y."""
    for names in ("x", "t"), ("x", "y"):
        path = save(**dict(zip(names, (X, T), strict=True)), other=X)
        (x, t), (x_test, t_test) = load_archive(path, test=0.2, seed=1)
        assert (x.shape, x_test.shape) == ((16, 3), (4, 3))
        assert np.bincount(t_test).tolist() == [2, 2]
        assert np.array_equal(x[:, 0] // 3 % 2, t)
        again = load_archive(path, test=0.2, seed=1)
        assert np.array_equal(again[1][0], x_test)
        assert not np.array_equal(load_archive(path, test=0.2, seed=2)[1][0], x_test)


def test_an_archive_with_a_test_part_is_not_split(save):
    """All four arrays are returned unchanged."""
    (x, t), (x_test, t_test) = load_archive(save(x_train=X, y_train=T, x_test=X[:4], y_test=T[:4]))
    assert np.array_equal(x, X)
    assert np.array_equal(t, T)
    assert np.array_equal(x_test, X[:4])
    assert np.array_equal(t_test, T[:4])


def test_targets_may_be_floats(save):
    (_, t), (_, t_test) = load_archive(save(x=X, t=X[:, :2] / 7))
    assert t.shape == (16, 2)
    assert t_test.dtype == np.float64


def test_integer_targets_of_a_regression_are_not_classes(save):
    """They may be negative, and each may occur only once."""
    t = np.arange(20) - 5
    path = save(x=X, t=t)
    with pytest.raises(DataError, match=r"t\[0\] is -5"):
        load_archive(path, test=0.5)
    (x, t), (x_test, t_test) = load_archive(path, test=0.5, task="regress")
    assert len(t) == len(t_test) == 10
    assert np.array_equal(x[:, 0] / 3 - 5, t)
    assert np.array_equal(x_test[:, 0] / 3 - 5, t_test)
    with pytest.raises(ValueError, match="'classify' or 'regress'"):
        load_archive(path, task="guess")


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"a": X, "b": T}, "expected arrays x and t, or x_train.*; found a, b"),
        ({"x": X}, r"expected x and t \(or y\); found x"),
        ({"t": T}, r"expected x and t \(or y\); found t"),
        ({"x_train": X, "t_train": T}, "has x_train, but not the other part: t_train, x_train"),
        ({"x_train": X, "t_train": T, "x_test": X}, "expected x_test and t_test"),
        ({"x": X, "t": T[:19]}, r"x of shape \(20, 3\), t of shape \(19,\)"),
        ({"x": X[:0], "t": T[:0]}, "one or more"),
        ({"x": 1.0, "t": 1}, "one or more"),
        ({"x": np.where(X == 7, np.nan, X), "t": T}, r"x\[2, 1\] is nan; expected numbers"),
        ({"x": X, "t": np.where(T == 1, np.inf, T)}, r"t\[1\] is inf; expected numbers"),
        ({"x": X, "t": T - 1}, r"t\[0\] is -1; expected classes, from 0 on"),
        (
            {"x_train": X, "t_train": T, "x_test": X, "t_test": T + (T == 0) * 7},
            "the test's target 0 is the class 7, which is not among the training's",
        ),
        (
            {"x_train": X, "t_train": T, "x_test": X[:, :2], "t_test": T},
            r"samples of shapes \(3,\) and \(\) for training, but \(2,\) and \(\) for the test",
        ),
        ({"x": X[:1], "t": T[:1]}, "too few"),
    ],
)
def test_an_archive_without_a_valid_data_set_is_refused(save, arrays, match):
    message = refusal(load_archive, save(**arrays))
    assert re.search(match, message)


# --- forms of targets and names of arrays ---------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        lambda t: t[:, None],  # Keras' CIFAR-10 and MedMNIST
        lambda t: t[:, None].astype("u1"),
        lambda t: np.eye(2)[t],
        lambda t: np.eye(2, dtype="u1")[t],
        lambda t: np.eye(2, dtype=bool)[t],
        lambda t: t.astype(bool),
        lambda t: t.astype(bool)[:, None],
        lambda t: t.astype("f2"),
        lambda t: t.astype("f8")[:, None],
        lambda t: t.astype("u2"),
    ],
)
def test_classes_in_another_form_become_class_numbers(save, form):
    """They are int64 of shape (n,), and split like classes that are stored so."""
    expected = load_archive(save(x=X, t=T))
    found = load_archive(save(x=X, t=form(T)))
    parts = load_archive(save(x_train=X, t_train=form(T), x_test=X[:4], t_test=form(T[:4])))
    for (x, t), (x_expected, t_expected) in zip(found, expected, strict=True):
        assert (t.dtype, t.tolist()) == (np.int64, t_expected.tolist())
        assert np.array_equal(x, x_expected)
    assert parts[0][1].tolist() == T.tolist()
    assert parts[1][1].tolist() == T[:4].tolist()


@pytest.mark.parametrize(
    "t",
    [
        np.linspace(0, 1, 20),
        np.full((20, 2), 1),  # two labels each
        np.stack([T, T], axis=1),  # one label or none
        np.full(20, 1e17),
        np.zeros((20, 1, 1)),
    ],
)
def test_targets_that_are_not_clearly_classes_are_unchanged(save, t):
    (_, t_train), (_, t_test) = load_archive(save(x=X, t=t))
    assert t_train.dtype == t_test.dtype == t.dtype
    assert t_train.shape[1:] == t.shape[1:]


@pytest.mark.parametrize("t", [T * 1.0, T[:, None], np.eye(2)[T], T.astype(bool)])
def test_targets_of_a_regression_are_unchanged(save, t):
    (_, found), _ = load_archive(save(x=X, t=t), task="regress")
    assert (found.dtype, found.shape[1:]) == (t.dtype, t.shape[1:])


@pytest.mark.parametrize(("scale", "dtype"), [(1000.0, "int64"), (2.0**53, "float64")])
def test_whole_floats_are_classes_if_they_are_exact(save, scale, dtype):
    (_, t), _ = load_archive(save(x=X, t=T * scale))
    assert t.dtype == dtype


def test_negative_floats_are_not_classes(save):
    with pytest.raises(DataError, match=r"t\[0\] is -1; expected classes, from 0 on"):
        load_archive(save(x=X, t=2.0 * T - 1))


@pytest.mark.parametrize(
    "names",
    [
        ("X", "y"),  # scikit-learn
        ("data", "target"),
        ("images", "labels"),
        ("features", "label"),
        ("x_train", "y_train", "x_test", "y_test"),  # Keras
        ("X_train", "y_train", "X_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),  # MedMNIST
        ("train_x", "train_y", "test_x", "test_y"),
    ],
)
def test_names_that_other_libraries_use_are_understood(save, names):
    """Other arrays in the archive are not read: a validation set, texts, a pickle."""
    arrays = dict(zip(names, (X, T, X[:4], T[:4]), strict=False))
    others = {"val_images": X, "feature_names": np.asarray(["a", "b"]), "notes": np.asarray([None])}
    (x, t), (x_test, t_test) = load_archive(save(**arrays, **others))
    if len(names) == 2:
        assert (len(x), len(x_test)) == (16, 4)
        return
    for found, expected in ((x, X), (t, T), (x_test, X[:4]), (t_test, T[:4])):
        assert np.array_equal(found, expected)
    assert np.array_equal(load_samples(save(**arrays, **others)), X[:4])


def test_the_name_x_has_priority_over_other_names(save):
    (x, _), _ = load_archive(save(data=X + 1, x=X, t=T, labels=T + 1), test=0.5)
    assert np.isin(x, X).all()


def test_text_targets_are_refused_with_advice(save):
    message = refusal(load_archive, save(x=X, t=np.asarray(["a", "b"])[T]))
    assert message.startswith("'t': expected an array of numbers")
    assert message.endswith("Text becomes numbers with numpy.unique(a, return_inverse=True)")
