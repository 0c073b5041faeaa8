"""Grids of images: the weights of a layer, its output, and images of samples."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from xpnet._printable import cells
from xpnet._typing import Array, PathLike
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.backend import to_numpy
from xpnet.errors import ShapeError
from xpnet.layers import Affine, Layer
from xpnet.layers.hooks import untouched, watching
from xpnet.plots._style import figure_of, finished

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

LIMIT = 64  # images in a figure


def filters(
    layer: Layer,
    shape: tuple[int, ...] | None = None,
    limit: int = LIMIT,
    path: PathLike | None = None,
) -> "Figure":
    """The weights of a convolution's kernels, or of an Affine's columns, as images.

    Parameters
    ----------
    layer : Layer
        With a `weight` of shape (out, in, height, width), (out, in, width), or (in, out) as in an
        Affine. Kernels of three channels are shown in colour. With any other number of
        channels above one, each output has a row, and each input a column.
    shape : tuple of int, optional
        The shape of the image that a column of an Affine's weight is: (height, width) or
        (channels, height, width). By default it is a square.
    limit : int
        The maximum number of outputs; or of images, if each output has a row of them.
    path : str or path-like, optional
        Where to write the plot, as PNG, PDF or SVG by its suffix.

    Returns
    -------
    matplotlib.figure.Figure
        Negative weights are blue, positive ones are red, and zero is white, on the same scale in
        all images. For three channels, the colours range from the smallest weight to the largest.

    Raises
    ------
    ShapeError
        The weights are not images.
    ModuleNotFoundError
        matplotlib is not installed.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import plots
    >>> figure = plots.filters(xpnet.Conv2d(1, 8, 5, rng=0))
    >>> kernels = [axes.images[0] for axes in figure.axes if axes.images]
    >>> len(kernels), kernels[0].get_size()
    (8, (5, 5))
    """
    w = _kernels(layer, shape)
    outputs, channels = w.shape[:2]
    if channels == 3:
        images = pictures(w[:limit, ...])
        figure, _ = grid(images, _numbered(images), limits=None)
        note_hidden(figure, outputs - len(images))
        return finished(figure, path)
    if channels == 1:
        images = list(w[:limit, 0, ...])
        titles = _numbered(images)
        columns = None
    else:
        rows = min(outputs, max(1, limit // min(channels, limit)))
        columns = min(channels, limit)
        images = [image for row in w[:rows, :columns, ...] for image in row]
        titles = [f"{i}, {j}" for i in range(rows) for j in range(columns)]
    most = max(float(abs(image).max()) for image in images) or 1.0
    figure, last = grid(images, titles, columns, cmap="RdBu_r", limits=(-most, most))
    _add_color_bar(figure, last, "weight")
    note_hidden(figure, outputs * channels - len(images))
    return finished(figure, path)


def feature_maps(
    model: Layer,
    layer: Layer,
    x: Array,
    limit: int = LIMIT,
    path: PathLike | None = None,
) -> "Figure":
    """The output of `layer` for one sample, as an image for each channel.

    Parameters
    ----------
    model : Layer
        It is called in evaluation mode; its own mode is restored afterwards.
    layer : Layer
        A layer of the model, with an output of shape (1, channels, height, width) or
        (1, channels, width).
    x : array, shape (1, ...)
        A batch of one sample.
    limit : int
        The maximum number of channels.
    path : str or path-like, optional
        Where to write the plot, as PNG, PDF or SVG by its suffix.

    Returns
    -------
    matplotlib.figure.Figure
        The scale is the same in all channels.

    Raises
    ------
    ShapeError
        x is not a batch of one, the layer was not called, or its output is not images.
    ModuleNotFoundError
        matplotlib is not installed.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F, plots
    >>> model = xpnet.models.lenet((1, 28, 28), 10, rng=0)
    >>> figure = plots.feature_maps(model, model.layers[0], F.ones((1, 1, 28, 28)))
    >>> len([axes for axes in figure.axes if axes.images])  # the channels of the first convolution
    16
    """
    outputs: list[Any] = []
    if x.ndim == 0 or x.shape[0] != 1:
        raise ShapeError(f"Expected one sample, x of shape (1, ...), got {tuple(x.shape)}.")
    with untouched(model), watching([layer], lambda *call: outputs.append(call[-1])):
        model(x)
    if not outputs:
        raise ShapeError(f"Expected a layer that the model calls, got {layer!r}.")
    y = to_numpy(data_of(outputs[0]))
    if y.ndim not in (3, 4):
        raise ShapeError(
            f"Expected an output of shape (1, channels, height, width), got {y.shape} from {layer!r}."
        )
    maps = y[0, ...] if y.ndim == 4 else y[0, :, None, :]
    shown = maps[:limit, ...]
    limits = (float(shown.min()), float(shown.max()))
    figure, last = grid(list(shown), _numbered(shown), cmap="viridis", limits=limits)
    _add_color_bar(figure, last, "output of the layer")
    note_hidden(figure, len(maps) - len(shown))
    return finished(figure, path)


def pictures(x: Array) -> list[Any]:
    """Images as matplotlib draws them: (height, width) or (height, width, 3), from 0 to 1.

    Parameters
    ----------
    x : array
        Shape (n, height, width), (n, channels, height, width), (n, height, width, channels), or
        (n, pixels) of square images; one or three channels. Unless all values are from 0 to 1
        already, they are scaled so that the minimum becomes 0 and the maximum 1.

    Returns
    -------
    list of numpy.ndarray
        In float32.

    Raises
    ------
    ShapeError
        x has another shape.

    Examples
    --------
    >>> from xpnet import functions as F, plots
    >>> (image,) = plots.pictures(F.asarray([[0, 51, 102, 255]]))  # a square of 4 pixels
    >>> image.tolist()
    [[0.0, 0.2], [0.4, 1.0]]
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
            "Expected images of shape (n, height, width), with one or three channels before or "
            f"after height and width, or (n, pixels) of squares, got {tuple(x.shape)}."
        )
    if x.size == 0:
        return list(x)
    low = float(x.min())
    high = float(x.max())
    if low < 0.0 or high > 1.0:
        x = (x - low) / ((high - low) or 1.0)
    return list(x)


