"""Elementwise derivatives over the whole range of the dtype, against mpmath's with 60 digits.

The relative error must be small: a square that overflows, or 1 - y for a y that is rounded to 1,
would lose the whole derivative. Derivatives below the least normal number may be rounded to it.
"""

import mpmath
import numpy as np
import pytest

from xpnet import Variable, functions as F, gradients, to_numpy, using
from xpnet.testing import assert_close

mp = mpmath.mp.clone()
mp.dps = 60

RANGE = {"float32": (-37.0, 37.5), "float64": (-300.0, 300.0)}  # decimal exponents
SATURATED = [0.3, 0.9, 1.7, 5.0, 9.0, 12.0, 17.0, 20.0, 40.0, 80.0]
BELOW_1 = [1e-30, 1e-9, 0.1, 0.5, 0.9, 0.99, 0.999, 0.99999]


def wide(low, high):
    """Numbers of both signs, from the smallest to the largest."""
    magnitudes = np.concatenate([np.logspace(low, high, 41), SATURATED])
    return np.concatenate([-magnitudes[::-1], magnitudes])


def positive(low, high):
    return np.logspace(low, high, 61)


def moderate(low, high):
    """Numbers whose sinh and cosh are in range."""
    numbers = np.concatenate([np.logspace(low, 1.9, 31), SATURATED])
    return np.concatenate([-numbers, numbers])


def within_1(low, high):
    return np.concatenate([-np.asarray(BELOW_1), BELOW_1])


def above_1(low, high):
    return np.concatenate([[1.0001, 1.01, 1.5, 2.0], np.logspace(1, high, 31)])


def above_minus_1(low, high):
    return np.concatenate([-np.asarray(BELOW_1), np.logspace(low, high, 41)])


def sigmoid(x):
    return 1 / (1 + mp.exp(-x))


def density(x):
    return mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def steep(x):
    """The derivative of the approximate gelu."""
    if abs(x) > 1e3:
        return mp.mpf(int(x > 0))
    c = mp.mpf("0.044715")
    k = mp.sqrt(2 / mp.pi)
    u = 2 * k * (x + c * x**3)
    s = sigmoid(u)
    return s + x * s * sigmoid(-u) * 2 * k * (1 + 3 * c * x * x)


def erfcx_slope(x):
    """2 x erfcx(x) - 2 / sqrt(pi), which cancels for large x without more digits."""
    if x > 1e6:
        return -1 / (mp.sqrt(mp.pi) * x * x)
    return 2 * x * mp.exp(x * x) * mp.erfc(x) - 2 / mp.sqrt(mp.pi)


