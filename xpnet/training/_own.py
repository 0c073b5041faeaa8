"""Whether an object's methods are those of its class in xpnet: a compiled step does not call them.

A subclass may have others, and so may the object itself, as in `loader.epoch = f`.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["has_own", "methods_of"]


def methods_of(kind: type, *names: str) -> dict[str, Any]:
    """The methods of a class by their names, as they are now."""
    return {name: getattr(kind, name) for name in names}


def has_own(x: object, methods: Mapping[str, Any]) -> bool:
    """Whether an object has these methods, and no others by their names."""
    of_object = getattr(x, "__dict__", {})
    return all(
        name not in of_object and getattr(type(x), name, None) is method
        for name, method in methods.items()
    )
