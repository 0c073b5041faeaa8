"""Elementwise functions: the standard's name, what it computes, and its derivative, side by side.

How to read a rule: `gy` is the gradient of the output, `y` the output, and `x` (or `x1`, `x2`) the
input; a function of two inputs has a rule for each. It returns the gradient of that input: gy times
the derivative. At corners, where two numbers are equal, `maximum`, `minimum` and `clip` share the
gradient between them, a half each, as in JAX; `abs` has slope 0 at 0.

Complex numbers: the gradient of a real L with respect to z = x + iy is dL/dx - i dL/dy, twice the Wirtinger
derivative dL/dz, as in JAX. (PyTorch's is its conjugate, and that is the direction to climb.) In
this convention the rule of a holomorphic function reads as for real numbers, gy * f'(z), with
nothing conjugated; only `abs`, `conj`, `imag`, `real` and `sign` are not holomorphic.
"""

import math

from xpnet._typing import Array
from xpnet.autodiff._views import view
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.errors import ArgumentTypeError
from xpnet.functions._logistic import Sigmoid, tanh_gradient
from xpnet.functions._masks import zero_unless
from xpnet.functions._registry import elementwise, standard, step


def _nonzero_divisor(y: Array) -> Array:
    """y with 1 in place of 0, to divide numbers that are 0 themselves there."""
    return array_namespace(y).where(y == 0.0, 1.0, y)


def _share_of_sum(x: Array, other: Array) -> Array:
    """exp(x) / (exp(x) + exp(other)); 1 where both are infinite and equal, as in JAX."""
    xp = array_namespace(x, other)
    same = xp.logical_and(x == other, xp.isinf(x))
    share = Sigmoid()(xp.where(same, 0.0, x) - xp.where(same, 0.0, other))
    return xp.where(same, 1.0, share)


def _fn(name: str, x: Array) -> Array:
    """The namespace's function `name`, applied to x: for rules that call a function."""
    return getattr(array_namespace(x), name)(x)


def _root_of_one_plus_square(x: Array) -> Array:
    """sqrt(1 + x^2), where x^2 itself may be out of range."""
    xp = array_namespace(x)
    return xp.hypot(x, xp.ones_like(x))


def _root_of_one_minus_square(x: Array) -> Array:
    """sqrt(1 - x^2), precise near 1; a product of two roots holds for complex x too."""
    return _fn("sqrt", 1.0 - x) * _fn("sqrt", 1.0 + x)


def _asinh_gradient(gy: Array, x: Array) -> Array:
    """The rule for asinh: gy / sqrt(1 + x^2)."""
    if has_dtype(x, "complex floating"):
        return gy / _root_of_one_minus_square(1j * x)
    return gy / _root_of_one_plus_square(x)


def _atan_gradient(gy: Array, x: Array) -> Array:
    """The rule for atan: gy / (1 + x^2)."""
    if has_dtype(x, "complex floating"):
        return gy / (1.0 + 1j * x) / (1.0 - 1j * x)
    length = _root_of_one_plus_square(x)
    return gy / length / length


def _hypot_gradient(gy: Array, y: Array, x: Array) -> Array:
    """gy x / y for a length y, and 0 where y is 0."""
    return zero_unless(y != 0.0, gy) * (x / _nonzero_divisor(y))


def _over_square(gy: Array, x1: Array, x2: Array) -> Array:
    """gy x1 / (x1^2 + x2^2), where the squares may be out of range."""
    length = array_namespace(x1, x2).hypot(x1, x2)
    return gy * (x1 / length) / length


# --- arithmetic -------------------------------------------------------------------------------

add = elementwise("add", "x1 + x2.", lambda gy: gy, lambda gy: gy)
subtract = elementwise("subtract", "x1 - x2.", lambda gy: gy, lambda gy: -gy)
multiply = elementwise("multiply", "x1 * x2.", lambda gy, x2: gy * x2, lambda gy, x1: gy * x1)
divide = elementwise("divide", "x1 / x2.", lambda gy, x2: gy / x2, lambda gy, x2, y: -(gy * y) / x2)
negative = elementwise("negative", "-x.", lambda gy: -gy)
positive = elementwise("positive", "+x.", lambda gy: gy)
reciprocal = elementwise("reciprocal", "1 / x.", lambda gy, y: -(gy * y * y))
square = elementwise("square", "x * x.", lambda gy, x: 2.0 * (gy * x))
sqrt = elementwise("sqrt", "The square root.", lambda gy, y: 0.5 * gy / y)
hypot = elementwise(
    "hypot",
    "sqrt(x1^2 + x2^2).",
    lambda gy, x1, y: _hypot_gradient(gy, y, x1),
    lambda gy, x2, y: _hypot_gradient(gy, y, x2),
)


