"""Operations whose result is one of their operands, bit for bit.

x + 0 is not among them: for x = -0 it is +0.
"""

import math
from collections.abc import Callable
from typing import Any

from xpnet.compiler.passes.rewriting import Rewriting
from xpnet.compiler.record import Operation, Program, Value

__all__ = ["is_number", "without_identities"]

RESHAPING = frozenset(("reshape", "squeeze", "expand_dims"))  # all keep the order of the numbers


IN_ORDER = frozenset(("zeros", "ones", "full"))
"""Operations whose results lie in memory in the order of their axes, as that of two matrices does.

Others, such as `stack`, may take over the order of their operands.
"""


def without_identities(program: Program) -> Program:
    """The program without operations that change nothing, such as two transpositions in a row."""
    rewriting = Rewriting(program)
    for operation in program.operations:
        find = IDENTITIES.get(operation.name, _nothing)
        same = find(operation)
        if same is None or (same.shape, same.dtype) != _kind(operation):
            rewriting.keep(operation)
        else:
            rewriting.replace(operation.outputs[0], rewriting.value(same))
    return rewriting.program()


def _nothing(_: Operation) -> None:
    """For operations that are never an identity."""


def _kind(operation: Operation) -> tuple[tuple[int, ...], Any]:
    return operation.outputs[0].shape, operation.outputs[0].dtype


def _first(operation: Operation) -> Value | None:
    """The first argument, if it is an array."""
    for x in operation.args[:1]:
        if isinstance(x, Value) and x.dtype is not None:
            return x
    return None


def _operand_of(x: Any, *names: str) -> Value | None:
    """The first argument of the operation that computes x, if it has one of these names."""
    if not isinstance(x, Value) or x.operation is None or x.operation.name not in names:
        return None
    return _first(x.operation)


def _of_reshaping(operation: Operation) -> Value | None:
    """The array that was reshaped, perhaps several times, if it had the shape of the result.

    A reshaping on the way may have copied: that of a transposed matrix makes its rows contiguous. The
    numbers are the same, but a product adds them in another order. So what was reshaped through another
    shape must be in the order of its axes, or have kept its axes but those of length 1.
    """
    shape = operation.outputs[0].shape
    is_view = True
    x = _reshaped_by(operation)
    while x is not None and x.shape != shape:
        is_view = is_view and _long_axes(x) == _long_axes(operation.outputs[0])
        x = _reshaped_by(x.operation)
    if x is None or is_view or _is_in_order(x):
        return x
    return None


def _reshaped_by(operation: Operation | None) -> Value | None:
    """The array that an operation reshapes and whose numbers it keeps in order; None if it does neither."""
    if operation is None or operation.name not in RESHAPING or "order" in operation.options:
        return None
    return _first(operation)


def _long_axes(x: Value) -> list[int]:
    return [length for length in x.shape if length != 1]


def _is_in_order(x: Value) -> bool:
    """Whether an array surely lies in memory in the order of its axes."""
    operation = x.operation
    if operation is None or "order" in operation.options:
        return False
    of_matrices = operation.name == "matmul" and all(len(y.shape) == 2 for y in operation.inputs())
    return of_matrices or operation.name in IN_ORDER


def _of_transposition(operation: Operation) -> Value | None:
    return _operand_of(_first(operation), "matrix_transpose")


def _of_permutation(operation: Operation) -> Value | None:
    axes = [*operation.args[1:], operation.options.get("axes")][0]
    if axes is None or tuple(axes) != tuple(range(len(axes))):
        return None
    return _first(operation)


def _of_conversion(operation: Operation) -> Value | None:
    """`astype(x, dtype)`, for x of that dtype; also a copy, as executors give results their own memory."""
    if operation.options.get("device") is not None or "order" in operation.options:
        return None
    return _first(operation)


def _of_positive(operation: Operation) -> Value | None:
    """`+x`."""
    return None if operation.options else _first(operation)


def _of_conjugate(operation: Operation) -> Value | None:
    """`conj(x)`, for real numbers."""
    return None if "complex" in str(operation.outputs[0].dtype) else _first(operation)


def _of_item(operation: Operation) -> Value | None:
    """`x[...]` and `x[:, :]`."""
    key = operation.args[1]
    for part in key if isinstance(key, tuple) else (key,):
        if part is not Ellipsis and part != slice(None):
            return None
    return _first(operation)


def _with_number(number: float, either_side: bool) -> Callable[[Operation], Value | None]:
    """For an operation that changes nothing if its second operand is this number."""

    def find(operation: Operation) -> Value | None:
        if operation.options or len(operation.args) != 2:
            return None
        x, y = operation.args
        if is_number(y, number):
            return _first(operation)
        if either_side and is_number(x, number) and isinstance(y, Value):
            return y
        return None

    return find


def is_number(x: Any, number: float) -> bool:
    """Whether x is this Python number, with its sign: -0.0 is not 0.0."""
    if isinstance(x, bool) or not isinstance(x, (int, float)) or x != number:
        return False
    return math.copysign(1.0, x) == math.copysign(1.0, number)


def _of_comparison(operation: Operation) -> Value | None:
    """The booleans m of `astype(m, dtype) != 0`."""
    if operation.options or len(operation.args) != 2:
        return None
    x, y = operation.args
    if not isinstance(y, (int, float)) or y != 0:
        return None
    return _operand_of(x, "astype", "asarray")


IDENTITIES: dict[str, Callable[[Operation], Value | None]] = {
    "conj": _of_conjugate,
    "positive": _of_positive,
    "matrix_transpose": _of_transposition,
    "permute_dims": _of_permutation,
    "broadcast_to": _first,
    **dict.fromkeys(RESHAPING, _of_reshaping),
    **dict.fromkeys(("astype", "asarray"), _of_conversion),
    "getitem": _of_item,
    "multiply": _with_number(1, either_side=True),
    "divide": _with_number(1, either_side=False),
    "subtract": _with_number(0, either_side=False),
    "not_equal": _of_comparison,
}
"""For each name, which operand the result may be; it is if shape and dtype are equal too."""
