"""One object for each array library, with what the array API standard leaves open.

    library_of(x)       the object for the library of an array
    LIBRARIES["torch"]  the object for a library, by its name in a backend's spec

To add a library, write its module, with a `library` in it (see `_base.Library`), and add the module's
name to `NAMES`. The backend switch, `xpnet doctor`, the tests and nox read that tuple.
"""

from importlib import import_module

from xpnet._libraries._base import Library as Library
from xpnet._typing import Array

NAMES = ("numpy", "cupy", "torch", "jax", "array_api_strict")
AUTO = ("cupy", "torch:cuda", "torch:mps", "numpy")
"""The backends that the spec "auto" tries, in this order."""

LIBRARIES: dict[str, Library] = {
    name: import_module(f"xpnet._libraries.{name}").library for name in NAMES
}
ANY_OTHER = Library()
"""For arrays of a library that is not listed; its methods use the standard only."""

_by_type: dict[type, Library] = {}  # the library of each type of array seen so far


def library_of(x: Array) -> Library:
    """The object for the library that `x` is an array of; `ANY_OTHER` for anything else."""
    found = _by_type.get(type(x))
    return _found(x) if found is None else found


def _found(x: Array) -> Library:
    """The object for the library of x, whose type has not been seen before."""
    owners = (library for library in LIBRARIES.values() if library.owns(x))
    library = _by_type[type(x)] = next(owners, ANY_OTHER)
    return library


def library_named(spec: str) -> Library:
    """The object for the library of a backend's spec without aliases, such as "torch:cpu"."""
    return LIBRARIES.get(spec.partition(":")[0], ANY_OTHER)
