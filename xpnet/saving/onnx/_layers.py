"""Layers as the operators that ONNX has for them: an Affine is a Gemm, a Conv2d a Conv, an LSTM an LSTM.

Containers (Sequential, Residual, TransformerEncoder) and layers of the user's own have no entry: they run,
and the layers in them and what else they compute are written one by one.
"""

from collections.abc import Mapping
from typing import Any

from xpnet.saving.onnx._layer import Names, Table, Weights, Writer, Writes, entry_of
from xpnet.saving.onnx._lowering import Edge, Lowering, Lowers
from xpnet.saving.onnx._network import LAYER, LayerCall
from xpnet.saving.onnx._plain_layers import ACTIVATIONS, PLAIN
from xpnet.saving.onnx._sequence_layers import SEQUENCES

__all__ = ["OPERATORS", "has_operator", "lowers_of"]

OPERATORS: Table = {**PLAIN, **SEQUENCES}


def has_operator(call: LayerCall, options: Mapping[str, Any]) -> bool:
    """Whether ONNX has operators for this call of a layer."""
    entry = entry_of(OPERATORS, call.layer)
    return entry is not None and entry.takes(call.layer, call, options)


def lowers_of(weights: Weights) -> dict[str, Lowers]:
    """What writes layers and activations, by the name of the operation, for the table of `lower`."""

    def lower(to: Lowering, target: Any, call: LayerCall, *edges: Edge | None) -> Names:
        writer = Writer(call.layer, call.path, to, weights, OPERATORS, tuple(call.wanted))
        entry: Any = entry_of(OPERATORS, call.layer)
        found: Names = entry.write(writer, *edges)
        return found

    activations = {name: _activation(weights, write) for name, write in ACTIVATIONS.items()}
    return {LAYER: lower, **activations}


def _activation(weights: Weights, write: Writes) -> Lowers:
    """What writes an activation that is called as a function."""

    def lower(to: Lowering, target: Any, x: Edge, *options: Any) -> Names:
        return write(Writer(None, "", to, weights, OPERATORS), x, *options)

    return lower
