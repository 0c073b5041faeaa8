"""Losses: values against formulas, gradients against differences, corners against conventions."""

import math

import numpy as np
import pytest

import xpnet
from xpnet import ShapeError, Variable, functions as F, gradients, to_numpy
from xpnet.testing import assert_close, check_gradients

SCORES = [[1.0, -2.0, 0.5], [0.0, 3.0, -1.0], [2.0, 2.0, 2.0], [-1.0, 0.25, 0.75]]
CLASSES = [2, 1, 0, 2]
ONE_HOT = [[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 1]]


def cross_entropy(rows, weights):
    """-sum(w log softmax(x)) / n, in plain Python."""
    total = 0.0
    for row, w in zip(rows, weights, strict=True):
        log_sum = math.log(math.fsum(math.exp(x) for x in row))
        total += math.fsum(wi * (log_sum - xi) for wi, xi in zip(w, row, strict=True))
    return total / len(rows)


def test_softmax_cross_entropy_of_class_numbers(backend64, array):
    """The formula; and the fused node equals the composite, to the third derivative."""
    x, t = array(SCORES), array(CLASSES)
    onehot = array(np.eye(3)[CLASSES].tolist())

    def composite(x):
        return -F.sum(F.log_softmax(x) * onehot) / 4

    assert_close(F.softmax_cross_entropy(x, t), cross_entropy(SCORES, ONE_HOT), rtol=1e-14)
    assert_close(F.softmax_cross_entropy(Variable(x), t), composite(x), rtol=1e-14)
    v, w = Variable(x), Variable(x)
    (g,) = gradients(F.softmax_cross_entropy(v, t), [v])
    (expected,) = gradients(composite(w), [w])
    assert_close(g, expected, rtol=1e-13, atol=1e-16)
    check_gradients(lambda x: F.softmax_cross_entropy(x, t), x, order=3)


def test_softmax_cross_entropy_of_one_hot_rows(backend64, array):
    """Integer, boolean and floating one-hot rows give what class numbers give."""
    x, expected = array(SCORES), cross_entropy(SCORES, ONE_HOT)
    for rows in (ONE_HOT, np.asarray(ONE_HOT, bool), np.asarray(ONE_HOT, float).tolist()):
        assert_close(F.softmax_cross_entropy(Variable(x), array(rows)), expected, rtol=1e-14)


def test_softmax_cross_entropy_of_weights(backend64, array):
    """Any weights will do, also such that do not sum to 1; they have a gradient of their own."""
    weights = [[0.2, 0.3, 0.4], [1.0, 0.5, 0.0], [0.1, 0.1, 0.8], [0.0, 0.0, 2.0]]
    x, t = array(SCORES), array(weights)
    assert_close(F.softmax_cross_entropy(x, t), cross_entropy(SCORES, weights), rtol=1e-14)
    check_gradients(F.softmax_cross_entropy, x, t)


def test_softmax_cross_entropy_of_sequences(backend64, array):
    """Classes stand on the last axis; the mean is over all others."""
    x, t = array([SCORES, SCORES]), array([CLASSES, CLASSES])
    expected = cross_entropy(SCORES, ONE_HOT)
    assert_close(F.softmax_cross_entropy(x, t), expected, rtol=1e-14)
    check_gradients(lambda x: F.softmax_cross_entropy(x, t), x)


def test_softmax_cross_entropy_of_large_scores(backend, array):
    """No overflow: a sure and right answer costs 0 nats, a sure and wrong one its score."""
    x, t = array([[1e4, 0.0], [1e4, 0.0]]), array([0, 1])
    assert_close(F.softmax_cross_entropy(x, t), 5e3)


@pytest.mark.parametrize("label", [3, -1])
def test_class_number_out_of_range_is_infinite(backend, array, label):
    """Never a plausible loss."""
    t = array([2, 1, label, 2])
    assert to_numpy(F.softmax_cross_entropy(Variable(array(SCORES)), t)) == math.inf


def test_softmax_cross_entropy_refuses_what_does_not_fit(backend, array):
    """Shapes and dtypes of targets that are neither class numbers nor rows."""
    x = array(SCORES)
    with pytest.raises(ShapeError, match=r"shape \(4,\) \(class numbers\) or \(4, 3\) \(one-hot\)"):
        F.softmax_cross_entropy(x, array([[2], [1], [0], [2]]))
    with pytest.raises(TypeError, match=r"expected integer class numbers, got .*float32"):
        F.softmax_cross_entropy(x, array([2.0, 1.0, 0.0, 2.0]))


def test_mean_squared_error(backend64, array):
    """mean((y - t)^2) over all numbers: (1 + 0 + 4 + 9) / 4."""
    y, t = array([[1.0, 2.0], [3.0, 4.0]]), array([[0.0, 2.0], [1.0, 7.0]])
    assert_close(F.mean_squared_error(y, t), 3.5)
    check_gradients(F.mean_squared_error, y, t)


