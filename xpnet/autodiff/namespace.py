"""Arrays say what they can do: `xp = array_namespace(x)`.

For an array that is its library's namespace. For a `Variable` it is the same functions,
differentiable: so code written against the standard computes when it is given arrays, and
computes *and remembers* when it is given Variables.

>>> def softmax(x):
...     xp = array_namespace(x)
...     e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
...     return e / xp.sum(e, axis=-1, keepdims=True)
"""

from collections.abc import Callable, Hashable
from functools import cache, wraps
from typing import Any

import array_api_compat as compat

from xpnet._hints import FUNCTIONS, missing
from xpnet._libraries.devices import device_key, follows, several
from xpnet._typing import Array, Device, DType, Namespace
from xpnet.backend import Backend, using
from xpnet.errors import ArgumentTypeError

functions: dict[str, Callable[..., Any]] = {}
"""The standard's functions that accept Variables, by name; `xpnet.functions` fills it.

Those of its extensions are there as "linalg.inv" and "fft.rfft"; so are those of "special", an extension
that is proposed for the standard, and that SciPy looks for: github.com/data-apis/array-api/issues/725.
"""

methods: dict[str, Callable[..., Any]] = {}
"""What the array object has and the namespace has not: indexing, `to_device`."""

ufuncs: dict[Any, Callable[..., Any]] = {}
"""What answers for a ufunc of NumPy that a Variable was given to before."""

kinds: dict[str, str] = {}
"""What became of each function's derivative: "differentiable", "constant" or "structural"."""

EXTENSIONS = ("linalg", "fft", "special")
DTYPES = {
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
}  # fmt: skip
CONSTANTS = {"e", "inf", "nan", "newaxis", "pi"}
API_VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12", "2025.12")
API_VERSION = API_VERSIONS[-1]


class NoArrayError(ArgumentTypeError):
    """An array was expected, and something else given: an operator lets that answer."""


class DifferentiableNamespace:
    """What `array_namespace` answers for a Variable: xpnet's functions, at home where it lies.

    Functions that create arrays create Variables of this library, on this device, with the
    library's own default dtypes. Dtypes and constants are the library's. Any other name that xpnet
    does not have is an AttributeError, never the library's function with its gradient lost.
    """

    __array_api_version__ = API_VERSION

    def __init__(self, xp: Namespace, device: Device, extension: str = "") -> None:
        library = xp.__name__.removeprefix("array_api_compat.")
        self.__name__ = ".".join(filter(None, ("xpnet.functions", extension))) + f" over {library}"
        self._xp, self._extension = xp, extension
        self._home = Backend(library, xp, device, None)

    def __getattr__(self, name: str) -> Any:
        full = f"{self._extension}.{name}" if self._extension else name
        if full in functions:
            value: Any = functions[full]
            if kinds[full] == "structural":  # these ask the switch where no array tells them
                value = wraps(value)(using(self._home)(value))
        elif full in EXTENSIONS:
            value = DifferentiableNamespace(self._xp, self._home.device, extension=full)
        elif full in DTYPES or full in CONSTANTS:
            value = getattr(self._xp, name)
        else:
            hints = {} if self._extension else FUNCTIONS
            raise missing(self.__name__, name, dir_of(self._extension), hints)
        setattr(self, name, value)  # found once, it is an ordinary attribute
        return value

    def __dir__(self) -> list[str]:
        return dir_of(self._extension)

    def __repr__(self) -> str:
        return f"<namespace {self.__name__}>"


def dir_of(extension: str = "") -> list[str]:
    """The names of the standard that are here, in one of its extensions or outside of them."""
    if extension:
        start = f"{extension}."
        return sorted(n.removeprefix(start) for n in functions if n.startswith(start))
    return sorted({n for n in functions if "." not in n} | {*DTYPES, *CONSTANTS, *EXTENSIONS})


_namespaces: dict[tuple[Any, Hashable], DifferentiableNamespace] = {}


def namespace_over(xp: Namespace, device: Device) -> DifferentiableNamespace:
    """The `DifferentiableNamespace` of a library and one of its devices: the same object at each call."""
    key = (xp, device_key(device))
    found = _namespaces.get(key)
    if found is None:  # if two threads make one at the same time, the first is kept
        found = _namespaces.setdefault(key, DifferentiableNamespace(xp, device))
    return found


_namespace_of: dict[type, Any] = dict.fromkeys((bool, int, float, complex, type(None)))


def array_namespace(*xs: Array) -> Any:
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
        raise ArgumentTypeError(f"Expected an array or a Variable, got {_types(xs)}.")
    return found


def _ask(x: Array) -> Any:
    """`x`'s own answer. It holds for all of its type, unless `x` is a Variable."""
    answer = getattr(x, "__array_namespace__", None)
    if answer and isinstance(xp := answer(), DifferentiableNamespace):
        return xp
    if not compat.is_array_api_obj(x):
        raise NoArrayError(f"Expected an array or a Variable, got {_types([x])}.")
    several()  # this may be the first CuPy array: it finds out how many devices there are
    xp = _namespace_of[type(x)] = compat.array_namespace(x)
    return xp


def _stronger(a: Array, b: Array) -> Any:
    """Of two namespaces the one that records; two libraries do not mix."""
    if getattr(a, "_xp", a) is not getattr(b, "_xp", b):
        raise ArgumentTypeError(
            f"Arrays of different libraries do not mix: {a.__name__} and {b.__name__}. "
            "Move one of them with xpnet.current().asarray(x); of a NumPy scalar, take x.item()."
        )
    return a if isinstance(a, DifferentiableNamespace) else b


def _types(xs: Any) -> str:
    return ", ".join(f"{type(x).__module__}.{type(x).__name__}" for x in xs) or "nothing"


def has_dtype(x: Array, *kinds: str) -> bool:
    """Whether the dtype of the array `x` is of one of the kinds that `isdtype` knows."""
    return _isdtype(array_namespace(x), x.dtype, kinds)


@cache
def _isdtype(xp: Namespace, dtype: DType, kinds: tuple[str, ...]) -> bool:
    return bool(xp.isdtype(dtype, kinds))


array_types: set[type] = set()
"""The types that `as_array` leaves alone; it finds them out."""


def as_array(y: Array) -> Any:
    """An array as it is; a NumPy scalar, which NumPy's functions give for 0-d arrays, as one."""
    kind = type(y)
    if kind not in array_types:
        y = _as_its_library_has_it(y)
        if type(y) is kind:
            array_types.add(kind)
    return y


@follows
def _as_its_library_has_it(y: Array) -> Any:
    return array_namespace(y).asarray(y)
