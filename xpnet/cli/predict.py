"""`xpnet predict`: the predictions of a trained network for pictures, or for the rows of a table."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xpnet._printable import cells, padded, printable
from xpnet._typing import Array
from xpnet.cli.errors import bad_flag
from xpnet.cli.flags import Backend, RunArgument, Trust, file
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
    from xpnet.cli.run_folder import RunFolder
    from xpnet.errors import DataError

    trained = RunFolder(run).trained(trust)
    failed = False
    has_header = False
    if probabilities and (trained.has_pictures or not trained.classes):
        raise bad_flag("--probabilities", "it is for classes of a table.")
    if trained.has_pictures:
        files = [picture for path in files for picture in _pictures_of(path)]
    width = max((cells(printable(path)) for path in files), default=0)
    with using(backend, trained.model.dtype):
        model = trained.build()
        for path in files:
            try:
                if trained.has_pictures:
                    echo(_picture_line(trained, model, path, width))
                else:
                    header, *lines = _table(
                        trained, model, path, several=len(files) > 1, each=probabilities
                    )
                    if not has_header:
                        lines = [header, *lines]
                        has_header = True
                    echo(_as_csv(lines), nl=False)
            except DataError as error:
                echo(f"Error: {error}", err=True)
                failed = True
    if failed:
        raise typer.Exit(2)


def _pictures_of(path: Path) -> list[Path]:
    """The pictures of a folder; the path itself if it is a file, or if reading it will be an error."""
    from xpnet.data.image_folder import pictures_in
    from xpnet.errors import DataError

    if not path.is_dir():
        return [path]
    try:
        return pictures_in(path)
    except DataError:
        return [path]


def _picture_line(trained: "Trained", model: "Layer", path: Path, width: int) -> str:
    """A line with the file, in a column of this width, its class, and the probability of that class."""
    from xpnet import functions as F
    from xpnet.backend import to_numpy
    from xpnet.data import load_digit, load_picture
    from xpnet.data.image_folder import pictures_in

    if path.is_dir():
        pictures_in(path)  # raises an error, as it did before
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


def _table(
    trained: "Trained", model: "Layer", path: Path, several: bool, each: bool
) -> list[list[str]]:
    """A header; and for each row its name with its class and probabilities, or with its numbers."""
    from xpnet.cli.tables import rows

    found = rows(path, trained.config, trained.reading)
    y = trained.model.scores(model, trained.fitting(found.x))
    names, predictions = _predictions(trained, y, each)
    lines = [[*row, *prediction] for row, prediction in zip(found.names, predictions, strict=True)]
    title, *ids = found.titles
    if several:  # the files may name their rows in different ways
        return [["file", "row", *ids, *names], *([str(path), *line] for line in lines)]
    return [[title, *ids, *names], *lines]


def _predictions(trained: "Trained", y: Array, each: bool) -> tuple[list[str], list[list[str]]]:
    """The names of the columns with predictions, and the predictions for each row."""
    from xpnet.training.predictions import classified, in_units

    name = "t"  # the targets of an archive have no other name
    if "schema" in trained.reading:
        name = trained.reading["schema"]["target"]
    units = trained.model.units
    if units is not None:
        numbers = in_units(y, units)
        names = [name]
        if len(units.mean) > 1:
            names = [f"{name} {i}" for i in range(1, len(units.mean) + 1)]
        return names, [[f"{number:.7g}" for number in row] for row in numbers]
    labels, probabilities = classified(y, trained.classes)
    shown = probabilities.max(axis=1, keepdims=True)
    names = [name, "probability"]
    if each:
        shown = probabilities
        names = [name, *(f"{name}={label}" for label in trained.classes)]
    rows = zip(labels, shown.tolist(), strict=True)
    return names, [[label, *(f"{p:.4f}" for p in row)] for label, row in rows]


def _as_csv(lines: list[list[str]]) -> str:
    """Lines in CSV format."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
