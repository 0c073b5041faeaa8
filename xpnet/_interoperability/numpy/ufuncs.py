"""NumPy's ufuncs: elementwise functions, and their methods `reduce`, `accumulate` and `outer`."""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

from xpnet import functions as F
from xpnet._interoperability.numpy.registry import (
    ArrayLike,
    Axis,
    as_arrays,
    call_implementation,
    cast,
    data_of_all,
    equals,
    not_available,
)
from xpnet._typing import Array
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import Variable
from xpnet.errors import ArgumentTypeError

Ufunc: TypeAlias = Any
"""`numpy.ufunc`, or a ufunc of another package."""

RENAMED = {
    "absolute": "abs",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
    "conjugate": "conj",
    "fabs": "abs",
    "invert": "bitwise_invert",
    "left_shift": "bitwise_left_shift",
    "power": "pow",
    "right_shift": "bitwise_right_shift",
    "rint": "round",
}
"""The standard's names of ufuncs that NumPy calls differently."""

SAME = (
    "add", "bitwise_and", "bitwise_or", "bitwise_xor", "ceil", "copysign", "cos", "cosh", "divide",
    "equal", "exp", "expm1", "floor", "floor_divide", "greater", "greater_equal", "hypot",
    "isfinite", "isinf", "isnan", "less", "less_equal", "log", "log10", "log1p", "log2",
    "logaddexp", "matmul", "maximum", "minimum", "multiply", "negative", "nextafter", "not_equal", "positive", "reciprocal",
    "remainder", "sign", "signbit", "sin", "sinh", "sqrt", "square", "subtract", "tan", "tanh",
    "trunc", "vecdot",
)  # fmt: skip
"""The ufuncs that the standard has under the same name."""


elementwise_calls: dict[str, Callable[..., Any]] = {}
"""The function that implements a ufunc for Variables, by NumPy's name."""


for _name in SAME:
    elementwise_calls[_name] = getattr(F, _name)
for _name, _ours in RENAMED.items():
    elementwise_calls[_name] = getattr(F, _ours)


