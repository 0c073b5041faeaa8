"""The report about a model: its sections, from scores and targets."""

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from xpnet import metrics, plots
from xpnet._printable import counted, spoken
from xpnet._typing import Array, PathLike
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.backend import to_numpy
from xpnet.errors import ShapeError
from xpnet.report import page
from xpnet.saving.safetensors import replacing
from xpnet.training.environment import versions as versions_here
from xpnet.training.history import History

MANY = 40  # classes: with more, the confusion matrix is a plot instead of a table
MISTAKES = 24  # the maximum number of mistakes to show


def report(
    path: PathLike,
    scores: Array,
    targets: Array,
    *,
    images: Array | None = None,
    classes: Sequence[str] | None = None,
    samples: Sequence[str] | None = None,
    history: History | Sequence[Mapping[str, float]] | None = None,
    training_images: PathLike | None = None,
    config: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
    title: str = "Evaluation",
) -> Path:
    """Write a report about a model's predictions as one HTML file.

    Parameters
    ----------
    path : str or path-like
        The file, which is replaced if it exists.
    scores : array or nested list
        The output of the model. For a classification, shape (n, classes), before softmax; for a
        regression, the shape of the targets.
    targets : array or nested list
        Class numbers, shape (n,), if they are integers and the scores are of several classes; else
        the values of a regression.
    images : array, optional
        The samples, if they are images: see `plots.worst_mistakes`.
    classes : sequence of str, optional
        The names of the classes; by default their numbers.
    samples : sequence of str, optional
        The name of each sample in the list of mistakes, such as "line 14"; by default its number.
    history : History or sequence of dicts, optional
        The training, with a row per epoch.
    training_images : str or path-like, optional
        A PNG file with images of the training, such as `plots.samples` writes.
    config : mapping, optional
        The settings to be listed. Values that are not strings are written as JSON.
    versions : mapping of str to str, optional
        The versions of packages; by default those that are running.
    title : str

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ShapeError
        Scores and targets do not fit together, there are no samples, or there is not one name per
        class or sample.
    ModuleNotFoundError
        matplotlib is not installed.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from xpnet import functions as F
    >>> from xpnet.report import report
    >>> scores = F.asarray([[2.0, 0.0], [0.0, 3.0], [1.0, 0.0], [0.0, 1.0]])
    >>> targets = F.asarray([0, 1, 1, 1])
    >>> with TemporaryDirectory() as folder:
    ...     file = report(f"{folder}/report.html", scores, targets, classes=["cat", "dog"])
    ...     "75.00 %" in file.read_text(encoding="utf-8")  # the accuracy
    True
    """
    y = _on_host(scores)
    t = _on_host(targets)
    if t.ndim == 0 or t.shape[0] == 0 or y.shape[:1] != t.shape[:1]:
        raise ShapeError(
            f"Expected scores and targets of the same samples, got shapes {tuple(y.shape)} and "
            f"{tuple(t.shape)}."
        )
    names = _names_of(samples, t.shape[0], "samples")
    parts = [f"<header><h1>{escape(title)}</h1></header>", "<main>"]
    if y.ndim == 2 and t.ndim == 1 and y.shape[1] > 1 and has_dtype(t, "integral"):
        parts += _classification(y, t, images, classes, names)
    else:
        parts += _regression(y, t)
    if training_images is not None:
        parts.append(_training_images(training_images))
    if history is not None:
        parts.append(_training(history))
    if config:
        rows = [(str(key), _text(value)) for key, value in config.items()]
        head = ("Setting", "Value")
        parts.append(page.section("Configuration", page.table("Settings", head, rows, "words")))
    if versions is None:
        versions = versions_here()
    table = page.table("Packages", ("Package", "Version"), list(versions.items()), "words")
    parts += [page.section("Versions", table), "</main>", "<footer>Made by xpnet.</footer>"]
    text = page.page(title, parts)
    with replacing(path) as temporary:
        # A file's name may have bytes that are not UTF-8; they are written as escapes.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    return Path(path)


