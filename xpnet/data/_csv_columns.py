"""The columns of a CSV table: their names, and which are features, target and index.

What the caller does not choose is decided from the first rows, as users of pandas expect. Where
two readings are plausible, the table is refused, and the message names the argument and the flag
that decide.
"""

import math
import re
from collections.abc import Collection, Sequence
from itertools import pairwise, takewhile
from pathlib import Path
from typing import NamedTuple

from xpnet._printable import counted
from xpnet.data._csv_notation import NUMBER, is_number, pointed
from xpnet.data._messages import listed, shortened
from xpnet.errors import DataError

_WHOLE = re.compile(r"[+-]?\d+(\.0*)?", re.ASCII)
_UNNAMED = re.compile(r"Unnamed: \d+(\.\d+)*|", re.ASCII)  # a blank, or pandas' name for one

Row = list[str]
Numbered = tuple[int, Row]  # a row, and the line of the file in which it ends


class Choice(NamedTuple):
    """The caller's choices: the arguments of `read_csv` of the same names.

    Attributes
    ----------
    missing : frozenset of str, optional
        In lower case. None: a missing value is refused.
    """

    target: str | bool | None = None
    header: bool | None = None
    index_col: str | int | None = None
    features: Sequence[str] | None = None
    is_known: bool = False
    drop: Sequence[str] = ()
    ids: Sequence[str] = ()
    texts: bool | Collection[str] = ()
    categories: Sequence[str] = ()
    missing: frozenset[str] | None = None
    decimal: str = "."


class Columns(NamedTuple):
    """The role of each column, by its number from 0.

    Attributes
    ----------
    names : list of str
        The names of all columns.
    header : bool
        Whether the first row has these names.
    features : list of int
    target : int or None
    ids : list of int
    row_names : list of int
        The columns that name the rows. A table that pandas has saved repeatedly has several.
    index_is_chosen : bool
        Whether the caller named the index. Otherwise its values must look like an index.
    """

    names: list[str]
    header: bool
    features: list[int]
    target: int | None
    ids: list[int]
    row_names: list[int]
    index_is_chosen: bool


def columns_of(path: Path, rows: list[Numbered], choice: Choice) -> Columns:
    """The columns of a table that begins with `rows`.

    Raises
    ------
    DataError
        A chosen column does not exist, a name is missing or occurs twice, or it is unclear whether
        the first row is a header.
    """
    rows = _with_corner(rows, choice.decimal)
    _require_no_title(path, rows)
    line, first = rows[0]
    header = choice.header
    if header is None:
        cells, *sample = [[pointed(cell, choice.decimal) for cell in row] for _, row in rows]
        header = _has_names(path, line, cells, sample)
    names = _names(path, line, first, header, choice)
    index = _index(path, names, first if header else [], choice)
    ids = _places(path, names, choice.ids, choice)
    out = {*index, *ids, *_places(path, names, choice.drop, choice)}
    places = [i for i in range(len(names)) if i not in out]
    target = _target(path, names, places, choice)
    features = [i for i in places if i != target]
    if choice.features is not None:
        features = [_place(path, names, name, choice) for name in choice.features]
    _places(path, [names[i] for i in features], choice.categories, choice)
    if not features:
        raise DataError(f"{path}: expected features, but there is no column besides the target")
    return Columns(names, header, features, target, ids, index, choice.index_col is not None)


def names_rows(cells: list[str], decimal: str = ".") -> bool:
    """Whether these cells look like an index: whole numbers, or distinct texts."""
    cells = [cell.strip() for cell in cells]
    if all(_WHOLE.fullmatch(cell) for cell in cells):
        return True
    return len(set(cells)) == len(cells) and not any(is_number(cell, decimal) for cell in cells)


# --- the first row --------------------------------------------------------------------------------


def _with_corner(rows: list[Numbered], decimal: str) -> list[Numbered]:
    """The rows, with a blank name for the column of row names, for which R writes no name."""
    (line, first), *others = rows
    wider = others and all(len(row) == len(first) + 1 for _, row in others)
    ends_blank = all(not row[-1].strip() for _, row in others)  # each row ends with a delimiter
    if not wider or ends_blank or any(is_number(cell.strip(), decimal) for cell in first):
        return rows
    return [(line, ["", *first]), *others]