class Pow(Function, broadcasts=True):
    """y = x1 ** x2 with two arrays; at x1 = 0 the derivative with respect to x2 is 0, as in JAX.

    gx1 = gy x2 x1^(x2 - 1), and gx2 = gy y log(x1).
    """

    def forward(self, x1: Array, x2: Array) -> Array:
        return array_namespace(x1, x2).pow(x1, x2)

    def backward(
        self, gy: Array, y: Array, x1: Array, x2: Array
    ) -> tuple[Array | None, Array | None]:
        xp = array_namespace(gy)
        gx1 = None
        gx2 = None
        if self.needs[0]:
            tiny = float(xp.finfo(x1.dtype).smallest_normal)
            # Where x2 = 0 and x1 is (almost) 0, x1^(x2 - 1) is infinite, and x2 times it NaN.
            corner = xp.logical_and(xp.abs(x1) < tiny, x2 == 0)
            gx1 = gy * x2 * xp.pow(x1, xp.where(corner, 1.0, x2 - 1.0))
        if self.needs[1]:
            nonzero = x1 != 0
            log = xp.log(xp.where(nonzero, x1, 1.0))
            gx2 = zero_unless(nonzero, gy) * zero_unless(nonzero, y) * log
        return gx1, gx2


class PowScalar(Function):
    """x ** n with a Python number n: it needs no array of exponents, and no `where` for n = 0."""

    def __init__(self, n: complex) -> None:
        self.n = n

    def forward(self, x: Array) -> Array:
        return x**self.n

    def backward(self, gy: Array, x: Array) -> Array:
        if self.n:
            return gy * (self.n * x ** (self.n - 1))
        return array_namespace(gy).zeros_like(gy)


@standard
def pow(x1: Array, x2: Array, /) -> Array:
    """x1 to the power of x2; for a fractional x2, x1 must not be negative.

    Parameters
    ----------
    x1, x2 : arrays or Variables, shapes that broadcast; one may be a Python number
        Of numbers.

    Returns
    -------
    array or Variable, shape to which x1 and x2 broadcast

    Raises
    ------
    ArgumentTypeError
        One is something else, such as a list; or x1 is a Python float or complex number, and x2 of
        integers.
    ShapeError
        The shapes do not broadcast.

    Examples
    --------
    >>> from xpnet import functions as F, to_numpy
    >>> side = F.asarray([1.0, 2.0, 3.0])
    >>> to_numpy(F.pow(side, 3)).tolist()  # the volume of a cube
    [1.0, 8.0, 27.0]
    """
    if isinstance(x2, (int, float, complex)):
        return PowScalar(x2)(x1)
    if isinstance(x1, (int, float, complex)):
        if not isinstance(x1, int) and has_dtype(x2, "integral"):
            raise ArgumentTypeError(
                f"{x1} ** x expected an x of floating-point numbers, got {x2.dtype}."
            )
        model = x2 * 1j if isinstance(x1, complex) else x2
        x1 = array_namespace(x2).full_like(model, x1)
    return Pow()(x1, x2)


# --- exponentials and logarithms --------------------------------------------------------------

exp = elementwise("exp", "e to the power of x.", lambda gy, y: gy * y)
expm1 = elementwise("expm1", "exp(x) - 1, precise near 0.", lambda gy, x: gy * _fn("exp", x))
log = elementwise("log", "The natural logarithm.", lambda gy, x: gy / x)
log1p = elementwise("log1p", "log(1 + x), precise near 0.", lambda gy, x: gy / (x + 1.0))
log2 = elementwise("log2", "The logarithm to base 2.", lambda gy, x: gy / (x * math.log(2)))
log10 = elementwise("log10", "The logarithm to base 10.", lambda gy, x: gy / x / math.log(10))
logaddexp = elementwise(
    "logaddexp",
    "log(exp(x1) + exp(x2)), without overflow.",
    lambda gy, x1, x2: gy * _share_of_sum(x1, x2),
    lambda gy, x1, x2: gy * _share_of_sum(x2, x1),
)

