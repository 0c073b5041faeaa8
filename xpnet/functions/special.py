"""Special functions: of probability, of combinatorics and of waves; differentiable.

    from xpnet.functions import special      special.erf(x), for arrays and for Variables
    xp = array_namespace(v)                  xp.special.erf(v), for a Variable

Names and parameters are SciPy's. With SCIPY_ARRAY_API=1 in the environment, SciPy's own functions
call these when they are given Variables. Values are computed by the library of the arrays: SciPy
(for NumPy), `cupyx.scipy.special`, `torch.special` or `jax.scipy.special`. Where functions of the
standard are as precise they are used instead, on every library: for `entr`, `expit`, `kl_div`,
`log_ndtr`, `logit`, `ndtr`, `rel_entr`, `xlog1py` and `xlogy`.

All are elementwise functions of real floating-point numbers. Two arguments broadcast, and one of
them may be a Python number. For float16 and bfloat16 inputs, the function is computed in float32.

In the formulas of the derivatives, y is the result, unless it is the name of an argument. Sources of
the derivatives, by their equations: Abramowitz and Stegun, "Handbook of mathematical functions",
1964 (A&S); NIST Digital Library of Mathematical Functions, dlmf.nist.gov (DLMF).
"""

import inspect
import math
import operator
from collections.abc import Callable
from typing import Any, TypeVar

from xpnet._typing import Array
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.backend import array_like
from xpnet.errors import ArgumentError, ArgumentTypeError, BackendError, GradientError
from xpnet.functions._in_float32 import cast_like, widened
from xpnet.functions._masks import zero_unless
from xpnet.functions._registry import extension
from xpnet.functions.activation import sigmoid
from xpnet.functions.normal import LogNormalCdf, normal_cdf
from xpnet.kernels.special import special_function

__all__ = [
    "beta",
    "betaln",
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfcx",
    "erfinv",
    "expit",
    "gammainc",
    "gammaincc",
    "gammaln",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "kl_div",
    "log_ndtr",
    "logit",
    "ndtr",
    "ndtri",
    "polygamma",
    "psi",
    "rel_entr",
    "xlog1py",
    "xlogy",
]

Callee = TypeVar("Callee", bound=Callable[..., Any])
SLOPE = 2.0 / math.sqrt(math.pi)  # the slope of erf at 0


# --- how a function is declared -------------------------------------------------------------------


def _of_library(function: Callee) -> Callee:
    """Decorator: a function of the extension `special` whose values the library of its arrays computes."""
    missing = "BackendError\n    The library of the arrays has no such function."
    return extension("special")(_with_sections(function, missing))


def _portable(function: Callee) -> Callee:
    """Decorator: a function of the extension `special` that is composed of those of the standard."""
    return extension("special")(_with_sections(function))


def _with_sections(function: Callee, *errors: str) -> Callee:
    """The function, with what all of them share in its docstring: arguments, result and errors."""
    names = list(inspect.signature(function).parameters)
    given = f"{names[0]} : array or Variable, any shape"
    result = f"array or Variable, shape and dtype those of {names[0]}"
    if len(names) > 1:
        both = ", ".join(names)
        given = f"{both} : arrays or Variables, shapes that broadcast; one may be a Python number"
        result = f"array or Variable, shape and dtype those of {' + '.join(names)}"
        errors = ("ShapeError\n    The shapes do not broadcast.", *errors)
    sections = {
        "Parameters": [given, "    Of real floating-point numbers."],
        "Returns": [result],
        "Raises": [
            "ArgumentTypeError\n    An argument is something else, such as a list.",
            *errors,
        ],
    }
    doc = inspect.getdoc(function) or ""  # python -OO removes docstrings
    summary, heading, example = doc.partition("Examples\n--------\n")
    parts = [summary.rstrip()]
    for title, lines in sections.items():
        parts += ["", title, "-" * len(title), *lines]
    function.__doc__ = "\n".join([*parts, "", heading + example])
    return function


def _library_function(name: str, *xs: Any) -> Array:
    """The library's own special function, applied to arrays."""
    xp = array_namespace(*xs)
    function = special_function(xp, name)
    if function is None:
        raise BackendError(f"special.{name} is not in {xp.__name__.rpartition('.')[2]}.")
    return function(*xs)


def _in_float32_or_more(name: str, function: Callable[..., Array], *xs: Array | float) -> Array:
    """The function of arrays and Python numbers, computed in float32 or more."""
    arrays = [x for x in xs if hasattr(x, "dtype")]
    array_namespace(*xs)  # raises for different libraries, and if there is no array
    model = data_of(arrays[0])
    given = [x if hasattr(x, "dtype") else array_like(float(x), model) for x in xs]
    wide = [widened(f"special.{name}", x) for x in given]
    y = function(*wide)
    if all(x is w for x, w in zip(given, wide, strict=True)):
        return y
    xp = array_namespace(y)
    return xp.astype(y, xp.result_type(*arrays))


