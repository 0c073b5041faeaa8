"""Constants: what is the same in each step is computed once, before the first one.

Only arrays that operations of the step make out of numbers (`arange`, `zeros`, `full`), and what is
computed from them, are constants to this pass. An array that the step takes from elsewhere may be
changed in place by its owner between two steps, which eager code would see: operations on it stay.

`full_like(x, 1)`, with which each `backward()` begins, depends on the shape of x only.
"""

from dataclasses import replace
from typing import Any

from xpnet.compiler.passes.rewriting import Rewriting
from xpnet.compiler.record import Operation, Program, Value, leaves, replaced

__all__ = ["with_constants_folded"]


LIKE = frozenset(["full_like", "ones_like", "zeros_like"])
"""Operations of which the first argument gives only shape and dtype."""


def with_constants_folded(program: Program, of_numpy: bool = False) -> Program:
    """The program without operations on numbers and constants alone; their results are constants.

    Parameters
    ----------
    program : Program
    of_numpy : bool
        Whether its arrays are NumPy's: then also `full_like`, `ones_like` and `zeros_like` are constants.
    """
    rewriting = Rewriting(program)
    folded: set[Value] = set()
    for operation in program.operations:
        is_like = of_numpy and operation.name in LIKE
        inputs = [x for x in operation.inputs() if not (is_like and x is operation.args[0])]
        if not operation.outputs or any(rewriting.value(x) not in folded for x in inputs):
            rewriting.keep(operation)
            continue
        results = [_filled(operation, rewriting)] if is_like else _results(operation, rewriting)
        for old, array in zip(operation.outputs, results, strict=True):
            new = Value(old.shape, old.dtype, "constant", array=array, name=old.name)
            folded.add(new)
            rewriting.replace(old, new)
    return rewriting.program()


def _filled(operation: Operation, rewriting: Rewriting) -> Any:
    """The array that an operation in LIKE makes: one number in memory, shown in all places."""
    import numpy as np

    x = operation.args[0]
    if not isinstance(x, Value):
        x = np.asarray(x)
    one = replace(operation, args=(np.empty((), x.dtype), *operation.args[1:]))
    return np.broadcast_to(_results(one, rewriting)[0], operation.outputs[0].shape)


def _results(operation: Operation, rewriting: Rewriting) -> list[Any]:
    """The arrays that an operation on constants computes."""

    def array(x: Any) -> Any:
        value = rewriting.value(x)
        return value.array if isinstance(value, Value) else value

    result = operation.function(
        *replaced(operation.args, array), **replaced(operation.options, array)
    )
    places = leaves(operation.result)
    return [x for x, place in zip(leaves(result), places, strict=True) if isinstance(place, Value)]
