"""`where`, and the functions that find places."""

import numpy as np
import pytest

from xpnet import ShapeError, Variable, functions as F, to_numpy
from xpnet.testing import assert_close, check_gradients


def test_where(backend64, array, order):
    """Each argument has the gradient where it was chosen; with scalars and broadcasting."""
    c = array([[True, False, True]])
    a = array([1.0, 2.0, 3.0])
    b = array([[-1.0], [-2.0]])
    assert_close(F.where(c, Variable(a), b), [[1.0, -1.0, 3.0], [1.0, -2.0, 3.0]])
    check_gradients(lambda a, b: F.where(c, a, b) ** 3, a, b, order=order)
    check_gradients(lambda a: F.where(c, a, 0.0) ** 3, a, order=order)
    check_gradients(lambda a: F.where(c, 1.0, a) ** 3, a, order=order)


def test_errors_of_functions_that_do_not_broadcast_do_not_mention_broadcasting():
    """The error is NumPy's own, with the shapes that were given."""
    x = Variable(np.ones((2, 3)))
    with pytest.raises(ValueError, match="too deep") as caught:
        F.searchsorted(x, Variable(np.ones(2)))
    assert not isinstance(caught.value, ShapeError)
    assert "searchsorted was given an array of float64, shape (2, 3)" in caught.value.__notes__[0]


def test_where_by_a_variable(backend, array):
    """A condition that is computed from Variables has no gradient."""
    x = Variable(array([-1.0, 2.0]))
    F.sum(F.where(x > 0.0, x * x, -x)).backward()
    assert_close(x.grad, [-1.0, 4.0])


@pytest.mark.parametrize(
    ("name", "expected"), [("argmax", [2, 1]), ("argmin", [1, 2]), ("any", [1, 1]), ("all", [1, 0])]
)
def test_functions_that_find_places(backend, array, name, expected):
    """Indices and truth values along an axis, of arrays and Variables, with keepdims."""
    x = array([[1.0, -2.0, 3.0], [0.5, 4.0, 0.0]])
    f = getattr(F, name)
    y = f(Variable(x), axis=1)
    assert to_numpy(y).tolist() == expected
    assert to_numpy(f(x, axis=1, keepdims=True)).tolist() == [[n] for n in expected]
    assert not y.requires_grad


def test_like_functions(backend, array):
    """Zeros, ones and a number, of the shape, dtype and device of x, without history."""
    x = Variable(array([[1.0, 2.0]]))
    for y, number in ((F.zeros_like(x), 0.0), (F.ones_like(x), 1.0), (F.full_like(x, 7.0), 7.0)):
        assert to_numpy(y).tolist() == [[number, number]]
        assert (y.dtype, y.device) == (x.dtype, x.device)
        assert not y.requires_grad
