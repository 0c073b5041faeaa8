"""The CSV reader: columns of numbers and of texts, and one column of targets.

It guesses little. What it refuses is reported with the file, the line and the column. Cells become
numbers as they are read, so a table takes the memory of its numbers, not of its text.
"""

import csv
import math
import os
import re
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from xpnet._printable import counted
from xpnet._typing import PathLike
from xpnet.data._csv_columns import Choice, Columns, columns_of, names_rows
from xpnet.data._csv_encoding import codec_of, guess_encoding, require_text, undecodable
from xpnet.data._csv_notation import MARKS, in_both_notations, is_number
from xpnet.data._csv_numbers import (
    is_missing,
    missing_numbers,
    missing_texts,
    numbers_of,
    require_number,
)
from xpnet.data._frames import SUFFIXES, Rows, is_frame, read_frame
from xpnet.data._typing import DataFrame
from xpnet.errors import ArgumentError, ArgumentTypeError, DataError

DELIMITERS = ",;\t|"
_SAMPLE = 100  # rows from which the reader decides what the caller has not chosen


class Cells(NamedTuple):
    """A table, with its targets as they are written.

    Attributes
    ----------
    path : Path
    names : list of str
        The names of the feature columns, in order.
    target : str or None
        The name of the target column; None if there is no target.
    x : ndarray of float64, shape (n, columns of numbers)
        NaN where a value is missing.
    texts : dict of list of str
        The features that are not in x, by name: the string of each row.
    ids : dict of list of str
        The columns that identify the rows, by name.
    unused : list of str
        The names of the columns that were not read.
    t : list of str
        The target of each row, as it is written.
    lines : array of int
        The line of the file in which each row ends, counted from 1; or the number of a frame's row, from 0.
    unit : {"line", "row"}
        What these are called.
    header : bool
        Whether the names were read from the file.
    index_name : str or None
        The name of the column that names the rows; None if there is no index.
    row_names : list of str
        The name of each row; empty if there is no index.
    decimal : {".", ","}
        The decimal mark of the numbers in texts and targets.
    """

    path: Path
    names: list[str]
    target: str | None
    x: NDArray[np.float64]
    texts: dict[str, list[str]]
    ids: dict[str, list[str]]
    unused: list[str]
    t: list[str]
    lines: "array[int]"
    unit: str
    header: bool
    index_name: str | None
    row_names: list[str]
    decimal: str

    def at(self, row: int, column: str | None = None) -> str:
        """The place of a row's value in a column, by default in the target, for an error."""
        return f"{self.path}, {self.unit} {self.lines[row]}, column {(column or self.target)!r}"

    @property
    def named(self) -> tuple[str, list[str] | list[int]]:
        """What the rows are named by, and their names: those of the index, or their lines."""
        if self.index_name is not None:
            return self.index_name, self.row_names
        return self.unit, self.lines.tolist()

    def taken(self, rows: Sequence[int]) -> "Cells":
        """These rows of the table."""
        return self._replace(
            x=self.x[list(rows)],
            texts={name: [texts[i] for i in rows] for name, texts in self.texts.items()},
            ids={name: [texts[i] for i in rows] for name, texts in self.ids.items()},
            t=[self.t[i] for i in rows],
            lines=array("q", [self.lines[i] for i in rows]),
            row_names=[self.row_names[i] for i in rows if self.row_names],
        )

    def columns(self) -> dict[str, NDArray[np.float64] | list[str]]:
        """The numbers, or the texts, of each feature, by name."""
        numbers = iter(self.x.T)
        return {
            name: self.texts[name] if name in self.texts else next(numbers) for name in self.names
        }


