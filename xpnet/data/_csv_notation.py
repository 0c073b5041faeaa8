"""How the cells of a table write numbers: with a decimal point, or with a decimal comma."""

import re
from collections.abc import Iterable

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
MARKS = (".", ",")
_EXCHANGED = str.maketrans(".,", ",.")


def pointed(cell: str, decimal: str) -> str:
    """A cell whose numbers have this decimal mark, as one whose numbers have a point.

    Points and commas are exchanged, so that a number with the other mark does not become one.

    >>> pointed("1,5e3", ","), pointed("1.5e3", ","), pointed("1.5e3", ".")
    ('1.5e3', '1,5e3', '1.5e3')
    """
    return cell if decimal == "." else cell.translate(_EXCHANGED)


def is_number(cell: str, decimal: str = ".") -> bool:
    """Whether a cell is a finite number with this decimal mark, if it has one.

    >>> is_number("1,5e3", ","), is_number("1.5e3", ","), is_number("15", ",")
    (True, False, True)
    """
    return NUMBER.fullmatch(pointed(cell, decimal)) is not None


def in_both_notations(texts: Iterable[str], decimal: str) -> tuple[str, ...]:
    """The texts, and those that are numbers with a decimal comma also with a point.

    So that what stands for a missing value does so in tables of either notation.

    >>> in_both_notations(["-9,5", "unknown"], ",")
    ('-9,5', 'unknown', '-9.5')
    """
    texts = tuple(texts)
    others = [pointed(text, decimal) for text in texts if is_number(text, decimal)]
    return tuple(dict.fromkeys([*texts, *others]))
