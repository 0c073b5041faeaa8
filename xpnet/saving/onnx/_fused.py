"""The operations that are xpnet's own as ONNX nodes: convolution, pooling, and the kernels for NumPy.

A convolution's derivatives are convolutions, the derivative of a maximum is an addition at its index. Where
ONNX has no operator, the nodes are those of the portable implementation: see `Lowering.inlined`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from xpnet.functions import _windows
from xpnet.kernels.window import Window
from xpnet.saving.onnx._indexing import sliced, transposed
from xpnet.saving.onnx._lowering import Edge, Lowering, Lowers, length, names_of
from xpnet.saving.onnx._standard import STANDARD, is_float

__all__ = ["FUSED"]

FUSED: dict[str, Lowers] = {}
"""By the name of an operation: the function that lowers it."""

named = names_of(FUSED)


# --- convolution --------------------------------------------------------------------------------------


def _after(window: Window) -> list[int]:
    """The padding after each axis with which exactly the places of the window fit; it may be negative."""
    axes = zip(window.out, window.stride, window.reach, window.size, window.padding, strict=True)
    return [(n - 1) * s + r - size - before for n, s, r, size, (before, _) in axes]


def _pads(window: Window) -> list[int]:
    """All padding before the axes, and then all after them, as ONNX has it."""
    return [before for before, _ in window.padding] + [max(n, 0) for n in _after(window)]


def _fits(window: Window, *xs: Edge) -> bool:
    """Whether ONNX's operators take such a window, and runtimes these dtypes: float32."""
    paddings = [before for before, _ in window.padding]
    return min(paddings) >= 0 and all(x.dtype == np.float32 for x in xs)


def _met(lo: Lowering, x: str, window: Window) -> str:
    """The part of the images that the window meets, when it has no room for its last places."""
    ends = [size + min(after, 0) for size, after in zip(window.size, _after(window), strict=True)]
    if ends == [*window.size]:
        return x
    return sliced(lo, x, [slice(None), slice(None), *(slice(0, n) for n in ends)])


@named("correlate")
def _correlate(
    lo: Lowering, y: Edge, x: Edge, W: Edge, b: Edge | None, window: Window, groups: int, /
) -> str:
    if not _fits(window, x, W):
        return _portable("correlate", lo, y, x, W, b, window, groups)
    operands = [_met(lo, x.name, window), W.name]
    if b is not None:
        operands.append(b.name)
    return lo.node(
        "Conv",
        *operands,
        kernel_shape=[*window.kernel],
        strides=[*window.stride],
        dilations=[*window.dilation],
        pads=_pads(window),
        group=groups,
    )


@named("spread")
def _spread(
    lo: Lowering, y: Edge, gy: Edge, W: Edge, b: Edge | None, window: Window, groups: int, /
) -> str:
    """The transposed convolution, with zeros for the numbers at the end that no window meets."""
    if not (_fits(window, gy, W) and _can_transpose(window)):
        return _portable("spread", lo, y, gy, W, b, window, groups)
    operands = [gy.name, W.name]
    if b is not None:
        operands.append(b.name)
    return lo.node(
        "ConvTranspose",
        *operands,
        kernel_shape=[*window.kernel],
        strides=[*window.stride],
        dilations=[*window.dilation],
        pads=_pads(window),
        output_padding=[max(-n, 0) for n in _after(window)],
        group=groups,
    )


def _can_transpose(window: Window) -> bool:
    """Whether `ConvTranspose` takes a window: padding is less than its reach, zeros are less than its stride."""
    axes = zip(window.padding, _after(window), window.reach, window.stride, strict=True)
    return all(max(before, after) < r and -after < s for (before, _), after, r, s in axes)


@named("weigh")
def _weigh(lo: Lowering, y: Edge, x: Edge, gy: Edge, window: Window, groups: int, /) -> str:
    """The gradient of a convolution with respect to its weights.

    It is a convolution too: of the images with the gradients as kernels, where the batch takes the place
    of the channels, and stride and dilation are exchanged.
    """
    if groups != 1 or not _fits(window, x, gy):
        return _portable("weigh", lo, y, x, gy, window, groups)
    order = [1, 0, *range(2, len(x.shape))]
    found = lo.node(
        "Conv",
        transposed(lo, _met(lo, x.name, window), order),
        transposed(lo, gy.name, order),
        strides=[*window.dilation],
        dilations=[*window.stride],
        pads=_pads(window),
    )
    return transposed(lo, found, order)


def _portable(name: str, lo: Lowering, y: Edge, /, *args: Any) -> str:
    """The nodes of xpnet's own implementation."""
    return lo.inlined(getattr(_windows, name), *args)


