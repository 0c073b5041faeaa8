"""Checks of derivatives against central differences, for xpnet's rules and for your own.

>>> from xpnet import functions as F
>>> from xpnet.testing import check_gradients
>>> check_gradients(F.tanh, [0.1, -2.0, 3.0])
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import array_api_compat as compat

from xpnet._typing import Array
from xpnet.autodiff._messages import described
from xpnet.autodiff._traced_call import name_of, tracked
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.tape import seed
from xpnet.autodiff.variable import FLOATING, Variable, as_constant, data_of, gradients
from xpnet.backend import array_like, current, to_numpy
from xpnet.errors import ArgumentError, ArgumentTypeError, CheckError, GradientError
from xpnet.random import default_rng

__all__ = [
    "assert_close",
    "check_gradients",
    "numerical_gradient",
]


def numerical_gradient(f: Callable[[Array], Array], x: Array, eps: float | None = None) -> Array:
    """The gradient of a real-valued f at x, by central differences.

    (f(x + eps e_i) - f(x - eps e_i)) / (2 eps), for each number x_i of x in turn: 2 size(x) calls
    of f. The truncation error is of the order eps^2; the rounding error, in float64, is 1e-16 / eps.
    For complex x, it is df/dRe(x_i) - i df/dIm(x_i), the convention of xpnet and JAX: 4 size(x)
    calls.

    Parameters
    ----------
    f : callable
        Takes an array like `x` and returns one real number, as an array, a Variable or a float.
    x : array, of a floating-point dtype
        In float64, unless a rough result is enough. It is not changed.
    eps : float, optional
        The step. By default it is the cube root of the dtype's precision, for which both errors are
        of about the same size: 6e-6 in float64, 5e-3 in float32.

    Returns
    -------
    array
        It has the library, device, shape and dtype of `x`.

    Raises
    ------
    TypeError
        `x` has an integer dtype, in which there are no small steps.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> with xpnet.using("numpy", "float64"):
    ...     print(xpnet.testing.numerical_gradient(lambda x: F.sum(x * x), F.asarray([1.0, 3.0])))
    Variable(array([2., 6.]))
    """
    if not has_dtype(x, *FLOATING):
        raise ArgumentTypeError(
            f"numerical_gradient expected floating-point numbers, got {x.dtype}."
        )
    if eps is None:
        eps = float(array_namespace(x).finfo(x.dtype).eps) ** (1 / 3)
    directions: tuple[complex, ...] = (1, 1j) if has_dtype(x, "complex floating") else (1,)
    point = to_numpy(x).copy()
    gradient = point.copy()
    gradient[...] = 0.0
    flat = point.reshape(-1)  # a view of `point`, which f is called with
    out = gradient.reshape(-1)  # a view of `gradient`
    for i in range(flat.size):
        x_i = flat[i].item()
        for direction in directions:
            values = []
            for step in (eps, -eps):
                flat[i] = x_i + step * direction
                values.append(float(data_of(f(array_like(point, x)))))
            out[i] += (values[0] - values[1]) / (2.0 * eps * direction)
        flat[i] = x_i
    return array_like(gradient, x)


def assert_close(actual: Array, expected: Array, rtol: float = 1e-7, atol: float = 0.0) -> None:
    """Fail unless the shapes are equal and |actual - expected| <= atol + rtol |expected|.

    Parameters
    ----------
    actual, expected : arrays of any libraries, Variables, scalars or nested lists
    rtol, atol : float
        The largest relative and absolute difference.

    Raises
    ------
    AssertionError
        They differ; the message has both values, and the largest difference.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> xpnet.testing.assert_close(F.asarray([1.0, 2.0]), [1.0, 2.0 + 1e-9])
    """
    a = to_numpy(actual)
    b = to_numpy(expected)
    if a.shape != b.shape:
        raise CheckError(f"Expected shape {b.shape}, got {a.shape}.")
    both_nan = (a != a) & (b != b)
    differs = ~((a == b) | both_nan)  # equal infinities are close, and so is NaN to NaN
    difference = abs(1.0 * a[differs] - b[differs])
    near = (difference < math.inf) & (difference <= atol + rtol * abs(b[differs]))
    if not near.all():
        raise CheckError(
            f"Not close (rtol={rtol:g}, atol={atol:g}; the largest difference is "
            f"{difference.max():g}).\nactual:   {a}\nexpected: {b}"
        )


def check_gradients(
    f: Callable[..., Array],
    *arrays: Array,
    order: int = 2,
    eps: float | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-7,
) -> None:
    """Fail unless f's derivatives, up to `order`, agree with central differences.

    f may return an array, but a gradient is that of one number: so Re(sum(v f(x))) is differentiated,
    with random weights v, by each array x in turn. Its gradient is computed three times: by rules
    that run on arrays, by the same rules recorded on Variables, and by differences. Then the recorded
    gradient is checked in the same way, as a function of all arrays: that is the second derivative.

    Parameters
    ----------
    f : callable
        Takes as many arrays, or Variables, as are given; returns one of any shape.
    *arrays : arrays of float64 or complex128, scalars or nested lists
        The point at which to check. Scalars and lists become arrays of the current backend, in
        float64.
    order : int
        1 or more.
    eps : float, optional
        The step of the differences, as in `numerical_gradient`.
    rtol, atol : float
        The largest relative and absolute difference. Each further order is checked against
        differences of derivatives that are exact, so it is as precise as the first.

    Raises
    ------
    AssertionError
        A derivative is wrong; the message has the argument, the order, both values, and a line that
        repeats the check.
    ArgumentTypeError
        An array has another dtype, in which differences have too few correct digits.
    GradientError
        f returned anything else than one array, such as a float, which has no record of the arrays.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> with xpnet.using("numpy", "float64"):
    ...     xpnet.testing.check_gradients(lambda x: F.sin(x) * x, [0.5, 2.0])
    """
    if order < 1:
        raise ArgumentError(f"Expected order >= 1, got {order}.")
    points = [
        x if compat.is_array_api_obj(x) else current().asarray(x, dtype="float64") for x in arrays
    ]
    for x in points:
        if str(x.dtype).rpartition(".")[2] not in ("float64", "complex128"):
            raise ArgumentTypeError(
                f"check_gradients expected arrays of float64 or complex128, got {described(x)}. In "
                "other dtypes, differences have too few correct digits to be compared with."
            )
    _check(f, points, order, 1, _Tolerance(eps, rtol, atol))


class _Tolerance(NamedTuple):
    """The step of the differences, and how close the derivatives must be."""

    eps: float | None
    rtol: float
    atol: float


class _Weighted:
    """Re(sum(v f(*xs))) with random weights v: a function with one real number as its value."""

    def __init__(self, f: Callable[..., Array], points: list[Array], stream: int) -> None:
        self.f = f
        y = data_of(f(*[Variable(x) for x in points]))
        if not compat.is_array_api_obj(y):
            raise GradientError(
                f"check_gradients expected {name_of(f)} to return one array, got {described(y)}. A "
                "float has no record of the arguments: write np.sin(x) for math.sin(x)."
            )
        v, imaginary = default_rng(stream).uniform(0.5, 1.5, (2, *y.shape))
        self.complex = has_dtype(y, "complex floating")
        if self.complex:
            v = v + 1j * imaginary
        self.v = as_constant(array_like(v, y))

    def __call__(self, *xs: Array) -> Array:
        z = self.f(*xs) * self.v
        xp = array_namespace(z)
        if self.complex:
            z = xp.real(z)
        return xp.sum(z)

    def gradient(self, xs: list[Variable], create_graph: bool) -> Sequence[Array]:
        """The gradient with respect to each of the xs; zeros if the value does not depend on any of them."""
        z = self(*xs)
        if z.requires_grad:
            return gradients(z, xs, create_graph=create_graph)
        # f may be the derivative of a straight line.
        zeros = [seed(x.data, 0.0) for x in xs]
        return [as_constant(zero) for zero in zeros] if create_graph else zeros


def _check(
    f: Callable[..., Array], points: list[Array], order: int, level: int, tolerance: _Tolerance
) -> None:
    """Check the gradient of f and, if `level` is below `order`, the gradient of that gradient.

    f is itself a derivative of order `level - 1`: the function to check, where `level` is 1.
    """
    weighted = _Weighted(f, points, stream=level)
    on_arrays = weighted.gradient([Variable(x) for x in points], create_graph=False)
    on_variables = weighted.gradient([Variable(x) for x in points], create_graph=True)
    for i, x in enumerate(points):

        def along(z: Array, i: int = i) -> Array:
            replaced = [*points[:i], z, *points[i + 1 :]]
            return weighted(*map(as_constant, replaced))

        expected = numerical_gradient(along, x, tolerance.eps)
        for how, actual in (("arrays", on_arrays[i]), ("Variables", on_variables[i])):
            try:
                assert_close(actual, expected, tolerance.rtol, tolerance.atol)
            except AssertionError as error:
                values = ", ".join(str(to_numpy(p).tolist()) for p in points)
                raise CheckError(
                    f"Derivative of order {level} with respect to argument {i}, rules run on {how}: {error}\n"
                    f"check_gradients({getattr(f, '__name__', 'f')}, {values}, order={level})"
                ) from None
    if level == order:
        return
    for i in range(len(points)):

        def derivative(*xs: Array, i: int = i) -> Array:
            variables = [x if tracked(x) else Variable(data_of(x)) for x in xs]
            return weighted.gradient(variables, create_graph=True)[i]

        _check(derivative, points, order, level + 1, tolerance)
