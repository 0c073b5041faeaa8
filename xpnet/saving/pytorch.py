"""Weights to and from PyTorch, by its names and in its shapes. PyTorch need not be installed.

    load_torch_state_dict(model, torch_model.state_dict())
    torch_model.load_state_dict({k: torch.asarray(v) for k, v in torch_state_dict(model).items()})

Layers have PyTorch's names and shapes, with two exceptions: the weight of an `Affine` is the
transpose of the weight of PyTorch's Linear, and in a `Sequential` the name of a layer is "layers.0"
where PyTorch's is "0". In files:
`save_file(torch_state_dict(model), path)` writes a file for `safetensors.torch.load_file(path)`.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import Parameter
from xpnet.backend import to_numpy
from xpnet.errors import StateError
from xpnet.layers import Affine, Buffer, Layer, Sequential
from xpnet.layers._contents import contents

__all__ = [
    "load_torch_state_dict",
    "torch_state_dict",
]

COUNT = "num_batches_tracked"  # of BatchNorm; only with momentum=None does it affect the averages


class _Entry(NamedTuple):
    """A tensor of a model: its name here and in PyTorch, and whether PyTorch has its transpose."""

    name: str
    torch_name: str
    tensor: Parameter | Buffer
    is_transposed: bool


def torch_state_dict(model: Layer) -> dict[str, Array]:
    """The parameters and buffers of `model` by PyTorch's names and in its shapes.

    Parameters
    ----------
    model : Layer

    Returns
    -------
    dict of str to array
        Copies, in the model's own library. If that is PyTorch, pass them to `load_state_dict`; else
        call `torch.asarray` on each first. A tensor that is held in two places is there twice, as in
        PyTorch.

    Examples
    --------
    >>> import xpnet
    >>> {name: x.shape for name, x in torch_state_dict(xpnet.MLP(4, 3, 2)).items()}
    {'0.weight': (3, 4), '0.bias': (3,), '2.weight': (2, 3), '2.bias': (2,)}
    """
    state = {}
    for entry in _entries(model):
        x = entry.tensor.data
        if entry.is_transposed:
            x = x.T
        state[entry.torch_name] = array_namespace(x).asarray(x, copy=True)
    return state


def load_torch_state_dict(model: Layer, state: Mapping[str, Any]) -> None:
    """Set the parameters and buffers of `model` from those of the same model in PyTorch.

    Parameters
    ----------
    model : Layer
        Each of its tensors keeps its dtype and its device.
    state : mapping of str to tensor or array
        The result of `state_dict()`, or arrays of any library by those names. The counts
        "num_batches_tracked" are optional.

    Raises
    ------
    StateError
        Names are missing or unknown, a shape differs, NumPy does not have the dtype of a tensor, or
        two tensors that are one tensor here are not equal. Then nothing is changed.
    """
    entries = list(_entries(model))
    _require_names(model, {entry.torch_name for entry in entries}, state.keys())
    new = dict(model.state_dict())  # a count that is not given stays as it is
    first: dict[int, _Entry] = {}  # the first entry of each tensor, by its id
    for entry in entries:
        if entry.torch_name not in state:
            continue
        x = _converted(model, entry, state[entry.torch_name])
        same = first.setdefault(id(entry.tensor), entry)
        if same is entry:
            new[entry.name] = x
        elif x.tobytes() != new[same.name].tobytes():
            raise StateError(
                f"{model!r}: {same.torch_name} and {entry.torch_name} are one tensor here, but "
                "differ."
            )
    model.load_state_dict(new)


def _require_names(model: Layer, expected: set[str], given: Collection[str]) -> None:
    """Raise StateError unless the names of a state are those of the model; counts are optional."""
    missing = sorted(n for n in expected if n not in given and n.rpartition(".")[2] != COUNT)
    unknown = sorted(n for n in given if n not in expected and n.rpartition(".")[2] != COUNT)
    if missing or unknown:
        raise StateError(f"{model!r}: PyTorch's state lacks {missing} and has unknown {unknown}.")


def _converted(model: Layer, entry: _Entry, x: Array) -> Array:
    """A tensor of PyTorch's as a NumPy array of the shape that the model's own tensor has."""
    x = _to_host(entry.torch_name, x)
    expected = tuple(entry.tensor.data.shape)
    if entry.is_transposed:
        expected = expected[::-1]
    if tuple(x.shape) != expected:
        raise StateError(
            f"{model!r}: expected {entry.torch_name} of shape {expected}, got {tuple(x.shape)}."
        )
    if entry.is_transposed:
        x = x.T
    return x


def _to_host(name: str, x: Array) -> Array:
    """The tensor x of that name as a NumPy array; StateError if NumPy does not have its dtype."""
    try:
        return to_numpy(x)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = getattr(x, "dtype", type(x).__name__)
        raise StateError(
            f"{name}, a {kind}, cannot be a NumPy array ({error}). Convert it to float32 "
            "first: {k: v.float() for k, v in state.items()}."
        ) from error


def _entries(model: Layer) -> Iterator[_Entry]:
    """Each parameter and buffer, under each of its names."""
    lists_of_layers: set[str] = set()
    if isinstance(model, Sequential):
        lists_of_layers.add("layers")
    for path, owner, value in contents(model):
        if isinstance(value, Sequential):
            lists_of_layers.add(f"{path}.layers")
        if isinstance(value, (Parameter, Buffer)):
            is_transposed = isinstance(owner, Affine) and value is owner.weight
            yield _Entry(path, _pytorch_name(path, lists_of_layers), value, is_transposed)


def _pytorch_name(path: str, omitted: set[str]) -> str:
    """A path without the names that end the omitted paths: PyTorch's Sequential has no "layers".

    >>> _pytorch_name("blocks.0.layers.2.weight", {"blocks.0.layers"})
    'blocks.0.2.weight'
    """
    names = path.split(".")
    return ".".join(
        name for i, name in enumerate(names, start=1) if ".".join(names[:i]) not in omitted
    )
