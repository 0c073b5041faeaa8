"""How layers show their options."""

from typing import Any


def non_default(**options: tuple[Any, Any]) -> str:
    """The options of a `repr` that differ from their defaults; each is given as (value, default).

    >>> non_default(bias=(True, True), groups=(2, 1))
    ', groups=2'
    """
    return "".join(
        f", {name}={value}" for name, (value, default) in options.items() if value != default
    )
