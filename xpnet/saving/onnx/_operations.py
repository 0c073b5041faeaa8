"""Records of functions as ONNX nodes.

lowered = lower(graph, program, {x: "x", weight: "weight"})
graph.output("y", lowered[y], np.float32, lowered.shape(y))
"""

from collections.abc import Mapping

from xpnet.compiler.passes.dead import without_dead_operations
from xpnet.compiler.record import Program, Value
from xpnet.saving.onnx._fused import FUSED
from xpnet.saving.onnx._graph import Graph
from xpnet.saving.onnx._indexing import INDEXING
from xpnet.saving.onnx._lowering import Lowering, Lowers
from xpnet.saving.onnx._sizes import Batch, batch_sizes
from xpnet.saving.onnx._standard import STANDARD

__all__ = ["OPERATIONS", "lower", "used_inputs"]

OPERATIONS: Mapping[str, Lowers] = {**STANDARD, **INDEXING, **FUSED}
"""By the name of an operation: the function that lowers it."""


def lower(
    graph: Graph,
    program: Program,
    values: Mapping[Value, str],
    other: Program | None = None,
    *,
    table: Mapping[str, Lowers] = OPERATIONS,
) -> Lowering:
    """Add the nodes that compute the outputs of a program, and the new values of its states.

    Parameters
    ----------
    graph : Graph
        Where nodes and constants are added.
    program : Program
        A record, as `recorded_call(function, args).program` is: not cleaned by passes.
    values : mapping of Value to str
        The names in the graph of the inputs that the program uses: `program.arguments`, `states` and
        `hosts`. A host value without a dtype is a float64 number of shape ().
    other : Program, optional
        A record of the same function at another batch size: sizes that differ follow the batch of the
        graph's inputs. By default the sizes are fixed.
    table : mapping of str to function, optional
        What lowers an operation, by its name: the OPERATIONS, and perhaps more.

    Returns
    -------
    Lowering
        `lowered[value]` is the name of an output in the graph, `lowered.shape(value)` its shape, with
        the name of the batch.

    Raises
    ------
    CompileError
        An operation has no counterpart: the message names the line that calls it. Or the function
        computes something else at another batch size.
    """
    sizes = (1, 1)
    if other is not None:
        sizes = batch_sizes(program.arguments, other.arguments)
    batch = Batch(*sizes)
    lowering = Lowering(graph, values, batch, table)
    if not batch.is_variable:
        other = None
    lowering.run(program, other)
    return lowering


def used_inputs(program: Program) -> set[Value]:
    """The arguments, states and hosts that the outputs and new states depend on: `lower` needs their names."""
    used = {
        x for operation in without_dead_operations(program).operations for x in operation.inputs()
    }
    used.update(program.outputs, program.updates.values())
    return {x for x in used if x.source not in ("constant", "operation")}
