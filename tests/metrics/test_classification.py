"""Right and wrong, counted by hand and by scikit-learn."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import xpnet
from xpnet import metrics
from xpnet.metrics import classification

FEW = settings(max_examples=25, deadline=None, derandomize=True, database=None)

Y = [[0.9, 0.1, 0.0], [0.2, 0.3, 0.1], [0.0, 0.0, 5.0], [1.0, 2.0, 0.0]]  # 0, 1, 2, 1


@pytest.mark.parametrize(
    "t", [[0, 1, 2, 0], np.eye(3, dtype="float32")[[0, 1, 2, 0]]], ids=["numbers", "one-hot"]
)
def test_accuracy_is_the_share_of_correct_predictions(backend, t):
    """Three of four are right, on the device, in the scores' dtype."""
    a = metrics.accuracy(backend.asarray(Y), backend.asarray(t))
    assert a.dtype == backend.dtype
    assert float(a) == 0.75


def test_accuracy_of_a_variable_is_an_array(backend):
    """A metric has no history."""
    a = metrics.accuracy(xpnet.Variable(backend.asarray(Y)), backend.asarray([0, 1, 2, 1]))
    assert not isinstance(a, xpnet.Variable)
    assert float(a) == 1.0


@pytest.mark.parametrize("dtype", ["int32", "uint8"])
def test_confusion_matrix_has_the_truth_in_rows(backend, dtype):
    """One sample of class 0 is predicted as 1; the rest is on the diagonal."""
    matrix = metrics.confusion_matrix(
        backend.asarray(Y), backend.asarray([0, 1, 2, 0], dtype=dtype)
    )
    assert xpnet.to_numpy(matrix).tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("y", "t"),
    [
        ([[0.9], [0.1]], [[0], [1]]),  # the highest of one score is always the first
        ([[1.0, 0.0], [0.0, 1.0]], [[0], [1]]),
        ([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], [0]),
        ([0.9, 0.1], [0, 1, 1]),
    ],
)
def test_accuracy_refuses_targets_of_another_shape(backend, array, y, t):
    """They would broadcast, and give a number."""
    with pytest.raises(xpnet.ShapeError, match="accuracy expected scores of two classes or more"):
        metrics.accuracy(array(y), array(t))


def test_counts_do_not_depend_on_the_dtype_of_scores(backend, array):
    """300 of one class, scored in bytes that count to 255."""
    y = array([[1, 0]] * 300, backend.xp.uint8)
    t = array([0] * 300)
    assert xpnet.to_numpy(metrics.confusion_matrix(y, t)).tolist() == [[300, 0], [0, 0]]
    assert float(metrics.accuracy(y, t)) == 1.0
    with pytest.raises(xpnet.ShapeError, match="confusion_matrix expected"):
        metrics.confusion_matrix(y, array([0] * 299))


def test_confusion_matrix_takes_the_scores_of_a_network(backend, array):
    """Sequences, one-hot rows, one column of two classes' scores, class numbers."""
    y, t = np.float32(Y), np.asarray([0, 1, 2, 0])
    expected = [[1, 1, 0], [0, 1, 0], [0, 0, 1]]

    def counts(y, t, **options):
        matrix = metrics.confusion_matrix(array(y), array(t), **options)
        return xpnet.to_numpy(matrix).tolist()

    assert counts(y.reshape(2, 2, 3), t.reshape(2, 2)) == expected
    assert counts(y, np.eye(3, dtype="float32")[t]) == expected
    assert counts([0, 1, 2, 1], t) == expected
    assert counts([0, 0, 1], [0, 1, 1], classes=3) == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert counts([0.2, 0.5, 0.9], [0, 1, 1]) == [[1, 0], [1, 1]]
    assert counts([[-0.2], [0.1], [0.9]], [0, 1, 1], threshold=0.0) == [[1, 0], [0, 2]]
    assert counts([[-0.2], [0.1], [0.9]], [[0], [1], [1]], threshold=0.0) == [[1, 0], [0, 2]]
    assert counts(np.zeros((0, 2), "float32"), np.zeros(0, "int32")) == [[0, 0], [0, 0]]
    assert counts(y, [0, 1, -1, 3]) == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert counts([False, False], [0, 0]) == [[2, 0], [0, 0]]  # of two classes, in one dtype
    for scores, classes, expected in (y, 4, "3, as many as y has"), ([0, 1, 2, 0], 0, "1 or more"):
        message = f"confusion_matrix expected classes to be {expected}, got {classes}."
        with pytest.raises(xpnet.ShapeError, match=message):
            counts(scores, t, classes=classes)


