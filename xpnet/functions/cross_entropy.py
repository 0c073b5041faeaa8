"""How wrong a probability is: cross entropies and their kin, in nats, the mean over the batch.

Each takes the prediction first and the target second, as in PyTorch.
"""

import math
from typing import Any

from xpnet._libraries.devices import follows
from xpnet._typing import Array
from xpnet.autodiff._half_precision import in_full
from xpnet.autodiff._messages import named
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import data_of
from xpnet.errors import ArgumentError, ArgumentTypeError, ShapeError
from xpnet.functions._in_float32 import as_number, cast_like, widened
from xpnet.functions._logistic import LogisticLoss
from xpnet.functions._shapes import broadcasts_to
from xpnet.functions._targets import class_numbers, is_class, matching_target
from xpnet.functions.activation import log_softmax, softmax
from xpnet.kernels.lookup import kernel


class SoftmaxCrossEntropy(Function, takes_number=True):
    """Softmax, logarithm, choice and mean in one node. `t` holds class numbers or weights."""

    softmax: Any = None  # not kept if a kernel has kept something smaller
    weights: Any = None

    def forward(self, x: Array, t: Array) -> Array:
        if fast := kernel("cross_entropy", x, t):
            loss, self.kept = fast(x, t)
            return loss
        xp = array_namespace(x, t)
        z = x - xp.max(x, axis=-1, keepdims=True)
        e = xp.exp(z)
        total = xp.sum(e, axis=-1, keepdims=True)
        n = math.prod(total.shape)
        self.softmax, soft = e / total, t.ndim == x.ndim
        named = t != 0 if soft else is_class(t, x)
        self.weights = t if soft else xp.astype(named, x.dtype)
        terms = xp.where(named, xp.log(total) - z, 0.0)  # z may be infinite where nothing is asked
        loss = xp.sum(terms * t if soft else terms) / n
        if soft:
            return loss
        # One for each row, unless its number names no class.
        return xp.where(xp.count_nonzero(named) == n, loss, math.inf)

    def backward(self, gy: Array, x: Array, t: Array) -> Any:
        gx = gt = None
        n = max(math.prod(x.shape[:-1]), 1)
        needs_x, needs_t = self.needs
        if needs_x:
            if fast := kernel("cross_entropy_gradient", x, t):
                gx = fast(gy, x, t, self.kept)
            else:
                gx = SoftmaxMinusTarget(self.softmax, self.weights)(x, t) * (gy / n)
        if needs_t:
            gt = log_softmax(x) * -(gy / n)
        return gx, gt


class SoftmaxMinusTarget(Function):
    """The gradient of the cross entropy, itself a function of x: it reuses the known softmax."""

    def __init__(self, softmax: Any, weights: Array) -> None:
        self.softmax, self.weights = softmax, weights

    def forward(self, x: Array, t: Array) -> Array:
        p = softmax(x) if self.softmax is None else self.softmax
        if t.ndim == x.ndim:
            return p * array_namespace(t).sum(t, axis=-1, keepdims=True) - t
        if self.weights is None:
            return p - array_namespace(x).astype(is_class(t, x), x.dtype)
        return p - self.weights

    def backward(self, gy: Array, x: Array, t: Array) -> Any:
        xp, p = array_namespace(gy), softmax(x)
        gp = gy * xp.sum(t, axis=-1, keepdims=True) if t.ndim == x.ndim else gy
        gx = (gp - xp.sum(gp * p, axis=-1, keepdims=True)) * p
        gt = xp.sum(gy * p, axis=-1, keepdims=True) - gy if self.needs[1] else None
        return gx, gt


