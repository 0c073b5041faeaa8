"""The NumPy executor: the same bits as eager code, in given memory."""

import gc
import linecache
import operator
import threading
import traceback
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings

import xpnet
from tests.compiler.programs import (
    SIZES,
    Builder,
    Capturing,
    assert_equal_bits,
    builders,
    interpreted,
    recorded_step,
)
from xpnet import functions as F
from xpnet.compiler.buffers import aligned_empty
from xpnet.compiler.compiled import Compiled
from xpnet.compiler.executors.numpy import NumPyExecutor
from xpnet.compiler.passes import cleaned
from xpnet.compiler.recorded_array import name_of

OPTIMIZERS = {
    "SGD": lambda p: xpnet.SGD(p, lr=0.1),
    "Momentum": lambda p: xpnet.Momentum(p, lr=0.1),
    "Adam": lambda p: xpnet.Adam(p, lr=0.01),
}


def run_and_compare(program, arguments, states, hosts=(), steps=3):
    """Run steps of the executor, and of the program operation by operation; returns the executor."""
    executor = NumPyExecutor(cleaned(program, "numpy"))
    bound = executor.bind([np.array(x) for x in states])
    expected = states
    for _ in range(steps):
        outputs, expected = interpreted(program, arguments, expected, hosts)
        assert_equal_bits(executor.run(arguments, hosts), outputs)
        assert_equal_bits(executor.states, expected)
        assert all(x is y for x, y in zip(bound, executor.states, strict=True))
    return executor


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", SIZES)
def test_a_training_step_has_the_bits_of_eager_code(name, optimizer):
    run_and_compare(*recorded_step(name, OPTIMIZERS[optimizer]))


