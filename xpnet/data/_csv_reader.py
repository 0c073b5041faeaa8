"""The CSV reader: rows of numbers, and one column of targets, which may be text.

It guesses little. What it refuses is reported with the file, the line and the column. Cells become
numbers as they are read, so a table takes the memory of its numbers, not of its text.
"""

import codecs
import csv
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, Protocol, TextIO

import numpy as np
from numpy.typing import NDArray

from xpnet._typing import PathLike
from xpnet.data._csv_columns import Choice, Columns, columns_of, names_rows
from xpnet.data._csv_numbers import numbers_of, require_number
from xpnet.errors import ArgumentError, DataError

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
    x : ndarray of float64, shape (n, features)
    t : list of str
        The target of each row, as it is written.
    lines : array of int
        The line of the file in which each row ends, counted from 1.
    header : bool
        Whether the names were read from the file.
    index_name : str or None
        The name of the column that names the rows; None if there is no index.
    row_names : list of str
        The name of each row; empty if there is no index.
    """

    path: Path
    names: list[str]
    target: str | None
    x: NDArray[np.float64]
    t: list[str]
    lines: "array[int]"
    header: bool
    index_name: str | None
    row_names: list[str]

    def at(self, row: int) -> str:
        """The place of a row's target, for an error."""
        return f"{self.path}, line {self.lines[row]}, column {self.target!r}"


def read_csv(
    path: PathLike,
    target: str | bool | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    index_col: str | int | None = None,
    encoding: str = "utf-8",
    features: Sequence[str] | None = None,
    is_known: bool = False,
) -> Cells:
    """Read a table of numbers with a column of targets.

    Parameters
    ----------
    path : str or path-like
        A text file, of any name.
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
    encoding : str
        The encoding of the text. A byte order mark of UTF-8 is skipped.
    features : sequence of str, optional
        The columns that are features, in this order; other columns may hold anything. By default
        all but target and index.
    is_known : bool
        Whether these choices are those of a table that was read before. Then a table without the
        target or without the index is accepted too.

    Raises
    ------
    DataError
        The file is missing or not such a table; a value is missing, text, NaN, infinite or above
        the range of float32; a row has more or fewer cells than the first. The message names the
        file, line and column.
    """
    path = Path(path)
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '\r\n"\0'):
        raise ArgumentError(f"Expected a delimiter of one character, got {delimiter!r}.")
    codec = codec_of(encoding)
    choice = Choice(target, header, index_col, features, is_known)
    try:
        with path.open(encoding=codec, newline="") as file:
            _require_text(path, file, encoding)
            lines = [s for s in islice(file, 20) if s.strip()]
            delimiter = delimiter or _sniffed(path, lines, is_known or target is False)
            file.seek(0)
            rows = csv.reader(_split(file, delimiter), delimiter=delimiter, strict=True)
            try:
                return _read(path, rows, choice)
            except csv.Error as error:
                raise DataError(f"{path}, line {rows.line_num}: damaged: {error}") from None
    except UnicodeError as error:
        raise _undecodable(path, encoding, error) from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; expected a CSV table") from None
    except OSError as error:
        raise DataError(f"{path}: unreadable: {error.strerror or error}") from error
    except MemoryError:
        raise DataError(f"{path}: too large for this machine's memory") from None


# --- text -----------------------------------------------------------------------------------------


def codec_of(encoding: str) -> str:
    """The name of the codec that opens a file of this encoding."""
    try:
        name = codecs.lookup(encoding).name
        "".encode(name)  # fails for codecs from bytes to bytes, such as base64
    except (LookupError, ValueError):
        raise ArgumentError(
            f"Unknown encoding {encoding!r}. Expected one of Python's, such as utf-8, utf-16, cp1252 "
            "(Western Europe), cp949 (Korea), cp932 (Japan) or gb18030 (China)."
        ) from None
    return "utf-8-sig" if name == "utf-8" else name


def _require_text(path: Path, file: TextIO, encoding: str) -> None:
    """Refuse a file of UTF-16 that would be read as UTF-8, with advice."""
    if codecs.lookup(encoding).name != "utf-8":
        return
    start: bytes = file.buffer.peek(1024)  # type: ignore[attr-defined] # it is a BufferedReader
    is_marked = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if is_marked or b"\0" in start:
        what = "is UTF-16"
        if not is_marked:
            what = (
                "has NUL characters, like UTF-16 without a byte order mark, or data other than text"
            )
        raise DataError(
            f"{path}: expected UTF-8 text, but this file {what}. Save it as UTF-8 (in Excel: CSV UTF-8), "
            "or name its encoding: --encoding utf-16 (in Python, encoding='utf-16')"
        )


