"""Tables for notebooks, as pandas writes those of its data frames: notebooks have a style for them."""

from collections.abc import Sequence
from html import escape

MOST = 60  # rows; of more, only the first and the last ones are shown
SHOWN = 5  # of each


def html_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], below: Sequence[str] = (), left: int = 0
) -> str:
    """A table in HTML.

    Parameters
    ----------
    head : sequence of str
        The titles of the columns.
    rows : sequence of sequences of str
        The entries; spaces at the beginning of one remain. Of more than 60 rows, the first five and the
        last five are written.
    below : sequence of str
        Lines to write below the table.
    left : int
        The number of columns, from the first one on, that are aligned to the left; others to the right.

    Returns
    -------
    str
        Everything that is passed is escaped.
    """
    if len(rows) > MOST:
        rows = [*rows[:SHOWN], ["..."] * len(head), *rows[-SHOWN:]]
    lines = [
        '<table border="1" class="dataframe">',
        f"<thead><tr>{_entries('th', head, left)}</tr></thead>",
        "<tbody>",
        *(f"<tr>{_entries('td', row, left)}</tr>" for row in rows),
        "</tbody>",
        "</table>",
    ]
    if below:
        lines.append(f"<p>{'<br>'.join(map(escape, below))}</p>")
    return "\n".join(lines)


def _entries(kind: str, texts: Sequence[str], left: int) -> str:
    """The entries of a row, of the kind "th" or "td"."""
    entries = []
    for i, text in enumerate(texts):
        side = "left" if i < left else "right"
        style = f"text-align: {side}; white-space: pre"
        entries.append(f'<{kind} style="{style}">{escape(text)}</{kind}>')
    return "".join(entries)
