"""Dead operations: those whose results nobody reads; those without results are there for what they do."""

from xpnet.compiler.passes.rewriting import Rewriting
from xpnet.compiler.record import Program, Value

__all__ = ["without_dead_operations"]


def without_dead_operations(program: Program) -> Program:
    """The operations that an output of the program, or the new value of a state, depends on.

    A state whose new value is its old one is not an update.
    """
    updates = {i: x for i, x in program.updates.items() if x is not program.states[i]}
    needed: set[Value] = {*program.outputs, *updates.values()}
    kept = []
    for operation in reversed(program.operations):
        if operation.outputs and needed.isdisjoint(operation.outputs):
            continue
        kept.append(operation)
        needed.update(operation.inputs())
    rewriting = Rewriting(program)
    for operation in reversed(kept):
        rewriting.keep(operation)
    new = rewriting.program()
    new.updates = {i: new.updates[i] for i in updates}
    return new