def _require_no_title(path: Path, rows: list[Numbered]) -> None:
    """Refuse a table with a title or comments above it."""
    width = len(rows[-1][1])
    above = list(takewhile(lambda numbered: len(numbered[1]) != width, rows))
    below = rows[len(above) :]
    if above and width > 1 and len(below) > 1 and all(len(row) == width for _, row in below):
        line, row = above[0]
        if len(row) == width - 1 and all(not row[-1].strip() for _, row in below):
            raise DataError(
                f"{path}, line {below[0][0]}: the rows end with a delimiter, and have one cell more than "
                "the header. Remove the delimiter at the end of each line"
            )
        what = "these lines are" if len(above) > 1 else "this line is"
        raise DataError(
            f"{path}, line {line}: the number of cells is {len(row)} here, but {width} from line "
            f"{below[0][0]} on: {what} not part of the table, but perhaps a title or a comment "
            f"({shortened(row[0])!r}). Delete all lines above the table"
        )


def _has_names(path: Path, line: int, first: Row, sample: list[Row]) -> bool:
    """Whether the first row has the names of the columns, decided from its cells and the next rows."""
    cells = [cell.strip() for cell in first]
    numbers = [cell for cell in cells if NUMBER.fullmatch(cell)]
    if not numbers:
        return True
    texts = [i for i, cell in enumerate(cells) if cell and not NUMBER.fullmatch(cell)]
    if len(numbers) < len(cells):
        what = "both names and numbers"
        has_names = _names_among_texts(cells, numbers, texts, sample)
    else:
        what = "numbers that may be names"
        has_names = _names_of_numbers(numbers, sample)
    if has_names is None:
        raise DataError(
            f"{path}, line {line}: {what}: is it a header, or the first row? Choose with --header or "
            "--no-header (in Python, header=True or header=False), or insert a line of names above"
        )
    return has_names


def _names_among_texts(
    cells: Row, numbers: Row, texts: list[int], sample: list[Row]
) -> bool | None:
    """Whether a row of numbers and texts (or blanks) has names; None if both are plausible."""
    if texts and all(cells[i] in _column(sample, i) for i in texts):
        return False  # the texts are classes, which occur again
    if numbers == _counted(len(numbers)):
        return True  # the names that pandas gives to the columns of an array
    if not all(number.isdecimal() for number in numbers):
        return False
    numbered = [i for i, cell in enumerate(cells) if cell in numbers]
    if _in_steps(numbers) and all(_has_fractions(sample, i) for i in numbered):
        return True  # such as years
    return None


def _names_of_numbers(numbers: Row, sample: list[Row]) -> bool | None:
    """Whether a row of numbers has names; None if both are plausible."""
    count = len(numbers)
    fractions = [_has_fractions(sample, i) for i in range(count)]
    if numbers == _counted(count):
        # 0, 1, 2 and then 3, 4, 5: numbers that count on are rows as well as names.
        counts_on = bool(sample) and sample[0] == [str(count + i) for i in range(count)]
        if any(fractions) or (count > 2 and not counts_on):
            return True
        return None
    if not sample:
        return False
    if _in_steps(numbers):
        return _names_in_steps(numbers, sample, fractions)
    is_whole = all(number.isdecimal() for number in numbers) and len(set(numbers)) == count
    if is_whole and all(fractions):
        return None
    return False


def _names_in_steps(numbers: Row, sample: list[Row], fractions: list[bool]) -> bool | None:
    """Whether a row of numbers in equal steps, such as years or wavelengths, has names."""
    if not all(number.isdecimal() for number in numbers):
        # 0.0, 1.0, ... may be pandas' names; five or more equal steps may be names on a scale.
        is_range = [float(number) for number in numbers] == list(range(len(numbers)))
        if is_range or len(numbers) > 4:
            return None
        return False
    if all(fractions):
        return True
    if any(fractions):
        return None
    below = [cell for i in range(len(numbers)) for cell in _column(sample, i)]
    if all(map(_is_year, numbers)) and not any(map(_is_year, below)):
        return None
    return False


def _is_year(cell: str) -> bool:
    return len(cell) == 4 and cell.isdecimal() and "1800" <= cell < "2200"


def _counted(count: int) -> Row:
    """The texts "0", "1" and so on, which pandas writes as the names of an array's columns."""
    return [str(i) for i in range(count)]


def _column(sample: list[Row], i: int) -> list[str]:
    return [row[i].strip() for row in sample if i < len(row)]


