"""docs/tables.md: its programs and commands run from top to bottom, and print what it states."""

import contextlib
import io
import re
import shlex
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from typer.testing import CliRunner

from xpnet.cli.commands import app

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What each block printed, with what the page states of it: pairs of texts."""
    pytest.importorskip("pandas", reason="predictions become a column of a data frame")
    pytest.importorskip("sklearn", reason="its metrics are computed on the page")
    found = []
    scope = {}
    output = ""
    with contextlib.chdir(tmp_path_factory.mktemp("tables")):
        for kind, body in BLOCK.findall(TEXT):
            if kind == "python":
                with redirect_stdout(io.StringIO()) as text, warnings.catch_warnings():
                    warnings.filterwarnings("ignore", ".*: column 'city': 1 value is not among")
                    exec(body, scope)
                output = text.getvalue()
            elif kind == "bash":
                words = shlex.split(body)
                assert words[0] == "xpnet"
                result = CliRunner().invoke(app, words[1:])
                output = f"{result.stderr}\n{result.stdout}"
            else:
                assert kind == "text"
                found.append((output.replace(str(Path.cwd()) + "/", ""), body))
    return found


def comparable(text):
    """Words in one line, in which figures that other machines may print are #: fractions, epochs, mistakes."""
    text = re.sub(r"\d+\.\d*|epoch \d+|\d+ times?", "#", text)
    return " ".join(text.split())


def test_each_command_and_program_prints_what_the_page_states(printed):
    """Its parts between "...", in order; the page may break lines."""
    assert len(printed) == 11
    for output, stated in printed:
        rest = comparable(output)
        for part in stated.split("..."):
            _, found, rest = rest.partition(comparable(part))
            assert found or not part.strip(), (part, output)


def test_each_flag_of_the_page_exists():
    pages = [
        CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
        for command in ("train", "evaluate", "predict")
    ]
    plain = re.sub(r"\x1b\[[\d;]*m", "", "".join(pages))
    for flag in {*re.findall(r"`(--[a-z-]+)", TEXT)}:
        assert flag in plain, flag


def test_the_table_of_scores_has_its_place_and_eight_lines():
    """`python benchmarks/tables.py --page docs/tables.md` writes it."""
    pytest.importorskip("sklearn", reason="the benchmark compares with scikit-learn")
    from benchmarks.report import replaced
    from benchmarks.tables import CLASSES, NUMBERS

    assert "| new |" in replaced(TEXT, "scores", "| new |")
    for name in (*CLASSES, *NUMBERS):
        assert f"\n| {name}, " in TEXT
