"""Tables as data of a training: files of text by `xpnet.data.tables`, and NPZ archives.

What a training finds out in its own data alone is the run's to keep, and is called its reading: the
classes' names, and the means and deviations by which numbers are standardised.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from xpnet.cli.kinds import columns, kind_of
from xpnet.cli.screen import echo
from xpnet.errors import DataError, StateError

Pair = tuple[Any, Any]  # x and t, NumPy arrays
Flags = Mapping[str, Any]
Reading = Mapping[str, Any]
SHARE = 0.2  # of the samples, kept for the test


def learn(flags: Flags) -> tuple[Pair, Pair, dict[str, Any]]:
    """The samples for training and test, and the reading: see `xpnet.cli.dataset.learned`."""
    is_text = kind_of(flags["dataset"]) == "csv"
    train, test, reading = _csv(flags) if is_text else _npz(flags)
    if flags["task"] == "regress":
        from xpnet.data import Standardizer

        reading["targets"] = Standardizer.of(train[1])._asdict()
        train, test = ((x, _in_deviations(t, reading, flags)) for x, t in (train, test))
    return train, test, reading


class Tested(NamedTuple):
    """What a run is tested on.

    Attributes
    ----------
    test : (x, t)
    rest : (x, t) or None
        What was learned, where it is in the same file.
    source : str
        The file or folder.
    names : list of str or None
        What the test samples are called, where they have names.
    """

    test: Pair
    rest: Pair | None
    source: str
    names: list[str] | None = None


def tested(flags: Flags, reading: Reading, other: str | None) -> Tested:
    """The test samples of a run, or all of another table."""
    own = flags["test"] if isinstance(flags["test"], str) else flags["dataset"]
    source = other or own
    if not Path(source).is_file():
        raise DataError(
            f"{source}: the run's data are not there. Name another table with --dataset FILE."
        )
    apart = not other and source == flags["dataset"]  # the test is a part of the table
    part = _csv_again if "schema" in reading else _npz_again
    found = part(source, flags, reading, apart)
    if reading["classes"]:
        return found
    (x, t), rest = found.test, found.rest
    if rest is not None:
        rest = rest[0], _in_deviations(rest[1], reading, flags)
    return found._replace(test=(x, _in_deviations(t, reading, flags)), rest=rest)


class Rows(NamedTuple):
    """Samples without targets, and what they are called in a table of answers.

    Attributes
    ----------
    x : ndarray
    title : str
        Of the names: that of the index; or "line" (of the file, from 1), or "row" (of an array, from
        0), as errors count them.
    names : list of str
    """

    x: Any
    title: str
    names: list[str]


def rows(path: Path, flags: Flags, reading: Reading) -> Rows:
    """The samples of a file without targets, or with targets that are left aside."""
    if "schema" in reading:
        known = schema(reading)
        cells = known.cells(path, targets=False)
        x, _ = known.samples(cells)
        return Rows(x, *_called(cells))
    from xpnet.data import load_samples

    x = _features(load_samples(path), flags, reading)
    return Rows(x, "row", [str(i) for i in range(len(x))])


def schema(reading: Reading) -> Any:
    """How a run reads CSV tables."""
    from xpnet.data import Schema

    return Schema.from_dict(reading["schema"])


def standardizer(figures: Mapping[str, Any]) -> Any:
    """The mean and scale that a run keeps.

    Raises
    ------
    StateError
        The figures are none.
    """
    from xpnet.data import Standardizer

    try:
        mean, scale = (tuple(map(float, figures[name])) for name in ("mean", "scale"))
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise StateError(f"Expected the mean and scale of numbers: {error!r}.") from error
    return Standardizer(mean, scale)


def _in_deviations(t: Any, reading: Reading, flags: Flags) -> Any:
    return standardizer(reading["targets"])(t).astype(flags["dtype"])


def _share(flags: Flags) -> float:
    share: float = SHARE if flags["test"] is None else flags["test"]
    return share


# --- CSV ------------------------------------------------------------------------------------------


def _csv(flags: Flags) -> tuple[Pair, Pair, dict[str, Any]]:
    from xpnet.data import load_table

    task = flags["task"]
    index = flags["index"]
    try:
        train, test, found = load_table(
            flags["dataset"],
            flags["target"],
            task,
            _share(flags),
            flags["seed"],
            delimiter=flags["delimiter"],
            header=flags["header"],
            index_col=False if index == "none" else index,
            encoding=flags["encoding"] or "utf-8",
            features=None if flags["features"] is None else columns(flags["features"]),
            dtype=flags["dtype"],
        )
    except DataError as error:
        if task == "classify" and "too few" in str(error):  # perhaps each number is a class
            error.add_note("If the targets are numbers to predict: --task regress")
        if task == "regress" and "found the text" in str(error):
            error.add_note("If these texts are the classes to be learned: --task classify")
        raise
    _note_numbering(found, [train[0]] if isinstance(flags["test"], str) else [train[0], test[0]])
    reading: dict[str, Any] = {"schema": found.to_dict(), "classes": list(found.classes)}
    if task == "classify":
        _require_classes(flags, len(train[0]), reading["classes"])
    return train, test, reading


_NUMBERING = (
    "id",
    "index",
    "idx",
    "no",
    "nr",
    "row",
    "rownames",
    "#",
)  # columns that number the rows


def _note_numbering(found: Any, parts: list[Any]) -> None:
    """Print a note where a feature is called like a number of the rows, and is one."""
    for i, name in enumerate(found.features):
        if name.lower().strip(" ._") not in _NUMBERING:
            continue
        mean, scale = (figures[i] for figures in found.standardizer)
        values = [value for x in parts for value in x[:, i].tolist()]
        numbers = sorted(round(value * scale + mean) for value in values)
        if numbers == list(range(numbers[0], numbers[0] + len(numbers))):
            echo(
                f"Note: the column {name!r} numbers the rows, and is learned from. To leave it out: "
                f"--index {shlex.quote(name)}",
                err=True,
            )


def _csv_again(source: str, flags: Flags, reading: Reading, apart: bool) -> Tested:
    from xpnet.data import split

    known = schema(reading)
    cells = known.cells(source)
    x, t = known.samples(cells)
    if t is None:
        raise DataError(f"{source}: no column {reading['schema']['target']!r}, the target.")
    title, names = _called(cells)
    names = [f"{title} {name}" for name in names]
    if not apart:
        return Tested((x, t), None, source, names)
    train, test = split(t if reading["classes"] else t[:, 0], _share(flags), flags["seed"])
    chosen = [names[i] for i in test.tolist()]
    return Tested((x[test], t[test]), (x[train], t[train]), source, chosen)


def _called(cells: Any) -> tuple[str, list[str]]:
    """What the rows of a table are called: by its index, or by their lines."""
    if cells.index_name is not None:
        return cells.index_name, cells.row_names
    return "line", list(map(str, cells.lines))


# --- NPZ ------------------------------------------------------------------------------------------


def _npz(flags: Flags) -> tuple[Pair, Pair, dict[str, Any]]:
    from xpnet.data import Standardizer, load_archive

    path = flags["dataset"]
    (x, t), (x_test, t_test) = load_archive(path, _share(flags), flags["seed"], task=flags["task"])
    t, t_test = (_targets(a, path, flags) for a in (t, t_test))
    reading: dict[str, Any] = {"classes": []}
    if flags["task"] == "classify":
        count = int(t.max()) + 1
        _require_count(flags, len(t), count)  # before a list of so many is made
        reading["classes"] = [str(i) for i in range(count)]
    if x.ndim <= 2:
        reading["features"] = Standardizer.of(x.reshape(len(x), -1))._asdict()
    x, x_test = (_features(a, flags, reading) for a in (x, x_test))
    return (x, t), (x_test, t_test), reading


def _npz_again(source: str, flags: Flags, reading: Reading, apart: bool) -> Tested:
    from xpnet.data import load_archive, load_samples

    if not apart:
        pair = load_samples(source, flags["task"])
        return Tested(_read(pair, source, flags, reading), None, source)
    train, test = load_archive(source, _share(flags), flags["seed"], task=flags["task"])
    rest = _read(train, source, flags, reading)
    return Tested(_read(test, source, flags, reading), rest, source)


def _read(pair: Pair, source: str, flags: Flags, reading: Reading) -> Pair:
    """Samples and targets of an archive, as the training had them."""
    x, t = pair
    t, classes = _targets(t, source, flags), reading["classes"]
    if classes and int(t.max()) >= len(classes):
        row = int(t.argmax())
        raise DataError(
            f"{source}: t[{row}] is the class {t[row]}, not seen in training, which had the classes "
            f"0 to {len(classes) - 1}."
        )
    return _features(x, flags, reading), t


def _targets(t: Any, path: str, flags: Flags) -> Any:
    """The targets of an archive, if they are fit for the task."""
    if flags["task"] == "regress":
        return t.reshape(len(t), -1).astype("float64")
    if t.ndim != 1 or t.dtype.kind not in "iu":
        raise DataError(
            f"{path}: its targets are {t.dtype} of shape {t.shape}: expected classes, integers of "
            "shape (n,). To predict numbers: --task regress."
        )
    return t.astype("int64")


def _features(x: Any, flags: Flags, reading: Reading) -> Any:
    """Rows of features standardised; images of bytes, from 0 to 1; other arrays as they are.

    Images whose channels come last become (channels, height, width).
    """
    dtype = flags["dtype"]
    if x.ndim == 4 and x.shape[3] in (1, 3) and x.shape[1] not in (1, 3):
        x = x.transpose(0, 3, 1, 2)
    if "features" in reading:
        return standardizer(reading["features"])(x.reshape(len(x), -1)).astype(dtype)
    return x.astype(dtype) / 255 if x.dtype == "uint8" else x.astype(dtype)


def _require_classes(flags: Flags, samples: int, classes: list[str]) -> None:
    """Refuse names of classes that are numbers for the most part, and too many."""
    if sum(name.lstrip("-").isdigit() for name in classes) > len(classes) // 2:
        _require_count(flags, samples, len(classes))


def _require_count(flags: Flags, samples: int, count: int) -> None:
    """Likewise, of classes that are numbers."""
    if count < 2:
        raise DataError(f"{flags['dataset']}: the only class is 0; to learn, two are needed.")
    if count > max(20, samples // 2):
        raise DataError(
            f"{flags['dataset']}: its targets make {count} classes, of {samples} training "
            "samples. If they are numbers to predict: --task regress."
        )
