"""Constants: what is the same in each step is computed once, before the first one.

Only arrays that operations of the step make out of numbers (`arange`, `zeros`, `full`), and what is
computed from them, are constants to this pass. An array that the step takes from elsewhere may be
changed in place by its owner between two steps, which eager code would see: operations on it stay.
"""

from typing import Any

from xpnet.compiler.passes.rewriting import Rewriting
from xpnet.compiler.record import Operation, Program, Value, leaves, replaced

__all__ = ["with_constants_folded"]


def with_constants_folded(program: Program) -> Program:
    """The program without operations on numbers and constants alone; their results are constants."""
    rewriting = Rewriting(program)
    folded: set[Value] = set()
    for operation in program.operations:
        if any(rewriting.value(x) not in folded for x in operation.inputs()):
            rewriting.keep(operation)
            continue
        results = _results(operation, rewriting)
        for old, array in zip(operation.outputs, results, strict=True):
            new = Value(old.shape, old.dtype, "constant", array=array, name=old.name)
            folded.add(new)
            rewriting.replace(old, new)
    return rewriting.program()


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
