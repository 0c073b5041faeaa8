"""Special functions: mpmath's and SciPy's values, tails, poles and corners, in both precisions.

The derivatives at ordinary points are checked by test_rules.py and test_against_jax.py.
"""

import math
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.functions.cases import LACKS, SPECIAL
from xpnet import (
    ArgumentError,
    ArgumentTypeError,
    BackendError,
    GradientError,
    MissingPackageError,
    ShapeError,
    Variable,
    array_namespace,
    functions as F,
    gradients,
)
from xpnet.functions import special
from xpnet.kernels.special import special_function
from xpnet.testing import assert_close, check_gradients

scipy_special = pytest.importorskip("scipy.special", reason="SciPy's are the values for NumPy")
inf, nan = math.inf, math.nan

POINTS = {  # name: arguments, in columns; also far out
    "beta": [[0.5, 3.0, 20.0, 1e-3, -1.5], [0.5, 2.0, 30.0, 4.0, 2.2]],
    "betaln": [[0.5, 3.0, 20.0, 1e-3, 100.0], [0.5, 2.0, 30.0, 4.0, 0.25]],
    "digamma": [[0.5, 1.0, 30.0, 1e5, -0.5, -2.5]],
    "entr": [[0.0, 0.25, 1.0, 7.0, -1.0]],
    "erf": [[-6.0, -0.5, 0.0, 1e-6, 0.5, 3.0, inf]],
    "erfc": [[-6.0, -0.5, 0.0, 0.5, 3.0, 9.0, inf]],
    "erfcx": [[-2.0, 0.0, 0.5, 10.0, 1e6]],
    "erfinv": [[-0.99, 0.0, 1e-6, 0.5, 1.0]],
    "expit": [[-80.0, -3.0, 0.0, 3.0, 80.0]],
    "gammainc": [[0.5, 1.0, 5.0, 5.0], [0.5, 2.0, 1.0, 30.0]],
    "gammaincc": [[0.5, 1.0, 5.0, 5.0], [0.5, 2.0, 1.0, 30.0]],
    "gammaln": [[0.0, -1.0, 0.5, 1.0, 2.0, 30.0, 1e10, -0.5, -2.5]],
    "i0": [[-3.0, 0.0, 0.5, 10.0]],
    "i0e": [[-3.0, 0.0, 0.5, 29.0, 31.0, 1e6]],
    "i1": [[-3.0, 0.0, 0.5, 10.0]],
    "i1e": [[-3.0, 0.0, 0.5, 29.0, 31.0, 1e6]],
    "kl_div": [[0.0, 1.0, 0.5, 2.0, -1.0], [0.0, 0.0, 2.0, 0.5, 1.0]],
    "log_ndtr": [[-1e4, -40.0, -5.0, -1e-3, 0.0, 2.0, 6.0, -inf, inf]],
    "logit": [[0.0, 1e-30, 0.25, 0.4999, 0.5, 0.5001, 0.75, 1.0, 2.0, -1.0]],
    "ndtr": [[-5.0, -1.0, 0.0, 1.0, 5.0, inf]],
    "ndtri": [[0.0, 1e-30, 0.1, 0.5, 0.9, 1.0]],
    "polygamma": [[1, 1, 1, 1], [0.5, 1.0, 30.0, 1e4]],
    "psi": [[0.5, 1.0, 30.0, -0.5]],
    "rel_entr": [[0.0, 1.0, 0.5, 2.0, -1.0], [0.0, 0.0, 2.0, 0.5, 1.0]],
    "xlog1py": [[0.0, 0.0, 2.0, -1.5], [-1.0, 3.0, 1e-8, 4.0]],
    "xlogy": [[0.0, 0.0, 2.0, -1.5, 0.0], [0.0, 3.0, 0.5, 4.0, nan]],
}


def test_every_special_function_has_points():
    assert POINTS.keys() == set(special.__all__)
    assert POINTS.keys() - {"polygamma", "gammainc", "gammaincc"} == SPECIAL.keys()


def call_of(backend, name):
    """The function of that name; the test is skipped if the library lacks it."""
    library = backend.name.partition(":")[0]
    if reason := LACKS.get((f"special.{name}", library)):
        pytest.skip(reason)
    function = getattr(special, name)
    if name == "polygamma":
        return lambda n, x: function(1, x)
    return function