# --- trigonometric and hyperbolic functions; angles in radians --------------------------------

sin = elementwise("sin", "The sine of x radians.", lambda gy, x: gy * _fn("cos", x))
cos = elementwise("cos", "The cosine of x radians.", lambda gy, x: -(gy * _fn("sin", x)))
tan = elementwise("tan", "The tangent of x radians.", lambda gy, y: gy * (1.0 + y * y))
asin = elementwise("asin", "The inverse sine.", lambda gy, x: gy / _root_of_one_minus_square(x))
acos = elementwise("acos", "The inverse cosine.", lambda gy, x: -gy / _root_of_one_minus_square(x))
atan = elementwise("atan", "The inverse tangent.", _atan_gradient)
atan2 = elementwise(
    "atan2",
    "The angle of the point (x2, x1), in radians from -pi to pi.",
    lambda gy, x1, x2: _over_square(gy, x2, x1),
    lambda gy, x1, x2: -_over_square(gy, x1, x2),
)
sinh = elementwise("sinh", "The hyperbolic sine.", lambda gy, x: gy * _fn("cosh", x))
cosh = elementwise("cosh", "The hyperbolic cosine.", lambda gy, x: gy * _fn("sinh", x))
tanh = elementwise("tanh", "The hyperbolic tangent.", tanh_gradient)
asinh = elementwise("asinh", "The inverse of sinh.", _asinh_gradient)
acosh = elementwise(
    "acosh",
    "The inverse of cosh.",
    # sqrt(x^2 - 1) as a product of two roots, which holds for complex x too
    lambda gy, x: gy / (_fn("sqrt", x - 1.0) * _fn("sqrt", x + 1.0)),
)
atanh = elementwise("atanh", "The inverse of tanh.", lambda gy, x: gy / (1.0 - x) / (1.0 + x))

# --- complex numbers and signs ------------------------------------------------------------------

conj = elementwise("conj", "The complex conjugate; a real x as it is.", lambda gy: _fn("conj", gy))
_real = elementwise("real", "The real part; a real x as it is.", lambda gy: gy)
_imag = elementwise("imag", "The imaginary part.", lambda gy: gy * -1j)
copysign = elementwise(
    "copysign",
    "|x1| with the sign of x2, where -0.0 is negative.",
    lambda gy, x1, y: zero_unless(x1 != 0, gy) * (_fn("sign", x1) * _fn("sign", y)),
    lambda gy: _fn("zeros_like", gy),
)
nextafter = elementwise(
    "nextafter",
    "The next number after x1 towards x2.",
    lambda gy: gy,
    lambda gy: _fn("zeros_like", gy),
)
_sign_of_real = step("sign", "-1, 0 or 1.")


@standard
def real(x: Array, /) -> Array:
    """The real part; a real x as it is. It is a view: a write into it changes x.

    Parameters
    ----------
    x : array or Variable, any shape
        Of floating-point numbers.

    Returns
    -------
    array or Variable, shape that of x
        Of real numbers, in the precision of x.

    Raises
    ------
    ArgumentTypeError
        x is not an array or a Variable.

    Examples
    --------
    >>> from xpnet import functions as F, to_numpy
    >>> z = F.asarray([1.0 + 2.0j, 3.0 - 1.0j])
    >>> power = F.real(z * F.conj(z))
    >>> to_numpy(power).tolist()
    [5.0, 10.0]
    """
    return view(_real(x), x, None, _real_of, _with_real)


@standard
def imag(x: Array, /) -> Array:
    """The imaginary part. It is a view: a write into it changes x.

    Parameters
    ----------
    x : array or Variable, any shape
        Of complex numbers.

    Returns
    -------
    array or Variable, shape that of x
        Of real numbers.

    Raises
    ------
    ArgumentTypeError
        x is not an array or a Variable.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> z = F.asarray(3.0 + 4.0j)
    >>> float(F.imag(z))
    4.0
    """
    return view(_imag(x), x, None, _imag_of, _with_imag)


def _real_of(x: Array, how: None) -> Array:
    return _real(x)


def _with_real(x: Array, how: None, y: Array) -> Array:
    """x after y was written into its real part."""
    if has_dtype(x, "complex floating"):
        return y + 1j * _imag(x)
    return +y


def _imag_of(x: Array, how: None) -> Array:
    return _imag(x)


