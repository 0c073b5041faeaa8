"""The project itself: what an import costs, who names whom, and how long a file may be."""

import ast
import importlib
import math
import re
import tomllib
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace

import pytest

import xpnet
from xpnet._libraries import NAMES
from xpnet.autodiff.namespace import functions
from xpnet.testing import assert_close, check_gradients

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "xpnet"
SOURCES = sorted(PACKAGE.rglob("*.py"))
LIBRARIES = {*NAMES, "cupyx", "dask", "ndonnx"}


def name_of(path):
    """A path as the name of a test."""
    return path.relative_to(ROOT).as_posix()


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported(path):
    """Every module that a file imports, at any depth, also by `import_module("...")`."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if called in ("import_module", "__import__", "find_spec"):
                yield from (a.value for a in node.args if isinstance(a, ast.Constant))


def defined(path):
    """The public functions of a file: by `def`, or `name = ...`; classes are CapWords."""
    for node in parsed(path).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        else:
            continue
        yield from (name for name in names if not name.startswith("_"))


def reexported(path):
    """{module: {names}} of the `from module import name as name` of a file."""
    names = {}
    for node in parsed(path).body:
        if isinstance(node, ast.ImportFrom):
            again = {a.name for a in node.names if a.asname == a.name}
            names.setdefault(node.module, set()).update(again)
    return names


# --- who names whom ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_few_files_import_an_array_library(path):
    """The third law: a file of _libraries/ imports its library, and NumPy; data/, distributed/ and
    random.py use NumPy, as estimators/ and ONNX's files do, NCCL is CuPy's, and kernels/ is optional. An executor of compiler/ is for
    one library, and C's memory and what is recorded of NumPy's own protocols are NumPy's."""
    inside = path.relative_to(PACKAGE)
    named = {module.partition(".")[0] for module in imported(path)} & LIBRARIES
    executor = {"cupy", "cupyx"} if path.stem.startswith("cu") else {path.stem}
    allowed = {
        "adapters": {"torch"},
        "compiler": {"numpy"} | (executor if "executors" in inside.parts else set()),
        "data": {"numpy", "cupy", "cupyx"} if path.stem == "_transfer" else {"numpy"},
        "distributed": {"numpy", "cupy"} if path.stem == "nccl" else {"numpy"},
        "estimators": {"numpy"},
        "random.py": {"numpy"},
        "saving": {"numpy"} if "onnx" in inside.parts else set(),
        "kernels": {"cupy", "cupyx", "numpy", "torch"},
        "_libraries": {"cupy"} if path.stem == "devices" else {"numpy", path.stem},
    }
    assert named <= allowed.get(inside.parts[0], set())


@pytest.mark.parametrize("name", NAMES)
def test_the_file_of_a_library_imports_it(name):
    """The test above finds an import where it is allowed, so it would find one elsewhere."""
    assert name in set(imported(PACKAGE / "_libraries" / f"{name}.py"))


# --- public names --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(functions))
def test_every_function_of_the_namespace_is_reexported(name):
    """What is declared is what xpnet.functions offers, in its place, and what Variables find."""
    *extension, last = name.split(".")
    room, found = xpnet.functions, xpnet.Variable(1.0).__array_namespace__()
    for part in extension:
        room, found = getattr(room, part), getattr(found, part)
    assert getattr(room, last) is functions[name]
    assert last in dir(found)
    assert callable(getattr(found, last))


@pytest.mark.parametrize(
    "chapter",
    [
        "activation",
        "attention",
        "convolution",
        "cross_entropy",
        "dropout",
        "einsum",
        "embedding",
        "linear",
        "logsumexp",
        "loss",
        "normal",
        "normalization",
        "pooling",
        "recurrent",
        "stopping",
    ],
)
def test_every_function_of_networks_is_reexported(chapter):
    """What xpnet/functions/<chapter>.py defines is what functions/__init__.py offers of it."""
    path = PACKAGE / "functions" / f"{chapter}.py"
    offered = reexported(PACKAGE / "functions" / "__init__.py")
    assert offered[f"xpnet.functions.{chapter}"] == {n for n in defined(path) if n.islower()}


def test_every_layer_is_exported():
    """layers/__init__.py exports every layer class."""
    exported = reexported(PACKAGE / "layers" / "__init__.py")
    for path in (PACKAGE / "layers").glob("[!_]*.py"):
        module = importlib.import_module(f"xpnet.layers.{path.stem}")
        layers = {
            name for name in defined(path) if isinstance(getattr(module, name), type(xpnet.Layer))
        }
        layers = {name for name in layers if issubclass(getattr(module, name), xpnet.Layer)}
        assert exported.get(f"xpnet.layers.{path.stem}", set()) >= layers


@pytest.mark.parametrize("package", ["errors", "layers", "optimizers"])
def test_xpnet_exports_all_of_its_basic_packages(package):
    """`xpnet.Adam`, `xpnet.DataError`: whoever uses them needs no second import."""
    module = importlib.import_module(f"xpnet.{package}")
    assert set(module.__all__) <= set(xpnet.__all__)
    for name in module.__all__:
        assert getattr(xpnet, name) is getattr(module, name)


