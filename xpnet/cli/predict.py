"""`xpnet predict`: what a trained network says of pictures, or of the rows of a table."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xpnet._printable import cells, padded, printable
from xpnet.cli.flags import Backend, RunFolder, Trust, file
from xpnet.cli.kinds import PICTURES
from xpnet.cli.screen import echo

if TYPE_CHECKING:
    from xpnet.cli.run_folder import Trained


def predict(
    run: RunFolder,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", parser=file, help="Pictures of one thing each; or tables."
        ),
    ],
    backend: Backend = "numpy",
    trust: Trust = False,
) -> None:
    """Name what is in each picture, and how sure the network is.

    PNG, JPEG and whatever else Pillow reads; dark on light or light on dark.
    Of a run on MNIST: one digit a picture, and no frame around it: whatever
    differs from the paper is taken for the digit's ink. Of a run on other
    images: one thing that fills the picture; it is brought to their size.

    For a run on a table, FILE has the columns that the run was trained on; what
    others hold does not matter. Out comes a table as well: of each row, its
    name by the index column, or its line in the file; and the file, if there
    are several.

    A file that cannot be read is reported, the others are answered all the
    same, and the exit code is 2.
    """
    from xpnet.backend import using
    from xpnet.cli.run_folder import open_trained
    from xpnet.errors import DataError

    trained = open_trained(run, trust)
    images = trained.reading["kind"] in PICTURES
    failed, begun = False, False
    with using(backend, trained.model.dtype):
        model = trained.build()
        for path in files:
            try:
                if images:
                    echo(_picture(trained, model, path, max(cells(printable(f)) for f in files)))
                else:
                    lines = _table(trained, model, path, several=len(files) > 1)
                    echo(_written(lines[1:] if begun else lines), nl=False)
            except DataError as error:
                echo(f"Error: {error}", err=True)
                failed = True
            else:
                begun = True
    if failed:
        raise typer.Exit(2)


def _picture(trained: "Trained", model: Any, path: Path, width: int) -> str:
    """A line: the file, its class, and the share of the probability."""
    from xpnet import functions as F
    from xpnet.backend import to_numpy
    from xpnet.data import load_digit, load_picture

    shape = trained.reading["shape"]
    digits = trained.config["dataset"] == "mnist" and shape == [1, 28, 28]
    x = load_digit(path) if digits else load_picture(path, shape)
    scores = trained.model.scores(model, x.reshape(1, *trained.input_shape))
    row = to_numpy(F.softmax(scores)).tolist()[0]
    c = row.index(max(row))
    names = [printable(name) for name in trained.classes]
    wide = max(map(cells, names))
    return f"{padded(printable(path), width)}  {padded(names[c], wide)}  {row[c]:7.2%}"


def _table(trained: "Trained", model: Any, path: Path, several: bool) -> list[list[str]]:
    """Lines of a table with a head: each row's name, its class and the probability, or its numbers."""
    from xpnet.cli.tables import rows

    found = rows(path, trained.config, trained.reading)
    names, answers = _answers(trained, trained.model.scores(model, trained.fitting(found.x)))
    lines = [[name, *answer] for name, answer in zip(found.names, answers, strict=True)]
    if several:  # whose rows may be named in different ways
        return [["file", "row", *names], *([str(path), *line] for line in lines)]
    return [[found.title, *names], *lines]


def _answers(trained: "Trained", y: Any) -> tuple[list[str], list[list[str]]]:
    """What the network's outputs are called, and what they are in words."""
    from xpnet import functions as F
    from xpnet.backend import to_numpy
    from xpnet.cli.tables import standardizer

    name = trained.reading["schema"]["target"] if "schema" in trained.reading else "t"
    if trained.classes:
        found = ((max(p), p.index(max(p))) for p in to_numpy(F.softmax(y)).tolist())
        return [name, "probability"], [[trained.classes[c], f"{share:.4f}"] for share, c in found]
    units = standardizer(trained.reading["targets"])
    numbers = (to_numpy(y) * units.scale + units.mean).tolist()
    several = len(units.mean) > 1
    names = [f"{name} {i}" for i in range(1, len(units.mean) + 1)] if several else [name]
    return names, [[f"{number:.7g}" for number in row] for row in numbers]


def _written(lines: list[list[str]]) -> str:
    """Lines as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
