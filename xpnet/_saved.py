"""Saved numbers: what a state holds is checked before anything is changed by it.

JSON has numbers of any size, Infinity and NaN; a count has none of these.
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
        It is missing, or none.
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
        It is missing, or none.
    """
    value = state.get(name)
    number = math.nan
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number = float(value) if abs(value) <= 1e308 else math.inf
    if not (math.isfinite(number) and number >= least):
        bound = f" >= {least:g}" if least > -math.inf else ""
        raise StateError(f"Expected {name} to be a finite number{bound}, got {_short(value)}.")
    return number


def mapping(state: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The dict of that name.

    Raises
    ------
    StateError
        It is missing, or none.
    """
    value = state.get(name)
    if not isinstance(value, dict):
        raise StateError(f"Expected {name} to be a dict, got {_short(value)}.")
    return value


def rows(state: Mapping[str, Any], name: str = "rows") -> list[dict[str, float]]:
    """The rows of that name: copies of dicts of numbers, which may be NaN or infinite.

    Raises
    ------
    StateError
        They are missing, or none.
    """
    value = state.get(name)
    for row in value if isinstance(value, list) else [None]:
        numbers = isinstance(row, dict) and all(map(_is_number, row.values()))
        if not numbers:
            raise StateError(f"Expected {name} to be dicts of numbers, got {_short(row)}.")
    return [dict(row) for row in value or ()]


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < 2**63)


def _short(value: Any) -> str:
    """A value in a message: not all the digits of a large one."""
    if isinstance(value, int) and value.bit_length() > 200:
        return f"one of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
