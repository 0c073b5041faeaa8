"""Metrics of the order in which scores put samples: they need no threshold."""

import math
from itertools import accumulate, combinations

from xpnet._libraries.devices import follows
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import data_of
from xpnet.errors import ArgumentError, DataError, ShapeError
from xpnet.functions.logsumexp import logsumexp
from xpnet.metrics._labels import integers, real_dtype

_ROUNDING = 0.01  # by which the sum of probabilities may differ from 1, also in 16 bits
AVERAGES = {"ovr": ("macro", "micro", "weighted", None), "ovo": ("macro", "weighted")}


@follows
def roc_auc(y: Array, t: Array, average: str | None = "macro", multi_class: str = "ovr") -> Array:
    """The area under the receiver operating characteristic (ROC).

    For a random pair of samples, one of the class and one not, it is the probability that the one of
    the class has the higher score; equal scores count as one half. It depends only on the order of the
    scores. Scores of all classes, which a network returns, are ordered as their softmax: those of one class
    alone are not, since the softmax depends on the differences to the others.

    Source: the statistic of Mann and Whitney, 1947; see Hanley and McNeil, "The meaning and use of the
    area under a receiver operating characteristic (ROC) curve", 1982.

    Parameters
    ----------
    y : array or Variable
        For two classes: scores of class 1, of shape (n,) or (n, 1). For two or more: of shape
        (n, classes), probabilities, whose rows have the sum 1; or else the scores of which the softmax
        makes probabilities.
    t : array or Variable, shape (n,), (n, 1) or (n, classes)
        Class numbers, or one-hot rows. For two classes, class 0 may also be given as -1.
    average : {"macro", "micro", "weighted", None}
        For more than two classes: the plain mean; all columns as one; the mean weighted by how
        often a class occurs; or, with "ovr" only, the area of each class, shape (classes,).
    multi_class : {"ovr", "ovo"}
        "ovr": each class against all others. "ovo": each pair of classes by itself, both ways
        (Hand and Till, 2001).

    Returns
    -------
    array, shape () or (classes,)
        NaN where there is no pair of samples to compare (a class that is absent, or the only one), and
        where a score is NaN.

    Raises
    ------
    ShapeError
        The shapes do not fit.
    DataError
        A class number in t is invalid.
    ValueError
        The average is unknown, or not available for `multi_class`.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> float(xpnet.metrics.roc_auc(F.asarray([0.1, 0.4, 0.35, 0.8]), F.asarray([0, 0, 1, 1])))
    0.75
    """
    if average not in AVERAGES.get(multi_class, ()):
        raise ArgumentError(
            f"roc_auc expected multi_class and average of {AVERAGES}, got {multi_class!r} and "
            f"{average!r}."
        )
    y, t = _fitting(data_of(y), data_of(t))
    xp = array_namespace(y, t)
    classes = y.shape[-1]
    if classes <= 2:
        score = y[:, classes - 1]
        return _auc(score[t == 1], score[t != 1])
    members = [t == c for c in range(classes)]
    if average == "micro":
        table = xp.stack(members, axis=-1)
        return _auc(y[table], y[~table])
    if multi_class == "ovr":
        areas = [_auc(y[:, c][own], y[:, c][~own]) for c, own in enumerate(members)]
    else:
        areas = [_pair_auc(y, members, i, j) for i, j in combinations(range(classes), 2)]
    if average is None:
        return xp.stack(areas)
    weights = [1.0] * len(areas)
    if average == "weighted":
        weights = _weights(members, multi_class)
    total = sum(area * weight for area, weight in zip(areas, weights, strict=True))
    return total / max(sum(weights), 1.0)


def _weights(members: list[Array], multi_class: str) -> list[float]:
    """The samples of each class; or of each pair of classes, for "ovo"."""
    xp = array_namespace(members[0])
    sizes = [float(xp.sum(xp.astype(own, xp.int32))) for own in members]
    if multi_class == "ovr":
        return sizes
    return [first + second for first, second in combinations(sizes, 2)]


