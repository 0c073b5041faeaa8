"""What scores and targets say: which class was chosen, and which was right."""

from typing import Any

import array_api_compat as compat

from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import data_of
from xpnet.errors import ShapeError


def real_dtype(y: Array) -> Array:
    """The dtype of a figure: float64 of float64, else float32, where half precision would overflow."""
    xp = array_namespace(y)
    return y.dtype if y.dtype == xp.float64 else xp.float32


def chosen_and_actual(
    name: str, y: Array, t: Array, classes: int | None, threshold: float
) -> tuple[Any, Any, int]:
    """The class numbers that y chooses, those that t names, both of shape (n,), and how many there are.

    Parameters
    ----------
    name : str
        Who asks: for the error.
    y : array or Variable
        Shape (..., classes): scores, of which the highest is chosen, the first of equal ones.
        Floating-point or bool, of the shape of t or with one column: scores of class 1, chosen
        above `threshold` or where True. Integers of shape (n,): class numbers.
    t : array or Variable
        Class numbers, or one-hot rows.
    classes : int, optional
        How many there are, where y has class numbers; else one more than the highest is taken.
    threshold : float

    Raises
    ------
    ShapeError
        The shapes do not fit.
    """
    y, t, asked = data_of(y), data_of(t), classes
    xp, counted = array_namespace(y, t), has_dtype(y, "integral")
    one_hot = tuple(t.shape) == tuple(y.shape) and y.ndim > 1 and y.shape[-1] > 1
    if one_hot or (y.ndim > 0 and y.shape[-1] > 1 and tuple(t.shape) == tuple(y.shape[:-1])):
        t = xp.argmax(t, axis=-1) if one_hot else t
        classes, y = y.shape[-1], xp.argmax(y, axis=-1)
    elif not counted and tuple(y.shape) in (tuple(t.shape), (*t.shape, 1)):
        classes, y = 2, y if has_dtype(y, "bool") else y > threshold
    elif tuple(y.shape) == tuple(t.shape) and y.ndim == 1:
        classes = _count(y, t) if classes is None else classes
    else:
        raise ShapeError(
            f"{name} expected scores y of shape (..., classes), and t of shape (...) with class "
            "numbers or one-hot rows; or of two classes, y and t of one shape; or y of shape (n,) "
            f"with class numbers. Got y of shape {tuple(y.shape)}, t of shape {tuple(t.shape)}."
        )
    if asked is not None and (asked < 1 or asked != classes):
        raise ShapeError(f"{name} got classes={asked}, where y has {classes}; expected 1 or more.")
    return integers(xp.reshape(y, (-1,))), integers(xp.reshape(t, (-1,))), classes


def _count(y: Array, t: Array) -> int:
    xp = array_namespace(y, t)
    both = [integers(x) for x in (y, t)]
    return 1 + max(int(xp.max(x)) for x in both) if y.shape[0] else 1


def integers(x: Array) -> Array:
    """Class numbers of any dtype as int32."""
    return array_namespace(x).astype(x, array_namespace(x).int32)


def one_hot(x: Array, classes: int) -> Array:
    """Booleans, shape (n, classes): whether x[i], an int32, is class j."""
    xp = array_namespace(x)
    return x[:, None] == xp.arange(classes, dtype=xp.int32, device=compat.device(x))
