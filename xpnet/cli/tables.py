"""Tables as data of a training: text files, read by `xpnet.data.tables`, and NPZ archives.

A run keeps what it has determined from its training data, its "reading": the names of the classes,
and the means and deviations by which numbers are standardised.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from xpnet._typing import Array, PathLike
from xpnet.cli.kinds import FRAMES, columns, kind_of
from xpnet.cli.screen import echo, user_warnings
from xpnet.errors import DataError

if TYPE_CHECKING:
    from xpnet.data import Schema
    from xpnet.data._csv_reader import Cells

Pair = tuple[Any, Any]  # x and t, NumPy arrays
Flags = Mapping[str, Any]
Reading = Mapping[str, Any]
TEST_SHARE = 0.2  # the fraction of the samples that is held out for the test, by default


def read_samples(flags: Flags) -> tuple[Pair, Pair, dict[str, Any]]:
    """The samples for training and test, and the reading: see `xpnet.cli.dataset.read_samples`."""
    if kind_of(flags["dataset"]) == "csv":
        train, test, reading = _read_csv(flags)
    else:
        train, test, reading = _read_npz(flags)
    if flags["task"] == "regress":
        from xpnet.data import Standardizer

        reading["targets"] = Standardizer.of(train[1])._asdict()
        train, test = ((x, _standardized(t, reading, flags)) for x, t in (train, test))
    return train, test, reading


class TestSamples(NamedTuple):
    """The samples that a run is tested on.

    Attributes
    ----------
    test : (x, t)
    rest : (x, t) or None
        The training samples, if they are in the same file.
    source : str
        The file or folder.
    names : list of str or None
        The names of the test samples, if they have names.
    """

    test: Pair
    rest: Pair | None
    source: str
    names: list[str] | None = None


def read_test(
    flags: Flags, reading: Reading, other: str | None, decimal: str | None = None
) -> TestSamples:
    """The test samples of a run, or all of another table, with another decimal mark perhaps."""
    source = other or path_of_test(flags)
    if not Path(source).is_file():
        raise DataError(
            f"{source}: the run's data are missing. Name another table with --dataset FILE."
        )
    is_split = not other and source == flags["dataset"]  # the test is a part of the table
    if "schema" in reading:
        found = _read_test_csv(source, flags, reading, is_split, decimal)
    else:
        found = _read_test_npz(source, flags, reading, is_split)
    if reading["classes"]:
        return found
    x, t = found.test
    rest = found.rest
    if rest is not None:
        rest = rest[0], _standardized(rest[1], reading, flags)
    return found._replace(test=(x, _standardized(t, reading, flags)), rest=rest)


def path_of_test(flags: Flags) -> str:
    """The file or folder of a run's test samples: its own, or that of the training."""
    source: str = flags["test"] if isinstance(flags["test"], str) else flags["dataset"]
    return source


def archive_rows(path: Path, flags: Flags, reading: Reading) -> Array:
    """The samples of an archive, whose targets are ignored, if it has any."""
    from xpnet.data import load_samples

    return _features(load_samples(path), flags, reading)


def table_cells(path: Path, known: "Schema", decimal: str | None) -> "Cells":
    """The cells of a table, whose targets are ignored, if it has any.

    On standard error there is a note about each way in which it differs from the table of the training.
    """
    with _noted():
        cells = known.cells(path, targets=False, decimal=decimal)
    _note_differences(path, known, cells)
    return cells


@contextmanager
def _noted() -> Iterator[None]:
    """A block whose warnings are printed as notes, if it does not end in an error."""
    with user_warnings() as noted:
        yield
    for warning in noted:
        echo(f"Note: {warning}", err=True)


def _note_differences(path: PathLike, known: "Schema", cells: "Cells") -> None:
    """Print a note for each way in which a table differs from that of the training."""
    _note_encoding(path, known.encoding)
    for sentence in known.unlike(cells):
        echo(f"Note: {path}: {sentence}.", err=True)


def _note_encoding(path: PathLike, chosen: str | None) -> None:
    """Print a note if the encoding of a text file was guessed, and is not UTF-8."""
    from xpnet.data._csv_encoding import guess_encoding

    if chosen is not None or Path(path).suffix.lower() in FRAMES:
        return
    found = guess_encoding(Path(path))
    if found != "utf-8":
        echo(
            f"Note: {path} is not UTF-8, and is read as {found}. If letters are wrong, name its encoding: "
            "--encoding NAME",
            err=True,
        )


