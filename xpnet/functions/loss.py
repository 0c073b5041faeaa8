"""How wrong a prediction is: one number, the mean over the batch, to be made small.

Each takes the prediction first and the target second, as in PyTorch. Losses of probabilities stand
in `cross_entropy`.
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
from xpnet.functions._targets import class_numbers, is_class, matching
from xpnet.functions.activation import relu


def _difference(name: str, y: Array, t: Array) -> Array:
    """y - t, of one shape; by name, as not every array leaves an operator to a Variable."""
    t = matching(name, y, t)
    return array_namespace(y, t).subtract(y, t)


@named
@follows
def mean_squared_error(y: Array, t: Array) -> Array:
    """mean((y - t)^2), over all numbers.

    Parameters
    ----------
    y, t : arrays or Variables of one shape
        They do not broadcast: (n, 1) against (n,) is an error, not a mean of n * n numbers.
        Integer targets count as numbers of y's dtype.

    Raises
    ------
    ShapeError
        The shapes differ.

    Notes
    -----
    Least squares. Source: Gauss, "Theoria combinationis observationum", 1821.
    """
    difference = _difference("mean_squared_error", y, t)
    wide = in_full(difference)
    return cast_like(array_namespace(wide).mean(wide * wide), difference)


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
    """
    difference = _difference("l1_loss", y, t)
    xp = array_namespace(difference)
    return xp.mean(xp.abs(difference))


@named
@follows
def huber_loss(y: Array, t: Array, delta: float = 1.0) -> Array:
    """mean of d^2 / 2 where |d| <= delta, and of delta (|d| - delta / 2) beyond, for d = y - t.

    Parameters
    ----------
    y, t : arrays or Variables of one shape
    delta : float
        Where the parabola goes over into straight lines, of its slope there.

    Raises
    ------
    ValueError
        `delta` is not positive.
    ShapeError
        The shapes differ.

    Notes
    -----
    As PyTorch's huber_loss; Keras and scikit-learn have the same. Source: Huber, "Robust
    estimation of a location parameter", 1964.
    """
    if not delta > 0.0:
        raise ArgumentError(f"huber_loss expected a positive delta, got {delta}.")
    difference = _difference("huber_loss", y, t)
    xp = array_namespace(difference)
    far = as_number(delta)
    near = xp.minimum(xp.maximum(difference, -far), far)
    return xp.mean(near * (difference - 0.5 * near))


@named
@follows
def hinge_loss(x: Array, t: Array, margin: float = 1.0) -> Array:
    """mean of max(0, margin - x t), for t = 1 or -1; or that of several classes, for class numbers.

    Parameters
    ----------
    x : array or Variable, shape (...) or (..., classes)
        Scores.
    t : array, of the shape of x or of x without its last axis
        -1 or 1 for each number of x. Or, of an integer dtype and one axis less, class numbers:
        then a row of x costs the sum of max(0, margin - x[t] + x[j]) over the classes j other than
        t, divided by the number of classes, as in PyTorch's multi_margin_loss.
    margin : float
        How far apart scores have to be to cost nothing.

    Returns
    -------
    array or Variable, shape ()
        The loss is inf, not an error, for a class number outside 0 .. classes - 1, or, among
        targets of the shape of x, for any that is neither -1 nor 1: to look at the numbers would
        stop a GPU in every step.

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
    """
    xp, margin = array_namespace(x, t), as_number(margin)
    if t.shape == x.shape:
        t = matching("hinge_loss", x, t)
        loss = xp.mean(relu(margin - xp.multiply(x, t)))
        return xp.where(xp.all((t == 1.0) | (t == -1.0)), loss, math.inf)
    named = is_class(data_of(class_numbers("hinge_loss", x, t, "-1 or 1")), x)
    xp = array_namespace(x, named)
    own = xp.sum(xp.where(named, x, 0.0), axis=-1, keepdims=True)
    costs = xp.where(named, 0.0, relu(margin - own + x))
    return xp.where(xp.count_nonzero(named) == math.prod(t.shape), xp.mean(costs), math.inf)
