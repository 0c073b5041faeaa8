"""Compile the C library: once into a cache, or for the wheels of all systems.

    python -m xpnet.compiler.c.build                    into the cache; prints the path
    python -m xpnet.compiler.c.build --zig --out DIR    for all systems, by zig (pip install ziglang)

A library that was compiled from a source install is kept in the user's cache folder. Its name has a
digest of all that it depends on (the sources, the flags, the compiler) and one of its own contents. It
is written under another name and renamed, by one process at a time: a process that is killed leaves
nothing that could be loaded, and a file that was damaged later is compiled again. Where a compiler fails,
a note beside the libraries says why, and it is not tried again for a day.

GCC is needed from version 11 on, or Clang from 12 on: older ones do not know the variants of x86-64.
"""

import argparse
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from xpnet.compiler.c.blas import usable_cores
from xpnet.errors import CompileError

__all__ = [
    "Target",
    "build_all",
    "cached",
    "cached_apart",
    "find_compilers",
    "in_cache",
    "private_folder",
    "sources_digest",
]

SOURCES = Path(__file__).parent
FLAGS = (
    *("-std=gnu11", "-fPIC", "-Wall", "-Wextra", "-fvisibility=hidden"),
    *("-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-fno-unroll-loops"),
    "-fno-asynchronous-unwind-tables",  # which only exceptions and debuggers read
)
LOOPS = ("convert",)
"""Files whose loops the compiler turns into vector instructions, which GCC does well only with -O3.

All others are written with vectors, and as fast with -O2, in two thirds of the size and of the time.
"""
SIZES = (32, 64)
"""A file that uses NAME() is compiled for float32 and for float64."""
SECONDS = 300  # for one file
DAYS = 30
"""A library in the cache that was not used for so long is removed when another one is made."""
HOURS = 24
"""A compiler that has failed is tried again after so long."""
NAMES = ("clang",) if sys.platform == "win32" else ("cc", "gcc", "clang")
"""The compilers that are looked for, after $CC.

On Windows GCC is not: it does not align the stack there as its own code for vectors of 32 bytes expects
(its bug 54412).
"""
NOBODY = 65534
ZIG_SECONDS = 3600  # zig first compiles the C library of a system that it has not seen yet


class Target(NamedTuple):
    """A kind of processor and system that a library is compiled for.

    Attributes
    ----------
    system : str
        "linux", "macos" or "windows".
    machine : str
        "x86-64" or "aarch64".
    variant : str
        "x86-64-v2", "x86-64-v3", "x86-64-v4" or "aarch64".
    """

    system: str
    machine: str
    variant: str

    @property
    def file_name(self) -> str:
        """The name of the library among the binaries of a wheel."""
        suffix = {"linux": ".so", "macos": ".dylib", "windows": ".dll"}[self.system]
        return f"xpnet-{self.system}-{self.variant}{suffix}"


X86_64 = ("x86-64-v4", "x86-64-v3", "x86-64-v2")
TARGETS = (
    *(Target("linux", "x86-64", variant) for variant in X86_64),
    *(Target("windows", "x86-64", variant) for variant in X86_64),
    Target("linux", "aarch64", "aarch64"),
    Target("macos", "aarch64", "aarch64"),
    *(Target("macos", "x86-64", variant) for variant in X86_64[1:]),
)


def sources() -> list[Path]:
    """The C files and their headers, in the order of their names."""
    return sorted([*SOURCES.glob("*.c"), *SOURCES.glob("*.h")])


