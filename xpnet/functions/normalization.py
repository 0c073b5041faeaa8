"""Normalization: shift and scale to mean 0 and variance 1, over one choice of axes or another.

    batch_norm     over the batch and all places, for each channel
    layer_norm     over the last axes, for each sample
    group_norm     over a group of channels and all places, for each sample

Statistics of float16 and bfloat16 are computed in float32.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from xpnet._libraries.devices import follows
from xpnet._typing import Array
from xpnet.autodiff._messages import named
from xpnet.autodiff.function import Function, call_of
from xpnet.autodiff.namespace import array_namespace, as_array
from xpnet.errors import ShapeError
from xpnet.functions._in_float32 import like, widened
from xpnet.kernels.lookup import kernel


class Moments(Function):
    """The mean and 1 / sqrt(variance + eps) of x over axes, which are kept with size 1.

    What is `known` already is not computed again: this only says what it was computed from.
    """

    def __init__(self, axes: tuple[int, ...], eps: float, known: Any = None) -> None:
        self.axes, self.eps, self.known = axes, eps, known

    def forward(self, x: Array) -> Any:
        if self.known is not None:
            return self.known
        xp = array_namespace(x)
        mean = xp.mean(x, axis=self.axes, keepdims=True)
        c = x - mean
        return mean, 1.0 / xp.sqrt(xp.mean(c * c, axis=self.axes, keepdims=True) + self.eps)

    def backward(self, gy: Array, y: Array, x: Array) -> Array:
        (gmean, gr), (mean, r), n = gy, y, _count(x, self.axes)
        return gmean / n - (x - mean) * (gr * (r * r * r) / n)


class Normalize(Function):
    """(x - mean) r w + b in one node, where r = 1 / sqrt(variance + eps); w and b may be None.

    Of arrays as large as x, only x is kept: the normalized numbers are computed from it again.
    `running` statistics are updated in the same kernel, so they cost no launch of their own.

    Parameters
    ----------
    axes : tuple of int
        The axes that mean and variance are taken over.
    eps : float
    shape : tuple of int
        The shape that w and b take to broadcast with x: 1 for each axis along which they are equal.
    running : RunningStatistics, optional
    """

    def __init__(
        self,
        axes: tuple[int, ...],
        eps: float,
        shape: tuple[int, ...],
        running: "RunningStatistics | None" = None,
    ) -> None:
        self.axes = axes
        self.eps = eps
        self.along = shape
        self.running = running
        self.even = all(shape[a] == 1 for a in axes)  # one weight wherever there is one mean

    def forward(self, x: Array, w: Array, b: Array) -> Array:
        w, b = _shaped(w, self.along), _shaped(b, self.along)
        fast = kernel("normalize", x, w, b)
        self.fused = fast is not None
        if fast:
            y, *found = fast(x, w, b, self.axes, self.eps, self.running)
            self.mean, self.var, self.r, self.running = found
            return y
        xp = array_namespace(x, w, b)
        self.mean = xp.mean(x, axis=self.axes, keepdims=True)
        c = x - self.mean
        self.var = xp.mean(c * c, axis=self.axes, keepdims=True)
        self.r = 1.0 / xp.sqrt(self.var + self.eps)
        if self.running is not None:
            self.running = self.running.moved(self.mean, self.var, _count(x, self.axes))
        y = c * self.r if w is None else c * (self.r * w) if self.even else c * self.r * w
        return y if b is None else y + b

    def backward(self, gy: Array, x: Array, w: Array) -> Any:
        w = _shaped(w, self.along)
        if self.fused and (fast := kernel("normalize_gradients", gy, x)):
            gx, gw, gb = fast(gy, x, w, self.mean, self.r, self.axes, self.along, self.needs)
            return gx, self._of_weights(gw, 1), self._of_weights(gb, 2)
        xp, n = array_namespace(gy), _count(x, self.axes)
        mean, r = Moments(self.axes, self.eps, (self.mean, self.r))(x)
        c = x - mean
        g, scale = (gy, r) if w is None else (gy, r * w) if self.even else (gy * w, r)
        g_mean = xp.mean(g, axis=self.axes, keepdims=True)
        gc_mean = xp.mean(g * c, axis=self.axes, keepdims=True)
        gx = gw = None
        gb = gy
        if self.needs[0]:
            gx = (g - g_mean - c * (gc_mean * (r * r))) * scale
        if self.even:  # the sums by w and b are known already
            gw, gb = gc_mean * (n * r), g_mean * n
        elif self.needs[1]:
            gw = gy * (c * r)
        return gx, self._of_weights(gw, 1), self._of_weights(gb, 2)

    def _of_weights(self, g: Array, i: int) -> Any:
        """The gradient by input i, w or b, from `g`, summed over the axes that the input lacks."""
        if not self.needs[i]:
            return None
        xp = array_namespace(g)
        axes = tuple(a for a, n in enumerate(self.along) if n == 1 != g.shape[a])
        g = xp.sum(g, axis=axes, keepdims=True) if axes else g
        return _shaped(g, call_of(self).parents[i].shape)


class RunningStatistics(NamedTuple):
    """Running averages of the batches' mean and variance, for each channel.

    Attributes
    ----------
    mean, var : arrays, shape (channels,)
        The variance is the unbiased one, over n - 1.
    seen : array of an integer, shape ()
        How many batches have been averaged.
    momentum : float or None
        How far each batch moves them; None: they are the plain averages over all batches.
    """

    mean: Any
    var: Any
    seen: Any
    momentum: float | None

    def batch_norm(
        self, x: Array, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
    ) -> tuple[Any, "RunningStatistics"]:
        """`batch_norm` with the batch's own statistics, and the running ones after it, unrecorded.

        It raises the same errors as `batch_norm`.
        """
        y, node = _normalized_batch(x, weight, bias, eps, self)
        return y, node.running

    def moved(self, mean: Array, var: Array, n: int) -> "RunningStatistics":
        """The statistics after a batch with n numbers per channel, whose `var` is over n."""
        xp = array_namespace(self.mean)
        dtype = self.mean.dtype
        seen = as_array(self.seen + 1)
        share = 1.0 / xp.astype(seen, dtype) if self.momentum is None else self.momentum
        batch = _shaped(mean, self.mean.shape), _shaped(var * (n / max(n - 1, 1)), self.var.shape)
        steps = [xp.astype(new, dtype) - was for new, was in zip(batch, self, strict=False)]
        return self._replace(
            mean=self.mean + steps[0] * share, var=self.var + steps[1] * share, seen=seen
        )


def _count(x: Array, axes: tuple[int, ...]) -> int:
    """How many numbers each mean is of."""
    return math.prod(x.shape[a] for a in axes)


def _shaped(w: Array, shape: tuple[int, ...]) -> Array:
    """w in that shape; None stays None."""
    return w if w is None or w.shape == shape else array_namespace(w).reshape(w, shape)


def _check_weights(name: str, shape: tuple[int, ...], weight: Array, bias: Array) -> None:
    """Raise ShapeError if weight or bias is given and does not have that shape."""
    for what, w in (("weight", weight), ("bias", bias)):
        if w is not None and tuple(w.shape) != shape:
            raise ShapeError(f"{name} expected {what} of shape {shape}, got {tuple(w.shape)}.")


@named
@follows
def batch_norm(
    x: Array,
    mean: Array | None = None,
    var: Array | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
) -> tuple[Any, Any, Any]:
    """(x - mean) / sqrt(var + eps) * weight + bias, for each channel: the second axis of x.

    Parameters
    ----------
    x : array or Variable, shape (batch, channels, ...)
    mean, var : arrays, shape (channels,), optional
        Unless both are given they are the batch's own, over all axes but the second, and what
        depends on them is differentiated.
    weight, bias : arrays or Variables, shape (channels,), optional
    eps : float

    Returns
    -------
    y : array or Variable, of the shape and dtype of `x`
    mean, var : arrays, shape (channels,)
        The statistics that were used, without history; of the batch, the variance is over n, not
        n - 1. For running means: they lie where x lies, and nothing has gone to the host.

    Raises
    ------
    ShapeError
        x has less than two axes; or the batch's own statistics are asked for, and there is but one
        number a channel: the result would be `bias`, whatever x is.
    TypeError
        x is not of floating-point numbers.

    Notes
    -----
    One fused node. With c = x - mean, r = 1 / sqrt(var + eps) and means over a channel,
    gx = weight r (gy - mean(gy) - c r^2 mean(gy c)). Source: Ioffe and Szegedy, "Batch
    normalization: accelerating deep network training by reducing internal covariate shift", 2015.
    """
    if mean is None or var is None:
        y, node = _normalized_batch(x, weight, bias, eps)
        return y, _shaped(node.mean, (x.shape[1],)), _shaped(node.var, (x.shape[1],))
    full, one = _for_channels(x, weight, bias)
    w, b = _shaped(weight, one), _shaped(bias, one)
    xp = array_namespace(full, w, b, mean, var)
    r = 1.0 / xp.sqrt(_shaped(var, one) + eps)
    c = xp.subtract(full, _shaped(mean, one))  # by name: not every array takes a Variable
    y = xp.multiply(c, r if w is None else xp.multiply(w, r))
    return like(y if b is None else xp.add(y, b), x), mean, var


def _normalized_batch(
    x: Array, weight: Array, bias: Array, eps: float, running: RunningStatistics | None = None
) -> tuple[Any, Any]:
    """`batch_norm` with the batch's own statistics, and the node that has computed them."""
    full, one = _for_channels(x, weight, bias)
    axes = (0, *range(2, x.ndim))
    if _count(x, axes) < 2:
        raise ShapeError(
            "batch_norm expected more than one number a channel, to have a variance, got x of "
            f"shape {tuple(x.shape)}. Use a larger batch, or give mean and var."
        )
    node = Normalize(axes, eps, one, running)
    return like(node(full, weight, bias), x), node


