"""Names in plots are drawn literally: without mathematics or markup, in a font that has them."""

import io
import warnings

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.font_manager import fontManager
from matplotlib.text import Text

import xpnet
from xpnet import Variable, functions as F, plots
from xpnet.plots._graph import dot
from xpnet.plots._names import LONGEST, PREFERRED, drawn
from xpnet.report import report
from xpnet.training import History

MATHS = [
    "$0-$50",
    r"$\frac$",
    "$x_$",
    "price_$_per_$",
    "$5_off_$3",
    "$10_$20",
    "$ 0{ to $ 10",
    "$0_-^$10",
]
OTHERS = ["_hidden", "", " ", "%", "a{b}", r"\alpha", "<b>&", "x" * 5000, "\x1b[31m\u202e", "two\nlines",
          "caf\udce9", "ἀλφα ≤ β", "100 % & #"]  # fmt: skip
HANGUL = "버시컬러"


def written(figure):
    """The figure, after it was written in each format; a warning would be an error, as in all tests."""
    for kind in ("png", "svg", "pdf"):
        file = io.BytesIO()
        figure.savefig(file, format=kind)
        assert len(file.getvalue()) > 1000
    return figure


def shown(name):
    """A name as a plot shows it."""
    ((text,), _) = drawn([name])
    return text


def matrix(names):
    return plots.confusion_matrix(np.eye(len(names), dtype="int64"), names)


def worst(names):
    n = len(names)
    scores = np.roll(np.eye(n), 1, axis=1)
    return plots.worst_mistakes(np.zeros((n, 4, 4)), scores, np.arange(n), names, count=n)


def samples(names):
    return plots.samples(np.zeros((len(names), 4, 4)), np.arange(len(names)), names)


def gradient(names):
    model = xpnet.Sequential()
    model.named = {name: xpnet.Parameter(np.ones(2)) for name in names}
    for p in model.named.values():
        p.grad = np.ones(2)
    model.named_parameters = lambda: iter(model.named.items())
    return plots.gradient_flow(model)


def metrics(names):
    history = History()
    history.append({"epoch": 1, **{f"train_{name}": 0.5 for name in names}})
    return plots.curves(history)


FIGURES = {
    "matrix": matrix,
    "worst": worst,
    "samples": samples,
    "gradient": gradient,
    "metrics": metrics,
}


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
@pytest.mark.parametrize("names", [MATHS, OTHERS], ids=["mathematics", "others"])
def test_each_name_is_drawn_literally(draw, names):
    figure = written(draw(names))
    texts = {text.get_text(): text for text in figure.findobj(Text)}
    for name in names:
        expected = shown(name.replace("_", " ") if draw is metrics else name)
        found = [text for key, text in texts.items() if expected in key]
        assert found, (name, list(texts))
        assert expected == "" or not any(
            text.get_parse_math() for text in found if "$" in text.get_text()
        )
    assert figure.get_figwidth() * 150 < 2**16


def test_dollar_signs_are_drawn():
    """In mathematics they would be missing, and the text between them in another font."""
    figure = matrix(["$0-$50", "0-50", r"$\foo$", "b"])
    FigureCanvasAgg(figure).draw()
    wide = [text.get_window_extent().width for text in figure.axes[0].get_yticklabels()]
    assert wide[0] > 1.2 * wide[1]


@pytest.mark.parametrize("n", [2, 31, 45])
def test_a_report_may_have_names_like_formulas(tmp_path, n):
    """With more than 40 classes its matrix is a plot."""
    names = [MATHS[i % len(MATHS)] + str(i) for i in range(n)]
    scores = np.roll(np.eye(n), 1, axis=1)
    images = np.zeros((n, 4, 4))
    page = report(tmp_path / "r.html", scores, np.arange(n), images=images, classes=names)
    assert "$5_off_$34" in page.read_text("utf-8") or n < 5


def test_the_font_of_the_callers_settings_is_used(monkeypatch):
    """It is not replaced if it has all characters, and rcParams do not change."""
    before = dict(mpl.rcParams)
    assert "fontfamily" not in drawn(["plain", "é", "ἀ"])[1]
    matrix(["plain", "é"])
    assert dict(mpl.rcParams) == before
    monkeypatch.setitem(mpl.rcParams, "text.usetex", True)
    assert drawn(["a_b"])[1]["usetex"] is False


@pytest.fixture
def hangul(tmp_path):
    """A font that has the characters of HANGUL: the glyphs A to D of DejaVu, under other code points."""
    ttlib = pytest.importorskip("fontTools.ttLib")
    path = tmp_path / "Test.ttf"
    font = ttlib.TTFont(mpl.get_data_path() + "/fonts/ttf/DejaVuSans.ttf")
    for table in font["cmap"].tables:
        if table.isUnicode():
            table.cmap = {ord(c): table.cmap[ord(a)] for c, a in zip(HANGUL, "ABCD", strict=True)}
    for record in font["name"].names:
        if record.nameID in (1, 4, 16):
            record.string = "Test Hangul"
    font.save(path)
    before = list(fontManager.ttflist)
    fontManager.addfont(path)
    yield "Test Hangul"
    fontManager.ttflist = before


def has_without(name):
    """Whether a font other than this one has the characters of HANGUL."""
    return any(font.name in PREFERRED for font in fontManager.ttflist if font.name != name)


def has(letters):
    """Whether a font of this machine has the characters."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        drawn([letters])
    return not caught


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_an_installed_font_with_the_characters_is_used(draw, hangul):
    """There is no warning, which would be an error in tests."""
    figure = written(draw([HANGUL, "plain"]))
    found = [text for text in figure.findobj(Text) if HANGUL in text.get_text()]
    assert found
    for text in found:
        usual, other = text.get_fontfamily()
        assert usual == mpl.rcParams["font.family"][0]
        assert other == hangul or has_without(hangul)


@pytest.mark.skipif(has(HANGUL), reason="a font of this machine has the letters")
@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_characters_that_no_font_has_are_escaped_with_one_warning(draw):
    """Boxes in their place would make classes indistinguishable."""
    with pytest.warns(UserWarning, match="No installed font has 4 of the characters") as caught:
        figure = draw([HANGUL, "plain"])
    assert [warning.filename for warning in caught] == [__file__]
    texts = " ".join(text.get_text() for text in written(figure).findobj(Text))
    assert r"\ubc84\uc2dc\uceec\ub7ec" in texts


@pytest.mark.skipif(has("🙂"), reason="a font of this machine has it")
def test_emoji_are_escaped():
    with pytest.warns(UserWarning, match="1 of the characters to be drawn, such as '🙂'"):
        assert drawn(["🙂!"])[0] == [r"\U0001f642!"]


def test_long_names_are_cut():
    (text,), _ = drawn(["x" * 5000])
    assert text == "x" * (LONGEST - 1) + "…"
    assert drawn(["x" * LONGEST])[0] == ["x" * LONGEST]


def test_dot_escapes_names(tmp_path):
    """A line break would end a line of the file, and a surrogate could not be written."""
    x = Variable(np.asarray(2.0))
    text = dot(x * x, {'a"\n\x1b\udce9\\': x}, tmp_path / "g.dot")
    assert r'label="a\"\\n\\x1b\\xe9\\"' in text
    assert (tmp_path / "g.dot").read_text("utf-8") == text


def test_a_name_on_an_edge_is_escaped():
    x = Variable(np.asarray(2.0))
    y = x * x
    assert "<b>$&lt;\\x1b</b>" in dot(F.exp(y), {"$<\x1b": y})
