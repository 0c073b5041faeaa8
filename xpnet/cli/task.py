"""Tasks: the loss, the metrics and the result line of a classification or a regression."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from xpnet._printable import counted, spoken
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace


def loss_of(task: str, class_weights: Sequence[float] | None = None) -> Callable[[Any, Any], Any]:
    """The loss: cross entropy for classes, which may have weights; or mean squared error for standardised numbers."""
    from xpnet import functions as F
    from xpnet.backend import current

    if task == "regress":
        return F.mean_squared_error
    if class_weights is None:
        return F.softmax_cross_entropy
    return partial(F.softmax_cross_entropy, weight=current().asarray(class_weights))


def metrics_of(task: str, reading: Mapping[str, Any]) -> list[Any]:
    """The metrics; errors are in the units of the targets in the file."""
    from xpnet.metrics import R2, accuracy

    if task == "classify":
        return [accuracy]
    return [R2(), error_in(reading["targets"]["scale"])]


def error_in(scale: Sequence[float]) -> Callable[[Array, Array], Array]:
    """The metric mean absolute error, for standardised numbers, in their original units.

    Parameters
    ----------
    scale : sequence of float
        The standard deviation by which each column of the targets was divided.
    """
    from xpnet.metrics import mean_absolute_error as error

    def absolute_error(y: Array, t: Array) -> Array:
        xp = array_namespace(y, t)
        columns = [unit * error(y[:, i], t[:, i]) for i, unit in enumerate(scale)]
        return xp.sum(xp.stack(columns)) / len(columns)

    return absolute_error


def result_line(task: str, figures: Mapping[str, float]) -> str:
    """The result of a test, as the commands print it."""
    if task == "classify":
        return f"accuracy {figures['accuracy']:.2%}"
    from xpnet.report.page import number

    name = spoken("r2", plain=True)
    return f"{name} {figures['r2']:.4f}, mean absolute error {number(figures['absolute_error'])}"


FEW = 1000  # test samples, below which it is said how uncertain an accuracy is


def uncertainty(task: str, figures: Mapping[str, float], samples: int) -> str:
    """How uncertain an accuracy on few samples is, as a line; empty if they are many.

    It is Wilson's interval, in which the accuracy on other samples of the same kind lies with a
    probability of 95 %.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    if task != "classify" or samples >= FEW:
        return ""
    z = 1.96
    p = figures["accuracy"]
    center = p + z * z / (2 * samples)
    half = z * math.sqrt(p * (1 - p) / samples + (z / (2 * samples)) ** 2)
    low, high = ((center + sign * half) / (1 + z * z / samples) for sign in (-1, 1))
    return f"With {counted(samples, 'test sample')}, the 95% interval of the accuracy is {low:.1%} to {high:.1%}."
