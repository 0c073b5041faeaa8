"""How a function joins the differentiable namespace, and what becomes of its derivative.

    standard       differentiable: a Function of its own, or composed of others that are
    elementwise    differentiable: one line in a table, a rule for each argument
    constant       its result has no derivative (booleans, indices, steps): no history
    structural     it makes arrays, or answers questions about dtypes and shapes: no history

Whatever is declared here is what `array_namespace(v)` offers for a Variable `v`, what the operators
of `v` call, and a row of the capability table. A name that is not declared is not there.
"""

import inspect
import operator
from collections.abc import Callable
from functools import wraps
from sys import modules
from typing import Any, TypeVar

from xpnet._libraries.devices import follows, several, together
from xpnet._typing import Array
from xpnet.autodiff._messages import explain, look_at, named
from xpnet.autodiff._signatures import Rule
from xpnet.autodiff.function import Function, call_of
from xpnet.autodiff.namespace import array_namespace, functions, kinds, methods
from xpnet.autodiff.variable import Variable, as_constant, data_of
from xpnet.errors import IndexingError

Callee = TypeVar("Callee", bound=Callable[..., Any])


def _declare(name: str, function: Callable[..., Any], kind: str) -> None:
    functions[name], kinds[name] = function, kind


def standard(function: Callee) -> Callee:
    """Decorator: offer `function` to Variables as the standard's function of that name."""
    function = named(function)
    _declare(function.__name__, function, "differentiable")
    return function


def extension(name: str, kind: str = "differentiable") -> Callable[[Callee], Callee]:
    """Decorator: the same, for a function of an extension, such as "linalg"."""

    def declare(function: Callee) -> Callee:
        if (
            function.__name__ not in functions
        ):  # otherwise it is in the main namespace, and follows already
            function = named(follows(function))
        _declare(f"{name}.{function.__name__}", function, kind)
        return function

    return declare


def structural(function: Callee) -> Callee:
    """Decorator: offer a function that asks the switch where no array tells it what to make."""
    _declare(function.__name__, function, "structural")
    return function


def method(name: str) -> Callable[[Callee], Callee]:
    """Decorator: offer a function as the array object's own, not as one of the namespace."""

    def declare(function: Callee) -> Callee:
        methods[name] = function
        return function

    return declare


def constant(function: Callable[..., Any], within: str = "", broadcasts: bool = False) -> Any:
    """Decorator: the library's own function of this name, on the arrays that Variables hold.

    The decorated function gives the signature and the docstring; its body is not run. Of Variables
    the result is a Variable without history, or a tuple of them, so that nobody can take it for
    something that has a derivative.
    """
    name = function.__name__
    signature = inspect.signature(function)
    declared = function

    @wraps(function)
    def on_arrays(*args: Any, **kwargs: Any) -> Any:
        arrays = [data_of(x) for x in args]
        options = {key: data_of(x) for key, x in kwargs.items()} if kwargs else kwargs
        try:
            xp = array_namespace(*arrays)
        except TypeError:
            signature.bind(*args, **kwargs)  # too few arguments, or an unknown one?
            look_at(declared, name, args, kwargs)
            raise
        try:
            function = getattr(getattr(xp, within) if within else xp, name)
            if "cupy" in modules and several():
                y = together(name, function, arrays, options)
            else:
                y = function(*arrays, **options)
        except Exception as error:
            explain(error, name, arrays, broadcasts, declared)
            raise
        if not any(isinstance(x, Variable) for x in (*args, *kwargs.values())):
            return y
        return as_constants(y) if isinstance(y, tuple) else as_constant(y)

    _declare(f"{within}.{name}" if within else name, on_arrays, "constant")
    return on_arrays


def as_constants(ys: Any) -> Any:
    """A tuple of arrays, named or not, as the same tuple of constant Variables."""
    constants = [as_constant(y) for y in ys]
    return type(ys)(*constants) if hasattr(ys, "_fields") else tuple(constants)


def elementwise(name: str, doc: str, *rules: Callable[..., Any]) -> Callable[..., Any]:
    """A differentiable elementwise function of the standard, from one rule for each argument.

    Parameters
    ----------
    name : str
        Its name in the standard; arrays are handed to their own library's function.
    doc : str
        Its docstring.
    *rules : callables
        The gradient of each argument, from `gy` and from whatever else the rule names: `y`, the
        output; `x`, the argument; of two arguments, `x1` and `x2`. One that is not asked for is
        not computed.

    Returns
    -------
    callable
        f(x) or f(x1, x2). Broadcasting and promotion are undone by the tape.
    """
    inputs = ("x",) if len(rules) == 1 else ("x1", "x2")
    wanted = [tuple(inspect.signature(rule).parameters)[1:] for rule in rules]  # after gy
    kept = [n for n in ("y", *inputs) if any(n in names for names in wanted)]
    places = [tuple(kept.index(n) for n in names) for names in wanted]
    takes = tuple(inputs.index(n) for n in kept if n != "y")
    rule = Rule(takes, y_at=0 if "y" in kept else None)

    class Elementwise(Function, broadcasts=True, rule=rule):
        def forward(self, *xs: Array) -> Array:
            return getattr(array_namespace(*xs), name)(*xs)

        def backward(self, gy: Array, *values: Any) -> Any:
            if len(rules) == 1:
                return rules[0](gy, *[values[i] for i in places[0]])
            needs = call_of(self).needs
            gx1 = rules[0](gy, *[values[i] for i in places[0]]) if needs[0] else None
            gx2 = rules[1](gy, *[values[i] for i in places[1]]) if needs[1] else None
            return gx1, gx2

    def unary(x: Array, /) -> Array:
        return Elementwise()(x)

    def binary(x1: Array, x2: Array, /) -> Array:
        return Elementwise()(x1, x2)

    function = unary if len(rules) == 1 else binary
    Elementwise.__name__ = function.__name__ = function.__qualname__ = name
    function.__module__ = "xpnet.functions.elementwise"
    function.__doc__ = doc
    _declare(name, function, "differentiable")
    return function


def step(name: str, doc: str, arguments: int = 1) -> Callable[..., Any]:
    """An elementwise `constant` of the standard, of one or two arguments, in one line of a table."""

    def unary(x: Array, /) -> Any:
        raise NotImplementedError

    def binary(x1: Array, x2: Array, /) -> Any:
        raise NotImplementedError

    function = unary if arguments == 1 else binary
    function.__name__ = function.__qualname__ = name
    function.__module__ = "xpnet.functions.elementwise"
    function.__doc__ = doc
    result: Callable[..., Any] = constant(function, broadcasts=arguments == 2)
    return result


def axes_of(axis: Any, ndim: int, name: str) -> tuple[int, ...]:
    """One axis, several, or None for all, as a tuple counted from the front."""
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    return tuple(from_front(a, ndim, name) for a in axes)


def from_front(axis: int, ndim: int, name: str) -> int:
    """`axis` counted from the front; IndexError where there is none. Not every library looks.

    `name` is that of the function which was given the axis.
    """
    axis = operator.index(axis)  # NumPy's integers too
    if not -ndim <= axis < ndim:
        expected = f"an axis from {-ndim} to {ndim - 1}" if ndim else "no axis, for a single number"
        raise IndexingError(f"{name} expected {expected}, got axis {axis}: it is out of range.")
    return axis % ndim
