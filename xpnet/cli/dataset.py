"""The data of the commands: images by the name of their data set, pictures, or the rows of a table.

`read_samples` reads the data of a training; `read_test` reads the test data of a run as the training
did. A run keeps the fingerprint of its samples, and is tested on other samples only if the user names
them.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from xpnet._typing import Array
from xpnet.cli import tables
from xpnet.cli.kinds import kind_of
from xpnet.cli.tables import TEST_SHARE, Flags, Pair, Reading, TestSamples, path_of_test
from xpnet.errors import DataError, StateError

if TYPE_CHECKING:
    from xpnet.data.fingerprint import Fingerprint


class Samples(NamedTuple):
    """Data for a training.

    Attributes
    ----------
    train, test : (x, t)
        NumPy arrays. The targets of a regression are standardised, of shape (n, numbers).
    input_shape : tuple of int
        The shape of one sample.
    outputs : int
        The number of classes, or of numbers to predict.
    reading : dict
        What is needed to read other data in the same way, as JSON can hold it. "kind": see `kind_of`;
        "classes": their names, empty for a regression; for images, "shape": (channels, height,
        width); for tables, "schema" or "features", and for a regression "targets", their units.
        "samples" has the fingerprints of "train" and "test"; it is None for published data, which
        have checksums.
    validation : (x, t) or None
        Those training samples that are kept apart to decide when to stop.
    """

    train: Pair
    test: Pair
    input_shape: tuple[int, ...]
    outputs: int
    reading: dict[str, Any]
    validation: Pair | None = None


def read_samples(flags: Flags) -> Samples:
    """The data that the flags of a training name.

    Raises
    ------
    DataError
        They are missing or damaged, or do not suit the task.
    """
    kind = kind_of(flags["dataset"])
    if kind == "images":
        train, test, reading = _read_images(flags)
        _require_classes(flags, train, test)
    elif kind == "folder":
        train, test, reading = _read_folder(flags)
    else:
        train, test, reading = tables.read_samples(flags)
    published = kind == "images" and not flags["data_dir"]
    reading["samples"] = None if published else _fingerprints(flags, train, test)
    if kind == "images":
        train, test = ((_scaled(x, flags), t) for x, t in (train, test))
    reading = json.loads(json.dumps({"kind": kind, **reading}))  # equal to what will be read again
    outputs = len(reading["classes"]) or train[1].shape[1]
    return Samples(train, test, tuple(train[0].shape[1:]), outputs, reading)


def read_test(
    flags: Flags, reading: Reading, other: str | None, decimal: str | None = None
) -> TestSamples:
    """The test data of a run, and their source.

    Parameters
    ----------
    flags, reading : mapping
        Those of the run.
    other : str or None
        Other data that the user names: a table or a folder of pictures, all of whose samples are
        the test; or a folder of images like MNIST's, with the test images in it.
    decimal : str, optional
        The decimal mark of another table; by default that of the training.

    Raises
    ------
    DataError
        The data are missing or damaged; or `other` is None, and they have changed since the training.
    """
    if reading["kind"] == "images":
        folder = other or flags["data_dir"]
        _, (x, t), _ = _read_images({**flags, "data_dir": folder})
        if folder and not other:
            _require_unchanged(reading, folder, (x, t), None)
        source = flags["dataset"]
        if source == "mnist":
            source = "the built-in MNIST"
        return TestSamples((_scaled(x, flags), t), None, str(folder or source))
    if reading["kind"] == "folder":
        found = _read_test_folder(flags, reading, other)
    else:
        found = tables.read_test(flags, reading, other, decimal)
    if not other:
        _require_unchanged(reading, found.source, found.test, found.rest)
    return found


# --- the same samples -----------------------------------------------------------------------------


def _fingerprints(flags: Flags, train: Pair, test: Pair) -> dict[str, Any]:
    from xpnet.data.fingerprint import fingerprint

    prints = {"train": fingerprint(*train), "test": fingerprint(*test)}
    if isinstance(flags["test"], str) and prints["train"].content == prints["test"].content:
        raise DataError(
            f"{flags['test']}: the test data are the training data themselves, so the test would show "
            "nothing new. Name other data with --test, or give a fraction, such as --test 0.2."
        )
    return {part: found._asdict() for part, found in prints.items()}


def _require_unchanged(reading: Reading, source: str, test: Pair, rest: Pair | None) -> None:
    """Refuse test samples that are not those of the training.

    Parameters
    ----------
    rest : (x, t) or None
        The samples that were learned, if the test is a part of the same file.
    """
    from xpnet.data.fingerprint import difference, fingerprint

    kept = _recorded_fingerprints(reading)
    expected = kept["test"]
    found = fingerprint(*test)
    if found == expected:
        return
    if rest is not None:
        expected = kept["train"] + expected
        found = fingerprint(*rest) + found
    flag = "--data-dir" if reading["kind"] == "images" else "--dataset"
    value = "FOLDER" if rest is None else "FILE"
    older = ""
    if rest is not None and found.content == expected.content:
        older = ", or the run is of an older version, which drew other rows for the test"
    raise DataError(
        f"{source}: it has changed since the training: it has {difference(expected, found)}{older}. So it is unknown "
        "which samples were learned and which are for the test. Restore the old data; or, to test on "
        f"samples that were not learned, name them: {flag} {value}."
    )


def describe_changes(kept: Reading, found: Reading) -> str:
    """How the data of a resumed run differ from those that it began with, as a phrase for a message."""
    from xpnet.data.fingerprint import difference

    if kept.get("samples") is None or found["samples"] is None:  # one of them is published data
        return "other samples"
    before = _recorded_fingerprints(kept)
    now = _recorded_fingerprints(found)
    old = before["train"] + before["test"]
    new = now["train"] + now["test"]
    if old.samples != new.samples or (old.content == new.content and before != now):
        return difference(old, new)
    # In another order, other rows are for training, with other means and deviations.
    return "other values, classes or columns, or the same samples in another order"


def _recorded_fingerprints(reading: Reading) -> dict[str, "Fingerprint"]:
    """The fingerprints of a run's training and test samples."""
    from xpnet.data.fingerprint import Fingerprint

    prints = reading.get("samples")
    if not isinstance(prints, dict):
        raise StateError(f"Expected the fingerprints of the run's samples, found {prints!r}.")
    return {part: Fingerprint.from_dict(prints.get(part)) for part in ("train", "test")}


