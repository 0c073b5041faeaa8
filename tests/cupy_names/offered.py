"""What a wheel of CuPy offers: names, attributes of instances, and the arguments of callables.

CuPy imports without a driver, so names are looked up, not listed. Python's own functions have
signatures. Cython's have none, but each has its own as the first line of its docstring
(`embedsignature`), with C's types before the names; so have the universal functions.
"""

import inspect
import re
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import NamedTuple


class Arguments(NamedTuple):
    """What a callable accepts."""

    positional: tuple[str, ...]  # in their order; those that accept no keyword as well
    keywords: frozenset[str]
    required: frozenset[str]
    more: bool  # *args
    others: bool  # **kwargs


class UnknownSignatureError(LookupError):
    """Neither a signature nor a docstring that begins with one."""


@cache
def arguments(f: object) -> Arguments:
    """The arguments of a callable of CuPy; `self` included, for a function of a class."""
    try:
        signature = inspect.signature(f)
    except (ValueError, TypeError):
        return documented(getattr(f, "__doc__", None) or "")
    parameters = signature.parameters.values()
    by_position = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    by_name = [p for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    kinds = {p.kind for p in parameters}
    return Arguments(
        tuple(p.name for p in by_position),
        frozenset(p.name for p in by_name),
        frozenset(p.name for p in [*by_position, *by_name] if p.default is p.empty),
        inspect.Parameter.VAR_POSITIONAL in kinds,
        inspect.Parameter.VAR_KEYWORD in kinds,
    )


def documented(doc: str) -> Arguments:
    """The arguments of a function of Cython's, by the signature at the head of its docstring.

    >>> documented("ndarray.get(self, int stream=None, *, order='C') -> numpy.ndarray").keywords
    frozenset({...})
    """
    head = re.match(r"\s*[\w.]+\(", doc)
    if head is None:
        raise UnknownSignatureError(doc.partition("\n")[0] or "no docstring")
    positional: list[str] = []
    keywords: set[str] = set()
    required: set[str] = set()
    more = others = by_name = False
    for part in split(doc[head.end() :]):
        declared, _, default = part.replace("\\", "").partition("=")
        if declared == "/":
            keywords.clear()
            continue
        if declared == "*":
            by_name = True
            continue
        name = re.sub(r"\s+not None$", "", declared).split()[-1]
        if name.startswith("**"):
            others = True
        elif name.startswith("*"):
            more = by_name = True
        else:
            keywords.add(name)
            if not by_name:
                positional.append(name)
            if not default:
                required.add(name)
    return Arguments(tuple(positional), frozenset(keywords), frozenset(required), more, others)


def split(text: str) -> list[str]:
    """The parts of `a, b=(1, 2), c) and more` up to the bracket that closes, without the spaces."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{<") - (character in ")]}>")
        if depth < 0:
            return [part.strip() for part in parts if part.strip()]
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    raise UnknownSignatureError(text)


def is_theirs(obj: object) -> bool:
    """Whether an object is of CuPy's making, or of array-api-compat's module for it."""
    home = obj.__name__ if isinstance(obj, ModuleType) else getattr(obj, "__module__", None)
    if not isinstance(home, str):
        home = type(obj).__module__
    return home.partition(".")[0] in ("cupy", "cupyx", "cupy_backends", "array_api_compat")


@cache
def set_in_python(cls: type) -> frozenset[str]:
    """The attributes that methods of the class, where it is Python's, assign to `self`."""
    found: set[str] = set()
    for base in cls.__mro__:
        try:
            found.update(re.findall(r"\bself\.(\w+)\b[^=\n]*=[^=]", inspect.getsource(base)))
        except (OSError, TypeError):
            continue  # compiled: all that its instances have, the class has too
    return frozenset(found)


def has(cls: type, name: str) -> bool:
    """Whether the instances of a class have an attribute."""
    return hasattr(cls, name) or name in set_in_python(cls)


def module(name: str) -> ModuleType | None:
    """A module of CuPy, if it is one; None for other libraries."""
    theirs = name.partition(".")[0] in ("cupy", "cupyx") or name == "array_api_compat.cupy"
    return import_module(name) if theirs else None