def test_counts_are_exact_beyond_the_digits_of_float32(monkeypatch):
    """The result does not depend on the size of the blocks."""
    labels = np.ones(2**24 + 3, "uint8")
    matrix = metrics.confusion_matrix(labels, labels)
    assert matrix.tolist() == [[0, 0], [0, 2**24 + 3]]
    monkeypatch.setattr(classification, "BLOCK", 8)
    labels = np.asarray([0, 1, 2, 2, 1, 0, 0])
    assert metrics.confusion_matrix(labels, labels).tolist() == [[3, 0, 0], [0, 2, 0], [0, 0, 2]]


# Of class 0 there are two samples, of 1 one, of 2 one; chosen are 0, 1, 2, 1. Class 3 is absent.
BY_HAND = {
    "precision": ([1.0, 0.5, 1.0, 0.0], 2.5 / 3, 0.75, 3.5 / 4),
    "recall": ([0.5, 1.0, 1.0, 0.0], 2.5 / 3, 0.75, 0.75),
    "f1": ([2 / 3, 2 / 3, 1.0, 0.0], 7 / 9, 0.75, 0.75),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_rates_by_hand(backend, array, name):
    """Each average; a class that does not occur is in none of the means."""
    figure = getattr(metrics, name)
    y, t = array(np.c_[np.float32(Y), np.float32([-1.0] * 4)]), array([0, 1, 2, 0])
    of_each, macro, micro, weighted = BY_HAND[name]
    assert xpnet.to_numpy(figure(y, t, average=None)).tolist() == pytest.approx(of_each)
    assert float(figure(y, t, average="macro")) == pytest.approx(macro)
    assert float(figure(y, t, average="micro")) == pytest.approx(micro)
    assert float(figure(y, t, average="weighted")) == pytest.approx(weighted)
    value = figure(y, t, average="macro")
    assert (value.dtype, value.shape) == (backend.xp.float32, ())
    of_each = xpnet.to_numpy(figure(y, t, average=None, zero_division=math.nan))
    assert math.isnan(of_each[3])
    with pytest.raises(xpnet.ShapeError, match="is for two classes, got 4"):
        figure(y, t)
    with pytest.raises(ValueError, match="got 'all'"):
        figure(y, t, average="all")


def test_binary_rates_by_hand(backend, array):
    """Of three samples of class 1 two are found; one of class 0 is predicted as 1."""
    y, t = array([0.9, 0.6, 0.1, 0.7, 0.2]), array([1, 1, 1, 0, 0])
    assert float(metrics.precision(y, t)) == pytest.approx(2 / 3)
    assert float(metrics.recall(y, t)) == pytest.approx(2 / 3)
    assert float(metrics.precision(y, t, threshold=0.8)) == 1.0
    assert float(metrics.recall(y, t, threshold=0.8)) == pytest.approx(1 / 3)
    assert float(metrics.f1(y, t, threshold=0.95, zero_division=1.0)) == 0.0
    assert float(metrics.precision(y, t, threshold=0.95, zero_division=1.0)) == 1.0


@pytest.mark.parametrize(("k", "share"), [(1, 0.5), (2, 0.75), (3, 1.0), (9, 1.0)])
def test_top_k_by_hand(backend, array, k, share):
    """The right class is first, first, second and, of equal scores, third."""
    y = array([[0.9, 0.1, 0.0], [0.2, 0.3, 0.1], [1.0, 2.0, 0.0], [1.0, 1.0, 1.0]])
    for t in ([0, 1, 0, 2], np.eye(3, dtype="float32")[[0, 1, 0, 2]]):
        value = metrics.top_k_accuracy(y, array(t), k=k)
        assert (value.dtype, float(value)) == (backend.dtype, share)


def test_top_k_of_nan_scores_and_invalid_classes(backend, array):
    """A NaN is no success, nor is a class that does not exist."""
    y = array([[math.nan, 1.0], [math.nan, 1.0], [0.0, 1.0]])
    assert float(metrics.top_k_accuracy(y, array([0, 1, 2]), k=1)) == 0.0
    assert float(metrics.top_k_accuracy(y, array([0, 1, 2]), k=2)) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="k >= 1, got 0"):
        metrics.top_k_accuracy(y, array([0, 1, 1]), k=0)


