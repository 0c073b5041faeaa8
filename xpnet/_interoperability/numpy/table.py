"""The table of NumPy's functions: how a function joins it, and what its arguments have in common."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import array_api_compat as compat

from xpnet._libraries.numpy import dtype_name
from xpnet._typing import Array, DType, Namespace
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import FLOATING, Variable, as_constant, data_of
from xpnet.errors import ArgumentTypeError, IndexingError

Callee = TypeVar("Callee", bound=Callable[..., Any])
NUMBERS = (bool, int, float, complex)
WEAK = (*NUMBERS, list, tuple)


class Entry(NamedTuple):
    """A function of NumPy for Variables.

    Attributes
    ----------
    function : callable
        It has NumPy's parameters.
    refused : tuple of (str, int, object)
        The parameters of which only the default is accepted: name, position, default.
    """

    function: Callable[..., Any]
    refused: tuple[tuple[str, int, Any], ...]


table: dict[str, Entry] = {}
"""What answers for `np.mean` and `np.linalg.inv`, under the names "mean" and "linalg.inv"."""

ADVICE = {
    "out": "Use the result that the function returns.",
    "casting": "Cast the inputs first, with xpnet.functions.astype.",
    "order": "How numbers lie in memory is up to the library.",
    "axes": "Move the axes first, with xpnet.functions.moveaxis.",
    "where": "Choose afterwards, with np.where(mask, result, other).",
}
REFUSED = ("out", "casting", "order")


def numpys(*names: str, refuses: tuple[str, ...] = REFUSED) -> Callable[[Callee], Callee]:
    """Decorator: the function answers for NumPy's functions of these names.

    Parameters
    ----------
    *names : str
    refuses : tuple of str
        The parameters of which nothing but the default is accepted.
    """

    def register(function: Callee) -> Callee:
        parameters = inspect.signature(function).parameters.values()
        refused = tuple(
            (p.name, i if p.kind is not p.KEYWORD_ONLY else len(parameters), p.default)
            for i, p in enumerate(parameters)
            if p.name in refuses
        )
        for name in names:
            table[name] = Entry(function, refused)
        return function

    return register


def answer(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What the table's function of that name returns.

    Raises
    ------
    ArgumentTypeError
        An argument is not available for Variables.
    """
    function, refused = table[name]
    for parameter, position, default in refused:
        value = args[position] if len(args) > position else kwargs.get(parameter, default)
        if not equals(value, default):
            raise not_available(name, parameter)
    return function(*args, **kwargs)


def equals(value: Any, default: Any) -> bool:
    """Whether an argument has that value; an array has not."""
    return value is default or (isinstance(value, (*NUMBERS, str)) and value == default)


def not_available(name: str, parameter: str) -> ArgumentTypeError:
    """The error for an argument that NumPy has and Variables have not."""
    advice = ADVICE.get(parameter, "Leave it out, or write it with xpnet.functions.")
    return ArgumentTypeError(f"np.{name} of a Variable has no argument {parameter}=. {advice}")


# --- what the arguments of NumPy's functions have in common ---------------------------------------


def arrays_in(xs: Any) -> Iterator[Any]:
    """The arrays and Variables among `xs`, also those in lists."""
    for x in xs:
        if isinstance(x, (list, tuple)):
            yield from arrays_in(x)
        elif isinstance(x, Variable) or (compat.is_array_api_obj(x) and not isinstance(x, type)):
            yield x


def namespace_of(*xs: Any) -> Any:
    """The namespace of the arrays and Variables among `xs`, also of those in lists."""
    return array_namespace(*arrays_in(xs))


def lifted(*xs: Any) -> tuple[Any, ...]:
    """Nested lists and Python numbers as arrays beside the others; None and arrays as they are.

    They get the dtype that such a number gets in a sum with the first array.
    """
    xp = namespace_of(*xs)
    model = next(arrays_in(xs))
    return tuple(_lifted(xp, x, model) if isinstance(x, WEAK) else x for x in xs)


