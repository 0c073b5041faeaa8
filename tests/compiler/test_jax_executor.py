"""The JAX executor: one jitted function has the results of the step as it is."""

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

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
from xpnet.compiler.record import Operation, Program, Value
from xpnet.errors import CompileError
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


# --- within a trace of JAX's ------------------------------------------------------------------------


@pytest.mark.parametrize("calls_before", [0, 4])
def test_a_step_without_state_in_a_jitted_function(jax_backend, calls_before):
    """Before there is a plan, and after; and arrays of the trace are kept by neither."""
    jnp = jax.numpy
    W = jnp.asarray([2.0, 3.0])
    step = Compiled(
        lambda x: x.__array_namespace__().arange(2) * W * x, executor=executed_by(JAXExecutor)
    )
    for _ in range(calls_before):
        step(jnp.ones(2))
    for factor in range(5):
        found = jax.jit(lambda x, factor=factor: factor * step(x))(jnp.ones(2))
        np.testing.assert_array_equal(found, [0.0, 3.0 * factor])
    np.testing.assert_array_equal(jax.grad(lambda x: step(x)[1])(jnp.ones(2)), [0.0, 3.0])
    np.testing.assert_array_equal(jax.vmap(step)(jnp.ones((3, 2))), [[0.0, 3.0]] * 3)
    for _ in range(5):
        np.testing.assert_array_equal(step(jnp.ones(2)), [0.0, 3.0])
    assert len(step.replays) == 1


@pytest.mark.parametrize("calls_before", [0, 4])
@pytest.mark.parametrize("rehearse", [False, True])
@pytest.mark.parametrize("is_given", [True, False])
def test_a_step_that_changes_state_in_a_jitted_function(
    jax_backend, calls_before, rehearse, is_given
):
    """It is refused, and the state is what it was."""
    jnp = jax.numpy
    states = [jnp.zeros(2)]

    def change(x):
        states[0] = states[0] + x
        return states[0]

    if is_given:
        step = Compiled(change, executor=executed_by(JAXExecutor), rehearse=rehearse)
    else:
        one = jnp.ones(2)
        inner = Compiled(lambda: change(one), executor=executed_by(JAXExecutor), rehearse=rehearse)

        def step(_):
            return inner()

    for _ in range(calls_before):
        step(jnp.ones(2))
    with pytest.raises(CompileError, match=r"traced, by jax\.jit"):
        jax.jit(step)(jnp.ones(2))
    np.testing.assert_array_equal(states[0], [calls_before] * 2)
    for i in range(5):
        np.testing.assert_array_equal(step(jnp.ones(2)), [calls_before + i + 1] * 2)


def test_many_steps_in_a_jitted_function(jax_backend):
    """They are refused like a single one."""
    jnp = jax.numpy
    states = [jnp.zeros(2)]

    def change(x):
        states[0] = states[0] + x
        return states[0] * 2.0

    step = Compiled(change, executor=executed_by(JAXExecutor))
    xs = jnp.ones((6, 2))
    step.scan(xs)
    executor = step.replays[0].executor
    with pytest.raises(CompileError, match=r"traced, by jax\.jit"):
        jax.jit(lambda xs: executor.run_steps([xs], [[]] * 6))(xs)
    np.testing.assert_array_equal(executor.states[0], [6.0, 6.0])


# --- XLA's own functions ----------------------------------------------------------------------------


@st.composite
def windows(draw):
    """A window with one axis or two, and a random number generator."""
    axes = draw(st.integers(1, 2))

    def lengths(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    kernel = lengths(1, 3)
    dilation = lengths(1, 2)
    padding = tuple(zip(lengths(0, 2), lengths(0, 2), strict=True))
    size = tuple(
        d * (k - 1) + 1 + n for d, k, n in zip(dilation, kernel, lengths(0, 4), strict=True)
    )
    window = Window(size, kernel, lengths(1, 3), padding, dilation)
    return window, np.random.default_rng(draw(st.integers(0, 99)))


FEWER_PLACES = Window((9,), (2,), (2,), ((0, 0),), (1,), places=(3,))
"""A window with fewer places than fit, as the gradient of a transposed convolution has it."""


@given(windows(), st.integers(1, 2), st.integers(0, 3), st.booleans())
@example((FEWER_PLACES, np.random.default_rng(0)), 1, 2, True)
@settings(max_examples=15, deadline=None)
def test_convolutions(drawn, groups, batch, with_bias):
    """XLA's gradients with respect to weights and input are those of the portable code."""
    window, rng = drawn
    x = rng.standard_normal((batch, 2 * groups, *window.size))
    W = rng.standard_normal((4 * groups, 2, *window.kernel))
    gy = rng.standard_normal((batch, 4 * groups, *window.out))
    b = rng.standard_normal(2 * groups) if with_bias else None
    narrow = [None if a is None else jax.numpy.asarray(a, "float32") for a in (x, gy, W, b)]
    for name, operands, expected in (
        ("weigh", narrow[:2], portable.weigh(x, gy, window, groups)),
        ("spread", narrow[1:], portable.spread(gy, W, b, window, groups)),
    ):
        function = executor_of(name, "float32", window).program.operations[0].function
        found = function(*operands, window, groups)
        assert found.shape == expected.shape
        assert found.dtype == "float32"
        np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-4, atol=1e-4)


def executor_of(name, dtype, window):
    """The executor for a program of one operation."""
    y = Value((2,), jax.numpy.dtype(dtype), "operation")
    function = getattr(portable, name)
    y.operation = Operation(name, function, (window, 1), outputs=[y], result=y)
    return JAXExecutor(Program([], [], [], [y.operation], [y], {}))


@pytest.mark.parametrize(
    ("dtype", "padding", "is_own"),
    [
        ("float32", (1, 1), True),
        ("float32", (0, 2), True),
        ("float32", (3, 0), False),
        ("float32", (0, 3), False),
        ("bfloat16", (1, 1), False),
    ],
)
def test_which_windows_have_own_functions(dtype, padding, is_own):
    """None in half precision, which is added up in float32; nor with places that meet only padding."""
    window = Window((5,), (3,), (1,), (padding,), (1,))
    (operation,) = executor_of("spread", dtype, window).program.operations
    assert (operation.function is jax_executor._spread) == is_own


def test_a_padding_wider_than_the_window():
    """XLA's own operation reads outside of its arrays here."""
    window = Window((2,), (2,), (1,), ((2, 0),), (1,))
    rng = np.random.default_rng(0)
    gy = rng.standard_normal((2, 4, 3))
    W = rng.standard_normal((4, 2, 2))
    (operation,) = executor_of("spread", "float32", window).program.operations
    found = operation.function(*(jax.numpy.asarray(a, "float32") for a in (gy, W)), None, window, 1)
    np.testing.assert_allclose(
        np.asarray(found), portable.spread(gy, W, None, window, 1), rtol=1e-5, atol=1e-5
    )
