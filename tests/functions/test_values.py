"""The values of the standard's functions against NumPy's own, which share no code with xpnet.

test_rules.py compares each derivative with differences of the same function, so a wrong value with
its own correct derivative would pass there. Here the same cases are compared with NumPy; each
function is called once with its defaults; its signature is that of array-api-strict; and every
parameter is given by some case.
"""

import inspect
import os

import array_api_compat.numpy as host_xp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.functions.cases import CASES, CONSTANT, LACKS, STRUCTURAL, B, N, X, of
from xpnet import Variable, array_namespace, using
from xpnet.autodiff.namespace import EXTENSIONS, functions, kinds
from xpnet.testing import assert_close

pytest.importorskip("scipy", reason="SciPy has the values of special functions")

UNORDERED = {"linalg.eig", "linalg.eigvals"}
"""Functions whose results come in no particular order; their cases make something of it."""


def library_of(backend):
    return backend.name.partition(":")[0]


def skip_what_lacks(backend, name):
    if reason := LACKS.get((name, library_of(backend))):
        pytest.skip(reason)


# --- the values of all cases ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "number"), [(name, i) for name in sorted(CASES) for i in range(len(CASES[name]))]
)
@settings(
    max_examples=1 if os.environ.get("XPNET_TEST_BACKENDS") == "jax" else 8,  # JAX compiles each
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_a_case_has_numpys_value(backend64, array, name, number, data):
    """To 1e-10 in float64, and of NumPy's dtype and shape."""
    skip_what_lacks(backend64, name)
    call, hosts = data.draw(CASES[name][number])
    expected = np.asarray(call(host_xp, *hosts))
    arrays = [array(host, str(host.dtype)) for host in hosts]
    xs = [Variable(x) for x in arrays]
    y = call(array_namespace(*xs), *xs)
    assert str(y.dtype).rpartition(".")[2] == str(expected.dtype)
    assert_close(y, expected, rtol=1e-10, atol=1e-12)


# --- each function by its defaults ----------------------------------------------------------------

M = np.asarray([[4.0, 1.0, 0.5], [1.0, 3.0, -0.25], [0.5, -0.25, 2.0]])
Z = X + 1j * np.asarray([[0.5, -1.0, 0.0], [2.0, 0.25, -0.5]])
P = np.asarray([[0.25, 0.5, 1.5], [2.0, 0.75, 3.0]])
U = np.asarray([[0.3, -0.6, 0.9], [0.2, 0.0, -0.5]])
I = np.asarray([[2, 0, 1], [0, 0, 2]])  # noqa: E741

ONE = {  # the argument of functions of one argument, where X is not valid
    **dict.fromkeys(("acos", "asin", "atanh"), U),
    **dict.fromkeys(("log", "log10", "log1p", "log2", "sqrt", "reciprocal"), P),
    "acosh": P + 1.0,
    **dict.fromkeys(("conj", "imag", "real"), Z),
    **dict.fromkeys(("bitwise_invert",), N),
    "logical_not": B,
    "unique_all": X, "unique_counts": X, "unique_inverse": X, "unique_values": X,
    **{f"fft.{name}": Z for name in ("fft", "fftn", "ifft", "ifftn", "hfft", "irfft", "irfftn")},
    **{f"fft.{name}": X for name in ("rfft", "rfftn", "ihfft", "fftshift", "ifftshift")},
    **{
        f"linalg.{name}": M
        for name in (
            "cholesky", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh", "inv",
            "matrix_norm", "matrix_rank", "pinv", "qr", "slogdet", "svd", "svdvals", "trace",
        )
    },
    "cumulative_prod": P[0], "cumulative_sum": P[0],
}  # fmt: skip
MORE = {  # the arguments of other functions
    **{f"bitwise_{name}": (N, N[1]) for name in ("and", "or", "xor", "left_shift", "right_shift")},
    **{f"logical_{name}": (B, B[0]) for name in ("and", "or", "xor")},
    **dict.fromkeys(("pow", "divide", "floor_divide", "remainder", "atan2", "hypot"), (P, P[1])),
    "astype": (X, "complex128"),
    "broadcast_arrays": (X, X[0]),
    "broadcast_to": (X[0], (2, 3)),
    "concat": ([X, P],),
    "expand_dims": (X,),
    "isin": (N, np.asarray([1, 3])),
    "linalg.cross": (X, P),
    "linalg.matrix_power": (M, 3),
    "linalg.outer": (X[0], P[0]),
    "linalg.solve": (M, P[0]),
    "matmul": (M, P[0]), "linalg.matmul": (M, P[0]),
    "meshgrid": (X[0], P[0, :2]),
    "moveaxis": (X, 0, 1),
    "permute_dims": (X, (1, 0)),
    "repeat": (X, 2),
    "reshape": (X, (3, 2)),
    "roll": (X, 1),
    "searchsorted": (np.asarray([-1.0, 0.0, 0.0, 2.0]), np.asarray([0.0, 0.5])),
    "stack": ([X, P],),
    "take": (X[0], np.asarray([2, 0])),
    "take_along_axis": (X, I),
    "tensordot": (M, M), "linalg.tensordot": (M, M),
    "tile": (X, (2, 1)),
    "vecdot": (Z, Z[0]), "linalg.vecdot": (Z, Z[0]),
    "where": (B, X, P),
    "squeeze": (X[:1], 0),
}  # fmt: skip
OPTIONS = {"expand_dims": {"axis": 0}, "squeeze": {}}
"""What is required and has a keyword's name."""


def default_call(name):
    """The arguments of a call without options."""
    if name in MORE:
        return MORE[name]
    if name in ONE:
        return (ONE[name],)
    required = [
        p
        for p in inspect.signature(functions[name]).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return (X, P)[: len(required)]


DEFAULTS = sorted(n for n, kind in kinds.items() if kind != "structural" and "special." not in n)


def as_given(x, backend, array):
    """An argument for the backend: arrays as Variables, also in a list; dtypes by name."""
    if isinstance(x, list):
        return [as_given(one, backend, array) for one in x]
    if isinstance(x, np.ndarray):  # a copy, which becomes read-only
        return Variable(array(x.copy(), str(x.dtype)))
    return getattr(backend.xp, x) if isinstance(x, str) else x


def parts(y):
    return list(y) if isinstance(y, (tuple, list)) else [y]


@pytest.mark.parametrize("name", DEFAULTS)
def test_by_its_defaults_a_function_has_numpys_value(backend64, array, name):
    skip_what_lacks(backend64, name)
    arguments = default_call(name)
    options = OPTIONS.get(name, {})
    host = [getattr(host_xp, x) if isinstance(x, str) else x for x in arguments]
    theirs = parts(of(name)(host_xp, *host, **options))
    mine = [as_given(x, backend64, array) for x in arguments]
    ours = parts(functions[name](*mine, **options))
    assert len(ours) == len(theirs)
    if name in SIGNLESS:
        ours = SIGNLESS[name](array_namespace(*ours), *ours)
        theirs = SIGNLESS[name](np, *theirs)
    for y, expected in zip(ours, theirs, strict=True):
        assert_close(y, np.asarray(expected), rtol=1e-10, atol=1e-12)


def of_svd(xp, u, s, vh):
    """The shapes, and the product of the factors: LAPACK leaves the signs of vectors open."""
    n = s.shape[0]
    return [s, xp.matmul(u[:, :n] * s, vh[:n, :]), xp.abs(u), xp.abs(vh)]


def of_qr(xp, q, r):
    return [xp.abs(q), xp.abs(r), xp.matmul(q, r)]


def of_eig(xp, w, v):
    return [xp.sort(xp.real(w)), xp.matmul(v * w, xp.linalg.inv(v))]


SIGNLESS = {
    "linalg.svd": of_svd,
    "linalg.qr": of_qr,
    "linalg.eigh": of_eig,
    "linalg.eig": of_eig,
    "linalg.eigvals": lambda xp, w: [xp.sort(xp.real(w))],
}


# --- signatures, and parameters that no case gives --------------------------------------------------


def parameters(function):
    """(kind, name unless it is positional only, default) of each parameter."""
    found = inspect.signature(function).parameters.values()
    return [(p.kind, "" if p.kind is p.POSITIONAL_ONLY else p.name, p.default) for p in found]


NO_DEFAULT = {"astype": {"device"}, "from_dlpack": {"device", "copy"}}
"""Parameters for which array-api-strict has a mark of its own in place of None."""


@pytest.mark.parametrize("name", sorted(n for n in functions if "special." not in n))
def test_a_signature_is_that_of_array_api_strict(name):
    strict = pytest.importorskip("array_api_strict", reason="it has the standard's signatures")
    with strict.ArrayAPIStrictFlags(api_version="2025.12"):
        theirs = parameters(of(name)(Taken(strict)))
    loose = NO_DEFAULT.get(name, ())
    for ours, expected in zip(parameters(functions[name]), theirs, strict=True):
        assert ours[:2] == expected[:2]
        assert ours[2] == expected[2] or ours[1] in loose


class Taken:
    """A namespace whose functions are not called, but taken."""

    def __init__(self, xp):
        self.xp = xp

    def __getattr__(self, name):
        found = getattr(self.xp, name)
        return (lambda: found) if callable(found) else Taken(found)


class Watched:
    """A namespace that notes which parameters its functions are given: (name, parameter)."""

    def __init__(self, xp, given, extension=""):
        self.xp = xp
        self.given = given
        self.extension = extension

    def __getattr__(self, name):
        full = f"{self.extension}.{name}" if self.extension else name
        found = getattr(self.xp, name)
        if full in EXTENSIONS:
            return Watched(found, self.given, full)
        if full not in functions:
            return found

        def call(*args, **kwargs):
            bound = inspect.signature(functions[full]).bind(*args, **kwargs)
            self.given.update((full, parameter) for parameter in bound.arguments)
            return found(*args, **kwargs)

        return call


ELSEWHERE = {  # functions that some libraries lack: where each is tested
    ("astype", "device"): "tests/functions/test_data_type.py",
    ("from_dlpack", "copy"): "tests/functions/test_creation.py",
    ("from_dlpack", "device"): "tests/functions/test_creation.py",
}


def note_what_cases_give(given_to, case):
    """Run a case several times, with drawn arguments, and note which parameters each function is
    given.
    """

    @settings(max_examples=25, deadline=None, derandomize=True, database=None)
    @given(drawn=case)
    def run(drawn):
        call, hosts = drawn
        xs = [Variable(host) for host in hosts]
        call(Watched(array_namespace(*xs), given_to), *xs)

    run()


def test_every_parameter_of_every_function_is_given_by_some_case():
    """Otherwise no test would fail if a parameter had no effect."""
    found = set()
    with using("numpy", dtype="float64") as backend:
        for cases in CASES.values():
            for case in cases:
                note_what_cases_give(found, case)
        for name, (hosts, options) in CONSTANT.items():
            bound = inspect.signature(functions[name]).bind(*hosts, **options)
            found.update((name, parameter) for parameter in bound.arguments)
        x = Variable(
            backend.asarray(X), requires_grad=False
        )  # from_dlpack refuses a Variable that requires a gradient
        for call in STRUCTURAL.values():
            call(Watched(array_namespace(x), found), x)
    wanted = {(n, p) for n, f in functions.items() for p in inspect.signature(f).parameters}
    assert wanted - found == ELSEWHERE.keys()
