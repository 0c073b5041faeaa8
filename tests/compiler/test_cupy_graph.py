"""A step as one CUDA graph: what it is given anew, what it may not depend on, and why it is not captured."""

import contextvars
import gc
import itertools
import threading

import numpy as np
import pytest

import xpnet
from tests.compiler.replayed import (
    MODELS,
    assert_agrees,
    batches,
    executed_by,
    model_of,
    optimizers,
    stepping,
    trained,
)
from tests.host_cuda.device import counting, emulated, shuffled
from xpnet import functions as F, models
from xpnet.backend import to_numpy
from xpnet.compiler import each_step
from xpnet.compiler.compiled import Compiled
from xpnet.compiler.executors.cuda import graph
from xpnet.compiler.executors.cuda.copies import MOST, copy_all
from xpnet.compiler.executors.cupy import FIRST, LATER, CuPyExecutor
from xpnet.kernels.lookup import kernel
from xpnet.kernels.products import Products, product

CLOSE = 1e-5
RECORDED = 3  # calls of a step before the first replay


def momentum(parameters):
    return xpnet.Momentum(parameters, lr=0.05)


def compiled(step):
    return Compiled(step, executor=executed_by(CuPyExecutor))


def executor_of(step):
    """The executor of a step that has one plan."""
    (replay,) = step.replays
    return replay.executor


def is_captured(step):
    return executor_of(step)._graph is not None


def captured_training(backend, optimizer=momentum, name="mlp", steps=20):
    """A training step that is a graph by now, its model, its optimizer, and batches for more calls."""
    model, shape = model_of(name)
    moved = optimizer(model.parameters())
    step = compiled(stepping(model, moved))
    pairs = batches(backend, shape, steps)
    for _ in range(RECORDED + FIRST):
        step(*next(pairs))
    assert is_captured(step)
    return step, model, moved, pairs


def numbers_of(model):
    return [to_numpy(p.data).copy() for p in model.parameters()]


# --- what it computes --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_the_models_are_captured(cupy_backend, name):
    """That their results are right, `test_cupy_executor.py` tests."""
    made = []

    def wrap(step):
        made.append(compiled(step))
        return made[0]

    trained(cupy_backend, name, momentum, wrap)
    assert is_captured(made[0]), executor_of(made[0]).describe()


@pytest.mark.parametrize("name", ["adam", "sgd", "momentum"])
def test_a_learning_rate_that_changes_after_the_capture(cupy_backend, name):
    def halfway(optimizer):
        optimizer.lr = 0.25

    assert_agrees(cupy_backend, CuPyExecutor, "mlp", optimizers()[name], CLOSE, halfway=halfway)


def test_a_schedule_changes_each_step(cupy_backend):
    """A kernel with a learning rate by value would use that of the capture ever after."""
    found = []
    for wrap in (lambda step: step, compiled):
        weight = xpnet.Parameter(cupy_backend.asarray(np.zeros(4), "float32"))
        optimizer = xpnet.SGD([weight], lr=1.0)

        def step(x, weight=weight, optimizer=optimizer):
            optimizer.zero_grad()
            F.sum(weight * x).backward()
            optimizer.step()

        step = wrap(step)
        ones = cupy_backend.asarray(np.ones(4), "float32")
        values = []
        for k in range(12):
            optimizer.lr = 0.5**k
            step(ones)
            values.append(to_numpy(weight.data)[0])
        found.append(values)
    assert is_captured(step)
    np.testing.assert_array_equal(*found)


def counter():
    """A function that returns 1.0, 2.0 and so on."""
    numbers = itertools.count(1)
    return lambda: float(next(numbers))


def test_a_factor_of_the_loss_that_changes(cupy_backend):
    """It is an argument of the kernel of the head: a number in the device's memory."""
    found = []
    for wrap in (lambda step: step, compiled):
        model, shape = model_of("mlp")
        optimizer = xpnet.SGD(model.parameters(), lr=0.01)
        count = counter()

        def step(x, t, model=model, optimizer=optimizer, count=count):
            loss = F.softmax_cross_entropy(model(x), t)
            optimizer.zero_grad()
            (each_step(count) * loss).backward()
            optimizer.step()
            return loss

        step = wrap(step)
        losses = [float(step(x, t)) for x, t in batches(cupy_backend, shape)]
        found.append([losses, *numbers_of(model)])
    assert is_captured(step)
    for eager, replayed in zip(*found, strict=True):
        np.testing.assert_allclose(replayed, eager, rtol=CLOSE, atol=CLOSE)


