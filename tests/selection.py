"""Which tests run when XPNET_TEST_BACKENDS chooses array libraries.

A test that does not depend on the library runs once, in the session of NumPy. The other sessions run the
tests that take a `backend`, and those that name the library, because they test it or use it as the oracle:
in their own code, or in what they use of their file.
"""

import ast
import functools
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

EMULATION = "host_cuda"  # the folder of tests of the emulated device, on which CuPy runs
NAMES_ARE_FLAGS = ("cli", "data", "examples")  # there, a library's name is a flag's value


def is_for_chosen(item, chosen):
    """Whether a test runs with these libraries."""
    fixtures = getattr(item, "fixturenames", ())
    if "cupy_backend" in fixtures and "cupy" not in chosen:
        return False
    return "numpy" in chosen or "backend" in str(fixtures) or names_one_of(item, chosen)


def names_one_of(item, libraries):
    """Whether the code of a test, or an example in a docstring, names a library as a module or a package."""
    if item.path.parent.name in NAMES_ARE_FLAGS:
        return False
    if item.path.parent.name == EMULATION:
        return "cupy" in libraries
    words = {*libraries, *(name.replace("_", "-") for name in libraries)}
    doctest = getattr(item, "dtest", None)
    if doctest is not None:
        code = doctest.docstring
    else:
        code = "\n".join([source_of(item), *item.fixturenames])
    return any(word in code for word in words)


def missing_packages(item):
    """The packages that an example in a docstring imports, and that are not installed here."""
    examples = getattr(item, "dtest", None)
    code = "".join(x.source for x in examples.examples) if examples else ""
    imported = re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE)
    return [name for name in imported if not find_spec(name)]


def source_of(item):
    """The code of a test, and of what it uses of its file: fixtures, helper functions, tables.

    An import that every test of the file needs (`torch = pytest.importorskip("torch")`) is in it as well.
    """
    names = [getattr(item, "originalname", item.name), *getattr(item, "fixturenames", ())]
    if item.cls is not None:
        names.append(item.cls.__name__)
    return source_of_names(item.path, tuple(names))


@functools.cache  # a test has many cases
def source_of_names(path: Path, wanted: tuple[str, ...]) -> str:
    """The code of these names of a file, of what it uses of the file, and of what all its tests need."""
    definitions, of_all = outline(path)
    used = {}
    names = [*wanted, *of_all]
    while names:
        name = names.pop()
        if name in definitions and name not in used:
            used[name], more = definitions[name]
            names += more
    return "\n".join(used.values())


@functools.cache
def outline(path: Path):
    """What a file defines: {name: (its source, the names in it)}; and the names that all its tests need."""
    source = path.read_text("utf-8")
    lines = source.splitlines()
    definitions = {}
    of_all = []
    for statement in ast.parse(source).body:
        begin = min([statement.lineno, *(x.lineno for x in decorators(statement))])
        text = "\n".join(lines[begin - 1 : statement.end_lineno])
        names = list(names_in(statement))
        for name, alone in defined_by(statement).items():
            before, earlier = definitions.get(name, ("", []))
            definitions[name] = (f"{before}\n{alone or text}", earlier + names)
            if name == "pytestmark" or ("importorskip" in text and not is_definition(statement)):
                of_all.append(name)
    return definitions, of_all


def decorators(statement):
    """The decorators of a function or a class."""
    return getattr(statement, "decorator_list", [])


def is_definition(node: ast.AST) -> bool:
    """Whether it defines a function or a class."""
    return isinstance(node, ast.FunctionDef | ast.ClassDef)


def defined_by(statement: ast.stmt) -> dict[str, str]:
    """The names that a statement of a file binds; for an import, with what the name stands for.

    A call on its own binds the name of its line.
    """
    if is_definition(statement):
        return {statement.name: ""}
    found = {f"line {statement.lineno}": ""} if isinstance(statement, ast.Expr) else {}
    module = f"{getattr(statement, 'module', '')}."
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found[node.id] = ""
        elif isinstance(node, ast.alias):
            found[(node.asname or node.name).partition(".")[0]] = module + node.name
        elif is_definition(node):
            found[node.name] = ""
    return found


def names_in(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement uses, with those of its arguments, which may be fixtures."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
