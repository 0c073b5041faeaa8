"""Right or wrong, by class."""

from typing import Any

import array_api_compat as compat

from xpnet._libraries.devices import follows
from xpnet._typing import Array, DType
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.errors import ArgumentError, ShapeError
from xpnet.metrics._labels import chosen_and_actual, integers, one_hot, real_dtype

AVERAGES = ("binary", "macro", "micro", "weighted", None)
BLOCK = 2**24  # cells of a one-hot table; also, sums of ones in float32 are exact up to it


@follows
def accuracy(y: Array, t: Array) -> Array:
    """The share of samples whose highest score is at their class.

    Parameters
    ----------
    y : array or Variable, shape (..., classes)
        Scores or probabilities.
    t : array or Variable, shape (...) or (..., classes)
        Class numbers, or one-hot rows.

    Returns
    -------
    array, shape ()
        From 0 to 1; float64 of float64 scores, else float32. The first of several equal scores
        counts as the highest.

    Raises
    ------
    ShapeError
        The shapes do not fit, or there is one column alone, whose highest score is always the same.
    """
    y, t = _scores("accuracy", y, t)
    xp = array_namespace(y, t)
    best = xp.argmax(y, axis=-1)
    t = t if t.dtype == best.dtype else xp.astype(t, best.dtype)
    return xp.mean(xp.astype(best == t, real_dtype(y)))


@follows
def top_k_accuracy(y: Array, t: Array, k: int = 5) -> Array:
    """The share of samples whose class is among the k highest scores.

    Parameters
    ----------
    y : array or Variable, shape (..., classes)
        Scores or probabilities.
    t : array or Variable, shape (...) or (..., classes)
        Class numbers, or one-hot rows.
    k : int
        From 1 on. With 1 this is the accuracy; with all classes it is 1.

    Returns
    -------
    array, shape ()
        From 0 to 1. Of several equal scores the first counts as the highest, as in `accuracy`
        (scikit-learn takes the last); one that is NaN counts as higher than all others, and the
        class whose score it is as not found.

    Raises
    ------
    ShapeError
        The shapes do not fit.
    ValueError
        k is below 1.
    """
    if k < 1:
        raise ArgumentError(f"Expected k >= 1, got {k}.")
    y, t = _scores("top_k_accuracy", y, t)
    xp, classes, t = array_namespace(y, t), y.shape[-1], integers(t)
    every = xp.arange(classes, dtype=xp.int32, device=compat.device(t))
    own = t[..., None] == every
    score = xp.sum(xp.where(own, y, xp.zeros_like(y)), axis=-1, keepdims=True, dtype=y.dtype)
    behind = (y < score) | ((y == score) & (every >= t[..., None])) | own
    rank = xp.sum(xp.astype(~behind, xp.int32), axis=-1)
    found = (rank < k) & xp.any(own, axis=-1)
    found = found & ~xp.any(own & (y != y), axis=-1)  # noqa: PLR0124 - NaN differs from itself
    return xp.mean(xp.astype(found, real_dtype(y)))


