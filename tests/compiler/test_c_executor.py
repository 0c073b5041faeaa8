"""Compiled steps on the C executor, against the same steps run eagerly."""

import threading

import numpy as np
import pytest

import xpnet
from tests.compiler.programs import SIZES, recorded_step, training_step
from xpnet import functions as F
from xpnet.compiler.c import build, load
from xpnet.compiler.c.blas import find_blas
from xpnet.compiler.c.lowering import lower, views_of
from xpnet.compiler.c.memory import ALIGNMENT
from xpnet.compiler.compiled import Compiled
from xpnet.compiler.executors import choose
from xpnet.compiler.executors.c import CExecutor
from xpnet.compiler.executors.numpy import NumPyExecutor
from xpnet.compiler.passes import cleaned
from xpnet.errors import CompileError

pytestmark = pytest.mark.skipif(
    build.find_compiler() is None and not load.BINARIES.exists(),
    reason="there is neither a C compiler (cc, gcc or clang) nor a compiled library",
)

OPTIMIZERS = {
    "sgd": lambda p: xpnet.SGD(p, lr=0.1),
    "momentum": lambda p: xpnet.Momentum(p, lr=0.02, weight_decay=0.01),
    "adam": lambda p: xpnet.Adam(p, lr=0.01),
}


@pytest.fixture(scope="module", autouse=True)
def library():
    """The library for this processor, from the cache or compiled now."""
    return load.wait()


def in_c(program):
    return CExecutor(cleaned(program, "c"))


def by_numpy(program):
    return NumPyExecutor(cleaned(program, "numpy"))


def relative(found, expected):
    """The largest difference, relative to the largest number."""
    return np.abs(found - expected).max(initial=0) / max(np.abs(expected).max(initial=0), 1e-3)


@pytest.mark.parametrize("products", ["own", "blas", ""])
@pytest.mark.parametrize("name", SIZES)
def test_models_are_trained_as_eagerly(name, products, monkeypatch):
    monkeypatch.setenv("XPNET_PRODUCTS", products)
    step, arguments = training_step(name)
    eager, _ = training_step(name)
    compiled = Compiled(step, executor=in_c)
    for _ in range(6):
        loss = compiled(*arguments)
        expected = eager(*arguments)
        assert abs(float(loss.data) - float(expected.data)) < 2e-5 * abs(float(expected.data))
    [replay] = compiled.replays
    assert replay.executor.calls() == []


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_parameters_and_moments_are_those_of_eager_steps(optimizer):
    program, arguments, states, hosts = recorded_step("lenet", OPTIMIZERS[optimizer])
    executor = in_c(program)
    reference = by_numpy(program)
    found = executor.bind([x.copy() for x in states])
    expected = reference.bind([x.copy() for x in states])
    for _ in range(3):
        executor.run(arguments, hosts)
        reference.run(arguments, hosts)
    for x, y in zip(found, expected, strict=True):
        assert relative(x, y) < 2e-5


