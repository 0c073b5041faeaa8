"""How the gradient flows back through the layers."""

import os
from typing import TYPE_CHECKING

from xpnet._printable import cells
from xpnet.backend import to_numpy
from xpnet.layers import Layer
from xpnet.plots._names import drawn
from xpnet.plots._style import BLUE, ORANGE, figure_of, finished, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def gradient_flow(model: Layer, path: str | os.PathLike[str] | None = None) -> "Figure":
    """The mean and the greatest |gradient| of each parameter, after `backward`.

    Where the means fall from the last parameter to the first by orders of magnitude, the gradient
    vanishes; where they grow, it explodes.

    Parameters
    ----------
    model : Layer
        The first parameter is drawn at the top. One without a gradient, or whose gradient is zero
        everywhere, has words in place of its points.
    path : str or path-like, optional
        Where to write the picture, as PNG, PDF or SVG by its suffix.

    Returns
    -------
    matplotlib.figure.Figure
    """
    named = list(model.named_parameters())
    names, style = drawn(name for name, _ in named)
    longest = max(map(cells, names), default=0)
    figure = figure_of(7.0 + 0.1 * max(longest - 24, 0), 1.3 + 0.26 * max(len(named), 2))
    axes = figure.subplots()
    points = []
    for row, (_, p) in enumerate(named):
        if p.raw_grad is None or not p.size:
            axes.text(0.02, row, "no gradient", transform=axes.get_yaxis_transform(), va="center")
            continue
        size = abs(to_numpy(p.raw_grad).astype("float64"))
        mean, most = float(size.mean()), float(size.max())
        if not mean < float("inf"):
            axes.text(0.02, row, "not finite", transform=axes.get_yaxis_transform(), va="center")
        elif mean == 0.0:
            axes.text(0.02, row, "zero", transform=axes.get_yaxis_transform(), va="center")
        else:
            points.append((row, mean, most))
    if points:  # else there is nothing that a logarithm could be taken of
        rows, means, greatest = zip(*points, strict=True)
        axes.hlines(rows, means, greatest, color="#bbbbbb", linewidth=2.0, zorder=1)
        axes.scatter(means, rows, color=BLUE, marker="o", s=28, label="mean", zorder=2)
        axes.scatter(greatest, rows, color=ORANGE, marker="D", s=22, label="greatest", zorder=2)
        axes.set_xscale("log")
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
    else:
        axes.set_xticks([])
    axes.set_yticks(range(len(named)), names, **style)
    axes.set_ylim(max(len(named), 1) - 0.4, -0.6)
    plain(axes, "|gradient|")
    axes.tick_params(axis="y", length=0)
    return finished(figure, path)
