"""Rows of tables for the C library: batches of a data set, embeddings and their gradients."""

from math import prod
from typing import Any

import numpy as np

from xpnet.compiler.c import structures
from xpnet.compiler.c.lowering import INDICES, LOWERINGS, Instruction, Lowering, Number, suffix
from xpnet.compiler.c.memory import View, contiguous_strides
from xpnet.compiler.passes.chain import Chain
from xpnet.compiler.record import Operation, Value

__all__: list[str] = []

BYTES = np.dtype(np.uint8)
LONGEST = 4  # axes of a result that C writes in any layout
LARGEST = 1e30  # of a scale or a shift: neither it nor its product with a byte is infinite


def _lower_take(lowering: Lowering, operation: Operation) -> bool:
    """take(table, indices, axis=0), or table[indices]."""
    table = operation.args[0]
    indices = _indices(operation)
    if not isinstance(table, Value) or indices is None or not table.shape:
        return False
    given = lowering.view(table)
    rows_are_whole = given.shown(given.shape[1:], given.strides[1:]).is_contiguous
    if not rows_are_whole or np.dtype(indices.dtype) not in INDICES:
        return False
    if 0 in table.shape or 0 in indices.shape:
        return False
    numbers = lowering.contiguous(lowering.view(indices))
    scaled = _scaling(lowering, operation)
    if scaled is not None:
        chain, scale, shift = scaled
        if _gather(lowering, given, numbers, chain.outputs[0], scale, shift):
            lowering.done.add(chain)
            return True
    y = operation.outputs[0]
    return _gather(lowering, given, numbers, y, 1.0, 0.0) or _take(lowering, given, numbers, y)


def _indices(operation: Operation) -> Value | None:
    """The array of indices along the first axis; None if the operation is another selection."""
    if operation.name == "take":
        axis = operation.options.get("axis", 0)
        if len(operation.args) > 2:
            axis = operation.args[2]
        found = operation.args[1] if set(operation.options) <= {"axis"} else None
        if axis != 0 and not (axis is None and len(operation.args[0].shape) == 1):
            return None
    else:
        found = operation.args[1]
    return found if isinstance(found, Value) and found.shape else None


def _scaling(lowering: Lowering, operation: Operation) -> tuple[Operation, float, float] | None:
    """The chain that computes x * scale + shift of the rows, if nothing else reads them."""
    y = operation.outputs[0]
    users = lowering.readers.get(y, [])
    if len(users) != 1 or y in lowering.needed or users[0].name != "chain":
        return None
    chain: Chain = users[0].options["chain"]
    numbers = _numbers_of(users[0], chain)
    rows = [n for n, x in enumerate(users[0].args) if x is y]
    if numbers is None or len(rows) != 1 or len(users[0].outputs) != 1 or chain.shape != y.shape:
        return None
    scale = 1.0
    shift = 0.0
    before = rows[0]
    for n, step in enumerate(chain.steps):
        if suffix(step.dtype) is None:
            return None
        found = _linear(step.name, step.registers, before, numbers)
        if found is None:
            return None
        scale *= found[0]
        shift = shift * found[0] + found[1]
        before = chain.first + n
    if not (abs(scale) <= LARGEST and abs(shift) <= LARGEST):  # also if one is NaN
        return None
    return users[0], scale, shift


def _numbers_of(operation: Operation, chain: Chain) -> dict[int, float] | None:
    """The constants of a chain by their registers; None if it reads more than one other array.

    An array of no axes, such as numpy.float32(255), is a number, too, if it is real.
    """
    found = {len(chain.inputs) + n: float(x) for n, x in enumerate(chain.numbers)}
    others = 0
    for register, x in enumerate(operation.args):
        if x.source == "constant" and x.shape == () and np.dtype(x.dtype).kind in "biuf":
            found[register] = float(x.array)
        else:
            others += 1
    return found if others == 1 else None


def _linear(
    name: str, registers: tuple[int, ...], before: int, numbers: dict[int, float]
) -> tuple[float, float] | None:
    """A step as (scale, shift), if it is one of the value `before` it."""
    if name == "astype" and registers == (before,):
        return 1.0, 0.0
    if name in ("add", "multiply") and registers[-1] == before:
        registers = registers[::-1]
    if registers[0] != before or len(registers) != 2 or registers[1] not in numbers:
        return None
    number = numbers[registers[1]]
    if name == "divide" and number == 0:
        return None
    known = {
        "multiply": (number, 0.0),
        "divide": (1.0 / (number or 1.0), 0.0),
        "add": (1.0, number),
        "subtract": (1.0, -number),
    }
    return known.get(name)


