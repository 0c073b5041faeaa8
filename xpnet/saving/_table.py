"""A table of text, for what is shown before weights are set."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns of text, each as wide as its widest item, two spaces apart.

    >>> print(table(["name", "shape"], [["weight", "(3, 4)"], ["b", ""]]))
    name    shape
    weight  (3, 4)
    b
    """
    lines = [list(head), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [
        [text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines
    ]
    return "\n".join("  ".join(line).rstrip() for line in padded)
