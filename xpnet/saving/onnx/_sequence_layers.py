"""Recurrent layers, attention and Transformers as ONNX nodes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xpnet import layers as L
from xpnet.saving.onnx._layer import Table, Writer, kind_of, operators_of
from xpnet.saving.onnx._lowering import Edge
from xpnet.saving.onnx._network import LayerCall
from xpnet.saving.onnx._plain_layers import PLAIN, gelu

__all__ = ["SEQUENCES"]

SEQUENCES: Table = {}
"""By the class of a layer: how it is written."""

writes = operators_of(SEQUENCES)


# --- recurrent layers -------------------------------------------------------------------------------

GATES = {  # the operator; and for each of its gates, the place of that gate in a layer's weights
    L.RNN: ("RNN", (0,)),
    L.GRU: ("GRU", (1, 0, 2)),  # update, reset, new
    L.LSTM: ("LSTM", (0, 3, 1, 2)),  # in, out, forget, cell
}


def _without_lengths(layer: Any, call: LayerCall, options: Mapping[str, Any]) -> bool:
    """Whether all sequences are as long as x."""
    return not options and all(x is None for x in call.inputs[1:2])


@writes(L.RNN, L.GRU, L.LSTM, takes=_without_lengths)
def _recurrent(w: Writer, x: Edge, steps: None = None, *states: Edge | None) -> list[str]:
    own = w.layer
    y = x.name
    length, batch = x.shape[:2]
    if own.batch_first:
        length, batch = batch, length
        y = w.node("Transpose", y, perm=(1, 0, 2))
    given = [*states, None, None][: len(own.states)]
    initial = [_of_each_layer(w, state) for state in given]
    final: list[list[str]] = []
    for i in range(own.num_layers):
        is_read = w.wanted[0] or i + 1 < own.num_layers
        wanted = [is_read, *w.wanted[1:]]
        y, *ends = _one_layer(w, i, y, [state[i] for state in initial], wanted)
        final.append(ends)
        if is_read:
            y = _side_by_side(w, y, (length, batch))
    if own.batch_first and y:
        y = w.node("Transpose", y, perm=(1, 0, 2))
    return [y, *(_joined(w, ends) for ends in zip(*final, strict=True))]


def _of_each_layer(w: Writer, state: Edge | None) -> list[str]:
    """The part of an initial state that belongs to each layer; "" for zeros."""
    n = w.layer.num_layers
    if state is None:
        return [""] * n
    if n == 1:
        return [state.name]
    return w.nodes("Split", n, state, axis=0, num_outputs=n)


def _one_layer(
    w: Writer, i: int, x: str, states: Sequence[str], wanted: Sequence[bool]
) -> list[str]:
    """Layer i: all states, of shape (length, directions, batch, n); and the last ones."""
    own = w.layer
    operator, _ = GATES[kind_of(GATES, own)]
    bias = ""
    if own.bias:
        bias = _stacked(w, i, "bias_ih", "bias_hh")
    weights = [_stacked(w, i, "weight_ih"), _stacked(w, i, "weight_hh")]
    inputs = [x, *weights, bias, "", *states]
    while not inputs[-1]:
        inputs.pop()
    attributes: dict[str, Any] = {"hidden_size": own.hidden_size}
    if own.bidirectional:
        attributes["direction"] = "bidirectional"
    if isinstance(own, L.GRU):
        attributes["linear_before_reset"] = int(own.reset_after)
    if isinstance(own, L.RNN):
        attributes["activations"] = [own.nonlinearity.capitalize()] * len(own._directions)  # noqa: SLF001 - of xpnet
    return w.nodes(operator, wanted, *inputs, **attributes)


def _stacked(w: Writer, i: int, *names: str) -> str:
    """The parameters of these names of both directions, with gates in ONNX's order."""
    own = w.layer
    ends = own._directions  # noqa: SLF001 - of xpnet
    holders = [getattr(own, f"{name}_l{i}{end}") for end in ends for name in names]
    _, order = GATES[kind_of(GATES, own)]

    def change(*arrays: Any) -> Any:
        gates = [np.concatenate([np.split(x, len(order))[n] for n in order]) for x in arrays]
        return np.reshape(np.stack(gates), (len(ends), -1, *arrays[0].shape[1:]))

    return w.weights(*holders, form="gates", change=change)


def _side_by_side(w: Writer, y: str, sizes: tuple[Any, Any]) -> str:
    """(length, directions, batch, n) as (length, batch, directions * n)."""
    own = w.layer
    if not own.bidirectional:
        return w.node("Squeeze", y, w.to.integers(1))
    y = w.node("Transpose", y, perm=(0, 2, 1, 3))
    return w.reshape(y, *sizes, 2 * own.hidden_size)


def _joined(w: Writer, names: Sequence[str]) -> str:
    """The last states of all layers; "" if nothing reads them."""
    if not names[0] or len(names) == 1:
        return names[0]
    return w.node("Concat", *names, axis=0)


# --- attention --------------------------------------------------------------------------------------

# The orders of axes, by `batch_first`: of (batch, length, heads, n), else (length, batch, heads, n),
TO_ROWS = {True: (0, 2, 1, 3), False: (1, 2, 0, 3)}  # to (batch, heads, length, n)
TO_COLUMNS = {True: (0, 2, 3, 1), False: (1, 2, 3, 0)}  # to (batch, heads, n, length)
BACK = {True: (0, 2, 1, 3), False: (2, 0, 1, 3)}  # and from (batch, heads, length, n)


