"""The course of a training: loss and metrics by epoch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from xpnet._printable import spoken
from xpnet._typing import PathLike
from xpnet.plots._names import drawn
from xpnet.plots._style import BLUE, INK, TEST, TRAIN, figure_of, finished, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xpnet.training.history import History

_LABELS = {"accuracy": "accuracy (%)", "loss": "loss (mean over samples)"}


def curves(
    history: "History",
    path: PathLike | None = None,
    names: Sequence[str] | None = None,
) -> "Figure":
    """Loss and metrics by epoch, of training, validation and test.

    Parameters
    ----------
    history : History
        The loss and each metric have a panel. A metric called "accuracy" is drawn in per cent. The legend has
        the figures of the last epoch; or, if early stopping has restored the weights of an earlier one
        (``history.kept``), those of that epoch, which a dotted line marks.
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

    Examples
    --------
    >>> from xpnet import plots
    >>> from xpnet.training import History
    >>> history = History()  # as `fit` returns it
    >>> history.append({"epoch": 1, "train_loss": 0.9, "train_accuracy": 0.6, "test_accuracy": 0.5})
    >>> figure = plots.curves(history)
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['loss (mean over samples)', 'accuracy (%)']
    """
    if not names:
        names = [c.removeprefix("train_") for c in history.columns if c.startswith("train_")]
    if not names:  # no epoch was finished: one empty panel
        names = ["loss"]
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    figure = figure_of(4.6 * columns, 4.0 * rows)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    labels, style = drawn(_LABELS.get(name, spoken(name)) for name in names)
    for axes, name, label in zip(panels, names, labels, strict=False):
        _draw_panel(axes, history, name)
        axes.set_ylabel(label, **style)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    return finished(figure, path)


def _draw_panel(axes: "Axes", history: "History", name: str) -> None:
    """Draw one metric, of each part of the data."""
    from matplotlib.ticker import MaxNLocator

    title = "after the last epoch"
    shown = -1
    if history.kept is not None:
        title = f"after epoch {history.kept}, whose weights are kept"
        shown = history.kept - 1
        axes.axvline(history.kept, color=INK, ls=":", lw=1)
    for part, color in (("train", TRAIN), ("validation", BLUE), ("test", TEST)):
        column = f"{part}_{name}"
        if column in history:
            label = f"{part}, {_figure(history[column][shown], name)}"
            _draw_curve(axes, history["epoch"], history[column], label, name, color)
    plain(axes, "epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if len(history):
        # Above the panel, since curves of many epochs leave no free place in it.
        place = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "ncols": 2}
        axes.legend(frameon=False, title=title, alignment="left", **place)
    else:
        axes.text(0.5, 0.5, "no epoch was finished", transform=axes.transAxes, ha="center")


def _draw_curve(
    axes: "Axes",
    epochs: Sequence[float],
    values: Sequence[float],
    label: str,
    name: str,
    color: str,
) -> None:
    """Draw the values of one metric of one part of the data."""
    if name == "accuracy":
        values = [100.0 * value for value in values]
    marker = "o" if len(values) <= 40 else ""
    axes.plot(epochs, values, ls="-", marker=marker, ms=3.5, color=color, label=label)


def _figure(value: float, name: str) -> str:
    """A value of a metric, as the legend shows it."""
    if name == "accuracy":
        return f"{value:.2%}".replace("%", " %")
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4f}"
