"""Elementwise functions: values against Python's math, derivatives against differences."""

import math

import pytest

import xpnet
from xpnet import Variable, functions as F, gradients, to_numpy
from xpnet.testing import assert_close, check_gradients

# name, Python's function, arguments (inside the domain, away from corners)
UNARY = [
    ("negative", lambda x: -x, [-1.5, 0.0, 2.0]),
    ("positive", lambda x: +x, [-1.5, 0.0, 2.0]),
    ("reciprocal", lambda x: 1 / x, [-1.5, 0.5, 2.0]),
    ("square", lambda x: x * x, [-1.5, 0.0, 2.0]),
    ("sqrt", math.sqrt, [0.25, 1.0, 7.0]),
    ("abs", abs, [-1.5, 0.5, 2.0]),
    ("exp", math.exp, [-1.5, 0.0, 2.0]),
    ("expm1", math.expm1, [-1.5, 1e-9, 2.0]),
    ("log", math.log, [0.25, 1.0, 7.0]),
    ("log1p", math.log1p, [-0.5, 1e-9, 7.0]),
    ("log2", math.log2, [0.25, 1.0, 7.0]),
    ("log10", math.log10, [0.25, 1.0, 7.0]),
    ("sin", math.sin, [-1.5, 0.0, 2.0]),
    ("cos", math.cos, [-1.5, 0.0, 2.0]),
    ("tan", math.tan, [-1.0, 0.0, 1.2]),
    ("asin", math.asin, [-0.5, 0.0, 0.8]),
    ("acos", math.acos, [-0.5, 0.0, 0.8]),
    ("atan", math.atan, [-1.5, 0.0, 2.0]),
    ("sinh", math.sinh, [-1.5, 0.0, 2.0]),
    ("cosh", math.cosh, [-1.5, 0.0, 2.0]),
    ("tanh", math.tanh, [-1.5, 0.0, 2.0]),
    ("asinh", math.asinh, [-1.5, 0.0, 2.0]),
    ("acosh", math.acosh, [1.5, 2.0, 9.0]),
    ("atanh", math.atanh, [-0.5, 0.0, 0.8]),
]
BINARY = [
    ("add", lambda a, b: a + b),
    ("subtract", lambda a, b: a - b),
    ("multiply", lambda a, b: a * b),
    ("divide", lambda a, b: a / b),
    ("pow", lambda a, b: a**b),
    ("hypot", math.hypot),
    ("atan2", math.atan2),
    ("logaddexp", lambda a, b: math.log(math.exp(a) + math.exp(b))),
    ("maximum", max),
    ("minimum", min),
]
STEPS = [
    ("sign", lambda x: math.copysign(1.0, x) if x else 0.0),
    ("floor", math.floor),
    ("ceil", math.ceil),
    ("round", round),
    ("trunc", math.trunc),
    ("isfinite", math.isfinite),
    ("isinf", math.isinf),
    ("isnan", math.isnan),
]


@pytest.mark.parametrize(("name", "f", "xs"), UNARY, ids=[row[0] for row in UNARY])
def test_unary(backend64, array, order, name, f, xs):
    """Values are compared with Python's math, first and second derivatives with differences."""
    function = getattr(F, name)
    assert_close(function(array(xs)), [f(x) for x in xs], rtol=1e-14, atol=1e-15)
    check_gradients(function, array(xs), order=order)


@pytest.mark.parametrize(("name", "f"), BINARY, ids=[row[0] for row in BINARY])
def test_binary(backend64, array, order, name, f):
    """Values, over a broadcast, are compared with Python's, and both derivatives with differences."""
    function = getattr(F, name)
    a = [0.5, 2.0, 3.0]
    b = [1.5, 0.7]
    expected = [[f(x, y) for x in a] for y in b]
    x1 = array(a)
    x2 = array([[y] for y in b])
    assert_close(function(x1, x2), expected, rtol=1e-14)
    check_gradients(function, x1, x2, order=order)


@pytest.mark.parametrize(("name", "f"), STEPS, ids=[row[0] for row in STEPS])
def test_step_functions_are_constants(backend, array, name, f):
    """Functions that jump return Python's values, without history."""
    xs = [-1.5, -0.5, 0.0, 0.5, 2.5]
    y = getattr(F, name)(Variable(array(xs)))
    assert to_numpy(y).tolist() == [f(x) for x in xs]
    assert not y.requires_grad


