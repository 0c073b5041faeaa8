"""The gradient with respect to a bias on CuPy is the sum over the batch, always in the same order."""

import numpy as np
import pytest

from xpnet import Variable, functions as F, gradients, to_numpy
from xpnet.kernels.column_sums import column_sums
from xpnet.testing import assert_close

# Fewer and more columns than a block has; fewer, more and odd numbers of rows; whole batches.
SHAPES = [(1, 1), (3, 10), (200, 10), (1500, 3), (5, 31), (33, 32), (70, 33), (9, 100), (2, 3, 4)]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums(cupy_backend, shape, dtype):
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    y = column_sums(cupy_backend.asarray(x))
    expected = np.sum(x.astype("float64").reshape(-1, shape[-1]), axis=0)
    limit = {"float16": 1e-3, "float32": 1e-5, "float64": 1e-13}[dtype]
    assert y.dtype == dtype
    assert_close(y, expected, rtol=limit, atol=100 * limit * 2.0**-10)


def test_sums_of_float16_are_taken_in_float32(cupy_backend):
    """In float16, 2048 + 1 is 2048, and 70000 is infinite."""
    x = np.ones((5000, 2), "float16")
    x[:, 1] = np.where(np.arange(5000) % 2, 60000.0, -60000.0)
    x[0, 1] = 1.0
    assert to_numpy(column_sums(cupy_backend.asarray(x))).tolist() == [5000.0, 60000.0]


def test_no_rows_no_columns_and_gaps(cupy_backend):
    zeros = cupy_backend.asarray(np.zeros((0, 3), "float32"))
    assert to_numpy(column_sums(zeros)).tolist() == [0.0, 0.0, 0.0]
    assert column_sums(zeros.T).shape == (0,)
    x = np.arange(24.0).reshape(4, 6)
    for cut in (np.transpose, lambda a: a[:, ::2], lambda a: a[::-1]):
        assert_close(column_sums(cut(cupy_backend.asarray(x))), np.sum(cut(x), axis=0))


@pytest.mark.parametrize("shape", [(3,), (1, 3), (1,), ()], ids=str)
def test_linear_with_biases_of_other_shapes(cupy_backend, shape):
    """For a bias that broadcasts, the tape computes the gradient, as on other libraries."""
    rng = np.random.default_rng(0)
    x, W, b = (rng.standard_normal(s) for s in ((5, 4), (4, 3), shape))
    found = []
    for make in (np.asarray, cupy_backend.asarray):
        variables = [Variable(make(a)) for a in (x, W, b)]
        y = F.linear(*variables)
        found.append([y.data, *gradients(F.sum(y * y), variables)])
    for actual, expected in zip(found[1], found[0], strict=True):
        assert_close(actual, expected, rtol=1e-12)
