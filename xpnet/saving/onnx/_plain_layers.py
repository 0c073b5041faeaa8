"""Activations, affine layers, convolutions, pooling, normalization and changes of shape as ONNX nodes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from xpnet import layers as L
from xpnet.functions.pooling import _padding_with_last_window
from xpnet.kernels.window import lengths, padding_pairs, sliding
from xpnet.saving.onnx._layer import Layer, Table, kind_of, operators_of, plainly
from xpnet.saving.onnx._lowering import Edge, length
from xpnet.saving.onnx._network import LayerCall

__all__ = ["PLAIN"]

PLAIN: Table = {}
"""By the class of a layer: how it is written."""

writes = operators_of(PLAIN)


# --- one operator with the same numbers --------------------------------------------------------------

NAMES = {
    L.Add: "Add",
    L.Multiply: "Mul",
    L.ReLU: "Relu",
    L.Sigmoid: "Sigmoid",
    L.Tanh: "Tanh",
    L.Softmax: "Softmax",
    L.LogSoftmax: "LogSoftmax",
    L.Conv1d: "Conv",
    L.Conv2d: "Conv",
    L.ConvTranspose1d: "ConvTranspose",
    L.ConvTranspose2d: "ConvTranspose",
    L.GlobalAvgPool2d: "GlobalAveragePool",
    L.GlobalMaxPool2d: "GlobalMaxPool",
}


def _operator(layer: Layer) -> str:
    """The name of the operator for a layer."""
    return NAMES[kind_of(NAMES, layer.layer)]


@writes(L.Add, L.Multiply, L.ReLU, L.Sigmoid, L.Tanh)
def _elementwise(layer: Layer, *xs: Edge) -> str:
    return layer.node(_operator(layer), *xs)


@writes(L.Softmax, L.LogSoftmax)
def _softmax(layer: Layer, x: Edge) -> str:
    return layer.node(_operator(layer), x, axis=int(layer.layer.axis))


@writes(L.LeakyReLU)
def _leaky_relu(layer: Layer, x: Edge) -> str:
    return layer.node("LeakyRelu", x, alpha=float(layer.layer.negative_slope))


@writes(L.ELU)
def _elu(layer: Layer, x: Edge) -> str:
    return layer.node("Elu", x, alpha=float(layer.layer.alpha))


# --- other activations ------------------------------------------------------------------------------

WITH_GELU = 20
"""The first opset that has Gelu."""


@writes(L.GELU)
def _gelu(layer: Layer, x: Edge) -> str:
    return gelu(layer, x, layer.layer.approximate)


def gelu(layer: Layer, x: Edge | str, approximate: str = "none") -> str:
    """x Phi(x): Gelu, or what it is composed of."""
    if layer.to.graph.opset >= WITH_GELU:
        return layer.node("Gelu", x, approximate=approximate)
    if approximate == "tanh":
        cube = layer.node("Mul", layer.node("Mul", x, x), x)
        inner = layer.node("Add", x, layer.node("Mul", cube, layer.number(0.044715)))
        scaled = layer.node("Mul", inner, layer.number(math.sqrt(2.0 / math.pi)))
        odd = layer.node("Tanh", scaled)
    else:
        odd = layer.node("Erf", layer.node("Mul", x, layer.number(math.sqrt(0.5))))
    half = layer.node("Mul", x, layer.number(0.5))
    return layer.node("Mul", half, layer.node("Add", odd, layer.number(1.0)))


@writes(L.SiLU)
def _silu(layer: Layer, x: Edge) -> str:
    return layer.node("Mul", x, layer.node("Sigmoid", x))


@writes(L.Softplus)
def _softplus(layer: Layer, x: Edge) -> str:
    beta = float(layer.layer.beta)
    threshold = float(layer.layer.threshold)
    if beta == 1.0 and threshold == 20.0:  # beyond which softplus(x) is x, rounded
        return layer.node("Softplus", x)
    scaled = layer.node("Mul", x, layer.number(beta))
    smooth = layer.node("Div", layer.node("Softplus", scaled), layer.number(beta))
    is_large = layer.node("Greater", scaled, layer.number(threshold))
    return layer.node("Where", is_large, x, smooth)


# --- affine layers, embeddings, convolutions ---------------------------------------------------------


@writes(L.Affine)
def _affine(layer: Layer, x: Edge) -> str:
    own = layer.layer
    if len(x.shape) == 2:
        return layer.node("Gemm", x, *layer.parameters(own.weight, own.bias))
    y = layer.node("MatMul", x, *layer.parameters(own.weight))
    if own.bias is None:
        return y
    return layer.node("Add", y, *layer.parameters(own.bias))


@writes(L.Embedding)
def _embedding(layer: Layer, x: Edge) -> str:
    return layer.node("Gather", *layer.parameters(layer.layer.weight), x, axis=0)


@writes(L.Conv1d, L.Conv2d)
def _conv(layer: Layer, x: Edge) -> str:
    own = layer.layer
    pairs = padding_pairs(own.padding, own.kernel_size, own.stride, own.dilation)
    return _convolution(layer, x, pairs)


@writes(L.ConvTranspose1d, L.ConvTranspose2d)
def _conv_transpose(layer: Layer, x: Edge) -> str:
    """The output padding of an axis is less than its stride, for ONNX Runtime.

    A longer one takes back padding at the end; or there are zeros at the end of x, whose share of the output
    is cut off.
    """
    own = layer.layer
    pairs = []
    zeros = []
    more = list(own.output_padding)
    for axis, (p, stride) in enumerate(zip(own.padding, own.stride, strict=True)):
        added = 0
        end = p
        if more[axis] >= stride:
            added = max(0, -((p - more[axis]) // stride))
            end += added * stride - more[axis]
            more[axis] = 0
        pairs.append((p, end))
        zeros.append((0, added))
    return _convolution(layer, _padded(layer, x, zeros, 0.0), pairs, output_padding=more)


def _convolution(
    layer: Layer, x: str | Edge, pairs: Sequence[tuple[int, int]], **attributes: Any
) -> str:
    own = layer.layer
    return layer.node(
        _operator(layer),
        x,
        *layer.parameters(own.weight, own.bias),
        kernel_shape=own.kernel_size,
        strides=own.stride,
        pads=_pads(pairs),
        dilations=own.dilation,
        group=own.groups,
        **attributes,
    )


def _pads(pairs: Sequence[tuple[int, int]]) -> list[int]:
    """The padding before all axes, then that after all axes, which is ONNX's order."""
    return [before for before, _ in pairs] + [after for _, after in pairs]


