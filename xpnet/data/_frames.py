"""Data frames of pandas and polars, and the files that these read, as rows of text.

The cells of a frame are written as in a CSV file, and read like one, so that a table is prepared in one
way, whatever holds it. Neither package is needed by anything else.
"""

import math
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

from xpnet.data._typing import DataFrame
from xpnet.errors import DataError, MissingPackageError

SUFFIXES = {".parquet": "read_parquet", ".xlsx": "read_excel"}
LIBRARIES = ("pandas", "polars")


def is_frame(source: object) -> bool:
    """Whether this is a data frame of pandas or polars."""
    kind = type(source)
    return kind.__name__ == "DataFrame" and kind.__module__.partition(".")[0] in LIBRARIES


class Rows:
    """The rows of a frame, as `csv.reader` would return them.

    Attributes
    ----------
    line_num : int
        The number of the row that was returned last.
    """

    def __init__(self, frame: DataFrame, first: int, decimal: str = ".") -> None:
        self.frame = frame
        self.decimal = decimal
        self.first = first
        self.line_num = first

    def __iter__(self) -> Iterator[list[str]]:
        self.line_num = self.first - 1
        yield [str(name) for name in self.frame.columns]
        columns = [_values(self.frame, i) for i in range(len(self.frame.columns))]
        for row in zip(*columns, strict=True):
            self.line_num += 1
            yield [_written(value, self.decimal) for value in row]


def _values(frame: DataFrame, place: int) -> list[Any]:
    """The values of a column; its place is unique also where its name is not."""
    if hasattr(frame, "iloc"):
        values: list[Any] = frame.iloc[:, place].tolist()
        return values
    return list(frame.to_series(place).to_list())


def _written(value: object, decimal: str) -> str:
    """A value as a CSV file would have it; empty if it is missing."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return ""
    if isinstance(value, float) and math.isnan(value):
        return ""
    if isinstance(value, datetime) and value.tzinfo is None and value.time() == time():
        return value.date().isoformat()  # frames hold dates as times, at midnight
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    text = str(value)
    return text.replace(".", decimal) if isinstance(value, (float, Decimal)) else text


def read_frame(path: Path) -> DataFrame:
    """The frame in a file of Parquet or Excel, by pandas or, without it, by polars.

    Raises
    ------
    DataError
        The file is missing or damaged.
    MissingPackageError
        Neither package is installed, or what it needs for this format.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a table")
    name = SUFFIXES[path.suffix.lower()]
    missing = []
    for library in LIBRARIES:
        try:
            return getattr(import_module(library), name)(path)
        except ImportError as error:
            missing.append(error.name or library)
        except Exception as error:
            raise DataError(f"{path}: unreadable: {error}") from error
    raise MissingPackageError(
        f"{path} needs pandas or polars with their packages for {path.suffix} files; missing: "
        f"{', '.join(missing)}. To install them: pip install pandas pyarrow openpyxl; or save the table as "
        "CSV",
        name=missing[0],
    )
