"""What `import xpnet` loads, and what is loaded when it is first used.

benchmarks/import_time.py measures the time, which depends on the machine; these lists do not.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import xpnet

ROOT = Path(__file__).parent.parent

UNNEEDED = {
    *("ast", "asyncio", "csv", "dataclasses", "difflib", "email", "http", "importlib.metadata"),
    *("importlib.resources", "json", "logging", "multiprocessing", "pathlib", "random", "shutil"),
    *("socket", "sqlite3", "string", "subprocess", "tempfile", "textwrap", "traceback", "urllib"),
}
"""Modules of Python, each of which takes 0.5 ms or more; some of them are imported where they are used."""

EAGER = {"autodiff", "errors", "functions", "random"}
"""The public modules that `import xpnet` needs; all others are imported when they are first used."""

FIRST_USES = {
    "xpnet._interoperability.numpy": "np.sum(v)",
    "xpnet._interoperability.numpy.ufuncs": "np.exp(v)",
    "xpnet.functions.fft": "F.fft",
    "xpnet.layers.affine": "xpnet.Affine",
    "xpnet.optimizers.adam": "from xpnet import Adam",
    "xpnet.functions.linalg": "F.linalg",
    "xpnet.functions.linalg.inverses": "v.__array_namespace__().linalg.inv",
    "xpnet.functions.special": "v.__array_namespace__().special.erf(v)",
    "xpnet.training": "xpnet.training",
}
"""Modules that `import xpnet` does not load, and what loads each."""


def run(program):
    """What a program prints in a new interpreter, as JSON."""
    process = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return json.loads(process.stdout)


@pytest.fixture(scope="module")
def brought():
    """The modules that `import xpnet` loads, besides those of NumPy and array_api_compat."""
    return run(
        "import sys, json, numpy, array_api_compat; before = set(sys.modules); import xpnet;"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )


def test_no_other_package_is_loaded(brought):
    assert "xpnet.autodiff" in brought
    packages = {name.partition(".")[0] for name in brought}
    # array_api_compat.numpy would bring numpy.testing, half as much again as NumPy itself.
    assert packages <= {"xpnet"} | sys.stdlib_module_names


def test_no_module_of_python_is_loaded_that_few_programs_need(brought):
    assert not UNNEEDED & set(brought)


def test_the_public_modules_that_are_loaded(brought):
    public = {name.removeprefix("xpnet.") for name in brought} & set(xpnet.MODULES)
    assert public == EAGER


@pytest.mark.parametrize("name", FIRST_USES)
def test_a_module_is_loaded_when_it_is_first_used(brought, name):
    assert name not in brought
    assert run(
        "import sys, json, numpy as np, xpnet; from xpnet import functions as F;"
        f"v = xpnet.Variable([1.0, 2.0]); before = {name!r} in sys.modules; {FIRST_USES[name]};"
        f"print(json.dumps([before, {name!r} in sys.modules]))"
    ) == [False, True]


def test_what_python_itself_looks_up_loads_nothing():
    assert not run(
        "import json, sys, xpnet; from xpnet import functions as F;"
        "assert not any(hasattr(place, '__wrapped__') for place in (xpnet, F));"
        "print(json.dumps(sorted({'xpnet.layers', 'xpnet.functions.linalg'} & set(sys.modules))))"
    )


@pytest.mark.parametrize(
    ("place", "later"), [("xpnet", "Affine"), ("xpnet", "Adam"), ("xpnet.functions", "linalg")]
)
def test_a_star_import_brings_every_name(place, later):
    """Also those that are imported when they are first used, before anything has used them."""
    names, brought = run(
        f"import json; from {place} import *; brought = sorted(globals());"
        f"import {place} as place; print(json.dumps([place.__all__, brought]))"
    )
    assert later in names
    assert set(names) <= set(brought)


def test_dir_lists_what_is_not_loaded():
    assert {"Affine", "Adam", "training"} <= set(
        run("import json, xpnet; print(json.dumps(dir(xpnet)))")
    )


def test_an_extension_is_listed_before_it_is_loaded():
    names = run(
        "import json, sys; from xpnet import functions as F; names = dir(F);"
        "assert 'xpnet.functions.linalg' not in sys.modules; print(json.dumps(names))"
    )
    assert {"fft", "linalg", "special"} <= set(names)


def test_the_chapters_of_an_extension_are_no_functions():
    """Importing one by its full name, past `F.__getattr__`, leaves no module among the functions."""
    assert (
        run(
            "import json, xpnet; from xpnet.functions.linalg import inv; from xpnet import functions as F;"
            "chapters = 'decompositions', 'eigenvalues', 'inverses', 'norms';"
            "print(json.dumps([hasattr(place, name) for place in (F, F.linalg) for name in chapters]))"
        )
        == [False] * 8
    )


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        ("xpnet.ReLU()(v).shape[0]", 2),
        ("xpnet.SGD([xpnet.Parameter(v.data)], lr=3.0).lr", 3.0),
        ("float(np.nansum(v))", 3.0),
        ("float(np.exp(v)[0])", 1.0),
        ("float(v.__array_namespace__().special.erf(v)[0])", 0.0),
        ("float(v.__array_namespace__().linalg.vector_norm(v))", 3.0),
        ("float(F.fft.fft(v).data[0].real)", 3.0),
    ],
)
def test_threads_that_use_a_module_first_at_the_same_time(use, expected):
    """None of them sees a module of which only a part has been loaded."""
    program = f"""
import json, sys, threading
import numpy as np, xpnet
from xpnet import functions as F
sys.setswitchinterval(1e-6)
v = xpnet.Variable(np.asarray([0.0, 3.0]), requires_grad=False)
start = threading.Barrier(8)
found = []
def use():
    start.wait()
    found.append({use})
threads = [threading.Thread(target=use) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(found))
"""
    assert run(program) == [expected] * 8
