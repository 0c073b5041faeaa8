"""Compiled steps on the C executor, against the same steps run eagerly."""

import gc
import threading
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

import xpnet
from tests.compiler.programs import SIZES, recorded_step, training_step
from xpnet import functions as F
from xpnet.autodiff.namespace import array_namespace
from xpnet.compiler import each_step
from xpnet.compiler.c import build, load
from xpnet.compiler.c.blas import find_blas
from xpnet.compiler.c.lowering import lower, views_of
from xpnet.compiler.c.memory import ALIGNMENT, aligned_empty
from xpnet.compiler.compiled import Compiled
from xpnet.compiler.executors import choose
from xpnet.compiler.executors.c import CExecutor
from xpnet.compiler.executors.numpy import NumPyExecutor
from xpnet.compiler.passes import cleaned
from xpnet.errors import CompileError

pytestmark = pytest.mark.skipif(
    not build.find_compilers() and not load.BINARIES.exists(),
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


def calls_of(compiled):
    return [x.name for replay in compiled.replays for x in replay.executor.calls()]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (5, 6), (2, 3, 4)])
def test_the_norm_of_an_array(shape, dtype):
    x = np.random.default_rng(0).standard_normal((*shape, 2)).astype(dtype)[..., 0]
    compiled = Compiled(lambda x: F.linalg.vector_norm(x * 3.0), executor=in_c, rehearse=True)
    expected = np.sqrt(np.sum((3.0 * x.astype(np.float64)) ** 2))
    np.testing.assert_allclose(compiled(x), expected, rtol=4 * np.finfo(dtype).eps)
    assert compiled(x).dtype == dtype
    assert calls_of(compiled) == []
    for special in (np.inf, np.nan):
        y = np.full(shape, special, dtype)
        np.testing.assert_array_equal(compiled(y), special)


def assert_learns_in_c(learner, *batch):
    """A step is all in C, and leaves the weights that it leaves eagerly; learner() returns (step, model)."""
    step, model = learner()
    eager, reference = learner()
    compiled = Compiled(step, executor=in_c, rehearse=True)
    for _ in range(4):
        compiled(*batch)
        eager(*batch)
    assert calls_of(compiled) == []
    assert_equal_models(model, reference)


def test_a_step_with_gelu_and_clipped_gradients_is_all_in_c():
    """GELU and its gradient are one chain of some 80 steps."""

    def learner():
        model = xpnet.Sequential(xpnet.Affine(6, 8, rng=0), xpnet.GELU(), xpnet.Affine(8, 3, rng=1))
        optimizer = xpnet.SGD(model.parameters(), lr=0.1)

        def step(x):
            y = model(x)
            loss = F.mean(y * y)
            optimizer.zero_grad()
            loss.backward()
            xpnet.optimizers.clip_grad_norm(model.parameters(), 0.5)
            optimizer.step()
            return loss

        return step, model

    assert_learns_in_c(learner, drawn(9, 6))


def test_a_batch_of_one_is_all_in_c():
    """The gradient of a weight is then a column times a row, for which NumPy has a function of its own."""

    def learner():
        model = xpnet.MLP(6, 5, 3, rng=0)
        optimizer = xpnet.SGD(model.parameters(), lr=0.1)

        def step(x, t):
            loss = F.softmax_cross_entropy(model(x), t)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return step, model

    assert_learns_in_c(learner, drawn(1, 6), np.array([2]))


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
    assert load.status().startswith("none, so NumPy computes: There is no C library for")


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


