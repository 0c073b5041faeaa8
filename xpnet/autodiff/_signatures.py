"""What a Function saves for its derivative: what the parameters of `backward` name.

    def forward(self, x, factor): ...
    def backward(self, gy, y, factor): ...      y is what forward returned; factor is its input 1

Here y and factor are saved, and x is not. The parameters are read once, when the class is created,
by `inspect.signature`, so the methods may be wrapped (`functools.wraps`, `partialmethod`,
`staticmethod`). Most methods are plain functions, and those of xpnet are read in each `import xpnet`: for
them there is a short way, `_rule_of_plain`, which takes a tenth of the time.
"""

import inspect
from collections.abc import Callable, Sequence
from itertools import zip_longest
from operator import itemgetter
from types import FunctionType
from typing import Any

from xpnet.errors import ArgumentTypeError

BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Rule:
    """What the tape saves for `backward`, and how it is passed to it.

    Parameters
    ----------
    inputs : tuple of int
        The places of the inputs that backward names, in its order.
    rest : int, optional
        Backward names all inputs from this place on, by *xs.
    y_at : int, optional
        The place of y among what backward names.
    names : tuple of (str or None)
        For what is passed by name; None for what is by position.
    defaults : tuple of (int, object)
        The defaults of inputs that a call may leave out.

    Attributes
    ----------
    pick : callable or None
        `saved`, where the places are the same in each call; then it runs without a Python frame.
    """

    __slots__ = ("defaults", "inputs", "names", "pick", "rest", "y_at")

    def __init__(
        self,
        inputs: tuple[int, ...] = (),
        rest: int | None = None,
        y_at: int | None = None,
        names: tuple[str | None, ...] = (),
        defaults: tuple[tuple[int, Any], ...] = (),
    ) -> None:
        self.inputs = inputs
        self.rest = rest
        self.y_at = y_at
        self.names = names
        self.defaults = defaults
        self.pick: Callable[[list[Any]], Sequence[Any]] | None = None
        if self.rest is not None or self.defaults:
            return
        if not self.inputs:
            self.pick = itemgetter(slice(0, 0))
        elif len(self.inputs) == 1:  # a slice: for a single place, `itemgetter` returns no sequence
            (place,) = self.inputs
            self.pick = itemgetter(slice(place, place + 1))
        else:
            self.pick = itemgetter(*self.inputs)

    def places(self, count: int) -> tuple[int, ...]:
        """The places of the inputs to save, for a call with `count` inputs."""
        if self.rest is None:
            return self.inputs
        return (*self.inputs, *range(self.rest, count))

    def saved(self, inputs: list[Any]) -> Sequence[Any]:
        """The inputs to save, with the defaults of `forward` for those that were left out."""
        given = dict(self.defaults) | dict(enumerate(inputs))
        return [given[i] for i in self.places(len(inputs))]

    def arguments(self, values: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
        """The saved values as arguments of `backward`, after gy: by position, and by name."""
        by_position: list[Any] = []
        by_name: dict[str, Any] = {}
        for name, value in zip_longest(self.names, values):  # *xs may be more than the names
            if name is None:
                by_position.append(value)
            else:
                by_name[name] = value
        return by_position, by_name


def parameters(cls: type, method: str) -> list[inspect.Parameter]:
    """The parameters of a method after self; for a static method, all of them.

    Raises
    ------
    ArgumentTypeError
        They cannot be read.
    """
    found = inspect.getattr_static(cls, method)
    bind = getattr(type(found), "__get__", None)
    try:
        bound = found
        if bind is not None:
            bound = bind(found, object(), cls)
        return list(inspect.signature(bound).parameters.values())
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            f"{cls.__name__}.{method}: the names of its parameters cannot be read ({error}). "
            f"Define it by def {method}(self, ...)."
        ) from error


