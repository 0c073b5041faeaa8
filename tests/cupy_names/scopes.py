"""xpnet's files as scopes: which names each binds, to what, and where something is reached.

Branches that are for another library alone (`if is_torch_array(x)`, `np.__name__ == "numpy"`) are left
out, and within `if is_cupy_array(x)` the name `x` stands for an array of CuPy's.
"""

import ast
import re

from tests.cupy_names.values import ELSEWHERE, Scope

OTHERS = ("numpy", "torch", "jax", "array_api_strict", "dask", "ndonnx", "sparse")


def for_another_library(test: ast.expr) -> bool:
    """Whether a condition holds on another library than CuPy alone."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return any(map(for_another_library, test.values))
    code = ast.unparse(test)
    return bool(
        re.fullmatch(rf"[\w.]*\bis_({'|'.join(OTHERS)})_(array|namespace)\([\w.]+\)", code)
        or re.fullmatch(rf"[\w.]+\.__name__ == '({'|'.join(OTHERS)})'", code)
        or re.fullmatch(rf"[\w.()]+\.(name|__module__)\.startswith\('({'|'.join(OTHERS)})'\)", code)
    )


def for_cupy(test: ast.expr) -> set[str]:
    """The names that a condition says are arrays of CuPy's."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return set().union(*map(for_cupy, test.values))
    found = re.fullmatch(r"(?:\w+\.)*is_cupy_array\((\w+)\)", ast.unparse(test))
    return {found[1]} if found else set()


class Sites(list):
    """The expressions of a file that are checked: (node, scope)."""


