"""Which tests run with the chosen libraries: those that take a backend, or whose own code names the library."""

import ast
import doctest
import textwrap
from types import SimpleNamespace

import pytest

from tests.selection import is_for_chosen, missing_packages

FILE = '''
"""Tests, some of which are about the abacus."""

import pytest
from tests.others import by_abacus_names, others

pytest.importorskip("sklearn", reason="for all")
BOTH = pytest.mark.parametrize("name", ["abacus", "beads"])


def oracle():
    return pytest.importorskip("abacus")


def second_oracle():
    return oracle()


@pytest.fixture
def frame(rows):
    return rows


@pytest.fixture
def rows():
    return second_oracle()


def test_plain():
    assert others


def test_plain_with_fixture(tmp_path):
    """Nothing."""


def test_directly():
    assert "abacus"


def test_by_helpers():
    second_oracle()


def test_by_fixtures(frame):
    pass


@BOTH
def test_by_table(name):
    pass


@pytest.mark.parametrize("name", ["abacus"])
def test_by_decorator(name):
    pass


def test_by_import():
    by_abacus_names()


class TestGroup:
    wanted = "abacus"

    def test_method(self):
        pass
'''
PLAIN = ("test_plain", "test_plain_with_fixture")
TESTS = [x.name for x in ast.walk(ast.parse(FILE)) if getattr(x, "name", "").startswith("test_")]


@pytest.fixture
def item(tmp_path):
    """A function that makes a test of a file as pytest has collected it."""

    def make(name, source=FILE, fixtures=(), folder="."):
        path = tmp_path / folder / "test_it.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(source, encoding="utf-8")
        cls = type("TestGroup", (), {}) if name == "test_method" else None
        shown = f"{name}[a-b]"
        return SimpleNamespace(
            path=path, name=shown, originalname=name, cls=cls, fixturenames=fixtures
        )

    return make


@pytest.mark.parametrize("name", TESTS)
def test_a_test_that_names_a_library_in_what_it_uses_runs_with_it(item, name):
    test = item(name)
    assert is_for_chosen(test, ["abacus"]) == (name not in PLAIN)
    assert not is_for_chosen(test, ["slide_rule"])


@pytest.mark.parametrize("name", TESTS)
def test_every_test_runs_with_numpy(item, name):
    assert is_for_chosen(item(name), ["numpy"])
    assert is_for_chosen(item(name), ["slide_rule", "numpy"])


def test_a_test_with_a_backend_runs_with_every_library(item):
    assert is_for_chosen(item("test_plain", fixtures=("tmp_path", "backend64")), ["slide_rule"])


def test_a_test_of_what_only_cupy_has_runs_with_cupy(item):
    test = item("test_plain", fixtures=("cupy_backend",))
    assert is_for_chosen(test, ["cupy"])
    assert not is_for_chosen(test, ["numpy"])


def test_a_test_of_the_emulated_device_runs_with_cupy(item):
    """Most of them are skipped elsewhere, as whole files."""
    test = item("test_directly", folder="host_cuda")
    assert is_for_chosen(test, ["cupy"])
    assert not is_for_chosen(test, ["abacus"])


def test_what_the_whole_file_needs_is_named_by_each_test(item):
    """A fixture that runs without being asked for, too, and the package's name."""
    for needed in ('pytest.importorskip("slide-rule")', 'rule = pytest.importorskip("slide_rule")'):
        assert is_for_chosen(item("test_plain", source=f"{FILE}\n{needed}\n"), ["slide_rule"])
    automatic = textwrap.dedent(
        """
        @pytest.fixture(autouse=True)
        def ready():
            pytest.importorskip("slide_rule")
        """
    )
    test = item("test_plain", source=FILE + automatic, fixtures=("ready",))
    assert is_for_chosen(test, ["slide_rule"])


@pytest.mark.parametrize("folder", ["cli", "data", "examples"])
def test_a_name_that_is_the_value_of_a_flag_is_not_the_library(item, folder):
    assert not is_for_chosen(item("test_directly", folder=folder), ["abacus"])


def test_an_example_in_a_docstring_runs_with_the_library_that_it_names(tmp_path):
    for text, expected in ((">>> 1\n1", False), (">>> 'abacus'\n'abacus'", True)):
        parsed = doctest.DocTestParser().get_doctest(text, {}, "name", "file", 0)
        test = SimpleNamespace(path=tmp_path / "code.py", name="name", dtest=parsed)
        assert is_for_chosen(test, ["abacus"]) == expected


def test_an_example_names_the_packages_that_it_lacks(item):
    text = ">>> import math\n>>> from abacus.beads import count\n>>> import beads, json\n"
    parsed = doctest.DocTestParser().get_doctest(text, {}, "name", "file", 0)
    assert missing_packages(SimpleNamespace(dtest=parsed)) == ["abacus", "beads"]
    assert missing_packages(item("test_directly")) == []
