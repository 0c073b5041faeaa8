"""Variables have the operators and attributes of the standard's array object."""

import operator

import array_api_compat
import numpy as np
import pytest

from xpnet import Variable, array_namespace, functions as F, to_numpy
from xpnet.testing import assert_close, check_gradients

ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]


@pytest.mark.parametrize("op", ARITHMETIC)
def test_arithmetic_with_variables_and_scalars(backend64, array, order, op):
    """Values are compared with Python's numbers, in both orders; gradients with differences."""
    a = array([1.5, 2.0])
    b = array([0.5, 3.0])
    expected = [op(x, y) for x, y in zip([1.5, 2.0], [0.5, 3.0], strict=True)]
    assert_close(op(Variable(a), Variable(b)), expected, rtol=1e-14)
    assert_close(op(Variable(a), 3.0), [op(1.5, 3.0), op(2.0, 3.0)], rtol=1e-14)
    assert_close(op(3.0, Variable(a)), [op(3.0, 1.5), op(3.0, 2.0)], rtol=1e-14)
    check_gradients(op, a, b, order=order)
    check_gradients(lambda x: op(x, 3), a, order=order)
    check_gradients(lambda x: op(2.0, x), a, order=order)


@pytest.mark.parametrize("op", ARITHMETIC)
def test_arithmetic_with_arrays_of_the_same_library(backend64, array, op):
    """An array may be on the right; and on the left, if its library asks the other operand."""
    a = Variable(array([1.5, 2.0]))
    b = array([0.5, 3.0])
    assert isinstance(op(a, b), Variable)
    if backend64.name.startswith("array_api_strict"):
        pytest.skip("array-api-strict raises TypeError itself, and does not ask the other operand")
    y = op(b, a)
    assert isinstance(y, Variable)
    assert_close(y, [op(0.5, 1.5), op(3.0, 2.0)], rtol=1e-14)


@pytest.mark.parametrize("op", COMPARISONS)
def test_comparisons_are_constants(backend, array, op):
    """The booleans are those of Python's numbers, and have no history."""
    a = Variable(array([1.0, 2.0, 3.0]))
    b = Variable(array([2.0, 2.0, 2.0]))
    y = op(a, b)
    assert to_numpy(y).tolist() == [op(x, 2.0) for x in (1.0, 2.0, 3.0)]
    assert not y.requires_grad
    assert to_numpy(op(2.0, a)).tolist() == [op(2.0, x) for x in (1.0, 2.0, 3.0)]


def test_unary_operators_and_their_derivatives(backend64, array, order):
    """-x, +x and abs(x)."""
    x = array([-1.5, 2.0])
    assert_close(-Variable(x), [1.5, -2.0])
    assert_close(abs(Variable(x)), [1.5, 2.0])
    assert_close(+Variable(x), [-1.5, 2.0])
    check_gradients(lambda x: -x * abs(x) + +x, x, order=order)


def test_matmul_and_transposes_follow_the_standard(backend64, array):
    """@, .T and .mT."""
    a = array([[1.0, 2.0], [3.0, 4.0]])
    v = Variable(a)
    assert_close(v @ v, [[7.0, 10.0], [15.0, 22.0]])
    assert_close(v.T, [[1.0, 3.0], [2.0, 4.0]])
    assert_close(v.mT @ a, [[10.0, 14.0], [14.0, 20.0]])


def test_a_variable_with_one_element_converts_to_a_python_number(backend, array):
    """By float, int, bool, complex and as an index."""
    x = Variable(array(3.0))
    assert (float(x), int(x), bool(x), complex(x)) == (3.0, 3, True, 3 + 0j)
    assert [10, 20, 30][Variable(array(1))] == 20


def test_an_integer_variable_is_an_index(backend, array):
    """In range, in slices of strings and Variables, and as a length."""
    two = Variable(array(2))
    x = Variable(array([1.0, 2.0, 3.0]))
    assert list(range(two)) == [0, 1]
    assert "abcd"[:two] == "ab"
    assert operator.index(two) == 2
    assert to_numpy(x[two:]).tolist() == [3.0]
    assert bytes(two) == b"\0\0"


@pytest.mark.parametrize("values", [2.0, [2], True], ids=["a float", "a vector", "a boolean"])
def test_an_index_must_be_a_single_integer(backend, array, values):
    with pytest.raises(TypeError, match="integer"):
        operator.index(Variable(array(values)))


def test_variables_are_hashed_by_identity(backend, array):
    """Variables can be keys of a dict, although == is elementwise."""
    a = Variable(array(1.0))
    b = Variable(array(1.0))
    assert len({a, b}) == 2


def test_asarray_of_a_variable_raises(backend, array):
    """The error of np.asarray names to_numpy."""
    with pytest.raises(TypeError, match="to_numpy"):
        np.asarray(Variable(array([1.0])))


def test_array_api_compat_finds_the_namespace_of_variables(backend, array):
    """array-api-compat knows nothing of xpnet; it asks the Variable."""
    x = Variable(array([1.0]))
    xp = array_api_compat.array_namespace(x)
    assert xp is array_namespace(x)
    assert xp.tanh is F.tanh
    assert x.device == array_api_compat.device(x.data)


def test_iteration_stops_after_the_last_row(backend, array):
    """Not every library raises IndexError for an index that is out of range."""
    x = Variable(array([[1.0, 2.0], [3.0, 4.0]]))
    rows = list(x)
    assert len(rows) == 2
    assert_close(rows[1], [3.0, 4.0])
    assert float(sum(Variable(array([1.0, 2.0])))) == 3.0
    assert 2.0 in Variable(array([1.0, 2.0]))
    assert 3.0 not in Variable(array([1.0, 2.0]))
    with pytest.raises(TypeError, match="without dimensions"):
        iter(Variable(array(1.0)))


@pytest.mark.parametrize("numbers", [[1.0, 2.0], (1.0, 2.0)], ids=["list", "tuple"])
@pytest.mark.parametrize(
    "op",
    [
        operator.add,
        operator.sub,
        operator.mul,
        operator.pow,
        operator.matmul,
        operator.lt,
        operator.eq,
    ],
)
def test_an_operator_with_a_list_is_an_error_that_says_what_to_write(backend, array, op, numbers):
    """Python's own would be about repeating and joining lists, and `x == [1.0, 2.0]` would be False."""
    x = Variable(array([1.0, 2.0]))
    for left, right in ((x, numbers), (numbers, x)):
        with pytest.raises(
            TypeError, match=r"expected an array .* got (list|tuple) .*F\.asarray\("
        ):
            op(left, right)


def test_an_assignment_operator_with_a_list_is_an_error(backend, array):
    x = Variable(array([1.0, 2.0])) * 2.0
    with pytest.raises(TypeError, match=r"F\.asarray\("):
        x += [1.0, 2.0]
