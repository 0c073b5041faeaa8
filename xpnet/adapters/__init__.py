"""Layers in PyTorch's modules, and PyTorch's modules in layers: one model, one set of weights.

    TorchLayer(module)    a PyTorch module as a layer of xpnet
    torch_module(layer)   a layer of xpnet as a PyTorch module

Both sides see the same parameters, gradients and buffers, so either side's optimizers, state dicts and
`to` work. The backend is PyTorch: `xpnet.use("torch")`. For JAX, and for `torch.func`, a layer is a pure
function: see `xpnet.functional_call`.
"""

from xpnet.adapters._module import torch_module as torch_module
from xpnet.adapters._torch_layer import TorchLayer as TorchLayer

__all__ = [
    "TorchLayer",
    "torch_module",
]
