"""How far numbers are from those that they should be."""

from typing import Any

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
    """
    e = _errors("mean_absolute_error", y, t)
    xp = array_namespace(e)
    return xp.mean(xp.abs(e))


@follows
def mean_squared_error(y: Array, t: Array) -> Array:
    """The mean of (y - t)^2 over all numbers. Else as `mean_absolute_error`."""
    e = _errors("mean_squared_error", y, t)
    return array_namespace(e).mean(e * e)


@follows
def r2(y: Array, t: Array, average: str | None = "uniform") -> Array:
    """The coefficient of determination: 1 - sum((t - y)^2) / sum((t - mean(t))^2).

    1 is perfect; 0 is as good as the mean of the targets, and less is worse. Source: S. Wright,
    Correlation and causation, 1921.

    Parameters
    ----------
    y, t : array or Variable, of one shape (n, ...)
        Predictions and targets.
    average : {"uniform", "variance", None}
        Over the columns, where there are several: the plain mean, the mean weighted by the targets'
        variance, or each column's own.

    Returns
    -------
    array, shape () or (...)
        Of targets that are all the same: 1 where the predictions are right, else 0. NaN of fewer
        than two samples.

    Raises
    ------
    ShapeError
        The shapes differ.
    ValueError
        There is no such average.
    """
    return of_moments(*moments(y, t), average=average)


def moments(y: Array, t: Array) -> tuple[Any, Any, Any, Any]:
    """Of each column: how many samples; the targets' mean and their squares about it; squared errors."""
    e, (y, t) = _errors("r2", y, t), (data_of(y), data_of(t))
    if t.ndim == 0:
        raise ShapeError("r2 expected y and t of shape (n, ...), got a single number.")
    xp, n = array_namespace(e), t.shape[0]
    t = xp.astype(t, e.dtype)
    zero = xp.zeros_like(xp.sum(e, axis=0))
    if n == 0:
        return zero, zero, zero, zero
    shifted = t - t[:1, ...]  # so that equal targets have no variance at all, and large ones theirs
    mean = xp.mean(shifted, axis=0)
    squares = xp.sum((shifted - mean) ** 2.0, axis=0)
    return zero + float(n), mean + t[0, ...], squares, xp.sum(e * e, axis=0)


def merged(a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
    """The moments of two batches together: Chan, Golub and LeVeque, 1979; nothing cancels."""
    (n, mean, squares, errors), (m, mean_b, squares_b, errors_b) = a, b
    xp = array_namespace(n)
    total = xp.where(n + m > 0.0, n + m, xp.ones_like(n))
    difference = mean_b - mean
    return (
        n + m,
        mean + difference * (m / total),
        squares + squares_b + difference * difference * (n * (m / total)),
        errors + errors_b,
    )


def of_moments(n: Any, mean: Array, squares: Any, errors: Any, average: str | None) -> Array:
    """R2 of the moments of all samples."""
    if average not in AVERAGES:
        raise ArgumentError(f"r2 expected an average of {AVERAGES}, got {average!r}.")
    xp = array_namespace(n)
    constant = squares == 0.0
    score = 1.0 - errors / xp.where(constant, xp.ones_like(squares), squares)
    flat = xp.astype(errors == 0.0, score.dtype)
    score = xp.where(constant, flat, score)
    score = xp.where(n < 2.0, xp.full_like(score, xp.nan), score)
    if average is None:
        return score
    if average == "uniform":
        return xp.mean(score)
    total = xp.sum(squares)
    weighted = xp.sum(score * squares) / xp.where(total == 0.0, xp.ones_like(total), total)
    return xp.where(total == 0.0, xp.mean(score), weighted)


def _errors(name: str, y: Array, t: Array) -> Array:
    y, t = data_of(y), data_of(t)
    if tuple(y.shape) != tuple(t.shape):
        raise ShapeError(
            f"{name} expected y and t of one shape, got {tuple(y.shape)} and {tuple(t.shape)}."
        )
    xp, dtype = array_namespace(y, t), real_dtype(y)
    return xp.astype(y, dtype) - xp.astype(t, dtype)