def parameter_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the parameters of a function."""
    return plain_parameters(function) or tuple(inspect.signature(function).parameters)


def plain_parameters(function: object) -> tuple[str, ...]:
    """The names of the parameters of a plain function; () where only `inspect` can read them.

    A function is plain if it is undecorated, and each of its parameters is `name` or `name: annotation`,
    without a default.
    """
    if type(function) is not FunctionType or vars(function) or function.__defaults__:
        return ()
    code = function.__code__
    others = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS
    if code.co_flags & others or code.co_posonlyargcount or code.co_kwonlyargcount:
        return ()
    return code.co_varnames[: code.co_argcount]


def rule_of(cls: type) -> Rule:
    """Which inputs of `cls.forward`, and whether its output, are parameters of `cls.backward`.

    Raises
    ------
    ArgumentTypeError
        It has other parameters, or they cannot be read.
    """
    plain = _rule_of_plain(cls)
    if plain is not None:
        return plain
    named = parameters(cls, "backward")
    if named and named[0].kind is inspect.Parameter.VAR_POSITIONAL:
        raise _unreadable(cls, named[0])
    if not named or named[0].kind not in BY_POSITION:
        raise ArgumentTypeError(
            f"{cls.__name__}.backward expected gy as its first parameter: backward(self, gy, ...)."
        )
    wanted = named[1:]
    if not wanted:
        return Rule()
    inputs = [p for p in parameters(cls, "forward") if p.kind in (*BY_POSITION, p.VAR_POSITIONAL)]
    return _matched(cls, wanted, inputs)


def _rule_of_plain(cls: type) -> Rule | None:
    """The rule of plain methods, where `backward` names only inputs and the output y; else None."""
    backward, forward = (
        plain_parameters(next(vars(c)[name] for c in cls.__mro__ if name in vars(c)))
        for name in ("backward", "forward")
    )
    names = backward[2:]  # after self and gy
    inputs = forward[1:]
    if len(backward) < 2 or "y" in inputs or not {*inputs, "y"}.issuperset(names):
        return None
    return Rule(
        inputs=tuple(inputs.index(name) for name in names if name != "y"),
        y_at=names.index("y") if "y" in names else None,
    )


def _matched(
    cls: type, wanted: Sequence[inspect.Parameter], inputs: Sequence[inspect.Parameter]
) -> Rule:
    """The rule for a `backward` with these parameters after gy, and these inputs of `forward`."""
    place = {p.name: i for i, p in enumerate(inputs) if p.kind is not p.VAR_POSITIONAL}
    places: list[int] = []
    names: list[str | None] = []
    rest = None
    y_at = None
    skipped = False
    for i, p in enumerate(wanted):
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            rest = _place_of_rest(cls, p, inputs)
            continue
        if p.name == "y" and "y" not in place:
            y_at = len(names)
        # An input called y must not be the first after gy, where a reader expects the output.
        elif p.name in place and not (p.name == "y" and i == 0):
            places.append(place[p.name])
        elif _has_default(p):
            skipped = True  # an option that only the rule has: what follows is passed by name
            continue
        else:
            named = tuple(p.name for p in wanted)
            raise ArgumentTypeError(
                f"{cls.__name__}.backward expected, after gy, y (the output) and the inputs "
                f"{tuple(place)}, got {named}."
            )
        names.append(p.name if skipped or p.kind is p.KEYWORD_ONLY else None)
    if not any(names):
        names = []
    return Rule(tuple(places), rest, y_at, tuple(names), _defaults_of(inputs, places))


def _defaults_of(
    inputs: Sequence[inspect.Parameter], places: Sequence[int]
) -> tuple[tuple[int, Any], ...]:
    """The defaults of those of the inputs at `places` that have one, by place."""
    return tuple((i, inputs[i].default) for i in places if _has_default(inputs[i]))


def _has_default(p: inspect.Parameter) -> bool:
    return p.default is not p.empty


def _place_of_rest(cls: type, p: inspect.Parameter, inputs: Sequence[inspect.Parameter]) -> int:
    """The place at which the *xs of forward begin, which are the *xs of backward too."""
    for i, known in enumerate(inputs):
        if known.kind is p.kind is p.VAR_POSITIONAL and known.name == p.name:
            return i
    raise _unreadable(cls, p)


def _unreadable(cls: type, p: inspect.Parameter) -> ArgumentTypeError:
    return ArgumentTypeError(
        f"{cls.__name__}.backward has a parameter {p}, which does not say what to save for it. "
        "Name y, or inputs of forward; a decorator preserves the names with functools.wraps."
    )