@pytest.mark.parametrize("name", ["logical_and", "logical_or", "logical_xor"])
def test_logical(backend, array, name):
    """The truth table."""
    a = array([True, True, False, False])
    b = array([True, False, True, False])
    op = {"and": lambda x, y: x and y, "or": lambda x, y: x or y, "xor": lambda x, y: x != y}
    f = op[name.removeprefix("logical_")]
    expected = [f(x, y) for x in (True, False) for y in (True, False)]
    assert to_numpy(getattr(F, name)(Variable(a), b)).tolist() == expected
    assert to_numpy(F.logical_not(a)).tolist() == [False, False, True, True]


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_ties_share_the_gradient(backend64, array, name):
    """Equal numbers get a half each, as in JAX."""
    a = Variable(array([2.0]))
    b = Variable(array([2.0]))
    ga, gb = gradients(getattr(F, name)(a, b), [a, b])
    assert_close(ga, [0.5])
    assert_close(gb, [0.5])


def test_abs_has_the_derivative_0_at_0(backend64, array):
    """JAX and PyTorch define it so, too."""
    x = Variable(array(0.0))
    abs(x).backward()
    assert_close(x.grad, 0.0)


@pytest.mark.parametrize(
    ("exponent", "slopes"), [(0, [0.0, 0.0]), (1, [1.0, 1.0]), (2, [0.0, 4.0]), (3.0, [0.0, 12.0])]
)
def test_power_by_a_scalar_at_zero(backend64, array, exponent, slopes):
    """x**n has the derivative n x**(n-1) at 0 too, and that of x**0 is 0 everywhere."""
    x = Variable(array([0.0, 2.0]))
    (g,) = gradients(x**exponent, [x], 1)
    assert_close(g, slopes)


def test_power_at_zero_with_arrays(backend64, array):
    """0**0 and 0**2 have finite derivatives, which are 0 by x1 and by x2."""
    x1 = Variable(array([0.0, 0.0]))
    x2 = Variable(array([0.0, 2.0]))
    g1, g2 = gradients(x1**x2, [x1, x2], 1)
    assert_close(g1, [0.0, 0.0])
    assert_close(g2, [0.0, 0.0])


def test_logaddexp_does_not_overflow(backend64, array):
    """log(exp(1000) + exp(0)) is 1000, and its derivatives are 1 and 0."""
    a = Variable(array(1000.0))
    b = Variable(array(0.0))
    y = F.logaddexp(a, b)
    ga, gb = gradients(y, [a, b])
    assert_close([float(y), float(ga), float(gb)], [1000.0, 1.0, 0.0])


def test_mixed_second_derivatives_of_a_power_agree(backend64):
    """d/dx d/dy x^y = x^(y-1) (1 + y log x), in either order; also at y = 0."""
    x = Variable(backend64.asarray(2.0))
    y = Variable(backend64.asarray(0.0))
    gx, gy = gradients(F.pow(x, y), [x, y], create_graph=True)
    assert float(gradients(gx, [y])[0]) == pytest.approx(0.5)
    assert float(gradients(gy, [x])[0]) == pytest.approx(0.5)


def test_a_fraction_to_the_power_of_integers_is_refused(backend, array):
    """In the integers' dtype it would be 2 to that power."""
    for x in (array([1, 2]), Variable(array([1, 2]))):
        with pytest.raises(TypeError, match=r"2\.5 \*\* x expected an x of floating-point numbers"):
            F.pow(2.5, x)
    assert_close(F.pow(2.5, array([1.0, 2.0])), [2.5, 6.25])


def test_the_power_0_of_subnormal_numbers_has_the_derivative_0():
    """x^-1 is infinite there too, and 0 times infinity is NaN."""
    with xpnet.using("numpy") as backend:
        x = Variable(backend.asarray([0.0, 1e-39]))
        (g,) = gradients(F.sum(F.pow(x, backend.asarray([0.0, 0.0]))), [x])
        assert_close(g, [0.0, 0.0])
