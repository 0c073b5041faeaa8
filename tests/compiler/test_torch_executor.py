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
from xpnet import functions as F
from xpnet._each_step import each_step
from xpnet.autodiff.namespace import array_namespace
from xpnet.backend import to_numpy
from xpnet.compiler.compiled import Compiled
from xpnet.compiler.executors.torch import TorchExecutor
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


# --- arrays that others hold, and PyTorch's own gradients --------------------------------------------


def replacing(states):
    """A step that replaces the state, as code without operators in place does."""

    def step(x):
        states[0] = states[0] * 0.5 + x
        return states[0]

    return step


def ones():
    return torch.ones((2, 3), dtype=torch.float32)


@pytest.mark.parametrize("shape", [(), (2, 3)])
def test_a_state_that_a_recorded_call_returned_is_not_written_over(shape):
    """The first three calls return the array of the state itself."""
    found = []
    for wrap in (lambda step: step, compiled):
        states = [torch.zeros(shape)]
        step = wrap(replacing(states))
        before = states[0]
        results = [step(torch.ones(shape)) for _ in range(6)]
        found.append([before, *results])
    for x, y in zip(*found, strict=True):
        assert torch.equal(x, y)


def compiled(step):
    return Compiled(step, executor=executed_by(TorchExecutor))


@pytest.mark.parametrize("part", [lambda s: s, lambda s: s[:1]])
def test_an_argument_that_is_the_state_keeps_its_numbers(part):
    """The step reads it after the new state is computed."""
    found = []
    for wrap in (lambda step: step, compiled):
        states = [torch.zeros((2, 3))]

        def step(x, states=states):
            states[0] = states[0] * 0.5 + 1.0
            return x - states[0]

        step = wrap(step)
        found.append([step(part(states[0])) for _ in range(6)])
    assert step.replays
    for x, y in zip(*found, strict=True):
        assert torch.equal(x, y)


def leaf():
    return torch.ones((2, 3), requires_grad=True)


def expanded():
    return torch.ones(3).expand(2, 3)


def of_inference():
    with torch.inference_mode():
        return torch.ones((2, 3))


@pytest.mark.filterwarnings("ignore:torch.asarray:UserWarning")  # a new default of PyTorch's
@pytest.mark.parametrize("made", [leaf, expanded, of_inference])
def test_a_state_that_cannot_be_changed_in_place(made):
    """Where it is there from the beginning, and where it takes the place of another one later."""
    states = [made()]
    step = compiled(replacing(states))
    expected = 1.0
    for i in range(8):
        if i == 5:
            states[0] = made()
            expected = 1.0
        expected = expected * 0.5 + 1.0
        result = step(ones())
        assert result.requires_grad == (made is leaf)
        np.testing.assert_array_equal(result.detach(), np.full((2, 3), expected))
    assert step.replays


def test_gradients_of_pytorch_flow_through_a_step():
    """Of each call, also when the next ones were made before: nothing that they need is written over."""
    rates = [1.0]

    def step(x):
        rate = each_step(lambda: rates[0])
        return xpnet.functions.sum(xpnet.functions.exp(x) * 2.0 * rate + x)

    step = compiled(step)
    for _ in range(4):
        step(ones())
    inputs = []
    losses = []
    for i in range(3):
        rates[0] = 1.0 + i
        inputs.append(torch.full((2, 3), 0.1 * i, requires_grad=True))
        losses.append(step(inputs[-1]))
    assert step.replays
    for i, (x, loss) in enumerate(zip(inputs, losses, strict=True)):
        loss.backward()
        expected = torch.exp(x.detach()) * 2.0 * (1.0 + i) + 1.0
        torch.testing.assert_close(x.grad, expected)


def test_inside_and_outside_of_an_inference_mode():
    """A number of the host, and the state, are changed in both."""
    states = [ones()]
    rates = [0.5]

    def step(x):
        rate = each_step(lambda: rates[0])
        states[0] = states[0] * rate + x
        return states[0] * 2.0

    step = compiled(step)
    expected = 1.0
    for i in range(8):
        rates[0] = 0.5 + 0.125 * (i % 3)
        expected = expected * rates[0] + 1.0
        with torch.inference_mode(i < 5):
            result = step(ones())
        np.testing.assert_array_equal(result, np.full((2, 3), 2 * expected, "float32"))
    assert step.replays


