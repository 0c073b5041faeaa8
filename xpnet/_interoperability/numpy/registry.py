"""The registry of NumPy's functions for Variables, and helpers for their arguments."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any, NamedTuple, TypeAlias, TypeVar

import array_api_compat as compat

from xpnet._libraries.numpy import dtype_name
from xpnet._typing import Array, DType, Namespace
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import FLOATING, Variable, as_constant, data_of
from xpnet.errors import ArgumentTypeError, IndexingError

Callee = TypeVar("Callee", bound=Callable[..., Any])
NUMBERS = (bool, int, float, complex)
"""Python's numbers, from the narrowest type to the widest."""
WEAK = (*NUMBERS, list, tuple)
"""What takes its library, device and dtype from the arrays that it is combined with."""

Axis: TypeAlias = int | tuple[int, ...] | None
Shape: TypeAlias = int | tuple[int, ...] | None
Mask: TypeAlias = Array | bool | None
Number: TypeAlias = bool | int | float | complex
ArrayLike: TypeAlias = Any
"""What NumPy's functions convert to an array: an array, a number, or a nested list of these."""
Order: TypeAlias = int | float | str | None
"""The order of a norm, such as 2, inf or "fro"."""


class Implementation(NamedTuple):
    """A function of NumPy for Variables.

    Attributes
    ----------
    function : callable
        It has NumPy's parameters.
    refused : tuple of (str, int, object)
        The name, position and default of each parameter that accepts its default only.
    """

    function: Callable[..., Any]
    refused: tuple[tuple[str, int, Any], ...]


implementations: dict[str, Implementation] = {}
"""NumPy's functions for Variables, by name: "mean" for `np.mean`, "linalg.inv" for `np.linalg.inv`."""

ADVICE = {
    "out": "Use the result that the function returns.",
    "casting": "Cast the inputs first, with xpnet.functions.astype.",
    "order": "The library decides about the layout in memory.",
    "axes": "Move the axes first, with xpnet.functions.moveaxis.",
    "where": "Choose afterwards, with np.where(mask, result, other).",
}
"""What to do instead, for parameters that are not available."""
REFUSED = ("out", "casting", "order")
"""The parameters that accept their default only, in most functions."""


def implements(*names: str, refuses: tuple[str, ...] = REFUSED) -> Callable[[Callee], Callee]:
    """Decorator: the function implements NumPy's functions of these names for Variables.

    Parameters
    ----------
    *names : str
    refuses : tuple of str
        The parameters that accept their default only.
    """

    def register(function: Callee) -> Callee:
        parameters = inspect.signature(function).parameters.values()
        refused = tuple(
            (p.name, i if p.kind is not p.KEYWORD_ONLY else len(parameters), p.default)
            for i, p in enumerate(parameters)
            if p.name in refuses
        )
        for name in names:
            implementations[name] = Implementation(function, refused)
        return function

    return register


