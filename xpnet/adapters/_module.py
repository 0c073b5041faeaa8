"""`torch_module`: a layer of xpnet as a PyTorch module."""

from importlib import import_module
from typing import Any

from xpnet.adapters._links import LinkedBuffer, LinkedParameter, required_tensor
from xpnet.adapters._torch_layer import TorchLayer
from xpnet.autodiff.variable import Parameter
from xpnet.errors import ArgumentError, ArgumentTypeError
from xpnet.layers import Buffer, Layer
from xpnet.layers._contents import contents


def torch_module(layer: Layer) -> Any:
    """A layer of xpnet as a PyTorch module, which trains, moves and saves its parameters.

    Parameters
    ----------
    layer : Layer
        Its arrays are PyTorch's. It is not copied: from now on its parameters and buffers are those of
        the module, with one memory and one gradient. Optimizers of xpnet that have the parameters
        already stay valid.

    Returns
    -------
    torch.nn.Module
        It computes `layer(*xs, **options)` from tensors, or trees of them, and `layer` is its attribute.
        Names and shapes of parameters and buffers are those of `layer.state_dict()`; `train()`,
        `eval()` and `to()` reach the layer; `copy.deepcopy` copies both.

    Raises
    ------
    ArgumentTypeError
        `layer` is not a layer, or has arrays of another library; or, from a call, an input is such an
        array, or a Variable.
    ArgumentError
        The layer, or a layer in it, is in a module already.

    Notes
    -----
    The derivatives are xpnet's rules, also those of `custom_rule`, at any order (`create_graph=True`).
    `torch.autocast` does not apply to it: it computes in the dtype of its parameters, and expects inputs of
    this dtype. For `torch.compile` the module is a break in the graph: it runs as it is. The transformations
    of `torch.func` need a pure function: see `xpnet.functional_call`. An operation that changes the output in
    place, as `torch.nn.ReLU(inplace=True)` after the module, is an error in `backward`: xpnet's rules may
    need it.

    Examples
    --------
    >>> import torch
    >>> import xpnet
    >>> from xpnet.adapters import torch_module
    >>> with xpnet.using("torch"):
    ...     layer = xpnet.Affine(2, 1, bias=False)
    >>> module = torch_module(layer)
    >>> module(torch.asarray([[3.0, 5.0]])).sum().backward()
    >>> layer.weight.grad.tolist(), [name for name, _ in module.named_parameters()]
    ([[3.0], [5.0]], ['weight'])
    """
    if not isinstance(layer, Layer):
        raise ArgumentTypeError(f"torch_module expected a Layer, got a {type(layer).__name__}.")
    _require_own_tensors(layer)
    return import_module("xpnet.adapters._layer_module").LayerModule(layer)


def _require_own_tensors(layer: Layer) -> None:
    """Raise an error unless all arrays of a layer are PyTorch's, and in no module."""
    in_modules = _within_torch_layers(layer)
    for path, _, value in contents(layer):
        if id(value) in in_modules or not isinstance(value, (Parameter, Buffer)):
            continue
        if isinstance(value, (LinkedParameter, LinkedBuffer)):
            raise ArgumentError(
                f"torch_module: {path} of {layer!r} is in a PyTorch module already; use that module."
            )
        if not isinstance(value, Buffer) and type(value) is not Parameter:
            raise ArgumentTypeError(
                f"torch_module expected a Parameter, got {path}, a {type(value).__name__}."
            )
        required_tensor(f"torch_module: {path} of {layer!r}", value.data)


def _within_torch_layers(layer: Layer) -> set[int]:
    """The ids of the tensors that TorchLayers within a layer have of their own modules."""
    found: set[int] = set()
    for inner in layer.sublayers():
        if isinstance(inner, TorchLayer):
            found |= {id(value) for _, _, value in contents(inner)}
    return found
