"""Images of each class, to see what a network is given."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from xpnet._typing import Array, PathLike
from xpnet.backend import to_numpy
from xpnet.errors import DataError, ShapeError
from xpnet.plots._images import grid, note_hidden, pictures
from xpnet.plots._names import drawn
from xpnet.plots._style import finished
from xpnet.random import default_rng

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_CLASSES = 100
_MOST_IN_A_ROW = 8


def samples(
    images: Array,
    targets: Array,
    classes: Sequence[str] | None = None,
    count: int = 32,
    transform: Callable[[Any, Any], Any] | None = None,
    path: PathLike | None = None,
) -> "Figure":
    """Images of each class, with its name: what a network is given to learn from.

    Parameters
    ----------
    images : array
        Shape (n, height, width), (n, channels, height, width), (n, height, width, channels), or
        (n, pixels) of square images; one or three channels. Unless all values are from 0 to 1, as
        after `Normalize`, they are scaled so that the smallest is black and the largest is white.
    targets : array of integers, shape (n,)
        Class numbers.
    classes : sequence of str, optional
        The names of the classes; by default their numbers.
    count : int
        About how many images to show. The first of each class are shown, equally many as far as
        there are; one at least, and at most 8. Of more than 100 classes, the first 100 are shown.
    transform : function (x, rng) -> x, optional
        What a `DataLoader` changes at random. It is applied to the images that are shown.
    path : str or path-like, optional
        Where to write the plot, as PNG, PDF or SVG by its suffix.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError
        There is not one target for each image, or the images have another shape.
    DataError
        A target has no name in `classes`.

    Examples
    --------
    >>> import numpy as np
    >>> from xpnet import plots
    >>> x = np.random.default_rng(0).random((20, 1, 8, 8))
    >>> figure = plots.samples(x, np.arange(20) % 2, ["circle", "square"])
    >>> [axes.get_title() for axes in figure.axes][7:9]
    ['circle', 'square']
    """
    x = to_numpy(images)
    t = to_numpy(targets)
    if t.ndim != 1 or x.shape[:1] != t.shape:
        raise ShapeError(
            f"Expected images of shape (n, ...) and targets of shape (n,), got {tuple(x.shape)} and "
            f"{tuple(t.shape)}."
        )
    numbers = t.tolist()
    places = _places(numbers)
    present = sorted(places)
    if classes is not None and present and not 0 <= present[0] <= present[-1] < len(classes):
        raise DataError(
            f"Expected class numbers below {len(classes)}, got {present[0]} to {present[-1]}."
        )
    shown = present[:_MOST_CLASSES]
    each = max(1, min(_MOST_IN_A_ROW, count // max(len(shown), 1)))
    chosen = [i for c in shown for i in places[c][:each]]
    x = x[chosen, ...]
    if transform is not None:
        x = transform(x, default_rng(0))
    names, style = drawn(numbers[i] if classes is None else classes[numbers[i]] for i in chosen)
    is_row_per_class = each >= 4 and len(chosen) == each * len(shown)
    columns = each if is_row_per_class else None
    figure, _ = grid(pictures(x), names, columns, style=style)
    note_hidden(figure, len(present) - len(shown), "classes")
    return finished(figure, path)


def _places(numbers: list[int]) -> dict[int, list[int]]:
    """Where each number is."""
    places: dict[int, list[int]] = {}
    for i, number in enumerate(numbers):
        places.setdefault(number, []).append(i)
    return places
