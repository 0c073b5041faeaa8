"""Where the arrays of a program lie, for the NumPy executor: state, arena, views, and batches of chains.

Chains that do the same to several arrays, as an optimizer does to each parameter, are one batch if
their arrays can lie one behind the other: then one call updates all of them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from xpnet._typing import Array
from xpnet.compiler.buffers import (
    ALIGNMENT,
    Block,
    assign,
    blocks_of,
    bytes_of,
    is_view,
    largest_live_set,
    updated_in_place,
)
from xpnet.compiler.passes.chain import Chain
from xpnet.compiler.passes.rewriting import readers
from xpnet.compiler.record import Operation, Program, Value, leaves, replaced

__all__ = ["Batch", "Memory", "batched", "flat", "heads"]

FRESH = frozenset(
    [
        "correlate",
        "spread",
        "weigh",
        "maxima",
        "place",
        "choose",
        "sums",
        "shares",
        "cross_entropy",
        "cross_entropy_gradient",
    ]
)
"""Kernels whose results are new arrays, never views of an operand: they are kept as they are."""


@dataclass(eq=False, slots=True)
class Batch:
    """Chains that are computed as one.

    Attributes
    ----------
    members : list of Operation
        With equal `Chain.key`.
    order : list of int
        The members in the order of memory: arrays of whole cache lines first.
    """

    members: list[Operation]
    order: list[int] = field(default_factory=list)

    def column(self, values: Iterable[Sequence[Value]], j: int) -> list[Value]:
        """The j-th value of each member, in the order of memory."""
        rows = list(values)
        return [rows[i][j] for i in self.order]


def flat(x: Array) -> Array:
    """The numbers of an array in the order of memory, as a view."""
    axes = sorted(range(x.ndim), key=lambda i: -x.strides[i])
    view: Array = x.transpose(axes).reshape(-1)
    return view


def batched(program: Program) -> tuple[Program, list[Batch]]:
    """The batches, and the program with the members of each one behind the other."""
    place = {operation: n for n, operation in enumerate(program.operations)}
    candidates: dict[Any, list[Operation]] = {}
    for operation in program.operations:
        key = _batch_key(operation)
        if key is not None:
            candidates.setdefault(key, []).append(operation)
    used_in = readers(program)
    batches = []
    moved: dict[Operation, Batch] = {}
    for operations in candidates.values():
        last = place[operations[-1]]
        members = [
            operation
            for operation in operations
            if all(place[y] > last for x in operation.outputs for y in used_in.get(x, ()))
        ]
        if len(members) > 1:
            batch = Batch(members, _in_memory(members))
            batches.append(batch)
            moved |= dict.fromkeys(members, batch)
    ordered: list[Operation] = []
    for operation in program.operations:
        batch_of_it = moved.get(operation)
        if batch_of_it is None:
            ordered.append(operation)
        elif operation is batch_of_it.members[-1]:
            ordered += batch_of_it.members
    return replace(program, operations=ordered), batches


def heads(program: Program) -> set[Operation]:
    """Cross entropies of matrices of scores, and their gradients, that can be written as source.

    What the cross entropy keeps, only its gradient may read.
    """
    used_in = readers(program)
    needed = {*program.outputs, *program.updates.values()}
    found: set[Operation] = set()
    for operation in program.operations:
        if operation.name != "cross_entropy" or not _is_head(*operation.args):
            continue
        kept = operation.outputs[1:]
        gradients = {o for x in kept for o in used_in.get(x, ())}
        if needed.isdisjoint(kept) and all(_is_gradient(o, operation) for o in gradients):
            found |= {operation, *gradients}
    return found


def _is_head(x: Value, t: Value) -> bool:
    kinds = ("i1", "i2", "i4", "i8", "u1", "u2", "u4")
    if len(x.shape) != 2 or t.shape != x.shape[:1]:
        return False
    return np.dtype(t.dtype).str[1:] in kinds and np.dtype(x.dtype).str[1:] in ("f4", "f8")


def _is_gradient(operation: Operation, of: Operation) -> bool:
    """Whether it is the gradient of that cross entropy."""
    if operation.name != "cross_entropy_gradient" or operation.args[1:3] != of.args:
        return False
    gy, *_, kept = operation.args
    is_number = isinstance(gy, float) or (isinstance(gy, Value) and gy.shape == ())
    return is_number and tuple(kept) == tuple(of.outputs[1:])


def _batch_key(operation: Operation) -> Any:
    """Equal for chains that can be one batch; None for other operations.

    Each operand is a whole array, or one number that all members have in common.
    """
    chain = operation.options.get("chain")
    if not isinstance(chain, Chain) or not chain.shape:
        return None
    kinds: list[Any] = []
    for x in operation.args:
        if x.dtype is None or not x.shape:
            kinds.append(id(x))
        elif x.shape == chain.shape and x.source in ("state", "operation"):
            kinds.append(x.source)
        else:
            return None
    return chain.key, tuple(kinds)


def _in_memory(members: list[Operation]) -> list[int]:
    """The order of memory: what fills whole cache lines first, so that most arrays are aligned."""

    def ragged(i: int) -> tuple[bool, int]:
        size = bytes_of(members[i].outputs[0])
        rest = bool(size % ALIGNMENT)
        return rest, -size if rest else i

    return sorted(range(len(members)), key=ragged)


class Memory:
    """Decides where each value of a program lies.

    Parameters
    ----------
    program : Program
        Cleaned, for "numpy".

    Attributes
    ----------
    program : Program
        With another order of operations.
    batches : list of Batch
    roots : dict from Value to Value
        For each view whose memory is known beforehand or is another value's.
    updates : dict from int to Value
        New values that are written over the old state.
    shadows : dict from Value to array
        See `shadow`.
    local : set of Value
        Arrays that are made anew in each run.
    blocks : list of Block
    """

    def __init__(self, program: Program) -> None:
        self.program, self.batches = batched(program)
        self.heads = heads(self.program)
        self.roots: dict[Value, Value] = {}
        self.shadows: dict[Value, Array] = {}
        self.local: set[Value] = set()
        for operation in self.program.operations:
            self._add(operation)
        self.updates = updated_in_place(self.program, self.roots)
        self.homes = {x: self.program.states[i] for i, x in self.updates.items()}
        for i, x in list(self.updates.items()):
            if x in self.local or not self.shadows[x].flags.c_contiguous:
                del self.updates[i]  # it is copied at the end
                del self.homes[x]
        self.blocks = blocks_of(
            self.program,
            self.roots,
            self.updates,
            may_overwrite=self._may_overwrite,
            elsewhere=self.local,
        )
        self.block = {x: block for block in self.blocks for x in block.values}
        self._join_families()
        self.arena_size = 0
        self.live_size = 0

    def shadow(self, x: Value) -> Array:
        """An array of the shape, dtype and strides that x will have, which owns next to no memory."""
        if x not in self.shadows:
            self.shadows[x] = _shadow_of(np.empty(x.shape, x.dtype) if x.array is None else x.array)
        return self.shadows[x]

    def _add(self, operation: Operation) -> None:
        """Decide on the results of one operation."""
        if not operation.outputs:  # it is not called before the step
            return
        given: dict[Value, Array] = {}

        def zeros(x: Any) -> Any:
            if not isinstance(x, Value):
                return x
            if x.dtype is None:
                return 1.0
            if x not in given:
                given[x] = _zeros(self.shadow(x)) if x.array is None else x.array
            return given[x]

        results = self._results(operation, zeros)
        if is_view(operation):
            base: Value = operation.args[0]
            if np.may_share_memory(results[0], given[base]):
                x = operation.outputs[0]
                self.shadows[x] = _shadow_of(results[0])
                self.roots[x] = self.roots.get(base, base)
                return
        for x, result in zip(operation.outputs, results, strict=True):
            if operation.name in FRESH and not self._is_of_head(operation, x):
                self.local.add(x)
            else:
                result = np.empty_like(result, x.dtype, order="K")
            self.shadows[x] = _shadow_of(result)

    def _results(self, operation: Operation, zeros: Callable[[Any], Any]) -> list[Array]:
        """Arrays with the order of memory that NumPy gives to the results of an operation.

        It computes them, once, from zeros: the order in which numbers are added depends on it, and so
        do the last bits of a sum.
        """
        if _is_product_of_matrices(operation):  # in the order of the axes, and what takes longest
            return [np.empty(x.shape, x.dtype) for x in operation.outputs]
        args, options = replaced((operation.args, operation.options), zeros)
        try:
            with np.errstate(all="ignore"):
                result = operation.function(*args, **options)
        except (ArithmeticError, ValueError, IndexError):  # zeros are no valid input
            return [np.empty(x.shape, x.dtype) for x in operation.outputs]
        places = zip(leaves(result), leaves(operation.result), strict=True)
        arrays = [np.asarray(x) for x, place in places if isinstance(place, Value)]
        return [
            array if array.shape == x.shape else np.empty(x.shape, x.dtype)
            for array, x in zip(arrays, operation.outputs, strict=True)
        ]

    def _is_of_head(self, operation: Operation, x: Value) -> bool:
        """Whether it is exp(scores), its sums, or the gradient of a head."""
        if operation not in self.heads:
            return False
        return operation.name == "cross_entropy_gradient" or x.index in (1, 2)

    def _may_overwrite(self, operation: Operation, x: Value, y: Value) -> bool:
        if operation.name != "chain" or x.dtype is None:
            return False
        return (x.shape, x.dtype) == (y.shape, y.dtype) and (
            self.shadow(x).strides == self.shadow(y).strides
        )

    def home(self, x: Value) -> Value:
        """The value whose memory x lies in: a state that it is the new value of, or itself."""
        return self.homes.get(x, x)

    def _join_families(self) -> None:
        """Let the arrays of each batch lie one behind the other; give up batches that cannot."""
        self.family: dict[Value, list[Value]] = {}
        kept = []
        for batch in self.batches:
            columns = self._columns(batch)
            if columns is not None:
                kept.append(batch)
                for column in columns:
                    self.family |= dict.fromkeys(column, column)
        self.batches = kept
        joined: set[int] = set()
        for column in self.family.values():
            if column[0].source == "operation" and id(column) not in joined:
                joined.add(id(column))
                self._join(column)

    def _columns(self, batch: Batch) -> list[list[Value]] | None:
        """The families of a batch; None if they cannot be."""
        values = [(*member.args, *member.outputs) for member in batch.members]
        columns: dict[Value, list[Value]] = {}
        for j, x in enumerate(values[0]):
            if x.dtype is None or x.shape == ():
                continue
            column = [self.home(y) for y in batch.column(values, j)]
            earlier = columns.get(column[0], self.family.get(column[0]))
            if earlier is not None:
                if earlier != column:
                    return None
                continue
            if not self._can_be_family(column, columns):
                return None
            columns |= dict.fromkeys(column, column)
        return list({id(column): column for column in columns.values()}.values())

    def _can_be_family(self, column: list[Value], others: dict[Value, list[Value]]) -> bool:
        """Whether these arrays can lie one behind the other."""
        if len(set(column)) < len(column) or len({(x.source, x.dtype) for x in column}) > 1:
            return False
        for x in column:
            if x in self.family or x in others or x in self.roots or x in self.local:
                return False
            if x.source == "operation":
                block = self.block[x]
                if block.values != [x] or not self.shadow(x).flags.c_contiguous:
                    return False
            elif x.source != "state":
                return False
        return True

    def _join(self, column: list[Value]) -> None:
        """Replace the blocks of a family by one."""
        blocks = [self.block[x] for x in column]
        one = Block(
            sum(bytes_of(x) for x in column),
            min(block.first for block in blocks),
            max(block.last for block in blocks),
            list(column),
        )
        self.blocks = [block for block in self.blocks if block not in blocks]
        self.blocks.append(one)
        self.block |= dict.fromkeys(column, one)

    def scratch(self, operation: int, size: int) -> Block:
        """A block that one operation needs while it runs."""
        block = Block(size, operation, operation)
        self.blocks.append(block)
        return block

    def finish(self) -> None:
        """Assign offsets, when all blocks are known."""
        self.live_size = largest_live_set(self.blocks)
        self.arena_size = assign(self.blocks)

    # --- real arrays ------------------------------------------------------------------------------

    def in_arena(self, x: Value, arena: Array) -> Array:
        """The array of a value that lies in the arena."""
        block = self.block[x]
        start = block.offset
        column = self.family.get(x)
        if column is not None:
            start += sum(bytes_of(y) for y in column[: column.index(x)])
        return _like(self.shadow(x), arena[start : start + bytes_of(x)].view(x.dtype))

    def shaped(self, like: Value, numbers: Array) -> Array:
        """Numbers in one axis as an array of the shape and order of memory of a value."""
        return _like(self.shadow(like), numbers)

    def state_groups(self) -> list[list[Value]]:
        """The states, in families where they are, each alone otherwise."""
        groups = []
        seen: set[Value] = set()
        for x in self.program.states:
            if x not in seen:
                group = self.family.get(x, [x])
                seen.update(group)
                groups.append(group)
        return groups


def _is_product_of_matrices(operation: Operation) -> bool:
    return operation.name == "matmul" and all(len(x.shape) == 2 for x in operation.inputs())


def _shadow_of(x: Array) -> Array:
    """An array of the same shape, dtype and strides, whose numbers are all one and the same."""
    return np.lib.stride_tricks.as_strided(np.zeros(1, x.dtype), x.shape, x.strides)


def _zeros(shadow: Array) -> Array:
    """Zeros of the same shape, dtype and strides, in memory of their own."""
    lengths = zip(shadow.shape, shadow.strides, strict=True)
    steps = [(n - 1) * stride for n, stride in lengths if n]
    before = -sum(step for step in steps if step < 0)
    size = before + sum(step for step in steps if step > 0) + shadow.itemsize
    memory = np.zeros(size, np.uint8)[before:]
    first = memory[: shadow.itemsize].view(shadow.dtype)
    return np.lib.stride_tricks.as_strided(first, shadow.shape, shadow.strides)


def _like(shadow: Array, numbers: Array) -> Array:
    """Numbers in one axis as an array of the shape and order of memory of another one."""
    axes = sorted(range(shadow.ndim), key=lambda i: -shadow.strides[i])
    permuted: Array = numbers.reshape([shadow.shape[i] for i in axes])
    return permuted.transpose(sorted(range(len(axes)), key=axes.__getitem__))
