"""Cross entropies and related losses for probabilities, in nats, as the mean over the batch.

Each takes the prediction first and the target second, as in PyTorch.
"""

import math

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
    """-sum(t log(softmax(x))) / n in one node, for n rows of x; its gradient is (softmax(x) - t) / n.

    `t` has a row of weights for each row of x, or a class number, which stands for a one-hot row. Where
    the weights of a row do not sum to 1, the gradient is (softmax(x) sum(t) - t) / n.
    """

    softmax: Array | None = None  # None if a kernel has saved something smaller
    weights: Array | None = None  # the targets as rows

    def forward(self, x: Array, t: Array) -> Array:
        if fast := kernel("cross_entropy", x, t):
            loss, self.saved_by_kernel = fast(x, t)
            return loss
        xp = array_namespace(x, t)
        z = x - xp.max(x, axis=-1, keepdims=True)
        e = xp.exp(z)
        total = xp.sum(e, axis=-1, keepdims=True)
        n = math.prod(total.shape)
        self.softmax = e / total
        # z may be infinite for a class of weight 0, which has no share in the loss.
        if t.ndim == x.ndim:
            self.weights = t
            terms = xp.where(t != 0, xp.log(total) - z, 0.0)
            return xp.sum(terms * t) / n
        chosen = is_class(t, x)
        self.weights = xp.astype(chosen, x.dtype)
        loss = xp.sum(xp.where(chosen, xp.log(total) - z, 0.0)) / n
        # There is one chosen class for each row, unless its number is not that of a class.
        return xp.where(xp.count_nonzero(chosen) == n, loss, math.inf)

    def backward(self, gy: Array, x: Array, t: Array) -> tuple[Array | None, Array | None]:
        gx = None
        gt = None
        n = max(math.prod(x.shape[:-1]), 1)
        needs_x, needs_t = self.needs
        if needs_x:
            if fast := kernel("cross_entropy_gradient", x, t):
                gx = fast(gy, x, t, self.saved_by_kernel)
            else:
                gx = SoftmaxMinusTarget(self.softmax, self.weights)(x, t) * (gy / n)
        if needs_t:
            gt = log_softmax(x) * -(gy / n)
        return gx, gt


class SoftmaxMinusTarget(Function):
    """softmax(x) sum(t) - t: n times the gradient of the cross entropy, from a softmax that is known.

    It is a Function, so that the gradient can be differentiated again.
    """

    def __init__(self, softmax: Array | None, weights: Array | None) -> None:
        self.softmax = softmax
        self.weights = weights

    def forward(self, x: Array, t: Array) -> Array:
        p = softmax(x) if self.softmax is None else self.softmax
        if t.ndim == x.ndim:
            return p * array_namespace(t).sum(t, axis=-1, keepdims=True) - t
        if self.weights is None:
            return p - array_namespace(x).astype(is_class(t, x), x.dtype)
        return p - self.weights

    def backward(self, gy: Array, x: Array, t: Array) -> tuple[Array, Array | None]:
        xp = array_namespace(gy)
        p = softmax(x)
        gp = gy
        if t.ndim == x.ndim:
            gp = gy * xp.sum(t, axis=-1, keepdims=True)
        gx = (gp - xp.sum(gp * p, axis=-1, keepdims=True)) * p
        gt = xp.sum(gy * p, axis=-1, keepdims=True) - gy if self.needs[1] else None
        return gx, gt


