"""What xpnet reaches of CuPy, against what a wheel offers."""

import ast
import re
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from tests.cupy_names import assumed, offered
from tests.cupy_names.analysis import FOR_CUPY, Analysis
from tests.cupy_names.values import (
    NOTHING,
    Builtin,
    Instance,
    Keywords,
    Method,
    Partial,
    Real,
    Several,
    Unknown,
    certain,
)

ROOT = Path(__file__).parents[2]


NAMES = r"\bxp\b|namespace|cupy"


class Finding(NamedTuple):
    """What CuPy does not have, or what the check does not understand."""

    path: str
    line: int
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.code}: {self.message}"


class Check:
    """Every name and every call of CuPy's that files of xpnet reach.

    Attributes
    ----------
    missing : list of Finding
        What CuPy does not have, or does not accept.
    unresolved : list of Finding
        What the check does not understand. The rows of `assumed.EXPLAINED` are left out of both.
    reached : dict of str to int
        The names of CuPy that were looked up, and how often.
    """

    def __init__(self, sources: dict[str, str], explained=None) -> None:
        self.missing: list[Finding] = []
        self.unresolved: list[Finding] = []
        self.reached: dict[str, int] = {}
        self.explained = assumed.EXPLAINED if explained is None else explained
        self.used: set[tuple[str, str]] = set()
        self.analysis = Analysis(sources, assumed.Assumptions())
        for path, reader in self.analysis.readers.items():
            self.path = path
            for node, scope in reader.sites:
                self._site(node, scope)

    def _site(self, node, scope) -> None:
        if isinstance(node, ast.withitem):
            for value in self.analysis.evaluate(node.context_expr, scope):
                if isinstance(value, Instance) and not hasattr(value.cls, "__enter__"):
                    self._missing(node.context_expr, f"{name_of(value)} is no context manager")
        elif isinstance(node, ast.Attribute):
            values = self.analysis.evaluate(node.value, scope)
            for value in values:
                if isinstance(value, Real) or certain(values) or self.path.startswith(FOR_CUPY):
                    self._attribute(value, node.attr, node)
        else:
            for f in self.analysis.evaluate(node.func, scope):
                self._call(f, node, scope)

    # --- names ------------------------------------------------------------------------------------

    def _attribute(self, value, name: str, node) -> None:
        if isinstance(value, Real):
            self._reach(f"{value.name}.{name}", hasattr(value.obj, name), node)
        elif isinstance(value, Instance):
            self._reach(f"{name_of(value)}.{name}", offered.has(value.cls, name), node)
        elif isinstance(value, Unknown) and self.path.startswith(FOR_CUPY):
            if offered.has(self.analysis.array.cls, name):
                self._reach(f"ndarray.{name}", True, node)
            else:
                self._unresolved(node, "of what this is an attribute is unknown; no array has it")

    def _reach(self, name: str, there: bool, node) -> None:
        self.reached[name] = self.reached.get(name, 0) + 1
        if not there:
            self._missing(node, f"CuPy has no {name}")

    # --- calls ------------------------------------------------------------------------------------

    def _call(self, f, node: ast.Call, scope) -> None:
        if isinstance(f, Builtin) and f.name == "getattr":
            self._getattr(node, scope)
        elif isinstance(f, Builtin) and f.name.endswith("partial") and node.args:
            held = ast.Call(node.args[0], node.args[1:], node.keywords)
            for function in self.analysis.evaluate(node.args[0], scope):
                self._accepts(function, held, node, scope, whole=False)
        elif isinstance(f, Partial):
            self._accepts(f.function, node, node, scope, whole=False)
        elif isinstance(f, Unknown) and any(k.arg is None for k in node.keywords):
            pass  # nothing of CuPy's, as far as is known: its names are checked all the same
        else:
            self._accepts(f, node, node, scope)

    def _getattr(self, node: ast.Call, scope) -> None:
        owners = self.analysis.evaluate(node.args[0], scope)
        if len(node.args) > 2:  # it may be missing
            return
        names = self.analysis.names(node, scope)
        for value in owners:
            for name in names:
                if isinstance(value, Real) or certain(owners):
                    self._attribute(value, name, node)
            if not names and isinstance(value, (Real, Instance)):
                self._unresolved(
                    node, f"an attribute of {name_of(value)}, by a name that is computed"
                )

    def _accepts(self, f, call: ast.Call, node, scope, whole: bool = True) -> None:
        """Report a call of CuPy's that its signature refuses; `whole`: nothing is added later."""
        if isinstance(f, Real):
            target, skipped = f.obj, 0
        elif isinstance(f, Method):
            target, skipped = getattr(f.cls, f.name), 1
        elif isinstance(f, Instance):
            target, skipped = f.cls.__call__, 1
        else:
            return
        name = name_of(f)
        try:
            accepted = offered.arguments(target)
        except offered.UnknownSignatureError as error:
            self._unresolved(node, f"{name} states no arguments: {error}")
            return
        self._keywords(name, f, accepted, call, node, scope)
        if any(isinstance(a, ast.Starred) for a in call.args):
            return
        names = accepted.positional[skipped:]
        if len(call.args) > len(names) and not accepted.more:
            self._missing(
                node, f"{name} takes {len(names)} arguments by position, not {len(call.args)}"
            )
        given = {*accepted.positional[: skipped + len(call.args)], *(k.arg for k in call.keywords)}
        left = accepted.required - given
        if whole and left and not any(k.arg is None for k in call.keywords):
            self._missing(node, f"{name} needs {', '.join(sorted(left))}")

    def _keywords(self, name: str, f, accepted, call: ast.Call, node, scope) -> None:
        given = [k.arg for k in call.keywords if k.arg is not None]
        for keyword in call.keywords:
            if keyword.arg is None:
                for value in self.analysis.evaluate(keyword.value, scope):
                    if isinstance(value, Keywords):
                        given += value.names
                    elif value != Several(NOTHING):
                        self._unresolved(node, f"**{ast.unparse(keyword.value)} of unknown names")
        for word in given:
            if word not in accepted.keywords and not (accepted.others and passes_on(f, word)):
                self._missing(node, f"{name} accepts no {word}=")

    # --- what is found ----------------------------------------------------------------------------

    def _missing(self, node, message: str) -> None:
        self._find(self.missing, node, message)

    def _unresolved(self, node, message: str) -> None:
        self._find(self.unresolved, node, message)

    def _find(self, findings: list[Finding], node, message: str) -> None:
        finding = Finding(self.path, node.lineno, ast.unparse(node), message)
        for key in ((self.path, finding.code), (self.path, message)):
            if key in self.explained:
                self.used.add(key)
                return
        if finding not in findings:
            findings.append(finding)

    @property
    def stale(self) -> list[str]:
        """The rows of the table of what is not understood that nothing needs."""
        return [f"{path}: {code}" for path, code in self.explained.keys() - self.used]


def passes_on(f, word: str) -> bool:
    """Whether a function that hands **kwargs to CuPy's of its name hands over a known word."""
    home = getattr(getattr(f, "obj", None), "__module__", "") or ""
    if not home.startswith("array_api_compat"):
        return True
    beneath = getattr(import_module("cupy"), f.obj.__name__, None)
    return beneath is not None and word in offered.arguments(beneath).keywords


def name_of(value) -> str:
    """What to call a value in a message."""
    if isinstance(value, Instance):
        return value.cls.__name__
    if isinstance(value, Method):
        return f"{value.cls.__name__}.{value.name}"
    return value.name


def sources(root: Path = ROOT) -> dict[str, str]:
    """The files of xpnet that name a namespace or CuPy, by their paths from the root.

    The others reach nothing of CuPy's but through these.
    """
    texts = {
        path.relative_to(root).as_posix(): path.read_text("utf-8")
        for path in sorted((root / "xpnet").rglob("*.py"))
    }
    return {
        path: text
        for path, text in texts.items()
        if path.startswith(FOR_CUPY) or re.search(NAMES, text)
    }
