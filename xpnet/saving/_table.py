"""A table of text, for what is shown before weights are set."""

from collections.abc import Iterable, Sequence

from xpnet._printable import cells, padded, printable


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns of text, each as wide as its widest item, two spaces apart.

    >>> print(table(["name", "shape"], [["weight", "(3, 4)"], ["가중치", "(4,)"], ["b", ""]]))
    name    shape
    weight  (3, 4)
    가중치  (4,)
    b
    """
    lines = [list(map(printable, line)) for line in (head, *rows)]
    widths = [max(map(cells, column)) for column in zip(*lines, strict=True)]
    aligned = [map(padded, line, widths) for line in lines]
    return "\n".join("  ".join(line).rstrip() for line in aligned)
