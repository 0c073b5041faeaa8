"""Where onnxruntime-web comes from, and that it is the one that was published."""

import base64
import hashlib
import os
import re
import shutil
import tarfile

import pytest

from tests.report.drawing.conftest import FILES, written
from xpnet.errors import DataError
from xpnet.report.drawing import find_runtime, runtime as module

COPY = shutil.which("cp")
CACHED = "onnxruntime-web-1.30.0"  # in the cache
pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture
def npm(monkeypatch, tmp_path):
    """npm(line) puts a program of that name, of one line of shell, on an otherwise empty PATH."""
    if os.name == "nt":
        pytest.skip("the program that stands for npm is for a POSIX shell")
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def write(line):
        (folder / "npm").write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        (folder / "npm").chmod(0o755)

    return write


def packed(folder, path):
    """An archive of the package, as npm packs it."""
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, "package")
    return path


def content(found):
    return {module.MODULE: found.module, module.WASM: found.wasm}


# --- a folder or an archive that the user names -------------------------------------------------------


def test_a_folder_of_the_package(package):
    assert content(find_runtime(package)) == FILES
    assert content(find_runtime(package / "dist")) == FILES


def test_an_archive_of_the_package(package, tmp_path):
    assert content(find_runtime(packed(package, tmp_path / "any.tgz"))) == FILES


def test_the_environment_may_name_it(package, monkeypatch):
    monkeypatch.setenv(module.VARIABLE, str(package))
    assert content(find_runtime()) == FILES


def test_what_is_given_comes_before_the_environment(package, monkeypatch, tmp_path):
    monkeypatch.setenv(module.VARIABLE, str(tmp_path / "missing"))
    assert content(find_runtime(package)) == FILES


def test_a_folder_without_the_files(tmp_path):
    with pytest.raises(
        DataError, match=r"expected the npm package onnxruntime-web@1\.30\.0, a folder"
    ):
        find_runtime(tmp_path)


@pytest.mark.parametrize("name", ["cut", "text", "other"])
def test_an_archive_that_is_none_of_the_package(package, tmp_path, name):
    path = tmp_path / f"{name}.tgz"
    if name == "cut":
        whole = packed(package, path).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif name == "text":
        path.write_text("text")
    else:
        packed(tmp_path / "package" / "dist", path)
    with pytest.raises(DataError, match=rf"{name}\.tgz: expected the archive of the npm package"):
        find_runtime(path)


def test_a_folder_in_the_place_of_a_file(tmp_path):
    folder = written(tmp_path / "package", {module.WASM: b"\0asm"})
    (folder / "dist" / module.MODULE).mkdir()
    with pytest.raises(DataError, match="expected"):
        find_runtime(folder)
    with pytest.raises(DataError, match="SHA-256"):
        find_runtime(packed(folder, tmp_path / "folder.tgz"))


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_version(tmp_path, name):
    folder = written(tmp_path / "package", FILES | {name: b"other"})
    for given in (folder, packed(folder, tmp_path / "package.tgz")):
        with pytest.raises(DataError, match=rf"expected {re.escape(name)} of .*, with SHA-256"):
            find_runtime(given)


# --- npm ------------------------------------------------------------------------------------------


@pytest.fixture
def archive(package, tmp_path, monkeypatch):
    """The archive as it was published."""
    path = packed(package, tmp_path / module.ARCHIVE)
    digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    monkeypatch.setattr(module, "INTEGRITY", f"sha512-{digest}")
    return path


def copies(archive):
    """The line of a program that writes the archive to the folder that is its last argument."""
    return f'for last; do :; done; {COPY} {archive} "$last"'


def test_npm_fetches_it_once(archive, npm, tmp_path):
    """Into the cache, from which it is read the next time, without npm; that it does is announced."""
    npm(f'echo "$@" > {tmp_path}/asked; {copies(archive)}')
    said = []
    assert content(find_runtime(announce=said.append)) == FILES
    (sentence,) = said
    assert sentence.startswith("npm fetches onnxruntime-web@1.30.0, of 33 MB, for ")
    asked = (tmp_path / "asked").read_text(encoding="utf-8")
    assert asked.startswith("pack onnxruntime-web@1.30.0 --silent --pack-destination ")
    npm("exit 1")
    assert content(find_runtime(announce=said.append)) == FILES
    assert len(said) == 1
    assert {path.name for path in (tmp_path / "cache").rglob("o*")} == {CACHED, *FILES}


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_in_the_cache_is_fetched_again(archive, npm, tmp_path, name):
    npm(copies(archive))
    find_runtime()
    (tmp_path / "cache" / CACHED / name).write_bytes(b"damaged")
    assert content(find_runtime()) == FILES


def test_an_archive_that_was_not_published_is_refused(package, npm, tmp_path):
    """Even if the two files in it are right; nothing of it is kept."""
    npm(copies(packed(package, tmp_path / module.ARCHIVE)))
    with pytest.raises(DataError, match="with the integrity sha512-.*; expected sha512-q0y"):
        find_runtime()
    assert not (tmp_path / "cache").exists()


def test_npm_fails(npm):
    """Its own words are in the message, and what to do without it."""
    npm("echo no such registry >&2; exit 7")
    with pytest.raises(DataError, match="no such registry") as error:
        find_runtime()
    assert module.URL in str(error.value)
    assert "--onnxruntime-web" in str(error.value)


def test_npm_says_it_has_succeeded_and_has_written_nothing(npm):
    npm("exit 0")
    with pytest.raises(DataError, match="it wrote no onnxruntime-web-1.30.0.tgz"):
        find_runtime()


def test_npm_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="npm was not found. Install Node.js"):
        find_runtime()
