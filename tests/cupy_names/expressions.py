"""Expressions that are neither names nor attributes nor calls: operators, lists, comprehensions."""

import ast

from tests.cupy_names.scopes import for_another_library
from tests.cupy_names.values import (
    ELSEWHERE,
    NOTHING,
    UNKNOWN,
    Elsewhere,
    Function,
    Instance,
    Keywords,
    Object,
    Row,
    Scope,
    Several,
    Text,
    Unknown,
    Values,
    flat,
)


class Expressions:
    """The part of `Analysis` that has a method for each kind of node: `_binop` for ast.BinOp."""

    def _constant(self, node, scope: Scope) -> Values:
        named = isinstance(node.value, str) and node.value.isidentifier()
        return Values([Text(node.value)]) if named else ELSEWHERE

    def _tuple(self, node, scope: Scope) -> Values:
        if any(isinstance(item, ast.Starred) for item in node.elts):
            return self._list(node, scope)
        return Values([Row(tuple(map(flat, (self.evaluate(i, scope) for i in node.elts))))])

    def _list(self, node, scope: Scope) -> Values:
        found = [
            self.items(i.value, scope) if isinstance(i, ast.Starred) else self.evaluate(i, scope)
            for i in node.elts
        ]
        return self.gathered(NOTHING.union(*found))

    _set = _list

    def _listcomp(self, node, scope: Scope) -> Values:
        return self.gathered(self.evaluate(node.elt, scope))

    _setcomp = _generatorexp = _listcomp

    def _dict(self, node, scope: Scope) -> Values:
        if not node.keys:  # to be filled
            return Values([Several(NOTHING)])
        names = []
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                names.append(key.value)
                continue
            held = self.evaluate(value, scope)
            if key is not None or not all(isinstance(v, Keywords) for v in held):
                return self.gathered(NOTHING.union(*(self.evaluate(v, scope) for v in node.values)))
            names += [name for v in held for name in v.names]  # **options
        return Values([Keywords(frozenset(names))])

    def _dictcomp(self, node, scope: Scope) -> Values:
        """Of a dict some items: `{name: v for name, v in options.items() if v is not None}`."""
        source = node.generators[0].iter
        if isinstance(source, ast.Call) and isinstance(source.func, ast.Attribute):
            found = self.evaluate(source.func.value, scope)
            if source.func.attr == "items" and all(isinstance(v, Keywords) for v in found):
                return found
        return self.gathered(self.evaluate(node.value, scope))

    def _subscript(self, node, scope: Scope) -> Values:
        found = NOTHING
        for value in self.evaluate(node.value, scope):
            if isinstance(value, Row) and isinstance(node.slice, ast.Constant):
                found |= self.item(Values([value]), node.slice.value)
            elif isinstance(value, (Row, Several)) and isinstance(node.slice, ast.Slice):
                found |= Values([Several(self.item(Values([value]), None))])
            else:
                found |= self.item(Values([value]), None)
        return found

    def _binop(self, node, scope: Scope) -> Values:
        return self._operated(node.left, node.right, scope)

    def _unaryop(self, node, scope: Scope) -> Values:
        return self._operated(node.operand, node.operand, scope)

    def _compare(self, node, scope: Scope) -> Values:
        if isinstance(node.ops[0], (ast.Is, ast.IsNot, ast.In, ast.NotIn)):
            return ELSEWHERE
        return self._operated(node.left, node.comparators[0], scope)

    def _operated(self, left, right, scope: Scope) -> Values:
        """Of arrays an operator makes an array; of lists, a list."""
        operands = self.evaluate(left, scope) | self.evaluate(right, scope)
        lists = Values(v for v in operands if isinstance(v, (Several, Row)))
        if lists:
            return self.gathered(self.item(lists, None))
        made = Values([self.array]) & operands
        if any(isinstance(v, (Unknown, Object)) for v in operands):  # a Variable, perhaps
            return made | UNKNOWN
        return made or ELSEWHERE

    def _boolop(self, node, scope: Scope) -> Values:
        return NOTHING.union(*(self.evaluate(v, scope) for v in node.values))

    def _ifexp(self, node, scope: Scope) -> Values:
        found = self.evaluate(node.orelse, scope)
        return found if for_another_library(node.test) else found | self.evaluate(node.body, scope)

    def _lambda(self, node, scope: Scope) -> Values:
        return Values([Function(scope.inner[node])]) if node in scope.inner else UNKNOWN

    def _namedexpr(self, node, scope: Scope) -> Values:
        return self.evaluate(node.value, scope)

    def _starred(self, node, scope: Scope) -> Values:
        return self.items(node.value, scope)

    def _yield(self, node, scope: Scope) -> Values:
        return UNKNOWN

    _await = _yieldfrom = _yield

    # --- several at once --------------------------------------------------------------------------

    def items(self, node, scope: Scope) -> Values:
        """What the items of an expression may be."""
        return self.item(self.evaluate(node, scope), None)

    def item(self, values: Values, place: int | None) -> Values:
        """What one item may be: that at a place, or any."""
        found = NOTHING
        for value in values:
            match value:
                case Row(items) if isinstance(place, int) and place < len(items):
                    found |= items[place]
                case Row(items):
                    found |= NOTHING.union(*items)
                case Several(items):
                    found |= items
                case Instance(cls) if cls is self.array.cls:
                    found |= {value}
                case Elsewhere() | Text():
                    found |= ELSEWHERE
                case _:
                    found |= UNKNOWN
        return found

    def gathered(self, values: Values) -> Values:
        """A list of such items."""
        return Values([Several(flat(values))])

    def several(self, node, scope: Scope) -> Values:
        return self.gathered(self.evaluate(node, scope))

    def entered(self, item: ast.withitem, scope: Scope) -> Values:
        """What `with ... as name` binds: of a generator, what it yields."""
        found = NOTHING
        for value in self.evaluate(item.context_expr, scope):
            found |= value.items if isinstance(value, Several) else Values([value])
        return found
