"""The gallery: programs that are run once, and kept as pages: python -m docs.builder.gallery NAME...

examples/gallery/NAME.py is a program in cells: its docstring is the page's title and introduction, a line "# %%"
begins a cell of code, and "# %% [markdown]" one of text, in comments. The last cell draws one figure, and
describes it in a comment that begins with "Picture:". Jupyter, VS Code, PyCharm and Spyder know these marks.

The command runs the program on one core, and writes three files, which are committed:

docs/gallery/NAME.md      the text, the code, what each cell printed, and the picture
docs/gallery/NAME.png     the picture, of at most 80 kB
docs/gallery/NAME.ipynb   the notebook, without results

With --text nothing is run: the results are those of the page, whose code must be that of the program.

Why not sphinx-gallery: it runs the programs while the site is built, and remembers what it ran only beside the
built site. A clean clone would repeat all trainings before anybody could read a page. Here the site is built from
files, and tests/docs/test_gallery.py holds them and the programs together.
"""

import argparse
import ast
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "examples" / "gallery"
PAGES = ROOT / "docs" / "gallery"

CHAPTERS = {
    "Networks and training": (
        "activations",
        "learning_rate",
        "newton",
        "double_descent",
        "categories",
    ),
    "Pictures": (
        "convolution_filters",
        "adversarial",
        "metric_learning",
        "fourier_features",
        "autoencoder",
        "style",
    ),
    "Sequences": ("character_lstm", "transformer"),
    "Uncertainty and densities": (
        "dropout_uncertainty",
        "mixture_density",
        "normalizing_flow",
        "diffusion",
    ),
    "Equations and measurements": (
        "kalman_filter",
        "gaussian_process",
        "lotka_volterra",
        "heat_equation",
    ),
}
"""The order of the gallery: by topic, and within each the simpler ones first."""

MARK = re.compile(r"^# %%(?: \[(markdown)\])?\n", re.MULTILINE)
RESULT = re.compile(
    r"^```python\n(?P<code>.*?)\n```(?:\n\n```text\n(?P<printed>.*?)\n```)?",
    re.MULTILINE | re.DOTALL,
)
SECONDS = re.compile(r"(\d+) s on one core")
LARGEST = 80_000


class GalleryError(Exception):
    """A program of the gallery, or its page, is not as it should be; the message says where."""


def names() -> list[str]:
    """The programs, in the order of the gallery."""
    ordered = [name for chapter in CHAPTERS.values() for name in chapter]
    there = {path.stem for path in PROGRAMS.glob("*.py")}
    if unknown := there - set(ordered):
        raise GalleryError(f"Add to CHAPTERS in {Path(__file__).name}: {', '.join(unknown)}.")
    return [name for name in ordered if name in there]


# --- a program ------------------------------------------------------------------------------------


def cells(name: str) -> list[tuple[str, str]]:
    """The cells of a program: ("markdown", text) or ("code", code); the first is its docstring."""
    program = (PROGRAMS / f"{name}.py").read_text(encoding="utf-8")
    title, _, introduction = (ast.get_docstring(ast.parse(program)) or "").partition("\n")
    found = [("markdown", f"# {title.removesuffix('.')}\n{introduction}")]
    _, *parts = MARK.split(program)
    for kind, text in zip(parts[::2], parts[1::2], strict=True):
        if kind:
            found.append(("markdown", re.sub(r"^# ?", "", text.strip(), flags=re.MULTILINE)))
        else:
            found.append(("code", text.strip()))
    return found


def code(name: str) -> list[str]:
    """The cells of code of a program."""
    return [text for kind, text in cells(name) if kind == "code"]


def description(name: str) -> str:
    """What the comment "Picture:" says, on one line: the picture's text for those who do not see it."""
    said = re.search(r"^# Picture: (.*(?:\n# .*)*)", code(name)[-1], re.MULTILINE)
    if said is None:
        raise GalleryError(f"{name}.py: its last cell has no comment that begins with 'Picture:'.")
    return said[1].replace("\n# ", " ")


def run(name: str) -> tuple[list[str], int]:
    """What each cell of code prints, and the seconds that all take; the picture is written."""
    import matplotlib as mpl

    mpl.use("Agg")
    warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")
    from matplotlib import pyplot as plt

    scope = {"__name__": "__main__"}
    results = []
    before = time.process_time()
    for text in code(name):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(text, f"{name}.py", "exec"), scope)  # noqa: S102 - a program of this project
        results.append(printed.getvalue().rstrip())
    seconds = time.process_time() - before
    save(plt.gcf(), PAGES / f"{name}.png")
    return results, max(1, round(seconds))


