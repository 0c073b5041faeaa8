"""How wrong a prediction is: one number, the mean over the batch, to be made small.

Each takes the prediction first and the target second, as in PyTorch. Cross entropies are in nats.
"""

import math
from typing import Any

import array_api_compat as compat

from xpnet.autodiff import Function
from xpnet.errors import ShapeError
from xpnet.functions.activation import log_softmax, softmax
from xpnet.namespace import array_namespace, has_dtype


class SoftmaxCrossEntropy(Function):
    """Softmax, logarithm, choice and mean in one node. `t` holds class numbers or weights."""

    def forward(self, x: Any, t: Any) -> Any:
        xp = array_namespace(x, t)
        z = x - xp.max(x, axis=-1, keepdims=True)
        e = xp.exp(z)
        total = xp.sum(e, axis=-1, keepdims=True)
        self.n = math.prod(total.shape)
        self.softmax, soft = e / total, t.ndim == x.ndim
        named = t != 0 if soft else _is_class(t, x)
        self.weights = t if soft else xp.astype(named, x.dtype)
        terms = xp.where(named, xp.log(total) - z, 0.0)  # z may be infinite where nothing is asked
        loss = xp.sum(terms * t if soft else terms) / self.n
        if soft:
            return loss
        # One for each row, unless its number names no class.
        return xp.where(xp.count_nonzero(named) == self.n, loss, math.inf)

    def backward(self, gy: Any, x: Any, t: Any) -> Any:
        share = gy / self.n
        gx = gt = None
        if self.needs[0]:
            gx = SoftmaxMinusTarget(self.softmax, self.weights)(x, t) * share
        if self.needs[1]:
            gt = log_softmax(x) * -share
        return gx, gt


class SoftmaxMinusTarget(Function):
    """The gradient of the cross entropy, itself a function of x: it reuses the known softmax."""

    def __init__(self, softmax: Any, weights: Any) -> None:
        self.softmax, self.weights = softmax, weights

    def forward(self, x: Any, t: Any) -> Any:
        if t.ndim < x.ndim:
            return self.softmax - self.weights
        return self.softmax * array_namespace(t).sum(t, axis=-1, keepdims=True) - t

    def backward(self, gy: Any, x: Any, t: Any) -> Any:
        xp, p = array_namespace(gy), softmax(x)
        gp = gy * xp.sum(t, axis=-1, keepdims=True) if t.ndim == x.ndim else gy
        gx = (gp - xp.sum(gp * p, axis=-1, keepdims=True)) * p
        gt = xp.sum(gy * p, axis=-1, keepdims=True) - gy if self.needs[1] else None
        return gx, gt


def _is_class(t: Any, x: Any) -> Any:
    """Class numbers as rows of the shape of x: True at the class."""
    xp, n = array_namespace(t), x.shape[-1]
    if n > 128 and xp.iinfo(t.dtype).max < n:
        t = xp.astype(t, xp.int32)  # bytes cannot count so far
    classes = xp.arange(n, dtype=t.dtype, device=compat.device(t))
    return t[..., None] == classes


def softmax_cross_entropy(x: Any, t: Any) -> Any:
    """-log softmax(x)[t], the mean over the batch, in nats.

    Parameters
    ----------
    x : array or Variable, shape (..., classes)
        Scores before the softmax ("logits").
    t : array or Variable, shape (...) or (..., classes)
        Class numbers, of an integer dtype; or one-hot rows, or any weights or probabilities.

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
        `t` has the shape of class numbers, but no integer dtype.

    Notes
    -----
    Fused: the gradient is (softmax(x) - onehot(t)) / n, from the softmax of the forward pass.
    A class of score -inf is ruled out: it has no share in the loss unless it is the target.

    Source: Bridle, "Probabilistic interpretation of feedforward classification network outputs",
    1990.
    """
    if t.shape != x.shape:
        if t.shape != x.shape[:-1]:
            raise ShapeError(
                f"softmax_cross_entropy expected t of shape {tuple(x.shape[:-1])} (class numbers) "
                f"or {tuple(x.shape)} (one-hot) for x of shape {tuple(x.shape)}, "
                f"got {tuple(t.shape)}."
            )
        if not has_dtype(t, "integral"):
            raise TypeError(f"softmax_cross_entropy expected integer class numbers, got {t.dtype}.")
    elif not has_dtype(t, "real floating"):
        t = array_namespace(x, t).astype(t, x.dtype)  # integer or boolean one-hot rows
    return SoftmaxCrossEntropy()(x, t)


def mean_squared_error(y: Any, t: Any) -> Any:
    """mean((y - t)^2), over all numbers.

    Parameters
    ----------
    y, t : arrays or Variables of one shape
        They do not broadcast: (n, 1) against (n,) is an error, not a mean of n * n numbers.
        Integer targets count as numbers of y's dtype.

    Raises
    ------
    ShapeError
        The shapes differ.

    Notes
    -----
    Least squares. Source: Gauss, "Theoria combinationis observationum", 1821.
    """
    difference = y - _matching("mean_squared_error", y, t)
    return array_namespace(difference).mean(difference * difference)


def binary_cross_entropy(y: Any, t: Any) -> Any:
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
    t = _matching("binary_cross_entropy", y, t)
    xp = array_namespace(y, t)
    least = max(1e-7, float(xp.finfo(y.dtype).eps) / 2.0)
    y = xp.minimum(xp.maximum(y, least), 1.0 - least)
    return -xp.mean(xp.log(y) * t + xp.log(1.0 - y) * (1.0 - t))


def binary_cross_entropy_with_logits(x: Any, t: Any) -> Any:
    """mean(log(1 + exp(x)) - x t), in nats: `binary_cross_entropy` of sigmoid(x), exact for any x.

    Parameters
    ----------
    x, t : arrays or Variables of one shape
        Scores before the sigmoid, and targets from 0 to 1.

    Raises
    ------
    ShapeError
        The shapes differ.

    Notes
    -----
    log(1 + exp(x)) is computed as logaddexp(x, 0), which does not overflow. Source: as of
    `binary_cross_entropy`.
    """
    t = _matching("binary_cross_entropy_with_logits", x, t)
    xp = array_namespace(x, t)
    return xp.mean(xp.logaddexp(x, xp.zeros_like(x)) - x * t)


def _matching(name: str, y: Any, t: Any) -> Any:
    """The target, of the prediction's shape, or it is an error; integers in its dtype."""
    if y.shape != t.shape:
        hint = " Reshape one to the other." if math.prod(y.shape) == math.prod(t.shape) else ""
        raise ShapeError(
            f"{name} expected a target of the prediction's shape {tuple(y.shape)}, "
            f"got {tuple(t.shape)}.{hint}"
        )
    if has_dtype(t, "complex floating"):
        raise TypeError(f"{name} expected a target of real numbers, got {t.dtype}.")
    cast = has_dtype(y, "real floating") and not has_dtype(t, "real floating")
    return array_namespace(y, t).astype(t, y.dtype) if cast else t
