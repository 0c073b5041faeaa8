"""Calls of functions of arrays: on the library's own arrays, and in the active record."""

import operator
from collections.abc import Callable
from typing import Any

import array_api_compat as compat

from xpnet import _each_step
from xpnet._typing import Array
from xpnet.compiler.failures import DRAW, SHAPE
from xpnet.compiler.record import Value, replaced

__all__ = [
    "SHAPES_FROM_VALUES",
    "UFUNCS",
    "UNARY",
    "Recorded",
    "called",
    "copied",
    "recorded",
    "unwrapped",
]

SHAPES_FROM_VALUES = frozenset(
    ("nonzero", "argwhere", "unique_all", "unique_counts", "unique_inverse", "unique_values")
)
"""Functions whose result has a shape that depends on values."""

DRAWING = frozenset(
    [
        *("alpha_dropout", "bernoulli", "binomial", "dropout", "feature_alpha_dropout"),
        *("feature_dropout", "multinomial", "native_dropout", "normal", "poisson", "rand"),
        *("rand_like", "randint", "randint_like", "randn", "randn_like", "randperm", "rrelu"),
    ]
)
"""Functions in PyTorch's namespace that draw random numbers; NumPy's and CuPy's are in `random`."""


UFUNCS = {
    "true_divide": "divide",
    "power": "pow",
    "absolute": "abs",
    "invert": "bitwise_invert",
    "left_shift": "bitwise_left_shift",
    "right_shift": "bitwise_right_shift",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
}
"""The standard's names of NumPy's functions that have another one there."""


UNARY: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("negative", "neg", operator.neg),
    ("positive", "pos", operator.pos),
    ("abs", "abs", abs),
    ("bitwise_invert", "invert", operator.invert),
)


class Recorded:
    """What takes the place of an array or a number during a recording.

    Attributes
    ----------
    value : Value
        What it is in the record.
    recorder : Recorder
    plain : array or float
        The library's array, or the number.
    """

    __slots__ = ()
    value: Value
    recorder: Any
    plain: Any


def unwrapped(x: Any) -> Any:
    """The library's array in a RecordedArray, a RecordedNumber's float; anything else as it is."""
    return x.plain if isinstance(x, Recorded) else x


def copied(x: Array) -> Array:
    """A copy, in memory of its own."""
    return compat.array_namespace(x).asarray(x, copy=True)


def called(
    name: str, function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    """function(*args, **options) on the library's arrays, as an operation of the active record."""
    result = function(*replaced(args, unwrapped), **replaced(options, unwrapped))
    return recorded(name, function, args, options, result)


def recorded(
    name: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    options: dict[str, Any],
    result: Any,
) -> Any:
    """The result of a call as recording arrays, and the call in the active record."""
    active: Any = _each_step.recorder.get()
    if active is None:  # the recording is over, or another thread's
        return result
    if name in SHAPES_FROM_VALUES:
        active.fail(f"calls {name}, whose result has a shape that depends on values", SHAPE)
    if name in DRAWING or name.startswith("random."):  # a pass would compute it once, for all steps
        active.fail(f"calls {name}, which draws random numbers", DRAW)
    return active.operation(name, function, args, options, result)
