"""The IDX reader: what it must read, and what it must refuse by name."""

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
    """Return the IDX bytes of `array`."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, CODES[array.dtype.str[1:]], array.ndim,
                         *array.shape)  # fmt: skip
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


LITTLE = 12e6  # bytes; the dictionary of an ordinary xz file alone takes 8 MiB of them
SMALL = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


@pytest.fixture
def write(tmp_path):
    """Return a function that writes bytes to a file and returns its path."""

    def write(content, name="some-idx"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def refusal(path):
    """Return the message with which `path` is refused, which must name it."""
    with pytest.raises(DataError) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_reads_bytes_written_by_hand(write):
    """A file spelled out byte by byte gives the numbers that its big-endian bytes stand for."""
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
def test_round_trip(tmp_path_factory, array, kind):
    """Any array of any IDX dtype, number of dimensions and packing comes back bit for bit."""
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
def test_the_content_tells_the_compression(write, kind, name):
    """A file is unpacked by what it holds, whatever its name says."""
    assert np.array_equal(read_idx(write(PACK[kind](idx(SMALL)), name)), SMALL)


@pytest.mark.parametrize("kind", ["gz", "xz"])
@pytest.mark.parametrize("piece", [1, 4, 1 << 18])
def test_reads_several_streams_as_one(write, monkeypatch, kind, piece):
    """A compressed file may be a row of streams, padded with zeros, wherever a piece of it ends."""
    monkeypatch.setattr("xpnet.data.idx._PIECE", piece)
    content = idx(SMALL)
    packed = PACK[kind](content[:9]) + PACK[kind](content[9:]) + b"\0" * 8
    assert np.array_equal(read_idx(write(packed)), SMALL)


def test_missing_file(tmp_path):
    """A file that is not there is named."""
    assert "no such file" in refusal(tmp_path / "nowhere")


def test_folder(tmp_path):
    """A folder is no file."""
    assert "directory" in refusal(tmp_path).lower()


@pytest.mark.parametrize("size", range(4))
def test_cut_in_the_magic_number(write, size):
    """A file shorter than four bytes says how many it has."""
    assert f"found {size} bytes in all" in refusal(write(b"\0\0\x08\x01"[:size]))


def test_cut_in_the_sizes(write):
    """A header that ends among the sizes says how many bytes it lacks."""
    assert "3 dimensions need 12 bytes of sizes, found 7" in refusal(write(idx(SMALL)[:11]))


@pytest.mark.parametrize("kind", PACK)
def test_cut_in_the_data(write, kind):
    """A whole stream with too few elements says what was promised and what is there."""
    message = refusal(write(PACK[kind](idx(SMALL)[:-5])))
    assert "int16 (2, 3, 4), which is 48 bytes of data, but only 43 are there" in message


@pytest.mark.parametrize("kind", ["gz", "xz"])
def test_cut_stream(write, kind):
    """A compressed file that ends in mid-stream is reported as cut, not as corrupt."""
    packed = PACK[kind](idx(SMALL))
    assert "stream ends too early" in refusal(write(packed[:-3]))


@pytest.mark.parametrize("kind", PACK)
def test_trailing_bytes(write, kind):
    """Elements beyond those in the header are an error, since one of the two must be wrong."""
    assert "trailing bytes" in refusal(write(PACK[kind](idx(SMALL) + b"\0")))


@pytest.mark.parametrize("kind", ["gz", "xz"])
def test_garbage_behind_the_stream(write, kind):
    """Bytes after the compressed stream are an error, even where Python's lzma ignores them."""
    assert "unreadable or corrupt" in refusal(write(PACK[kind](idx(SMALL)) + b"garbage"))


@pytest.mark.parametrize("kind", ["gz", "xz"])
def test_wrong_checksum(write, kind):
    """A stream whose checksum fails is corrupt, though it unpacks to the promised length."""
    noise = np.random.default_rng(0).bytes(64)  # incompressible, so both formats store it as it is
    packed = PACK[kind](b"\0\0\x08\x01\0\0\0\x40" + noise)
    assert noise in packed
    packed = packed.replace(noise, noise[::-1])
    assert "unreadable or corrupt" in refusal(write(packed))


def test_wrong_magic_number(write):
    """A file of another kind shows its first bytes, by which it can be recognized."""
    message = refusal(write(b"<!DOCTYPE html>"))
    assert "wrong magic number" in message
    assert "b'<!DO'" in message


def test_unknown_type_code(write):
    """A type code outside the format is shown beside those in it."""
    message = refusal(write(b"\0\0\x0a\x01\0\0\0\x01x"))
    assert "type code 0a; expected one of 08, 09, 0b, 0c, 0d, 0e" in message