def _for_channels(x: Array, weight: Array, bias: Array) -> tuple[Any, tuple[int, ...]]:
    """x widened for sums, and the shape in which one number per channel broadcasts with it."""
    if x.ndim < 2:
        raise ShapeError(
            f"batch_norm expected x of shape (batch, channels, ...), got {tuple(x.shape)}."
        )
    channels = x.shape[1]
    _check_weights("batch_norm", (channels,), weight, bias)
    return widened("batch_norm", x), (1, channels, *(1,) * (x.ndim - 2))


@named
@follows
def layer_norm(
    x: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
) -> Array:
    """(x - mean) / sqrt(var + eps) * weight + bias, with mean and variance over the last axes.

    Parameters
    ----------
    x : array or Variable, shape (..., *normalized_shape)
    normalized_shape : int or sequence of int
        The sizes of the axes that are normalized together.
    weight, bias : arrays or Variables, shape normalized_shape, optional
    eps : float

    Returns
    -------
    array or Variable, of the shape and dtype of `x`

    Raises
    ------
    ShapeError
        x does not end in `normalized_shape`.
    TypeError
        x is not of floating-point numbers.

    Notes
    -----
    One fused node; the gradient by x as in `batch_norm`, of gy * weight. Source: Ba, Kiros and
    Hinton, "Layer normalization", 2016.
    """
    sizes = normalized_shape if isinstance(normalized_shape, Iterable) else [normalized_shape]
    shape = tuple(map(int, sizes))
    first = x.ndim - len(shape)
    if not shape or first < 0 or tuple(x.shape[first:]) != shape:
        wanted = ", ".join(map(str, shape))
        raise ShapeError(f"layer_norm expected x of shape (..., {wanted}), got {tuple(x.shape)}.")
    _check_weights("layer_norm", shape, weight, bias)
    node = Normalize(tuple(range(first, x.ndim)), eps, (*(1,) * first, *shape))
    return like(node(widened("layer_norm", x), weight, bias), x)


