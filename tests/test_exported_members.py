"""`__all__`, `dir()` and `help()` of every public module list the same names."""

import ast
import importlib
import pydoc
from pathlib import Path
from types import ModuleType

import pytest

import xpnet
from xpnet import functions as F

ROOT = Path(xpnet.__file__).parent
PUBLIC = [
    "xpnet",
    "xpnet.layers.initializers",
    "xpnet.data.transforms",
    "xpnet.functions.fft",
    "xpnet.functions.linalg",
    "xpnet.functions.special",
    *(f"xpnet.{name}" for name in xpnet.MODULES),
]
NOT_PUBLIC = {"backend", "cli", "kernels"}
"""Modules whose users' names are in `xpnet` itself, and those that have none."""


def test_each_module_is_public_or_not():
    found = {path.stem for path in ROOT.glob("*.py")} | {
        path.parent.name for path in ROOT.glob("*/__init__.py")
    }
    public = {name.split(".")[1] for name in PUBLIC if "." in name}
    assert {name for name in found if not name.startswith("_")} == public | NOT_PUBLIC
    assert not public & NOT_PUBLIC


def offered(module):
    """The names that a module's source defines or imports for others, other than constants."""
    for node in ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.ImportFrom):
            yield from (a.name for a in node.names if a.asname == a.name)


def is_told_by_its_function(value):
    """A Function that a function of the same module calls."""
    return (
        isinstance(value, type)
        and issubclass(value, xpnet.Function)
        and value is not xpnet.Function
    )


@pytest.mark.parametrize("name", PUBLIC)
def test_all_is_what_a_module_offers(name):
    module = importlib.import_module(name)
    assert len(module.__all__) == len(set(module.__all__))
    public = {n for n in offered(module) if not n.startswith("_")}
    public = {n for n in public if not is_told_by_its_function(getattr(module, n))}
    assert public <= set(module.__all__)
    for exported in module.__all__:
        assert getattr(module, exported) is not None


@pytest.mark.parametrize("name", PUBLIC)
def test_help_lists_each_name(name):
    """`help(module)`, without the bold type of a terminal."""
    module = importlib.import_module(name)
    page = pydoc.plaintext.document(module)
    missing = [
        n
        for n in module.__all__
        if f" {n}" not in page and not isinstance(getattr(module, n), ModuleType)
    ]
    assert missing == []


def test_dir_shows_public_names_alone():
    for module in (xpnet, F):
        names = {n for n in dir(module) if not n.startswith("__")}
        assert set(module.__all__) <= names
        assert not any(n.startswith("_") for n in names)
    modules = {n for n in dir(F) if isinstance(getattr(F, n, None), ModuleType)}
    assert modules == {"fft", "linalg", "special"}


def test_what_a_star_import_takes_from_builtins_is_the_standards():
    builtin = set(F.__all__) & set(
        dir(__builtins__) if isinstance(__builtins__, ModuleType) else __builtins__
    )
    assert builtin == {"abs", "all", "any", "max", "min", "pow", "round", "sum"}


def test_no_function_of_networks_is_hidden_by_the_module_of_its_name():
    for name in ("dropout", "embedding", "einsum", "linear", "logsumexp"):
        assert callable(getattr(F, name))
        assert isinstance(importlib.import_module(f"xpnet.functions.{name}"), ModuleType)


@pytest.mark.parametrize("name", PUBLIC)
def test_an_unknown_option_is_an_error_of_the_class_that_was_called(name):
    """Not of the class whose `__init__` it inherits: Conv2d(...) is no Conv1d."""
    module = importlib.import_module(name)
    for exported in module.__all__:
        kind = getattr(module, exported)
        is_class = isinstance(kind, type) and not getattr(kind, "_is_protocol", False)
        if is_class and not issubclass(kind, BaseException):
            with pytest.raises(TypeError, match=rf"\b{kind.__name__}\b.* (argument|option)"):
                kind(no_such_option=1)


def test_a_public_module_is_imported_when_it_is_asked_for():
    assert xpnet.training.Trainer is importlib.import_module("xpnet.training").Trainer
    assert "training" in dir(xpnet)