def _with_imag(x: Array, how: None, y: Array) -> Array:
    """x after y was written into its imaginary part."""
    return _real(x) + 1j * y


class Abs(Function):
    def forward(self, x: Array) -> Array:
        return array_namespace(x).abs(x)

    def backward(self, gy: Array, x: Array) -> Array:
        slope = _fn("sign", x)
        if has_dtype(x, "complex floating"):
            slope = _fn("conj", slope)
        return zero_unless(x != 0, gy) * slope


class Sign(Function):
    """y = x / |x| for complex numbers: it depends on the angle of x, and not on |x|.

    If x changes by dx, its angle changes by Im(conj(y) dx) / |x|, and y by i y times that.
    """

    def forward(self, x: Array) -> Array:
        return array_namespace(x).sign(x)

    def backward(self, gy: Array, y: Array, x: Array) -> Array:
        xp = array_namespace(gy)
        turn = xp.imag(zero_unless(x != 0, gy) * y) / _nonzero_divisor(xp.abs(x))
        return turn * (1j * xp.conj(y))


@standard
def abs(x: Array, /) -> Array:
    """The absolute value; its slope at 0 is 0.

    Parameters
    ----------
    x : array or Variable, any shape
        Of numbers.

    Returns
    -------
    array or Variable, shape that of x
        Real, also for complex x.

    Raises
    ------
    ArgumentTypeError
        x is not an array or a Variable.

    Examples
    --------
    >>> from xpnet import functions as F, grad, to_numpy
    >>> x = F.asarray([-3.0, 0.0, 2.0])
    >>> to_numpy(F.abs(x)).tolist()
    [3.0, 0.0, 2.0]
    >>> to_numpy(grad(lambda x: F.sum(F.abs(x)))(x)).tolist()
    [-1.0, 0.0, 1.0]
    """
    return Abs()(x)


@standard
def sign(x: Array, /) -> Array:
    """-1, 0 or 1, without history; for a complex x the number x / |x|, or 0.

    Parameters
    ----------
    x : array or Variable, any shape
        Of numbers.

    Returns
    -------
    array or Variable, shape and dtype those of x

    Raises
    ------
    ArgumentTypeError
        x is not an array or a Variable.

    Examples
    --------
    >>> from xpnet import functions as F, to_numpy
    >>> gradient = F.asarray([-0.001, 0.0, 20.0])
    >>> step = -0.5 * F.sign(gradient)  # as long for a small gradient as for a large one
    >>> to_numpy(step).tolist()
    [0.5, -0.0, -0.5]
    """
    if has_dtype(x, "complex floating"):
        return Sign()(x)
    return _sign_of_real(x)


# --- division with remainder, and picking one of two ---------------------------------------------

remainder = elementwise(
    "remainder",
    "x1 - x2 floor(x1 / x2), which has the sign of x2.",
    lambda gy: gy,
    lambda gy, x1, x2: -_times_quotient(gy, x1, x2),
)


def _times_quotient(gy: Array, x1: Array, x2: Array) -> Array:
    """gy floor(x1 / x2)."""
    quotient = array_namespace(x1, x2).floor_divide(x1, x2)
    return zero_unless(quotient != 0, gy) * quotient


def _share(gy: Array, wins: Array, ties: Array) -> Array:
    """gy where the input is the one that was chosen, half of gy where both are equal, else 0."""
    return zero_unless(wins, gy) + zero_unless(ties, 0.5 * gy)


maximum = elementwise(
    "maximum",
    "The larger of x1 and x2.",
    lambda gy, x1, x2: _share(gy, x1 > x2, x1 == x2),
    lambda gy, x1, x2: _share(gy, x2 > x1, x1 == x2),
)
minimum = elementwise(
    "minimum",
    "The smaller of x1 and x2.",
    lambda gy, x1, x2: _share(gy, x1 < x2, x1 == x2),
    lambda gy, x1, x2: _share(gy, x2 < x1, x1 == x2),
)


Bound = Array | float | None


def _promotes(x: Array, *bounds: Bound) -> bool:
    """Whether a bound is an array whose dtype differs from that of x."""
    return any(getattr(bound, "dtype", x.dtype) != x.dtype for bound in bounds)


def _native(x: Array) -> Array:
    """x in this machine's byte order: array_api_compat's clip raises for NumPy's other orders."""
    if getattr(x.dtype, "isnative", True):
        return x
    return array_namespace(x).astype(x, x.dtype.newbyteorder("="))