def compiled_in_c(function):
    """A function whose calls are all made by the C library."""
    return Compiled(function, executor=in_c, rehearse=True)


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# Products that a convolution reads, and so are computed with the batch innermost.
READ_BY_A_CONVOLUTION = {
    "a chain between": (lambda x, W: (x @ W) * 2 + 1, (3, 2, 4), (4, 5)),
    "rows of two axes": (lambda x, W: x @ W, (3, 2, 4), (4, 5)),
    "rows of one axis": (lambda x, W: x @ W, (3, 1, 4), (4, 5)),
    "rows of one axis, and relu": (lambda x, W: F.relu(x @ W), (3, 1, 4), (4, 5)),
    "rows of two axes, and relu": (lambda x, W: F.relu(x @ W), (3, 2, 4), (4, 5)),
    "a matrix": (lambda x, W: F.reshape(x @ W, (3, 1, 5)), (3, 4), (4, 5)),
    "matrices": (lambda x, W: x @ W, (3, 2, 4), (3, 4, 5)),
    "a vector": (lambda x, v: F.reshape(x @ v, (3, 1, 6)), (3, 6, 4), (4,)),
}


@pytest.mark.parametrize("name", READ_BY_A_CONVOLUTION)
def test_a_product_that_a_convolution_reads(name):
    function, *shapes = READ_BY_A_CONVOLUTION[name]
    a, b = (drawn(*shape, seed=n) for n, shape in enumerate(shapes))
    channels = function(a, b).shape[1]
    kernel = drawn(3, channels, 2, seed=2)

    def step(a, b):
        return F.conv(function(a, b), kernel)

    np.testing.assert_allclose(compiled_in_c(step)(a, b), step(a, b), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(4, 3), (1, 3), (4, 200), (2, 4, 3)])
def test_the_loss_of_scores_that_are_the_same_in_all_rows(shape):
    bias = drawn(shape[-1])
    numbers = np.random.default_rng(0).integers(0, shape[-1], shape[:-1])

    def step(b):
        b = xpnet.Variable(b)
        loss = F.softmax_cross_entropy(F.broadcast_to(b, shape), numbers)
        loss.backward()
        return loss, b.grad

    found = compiled_in_c(step)(bias)
    for x, y in zip(found, step(bias), strict=True):
        np.testing.assert_allclose(xpnet.to_numpy(x), xpnet.to_numpy(y), rtol=1e-5, atol=1e-6)


def turned(x):
    return F.permute_dims(x, tuple(range(x.ndim - 1, -1, -1)))


@pytest.mark.parametrize("axes", [8, 9, 16])
def test_axes_that_cannot_be_merged_are_reversed(axes):
    x = np.arange(2.0**axes, dtype=np.float32).reshape((2,) * axes)
    compiled = compiled_in_c(turned)
    np.testing.assert_array_equal(compiled(x), x.T)
    assert calls_of(compiled) == []
    joined = compiled_in_c(lambda x: F.concat([x, turned(x)]))
    np.testing.assert_array_equal(joined(x), np.concatenate([x, x.T]))
    assert calls_of(joined) == []


