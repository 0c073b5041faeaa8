"""Activations: values against formulas in Python, derivatives against differences."""

import math

import pytest

from xpnet import Variable, functions as F, gradients
from xpnet.testing import assert_close, check_gradients

X = [[-2.0, -0.5, 0.25], [3.0, 1.0, -1.0]]


def softmax(row):
    total = math.fsum(math.exp(x) for x in row)
    return [math.exp(x) / total for x in row]


ACTIVATIONS = {
    "relu": lambda rows: [[max(x, 0.0) for x in row] for row in rows],
    "sigmoid": lambda rows: [[1.0 / (1.0 + math.exp(-x)) for x in row] for row in rows],
    "softmax": lambda rows: [softmax(row) for row in rows],
    "log_softmax": lambda rows: [[math.log(p) for p in softmax(row)] for row in rows],
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(backend64, array, name):
    """The formula, and its derivatives to the third order."""
    f = getattr(F, name)
    assert_close(f(array(X)), ACTIVATIONS[name](X), rtol=1e-14)
    check_gradients(f, array(X), order=3)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_along_the_first_axis(backend64, array, name):
    """axis=0 is the transpose of axis=-1 of the transpose."""
    columns = [list(column) for column in zip(*X, strict=True)]
    expected = list(zip(*ACTIVATIONS[name](columns), strict=True))
    assert_close(getattr(F, name)(array(X), axis=0), expected, rtol=1e-13)
    check_gradients(lambda x: getattr(F, name)(x, axis=0), array(X))


def test_relu_has_slope_zero_at_zero(backend64, array):
    """The convention of PyTorch and JAX."""
    x = Variable(array([0.0, -1.0, 1.0]))
    (g,) = gradients(F.relu(x), [x], 1)
    assert_close(g, [0.0, 0.0, 1.0])


def test_extremes_do_not_overflow(backend, array):
    """Warnings are errors here: exp never sees a large number."""
    x = array([-1e4, -80.0, 0.0, 80.0, 1e4])
    assert_close(F.sigmoid(x), [0.0, math.exp(-80.0), 0.5, 1.0, 1.0], rtol=1e-5)
    assert_close(F.softmax(array([1e4, 0.0, -1e4])), [1.0, 0.0, 0.0])
    assert_close(F.log_softmax(array([1e4, 0.0, -1e4])), [0.0, -1e4, -2e4])
