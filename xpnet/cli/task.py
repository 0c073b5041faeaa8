"""Tasks: what a network is asked for, how its answer is judged, and how that is told."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xpnet.autodiff.namespace import array_namespace


def loss_of(task: str) -> Callable[[Any, Any], Any]:
    """The loss: cross entropy of classes, mean squared error of standardised numbers."""
    from xpnet import functions as F

    return F.mean_squared_error if task == "regress" else F.softmax_cross_entropy


def metrics_of(task: str, reading: Mapping[str, Any]) -> list[Any]:
    """What else to measure; errors in the units of the targets, as they are in the file."""
    from xpnet.metrics import R2, accuracy

    if task == "classify":
        return [accuracy]
    return [R2(), error_in(reading["targets"]["scale"])]


def error_in(scale: Sequence[float]) -> Callable[[Any, Any], Any]:
    """The mean absolute error of standardised numbers, in the units that they had before."""
    from xpnet.metrics import mean_absolute_error as error

    def absolute_error(y: Any, t: Any) -> Any:
        xp = array_namespace(y, t)
        columns = [u * error(y[:, i], t[:, i]) for i, u in enumerate(scale)]
        return xp.sum(xp.stack(columns)) / len(columns)

    return absolute_error


def told(task: str, figures: Mapping[str, Any]) -> str:
    """The result of a test, in a few words."""
    if task == "classify":
        return f"accuracy {figures['accuracy']:.2%}"
    from xpnet.report.page import number

    return f"R2 {figures['r2']:.4f}, mean absolute error {number(figures['absolute_error'])}"
