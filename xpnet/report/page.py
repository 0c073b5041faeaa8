"""What a page is made of: escaped text, tables, pictures inside of it, and how it looks.

Nothing is fetched from elsewhere, and nothing runs: the page's own policy forbids both.
"""

import io
import math
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --soft: #5a5a5a; --paper: #ffffff;
  --card: #f5f6f8; --line: #d9dce1; --mark: #0b5c94; --heat: 0, 114, 178; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --soft: #a8adb5; --paper: #15171a;
  --card: #1f2227; --line: #3a3f47; --mark: #7cc0ee; --heat: 86, 180, 233; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 62rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.6rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin: 2.2rem 0 0.6rem; font-size: 1.2rem; }
p { margin: 0.4rem 0; max-width: 46rem; } .soft, figcaption { color: var(--soft); }
.scroll { overflow-x: auto; }
.scroll:focus-visible { outline: 2px solid var(--mark); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: 0.4rem; color: var(--soft); }
caption span { display: inline-block; position: sticky; left: 0; max-width: calc(100vw - 3rem); }
th, td { padding: 0.3rem 0.7rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
thead th { color: var(--soft); font-weight: 600; }
tbody th, thead th:first-child, .words td { text-align: left; }
tbody th { font-weight: 500; }
.taken tbody th, .taken tr > :last-child, .mistaken tr > :nth-child(even) { min-width: 8rem;
  text-align: left; white-space: normal; overflow-wrap: break-word; }
.words { width: 100%; } .words td { white-space: pre-wrap; overflow-wrap: anywhere; width: 70%; }
.words tr th { min-width: 9.5rem; vertical-align: top; text-align: left; white-space: normal;
  overflow-wrap: anywhere; }
.counts th, .counts td { padding: 0.35rem 0.45rem; text-align: center; border: 0; }
.counts tbody th { position: sticky; left: 0; background: var(--paper); text-align: right; }
.counts.long tbody th { min-width: min(12rem, 38vw); white-space: normal; line-height: 1.2; }
.counts.long thead th { max-height: 14rem; text-align: left; white-space: normal; line-height: 1.1;
  writing-mode: vertical-rl; transform: rotate(180deg); }
.counts td { min-width: 2.9rem; background: rgba(var(--heat), var(--share, 0)); }
.counts .dark { color: #ffffff; }
@media (prefers-color-scheme: dark) { .counts .dark { color: #000000; } }
.figures { display: grid; gap: 0.8rem; padding: 0; margin: 1rem 0; list-style: none;
  grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); }
.figures li { display: flex; flex-direction: column; justify-content: space-between;
  padding: 0.7rem 0.9rem; border-radius: 0.5rem; background: var(--card); line-height: 1.3; }
.figures strong { font-size: 1.45rem; line-height: 1.3; color: var(--mark); }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; }
.plots figure { flex: 1 1 20rem; min-width: 0; max-width: 30rem; }
.wide { min-width: 36rem; } .wide img, .plots img { display: block; width: 100%; height: auto; padding: 0.5rem; background: #ffffff;
  border: 1px solid var(--line); border-radius: 0.5rem; }
.mistakes { display: grid; gap: 0.9rem; grid-template-columns: repeat(auto-fill, minmax(8rem, 1fr)); }
.mistakes img { width: 100%; height: auto; image-rendering: pixelated; border-radius: 0.3rem;
  border: 1px solid var(--line); }
.mistakes figcaption { font-size: 0.88rem; line-height: 1.35; overflow-wrap: anywhere; }
.mistakes strong { color: var(--ink); }
details { margin-top: 0.8rem; } summary { cursor: pointer; color: var(--mark); }
footer { margin-top: 2.5rem; padding-top: 0.8rem; border-top: 1px solid var(--line);
  color: var(--soft); font-size: 0.9rem; }
@media print { :root { color-scheme: light; --ink: #000000; --soft: #444444; --paper: #ffffff; --card: #ffffff;
    --line: #bbbbbb; --mark: #000000; }
  body { max-width: none; padding: 0; font-size: 0.8rem; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .figures li { border: 1px solid var(--line); } .scroll { overflow: visible; }
  .wide { min-width: 0; }
  .counts { font-size: 0.65rem; } .counts td { min-width: 0; } h2 { break-after: avoid; } figure, tr, li { break-inside: avoid; } }
"""

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(title: str, parts: Iterable[str]) -> str:
    """A whole document."""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def section(name: str, *parts: str) -> str:
    """A part of the page under a heading; `name` also is its address, "#confusion-matrix"."""
    address = "-".join(name.lower().split())
    body = "\n".join(parts)
    return f'<section id="{address}">\n<h2>{escape(name)}</h2>\n{body}\n</section>'


def figures(numbers: Mapping[str, str]) -> str:
    """The most important numbers, large."""
    items = "".join(f"<li>{escape(k)}<strong>{escape(v)}</strong></li>" for k, v in numbers.items())
    return f'<ul class="figures">{items}</ul>'


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table whose first column names the rows; it scrolls where the page is narrow."""
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    lines = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>\n"
        for row in rows
    )
    return scrolling(
        caption,
        f'<table class="{kind}"><caption><span>{escape(caption)}</span></caption>\n<thead><tr>{names}</tr></thead>\n'
        f"<tbody>\n{lines}</tbody></table>",
    )


def counts(caption: str, names: Sequence[str], cells: Sequence[Sequence[int]]) -> str:
    """A confusion matrix as a table; the stronger a cell's colour, the larger its share of the row."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    lines = []
    for name, row in zip(names, cells, strict=True):
        total, line = max(sum(row), 1), ""
        for n in row:
            shade = (n / total) ** 0.5  # mistakes are few: by the share itself they were white
            dark = ' class="dark"' if shade > 0.7 else ""
            style = f' style="--share: {shade:.2f}"' if n else ""
            line += f"<td{dark}{style}>{n or ''}</td>"
        lines.append(f'<tr><th scope="row">{escape(name)}</th>{line}</tr>\n')
    long = " long" if max(map(len, names), default=0) > 5 else ""
    return scrolling(
        caption,
        f'<table class="counts{long}"><caption><span>{escape(caption)}</span></caption>\n<thead><tr><td></td>{head}</tr>'
        f"</thead>\n<tbody>\n{''.join(lines)}</tbody></table>",
    )


def scrolling(name: str, body: str) -> str:
    """A part that scrolls sideways by itself, by keys too."""
    label = escape(name)
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">{body}</div>'


def details(summary: str, body: str) -> str:
    """A part that is folded."""
    return f"<details><summary>{escape(summary)}</summary>\n{body}\n</details>"


def number(x: float) -> str:
    """A figure to be read: four digits of it, or all those before the point."""
    if not math.isfinite(x):
        return "-"
    return f"{x:,.0f}" if 1e3 <= abs(x) < 1e12 else f"{x:.4g}"


def plot(figure: "Figure", text: str, wide: str = "") -> str:
    """A drawing, with a text for those who cannot see it; a wide one has a name, and scrolls."""
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None}, dpi=150)
    drawn = image(file.getvalue(), "svg+xml", text)
    if wide:  # on a phone it would be too small to be read
        return scrolling(wide, f'<figure class="wide">{drawn}</figure>')
    return f"<figure>{drawn}</figure>"


def picture(pixels: Any) -> bytes:
    """An array, (height, width) or (height, width, 3) from 0 to 1, as a PNG file."""
    from matplotlib.image import imsave

    file = io.BytesIO()
    imsave(file, pixels, cmap="gray", vmin=0.0, vmax=1.0, format="png")
    return file.getvalue()


def image(data: bytes, kind: str, text: str) -> str:
    """A picture that is inside the page."""
    code = b64encode(data).decode("ascii")
    return f'<img src="data:image/{kind};base64,{code}" alt="{escape(text)}">'