# --- pooling ----------------------------------------------------------------------------------------


class _Pool(NamedTuple):
    """The numbers of a pooling layer, one for each axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    around: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]  # the padding, with what `ceil_mode` adds at the end

    @property
    def fits(self) -> bool:
        """Whether the padding is less than the kernel, as runtimes demand."""
        return all(max(pair) < k for pair, k in zip(self.pairs, self.kernel, strict=True))

    def attributes(self, pairs: Sequence[tuple[int, int]] = ()) -> dict[str, Any]:
        """The attributes of a node that pads by these pairs; None for those that are the default."""
        found: dict[str, Any] = {"kernel_shape": self.kernel, "strides": self.stride}
        if max(self.dilation) > 1:
            found["dilations"] = self.dilation
        if any(map(any, pairs)):
            found["pads"] = _pads(pairs)
        return found


def _pool(layer: Any, spatial: Sequence[Any]) -> _Pool:
    d = len(spatial)
    kernel = lengths(layer.kernel_size, d)
    stride = lengths(layer.stride, d)
    around = lengths(layer.padding, d, least=0)
    dilation = lengths(layer.dilation, d)
    pairs = tuple((p, p) for p in around)
    if layer.ceil_mode:
        window = sliding(tuple(spatial), kernel, stride, pairs, dilation)
        pairs = tuple(_padding_with_last_window(window, around))
    return _Pool(kernel, stride, dilation, around, pairs)


def _padded(layer: Layer, x: Edge, pairs: Sequence[tuple[int, int]], value: float) -> str | Edge:
    """x with a number around its spatial axes."""
    if not any(map(any, pairs)):
        return x
    pads = _pads([(0, 0), (0, 0), *pairs])
    return layer.node("Pad", x, layer.to.integers(*pads), layer.number(value))


@writes(L.MaxPool1d, L.MaxPool2d)
def _max_pool(layer: Layer, x: Edge) -> str:
    pool = _pool(layer.layer, x.shape[2:])
    if pool.fits:
        return layer.node("MaxPool", x, **pool.attributes(pool.pairs))
    padded = _padded(layer, x, pool.pairs, -np.inf)
    return layer.node("MaxPool", padded, **pool.attributes())


def _takes_means(layer: Any, call: LayerCall, options: Mapping[str, Any]) -> bool:
    """Whether no window lies in padding alone that does not count: ONNX has no mean of no numbers."""
    if not plainly(layer, call, options):
        return False
    pool = _pool(layer, call.inputs[0].shape[2:])
    return layer.count_include_pad or (pool.fits and max(pool.dilation) == 1)


@writes(L.AvgPool1d, L.AvgPool2d, takes=_takes_means)
def _avg_pool(layer: Layer, x: Edge) -> str:
    pool = _pool(layer.layer, x.shape[2:])
    even = tuple((p, p) for p in pool.around)
    if not layer.layer.count_include_pad or not any(map(any, pool.pairs)):
        return layer.node("AveragePool", x, **pool.attributes(pool.pairs))
    if pool.pairs == even and pool.fits:
        return layer.node("AveragePool", x, **pool.attributes(even), count_include_pad=1)
    # The padding counts, but not what `ceil_mode` adds: so the padding becomes zeros of x.
    padded = _padded(layer, x, even, 0.0)
    rest = [(a - p, b - p) for (a, b), p in zip(pool.pairs, pool.around, strict=True)]
    return layer.node("AveragePool", padded, **pool.attributes(rest))


@writes(L.GlobalAvgPool2d, L.GlobalMaxPool2d)
def _global_pool(layer: Layer, x: Edge) -> str:
    return layer.node("Flatten", layer.node(_operator(layer), x), axis=1)


# --- normalization ----------------------------------------------------------------------------------


def _has_averages(layer: Any, call: LayerCall, options: Mapping[str, Any]) -> bool:
    """Whether a BatchNorm has running averages, which it uses in evaluation."""
    has_both = layer.running_mean is not None and layer.running_var is not None
    return has_both and plainly(layer, call, options)


@writes(L.BatchNorm1d, L.BatchNorm2d, takes=_has_averages)
def _batch_norm(layer: Layer, x: Edge) -> str:
    own = layer.layer
    scale = layer.parameter_or(own.weight, 1.0, own.num_features)
    shift = layer.parameter_or(own.bias, 0.0, own.num_features)
    averages = layer.parameters(own.running_mean, own.running_var)
    return layer.node("BatchNormalization", x, scale, shift, *averages, epsilon=float(own.eps))


@writes(L.LayerNorm)
def _layer_norm(layer: Layer, x: Edge) -> str:
    own = layer.layer
    scale = layer.parameter_or(own.weight, 1.0, own.normalized_shape)
    shift = layer.parameters(own.bias)
    axis = -len(own.normalized_shape)
    return layer.node("LayerNormalization", x, scale, *shift, axis=axis, epsilon=float(own.eps))


PER_CHANNEL = 21
"""The first opset whose GroupNormalization has a scale for each channel, and not for each group."""


@writes(L.GroupNorm)
def _group_norm(layer: Layer, x: Edge) -> str:
    own = layer.layer
    if layer.to.graph.opset < PER_CHANNEL or len(x.shape) < 3:
        return _group_norm_of_instances(layer, x)
    scale = layer.parameter_or(own.weight, 1.0, own.num_channels)
    shift = layer.parameter_or(own.bias, 0.0, own.num_channels)
    options = {"num_groups": own.num_groups, "epsilon": float(own.eps)}
    return layer.node("GroupNormalization", x, scale, shift, **options)


def _group_norm_of_instances(layer: Layer, x: Edge) -> str:
    """Each group as one channel, which InstanceNormalization normalizes by itself."""
    own = layer.layer
    groups = own.num_groups
    rest = math.prod(x.shape[1:]) // groups  # type: ignore[arg-type]  # no length depends on the batch
    grouped = layer.reshape(x, x.shape[0], groups, rest)
    scale = layer.parameter_or(None, 1.0, groups)
    shift = layer.parameter_or(None, 0.0, groups)
    y = layer.node("InstanceNormalization", grouped, scale, shift, epsilon=float(own.eps))
    y = layer.reshape(y, *x.shape)
    shape = (-1,) + (1,) * (len(x.shape) - 2)
    for operator, holder in (("Mul", own.weight), ("Add", own.bias)):
        if holder is not None:
            column = layer.weights(holder, form=f"{shape}", change=lambda a: a.reshape(shape))
            y = layer.node(operator, y, column)
    return y


# --- shapes -----------------------------------------------------------------------------------------


@writes(L.Flatten)
def _flatten(layer: Layer, x: Edge) -> str:
    ndim = len(x.shape)
    first = layer.layer.start_dim
    if first < 0:
        first += ndim
    last = layer.layer.end_dim
    if last < 0:
        last += ndim
    if first == 1 and last == ndim - 1:
        return layer.node("Flatten", x, axis=1)
    joined = length(x.shape[first : last + 1])
    return layer.reshape(x, *x.shape[:first], joined, *x.shape[last + 1 :])


@writes(L.Reshape)
def _reshape(layer: Layer, x: Edge) -> str:
    sizes = list(layer.layer.shape)
    if -1 in sizes:
        known = math.prod(n for n in sizes if n != -1)
        sizes[sizes.index(-1)] = math.prod(x.shape[1:]) // known  # type: ignore[arg-type]  # as above
    return layer.reshape(x, x.shape[0], *sizes)
