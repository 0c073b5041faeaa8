"""What each expression of xpnet stands for: a small abstract interpreter.

It follows names, attributes, calls and what functions return, over all files of xpnet at once,
again and again until nothing new is found. Conditions are not decided, and the order of statements
does not count: what an expression may stand for is too much rather than too little.
"""

import ast
import builtins
import sys
from types import ModuleType

from tests.cupy_names import offered
from tests.cupy_names.annotations import Annotations, chosen
from tests.cupy_names.calls import Calls, first_parameter, parameters
from tests.cupy_names.expressions import Expressions
from tests.cupy_names.scopes import Reader
from tests.cupy_names.values import (
    ELSEWHERE,
    NOTHING,
    UNKNOWN,
    Builtin,
    Class,
    Elsewhere,
    File,
    Function,
    Instance,
    Keywords,
    Method,
    Object,
    Real,
    Row,
    Scope,
    Several,
    Taken,
    Text,
    Unknown,
    Values,
    certain,
    flat,
)

# In these files things of which nothing is known are arrays of CuPy's; elsewhere, often Variables.
FOR_CUPY = ("xpnet/kernels/", "xpnet/backend.py", "xpnet/diagnosis.py")

VARIABLES = ("xpnet.autodiff.Variable", "xpnet.autodiff.Parameter")
TAKEN_OUT = {
    "pop",
    "popleft",
    "get",
    "items",
    "values",
}  # methods that give what lists and dicts hold