RULES = {  # name: the function, where, and its derivative
    "asinh": (F.asinh, wide, lambda x: 1 / mp.sqrt(1 + x * x)),
    "acosh": (F.acosh, above_1, lambda x: 1 / mp.sqrt(x * x - 1)),
    "atanh": (F.atanh, within_1, lambda x: 1 / (1 - x * x)),
    "asin": (F.asin, within_1, lambda x: 1 / mp.sqrt(1 - x * x)),
    "acos": (F.acos, within_1, lambda x: -1 / mp.sqrt(1 - x * x)),
    "atan": (F.atan, wide, lambda x: 1 / (1 + x * x)),
    "tanh": (F.tanh, wide, lambda x: mp.sech(x) ** 2),
    "sinh": (F.sinh, moderate, mp.cosh),
    "cosh": (F.cosh, moderate, mp.sinh),
    "exp": (F.exp, moderate, mp.exp),
    "expm1": (F.expm1, moderate, mp.exp),
    "log": (F.log, positive, lambda x: 1 / x),
    "log1p": (F.log1p, above_minus_1, lambda x: 1 / (1 + x)),
    "log2": (F.log2, positive, lambda x: 1 / (x * mp.log(2))),
    "log10": (F.log10, positive, lambda x: 1 / (x * mp.log(10))),
    "sqrt": (F.sqrt, positive, lambda x: 1 / (2 * mp.sqrt(x))),
    "reciprocal": (F.reciprocal, positive, lambda x: -1 / x**2),
    "sigmoid": (F.sigmoid, wide, lambda x: sigmoid(x) * sigmoid(-x)),
    "softplus": (lambda x: F.softplus(x, threshold=1e9), wide, sigmoid),
    "elu": (F.elu, wide, lambda x: mp.exp(x) if x < 0 else mp.mpf(1)),
    "silu": (F.silu, wide, lambda x: sigmoid(x) + x * sigmoid(x) * sigmoid(-x)),
    "gelu": (
        F.gelu,
        wide,
        lambda x: mp.ncdf(x) + x * density(x) if abs(x) < 1e3 else 1.0 * (x > 0),
    ),
    "gelu by tanh": (lambda x: F.gelu(x, "tanh"), wide, steep),
    "erfcx": (F.special.erfcx, lambda low, high: positive(-3, high), erfcx_slope),
    "hypot": (lambda x: F.hypot(x, 3.0 + 0.0 * x), wide, lambda x: x / mp.hypot(x, 3)),
    "atan2": (
        lambda x: F.atan2(x, F.full_like(x, 2.0)),
        wide,
        lambda x: 2 / (4 + x * x),
    ),
    "logaddexp": (lambda x: F.logaddexp(x, F.full_like(x, 1.5)), wide, lambda x: sigmoid(x - 1.5)),
    "cross entropy of 1": (
        lambda x: F.binary_cross_entropy_with_logits(x, F.ones_like(x)) * x.shape[0],
        wide,
        lambda x: -sigmoid(-x),
    ),
    "cross entropy of 0": (
        lambda x: F.binary_cross_entropy_with_logits(x, F.zeros_like(x)) * x.shape[0],
        wide,
        sigmoid,
    ),
}
# The exponential of x^2 / 2, which is rounded, has the error of x^2.
SLACK = {"gelu": 400.0, "gelu by tanh": 400.0, "erfcx": 1000.0}


@pytest.mark.parametrize("dtype", RANGE)
@pytest.mark.parametrize("name", RULES)
@pytest.mark.filterwarnings("ignore:overflow", "ignore:divide by zero")  # where 1/x^2 is infinite
def test_derivative(name, dtype):
    """On NumPy only: other libraries differ in their own functions, not in the rules."""
    f, numbers, derivative = RULES[name]
    x = numbers(*RANGE[dtype]).astype(dtype)
    limits = np.finfo(dtype)
    exact = [derivative(mp.mpf(float(n))) for n in x]
    kept = [abs(d) < float(limits.max) / 8 for d in exact]
    x = x[kept]
    exact = [d for d, k in zip(exact, kept, strict=True) if k]
    with using("numpy", dtype=dtype):
        v = Variable(x)
        y = f(v)
        (g,) = gradients(y, [v], np.ones(y.shape, dtype))
    tolerance = SLACK.get(name, 16.0) * float(limits.eps)
    for number, found, wanted in zip(x, g, exact, strict=True):
        difference = abs(mp.mpf(float(found)) - wanted)
        least = 2 * float(limits.smallest_normal)  # smaller numbers have fewer bits
        assert difference <= tolerance * abs(wanted) + least, (number, found, float(wanted))


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_saturated(backend, array, name):
    """In float32 y is 1, and the derivative is small but not 0: 2.06e-9 for sigmoid at 20."""
    x = Variable(array([20.0, -20.0, 9.5, 0.0]))
    (g,) = gradients(getattr(F, name)(x), [x], array([1.0] * 4))
    n = np.asarray([20.0, 20.0, 9.5, 0.0])
    expected = {
        "tanh": 1.0 / np.cosh(n) ** 2,
        "sigmoid": 0.25 / np.cosh(n / 2.0) ** 2,
    }[name]
    assert_close(g, expected, rtol=4e-6)


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_all_orders_at_0(backend64, array, name):
    """Computing with |x| leaves no corner: derivatives 1 to 4 at 0, and near it."""
    expected = {"tanh": [1.0, 0.0, -2.0, 0.0], "sigmoid": [0.25, 0.0, -0.125, 0.0]}[name]
    x = Variable(array([0.0]))
    y = getattr(F, name)(x)
    for wanted in expected:
        (y,) = gradients(F.sum(y), [x], create_graph=True)
        assert_close(y, [wanted], atol=1e-15)


