"""Recorded functions in ONNX Runtime, for tests."""

import array_api_compat as compat
import numpy as np

from xpnet.compiler.call import recorded_call
from xpnet.compiler.record import leaves
from xpnet.saving.onnx._graph import Graph
from xpnet.saving.onnx._lowering import host_dtype
from xpnet.saving.onnx._operations import lower, used_inputs


def session_of(model):
    """An ONNX Runtime session on one core."""
    import onnxruntime  # not above: pytest imports this file for its doctests, too

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def recording_of(function, arrays):
    """The recording of a function of arrays."""
    with np.errstate(all="ignore"):
        recording = recorded_call(function, arrays)
    assert not recording.recorder.failures
    return recording


def model_of(function, arrays, fewer=None):
    """A function of arrays as an ONNX model; of any number of samples if it is given fewer, too."""
    recording = recording_of(function, arrays)
    program = recording.program
    other = program
    if fewer is not None:
        other = recording_of(function, fewer).program
    graph = Graph()
    names = {}
    for i, (x, y) in enumerate(zip(program.arguments, other.arguments, strict=True)):
        shape = [n if n == m else "batch" for n, m in zip(x.shape, y.shape, strict=True)]
        names[x] = graph.input(f"x{i}", host_dtype(x.dtype), shape)
    for x in used_inputs(program) - {*names}:  # an array that the function refers to
        array = recording.held[x.index]  # if it is in a tuple
        if array is None:
            array = recording.cells[x.index][0].get()
        names[x] = graph.parameter(x.name, array)
    lowered = lower(graph, program, names, other)
    for i, x in enumerate(program.outputs):
        graph.output(f"y{i}", lowered[x], host_dtype(x.dtype), lowered.shape(x))
    return graph.model()


def run(model, arrays):
    """What a model computes from arrays."""
    session = session_of(model)
    given = dict(zip([f"x{i}" for i in range(len(arrays))], arrays, strict=True))
    return session.run(None, {x.name: given[x.name] for x in session.get_inputs()})


def require_equal(model, function, arrays, rtol=1e-5, atol=1e-6):
    """Assert that a model computes what the function computes."""
    with np.errstate(all="ignore"):
        expected = [np.asarray(getattr(y, "data", y)) for y in leaves(function(*arrays))]
    found = run(model, arrays)
    assert [y.dtype for y in found] == [y.dtype for y in expected]
    for y, z in zip(found, expected, strict=True):
        assert y.shape == z.shape
        np.testing.assert_allclose(y, z, rtol=rtol, atol=atol)


def of_namespace(function):
    """f(xp, *arrays) as a function of the arrays."""
    return lambda *arrays: function(compat.array_namespace(*arrays), *arrays)