class Analysis(Expressions, Calls, Annotations):
    """The files of xpnet, and what their expressions stand for.

    Parameters
    ----------
    sources : dict of str to str
        The source of each file, by its path from the root: "xpnet/backend.py".
    assumed : Assumptions
        What no analysis finds out: see `assumed.py`.
    """

    def __init__(self, sources, assumed) -> None:
        self.assumed = assumed
        self.stores: list = []  # assignments to attributes: (target, scope, value)
        self.narrowed: set[ast.Name] = set()
        self.before: dict = {}  # what was found out the last time
        self.now: dict = {}
        self.changed = False
        self.mapped: dict[ast.Call, ast.Call] = {}  # map(f, xs): f(*xs)
        self.parsed: dict[ast.Constant, ast.expr] = {}  # annotations that are strings
        self.given: dict = {}  # to parameters and fields, by the calls of the last time
        self.noted: dict = {}
        self.array = Instance(assumed.array)
        self.readers = {path: Reader(self, path, source) for path, source in sources.items()}
        self.files = {reader.file.name: reader.file for reader in self.readers.values()}
        sys.setrecursionlimit(
            max(sys.getrecursionlimit(), 10_000)
        )  # calls within calls within calls
        for turn in range(40):
            self.keeps = turn >= 4  # what was found before: so that there is an end
            self._once()
            if not self.changed and self.now == self.before and self.given == self.noted:
                return
            self.before, self.given = self.now, self.noted
        raise RuntimeError("The analysis does not come to an end.")

    def _once(self) -> None:
        self.now, self.noted, self.changed = {}, {}, False
        for target, scope, value in self.stores:
            for owner in self.evaluate(target.value, scope):
                if isinstance(owner, (Object, Class)):
                    known = owner.scope.set_on.setdefault(target.attr, [])
                    if value not in known:
                        known.append(value)
                        self.changed = True
        for reader in self.readers.values():
            for node, scope in reader.sites:
                if isinstance(node, ast.expr):
                    self.evaluate(node, scope)

    # --- expressions ------------------------------------------------------------------------------

    def evaluate(self, node, scope: Scope) -> Values:
        """What an expression of a scope may stand for."""
        key = node, scope
        if key in self.now:
            return self.now[key]
        self.now[key] = self.before.get(key, NOTHING)  # for whatever asks in a circle
        work = getattr(self, f"_{type(node).__name__.lower()}", None)
        found = ELSEWHERE if work is None else work(node, scope)
        self.now[key] = flat(found | self.before.get(key, NOTHING) if self.keeps else found)
        return self.now[key]

    def _name(self, node, scope: Scope) -> Values:
        if node in self.narrowed:
            return Values([self.array])
        return self.lookup(node.id, scope)

    def lookup(self, name: str, scope: Scope | None) -> Values:
        """What a name stands for, within a scope; functions do not see the names of a class."""
        start = scope
        while scope is not None:
            if not scope.is_class or scope is start:
                found = list(scope.bound.get(name, ()))
                parameter = scope.is_function and name in parameters(scope.node)
                if found or parameter:
                    values = Values().union(*(value() for value in found))
                    return values | self.parameter(name, scope) if parameter else values
            scope = scope.parent
        return Values([Builtin(name)]) if hasattr(builtins, name) else UNKNOWN

    def parameter(self, name: str, scope: Scope) -> Values:
        """What a parameter stands for: what the calls give, its default, what its annotation says."""
        for known in (f"{scope.name}.{name}", name):
            if known in self.assumed.parameters:
                return self.assumed.values(self.assumed.parameters[known])
        arguments, given = scope.node.args, self.given_to(scope, name)
        if name in (getattr(arguments.vararg, "arg", None), getattr(arguments.kwarg, "arg", None)):
            return given or UNKNOWN
        owner = scope.parent
        if owner is not None and owner.is_class and name == first_parameter(scope.node):
            return Values([owner_of(scope.node, owner)]) | given
        node = parameters(scope.node)[name]
        default = self._default(name, scope)
        if node.annotation is None:
            return given | default or UNKNOWN
        said = self.annotated(node.annotation, scope.parent, bool(given | default))
        return chosen(given | default, said)

    def _default(self, name: str, scope: Scope) -> Values:
        arguments = scope.node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        last = positional[len(positional) - len(arguments.defaults) :]
        pairs = [
            *zip(last, arguments.defaults, strict=True),
            *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
        ]
        for parameter, default in pairs:
            if parameter.arg == name and default is not None:
                return self.evaluate(default, scope.parent)
        return NOTHING

    def _attribute(self, node, scope: Scope) -> Values:
        values = self.evaluate(node.value, scope)
        if scope.path.startswith(FOR_CUPY):  # where arrays are computed with, not Variables
            values = Values(v for v in values if not is_variable(v))
            if offered.has(self.array.cls, node.attr):
                values = Values(self.array if isinstance(v, Unknown) else v for v in values)
        if not scope.path.startswith(FOR_CUPY) and not certain(values):
            values = Values(Unknown() if isinstance(v, Instance) else v for v in values)
        return NOTHING.union(*(self.attribute(v, node.attr) for v in values))

    def attribute(self, value, name: str) -> Values:  # noqa: PLR0911 - a case for each kind
        """What an attribute of one value may be; nothing where CuPy's object has none."""
        match value:
            case Real():
                return self.real(getattr(value.obj, name, None), f"{value.name}.{name}")
            case Instance():
                return self._of_instance(value.cls, name)
            case File():
                return self.lookup(name, value.scope)
            case Object() | Class():
                return self._of_class(value, value.scope, name)
            case Builtin():
                return Values([Builtin(f"{value.name}.{name}")])
            case Several() | Keywords() if name in TAKEN_OUT:
                return Values([taken(value, name)])
            case Text() if name in ("lower", "upper"):
                return Values([Builtin(f"str.{name} of {value.text}")])
            case Elsewhere() | Several() | Row() | Keywords() | Text():
                return ELSEWHERE
        return UNKNOWN

    def real(self, obj, name: str) -> Values:
        """An object of CuPy's; others that it has, such as NumPy's dtypes, are of no interest."""
        if isinstance(obj, (ModuleType, type)) or callable(obj):
            return Values([Real(obj, name)]) if offered.is_theirs(obj) else ELSEWHERE
        return ELSEWHERE

    def _of_instance(self, cls: type, name: str) -> Values:
        if not offered.has(cls, name):
            return NOTHING
        if callable(getattr(cls, name, None)):
            return Values([Method(cls, name)])
        return self.assumed.attribute(cls, name)

    def _of_class(self, value, scope: Scope, name: str) -> Values:
        full = f"{scope.name}.{name}"
        if full in self.assumed.fields:
            return self.assumed.values(self.assumed.fields[full])
        found = [*scope.bound.get(name, ()), *scope.set_on.get(name, ())]
        if found:
            values = NOTHING.union(*(work() for work in found))
            return NOTHING.union(*(self._bound_to(value, v) for v in values))
        for base in scope.node.bases:
            for parent in self.evaluate(base, scope.parent):
                if isinstance(parent, Class):
                    inherited = self._of_class(value, parent.scope, name)
                    if inherited != UNKNOWN:
                        return inherited
        return UNKNOWN

    def _bound_to(self, value, found) -> Values:
        """A method as the object has it; of a property, what it returns."""
        if not isinstance(found, Function) or not found.scope.parent.is_class:
            return Values([found])
        decorators = {ast.unparse(d) for d in getattr(found.scope.node, "decorator_list", ())}
        if decorators & {"property", "cached_property"}:
            return self.results(found.scope)
        if "staticmethod" in decorators or (
            isinstance(value, Class) and "classmethod" not in decorators
        ):
            return Values([found])
        return Values([Function(found.scope, value)])

    # --- files and names --------------------------------------------------------------------------

    def function(self, scope: Scope) -> Values:
        return Values([Function(scope)])

    def klass(self, scope: Scope) -> Values:
        return Values([Class(scope)])

    def module(self, name: str) -> Values:
        """A module of xpnet, of CuPy, or another."""
        if name in self.files:
            return Values([File(self.files[name])])
        found = offered.module(name)
        return Values([Builtin(name)]) if found is None else Values([Real(found, name)])

    def imported(self, module: str, name: str) -> Values:
        """`from module import name`."""
        if f"{module}.{name}" in self.files:
            return Values([File(self.files[f"{module}.{name}"])])
        if module in self.files and self.files[module].bound.get(name):
            return self.lookup(name, self.files[module])
        if module.partition(".")[0] == "xpnet":  # a file that is not among those that are read
            return Values([Builtin(f"{module}.{name}")])
        return NOTHING.union(*(self.attribute(v, name) for v in self.module(module)))


def owner_of(node, cls: Scope) -> Class | Object:
    """What the first parameter of a method is: the class, or an instance."""
    decorators = {ast.unparse(d) for d in getattr(node, "decorator_list", ())}
    return Class(cls) if "classmethod" in decorators else Object(cls)


def taken(value: Several | Keywords, name: str) -> Taken:
    """A method that gives what a list or a dict holds."""
    items = value.items if isinstance(value, Several) else UNKNOWN
    if name == "items":
        items = Values([Row((ELSEWHERE, items))])
    return Taken(Values([Several(items)]) if name in ("items", "values") else items)


def is_variable(value) -> bool:
    """Whether a value is a Variable of xpnet's."""
    return isinstance(value, Object) and value.scope.name in VARIABLES
