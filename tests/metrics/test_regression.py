"""Errors of numbers, by hand and by scikit-learn."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import xpnet
from xpnet import metrics

FEW = settings(max_examples=25, deadline=None, derandomize=True, database=None)


def test_by_hand(backend, array):
    """Errors of -1, 0, 2 about targets 1, 2, 3, whose squares about their mean are 2."""
    y, t = array([0.0, 2.0, 5.0]), array([1.0, 2.0, 3.0])
    assert float(metrics.mean_absolute_error(y, t)) == 1.0
    assert float(metrics.mean_squared_error(y, t)) == pytest.approx(5 / 3)
    assert float(metrics.r2(y, t)) == pytest.approx(1 - 5 / 2)
    for figure in (metrics.mean_absolute_error, metrics.mean_squared_error, metrics.r2):
        assert (figure(y, t).dtype, figure(y, t).shape) == (backend.dtype, ())
        assert float(figure(y, array([1, 2, 3]))) == float(figure(y, t))  # targets that count


def test_r2_of_columns_and_of_constants(backend, array):
    """A perfect column, a constant one that is predicted, and one that is not; NaN for one sample."""
    t = array([[1.0, 2.0, 0.1], [2.0, 2.0, 0.1], [4.0, 2.0, 0.1]])
    y = array([[1.0, 2.0, 0.1], [2.0, 2.0, 0.1], [4.0, 2.0, 0.2]])
    assert xpnet.to_numpy(metrics.r2(y, t, average=None)).tolist() == [1.0, 1.0, 0.0]
    assert float(metrics.r2(y, t)) == pytest.approx(2 / 3)
    assert float(metrics.r2(y, t, average="variance")) == 1.0
    assert math.isnan(float(metrics.r2(y[:1, :], t[:1, :])))
    with pytest.raises(ValueError, match="got 'macro'"):
        metrics.r2(y, t, average="macro")


def test_r2_of_large_targets(backend, array):
    """Targets near a million, whose squares float32 could not distinguish."""
    t = array([1e6 + 1.0, 1e6 + 2.0, 1e6 + 3.0])
    assert float(metrics.r2(array([1e6 + 1.0, 1e6 + 2.0, 1e6 + 4.0]), t)) == 0.5


@pytest.mark.parametrize("name", ["mean_absolute_error", "mean_squared_error", "r2"])
def test_a_column_and_a_row_do_not_broadcast(backend, array, name):
    with pytest.raises(
        xpnet.ShapeError, match=rf"{name} expected y and t of one shape, got \(3, 1\)"
    ):
        getattr(metrics, name)(array([[1.0], [2.0], [3.0]]), array([1.0, 2.0, 3.0]))


@FEW
@given(st.data())
def test_they_are_scikit_learns(data):
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle")
    n, k = data.draw(st.integers(2, 8)), data.draw(st.integers(1, 3))
    row = st.lists(st.integers(-3, 3), min_size=k, max_size=k)
    y, t = (
        np.asarray(data.draw(st.lists(row, min_size=n, max_size=n)), "float64") / 4
        for _ in range(2)
    )
    assert metrics.mean_absolute_error(y, t) == pytest.approx(sklearn.mean_absolute_error(t, y))
    assert metrics.mean_squared_error(y, t) == pytest.approx(sklearn.mean_squared_error(t, y))
    averages = {"uniform": "uniform_average", "variance": "variance_weighted", None: "raw_values"}
    for ours, theirs in averages.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = sklearn.r2_score(t, y, multioutput=theirs)
        np.testing.assert_allclose(metrics.r2(y, t, average=ours), expected, atol=1e-12)
