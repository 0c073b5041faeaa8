"""tests/cupy_names.py finds names that CuPy lacks in example code, and none in xpnet.

These tests need CuPy, but no GPU.
"""

from importlib import import_module

import pytest

from xpnet.autodiff import namespace

cupy = pytest.importorskip("cupy", reason="the program inspects it", exc_type=ImportError)
check = import_module("tests.cupy_names")  # it imports CuPy

KERNEL = "xpnet/kernels/made_up.py"

MISSING = [
    ("cupy().frobnicate(x)", "no cupy.frobnicate"),
    ("import_module('cupy').cuda.Strom()", "no cupy.cuda.Strom"),
    ("cupy.cuda.runtime.getDeviceCunt()", "no cupy.cuda.runtime.getDeviceCunt"),
    ("self.cupyx.empty_pined(3)", "no cupyx.empty_pined"),
    ("runtime = import_module('cupy').cuda.runtime\nruntime.getGPU()", "runtime.getGPU"),
    ("new, n = cupy().ndarray, 3\nnew.of(n)", "no cupy.ndarray.of"),
    ("f: Any = cupy().sum\nf(x, axes=1)", "cupy.sum: got an unexpected keyword argument 'axes'"),
    ("if c := cupy().cuda:\n    c.Strom()", "no cupy.cuda.Strom"),
    ("getattr(cupy(), 'nope')", "no cupy.nope"),
    ("getattr(cupy(), name)", "the name is computed"),
    # arguments of functions in Python, of ufuncs, and of code compiled by Cython
    ("cupy().copyto(x)", "missing a required argument: 'src'"),
    ("cupy().copyto(x, x, 1, 2, 3)", "too many positional arguments"),
    ("cupy().sum(*x, axes=1)", "keyword argument 'axes'"),
    ("cupy().sum(x, **options)", "cupy.sum: its keywords are computed"),
    ("cupy().add(x, y, where=m)", "cupy.add: got an unexpected keyword argument 'where'"),
    ("cupy().RawModule(source='')", "keyword argument 'source'"),
    ("cupy().ndarray((3,), 'int8', fill=0)", "cupy.ndarray: got an unexpected keyword"),
    ("self.cupyx.rsqrt(x)", "its signature is stated nowhere"),
    # instances
    ("cupy.cuda.Stream(nonblocking=True)", "keyword argument 'nonblocking'"),
    ("self.s = cupy.cuda.Stream()\nself.s.wait(1)", "no Stream.wait"),
    ("cupy.cuda.get_current_stream().record(1, 2)", "Stream.record: too many positional"),
    ("cupy().RawModule(code='').get_kernel('f')", "no RawModule.get_kernel"),
    ("compiled(files, 'f', 'int8')((1,), (1,))", "RawKernel.__call__: missing a required"),
    ("slot.full.rekord(x)", "no Event.rekord"),
    ("x.data.adress", "no MemoryPointer.adress"),
    ("x.get(queue=0)", "ndarray.get: got an unexpected keyword argument 'queue'"),
    ("x.resize(3)", "no ndarray.resize"),
    ("getattr(x, 'to_device')(0)", "no ndarray.to_device"),
    # namespaces
    ("xp.nope", "no xp.nope"),
    ("backend.xp.nope", "no xp.nope"),
    ("array_namespace(x).linalg.nope(x)", "no xp.linalg.nope"),
    ("compat.array_namespace(x).sum(x, axes=1)", "xp.sum: got an unexpected keyword argument"),
    ("xp.take(x, x, mode=x)", "xp.take: got an unexpected keyword argument 'mode'"),
    ("xp.fft.fft(x, m=1)", "keyword argument 'm'"),
    ("xp.asarray(x, shape=3)", "xp.asarray: no keyword shape is stated"),
]

FINE = [
    "cupy().sum(x, axis=(0, 1), keepdims=True).get(stream=None)",
    "x = cupy().ElementwiseKernel('T x', 'T y', 'y = x', 'k')\nx(a, b)",
    "new = cupy().ndarray\nnew = 3\nnew.nope",  # no longer an object of CuPy
    "np = import_module('numpy')\nnp.ctypeslib",
    "getattr(cupy(), 'nope', None)",
    "x.astype('int8', copy=False).reshape(2, 3).data.ptr",
    "array_namespace(x).asarray(x, copy=True, device=None, order='C')",
    "with cupy().cuda.Device(1), cupy().cuda.Stream():\n    pass",
    "super().__setstate__({})",  # a base class's, not an array's
]


def reasons(code, path=KERNEL):
    return [reason for _, _, reason in check.Reader(path, code).missing]


@pytest.mark.parametrize(("code", "reason"), MISSING, ids=[code for code, _ in MISSING])
def test_a_name_that_cupy_lacks_is_reported(code, reason):
    (found,) = reasons(code)
    assert reason in found


@pytest.mark.parametrize("code", FINE)
def test_a_name_that_cupy_has_is_not_reported(code):
    assert reasons(code) == []


def test_a_finding_has_its_line_and_code():
    missing = check.Reader(KERNEL, "x = 1\ny = cupy().nope(x)").missing
    assert missing == [(2, "cupy().nope", "no cupy.nope")]