class Clip(Function, broadcasts=True):
    """minimum(maximum(x, min), max); where x equals a bound, both share the gradient."""

    def forward(self, x: Array, min: Bound, max: Bound) -> Array:
        xp = array_namespace(x, min, max)
        unlimited = min is None and max is None
        if unlimited or not has_dtype(x, "real floating") or _promotes(x, min, max):
            return xp.clip(_native(x), min, max)
        # Not array_api_compat's clip: on CuPy it copies numbers to the host, and so waits for the GPU.
        if min is not None:
            x = xp.maximum(x, min)
        if max is not None:
            x = xp.minimum(x, max)
        return x

    def backward(
        self, gy: Array, x: Array, min: Bound, max: Bound
    ) -> tuple[Array, Array | None, Array | None]:
        # Back through the two steps: first the one that `max` limits, then the one that `min` limits.
        xp = array_namespace(gy)
        gx = gy
        gmin = None
        gmax = None
        if max is not None:
            y = x if min is None else xp.maximum(x, min)
            gmax = _share(gx, y > max, y == max)
            gx = _share(gx, y < max, y == max)
        if min is not None:
            gmin = _share(gx, x < min, x == min)
            gx = _share(gx, x > min, x == min)
        return gx, gmin, gmax


@standard
def clip(x: Array, /, min: Bound = None, max: Bound = None) -> Array:
    """The nearest number to x in the interval from `min` to `max`, each of which may be None.

    Its derivative is 1 inside the interval, 0 outside, and 1/2 where x equals a bound.

    Parameters
    ----------
    x : array or Variable, any shape
        Of real numbers.
    min, max : array, Variable or number, optional
        Their shapes broadcast with that of x.

    Returns
    -------
    array or Variable, shape to which all of them broadcast

    Raises
    ------
    ArgumentTypeError
        x is not an array or a Variable.
    ShapeError
        The shapes do not broadcast.

    Examples
    --------
    >>> from xpnet import functions as F, grad, to_numpy
    >>> x = F.asarray([-2.0, 0.5, 1.0])
    >>> to_numpy(F.clip(x, 0.0, 1.0)).tolist()
    [0.0, 0.5, 1.0]
    >>> to_numpy(grad(lambda x: F.sum(F.clip(x, 0.0, 1.0)))(x)).tolist()
    [0.0, 1.0, 0.5]
    """
    return Clip()(x, min, max)


# --- no derivative -------------------------------------------------------------------------------

floor = step("floor", "The largest integer that is not above x.")
ceil = step("ceil", "The smallest integer that is not below x.")
round = step("round", "The nearest integer; halves go to the even one.")
trunc = step("trunc", "x without its fraction.")
floor_divide = step("floor_divide", "floor(x1 / x2).", 2)
isfinite = step("isfinite", "Whether x is neither infinite nor NaN.")
isinf = step("isinf", "Whether x is infinite.")
isnan = step("isnan", "Whether x is NaN.")
signbit = step("signbit", "Whether the sign bit of x is set, as for negative numbers and -0.0.")
equal = step("equal", "x1 == x2.", 2)
not_equal = step("not_equal", "x1 != x2.", 2)
less = step("less", "x1 < x2.", 2)
less_equal = step("less_equal", "x1 <= x2.", 2)
greater = step("greater", "x1 > x2.", 2)
greater_equal = step("greater_equal", "x1 >= x2.", 2)
logical_and = step("logical_and", "x1 and x2.", 2)
logical_or = step("logical_or", "x1 or x2.", 2)
logical_not = step("logical_not", "not x.")
logical_xor = step("logical_xor", "x1 or x2, but not both.", 2)
bitwise_and = step("bitwise_and", "x1 & x2: the bits that both have.", 2)
bitwise_or = step("bitwise_or", "x1 | x2: the bits that either has.", 2)
bitwise_xor = step("bitwise_xor", "x1 ^ x2: the bits that only one of them has.", 2)
bitwise_invert = step("bitwise_invert", "~x: the bits that x lacks.")
bitwise_left_shift = step("bitwise_left_shift", "x1 << x2: the bits of x1, x2 places up.", 2)
bitwise_right_shift = step("bitwise_right_shift", "x1 >> x2: the bits of x1, x2 places down.", 2)
