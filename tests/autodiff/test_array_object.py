"""The standard's operators and attributes on Variables."""

import operator

import array_api_compat
import pytest

from xpnet import Variable, array_namespace, functions as F, to_numpy
from xpnet.testing import assert_close, check_gradients

ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]


@pytest.mark.parametrize("op", ARITHMETIC)
def test_arithmetic_with_variables_and_scalars(backend64, array, op):
    """Values are the operator's on plain numbers, in both orders; gradients are by differences."""
    a, b = array([1.5, 2.0]), array([0.5, 3.0])
    expected = [op(x, y) for x, y in zip([1.5, 2.0], [0.5, 3.0], strict=True)]
    assert_close(op(Variable(a), Variable(b)), expected, rtol=1e-14)
    assert_close(op(Variable(a), 3.0), [op(1.5, 3.0), op(2.0, 3.0)], rtol=1e-14)
    assert_close(op(3.0, Variable(a)), [op(3.0, 1.5), op(3.0, 2.0)], rtol=1e-14)
    check_gradients(op, a, b)
    check_gradients(lambda x: op(x, 3), a)
    check_gradients(lambda x: op(2.0, x), a)


@pytest.mark.parametrize("op", ARITHMETIC)
def test_arithmetic_with_arrays_of_the_same_library(backend64, array, op):
    """An array on the right joins in; on the left too, where the library asks the Variable."""
    a, b = Variable(array([1.5, 2.0])), array([0.5, 3.0])
    assert isinstance(op(a, b), Variable)
    if backend64.name.startswith("array_api_strict"):
        pytest.skip("array-api-strict raises TypeError itself, and does not ask the other operand")
    y = op(b, a)
    assert isinstance(y, Variable)
    assert_close(y, [op(0.5, 1.5), op(3.0, 2.0)], rtol=1e-14)


@pytest.mark.parametrize("op", COMPARISONS)
def test_comparisons_are_constants(backend, array, op):
    """Booleans as Python gives them, without history."""
    a, b = Variable(array([1.0, 2.0, 3.0])), Variable(array([2.0, 2.0, 2.0]))
    y = op(a, b)
    assert to_numpy(y).tolist() == [op(x, 2.0) for x in (1.0, 2.0, 3.0)]
    assert not y.requires_grad
    assert to_numpy(op(2.0, a)).tolist() == [op(2.0, x) for x in (1.0, 2.0, 3.0)]


def test_unary_operators(backend64, array):
    """-x, +x and abs(x), with their derivatives."""
    x = array([-1.5, 2.0])
    assert_close(-Variable(x), [1.5, -2.0])
    assert_close(abs(Variable(x)), [1.5, 2.0])
    assert_close(+Variable(x), [-1.5, 2.0])
    check_gradients(lambda x: -x * abs(x) + +x, x)


def test_matmul_and_transposes(backend64, array):
    """@, .T and .mT, on both sides of an array."""
    a = array([[1.0, 2.0], [3.0, 4.0]])
    v = Variable(a)
    assert_close(v @ v, [[7.0, 10.0], [15.0, 22.0]])
    assert_close(v.T, [[1.0, 3.0], [2.0, 4.0]])
    assert_close(v.mT @ a, [[10.0, 14.0], [14.0, 20.0]])


def test_scalars_out(backend, array):
    """float, int, bool, complex and index of a single number."""
    x = Variable(array(3.0))
    assert (float(x), int(x), bool(x), complex(x)) == (3.0, 3, True, 3 + 0j)
    assert [10, 20, 30][Variable(array(1))] == 20


def test_an_integer_stands_where_python_wants_an_index(backend, array):
    """In range, in slices of lists and of Variables, and as a length."""
    two, x = Variable(array(2)), Variable(array([1.0, 2.0, 3.0]))
    assert list(range(two)) == [0, 1]
    assert "abcd"[:two] == "ab"
    assert operator.index(two) == 2
    assert to_numpy(x[two:]).tolist() == [3.0]
    assert bytes(two) == b"\0\0"


@pytest.mark.parametrize("values", [2.0, [2], True], ids=["a float", "a vector", "a boolean"])
def test_what_is_no_integer_is_no_index(backend, array, values):
    with pytest.raises(TypeError, match="integer"):
        operator.index(Variable(array(values)))


def test_hash_is_identity(backend, array):
    """Variables can be keys, although == is elementwise."""
    a, b = Variable(array(1.0)), Variable(array(1.0))
    assert len({a, b}) == 2


def test_numpy_refuses_variables(backend, array):
    """np.asarray of a Variable is an error that names to_numpy."""
    np = pytest.importorskip("numpy")
    with pytest.raises(TypeError, match="to_numpy"):
        np.asarray(Variable(array([1.0])))


def test_array_api_compat_finds_our_namespace(backend, array):
    """Code that asks array-api-compat, which knows nothing of xpnet, is answered."""
    x = Variable(array([1.0]))
    xp = array_api_compat.array_namespace(x)
    assert xp is array_namespace(x)
    assert xp.tanh is F.tanh
    assert x.device == array_api_compat.device(x.data)


def test_iteration_ends(backend, array):
    """Not every library says when an index is past the end."""
    x = Variable(array([[1.0, 2.0], [3.0, 4.0]]))
    rows = list(x)
    assert len(rows) == 2
    assert_close(rows[1], [3.0, 4.0])
    assert float(sum(Variable(array([1.0, 2.0])))) == 3.0
    assert 2.0 in Variable(array([1.0, 2.0]))
    assert 3.0 not in Variable(array([1.0, 2.0]))
    with pytest.raises(TypeError, match="no dimensions"):
        iter(Variable(array(1.0)))
