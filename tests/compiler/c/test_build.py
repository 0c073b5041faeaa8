"""Where the C library comes from: compiled once into a cache, whatever else happens there."""

import os
import signal
import stat
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from xpnet.compiler.c import build, load
from xpnet.compiler.c.blas import find_blas
from xpnet.errors import ArgumentError, CompileError

pytestmark = pytest.mark.skipif(
    not build.find_compilers() or os.name == "nt",
    reason="no C compiler (cc, gcc or clang) is on the PATH",
)

SOURCE = """
#include <stdint.h>
#include <stddef.h>
const char* xpnet_sources(void) { return XPNET_SOURCES; }
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of this test alone, and one short C file in place of the library's."""
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "short.c").write_text(SOURCE)
    monkeypatch.setattr(build, "SOURCES", sources)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "xpnet" / "c"


def variant():
    return load.variants()[0]


def libraries(folder):
    others = (".lock", ".failed")
    return sorted(x.name for x in folder.iterdir() if not x.name.endswith(others))


def test_a_library_is_compiled_once(cache):
    first = build.cached(variant())
    written = first.stat().st_ino
    assert build.cached(variant()) == first
    assert first.stat().st_ino == written
    assert libraries(cache) == [first.name]


def test_other_sources_give_another_library(cache):
    first = build.cached(variant())
    (build.SOURCES / "short.c").write_text(SOURCE + "int other;\n")
    second = build.cached(variant())
    assert second.name != first.name
    assert len(libraries(cache)) == 2


def test_a_library_that_was_not_used_for_long_is_removed_when_another_one_is_made(cache):
    unused = build.cached(variant())
    (cache / "build-killed").mkdir()
    (build.SOURCES / "short.c").write_text(SOURCE + "int other;\n")
    used = build.cached(variant())
    long_ago = time.time() - (build.DAYS + 1) * 24 * 3600
    for file in (unused, used, cache / "build-killed"):
        os.utime(file, (long_ago, long_ago))
    assert build.cached(variant()) == used  # which is a use
    (build.SOURCES / "short.c").write_text(SOURCE + "int third;\n")
    new = build.cached(variant())
    assert libraries(cache) == sorted([used.name, new.name])


