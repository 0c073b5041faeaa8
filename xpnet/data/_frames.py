"""Data frames of pandas and polars, and the files that these read, as rows of text.

The cells of a frame are written as in a CSV file, and read like one, so that a table is prepared in one
way, whatever holds it. Neither package is needed by anything else.
"""

import math
import warnings
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from importlib import import_module
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any

from xpnet.data._messages import listed
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
    return text.replace(".", decimal) if isinstance(value, (Real, Decimal)) else text


def _first_sheet(library: ModuleType, path: Path) -> DataFrame:
    """The first sheet of a workbook; a warning names the others."""
    if library.__name__ == "pandas":
        with library.ExcelFile(path) as book:
            names = list(map(str, book.sheet_names))
            frame = library.read_excel(book)
    else:
        sheets = library.read_excel(path, sheet_id=0, raise_if_empty=False)
        names = list(sheets)
        frame = sheets[names[0]]
    if len(names) > 1:
        warnings.warn(
            f"{path}: only the first sheet, {names[0]!r}, is read, and not {listed(map(repr, names[1:]))}. To read "
            "another, save it in a file of its own, or give its data frame",
            stacklevel=6,
        )
    return frame


def read_frame(path: Path) -> DataFrame:
    """The frame in a file of Parquet or Excel, by pandas or, without it, by polars.

    Of a workbook, the first sheet is read.

    Raises
    ------
    DataError
        The file is missing or damaged.
    MissingPackageError
        Neither package is installed, or what it needs for this format.

    Warns
    -----
    UserWarning
        A workbook has further sheets.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a table")
    name = SUFFIXES[path.suffix.lower()]
    missing = []
    for library in LIBRARIES:
        try:
            reader = import_module(library)
            if name == "read_excel":
                return _first_sheet(reader, path)
            return getattr(reader, name)(path)
        except ImportError as error:
            missing.append(error.name or library)
        except Exception as error:
            reason = str(error).rstrip(".")
            raise DataError(
                f"{path}: unreadable: {reason}. If it is a text file, call it {path.with_suffix('.csv').name}"
            ) from error
    raise MissingPackageError(
        f"{path} needs pandas or polars with their packages for {path.suffix} files; missing: "
        f"{', '.join(missing)}. To install them: pip install pandas pyarrow openpyxl; or save the table as "
        "CSV",
        name=missing[0],
    )