def test_a_number_within_a_chain_that_changes(cupy_backend):
    count = counter()
    step = compiled(lambda x: F.exp(x * each_step(count)) - 1.0)
    x = cupy_backend.asarray(np.array([0.0, 0.125]))
    for k in range(1, 11):
        np.testing.assert_allclose(to_numpy(step(x)), np.expm1([0.0, k / 8]), rtol=CLOSE)
    assert is_captured(step)


def test_a_number_beside_sums_of_columns_that_changes(cupy_backend):
    """The kernel `Columns` reads it from the device's memory."""
    count = counter()

    def step(g, y):
        g = F.where(y > 0.0, g * each_step(count), 0.0 * g)
        return g * 1.0, kernel("column_sums", g)(g)

    step = compiled(step)
    rng = np.random.default_rng(0)
    g, y = (rng.standard_normal((6, 5)).astype("float32") for _ in range(2))
    for k in range(1, 11):
        gradient, sums = step(cupy_backend.asarray(g), cupy_backend.asarray(y))
        np.testing.assert_allclose(to_numpy(gradient), np.where(y > 0, g * k, 0), rtol=CLOSE)
        np.testing.assert_allclose(to_numpy(sums), np.where(y > 0, g * k, 0).sum(0), rtol=1e-4)
    names = [x.name for x in executor_of(step).program.operations]
    assert "columns" in names
    assert is_captured(step)


def test_results_are_not_changed_by_later_launches(cupy_backend):
    step, _, _, pairs = captured_training(cupy_backend)
    losses = [step(*pair) for pair in pairs]
    numbers = [float(x) for x in losses]
    assert len(set(numbers)) == len(numbers)
    assert len({x.data.data.ptr for x in losses}) == len(losses)


def test_an_argument_that_is_strided(cupy_backend):
    step = compiled(lambda x: F.exp(x) * 2.0)
    x = cupy_backend.asarray(np.arange(12.0).reshape(3, 4) / 12)
    for _ in range(RECORDED + FIRST):
        step(x)
    assert is_captured(step)
    wide = cupy_backend.asarray(np.arange(24.0).reshape(3, 8) / 24)
    found = step(wide[:, ::2])
    np.testing.assert_allclose(to_numpy(found), 2 * np.exp(to_numpy(wide)[:, ::2]), rtol=CLOSE)


def test_a_state_that_is_replaced_in_each_step_is_read_anew(cupy_backend):
    """A running mean: its new value is another array, and someone may hold the old one."""
    state = {"mean": cupy_backend.asarray(np.zeros(3))}

    def step(x):
        state["mean"] = state["mean"] * 0.5 + x
        return state["mean"] * 1.0

    step = compiled(step)
    ones = cupy_backend.asarray(np.ones(3))
    expected = 0.0
    held = []
    for _ in range(12):
        found = step(ones)
        expected = 0.5 * expected + 1.0
        np.testing.assert_allclose(to_numpy(found), np.full(3, expected))
        held.append((state["mean"], expected))
    assert is_captured(step)
    for array, value in held:
        np.testing.assert_allclose(to_numpy(array), np.full(3, value))


# --- what may not break it ---------------------------------------------------------------------------


