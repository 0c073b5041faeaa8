"""The IDX reader: what it must read, and what it must refuse."""

import gzip
import lzma
import struct
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from xpnet.data import read_idx
from xpnet.errors import DataError

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
PACK = {"plain": bytes, "gz": gzip.compress, "xz": lzma.compress}


def idx(array):
    """The bytes of an array in the IDX format."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, CODES[array.dtype.str[1:]], array.ndim,
                         *array.shape)  # fmt: skip
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


LITTLE = 12e6  # bytes; 8 MiB of these are the dictionary of an ordinary xz file
SMALL = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


@pytest.fixture
def write(tmp_path):
    """A function that writes bytes to a file and returns its path."""

    def write(content, name="some-idx"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def refusal(path):
    """The message with which a file is refused, which must name it."""
    with pytest.raises(DataError) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_reads_bytes_written_by_hand(write):
    """The numbers are those that the big-endian bytes represent."""
    path = write(b"\0\0\x0b\x02\0\0\0\x01\0\0\0\x03\x00\x01\x01\x00\xff\xfe")
    array = read_idx(path)
    assert array.dtype == np.int16
    assert array.tolist() == [[1, 256, -2]]


@settings(max_examples=60, deadline=None)
@given(
    array=st.sampled_from(sorted(CODES)).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0))
    ),
    kind=st.sampled_from(sorted(PACK)),
)
@example(array=np.array(7.5), kind="plain")
@example(array=np.zeros((1,) * 64, np.uint8), kind="plain")
def test_every_array_is_read_back(tmp_path_factory, array, kind):
    """This holds bit for bit, for each dtype, number of dimensions and compression."""
    path = tmp_path_factory.getbasetemp() / "round-trip"
    path.write_bytes(PACK[kind](idx(array)))
    found = read_idx(path)
    assert found.shape == array.shape
    assert found.dtype == array.dtype
    assert found.dtype.isnative
    assert found.tobytes() == array.tobytes()
    assert found.flags.writeable
    assert found.flags.c_contiguous


@pytest.mark.parametrize("name", ["a", "a.gz", "a.xz"])
@pytest.mark.parametrize("kind", PACK)
def test_the_compression_is_recognised_by_the_content(write, kind, name):
    """The name of the file does not matter."""
    assert np.array_equal(read_idx(write(PACK[kind](idx(SMALL)), name)), SMALL)


@pytest.mark.parametrize("kind", ["gz", "xz"])
@pytest.mark.parametrize("piece", [1, 4, 1 << 18])
def test_several_compressed_streams_are_read_as_one(write, monkeypatch, kind, piece):
    """A file may have several streams, padded with zeros, which begin anywhere in a piece."""
    monkeypatch.setattr("xpnet.data.idx._PIECE", piece)
    content = idx(SMALL)
    packed = PACK[kind](content[:9]) + PACK[kind](content[9:]) + b"\0" * 8
    assert np.array_equal(read_idx(write(packed)), SMALL)


def test_a_missing_file_is_named(tmp_path):
    """The message has its path."""
    assert "no such file" in refusal(tmp_path / "nowhere")


def test_a_folder_is_refused(tmp_path):
    """It is not a file."""
    assert "directory" in refusal(tmp_path).lower()


@pytest.mark.parametrize("size", range(4))
def test_a_file_cut_in_the_magic_number_is_refused(write, size):
    """The message says how many bytes there are."""
    found = "1 byte" if size == 1 else f"{size} bytes"
    assert f"found {found} in all" in refusal(write(b"\0\0\x08\x01"[:size]))


def test_a_file_cut_in_the_sizes_is_refused(write):
    """The message says how many bytes were expected and found."""
    assert "3 dimensions need 12 bytes of sizes, found 7" in refusal(write(idx(SMALL)[:11]))


@pytest.mark.parametrize("kind", PACK)
def test_a_file_cut_in_the_data_is_refused(write, kind):
    """The message says how many bytes were promised and found."""
    message = refusal(write(PACK[kind](idx(SMALL)[:-5])))
    assert "int16 (2, 3, 4), which is 48 bytes of data, but only 43 are there" in message


@pytest.mark.parametrize("kind", ["gz", "xz"])
def test_a_truncated_compressed_stream_is_refused(write, kind):
    """It is reported as truncated, not as corrupt."""
    packed = PACK[kind](idx(SMALL))
    assert "stream ends too early" in refusal(write(packed[:-3]))


@pytest.mark.parametrize("kind", PACK)
def test_trailing_bytes_are_refused(write, kind):
    """Either the header or the data must be wrong."""
    assert "trailing bytes" in refusal(write(PACK[kind](idx(SMALL) + b"\0")))


@pytest.mark.parametrize("kind", ["gz", "xz"])
def test_garbage_after_the_compressed_stream_is_refused(write, kind):
    """Python's lzma would ignore it."""
    assert "unreadable or corrupt" in refusal(write(PACK[kind](idx(SMALL)) + b"garbage"))


