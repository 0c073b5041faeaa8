"""The cells of a CSV table as numbers, and what to do about cells that hold something else."""

import math
import re
from collections.abc import Sequence

import numpy as np

from xpnet.data._csv_columns import NUMBER, shortened
from xpnet.errors import DataError

MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "-", "#n/a"}
LARGEST = float(np.finfo(np.float32).max)
_DATE = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ]\S.*)?|\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[AaPp][Mm])?",
    re.ASCII,
)
_CURRENCIES = "$€£¥₩₹"
_KINDS = "give each kind a column of 0 and 1, or leave the column out (--features, --index)"


def numbers_of(row: Sequence[str]) -> list[float] | None:
    """The cells as numbers; None if one of them cannot be used."""
    try:
        numbers = [float(cell) for cell in row]
    except ValueError:
        return None
    # Comparing fails for NaN too; Python's float also reads "1_000" and the digits of all scripts.
    usable, text = all(-LARGEST <= number <= LARGEST for number in numbers), "".join(row)
    return numbers if usable and text.isascii() and "_" not in text else None


def require_number(cell: str, where: str, others: Sequence[str] = (), above: bool = False) -> float:
    """A cell as a number that float32 can hold.

    Parameters
    ----------
    cell : str
    where : str
        How the message begins.
    others : sequence of str
        Other cells of the column, as far as they are known: they tell what the column is.
    above : bool
        Whether there are rows above, which have numbers in this column.

    Raises
    ------
    DataError
        It is not such a number. The message says what it is instead, and what to do.
    """
    cell = cell.strip()
    number = float(cell) if NUMBER.fullmatch(cell) else math.nan
    if -LARGEST <= number <= LARGEST:
        return number
    if cell.lower() in MISSING:
        raise DataError(
            f"{where}: the value is missing ({cell!r}). Fill it in, or leave out the row"
        )
    shown = shortened(cell)
    if not math.isnan(number) or cell.lower().lstrip("+-") in ("inf", "infinity"):
        raise DataError(f"{where}: {shown} is infinite, or above the range of float32")
    advice = _advice(cell, [other.strip() for other in others], above)
    raise DataError(f"{where}: expected a number, found the text {shown!r}. {advice}")


def _advice(cell: str, others: list[str], above: bool) -> str:
    """What to do about a text where a number is expected."""
    if "\0" in cell:
        return "It has a NUL character: the file is damaged, or is not UTF-8"
    if _DATE.fullmatch(cell):
        return (
            "A date or time is not a number: write what matters of it as numbers (the year, the "
            "month, the hour), or leave the column out (--features, --index)"
        )
    return _advice_on_signs(cell) or _advice_on_texts(cell, others, above)


def _advice_on_signs(cell: str) -> str:
    """What to take away from a number; empty if that does not make it one."""
    bare = cell.strip(_CURRENCIES + "% ")
    if NUMBER.fullmatch(cell.replace(",", "")):
        return "Numbers have a point, and nothing between their thousands: 1234.5"
    if NUMBER.fullmatch(bare.replace(",", "")):
        signs = sorted(set(cell) & {*_CURRENCIES, "%"})
        return f"Take {' and '.join(signs)} away: {bare.replace(',', '')}"
    return ""


def _advice_on_texts(cell: str, others: list[str], above: bool) -> str:
    if above:
        return "The rows above have numbers in this column: correct this cell, or delete this row"
    if len(others) > 2 and len({cell, *others}) == len(others) + 1:
        return (
            "The texts of this column all differ, like those of an id: leave the column out, or let "
            "it name the rows (--features, --index; in Python, features, index_col)"
        )
    return f"Text may stand in the target column alone, which --target names: {_KINDS}"
