"""The gallery: its pages are of the programs as they stand, and the programs still print what the pages say.

Those that take at most `QUICK` seconds run here. `XPNET_GALLERY=1 pytest tests/docs/test_gallery.py`, or the session
`gallery` of nox, runs all of them.
"""

import ast
import json
import os
import re
import subprocess
import sys
from itertools import zip_longest

import pytest

from docs.builder import gallery
from tests.processes import environment

ALL = os.environ.get("XPNET_GALLERY") == "1"
QUICK = 10
"""Seconds on one core, as the page states them."""

NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]\d+)?")
ROUNDING = 1e-12
"""What is smaller is 0 but for rounding."""


@pytest.mark.parametrize("name", gallery.names())
def test_a_page_is_of_the_program_as_it_stands(name):
    """After a change of its code it must be run again: python -m docs.builder.gallery NAME."""
    code, results, seconds = gallery.results_of(name)
    assert code == gallery.code(name)
    text = (gallery.PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert text == gallery.page(name, results, seconds)
    assert any(results)


@pytest.mark.parametrize("name", gallery.names())
def test_a_notebook_is_of_the_program_as_it_stands(name):
    stored = (gallery.PAGES / f"{name}.ipynb").read_text(encoding="utf-8")
    assert stored == gallery.notebook(name)
    cells = json.loads(stored)["cells"]
    assert cells[0]["cell_type"] == "markdown"
    for cell in cells:
        if cell["cell_type"] == "code":
            ast.parse("".join(cell["source"]))


@pytest.mark.parametrize("name", gallery.names())
def test_a_program_is_short_and_so_is_its_run(name):
    program = (gallery.PROGRAMS / f"{name}.py").read_text(encoding="utf-8")
    assert len(program.splitlines()) < 100
    assert re.search(r"^Sources?: .*\b(19|20)\d\d\b", program, re.MULTILINE | re.DOTALL)
    assert gallery.results_of(name)[2] <= 60


@pytest.mark.parametrize("name", gallery.names())
def test_a_picture_is_small_and_described(name):
    picture = (gallery.PAGES / f"{name}.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) <= gallery.LARGEST
    assert len(gallery.description(name)) > 60


def test_the_page_of_all_programs_is_up_to_date():
    assert (gallery.PAGES / "index.md").read_text(encoding="utf-8") == gallery.index()


def test_no_page_is_left_of_a_program_that_is_gone():
    files = {
        path.stem for kind in ("md", "png", "ipynb") for path in gallery.PAGES.glob(f"*.{kind}")
    }
    assert files == {*gallery.names(), "index"}


def test_a_mark_within_a_program_divides_it(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "PROGRAMS", tmp_path)
    program = '"""A title.\n\nText.\n"""\n\n# %%\nx = 1\n\n# %% [markdown]\n# More\n#\n#     x\n\n# %%\nprint(x)\n'
    (tmp_path / "one.py").write_text(program, encoding="utf-8")
    assert gallery.cells("one") == [
        ("markdown", "# A title\n\nText."),
        ("code", "x = 1"),
        ("markdown", "More\n\n    x"),
        ("code", "print(x)"),
    ]
    with pytest.raises(gallery.GalleryError, match="Picture:"):
        gallery.description("one")


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "noxfile.py"])
def test_it_is_stated_which_programs_the_session_docs_runs(name):
    assert f"at most {QUICK} s" in (gallery.ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", gallery.names())
def test_the_figures_of_a_text_are_those_of_the_program(name):
    """A percentage or a decimal number is printed, perhaps with more digits."""
    texts = [text for kind, text in gallery.cells(name) if kind == "markdown"]
    text = "\n".join([*texts, gallery.description(name)])
    text = re.sub(r"`[^`]*`|^    .*$|^Sources?: .*(?:\n.+)*", "", text, flags=re.MULTILINE)
    printed = [float(x) for x in NUMBER.findall("\n".join(gallery.results_of(name)[1]))]
    for figure, percent in re.findall(r"(\d+(?:\.\d+)?)( ?%)?", text):
        digits = len(figure.partition(".")[2])
        if percent or digits:
            rounded = {round(x, digits) for x in printed}
            rounded |= {round(100.0 * x, digits) for x in printed if percent}
            assert float(figure) in rounded, f"{figure}{percent} is not printed"


@pytest.mark.parametrize("name", gallery.names())
def test_a_program_prints_what_its_page_says(name, tmp_path):
    """Word for word, and each number as far as machines agree on it."""
    pytest.importorskip("matplotlib")
    _, results, seconds = gallery.results_of(name)
    if not ALL and seconds > QUICK:
        pytest.skip(f"it takes {seconds} s; XPNET_GALLERY=1 runs it")
    done = subprocess.run(
        [sys.executable, gallery.PROGRAMS / f"{name}.py"],
        cwd=tmp_path,
        env=environment(MPLBACKEND="Agg", PYTHONIOENCODING="utf-8"),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert differences("\n".join(results), done.stdout) == []


def differences(stated, printed):
    """The lines of two outputs that do not agree; empty lines do not count."""
    found = ([line for line in text.splitlines() if line.strip()] for text in (stated, printed))
    return [pair for pair in zip_longest(*found, fillvalue="") if not agree(*pair)]


def agree(stated, printed):
    """Whether two lines have the same words, and the same numbers as far as machines agree on them.

    Another processor or BLAS rounds differently, and a training amplifies this. So a program prints as many digits as
    are the same everywhere, and one more, which differs by at most five. A number with an exponent, such as 2.5e-06,
    says how large something is: it agrees to a factor of three. A number without a point is a count.
    """
    stated_words, printed_words = (NUMBER.sub("#", x).split() for x in (stated, printed))
    pairs = zip(NUMBER.findall(stated), NUMBER.findall(printed), strict=False)
    return stated_words == printed_words and all(same(a, float(a), float(b)) for a, b in pairs)


def same(stated, a, b):
    """Whether a, which is stated in these digits, and b are the same number."""
    if max(abs(a), abs(b)) < ROUNDING:
        return True
    if "e" in stated:
        return a * b > 0.0 and 1.0 / 3.0 <= a / b <= 3.0
    digits = len(stated.partition(".")[2])
    return abs(a - b) <= (5.001 * 10.0**-digits if digits else 0.0)


@pytest.mark.parametrize(
    ("stated", "printed", "expected"),
    [
        ("loss 0.125, accuracy 97.1%", "loss 0.130, accuracy 96.6%", True),
        ("loss 0.125, accuracy 97.1%", "loss 0.131, accuracy 97.1%", False),
        ("accuracy 97.1%", "accuracy 96.4%", False),
        ("[0 1 2]", "[0 1 2]", True),
        ("[0 1 2]", "[0 1 3]", False),
        ("error 2.5e-06", "error 1.1e-06", True),
        ("error 2.5e-06", "error 7.9e-06", False),
        ("slope 2.5e-15", "slope -3.1e-16", True),
        ("slope 2.5e-15", "slope 3.1e-10", False),
        ("loss 0.125", "loss nan", False),
        ("loss 0.125", "error 0.125", False),
    ],
)
def test_numbers_agree_as_far_as_machines_do(stated, printed, expected):
    assert agree(stated, printed) is expected


def test_a_line_that_is_missing_is_a_difference():
    assert differences("a 1\n\nb 2", "a  1\nb 2\n") == []
    assert differences("a 1\nb 2", "a 1") == [("b 2", "")]
