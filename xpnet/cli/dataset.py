"""What is learned: images, by the name of their data set, or the samples of a table.

`learned` is for a training; `tested` is for a run, whose data it reads as the training did.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from xpnet.cli import tables
from xpnet.cli.tables import Flags, Pair, Reading


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
        How other data are read in the same way, as JSON has it. "kind": images, csv or npz;
        "classes": their names, none in a regression; of images, "shape": (channels, height, width);
        of tables, "schema" or "features", and "targets": the units of a regression.
    """

    train: Pair
    test: Pair
    input_shape: tuple[int, ...]
    outputs: int
    reading: dict[str, Any]


def kind_of(dataset: str) -> str:
    """Whether a data set is images (by name), or a table in a file: csv, npz."""
    suffix = Path(dataset).suffix.lower()
    return suffix[1:] if suffix in (".csv", ".npz") else "images"


def learned(flags: Flags) -> Samples:
    """The data that the flags of a training name.

    Raises
    ------
    DataError
        They are missing, damaged, or none for this task.
    """
    kind = kind_of(flags["dataset"])
    train, test, reading = _images(flags) if kind == "images" else tables.learn(flags)
    reading = json.loads(json.dumps({"kind": kind, **reading}))  # as it will be read again
    outputs = len(reading["classes"]) or train[1].shape[1]
    return Samples(train, test, tuple(train[0].shape[1:]), outputs, reading)


def tested(flags: Flags, reading: Reading, other: str | None) -> tuple[Pair, str]:
    """The test data of a run, and where they are from: "of ...".

    Parameters
    ----------
    flags, reading : mapping
        The run's.
    other : str or None
        Another table, all of whose samples are the test.
    """
    name, folder = flags["dataset"], flags["data_dir"]
    if reading["kind"] != "images":
        test, source = tables.tested(flags, reading, other)
        return test, f"of {source}"
    _, test, _ = _images(flags)
    built_in = "the built-in MNIST" if name == "mnist" else name
    return test, f"of {folder or built_in}"


def _images(flags: Flags) -> tuple[Pair, Pair, dict[str, Any]]:
    from xpnet.data import class_names, count_classes, load_dataset

    name, folder = flags["dataset"], flags["data_dir"]
    train, test = load_dataset(name, data_dir=folder, dtype=flags["dtype"])
    names, count = class_names(name), count_classes(train[1])
    if len(names) != count:  # a folder of other images
        names = [str(i) for i in range(count)]
    return train, test, {"classes": names, "shape": train[0].shape[1:]}