def test_a_parameter_that_is_replaced(cupy_backend):
    """The graph writes to the old array, so it is dropped, and made again after more calls."""
    found = []
    replaced = RECORDED + FIRST + 1  # the number of a call
    for wrap in (lambda step: step, compiled):
        model, shape = model_of("mlp")
        step = wrap(stepping(model, momentum(model.parameters())))
        pairs = list(batches(cupy_backend, shape, RECORDED + FIRST + FIRST * LATER + 4))
        captures = {}
        old = None
        for k, pair in enumerate(pairs):
            if k == replaced:
                weight = next(iter(model.parameters()))
                old = weight.data
                before = to_numpy(old).copy()
                weight.data = weight.data * 0.5
            step(*pair)
            if wrap is compiled and step.replays:
                captures[k] = is_captured(step)
        np.testing.assert_array_equal(to_numpy(old), before)
        found.append(numbers_of(model))
    again = replaced + FIRST * LATER - 1
    assert [k for k in range(replaced - 1, len(pairs)) if captures[k]] == [
        replaced - 1,
        *range(again, len(pairs)),
    ]
    for eager, replayed in zip(*found, strict=True):
        np.testing.assert_allclose(replayed, eager, rtol=CLOSE, atol=CLOSE)


def test_memory_that_others_free_and_use(cupy_backend):
    """A graph whose buffers came from the default pool would read and write other arrays."""
    import cupy

    step, model, _, pairs = captured_training(cupy_backend)
    other, other_model, _, _ = captured_training(cupy_backend)
    del other
    gc.collect()
    cupy.get_default_memory_pool().free_all_blocks()
    crowd = [cupy.full(1000, float(k)) for k in range(200)]
    losses = [float(step(*pair)) for pair in pairs]
    assert all((to_numpy(x) == k).all() for k, x in enumerate(crowd))
    again, expected, _, more = captured_training(cupy_backend)
    np.testing.assert_allclose(losses, [float(again(*pair)) for pair in more], rtol=CLOSE)
    for one, two in zip(numbers_of(model), numbers_of(expected), strict=True):
        np.testing.assert_array_equal(one, two)
    assert other_model is not model


def test_memory_is_given_back(cupy_backend):
    """All of it, once nobody can launch the graph any more."""
    import cupy

    def used():
        gc.collect()
        cupy.get_default_memory_pool().free_all_blocks()
        available, total = cupy.cuda.runtime.memGetInfo()
        return total - available

    step, model, optimizer, pairs = captured_training(cupy_backend)
    del step, model, optimizer, pairs
    before = used()
    for _ in range(3):
        step, model, optimizer, pairs = captured_training(cupy_backend)
        del step, model, optimizer, pairs
    assert used() == before


@pytest.mark.parametrize("name", ["mlp", "normalized"])
def test_another_shape_is_another_graph(cupy_backend, name):
    """The short last batch of an epoch: both graphs change the same parameters and running means."""
    found = []
    for wrap in (lambda step: step, compiled):
        model, shape = model_of(name)
        step = wrap(stepping(model, momentum(model.parameters())))
        long = batches(cupy_backend, shape, 12)
        short = batches(cupy_backend, shape, 12, size=4)
        losses = []
        for pair, other in zip(long, short, strict=True):
            losses += [float(step(*pair)), float(step(*other))]
        found.append([losses, *numbers_of(model)])
    assert len(step.replays) == 2
    assert all(replay.executor._graph is not None for replay in step.replays)
    for eager, replayed in zip(*found, strict=True):
        np.testing.assert_allclose(replayed, eager, rtol=CLOSE, atol=CLOSE)


def test_two_threads_that_call_one_step(cupy_backend):
    step, model, _, pairs = captured_training(cupy_backend)
    other, expected, _, more = captured_training(cupy_backend)
    for pair in more:
        other(*pair)
    for pair in pairs:
        # The blocks around the call belong to the key of a plan.
        thread = threading.Thread(target=contextvars.copy_context().run, args=(step, *pair))
        thread.start()
        thread.join()
    assert is_captured(step)
    for one, two in zip(numbers_of(model), numbers_of(expected), strict=True):
        np.testing.assert_array_equal(one, two)