def read_csv(
    source: PathLike | DataFrame,
    target: str | bool | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    index_col: str | int | None = None,
    encoding: str | None = "utf-8",
    features: Sequence[str] | None = None,
    is_known: bool = False,
    drop: Sequence[str] = (),
    ids: Sequence[str] = (),
    texts: bool | Collection[str] = (),
    categories: Sequence[str] = (),
    missing: Iterable[str] | None = None,
    decimal: str = ".",
) -> Cells:
    """Read a table of features, by default numbers, with a column of targets.

    Parameters
    ----------
    source : str, path-like or DataFrame
        A text file, of any name; a file FILE.parquet or FILE.xlsx; or a data frame of pandas or polars.
        The names of a frame's columns are the header; its index is not read.
    target : str or False, optional
        The name of the target column. By default it is the last column that is not a feature.
        False: no target is read.
    delimiter : str, optional
        By default the one of ``, ; tab |`` that splits the first lines into the same number of
        columns, two or more; or white space, if only that does. A space means any white space.
    header : bool, optional
        Whether the first row is a header, which has the names of the columns. By default it is one
        if none of its cells is a number; if its numbers are 0, 1, ..., which pandas writes for the
        columns of an array; or if they are whole numbers in equal steps, such as years, above
        fractions. It is none if all its cells are other numbers, or if each text in it occurs again
        in its column. Any other first row is refused. Without a header the names are "column 1"
        and so on.
    index_col : str, int or False, optional
        The column that names the rows, which is not a feature: its name, or its number from 0. False:
        there is no index. By default it is the first column if that has no name (or one such as
        "Unnamed: 0"), as pandas writes an index.
    encoding : str, optional
        The encoding of the text. A byte order mark of UTF-8 is skipped. None: see `guess_encoding`.
    features : sequence of str, optional
        The columns that are features, in this order; other columns may hold anything. By default
        all but target and index.
    is_known : bool
        Whether these choices are those of a table that was read before. Then a table without the
        target or without the index is accepted too.
    drop : sequence of str
        Columns that are not read.
    ids : sequence of str
        Columns that identify the rows, and are not features.
    texts : bool or collection of str
        The features that may hold text, which is not converted. True: those in which, of the first
        100 values, more than a half are texts. By default none may.
    categories : sequence of str
        Features that are kept as text, whatever they hold.
    missing : iterable of str, optional
        Texts in place of missing values, besides an empty cell, NA, NaN, null, None, "?" and "-". By
        default a missing value is refused, also these.
    decimal : {".", ","}
        The decimal mark. A number with the other mark, or with thousands separators, is refused. The
        numbers of a frame are numbers already; this is how its texts are read.

    Raises
    ------
    DataError
        The file is missing or not such a table; a value that must be a number is missing, text, NaN,
        infinite or above the range of float32; a row has more or fewer cells than the first. The
        message names the file, line and column.
    """
    _require_valid(delimiter, encoding, decimal)
    choice = Choice(
        target=target,
        header=header,
        index_col=index_col,
        features=features,
        is_known=is_known,
        drop=drop,
        ids=ids,
        texts=texts,
        categories=categories,
        missing=None if missing is None else missing_texts(in_both_notations(missing, decimal)),
        decimal=decimal,
    )
    if is_frame(source):
        return _read(
            Path("the data frame"), Rows(source, 0, decimal), choice._replace(header=True), "row"
        )
    if not isinstance(source, (str, os.PathLike)):
        raise ArgumentTypeError(
            f"Expected a path, or a data frame of pandas or polars, got {type(source).__name__}.{_way(source)}"
        )
    path = Path(source)
    try:
        if path.suffix.lower() in SUFFIXES:
            return _read_frame(path, choice)
        encoding = encoding or guess_encoding(path)
        return _read_text(path, encoding, delimiter, choice)
    except UnicodeError as error:
        raise undecodable(path, encoding or "utf-8", error) from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; expected a CSV table") from None
    except OSError as error:
        raise DataError(f"{path}: unreadable: {error.strerror or error}") from error
    except MemoryError:
        raise DataError(f"{path}: too large for this machine's memory") from None


def _way(source: object) -> str:
    """How to make a data frame of something else, as the end of a message."""
    kind = type(source).__name__
    if hasattr(source, "to_frame"):
        return f" A {kind} becomes one by to_frame(); if it is a row, by to_frame().T."
    if hasattr(source, "collect"):
        return f" A {kind} becomes one by collect()."
    if isinstance(source, dict):
        return " One row: pandas.DataFrame([row]); columns: pandas.DataFrame(columns)."
    return " Rows become one by pandas.DataFrame(rows)."


def _require_valid(delimiter: str | None, encoding: str | None, decimal: str) -> None:
    """Refuse what names no delimiter, no encoding or no decimal mark, before a file is opened."""
    if decimal not in MARKS:
        raise ArgumentError(f"Expected a decimal mark, '.' or ',', got {decimal!r}.")
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '\r\n"\0'):
        raise ArgumentError(f"Expected a delimiter of one character, got {delimiter!r}.")
    if encoding is not None:
        codec_of(encoding)


def _read_frame(path: Path, choice: Choice) -> Cells:
    """The table in a file that pandas or polars reads."""
    first = 0
    if path.suffix.lower() == ".xlsx":
        first = 2  # as a spreadsheet numbers its rows, of which the first is the header
    return _read(
        path, Rows(read_frame(path), first, choice.decimal), choice._replace(header=True), "row"
    )


