"""ONNX's convolutions, pools and normalizations as functions; see `_load_operators`.

Layers of xpnet pad both ends of an axis alike. What ONNX can say beyond that (one end only, an
`auto_pad` that depends on the length of x) is padding of its own before the window slides.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from xpnet import functions as F
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import data_of
from xpnet.saving.onnx._load_operators import ints, padded, present, together

__all__ = ["WINDOW_OPERATORS", "Geometry", "same_pad"]

AutoPad = Literal["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]
Pairs = tuple[tuple[int, int], ...]  # for each axis, how much before it and after it
Ints = Sequence[int]


class Geometry(NamedTuple):
    """How a window slides over axes: a number for each of them."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]  # before each axis, then after each
    auto_pad: str

    @classmethod
    def of(
        cls,
        kernel: Ints,
        strides: Ints | None,
        dilations: Ints | None,
        pads: Ints | None,
        auto_pad: str,
    ) -> "Geometry":
        """Attributes of a node, with ONNX's defaults for those that are left out."""
        d = len(kernel)
        ones = (1,) * d
        return cls(
            tuple(kernel),
            tuple(strides or ones),
            tuple(dilations or ones),
            tuple(pads or (0,) * 2 * d),
            auto_pad,
        )

    @property
    def reach(self) -> tuple[int, ...]:
        """How many numbers the window spans along each axis."""
        return tuple(g * (k - 1) + 1 for k, g in zip(self.kernel, self.dilations, strict=True))

    def pairs(self, sizes: Ints | None = None) -> Pairs | None:
        """How much padding each axis has; None where it depends on sizes that are not given."""
        d = len(self.kernel)
        if not self.auto_pad.startswith("SAME"):
            pads = self.pads
            if self.auto_pad == "VALID":
                pads = (0,) * 2 * d
            return tuple(zip(pads[:d], pads[d:], strict=True))
        if sizes is None:
            if any(s != 1 for s in self.strides):
                return None
            sizes = self.reach  # with a stride of 1 any length has the same padding
        totals = []
        for n, s, reach in zip(sizes, self.strides, self.reach, strict=True):
            totals.append(max(0, (-(-n // s) - 1) * s + reach - n))
        if self.auto_pad == "SAME_UPPER":
            return tuple((t // 2, t - t // 2) for t in totals)
        return tuple((t - t // 2, t // 2) for t in totals)


def same_pad(
    x: Array, *, kernel: Ints, strides: Ints, dilations: Ints, auto_pad: AutoPad, value: float = 0.0
) -> Array:
    """x with the padding of auto_pad, which keeps ceil(length / stride) places along each axis."""
    window = Geometry.of(kernel, strides, dilations, None, auto_pad)
    return padded(x, window.pairs(x.shape[2:]) or (), value)


def conv(
    x: Array,
    W: Array,
    B: Array | None = None,
    *,
    auto_pad: AutoPad = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """A convolution: see `xpnet.functions.conv`."""
    window = Geometry.of(W.shape[2:], strides, dilations, pads, auto_pad)
    x, W, *bias = together(x, W, *present(B))
    x = padded(x, window.pairs(x.shape[2:]) or (), 0.0)
    return F.conv(x, W, *bias, stride=window.strides, dilation=window.dilations, groups=group)


def conv_transpose(
    x: Array,
    W: Array,
    B: Array | None = None,
    *,
    auto_pad: AutoPad = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    output_padding: Ints | None = None,
    output_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """The transpose of a convolution, of which both ends of each axis are cut off."""
    window = Geometry.of(W.shape[2:], strides, dilations, pads, auto_pad)
    x, W, *bias = together(x, W, *present(B))
    d = len(window.kernel)
    more = tuple(output_padding or (0,) * d)
    cuts = window.pairs()
    if auto_pad.startswith("SAME") and output_shape is None:
        output_shape = [n * s for n, s in zip(x.shape[2:], window.strides, strict=True)]
    if output_shape is not None:
        more, cuts = _for_output(window, x.shape[2:], more, tuple(output_shape)[-d:])
    y = F.conv_transpose(
        x,
        W,
        *bias,
        stride=window.strides,
        output_padding=more,
        groups=group,
        dilation=window.dilations,
    )
    return padded(y, tuple((-before, -after) for before, after in cuts or ()), 0.0)


def _for_output(
    window: Geometry, sizes: Ints, more: tuple[int, ...], wanted: Ints
) -> tuple[tuple[int, ...], Pairs]:
    """The output_padding of a transposed convolution, and what is cut off, for an output of a size."""
    added = []
    cuts = []
    axes = zip(sizes, window.strides, window.reach, more, wanted, strict=True)
    for n, stride, reach, extra, size in axes:
        total = (n - 1) * stride + reach + extra - size
        added.append(extra + max(0, -total))
        half = max(0, total) // 2
        pair = (max(0, total) - half, half)
        if window.auto_pad == "SAME_UPPER":
            pair = pair[::-1]
        cuts.append(pair)
    return tuple(added), tuple(cuts)


# --- pools ----------------------------------------------------------------------------------------


def max_pool(
    x: Array,
    *,
    kernel_shape: Ints,
    auto_pad: AutoPad = "NOTSET",
    ceil_mode: Literal[0, 1] = 0,
    dilations: Ints | None = None,
    pads: Ints | None = None,
    storage_order: int = 0,
    strides: Ints | None = None,
) -> Array:
    """The maximum under a sliding window."""
    window = Geometry.of(kernel_shape, strides, dilations, pads, auto_pad)
    if has_dtype(x, "real floating"):
        lowest = -math.inf
    else:
        lowest = array_namespace(data_of(x)).iinfo(x.dtype).min

    def pooled(x: Array, around: tuple[int, ...], ceil_mode: bool) -> Array:
        return F.max_pool(
            x,
            window.kernel,
            stride=window.strides,
            padding=around,
            dilation=window.dilations,
            ceil_mode=ceil_mode,
        )

    return _slid(pooled, x, window, bool(ceil_mode), lowest)


def average_pool(
    x: Array,
    *,
    kernel_shape: Ints,
    auto_pad: AutoPad = "NOTSET",
    ceil_mode: Literal[0, 1] = 0,
    count_include_pad: Literal[0, 1] = 0,
    dilations: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """The mean of the numbers under a sliding window."""
    window = Geometry.of(kernel_shape, strides, dilations, pads, auto_pad)
    counts_padding = bool(count_include_pad)

    def pooled(x: Array, around: tuple[int, ...], ceil_mode: bool) -> Array:
        return F.avg_pool(
            x,
            window.kernel,
            stride=window.strides,
            padding=around,
            ceil_mode=ceil_mode,
            count_include_pad=counts_padding,
            dilation=window.dilations,
        )

    y = _slid(pooled, x, window, bool(ceil_mode), 0.0)
    if counts_padding or _is_symmetric(window.pairs(x.shape[2:]) or ()):
        return y
    # The padding that was added is in these means; the mean of as many ones says by how much.
    data = data_of(x)
    ones = array_namespace(data).ones_like(data[:1, :1, ...])
    return F.divide(y, _slid(pooled, ones, window, bool(ceil_mode), 0.0))


def _slid(
    pooled: Callable[..., Array], x: Array, window: Geometry, ceil_mode: bool, fill: float
) -> Array:
    """A pool of x, whose ends may have different padding."""
    pairs = window.pairs(x.shape[2:]) or ()
    if _is_symmetric(pairs):
        return pooled(x, tuple(before for before, _ in pairs), ceil_mode)
    y = pooled(padded(x, pairs, fill), (0,) * len(pairs), ceil_mode)
    key = [slice(None), slice(None)]
    axes = zip(x.shape[2:], y.shape[2:], pairs, window.strides, strict=True)
    for n, places, (before, _), stride in axes:  # no window begins in the padding after x
        key.append(slice(0, min(places, -(-(n + before) // stride))))
    return F.getitem(y, tuple(key))


def _is_symmetric(pairs: Pairs) -> bool:
    return all(before == after for before, after in pairs)


def global_pool(function: Callable[..., Array]) -> Callable[..., Array]:
    """A pool of all places of each channel; their axes stay, with a length of 1."""

    def operator(x: Array) -> Array:
        return function(x, axis=tuple(range(2, x.ndim)), keepdims=True)

    return operator


# --- normalizations -------------------------------------------------------------------------------


def batch_normalization(
    x: Array,
    scale: Array,
    B: Array,
    mean: Array,
    var: Array,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    spatial: Literal[1] = 1,
    training_mode: Literal[0] = 0,
) -> Array:
    """Channels normalized by statistics that are given."""
    x, scale, B, mean, var = together(x, scale, B, mean, var)
    return F.batch_norm(x, mean, var, scale, B, eps=epsilon)[0]


def layer_normalization(
    x: Array,
    scale: Array,
    B: Array | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Array:
    """The axes from `axis` on, normalized together."""
    sizes = tuple(x.shape[axis:])
    x, scale = together(x, scale)
    scale = F.broadcast_to(scale, sizes)
    if B is not None:
        B = F.broadcast_to(together(x, B)[1], sizes)
    return F.layer_norm(x, sizes, scale, B, epsilon)


def rms_normalization(
    x: Array, scale: Array, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Array:
    """x / sqrt(mean(x^2) + epsilon) scale: Zhang and Sennrich, 2019."""
    x, scale = together(x, scale)
    axes = tuple(range(axis % x.ndim, x.ndim))
    size = F.sqrt(F.add(F.mean(F.square(x), axis=axes, keepdims=True), epsilon))
    return F.multiply(F.divide(x, size), scale)


def group_normalization(
    x: Array,
    scale: Array,
    bias: Array,
    *,
    epsilon: float = 1e-5,
    num_groups: int,
    stash_type: int = 1,
    opset: int,
) -> Array:
    """Groups of channels, each normalized with all its places."""
    x, scale, bias = together(x, scale, bias)
    if opset < 21:  # a number for each group, not for each channel
        scale = F.repeat(scale, x.shape[1] // num_groups)
        bias = F.repeat(bias, x.shape[1] // num_groups)
    return F.group_norm(x, num_groups, scale, bias, epsilon)


def instance_normalization(x: Array, scale: Array, B: Array, *, epsilon: float = 1e-5) -> Array:
    """Each channel of each sample, normalized with all its places."""
    x, scale, B = together(x, scale, B)
    return F.group_norm(x, x.shape[1], scale, B, epsilon)


def mean_variance_normalization(x: Array, *, axes: Ints = (0, 2, 3)) -> Array:
    """(x - mean) / standard deviation, over some axes."""
    over = ints(axes)
    centred = F.subtract(x, F.mean(x, axis=over, keepdims=True))
    spread = F.sqrt(F.mean(F.square(centred), axis=over, keepdims=True))
    return F.divide(centred, F.add(spread, 1e-9))


def local_response_normalization(
    x: Array, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0
) -> Array:
    """x / (bias + alpha / size times the sum of squares of neighbouring channels) ** beta.

    Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification", 2012.
    """
    before = (size - 1) // 2
    around = (before, size - 1 - before)
    channels = x.shape[1]
    squares = padded(F.square(x), (around, *((0, 0),) * (x.ndim - 2)), 0.0)
    total = F.getitem(squares, (slice(None), slice(0, channels), ...))
    for i in range(1, size):
        total = F.add(total, F.getitem(squares, (slice(None), slice(i, i + channels), ...)))
    return F.divide(x, F.pow(F.add(F.multiply(total, alpha / size), bias), beta))


WINDOW_OPERATORS: dict[str, Callable[..., Any]] = {
    "AveragePool": average_pool,
    "BatchNormalization": batch_normalization,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "GlobalAveragePool": global_pool(F.mean),
    "GlobalMaxPool": global_pool(F.max),
    "GroupNormalization": group_normalization,
    "InstanceNormalization": instance_normalization,
    "LRN": local_response_normalization,
    "LayerNormalization": layer_normalization,
    "MaxPool": max_pool,
    "MeanVarianceNormalization": mean_variance_normalization,
    "RMSNormalization": rms_normalization,
}
