"""Calls, to xpnet's own functions and to Python's: what they are given, and what they return."""

import ast

from tests.cupy_names.annotations import chosen
from tests.cupy_names.values import (
    ELSEWHERE,
    NOTHING,
    UNKNOWN,
    Builtin,
    Class,
    Elsewhere,
    Function,
    Instance,
    Keywords,
    Method,
    Object,
    Partial,
    Real,
    Row,
    Scope,
    Several,
    Taken,
    Text,
    Unknown,
    Values,
    flat,
)

CONTAINERS = {"list", "set", "frozenset", "sorted", "reversed", "iter", "tuple", "deque", "filter"}
PASSED_ON = {"next", "min", "max", "copy.copy", "typing.cast"}  # one of what they are given
BUILTINS = {"import_module", "partial", "getattr", "zip", "enumerate", "map", "dict"}


class Calls:
    """The part of `Analysis` that is about calls."""

    def _call(self, node, scope: Scope) -> Values:
        return NOTHING.union(
            *(self.called(f, node, scope) for f in self.evaluate(node.func, scope))
        )

    def called(self, f, node: ast.Call, scope: Scope) -> Values:  # noqa: PLR0911 - a case for each kind
        """What a call of one value may give."""
        match f:
            case Real():
                return self.assumed.result(f)
            case Method():
                return self.assumed.result_of_method(f.cls, f.name)
            case Instance():
                return self.assumed.result_of_method(f.cls, "__call__")
            case Function():
                return self._of_function(f, node, scope)
            case Class():
                self._construct(f.scope, node, scope)
                return Values([Object(f.scope)])
            case Object():
                methods = self._of_class(f, f.scope, "__call__") - UNKNOWN
                return NOTHING.union(*(self.called(m, node, scope) for m in methods)) or UNKNOWN
            case Partial():
                held = ast.Call(f.call.args[0], f.call.args[1:], f.call.keywords)
                first = self.called(f.function, held, f.scope)
                return first | self.called(f.function, node, scope)
            case Taken(result):
                return result
            case Builtin():
                return self._of_builtin(f.name, node, scope)
            case Elsewhere():
                return ELSEWHERE
        return UNKNOWN

    def _of_function(self, f: Function, node: ast.Call, scope: Scope) -> Values:
        full = f.scope.name
        if full in self.assumed.results:
            return self.assumed.values(self.assumed.results[full])
        first = () if f.owner is None else (Values([f.owner]),)
        self._give(f.scope, first, node, scope)
        return self.results(f.scope)

    def results(self, scope: Scope) -> Values:
        """What a function of xpnet returns."""
        found = NOTHING.union(*(result() for result in scope.results))
        declared = getattr(scope.node, "returns", None)
        if declared is None:
            return found
        said = self.annotated(declared, scope.parent, bool(found))
        if found and any(isinstance(v, Unknown) for v in said):  # `Any`: what is returned is all
            return found
        return chosen(found, said)

    def _give(self, callee: Scope, first: tuple, node: ast.Call, scope: Scope) -> None:
        """Note down what a call gives to the parameters of a function of xpnet."""
        arguments = callee.node.args
        names = [p.arg for p in (*arguments.posonlyargs, *arguments.args)]
        rest = getattr(arguments.vararg, "arg", None)
        given = list(first)
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                items = self.items(argument.value, scope)
                given += [items] * max(len(names) - len(given), 0)
                if rest:
                    self._note(callee, rest, self.gathered(items))
                break
            given.append(self.evaluate(argument, scope))
        for name, values in zip(names, given, strict=False):
            self._note(callee, name, values)
        if rest and len(given) > len(names):
            self._note(callee, rest, self.gathered(NOTHING.union(*given[len(names) :])))
        known = parameters(callee.node)
        others = getattr(arguments.kwarg, "arg", None)
        unnamed = set()
        for keyword in node.keywords:
            values = self.evaluate(keyword.value, scope)
            if keyword.arg in known:
                self._note(callee, keyword.arg, values)
            elif keyword.arg is not None:
                unnamed.add(keyword.arg)
            elif others:
                self._note(callee, others, values)
        if others and (unnamed or not node.keywords):
            self._note(callee, others, Values([Keywords(frozenset(unnamed))]))

    def given_to(self, callee: Scope, name: str) -> Values:
        """What the calls that are known give to a parameter or a field."""
        key = callee, name
        return self.given.get(key, NOTHING) | self.noted.get(key, NOTHING)

    def _note(self, callee: Scope, name: str, values: Values) -> None:
        if self.keeps:
            values |= self.given.get((callee, name), NOTHING)
        self.noted[callee, name] = flat(self.noted.get((callee, name), NOTHING) | values)

    def _construct(self, cls: Scope, node: ast.Call, scope: Scope) -> None:
        """What a class is created with: parameters of __init__, or fields in their order."""
        methods = self._of_class(Object(cls), cls, "__init__")
        for method in methods:
            if isinstance(method, Function):
                self._give(method.scope, (Values([Object(cls)]),), node, scope)
                return
        fields = [
            s.target.id
            for s in cls.node.body
            if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)
        ]
        for name, argument in zip(fields, node.args, strict=False):
            starred = isinstance(argument, ast.Starred)
            self._note(cls, name, UNKNOWN if starred else self.evaluate(argument, scope))
        for keyword in node.keywords:
            if keyword.arg in fields:
                self._note(cls, keyword.arg, self.evaluate(keyword.value, scope))

    def _of_builtin(self, name: str, node: ast.Call, scope: Scope) -> Values:
        short = name.rpartition(".")[2]
        if name in self.assumed.results:
            found = self.assumed.values(self.assumed.results[name])
        elif short in BUILTINS and (node.args or short == "dict"):
            found = getattr(self, f"_call_of_{short}")(node, scope)
        elif short in CONTAINERS and node.args:
            found = self.gathered(self.items(node.args[0], scope))
        elif name in PASSED_ON and node.args:
            every = [self.evaluate(a, scope) | self.items(a, scope) for a in node.args]
            found = NOTHING.union(*every)
        else:
            found = UNKNOWN if name.startswith("xpnet.") else ELSEWHERE
        return found

    def _call_of_import_module(self, node: ast.Call, scope: Scope) -> Values:
        return self._imported_by_name(node.args[0])

    def _call_of_partial(self, node: ast.Call, scope: Scope) -> Values:
        functions = self.evaluate(node.args[0], scope)
        return Values(Partial(f, node, scope) for f in functions if not isinstance(f, Partial))

    def _call_of_zip(self, node: ast.Call, scope: Scope) -> Values:
        row = Row(tuple(flat(self.items(a, scope)) for a in node.args))
        return Values([Several(Values([row]))])

    def _call_of_enumerate(self, node: ast.Call, scope: Scope) -> Values:
        row = Row((ELSEWHERE, flat(self.items(node.args[0], scope))))
        return Values([Several(Values([row]))])

    def _call_of_map(self, node: ast.Call, scope: Scope) -> Values:
        starred = [ast.Starred(a) for a in node.args[1:]]
        call = self.mapped.setdefault(node, ast.Call(node.args[0], starred, []))
        functions = self.evaluate(node.args[0], scope)
        return self.gathered(NOTHING.union(*(self.called(f, call, scope) for f in functions)))

    def _call_of_dict(self, node: ast.Call, scope: Scope) -> Values:
        names = [k.arg for k in node.keywords]
        known = not node.args and None not in names
        return Values([Keywords(frozenset(names))]) if known else UNKNOWN

    def _imported_by_name(self, node) -> Values:
        if isinstance(node, ast.IfExp):
            return self._imported_by_name(node.body) | self._imported_by_name(node.orelse)
        return self.module(node.value) if isinstance(node, ast.Constant) else UNKNOWN

    def _call_of_getattr(self, node: ast.Call, scope: Scope) -> Values:
        owners = self.evaluate(node.args[0], scope)
        default = NOTHING if len(node.args) < 3 else self.evaluate(node.args[2], scope)
        names = self.names(node, scope)
        if not names:
            return UNKNOWN
        return default.union(*(self.attribute(v, name) for v in owners for name in names))

    def names(self, node: ast.Call, scope: Scope) -> set[str]:
        """The names that getattr(x, name) may ask for; none if they are not known."""
        by_hand = self.assumed.names.get((scope.path, ast.unparse(node)))
        if by_hand:
            return set(by_hand)
        found = self.evaluate(node.args[1], scope)
        if not all(isinstance(v, Text) for v in found):
            return set()
        return {v.text for v in found}


def parameters(node) -> dict[str, ast.arg]:
    """The parameters of a function or lambda, by name."""
    a = node.args
    every = [*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg]
    return {p.arg: p for p in every if p is not None}


def first_parameter(node) -> str | None:
    """`self`, or what it is called; None for a static method."""
    decorators = {ast.unparse(d) for d in getattr(node, "decorator_list", ())}
    positional = [*node.args.posonlyargs, *node.args.args]
    return None if "staticmethod" in decorators or not positional else positional[0].arg
