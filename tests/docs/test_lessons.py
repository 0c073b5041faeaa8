"""The lessons: their programs run and print what they say, before and after the lines that change."""

import re
import sys
import types
from itertools import pairwise
from pathlib import Path

import pytest

import xpnet
from docs.builder import sources

FOLDER = sources.DOCS / "lessons"
PAGES = sorted(path.stem for path in FOLDER.glob("*.md") if path.stem not in ("index", "words"))
KOREAN = sources.DOCS / "ko" / "lessons"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


# --- reading a page --------------------------------------------------------------------------------


def blocks(path):
    """(kind, body, number of its first line) of each block of code."""
    text = path.read_text(encoding="utf-8")
    return [
        (match[1], match[2], text.count("\n", 0, match.start(2))) for match in BLOCK.finditer(text)
    ]


def lesson_of(page):
    """The blocks above the diff, and the diff."""
    found = blocks(FOLDER / f"{page}.md")
    kinds = [kind for kind, _, _ in found]
    at = kinds.index("diff")
    return found[:at], found[at][1]


def patched(program, diff):
    """The program after a diff: "-class A: ..." removes the whole class."""
    lines = program.splitlines()
    at = 0
    for change in diff.splitlines():
        sign, line = change[:1], change[1:]
        if sign == "+":
            lines.insert(at, line)
            at += 1
            continue
        if not line:
            continue
        start, end = place(lines, at, line)
        at = end
        if sign == "-":
            del lines[start:end]
            at = start
    return "\n".join(lines) + "\n"


def place(lines, start, line):
    """Where a line, or the class or function that it begins, is."""
    head = line.removesuffix(" ...")
    found = [i for i in range(start, len(lines)) if lines[i] == head]
    assert found, f"not in the lesson's code: {line!r}"
    end = found[0] + 1
    if head != line:
        while end < len(lines) and (not lines[end] or lines[end].startswith((" ", ")"))):
            end += 1
    return found[0], end


# --- running ---------------------------------------------------------------------------------------


def run(program, name, first_line=0, scope=None):
    """Run a program, and compare what it prints with its comments; the rest of what it prints."""
    lines = program.splitlines()
    printed = {}
    rest = []

    def remember(*values):
        line = inspected_line() - first_line
        text = " ".join(map(str, values))
        _, _, said = lines[line - 1].partition("  # ")
        if said:
            printed[line] = said, text
        else:
            rest.append(text)

    scope = {} if scope is None else scope
    scope["print"] = remember
    exec(compile("\n" * first_line + program, name, "exec"), scope)
    promised = {i for i, line in enumerate(lines, 1) if re.search(r"\bprint\(.*  # ", line)}
    assert promised == set(printed), f"{name}: not printed"
    for said, text in printed.values():
        assert same(said, text), f"{name}: said {said}, printed {text}"
    return rest


def inspected_line():
    """The line of the page that called print."""
    return sys._getframe(2).f_lineno


def same(said, text):
    """Whether both have the same words, and the same numbers but for one in the last digit; "about": 5 %."""
    rough = said.startswith("about ")
    said = said.removeprefix("about ")
    if NUMBER.sub("#", said) != NUMBER.sub("#", text):
        return False
    for a, b in zip(NUMBER.findall(said), NUMBER.findall(text), strict=True):
        unit = 10.0 ** -len(a.partition(".")[2]) if "." in a and "e" not in a else 0.0
        allowed = abs(float(a)) * 0.05 if rough or "e" in a else 1.01 * unit
        if abs(float(a) - float(b)) > allowed:
            return False
    return True


@pytest.fixture
def as_by_default():
    """The backend and its dtype as they are without xpnet.use, which pages call."""
    with xpnet.using("numpy"):
        yield


def said_below(found, i):
    """The lines of the block of output that follows a program."""
    if i + 1 < len(found) and found[i + 1][0] == "text":
        return found[i + 1][1].splitlines()
    return []


@pytest.mark.parametrize("page", [*PAGES, "words"])
def test_the_programs_of_a_lesson_print_what_they_say(page, as_by_default):
    found = blocks(FOLDER / f"{page}.md")
    scope = {}
    for i, (kind, program, line) in enumerate(found):
        if kind == "python":
            rest = run(program, f"{page}.md", line, scope)
            said = said_below(found, i)
            assert len(said) == len(rest), rest
            assert [pair for pair in zip(said, rest, strict=True) if not same(*pair)] == []


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_lesson_runs_with_the_lines_that_change(page, as_by_default):
    above, diff = lesson_of(page)
    program = "\n".join(body for kind, body, _ in above if kind in ("python", "py"))
    said = [line for kind, body, _ in above if kind == "text" for line in body.splitlines()]
    changed = patched(program, diff)
    assert changed != program
    rest = run(changed, f"{page}.md, changed")
    assert [(a, b) for a, b in zip(said, rest, strict=True) if not same(a, b)] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_lesson_has_exercises_with_answers(page):
    _, _, exercises = (
        (FOLDER / f"{page}.md").read_text(encoding="utf-8").partition("## Exercises\n")
    )
    asked = re.findall(r"^\*\*(\d)\.\*\*", exercises, re.MULTILINE)
    answers = re.findall(
        r"<details>\n<summary>Answer</summary>\n(.*?)</details>", exercises, re.DOTALL
    )
    assert 3 <= len(asked) <= 5
    assert len(answers) == len(asked)
    assert all("```python\n" in answer for answer in answers)


