"""The source of single operations for NumPy: calls that write into a given array.

A writer appends lines to a `Source`. It returns False for an operation that it does not know in that
form, which the recorded function computes then.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from xpnet._typing import Array
from xpnet.compiler.executors._numpy_source import Source
from xpnet.compiler.record import Operation, Value, leaves

__all__ = ["WRITERS"]

REDUCTIONS = {
    "sum": "np.add.reduce",
    "max": "np.maximum.reduce",
    "min": "np.minimum.reduce",
    "prod": "np.multiply.reduce",
    "mean": "np.mean",
}


def _matmul(source: Source, operation: Operation) -> bool:
    a, b = operation.args
    y = operation.outputs[0]
    if operation.options or not _are_arrays(a, b) or {a.dtype, b.dtype} != {y.dtype}:
        return False
    function = "np.matmul"
    if _is_plain_product(source, a, b, y):
        function = "np.dot"
    source.lines.append(f"{function}({source.name(a)}, {source.name(b)}, out={source.name(y)})")
    return True


def _are_arrays(*operands: Any) -> bool:
    """Whether all of these are arrays of the program: not lists or numbers."""
    return all(isinstance(x, Value) and x.dtype is not None for x in operands)


def _is_plain_product(source: Source, a: Value, b: Value, y: Value) -> bool:
    """Whether `np.dot` makes the same call of BLAS as `np.matmul`, which takes longer to reach it."""
    if np.dtype(y.dtype) not in (np.float32, np.float64):
        return False
    for x in (a, b):
        flags = source.memory.shadow(x).flags
        if len(x.shape) != 2 or min(x.shape) < 2 or source.at_run_time(x):
            return False
        if not (flags.c_contiguous or flags.f_contiguous):
            return False
    return a is not b and source.memory.shadow(y).flags.c_contiguous


def _outer_product(source: Source, operation: Operation) -> bool:
    a, b = map(source.name, operation.args)
    y = operation.outputs[0]
    function = (
        "np.dot"
        if len(operation.args[0].shape) == len(operation.args[1].shape) == 2
        else "np.multiply"
    )
    source.lines.append(f"{function}({a}, {b}, out={source.name(y)})")
    return True


def _column_sums(source: Source, operation: Operation) -> bool:
    (x,) = operation.args
    axes: Any = tuple(range(len(x.shape) - 1))
    if len(axes) == 1:
        axes = 0
    y = source.name(operation.outputs[0])
    source.lines.append(f"np.add.reduce({source.name(x)}, axis={axes}, out={y})")
    return True


def _reduction(source: Source, operation: Operation) -> bool:
    x = operation.args[0]
    y = operation.outputs[0]
    options = dict(operation.options)
    axis = options.pop("axis", None)
    keepdims = options.pop("keepdims", False)
    if len(operation.args) > 1 or options or not _are_arrays(x):
        return False
    if x.dtype != y.dtype or x.dtype.kind != "f":
        return False
    source.lines.append(
        f"{REDUCTIONS[operation.name]}({source.name(x)}, axis={axis!r}, "
        f"keepdims={bool(keepdims)}, out={source.name(y)})"
    )
    return True


def _joined(function: str) -> Callable[[Source, Operation], bool]:
    def write(source: Source, operation: Operation) -> bool:
        arrays = operation.args[0]
        y = operation.outputs[0]
        options = dict(operation.options)
        axis = options.pop("axis", 0)
        plain = isinstance(arrays, (list, tuple)) and isinstance(axis, int)
        if not plain or options or len(operation.args) > 1 or not _are_arrays(*arrays):
            return False
        if {x.dtype for x in arrays} != {y.dtype}:
            return False
        names = ", ".join(source.name(x) for x in arrays)
        source.lines.append(f"{function}(({names},), axis={axis}, out={source.name(y)})")
        return True

    return write


def _reshape(source: Source, operation: Operation) -> bool:
    """A reshaping that no view can do: a copy, in the order of the axes."""
    x = operation.args[0]
    y = operation.outputs[0]
    if set(operation.options) - {"shape", "copy"} or not _are_arrays(x):
        return False
    if not source.memory.shadow(y).flags.c_contiguous:
        return False
    target = source.view_of(source.name(y), lambda array: array.reshape(x.shape))
    source.lines.append(f"np.copyto({target}, {source.name(x)})")
    return True


def _set_item(source: Source, operation: Operation) -> bool:
    x, key, value = operation.args
    y = operation.outputs[0]
    if any(isinstance(part, Value) for part in leaves(key)):
        return False
    if not isinstance(value, Value) and any(isinstance(part, Value) for part in leaves(value)):
        return False  # a list of arrays
    name = source.name(y)
    written = source.operand(value)
    source.lines.append(f"np.copyto({name}, {source.name(x)})")
    source.lines.append(f"{name}[{source.constant(key, 'key')}] = {written}")
    return True


def _take(source: Source, operation: Operation) -> bool:
    """Rows of an array: without NumPy's checks, which copy, after a check of all indices at once."""
    x, i = operation.args[:2]
    axis = operation.options.get("axis", 0)
    indices_fit = _are_arrays(x, i) and i.dtype == np.dtype(np.intp) and len(i.shape) == 1
    if len(operation.args) > 2 or set(operation.options) - {"axis"} or not indices_fit:
        return False
    if axis != 0 or not i.shape[0]:
        return False
    rows = source.name(i)
    y = source.name(operation.outputs[0])
    call = source.call(operation)
    key = ("valid", i, x.shape[0])
    if key not in source.names:  # for the first table of that length
        source.names[key] = source.new_name("valid")
        are_valid = source.are_below(i, x.shape[0])
        source.lines.append(f"{source.names[key]} = {are_valid}")
    source.lines += [
        f"if {source.names[key]}:",
        f'    {source.name(x)}.take({rows}, axis=0, out={y}, mode="clip")',
        "else:  # a negative index, or one that is too large: as without this check",
        f"    np.copyto({y}, {call})",
    ]
    return True


