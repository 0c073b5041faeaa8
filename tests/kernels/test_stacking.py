"""Many arrays stacked in one launch on CuPy."""

import numpy as np
import pytest

from xpnet import Variable, to_numpy
from xpnet.kernels.lookup import kernel
from xpnet.kernels.stacking import MOST


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("count", [1, 9, MOST, 2 * MOST + 3])
def test_stack(cupy_backend, dtype, count):
    xs = np.arange(count * 6).reshape(count, 2, 3).astype(dtype)
    steps = [cupy_backend.asarray(x) for x in xs]
    y = kernel("stack", *steps)(steps)
    assert y.dtype == dtype
    assert to_numpy(y).tolist() == xs.tolist()


def test_views_and_nothing(cupy_backend):
    x = cupy_backend.asarray(np.arange(24.0).reshape(4, 2, 3))
    steps = [step.T for step in x]
    assert to_numpy(kernel("stack", *steps)(steps)).tolist() == to_numpy(x.mT).tolist()
    empty = [x[0, :, :0]] * 3
    assert kernel("stack", *empty)(empty).shape == (3, 2, 0)


def test_arrays_that_it_does_not_take(cupy_backend):
    """These are left to the standard's stack."""
    import cupy

    x = cupy.ones((2, 3))
    for others in (x.astype("float32"),), (x[:1],), (Variable(x),):
        assert kernel("stack", x, *others) is None
    assert kernel("stack", x.astype("int32")) is None
