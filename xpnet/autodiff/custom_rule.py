"""A function with a derivative of its own."""

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from xpnet._typing import Array
from xpnet.autodiff import tree
from xpnet.autodiff._signatures import Rule
from xpnet.autodiff._traced_call import name_of
from xpnet.autodiff.function import Function
from xpnet.autodiff.variable import Variable
from xpnet.errors import ArgumentTypeError, GradientError

Callee = Callable[..., Any]


def custom_rule(rule: Callee) -> Callable[[Callee], Callee]:
    """Decorator: give a function its own derivative, where the derived one will not do.

    For a faster formula, one that is stable where the composite's is not, or one that is not the
    derivative at all (clipped, reversed, passed straight through). What `Function` is as a class,
    this is as a decorator.

    Parameters
    ----------
    rule : callable
        `rule(gy, ...)` gives the gradient of each positional argument of f; of several, as a
        tuple. After gy it names what it needs, and nothing else is kept for it: `y`, what f
        returned; arguments of f; options of f. The derivative of order two is the derivative of the
        rule: write it, like all code, with `array_namespace`.

    Returns
    -------
    decorator
        Of f(x, ..., *, option=...), which computes an array, or a tuple of arrays, from arrays.
        All that it depends on must be an argument. Options, given by name alone, are constants.

    Raises
    ------
    TypeError
        The rule names what f has not, or f takes `*args` or `**kwargs`.
    GradientError
        From the function: it returned a Variable, so it used one that is no argument; or an option
        is one. From the walk back: the rule gave too few gradients or too many, or None for one
        that is asked for.

    Examples
    --------
    log(1 + e^x), whose derivative, written out, would be inf / inf from x = 89 on:

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
        inputs, options = _arguments(f, signature)
        known = {"y", *inputs, *options}
        named, by_name = _arguments(rule, _without_options(inspect.signature(rule), known))
        wanted = [*named[1:], *by_name]
        if not named or "y" in (*inputs, *options) or not known.issuperset(wanted):
            raise ArgumentTypeError(
                f"{name_of(rule)}{inspect.signature(rule)} is no rule for {name_of(f)}{signature}: "
                "it is called with gy, and then names y (the output; no argument is called so), "
                "arguments and options of the function."
            )

        names = [name for name in ("y", *inputs) if name in wanted]
        takes = tuple(inputs.index(name) for name in names if name != "y")

        class Custom(Function, rule=Rule(takes, y_at=0 if "y" in names else None)):
            def __init__(self, options: dict[str, Any]) -> None:
                self.options = options

            def forward(self, *arrays: Array) -> Any:
                y = f(*arrays, **self.options)
                if any(isinstance(leaf, Variable) for leaf in tree.leaves(y)):
                    raise GradientError(
                        f"{name_of(f)} used a Variable that is not among its arguments, so its "
                        "rule gives no gradient for it. Make it an argument."
                    )
                return y

            def backward(self, gy: Array, *kept: Any) -> Any:
                values = dict(zip(names, kept, strict=True)) | self.options
                return rule(
                    gy,
                    *(values[name] for name in named[1:]),
                    **{name: values[name] for name in by_name},
                )

        Custom.__name__ = Custom.__qualname__ = name_of(f)

        @wraps(f, updated=())
        def differentiable(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            for name, option in bound.kwargs.items():
                if any(isinstance(leaf, Variable) for leaf in tree.leaves(option)):
                    raise GradientError(
                        f"{name_of(f)}: the option {name} is a Variable, but options have no "
                        "gradient. Pass its .data, or make it a positional argument."
                    )
            return Custom(bound.kwargs)(*bound.args)

        return differentiable

    return decorate


def _without_options(signature: inspect.Signature, known: set[str]) -> inspect.Signature:
    """A rule's signature without what it gives a default of its own; what follows goes by name."""
    kept: list[inspect.Parameter] = []
    by_name = False
    for i, p in enumerate(signature.parameters.values()):
        if i and p.default is not p.empty and p.name not in known:
            by_name = True
        elif by_name and p.kind is p.POSITIONAL_OR_KEYWORD:
            kept.append(p.replace(kind=p.KEYWORD_ONLY))
        else:
            kept.append(p)
    return signature.replace(parameters=sorted(kept, key=lambda p: p.kind))


def _arguments(f: Callee, signature: inspect.Signature) -> tuple[Sequence[str], Sequence[str]]:
    """The names of what f takes by position, and of what it takes by name alone."""
    parameters = signature.parameters.values()
    for p in parameters:
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            raise ArgumentTypeError(
                f"{name_of(f)}{signature}: a rule needs arguments with names, not {p}."
            )
    by_name = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    return [p.name for p in parameters if p.name not in by_name], by_name