def test_a_library_that_was_damaged_is_compiled_again(cache):
    first = build.cached(variant())
    good = first.read_bytes()
    first.chmod(0o700)
    first.write_bytes(good[: len(good) // 2])
    assert build.cached(variant()).read_bytes()[:100] == good[:100]
    again = build.cached(variant())
    assert build._digest_of(again) in again.name
    assert libraries(cache) == [again.name]


def test_a_cache_that_others_may_write_to_is_not_used(cache):
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    with pytest.raises(CompileError, match="which other users may write to"):
        build.cached(variant())


def test_a_cache_in_a_folder_that_others_may_replace_is_not_used(cache):
    cache.mkdir(parents=True)
    cache.chmod(0o700)
    cache.parent.chmod(0o777)
    with pytest.raises(CompileError, match="which other users may replace"):
        build.cached(variant())
    cache.parent.chmod(0o1777)  # sticky: others may not rename what is not theirs
    assert build.cached(variant()).parent == cache.resolve()


def test_a_link_to_a_folder_that_others_may_write_to_is_not_followed(cache, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    cache.parent.mkdir(parents=True)
    cache.symlink_to(elsewhere)
    with pytest.raises(CompileError, match="which other users may write to"):
        build.cached(variant())


def test_the_current_folder_is_no_cache(monkeypatch, tmp_path):
    """A relative path would depend on where Python was started: XDG has such paths ignored."""
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert build.cache_folder().is_relative_to(tmp_path)


def test_a_user_without_a_home_is_told_so(monkeypatch):
    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(build.Path, "home", home)
    with pytest.raises(CompileError, match="Set XDG_CACHE_HOME to an absolute path"):
        build.cached(variant())


def test_what_killed_compilations_left_is_removed(cache):
    cache.mkdir(parents=True, mode=0o700)
    old = cache / "build-old"
    now = cache / "build-now"
    for folder in (old, now):
        folder.mkdir()
    os.utime(old, (0, 0))
    build.cached(variant())
    assert now.exists()
    assert not old.exists()


def test_a_compiler_that_fails_is_named(cache):
    (build.SOURCES / "short.c").write_text("this is no C")
    with pytest.raises(CompileError, match="ended with exit code 1: .*error"):
        build.cached(variant())
    assert libraries(cache) == []


def test_without_a_compiler_the_error_says_which_were_looked_for(cache, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CC", "")
    with pytest.raises(CompileError, match="expected cc, gcc, clang on the PATH"):
        build.cached(variant())


def compiler(folder, name, line):
    """A compiler that is a line of shell."""
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\necho x >> {folder}/calls-{name}\n{line}\n")
    file.chmod(0o755)
    return file


FAILS = '[ "$1" = --version ] && echo old && exit 0\necho "error: unknown builtin" >&2; exit 1'


@pytest.fixture
def two_compilers(tmp_path, monkeypatch):
    """`cc` fails, and `gcc` is the one of this machine; the folder in which they are."""
    real = build.find_compilers()[0]
    bin = tmp_path / "bin"
    compiler(bin, "cc", FAILS)
    compiler(bin, "gcc", f'exec {real} "$@"')
    monkeypatch.setenv("PATH", f"{bin}:{os.environ['PATH']}")
    monkeypatch.setenv("CC", "")
    return bin


def calls(bin, name):
    return (bin / f"calls-{name}").read_text().count("x")


def test_the_next_compiler_takes_the_place_of_one_that_fails(cache, two_compilers):
    assert build.in_cache(variant()) is None
    library = build.cached(variant())
    compiled = calls(two_compilers, "gcc")
    assert calls(two_compilers, "cc") == 1 + 2  # the version, twice; one compilation
    assert build.in_cache(variant()) == library
    assert build.cached(variant()) == library
    assert calls(two_compilers, "cc") == 3 + 2  # the version
    assert calls(two_compilers, "gcc") == compiled + 2


def test_a_compiler_that_has_failed_is_tried_again_a_day_later(cache, tmp_path, monkeypatch):
    broken = compiler(tmp_path / "bin", "cc", FAILS)
    monkeypatch.setattr(build, "find_compilers", lambda: [str(broken)])
    with pytest.raises(CompileError, match="unknown builtin"):
        build.cached(variant())
    for again in (build.cached, build.in_cache):
        with pytest.raises(CompileError, match="unknown builtin.*again after 24 hours, or if"):
            again(variant())
    assert calls(tmp_path / "bin", "cc") == 3 + 1  # the version; one compilation
    [note] = cache.glob("*.failed")
    long_ago = time.time() - (build.HOURS + 1) * 3600
    os.utime(note, (long_ago, long_ago))
    assert build.in_cache(variant()) is None


def test_a_process_uses_only_its_own_cores_to_compile(cache, monkeypatch):
    used = []

    class Pool(build.ThreadPoolExecutor):
        def __init__(self, max_workers):
            used.append(max_workers)
            super().__init__(max_workers)

    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 5}, raising=False)
    monkeypatch.setattr(build, "ThreadPoolExecutor", Pool)
    build.cached(variant())
    assert used == [3]


def test_on_windows_clang_is_given_no_flags_that_it_refuses(cache, monkeypatch):
    commands = []

    def call(command):
        commands.append(command)
        Path(command[command.index("-o") + 1]).write_bytes(b"")

    monkeypatch.setattr(build, "find_compilers", lambda: ["clang"])
    monkeypatch.setattr(build, "_version", lambda compiler: "clang")
    monkeypatch.setattr(build, "_call", call)
    monkeypatch.setattr(build.sys, "platform", "win32")
    assert build.cached("x86-64-v3").suffix == ".dll"
    words = {word for command in commands for word in command}
    assert words.isdisjoint({"-fPIC", "-lm", "-pthread"})
    assert "-march=x86-64-v3" in words


def processes(count, cache):
    """Processes that build the library of this test in the same cache."""
    code = (
        "import sys; from pathlib import Path; from xpnet.compiler.c import build\n"
        "build.SOURCES = Path(sys.argv[1]); print(build.cached(sys.argv[2]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", code, str(build.SOURCES), variant()]
    return [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, start_new_session=True)
        for _ in range(count)
    ]


def slow_compiler(folder, seconds):
    """A compiler that takes its time, and counts how often it is called."""
    file = folder / "cc"
    real = build.find_compilers()[0]
    file.write_text(
        f'#!/bin/sh\necho x >> {folder}/calls\n[ "$1" = --version ] || sleep {seconds}\n'
        f'exec {real} "$@"\n'
    )
    file.chmod(0o755)
    return str(file)


def fake_compiler(folder, seconds):
    """A compiler whose objects and libraries are empty files, each of which takes its time."""
    line = f"""[ "$1" = --version ] && exit 0
while [ "$1" != -o ]; do shift; done
sleep {seconds}; echo library > "$2"
"""
    return compiler(folder, "cc", line)


def test_a_library_is_compiled_although_the_script_ends_meanwhile(tmp_path, monkeypatch):
    """The next process finds it; and nobody waits for the compiler at the end of the script."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CC", str(fake_compiler(tmp_path / "bin", 0.1)))
    monkeypatch.setenv("XPNET_EXECUTOR", "")
    script = (
        "import sys; from pathlib import Path; from xpnet.compiler.c import load\n"
        "load.BINARIES = Path('none'); assert load.find() is None; print(load.status())"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", script]
    printed = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert printed.stdout.strip() == "being compiled, for processes that start later"
    assert build.in_cache(variant()) is None
    deadline = time.monotonic() + 60
    while build.in_cache(variant()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    made = calls(tmp_path / "bin", "cc")
    assert build.cached_apart(variant(), print).read_text() == "library\n"
    assert calls(tmp_path / "bin", "cc") == made + 1  # the version


def test_a_process_that_compiles_apart_reports_the_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    broken = compiler(tmp_path / "bin", "cc", FAILS)
    monkeypatch.setenv("CC", str(broken))
    monkeypatch.setattr(build, "NAMES", ())
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CompileError, match="unknown builtin"):
        build.cached_apart(variant(), print)


def test_without_an_interpreter_to_start_the_library_is_compiled_here(cache, monkeypatch):
    monkeypatch.setattr(build.sys, "executable", "")
    assert build.cached_apart(variant(), print) == build.in_cache(variant())


def test_a_process_that_compiles_apart_and_fails_is_reported(cache, monkeypatch):
    monkeypatch.setattr(build, "_run_apart", lambda when_started: "No module named xpnet")
    with pytest.raises(CompileError, match="has made no library: No module named xpnet"):
        build.cached_apart(variant(), print)


def test_the_child_of_a_fork_searches_itself():
    """The thread that searches is not there in the child."""
    script = """
import os, threading
from xpnet.compiler.c import load
began = threading.Event()
real = load._Search._find

def waiting(self):
    began.set()
    threading.Event().wait()

load._Search._find = waiting
load._search.started()
began.wait()
load._Search._find = real
if os.fork() == 0:
    os._exit(0 if load.wait() is not None else 1)
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    build.cached(variant())
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    printed = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert printed.stdout.strip() == "0", printed.stderr


def test_a_search_that_fails_says_why(monkeypatch):
    def broken(variant, when_started):
        raise RuntimeError("a fault of our own")

    monkeypatch.setattr(build, "cached_apart", broken)
    monkeypatch.setattr(load, "BINARIES", Path("none"))
    monkeypatch.setattr(load, "_search", load._Search())
    with pytest.raises(CompileError, match="a fault of our own"):
        load.wait()


@pytest.fixture
def search(tmp_path, monkeypatch):
    """The search of a process that begins now, with an empty folder for the binaries of the wheel."""
    new = load._Search()
    monkeypatch.setattr(load, "_search", new)
    monkeypatch.setattr(load, "BINARIES", tmp_path)
    monkeypatch.setenv("XPNET_EXECUTOR", "")
    return new


@pytest.mark.parametrize("origin", ["binary", "compiled"])
def test_a_library_that_is_there_is_waited_for_on_a_busy_machine(
    origin, search, tmp_path, monkeypatch
):
    """Else the same script would compute now in C, and now with NumPy, which rounds otherwise."""

    def loaded(path, origin, variant):
        time.sleep(1)
        return SimpleNamespace(path=path, origin=origin, variant=variant)

    monkeypatch.setattr(load, "Library", loaded)
    monkeypatch.setattr(build, "system_and_machine", lambda: ("linux", "x86-64"))
    monkeypatch.setattr(build, "in_cache", lambda variant: tmp_path / "library.so")
    if origin == "binary":
        (tmp_path / f"xpnet-linux-{variant()}.so").touch()
    assert load.find().origin == origin


def test_a_compiler_is_waited_for_only_by_those_who_want_to(search, monkeypatch):
    compiled_now = threading.Event()
    library = SimpleNamespace(origin="compiled", variant=variant(), path=Path("library.so"))

    def compiled(variant, when_started):
        when_started()
        compiled_now.wait(timeout=60)
        return library.path

    monkeypatch.setattr(load, "Library", lambda path, origin, variant: library)
    monkeypatch.setattr(build, "cached_apart", compiled)
    started = time.monotonic()
    assert load.find() is None
    assert time.monotonic() - started < load.SECONDS_TO_LOAD / 2
    compiled_now.set()
    assert load.wait() is library

    another = load._Search()
    monkeypatch.setattr(load, "_search", another)
    compiled_now.clear()
    assert load.find(waiting=compiled_now.set) is library


class Vanishing(type(Path())):
    """A file that another process removes as soon as it was listed."""

    def glob(self, pattern):
        for file in super().glob(pattern):
            if file.is_dir():
                file.rmdir()
            else:
                file.unlink()
            yield file


def test_files_that_another_process_removes_are_passed_over(cache, monkeypatch):
    build.cached(variant())
    (cache / "build-old").mkdir()
    private = build.private_folder
    monkeypatch.setattr(build, "private_folder", lambda: Vanishing(private()))
    assert build.cached(variant()).exists()


def test_the_folders_of_the_cache_are_created_for_their_user_alone(cache):
    cache.parent.parent.mkdir(mode=0o700)
    before = os.umask(0)
    try:
        build.private_folder()
    finally:
        os.umask(before)
    assert [stat.S_IMODE(x.stat().st_mode) for x in (cache.parent, cache)] == [0o700, 0o700]


@pytest.mark.parametrize("sticky", [False, True])
def test_a_folder_that_a_group_may_write_to_is_open_unless_it_is_sticky(sticky):
    mode = stat.S_IFDIR | 0o775 | (stat.S_ISVTX if sticky else 0)
    user = os.getuid()
    foreign = os.stat_result((mode, 0, 0, 1, user, 2**31 - 7, 0, 0, 0, 0))
    assert build._is_open(foreign, user) is not sticky


def test_a_folder_that_only_the_group_of_one_user_may_write_to_is_not_open(monkeypatch):
    monkeypatch.setattr("pwd.getpwuid", lambda user: SimpleNamespace(pw_name="ada"))
    folder = os.stat_result((stat.S_IFDIR | 0o775, 0, 0, 1, 1000, 1000, 0, 0, 0, 0))
    groups = {"own": ("ada", []), "shared": ("ada", ["bob"]), "other": ("staff", [])}
    found = {}
    for name, (group, members) in groups.items():
        entry = SimpleNamespace(gr_name=group, gr_mem=members)
        monkeypatch.setattr("grp.getgrgid", lambda group, entry=entry: entry)
        found[name] = build._is_open(folder, 1000)
    assert found == {"own": False, "shared": True, "other": True}


def test_two_processes_at_once_compile_it_once(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("CC", slow_compiler(tmp_path, 0.3))
    started = processes(2, cache)
    printed = {each.communicate(timeout=60)[0] for each in started}
    assert [each.returncode for each in started] == [0, 0]
    assert len(printed) == 1
    calls = (tmp_path / "calls").read_text().count("x")
    assert calls == 2 + 2  # the version, twice; one compilation and one link


def test_a_process_that_is_killed_while_it_compiles_leaves_nothing_to_load(
    cache, tmp_path, monkeypatch
):
    monkeypatch.setenv("CC", slow_compiler(tmp_path, 2))
    [process] = processes(1, cache)
    deadline = time.monotonic() + 30
    while not (tmp_path / "calls").exists() or (tmp_path / "calls").read_text().count("x") < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not [x for x in cache.iterdir() if x.suffix == ".so"]
    monkeypatch.setenv("CC", "")
    found = build.cached(variant())
    assert build._digest_of(found) in found.name


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["aarch64", "x86-64-v2"])
def test_the_library_compiles_for_other_processors_without_a_warning(
    variant, tmp_path, monkeypatch
):
    pytest.importorskip("ziglang", reason="zig (pip install ziglang) compiles for them")
    [target] = [x for x in build.TARGETS if (x.system, x.variant) == ("linux", variant)]
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-Werror"))
    [file] = build.build_all(tmp_path, [target])
    machine = {"aarch64": 183, "x86-64-v2": 62}[variant]  # EM_AARCH64 and EM_X86_64 of ELF
    assert int.from_bytes(file.read_bytes()[18:20], "little") == machine


@pytest.mark.slow
def test_the_library_for_macos_is_for_all_that_its_wheel_is_for(tmp_path):
    pytest.importorskip("ziglang", reason="zig (pip install ziglang) compiles for macOS")
    [file] = build.build_all(tmp_path, [build.Target("macos", "aarch64", "aarch64")])
    library = file.read_bytes()
    assert oldest_macos(library) == (11, 0)  # WHEELS in noxfile.py: macosx_11_0
    assert str(tmp_path).encode() not in library  # its own name is no path of this machine


def oldest_macos(library):
    """The version in LC_BUILD_VERSION of a Mach-O file with 64 bits."""
    position = 32
    for _ in range(int.from_bytes(library[16:20], "little")):
        command, size, _, oldest = struct.unpack_from("<4I", library, position)
        if command == 0x32:
            return oldest >> 16, oldest >> 8 & 0xFF
        position += size
    raise ValueError("the file has no LC_BUILD_VERSION")


def test_the_variants_of_a_processor_begin_with_the_best(monkeypatch):
    monkeypatch.setattr(build, "system_and_machine", lambda: ("linux", "x86-64"))
    monkeypatch.setattr(load, "_features", lambda: {"SSE42", "POPCNT", "AVX2", "FMA3", "F16C"})
    assert load.variants() == ["x86-64-v3", "x86-64-v2"]
    monkeypatch.setattr(load, "_features", lambda: {"X86_V2", "X86_V3", "X86_V4"})
    assert load.variants() == ["x86-64-v4", "x86-64-v3", "x86-64-v2"]
    monkeypatch.setattr(build, "system_and_machine", lambda: ("macos", "aarch64"))
    assert load.variants() == ["aarch64"]
    monkeypatch.setattr(build, "system_and_machine", lambda: ("linux", "riscv64"))
    assert load.variants() == []


@pytest.mark.parametrize(
    ("system", "machine", "platform", "bits", "found"),
    [
        ("linux", "x86_64", "linux-x86_64", 64, ("linux", "x86-64")),
        ("linux", "x86_64", "linux-x86_64", 32, ("linux", "32-bit x86-64")),
        ("linux", "aarch64", "linux-aarch64", 32, ("linux", "32-bit aarch64")),  # Raspberry Pi OS
        ("darwin", "arm64", "macosx-11.0-universal2", 64, ("macos", "aarch64")),
        ("win32", "AMD64", "win-amd64", 64, ("windows", "x86-64")),
        ("win32", "ARM64", "win-amd64", 64, ("windows", "x86-64")),  # emulated
        ("win32", "ARM64", "win-arm64", 64, ("windows", "aarch64")),
    ],
)
def test_a_library_is_for_the_processor_that_python_is_made_for(
    system, machine, platform, bits, found, monkeypatch
):
    monkeypatch.setattr(build.sys, "platform", system)
    monkeypatch.setattr(build.sys, "maxsize", 2 ** (bits - 1) - 1)
    monkeypatch.setattr(build.platform, "machine", lambda: machine)
    monkeypatch.setattr(build.sysconfig, "get_platform", lambda: platform)
    answer = build.system_and_machine()
    monkeypatch.undo()
    assert answer == found


def test_the_command_says_why_there_is_no_library(monkeypatch, capsys):
    monkeypatch.setattr(build, "system_and_machine", lambda: ("linux", "riscv64"))
    with pytest.raises(SystemExit, match="1"):
        build.main([])
    assert capsys.readouterr().err == "There is no C library for riscv64 processors (linux).\n"


def test_a_name_that_no_library_has_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        build.main(["--zig", "--out", str(tmp_path), "--only", "v5"])
    assert "--only v5 is part of none of the names: xpnet-linux" in capsys.readouterr().err


INNER = """
#define EXPORT __attribute__((visibility("default")))
EXPORT int inner(void) {{ return {}; }}
"""
OUTER = "EXPORT int outer(void) { return inner(); }\n"


def test_a_library_calls_its_own_functions(cache, tmp_path):
    """Also where another one, whose functions all libraries see, has some of the same names."""
    (build.SOURCES / "short.c").write_text(INNER.format(1) + OUTER)
    ours = build.cached(variant())
    (tmp_path / "other.c").write_text(INNER.format(2))
    other = tmp_path / "other.so"
    compile = [build.find_compilers()[0], "-shared", "-fPIC", tmp_path / "other.c", "-o", other]
    subprocess.run(compile, check=True)
    script = (
        "import ctypes, sys\n"
        "ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_GLOBAL); print(ctypes.CDLL(sys.argv[2]).outer())"
    )
    command = [sys.executable, "-c", script, other, ours]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed == "1\n"


def test_the_folder_of_the_sources_has_nothing_else_in_it():
    """What a compiler leaves there by mistake, such as a.out, would be in the wheel."""
    others = {x.name for x in build.SOURCES.iterdir() if x.suffix not in (".c", ".h", ".py")}
    assert others <= {"README.md", ".clang-format", "__pycache__", "binaries"}


def test_a_library_of_other_sources_is_not_used(cache):
    file = build.cached(variant())
    with pytest.raises(CompileError, match="cannot be loaded"):  # it lacks xpnet_run
        load.Library(file, "compiled", variant())


def test_an_executor_that_does_not_exist_cannot_be_forced(monkeypatch):
    monkeypatch.setenv("XPNET_EXECUTOR", "fortran")
    with pytest.raises(ArgumentError, match="fortran"):
        load.forced()


@pytest.mark.slow
def test_zig_makes_a_library_that_computes(tmp_path):
    pytest.importorskip(
        "ziglang", reason="zig makes the libraries of the wheels: pip install ziglang"
    )
    if build.system_and_machine() != ("linux", "x86-64"):
        pytest.skip("the library that is loaded here is the one for Linux on x86-64")
    target = build.Target("linux", "x86-64", variant())
    [file] = build.build_all(tmp_path, [target])
    assert file.name == f"xpnet-linux-{variant()}.so"
    library = load.Library(file, "binary", variant())
    assert {"product_f32", "product_f64", "copy"} <= set(library.codes)


def test_a_library_in_the_wheel_needs_no_compiler(tmp_path, monkeypatch):
    real = build.cached(variant())
    monkeypatch.setattr(load, "BINARIES", tmp_path)
    monkeypatch.setattr(build, "find_compilers", list)
    monkeypatch.setattr(build, "system_and_machine", lambda: ("linux", "x86-64"))
    (tmp_path / f"xpnet-linux-{variant()}.so").write_bytes(real.read_bytes())
    search = load._Search()
    monkeypatch.setattr(load, "_search", search)
    assert load.wait().origin == "binary"
    assert load.status().startswith("binary for")


def test_a_damaged_library_in_the_wheel_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(load, "BINARIES", tmp_path)
    monkeypatch.setattr(build, "find_compilers", list)
    monkeypatch.setattr(build, "system_and_machine", lambda: ("linux", "x86-64"))
    (tmp_path / f"xpnet-linux-{variant()}.so").write_bytes(b"\x7fELF damaged")
    monkeypatch.setattr(load, "_search", load._Search())
    with pytest.raises(CompileError, match="cannot be loaded.*No C compiler was found"):
        load.wait()


def test_numpys_blas_multiplies():
    found = find_blas()
    if found is None:
        pytest.skip("NumPy's BLAS is none whose functions are known")
    for product in found.products.values():
        assert product.integer_bits in (32, 64)
        assert product.gemm
