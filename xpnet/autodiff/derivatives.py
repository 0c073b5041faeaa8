"""Derivatives as functions: `grad(f)` is a function, and so is its own gradient.

    value_and_grad(f)   grad(f)        the gradient of one number
    vjp(f, *xs)         jvp(f, ...)    the Jacobian, times a vector from the left or from the right
    jacobian(f)         hessian(f)     the whole Jacobian; all second derivatives
    hvp(f)                             the second derivative times a vector, at the cost of two gradients

f is plain code on arrays. To differentiate it, these functions call it with Variables. What it computes
from them by operators, by xpnet's functions or by those of `array_namespace(x)` is differentiable,
to any order: derivatives can be differentiated. Arguments may be trees of arrays, see
`xpnet.autodiff.tree`.

**What is returned.** Arrays for arrays and Python's numbers; Variables for Variables. If f uses
anything else that requires a gradient (a model's parameters in its closure), Variables are returned
as well, and they are recorded: a loss that contains derivatives can be differentiated with respect to
the parameters. Under `no_grad` these functions work as usual, but their results are not recorded.

**What is zero, and what is an error.** The derivative with respect to an argument that f's value does
not depend on is zero. But a value for which nothing was recorded at all is a GradientError, never a zero: a
graph that was lost is far more frequent than a function that is constant. A constant *derivative*
is not an error: the second derivative of 3 x is zero.

**Complex numbers.** The gradient of a real L with respect to z = x + iy is dL/dx - i dL/dy, as in JAX.
"""

from collections.abc import Callable, Iterator, Sequence
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
from xpnet.autodiff.tree import Tree
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
    """A function that returns f's value and its gradient, at little more than the cost of one.

    Parameters
    ----------
    f : callable
        Returns a single real number; with `has_aux`, a pair of that and of anything else.
    argnums : int or sequence of int
        With respect to which positional arguments to differentiate: trees of arrays of
        floating-point numbers.
        All others, and those given by name, are passed to f as they are.
    has_aux : bool
        Whether f returns such a pair.

    Returns
    -------
    callable
        Takes the arguments of f. Returns (value, gradient), with `has_aux` ((value, aux), gradient).
        The gradient is a tree like the argument, and each leaf has the shape and dtype of that of
        the argument; for several `argnums`, a tuple of these.

    Raises
    ------
    GradientError
        From the function returned: f did not return a single real number, or it was not recorded.
    TypeError
        From the function returned: one of these arguments holds integers, or is missing.

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
    def value_and_gradient(*args: Tree, **kwargs: Tree) -> tuple[Tree, Tree]:
        call = Call(f, argnums, args, kwargs, has_aux)
        gradient = call.like_arguments(call.pull([call.number()], [1.0]))
        value = call.value(call.y)
        if has_aux:
            return (value, tree.map(call.value, call.aux)), gradient
        return value, gradient

    return value_and_gradient


def grad(f: Callee, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callee:
    """A function that returns the gradient of f: the derivatives of its value with respect to x.

    Parameters
    ----------
    f, argnums, has_aux
        As for `value_and_grad`, which raises the same errors.

    Returns
    -------
    callable
        Takes the arguments of f. Returns the gradient; with `has_aux`, (gradient, aux).

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
    def gradient(*args: Tree, **kwargs: Tree) -> Tree:
        value, slope = both(*args, **kwargs)
        if has_aux:
            return slope, value[1]
        return slope

    return gradient


def vjp(f: Callee, *primals: Tree) -> tuple[Tree, Callable[[Tree], tuple[Tree, ...]]]:
    """f's value, and a function that multiplies its derivative by a vector from the left.

    For y = f(x) with the Jacobian J[i, j] = dy_i / dx_j, `pull(gy)` is the vector sum_i gy_i J[i, j],
    the vector-Jacobian product, at about the cost of f, whatever the sizes of x and y.

    Parameters
    ----------
    f : callable
        Returns a Variable, or a tree of them.
    *primals : trees of arrays
        All arguments of f.

    Returns
    -------
    y : array, or tree of arrays
    pull : callable
        Takes gradients as a tree like y, each of the shape of its leaf. Returns a tuple: the
        gradients of sum(gy y) with respect to each of the primals. It may be called more than once.

    Raises
    ------
    GradientError
        The result of f was not recorded.
    ShapeError, TypeError
        From `pull`: gy has another shape, or is another kind of tree.

    Examples
    --------
    >>> from xpnet import Variable
    >>> y, pull = vjp(lambda a, b: a * b, Variable([1.0, 2.0]).data, 10.0)
    >>> [g.tolist() for g in pull([1.0, 1.0])]
    [[10.0, 10.0], 3.0]
    """
    call = Call(f, range(len(primals)), primals, {})

    def pull(gy: Tree) -> tuple[Tree, ...]:
        pairs = zip(call.ys, tree.matched(call.y, gy), strict=True)
        gys = [fitting(y, g, f"the gradient of y{path}") for y, (path, g) in pairs]
        gradients: tuple[Tree, ...] = call.like_arguments(call.pull(call.ys, gys))
        return gradients

    return tree.map(call.value, call.y), pull


