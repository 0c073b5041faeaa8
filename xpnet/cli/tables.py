"""Tables as data of a training: CSV files by `xpnet.data.tables`, and NPZ archives.

What a training finds out in its own data alone is the run's to keep, and is called its reading: the
classes' names, and the means and deviations by which numbers are standardised.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xpnet.errors import DataError, StateError

Pair = tuple[Any, Any]  # x and t, NumPy arrays
Flags = Mapping[str, Any]
Reading = Mapping[str, Any]
SHARE = 0.2  # of the samples, kept for the test


def learn(flags: Flags) -> tuple[Pair, Pair, dict[str, Any]]:
    """The samples for training and test, and the reading: see `xpnet.cli.dataset.learned`."""
    is_csv = Path(flags["dataset"]).suffix.lower() == ".csv"
    train, test, reading = _csv(flags) if is_csv else _npz(flags)
    if flags["task"] == "regress":
        from xpnet.data import Standardizer

        reading["targets"] = Standardizer.of(train[1])._asdict()
        train, test = ((x, _in_deviations(t, reading, flags)) for x, t in (train, test))
    return train, test, reading


def tested(flags: Flags, reading: Reading, other: str | None) -> tuple[Pair, str]:
    """The test samples of a run, or all of another table; and the name of their file."""
    own = flags["test"] if isinstance(flags["test"], str) else flags["dataset"]
    source = other or own
    if not Path(source).is_file():
        raise DataError(
            f"{source}: the run's data are not there. Name another table with --dataset FILE."
        )
    apart = not other and source == flags["dataset"]  # the test is a part of the table
    part = _csv_again if "schema" in reading else _npz_again
    x, t = part(source, flags, reading, apart)
    return (x, t if reading["classes"] else _in_deviations(t, reading, flags)), source


def rows(path: Path, flags: Flags, reading: Reading) -> Any:
    """The samples of a file without targets, or with targets that are left aside."""
    if "schema" in reading:
        return schema(reading).read(path)[0]
    from xpnet.data import load_samples

    return _features(load_samples(path), flags, reading)


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

    name, target, task, dtype = (flags[key] for key in ("dataset", "target", "task", "dtype"))
    try:
        train, test, found = load_table(
            name, target, task, _share(flags), flags["seed"], dtype=dtype
        )
    except DataError as error:
        if task == "classify" and "too few" in str(error):  # perhaps each number is a class
            error.add_note("If the targets are numbers to predict: --task regress")
        if task == "regress" and "found the text" in str(error):
            error.add_note("If these texts are the classes to be learned: --task classify")
        raise
    reading: dict[str, Any] = {"schema": found.to_dict(), "classes": list(found.classes)}
    if task == "classify":
        _require_classes(flags, len(train[0]), reading["classes"])
    return train, test, reading


def _csv_again(source: str, flags: Flags, reading: Reading, apart: bool) -> Pair:
    from xpnet.data import split

    x, t = schema(reading).read(source)
    if t is None:
        raise DataError(f"{source}: no column {reading['schema']['target']!r}, the target.")
    if not apart:
        return x, t
    _, part = split(t if reading["classes"] else t[:, 0], _share(flags), flags["seed"])
    return x[part], t[part]


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


def _npz_again(source: str, flags: Flags, reading: Reading, apart: bool) -> Pair:
    from xpnet.data import load_archive, load_samples

    if apart:
        _, (x, t) = load_archive(source, _share(flags), flags["seed"], task=flags["task"])
    else:
        x, t = load_samples(source, flags["task"])
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
    """Rows of features standardised; images of bytes, from 0 to 1; other arrays as they are."""
    dtype = flags["dtype"]
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
