"""`xpnet predict`: the predictions of a trained network for pictures, or for the rows of a table."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from xpnet._printable import cells, padded, printable
from xpnet._typing import Array
from xpnet.cli.errors import bad_flag
from xpnet.cli.flags import Backend, OtherDecimal, RunArgument, Trust, file
from xpnet.cli.screen import echo

if TYPE_CHECKING:
    from xpnet.cli.run_folder import Trained
    from xpnet.layers import Layer

Probabilities = Annotated[bool, typer.Option(
    "--probabilities", help="For a table: a column with the probability of each class.",
)]  # fmt: skip


def predict(
    run: RunArgument,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE|FOLDER...",
            parser=file,
            help="Pictures with one object each, folders of them, or tables.",
        ),
    ],
    probabilities: Probabilities = False,
    decimal: OtherDecimal = None,
    backend: Backend = "numpy",
    trust: Trust = False,
) -> None:
    """Print the class of each picture, or of each row of a table, and its probability.

    Pictures may be PNG, JPEG, GIF, BMP, TIFF, WebP, AVIF or PPM, dark on
    light or light on dark. For a run on MNIST, a picture shows one digit without
    a frame: everything that differs from the paper is taken as the digit's ink.
    For a run on other images, it shows one object that fills the picture; it is
    resized. Of a folder, all pictures in it are taken, but not those of its
    subfolders.

    For a run on a table, FILE is a table with the columns that the run was
    trained on; other columns are ignored. The output is a table as well: each
    line names its row, by the index column or by the line in the file, and by
    the columns of --id; with several files, it names the file too. How FILE
    differs from the training data, such as in new categories, is printed to
    standard error.

    A file that cannot be read is reported; the others are processed, and the
    exit code is 2.
    """
    from xpnet.backend import using
    from xpnet.cli.run_folder import RunFolder, require_table
    from xpnet.errors import DataError

    trained = RunFolder(run).trained(trust)
    failed = False
    has_header = False
    if probabilities and (trained.has_pictures or not trained.classes):
        raise bad_flag("--probabilities", "it is for classes of a table.")
    require_table(trained, decimal)
    if trained.has_pictures:
        files, failed = _pictures_of(files)
    width = max((cells(printable(path)) for path in files), default=0)
    with using(backend, trained.model.dtype):
        model = trained.build()
        for path in files:
            try:
                if trained.has_pictures:
                    echo(_picture_line(trained, model, path, width))
                else:
                    answers = _answers(trained, model, path, decimal)
                    header, *lines = _table(answers, path, len(files) > 1, probabilities)
                    if not has_header:
                        lines = [header, *lines]
                        has_header = True
                    echo(_as_csv(lines), nl=False)
            except DataError as error:
                _report(error)
                failed = True
    if failed:
        raise typer.Exit(2)


def _report(error: Exception) -> None:
    """Print why a file or folder was not processed."""
    echo(f"Error: {error}", err=True)


def _pictures_of(paths: list[Path]) -> tuple[list[Path], bool]:
    """The files, with the pictures of a folder in its place; and whether a folder could not be read."""
    from xpnet.data.image_folder import pictures_in
    from xpnet.errors import DataError

    found = []
    failed = False
    for path in paths:
        try:
            found += pictures_in(path) if path.is_dir() else [path]
        except DataError as error:
            _report(error)
            failed = True
    return found, failed


def _picture_line(trained: "Trained", model: "Layer", path: Path, width: int) -> str:
    """A line with the file, in a column of this width, its class, and the probability of that class."""
    from xpnet import functions as F
    from xpnet.backend import to_numpy
    from xpnet.data import load_digit, load_picture

    shape = trained.reading["shape"]
    if trained.config["dataset"] == "mnist" and shape == [1, 28, 28]:
        x = load_digit(path)
    else:
        x = load_picture(path, shape)
    scores = trained.model.scores(model, x.reshape(1, *trained.input_shape))
    probabilities = to_numpy(F.softmax(scores)).tolist()[0]
    c = probabilities.index(max(probabilities))
    names = [printable(name) for name in trained.classes]
    name = padded(names[c], max(map(cells, names)))
    return f"{padded(printable(path), width)}  {name}  {probabilities[c]:7.2%}"


class _Answers(NamedTuple):
    """The predictions for a file.

    Attributes
    ----------
    titles : list of str
        The titles of the names: that of the index column; or "line" (in the file, from 1), or "row"
        (of an array, from 0), as errors count them; then the columns that identify the rows.
    rows : list of list of str
        The names of each row.
    name : str
        The name of what is predicted.
    values : sequence of sequence of str or of float
        The class, or the numbers, of each row.
    classes : list of str
    probabilities : ndarray of shape (n, classes), or None
    """

    titles: list[str]
    rows: list[list[str]]
    name: str
    values: Sequence[Sequence[str | float]]
    classes: list[str]
    probabilities: Array | None


def _answers(trained: "Trained", model: "Layer", path: Path, decimal: str | None) -> _Answers:
    """The predictions for the rows of a table or of an archive."""
    from xpnet.cli.tables import archive_rows, table_cells
    from xpnet.training.predictions import classified, in_units

    if "schema" in trained.reading:
        known = trained.model.schema
        found = trained.model.predict_cells(model, table_cells(path, known, decimal))
        columns = [list(map(str, found.rows)), *found.ids.values()]
        return _Answers(
            titles=[found.title, *found.ids],
            rows=[list(row) for row in zip(*columns, strict=True)],
            name=known.target,
            values=[[value] for value in found.values],
            classes=found.classes,
            probabilities=found.probabilities,
        )
    x = archive_rows(path, trained.config, trained.reading)
    y = trained.model.scores(model, trained.fitting(x))
    rows = [[str(i)] for i in range(len(x))]
    units = trained.model.units
    if units is not None:
        return _Answers(["row"], rows, "t", in_units(y, units), [], None)
    labels, probabilities = classified(y, trained.classes)
    return _Answers(["row"], rows, "t", [[c] for c in labels], trained.classes, probabilities)


def _table(answers: _Answers, path: Path, several: bool, each: bool) -> list[list[str]]:
    """A header; and for each row its name with its class and probabilities, or with its numbers."""
    names, predictions = _columns(answers, each)
    pairs = zip(answers.rows, predictions, strict=True)
    lines = [[*row, *prediction] for row, prediction in pairs]
    title, *ids = answers.titles
    if several:  # the files may name their rows in different ways
        return [["file", "row", *ids, *names], *([str(path), *line] for line in lines)]
    return [[title, *ids, *names], *lines]


def _columns(answers: _Answers, each: bool) -> tuple[list[str], list[list[str]]]:
    """The names of the columns with predictions, and the predictions for each row."""
    name = answers.name
    values = answers.values
    if answers.probabilities is None:
        count = len(values[0]) if values else 1
        names = [name] if count == 1 else [f"{name} {i}" for i in range(1, count + 1)]
        return names, [[f"{number:.7g}" for number in row] for row in values]
    shown = answers.probabilities
    names = [name, *(f"{name}={label}" for label in answers.classes)]
    if not each:
        shown = shown.max(axis=1, keepdims=True)
        names = [name, "probability"]
    rows = zip(values, shown.tolist(), strict=True)
    return names, [[*map(str, row), *(f"{p:.4f}" for p in ps)] for row, ps in rows]


def _as_csv(lines: list[list[str]]) -> str:
    """Lines in CSV format."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
