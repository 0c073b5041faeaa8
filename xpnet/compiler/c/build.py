"""Compile the C library: once into a cache, or for the wheels of all systems.

    python -m xpnet.compiler.c.build                    into the cache; prints the path
    python -m xpnet.compiler.c.build --zig --out DIR    for all systems, by zig (pip install ziglang)

A library that was compiled from a source install is kept in the user's cache folder. Its name has a
digest of all that it depends on (the sources, the flags, the compiler) and one of its own contents. It
is written under another name and renamed, by one process at a time: a process that is killed leaves
nothing that could be loaded, and a file that was damaged later is compiled again.
"""

import argparse
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from xpnet.errors import CompileError

__all__ = ["Target", "build_all", "cached", "find_compiler", "private_folder", "sources_digest"]

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


def find_compiler() -> str | None:
    """The path of a C compiler: $CC, cc, gcc or clang; None if there is none.

    On Windows it is $CC or clang: GCC does not align the stack there as its own code for vectors of 32
    bytes expects (its bug 54412).
    """
    names = ["clang"] if sys.platform == "win32" else ["cc", "gcc", "clang"]
    for name in (os.environ.get("CC", ""), *names):
        found = shutil.which(name) if name else None
        if found is not None:
            return found
    return None


def optimization(source: Path) -> str:
    """The flag with which a file is optimized: see `LOOPS`."""
    return "-O3" if source.stem in LOOPS else "-O2"


def _compile(compiler: Sequence[str], flags: Sequence[str], digest: str, target: Path) -> None:
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
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            list(pool.map(_call, commands))
        linked = f"{folder}/{target.name}"
        _call([*compiler, *flags, "-s", "-shared", *objects, "-o", linked, "-lm"])
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
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
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
    return bool(status.st_mode & 0o002 and not status.st_mode & stat.S_ISVTX)


def cached(variant: str) -> Path:
    """The library for a kind of processor, from the cache; compiled if it is not there.

    Parameters
    ----------
    variant : str
        As in `Target`.

    Raises
    ------
    CompileError
        If there is no compiler, if it fails, or if nothing can be written to the cache.
    """
    compiler = find_compiler()
    if compiler is None:
        raise CompileError("No C compiler was found: cc, gcc and clang are not on the PATH.")
    flags = [*FLAGS, *_native_flags(variant)]
    digest = sources_digest()
    key = "\n".join([digest, *flags, *LOOPS, compiler, _version(compiler)])
    name = f"xpnet-{variant}-{hashlib.sha256(key.encode()).hexdigest()[:24]}"
    try:
        folder = private_folder()
        found = _intact(folder, name)
        if found is not None:
            return found
        with FileLock(folder / f"{name}.lock"):
            found = _intact(folder, name)  # another process may have compiled it meanwhile
            if found is None:
                found = _into_cache([compiler], flags, digest, folder / name)
                _remove_unused(folder)
            return found
    except OSError as error:
        raise CompileError(
            f"The C library cannot be written to {cache_folder()}: {error}"
        ) from error


def _into_cache(compiler: list[str], flags: list[str], digest: str, stem: Path) -> Path:
    """Compile a library; its path, `stem` and a digest of the contents."""
    for damaged in stem.parent.glob(f"{stem.name}-*"):
        damaged.unlink()
    _remove_remains(stem.parent)
    suffix = ".dll" if sys.platform == "win32" else ".so"
    temporary = stem.parent / f"{stem.name}.new"
    _compile(compiler, flags, digest, temporary)
    file = stem.parent / f"{stem.name}-{_digest_of(temporary)}{suffix}"
    temporary.replace(file)
    return file


def _remove_remains(folder: Path) -> None:
    """Remove what compilations left that were killed an hour ago or earlier."""
    for remains in folder.glob("build-*"):
        if time.time() - remains.stat().st_mtime > 3600:
            shutil.rmtree(remains, ignore_errors=True)


def _native_flags(variant: str) -> list[str]:
    """The flags with which the compiler of this machine compiles for a variant."""
    threads = [] if sys.platform == "win32" else ["-pthread"]
    return threads if variant == "aarch64" else [f"-march={variant}", *threads]


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
        _compile(compiler, [*FLAGS, *_zig_flags(target)], digest, file)
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
    if not given.zig:
        from xpnet.compiler.c.load import variants

        sys.stdout.write(f"{cached(variants()[0])}\n")
        return
    if given.out is None:
        parser.error("--zig needs --out")
    chosen = [x for x in TARGETS if given.only is None or given.only in x.file_name]
    for file in build_all(given.out, chosen):
        sys.stdout.write(f"{file}  {file.stat().st_size / 1000:.0f} kB\n")


def system_and_machine() -> tuple[str, str]:
    """The system and the processor of this machine, in the words of `Target`."""
    system = {"win32": "windows", "darwin": "macos"}.get(sys.platform, sys.platform)
    machine = platform.machine().lower()
    machine = {"amd64": "x86-64", "x86_64": "x86-64", "arm64": "aarch64"}.get(machine, machine)
    return system, machine


if __name__ == "__main__":
    main()
