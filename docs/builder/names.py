"""The public names of xpnet, and the chapter in which each is described.

A name is described once, where it is shortest: `xpnet.layers.Conv2d` as `xpnet.Conv2d`. A chapter takes
the names of one public module, or those of them that are defined in some of its files.
"""

import importlib
from collections import defaultdict
from functools import cache
from types import ModuleType
from typing import NamedTuple

import xpnet

PUBLIC = (
    "xpnet",
    *(f"xpnet.{name}" for name in xpnet.MODULES),
    "xpnet.data.transforms",
    "xpnet.functions.fft",
    "xpnet.functions.linalg",
    "xpnet.functions.special",
    "xpnet.layers.initializers",
)
"""The public modules."""


class Chapter(NamedTuple):
    """A page of the reference.

    Attributes
    ----------
    page : str
        Its path below reference/.
    title : str
    part : str
        The part of the reference in which it is listed.
    module : str
        The public module whose names are described here.
    files : tuple of str
        Only names that are defined in these modules, or in one that their dot at the end begins;
        without any, all that no earlier chapter has.
    text : str
        The module whose docstring introduces the chapter: by default the public module.
    """

    page: str
    title: str
    part: str
    module: str
    files: tuple[str, ...] = ()
    text: str = ""


def of_functions(page: str, title: str, *files: str) -> Chapter:
    """A chapter of `xpnet.functions`."""
    names = tuple(f"xpnet.functions.{file}" for file in files)
    return Chapter(f"functions/{page}", title, "Functions", "xpnet.functions", names, names[0])


def of_layers(page: str, title: str, *files: str) -> Chapter:
    """A chapter of the layers."""
    names = tuple(f"xpnet.layers.{file}" for file in files)
    return Chapter(f"layers/{page}", title, "Networks", "xpnet", names, names[0])


CHAPTERS = (
    Chapter("backend", "Backends", "Core", "xpnet", ("xpnet.backend",), "xpnet.backend"),
    Chapter(
        "autodiff", "Automatic differentiation", "Core", "xpnet", ("xpnet.autodiff.",), "xpnet.autodiff",
    ),
    Chapter("compiler", "Compiled steps", "Core", "xpnet.compiler"),
    Chapter("random", "Random numbers", "Core", "xpnet.random"),
    Chapter("errors", "Errors", "Core", "xpnet.errors"),
    of_functions("activation", "Activations", "activation", "normal"),
    of_functions("loss", "Losses", "loss", "cross_entropy"),
    of_functions(
        "networks", "Functions of networks", "linear", "convolution", "pooling", "normalization", "attention",
        "recurrent", "embedding", "dropout", "stopping",
    ),
    of_functions("elementwise", "Elementwise functions", "elementwise"),
    of_functions("statistical", "Sums and statistics", "statistical", "logsumexp"),
    of_functions("products", "Products", "products", "einsum"),
    of_functions("manipulation", "Shapes and places", "manipulation", "indexing"),
    of_functions("searching", "Searching, sorting and sets", "searching", "sorting"),
    of_functions("creation", "New arrays and dtypes", "creation", "data_type"),
    Chapter("functions/linalg", "Linear algebra", "Functions", "xpnet.functions.linalg"),
    Chapter("functions/fft", "Fourier transforms", "Functions", "xpnet.functions.fft"),
    Chapter("functions/special", "Special functions", "Functions", "xpnet.functions.special"),
    of_layers("base", "Layers and containers", "base", "container", "functional", "hooks", "_contents"),
    of_layers("affine", "Affine, embedding, dropout, shapes", "affine", "embedding", "dropout", "reshaping", "arithmetic"),
    of_layers("activation", "Activation layers", "activation"),
    of_layers("convolution", "Convolution and pooling", "convolution", "pooling"),
    of_layers("normalization", "Normalization", "normalization"),
    of_layers("recurrent", "Recurrent layers", "recurrent"),
    of_layers("attention", "Attention and Transformers", "attention", "transformer"),
    Chapter("layers/initializers", "Initial values", "Networks", "xpnet.layers.initializers"),
    Chapter("models", "Whole networks", "Networks", "xpnet.models"),
    Chapter("summary", "Summary", "Networks", "xpnet.summary"),
    Chapter("optimizers", "Optimizers", "Training", "xpnet", ("xpnet.optimizers", "xpnet.optimizers."), "xpnet.optimizers"),
    Chapter("schedules", "Learning rate schedules", "Training", "xpnet.schedules"),
    Chapter("metrics", "Metrics", "Training", "xpnet.metrics"),
    Chapter("data", "Data", "Training", "xpnet.data"),
    Chapter("transforms", "Transforms of images", "Training", "xpnet.data.transforms"),
    Chapter("training", "Training", "Training", "xpnet.training"),
    Chapter("distributed", "Many processes", "Training", "xpnet.distributed"),
    Chapter("saving", "Saving, PyTorch, Keras, ONNX", "Around", "xpnet.saving"),
    Chapter("adapters", "Modules of PyTorch", "Around", "xpnet.adapters"),
    Chapter("estimators", "Estimators for scikit-learn", "Around", "xpnet.estimators"),
    Chapter("plots", "Plots", "Around", "xpnet.plots"),
    Chapter("report", "Report", "Around", "xpnet.report"),
    Chapter("testing", "Testing derivatives", "Around", "xpnet.testing"),
    Chapter("lessons", "The names of the lessons", "Around", "xpnet.lessons"),
)  # fmt: skip


