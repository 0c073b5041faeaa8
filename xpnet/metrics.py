"""How good a prediction is: figures to be read, where a loss is one to be differentiated.

Each takes scores first and targets second, as the losses do, and stays on their device.
"""

from typing import Any

import array_api_compat as compat

from xpnet.autodiff import data_of
from xpnet.namespace import array_namespace


def accuracy(y: Any, t: Any) -> Any:
    """The share of samples whose highest score is at their class.

    Parameters
    ----------
    y : array or Variable, shape (..., classes)
        Scores or probabilities.
    t : array or Variable, shape (...) or (..., classes)
        Class numbers, or one-hot rows.

    Returns
    -------
    array, shape ()
        From 0 to 1, of the dtype of `y`. The first of several equal scores counts as the highest.
    """
    y, t = data_of(y), data_of(t)
    xp = array_namespace(y, t)
    if t.ndim == y.ndim:
        t = xp.argmax(t, axis=-1)
    return xp.mean(xp.astype(xp.argmax(y, axis=-1) == t, y.dtype))


def confusion_matrix(y: Any, t: Any) -> Any:
    """How often each class was taken for each.

    Parameters
    ----------
    y : array or Variable, shape (n, classes)
        Scores or probabilities.
    t : array or Variable of integers, shape (n,)
        Class numbers.

    Returns
    -------
    array of integers, shape (classes, classes)
        At [i, j] the number of samples of class i whose highest score is at class j.
    """
    y, t = data_of(y), data_of(t)
    xp, classes = array_namespace(y, t), y.shape[-1]
    every = xp.arange(classes, dtype=t.dtype, device=compat.device(t))
    actual = xp.astype(t[:, None] == every, y.dtype)
    chosen = xp.astype(xp.astype(xp.argmax(y, axis=-1), t.dtype)[:, None] == every, y.dtype)
    # Sums of ones, in float32 exact up to 2^24 a cell.
    return xp.astype(xp.matmul(actual.T, chosen), xp.int32)
