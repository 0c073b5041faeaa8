"""What the pictures have in common: colours, axes, and how they are written.

The colours are told apart with every kind of colour vision, and in print: Okabe and Ito (2008) for
categories, viridis and cividis for amounts.
"""

import io
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnet.errors import MissingPackageError
from xpnet.saving.safetensors import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRAIN, TEST, GRID, INK = "#8a8a8a", "#c4314b", "#e6e6e6", "#222222"
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
DPI = 150


def figure_of(width: float, height: float, layout: Any = "constrained") -> "Figure":
    """An empty figure, in inches, of nobody's pyplot; a notebook shows it all the same.

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        message = 'Pictures need matplotlib: pip install "xpnet[plots]"'
        raise MissingPackageError(message, name=error.name) from error
    figure: Any = Figure(figsize=(width, height), dpi=DPI, layout=layout, facecolor="white")
    figure._repr_png_ = partial(_png, figure)
    drawn: Figure = figure
    return drawn


def _png(figure: "Figure") -> tuple[bytes, dict[str, int]]:
    """What a notebook asks for: the picture, and how large it is to be shown, in pixels."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue(), {"width": round(80 * figure.get_figwidth())}


def save(figure: "Figure", path: str | os.PathLike[str]) -> None:
    """Write `figure` whole or not at all; the format is told by the suffix of `path`."""
    suffix = Path(path).suffix.removeprefix(".") or "png"
    with replacing(path) as temporary:
        figure.savefig(temporary, format=suffix, dpi=DPI)


def finished(figure: "Figure", path: str | os.PathLike[str] | None) -> "Figure":
    """The figure, written where a path is given."""
    if path is not None:
        save(figure, path)
    return figure


def plain(axes: Any, xlabel: str = "", ylabel: str = "", grid: str = "both") -> None:
    """Axes with a light grid behind the data, no frame on the right and above."""
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    if grid:
        axes.grid(axis=grid, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