@pytest.mark.parametrize("dtype", [">i8", "<i8", ">i4", "<i4"])
def test_indices_of_any_byte_order(dtype):
    table = drawn(9, 3)
    rows = np.asarray([0, 8, 3, -1], dtype)
    bytes_of = np.arange(27, dtype=np.uint8).reshape(9, 3)

    def step(rows):
        scores = F.take(table, rows, axis=0)
        loss = F.softmax_cross_entropy(scores, F.abs(rows) // 3)
        return scores, F.astype(bytes_of[rows], np.float32) / 255, loss

    for x, y in zip(compiled_in_c(step)(rows), step(rows), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5)


@pytest.mark.parametrize("products", ["own", "blas"])
def test_a_gradient_that_is_nan_reaches_the_weights_also_where_the_rate_is_0(products, monkeypatch):
    monkeypatch.setenv("XPNET_PRODUCTS", products)
    layer = xpnet.Affine(64, 48, rng=0)
    optimizer = xpnet.SGD(layer.parameters(), lr=0.1)
    optimizer.lr = 0.0  # as at the beginning of a warm-up

    def step(x):
        loss = F.mean(layer(x) ** 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    x = np.ones((32, 64), np.float32)
    before = layer.weight.data.copy()
    compiled = compiled_in_c(step)
    compiled(x)
    np.testing.assert_array_equal(layer.weight.data, before)
    x[3, 5] = np.nan
    compiled(x)
    assert np.all(np.isnan(layer.weight.data))


@pytest.mark.parametrize(
    ("shape", "dtype", "keepdims"), [((5,), np.float16, False), ((2,) * 9, np.float32, True)]
)
def test_a_norm_that_c_lacks_is_computed_by_numpy(shape, dtype, keepdims):
    x = drawn(*shape).astype(dtype)
    compiled = compiled_in_c(lambda x: array_namespace(x).linalg.vector_norm(x, keepdims=keepdims))
    expected = np.sqrt(np.sum(x.astype(np.float64) ** 2, keepdims=keepdims))
    np.testing.assert_allclose(compiled(x), expected, rtol=1e-3)
    assert calls_of(compiled) == ["linalg.vector_norm"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.complex64, np.uint8])
def test_rows_times_a_complex_number(dtype):
    table = np.arange(12).reshape(4, 3).astype(dtype)
    factor = np.complex64(1 + 2j)
    compiled = compiled_in_c(lambda rows: table[rows] * factor)
    np.testing.assert_allclose(compiled(np.asarray([3, 1])), table[[3, 1]] * (1 + 2j))


NUMPY = np.random.default_rng(3).standard_normal((4, 3))
TWO_ROWS = np.asarray([2, 0])
OF_NUMPY = {
    "x.sum": lambda x: x.sum(),
    "x.sum, axis": lambda x: x.sum(0),
    "x.mean, keepdims": lambda x: x.mean(axis=1, keepdims=True),
    "x.max": lambda x: x.max(axis=-1),
    "x.argmin": lambda x: x.argmin(axis=0),
    "x.T of two axes": lambda x: x.T * 1.5,
    "x.T of three axes": lambda x: np.stack([x, -x]).T,
    "x.transpose": lambda x: x.transpose(1, 0) * 1.5,
    "x.swapaxes": lambda x: x.swapaxes(0, 1) * 1.5,
    "x.reshape": lambda x: x.reshape(2, -1).sum(axis=0),
    "x.ravel": lambda x: x.T.ravel(),
    "x.flatten": lambda x: x.T.flatten(),
    "x.copy": lambda x: x.copy(),
    "x.clip": lambda x: x.clip(-0.5, 0.5),
    "x.astype": lambda x: (x * 10.0).astype(np.int64),
    "x.dot": lambda x: x.dot(x[0]),
    "x.squeeze": lambda x: x[:1].squeeze() * 2.0,
    "np.sum": lambda x: np.sum(x, axis=0),
    "np.mean": lambda x: np.mean(x),
    "x.sum of truth values": lambda x: (x > 0.0).sum(axis=0),
    "np.mean of truth values": lambda x: np.mean(x > 0.0),
    "np.where": lambda x: np.where(x > 0.0, x, 0.0),
    "np.clip": lambda x: np.clip(x, -0.5, 0.5),
    "np.concatenate": lambda x: np.concatenate([x, x[:1]], axis=0),
    "np.stack": lambda x: np.stack((x, 2.0 * x), axis=1),
    "np.dot": lambda x: np.dot(x.T, x),
    "np.round": lambda x: np.round(3.0 * x),
    "np.reshape": lambda x: np.reshape(x, (3, 4)) * 2.0,
    "np.take": lambda x: np.take(x, TWO_ROWS, axis=0),
    "np.expand_dims": lambda x: np.expand_dims(x, 0) + x,
    "np.linalg.norm": np.linalg.norm,
    "scipy.special.erf": lambda x: F.special.erf(2.0 * x) + 1.0,
    "linalg.matmul": lambda x: array_namespace(x).linalg.matmul(x.T[None, ...], x[None, ...]),
    "linalg.matrix_transpose": lambda x: array_namespace(x).linalg.matrix_transpose(x) * 2.0,
}


@pytest.mark.parametrize("name", OF_NUMPY)
def test_functions_and_methods_of_numpy_are_computed_in_c(name):
    function = OF_NUMPY[name]
    compiled = compiled_in_c(function)
    np.testing.assert_allclose(compiled(NUMPY), function(NUMPY), rtol=1e-14)
    assert calls_of(compiled) == []


OTHERWISE = {
    "order": lambda x: x.reshape((3, 4), order="F"),
    "an order of ravel": lambda x: x.ravel("F"),
    "another dtype": lambda x: x.astype(np.float32).sum(dtype=np.float64),
    "a start": lambda x: x.sum(initial=2.0),
    "decimals": lambda x: x.round(1),
    "one bound": lambda x: x.clip(None, 0.5),
    "the flat array": lambda x: np.take(x, TWO_ROWS),
    "another norm": lambda x: np.linalg.norm(x, 1),
    "a product of more axes": lambda x: np.dot(np.stack([x, x]), x.T),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_arguments_that_the_standard_lacks_are_left_to_numpy(name):
    function = OTHERWISE[name]
    compiled = compiled_in_c(function)
    np.testing.assert_allclose(compiled(NUMPY), function(NUMPY), rtol=1e-14)
    assert calls_of(compiled) != []


MOVES = {
    "roll": lambda x: F.roll(x, 1),
    "roll back": lambda x: F.roll(x, -2, axis=0),
    "roll all around": lambda x: F.roll(x, 3, axis=1),
    "roll two axes": lambda x: F.roll(x, (1, -1), axis=(0, 1)),
    "roll a transpose": lambda x: F.roll(F.matrix_transpose(x), 5),
    "tile": lambda x: F.tile(x, (2, 3)),
    "tile along new axes": lambda x: F.tile(x, (2, 1, 1)),
    "tile along the last axis": lambda x: F.tile(x, (2,)),
    "repeat": lambda x: F.repeat(x, 2, axis=0),
    "repeat along the last axis": lambda x: F.repeat(x, 3, axis=-1),
    "repeat all numbers": lambda x: F.repeat(x[0], 3),
    "repeat a transpose": lambda x: F.repeat(F.matrix_transpose(x), 2, axis=1),
    "nothing": lambda x: F.concat([x[:0], x[:0, :]]),
    "rows of nothing": lambda x: x[:0] * 2.0,
}


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool])
def test_numbers_that_are_only_moved(name, dtype):
    x = (3.0 * NUMPY).astype(dtype)
    compiled = compiled_in_c(MOVES[name])
    found = compiled(x)
    assert found.dtype == MOVES[name](x).dtype
    np.testing.assert_array_equal(found, MOVES[name](x))
    assert calls_of(compiled) == []


