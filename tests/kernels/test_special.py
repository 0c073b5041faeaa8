"""The special functions that replace CuPy's own, over the whole range of their arguments."""

import numpy as np
import pytest

from xpnet import to_numpy
from xpnet.functions import special
from xpnet.testing import assert_close

scipy_special = pytest.importorskip("scipy.special", reason="SciPy is the oracle of these tests")

POINTS = [-1e6, -800.0, -720.0, -95.0, -30.1, -29.9, -2.0, -0.0, 1e-9, 1.0, 29.9, 30.1, 95.0, 1e30]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", ["i0e", "i1e"])
def test_scaled_bessel_functions(cupy_backend, name, dtype):
    """Also where exp(-|x|), the unscaled function, or both leave the range of the dtype."""
    points = [x for x in POINTS if abs(x) < float(np.finfo(dtype).max)]
    x = np.asarray([*points, np.inf, -np.inf, np.nan], dtype)
    y = getattr(special, name)(cupy_backend.asarray(x))
    assert y.dtype == dtype
    expected = getattr(scipy_special, name)(x.astype("float64")).astype(dtype)
    tolerance = {"float16": 1e-3, "float32": 1e-5, "float64": 1e-13}[dtype]
    assert_close(y, expected, rtol=tolerance, atol=1e-30)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_polygamma(cupy_backend, n):
    """The order is a number; CuPy's own function takes an array."""
    x = np.asarray([1e-3, 0.7, 4.0, 1e5, -1.4])
    y = special.polygamma(n, cupy_backend.asarray(x))
    assert y.dtype == "float64"
    assert_close(to_numpy(y), scipy_special.polygamma(n, x), rtol=1e-11)
