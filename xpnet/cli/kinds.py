"""Kinds of data sets: images by name, tables and archives by their suffix, pictures by folder."""

import csv
from pathlib import Path

FRAMES = (".parquet", ".xlsx")  # which pandas or polars reads
TABLES = (".csv", ".tsv", ".txt", ".data", *FRAMES)
ARCHIVE = ".npz"
KINDS = ("images", "folder", "csv", "npz")
PICTURES = ("images", "folder")  # the kinds whose samples are images


def kind_of(dataset: str) -> str:
    """The kind of a data set: "images" (by name), "csv" (any table), "npz" or "folder"."""
    from xpnet.data import DATASETS

    if dataset.lower() in DATASETS:
        return "images"
    suffix = Path(dataset).suffix.lower()
    if suffix in TABLES:
        return "csv"
    if suffix == ARCHIVE:
        return "npz"
    return "folder"


def is_path(dataset: str, folder: Path | None = None) -> bool:
    """Whether a data set is given by its path, and not by a name that xpnet knows.

    Parameters
    ----------
    dataset : str
    folder : Path, optional
        The folder that the path is relative to; by default the current folder.
    """
    kind = kind_of(dataset)
    return kind in ("csv", "npz") or (kind == "folder" and Path(folder or ".", dataset).is_dir())


def columns(text: str) -> list[str]:
    """The column names in a comma-separated list.

    >>> columns('length, "width, in cm"')
    ['length', 'width, in cm']
    """
    rows = list(csv.reader([text], skipinitialspace=True))
    return [name.strip() for name in rows[0]] if rows else []
