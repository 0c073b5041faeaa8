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
    (
        "data/_cifar.py",
        "OSError",
    ): "the reader raises a DataError with the name of the file instead",
    ("data/idx.py", "EOFError"): "the same",
    ("data/idx.py", "OSError"): "the same",
    ("functions/_registry.py", "NotImplementedError"): "a signature whose body is never run",
    ("training/interrupt.py", "KeyboardInterrupt"): "Ctrl-C, which is not an error",
    ("training/trainer.py", "KeyboardInterrupt"): "Ctrl-C, perhaps of another rank",
}


def built_in_exceptions() -> Iterator[tuple[str, str, int]]:
    """Yield (module, name, line) of every built-in exception that xpnet raises or creates."""
    for path in sorted(FOLDER.rglob("*.py")):
        module = path.relative_to(FOLDER).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = name_raised_or_called(node)
            kind = getattr(builtins, name, None)
            if isinstance(kind, type) and issubclass(kind, BaseException):
                yield module, name, node.lineno


def name_raised_or_called(node: ast.AST) -> str:
    """The name E if a node is `raise E` or `E(...)`; else an empty string."""
    if isinstance(node, ast.Raise):
        node = node.exc
    elif isinstance(node, ast.Call):
        node = node.func
    else:
        return ""
    return node.id if isinstance(node, ast.Name) else ""


def test_every_exception_that_xpnet_raises_derives_from_xpnet_error():
    found = [place for place in built_in_exceptions() if place[:2] not in INTERNAL]
    assert found == []


def test_every_listed_internal_exception_still_exists():
    assert INTERNAL.keys() <= {place[:2] for place in built_in_exceptions()}


@pytest.mark.parametrize("error", CLASSES)
def test_each_error_is_exported_and_derives_from_xpnet_error(error):
    assert issubclass(error, errors.XpnetError)
    assert getattr(xpnet, error.__name__) is error


@pytest.mark.parametrize("error", [e for e in CLASSES if e is not errors.XpnetError])
def test_each_error_derives_from_the_documented_built_in_one(error):
    (line,) = [line for line in errors.__doc__.splitlines() if f" {error.__name__} " in line]
    built_in = getattr(builtins, line.split()[-1])
    assert issubclass(error, built_in)


@pytest.mark.parametrize("error", CLASSES)
def test_an_error_shows_its_message_unchanged(error):
    assert str(error("a 'quoted' name")) == "a 'quoted' name"
