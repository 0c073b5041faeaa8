"""An `__init__` of its own for a class that inherits one, so that Python's errors name that class."""

from types import FunctionType
from typing import Any, TypeVar

T = TypeVar("T")


def own_init(cls: type[T]) -> type[T]:
    """A decorator of classes: Conv2d(zeros=1) is an error of Conv2d, not of Conv1d, whose `__init__` it has.

    >>> class Line:
    ...     def __init__(self, length): ...
    >>> @own_init
    ... class Rule(Line): ...
    >>> Rule()
    Traceback (most recent call last):
        ...
    TypeError: Rule.__init__() missing 1 required positional argument: 'length'
    """
    given: Any = cls.__init__
    own = FunctionType(
        given.__code__, given.__globals__, given.__name__, given.__defaults__, given.__closure__
    )
    own.__kwdefaults__ = given.__kwdefaults__
    own.__annotations__ = given.__annotations__
    own.__qualname__ = f"{cls.__qualname__}.__init__"
    type.__setattr__(cls, "__init__", own)
    return cls
