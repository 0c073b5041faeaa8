"""The targets of losses: numbers like the prediction's, or class numbers."""

import math

import array_api_compat as compat

from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.errors import ArgumentTypeError, ShapeError


def matching_target(name: str, y: Array, t: Array) -> Array:
    """A target of the prediction's shape; integers and booleans are cast to its dtype.

    Parameters
    ----------
    name : str
        The loss, for the errors.
    y, t : arrays or Variables
        The prediction and the target.

    Raises
    ------
    ShapeError
        The shapes differ.
    ArgumentTypeError
        The target is of complex numbers.
    """
    xp = array_namespace(y, t)
    given = tuple(getattr(t, "shape", ()))
    if tuple(y.shape) != given:
        hint = " Reshape one to the other." if math.prod(y.shape) == math.prod(given) else ""
        raise ShapeError(
            f"{name} expected a target of the prediction's shape {tuple(y.shape)}, "
            f"got {given}.{hint}"
        )
    if has_dtype(t, "complex floating"):
        raise ArgumentTypeError(f"{name} expected a target of real numbers, got {t.dtype}.")
    if has_dtype(y, "real floating") and not has_dtype(t, "real floating"):
        return xp.astype(t, y.dtype)
    return t


def class_numbers(name: str, x: Array, t: Array, otherwise: str) -> Array:
    """A target of class numbers, one for each row of x.

    Parameters
    ----------
    name : str
        The loss, for the errors.
    x : array or Variable, shape (..., classes)
    t : array, shape (...)
    otherwise : str
        The targets of the shape of x that the loss accepts as well, for the errors.

    Raises
    ------
    ShapeError
        The target does not have the shape of x without its last axis.
    ArgumentTypeError
        The target is not of integers.
    """
    if t.shape != x.shape[:-1]:
        classes_second = x.ndim > 2 and t.shape == (x.shape[0], *x.shape[2:])
        hint = ""
        if classes_second:  # PyTorch's order of the axes
            hint = " The classes are the last axis of x: F.moveaxis(x, 1, -1)."
        raise ShapeError(
            f"{name} expected t of shape {tuple(x.shape[:-1])} (class numbers) "
            f"or {tuple(x.shape)} ({otherwise}) for x of shape {tuple(x.shape)}, "
            f"got {tuple(t.shape)}.{hint}"
        )
    if not has_dtype(t, "integral"):
        raise ArgumentTypeError(f"{name} expected integer class numbers, got {t.dtype}.")
    return t


def is_class(t: Array, x: Array) -> Array:
    """Booleans of the shape of x: True at the class of each row; none in a row if t is out of range.

    Parameters
    ----------
    t : array of integers, shape (...)
    x : array or Variable, shape (..., classes)
    """
    xp = array_namespace(t)
    n = x.shape[-1]
    if n > 128 and xp.iinfo(t.dtype).max < n:
        t = xp.astype(t, xp.int32)  # 8 or 16 bits cannot count the classes
    classes = xp.arange(n, dtype=t.dtype, device=compat.device(t))
    return t[..., None] == classes
