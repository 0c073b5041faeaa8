"""The check of CuPy's names: what it finds in code that is made up, and that xpnet has nothing of it.

It needs the wheel of cupy, and no GPU.
"""

import pytest

from tests.cupy_names.offered import UnknownSignatureError, documented

DOCUMENTED = [
    ("f()", (), set(), set(), False, False),
    ("f() -> int\n\nMore (of it).", (), set(), set(), False, False),
    ("a.f(self, Py_ssize_t axis=-1, *)", ("self", "axis"), {"self", "axis"}, {"self"}, False, False),
    ("f(str code, tuple options=(1, 2), *, bool jit=False)", ("code", "options"),
     {"code", "options", "jit"}, {"code"}, False, False),
    ("f(x1, x2, /, out=None, \\*, casting='same_kind')", ("x1", "x2", "out"), {"out", "casting"},
     {"x1", "x2"}, False, False),
    ("f(self, *shape, order='C', **rest)", ("self",), {"self", "order"}, {"self"}, True, True),
    ("f(ndarray a not None, vector[intptr_t] b)", ("a", "b"), {"a", "b"}, {"a", "b"}, False, False),
]  # fmt: skip


@pytest.mark.parametrize(("doc", *"pkrmo"), DOCUMENTED, ids=lambda x: x if "f(" in str(x) else "")
def test_signatures_of_cython_are_read(doc, p, k, r, m, o):
    """Positional, keywords, required, *args and **kwargs, from the head of a docstring."""
    assert documented(doc) == (p, frozenset(k), frozenset(r), m, o)


@pytest.mark.parametrize("doc", ["", "The sum of x.", "f(x"])
def test_what_is_no_signature_is_refused(doc):
    with pytest.raises(UnknownSignatureError):
        documented(doc)


# --- made-up code -----------------------------------------------------------------------------

IMPORTS = """\
from functools import partial
from importlib import import_module
from typing import Any

import array_api_compat as compat

from xpnet.namespace import array_namespace
"""

HELD = """
class A:
    def __init__(self):
        self.x, self.c = 1, import_module('cupy')

    def f(self):
        return self.c.nope()
"""

