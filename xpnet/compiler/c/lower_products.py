"""Products for the C library: "matmul", "product" (with what follows it) and "product_update"."""

import ctypes
import os
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

from xpnet.compiler.c.lowering import LOWERINGS, Instruction, Lowering, Number, suffix
from xpnet.compiler.c.memory import View
from xpnet.compiler.record import Operation, Value
from xpnet.errors import ArgumentError

__all__ = ["Matrices", "forced_products", "one_stride"]


def forced_products() -> str | None:
    """The products that XPNET_PRODUCTS names: "own", "blas" (where it can compute them) or None."""
    given = os.environ.get("XPNET_PRODUCTS", "")
    if given not in ("", "own", "blas"):
        raise ArgumentError(
            f'The environment variable XPNET_PRODUCTS is "own", "blas" or empty, but got {given!r}.'
        )
    return given or None


@dataclass(frozen=True, slots=True)
class Matrix:
    """Matrices along two axes: the strides of a row, a column, and of the next matrix, in elements."""

    view: View
    rows: int
    columns: int
    row: int
    column: int
    counts: tuple[int, int] = (1, 1)
    steps: tuple[int, int] = (0, 0)

    @property
    def suits_blas(self) -> bool:
        """Whether its rows or its columns are contiguous and do not overlap."""
        return (self.column == 1 and self.row >= max(self.columns, 1)) or (
            self.row == 1 and self.column >= max(self.rows, 1)
        )


@dataclass(frozen=True, slots=True)
class Matrices:
    """a @ b = c."""

    a: Matrix
    b: Matrix
    c: Matrix


def _matrix(view: View, shape: tuple[int, int], strides: tuple[int, int]) -> Matrix:
    """A matrix; the strides of axes of length 1 are chosen such that BLAS takes them."""
    rows, columns = shape
    row, column = strides
    if columns == 1:
        column = 1
    if rows == 1:
        row = max(columns, 1) if column == 1 else 1
    return Matrix(view, rows, columns, row, column)


def one_stride(shape: tuple[int, ...], strides: tuple[int, ...]) -> int | None:
    """The stride of some axes taken as one; None if they are not evenly spaced."""
    axes = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    if not axes:
        return 0
    for (_, outer), (n, inner) in pairwise(axes):
        if outer != inner * n:
            return None
    return axes[-1][1]


def _rows_of(lowering: Lowering, x: View) -> Matrix:
    """An array of any number of axes as a matrix: all axes but the last are its rows."""
    if not x.shape[:-1]:
        return _matrix(x, (1, x.shape[0]), (0, x.strides[0]))
    stride = one_stride(x.shape[:-1], x.strides[:-1])
    if stride is None:
        x = lowering.contiguous(x)
        stride = x.shape[-1]
    rows = prod(x.shape[:-1])
    return _matrix(x, (rows, x.shape[-1]), (stride, x.strides[-1]))


def _stacks_of(views: list[View], axes: tuple[int, ...]) -> list[Matrix] | None:
    """Stacks of matrices, broadcast to `axes`; None if these are more than two to loop over."""
    spread: list[tuple[int, ...]] = []
    for x in views:
        missing = len(axes) + 2 - len(x.shape)
        shape = (1,) * missing + x.shape[:-2]
        strides = (0,) * missing + x.strides[:-2]
        spread.append(tuple(0 if n == 1 else s for n, s in zip(shape, strides, strict=True)))
    merged: list[tuple[int, list[int]]] = []
    for n, *steps in zip(axes, *spread, strict=True):
        if n == 1:
            continue
        if merged and merged[-1][1] == [n * step for step in steps]:
            merged[-1] = (merged[-1][0] * n, steps)
        else:
            merged.append((n, steps))
    if len(merged) > 2:
        return None
    merged = [(1, [0] * len(views))] * (2 - len(merged)) + merged
    found = []
    for i, x in enumerate(views):
        one = _matrix(x, (x.shape[-2], x.shape[-1]), (x.strides[-2], x.strides[-1]))
        counts = (merged[0][0], merged[1][0])
        distances = (merged[0][1][i], merged[1][1][i])
        found.append(Matrix(x, one.rows, one.columns, one.row, one.column, counts, distances))
    return found


