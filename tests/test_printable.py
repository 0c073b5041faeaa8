"""Strings from outside are printed without control characters, and are aligned by their width."""

import pytest
from hypothesis import given, strategies as st
from rich.cells import cell_len

import xpnet
from xpnet import Layer, errors
from xpnet._printable import cells, padded, printable
from xpnet.summary import summary

ESCAPED = {
    "\x1b[2J": r"\x1b[2J",  # this clears the screen
    "\x1b]0;title\x07": r"\x1b]0;title\x07",  # this sets the title of the window
    "\x9b31m": r"\x9b31m",  # one character that means ESC [
    "a\x00b\x7f": r"a\x00b\x7f",
    "a\rb\nc\td": r"a\rb\nc\td",
    "\u202egpj.exe\u2066": r"\u202egpj.exe\u2066",
    "\u200e\u200f\u2028\u2029": r"\u200e\u200f\u2028\u2029",
    "zero\u200bwidth\ufeff": r"zero\u200bwidth\ufeff",
    "caf\udce9.csv": r"caf\xe9.csv",
    "\ud800": r"\ud800",
    "\U000e0041": r"\U000e0041",  # an invisible tag
}
KEPT = ["", "plain [red] :smile: \\n", "café", "사과 가격", "日本語", "ἀλφα", "שלום", "नमस्ते",
        "e\u0301", "👩\u200d🔬", "क्\u200cष", "\u3000\xa0", "🏳️"]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), ESCAPED.items())
def test_control_characters_are_escaped(text, expected):
    assert printable(text) == expected
    assert printable(f"x {text} y") == f"x {expected} y"


@pytest.mark.parametrize("text", KEPT)
def test_letters_of_every_script_are_kept(text):
    assert printable(text) == text


def test_characters_in_keep_are_not_escaped():
    assert printable("a\nb\tc\r", keep="\n\t") == "a\nb\tc\\r"


@given(st.text(st.characters(min_codepoint=0, max_codepoint=0x10FFFF, exclude_categories=())))
def test_the_result_can_be_encoded_and_is_printable(text):
    found = printable(text)
    assert found.encode("utf-8").decode("utf-8") == found == printable(found)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in found)
    assert len(found.splitlines()) <= 1


@pytest.mark.parametrize("text", ["", "abc", "사과", "日本語ab", "e\u0301", "longer than that"])
def test_padded_strings_have_the_same_width(text):
    for right in (False, True):
        found = padded(text, 8, right)
        assert cell_len(found) == max(8, cells(text))
        assert found.strip() == text
        assert found.startswith(text) or right


@pytest.mark.parametrize("error", [errors.DataError, errors.MissingKeyError, errors.ShapeError])
def test_the_message_of_an_error_is_printed_without_control_characters(error):
    """This also holds in a traceback. The arguments of the error are unchanged."""
    caught = error("the class '\x1b[31mred\u202e' of\na 'file'")
    assert str(caught) == "the class '\\x1b[31mred\\u202e' of\na 'file'"
    assert caught.args == ("the class '\x1b[31mred\u202e' of\na 'file'",)


class TwoLayers(Layer):
    """A layer whose attributes have names with characters of different widths."""

    def __init__(self):
        self.first = xpnet.Affine(4, 4, rng=0)
        self.사과 = xpnet.Affine(4, 4, rng=0)

    def forward(self, x):
        return self.사과(self.first(x))


def test_the_rows_of_a_summary_have_the_same_width():
    rows = [line for line in str(summary(TwoLayers(), (4,))).splitlines() if "Affine" in line]
    assert [row.split(":")[0].strip() for row in rows] == ["first", "사과"]
    assert len({cell_len(row) for row in rows}) == 1
    assert len({len(row) for row in rows}) == 2