def agrees_with_scipy(backend, array, name, rtol):
    function = call_of(backend, name)
    xs = [array(column) for column in POINTS[name]]
    expected = getattr(scipy_special, name)(*map(np.asarray, POINTS[name]))
    for y in (function(*xs), function(*map(Variable, xs))):
        assert y.dtype == backend.dtype
        assert_close(y, expected, rtol=rtol, atol=rtol * 1e-1)


@pytest.mark.parametrize("name", POINTS)
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")  # raised by jax.scipy
def test_values_in_float64(backend64, array, name):
    agrees_with_scipy(backend64, array, name, 1e-11)


@pytest.mark.parametrize("name", POINTS)
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_values_in_float32(backend, array, name):
    if name == "logit":  # the points themselves are rounded
        points = np.asarray(POINTS[name][0], "float32").astype(float)
        y = special.logit(array(points.tolist()))
        assert_close(y, scipy_special.logit(points), rtol=2e-6)
        return
    agrees_with_scipy(backend, array, name, 1e-4 if name == "betaln" else 2e-5)


def by_mpmath(f, x, n=1):
    """The derivative of order n, to 40 digits."""
    mpmath = pytest.importorskip("mpmath", reason="mpmath is the oracle of this test")
    with mpmath.workdps(60):
        return float(mpmath.diff(lambda x: f(mpmath, x), x, n))


TAILS = {  # name: mpmath's function, and points where the derivative is small, large or cancels
    "erf": (lambda m, x: m.erf(x), [-5.0, 1e-8, 6.0]),
    "erfc": (lambda m, x: m.erfc(x), [-5.0, 5.0, 20.0]),
    "erfcx": (lambda m, x: m.exp(x * x) * m.erfc(x), [-1.0, 0.0, 5.0]),
    "erfinv": (lambda m, x: m.erfinv(x), [1e-8, 0.999]),
    "log_ndtr": (lambda m, x: m.log(m.ncdf(x)), [-40.0, -5.0, -1e-3, 0.5, 5.0]),
    "logit": (lambda m, x: m.log(x / (1 - x)), [1e-10, 0.4999, 0.9999]),
    "ndtri": (lambda m, x: m.sqrt(2) * m.erfinv(2 * x - 1), [1e-9, 0.5, 0.999]),
    "i0e": (lambda m, x: m.exp(-abs(x)) * m.besseli(0, x), [-40.0, 0.1, 29.0, 31.0, 1e4]),
    "i1e": (lambda m, x: m.exp(-abs(x)) * m.besseli(1, x), [-40.0, 0.1, 29.0, 31.0, 1e4]),
    "gammaln": (lambda m, x: m.re(m.loggamma(x)), [-2.5, 1e-6, 1e6]),
    "digamma": (lambda m, x: m.digamma(x), [1e-3, 1e4]),
}


@pytest.mark.parametrize("name", TAILS)
def test_derivatives_far_out(backend64, array, name):
    """To a relative error of 1e-11, where differences in float64 would be noise."""
    function = call_of(backend64, name)
    f, points = TAILS[name]
    x = Variable(array(points))
    (g,) = gradients(F.sum(function(x)), [x])
    assert_close(g, [by_mpmath(f, point) for point in points], rtol=1e-11)


def test_second_derivatives_do_not_cancel(backend64, array):
    """log_ndtr at -40, and the Bessel functions on both sides of where Hankel's expansion begins."""
    for name in ("log_ndtr", "i0e", "i1e"):
        f, points = TAILS[name]
        function = call_of(backend64, name) if name == "log_ndtr" else getattr(special, name)
        if (f"special.{name}", backend64.name.partition(":")[0]) in LACKS:
            continue
        points = [p for p in points if abs(p) < 1e3]
        x = Variable(array(points))
        (g,) = gradients(F.sum(function(x)), [x], create_graph=True)
        (gg,) = gradients(F.sum(g), [x])
        assert_close(gg, [by_mpmath(f, point, 2) for point in points], rtol=1e-9)