def grid(
    images: Sequence[Array],
    titles: Sequence[str],
    columns: int | None = None,
    cmap: str = "gray",
    limits: tuple[float, float] | None = (0.0, 1.0),
    nothing: str = "nothing to show",
    style: Mapping[str, Any] = MappingProxyType({}),
) -> tuple["Figure", "AxesImage | None"]:
    """A figure of images, each with a title; and the last image, for a colour bar.

    Parameters
    ----------
    images : sequence of array, of the same shape
    titles : sequence of str
        One for each image; they are left out if there are more than 16 columns.
    columns : int, optional
        By default 5, 8 or 10, depending on the number of images.
    cmap : str
    limits : (float, float), optional
        The values of the first and the last colour of `cmap`. None: the smallest and the largest
        value of each image.
    nothing : str
        The text that is written if there are no images.
    style : mapping
        Properties of the titles, such as `xpnet.plots._names.drawn` returns them.
    """
    n = len(images)
    if n == 0:
        figure = figure_of(3.0, 0.9)
        axes = figure.subplots()
        axes.set_axis_off()
        axes.text(0.5, 0.5, nothing, ha="center", va="center")
        return figure, None
    rows = math.ceil(n / (columns or _columns(n)))
    columns = columns or math.ceil(n / rows)
    figure = _figure_of_grid(images[0].shape, titles, rows, columns)
    low, high = limits or (None, None)
    height, width = images[0].shape[:2]
    # An image of one or a few rows of pixels is stretched: it would be too thin to be seen.
    aspect = "auto" if height * 4 < width else "equal"
    image = None
    for i, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_axis_off()
        if i >= n:
            continue
        image = axes.imshow(
            images[i], cmap=cmap, vmin=low, vmax=high, interpolation="nearest", aspect=aspect
        )
        if columns <= 16:
            axes.set_title(titles[i], fontsize=8.5, pad=3, linespacing=1.15, **style)
    return figure, image


def _columns(n: int) -> int:
    """The number of columns for n images."""
    if n > 40:
        return 10
    if n > 20:
        return 8
    return 5


def _figure_of_grid(
    shape: tuple[int, ...], titles: Sequence[str], rows: int, columns: int
) -> "Figure":
    """An empty figure with room for images of this shape and for their titles."""
    height, width = shape[:2]
    lines = max(title.count("\n") + 1 for title in titles)
    if columns <= 10:
        cell = 1.25
        longest = max(cells(line) for title in titles for line in title.split("\n"))
        cell_width = max(cell, 0.085 * longest)
    else:
        cell = 12.5 / columns
        cell_width = cell
    cell_height = min(max(height / width, 0.25), 2.0) * cell + 0.17 * lines + 0.08
    return figure_of(cell_width * columns + 0.9, cell_height * rows + 0.4)


def _numbered(images: Sequence[Array]) -> list[str]:
    """Titles that number the images."""
    return [str(i) for i in range(len(images))]


def note_hidden(figure: "Figure", count: int, what: str = "") -> None:
    """Write below the images how many more there are."""
    if count > 0:
        figure.supxlabel(" ".join(f"{count:,} more {what} are not shown".split()), fontsize=9)


def _add_color_bar(figure: "Figure", image: "AxesImage | None", label: str) -> None:
    """Add the scale of the colours of all images; nothing without an image."""
    if image is None:
        return
    bar = figure.colorbar(image, ax=figure.axes, label=label, shrink=0.7, aspect=25)
    bar.outline.set_visible(False)


def _kernels(layer: object, shape: tuple[int, ...] | None) -> Array:
    """The weights, on the host, of shape (out, in, height, width)."""
    weight = getattr(layer, "weight", None)
    if weight is not None and weight.ndim in (3, 4):
        w = to_numpy(weight.data)
        return w if w.ndim == 4 else w[:, :, None, :]
    if not isinstance(layer, Affine):
        given = repr(layer) if isinstance(layer, Layer) else f"a {type(layer).__name__}"
        raise ShapeError(f"Expected a layer with kernels or an Affine, got {given}.")
    w = to_numpy(layer.weight.data).T
    outputs, inputs = w.shape
    side = math.isqrt(inputs)
    if shape is None and side * side == inputs:
        shape = (side, side)
    if shape is None or math.prod(shape) != inputs or len(shape) not in (2, 3):
        raise ShapeError(
            f"{layer!r}: expected the shape of an image of {inputs} pixels, got {shape}. Give "
            "shape=(height, width)."
        )
    if len(shape) == 2:
        shape = (1, *shape)
    return w.reshape(outputs, *shape)
