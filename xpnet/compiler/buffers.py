"""Memory of a program: how long each value is needed, and where in one arena it lies.

A value is needed from the operation that computes it to the last one that reads it, or reads a view of
it. Values that are needed at different times may share memory:

    roots = roots_by_name(program)                  views share the memory of their root
    updates = updated_in_place(program, roots)      new values that overwrite the old state
    blocks = blocks_of(program, roots, updates)     sizes and lifetimes, one block for each root
    size = assign(blocks)                           an offset in the arena for each block

The largest set of blocks that are needed at once is a lower bound of the arena's size. Which offsets
come nearest to it is a hard problem ("dynamic storage allocation"); placing the large blocks first,
each into the smallest gap that it fits into, is near the bound for the programs of networks.

Source of the heuristic: Pisarchyk and Lee, "Efficient memory management for deep neural net
inference", 2020.
"""

import math
from bisect import insort
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from xpnet._typing import Array
from xpnet.compiler.passes.chain import ELEMENTWISE
from xpnet.compiler.record import Operation, Program, Value
from xpnet.errors import ArgumentTypeError

__all__ = [
    "ALIGNMENT",
    "Block",
    "aligned_empty",
    "assign",
    "blocks_of",
    "bytes_of",
    "is_view",
    "largest_live_set",
    "may_share",
    "owners",
    "roots_by_name",
    "updated_in_place",
]

ALIGNMENT = 64  # bytes: a cache line, and the longest vector of a processor

VIEWS = frozenset(
    [
        "matrix_transpose",
        "x.T",
        "permute_dims",
        "moveaxis",
        "expand_dims",
        "squeeze",
        "reshape",
        "broadcast_to",
        "flip",
        "getitem",  # if no array is in the key
    ]
)
"""Names of operations whose results are views of their first argument, or copies that could be views."""

NEW = frozenset(
    [
        *(name for name in ELEMENTWISE if name != "astype"),
        # of the standard
        *("all", "any", "argmax", "argmin", "argsort", "concat", "count_nonzero", "full_like"),
        *("cumulative_prod", "cumulative_sum", "matmul", "max", "mean", "min", "ones_like", "prod"),
        *("repeat", "roll", "searchsorted", "sort", "stack", "std", "sum", "take"),
        *("take_along_axis", "tensordot", "tile", "tril", "triu", "var", "vecdot", "zeros_like"),
        # of the compiler, and kernels
        *("added_by_index", "chain", "choose", "column_sums", "columns", "copy", "correlate"),
        *("cross_entropy", "cross_entropy_gradient", "drawn_mask", "head", "last_at", "maxima"),
        *("lstm", "lstm_gradients", "normalize", "normalize_gradients", "outer_product", "place"),
        *("scatter_add", "set_item", "shares", "spread", "sums", "update", "weigh"),
    ]
)
"""Names of operations whose results are known to have memory of their own."""

IN_PLACE = frozenset(("chain", "product_update"))  # may write into the memory of an input

InPlace = Callable[[Operation, Value, Value], bool]


@dataclass(eq=False, slots=True)
class Block:
    """A piece of the arena.

    Attributes
    ----------
    size : int
        In bytes.
    first, last : int
        The places in the program of the first operation and the last one that need it.
    values : list of Value
        What lies in it, each from the time when the one before is no longer needed: an operation
        that computes in place writes its result over an operand. Empty for an operation's own memory.
    offset : int
        In bytes, a multiple of `ALIGNMENT`; see `assign`.
    """

    size: int
    first: int
    last: int
    values: list[Value] = field(default_factory=list)
    offset: int = 0


def bytes_of(x: Value) -> int:
    """The bytes of an array's numbers."""
    return math.prod(x.shape) * _itemsize(x)


def _itemsize(x: Value) -> int:
    size = getattr(x.dtype, "itemsize", None)
    if size is not None:
        return int(size)
    raise ArgumentTypeError(
        f"Expected a dtype with an itemsize, got {x.dtype!r}. Give `blocks_of` a function for sizes."
    )


