"""Passes: each makes a Program shorter, and leaves its results as they are.

A pass is a function from Program to Program; it changes nothing of the Program that it is given.
"""

from xpnet.compiler.passes.common import without_repetitions
from xpnet.compiler.passes.constants import with_constants_folded
from xpnet.compiler.passes.dead import without_dead_operations
from xpnet.compiler.record import Program

__all__ = ["cleaned"]


def cleaned(program: Program, executor_kind: str) -> Program:
    """A Program with the same results, bit for bit, and fewer operations.

    Parameters
    ----------
    program : Program
        As recorded; it stays as it is.
    executor_kind : str
        The `name` of an executor: it decides which fused operations the Program may have. "c" and
        "cupy": each elementwise operation is in a chain (see `chain`), also a single one. "numpy":
        likewise. Others have no fused operations.
    """
    program = without_dead_operations(program)
    program = with_constants_folded(program)
    program = without_repetitions(program)
    return without_dead_operations(program)
