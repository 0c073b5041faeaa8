"""Whose code it is: the user's, or that of a library, which a survey does not look into."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from os import sep
from pathlib import Path
from sysconfig import get_paths
from types import FunctionType, MethodType
from typing import Any

__all__ = [
    "is_librarys",
    "is_users_code",
    "is_users_file",
    "is_users_function",
    "is_users_module",
    "is_xpnets_file",
    "owned_by",
]

ARRAY_LIBRARIES = frozenset(
    ("numpy", "torch", "jax", "jaxlib", "cupy", "array_api_compat", "array_api_strict")
)

XPNET = str(Path(__file__).parent.parent) + sep

LIBRARIES = (
    XPNET,
    *(get_paths()[name] + sep for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    "<frozen ",
)
"""Where code is that is not the user's: xpnet, Python's own library, and packages."""

EXAMPLES = "<doctest "
"""How the names of the files of examples begin; they belong to the module whose docstring has them."""

_own: ContextVar[tuple[str, ...]] = ContextVar("xpnet_compiler_own", default=())
"""The folders or files of the package of the step, which may be installed: it counts as the user's."""


@contextmanager
def owned_by(step: Any) -> Iterator[None]:
    """A block in which the package that defines the step counts as the user's."""
    token = _own.set(tuple(_places_of(step)))
    try:
        yield
    finally:
        _own.reset(token)


def _places_of(step: Any) -> Iterator[str]:
    """The folders of the package of a step, or its file if that is in no package."""
    while isinstance(step, partial):
        step = step.func
    root = str(getattr(step, "__module__", None) or "").partition(".")[0]
    if root == "xpnet":  # of a function that it is made from, as by xpnet.grad
        for cell in getattr(step, "__closure__", None) or ():
            inner = getattr(cell, "cell_contents", None)
            if isinstance(inner, FunctionType) and not inner.__module__.startswith("xpnet."):
                yield from _places_of(inner)
        return
    module = sys.modules.get(root)
    if module is None or root in ARRAY_LIBRARIES or root in sys.stdlib_module_names:
        return
    yield from (folder + sep for folder in getattr(module, "__path__", ()))
    if not hasattr(module, "__path__") and getattr(module, "__file__", None):
        yield str(module.__file__)


@cache
def _is_in_library(filename: str) -> bool:
    is_installed = "site-packages" in filename or "dist-packages" in filename
    return is_installed or filename.startswith(LIBRARIES)


def is_users_file(filename: str) -> bool:
    """Whether code of this file is the user's."""
    return not _is_in_library(filename) or filename.startswith(_own.get())


def is_xpnets_file(filename: str) -> bool:
    """Whether code of this file is xpnet's own."""
    return filename.startswith(XPNET)


def is_users_module(name: str | None) -> bool:
    """Whether code of this module is the user's: neither ours nor a library's.

    The file decides: a module of the user's may have the name of one of Python's own.
    """
    if not name or name == "__main__":  # that may be a program which runs the user's code
        return True
    root = name.partition(".")[0]
    if root == "xpnet" or root in ARRAY_LIBRARIES:
        return False
    file = _file_of(name) or _file_of(root)
    if file is None:
        return root not in sys.stdlib_module_names
    return is_users_file(file)


def is_users_function(function: FunctionType) -> bool:
    """Whether a function is the user's: by its file, since `functools.wraps` changes its module."""
    file = function.__code__.co_filename
    if file.startswith(EXAMPLES):
        return True
    if file.startswith("<"):  # code without a file: made by `exec`, typed
        return is_users_module(function.__module__)
    return is_users_file(file)


def is_users_code(x: Any, seen: set[int] | None = None) -> bool:
    """Whether a call of x may run code of the user's: its own, or that of what it holds.

    What a method has as its object, a partial as its arguments, a closure as its variables, and what a
    function wraps; not what is in lists and dicts among them.
    """
    seen = set() if seen is None else seen
    if id(x) in seen:  # a function may be a variable of its own closure
        return False
    seen.add(id(x))
    held: list[Any] = []
    if isinstance(x, partial):
        held = [x.func, *x.args, *x.keywords.values()]
    elif isinstance(x, MethodType):
        held = [x.__func__, x.__self__]
    elif isinstance(x, FunctionType):
        if is_users_function(x):
            return True
        held = [cell.cell_contents for cell in x.__closure__ or ()]
        held.append(vars(x).get("__wrapped__"))
    elif is_users_module(type(x).__module__):
        return True
    return any(is_users_code(part, seen) for part in held)


def is_librarys(module: str) -> bool:
    """Whether a module is of Python's own library or of an array library."""
    root = module.partition(".")[0]
    if root in ARRAY_LIBRARIES:
        return True
    return root in sys.stdlib_module_names and not is_users_module(module)


def _file_of(module: str) -> str | None:
    file: str | None = getattr(sys.modules.get(module), "__file__", None)
    return file
