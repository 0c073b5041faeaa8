"""The CSV reader: rows of numbers, and one column of targets, which may be text.

It guesses little, and says what it refuses: the file, the line and the column. Cells become numbers
as they are read, so a table takes the memory of its numbers, however long its text.
"""

import csv
import math
import os
import re
from array import array
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet.errors import ArgumentError, DataError

DELIMITERS = ",;\t|"
MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "-", "#n/a"}
LARGEST = float(np.finfo(np.float32).max)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class Cells(NamedTuple):
    """A table as it is written.

    Attributes
    ----------
    path : Path
    names : list of str
        Of the feature columns, in order.
    target : str or None
        The name of the target column; None where it is not there.
    x : ndarray of float64, shape (n, features)
    t : list of str
        The target of each row, as written.
    lines : array of int
        The line of the file in which each row ends, from 1.
    """

    path: Path
    names: list[str]
    target: str | None
    x: NDArray[np.float64]
    t: list[str]
    lines: "array[int]"

    def at(self, row: int) -> str:
        """Where the target of a row is, for an error."""
        return f"{self.path}, line {self.lines[row]}, column {self.target!r}"


def read_csv(
    path: str | os.PathLike[str],
    target: str | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    optional_target: bool = False,
) -> Cells:
    """Read a table of numbers with a column of targets.

    Parameters
    ----------
    path : str or path-like
        UTF-8 text.
    target : str, optional
        The target column's name; by default it is the last.
    delimiter : str, optional
        By default the one of ``, ; tab |`` that gives the first lines equally many columns, two or
        more.
    header : bool, optional
        Whether the first line has the columns' names. By default it has if no cell of it is a
        number, and has not if all are. Without it the names are "column 1" and so on.
    optional_target : bool
        Whether a table without the column `target` is accepted, and read as features alone.

    Raises
    ------
    DataError
        The file is missing or no such table; a value is missing, text, NaN or infinite, or above
        the range of float32; a row has more or fewer cells than the first. The message names the
        file, line and column.
    """
    path = Path(path)
    if delimiter is not None and len(delimiter) != 1:
        raise ArgumentError(f"Expected a delimiter of one character, got {delimiter!r}.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [s for s in islice(file, 20) if s.strip()]
            delimiter = delimiter or _sniffed(path, lines, optional_target)
            file.seek(0)
            rows = csv.reader(file, delimiter=delimiter, strict=True)
            try:
                return _read(path, rows, target, header, optional_target)
            except csv.Error as error:
                raise DataError(f"{path}, line {rows.line_num}: damaged: {error}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected UTF-8 text: {error.reason}") from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; expected a CSV table") from None
    except OSError as error:
        raise DataError(f"{path}: unreadable: {error.strerror or error}") from error
    except MemoryError:
        raise DataError(f"{path}: too large for this machine's memory") from None


def _sniffed(path: Path, lines: list[str], one_column: bool) -> str:
    """The delimiter that gives the first lines equally many columns."""
    if not lines or (one_column and not any(d in line for d in DELIMITERS for line in lines)):
        return ","
    widths = {}
    for delimiter in DELIMITERS:
        try:
            found = {len(row) for row in csv.reader(lines, delimiter=delimiter, strict=True)}
        except csv.Error:  # lines[-1] may end within quotes
            continue
        if len(found) == 1 and max(found) > 1:
            widths[delimiter] = max(found)
    if len(widths) == 1:
        return next(iter(widths))
    first = next((d for d in DELIMITERS if d in lines[0]), None)
    if not widths and first:
        return first  # the error will name the line whose cells are too many or too few
    what = "of which several fit" if widths else "none of which is there"
    raise DataError(
        f"{path}: expected two columns or more, separated by a comma, semicolon, tab or |, {what}. "
        "If it is a table, write it with one of them; or, in Python, give its delimiter."
    )


def _read(
    path: Path, rows: Any, target: str | None, header: bool | None, optional_target: bool
) -> Cells:
    written = (row for row in rows if len(row) > 1 or (row and not row[0].isspace()))
    numbered = ((rows.line_num, row) for row in written)
    first = next(numbered, None)
    if first is None:
        raise DataError(f"{path}: empty; expected a CSV table")
    names, again = _names(path, first, header)
    place = _place(path, names, target, optional_target)
    values, t, lines = array("d"), [], array("q")
    kinds: dict[str, str] = {}  # one text for equal targets
    for line, row in chain([again] if again else [], numbered):
        if len(row) != len(names):
            raise DataError(
                f"{path}, line {line}: expected {len(names)} cells, as in the first line; "
                f"found {len(row)}"
            )
        if place is not None:
            label = row.pop(place).strip()
            t.append(kinds.setdefault(label, label))
        values.extend(_numbers(row) or _explained(path, line, row, names, place))
        lines.append(line)
    if not lines:
        raise DataError(f"{path}: a header, but no rows")
    features = [name for i, name in enumerate(names) if i != place]
    x = np.asarray(values, np.float64).reshape(len(lines), len(features))
    return Cells(path, features, None if place is None else names[place], x, t, lines)


def _names(
    path: Path, first: tuple[int, list[str]], header: bool | None
) -> tuple[list[str], tuple[int, list[str]] | None]:
    """The columns' names, and the first line once more if it is a row."""
    line, row = first
    if header is None:
        numbers = [bool(_NUMBER.fullmatch(cell.strip())) for cell in row]
        if any(numbers) and not all(numbers):
            raise DataError(
                f"{path}, line {line}: both names and numbers: is it a header, or the first row? "
                "Put a line of names above the rows; or, in Python, say header=True or header=False"
            )
        header = not any(numbers)
    if not header:
        return [f"column {i}" for i in range(1, len(row) + 1)], first
    if not row[-1].strip():
        raise DataError(
            f"{path}, line {line}: the last column has no name. Give it one, or take the delimiter "
            "at the end of each line away"
        )
    names = [cell.strip() or f"column {i}" for i, cell in enumerate(row, 1)]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path}, line {line}: two columns are called {twice!r}")
    return names, None


