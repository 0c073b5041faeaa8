"""Docstrings, which are plain text within numpydoc's sections, become reStructuredText."""

import ast
import dataclasses
import inspect
import re

import pytest

import xpnet
from docs.builder import names
from docs.builder.docstrings import converted, inline
from docs.builder.korean import without_particle, words


def lines(text):
    return "\n".join(converted(inspect.cleandoc(text).splitlines()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("b1 * m, |x| and x_", r"b1 \* m, \|x\| and x\_"),
        ("`x * y` of `lr`", "``x * y`` of ``lr``"),
        ("``a`` stays", "``a`` stays"),
        ("a `Conv2d` here", "a :py:obj:`Conv2d <xpnet.Conv2d>` here"),
        ("sync_batch_norm", "sync_batch_norm"),
    ],
)
def test_a_line(text, expected):
    assert inline(text) == expected


def test_an_indented_block_is_literal():
    text = """
    Adam.

        m = b1 m + (1 - b1) g
          * two

    More.
    """
    assert lines(text) == "Adam.\n\n::\n\n    m = b1 m + (1 - b1) g\n      * two\n\nMore."


def test_an_explanation_in_a_list_is_no_block():
    text = """
    Parameters
    ----------
    x : array, shape (n, *size)
        The first.

        The *second*.
    args_ : int
    """
    found = lines(text)
    assert "::" not in found
    assert r"x : array, shape (n, \*size)" in found
    assert r"    The \*second\*." in found
    assert "args_ : int" in found


def test_an_example_is_copied():
    text = """
    Examples
    --------
    >>> F.sum(x * y)
    `x` * |y|

    Then *this*.
    """
    assert ">>> F.sum(x * y)\n`x` * |y|\n" in lines(text)
    assert r"Then \*this\*." in lines(text)


def test_terms_in_the_notes_are_a_list_of_definitions():
    text = """
    Notes
    -----
    x : shape (n,)
    lengths : shape (m,)
        The number of steps.
    """
    assert "x : shape (n,)\n\nlengths : shape (m,)\n    The number" in lines(text)


def test_a_docstring_of_xpnet_is_converted_without_a_loss():
    """Without what the conversion adds, it is the docstring."""
    text = inspect.getdoc(xpnet.Conv2d)
    found = lines(text).replace("\\", "").replace("``", "`").replace(":py:obj:", "")
    for word in text.replace("``", "`").split():
        assert word.strip("`.,:;()") in found


@pytest.mark.parametrize(
    ("word", "noun"),
    [
        ("순전파는", "순전파"),
        ("순전파", "순전파"),
        ("기울기를", "기울기"),
        ("그래프에서는", "그래프"),
        ("나는", "나는"),
    ],
)
def test_particles_are_removed(word, noun):
    assert without_particle(word) == noun


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "경사 하강법은",
            ["경사", "경사하강법", "하강법"],
        ),  # a compound, with and without its space
        ("기울기를 계산", ["기울기", "계산"]),  # not a compound: the first has a particle
        ("기울기, 소실", ["기울기", "소실"]),
        ("F.relu 함수", ["F", "relu", "함수"]),
    ],
)
def test_the_words_of_a_korean_text(text, found):
    assert words(text) == found


# --- parameters -----------------------------------------------------------------------------------


SECTION = r"^{}\n-+\n(.*?)(?=^\S[^\n]*\n---|\Z)"


def entries(docstring, title="Parameters"):
    """{name: the line that names it} of a section in a docstring."""
    section = re.search(SECTION.format(title), docstring, re.MULTILINE | re.DOTALL)
    found = {}
    for line in section[1].splitlines() if section else ():
        if re.match(r"\S", line):
            named, _, _ = line.partition(" : ")
            found |= {name.strip().lstrip("*"): line for name in named.split(",")}
    return found


def test_the_entries_of_a_section():
    text = "A line.\n\nParameters\n----------\nx, t : array\n    b : bias.\n*args\n\nReturns\n-------\ny : array"
    assert entries(text) == {"x": "x, t : array", "t": "x, t : array", "args": "*args"}
    assert entries("A line.") == {}


def with_parameters():
    """(path, value, signature) of each public class and function that is called."""
    for path in names.paths():
        value = names.value_of(path)
        is_error = isinstance(value, type) and issubclass(value, Exception)
        if hasattr(value, "__name__") and not is_error and value is not xpnet.schedules.Schedule:
            yield path, value, inspect.signature(value)


def not_named(value, signature):
    """The parameters that a docstring does not name; those of a record may be its attributes."""
    docstring = inspect.getdoc(value)
    named = set(entries(docstring))
    if hasattr(value, "_fields") or dataclasses.is_dataclass(value):
        named |= set(entries(docstring, "Attributes"))
    return [name for name in signature.parameters if name not in named]


def test_docstrings_name_all_parameters():
    missing = {path: not_named(value, signature) for path, value, signature in with_parameters()}
    assert {path: found for path, found in missing.items() if found} == {}


def test_defaults_in_docstrings_are_those_of_the_signature():
    compared = 0
    for path, value, signature in with_parameters():
        for name, line in entries(inspect.getdoc(value)).items():
            stated = re.search(r", default (.+)$", line)
            if stated and name in signature.parameters:
                default = signature.parameters[name].default
                assert (path, name, ast.literal_eval(stated[1])) == (path, name, default)
                compared += 1
    assert compared > 60
