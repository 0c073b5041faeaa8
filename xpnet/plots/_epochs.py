"""The course of a training: loss and metrics by epoch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from xpnet._typing import PathLike
from xpnet.plots._names import drawn
from xpnet.plots._style import BLUE, TEST, TRAIN, figure_of, finished, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xpnet.training.history import History

_LABELS = {"accuracy": "accuracy (%)", "loss": "loss (mean over samples)", "r2": "R²"}


def curves(
    history: "History",
    path: PathLike | None = None,
    names: Sequence[str] | None = None,
) -> "Figure":
    """Loss and metrics by epoch, of training, validation and test.

    Parameters
    ----------
    history : History
        The loss and each metric have a panel. A metric called "accuracy" is drawn in per cent.
    path : str or path-like, optional
        Where to write the plot, as PNG, PDF or SVG by its suffix.
    names : sequence of str, optional
        What to draw, such as "loss" or "accuracy"; by default everything.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed.
    """
    if not names:
        names = [c.removeprefix("train_") for c in history.columns if c.startswith("train_")]
    if not names:  # no epoch was finished: one empty panel
        names = ["loss"]
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    figure = figure_of(4.6 * columns, 3.6 * rows)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    labels, style = drawn(_LABELS.get(name, name.replace("_", " ")) for name in names)
    for axes, name, label in zip(panels, names, labels, strict=False):
        _draw_panel(axes, history, name)
        axes.set_ylabel(label, **style)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    return finished(figure, path)


def _draw_panel(axes: "Axes", history: "History", name: str) -> None:
    """Draw one metric, of each part of the data."""
    from matplotlib.ticker import MaxNLocator

    for part, color in (("train", TRAIN), ("validation", BLUE), ("test", TEST)):
        column = f"{part}_{name}"
        if column in history:
            _draw_curve(axes, history["epoch"], history[column], part, name, color)
    plain(axes, "epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if len(history):
        axes.legend(frameon=False, title="after the last epoch", alignment="left")
    else:
        axes.text(0.5, 0.5, "no epoch was finished", transform=axes.transAxes, ha="center")


def _draw_curve(
    axes: "Axes", epochs: Sequence[float], values: Sequence[float], part: str, name: str, color: str
) -> None:
    """Draw the values of one metric; the legend shows the last one."""
    if name == "accuracy":
        values = [100.0 * value for value in values]
        label = f"{part}, {values[-1]:.2f} %"
    elif abs(values[-1]) >= 1e4:
        label = f"{part}, {values[-1]:,.0f}"
    else:
        label = f"{part}, {values[-1]:.4f}"
    marker = "o" if len(values) <= 40 else ""
    axes.plot(epochs, values, ls="-", marker=marker, ms=3.5, color=color, label=label)
