"""Errors of functions: what was expected, what was given, and where.

The libraries describe the same mistake in different words; here it is described in one form. The
work is done only after a library has raised an error: a call that succeeds costs nothing more.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from itertools import zip_longest
from typing import Any, TypeVar

import array_api_compat as compat

from xpnet._typing import Array
from xpnet.autodiff._export import Exported
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
    inputs: Sequence[Array],
    broadcasts: bool,
    forward: Callable[..., Any] | None = None,
) -> None:
    """Raise a clearer error than `error`, or add a note to it with what the function was given.

    Parameters
    ----------
    error : Exception
        What a library's function raised.
    name : str
        The name of the function.
    inputs : sequence of arrays and scalars
    broadcasts : bool
        Whether the inputs must have shapes that broadcast.
    forward : callable, optional
        What was called: its parameters name the inputs.

    Raises
    ------
    NoArrayError
        An input is neither an array nor a number.
    BackendError
        The arrays are on several devices.
    ShapeError
        Their shapes do not broadcast.
    """
    if isinstance(error, MissingMethodError):
        return  # the inputs are not its cause
    _require_arrays(error, name, inputs, forward)
    arrays = [x for x in inputs if hasattr(x, "shape")]
    devices = list(dict.fromkeys(str(compat.device(x)) for x in arrays))
    if len(devices) > 1 and len(set(map(type, arrays))) == 1:
        raise BackendError(
            f"{name} expected its arrays on one device, got {' and '.join(devices)}. "
            "Move one of them with x.to_device(device)."
        ) from error
    shapes = [tuple(x.shape) for x in arrays]
    if broadcasts and (clash := _clash(shapes)):
        axis, *lengths = clash
        raise ShapeError(
            f"{name} expected shapes that broadcast, got {' and '.join(map(str, shapes))}: counted "
            f"from the end, axis {axis} has lengths {' and '.join(map(str, lengths))}."
        ) from error
    error.add_note(f"{name} was given {'; '.join(map(described, inputs))}")


def _require_arrays(
    error: Exception, name: str, inputs: Sequence[Array], forward: Callable[..., Any] | None
) -> None:
    """Raise NoArrayError if an input that must be an array or a number is something else."""
    # Some functions for networks take None for an optional input. Functions of one input, and those
    # of the standard, whose names are in lower case, do not.
    allowed: tuple[Any, ...] = (*NUMBERS, type(None))
    required = len(inputs) == 1 or name.islower() or _attribute_of_none(error)
    if forward is not None and required:
        allowed = NUMBERS
    for i, x in enumerate(inputs):
        if not (_is_array(x) or isinstance(x, allowed)):
            raise no_array(name, _argument(i, len(inputs), forward), x) from None
    explained = isinstance(error, XpnetError) and not isinstance(error, ArgumentTypeError)
    if forward is not None and inputs and not explained and not any(map(_is_array, inputs)):
        raise no_array(name, _argument(0, len(inputs), forward), inputs[0]) from None


def _attribute_of_none(error: Exception) -> bool:
    """Whether the error is that None has no such attribute: then None was given for an array."""
    return isinstance(error, AttributeError) and bool(error.name) and error.obj is None


def _argument(i: int, count: int, forward: Callable[..., Any] | None) -> str:
    """The name of input i of `count`, from the parameters of `forward` if it has that many."""
    names: list[str] = []
    if forward is not None:
        parameters = inspect.signature(forward).parameters.values()
        names = [p.name for p in parameters if p.kind is not p.VAR_POSITIONAL]
    if count <= len(names):
        return names[i]
    return "x" if count == 1 else f"x{i + 1}"


def _is_array(x: Any) -> bool:
    """Whether x is an array, and not only shaped like one, as the columns of a data frame are."""
    shaped = isinstance(getattr(x, "shape", None), tuple) and hasattr(x, "dtype")
    return shaped and compat.is_array_api_obj(x)


def no_array(name: str, argument: str, x: Any) -> NoArrayError:
    """The error for an argument that must be an array, and is not."""
    snake_case = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    instead = advice_about(x) or " For numbers in a list, write F.asarray(values)."
    return NoArrayError(
        f"{snake_case} expected an array or a Variable for {argument}, got {type(x).__name__} "
        f"{_shortened(x)}.{instead}"
    )


def advice_about(x: Any) -> str:
    """What to pass instead of an object of xarray, pandas or h5py, which is no array; "" for others."""
    if _is_array(x) or not hasattr(x, "__array__"):
        return ""
    return " Pass its numbers, np.asarray(x)."


def _shortened(x: Any) -> str:
    """`repr(x)`, at most 40 characters of it."""
    shown = " ".join(repr(x).split())
    return shown if len(shown) <= 40 else f"{shown[:37]}..."


ARRAYS = (
    *("x", "x1", "x2", "condition", "indices", "arrays"),  # the standard's
    *("a", "b", "c", "h", "key", "query", "scores", "t", "value", "weight", "y", "z"),
)
"""The parameters of functions that take arrays."""


def named(function: Callee) -> Callee:
    """Decorator: where an argument is not an array, the error names the function and the argument.

    A function that does nothing but call a Function needs no decorator: the Function's own call
    explains its errors.
    """
    name = function.__name__

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        except Exception:
            require_arrays_in_call(function, name, args, options)
            raise

    return call  # type: ignore[return-value]


def require_arrays_in_call(
    function: Callable[..., Any], name: str, args: tuple[Any, ...], options: dict[str, Any]
) -> None:
    """Raise NoArrayError if an argument of this call must be an array, and is not.

    An argument must be one if its name is in `ARRAYS`, unless it is None by default and here.
    """
    signature = inspect.signature(function)
    try:
        given = signature.bind(*args, **options).arguments
    except TypeError:
        return  # an argument is missing, or unknown: Python's own error reports it
    for argument, value in given.items():
        optional = value is None and signature.parameters[argument].default is None
        if argument not in ARRAYS or optional:
            continue
        if argument == "arrays" and isinstance(value, (list, tuple)):
            for i, x in enumerate(value):
                if not _is_array(x):
                    raise no_array(name, f"arrays[{i}]", x) from None
        elif not (_is_array(value) or isinstance(value, NUMBERS)):
            raise no_array(name, argument, value) from None
    arrays = given.get("arrays")
    if isinstance(arrays, (list, tuple)) and not arrays:
        return  # for an empty list, the function's own error is clearer
    if not any(map(_is_array, _flattened(given.values()))):
        argument, value = next(iter(given.items()), ("x", None))
        raise no_array(name, argument, value) from None


def _flattened(values: Iterable[Any]) -> Iterator[Any]:
    """The values, and in place of lists and tuples the values in them."""
    for x in values:
        if isinstance(x, (list, tuple)):
            yield from _flattened(x)
        else:
            yield x


def outdated(function: object, x: Array) -> GradientError:
    """The error for a Variable that has changed since a Function saved it for its rule."""
    return GradientError(
        f"{type(function).__name__} saved a {type(x).__name__} of shape {tuple(x.shape)} for its "
        "derivative, and an optimizer's step changed it since: compute the loss again."
    )


def _clash(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...] | None:
    """The last axis along which the shapes do not broadcast, and their lengths there."""
    from_the_end = zip_longest(*(shape[::-1] for shape in shapes), fillvalue=1)
    for i, lengths in enumerate(from_the_end, 1):
        different = dict.fromkeys(n for n in lengths if n != 1)
        if len(different) > 1:
            return (-i, *different)
    return None


def described(x: Any) -> str:
    """An array as its dtype, shape and device; a scalar or a string as itself; else the type."""
    if _is_array(x):
        kind = "a Variable" if isinstance(x, Exported) else "an array"
        dtype = str(x.dtype).rpartition(".")[2]  # torch.float32, array_api_strict.float32
        return f"{kind} of {dtype}, shape {tuple(x.shape)}, on {compat.device(x)}"
    if x is None or isinstance(x, (*NUMBERS, str)):
        return repr(x)
    return f"a {type(x).__name__}"
