"""The checks themselves: they find what is wrong, and say where."""

import math

import pytest

from xpnet import Function, functions as F, using
from xpnet.testing import assert_close, check_gradients, numerical_gradient


class WrongSquare(Function):
    """x^2, with a derivative that is off by a hundredth."""

    def forward(self, x):
        return x * x

    def backward(self, gy, x):
        return gy * x * 2.01


class FirstOrderOnly(Function):
    """x^2, whose rule is right on arrays, but loses its history on Variables."""

    def forward(self, x):
        return x * x

    def backward(self, gy, x):
        return gy * 2.0 * getattr(x, "data", x) if hasattr(x, "creator") else gy * 2.0 * x


class WrongOnVariables(Function):
    """x^2, whose rule is wrong on Variables alone."""

    def forward(self, x):
        return x * x

    def backward(self, gy, x):
        return gy * x * (3.0 if hasattr(x, "creator") else 2.0)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (WrongSquare, r"order 1 by argument 0, rules run on arrays(.|\n)*check_gradients\("),
        (FirstOrderOnly, r"order 2 by argument 0"),
        (WrongOnVariables, r"order 1 by argument 0, rules run on Variables"),
    ],
)
def test_wrong_rules_are_found(backend64, array, kind, message):
    """Wrong values, lost history, and a rule that differs between arrays and Variables."""
    with pytest.raises(AssertionError, match=message):
        check_gradients(lambda x: kind()(x) * 1.0, array([1.0, 2.0]))


def test_wrong_argument_is_named(backend64, array):
    """The message counts arguments from 0."""

    def f(a, b):
        return a + WrongSquare()(b)

    with pytest.raises(AssertionError, match="by argument 1"):
        check_gradients(f, array([1.0]), array([2.0]))


def test_right_rules_pass(backend64):
    """Nested lists are arrays of the backend in float64."""
    check_gradients(lambda a, b: F.tanh(a) * b, [[0.5, 1.0]], [[2.0], [3.0]], order=3)


def test_numerical_gradient_of_a_cubic(backend64, array):
    """(x^3)' = 3 x^2; central differences err by eps^2 here."""
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
def test_assert_close_fails(actual, expected, message):
    """On values, shapes, nan and inf."""
    with pytest.raises(AssertionError, match=message):
        assert_close(actual, expected)


def test_assert_close_passes(backend, array):
    """Any libraries; equal infinities and nans are close."""
    assert_close(array([1.0, float("inf"), float("nan")]), [1.0, float("inf"), float("nan")])
    with pytest.raises(AssertionError):
        assert_close(1.0, 1.0 + 1e-6)


def test_an_order_is_one_or_more():
    with pytest.raises(ValueError, match="order >= 1, got 0"):
        check_gradients(F.tanh, [1.0], order=0)


def test_numerical_gradient_of_integers_is_refused():
    """They have no small steps: it would answer in millions."""
    with using("numpy") as backend, pytest.raises(TypeError, match="floating-point numbers"):
        numerical_gradient(lambda x: (x * x).sum(), backend.asarray([1, 2]))


def test_numerical_gradient_chooses_its_step_by_the_dtype():
    """In float32 a step of 1e-6 would be lost in rounding: (1 + 1e-6)^2 has one good digit."""
    with using("numpy", "float32") as backend:
        g = numerical_gradient(lambda x: (x * x).sum(), backend.asarray([1.0, 3.0]))
        assert_close(g, [2.0, 6.0], rtol=1e-3)


@pytest.mark.parametrize(("a", "b"), [(1.0, math.inf), (-math.inf, math.inf), (math.inf, 1.0)])
def test_only_infinity_is_close_to_infinity(a, b):
    with pytest.raises(AssertionError, match="Not close"):
        assert_close(a, b)
    assert_close(math.inf, math.inf)