def test_every_optimizer_has_a_name():
    """`optimizer("adam", ...)` and the command line know every optimizer that is exported."""
    classes = [getattr(xpnet.optimizers, name) for name in xpnet.optimizers.__all__]
    optimizers = {
        kind
        for kind in classes
        if isinstance(kind, type) and issubclass(kind, xpnet.optimizers.Optimizer)
    }
    assert set(xpnet.optimizers.BY_NAME.values()) == optimizers - {xpnet.optimizers.Optimizer}


def test_every_error_is_exported():
    errors = {name for name in defined(PACKAGE / "errors.py") if name[0].isupper()}
    assert set(xpnet.errors.__all__) == errors


WITHOUT_ALL_PACKAGES = set()
"""Modules that cannot be imported here: what is in them is private."""
if find_spec("torch") is None:
    WITHOUT_ALL_PACKAGES.add("xpnet.adapters._layer_module")


def public_objects():
    """(dotted name, object) of every public function and class of xpnet."""
    for path in SOURCES:
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        if "__main__" in parts or name in WITHOUT_ALL_PACKAGES:
            continue
        module = importlib.import_module(name)
        yield name, module
        # A Function is told by the function that calls it.
        for found in defined(path):
            value = getattr(module, found)
            if not (isinstance(value, type) and issubclass(value, xpnet.Function)):
                yield f"{name}.{found}", value


def test_every_public_function_and_class_has_a_docstring():
    """Also those that a table makes, which no linter sees."""
    undocumented = [
        name
        for name, value in public_objects()
        if isinstance(value, (type, FunctionType, ModuleType))
        # a class would answer with its parent's
        and not (vars(value).get("__doc__") if isinstance(value, type) else value.__doc__)
    ]
    assert undocumented == []


# --- how long an example may be ------------------------------------------------------------------


def lines(path):
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=name_of)
def test_an_example_is_shorter(path):
    """One idea a file, read in one sitting."""
    assert lines(path) < 100


# --- promises between files ----------------------------------------------------------------------


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_changelog_knows_this_version():
    assert f"## [{xpnet.__version__}]" in text_of("CHANGELOG.md")


def test_contributing_quotes_rules_as_they_stand():
    """The two rules in step 2 are lines of elementwise.py."""
    quoted, *_ = re.findall(r"```python\n(.*?)```", text_of("CONTRIBUTING.md"), re.DOTALL)
    assert len(quoted.splitlines()) == 2
    assert set(quoted.splitlines()) <= set(text_of("xpnet/functions/elementwise.py").splitlines())


@pytest.fixture
def worked_example():
    """Steps 3, 4 and 6 of CONTRIBUTING.md, carried out: the functions, and the tests of them."""
    _, *steps = re.findall(r"```python\n(.*?)```", text_of("CONTRIBUTING.md"), re.DOTALL)
    composite, function, tests = steps
    chapter = vars(importlib.import_module("xpnet.functions.activation"))
    composites = dict(chapter)
    exec(composite, composites)
    functions = dict(chapter)
    exec(function, functions)
    scope = {
        "F": SimpleNamespace(log_cosh=functions["log_cosh"]),
        "composites": SimpleNamespace(log_cosh=composites["log_cosh"]),
        "assert_close": assert_close,
        "check_gradients": check_gradients,
        "math": math,
    }
    exec(tests, scope)
    return SimpleNamespace(**scope)


def test_contributing_adds_a_function_with_the_right_value(backend, array, worked_example):
    worked_example.test_log_cosh_value(backend, array)
    worked_example.test_log_cosh_equals_its_composite(backend, array)


def test_contributing_adds_a_function_with_the_right_derivatives(backend64, worked_example):
    worked_example.test_log_cosh_derivatives(backend64)
    with pytest.raises(AssertionError, match="order 2"):  # why step 4 makes it a Function
        check_gradients(worked_example.composites.log_cosh, [0.0])


def test_the_hooks_run_the_tools_of_dev():
    """pre-commit pins single versions, pyproject.toml ranges: the first are within the second."""
    dev = tomllib.loads(text_of("pyproject.toml"))["project"]["optional-dependencies"]["dev"]
    for tool, allows in {"clang-format": "==", "mypy": "~=", "ruff": "~="}.items():
        (pinned,) = set(re.findall(rf'"{tool}==([\d.]+)"', text_of(".pre-commit-config.yaml")))
        assert f"{tool}{allows}{pinned}" in dev


def test_no_file_names_a_place_on_somebodys_machine():
    """Paths of one machine mean nothing on the next."""
    folders = ("xpnet", "tests", "examples", "benchmarks", "docs", ".ci")
    texts = [p for f in folders for p in (ROOT / f).rglob("*")] + [ROOT / "noxfile.py"]
    texts += [p for kind in ("md", "toml", "yaml") for p in ROOT.glob(f"*.{kind}")]
    texts = [p for p in texts if p.suffix in (".py", ".md", ".toml", ".yaml", "") and p.is_file()]
    texts = [p for p in texts if ".hypothesis" not in p.parts]  # its notes on this machine
    assert len(texts) > len(SOURCES)
    marks = [f"/{place}/" for place in ("home", "root", "tmp", "Users", "work")]
    found = [f"{p}: {m}" for p in texts for m in marks if m in p.read_text(encoding="utf-8")]
    assert found == []
