"""A mask applied in one launch on CuPy gives the same result as the portable code."""

import numpy as np
import pytest

from xpnet import Variable, functions as F, gradients, to_numpy
from xpnet.kernels.lookup import kernel


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(4, 3, 2), (4, 3, 1), (1, 1, 1), (3, 1), (4, 3, 2)[1:]])
def test_masks(cupy_backend, dtype, shape):
    """Masks of x's shape, or of one that broadcasts to it; masked numbers are 0, also NaN and inf."""
    rng = np.random.default_rng(0)
    x, mask = rng.normal(size=(4, 3, 2)).astype(dtype), (rng.random(shape) < 0.5).astype(dtype)
    x[:2, :2, 0] = [[np.inf, np.nan], [-np.inf, np.inf]]
    factors = np.broadcast_to(mask * (1.0 / 0.7), x.shape).astype(dtype)
    expected = np.zeros_like(x)
    np.multiply(x, factors, out=expected, where=factors != 0.0)
    assert kernel("masked", cupy_backend.asarray(x), cupy_backend.asarray(mask)) is not None
    v = Variable(cupy_backend.asarray(x))
    y = F.dropout(v, 0.3, mask=cupy_backend.asarray(mask))
    assert y.dtype == dtype
    assert np.array_equal(to_numpy(y), expected, equal_nan=True)
    (gx,) = gradients(y, [v], cupy_backend.xp.ones_like(y.data))
    assert np.array_equal(to_numpy(gx), factors)


def test_everything_left_out(cupy_backend):
    x = cupy_backend.asarray(np.ones((2, 3), "float32"))
    assert to_numpy(F.dropout(x, 1.0, rng=0)).tolist() == [[0.0] * 3] * 2
