"""Arrays made anew: from another array's shape, from a Variable's number, from DLPack."""

import numpy as np
import pytest

from xpnet import Variable, functions as F, gradients
from xpnet.testing import assert_close


@pytest.mark.parametrize("dtype", [None, "float64", "int32"])
def test_full_like_repeats_a_variable(dtype):
    """In the dtype of x, or the one that is asked for."""
    x = np.zeros((2, 3), "float32")
    asked = None if dtype is None else np.dtype(dtype)
    y = F.full_like(x, Variable(np.asarray(2.0)), dtype=asked)
    assert y.shape == (2, 3)
    assert y.dtype == np.dtype(dtype or "float32")
    assert_close(y, np.full((2, 3), 2.0))


def test_the_gradient_of_what_is_repeated_is_the_sum(backend, array):
    c = Variable(array(2.0))
    y = F.full_like(array([[1.0, 2.0, 3.0]]), c)
    (g,) = gradients(F.sum(y * y), [c])
    assert_close(g, 12.0)


def test_what_is_like_an_array_may_have_another_dtype(backend, array, xp):
    x = Variable(array([[1.0, 2.0]]))
    for name, expected in (("zeros_like", 0), ("ones_like", 1)):
        y = getattr(F, name)(x, dtype=xp.int32)
        assert isinstance(y, Variable)
        assert y.dtype == xp.int32
        assert_close(y, [[expected, expected]])


def test_from_dlpack_copies_when_it_is_told_to():
    x = np.asarray([1.0, 2.0])
    shared = F.from_dlpack(x)
    copied = F.from_dlpack(x, device="cpu", copy=True)
    x[0] = 5.0
    assert_close(shared, [5.0, 2.0])
    assert_close(copied, [1.0, 2.0])