@pytest.mark.parametrize("kind", ["gz", "xz"])
def test_a_wrong_checksum_of_the_compressed_stream_is_refused(write, kind):
    """This holds although it unpacks to the promised length."""
    noise = np.random.default_rng(0).bytes(64)  # incompressible, so both formats store it as it is
    packed = PACK[kind](b"\0\0\x08\x01\0\0\0\x40" + noise)
    assert noise in packed
    packed = packed.replace(noise, noise[::-1])
    assert "unreadable or corrupt" in refusal(write(packed))


def test_a_wrong_magic_number_is_shown(write):
    """The first bytes help to recognise a file of another format."""
    message = refusal(write(b"<!DOCTYPE html>"))
    assert "wrong magic number" in message
    assert "b'<!DO'" in message


def test_an_unknown_type_code_is_refused(write):
    """The message shows it, and the known codes."""
    message = refusal(write(b"\0\0\x0a\x01\0\0\0\x01x"))
    assert "type code 0a; expected one of 08, 09, 0b, 0c, 0d, 0e" in message


def test_too_many_dimensions_are_refused(write):
    """This is checked before anything else is read."""
    assert "65 dimensions" in refusal(write(b"\0\0\x08\x41" + b"\0\0\0\x01" * 65 + b"x"))


def test_an_empty_array_with_enormous_sizes_is_refused(write):
    """NumPy cannot represent such sizes, even if one of them is zero."""
    assert "NumPy rejects" in refusal(write(b"\0\0\x0e\x04" + b"\0" * 4 + b"\xff" * 12))


def peak_memory(path):
    """The peak of memory, in bytes, while a file was refused; and the message."""
    tracemalloc.start()
    try:
        return tracemalloc.get_traced_memory()[0], refusal(path), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", PACK)
def test_a_header_of_terabytes_takes_no_memory(write, kind):
    """2^96 promised elements are missing, which is noticed before memory is allocated."""
    before, message, peak = peak_memory(write(PACK[kind](b"\0\0\x0e\x03" + b"\xff" * 12 + b"few")))
    assert f"{8 * (2**32 - 1) ** 3} bytes of data, but only 3 are there" in message
    assert peak - before < LITTLE


@pytest.mark.parametrize("kind", ["gz", "xz"])
def test_a_decompression_bomb_takes_no_memory(write, kind):
    """A stream is not unpacked beyond the promise of its header."""
    bomb = PACK[kind](b"\0\0\x08\x01\0\0\0\x04" + bytes(40_000_000))
    before, message, peak = peak_memory(write(bomb))
    assert "trailing bytes" in message
    assert peak - before < LITTLE


def test_a_dictionary_of_gigabytes_is_refused(write):
    """An xz header asks for 4 GiB, which are not allocated."""
    packed = bytearray(lzma.compress(idx(SMALL), check=lzma.CHECK_CRC32))
    header = slice(12, 12 + 4 * packed[12])  # of the block; then its CRC-32
    assert packed[14:16] == b"\x21\x01"  # the LZMA2 filter, with one byte of properties
    packed[16] = 40  # 4 GiB, the format's largest
    packed[header.stop : header.stop + 4] = struct.pack("<I", zlib.crc32(packed[header]))
    assert "memory" in refusal(write(bytes(packed))).lower()


def test_too_little_memory_is_a_dataerror(write, monkeypatch):
    """The message names the file."""

    def exhausted(*_):
        raise MemoryError

    monkeypatch.setattr("xpnet.data.idx.take", exhausted)
    assert "too large for this machine's memory" in refusal(write(idx(SMALL)))


def test_without_lzma_only_xz_files_are_refused(write, monkeypatch):
    """The message says that this Python was built without lzma."""
    monkeypatch.setitem(sys.modules, "lzma", None)
    assert "without lzma" in refusal(write(PACK["xz"](idx(SMALL))))
    assert np.array_equal(read_idx(write(PACK["gz"](idx(SMALL)))), SMALL)


@pytest.mark.parametrize("kind", PACK)
def test_a_file_cut_anywhere_is_refused(write, kind):
    """This holds for every length of the beginning."""
    packed = PACK[kind](idx(SMALL))
    for size in range(len(packed)):
        refusal(write(packed[:size]))


def outcome(path):
    """The array, or None and the message of the DataError."""
    try:
        return read_idx(path), ""
    except DataError as error:
        return None, str(error)


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=60), start=st.sampled_from(
    [b"", b"\0\0", b"\0\0\x08\x01", b"\0\0\x0d\x02\0\0\0", b"\x1f\x8b\x08", b"\xfd7zXZ\0\0\4"]
))  # fmt: skip
def test_arbitrary_bytes_are_read_or_refused(tmp_path_factory, content, start):
    """They are an array of their length, or a DataError that names the file."""
    path = tmp_path_factory.getbasetemp() / "fuzz"
    path.write_bytes(start + content)
    array, message = outcome(path)
    assert message.startswith(f"{path}: ") if array is None else idx(array) == start + content


@settings(max_examples=200, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["gz", "xz"]))
def test_a_file_with_a_changed_byte_is_refused_or_unchanged(tmp_path_factory, data, kind):
    """A changed byte of a compressed file may not matter."""
    packed = bytearray(PACK[kind](idx(SMALL)))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "fuzz"
    path.write_bytes(packed)
    array, message = outcome(path)
    assert message.startswith(f"{path}: ") if array is None else np.array_equal(array, SMALL)