def call_implementation(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call the function that implements `np.<name>` for Variables.

    Raises
    ------
    ArgumentTypeError
        An argument is not available for Variables.
    """
    function, refused = implementations[name]
    for parameter, position, default in refused:
        value = args[position] if len(args) > position else kwargs.get(parameter, default)
        if not equals(value, default):
            raise not_available(name, parameter)
    return function(*args, **kwargs)


def equals(value: object, default: object) -> bool:
    """Whether an argument is the default. An array never is: comparing it would be elementwise."""
    return value is default or (isinstance(value, (*NUMBERS, str)) and value == default)


def not_available(name: str, parameter: str) -> ArgumentTypeError:
    """The error for an argument that NumPy has, but that is not available for Variables."""
    advice = ADVICE.get(parameter, "Leave it out, or write it with xpnet.functions.")
    return ArgumentTypeError(f"np.{name} of a Variable has no argument {parameter}=. {advice}")


# --- arguments ------------------------------------------------------------------------------------


def arrays_in(xs: Iterable[Any]) -> Iterator[Array]:
    """The arrays and Variables among `xs`, and in lists among them."""
    for x in xs:
        if isinstance(x, (list, tuple)):
            yield from arrays_in(x)
        elif isinstance(x, Variable) or (compat.is_array_api_obj(x) and not isinstance(x, type)):
            yield x


def namespace_of(*xs: Any) -> Namespace:
    """The namespace of the arrays and Variables among `xs`, and in lists among them."""
    return array_namespace(*arrays_in(xs))


def as_arrays(*xs: ArrayLike) -> tuple[Array, ...]:
    """All arguments as arrays: nested lists and Python numbers are converted, None stays None.

    Library and device are those of the first array; the dtype is the one that a sum with it has.
    """
    xp = namespace_of(*xs)
    model = next(arrays_in(xs))
    return tuple(_as_array(xp, x, model) if isinstance(x, WEAK) else x for x in xs)


def lists_as_arrays(*xs: ArrayLike) -> tuple[Array, ...]:
    """`as_arrays`, but Python numbers stay numbers, for functions that accept them."""
    if not any(isinstance(x, (list, tuple)) for x in xs):
        return xs
    xp = namespace_of(*xs)
    model = next(arrays_in(xs))
    return tuple(_as_array(xp, x, model) if isinstance(x, (list, tuple)) else x for x in xs)


def integers(model: Array, x: ArrayLike) -> Array:
    """Indices, counts or a mask as an array of the library and on the device of `model`."""
    if not isinstance(x, WEAK):
        return x
    return namespace_of(model).asarray(x, device=compat.device(data_of(model)))


def _as_array(xp: Namespace, x: ArrayLike, model: Array) -> Array:
    """A number or nested list as an array that can be combined with `model`."""
    number = widest_number(x)
    dtype = None
    if number is not None and not isinstance(number, bool):
        dtype = xp.result_type(model, number)
    return xp.asarray(x, dtype=dtype, device=compat.device(data_of(model)))


def widest_number(x: ArrayLike) -> Number | None:
    """A Python number of the widest type in a nested list; None if it has arrays."""
    if isinstance(x, NUMBERS):
        return x
    if not isinstance(x, (list, tuple)):
        return None
    numbers = []
    for part in x:
        number = widest_number(part)
        if number is None:
            return None
        numbers.append(number)
    return max(numbers, key=_width, default=None)


def _width(number: Number) -> int:
    """The place of a number's type in `NUMBERS`; that of np.float64 is derived from float."""
    return next(i for i, kind in enumerate(NUMBERS) if isinstance(number, kind))


def dtype_of(xp: Namespace, dtype: DType | None) -> DType | None:
    """The dtype of the library of `xp` for NumPy's dtype, a name, or a type such as `float`."""
    if dtype is None:
        return None
    name = dtype_name(dtype)
    return dtype if name is None else getattr(xp, name)


def cast(x: Array, dtype: DType | None) -> Array:
    """An array in another dtype, which may be NumPy's; unchanged if that is None."""
    if dtype is None or isinstance(x, NUMBERS):
        return x
    xp = array_namespace(x)
    return xp.astype(x, dtype_of(xp, dtype), copy=False)


def as_tuple(x: Any) -> tuple[Any, ...]:
    """A sequence as a tuple; anything else as a tuple of one."""
    return tuple(x) if isinstance(x, (list, tuple)) else (x,)


def flat(x: Array) -> Array:
    """x, flattened to one axis."""
    return array_namespace(x).reshape(x, (-1,))


def along(axis: int, key: slice) -> tuple[Any, ...]:
    """The key that applies a slice to one axis, counted from the front."""
    return (*(slice(None),) * axis, key, ...)


def positive_axis(axis: int, ndim: int, name: str) -> int:
    """`axis`, counted from the front; an error if there is no such axis."""
    if not -ndim <= axis < ndim:
        raise IndexingError(
            f"np.{name} expected an axis from {-ndim} to {ndim - 1}, got axis {axis}."
        )
    return axis % ndim


def is_floating(x: Array) -> bool:
    """Whether an array has a dtype that can have a derivative."""
    return has_dtype(x, *FLOATING)


def on_data(function: Callee) -> Callee:
    """Decorator: the function is computed on the data of Variables, and returns constants."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        options = {name: data_of_all(x) for name, x in kwargs.items()}
        return _constants(function(*data_of_all(args), **options))

    return wrapper  # type: ignore[return-value]


def data_of_all(x: Any) -> Any:
    """The data of a Variable, or of the Variables in a list or tuple."""
    if isinstance(x, (list, tuple)):
        return type(x)(map(data_of_all, x))
    return data_of(x)


def _constants(y: Any) -> Any:
    """A result with its arrays as constant Variables."""
    if isinstance(y, tuple) and any(compat.is_array_api_obj(x) for x in y):
        return tuple(map(as_constant, y))
    if compat.is_array_api_obj(y) and not isinstance(y, type):
        return as_constant(y)
    return y
