"""The CuPy executor: few launches, nothing that waits, and the results of the step as it is."""

import itertools
from functools import partial

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
)
from tests.host_cuda.device import counting, emulated, shuffled
from xpnet import functions as F, models
from xpnet.autodiff.namespace import array_namespace
from xpnet.backend import to_numpy
from xpnet.compiler.compiled import Compiled
from xpnet.compiler.executors.cuda import chain as cuda_chain
from xpnet.compiler.executors.cuda.matrix import Columns, Head, Input, input_kind
from xpnet.compiler.executors.cupy import CuPyExecutor
from xpnet.compiler.executors.library import LibraryExecutor
from xpnet.compiler.passes.chain import ELEMENTWISE, Chain, Step, run_chain
from xpnet.compiler.record import Operation, Program, Value
from xpnet.errors import BackendError
from xpnet.kernels import cross_entropy
from xpnet.kernels.column_sums import column_sums
from xpnet.kernels.lookup import kernel
from xpnet.kernels.update import update

CLOSE = 1e-5
"""Products of few terms, within a kernel, are added up in another order."""


def momentum(parameters):
    return xpnet.Momentum(parameters, lr=0.05)


@pytest.mark.parametrize("name", MODELS)
def test_models(cupy_backend, name):
    assert_agrees(cupy_backend, CuPyExecutor, name, momentum, rtol=CLOSE)


@pytest.mark.parametrize("name", optimizers())
def test_optimizers(cupy_backend, name):
    assert_agrees(cupy_backend, CuPyExecutor, "mlp", optimizers()[name], rtol=CLOSE)


def test_a_learning_rate_that_changes(cupy_backend):
    def halfway(optimizer):
        optimizer.lr = 0.5

    assert_agrees(cupy_backend, CuPyExecutor, "mlp", momentum, rtol=CLOSE, halfway=halfway)


def compiled_after_four(backend, model, shape, optimizer, size=6):
    """A compiled step that was called four times, and a batch for the next call."""
    step = Compiled(stepping(model, optimizer), executor=executed_by(CuPyExecutor))
    pairs = list(batches(backend, shape, 6, size))
    for x, t in pairs[:5]:
        step(x, t)
    return step, pairs[5]


def test_parameters_stay_in_their_memory(cupy_backend):
    model, shape = model_of("mlp")
    optimizer = xpnet.Adam(model.parameters())
    step, pair = compiled_after_four(cupy_backend, model, shape, optimizer)
    arrays = [p.data for p in model.parameters()]
    arrays += [s[name] for s in optimizer.state for name in ("m", "v")]
    numbers = [to_numpy(x).copy() for x in arrays]
    step(*pair)
    now = [p.data for p in model.parameters()]
    now += [s[name] for s in optimizer.state for name in ("m", "v")]
    assert all(x is y for x, y in zip(arrays, now, strict=True))
    for x, old in zip(now, numbers, strict=True):
        assert not np.array_equal(to_numpy(x), old)


def test_a_parameter_that_is_returned_is_not_changed_by_later_calls(cupy_backend):
    """What the parameter was before the step, and what it is after it."""
    model, shape = model_of("mlp")
    inner = stepping(model, momentum(model.parameters()))
    weight = next(iter(model.parameters()))

    def step(x, t):
        before = weight.data + 0.0
        inner(x, t)
        return before, weight.data * 1.0

    fast = Compiled(step, executor=executed_by(CuPyExecutor))
    pairs = list(batches(cupy_backend, shape))
    results = [fast(x, t) for x, t in pairs]
    assert len(fast.replays) == 1
    for (_, after), (before, _) in itertools.pairwise(results):
        np.testing.assert_array_equal(to_numpy(after), to_numpy(before))
        assert not np.array_equal(to_numpy(after), to_numpy(weight.data))


@pytest.mark.parametrize("kind", [CuPyExecutor, LibraryExecutor])
def test_a_parameter_that_was_put_into_columns_is_updated_with_the_others(cupy_backend, kind):
    """The kernel of the update takes rows only: the array is moved, and no parameter is left behind."""
    import cupy

    found = []
    for wrap in (
        lambda step: step,
        lambda step: Compiled(step, executor=executed_by(kind)),
    ):
        model, shape = model_of("mlp")
        step = wrap(stepping(model, xpnet.Adam(model.parameters())))
        weights = list(model.parameters())
        for k, (x, t) in enumerate(batches(cupy_backend, shape)):
            if k == 5:
                for p in weights[2:]:
                    p.data = cupy.asfortranarray(p.data)
            step(x, t)
        found.append([to_numpy(p.data) for p in weights])
    assert len(step.replays) == 1
    for eager, compiled in zip(*found, strict=True):
        np.testing.assert_allclose(compiled, eager, rtol=CLOSE, atol=CLOSE)