def test_threads_that_capture_while_others_allocate(cupy_backend):
    """A capture concerns its own thread: nothing of another one fails, or gets into the graph."""
    import cupy

    _, expected, _, _ = captured_training(cupy_backend)
    expected = numbers_of(expected)
    found = []
    errors = []

    def train():
        try:
            with xpnet.using("cupy"):
                _, model, _, _ = captured_training(cupy_backend)
                found.append(numbers_of(model))
        except BaseException as error:
            errors.append(error)
            raise

    def allocate(stop):
        while not stop.is_set():
            x = cupy.cuda.runtime.malloc(1 << 16)
            cupy.cuda.runtime.free(x)
            cupy.zeros(100).sum().get()

    stop = threading.Event()
    busy = threading.Thread(target=allocate, args=(stop,))
    busy.start()
    threads = [threading.Thread(target=train) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    busy.join()
    assert not errors
    assert len(found) == 2
    for arrays in found:
        for one, two in zip(arrays, expected, strict=True):
            np.testing.assert_allclose(one, two, rtol=CLOSE, atol=CLOSE)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_indices_are_checked_by_each_launch(cupy_backend, elsewhere):
    """In the thread that calls the step, although the graph writes to the note of another one."""
    table = xpnet.Parameter(cupy_backend.asarray(np.arange(12.0).reshape(4, 3)))
    step = compiled(lambda i: F.take(table, i, axis=0) * 2.0)
    good = cupy_backend.asarray(np.asarray([3, 0]))
    for _ in range(RECORDED + FIRST):
        step(good)
    found = []

    def call():
        for k in (5, 1, -7):
            result = step(cupy_backend.asarray(np.asarray([3, k])))
            try:
                found.append(to_numpy(result)[1, 0])
            except IndexError as error:
                found.append(str(error))

    if elsewhere:
        thread = threading.Thread(target=contextvars.copy_context().run, args=(call,))
        thread.start()
        thread.join()
    else:
        call()
    assert is_captured(step)
    assert "got 5" in found[0]
    assert found[1] == 6.0
    assert "got -7" in found[2]


@pytest.mark.parametrize("seed", range(4))
def test_calls_on_several_streams(cupy_backend, seed):
    """Work that runs late: a call waits for the one before it, since both use the graph's memory."""
    import cupy

    if not emulated():
        pytest.skip("only the emulated device delays work at random")
    step = compiled(lambda x: F.exp(x) * F.tanh(x) - F.sum(x))
    xs = [cupy_backend.asarray(np.full(50, k / 10)) for k in range(12)]
    for x in xs[: RECORDED + FIRST]:
        step(x)
    assert is_captured(step)
    expected = [np.exp(k / 10) * np.tanh(k / 10) - 5 * k for k in range(12)]
    cupy.cuda.Device().synchronize()
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(3)]
    with shuffled(seed):
        found = []
        for k, x in enumerate(xs):
            with streams[k % 3]:
                found.append(step(x))
        cupy.cuda.Device().synchronize()
        for x, value in zip(found, expected, strict=True):
            np.testing.assert_allclose(to_numpy(x), np.full(50, value), rtol=1e-4)


# --- what is not captured ----------------------------------------------------------------------------


def without_a_graph(step, *words):
    """The step runs without a graph, and the plan says so with these words."""
    executor = executor_of(step)
    assert executor._graph is None
    for text in (str(step), step.explain()):
        assert "launched one by one" in " ".join(text.split())
        for word in words:
            assert word in " ".join(text.split())


def failing(step, function):
    """From now on a graph of the step calls a function with the result of its first chain.

    What runs without a graph is written already.
    """
    executor = executor_of(step)
    operations = executor.program.operations
    chain = next(i for i, x in enumerate(operations) if x.name == "chain")
    run = operations[chain].function
    operations[chain].function = lambda *args: function(run(*args))


def test_a_step_that_waits_for_the_device_is_not_captured(cupy_backend):
    step = compiled(lambda x: F.exp(x) * 2.0)
    x = cupy_backend.asarray(np.ones(4))
    for _ in range(RECORDED + 1):
        step(x)

    def wait(y):
        y.get()
        return y

    failing(step, wait)
    for _ in range(3):
        np.testing.assert_allclose(to_numpy(step(x)), np.full(4, 2 * np.e), rtol=CLOSE)
    without_a_graph(step, "capturing")