MISSING = [
    ("import cupy\ndef f(x):\n    return cupy.frobnicate(x)", "no cupy.frobnicate"),
    ("import cupy\nx = cupy.cuda.Strom()", "no cupy.cuda.Strom"),
    ("from cupy import cuda\nx = cuda.runtime.getDeviceCunt()", "no cupy.cuda.runtime.getDeviceC"),
    ("import cupy as cp\ndef f(x, y, m):\n    cp.add(x, y, where=m)", "add accepts no where="),
    ("import cupy as cp\ndef f(x):\n    cp.sum(x, axes=1)", "sum accepts no axes="),
    ("import cupy as cp\ndef f(x):\n    cp.copyto(x)", "copyto needs src"),
    ("import cupy as cp\ndef f(x):\n    cp.copyto(x, x, 1, 2, 3)", "takes 4 arguments by position"),
    # methods and attributes of arrays
    ("def f(x: Any):\n    import_module('cupy')\n    return x.to_device(0)", "x.to_device"),
    ("import cupy\ndef f():\n    return cupy.ones(3).resize(4)", "no ndarray.resize"),
    ("import cupy\ndef f():\n    return cupy.ones(3).copy(deep=True)", "ndarray.copy accepts no deep"),
    ("import cupy\ndef f(x):\n    y = -cupy.exp(x)\n    return y.get(queue=0)", "accepts no queue="),
    ("import cupy\ndef f(x):\n    return [z.numpy() for z in (cupy.exp(x),)]", "no ndarray.numpy"),
    ("def f(x: Any):\n    return x.device.index", "no Device.index"),
    ("def f(x: Any):\n    with x.flags:\n        pass", "is no context manager"),
    # streams, events, kernels
    ("import cupy\ns = cupy.cuda.Stream(nonblocking=True)", "Stream accepts no nonblocking="),
    ("import cupy\ns = cupy.cuda.Stream()\ns.wait(1)", "no Stream.wait"),
    ("import cupy\ne = cupy.cuda.Event()\ne.record(1, 2)", "Event.record takes 1 arguments"),
    ("import cupy\nm = cupy.RawModule(source='')", "RawModule accepts no source="),
    ("import cupy\nk = cupy.RawModule(code='').get_kernel('f')", "no RawModule.get_kernel"),
    ("import cupy\nk = cupy.RawModule(code='').get_function('f')\nk((1,), (1,))", "needs args"),
    ("import cupy\nk = cupy.ElementwiseKernel('T x', 'T y')", "ElementwiseKernel needs operation"),
    # by detours
    ("def lib():\n    return import_module('cupy')\ndef f(x):\n    return lib().nope(x)", "cupy.nope"),
    ("def f(x):\n    np = import_module('cupy' if x else 'numpy')\n    np.nope()", "no cupy.nope"),
    (HELD, "no cupy.nope"),
    ("import cupy\ndef g(np: Any):\n    return np.nope()\ng(cupy)", "no cupy.nope"),
    ("import cupy\nf = lambda np: np.nope()\nf(cupy)", "no cupy.nope"),
    ("import cupy\ng = cupy.sum\ndef f(x):\n    return g(x, axes=1)", "sum accepts no axes="),
    ("import cupy\ng = partial(cupy.sum, axes=1)", "sum accepts no axes="),
    ("import cupy\no = {'axes': 1}\ndef f(x):\n    return cupy.sum(x, **o)", "sum accepts no axes="),
    ("import cupy\ndef f(name):\n    return getattr(cupy, name)\nf('nope')", "no cupy.nope"),
    ("import cupy\ndef g():\n    yield cupy.ones(1)\nfor x in g():\n    x.numpy()", "ndarray.numpy"),
    # namespaces
    ("def f(x):\n    xp = array_namespace(x)\n    return xp.nope(x)", "no xp.nope"),
    ("def f(x):\n    return array_namespace(x).linalg.nope(x)", "no xp.linalg.nope"),
    ("def f(x):\n    return array_namespace(x).sum(x, axes=1)", "xp.sum accepts no axes="),
    ("def f(x, xp):\n    return xp.take(x, x, mode=x)", "xp.take accepts no mode="),
]  # fmt: skip

UNCLEAR = [
    ("import cupy\ndef f(x):\n    return getattr(cupy, x.__class__.__name__)()", "is computed"),
    ("import cupy\ndef f(x, o):\n    return cupy.sum(x, **o)", "**o of unknown names"),
    ("import cupyx\ndef f(x):\n    return cupyx.rsqrt(x)", "states no arguments"),
    ("def f(x: Any):\n    return x.frobnicate()", "no array has it"),
]

FINE = [
    "import cupy\ndef f(x):\n    return cupy.sum(x, axis=(0, 1), keepdims=True).get(stream=None)",
    "import cupy\nk = cupy.ElementwiseKernel('T x', 'T y', 'y = x', 'k')\nx = k(cupy.ones(3)).shape",
    "def f(x):\n    if compat.is_torch_array(x):\n        return x.numpy(force=True)",
    "def f(x):\n    return compat.is_numpy_array(x) and x.flags.writeable",
    "def f(np, x):\n    np = import_module(x)\n    if np.__name__ == 'numpy':\n        np.nope()",
    "import cupy\nx = getattr(cupy, 'nope', None)",
    "import numpy as np\nx = np.ctypeslib",
    "class Box:\n    name = 'x'\ndef f(box: Box):\n    return box.nope",
    "def f(x, xp):\n    return xp.asarray(x, copy=True, device=None).shape",
]


@pytest.fixture(scope="module")
def checked():
    """A function: the check of one file, beside xpnet's that are for CuPy."""
    pytest.importorskip("cupy", reason="what it has is what is asked", exc_type=ImportError)
    from tests.cupy_names.check import Check

    def check(code, path="xpnet/kernels/made_up.py"):
        return Check({path: IMPORTS + code}, explained={})

    return check


def messages(findings):
    return [f"{finding.code}: {finding.message}" for finding in findings]


@pytest.mark.parametrize(("code", "message"), MISSING, ids=[m for _, m in MISSING])
def test_what_cupy_lacks_is_found(checked, code, message):
    found = checked(code)
    assert any(message in line for line in messages(found.missing + found.unresolved))