def exported(module: str) -> dict[str, object]:
    """The names that a public module offers, other than modules, and what they are."""
    found = importlib.import_module(module)
    values = {name: getattr(found, name) for name in found.__all__}
    return {name: value for name, value in values.items() if not isinstance(value, ModuleType)}


@cache
def paths() -> dict[str, tuple[str, ...]]:
    """{the path by which a public name is described: the other paths of the same thing}."""
    same = defaultdict(list)
    for module in PUBLIC:
        for name, value in exported(module).items():
            same[id(value)].append(f"{module}.{name}")
    shortest = [sorted(found, key=lambda path: path.count(".")) for found in same.values()]
    return {first: tuple(others) for first, *others in shortest}


def value_of(path: str) -> object:
    """What a public name stands for."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def is_defined_in(value: object, files: tuple[str, ...]) -> bool:
    """Whether a class or a function is defined in one of these modules."""
    module = getattr(value, "__module__", "")
    return any(module == file or (file[-1] == "." and module.startswith(file)) for file in files)


@cache
def contents() -> dict[str, list[str]]:
    """{the page of a chapter: the paths of the names that it describes}, in the order of `__all__`."""
    left = dict(paths())
    found = {}
    for chapter in CHAPTERS:
        names = [f"{chapter.module}.{name}" for name in exported(chapter.module)]
        names = [path for path in names if path in left]
        if chapter.files:
            names = [path for path in names if is_defined_in(value_of(path), chapter.files)]
        if chapter.module == "xpnet.compiler":
            names.insert(0, "xpnet.compile")
        if chapter.module == "xpnet.random":
            names.insert(0, "xpnet.manual_seed")
        if chapter.module == "xpnet.errors":
            names = [path for path in left if is_defined_in(value_of(path), ("xpnet.errors",))]
        found[chapter.page] = names
        for path in names:
            del left[path]
    return found


def missing() -> set[str]:
    """The public names that no chapter describes."""
    return set(paths()) - {path for names in contents().values() for path in names}


@cache
def links() -> dict[str, str]:
    """{a name as docstrings write it: the path by which it is described}; names of two things are left out."""
    found = defaultdict(set)
    for path, others in paths().items():
        for full in (path, *others):
            _, *parts = full.split(".")
            found[full].add(path)
            found[".".join(parts)].add(path)
            found[parts[-1]].add(path)
            if parts[0] == "functions":
                found[".".join(["F", *parts[1:]])].add(path)
    return {name: next(iter(of)) for name, of in found.items() if len(of) == 1}
