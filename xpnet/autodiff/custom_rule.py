"""`custom_rule`: a decorator that gives a function the derivative that you define."""

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from types import SimpleNamespace
from typing import Any, NamedTuple

import array_api_compat as compat

from xpnet._libraries import library_of
from xpnet._typing import Array
from xpnet.autodiff import tree
from xpnet.autodiff._signatures import Rule
from xpnet.autodiff._traced_call import name_of
from xpnet.autodiff.function import Arrays, Function
from xpnet.autodiff.namespace import has_dtype
from xpnet.autodiff.tape import fit
from xpnet.autodiff.variable import FLOATING, Variable, constant, data_of
from xpnet.errors import ArgumentTypeError, GradientError

Callee = Callable[..., Any]


def custom_rule(rule: Callee) -> Callable[[Callee], Callee]:
    """Decorator: give a function its own derivative, where the derived one will not do.

    Use it for a faster formula, for one that is stable where the composite's is not, or for one that
    is not the derivative at all (clipped, reversed, passed straight through). It does for a function
    what a subclass of `Function` does with two methods.

    Parameters
    ----------
    rule : callable
        `rule(gy, ...)` returns the gradient of each positional argument of f, as a tuple if there
        are several. After gy it names what it needs, and nothing else is saved for it: `y`, what f
        returned; arguments of f; options of f. The second derivative is the derivative of the rule:
        write it, like all code, with `array_namespace`.

    Returns
    -------
    decorator
        For a function f(x, ..., *, option=...), which computes an array, or a tuple of arrays, from
        arrays. Everything that it depends on must be an argument. Options are the keyword-only
        arguments; they are constants.

    Raises
    ------
    TypeError
        The rule names something that f does not have, or f takes `*args` or `**kwargs`.
    GradientError
        From a call: f returned a Variable, so it used one that is not an argument; or an option is
        a Variable. From the walk back: the rule returned too few gradients or too many, or None for
        one that is needed.

    Examples
    --------
    log(1 + e^x): its derivative e^x / (1 + e^x) would be inf / inf from x = 89 on, in float32. The
    rule computes it as 1 / (1 + e^-x):

    >>> from xpnet import array_namespace
    >>> def sigmoid_times(gy, x):
    ...     return gy / (1.0 + array_namespace(x).exp(-x))
    >>> @custom_rule(sigmoid_times)
    ... def log1pexp(x):
    ...     return array_namespace(x).logaddexp(x, 0.0 * x)
    >>> x = Variable(100.0)
    >>> log1pexp(x).backward()
    >>> float(x.grad)
    1.0
    """

    def decorate(f: Callee) -> Callee:
        signature = inspect.signature(f)
        custom = _function_class(f, rule)

        @wraps(f, updated=())
        def differentiable(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            _require_constants(f, bound.kwargs)
            function = custom(bound.kwargs)
            y = _differentiated_by_library(function, bound.args)
            if y is None:
                y = function(*bound.args)
            return y

        return differentiable

    return decorate


def _differentiated_by_library(function: Any, args: Sequence[Any]) -> Any:
    """What a function returns while its arrays' own library differentiates; None if it does not.

    `jax.grad` does, and `backward` of a PyTorch tensor: they would not know of the rule otherwise.
    """
    given = [data_of(x) for x in args]
    places = [i for i, x in enumerate(given) if compat.is_array_api_obj(x)]
    if not places or any(isinstance(x, Variable) and x.requires_grad for x in args):
        return None

    def all_of(arrays: Sequence[Array]) -> list[Any]:
        """All arguments; those that are not arrays are constants."""
        new = dict(zip(places, arrays, strict=True))
        return [new.get(i, x) for i, x in enumerate(given)]

    def f(*arrays: Array) -> Arrays:
        y: Arrays = function.forward(*all_of(arrays))
        return y

    def rule(gy: Arrays, y: Arrays, arrays: Sequence[Array]) -> list[Array | None]:
        gxs = function.gradients_of(gy, y, all_of(arrays))
        return [gxs[i] for i in places]

    arrays = [given[i] for i in places]
    y = library_of(arrays[0]).with_rule(f, rule, arrays)
    if y is not None and any(isinstance(x, Variable) for x in args):
        y = tree.map(constant, y)
    return y


def _is_floating(x: Any) -> bool:
    """Whether x is an array of numbers that have derivatives."""
    return compat.is_array_api_obj(x) and has_dtype(x, *FLOATING)


class _Names(NamedTuple):
    """The names that a rule's parameters take from its function, and where their values go."""

    saved: tuple[str, ...]  # the output and inputs, in the order in which the tape passes them
    inputs: tuple[int, ...]  # the places of these inputs among the function's arguments
    by_position: tuple[str, ...]  # the rule's arguments after gy
    by_name: tuple[str, ...]


def _function_class(f: Callee, rule: Callee) -> Callable[[dict[str, Any]], Function]:
    """The Function with f as its `forward` and the rule as its `backward`; it takes the options."""
    names = _names(f, rule)
    y_at = 0 if "y" in names.saved else None

    class Custom(Function, rule=Rule(names.inputs, y_at=y_at)):
        def __init__(self, options: dict[str, Any]) -> None:
            self.options = options

        def forward(self, *arrays: Array) -> Arrays:
            y = f(*arrays, **self.options)
            if any(isinstance(leaf, Variable) for leaf in tree.leaves(y)):
                raise GradientError(
                    f"{name_of(f)} used a Variable that is not among its arguments, so its "
                    "rule returns no gradient for it. Make it an argument."
                )
            return y

        def backward(self, gy: Arrays, *saved: Array) -> Array | Sequence[Array | None]:
            values = dict(zip(names.saved, saved, strict=True)) | self.options
            by_position = [values[name] for name in names.by_position]
            by_name = {name: values[name] for name in names.by_name}
            gradients: Array | Sequence[Array | None] = rule(gy, *by_position, **by_name)
            return gradients

        def gradients_of(self, gy: Arrays, y: Arrays, xs: Sequence[Array]) -> list[Array | None]:
            """The gradient of each input, in its shape and dtype; None for integers."""
            saved = [xs[i] for i in names.inputs]
            if y_at is not None:
                saved.insert(y_at, y)
            gxs = self.backward(gy, *saved)
            if not isinstance(gxs, (tuple, list)):
                gxs = (gxs,)
            call = SimpleNamespace(function=self)
            return [
                None if gx is None or not _is_floating(x) else fit(gx, x, call, False)
                for gx, x in zip(gxs, xs, strict=True)
            ]

    Custom.__name__ = Custom.__qualname__ = name_of(f)
    return Custom


def _names(f: Callee, rule: Callee) -> _Names:
    """What a rule names of f.

    Raises
    ------
    ArgumentTypeError
        It names something that f does not have, or an argument of f is called y.
    """
    inputs, options = _arguments(f, inspect.signature(f))
    known = {"y", *inputs, *options}
    signature = _without_own_options(inspect.signature(rule), known)
    by_position, by_name = _arguments(rule, signature)
    wanted = {*by_position[1:], *by_name}
    if not by_position or "y" in (*inputs, *options) or not known.issuperset(wanted):
        raise ArgumentTypeError(
            f"{name_of(rule)}{inspect.signature(rule)} is no rule for "
            f"{name_of(f)}{inspect.signature(f)}: its first parameter must be gy, and the others may "
            "be y (the output; no argument of the function may have this name), arguments and "
            "options of the function."
        )
    saved = [name for name in ("y", *inputs) if name in wanted]
    places = [inputs.index(name) for name in saved if name != "y"]
    return _Names(tuple(saved), tuple(places), tuple(by_position[1:]), tuple(by_name))


def _require_constants(f: Callee, options: dict[str, Any]) -> None:
    """Raise GradientError if an option holds a Variable."""
    for name, option in options.items():
        if any(isinstance(leaf, Variable) for leaf in tree.leaves(option)):
            raise GradientError(
                f"{name_of(f)}: the option {name} is a Variable, but options have no gradient. Pass "
                "its .data, or make it a positional argument."
            )


def _without_own_options(signature: inspect.Signature, known: set[str]) -> inspect.Signature:
    """A rule's signature without the options that only the rule has.

    The parameters after such an option are passed by name, since one before them is left out.
    """
    parameters: list[inspect.Parameter] = []
    skipped = False
    for i, p in enumerate(signature.parameters.values()):
        if i and p.default is not p.empty and p.name not in known:
            skipped = True
        elif skipped and p.kind is p.POSITIONAL_OR_KEYWORD:
            parameters.append(p.replace(kind=p.KEYWORD_ONLY))
        else:
            parameters.append(p)
    return signature.replace(parameters=sorted(parameters, key=lambda p: p.kind))


def _arguments(f: Callee, signature: inspect.Signature) -> tuple[Sequence[str], Sequence[str]]:
    """The names of the arguments that f takes by position, and of those that it takes only by name."""
    by_position: list[str] = []
    by_name: list[str] = []
    for p in signature.parameters.values():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            raise ArgumentTypeError(
                f"{name_of(f)}{signature}: a rule needs arguments with names, not {p}."
            )
        if p.kind is p.KEYWORD_ONLY:
            by_name.append(p.name)
        else:
            by_position.append(p.name)
    return by_position, by_name
