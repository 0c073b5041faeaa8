"""docs/tables.md: its programs and commands run from top to bottom, and print what it states."""

import contextlib
import io
import re
import shlex
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
    found = []
    scope = {}
    output = ""
    with contextlib.chdir(tmp_path_factory.mktemp("tables")):
        for kind, body in BLOCK.findall(TEXT):
            if kind == "python":
                with redirect_stdout(io.StringIO()) as text:
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


def test_each_command_and_program_prints_what_the_page_states(printed):
    """Each line, in order; what follows the stated part of a line may differ, such as a probability."""
    assert len(printed) == 6
    for output, stated in printed:
        lines = iter(output.splitlines())
        for line in stated.splitlines():
            assert any(line in printed_line for printed_line in lines), (line, output)


def test_each_flag_of_the_page_exists():
    out = CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "200"}).output
    plain = re.sub(r"\x1b\[[\d;]*m", "", out)
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