@named
@follows
def softmax_cross_entropy(
    x: Array,
    t: Array,
    weight: Array | None = None,
    *,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
) -> Array:
    """-log softmax(x)[t], the mean over the batch, in nats.

    Parameters
    ----------
    x : array or Variable, shape (..., classes)
        Scores before the softmax ("logits").
    t : array or Variable, shape (...) or (..., classes)
        Class numbers, of an integer dtype; or one-hot rows, or any weights or probabilities.
    weight : array or Variable, shape (classes,), optional
        How much each class counts. For class numbers, the mean is the weighted one: the sum is
        divided by the sum of the weights of the targets, as in PyTorch. For rows, it is divided by
        the size of the batch.
    label_smoothing : float
        From 0 to 1: this share of each target is spread evenly over all classes.
    ignore_index : int, optional
        The class number of rows that do not count, such as the padding of sequences: the mean is
        over the other rows, and 0 if there are no others. (PyTorch's default is -100.) A `Trainer`
        refuses such labels in arrays, and metrics count them: pass it the batches of a loader.

    Returns
    -------
    array or Variable, shape ()
        The loss is infinite, without an error, if a class number is not from 0 to classes - 1:
        checking the numbers would make the host wait for a GPU in every step.

    Raises
    ------
    ShapeError
        `t` has neither shape.
    TypeError
        `t` has the shape of class numbers, but no integer dtype; or the shape of x, with an
        `ignore_index`; or x does not have a floating-point dtype.
    ValueError
        `label_smoothing` is not from 0 to 1.

    Notes
    -----
    Fused: the gradient is (softmax(x) - onehot(t)) / n, from the softmax of the forward pass.
    A class with the score -inf is excluded: it has no share in the loss unless it is the target. For
    float16 and bfloat16 inputs the loss is computed in float32, where long sums do not overflow.

    Sources: Bridle, "Probabilistic interpretation of feedforward classification network outputs",
    1990; label smoothing: Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, "Rethinking the Inception
    architecture for computer vision", 2016.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> scores = xpnet.Variable([[0.0, 0.0], [0.0, 2.0]])
    >>> loss = F.softmax_cross_entropy(scores, F.asarray([0, 1]))
    >>> loss.backward()
    >>> float(loss)
    0.4100
    >>> scores.grad.tolist()
    [[-0.25, 0.25], [0.0596, -0.0596]]
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


def _weighted(
    x: Array, t: Array, weight: Array | None, smoothing: float, ignored: int | None
) -> Array:
    """The cross entropy of targets that are smoothed, weighted, or in part ignored."""
    _require_options(x, t, weight, smoothing, ignored)
    if weight is not None:
        weight = cast_like(weight, x)  # a wider weight does not make the loss wider
    if t.ndim == x.ndim:
        return SoftmaxCrossEntropy()(x, _smoothed(t, weight, smoothing, None))
    chosen = is_class(data_of(t), x)
    is_counted = None
    n = math.prod(x.shape[:-1])
    n_counted: Array = n  # how many rows count
    xp = array_namespace(x, t, weight)
    if ignored is not None:
        is_counted = _is_counted(data_of(t), ignored)
        chosen = chosen & is_counted
        x = xp.where(is_counted, x, 0.0)  # the scores of an ignored row may even be NaN
        n_counted = xp.count_nonzero(is_counted)
    rows = xp.astype(chosen, x.dtype)
    loss = SoftmaxCrossEntropy()(x, _smoothed(rows, weight, smoothing, is_counted))
    if weight is not None or is_counted is not None:
        total = xp.sum(rows if weight is None else xp.multiply(rows, weight))
        if is_counted is not None:
            total = xp.where(n_counted == 0, 1.0, total)  # the loss is 0 then, and not NaN
        loss = loss * n / total
    return xp.where(xp.count_nonzero(chosen) == n_counted, loss, math.inf)


def _require_options(
    x: Array, t: Array, weight: Array | None, smoothing: float, ignored: int | None
) -> None:
    """Raise an error if the options of `softmax_cross_entropy` do not fit its arguments."""
    if not 0.0 <= smoothing <= 1.0:
        raise ArgumentError(
            f"softmax_cross_entropy expected a label_smoothing from 0 to 1, got {smoothing}."
        )
    if weight is not None and tuple(weight.shape) != tuple(x.shape[-1:]):
        raise ShapeError(
            f"softmax_cross_entropy expected a weight of shape {tuple(x.shape[-1:])}, one for each "
            f"class, got {tuple(weight.shape)}."
        )
    if ignored is not None and t.ndim == x.ndim:
        raise ArgumentTypeError(
            "softmax_cross_entropy expected class numbers with an ignore_index."
        )


def _is_counted(t: Array, ignored: int) -> Array:
    """Whether each row counts: booleans of shape (..., 1)."""
    xp = array_namespace(t)
    if xp.iinfo(t.dtype).bits < 32:
        t = xp.astype(t, xp.int32)  # -100 does not fit into a byte
    return t[..., None] != ignored


def _smoothed(
    rows: Array, weight: Array | None, smoothing: float, is_counted: Array | None
) -> Array:
    """Targets as rows, smoothed, with 0 in the rows that do not count, and then weighted."""
    if smoothing:
        rows = rows * (1.0 - smoothing) + smoothing / rows.shape[-1]
        if is_counted is not None:
            rows = array_namespace(rows).where(is_counted, rows, 0.0)
    if weight is None:
        return rows
    return array_namespace(rows, weight).multiply(rows, weight)


@named
@follows
def kl_divergence(y: Array, t: Array, *, log_target: bool = False) -> Array:
    """The divergence of log-probabilities y from t: sum(t (log(t) - y)) over the classes, in nats.

    It is the mean over the batch: PyTorch's F.kl_div with reduction="batchmean", for one batch axis.

    Parameters
    ----------
    y : array or Variable, shape (..., classes)
        Logarithms of probabilities, as `log_softmax` returns them.
    t : array or Variable, of the shape of y
        Probabilities.
    log_target : bool
        Whether t holds logarithms too.

    Raises
    ------
    ShapeError
        The shapes differ.

    Notes
    -----
    A class with the probability 0 in t has no share, whatever y is: 0 log 0 = 0. Source: Kullback
    and Leibler, "On information and sufficiency", 1951.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> log_q = F.log(xpnet.Variable([[0.5, 0.5]]))
    >>> float(F.kl_divergence(log_q, F.asarray([[0.25, 0.75]])))
    0.1308
    """
    t = matching_target("kl_divergence", y, t)
    xp = array_namespace(y, t)
    if log_target:
        p = xp.exp(t)
        possible = t > -math.inf
        log_t = xp.where(possible, t, 0.0)
    else:
        p = t
        possible = t > 0.0
        log_t = xp.log(xp.where(possible, t, 1.0))
    distance = xp.where(possible, xp.subtract(log_t, y), 0.0)
    terms = in_full(xp.multiply(p, distance))
    return cast_like(xp.sum(terms) / math.prod(y.shape[:-1]), y)


@named
@follows
def binary_cross_entropy(y: Array, t: Array) -> Array:
    """-mean(t log(y) + (1 - t) log(1 - y)), in nats, for probabilities y.

    Parameters
    ----------
    y, t : arrays or Variables of one shape
        Probabilities and targets, both from 0 to 1. Probabilities are clipped to at least 1e-7
        away from 0 and 1 (5e-4 in float16), and have no gradient beyond. For scores before the
        sigmoid, `binary_cross_entropy_with_logits` has no such limit.

    Raises
    ------
    ShapeError
        The shapes differ.

    Notes
    -----
    The negative log-likelihood of logistic regression. Source: Cox, "The regression analysis of
    binary sequences", 1958.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> float(F.binary_cross_entropy(xpnet.Variable([0.5, 0.75]), F.asarray([0.0, 1.0])))
    0.4904
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
    x: Array, t: Array, weight: Array | None = None, *, pos_weight: Array | None = None
) -> Array:
    """mean(log(1 + exp(x)) - x t), in nats: `binary_cross_entropy` of sigmoid(x), precise for any x.

    Parameters
    ----------
    x, t : arrays or Variables of one shape
        Scores before the sigmoid, and targets from 0 to 1.
    weight : array or Variable that broadcasts to the shape of x, optional
        How much each number counts. The mean is over all numbers, as in PyTorch, not by weight.
    pos_weight : array or Variable that broadcasts to the shape of x, optional
        How much more t = 1 counts than t = 0: above 1 for rare classes.

    Raises
    ------
    ShapeError
        The shapes differ, or a weight does not broadcast to them.

    Notes
    -----
    It is computed as t log(1 + exp(-x)) + (1 - t) log(1 + exp(x)): without overflow, and with a small
    relative error, also of its derivative, however confident the prediction is. A number of weight 0
    has no share, even if it is infinite. Source: as for `binary_cross_entropy`.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> float(F.binary_cross_entropy_with_logits(xpnet.Variable([0.0, 2.0]), F.asarray([0.0, 1.0])))
    0.4100
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
        has_weight = data_of(weight) != 0.0
        # A term of weight 0 may be infinite, and its product with 0 would be NaN.
        terms = xp.multiply(xp.where(has_weight, terms, 0.0), cast_like(weight, x))
    return xp.mean(terms)
