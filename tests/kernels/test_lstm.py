"""An LSTM's steps on CuPy agree with the portable code.

Its derivatives, to the second order, are tested in tests/functions.
"""

import numpy as np
import pytest

from xpnet import Variable, gradients, to_numpy
from xpnet.backend import resolve
from xpnet.functions._recurrence import LSTM
from xpnet.kernels.lookup import kernel
from xpnet.testing import assert_close

TOLERANCES = {
    "float16": {"rtol": 5e-3, "atol": 5e-3},
    "float32": {"rtol": 1e-5, "atol": 1e-6},
    "float64": {"rtol": 1e-12, "atol": 1e-13},
}


def computed(backend, dtype, steps, masked, outputs, wrap=lambda x: x):
    """The outputs, and the gradients with respect to all inputs of some of the outputs."""
    rng, (rows, units) = np.random.default_rng(0), (3, 5)
    shapes = (steps, rows, 4 * units), (rows, units), (rows, units), (4 * units, units)
    arrays = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    mask = (rng.random((steps, rows, 1)) < 0.7) if masked else None
    xs = [Variable(wrap(backend.asarray(x))) for x in arrays]
    ys = LSTM()(*xs, None if mask is None else backend.asarray(mask))
    weights = [rng.normal(size=y.shape).astype(dtype) for y in ys]
    total = sum((ys[i] * backend.asarray(weights[i]) for i in outputs), start=0.0)
    gys = gradients(total, xs, backend.xp.ones_like(total.data))
    return [to_numpy(a) for a in (*ys, *gys)]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("outputs", [(0,), (1,), (0, 1), (2,)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_it_agrees_with_the_portable_code(cupy_backend, dtype, outputs, steps, masked):
    """The gradients come from each of the outputs; the gates have another shape than the others."""
    expected = computed(resolve("numpy"), "float64", steps, masked, outputs)
    actual = computed(cupy_backend, dtype, steps, masked, outputs)
    for a, e in zip(actual, expected, strict=True):
        assert (a.shape, a.dtype) == (e.shape, dtype)
        assert_close(a, e, **TOLERANCES[dtype])


def test_views(cupy_backend):
    expected = computed(cupy_backend, "float64", 3, True, (0, 1))
    actual = computed(cupy_backend, "float64", 3, True, (0, 1), wrap=lambda x: x.T.copy().T)
    for a, e in zip(actual, expected, strict=True):
        assert_close(a, e, **TOLERANCES["float64"])


def test_arrays_that_it_does_not_take(cupy_backend):
    """These are left to the portable code."""
    import cupy

    z, h, W = cupy.ones((2, 3, 8)), cupy.ones((3, 2)), cupy.ones((8, 2))
    assert kernel("lstm", z, h, h, W, None) is not None
    for given in (
        (z, h.astype("float32"), h, W, None),
        (z[:, :0], h[:0], h[:0], W, None),
        (z, h, h, W, np.ones((2, 3, 1), bool)),
        (Variable(z), h, h, W, None),
    ):
        assert kernel("lstm", *given) is None
