"""The how-to pages: their programs run, and print what stands behind their calls of print."""

import re

import pytest

import xpnet
from tests.docs.test_pages import code, read
from xpnet import functions as F
from xpnet._interoperability.numpy.registry import implementations
from xpnet._interoperability.numpy.ufuncs import elementwise_calls

PAGES = {
    "derivatives.md": ("scipy",),
    "gpu.md": ("scipy",),
    "half-precision.md": (),
    "notebooks.md": ("matplotlib",),
    "own-layer.md": (),
    "pictures-in-folders.md": ("PIL",),
    "resume.md": (),
    "scipy.md": ("scipy",),
    "training-loop.md": (),
}
"""Each page, with the packages that it needs."""


@pytest.mark.parametrize("name", PAGES)
def test_the_programs_of_a_page_print_what_it_says(name, tmp_path, monkeypatch):
    for package in PAGES[name]:
        pytest.importorskip(package, reason=f"{package} is not installed")
    monkeypatch.chdir(tmp_path)
    blocks = code(read(name), ("python", ""))
    scope = {}
    printed = []
    scope["print"] = lambda *values: printed.append(" ".join(map(str, values)))
    with xpnet.using("numpy"):
        for i, (kind, program) in enumerate(blocks):
            if kind != "python":
                continue
            printed.clear()
            exec(compile(program, name, "exec"), scope)
            stated = re.findall(r"^ *print\(.*\)  # (.*)$", program, re.MULTILINE)
            if printed and not stated:  # the lines are in the block that follows
                stated = blocks[i + 1][1].splitlines()
            assert printed == stated


def test_every_page_is_named_in_how_to():
    page = read("how-to.md")
    assert [name for name in PAGES if f"]({name})" not in page] == []


def test_the_functions_of_numpy_and_scipy_are_counted():
    special = len(F.special.__all__)
    assert f"{special} functions of `scipy.special`" in read("derivatives.md")
    assert f"{special} of `scipy.special`'s functions" in read("scipy.md")
    assert "more than 300 others" in read("derivatives.md")
    assert 306 < len({*implementations, *elementwise_calls}) < 330
