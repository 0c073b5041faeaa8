"""Choosing by name: activations, initializers, models, optimizers, schedules."""

from collections.abc import Mapping
from typing import TypeVar

from xpnet.errors import ArgumentError

T = TypeVar("T")


def choose(kind: str, name: str, table: Mapping[str, T]) -> T:
    """The entry of that name in a table; ArgumentError with the known names if there is none.

    >>> choose("activation", "rellu", {"relu": 1, "gelu": 2})
    Traceback (most recent call last):
        ...
    xpnet.errors.ArgumentError: Unknown activation 'rellu'. Expected one of: relu, gelu.
    """
    if name not in table:
        raise ArgumentError(f"Unknown {kind} {name!r}. Expected one of: {', '.join(table)}.")
    return table[name]
