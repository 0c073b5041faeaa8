"""The cells of a CSV table as numbers, and advice about cells that hold something else."""

import math
import re
from collections.abc import Collection, Iterable, Sequence

import numpy as np

from xpnet.data._csv_dates import is_like_a_date
from xpnet.data._csv_notation import NUMBER, is_number, pointed
from xpnet.data._messages import shortened
from xpnet.errors import DataError

MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "-", "#n/a"}
LARGEST = float(np.finfo(np.float32).max)
_CURRENCIES = "$€£¥₩₹"


def missing_texts(others: Iterable[str] = ()) -> frozenset[str]:
    """The texts, in lower case, of which a cell with a missing value may consist: these, and the usual."""
    return frozenset(MISSING | {text.strip().lower() for text in others})


def is_missing(cell: str, missing: Collection[str]) -> bool:
    """Whether a cell is one of these texts, which are in lower case."""
    return cell.strip().lower() in missing


def missing_numbers(missing: Iterable[str]) -> list[float]:
    """Those of the texts that are numbers: a cell of -999.0 is missing too if -999 is."""
    return [float(text) for text in missing if NUMBER.fullmatch(text)]


def numbers_of(
    row: Sequence[str], missing: Collection[str] = (), decimal: str = "."
) -> list[float] | None:
    """The cells as numbers, NaN where a value is missing; None if one of them cannot be used."""
    if missing:
        gaps = [is_missing(cell, missing) for cell in row]
        if any(gaps):
            return _numbers_with_gaps(row, gaps, decimal)
    if decimal != ".":
        row = [pointed(cell, decimal) for cell in row]
    try:
        numbers = [float(cell) for cell in row]
    except ValueError:
        return None
    if not all(-LARGEST <= number <= LARGEST for number in numbers):  # this also excludes NaN
        return None
    # Python's float also accepts "1_000", and the digits of all scripts.
    text = "".join(row)
    if "_" in text or not text.isascii():
        return None
    return numbers


def _numbers_with_gaps(
    row: Sequence[str], gaps: Sequence[bool], decimal: str
) -> list[float] | None:
    """The cells as numbers, NaN where there are gaps."""
    found = numbers_of(
        [cell for cell, gap in zip(row, gaps, strict=True) if not gap], decimal=decimal
    )
    if found is None:
        return None
    known = iter(found)
    return [math.nan if gap else next(known) for gap in gaps]


def require_number(cell: str, where: str, above: bool = False, decimal: str = ".") -> float:
    """A cell as a number that float32 can hold.

    Parameters
    ----------
    cell : str
    where : str
        The beginning of the message.
    above : bool
        Whether there are rows above this one, which have numbers in this column.
    decimal : {".", ","}
        The decimal mark.

    Raises
    ------
    DataError
        The cell is not such a number. The message names what it is instead, and what to try.
    """
    cell = cell.strip()
    number = float(pointed(cell, decimal)) if is_number(cell, decimal) else math.nan
    if -LARGEST <= number <= LARGEST:
        return number
    if cell.lower() in MISSING:
        raise DataError(
            f"{where}: the value is missing ({cell!r}). Fill it in, or leave out the row"
        )
    shown = shortened(cell)
    if not math.isnan(number) or cell.lower().lstrip("+-") in ("inf", "infinity"):
        raise DataError(
            f"{where}: {shown} is infinite, or above the range of float32. Correct or "
            f"empty this cell. To train with it as a missing value: --missing={shown} (in Python, missing)"
        )
    raise DataError(
        f"{where}: expected a number, found the text {shown!r}. {_advice(cell, above, decimal)}"
    )


def _advice(cell: str, above: bool, decimal: str) -> str:
    """What to try where a text stands in place of a number."""
    if "\0" in cell:
        return "It has a NUL character: the file is damaged, or is not UTF-8"
    if is_like_a_date(cell):
        return (
            "A date or time is not a number: write its relevant parts as numbers (the year, the "
            "month, the hour), or leave the column out (--drop)"
        )
    signs = advice_on_signs(cell, decimal)
    if signs:
        return signs
    place = "This column has numbers"
    if above:
        place = "The rows above have numbers in this column"
    return (
        f"{place}: correct or empty this cell, or delete this row. To train with it as a missing value: "
        "--missing TEXT; as a category: --categories COLUMN; without this column: --drop COLUMN"
    )


def advice_on_signs(cell: str, decimal: str = ".") -> str:
    """Which signs to remove, or which decimal mark to choose; empty if the cell does not become a number so."""
    if is_number(cell, decimal) or is_like_a_date(cell):
        return ""
    bare = cell.strip(_CURRENCIES + "% ")
    advice = "" if is_number(bare, decimal) else _advice_on_marks(bare, decimal)
    if bare == cell or not (advice or is_number(bare, decimal)):
        return advice
    signs = sorted(set(cell) & {*_CURRENCIES, "%"})
    return f"Remove {' and '.join(signs)}: {bare}{'. ' * bool(advice)}{advice}"


_GROUPS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?", re.ASCII)
"""A number with thousands separators, where the decimal mark is a point."""

_OTHER_MARK = {
    ".": "If it has a decimal comma: --decimal , (in Python, decimal=','). If the comma separates thousands, "
    "remove it",
    ",": "The table is read with decimal commas. If it has decimal points: --decimal . (in Python, "
    "decimal='.'). If the point separates thousands, remove it",
}


def _advice_on_marks(cell: str, decimal: str) -> str:
    """What to try where points and commas keep a cell from being a number; empty if something else does."""
    other = "," if decimal == "." else "."
    if is_number(cell, other):  # and not with `decimal`, so it has the other mark
        return _OTHER_MARK[decimal]
    if _GROUPS.fullmatch(pointed(cell, decimal)):
        return f"Write numbers without thousands separators: {cell.replace(other, '')}"
    if _GROUPS.fullmatch(pointed(cell, other)):
        return (
            f"Write numbers without thousands separators: {cell.replace(decimal, '')}; and choose their "
            f"decimal mark: --decimal {other} (in Python, decimal={other!r})"
        )
    return ""