@pytest.mark.parametrize("shape", [(6,), (4, 6), (2, 3, 6)])
def test_products_of_vectors(shape):
    a = drawn(*shape)
    b = drawn(*shape, seed=1)
    compiled = compiled_in_c(lambda a, b: F.vecdot(a, b))
    np.testing.assert_allclose(compiled(a, b), (a * b).sum(axis=-1), rtol=1e-5, atol=1e-6)
    assert calls_of(compiled) == []


BIG = 2**53
INTEGERS = np.asarray([0, 1, -1, 7, BIG - 1, BIG, BIG + 1, -BIG - 1, 2**63 - 1, -(2**63)])
EXACT = {
    "compared with numbers": lambda x: ((x >= 0) & (x < BIG - 1)) | (x == -1),
    "compared with a constant": lambda x: x[:, None] == array_namespace(x).arange(8),
    "chosen where bounded": lambda x: F.where((x >= 0) & (x < 7), x, 3),
    "computed where bounded": lambda x: -F.where((x <= 7) & (x > -9), x, -9) * 2 + 1,
    "divided": lambda x: x / 3,
    "counted": lambda x: F.astype(F.count_nonzero(x > 0, axis=0), F.float32) / 4.0,
    "converted to float64": lambda x: F.astype(x, F.float64) * 0.5,
    "converted to float32": lambda x: F.astype(x, F.float32) * 0.5,
    "increased by one": lambda x: F.astype(x + 1, F.float32) * 0.5,
    "rounded to integers and back": lambda x: F.astype(F.astype(x / -3, F.int32), F.float64) + 0.5,
    "truth values": lambda x: F.astype(x > 3, F.int64) + F.astype(x < 9, F.int64),
}


