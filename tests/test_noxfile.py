"""noxfile.py: what a session needs is looked for before anything is built, and what is missing is no success."""

import contextlib
import importlib.util
import platform
import shutil
from pathlib import Path

import pytest

from tests.host_cuda import real_compiler

pytest.importorskip("nox", reason="nox runs the sessions: pip install nox")

ROOT = Path(__file__).parent.parent


class FailedError(Exception):
    """The session has ended as failed."""


class Session:
    """What a session is given, of which nothing is carried out, but noted."""

    def __init__(self, printed="", posargs=()):
        self.printed = printed  # by each command
        self.posargs = posargs
        self.commands = []

    def install(self, *requirements):
        pass

    def log(self, text):
        pass

    def run(self, *command, **options):
        self.commands.append(command)
        return self.printed

    def error(self, text):
        raise FailedError(text)


@pytest.fixture(scope="module")  # nox warns if a session is defined twice
def noxfile():
    spec = importlib.util.spec_from_file_location("noxfile", ROOT / "noxfile.py")
    module = importlib.util.module_from_spec(spec)
    with contextlib.chdir(ROOT):
        spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["c", "sanitized"])
def test_without_a_c_compiler_its_sessions_fail(noxfile, name, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(FailedError, match="needs a C compiler: gcc"):
        getattr(noxfile, name)(Session())


def test_without_a_sanitizer_its_session_fails(noxfile, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(FailedError, match="address sanitizer"):
        noxfile.sanitized(
            Session("libasan.so\n")
        )  # gcc prints the name alone if it has no such file


def ignored(noxfile, library, posargs=()):
    """The tests that the session of a library leaves to other sessions."""
    session = Session("(1,)", posargs)
    noxfile.tests(session, library)
    (command,) = [x for x in session.commands if "pytest" in x]
    return [word.partition("=")[2] for word in command if word.startswith("--ignore=")]


def test_without_a_gpu_the_tests_of_kernels_run_once(noxfile, monkeypatch):
    """In the session that gives their sources to NVIDIA's compiler; with a GPU, and by name, here too."""
    monkeypatch.delenv("XPNET_REQUIRE_GPU", raising=False)
    monkeypatch.setattr(noxfile, "emulated_device", lambda session: {"HOST_CUDA": "folder"})
    monkeypatch.setattr(noxfile, "cuda_of_driver", lambda: (0, "there is none"))
    assert ignored(noxfile, "cupy") == [*real_compiler.TESTS, "tests/test_cupy_names.py"]
    assert ignored(noxfile, "cupy", ["-k", "relu"]) == []
    monkeypatch.setattr(noxfile, "cuda_of_driver", lambda: (13000, ""))
    assert ignored(noxfile, "cupy") == []


@pytest.mark.parametrize("library", ["torch", "jax", "array_api_strict"])
def test_other_libraries_leave_nothing_out(noxfile, library):
    assert ignored(noxfile, library) == []


@pytest.mark.parametrize(
    ("system", "machine", "tag"),
    [
        ("Linux", "x86_64", "manylinux_2_17_x86_64"),
        ("Linux", "aarch64", "manylinux_2_17_aarch64"),
        ("Linux", "riscv64", None),
        ("Darwin", "arm64", None),
        ("Windows", "AMD64", None),
    ],
)
def test_the_wheel_that_is_run_is_known_before_it_is_made(
    noxfile, system, machine, tag, monkeypatch
):
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert noxfile.tag_of_this_machine() == tag
