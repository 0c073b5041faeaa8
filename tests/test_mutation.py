"""tests/mutation.py reports the mutants that no test notices, and changes only copies."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from tests import mutation

SOURCE = '''\
"""Sums."""


def total(a, b):
    """a + b."""
    return a + b


def countdown(n):
    while n > 0:
        n -= 1
    return n


def untested(x, y=2):
    return x * y
'''
TESTS = """\
from xpnet.sums import countdown, total


def test_total():
    assert total(2, 3) == 5


def test_countdown():
    assert countdown(3) == 0
"""


@pytest.fixture
def project(tmp_path):
    """A small project with three functions, two of which have tests."""
    for name, text in {
        "xpnet/__init__.py": "",
        "xpnet/sums.py": SOURCE,
        "tests/test_sums.py": TESTS,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def mutants_of(source):
    return mutation.mutants("x.py", source)


@pytest.mark.parametrize(
    ("source", "became"),
    [
        ("x = a < b", ["x = (a <= b)"]),
        ("x = a + b", ["x = (a - b)"]),
        ("x = a and b", ["x = (a or b)"]),
        ("x = not a", ["x = (a)"]),
        ("x = 3", ["x = 4"]),
        ("x = 0.5", ["x = 5.0"]),
        ("x = 0.0", ["x = 1.0"]),
        ("x = True", ["x = False"]),
        ("f(a, b)", ["f(b, a)", "pass"]),
        ("f(a, a)", ["pass"]),
        ("def f(n=1): return n", ["def f(n=2): return n", "def f(n=1): return None"]),
        ("if a: raise b", ["if True: raise b", "if False: raise b", "if a: pass"]),
        ("x = a if b else c", ["x = a if True else c", "x = a if False else c"]),
        ("x.y = a", ["pass"]),
        ('x = "é" * a', ['x = ("é" / a)'] if sys.flags.utf8_mode else ["x = ('é' / a)"]),
    ],
)
def test_mutants_of_code(source, became):
    assert sorted(m.applied(source) for m in mutants_of(source)) == sorted(became)


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring: 3."""',
        "x: f[3]",
        "def f(x: g[3]) -> h[4]: pass",
        'raise_it = f"{1}"',
        '__all__ = ["x"]',
        "if TYPE_CHECKING:\n    x = 3",
        "def f():\n    return None",
        "y = array_namespace(a, b)",
        "y = xp.maximum(a, b)",
        "y = zip(a, b, c, strict=True)",
    ],
)
def test_code_without_mutants(source):
    assert mutants_of(source) == []


@pytest.mark.slow
def test_obvious_mutants_are_killed_and_survivors_reported(project, capsys):
    """A wrong sum and an endless loop are killed; mutants of a function without a test survive."""
    assert mutation.main(["--jobs", "2", "xpnet"], root=project) == 1
    survivors = capsys.readouterr().out.rpartition("% killed.")[2].splitlines()
    assert survivors
    assert all("xpnet/sums.py" in line for line in survivors if line)
    assert any("x * y  ->  (x / y)" in line for line in survivors)
    assert not any("a + b" in line or "n -= 1" in line for line in survivors)
    assert (project / "xpnet/sums.py").read_text() == SOURCE


@pytest.mark.slow
def test_survivors_of_the_nearest_tests_are_tested_by_the_others(project, capsys):
    """With --tests 1, the second test file does not run."""
    (project / "xpnet/sums.py").write_text(SOURCE.partition("\n\ndef countdown")[0])
    (project / "tests/test_sums.py").write_text("def test_nothing():\n    pass\n")
    (project / "tests/test_other.py").write_text(TESTS.partition("\n\ndef test_countdown")[0])
    other = project / "tests/test_other.py"
    other.write_text(other.read_text().replace("countdown, ", ""))
    assert mutation.tests_of(project, "xpnet/sums.py", 8) == [
        "tests/test_sums.py",
        "tests/test_other.py",
    ]
    assert mutation.main(["--tests", "1", "xpnet/sums.py"], root=project) == 1
    assert mutation.main(["xpnet/sums.py"], root=project) == 0
    assert "passes 1 test file: xpnet/sums.py:6" in capsys.readouterr().out


