"""Defaults are those of scikit-learn, or of the paper; for PyTorch's see test_pytorch.py.

Tests of functions, layers and optimizers pass their options, and would not notice if a default
changed. The defaults of the standard's functions are tested in tests/functions/test_values.py.
"""

import inspect
import pkgutil

import numpy as np
import pytest

import xpnet
from xpnet import functions as F, metrics
from xpnet.testing import assert_close


def defaults(callee):
    """{name: default} of the parameters that are optional."""
    found = inspect.signature(callee).parameters.values()
    return {p.name: p.default for p in found if p.default is not p.empty}


STATED = {  # defaults without a counterpart there, and their source
    "optimizers:LAMB": {
        "lr": 1e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-6,
        "weight_decay": 0.0,
    },  # its authors'
    "optimizers:Lion": {"lr": 1e-4, "betas": (0.9, 0.99), "weight_decay": 0.0},  # its authors' code
    "optimizers:Momentum": {"lr": 0.01, "momentum": 0.9},
    "optimizers:Nesterov": {"lr": 0.01, "momentum": 0.9},
    "training.learner:Learner": {"accumulate": 1},
    "training:Trainer": {"log_every": 0.25, "accumulate": 1},
    "training:Trainer.fit": {"epochs": 10, "batch_size": 100},
    "training.precision:MixedPrecision": {
        "dtype": "float16",
        "growth_interval": 2000,
    },  # torch.amp.GradScaler's
    "layers:PositionalEncoding": {"dropout": 0.0, "batch_first": False},
    "layers:MLP": {"activation": "relu"},
    "layers:Softmax": {"dim": -1},
    "layers:LogSoftmax": {"dim": -1},
    "functions:softmax": {"axis": -1},
    "functions:log_softmax": {"axis": -1},
    "functions:gelu": {"approximate": "none"},
    "functions:softplus": {"beta": 1.0, "threshold": 20.0},
    "functions:logsumexp": {"axis": None, "keepdims": False},
}


@pytest.mark.parametrize("name", STATED)
def test_a_default_without_a_counterpart_is_as_stated(name):
    found = defaults(pkgutil.resolve_name(f"xpnet.{name}"))
    assert {key: found[key] for key in STATED[name]} == STATED[name]


def test_softmax_is_over_the_last_of_three_axes():
    """As `torch.nn.functional.softmax(x, -1)`; PyTorch's old implicit default would be the first."""
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    e = np.exp(x)
    expected = e / e.sum(axis=2, keepdims=True)
    for softmax in (xpnet.layers.Softmax(), F.softmax):
        assert_close(softmax(x), expected, rtol=1e-5)
    for log_softmax in (xpnet.layers.LogSoftmax(), F.log_softmax):
        assert_close(log_softmax(x), np.log(expected), rtol=1e-5)


# --- metrics, called once by their defaults ---------------------------------------------------------

RNG = np.random.default_rng(5)
SCORES = RNG.uniform(size=40)
LABELS = (SCORES + RNG.normal(scale=0.4, size=40) > 0.4).astype(int)
OF_CLASSES = RNG.normal(size=(40, 7))
CLASSES = RNG.integers(0, 7, 40)
TARGETS = RNG.normal(size=(40, 2))
ESTIMATES = TARGETS + RNG.normal(scale=0.3, size=(40, 2))


def by_sklearn():
    """{name: (arguments of our metric, scikit-learn's value)}."""
    sk = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle of this test")
    chosen = (SCORES > 0.5).astype(int)
    best = OF_CLASSES.argmax(axis=1)
    top = sk.top_k_accuracy_score(CLASSES, OF_CLASSES, k=5)
    return {
        "accuracy": (OF_CLASSES, CLASSES, sk.accuracy_score(CLASSES, best)),
        "top_k_accuracy": (OF_CLASSES, CLASSES, top),
        "confusion_matrix": (SCORES, LABELS, sk.confusion_matrix(LABELS, chosen)),
        "precision": (SCORES, LABELS, sk.precision_score(LABELS, chosen)),
        "recall": (SCORES, LABELS, sk.recall_score(LABELS, chosen)),
        "f1": (SCORES, LABELS, sk.f1_score(LABELS, chosen)),
        "roc_auc": (SCORES, LABELS, sk.roc_auc_score(LABELS, SCORES)),
        "r2": (ESTIMATES, TARGETS, sk.r2_score(TARGETS, ESTIMATES)),
        "mean_absolute_error": (
            ESTIMATES,
            TARGETS,
            sk.mean_absolute_error(TARGETS, ESTIMATES),
        ),
        "mean_squared_error": (ESTIMATES, TARGETS, sk.mean_squared_error(TARGETS, ESTIMATES)),
    }


