"""Metrics of regression: mean errors, and the coefficient of determination."""

from typing import NamedTuple

from xpnet._libraries.devices import follows
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.errors import ArgumentError, ShapeError
from xpnet.metrics._labels import real_dtype

AVERAGES = ("uniform", "variance", None)


@follows
def mean_absolute_error(y: Array, t: Array) -> Array:
    """The mean of |y - t| over all numbers.

    Parameters
    ----------
    y, t : array or Variable, of one shape
        Predictions and targets.

    Returns
    -------
    array, shape ()

    Raises
    ------
    ShapeError
        The shapes differ: (n, 1) and (n,) would broadcast to n times n differences.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> float(xpnet.metrics.mean_absolute_error(F.asarray([1.0, 2.0]), F.asarray([1.0, 4.0])))
    1.0
    """
    e = _errors("mean_absolute_error", y, t)
    xp = array_namespace(e)
    return xp.mean(xp.abs(e))


@follows
def mean_squared_error(y: Array, t: Array) -> Array:
    """The mean of (y - t)^2 over all numbers.

    Parameters
    ----------
    y, t : array or Variable, of one shape
        Predictions and targets.

    Returns
    -------
    array, shape ()

    Raises
    ------
    ShapeError
        The shapes differ.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> float(xpnet.metrics.mean_squared_error(F.asarray([1.0, 2.0]), F.asarray([1.0, 4.0])))
    2.0
    """
    e = _errors("mean_squared_error", y, t)
    return array_namespace(e).mean(e * e)


@follows
def r2(y: Array, t: Array, average: str | None = "uniform") -> Array:
    """The coefficient of determination: 1 - sum((t - y)^2) / sum((t - mean(t))^2).

    1 is perfect; 0 is as good as predicting the mean of the targets; less is worse. Source:
    S. Wright, Correlation and causation, 1921.

    Parameters
    ----------
    y, t : array or Variable, of one shape (n, ...)
        Predictions and targets.
    average : {"uniform", "variance", None}
        For several columns: their plain mean, their mean weighted by the variance of the targets,
        or each column's own value.

    Returns
    -------
    array, shape () or (...)
        If all targets are equal: 1 if the predictions are right, else 0. NaN for fewer than two
        samples.

    Raises
    ------
    ShapeError
        The shapes differ.
    ValueError
        The average is unknown.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> float(xpnet.metrics.r2(F.asarray([1.0, 2.0, 4.0]), F.asarray([1.0, 2.0, 3.0])))
    0.5
    """
    return r2_of_moments(*moments(y, t), average=average)


class Moments(NamedTuple):
    """What r2 is computed from; each of the shape of a sample."""

    n: Array  # the number of samples
    mean: Array  # the mean of the targets
    squares: Array  # the sum of (t - mean)^2
    errors: Array  # the sum of (y - t)^2


def moments(y: Array, t: Array) -> Moments:
    """The moments of a batch."""
    e = _errors("r2", y, t)
    t = data_of(t)
    if t.ndim == 0:
        raise ShapeError("r2 expected y and t of shape (n, ...), got a single number.")
    xp = array_namespace(e)
    t = xp.astype(t, e.dtype)
    zero = xp.zeros_like(xp.sum(e, axis=0))
    if t.shape[0] == 0:
        return Moments(zero, zero, zero, zero)
    # Relative to the first target: then equal targets have no variance at all, and large ones do
    # not lose theirs to rounding.
    shifted = t - t[:1, ...]
    mean = xp.mean(shifted, axis=0)
    return Moments(
        n=zero + float(t.shape[0]),
        mean=mean + t[0, ...],
        squares=xp.sum((shifted - mean) ** 2.0, axis=0),
        errors=xp.sum(e * e, axis=0),
    )


def merged(a: tuple[Array, ...], b: tuple[Array, ...]) -> Moments:
    """The moments of two batches together, without cancellation: Chan, Golub and LeVeque, 1979."""
    a = Moments(*a)
    b = Moments(*b)
    xp = array_namespace(a.n)
    n = a.n + b.n
    share = b.n / xp.where(n > 0.0, n, xp.ones_like(n))
    difference = b.mean - a.mean
    return Moments(
        n=n,
        mean=a.mean + difference * share,
        squares=a.squares + b.squares + difference * difference * (a.n * share),
        errors=a.errors + b.errors,
    )


def r2_of_moments(
    n: Array, mean: Array, squares: Array, errors: Array, average: str | None
) -> Array:
    """R2, computed from the moments of all samples."""
    if average not in AVERAGES:
        raise ArgumentError(f"r2 expected an average of {AVERAGES}, got {average!r}.")
    xp = array_namespace(n)
    is_constant = squares == 0.0
    score = 1.0 - errors / xp.where(is_constant, xp.ones_like(squares), squares)
    is_right = xp.astype(errors == 0.0, score.dtype)
    score = xp.where(is_constant, is_right, score)
    score = xp.where(n < 2.0, xp.full_like(score, xp.nan), score)
    if average is None:
        return score
    if average == "uniform":
        return xp.mean(score)
    total = xp.sum(squares)
    weighted = xp.sum(score * squares) / xp.where(total == 0.0, xp.ones_like(total), total)
    return xp.where(total == 0.0, xp.mean(score), weighted)


def _errors(name: str, y: Array, t: Array) -> Array:
    """y - t in the dtype of the metric."""
    y = data_of(y)
    t = data_of(t)
    if tuple(y.shape) != tuple(t.shape):
        raise ShapeError(
            f"{name} expected y and t of one shape, got {tuple(y.shape)} and {tuple(t.shape)}."
        )
    xp = array_namespace(y, t)
    dtype = real_dtype(y)
    return xp.astype(y, dtype) - xp.astype(t, dtype)
