"""Weights are saved and loaded; the errors say which file, and why."""

import errno
import json
import os
import re
import stat
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings, strategies as st

import xpnet
from tests.processes import environment
from xpnet.saving import safetensors as serialization


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
    """Memory order, byte order and strides do not affect the file."""
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
    """The error names the file, and the model is unchanged."""
    path = tmp_path / "m.safetensors"
    serialization.save(xpnet.MLP(3, 4, 2, rng=0), path)
    model = xpnet.MLP(3, 5, 2, rng=1)
    before = {name: x.copy() for name, x in model.state_dict().items()}
    with pytest.raises(xpnet.StateError, match=r"(?s)m\.safetensors.*\(3, 5\), got \(3, 4\)"):
        serialization.load(model, path)
    for name, x in model.state_dict().items():
        np.testing.assert_array_equal(x, before[name])


def test_a_missing_file_and_a_folder_have_different_errors(tmp_path):
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


def test_a_dtype_that_the_format_lacks_is_an_error_before_a_file_is_written(tmp_path):
    """Text has no place in it; the old file stays."""
    path = _file(tmp_path)
    before = path.read_bytes()
    with pytest.raises(xpnet.StateError, match=r"w\.safetensors"):
        serialization.save_file({"x": np.asarray(["text"])}, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_a_pipe_or_a_device_is_not_replaced_by_a_file(tmp_path):
    """By its own name, or through a link: otherwise root would replace /dev/null for all programs."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in pipe, link:
        with pytest.raises(xpnet.ArgumentError, match=f"{path}: expected a file, .* or a pipe"):
            serialization.save_file({"x": np.zeros(3)}, path)
    assert pipe.is_fifo()
    assert sorted(tmp_path.iterdir()) == [link, pipe]


def test_a_full_disk_names_the_file(tmp_path):
    """The system's error names no file, or, if the folder is missing, the temporary file."""
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


# --- what is replaced, and by what ----------------------------------------------------------------

on_posix = pytest.mark.skipif(os.name != "posix", reason="permissions and links are of POSIX")


@pytest.fixture
def write(tmp_path):
    """A function that replaces or creates a file, in each way that xpnet does."""

    def arrays(path):
        serialization.save_file({"x": np.arange(3.0)}, path)

    def text(path):
        with serialization.replacing(path) as temporary:
            temporary.write_text("new", encoding="utf-8")

    def another_file(path):
        """As a library does that creates the file itself."""
        with serialization.replacing(path) as temporary:
            temporary.unlink()
            temporary.write_text("new", encoding="utf-8")

    return {"arrays": arrays, "text": text, "another file": another_file}


WAYS = ["arrays", "text", "another file"]


@on_posix
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o664, 0o444])
def test_a_file_that_is_replaced_keeps_its_permissions(write, way, mode, tmp_path):
    path = tmp_path / "w"
    path.write_text("old")
    path.chmod(mode)
    write[way](path)
    assert path.read_bytes() != b"old"
    assert stat.S_IMODE(path.stat().st_mode) == mode


@on_posix
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_permissions_of_any_new_file(write, mask, tmp_path):
    before = os.umask(mask)
    try:
        for way in WAYS:
            write[way](tmp_path / way)
    finally:
        os.umask(before)
    assert {stat.S_IMODE((tmp_path / way).stat().st_mode) for way in WAYS} == {0o666 & ~mask}


@on_posix
def test_while_a_private_file_is_replaced_only_its_owner_can_read_the_new_one(tmp_path):
    path = tmp_path / "w"
    path.touch(0o600)
    with serialization.replacing(path) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600


