"""What annotations say: mypy, which is strict, holds them."""

import ast

from tests.cupy_names.values import (
    ELSEWHERE,
    NOTHING,
    UNKNOWN,
    Builtin,
    Class,
    Object,
    Scope,
    Several,
    Text,
    Unknown,
    Values,
)

PLAIN = {"int", "float", "bool", "str", "complex", "bytes", "None", "slice"}
UNTYPED = {"typing.Any", "collections.abc.Callable", "typing.Callable", "object", "typing.TypeVar"}
FOR_ITEMS = {"list", "set", "frozenset", "Iterator", "Iterable", "Sequence", "deque"}


class Annotations:
    """The part of `Analysis` that is about annotations."""

    def declared(self, node: ast.AnnAssign, scope: Scope) -> Values:
        """What a variable or a field with an annotation may be.

        The value is more exact than `Any`, but less than `list[Array]`, if it is empty.
        """
        given = self.given_to(scope, node.target.id)
        if node.value is None:
            return chosen(given, self.annotated(node.annotation, scope, bool(given)))
        given |= self.evaluate(node.value, scope)
        said = self.annotated(node.annotation, scope, True)
        return given | (said - UNKNOWN) if given else said

    def annotated(self, node, scope: Scope, known: bool = False) -> Values:
        """What an annotation says; `known`: whether there is something more exact already."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node not in self.parsed:
                self.parsed[node] = ast.parse(node.value, mode="eval").body
            node = self.parsed[node]
        if isinstance(node, ast.BinOp):  # X | None
            left, right = (self.annotated(n, scope, known) for n in (node.left, node.right))
            return left | right
        if isinstance(node, ast.Subscript):
            return self._generic(node, scope, known)
        if isinstance(node, ast.Constant):
            return ELSEWHERE if node.value is None else UNKNOWN
        return self._named(node, scope, known)

    def _named(self, node, scope: Scope, known: bool) -> Values:
        name = ast.unparse(node)
        if name in PLAIN or name in self.assumed.plain_types:
            return ELSEWHERE
        if name in ("ModuleType", "Callable", "Self"):
            return NOTHING if known else UNKNOWN
        found = self.evaluate(node, scope)
        if found and all(map(is_foreign, found)):
            return ELSEWHERE
        classes = Values(Object(v.scope) for v in found if isinstance(v, Class))
        return classes or UNKNOWN

    def _generic(self, node, scope: Scope, known: bool) -> Values:
        name = ast.unparse(node.value)
        inside = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if name in FOR_ITEMS:
            return Values([Several(self.annotated(inside[0], scope))])
        if name in ("dict", "Mapping"):
            return Values([Several(self.annotated(inside[-1], scope))])
        if name == "tuple":
            parts = [self.annotated(part, scope) for part in inside]
            return Values([Several(NOTHING.union(*parts))])
        if name == "Callable":
            return NOTHING if known else UNKNOWN
        return self.annotated(node.value, scope)


def is_foreign(value) -> bool:
    """Whether a class is Python's or another library's; of a file that is not read, nobody knows."""
    if not isinstance(value, Builtin) or value.name.startswith("xpnet."):
        return False
    return value.name not in UNTYPED


def chosen(given: Values, said: Values) -> Values:
    """What a parameter may be, from what is given to it and what its annotation says.

    mypy holds an annotation that is exact; of strings, which ones is known from the calls.
    """
    if said == ELSEWHERE:
        texts = Values(v for v in given if isinstance(v, Text))
        return given if texts and texts == given else texts | ELSEWHERE
    if said and not any(isinstance(v, Unknown) for v in said):
        return said
    return given | said
