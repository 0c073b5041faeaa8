"""The JAX executor: one jitted function has the results of the step as it is."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import xpnet
from tests.compiler.replayed import (
    MODELS,
    assert_agrees,
    batches,
    executed_by,
    model_of,
    optimizers,
    stepping,
)
from xpnet.backend import to_numpy
from xpnet.compiler.compiled import Compiled
from xpnet.compiler.executors import jax as jax_executor
from xpnet.compiler.executors.jax import JAXExecutor
from xpnet.functions import _windows as portable
from xpnet.kernels.window import Window

jax = pytest.importorskip("jax", reason="the library of this executor")

CLOSE = 2e-5
"""XLA merges operations, and contracts products and sums: float32 differs in its last bits."""


@pytest.fixture
def jax_backend():
    with xpnet.using("jax:cpu") as backend:
        yield backend


def momentum(parameters):
    return xpnet.Momentum(parameters, lr=0.05)


@pytest.mark.parametrize("name", [pytest.param(x, marks=pytest.mark.slow) for x in MODELS[1:]])
def test_models(jax_backend, name):
    assert_agrees(jax_backend, JAXExecutor, name, momentum, rtol=CLOSE, atol=1e-5)


@pytest.mark.parametrize(
    "name",
    [x if x in ("sgd", "adam") else pytest.param(x, marks=pytest.mark.slow) for x in optimizers()],
)
def test_optimizers(jax_backend, name):
    assert_agrees(jax_backend, JAXExecutor, "mlp", optimizers()[name], rtol=CLOSE, atol=1e-5)


def compiled_mlp(backend, count):
    """A compiled step of a small model after four calls, and the batches for the next ones."""
    model, shape = model_of("mlp")
    optimizer = xpnet.Momentum(model.parameters(), lr=0.05)
    step = Compiled(stepping(model, optimizer), executor=executed_by(JAXExecutor))
    pairs = list(batches(backend, shape, 4 + count))
    for x, t in pairs[:4]:
        step(x, t)
    return step, model, optimizer, pairs[4:]


def test_another_number_does_not_compile_anew(jax_backend):
    """The learning rate is an argument of weak type: it changes no dtype, and no code."""
    step, model, optimizer, pairs = compiled_mlp(jax_backend, 3)
    jitted = step.replays[0].executor._step
    assert jitted._cache_size() == 1
    before = to_numpy(next(iter(model.parameters())).data)
    for (x, t), lr in zip(pairs, (0.5, 0.25, 1e-30), strict=True):
        optimizer.lr = lr
        step(x, t)
    assert jitted._cache_size() == 1
    assert {str(p.data.dtype) for p in model.parameters()} == {"float32"}
    assert not np.array_equal(to_numpy(next(iter(model.parameters())).data), before)


def test_an_array_that_somebody_holds_stays_usable(jax_backend):
    """No memory is donated: the state from before a step can still be read after it."""
    step, model, _, pairs = compiled_mlp(jax_backend, 2)
    held = [p.data for p in model.parameters()]
    numbers = [np.array(to_numpy(x)) for x in held]
    for x, t in pairs:
        step(x, t)
    for x, expected in zip(held, numbers, strict=True):
        np.testing.assert_array_equal(to_numpy(x), expected)


def test_many_steps_in_one_call(jax_backend):
    """`run_steps` is a scan: the losses and the state of single steps."""
    step, _, _, pairs = compiled_mlp(jax_backend, 5)
    replay = step.replays[0]
    executor = replay.executor
    hosts = [[0.05 / (1 + i), 0.9] for i in range(5)]
    assert len(executor.program.hosts) == 2
    start = list(executor.states)
    singly = [executor.run(list(pair), row) for pair, row in zip(pairs, hosts, strict=True)]
    after = [to_numpy(x) for x in executor.states]
    executor.states[:] = start
    stacked = [jax.numpy.stack(x) for x in zip(*pairs, strict=True)]
    together = executor.run_steps(stacked, hosts)
    assert executor._scan._cache_size() == 1, "the steps were not scanned"
    [losses] = together
    assert losses.shape == (5,)
    for [one], other in zip(singly, losses, strict=True):
        np.testing.assert_allclose(float(other), float(one), rtol=CLOSE)
    for x, expected in zip(executor.states, after, strict=True):
        np.testing.assert_allclose(to_numpy(x), expected, rtol=CLOSE, atol=1e-6)


def test_a_program_of_two_floating_point_dtypes_is_not_scanned(jax_backend):
    """A number of the host would have to be of one dtype in a scan: its steps run one by one."""
    from xpnet.compiler.record import Operation, Program, Value

    jnp = jax.numpy
    half, full = jnp.dtype("bfloat16"), jnp.dtype("float32")
    s = Value((2,), half, "state", 0)
    u = Value((2,), full, "state", 1)
    h = Value((), None, "host", 0)
    operations = []
    updates = {}
    for i, x in enumerate((s, u)):
        operation = Operation("multiply", jnp.multiply, (x, h))
        y = Value((2,), x.dtype, "operation", operation=operation)
        operation.outputs = [y]
        operation.result = y
        operations.append(operation)
        updates[i] = y
    executor = JAXExecutor(Program([], [s, u], [h], operations, [], updates))
    executor.bind([jnp.ones(2, half), jnp.ones(2, full)])
    executor.run_steps([], [[0.5], [0.25], [0.1]])
    assert executor._scan._cache_size() == 0
    assert [x.dtype for x in executor.states] == [half, full]
    np.testing.assert_allclose(np.asarray(executor.states[1]), [0.0125, 0.0125], rtol=1e-6)


@given(st.data())
@settings(max_examples=15, deadline=None)
def test_the_weights_of_a_convolution(data):
    """XLA's operation for the gradient by the weights has the results of the portable code."""
    axes = data.draw(st.integers(1, 2))
    groups = data.draw(st.integers(1, 2))

    def lengths(low, high):
        return tuple(data.draw(st.integers(low, high)) for _ in range(axes))

    kernel = lengths(1, 3)
    dilation = lengths(1, 2)
    padding = tuple(zip(lengths(0, 2), lengths(0, 2), strict=True))
    size = tuple(
        d * (k - 1) + 1 + n for d, k, n in zip(dilation, kernel, lengths(0, 4), strict=True)
    )
    window = Window(size, kernel, lengths(1, 3), padding, dilation)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    jnp = jax.numpy
    x = jnp.asarray(rng.standard_normal((3, 2 * groups, *size)), "float32")
    gy = jnp.asarray(rng.standard_normal((3, 4 * groups, *window.out)), "float32")
    expected = portable.weigh(np.asarray(x, "float64"), np.asarray(gy, "float64"), window, groups)
    found = jax_executor._weigh(x, gy, window, groups)
    assert found.shape == expected.shape
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-4, atol=1e-4)


def test_a_window_with_fewer_places_than_fit():
    """As the gradient of a transposed convolution has it."""
    window = Window((9,), (2,), (2,), ((0, 0),), (1,), places=(3,))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 1, 9))
    gy = rng.standard_normal((2, 1, 3))
    expected = portable.weigh(x, gy, window, 1)
    found = jax_executor._weigh(*(jax.numpy.asarray(a, "float32") for a in (x, gy)), window, 1)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5, atol=1e-5)