def _read_text(path: Path, encoding: str, delimiter: str | None, choice: Choice) -> Cells:
    """The table in a text file of this encoding."""
    with path.open(encoding=codec_of(encoding), newline="") as file:
        require_text(path, file, encoding)
        lines = [s for s in islice(file, 20) if s.strip()]
        one_column = choice.is_known or choice.target is False
        delimiter = delimiter or _sniffed(path, lines, one_column, choice.decimal)
        file.seek(0)
        rows = csv.reader(_split(file, delimiter), delimiter=delimiter, strict=True)
        try:
            return _read(path, rows, choice)
        except csv.Error as error:
            raise DataError(f"{path}, line {rows.line_num}: damaged: {error}") from None


# --- rows -----------------------------------------------------------------------------------------


def _sniffed(path: Path, lines: list[str], one_column: bool, decimal: str) -> str:
    """The delimiter that splits the first lines into the same number of columns."""
    marks = _possible(lines, decimal)
    fitting = [delimiter for delimiter in marks if _width(lines, delimiter)]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting and _width(lines, " "):
        return " "
    certain = marks.replace(decimal, "")
    present = [delimiter for delimiter in certain if delimiter in "".join(lines)]
    if not lines or (one_column and not present):
        return marks[0]
    what = "but several of them fit"
    if not fitting:
        likely = _likely(lines, certain)
        if likely is not None:
            return likely
        what = "but found none of them"
    hint = ""
    if decimal == "." and "," in fitting:
        hint = ". If the commas are decimal commas: --decimal , (in Python, decimal=',')"
    raise DataError(
        f"{path}: expected two columns or more, separated by a comma, semicolon, tab, | or white space, "
        f"{what}. If it is a table, write it with one of these, or name its delimiter: --delimiter (in "
        f"Python, delimiter){hint}"
    )


def _possible(lines: list[str], decimal: str) -> str:
    """The delimiters that the lines may have.

    Where the decimal mark is a comma, a comma separates columns only if the cells that have a decimal one
    are in quotes, or if there is no other delimiter and the names in the header are separated by it.
    """
    if decimal != "," or any('"' in line for line in lines):
        return DELIMITERS
    others = DELIMITERS.replace(",", "")
    is_in_a_number = bool(lines) and _DECIMAL_COMMA.search(lines[0]) is not None
    if is_in_a_number or any(_width(lines, delimiter) for delimiter in others):
        return others
    return others + ","


_DECIMAL_COMMA = re.compile(r"\d,\d", re.ASCII)


def _likely(lines: list[str], marks: str) -> str | None:
    """The most likely delimiter of lines that no delimiter splits alike.

    Perhaps there is a title above the table, or a line has too many cells: a later step reports it.
    """
    for delimiter in marks:
        if _width(lines[-3:], delimiter):
            return delimiter
    return next((delimiter for delimiter in marks if delimiter in lines[0]), None)


def _width(lines: list[str], delimiter: str) -> int:
    """The number of columns if a delimiter splits all lines alike, into two or more; else 0."""
    try:
        rows = csv.reader(_split(lines, delimiter), delimiter=delimiter, strict=True)
        found = {len(row) for row in rows}
    except csv.Error:  # the last of these lines may end within quotes
        return 0
    if len(found) != 1 or found == {1}:
        return 0
    return found.pop()


def _split(lines: Iterable[str], delimiter: str) -> Iterator[str]:
    """The lines as the csv module needs them: it splits at single spaces only."""
    if delimiter == " ":
        return (" ".join(line.split()) for line in lines)
    return iter(lines)


