"""Regression: predicted against actual values."""

import math
from typing import TYPE_CHECKING

from xpnet._typing import Array, PathLike
from xpnet.backend import to_numpy
from xpnet.errors import ShapeError
from xpnet.plots._style import BLUE, INK, figure_of, finished, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def predictions(y: Array, t: Array, path: PathLike | None = None) -> "Figure":
    """Predicted against actual values, and the errors against the predictions.

    Parameters
    ----------
    y, t : array, any shape
        Predictions and targets, of the same shape. All columns are drawn together.
    path : str or path-like, optional
        Where to write the plot, as PNG, PDF or SVG by its suffix.

    Returns
    -------
    matplotlib.figure.Figure
        Correct predictions lie on the line. NaN and infinite values are left out.

    Raises
    ------
    ShapeError
        The shapes differ.
    ModuleNotFoundError
        matplotlib is not installed.

    Examples
    --------
    >>> from xpnet import functions as F, plots
    >>> figure = plots.predictions(F.asarray([1.5, 2.0, 4.0]), F.asarray([1.0, 2.0, 5.0]))
    >>> left, right = figure.axes
    >>> right.collections[0].get_offsets().tolist()  # each prediction, and its error
    [[1.5, 0.5], [2.0, 0.0], [4.0, -1.0]]
    """
    y = to_numpy(y)
    t = to_numpy(t)
    if y.shape != t.shape:
        raise ShapeError(f"Expected y and t of the same shape, got {y.shape} and {t.shape}.")
    pairs = zip(y.reshape(-1).tolist(), t.reshape(-1).tolist(), strict=True)
    finite = [(a, b) for a, b in pairs if math.isfinite(a) and math.isfinite(b)]
    predicted = [a for a, _ in finite]
    actual = [b for _, b in finite]
    errors = [a - b for a, b in finite]
    figure = figure_of(9.2, 4.2)
    left, right = figure.subplots(1, 2)
    if len(finite) > 300:  # many points: small, transparent, and as pixels also in PDF and SVG
        style = {"s": 10, "alpha": 0.35, "rasterized": True}
    else:
        style = {"s": 18, "alpha": 0.7}
    left.scatter(actual, predicted, linewidths=0, color=BLUE, **style)
    right.scatter(predicted, errors, linewidths=0, color=BLUE, **style)
    ends = [min([*predicted, *actual], default=0.0), max([*predicted, *actual], default=1.0)]
    left.plot(ends, ends, color=INK, linewidth=1.0, label="correct")
    left.legend(frameon=False, loc="upper left")
    right.axhline(0.0, color=INK, linewidth=1.0)
    plain(left, "actual", "predicted")
    plain(right, "predicted", "error: predicted \N{MINUS SIGN} actual")
    return finished(figure, path)