def sources_digest() -> str:
    """A digest of the sources: a library says which sources it was built from."""
    digest = hashlib.sha256()
    for file in sources():
        digest.update(file.name.encode() + b"\0")
        digest.update(file.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()[:16]


def find_compilers() -> list[str]:
    """The paths of the C compilers that there are: $CC, and then those of `NAMES`."""
    names = (os.environ.get("CC", ""), *NAMES)
    paths = [shutil.which(name) for name in names if name]
    return list(dict.fromkeys(str(Path(x).absolute()) for x in paths if x is not None))


def optimization(source: Path) -> str:
    """The flag with which a file is optimized: see `LOOPS`."""
    return "-O3" if source.stem in LOOPS else "-O2"


def _compile(
    compiler: Sequence[str],
    flags: Sequence[str],
    digest: str,
    target: Path,
    link_flags: Sequence[str],
) -> None:
    """Compile all sources, and link them to the library `target`."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="build-") as folder:
        objects: list[str] = []
        commands: list[list[str]] = []
        for source in sorted(SOURCES.glob("*.c")):
            by_size = "NAME(" in source.read_text(encoding="utf-8")
            for size in SIZES if by_size else SIZES[:1]:
                name = f"{folder}/{source.stem}-{size}.o"
                options = [optimization(source), f"-DREAL_BITS={size}"]
                options.append(f'-DXPNET_SOURCES="{digest}"')
                commands.append([*compiler, *flags, *options, "-c", str(source), "-o", name])
                objects.append(name)
        with ThreadPoolExecutor(max_workers=usable_cores()) as pool:
            list(pool.map(_call, commands))
        linked = f"{folder}/{target.name}"
        _call([*compiler, *flags, "-s", "-shared", *objects, "-o", linked, *link_flags])
        Path(linked).replace(target)


def _call(command: Sequence[str]) -> None:
    """Run a compiler.

    Raises
    ------
    CompileError
        With its first message, if it fails.
    """
    seconds = ZIG_SECONDS if "ziglang" in command else SECONDS
    try:
        finished = subprocess.run(  # noqa: S603 - a compiler that is on the PATH
            command, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CompileError(
            f"The C compiler {command[0]} did not finish within {seconds} seconds."
        ) from error
    except OSError as error:
        raise CompileError(f"The C compiler {command[0]} does not run: {error}") from error
    if finished.returncode != 0:
        lines = [line for line in finished.stderr.splitlines() if "error" in line]
        first = lines[0] if lines else finished.stderr.strip()[:200]
        raise CompileError(
            f"The C compiler {command[0]} ended with exit code {finished.returncode}: {first}"
        )


def _digest_of(file: Path) -> str:
    """The part of a cached library's name that depends on its contents."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:24]


def _intact(folder: Path, name: str) -> Path | None:
    """The library of this name in the cache whose contents are those that were written."""
    for file in folder.glob(f"{name}-*"):
        with suppress(OSError):  # another process may have removed it just now
            if file.stem == f"{name}-{_digest_of(file)}":
                with suppress(OSError):  # of another user, or read-only
                    os.utime(file)  # it was used today: see `_remove_unused`
                return file
    return None


def _remove_unused(folder: Path) -> None:
    """Remove what nobody has used for `DAYS`: libraries, and what a killed process left behind.

    It goes by time, not by name: other versions of xpnet, compilers and processors share the folder.
    """
    oldest = time.time() - DAYS * 24 * 3600
    for file in folder.iterdir():
        with suppress(OSError):  # removed by another process, or on Windows loaded by one
            if file.stat().st_mtime >= oldest:
                continue
            if file.is_dir():
                shutil.rmtree(file)
            else:
                file.unlink()


def cache_folder() -> Path:
    """Where compiled libraries are kept: an absolute path, whatever the current folder is.

    Raises
    ------
    CompileError
        If the user has no home folder.
    """
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if given.is_absolute():
        return given / "xpnet" / "c"
    local = Path(os.environ.get("LOCALAPPDATA", ""))
    if sys.platform == "win32" and local.is_absolute():
        return local / "xpnet" / "Cache" / "c"
    try:
        home = Path.home()
    except RuntimeError as error:
        raise CompileError(
            f"There is no folder for compiled libraries: {error} Set XDG_CACHE_HOME to an absolute "
            "path."
        ) from error
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "xpnet" / "c"
    return home / ".cache" / "xpnet" / "c"


def private_folder() -> Path:
    """The cache folder, which is created if it is not there; without symbolic links.

    Raises
    ------
    CompileError
        If it belongs to another user, or others may write to it or replace it: what it holds is
        executed.
    OSError
        If it cannot be created.
    """
    folder = cache_folder()
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.mkdir(exist_ok=True, mode=0o700)
    folder = folder.resolve()
    if hasattr(os, "getuid"):
        status = folder.stat()
        if status.st_uid != os.getuid() or status.st_mode & 0o022:
            raise CompileError(
                f"Libraries are compiled into {folder}, which belongs to another user, or which "
                f"other users may write to. {_OF_YOUR_OWN}"
            )
        for parent in folder.parents:
            if _is_open(parent.stat(), os.getuid()):
                raise CompileError(
                    f"Libraries are compiled into {folder}, which other users may replace, since "
                    f"{parent} is theirs or open to them. {_OF_YOUR_OWN}"
                )
    return folder


_OF_YOUR_OWN = "Set XDG_CACHE_HOME to a folder of your own."


def _is_open(status: os.stat_result, user: int) -> bool:
    """Whether other users may rename what is in a folder: not if it is sticky, as /tmp is.

    In a container the system's root may have no number; its folders then belong to NOBODY.
    """
    if status.st_uid not in (0, NOBODY, user):
        return True
    if status.st_mode & stat.S_ISVTX:
        return False
    by_group = bool(status.st_mode & 0o020) and not _is_alone(status.st_gid, user)
    return by_group or bool(status.st_mode & 0o002)


def _is_alone(group: int, user: int) -> bool:
    """Whether a group is a user's own: many systems make one for each user, and open folders to it."""
    import grp
    import pwd

    try:
        name = pwd.getpwuid(user).pw_name
        found = grp.getgrgid(group)
    except KeyError:
        return False
    return found.gr_name == name and set(found.gr_mem) <= {name}


class _Entry:
    """What the cache has, or is to have, from one compiler.

    Parameters
    ----------
    folder : Path
        The cache.
    compiler : str
    variant : str
        As in `Target`.
    digest : str
        Of the sources.
    """

    def __init__(self, folder: Path, compiler: str, variant: str, digest: str) -> None:
        self._folder = folder
        self._compiler = compiler
        self._flags = _native_flags(variant)
        self._link_flags = _link_flags(system_and_machine()[0])
        self._digest = digest
        flags = [*self._flags, *self._link_flags]
        key = "\n".join([digest, *flags, *LOOPS, compiler, _version(compiler)])
        self._name = f"xpnet-{variant}-{hashlib.sha256(key.encode()).hexdigest()[:24]}"
        self._note = self._folder / f"{self._name}.failed"

    def found(self) -> Path | None:
        """The library; None if it is to be compiled.

        Raises
        ------
        CompileError
            If the compiler has failed before.
        """
        library = _intact(self._folder, self._name)
        if library is None:
            with suppress(FileNotFoundError):
                reason = self._note.read_text(encoding="utf-8")
                raise CompileError(
                    f"{reason} It is tried again after {HOURS} hours, or if {self._note} is removed."
                )
        return library

    def compiled(self) -> Path:
        """The library, which is compiled if it is not there.

        Raises
        ------
        CompileError
            If the compiler fails, or has failed.
        """
        library = self.found()
        if library is not None:
            return library
        with FileLock(self._folder / f"{self._name}.lock"):
            library = self.found()  # another process may have compiled it meanwhile
            if library is None:
                library = self._made()
                _remove_unused(self._folder)
            return library

    def _made(self) -> Path:
        """Compile the library; its name ends with a digest of the contents."""
        for damaged in self._folder.glob(f"{self._name}-*"):
            damaged.unlink(missing_ok=True)
        _remove_remains(self._folder)
        suffix = ".dll" if sys.platform == "win32" else ".so"
        temporary = self._folder / f"{self._name}.new"
        try:
            _compile([self._compiler], self._flags, self._digest, temporary, self._link_flags)
        except CompileError as error:
            self._note.write_text(str(error), encoding="utf-8")
            raise
        file = self._folder / f"{self._name}-{_digest_of(temporary)}{suffix}"
        temporary.replace(file)
        return file


def _by_first(variant: str, action: Callable[[_Entry], Any]) -> Any:
    """What `action` returns for the first compiler with which it raises no CompileError.

    Raises
    ------
    CompileError
        If there is no compiler, if all of them fail, or if nothing can be written to the cache.
    """
    compilers = find_compilers()
    if not compilers:
        raise CompileError(
            f"No C compiler was found: expected {', '.join(NAMES)} on the PATH, or CC."
        )
    digest = sources_digest()
    reasons: list[str] = []
    try:
        folder = private_folder()
        for compiler in compilers:
            try:
                return action(_Entry(folder, compiler, variant, digest))
            except CompileError as error:
                reasons.append(str(error))
        if _remove_old_notes(folder):
            return _by_first(variant, action)
    except OSError as error:
        raise CompileError(
            f"The C library cannot be written to {cache_folder()}: {error}"
        ) from error
    raise CompileError(" ".join(reasons))


def _remove_old_notes(folder: Path) -> bool:
    """Remove the notes of compilers that are to be tried again; whether there were any."""
    oldest = time.time() - HOURS * 3600
    removed = False
    for note in folder.glob("*.failed"):
        with suppress(OSError):  # another process may have removed it just now
            if note.stat().st_mtime < oldest:
                note.unlink()
                removed = True
    return removed


def cached(variant: str) -> Path:
    """The library for a kind of processor, from the cache; compiled if it is not there.

    Parameters
    ----------
    variant : str
        As in `Target`.

    Raises
    ------
    CompileError
        If there is no compiler, if all of them fail, or if nothing can be written to the cache.
    """
    library: Path = _by_first(variant, _Entry.compiled)
    return library


def in_cache(variant: str) -> Path | None:
    """The library that `cached` returns; None if it would have to be compiled.

    Raises
    ------
    CompileError
        If there is no compiler, if all of them have failed, or if the cache cannot be used.
    """
    library: Path | None = _by_first(variant, _Entry.found)
    return library


def cached_apart(variant: str, when_started: Callable[[], None]) -> Path:
    """The library that `cached` returns, compiled by another process, which outlives this one.

    A script may end before it is compiled. In a thread, it would be compiled in vain, by each script.

    Parameters
    ----------
    variant : str
        As in `Target`.
    when_started : function
        It is called as soon as the other process runs; not if the library is in the cache already.

    Raises
    ------
    CompileError
        As of `cached`.
    """
    library = in_cache(variant)
    if library is not None:
        return library
    if not sys.executable or getattr(sys, "frozen", False):  # there is no Python to start
        when_started()
        return cached(variant)
    said = _run_apart(when_started)
    library = in_cache(variant)
    if library is None:
        raise CompileError(f"{sys.executable} -m {__name__} has made no library: {said}")
    return library


def _run_apart(when_started: Callable[[], None]) -> str:
    """Run this module as a process of its own, and wait for it; what it has said about an error."""
    options: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        options = {
            "creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        }
    environment = {**os.environ, "CC": find_compilers()[0]}  # which may be relative to this folder
    environment["PYTHONPATH"] = os.pathsep.join(str(Path(x).absolute()) for x in sys.path)
    process = subprocess.Popen(  # noqa: S603 - Python itself
        [sys.executable, "-m", __name__],
        cwd=Path(__file__).parents[3],  # of which Python imports first
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    when_started()
    _, said = process.communicate()
    return str(said).strip()[-500:]


def _remove_remains(folder: Path) -> None:
    """Remove what compilations left that were killed an hour ago or earlier."""
    for remains in folder.glob("build-*"):
        with suppress(OSError):  # another process may have removed it just now
            if time.time() - remains.stat().st_mtime > 3600:
                shutil.rmtree(remains, ignore_errors=True)


def _native_flags(variant: str) -> list[str]:
    """The flags with which the compiler of this machine compiles for a variant."""
    flags = [*FLAGS, "-pthread"]
    if sys.platform == "win32":  # Clang refuses it there, where all code can be moved
        flags = [x for x in FLAGS if x != "-fPIC"]
    return flags if variant == "aarch64" else [*flags, f"-march={variant}"]


def _link_flags(system: str) -> list[str]:
    """The flags with which a library for a system is linked, in the words of `Target`."""
    if system == "windows":
        return []
    if system == "macos":
        # Else the library would call itself by the path at which it is linked, on this machine.
        return ["-lm", "-Wl,-install_name,@rpath/xpnet.dylib"]
    # Its functions call each other, even if another library of the process has some of the same names.
    return ["-lm", "-Wl,-Bsymbolic"]


def _version(compiler: str) -> str:
    """What a compiler prints about itself."""
    try:
        finished = subprocess.run(  # noqa: S603 - likewise
            [compiler, "--version"], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CompileError(f"The C compiler {compiler} does not run: {error}") from error
    return finished.stdout


# --- for the wheels ------------------------------------------------------------------------------


def build_all(out: Path, targets: Iterable[Target] = TARGETS) -> list[Path]:
    """Compile for each target by zig; the libraries' paths.

    Raises
    ------
    CompileError
        If the package ziglang is not installed, or a compilation fails.
    """
    out.mkdir(parents=True, exist_ok=True)
    compiler = [sys.executable, "-m", "ziglang", "cc"]
    digest = sources_digest()
    made: list[Path] = []
    for target in targets:
        file = out / target.file_name
        flags = [*FLAGS, *_zig_flags(target)]
        _compile(compiler, flags, digest, file, _link_flags(target.system))
        made.append(file)
    return made


def _zig_flags(target: Target) -> list[str]:
    """The flags with which zig compiles for a target."""
    # The oldest glibc and macOS are those in the tags of the wheels.
    system = {"linux": "linux-gnu.2.17", "macos": "macos.11.0", "windows": "windows-gnu"}
    # Clang writes unwind tables even where GCC does not: 24 kB of each library.
    more = ["-pthread", "-fno-unwind-tables"] if target.system == "linux" else []
    if target.machine == "aarch64":
        return ["-target", f"aarch64-{system[target.system]}", *more]
    level = target.variant.replace("-", "_")
    return ["-target", f"x86_64-{system[target.system]}", f"-mcpu={level}", *more]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command `python -m xpnet.compiler.c.build`."""
    parser = argparse.ArgumentParser(prog="python -m xpnet.compiler.c.build")
    parser.add_argument(
        "--zig", action="store_true", help="for all systems, by the package ziglang"
    )
    parser.add_argument("--out", type=Path, help="the folder for the libraries of --zig")
    parser.add_argument("--only", help="part of the names of the libraries to make: linux, v3")
    given = parser.parse_args(arguments)
    if given.zig and given.out is None:
        parser.error("--zig needs --out")
    chosen = [x for x in TARGETS if given.only is None or given.only in x.file_name]
    if not chosen:
        names = ", ".join(x.file_name for x in TARGETS)
        parser.error(f"--only {given.only} is part of none of the names: {names}")
    try:
        if given.zig:
            _build_and_print(given.out, chosen)
        else:
            sys.stdout.write(f"{_cached_for_this_processor()}\n")
    except CompileError as error:
        parser.exit(1, f"{error}\n")


def _build_and_print(out: Path, targets: Iterable[Target]) -> None:
    """Compile for each target by zig, and print what was made as soon as it is there."""
    for target in targets:
        start = time.monotonic()
        [file] = build_all(out, [target])
        seconds = time.monotonic() - start
        sys.stdout.write(f"{file}  {file.stat().st_size / 1000:.0f} kB, {seconds:.0f} s\n")
        sys.stdout.flush()


def _cached_for_this_processor() -> Path:
    """What `cached` returns for the best variant that this processor can run."""
    from xpnet.compiler.c.load import variants

    possible = variants()
    if not possible:
        raise CompileError(no_library())
    return cached(possible[0])


def no_library() -> str:
    """The reason why there is no library for this processor, whatever compilers there are."""
    system, machine = system_and_machine()
    return f"There is no C library for {machine} processors ({system})."


def system_and_machine() -> tuple[str, str]:
    """The system and the processor that this Python is made for, in the words of `Target`.

    The processor of the machine may be another one: a 64-bit one may run a 32-bit Python, and one of ARM
    may emulate x86-64 for Python on Windows.
    """
    system = {"win32": "windows", "darwin": "macos"}.get(sys.platform, sys.platform)
    machine = platform.machine().lower()
    if sysconfig.get_platform() == "win-amd64":
        machine = "amd64"
    machine = {"amd64": "x86-64", "x86_64": "x86-64", "arm64": "aarch64"}.get(machine, machine)
    if sys.maxsize < 2**32:
        machine = f"32-bit {machine}"
    return system, machine


if __name__ == "__main__":
    main()
