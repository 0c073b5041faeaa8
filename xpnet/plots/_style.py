"""What all plots share: colours, axes, and how they are written to a file.

The colours are distinguishable with every kind of colour vision, and in print: Okabe and Ito (2008)
for categories, viridis and cividis for amounts.
"""

import io
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnet._typing import PathLike
from xpnet.errors import MissingPackageError
from xpnet.saving.safetensors import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAIN = "#8a8a8a"
TEST = "#c4314b"
GRID = "#e6e6e6"
INK = "#222222"
BLUE = "#0072b2"
ORANGE = "#d55e00"
DPI = 150


def figure_of(width: float, height: float) -> "Figure":
    """An empty figure of this size in inches. A notebook displays it although pyplot does not know it.

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        message = 'Plots need matplotlib: pip install "xpnet[plots]"'
        raise MissingPackageError(message, name=error.name) from error
    figure: Any = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    figure._repr_png_ = partial(_png, figure)
    drawn: Figure = figure
    return drawn


def _png(figure: "Figure") -> tuple[bytes, dict[str, int]]:
    """What a notebook asks for: the image, and the width in pixels at which to display it."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue(), {"width": round(80 * figure.get_figwidth())}


def save(figure: "Figure", path: PathLike) -> None:
    """Write a figure in the format that the suffix of `path` names: PNG, PDF or SVG.

    A file of that name is replaced when the new one is complete.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : str or path-like
        Without a suffix, the format is PNG.

    Raises
    ------
    ValueError
        matplotlib does not know the format.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from xpnet import plots, schedules
    >>> figure = plots.learning_rate(schedules.cosine(100), steps=100)
    >>> with TemporaryDirectory() as folder:
    ...     plots.save(figure, f"{folder}/cosine.svg")
    ...     "<svg" in Path(f"{folder}/cosine.svg").read_text()
    True
    """
    suffix = Path(path).suffix.removeprefix(".") or "png"
    with replacing(path) as temporary:
        figure.savefig(temporary, format=suffix, dpi=DPI)


def finished(figure: "Figure", path: PathLike | None) -> "Figure":
    """The figure; if a path is given, it is written to it first."""
    if path is not None:
        save(figure, path)
    return figure


def plain(axes: "Axes", xlabel: str = "", ylabel: str = "") -> None:
    """Label axes, with a light grid behind the data and without a frame on the right and above."""
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
