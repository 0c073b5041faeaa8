"""The report has the right numbers as text, is accessible, and loads nothing."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import xpnet
from xpnet.report import report
from xpnet.training import History

RNG = np.random.default_rng(0)
TARGETS = np.asarray([0, 0, 0, 1, 1, 2])
SCORES = (
    np.eye(4, dtype="float32")[[0, 0, 1, 1, 1, 0]] * 3.0
)  # class 3 neither occurs nor is predicted
IMAGES = RNG.uniform(size=(6, 5, 4)).astype("float32")
HISTORY = [
    {"epoch": i, "train_loss": 1.0 / i, "test_loss": 1.5 / i, "train_accuracy": 0.5, "seconds": 1.0}
    for i in (1, 2, 3)
]
EVIL = "<script>alert(\"x\")</script> & 'co'"


class Page(HTMLParser):
    """The elements of a page, and the text of its cells by table. Tags must be closed in order."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.tables, self.text = [], [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.text += data
        if self.open and {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data

    def of(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def page(path, *args, **options):
    return Page(report(path, *args, **options).read_text(encoding="utf-8"))


def test_the_report_of_a_classification(tmp_path, backend, array):
    """Four of six predictions are correct; the figures are computed by hand."""
    found = page(
        tmp_path / "r.html",
        array(SCORES),
        array(TARGETS),
        images=array(IMAGES),
        classes=["a", "b", "c", "d"],
        history=HISTORY,
        config={"lr": 0.1, "hidden": [8, 4], "data_dir": None},
        versions={"xpnet": "0"},
        title="Six letters",
    )
    counts, of_each, epochs, settings, versions = found.tables
    assert counts[1:] == [
        ["a", "2", "1", "", ""], ["b", "", "2", "", ""], ["c", "1", "", "", ""], ["d", "", "", "", ""],
    ]  # fmt: skip
    assert of_each == [
        ["Class", "Precision", "Recall", "F1", "Samples", "Most often taken for"],
        ["a", "66.67 %", "66.67 %", "66.67 %", "3", "b (1)"],
        ["b", "66.67 %", "100.00 %", "80.00 %", "2", "-"],
        ["c", "-", "0.00 %", "0.00 %", "1", "a (1)"],
        ["d", "-", "-", "-", "0", "-"],
    ]
    assert epochs[0] == ["epoch", "train loss", "test loss", "train accuracy", "seconds"]
    assert epochs[3][:3] == ["3", "0.333333", "0.5"]
    assert settings[1:] == [["lr", "0.1"], ["hidden", "[8, 4]"], ["data_dir", "-"]]
    assert versions[1:] == [["xpnet", "0"]]
    for text in ("Six letters", "66.67 %", "Wrong of 6"):
        assert text in found.text
    pictures = [attrs for attrs in found.of("img") if attrs["src"].startswith("data:image/png")]
    assert [attrs["alt"] for attrs in pictures] == [
        "Sample 2: a, taken for b", "Sample 5: c, taken for a",
    ]  # fmt: skip
    curves = [a["alt"] for a in found.of("img") if a["src"].startswith("data:image/svg+xml")]
    assert curves == [
        "Line chart of loss over 3 epochs: train from 1 to 0.3333, test from 1.5 to 0.5.",
        "Line chart of accuracy over 3 epochs: train from 0.5 to 0.5.",
    ]


def test_the_page_is_accessible_and_self_contained(tmp_path):
    """It has a language, a title, alternative texts and table headers, and no external address."""
    path = report(tmp_path / "r.html", SCORES, TARGETS, images=IMAGES, history=HISTORY)
    text = path.read_text(encoding="utf-8")
    found = Page(text)
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert found.of("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in found.of(
        "meta"
    )
    assert all(attrs["alt"] for attrs in found.of("img"))
    assert all(attrs.get("scope") in ("row", "col") for attrs in found.of("th"))
    assert len(found.of("caption")) == len(found.tables)
    assert len(found.of("h1")) == len(found.of("main")) == 1
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {tag for tag, _ in found.tags} & {"script", "link", "iframe", "object"} == set()
    assert all(a["src"].startswith("data:image/") for _, a in found.tags if "src" in a)
    assert re.findall(r"(?:href|url\(|@import|https?:)", text) == []


def test_text_is_escaped(tmp_path):
    """Names, titles and settings may contain markup."""
    found = page(
        tmp_path / "r.html", SCORES, TARGETS, images=IMAGES, title=EVIL,
        classes=[EVIL, "b", "c", "d"], config={EVIL: EVIL, "more": {EVIL: 1}}, versions={EVIL: EVIL},
    )  # fmt: skip
    assert found.of("script") == []
    assert found.tables[0][1][0] == EVIL
    assert found.of("img")[0]["alt"] == f"Sample 2: {EVIL}, taken for b"
    assert found.tables[2][1] == [EVIL, EVIL]


def test_images_history_and_mistakes_may_be_missing(tmp_path):
    """Without images mistakes are a table; without mistakes or epochs there is a note."""
    found = page(tmp_path / "r.html", SCORES, TARGETS)
    assert found.tables[2][1:] == [
        ["2", "1", "87.00 %", "0", "4.33 %"],
        ["5", "0", "87.00 %", "2", "4.33 %"],
    ]
    assert found.tables[3][1][:1] == ["xpnet"]
    assert found.of("img") == []
    found = page(tmp_path / "r.html", SCORES[:2], TARGETS[:2], history=History())
    assert "All predictions are correct." in found.text
    assert "No epoch was finished." in found.text


def test_samples_may_have_names(tmp_path):
    """A name may be the line of a file; it is escaped like all text."""
    names = ["line 2", "line 3", "<b>", "line 5", "line 6", "line 9"]
    found = page(tmp_path / "r.html", SCORES, TARGETS, samples=names)
    assert [row[0] for row in found.tables[2][1:]] == ["<b>", "line 9"]
    pictures = np.zeros((6, 4, 4))
    found = page(tmp_path / "r.html", SCORES, TARGETS, samples=names, images=pictures)
    assert [image["alt"].partition(":")[0] for image in found.of("img")] == [
        "Sample <b>",
        "Sample line 9",
    ]


def test_two_classes_and_many_classes(tmp_path):
    """Two classes have an area under the curve; the matrix of more than 40 classes is a plot."""
    found = page(tmp_path / "r.html", [[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]], [1, 0, 1])
    assert "ROC AUC0.5000" in found.text
    found = page(tmp_path / "r.html", np.eye(41)[[0, 1, 2]], [0, 1, 1])
    assert "Confusion matrix of 41 classes" in found.of("img")[0]["alt"]


def test_long_names_keep_columns_narrow(tmp_path):
    """They are rotated in the matrix, and wrapped in the other tables."""
    names = ["a rather long name, of a class", "b", "c", "d"]
    for classes, kind in ((names, "counts long"), (None, "counts")):
        found = page(tmp_path / "r.html", SCORES, TARGETS, classes=classes)
        assert [t["class"] for t in found.of("table")[:3]] == [kind, "taken", "mistaken"]


def test_large_numbers_have_all_their_digits(tmp_path):
    """Prices, for example, do not become 1.656e+04."""
    found = page(tmp_path / "r.html", [116560.0, 200000.0], [100000.0, 216560.0])
    assert "Mean absolute error16,560" in found.text


@pytest.mark.parametrize("shape", [(50,), (50, 1), (25, 2)])
def test_the_report_of_a_regression(tmp_path, shape):
    """Every error is 0.5, alternately above and below."""
    t = np.arange(50.0).reshape(shape)
    y = t + 0.5 * (-1.0) ** np.arange(50).reshape(shape)
    if shape == (50,):
        y = y[:, None]
    found = page(tmp_path / "r.html", y, t, history=HISTORY)
    assert "Mean absolute error0.5" in found.text
    assert "Root mean squared error0.5" in found.text
    score = 1.0 - 0.25 * 50 / (50 * (50**2 - 1) / 12)
    if shape[-1] != 2:
        assert f"R²{score:.4g}" in found.text
    assert found.of("img")[0]["alt"].startswith("Two scatter plots")


def test_training_images_are_embedded(tmp_path):
    """A PNG file, before the curves of the training; it scrolls on a narrow screen."""
    png = tmp_path / "samples.png"
    xpnet.plots.samples(IMAGES, TARGETS, path=png)
    found = page(tmp_path / "r.html", SCORES, TARGETS, training_images=png, history=HISTORY)
    image = next(i for i in found.of("img") if i["alt"].startswith("Training images of each class"))
    assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) == png.read_bytes()
    assert found.text.index("Training images") < found.text.index("3 epochs")


def test_r2_is_written_as_people_write_it(tmp_path):
    """In the text and the table of a regression's training; other names keep their digits."""
    row = {"train_r2": 0.5, "test_r2": 0.4, "train_of_r22": 1.0}
    history = [{"epoch": 1, **row}, {"epoch": 2, **row}]
    found = page(tmp_path / "r.html", np.arange(3.0), np.arange(3.0), history=history)
    assert found.tables[0][0] == ["epoch", "train R²", "test R²", "train of r22"]
    alternatives = [image["alt"] for image in found.of("img")]
    assert any(text.startswith("Line chart of R² over 2 epochs: train") for text in alternatives)


def test_a_single_epoch_has_the_singular(tmp_path):
    path = tmp_path / "r.html"
    report(path, np.eye(2), np.asarray([0, 1]), history=[{"epoch": 1, "train_loss": 0.5}])
    text = path.read_text(encoding="utf-8")
    assert "Line chart of loss over 1 epoch: train" in text
    assert "1 epochs" not in text


def test_arguments_that_do_not_fit_together_are_refused(tmp_path):
    """No file is written."""
    path = tmp_path / "r.html"
    for scores, targets, options, message in (
        (SCORES, TARGETS[:3], {}, r"got shapes \(6, 4\) and \(3,\)"),
        (SCORES[:0], TARGETS[:0], {}, "of the same samples"),
        (SCORES, TARGETS, {"classes": ["a"]}, "a name for each of 4 classes, got 1"),
        (SCORES, TARGETS, {"samples": ["a"]}, "a name for each of 6 samples, got 1"),
    ):
        with pytest.raises(xpnet.ShapeError, match=message):
            report(path, scores, targets, **options)
    assert list(tmp_path.iterdir()) == []