def _fitting(y: Array, t: Array) -> tuple[Array, Array]:
    """Scores as columns, in the order of the probabilities, and class numbers of shape (n,)."""
    xp = array_namespace(y, t)
    y_shape = tuple(y.shape)
    t_shape = tuple(t.shape)
    if t.ndim == 2 and t.shape[1] == 1:
        t = t[:, 0]
    elif t.ndim == 2 and t_shape == y_shape:
        t = xp.argmax(t, axis=1)
    if y.ndim == 1:
        y = y[:, None]
    if y.ndim != 2 or tuple(t.shape) != (y.shape[0],) or y.shape[1] == 0:
        raise ShapeError(
            "roc_auc expected y of shape (n,) or (n, classes) and t of shape (n,), got "
            f"{y_shape} and {t_shape}."
        )
    t = integers(t)
    last = max(y.shape[1] - 1, 1)
    first = -1 if last == 1 else 0
    if bool(xp.any((t > last) | (t < first))):
        raise DataError(f"roc_auc expected class numbers from 0 to {last}; t has others.")
    if not has_dtype(y, "real floating"):
        y = xp.astype(y, xp.float32)
    if y.shape[1] > 1 and not _are_probabilities(y):
        y = _log_odds(y)
    return y, t


def _are_probabilities(y: Array) -> bool:
    """Whether no number is negative, and each row without NaN has the sum 1, up to rounding."""
    xp = array_namespace(y)
    total = xp.sum(y, axis=1, dtype=real_dtype(y))
    is_one = (xp.abs(total - 1.0) <= _ROUNDING) | xp.isnan(total)
    return bool(xp.all(is_one)) and not bool(xp.any(y < 0.0))


def _log_odds(y: Array) -> Array:
    """log(p / (1 - p)) for p = softmax(y): in the order of p, also where p would be rounded to 0 or 1."""
    xp = array_namespace(y)
    columns = list(xp.unstack(xp.astype(y, real_dtype(y)), axis=1))
    nothing = xp.full_like(columns[0], -math.inf)  # log(0)
    # For each class, the logarithm of the sum of exp(y) over the classes before it, and after it.
    before = accumulate(columns[:-1], _log_add, initial=nothing)
    after = reversed([*accumulate(columns[:0:-1], _log_add, initial=nothing)])
    odds = [own - _log_add(b, a) for own, b, a in zip(columns, before, after, strict=True)]
    return xp.stack(odds, axis=1)


def _log_add(a: Array, b: Array) -> Array:
    """log(exp(a) + exp(b)), without a warning of NumPy for NaN."""
    return logsumexp(array_namespace(a, b).stack([a, b]), axis=0)


def _pair_auc(y: Array, members: list[Array], i: int, j: int) -> Array:
    """The mean of the areas of class i against class j, and of class j against class i."""
    score_i = y[:, i]
    score_j = y[:, j]
    i_against_j = _auc(score_i[members[i]], score_i[members[j]])
    j_against_i = _auc(score_j[members[j]], score_j[members[i]])
    return 0.5 * (i_against_j + j_against_i)


def _auc(high: Array, low: Array) -> Array:
    """The probability that one of `high` is above one of `low`; equal ones count as one half."""
    xp = array_namespace(high, low)
    dtype = real_dtype(high)
    if not high.shape[0] or not low.shape[0]:
        return xp.sum(xp.astype(high, dtype)) + xp.nan
    ordered = xp.sort(low)
    below = xp.searchsorted(ordered, high, side="left")
    not_above = xp.searchsorted(ordered, high, side="right")
    # Divided before the mean: a sum of counts would not fit in 32 bits, as in JAX's integers.
    both = xp.astype(below, dtype) + xp.astype(not_above, dtype)
    area = xp.mean(both / (2.0 * low.shape[0]))
    has_nan = xp.any(xp.isnan(high)) | xp.any(xp.isnan(low))
    return xp.where(has_nan, xp.full_like(area, xp.nan), area)