def test_methods_of_arrays_are_checked_only_where_arrays_are_cupys():
    """Elsewhere x may be a Variable, or an array of another library."""
    code = "x.astype(t, device=d)\nx.data.requires_grad"
    assert len(reasons(code)) == 2
    assert reasons(code, "xpnet/made_up.py") == []


def test_some_files_may_compute_names():
    code = "getattr(xp, name)(x, **options)"
    assert reasons(code, "xpnet/made_up.py") == ["the name is computed"]
    assert reasons(code, "xpnet/functions/made_up.py") == []


def test_a_keyword_of_later_versions_is_reported_for_older_ones():
    """`copy` of reshape exists since CuPy 14.1."""
    has_it = tuple(map(int, cupy.__version__.split(".")[:2])) >= (14, 1)
    assert bool(reasons("x.reshape(2, 3, copy=True)")) is not has_it


@pytest.mark.parametrize(
    ("doc", "expected"),
    [
        ("f()", "()"),
        ("f() -> int\n\nMore (of it).", "()"),
        ("a.f(self, Py_ssize_t axis=-1, *, out=None)", "(self, axis=None, *, out=None)"),
        ("f(str code, tuple options=(1, 2), **rest)", "(code, options=None, **rest)"),
        (r"f(x1, x2, /, out=None, \*, dtype=None)", "(x1, x2, /, out=None, *, dtype=None)"),
        ("f(ndarray a not None, vector[intptr_t] b, *args)", "(a, b, *args)"),
        ("f(unsigned int flags)", "(flags)"),
    ],
)
def test_a_signature_is_read_from_a_docstring(doc, expected):
    """Types are removed, and defaults become None."""
    assert str(check.documented(doc)) == expected


@pytest.mark.parametrize("doc", ["", "The sum of x.", "f(x"])
def test_a_docstring_without_a_signature_raises(doc):
    with pytest.raises(ValueError, match="stated nowhere"):
        check.documented(doc)


def test_declared_functions_that_cupy_lacks_are_reported(monkeypatch):
    """CuPy must have all functions that xpnet declares, with their arguments."""

    def exp(x, /, *, where=None):
        raise NotImplementedError

    def add(x1, x2, x3, x4, /):
        raise NotImplementedError

    monkeypatch.setattr(namespace, "functions", {"exp": exp, "linalg.nope": exp, "add": add})
    monkeypatch.setattr(namespace, "DTYPES", {"float32", "float33", "bfloat16"})
    assert check.declared() == [
        "xpnet.functions.add: xp.add: too many positional arguments",
        "xpnet.functions.exp: xp.exp: got an unexpected keyword argument 'where'",
        "xpnet.functions.float33: no xp.float33",
        "xpnet.functions.linalg.nope: no xp.linalg.nope",
    ]


@pytest.mark.parametrize(
    ("path", "there", "instead"),
    [
        ("xpnet/data/_transfer.py", "non_blocking=True", "nonblocking=True"),
        ("xpnet/data/_transfer.py", "stream=self.stream", "queue=self.stream"),
        ("xpnet/data/_transfer.py", "slot.free.record(compute)", "slot.free.rekord(compute)"),
        ("xpnet/data/_transfer.py", "compute.wait_event(slot.full)", "compute.wait(slot.full)"),
        ("xpnet/data/_transfer.py", "buffer.staging.copy()", "buffer.staging.clone()"),
        ("xpnet/kernels/update.py", "cuda.function.CPointer", "cuda.CPointer"),
        (
            "xpnet/kernels/gathered.py",
            "matmul(a[None], b[None])",
            "matmul(a[None], b[None], where=b)",
        ),
        ("xpnet/_libraries/cupy.py", "cuda.runtime.getDeviceCount()", "cuda.getDeviceCount()"),
        ("xpnet/_libraries/cupy.py", "x.get()", "x.ctypes"),
        ("xpnet/_libraries/devices.py", "_runtime().setDevice(", "_runtime().useDevice("),
        (
            "xpnet/functions/linalg/inverses.py",
            "linalg_of(xp).svd(x)",
            "linalg_of(xp).svd(x, vectors=1)",
        ),
        ("xpnet/_libraries/cupy.py", "runtime.driverGetVersion()", "runtime.driverVersion()"),
        ("xpnet/plots/_images.py", "xp.float32", "xp.float31"),
    ],
)
def test_a_mistake_in_xpnet_is_reported(path, there, instead):
    """One name or keyword is changed in the code of a file of xpnet."""
    code = (check.ROOT / path).read_text("utf-8")
    assert there in code
    assert len(reasons(code.replace(there, instead, 1), path)) == 1


def test_xpnet_reaches_nothing_that_cupy_lacks():
    lines, reached = check.findings()
    assert lines == []
    expected = {  # without these, the program would no longer follow names through RETURNS
        *("xp.exp", "xp.linalg.svd", "cupy.ndarray", "cupy.cuda.runtime.setDevice"),
        *("cupy.cuda.Stream", "Stream.wait_event", "ndarray.set", "MemoryPointer.ptr"),
    }
    assert expected - {*reached} == set()
