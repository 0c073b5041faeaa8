"""What is learned: images, by the name of their data set; pictures; or the samples of a table.

`learned` is for a training; `tested` is for a run, whose data it reads as the training did. A run keeps
the fingerprint of its samples, and is not tested on others unless these are named.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from xpnet.cli import tables
from xpnet.cli.kinds import kind_of
from xpnet.cli.tables import SHARE, Flags, Pair, Reading, Tested
from xpnet.errors import DataError, StateError


class Samples(NamedTuple):
    """Data for a training.

    Attributes
    ----------
    train, test : (x, t)
        NumPy arrays. The targets of a regression are standardised, of shape (n, numbers).
    input_shape : tuple of int
        Of one sample.
    outputs : int
        Classes, or numbers.
    reading : dict
        How other data are read in the same way, as JSON has it. "kind": see `kind_of`; "classes":
        their names, none in a regression; of images, "shape": (channels, height, width); of tables,
        "schema" or "features", and "targets": the units of a regression. "samples" has the
        fingerprints of "train" and "test"; it is None of published data, which have checksums.
    """

    train: Pair
    test: Pair
    input_shape: tuple[int, ...]
    outputs: int
    reading: dict[str, Any]


def learned(flags: Flags) -> Samples:
    """The data that the flags of a training name.

    Raises
    ------
    DataError
        They are missing, damaged, or none for this task.
    """
    kind = kind_of(flags["dataset"])
    if kind == "images":
        train, test, reading = _images(flags)
        _require_classes(flags, train, test)
    elif kind == "folder":
        train, test, reading = _folder(flags)
    else:
        train, test, reading = tables.learn(flags)
    published = kind == "images" and not flags["data_dir"]
    reading["samples"] = None if published else _fingerprints(flags, train, test)
    if kind == "images":
        train, test = ((_unit(x, flags), t) for x, t in (train, test))
    reading = json.loads(json.dumps({"kind": kind, **reading}))  # as it will be read again
    outputs = len(reading["classes"]) or train[1].shape[1]
    return Samples(train, test, tuple(train[0].shape[1:]), outputs, reading)


def tested(flags: Flags, reading: Reading, other: str | None) -> Tested:
    """The test data of a run, and where they are from.

    Parameters
    ----------
    flags, reading : mapping
        The run's.
    other : str or None
        Other data, which the user names: a table or a folder of pictures, all of whose samples are
        the test; or a folder of images like MNIST's, with the test images in it.

    Raises
    ------
    DataError
        The data are missing or damaged; or, unless others are named, not those of the training.
    """
    if reading["kind"] == "images":
        folder = other or flags["data_dir"]
        _, (x, t), _ = _images({**flags, "data_dir": folder})
        built_in = "the built-in MNIST" if flags["dataset"] == "mnist" else flags["dataset"]
        if folder and not other:
            _require_unchanged(reading, folder, (x, t), None)
        return Tested((_unit(x, flags), t), None, str(folder or built_in))
    read = _folder_again if reading["kind"] == "folder" else tables.tested
    found = read(flags, reading, other)
    if not other:
        _require_unchanged(reading, found.source, found.test, found.rest)
    return found


# --- the same samples -----------------------------------------------------------------------------


def _fingerprints(flags: Flags, train: Pair, test: Pair) -> dict[str, Any]:
    from xpnet.data.fingerprint import fingerprint

    prints = {"train": fingerprint(*train), "test": fingerprint(*test)}
    if isinstance(flags["test"], str) and prints["train"].content == prints["test"].content:
        raise DataError(
            f"{flags['test']}: its samples are those of {flags['dataset']}: the test would be of what was "
            "learned. Name others with --test, or a share, such as --test 0.2."
        )
    return {part: found._asdict() for part, found in prints.items()}


def _require_unchanged(reading: Reading, source: str, test: Pair, rest: Pair | None) -> None:
    """Refuse test samples that are not those of the training.

    Parameters
    ----------
    rest : (x, t) or None
        The samples that were learned, where the test is a part of the same file.
    """
    from xpnet.data.fingerprint import difference, fingerprint

    kept = _kept(reading)
    expected = kept["test"]
    found = fingerprint(*test)
    if found == expected:
        return
    if rest is not None:
        expected = kept["train"] + expected
        found = fingerprint(*rest) + found
    again = "--data-dir" if reading["kind"] == "images" else "--dataset"
    raise DataError(
        f"{source}: it has changed since the training: it has {difference(expected, found)}. So it cannot be "
        "known which of them were learned, and which are for the test. Bring the old data back; or, to "
        f"test on samples that were not learned, name them: {again} {'FOLDER' if rest is None else 'FILE'}."
    )


def changed(kept: Reading, found: Reading) -> str:
    """In words, what the data of a run have that they did not have before."""
    from xpnet.data.fingerprint import difference

    if kept.get("samples") is None or found["samples"] is None:  # published data, and others
        return "other samples"
    parts = [_kept(reading) for reading in (kept, found)]
    old, new = (prints["train"] + prints["test"] for prints in parts)
    if old.samples != new.samples or (old.content == new.content and parts[0] != parts[1]):
        return difference(old, new)
    # In another order other rows are learned, whose means are the units of all.
    return "other values, classes or columns, or the same samples in another order"


def _kept(reading: Reading) -> dict[str, Any]:
    """The fingerprints that a run keeps, of its training and of its test."""
    from xpnet.data.fingerprint import Fingerprint

    prints = reading.get("samples")
    if not isinstance(prints, dict):
        raise StateError(f"Expected the fingerprints of the run's samples, found {prints!r}.")
    return {part: Fingerprint.from_dict(prints.get(part)) for part in ("train", "test")}


# --- images ---------------------------------------------------------------------------------------


def _images(flags: Flags) -> tuple[Pair, Pair, dict[str, Any]]:
    """The images as they are stored, and the reading."""
    from xpnet.data import class_names, count_classes, load_dataset

    name, folder = flags["dataset"], flags["data_dir"]
    train, test = load_dataset(name, data_dir=folder, normalize=False)
    names, count = class_names(name), count_classes(train[1])
    if len(names) != count:  # a folder of other images
        names = [str(i) for i in range(count)]
    return train, test, {"classes": names, "shape": train[0].shape[1:]}


def _unit(x: Any, flags: Flags) -> Any:
    """Levels from 0 to 255 as numbers from 0 to 1."""
    x = x.astype(flags["dtype"])
    x /= 255
    return x


def _require_classes(flags: Flags, train: Pair, test: Pair) -> None:
    """Refuse images of one class alone, and test images of classes that none of the training has."""
    where = flags["data_dir"] or flags["dataset"]
    seen = set(train[1].tolist())
    if len(seen) < 2:
        raise DataError(f"{where}: the only class is {seen.pop()}; to learn, two are needed.")
    if unseen := sorted(set(test[1].tolist()) - seen):
        raise DataError(
            f"{where}: test images have the class {unseen[0]}, but no training image has. The classes of "
            f"the training are {', '.join(map(str, sorted(seen)))}."
        )


# --- pictures -------------------------------------------------------------------------------------


def _folder(flags: Flags) -> tuple[Pair, Pair, dict[str, Any]]:
    from xpnet.data import load_image_folder

    size = flags["image_size"]
    sides = [int(side) for side in size.split("x")] if size else []
    train, test, classes = load_image_folder(
        flags["dataset"],
        image_size=(sides[0], sides[-1]) if sides else None,
        test=flags["test"],
        seed=flags["seed"],
        dtype=flags["dtype"],
    )
    return train, test, {"classes": classes, "shape": train[0].shape[1:]}


def _folder_again(flags: Flags, reading: Reading, other: str | None) -> Tested:
    from xpnet.data import split
    from xpnet.data.image_folder import has_test, load_classes

    own = flags["test"] if isinstance(flags["test"], str) else flags["dataset"]
    source = other or own
    if not Path(source).is_dir():
        raise DataError(
            f"{source}: the run's data are not there. Name another folder with --dataset FOLDER."
        )
    x, t = load_classes(source, reading["classes"], tuple(reading["shape"]), flags["dtype"])
    if other or own != flags["dataset"] or has_test(source):
        return Tested((x, t), None, source)
    train, test = split(t, flags["test"] or SHARE, flags["seed"])
    return Tested((x[test], t[test]), (x[train], t[train]), source)
