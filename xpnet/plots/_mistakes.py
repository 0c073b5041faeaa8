"""What was taken for what."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from xpnet import functions as F
from xpnet._printable import cells
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.backend import to_numpy
from xpnet.errors import DataError, ShapeError
from xpnet.plots._images import grid, pictures
from xpnet.plots._names import drawn
from xpnet.plots._style import INK, figure_of, finished

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Mistake(NamedTuple):
    """A sample that was taken for another class.

    Attributes
    ----------
    sample : int
        Which one.
    predicted, actual : int
        Class numbers.
    probability : float
        Of the class that was predicted.
    right : float
        Of the class that it is.
    """

    sample: int
    predicted: int
    actual: int
    probability: float
    right: float


def mistakes(scores: Array, targets: Array, count: int = 20) -> list[Mistake]:
    """The samples whose own class was given the least probability, of those that were mistaken.

    Parameters
    ----------
    scores : array, shape (n, classes)
        Before softmax, as networks give them.
    targets : array of integers, shape (n,)
    count : int
        At most so many.

    Returns
    -------
    list of Mistake
        The worst first.

    Raises
    ------
    ShapeError
        The shapes do not fit.
    DataError
        A target is no class.
    """
    y, t = to_numpy(scores), to_numpy(targets)
    if y.ndim != 2 or t.shape != y.shape[:1]:
        raise ShapeError(
            f"Expected scores of shape (n, classes) and targets of shape (n,), got {y.shape} and "
            f"{t.shape}."
        )
    xp = array_namespace(y)
    for i in xp.nonzero((t < 0) | (t >= y.shape[1]))[0][:1]:
        raise DataError(f"The target {t[i]} of sample {i} is none of the {y.shape[1]} classes.")
    p, chosen = F.softmax(y), xp.argmax(y, axis=-1)
    own = xp.take_along_axis(p, xp.astype(t, xp.int64)[:, None], axis=1)[:, 0]
    wrong = [int(i) for i in xp.nonzero(chosen != t)[0]]
    worst = sorted(wrong, key=lambda i: float(own[i]))[:count]
    return [
        Mistake(i, int(chosen[i]), int(t[i]), float(p[i, chosen[i]]), float(own[i])) for i in worst
    ]


def confusion_matrix(
    counts: Any,
    classes: Sequence[str] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> "Figure":
    """A table of which class was taken for which; the darker, the larger a share of its row.

    Parameters
    ----------
    counts : array of integers, shape (classes, classes)
        As `metrics.confusion_matrix` gives it: the actual class in the row.
    classes : sequence of str, optional
        Their names; unless given, their numbers.
    path : str or path-like, optional
        Where to write the picture, as PNG, PDF or SVG by its suffix.

    Returns
    -------
    matplotlib.figure.Figure
        Beyond 30 classes without numbers in the cells. A cell of no sample is empty.
    """
    table = to_numpy(counts).tolist()
    names, style = drawn(classes if classes is not None else range(len(table)))
    if any(len(row) != len(table) for row in table) or len(names) != len(table):
        raise ShapeError(
            f"Expected counts of shape (classes, classes), as metrics.confusion_matrix(y, t) gives "
            f"them, and a name for each; got shape {tuple(counts.shape)} and {len(names)} names."
        )
    n, totals = len(table), [max(sum(row), 1) for row in table]
    cell = max(0.42, 2.5 / max(n, 1)) if n <= 30 else 6.0 / n
    longest = max(map(cells, names), default=1)
    slant = longest > 3
    figure = figure_of(2.5 + 0.11 * longest + cell * n, 1.1 + cell * n + 0.09 * longest * slant)
    from matplotlib.colors import PowerNorm

    axes = figure.subplots()
    shares = [[100.0 * c / total for c in row] for row, total in zip(table, totals, strict=True)]
    # By the root of the share: mistakes are few, and would be as white as none.
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0.0, 100.0))
    digits = max(len(str(c)) for row in table for c in row)
    if n <= 30:
        for i, row in enumerate(table):
            for j, c in enumerate(row):
                if c:
                    ink = "white" if shares[i][j] > 35.0 else INK
                    size = 9 if digits <= 4 else 36 / digits
                    axes.text(j, i, c, ha="center", va="center", color=ink, fontsize=size)
    step = max(1, -(-n // 30))
    ticks = range(0, n, step)
    turned: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(ticks, names[::step], **style, **(turned if slant else {}))
    axes.set_yticks(ticks, names[::step], **style)
    axes.tick_params(length=0)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("actual class")
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(
        image, ax=axes, label="share of the actual class (%)", shrink=0.8, ticks=[0, 5, 25, 50, 100]
    )
    bar.outline.set_visible(False)
    return finished(figure, path)


def worst_mistakes(
    images: Array,
    scores: Array,
    targets: Array,
    classes: Sequence[str] | None = None,
    count: int = 20,
    path: str | os.PathLike[str] | None = None,
) -> "Figure":
    """The pictures that were mistaken most, with what was predicted, how surely, and what they are.

    Parameters
    ----------
    images : array
        Shape (n, height, width), (n, channels, height, width), (n, height, width, channels), or
        (n, pixels) of square pictures; one or three channels.
    scores : array, shape (n, classes)
        Before softmax, as networks give them.
    targets : array of integers, shape (n,)
    classes : sequence of str, optional
        Their names; unless given, their numbers.
    count : int
    path : str or path-like, optional
        Where to write the picture, as PNG, PDF or SVG by its suffix.

    Returns
    -------
    matplotlib.figure.Figure
    """
    found = mistakes(scores, targets, count)
    count = to_numpy(scores).shape[1] if classes is None else 0
    names, style = drawn(classes if classes is not None else range(count))
    shown = pictures(to_numpy(images)[[m.sample for m in found], ...]) if found else []
    titles = [
        f"{names[m.predicted]}, {_percent(m.probability)}\nis {names[m.actual]}" for m in found
    ]
    figure, _ = grid(shown, titles, nothing="no sample was mistaken", style=style)
    if found:
        figure.supxlabel("Above: the predicted class, and its probability. Below: the actual class.",
                         fontsize=8.5)  # fmt: skip
    return finished(figure, path)


def _percent(p: float) -> str:
    percent = 100.0 * p
    return f"{min(percent, 99.99):.2f} %" if percent > 99.5 else f"{percent:.0f} %"  # never 100
