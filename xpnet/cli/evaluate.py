"""`xpnet evaluate`: how good a trained network is, on all of the test images and on each class."""

from pathlib import Path
from typing import Any

import typer

from xpnet.cli.flags import Backend, DataDir, RunFolder


def evaluate(run: RunFolder, backend: Backend = "numpy", data_dir: DataDir = None) -> None:
    """Test a trained network: loss, accuracy, and a table by class.

    The test images are those of the training's data, unless --data-dir names others.
    """
    from xpnet import functions as F
    from xpnet.backend import to_numpy, using
    from xpnet.data import load_mnist
    from xpnet.errors import DataError
    from xpnet.metrics import accuracy, confusion_matrix
    from xpnet.training import open_run
    from xpnet.training.evaluation import prepared

    trained = open_run(run)
    folder = data_dir or trained.data_dir
    if not data_dir and folder and not Path(folder).is_dir():
        raise DataError(
            f"{run}: the run was trained on {folder}, which is not there. Name another with --data-dir."
        )
    with using(backend, trained.dtype) as where:
        model = trained.build()
        _, test = load_mnist(data_dir=folder, dtype=trained.dtype)
        x, t = prepared(model, test)
        y = trained.scores(model, x)
        loss, share = float(F.softmax_cross_entropy(y, t)), float(accuracy(y, t))
        counts = to_numpy(confusion_matrix(y, t)).tolist()
    source = f"of {folder}" if folder else "of the built-in MNIST"
    if trained.epochs_finished < trained.epochs:
        typer.echo(
            f"The training was not finished: {trained.epochs_finished} of {trained.epochs} epochs."
        )
    typer.echo(f"{len(test[1])} test images {source}, on {where.name}")
    typer.echo(f"Test loss {loss:.4f}, accuracy {share:.2%}\n")
    typer.echo("class  images   found  right when named  most often taken for")
    for line in _by_class(counts):
        typer.echo(line)


def _by_class(counts: list[list[int]]) -> Any:
    """A line a class, from the confusion matrix: recall, precision, and its worst mistake."""
    for c, row in enumerate(counts):
        images, right, named = sum(row), row[c], sum(other[c] for other in counts)
        mistakes = [(n, j) for j, n in enumerate(row) if j != c and n]
        n, j = max(mistakes, key=lambda m: m[0], default=(0, 0))
        worst = f"{j}, {n} {'time' if n == 1 else 'times'}" if n else "-"
        found = f"{right / images:.2%}" if images else "-"
        precision = f"{right / named:.2%}" if named else "-"
        yield f"{c:5}  {images:6}  {found:>6}  {precision:>16}  {worst}"