@named
@follows
def softmax_cross_entropy(
    x: Array,
    t: Array,
    weight: Array | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
) -> Array:
    """-log softmax(x)[t], the mean over the batch, in nats.

    Parameters
    ----------
    x : array or Variable, shape (..., classes)
        Scores before the softmax ("logits").
    t : array or Variable, shape (...) or (..., classes)
        Class numbers, of an integer dtype; or one-hot rows, or any weights or probabilities.
    weight : array or Variable, shape (classes,), optional
        How much each class counts. Of class numbers the mean is the weighted one: the sum is
        divided by the sum of the weights of the targets, as in PyTorch; of rows, by the batch.
    label_smoothing : float
        From 0 to 1: this share of each target is spread evenly over all classes.
    ignore_index : int, optional
        The class number of rows that do not count, such as the padding of sequences: the mean is
        over the others, and 0 where there are none. (PyTorch's is -100 unless given.) A `Trainer`
        refuses such labels in arrays, and metrics count them: give it batches, of a loader.

    Returns
    -------
    array or Variable, shape ()
        The loss is inf, not an error, for a class number outside 0 .. classes - 1: to look at
        the numbers would stop a GPU in every step.

    Raises
    ------
    ShapeError
        `t` has neither shape.
    TypeError
        `t` has the shape of class numbers, but no integer dtype; or the shape of x, with an
        `ignore_index`; or x is not of floating-point numbers.
    ValueError
        `label_smoothing` is not from 0 to 1.

    Notes
    -----
    Fused: the gradient is (softmax(x) - onehot(t)) / n, from the softmax of the forward pass.
    A class of score -inf is ruled out: it has no share in the loss unless it is the target. Of
    float16 and bfloat16 it is computed in float32: a sum over many would be infinite.

    Sources: Bridle, "Probabilistic interpretation of feedforward classification network outputs",
    1990; label smoothing: Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, "Rethinking the Inception
    architecture for computer vision", 2016.
    """
    if not (hasattr(x, "shape") and hasattr(t, "shape")):
        array_namespace(x)  # the error for a list or a number
        array_namespace(t)
    if t.shape != x.shape:
        t = class_numbers("softmax_cross_entropy", x, t, "one-hot")
    elif not has_dtype(t, "real floating"):
        t = array_namespace(x, t).astype(t, x.dtype)  # integer or boolean one-hot rows
    wide = widened("softmax_cross_entropy", x)
    if weight is None and label_smoothing == 0.0 and ignore_index is None:
        loss = SoftmaxCrossEntropy()(wide, t)
    else:
        loss = _weighted(wide, t, weight, as_number(label_smoothing), ignore_index)
    return loss if wide is x else cast_like(loss, x)


def _weighted(x: Array, t: Array, weight: Array, smoothing: float, ignored: int | None) -> Array:
    """The cross entropy of rows that are smoothed, then weighted; some of them do not count."""
    if not 0.0 <= smoothing <= 1.0:
        raise ArgumentError(
            f"softmax_cross_entropy expected a label_smoothing from 0 to 1, got {smoothing}."
        )
    if weight is not None and tuple(weight.shape) != tuple(x.shape[-1:]):
        raise ShapeError(
            f"softmax_cross_entropy expected a weight of shape {tuple(x.shape[-1:])}, one for each "
            f"class, got {tuple(weight.shape)}."
        )
    numbers, n, counts = t.ndim < x.ndim, math.prod(x.shape[:-1]), None
    if ignored is not None and not numbers:
        raise ArgumentTypeError(
            "softmax_cross_entropy expected class numbers with an ignore_index."
        )
    named = is_class(data_of(t), x) if numbers else None
    if ignored is not None:
        t, xp = data_of(t), array_namespace(data_of(t))
        t = xp.astype(t, xp.int32) if xp.iinfo(t.dtype).bits < 32 else t  # bytes know no -100
        counts = t[..., None] != ignored
        named = named & counts
    xp = array_namespace(x, t, weight)
    if counts is not None:
        x = xp.where(counts, x, 0.0)  # whatever stands in a row that is ignored
    rows = xp.astype(named, x.dtype) if numbers else t
    w = None if weight is None else cast_like(weight, x)  # it is no reason for a wider loss
    whole = rows if w is None else xp.multiply(rows, w)
    if smoothing:
        rows = rows * (1.0 - smoothing) + smoothing / x.shape[-1]
        rows = rows if counts is None else xp.where(counts, rows, 0.0)
    loss = SoftmaxCrossEntropy()(x, rows if w is None else xp.multiply(rows, w))
    if not numbers:
        return loss
    asked = n if counts is None else xp.count_nonzero(counts)
    if w is not None or counts is not None:
        total = xp.sum(whole)
        loss = loss * n / (total if counts is None else xp.where(asked == 0, 1.0, total))
    return xp.where(xp.count_nonzero(named) == asked, loss, math.inf)


