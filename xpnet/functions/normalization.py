"""Normalization: shift and scale x to mean 0 and variance 1 over some of its axes.

    batch_norm     over the batch and all places, for each channel
    layer_norm     over the last axes, for each sample
    group_norm     over a group of channels and all places, for each sample

For float16 and bfloat16 inputs, the statistics are computed in float32.
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
from xpnet.functions._in_float32 import cast_like, widened
from xpnet.kernels.lookup import kernel


class Moments(Function):
    """The mean and r = 1 / sqrt(variance + eps) of x over axes, which are kept with length 1.

    For n numbers per mean, the derivatives with respect to x are 1 / n and -r^3 (x - mean) / n.

    Statistics that are `known` already are not computed again; the node only records that they
    depend on x.
    """

    def __init__(
        self, axes: tuple[int, ...], eps: float, known: tuple[Array, Array] | None = None
    ) -> None:
        self.axes = axes
        self.eps = eps
        self.known = known

    def forward(self, x: Array) -> tuple[Array, Array]:
        if self.known is not None:
            return self.known
        xp = array_namespace(x)
        mean = xp.mean(x, axis=self.axes, keepdims=True)
        c = x - mean
        var = xp.mean(c * c, axis=self.axes, keepdims=True)
        return mean, 1.0 / xp.sqrt(var + self.eps)

    def backward(self, gy: tuple[Array, Array], y: tuple[Array, Array], x: Array) -> Array:
        gmean, gr = gy
        mean, r = y
        n = _count(x, self.axes)
        return gmean / n - (x - mean) * (gr * (r * r * r) / n)


class Normalize(Function):
    """(x - mean) r w + b in one node, where r = 1 / sqrt(variance + eps); w and b may be None.

    The only array as large as x that is kept is x itself: `backward` computes the normalized
    numbers again. Where there is a kernel, it also updates the `running` statistics.

    Parameters
    ----------
    axes : tuple of int
        The axes over which mean and variance are computed.
    eps : float
    shape : tuple of int
        The shape in which w and b broadcast with x: 1 for each axis along which they are constant.
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
        self.weight_shape = shape
        self.running: Any = running
        self.one_weight_per_mean = all(shape[a] == 1 for a in axes)

    def forward(self, x: Array, w: Array | None, b: Array | None) -> Array:
        w = _reshaped(w, self.weight_shape)
        b = _reshaped(b, self.weight_shape)
        fast = kernel("normalize", x, w, b)
        self.fused = fast is not None
        if fast:
            y, *statistics = fast(x, w, b, self.axes, self.eps, self.running)
            self.mean, self.var, self.r, self.running = statistics
            return y
        xp = array_namespace(x, w, b)
        self.mean = xp.mean(x, axis=self.axes, keepdims=True)
        c = x - self.mean
        self.var = xp.mean(c * c, axis=self.axes, keepdims=True)
        self.r = 1.0 / xp.sqrt(self.var + self.eps)
        if self.running is not None:
            self.running = self.running.after(self.mean, self.var, _count(x, self.axes))
        if w is None:
            y = c * self.r
        elif self.one_weight_per_mean:
            y = c * (self.r * w)  # the product in parentheses is small
        else:
            y = c * self.r * w
        return y if b is None else y + b

    def backward(
        self, gy: Array, x: Array, w: Array | None
    ) -> tuple[Array | None, Array | None, Array | None]:
        w = _reshaped(w, self.weight_shape)
        if self.fused and (fast := kernel("normalize_gradients", gy, x)):
            gx, gw, gb = fast(gy, x, w, self.mean, self.r, self.axes, self.weight_shape, self.needs)
            return gx, self._gradient_of_input(1, gw), self._gradient_of_input(2, gb)
        xp = array_namespace(gy)
        n = _count(x, self.axes)
        mean, r = Moments(self.axes, self.eps, (self.mean, self.r))(x)
        c = x - mean
        # With g = gy w, gx = r (g - mean(g) - c r^2 mean(g c)). A weight that is constant over the
        # axes of the means can be multiplied at the end, as part of the small array `scale`.
        g = gy
        scale = r
        if w is not None and self.one_weight_per_mean:
            scale = r * w
        elif w is not None:
            g = gy * w
        g_mean = xp.mean(g, axis=self.axes, keepdims=True)
        gc_mean = xp.mean(g * c, axis=self.axes, keepdims=True)
        gx = None
        gw = None
        gb = gy
        if self.needs[0]:
            gx = (g - g_mean - c * (gc_mean * (r * r))) * scale
        if self.one_weight_per_mean:  # the sums over the axes are known already
            gw = gc_mean * (n * r)
            gb = g_mean * n
        elif self.needs[1]:
            gw = gy * (c * r)
        return gx, self._gradient_of_input(1, gw), self._gradient_of_input(2, gb)

    def _gradient_of_input(self, i: int, g: Array) -> Array | None:
        """`g` as the gradient of input i, w or b: summed over the axes that the input lacks."""
        if not self.needs[i]:
            return None
        xp = array_namespace(g)
        axes = tuple(a for a, n in enumerate(self.weight_shape) if n == 1 != g.shape[a])
        if axes:
            g = xp.sum(g, axis=axes, keepdims=True)
        return _reshaped(g, call_of(self).parents[i].shape)