def small_step(seed=0):
    """A step that takes rows of a data set by their numbers, and its model."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (50, 20)).astype(np.uint8)
    labels = rng.integers(0, 5, 50)
    model = xpnet.MLP(20, [16], 5, rng=seed)
    optimizer = xpnet.SGD(model.parameters(), lr=0.1)

    def step(rows):
        x = F.astype(F.take(images, rows, axis=0), np.float32) * (1 / 255)
        loss = F.softmax_cross_entropy(model(x), F.take(labels, rows, axis=0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step, model, optimizer


def batches(count, size=8, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.integers(-50, 50, size) for _ in range(count)]


def assert_equal_models(found, expected):
    for x, y in zip(found.parameters(), expected.parameters(), strict=True):
        np.testing.assert_allclose(x.data, y.data, rtol=1e-4, atol=1e-6)


def test_batches_are_gathered_in_c():
    step, model, _ = small_step()
    eager, reference, _ = small_step()
    compiled = Compiled(step, executor=in_c)
    for rows in batches(8):
        compiled(rows)
        eager(rows)
    [replay] = compiled.replays
    names = [getattr(x, "name", "a call") for x in replay.executor._steps]
    assert "gather_f32" in names
    assert "a call" not in names
    assert_equal_models(model, reference)


def test_many_steps_in_one_call_are_those_steps():
    step, model, _ = small_step()
    eager, reference, _ = small_step()
    compiled = Compiled(step, executor=in_c)
    rows = batches(20)
    losses = compiled.scan(np.stack(rows))
    expected = [float(eager(x).data) for x in rows]
    np.testing.assert_allclose(losses.data, expected, rtol=1e-5)
    assert_equal_models(model, reference)


def test_an_index_that_is_out_of_range_is_reported_with_its_step():
    X = np.ones((6, 2), np.float32)
    compiled = Compiled(lambda rows: F.sum(X[rows]), executor=in_c, rehearse=True)
    compiled(np.asarray([0, 1]))
    stacked = np.asarray([[0, 1], [2, 3], [4, 6]])
    with pytest.raises(xpnet.IndexingError, match="6 at position 1, in step 2 of 3, at .*py:"):
        compiled.scan(stacked)
    assert float(compiled(np.asarray([0, 1]))) == 4.0


def test_the_seed_of_a_gradient_is_a_constant():
    """`backward()` begins with full_like(loss, 1): no call of NumPy, which would divide the plan."""
    model = xpnet.MLP(5, [4], 3, rng=0)
    optimizer = xpnet.SGD(model.parameters(), lr=0.1)
    x = np.ones((6, 5), np.float32)

    def step(x):
        y = model(x)
        loss = F.mean(y * y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss, F.ones_like(y), F.full_like(x, 2.5)

    compiled = Compiled(step, executor=in_c, rehearse=True)
    compiled(x)
    [replay] = compiled.replays
    assert replay.executor.calls() == []
    _, ones, full = compiled(x)
    ones += 1.0  # results are the caller's
    full += 1.0
    _, ones, full = compiled(x)
    assert np.array_equal(xpnet.to_numpy(ones), np.ones((6, 3)))
    assert np.array_equal(full, np.full((6, 5), np.float32(2.5)))


@pytest.mark.parametrize("part", [np.s_[:], np.s_[1:], np.s_[::-1], np.s_[:, 1:]])
def test_an_argument_that_shares_memory_with_the_state(part):
    """The step reads the weights that it is given, also after it has changed them."""
    w = xpnet.Variable(np.ones((60, 60), np.float32))

    def step(x):
        w.data = w.data * 2.0
        return x + 1.0

    compiled = Compiled(step, executor=in_c, rehearse=True)
    for i in range(4):
        assert np.all(compiled(w.data[part]) == 2.0**i + 1.0)
    assert np.all(compiled.scan(w.data[part][None, ...]) == 2.0**4 + 1.0)
    assert np.all(w.data == 2.0**5)


def test_another_learning_rate_needs_no_other_plan():
    step, model, optimizer = small_step()
    eager, reference, other = small_step()
    compiled = Compiled(step, executor=in_c)
    for i, rows in enumerate(batches(10)):
        optimizer.lr = other.lr = 0.1 / (i + 1)
        compiled(rows)
        eager(rows)
    assert len(compiled.replays) == 1
    assert_equal_models(model, reference)


def test_the_short_last_batch_has_a_plan_of_its_own_on_the_same_parameters():
    step, model, _ = small_step()
    eager, reference, _ = small_step()
    compiled = Compiled(step, executor=in_c)
    for rows in batches(12):
        for part in (rows, rows[:3]):
            compiled(part)
            eager(part)
    assert len(compiled.replays) == 2
    assert_equal_models(model, reference)


@pytest.mark.parametrize("wrong", [50, -51, 2**40])
def test_an_index_out_of_range_is_an_error_and_changes_no_parameter(wrong):
    step, model, _ = small_step()
    compiled = Compiled(step, executor=in_c)
    for rows in batches(5):
        compiled(rows)
    before = [p.data.copy() for p in model.parameters()]
    rows = batches(1)[0]
    rows[3] = wrong
    with pytest.raises(IndexError, match=f"{wrong} at position 3, at .*test_c_executor.py"):
        compiled(rows)
    for p, x in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.data, x)


def test_parameters_that_were_replaced_are_taken_over():
    step, model, _ = small_step()
    eager, reference, _ = small_step()
    compiled = Compiled(step, executor=in_c)
    for i, rows in enumerate(batches(8)):
        if i == 5:
            for each in (model, reference):
                each.load_state_dict(xpnet.MLP(20, [16], 5, rng=9).state_dict())
        compiled(rows)
        eager(rows)
    assert_equal_models(model, reference)


def test_a_library_that_is_compiled_too_late_is_for_the_next_process(library, monkeypatch):
    """A training does not go over to C in its middle: it could not be repeated to the last bit."""
    compiled_now = threading.Event()
    search = load._Search()
    monkeypatch.setattr(load, "_search", search)
    monkeypatch.setattr(load, "SECONDS_TO_LOAD", 0.01)
    monkeypatch.setenv("XPNET_EXECUTOR", "")

    def compile_slowly():
        compiled_now.wait(timeout=60)
        search.library = library

    monkeypatch.setattr(search, "_search", compile_slowly)
    step, *_ = small_step()
    compiled = xpnet.compile(step)
    rows = batches(10)
    for x in rows[:5]:
        compiled(x)
    assert load.status() == "being compiled, for processes that start later"
    compiled_now.set()
    assert load.wait() is library
    for x in rows[5:]:
        compiled(x)
    compiled(rows[0][:3])  # another plan
    for _ in range(4):
        compiled(rows[0][:3])
    assert [type(x.executor) for x in compiled.replays] == [NumPyExecutor] * 2
    assert load.find() is None
    assert load.status() == "compiled after this process had begun with NumPy"


def test_a_caller_may_wait_for_the_compiler(library, monkeypatch):
    compiled_now = threading.Event()
    search = load._Search()
    monkeypatch.setattr(load, "_search", search)
    monkeypatch.setattr(load, "SECONDS_TO_LOAD", 0.01)
    monkeypatch.setenv("XPNET_EXECUTOR", "")

    def compile_slowly():
        compiled_now.wait(timeout=60)
        search.library = library

    monkeypatch.setattr(search, "_search", compile_slowly)
    assert load.find(waiting=compiled_now.set) is library
    assert load.find() is library


def test_an_executor_can_be_forced(monkeypatch):
    program, *_ = recorded_step("mlp")
    monkeypatch.setenv("XPNET_EXECUTOR", "numpy")
    assert isinstance(choose(program, "numpy"), NumPyExecutor)
    monkeypatch.setenv("XPNET_EXECUTOR", "c")
    assert isinstance(choose(program, "numpy"), CExecutor)


def test_c_by_force_without_a_library_is_an_error(monkeypatch):
    program, *_ = recorded_step("mlp")
    search = load._Search()
    monkeypatch.setattr(load, "_search", search)
    monkeypatch.setattr(load, "variants", list)
    monkeypatch.setenv("XPNET_EXECUTOR", "c")
    with pytest.raises(CompileError, match="There is no C library"):
        choose(program, "numpy")
    monkeypatch.setenv("XPNET_EXECUTOR", "")
    assert isinstance(choose(program, "numpy"), NumPyExecutor)
    assert load.status().startswith("none: There is no C library for")


def test_two_threads_compute_as_one():
    results = {}

    def train(seed):
        step, model, _ = small_step(seed)
        compiled = Compiled(step, executor=in_c)
        for rows in batches(200, seed=seed):
            compiled(rows)
        results[seed] = model

    threads = [threading.Thread(target=train, args=(seed,)) for seed in (3, 4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for seed in (3, 4):
        eager, reference, _ = small_step(seed)
        for rows in batches(200, seed=seed):
            eager(rows)
        assert_equal_models(results[seed], reference)


def test_runs_of_one_executor_take_turns():
    program, arguments, states, hosts = recorded_step("mlp")
    executor = in_c(program)
    program.updates.clear()
    frozen = in_c(program)
    frozen.bind([x.copy() for x in states])
    executor.bind([x.copy() for x in states])
    [expected] = frozen.run(arguments, hosts)
    found = []

    def run():
        found.extend(frozen.run(arguments, hosts)[0] for _ in range(50))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 150
    assert all(x == expected for x in found)


def test_float64_is_computed_in_float64():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((7, 5))
    x = rng.standard_normal((3, 7))

    def f(x):
        return F.sum(F.exp(-F.square(F.tanh(x @ weight))), axis=1)

    compiled = Compiled(f, executor=in_c)
    for _ in range(5):
        y = compiled(x)
    expected = np.exp(-(np.tanh(x @ weight) ** 2)).sum(axis=1)
    assert y.dtype == np.float64
    np.testing.assert_allclose(y, expected, rtol=1e-14)


@pytest.mark.parametrize("name", SIZES)
def test_the_arena_is_little_larger_than_what_is_needed_at_once(name, library):
    program, *_ = recorded_step(name, OPTIMIZERS["adam"])
    lowered = lower(cleaned(program, "c"), library, find_blas())
    pieces = {x.memory for step in lowered.steps for x in views_of(step)}
    pieces = {x for x in pieces if x.kind == "arena"}
    needed = [
        sum(-(-x.size // ALIGNMENT) * ALIGNMENT for x in pieces if x.first <= n <= x.last)
        for n in range(len(lowered.steps))
    ]
    assert max(needed) <= lowered.arena_bytes <= 1.2 * max(needed)
    for x in pieces:
        for y in pieces:
            if x is not y and x.first <= y.last and y.first <= x.last:
                apart = x.offset + x.size <= y.offset or y.offset + y.size <= x.offset
                assert apart or 0 in (x.size, y.size)


def test_a_call_after_many_steps_reads_its_own_arguments():
    X = np.arange(12.0, dtype=np.float32).reshape(6, 2)
    total = xpnet.Variable(np.zeros(2, np.float32))

    def step(rows):
        total.data += F.sum(X[rows], axis=0)
        return F.sum(X[rows])

    compiled = Compiled(step, executor=in_c)
    one = np.asarray([1, 2])
    for _ in range(4):
        assert float(compiled(one)) == 14.0
    stacked = np.asarray([[0, 1], [4, 5], [5, 5]])
    assert np.array_equal(compiled.scan(stacked), [6.0, 38.0, 42.0])
    assert float(compiled(one)) == 14.0
