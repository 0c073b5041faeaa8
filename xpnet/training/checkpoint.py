"""Checkpoints: the file format of a training's state, from which it is resumed bit for bit.

    write(path, state)        write a state, nested dicts of arrays and numbers, whole or not at all
    read(path)                the same dicts, with NumPy's arrays
    read_text(path)           the same dicts with the names of the arrays, which are not read

What a state consists of is decided by `Trainer.state_dict` and the objects that a trainer has.

The file is safetensors: the arrays by name ("model.layers.0.weight", "optimizer.0.m", "average.0"),
and in its metadata a JSON text, which holds the same tree with names in place of arrays. A checksum
for each array, and one for the text, reveal a changed byte, which the format itself does not.
Everything that a resumed training needs is in this one file, so no two files can be out of step.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from zlib import crc32

from xpnet._typing import Array, PathLike
from xpnet.backend import to_numpy
from xpnet.errors import ArgumentTypeError, StateError
from xpnet.saving.safetensors import load_file, replacing

FORMAT = "xpnet checkpoint 3"
ARRAY = "$array"  # {"$array": name} stands for an array in the text


def write(path: PathLike, state: dict[str, Any]) -> None:
    """Write a state to a temporary file that is renamed when it is complete and on the disk.

    If the process is killed or the power fails, the file is either the old one or the new one.

    Raises
    ------
    TypeError
        The state holds anything other than numbers, strings, arrays of numbers, lists and dicts.
    OSError
        The file cannot be written.
    """
    from safetensors.numpy import save as to_bytes

    text, arrays = flattened(state)
    sums = json.dumps({name: checksum(x) for name, x in arrays.items()})
    metadata = {
        "format": FORMAT,
        "state": text,
        "crc32": sums,
        "check": text_checksum(text, sums),
    }
    data = to_bytes(arrays, metadata)
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def read(path: PathLike) -> dict[str, Any]:
    """The state that a checkpoint holds.

    Raises
    ------
    StateError
        The file is missing, incomplete, damaged or not a checkpoint; the message names the file,
        and the array if one is damaged.
    """
    arrays, metadata = load_file(path)
    with _named_damage(path):
        text, sums = _verified_text(path, metadata)
        for name, expected in sums.items():
            if name not in arrays:
                raise StateError(f"{path}: the array {name} is missing.")
            if checksum(arrays[name]) != expected:
                raise StateError(f"{path}: the array {name} is damaged: its checksum is wrong.")
        state: dict[str, Any] = _with_arrays(text, arrays)
    return state


def read_text(path: PathLike) -> dict[str, Any]:
    """The state that a checkpoint holds, with {"$array": name} in place of each array.

    Raises
    ------
    StateError
        As `read`, without the checks of the arrays.
    """
    _, metadata = load_file(path, names=())
    with _named_damage(path):
        state: dict[str, Any] = _verified_text(path, metadata)[0]
    return state


def steps_of(path: PathLike) -> int:
    """The number of steps after which a checkpoint was written."""
    with _named_damage(path):
        return int(read_text(path)["steps"])


def _verified_text(path: PathLike, metadata: dict[str, str]) -> tuple[Any, dict[str, int]]:
    """The tree without its arrays, and the arrays' checksums, if the text's own checksum is right."""
    if metadata.get("format") != FORMAT:
        raise StateError(f"{path}: expected a checkpoint ({FORMAT}), got another safetensors file.")
    text = metadata["state"]
    sums = metadata["crc32"]
    if metadata["check"] != text_checksum(text, sums):
        raise StateError(f"{path}: its text is damaged: its checksum is wrong.")
    return json.loads(text), dict(json.loads(sums))


@contextmanager
def _named_damage(path: PathLike) -> Iterator[None]:
    """A block in which an error of parsing becomes a StateError that names the file."""
    try:
        yield
    except StateError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise StateError(f"{path}: its text does not describe a checkpoint: {error!r}.") from error


# --- a tree of arrays and numbers, and its text ---------------------------------------------------


def flattened(state: dict[str, Any]) -> tuple[str, dict[str, Array]]:
    """A state as a JSON text and the arrays that it refers to, on the host, by name."""
    arrays: dict[str, Array] = {}
    text = json.dumps(_without_arrays(state, "", arrays))
    return text, arrays


def _without_arrays(value: Any, path: str, arrays: dict[str, Array]) -> Any:
    """A tree as JSON can hold it; its arrays are added to `arrays` under their path."""
    if isinstance(value, dict) and all(isinstance(name, str) and name != ARRAY for name in value):
        prefix = f"{path}." if path else ""
        return {name: _without_arrays(v, f"{prefix}{name}", arrays) for name, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_arrays(v, f"{path}.{i}", arrays) for i, v in enumerate(value)]
    if hasattr(value, "dtype"):
        host = to_numpy(value)
        if host.dtype.kind in "biufcV":  # numbers; V is the kind of bfloat16
            while path in arrays:  # as in {"a.b": x, "a": {"b": y}}
                path += "'"
            # In the byte order in which it will be read, which is part of the checksum.
            arrays[path] = host.astype(host.dtype.newbyteorder("="), order="C")
            return {ARRAY: path}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ArgumentTypeError(
        f"Expected numbers, strings, arrays of numbers, and lists and dicts (by name) of these in a "
        f"checkpoint; {path} is {value!r}."
    )


def _with_arrays(value: Any, arrays: dict[str, Array]) -> Any:
    """The inverse of `_without_arrays`: the tree with its arrays."""
    if isinstance(value, dict):
        if value.keys() == {ARRAY}:
            return arrays[value[ARRAY]]
        return {name: _with_arrays(v, arrays) for name, v in value.items()}
    if isinstance(value, list):
        return [_with_arrays(v, arrays) for v in value]
    return value


def checksum(x: Array) -> int:
    """The CRC-32 of an array's dtype, shape and bytes."""
    return crc32(x.tobytes(), crc32(f"{x.dtype.str}{x.shape}".encode()))


def text_checksum(*texts: str) -> str:
    """The CRC-32 of texts in hexadecimal digits."""
    return f"{crc32(''.join(texts).encode()):08x}"
