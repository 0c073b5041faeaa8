"""Classification: which class was predicted for which, and the worst mistakes."""

from collections.abc import Sequence
from operator import index
from typing import TYPE_CHECKING, Any, NamedTuple

from xpnet import functions as F
from xpnet._printable import cells
from xpnet._typing import Array, PathLike
from xpnet.autodiff.namespace import array_namespace
from xpnet.backend import to_numpy
from xpnet.errors import ArgumentTypeError, DataError, ShapeError
from xpnet.plots._images import grid, pictures
from xpnet.plots._names import drawn
from xpnet.plots._style import INK, figure_of, finished

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_LABELS = 30  # classes: with more, cells show no counts, and not every class has its name
_MOST_UPRIGHT = 3  # characters: if a name is longer, the names of columns are slanted


class Mistake(NamedTuple):
    """A sample for which another class was predicted.

    Attributes
    ----------
    sample : int
        Its number, from 0.
    predicted, actual : int
        Class numbers.
    probability : float
        The probability of the predicted class.
    actual_probability : float
        The probability of the actual class.

    Examples
    --------
    >>> from xpnet import functions as F, plots
    >>> (worst,) = plots.mistakes(F.asarray([[0.0, 3.0]]), F.asarray([0]))
    >>> worst.predicted, worst.actual, worst.probability  # e^3 / (e^3 + 1)
    (1, 0, 0.9526)
    """

    sample: int
    predicted: int
    actual: int
    probability: float
    actual_probability: float


def mistakes(scores: Array, targets: Array, count: int = 20) -> list[Mistake]:
    """The misclassified samples whose actual class got the lowest probabilities.

    Parameters
    ----------
    scores : array, shape (n, classes)
        Before softmax, as a network returns them.
    targets : array of integers, shape (n,)
    count : int
        The maximum number of mistakes.

    Returns
    -------
    list of Mistake
        The worst first.

    Raises
    ------
    ShapeError
        The shapes do not fit together.
    DataError
        A target is not a class number.
    TypeError
        `count` is not a whole number.

    Examples
    --------
    >>> from xpnet import functions as F, plots
    >>> scores = F.asarray([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    >>> found = plots.mistakes(scores, F.asarray([1, 0, 0]))  # the second sample is correct
    >>> [(m.sample, m.predicted, m.actual) for m in found]
    [(2, 1, 0), (0, 0, 1)]
    """
    try:
        count = index(count)
    except TypeError:
        raise ArgumentTypeError(
            f"mistakes expected count to be a whole number, got {type(count).__name__}. To draw the "
            "mistakes, call worst_mistakes(images, scores, targets)."
        ) from None
    y = to_numpy(scores)
    t = to_numpy(targets)
    if y.ndim != 2 or t.shape != y.shape[:1]:
        raise ShapeError(
            f"Expected scores of shape (n, classes) and targets of shape (n,), got {y.shape} and "
            f"{t.shape}."
        )
    xp = array_namespace(y)
    for i in xp.nonzero((t < 0) | (t >= y.shape[1]))[0][:1]:
        raise DataError(
            f"Expected class numbers below {y.shape[1]}, got the target {t[i]} of sample {i}."
        )
    p = F.softmax(y)
    predicted = xp.argmax(y, axis=-1)
    of_actual = xp.take_along_axis(p, xp.astype(t, xp.int64)[:, None], axis=1)[:, 0]
    wrong = [int(i) for i in xp.nonzero(predicted != t)[0]]
    worst = sorted(wrong, key=lambda i: float(of_actual[i]))[:count]
    return [
        Mistake(
            sample=i,
            predicted=int(predicted[i]),
            actual=int(t[i]),
            probability=float(p[i, predicted[i]]),
            actual_probability=float(of_actual[i]),
        )
        for i in worst
    ]


def confusion_matrix(
    counts: Array,
    classes: Sequence[str] | None = None,
    path: PathLike | None = None,
) -> "Figure":
    """How often which class was predicted for which; darker cells are larger shares of their row.

    Parameters
    ----------
    counts : array of integers, shape (classes, classes)
        As `metrics.confusion_matrix` returns it: rows are actual classes.
    classes : sequence of str, optional
        The names of the classes; by default their numbers.
    path : str or path-like, optional
        Where to write the plot, as PNG, PDF or SVG by its suffix.

    Returns
    -------
    matplotlib.figure.Figure
        The cells show counts if there are at most 30 classes; a count of 0 is left out.

    Raises
    ------
    ShapeError
        `counts` is not square, or there is not one name per class.
    ModuleNotFoundError
        matplotlib is not installed.

    Examples
    --------
    >>> from xpnet import functions as F, metrics, plots
    >>> scores = F.asarray([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    >>> counts = metrics.confusion_matrix(scores, F.asarray([0, 1, 0]))
    >>> axes, color_bar = plots.confusion_matrix(counts, ["cat", "dog"]).axes
    >>> [text.get_text() for text in axes.texts]  # no dog was taken for a cat: that cell is empty
    ['1', '1', '1']
    """
    table = to_numpy(counts).tolist()
    names, style = drawn(range(len(table)) if classes is None else classes)
    if any(len(row) != len(table) for row in table) or len(names) != len(table):
        raise ShapeError(
            f"Expected counts of shape (classes, classes), as metrics.confusion_matrix(y, t) returns "
            f"them, and a name for each; got shape {tuple(counts.shape)} and {len(names)} names."
        )
    n = len(table)
    shares = [_percentages(row) for row in table]
    figure = _figure_of_matrix(n, names)
    from matplotlib.colors import PowerNorm  # after `figure_of`, which reports a missing matplotlib

    axes = figure.subplots()
    # Coloured by the square root of the share: otherwise a few mistakes would look like none.
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0.0, 100.0))
    if n <= _MOST_LABELS:
        _write_counts(axes, table, shares)
    _label_classes(axes, names, style)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("actual class")
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(
        image, ax=axes, label="share of the actual class (%)", shrink=0.8, ticks=[0, 5, 25, 50, 100]
    )
    bar.outline.set_visible(False)
    return finished(figure, path)


