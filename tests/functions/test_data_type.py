"""Dtypes and devices: which questions are answered by an array, and which by the backend."""

import numpy as np
import pytest

import xpnet
from xpnet import Variable, functions as F, gradients
from xpnet.testing import assert_close


def test_inspection_of_an_array_uses_its_own_library():
    """For an array or a Variable, while another library is the current backend."""
    strict = pytest.importorskip("array_api_strict", reason="another library than NumPy")
    x = np.asarray([1.0], "float32")
    with xpnet.using("array_api_strict"):
        for asked in (x, Variable(x)):
            assert F.result_type(asked, np.float64) == np.float64
            assert F.can_cast(asked, np.float64)
            assert F.finfo(asked).dtype == np.float32
            assert F.isdtype(strict.float32, "real floating")
        assert F.iinfo(np.asarray([1], "int8")).max == 127
        assert (
            F.result_type(strict.int8, strict.int16) == strict.int16
        )  # only dtypes: their own library


def test_a_dtype_of_numpy_is_not_an_array():
    """NumPy's dtypes are classes, whose attributes look like an array's."""
    assert F.finfo(np.float32).bits == 32
    assert F.iinfo(np.int16).max == 32767
    assert F.can_cast(np.float32, np.float64)
    assert F.result_type(np.float32, np.float64) == np.float64


def test_astype_moves_to_a_device():
    """The numbers, the dtype and the way back of the gradient; also for integers."""
    strict = pytest.importorskip("array_api_strict", reason="it has several devices")
    here = strict.Device("device1")
    there = strict.Device("device2")
    x = Variable(strict.asarray([1.5, -2.0], dtype=strict.float32, device=here))
    y = F.astype(x, strict.float64, device=there)
    assert (y.device, y.dtype) == (there, strict.float64)
    (g,) = gradients(F.sum(y * y), [x])
    assert (g.device, g.dtype) == (here, strict.float32)
    assert_close(g, [3.0, -4.0])
    n = F.astype(x, strict.int32, device=there)
    assert (n.device, n.dtype) == (there, strict.int32)
    assert_close(n, [1, -2])
    assert F.astype(x, strict.float32, copy=False, device=here) is x


def test_astype_copies_by_default(backend, array):
    x = Variable(array([1.0, 2.0]))
    assert F.astype(x, x.dtype, copy=False) is x
    assert F.astype(x, x.dtype) is not x