@pytest.mark.parametrize("has_gpu", [False, True])
def test_the_plan_says_that_a_gpu_is_given_one_operation_after_the_other(monkeypatch, has_gpu):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    step = compiled(lambda x: F.exp(x) * 2.0)
    for _ in range(4):
        step(torch.ones(3))
    for text in (str(step), step.explain()):
        assert ("no CUDA graph is captured" in " ".join(text.split())) == has_gpu


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU for PyTorch here")
def test_on_a_gpu():
    with xpnet.using("torch:cuda") as backend:
        assert_agrees(backend, TorchExecutor, "mlp", momentum, rtol=1e-5)


# --- views of what is written over -------------------------------------------------------------------


def test_a_view_of_what_lies_between_a_state_and_its_new_value_is_not_written_over():
    state = {"p": torch.tensor([4.0, 8.0, 12.0])}

    def step(x):
        moved = state["p"] - 0.5 * x
        first = moved[0:2]
        state["p"] = moved * 0.5
        return first

    step = compiled(step)
    p = np.array([4.0, 8.0, 12.0])
    for k in range(1, 7):
        found = step(torch.full((3,), float(k)))
        moved = p - 0.5 * k
        np.testing.assert_array_equal(found, moved[:2])
        p = moved * 0.5
    assert len(step.replays) == 1


@pytest.mark.parametrize(
    "view",
    [
        lambda p: p.reshape(-1),
        lambda p: p.view(4),
        lambda p: p.detach(),
        lambda p: p.diagonal(),
        lambda p: p.permute(1, 0),
        lambda p: p.swapaxes(0, 1),
        lambda p: array_namespace(p).unstack(p)[0],
        lambda p: array_namespace(p).linalg.diagonal(p),
        lambda p: p.T,
    ],
)
def test_a_view_of_the_new_state_is_not_changed_by_later_calls(view):
    state = {"p": torch.zeros((2, 2))}

    def step(x):
        state["p"] = state["p"] - 0.5 * x
        return view(state["p"])

    step = compiled(step)
    results = [step(torch.ones((2, 2))) for _ in range(7)]
    assert len(step.replays) == 1
    for k, result in enumerate(results, 1):
        np.testing.assert_array_equal(result, view(torch.full((2, 2), -0.5 * k)))


@pytest.mark.parametrize("name", ["sum", "max"])
def test_a_reduction_over_no_axes_reduces_none(name):
    step = compiled(lambda x: getattr(array_namespace(x), name)(x, axis=()) * 1.0)
    x = torch.arange(6.0).reshape(2, 3)
    for _ in range(5):
        found = step(x)
    np.testing.assert_array_equal(found, x)
    assert len(step.replays) == 1


def test_numbers_are_on_the_cpu_whatever_the_default_device_is():
    host = Value((), None, "host", 0)
    x = Value((3,), torch.float32, "argument", 0)
    operations = []
    for name, number in (("multiply", host), ("add", 1.0)):
        operation = Operation(name, getattr(xp, name), (x, number))
        operation.result = Value((3,), torch.float32, "operation", operation=operation)
        operation.outputs = [operation.result]
        operations.append(operation)
    outputs = [o.result for o in operations]
    with torch.device("meta"):
        executor = TorchExecutor(Program([x], [], [host], operations, outputs, {}))
    doubled, added = executor.run([array([1.0, 2.0, 3.0])], [2.0])
    np.testing.assert_array_equal(doubled, [2.0, 4.0, 6.0])
    np.testing.assert_array_equal(added, [2.0, 3.0, 4.0])


def test_an_argument_that_is_a_state_computed_in_other_memory_keeps_its_numbers():
    """The sum that is the new state could be written over either operand: it is over the state."""
    b = Builder()
    (s,) = b.states
    (x,) = b.arguments
    other = b.add("multiply", xp.multiply, x, 2.0)
    half = b.add("multiply", xp.multiply, s, 0.5)
    late = b.add("add", xp.add, other, half)
    executor = b.executor([b.add("subtract", xp.subtract, x, 1.0)], {0: late})
    executor.bind([array([8.0, 8.0, 8.0])])
    before = executor.states[0].data_ptr()
    executor.run([array([1.0, 1.0, 1.0])], [])
    assert executor.states[0].data_ptr() == before
    (result,) = executor.run([executor.states[0]], [])
    np.testing.assert_array_equal(result, [5.0, 5.0, 5.0])
    np.testing.assert_array_equal(executor.states[0], [15.0, 15.0, 15.0])


def test_a_number_divided_by_an_array_has_the_bits_of_eager_code():
    """PyTorch's operator rounds twice: it multiplies by the reciprocal."""
    x = torch.linspace(0.1, 9.0, 100)
    assert not torch.equal(3.0 / x, torch.div(3.0, x))
    step = compiled(lambda x: 3.0 / x)
    for _ in range(5):
        found = step(x)
    assert len(step.replays) == 1
    assert torch.equal(found, 3.0 / x)