def _percentages(row: list[int]) -> list[float]:
    """Each count as a percentage of its row; 0 in an empty row."""
    total = max(sum(row), 1)
    return [100.0 * count / total for count in row]


def _figure_of_matrix(n: int, names: list[str]) -> "Figure":
    """An empty figure with room for the cells and for the names of the classes."""
    cell = max(0.42, 2.5 / max(n, 1))
    if n > _MOST_LABELS:
        cell = 6.0 / n
    longest = max(map(cells, names), default=1)
    height = 1.1 + cell * n
    if longest > _MOST_UPRIGHT:
        height += 0.09 * longest
    return figure_of(2.5 + 0.11 * longest + cell * n, height)


def _write_counts(axes: "Axes", table: list[list[int]], shares: list[list[float]]) -> None:
    """Write each count into its cell, in white where the cell is dark."""
    digits = max(len(str(count)) for row in table for count in row)
    size = 9 if digits <= 4 else 36 / digits
    for i, row in enumerate(table):
        for j, count in enumerate(row):
            if count:
                color = "white" if shares[i][j] > 35.0 else INK
                axes.text(j, i, str(count), ha="center", va="center", color=color, fontsize=size)


def _label_classes(axes: "Axes", names: list[str], style: dict[str, Any]) -> None:
    """Label rows and columns with the names of the classes, some of them if there are many."""
    step = max(1, -(-len(names) // _MOST_LABELS))
    ticks = range(0, len(names), step)
    slant: dict[str, Any] = {}
    if max(map(cells, names), default=1) > _MOST_UPRIGHT:
        slant = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(ticks, names[::step], **style, **slant)
    axes.set_yticks(ticks, names[::step], **style)
    axes.tick_params(length=0)


def worst_mistakes(
    images: Array,
    scores: Array,
    targets: Array,
    classes: Sequence[str] | None = None,
    count: int = 20,
    path: PathLike | None = None,
) -> "Figure":
    """The images of the worst mistakes, with the predicted class, its probability and the actual class.

    Parameters
    ----------
    images : array
        Shape (n, height, width), (n, channels, height, width), (n, height, width, channels), or
        (n, pixels) of square images; one or three channels.
    scores : array, shape (n, classes)
        Before softmax, as a network returns them.
    targets : array of integers, shape (n,)
    classes : sequence of str, optional
        The names of the classes; by default their numbers.
    count : int
        The maximum number of images.
    path : str or path-like, optional
        Where to write the plot, as PNG, PDF or SVG by its suffix.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError
        The shapes do not fit together, or `images` are not images.
    DataError
        A target is not a class number.
    ModuleNotFoundError
        matplotlib is not installed.

    Examples
    --------
    >>> from xpnet import functions as F, plots
    >>> images = F.ones((2, 28, 28))
    >>> scores = F.asarray([[2.0, 0.0], [0.0, 3.0]])
    >>> (axes,) = plots.worst_mistakes(images, scores, F.asarray([0, 0]), ["cat", "dog"]).axes
    >>> print(axes.get_title())
    dog, 95 %
    is cat
    """
    found = mistakes(scores, targets, count)
    names, style = drawn(range(to_numpy(scores).shape[1]) if classes is None else classes)
    if not found:
        figure, _ = grid([], [], nothing="all predictions are correct")
        return finished(figure, path)
    shown = pictures(to_numpy(images)[[m.sample for m in found], ...])
    titles = [
        f"{names[m.predicted]}, {_percent(m.probability)}\nis {names[m.actual]}" for m in found
    ]
    figure, _ = grid(shown, titles, style=style)
    note = "Above: the predicted class, and its probability. Below: the actual class."
    figure.supxlabel(note, fontsize=8.5)
    return finished(figure, path)


def _percent(p: float) -> str:
    """A probability in per cent; rounding never makes it 100."""
    percent = 100.0 * p
    if percent > 99.5:
        return f"{min(percent, 99.99):.2f} %"
    return f"{percent:.0f} %"