class _LibraryFunction(Function):
    """A function of one argument whose values the library computes."""

    name: str

    def forward(self, x: Array) -> Array:
        return _library_function(self.name, x)


# --- the error function and the normal distribution -----------------------------------------------


class Erf(_LibraryFunction):
    name = "erf"

    def backward(self, gy: Array, x: Array) -> Array:
        return gy * (SLOPE * _gaussian(x))


class Erfc(_LibraryFunction):
    name = "erfc"

    def backward(self, gy: Array, x: Array) -> Array:
        return gy * (-SLOPE * _gaussian(x))


class Erfcx(_LibraryFunction):
    name = "erfcx"

    def backward(self, gy: Array, y: Array, x: Array) -> Array:
        xp = array_namespace(x)
        least = 10.0 if xp.finfo(x.dtype).eps < 1e-10 else 5.0
        far = x > least
        large = xp.where(far, x, least)
        # For large x, 2 x y - SLOPE cancels. With w = 1 / (2 x^2), DLMF 7.12.1 is
        # y = SLOPE / (2 x) (1 - w + 3 w^2 - 15 w^3 + ...), so the derivative is
        # -SLOPE w (1 - 3 w (1 - 5 w (1 - 7 w (1 - ...)))).
        w = 0.5 / large / large
        series = 1.0 - 25.0 * w
        for odd in range(23, 1, -2):
            series = 1.0 - odd * w * series
        near = 2.0 * (xp.where(far, 0.0, x) * y) - SLOPE
        return gy * xp.where(far, -SLOPE * w * series, near)


class Erfinv(_LibraryFunction):
    name = "erfinv"

    def backward(self, gy: Array, y: Array) -> Array:
        return gy * (array_namespace(y).exp(y * y) / SLOPE)


class Ndtri(_LibraryFunction):
    name = "ndtri"

    def backward(self, gy: Array, y: Array) -> Array:
        return gy * (array_namespace(y).exp(0.5 * (y * y)) * math.sqrt(2.0 * math.pi))


def _gaussian(x: Array) -> Array:
    """exp(-x^2), without overflow of the square."""
    xp = array_namespace(x)
    near = xp.minimum(xp.maximum(x, -40.0), 40.0)  # exp(-40^2) is 0 in float64
    return xp.exp(-(near * near))


@_of_library
def erf(x: Array, /) -> Array:
    """The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x.

    Its derivative is 2 / sqrt(pi) exp(-x^2): A&S 7.1.19.

    Examples
    --------
    The share of normally distributed errors within one, two and three standard deviations:

    >>> import math
    >>> from xpnet import Variable, to_numpy
    >>> from xpnet.functions import special
    >>> within = special.erf(Variable([1.0, 2.0, 3.0]) / math.sqrt(2.0))
    >>> to_numpy(within).tolist()
    [0.6827, 0.9545, 0.9973]
    """
    return _in_float32_or_more("erf", Erf(), x)


@_of_library
def erfc(x: Array, /) -> Array:
    """1 - erf(x), precise for large x, where it is small.

    Its derivative is -2 / sqrt(pi) exp(-x^2): A&S 7.1.19.

    Examples
    --------
    >>> from xpnet import Variable
    >>> from xpnet.functions import special
    >>> x = Variable(6.0)
    >>> float(1.0 - special.erf(x)), float(special.erfc(x))
    (0.0, 2.152e-17)
    """
    return _in_float32_or_more("erfc", Erfc(), x)


@_of_library
def erfcx(x: Array, /) -> Array:
    """exp(x^2) erfc(x), which neither overflows nor underflows for large x.

    Its derivative is 2 x y - 2 / sqrt(pi): DLMF 7.10.1. For large x, where the difference cancels,
    the derivative is computed as a series in 1 / x^2.

    Examples
    --------
    >>> from xpnet import Variable
    >>> from xpnet.functions import special
    >>> x = Variable(30.0)
    >>> float(special.erfc(x)), float(special.erfcx(x))  # exp(-900) is 0 in float32
    (0.0, 0.0188)
    """
    return _in_float32_or_more("erfcx", Erfcx(), x)


