"""A View follows its base, whichever of its attributes is read first.

Tests of assignment through views, and of its derivatives, are in tests/functions/test_assignment.py.
"""

import pytest

from xpnet import (
    ArgumentError,
    GradientError,
    Parameter,
    Variable,
    functions as F,
    no_grad,
    to_numpy,
)
from xpnet.autodiff._views import View, is_repeated, is_view_of, root_of, view
from xpnet.testing import assert_close

READS = {
    "data": lambda v: to_numpy(v.data).tolist() == [7.0, 2.0],
    "node": lambda v: v.node is not None,
    "requires_grad": lambda v: v.requires_grad is True,
    "repr": lambda v: "7." in repr(v),
    "an operator": lambda v: to_numpy((v + 0.0).data).tolist() == [7.0, 2.0],
}


def view_of_written_base(array):
    """x, a view of it and a view of that; a computed number was then written into x."""
    x = Variable(array([1.0, 2.0, 3.0]), requires_grad=False)
    v = x[:2]
    w = v[...]
    assert not w.requires_grad
    assert w.node is None
    x[0] = 7.0 * Variable(array(1.0))
    return x, v, w


@pytest.mark.parametrize("name", READS)
def test_a_view_is_updated_whichever_attribute_is_read_first(backend, array, name):
    _, v, w = view_of_written_base(array)
    assert READS[name](w)
    assert READS[name](v)


DETACHING_WRITES = {
    "data": lambda v, array: setattr(v, "data", array([5.0, 6.0])),
    "node": lambda v, array: setattr(v, "node", None),
    "requires_grad": lambda v, array: setattr(v, "requires_grad", False),
}


@pytest.mark.parametrize("name", DETACHING_WRITES)
def test_setting_an_attribute_of_a_view_detaches_it(backend, array, name):
    x, v, _ = view_of_written_base(array)
    DETACHING_WRITES[name](v, array)
    assert not v.is_attached()
    assert root_of(v) is v
    x[1] = 9.0
    assert_close(v, [5.0, 6.0] if name == "data" else [7.0, 2.0])
    assert (v.node is None) == (name == "node")
    assert v.requires_grad == (name != "requires_grad")
    v.grad = array([1.0, 1.0])
    v.zero_grad()
    assert v.grad is None


def test_a_view_of_a_detached_view_has_it_as_its_root(backend, array):
    x = Variable(array([1.0, 2.0]), requires_grad=False)
    v = x[...]
    v.data = array([5.0, 6.0])
    w = v[:1]
    assert root_of(w) is v
    w[0] = 8.0
    assert_close(v, [8.0, 6.0])
    assert_close(x, [1.0, 2.0])


def test_only_variables_have_views(backend, array):
    x = array([1.0, 2.0])
    y = Variable(array([1.0, 2.0]))
    assert view(x, y, None, None, None) is x
    assert view(y, x, None, None, None) is y


def test_is_view_of_compares_base_getter_and_key(backend, array):
    x = Variable(array([1.0, 2.0]), requires_grad=False)
    v = x[:1]
    assert isinstance(v, View)
    assert is_view_of(v, x, v.get, v.how)
    assert not is_view_of(v, x, v.get, "another")
    assert not is_view_of(v, x, len, v.how)
    assert not is_view_of(v, Variable(x.data), v.get, v.how)
    assert not is_view_of(x, x, v.get, v.how)
    base = v.base
    get = v.get
    how = v.how
    v.data = array([3.0])
    assert not is_view_of(v, base, get, how)


def test_assigning_to_a_broadcast_view_raises(backend, array):
    x = Variable(array([[1.0, 2.0]]), requires_grad=False)
    y = F.broadcast_to(x, (3, 2))
    assert is_repeated(y)
    assert is_repeated(y[:1, :])
    assert not is_repeated(x)
    assert not is_repeated(x[0, ...])
    with pytest.raises(ArgumentError, match=r"shape \(3, 2\) was broadcast"):
        y[0, 0] = 5.0
    y.data = array([[1.0, 2.0]] * 3)
    assert not is_repeated(y)
    y[0, 0] = 5.0
    assert_close(y, [[5.0, 2.0], [1.0, 2.0], [1.0, 2.0]])
    assert_close(x, [[1.0, 2.0]])


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda p: p.__setitem__(0, 1.0), "this Parameter is a leaf"),
        (lambda p: p[:1].__setitem__(0, 1.0), "it is a view of a Parameter that is a leaf"),
    ],
)
def test_assigning_to_a_leaf_raises_with_the_name_of_its_class(backend, array, write, words):
    p = Parameter(array([1.0, 2.0]))
    with pytest.raises(GradientError, match=words):
        write(p)
    with no_grad():
        write(p)
    assert p.requires_grad
    assert p.node is None


def test_an_updated_view_is_recorded_only_if_it_was_before(backend, array):
    """A view that was created under no_grad has no history, even if it is read outside."""
    x = 1.0 * Variable(array([1.0, 2.0]))
    with no_grad():
        constant = x[:1]
    recorded = x[:1]
    x[0] = 5.0
    assert not constant.requires_grad
    assert_close(constant, [5.0])
    with no_grad():
        x[1] = 6.0
        assert recorded.requires_grad
    assert recorded.node is not None