def test_a_weighted_mean_whose_weights_are_all_zero():
    """The class that occurs is never predicted, and the predicted one does not occur: 0, as scikit-learn."""
    y, t = np.asarray([[0.0, 1.0]]), np.asarray([0])
    assert metrics.precision(y, t, average="weighted", zero_division=math.nan) == 0.0


def test_half_precision_counts_beyond_its_range():
    """70,000 correct predictions, with float16 scores, whose largest number is 65,504."""
    y = np.zeros((70000, 2), "float16")
    for figure in (metrics.accuracy, metrics.top_k_accuracy):
        value = figure(y, np.zeros(70000, "int32"))
        assert (value.dtype, value) == (np.float32, 1.0)


# --- scikit-learn -----------------------------------------------------------------------------


TWO_TO_FIVE = st.integers(2, 5)


@st.composite
def samples(draw, classes=TWO_TO_FIVE):
    """Scores with ties, and targets that may lack a class."""
    n, k = draw(st.integers(1, 12)), draw(classes)
    rows = st.lists(st.integers(-2, 2), min_size=k, max_size=k)
    y = draw(st.lists(rows, min_size=n, max_size=n))
    t = draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n))
    return np.asarray(y, "float64"), np.asarray(t)


@FEW
@given(
    samples(),
    st.sampled_from(["macro", "micro", "weighted", None]),
    st.sampled_from([0.0, 1.0, math.nan]),
)
def test_rates_are_scikit_learns(data, average, zero_division):
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle")
    (y, t), options = data, {"average": average, "zero_division": zero_division}
    chosen, labels = np.argmax(y, axis=1), range(y.shape[1])
    matrix = metrics.confusion_matrix(y, t)
    assert matrix.tolist() == sklearn.confusion_matrix(t, chosen, labels=labels).tolist()
    assert metrics.accuracy(y, t) == pytest.approx(sklearn.accuracy_score(t, chosen))
    every = {"labels": labels} if average is None else {}
    for name in ("precision", "recall", "f1"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = getattr(sklearn, f"{name}_score")(t, chosen, **options, **every)
        value = getattr(metrics, name)(y, t, **options)
        np.testing.assert_allclose(value, expected, rtol=1e-12, err_msg=name)


@FEW
@given(samples(classes=st.just(2)), st.sampled_from([0.0, 1.0]))
def test_binary_rates_are_scikit_learns(data, zero_division):
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle")
    y, t = data
    for name in ("precision", "recall", "f1"):
        expected = getattr(sklearn, f"{name}_score")(t, y[:, 1] > 0, zero_division=zero_division)
        value = getattr(metrics, name)(y[:, 1], t, threshold=0.0, zero_division=zero_division)
        assert value == pytest.approx(expected)


@FEW
@given(samples(classes=st.integers(3, 5)), st.integers(1, 4))
def test_top_k_is_scikit_learns(data, k):
    """With the classes the other way round: of equal scores it takes the last, xpnet the first."""
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle")
    y, t = data
    classes = y.shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that k = all classes is no use
        expected = sklearn.top_k_accuracy_score(
            classes - 1 - t, y[:, ::-1], k=k, labels=range(classes)
        )
    assert metrics.top_k_accuracy(y, t, k=k) == pytest.approx(expected)