def _has_fractions(sample: list[Row], i: int) -> bool:
    """Whether a column has cells that are not whole numbers."""
    return any(cell and not cell.lstrip("+-").isdecimal() for cell in _column(sample, i))


def _in_steps(numbers: Row) -> bool:
    """Whether these are three numbers or more in equal, positive steps."""
    steps = [float(b) - float(a) for a, b in pairwise(numbers)]
    return len(steps) > 1 and steps[0] > 0 and all(math.isclose(s, steps[0]) for s in steps)


# --- the columns ----------------------------------------------------------------------------------


def _names(path: Path, line: int, first: Row, header: bool, choice: Choice) -> list[str]:
    """The names of all columns: those of the header, or "column 1" and so on."""
    if not header:
        return [f"column {i}" for i in range(1, len(first) + 1)]
    if not first[-1].strip() and not choice.is_known:
        raise DataError(
            f"{path}, line {line}: the last column has no name. Give it one, or remove the delimiter "
            "at the end of each line"
        )
    names = [cell.strip() or f"column {i}" for i, cell in enumerate(first, 1)]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path}, line {line}: two columns are called {twice!r}; rename one")
    return names


def _index(path: Path, names: list[str], header: Row, choice: Choice) -> list[int]:
    """The columns that name the rows."""
    if choice.index_col is False:
        return []
    if choice.index_col is not None:
        place = _index_place(path, names, choice)
        return [] if place is None else [place]
    wanted = {choice.target, *(choice.features or ())}
    unnamed = takewhile(lambda i: _UNNAMED.fullmatch(header[i].strip()), range(len(header)))
    return [i for i in unnamed if names[i] not in wanted]


def _index_place(path: Path, names: list[str], choice: Choice) -> int | None:
    """The place of the index that the caller named, by its name or its number."""
    wanted = str(choice.index_col)
    if wanted in names:
        return names.index(wanted)
    # No place has ten digits, and `int` refuses a number of thousands of digits.
    if wanted.isdecimal() and len(wanted) < 10 and int(wanted) < len(names):
        return int(wanted)
    if choice.is_known:  # a prediction does not need the index
        return None
    return _place(path, names, wanted, choice)


def _target(path: Path, names: list[str], places: list[int], choice: Choice) -> int | None:
    """The place of the target among `places`, the columns that are not the index."""
    if choice.target is False or (choice.is_known and choice.target not in names):
        return None
    if isinstance(choice.target, str):
        place = _place(path, names, choice.target, choice)
        if place not in places:
            out = choice.target in choice.drop or choice.target in choice.ids
            what = "left out" if out else "the index"
            raise DataError(f"{path}: the column {choice.target!r} is both {what} and the target")
        return place
    left = [i for i in places if names[i] not in (choice.features or ())]
    if not left or len(places) < 2:
        besides = ""
        if len(places) < len(names):
            besides = " besides the one that names the rows, and those that are left out"
        raise DataError(
            f"{path}: expected two columns or more, features and a target; "
            f"found {len(places)}{besides}"
        )
    return left[-1]


def _places(path: Path, names: list[str], wanted: Sequence[str], choice: Choice) -> list[int]:
    """The places of columns that are no features. A table that is read later may lack them."""
    return [_place(path, names, n, choice) for n in wanted if n in names or not choice.is_known]


def _place(path: Path, names: list[str], name: str, choice: Choice) -> int:
    """The place of the column of this name."""
    if name in names:
        return names.index(name)
    if choice.is_known and name in (choice.features or ()):
        absent = [feature for feature in choice.features or () if feature not in names]
        raise DataError(
            f"{path}: no column {name!r}, which the model needs; of "
            f"its {counted(len(choice.features or ()), 'feature')}, the table lacks {listed(absent)}. Add what is "
            f"missing: cells may be empty, if their values are unknown{_renamed(absent, names)}"
        )
    raise DataError(f"{path}: no column {name!r}; its columns are {listed(names)}")


def _renamed(absent: list[str], names: list[str]) -> str:
    """Which columns of a table have an absent name in another case or spacing, as the end of a message."""
    written = {_plain(name): name for name in names}
    pairs = [(written[_plain(name)], name) for name in absent if _plain(name) in written]
    if not pairs:
        return ""
    return f"; or rename {listed(f'{there!r} to {name!r}' for there, name in pairs)}"


def _plain(name: str) -> str:
    """A name without what differs by accident: case, spaces, hyphens and underscores."""
    return re.sub(r"[\s_-]+", "", name).casefold()
