"""Activations, affine layers, convolutions, pooling, normalization and changes of shape as ONNX nodes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from xpnet import layers as L
from xpnet.functions.pooling import _padding_with_last_window
from xpnet.kernels.window import lengths, padding_pairs, sliding
from xpnet.saving.onnx._graph import tensor_type
from xpnet.saving.onnx._layer import Names, Table, Writer, Writes, kind_of, operators_of, plainly
from xpnet.saving.onnx._lowering import Edge, length
from xpnet.saving.onnx._network import LayerCall

__all__ = ["ACTIVATIONS", "PLAIN", "gelu"]

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


def _operator(w: Writer) -> str:
    """The name of the operator for a layer."""
    return NAMES[kind_of(NAMES, w.layer)]


@writes(L.Add, L.Multiply, L.ReLU, L.Sigmoid, L.Tanh)
def _elementwise(w: Writer, *xs: Edge) -> str:
    return w.node(_operator(w), *xs)


@writes(L.Softmax, L.LogSoftmax)
def _softmax(w: Writer, x: Edge) -> str:
    return w.node(_operator(w), x, axis=int(w.layer.dim))


# --- activations, which may be layers or functions ---------------------------------------------------

WITH_GELU = 20
"""The first opset that has Gelu."""


def _leaky_relu(w: Writer, x: Edge, slope: float) -> str:
    return w.node("LeakyRelu", x, alpha=float(slope))


def _elu(w: Writer, x: Edge, alpha: float) -> str:
    return w.node("Elu", x, alpha=float(alpha))


def gelu(w: Writer, x: Edge | str, approximate: str = "none") -> str:
    """x Phi(x): Gelu, or what it is composed of."""
    if w.to.graph.opset >= WITH_GELU:
        return w.node("Gelu", x, approximate=approximate)
    if approximate == "tanh":
        cube = w.node("Mul", w.node("Mul", x, x), x)
        inner = w.node("Add", x, w.node("Mul", cube, w.number(0.044715)))
        odd = w.node("Tanh", w.node("Mul", inner, w.number(math.sqrt(2.0 / math.pi))))
    else:
        odd = w.node("Erf", w.node("Mul", x, w.number(math.sqrt(0.5))))
    half = w.node("Mul", x, w.number(0.5))
    return w.node("Mul", half, w.node("Add", odd, w.number(1.0)))


def _silu(w: Writer, x: Edge) -> str:
    return w.node("Mul", x, w.node("Sigmoid", x))


def _softplus(w: Writer, x: Edge, beta: float, threshold: float) -> str:
    if beta == 1.0 and threshold == 20.0:  # beyond which softplus(x) is x, rounded
        return w.node("Softplus", x)
    scaled = w.node("Mul", x, w.number(beta))
    smooth = w.node("Div", w.node("Softplus", scaled), w.number(beta))
    is_large = w.node("Greater", scaled, w.number(threshold))
    return w.node("Where", is_large, x, smooth)


ACTIVATIONS: dict[str, Writes] = {
    "elu": _elu,
    "gelu": gelu,
    "leaky_relu": _leaky_relu,
    "relu": lambda w, x: w.node("Relu", x),
    "sigmoid": lambda w, x: w.node("Sigmoid", x),
    "silu": _silu,
    "softplus": _softplus,
    "tanh_gelu": lambda w, x: gelu(w, x, "tanh"),
}
"""By the name of a kernel: how the function that has it is written, with its options."""

OPTIONS: dict[type, tuple[Writes, tuple[str, ...]]] = {
    L.LeakyReLU: (_leaky_relu, ("negative_slope",)),
    L.ELU: (_elu, ("alpha",)),
    L.GELU: (gelu, ("approximate",)),
    L.SiLU: (_silu, ()),
    L.Softplus: (_softplus, ("beta", "threshold")),
}


@writes(*OPTIONS)
def _with_options(w: Writer, x: Edge) -> Names:
    write, names = OPTIONS[kind_of(OPTIONS, w.layer)]
    return write(w, x, *(getattr(w.layer, name) for name in names))


# --- affine layers, embeddings, convolutions ---------------------------------------------------------


@writes(L.Affine)
def _affine(w: Writer, x: Edge) -> str:
    own = w.layer
    if len(x.shape) == 2:
        return w.node("Gemm", x, *w.parameters(own.weight, own.bias))
    y = w.node("MatMul", x, *w.parameters(own.weight))
    if own.bias is None:
        return y
    return w.node("Add", y, *w.parameters(own.bias))


@writes(L.Embedding)
def _embedding(w: Writer, x: Edge) -> str:
    indices: str | Edge = x
    if x.dtype not in (np.int32, np.int64):  # Gather has no others
        indices = w.to.cast(x, np.int64)
    return w.node("Gather", *w.parameters(w.layer.weight), indices, axis=0)


@writes(L.Conv1d, L.Conv2d)
def _conv(w: Writer, x: Edge) -> str:
    own = w.layer
    pairs = padding_pairs(own.padding, own.kernel_size, own.stride, own.dilation)
    return _convolution(w, x, pairs)


@writes(L.ConvTranspose1d, L.ConvTranspose2d)
def _conv_transpose(w: Writer, x: Edge) -> str:
    """The output padding of an axis is less than its stride, for ONNX Runtime.

    A longer one takes back padding at the end; or there are zeros at the end of x, whose share of the output
    is cut off.
    """
    own = w.layer
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
    return _convolution(w, _padded(w, x, zeros, 0.0), pairs, output_padding=more)


def _convolution(
    w: Writer, x: str | Edge, pairs: Sequence[tuple[int, int]], **attributes: Any
) -> str:
    own = w.layer
    return w.node(
        _operator(w),
        x,
        *w.parameters(own.weight, own.bias),
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


def _padded(w: Writer, x: Edge, pairs: Sequence[tuple[int, int]], value: float) -> str | Edge:
    """x with a number around its spatial axes."""
    if not any(map(any, pairs)):
        return x
    pads = _pads([(0, 0), (0, 0), *pairs])
    return w.node("Pad", x, w.to.integers(*pads), w.number(value))


@writes(L.MaxPool1d, L.MaxPool2d)
def _max_pool(w: Writer, x: Edge) -> str:
    pool = _pool(w.layer, x.shape[2:])
    if pool.fits:
        return w.node("MaxPool", x, **pool.attributes(pool.pairs))
    padded = _padded(w, x, pool.pairs, -np.inf)
    return w.node("MaxPool", padded, **pool.attributes())


def _takes_means(layer: Any, call: LayerCall, options: Mapping[str, Any]) -> bool:
    """Whether no window lies in padding alone that does not count: ONNX has no mean of no numbers."""
    if not plainly(layer, call, options):
        return False
    pool = _pool(layer, call.inputs[0].shape[2:])
    return layer.count_include_pad or (pool.fits and max(pool.dilation) == 1)


@writes(L.AvgPool1d, L.AvgPool2d, takes=_takes_means)
def _avg_pool(w: Writer, x: Edge) -> str:
    pool = _pool(w.layer, x.shape[2:])
    even = tuple((p, p) for p in pool.around)
    if not w.layer.count_include_pad or not any(map(any, pool.pairs)):
        return w.node("AveragePool", x, **pool.attributes(pool.pairs))
    if pool.pairs == even and pool.fits:
        return w.node("AveragePool", x, **pool.attributes(even), count_include_pad=1)
    # The padding counts, but not what `ceil_mode` adds: so the padding becomes zeros of x.
    padded = _padded(w, x, even, 0.0)
    rest = [(a - p, b - p) for (a, b), p in zip(pool.pairs, pool.around, strict=True)]
    return w.node("AveragePool", padded, **pool.attributes(rest))


@writes(L.GlobalAvgPool2d, L.GlobalMaxPool2d)
def _global_pool(w: Writer, x: Edge) -> str:
    return w.node("Flatten", w.node(_operator(w), x), axis=1)


# --- normalization ----------------------------------------------------------------------------------


def _has_averages(layer: Any, call: LayerCall, options: Mapping[str, Any]) -> bool:
    """Whether a BatchNorm has running averages, which it uses in evaluation."""
    has_both = layer.running_mean is not None and layer.running_var is not None
    return has_both and plainly(layer, call, options)


@writes(L.BatchNorm1d, L.BatchNorm2d, takes=_has_averages)
def _batch_norm(w: Writer, x: Edge) -> str:
    own = w.layer
    scale = w.parameter_or(own.weight, 1.0, own.num_features)
    shift = w.parameter_or(own.bias, 0.0, own.num_features)
    averages = w.parameters(own.running_mean, own.running_var)
    return w.node("BatchNormalization", x, scale, shift, *averages, epsilon=float(own.eps))


@writes(L.LayerNorm)
def _layer_norm(w: Writer, x: Edge) -> str:
    own = w.layer
    scale = w.parameter_or(own.weight, 1.0, own.normalized_shape)
    shift = w.parameters(own.bias)
    options: dict[str, Any] = {"axis": -len(own.normalized_shape), "epsilon": float(own.eps)}
    if w.weights.dtype == np.float64:
        options["stash_type"] = tensor_type(np.float64)  # else mean and deviation are of float32
    return w.node("LayerNormalization", x, scale, *shift, **options)


PER_CHANNEL = 21
"""The first opset whose GroupNormalization has a scale for each channel, and not for each group."""


@writes(L.GroupNorm)
def _group_norm(w: Writer, x: Edge) -> str:
    own = w.layer
    if w.to.graph.opset < PER_CHANNEL or len(x.shape) < 3:
        return _group_norm_of_instances(w, x)
    scale = w.parameter_or(own.weight, 1.0, own.num_channels)
    shift = w.parameter_or(own.bias, 0.0, own.num_channels)
    options = {"num_groups": own.num_groups, "epsilon": float(own.eps)}
    return w.node("GroupNormalization", x, scale, shift, **options)


def _group_norm_of_instances(w: Writer, x: Edge) -> str:
    """Each group as one channel, which InstanceNormalization normalizes by itself."""
    own = w.layer
    groups = own.num_groups
    rest = math.prod(x.shape[1:]) // groups  # type: ignore[arg-type]  # no length depends on the batch
    grouped = w.reshape(x, x.shape[0], groups, rest)
    scale = w.parameter_or(None, 1.0, groups)
    shift = w.parameter_or(None, 0.0, groups)
    y = w.node("InstanceNormalization", grouped, scale, shift, epsilon=float(own.eps))
    y = w.reshape(y, *x.shape)
    shape = (-1,) + (1,) * (len(x.shape) - 2)
    for operator, holder in (("Mul", own.weight), ("Add", own.bias)):
        if holder is not None:
            column = w.weights(holder, form=f"{shape}", change=lambda a: a.reshape(shape))
            y = w.node(operator, y, column)
    return y


# --- shapes -----------------------------------------------------------------------------------------


@writes(L.Flatten)
def _flatten(w: Writer, x: Edge) -> str:
    ndim = len(x.shape)
    first = w.layer.start_dim
    if first < 0:
        first += ndim
    last = w.layer.end_dim
    if last < 0:
        last += ndim
    if first == 1 and last == ndim - 1:
        return w.node("Flatten", x, axis=1)
    joined = length(x.shape[first : last + 1])
    return w.reshape(x, *x.shape[:first], joined, *x.shape[last + 1 :])


@writes(L.Reshape)
def _reshape(w: Writer, x: Edge) -> str:
    sizes = list(w.layer.shape)
    if -1 in sizes:
        known = math.prod(n for n in sizes if n != -1)
        sizes[sizes.index(-1)] = math.prod(x.shape[1:]) // known  # type: ignore[arg-type]  # as above
    return w.reshape(x, x.shape[0], *sizes)
