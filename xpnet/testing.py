"""Are the derivatives right? Checks against central differences, for xpnet's rules and for yours.

>>> from xpnet import functions as F
>>> from xpnet.testing import check_gradients
>>> check_gradients(F.tanh, [0.1, -2.0, 3.0])
"""

import math
from collections.abc import Callable
from typing import Any

import array_api_compat as compat

from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.tape import seed
from xpnet.autodiff.variable import FLOATING, Variable, as_constant, data_of, gradients
from xpnet.backend import array_like, current, to_numpy
from xpnet.errors import ArgumentError, ArgumentTypeError, CheckError
from xpnet.random import default_rng

__all__ = [
    "assert_close",
    "check_gradients",
    "numerical_gradient",
]


def numerical_gradient(f: Callable[[Any], Any], x: Array, eps: float | None = None) -> Array:
    """The gradient of a number-valued f at x, by central differences.

    (f(x + eps e_i) - f(x - eps e_i)) / (2 eps), for each number x_i of x in turn: 2 size(x) calls
    of f. The error is of the order eps^2, plus that of rounding, in float64 1e-16 / eps. Of a
    complex x, df/dRe(x_i) - i df/dIm(x_i), as xpnet and JAX have it: 4 size(x) calls.

    Parameters
    ----------
    f : callable
        Takes an array like `x`, gives one real number, as an array, a Variable or a float.
    x : array, of a floating-point dtype
        float64, unless a rough answer will do. It is not changed.
    eps : float, optional
        The step; unless given, the cube root of the dtype's precision, where both errors are about
        the same: 6e-6 in float64, 5e-3 in float32.

    Returns
    -------
    array
        Of the library, device, shape and dtype of `x`.

    Raises
    ------
    TypeError
        `x` is of integers, which have no small steps.
    """
    if not has_dtype(x, *FLOATING):
        raise ArgumentTypeError(
            f"numerical_gradient expected floating-point numbers, got {x.dtype}."
        )
    eps = float(array_namespace(x).finfo(x.dtype).eps) ** (1 / 3) if eps is None else eps
    point = to_numpy(x).copy()
    gradient = point.copy()
    gradient[...] = 0.0
    flat, out = point.reshape(-1), gradient.reshape(-1)
    for i in range(flat.size):
        middle = flat[i].item()
        for direction in (1, 1j) if isinstance(middle, complex) else (1,):
            values = []
            for step in (eps, -eps):
                flat[i] = middle + step * direction
                values.append(float(data_of(f(array_like(point, x)))))
            out[i] += (values[0] - values[1]) / (2.0 * eps * direction)
        flat[i] = middle
    return array_like(gradient, x)


def assert_close(actual: Any, expected: Any, rtol: float = 1e-7, atol: float = 0.0) -> None:
    """Fail unless both have one shape and |actual - expected| <= atol + rtol |expected|.

    Parameters
    ----------
    actual, expected : arrays of any libraries, Variables, scalars or nested lists

    Raises
    ------
    AssertionError
        With both values, and the largest difference.
    """
    a, b = to_numpy(actual), to_numpy(expected)
    if a.shape != b.shape:
        raise CheckError(f"Expected shape {b.shape}, got {a.shape}.")
    differs = ~((a == b) | ((a != a) & (b != b)))  # equal infinities and nans are close
    difference = abs(1.0 * a[differs] - b[differs])
    near = (difference < math.inf) & (difference <= atol + rtol * abs(b[differs]))
    if not near.all():
        raise CheckError(
            f"Not close (rtol={rtol:g}, atol={atol:g}; the largest difference is "
            f"{difference.max():g}).\nactual:   {a}\nexpected: {b}"
        )


def check_gradients(
    f: Callable[..., Any],
    *arrays: Any,
    order: int = 2,
    eps: float | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-7,
) -> None:
    """Fail unless f's derivatives, up to `order`, agree with central differences.

    With random weights v and each array x in turn, the gradient of Re(sum(v f(x))) is computed three
    times: by rules that run on arrays, by the same rules recorded on Variables, and by
    differences. Then the recorded gradient is checked in the same way as a function of all
    arrays: that is the second derivative.

    Parameters
    ----------
    f : callable
        Takes as many arrays as are given, or Variables; gives one of any shape.
    *arrays : arrays of float64 or complex128, scalars or nested lists
        Where to check. What is no array becomes one of the current backend, in float64.
    order : int
        1 or more.
    eps : float, optional
        The step of the differences, as in `numerical_gradient`.
    rtol, atol : float
        Largest relative and absolute difference. Each further order is checked against
        differences of derivatives that are exact, so it is as precise as the first.

    Raises
    ------
    AssertionError
        Some derivative is wrong; the message has the argument, the order, both values, and a line
        that repeats the check.
    """
    if order < 1:
        raise ArgumentError(f"Expected order >= 1, got {order}.")
    points = [
        x if compat.is_array_api_obj(x) else current().asarray(x, dtype="float64") for x in arrays
    ]
    _check(f, points, order, 1, eps, rtol, atol)


def _check(
    f: Callable[..., Any],
    points: list[Array],
    order: int,
    level: int,
    eps: float | None,
    rtol: float,
    atol: float,
) -> None:
    y = data_of(f(*(Variable(x) for x in points)))
    weights = default_rng(level).uniform(0.5, 1.5, (2, *y.shape))
    turned = has_dtype(y, "complex floating")
    v = array_like(weights[0] + 1j * weights[1] if turned else weights[0], y)

    def weighted(*xs: Any) -> Any:
        z = f(*xs) * as_constant(v)
        xp = array_namespace(z)
        return xp.sum(xp.real(z) if turned else z)

    def gradient_of(xs: Any, create_graph: bool) -> Any:
        z = weighted(*xs)
        if z.requires_grad:
            return gradients(z, xs, create_graph=create_graph)
        zeros = [seed(x.data, 0.0) for x in xs]  # the derivative of
        return [as_constant(zero) for zero in zeros] if create_graph else zeros  # a straight line

    on_arrays = gradient_of([Variable(x) for x in points], create_graph=False)
    on_variables = gradient_of([Variable(x) for x in points], create_graph=True)
    for i, x in enumerate(points):

        def along(z: Array, i: int = i) -> Any:
            return weighted(*(as_constant(z if j == i else x) for j, x in enumerate(points)))

        expected = numerical_gradient(along, x, eps)
        for how, actual in (("arrays", on_arrays[i]), ("Variables", on_variables[i])):
            try:
                assert_close(actual, expected, rtol, atol)
            except AssertionError as error:
                values = ", ".join(str(to_numpy(p).tolist()) for p in points)
                raise CheckError(
                    f"Derivative of order {level} by argument {i}, rules run on {how}: {error}\n"
                    f"check_gradients({getattr(f, '__name__', 'f')}, {values}, order={level})"
                ) from None
    if level < order:
        for i in range(len(points)):

            def derivative(*xs: Any, i: int = i) -> Any:
                tracked = [
                    x if isinstance(x, Variable) and x.requires_grad else Variable(data_of(x))
                    for x in xs
                ]
                return gradient_of(tracked, create_graph=True)[i]

            _check(derivative, points, order, level + 1, eps, rtol, atol)