@named
@follows
def kl_divergence(y: Array, t: Array, log_target: bool = False) -> Array:
    """sum(t (log(t) - y)) over the classes, in nats: how far log-probabilities y are from t.

    The mean over the batch: PyTorch's F.kl_div with reduction="batchmean", for one batch axis.

    Parameters
    ----------
    y : array or Variable, shape (..., classes)
        Logarithms of probabilities, as `log_softmax` gives them.
    t : array or Variable, of the shape of y
        Probabilities.
    log_target : bool
        Whether t too is of logarithms.

    Raises
    ------
    ShapeError
        The shapes differ.

    Notes
    -----
    A class of probability 0 in t has no share, whatever y is there: 0 log 0 = 0. Source: Kullback
    and Leibler, "On information and sufficiency", 1951.
    """
    t = matching_target("kl_divergence", y, t)
    xp = array_namespace(y, t)
    there = t > -math.inf if log_target else t > 0.0
    harmless = xp.where(there, t, 0.0 if log_target else 1.0)
    log_t, p = (harmless, xp.exp(t)) if log_target else (xp.log(harmless), t)
    distance = xp.where(there, xp.subtract(log_t, y), 0.0)
    terms = in_full(xp.multiply(p, distance))
    return cast_like(xp.sum(terms) / math.prod(y.shape[:-1]), y)


@named
@follows
def binary_cross_entropy(y: Array, t: Array) -> Array:
    """-mean(t log(y) + (1 - t) log(1 - y)), in nats, of probabilities y.

    Parameters
    ----------
    y, t : arrays or Variables of one shape
        Probabilities and targets, both from 0 to 1. Probabilities count as at least 1e-7 away
        from both (5e-4 in float16), and have no gradient beyond; from scores before the sigmoid,
        `binary_cross_entropy_with_logits` has no such limit.

    Raises
    ------
    ShapeError
        The shapes differ.

    Notes
    -----
    The negative log-likelihood of logistic regression. Source: Cox, "The regression analysis of
    binary sequences", 1958.
    """
    t = matching_target("binary_cross_entropy", y, t)
    if not has_dtype(y, "real floating"):
        raise ArgumentTypeError(
            f"binary_cross_entropy expected floating-point numbers, got {y.dtype}."
        )
    xp = array_namespace(y, t)
    least = max(1e-7, float(xp.finfo(y.dtype).eps) / 2.0)
    y = xp.minimum(xp.maximum(y, least), 1.0 - least)
    return -xp.mean(xp.multiply(xp.log(y), t) + xp.multiply(xp.log1p(-y), 1.0 - t))


@named
@follows
def binary_cross_entropy_with_logits(
    x: Array, t: Array, weight: Array | None = None, pos_weight: Any = None
) -> Array:
    """mean(log(1 + exp(x)) - x t), in nats: `binary_cross_entropy` of sigmoid(x), exact for any x.

    Parameters
    ----------
    x, t : arrays or Variables of one shape
        Scores before the sigmoid, and targets from 0 to 1.
    weight : array or Variable that broadcasts to the shape of x, optional
        How much each number counts. The mean is over all numbers, as in PyTorch, not by weight.
    pos_weight : array or Variable that broadcasts to the shape of x, optional
        How much t = 1 counts more than t = 0: above 1 for classes that are rare.

    Raises
    ------
    ShapeError
        The shapes differ, or a weight does not broadcast to them.

    Notes
    -----
    It is computed as t log(1 + exp(-x)) + (1 - t) log(1 + exp(x)): without overflow, and precise
    relative to itself, in its derivative too, however sure the prediction. A number of weight 0 has
    no share, also where it is infinite. Source: as of `binary_cross_entropy`.
    """
    t = matching_target("binary_cross_entropy_with_logits", x, t)
    xp = array_namespace(x, t, weight, pos_weight)
    for w in (weight, pos_weight):
        if w is not None and not broadcasts_to(w.shape, x.shape):
            raise ShapeError(
                "binary_cross_entropy_with_logits expected weights that broadcast to the shape of "
                f"x, {tuple(x.shape)}, got {tuple(w.shape)}."
            )
    missed = t if pos_weight is None else xp.multiply(t, cast_like(pos_weight, x))
    terms = LogisticLoss()(x, missed, 1.0 - t)
    if weight is not None:
        there = data_of(weight) != 0.0
        terms = xp.where(there, xp.multiply(xp.where(there, terms, 0.0), cast_like(weight, x)), 0.0)
    return xp.mean(terms)
