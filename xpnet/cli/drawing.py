"""The page of `xpnet export RUN --page FILE.html`, on which one draws a digit."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from xpnet.cli.errors import bad_flag
from xpnet.cli.screen import echo

if TYPE_CHECKING:
    from xpnet.cli.run_folder import Trained
    from xpnet.layers import Layer

DIGITS = ("mnist", [1, 28, 28])  # the data set, and the shape of its images


def write_page(trained: "Trained", run: Path, page: Path, package: Path | None) -> None:
    """Write the page, and print its size.

    Parameters
    ----------
    trained : Trained
    run : Path
        Its folder.
    page : Path
        The new file.
    package : Path or None
        The npm package onnxruntime-web: see `find_runtime`.

    Raises
    ------
    typer.BadParameter
        The network was not trained on digits.
    MissingPackageError
        The package onnx is not installed.
    DataError
        onnxruntime-web is missing, and could not be fetched.
    """
    from xpnet.backend import using
    from xpnet.report.drawing import drawing_page, find_runtime
    from xpnet.saving import export_onnx

    _require_digits(trained, run)
    with using("numpy", trained.model.dtype):
        model = trained.build()
        written = export_onnx(model, None, trained.input_shape, dtype="float32")
    runtime = find_runtime(package, announce=echo)
    drawing_page(
        page, written, trained.classes, subtitle=_subtitle(trained, run, model), runtime=runtime
    )
    echo(
        f"{page}: {page.stat().st_size / 1e6:.1f} MB, with onnxruntime-web {runtime.version}. "
        "Open it in a browser: it needs no internet connection."
    )


def _require_digits(trained: "Trained", run: Path) -> None:
    """Refuse a network for anything but digits: drawings are prepared as those of MNIST were."""
    dataset = trained.config["dataset"]
    given = dataset
    if trained.has_pictures:
        shape = trained.reading["shape"]
        given = f"{dataset}, with images of shape {tuple(shape)}"
        if (dataset, shape) == DIGITS:
            return
    raise bad_flag(
        "--page",
        "expected a run on mnist, with images of shape (1, 28, 28), as one draws digits on the page; "
        f"{run} was trained on {given}. Its network can be exported without a page: "
        "xpnet export RUN FILE.onnx.",
    )


def _subtitle(trained: "Trained", run: Path, model: "Layer") -> str:
    """What the network is, and how good."""
    name = trained.model.architecture.get("model", "mlp")
    parameters = sum(math.prod(p.shape) for p in model.parameters())
    text = f"{name}, {parameters:,} parameters, run {run.resolve().name}."
    accuracy = trained.config.get("test_accuracy")
    if isinstance(accuracy, float):
        text += f" It recognises {100 * accuracy:.2f} % of its test images."
    return text
