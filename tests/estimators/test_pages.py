"""docs/estimators.md: its code runs, prints what it states; its first program, of eight lines, is README.md's too."""

import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
NAME = "docs/estimators.md"
TEXT = (ROOT / NAME).read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
NEEDED = ("pandas", "skops", "torch")  # by some blocks; scikit-learn's sessions have no torch


def blocks():
    """The number of the first line and the code of each block of Python."""
    for match in re.finditer(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE):
        yield TEXT.count("\n", 0, match.start(1)), match[1]


BLOCKS = list(blocks())
FIRST, SCORE, *SECTIONS = BLOCKS


def run(block, scope):
    """Run a block, and compare what it prints with the comments behind its calls of print."""
    line, code = block
    printed = []
    scope["print"] = lambda *values: printed.append(" ".join(map(str, values)))
    exec(compile("\n" * line + code, NAME, "exec", dont_inherit=True), scope)
    stated = re.findall(r"^print\(.*?\)(?:  # (.*))?$", code, re.MULTILINE)
    assert len(printed) == len(stated)
    for found, expected in zip(printed, stated, strict=True):
        start = expected.removeprefix("R², ")
        assert found.startswith(start.removesuffix("...")), found


@pytest.fixture(scope="module")
def fitted():
    """The names of the first program."""
    scope = {"__name__": "page"}
    run(FIRST, scope)
    return scope


def test_from_pip_to_a_fitted_pipeline_in_eight_lines(fitted):
    install = re.search(r"^```\n(pip install .*)\n```$", TEXT, re.MULTILINE)
    assert install[1] == 'pip install ".[sklearn]"'
    lines = FIRST[1].splitlines()
    assert len([install[1], *filter(None, lines)]) == 8
    run(SCORE, fitted)


def test_the_readme_has_the_first_program():
    blocks = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    assert [block for block in blocks if "xpnet.estimators" in block] == [FIRST[1]]
    assert '\npip install ".[sklearn]"\n' in README


@pytest.mark.parametrize("block", SECTIONS, ids=lambda block: f"line {block[0] + 1}")
def test_a_section(block, fitted, tmp_path, monkeypatch):
    for package in NEEDED:
        if f"import {package}" in block[1]:
            pytest.importorskip(package, reason=f"{package} is not installed")
    monkeypatch.chdir(tmp_path)
    with_numpy = fitted | {"np": np}  # which the block of tables imports
    run(block, with_numpy)
    if "loaded" in with_numpy:
        X = fitted["X_test"]
        expected = fitted["model"].predict_proba(X)
        for name in ("copy", "loaded"):
            np.testing.assert_array_equal(with_numpy[name].predict_proba(X), expected)


def test_links_lead_to_files():
    for page in ("estimators.md", "sweeps.md"):
        file = ROOT / "docs" / page
        links = re.findall(r"\]\(([^)#]+)\)", file.read_text(encoding="utf-8"))
        assert [
            link for link in links if "://" not in link and not (file.parent / link).exists()
        ] == []


@pytest.mark.parametrize("name", ["scores", "times"])
def test_tables_have_their_places(name):
    """`python benchmarks/estimators.py scores --page docs/estimators.md` writes them."""
    from benchmarks.report import replaced

    assert "| new |" in replaced(TEXT, name, "| new |")
