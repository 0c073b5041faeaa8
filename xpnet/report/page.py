"""The parts of a page: escaped text, tables, embedded images, and the style sheet.

The page loads nothing and runs nothing; its content security policy forbids both. So the style sheet
and the images are in the page itself.
"""

import io
import math
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from xpnet._typing import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = Path(__file__).with_name("style.css")

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(title: str, parts: Iterable[str]) -> str:
    """A complete HTML document."""
    style = STYLE.read_text(encoding="utf-8")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def section(name: str, *parts: str) -> str:
    """A part of the page under a heading; links to "Confusion matrix" are "#confusion-matrix"."""
    anchor = "-".join(name.lower().split())
    body = "\n".join(parts)
    return f'<section id="{anchor}">\n<h2>{escape(name)}</h2>\n{body}\n</section>'


def figures(numbers: Mapping[str, str]) -> str:
    """The most important numbers, in large type."""
    items = "".join(f"<li>{escape(k)}<strong>{escape(v)}</strong></li>" for k, v in numbers.items())
    return f'<ul class="figures">{items}</ul>'


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table whose first column names the rows. It scrolls if the page is narrow."""
    lines = []
    for row in rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        lines.append(f'<tr><th scope="row">{escape(row[0])}</th>{cells}</tr>\n')
    return _table(caption, _header_cells(head), lines, kind)


def counts(caption: str, names: Sequence[str], cells: Sequence[Sequence[int]]) -> str:
    """A confusion matrix as a table. Cells with a larger share of their row have a stronger colour."""
    lines = []
    for name, row in zip(names, cells, strict=True):
        total = max(sum(row), 1)
        line = "".join(_count(n, n / total) for n in row)
        lines.append(f'<tr><th scope="row">{escape(name)}</th>{line}</tr>\n')
    has_long_names = max(map(len, names), default=0) > 5
    kind = "counts long" if has_long_names else "counts"
    return _table(caption, f"<td></td>{_header_cells(names)}", lines, kind)


def _count(n: int, share: float) -> str:
    """A cell of a confusion matrix; one that counts 0 is empty."""
    if n == 0:
        return "<td></td>"
    shade = share**0.5  # otherwise a few mistakes would be too pale to be seen
    dark = ' class="dark"' if shade > 0.7 else ""
    return f'<td{dark} style="--share: {shade:.2f}">{n}</td>'


def _header_cells(names: Iterable[str]) -> str:
    """The names of columns, as cells of a table's header."""
    return "".join(f'<th scope="col">{escape(name)}</th>' for name in names)


def _table(caption: str, head: str, lines: Iterable[str], kind: str) -> str:
    """A table from the HTML of its header and of its rows; `kind` is its class in the style sheet."""
    return scrolling(
        caption,
        f'<table class="{kind}"><caption><span>{escape(caption)}</span></caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{''.join(lines)}</tbody></table>",
    )


def scrolling(name: str, body: str) -> str:
    """A part that scrolls horizontally by itself, also with the keyboard."""
    label = escape(name)
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">{body}</div>'


def details(summary: str, body: str) -> str:
    """A part that is folded until it is opened."""
    return f"<details><summary>{escape(summary)}</summary>\n{body}\n</details>"


def number(x: float) -> str:
    """A number as text, with four significant digits, or all digits before the decimal point."""
    if not math.isfinite(x):
        return "-"
    if 1e3 <= abs(x) < 1e12:
        return f"{x:,.0f}"
    return f"{x:.4g}"


def plot(figure: "Figure", text: str, wide: str = "") -> str:
    """A plot, with a text that describes it to readers who cannot see it.

    `wide` is the name of a plot that is wide: on a narrow screen it scrolls instead of shrinking.
    """
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None}, dpi=150)
    drawn = image(file.getvalue(), "svg+xml", text)
    if wide:
        return scrolling(wide, f'<figure class="wide">{drawn}</figure>')
    return f"<figure>{drawn}</figure>"


def picture(pixels: Array) -> bytes:
    """An array, (height, width) or (height, width, 3) from 0 to 1, as a PNG file."""
    from matplotlib.image import imsave

    file = io.BytesIO()
    imsave(file, pixels, cmap="gray", vmin=0.0, vmax=1.0, format="png")
    return file.getvalue()


def image(data: bytes, kind: str, text: str) -> str:
    """An image that is embedded in the page."""
    code = b64encode(data).decode("ascii")
    return f'<img src="data:image/{kind};base64,{code}" alt="{escape(text)}">'
