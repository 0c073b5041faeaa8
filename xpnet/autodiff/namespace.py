"""The functions for an array: `xp = array_namespace(x)`.

For an array, it is its library's namespace. For a `Variable`, it has the same functions, which are
differentiable: so code written against the standard computes when it is given arrays, and computes
*and records* when it is given Variables.

>>> def softmax(x):
...     xp = array_namespace(x)
...     e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
...     return e / xp.sum(e, axis=-1, keepdims=True)
"""

from collections.abc import Callable, Hashable, Iterable
from functools import cache, wraps
from typing import Any

import array_api_compat as compat

from xpnet._hints import for_functions, missing
from xpnet._libraries.devices import device_key, follows, several
from xpnet._libraries.numpy import require_unmasked
from xpnet._typing import Array, Device, DType, Namespace
from xpnet.backend import Backend, using
from xpnet.errors import ArgumentTypeError

functions: dict[str, Callable[..., Any]] = {}
"""The standard's functions that accept Variables, by name; `xpnet.functions` fills it.

Those of its extensions have names such as "linalg.inv" and "fft.rfft"; they are added when the extension is
first used. So are those of "special", an extension that is proposed for the standard, and that SciPy uses:
github.com/data-apis/array-api/issues/725.
"""

methods: dict[str, Callable[..., Any]] = {}
"""What Variables call in the packages above this one, which register it: indexing, assignment,
`to_device`, NumPy's protocols, einops, the import of an extension. These functions are not in the namespace.
"""

ufuncs: dict[Callable[..., Any], Callable[..., Any]] = {}
"""The functions to call for NumPy's ufuncs; filled when a Variable is passed to one."""

kinds: dict[str, str] = {}
"""Whether each function is "differentiable", "constant" or "structural"; see `functions._registry`."""

EXTENSIONS = ("linalg", "fft", "special")
DTYPES = {
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
}  # fmt: skip
CONSTANTS = {"e", "inf", "nan", "newaxis", "pi"}
API_VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12", "2025.12")
API_VERSION = API_VERSIONS[-1]


class NoArrayError(ArgumentTypeError):
    """An array was expected, and something else given. An operator then returns NotImplemented."""


class DifferentiableNamespace:
    """What `array_namespace` returns for a Variable: xpnet's functions, for its library and device.

    Functions that create arrays create Variables of this library, on this device, with the
    library's own default dtypes. Dtypes and constants are the library's. Any other name raises
    AttributeError: the library's function of that name would lose the gradient.
    """

    __array_api_version__ = API_VERSION

    def __init__(self, xp: Namespace, device: Device, extension: str = "") -> None:
        library = xp.__name__.removeprefix("array_api_compat.")
        self.__name__ = f"xpnet.functions.{extension}".rstrip(".") + f" over {library}"
        self._xp = xp
        self._extension = extension
        self._home = Backend(library.partition(".")[0], xp, device, None)  # "jax", of "jax.numpy"

    def __getattr__(self, name: str) -> Any:
        full = f"{self._extension}.{name}" if self._extension else name
        if full in functions:
            value: Any = functions[full]
            if kinds[full] == "structural":  # without an array, these follow the current backend
                value = wraps(value)(using(self._home)(value))
        elif full in EXTENSIONS:
            methods["import_extension"](name)
            value = DifferentiableNamespace(self._xp, self._home.device, extension=full)
        elif full in DTYPES or full in CONSTANTS:
            value = getattr(self._xp, name)
        else:
            hints = {} if self._extension else for_functions()
            raise missing(self.__name__, name, dir_of(self._extension), hints)
        setattr(self, name, value)  # from now on it is found without this method
        return value

    def __dir__(self) -> list[str]:
        return dir_of(self._extension)

    def __repr__(self) -> str:
        return f"<namespace {self.__name__}>"


def dir_of(extension: str = "") -> list[str]:
    """The names of the standard that xpnet has: in an extension, or in the main namespace."""
    if extension:
        start = f"{extension}."
        return sorted(n.removeprefix(start) for n in functions if n.startswith(start))
    return sorted({n for n in functions if "." not in n} | {*DTYPES, *CONSTANTS, *EXTENSIONS})


_namespaces: dict[tuple[Any, Hashable], DifferentiableNamespace] = {}


def namespace_over(xp: Namespace, device: Device) -> DifferentiableNamespace:
    """The `DifferentiableNamespace` of a library and a device: the same object in each call."""
    key = (xp, device_key(device))
    found = _namespaces.get(key)
    if found is None:  # if two threads come here at the same time, both return the first one's
        found = _namespaces.setdefault(key, DifferentiableNamespace(xp, device))
    return found


