"""The limits of `tests/style.py` find what they are for, and nothing else."""

import pytest

from tests import style

pytest.importorskip("radon", reason="radon, which counts branches, is not installed")


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """A function that counts one file with the given code."""
    monkeypatch.setattr(style, "ROOT", tmp_path)

    def count(code):
        path = tmp_path / "code.py"
        path.write_text(code, encoding="utf-8")
        found = style.Count()
        style.count(path, found)
        return found

    return count


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("a, b = 1, 2", 1),
        ("a, b = c, d", 1),
        ("a, b = b, a", 0),  # an exchange
        ("x[0], x[1] = x[1], x[0]", 0),
        ("a, b = f()", 0),
        ("a = b = 1", 0),
    ],
)
def test_tuple_assignments(counted, code, expected):
    assert len(counted(code).tuple_assignments) == expected


def test_conditional_expressions(counted):
    code = "x = a if b else c\nif b:\n    x = a\ny = [a if b else (c if d else e) for b in f]\n"
    assert len(counted(code).conditional_expressions) == 3


def test_lines_are_those_of_code(counted):
    code = '"""A module."""\n\n# a comment\nx = 1\n\n\ndef f():\n    """Two\n    lines."""\n    return x\n'
    assert counted(code).lines == 3


def test_annotations(counted):
    code = "x: Any = 1\ndef f(a: Any, *b: int, c: list[Any], **d: Any) -> Any: ...\n"
    found = counted(code)
    assert (found.annotations, found.bare_any) == (6, 4)


@pytest.mark.parametrize("lines", [style.BODY, style.BODY + 1])
def test_bodies(counted, lines):
    body = "".join(f"    x = {i}\n" for i in range(lines))
    faults = counted(f'def f():\n    """A docstring\n    of two lines."""\n{body}').faults
    assert len(faults) == (lines > style.BODY)


@pytest.mark.parametrize("branches", [style.COMPLEXITY - 1, style.COMPLEXITY])
@pytest.mark.parametrize("kind", ["if", "conditional expression", "method", "closure"])
def test_complexity(counted, branches, kind):
    """A function without a branch has complexity 1."""
    ifs = "".join(f"    if x == {i}:\n        return {i}\n" for i in range(branches))
    choices = "".join(f"    x = {i} if x else 0\n" for i in range(branches))
    code = {
        "if": f"def f(x):\n{ifs}",
        "conditional expression": f"def f(x):\n{choices}",
        "method": "class C:\n"
        + "".join(f"    {line}\n" for line in f"def f(x):\n{ifs}".splitlines()),
        "closure": "def g():\n"
        + "".join(f"    {line}\n" for line in f"def f(x):\n{ifs}".splitlines()),
    }[kind]
    faults = counted(code).faults
    assert any("complexity" in fault and " f " in fault for fault in faults) == (
        branches == style.COMPLEXITY
    )


def test_the_exit_code_is_1_above_a_limit(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(style, "ROOT", tmp_path)
    path = tmp_path / "code.py"
    path.write_text("def f(x: int) -> int:\n    return x\n", encoding="utf-8")
    assert style.main([str(path)]) == 0
    path.write_text("def f(x: Any) -> int:\n    return x\n", encoding="utf-8")
    assert style.main([str(path)]) == 1
    assert "50.0%" in capsys.readouterr().out
