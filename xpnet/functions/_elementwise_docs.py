"""The docstrings of the elementwise functions: the dtypes and an example of each.

They are kept apart from the table in `elementwise.py`, in which value and derivative stand side by
side.
"""

from typing import NamedTuple

NUMBERS = "numbers"
REAL = "real numbers"
FLOATING = "floating-point numbers"
REAL_FLOATING = "real floating-point numbers"
INTEGERS = "integers or booleans"
BOOLEANS = "booleans"


class About(NamedTuple):
    """What the docstring of an elementwise function has, besides its summary.

    Attributes
    ----------
    of : str
        What its arguments are arrays of.
    example : str
    is_test : bool
        Whether the result is of booleans.
    """

    of: str
    example: str
    is_test: bool = False


def docstring(name: str, summary: str, inputs: tuple[str, ...], has_derivative: bool) -> str:
    """The docstring of the function `name`: its summary, arguments, result, errors and example."""
    # The inner part of `real`, `imag` or `sign`, which has a docstring of its own.
    if name not in ABOUT:
        return summary
    of, example, is_test = ABOUT[name]
    shape = "that of x"
    given = "x : array or Variable, any shape"
    errors = ["ArgumentTypeError", "    x is not an array or a Variable."]
    if len(inputs) > 1:
        shape = "to which x1 and x2 broadcast"
        given = "x1, x2 : arrays or Variables, shapes that broadcast; one may be a Python number"
        errors[1] = "    Neither x1 nor x2 is an array or a Variable."
        errors += ["ShapeError", "    The shapes do not broadcast."]
    result = f"array or Variable, shape {shape}"
    if is_test:
        result += ", of booleans"
    sections = {
        "Parameters": [given, f"    Of {of}."],
        "Returns": [result] if has_derivative else [result, "    It has no derivative."],
        "Raises": errors,
        "Examples": [example.strip()],
    }
    parts = [summary]
    for title, lines in sections.items():
        parts += ["", title, "-" * len(title), *lines]
    return "\n".join(parts)


