"""The area under the curve, by counting pairs and by scikit-learn."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import xpnet
from xpnet import functions as F, metrics
from xpnet.metrics import ranking
from xpnet.metrics.ranking import AVERAGES

FEW = settings(max_examples=25, deadline=None, derandomize=True, database=None)
WAYS = [(way, average) for way, averages in AVERAGES.items() for average in averages]


def test_binary_by_hand(backend, array):
    """Of six pairs four are in order and one is a tie: 4.5 of 6."""
    y, t = [0.1, 0.4, 0.4, 0.8, 0.9], [0, 0, 1, 1, 0]
    for scores in (y, np.c_[y], np.c_[np.zeros(5), y]):
        area = metrics.roc_auc(array(np.float32(scores)), array(t))
        assert (area.shape, area.dtype) == ((), backend.dtype)
        assert float(area) == pytest.approx(3.5 / 6)
    assert float(metrics.roc_auc(array([1, 2, 3]), array([[0], [1], [1]]))) == 1.0


def test_scores_of_two_classes_are_compared_with_each_other(backend, array):
    """The order of column 1 alone is that of the samples' scale: it would have the area 0."""
    y, t = np.float32([[3.0, 5.0], [1.0, 2.0], [9.0, 8.0], [7.0, 6.5]]), [1, 1, 0, 0]
    assert float(metrics.roc_auc(array(y), array(t))) == 1.0
    large = 100.0 * (y - y.mean())  # in float32, the softmax of these is 0 or 1
    assert float(metrics.roc_auc(array(large), array([1, 0, 0, 0]))) == 1.0


def test_without_two_samples_to_compare_it_is_nan(backend, array):
    """One class alone, no samples, a score that is NaN."""
    for y, t in (([0.1, 0.2], [1, 1]), ([0.1, 0.2], [0, 0]), ([0.1, math.nan, 0.3], [0, 1, 1])):
        assert math.isnan(float(metrics.roc_auc(array(y), array(t))))
    y, t = array(np.float32([[0.2, 0.3, 0.5], [0.5, 0.2, 0.3]])), array([2, 0])
    areas = xpnet.to_numpy(metrics.roc_auc(y, t, average=None))
    assert areas[[0, 2]].tolist() == [1.0, 1.0]
    assert math.isnan(areas[1])


def test_three_classes_computed_by_hand(backend, array):
    """One score of class 0 is below one of the two others; classes 1 and 2 are in order."""
    y = array(np.float32([[0.4, 0.3, 0.3], [0.5, 0.2, 0.3], [0.45, 0.5, 0.05], [0.1, 0.1, 0.8]]))
    t = array([0, 0, 1, 2])
    areas = xpnet.to_numpy(metrics.roc_auc(y, t, average=None))
    assert areas.tolist() == pytest.approx([0.75, 1.0, 1.0])
    assert float(metrics.roc_auc(y, t)) == pytest.approx(2.75 / 3)
    assert float(metrics.roc_auc(y, t, average="weighted")) == pytest.approx(3.5 / 4)


def test_targets_in_other_forms():
    """One-hot rows; -1 for 0. Classes that are counted from 1 would give a wrong number."""
    y, t = np.float32([[0.4, 0.3, 0.3], [0.1, 0.2, 0.7], [0.5, 0.4, 0.1]]), np.asarray([0, 2, 1])
    assert metrics.roc_auc(y, np.eye(3)[t], average=None).tolist() == [0.5, 1.0, 1.0]
    assert metrics.roc_auc(y[:, 0], np.asarray([1, -1, 1])) == 1.0
    for scores, labels in (y, t + 1), (y, t - 1), (y[:, 0], [1, 2, 1]), (y[:, 0], [-2, 1, 1]):
        with pytest.raises(xpnet.DataError, match="class numbers from 0 to [12]; t has others"):
            metrics.roc_auc(scores, np.asarray(labels))


def test_invalid_shapes_and_averages_are_errors(backend, array):
    with pytest.raises(xpnet.ShapeError, match=r"got \(2, 3\) and \(3,\)"):
        metrics.roc_auc(array(np.zeros((2, 3), dtype="float32")), array([0, 1, 2]))
    with pytest.raises(ValueError, match="got 'ovo' and 'micro'"):
        metrics.roc_auc(array([0.1, 0.2]), array([0, 1]), average="micro", multi_class="ovo")


@FEW
@given(st.data())
def test_binary_is_scikit_learns(data):
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle")
    n = data.draw(st.integers(2, 30))
    y = np.asarray(data.draw(st.lists(st.integers(-3, 3), min_size=n, max_size=n)), "float64")
    t = np.asarray(data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    if len(set(t.tolist())) == 2:
        assert metrics.roc_auc(y, t) == pytest.approx(sklearn.roc_auc_score(t, y), rel=1e-12)


@FEW
@given(
    st.data(),
    st.sampled_from(WAYS),
)
def test_several_classes_are_scikit_learns(data, way):
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle")
    (multi_class, average), k = way, data.draw(st.integers(3, 5))
    n = data.draw(st.integers(k, 20))
    row = st.lists(st.integers(1, 3), min_size=k, max_size=k)
    y = np.asarray(data.draw(st.lists(row, min_size=n, max_size=n)), "float64")
    y = y / y.sum(axis=1, keepdims=True)
    t = np.asarray(
        [*range(k), *data.draw(st.lists(st.integers(0, k - 1), min_size=n - k, max_size=n - k))]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = sklearn.roc_auc_score(t, y, average=average, multi_class=multi_class)
    value = metrics.roc_auc(y, t, average=average, multi_class=multi_class)
    np.testing.assert_allclose(value, expected, rtol=1e-12)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_scores_have_the_area_of_their_softmax(classes, way):
    """As a metric of a training, it is given what the network returns."""
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle")
    multi_class, average = way
    rng = np.random.default_rng(classes)
    t = np.arange(60) % classes
    scores = rng.normal(size=(60, classes)) + np.eye(classes)[t] + 3.0 * rng.normal(size=(60, 1))
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    if classes == 2:
        expected = sklearn.roc_auc_score(t, p[:, 1])
    else:
        expected = sklearn.roc_auc_score(t, p, average=average, multi_class=multi_class)
    for y in (scores, p):
        value = metrics.roc_auc(y, t, average=average, multi_class=multi_class)
        np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_the_work_grows_with_the_number_of_scores(monkeypatch):
    """Not with the square of the number of classes, of which there may be thousands."""
    sizes = []

    def counting(x, axis):
        sizes.append(x.size)
        return F.logsumexp(x, axis=axis)

    monkeypatch.setattr(ranking, "logsumexp", counting)
    y = np.random.default_rng(0).normal(size=(20, 100))
    metrics.roc_auc(y, np.arange(20) % 10)
    assert 0 < sum(sizes) <= 6 * y.size


def test_the_sum_of_scores_in_16_bits_does_not_overflow():
    """Whether they are probabilities is seen from their sum, in float32."""
    y = np.float16([[6e4, 3e4, 1e4], [1e4, 6e4, 2e4], [3e4, 2e4, 6e4]])
    assert metrics.roc_auc(y, np.arange(3)) == 1.0
