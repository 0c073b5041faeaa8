"""Names of classes, columns, files and folders cannot act on the terminal that they are printed on."""

import re
import sys

import numpy as np
import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from xpnet.cli.commands import app

CLEAR, OVERRIDE = "\x1b[2J\x1b]0;pwned\x07", "\u202egpj"
CLASSES = [
    f"{CLEAR}red",
    f"[red]{OVERRIDE}[/red]",
    "사과 가격",
    "two\nlines",
    "$\\frac$",
    ":smile:",
]
CONTROL = re.compile(r"[^\n -~\xa0-\u200a\u2010-\u2027\u2030-\ud7ff\ue000-\U0010ffff]")
PRINTED_AS = {  # how each class is to be printed
    CLASSES[0]: r"\x1b[2J\x1b]0;pwned\x07red",
    CLASSES[1]: r"[red]\u202egpj[/red]",
    CLASSES[3]: r"two\nlines",
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table of six classes and two columns, of which a network learns five sixths."""
    rng = np.random.default_rng(0)
    rows = ['"\x1b[31mlength","[link=http://x]width","kind\x1b[0m"']
    for i in range(120):
        x, y = rng.normal(np.divmod(i % 6, 3), 0.05)
        rows.append(f'{x:.4f},{y:.4f},"{CLASSES[i % 6]}"')
    path = tmp_path_factory.mktemp("names") / f"{CLEAR[:4]}[red]:smile:.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8", newline="")
    return path


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    """A run on it, whose folder has such a name as well; and what training printed."""
    folder = tmp_path_factory.mktemp("names") / f"run {OVERRIDE}"
    flags = ["--epochs", "30", "--hidden", "16", "--lr", "0.03", "--out", str(folder)]
    answer = CliRunner().invoke(app, ["train", str(table), *flags], env={"COLUMNS": "200"})
    assert answer.exit_code == 0, answer.output
    return folder, answer.stdout + answer.stderr


def printed(answer):
    """What a command printed, which holds no control character but the end of a line."""
    text = answer.out + answer.err
    assert CONTROL.findall(text) == []
    return text


def test_training_prints_names_without_control_characters(run):
    _, out = run
    assert CONTROL.findall(out) == []
    assert r"run \u202egpj" in out


def test_evaluate_prints_names_without_control_characters(run_xpnet, run, table):
    """Names of classes and of files; the columns are aligned, whatever the width of a letter."""
    pytest.importorskip("matplotlib")
    out = printed(run_xpnet("evaluate", run[0]))
    for name in CLASSES:
        assert PRINTED_AS.get(name, name) in out
    assert r"\x1b[2J[red]:smile:.csv" in out
    head, *lines = out.split("\n\n")[1].splitlines()
    assert len(lines) == len(CLASSES)
    ends = [cell_len(line[: re.search(r"  +\d+  ", line).end()]) for line in lines]
    assert set(ends) == {cell_len(head[: head.index("samples") + len("samples  ")])}


def test_predict_prints_names_without_control_characters(run_xpnet, run, table):
    """In the table, a line break stays, in quotes; everything else is escaped."""
    out = printed(run_xpnet("predict", run[0], table))
    assert out.startswith(r"line,kind\x1b[0m,probability")
    assert '"two\nlines",' in out
    assert r"\x1b[2J\x1b]0;pwned\x07red," in out


def test_errors_of_the_data_have_no_control_characters(run_xpnet, run, tmp_path):
    """A class that was not seen in training, a missing column, an invalid number."""
    new = tmp_path / f"new {OVERRIDE}.csv"
    for text in (
        f'"\x1b[31mlength","[link=http://x]width","kind\x1b[0m"\n1,2,"{CLEAR}"\n3,4,"{CLEAR}"\n',
        f'"{CLEAR}",b\n1,2\n3,4\n',
        f'"\x1b[31mlength","[link=http://x]width"\n1,"{CLEAR}"\n2,3\n',
    ):
        new.write_text(text, encoding="utf-8")
        for answer in (
            run_xpnet("evaluate", run[0], "--dataset", new),
            run_xpnet("predict", run[0], new),
        ):
            shown = printed(answer)
            assert "Traceback" not in shown
    assert answer.code == 2
    assert r"new \u202egpj.csv, line 2, column '[link=http://x]width'" in shown


@pytest.mark.parametrize(
    "words",
    [
        ["train", f"{CLEAR}.csv"],
        ["train", CLEAR],
        ["train", "--model", f"{CLEAR}.py:f"],
        ["train", "--schedule", f"{CLEAR}:x=1"],
        ["train", "--optimizer", CLEAR],
        ["train", "--epochs", CLEAR],
        ["train", "--config", CLEAR],
        ["train", "--resume", CLEAR],
        ["train", f"--{CLEAR}"],
        ["train", "--data-dir", CLEAR],
        ["train", "--backend", CLEAR],
        ["evaluate", CLEAR],
        ["evaluate", CLEAR, "--report", f"{OVERRIDE}/{CLEAR}"],
        ["predict", CLEAR, f"{OVERRIDE}.png"],
        [CLEAR],
    ],
    ids=lambda words: "-".join(words[:2]).encode("unicode_escape").decode(),
)
@pytest.mark.parametrize("color", ["", "1"])
def test_errors_of_flags_have_no_control_characters(run_xpnet, words, color, tmp_path, monkeypatch):
    """Those that typer prints, in a frame that may be coloured, and those of xpnet."""
    monkeypatch.chdir(tmp_path)
    answer = run_xpnet(*words)
    assert answer.code == 2
    plain = re.sub(r"\x1b\[[\d;]*m", "", answer.err)
    assert CONTROL.findall(plain) == []
    assert "\\x1b" in plain


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such file names")
def test_lines_of_pictures_with_names_of_two_widths_are_aligned(
    run_xpnet, run_folder, pictures, tmp_path
):
    paths = []
    for name in ("사과.png", "a.png", "[red]x\x1b[31m\u202e.png", "two\nlines.png"):
        paths.append(tmp_path / name)
        paths[-1].write_bytes((pictures / "7.png").read_bytes())
    out = printed(run_xpnet("predict", run_folder[0], *paths))
    lines = out.splitlines()
    assert len(lines) == 4
    assert len({cell_len(line) for line in lines}) == 1
