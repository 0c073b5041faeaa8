"""How good a prediction is: figures to be read, where a loss is one to be differentiated.

Each takes scores first and targets second, as the losses do, and stays on their device. The
figures are scikit-learn's.

A function of all samples at once has a small name: `f1(y, t, average="macro")`. Where it is a mean
over samples (accuracy, the errors), the means of batches have the same mean, and a training takes
the function as it is. Where it is not, a class of that name adds up batches:

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
