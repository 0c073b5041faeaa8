"""Metrics: how good predictions are, for people to read; a loss, in contrast, is differentiated.

Each takes scores first and targets second, as the losses do, and computes on their device. The
definitions are scikit-learn's.

A function, such as `f1(y, t, average="macro")`, takes all samples at once. A metric that is a mean
over samples (accuracy, the mean errors) can be averaged over batches, so a `Trainer` takes the
function itself. For the others there is a class that gathers batches:

>>> from xpnet import current, metrics
>>> f1 = metrics.F1(average="macro")
>>> asarray = current().asarray
>>> f1.update(asarray([[0.9, 0.1], [0.2, 0.8]]), asarray([0, 1]))
>>> f1.update(asarray([[0.6, 0.4], [0.3, 0.7]]), asarray([1, 1]))
>>> f"{float(f1.compute()):.4f}"
'0.7333'
"""

from xpnet.metrics.accumulators import (
    F1 as F1,
    R2 as R2,
    Accumulator as Accumulator,
    ConfusionMatrix as ConfusionMatrix,
    Precision as Precision,
    Recall as Recall,
    RocAuc as RocAuc,
)
from xpnet.metrics.classification import (
    accuracy as accuracy,
    confusion_matrix as confusion_matrix,
    f1 as f1,
    precision as precision,
    recall as recall,
    top_k_accuracy as top_k_accuracy,
)
from xpnet.metrics.ranking import roc_auc as roc_auc
from xpnet.metrics.regression import (
    mean_absolute_error as mean_absolute_error,
    mean_squared_error as mean_squared_error,
    r2 as r2,
)

__all__ = [
    "F1",
    "R2",
    "Accumulator",
    "ConfusionMatrix",
    "Precision",
    "Recall",
    "RocAuc",
    "accuracy",
    "confusion_matrix",
    "f1",
    "mean_absolute_error",
    "mean_squared_error",
    "precision",
    "r2",
    "recall",
    "roc_auc",
    "top_k_accuracy",
]