@pytest.mark.parametrize(
    "loss", ["mean_squared_error", "binary_cross_entropy", "binary_cross_entropy_with_logits"]
)
def test_targets_do_not_broadcast(backend, array, loss):
    """(3, 1) against (3,) is an error that names both shapes."""
    with pytest.raises(ShapeError, match=rf"{loss} expected .* \(3, 1\), got \(3,\). Reshape"):
        getattr(F, loss)(array([[0.5], [0.5], [0.5]]), array([1.0, 0.0, 1.0]))


def test_binary_cross_entropy(backend64, array):
    """The formula, of probabilities; and the same from scores."""
    scores, targets = [-3.0, 0.0, 0.5, 2.0], [0.0, 1.0, 0.3, 1.0]
    probabilities = [1.0 / (1.0 + math.exp(-s)) for s in scores]
    expected = -math.fsum(
        t * math.log(p) + (1 - t) * math.log(1 - p)
        for p, t in zip(probabilities, targets, strict=True)
    ) / len(targets)
    t = array(targets)
    assert_close(F.binary_cross_entropy(array(probabilities), t), expected, rtol=1e-12)
    assert_close(F.binary_cross_entropy_with_logits(array(scores), t), expected, rtol=1e-12)
    check_gradients(F.binary_cross_entropy, array(probabilities), t)
    check_gradients(F.binary_cross_entropy_with_logits, array(scores), t, order=3)


def test_binary_cross_entropy_is_finite_at_the_ends(backend, array):
    """A probability of exactly 0 or 1 costs -log(1e-7) nats when wrong, nothing when right."""
    y = F.binary_cross_entropy(array([0.0, 1.0]), array([0.0, 1.0]))
    assert_close(y, 0.0, atol=2e-7)
    y = F.binary_cross_entropy(array([0.0, 0.0]), array([1.0, 1.0]))
    assert_close(y, -math.log(1e-7), rtol=1e-5)


def test_binary_cross_entropy_with_logits_of_large_scores(backend, array):
    """No overflow: a wrong answer costs its score."""
    y = F.binary_cross_entropy_with_logits(array([1e4, -1e4]), array([0.0, 0.0]))
    assert_close(y, 5e3)


def test_a_class_that_is_ruled_out_has_no_share(backend, array):
    """A score of -inf: the loss is that of the others, log(1 + e), and so is the gradient."""
    x = Variable(array([[0.0, 1.0, -math.inf]]))
    for t in (array([0]), array([[1.0, 0.0, 0.0]])):
        loss = F.softmax_cross_entropy(x, t)
        assert float(loss) == pytest.approx(math.log(1.0 + math.e), rel=1e-6)
        e = 1.0 / (1.0 + math.exp(-1.0))
        assert_close(gradients(loss, [x])[0], [[-e, e, 0.0]], rtol=1e-5, atol=1e-7)


def test_labels_in_bytes_of_more_classes_than_bytes_count(backend, array):
    """Class 2 of 300, all scores equal: log 300."""
    loss = F.softmax_cross_entropy(array([[0.0] * 300]), array([2], backend.xp.uint8))
    assert float(loss) == pytest.approx(math.log(300.0), rel=1e-6)


@pytest.mark.parametrize(
    "loss",
    [F.mean_squared_error, F.binary_cross_entropy, F.binary_cross_entropy_with_logits],
)
def test_targets_may_be_integers(backend, array, loss):
    """The same number as of floats, and float32 stays float32."""
    y = array([[0.25], [0.75]])
    found, expected = loss(y, array([[0], [1]])), loss(y, array([[0.0], [1.0]]))
    assert found.dtype == backend.dtype
    assert_close(found, expected)


def test_probabilities_of_one_in_half_precision(backend, array):
    """1 - 1e-7 is 1 there, and its logarithm would be -inf."""
    if not hasattr(backend.xp, "float16"):
        pytest.skip("float16 is none of the standard's dtypes; this library keeps to those")
    y, t = (array(v, backend.xp.float16) for v in ([1.0, 0.0], [1.0, 1.0]))
    loss = float(F.binary_cross_entropy(y, t))
    assert loss == pytest.approx(-math.log(2.0**-11) / 2.0, rel=2e-2)


def test_integer_predictions_are_not_squeezed_into_their_bytes():
    """(0 - 300)^2 and (0 - 200)^2: 65000 on average."""
    with xpnet.using("numpy") as backend:
        y, t = backend.asarray([0, 0], "int8"), backend.asarray([300, 200])
        assert float(F.mean_squared_error(y, t)) == 65000.0
        with pytest.raises(TypeError, match="target of real numbers, got complex128"):
            F.mean_squared_error(backend.asarray([1.0]), backend.asarray([1.0 + 5.0j]))