@_of_library
def erfinv(x: Array, /) -> Array:
    """The inverse of erf, for -1 <= x <= 1.

    Its derivative is sqrt(pi) / 2 exp(y^2), as for any inverse function.

    Examples
    --------
    Half of all normally distributed errors are smaller than 0.67 standard deviations:

    >>> import math
    >>> from xpnet import Variable
    >>> from xpnet.functions import special
    >>> float(math.sqrt(2.0) * special.erfinv(Variable(0.5)))
    0.6745
    """
    return _in_float32_or_more("erfinv", Erfinv(), x)


@_portable
def ndtr(x: Array, /) -> Array:
    """The standard normal distribution function: `xpnet.functions.normal_cdf`.

    Its derivative is the density exp(-x^2 / 2) / sqrt(2 pi).

    Examples
    --------
    >>> from xpnet import Variable, to_numpy
    >>> from xpnet.functions import special
    >>> to_numpy(special.ndtr(Variable([-1.96, 0.0, 1.96]))).tolist()
    [0.025, 0.500, 0.975]
    """
    return _in_float32_or_more("ndtr", normal_cdf, x)


@_portable
def log_ndtr(x: Array, /) -> Array:
    """log(ndtr(x)), which is finite where the probability underflows to 0.

    Its derivative is the density divided by the probability, and is precise there too: for x < 0 it
    is computed as 1 / Mills's ratio of -x; see `xpnet.functions.normal`. A&S 26.2.1, 26.2.3.

    Examples
    --------
    >>> from xpnet import Variable
    >>> from xpnet.functions import special
    >>> x = Variable(-20.0)
    >>> float(special.ndtr(x)), float(special.log_ndtr(x))
    (0.0, -203.917)
    """
    return _in_float32_or_more("log_ndtr", LogNormalCdf(), x)


@_of_library
def ndtri(p: Array, /) -> Array:
    """The inverse of ndtr: the quantile of the standard normal distribution at probability p.

    Its derivative is sqrt(2 pi) exp(y^2 / 2), as for any inverse function.

    Examples
    --------
    The limits between which 95 % of a normal distribution lie, in standard deviations:

    >>> from xpnet import Variable, to_numpy
    >>> from xpnet.functions import special
    >>> to_numpy(special.ndtri(Variable([0.025, 0.975]))).tolist()
    [-1.960, 1.960]
    """
    return _in_float32_or_more("ndtri", Ndtri(), p)


# --- logistic -------------------------------------------------------------------------------------


class Logit(Function):
    """log(x / (1 - x)) = 2 atanh(2 x - 1), which is precise near 1/2."""

    def forward(self, x: Array) -> Array:
        xp = array_namespace(x)
        within = xp.logical_and(x > 0.0, x < 1.0)
        p = xp.where(within, x, 0.5)
        middle = xp.abs(p - 0.5) < 0.2
        near = 2.0 * xp.atanh(xp.where(middle, 2.0 * p - 1.0, 0.0))
        y = xp.where(middle, near, xp.log(p / (1.0 - p)))
        y = xp.where(within, y, math.nan)
        return xp.where(x == 0.0, -math.inf, xp.where(x == 1.0, math.inf, y))

    def backward(self, gy: Array, x: Array) -> Array:
        return gy / (x * (1.0 - x))


@_portable
def expit(x: Array, /) -> Array:
    """The logistic function 1 / (1 + exp(-x)): `xpnet.functions.sigmoid`.

    Its derivative is y (1 - y).

    Examples
    --------
    From log odds to probabilities:

    >>> import math
    >>> from xpnet import Variable, to_numpy
    >>> from xpnet.functions import special
    >>> log_odds = Variable([-math.log(3.0), 0.0, math.log(3.0)])
    >>> to_numpy(special.expit(log_odds)).tolist()
    [0.25, 0.50, 0.75]
    """
    return _in_float32_or_more("expit", sigmoid, x)


@_portable
def logit(p: Array, /) -> Array:
    """log(p / (1 - p)), the inverse of expit; -inf at 0, inf at 1, and NaN outside this range.

    Its derivative is 1 / (p (1 - p)).

    Examples
    --------
    From probabilities to log odds; log(3) is 1.0986:

    >>> from xpnet import Variable, to_numpy
    >>> from xpnet.functions import special
    >>> to_numpy(special.logit(Variable([0.25, 0.5, 0.75]))).tolist()
    [-1.0986, 0.0, 1.0986]
    """
    return _in_float32_or_more("logit", Logit(), p)


# --- gamma and beta -------------------------------------------------------------------------------


class Gammaln(_LibraryFunction):
    name = "gammaln"

    def backward(self, gy: Array, x: Array) -> Array:
        return gy * digamma(x)


class Digamma(_LibraryFunction):
    name = "digamma"

    def backward(self, gy: Array, x: Array) -> Array:
        return gy * polygamma(1, x)


