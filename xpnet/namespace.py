"""Arrays say what they can do: `xp = array_namespace(x)`.

For an array that is its library's namespace. For a `Variable` it is the same functions,
differentiable: so code written against the standard computes when it is given arrays, and
computes *and remembers* when it is given Variables.

>>> def softmax(x):
...     xp = array_namespace(x)
...     e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
...     return e / xp.sum(e, axis=-1, keepdims=True)
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import array_api_compat as compat

differentiable: dict[str, Callable[..., Any]] = {}
"""The standard's functions that accept Variables, by name; `xpnet.functions` fills it."""

_THE_LIBRARYS = {  # dtypes, constants, and questions about dtypes
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
    "e", "inf", "nan", "newaxis", "pi", "isdtype", "finfo", "iinfo", "can_cast",
}  # fmt: skip


class Namespace:
    """What `array_namespace` answers for a Variable: xpnet's functions over one library.

    Dtypes, constants and questions about dtypes are the library's own; any other name that xpnet
    does not have is an AttributeError, never the library's function with its gradient lost.
    """

    def __init__(self, xp: Any) -> None:
        self.__name__ = f"xpnet.functions over {xp.__name__}"
        self._xp = xp

    def __getattr__(self, name: str) -> Any:
        if name in differentiable:
            value = differentiable[name]
        elif name in _THE_LIBRARYS:
            value = getattr(self._xp, name)
        else:
            raise AttributeError(f"{self.__name__} has no {name!r}.")
        setattr(self, name, value)  # found once, it is an ordinary attribute
        return value

    def __repr__(self) -> str:
        return f"<namespace {self.__name__}>"


namespace_over: Callable[[Any], Namespace] = cache(Namespace)

_namespace_of: dict[type, Any] = dict.fromkeys((bool, int, float, complex, type(None)))


def array_namespace(*xs: Any) -> Any:
    """The namespace of the arrays among `xs`: differentiable if one of them is a Variable.

    Python scalars (and None) belong to every namespace and do not count. For arrays this is
    `array_api_compat.array_namespace`, remembered by type: a tenth of the time.

    Raises
    ------
    TypeError
        None of `xs` is an array, or they are of different libraries.
    """
    found = None
    for x in xs:
        try:
            xp = _namespace_of[type(x)]
        except KeyError:
            xp = _ask(x)
        if found is None or xp is found:
            found = xp
        elif xp is not None:
            found = _stronger(found, xp)
    if found is None:
        raise TypeError(f"Expected an array or a Variable, got {_types(xs)}.")
    return found


def _ask(x: Any) -> Any:
    """`x`'s own answer. It holds for all of its type, unless `x` is a Variable."""
    answer = getattr(x, "__array_namespace__", None)
    if answer and isinstance(xp := answer(), Namespace):
        return xp
    if not compat.is_array_api_obj(x):
        raise TypeError(f"Expected an array or a Variable, got {_types([x])}.")
    xp = _namespace_of[type(x)] = compat.array_namespace(x)
    return xp


def _stronger(a: Any, b: Any) -> Any:
    """Of two namespaces the one that records; two libraries do not mix."""
    if getattr(a, "_xp", a) is not getattr(b, "_xp", b):
        raise TypeError(
            f"Arrays of different libraries do not mix: {a.__name__} and {b.__name__}. "
            "Move one of them with xpnet.current().asarray(x); of a NumPy scalar, take x.item()."
        )
    return a if isinstance(a, Namespace) else b


def _types(xs: Any) -> str:
    return ", ".join(f"{type(x).__module__}.{type(x).__name__}" for x in xs) or "nothing"


def has_dtype(x: Any, kind: str) -> bool:
    """Whether the dtype of the array `x` is of a kind that the standard's `isdtype` knows."""
    return _isdtype(array_namespace(x), x.dtype, kind)


@cache
def _isdtype(xp: Any, dtype: Any, kind: str) -> bool:
    return bool(xp.isdtype(dtype, kind))


array_types: set[type] = set()
"""The types that `as_array` leaves alone; it finds them out."""


def as_array(y: Any) -> Any:
    """An array as it is; a NumPy scalar, which NumPy's functions give for 0-d arrays, as one."""
    kind = type(y)
    if kind not in array_types:
        y = array_namespace(y).asarray(y)
        if type(y) is kind:
            array_types.add(kind)
    return y
