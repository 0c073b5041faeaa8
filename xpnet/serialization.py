"""Weights in files: safetensors in, safetensors out.

The format is a table of named arrays and of named strings, and nothing that could be executed. It
is read by PyTorch, JAX, and many others: https://huggingface.co/docs/safetensors.

    save(model, "mlp.safetensors")             a model's weights
    load(model, "mlp.safetensors")             into a model of the same shape
    save_file(state, path); load_file(path)    any arrays, by name
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xpnet.backend import Array, to_numpy
from xpnet.errors import StateError
from xpnet.layers import Layer

PathLike = str | os.PathLike[str]


def save(model: Layer, path: PathLike, metadata: Mapping[str, str] | None = None) -> None:
    """Write the parameters of `model`: `save_file` of its `state_dict`."""
    save_file(model.state_dict(), path, metadata)


def load(model: Layer, path: PathLike) -> dict[str, str]:
    """Set the parameters of `model` from a file; each keeps its dtype and its device.

    Returns
    -------
    dict of str to str
        The file's metadata.

    Raises
    ------
    StateError
        As `load_file`; or the file's names or shapes are not the model's. Then no parameter is
        changed.
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
    """Write arrays of any library, by name, to a safetensors file, whole or not at all.

    Parameters
    ----------
    state : mapping of str to array
        Arrays or Variables of any shape and device; 0-d and non-contiguous ones too.
    path : str or path-like
        The file; one that is there is replaced in one step, once the new one is complete.
    metadata : mapping of str to str, optional
        What else is to be remembered.

    Raises
    ------
    StateError
        An array's dtype is none that safetensors has.
    OSError
        The file cannot be written: no such folder, no permission, no space.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save as to_bytes

    # The format stores bytes in C order, and its writer takes an array's memory as it lies.
    arrays = {name: to_numpy(x).copy(order="C") for name, x in state.items()}
    try:
        data = to_bytes(arrays, dict(metadata) if metadata else None)
    except SafetensorError as error:
        raise StateError(f"{path}: cannot be written: {error}") from error
    with replacing(path) as temporary:  # by us: safetensors makes a file that only its owner reads
        temporary.write_bytes(data)


def load_file(path: PathLike) -> tuple[dict[str, Any], dict[str, str]]:
    """Read a safetensors file.

    Returns
    -------
    state : dict of str to numpy.ndarray
        The arrays, on the host.
    metadata : dict of str to str

    Raises
    ------
    StateError
        The file is missing, cut, corrupt or of another format; the message names it.
    """
    from safetensors import safe_open

    path = Path(path)
    try:
        there = path.is_file()
    except OSError as error:
        raise StateError(f"{path}: cannot be read: {error.strerror or error}.") from error
    if not there:
        what = "that is a folder" if path.is_dir() else "there is no such file"
        raise StateError(f"{path}: expected a safetensors file, but {what}.")
    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except Exception as error:  # also what NumPy says of dtypes that it lacks
        raise StateError(
            f"{path}: cannot be read as safetensors: {error}. It is cut, damaged, or of another "
            "format."
        ) from error


@contextmanager
def replacing(path: PathLike) -> Iterator[Path]:
    """A block that writes a temporary file beside `path`, which then takes its place in one step.

    A process that is killed, or a disk that is full, leaves the old file, or none. An OSError names
    `path`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with replacing(f"{folder}/numbers.csv") as temporary:
    ...         n = temporary.write_text("1,2,3")
    ...     print(Path(f"{folder}/numbers.csv").read_text())
    1,2,3
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:  # a full disk gives no name, others that of the temporary file
        if error.errno is not None:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
