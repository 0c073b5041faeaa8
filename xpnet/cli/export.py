"""`xpnet export`: a trained network as an ONNX file, with the preprocessing of its data; or as a page."""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xpnet.cli.errors import bad_flag
from xpnet.cli.flags import MOST, RunArgument, Trust, file, option
from xpnet.cli.screen import echo

if TYPE_CHECKING:
    from xpnet.cli.run_folder import Trained

PIXELS = (0.0, 255.0)  # the mean and scale by which pixels from 0 to 255 become numbers from 0 to 1

Scaling = tuple[Any, Any]

Page = Annotated[Path | None, option(
    file, "FILE.html", "A new page on which one draws a digit; for a run on mnist.",
)]  # fmt: skip
Package = Annotated[Path | None, option(
    file, "FOLDER|FILE.tgz", "The npm package onnxruntime-web, for the page; by default npm fetches it once.",
    "--onnxruntime-web",
)]  # fmt: skip


def export(
    run: RunArgument,
    path: Annotated[
        Path | None, typer.Argument(metavar="FILE.onnx", parser=file, help="The new file.")
    ] = None,
    preprocessing: Annotated[
        bool,
        typer.Option(
            "--preprocessing/--no-preprocessing",
            help="Whether the file itself scales its inputs, and returns numbers in their units.",
        ),
    ] = True,
    batch: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER",
            min=1,
            max=MOST,
            help="Samples per batch; by default any number of them.",
        ),
    ] = None,
    opset: Annotated[
        int | None,
        typer.Option(metavar="NUMBER", help="Version of ONNX's operators; by default 20, of 2024."),
    ] = None,
    page: Page = None,
    package: Package = None,
    trust: Trust = False,
) -> None:
    """Write a trained network to an ONNX file, for ONNX Runtime, a browser or a phone.

    The file takes samples as the data set has them, pixels from 0 to 255 or
    the numbers of a table, and scales them as the training did; with
    --no-preprocessing it takes the numbers that the network itself takes. It
    returns the scores of the classes, whose softmax are the probabilities, or
    the predicted numbers. Its metadata have the names of the classes.

    With --page FILE.html it writes a page, too, or instead: one draws a digit
    on it, and sees what the network computes. It is for a run on mnist, and is
    one file that needs neither a server nor an internet connection.
    """
    from xpnet.cli.drawing import write_page
    from xpnet.cli.run_folder import RunFolder

    options = {"batch": batch, "opset": opset, "no-preprocessing": not preprocessing or None}
    _require_a_file(path, page, package, options)
    for new, flag in ((path, "FILE.onnx"), (page, "--page")):
        if new is not None:
            _require_new(new, flag)
    trained = RunFolder(run).trained(trust)
    if page is not None:
        write_page(trained, run, page, package)
    if path is not None:
        _write_onnx(trained, path, preprocessing, batch, opset)


def _require_a_file(
    path: Path | None, page: Path | None, package: Path | None, options: dict[str, Any]
) -> None:
    """Refuse a command that writes nothing, and options of a file that is not written."""
    if path is None and page is None:
        raise bad_flag("FILE.onnx", "expected a file to write, FILE.onnx or --page FILE.html.")
    for name, value in options.items():
        if path is None and value is not None:
            raise bad_flag(f"--{name}", "it is for FILE.onnx, which is not given.")
    if path is not None and page is not None and os.path.realpath(path) == os.path.realpath(page):
        raise bad_flag("--page", f"expected another file than FILE.onnx, got {page} for both.")
    if page is None and package is not None:
        raise bad_flag("--onnxruntime-web", "it is for the page; name that with --page FILE.html.")


def _write_onnx(
    trained: "Trained", path: Path, preprocessing: bool, batch: int | None, opset: int | None
) -> None:
    """Write the ONNX file, and print what is in it."""
    from xpnet.backend import using
    from xpnet.cli.tables import schema
    from xpnet.saving import export_onnx

    before, after = _scalings(trained)
    options: dict[str, Any] = {}
    if opset is not None:
        options["opset"] = opset
    if batch is not None:
        options |= {"dynamic_batch": False, "batch_size": batch}
    if preprocessing:
        options |= {"input_scaling": before, "output_scaling": after}
    with using("numpy", trained.model.dtype):
        model = trained.build()
        written = export_onnx(
            model,
            path,
            trained.input_shape,
            classes=trained.classes or None,
            metadata={"preprocessing": _described(trained, before, after, preprocessing)},
            **options,
        )
    parameters = sum(math.prod(p.shape) for p in model.parameters())
    (version,) = written.opset_import
    echo(
        f"{path}: {len(written.graph.node)} operators of opset {version.version}, "
        f"{parameters:,} parameters"
    )
    for value in (*written.graph.input, *written.graph.output):
        sizes = [n.dim_param or str(n.dim_value) for n in value.type.tensor_type.shape.dim]
        echo(f"{value.name} ({', '.join(sizes)})")
    if "schema" in trained.reading:
        _print_inputs(schema(trained.reading).inputs, preprocessing)


def _print_inputs(names: list[str], preprocessing: bool) -> None:
    """What the numbers are that a network of a table takes."""
    from xpnet.data._messages import listed

    state = "standardised, as Schema.read returns them"
    if preprocessing:
        state = "before they are standardised, which the file does"
    echo(f"The inputs are numbers {state}: {listed(names)}")


def _require_new(path: Path, flag: str) -> None:
    """Refuse a path at which something exists, or whose folder does not exist."""
    if path.exists():
        raise bad_flag(flag, f"{path}: expected a new file; it exists. Remove it, or name another.")
    if not path.parent.is_dir():
        raise bad_flag(
            flag, f"{path}: expected a file in an existing folder; there is no such folder."
        )


def _scalings(trained: "Trained") -> tuple[Scaling | None, Scaling | None]:
    """(mean, scale) of the inputs, and of the outputs; None where there are none."""
    from xpnet.data import Standardizer

    reading = trained.reading
    before: Scaling | None = None
    if trained.has_pictures:
        before = PIXELS
    elif "schema" in reading:
        before = Standardizer.from_dict(reading["schema"]["standardizer"])
    elif "features" in reading:
        before = Standardizer.from_dict(reading["features"])
    after: Scaling | None = None
    if "targets" in reading:
        after = Standardizer.from_dict(reading["targets"])
    return before, after


def _described(
    trained: "Trained", before: Scaling | None, after: Scaling | None, included: bool
) -> dict[str, Any]:
    """What the metadata say of the preprocessing."""
    from xpnet.cli.tables import schema

    found: dict[str, Any] = {"included": included}
    if before is not None:
        mean, scale = before
        found["input"] = {"formula": "(x - mean) / scale", "mean": mean, "scale": scale}
    if after is not None:
        mean, scale = after
        found["output"] = {"formula": "y * scale + mean", "mean": mean, "scale": scale}
    if trained.has_pictures:
        found["image"] = trained.reading["shape"]  # channels, height, width
    if "schema" in trained.reading:
        known = schema(trained.reading)
        found["features"] = known.inputs
        found["target"] = known.target
    return found
