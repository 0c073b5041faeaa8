"""Calls of functions of arrays: on the library's own arrays, and in the active record."""

import operator
from collections.abc import Callable
from functools import cache
from typing import Any

import array_api_compat as compat

from xpnet import _each_step
from xpnet._typing import Array
from xpnet.compiler.failures import CAUGHT, DRAW, METHOD, OUTSIDE, SHAPE
from xpnet.compiler.record import Value, leaves, replaced

__all__ = [
    "FACTS",
    "UFUNCS",
    "UNARY",
    "Recorded",
    "called",
    "copied",
    "is_fact",
    "on_copy",
    "recorded",
    "unwrapped",
]

SHAPES_FROM_VALUES = frozenset(
    [
        *("nonzero", "unique_all", "unique_counts", "unique_inverse", "unique_values"),
        *("argwhere", "bincount", "compress", "extract", "flatnonzero", "histogram_bin_edges"),
        *("intersect1d", "lstsq", "polydiv", "polymul", "roots", "setdiff1d", "setxor1d"),
        *("trim_zeros", "union1d", "unique"),
        *("masked_select", "unique_consecutive"),  # of PyTorch
    ]
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


SHAPES_FROM_ARGUMENTS = frozenset(
    [
        *("repeat", "repeat_interleave", "array_split", "delete", "dsplit", "hsplit", "insert"),
        *("pad", "split", "tensor_split", "tile", "vsplit"),
    ]
)
"""Functions whose result has a shape that depends on values in their second argument."""


FACTS = frozenset(
    [
        *("isdtype", "finfo", "iinfo", "result_type", "can_cast", "broadcast_shapes"),
        *("__array_namespace_info__", "__array_api_version__"),
        *("shape", "ndim", "size", "common_type", "min_scalar_type", "iscomplexobj", "isrealobj"),
        *("may_share_memory", "shares_memory", "is_tensor", "is_complex", "is_floating_point"),
        *("numel", "isscalar", "issubdtype", "promote_types", "einsum_path"),
    ]
)
"""Functions that return facts of shapes, dtypes and memory, not of values."""


def is_fact(name: str) -> bool:
    """Whether a function, "np.shape" for example, returns what is the same for all values."""
    return name.rpartition(".")[2] in FACTS


def has_shape_from_values(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """Whether the shape of a result depends on values of recorded arrays."""
    function = name.rpartition(".")[2]
    if function == "where":
        return len(args) + len(options) == 1
    if function in SHAPES_FROM_ARGUMENTS:
        second = args[1] if len(args) > 1 else options
        return any(isinstance(x, Recorded) for x in leaves(second))
    return function in SHAPES_FROM_VALUES


CHANGES = frozenset(("copyto", "fill_diagonal", "place", "put", "put_along_axis", "putmask"))
"""Functions of NumPy that change their first argument in place, and return nothing."""


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


@cache
def on_copy(function: Callable[..., Any]) -> Callable[..., Any]:
    """For a function that changes its first argument: one that changes a copy of it, and returns that."""

    def change(x: Array, *args: Any, **options: Any) -> Array:
        new = copied(x)
        function(new, *args, **options)
        return new

    return change


def called(
    name: str, function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    """function(*args, **options) on the library's arrays, as an operation of the active record."""
    active: Any = _each_step.recorder.get()
    if hasattr(active, "operation"):
        active.about_to_write(options.get("out"))
    try:
        result = function(*replaced(args, unwrapped), **replaced(options, unwrapped))
    except Exception:  # if the step catches it, then other code follows
        if hasattr(active, "operation"):
            active.fail(f"catches an error of {name}", CAUGHT)
        raise
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
    if not hasattr(active, "operation"):  # the recording is over, or another thread's
        for x in leaves((args, options)):
            if isinstance(x, Recorded) and not is_fact(name):
                x.recorder.computed_elsewhere(name, x)
        return result
    if options.get("out") is not None:
        return _written_out(active, name, function, args, options, result)
    if _changes_an_array(name):
        active.fail(f"calls {name}, which changes an array", METHOD)
    if has_shape_from_values(name, args, options):
        active.fail(f"calls {name}, whose result has a shape that depends on values", SHAPE)
    if name.removeprefix("torch.") in DRAWING or name.startswith(
        "random."
    ):  # a pass would compute it once, for all steps
        active.fail(f"calls {name}, which draws random numbers", DRAW)
    return active.operation(name, function, args, options, result)


def _changes_an_array(name: str) -> bool:
    """Whether a function is one of PyTorch's that change their first argument, such as `relu_`."""
    return name.endswith("_") and not name.endswith("__")


def _written_out(
    active: Any,
    name: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    options: dict[str, Any],
    result: Any,
) -> Any:
    """What a function with out= returns, and the call in the active record."""
    rest = dict(options)
    out = rest.pop("out")
    if isinstance(out, tuple) and len(out) == 1:
        (out,) = out
    if isinstance(out, Recorded):
        change = out.recorder.changed_in_place
        return change(out, f"{name} into", _into(function), (out, *args), rest, out.plain.dtype)
    what = "an array that it did not compute"
    if isinstance(out, (tuple, list)):
        what = "several arrays"
    active.fail(f"calls {name}, which writes into {what}", OUTSIDE)
    return result


@cache
def _into(function: Callable[..., Any]) -> Callable[..., Any]:
    """For a function with `out`: one that writes into a copy of its first argument, and returns that."""

    def write(out: Array, *args: Any, **options: Any) -> Array:
        new = copied(out)
        function(*args, out=new, **options)
        return new

    return write
