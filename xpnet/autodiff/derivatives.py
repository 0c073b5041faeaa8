"""Derivatives as functions: `grad(f)` is a function, and so is its own gradient.

    value_and_grad(f)   grad(f)        the gradient of one number
    vjp(f, *xs)         jvp(f, ...)    the derivative of many, times a vector from the left or right
    jacobian(f)         hessian(f)     all of it, and all of the second
    hvp(f)                             the second derivative times a vector, for two gradients' price

f is plain code on arrays. Where it is to be differentiated it is given Variables; what it computes
from them by operators, by xpnet's functions or by those of `array_namespace(x)` is differentiable,
to any order: transforms may be transformed. Arguments may be trees of arrays, see `xpnet.autodiff.tree`.

**What comes back.** Arrays for arrays and Python's numbers; for Variables, Variables. If f reaches
anything else that requires a gradient (a model's parameters in its closure), then Variables come
back as well, and remember: a loss made of derivatives can be differentiated by the parameters.
Under `no_grad` transforms work as ever, but nothing of what they give back is recorded.

**What is zero, and what is an error.** The derivative by an argument that f's value does not depend
on is zero. But a value that nothing was recorded for at all is a GradientError, never a zero: it
is far more often a graph that was lost than a function that is constant. A constant *derivative*
is no such loss: the second derivative of 3 x is zero.

**Complex numbers.** The gradient of a real L by z = x + iy is dL/dx - i dL/dy, as in JAX.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import array_api_compat as compat

from xpnet._libraries import library_of
from xpnet._libraries.devices import follow, stays
from xpnet._typing import Array
from xpnet.autodiff import tree
from xpnet.autodiff._traced_call import (
    Call,
    dot,
    fitting,
    fresh,
    is_complex,
    name_of,
    slopes,
    tracked,
)
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.tape import recorded, recording, seed
from xpnet.autodiff.variable import Variable, as_constant, data_of, node_of
from xpnet.errors import ArgumentError, ArgumentTypeError, GradientError

__all__ = [
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "value_and_grad",
    "vjp",
]

Callee = Callable[..., Any]


def value_and_grad(f: Callee, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callee:
    """A function that gives f's value and its gradient, for little more than the price of one.

    Parameters
    ----------
    f : callable
        Returns a single real number; with `has_aux`, a pair of that and of anything else.
    argnums : int or sequence of int
        Which positional arguments to differentiate by: trees of arrays of floating-point numbers.
        All others, and those given by name, reach f as they are.
    has_aux : bool

    Returns
    -------
    callable
        Takes what f takes. Gives (value, gradient), with `has_aux` ((value, aux), gradient). The
        gradient is built like the argument, each leaf of its leaf's shape and dtype; of several
        `argnums`, a tuple of these.

    Raises
    ------
    GradientError
        From the function returned: f gave no single real number, or none that was recorded.
    TypeError
        Likewise: an argument to differentiate by is of integers, or is missing.

    Examples
    --------
    >>> def loss(parameters, x, t):
    ...     difference = parameters["w"] * x + parameters["b"] - t
    ...     return difference * difference
    >>> value, slope = value_and_grad(loss)({"w": 2.0, "b": 1.0}, 3.0, t=5.0)
    >>> float(value), {name: float(g) for name, g in slope.items()}
    (4.0, {'w': 12.0, 'b': 4.0})
    """

    @wraps(f, updated=())
    def value_and_gradient(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        call = Call(f, argnums, args, kwargs, has_aux)
        gradient = call.like_arguments(call.pull([call.number()], [1.0]))
        value = call.value(call.y)
        return ((value, tree.map(call.value, call.aux)) if has_aux else value), gradient

    return value_and_gradient


def grad(f: Callee, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callee:
    """A function that gives the gradient of f: the derivative of its one number by each of many.

    Parameters
    ----------
    f, argnums, has_aux
        As for `value_and_grad`, which raises the same errors.

    Returns
    -------
    callable
        Takes what f takes. Gives the gradient; with `has_aux`, (gradient, aux).

    Examples
    --------
    >>> @grad
    ... def slope(x):
    ...     return x * x * x
    >>> float(slope(2.0)), float(grad(slope)(2.0)), float(grad(grad(slope))(2.0))
    (12.0, 12.0, 6.0)
    """
    both = value_and_grad(f, argnums, has_aux)

    @wraps(f, updated=())
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, slope = both(*args, **kwargs)
        return (slope, value[1]) if has_aux else slope

    return gradient


def vjp(f: Callee, *primals: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """f's value, and a function that multiplies its derivative by a vector from the left.

    For y = f(x) with the Jacobian J[i, j] = dy_i / dx_j, `pull(gy)` is the vector sum_i gy_i J[i, j]
    for about the price of f, however many numbers x and y have. (vector-Jacobian product)

    Parameters
    ----------
    f : callable
        Returns a Variable, or a tree of them.
    *primals : trees of arrays
        All that f is called with.

    Returns
    -------
    y : array, or tree of arrays
    pull : callable
        Takes gradients built like y, each of the shape of its leaf. Gives a tuple: the gradients
        of sum(gy y) by each of the primals. May be called more than once.

    Raises
    ------
    GradientError
        What f returned was not recorded.
    ShapeError, TypeError
        From `pull`: gy is of another shape, or built in another way.

    Examples
    --------
    >>> from xpnet import Variable
    >>> y, pull = vjp(lambda a, b: a * b, Variable([1.0, 2.0]).data, 10.0)
    >>> [g.tolist() for g in pull([1.0, 1.0])]
    [[10.0, 10.0], 3.0]
    """
    call = Call(f, range(len(primals)), primals, {})

    def pull(gy: Array) -> tuple[Any, ...]:
        pairs = zip(call.ys, tree.matched(call.y, gy), strict=True)
        gys = [fitting(y, g, f"the gradient of y{path}") for y, (path, g) in pairs]
        gradients: tuple[Any, ...] = call.like_arguments(call.pull(call.ys, gys))
        return gradients

    return tree.map(call.value, call.y), pull


def jvp(f: Callee, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """f's value, and its derivative in a direction: the Jacobian times a vector from the right.

    For y = f(x), y_dot_i = sum_j J[i, j] x_dot_j: how fast y moves when x moves at x_dot. It is
    computed by reverse steps alone: the gradient of sum(u y) is linear in u, and its derivative
    by u, along x_dot, is y_dot. (Jacobian-vector product)

    Parameters
    ----------
    f : callable
        Returns a Variable, or a tree of them.
    primals : sequence of trees of arrays
        All that f is called with.
    tangents : sequence, built like `primals`
        How fast each of them moves.

    Returns
    -------
    y, y_dot : arrays, or trees of arrays
        Of the same shapes and dtypes.

    Raises
    ------
    GradientError
        What f returned was not recorded.
    ShapeError, TypeError
        The tangents are of other shapes, or built in another way.

    Examples
    --------
    >>> y, y_dot = jvp(lambda a, b: a * b, (2.0, 3.0), (1.0, 10.0))
    >>> float(y), float(y_dot)
    (6.0, 23.0)
    """
    call = Call(f, range(len(primals)), primals, {})
    moving = tree.matched(tuple(call.trees), tuple(tangents))
    pairs = zip(call.xs, moving, strict=True)
    x_dots = [fitting(x, t, f"the tangent of primals{path}") for x, (path, t) in pairs]
    floating = [y for y in call.ys if tracked(y)]
    us = [fresh(seed(y.data, 1.0)) for y in floating]
    with recorded():
        speed = as_constant(dot(call.pull(floating, us), x_dots))
    graph = recording.get() and (call.recorded or any(map(tracked, x_dots)))
    found = slopes([speed], [1.0], [node_of(u) for u in us], graph)
    speeds = iter([call.given(g, u) for g, u in zip(found, us, strict=True)])
    y_dots = [next(speeds) if tracked(y) else call.given(None, y) for y in call.ys]
    return tree.map(call.value, call.y), tree.rebuild(call.y, y_dots)


def jacobian(f: Callee, argnums: int | Sequence[int] = 0) -> Callee:
    """A function that gives all derivatives of f: J[i, j] = dy_i / dx_j.

    It takes one pull for each number of y. For one product with J see `vjp` and `jvp`.

    Parameters
    ----------
    f : callable
        Returns a Variable of real numbers, or a tree of them.
    argnums : int or sequence of int
        As for `grad`.

    Returns
    -------
    callable
        Takes what f takes. Gives an array of shape (*y.shape, *x.shape). Where y and x are trees,
        a tree built like y, whose leaves are trees built like x.

    Raises
    ------
    GradientError
        From the function returned: what f returned was not recorded, or is complex.

    Examples
    --------
    >>> from xpnet import Variable
    >>> jacobian(lambda x: x * x)(Variable([1.0, 2.0, 3.0]).data).tolist()
    [[2.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 6.0]]
    """

    @wraps(f, updated=())
    def all_derivatives(*args: Any, **kwargs: Any) -> Any:
        call = Call(f, argnums, args, kwargs)
        return tree.rebuild(call.y, [call.like_arguments(_rows(call, y)) for y in call.ys])

    return all_derivatives


def hessian(f: Callee, argnums: int | Sequence[int] = 0) -> Callee:
    """A function that gives all second derivatives of f: H[i, j] = d^2 y / dx_i dx_j.

    It is jacobian(grad(f)). For one product with H see `hvp`.

    Parameters
    ----------
    f, argnums
        As for `grad`, which raises the same errors.

    Returns
    -------
    callable
        Takes what f takes. Gives an array of shape (*x.shape, *x.shape); where x is a tree, a tree
        of trees.

    Examples
    --------
    >>> from xpnet import Variable
    >>> hessian(lambda x: x[0] * x[0] * x[1])(Variable([3.0, 5.0]).data).tolist()
    [[10.0, 6.0], [6.0, 0.0]]
    """
    return jacobian(grad(f, argnums), argnums)


def hvp(f: Callee, argnums: int = 0) -> Callee:
    """A function that gives f's second derivative times a vector: sum_j H[i, j] v_j.

    H is never formed: it is the gradient of sum(v grad f). The signature is SciPy's, so
    `scipy.optimize.minimize(f, x, jac=grad(f), hessp=hvp(f), method="trust-ncg")` works.

    Parameters
    ----------
    f : callable
        Returns a single real number.
    argnums : int
        Which positional argument to differentiate by, counted from the front.

    Returns
    -------
    callable
        Takes what f takes and, directly behind x, the vector v, built like x: h(x, v, *args).
        Gives H v, built like x.

    Raises
    ------
    GradientError, TypeError
        From the function returned, as from that of `grad`.
    ShapeError
        v is of another shape than x.

    Examples
    --------
    >>> from xpnet import Variable
    >>> x, v = Variable([3.0, 5.0]).data, Variable([1.0, 2.0]).data
    >>> hvp(lambda x: x[0] * x[0] * x[1])(x, v).tolist()
    [22.0, 6.0]
    """
    if argnums < 0:
        raise ArgumentError(f"hvp expected argnums counted from the front, got {argnums}.")
    gradient = grad(f, argnums)

    def product(*args: Any, **kwargs: Any) -> Any:
        if len(args) < argnums + 2:
            raise ArgumentTypeError(
                f"hvp({name_of(f)}) expected x and v, got {len(args)} arguments."
            )
        x, v = args[argnums : argnums + 2]

        @wraps(f, updated=())
        def along(*inputs: Array, **options: Any) -> Any:
            slope = tree.leaves(gradient(*inputs, **options))
            pairs = zip(slope, tree.matched(x, v), strict=True)
            return dot(slope, [fitting(g, t, f"v{path}") for g, (path, t) in pairs])

        return grad(along, argnums)(*args[: argnums + 1], *args[argnums + 2 :], **kwargs)

    return product


@stays
def _rows(call: Call, y: Variable) -> list[Any]:
    """The derivative of y by each of the xs: arrays of shape (*y.shape, *x.shape)."""
    if is_complex(y):
        raise GradientError(
            f"jacobian expected real numbers of {name_of(call.f)}, got {y.dtype}. Take the real "
            "and the imaginary part one by one; of a holomorphic function, pull 1.0 through vjp."
        )
    follow(y)
    xp = array_namespace(y.data)
    library = library_of(y.data)
    count = compat.size(y.data) or 0
    flat = xp.reshape(y.data, (-1,))
    ones = (library.set_item(xp.zeros_like(flat), i, 1.0) for i in range(count))
    rows = [call.pull([y], [xp.reshape(one, y.shape)]) for one in ones]
    derivatives = []
    for j, x in enumerate(call.xs):
        follow(x)
        column = [row[j] for row in rows] or [xp.zeros_like(data_of(x))]
        stacked = array_namespace(*column).stack(column)[:count, ...]
        derivatives.append(array_namespace(stacked).reshape(stacked, (*y.shape, *x.shape)))
    return derivatives
