"""Regression: what was predicted against what is."""

import os
from typing import TYPE_CHECKING

from xpnet._typing import Array
from xpnet.backend import to_numpy
from xpnet.errors import ShapeError
from xpnet.plots._style import BLUE, INK, figure_of, finished, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def predictions(y: Array, t: Array, path: str | os.PathLike[str] | None = None) -> "Figure":
    """Predicted against actual numbers, and the errors against the predictions.

    Parameters
    ----------
    y, t : array, of one shape
        Predictions and targets; those of several columns are drawn together.
    path : str or path-like, optional
        Where to write the picture, as PNG, PDF or SVG by its suffix.

    Returns
    -------
    matplotlib.figure.Figure
        On the line: right. What is not finite is left out.

    Raises
    ------
    ShapeError
        The shapes differ.
    """
    y, t = to_numpy(y), to_numpy(t)
    if y.shape != t.shape:
        raise ShapeError(f"Expected y and t of one shape, got {y.shape} and {t.shape}.")
    pairs = zip(y.reshape(-1).tolist(), t.reshape(-1).tolist(), strict=True)
    finite = [(a, b) for a, b in pairs if abs(a) < float("inf") and abs(b) < float("inf")]
    predicted, actual = [a for a, _ in finite], [b for _, b in finite]
    figure = figure_of(9.2, 4.2)
    left, right = figure.subplots(1, 2)
    many = len(finite) > 300
    dots = {"s": 10 if many else 18, "alpha": 0.35 if many else 0.7, "linewidths": 0, "color": BLUE}
    left.scatter(actual, predicted, rasterized=many, **dots)
    right.scatter(predicted, [a - b for a, b in finite], rasterized=many, **dots)
    low, high = min([*predicted, *actual], default=0.0), max([*predicted, *actual], default=1.0)
    left.plot([low, high], [low, high], color=INK, linewidth=1.0, label="right")
    left.legend(frameon=False, loc="upper left")
    right.axhline(0.0, color=INK, linewidth=1.0)
    plain(left, "actual", "predicted")
    plain(right, "predicted", "error: predicted \N{MINUS SIGN} actual")
    return finished(figure, path)
