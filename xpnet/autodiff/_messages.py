"""What went wrong in a function: what it expected, what it was given, and where.

Libraries differ in what they say of a mistake. Here it is said once, after the fact: a call that
succeeds pays nothing for it.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from itertools import zip_longest
from typing import Any, TypeVar

import array_api_compat as compat

from xpnet._typing import Array
from xpnet.autodiff.namespace import NoArrayError
from xpnet.errors import (
    ArgumentTypeError,
    BackendError,
    GradientError,
    MissingMethodError,
    ShapeError,
    XpnetError,
)

Callee = TypeVar("Callee", bound=Callable[..., Any])
NUMBERS = (bool, int, float, complex)


def explain(
    error: Exception,
    name: str,
    inputs: Sequence[Any],
    broadcasts: bool,
    forward: Callable[..., Any] | None = None,
) -> None:
    """Raise what explains `error` better, or add to it a note of what the function was given.

    Parameters
    ----------
    error : Exception
        What a library's function raised.
    name : str
        Of the function.
    inputs : sequence of arrays and scalars
    broadcasts : bool
        Whether the inputs were to have shapes that broadcast.
    forward : callable, optional
        What was called: its parameters name the inputs.

    Raises
    ------
    NoArrayError
        An input is neither an array nor a number.
    BackendError
        The arrays lie on several devices.
    ShapeError
        Their shapes do not broadcast.
    """
    if isinstance(error, MissingMethodError):
        return  # the inputs are not what is missing
    # In a function of the standard None is a mistake; in one of networks it may be optional, unless
    # an attribute of an array was asked of it.
    asked_of_none = isinstance(error, AttributeError) and error.name and error.obj is None
    for i, x in enumerate(inputs):
        unasked = len(inputs) == 1 or name.islower() or asked_of_none
        missing = x is None and forward is not None and unasked
        if missing or not (x is None or _is_array(x) or isinstance(x, NUMBERS)):
            raise no_array(name, _named(i, len(inputs), forward), x) from None
    said = isinstance(error, XpnetError) and not isinstance(error, ArgumentTypeError)
    if forward is not None and inputs and not said and not any(map(_is_array, inputs)):
        raise no_array(name, _named(0, len(inputs), forward), inputs[0]) from None
    arrays = [x for x in inputs if hasattr(x, "shape")]
    devices = list(dict.fromkeys(str(compat.device(x)) for x in arrays))
    if len(devices) > 1 and len(set(map(type, arrays))) == 1:
        raise BackendError(
            f"{name} expected its arrays on one device, got {' and '.join(devices)}. "
            "Move one of them with x.to_device(device)."
        ) from error
    shapes = [tuple(x.shape) for x in arrays]
    if broadcasts and (clash := _clash(shapes)):
        given = " and ".join(map(str, shapes))
        raise ShapeError(
            f"{name} expected shapes that broadcast, got {given}: counted from the end, axis "
            f"{clash[0]} has lengths {' and '.join(map(str, clash[1:]))}."
        ) from error
    error.add_note(f"{name} was given {', '.join(map(_said, inputs))}")


def _named(i: int, n: int, forward: Callable[..., Any] | None) -> str:
    """The name of input i of n."""
    parameters = {} if forward is None else inspect.signature(forward).parameters
    names = [name for name, p in parameters.items() if p.kind is not p.VAR_POSITIONAL]
    if n <= len(names):
        return names[i]
    return "x" if n == 1 else f"x{i + 1}"


def _is_array(x: Array) -> bool:
    return isinstance(getattr(x, "shape", None), tuple) and hasattr(x, "dtype")


def no_array(name: str, argument: str, x: Array) -> NoArrayError:
    """The error for an argument that is no array."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return NoArrayError(
        f"{snake} expected an array or a Variable for {argument}, got {type(x).__name__} "
        f"{_shortened(x)}. For numbers in a list, write F.asarray(values)."
    )


def _shortened(x: Array) -> str:
    shown = repr(x)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."


ARRAYS = (
    *("x", "x1", "x2", "condition", "indices", "arrays"),  # the standard's
    *("a", "b", "c", "h", "key", "query", "scores", "t", "value", "weight", "y", "z"),
)
"""The parameters of functions that take arrays."""


def named(function: Callee) -> Callee:
    """Decorator: where an argument is no array, the error names the function and the argument."""
    name = function.__name__

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        except Exception:
            look_at(function, name, args, options)
            raise

    return call  # type: ignore[return-value]


def look_at(
    function: Callable[..., Any], name: str, args: tuple[Any, ...], options: dict[str, Any]
) -> None:
    """Raise NoArrayError if an argument that takes an array was given something else."""
    parameters = inspect.signature(function).parameters
    try:
        given = inspect.signature(function).bind(*args, **options).arguments
    except TypeError:
        return  # too few arguments, or an unknown one: Python's own error says so
    for parameter, value in given.items():
        optional = value is None and parameters[parameter].default is None
        if parameter not in ARRAYS or optional:
            continue
        several = parameter == "arrays" and isinstance(value, (list, tuple))
        for i, x in enumerate(value if several else [value]):
            if not _is_array(x) and (several or not isinstance(x, NUMBERS)):
                raise no_array(name, f"{parameter}[{i}]" if several else parameter, x) from None
    none = "arrays" in given and not given["arrays"]  # what is missing the function says itself
    if not none and not any(map(_is_array, _flattened(given.values()))):
        raise no_array(name, *next(iter(given.items()), ("x", None))) from None


def _flattened(values: Iterable[Any]) -> Iterator[Any]:
    for x in values:
        if isinstance(x, (list, tuple)):
            yield from _flattened(x)
        else:
            yield x


def outdated(function: Any, x: Array) -> GradientError:
    """The error for a Variable that was changed after a function has kept it for its rule."""
    return GradientError(
        f"{type(function).__name__} has kept a {type(x).__name__} of shape {tuple(x.shape)} for its "
        "derivative, and an optimizer's step changed it since: compute the loss anew."
    )


def _clash(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...] | None:
    """The last axis, and its lengths, along which the shapes do not broadcast."""
    for i, lengths in enumerate(zip_longest(*(s[::-1] for s in shapes), fillvalue=1), 1):
        if len(different := dict.fromkeys(n for n in lengths if n != 1)) > 1:
            return (-i, *different)
    return None


def _said(x: Array) -> str:
    """An array as its dtype, shape and device; a scalar as itself."""
    if hasattr(x, "shape"):
        dtype = str(x.dtype).rpartition(".")[2]  # torch.float32, array_api_strict.float32
        return f"{dtype} {tuple(x.shape)} on {compat.device(x)}"
    return repr(x)