def _matrices(lowering: Lowering, a: View, b: View, y: View) -> Matrices | None:
    """The matrices of y = a @ b; None if C cannot loop over them, or y is none that it can write."""
    if len(b.shape) > 2:
        if len(a.shape) < 2:
            return None
        stacks = _stacks_of([a, b, y], y.shape[:-2])
        if stacks is None:
            whole = [lowering.contiguous(a), lowering.contiguous(b), y]
            stacks = _stacks_of(whole, y.shape[:-2])
        return None if stacks is None else Matrices(*stacks)
    axes = len(y.shape) if len(b.shape) == 1 else len(y.shape) - 1  # those that are rows
    row = one_stride(y.shape[:axes], y.strides[:axes])
    if row is None:  # with the batch innermost, they are not one axis
        return None
    left = _rows_of(lowering, a)
    if len(b.shape) == 1:
        right = _matrix(b, (b.shape[0], 1), (b.strides[0], 1))
        return Matrices(left, right, _matrix(y, (left.rows, 1), (row, 1)))
    right = _matrix(b, (b.shape[0], b.shape[1]), (b.strides[0], b.strides[1]))
    shape = (left.rows, b.shape[1])
    return Matrices(left, right, _matrix(y, shape, (row, y.strides[-1])))


@dataclass(slots=True)
class _Ending:
    """What is done to the result of a product."""

    bias: View | None = None
    mask: View | None = None
    sums: View | None = None
    relu: bool = False

    def __bool__(self) -> bool:
        return self.relu or any(x is not None for x in (self.bias, self.mask, self.sums))


def _emit(
    lowering: Lowering, found: Matrices, alpha: Number, beta: Number, ending: _Ending
) -> None:
    """Append a product by the library's own kernels, with the one by BLAS as an alternative.

    With several threads there is no alternative: those of BLAS spin for a while after each product, on
    the cores where this library's threads are to compute what follows.
    """
    a = found.a
    b = found.b
    c = found.c
    end = suffix(c.view.dtype)
    strides = [a.row, a.column, b.row, b.column, c.row, c.column]
    loops = [n for k in (0, 1) for n in (c.counts[k], a.steps[k], b.steps[k], c.steps[k])]
    sizes = [a.rows, b.columns, a.columns, *strides, int(ending.relu), *loops]
    operands = [a.view, b.view, c.view, ending.bias, ending.mask, ending.sums]
    count = getattr(lowering.library.c, f"run_product_scratch{end}")
    wanted = count((ctypes.c_int64 * len(sizes))(*sizes), lowering.threads, beta == ZERO)
    own = Instruction(f"product{end}", operands, sizes, [alpha, beta], scratch=wanted)
    other = _by_blas(lowering, own, found, ending)
    forced = forced_products()
    if forced == "blas" and other:
        for instruction in other:
            lowering.emit(instruction)
        return
    if forced is None and lowering.threads == 1:
        own.alternative = other
    lowering.emit(own)


def _by_blas(
    lowering: Lowering, own: Instruction, found: Matrices, ending: _Ending
) -> list[Instruction]:
    """The same product by BLAS, if it can."""
    end = suffix(found.c.view.dtype)
    empty = 0 in (*found.c.view.shape, found.a.columns)
    matrices = (found.a, found.b, found.c)
    if lowering.blas is None or end is None or empty:
        return []
    if not all(x.suits_blas for x in matrices) or max(own.sizes) >= 2**31:
        return []
    operands = [*own.operands[:3], None, None, None]
    detail = lowering.blas.products[end]
    product = Instruction(f"blas_product{end}", operands, own.sizes, own.numbers, detail)
    product.scratch = own.scratch  # for our own product, which takes its place where alpha is 0
    if not ending:
        return [product]
    if found.c.column != 1:
        return []
    finish = Instruction(f"epilogue{end}", own.operands, own.sizes, own.numbers)
    return [product, finish]


