"""CuPy's own kernels compared with NumPy: functions, reductions, sorting."""

import numpy as np
import pytest

from tests.host_cuda.device import NOT_EMULATED, emulated

if not emulated():
    pytest.skip(NOT_EMULATED, allow_module_level=True)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "complex64"])
@pytest.mark.parametrize("shape", [(3, 700), (700, 3), (1,)])
def test_cupys_own_reductions_agree_with_numpy(cupy, dtype, shape):
    x = (np.random.default_rng(0).normal(size=shape) * 3).astype(dtype)
    for axis in (None, 0):
        total = cupy.sum(cupy.asarray(x), axis=axis).get()
        scale = {"float16": 1e-2, "float32": 1e-5, "complex64": 1e-5}.get(dtype, 1e-12)
        np.testing.assert_allclose(total, x.sum(axis=axis), rtol=scale, atol=100 * scale)


@pytest.mark.parametrize("dtype", ["?", "b", "h", "i", "l", "e", "f", "d", "F", "D"])
def test_sorting_follows_numpy(cupy, dtype):
    x = (np.random.default_rng(0).normal(size=(3, 50)) * 3).astype(dtype)
    if dtype in "efdFD":
        x[:, ::7] = np.nan
    if dtype in "FD":
        x[:, 5] = complex(1, np.nan)
        x[:, 6] = complex(np.nan, 1)
    y = cupy.asarray(x)
    np.testing.assert_array_equal(cupy.sort(y).get(), np.sort(x))
    np.testing.assert_array_equal(cupy.argsort(y).get(), np.argsort(x, kind="stable"))
    np.testing.assert_array_equal(cupy.lexsort(y).get(), np.lexsort(x))


REAL = [
    "abs",
    "arccos",
    "arcsin",
    "arctan",
    "cbrt",
    "ceil",
    "cos",
    "cosh",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "floor",
    "i0",
    "isfinite",
    "isnan",
    "log",
    "log10",
    "log1p",
    "log2",
    "negative",
    "reciprocal",
    "rint",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "tan",
    "tanh",
    "trunc",
]
COMPLEX = [
    "abs",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctanh",
    "conj",
    "cos",
    "cosh",
    "exp",
    "expm1",
    "isfinite",
    "isnan",
    "log",
    "log10",
    "log1p",
    "log2",
    "reciprocal",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "tan",
    "tanh",
]


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, dtype) for name in REAL for dtype in ("float16", "float32", "float64")]
    + [(name, dtype) for name in COMPLEX for dtype in ("complex64", "complex128")],
)
def test_functions_agree_with_numpy(cupy, name, dtype):
    x = np.array([0.58 + 0.36j, 0.9, 0.3 - 0.7j, 0.001 + 0.002j])
    x = x.astype(dtype) if dtype.startswith("complex") else x.real.astype(dtype)
    digits = {"float16": 2e-3, "float32": 2e-6, "complex64": 2e-6}.get(dtype, 1e-13)
    result = getattr(cupy, name)(cupy.asarray(x)).get()
    np.testing.assert_allclose(result, getattr(np, name)(x), rtol=digits, atol=digits)


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "power"])
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_arithmetic_of_complex_numbers_agrees_with_numpy(cupy, name, dtype):
    x = np.array([0.58 + 0.36j, -1.2 + 0.4j, 2 - 3j, 0.3, 1j], dtype=dtype)
    y = np.array([1.1 - 0.3j, 0.2 + 0.5j, -1 - 1j, 2j, 0.5], dtype=dtype)
    result = getattr(cupy, name)(cupy.asarray(x), cupy.asarray(y)).get()
    digits = 2e-6 if dtype == "complex64" else 1e-14
    np.testing.assert_allclose(result, getattr(np, name)(x, y), rtol=digits)


@pytest.mark.parametrize("name", ["maximum", "minimum", "fmax", "fmin"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "int64"])
def test_extrema_agree_with_numpy(cupy, name, dtype):
    x = np.array([0.1, -0.5, 7.9, 3]).astype(dtype)
    y = np.array([-0.1, 2.5, 0.9, 3]).astype(dtype)
    if dtype.startswith("float"):
        x[0] = y[1] = np.nan
    result = getattr(cupy, name)(cupy.asarray(x), cupy.asarray(y)).get()
    np.testing.assert_array_equal(result, getattr(np, name)(x, y))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("erfcx", [-30.0, -26.0, -1.0, 0.0, 1e-9, 3.0, 24.9, 25.1, 1e6, np.inf, -np.inf, np.nan]),
        ("erfcinv", [0.0, 1e-30, 0.1, 0.5, 1.0, 1.3, 1.9999, 2.0]),
        ("erfinv", [-1.0, -0.9999, -0.4, 0.0, 1e-9, 0.5, 0.6, 0.999999, 1.0]),
        ("ndtri", [0.0, 1e-30, 1e-9, 0.1, 0.5, 0.7, 0.999999, 1.0]),
    ],
)
def test_special_functions_agree_with_scipy(cupy, name, points, dtype):
    """Up to the precision of the dtype, also in the tails."""
    ours = pytest.importorskip("cupyx.scipy.special", reason="a part of CuPy")
    theirs = pytest.importorskip("scipy.special", reason="SciPy is the oracle of this test")
    x = np.asarray(points, dtype)
    result = getattr(ours, name)(cupy.asarray(x)).get()
    expected = getattr(theirs, name)(x.astype("float64"))
    with np.errstate(over="ignore"):
        expected = expected.astype(dtype)
    np.testing.assert_allclose(result, expected, rtol=1e-6 if dtype == "float32" else 2e-13)