class _Rows(Protocol):
    """What `csv.reader` returns."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...


def _read(path: Path, rows: _Rows, choice: Choice, unit: str = "line") -> Cells:
    """The table, whose columns are decided from its first rows."""
    # A line that is empty, or only white space, is not a row.
    written = (row for row in rows if len(row) > 1 or (row and not row[0].isspace()))
    numbered = ((rows.line_num, row) for row in written)
    beginning = list(islice(numbered, 1 + _SAMPLE))
    if not beginning:
        raise DataError(f"{path}: empty; expected a CSV table")
    columns = columns_of(path, beginning, choice)
    sample = beginning[columns.header :]
    read = _Read(columns, choice, sample, unit)
    for line, row in chain(sample, numbered):
        if len(row) != len(columns.names):
            raise DataError(
                f"{path}, {unit} {line}: expected {counted(len(columns.names), 'cell')}, as in the first line; "
                f"found {len(row)}"
            )
        read.add(path, line, row)
    if not read.lines:
        raise DataError(f"{path}: expected rows, but it has a header only")
    return read.table(path)


class _Read:
    """The rows of a table that have been read so far.

    Parameters
    ----------
    columns : Columns
    choice : Choice
    sample : list of (int, list of str)
        The first rows, with their lines.
    unit : str
        What the lines are called.
    """

    def __init__(
        self, columns: Columns, choice: Choice, sample: list[tuple[int, list[str]]], unit: str
    ) -> None:
        self.unit = unit
        self.columns = columns
        self.choice = choice
        self.missing = choice.missing or frozenset()
        self.first = sample[0][0] if sample else 0
        features = columns.features
        text = [i for i in features if _is_text(columns.names[i], i, sample, choice)]
        self.numbers = [i for i in features if i not in text]
        kept = [*text, *columns.ids, *columns.row_names]
        if columns.target is not None:
            kept.append(columns.target)
        self.texts: dict[int, list[str]] = {place: [] for place in kept}
        self.values = array("d")
        self.lines = array("q")
        self.labels: dict[str, str] = {}  # equal texts share one string in memory

    def add(self, path: Path, line: int, row: list[str]) -> None:
        """Keep the cells of a row."""
        for place, cells in self.texts.items():
            text = row[place].strip()
            cells.append(self.labels.setdefault(text, text))
        if self.numbers:
            chosen = [row[place] for place in self.numbers]
            decimal = self.choice.decimal
            found = numbers_of(chosen, (), decimal) or numbers_of(chosen, self.missing, decimal)
            self.values.extend(found or self._checked(path, line, row))
        self.lines.append(line)

    def _checked(self, path: Path, line: int, row: list[str]) -> list[float]:
        """The numbers of a row, cell by cell; the error names the first that is not a number."""
        found = []
        for place in self.numbers:
            if is_missing(row[place], self.missing):
                found.append(math.nan)
                continue
            where = f"{path}, {self.unit} {line}, column {self.columns.names[place]!r}"
            above = line > self.first
            found.append(require_number(row[place], where, above, self.choice.decimal))
        return found

    def table(self, path: Path) -> Cells:
        """The table, after a check that the columns without a name have the values of an index."""
        columns = self.columns
        names = columns.names
        x = np.asarray(self.values, np.float64).reshape(len(self.lines), len(self.numbers))
        for number in missing_numbers(self.missing):
            x = np.where(x == number, math.nan, x)
        used = {*columns.features, *self.texts}
        index = self._index(path)
        target = columns.target
        return Cells(
            path=path,
            names=[names[place] for place in columns.features],
            target=None if target is None else names[target],
            x=x,
            texts={names[i]: self.texts[i] for i in columns.features if i in self.texts},
            ids={names[i]: self.texts[i] for i in columns.ids},
            unused=[name for place, name in enumerate(names) if place not in used],
            t=[] if target is None else self.texts[target],
            lines=self.lines,
            unit=self.unit,
            header=columns.header,
            index_name=None if index is None else names[index],
            row_names=[] if index is None else self.texts[index],
            decimal=self.choice.decimal,
        )

    def _index(self, path: Path) -> int | None:
        """The column that names the rows."""
        index = next(iter(self.columns.row_names), None)
        for place in self.columns.row_names:
            chosen = self.columns.index_is_chosen
            if chosen or names_rows(self.texts[place], self.choice.decimal):
                continue
            if not self.choice.is_known:
                raise DataError(
                    f"{path}: column {place + 1} has no name, and its values are not those of an index, "
                    "whole numbers or distinct texts. Give it a name, or choose the index: --index NAME, "
                    "or --index none if the column is a feature (in Python, index_col)"
                )
            index = None
        return index


def _is_text(name: str, place: int, sample: list[tuple[int, list[str]]], choice: Choice) -> bool:
    """Whether a feature is kept as text: the caller says so, or most of its first values are texts."""
    if not isinstance(choice.texts, bool):
        return name in choice.texts
    if not choice.texts or name in choice.categories:
        return choice.texts
    cells = [row[place].strip() for _, row in sample if place < len(row)]
    known = [cell for cell in cells if not is_missing(cell, choice.missing or ())]
    texts = sum(not is_number(cell, choice.decimal) for cell in known)
    return 2 * texts > len(known) or not known
