"""Pictures of a training. They need matplotlib, which is imported when one is drawn.

Each function makes a `matplotlib.figure.Figure` of its own and draws it without pyplot, so nothing
of the caller's (its backend, its open figures, its notebook) is touched.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnet.serialization import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from xpnet.training.history import History

TRAIN, TEST, GRID = "#8a8a8a", "#c4314b", "#e6e6e6"


def curves(history: "History", path: str | os.PathLike[str] | None = None) -> "Figure":
    """Loss and metrics by epoch, train and test.

    Parameters
    ----------
    history : History
        A panel is drawn for the loss and one for each metric. A metric called "accuracy" is drawn
        in per cent.
    path : str or path-like, optional
        Where to write the picture, as PNG, PDF or SVG by its suffix.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    names = [c.removeprefix("train_") for c in history.columns if c.startswith("train_")]
    names = names or ["loss"]
    figure = Figure(figsize=(4.6 * len(names), 3.6), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        _panel(axes, history, name)
    if path is not None:
        save(figure, path)
    return figure


def save(figure: "Figure", path: str | os.PathLike[str]) -> None:
    """Write `figure` whole or not at all; the format is told by the suffix of `path`."""
    suffix = Path(path).suffix.removeprefix(".") or "png"
    with replacing(path) as temporary:
        figure.savefig(temporary, format=suffix, dpi=150)


def _panel(axes: Any, history: "History", name: str) -> None:
    from matplotlib.ticker import MaxNLocator

    percent = name == "accuracy"
    for label, colour in (("train", TRAIN), ("test", TEST)):
        if f"{label}_{name}" not in history:
            continue
        values = [v * 100.0 if percent else v for v in history[f"{label}_{name}"]]
        text = f"{label}, {values[-1]:.2f} %" if percent else f"{label}, {values[-1]:.4f}"
        marker = "o" if len(values) <= 40 else ""
        axes.plot(history["epoch"], values, ls="-", marker=marker, ms=3.5, color=colour, label=text)
    unit = {"accuracy": " (%)", "loss": " (mean over samples)"}.get(name, "")
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"{name}{unit}".replace("_", " "))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if len(history):
        axes.legend(frameon=False, title="after the last epoch", alignment="left")
    else:
        axes.text(0.5, 0.5, "no epoch was finished", transform=axes.transAxes, ha="center")
