"""Files that are checked as they are read."""

import hashlib

import pytest

from xpnet import DataError
from xpnet.data._checked import opened

CONTENT = bytes(range(256)) * 5000
SUM = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def path(tmp_path):
    (tmp_path / "file").write_bytes(CONTENT)
    return tmp_path / "file"


@pytest.mark.parametrize("size", [0, 1, 10**6, -1])
def test_the_whole_file_is_checked_however_much_is_read(path, size):
    with opened(path, SUM) as file:
        assert file.peek(6)[:6] == CONTENT[:6]
        assert file.read(size) == (CONTENT if size < 0 else CONTENT[:size])


@pytest.mark.parametrize("place", [0, 700_000, len(CONTENT) - 1])
@pytest.mark.parametrize("size", [0, 10])
def test_a_changed_byte_is_detected(path, place, size):
    data = bytearray(CONTENT)
    data[place] ^= 1
    path.write_bytes(data)
    with (
        pytest.raises(
            DataError, match=f"expected the SHA-256 checksum {SUM}.*damaged, or is another one"
        ),
        opened(path, SUM) as file,
    ):
        file.read(size)
    with opened(path) as file:  # without a checksum
        assert file.read() == data


def test_an_error_in_the_block_is_not_replaced(path):
    with pytest.raises(KeyError), opened(path, "0" * 64):
        raise KeyError


def test_a_missing_file_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError), opened(tmp_path / "none", SUM):
        pass
