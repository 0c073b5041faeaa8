"""Losses: the error of a prediction as one number, the mean over the batch.

Each takes the prediction first and the target second, as in PyTorch. Losses of probabilities are in
`cross_entropy`.
"""

import math

from xpnet._libraries.devices import follows
from xpnet._typing import Array
from xpnet.autodiff._half_precision import in_full
from xpnet.autodiff._messages import named
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.errors import ArgumentError
from xpnet.functions._in_float32 import as_number, cast_like
from xpnet.functions._targets import class_numbers, is_class, matching_target
from xpnet.functions.activation import relu


def _difference(name: str, y: Array, t: Array) -> Array:
    """y - t for a target of the shape of y."""
    t = matching_target(name, y, t)
    # A function, not an operator: some libraries' arrays do not leave operators to a Variable.
    return array_namespace(y, t).subtract(y, t)


@named
@follows
def mean_squared_error(y: Array, t: Array) -> Array:
    """mean((y - t)^2), over all numbers.

    Parameters
    ----------
    y, t : arrays or Variables of one shape
        They do not broadcast: shapes (n, 1) and (n,) raise an error, instead of returning the
        mean of n * n numbers. Integer targets are cast to y's dtype.

    Raises
    ------
    ShapeError
        The shapes differ.

    Notes
    -----
    Least squares. Source: Gauss, "Theoria combinationis observationum", 1821.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> y = xpnet.Variable([1.0, 2.0])
    >>> loss = F.mean_squared_error(y, F.asarray([1.0, 4.0]))
    >>> loss.backward()
    >>> float(loss), y.grad.tolist()
    (2.0, [0.0, -2.0])
    """
    difference = _difference("mean_squared_error", y, t)
    full = in_full(difference)
    return cast_like(array_namespace(full).mean(full * full), difference)


@named
@follows
def l1_loss(y: Array, t: Array) -> Array:
    """mean(|y - t|), over all numbers: the mean absolute error.

    Parameters
    ----------
    y, t : arrays or Variables of one shape

    Raises
    ------
    ShapeError
        The shapes differ.

    Notes
    -----
    Least absolute deviations; the derivative where y = t is 0. Source: Laplace, "Theorie analytique
    des probabilites", 1812.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> float(F.l1_loss(xpnet.Variable([1.0, 2.0]), F.asarray([1.0, 5.0])))
    1.5
    """
    difference = _difference("l1_loss", y, t)
    xp = array_namespace(difference)
    return xp.mean(xp.abs(difference))


@named
@follows
def huber_loss(y: Array, t: Array, *, delta: float = 1.0) -> Array:
    """mean of d^2 / 2 where |d| <= delta, and of delta (|d| - delta / 2) beyond, for d = y - t.

    Parameters
    ----------
    y, t : arrays or Variables of one shape
    delta : float
        The |d| at which the parabola continues as a straight line, with the same slope.

    Raises
    ------
    ValueError
        `delta` is not positive.
    ShapeError
        The shapes differ.

    Notes
    -----
    It is PyTorch's huber_loss. Source: Huber, "Robust estimation of a location parameter", 1964.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> float(F.huber_loss(xpnet.Variable([1.0, 2.0]), F.asarray([1.5, 5.0])))
    1.3125
    """
    if not delta > 0.0:
        raise ArgumentError(f"huber_loss expected a positive delta, got {delta}.")
    difference = _difference("huber_loss", y, t)
    xp = array_namespace(difference)
    limit = as_number(delta)
    clipped = xp.minimum(xp.maximum(difference, -limit), limit)
    return xp.mean(clipped * (difference - 0.5 * clipped))


@named
@follows
def hinge_loss(x: Array, t: Array, *, margin: float = 1.0) -> Array:
    """mean of max(0, margin - x t) for t = 1 or -1; or the loss of several classes.

    Parameters
    ----------
    x : array or Variable, shape (...) or (..., classes)
        Scores.
    t : array, of the shape of x or of x without its last axis
        -1 or 1 for each number of x; or class numbers, of an integer dtype and one axis less. The
        loss of a row of x is then the sum of max(0, margin - x[t] + x[j]) over the classes j other
        than t, divided by the number of classes, as in PyTorch's multi_margin_loss.
    margin : float
        From this difference of scores on, the loss is 0.

    Returns
    -------
    array or Variable, shape ()
        A class number outside 0 .. classes - 1, or a target of the shape of x that is neither -1
        nor 1, makes the loss infinite instead of raising an error: checking the numbers would make
        the host wait for a GPU in every step.

    Raises
    ------
    ShapeError
        `t` has neither shape.
    TypeError
        `t` has the shape of class numbers, but no integer dtype.

    Notes
    -----
    The loss of support vector machines; the derivative at the edge of the margin is 0. Sources:
    Cortes and Vapnik, "Support-vector networks", 1995; Weston and Watkins, "Support vector machines
    for multi-class pattern recognition", 1999.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> float(F.hinge_loss(xpnet.Variable([0.5, 2.0]), F.asarray([1, 1])))
    0.25
    """
    xp = array_namespace(x, t)
    margin = as_number(margin)
    if t.shape == x.shape:
        t = matching_target("hinge_loss", x, t)
        loss = xp.mean(relu(margin - xp.multiply(x, t)))
        return xp.where(xp.all((t == 1.0) | (t == -1.0)), loss, math.inf)
    classes = class_numbers("hinge_loss", x, t, "-1 or 1")
    is_target = is_class(data_of(classes), x)
    xp = array_namespace(x, is_target)
    target_scores = xp.sum(xp.where(is_target, x, 0.0), axis=-1, keepdims=True)
    losses = xp.where(is_target, 0.0, relu(margin - target_scores + x))
    all_in_range = xp.count_nonzero(is_target) == math.prod(t.shape)
    return xp.where(all_in_range, xp.mean(losses), math.inf)
