"""Claims: a folder is written to by one training at a time.

A claim is a lock of the operating system on the file `.lock` in the folder, taken with the package
filelock. The system releases it when the process ends, however that happens, so a process that was
killed does not keep others out. On a network file system it is effective between hosts only if the
file system supports such locks (NFS 4 and SMB do).
"""

import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from xpnet._typing import PathLike
from xpnet.errors import StateError

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = ".lock"


class Claim:
    """The right to write to a folder. One thread has it, through any number of claims.

    Parameters
    ----------
    folder : str or path-like
        It is created when it is claimed, and removed again if it is empty when it is released.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, Claim(folder):
    ...     pass  # nobody else writes there
    """

    def __init__(self, folder: PathLike) -> None:
        self.folder = Path(folder)
        self.created: list[Path] = []  # the folders that `acquire` created, the innermost first
        self.lock: BaseFileLock | None = None

    def acquire(self, new: bool = False) -> Self:
        """Create the folder and lock it, unless this claim has it already.

        Parameters
        ----------
        new : bool
            Whether the folder must not exist yet.

        Raises
        ------
        StateError
            Another process or thread, which the message names, has claimed it; or `new` is True and
            it exists.
        OSError
            The folder or its lock cannot be created.
        """
        from filelock import FileLock, Timeout

        if self.lock is not None:
            return self
        self._create(new)
        file = self.folder.resolve() / LOCK
        note = _text(file)  # read now: versions of filelock before 3.30 empty a file that they open
        lock = FileLock(file, is_singleton=True)  # one lock per file, which counts its claims
        try:
            lock.acquire(blocking=False)
        except BaseException as error:
            self._remove_created()
            if isinstance(error, FileNotFoundError) and not new:
                return self.acquire()  # whoever had created the folder has just removed it
            if not isinstance(error, Timeout):
                raise
            if note and not _text(file):  # it is the other's; the next one wants to read it too
                with suppress(OSError):
                    file.write_text(note)
            raise StateError(
                f"{self.folder}: a training is writing to this folder: {_holder(note)}. Wait until it has "
                "ended, end it, or name another folder."
            ) from None
        self.lock = lock
        with suppress(OSError):  # on Windows a locked file cannot be written to; it is only a hint
            file.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
        return self

    def release(self) -> None:
        """Let others claim the folder, if this claim has it."""
        lock = self.lock
        self.lock = None
        if lock is None:
            return
        if lock.lock_counter == 1:  # this is the last claim
            # Removed before the lock is released, so that a process which has opened the file in
            # the meantime notices that it is gone. Windows cannot remove an open file: it stays.
            with suppress(OSError):
                Path(lock.lock_file).unlink()
        lock.release()
        self._remove_created()

    def _create(self, new: bool) -> None:
        """Create the folder and its parents, and remember which of them were missing."""
        missing = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        for path in reversed(missing):
            try:
                path.mkdir()
            except FileExistsError:  # another process was faster
                if not path.is_dir():
                    raise
            else:
                self.created.insert(0, path)
        if new and self.folder not in self.created:
            self._remove_created()
            raise StateError(f"{self.folder}: expected a new folder, but it exists.")

    def _remove_created(self) -> None:
        """Remove the folders that were created for this claim if they are empty."""
        with suppress(OSError):
            for path in self.created:
                path.rmdir()
        self.created = []

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()


def is_empty(folder: Path) -> bool:
    """Whether a folder is empty, apart from a lock file."""
    return all(path.name == LOCK for path in folder.iterdir())


def require_new(*files: Path) -> None:
    """Refuse to overwrite the files of an older training, before the first step of a new one.

    Raises
    ------
    StateError
        One of the files exists.
    """
    old = [file for file in files if file.exists()]
    if not old:
        return
    resume = "FOLDER/last.safetensors"
    checkpoints = [old[0].with_name(f"{name}.safetensors") for name in ("last", "best")]
    present = [checkpoint for checkpoint in checkpoints if checkpoint.is_file()]
    if present:
        resume = repr(str(present[0]))
    raise StateError(
        f"{old[0]}: an older training has written this file, and a new one would overwrite it. "
        f"To resume the older one: fit(..., resume={resume}). "
        f"To keep both, name another folder. To begin anew, remove {' and '.join(map(str, old))} first."
    )


def _text(file: Path) -> str:
    """What is in a file; empty if it cannot be read."""
    try:
        return file.read_text()
    except (OSError, ValueError):
        return ""


def _holder(note: str) -> str:
    """Who has locked a folder, according to the text in its lock file."""
    try:
        found = json.loads(note)
        pid = int(found["pid"])
        host = str(found["host"])
    except (ValueError, KeyError, TypeError):
        return "another process"
    if pid == os.getpid() and host == socket.gethostname():
        return "another thread of this process"
    if not host.isprintable():
        return f"process {pid}"
    return f"process {pid} on {host}"
