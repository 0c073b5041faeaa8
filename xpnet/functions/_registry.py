"""How a function joins the differentiable namespace, and whether it has a derivative.

    standard       differentiable: a Function, or composed of others that are differentiable
    elementwise    differentiable: one line in a table, with a rule for each argument
    constant       its result has no derivative (booleans, indices, steps) and no history
    structural     it creates arrays, or returns facts about dtypes and shapes: no history

What is declared here is what `array_namespace(v)` has for a Variable `v`, what the operators of `v`
call, and a row of the capability table. The namespace has no other names.

The extensions `linalg`, `fft` and `special` are a third of all functions, and most programs use none of
them. They are imported when one is first used, by `F.linalg` or by `xp.linalg` of a Variable's namespace
(see `import_extension`), and declare their functions then.
"""

import inspect
import operator
from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module
from sys import modules
from types import ModuleType
from typing import Any, TypeVar

from xpnet._libraries.devices import call_on_one_device, follows, several
from xpnet._typing import Array
from xpnet.autodiff._messages import explain, named, require_arrays_in_call
from xpnet.autodiff._signatures import Rule, parameter_names
from xpnet.autodiff.function import Function, call_of
from xpnet.autodiff.namespace import array_namespace, functions, kinds, methods
from xpnet.autodiff.variable import Variable, as_constant, data_of
from xpnet.errors import IndexingError
from xpnet.functions._elementwise_docs import docstring

Callee = TypeVar("Callee", bound=Callable[..., Any])


def _declare(name: str, function: Callable[..., Any], kind: str) -> None:
    """Put a function of the standard into the namespace of Variables, with its kind."""
    functions[name] = function
    kinds[name] = kind


def standard(function: Callee) -> Callee:
    """Decorator: `function` is the standard's function of that name, for Variables too."""
    function = named(function)
    _declare(function.__name__, function, "differentiable")
    return function


def extension(name: str, kind: str = "differentiable") -> Callable[[Callee], Callee]:
    """Decorator: `function` is that of its name in an extension of the standard, such as "linalg"."""

    def declare(function: Callee) -> Callee:
        # One that is also in the main namespace has been decorated there.
        if function.__name__ not in functions:
            function = named(follows(function))
        _declare(f"{name}.{function.__name__}", function, kind)
        return function

    return declare


def structural(function: Callee) -> Callee:
    """Decorator: the function creates arrays of the current backend, unless an array is given."""
    _declare(function.__name__, function, "structural")
    return function


def method(name: str) -> Callable[[Callee], Callee]:
    """Decorator: Variables call the function by this name, which is not in the namespace."""

    def declare(function: Callee) -> Callee:
        methods[name] = function
        return function

    return declare


@method("import_extension")
def import_extension(name: str) -> ModuleType:
    """The module of an extension of the standard, which its first use imports."""
    return import_module(f"xpnet.functions.{name}")


def hide_chapters(package: dict[str, Any]) -> None:
    """Delete the submodules that are not in `__all__` from the `globals()` of a package.

    `F.cross_entropy` is then an error that names `F.softmax_cross_entropy`, not a module. Imports
    of submodules do not need the attributes.
    """
    for name, value in list(package.items()):
        is_chapter = isinstance(value, ModuleType) and value.__package__ == package["__name__"]
        if is_chapter and name not in package["__all__"]:
            del package[name]


def constant(function: Callee, within: str = "", broadcasts: bool = False) -> Callee:
    """Decorator: the library's own function of this name, on the arrays in Variables.

    Only the signature and the docstring of the decorated function are used; its body does not run.
    For Variables, the result is a Variable without history, or a tuple of them: it cannot be
    mistaken for something that has a derivative.

    Parameters
    ----------
    function : callable
    within : str
        The extension of the standard that has the function.
    broadcasts : bool
        Whether the arguments must have shapes that broadcast.
    """
    name = function.__name__

    @wraps(function)
    def on_arrays(*args: Any, **kwargs: Any) -> Any:
        arrays = [data_of(x) for x in args]
        options = {key: data_of(x) for key, x in kwargs.items()}
        try:
            xp = array_namespace(*arrays)
        except TypeError:
            inspect.signature(function).bind(*args, **kwargs)  # raises if one is missing or unknown
            require_arrays_in_call(function, name, args, kwargs)
            raise
        try:
            if within:
                xp = getattr(xp, within)
            of_library = getattr(xp, name)
            if "cupy" in modules and several():
                y = call_on_one_device(name, of_library, arrays, options)
            else:
                y = of_library(*arrays, **options)
        except Exception as error:
            explain(error, name, arrays, broadcasts, function)
            raise
        if not any(isinstance(x, Variable) for x in (*args, *kwargs.values())):
            return y
        if isinstance(y, tuple):
            return as_constants(y)
        return as_constant(y)

    _declare(f"{within}.{name}" if within else name, on_arrays, "constant")
    return on_arrays  # type: ignore[return-value]


