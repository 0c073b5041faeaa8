"""Elementwise operations grouped into chains.

Operations are taken in order. One joins the chain of an operand if both have the same shape and
nothing outside the chain lies between them: if it waited for an operation that itself needs a result
of the chain, neither could be first. Where an operation has operands from several chains that may be
one, they are merged. Nothing is computed twice.
"""

import heapq
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from xpnet._typing import DType
from xpnet.compiler.passes.chain import ELEMENTWISE, Chain, Step, run_chain
from xpnet.compiler.passes.rewriting import Replacement, Rewriting, readers
from xpnet.compiler.record import Operation, Program, Value

__all__ = ["with_chains"]

CONVERSIONS = ("astype", "asarray")  # `asarray` of an array with another dtype
IGNORED = frozenset(("copy", "device"))
"""Options of conversions that change no number: a value has no owner, and one device."""

Number = bool | int | float


def with_chains(program: Program, of_one_dtype: bool = False) -> Program:
    """The program with each elementwise operation in a chain, as few of them as possible.

    Parameters
    ----------
    program : Program
    of_one_dtype : bool
        Whether the arrays are NumPy's, and the steps of a chain compute in one dtype: see `_computes_in`.
    """
    groups = _Groups(of_one_dtype)
    for operation in program.operations:
        groups.add(operation)
    used_in = readers(program)
    needed = {*program.outputs, *program.updates.values()}
    rewriting = Rewriting(program)
    for members in groups.in_order():
        if not _is_elementwise(members[0]):
            rewriting.keep(members[0])
            continue
        own = set(members)
        computed = [member.outputs[0] for member in members]
        results = [x for x in computed if x in needed or not own.issuperset(used_in.get(x, ()))]
        if not results:  # nobody reads them: a dead chain still needs a result to be one
            results = computed[-1:]
        _append_chain(rewriting, members, results)
    return rewriting.program()


def _is_elementwise(operation: Operation) -> bool:
    """Whether an operation can be a step of a chain."""
    name = _step_name(operation)
    options = set(operation.options)
    if name == "astype":
        options -= IGNORED | {"dtype"}
    if options or name not in ELEMENTWISE or len(operation.outputs) != 1:
        return False
    operands = _operands(operation)
    if len(operands) != ELEMENTWISE[name]:
        return False
    return any(isinstance(x, Value) and x.dtype is not None for x in operands)


def _step_name(operation: Operation) -> str:
    """The name of a step that does what the operation does."""
    if operation.name in CONVERSIONS:
        return "astype"
    return operation.name


def _operands(operation: Operation) -> list[Value | Number]:
    """The arguments that are values and numbers; what else there is makes the list too short.

    A scalar of NumPy is a Python float too, but has a dtype that takes part in promotion.
    """
    args = operation.args
    if operation.name in CONVERSIONS:
        args = args[:1]
    return [x for x in args if isinstance(x, Value) or type(x) in (bool, int, float)]


def _computes_in(operation: Operation) -> DType | None:
    """The dtype in which an operation on NumPy's arrays computes; None for truth values and bytes.

    A conversion to integers computes in the dtype that is given, any other one in that of the result.
    """
    given: list[Any] = [x.dtype for x in operation.inputs() if x.dtype is not None]
    result: Any = operation.outputs[0].dtype
    is_rounded = _step_name(operation) == "astype" and given[0].kind == "f" and result.kind != "f"
    if result.kind != "b" and not is_rounded:
        return result
    wide = [x for x in given if x.str[1:] not in ("b1", "u1")]
    return np.result_type(*wide) if wide else None