ABOUT = {
    # --- arithmetic -------------------------------------------------------------------------------
    "add": About(
        NUMBERS,
        """
>>> from xpnet import functions as F, to_numpy
>>> x = F.asarray([[1.0, 2.0], [3.0, 4.0]])
>>> to_numpy(F.add(x, F.asarray([10.0, 20.0]))).tolist()  # to each row, as a bias
[[11.0, 22.0], [13.0, 24.0]]
""",
    ),
    "subtract": About(
        NUMBERS,
        """
To center each column on 0:

>>> from xpnet import functions as F, to_numpy
>>> x = F.asarray([[1.0, 20.0], [3.0, 10.0]])
>>> to_numpy(F.subtract(x, F.mean(x, axis=0))).tolist()
[[-1.0, 5.0], [1.0, -5.0]]
""",
    ),
    "multiply": About(
        NUMBERS,
        """
>>> from xpnet import functions as F, to_numpy
>>> x = F.asarray([[1.0, 2.0], [3.0, 4.0]])
>>> to_numpy(F.multiply(x, F.asarray([[10.0], [0.0]]))).tolist()  # a weight for each row
[[10.0, 20.0], [0.0, 0.0]]
""",
    ),
    "divide": About(
        FLOATING,
        """
>>> from xpnet import functions as F, to_numpy
>>> counts = F.asarray([[1.0, 3.0], [5.0, 5.0]])
>>> shares = F.divide(counts, F.sum(counts, axis=1, keepdims=True))
>>> to_numpy(shares).tolist()
[[0.25, 0.75], [0.5, 0.5]]
""",
    ),
    "negative": About(
        NUMBERS,
        """
>>> from xpnet import functions as F, to_numpy
>>> scores = F.asarray([2.0, 9.0, 5.0])
>>> to_numpy(F.argsort(F.negative(scores))).tolist()  # the best first
[1, 2, 0]
""",
    ),
    "positive": About(
        NUMBERS,
        """
>>> from xpnet import functions as F, to_numpy
>>> to_numpy(F.positive(F.asarray([-2.0, 3.0]))).tolist()  # not the absolute value
[-2.0, 3.0]
""",
    ),
    "reciprocal": About(
        FLOATING,
        """
>>> from xpnet import functions as F, to_numpy
>>> seconds_per_step = F.asarray([0.5, 0.25])
>>> to_numpy(F.reciprocal(seconds_per_step)).tolist()  # steps per second
[2.0, 4.0]
""",
    ),
    "square": About(
        NUMBERS,
        """
The gradient of a mean of n squares is 2 x / n.

>>> from xpnet import functions as F, grad, to_numpy
>>> errors = F.asarray([1.0, -3.0])
>>> float(F.mean(F.square(errors)))
5.0
>>> to_numpy(grad(lambda x: F.mean(F.square(x)))(errors)).tolist()
[1.0, -3.0]
""",
    ),
    "sqrt": About(
        FLOATING,
        """
From variances to standard deviations:

>>> from xpnet import functions as F, to_numpy
>>> to_numpy(F.sqrt(F.asarray([0.25, 4.0, 9.0]))).tolist()
[0.5, 2.0, 3.0]
""",
    ),
    "hypot": About(
        REAL_FLOATING,
        """
The squares of the second pair would be infinite in float32.

>>> from xpnet import functions as F, to_numpy
>>> length = F.hypot(F.asarray([3.0, 3e30]), F.asarray([4.0, 4e30]))
>>> to_numpy(length).tolist()
[5.0, 5e+30]
""",
    ),
    # --- exponentials and logarithms --------------------------------------------------------------
    "exp": About(
        FLOATING,
        """
>>> from xpnet import functions as F, grad, to_numpy
>>> x = F.asarray([0.0, 1.0])
>>> to_numpy(F.exp(x)).tolist()
[1.0, 2.7183]
>>> to_numpy(grad(lambda x: F.sum(F.exp(x)))(x)).tolist()  # exp is its own derivative
[1.0, 2.7183]
""",
    ),
    "expm1": About(
        FLOATING,
        """
>>> from xpnet import functions as F
>>> x = F.asarray(1e-10)
>>> float(F.expm1(x))
1e-10
>>> float(F.exp(x) - 1.0)  # exp(x) is rounded to 1
0.0
""",
    ),
    "log": About(
        FLOATING,
        """
The log-likelihood of independent events is the logarithm of a product.

>>> from xpnet import functions as F
>>> p = F.asarray([0.5, 0.25])
>>> float(F.sum(F.log(p))), float(F.log(F.prod(p)))
(-2.0794, -2.0794)
""",
    ),
    "log1p": About(
        FLOATING,
        """
>>> from xpnet import functions as F
>>> x = F.asarray(1e-10)
>>> float(F.log1p(x))
1e-10
>>> float(F.log(1.0 + x))  # 1 + x is rounded to 1
0.0
""",
    ),
    "log2": About(
        FLOATING,
        """
The surprise of an event, in bits:

>>> from xpnet import functions as F, to_numpy
>>> to_numpy(-F.log2(F.asarray([0.5, 0.25, 0.125]))).tolist()
[1.0, 2.0, 3.0]
""",
    ),
    "log10": About(
        FLOATING,
        """
The ratio of two powers, in decibels:

>>> from xpnet import functions as F, to_numpy
>>> to_numpy(10.0 * F.log10(F.asarray([0.1, 1.0, 1000.0]))).tolist()
[-10.0, 0.0, 30.0]
""",
    ),
    "logaddexp": About(
        REAL_FLOATING,
        """
The sum of two probabilities that are given by their logarithms:

>>> from xpnet import functions as F
>>> log_p = F.asarray(-1000.0)  # exp(-1000) is 0 in float32
>>> float(F.logaddexp(log_p, log_p))  # log(2) - 1000
-999.3069
""",
    ),
    # --- trigonometric and hyperbolic functions ---------------------------------------------------
    "sin": About(
        FLOATING,
        """
>>> import math
>>> from xpnet import functions as F, to_numpy
>>> to_numpy(F.sin(F.asarray([0.0, math.pi / 6, math.pi / 2]))).tolist()
[0.0, 0.500, 1.000]
""",
    ),
    "cos": About(
        FLOATING,
        """
>>> import math
>>> from xpnet import functions as F, to_numpy
>>> to_numpy(F.cos(F.asarray([0.0, math.pi / 3, math.pi]))).tolist()
[1.0, 0.5, -1.0]
""",
    ),
    "tan": About(
        FLOATING,
        """
The height of a tree whose top is seen at an angle of 45 degrees, from 20 m away:

>>> import math
>>> from xpnet import functions as F
>>> float(20.0 * F.tan(F.asarray(math.radians(45.0))))
20.000
""",
    ),
    "asin": About(
        FLOATING,
        """
The angle of a road that rises 1 m in 2 m:

>>> import math
>>> from xpnet import functions as F
>>> math.degrees(F.asin(F.asarray(0.5)))
30.0
""",
    ),
    "acos": About(
        FLOATING,
        """
The angle between two vectors of length 1:

>>> import math
>>> from xpnet import functions as F
>>> a = F.asarray([1.0, 0.0])
>>> b = F.asarray([0.5, 0.8660254])
>>> math.degrees(F.acos(F.vecdot(a, b)))
60.0
""",
    ),
    "atan": About(
        FLOATING,
        """
It maps all real numbers into the interval from -pi/2 to pi/2.

>>> from xpnet import functions as F, to_numpy
>>> to_numpy(F.atan(F.asarray([-1e9, 0.0, 1.0, 1e9]))).tolist()
[-1.5708, 0.0, 0.7854, 1.5708]
""",
    ),
    "atan2": About(
        REAL_FLOATING,
        """
Opposite points have the same x1 / x2, and other angles:

>>> import math
>>> from xpnet import functions as F, to_numpy
>>> angles = F.atan2(F.asarray([1.0, -1.0]), F.asarray([1.0, -1.0]))
>>> to_numpy(angles / math.pi * 180.0).tolist()
[45.0, -135.0]
""",
    ),
    "sinh": About(
        FLOATING,
        """
>>> from xpnet import functions as F, to_numpy
>>> x = F.asarray([-1.0, 0.0, 1.0])
>>> to_numpy(F.sinh(x)).tolist()
[-1.1752, 0.0, 1.1752]
>>> to_numpy((F.exp(x) - F.exp(-x)) / 2.0).tolist()
[-1.1752, 0.0, 1.1752]
""",
    ),
    "cosh": About(
        FLOATING,
        """
A chain that hangs from two points has this shape.

>>> from xpnet import functions as F, to_numpy
>>> to_numpy(F.cosh(F.asarray([-1.0, 0.0, 1.0]))).tolist()
[1.5431, 1.0, 1.5431]
""",
    ),
    "tanh": About(
        FLOATING,
        """
It saturates: far from 0, its gradient vanishes.

>>> from xpnet import functions as F, grad, to_numpy
>>> x = F.asarray([0.0, 0.5, 20.0])
>>> to_numpy(F.tanh(x)).tolist()
[0.0, 0.4621, 1.0]
>>> to_numpy(grad(lambda x: F.sum(F.tanh(x)))(x)).tolist()
[1.0, 0.7864, 0.0000]
""",
    ),
    "asinh": About(
        FLOATING,
        """
A logarithmic scale for both signs: near 0 it is x, far from 0 it is the sign of x times log(2 |x|).

>>> from xpnet import functions as F, to_numpy
>>> to_numpy(F.asinh(F.asarray([-1e6, -0.01, 0.0, 0.01, 1e6]))).tolist()
[-14.509, -0.01, 0.0, 0.01, 14.509]
""",
    ),
    "acosh": About(
        FLOATING,
        """
>>> from xpnet import functions as F, to_numpy
>>> to_numpy(F.acosh(F.cosh(F.asarray([-2.0, 0.0, 2.0])))).tolist()  # the result is never negative
[2.0, 0.0, 2.0]
""",
    ),
    "atanh": About(
        FLOATING,
        """
Fisher's transformation of correlations: it stretches the ends of the interval from -1 to 1.

>>> from xpnet import functions as F, to_numpy
>>> to_numpy(F.atanh(F.asarray([0.0, 0.5, 0.99]))).tolist()
[0.0, 0.5493, 2.6467]
""",
    ),
    # --- complex numbers, signs, picking one of two -----------------------------------------------
    "conj": About(
        NUMBERS,
        """
>>> from xpnet import functions as F
>>> z = F.asarray(3.0 + 4.0j)
>>> complex(F.conj(z)), complex(z * F.conj(z))  # the product is |z|^2
((3-4j), (25+0j))
""",
    ),
    "copysign": About(
        REAL_FLOATING,
        """
To round halves away from 0:

>>> from xpnet import functions as F, to_numpy
>>> x = F.asarray([-2.5, -0.4, 2.5])
>>> to_numpy(F.copysign(F.floor(F.abs(x) + 0.5), x)).tolist()
[-3.0, -0.0, 3.0]
""",
    ),
    "nextafter": About(
        REAL_FLOATING,
        """
>>> from xpnet import functions as F
>>> one = F.asarray(1.0, dtype=F.float32)
>>> float(F.nextafter(one, 2.0 * one) - one) == 2.0**-23  # float32 has 23 bits after the 1
True
""",
    ),
    "remainder": About(
        REAL,
        """
Hours on a clock; the remainder of a negative number is not negative:

>>> from xpnet import functions as F, to_numpy
>>> to_numpy(F.remainder(F.asarray([-1, 7, 25]), 24)).tolist()
[23, 7, 1]
""",
    ),
    "maximum": About(
        REAL,
        """
ReLU; where x1 and x2 are equal, each gets half of the gradient.

>>> from xpnet import functions as F, grad, to_numpy
>>> x = F.asarray([-1.0, 0.0, 2.0])
>>> to_numpy(F.maximum(x, 0.0)).tolist()
[0.0, 0.0, 2.0]
>>> to_numpy(grad(lambda x: F.sum(F.maximum(x, 0.0)))(x)).tolist()
[0.0, 0.5, 1.0]
""",
    ),
    "minimum": About(
        REAL,
        """
To limit a loss, so that an outlier has no gradient:

>>> from xpnet import functions as F, grad, to_numpy
>>> loss = F.asarray([0.5, 3.0, 400.0])
>>> to_numpy(F.minimum(loss, 10.0)).tolist()
[0.5, 3.0, 10.0]
>>> to_numpy(grad(lambda x: F.sum(F.minimum(x, 10.0)))(loss)).tolist()
[1.0, 1.0, 0.0]
""",
    ),
    # --- no derivative ----------------------------------------------------------------------------
    "floor": About(
        REAL,
        """
The bin of each number, in a histogram with bins of length 0.5:

>>> from xpnet import functions as F, to_numpy
>>> to_numpy(F.floor(F.asarray([0.2, 0.5, 1.7, -0.1]) / 0.5)).tolist()
[0.0, 1.0, 3.0, -1.0]
""",
    ),
    "ceil": About(
        REAL,
        """
The number of batches of 32 in data sets of three sizes:

>>> from xpnet import functions as F, to_numpy
>>> to_numpy(F.ceil(F.asarray([64.0, 65.0, 100.0]) / 32.0)).tolist()
[2.0, 3.0, 4.0]
""",
    ),
    "round": About(
        NUMBERS,
        """
>>> from xpnet import functions as F, to_numpy
>>> to_numpy(F.round(F.asarray([0.5, 1.5, 2.4, -2.6]))).tolist()
[0.0, 2.0, 2.0, -3.0]
""",
    ),
    "trunc": About(
        REAL,
        """
Unlike `floor`, it rounds towards 0.

>>> from xpnet import functions as F, to_numpy
>>> x = F.asarray([-1.7, 1.7])
>>> to_numpy(F.trunc(x)).tolist(), to_numpy(F.floor(x)).tolist()
([-1.0, 1.0], [-2.0, 1.0])
""",
    ),
    "floor_divide": About(
        REAL,
        """
Row and column of the numbers of an image that is 28 wide:

>>> from xpnet import functions as F, to_numpy
>>> i = F.asarray([0, 27, 28, 60])
>>> to_numpy(F.floor_divide(i, 28)).tolist(), to_numpy(F.remainder(i, 28)).tolist()
([0, 0, 1, 2], [0, 27, 0, 4])
""",
    ),
    "isfinite": About(
        NUMBERS,
        """
>>> from xpnet import functions as F, to_numpy
>>> x = F.asarray([1.0, float("inf"), float("nan")])
>>> to_numpy(F.isfinite(x)).tolist()
[True, False, False]
""",
        is_test=True,
    ),
    "isinf": About(
        NUMBERS,
        """
>>> from xpnet import functions as F, to_numpy
>>> x = F.asarray([1.0, float("-inf"), float("nan")])
>>> to_numpy(F.isinf(x)).tolist()
[False, True, False]
""",
        is_test=True,
    ),
    "isnan": About(
        NUMBERS,
        """
The mean of the numbers that are there:

>>> from xpnet import functions as F
>>> x = F.asarray([1.0, float("nan"), 3.0])
>>> float(F.mean(x[~F.isnan(x)]))
2.0
""",
        is_test=True,
    ),
    "signbit": About(
        REAL_FLOATING,
        """
A comparison cannot distinguish -0.0 from 0.0.

>>> from xpnet import functions as F, to_numpy
>>> x = F.asarray([-2.0, -0.0, 0.0])
>>> to_numpy(F.signbit(x)).tolist(), to_numpy(x < 0.0).tolist()
([True, True, False], [True, False, False])
""",
        is_test=True,
    ),
    "equal": About(
        "numbers or booleans",
        """
The share of predictions that are right:

>>> from xpnet import functions as F
>>> right = F.equal(F.asarray([2, 0, 1, 1]), F.asarray([2, 1, 1, 1]))
>>> int(F.count_nonzero(right)) / right.size
0.75
""",
        is_test=True,
    ),
    "not_equal": About(
        "numbers or booleans",
        """
The samples that are classified wrongly:

>>> from xpnet import functions as F, to_numpy
>>> wrong = F.not_equal(F.asarray([2, 0, 1, 1]), F.asarray([2, 1, 1, 0]))
>>> (places,) = F.nonzero(wrong)
>>> to_numpy(places).tolist()
[1, 3]
""",
        is_test=True,
    ),
    "less": About(
        REAL,
        """
>>> from xpnet import functions as F, to_numpy
>>> to_numpy(F.less(F.asarray([1.0, 2.0, 3.0]), 2.0)).tolist()
[True, False, False]
""",
        is_test=True,
    ),
    "less_equal": About(
        REAL,
        """
The steps that are not padding, in sequences of 1 and of 3 steps:

>>> from xpnet import functions as F, to_numpy
>>> lengths = F.asarray([[1], [3]])
>>> to_numpy(F.less_equal(F.arange(1, 4), lengths)).tolist()
[[True, False, False], [True, True, True]]
""",
        is_test=True,
    ),
    "greater": About(
        REAL,
        """
>>> from xpnet import functions as F, to_numpy
>>> x = F.asarray([-1.0, 0.0, 2.0])
>>> to_numpy(F.where(F.greater(x, 0.0), x, 0.1 * x)).tolist()  # a leaky ReLU
[-0.1, 0.0, 2.0]
""",
        is_test=True,
    ),
    "greater_equal": About(
        REAL,
        """
From probabilities to decisions:

>>> from xpnet import functions as F, to_numpy
>>> to_numpy(F.greater_equal(F.asarray([0.2, 0.5, 0.9]), 0.5)).tolist()
[False, True, True]
""",
        is_test=True,
    ),
    "logical_and": About(
        BOOLEANS,
        """
>>> from xpnet import functions as F, to_numpy
>>> x = F.asarray([-1.0, 0.5, 2.0])
>>> to_numpy(F.logical_and(x > 0.0, x < 1.0)).tolist()  # inside the interval
[False, True, False]
""",
        is_test=True,
    ),
    "logical_or": About(
        BOOLEANS,
        """
>>> from xpnet import functions as F, to_numpy
>>> x = F.asarray([-1.0, 0.5, 2.0])
>>> to_numpy(F.logical_or(x < 0.0, x > 1.0)).tolist()  # outside the interval
[True, False, True]
""",
        is_test=True,
    ),
    "logical_not": About(
        BOOLEANS,
        """
>>> from xpnet import functions as F, to_numpy
>>> is_padding = F.asarray([False, False, True])
>>> to_numpy(F.logical_not(is_padding)).tolist()
[True, True, False]
""",
        is_test=True,
    ),
    "logical_xor": About(
        BOOLEANS,
        """
A network without a hidden layer cannot learn this function.

>>> from xpnet import functions as F, to_numpy
>>> a = F.asarray([False, False, True, True])
>>> b = F.asarray([False, True, False, True])
>>> to_numpy(F.logical_xor(a, b)).tolist()
[False, True, True, False]
""",
        is_test=True,
    ),
    "bitwise_and": About(
        INTEGERS,
        """
>>> from xpnet import functions as F
>>> bin(F.bitwise_and(F.asarray(0b1100), F.asarray(0b1010)))
'0b1000'
""",
    ),
    "bitwise_or": About(
        INTEGERS,
        """
>>> from xpnet import functions as F
>>> bin(F.bitwise_or(F.asarray(0b1100), F.asarray(0b1010)))
'0b1110'
""",
    ),
    "bitwise_xor": About(
        INTEGERS,
        """
>>> from xpnet import functions as F
>>> bin(F.bitwise_xor(F.asarray(0b1100), F.asarray(0b1010)))
'0b110'
""",
    ),
    "bitwise_invert": About(
        INTEGERS,
        """
>>> from xpnet import functions as F
>>> bin(F.bitwise_invert(F.asarray(0b00001111, dtype=F.uint8)))  # all 8 bits
'0b11110000'
""",
    ),
    "bitwise_left_shift": About(
        "integers",
        """
>>> from xpnet import functions as F, to_numpy
>>> to_numpy(F.bitwise_left_shift(F.asarray(1), F.asarray([0, 1, 2, 10]))).tolist()  # powers of 2
[1, 2, 4, 1024]
""",
    ),
    "bitwise_right_shift": About(
        "integers",
        """
The red, green and blue of a color that is one number:

>>> from xpnet import functions as F, to_numpy
>>> shifted = F.bitwise_right_shift(F.asarray(0xFF8040), F.asarray([16, 8, 0]))
>>> to_numpy(shifted & 0xFF).tolist()
[255, 128, 64]
""",
    ),
}
