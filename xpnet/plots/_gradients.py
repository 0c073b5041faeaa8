"""The size of the gradients, layer by layer."""

from typing import TYPE_CHECKING

from xpnet._printable import cells
from xpnet._typing import PathLike
from xpnet.autodiff.variable import Parameter
from xpnet.backend import to_numpy
from xpnet.layers import Layer
from xpnet.plots._names import drawn
from xpnet.plots._style import BLUE, ORANGE, figure_of, finished, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def gradient_flow(model: Layer, path: PathLike | None = None) -> "Figure":
    """For each parameter, the mean and the maximum of the elements of |gradient|, after `backward`.

    If the means fall by orders of magnitude from the last parameter to the first, the gradient
    vanishes; if they grow, it explodes.

    Parameters
    ----------
    model : Layer
        Its first parameter is drawn at the top. A parameter whose gradient is missing, zero
        everywhere, NaN or infinite has a note instead of its points.
    path : str or path-like, optional
        Where to write the plot, as PNG, PDF or SVG by its suffix.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F, plots
    >>> model = xpnet.MLP(4, 3, 2, rng=0)
    >>> F.softmax_cross_entropy(model(F.ones((2, 4))), F.asarray([0, 1])).backward()
    >>> figure = plots.gradient_flow(model)
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['layers.0.weight', 'layers.0.bias', 'layers.2.weight', 'layers.2.bias']
    """
    named = list(model.named_parameters())
    names, style = drawn(name for name, _ in named)
    longest = max(map(cells, names), default=0)
    figure = figure_of(7.0 + 0.1 * max(longest - 24, 0), 1.3 + 0.26 * max(len(named), 2))
    axes = figure.subplots()
    points = []
    for row, (_, p) in enumerate(named):
        found = _mean_and_maximum(p)
        if isinstance(found, str):
            axes.text(0.02, row, found, transform=axes.get_yaxis_transform(), va="center")
        else:
            points.append((row, *found))
    if points:
        rows, means, maxima = zip(*points, strict=True)
        axes.hlines(rows, means, maxima, color="#bbbbbb", linewidth=2.0, zorder=1)
        axes.scatter(means, rows, color=BLUE, marker="o", s=28, label="mean", zorder=2)
        axes.scatter(maxima, rows, color=ORANGE, marker="D", s=22, label="maximum", zorder=2)
        axes.set_xscale("log")
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
    else:
        axes.set_xticks([])  # there is no number for a logarithmic axis
    axes.set_yticks(range(len(named)), names, **style)
    axes.set_ylim(max(len(named), 1) - 0.4, -0.6)
    plain(axes, "|gradient|")
    axes.tick_params(axis="y", length=0)
    return finished(figure, path)


def _mean_and_maximum(p: Parameter) -> tuple[float, float] | str:
    """The mean and the maximum of |gradient|; or a note where they cannot be drawn."""
    if p.raw_grad is None or p.size == 0:
        return "no gradient"
    size = abs(to_numpy(p.raw_grad).astype("float64"))
    mean = float(size.mean())
    if not mean < float("inf"):  # infinite, or NaN, which compares false
        return "not finite"
    if mean == 0.0:
        return "zero"
    return mean, float(size.max())
