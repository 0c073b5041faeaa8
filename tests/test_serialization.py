"""Weights go to a file and come back, or the error says which file and why."""

import errno
import json
import os
import struct

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings, strategies as st

import xpnet
from xpnet import serialization


def test_arrays_of_any_library_come_back_bit_for_bit(backend, tmp_path):
    """The file holds the values, dtypes and shapes, and NumPy reads them."""
    state = {
        "a": backend.asarray([[1.5, -2.25], [0.1, 3e-30]]),
        "nested.0.n": backend.asarray(np.arange(6).reshape(2, 3), dtype="int32"),
    }
    serialization.save_file(state, tmp_path / "x.safetensors", {"k": "v"})
    loaded, metadata = serialization.load_file(tmp_path / "x.safetensors")
    assert metadata == {"k": "v"}
    assert list(loaded) == list(state)
    expected = np.asarray([[1.5, -2.25], [0.1, 3e-30]], np.float32)
    assert loaded["a"].dtype == np.float32
    assert loaded["a"].tobytes() == expected.tobytes()
    np.testing.assert_array_equal(loaded["nested.0.n"], [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize(
    "x",
    [
        np.asarray(2.5),
        np.arange(12.0).reshape(3, 4).T,
        np.arange(12.0).reshape(3, 4)[::-1, ::2],
        np.zeros((0, 3), np.float32),
        np.asarray([1.0, 2.0], ">f4"),
        np.asarray([True, False]),
        np.broadcast_to(np.float64(7.0), (2, 2)),
    ],
    ids=["0-d", "transposed", "strided", "empty", "big-endian", "bool", "broadcast"],
)
def test_odd_arrays_keep_their_values(x, tmp_path):
    """Memory order, byte order and strides are no part of what is saved."""
    serialization.save_file({"x": x}, tmp_path / "x.safetensors")
    loaded = serialization.load_file(tmp_path / "x.safetensors")[0]["x"]
    assert loaded.shape == x.shape
    np.testing.assert_array_equal(loaded, x)


def test_the_file_is_what_other_programs_read_and_write(tmp_path):
    """The safetensors package itself reads our file, and we read its."""
    x = np.asarray([[1.0, 2.0]], np.float32)
    serialization.save_file({"x": x}, tmp_path / "ours")
    np.testing.assert_array_equal(safetensors.numpy.load_file(tmp_path / "ours")["x"], x)
    safetensors.numpy.save_file({"x": x}, tmp_path / "theirs")
    state, metadata = serialization.load_file(tmp_path / "theirs")
    np.testing.assert_array_equal(state["x"], x)
    assert metadata == {}


def test_a_model_comes_back_on_any_backend(backend, tmp_path):
    """A model saved on NumPy gives the same scores where it is loaded."""
    with xpnet.using("numpy"):
        saved = xpnet.MLP(3, 4, 2, rng=0)
        x = np.asarray([[0.5, -1.0, 2.0]], np.float32)
        expected = xpnet.to_numpy(saved(x))
        serialization.save(saved, tmp_path / "m.safetensors", {"epoch": "3"})
    model = xpnet.MLP(3, 4, 2, rng=1)
    assert serialization.load(model, tmp_path / "m.safetensors") == {"epoch": "3"}
    np.testing.assert_allclose(xpnet.to_numpy(model(backend.asarray(x))), expected, rtol=1e-5)


def test_another_models_weights_are_refused_and_change_nothing(tmp_path):
    """The error names the file, and the model stays as it was."""
    path = tmp_path / "m.safetensors"
    serialization.save(xpnet.MLP(3, 4, 2, rng=0), path)
    model = xpnet.MLP(3, 5, 2, rng=1)
    before = {name: x.copy() for name, x in model.state_dict().items()}
    with pytest.raises(xpnet.StateError, match=r"(?s)m\.safetensors.*\(3, 5\), got \(3, 4\)"):
        serialization.load(model, path)
    for name, x in model.state_dict().items():
        np.testing.assert_array_equal(x, before[name])


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    """Both are StateErrors that name the path."""
    with pytest.raises(xpnet.StateError, match="none: .*no such file"):
        serialization.load_file(tmp_path / "none")
    with pytest.raises(xpnet.StateError, match="a folder"):
        serialization.load_file(tmp_path)


def _file(tmp_path):
    path = tmp_path / "w.safetensors"
    serialization.save_file({"x": np.arange(100.0)}, path)
    return path


@pytest.mark.parametrize("kept", [0, 4, 20, 200, -1])
def test_a_cut_file_is_an_error_that_names_it(kept, tmp_path):
    """However much is missing, from all of it to one byte."""
    path = _file(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(xpnet.StateError, match=r"w\.safetensors: cannot be read as safetensors"):
        serialization.load_file(path)


@pytest.mark.parametrize("content", [b"\x80\x04pickle" * 9, b"PK\x03\x04" * 30, b"{}", b"\0" * 64])
def test_a_foreign_file_is_an_error(content, tmp_path):
    """A pickle, an archive, JSON, zeros."""
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(xpnet.StateError, match=r"w\.safetensors"):
        serialization.load_file(path)


def test_a_dtype_that_numpy_lacks_is_an_error(tmp_path):
    """PyTorch's bfloat16, which the format has and NumPy has not, is refused with its name."""
    head = json.dumps({"x": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", len(head)) + head + b"ab")
    with pytest.raises(xpnet.StateError, match=r"w\.safetensors"):
        serialization.load_file(path)


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 10**6), value=st.integers(0, 255), cut=st.integers(0, 900))
def test_a_damaged_file_gives_our_error_or_arrays(tmp_path_factory, place, value, cut):
    """Any byte changed, any length cut: never another exception."""
    path = _file(tmp_path_factory.getbasetemp())
    data = bytearray(path.read_bytes()[: 900 - cut or None])
    if data:
        data[place % len(data)] = value
    path.write_bytes(bytes(data))
    try:
        serialization.load_file(path)
    except xpnet.StateError as error:
        assert "w.safetensors" in str(error)


def test_an_array_that_the_format_lacks_is_refused_before_a_file_is_touched(tmp_path):
    """Text has no place in it; the old file stays."""
    path = _file(tmp_path)
    before = path.read_bytes()
    with pytest.raises(xpnet.StateError, match=r"w\.safetensors"):
        serialization.save_file({"x": np.asarray(["text"])}, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_a_full_disk_names_the_file(tmp_path):
    """The system's own error names none, and that of a missing folder the temporary file."""
    path = tmp_path / "x.csv"
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    match = rf"No space left on device: '{path}'"
    with pytest.raises(OSError, match=match), serialization.replacing(path):
        raise full
    path = tmp_path / "none" / "x.csv"
    with pytest.raises(FileNotFoundError, match=rf"No such file or directory: '{path}'"):
        serialization.save_file({}, path)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    """As when the disk is full in the middle."""
    path = tmp_path / "x.csv"
    path.write_text("old")

    def fails():
        with serialization.replacing(path) as temporary:
            temporary.write_text("ne")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fails()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.csv"]
