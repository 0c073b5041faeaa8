"""The faster of two ways is measured once per machine, so that a run can be repeated."""

import json
import os

import pytest

from xpnet.compiler.c import choices


@pytest.fixture
def new_process(tmp_path, monkeypatch):
    """A function that forgets what this process knows; the cache is the test's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def forget():
        monkeypatch.setattr(choices, "_known", {})
        choices._file.cache_clear()

    forget()
    yield forget
    monkeypatch.undo()
    choices._file.cache_clear()


def never():
    raise AssertionError("it was measured again")


@pytest.mark.parametrize("answer", [True, False])
def test_another_process_decides_alike(new_process, answer):
    assert choices.is_first_chosen("key", lambda: answer) is answer
    assert choices.is_first_chosen("key", never) is answer
    new_process()
    assert choices.is_first_chosen("key", never) is answer


def test_the_process_that_measures_first_decides(new_process):
    """Two processes measure at the same time, and one writes before the other."""

    def measured():
        known = choices._known
        new_process()
        choices._added({"key": True})
        choices._known = known
        return False

    assert choices.is_first_chosen("key", measured) is True


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"key": 3}', b"\xff"])
def test_a_damaged_file_is_written_anew(new_process, content):
    choices._file().write_bytes(content)
    assert choices.is_first_chosen("key", lambda: True) is True
    assert json.loads(choices._file().read_text()) == {"key": True}


def test_a_long_file_forgets_its_oldest_entries(new_process, monkeypatch):
    monkeypatch.setattr(choices, "MOST", 3)
    for key in "abcd":
        choices.is_first_chosen(key, lambda: True)
    assert set(json.loads(choices._file().read_text())) == {"b", "c", "d"}


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="permissions are those of POSIX")
def test_without_a_safe_folder_a_process_remembers_for_itself(new_process, tmp_path):
    folder = tmp_path / "xpnet" / "c"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    assert choices.is_first_chosen("key", lambda: True) is True
    assert choices.is_first_chosen("key", never) is True
    assert list(folder.iterdir()) == []