@pytest.mark.parametrize(("code", "message"), UNCLEAR, ids=[m for _, m in UNCLEAR])
def test_what_is_not_understood_is_found(checked, code, message):
    assert any(message in line for line in messages(checked(code).unresolved))


@pytest.mark.parametrize("code", FINE)
def test_what_cupy_has_is_left_alone(checked, code):
    """Also what is for another library alone."""
    found = checked(code)
    assert messages(found.missing + found.unresolved) == []


def test_a_condition_says_what_an_array_is(checked):
    """In files where it may be a Variable too."""
    code = (
        "def f(x):\n    if compat.is_cupy_array(x):\n        return x.numpy()\n    return x.numpy()"
    )
    (finding,) = checked(code, "xpnet/made_up.py").missing
    assert finding.line == IMPORTS.count("\n") + 3


def test_a_keyword_that_one_version_has(checked):
    """What the oldest CuPy of the extras lacks is found by the session that installs it."""
    import cupy

    has_it = tuple(map(int, cupy.__version__.split(".")[:2])) >= (14, 1)
    code = "import cupy\nx = cupy.ones(6).reshape(2, 3, copy=True)"
    assert bool(checked(code).missing) is not has_it


@pytest.mark.parametrize(
    ("path", "there", "instead"),
    [
        ("xpnet/kernels/transfer.py", "non_blocking=True", "nonblocking=True"),
        ("xpnet/kernels/transfer.py", "stream=self.stream", "queue=self.stream"),
        ("xpnet/kernels/transfer.py", "slot.free.record(compute)", "slot.free.rekord(compute)"),
        ("xpnet/kernels/transfer.py", "compute.wait_event(slot.full)", "compute.wait(slot.full)"),
        ("xpnet/kernels/transfer.py", "buffer.staging.copy()", "buffer.staging.clone()"),
        ("xpnet/backend.py", "cuda.runtime.getDeviceCount()", "cuda.getDeviceCount()"),
        ("xpnet/kernels/bounds.py", "return note.get()", "return note.numpy()"),
        ("xpnet/diagnosis.py", "runtime.driverGetVersion()", "runtime.driverVersion()"),
    ],
)
def test_a_mistake_in_xpnet_is_found(checked, path, there, instead):
    """One name is changed in files as they are."""
    from tests.cupy_names.analysis import FOR_CUPY
    from tests.cupy_names.check import Check, sources

    files = {name: text for name, text in sources().items() if name.startswith(FOR_CUPY)}
    assert there in files[path]
    before = Check(files)
    after = Check(files | {path: files[path].replace(there, instead)})
    more = set(after.missing + after.unresolved) - set(before.missing + before.unresolved)
    assert [finding.path for finding in more] != []
    assert all(finding.path == path for finding in more)


def test_functions_that_are_declared(checked):
    """Those that reach CuPy by the name of their row in a table."""
    from tests.cupy_names.declared import handed_over, undeclared

    def exp(x, /, *, where=None):
        raise NotImplementedError

    def add(x1, x2, x3, x4, /):
        raise NotImplementedError

    table = {"exp": exp, "linalg.nope": exp, "add": add}
    assert undeclared(table, ["float32", "float33", "bfloat16"])[1] == [
        "xpnet.functions.float33: CuPy has no xp.float33",
        "xpnet.functions.exp: xp.exp accepts no where=",
        "xpnet.functions.linalg.nope: CuPy has no xp.linalg.nope",
        "xpnet.functions.add: xp.add takes 3 arguments by position",
    ]
    assert {"add", "exp", "argsort", "isnan", "linalg.matrix_rank"} <= handed_over().keys()


@pytest.mark.slow  # the session cupy_names asks it of two versions
def test_xpnet_reaches_nothing_that_cupy_lacks(checked):
    from tests.cupy_names.check import Check, sources
    from tests.cupy_names.declared import undeclared

    found = Check(sources())
    assert [str(finding) for finding in found.missing + found.unresolved] == []
    assert found.stale == []
    assert undeclared()[1] == []
    assert found.reached["cupy.cuda.Stream"] >= 1
