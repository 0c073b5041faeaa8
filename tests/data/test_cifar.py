"""CIFAR-10's binary version: records, archives, and malicious archives."""

import gzip
import io
import tarfile
import tracemalloc

import numpy as np
import pytest

from xpnet import DataError
from xpnet.data import load_dataset
from xpnet.data._cifar import ARCHIVE, FOLDER, RECORD, TEST, TRAIN, load_cifar_folder

NAMES = (*TRAIN, TEST)


def records(n, start=0):
    """n records; the label is the record's number, and the pixels count upwards from it."""
    labels = (np.arange(n) + start) % 10
    pixels = (labels[:, None] + np.arange(3072)) % 256
    return np.concatenate([labels[:, None], pixels], axis=1).astype(np.uint8).tobytes()


CONTENT = {name: records(3, start=i) for i, name in enumerate(NAMES)}


def tar(members, pack=gzip.compress):
    """An archive of (name, content), or of TarInfo objects."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for member, content in members:
            info = member
            if isinstance(member, str):
                info = tarfile.TarInfo(f"{FOLDER}/{member}")
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if content is not None else None)
    return pack(file.getvalue())


@pytest.fixture
def folder(tmp_path):
    def write(content):
        (tmp_path / ARCHIVE).write_bytes(content)
        return tmp_path

    return write


def refusal(folder):
    with pytest.raises(DataError) as caught:
        load_cifar_folder(folder)
    assert str(folder) in str(caught.value)
    return str(caught.value)


def require_content(loaded):
    (x, t), (x_test, t_test) = loaded
    assert x.shape == (15, 3, 32, 32)
    assert x_test.shape == (3, 3, 32, 32)
    assert t.tolist() == [0, 1, 2, 1, 2, 3, 2, 3, 4, 3, 4, 5, 4, 5, 6]
    assert t_test.tolist() == [5, 6, 7]
    # Red, row by row; then green: pixel (row 2, column 3) of channel 1 is number 1024 + 67.
    assert x[2, 1, 2, 3] == (2 + 1024 + 67) % 256
    assert x.dtype == t.dtype == np.uint8


def test_the_archive_is_read(folder):
    """Its files may be in any order, and other files are ignored."""
    members = [("readme.html", b"<p>"), *reversed(CONTENT.items()), ("batches.meta.txt", b"cat")]
    require_content(load_cifar_folder(folder(tar(members))))


@pytest.mark.parametrize("within", ["", FOLDER])
def test_the_unpacked_files_are_read(tmp_path, within):
    (tmp_path / within).mkdir(exist_ok=True)
    for name, content in CONTENT.items():
        (tmp_path / within / name).write_bytes(content)
    require_content(load_cifar_folder(tmp_path))


def test_load_dataset_reads_a_folder_with_the_archive(folder):
    """The images have values from 0 to 1, and three channels."""
    (x, t), (x_test, _) = load_dataset("cifar10", data_dir=folder(tar(CONTENT.items())))
    assert (x.shape, x.dtype, t.dtype) == ((15, 3, 32, 32), np.float32, np.int64)
    assert x.max() <= 1
    (flat, t), _ = load_dataset("cifar10", folder(tar(CONTENT.items())), flatten=True, one_hot=True)
    assert flat.shape == (15, 3072)
    assert t.shape == (15, 10)
    assert x_test.shape == (3, 3, 32, 32)


def test_missing_files_are_named(tmp_path, folder):
    assert f"expected {ARCHIVE}, or the files" in refusal(tmp_path)
    (tmp_path / "cifar-10-python.tar.gz").touch()
    assert "cifar-10-python.tar.gz holds pickles" in refusal(tmp_path)
    members = [(name, content) for name, content in CONTENT.items() if name != TRAIN[2]]
    assert "it has no data_batch_3.bin" in refusal(folder(tar(members)))


@pytest.mark.parametrize("size", [0, 1, RECORD - 1, 2 * RECORD + 1])
def test_incomplete_records_are_refused(folder, size):
    content = CONTENT | {TRAIN[1]: bytes(size)}
    assert f"{TRAIN[1]}: expected 1 to 10000 records of 3073 bytes, found {size}" in refusal(
        folder(tar(content.items()))
    )


def test_an_invalid_label_is_refused(folder):
    content = CONTENT | {TEST: CONTENT[TEST][:RECORD] + b"\x0a" + CONTENT[TEST][RECORD + 1 :]}
    assert f"{TEST}: record 1 has the label 10; expected 0 to 9" in refusal(
        folder(tar(content.items()))
    )


@pytest.mark.parametrize("kept", [0, 10, 200, -200, -9, -1])
def test_a_truncated_archive_is_refused(folder, kept):
    refusal(folder(tar(CONTENT.items())[:kept]))


@pytest.mark.parametrize("content", [b"PK\x03\x04", gzip.compress(b"text" * 1000), b"\x1f\x8b" * 9])
def test_a_file_that_is_not_an_archive_is_refused(folder, content):
    refusal(folder(content))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_the_archive_are_refused(folder, tmp_path, kind):
    """Only plain files are read."""
    (tmp_path / "secret").write_bytes(records(1))
    info = tarfile.TarInfo(f"{FOLDER}/{TRAIN[0]}")
    info.type, info.linkname = kind, str(tmp_path / "secret")
    rest = [(name, content) for name, content in CONTENT.items() if name != TRAIN[0]]
    assert "not a plain file" in refusal(folder(tar([(info, None), *rest])))


def test_paths_in_the_archive_have_no_effect(folder, tmp_path):
    """Nothing is written, and a file in another folder of the archive is not one of the six."""
    members = []
    for name in (f"../{TRAIN[0]}", f"/{FOLDER}/{TRAIN[0]}", TRAIN[0]):
        info = tarfile.TarInfo(name)
        info.size = RECORD
        members.append((info, records(1)))
    assert "no data_batch_1.bin" in refusal(folder(tar(members)))
    assert [p.name for p in tmp_path.iterdir()] == [ARCHIVE]


def test_a_file_that_occurs_twice_is_refused(folder):
    assert "test_batch.bin twice" in refusal(folder(tar([*CONTENT.items(), (TEST, records(1))])))


def test_an_archive_that_unpacks_to_gigabytes_is_refused_in_little_memory(folder):
    """This holds for a large file, and for a large header."""
    zeros = gzip.compress(bytes(1 << 24), 1)
    info = tarfile.TarInfo(f"{FOLDER}/{TRAIN[0]}")
    info.size = 1 << 34
    large = gzip.compress(info.tobuf()) + zeros * 20
    info = tarfile.TarInfo("readme")
    info.size = 1 << 34
    skipped = gzip.compress(info.tobuf()) + zeros * 20
    for bomb in large, skipped:
        tracemalloc.start()
        try:
            refusal(folder(bomb))
            assert tracemalloc.get_traced_memory()[1] < 5e6
        finally:
            tracemalloc.stop()


def test_an_unreadable_file_is_an_error_that_names_it(tmp_path):
    """A file that is too long is not read to its end."""
    for name, content in CONTENT.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / TRAIN[4]).unlink()
    assert f"{TRAIN[4]}: unreadable: No such file" in refusal(tmp_path)
    (tmp_path / TRAIN[4]).write_bytes(records(1) * 10_001)
    assert "found 30730001 bytes or more" in refusal(tmp_path)
