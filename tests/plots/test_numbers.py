"""Predictions and their errors, point by point."""

import math

import pytest

pytest.importorskip("matplotlib")

import xpnet
from xpnet import plots


def test_each_prediction_and_each_error_is_a_point(backend, array):
    """NaN and infinite values are left out."""
    figure = plots.predictions(array([1.0, 2.5, math.nan]), array([1.0, 2.0, 3.0]))
    left, right = figure.axes
    assert left.collections[0].get_offsets().tolist() == [[1.0, 1.0], [2.0, 2.5]]
    assert right.collections[0].get_offsets().tolist() == [[1.0, 0.0], [2.5, 0.5]]
    assert [list(line) for line in left.lines[0].get_data()] == [[1.0, 2.5], [1.0, 2.5]]
    with pytest.raises(xpnet.ShapeError, match=r"got \(1, 1\) and \(1,\)"):
        plots.predictions(array([[1.0]]), array([1.0]))