def ufunc(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: the function implements the ufunc of its name."""
    elementwise_calls[function.__name__] = function
    return function


# --- ufuncs that are composed ---------------------------------------------------------------------


class Cbrt(Function):
    """y = x^(1/3), with the derivative 1 / (3 y^2)."""

    def forward(self, x: Array) -> Array:
        xp = array_namespace(x)
        return xp.sign(x) * xp.abs(x) ** (1.0 / 3.0)

    def backward(self, gy: Array, y: Array) -> Array:
        return gy / (3.0 * y * y)


@ufunc
def cbrt(x: Array) -> Array:
    """The cube root, also of negative numbers."""
    return Cbrt()(x)


@ufunc
def degrees(x: Array) -> Array:
    """Radians converted to degrees."""
    return x * (180.0 / math.pi)


@ufunc
def radians(x: Array) -> Array:
    """Degrees converted to radians."""
    return x * (math.pi / 180.0)


elementwise_calls["rad2deg"] = elementwise_calls["degrees"]
elementwise_calls["deg2rad"] = elementwise_calls["radians"]


@ufunc
def exp2(x: Array) -> Array:
    """2 to the power of x."""
    return 2.0**x


@ufunc
def logaddexp2(x1: Array, x2: Array) -> Array:
    """log2(2**x1 + 2**x2), without overflow."""
    return F.logaddexp(x1 * math.log(2.0), x2 * math.log(2.0)) / math.log(2.0)


@ufunc
def float_power(x1: Array, x2: Array) -> Array:
    """x1 to the power of x2, computed in float64."""
    return F.pow(cast(x1, "float64"), cast(x2, "float64"))


@ufunc
def fmax(x1: Array, x2: Array) -> Array:
    """The larger of two numbers; if one is NaN, the other."""
    return F.maximum(*_without_nan(x1, x2))


@ufunc
def fmin(x1: Array, x2: Array) -> Array:
    """The smaller of two numbers; if one is NaN, the other."""
    return F.minimum(*_without_nan(x1, x2))


def _without_nan(x1: Array, x2: Array) -> tuple[Array, Array]:
    """Both arrays, with NaN replaced by the element of the other."""
    x1, x2 = as_arrays(x1, x2)
    xp = array_namespace(x1, x2)
    return xp.where(xp.isnan(x1), x2, x1), xp.where(xp.isnan(x2), x1, x2)


@ufunc
def fmod(x1: Array, x2: Array) -> Array:
    """The remainder of x1 / x2 with the sign of x1, as in C."""
    x1, x2 = as_arrays(x1, x2)
    xp = array_namespace(x1, x2)
    return xp.sign(x1) * xp.remainder(xp.abs(x1), xp.abs(x2))


@ufunc
def heaviside(x1: Array, x2: Array) -> Array:
    """0 where x1 < 0, x2 where x1 == 0, 1 where x1 > 0, NaN where x1 is NaN."""
    x1, x2 = as_arrays(x1, x2)
    xp = array_namespace(x1, x2)
    step = (xp.sign(x1) + 1.0) / 2.0
    return xp.where(x1 == 0, x2, step)


@ufunc
def ldexp(x1: Array, x2: Array) -> Array:
    """x1 * 2**x2 for integers x2, in two steps, since 2**x2 by itself may overflow."""
    x1, x2 = as_arrays(x1, x2)
    xp = array_namespace(x1, x2)
    half = x2 // 2
    two = xp.asarray(2.0, dtype=x1.dtype, device=x1.device)
    power = xp.pow(two, xp.astype(half, x1.dtype))
    rest = xp.pow(two, xp.astype(x2 - half, x1.dtype))
    return x1 * power * rest


def _logical(name: str) -> Callable[..., Any]:
    """A logical function, which NumPy applies to numbers too: those that are not 0 are true."""
    function = getattr(F, name)

    def call(*inputs: Array) -> Array:
        arrays = as_arrays(*inputs)
        return function(*(x if has_dtype(x, "bool") else x != 0 for x in arrays))

    return call


for _name in ("logical_and", "logical_not", "logical_or", "logical_xor"):
    elementwise_calls[_name] = _logical(_name)


@ufunc
def matvec(x1: Array, x2: Array) -> Array:
    """The product of matrices (..., m, n) and vectors (..., n)."""
    return F.matmul(x1, x2[..., None])[..., 0]


@ufunc
def vecmat(x1: Array, x2: Array) -> Array:
    """The product of vectors (..., n), conjugated, and matrices (..., n, m)."""
    x1 = F.conj(x1)
    return F.matmul(x1[..., None, :], x2)[..., 0, :]


@ufunc
def modf(x: Array) -> tuple[Array, Array]:
    """The fractional part of x, and the integral part, which has no derivative; with the sign of x."""
    whole = F.trunc(x)
    return F.copysign(x - whole, x), whole


elementwise_calls["divmod"] = lambda x1, x2: (
    elementwise_calls["floor_divide"](x1, x2),
    elementwise_calls["remainder"](x1, x2),
)


# --- ufuncs of other packages ---------------------------------------------------------------------


def foreign_ufunc(ufunc: Ufunc) -> Callable[..., Any]:
    """The function that implements a ufunc of another package: SciPy's special functions, by name.

    Raises
    ------
    ArgumentTypeError
        xpnet has no such function.
    """
    name = SPECIAL.get(ufunc.__name__, ufunc.__name__)
    if name not in F.special.__all__:
        raise ArgumentTypeError(
            f"The ufunc {ufunc.__name__!r} is not NumPy's, and xpnet has no derivative of it. Write "
            "it with xpnet.functions, or give it a rule with xpnet.custom_rule."
        )
    found: Callable[..., Any] = getattr(F.special, name)
    return found


SPECIAL = {"psi": "digamma"}
"""xpnet's names of special functions that SciPy calls differently."""


# --- keyword arguments ----------------------------------------------------------------------------

IGNORED = {
    "casting": ("same_kind",),
    "order": ("K", "C", "A"),
    "subok": (True, False),
    "where": (True,),
}
"""Arguments of ufuncs, with the values that make no difference for Variables."""

Inputs: TypeAlias = tuple[ArrayLike, ...]
Options: TypeAlias = dict[str, Any]


def with_arrays(inputs: Inputs) -> Inputs:
    """The inputs of a ufunc, with nested lists converted to arrays."""
    if any(isinstance(x, (list, tuple)) for x in inputs):
        return as_arrays(*inputs)
    return inputs


def with_options(
    ufunc: Ufunc | None,
    name: str,
    function: Callable[..., Any],
    inputs: Inputs,
    options: Options,
) -> Array | tuple[Array, ...]:
    """ufunc(*inputs, **options), where a Variable is an input or `out`.

    Raises
    ------
    ArgumentTypeError
        An option is not available.
    """
    options = dict(options)
    out = options.pop("out", ())
    if any(array is not None for array in out):
        return _write_out(ufunc, name, inputs, options | {"out": out})
    for option, allowed in IGNORED.items():
        if any(equals(options.get(option), value) for value in allowed):
            del options[option]
    dtype = options.pop("dtype", None)
    axis = options.pop("axis", None) if name == "vecdot" else None
    for option in options:
        raise not_available(name, option)
    inputs = tuple(cast(x, dtype) for x in with_arrays(inputs))
    if axis is not None:
        return F.vecdot(*inputs, axis=axis)
    return function(*inputs)


def _write_out(ufunc: Ufunc | None, name: str, inputs: Inputs, options: Options) -> Array:
    """ufunc(*inputs, out=array), which is also how NumPy calls `array += v`.

    Raises
    ------
    ArgumentTypeError
        An input has a gradient, which the array would lose; or `out` is a Variable.
    """
    recorded = any(getattr(x, "requires_grad", False) for x in inputs)
    into_variable = any(isinstance(x, Variable) for x in options["out"])
    if ufunc is not None and not recorded and not into_variable:
        data = data_of_all(inputs)
        array_namespace(*data, *options["out"])  # raises if they are of several libraries
        return ufunc(*data, **options)
    symbol = SYMBOLS.get(name)
    if symbol:
        given = f"array {symbol}= x"
        instead = f"y = y {symbol} x"
    else:
        given = f"np.{name}(x, out=array)"
        instead = f"y = np.{name}(x)"
    raise ArgumentTypeError(
        f"{given} would write the numbers of a Variable x into an array, which has no gradient. "
        f"Write {instead}, which returns a Variable; or use x.data, which has no gradient."
    )


SYMBOLS = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "divide": "/",
    "floor_divide": "//",
    "remainder": "%",
    "power": "**",
    "matmul": "@",
    "bitwise_and": "&",
    "bitwise_or": "|",
    "bitwise_xor": "^",
    "left_shift": "<<",
    "right_shift": ">>",
}
"""The operators of ufuncs that Python also has in place, such as `+=`."""


