"""Pictures in rows: what a layer has learned, what it sees, what was mistaken."""

import math
import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from xpnet._printable import cells
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.backend import to_numpy
from xpnet.errors import ShapeError
from xpnet.layers import Affine, Layer
from xpnet.layers.hooks import untouched, watching
from xpnet.plots._style import figure_of, finished

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIMIT = 64  # pictures of a figure


def filters(
    layer: Layer,
    shape: tuple[int, ...] | None = None,
    limit: int = LIMIT,
    path: str | os.PathLike[str] | None = None,
) -> "Figure":
    """The weights of a convolution's kernels, or of an Affine's columns, as pictures.

    Parameters
    ----------
    layer : Layer
        With a `weight` of shape (out, in, height, width), (out, in, width), or (in, out) as in an
        Affine. Kernels of three channels are shown in colours; of other numbers of channels each
        output has a row, each input a column.
    shape : tuple of int, optional
        What a column of an Affine's weight is a picture of: (height, width) or (channels, height, width). Unless
        given, a square.
    limit : int
        At most so many outputs; with rows and columns, at most so many pictures.
    path : str or path-like, optional
        Where to write the picture, as PNG, PDF or SVG by its suffix.

    Returns
    -------
    matplotlib.figure.Figure
        Blue is below zero, red above, white zero; one scale for all. Colours of three channels are
        from the least weight of all to the greatest.

    Raises
    ------
    ShapeError
        The weights are no pictures.
    """
    w = _kernels(layer, shape)
    outputs, channels = w.shape[:2]
    if channels in (1, 3):
        shown = w[:limit, ...]
        images = pictures(shown) if channels == 3 else list(shown[:, 0, ...])
        columns, titles = None, [f"{i}" for i in range(len(images))]
    else:
        rows = min(outputs, max(1, limit // min(channels, limit)))
        columns = min(channels, limit)
        shown = w[:rows, :columns, ...]
        images = [image for row in shown for image in row]
        titles = [f"{i}, {j}" for i in range(rows) for j in range(columns)]
    limits = None
    if channels != 3:
        most = float(abs(shown).max()) or 1.0
        limits = (-most, most)
    figure, image = grid(images, titles, columns, cmap="RdBu_r", limits=limits)
    if channels != 3:
        _bar(figure, image, "weight")
    left = outputs * (channels if columns else 1) - len(images)
    if left:
        figure.supxlabel(f"{left:,} more are not shown", fontsize=9)
    return finished(figure, path)


def feature_maps(
    model: Layer,
    layer: Layer,
    x: Array,
    limit: int = LIMIT,
    path: str | os.PathLike[str] | None = None,
) -> "Figure":
    """What `layer` makes of one sample, a picture for each of its channels.

    Parameters
    ----------
    model : Layer
        It is run in evaluation, and left as it was.
    layer : Layer
        One within it, whose output has shape (1, channels, height, width) or (1, channels, width).
    x : array
        A batch of one.
    limit : int
        At most so many channels.
    path : str or path-like, optional
        Where to write the picture, as PNG, PDF or SVG by its suffix.

    Returns
    -------
    matplotlib.figure.Figure
        One scale for all channels.

    Raises
    ------
    ShapeError
        x is no batch of one, the layer was not called, or its output is no pictures.
    """
    outputs: list[Any] = []
    if x.ndim == 0 or x.shape[0] != 1:
        raise ShapeError(f"Expected one sample, x of shape (1, ...), got {tuple(x.shape)}.")
    with untouched(model), watching([layer], lambda *call: outputs.append(call[-1])):
        model(x)
    if not outputs:
        raise ShapeError(f"{layer!r} was not called: is it a layer of this model?")
    y = to_numpy(data_of(outputs[0]))
    if y.ndim not in (3, 4):
        raise ShapeError(
            f"Expected an output of shape (1, channels, height, width), got {y.shape} of {layer!r}."
        )
    maps = y[0, ...] if y.ndim == 4 else y[0, :, None, :]
    shown = maps[:limit, ...]
    limits = (float(shown.min()), float(shown.max()))
    titles = [f"{i}" for i in range(len(shown))]
    figure, image = grid(list(shown), titles, cmap="viridis", limits=limits)
    _bar(figure, image, "output of the layer")
    if len(maps) > limit:
        figure.supxlabel(f"{len(maps) - limit:,} more are not shown", fontsize=9)
    return finished(figure, path)


def pictures(x: Array) -> list[Any]:
    """Arrays of shape (height, width) or (height, width, 3) from 0 to 1, on the host.

    Parameters
    ----------
    x : array
        Shape (n, height, width), (n, channels, height, width), (n, height, width, channels), or
        (n, pixels) of square pictures; one or three channels. The least number of all becomes 0,
        the greatest 1, unless they are within 0 and 1 as they are.

    Raises
    ------
    ShapeError
        These are no pictures.
    """
    x = to_numpy(x)
    xp = array_namespace(x)
    x = xp.astype(x, xp.float32)
    if x.ndim == 2 and math.isqrt(x.shape[1]) ** 2 == x.shape[1]:
        side = math.isqrt(x.shape[1])
        x = xp.reshape(x, (x.shape[0], side, side))
    if x.ndim == 4 and x.shape[1] in (1, 3):
        x = xp.moveaxis(x, 1, -1)
    if x.ndim == 4 and x.shape[-1] == 1:
        x = x[..., 0]
    if x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[-1] != 3):
        raise ShapeError(
            "Expected pictures of shape (n, height, width), with one or three channels before or "
            f"behind these, or (n, pixels) of squares, got {tuple(x.shape)}."
        )
    low, high = (float(x.min()), float(x.max())) if x.size else (0.0, 1.0)
    if low < 0.0 or high > 1.0:
        x = (x - low) / ((high - low) or 1.0)
    return list(x)


def grid(
    images: Sequence[Any],
    titles: Sequence[str],
    columns: int | None = None,
    cmap: str = "gray",
    limits: tuple[float, float] | None = (0.0, 1.0),
    nothing: str = "nothing to show",
    style: Mapping[str, Any] = MappingProxyType({}),
) -> tuple["Figure", Any]:
    """A figure of pictures, each with a title; and the last of them, for a colour bar.

    `style` has properties of the titles, such as those of `xpnet.plots._names.drawn`.
    """
    n = len(images)
    rows = max(1, -(-n // (columns or (10 if n > 40 else 8 if n > 20 else 5))))
    columns = columns or max(1, -(-n // rows))
    height, width = images[0].shape[:2] if n else (1, 3)
    cell = 1.25 if columns <= 10 else 12.5 / columns
    lines = max((title.count("\n") + 1 for title in titles), default=0)
    longest = max((cells(line) for title in titles for line in title.split("\n")), default=0)
    wide = max(cell, 0.085 * longest) if columns <= 10 else cell
    tall = min(max(height / width, 0.25), 2.0) * cell + 0.17 * lines + 0.08
    figure = figure_of(wide * columns + 0.9, tall * rows + 0.4)
    image = None
    for i, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_axis_off()
        if i < n:
            low, high = limits or (None, None)
            image = axes.imshow(images[i], cmap=cmap, vmin=low, vmax=high, interpolation="nearest",
                                aspect="auto" if height * 4 < width else "equal")  # fmt: skip
            if columns <= 16:
                axes.set_title(titles[i], fontsize=8.5, pad=3, linespacing=1.15, **style)
    if not n:
        figure.axes[0].text(0.5, 0.5, nothing, ha="center", va="center")
    return figure, image


def _bar(figure: Any, image: Array, label: str) -> None:
    bar = figure.colorbar(image, ax=figure.axes, label=label, shrink=0.7, aspect=25)
    bar.outline.set_visible(False)


def _kernels(layer: Any, shape: tuple[int, ...] | None) -> Any:
    """Weights of shape (out, in, height, width)."""
    if hasattr(layer, "weight") and layer.weight.ndim in (3, 4):
        w = to_numpy(layer.weight.data)
        return w if w.ndim == 4 else w[:, :, None, :]
    if not isinstance(layer, Affine):
        given = layer if isinstance(layer, Layer) else f"a {type(layer).__name__}"
        raise ShapeError(f"Expected a layer with kernels or an Affine, got {given}.")
    w = to_numpy(layer.weight.data).T
    n, side = w.shape[1], math.isqrt(w.shape[1])
    if shape is None and side * side == n:
        shape = (side, side)
    if shape is None or math.prod(shape) != n or len(shape) not in (2, 3):
        raise ShapeError(
            f"{layer!r}: the {n} inputs are no picture of shape {shape}. Give shape=(height, width)."
        )
    return w.reshape(w.shape[0], *((1, *shape) if len(shape) == 2 else shape))