@pytest.mark.parametrize("name", EXACT)
def test_integers_that_float64_holds_are_computed_in_c(name):
    x = INTEGERS if name != "rounded to integers and back" else INTEGERS[:4]
    compiled = compiled_in_c(EXACT[name])
    expected = EXACT[name](x)
    found = compiled(x)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    assert calls_of(compiled) == []


INEXACT = {
    "chosen without bounds": lambda x: F.where(x > 0, x, 3),
    "chosen where another is bounded": lambda x: F.where((x < 9) & (x[::-1] > -9), x, 3),
    "compared with each other": lambda x: x == x[::-1] + 1,
    "multiplied": lambda x: x * 3,
    "of a product that wraps around": lambda x: F.astype(x, F.int32) * 3,
}


@pytest.mark.parametrize("name", INEXACT)
def test_integers_that_float64_may_round_are_left_to_numpy(name):
    compiled = compiled_in_c(INEXACT[name])
    with np.errstate(over="ignore"):
        expected = INEXACT[name](INTEGERS)
        np.testing.assert_array_equal(compiled(INTEGERS), expected)
    assert calls_of(compiled) != []


def test_dtypes_that_are_mixed_are_computed_in_a_chain_each():
    x = drawn(5)

    def f(x):
        wide = F.exp(F.astype(x * 3.0, F.float64)) + 1.0
        return F.astype(F.sqrt(wide), F.float32) * x, wide

    compiled = compiled_in_c(f)
    for found, expected in zip(compiled(x), f(x), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=4 * np.finfo(expected.dtype).eps)
    assert calls_of(compiled) == []


class Interrupted:
    """The library's functions; after some more runs of plans, Ctrl-C is pressed."""

    def __init__(self, c, runs):
        self._c = c
        self._left = runs

    def xpnet_run(self, *given):
        self._left -= 1
        failed = self._c.xpnet_run(*given)
        if self._left == 0:
            raise KeyboardInterrupt
        return failed


def interrupt(compiled, monkeypatch):
    """Let Ctrl-C come after the next run of each plan."""
    for replay in compiled.replays:
        c = Interrupted(replay.executor.library.c, 1)
        monkeypatch.setattr(replay.executor, "library", SimpleNamespace(c=c))


def counted_step():
    """A step that counts in an action, in a state, and by Adam's numbers; rows are added to the state."""
    X = np.arange(300.0, dtype=np.float32).reshape(100, 3)
    counter = SimpleNamespace(n=0.0)
    total = xpnet.Variable(np.zeros(3, np.float32))
    parameter = xpnet.Parameter(np.ones(3, np.float32))
    optimizer = xpnet.Adam([parameter], lr=0.1)

    def count():
        counter.n += 1.0
        return counter.n

    def step(rows):
        number = each_step(count)
        total.data = total.data + F.sum(X[rows], axis=0) * number
        loss = F.sum(parameter * total.data)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def state():
        return [counter.n, optimizer.state[0]["t"], total.data.copy(), parameter.data.copy()]

    return step, state


def assert_equal_states(found, expected):
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5)


@pytest.mark.parametrize("make", [in_c, by_numpy])
@pytest.mark.parametrize("wrong", [0, 2, 4])
def test_steps_before_an_index_out_of_range_have_been_made(make, wrong):
    """Their states and their numbers are those of as many eager steps; and so are the next ones."""
    step, state = counted_step()
    eager, expected = counted_step()
    compiled = Compiled(step, executor=make, rehearse=True)
    rows = np.asarray([[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]])
    compiled(rows[0])
    eager(rows[0])
    bad = rows.copy()
    bad[wrong, 1] = 100
    with pytest.raises(IndexError):
        compiled.scan(bad)
    for each in rows[:wrong]:
        eager(each)
    assert_equal_states(state(), expected())
    compiled.scan(rows)
    for each in rows:
        eager(each)
    assert_equal_states(state(), expected())


