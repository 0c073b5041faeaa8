"""Mistakes of a classification, and their plots."""

import math
import sys

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import xpnet
from xpnet import plots

SCORES = [[2.0, 0.0], [0.0, 3.0], [5.0, 0.0], [0.0, 1.0]]
TARGETS = [0, 0, 1, 0]


def test_mistakes_are_sorted_by_the_probability_of_the_actual_class(backend, array):
    """Three are wrong, with the probabilities sigmoid(-5) < sigmoid(-3) < sigmoid(-1)."""
    found = plots.mistakes(array(SCORES), array(TARGETS))
    assert [(m.sample, m.predicted, m.actual) for m in found] == [(2, 0, 1), (1, 1, 0), (3, 1, 0)]
    assert [m.actual_probability for m in found] == pytest.approx(
        [1 / (1 + math.exp(z)) for z in (5, 3, 1)]
    )
    assert [m.probability for m in found] == pytest.approx(
        [1 - m.actual_probability for m in found]
    )
    assert len(plots.mistakes(array(SCORES), array(TARGETS), count=1)) == 1
    with pytest.raises(
        xpnet.ArgumentTypeError, match=r"whole number, got .*worst_mistakes\(images"
    ):
        plots.mistakes(array(SCORES), array(TARGETS), array(SCORES))
    with pytest.raises(xpnet.ShapeError, match=r"got \(4, 2\) and \(3,\)"):
        plots.mistakes(array(SCORES), array([0, 0, 1]))
    with pytest.raises(
        xpnet.DataError, match="class numbers below 2, got the target 2 of sample 1"
    ):
        plots.mistakes(array(SCORES), array([0, 2, 1, -1]))


def texts(axes):
    return [t.get_text() for t in axes.texts]


def test_confusion_matrix_has_numbers_and_names(tmp_path):
    """A cell that counts 0 is empty; the color shows the share of the row."""
    figure = plots.confusion_matrix(
        np.asarray([[3, 1], [0, 4]]), ["cat", "dog"], tmp_path / "c.png"
    )
    axes, bar = figure.axes
    assert texts(axes) == ["3", "1", "4"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["cat", "dog"]
    assert np.asarray(axes.images[0].get_array()).tolist() == [[75.0, 25.0], [0.0, 100.0]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "actual class")
    assert bar.get_ylabel() == "share of the actual class (%)"
    assert (tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG"
    assert texts(plots.confusion_matrix(np.eye(31, dtype="int64")).axes[0]) == []
    with pytest.raises(xpnet.ShapeError, match=r"got shape \(2, 2\) and 3 names"):
        plots.confusion_matrix(np.eye(2), ["a", "b", "c"])


@pytest.mark.parametrize("shape", [(16,), (4, 4), (1, 4, 4), (4, 4, 1), (3, 4, 4), (4, 4, 3)])
def test_worst_mistakes_show_their_images(array, backend, shape):
    """Each has the predicted class, its probability and the actual class."""
    images = np.arange(4 * np.prod(shape), dtype="float32").reshape(4, *shape)
    figure = plots.worst_mistakes(array(images), array(SCORES), array(TARGETS), ["cat", "dog"])
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in shown] == [
        "cat, 99 %\nis dog", "dog, 95 %\nis cat", "dog, 73 %\nis cat",
    ]  # fmt: skip
    picture = np.asarray(shown[0].images[0].get_array())
    assert picture.shape == ((4, 4, 3) if 3 in shape else (4, 4))
    if shape == (4, 4):  # scaled from the minimum of those that are shown, 16, to the maximum, 63
        np.testing.assert_allclose(picture, (images[2] - 16) / 47, rtol=1e-5)


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    for module in ("matplotlib", "matplotlib.figure", "matplotlib.colors"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "xpnet\[plots\]"'):
        plots.confusion_matrix(np.eye(2, dtype=int), ["cat", "dog"])


def test_without_mistakes_there_is_a_note():
    figure = plots.worst_mistakes(np.zeros((1, 4)), [[1.0, 0.0]], [0])
    assert texts(figure.axes[0]) == ["all predictions are correct"]
