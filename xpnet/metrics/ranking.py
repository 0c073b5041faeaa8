"""How well scores put samples in order, whatever the threshold."""

from itertools import combinations
from typing import Any

from xpnet._libraries.devices import follows
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import data_of
from xpnet.errors import ArgumentError, DataError, ShapeError
from xpnet.metrics._labels import integers, real_dtype

AVERAGES = {"ovr": ("macro", "micro", "weighted", None), "ovo": ("macro", "weighted")}


@follows
def roc_auc(y: Array, t: Array, average: str | None = "macro", multi_class: str = "ovr") -> Array:
    """The area under the receiver operating characteristic.

    It is the chance that of two samples, one of the class and one not, the first has the higher
    score; equal scores count a half: the statistic of Mann and Whitney (1947), Hanley and McNeil
    (1982). It needs order alone, so logits and probabilities of two classes give the same.

    Parameters
    ----------
    y : array or Variable
        Of two classes: scores of class 1, shape (n,) or (n, 1); or (n, 2), of which column 1
        counts. Of more: shape (n, classes), probabilities.
    t : array or Variable, shape (n,), (n, 1) or (n, classes)
        Class numbers, or one-hot rows. Of two classes, the other one may also be -1.
    average : {"macro", "micro", "weighted", None}
        Of more than two classes: the plain mean; all columns as one; the mean weighted by how
        often a class occurs; with "ovr", None gives each class, shape (classes,).
    multi_class : {"ovr", "ovo"}
        "ovr": each class against all others. "ovo": each pair of classes by itself, both ways
        (Hand and Till, 2001).

    Returns
    -------
    array, shape () or (classes,)
        NaN where there are no two samples to compare (a class that is absent or alone), and where a
        score is NaN.

    Raises
    ------
    ShapeError
        The shapes do not fit.
    DataError
        A number in t names no class.
    ValueError
        There is no such average or way.
    """
    if average not in AVERAGES.get(multi_class, ()):
        raise ArgumentError(
            f"roc_auc expected multi_class and average of {AVERAGES}, got {multi_class!r} and "
            f"{average!r}."
        )
    y, t = _fitting(data_of(y), data_of(t))
    xp, classes = array_namespace(y, t), y.shape[-1]
    if classes <= 2:
        score, positive = y[:, classes - 1], t == 1
        return _auc(score[positive], score[~positive])
    if average == "micro":
        own = xp.stack([t == c for c in range(classes)], axis=-1)
        return _auc(y[own], y[~own])
    of = [t == c for c in range(classes)]
    sizes = [int(xp.sum(xp.astype(own, xp.int32))) for own in of]
    columns = [y[:, c] for c in range(classes)]
    if multi_class == "ovr":
        areas = [_auc(x[own], x[~own]) for x, own in zip(columns, of, strict=True)]
        weights = [float(size) for size in sizes]
    else:
        pairs = list(combinations(range(classes), 2))
        areas = [
            0.5
            * (
                _auc(columns[i][of[i]], columns[i][of[j]])
                + _auc(columns[j][of[j]], columns[j][of[i]])
            )
            for i, j in pairs
        ]
        weights = [float(sizes[i] + sizes[j]) for i, j in pairs]
    if average is None:
        return xp.stack(areas)
    if average == "macro":
        weights = [1.0] * len(areas)
    total = sum(area * weight for area, weight in zip(areas, weights, strict=True))
    return total / max(sum(weights), 1.0)


def _fitting(y: Array, t: Array) -> tuple[Any, Any]:
    """Scores as columns, and class numbers of shape (n,)."""
    xp, shapes = array_namespace(y, t), (tuple(y.shape), tuple(t.shape))
    if t.ndim == 2:
        t = t[:, 0] if t.shape[1] == 1 else xp.argmax(t, axis=1) if t.shape == y.shape else t
    if y.ndim == 1:
        y = y[:, None]
    if y.ndim != 2 or tuple(t.shape) != (y.shape[0],) or y.shape[1] == 0:
        raise ShapeError(
            "roc_auc expected y of shape (n,) or (n, classes) and t of shape (n,), got "
            f"{shapes[0]} and {shapes[1]}."
        )
    t, last = integers(t), max(y.shape[1] - 1, 1)
    if bool(xp.any((t > last) | (t < (-1 if last == 1 else 0)))):
        raise DataError(f"roc_auc expected class numbers from 0 to {last}; t has others.")
    return (y if has_dtype(y, "real floating") else xp.astype(y, xp.float32)), t


def _auc(high: Any, low: Any) -> Any:
    """The chance that one of `high` is above one of `low`; equal ones count a half."""
    xp, dtype = array_namespace(high, low), real_dtype(high)
    if not high.shape[0] or not low.shape[0]:
        return xp.sum(xp.astype(high, dtype)) + xp.nan
    ordered = xp.sort(low)
    below = xp.searchsorted(ordered, high, side="left")
    upto = xp.searchsorted(ordered, high, side="right")
    # Shares before the sum: a sum of counts would leave the 32 bits of JAX's integers.
    area = xp.mean((xp.astype(below, dtype) + xp.astype(upto, dtype)) / (2.0 * low.shape[0]))
    broken = xp.any(xp.isnan(high)) | xp.any(xp.isnan(low))
    return xp.where(broken, xp.full_like(area, xp.nan), area)