OVER_BATCHES = {
    "confusion_matrix": metrics.ConfusionMatrix, "precision": metrics.Precision,
    "recall": metrics.Recall, "f1": metrics.F1, "roc_auc": metrics.RocAuc, "r2": metrics.R2,
}  # fmt: skip


def test_every_metric_with_its_defaults_equals_scikit_learns(array, backend64):
    found = by_sklearn()
    offered = {n for n, value in vars(metrics).items() if inspect.isfunction(value)}
    assert found.keys() == offered
    for name, (y, t, expected) in found.items():
        assert_close(getattr(metrics, name)(array(y), array(t)), expected, rtol=1e-12)
        if name in OVER_BATCHES:
            metric = OVER_BATCHES[name]()
            metric.update(array(y[:15]), array(t[:15]))
            metric.update(array(y[15:]), array(t[15:]))
            assert_close(metric.compute(), expected, rtol=1e-12)
            assert metric.name == name


@pytest.mark.parametrize("name", OVER_BATCHES)
def test_a_metric_over_batches_has_the_defaults_of_the_function(name):
    found = defaults(OVER_BATCHES[name])
    found.pop("name")
    assert found == defaults(getattr(metrics, name))


def test_options_of_precision_recall_and_f1_have_an_effect(array, backend64):
    """Each differs from its default, for the function and over batches; values are scikit-learn's."""
    sk = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle of this test")
    options = {"threshold": 0.8, "zero_division": 1.0, "average": None, "classes": 2}
    nobody = np.zeros_like(LABELS)
    for name in ("precision", "recall", "f1"):
        theirs = getattr(sk, f"{name}_score")
        for y, t in ((SCORES, LABELS), (0.5 * SCORES, LABELS), (0.5 * SCORES, nobody)):
            chosen = (y > 0.8).astype(int)
            expected = theirs(t, chosen, average=None, zero_division=1.0, labels=[0, 1])
            for given in (options, {**options, "average": "binary"}):
                if given["average"] == "binary":
                    expected = expected[1]
                assert_close(getattr(metrics, name)(array(y), array(t), **given), expected)
                metric = OVER_BATCHES[name](**given)
                metric.update(array(y), array(t))
                assert_close(metric.compute(), expected)


def test_f1_at_several_thresholds(array, backend64):
    """F1 is 0.667 at the default threshold 0.5."""
    y = array([0.9, 0.6, 0.1, 0.7, 0.2])
    t = array([1, 1, 1, 0, 0])
    for threshold, expected in ((0.5, 2 / 3), (0.05, 0.75), (0.65, 0.4), (0.9, 0.0)):
        metric = metrics.F1(threshold=threshold)
        metric.update(y, t)
        assert_close(metric.compute(), expected, rtol=1e-12)
        assert_close(metrics.f1(y, t, threshold=threshold), expected, rtol=1e-12)


def test_nan_scores_of_a_sequence(array, backend64):
    """In the second of two steps the right class's score is NaN, in a third a wrong one's."""
    nan = float("nan")
    y = array([[[0.9, 0.1, 0.0], [0.2, nan, 0.1]], [[0.0, nan, 5.0], [1.0, 2.0, 0.0]]])
    t = array([[0, 1], [2, 1]])
    for k, expected in ((1, 0.5), (2, 0.75), (3, 0.75)):
        assert_close(metrics.top_k_accuracy(y, t, k=k), expected)