@pytest.mark.parametrize("page", [*PAGES, "words"])
def test_the_korean_page_has_the_same_programs_changes_and_output(page):
    english = FOLDER / f"{page}.md"
    korean = KOREAN / f"{page}.md"
    assert [x[:2] for x in blocks(korean)] == [x[:2] for x in blocks(english)]
    number = re.compile(r"^\*\*\d\.\*\*", re.MULTILINE)
    texts = [path.read_text(encoding="utf-8") for path in (english, korean)]
    assert number.findall(texts[1]) == number.findall(texts[0])
    assert [text.count("<details>") for text in texts] == [texts[0].count("</details>")] * 2


# --- the table of words ----------------------------------------------------------------------------


def rows(path):
    """The cells of each row of the tables, without the rows of names and of dashes."""
    lines = path.read_text(encoding="utf-8").splitlines()
    found = []
    for before, line in pairwise(lines):
        if line.startswith("| ") and before.startswith("|"):
            found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


ROWS = rows(FOLDER / "words.md")


def exists(expression):
    """Whether xpnet has the name with which an expression begins, such as F.sum(x)."""
    layer = xpnet.Affine(1, 1)
    x = xpnet.Variable([[1.0]])
    scope = {
        "xpnet": xpnet,
        "F": xpnet.functions,
        "x": x,
        "y": x * x,
        "layer": layer,
        "optimizer": xpnet.SGD(layer.parameters()),
    }
    path = re.match(r"\w+(?:\.\w+)*", expression)[0]
    root, *names = path.split(".")
    value = scope[root]
    for name in names:
        if isinstance(value, types.ModuleType) and name not in dir(value):
            return False
        try:
            value = getattr(value, name)
        except AttributeError:
            return False
    return True


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_xpnet_has_the_names_of_a_row(row):
    expressions = re.findall("`([^`]+)`", row[1])
    assert expressions
    assert [x for x in expressions if not exists(x)] == []
    others = re.findall("`(xpnet[^`]+)`", row[2])
    assert [x for x in others if not exists(x)] == []


def test_a_name_that_xpnet_does_not_have_is_noticed():
    assert not exists("F.conv2d(x, W)")
    assert not exists("x.transpose(1, 0)")
    assert not exists("layer.params()")
    assert exists("F.conv")


def test_the_korean_table_has_the_same_names():
    korean = rows(KOREAN / "words.md")
    assert [re.findall("`[^`]+`", row[1]) for row in korean] == [
        re.findall("`[^`]+`", row[1]) for row in ROWS
    ]
    assert len(ROWS) > 50


@pytest.mark.parametrize("page", PAGES)
def test_a_picture_is_small(page):
    text = (FOLDER / f"{page}.md").read_text(encoding="utf-8")
    pictures = re.findall(r"^!\[.{30,}\]\(([\w.-]+)\)", text, re.MULTILINE)
    assert len(pictures) == 1
    assert all(Path(FOLDER / name).stat().st_size < 80_000 for name in pictures)


def test_a_diff_removes_lines_and_whole_classes():
    program = "import a\n\n\nclass B:\n    x = 1\n\n    y = 2\n\n\nprint(B)\n"
    changed = patched(program, "-import a\n-class B: ...\n+from c import B\n")
    assert changed.split() == ["from", "c", "import", "B", "print(B)"]
    with pytest.raises(AssertionError, match="not in the lesson's code: 'import b'"):
        patched(program, "-import b\n")


def test_a_wrong_figure_is_noticed():
    assert same("4.4 110.0", "4.4 110.0")
    assert not same("4.4 110.0", "4.4 110.2")
    assert not same("epoch 1", "epochs 1")
    assert same("about 0.95", "0.957")
    assert not same("about 0.95", "0.85")
    with pytest.raises(AssertionError, match="said 3, printed 2"):
        run("print(1 + 1)  # 3\n", "a page")
    with pytest.raises(AssertionError, match="not printed"):
        run("if False:\n    print(1)  # 1\n", "a page")