def test_too_many_dimensions(write):
    """More dimensions than NumPy has are an error before anything else is read."""
    assert "65 dimensions" in refusal(write(b"\0\0\x08\x41" + b"\0\0\0\x01" * 65 + b"x"))


def test_empty_array_of_absurd_shape(write):
    """Sizes that NumPy cannot hold are an error, even if one of them is zero."""
    assert "NumPy rejects" in refusal(write(b"\0\0\x0e\x04" + b"\0" * 4 + b"\xff" * 12))


def peak_memory(path):
    """Return the most bytes of memory that were in use while `path` was refused, and why it was."""
    tracemalloc.start()
    try:
        return tracemalloc.get_traced_memory()[0], refusal(path), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", PACK)
def test_a_header_of_terabytes_takes_no_memory(write, kind):
    """A header that promises 2^96 elements fails for want of them, not for want of memory."""
    before, message, peak = peak_memory(write(PACK[kind](b"\0\0\x0e\x03" + b"\xff" * 12 + b"few")))
    assert f"{8 * (2**32 - 1) ** 3} bytes of data, but only 3 are there" in message
    assert peak - before < LITTLE


@pytest.mark.parametrize("kind", ["gz", "xz"])
def test_a_bomb_takes_no_memory(write, kind):
    """A stream that would unpack to far more than its header says is not unpacked."""
    bomb = PACK[kind](b"\0\0\x08\x01\0\0\0\x04" + bytes(40_000_000))
    before, message, peak = peak_memory(write(bomb))
    assert "trailing bytes" in message
    assert peak - before < LITTLE


def test_a_dictionary_of_gigabytes_is_refused(write):
    """An xz header that asks for a dictionary of 4 GiB is refused before it is allocated."""
    packed = bytearray(lzma.compress(idx(SMALL), check=lzma.CHECK_CRC32))
    header = slice(12, 12 + 4 * packed[12])  # of the block; then its CRC-32
    assert packed[14:16] == b"\x21\x01"  # the LZMA2 filter, with one byte of properties
    packed[16] = 40  # 4 GiB, the format's largest
    packed[header.stop : header.stop + 4] = struct.pack("<I", zlib.crc32(packed[header]))
    assert "memory" in refusal(write(bytes(packed))).lower()


def test_too_little_memory(write, monkeypatch):
    """Data beyond the machine's memory are a DataError too."""

    def exhausted(*_):
        raise MemoryError

    monkeypatch.setattr("xpnet.data.idx.take", exhausted)
    assert "too large for this machine's memory" in refusal(write(idx(SMALL)))


def test_python_without_lzma(write, monkeypatch):
    """A Python built without lzma says so, and still reads the other packings."""
    monkeypatch.setitem(sys.modules, "lzma", None)
    assert "without lzma" in refusal(write(PACK["xz"](idx(SMALL))))
    assert np.array_equal(read_idx(write(PACK["gz"](idx(SMALL)))), SMALL)


@pytest.mark.parametrize("kind", PACK)
def test_every_cut_is_refused(write, kind):
    """No beginning of a file, however long, passes for the whole."""
    packed = PACK[kind](idx(SMALL))
    for size in range(len(packed)):
        refusal(write(packed[:size]))


def outcome(path):
    """Return the array, or None and the message of the DataError."""
    try:
        return read_idx(path), ""
    except DataError as error:
        return None, str(error)


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=60), start=st.sampled_from(
    [b"", b"\0\0", b"\0\0\x08\x01", b"\0\0\x0d\x02\0\0\0", b"\x1f\x8b\x08", b"\xfd7zXZ\0\0\4"]
))  # fmt: skip
def test_fuzz_from_nothing(tmp_path_factory, content, start):
    """Arbitrary bytes are an array of just their length, or a DataError that names the file."""
    path = tmp_path_factory.getbasetemp() / "fuzz"
    path.write_bytes(start + content)
    array, message = outcome(path)
    assert message.startswith(f"{path}: ") if array is None else idx(array) == start + content


@settings(max_examples=200, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["gz", "xz"]))
def test_fuzz_from_a_good_file(tmp_path_factory, data, kind):
    """A compressed file with one byte changed is refused, or the change did not matter."""
    packed = bytearray(PACK[kind](idx(SMALL)))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "fuzz"
    path.write_bytes(packed)
    array, message = outcome(path)
    assert message.startswith(f"{path}: ") if array is None else np.array_equal(array, SMALL)
