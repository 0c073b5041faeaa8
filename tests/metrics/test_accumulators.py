"""Batch by batch is all at once."""

import math

import numpy as np
import pytest

import xpnet
from xpnet import metrics

RNG = np.random.default_rng(0)
SCORES = RNG.integers(0, 5, (23, 3)).astype("float32")
LABELS = RNG.integers(0, 3, 23)
NUMBERS, TARGETS = (RNG.normal(1000.0, 1.0, (23, 2)).astype("float32") for _ in range(2))

PAIRS = {
    "confusion_matrix": (metrics.ConfusionMatrix, SCORES, {}),
    "precision": (metrics.Precision, SCORES, {"average": "macro"}),
    "recall": (metrics.Recall, SCORES, {"average": "weighted"}),
    "f1": (metrics.F1, SCORES, {"average": None}),
    "roc_auc": (metrics.RocAuc, SCORES, {"multi_class": "ovo"}),
    "r2": (metrics.R2, NUMBERS, {}),
}


def updated(metric, array, y, t, parts):
    for part in parts:
        metric.update(array(y[part]), array(t[part]))
    return metric


@pytest.mark.parametrize("name", PAIRS)
def test_accumulated_batches_equal_all_samples_at_once(backend, array, name):
    """For unequal batches, one of them empty; again after a reset; and from a saved state."""
    kind, y, options = PAIRS[name]
    t = TARGETS if name == "r2" else LABELS
    whole = xpnet.to_numpy(getattr(metrics, name)(array(y), array(t), **options))
    metric = kind(**options)
    assert metric.name == name
    assert math.isnan(metric.compute())
    parts = [slice(10), slice(10, 10), slice(10, 11), slice(11, 23)]
    for _ in range(2):
        metric.reset()
        updated(metric, array, y, t, parts)
        np.testing.assert_allclose(xpnet.to_numpy(metric.compute()), whole, rtol=1e-5)
    first = updated(kind(**options), array, y, t, parts[:2])
    second = kind(**options)
    second.load_state_dict(first.state_dict())
    updated(second, array, y, t, parts[2:])
    value = second.compute()
    assert xpnet.to_numpy(value).tolist() == xpnet.to_numpy(metric.compute()).tolist()
    assert updated(kind(**options, name="other"), array, y, t, parts[:1]).name == "other"


def test_batches_with_different_numbers_of_classes_are_an_error():
    """One class and three would broadcast."""
    for kind in metrics.ConfusionMatrix, metrics.Recall:
        metric = kind()
        metric.update(np.asarray([0, 0]), np.asarray([0, 0]))
        with pytest.raises(xpnet.ShapeError, match=r"Batches of 1 and 3 classes .* classes=10"):
            metric.update(np.asarray([0, 2]), np.asarray([2, 1]))


def test_metrics_of_variables_are_not_recorded(backend, array):
    """The state consists of arrays; for class numbers the number of classes must be given."""
    metric = metrics.F1(average="macro", classes=3)
    metric.update(xpnet.Variable(array([0, 1])), array([0, 1]))
    metric.update(array([2, 2]), array([2, 0]))
    assert float(metric.compute()) == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)
    assert not any(isinstance(x, xpnet.Variable) for x in metric.state_dict().values())
    assert repr(metric) == "F1('f1')"


@pytest.mark.parametrize("name", PAIRS)
def test_metrics_are_merged_from_their_states(backend, array, name):
    """As the ranks of a distributed training do; some of them may have no batch."""
    kind, y, options = PAIRS[name]
    t = TARGETS if name == "r2" else LABELS
    whole = xpnet.to_numpy(getattr(metrics, name)(array(y), array(t), **options))
    merged = kind(**options)
    for part in (slice(10), None, slice(10, 23)):
        other = kind(**options)
        if part is not None:
            other.update(array(y[part]), array(t[part]))
        merged.merge(other.state_dict())
    np.testing.assert_allclose(xpnet.to_numpy(merged.compute()), whole, rtol=1e-5)
    nothing = kind(**options)
    nothing.merge(kind(**options).state_dict())
    assert math.isnan(nothing.compute())