class RunningStatistics(NamedTuple):
    """Running averages of the batches' mean and variance, for each channel.

    Attributes
    ----------
    mean, var : arrays, shape (channels,)
        The variance is unbiased: a mean over n - 1.
    seen : array of an integer, shape ()
        The number of batches that have been averaged.
    momentum : float or None
        The weight of each new batch. None: the plain averages over all batches.
    """

    mean: Array
    var: Array
    seen: Array
    momentum: float | None

    def batch_norm(
        self, x: Array, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
    ) -> tuple[Array, "RunningStatistics"]:
        """`batch_norm` with the batch's own statistics, and the running statistics after it.

        The running statistics have no history. It raises the same errors as `batch_norm`.
        """
        y, node = _normalized_batch(x, weight, bias, eps, self)
        return y, node.running

    def after(self, mean: Array, var: Array, n: int) -> "RunningStatistics":
        """The statistics after a batch with n numbers per channel, whose `var` is a mean over n."""
        return self.after_unbiased(mean, var * (n / max(n - 1, 1)))

    def after_unbiased(self, mean: Array, unbiased: Array) -> "RunningStatistics":
        """The statistics after a batch whose variance is `unbiased`: a mean over n - 1."""
        xp = array_namespace(self.mean)
        dtype = self.mean.dtype
        seen = as_array(self.seen + 1)
        share: Any = self.momentum
        if share is None:
            share = 1.0 / xp.astype(seen, dtype)
        mean_step = xp.astype(_reshaped(mean, self.mean.shape), dtype) - self.mean
        var_step = xp.astype(_reshaped(unbiased, self.var.shape), dtype) - self.var
        return self._replace(
            mean=self.mean + mean_step * share, var=self.var + var_step * share, seen=seen
        )


def _count(x: Array, axes: tuple[int, ...]) -> int:
    """How many numbers of x each mean over the axes is computed from."""
    return math.prod(x.shape[a] for a in axes)


def _reshaped(w: Array | None, shape: tuple[int, ...]) -> Array:
    """w in that shape; None stays None."""
    if w is None or w.shape == shape:
        return w
    return array_namespace(w).reshape(w, shape)


def _check_weights(
    name: str, shape: tuple[int, ...], weight: Array | None, bias: Array | None
) -> None:
    """Raise ShapeError if weight or bias is given and does not have that shape."""
    for argument, w in (("weight", weight), ("bias", bias)):
        if w is not None and tuple(w.shape) != shape:
            raise ShapeError(f"{name} expected {argument} of shape {shape}, got {tuple(w.shape)}.")


@named
@follows
def batch_norm(
    x: Array,
    mean: Array | None = None,
    var: Array | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
) -> tuple[Array, Array, Array]:
    """(x - mean) / sqrt(var + eps) * weight + bias, for each channel: the second axis of x.

    Parameters
    ----------
    x : array or Variable, shape (batch, channels, ...)
    mean, var : arrays, shape (channels,), optional
        Unless both are given, the statistics of the batch itself are used, over all axes but the
        second, and the result is differentiated through them too.
    weight, bias : arrays or Variables, shape (channels,), optional
    eps : float

    Returns
    -------
    y : array or Variable, of the shape and dtype of `x`
    mean, var : arrays, shape (channels,)
        The statistics that were used, without history and on the device of x, for running means.
        The variance of a batch is a mean over n, not n - 1.

    Raises
    ------
    ShapeError
        x has fewer than two axes; `weight` or `bias` is not of shape (channels,); or the statistics
        are the batch's own, and there is only one number per channel, so that the result would be
        `bias` for any x.
    TypeError
        x is not of floating-point numbers.

    Notes
    -----
    One fused node. With c = x - mean, r = 1 / sqrt(var + eps) and means over a channel,
    gx = weight r (gy - mean(gy) - c r^2 mean(gy c)). Source: Ioffe and Szegedy, "Batch
    normalization: accelerating deep network training by reducing internal covariate shift", 2015.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> y, mean, var = F.batch_norm(xpnet.Variable([[1.0], [3.0]]))
    >>> mean, var
    (array([2.], dtype=float32), array([1.], dtype=float32))
    """
    if mean is None or var is None:
        y, node = _normalized_batch(x, weight, bias, eps)
        channels = (x.shape[1],)
        return y, _reshaped(node.mean, channels), _reshaped(node.var, channels)
    full, one = _for_channels(x, weight, bias)
    w = _reshaped(weight, one)
    b = _reshaped(bias, one)
    xp = array_namespace(full, w, b, mean, var)
    scale = 1.0 / xp.sqrt(_reshaped(var, one) + eps)
    if w is not None:
        scale = xp.multiply(w, scale)
    # Functions, not operators: some libraries' arrays do not leave an operator to a Variable.
    y = xp.multiply(xp.subtract(full, _reshaped(mean, one)), scale)
    if b is not None:
        y = xp.add(y, b)
    return cast_like(y, x), mean, var


