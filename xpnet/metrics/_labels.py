"""Predicted and actual classes, from scores and targets."""

import array_api_compat as compat

from xpnet._typing import Array, DType
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import data_of
from xpnet.errors import ShapeError


def real_dtype(y: Array) -> DType:
    """The dtype of a metric: float64 for float64 scores, else float32: sums in float16 may overflow."""
    xp = array_namespace(y)
    if y.dtype == xp.float64:
        return y.dtype
    return xp.float32


def predicted_and_actual(
    name: str, y: Array, t: Array, classes: int | None, threshold: float
) -> tuple[Array, Array, int]:
    """Predicted class numbers and actual ones, both of shape (n,), and the number of classes.

    Parameters
    ----------
    name : str
        The metric, for the error message.
    y : array or Variable
        Shape (..., classes): scores; the class with the highest is predicted, and the first of equal
        ones. Floating-point or bool, of the shape of t or with one column more: scores of class 1,
        which is predicted above `threshold`, or where True. Integers of shape (n,): class numbers.
    t : array or Variable
        Class numbers, or one-hot rows.
    classes : int, optional
        The number of classes, if y has class numbers; by default one more than the highest.
    threshold : float

    Raises
    ------
    ShapeError
        The shapes do not fit.
    """
    y = data_of(y)
    t = data_of(t)
    y_shape = tuple(y.shape)
    t_shape = tuple(t.shape)
    if _has_axis_of_classes(y_shape, t_shape):
        xp = array_namespace(y, t)
        count = y_shape[-1]
        if t.ndim == y.ndim:  # one-hot
            t = xp.argmax(t, axis=-1)
        y = xp.argmax(y, axis=-1)
    elif not has_dtype(y, "integral") and y_shape in (t_shape, (*t_shape, 1)):
        count = 2
        if not has_dtype(y, "bool"):
            y = y > threshold
    elif y_shape == t_shape and y.ndim == 1:
        count = _number_of_classes(y, t) if classes is None else classes
    else:
        raise ShapeError(
            f"{name} expected scores y of shape (..., classes), and t of shape (...) with class "
            "numbers or one-hot rows; or, for two classes, y and t of one shape; or y of shape (n,) "
            f"with class numbers. Got y of shape {y_shape}, t of shape {t_shape}."
        )
    if classes is not None and (classes < 1 or classes != count):
        expected = "1 or more" if classes < 1 else f"{count}, as many as y has"
        raise ShapeError(f"{name} expected classes to be {expected}, got {classes}.")
    return _flat_integers(y), _flat_integers(t), count


def _has_axis_of_classes(y_shape: tuple[int, ...], t_shape: tuple[int, ...]) -> bool:
    """Whether y has a score for each class, and t a class number or a one-hot row for each sample."""
    if not y_shape or y_shape[-1] < 2:
        return False
    return t_shape == y_shape[:-1] or (len(y_shape) > 1 and t_shape == y_shape)


def _number_of_classes(y: Array, t: Array) -> int:
    """One more than the highest class number; 1 if there are no samples."""
    if not y.shape[0]:
        return 1
    xp = array_namespace(y, t)
    return 1 + max(int(xp.max(integers(x))) for x in (y, t))


def _flat_integers(x: Array) -> Array:
    """Class numbers as int32, of shape (n,)."""
    return integers(array_namespace(x).reshape(x, (-1,)))


def integers(x: Array) -> Array:
    """Class numbers of any dtype as int32."""
    xp = array_namespace(x)
    return xp.astype(x, xp.int32)


def one_hot(x: Array, classes: int) -> Array:
    """Booleans of shape (n, classes): whether x[i], an int32, is class j."""
    xp = array_namespace(x)
    return x[:, None] == xp.arange(classes, dtype=xp.int32, device=compat.device(x))