def listed(*xs: Any) -> tuple[Any, ...]:
    """`lifted`, but Python numbers stay, for functions that accept them."""
    if not any(isinstance(x, (list, tuple)) for x in xs):
        return xs
    xp = namespace_of(*xs)
    model = next(arrays_in(xs))
    return tuple(_lifted(xp, x, model) if isinstance(x, (list, tuple)) else x for x in xs)


def integers(model: Any, x: Array) -> Array:
    """Indices, counts or a mask as an array where `model` is; an array as it is."""
    if not isinstance(x, WEAK):
        return x
    return namespace_of(model).asarray(x, device=compat.device(data_of(model)))


def _lifted(xp: Namespace, x: Array, model: Any) -> Array:
    number = _kind(x)
    weak = number is not None and not isinstance(number, bool)
    dtype = xp.result_type(model, number) if weak else None
    return xp.asarray(x, dtype=dtype, device=compat.device(data_of(model)))


def _kind(x: Array) -> Any:
    """The first Python number of a nested list, of the widest kind; None beside arrays."""
    if isinstance(x, NUMBERS):
        return x
    if not isinstance(x, (list, tuple)):
        return None
    kinds = [_kind(part) for part in x]
    if not kinds or None in kinds:
        return None
    return max(kinds, key=lambda number: NUMBERS.index(type(number)))


def dtype_of(xp: Namespace, dtype: DType) -> Any:
    """A dtype as the library of `xp` has it: NumPy's, its name, Python's `float`; None is None."""
    if dtype is None:
        return None
    name = dtype_name(dtype)
    return dtype if name is None else getattr(xp, name)


def cast(x: Array, dtype: DType) -> Array:
    """An array in NumPy's, or any, dtype; as it is if that is None."""
    if dtype is None or isinstance(x, NUMBERS):
        return x
    xp = array_namespace(x)
    return xp.astype(x, dtype_of(xp, dtype), copy=False)


def as_tuple(x: Array) -> tuple[Any, ...]:
    """An int as a tuple of one; a sequence as a tuple."""
    return tuple(x) if isinstance(x, (list, tuple)) else (x,)


def flat(x: Array) -> Array:
    """x with one axis."""
    return array_namespace(x).reshape(x, (-1,))


def along(axis: int, key: Any) -> tuple[Any, ...]:
    """The key that indexes one axis, counted from the front."""
    return (*(slice(None),) * axis, key, ...)


def front(axis: int, ndim: int, name: str) -> int:
    """`axis` counted from the front; an error where there is none."""
    if not -ndim <= axis < ndim:
        raise IndexingError(
            f"np.{name} expected an axis from {-ndim} to {ndim - 1}, got axis {axis}."
        )
    return axis % ndim


def is_floating(x: Array) -> bool:
    """Whether an array has a dtype that can have a derivative."""
    return has_dtype(x, *FLOATING)


def constantly(function: Callee) -> Callee:
    """Decorator: computed on the data of Variables; arrays among the results are constants."""

    def on_data(*args: Any, **kwargs: Any) -> Any:
        options = {name: stripped(x) for name, x in kwargs.items()}
        return _constants(function(*stripped(args), **options))

    on_data.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    on_data.__doc__ = function.__doc__
    return on_data  # type: ignore[return-value]


def stripped(x: Array) -> Array:
    """The data of a Variable, or of those in a list or tuple."""
    if isinstance(x, (list, tuple)):
        return type(x)(map(stripped, x))
    return data_of(x)


def _constants(y: Array) -> Array:
    if isinstance(y, tuple) and any(compat.is_array_api_obj(x) for x in y):
        return tuple(map(as_constant, y))
    is_array = compat.is_array_api_obj(y) and not isinstance(y, type)
    return as_constant(y) if is_array else y