class Polygamma(Function):
    def __init__(self, n: int) -> None:
        self.n = n

    def forward(self, x: Array) -> Array:
        return cast_like(_library_function("polygamma", self.n, x), x)

    def backward(self, gy: Array, x: Array) -> Array:
        return gy * polygamma(self.n + 1, x)


class Betaln(Function, broadcasts=True):
    def forward(self, a: Array, b: Array) -> Array:
        fast = special_function(array_namespace(a, b), "betaln")
        if fast:
            return fast(a, b)
        return _betaln(a, b)

    def backward(self, gy: Array, a: Array, b: Array) -> tuple[Array | None, Array | None]:
        total = digamma(a + b)
        ga = None
        gb = None
        if self.needs[0]:
            ga = gy * (digamma(a) - total)
        if self.needs[1]:
            gb = gy * (digamma(b) - total)
        return ga, gb


class Beta(Function, broadcasts=True):
    def forward(self, a: Array, b: Array) -> Array:
        xp = array_namespace(a, b)
        fast = special_function(xp, "beta")
        if fast:
            return fast(a, b)
        sign = _gamma_sign(a) * _gamma_sign(b) * _gamma_sign(a + b)
        return sign * xp.exp(_betaln(a, b))

    def backward(
        self, gy: Array, y: Array, a: Array, b: Array
    ) -> tuple[Array | None, Array | None]:
        total = digamma(a + b)
        ga = None
        gb = None
        if self.needs[0]:
            ga = gy * y * (digamma(a) - total)
        if self.needs[1]:
            gb = gy * y * (digamma(b) - total)
        return ga, gb


LARGE = 10.0  # from here on, eight terms of Stirling's series are precise in float64
# The coefficients of 1 / z, 1 / z^3, 1 / z^5, ... in that series.
STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400)


def _betaln(a: Array, b: Array) -> Array:
    """gammaln(a) + gammaln(b) - gammaln(a + b), without the cancellation of two large terms.

    gammaln(z) = (z - 1/2) log(z) - z + log(2 pi) / 2 + r(z), where r is `_stirling`: DLMF 5.11.1.
    """
    xp = array_namespace(a, b)
    small = xp.minimum(a, b)
    large = xp.maximum(a, b)
    stirling = xp.logical_and(large >= LARGE, small > 0.0)
    s = xp.where(stirling, small, 1.0)
    z = xp.where(stirling, large, LARGE)
    # gammaln(s + z) - gammaln(z), where the two terms of size z log(z) have been cancelled by hand
    rise = (s + z - 0.5) * xp.log1p(s / z) + s * (xp.log(z) - 1.0)
    rise = rise + _stirling(s + z) - _stirling(z)
    gammaln_of_large = _library_function("gammaln", large)
    gammaln_of_sum = _library_function("gammaln", small + large)
    difference = xp.where(stirling, -rise, gammaln_of_large - gammaln_of_sum)
    return _library_function("gammaln", small) + difference


def _stirling(z: Array) -> Array:
    """r(z) = 1 / (12 z) - 1 / (360 z^3) + ..., for z >= 10: DLMF 5.11.1."""
    w = 1.0 / (z * z)
    r = STIRLING[-1] * w + STIRLING[-2]
    for c in STIRLING[-3::-1]:
        r = r * w + c
    return r / z


def _gamma_sign(x: Array) -> Array:
    """The sign of the gamma function, which changes at 0, -1, -2, ..."""
    xp = array_namespace(x)
    odd = xp.remainder(xp.floor(x), 2.0) == 1.0
    return xp.where(xp.logical_and(x < 0.0, odd), -1.0, xp.ones_like(x))


class _IncompleteGamma(Function, broadcasts=True):
    """The regularized incomplete gamma functions; the derivative with respect to a has no closed form."""

    name: str
    sign: float

    def forward(self, a: Array, x: Array) -> Array:
        return _library_function(self.name, a, x)

    def backward(self, gy: Array, a: Array, x: Array) -> tuple[None, Array]:
        if self.needs[0]:
            raise GradientError(
                f"special.{self.name} has a derivative with respect to x only: that with respect to a has no closed "
                "form. Make `a` a constant: F.stop_gradient(a)."
            )
        density = array_namespace(x).exp(xlogy(a - 1.0, x) - x - gammaln(a))
        return None, gy * (self.sign * density)


class Gammainc(_IncompleteGamma):
    name = "gammainc"
    sign = 1.0


class Gammaincc(_IncompleteGamma):
    name = "gammaincc"
    sign = -1.0


