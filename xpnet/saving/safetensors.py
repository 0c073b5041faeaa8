"""Weights in safetensors files.

The format is a table of named arrays and named strings, and contains nothing that could be executed.
PyTorch, JAX and many others read it: https://huggingface.co/docs/safetensors.

    save(model, "mlp.safetensors")             a model's weights
    load(model, "mlp.safetensors")             into a model of the same layers
    save_file(state, path); load_file(path)    any arrays, by name
"""

import os
import secrets
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from xpnet._typing import Array, PathLike
from xpnet.backend import to_numpy
from xpnet.errors import ArgumentError, StateError
from xpnet.layers import Layer

__all__ = [
    "load",
    "load_file",
    "replacing",
    "save",
    "save_file",
    "set_state",
    "sweep",
]


def save(model: Layer, path: PathLike, metadata: Mapping[str, str] | None = None) -> None:
    """Write the parameters and buffers of `model`: `save_file` of its `state_dict`.

    Parameters
    ----------
    model : Layer
    path, metadata
        As for `save_file`.

    Raises
    ------
    StateError, OSError
        As from `save_file`.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import xpnet
    >>> from xpnet import saving
    >>> with TemporaryDirectory() as folder:
    ...     saving.save(xpnet.MLP(4, 3, 2), f"{folder}/mlp.safetensors")
    ...     state, _ = saving.load_file(f"{folder}/mlp.safetensors")
    >>> sorted(state)
    ['layers.0.bias', 'layers.0.weight', 'layers.2.bias', 'layers.2.weight']
    """
    save_file(model.state_dict(), path, metadata)


def load(model: Layer, path: PathLike) -> dict[str, str]:
    """Set the parameters and buffers of `model` from a file; each keeps its dtype and its device.

    Parameters
    ----------
    model : Layer
    path : str or path-like

    Returns
    -------
    dict of str to str
        The file's metadata.

    Raises
    ------
    StateError
        See `load_file`; or the file's names or shapes are not the model's. Then nothing is changed.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import xpnet
    >>> from xpnet import functions as F, saving
    >>> trained = xpnet.Affine(3, 2, rng=0)
    >>> model = xpnet.Affine(3, 2, rng=1)
    >>> with TemporaryDirectory() as folder:
    ...     saving.save(trained, f"{folder}/affine.safetensors", {"epochs": "20"})
    ...     saving.load(model, f"{folder}/affine.safetensors")
    {'epochs': '20'}
    >>> bool(F.all(model.weight == trained.weight))
    True
    """
    state, metadata = load_file(path)
    set_state(model, state, path)
    return metadata


def set_state(model: Layer, state: dict[str, Any], path: PathLike) -> None:
    """`model.load_state_dict(state)`, whose error names the file that `state` was read from."""
    try:
        model.load_state_dict(state)
    except StateError as error:
        raise StateError(f"{path}: these are another model's weights. {error}") from None


def save_file(
    state: Mapping[str, Array], path: PathLike, metadata: Mapping[str, str] | None = None
) -> None:
    """Write arrays of any library, by name, to a safetensors file, completely or not at all.

    Parameters
    ----------
    state : mapping of str to array
        Arrays or Variables of any shape and device, 0-d and non-contiguous ones included.
    path : str or path-like
        The file. An existing one is replaced in one step, once the new one is complete.
    metadata : mapping of str to str, optional
        Strings to be stored with the arrays.

    Raises
    ------
    StateError
        safetensors does not have the dtype of an array.
    OSError
        The file cannot be written: no such folder, no permission, no space.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from xpnet import functions as F, saving
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "mean.safetensors")
    ...     saving.save_file({"mean": F.asarray([1.0, 2.0])}, path)
    ...     b'"mean":{"dtype":"F32","shape":[2]' in path.read_bytes()  # its head is JSON
    True
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save as to_bytes

    # The format stores bytes in C order, and its writer copies an array's memory as it is.
    arrays = {name: to_numpy(x).copy(order="C") for name, x in state.items()}
    try:
        data = to_bytes(arrays, dict(metadata) if metadata else None)
    except SafetensorError as error:
        raise StateError(f"{path}: cannot be written: {error}") from error
    # Not with safetensors' own writer: the files that it creates can be read by their owner only.
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def load_file(
    path: PathLike, names: Collection[str] | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Read a safetensors file.

    Parameters
    ----------
    path : str or path-like
    names : collection of str, optional
        The arrays to read; by default all of them.

    Returns
    -------
    state : dict of str to numpy.ndarray
        The arrays, on the host.
    metadata : dict of str to str

    Raises
    ------
    StateError
        The file is missing, truncated, corrupt or of another format; the message names it.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from xpnet import functions as F, saving
    >>> with TemporaryDirectory() as folder:
    ...     path = f"{folder}/scale.safetensors"
    ...     saving.save_file({"mean": F.zeros(2), "std": F.ones(2)}, path, {"of": "iris"})
    ...     state, metadata = saving.load_file(path, ["std"])
    >>> {name: x.tolist() for name, x in state.items()}, metadata
    ({'std': [1.0, 1.0]}, {'of': 'iris'})
    """
    from safetensors import safe_open

    path = Path(path)
    try:
        is_file = path.is_file()
    except OSError as error:
        raise StateError(f"{path}: cannot be read: {error.strerror or error}.") from error
    if path.is_dir():
        raise StateError(f"{path}: expected a safetensors file, but that is a folder.")
    if not is_file:
        raise StateError(f"{path}: expected a safetensors file, but there is no such file.")
    try:
        with safe_open(path, framework="numpy") as file:
            wanted = list(file.keys()) if names is None else names
            return {name: file.get_tensor(name) for name in wanted}, file.metadata() or {}
    except Exception as error:  # including NumPy's for dtypes that it does not have
        raise StateError(
            f"{path}: cannot be read as safetensors: {error}. It is truncated, damaged, or of another "
            "format."
        ) from error


