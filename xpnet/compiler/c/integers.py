"""Whether float64 holds all integers that a chain computes, by the bounds of each.

An int64 beyond 2^53 is rounded when it is read as float64. Compared with a smaller number it is as large,
or as small, as before; and where a condition bounds it, as in `where(i < n, i, 0)`, it is not chosen.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from math import prod

import numpy as np

from xpnet._typing import DType
from xpnet.compiler.passes.chain import Chain, Step
from xpnet.compiler.record import Value

__all__ = ["dtypes_of", "holds_integers"]

LIMIT = 2**53  # integers below it have a float64 of their own
Bounds = tuple[int, int]

OF_DTYPES: dict[str, Bounds] = {
    "bool": (0, 1),
    "uint8": (0, 255),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
}

OF_STEPS: dict[str, Callable[..., Bounds]] = {
    "add": lambda x, y: (x[0] + y[0], x[1] + y[1]),
    "astype": lambda x: x,
    "clip": lambda x, low, high: (min(max(x[0], low[0]), high[0]), min(max(x[1], low[1]), high[1])),
    "maximum": lambda x, y: (max(x[0], y[0]), max(x[1], y[1])),
    "minimum": lambda x, y: (min(x[0], y[0]), min(x[1], y[1])),
    "multiply": lambda x, y: _range(a * b for a, b in product(x, y)),
    "negative": lambda x: (-x[1], -x[0]),
    "subtract": lambda x, y: (x[0] - y[1], x[1] - y[0]),
}
"""The bounds of the result of each step, from those of its operands."""

IF_TRUE: dict[str, Callable[[Bounds, Bounds], Bounds]] = {
    "greater": lambda x, y: (y[0] + 1, x[1]),
    "greater_equal": lambda x, y: (y[0], x[1]),
    "less": lambda x, y: (x[0], y[1] - 1),
    "less_equal": lambda x, y: (x[0], y[1]),
}
"""The bounds of x where a comparison with y is true; others say nothing of them."""


def dtypes_of(chain: Chain) -> list[DType]:
    """The dtype of each register; bool, which every dtype holds, for a number."""
    inputs = [np.dtype(bool if x is None else x) for x in chain.inputs]
    numbers = [np.dtype(bool)] * len(chain.numbers)
    return [*inputs, *numbers, *(np.dtype(step.dtype) for step in chain.steps)]


def holds_integers(chain: Chain, inputs: Sequence[Value]) -> bool:
    """Whether float64 holds the integers of a chain, but for inputs that it only compares.

    Parameters
    ----------
    chain : Chain
        Of truth values and integers.
    inputs : sequence of Value
    """
    if None in chain.inputs or float in map(type, chain.numbers):
        return False
    bounds = [_bounds_of_input(x) for x in inputs]
    bounds += [(int(number), int(number)) for number in chain.numbers]
    for step in chain.steps:
        found = _bounds_of(chain, step, bounds)
        least, most = OF_DTYPES[np.dtype(step.dtype).name]
        if found is None or not _is_small(found) or found[0] < least or found[1] > most:
            return False
        bounds.append(found)
    return True


def _bounds_of_input(x: Value) -> Bounds:
    """The bounds of a constant, of a count and of a place; those of its dtype for another array."""
    if x.array is not None and x.array.size:
        return int(x.array.min()), int(x.array.max())
    if x.operation is not None and x.operation.name in ("argmax", "argmin", "count_nonzero"):
        return 0, prod(x.operation.args[0].shape)
    return OF_DTYPES[np.dtype(x.dtype).name]


def _bounds_of(chain: Chain, step: Step, bounds: list[Bounds]) -> Bounds | None:
    """The bounds of a step's result; None if they are not known, or an operand may be rounded."""
    operands = [bounds[i] for i in step.registers]
    if step.name == "where":
        condition, chosen, _ = step.registers
        return _range((*_bounds_if(chain, condition, chosen, bounds), *operands[2]))
    are_small = [_is_small(x) for x in operands]
    if np.dtype(step.dtype) == bool and any(are_small):
        return 0, 1
    rule = OF_STEPS.get(step.name)
    return rule(*operands) if rule is not None and all(are_small) else None


def _bounds_if(chain: Chain, condition: int, x: int, bounds: list[Bounds]) -> Bounds:
    """The bounds of a register where a condition, another register, is true."""
    if condition < chain.first:
        return bounds[x]
    step = chain.steps[condition - chain.first]
    if step.name in ("bitwise_and", "logical_and"):
        both = [_bounds_if(chain, i, x, bounds) for i in step.registers]
        return max(low for low, _ in both), min(high for _, high in both)
    if step.name in IF_TRUE and step.registers[0] == x:
        return IF_TRUE[step.name](bounds[x], bounds[step.registers[1]])
    return bounds[x]


def _is_small(x: Bounds) -> bool:
    return x[0] > -LIMIT and x[1] < LIMIT


def _range(numbers: Iterable[int]) -> Bounds:
    found = list(numbers)
    return min(found), max(found)