ONE = Number(-1, 1.0)
ZERO = Number(-1, 0.0)


def _suits(operation: Operation, *operands: Any) -> bool:
    """Whether all operands have the one dtype of the result, for which C has products."""
    dtype = operation.outputs[0].dtype
    if suffix(dtype) is None:
        return False
    return all(isinstance(x, Value) and x.dtype == dtype and x.shape for x in operands)


def _lower_matmul(lowering: Lowering, operation: Operation) -> bool:
    """Append a @ b."""
    if operation.options or not _suits(operation, *operation.args):
        return False
    a, b = (lowering.view(x) for x in operation.args)
    found = _matrices(lowering, a, b, lowering.view(operation.outputs[0]))
    if found is None:
        return False
    _emit(lowering, found, ONE, ZERO, _Ending())
    return True


def _lower_vecdot(lowering: Lowering, operation: Operation) -> bool:
    """Append the sums of a * b over the last axis: each is the product of a row and a column."""
    a, b = operation.args
    y = lowering.view(operation.outputs[0])
    if operation.options.get("axis", -1) not in (-1, len(b.shape) - 1) or a.shape != b.shape:
        return False
    if not _suits(operation, a, b) or not set(operation.options) <= {"axis"}:
        return False
    rows = lowering.view(a)
    columns = lowering.view(b)
    n = a.shape[-1]
    stacks = _stacks_of(
        [
            rows.shown((*y.shape, 1, n), (*rows.strides[:-1], 0, rows.strides[-1])),
            columns.shown((*y.shape, n, 1), (*columns.strides, 0)),
            y.shown((*y.shape, 1, 1), (*y.strides, 0, 0)),
        ],
        y.shape,
    )
    if stacks is None:
        return False
    _emit(lowering, Matrices(*stacks), ONE, ZERO, _Ending())
    return True


def _lower_product(lowering: Lowering, operation: Operation) -> bool:
    """Append a @ b with what follows it: see `fused_products`."""
    a, b, bias, mask = operation.args
    given = [x for x in operation.args if x is not None]
    if not _suits(operation, *given) or len(b.shape) != 2:
        return False
    y = lowering.view(operation.outputs[0])
    found = _matrices(lowering, lowering.view(a), lowering.view(b), y)
    if found is None:
        return False
    ending = _Ending(relu=operation.options["relu"])
    if bias is not None:
        ending.bias = lowering.contiguous(lowering.view(bias))
    if mask is not None:
        ending.mask = lowering.view(mask)
        if ending.mask.strides != y.strides:
            same = lowering.temporary(y.shape, y.dtype, batch_last=not y.is_contiguous)
            lowering.copy(same, ending.mask)
            ending.mask = same
    if operation.options["sums"]:
        ending.sums = lowering.view(operation.outputs[1])
    if ending.sums is not None and not ending.sums.is_contiguous:
        return False
    _emit(lowering, found, ONE, ZERO, ending)
    return True


def _lower_update(lowering: Lowering, operation: Operation) -> bool:
    """Append beta c + sign alpha (a @ b)."""
    c, beta, alpha, a, b = operation.args
    if not _suits(operation, c, a, b):
        return False
    y = lowering.start_from(operation.outputs[0], c)
    found = _matrices(lowering, lowering.view(a), lowering.view(b), y)
    if found is None:
        return False
    factor = _number(alpha)
    signed = Number(factor.index, factor.constant * operation.options["sign"])
    _emit(lowering, found, signed, ONE if beta is None else _number(beta), _Ending())
    return True


def _number(x: Any) -> Number:
    """A Python number, or a number of the host."""
    return Number(x.index, 1.0) if isinstance(x, Value) else Number(-1, float(x))


LOWERINGS["matmul"] = _lower_matmul
LOWERINGS["product"] = _lower_product
LOWERINGS["product_update"] = _lower_update
LOWERINGS["vecdot"] = _lower_vecdot
