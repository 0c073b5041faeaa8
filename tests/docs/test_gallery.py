"""The gallery: its pages are of the programs as they stand, and the programs still print what the pages say.

The quick programs run here. `XPNET_GALLERY=1 pytest tests/docs/test_gallery.py` runs all of them.
"""

import ast
import json
import os
import re
import subprocess
import sys

import pytest

from docs.builder import gallery
from tests.processes import environment

ALL = os.environ.get("XPNET_GALLERY") == "1"
QUICK = 3
"""Seconds on one core, as the page states them."""

NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]\d+)?")


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


@pytest.mark.parametrize("name", gallery.names())
def test_a_program_prints_what_its_page_says(name, tmp_path):
    """Word for word; its numbers are those of another processor or BLAS, and so must only be finite."""
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
    assert words(done.stdout) == words("\n".join(results))


def words(text):
    """The lines of a text that are not empty, with # for each number; NaN and infinity stay as they are."""
    lines = [" ".join(NUMBER.sub("#", line).split()) for line in text.splitlines()]
    return [line for line in lines if line]
