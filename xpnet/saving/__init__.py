"""Weights in safetensors files, to and from PyTorch and Keras; networks as ONNX files. Nothing is pickled or executed."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xpnet.errors import MissingAttributeError
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

if TYPE_CHECKING:
    from xpnet.saving.onnx.export import export_onnx as export_onnx
    from xpnet.saving.onnx.load import load_onnx as load_onnx
    from xpnet.saving.onnx.training_step import export_training_step as export_training_step

__all__ = [
    "KerasMatch",
    "TorchNames",
    "export_onnx",
    "export_training_step",
    "keras_weights",
    "load",
    "load_file",
    "load_keras_weights",
    "load_onnx",
    "load_torch_state_dict",
    "match_keras_weights",
    "match_torch_state_dict",
    "save",
    "save_file",
    "torch_state_dict",
]

ONNX = {"export_onnx": "export", "export_training_step": "training_step", "load_onnx": "load"}
"""Names that are imported when they are first used, as the compiler is: their modules in `onnx`."""


def __getattr__(name: str) -> Any:
    if name in ONNX:
        return getattr(import_module(f"xpnet.saving.onnx.{ONNX[name]}"), name)
    raise MissingAttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
