"""The faster elementary operations for NumPy return the same as the portable code."""

import numpy as np
import pytest

from xpnet import Variable, functions as F
from xpnet.functions import cross_entropy
from xpnet.kernels.lookup import kernel


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def loss_and_gradient(x, t):
    x = Variable(x)
    loss = F.softmax_cross_entropy(x, t)
    loss.backward()
    return loss.data, np.asarray(x.raw_grad)


@pytest.mark.parametrize("shape", [(7, 5), (2, 3, 4), (1, 1), (0, 5)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("integers", ["int8", "uint8", "int32", "uint64", ">i4"])
def test_cross_entropy_of_class_numbers(monkeypatch, rng, shape, dtype, integers):
    x = rng.normal(size=shape).astype(dtype)
    t = rng.integers(0, shape[-1], shape[:-1]).astype(integers)
    with np.errstate(invalid="ignore"):  # the mean of no rows is NaN
        found = loss_and_gradient(x, t)
        monkeypatch.setattr(cross_entropy, "kernel", lambda *_: None)
        expected = loss_and_gradient(x, t)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("wrong", [-1, 5, 2**31 - 1, -(2**31)])
def test_cross_entropy_of_a_row_of_no_class(monkeypatch, rng, wrong):
    """The loss is infinite, and the gradient of that row is its softmax."""
    x = rng.normal(size=(3, 5))
    t = np.array([4, wrong, 0], "int32")
    found = loss_and_gradient(x, t)
    monkeypatch.setattr(cross_entropy, "kernel", lambda *_: None)
    expected = loss_and_gradient(x, t)
    assert found[0] == expected[0] == np.inf
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-12)


def test_cross_entropy_of_scores_that_are_infinite_or_nan(monkeypatch):
    scores = [[0.0, -np.inf, 1.0], [np.inf, 0.0, 1.0], [np.nan, 0.0, 1.0], [1e4, 0.0, -1e4]]
    t = np.array([1])
    with np.errstate(all="ignore"):
        found = [loss_and_gradient(np.array([row]), t) for row in scores]
        monkeypatch.setattr(cross_entropy, "kernel", lambda *_: None)
        expected = [loss_and_gradient(np.array([row]), t) for row in scores]
    for one, other in zip(found, expected, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)


def test_what_the_kernel_of_cross_entropy_leaves_to_the_portable_code(rng):
    x = rng.normal(size=(3, 5))
    t = np.array([0, 1, 2])
    assert kernel("cross_entropy", x, t) is not None
    assert kernel("cross_entropy", x.astype("float16"), t) is None
    assert kernel("cross_entropy", x.astype(">f8"), t) is None
    assert kernel("cross_entropy", x, t.astype(">i8")) is None
    assert kernel("cross_entropy", x, np.eye(5)[t]) is None
    assert kernel("cross_entropy", x[0], t[0]) is None
    assert kernel("cross_entropy", x[:0], t[:0]) is None