class _Groups:
    """Operations in groups, of which each group depends only on whole groups.

    Sets of groups are kept as the bits of integers: with a thousand operations, they are united and
    compared in the time that one look into a Python set takes.
    """

    def __init__(self, of_one_dtype: bool) -> None:
        self._of_one_dtype = of_one_dtype
        self._dtypes: dict[int, DType | None] = {}  # in which the members compute
        self._members: dict[int, list[Operation]] = {}
        self._parents: dict[int, int] = {}  # for each group, those whose results it reads
        self._ancestors: dict[
            int, int
        ] = {}  # for each group, those that must be computed before it
        self._group: dict[Operation, int] = {}

    def add(self, operation: Operation) -> None:
        """Put an operation into the groups of its operands, or into a new one."""
        i = len(self._group)
        self._members[i] = [operation]
        self._group[operation] = i
        parents = dict.fromkeys(
            self._group[x.operation] for x in operation.inputs() if x.operation in self._group
        )
        self._parents[i] = sum(1 << parent for parent in parents)
        self._ancestors[i] = self._parents[i]
        for parent in parents:
            self._ancestors[i] |= self._ancestors[parent]
        if not _is_elementwise(operation):
            return
        if self._of_one_dtype:
            self._dtypes[i] = _computes_in(operation)
        for parent in parents:
            if self._may_join(parent, i):
                i = self._merge(parent, i)

    def _may_join(self, first: int, second: int) -> bool:
        one = self._members[first][0]
        other = self._members[second][0]
        if not _is_elementwise(one) or one.outputs[0].shape != other.outputs[0].shape:
            return False
        if len({self._dtypes.get(i) for i in (first, second)} - {None}) > 1:
            return False
        return not self._is_between(first, second) and not self._is_between(second, first)

    def _is_between(self, first: int, second: int) -> bool:
        """Whether a third group needs the first one and is needed by the second one.

        If so, a parent of the second one does.
        """
        if not self._ancestors[second] >> first & 1:
            return False
        parents = self._parents[second] & ~(1 << first)
        return any(self._ancestors[i] >> first & 1 for i in _bits(parents))

    def _merge(self, first: int, second: int) -> int:
        """Make two groups one; returns its number. The second has the operation that was added last."""
        members = self._members.pop(second)
        self._members[first] += members
        if self._dtypes.get(first) is None:
            self._dtypes[first] = self._dtypes.get(second)
        self._group.update(dict.fromkeys(members, first))
        both = 1 << first | 1 << second
        before = self._ancestors[first]
        above = (before | self._ancestors.pop(second)) & ~both
        self._ancestors[first] = above
        self._parents[first] = (self._parents[first] | self._parents.pop(second)) & ~both
        is_needed = len(members) > 1  # nobody needs the last operation yet
        if is_needed or above != before:
            self._replace(self._ancestors, both, above | 1 << first)
        if is_needed:
            self._replace(self._parents, both, 1 << first)
        return first

    @staticmethod
    def _replace(sets: dict[int, int], old: int, new: int) -> None:
        """Put the groups `new` into all sets that have one of `old`, in their place."""
        for i, groups in sets.items():
            if groups & old:
                sets[i] = (groups & ~old) | new

    def in_order(self) -> list[list[Operation]]:
        """The groups, each after those that it depends on, and as early as its last member was.

        So values are computed shortly before they are needed.
        """
        place = {operation: n for n, operation in enumerate(self._group)}
        last = {i: max(map(place.__getitem__, m)) for i, m in self._members.items()}
        waiting = {i: parents.bit_count() for i, parents in self._parents.items()}
        after: dict[int, list[int]] = {}
        for i, parents in self._parents.items():
            for parent in _bits(parents):
                after.setdefault(parent, []).append(i)
        ready = [(last[i], i) for i, count in waiting.items() if not count]
        heapq.heapify(ready)
        ordered = []
        while ready:
            _, i = heapq.heappop(ready)
            ordered.append(sorted(self._members[i], key=place.__getitem__))
            for child in after.get(i, ()):
                waiting[child] -= 1
                if not waiting[child]:
                    heapq.heappush(ready, (last[child], child))
        return ordered


def _bits(x: int) -> Iterator[int]:
    """The places of the bits of x that are set."""
    while x:
        lowest = x & -x
        yield lowest.bit_length() - 1
        x ^= lowest


def _append_chain(rewriting: Rewriting, members: list[Operation], results: list[Value]) -> None:
    """Append a chain that computes `results`, Values of the given Program."""
    inputs, numbers = _inputs(members)
    register: dict[Any, int] = {key: n for n, key in enumerate([*inputs, *numbers])}
    steps = []
    for member in members:
        registers = tuple(register[_register_key(x)] for x in _operands(member))
        dtype = member.outputs[0].dtype
        function = _function(member)
        steps.append(Step(_step_name(member), registers, dtype, function, member.where))
        register[member.outputs[0]] = len(register)
    chain = Chain(
        shape=members[0].outputs[0].shape,
        inputs=tuple(x.dtype for x in inputs),
        numbers=tuple(numbers.values()),
        steps=tuple(steps),
        results=tuple(register[x] for x in results),
    )
    made = Replacement("chain", run_chain, tuple(inputs), {"chain": chain}, results)
    rewriting.append_replacement(made, members[-1].where)


def _inputs(members: list[Operation]) -> tuple[list[Value], dict[Any, Number]]:
    """The Values that the members do not compute themselves, and the numbers by their keys."""
    computed = {member.outputs[0] for member in members}
    operands = [x for member in members for x in _operands(member)]
    inputs = dict.fromkeys(x for x in operands if isinstance(x, Value) and x not in computed)
    numbers = {_register_key(x): x for x in operands if not isinstance(x, Value)}
    return list(inputs), numbers


def _register_key(x: Value | Number) -> Any:
    """What tells operands apart: to Python 1, 1.0 and True are equal, and so are 0.0 and -0.0."""
    if isinstance(x, Value):
        return x
    return type(x), repr(x)


def _function(operation: Operation) -> Callable[..., Any]:
    """The operation as a function of its operands alone."""
    operands = _operands(operation)
    if len(operands) == len(operation.args) and not operation.options:
        return operation.function
    function = operation.function
    args = operation.args[1:]
    options = dict(operation.options)
    return lambda x: function(x, *args, **options)