def test_an_argument_that_is_the_state_keeps_its_numbers(cupy_backend):
    """The step reads it after the parameter is updated in place."""
    weight = xpnet.Parameter(cupy_backend.asarray(np.ones(4), "float32"))
    optimizer = xpnet.SGD([weight], lr=0.5)

    def step(x, given):
        loss = F.sum(weight * x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return given - weight.data

    step = Compiled(step, executor=executed_by(CuPyExecutor))
    x = cupy_backend.asarray(np.ones(4), "float32")
    other = cupy_backend.asarray(np.ones(4), "float32")
    for _ in range(4):
        step(x, other)
    (replay,) = step.replays
    for part in (weight.data, weight.data[...]):
        np.testing.assert_array_equal(to_numpy(step(x, part)), np.full(4, 0.5))
    assert step.replays == [replay]


def test_a_state_that_is_a_copy_of_a_parameter_keeps_its_numbers(cupy_backend):
    """The update writes over the parameter, after the copy is made."""
    weight = xpnet.Parameter(cupy_backend.asarray(np.ones(4), "float32"))
    optimizer = xpnet.SGD([weight], lr=0.5)
    state = {"before": cupy_backend.asarray(np.zeros(4), "float32")}

    def step(x):
        change = F.sum(state["before"])
        state["before"] = weight.data * 1.0
        loss = F.sum(weight * x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return change

    step = Compiled(step, executor=executed_by(CuPyExecutor))
    x = cupy_backend.asarray(np.ones(4), "float32")
    for k in range(1, 8):
        step(x)
        np.testing.assert_array_equal(to_numpy(weight.data), np.full(4, 1.0 - 0.5 * k))
        np.testing.assert_array_equal(to_numpy(state["before"]), np.full(4, 1.5 - 0.5 * k))
    (replay,) = step.replays
    assert len(replay.executor._written) == 1, "the parameter is updated in place"


def test_streams_that_run_late(cupy_backend):
    """Work is ordered by its stream alone: random delays change nothing."""
    if not emulated():
        pytest.skip("only the emulated device delays work at random")
    with shuffled(5):
        assert_agrees(cupy_backend, CuPyExecutor, "normalized", momentum, rtol=CLOSE)


@pytest.mark.parametrize("view_name", ["matrix_transpose", "x.transpose", "swapaxes", "unheard_of"])
def test_a_state_that_is_read_after_its_update_is_not_written_over(cupy_backend, view_name):
    """Directly, and by a view that was taken before the update."""
    import cupy

    f = np.dtype("float32")
    s = Value((2, 3), f, "state", 0)
    x = Value((2, 3), f, "argument", 0)

    def program(reads):
        operations = []

        def add(name, function, args, shapes):
            operation = Operation(name, function, args)
            operation.outputs = [
                Value(shape, f, "operation", i, operation=operation)
                for i, shape in enumerate(shapes)
            ]
            operations.append(operation)
            return operation

        view = add(view_name, cupy.transpose, (s,), [(3, 2)])
        view.result = view.outputs[0]
        args = ("p -= lr * g;", {"lr": 0.5}, (), [(s, x, [])])
        update = add("update", _updated, args, [(2, 3)])
        update.result = [(update.outputs[0], [])]
        read = {"state": s, "view": view.outputs[0], "nothing": x}[reads]
        product = add("multiply", cupy.multiply, (read, 2.0), [read.shape])
        product.result = product.outputs[0]
        return Program([x], [s], [], operations, product.outputs, {0: update.outputs[0]})

    for reads in ("state", "view", "nothing"):
        executor = CuPyExecutor(program(reads))
        state = cupy.arange(6, dtype=f).reshape(2, 3)
        before = state.get()
        executor.bind([state])
        (product,) = executor.run([cupy.ones((2, 3), f)], [])
        expected = {"state": 2 * before, "view": 2 * before.T, "nothing": np.full((2, 3), 2.0)}
        np.testing.assert_array_equal(product.get(), expected[reads])
        np.testing.assert_array_equal(executor.states[0].get(), before - 0.5)
        assert (executor.states[0] is state) == (reads == "nothing")


def _updated(formula, numbers, slots, moves):
    """The kernel `update` on copies, as it is recorded."""
    copies = [(p.copy(), g, [x.copy() for x in state]) for p, g, state in moves]
    update(formula, numbers, slots, copies)
    return [(p, state) for p, _, state in copies]


@pytest.mark.parametrize("function", [F.take, lambda x, i: F.embedding(i, x), lambda x, i: x[i]])
def test_indices_are_checked_in_each_replay(cupy_backend, function):
    """On the device, as in a step that is not compiled: the error comes with the next numbers."""
    table = xpnet.Parameter(cupy_backend.asarray(np.arange(12.0).reshape(4, 3)))

    def step(i):
        if function is F.take:
            return F.take(table, i, axis=0) * 2.0
        return function(table, i) * 2.0

    fast = Compiled(step, executor=executed_by(CuPyExecutor))
    rows = np.arange(12.0).reshape(4, 3)
    for k in range(6):
        i = np.asarray([k % 4, 2, 0])
        found = fast(cupy_backend.asarray(i)).data
        np.testing.assert_array_equal(to_numpy(found), 2 * rows[i])
    assert len(fast.replays) == 1
    found = fast(cupy_backend.asarray(np.asarray([1, 4, 0])))
    assert len(fast.replays) == 1
    with pytest.raises(IndexError, match="got 4"):
        to_numpy(found.data)


def test_indices_that_are_state_are_checked_in_each_replay(cupy_backend):
    table = cupy_backend.asarray(np.arange(12.0).reshape(4, 3))
    held = [cupy_backend.asarray(np.asarray([3, 0]))]
    fast = Compiled(
        lambda: F.take(table, held[0], axis=0) + 1.0, executor=executed_by(CuPyExecutor)
    )
    for _ in range(5):
        found = fast()
    np.testing.assert_array_equal(to_numpy(found)[:, 0], [10.0, 1.0])
    held[0] = cupy_backend.asarray(np.asarray([2, -5]))
    found = fast()
    assert len(fast.replays) == 1
    with pytest.raises(IndexError, match="got -5"):
        to_numpy(found)


# --- launches --------------------------------------------------------------------------------------


@pytest.fixture
def counted(cupy_backend, monkeypatch):
    """A function that returns the counts of a compiled step, without a CUDA graph."""
    if not emulated():
        pytest.skip("launches can be counted only on the emulated CUDA device")
    monkeypatch.setenv("XPNET_CUDA_GRAPHS", "0")

    def count(model, shape, optimizer, size):
        step, pair = compiled_after_four(cupy_backend, model, shape, optimizer, size)
        with counting(names=True) as counts:
            step(*pair)
        return counts

    return count


def stays_on_the_device(counts):
    """Nothing goes to or from the host, nothing waits, no memory is allocated, nothing is compiled."""
    waits = counts.to_device, counts.to_host, counts.synchronizes, counts.records, counts.waits
    memory = counts.allocations, counts.frees, counts.compilations
    return not any(waits) and not any(memory)


def test_one_hidden_layer_by_sgd(counted):
    """4 products; the hidden layer; scores, loss and gradient; the gradient of the layer; the step."""
    model = xpnet.MLP(784, 80, 10, rng=0)
    counts = counted(model, (784,), xpnet.SGD(model.parameters(), lr=0.1), 200)
    assert (counts.total, counts.products) == (8, 4), counts.names
    assert stays_on_the_device(counts), counts.names


def test_two_hidden_layers_by_adam(counted):
    """7 products; two layers; scores, loss and gradient; two gradients of layers; the step."""
    model = xpnet.MLP(784, [1024, 1024], 10, rng=0)
    counts = counted(model, (784,), xpnet.Adam(model.parameters()), 8)
    assert (counts.total, counts.products) == (13, 7), counts.names
    assert stays_on_the_device(counts), counts.names


def lenet(dropout=0.0):
    return xpnet.Sequential(
        xpnet.Conv2d(1, 6, 5, padding=2, rng=0), xpnet.ReLU(), xpnet.MaxPool2d(2),
        xpnet.Conv2d(6, 16, 5, rng=1), xpnet.ReLU(), xpnet.MaxPool2d(2), xpnet.Flatten(),
        xpnet.Affine(400, 120, rng=2), xpnet.ReLU(),
        xpnet.Affine(120, 84, rng=3), xpnet.ReLU(), xpnet.Dropout(dropout, rng=4),
        xpnet.Affine(84, 10, rng=5),
    )  # fmt: skip


def test_lenet_by_momentum(counted):
    """Two convolutions and poolings: 10 forward, 14 backward; three layers: 6 and 6; and the step."""
    model = lenet()
    counts = counted(model, (1, 28, 28), momentum(model.parameters()), 4)
    assert counts.total <= 37, counts.names
    assert stays_on_the_device(counts), counts.names


def test_a_mask_is_one_transfer(counted):
    """It is drawn on the host, as it is without compiling; the launches that apply it are merged."""
    model = lenet(dropout=0.5)
    counts = counted(model, (1, 28, 28), momentum(model.parameters()), 4)
    assert counts.total <= 40, counts.names
    assert (counts.to_device, counts.to_host, counts.synchronizes) == (1, 0, 0), counts.names


@pytest.mark.parametrize(
    ("name", "shape", "options", "most"),
    [
        ("lenet", (1, 28, 28), {"dropout": 0.0}, 32),
        ("lstm", (28, 28), {}, 130),
        ("resnet", (1, 28, 28), {}, 126),
        ("transformer", (28, 28), {"dropout": 0.0}, 143),
    ],
)
def test_models_of_the_library(counted, name, shape, options, most):
    """As they are, these take 38, 137, 136 and 178."""
    model = models.build(name, shape, 10, rng=0, **options)
    counts = counted(model, shape, xpnet.Adam(model.parameters()), 4)
    assert counts.total <= most, counts.names
    assert stays_on_the_device(counts), counts.names


# --- chains ----------------------------------------------------------------------------------------


def chain_of(cupy, name, operands, numbers, result):
    """A chain of one step, with the function that computes it on CuPy."""
    functions = {"zero_unless": _zero_unless, "where": cupy.where}
    functions |= {"clip": lambda x, low, high: cupy.clip(x, low, high), "square": cupy.square}
    renamed = {"pow": "power", "atan2": "arctan2", "round": "rint", "bitwise_invert": "invert"}
    renamed |= {f"a{x}": f"arc{x}" for x in ("cos", "cosh", "sin", "sinh", "tan", "tanh")}
    if name in cuda_chain.KERNELS:
        function = _kernel(name)
    elif name == "astype":
        function = partial(_converted, dtype=result)
    else:
        function = functions.get(name) or getattr(cupy, renamed.get(name, name))
    registers = tuple(range(len(operands) + len(numbers)))
    step = Step(name, registers, np.dtype(result), function)
    dtypes = tuple(x.dtype for x in operands)
    return Chain(operands[0].shape, dtypes, numbers, (step,), (len(registers),))


def _kernel(name):
    return cuda_chain.KERNELS[name]


def _converted(x, dtype):
    return x.astype(dtype)


def _zero_unless(x, mask):
    import cupy

    return cupy.where(mask, x, x.dtype.type(0))


FLOATS = [
    -np.inf,
    -100.0,
    -2.5,
    -1.0,
    -0.5,
    -0.0,
    0.0,
    1e-3,
    0.5,
    0.75,
    1.0,
    2.5,
    90.0,
    np.inf,
    np.nan,
]


def cases():
    """(name, dtype of the operands, Python numbers, dtype of the result) of steps with CUDA code."""
    for dtype in ("float32", "float64", "float16"):
        for name in (*cuda_chain.FLOATING, *cuda_chain.NUMERIC):
            yield name, [dtype] * ELEMENTWISE[name], (), dtype
        for name in cuda_chain.KERNELS:
            inputs = cuda_chain.KERNELS[name].inputs.split(", ")
            arrays = [dtype for x in inputs if x.startswith("T ")]
            yield name, arrays, (0.5,) * (len(inputs) - len(arrays)), dtype
        for name in cuda_chain.COMPARISONS:
            yield name, [dtype] * 2, (), "bool"
        for name in ("add", "multiply", "divide", "maximum"):
            yield name, [dtype], (0.1,), dtype
        yield "where", ["bool", dtype, dtype], (), dtype
        yield "zero_unless", [dtype, "bool"], (), dtype
        for other in ("float32", "float64", "int32", "bool"):
            yield "astype", [other], (), dtype
    for dtype in ("int32", "int64", "uint8"):
        for name in ("add", "multiply", "subtract", "bitwise_and", "bitwise_or", "bitwise_xor"):
            yield name, [dtype] * 2, (), dtype
        yield "less", [dtype] * 2, (), "bool"
    for name in cuda_chain.LOGICAL:
        yield name, ["bool"] * ELEMENTWISE[name], (), "bool"


@pytest.mark.parametrize("case", [*cases()], ids=lambda x: f"{x[0]} {x[1][-1]}{x[2] or ''} {x[3]}")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_step_has_the_bits_of_the_function(cupy_backend, case):
    """Each step by itself: the numbers that CuPy's function computes, NaN and infinity included."""
    import cupy

    name, dtypes, numbers, result = case
    rng = np.random.default_rng(0)
    operands = []
    for dtype in dtypes:
        kind = np.dtype(dtype).kind
        if kind == "f":
            values = rng.permuted(FLOATS)
        elif kind == "b":
            values = rng.integers(0, 2, len(FLOATS))
        else:
            values = rng.integers(0, 100, len(FLOATS))
        operands.append(cupy.asarray(values.astype(dtype)))
    chain = chain_of(cupy, name, operands, numbers, result)
    given = [x.dtype for x in operands] + [None] * len(numbers)
    assert cuda_chain.has_code(name, given, np.dtype(result))
    found = cuda_chain.chain_kernel(chain)(*operands)
    expected = run_chain(*operands, chain=chain)
    assert found.dtype == expected.dtype == result
    np.testing.assert_array_equal(found.get(), expected.get())


def test_a_chain_with_broadcasting_numbers_and_several_results(cupy_backend):
    import cupy

    f = np.dtype("float32")
    steps = (
        Step("add", (0, 1), f, cupy.add),
        Step("multiply", (4, 2), f, cupy.multiply),
        Step("maximum", (5, 3), f, cupy.maximum),
    )
    chain = Chain((3, 4), (f, f, None), (0.25,), steps, (4, 6))
    rng = np.random.default_rng(0)
    x, b = (cupy.asarray(rng.standard_normal(s), "float32") for s in ((3, 1), (4,)))
    assert cuda_chain.chain_kernel(chain) is cuda_chain.chain_kernel(chain)
    found = cuda_chain.chain_kernel(chain)(x, b, 0.1)
    expected = run_chain(x, b, 0.1, chain=chain)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.get(), other.get())


@pytest.mark.parametrize("number", [0.5, 2, True])
def test_comparing_booleans_with_a_number_is_left_to_cupy(number):
    """CuPy promotes the booleans, if the number is not one itself."""
    dtypes = [np.dtype(bool), None]
    for name in cuda_chain.COMPARISONS:
        assert not cuda_chain.has_code(name, dtypes, np.dtype(bool))


def test_booleans_compared_with_a_number(cupy_backend):
    step = Compiled(lambda x: (x > 0.0) > 0.5, executor=executed_by(CuPyExecutor))
    x = cupy_backend.asarray(np.array([-1.0, 2.0, 3.0]))
    for _ in range(5):
        found = step(x)
    assert len(step.replays) == 1
    np.testing.assert_array_equal(to_numpy(found), [False, True, True])


def test_products_and_sums_are_not_contracted():
    """A contracted product and sum would not be rounded in between."""
    assert "--fmad=false" in cuda_chain.OPTIONS


@pytest.mark.parametrize(
    ("name", "operands", "result"),
    [
        ("add", ["complex64", "complex64"], "complex64"),
        ("divide", ["int32", "int32"], "float64"),
        ("add", ["bool", "bool"], "bool"),
        ("logaddexp", ["float32", "float32"], "float32"),
        ("relu", ["int32"], "int32"),
        ("where", ["float32", "float32", "float32"], "float32"),
    ],
)
def test_what_has_no_code_is_left_to_cupy(name, operands, result):
    dtypes = [np.dtype(x) for x in operands]
    assert not cuda_chain.has_code(name, dtypes, np.dtype(result))


# --- kernels over matrices --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (200, 80), (3, 33), (1000, 3), (2, 3, 4)])
def test_columns(cupy_backend, dtype, shape):
    """A chain with an input of each kind, and the sums of two of its results."""
    import cupy

    kind = np.dtype(dtype)
    steps = (
        Step("add", (0, 1), kind, cupy.add),
        Step("multiply", (6, 2), kind, cupy.multiply),
        Step("subtract", (7, 3), kind, cupy.subtract),
        Step("multiply", (8, 4), kind, cupy.multiply),
        Step("add", (9, 5), kind, cupy.add),
    )
    chain = Chain(shape, (kind, kind, kind, kind, None), (0.5,), steps, (8, 10))
    rng = np.random.default_rng(0)
    shapes = shape, shape[-1:], (*shape[:-1], 1), ()
    arrays = [cupy.asarray(rng.standard_normal(s), dtype) for s in shapes]
    kinds = [input_kind(s, shape) for s in shapes]
    if shape == (7, 5):
        assert kinds == ["all", "row", "column", "one"]
    inputs = [Input(k, dtype) for k in kinds] + [Input("number", "")]
    found = Columns(chain, inputs, (8, 10), kind)(*arrays, 0.1)
    expected = run_chain(*arrays, 0.1, chain=chain)
    for one, other in zip(found[:2], expected, strict=True):
        np.testing.assert_array_equal(one.get(), other.get())
    for one, other in zip(found[2:], expected, strict=True):
        np.testing.assert_array_equal(one.get(), column_sums(other).get())


@pytest.mark.parametrize("terms", [1, 10, 32])
def test_columns_of_a_product(cupy_backend, terms):
    import cupy

    f = np.dtype("float32")
    step = Step("relu_gradient", (0, 1), f, _kernel("relu_gradient"))
    chain = Chain((20, 12), (f, f), (), (step,), (2,))
    rng = np.random.default_rng(0)
    d, W, y = (
        cupy.asarray(rng.standard_normal(s), f) for s in ((20, terms), (12, terms), (20, 12))
    )
    inputs = [Input("product", "float32"), Input("all", "float32")]
    gradient, sums = Columns(chain, inputs, (2,), f)(d, W, y)
    expected = np.where(y.get() > 0, d.get().astype("d") @ W.get().astype("d").T, 0)
    np.testing.assert_allclose(gradient.get(), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(sums.get(), expected.sum(0), rtol=1e-5, atol=1e-5)


def test_a_product_whose_columns_are_added_up_in_another_dtype(cupy_backend):
    """The kernel would read its operands in the dtype of the sums."""
    f = np.dtype("float32")
    rng = np.random.default_rng(0)
    g = cupy_backend.asarray(rng.standard_normal((20, 4)).astype(f))
    W = cupy_backend.asarray(rng.standard_normal((12, 4)).astype(f))

    def step(g, W):
        xp = array_namespace(g)
        wide = xp.astype(g @ W.T, xp.float64)
        return wide, kernel("column_sums", wide)(wide)

    step = Compiled(step, executor=executed_by(CuPyExecutor))
    for _ in range(5):
        wide, sums = step(g, W)
    (replay,) = step.replays
    assert "columns" in [o.name for o in replay.executor.program.operations]
    expected = (to_numpy(g) @ to_numpy(W).T).astype("d")
    np.testing.assert_allclose(to_numpy(wide), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(to_numpy(sums), expected.sum(0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (6, 10), (200, 10), (2000, 32), (1500, 2)])
@pytest.mark.parametrize("invalid", [False, True])
def test_head(cupy_backend, dtype, shape, invalid):
    """The loss and the gradient are those of the separate kernels, bit for bit."""
    import cupy

    kind = np.dtype(dtype)
    chain = Chain(shape, (kind, kind), (), (Step("add", (0, 1), kind, cupy.add),), (2,))
    rng = np.random.default_rng(0)
    x = cupy.asarray(3 * rng.standard_normal(shape), dtype)
    b = cupy.asarray(rng.standard_normal(shape[1:]), dtype)
    t = cupy.asarray(rng.integers(0, shape[1], shape[0]))
    if invalid:
        t[0] = shape[1]
    inputs = [Input("all", dtype), Input("row", dtype)]
    loss, gradient, sums = Head(chain, inputs, "int64", True, kind)(t, 0.5, x, b)
    scores = x + b
    expected, kept = cross_entropy.cross_entropy(scores, t)
    expected_gradient = cross_entropy.cross_entropy_gradient(0.5, scores, t, kept)
    assert loss.shape == ()
    assert np.isinf(float(loss)) == invalid
    np.testing.assert_array_equal(loss.get(), expected.get())
    np.testing.assert_array_equal(gradient.get(), expected_gradient.get())
    np.testing.assert_array_equal(sums.get(), column_sums(gradient).get())
    alone = Head(chain, inputs, "int64", False, kind)(t, 0.5, x, b)
    assert len(alone) == 2
    np.testing.assert_array_equal(alone[1].get(), gradient.get())


def test_a_loss_that_is_scaled(cupy_backend):
    """The gradient of the loss is a number of the host, which an action computes at each step."""
    model, shape = model_of("mlp")
    optimizer = momentum(model.parameters())

    def step(x, t):
        loss = F.softmax_cross_entropy(model(x), t)
        optimizer.zero_grad()
        (3.0 * loss).backward()
        optimizer.step()
        return loss

    pairs = list(batches(cupy_backend, shape))
    fast = Compiled(step, executor=executed_by(CuPyExecutor))
    losses = [float(fast(x, t)) for x, t in pairs]
    assert len(fast.replays) == 1
    model, _ = model_of("mlp")
    optimizer = momentum(model.parameters())
    np.testing.assert_allclose(losses, [float(step(x, t)) for x, t in pairs], rtol=CLOSE)


# --- two devices -----------------------------------------------------------------------------------


def two_devices():
    """Skips a test where there are not two devices."""
    import cupy

    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("there is one device: HOST_CUDA_DEVICES=2 emulates two")


def test_a_step_runs_on_the_device_of_its_state(cupy_backend):
    """Another device may be current when the step is called."""
    import cupy

    two_devices()
    losses = []
    for compiles in (False, True):
        with xpnet.using("cupy:1") as backend:
            model, shape = model_of("mlp")
            pairs = list(batches(backend, shape))
        step = stepping(model, momentum(model.parameters()))
        if compiles:
            step = Compiled(step, executor=executed_by(CuPyExecutor))
        with xpnet.using("cupy:1"):
            results = [step(x, t) for x, t in pairs[:5]]
            with cupy.cuda.Device(0):
                results.append(step(*pairs[5]))
        assert {x.data.device.id for x in results} == {1}
        assert {p.data.device.id for p in model.parameters()} == {1}
        losses.append([float(x) for x in results])
        if compiles:
            assert len(step.replays) == 1
    np.testing.assert_allclose(*losses, rtol=CLOSE)


def test_a_mask_is_drawn_on_the_device_of_the_state(cupy_backend):
    """By a generator on the device, while another device is current."""
    import cupy

    two_devices()
    found = []
    for compiles in (False, True):
        with xpnet.using("cupy:1") as backend:
            layer = xpnet.Dropout(0.5, rng=xpnet.random.DeviceGenerator(7))
            x = backend.asarray(np.ones((4, 3)))

        def step(x, layer=layer):
            return F.tanh(layer(x))

        fast = Compiled(step, executor=executed_by(CuPyExecutor)) if compiles else step
        results = []
        for i in range(6):
            with cupy.cuda.Device(i % 2):
                results.append(fast(x))
        assert {y.device.id for y in results} == {1}
        found.append([to_numpy(y) for y in results])
    np.testing.assert_array_equal(*found)


def test_arrays_on_two_devices(cupy_backend):
    """An error names both; an array that the step does not use may be anywhere."""
    two_devices()
    held = []
    for i in range(2):
        with xpnet.using(f"cupy:{i}") as backend:
            held.append([xpnet.Parameter(backend.asarray(np.ones(3)))])

    def use(x):
        assert len(held) == 2
        return held[1][0] * x

    fast = Compiled(use, executor=executed_by(CuPyExecutor))
    for _ in range(5):
        result = fast(held[1][0].data)
    assert len(fast.replays) == 1
    assert result.data.device.id == 1
    executor = fast.replays[0].executor
    with pytest.raises(BackendError, match="A compiled step expected its arrays on one device"):
        executor.run([held[0][0].data], [])
