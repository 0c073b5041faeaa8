"""Convolution in any number of dimensions, as deep learning defines it: the kernel is not flipped.

It is one form in three arrays, linear in each: the sum over all n, o, c, p, k of

    x[n, c, p s + k d] W[o, c, k] u[n, o, p]

for samples n, outputs o, channels c, places p of the window and numbers k of the kernel; s is the
stride, and d the dilation.

Leave out one of the three, and the sum over the others is a function of them:

    Correlate(x, W)     without u: the convolution
    Spread(u, W)        without x: the transposed convolution, each number spread by the kernel
    Weigh(x, u)         without W: the gradient with respect to the kernel, for the gradient u of the output

The derivatives of each are the other two: three functions, closed under differentiation.
"""

from xpnet._libraries.devices import follows
from xpnet._typing import Array
from xpnet.autodiff._messages import named
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace
from xpnet.errors import ArgumentError, ShapeError
from xpnet.functions import _windows as windows
from xpnet.kernels import kernels
from xpnet.kernels.window import Lengths, Window, lengths, padding_pairs, sliding


class Correlate(Function):
    """y[n, o, p] = b[o] + the sum over c, k of x[n, c, p s + k d] W[o, c, k]."""

    def __init__(self, window: Window, groups: int) -> None:
        self.window = window
        self.groups = groups

    def forward(self, x: Array, W: Array, b: Array | None) -> Array:
        array_namespace(x, W, b)  # raises for arrays of different libraries
        code = kernels(windows, x, W)  # functions for the library of x, or the portable ones
        return code.correlate(x, W, b, self.window, self.groups)

    def backward(
        self, gy: Array, x: Array, W: Array
    ) -> tuple[Array | None, Array | None, Array | None]:
        needs_x, needs_W, needs_b = self.needs
        gx = Spread(self.window, self.groups)(gy, W, None) if needs_x else None
        gW = Weigh(self.window, self.groups)(x, gy) if needs_W else None
        gb = _gradient_of_bias(gy) if needs_b else None
        return gx, gW, gb


class Spread(Function):
    """x[n, c, p s + k d] = b[c] + the sum over o of u[n, o, p] W[o, c, k]."""

    def __init__(self, window: Window, groups: int) -> None:
        self.window = window
        self.groups = groups

    def forward(self, u: Array, W: Array, b: Array | None) -> Array:
        array_namespace(u, W, b)
        code = kernels(windows, u, W)
        return code.spread(u, W, b, self.window, self.groups)

    def backward(
        self, gy: Array, u: Array, W: Array
    ) -> tuple[Array | None, Array | None, Array | None]:
        needs_u, needs_W, needs_b = self.needs
        gu = Correlate(self.window, self.groups)(gy, W, None) if needs_u else None
        gW = Weigh(self.window, self.groups)(gy, u) if needs_W else None
        gb = _gradient_of_bias(gy) if needs_b else None
        return gu, gW, gb


class Weigh(Function):
    """W[o, c, k] = the sum over n, p of x[n, c, p s + k d] u[n, o, p]."""

    def __init__(self, window: Window, groups: int) -> None:
        self.window = window
        self.groups = groups

    def forward(self, x: Array, u: Array) -> Array:
        code = kernels(windows, x, u)
        return code.weigh(x, u, self.window, self.groups)

    def backward(self, gW: Array, x: Array, u: Array) -> tuple[Array | None, Array | None]:
        needs_x, needs_u = self.needs
        gx = Spread(self.window, self.groups)(u, gW, None) if needs_x else None
        gu = Correlate(self.window, self.groups)(x, gW, None) if needs_u else None
        return gx, gu


def _gradient_of_bias(gy: Array) -> Array:
    """The gradient of the bias: gy summed over the batch and the places."""
    return array_namespace(gy).sum(gy, axis=(0, *range(2, gy.ndim)))


@named
@follows
def conv(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Lengths = 1,
    padding: Lengths | str = 0,
    dilation: Lengths = 1,
    groups: int = 1,
) -> Array:
    """The convolution of images (signals, volumes) with a kernel, as deep learning defines it.

    y[n, o, p] = bias[o] + the sum over c, k of x[n, c, p stride + k dilation] weight[o, c, k]

    Parameters
    ----------
    x : array or Variable, shape (batch, channels, *spatial)
        Any number of spatial axes, at least one.
    weight : array or Variable, shape (outputs, channels / groups, *kernel)
    bias : array or Variable, shape (outputs,), optional
    stride : int, or one for each axis
        How far the kernel moves from one output to the next.
    padding : int, one for each axis, "same" or "valid"
        Zeros before and after each axis. "same" keeps the length of each axis, which needs a
        stride of 1; if their number is odd, the extra one comes after the axis. "valid" adds none.
    dilation : int, or one for each axis
        The distance between neighbouring numbers of the kernel.
    groups : int
        The number of groups into which channels and outputs are split; each group of outputs
        depends only on its own group of channels.

    Returns
    -------
    array or Variable, shape (batch, outputs, *places)
        (length + padding before and after - dilation (kernel - 1) - 1) // stride + 1 places per
        axis. On NumPy it is a view, with the batch innermost in memory.

    Raises
    ------
    ShapeError
        The shapes do not fit, the groups do not divide the channels and outputs, or the kernel does
        not fit into x.
    ArgumentError
        A stride, padding or dilation is not of the form above.

    Notes
    -----
    Differentiable to any order. It is a cross-correlation: the kernel is not flipped. Source: LeCun
    et al., "Gradient-based learning applied to document recognition", 1998; dilation: Yu and
    Koltun, "Multi-scale context aggregation by dilated convolutions", 2016; groups: Krizhevsky,
    Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks", 2012.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> x = F.reshape(F.asarray([1.0, 2.0, 3.0, 4.0]), (1, 1, 4))
    >>> F.conv(x, F.asarray([[[1.0, -1.0]]]))
    Variable(array([[[-1., -1., -1.]]], dtype=float32))
    """
    d = _check("conv", x, weight, bias, groups, weight.shape[0])
    if x.shape[1] != weight.shape[1] * groups:
        raise ShapeError(
            f"conv expected x of {weight.shape[1] * groups} channels for weight of shape "
            f"{tuple(weight.shape)} in {groups} groups, got {tuple(x.shape)}."
        )
    kernel = tuple(weight.shape[2:])
    steps = lengths(stride, d)
    gaps = lengths(dilation, d)
    around = padding_pairs(padding, kernel, steps, gaps)
    window = sliding(tuple(x.shape[2:]), kernel, steps, around, gaps)
    return Correlate(window, groups)(x, weight, bias)


