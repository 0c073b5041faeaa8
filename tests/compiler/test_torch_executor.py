"""The PyTorch executor: the results of the step as it is, bit for bit, in the memory of the state."""

import numpy as np
import pytest

import xpnet
from tests.compiler.replayed import (
    MODELS,
    assert_agrees,
    batches,
    executed_by,
    last_bits,
    model_of,
    optimizers,
    stepping,
)
from xpnet.backend import to_numpy
from xpnet.compiler.compiled import Compiled
from xpnet.compiler.executors.torch import TorchExecutor
from xpnet.compiler.executors.torch_graph import Captured
from xpnet.compiler.record import Operation, Program, Value

torch = pytest.importorskip("torch", reason="the library of this executor")
xp = pytest.importorskip("array_api_compat.torch")


@pytest.fixture(params=["float32", "float64"])
def torch_backend(request):
    with xpnet.using("torch:cpu", dtype=request.param) as backend:
        yield backend


def momentum(parameters):
    return xpnet.Momentum(parameters, lr=0.05)


@pytest.mark.parametrize("name", MODELS)
def test_models(torch_backend, name):
    rtol = last_bits(torch_backend, name)
    assert_agrees(torch_backend, TorchExecutor, name, momentum, rtol)


@pytest.mark.parametrize("name", optimizers())
def test_optimizers(torch_backend, name):
    assert_agrees(torch_backend, TorchExecutor, "mlp", optimizers()[name], rtol=0)


def test_a_learning_rate_that_changes(torch_backend):
    def halfway(optimizer):
        optimizer.lr = 0.5

    assert_agrees(torch_backend, TorchExecutor, "mlp", momentum, rtol=0, halfway=halfway)


def test_parameters_stay_in_their_memory(torch_backend):
    """As in a step that is not compiled, the arrays of parameters and moments are changed in place."""
    model, shape = model_of("mlp")
    optimizer = xpnet.Adam(model.parameters())
    step = Compiled(stepping(model, optimizer), executor=executed_by(TorchExecutor))
    pairs = list(batches(torch_backend, shape))
    for x, t in pairs[:4]:
        step(x, t)
    arrays = [p.data for p in model.parameters()]
    arrays += [s[name] for s in optimizer.state for name in ("m", "v")]
    before = [x.data_ptr() for x in arrays]
    numbers = [to_numpy(x).copy() for x in arrays]
    step(*pairs[4])
    now = [p.data for p in model.parameters()]
    now += [s[name] for s in optimizer.state for name in ("m", "v")]
    assert all(x is y for x, y in zip(arrays, now, strict=True))
    assert [x.data_ptr() for x in now] == before
    for x, old in zip(now, numbers, strict=True):
        assert not np.array_equal(to_numpy(x), old)


def test_a_result_is_not_changed_by_later_calls(torch_backend):
    model, shape = model_of("mlp")
    step = Compiled(
        stepping(model, momentum(model.parameters())), executor=executed_by(TorchExecutor)
    )
    pairs = list(batches(torch_backend, shape))
    for x, t in pairs[:4]:
        step(x, t)
    kept = step(*pairs[4]).data
    number = float(kept)
    assert float(step(*pairs[5]).data) != number
    assert float(kept) == number


# --- which arrays are written over ------------------------------------------------------------------


def array(values):
    return torch.tensor(values, dtype=torch.float32)


class Builder:
    """A program over arrays of three numbers in float32."""

    def __init__(self, states=1, arguments=1):
        def values(source, count):
            return [Value((3,), torch.float32, source, i) for i in range(count)]

        self.states = values("state", states)
        self.arguments = values("argument", arguments)
        self.operations = []

    def add(self, name, function, *args):
        operation = Operation(name, function, args)
        result = Value((3,), torch.float32, "operation", operation=operation)
        operation.outputs = [result]
        operation.result = result
        self.operations.append(operation)
        return result

    def executor(self, outputs, updates):
        program = Program(self.arguments, self.states, [], self.operations, outputs, updates)
        return TorchExecutor(program)