@_of_library
def gammaln(x: Array, /) -> Array:
    """log(|Gamma(x)|), where Gamma(n + 1) = n!; inf at 0, -1, -2, ...

    Its derivative is `digamma`: DLMF 5.2.2.

    Examples
    --------
    1000! has 2568 digits, and is infinite in every dtype; its logarithm is not:

    >>> import math
    >>> from xpnet import Variable
    >>> from xpnet.functions import special
    >>> float(special.gammaln(Variable(1001.0))) / math.log(10.0)
    2567.60
    """
    return _in_float32_or_more("gammaln", Gammaln(), x)


@_of_library
def digamma(x: Array, /) -> Array:
    """The derivative of `gammaln`; its own derivative is `polygamma` of order 1: DLMF 5.15.

    Examples
    --------
    >>> from xpnet import Variable
    >>> from xpnet.functions import special
    >>> n = Variable(5.0)
    >>> harmonic = special.digamma(n + 1.0) - special.digamma(Variable(1.0))
    >>> float(harmonic)  # 1 + 1/2 + 1/3 + 1/4 + 1/5
    2.2833
    """
    return _in_float32_or_more("digamma", Digamma(), x)


@_of_library
def psi(x: Array, /) -> Array:
    """`digamma`, by its other name.

    Examples
    --------
    >>> from xpnet import Variable
    >>> from xpnet.functions import special
    >>> float(special.psi(Variable(1.0)))  # Euler's constant, negated
    -0.5772
    """
    return digamma(x)


@extension("special")
def polygamma(n: int, x: Array, /) -> Array:
    """The derivative of order n of `digamma`; its own derivative has order n + 1: DLMF 5.15.

    Parameters
    ----------
    n : int
        0 or more; the order 0 is `digamma` itself.
    x : array or Variable, any shape
        Of real floating-point numbers.

    Returns
    -------
    array or Variable, shape and dtype those of x

    Raises
    ------
    ArgumentTypeError
        n is not an integer, or x is something else, such as a list.
    ArgumentError
        n is negative.
    BackendError
        The library of x has no such function.

    Examples
    --------
    >>> from xpnet import Variable
    >>> from xpnet.functions import special
    >>> float(special.polygamma(1, Variable(1.0)))  # pi^2 / 6
    1.6449
    """
    n = _checked_order(n)
    if n == 0:
        return digamma(x)
    return _in_float32_or_more("polygamma", Polygamma(n), x)


def _checked_order(n: Any) -> int:
    try:
        order = operator.index(n)
    except TypeError:
        raise ArgumentTypeError(
            f"special.polygamma expected an integer order, got {n!r}."
        ) from None
    if order < 0:
        raise ArgumentError(f"special.polygamma expected an order of 0 or more, got {order}.")
    return order


@_of_library
def betaln(a: Array, b: Array, /) -> Array:
    """log(|beta(a, b)|), also where the beta function overflows or underflows.

    Its derivative with respect to a is digamma(a) - digamma(a + b): A&S 6.2.2, 6.3.1.

    Examples
    --------
    >>> from xpnet import Variable
    >>> from xpnet.functions import special
    >>> a = Variable(1000.0)
    >>> float(special.beta(a, a)), float(special.betaln(a, a))
    (0.0, -1388.48)
    """
    return _in_float32_or_more("betaln", Betaln(), a, b)


@_of_library
def beta(a: Array, b: Array, /) -> Array:
    """The beta function Gamma(a) Gamma(b) / Gamma(a + b).

    Its derivative with respect to a is y (digamma(a) - digamma(a + b)): A&S 6.2.2, 6.3.1.

    Examples
    --------
    The integral of t^(a-1) (1 - t)^(b-1) from 0 to 1; here, of t (1 - t)^2:

    >>> from xpnet import Variable
    >>> from xpnet.functions import special
    >>> float(special.beta(Variable(2.0), 3.0))  # 1 / 12
    0.0833
    """
    return _in_float32_or_more("beta", Beta(), a, b)


@_of_library
def gammainc(a: Array, x: Array, /) -> Array:
    """The integral of t^(a-1) exp(-t) from 0 to x, over Gamma(a); a > 0 and x >= 0.

    Its derivative with respect to x is x^(a-1) exp(-x) / Gamma(a): DLMF 8.8.13. That with respect to a raises
    GradientError, since it has no closed form.

    Examples
    --------
    The chi-squared distribution function; with one degree of freedom, 3.84 is exceeded by chance in 5 % of
    all cases:

    >>> from xpnet import Variable
    >>> from xpnet.functions import special
    >>> float(special.gammainc(0.5, Variable(3.8415 / 2.0)))
    0.950
    """
    return _in_float32_or_more("gammainc", Gammainc(), a, x)