@pytest.mark.parametrize("count", [1, 4])
def test_steps_before_an_interrupt_have_been_made(count, monkeypatch):
    step, state = counted_step()
    eager, expected = counted_step()
    compiled = compiled_in_c(step)
    rows = np.asarray([[0, 1], [2, 3], [4, 5], [6, 7]])
    compiled(rows[0])
    eager(rows[0])
    call = compiled if count == 1 else compiled.scan
    given = rows[0] if count == 1 else rows
    with monkeypatch.context() as patch:
        interrupt(compiled, patch)
        with pytest.raises(KeyboardInterrupt):
            call(given)
    for each in rows[:count]:
        eager(each)
    assert_equal_states(state(), expected())
    compiled(rows[1])  # the memory that it reads and writes is its own
    eager(rows[1])
    assert_equal_states(state(), expected())


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("keep_grad", [False, True])
def test_what_the_last_step_before_an_interrupt_has_stored(count, keep_grad, monkeypatch):
    """New arrays in places, and gradients: kept or forgotten, as the step does."""
    parameter = xpnet.Parameter(np.ones(3, np.float32))
    optimizer = xpnet.SGD([parameter], lr=0.5)
    shown = {"rows": None}

    def step(x):
        shown["rows"] = x * 2.0
        optimizer.zero_grad()
        F.sum(parameter * x).backward()
        optimizer.step()

    compiled = Compiled(step, executor=in_c, keep_grad=keep_grad)
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    for _ in range(4):
        compiled(x[0])
    parameter.data = np.ones(3, np.float32)
    parameter.raw_grad = None if not keep_grad else parameter.raw_grad
    with monkeypatch.context() as patch:
        interrupt(compiled, patch)
        with pytest.raises(KeyboardInterrupt):
            compiled(x[0]) if count == 1 else compiled.scan(x)
    np.testing.assert_array_equal(parameter.data, 1.0 - 0.5 * x[:count].sum(axis=0))
    np.testing.assert_array_equal(shown["rows"], 2.0 * x[count - 1])
    if keep_grad:
        np.testing.assert_array_equal(parameter.raw_grad, x[count - 1])
    else:
        assert parameter.raw_grad is None
    compiled(x[1])
    np.testing.assert_array_equal(shown["rows"], 2.0 * x[1])


def test_an_interrupt_within_a_step_leaves_its_number_uncounted(monkeypatch):
    """C, NumPy, C: Ctrl-C comes after the first part."""
    counter = SimpleNamespace(n=0.0)
    total = xpnet.Variable(np.zeros(3, np.float32))

    def count():
        counter.n += 1.0
        return counter.n

    def step(x):
        y = F.sort(x * each_step(count))
        total.data = total.data + y

    compiled = compiled_in_c(step)
    x = np.ones(3, np.float32)
    for _ in range(4):
        compiled(x)
    assert calls_of(compiled) == ["argsort", "take_along_axis"]
    with monkeypatch.context() as patch:
        interrupt(compiled, patch)
        with pytest.raises(KeyboardInterrupt):
            compiled(x)
    assert counter.n == 4.0
    np.testing.assert_array_equal(total.data, 10.0)
    compiled(x)
    np.testing.assert_array_equal(total.data, 15.0)


@pytest.mark.parametrize("index", [-1, 5])
@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
@pytest.mark.parametrize("shape", [(2,), (1, 2)])
def test_an_embedding_refuses_an_index_out_of_range(index, dtype, shape):
    if index < 0 and np.dtype(dtype).kind == "u":
        index = 255
    table = np.arange(15, dtype=np.float32).reshape(5, 3)
    compiled = compiled_in_c(lambda i: F.embedding(i, table))
    good = np.asarray([1, 4], dtype).reshape(shape)
    for _ in range(4):
        np.testing.assert_array_equal(compiled(good), table[good])
    with pytest.raises(IndexError, match=str(index)):
        compiled(np.asarray([1, index], dtype).reshape(shape))
    assert calls_of(compiled) == ([] if np.dtype(dtype).kind == "i" else ["checked"])
    with pytest.raises(IndexError, match=str(index)):
        compiled.scan(np.asarray([[1, 4], [1, index]], dtype).reshape(2, *shape))
    np.testing.assert_array_equal(compiled(good), table[good])