def jvp(f: Callee, primals: Sequence[Tree], tangents: Sequence[Tree]) -> tuple[Tree, Tree]:
    """f's value, and its derivative in a direction: the Jacobian times a vector from the right.

    For y = f(x), y_dot_i = sum_j J[i, j] x_dot_j, the Jacobian-vector product: how fast y changes
    when x changes at the rate x_dot. It is computed by two walks back: the first computes g(u), the
    gradient of sum(u y) with respect to x, which is linear in u; the second differentiates
    sum(g(u) x_dot) with respect to u, and that is y_dot.

    Parameters
    ----------
    f : callable
        Returns a Variable, or a tree of them.
    primals : sequence of trees of arrays
        All arguments of f.
    tangents : sequence of trees like those of `primals`
        The rates at which they change.

    Returns
    -------
    y, y_dot : arrays, or trees of arrays
        Of the same shapes and dtypes.

    Raises
    ------
    GradientError
        The result of f was not recorded.
    ShapeError, TypeError
        The tangents have other shapes, or are other kinds of trees.

    Examples
    --------
    >>> y, y_dot = jvp(lambda a, b: a * b, (2.0, 3.0), (1.0, 10.0))
    >>> float(y), float(y_dot)
    (6.0, 23.0)
    """
    if not (isinstance(primals, (tuple, list)) and isinstance(tangents, (tuple, list))):
        raise ArgumentTypeError(
            "jvp expected primals and tangents as tuples or lists, which have an item for each "
            f"argument of {name_of(f)}; for one argument x, write (x,)."
        )
    call = Call(f, range(len(primals)), primals, {})
    matched = tree.matched(tuple(call.trees), tuple(tangents))
    pairs = zip(call.xs, matched, strict=True)
    x_dots = [fitting(x, t, f"the tangent of primals{path}") for x, (path, t) in pairs]
    floating = [y for y in call.ys if tracked(y)]
    us = [fresh(seed(y.data, 1.0)) for y in floating]
    with recorded():
        rate = as_constant(dot(call.pull(floating, us), x_dots))  # of sum(u y) along x_dot
    create_graph = recording.get() and (call.recorded or any(map(tracked, x_dots)))
    found = slopes([rate], [1.0], [node_of(u) for u in us], create_graph)
    rates = iter([call.for_caller(g, u) for g, u in zip(found, us, strict=True)])
    y_dots = [next(rates) if tracked(y) else call.for_caller(None, y) for y in call.ys]
    return tree.map(call.value, call.y), tree.rebuild(call.y, y_dots)


def jacobian(f: Callee, argnums: int | Sequence[int] = 0, *, columns: bool = False) -> Callee:
    """A function that returns all derivatives of f: J[i, j] = dy_i / dx_j.

    By rows, it takes one backward pass for each number of y; by columns, one for each number of x. For
    one product with J, see `vjp` and `jvp`.

    Parameters
    ----------
    f : callable
        Returns a Variable of real numbers, or a tree of them.
    argnums : int or sequence of int
        As for `grad`.
    columns : bool
        Whether J is computed by columns. That is faster where x has far fewer numbers than y, as in a
        fit of a few parameters to many measurements. A column takes about as long as three rows, and
        is computed as a second derivative is: so a `custom_rule` must be differentiable itself.

    Returns
    -------
    callable
        Takes the arguments of f. Returns an array of shape (*y.shape, *x.shape); if y and x are
        trees, a tree like y whose leaves are trees like x.

    Raises
    ------
    GradientError
        From the function returned: the result of f was not recorded, or is complex; by columns, an
        argument is complex.

    Examples
    --------
    >>> from xpnet import Variable
    >>> jacobian(lambda x: x * x)(Variable([1.0, 2.0, 3.0]).data).tolist()
    [[2.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 6.0]]
    """
    by = _by_columns if columns else _by_rows

    @wraps(f, updated=())
    def all_derivatives(*args: Tree, **kwargs: Tree) -> Tree:
        call = Call(f, argnums, args, kwargs)
        return tree.rebuild(call.y, [call.like_arguments(by(call, y)) for y in call.ys])

    return all_derivatives


def hessian(f: Callee, argnums: int | Sequence[int] = 0) -> Callee:
    """A function that returns all second derivatives of f: H[i, j] = d^2 y / dx_i dx_j.

    It is jacobian(grad(f)). For one product with H, see `hvp`.

    Parameters
    ----------
    f, argnums
        As for `grad`, which raises the same errors.

    Returns
    -------
    callable
        Takes the arguments of f. Returns an array of shape (*x.shape, *x.shape); if x is a tree, a
        tree of trees.

    Examples
    --------
    >>> from xpnet import Variable
    >>> hessian(lambda x: x[0] * x[0] * x[1])(Variable([3.0, 5.0]).data).tolist()
    [[10.0, 6.0], [6.0, 0.0]]
    """
    return jacobian(grad(f, argnums), argnums)