@_of_library
def gammaincc(a: Array, x: Array, /) -> Array:
    """1 - gammainc(a, x), precise for large x, where it is small.

    Its derivative with respect to x is -x^(a-1) exp(-x) / Gamma(a): DLMF 8.8.14. That with respect to a raises
    GradientError, since it has no closed form.

    Examples
    --------
    >>> from xpnet import Variable
    >>> from xpnet.functions import special
    >>> x = Variable(20.0)
    >>> float(1.0 - special.gammainc(1.0, x)), float(special.gammaincc(1.0, x))  # exp(-20)
    (0.0, 2.061e-09)
    """
    return _in_float32_or_more("gammaincc", Gammaincc(), a, x)


# --- products with logarithms ---------------------------------------------------------------------


class Xlogy(Function, broadcasts=True):
    """x log(y). Here and in `Xlog1py` and `RelEntr`, y is an argument, and g is the output's gradient."""

    def forward(self, x: Array, y: Array) -> Array:
        xp = array_namespace(x, y)
        zero = xp.logical_and(x == 0.0, xp.logical_not(xp.isnan(y)))
        return xp.where(zero, 0.0, x * xp.log(xp.where(zero, 1.0, y)))

    def backward(self, g: Array, x: Array, y: Array) -> tuple[Array | None, Array | None]:
        xp = array_namespace(x, y)
        zero = xp.logical_and(x == 0.0, y <= 0.0)
        g = zero_unless(xp.logical_not(zero), g)
        y = xp.where(zero, 1.0, y)
        gx = None
        gy = None
        if self.needs[0]:
            gx = g * xp.log(y)
        if self.needs[1]:
            gy = g * (x / y)
        return gx, gy


class Xlog1py(Function, broadcasts=True):
    def forward(self, x: Array, y: Array) -> Array:
        xp = array_namespace(x, y)
        zero = xp.logical_and(x == 0.0, xp.logical_not(xp.isnan(y)))
        return xp.where(zero, 0.0, x * xp.log1p(xp.where(zero, 0.0, y)))

    def backward(self, g: Array, x: Array, y: Array) -> tuple[Array | None, Array | None]:
        xp = array_namespace(x, y)
        zero = xp.logical_and(x == 0.0, y <= -1.0)
        g = zero_unless(xp.logical_not(zero), g)
        y = xp.where(zero, 0.0, y)
        gx = None
        gy = None
        if self.needs[0]:
            gx = g * xp.log1p(y)
        if self.needs[1]:
            gy = g * (x / (1.0 + y))
        return gx, gy


class Entr(Function):
    def forward(self, x: Array) -> Array:
        xp = array_namespace(x)
        y = 0.0 - x * xp.log(xp.where(x > 0.0, x, 1.0))  # 0.0 at 0; a negation would return -0.0
        return xp.where(x < 0.0, -math.inf, y)

    def backward(self, gy: Array, x: Array) -> Array:
        xp = array_namespace(x)
        slope = -1.0 - xp.log(xp.where(x > 0.0, x, 1.0))
        slope = xp.where(x == 0.0, math.inf, slope)
        return gy * xp.where(x >= 0.0, slope, math.nan)


class RelEntr(Function, broadcasts=True):
    def forward(self, x: Array, y: Array) -> Array:
        xp = array_namespace(x, y)
        value = x * _log_of_ratio(x, y)
        impossible = xp.logical_and(y == 0.0, x > 0.0)
        negative = xp.logical_or(x < 0.0, y < 0.0)
        infinite = xp.logical_or(negative, impossible)
        return xp.where(_either_is_nan(x, y), math.nan, xp.where(infinite, math.inf, value))

    def backward(self, g: Array, x: Array, y: Array) -> tuple[Array | None, Array | None]:
        xp = array_namespace(x, y)
        positive = xp.logical_and(x > 0.0, y > 0.0)
        g = xp.where(_either_is_nan(x, y), math.nan, zero_unless(positive, g))
        gx = None
        gy = None
        if self.needs[0]:
            gx = g * xp.where(positive, 1.0 + _log_of_ratio(x, y), 0.0)
        if self.needs[1]:
            gy = g * -xp.where(positive, x / xp.where(positive, y, 1.0), 0.0)
        return gx, gy


def _either_is_nan(x: Array, y: Array) -> Array:
    """Where x or y is NaN: only NaN differs from itself."""
    return array_namespace(x, y).logical_or(x != x, y != y)  # noqa: PLR0124


def _log_of_ratio(x: Array, y: Array) -> Array:
    """log(x / y), precise where both are nearly equal; 0 unless both are positive."""
    xp = array_namespace(x, y)
    positive = xp.logical_and(x > 0.0, y > 0.0)
    x = xp.where(positive, x, 1.0)
    y = xp.where(positive, y, 1.0)
    near = xp.abs(x - y) < 0.5 * y
    log_near = xp.log1p(xp.where(near, (x - y) / y, 0.0))
    log_far = xp.log(x) - xp.log(y)
    return xp.where(near, log_near, log_far)


