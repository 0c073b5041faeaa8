"""Operations of a program merged into kernels for CuPy.

    chain                             one ElementwiseKernel
    chain, column sums                one launch: `Columns`
    product with few terms, the same  one launch: `Columns`
    chain, cross entropy, its gradient, column sums    one launch: `Head`
    update                            in place, on the arrays of the state

The result is a program too, whose operations have these kernels as their functions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from xpnet._typing import Array, DType
from xpnet.compiler.buffers import owners
from xpnet.compiler.executors.cuda.chain import TYPES, chain_kernel, has_code
from xpnet.compiler.executors.cuda.matrix import (
    MOST_CLASSES,
    MOST_SCORES,
    MOST_TERMS,
    Columns,
    Head,
    Input,
    input_kind,
)
from xpnet.compiler.passes.chain import Chain
from xpnet.compiler.passes.dead import without_dead_operations
from xpnet.compiler.passes.rewriting import Rewriting, readers
from xpnet.compiler.record import Operation, Program, Value, leaves
from xpnet.errors import CompileError
from xpnet.kernels.update import Move, update

__all__ = ["fused", "updated_in_place", "updated_states"]

MOST_ROWS = 1024  # of a chain whose columns are added up: few blocks compute it


def fused(program: Program) -> Program:
    """The program with kernels for CuPy, and the same results but for rounding.

    Parameters
    ----------
    program : Program
        Cleaned for "cupy": its elementwise operations are in chains.
    """
    program = _with_heads(program)
    program = _with_columns(program)
    program = without_dead_operations(program)
    return _with_functions(program)


class _Uses:
    """Who reads the values of a program."""

    def __init__(self, program: Program) -> None:
        self.readers = readers(program)
        self.kept = {*program.outputs, *program.updates.values()}

    def only(self, value: Value) -> Operation | None:
        """The one operation that reads a value; None if there are others, or if it is a result."""
        found = self.readers.get(value, [])
        return found[0] if len(found) == 1 and value not in self.kept else None


# --- heads -----------------------------------------------------------------------------------------


def _with_heads(program: Program) -> Program:
    """The program with one operation for each cross entropy, its gradient, and the scores."""
    uses = _Uses(program)
    absorbed: set[Operation] = set()
    heads: dict[Operation, tuple[Operation, Operation, Operation | None]] = {}
    for operation in program.operations:
        found = _head(operation, uses) if operation.name == "cross_entropy" else None
        if found is not None:
            heads[operation] = found
            absorbed.update(x for x in found if x is not None)
    if not heads:
        return program
    rewriting = Rewriting(program)
    for operation in program.operations:
        if operation in heads:
            _append_head(rewriting, operation, *heads[operation])
        elif operation not in absorbed:
            rewriting.copy(operation)
    return rewriting.program()


def _head(loss: Operation, uses: _Uses) -> tuple[Operation, Operation, Operation | None] | None:
    """The chain, the gradient, and the column sums that belong to a cross entropy, if they fit."""
    x, t = loss.args
    chain = x.operation
    kept = loss.outputs[1]
    gradient = uses.only(kept)
    if chain is None or gradient is None or gradient.name != "cross_entropy_gradient":
        return None
    if not _is_scores(x) or not _is_class_numbers(t) or not _fits(chain):
        return None
    if x in uses.kept or not set(uses.readers[x]) <= {loss, gradient}:
        return None
    if len(chain.outputs) != 1 or gradient.args[1:3] != (x, t):
        return None
    if not _is_number(_number_in(gradient.args[0])):
        return None
    sums = [y for y in uses.readers.get(gradient.outputs[0], []) if y.name == "column_sums"]
    return chain, gradient, sums[0] if sums else None


def _is_scores(x: Value) -> bool:
    if len(x.shape) != 2 or str(x.dtype) not in ("float32", "float64"):
        return False
    rows, classes = x.shape
    return 0 < classes <= MOST_CLASSES and 0 < rows * classes <= MOST_SCORES


def _is_class_numbers(t: Value) -> bool:
    return len(t.shape) == 1 and "int" in str(t.dtype)


def _is_number(x: Any) -> bool:
    """Whether x is a number of the host."""
    return isinstance(x, (int, float)) or (isinstance(x, Value) and x.dtype is None)


def _number_in(x: Any) -> Any:
    """The number that an array is filled with, such as the 1 that `backward` begins with; else x."""
    operation = x.operation if isinstance(x, Value) else None
    if operation is None:
        return x
    if operation.name == "ones_like":
        return 1.0
    return operation.args[1] if operation.name == "full_like" else x


def _append_head(
    rewriting: Rewriting,
    loss: Operation,
    chain: Operation,
    gradient: Operation,
    sums: Operation | None,
) -> None:
    inputs = _inputs(chain)
    target = str(loss.args[1].dtype)
    x = loss.args[0]
    kernel = Head(chain.options["chain"], inputs, target, sums is not None, x.dtype)
    args = [loss.args[1], _number_in(gradient.args[0]), *chain.args]
    outputs = [loss.outputs[0], gradient.outputs[0]]
    if sums is not None:
        outputs.append(sums.outputs[0])
    _append(rewriting, "head", kernel, args, outputs, loss.where)


# --- chains with column sums -----------------------------------------------------------------------


def _with_columns(program: Program) -> Program:
    """The program with one operation for each chain, and the sums of its results' columns."""
    uses = _Uses(program)
    sums = {x: found for x in program.operations if (found := _sums_of(x, uses))}
    products = {x: _product_of(x, uses, found[0].outputs[0].dtype) for x, found in sums.items()}
    absorbed = {one for found in sums.values() for one in found}
    absorbed |= {x for x in products.values() if x is not None}
    rewriting = Rewriting(program)
    for operation in program.operations:
        if operation in sums:
            _append_columns(rewriting, operation, sums[operation], products[operation])
        elif operation not in absorbed:
            rewriting.copy(operation)
    return rewriting.program()