# By the type of an array; None for the types that go with every namespace. Variables are not in it.
_namespace_of: dict[type, Namespace] = dict.fromkeys((bool, int, float, complex, type(None)))


def array_namespace(*xs: Array) -> Namespace:
    """The namespace of the arrays among `xs`: differentiable if one of them is a Variable.

    Python scalars and None are ignored, because they go with every namespace. For arrays this is
    `array_api_compat.array_namespace`, cached by type, which takes a tenth of the time.

    Parameters
    ----------
    *xs : arrays, Variables, Python scalars or None

    Returns
    -------
    module, or an object with the functions of the standard

    Raises
    ------
    TypeError
        None of `xs` is an array, or they are arrays of different libraries.

    Examples
    --------
    >>> import xpnet
    >>> xp = xpnet.array_namespace(xpnet.Variable([1.0, 4.0]))
    >>> xp.sqrt(xpnet.Variable([1.0, 4.0]))
    Variable(array([1., 2.], dtype=float32))
    """
    found = None
    for x in xs:
        try:
            xp = _namespace_of[type(x)]
        except KeyError:
            xp = _namespace_for(x)
        if found is None or xp is found:
            found = xp
        elif xp is not None:
            found = _differentiable(found, xp)
    if found is None:
        raise ArgumentTypeError(f"Expected an array or a Variable, got {_types(xs)}.")
    return found


def _namespace_for(x: Array) -> Namespace:
    """The namespace of x, which is cached for its type, unless x is a Variable or a masked array."""
    own = getattr(x, "__array_namespace__", None)
    if own is not None:
        xp = own()
        if isinstance(xp, DifferentiableNamespace):
            return xp
    if not compat.is_array_api_obj(x):
        raise NoArrayError(f"Expected an array or a Variable, got {_types([x])}.")
    several()  # x may be the first CuPy array: this looks up how many devices there are
    xp = compat.array_namespace(x)
    if hasattr(type(x), "mask"):  # of two masked arrays, one may hide numbers and the other none
        require_unmasked(x)
    else:
        _namespace_of[type(x)] = xp
    return xp


def _differentiable(a: Namespace, b: Namespace) -> Namespace:
    """The one of two namespaces that records, if they are of one library."""
    if getattr(a, "_xp", None) is b:
        return a
    if getattr(b, "_xp", None) is a:
        return b
    if _library(a) is not _library(b):
        raise ArgumentTypeError(
            f"Arrays of different libraries do not mix: {a.__name__} and {b.__name__}. "
            "Move one of them with xpnet.current().asarray(x); for a NumPy scalar, use x.item()."
        )
    # Both record, or one of them belongs to the recording of a compiler.
    first, second = (a, b) if isinstance(a, DifferentiableNamespace) else (b, a)
    recording = getattr(second, "_xp", second)
    if hasattr(recording, "_xp") and not hasattr(first._xp, "_xp"):  # noqa: SLF001 - of this module
        return namespace_over(recording, first._home.device)  # noqa: SLF001
    return first


def _library(xp: Namespace) -> Namespace:
    """The library's own namespace in one that records."""
    while hasattr(xp, "_xp"):
        xp = xp._xp  # noqa: SLF001
    return xp


def _types(xs: Iterable[Any]) -> str:
    """The names of the types of `xs`, for messages."""
    return ", ".join(f"{type(x).__module__}.{type(x).__name__}" for x in xs) or "nothing"


def has_dtype(x: Array, *kinds: str) -> bool:
    """Whether the dtype of the array `x` is of one of these kinds, as in the standard's `isdtype`."""
    return _isdtype(array_namespace(x), x.dtype, kinds)


@cache
def _isdtype(xp: Namespace, dtype: DType, kinds: tuple[str, ...]) -> bool:
    return bool(xp.isdtype(dtype, kinds))


array_types: set[type] = set()
"""The types that `as_array` returns unchanged; it adds them when it finds them."""


def as_array(y: Array) -> Array:
    """An array as it is; a NumPy scalar, which NumPy returns in place of a 0-d array, as an array."""
    kind = type(y)
    if kind not in array_types:
        y = _asarray(y)
        if type(y) is kind:
            array_types.add(kind)
    return y


@follows
def _asarray(y: Array) -> Array:
    require_unmasked(y)
    return array_namespace(y).asarray(y)
