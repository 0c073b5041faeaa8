"""The source of a whole step for NumPy: the lines of each operation, one after the other.

h = np.matmul(x, weight) becomes        np.matmul(x, weight, out=matmul)
"""

from xpnet.compiler.executors._numpy_chains import ChainWriter
from xpnet.compiler.executors._numpy_memory import Batch, Memory
from xpnet.compiler.executors._numpy_operations import WRITERS
from xpnet.compiler.executors._numpy_source import Source
from xpnet.compiler.passes.chain import Chain
from xpnet.compiler.record import Operation

__all__ = ["source_of"]


def source_of(memory: Memory) -> Source:
    """The source that computes `memory.program` in that memory."""
    source = Source(memory)
    batch_of = {member: batch for batch in memory.batches for member in batch.members}
    for n, operation in enumerate(memory.program.operations):
        source.place = n
        batch = batch_of.get(operation)
        if batch is None:
            _write(source, operation)
        elif operation is batch.members[-1]:
            _write_chain(source, operation, batch)
    _write_results(source)
    return source


def _write(source: Source, operation: Operation) -> None:
    """The lines of one operation; a view that is the same at each run has none."""
    first = operation.outputs[0] if operation.outputs else None
    if first in source.memory.roots:
        if source.at_run_time(first):
            source.lines.append(f"{source.name(first)} = {_view(source, operation)}")
        return
    if operation.name == "chain":
        _write_chain(source, operation, None)
        return
    source.lines.append(_comment(operation))
    write = WRITERS.get(operation.name)
    if write is None or not write(source, operation):
        source.write_call(operation)


def _view(source: Source, operation: Operation) -> str:
    """A view of an array that is another one at each run: by a method, where there is one."""
    if operation.name == "matrix_transpose":
        return f"{source.name(operation.args[0])}.swapaxes(-1, -2)"
    return source.call(operation)


def _comment(operation: Operation) -> str:
    shapes = [str(x.shape) for x in operation.inputs() if x.shape]
    results = [str(x.shape) for x in operation.outputs]
    return f"# {operation.name} {', '.join(shapes)} -> {', '.join(results)}"


def _write_chain(source: Source, operation: Operation, batch: Batch | None) -> None:
    """One chain, or all of a batch at once."""
    chain: Chain = operation.options["chain"]
    source.lines.append(f"# {chain} {chain.shape}")
    if batch is not None:
        source.lines[-1] += f" and {len(batch.members) - 1} others"
    ChainWriter(source, operation, chain, batch).write()


def _write_results(source: Source) -> None:
    """Outputs, and new values that are not in the state yet."""
    program = source.program
    outputs = [source.new_name("output") for _ in program.outputs]
    pairs = zip(outputs, program.outputs, strict=True)
    source.lines += [f"{output} = np.array({source.name(x)})" for output, x in pairs]
    in_place = source.memory.updates
    late = {i: x for i, x in program.updates.items() if in_place.get(i) is not x}
    new = {i: source.new_name("new") for i in late}
    # all copies are made before the first one is stored: a new value may be another state's old one
    source.lines += [f"{new[i]} = np.array({source.name(x)})" for i, x in late.items()]
    source.lines += [f"np.copyto({source.name(program.states[i])}, {new[i]})" for i in late]
    source.lines.append(f"return [{', '.join(outputs)}]")