def _undecodable(path: Path, encoding: str, error: UnicodeError) -> DataError:
    """The error for a file of another encoding, with the first line that cannot be decoded."""
    if codecs.lookup(encoding).name != "utf-8":
        return DataError(
            f"{path}: expected text in the encoding {encoding}: {getattr(error, 'reason', error)}"
        )
    place = ""
    found = "another encoding"
    with path.open("rb") as file:
        for line, content in enumerate(file, 1):
            try:
                content.decode("utf-8")
            except UnicodeDecodeError as invalid:
                place = f", line {line}"
                found = f"the byte 0x{content[invalid.start]:02x}"
                break
    return DataError(
        f"{path}{place}: expected UTF-8 text, found {found}. Save the table as UTF-8 (in Excel: CSV "
        "UTF-8), or name its encoding, such as --encoding cp1252 (Western Europe) or cp949 (Korea); "
        "in Python, encoding='cp1252'"
    )


# --- rows -----------------------------------------------------------------------------------------


def _sniffed(path: Path, lines: list[str], one_column: bool) -> str:
    """The delimiter that splits the first lines into the same number of columns."""
    fitting = [delimiter for delimiter in DELIMITERS if _width(lines, delimiter)]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting and _width(lines, " "):
        return " "
    present = [delimiter for delimiter in DELIMITERS if delimiter in "".join(lines)]
    if not lines or (one_column and not present):
        return ","
    what = "but several of them fit"
    if not fitting:
        likely = _likely(lines)
        if likely is not None:
            return likely
        what = "but found none of them"
    raise DataError(
        f"{path}: expected two columns or more, separated by a comma, semicolon, tab, | or white space, "
        f"{what}. If it is a table, write it with one of these, or name its delimiter: --delimiter (in "
        "Python, delimiter)"
    )


def _likely(lines: list[str]) -> str | None:
    """The most likely delimiter of lines that no delimiter splits alike.

    Perhaps there is a title above the table, or a line has too many cells: a later step reports it.
    """
    for delimiter in DELIMITERS:
        if _width(lines[-3:], delimiter):
            return delimiter
    return next((delimiter for delimiter in DELIMITERS if delimiter in lines[0]), None)


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


def _read(path: Path, rows: _Rows, choice: Choice) -> Cells:
    """The table, whose columns are decided from its first rows."""
    # A line that is empty, or only white space, is not a row.
    written = (row for row in rows if len(row) > 1 or (row and not row[0].isspace()))
    numbered = ((rows.line_num, row) for row in written)
    beginning = list(islice(numbered, 1 + _SAMPLE))
    if not beginning:
        raise DataError(f"{path}: empty; expected a CSV table")
    columns = columns_of(path, beginning, choice)
    sample = beginning[columns.header :]
    values = array("d")
    t = []
    lines = array("q")
    named: dict[int, list[str]] = {place: [] for place in columns.row_names}
    labels: dict[str, str] = {}  # equal targets share one string in memory
    for line, row in chain(sample, numbered):
        if len(row) != len(columns.names):
            raise DataError(
                f"{path}, line {line}: expected {len(columns.names)} cells, as in the first line; "
                f"found {len(row)}"
            )
        if columns.target is not None:
            label = row[columns.target].strip()
            t.append(labels.setdefault(label, label))
        for place, cells in named.items():
            cells.append(row[place].strip())
        chosen = [row[place] for place in columns.features]
        values.extend(numbers_of(chosen) or _checked_numbers(path, line, row, columns, sample))
        lines.append(line)
    if not lines:
        raise DataError(f"{path}: expected rows, but it has a header only")
    return _table(path, columns, np.asarray(values, np.float64), t, lines, named, choice)


def _table(
    path: Path, columns: Columns, values: NDArray[np.float64], t: list[str], lines: "array[int]",
    named: dict[int, list[str]], choice: Choice,
) -> Cells:  # fmt: skip
    """The table, after a check that the columns without a name have the values of an index."""
    index = next(iter(named), None)
    for place, cells in named.items():
        if columns.index_is_chosen or names_rows(cells):
            continue
        if not choice.is_known:
            raise DataError(
                f"{path}: column {place + 1} has no name, and its values are not those of an index, "
                "whole numbers or distinct texts. Give it a name, or choose the index: --index NAME, "
                "or --index none if the column is a feature (in Python, index_col)"
            )
        index = None
    target = None if columns.target is None else columns.names[columns.target]
    return Cells(
        path=path,
        names=[columns.names[place] for place in columns.features],
        target=target,
        x=values.reshape(len(lines), len(columns.features)),
        t=t,
        lines=lines,
        header=columns.header,
        index_name=None if index is None else columns.names[index],
        row_names=[] if index is None else named[index],
    )


def _checked_numbers(
    path: Path, line: int, row: list[str], columns: Columns, sample: list[tuple[int, list[str]]]
) -> list[float]:
    """The numbers of a row, cell by cell; the error names the first cell that is not a number."""
    above = line > sample[0][0]
    found = []
    for place in columns.features:
        others = [cells[place] for number, cells in sample if number != line and place < len(cells)]
        where = f"{path}, line {line}, column {columns.names[place]!r}"
        found.append(require_number(row[place], where, others, above))
    return found
