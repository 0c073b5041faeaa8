"""Metrics of classification: accuracy, the confusion matrix, and rates computed from it."""

import array_api_compat as compat

from xpnet._libraries.devices import follows
from xpnet._typing import Array, DType
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.errors import ArgumentError, ShapeError
from xpnet.metrics._labels import integers, one_hot, predicted_and_actual, real_dtype

AVERAGES = ("binary", "macro", "micro", "weighted", None)
BLOCK = 2**24  # cells of a one-hot table at a time; a sum of that many ones is exact in float32


@follows
def accuracy(y: Array, t: Array) -> Array:
    """The share of samples whose highest score is that of their class.

    Parameters
    ----------
    y : array or Variable, shape (..., classes)
        Scores or probabilities.
    t : array or Variable, shape (...) or (..., classes)
        Class numbers, or one-hot rows.

    Returns
    -------
    array, shape ()
        From 0 to 1; float64 for float64 scores, else float32. The first of several equal scores
        counts as the highest.

    Raises
    ------
    ShapeError
        The shapes do not fit, or there is only one column, in which the highest score means nothing.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> float(xpnet.metrics.accuracy(F.asarray([[0.2, 0.8], [0.9, 0.1]]), F.asarray([1, 1])))
    0.5
    """
    y, t = _scores("accuracy", y, t)
    xp = array_namespace(y, t)
    best = xp.argmax(y, axis=-1)
    if t.dtype != best.dtype:
        t = xp.astype(t, best.dtype)
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
        At least 1. With k = 1 this is the accuracy; with all classes it is 1.

    Returns
    -------
    array, shape ()
        From 0 to 1. The first of several equal scores counts as the highest, as in `accuracy`
        (scikit-learn takes the last). NaN counts as higher than all other scores, but a sample whose
        class has the score NaN counts as not found.

    Raises
    ------
    ShapeError
        The shapes do not fit.
    ValueError
        k is below 1.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> float(xpnet.metrics.top_k_accuracy(F.asarray([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]]), F.asarray([1, 2]), k=2))
    0.5
    """
    if k < 1:
        raise ArgumentError(f"Expected k >= 1, got {k}.")
    y, t = _scores("top_k_accuracy", y, t)
    xp = array_namespace(y, t)
    t = integers(t)[..., None]
    classes = xp.arange(y.shape[-1], dtype=xp.int32, device=compat.device(t))
    is_own = t == classes
    own_score = xp.sum(xp.where(is_own, y, xp.zeros_like(y)), axis=-1, keepdims=True, dtype=y.dtype)
    # The standard has no top-k: count the scores that are higher.
    is_behind = (y < own_score) | ((y == own_score) & (classes >= t)) | is_own
    rank = xp.sum(xp.astype(~is_behind, xp.int32), axis=-1)
    found = (rank < k) & xp.any(is_own, axis=-1)
    found = found & ~xp.any(is_own & (y != y), axis=-1)  # noqa: PLR0124 - NaN differs from itself
    return xp.mean(xp.astype(found, real_dtype(y)))


@follows
def confusion_matrix(
    y: Array, t: Array, classes: int | None = None, threshold: float = 0.5
) -> Array:
    """How many samples of each class were predicted as each class.

    Parameters
    ----------
    y : array or Variable
        Shape (..., classes): scores or probabilities; the class with the highest is predicted, and
        the first of equal ones. Or, for two classes, floating-point scores of class 1, of the shape of
        t or with one column more. Or class numbers, integers of shape (n,).
    t : array or Variable, shape (...) or (..., classes)
        Class numbers, or one-hot rows.
    classes : int, optional
        The number of classes, if y has class numbers; by default one more than the highest.
    threshold : float
        Class 1 is predicted if its score is above it: 0.5 for probabilities, 0.0 for logits.

    Returns
    -------
    array of integers, shape (classes, classes)
        At [i, j] the number of samples of class i for which j was predicted. A sample with an
        invalid class number is not counted.

    Raises
    ------
    ShapeError
        The shapes do not fit.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> xpnet.metrics.confusion_matrix(F.asarray([[0.2, 0.8], [0.9, 0.1]]), F.asarray([1, 1])).tolist()
    [[0, 0], [1, 1]]
    """
    predicted, actual, classes = predicted_and_actual("confusion_matrix", y, t, classes, threshold)
    xp = array_namespace(predicted, actual)
    n = actual.shape[0]
    step = max(1, BLOCK // classes)
    blocks = []
    for i in range(0, max(n, 1), step):  # at least one block, so that there is a sum
        rows = slice(i, min(i + step, n))
        # The standard has no bincount: a product of one-hot tables counts the pairs of classes.
        actual_table = xp.astype(one_hot(actual[rows], classes), xp.float32)
        predicted_table = xp.astype(one_hot(predicted[rows], classes), xp.float32)
        blocks.append(xp.astype(xp.matmul(actual_table.T, predicted_table), xp.int32))
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
    """tp / (tp + fp): the share of the samples predicted as a class that are of this class.

    tp is the number of true positives, samples of the class that were predicted as it; fp that of
    false positives, samples of other classes that were.

    Parameters
    ----------
    y, t : array or Variable
        As for `confusion_matrix`.
    average : {"binary", "macro", "micro", "weighted", None}
        "binary": for class 1 of two. "macro": the mean over the classes that occur in t or were
        predicted. "micro": for all samples together. "weighted": the mean weighted by how often a
        class occurs in t. None: for each class, shape (classes,).
    zero_division : float
        The value where the denominator is zero. With NaN, such classes are left out of the mean.
    threshold : float
        Where scores have no axis of classes, class 1 is predicted if its score is above it.
    classes : int, optional
        The number of classes, if y has class numbers.

    Returns
    -------
    array, shape () or (classes,)

    Raises
    ------
    ShapeError
        The shapes do not fit, or the average is "binary" and there are not two classes.
    ValueError
        The average is unknown.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> float(xpnet.metrics.precision(F.asarray([[0.2, 0.8], [0.9, 0.1], [0.3, 0.7]]), F.asarray([1, 1, 0])))
    0.5
    """
    return _from_scores("precision", y, t, average, zero_division, threshold, classes)


@follows
def recall(
    y: Array,
    t: Array,
    average: str | None = "binary",
    zero_division: float = 0.0,
    threshold: float = 0.5,
    classes: int | None = None,
) -> Array:
    """tp / (tp + fn): the share of the samples of a class that were predicted as it.

    tp is the number of true positives, the samples that were; fn that of false negatives, those that
    were not.

    Parameters
    ----------
    y, t : array or Variable
        As for `confusion_matrix`.
    average : {"binary", "macro", "micro", "weighted", None}
    zero_division : float, default 0.0
    threshold : float, default 0.5
    classes : int, optional
        These are as for `precision`.

    Returns
    -------
    array, shape () or (classes,)

    Raises
    ------
    ShapeError, ValueError
        As for `precision`.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> float(xpnet.metrics.recall(F.asarray([[0.2, 0.8], [0.9, 0.1], [0.3, 0.7]]), F.asarray([1, 1, 0])))
    0.5
    """
    return _from_scores("recall", y, t, average, zero_division, threshold, classes)


@follows
def f1(
    y: Array,
    t: Array,
    average: str | None = "binary",
    zero_division: float = 0.0,
    threshold: float = 0.5,
    classes: int | None = None,
) -> Array:
    """2 tp / (2 tp + fp + fn): the harmonic mean of precision and recall.

    Source: C. J. van Rijsbergen, Information Retrieval, 2nd ed., 1979, chapter 7.

    Parameters
    ----------
    y, t : array or Variable
        As for `confusion_matrix`.
    average : {"binary", "macro", "micro", "weighted", None}
    zero_division : float, default 0.0
    threshold : float, default 0.5
    classes : int, optional
        These are as for `precision`.

    Returns
    -------
    array, shape () or (classes,)

    Raises
    ------
    ShapeError, ValueError
        As for `precision`.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> float(xpnet.metrics.f1(F.asarray([[0.2, 0.8], [0.9, 0.1], [0.3, 0.7]]), F.asarray([1, 1, 0])))
    0.5
    """
    return _from_scores("f1", y, t, average, zero_division, threshold, classes)


def _from_scores(
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


def rate(
    name: str, counts: Array, average: str | None, zero_division: float, dtype: DType
) -> Array:
    """Precision, recall or F1 of a confusion matrix, in a floating-point dtype."""
    if average not in AVERAGES:
        raise ArgumentError(f"{name} expected an average of {AVERAGES}, got {average!r}.")
    if average == "binary" and counts.shape[0] != 2:
        raise ShapeError(
            f"{name} with average='binary' is for two classes, got {counts.shape[0]}. Choose "
            "average='macro', 'micro', 'weighted', or None for each class."
        )
    xp = array_namespace(counts)
    right = xp.linalg.diagonal(counts)
    actual = xp.sum(counts, axis=1)
    predicted = xp.sum(counts, axis=0)
    if average == "micro":
        right = xp.sum(right, keepdims=True)
        actual = xp.sum(actual, keepdims=True)
        predicted = xp.sum(predicted, keepdims=True)
    numerator, denominator = {
        "precision": (right, predicted),
        "recall": (right, actual),
        "f1": (2 * right, actual + predicted),
    }[name]
    rates = _divided(numerator, denominator, zero_division, dtype)
    if average is None:
        return rates
    if average == "binary":
        return rates[1]
    if average == "micro":
        return rates[0]
    occurs = actual + predicted > 0
    weights = xp.astype(occurs & ~xp.isnan(rates), dtype)
    if average == "weighted":
        by_class = weights * xp.astype(actual, dtype)
        # If all of these weights are 0, the mean is the plain one, as in scikit-learn.
        weights = xp.where(xp.any(by_class > 0.0), by_class, weights)
    rates = xp.where(xp.isnan(rates), xp.zeros_like(rates), rates)
    return _divided(xp.sum(rates * weights), xp.sum(weights), zero_division, dtype)


def _divided(numerator: Array, denominator: Array, zero_division: float, dtype: DType) -> Array:
    """numerator / denominator, and `zero_division` where the denominator is 0."""
    xp = array_namespace(numerator)
    is_zero = denominator == 0
    divisor = xp.where(is_zero, xp.ones_like(denominator), denominator)
    quotient = xp.astype(numerator, dtype) / xp.astype(divisor, dtype)
    return xp.where(is_zero, xp.full_like(quotient, float(zero_division)), quotient)


def _scores(name: str, y: Array, t: Array) -> tuple[Array, Array]:
    """Scores and class numbers, of shapes that fit."""
    y = data_of(y)
    t = data_of(t)
    shape = tuple(y.shape)
    if not shape or shape[-1] < 2 or tuple(t.shape) not in (shape, shape[:-1]):
        raise ShapeError(
            f"{name} expected scores of two classes or more and t of shape {shape[:-1]} (class "
            f"numbers) or {shape} (one-hot), got y of shape {shape}, t of shape {tuple(t.shape)}."
        )
    if t.ndim == y.ndim:
        t = array_namespace(y, t).argmax(t, axis=-1)
    return y, t
