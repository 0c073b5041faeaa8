"""Curves of a training show the numbers of its history."""

import io
import subprocess
import sys

import pytest

pytest.importorskip("matplotlib")

from PIL import Image

from xpnet import plots
from xpnet.training import History


@pytest.fixture
def history():
    """A history of two epochs."""
    history = History()
    for row in ((1, 0.5, 0.90, 0.4, 0.91), (2, 0.2, 0.97, 0.3, 0.95)):
        names = ("epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy")
        history.append(dict(zip(names, row, strict=True)))
    return history


def test_curves_are_the_columns(history):
    """Each metric has a panel, each column a line; accuracy is in per cent, and axes have labels."""
    loss, accuracy = plots.curves(history).axes
    assert (loss.get_xlabel(), loss.get_ylabel()) == ("epoch", "loss (mean over samples)")
    assert accuracy.get_ylabel() == "accuracy (%)"
    train, test = loss.lines
    assert list(train.get_xdata()) == [1, 2]
    assert list(train.get_ydata()) == [0.5, 0.2]
    assert list(test.get_ydata()) == [0.4, 0.3]
    assert list(accuracy.lines[1].get_ydata()) == [91.0, 95.0]
    texts = [t.get_text() for t in accuracy.get_legend().get_texts()]
    assert texts == ["train, 97.00 %", "test, 95.00 %"]


def test_the_legend_has_the_figures_of_the_weights_that_are_kept(history):
    """Not those of the last epoch, with which no test of the run agrees."""
    history.kept = 1
    loss, accuracy = plots.curves(history).axes
    texts = [t.get_text() for t in accuracy.get_legend().get_texts()]
    assert texts == ["train, 90.00 %", "test, 91.00 %"]
    for axes in (loss, accuracy):
        assert axes.get_legend().get_title().get_text() == "after epoch 1, whose weights are kept"
        assert list(axes.lines[0].get_xdata()) == [1, 1]


def test_r2_is_labelled_as_people_write_it():
    history = History()
    history.append({"epoch": 1, "train_r2": 0.5, "train_absolute_error": 2.0})
    labels = [axes.get_ylabel() for axes in plots.curves(history).axes]
    assert labels == ["R²", "absolute error"]


def test_curves_without_test_data_or_epochs_are_drawn():
    """Without test data there is one line; without epochs there is a note."""
    history = History()
    assert "no epoch was finished" in [t.get_text() for t in plots.curves(history).axes[0].texts]
    history.append({"epoch": 1, "train_loss": 0.5})
    (axes,) = plots.curves(history).axes
    assert len(axes.lines) == 1


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_suffix_is_the_format(history, tmp_path, suffix):
    """No temporary file is left in the folder."""
    path = tmp_path / f"curves{suffix}"
    plots.curves(history, path)
    sign = {".png": b"\x89PNG", ".svg": b"<svg", ".pdf": b"%PDF"}[suffix]
    assert sign in path.read_bytes()[:1000]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_notebook_displays_the_figure(history):
    """pyplot, which usually makes it do so, is not used."""
    data, size = plots.curves(history)._repr_png_()
    picture = Image.open(io.BytesIO(data))
    assert picture.format == "PNG"
    assert picture.width / size["width"] == pytest.approx(150 / 80, rel=0.01)  # not coarse


def test_the_picture_is_not_empty(history, tmp_path):
    """It has the red and the grey of the lines on white, and a readable size."""
    plots.curves(history, tmp_path / "c.png")
    image = Image.open(tmp_path / "c.png").convert("RGB")
    assert image.width > 1000
    colours = {colour: n for n, colour in image.getcolors(image.width * image.height)}
    for colour in ((0xC4, 0x31, 0x4B), (0x8A, 0x8A, 0x8A)):
        assert colours[colour] > 500
    assert colours[(255, 255, 255)] > image.width * image.height / 2


def test_the_callers_matplotlib_is_left_alone(tmp_path):
    """Drawing does not import pyplot, which chooses a backend and keeps figures open."""
    code = (
        "import sys, xpnet.plots as p, xpnet.training as t; p.curves(t.History(), sys.argv[1]);"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "c.png"], check=True)
    assert (tmp_path / "c.png").stat().st_size > 1000


def test_chosen_metrics_are_drawn(history):
    """More than three panels take a second row."""
    (axes,) = plots.curves(history, names=["accuracy"]).axes
    assert axes.get_ylabel() == "accuracy (%)"
    for row in history.rows:
        row |= {f"train_{name}": 0.5 for name in ("f1", "recall")}
    figure = plots.curves(history)
    assert [a.get_ylabel() for a in figure.axes if a.axison] == [
        "loss (mean over samples)", "accuracy (%)", "f1", "recall",
    ]  # fmt: skip
    assert tuple(figure.get_size_inches()) == (pytest.approx(13.8), pytest.approx(8.0))


def test_without_matplotlib_the_error_says_what_to_install(history, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "xpnet\[plots\]"'):
        plots.curves(history)
