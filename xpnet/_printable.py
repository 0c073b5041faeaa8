"""Strings from outside, made safe to print: names of files, of columns, of classes.

A name may contain any character. An escape sequence moves the cursor, renames the window or recolours
what follows; a right-to-left override shows `gpj.exe` as `exe.jpg`; a line break imitates a line of
output. Whatever is printed passes through `printable`, also on its way to a file, which may be shown
in a terminal later.
"""

import unicodedata
from collections.abc import Sequence

_UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format, surrogate; line and paragraph ends
_JOINERS = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"  # parts of words, and of emoji


def printable(text: object, keep: str = "") -> str:
    r"""`str(text)` with each character that would act on a terminal as its escape in Python.

    Parameters
    ----------
    text : object
    keep : str
        Control characters that remain, such as "\n" in several lines.

    Returns
    -------
    str
        Letters of all scripts remain. A byte of a file name that is not UTF-8 is shown as a number.

    Examples
    --------
    >>> printable("red\x1b[31m, \u202egpj, 사과, two\nlines")
    'red\\x1b[31m, \\u202egpj, 사과, two\\nlines'
    >>> printable("caf\udce9")
    'caf\\xe9'
    """
    text = str(text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep else _escaped(c) for c in text)


def _escaped(c: str) -> str:
    """The character itself or, if it would act on a terminal, its escape."""
    if c in _JOINERS or unicodedata.category(c) not in _UNPRINTABLE:
        return c
    if "\udc80" <= c <= "\udcff":  # a byte that Python could not decode: see PEP 383
        return f"\\x{ord(c) - 0xDC00:02x}"
    return c.encode("unicode_escape").decode("ascii")


def counted(count: int, noun: str) -> str:
    """A number of things, of which there may be one.

    >>> counted(1, "epoch"), counted(0, "epoch"), counted(2, "training sample")
    ('1 epoch', '0 epochs', '2 training samples')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def spoken(name: str, plain: bool = False) -> str:
    """The name of a metric, or of a column of a history, as words.

    Parameters
    ----------
    name : str
    plain : bool
        Whether the words are for a terminal, whose encoding may lack the character ².

    Examples
    --------
    >>> spoken("test_r2"), spoken("r2", plain=True), spoken("absolute_error")
    ('test R²', 'R2', 'absolute error')
    """
    squared = "R2" if plain else "R²"
    return " ".join(squared if word == "r2" else word for word in name.split("_"))


def cells(text: str) -> int:
    """How many cells of a terminal a string takes: a Chinese, Japanese or Korean letter takes two."""
    from rich.cells import cell_len

    return cell_len(text)


def padded(text: str, width: int, right: bool = False) -> str:
    """A string padded with spaces to a width in cells of a terminal.

    Parameters
    ----------
    text : str
    width : int
    right : bool
        Whether the spaces are before the string, which aligns it to the right.

    Examples
    --------
    >>> padded("사과", 6), padded("사과", 6, right=True)
    ('사과  ', '  사과')
    """
    spaces = " " * (width - cells(text))
    return spaces + text if right else text + spaces


def aligned(rows: Sequence[Sequence[str]], left: int | None = None) -> str:
    """A table as lines: each column is as wide as its widest entry, two spaces apart.

    Parameters
    ----------
    rows : sequence of sequences of str, of one length
    left : int, optional
        The number of columns, from the first one on, that are aligned to the left, and others to the right.
        By default all are.

    Examples
    --------
    >>> print(aligned([("column", "count"), ("나이", "8"), ("zip code", "12")], left=1))
    column    count
    나이          8
    zip code     12
    """
    safe = [[printable(entry) for entry in row] for row in rows]
    widths = [max(map(cells, column)) for column in zip(*safe, strict=True)]
    lines = []
    for row in safe:
        entries = [
            padded(entry, width, right=left is not None and i >= left)
            for i, (entry, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(entries).rstrip())
    return "\n".join(lines)
