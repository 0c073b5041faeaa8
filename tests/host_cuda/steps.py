"""What the scripts that build the emulated device share: folders, hashes, commands."""

import contextlib
import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
CUDA = "13.0"  # the version whose interface src/ implements

# --- folders that are either complete or absent ---------------------------------------------------


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that other processes wait for; the system releases it if this process ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def published(folder: Path, make: Callable[[Path], None]) -> Path:
    """The folder; if it does not exist yet, ``make(part)`` fills a part, which is then renamed."""
    if folder.exists():
        return folder
    with locked(folder.with_name(folder.name + ".lock")):
        if folder.exists():  # another process has built it while this one waited
            return folder
        for left_over in folder.parent.glob(
            folder.name + ".part-*"
        ):  # from a process that was killed
            shutil.rmtree(left_over)
        part = Path(tempfile.mkdtemp(prefix=folder.name + ".part-", dir=folder.parent))
        make(part)
        part.chmod(0o755)
        part.rename(folder)
    return folder


def digest(*parts: str | bytes) -> str:
    """Twelve hexadecimal digits that stand for the parts."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "little") + data)
    return total.hexdigest()[:12]


def contents(paths: list[Path]) -> bytes:
    """The names and contents of files, for a hash."""
    return b"".join(
        str(path.relative_to(HERE)).encode() + b"\0" + path.read_bytes() + b"\0"
        for path in sorted(paths)
    )


# --- tools ----------------------------------------------------------------------------------------


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a command, and return its output.

    Raises
    ------
    SystemExit
        The command failed; the message holds everything that it printed.
    """
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{shlex.join(words)}\n{done.stdout}{done.stderr}")
    return done.stdout


def compiler() -> str:
    """The C++ compiler: ``$CXX``, else g++. Its precompiled headers are g++'s."""
    name = os.environ.get("CXX", "g++")
    if shutil.which(name) is None:
        raise SystemExit(
            f"expected a C++ compiler, g++ or $CXX, but there is no {name}: install g++"
        )
    return name


def compiler_version() -> str:
    """The compiler's name and version, as it prints them."""
    return run(compiler(), "--version").splitlines()[0]


def pip(*arguments: str | Path) -> None:
    """Run the pip of this Python."""
    run(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)