def hvp(f: Callee, argnums: int = 0) -> Callee:
    """A function that returns f's second derivative times a vector: sum_j H[i, j] v_j.

    H is never formed: the product is the gradient of sum(v grad f). The signature is SciPy's, so
    `scipy.optimize.minimize(f, x, jac=grad(f), hessp=hvp(f), method="trust-ncg")` works.

    Parameters
    ----------
    f : callable
        Returns a single real number.
    argnums : int
        With respect to which positional argument to differentiate, counted from the front.

    Returns
    -------
    callable
        Takes the arguments of f and, directly after x, the vector v, a tree like x: h(x, v, *args).
        Returns H v, a tree like x.

    Raises
    ------
    GradientError, TypeError
        From the function returned, as from that of `grad`.
    ShapeError
        v has another shape than x.

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

    def product(*args: Tree, **kwargs: Tree) -> Tree:
        if len(args) < argnums + 2:
            raise ArgumentTypeError(
                f"hvp({name_of(f)}) expected x and v, got {len(args)} arguments."
            )
        x, v = args[argnums : argnums + 2]

        @wraps(f, updated=())
        def along(*inputs: Tree, **options: Tree) -> Array:
            slope = tree.leaves(gradient(*inputs, **options))
            pairs = zip(slope, tree.matched(x, v), strict=True)
            return dot(slope, [fitting(g, t, f"v{path}") for g, (path, t) in pairs])

        return grad(along, argnums)(*args[: argnums + 1], *args[argnums + 2 :], **kwargs)

    return product


@stays
def _by_rows(call: Call, y: Variable) -> list[Array]:
    """The Jacobian of y with respect to each of the xs: arrays of shape (*y.shape, *x.shape).

    Row i of each is the gradient of number i of y: one walk back, which starts with 1 for that number
    and 0 for all others.
    """
    _require_real(call, y)
    follow(y)
    rows = [call.pull([y], [one]) for one in _units(y.data)]
    derivatives = []
    for j, x in enumerate(call.xs):
        follow(x)
        stacked = _stacked([row[j] for row in rows], x)
        derivatives.append(array_namespace(stacked).reshape(stacked, (*y.shape, *x.shape)))
    return derivatives


@stays
def _by_columns(call: Call, y: Variable) -> list[Array]:
    """The same as `_by_rows`. The gradient g(u) of sum(u y) is linear in u: g = u J.

    So column j of J is the gradient of g_j with respect to u: one walk back through the first one,
    recorded.
    """
    for v in (y, *call.xs):
        _require_real(call, v)
    u = fresh(seed(y.data, 1.0))
    with recorded():
        gradients = [as_constant(g) for g in call.pull([y], [u])]
    create_graph = recording.get() and call.recorded
    derivatives = []
    for x, g in zip(call.xs, gradients, strict=True):
        follow(x)
        found = [slopes([g], [one], [node_of(u)], create_graph)[0] for one in _units(x.data)]
        stacked = _stacked([call.for_caller(column, u) for column in found], u)
        xp = array_namespace(stacked)
        flat = xp.reshape(stacked, (len(found), compat.size(y.data) or 0))
        derivative = xp.reshape(flat.T, (*y.shape, *x.shape))
        # The columns have the dtype of y; gradients with respect to x, the dtype of x.
        derivatives.append(xp.astype(derivative, x.dtype, copy=False))
    return derivatives


def _require_real(call: Call, x: Variable) -> None:
    """Raise if a result, or an argument, of a Jacobian is complex."""
    if is_complex(x):
        raise GradientError(
            f"jacobian expected real numbers of {name_of(call.f)}, got {x.dtype}. Take the real "
            "and the imaginary part one by one; for a holomorphic function, pull 1.0 through vjp."
        )


def _units(x: Array) -> Iterator[Array]:
    """For each number of x, an array like x with 1 in its place, and 0 everywhere else."""
    xp = array_namespace(x)
    flat = xp.reshape(x, (-1,))
    for i in range(compat.size(x) or 0):
        yield xp.reshape(library_of(x).set_item(xp.zeros_like(flat), i, 1.0), x.shape)


def _stacked(parts: Sequence[Array], x: Variable) -> Array:
    """Arrays like x along a new first axis, which may be empty."""
    # Where there are none, one is put in, for its dtype and device, and cut off again.
    given = parts or [array_namespace(data_of(x)).zeros_like(data_of(x))]
    return array_namespace(*given).stack(given)[: len(parts), ...]