@named
@follows
def conv_transpose(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Lengths = 1,
    padding: Lengths = 0,
    output_padding: Lengths = 0,
    groups: int = 1,
    dilation: Lengths = 1,
) -> Array:
    """The transpose of `conv`, which is its gradient with respect to x: the kernel spreads each number of x.

    y[n, o, p stride + k dilation] += the sum over c of x[n, c, p] weight[c, o, k]

    Parameters
    ----------
    x : array or Variable, shape (batch, channels, *spatial)
    weight : array or Variable, shape (channels, outputs / groups, *kernel)
    bias : array or Variable, shape (outputs,), optional
    stride, dilation : int, or one for each axis
    padding : int, or one for each axis
        How many numbers are cut off at each end of the result: `conv` with this padding restores
        the shape of x.
    output_padding : int, or one for each axis
        How many numbers are added at the end, fewer than the stride or the dilation. With a stride,
        `conv` maps several lengths to the same length; this chooses among them.
    groups : int
        As for `conv`.

    Returns
    -------
    array or Variable, shape (batch, outputs, *places)
        (length - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1 places per
        axis.

    Raises
    ------
    ShapeError
        The shapes do not fit, the groups do not divide the channels, or the result would be empty.
    ArgumentError
        The output_padding is not smaller than the stride or the dilation; or one of the options is
        not of the form above.

    Notes
    -----
    Differentiable to any order. Source: Zeiler, Krishnan, Taylor and Fergus, "Deconvolutional
    networks", 2010.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> x = F.asarray([[[1.0, 2.0]]])
    >>> F.conv_transpose(x, F.asarray([[[1.0, 10.0]]]), stride=2)
    Variable(array([[[ 1., 10.,  2., 20.]]], dtype=float32))
    """
    d = _check("conv_transpose", x, weight, bias, groups, weight.shape[1] * groups)
    if x.shape[1] != weight.shape[0]:
        raise ShapeError(
            f"conv_transpose expected x of {weight.shape[0]} channels for weight of shape "
            f"{tuple(weight.shape)}, got {tuple(x.shape)}."
        )
    kernel = tuple(weight.shape[2:])
    steps = lengths(stride, d)
    gaps = lengths(dilation, d)
    cut = lengths(padding, d, least=0)
    more = lengths(output_padding, d, least=0)
    if any(m >= max(s, g) for m, s, g in zip(more, steps, gaps, strict=True)):
        raise ArgumentError(
            f"conv_transpose expected an output_padding smaller than the stride {steps} or the "
            f"dilation {gaps}, got {more}."
        )
    axes = zip(x.shape[2:], kernel, steps, gaps, cut, more, strict=True)
    size = tuple((n - 1) * s - 2 * c + g * (k - 1) + m + 1 for n, k, s, g, c, m in axes)
    if min(size) < 1 or 0 in x.shape[2:]:
        raise ShapeError(
            f"conv_transpose expected shapes that leave a result, got x of shape {tuple(x.shape)} "
            f"and a result of {size} places. Take less padding or a larger kernel."
        )
    window = sliding(size, kernel, steps, tuple((c, c) for c in cut), gaps, tuple(x.shape[2:]))
    return Spread(window, groups)(x, weight, bias)


def _check(
    name: str, x: Array, weight: Array, bias: Array | None, groups: int, outputs: int
) -> int:
    """The number of spatial axes; ShapeError if the arrays do not fit."""
    d: int = weight.ndim - 2
    if d < 1 or x.ndim != d + 2:
        hint = " For one sample use x[None, ...]." if x.ndim == d + 1 else ""
        raise ShapeError(
            f"{name} expected x of shape (batch, channels, *spatial) and weight of as many axes, "
            f"got {tuple(x.shape)} and {tuple(weight.shape)}.{hint}"
        )
    if groups < 1 or weight.shape[0] % groups or 0 in weight.shape:
        raise ShapeError(
            f"{name} expected groups that divide the {weight.shape[0]} rows of weight, and no empty "
            f"axis, got {groups} groups and weight of shape {tuple(weight.shape)}."
        )
    if bias is not None and tuple(bias.shape) != (outputs,):
        raise ShapeError(f"{name} expected bias of shape ({outputs},), got {tuple(bias.shape)}.")
    return d
