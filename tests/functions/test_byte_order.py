"""NumPy arrays in another machine's byte order, with gaps, or with negative strides.

Every function returns the values and gradients that it returns for a plain copy of the numbers.
"""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import xpnet
from tests.functions.cases import CASES, CONSTANT, of
from tests.functions.networks import ROWS
from xpnet import Variable, functions as F, gradients, using
from xpnet.autodiff.namespace import array_namespace
from xpnet.testing import assert_close


def swapped(a):
    """The same numbers, each with its bytes in the other order."""
    return a.astype(a.dtype.newbyteorder("S"))


def with_gaps(a):
    """The same numbers, as every second number of a larger array."""
    return np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a


def turned(a):
    """The same numbers, with a negative stride."""
    return np.ascontiguousarray(a[..., ::-1])[..., ::-1] if a.ndim else a


LAYOUTS = [swapped, with_gaps, turned]


def found(call, arrays):
    """Values and gradients of a call, by all of its arguments that have a gradient."""
    xs = [Variable(a) for a in arrays]
    ys = call(array_namespace(*xs), *xs)
    answers = []
    for y in ys if isinstance(ys, tuple) else (ys,):
        answers.append(y.data)
        if y.requires_grad:
            learn = [x for x in xs if x.requires_grad]
            answers += gradients(y, learn, np.ones(y.shape, y.dtype))
    return answers


def assert_same(call, arrays):
    arrays = [np.asarray(a) for a in arrays]
    expected = found(call, arrays)
    for layout in LAYOUTS:
        for actual, wanted in zip(found(call, [layout(a) for a in arrays]), expected, strict=True):
            assert_close(actual, wanted, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    ("name", "number"), [(n, i) for n, c in CASES.items() for i in range(len(c))]
)
@settings(max_examples=3, deadline=None)
@given(data=st.data())
def test_differentiable_functions_of_the_standard(name, number, data):
    with using("numpy", dtype="float64"):
        assert_same(*data.draw(CASES[name][number]))


@pytest.mark.parametrize("name", CONSTANT)
def test_functions_without_a_derivative(name):
    arrays, options = CONSTANT[name]
    with using("numpy", dtype="float64"):
        expected = of(name)(F, *arrays, **options)
        actual = of(name)(F, *map(swapped, arrays), **options)
        for a, b in zip(np.atleast_1d(actual), np.atleast_1d(expected), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ROWS)
def test_functions_of_networks(name):
    row = ROWS[name]
    with using("numpy", dtype="float64"):
        for layout in LAYOUTS:
            answers = []
            for change in (np.asarray, layout):
                xpnet.manual_seed(0)
                arrays = [change(a) for a in row.hosts()]
                constants = [change(a) if isinstance(a, np.ndarray) else a for a in row.constant]
                answers.append(found(lambda _, *xs, c=constants: row.call(*xs, *c), arrays))
            for expected, actual in zip(*answers, strict=True):
                assert_close(actual, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i2", "i4", "i8", "c8"])
@pytest.mark.parametrize("bounds", [(0, 1), (None, 1), (0, None), (None, None)])
def test_clip_in_the_other_byte_order(dtype, bounds):
    """For floating-point, integer and complex numbers, with one bound, two, or neither."""
    x = np.asarray([-3, 0, 2], dtype)
    expected = F.clip(x, *bounds)
    for given_x in (swapped(x), Variable(swapped(x))):
        actual = F.clip(given_x, *bounds)
        np.testing.assert_array_equal(getattr(actual, "data", actual), expected)


@pytest.mark.parametrize("order", ["<", ">"])
def test_clip_with_bounds_of_another_dtype(order):
    """Bounds that promote are passed to the library's own clip."""
    x = np.asarray([-3.0, 0.5], f"{order}f4")
    low = np.asarray([0.0, 1.0], f"{order}f8")
    with using("numpy", dtype="float64"):
        np.testing.assert_array_equal(F.clip(x, low, 2.0), [0.0, 1.0])
