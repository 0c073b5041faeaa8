"""Weights in safetensors files, and to and from PyTorch and Keras. Nothing is pickled or executed."""

from xpnet.saving.keras import (
    KerasMatch as KerasMatch,
    keras_weights as keras_weights,
    load_keras_weights as load_keras_weights,
    match_keras_weights as match_keras_weights,
)
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
    "KerasMatch",
    "TorchNames",
    "keras_weights",
    "load",
    "load_file",
    "load_keras_weights",
    "load_torch_state_dict",
    "match_keras_weights",
    "match_torch_state_dict",
    "save",
    "save_file",
    "torch_state_dict",
]