def save(figure, path: Path) -> None:
    """Write a figure in 256 colours, or as many as fit the size: few pictures need more, and bytes count."""
    from PIL import Image

    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=130)
    picture = Image.open(drawn).convert("RGB")
    for colours in (256, 128, 64, 32):
        picture.quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size <= LARGEST:
            return
    raise GalleryError(
        f"{path.name} has {path.stat().st_size} bytes in 32 colours; at most {LARGEST}."
    )


# --- its files ------------------------------------------------------------------------------------


def page(name: str, results: list[str], seconds: int) -> str:
    """The page: text, code, what was printed, the picture, and where the notebook is."""
    (_, head), *rest = cells(name)
    source = f"[the program](../../examples/gallery/{name}.py)"
    files = (
        f"{{download}}`A notebook <{name}.ipynb>` and {source}; it takes {seconds} s on one core."
    )
    parts = [head, files]
    waiting = iter(results)
    for kind, text in rest:
        if kind == "markdown":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        if printed := next(waiting):
            parts.append(f"```text\n{printed}\n```")
    parts.append(f"![{description(name)}]({name}.png)")
    return "\n\n".join(parts) + "\n"


def results_of(name: str) -> tuple[list[str], list[str], int]:
    """The code of a page, what its cells printed, and the seconds that it states."""
    text = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    found = list(RESULT.finditer(text))
    seconds = SECONDS.search(text)
    if seconds is None:
        raise GalleryError(f"{name}.md does not say how long the program takes.")
    return [x["code"] for x in found], [x["printed"] or "" for x in found], int(seconds[1])


def notebook(name: str) -> str:
    """The notebook, in Jupyter's format 4.5, without results."""
    found = []
    for number, (kind, text) in enumerate(cells(name)):
        cell = {
            "cell_type": kind,
            "id": f"cell-{number}",
            "metadata": {},
            "source": text.splitlines(keepends=True),
        }
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        found.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    whole = {"cells": found, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


INDEX = """# Gallery

Programs of less than 100 lines, each of which teaches one thing, prints its numbers and draws a picture. Each runs
within a minute on one core, without a download, and can be had as a notebook. They need `pip install ".[plots]"`.
Within each topic, the simpler ones come first.
"""

STYLE = """
```{raw} html
<style>
.gallery ul { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1.2rem;
  list-style: none; padding: 0; }
.gallery li { margin: 0; }
.gallery li p { margin: 0; }
.gallery img { display: block; width: 100%; height: 6.5rem; margin-bottom: 0.3rem; object-fit: contain; }
</style>
```
"""


def index() -> str:
    """The page of all: a picture and a title for each program, by chapter."""
    there = names()
    parts = [INDEX + STYLE]
    for chapter, listed in CHAPTERS.items():
        shown = [name for name in listed if name in there]
        if shown:
            parts.append(f"## {chapter}\n\n:::{{container}} gallery")
            parts.append("\n".join(map(card, shown)) + "\n:::")
    parts.append("```{toctree}\n:hidden:\n\n" + "\n".join(there) + "\n```")
    return "\n\n".join(parts) + "\n"


def card(name: str) -> str:
    """The picture of a program, and its title, which leads to the page."""
    title = cells(name)[0][1].partition("\n")[0].removeprefix("# ")
    return f"- ![]({name}.png)\n  [{title}]({name}.md)"


def write(name: str, results: list[str], seconds: int) -> None:
    """Write the page, the notebook, and the page of all programs."""
    (PAGES / f"{name}.md").write_text(page(name, results, seconds), encoding="utf-8")
    (PAGES / f"{name}.ipynb").write_text(notebook(name), encoding="utf-8")
    (PAGES / "index.md").write_text(index(), encoding="utf-8")


def main() -> None:
    """Run one program, or each in a process of its own; or take the results that are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", choices=names(), metavar="NAME")
    parser.add_argument(
        "--text", action="store_true", help="only the text has changed: run nothing"
    )
    args = parser.parse_args()
    for name in args.names:
        if args.text:
            stored, results, seconds = results_of(name)
            if stored != code(name):
                parser.error(f"the code of {name} has changed: run it, without --text")
            write(name, results, seconds)
        elif len(args.names) > 1:
            command = [sys.executable, "-m", "docs.builder.gallery", name]
            one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            subprocess.run(command, cwd=ROOT, env=os.environ | one_thread, check=True)  # noqa: S603 - this program
        else:
            results, seconds = run(name)
            write(name, results, seconds)


if __name__ == "__main__":
    main()