def dictionary(reading: Reading) -> str:
    """The data dictionary of a table, between empty lines; empty for other data."""
    if "schema" not in reading:
        return ""
    return f"\n{schema(reading)}\n\n"


def schema(reading: Reading) -> "Schema":
    """The schema by which a run reads CSV tables."""
    from xpnet.data import Schema

    return Schema.from_dict(reading["schema"])


def _standardized(t: Array, reading: Reading, flags: Flags) -> Array:
    """The targets of a regression, standardised."""
    from xpnet.data import Standardizer

    return Standardizer.from_dict(reading["targets"])(t).astype(flags["dtype"])


def _share(flags: Flags) -> float:
    """The fraction of the samples that is held out for the test."""
    share: float = TEST_SHARE if flags["test"] is None else flags["test"]
    return share


# --- CSV ------------------------------------------------------------------------------------------


def _read_csv(flags: Flags) -> tuple[Pair, Pair, dict[str, Any]]:
    try:
        with _noted():  # also how a separate test table differs from that of the training
            train, test, found = _loaded(flags)
    except DataError as error:
        task = flags["task"]
        if task == "classify" and "too few" in str(error):  # perhaps each number is a class
            error.add_note("If the targets are numbers to predict: --task regress")
        if task == "regress" and "found the text" in str(error):
            error.add_note("If these texts are the classes to predict: --task classify")
        raise
    _note_encoding(flags["dataset"], flags["encoding"])
    _note_numbering(found)
    reading: dict[str, Any] = {"schema": found.to_dict(), "classes": list(found.classes)}
    if flags["task"] == "classify":
        _require_classes(flags, len(train[0]), reading["classes"])
    return train, test, reading


def _loaded(flags: Flags) -> "tuple[Pair, Pair, Schema]":
    """The table of a training, read as its flags choose."""
    from xpnet.data import load_table

    index = flags["index"]
    return load_table(
        flags["dataset"],
        flags["target"],
        flags["task"],
        _share(flags),
        flags["seed"],
        delimiter=flags["delimiter"],
        header=flags["header"],
        index_col=False if index == "none" else index,
        encoding=flags["encoding"],
        decimal=flags["decimal"] or ".",
        features=None if flags["features"] is None else columns(flags["features"]),
        drop=columns(flags["drop"] or ""),
        ids=columns(flags["id"] or ""),
        categories=columns(flags["categories"] or ""),
        missing=columns(flags["missing"] or ""),
        drop_missing_target=bool(flags["drop_missing_target"]),
        dtype=flags["dtype"],
    )


NUMBERING = ("id", "index", "idx", "key", "no", "nr", "row", "rownames", "uuid", "#")
"""Names of columns that number the rows; also as the last word of a name, such as customer_id."""

LAST_WORD = re.compile(r"[^\W_]+$|#$")


def _note_numbering(found: "Schema") -> None:
    """Print a note for each feature that is named like a row number, and has another number in each row."""
    for column in found.feature_columns:
        words = re.sub(r"([a-z])([A-Z])", r"\1 \2", column.name).strip(" ._").lower()
        last = LAST_WORD.search(words)
        is_number = column.kind == "number" and column.distinct == found.rows
        if is_number and last and last[0] in NUMBERING:
            echo(
                f"Note: the column {column.name!r} has another number in each row, as identifiers do, and is "
                f"used as a feature. To leave it out: --id {shlex.quote(column.name)}",
                err=True,
            )


def _read_test_csv(
    source: str, flags: Flags, reading: Reading, is_split: bool, decimal: str | None
) -> TestSamples:
    from xpnet.data import split

    known = schema(reading)
    with _noted():
        cells = known.cells(source, decimal=decimal)
    x, t = known.samples(cells)
    if source != flags["dataset"]:
        _note_differences(source, known, cells)
    if t is None:
        target = reading["schema"]["target"]
        raise DataError(f"{source}: expected a column {target!r}, the target, but there is none.")
    titles = [cells.named[0], *cells.ids]
    columns = [cells.named[1], *cells.ids.values()]
    names = [
        ", ".join(f"{title} {name}" for title, name in zip(titles, row, strict=True))
        for row in zip(*columns, strict=True)
    ]
    if not is_split:
        return TestSamples((x, t), None, source, names)
    train, test = split(t if reading["classes"] else t[:, 0], _share(flags), flags["seed"])
    chosen = [names[i] for i in test.tolist()]
    return TestSamples((x[test], t[test]), (x[train], t[train]), source, chosen)


