"""How good a model is, on one page."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from xpnet import functions as F, metrics, plots
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.backend import to_numpy
from xpnet.errors import ShapeError
from xpnet.report import page
from xpnet.saving.safetensors import replacing
from xpnet.training.environment import versions as versions_here
from xpnet.training.history import History

MANY = 40  # classes: beyond it the confusion matrix is a picture, not a table
MISTAKES = 24


def report(
    path: str | os.PathLike[str],
    scores: Any,
    targets: Any,
    *,
    images: Any = None,
    classes: Sequence[str] | None = None,
    samples: Sequence[str] | None = None,
    history: History | Sequence[Mapping[str, float]] | None = None,
    config: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
    title: str = "Evaluation",
) -> Path:
    """Write a page about a model's answers: one HTML file, complete in itself.

    Parameters
    ----------
    path : str or path-like
        The file; one that is there is replaced.
    scores : array or nested list
        What the model gave. Of classes, shape (n, classes), before softmax; of numbers, the shape
        of the targets.
    targets : array or nested list
        Class numbers, shape (n,), if they are integers and the scores have one axis more; else
        numbers.
    images : array, optional
        The samples, if they are pictures: see `plots.worst_mistakes`.
    classes : sequence of str, optional
        Their names.
    samples : sequence of str, optional
        What each sample is called where it was mistaken, such as "line 14"; by default its number.
    history : History or sequence of dicts, optional
        The training, a row an epoch.
    config : mapping, optional
        The settings to be told; values that are no text are written as JSON.
    versions : mapping of str to str, optional
        Unless given, those that are running.
    title : str

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ShapeError
        Scores and targets do not fit, there are no samples, or not a name for each class or sample.
    ModuleNotFoundError
        matplotlib is not installed.
    """
    y, t = _host(scores), _host(targets)
    if t.ndim == 0 or t.shape[0] == 0 or y.shape[:1] != t.shape[:1]:
        raise ShapeError(
            f"Expected scores and targets of the same samples, got shapes {tuple(y.shape)} and "
            f"{tuple(t.shape)}."
        )
    called = [str(name) for name in (samples if samples is not None else range(t.shape[0]))]
    if len(called) != t.shape[0]:
        raise ShapeError(f"Expected a name for each of {t.shape[0]} samples, got {len(called)}.")
    is_class = y.ndim == 2 and t.ndim == 1 and y.shape[1] > 1 and has_dtype(t, "integral")
    parts = [f"<header><h1>{escape(title)}</h1></header>", "<main>"]
    parts += _classification(y, t, images, classes, called) if is_class else _regression(y, t)
    if history is not None:
        parts.append(_training(history))
    if config:
        rows = [(str(key), _text(value)) for key, value in config.items()]
        head = ("Setting", "Value")
        parts.append(page.section("Configuration", page.table("Settings", head, rows, "words")))
    rows = list((versions if versions is not None else versions_here()).items())
    table = page.table("What ran", ("Package", "Version"), rows, "words")
    parts += [page.section("Versions", table), "</main>", "<footer>Made by xpnet.</footer>"]
    text = page.page(title, parts)
    with replacing(path) as temporary:
        # What is no Unicode, a byte of a file's name perhaps, is written as its escape.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    return Path(path)


# --- classes --------------------------------------------------------------------------------------


def _classification(
    y: Any, t: Any, images: Any, classes: Sequence[str] | None, samples: list[str]
) -> list[str]:
    n, k = y.shape
    names = [str(name) for name in (classes if classes is not None else range(k))]
    if len(names) != k:
        raise ShapeError(f"Expected a name for each of {k} classes, got {len(names)}.")
    table = metrics.confusion_matrix(y, t)
    counts = table.tolist()
    numbers = {
        "Accuracy": _percent(float(metrics.accuracy(y, t))),
        f"Wrong of {n:,}": f"{n - sum(counts[i][i] for i in range(k)):,}",
        "F1, mean of classes": _percent(float(metrics.f1(y, t, average="macro"))),
    }
    if k > 5:
        numbers["Among the best 3"] = _percent(float(metrics.top_k_accuracy(y, t, k=3)))
    if k <= MANY:
        p = F.softmax(y)
        area = float(metrics.roc_auc(p[:, 1] if k == 2 else p, t))
        numbers["ROC AUC"] = f"{area:.4f}" if math.isfinite(area) else "-"
    parts = [page.figures(numbers)]
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


def _by_class(y: Any, t: Any, names: list[str], counts: list[list[int]]) -> str:
    nan = math.nan
    columns = [
        getattr(metrics, figure)(y, t, average=None, zero_division=nan).tolist()
        for figure in ("precision", "recall", "f1")
    ]
    rows = []
    for i, (name, row) in enumerate(zip(names, counts, strict=True)):
        wrong, j = max(((c, j) for j, c in enumerate(row) if j != i), key=lambda m: (m[0], -m[1]))
        taken = f"{names[j]} ({wrong:,})" if wrong else "-"
        rows.append((name, *(_percent(column[i]) for column in columns), f"{sum(row):,}", taken))
    head = ("Class", "Precision", "Recall", "F1", "Samples", "Most often taken for")
    caption = "Precision: of those named so, the share that are. Recall: of those that are, the share found."
    return page.table(caption, head, rows, "taken")


def _mistakes(y: Any, t: Any, images: Any, names: list[str], samples: list[str]) -> str:
    found = plots.mistakes(y, t, MISTAKES)
    if not found:
        return "<p>No sample was mistaken.</p>"
    note = "Those whose actual class was given the least probability, the worst first."
    if images is None:
        head = ("Sample", "Predicted", "Probability", "Actual", "Its probability")
        rows = [
            (samples[m.sample], names[m.predicted], _percent(m.probability), names[m.actual], _percent(m.actual_probability))
            for m in found
        ]  # fmt: skip
        return page.table(note, head, rows, "mistaken")
    shown = plots.pictures(_host(images)[[m.sample for m in found], ...])
    items = []
    for m, pixels in zip(found, shown, strict=True):
        predicted, actual = names[m.predicted], names[m.actual]
        text = f"Sample {samples[m.sample]}: {actual}, taken for {predicted}"
        caption = (
            f"<strong>{escape(predicted)}</strong>, {_percent(m.probability)}<br>"
            f"is <strong>{escape(actual)}</strong>, {_percent(m.actual_probability)}"
        )
        drawn = page.image(page.picture(pixels), "png", text)
        items.append(f"<figure>{drawn}<figcaption>{caption}</figcaption></figure>")
    return f'<p class="soft">{note}</p>\n<div class="mistakes">{"".join(items)}</div>'


# --- numbers --------------------------------------------------------------------------------------


def _regression(y: Any, t: Any) -> list[str]:
    y = y[:, 0] if t.ndim == 1 and tuple(y.shape) == (t.shape[0], 1) else y
    error = float(metrics.mean_squared_error(y, t))
    mean = float(metrics.mean_absolute_error(y, t))
    score = float(metrics.r2(y, t))
    numbers = {
        "R²": page.number(score),
        "Mean absolute error": page.number(mean),
        "Root mean squared error": page.number(math.sqrt(error)),
        "Samples": f"{t.shape[0]:,}",
    }
    text = (
        f"Two scatter plots: predicted against actual numbers, and errors against predictions. "
        f"R² is {score:.4g}, the mean absolute error {mean:.4g}."
    )
    name = "Predictions and errors"
    drawn = page.plot(plots.predictions(y, t), text, wide=name)
    return [page.figures(numbers), page.section(name, drawn)]


# --- the training -----------------------------------------------------------------------------------


def _training(given: History | Sequence[Mapping[str, float]]) -> str:
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
        text = f"Line chart of {name} over {len(history)} epochs: {', '.join(ends)}."
        drawn.append(page.plot(plots.curves(history, names=[name]), text))
    rows = [[f"{value:.6g}" for value in row.values()] for row in history.rows]
    head = [column.replace("_", " ") for column in history.columns]
    table = page.table(f"{len(history)} epochs", head, rows)
    return page.section(
        "Training",
        f'<div class="plots">{"".join(drawn)}</div>',
        page.details("The numbers of each epoch", table),
    )


# --- text -------------------------------------------------------------------------------------------


def _host(x: Any) -> Any:
    x = to_numpy(x)
    return array_namespace(x).asarray(x)


def _percent(share: float) -> str:
    return f"{100.0 * share:.2f} %" if math.isfinite(share) else "-"


def _text(value: Any) -> str:
    value = "-" if value is None else value
    return value if isinstance(value, str) else json.dumps(value, default=str)
