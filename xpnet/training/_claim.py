"""Claims: a folder is written to by one training at a time.

The claim is a lock of the operating system's on the file `.lock` in the folder, by the package
filelock. The system releases it when the process ends, however that happens, so that a process
that was killed locks nothing out. On a network file system it holds between hosts only as far as
that file system passes such locks on (NFS 4 and SMB do).
"""

import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from xpnet.errors import StateError

if TYPE_CHECKING:
    from filelock import BaseFileLock

PathLike = str | os.PathLike[str]
LOCK = ".lock"


class Claim:
    """The right to write to a folder: of one thread, which may claim it several times.

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
        self.created: list[Path] = []
        self.lock: BaseFileLock | None = None

    def acquire(self, new: bool = False) -> Self:
        """Create the folder and lock it; nothing, if this claim holds already.

        Parameters
        ----------
        new : bool
            Whether there must be no such folder yet.

        Raises
        ------
        StateError
            Another process or thread has claimed it; the message says which. Or it was to be new,
            and exists.
        OSError
            The folder or its lock cannot be created.
        """
        from filelock import FileLock, Timeout

        if self.lock is not None:
            return self
        self._create(new)
        file = self.folder.resolve() / LOCK
        holder = _holder(file)
        lock = FileLock(file, is_singleton=True)
        try:
            lock.acquire(blocking=False)
        except BaseException as error:
            self._remove_created()
            if isinstance(error, FileNotFoundError) and not new:  # its creator has removed it
                return self.acquire()
            if not isinstance(error, Timeout):
                raise
            raise StateError(
                f"{self.folder}: a training is writing to this folder: {holder}. Wait until it has "
                "ended, end it, or name another folder."
            ) from None
        self.lock = lock
        with suppress(OSError):  # Windows lets nobody write to it now; it only tells who has it
            file.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
        return self

    def release(self) -> None:
        """Let others claim the folder; nothing, if this claim does not hold."""
        lock = self.lock
        self.lock = None
        if lock is None:
            return
        if lock.lock_counter == 1:
            # Before the lock is given up: whoever has opened the file meanwhile finds that it is
            # gone. Windows removes no file that is open, and leaves it.
            with suppress(OSError):
                Path(lock.lock_file).unlink()
        lock.release()
        self._remove_created()

    def _create(self, new: bool) -> None:
        """Create the folder, and remember which of those above were created for it."""
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
        """Remove the folders that were created for this claim, as long as they are empty."""
        with suppress(OSError):
            for path in self.created:
                path.rmdir()
        self.created = []

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()


def is_empty(folder: Path) -> bool:
    """Whether there is nothing in a folder but its lock, perhaps."""
    return all(path.name == LOCK for path in folder.iterdir())


def require_new(*files: Path) -> None:
    """Refuse to overwrite what an older training has written, before the first step of a new one.

    Raises
    ------
    StateError
        One of the files exists.
    """
    for file in files:
        if file.exists():
            raise StateError(
                f"{file}: an older training has written this, and a new one would overwrite it. To "
                "resume the older one: fit(..., resume=FOLDER/last.safetensors). To keep both, name "
                "another folder; else remove the old one first."
            )


def _holder(file: Path) -> str:
    """Who has locked a folder, as far as the lock file tells."""
    try:
        found = json.loads(file.read_text())
        pid, host = int(found["pid"]), str(found["host"])
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
    if pid == os.getpid() and host == socket.gethostname():
        return "another thread of this process"
    return f"process {pid} on {host}" if host.isprintable() else f"process {pid}"
