"""NumPy's functions on Variables have NumPy's values, and the derivatives of differences."""

import re
import warnings

import numpy as np
import pytest

from tests._interoperability.numpy import cases
from xpnet import Variable, to_numpy
from xpnet._interoperability.numpy.registry import implementations
from xpnet._interoperability.numpy.ufuncs import elementwise_calls
from xpnet.testing import assert_close, check_gradients


def ufunc_cases():
    for name, x in cases.UNARY.items():
        yield name, getattr(np, name), [x]
    for name, xs in cases.BINARY.items():
        yield name, getattr(np, name), list(xs)
    for name, several in cases.OTHER_UFUNCS.items():
        yield from ((name, *one) for one in several)


def function_cases(chosen):
    for name, several in chosen.items():
        yield from ((name, *one) for one in several)


def ids(rows):
    return [pytest.param(*row[1:], id=row[0]) for row in rows]


DIFFERENTIABLE = ids([*ufunc_cases(), *function_cases(cases.CASES)])
CONSTANT = ids(
    [
        *((name, getattr(np, name), list(xs)) for name, xs in cases.STEPS.items()),
        *function_cases(cases.CONSTANT),
    ]
)


def numpys_own(call, arrays):
    with warnings.catch_warnings(action="ignore"):
        return call(*(np.array(x) for x in arrays))


def skip_what_a_library_lacks(backend, case):
    shown = case.rpartition("-")[2]
    for (library, name), reason in cases.LACKS.items():
        if backend.name.startswith(library) and re.fullmatch(rf"{name}_?\d*", shown):
            pytest.skip(reason)


@pytest.mark.usefixtures("sampled")
@pytest.mark.parametrize(("call", "arrays"), DIFFERENTIABLE)
def test_values_and_derivatives_are_right(backend64, array, request, call, arrays):
    name = request.node.callspec.id
    skip_what_a_library_lacks(backend64, name)
    expected = numpys_own(call, arrays)
    inputs = [array(x) for x in arrays]
    y = call(*map(Variable, inputs))
    assert isinstance(y, Variable)
    assert type(y.data) is type(inputs[0])
    assert_close(y, expected, rtol=1e-10, atol=1e-12)
    constant = "real_if_close" in name
    assert y.requires_grad or constant
    check_gradients(call, *inputs, order=1)


@pytest.mark.usefixtures("sampled")
@pytest.mark.parametrize(("call", "arrays"), CONSTANT)
def test_values_of_functions_without_derivative_are_right(backend64, array, request, call, arrays):
    skip_what_a_library_lacks(backend64, request.node.callspec.id)
    expected = numpys_own(call, arrays)
    y = call(*(Variable(array(x)) for x in arrays))
    if isinstance(expected, (bool, int, tuple)):
        assert type(y) is type(expected)
        assert y == expected
    else:
        assert isinstance(y, Variable)
        assert not y.requires_grad
        assert_close(y, expected, rtol=1e-12)


@pytest.mark.parametrize("name", cases.INTEGERS)
def test_functions_of_integers_are_right(backend, array, name):
    xs = [[1, 2, 7], [1, 3, 2]][: cases.INTEGERS[name]]
    expected = getattr(np, name)(*xs)
    y = getattr(np, name)(*(Variable(array(x)) for x in xs))
    assert to_numpy(y).tolist() == expected.tolist()


def test_each_implementation_has_a_case():
    covered = {*cases.CASES, *cases.CONSTANT, *cases.NO_VALUES}
    assert covered == set(implementations)


def test_each_ufunc_has_a_case():
    ufuncs = {*cases.UNARY, *cases.BINARY, *cases.STEPS, *cases.INTEGERS, *cases.OTHER_UFUNCS}
    assert {name for name in ufuncs if not name.endswith(".at")} == set(elementwise_calls)


def test_a_list_may_hold_numbers_of_numpy():
    """For a Variable of NumPy; other libraries do not mix with NumPy's numbers."""
    v = Variable(np.asarray([1.0, 2.0]))
    y = np.concatenate([v, [np.float64(3.0), 2]])
    assert isinstance(y, Variable)
    assert_close(y, [1.0, 2.0, 3.0, 2.0])
    y.backward(np.asarray([1.0, 2.0, 3.0, 4.0]))
    assert_close(v.grad, [1.0, 2.0])