def _normalized_batch(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
    running: RunningStatistics | None = None,
) -> tuple[Array, Normalize]:
    """`batch_norm` with the batch's own statistics, and the node that has computed them."""
    full, one = _for_channels(x, weight, bias)
    axes = (0, *range(2, x.ndim))
    if _count(x, axes) < 2:
        raise ShapeError(
            "batch_norm expected more than one number per channel, to have a variance, got x of "
            f"shape {tuple(x.shape)}. Use a larger batch, or give mean and var."
        )
    node = Normalize(axes, eps, one, running)
    return cast_like(node(full, weight, bias), x), node


def _for_channels(
    x: Array, weight: Array | None, bias: Array | None
) -> tuple[Array, tuple[int, ...]]:
    """x in float32 or more, and the shape in which one number per channel broadcasts with it."""
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
        The shape of x does not end in `normalized_shape`, or `weight` or `bias` is of another shape.
    TypeError
        x is not of floating-point numbers.

    Notes
    -----
    One fused node. The gradient with respect to x is that of `batch_norm` with gy * weight in place of gy.
    Source: Ba, Kiros and Hinton, "Layer normalization", 2016.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> xpnet.to_numpy(F.layer_norm(xpnet.Variable([[1.0, 3.0], [10.0, 30.0]]), 2)).tolist()
    [[-1.0000, 1.0000], [-1.0, 1.0]]
    """
    if isinstance(normalized_shape, Iterable):
        shape = tuple(map(int, normalized_shape))
    else:
        shape = (int(normalized_shape),)
    first = x.ndim - len(shape)
    if not shape or first < 0 or tuple(x.shape[first:]) != shape:
        expected = ", ".join(map(str, shape))
        raise ShapeError(f"layer_norm expected x of shape (..., {expected}), got {tuple(x.shape)}.")
    _check_weights("layer_norm", shape, weight, bias)
    axes = tuple(range(first, x.ndim))
    normalize = Normalize(axes, eps, (*(1,) * first, *shape))
    return cast_like(normalize(widened("layer_norm", x), weight, bias), x)


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
        A divisor of the number of channels. With one group, a sample is normalized as a whole, as
        by `layer_norm`; with one group per channel, this is called instance normalization.
    weight, bias : arrays or Variables, shape (channels,), optional
    eps : float

    Returns
    -------
    array or Variable, of the shape and dtype of `x`

    Raises
    ------
    ShapeError
        x has fewer than two axes; `num_groups` does not divide the number of channels; or `weight`
        or `bias` is not of shape (channels,).
    TypeError
        x is not of floating-point numbers.

    Notes
    -----
    One fused node between two reshapes. Source: Wu and He, "Group normalization", 2018.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> F.group_norm(F.ones((2, 4, 8, 8)), 2).shape
    (2, 4, 8, 8)
    """
    shape = tuple(x.shape)
    if len(shape) < 2 or num_groups < 1 or shape[1] % num_groups:
        raise ShapeError(
            f"group_norm expected x of shape (batch, channels, ...), with channels to be divided "
            f"into {num_groups} groups, got {shape}."
        )
    _check_weights("group_norm", shape[1:2], weight, bias)
    full = widened("group_norm", x)
    per_group = shape[1] // num_groups
    places = math.prod(shape[2:])
    grouped = array_namespace(x).reshape(full, (shape[0], num_groups, per_group, places))
    y = Normalize((2, 3), eps, (1, num_groups, per_group, 1))(grouped, weight, bias)
    return cast_like(array_namespace(y).reshape(y, shape), x)
