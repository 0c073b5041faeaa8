"""The cells of a CSV table as numbers, and advice about cells that hold something else."""

import math
import re
from collections.abc import Sequence

import numpy as np

from xpnet.data._csv_columns import NUMBER
from xpnet.data._messages import shortened
from xpnet.errors import DataError

MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "-", "#n/a"}
LARGEST = float(np.finfo(np.float32).max)
_DATE = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ]\S.*)?|\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[AaPp][Mm])?",
    re.ASCII,
)
_CURRENCIES = "$€£¥₩₹"
_KINDS = "replace it by a column of 0 and 1 for each text, or leave it out (--features, --index)"


def numbers_of(row: Sequence[str]) -> list[float] | None:
    """The cells as numbers; None if one of them cannot be used."""
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


def require_number(cell: str, where: str, others: Sequence[str] = (), above: bool = False) -> float:
    """A cell as a number that float32 can hold.

    Parameters
    ----------
    cell : str
    where : str
        The beginning of the message.
    others : sequence of str
        Some of the other cells of the column, from which the advice is chosen.
    above : bool
        Whether there are rows above this one, which have numbers in this column.

    Raises
    ------
    DataError
        The cell is not such a number. The message names what it is instead, and what to try.
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
    """What to try where a text stands in place of a number."""
    if "\0" in cell:
        return "It has a NUL character: the file is damaged, or is not UTF-8"
    if _DATE.fullmatch(cell):
        return (
            "A date or time is not a number: write its relevant parts as numbers (the year, the "
            "month, the hour), or leave the column out (--features, --index)"
        )
    return _advice_on_signs(cell) or _advice_on_texts(cell, others, above)


def _advice_on_signs(cell: str) -> str:
    """Which signs to remove; empty if the cell does not become a number without them."""
    bare = cell.strip(_CURRENCIES + "% ")
    if NUMBER.fullmatch(cell.replace(",", "")):
        return "Write numbers with a decimal point, and without thousands separators: 1234.5"
    if NUMBER.fullmatch(bare.replace(",", "")):
        signs = sorted(set(cell) & {*_CURRENCIES, "%"})
        return f"Remove {' and '.join(signs)}: {bare.replace(',', '')}"
    return ""


def _advice_on_texts(cell: str, others: list[str], above: bool) -> str:
    if above:
        return "The rows above have numbers in this column: correct this cell, or delete this row"
    if len(others) > 2 and len({cell, *others}) == len(others) + 1:
        return (
            "All texts of this column differ, like identifiers: leave the column out, or make it the "
            "index (--features, --index; in Python, features, index_col)"
        )
    return f"Only the target column, which --target names, may have text: {_KINDS}"