# --- classes --------------------------------------------------------------------------------------


def _classification(
    y: Array, t: Array, images: Array | None, classes: Sequence[str] | None, samples: list[str]
) -> list[str]:
    """The parts about a classification."""
    k = y.shape[1]
    names = _names_of(classes, k, "classes")
    table = metrics.confusion_matrix(y, t)
    counts = table.tolist()
    parts = [page.figures(_main_figures(y, t, counts))]
    caption = "Rows: actual class. Columns: predicted class. Cells: samples."
    if k <= MANY:
        matrix = page.counts(caption, names, counts)
    else:
        text = f"Confusion matrix of {k} classes; the table by class has its numbers."
        matrix = page.plot(plots.confusion_matrix(table, names), text, wide="Confusion matrix")
    parts.append(page.section("Confusion matrix", matrix))
    parts.append(page.section("Each class", _by_class(y, t, names, counts)))
    parts.append(page.section("Worst mistakes", _mistakes(y, t, images, names, samples)))
    return parts


def _names_of(given: Sequence[str] | None, n: int, what: str) -> list[str]:
    """A name for each of n samples or classes; by default its number."""
    names = [str(name) for name in (range(n) if given is None else given)]
    if len(names) != n:
        raise ShapeError(f"Expected a name for each of {n} {what}, got {len(names)}.")
    return names


def _main_figures(y: Array, t: Array, counts: list[list[int]]) -> dict[str, str]:
    """The most important numbers of a classification."""
    n, k = y.shape
    correct = sum(counts[i][i] for i in range(k))
    figures = {
        "Accuracy": _percent(float(metrics.accuracy(y, t))),
        f"Wrong of {n:,}": f"{n - correct:,}",
        "F1, mean of classes": _percent(float(metrics.f1(y, t, average="macro"))),
    }
    if k > 5:
        figures["Among the best 3"] = _percent(float(metrics.top_k_accuracy(y, t, k=3)))
    if k <= MANY:
        area = float(metrics.roc_auc(y, t))
        figures["ROC AUC"] = f"{area:.4f}" if math.isfinite(area) else "-"
    return figures


def _by_class(y: Array, t: Array, names: list[str], counts: list[list[int]]) -> str:
    """A table with a row for each class."""
    columns = [
        figure(y, t, average=None, zero_division=math.nan).tolist()
        for figure in (metrics.precision, metrics.recall, metrics.f1)
    ]
    rows = []
    for i, (name, row) in enumerate(zip(names, counts, strict=True)):
        others = [j for j in range(len(row)) if j != i]
        j = max(others, key=row.__getitem__)
        confused = "-"
        if row[j]:
            confused = f"{names[j]} ({row[j]:,})"
        shares = [_percent(column[i]) for column in columns]
        rows.append((name, *shares, f"{sum(row):,}", confused))
    head = ("Class", "Precision", "Recall", "F1", "Samples", "Most often taken for")
    caption = (
        "Precision: the share of correct predictions among all predictions of the class. "
        "Recall: the share of the samples of the class that was found."
    )
    return page.table(caption, head, rows, "taken")


def _mistakes(
    y: Array, t: Array, images: Array | None, names: list[str], samples: list[str]
) -> str:
    """The worst mistakes: their images, or else a table."""
    found = plots.mistakes(y, t, MISTAKES)
    if not found:
        return "<p>All predictions are correct.</p>"
    note = "The mistakes whose actual class got the lowest probabilities, the worst first."
    if images is None:
        head = ("Sample", "Predicted", "Probability", "Actual", "Its probability")
        rows = [
            (samples[m.sample], names[m.predicted], _percent(m.probability), names[m.actual], _percent(m.actual_probability))
            for m in found
        ]  # fmt: skip
        return page.table(note, head, rows, "mistaken")
    shown = plots.pictures(_on_host(images)[[m.sample for m in found], ...])
    items = []
    for m, pixels in zip(found, shown, strict=True):
        predicted = names[m.predicted]
        actual = names[m.actual]
        text = f"Sample {samples[m.sample]}: {actual}, taken for {predicted}"
        caption = (
            f"<strong>{escape(predicted)}</strong>, {_percent(m.probability)}<br>"
            f"is <strong>{escape(actual)}</strong>, {_percent(m.actual_probability)}"
        )
        drawn = page.image(page.picture(pixels), "png", text)
        items.append(f"<figure>{drawn}<figcaption>{caption}</figcaption></figure>")
    return f'<p class="soft">{note}</p>\n<div class="mistakes">{"".join(items)}</div>'