# --- methods --------------------------------------------------------------------------------------

REDUCTIONS = {
    "add": "sum",
    "multiply": "prod",
    "maximum": "max",
    "minimum": "min",
    "logical_and": "all",
    "logical_or": "any",
}
"""The reduction that `ufunc.reduce` is, by the name of the ufunc."""
RUNNING = {"add": "cumsum", "multiply": "cumprod"}
"""The cumulative reduction that `ufunc.accumulate` is, by the name of the ufunc."""


def reduce(
    name: str, _: Callable[..., Any], x: Array, axis: Axis = 0, *args: Any, **options: Any
) -> Array:
    """ufunc.reduce: a reduction such as np.sum, by default along the first axis."""
    if name == "logaddexp":
        return F.logsumexp(x, axis=axis, keepdims=options.get("keepdims", False))
    if name not in REDUCTIONS:
        raise _no_reduction(name, "reduce", REDUCTIONS)
    names = ("dtype", "out", "keepdims", "initial", "where")
    options = dict(zip(names, args, strict=False)) | options
    _no_out(f"{name}.reduce", options.pop("out", None))
    given = {key: value for key, value in options.items() if value is not None}
    if name not in ("add", "multiply"):
        given.pop("dtype", None)
    return call_implementation(REDUCTIONS[name], (x, axis), given)


def accumulate(
    name: str, _: Callable[..., Any], x: Array, axis: int = 0, *args: Any, **options: Any
) -> Array:
    """ufunc.accumulate: np.cumsum and np.cumprod, by default along the first axis."""
    if name not in RUNNING:
        raise _no_reduction(name, "accumulate", RUNNING)
    options = dict(zip(("dtype", "out"), args, strict=False)) | options
    _no_out(f"{name}.accumulate", options.pop("out", None))
    return call_implementation(RUNNING[name], (x, axis), options)


def outer(
    name: str, function: Callable[..., Any], x1: ArrayLike, x2: ArrayLike, **options: Any
) -> Array | tuple[Array, ...]:
    """ufunc.outer: the ufunc of each pair of elements, with the axes of x1, then those of x2."""
    _no_out(f"{name}.outer", options.get("out"))
    x1, x2 = as_arrays(x1, x2)
    x1 = x1[(..., *(None,) * x2.ndim)]
    return with_options(None, name, function, (x1, x2), options)


def _no_out(name: str, out: tuple[Array | None, ...] | None) -> None:
    """Refuse the argument `out`."""
    if out is not None and any(array is not None for array in out):
        raise not_available(name, "out")


METHODS: dict[str, Callable[..., Any]] = {
    "reduce": reduce,
    "accumulate": accumulate,
    "outer": outer,
}
"""The methods of ufuncs that are implemented."""


def _no_reduction(name: str, how: str, available: dict[str, str]) -> ArgumentTypeError:
    known = ", ".join(f"np.{n}.{how}" for n in available)
    return ArgumentTypeError(
        f"np.{name}.{how} of a Variable is not available, but {known} are. Write a loop over "
        f"np.{name}, or use a function of xpnet.functions."
    )