@pytest.mark.slow
def test_the_exit_code_is_0_if_all_mutants_are_killed(project):
    (project / "xpnet/sums.py").write_text(SOURCE.partition("\n\ndef countdown")[0])
    (project / "tests/test_sums.py").write_text(
        "from xpnet.sums import total\n\ndef test_total():\n    assert total(2, 3) == 5\n"
    )
    assert mutation.main(["xpnet/sums.py"], root=project) == 0


@pytest.mark.slow
def test_tests_that_fail_without_a_change_end_the_program(project):
    (project / "tests/test_sums.py").write_text(TESTS.replace("== 5", "== 6"))
    with pytest.raises(SystemExit, match="tests/test_sums.py fails before anything is changed"):
        mutation.main(["xpnet/sums.py"], root=project)


def test_a_killed_program_leaves_the_tree_unchanged(project):
    """It changes only copies."""
    (project / "tests/test_sums.py").write_text(
        TESTS.replace("def test_total():", "def test_total():\n    import time; time.sleep(60)")
    )
    program = (
        f"import sys; sys.path.insert(0, {str(mutation.ROOT)!r})\n"
        "from pathlib import Path; from tests import mutation\n"
        f"mutation.main(['xpnet'], root=Path({str(project)!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", program])
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(3.0)
    process.kill()
    process.wait()
    assert (project / "xpnet/sums.py").read_text() == SOURCE


def test_the_same_seed_makes_the_same_choice(project):
    given = argparse.Namespace(since=None, paths=["xpnet"], count=3, seed=5)
    first = mutation.choice(project, given)
    assert len(first) == 3
    assert mutation.choice(project, given) == first
    given.seed = 6
    assert mutation.choice(project, given) != first


def test_since_selects_the_lines_that_were_changed(project):
    def git(*arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *identity, *arguments], cwd=project, check=True, capture_output=True)

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    (project / "xpnet/sums.py").write_text(SOURCE.replace("return a + b", "return b + a"))
    given = argparse.Namespace(since="HEAD", paths=[], count=100, seed=0)
    assert {m.line for m in mutation.choice(project, given)} == {6}


def test_known_equivalent_mutants_are_excluded(project, monkeypatch):
    given = argparse.Namespace(since=None, paths=["xpnet"], count=100, seed=0)
    before = mutation.choice(project, given)
    known = ("xpnet/sums.py", "a + b", "(a - b)")
    assert known in {(m.path, m.was, m.became) for m in before}
    monkeypatch.setattr(mutation, "EQUIVALENT", {known: "an example"})
    assert len(mutation.choice(project, given)) == len(before) - 1


def test_the_tests_of_a_file_are_found():
    def found(path):
        return mutation.tests_of(mutation.ROOT, path, 8)

    assert found("xpnet/functions/einsum.py")[0] == "tests/functions/test_einsum.py"
    assert "tests/functions/test_special.py" in found("xpnet/kernels/special.py")
    assert "tests/functions/test_rules.py" in found("xpnet/functions/statistical.py")


def test_a_file_without_tests_of_its_own_has_those_of_its_users(project):
    (project / "xpnet/outer.py").write_text("from xpnet.sums import total\n")
    (project / "tests/test_sums.py").unlink()
    (project / "tests/test_outer.py").write_text("from xpnet import outer\n")
    assert mutation.tests_of(project, "xpnet/sums.py", 8) == ["tests/test_outer.py"]
    (project / "tests/folder").mkdir()
    (project / "tests/folder/test_sums.py").write_text("import sys\n")  # the test of another module
    assert mutation.tests_of(project, "xpnet/sums.py", 8) == ["tests/test_outer.py"]


def test_every_known_equivalent_is_still_in_its_file():
    for path, was, _ in mutation.EQUIVALENT:
        assert was in Path(mutation.ROOT, path).read_text("utf-8")