for _name in ("choose", "shares", "sums"):
    FUSED[_name] = partial(_portable, _name)


# --- pooling ------------------------------------------------------------------------------------------


def _pooled(lo: Lowering, x: Edge, window: Window) -> list[str]:
    """The maxima, and their indices in the flat array."""
    return lo.nodes(
        "MaxPool",
        2,
        _met(lo, x.name, window),
        kernel_shape=[*window.kernel],
        strides=[*window.stride],
        dilations=[*window.dilation],
        pads=_pads(window),
    )


def _can_pool(window: Window, x: Edge) -> bool:
    """Whether `MaxPool` takes such a window: it wants padding that is smaller than the window."""
    pads = _pads(window)
    reach = [*window.reach, *window.reach]
    return is_float(x.dtype) and all(0 <= n < r for n, r in zip(pads, reach, strict=True))


@named("maxima")
def _maxima(lo: Lowering, y: Edge, x: Edge, window: Window, /) -> str:
    if not _can_pool(window, x):
        return _portable("maxima", lo, y, x, window)
    return _pooled(lo, x, window)[0]


@named("place")
def _place(lo: Lowering, y: Edge, gy: Edge, x: Edge, maxima: Edge, window: Window, /) -> str:
    """The gradient with respect to x: gy is added at the index of each maximum, the first of equals."""
    cut = min(_after(window)) < 0  # then indices count in the part that is met
    if cut or not _can_pool(window, x):
        return _portable("place", lo, y, gy, x, maxima, window)
    flat = lo.integers(-1)
    indices = _pooled(lo, x, window)[1]
    zeros = lo.expanded(lo.constant(0, gy.dtype), (), (length(x.shape),))
    found = lo.node(
        "ScatterElements",
        zeros,
        lo.node("Reshape", indices, flat),
        lo.node("Reshape", gy.name, flat),
        axis=0,
        reduction="add",
    )
    return lo.reshaped(found, x.shape)


# --- the kernels for NumPy ------------------------------------------------------------------------------


FUSED["outer_product"] = STANDARD["matmul"]


@named("zero_unless")
def _zero_unless(lo: Lowering, y: Edge, x: Edge, mask: Edge, /) -> str:
    return lo.node("Where", mask.name, x.name, lo.constant(0, x.dtype))


@named("relu_gradient")
def _relu_gradient(lo: Lowering, y: Edge, gy: Edge, relu: Edge, /) -> str:
    zero = lo.constant(0, gy.dtype)
    return lo.node("Where", lo.node("Greater", relu.name, zero), gy.name, zero)


@named("column_sums")
def _column_sums(lo: Lowering, y: Edge, x: Edge, /) -> str:
    return lo.reduced("ReduceSum", x.name, [*range(len(x.shape) - 1)], False)


@named("cross_entropy")
def _cross_entropy(lo: Lowering, ys: Sequence[Edge], x: Edge, t: Edge, /) -> list[str]:
    """The mean of -log softmax(x)[t], infinite if a t is no class.

    The other results are for `cross_entropy_gradient` alone, which computes its own.
    """
    rows, mask = _rows_and_classes(lo, x, t)
    losses = lo.node("Neg", lo.node("LogSoftmax", rows, axis=1))
    infinity = lo.constant(np.inf, x.dtype)
    chosen = lo.reduced("ReduceMin", lo.node("Where", mask, losses, infinity), [1], False)
    return [lo.reduced("ReduceMean", chosen, [0], False)]


@named("cross_entropy_gradient")
def _cross_entropy_gradient(lo: Lowering, y: Edge, gy: Any, x: Edge, t: Edge, kept: Any, /) -> str:
    """(softmax(x) - the one of the class) gy / rows."""
    rows, mask = _rows_and_classes(lo, x, t)
    apart = lo.node("Sub", lo.node("Softmax", rows, axis=1), lo.converted(mask, np.bool_, x.dtype))
    count = lo.cast(length(x.shape[:-1]), x.dtype)
    scale = lo.node("Div", lo.cast(gy, x.dtype), count)
    return lo.reshaped(lo.node("Mul", apart, scale), x.shape)


def _rows_and_classes(lo: Lowering, x: Edge, t: Edge) -> tuple[str, str]:
    """The scores in rows, and for each of them where its class is."""
    classes: Any = x.shape[-1]
    rows = x.name
    if len(x.shape) != 2:
        rows = lo.reshaped(rows, (length(x.shape[:-1]), classes))
    column = lo.node("Reshape", lo.cast(t, np.int64), lo.integers(-1, 1))
    numbers = lo.constant(np.arange(classes), np.int64)
    return rows, lo.node("Equal", column, numbers)