def _place(path: Path, names: list[str], target: str | None, optional: bool) -> int | None:
    """Which column is the target."""
    if len(names) < 2 and not optional:
        raise DataError(f"{path}: expected two columns or more, found {len(names)}")
    if target is None:
        return len(names) - 1
    if target in names:
        return names.index(target)
    if optional:
        return None
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    raise DataError(f"{path}: no column {target!r}; its columns are {shown}")


def _numbers(row: list[str]) -> list[float] | None:
    """The cells as numbers; None if one is none that can be used."""
    try:
        numbers = [float(cell) for cell in row]
    except ValueError:
        return None
    # Comparing fails for NaN too; Python's float also reads "1_000" and the digits of all scripts.
    usable, text = all(-LARGEST <= number <= LARGEST for number in numbers), "".join(row)
    return numbers if usable and text.isascii() and "_" not in text else None


def _explained(
    path: Path, line: int, row: list[str], names: list[str], place: int | None
) -> list[float]:
    """The error for the first cell of a row that is no number; or the numbers, if all are."""
    features = [name for i, name in enumerate(names) if i != place]
    return [
        require_number(cell, f"{path}, line {line}, column {name!r}")
        for name, cell in zip(features, row, strict=True)
    ]


def require_number(cell: str, where: str) -> float:
    """A cell as a number that float32 can hold.

    Raises
    ------
    DataError
        It is none; the message begins with `where`, and says what it is instead.
    """
    cell = cell.strip()
    number = float(cell) if _NUMBER.fullmatch(cell) else math.nan
    if -LARGEST <= number <= LARGEST:
        return number
    if cell.lower() in MISSING:
        raise DataError(
            f"{where}: the value is missing ({cell!r}). Fill it in, or leave out the row"
        )
    shown = cell if len(cell) <= 40 else cell[:40] + "..."
    if number == number or cell.lower().lstrip("+-") in ("inf", "infinity"):  # noqa: PLR0124 - NaN
        raise DataError(f"{where}: {shown} is infinite, or above the range of float32")
    what_to_do = "Text may stand in the target column alone: give each kind a column of 0 and 1"
    if _NUMBER.fullmatch(cell.replace(",", "")):
        what_to_do = "Numbers have a point, and nothing between their thousands: 1234.5"
    raise DataError(f"{where}: expected a number, found the text {shown!r}. {what_to_do}")
