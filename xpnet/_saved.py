"""Values of a saved state, each checked when it is read.

A state from a file may hold anything: JSON has numbers of any size, Infinity and NaN. So everything
is read with these functions before anything is changed.
"""

import math
from collections.abc import Mapping
from typing import Any

from xpnet.errors import StateError


def whole(state: Mapping[str, Any], name: str, least: int = 0) -> int:
    """The integer of that name, `least` or more and below 2^63.

    Raises
    ------
    StateError
        It is missing, or not such an integer.
    """
    value = state.get(name)
    if type(value) is not int or not least <= value < 2**63:
        raise StateError(f"Expected {name} to be an integer >= {least}, got {_short(value)}.")
    return value


def finite(state: Mapping[str, Any], name: str, least: float = -math.inf) -> float:
    """The number of that name as a float, finite and `least` or more.

    Raises
    ------
    StateError
        It is missing, or not such a number.
    """
    value: Any = state.get(name)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # Compared before float(value), which raises OverflowError for a large integer.
    if is_number and abs(value) <= 1e308 and value >= least:
        return float(value)
    expected = "a finite number"
    if least > -math.inf:
        expected += f" >= {least:g}"
    raise StateError(f"Expected {name} to be {expected}, got {_short(value)}.")


def mapping(state: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The dict of that name.

    Raises
    ------
    StateError
        It is missing, or not a dict.
    """
    value = state.get(name)
    if not isinstance(value, dict):
        raise StateError(f"Expected {name} to be a dict, got {_short(value)}.")
    return value


def rows(state: Mapping[str, Any], name: str = "rows") -> list[dict[str, float]]:
    """A copy of the list of that name: dicts of numbers, NaN and infinity included.

    Raises
    ------
    StateError
        It is missing, or not a list of dicts of numbers.
    """
    value = state.get(name)
    if not isinstance(value, list):
        raise StateError(f"Expected {name} to be dicts of numbers, got {_short(value)}.")
    for row in value:
        if not (isinstance(row, dict) and all(map(_is_number, row.values()))):
            raise StateError(f"Expected {name} to be dicts of numbers, got {_short(row)}.")
    return [dict(row) for row in value]


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < 2**63)


def _short(value: Any) -> str:
    """`repr(value)` for a message, at most 80 characters of it."""
    if isinstance(value, int) and value.bit_length() > 200:
        return f"an integer of {value.bit_length()} bits"
    shown = repr(value)
    if len(shown) > 80:
        shown = f"{shown[:77]}..."
    return shown
