"""Weights to PyTorch and from it: its names, its shapes; PyTorch itself is not needed.

    load_torch_state_dict(model, theirs.state_dict())
    theirs.load_state_dict({k: torch.asarray(v) for k, v in torch_state_dict(model).items()})

Layers have PyTorch's names and shapes, with two exceptions: the weight of an `Affine` is the
transpose of the weight of PyTorch's Linear, and in a `Sequential` the name of a layer is "layers.0"
where PyTorch's is "0". In files:
`save_file(torch_state_dict(model), path)` writes what `safetensors.torch.load_file(path)` reads.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import Parameter
from xpnet.backend import to_numpy
from xpnet.errors import StateError
from xpnet.layers import Affine, Buffer, Layer, Sequential
from xpnet.layers._contents import contents

__all__ = [
    "Entry",
    "load_torch_state_dict",
    "torch_state_dict",
]

COUNT = "num_batches_tracked"  # PyTorch's normalizations count; it is no part of what they compute


class Entry(NamedTuple):
    """A tensor of a model: its name here and in PyTorch, and whether it lies there transposed."""

    name: str
    theirs: str
    tensor: Any
    transposed: bool


def torch_state_dict(model: Layer) -> dict[str, Array]:
    """The parameters and buffers of `model` by PyTorch's names and in its shapes.

    Parameters
    ----------
    model : Layer

    Returns
    -------
    dict of str to array
        Copies, of the model's own library: on PyTorch `load_state_dict` takes them as they are;
        of another, call `torch.asarray` on each. A tensor that stands in two places is there twice,
        as in PyTorch.

    Examples
    --------
    >>> import xpnet
    >>> {name: x.shape for name, x in torch_state_dict(xpnet.MLP(4, 3, 2)).items()}
    {'0.weight': (3, 4), '0.bias': (3,), '2.weight': (2, 3), '2.bias': (2,)}
    """
    state = {}
    for entry in _entries(model):
        x = entry.tensor.data
        x = x.T if entry.transposed else x
        state[entry.theirs] = array_namespace(x).asarray(x, copy=True)
    return state


def load_torch_state_dict(model: Layer, state: Mapping[str, Any]) -> None:
    """Set the parameters and buffers of `model` from those of PyTorch's model of the same shape.

    Parameters
    ----------
    model : Layer
        Each of its tensors keeps its dtype and its device.
    state : mapping of str to tensor or array
        What `state_dict()` gives, or arrays of any library by those names. The counts
        "num_batches_tracked" may be there or not.

    Raises
    ------
    StateError
        Names are missing or unknown, a shape differs, a tensor is of a dtype that NumPy has not,
        or two tensors that are one here are not equal. Then nothing is changed.
    """
    entries = list(_entries(model))
    names = {entry.theirs for entry in entries}
    given = {name for name in state if name in names or name.rpartition(".")[2] != COUNT}
    missing = sorted(name for name in names - given if name.rpartition(".")[2] != COUNT)
    if missing or given - names:
        raise StateError(
            f"{model!r}: PyTorch's state lacks {missing} and has unknown {sorted(given - names)}."
        )
    new = dict(model.state_dict())  # a count that is not given stays as it is
    sources: dict[int, str] = {}
    ours: dict[int, str] = {}
    for name, theirs, tensor, transposed in entries:
        if theirs not in given:
            continue
        x = _host(theirs, state[theirs])
        expected = tuple(tensor.data.shape)[:: -1 if transposed else 1]
        if tuple(x.shape) != expected:
            raise StateError(
                f"{model!r}: expected {theirs} of shape {expected}, got {tuple(x.shape)}."
            )
        x = x.T if transposed else x
        if id(tensor) not in ours:
            ours[id(tensor)], sources[id(tensor)], new[name] = name, theirs, x
        elif x.tobytes() != new[ours[id(tensor)]].tobytes():
            raise StateError(
                f"{model!r}: {sources[id(tensor)]} and {theirs} are one tensor here, but differ."
            )
    model.load_state_dict(new)


def _host(name: str, x: Array) -> Any:
    try:
        return to_numpy(x)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = getattr(x, "dtype", type(x).__name__)
        raise StateError(
            f"{name}, a {kind}, is no array that NumPy can hold ({error}). Convert it to float32 "
            "first: {k: v.float() for k, v in state.items()}."
        ) from error


def _entries(model: Layer) -> Iterator[Entry]:
    """Each parameter and buffer, under each of its names."""
    lists_of_layers: set[str] = set()
    if isinstance(model, Sequential):
        lists_of_layers.add("layers")
    for path, owner, value in contents(model):
        if isinstance(value, Sequential):
            lists_of_layers.add(f"{path}.layers")
        if isinstance(value, (Parameter, Buffer)):
            is_transposed = isinstance(owner, Affine) and value is owner.weight
            yield Entry(path, _pytorch_name(path, lists_of_layers), value, is_transposed)


def _pytorch_name(path: str, omitted: set[str]) -> str:
    """A path without the names that end the omitted paths: PyTorch's Sequential has no "layers".

    >>> _pytorch_name("blocks.0.layers.2.weight", {"blocks.0.layers"})
    'blocks.0.2.weight'
    """
    names = path.split(".")
    return ".".join(
        name for i, name in enumerate(names, start=1) if ".".join(names[:i]) not in omitted
    )
