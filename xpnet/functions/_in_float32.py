"""Numbers of 16 bits in 32: sums of many need the bits, and the range."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import Variable, data_of
from xpnet.errors import ArgumentTypeError

Callee = TypeVar("Callee", bound=Callable[..., Any])

_bits: dict[tuple[type, Any], int] = {}  # of a library's floating-point dtype; 0 of another


def widened(name: str, x: Array) -> Array:
    """x, or its like in float32 where x is of less, for the function of that name.

    Raises
    ------
    TypeError
        x is not of floating-point numbers.
    """
    kind = type(data_of(x)), x.dtype
    bits = _bits.get(kind)
    if bits is None:
        floating = has_dtype(x, "real floating")
        bits = _bits[kind] = int(array_namespace(x).finfo(x.dtype).bits) if floating else 0
    if not bits:
        raise ArgumentTypeError(f"{name} expected floating-point numbers, got {x.dtype}.")
    if bits >= 32:
        return x
    xp = array_namespace(x)
    return xp.astype(x, xp.float32)


def in_float32(function: Callee) -> Callee:
    """Decorator: of real numbers of less, the function is computed in float32, and then rounded."""

    @wraps(function)
    def wide(x: Array, /, **options: Any) -> Array:
        full = widened(function.__name__, x) if has_dtype(x, "real floating") else x
        y = function(full, **options)
        return y if full is x else like(y, x)

    return wide  # type: ignore[return-value]


def number(option: Any) -> float:
    """An option as Python's number: NumPy's turns float32 into float64, a Variable's is no option."""
    if isinstance(option, Variable):
        raise ArgumentTypeError(f"Expected a number, got {option!r}: options have no gradient.")
    return float(option)


def like(y: Array, x: Array) -> Array:
    """y in the dtype of x."""
    return y if y.dtype == x.dtype else array_namespace(y).astype(y, x.dtype)
