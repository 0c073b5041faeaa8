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


def shortened(text: str, most: int = _MOST_CHARACTERS) -> str:
    """A text, or its beginning if it has more characters than `most`.

    >>> shortened("A cell that holds a whole sentence, or more than one.")
    'A cell that holds a whole sentence, or m...'
    """
    if len(text) <= most:
        return text
    return text[:most] + "..."


def share(part: int, whole: int) -> str:
    """A part in per cent, which is 0 or 100 only if it is none or all.

    >>> share(19, 20), share(1, 900), share(899, 900), share(0, 9)
    ('95%', '<1%', '>99%', '0%')
    """
    rounded = f"{part / whole:.0%}"
    if part and rounded == "0%":
        return "<1%"
    if part < whole and rounded == "100%":
        return ">99%"
    return rounded
