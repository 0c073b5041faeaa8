"""`except XpnetError` catches everything that xpnet raises on purpose."""

import ast
import builtins
from collections.abc import Iterator
from pathlib import Path

import pytest

import xpnet
from xpnet import errors

FOLDER = Path(xpnet.__file__).parent
CLASSES = [e for e in vars(errors).values() if isinstance(e, type)]

INTERNAL = {
    ("data/cifar.py", "OSError"): "the reader turns it into a DataError that names the file",
    ("data/idx.py", "EOFError"): "likewise",
    ("data/idx.py", "OSError"): "likewise",
    ("functions/_registry.py", "NotImplementedError"): "a signature whose body is never run",
    ("training/interrupt.py", "KeyboardInterrupt"): "Ctrl-C, which is no error",
}


def raised() -> Iterator[tuple[str, str, int]]:
    """Each built-in exception that a module of xpnet raises or creates: (module, name, line)."""
    for path in sorted(FOLDER.rglob("*.py")):
        module = path.relative_to(FOLDER).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = created(node)
            kind = getattr(builtins, name, None)
            if isinstance(kind, type) and issubclass(kind, BaseException):
                yield module, name, node.lineno


def created(node: ast.AST) -> str:
    """The name that a node raises or calls: of `raise E`, of `E(...)`; else empty."""
    if isinstance(node, ast.Raise):
        node = node.exc
    elif isinstance(node, ast.Call):
        node = node.func
    else:
        return ""
    return node.id if isinstance(node, ast.Name) else ""


def test_everything_that_xpnet_raises_derives_from_the_root():
    found = [place for place in raised() if place[:2] not in INTERNAL]
    assert found == []


def test_the_exceptions_to_the_rule_are_still_there():
    assert INTERNAL.keys() <= {place[:2] for place in raised()}


@pytest.mark.parametrize("error", CLASSES)
def test_each_error_is_exported_and_has_the_root(error):
    assert issubclass(error, errors.XpnetError)
    assert getattr(xpnet, error.__name__) is error


@pytest.mark.parametrize("error", [e for e in CLASSES if e is not errors.XpnetError])
def test_each_error_is_the_built_in_one_that_the_tree_names(error):
    (line,) = [line for line in errors.__doc__.splitlines() if f" {error.__name__} " in line]
    built_in = getattr(builtins, line.split()[-1])
    assert issubclass(error, built_in)


@pytest.mark.parametrize("error", CLASSES)
def test_the_message_is_shown_as_it_was_written(error):
    assert str(error("a 'quoted' name")) == "a 'quoted' name"
