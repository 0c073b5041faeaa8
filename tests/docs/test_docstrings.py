"""Docstrings, which are plain text within numpydoc's sections, become reStructuredText."""

import inspect

import pytest

import xpnet
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
