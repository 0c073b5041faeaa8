"""noxfile.py: what a session needs is looked for before anything is built, and what is missing is no success."""

import ast
import base64
import contextlib
import hashlib
import importlib.util
import platform
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.host_cuda import real_compiler
from xpnet.compiler.c import build

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
        self.installed = []

    def install(self, *requirements):
        self.installed += requirements

    def run(self, *command, **options):
        self.commands.append(command)
        return self.printed

    def error(self, text):
        raise FailedError(text)

    def log(self, text):
        pass


class Commands(Session):
    """A session whose commands are carried out, by this Python."""

    def run(self, *command, **options):
        subprocess.run([sys.executable, *command[1:]], check=True, capture_output=True)


def sha256(text):
    """A digest as a wheel's list of files has it."""
    digest = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


METADATA = "xpnet-0.1.0.dist-info"
WHEEL = "Wheel-Version: 1.0\nGenerator: hatchling\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
RECORD = f"{METADATA}/WHEEL,sha256={sha256(WHEEL)},\n{METADATA}/RECORD,,\n"


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
    paths = [word.partition("=")[2] for word in command if word.startswith("--ignore=")]
    return [path for path in paths if not path.startswith(noxfile.ESTIMATORS)]


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


@pytest.mark.parametrize("library", ["numpy", "torch", "jax", "cupy", "array_api_strict"])
def test_a_library_tests_of_the_estimators_that_they_follow_its_arrays(
    noxfile, library, monkeypatch
):
    """With scikit-learn; where it is not installed, no test of theirs can be collected."""
    monkeypatch.setattr(noxfile, "emulated_device", lambda session: {"HOST_CUDA": "folder"})
    session = Session("(1,)")
    noxfile.tests(session, library)
    (command,) = [x for x in session.commands if "pytest" in x]
    paths = {word.partition("=")[2] for word in command if word.startswith("--ignore=")}
    ignored = {path for path in paths if path.startswith(noxfile.ESTIMATORS)}
    if library in ("numpy", "array_api_strict"):  # which the sessions `estimators` test
        assert ignored == set(noxfile.ESTIMATORS)
        return
    assert any(x.startswith("scikit-learn") for x in session.installed)
    files = {str(x.relative_to(ROOT)) for x in Path(ROOT, "tests/estimators").glob("test_*.py")}
    assert files - ignored == {"tests/estimators/test_arrays.py"}


# What every session of a library installs.
INSTALLED = {
    *("array_api_compat", "filelock", "numpy", "opt_einsum", "rich", "safetensors", "threadpoolctl", "typer"),
    *("PIL", "benchmarks", "docs", "hypothesis", "mpmath", "pytest", "tests", "xpnet"),
}  # fmt: skip
# Folders that conftest.py or noxfile.py leave out where their package is missing.
OF_ONE_PACKAGE = {"estimators", "host_cuda"}


def imported_at_once(path):
    """The packages that a file needs to be collected; not those without which it is skipped."""
    skipped = set()
    for statement in ast.parse(path.read_text("utf-8")).body:
        if isinstance(statement, ast.Expr | ast.Assign):
            skipped |= set(re.findall(r"importorskip\('(\w+)", ast.unparse(statement)))
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            names = [statement.module]
        else:
            continue
        yield from {name.partition(".")[0] for name in names} - skipped


