"""Elementwise functions: the standard's name, what it computes, and its derivative, side by side.

How to read a rule: `gy` is the gradient of the output, `y` the output, and `x` (or `x1`, `x2`) the
input; a function of two inputs has a rule for each. Corners follow JAX: `maximum` and `minimum`
give equal numbers a half each, and `abs` has slope 0 at 0.
"""

import math
from typing import Any

from xpnet.autodiff import Function
from xpnet.functions.declare import constant, elementwise, standard
from xpnet.namespace import array_namespace, has_dtype


def _fn(name: str, x: Any) -> Any:
    """The namespace's function `name` of x, for rules that call one."""
    return getattr(array_namespace(x), name)(x)


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
    "hypot", "sqrt(x1^2 + x2^2).", lambda gy, x1, y: gy * x1 / y, lambda gy, x2, y: gy * x2 / y
)


class _Power(Function):
    """x1 ** x2 with two arrays; at x1 = 0 the derivative by x2 is 0, as in JAX."""

    def forward(self, x1: Any, x2: Any) -> Any:
        return array_namespace(x1, x2).pow(x1, x2)

    def backward(self, gy: Any, y: Any, x1: Any, x2: Any) -> Any:
        xp = array_namespace(gy)
        gx1 = gx2 = None
        if self.needs[0]:
            tiny = float(xp.finfo(x1.dtype).smallest_normal)
            corner = xp.logical_and(xp.abs(x1) < tiny, x2 == 0)  # else 0 times infinity
            gx1 = gy * x2 * xp.pow(x1, xp.where(corner, 1.0, x2 - 1.0))
        if self.needs[1]:
            gx2 = gy * y * xp.log(xp.where(x1 == 0, 1.0, x1))
        return gx1, gx2


class _PowerOfScalar(Function):
    """x ** n with a Python number n: no array of exponents, and nothing to decide at n = 0."""

    def __init__(self, n: Any) -> None:
        self.n = n

    def forward(self, x: Any) -> Any:
        return x**self.n

    def backward(self, gy: Any, x: Any) -> Any:
        return gy * (self.n * x ** (self.n - 1)) if self.n else 0.0 * gy


@standard
def pow(x1: Any, x2: Any, /) -> Any:
    """x1 to the power of x2; for a fractional x2, x1 must not be negative."""
    if isinstance(x2, (int, float)):
        return _PowerOfScalar(x2)(x1)
    if isinstance(x1, (int, float)):
        if isinstance(x1, float) and has_dtype(x2, "integral"):
            raise TypeError(f"{x1} ** x needs an x of floating-point numbers, got {x2.dtype}.")
        x1 = array_namespace(x2).full_like(x2, x1)
    return _Power()(x1, x2)


# --- exponentials and logarithms --------------------------------------------------------------

exp = elementwise("exp", "e to the power of x.", lambda gy, y: gy * y)
expm1 = elementwise("expm1", "exp(x) - 1, precise near 0.", lambda gy, y: gy * (y + 1.0))
log = elementwise("log", "The natural logarithm.", lambda gy, x: gy / x)
log1p = elementwise("log1p", "log(1 + x), precise near 0.", lambda gy, x: gy / (x + 1.0))
log2 = elementwise("log2", "The logarithm to base 2.", lambda gy, x: gy / (x * math.log(2)))
log10 = elementwise("log10", "The logarithm to base 10.", lambda gy, x: gy / (x * math.log(10)))
logaddexp = elementwise(
    "logaddexp",
    "log(exp(x1) + exp(x2)), without overflow.",
    lambda gy, y, x1: gy * _fn("exp", x1 - y),
    lambda gy, y, x2: gy * _fn("exp", x2 - y),
)

# --- trigonometric and hyperbolic functions; angles in radians --------------------------------

sin = elementwise("sin", "The sine of x radians.", lambda gy, x: gy * _fn("cos", x))
cos = elementwise("cos", "The cosine of x radians.", lambda gy, x: -(gy * _fn("sin", x)))
tan = elementwise("tan", "The tangent of x radians.", lambda gy, y: gy * (1.0 + y * y))
asin = elementwise("asin", "The inverse sine.", lambda gy, x: gy / _fn("sqrt", 1.0 - x * x))
acos = elementwise("acos", "The inverse cosine.", lambda gy, x: -gy / _fn("sqrt", 1.0 - x * x))
atan = elementwise("atan", "The inverse tangent.", lambda gy, x: gy / (1.0 + x * x))
atan2 = elementwise(
    "atan2",
    "The angle of the point (x2, x1), in radians from -pi to pi.",
    lambda gy, x1, x2: gy * x2 / (x1 * x1 + x2 * x2),
    lambda gy, x1, x2: -(gy * x1) / (x1 * x1 + x2 * x2),
)
sinh = elementwise("sinh", "The hyperbolic sine.", lambda gy, x: gy * _fn("cosh", x))
cosh = elementwise("cosh", "The hyperbolic cosine.", lambda gy, x: gy * _fn("sinh", x))
tanh = elementwise("tanh", "The hyperbolic tangent.", lambda gy, y: gy * (1.0 - y * y))
asinh = elementwise("asinh", "The inverse of sinh.", lambda gy, x: gy / _fn("sqrt", x * x + 1.0))
acosh = elementwise("acosh", "The inverse of cosh.", lambda gy, x: gy / _fn("sqrt", x * x - 1.0))
atanh = elementwise("atanh", "The inverse of tanh.", lambda gy, x: gy / (1.0 - x * x))

# --- picking one of two ------------------------------------------------------------------------


def _share(gy: Any, wins: Any, ties: Any) -> Any:
    """The gradient where the input wins, half of it where both are equal, else 0."""
    xp = array_namespace(gy)
    return xp.where(wins, gy, 0.0) + xp.where(ties, 0.5 * gy, 0.0)


abs = elementwise("abs", "The absolute value.", lambda gy, x: gy * _fn("sign", x))
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

# --- no derivative -------------------------------------------------------------------------------

sign = constant("sign", "-1, 0 or 1.")
floor = constant("floor", "The largest integer that is not above x.")
ceil = constant("ceil", "The smallest integer that is not below x.")
round = constant("round", "The nearest integer; halves go to the even one.")
trunc = constant("trunc", "x without its fraction.")
isfinite = constant("isfinite", "Whether x is neither infinite nor nan.")
isinf = constant("isinf", "Whether x is infinite.")
isnan = constant("isnan", "Whether x is nan.")
equal = constant("equal", "x1 == x2.")
not_equal = constant("not_equal", "x1 != x2.")
less = constant("less", "x1 < x2.")
less_equal = constant("less_equal", "x1 <= x2.")
greater = constant("greater", "x1 > x2.")
greater_equal = constant("greater_equal", "x1 >= x2.")
logical_and = constant("logical_and", "x1 and x2.")
logical_or = constant("logical_or", "x1 or x2.")
logical_not = constant("logical_not", "not x.")
logical_xor = constant("logical_xor", "x1 or x2, but not both.")