@on_posix
def test_a_file_that_root_replaces_keeps_its_owner(write, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    for way in WAYS:
        path = tmp_path / way
        path.touch()
        os.chown(path, 12345, 23456)
        write[way](path)
        if way != "another file":  # whose creator decides
            assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


@on_posix
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("there", [True, False], ids=["there", "dangling"])
def test_a_symbolic_link_stays_one(write, way, there, tmp_path):
    """What it points to is replaced, and in its own folder; links to links as well."""
    (tmp_path / "disk").mkdir()
    file, link, outer = tmp_path / "disk" / "w", tmp_path / "link", tmp_path / "outer"
    if there:
        file.write_text("old")
    link.symlink_to("disk/w")
    outer.symlink_to(link)
    write[way](outer)
    assert link.is_symlink()
    assert outer.is_symlink()
    assert file.read_bytes() not in (b"old", b"")
    assert not file.is_symlink()
    assert [p.name for p in (tmp_path / "disk").iterdir()] == ["w"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["disk", "link", "outer"]


@on_posix
def test_a_temporary_name_cannot_be_guessed_and_a_link_is_not_followed(tmp_path, monkeypatch):
    """Two are different; and a link that lies there is an error, not a way to another file."""
    names = []
    for _ in range(2):
        with serialization.replacing(tmp_path / "w") as temporary:
            names.append(temporary.name)
            temporary.touch()
    assert names[0] != names[1]
    monkeypatch.setattr("secrets.token_hex", lambda n: "0" * 2 * n)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    link = tmp_path / f".w.{os.getpid()}-{'0' * 16}.part"
    link.symlink_to(victim)
    with pytest.raises(FileExistsError):
        serialization.save_file({}, tmp_path / "w")
    assert victim.read_text() == "precious"


def test_a_name_as_long_as_names_may_be(tmp_path):
    path = tmp_path / ("ü" * 125 + "x" * 5)
    serialization.save_file({}, path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("error", [errno.EROFS, errno.EACCES, errno.EIO])
def test_an_error_names_the_file_even_if_the_temporary_file_cannot_be_removed(
    tmp_path, monkeypatch, error
):
    """On a disk that has become read-only, what removes the temporary file fails too."""

    def fails(path, *args, **options):
        raise OSError(error, os.strerror(error), str(path))

    path = tmp_path / "x.csv"
    for name in ("replace", "unlink"):
        monkeypatch.setattr(Path, name, fails)
    with pytest.raises(OSError, match=re.escape(os.strerror(error))) as caught:
        serialization.save_file({}, path)
    assert (caught.value.errno, caught.value.filename) == (error, str(path))
    assert str(caught.value) == f"[Errno {error}] {os.strerror(error)}: {str(path)!r}"


@on_posix
@pytest.mark.parametrize("way", WAYS)
def test_the_content_is_on_the_disk_before_the_name(write, way, tmp_path, monkeypatch):
    """The file is synchronised, then renamed, then its folder is synchronised."""
    calls, sync, replace = [], os.fsync, Path.replace

    def synced(handle):
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        size = 0 if is_folder else os.fstat(handle).st_size
        calls.append(("folder" if is_folder else "file", size > 0))
        sync(handle)

    def replaced(self, target):
        calls.append(("rename", target.name))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    write[way](tmp_path / "w")
    assert calls == [("file", True), ("rename", "w"), ("folder", False)]


@on_posix
def test_sweep_removes_files_of_killed_processes_only(tmp_path):
    """A process that is killed in the middle leaves its temporary file; one that writes needs it."""
    program = (
        "import sys\nfrom xpnet.saving.safetensors import replacing\n"
        "with replacing(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n    print(temporary.name, flush=True)\n    input()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "w")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment()) as other:
        name = other.stdout.readline().strip()
        (tmp_path / ".mine.part").touch()
        (tmp_path / ".w.1-0.part").touch()
        with serialization.replacing(tmp_path / "w") as own:
            serialization.sweep(tmp_path, "w")
            left = {p.name for p in tmp_path.iterdir()}
        assert left == {name, own.name, ".mine.part", ".w.1-0.part"}
        other.kill()
    serialization.sweep(tmp_path, "w")
    assert {p.name for p in tmp_path.iterdir()} == {"w", ".mine.part", ".w.1-0.part"}


def test_sweep_removes_files_of_an_earlier_process_with_the_same_number(tmp_path):
    """In a container each process may be number 1."""
    (tmp_path / f".w.{os.getpid()}-0123456789abcdef.part").touch()
    (tmp_path / ".w.99999999999999999999-0.part").touch()
    serialization.sweep(tmp_path, "w")
    assert list(tmp_path.iterdir()) == []
