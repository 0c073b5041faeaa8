"""What an expression of xpnet may stand for, as far as CuPy is concerned."""

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Values = frozenset  # of the classes below: an expression may stand for several


@dataclass(frozen=True, eq=False)
class Real:
    """An object of CuPy's: a module, a class, a function."""

    obj: Any
    name: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Real) and self.obj is other.obj

    def __hash__(self) -> int:
        return id(self.obj)


@dataclass(frozen=True)
class Instance:
    """An object of a class of CuPy's."""

    cls: type


@dataclass(frozen=True)
class Method:
    """A method of an instance of a class of CuPy's."""

    cls: type
    name: str


@dataclass(frozen=True, eq=False)
class Function:
    """A function, method or lambda of xpnet; `owner` is what its first parameter stands for."""

    scope: "Scope"
    owner: Any = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Function) and (self.scope, self.owner) == (
            other.scope,
            other.owner,
        )

    def __hash__(self) -> int:
        return hash((self.scope, self.owner))


@dataclass(frozen=True)
class Class:
    """A class of xpnet."""

    scope: "Scope"


@dataclass(frozen=True)
class Object:
    """An instance of a class of xpnet."""

    scope: "Scope"


@dataclass(frozen=True)
class File:
    """A module of xpnet."""

    scope: "Scope"


@dataclass(frozen=True)
class Several:
    """A list, an iterator, a set: what is known is what the items may be."""

    items: Values


@dataclass(frozen=True)
class Row:
    """A tuple: what is known is what each item may be."""

    items: tuple[Values, ...]


@dataclass(frozen=True)
class Taken:
    """A method that takes something out of a list or a dict: what it gives."""

    result: Values


@dataclass(frozen=True)
class Partial:
    """functools.partial of a function; `call` has the arguments that it holds already."""

    function: Any
    call: ast.Call
    scope: "Scope"


@dataclass(frozen=True)
class Keywords:
    """A dict of arguments by name."""

    names: frozenset[str]


@dataclass(frozen=True)
class Text:
    """A string that may be a name."""

    text: str


@dataclass(frozen=True)
class Builtin:
    """A function of Python or of a library that is not CuPy, by its full name."""

    name: str


@dataclass(frozen=True)
class Elsewhere:
    """Nothing of CuPy's: a number, a string, NumPy, the other libraries."""


@dataclass(frozen=True)
class Unknown:
    """Anything; in the files that are for CuPy alone, an array.

    `many`: more values than are told apart, and whatever comes to them.
    """

    many: bool = False


ELSEWHERE = Values([Elsewhere()])
UNKNOWN = Values([Unknown()])


@dataclass(eq=False, repr=False)
class Scope:
    """A file, class, function or lambda of xpnet, and what its names are bound to.

    Names that several statements bind may stand for any of them, whichever comes first.
    """

    node: Any
    parent: "Scope | None"
    path: str
    name: str
    bound: dict[str, list[Callable[[], Values]]] = field(default_factory=dict)
    inner: dict[ast.AST, "Scope"] = field(default_factory=dict)
    results: list[Callable[[], Values]] = field(default_factory=list)
    set_on: dict[str, list[Callable[[], Values]]] = field(default_factory=dict)  # self.x = ...

    @property
    def is_function(self) -> bool:
        return isinstance(self.node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))

    @property
    def is_class(self) -> bool:
        return isinstance(self.node, ast.ClassDef)


NOTHING = Values()
MORE = Unknown(many=True)
MANY = (
    10  # values of an expression that are told apart: more of them come from a table of functions
)
EXACT = (Real, Instance, Method, Text)  # but these are always told apart


def flat(values: Values, depth: int = 2) -> Values:
    """The values in a normal form: at most one list, and one tuple of each length.

    What lies deeper in lists of lists is unknown. So there is an end to what can be found.
    """
    if values in (NOTHING, ELSEWHERE, UNKNOWN):  # as most are
        return values
    if (
        len(values) > MANY and sum(not isinstance(v, EXACT) for v in values) > MANY
    ) or MORE in values:
        values = Values(v for v in values if isinstance(v, EXACT)) | {MORE}
    lists = [v.items for v in values if isinstance(v, Several)]
    rows: dict[int, list] = {}
    for value in values:
        if isinstance(value, Row):
            rows.setdefault(len(value.items), []).append(value.items)
    if not lists and not rows:
        return values
    found = {v for v in values if not isinstance(v, (Several, Row))}
    if depth == 0:
        return Values(found | UNKNOWN)
    if lists:
        found.add(Several(flat(NOTHING.union(*lists), depth - 1)))
    for some in rows.values():
        columns = (NOTHING.union(*column) for column in zip(*some, strict=True))
        found.add(Row(tuple(flat(column, depth - 1) for column in columns)))
    return Values(found)


def certain(values: Values) -> bool:
    """Whether all that an expression may stand for is CuPy's; not, perhaps, a Variable."""
    return all(isinstance(v, (Instance, Real)) for v in values)
