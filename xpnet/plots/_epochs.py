"""How a training went: loss and metrics by epoch."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from xpnet.plots._names import drawn
from xpnet.plots._style import TEST, TRAIN, figure_of, finished, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from xpnet.training.history import History


def curves(
    history: "History",
    path: str | os.PathLike[str] | None = None,
    names: Sequence[str] | None = None,
) -> "Figure":
    """Loss and metrics by epoch, train and test.

    Parameters
    ----------
    history : History
        A panel is drawn for the loss and one for each metric. A metric called "accuracy" is drawn
        in per cent.
    path : str or path-like, optional
        Where to write the picture, as PNG, PDF or SVG by its suffix.
    names : sequence of str, optional
        Which figures to draw, "loss" or "accuracy"; unless given, all.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed.
    """
    names = names or [c.removeprefix("train_") for c in history.columns if c.startswith("train_")]
    names = names or ["loss"]
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    figure = figure_of(4.6 * columns, 3.6 * rows)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, name in zip(panels, names, strict=False):
        _panel(axes, history, name)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    return finished(figure, path)


def _panel(axes: Any, history: "History", name: str) -> None:
    from matplotlib.ticker import MaxNLocator

    percent = name == "accuracy"
    for label, colour in (("train", TRAIN), ("test", TEST)):
        if f"{label}_{name}" not in history:
            continue
        values = [v * 100.0 if percent else v for v in history[f"{label}_{name}"]]
        last = values[-1]
        digits = ",.0f" if abs(last) >= 1e4 else ".4f"
        text = f"{label}, {last:.2f} %" if percent else f"{label}, {last:{digits}}"
        marker = "o" if len(values) <= 40 else ""
        axes.plot(history["epoch"], values, ls="-", marker=marker, ms=3.5, color=colour, label=text)
    unit = {"accuracy": " (%)", "loss": " (mean over samples)"}.get(name, "")
    (shown,), style = drawn([f"{name}{unit}".replace("_", " ")])
    plain(axes, "epoch")
    axes.set_ylabel(shown, **style)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if len(history):
        axes.legend(frameon=False, title="after the last epoch", alignment="left")
    else:
        axes.text(0.5, 0.5, "no epoch was finished", transform=axes.transAxes, ha="center")