@pytest.mark.parametrize("layer", ["RNN", "GRU", "LSTM"])
def test_one_sequence_in_float64_has_the_bits_of_eager_code(layer):
    """Rows of transposed weights are made contiguous by reshaping: BLAS adds in another order."""

    def training():
        model = getattr(xpnet, layer)(5, 5, rng=0)
        for p in model.parameters():
            p.data = p.data.astype("d")
        optimizer = xpnet.SGD(model.parameters(), lr=0.1)

        def step(x):
            y = model(x)[0]
            loss = F.sum(y**2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return model, step

    eager, step = training()
    other, same_step = training()
    compiled = Compiled(
        same_step, executor=lambda program: NumPyExecutor(cleaned(program, "numpy"))
    )
    x = numbers(8, 1, 5, dtype="d")
    for _ in range(12):
        assert_equal_bits([compiled(x).data], [step(x).data])
        after = [p.data for p in other.parameters()]
        assert_equal_bits(after, [p.data for p in eager.parameters()])


@given(builder=builders())
@settings(deadline=None, max_examples=300)
def test_a_drawn_program_has_the_bits_of_eager_code(builder):
    with np.errstate(all="ignore"):
        arrays = [builder.given(kind) for kind in ("argument", "state", "host")]
        run_and_compare(builder.program, *arrays, steps=2)


@given(builder=builders(steps=40, elementwise=True))
@settings(deadline=None, max_examples=300)
def test_long_chains_have_the_bits_of_eager_code(builder):
    """Registers take over the memory of operands, and results that of registers."""
    with np.errstate(all="ignore"):
        arrays = [builder.given(kind) for kind in ("argument", "state", "host")]
        run_and_compare(builder.program, *arrays, steps=2)


# --- memory -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", SIZES)
def test_the_arena_is_within_a_fifth_of_the_largest_live_set(name, optimizer):
    program, *_ = recorded_step(name, OPTIMIZERS[optimizer])
    memory = NumPyExecutor(cleaned(program, "numpy")).memory
    assert 0 < memory.live_size <= memory.arena_size <= 1.2 * memory.live_size


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_all_parameters_are_updated_by_one_batch(optimizer):
    program, *_ = recorded_step("mlp", OPTIMIZERS[optimizer])
    (batch,) = NumPyExecutor(cleaned(program, "numpy")).memory.batches
    assert len(batch.members) == 6


def bound_executor(name="mlp"):
    program, arguments, states, hosts = recorded_step(name, OPTIMIZERS["Adam"])
    executor = NumPyExecutor(cleaned(program, "numpy"))
    return executor, arguments, states, hosts, executor.bind([np.array(x) for x in states])


def test_the_state_is_moved_to_whole_cache_lines_with_its_numbers():
    _, _, states, _, bound = bound_executor()
    assert_equal_bits(bound, states)
    large = [x for x in bound if x.nbytes % 64 == 0]
    assert len(large) > 3
    assert all(x.ctypes.data % 64 == 0 for x in large)


def test_a_second_plan_leaves_the_state_where_the_first_has_put_it():
    """Plans for two batch sizes take turns: neither must move what the other is bound to."""
    _, _, _, _, bound = bound_executor()
    other, arguments, _, hosts, _ = bound_executor()
    second = NumPyExecutor(other.program)
    assert all(x is y for x, y in zip(second.bind(bound), bound, strict=True))
    before = [x.copy() for x in bound]
    second.run(arguments, hosts)
    assert any(not np.array_equal(x, y) for x, y in zip(bound, before, strict=True))


def test_a_state_that_was_replaced_is_taken_over():
    executor, arguments, states, hosts, bound = bound_executor()
    expected = executor.run(arguments, hosts)
    after = [x.copy() for x in bound]
    given_ = [np.array(x) for x in states]
    again = executor.bind(given_)
    assert_equal_bits(again, states)
    assert_equal_bits(executor.run(arguments, hosts), expected)
    assert_equal_bits(again, after)
    assert executor.bind(again) is executor.states


def test_a_plan_that_only_reads_the_state_leaves_it_in_its_families():
    """Training and evaluation take turns: the state must not be moved at each turn."""
    model = xpnet.MLP(5, [7], 3, rng=0)  # no array fills whole cache lines
    update = xpnet.Adam(model.parameters())

    def step(x):
        loss = F.sum(model(x) ** 2)
        update.zero_grad()
        loss.backward()
        update.step()
        return loss

    def choose(program):
        return NumPyExecutor(cleaned(program, "numpy"))

    training = Compiled(step, executor=choose)
    evaluation = Compiled(lambda x: model(x), executor=choose)
    for compiled in (training, evaluation):
        for _ in range(4):
            compiled(numbers(4, 5))
    places = []
    for _ in range(3):
        training(numbers(4, 5))
        assert_equal_bits([evaluation(numbers(4, 5)).data], [model(numbers(4, 5)).data])
        places.append([p.data.ctypes.data for p in model.parameters()])
    assert places[0] == places[1] == places[2]


def test_an_array_that_was_replaced_is_left_alone():
    """A snapshot of a parameter that somebody keeps: `old = p.data`, then `p.data = new`."""
    executor, arguments, _, hosts, bound = bound_executor()
    before = [x.copy() for x in bound]
    replaced = [np.array(bound[0]), *bound[1:]]
    executor.bind(replaced)
    executor.run(arguments, hosts)
    assert_equal_bits(bound[:1], before[:1])


def test_a_state_of_another_shape_is_refused_before_anything_is_changed():
    executor, _, states, _, bound = bound_executor()
    before = [x.copy() for x in bound]
    wrong = [np.array(x) for x in states[:-1]] + [np.zeros((1, *states[-1].shape), "f")]
    with pytest.raises(xpnet.StateError, match="Expected a state of shape"):
        executor.bind(wrong)
    assert_equal_bits(executor.states, before)


def test_a_later_run_does_not_change_the_outputs_of_an_earlier_one():
    builder = Builder()
    x = builder.input("argument", np.ones((4, 3), "f"))
    p = builder.input("state", np.ones((4, 3), "f"))
    new = builder.apply("add", operator.add, p, x)
    builder.program.updates = {0: new}
    table = builder.apply("full", np.full, (3,), 2.0, dtype=np.dtype("f"))
    builder.program.outputs = [new, p, x, table, builder.apply("reshape", np.reshape, new, (3, 4))]
    executor = NumPyExecutor(cleaned(builder.program, "numpy"))
    executor.bind([np.ones((4, 3), "f")])
    argument = np.ones((4, 3), "f")
    outputs = executor.run([argument], [])
    kept = [y.copy() for y in outputs]
    for y in executor.run([argument + 1], []):
        y[...] = -1.0  # nor does the caller change what the executor holds
    assert_equal_bits(outputs, kept)
    np.testing.assert_array_equal(argument, np.ones((4, 3), "f"))
    np.testing.assert_array_equal(executor.run([argument], [])[3], np.full(3, 2, "f"))


# --- operations -------------------------------------------------------------------------------------


def compiled_alone(name, function, *inputs, options=None, arguments=None):
    """One operation on arguments, by the executor and as it is."""
    builder = Builder()
    values = [builder.input("argument", x) if isinstance(x, np.ndarray) else x for x in inputs]
    builder.program.outputs = [builder.apply(name, function, *values, **(options or {}))]
    executor = NumPyExecutor(cleaned(builder.program, "numpy"))
    given_ = [x for x in inputs if isinstance(x, np.ndarray)] if arguments is None else arguments
    return executor.run(given_, [])[0]


def numbers(*shape, dtype="f"):
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize(
    ("name", "function", "inputs"),
    [
        ("matmul", operator.matmul, (numbers(3, 4), numbers(4))),
        ("matmul", operator.matmul, (numbers(2, 3, 4), numbers(4, 5))),
        ("matmul", operator.matmul, (numbers(3, 4), numbers(4, 5, dtype="d"))),
        ("matmul", operator.matmul, (numbers(4, 3), [[1.0], [2.0], [3.0]])),
        ("matmul", operator.matmul, (np.arange(12).reshape(3, 4), np.arange(8).reshape(4, 2))),
        ("astype", lambda x, dtype: x.astype(dtype), (numbers(3, 4), np.dtype("i4"))),
        ("pow", operator.pow, (numbers(3, 4), 2)),
        ("pow", operator.pow, (numbers(3, 4), 2.0)),
        ("pow", np.power, (np.abs(numbers(3, 4)), 1.5)),
        ("pow", operator.pow, (np.arange(4), 2)),
        ("pow", operator.pow, (np.array([100, 3], "i1"), 2.0)),
        ("clip", np.clip, (numbers(3, 4), -0.5, 0.5)),
        ("where", np.where, (numbers(3, 4) > 0, numbers(3, 4), 1.0)),
        ("less", operator.lt, (numbers(3, 4), 0.1)),
        ("add", operator.add, (np.arange(6), 2)),
        ("add", operator.add, (np.arange(6), numbers(2, 6))),
        ("divide", operator.truediv, (np.arange(6), 4)),
        ("remainder", operator.mod, (numbers(3, 4), 0.3)),
        ("round", np.round, (10 * numbers(3, 4),)),
        ("logical_not", np.logical_not, (numbers(3, 4) > 0,)),
        ("linalg.inv", np.linalg.inv, (numbers(3, 3),)),
        ("cumulative_sum", np.cumsum, (numbers(7),)),
        ("argsort", np.argsort, (numbers(7),)),
        ("flip", np.flip, (numbers(3, 4),)),
        ("concat", lambda xs: np.concatenate(xs), ([numbers(3, 4), numbers(2, 4)],)),
    ],
)
def test_an_operation_has_the_bits_of_its_function(name, function, inputs):
    if isinstance(inputs[0], list):
        builder = Builder()
        values = [builder.input("argument", x) for x in inputs[0]]
        builder.program.outputs = [builder.apply(name, function, values)]
        run_and_compare(builder.program, inputs[0], [])
        return
    assert_equal_bits([compiled_alone(name, function, *inputs)], [function(*inputs)])


class Pair(NamedTuple):
    """Two arrays."""

    first: Any
    second: Any


@pytest.mark.parametrize(
    ("name", "function", "made"),
    [
        ("stack", np.stack, lambda x, y: [x, 1.0]),
        ("concat", np.concatenate, lambda x, y: [x, [1.0]]),
        ("max", np.max, lambda x, y: [x, y]),
        ("sum", np.sum, lambda x, y: (x, y)),
        ("mean", np.mean, lambda x, y: [x, y]),
        ("reshape", lambda xs: np.reshape(xs, (6,)), lambda x, y: [x, y]),
        ("difference", lambda pair: pair.first - pair.second, Pair),
    ],
)
def test_arrays_in_lists_and_tuples_are_left_to_the_function(name, function, made):
    shape = () if name == "stack" else (3,)
    arrays = [numbers(*shape), 2 * numbers(*shape)]
    builder = Builder()
    values = [builder.input("argument", x) for x in arrays]
    builder.program.outputs = [builder.apply(name, function, made(*values))]
    run_and_compare(builder.program, arrays, [])


def test_a_value_that_is_a_list_of_arrays_is_stored():
    builder = Builder()
    x = builder.input("argument", numbers(2, 2))
    parts = [builder.apply("getitem", operator.getitem, x, (0, i)) for i in range(2)]
    builder.program.outputs = [builder.apply("set_item", with_item, x, 1, parts)]
    run_and_compare(builder.program, [numbers(2, 2)], [])


def with_item(x, key, value):
    x = x.copy()
    x[key] = value
    return x


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_reshaping_has_the_order_that_it_is_given(order):
    x = numbers(2, 3)
    builder = Builder()
    given = builder.input("argument", x)
    builder.program.outputs = [builder.apply("reshape", np.reshape, given, (6,), order=order)]
    run_and_compare(builder.program, [x], [])


@pytest.mark.parametrize("name", ["sum", "max", "min", "mean", "prod"])
@pytest.mark.parametrize("axis", [None, 0, (0, 2), -1])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("dtype", ["f", "d", "i4"])
def test_a_reduction_has_the_bits_of_its_function(name, axis, keepdims, dtype):
    x = (2 * numbers(3, 5, 7)).astype(dtype)
    function = getattr(np, name)
    options = {"axis": axis, "keepdims": keepdims}
    found = compiled_alone(name, function, x, options=options)
    assert_equal_bits([found], [function(x, **options)])


@pytest.mark.parametrize("size", [1, 2**14 - 1, 2**14 + 1, 3 * 2**14 + 5, 2**18])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_large_parameters_are_updated_in_blocks_with_the_same_bits(size, optimizer):
    """Sizes around a block: the last one is shorter, and no number is left out."""
    layer = xpnet.Parameter(numbers(size))
    other = xpnet.Parameter(numbers(3, 5))
    update = OPTIMIZERS[optimizer]([layer, other])

    def step(x):
        loss = F.sum(layer * layer * x) + F.sum(other * other)
        update.zero_grad()
        loss.backward()
        update.step()
        return loss

    compiled = Compiled(step, executor=Capturing)
    for _ in range(4):
        compiled(numbers(size))
    (replay,) = compiled.replays
    run_and_compare(replay.program, *replay.executor.given)


@pytest.mark.parametrize("rows", [2**7, 2**9, 2**10 + 1])
def test_a_chain_of_many_matrices_has_the_same_bits_around_the_size_of_a_block(rows):
    """All together are large, so that they are computed in blocks: also where each is smaller than a block."""
    first, *others = (numbers(rows, 32) for _ in range(40))

    def step(x):
        y = F.matmul(first, x)
        total = y
        for a in others:
            total = total + y * a * (y + a)
        return total

    compiled = by_numpy(step)
    for _ in range(4):
        x = numbers(32, 32)
        assert_equal_bits([compiled(x)], [step(x)])


def test_arguments_need_not_be_contiguous():
    x = numbers(6, 8)
    w = numbers(8, 3)
    found = compiled_alone("matmul", operator.matmul, x, w, arguments=[x.T.copy().T, w])
    np.testing.assert_allclose(found, x.astype("d") @ w, rtol=1e-5, atol=1e-6)
    strided = np.repeat(x, 2, axis=1)[:, ::2]
    found = compiled_alone("negative", operator.neg, x, arguments=[strided])
    np.testing.assert_array_equal(found, -x)


@pytest.mark.parametrize("indices", [[0, 3, 1], [-1, 2, -5]])
@pytest.mark.parametrize(("name", "function"), [("take", np.take), ("getitem", operator.getitem)])
def test_rows_are_found_by_indices_from_either_end(name, function, indices):
    table = numbers(5, 4)
    i = np.array(indices)
    options = {"axis": 0} if name == "take" else {}
    found = compiled_alone(name, function, table, i, options=options)
    np.testing.assert_array_equal(found, table[i])


@pytest.mark.parametrize("index", [5, -6, 2**40])
@pytest.mark.parametrize(("name", "function"), [("take", np.take), ("getitem", operator.getitem)])
def test_an_index_out_of_range_raises_what_eager_code_raises(name, function, index):
    table = numbers(5, 4)
    options = {"axis": 0} if name == "take" else {}
    with pytest.raises(IndexError) as eager:
        function(table, np.array([0, index]), **options)
    with pytest.raises(IndexError) as found:
        compiled_alone(
            name,
            function,
            table,
            np.array([0, 1]),
            options=options,
            arguments=[table, np.array([0, index])],
        )
    assert str(found.value) == str(eager.value)


@pytest.mark.parametrize("dtype", ["i8", "i4", "u1"])
@pytest.mark.parametrize("classes", [(0, 1, 2, 2), (0, 3, 1, 2), (200, 1, 1, 0)])
def test_a_class_number_out_of_range_has_the_loss_and_gradient_of_eager_code(dtype, classes):
    p = xpnet.Parameter(numbers(5, 3))
    x = numbers(4, 5)
    optimizer = xpnet.SGD([p], lr=0.5)

    def step(x, t):
        loss = F.softmax_cross_entropy(x @ p, t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    compiled = Compiled(step, executor=lambda program: NumPyExecutor(cleaned(program, "numpy")))
    good = np.array([0, 1, 2, 0], dtype)
    for _ in range(4):
        compiled(x, good)
    before = p.data.copy()
    t = np.array(classes).astype(dtype)
    loss = compiled(x, t)
    after = p.data.copy()
    p.data[...] = before
    assert_equal_bits([np.asarray(loss.data)], [np.asarray(step(x, t).data)])
    assert_equal_bits([after], [p.data])


def by_numpy(function):
    return Compiled(function, executor=lambda program: NumPyExecutor(cleaned(program, "numpy")))


@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("order", ["rows", "columns"])
def test_a_cross_entropy_and_its_gradient_have_the_bits_of_eager_code(dtype, order):
    """Also of scores in columns, whose exponentials are not in one piece of memory row by row."""

    def loss(x, t):
        return F.softmax_cross_entropy(F.matrix_transpose(x) if order == "columns" else x, t)

    def both(x, t):
        return loss(x, t), xpnet.grad(lambda y: loss(y, t))(x)

    compiled = by_numpy(both)
    x = numbers(*((5, 3) if order == "columns" else (3, 5)), dtype=dtype)
    for t in ([0, 1, 2], [4, 4, 0], [0, 3, 1], [2, 5, 0], [1, -1, 2]):
        found = compiled(x, np.array(t))
        expected = both(x, np.array(t))
        assert_equal_bits(*[[np.asarray(y.data) for y in ys] for ys in (found, expected)])
        x = x + x.dtype.type(0.25)


# --- the process ------------------------------------------------------------------------------------


def test_two_threads_do_not_write_into_each_others_memory():
    builder = Builder()
    x = builder.input("argument", numbers(300, 300))
    product = builder.apply("matmul", operator.matmul, x, x)
    builder.program.outputs = [builder.apply("tanh", np.tanh, product)]
    executor = NumPyExecutor(cleaned(builder.program, "numpy"))
    given_ = [numbers(300, 300) * k for k in (0.01, 0.1)]
    expected = [np.tanh(x @ x) for x in given_]
    wrong = []

    def run(k):
        for _ in range(50):
            (found,) = executor.run([given_[k]], [])
            if not np.array_equal(found, expected[k]):
                wrong.append(k)

    threads = [threading.Thread(target=run, args=(k,)) for k in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_traceback_shows_the_generated_source():
    table = numbers(5, 4)
    with pytest.raises(IndexError) as raised:
        compiled_alone(
            "getitem", operator.getitem, table, np.array([0]), arguments=[table, np.array([7])]
        )
    text = "".join(traceback.format_exception(raised.value))
    assert "compiled step" in text
    assert "np.copyto(getitem, " in text


def test_the_source_is_forgotten_with_the_executor():
    def sources():
        gc.collect()
        return {name for name in linecache.cache if name.startswith("<compiled step")}

    program, *_ = recorded_step("mlp")
    before = sources()
    executor = NumPyExecutor(cleaned(program, "numpy"))
    assert len(sources() - before) == 1
    del executor
    assert sources() <= before


def test_the_source_names_parameters_and_shapes():
    program, *_ = recorded_step("mlp")
    source = NumPyExecutor(cleaned(program, "numpy")).source
    assert "# matmul (32, 784), (784, 80) -> (32, 80)" in source
    assert "weight" in source
    assert source.count("\n") < 80


def test_names_that_are_no_names_of_python():
    builder = Builder()
    x = builder.input("argument", numbers(4, 3))
    x.name = "class"
    states = [builder.input("state", numbers(4, 3)) for _ in range(4)]
    for state, name in zip(states, ["model.0", "np", "é.²", "output_1"], strict=True):
        state.name = name
    builder.program.updates = {
        i: builder.apply("add", operator.add, state, x) for i, state in enumerate(states)
    }
    builder.program.outputs = [*builder.program.updates.values()]
    run_and_compare(builder.program, [numbers(4, 3)], builder.given("state"))


def test_states_that_are_exchanged_or_replaced():
    builder = Builder()
    x = builder.input("argument", numbers(4, 4))
    p, q, r, s = [builder.input("state", k * numbers(4, 4)) for k in (1, 2, 3, 4)]
    turned = builder.apply("matrix_transpose", np.matrix_transpose, r)
    full = builder.apply("full", np.full, (4, 4), 2.0, dtype=np.dtype("f"))
    builder.program.updates = {0: q, 1: p, 2: turned, 3: x}
    builder.program.outputs = [p, s, full, builder.apply("tanh", np.tanh, s)]
    run_and_compare(builder.program, [numbers(4, 4)], builder.given("state"))


def test_two_states_with_one_new_value():
    builder = Builder()
    p, q = [builder.input("state", k * numbers(4, 4)) for k in (1, 2)]
    new = builder.apply("add", operator.add, p, q)
    builder.program.updates = {0: new, 1: new}
    run_and_compare(builder.program, [], builder.given("state"))


@pytest.mark.parametrize("scalar", [np.float64(0.1), np.float32(0.1), np.int64(3), True, 2**40])
def test_a_number_is_promoted_as_in_eager_code(scalar):
    for x in (numbers(3, 4), numbers(3, 4, dtype="d"), np.arange(12).reshape(3, 4)):
        for name, function in (("multiply", operator.mul), ("add", np.add)):
            found = compiled_alone(name, function, x, scalar)
            assert_equal_bits([found], [function(x, scalar)])


def test_a_large_array_that_is_only_read_stays_where_it_is():
    """A data set: a second copy of it would be a waste."""
    builder = Builder()
    whole = np.zeros(5 * 2**20 + 1, "f")[1:].reshape(-1, 5)
    data = builder.input("state", whole)
    p = builder.input("state", numbers(5))
    i = builder.input("argument", np.array([3, 1]))
    rows = builder.apply("getitem", operator.getitem, data, i)
    builder.program.updates = {1: builder.apply("add", operator.add, p, 1.0)}
    builder.program.outputs = [rows]
    executor = NumPyExecutor(cleaned(builder.program, "numpy"))
    bound = executor.bind([whole, np.zeros(6, "f")[1:]])
    assert bound[0] is whole
    assert bound[1].ctypes.data % 64 == 0
    whole[3] = 7.0  # its owner may still change it
    (found,) = executor.run([np.array([3, 1])], [])
    np.testing.assert_array_equal(found, [[7.0] * 5, [0.0] * 5])


def test_several_steps_in_one_call_are_those_of_several_calls():
    program, arguments, states, hosts = recorded_step("mlp", OPTIMIZERS["Adam"])
    one, other = (NumPyExecutor(cleaned(program, "numpy")) for _ in range(2))
    for executor in (one, other):
        executor.bind([np.array(x) for x in states])
    batches = [np.stack([k * arguments[0] for k in (1, 2, 3)]), np.stack([arguments[1]] * 3)]
    found = one.run_steps(batches, [hosts] * 3)
    assert [len(x) for x in found] == [3] * len(found)
    for i in range(3):
        outputs = [x[i, ...] for x in found]
        assert_equal_bits(outputs, other.run([x[i] for x in batches], hosts))
    assert_equal_bits(one.states, other.states)


def test_two_tables_share_the_check_of_their_indices():
    builder = Builder()
    tables = [numbers(5, 4), numbers(5, 2), numbers(6, 2)]
    values = [builder.input("argument", x) for x in tables]
    i = builder.input("argument", np.array([4, 0]))
    builder.program.outputs = [builder.apply("getitem", operator.getitem, x, i) for x in values]
    executor = NumPyExecutor(cleaned(builder.program, "numpy"))
    assert executor.source.count(".argmax()") == 2  # for 5 rows, and for 6
    for rows in ([4, 0], [-1, 2]):
        found = executor.run([*tables, np.array(rows)], [])
        assert_equal_bits(found, [x[rows] for x in tables])
    with pytest.raises(IndexError):
        executor.run([*tables, np.array([5, 0])], [])


def test_a_parameter_in_columns_is_moved_into_rows_with_the_same_numbers():
    """Eager code afterwards computes on the same memory, and so with the same bits as a replay."""
    w = xpnet.Parameter(np.asfortranarray(numbers(33, 17, dtype="d")))
    x = numbers(1, 33, dtype="d")
    before = w.data.copy()
    compiled = by_numpy(lambda x: x @ w)
    for _ in range(4):
        found = compiled(x)
    assert w.data.flags.c_contiguous
    assert_equal_bits([w.data], [before])
    assert_equal_bits([found.data], [(x @ w).data])
    np.testing.assert_allclose(found.data, x @ before, rtol=1e-13, atol=1e-13)


# --- what is recorded by a name that others have -----------------------------------------------------


@pytest.mark.parametrize(
    ("step", "shape"),
    [
        (lambda a: (np.add.reduce(a), np.multiply.reduce(a)), (3, 4)),
        (lambda a: (np.add.outer(a, a), np.multiply.outer(a, a)), (3,)),
        (lambda a: (np.trace(a), np.linalg.trace(a)), (3, 3, 2, 2)),
        (lambda a: a.T * 2.0, (3, 3, 3)),
        (lambda a: a.T * 2.0, (2, 3, 4)),
        (lambda a: a.T * 2.0, (2, 3)),
        (lambda a: a.T * 2.0, (3,)),
    ],
)
def test_a_function_is_not_taken_for_another_one_of_its_name(step, shape):
    x = numbers(*shape)
    compiled = by_numpy(step)
    for _ in range(4):
        found = compiled(x)
    assert len(compiled.replays) == 1
    expected = step(x)
    if not isinstance(expected, tuple):
        assert_equal_bits([found], [expected])
        return
    assert_equal_bits(found, expected)


def test_a_ufunc_of_somebody_else_is_not_taken_for_the_librarys():
    """`square` of the user has the name of NumPy's."""

    class Ufunc:
        __name__ = "square"

    assert name_of(np.square, "__call__") == "square"
    assert name_of(np.power, "__call__") == "pow"
    assert name_of(np.add, "reduce") == "np.add.reduce"
    assert name_of(Ufunc(), "__call__") == "ufunc.square.__call__"


# --- an array that somebody else has put into the state ----------------------------------------------


def test_an_aligned_array_that_is_put_into_the_state_is_not_written_over():
    state = {"p": np.zeros((4, 16), "f")}

    def step(x):
        state["p"] = state["p"] + x
        return state["p"] * 2.0

    compiled = by_numpy(step)
    x = np.ones((4, 16), "f")
    for _ in range(4):
        compiled(x)
    mine = aligned_empty(4 * 16 * 4).view("f").reshape(4, 16)
    mine[...] = 10.0
    state["p"] = mine
    for k in (1, 2):
        np.testing.assert_array_equal(compiled(x), np.full((4, 16), 20.0 + 2 * k))
    np.testing.assert_array_equal(mine, np.full((4, 16), 10.0))
    assert len(compiled.replays) == 1