# --- numbers --------------------------------------------------------------------------------------


def _regression(y: Array, t: Array) -> list[str]:
    """The parts about a regression: the most important numbers, and the plots."""
    if t.ndim == 1 and tuple(y.shape) == (t.shape[0], 1):
        y = y[:, 0]
    error = float(metrics.mean_squared_error(y, t))
    mean = float(metrics.mean_absolute_error(y, t))
    score = float(metrics.r2(y, t))
    numbers = {
        spoken("r2"): page.number(score),
        "Mean absolute error": page.number(mean),
        "Root mean squared error": page.number(math.sqrt(error)),
        "Samples": f"{t.shape[0]:,}",
    }
    text = (
        f"Two scatter plots: predicted against actual numbers, and errors against predictions. "
        f"{spoken('r2')} is {score:.4g}, the mean absolute error {mean:.4g}."
    )
    name = "Predictions and errors"
    drawn = page.plot(plots.predictions(y, t), text, wide=name)
    return [page.figures(numbers), page.section(name, drawn)]


# --- the training -----------------------------------------------------------------------------------


def _training_images(path: PathLike) -> str:
    """The section with images of each class, as the network sees them."""
    note = "Images of each class as the network sees them, after resizing and augmentation."
    drawn = page.image(
        Path(path).read_bytes(), "png", "Training images of each class, with its name."
    )
    shown = page.scrolling("Training images", f'<figure class="wide">{drawn}</figure>')
    return page.section("Training images", f'<p class="soft">{note}</p>', shown)


def _training(given: History | Sequence[Mapping[str, float]]) -> str:
    """The section with the curves and the numbers of each epoch."""
    if isinstance(given, History):
        history = given
    else:
        history = History()
        for row in given:
            history.append(dict(row))
    if not len(history):
        return page.section("Training", "<p>No epoch was finished.</p>")
    names = [c.removeprefix("train_") for c in history.columns if c.startswith("train_")]
    drawn = []
    for name in names:
        ends = [
            f"{part} from {history[column][0]:.4g} to {history[column][-1]:.4g}"
            for part in ("train", "test")
            if (column := f"{part}_{name}") in history
        ]
        text = f"Line chart of {spoken(name)} over {counted(len(history), 'epoch')}: {', '.join(ends)}."
        drawn.append(page.plot(plots.curves(history, names=[name]), text))
    rows = [[f"{value:.6g}" for value in row.values()] for row in history.rows]
    head = [spoken(column) for column in history.columns]
    table = page.table(counted(len(history), "epoch"), head, rows)
    return page.section(
        "Training",
        f'<div class="plots">{"".join(drawn)}</div>',
        page.details("The numbers of each epoch", table),
    )


# --- text -------------------------------------------------------------------------------------------


def _on_host(x: Array) -> Array:
    """An array of any library, or a nested list, as an array on the host."""
    x = to_numpy(x)
    return array_namespace(x).asarray(x)


def _percent(share: float) -> str:
    """A share in per cent; a dash if it is undefined."""
    if not math.isfinite(share):
        return "-"
    return f"{100.0 * share:.2f} %"


def _text(value: Any) -> str:
    """A setting as text."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return json.dumps(value, default=str)