def test_a_state_that_is_returned_is_not_written_over():
    """A step that returns what the parameter was before."""
    b = Builder()
    (s,) = b.states
    (x,) = b.arguments
    executor = b.executor([s], {0: b.add("subtract", xp.subtract, s, x)})
    state = array([1.0, 2.0, 3.0])
    executor.bind([state])
    (before,) = executor.run([array([1.0, 1.0, 1.0])], [])
    np.testing.assert_array_equal(before, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(executor.states[0], [0.0, 1.0, 2.0])
    executor.run([array([1.0, 1.0, 1.0])], [])
    np.testing.assert_array_equal(before, [1.0, 2.0, 3.0])


def test_a_new_state_that_is_returned_is_not_written_over_by_the_next_run():
    b = Builder()
    (s,) = b.states
    (x,) = b.arguments
    new = b.add("add", xp.add, s, x)
    executor = b.executor([new], {0: new})
    executor.bind([array([0.0, 0.0, 0.0])])
    ones = array([1.0, 1.0, 1.0])
    (first,) = executor.run([ones], [])
    executor.run([ones], [])
    np.testing.assert_array_equal(first, [1.0, 1.0, 1.0])
    np.testing.assert_array_equal(executor.states[0], [2.0, 2.0, 2.0])


def test_a_state_that_is_read_after_its_update_is_not_written_over():
    b = Builder()
    (s,) = b.states
    (x,) = b.arguments
    new = b.add("add", xp.add, s, x)
    old = b.add("multiply", xp.multiply, s, x)
    executor = b.executor([old], {0: new})
    executor.bind([array([2.0, 2.0, 2.0])])
    (product,) = executor.run([array([3.0, 3.0, 3.0])], [])
    np.testing.assert_array_equal(product, [6.0, 6.0, 6.0])
    np.testing.assert_array_equal(executor.states[0], [5.0, 5.0, 5.0])


def test_a_state_whose_view_is_read_after_its_update_is_not_written_over():
    b = Builder()
    (s,) = b.states
    (x,) = b.arguments
    view = b.add("reshape", lambda y: y.view(3), s)
    new = b.add("add", xp.add, s, x)
    old = b.add("multiply", xp.multiply, view, x)
    executor = b.executor([old], {0: new})
    executor.bind([array([2.0, 2.0, 2.0])])
    (product,) = executor.run([array([3.0, 3.0, 3.0])], [])
    np.testing.assert_array_equal(product, [6.0, 6.0, 6.0])
    np.testing.assert_array_equal(executor.states[0], [5.0, 5.0, 5.0])


def test_a_state_that_is_only_read_is_not_written_over():
    """Its last reader could write over it, but the next run needs it again."""
    b = Builder()
    (s,) = b.states
    (x,) = b.arguments
    executor = b.executor([b.add("add", xp.add, s, x)], {})
    executor.bind([array([2.0, 2.0, 2.0])])
    for _ in range(2):
        (total,) = executor.run([array([3.0, 3.0, 3.0])], [])
        np.testing.assert_array_equal(total, [5.0, 5.0, 5.0])
    np.testing.assert_array_equal(executor.states[0], [2.0, 2.0, 2.0])


def test_two_states_that_become_each_other_are_not_written_over():
    b = Builder(states=2)
    s, u = b.states
    (x,) = b.arguments
    executor = b.executor([], {0: b.add("add", xp.add, u, x), 1: b.add("add", xp.add, s, x)})
    executor.bind([array([1.0, 1.0, 1.0]), array([10.0, 10.0, 10.0])])
    ones = array([1.0, 1.0, 1.0])
    for _ in range(3):
        executor.run([ones], [])
    np.testing.assert_array_equal(executor.states[0], [13.0, 13.0, 13.0])
    np.testing.assert_array_equal(executor.states[1], [4.0, 4.0, 4.0])


def test_an_output_that_is_an_input_is_a_copy():
    """Of a state, of an argument, and of a new state: whoever is given it may change it."""
    b = Builder()
    (s,) = b.states
    (x,) = b.arguments
    new = b.add("add", xp.add, s, x)
    view = b.add("reshape", lambda y: y.view(3), s)
    executor = b.executor([view, x, new, new], {0: new})
    executor.bind([array([1.0, 1.0, 1.0])])
    given = array([2.0, 2.0, 2.0])
    found = executor.run([given], [])
    np.testing.assert_array_equal(np.stack(found)[:, 0], [1.0, 2.0, 3.0, 3.0])
    for y in found:
        y += 100.0
    np.testing.assert_array_equal(given, [2.0, 2.0, 2.0])
    np.testing.assert_array_equal(executor.states[0], [3.0, 3.0, 3.0])
    np.testing.assert_array_equal(np.stack(found)[:, 0], [101.0, 102.0, 103.0, 103.0])


def test_a_number_of_the_host_changes_no_dtype():
    """Beside arrays with and without axes, in float32 and in float16."""
    operations = []
    outputs = []
    values = [
        Value(shape, dtype, "argument", i)
        for i, (shape, dtype) in enumerate(
            (((), torch.float32), ((2,), torch.float32), ((2,), torch.float16), ((), torch.float16))
        )
    ]
    host = Value((), None, "host", 0)
    for x in values:
        operation = Operation("multiply", lambda x, h: x * h, (x, host))
        y = Value(x.shape, x.dtype, "operation", operation=operation)
        operation.outputs = [y]
        operation.result = y
        operations.append(operation)
        outputs.append(y)
    executor = TorchExecutor(Program(values, [], [host], operations, outputs, {}))
    arrays = [torch.full(x.shape, 3.0, dtype=x.dtype) for x in values]
    for h in (0.5, 0.1):
        for x, y in zip(arrays, executor.run(arrays, [h]), strict=True):
            assert y.dtype == x.dtype
            assert torch.equal(y, x * h)


def test_an_argument_is_never_written_over():
    b = Builder()
    (x,) = b.arguments
    doubled = b.add("multiply", xp.multiply, x, 2.0)
    executor = b.executor([b.add("add", xp.add, doubled, 1.0)], {})
    executor.bind([array([0.0, 0.0, 0.0])])
    given = array([1.0, 2.0, 3.0])
    (result,) = executor.run([given], [])
    np.testing.assert_array_equal(given, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(result, [3.0, 5.0, 7.0])


def test_a_result_whose_view_is_returned_is_not_written_over():
    b = Builder()
    (x,) = b.arguments
    doubled = b.add("multiply", xp.multiply, x, 2.0)
    view = b.add("reshape", lambda y: y.view(3), doubled)
    more = b.add("add", xp.add, doubled, x)
    executor = b.executor([view, more], {})
    executor.bind([array([0.0, 0.0, 0.0])])
    found = executor.run([array([1.0, 2.0, 3.0])], [])
    np.testing.assert_array_equal(found[0], [2.0, 4.0, 6.0])
    np.testing.assert_array_equal(found[1], [3.0, 6.0, 9.0])


# --- CUDA graphs -----------------------------------------------------------------------------------


class PretendedGraph:
    """A graph on the CPU: capturing changes nothing, and a replay writes to the captured outputs."""

    def __init__(self, states):
        self.states = states

    def capture(self, work):
        before = [x.clone() for x in self.states]
        self.work = work
        self.outputs = work()
        for x, old in zip(self.states, before, strict=True):
            x.copy_(old)
        for x in self.outputs:
            x.fill_(float("nan"))
        return self.outputs

    def replay(self):
        for own, x in zip(self.outputs, self.work(), strict=True):
            own.copy_(x)


def test_a_captured_step(torch_backend):
    """Batches, numbers of the host and the state are what they are in a step that is not captured."""
    results = []
    for captures in (False, True):
        model, shape = model_of("normalized")
        optimizer = momentum(model.parameters())
        step = Compiled(stepping(model, optimizer), executor=executed_by(TorchExecutor))
        pairs = list(batches(torch_backend, shape))
        for x, t in pairs[:4]:
            step(x, t)
        executor = step.replays[0].executor
        if captures:
            states = executor.states
            executor._captured = Captured(
                executor._step, states, executor._updated, PretendedGraph(states)
            )
        losses = []
        for i, (x, t) in enumerate(pairs[4:]):
            optimizer.lr = 0.1 / (1 + i)
            losses.append(step(x, t).data)
        assert len(step.replays) == 1
        results.append([to_numpy(x) for x in (*losses, *executor.states)])
        assert ("the step is one CUDA graph" in executor.describe()) == captures
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_state_that_is_replaced_is_captured_anew():
    """A graph has the addresses of the state: `bind` forgets it."""
    b = Builder()
    (s,) = b.states
    (x,) = b.arguments
    executor = b.executor([], {0: b.add("add", xp.add, s, x)})
    states = executor.bind([array([0.0, 0.0, 0.0])])
    executor._captured = Captured(executor._step, states, [0], PretendedGraph(states))
    ones = array([1.0, 1.0, 1.0])
    executor.run([ones], [])
    np.testing.assert_array_equal(states[0], [1.0, 1.0, 1.0])
    executor.bind([array([5.0, 5.0, 5.0])])
    executor.run([ones], [])
    np.testing.assert_array_equal(executor.states[0], [6.0, 6.0, 6.0])


def test_nothing_is_captured_on_a_cpu():
    b = Builder()
    (s,) = b.states
    (x,) = b.arguments
    executor = b.executor([], {0: b.add("add", xp.add, s, x)})
    executor.bind([array([0.0, 0.0, 0.0])])
    for _ in range(3):
        executor.run([array([1.0, 1.0, 1.0])], [])
    assert executor._captured is None
    np.testing.assert_array_equal(executor.states[0], [3.0, 3.0, 3.0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU for PyTorch here")
def test_a_graph_on_a_gpu():
    with xpnet.using("torch:cuda") as backend:
        assert_agrees(backend, TorchExecutor, "mlp", momentum, rtol=1e-5)
