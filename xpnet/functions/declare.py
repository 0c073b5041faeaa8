"""How a function joins the differentiable namespace: `standard`, `elementwise`, `constant`.

Whatever is declared here under a name of the array API standard is what `array_namespace(v)`
offers for a Variable `v`, and what the operators of `v` call.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from xpnet.autodiff import Function, Variable, as_constant, data_of
from xpnet.namespace import array_namespace, differentiable

Callee = TypeVar("Callee", bound=Callable[..., Any])


def standard(function: Callee) -> Callee:
    """Decorator: offer `function` to Variables as the standard's function of that name."""
    differentiable[function.__name__] = function
    return function


def from_front(axis: int, ndim: int) -> int:
    """`axis` counted from the front; IndexError where there is none. Not every library looks."""
    if not -ndim <= axis < ndim:
        raise IndexError(f"axis {axis} is out of range for {ndim} dimensions.")
    return axis % ndim


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
    wanted = [rule.__code__.co_varnames[1 : rule.__code__.co_argcount] for rule in rules]
    kept = [n for n in ("y", *inputs) if any(n in names for names in wanted)]
    places = [tuple(kept.index(n) for n in names) for names in wanted]

    class Elementwise(Function):
        def forward(self, *xs: Any) -> Any:
            return getattr(array_namespace(*xs), name)(*xs)

        def backward(self, gy: Any, *values: Any) -> Any:
            return tuple(
                rule(gy, *(values[i] for i in place)) if need else None
                for rule, place, need in zip(rules, places, self.needs, strict=True)
            )

    def unary(x: Any, /) -> Any:
        return Elementwise()(x)

    def binary(x1: Any, x2: Any, /) -> Any:
        return Elementwise()(x1, x2)

    Elementwise.takes_y = "y" in kept
    Elementwise.takes = tuple(inputs.index(n) for n in kept if n != "y")
    function = unary if len(rules) == 1 else binary
    Elementwise.__name__ = function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return standard(function)


def constant(name: str, doc: str) -> Callable[..., Any]:
    """A function of the standard whose result has no derivative: booleans, indices, steps.

    Of Variables it makes a Variable without history, so that no gradient can be lost unseen.
    """

    def function(*args: Any, **kwargs: Any) -> Any:
        arrays = [data_of(x) for x in args]
        xp = array_namespace(*(x for x in arrays if not isinstance(x, (tuple, str))))
        y = getattr(xp, name)(*arrays, **kwargs)
        return as_constant(y) if any(isinstance(x, Variable) for x in args) else y

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return standard(function)