def test_asinh_of_large_numbers(backend, array):
    """x^2 overflows in float32 at 1.8e19; the derivative is 1 / x."""
    x = Variable(array([1e20, -3e30]))
    (g,) = gradients(F.asinh(x), [x], array([1.0, 1.0]))
    assert_close(g, [1e-20, 1.0 / 3e30], rtol=1e-6)


def test_atan2_of_small_and_large_points(backend, array):
    """The squares of 1e-30 and 1e30 are out of range; the angle does not depend on the scale."""
    for scale in (1e-30, 1.0, 1e30):
        y = Variable(array([3.0 * scale]))
        x = Variable(array([4.0 * scale]))
        gy, gx = gradients(F.atan2(y, x), [y, x], array([1.0]))
        assert_close(to_numpy(gy).astype("float64") * scale, [4.0 / 25.0], rtol=1e-6)
        assert_close(to_numpy(gx).astype("float64") * scale, [-3.0 / 25.0], rtol=1e-6)


@pytest.mark.parametrize("name", ["asin", "acos", "atan", "atanh", "asinh", "tanh", "expm1"])
def test_complex_numbers(name):
    """Near the axes, on both sides of the branch cuts, and far out; compared with differences by
    mpmath.
    """
    points = [0.3 + 0.2j, -2.5 + 1e-3j, 2.5 - 1e-3j, 0.1 + 3.0j, -0.2 - 3.0j, 1.5 - 2.0j]
    if name not in ("tanh", "expm1"):
        points += [1e12 + 1e11j, -1e12 + 2e12j]
    f = getattr(mp, name)
    with using("numpy", dtype="float64"):
        x = Variable(np.asarray(points))
        (g,) = gradients(getattr(F, name)(x), [x], np.ones(len(points), complex))
    for point, found in zip(points, g, strict=True):
        z = mp.mpc(point)
        h = mp.mpf("1e-20")
        expected = (f(z + h) - f(z - h)) / (2 * h)
        assert abs(mp.mpc(complex(found)) - expected) <= 1e-13 * abs(expected), point


def test_svd_of_small_distinct_values(backend64, array):
    """The derivative of the vectors of diag(1e-200, 3e-200) is that of diag(1, 3), times 1e200."""

    def turned(x):
        U, S, Vh = F.linalg.svd(x, full_matrices=False)
        return F.sum(F.abs(U) * array([[1.0, 2.0], [3.0, 5.0]])) + F.sum(F.abs(Vh)[0, :] * S / S)

    base = np.asarray([[1.0, 0.4], [0.2, 3.0]])
    for scale in (1e-200, 1.0, 1e150):
        x = Variable(array(base * scale))
        (g,) = gradients(turned(x), [x])
        assert_close(to_numpy(g) * scale, _slope_at_1(turned, array, base), rtol=1e-9, atol=1e-12)
    x = Variable(array(np.diag([1e-200, 3e-200])))
    U, _, Vh = F.linalg.svd(x)
    for y in (U, Vh):
        assert np.isfinite(to_numpy(gradients(F.sum(y), [x])[0])).all()


def _slope_at_1(f, array, numbers):
    x = Variable(array(numbers))
    return to_numpy(gradients(f(x), [x])[0])


def test_equal_singular_values_divide_by_0_only_if_vectors_are_used(backend64, array):
    """Nothing is divided where no vector was used."""
    x = Variable(array(np.eye(2)))
    (g,) = gradients(F.sum(F.linalg.svd(x).S), [x])
    assert_close(g, np.eye(2), atol=1e-15)


def test_the_logistic_loss_of_confident_correct_predictions(backend, array):
    """In float32 the loss at 20 is 2.06e-9, not 0, and so is its derivative."""
    x = Variable(array([20.0]))
    loss = F.binary_cross_entropy_with_logits(x, array([1.0]))
    assert_close(loss, np.log1p(np.exp(-20.0)), rtol=2e-6)
    assert_close(gradients(loss, [x])[0], [-1.0 / (1.0 + np.exp(20.0))], rtol=2e-6)
    y = Variable(array([1e-6]))
    loss = F.binary_cross_entropy(y, array([0.0]))
    assert_close(loss, 1.0000005e-6, rtol=1e-6)