@named
@follows
def group_norm(
    x: Array,
    num_groups: int,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
) -> Array:
    """(x - mean) / sqrt(var + eps) * weight + bias, over each group of channels of each sample.

    Parameters
    ----------
    x : array or Variable, shape (batch, channels, ...)
    num_groups : int
        It divides the channels. With 1 it is a `layer_norm` of all; with as many as channels it is
        called instance normalization.
    weight, bias : arrays or Variables, shape (channels,), optional
    eps : float

    Returns
    -------
    array or Variable, of the shape and dtype of `x`

    Raises
    ------
    ShapeError
        x has less than two axes, or its channels do not make groups.
    TypeError
        x is not of floating-point numbers.

    Notes
    -----
    One fused node between two reshapes. Source: Wu and He, "Group normalization", 2018.
    """
    shape = tuple(x.shape)
    if len(shape) < 2 or num_groups < 1 or shape[1] % num_groups:
        raise ShapeError(
            f"group_norm expected x of shape (batch, channels, ...), with channels to be divided "
            f"into {num_groups} groups, got {shape}."
        )
    _check_weights("group_norm", shape[1:2], weight, bias)
    per, places = shape[1] // num_groups, math.prod(shape[2:])
    xp, full = array_namespace(x), widened("group_norm", x)
    grouped = xp.reshape(full, (shape[0], num_groups, per, places))
    y = Normalize((2, 3), eps, (1, num_groups, per, 1))(grouped, weight, bias)
    return like(array_namespace(y).reshape(y, shape), x)
