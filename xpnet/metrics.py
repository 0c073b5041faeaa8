"""How good a prediction is: figures to be read, where a loss is one to be differentiated.

Each takes scores first and targets second, as the losses do, and stays on their device.
"""

from typing import Any

import array_api_compat as compat

from xpnet.autodiff import data_of
from xpnet.errors import ShapeError
from xpnet.namespace import array_namespace, has_dtype


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
        From 0 to 1, of the dtype of `y` (float32 for integer scores). The first of several equal scores counts as the highest.

    Raises
    ------
    ShapeError
        The shapes do not fit, or there is one column alone, whose highest score is always the same.
    """
    y, t = data_of(y), data_of(t)
    xp, shape = array_namespace(y, t), tuple(y.shape)
    if not shape or shape[-1] < 2 or tuple(t.shape) not in (shape, shape[:-1]):
        raise ShapeError(
            f"accuracy expected scores of two classes or more and t of shape {shape[:-1]} (class "
            f"numbers) or {shape} (one-hot), got y of shape {shape}, t of shape {tuple(t.shape)}."
        )
    if t.ndim == y.ndim:
        t = xp.argmax(t, axis=-1)
    dtype = y.dtype if has_dtype(y, "real floating") else xp.float32
    return xp.mean(xp.astype(xp.argmax(y, axis=-1) == t, dtype))


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
        At [i, j] the number of samples of class i whose highest score is at class j. A number
        that names no class is not counted.

    Raises
    ------
    ShapeError
        The shapes do not fit.
    """
    y, t = data_of(y), data_of(t)
    if y.ndim != 2 or t.shape != y.shape[:1]:
        raise ShapeError(
            f"confusion_matrix expected y of shape (n, classes) and t of shape (n,), got "
            f"{tuple(y.shape)} and {tuple(t.shape)}."
        )
    xp, classes = array_namespace(y, t), y.shape[-1]
    every = xp.arange(classes, dtype=xp.int32, device=compat.device(t))
    actual = xp.astype(xp.astype(t, xp.int32)[:, None] == every, xp.float32)
    chosen = xp.astype(xp.astype(xp.argmax(y, axis=-1), xp.int32)[:, None] == every, xp.float32)
    # Sums of ones, exact up to 2^24 a cell.
    return xp.astype(xp.matmul(actual.T, chosen), xp.int32)