def _getitem(source: Source, operation: Operation) -> bool:
    """x[i] for an array of whole numbers: rows."""
    return isinstance(operation.args[1], Value) and _take(source, operation)


def _checked(source: Source, operation: Operation) -> bool:
    """Indices, after a check that they are in range: the function raises the error if they are not."""
    x, _, least, most = operation.args
    if 0 in x.shape:
        return False
    indices = source.name(x)
    too_small = f"np.minimum.reduce({indices}, axis=None) < {least}"
    too_large = f"np.maximum.reduce({indices}, axis=None) > {most}"
    source.lines += [
        f"if {too_small} or {too_large}: {source.call(operation)}",
        f"np.copyto({source.name(operation.outputs[0])}, {indices})",
    ]
    return True


def index_of_valid(t: Array, index: Array, classes: int) -> Array:
    """The entries of an index that belong to class numbers from 0 to classes - 1."""
    return index[(t >= 0) & (t < classes)]


def _has_source(source: Source, operation: Operation, e: Value) -> bool:
    """Whether a cross entropy, or its gradient, is a head whose rows lie one behind the other.

    exp(scores) has the order of memory of the scores, which may be the columns of a matrix.
    """
    return operation in source.memory.heads and source.memory.shadow(e).flags.c_contiguous


def _cross_entropy(source: Source, operation: Operation) -> bool:
    """What `xpnet.kernels.elementary.cross_entropy` computes, for a head: see `heads`."""
    x, t = operation.args
    loss, e, total, rows, _ = operation.outputs
    if not _has_source(source, operation, e):
        return False
    n, classes = x.shape
    maxima = source.scratch(x.dtype, n)
    column = source.view_of(maxima, lambda array: array[:, None])
    offsets = source.constant(np.arange(n, dtype=np.intp) * classes, "offsets")
    memory = source.constant(np.empty(n, np.intp), "index_memory")  # also for the gradient
    scores = source.name(x)
    z = source.name(e)
    index = source.name(rows)
    valid = source.new_name("valid")
    chosen = source.constant(index_of_valid, "index_of_valid")
    _write_row_maxima(source, x, maxima, offsets)
    are_valid = source.are_below(t, classes)
    source.lines += [
        f"np.subtract({scores}, {column}, out={z})",
        f"{index} = np.add({source.name(t)}, {offsets}, out={memory})",
        f"{valid} = {are_valid}",
        f"if not {valid}:",
        f"    {index} = {chosen}({source.name(t)}, {index}, {classes})",
    ]
    wanted = loss in source.readers or loss in source.needed
    picked = source.new_name("picked")
    if wanted:
        flat = source.view_of(z, lambda array: array.reshape(-1))
        source.lines.append(f"{picked} = {flat}.take({index})")
    source.lines += [
        f"np.exp({z}, out={z})",
        f"np.add.reduce({z}, axis=1, out={source.name(total)})",
    ]
    if wanted:
        _write_loss(source, operation, valid, picked)
    return True