def test_no_file_needs_an_optional_package_to_be_collected():
    """One that does ends the whole session of another library as failed, before its first test."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]
    ignored = {x.partition("=")[2] for x in options["ini_options"]["addopts"] if "--ignore" in x}
    ignored.add("tests/cupy_names.py")  # `collect_ignore` in conftest.py
    found = {}
    for folder in ("xpnet", "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            needed = set(imported_at_once(path)) - INSTALLED - sys.stdlib_module_names
            if needed and name not in ignored and not OF_ONE_PACKAGE & {*path.parts}:
                found[name] = needed
    assert found == {}


@pytest.mark.parametrize(("version", "operator"), [("oldest", "=="), ("newest", ">=")])
def test_estimators_run_with_the_oldest_and_the_newest_scikit_learn(noxfile, version, operator):
    class Installed(Session):
        def install(self, *requirements):
            self.installed = requirements

    session = Installed()
    noxfile.estimators.func(session, version)
    assert any(x.startswith(f"scikit-learn{operator}1.6") for x in session.installed)
    command = session.commands[-1]
    assert {"tests/estimators", "xpnet/estimators", "not slow"} <= set(command)


def started_by(noxfile, name):
    """The last command of a session: `tests(numpy)`, `c`."""
    session = Session()
    function, _, case = name.removesuffix(")").partition("(")
    getattr(noxfile, function).func(session, *[case] * bool(case))
    return session.commands[-1]


def test_coverage_runs_its_sessions_traced_and_nothing_else_does(noxfile, monkeypatch):
    """All of them exist, and the report comes after them."""
    monkeypatch.setattr(noxfile, "emulated_device", lambda session: {})
    monkeypatch.delenv("XPNET_TRACED", raising=False)
    plain = {name: started_by(noxfile, name) for name in noxfile.COVERED}
    assert {command[:2] for command in plain.values()} == {("python", "-m")}
    monkeypatch.setenv("XPNET_TRACED", "1")
    for name, command in plain.items():
        assert started_by(noxfile, name) == ("coverage", "run", *command[1:])

    session = Session(posargs=["-R"])
    noxfile.coverage.func(session)
    erase, sessions, combine, report = session.commands
    assert erase == ("coverage", "erase")
    assert sessions[1:] == ("-m", "nox", "-R", "--sessions", *noxfile.COVERED)
    assert combine[:2] == ("coverage", "combine")
    assert report == ("coverage", "report")


def test_the_programs_on_sweeps_have_what_their_page_installs(noxfile):
    class Installed(Session):
        def install(self, *requirements):
            self.installed = requirements

    page = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")
    commands = re.findall(r"`pip install \"\.\[sklearn\]\" ([^`]+)`", page)
    assert len(commands) == 3
    session = Installed()
    noxfile.sweeps.func(session)
    assert {x.strip('"') for x in commands} <= set(session.installed)
    assert ".[sklearn]" in session.installed
    assert "tests/estimators/test_sweeps.py" in session.commands[-1]


@pytest.mark.parametrize(
    ("system", "machine", "libc", "tag"),
    [
        ("Linux", "x86_64", "glibc", "manylinux_2_17_x86_64"),
        ("Linux", "aarch64", "glibc", "manylinux_2_17_aarch64"),
        ("Linux", "x86_64", "", None),  # musl
        ("Linux", "riscv64", "glibc", None),
        ("Darwin", "arm64", "", None),
        ("Windows", "AMD64", "", None),
    ],
)
def test_the_wheel_that_is_run_is_known_before_it_is_made(
    noxfile, system, machine, libc, tag, monkeypatch
):
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "libc_ver", lambda: (libc, ""))
    assert noxfile.tag_of_this_machine() == tag


def test_every_compiled_library_is_in_exactly_one_wheel(noxfile):
    names = [target.file_name for target in build.TARGETS]
    found = [name for start in noxfile.WHEELS for name in names if name.startswith(start)]
    assert sorted(found) == sorted(names)
    assert all(any(name.startswith(start) for name in names) for start in noxfile.WHEELS)


def test_a_wheel_whose_library_does_not_run_fails_its_session(noxfile, tmp_path, monkeypatch):
    """Also where the user's CC would compile another one."""
    environments = []

    class Installed(Session):
        def run(self, *command, env=None, **options):
            environments.append(env or {})
            return "C library for compiled steps: none: it cannot be loaded"

        def chdir(self, folder):
            return contextlib.nullcontext()

    monkeypatch.setenv("CC", "/usr/bin/gcc")
    with pytest.raises(
        FailedError, match="is not used:\nC library for compiled steps: none: it cannot"
    ):
        noxfile.run_without_compiler(Installed(), tmp_path / "xpnet.whl", tmp_path)
    assert environments[-1]["CC"] == ""


def test_a_wheel_with_libraries_says_which_platform_it_is_for(noxfile, tmp_path):
    pytest.importorskip("wheel", reason="wheel packs the wheels: pip install wheel")
    pure = tmp_path / "xpnet-0.1.0-py3-none-any.whl"
    library = tmp_path / "xpnet-linux-x86-64-v2.so"
    library.write_bytes(b"library")
    with zipfile.ZipFile(pure, "w") as archive:
        archive.writestr("xpnet/compiler/c/", "")
        archive.writestr(f"{METADATA}/WHEEL", WHEEL)
        archive.writestr(f"{METADATA}/RECORD", RECORD)

    noxfile.with_binaries(Commands(), pure, [library], "manylinux_2_17_x86_64")
    made = tmp_path / "xpnet-0.1.0-py3-none-manylinux_2_17_x86_64.whl"
    with zipfile.ZipFile(made) as archive:
        assert archive.read(f"xpnet/compiler/c/binaries/{library.name}") == b"library"
        metadata = archive.read(f"{METADATA}/WHEEL").decode()
        assert (
            "binaries/xpnet-linux-x86-64-v2.so,sha256="
            in archive.read(f"{METADATA}/RECORD").decode()
        )
    assert "Root-Is-Purelib: false" in metadata
    assert "Tag: py3-none-manylinux_2_17_x86_64" in metadata
    assert sorted(tmp_path.glob("*.whl")) == [pure, made]