# --- NPZ ------------------------------------------------------------------------------------------


def _read_npz(flags: Flags) -> tuple[Pair, Pair, dict[str, Any]]:
    from xpnet.data import Standardizer, load_archive

    path = flags["dataset"]
    (x, t), (x_test, t_test) = load_archive(path, _share(flags), flags["seed"], task=flags["task"])
    t, t_test = (_targets(a, path, flags) for a in (t, t_test))
    reading: dict[str, Any] = {"classes": []}
    if flags["task"] == "classify":
        count = int(t.max()) + 1
        _require_count(flags, len(t), count)  # before a list of that length is created
        reading["classes"] = [str(i) for i in range(count)]
    if x.ndim <= 2:
        reading["features"] = Standardizer.of(x.reshape(len(x), -1))._asdict()
    x, x_test = (_features(a, flags, reading) for a in (x, x_test))
    return (x, t), (x_test, t_test), reading


def _read_test_npz(source: str, flags: Flags, reading: Reading, is_split: bool) -> TestSamples:
    from xpnet.data import load_samples
    from xpnet.data.archives import load_archive_with_rows

    if not is_split:
        pair = load_samples(source, flags["task"])
        names = [f"row {i}" for i in range(len(pair[0]))]
        return TestSamples(_prepared(pair, source, flags, reading), None, source, names)
    train, test, rows = load_archive_with_rows(
        source, _share(flags), flags["seed"], task=flags["task"]
    )
    rest = _prepared(train, source, flags, reading)
    names = [f"row {i}" for i in rows.tolist()]
    return TestSamples(_prepared(test, source, flags, reading), rest, source, names)


def _prepared(pair: Pair, source: str, flags: Flags, reading: Reading) -> Pair:
    """Samples and targets of an archive in the form that the training had."""
    x, t = pair
    t = _targets(t, source, flags)
    classes = reading["classes"]
    if classes and int(t.max()) >= len(classes):
        row = int(t.argmax())
        raise DataError(
            f"{source}: the class {t[row]} in t[{row}] was not seen in training, which had the classes 0 "
            f"to {len(classes) - 1}."
        )
    return _features(x, flags, reading), t


def _targets(t: Array, path: str, flags: Flags) -> Array:
    """The targets of an archive, if they suit the task."""
    if flags["task"] == "regress":
        return t.reshape(len(t), -1).astype("float64")
    if t.ndim != 1 or t.dtype.kind not in "iu":
        raise DataError(
            f"{path}: expected classes as targets, integers of shape (n,), got {t.dtype} of shape "
            f"{t.shape}. To predict numbers: --task regress."
        )
    return t.astype("int64")


def _features(x: Array, flags: Flags, reading: Reading) -> Array:
    """Rows of features are standardised, images of bytes scaled to 0..1; other arrays are only cast.

    Images whose channels come last become (channels, height, width).
    """
    dtype = flags["dtype"]
    if x.ndim == 4 and x.shape[3] in (1, 3) and x.shape[1] not in (1, 3):
        x = x.transpose(0, 3, 1, 2)
    if "features" in reading:
        from xpnet.data import Standardizer

        return Standardizer.from_dict(reading["features"])(x.reshape(len(x), -1)).astype(dtype)
    if x.dtype == "uint8":
        return x.astype(dtype) / 255
    return x.astype(dtype)


def _require_classes(flags: Flags, samples: int, classes: list[str]) -> None:
    """Refuse too many classes, if most of their names are numbers."""
    if sum(name.lstrip("-").isdigit() for name in classes) > len(classes) // 2:
        _require_count(flags, samples, len(classes))


def _require_count(flags: Flags, samples: int, count: int) -> None:
    """Refuse a single class, and too many classes: then the targets may be numbers to predict."""
    if count < 2:
        raise DataError(f"{flags['dataset']}: expected two classes or more, got only class 0.")
    if count > max(20, samples // 2):
        raise DataError(
            f"{flags['dataset']}: its targets have {count} classes for {samples} training samples. If "
            "they are numbers to predict: --task regress."
        )