# --- images ---------------------------------------------------------------------------------------


def _read_images(flags: Flags) -> tuple[Pair, Pair, dict[str, Any]]:
    """The images as they are stored, and the reading."""
    from xpnet.data import class_names, count_classes, load_dataset

    name = flags["dataset"]
    train, test = load_dataset(name, data_dir=flags["data_dir"], normalize=False)
    names = class_names(name)
    count = count_classes(train[1])
    if len(names) != count:  # a folder of other images
        names = [str(i) for i in range(count)]
    return train, test, {"classes": names, "shape": train[0].shape[1:]}


def _scaled(x: Array, flags: Flags) -> Array:
    """Pixels from 0 to 255, as numbers from 0 to 1."""
    x = x.astype(flags["dtype"])
    x /= 255
    return x


def _require_classes(flags: Flags, train: Pair, test: Pair) -> None:
    """Refuse images of a single class, and test images of classes without training images."""
    where = flags["data_dir"] or flags["dataset"]
    seen = set(train[1].tolist())
    if len(seen) < 2:
        raise DataError(f"{where}: expected two classes or more, got only class {seen.pop()}.")
    unseen = sorted(set(test[1].tolist()) - seen)
    if unseen:
        raise DataError(
            f"{where}: test images have the class {unseen[0]}, but no training image has. The classes of "
            f"the training are {', '.join(map(str, sorted(seen)))}."
        )


# --- pictures -------------------------------------------------------------------------------------


def _read_folder(flags: Flags) -> tuple[Pair, Pair, dict[str, Any]]:
    from xpnet.data import load_image_folder

    image_size = None
    if flags["size"]:
        sides = [int(side) for side in flags["size"].split("x")]
        image_size = (sides[0], sides[-1])
    train, test, classes = load_image_folder(
        flags["dataset"],
        image_size=image_size,
        test=flags["test"],
        seed=flags["seed"],
        dtype=flags["dtype"],
    )
    return train, test, {"classes": classes, "shape": train[0].shape[1:]}


def _read_test_folder(flags: Flags, reading: Reading, other: str | None) -> TestSamples:
    from xpnet.data import split
    from xpnet.data.image_folder import has_test, load_classes

    own = path_of_test(flags)
    source = other or own
    if other and not Path(source).is_dir():
        what = "a file" if Path(source).exists() else "no such folder"
        raise DataError(
            f"{source}: {what}; expected a folder of pictures, as the run was trained on"
        )
    if not Path(source).is_dir():
        raise DataError(
            f"{source}: the run's data are missing. Name another folder with --dataset FOLDER."
        )
    x, t = load_classes(source, reading["classes"], tuple(reading["shape"]), flags["dtype"])
    if other or own != flags["dataset"] or has_test(source):
        return TestSamples((x, t), None, source)
    train, test = split(t, flags["test"] or TEST_SHARE, flags["seed"])
    return TestSamples((x[test], t[test]), (x[train], t[train]), source)