@follows
def confusion_matrix(
    y: Array, t: Array, classes: int | None = None, threshold: float = 0.5
) -> Array:
    """How often each class was taken for each.

    Parameters
    ----------
    y : array or Variable
        Shape (..., classes): scores or probabilities, of which the first highest is chosen. Or, of
        two classes, floating-point scores of class 1, of the shape of t or with one column. Or
        class numbers, integers of shape (n,).
    t : array or Variable, shape (...) or (..., classes)
        Class numbers, or one-hot rows.
    classes : int, optional
        How many there are, where y has class numbers; else one more than the highest is taken.
    threshold : float
        Above it a score of class 1 chooses it: 0.5 of probabilities, 0.0 of logits.

    Returns
    -------
    array of integers, shape (classes, classes)
        At [i, j] the number of samples of class i for which j was chosen. A number that names no
        class is not counted.

    Raises
    ------
    ShapeError
        The shapes do not fit.
    """
    chosen, actual, classes = chosen_and_actual("confusion_matrix", y, t, classes, threshold)
    xp, n = array_namespace(chosen, actual), actual.shape[0]
    step = max(1, BLOCK // classes)
    blocks = []
    for i in range(0, max(n, 1), step):  # no block at all would have no sum
        rows = slice(i, min(i + step, n))
        a, c = (xp.astype(one_hot(x[rows], classes), xp.float32) for x in (actual, chosen))
        blocks.append(xp.astype(xp.matmul(a.T, c), xp.int32))
    return xp.sum(xp.stack(blocks), axis=0)  # in the library's widest default integers


@follows
def precision(
    y: Array,
    t: Array,
    average: str | None = "binary",
    zero_division: float = 0.0,
    threshold: float = 0.5,
    classes: int | None = None,
) -> Array:
    """tp / (tp + fp): of the samples that were taken for a class, the share that are of it.

    Parameters
    ----------
    y, t : array or Variable
        As for `confusion_matrix`.
    average : {"binary", "macro", "micro", "weighted", None}
        "binary": of class 1, where there are two. "macro": the mean over the classes that occur in
        t or were chosen. "micro": of all samples together. "weighted": the mean weighted by how
        often a class occurs in t. None: of each class, shape (classes,).
    zero_division : float
        The value where the denominator is zero; a mean leaves nan out.
    threshold : float
        Above it a score of class 1 chooses it, where scores have no axis of classes.
    classes : int, optional
        How many there are, where y has class numbers.

    Returns
    -------
    array, shape () or (classes,)

    Raises
    ------
    ShapeError
        The shapes do not fit, or "binary" is asked of another number of classes.
    ValueError
        There is no such average.
    """
    return of_counts("precision", y, t, average, zero_division, threshold, classes)


@follows
def recall(
    y: Array,
    t: Array,
    average: str | None = "binary",
    zero_division: float = 0.0,
    threshold: float = 0.5,
    classes: int | None = None,
) -> Array:
    """tp / (tp + fn): of the samples of a class, the share that was found. Else as `precision`."""
    return of_counts("recall", y, t, average, zero_division, threshold, classes)


@follows
def f1(
    y: Array,
    t: Array,
    average: str | None = "binary",
    zero_division: float = 0.0,
    threshold: float = 0.5,
    classes: int | None = None,
) -> Array:
    """2 tp / (2 tp + fp + fn): the harmonic mean of precision and recall. Else as `precision`.

    Source: C. J. van Rijsbergen, Information Retrieval, 2nd ed., 1979, chapter 7.
    """
    return of_counts("f1", y, t, average, zero_division, threshold, classes)


def of_counts(
    name: str,
    y: Array,
    t: Array,
    average: str | None,
    zero_division: float,
    threshold: float,
    classes: int | None,
) -> Array:
    """Precision, recall or F1, by its name."""
    counts = confusion_matrix(y, t, classes, threshold)
    return rate(name, counts, average, zero_division, real_dtype(data_of(y)))


def rate(name: str, counts: Any, average: str | None, zero_division: float, dtype: DType) -> Any:
    """Precision, recall or F1 of a confusion matrix, in a floating-point dtype."""
    if average not in AVERAGES:
        raise ArgumentError(f"{name} expected an average of {AVERAGES}, got {average!r}.")
    if average == "binary" and counts.shape[0] != 2:
        raise ShapeError(
            f"{name} with average='binary' is of two classes, got {counts.shape[0]}. Choose "
            "average='macro', 'micro', 'weighted', or None for each class."
        )
    xp = array_namespace(counts)
    right, true, named = xp.linalg.diagonal(counts), xp.sum(counts, axis=1), xp.sum(counts, axis=0)
    if average == "micro":
        right, true, named = (xp.sum(x, keepdims=True) for x in (right, true, named))
    over, under = {
        "precision": (right, named),
        "recall": (right, true),
        "f1": (2 * right, true + named),
    }[name]
    empty = under == 0
    share = xp.astype(over, dtype) / xp.astype(xp.where(empty, xp.ones_like(under), under), dtype)
    share = xp.where(empty, xp.full_like(share, float(zero_division)), share)
    if average is None:
        return share
    if average == "binary":
        return share[1]
    if average == "micro":
        return share[0]
    nan, zero = xp.isnan(share), xp.zeros_like(share)
    share = xp.where(nan, zero, share)
    weight = present = xp.astype(~nan & (true + named > 0), dtype)
    if average == "weighted":  # of weights that are all 0, the plain mean, as scikit-learn
        weight = present * xp.astype(true, dtype)
        weight = xp.where(xp.any(weight > 0.0), weight, present)
    total = xp.sum(weight)
    mean = xp.sum(share * weight) / xp.where(total == 0.0, xp.ones_like(total), total)
    return xp.where(total == 0.0, xp.full_like(mean, float(zero_division)), mean)


def _scores(name: str, y: Array, t: Array) -> tuple[Any, Any]:
    """Scores, and class numbers, of shapes that fit."""
    y, t = data_of(y), data_of(t)
    xp, shape = array_namespace(y, t), tuple(y.shape)
    if not shape or shape[-1] < 2 or tuple(t.shape) not in (shape, shape[:-1]):
        raise ShapeError(
            f"{name} expected scores of two classes or more and t of shape {shape[:-1]} (class "
            f"numbers) or {shape} (one-hot), got y of shape {shape}, t of shape {tuple(t.shape)}."
        )
    return y, xp.argmax(t, axis=-1) if t.ndim == y.ndim else t
