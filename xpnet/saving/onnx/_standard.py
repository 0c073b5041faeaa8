"""The functions of the array API standard as ONNX nodes.

Each function here has the signature of the standard's function, after the Lowering `lo` and the result
`y`, of which the shape and the dtype are known.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from xpnet._typing import DType
from xpnet.errors import CompileError
from xpnet.saving.onnx._indexing import sliced, transposed
from xpnet.saving.onnx._lowering import Edge, Lowering, Lowers, Operand, length, names_of
from xpnet.saving.onnx._sizes import Dimension, Ratio, Size

__all__ = ["STANDARD", "is_float"]

STANDARD: dict[str, Lowers] = {}
"""By the name of a function of the standard: the function that lowers it."""

named = names_of(STANDARD)

Axis = int | Sequence[int] | None

WIDER = {
    **dict.fromkeys(("bool", "int8", "int16", "uint8", "uint16"), "int32"),
    **dict.fromkeys(("uint32", "uint64"), "int64"),
}
"""For integers that runtimes have few operators for: those that they have them for."""


def is_float(dtype: Any) -> bool:
    """Whether a dtype is of real floating-point numbers."""
    return bool(np.issubdtype(dtype, np.floating))


def widest(*xs: Any) -> Any:
    """The dtype in which numbers and arrays are combined."""
    dtypes = [x.dtype for x in xs if isinstance(x, Edge) and x.dtype is not None]
    numbers: list[Any] = []
    for x in xs:
        if isinstance(x, Ratio) or (isinstance(x, Edge) and x.dtype is None):
            numbers.append(1.0)
        elif isinstance(x, Size):
            numbers.append(1)
        elif not isinstance(x, Edge):
            numbers.append(x)
    return np.result_type(*dtypes, *numbers)


def _wide(dtype: Any) -> Any:
    """The dtype in which runtimes compute."""
    return np.dtype(WIDER.get(np.dtype(dtype).name, dtype))


def in_wide(lo: Lowering, y: Edge, compute: Callable[[DType], str]) -> str:
    """compute(dtype) in a dtype that runtimes have, cast to that of y if it is another one."""
    wide = _wide(y.dtype)
    return lo.converted(compute(wide), wide, y.dtype)


def axes_of(axis: Axis, x: Edge) -> list[int]:
    """Axes as numbers from 0, in order; all of them for None."""
    if axis is None:
        return [*range(len(x.shape))]
    return sorted(n % len(x.shape) for n in several(axis))


def several(x: Any) -> Sequence[Any]:
    """A number, or several, as a sequence."""
    if isinstance(x, (tuple, list)):
        return x
    return (x,)


# --- elementwise ----------------------------------------------------------------------------------


def _unary(operator: str, lo: Lowering, y: Edge, x: Operand, /) -> str:
    return in_wide(lo, y, lambda dtype: lo.node(operator, lo.cast(x, dtype)))


for _name, _operator in (
    *(("abs", "Abs"), ("negative", "Neg"), ("sign", "Sign"), ("sqrt", "Sqrt"), ("exp", "Exp")),
    *(("log", "Log"), ("sin", "Sin"), ("cos", "Cos"), ("tan", "Tan"), ("asin", "Asin")),
    *(("acos", "Acos"), ("atan", "Atan"), ("sinh", "Sinh"), ("cosh", "Cosh"), ("tanh", "Tanh")),
    *(("asinh", "Asinh"), ("acosh", "Acosh"), ("atanh", "Atanh"), ("reciprocal", "Reciprocal")),
):
    STANDARD[_name] = partial(_unary, _operator)


def _rounded(operator: str, lo: Lowering, y: Edge, x: Edge, /) -> str:
    """Integers stay as they are."""
    if is_float(x.dtype):
        return lo.node(operator, x.name)
    return lo.cast(x, y.dtype)


for _name, _operator in (("floor", "Floor"), ("ceil", "Ceil"), ("round", "Round")):
    STANDARD[_name] = partial(_rounded, _operator)


@named("trunc")
def _trunc(lo: Lowering, y: Edge, x: Edge, /) -> str:
    if not is_float(x.dtype):
        return lo.cast(x, y.dtype)
    return lo.node("Mul", lo.node("Sign", x.name), lo.node("Floor", lo.node("Abs", x.name)))


@named("positive", "asarray", "astype", "to_device", "array_like", "checked", "conj")
def _converted(lo: Lowering, y: Edge, x: Operand, /, *args: Any, **options: Any) -> str:
    """The same numbers, in another dtype perhaps."""
    return lo.cast(x, y.dtype)


@named("square")
def _square(lo: Lowering, y: Edge, x: Edge, /) -> str:
    return lo.node("Mul", x.name, x.name)


def _in_double(operators: Sequence[tuple[Any, ...]], lo: Lowering, y: Edge, x: Edge, /) -> str:
    """Operators on float64 numbers: ONNX has none that keeps the digits of small numbers."""
    found = lo.cast(x, np.float64)
    for operator, *numbers in operators:
        found = lo.node(operator, found, *(lo.constant(n, np.float64) for n in numbers))
    return lo.converted(found, np.float64, y.dtype)


STANDARD["log1p"] = partial(_in_double, (("Add", 1.0), ("Log",)))
STANDARD["expm1"] = partial(_in_double, (("Exp",), ("Sub", 1.0)))
STANDARD["log2"] = partial(_in_double, (("Log",), ("Div", math.log(2.0))))
STANDARD["log10"] = partial(_in_double, (("Log",), ("Div", math.log(10.0))))


@named("erf")
def _erf(lo: Lowering, y: Edge, x: Edge, /) -> str:
    found = lo.node("Erf", lo.cast(x, np.float32))  # all that runtimes have
    return lo.converted(found, np.float32, y.dtype)


def _binary(operator: str, lo: Lowering, y: Edge, x1: Operand, x2: Operand, /) -> str:
    return in_wide(lo, y, lambda dtype: lo.node(operator, lo.cast(x1, dtype), lo.cast(x2, dtype)))


for _name, _operator in (("subtract", "Sub"), ("pow", "Pow")):
    STANDARD[_name] = partial(_binary, _operator)


@named("divide")
def _divide(lo: Lowering, y: Edge, x1: Operand, x2: Operand, /) -> str:
    return lo.node("Div", lo.cast(x1, y.dtype), lo.cast(x2, y.dtype))


def _binary_or_logical(
    operator: str, logical: str, lo: Lowering, y: Edge, x1: Operand, x2: Operand, /
) -> str:
    """Of booleans the sum and the maximum are "or", the product and the minimum "and"."""
    if y.dtype == np.bool_:
        return lo.node(logical, lo.cast(x1, y.dtype), lo.cast(x2, y.dtype))
    return _binary(operator, lo, y, x1, x2)


for _name, _operator, _of_booleans in (
    *(("add", "Add", "Or"), ("multiply", "Mul", "And"), ("minimum", "Min", "And")),
    *(("bitwise_and", "BitwiseAnd", "And"), ("bitwise_or", "BitwiseOr", "Or")),
    ("bitwise_xor", "BitwiseXor", "Xor"),
):
    STANDARD[_name] = partial(_binary_or_logical, _operator, _of_booleans)


@named("maximum")
def _maximum_or_relu(lo: Lowering, y: Edge, x1: Operand, x2: Operand, /) -> str:
    is_zero = not isinstance(x2, (Edge, Size, Ratio)) and x2 == 0
    if is_zero and is_float(y.dtype) and isinstance(x1, Edge):
        return lo.node("Relu", lo.cast(x1, y.dtype))
    return _binary_or_logical("Max", "Or", lo, y, x1, x2)


def _logical(operator: str, lo: Lowering, y: Edge, x1: Operand, x2: Operand, /) -> str:
    return lo.node(operator, lo.cast(x1, np.bool_), lo.cast(x2, np.bool_))


for _name, _operator in (("logical_and", "And"), ("logical_or", "Or"), ("logical_xor", "Xor")):
    STANDARD[_name] = partial(_logical, _operator)


@named("logical_not")
def _logical_not(lo: Lowering, y: Edge, x: Edge, /) -> str:
    return lo.node("Not", lo.cast(x, np.bool_))


@named("bitwise_invert")
def _bitwise_invert(lo: Lowering, y: Edge, x: Edge, /) -> str:
    operator = "BitwiseNot"
    if x.dtype == np.bool_:
        operator = "Not"
    return lo.node(operator, x.name)


def _comparison(
    operator: str, negated: bool, lo: Lowering, y: Edge, x1: Operand, x2: Operand, /
) -> str:
    dtype = widest(x1, x2)
    if operator != "Equal" or dtype != np.bool_:
        dtype = _wide(dtype)
    found = lo.node(operator, lo.cast(x1, dtype), lo.cast(x2, dtype))
    if negated:
        found = lo.node("Not", found)
    return found


for _name, _operator, _negated in (
    *(("less", "Less", False), ("less_equal", "LessOrEqual", False), ("greater", "Greater", False)),
    *(("greater_equal", "GreaterOrEqual", False), ("equal", "Equal", False)),
    ("not_equal", "Equal", True),
):
    STANDARD[_name] = partial(_comparison, _operator, _negated)


@named("remainder")
def _remainder(lo: Lowering, y: Edge, x1: Operand, x2: Operand, /) -> str:
    if not is_float(y.dtype):
        return _binary("Mod", lo, y, x1, x2)
    rest, has_wrong_sign = _truncated(lo, y, x1, x2)
    return lo.node("Where", has_wrong_sign, lo.node("Add", rest, lo.cast(x2, y.dtype)), rest)


@named("floor_divide")
def _floor_divide(lo: Lowering, y: Edge, x1: Operand, x2: Operand, /) -> str:
    """(x1 - rest) / x2: exact for integers, and rounded otherwise."""

    def quotient(rest: str, dtype: DType) -> str:
        return lo.node("Div", lo.node("Sub", lo.cast(x1, dtype), rest), lo.cast(x2, dtype))

    if not is_float(y.dtype):
        rest = Edge(_remainder(lo, y, x1, x2), y.shape, y.dtype)
        return in_wide(lo, y, lambda dtype: quotient(lo.cast(rest, dtype), dtype))
    name, has_wrong_sign = _truncated(lo, y, x1, x2)
    found = lo.node("Round", quotient(name, y.dtype))
    found = lo.node("Sub", found, lo.converted(has_wrong_sign, np.bool_, y.dtype))
    is_zero = lo.node("Equal", lo.cast(x2, y.dtype), lo.constant(0, y.dtype))
    return lo.node("Where", is_zero, _divide(lo, y, x1, x2), found)


def _truncated(lo: Lowering, y: Edge, x1: Operand, x2: Operand) -> tuple[str, str]:
    """The remainder with the sign of x1, as C has it, and whether x2 has another sign."""
    b = lo.cast(x2, y.dtype)
    zero = lo.constant(0, y.dtype)
    rest = lo.node("Mod", lo.cast(x1, y.dtype), b, fmod=1)
    differs = lo.node("Xor", lo.node("Less", rest, zero), lo.node("Less", b, zero))
    return rest, lo.node("And", differs, lo.node("Not", lo.node("Equal", rest, zero)))


@named("logaddexp")
def _logaddexp(lo: Lowering, y: Edge, x1: Operand, x2: Operand, /) -> str:
    a = lo.cast(x1, y.dtype)
    b = lo.cast(x2, y.dtype)
    largest = lo.node("Max", a, b)
    smallest = lo.node("Min", a, b)
    apart = Edge(lo.node("Sub", smallest, largest), y.shape, y.dtype)
    rest = STANDARD["log1p"](lo, y, Edge(lo.node("Exp", apart.name), y.shape, y.dtype))
    found = lo.node("Add", largest, str(rest))
    return lo.node("Where", lo.node("Equal", a, b), _doubled(lo, y, a), found)  # inf - inf is NaN


def _doubled(lo: Lowering, y: Edge, a: str) -> str:
    """log(2 exp(a))."""
    return lo.node("Add", a, lo.constant(math.log(2.0), y.dtype))


@named("hypot")
def _hypot(lo: Lowering, y: Edge, x1: Operand, x2: Operand, /) -> str:
    """In float64, where squares of float32 numbers do not overflow; infinite also beside NaN."""
    sides = [lo.cast(x, np.float64) for x in (x1, x2)]
    squares = [lo.node("Mul", x, x) for x in sides]
    found = lo.node("Sqrt", lo.node("Add", *squares))
    is_infinite = lo.node("Or", *(lo.node("IsInf", x) for x in sides))
    found = lo.node("Where", is_infinite, lo.constant(np.inf, np.float64), found)
    return lo.converted(found, np.float64, y.dtype)


def _is_special(operator: str, lo: Lowering, y: Edge, x: Edge, /) -> str:
    if is_float(x.dtype):
        return lo.node(operator, x.name)
    return _comparison("Equal", True, lo, y, x, x)  # no integer is


STANDARD["isnan"] = partial(_is_special, "IsNaN")
STANDARD["isinf"] = partial(_is_special, "IsInf")


@named("isfinite")
def _isfinite(lo: Lowering, y: Edge, x: Edge, /) -> str:
    special = [_is_special(operator, lo, y, x) for operator in ("IsNaN", "IsInf")]
    return lo.node("Not", lo.node("Or", *special))


@named("clip")
def _clip(lo: Lowering, y: Edge, x: Edge, /, min: Any = None, max: Any = None) -> str:
    def compute(dtype: Any) -> str:
        found = lo.cast(x, dtype)
        if min is not None:
            found = lo.node("Max", found, lo.cast(min, dtype))
        if max is not None:
            found = lo.node("Min", found, lo.cast(max, dtype))
        return found

    return in_wide(lo, y, compute)


@named("where")
def _where(lo: Lowering, y: Edge, condition: Edge, x1: Operand, x2: Operand, /) -> str:
    found = lo.cast(condition, np.bool_)
    return in_wide(
        lo, y, lambda dtype: lo.node("Where", found, lo.cast(x1, dtype), lo.cast(x2, dtype))
    )


# --- reductions -----------------------------------------------------------------------------------


def _reduction(
    operator: str,
    lo: Lowering,
    y: Edge,
    x: Edge,
    /,
    axis: Axis = None,
    *,
    dtype: Any = None,
    keepdims: bool = False,
) -> str:
    axes = axes_of(axis, x)
    return in_wide(lo, y, lambda wide: lo.reduced(operator, lo.cast(x, wide), axes, keepdims))


for _name, _operator in (
    *(("sum", "ReduceSum"), ("mean", "ReduceMean"), ("prod", "ReduceProd")),
    *(("max", "ReduceMax"), ("min", "ReduceMin")),
):
    STANDARD[_name] = partial(_reduction, _operator)


def _of_truth(
    operator: str, lo: Lowering, y: Edge, x: Edge, /, axis: Axis = None, *, keepdims: bool = False
) -> str:
    """Of 0 and 1, since no reduction takes booleans."""
    numbers = lo.converted(lo.cast(x, np.bool_), np.bool_, np.int32)
    axes = axes_of(axis, x)
    return lo.converted(lo.reduced(operator, numbers, axes, keepdims), np.int32, y.dtype)


for _name, _operator in (
    ("all", "ReduceMin"),
    ("any", "ReduceMax"),
    ("count_nonzero", "ReduceSum"),
):
    STANDARD[_name] = partial(_of_truth, _operator)


def _spread(
    root: bool,
    lo: Lowering,
    y: Edge,
    x: Edge,
    /,
    axis: Axis = None,
    *,
    correction: float = 0.0,
    keepdims: bool = False,
) -> str:
    """The variance, or its root."""
    axes = axes_of(axis, x)
    apart = lo.node("Sub", x.name, lo.reduced("ReduceMean", x.name, axes, True))
    squares = lo.node("Mul", apart, apart)
    found = lo.reduced("ReduceMean", squares, axes, keepdims)
    if correction:
        count = length([x.shape[i] for i in axes])
        total = lo.cast(count, np.float64)
        rest = lo.node("Sub", total, lo.constant(correction, np.float64))
        found = lo.node(
            "Mul", found, lo.converted(lo.node("Div", total, rest), np.float64, y.dtype)
        )
    if root:
        found = lo.node("Sqrt", found)
    return found


STANDARD["var"] = partial(_spread, False)
STANDARD["std"] = partial(_spread, True)

NORMS = {1: "ReduceL1", 2: "ReduceL2", math.inf: "ReduceMax", -math.inf: "ReduceMin"}


@named("linalg.vector_norm")
def _vector_norm(
    lo: Lowering, y: Edge, x: Edge, /, *, axis: Axis = None, keepdims: bool = False, ord: float = 2
) -> str:
    axes = axes_of(axis, x)
    sizes = lo.node("Abs", x.name)
    if ord in NORMS:
        return lo.reduced(NORMS[ord], sizes, axes, keepdims)
    if ord == 0:
        return _of_truth("ReduceSum", lo, y, x, axis, keepdims=keepdims)
    powers = lo.node("Pow", sizes, lo.constant(ord, y.dtype))
    total = lo.reduced("ReduceSum", powers, axes, keepdims)
    return lo.node("Pow", total, lo.constant(1.0 / ord, y.dtype))


def _extreme(
    operator: str,
    lo: Lowering,
    y: Edge,
    x: Edge,
    /,
    axis: int | None = None,
    *,
    keepdims: bool = False,
) -> str:
    """The index of the largest or the smallest number."""
    name = lo.cast(x, _wide(x.dtype))
    if axis is None:
        name = lo.node("Reshape", name, lo.integers(-1))
    found = lo.node(operator, name, axis=axis or 0, keepdims=int(keepdims and axis is not None))
    if axis is None and keepdims:
        found = lo.reshaped(found, y.shape)
    return lo.converted(found, np.int64, y.dtype)


STANDARD["argmax"] = partial(_extreme, "ArgMax")
STANDARD["argmin"] = partial(_extreme, "ArgMin")


@named("cumulative_sum")
def _cumulative_sum(
    lo: Lowering,
    y: Edge,
    x: Edge,
    /,
    *,
    axis: int | None = None,
    dtype: Any = None,
    include_initial: bool = False,
) -> str:
    at = (axis or 0) % len(x.shape)

    def compute(wide: Any) -> str:
        name = lo.cast(x, wide)
        if include_initial:
            shape = (*x.shape[:at], 1, *x.shape[at + 1 :])
            zeros = lo.expanded(lo.constant(0, wide), (), shape)
            name = lo.node("Concat", zeros, name, axis=at)
        return lo.node("CumSum", name, lo.constant(at, np.int64))

    return in_wide(lo, y, compute)


# --- products of matrices ---------------------------------------------------------------------------


@named("matmul")
def _matmul(lo: Lowering, y: Edge, x1: Edge, x2: Edge, /) -> str:
    return in_wide(lo, y, lambda dtype: lo.node("MatMul", lo.cast(x1, dtype), lo.cast(x2, dtype)))


@named("vecdot")
def _vecdot(lo: Lowering, y: Edge, x1: Edge, x2: Edge, /, *, axis: int = -1) -> str:
    product = lo.node("Mul", lo.cast(x1, y.dtype), lo.cast(x2, y.dtype))
    return lo.reduced("ReduceSum", product, [axis], False)


@named("linalg.outer")
def _outer(lo: Lowering, y: Edge, x1: Edge, x2: Edge, /) -> str:
    column = lo.node("Unsqueeze", lo.cast(x1, y.dtype), lo.integers(1))
    return lo.node("Mul", column, lo.cast(x2, y.dtype))


@named("tensordot")
def _tensordot(lo: Lowering, y: Edge, x1: Edge, x2: Edge, /, *, axes: Any = 2) -> str:
    """A sum over axes of both, as `Einsum`."""
    if isinstance(axes, int):
        ends: Any = (range(len(x1.shape) - axes, len(x1.shape)), range(axes))
    else:
        ends = tuple(
            [n % len(x.shape) for n in pair] for pair, x in zip(axes, (x1, x2), strict=True)
        )
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    first = [next(letters) for _ in x1.shape]
    second = [next(letters) for _ in x2.shape]
    for i, j in zip(*ends, strict=True):
        second[j] = first[i]
    kept = [x for i, x in enumerate(first) if i not in ends[0]]
    kept += [x for j, x in enumerate(second) if j not in ends[1]]
    equation = f"{''.join(first)},{''.join(second)}->{''.join(kept)}"
    return lo.node("Einsum", lo.cast(x1, y.dtype), lo.cast(x2, y.dtype), equation=equation)


# --- the order and the number of axes ---------------------------------------------------------------


@named("permute_dims")
def _permute_dims(lo: Lowering, y: Edge, x: Edge, /, axes: Sequence[int]) -> str:
    return transposed(lo, x.name, [n % len(x.shape) for n in axes])


@named("matrix_transpose")
def _matrix_transpose(lo: Lowering, y: Edge, x: Edge, /) -> str:
    *before, last, end = range(len(x.shape))
    return transposed(lo, x.name, [*before, end, last])


@named("x.T")
def _reversed(lo: Lowering, y: Edge, x: Edge, /) -> str:
    return transposed(lo, x.name, [*reversed(range(len(x.shape)))])


@named("moveaxis")
def _moveaxis(lo: Lowering, y: Edge, x: Edge, /, source: Any, destination: Any) -> str:
    axes = len(x.shape)
    froms = [n % axes for n in several(source)]
    tos = [n % axes for n in several(destination)]
    order = [n for n in range(axes) if n not in froms]
    for to, n in sorted(zip(tos, froms, strict=True)):
        order.insert(to, n)
    return transposed(lo, x.name, order)


@named("reshape")
def _reshape(lo: Lowering, y: Edge, x: Edge, /, *shape: Any, copy: bool | None = None) -> str:
    if x.shape == y.shape:
        return x.name
    return lo.reshaped(x.name, y.shape)


@named("expand_dims")
def _expand_dims(lo: Lowering, y: Edge, x: Edge, /, *, axis: Axis = 0) -> str:
    axes = [n % len(y.shape) for n in several(axis)]
    return lo.node("Unsqueeze", x.name, lo.integers(*axes))


@named("squeeze")
def _squeeze(lo: Lowering, y: Edge, x: Edge, /, axis: Axis) -> str:
    axes = axes_of(axis, x)
    if not axes:
        return x.name
    return lo.node("Squeeze", x.name, lo.integers(*axes))


@named("broadcast_to")
def _broadcast_to(lo: Lowering, y: Edge, x: Edge, /, shape: Any) -> str:
    return lo.expanded(x.name, x.shape, y.shape)


@named("broadcast_arrays")
def _broadcast_arrays(lo: Lowering, ys: Sequence[Edge], /, *xs: Edge) -> list[str]:
    return [lo.expanded(x.name, x.shape, y.shape) for x, y in zip(xs, ys, strict=True)]


@named("concat")
def _concat(lo: Lowering, y: Edge, arrays: Sequence[Edge], /, *, axis: int | None = 0) -> str:
    names = [lo.cast(x, y.dtype) for x in arrays]
    if axis is None:
        names = [lo.node("Reshape", x, lo.integers(-1)) for x in names]
    return lo.joined(names, (axis or 0) % len(y.shape))


@named("stack")
def _stack(lo: Lowering, y: Edge, arrays: Sequence[Edge], /, *, axis: int = 0) -> str:
    at = axis % len(y.shape)
    names = [lo.node("Unsqueeze", lo.cast(x, y.dtype), lo.integers(at)) for x in arrays]
    return lo.joined(names, at)


@named("unstack")
def _unstack(lo: Lowering, ys: Sequence[Edge], x: Edge, /, *, axis: int = 0) -> list[str]:
    indices = range(len(ys))
    return [lo.node("Gather", x.name, lo.constant(i, np.int64), axis=axis) for i in indices]


@named("flip")
def _flip(lo: Lowering, y: Edge, x: Edge, /, *, axis: Axis = None) -> str:
    axes = axes_of(axis, x)
    whole = [slice(None)] * len(x.shape)
    for i in axes:
        whole[i] = slice(None, None, -1)
    return sliced(lo, x.name, whole)


@named("roll")
def _roll(lo: Lowering, y: Edge, x: Edge, /, shift: Any, *, axis: Axis = None) -> str:
    name = x.name
    if axis is None:
        name = lo.node("Reshape", name, lo.integers(-1))
        moved = _rolled(lo, name, length(x.shape), shift, 0, 1)
        return lo.reshaped(moved, y.shape)
    for by, n in zip(several(shift), several(axis), strict=True):
        at = n % len(x.shape)
        name = _rolled(lo, name, x.shape[at], by, at, len(x.shape))
    return name


def _rolled(lo: Lowering, name: str, n: Dimension, by: int, axis: int, axes: int) -> str:
    if isinstance(n, Size):
        raise CompileError("expected an axis other than the batch. Use a slice and concat.")
    if not by % n:
        return name
    cut = n - by % n
    last = sliced(lo, name, [slice(None)] * axis + [slice(cut, None)])
    first = sliced(lo, name, [slice(None)] * axis + [slice(0, cut)])
    return lo.node("Concat", last, first, axis=axis)


@named("tile")
def _tile(lo: Lowering, y: Edge, x: Edge, /, repetitions: Sequence[Dimension]) -> str:
    times = (1,) * (len(y.shape) - len(repetitions)) + tuple(repetitions)
    own = (1,) * (len(y.shape) - len(x.shape)) + x.shape
    return lo.node("Tile", lo.reshaped(x.name, own), lo.lengths(times))


@named("repeat")
def _repeat(lo: Lowering, y: Edge, x: Edge, /, repeats: int, *, axis: int | None = None) -> str:
    """Each number several times: along a new axis, which is then joined with the one before."""
    if isinstance(repeats, Edge):
        raise CompileError("expected one number of repeats, got an array. Use F.take.")
    if axis is None:
        x = Edge(lo.node("Reshape", x.name, lo.integers(-1)), (length(x.shape),), x.dtype)
        axis = 0
    at = axis % len(x.shape) + 1
    name = lo.node("Unsqueeze", x.name, lo.integers(at))
    own = (*x.shape[:at], 1, *x.shape[at:])
    wide = (*x.shape[:at], repeats, *x.shape[at:])
    return lo.reshaped(lo.expanded(name, own, wide), y.shape)


def _triangle(upper: int, lo: Lowering, y: Edge, x: Edge, /, *, k: int = 0) -> str:
    return in_wide(
        lo,
        y,
        lambda dtype: lo.node("Trilu", lo.cast(x, dtype), lo.constant(k, np.int64), upper=upper),
    )


STANDARD["triu"] = partial(_triangle, 1)
STANDARD["tril"] = partial(_triangle, 0)


# --- creation -----------------------------------------------------------------------------------------


def _filled(value: Any, lo: Lowering, y: Edge, /, *args: Any, **options: Any) -> str:
    return lo.expanded(lo.constant(value, y.dtype), (), y.shape)


for _name, _value in (("zeros", 0), ("ones", 1), ("empty", 0)):
    STANDARD[_name] = STANDARD[f"{_name}_like"] = partial(_filled, _value)


@named("full", "full_like")
def _full(lo: Lowering, y: Edge, shape: Any, /, fill_value: Any, **options: Any) -> str:
    return lo.expanded(lo.cast(fill_value, y.dtype), (), y.shape)


@named("arange")
def _arange(
    lo: Lowering, y: Edge, start: Any, /, stop: Any = None, step: Any = 1, **options: Any
) -> str:
    first = start
    end = stop
    if stop is None:
        first = 0
        end = start

    def compute(dtype: Any) -> str:
        return lo.node("Range", lo.cast(first, dtype), lo.cast(end, dtype), lo.cast(step, dtype))

    return in_wide(lo, y, compute)


# --- sorting ------------------------------------------------------------------------------------------


def _sorted(
    output: int,
    lo: Lowering,
    y: Edge,
    x: Edge,
    /,
    *,
    axis: int = -1,
    descending: bool = False,
    stable: bool = True,
) -> str:
    """Of equal numbers `TopK` takes the first one first, so it is stable."""
    n = lo.lengths([x.shape[axis]])
    name = lo.cast(x, _wide(x.dtype))
    found = lo.nodes("TopK", 2, name, n, axis=axis, largest=int(descending), sorted=1)[output]
    own = (_wide(x.dtype), np.dtype(np.int64))[output]
    return lo.converted(found, own, y.dtype)


STANDARD["sort"] = partial(_sorted, 0)
STANDARD["argsort"] = partial(_sorted, 1)
