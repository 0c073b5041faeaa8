"""The functions that xpnet.functions declares: those that it hands to the library's own of that name.

No call shows which function of CuPy's they reach: the name is that of the table's row.
"""

import inspect
from importlib import import_module

from tests.cupy_names import offered
from tests.cupy_names.assumed import UNDECLARED


def undeclared(table=None, names=None) -> tuple[int, list[str]]:
    """How many names were looked up, and what CuPy's namespace lacks of them.

    Parameters
    ----------
    table : dict of str to callable, optional
        Functions by their names: by default those of xpnet that are the library's own.
    names : iterable of str, optional
        Dtypes and constants: by default xpnet's.
    """
    xp = import_module("array_api_compat.cupy")
    table = handed_over() if table is None else table
    names = names_of_dtypes() if names is None else names
    findings = []
    for name in names:
        if not hasattr(xp, name) and name not in UNDECLARED:
            findings.append(f"xpnet.functions.{name}: CuPy has no xp.{name}")
        if hasattr(xp, name) and name in UNDECLARED:
            findings.append(f"tests/cupy_names/assumed.py: nothing needs the row {name}")
    for name, function in table.items():
        target = xp
        for part in name.split("."):
            target = getattr(target, part, None)
        if target is None:
            findings.append(f"xpnet.functions.{name}: CuPy has no xp.{name}")
            continue
        findings += refused(name, function, target)
    return len(table) + len(names), findings


def refused(name: str, function, target) -> list[str]:
    """What of a function's own signature CuPy's function of that name does not accept."""
    accepted = offered.arguments(target)
    parameters = inspect.signature(function).parameters.values()
    by_position = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
    findings = []
    if len(by_position) > len(accepted.positional) and not accepted.more:
        count = len(accepted.positional)
        findings.append(f"xpnet.functions.{name}: xp.{name} takes {count} arguments by position")
    findings.extend(
        f"xpnet.functions.{name}: xp.{name} accepts no {p.name}="
        for p in parameters
        if p.kind is p.KEYWORD_ONLY and p.name not in accepted.keywords and not accepted.others
    )
    return findings


def handed_over() -> dict:
    """The functions of xpnet that are the library's of the same name: constants, elementwise ones."""
    import_module("xpnet.functions")
    namespace = import_module("xpnet.namespace")
    return {
        name: function
        for name, function in namespace.functions.items()
        if namespace.kinds[name] == "constant"
        or (
            getattr(function, "__code__", None) is not None
            and function.__code__.co_name in ("unary", "binary")
        )  # of declare.elementwise
    }


def names_of_dtypes() -> list[str]:
    """The names of xpnet's namespaces that are no functions."""
    namespace = import_module("xpnet.namespace")
    return sorted(namespace.DTYPES | namespace.CONSTANTS)