def _sums_of(operation: Operation, uses: _Uses) -> list[Operation]:
    """The operations that add up the columns of a chain's results, if one kernel can do both."""
    if operation.name != "chain" or not _fits(operation):
        return []
    rows = 1
    for n in operation.outputs[0].shape[:-1]:
        rows *= n
    if rows > MOST_ROWS or rows == 0:
        return []
    found = []
    for y in operation.outputs:
        if str(y.dtype) in ("float32", "float64"):
            found += [x for x in uses.readers.get(y, []) if x.name == "column_sums"]
    if len({str(x.outputs[0].dtype) for x in found}) != 1:
        return []
    return found


def _product_of(chain: Operation, uses: _Uses, dtype: DType) -> Operation | None:
    """A product with few terms, of a matrix and a transposed one, that only this chain reads.

    The kernel computes it in the dtype of the sums.
    """
    for x in chain.inputs():
        product = x.operation
        if product is None or product.name != "matmul" or uses.only(x) is not chain:
            continue
        a, b = product.args
        if not isinstance(a, Value) or not isinstance(b, Value):
            continue
        fits = len(a.shape) == len(b.shape) == 2 and a.shape[1] <= MOST_TERMS
        alike = x.shape == chain.outputs[0].shape and a.dtype == b.dtype == x.dtype == dtype
        if fits and alike and _is_transposed(b):
            return product
    return None


def _is_transposed(x: Value) -> bool:
    return x.operation is not None and x.operation.name == "matrix_transpose"


def _append_columns(
    rewriting: Rewriting, chain: Operation, sums: list[Operation], product: Operation | None
) -> None:
    inputs = _inputs(chain)
    args: list[Any] = []
    for n, x in enumerate(chain.args):
        if product is not None and x is product.outputs[0]:
            inputs[n] = Input("product", str(x.dtype))
            a, b = product.args
            args += [a, b.operation.args[0]]
        else:
            args.append(x)
    results = dict(zip(chain.outputs, chain.options["chain"].results, strict=True))
    registers = tuple(results[x.args[0]] for x in sums)
    kernel = Columns(chain.options["chain"], inputs, registers, sums[0].outputs[0].dtype)
    outputs = [*chain.outputs, *(x.outputs[0] for x in sums)]
    _append(rewriting, "columns", kernel, args, outputs, chain.where)