def _gather(
    lowering: Lowering, table: View, indices: View, y: Value, scale: float, shift: float
) -> bool:
    """Rows as floating-point numbers, into any layout."""
    end = suffix(y.dtype)
    if end is None or table.dtype not in (BYTES, y.dtype):
        return False
    result = lowering.view(y)
    made = structures.Gather()
    if result.is_contiguous:
        size = prod(table.shape[1:])
        shape = [1, 1, size]
        strides = [0, 0, 1]
        made.row_stride = size
    elif len(indices.shape) == 1 and len(result.shape) <= LONGEST:
        missing = LONGEST - len(result.shape)
        shape = [*[1] * missing, *result.shape[1:]]
        strides = [*[0] * missing, *result.strides[1:]]
        made.row_stride = result.strides[0]
    else:
        return False
    made.table_type = structures.TYPES[table.dtype.name]
    made.index_type = structures.TYPES[indices.dtype.name]
    made.count = prod(indices.shape)
    made.table_rows = table.shape[0]
    made.table_stride = table.strides[0]
    made.shape[:] = shape
    made.strides[:] = strides
    made.scale = scale
    made.shift = shift
    lowering.emit(Instruction(f"gather{end}", [result, table, indices], detail=made))
    return True


def _take(lowering: Lowering, table: View, indices: View, y: Value) -> bool:
    """Rows of any dtype, as they are."""
    result = lowering.view(y)
    if not result.is_contiguous:
        return False
    size = table.dtype.itemsize
    row = size * prod(table.shape[1:])
    count = prod(indices.shape)
    kind = structures.TYPES[indices.dtype.name]
    sizes = [row, size * table.strides[0], table.shape[0], kind, count, row]
    lowering.emit(Instruction("take", [result, table, indices], sizes))
    return True


def _lower_scatter_add(lowering: Lowering, operation: Operation) -> bool:
    """x, with rows added at indices of its first axis."""
    if operation.options or len(operation.args) != 3:
        return False
    x, key, rows = operation.args
    indices = key[0] if isinstance(key, tuple) and len(key) == 1 else key
    if not _suits_scatter(x, indices, rows):
        return False
    y = lowering.start_from(operation.outputs[0], x)
    if not y.is_contiguous:
        return False
    numbers = lowering.contiguous(lowering.view(indices))
    given = lowering.contiguous(lowering.view(rows))
    row = prod(x.shape[1:])
    count = prod(indices.shape)
    kind = structures.TYPES[numbers.dtype.name]
    sizes = [x.shape[0], contiguous_strides(x.shape)[0], kind, count, row, row]
    lowering.emit(
        Instruction(f"scatter_add{suffix(x.dtype)}", [y, numbers, given], sizes, [Number(-1, 1.0)])
    )
    return True


def _suits_scatter(x: Any, indices: Any, rows: Any) -> bool:
    """Whether C can add these rows."""
    if not all(isinstance(v, Value) and v.dtype is not None for v in (x, indices, rows)):
        return False
    if np.dtype(indices.dtype) not in INDICES or not indices.shape or not x.shape:
        return False
    return (
        x.dtype == rows.dtype
        and suffix(x.dtype) is not None
        and rows.shape == (*indices.shape, *x.shape[1:])
        and 0 not in x.shape
    )


def _lower_checked(lowering: Lowering, operation: Operation) -> bool:
    """Whether indices are in range: the result is the indices themselves."""
    indices, _, least, most = operation.args
    if (
        np.dtype(indices.dtype) not in INDICES
        or least != 0
        or lowering.is_placed(operation.outputs[0])
    ):
        return False
    given = lowering.contiguous(lowering.view(indices))
    count = int(np.prod(indices.shape, dtype=np.int64))
    kind = structures.TYPES[given.dtype.name]
    lowering.emit(Instruction("within", [given], [most + 1, kind, count]))
    lowering.place(operation.outputs[0], given)
    return True


LOWERINGS["checked"] = _lower_checked
LOWERINGS["take"] = _lower_take
LOWERINGS["getitem"] = _lower_take
LOWERINGS["scatter_add"] = _lower_scatter_add
