"""The checks in xpnet.testing: they find errors, and report where."""

import math

import numpy as np
import pytest

from xpnet import Function, GradientError, functions as F, using
from xpnet.testing import assert_close, check_gradients, numerical_gradient


class WrongSquare(Function):
    """x^2, with a derivative that is wrong by half a per cent."""

    def forward(self, x):
        return x * x

    def backward(self, gy, x):
        return gy * x * 2.01


class FirstOrderOnly(Function):
    """x^2, with a rule that is correct on arrays, but loses the history of Variables."""

    def forward(self, x):
        return x * x

    def backward(self, gy, x):
        if hasattr(x, "creator"):
            return gy * 2.0 * x.data
        return gy * 2.0 * x


class WrongOnVariables(Function):
    """x^2, with a rule that is wrong only on Variables."""

    def forward(self, x):
        return x * x

    def backward(self, gy, x):
        return gy * x * (3.0 if hasattr(x, "creator") else 2.0)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            WrongSquare,
            r"order 1 with respect to argument 0, rules run on arrays(.|\n)*check_gradients\(",
        ),
        (FirstOrderOnly, r"order 2 with respect to argument 0"),
        (WrongOnVariables, r"order 1 with respect to argument 0, rules run on Variables"),
    ],
)
def test_wrong_rules_are_found(backend64, array, kind, message):
    """Wrong values, lost history, and a rule that differs between arrays and Variables."""
    with pytest.raises(AssertionError, match=message):
        check_gradients(lambda x: kind()(x) * 1.0, array([1.0, 2.0]))


def test_the_argument_with_a_wrong_derivative_is_named(backend64, array):
    """The message counts arguments from 0."""

    def f(a, b):
        return a + WrongSquare()(b)

    with pytest.raises(AssertionError, match="with respect to argument 1"):
        check_gradients(f, array([1.0]), array([2.0]))


def test_correct_rules_pass(backend64):
    """Nested lists become arrays of the backend in float64."""
    check_gradients(lambda a, b: F.tanh(a) * b, [[0.5, 1.0]], [[2.0], [3.0]], order=3)


def test_numerical_gradient_of_a_cubic(backend64, array):
    """(x^3)' = 3 x^2; the error of central differences is eps^2 here."""
    x = array([1.0, -2.0])
    g = numerical_gradient(lambda x: F.sum(x**3), x, eps=1e-4)
    assert_close(g, [3.0 + 1e-8, 12.0 + 1e-8], rtol=1e-10)
    assert type(g) is type(x)


@pytest.mark.parametrize(
    ("actual", "expected", "message"),
    [
        ([1.0, 2.0], [1.0, 2.1], "largest difference is 0.1"),
        ([1.0, 2.0], [1.0], r"Expected shape \(1,\), got \(2,\)"),
        ([float("nan")], [1.0], "Not close"),
        ([float("inf")], [1.0], "Not close"),
    ],
)
def test_assert_close_raises_if_values_differ(actual, expected, message):
    """For different values, shapes, NaN and infinity."""
    with pytest.raises(AssertionError, match=message):
        assert_close(actual, expected)


def test_assert_close_accepts_equal_infinities_and_nan(backend, array):
    """The arrays may be of any library."""
    assert_close(array([1.0, float("inf"), float("nan")]), [1.0, float("inf"), float("nan")])
    with pytest.raises(AssertionError):
        assert_close(1.0, 1.0 + 1e-6)


def test_an_order_below_one_raises():
    with pytest.raises(ValueError, match="order >= 1, got 0"):
        check_gradients(F.tanh, [1.0], order=0)


@pytest.mark.parametrize("dtype", ["float32", "complex64", "int64"])
def test_a_check_needs_the_digits_of_float64(dtype):
    with pytest.raises(TypeError, match=f"float64 or complex128, got an array of {dtype}, shape"):
        check_gradients(lambda x: x * x, np.ones(2, dtype=dtype))


@pytest.mark.parametrize(("f", "got"), [(float, "1.0"), (lambda x: (x, x), "a tuple")])
def test_a_check_of_what_returns_no_array_raises(f, got):
    with pytest.raises(GradientError, match=rf"to return one array, got {got}\. A float has no"):
        check_gradients(f, np.asarray(1.0))


def test_numerical_gradient_of_integers_raises():
    """Integers have no small steps; the result would be meaningless."""
    with using("numpy") as backend, pytest.raises(TypeError, match="floating-point numbers"):
        numerical_gradient(lambda x: (x * x).sum(), backend.asarray([1, 2]))


def test_the_step_of_numerical_gradient_depends_on_the_dtype():
    """In float32, (1 + 1e-6)^2 - 1 has only one correct digit."""
    with using("numpy", "float32") as backend:
        g = numerical_gradient(lambda x: (x * x).sum(), backend.asarray([1.0, 3.0]))
        assert_close(g, [2.0, 6.0], rtol=1e-3)


@pytest.mark.parametrize(("a", "b"), [(1.0, math.inf), (-math.inf, math.inf), (math.inf, 1.0)])
def test_only_infinity_is_close_to_infinity(a, b):
    with pytest.raises(AssertionError, match="Not close"):
        assert_close(a, b)
    assert_close(math.inf, math.inf)
