"""What the two methods of a Function name: read once, when its class is created.

    def forward(self, x, factor): ...
    def backward(self, gy, y, factor): ...      y is what forward returned; factor is its input 1

The names are read by `inspect.signature`, so that what wraps a method may stand in its place
(`functools.wraps`, `partialmethod`, `staticmethod`).
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xpnet.errors import ArgumentTypeError

BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(slots=True)
class Rule:
    """What the tape keeps for `backward`, and how it is handed over."""

    takes: tuple[int, ...] = ()  # the inputs that it names, in its order
    rest: int | None = None  # it names all inputs from this one on, by *xs
    y_at: int | None = None  # the place of y among them
    names: tuple[str | None, ...] = ()  # of those that are handed over by name; None by position
    defaults: tuple[tuple[int, Any], ...] = ()  # of inputs that a call may leave out

    def taken(self, count: int) -> tuple[int, ...]:
        """The inputs to keep of a call with so many."""
        return self.takes if self.rest is None else (*self.takes, *range(self.rest, count))

    def kept(self, inputs: Sequence[Any]) -> list[Any]:
        """Those inputs, or the defaults of `forward` for those that were left out."""
        known = dict(enumerate(inputs))
        left_out = dict(self.defaults)
        return [known[i] if i in known else left_out[i] for i in self.taken(len(inputs))]

    def handed(self, values: list[Any]) -> tuple[list[Any], dict[str, Any]]:
        """The kept values as the arguments after gy: by position, and by name."""
        if not self.names:
            return values, {}
        names = (*self.names, *[None] * (len(values) - len(self.names)))
        pairs = list(zip(names, values, strict=True))
        by_position = [value for name, value in pairs if name is None]
        return by_position, {name: value for name, value in pairs if name is not None}


def parameters(cls: type, method: str) -> list[inspect.Parameter]:
    """The parameters of a method after self; of a static method all.

    Raises
    ------
    ArgumentTypeError
        They cannot be read.
    """
    found = inspect.getattr_static(cls, method)
    bind = getattr(type(found), "__get__", None)
    try:
        bound = bind(found, object(), cls) if bind else found
        return list(inspect.signature(bound).parameters.values())
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            f"{cls.__name__}.{method}: the names of its parameters cannot be read ({error}). "
            f"Define it by def {method}(self, ...)."
        ) from error


def rule_of(cls: type) -> Rule:
    """What `cls.backward` names of the inputs of `cls.forward` and of its output.

    Raises
    ------
    ArgumentTypeError
        It names something else, or nothing that can be read.
    """
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


def _matched(
    cls: type, wanted: Sequence[inspect.Parameter], inputs: Sequence[inspect.Parameter]
) -> Rule:
    place = {p.name: i for i, p in enumerate(inputs) if p.kind is not p.VAR_POSITIONAL}
    rule = Rule(defaults=tuple((place[p.name], p.default) for p in inputs if _has_default(p)))
    names: list[str | None] = []
    skipped = False
    for i, p in enumerate(wanted):
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            rule.rest = _place_of_rest(cls, p, inputs)
            continue
        if p.name == "y" and "y" not in place:
            rule.y_at = len(names)
        elif p.name in place and not (p.name == "y" and i == 0):  # where the output is expected
            rule.takes += (place[p.name],)
        elif _has_default(p):
            skipped = True  # an option of the rule's own: what follows is handed over by name
            continue
        else:
            named = tuple(p.name for p in wanted)
            raise ArgumentTypeError(
                f"{cls.__name__}: y is the output, {tuple(place)} go in; not {named}."
            )
        names.append(p.name if skipped or p.kind is p.KEYWORD_ONLY else None)
    rule.names = tuple(names) if any(names) else ()
    return rule


def _has_default(p: inspect.Parameter) -> bool:
    return p.default is not p.empty


def _place_of_rest(cls: type, p: inspect.Parameter, inputs: Sequence[inspect.Parameter]) -> int:
    """Where the *xs of forward begin that are *xs of backward too."""
    for i, known in enumerate(inputs):
        if known.kind is p.kind is p.VAR_POSITIONAL and known.name == p.name:
            return i
    raise _unreadable(cls, p)


def _unreadable(cls: type, p: inspect.Parameter) -> ArgumentTypeError:
    return ArgumentTypeError(
        f"{cls.__name__}.backward has a parameter {p}, which does not say what to keep for it. "
        "Name y, or inputs of forward; a decorator keeps the names by functools.wraps."
    )