def _without_mask(layer: Any, call: LayerCall, options: Mapping[str, Any]) -> bool:
    """Whether every query attends to every key, and the weights are not returned."""
    asked = [x for name, x in options.items() if name != "average_attn_weights"]
    is_plain = all(x is None or x is False for x in (*call.inputs[3:], *asked))
    return is_plain and _projects_by_affine(layer)


def _projects_by_affine(layer: Any) -> bool:
    """Whether an attention's `out_proj` was not replaced by another layer."""
    return kind_of(PLAIN, layer.out_proj) is L.Affine


@writes(L.MultiheadAttention, takes=_without_mask)
def _attention(
    w: Writer, query: Edge, key: Edge | None = None, value: Edge | None = None, mask: None = None
) -> str:
    own = w.layer
    key = key or query
    value = value or key
    projected = zip((query, key, value), _projected(w, query, key, value), strict=True)
    heads = [w.reshape(z, *x.shape[:2], own.num_heads, own.head_dim) for x, z in projected]
    orders = (TO_ROWS, TO_COLUMNS, TO_ROWS)
    q, k, v = (
        w.node("Transpose", z, perm=order[own.batch_first])
        for z, order in zip(heads, orders, strict=True)
    )
    q = w.node("Mul", q, w.number(own.head_dim**-0.5))
    weights = w.node("Softmax", w.node("MatMul", q, k), axis=-1)
    y = w.node("Transpose", w.node("MatMul", weights, v), perm=BACK[own.batch_first])
    return w.written("out_proj", w.reshape(y, *query.shape), query.shape)


def _projected(w: Writer, *xs: Edge) -> list[str]:
    """Queries, keys and values, those of all heads side by side."""
    own = w.layer
    joint = getattr(own, "in_proj_weight", None)
    bias = own.in_proj_bias
    if joint is not None and len({x.name for x in xs}) == 1:
        z = w.node("MatMul", xs[0], w.weights(joint, form="T", change=np.transpose))
        if bias is not None:
            z = w.node("Add", z, *w.parameters(bias))
        return w.nodes("Split", 3, z, axis=-1, num_outputs=3)
    found = []
    for i, (x, name) in enumerate(zip(xs, "qkv", strict=True)):
        z = w.node("MatMul", x, _projection(w, joint, i, name))
        if bias is not None:
            z = w.node("Add", z, w.weights(bias, form=name, change=_third(i)))
        found.append(z)
    return found


def _third(i: int) -> Any:
    """A function that returns the rows of an array that are for queries, keys or values."""
    return lambda array: np.split(array, 3)[i]


def _projection(w: Writer, joint: Any, i: int, name: str) -> str:
    """The matrix for queries, keys or values, in the layout of MatMul."""
    if joint is None:
        holder = getattr(w.layer, f"{name}_proj_weight")
        return w.weights(holder, form="T", change=np.transpose)
    rows = _third(i)
    return w.weights(joint, form=f"T{name}", change=lambda array: rows(array).T)


# --- Transformers -----------------------------------------------------------------------------------


def _of_known_parts(layer: Any, call: LayerCall, options: Mapping[str, Any]) -> bool:
    """Whether an encoder layer has no mask, and consists of layers that have operators."""
    parts = {
        "self_attn": L.MultiheadAttention,
        **dict.fromkeys(("linear1", "linear2"), L.Affine),
        **dict.fromkeys(("norm1", "norm2"), L.LayerNorm),
    }
    table = {**PLAIN, **SEQUENCES}
    known = all(kind_of(table, getattr(layer, name)) is kind for name, kind in parts.items())
    is_plain = all(x is None or x is False for x in (*call.inputs[1:], *options.values()))
    return is_plain and known and _projects_by_affine(layer.self_attn)


@writes(L.TransformerEncoderLayer, takes=_of_known_parts)
def _encoder_layer(w: Writer, x: Edge, mask: None = None) -> str:
    own = w.layer
    y = x.name
    for norm, part in (("norm1", _attended), ("norm2", _perceptron)):
        if own.norm_first:
            y = w.node("Add", y, part(w, w.written(norm, y, x.shape), x.shape))
        else:
            y = w.node("Add", y, part(w, y, x.shape))
            y = w.written(norm, y, x.shape)
    return y


def _attended(w: Writer, y: str, shape: tuple[Any, ...]) -> str:
    return w.written("self_attn", y, shape)


def _perceptron(w: Writer, y: str, shape: tuple[Any, ...]) -> str:
    hidden = w.written("linear1", y, shape)
    if w.layer.activation == "gelu":
        hidden = gelu(w, hidden)
    else:
        hidden = w.node("Relu", hidden)
    return w.written("linear2", hidden, shape)


@writes(L.PositionalEncoding)
def _positional_encoding(w: Writer, x: Edge) -> str:
    own = w.layer
    shape = [1, x.shape[1], own.d_model]
    if not own.batch_first:
        shape = [x.shape[0], 1, own.d_model]
    example = np.zeros(shape, w.weights.dtype)
    pattern = own._pattern(example).reshape(shape)  # noqa: SLF001 - of xpnet
    name = f"{w.path}.pattern".removeprefix(".")
    return w.node("Add", x, w.to.graph.parameter(name, pattern))