# --- common to both --------------------------------------------------------------------------------


def _fits(operation: Operation) -> bool:
    """Whether an operation is a chain that a kernel over a matrix can compute."""
    if operation.name != "chain":
        return False
    chain = operation.options["chain"]
    if len(chain.shape) < 2 or not _has_code(chain):
        return False
    dtypes = {str(x) for x in (*chain.inputs, *(step.dtype for step in chain.steps))}
    if "float16" in dtypes:
        return False
    kinds = [input_kind(x.shape, chain.shape) for x in operation.args if x.dtype is not None]
    return None not in kinds


def _inputs(operation: Operation) -> list[Input]:
    """How the inputs of a chain lie along its matrix."""
    found = []
    for x in operation.args:
        if x.dtype is None:
            found.append(Input("number", ""))
        else:
            kind = input_kind(x.shape, operation.options["chain"].shape)
            found.append(Input(kind or "all", str(x.dtype)))
    return found


def _has_code(chain: Chain) -> bool:
    """Whether all steps have CUDA code."""
    dtypes: list[Any] = [*chain.inputs, *(None for _ in chain.numbers)]
    for step in chain.steps:
        operands = [dtypes[i] for i in step.registers]
        if not has_code(step.name, operands, step.dtype):
            return False
        dtypes.append(step.dtype)
    return all(x is None or str(x) in TYPES for x in chain.inputs)


def _append(
    rewriting: Rewriting,
    name: str,
    function: Callable[..., Any],
    args: Sequence[Any],
    outputs: Sequence[Value],
    where: str,
) -> None:
    """Append an operation with values of the given program."""
    new = Operation(name, function, tuple(rewriting.value(x) for x in args), where=where)
    new.outputs = [rewriting.output(old, new, n) for n, old in enumerate(outputs)]
    new.result = tuple(new.outputs)
    rewriting.operations.append(new)


# --- functions -------------------------------------------------------------------------------------


def _with_functions(program: Program) -> Program:
    """The program with the function of each operation that has a kernel of its own."""
    last: dict[Value, int] = {}  # the last operation that reads a value, or a view of it
    for i, operation in enumerate(program.operations):
        last.update((y, i) for x in operation.inputs() for y in owners(x))
    held = {y for x in (*program.outputs, *program.updates.values()) for y in owners(x)}
    operations = []
    for i, operation in enumerate(program.operations):
        if operation.name == "chain" and _has_code(operation.options["chain"]):
            kernel = chain_kernel(operation.options["chain"])
            operation = replace(operation, function=kernel, options={})
        elif operation.name == "update":
            pairs = zip(_changed_by(operation), operation.outputs, strict=True)
            if all(
                x.source == "state"
                and last[x] == i
                and x not in held
                and program.updates.get(x.index) is new
                for x, new in pairs
            ):
                operation = replace(operation, function=updated_in_place)
        operations.append(operation)
    return replace(program, operations=operations)


def _changed_by(update: Operation) -> list[Value]:
    """The parameters that an update changes, each with its state."""
    return [x for move in update.args[3] for x in leaves((move[0], move[2]))]


def updated_states(program: Program) -> list[int]:
    """The indices of the states that a fused program updates in place."""
    return [
        x.index
        for operation in program.operations
        if operation.function is updated_in_place
        for x in _changed_by(operation)
    ]


def updated_in_place(
    formula: str, numbers: Mapping[str, Any], slots: tuple[str, ...], moves: list[Move]
) -> list[tuple[Array, list[Array]]]:
    """The kernel `update` on the arrays of the state: they are the new state too.

    A coefficient that is an array of no axes is read from the device's memory.
    """
    in_memory = tuple([name for name, x in numbers.items() if hasattr(x, "dtype")])
    if in_memory:
        numbers = {n: x.data.ptr if n in in_memory else x for n, x in numbers.items()}
    left = update(formula, numbers, slots, moves, in_memory)
    if left:
        raise CompileError(
            "Expected arrays in the state like the ones of the recording: contiguous, of the same dtype "
            "and on the same device. Compile the step again after they were replaced."
        )
    return [(p, state) for p, _, state in moves]