@contextmanager
def replacing(path: PathLike) -> Iterator[Path]:
    """A block that writes a temporary file beside `path`, which then replaces `path` in one step.

    If the process is killed, the disk is full or the power fails, either the old file or the new one
    is left, complete: the content is on the disk before the file gets its name. The new file has the
    permissions of the old one and, as far as the system allows, its owner. A symbolic link stays
    one, and the file it points to is replaced. An OSError names `path`. A device or a pipe, such as
    /dev/null, is refused: it would be replaced by a file, for all programs.

    The temporary file is a new one, with a name that cannot be guessed. If the old file has narrower
    permissions than usual, only its owner can open the temporary file.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with replacing(f"{folder}/numbers.csv") as temporary:
    ...         n = temporary.write_text("1,2,3")
    ...     print(Path(f"{folder}/numbers.csv").read_text())
    1,2,3
    """
    path = Path(path)
    target = path
    if path.is_symlink():
        target = Path(os.path.realpath(path))
    if target.exists() and not (target.is_file() or target.is_dir()):
        raise ArgumentError(
            f"{path}: expected a file, or a path where there is none; it is a device or a pipe. Name a file."
        )
    name = target.name[:50]  # shortened: with the rest, the longest names would be too long
    temporary = target.with_name(f".{name}.{os.getpid()}-{secrets.token_hex(8)}.part")
    _temporaries.add(temporary)
    try:
        mode = _create_like(temporary, target)
        yield temporary
        temporary.chmod(mode)
        _sync(temporary)
        temporary.replace(target)
        if os.name == "posix":  # Windows cannot open a folder
            _sync(target.parent)
    except OSError as error:  # it has no file name (a full disk), or that of the temporary file
        if error.errno is not None:
            error.filename = str(path)
            del error.filename2
        raise
    finally:
        # If this fails too, as on a disk that has become read-only, the first error is raised.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        _temporaries.discard(temporary)


_temporaries: set[Path] = set()  # the temporary files that this process is writing


def sweep(folder: PathLike, *names: str) -> None:
    """Remove the temporary files of processes that were killed in `replacing` these files.

    Temporary files of running processes stay. A process on another host or in another container
    looks like one that has ended, so call this only where no other process may write.
    """
    for name in names:
        for part in Path(folder).glob(f".{name}.*.part"):
            pid, dash, _ = part.name.removeprefix(f".{name}.").partition("-")
            in_use = dash and pid.isdecimal() and _is_running(int(pid))
            if part not in _temporaries and not in_use:
                with suppress(OSError):  # Windows refuses while it is open
                    part.unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    """Whether another process of this host has that number."""
    if pid == os.getpid() or os.name != "posix":  # on Windows os.kill(pid, 0) is Ctrl-C
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def _create_like(temporary: Path, target: Path) -> int:
    """Create an empty file with the owner of `target`; return the permissions it is to get.

    Until then only its owner can open it. Without a `target` it gets the usual permissions at once.
    """
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
    try:
        old = target.stat()
    except FileNotFoundError:
        os.close(os.open(temporary, flags, 0o666))
        return stat.S_IMODE(temporary.stat().st_mode)
    os.close(os.open(temporary, flags, 0o600))
    if hasattr(os, "chown"):
        # Only root can give files away; others can change the group to one of their own.
        with suppress(PermissionError):
            os.chown(temporary, -1, old.st_gid)
            os.chown(temporary, old.st_uid, -1)
    return stat.S_IMODE(old.st_mode)


def _sync(path: Path) -> None:
    """Make the disk store a file's content, or the names in a folder."""
    flags = os.O_RDONLY
    if path.is_file() and os.name != "posix":  # Windows flushes only files that can be written
        flags = os.O_RDWR
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
