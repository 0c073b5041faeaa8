"""Weights in safetensors files, and to and from PyTorch. Nothing is pickled or executed."""

from xpnet.saving.pytorch import (
    TorchNames as TorchNames,
    load_torch_state_dict as load_torch_state_dict,
    match_torch_state_dict as match_torch_state_dict,
    torch_state_dict as torch_state_dict,
)
from xpnet.saving.safetensors import (
    load as load,
    load_file as load_file,
    save as save,
    save_file as save_file,
)

__all__ = [
    "TorchNames",
    "load",
    "load_file",
    "load_torch_state_dict",
    "match_torch_state_dict",
    "save",
    "save_file",
    "torch_state_dict",
]
