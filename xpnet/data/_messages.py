"""Parts of error messages: names and text from files, kept short."""

from collections.abc import Iterable

_MOST_NAMES = 12
_MOST_CHARACTERS = 40


def listed(names: Iterable[str]) -> str:
    """The first names of several, separated by commas.

    >>> listed(["x", "t"])
    'x, t'
    >>> listed([])
    'none'
    """
    names = list(names)
    if len(names) > _MOST_NAMES:
        names = [*names[:_MOST_NAMES], "..."]
    return ", ".join(names) or "none"


def shortened(text: str) -> str:
    """A text, or its beginning if it is long.

    >>> shortened("A cell that holds a whole sentence, or more than one.")
    'A cell that holds a whole sentence, or m...'
    """
    if len(text) <= _MOST_CHARACTERS:
        return text
    return text[:_MOST_CHARACTERS] + "..."
