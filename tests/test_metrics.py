"""Accuracy and confusion by counting by hand."""

import numpy as np
import pytest

import xpnet
from xpnet import metrics

Y = [[0.9, 0.1, 0.0], [0.2, 0.3, 0.1], [0.0, 0.0, 5.0], [1.0, 2.0, 0.0]]  # 0, 1, 2, 1


@pytest.mark.parametrize(
    "t", [[0, 1, 2, 0], np.eye(3, dtype="float32")[[0, 1, 2, 0]]], ids=["numbers", "one-hot"]
)
def test_accuracy_counts_the_right_ones(backend, t):
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
    """One of class 0 was taken for 1; the rest is on the diagonal."""
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


def test_counts_do_not_depend_on_the_scores_type(backend, array):
    """300 of one class, scored in bytes that count to 255."""
    y = array([[1, 0]] * 300, backend.xp.uint8)
    t = array([0] * 300)
    assert xpnet.to_numpy(metrics.confusion_matrix(y, t)).tolist() == [[300, 0], [0, 0]]
    assert float(metrics.accuracy(y, t)) == 1.0
    with pytest.raises(xpnet.ShapeError, match="confusion_matrix expected"):
        metrics.confusion_matrix(y, array([[1, 0]] * 300))
