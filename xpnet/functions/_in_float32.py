"""Half-precision inputs computed in float32, whose precision and range long sums need."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from xpnet._typing import Array, DType
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import Variable, data_of
from xpnet.errors import ArgumentTypeError

Callee = TypeVar("Callee", bound=Callable[..., Any])

_bits: dict[tuple[type, DType], int] = {}  # by array type and dtype; 0 if it is not floating-point


def widened(name: str, x: Array) -> Array:
    """x in float32 if it has fewer bits, otherwise x itself.

    Parameters
    ----------
    name : str
        The function that was given x, for the error.
    x : array or Variable

    Raises
    ------
    TypeError
        x is not of floating-point numbers.
    """
    key = (type(data_of(x)), x.dtype)
    bits = _bits.get(key)
    if bits is None:
        bits = 0
        if has_dtype(x, "real floating"):
            bits = int(array_namespace(x).finfo(x.dtype).bits)
        _bits[key] = bits
    if not bits:
        raise ArgumentTypeError(f"{name} expected floating-point numbers, got {x.dtype}.")
    if bits >= 32:
        return x
    xp = array_namespace(x)
    return xp.astype(x, xp.float32)


def in_float32(function: Callee) -> Callee:
    """Decorator: compute a function of float16 or bfloat16 numbers in float32, and round once."""

    @wraps(function)
    def computed_in_float32(x: Array, /, **options: Any) -> Array:
        full = widened(function.__name__, x) if has_dtype(x, "real floating") else x
        y = function(full, **options)
        return y if full is x else cast_like(y, x)

    return computed_in_float32  # type: ignore[return-value]


def as_number(option: Any) -> float:
    """An option, such as a slope, as a Python number.

    A scalar of NumPy would promote float32 to float64, and a Variable would lose its gradient.

    Raises
    ------
    ArgumentTypeError
        The option is a Variable.
    """
    if isinstance(option, Variable):
        raise ArgumentTypeError(f"Expected a number, got {option!r}: options have no gradient.")
    return float(option)


def cast_like(y: Array, x: Array) -> Array:
    """y in the dtype of x."""
    if y.dtype == x.dtype:
        return y
    return array_namespace(y).astype(y, x.dtype)
