"""Variables among other arrays: DLPack, NumPy, array-api-compat, item assignment, raw arrays."""

import array_api_compat as compat
import numpy as np
import pytest

from xpnet import (
    GradientError,
    Variable,
    array_namespace,
    functions as F,
    gradients,
    to_numpy,
    using,
)
from xpnet.testing import assert_close, check_gradients


def test_array_api_compat_finds_the_namespace(backend, array):
    v = Variable(array([1.0, 2.0]))
    assert compat.array_namespace(v) is v.__array_namespace__()
    assert compat.is_array_api_obj(v)
    assert compat.device(v) == compat.device(v.data)
    assert compat.size(v) == 2
    assert not compat.is_numpy_array(v)


def test_creation_functions_use_the_library_of_the_variable(backend, array):
    """The dtype is the library's default. The functions of F use the current backend instead."""
    v = Variable(array([1.0, 2.0]))
    with using("numpy", dtype="float64"):
        zeros, plain = v.__array_namespace__().zeros(3), F.zeros(3)
    assert type(zeros.data) is type(v.data)
    assert zeros.device == v.device
    assert zeros.dtype == array_namespace(v.data).zeros(3, device=v.device).dtype
    assert isinstance(plain.data, np.ndarray)
    assert plain.dtype == np.float64


def test_dlpack_out_is_the_data_of_a_constant():
    """NumPy imports the data of a constant Variable by DLPack, without a copy."""
    with using("numpy") as backend:
        v = Variable(backend.asarray([1.0, 2.0]), requires_grad=False)
        out = np.from_dlpack(v)
        assert type(out) is np.ndarray
        assert np.shares_memory(out, v.data)
        assert v.__dlpack_device__() == v.data.__dlpack_device__()


def test_a_variable_imported_by_dlpack_has_no_graph():
    """The source is an array of another library, or a constant Variable."""
    torch = pytest.importorskip("torch", reason="another library that speaks DLPack")
    with using("numpy"):
        v = F.from_dlpack(torch.asarray([1.0, 2.0]))
        assert isinstance(v, Variable)
        assert isinstance(v.data, np.ndarray)
        assert not v.requires_grad
        w = F.from_dlpack(Variable(np.asarray([1.0]), requires_grad=False))
        assert not w.requires_grad


@pytest.mark.parametrize("f", [F.add, F.subtract, F.multiply, F.divide, F.pow, F.maximum, F.hypot])
def test_raw_arrays_of_the_same_library_may_be_on_both_sides(backend64, array, order, f):
    a, b = array([1.5, 2.0]), array([0.5, 3.0])
    for call in (lambda x: f(x, b), lambda x: f(b, x)):
        y = call(Variable(a))
        assert isinstance(y, Variable)
        assert y.requires_grad
        assert_close(y, call(a))
        check_gradients(call, a, order=order)


# --- item assignment ------------------------------------------------------------------------------


def test_item_assignment_to_a_constant_changes_its_data(backend):
    """Values may be numbers, arrays and constants; keys integers, slices, masks and Variables."""
    x = F.zeros((2, 3))
    x[0, 1] = 5.0
    x[1, :] = F.asarray([1.0, 2.0, 3.0])
    x[x > 2.5] = 7.0
    assert to_numpy(x).tolist() == [[0.0, 7.0, 0.0], [1.0, 2.0, 7.0]]
    assert not x.requires_grad


def test_item_assignment_to_a_leaf_is_an_error_that_names_where(backend, array):
    v = Variable(array([1.0, 2.0]))
    with pytest.raises(GradientError, match=r"a leaf that requires one.*F\.where"):
        v[0] = 3.0
    assert to_numpy(v).tolist() == [1.0, 2.0]


def test_item_assignment_to_a_computed_variable_is_recorded(backend64, array):
    v = Variable(array([1.0, 2.0]))
    x = v * 2.0
    x[0] = F.sum(v)
    (g,) = gradients(F.sum(x * x), [v])
    assert_close(x, [3.0, 4.0])
    assert_close(g, [6.0, 22.0])


def test_where_is_an_alternative_to_item_assignment(backend64, array, order):
    def assigned(x):
        xp = array_namespace(x)
        return xp.where(xp.asarray([True, False]), xp.sum(x) ** 2, x)

    check_gradients(assigned, array([1.0, 2.0]), order=order)


# --- lists of Variables ---------------------------------------------------------------------------


def test_asarray_of_variables_is_a_stack_of_them(backend64, array):
    def matrix(x):
        xp = array_namespace(x)
        return xp.asarray([[x[0], x[1] ** 2], [xp.sum(x), 3.0]])

    x = array([2.0, 5.0])
    assert_close(matrix(Variable(x)), [[2.0, 25.0], [7.0, 3.0]])
    v = Variable(x)
    (g,) = gradients(F.sum(matrix(v)), [v])
    assert_close(g, [2.0, 11.0])


def test_asarray_keeps_the_graph_and_copies_on_request(backend64, array):
    v = Variable(array([1.0, 2.0]))
    xp = array_namespace(v)
    assert xp.asarray(v) is v
    for w in (xp.asarray(v, copy=True), xp.asarray(v, dtype=xp.float32), xp.full((2,), v[0])):
        assert w is not v
        assert w.requires_grad
    with pytest.raises(
        ValueError, match="asarray expected .*float32 on .* for copy=False, got .*float64"
    ):
        xp.asarray(v, dtype=xp.float32, copy=False)
    (g,) = gradients(F.sum(xp.full_like(v, xp.sum(v))), [v])
    assert_close(g, [2.0, 2.0])


def test_finfo_and_result_type_take_variables(backend, array):
    v = Variable(array([1.0]))
    xp = array_namespace(v)
    assert xp.finfo(v).bits == 32
    assert isinstance(xp.finfo(v.dtype).eps, float)
    assert xp.result_type(v, 2.0) == v.dtype
    assert xp.iinfo(xp.asarray([1], dtype=xp.int16)).max == 2**15 - 1