def test_an_error_in_the_midst_of_a_capture(cupy_backend):
    """The step is made once, on the arrays as they were; nothing is left captured."""
    import cupy

    found = []
    calls = []

    def fail(y):
        calls.append(cupy.cuda.get_current_stream().is_capturing())
        if calls[-1]:
            raise ZeroDivisionError("in the midst")
        return y

    for wrap in (lambda step: step, compiled):
        model, shape = model_of("mlp")
        step = wrap(stepping(model, momentum(model.parameters())))
        for k, pair in enumerate(batches(cupy_backend, shape)):
            if wrap is compiled and k == RECORDED + 1:
                failing(step, fail)
            step(*pair)
        found.append(numbers_of(model))
    assert calls == [False, True], "once in the rehearsal, once in the capture"
    without_a_graph(step, "ZeroDivisionError: in the midst")
    for eager, replayed in zip(*found, strict=True):
        np.testing.assert_allclose(replayed, eager, rtol=CLOSE, atol=CLOSE)
    cupy.cuda.Device().synchronize()
    assert not cupy.cuda.get_current_stream().is_capturing()


def test_an_interrupt_in_the_midst_of_a_capture(cupy_backend):
    import cupy

    step = compiled(lambda x: F.exp(x) * 2.0)
    x = cupy_backend.asarray(np.ones(4))
    for _ in range(RECORDED + 1):
        step(x)
    interrupts = [KeyboardInterrupt]

    def interrupt(y):
        if cupy.cuda.get_current_stream().is_capturing() and interrupts:
            raise interrupts.pop()
        return y

    failing(step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        step(x)
    for _ in range(3):
        np.testing.assert_allclose(to_numpy(step(x)), np.full(4, 2 * np.e), rtol=CLOSE)
    assert is_captured(step)


def test_default_streams_of_threads_are_not_captured(cupy_backend):
    """Two of them have one handle: it would not be seen that a call has to wait for another thread's."""
    import cupy

    step = compiled(lambda x: F.exp(x) * 2.0)
    x = cupy_backend.asarray(np.ones(4))
    with cupy.cuda.Stream.ptds:
        for _ in range(RECORDED + FIRST):
            step(x)
    without_a_graph(step, "each thread has a default stream of its own")


def test_a_caller_that_makes_a_graph_of_its_own(cupy_backend):
    """A step is a part of it, captured or not."""
    import cupy

    x = cupy_backend.asarray(np.ones(4))
    for replays in (FIRST - 1, FIRST):
        step = compiled(lambda x: F.exp(x) * 2.0)
        for _ in range(RECORDED + replays):
            step(x)
        assert is_captured(step) == (replays == FIRST)
        x.fill(1.0)
        stream = cupy.cuda.Stream(non_blocking=True)
        cupy.cuda.Device().synchronize()
        with stream:
            if replays == FIRST:  # a call on another stream waits for the last one
                step(x)
            stream.begin_capture()
            found = step(x)
            whole = stream.end_capture()
        assert is_captured(step) == (replays == FIRST)
        cupy.cuda.Device().synchronize()
        for value in (2.0, 3.0):
            x.fill(value)
            whole.launch()
            np.testing.assert_allclose(to_numpy(found), np.full(4, 2 * np.exp(value)), rtol=CLOSE)


def test_memory_that_runs_out_during_a_capture(cupy_backend, monkeypatch):
    """The step needs less memory without a graph, and nothing of it has run."""

    def new(self, size):
        raise MemoryError("no memory is left")

    step, _, _, _ = captured_training(cupy_backend)
    assert is_captured(step)
    monkeypatch.setattr(graph._Memory, "_new", new)
    found = []
    for wrap in (lambda step: step, compiled):
        model, shape = model_of("mlp")
        step = wrap(stepping(model, momentum(model.parameters())))
        for pair in batches(cupy_backend, shape):
            step(*pair)
        found.append(numbers_of(model))
    without_a_graph(step, "MemoryError: no memory is left")
    for eager, replayed in zip(*found, strict=True):
        np.testing.assert_allclose(replayed, eager, rtol=CLOSE, atol=CLOSE)


def test_a_graph_is_given_what_the_default_pool_does_not_use(cupy_backend, monkeypatch):
    import cupy

    pool = cupy.get_default_memory_pool()
    real = cupy.cuda.Memory
    sizes = []

    def memory(size):
        sizes.append(size)
        if len(sizes) == 1:
            raise cupy.cuda.runtime.CUDARuntimeError(2)  # out of memory
        return real(size)

    unused = cupy.zeros(1 << 20)
    del unused
    assert pool.free_bytes() >= 1 << 23
    monkeypatch.setattr(cupy.cuda, "Memory", memory)
    captured_training(cupy_backend)
    assert sizes[0] == sizes[1]
    assert pool.free_bytes() < 1 << 23


def test_a_number_that_cupy_is_given_by_value_is_not_captured(cupy_backend):
    """Complex numbers have no kernel of ours."""
    count = counter()
    step = compiled(lambda x: x * each_step(count))
    x = cupy_backend.asarray(np.full(2, 1j))
    for k in range(1, 11):
        np.testing.assert_allclose(to_numpy(step(x)), np.full(2, 1j * k))
    without_a_graph(step, "a number that may change by value")


def test_graphs_can_be_switched_off(cupy_backend, monkeypatch):
    monkeypatch.setenv("XPNET_CUDA_GRAPHS", "0")
    model, shape = model_of("mlp")
    step = compiled(stepping(model, momentum(model.parameters())))
    for pair in batches(cupy_backend, shape):
        step(*pair)
    without_a_graph(step, "XPNET_CUDA_GRAPHS=0 is set")


def test_the_plan_says_when_a_graph_is_made(cupy_backend):
    step = compiled(lambda x: F.exp(x) * 2.0)
    x = cupy_backend.asarray(np.ones(4))
    for _ in range(RECORDED + 1):
        step(x)
    assert f"captured by the replay number {FIRST}" in " ".join(str(step).split())
    step(x)
    assert "launches one CUDA graph" in " ".join(str(step).split())
    assert "launches one CUDA graph" in " ".join(step.explain().split())


# --- launches ----------------------------------------------------------------------------------------


@pytest.fixture
def counted(cupy_backend):
    """A function that returns the counts of a step that is a graph."""
    if not emulated():
        pytest.skip("launches can be counted only on the emulated CUDA device")

    def count(model, shape, optimizer, size):
        step = compiled(stepping(model, optimizer(model.parameters())))
        pairs = list(batches(cupy_backend, shape, RECORDED + FIRST + 1, size))
        for pair in pairs[:-1]:
            step(*pair)
        with counting(names=True) as counts:
            step(*pairs[-1])
        return counts

    return count


@pytest.mark.parametrize(
    ("model", "shape", "size", "optimizer"),
    [
        (lambda: xpnet.MLP(784, 80, 10, rng=0), (784,), 200, lambda p: xpnet.SGD(p, lr=0.1)),
        (lambda: xpnet.MLP(784, [1024, 1024], 10, rng=0), (784,), 8, xpnet.Adam),
        (lambda: models.lenet((1, 28, 28), 10, dropout=0.0), (1, 28, 28), 4, xpnet.Adam),
    ],
    ids=["one hidden layer", "two hidden layers", "lenet"],
)
def test_a_step_is_three_launches(counted, model, shape, size, optimizer):
    """The copies of a batch and of the numbers, the graph, and the copy of the loss."""
    counts = counted(model(), shape, optimizer, size)
    assert (counts.total, counts.graphs, counts.launches) == (3, 1, 2), counts.names
    assert counts.to_device == counts.to_host == counts.synchronizes == counts.allocations == 0
    assert counts.records == counts.waits == counts.compilations == counts.frees == 0


def test_masks_of_the_host_are_transferred_before_the_launch(counted):
    model = models.lenet((1, 28, 28), 10, dropout=0.5)
    counts = counted(model, (1, 28, 28), xpnet.Adam, 4)
    assert (counts.total, counts.graphs) == (3, 1), counts.names
    assert (counts.to_host, counts.synchronizes) == (0, 0)
    assert counts.to_device > 0


# --- copies and products -----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, MOST, MOST + 7])
@pytest.mark.parametrize("numbers", [0, 3, 1200])
def test_copies_of_all_sizes(cupy_backend, count, numbers):
    """Aligned and not, empty, and larger than what one block copies."""
    import cupy

    rng = np.random.default_rng(0)
    sizes = rng.integers(0, 50, count) * rng.choice([1, 16, 1000], count)
    sources = [cupy.asarray(rng.integers(0, 255, n + 3, dtype=np.uint8)) for n in sizes]
    starts = rng.integers(0, 4, count)
    sources = [x[k:] for x, k in zip(sources, starts, strict=True)]
    targets = [cupy.zeros(x.size, dtype="uint8") for x in sources]
    place = cupy.zeros(numbers + 1)
    values = rng.standard_normal(numbers).tolist()
    copy_all([*zip(sources, targets, strict=True)], values, place.data.ptr)
    for x, y in zip(sources, targets, strict=True):
        np.testing.assert_array_equal(y.get(), x.get())
    assert place.get().tolist() == [*values, 0.0]


SHAPES = [
    ((3, 4), (4, 5)),
    ((1, 4), (4, 5)),
    ((3, 1), (1, 5)),
    ((3, 4), (4, 1)),
    ((2, 3, 4), (2, 4, 5)),
    ((2, 3, 4), (1, 4, 5)),
    ((1, 3, 4), (2, 4, 5)),
    ((2, 3, 2, 4), (2, 3, 4, 2)),
]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("layout", ["rows", "columns", "strided"])
def test_a_product_has_the_bits_of_cupy(cupy_backend, shapes, dtype, layout):
    import cupy

    rng = np.random.default_rng(0)
    operands = []
    for shape in shapes:
        x = cupy.asarray(rng.standard_normal((*shape[:-1], 2 * shape[-1])), dtype)
        if layout == "columns":
            operands.append(cupy.ascontiguousarray(x[..., ::2].swapaxes(-1, -2)).swapaxes(-1, -2))
        else:
            operands.append(
                x[..., ::2] if layout == "strided" else cupy.ascontiguousarray(x[..., ::2])
            )
    expected = product(*operands)
    with Products(cupy.cuda.get_current_stream()) as products:
        assert products.takes(*operands)
        found = product(*operands)
    np.testing.assert_array_equal(found.get(), expected.get())


def test_products_that_are_left_to_cupy(cupy_backend):
    import cupy

    cases = [
        ((1, 4), (4, 1), "float32"),
        ((0, 4), (4, 5), "float32"),
        ((3, 4), (2, 4, 5), "float32"),
        ((2, 2, 3, 4), (1, 2, 4, 5), "float32"),
        ((3, 4), (4, 5), "complex64"),
        ((3, 4), (4, 5), "int32"),
    ]
    with Products(cupy.cuda.get_current_stream()) as products:
        for shape, other, dtype in cases:
            a = cupy.ones(shape, dtype)
            b = cupy.ones(other, dtype)
            assert not products.takes(a, b), (shape, other, dtype)
            expected = np.matmul(np.ones(shape), np.ones(other))
            np.testing.assert_array_equal(cupy.matmul(a, b).get(), expected)


# --- two devices -------------------------------------------------------------------------------------


def test_a_graph_on_a_device_that_is_not_the_current_one(cupy_backend):
    import cupy

    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("there is one device: HOST_CUDA_DEVICES=2 emulates two")
    found = []
    for wrap in (lambda step: step, compiled):
        with xpnet.using("cupy:1") as backend:
            model, shape = model_of("mlp")
            pairs = list(batches(backend, shape, 10))
        step = wrap(stepping(model, momentum(model.parameters())))
        with xpnet.using("cupy:1"):
            losses = [step(*pair) for pair in pairs[:RECORDED]]
            with cupy.cuda.Device(0):
                losses += [step(*pair) for pair in pairs[RECORDED:]]
        assert {x.data.device.id for x in losses} == {1}
        found.append([[float(x) for x in losses], *numbers_of(model)])
    assert is_captured(step)
    assert executor_of(step)._graph._device == 1
    for eager, replayed in zip(*found, strict=True):
        np.testing.assert_allclose(replayed, eager, rtol=CLOSE, atol=CLOSE)
