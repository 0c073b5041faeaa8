"""Arrays of np.ma: numbers that are masked never enter a computation, and an error says what to write."""

import numpy as np
import pytest

from xpnet import ArgumentError, Variable, functions as F, grad, to_numpy, using
from xpnet.data import DataLoader
from xpnet.errors import DataError
from xpnet.testing import assert_close, check_gradients

MASKED = np.ma.masked_equal(np.asarray([1.0, -999.0, 3.0]), -999.0)
WHOLE = np.ma.masked_equal(np.asarray([1.0, 2.0, 3.0]), -999.0)


def assigned(v):
    y = np.copy(v)
    y[...] = MASKED
    return y


CALLS = {
    "Variable": lambda v: Variable(MASKED),
    "operator": lambda v: v - MASKED,
    "ufunc": lambda v: np.subtract(v, MASKED),
    "function": lambda v: F.mean_squared_error(v, MASKED),
    "concat": lambda v: F.concat([v, MASKED]),
    "where": lambda v: np.where([True, False, True], MASKED, v),
    "function without a Variable": lambda v: F.stack([MASKED, MASKED]),
    "asarray": lambda v: F.asarray(MASKED),
    "asarray of a list": lambda v: F.asarray([[1.0, 2.0, 3.0], MASKED]),
    "Variable of a list": lambda v: Variable([MASKED, MASKED]),
    "to_numpy": lambda v: to_numpy(MASKED),
    "assignment": assigned,
    "grad": lambda v: grad(lambda x: F.sum(x * x))(MASKED),
}


@pytest.fixture(autouse=True)
def float64():
    with using("numpy", "float64"):
        yield


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_masked_numbers_are_an_error(call):
    with pytest.raises(
        ArgumentError, match=r"1 of 3 masked.*np\.where\(hidden, 0\.0, x - values\)"
    ):
        call(Variable(np.ones(3)))


def test_the_advice_of_the_error_leaves_them_out():
    hidden = np.ma.getmaskarray(MASKED)
    values = MASKED.filled(0.0)
    x = np.asarray([2.0, 5.0, 5.0])

    def misfit(x):
        return np.sum(np.where(hidden, 0.0, x - values) ** 2)

    assert_close(misfit(Variable(x)), np.ma.sum((x - MASKED) ** 2))
    assert grad(misfit)(x).tolist() == [2.0, 0.0, 4.0]
    check_gradients(misfit, x)


def test_a_mask_that_hides_nothing_is_no_obstacle():
    """NetCDF4 returns all of its arrays so."""
    v = Variable(np.ones(3))
    assert_close(v - WHOLE, [0.0, -1.0, -2.0])
    assert_close(F.concat([v, WHOLE]), [1.0, 1.0, 1.0, 1.0, 2.0, 3.0])
    assert_close(F.asarray([WHOLE, WHOLE]), [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    assert grad(lambda x: F.sum(x * x))(WHOLE).tolist() == [2.0, 4.0, 6.0]
    assert type(grad(lambda x: F.sum(x * x))(WHOLE)) is np.ndarray


def test_a_loader_of_masked_data_is_an_error():
    with pytest.raises(DataError, match="masked array"):
        DataLoader(MASKED, batch_size=1)