CORNERS = {  # name: columns of arguments, the values, and the gradient with respect to each argument
    "xlogy": ([[0.0, 0.0, 2.0], [0.0, 3.0, 1.0]], [0, 0, 0], [[0, math.log(3), 0], [0, 0, 2]]),
    "xlog1py": ([[0.0, 0.0, 2.0], [-1.0, 2.0, 0.0]], [0, 0, 0], [[0, math.log(3), 0], [0, 0, 2]]),
    "rel_entr": ([[0.0, 0.0, 1.0], [0.0, 3.0, 1.0]], [0, 0, 0], [[0, 0, 1], [0, 0, -1]]),
    "kl_div": ([[0.0, 0.0, 1.0], [0.0, 3.0, 1.0]], [0, 3, 0], [[-1, -1, 0], [1, 1, 0]]),
    "entr": ([[0.0, 1.0]], [0, 0], [[inf, -1]]),
    "log_ndtr": ([[1e30, -1e5]], [0, -5000000012.431865], [[0, 1e5]]),
    "expit": ([[100.0, -1000.0]], [1, 0], [[0, 0]]),
    "ndtr": ([[100.0, -1000.0]], [1, 0], [[0, 0]]),
    "erf": ([[1e30, -1e30]], [1, -1], [[0, 0]]),
    "erfc": ([[1e30, -1e30]], [0, 2], [[0, 0]]),
    "i0": ([[0.0]], [1], [[0]]),
    "i1": ([[0.0]], [0], [[0.5]]),
    "i0e": ([[0.0]], [1], [[0]]),
    "i1e": ([[0.0]], [0], [[0.5]]),
}