def _write_loss(source: Source, operation: Operation, valid: str, picked: str) -> None:
    """The mean of log(total) - z[t]; infinite if a class number is invalid."""
    x = operation.args[0]
    loss, _, total, *_ = operation.outputs
    infinite = source.constant(np.dtype(x.dtype).type(np.inf), "infinite")
    result = source.name(loss)
    source.lines += [
        f"{result} = {infinite}",
        f"if {valid}:",
        f"    {result} = np.add.reduce(np.log({source.name(total)}) - {picked}) / {x.shape[0]}",
    ]


def _write_row_maxima(source: Source, x: Value, out: str, offsets: str) -> None:
    """The largest score of each row: by its place, which NumPy finds three times as fast."""
    scores = source.name(x)
    if source.at_run_time(x) or not source.memory.shadow(x).flags.c_contiguous:
        source.lines.append(f"np.maximum.reduce({scores}, axis=1, out={out})")
        return
    places = source.scratch(np.dtype(np.intp), x.shape[0])
    flat = source.view_of(scores, lambda array: array.reshape(-1))
    source.lines += [
        f"{scores}.argmax(axis=1, out={places})",
        f"np.add({places}, {offsets}, out={places})",
        f'{flat}.take({places}, out={out}, mode="clip")',
    ]


def _cross_entropy_gradient(source: Source, operation: Operation) -> bool:
    """What `xpnet.kernels.elementary.cross_entropy_gradient` computes, for a head."""
    gy, x, _, kept = operation.args
    e, total, rows, _ = kept
    if not _has_source(source, operation, e):
        return False
    y = source.name(operation.outputs[0])
    n = x.shape[0]
    column = source.view_of(source.name(total), lambda array: array[:, None])
    flat = source.view_of(y, lambda array: array.reshape(-1))
    scale = f"{source.operand(gy)} / {n}"
    source.lines += [
        f"np.divide({source.name(e)}, {column}, out={y})",
        f"{flat}[{source.name(rows)}] -= 1.0",
        f"np.multiply({y}, {scale}, out={y})",
    ]
    return True


WRITERS: dict[str, Callable[[Source, Operation], bool]] = {
    "matmul": _matmul,
    "outer_product": _outer_product,
    "column_sums": _column_sums,
    **dict.fromkeys(REDUCTIONS, _reduction),
    "concat": _joined("np.concatenate"),
    "stack": _joined("np.stack"),
    "reshape": _reshape,
    "checked": _checked,
    "set_item": _set_item,
    "take": _take,
    "getitem": _getitem,
    "cross_entropy": _cross_entropy,
    "cross_entropy_gradient": _cross_entropy_gradient,
}
