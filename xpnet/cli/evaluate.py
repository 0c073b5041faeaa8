"""`xpnet evaluate`: the test figures of a trained network, a table by class, and a report page."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from xpnet._printable import cells, counted, padded, printable
from xpnet._typing import Array
from xpnet.cli.errors import bad_flag
from xpnet.cli.flags import Backend, DataDir, OtherDecimal, RunArgument, Trust, file, option, table
from xpnet.cli.screen import echo

if TYPE_CHECKING:
    from xpnet.cli.run_folder import Trained
    from xpnet.cli.tables import TestSamples

Report = Annotated[Path | None, option(
    file, "FILE.html", "The report page; by default RUN/report.html, or RUN/report-NAME.html for other data.",
)]  # fmt: skip
Other = Annotated[str | None, option(
    table, "FILE|FOLDER", "Another table or folder of pictures, all of whose samples are the test.",
    "--dataset",
)]  # fmt: skip


def _page_path(run: Path, named: str | Path | None) -> Path:
    """The report page in a run folder; other data do not replace that of the run's own test."""
    if named is None:
        return run / "report.html"
    path = Path(os.path.realpath(named))  # "." has no name; `resolve` fails for a link to itself
    return run / f"report-{path.name if path.is_dir() else path.stem}.html"


def evaluate(
    run: RunArgument,
    backend: Backend = "numpy",
    data_dir: DataDir = None,
    other: Other = None,
    decimal: OtherDecimal = None,
    report: Report = None,
    trust: Trust = False,
) -> None:
    """Test a trained network: loss, accuracy, a table by class, and a report page.

    The test data are those of the training, unless --data-dir or --dataset
    names others; it is an error if they have changed since. The page is one
    HTML file with curves, mistakes and tables.
    """
    from xpnet.backend import to_numpy, using
    from xpnet.cli.run_folder import RunFolder, require_table
    from xpnet.cli.task import loss_of, metrics_of, result_line, uncertainty
    from xpnet.metrics import confusion_matrix
    from xpnet.training.evaluation import checked_on_device, measure

    trained = RunFolder(run).trained(trust)
    page = report or _page_path(run, other or data_dir)
    if page.is_dir() or not page.parent.is_dir():
        what = "that is a folder" if page.is_dir() else "there is no such folder"
        raise bad_flag("--report", f"{page}: expected a file in an existing folder; {what}.")
    require_table(trained, decimal)
    found = _test_data(trained, run, data_dir, other, decimal)
    x, t = found.test
    with using(backend, trained.model.dtype) as where:
        model = trained.build()
        data = checked_on_device(model, (trained.fitting(x), t))
        y = trained.model.scores(model, data[0])
        metrics = metrics_of(trained.task, trained.reading)
        figures = measure(model, loss_of(trained.task, trained.class_weights), data, metrics)
        counts: list[list[int]] = []
        if trained.classes:
            counts = to_numpy(confusion_matrix(y, data[1])).tolist()
        y = to_numpy(y)
    if not trained.model.finished:
        echo(
            f"The training was not finished: {trained.model.epochs_finished} of "
            f"{counted(trained.model.epochs, 'epoch')}."
        )
    what = "image" if trained.has_pictures else "sample"
    echo(f"{counted(len(t), f'test {what}')} of {found.source}, on {where.name}")
    echo(f"Test loss {figures['loss']:.4f}, {result_line(trained.task, figures)}")
    uncertain = uncertainty(trained.task, figures, len(t))
    if uncertain:
        echo(uncertain)
    for line in _by_class(trained.classes, counts, f"{what}s"):
        echo(line)
    echo(_page(trained, page, other, found, y))


def _page(trained: "Trained", path: Path, other: str | None, found: "TestSamples", y: Array) -> str:
    """Write the report page, and return a line with its path, or with the package that is missing."""
    from xpnet.cli.tables import path_of_test
    from xpnet.data import Standardizer
    from xpnet.report import report
    from xpnet.training import Run

    x, t = found.test
    if not trained.classes:
        units = Standardizer.from_dict(trained.reading["targets"])
        y, t = (numbers * units.scale + units.mean for numbers in (y, t))
    pictures = x.ndim == 3 or (x.ndim == 4 and x.shape[1] in (1, 3))
    drawn = trained.model.file.with_name(Run.SAMPLES)
    settings = {k: v for k, v in trained.config.items() if k not in ("reading", "versions")}
    try:
        report(
            path, y, t,
            images=x if pictures else None,
            classes=trained.classes or None,
            samples=found.names,
            history=trained.history(),
            training_images=drawn if drawn.is_file() else None,
            config=settings,
            title=f"{trained.model.file.parent.name}: {Path(other or path_of_test(trained.config)).name}",
        )  # fmt: skip
    except ModuleNotFoundError as error:
        return (
            f"\n{path} was skipped: {error.name} is not installed. "
            "To have it next time: pip install matplotlib"
        )
    return f"\nReport page: {path}"


def _test_data(
    trained: "Trained",
    run: Path,
    data_dir: Path | None,
    other: str | None,
    decimal: str | None,
) -> "TestSamples":
    """The samples that the run is tested on."""
    from xpnet.cli.dataset import read_test
    from xpnet.errors import DataError

    kind = trained.reading["kind"]
    data = {"images": "images", "folder": "a folder of pictures"}.get(kind, "a table")
    if data_dir and kind != "images":
        raise bad_flag("--data-dir", f"the run was trained on {data}.")
    if other and kind == "images":
        raise bad_flag("--dataset", f"the run was trained on {data}.")
    folder = trained.model.data_dir
    if not data_dir and folder and not Path(folder).is_dir():
        raise DataError(
            f"{run}: the run was trained on {folder}, which is missing. Name another with --data-dir."
        )
    named = str(data_dir) if data_dir else other
    return read_test({**trained.config, "data_dir": folder}, trained.reading, named, decimal)


def _by_class(classes: list[str], counts: list[list[int]], what: str) -> Iterator[str]:
    """A line per class, from the confusion matrix: recall, precision, and the worst mistake."""
    if not classes:
        return
    names = [printable(name) for name in classes]
    wide = max(5, *map(cells, names))
    yield f"\n{'class':>{wide}}  {what:>7}   recall  precision  most often taken for"
    for c, row in enumerate(counts):
        samples = sum(row)
        recall = _share(row[c], samples)
        precision = _share(row[c], sum(other[c] for other in counts))
        worst = "-"
        mistakes = [(n, j) for j, n in enumerate(row) if j != c and n]
        if mistakes:
            n, j = max(mistakes, key=lambda mistake: mistake[0])
            worst = f"{names[j]}, {counted(n, 'time')}"
        name = padded(names[c], wide, right=True)
        yield f"{name}  {samples:7}  {recall:>7}  {precision:>9}  {worst}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "-"