@pytest.mark.parametrize("name", CORNERS)
def test_corners(backend, array, name):
    """Without a warning, which is an error in these tests."""
    function = call_of(backend, name)
    columns, values, slopes = CORNERS[name]
    xs = [Variable(array(column)) for column in columns]
    y = function(*xs)
    assert_close(y, values, rtol=1e-6)
    for g, expected in zip(gradients(F.sum(y), xs), slopes, strict=True):
        assert_close(g, expected, rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize("name", ["entr", "rel_entr", "kl_div", "xlogy", "beta", "betaln", "erf"])
def test_nan_in_is_nan_out(backend64, array, name):
    """Whatever the other argument is, also 0 or infinite."""
    function = call_of(backend64, name)
    corners = [-1.0, 0.0] if name in ("entr", "rel_entr", "kl_div", "erf") else []
    others = [*corners, 0.5, 3.0, nan]
    known = Variable(array(others))
    unknown = Variable(array([nan] * len(others)))
    two = name not in ("entr", "erf")
    for xs in ([known, unknown], [unknown, known]) if two else ([unknown],):
        y = function(*xs)
        assert_close(y, [nan] * len(others))
        if name in ("entr", "rel_entr", "erf"):
            for g in gradients(F.sum(y), xs):
                assert_close(g, [nan] * len(others))


def test_relative_entropy_of_nearly_equal_and_of_distant_numbers(backend64, array):
    """By log1p near a ratio of 1, and by logarithms elsewhere."""
    x = [1e8 + 1.0, 1e-8, 1e-12, 4.0]
    y = [1e8, 1.00000001e-8, 1e-3, 1e-9]
    expected = [
        (1e8 + 1.0) * math.log1p(1e-8),
        1e-8 * math.log1p((1e-8 - 1.00000001e-8) / 1.00000001e-8),
        1e-12 * math.log(1e-9),
        4.0 * math.log(4e9),
    ]
    assert_close(call_of(backend64, "rel_entr")(array(x), array(y)), expected, rtol=1e-13)
    masked = special._log_of_ratio(array([0.0, -1.0, 2.0, 2.0]), array([3.0, 1.0, 0.0, -1.0]))
    assert_close(masked, [0.0, 0.0, 0.0, 0.0])


def test_float32_far_out(backend, array):
    """The ratio of density and probability at -40 is 40.02, although both are 0 in float32."""
    x = Variable(array([-1e30, -40.0, -12.0]))
    y = special.log_ndtr(x)
    assert y.dtype == backend.dtype
    assert_close(y, [-inf, -804.6084420137538, -75.41067300], rtol=1e-6)
    (g,) = gradients(F.sum(y), [x])
    assert_close(g[1:], [40.02496884720726, 12.08221780], rtol=1e-6)


def test_betaln_of_large_numbers(backend64, array):
    """Where the difference of three gammaln is noise: mpmath's values."""
    betaln = call_of(backend64, "betaln")
    mpmath = pytest.importorskip("mpmath", reason="mpmath is the oracle of this test")
    a = [1e8, 1e8, 1e5, 12.0, 1e10]
    b = [0.5, 1e8, 3.0, 0.1, 1e-2]
    with mpmath.workdps(60):
        pairs = [(mpmath.mpf(x), mpmath.mpf(y)) for x, y in zip(a, b, strict=True)]
        terms = [(mpmath.loggamma(x), mpmath.loggamma(y), mpmath.loggamma(x + y)) for x, y in pairs]
        expected = [float(of_a + of_b - of_sum) for of_a, of_b, of_sum in terms]
    assert_close(betaln(array(a), array(b)), expected, rtol=1e-11)


@pytest.mark.parametrize("name", ["beta", "betaln", "kl_div", "rel_entr", "xlog1py", "xlogy"])
def test_the_gradient_by_one_of_two_arguments(backend64, array, name):
    """If the other is constant, it equals the gradient when both are needed."""
    function = call_of(backend64, name)
    hosts = [[0.5, 2.0], [1.5, 0.75]]
    xs = [Variable(array(host)) for host in hosts]
    both = gradients(F.sum(function(*xs)), xs)
    for place in (0, 1):
        xs = [array(h) for h in hosts]
        xs[place] = Variable(xs[place])
        (g,) = gradients(F.sum(function(*xs)), [xs[place]])
        assert_close(g, both[place], rtol=1e-14)


@pytest.mark.parametrize("name", ["erf", "erfc", "ndtr"])
def test_the_third_derivative_at_0(backend64, array, name):
    """A rule by |x| would not have it: for erf it is -4 / sqrt(pi)."""
    function = call_of(backend64, name)
    x = Variable(array(0.0))
    y = function(x)
    for _ in range(3):
        (y,) = gradients(y, [x], create_graph=True)
    scale = {"erf": 1.0, "erfc": -1.0, "ndtr": 0.25 / math.sqrt(2.0)}[name]
    assert_close(y, -4.0 / math.sqrt(math.pi) * scale, rtol=1e-12)


def test_stirlings_coefficients():
    """B(2 k) / (2 k (2 k - 1)), of Bernoulli's numbers: DLMF 5.11.1."""
    mpmath = pytest.importorskip("mpmath", reason="mpmath has Bernoulli's numbers")
    for k, c in enumerate(special.STIRLING, start=1):
        assert c == pytest.approx(float(mpmath.bernoulli(2 * k)) / (2 * k * (2 * k - 1)), rel=1e-15)


def test_near_the_corners(backend64, array):
    """The logarithm of nearly equal numbers is precise; log(1 + y) is undefined only for y <= -1."""
    x = array([1.0 + 2.0**-40, 1.0])
    y = array([1.0, 1.0 + 2.0**-40])
    tiny = 2.0**-40
    expected = [(1.0 + tiny) * math.log1p(tiny), -math.log1p(tiny)]
    assert_close(special.rel_entr(x, y), expected, rtol=1e-14)
    v = Variable(array([0.0, 0.0]))
    (g,) = gradients(F.sum(special.xlog1py(v, array([0.5, -0.5]))), [v])
    assert_close(g, [math.log(1.5), math.log(0.5)], rtol=1e-14)


def test_stirlings_series_is_precise_from_10():
    mpmath = pytest.importorskip("mpmath", reason="mpmath is the oracle of this test")
    for z in (10.0, 12.5, 100.0):
        with mpmath.workdps(40):
            leading = (z - mpmath.mpf(1) / 2) * mpmath.log(z) - z + mpmath.log(2 * mpmath.pi) / 2
            expected = float(mpmath.loggamma(z) - leading)
        assert_close(special._stirling(np.asarray(z)), expected, rtol=2e-15)


def test_the_composed_beta_for_libraries_without_one():
    """On NumPy as well: the logarithm against mpmath's, the sign against SciPy's."""
    mpmath = pytest.importorskip("mpmath", reason="mpmath is the oracle of this test")
    for a, b in ((0.5, 0.25), (3.0, 9.9), (3.0, 10.0), (1e-3, 10.1), (40.0, 12.0), (1e7, 1e7)):
        with mpmath.workdps(60):
            expected = float(mpmath.log(mpmath.beta(a, b)))
        for x, y in ((a, b), (b, a)):
            found = special._betaln(np.asarray(x), np.asarray(y))
            assert_close(found, expected, rtol=1e-13, atol=1e-14)
    negative = np.asarray([-1.5, -0.5, -2.5, 0.5, 3.0, -3.2, -4.8])
    assert_close(special._gamma_sign(negative), scipy_special.gammasgn(negative))
    x = np.asarray([-1.5, -2.5, -1.5])
    y = np.asarray([2.2, 0.25, -0.7])
    assert_close(special._betaln(x, y), scipy_special.betaln(x, y), rtol=1e-12)


def test_polygamma_of_several_orders(backend64, array, order):
    call_of(backend64, "polygamma")
    x = array([0.5, 3.0, 20.0])
    for n in range(4):
        expected = scipy_special.polygamma(n, np.asarray([0.5, 3.0, 20.0]))
        assert_close(special.polygamma(n, x), expected, rtol=1e-11)
    check_gradients(special.gammaln, array([0.7, 2.0]), order=2 * order)


@pytest.mark.parametrize("name", ["erf", "gammaln", "log_ndtr", "xlogy", "polygamma", "logit"])
def test_half_precision_is_computed_in_float32(backend, array, name):
    if not hasattr(backend.xp, "float16"):
        pytest.skip("the library has no float16")
    function = call_of(backend, name)
    columns = [[0.25, 0.75]] * len(POINTS[name])
    xs = [Variable(F.astype(array(c), backend.xp.float16)) for c in columns]
    y = function(*xs)
    assert y.dtype == xs[0].dtype
    wide = [F.astype(x, backend.dtype) for x in xs]
    expected = F.astype(function(*wide), backend.xp.float16)
    assert_close(F.astype(y, backend.dtype), F.astype(expected, backend.dtype), rtol=1e-3)
    (g,) = gradients(F.sum(y), xs[-1:])
    assert g.dtype == xs[0].dtype


def test_python_numbers_are_arguments_beside_arrays(backend, array):
    x = Variable(array([1.0, 2.0]))
    assert_close(special.xlogy(2, x), [0.0, 2.0 * math.log(2.0)], rtol=1e-6)
    assert_close(special.xlogy(x, 2.0), [math.log(2.0), 2.0 * math.log(2.0)], rtol=1e-6)
    assert special.xlogy(x, 2.0).dtype == backend.dtype


def test_two_arguments_broadcast(backend64, array):
    x = array([[1.0], [2.0]])
    y = array([0.5, 1.0, 4.0])
    assert_close(special.rel_entr(x, y), scipy_special.rel_entr([[1.0], [2.0]], [0.5, 1.0, 4.0]))


@pytest.mark.parametrize("name", ["beta", "betaln", "gammainc", "rel_entr", "xlog1py", "xlogy"])
def test_two_arguments_that_do_not_broadcast(backend, array, name):
    function = call_of(backend, name)
    message = r"expected shapes that broadcast, got \(2,\) and \(3,\)"
    with pytest.raises(ShapeError, match=message):
        function(Variable(array([1.0, 2.0])), Variable(array([1.0, 2.0, 3.0])))


def test_they_are_an_extension_of_the_namespace(backend, array):
    """SciPy looks for them there."""
    x = Variable(array([0.5]))
    xp = array_namespace(x)
    assert "special" in dir(xp)
    assert set(special.__all__) <= set(dir(xp.special))
    assert xp.special.logit is special.logit


def test_errors(backend, array):
    with pytest.raises(ArgumentTypeError, match="special.logit expected floating-point numbers"):
        special.logit(array([1, 2], "int32"))
    with pytest.raises(ArgumentTypeError, match="xlogy expected an array or a Variable"):
        special.xlogy(1.0, 2.0)
    with pytest.raises(ArgumentError, match="order of 0 or more, got -1"):
        special.polygamma(-1, array([1.0]))
    with pytest.raises(ArgumentTypeError, match="an integer order, got 1.5"):
        special.polygamma(1.5, array([1.0]))


@pytest.mark.parametrize("name", ["gammainc", "gammaincc"])
def test_the_incomplete_gamma_functions_have_no_derivative_by_a(backend, array, name):
    function = call_of(backend, name)
    a = Variable(array([1.5]))
    x = Variable(array([2.0]))
    (g,) = gradients(function(F.stop_gradient(a), x), [x])
    assert_close(g, [(1 if name == "gammainc" else -1) * 0.21596386605275228], rtol=1e-5)
    with pytest.raises(GradientError, match="with respect to x only.*stop_gradient"):
        gradients(function(a, x), [a])


def test_a_library_without_special_functions_is_an_error():
    strict = pytest.importorskip("array_api_strict", reason="it has no special functions")
    with pytest.raises(BackendError, match="array_api_strict has no special functions"):
        special.erf(strict.asarray([0.5]))


def test_without_scipy_the_error_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    special_function.cache_clear()
    with pytest.raises(MissingPackageError, match="pip install scipy"):
        special.erf(np.asarray([0.5]))
    assert_close(special.logit(np.asarray([0.5])), [0.0])
    special_function.cache_clear()


OF_SCIPY = {  # a call of SciPy's own function, and its arguments
    "erf": [(-2.0, 2.0)],
    "erfc": [(-2.0, 2.0)],
    "gammaln": [(0.5, 4.0)],
    "digamma": [(0.5, 4.0)],
    "psi": [(0.5, 4.0)],
    "betaln": [(0.5, 3.0)] * 2,
    "expit": [(-2.0, 2.0)],
    "logit": [(0.1, 0.9)],
    "log_ndtr": [(-6.0, 2.0)],
    "ndtr": [(-2.0, 2.0)],
    "ndtri": [(0.1, 0.9)],
    "xlogy": [(0.2, 2.0)] * 2,
    "xlog1py": [(0.2, 2.0)] * 2,
    "entr": [(0.2, 2.0)],
    "rel_entr": [(0.2, 2.0)] * 2,
    "kl_div": [(0.2, 2.0)] * 2,
    "i0": [(-2.0, 2.0)],
    "i0e": [(0.5, 2.0)],
    "i1": [(-2.0, 2.0)],
    "i1e": [(0.5, 2.0)],
    "erfcx": [(-1.0, 2.0)],
    "erfinv": [(-0.8, 0.8)],
}


@pytest.mark.parametrize("name", OF_SCIPY)
def test_scipys_own_functions_accept_variables(backend64, array, name):
    """`scipy.special.erf(v)` calls this function if SCIPY_ARRAY_API=1 is set in the process."""
    if os.environ.get("SCIPY_ARRAY_API") != "1":
        pytest.skip("run by test_scipys_functions_in_a_process_with_scipy_array_api")
    function = call_of(backend64, name)
    rng = np.random.default_rng(0)
    hosts = [rng.uniform(low, high, 4) for low, high in OF_SCIPY[name]]
    theirs = getattr(scipy_special, name)
    y = theirs(*(Variable(array(host)) for host in hosts))
    assert isinstance(y, Variable)
    assert y.requires_grad
    assert_close(y, theirs(*hosts), rtol=1e-11)
    check_gradients(theirs, *map(array, hosts), order=1)
    assert function is getattr(special, name)


@pytest.mark.usefixtures("eager")
def test_scipys_functions_in_a_process_with_scipy_array_api(backend64):
    if os.environ.get("SCIPY_ARRAY_API") == "1":
        pytest.skip("SciPy asks its arrays in this process already")
    library = backend64.name.partition(":")[0]
    options = ("-k", "scipys_own_functions", "-q", "-p", "no:cacheprovider")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", __file__, *options],
        env=os.environ | {"SCIPY_ARRAY_API": "1", "XPNET_TEST_BACKENDS": library},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lacking = sum((f"special.{name}", library) in LACKS for name in OF_SCIPY)
    assert f"{len(OF_SCIPY) - lacking} passed" in done.stdout