def roots_by_name(program: Program) -> dict[Value, Value]:
    """For each value that is a view by the name of its operation, the value whose memory it shares."""
    roots: dict[Value, Value] = {}
    for operation in program.operations:
        if not is_view(operation):
            continue
        base = operation.args[0]
        for x in operation.outputs:
            roots[x] = roots.get(base, base)
    return roots


def is_view(operation: Operation) -> bool:
    """Whether the result of an operation is a view of its first argument, by its name."""
    if operation.name not in VIEWS or len(operation.inputs()) != 1:
        return False
    return isinstance(operation.args[0], Value)


def may_share(operation: Operation) -> bool:
    """Whether a result of an operation may share memory with an operand: if it is not known to be new."""
    if operation.name in ("asarray", "astype"):
        return any(x.dtype == operation.outputs[0].dtype for x in operation.inputs())
    return operation.name not in NEW


def owners(x: Value) -> set[Value]:
    """The values whose memory x may share; x alone if it has its own."""
    found: set[Value] = set()
    seen = {x}
    waiting = [x]
    while waiting:
        y = waiting.pop()
        operands = _shared_by(y)
        if not operands:
            found.add(y)
        waiting += [z for z in operands if z not in seen]
        seen.update(operands)
    return found


def _shared_by(x: Value) -> list[Value]:
    """The operands whose memory x may share."""
    if x.operation is None or not may_share(x.operation):
        return []
    return [y for y in x.operation.inputs() if y.dtype is not None]


def updated_in_place(
    program: Program,
    roots: Mapping[Value, Value],
    in_place: Iterable[str] = IN_PLACE,
) -> dict[int, Value]:
    """The new values that may be written over the old state, by the index of the state.

    Nobody may read the old value after it is overwritten, through a view neither. The operation that
    computes the new value may if its name is among `in_place`: it reads each number before it writes
    it. A state that keeps its value has no new one; a new value that is an input, a constant, a view
    or the new value of another state too is copied at the end of the step.
    """
    last_read = _last_reads(program, roots, {})
    place = {x: n for n, operation in enumerate(program.operations) for x in operation.outputs}
    found: dict[int, Value] = {}
    taken: set[Value] = set()
    for i, new in program.updates.items():
        old = program.states[i]
        if new not in place or new in roots or new in taken:
            continue
        if (new.shape, new.dtype) != (old.shape, old.dtype):
            continue
        read = last_read.get(old, -1)
        operation = program.operations[place[new]]
        at_once = operation.name in in_place and not _reads_a_view(operation, old, roots)
        if read < place[new] or (read == place[new] and at_once):
            found[i] = new
            taken.add(new)
    return found


def _reads_a_view(operation: Operation, x: Value, roots: Mapping[Value, Value]) -> bool:
    return any(y is not x and roots.get(y) is x for y in operation.inputs())


def _last_reads(
    program: Program, roots: Mapping[Value, Value], updates: Mapping[int, Value]
) -> dict[Value, int]:
    """For each root, the place of the last operation that reads it or a view of it.

    Outputs, and new values that are copied into the state, are read after the last operation.
    """
    last: dict[Value, int] = {}
    for n, operation in enumerate(program.operations):
        for x in operation.inputs():
            last[roots.get(x, x)] = n
    end = len(program.operations)
    copied = [x for i, x in program.updates.items() if updates.get(i) is not x]
    for x in (*program.outputs, *copied):
        last[roots.get(x, x)] = end
    return last


