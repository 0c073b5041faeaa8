"""What a loss expects of its target: numbers like the prediction's, or the numbers of classes."""

import math

import array_api_compat as compat

from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.errors import ArgumentTypeError, ShapeError


def matching(name: str, y: Array, t: Array) -> Array:
    """The target, of the prediction's shape, or it is an error; integers in its dtype."""
    xp, given = array_namespace(y, t), tuple(getattr(t, "shape", ()))
    if tuple(y.shape) != given:
        hint = " Reshape one to the other." if math.prod(y.shape) == math.prod(given) else ""
        raise ShapeError(
            f"{name} expected a target of the prediction's shape {tuple(y.shape)}, "
            f"got {given}.{hint}"
        )
    if has_dtype(t, "complex floating"):
        raise ArgumentTypeError(f"{name} expected a target of real numbers, got {t.dtype}.")
    cast = has_dtype(y, "real floating") and not has_dtype(t, "real floating")
    return xp.astype(t, y.dtype) if cast else t


def class_numbers(name: str, x: Array, t: Array, otherwise: str) -> Array:
    """The target as class numbers, one for each row of x, or it is an error.

    `otherwise` says what else the loss takes, of the shape of x.
    """
    if t.shape != x.shape[:-1]:
        second = x.ndim > 2 and t.shape == (x.shape[0], *x.shape[2:])
        hint = " The classes are the last axis of x: F.moveaxis(x, 1, -1)." if second else ""
        raise ShapeError(
            f"{name} expected t of shape {tuple(x.shape[:-1])} (class numbers) "
            f"or {tuple(x.shape)} ({otherwise}) for x of shape {tuple(x.shape)}, "
            f"got {tuple(t.shape)}.{hint}"
        )
    if not has_dtype(t, "integral"):
        raise ArgumentTypeError(f"{name} expected integer class numbers, got {t.dtype}.")
    return t


def is_class(t: Array, x: Array) -> Array:
    """Class numbers as rows of the shape of x: True at the class."""
    xp, n = array_namespace(t), x.shape[-1]
    if n > 128 and xp.iinfo(t.dtype).max < n:
        t = xp.astype(t, xp.int32)  # bytes cannot count so far
    classes = xp.arange(n, dtype=t.dtype, device=compat.device(t))
    return t[..., None] == classes
