"""`xpnet predict`: which digit is in a picture."""

from pathlib import Path
from typing import Annotated

import typer

from xpnet.cli.flags import Backend, RunFolder


def predict(
    run: RunFolder,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Pictures of one digit each.")
    ],
    backend: Backend = "numpy",
) -> None:
    """Name the digit in each picture, and how sure the network is.

    PNG, JPEG and whatever else Pillow reads; dark on light or light on dark.
    One digit a picture, and no frame around it: whatever differs from the
    paper is taken for the digit's ink.

    A picture that cannot be read is reported, the others are answered all the
    same, and the exit code is 2.
    """
    from xpnet import functions as F
    from xpnet.backend import to_numpy, using
    from xpnet.data import load_digit
    from xpnet.errors import DataError, StateError
    from xpnet.training import open_run

    trained = open_run(run)
    failed, width = False, max(len(str(path)) for path in images)
    with using(backend, trained.dtype):
        model = trained.build()
        features = next(model.parameters()).shape[0]
        if features != 28 * 28:
            raise StateError(
                f"{run}: expected a network on the 28 x 28 = 784 pixels that predict makes of a "
                f"picture; this one takes {features} numbers."
            )
        for path in images:
            try:
                pixels = load_digit(path)
            except DataError as error:
                typer.echo(f"Error: {error}", err=True)
                failed = True
                continue
            scores = trained.scores(model, pixels.reshape(1, 28 * 28))
            row = to_numpy(F.softmax(scores)).tolist()[0]
            digit = row.index(max(row))
            typer.echo(f"{path!s:{width}}  {digit}  {row[digit]:7.2%}")
    if failed:
        raise typer.Exit(2)