@_portable
def xlogy(x: Array, y: Array, /) -> Array:
    """x log(y), and 0 where x is 0, unless y is NaN.

    Its derivatives are log(y) and x / y. Where x is 0 and y is 0 or below, both are 0, as in
    PyTorch.

    Examples
    --------
    A cross entropy in which an impossible class has probability 0:

    >>> from xpnet import Variable, functions as F
    >>> from xpnet.functions import special
    >>> t = Variable([0.0, 0.5, 0.5])
    >>> float(-F.sum(special.xlogy(t, Variable([0.0, 0.5, 0.5]))))  # log(2)
    0.6931
    """
    return _in_float32_or_more("xlogy", Xlogy(), x, y)


@_portable
def xlog1py(x: Array, y: Array, /) -> Array:
    """x log(1 + y), and 0 where x is 0, unless y is NaN.

    Its derivatives are log(1 + y) and x / (1 + y). Where x is 0 and y is -1 or below, both are 0.

    Examples
    --------
    The log-likelihood of a coin that shows heads (1) with probability p, for outcomes t:

    >>> from xpnet import Variable, to_numpy
    >>> from xpnet.functions import special
    >>> t = Variable([1.0, 0.0])
    >>> p = Variable([1.0, 0.25])
    >>> to_numpy(special.xlogy(t, p) + special.xlog1py(1.0 - t, -p)).tolist()  # log(1), log(3/4)
    [0.0, -0.2877]
    """
    return _in_float32_or_more("xlog1py", Xlog1py(), x, y)


@_portable
def entr(x: Array, /) -> Array:
    """-x log(x), one term of an entropy: 0 at 0, and -inf below.

    Its derivative is -log(x) - 1.

    Examples
    --------
    >>> import math
    >>> from xpnet import Variable, functions as F
    >>> from xpnet.functions import special
    >>> p = Variable([0.5, 0.5, 0.0])
    >>> float(F.sum(special.entr(p))) / math.log(2.0)  # in bits
    1.0
    """
    return _in_float32_or_more("entr", Entr(), x)


@_portable
def rel_entr(x: Array, y: Array, /) -> Array:
    """x log(x / y) for x, y > 0, one term of a relative entropy.

    It is 0 where x is 0 and y is not negative, and inf elsewhere. Its derivatives are
    log(x / y) + 1 and -x / y where both are positive, and 0 elsewhere.

    Examples
    --------
    >>> from xpnet import Variable, functions as F
    >>> from xpnet.functions import special
    >>> p = Variable([0.5, 0.5])
    >>> q = Variable([0.25, 0.75])
    >>> float(F.sum(special.rel_entr(p, q)))  # (log(2) + log(2/3)) / 2
    0.1438
    """
    return _in_float32_or_more("rel_entr", RelEntr(), x, y)


@_portable
def kl_div(x: Array, y: Array, /) -> Array:
    """x log(x / y) - x + y, one term of a Kullback-Leibler divergence; inf where `rel_entr` is.

    Its derivatives are log(x / y) and 1 - x / y, where both are positive.

    Examples
    --------
    Unlike those of `rel_entr`, the terms are never negative; for distributions their sum is the same.

    >>> from xpnet import Variable, to_numpy
    >>> from xpnet.functions import special
    >>> p = Variable([0.5, 0.5])
    >>> q = Variable([0.25, 0.75])
    >>> to_numpy(special.kl_div(p, q)).tolist(), to_numpy(special.rel_entr(p, q)).tolist()
    ([0.0966, 0.0473], [0.3466, -0.2027])
    """
    total = rel_entr(x, y)
    return total - x + y


# --- modified Bessel functions of the first kind --------------------------------------------------


def _hankel(count: int) -> tuple[float, ...]:
    """The coefficients of 1 / x, 1 / x^2, ... in the expansion of i0e(x) less that of i1e(x).

    Hankel's expansion of either is (1 + c[1] / x + c[2] / x^2 + ...) / sqrt(2 pi x) for large x,
    where c[k] = -c[k-1] (4 order^2 - (2 k - 1)^2) / (8 k): A&S 9.7.1.
    """
    terms = [1.0, 1.0]  # of the orders 0 and 1
    differences = []
    for k in range(1, count + 1):
        terms = [
            -term * (4.0 * order**2 - (2.0 * k - 1.0) ** 2) / (8.0 * k)
            for order, term in enumerate(terms)
        ]
        differences.append(terms[0] - terms[1])
    return tuple(differences)


