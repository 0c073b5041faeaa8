"""New arrays: with another array's shape, with a Variable's number, and from DLPack."""

import numpy as np
import pytest

from xpnet import ArgumentError, Variable, functions as F, gradients
from xpnet.testing import assert_close


@pytest.mark.parametrize("dtype", [None, "float64", "int32"])
def test_full_like_broadcasts_a_variable(dtype):
    """In the dtype of x, or in the given one."""
    x = np.zeros((2, 3), "float32")
    asked = None if dtype is None else np.dtype(dtype)
    y = F.full_like(x, Variable(np.asarray(2.0)), dtype=asked)
    assert y.shape == (2, 3)
    assert y.dtype == np.dtype(dtype or "float32")
    assert_close(y, np.full((2, 3), 2.0))


def test_the_gradient_of_a_fill_value_is_the_sum(backend, array):
    c = Variable(array(2.0))
    y = F.full_like(array([[1.0, 2.0, 3.0]]), c)
    (g,) = gradients(F.sum(y * y), [c])
    assert_close(g, 12.0)


def test_full_like_is_on_the_device_of_x():
    """Also if its number is a Variable on another device, which its gradient is moved back to."""
    strict = pytest.importorskip("array_api_strict", reason="it has several devices")
    here = strict.Device("device1")
    there = strict.Device("device2")
    x = strict.asarray([1.0, 2.0], device=here)
    c = Variable(strict.asarray(3.0, device=there))
    y = F.full_like(x, c)
    assert y.device == here
    (g,) = gradients(F.sum(y * y), [c])
    assert g.device == there
    assert_close(g, 12.0)


def test_like_functions_accept_another_dtype(backend, array, xp):
    x = Variable(array([[1.0, 2.0]]))
    for name, expected in (("zeros_like", 0), ("ones_like", 1)):
        y = getattr(F, name)(x, dtype=xp.int32)
        assert isinstance(y, Variable)
        assert y.dtype == xp.int32
        assert_close(y, [[expected, expected]])


def test_from_dlpack_copies_on_request():
    x = np.asarray([1.0, 2.0])
    shared = F.from_dlpack(x)
    copied = F.from_dlpack(x, device="cpu", copy=True)
    x[0] = 5.0
    assert_close(shared, [5.0, 2.0])
    assert_close(copied, [1.0, 2.0])


def test_asarray_returns_the_variable_itself_unless_a_copy_is_requested(backend, array):
    x = Variable(array([1.0, 2.0]))
    assert F.asarray(x) is x
    assert F.asarray(x, copy=False) is x
    assert F.asarray(x, dtype=x.dtype, device=x.device) is x
    y = F.asarray(x, copy=True)
    assert y is not x
    (g,) = gradients(F.sum(y * y), [x])
    assert_close(g, [2.0, 4.0])
    integers = F.asarray(x, dtype=backend.xp.int32)
    assert integers.dtype == backend.xp.int32
    assert_close(integers, [1, 2])
    with pytest.raises(
        ArgumentError, match=r"asarray expected \S*int32 on .* for copy=False, got \S*float32"
    ):
        F.asarray(x, dtype=backend.xp.int32, copy=False)


def test_asarray_of_several_variables_is_a_differentiable_copy(backend, array):
    x = Variable(array(2.0))
    y = Variable(array(3.0))
    for copy in (None, True):
        z = F.asarray([[x, y], [y, y]], copy=copy)
        assert_close(z, [[2.0, 3.0], [3.0, 3.0]])
        gx, gy = gradients(F.sum(z * z), [x, y])
        assert_close(gx, 4.0)
        assert_close(gy, 18.0)
    with pytest.raises(
        ArgumentError, match="asarray expected one array for copy=False, got several Variables"
    ):
        F.asarray([[x, y], [y, y]], copy=False)