def blocks_of(
    program: Program,
    roots: Mapping[Value, Value],
    updates: Mapping[int, Value],
    *,
    size: Callable[[Value], int] = bytes_of,
    scratch: Mapping[Operation, int] | None = None,
    may_overwrite: InPlace | None = None,
    elsewhere: Iterable[Value] = (),
) -> list[Block]:
    """The blocks that the operations of a program need, without offsets.

    Parameters
    ----------
    roots : mapping from Value to Value
        For each view, the value whose memory it shares.
    updates : mapping from int to Value
        New values that lie in the state: see `updated_in_place`.
    size : function of a Value, optional
        Its bytes; `bytes_of` by default.
    scratch : mapping from Operation to int, optional
        Bytes that an operation needs while it runs.
    may_overwrite : function of (operation, input, output), optional
        Whether an operation can write that output over that input, which nobody reads afterwards. By
        default, a chain can where shape and dtype are the same.
    elsewhere : iterable of Value, optional
        Values that the caller keeps elsewhere.
    """
    last = _last_reads(program, roots, updates)
    outside = {*updates.values(), *elsewhere}
    overwrite = may_overwrite or _same_kind_in_a_chain
    by_value: dict[Value, Block] = {}
    blocks: list[Block] = []
    for n, operation in enumerate(program.operations):
        if scratch and scratch.get(operation):
            blocks.append(Block(scratch[operation], n, n))
        for x in operation.outputs:
            if x in roots or x in outside:
                continue
            until = max(last.get(x, n), n)
            block = _overwritten(operation, x, n, roots, by_value, overwrite)
            if block is None:
                block = Block(size(x), n, until)
                blocks.append(block)
            block.last = until
            block.values.append(x)
            by_value[x] = block
    return blocks


def _same_kind_in_a_chain(operation: Operation, x: Value, y: Value) -> bool:
    return operation.name == "chain" and (x.shape, x.dtype) == (y.shape, y.dtype)


def _overwritten(
    operation: Operation,
    y: Value,
    n: int,
    roots: Mapping[Value, Value],
    by_value: Mapping[Value, Block],
    may_overwrite: InPlace,
) -> Block | None:
    """The block of an operand that the operation writes y over; None if there is none."""
    for x in operation.inputs():
        block = by_value.get(x)
        if block is None or block.last != n or block.values[-1] is not x:
            continue
        viewed = any(z is not x and roots.get(z) is x for z in operation.inputs())
        if not viewed and may_overwrite(operation, x, y):
            return block
    return None


def aligned_empty(size: int) -> Array:
    """Bytes of NumPy's memory that begin on a multiple of `ALIGNMENT`."""
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size]


class Piece(Protocol):
    """What is placed in an arena: its bytes, and the first and the last time that it is needed."""

    size: int
    first: int
    last: int
    offset: int


def largest_live_set(blocks: Iterable[Piece]) -> int:
    """The bytes of the largest set of blocks that are needed at once."""
    change: dict[int, int] = {}
    for block in blocks:
        change[block.first] = change.get(block.first, 0) + _rounded(block.size)
        change[block.last + 1] = change.get(block.last + 1, 0) - _rounded(block.size)
    now = most = 0
    for _, difference in sorted(change.items()):
        now += difference
        most = max(most, now)
    return most


def assign(blocks: Iterable[Piece]) -> int:
    """Give each block an offset; returns the size of the arena in bytes.

    Blocks that are needed at the same time do not overlap.
    """
    blocks = list(blocks)
    orders = (
        lambda block: (-block.size, block.first),
        lambda block: (-block.size * (block.last - block.first + 1), block.first),
        lambda block: (block.first, -block.size),
    )
    bound = largest_live_set(blocks)
    best: list[int] = []
    smallest = math.inf
    for order in orders:
        total = _place(sorted(blocks, key=order))
        if total < smallest:
            smallest = total
            best = [block.offset for block in blocks]
        if smallest <= 1.02 * bound:
            break
    for block, offset in zip(blocks, best, strict=True):
        block.offset = offset
    return int(smallest) if blocks else 0


def _place(blocks: Iterable[Piece]) -> int:
    """Place blocks in this order, each into the smallest gap that it fits into."""
    placed: list[Piece] = []  # by offset
    end = 0
    for block in blocks:
        size = _rounded(block.size)
        smallest = math.inf
        free = 0  # where the gap begins
        offset = -1
        for other in placed:
            if other.last < block.first or block.last < other.first:
                continue
            gap = other.offset - free
            if size <= gap < smallest:
                smallest = gap
                offset = free
            free = max(free, other.offset + _rounded(other.size))
        block.offset = free if offset < 0 else offset
        end = max(end, block.offset + size)
        insort(placed, block, key=_offset)
    return end


def _offset(block: Piece) -> int:
    return block.offset


def _rounded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