FAR = 30.0  # from here on, 16 terms of Hankel's expansions are precise in float64
HANKEL = _hankel(16)


class I0(_LibraryFunction):
    name = "i0"

    def backward(self, gy: Array, x: Array) -> Array:
        return gy * i1(x)


class I1(_LibraryFunction):
    name = "i1"

    def backward(self, gy: Array, y: Array, x: Array) -> Array:
        return gy * (i0(x) - _ratio_to_x(y, x))


class I0e(_LibraryFunction):
    name = "i0e"

    def backward(self, gy: Array, x: Array) -> Array:
        return gy * (-array_namespace(x).sign(x) * _i0e_minus_abs_i1e(x))


class I1e(_LibraryFunction):
    name = "i1e"

    def backward(self, gy: Array, y: Array, x: Array) -> Array:
        return gy * (_i0e_minus_abs_i1e(x) - _ratio_to_x(y, x))


def _ratio_to_x(y: Array, x: Array) -> Array:
    """y / x for y = i1(x) or i1e(x), which is 1/2 at 0."""
    xp = array_namespace(x)
    return xp.where(x == 0.0, 0.5, y / xp.where(x == 0.0, 1.0, x))


def _i0e_minus_abs_i1e(x: Array) -> Array:
    """i0e(x) - |i1e(x)|, without cancellation.

    For large |x| the difference is only about 1 / (2 |x|) of each term. There it is computed from
    Hankel's expansions: with a = |x| and w = 1 / a, it is sqrt(w / (2 pi)) times the sum of
    HANKEL[k - 1] w^k over k = 1, 2, ...
    """
    xp = array_namespace(x)
    a = xp.abs(x)
    far = a > FAR
    near = xp.where(far, FAR, a)
    w = 1.0 / xp.where(far, a, FAR)
    total = HANKEL[-1] * w
    for c in HANKEL[-2::-1]:
        total = (total + c) * w
    return xp.where(far, xp.sqrt(w / (2.0 * math.pi)) * total, i0e(near) - i1e(near))


@_of_library
def i0(x: Array, /) -> Array:
    """The modified Bessel function of order 0; its derivative is `i1`: A&S 9.6.27.

    It is the mean of exp(x cos(t)) over the angles t from 0 to pi: A&S 9.6.16.

    Examples
    --------
    The von Mises density of the angle 0, exp(kappa) / (2 pi i0(kappa)); with kappa = 0 it is uniform:

    >>> import math
    >>> from xpnet import Variable, functions as F, to_numpy
    >>> from xpnet.functions import special
    >>> kappa = Variable([0.0, 1.0])
    >>> to_numpy(F.exp(kappa) / (2.0 * math.pi * special.i0(kappa))).tolist()
    [0.1592, 0.3417]
    """
    return _in_float32_or_more("i0", I0(), x)


@_of_library
def i1(x: Array, /) -> Array:
    """The modified Bessel function of order 1; its derivative is i0(x) - y / x: A&S 9.6.26.

    It is the mean of exp(x cos(t)) cos(t) over the angles t from 0 to pi: A&S 9.6.19.

    Examples
    --------
    The mean of cos(angle) in a von Mises distribution:

    >>> from xpnet import Variable, to_numpy
    >>> from xpnet.functions import special
    >>> kappa = Variable([0.0, 1.0])
    >>> to_numpy(special.i1(kappa) / special.i0(kappa)).tolist()
    [0.0, 0.4464]
    """
    return _in_float32_or_more("i1", I1(), x)


@_of_library
def i0e(x: Array, /) -> Array:
    """exp(-|x|) i0(x), which does not overflow; its derivative is i1e(x) - sign(x) y: A&S 9.6.27.

    Examples
    --------
    >>> from xpnet import Variable
    >>> from xpnet.functions import special
    >>> float(special.i0e(Variable(100.0)))  # i0(100) is infinite in float32
    0.0399
    """
    return _in_float32_or_more("i0e", I0e(), x)


@_of_library
def i1e(x: Array, /) -> Array:
    """exp(-|x|) i1(x), which does not overflow.

    Its derivative is i0e(x) - y (sign(x) + 1 / x): A&S 9.6.26.

    Examples
    --------
    The mean of cos(angle) in a narrow von Mises distribution, where i0 and i1 are infinite in float32:

    >>> from xpnet import Variable
    >>> from xpnet.functions import special
    >>> kappa = Variable(100.0)
    >>> float(special.i1e(kappa) / special.i0e(kappa))
    0.9950
    """
    return _in_float32_or_more("i1e", I1e(), x)