def test_an_interrupt_before_the_first_step_changes_nothing(monkeypatch):
    step, state = counted_step()
    compiled = compiled_in_c(step)
    rows = np.asarray([[0, 1], [2, 3]])
    compiled.scan(rows)
    before = state()

    def interrupted(*given):
        raise KeyboardInterrupt

    [replay] = compiled.replays
    with monkeypatch.context() as patch:
        patch.setattr(replay.executor, "_move", interrupted)
        with pytest.raises(KeyboardInterrupt):
            compiled.scan(rows)
    assert_equal_states(state(), before)


def test_an_executor_keeps_neither_its_arguments_nor_itself():
    compiled = compiled_in_c(lambda x: F.cumulative_sum(x * 2.0) + 1.0)
    x = drawn(4000)
    np.testing.assert_allclose(compiled(x), np.cumsum(2.0 * x) + 1.0, rtol=1e-4, atol=1e-3)
    argument = weakref.ref(x)
    del x
    assert argument() is None
    executor = in_c(recorded_step("mlp")[0])
    executor.bind(recorded_step("mlp")[2])
    kept = weakref.ref(executor)
    gc.disable()
    try:
        del executor
        assert kept() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_reshaping_in_an_order(order):
    def step(x):
        return array_namespace(x).reshape(x * 2.0, (6,), order=order)

    compiled = Compiled(step, executor=in_c)
    for i in range(5):
        x = np.arange(6.0).reshape(2, 3) + i
        np.testing.assert_array_equal(compiled(x), np.reshape(x * 2.0, (6,), order=order))
    assert compiled.replays


@pytest.mark.parametrize("shift", [0, 1])
def test_an_array_that_is_put_into_the_state_is_not_written_over(shift):
    """Also one that happens to begin at a multiple of 64 bytes."""
    holder = SimpleNamespace(p=np.zeros(4))

    def step(x):
        holder.p = holder.p + x
        return holder.p * 2.0

    compiled = Compiled(step, executor=in_c)
    for _ in range(4):
        compiled(np.ones(4))
    memory = aligned_empty(8 * 5).view("float64")
    mine = memory[shift : shift + 4]
    mine[...] = 10.0
    holder.p = mine
    for k in (1.0, 2.0):
        np.testing.assert_array_equal(compiled(np.ones(4)), np.full(4, 20.0 + 2.0 * k))
    np.testing.assert_array_equal(mine, np.full(4, 10.0))


@pytest.mark.parametrize(
    "key", [0, -1, (0,), (0, 2), (1, -1), (0, ..., 1), (..., 1, 0), (None, 0, 1)]
)
def test_the_gradient_of_one_number_of_an_array(key):
    """NumPy returns a copy of one number, not a view, so that its address says nothing."""
    shape = (2, 3) if isinstance(key, tuple) and len(key) > 1 else (3,)
    gradient = xpnet.grad(lambda x: F.sum(F.tanh(x[key])) + F.sum(x * x))
    compiled = compiled_in_c(gradient)
    for i in range(1, 6):
        x = np.linspace(-1.0, 1.0, int(np.prod(shape))).reshape(shape) * i
        np.testing.assert_allclose(compiled(x), gradient(x), rtol=1e-12)


@pytest.mark.parametrize("axis", [-1, 0, None])
@pytest.mark.parametrize("function", [np.max, np.sum, np.argmax, np.prod, F.softmax])
def test_a_reduction_of_one_number(function, axis):
    def reduced(x):
        return function(F.sum(x), axis=axis)

    compiled = compiled_in_c(reduced)
    for i in range(5):
        x = np.ones(3) * i
        np.testing.assert_array_equal(compiled(x), reduced(x))