def as_constants(ys: tuple[Array, ...]) -> tuple[Array, ...]:
    """A tuple or named tuple of arrays as one of constant Variables."""
    constants = [as_constant(y) for y in ys]
    if hasattr(ys, "_fields"):
        return type(ys)(*constants)
    return tuple(constants)


def elementwise(name: str, doc: str, *rules: Callable[..., Any]) -> Callable[..., Any]:
    """A differentiable elementwise function of the standard, from one rule for each argument.

    Parameters
    ----------
    name : str
        Its name in the standard. For arrays, it is the library's function of this name.
    doc : str
        What it computes: the first line of its docstring.
    *rules : callables
        The gradient of each argument, from `gy` and from whatever else the rule names: `y`, the
        output; `x`, the argument; or `x1` and `x2`, the two arguments. A gradient that is not needed
        is not computed.

    Returns
    -------
    callable
        f(x) or f(x1, x2). The tape undoes broadcasting and promotion.
    """
    inputs = ("x",) if len(rules) == 1 else ("x1", "x2")
    named_by_rules = [parameter_names(rule)[1:] for rule in rules]  # after gy
    # What any rule names is saved once; `places` has, for each rule, where its values are among it.
    saved = [n for n in ("y", *inputs) if any(n in names for names in named_by_rules)]
    places = [tuple(saved.index(n) for n in names) for names in named_by_rules]
    rule = Rule(
        inputs=tuple(inputs.index(n) for n in saved if n != "y"),
        y_at=0 if "y" in saved else None,
    )

    class Elementwise(Function, broadcasts=True, rule=rule):
        def forward(self, *xs: Array) -> Array:
            return getattr(array_namespace(*xs), name)(*xs)

        def backward(self, gy: Array, *values: Array) -> Array | tuple[Array | None, Array | None]:
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
    function.__doc__ = docstring(name, doc, inputs, has_derivative=True)
    _declare(name, function, "differentiable")
    return function


def step(name: str, doc: str, arguments: int = 1) -> Callable[..., Any]:
    """An elementwise `constant` of the standard, with one or two arguments, as one line of a table."""

    # Only the signatures of these two are used: see `constant`.
    def unary(x: Array, /) -> Array:
        raise NotImplementedError

    def binary(x1: Array, x2: Array, /) -> Array:
        raise NotImplementedError

    function = unary if arguments == 1 else binary
    function.__name__ = function.__qualname__ = name
    function.__module__ = "xpnet.functions.elementwise"
    inputs = ("x",) if arguments == 1 else ("x1", "x2")
    function.__doc__ = docstring(name, doc, inputs, has_derivative=False)
    return constant(function, broadcasts=arguments == 2)


def axes_of(axis: int | Sequence[int] | None, ndim: int, name: str) -> tuple[int, ...]:
    """One axis, several, or None for all, as a tuple counted from the front."""
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    return tuple(from_front(a, ndim, name) for a in axes)


def from_front(axis: int, ndim: int, name: str) -> int:
    """`axis` counted from the front, for the function `name`.

    Raises
    ------
    IndexingError
        The axis is out of range, which some libraries do not check.
    """
    axis = operator.index(axis)  # NumPy's integers too
    if not -ndim <= axis < ndim:
        expected = f"an axis from {-ndim} to {ndim - 1}" if ndim else "no axis, for a single number"
        raise IndexingError(f"{name} expected {expected}, got axis {axis}: it is out of range.")
    return axis % ndim