class Reader(ast.NodeVisitor):
    """Reads a file into scopes. What names are bound to is worked out when somebody asks."""

    def __init__(self, analysis, path: str, source: str) -> None:
        self.analysis = analysis
        name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        self.scope = self.file = Scope(ast.parse(source), None, path, name)
        self.sites = Sites()
        self.arrays: list[set[str]] = []  # names that the conditions around say are arrays
        for statement in self.file.node.body:
            self.visit(statement)

    # --- scopes -------------------------------------------------------------------------------

    def _enter(self, node: ast.AST, name: str, body: list[ast.AST]) -> Scope:
        outer = self.scope
        self.scope = outer.inner[node] = Scope(node, outer, outer.path, f"{outer.name}.{name}")
        for child in body:
            self.visit(child)
        self.scope, inner = outer, self.scope
        return inner

    def visit_FunctionDef(self, node) -> None:
        arguments = node.args
        for outside in (*node.decorator_list, *arguments.defaults, *arguments.kw_defaults):
            if outside is not None:
                self.visit(outside)
        inner = self._enter(node, node.name, node.body)
        self._bind_name(node.name, lambda: self.analysis.function(inner))

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node) -> None:
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.visit(default)
        inner = self._enter(node, "<lambda>", [node.body])
        inner.results.append(lambda: self.analysis.evaluate(node.body, inner))

    def visit_ClassDef(self, node) -> None:
        for outside in (*node.decorator_list, *node.bases):
            self.visit(outside)
        inner = self._enter(node, node.name, node.body)
        self._bind_name(node.name, lambda: self.analysis.klass(inner))

    def visit_Return(self, node) -> None:
        self.generic_visit(node)
        if node.value is not None:
            self._result(node.value)

    def visit_Yield(self, node) -> None:
        self.generic_visit(node)
        if node.value is not None:
            scope = self.scope
            scope.results.append(lambda: self.analysis.several(node.value, scope))

    def _result(self, value) -> None:
        scope = self.scope
        scope.results.append(lambda: self.analysis.evaluate(value, scope))

    # --- names that are bound ---------------------------------------------------------------------

    def _bind_name(self, name: str, value) -> None:
        self.scope.bound.setdefault(name, []).append(value)

    def _bind(self, target, value) -> None:
        """`value` is a function that works out what the target then may stand for."""
        if isinstance(target, ast.Name):
            self._bind_name(target.id, value)
        elif isinstance(target, ast.Starred):
            self._bind(target.value, lambda: self.analysis.gathered(value()))
        elif isinstance(target, (ast.Tuple, ast.List)):
            starred = any(isinstance(item, ast.Starred) for item in target.elts)
            for i, item in enumerate(target.elts):
                place = None if starred else i
                self._bind(item, lambda place=place: self.analysis.item(value(), place))
        elif isinstance(target, ast.Attribute):
            self.analysis.stores.append((target, self.scope, value))
            self.visit(target.value)
        else:
            self.visit(target)

    def visit_Assign(self, node) -> None:
        self.visit(node.value)
        scope = self.scope
        for target in node.targets:
            self._bind(target, lambda: self.analysis.evaluate(node.value, scope))

    def visit_AnnAssign(self, node) -> None:
        scope = self.scope
        if node.value is not None:
            self.visit(node.value)
        if isinstance(node.target, ast.Name):
            self._bind_name(node.target.id, lambda: self.analysis.declared(node, scope))
        elif node.value is not None:
            self._bind(node.target, lambda: self.analysis.evaluate(node.value, scope))

    def visit_AugAssign(self, node) -> None:
        self.visit(node.target)
        self.visit(node.value)

    def visit_NamedExpr(self, node) -> None:
        self.visit(node.value)
        scope = self.scope
        self._bind(node.target, lambda: self.analysis.evaluate(node.value, scope))

    def visit_For(self, node) -> None:
        self.visit(node.iter)
        scope = self.scope
        self._bind(node.target, lambda: self.analysis.items(node.iter, scope))
        for statement in (*node.body, *node.orelse):
            self.visit(statement)

    def visit_comprehension(self, node) -> None:
        self.visit(node.iter)
        scope = self.scope
        self._bind(node.target, lambda: self.analysis.items(node.iter, scope))
        for condition in node.ifs:
            self.visit(condition)

    def _visit_comprehension_of(self, node) -> None:
        for generator in node.generators:
            self.visit(generator)
        for part in ("elt", "key", "value"):
            if hasattr(node, part):
                self.visit(getattr(node, part))

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _visit_comprehension_of

    def visit_With(self, node) -> None:
        scope = self.scope
        for item in node.items:
            self.visit(item.context_expr)
            self.sites.append((item, scope))
            if item.optional_vars is not None:
                self._bind(item.optional_vars, lambda item=item: self.analysis.entered(item, scope))
        for statement in node.body:
            self.visit(statement)

    def visit_Import(self, node) -> None:
        for alias in node.names:
            full = alias.name if alias.asname else alias.name.partition(".")[0]
            name = alias.asname or full
            self._bind_name(name, lambda full=full: self.analysis.module(full))

    def visit_ImportFrom(self, node) -> None:
        for alias in node.names:
            self._bind_name(
                alias.asname or alias.name,
                lambda alias=alias: self.analysis.imported(node.module, alias.name),
            )

    # --- conditions -------------------------------------------------------------------------------

    def visit_If(self, node) -> None:
        self.visit(node.test)
        if not for_another_library(node.test):
            self.arrays.append(for_cupy(node.test))
            for statement in node.body:
                self.visit(statement)
            self.arrays.pop()
        for statement in node.orelse:
            self.visit(statement)

    def visit_IfExp(self, node) -> None:
        self.visit(node.test)
        if not for_another_library(node.test):
            self.arrays.append(for_cupy(node.test))
            self.visit(node.body)
            self.arrays.pop()
        self.visit(node.orelse)

    def visit_BoolOp(self, node) -> None:
        """What comes after `is_numpy_array(x) and` is not reached on CuPy."""
        for value in node.values:
            self.visit(value)
            if isinstance(node.op, ast.And) and for_another_library(value):
                return

    def visit_ExceptHandler(self, node) -> None:
        if node.name:
            self._bind_name(node.name, lambda: ELSEWHERE)
        self.generic_visit(node)

    def visit_Name(self, node) -> None:
        if any(node.id in names for names in self.arrays):
            self.analysis.narrowed.add(node)

    # --- what is checked --------------------------------------------------------------------------

    def visit_Attribute(self, node) -> None:
        self.generic_visit(node)
        self.sites.append((node, self.scope))

    def visit_Call(self, node) -> None:
        self.generic_visit(node)
        self.sites.append((node, self.scope))
