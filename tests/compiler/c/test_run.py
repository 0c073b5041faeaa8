"""Whole plans: drawn programs, carried out by the C library, against NumPy operation by operation."""

import operator

import numpy as np
import pytest
from hypothesis import assume, given, settings

from tests.compiler.programs import Builder, builders
from xpnet import functions as F
from xpnet.compiler.compiled import Compiled
from xpnet.compiler.executors.c import CExecutor
from xpnet.compiler.passes import cleaned
from xpnet.compiler.record import Value, replaced
from xpnet.errors import CompileError
from xpnet.functions import _windows as portable
from xpnet.kernels.elementary import _relu_gradient as relu_gradient, zero_unless
from xpnet.kernels.window import Window

LARGEST = (
    2**22
)  # numbers up to here, and halves of them, are exact in float32: there is no rounding


def exact(program):
    """The program without operations that round, on whole numbers."""
    for operation in program.operations:
        if operation.name == "tanh":
            operation.name = "abs"
            operation.function = np.abs
        if operation.name == "divide":
            operation.name = "subtract"
            operation.function = operator.sub
        for x in operation.inputs():
            if x.source == "constant":
                x.array = np.rint(2 * x.array)
    return program


def interpreted(program, arguments, states, hosts):
    """The outputs and the new states; given up where a number is so large that it might be rounded."""
    known = dict(zip(program.arguments, arguments, strict=True))
    known |= dict(zip(program.states, [x.copy() for x in states], strict=True))
    known |= dict(zip(program.hosts, hosts, strict=True))

    def array(x):
        if not isinstance(x, Value):
            return x
        return x.array if x.source == "constant" else known[x]

    for operation in program.operations:
        result = operation.function(
            *replaced(operation.args, array), **replaced(operation.options, array)
        )
        known[operation.result] = np.array(result)
        assume(not np.any(np.abs(result) > LARGEST))
        assume(np.all(result * 256 == np.rint(result * 256)))
    new = [np.array(array(program.updates.get(i, x))) for i, x in enumerate(program.states)]
    return [np.array(array(x)) for x in program.outputs], new


def whole(arrays):
    return [np.rint(2 * x) if isinstance(x, np.ndarray) else x for x in arrays]


@pytest.mark.parametrize("products", ["own", "blas"])
@given(builder=builders())
@settings(deadline=None, max_examples=40)
def test_drawn_programs_compute_what_numpy_does(plans, products, builder):
    program = exact(builder.program)
    arguments = whole(builder.given("argument"))
    states = whole(builder.given("state"))
    hosts = [0.25]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XPNET_PRODUCTS", products)
        executor = CExecutor(cleaned(program, "c"), plans)
    bound = executor.bind([x.copy() for x in states])
    for _ in range(2):
        expected, states = interpreted(program, arguments, states, hosts)
        found = executor.run(arguments, hosts)
        for x, y in zip([*found, *bound], [*expected, *states], strict=True):
            assert x.shape == y.shape
            np.testing.assert_array_equal(x, y)


@given(builder=builders())
@settings(deadline=None, max_examples=40)
def test_several_steps_in_one_call_are_those_steps(plans, builder):
    program = exact(builder.program)
    states = whole(builder.given("state"))
    stacked = [np.stack([x, x + 1, -x]) for x in whole(builder.given("argument"))]
    hosts = [[0.25], [0.5], [0.0]]
    executor = CExecutor(cleaned(program, "c"), plans)
    bound = executor.bind([x.copy() for x in states])
    expected = []
    for i, host in enumerate(hosts):
        outputs, states = interpreted(program, [x[i] for x in stacked], states, host)
        expected.append(outputs)
    found = executor.run_steps(stacked, hosts)
    for ours, theirs in zip(found, zip(*expected, strict=True), strict=True):
        assert len(ours) == len(hosts)
        for x, y in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(x, y)
    for x, y in zip(bound, states, strict=True):
        np.testing.assert_array_equal(x, y)


def swap():
    """A program that exchanges two states, and returns the old first one and a view of it."""
    builder = Builder()
    x = builder.input("state", np.arange(12.0, dtype="f").reshape(4, 3))
    y = builder.input("state", np.ones((4, 3), "f"))
    turned = builder.apply("matrix_transpose", np.matrix_transpose, x)
    builder.program.outputs = [x, turned]
    builder.program.updates = {0: y, 1: x}
    return builder


def test_states_that_are_exchanged_keep_their_numbers(plans):
    builder = swap()
    executor = CExecutor(builder.program, plans)
    x, y = (a.copy() for a in builder.given("state"))
    bound = executor.bind([x.copy(), y.copy()])
    outputs = executor.run([], [])
    np.testing.assert_array_equal(outputs[0], x)
    np.testing.assert_array_equal(outputs[1], x.T)
    np.testing.assert_array_equal(bound[0], y)
    np.testing.assert_array_equal(bound[1], x)


def test_a_state_that_is_read_after_its_new_value_is_computed_is_kept_until_then(plans):
    builder = Builder()
    x = builder.input("state", np.arange(12.0, dtype="f").reshape(4, 3))
    new = builder.apply("negative", operator.neg, x)
    turned = builder.apply("matrix_transpose", np.matrix_transpose, x)
    product = builder.apply("matmul", operator.matmul, x, turned)
    builder.program.outputs = [product]
    builder.program.updates = {0: new}
    executor = CExecutor(cleaned(builder.program, "c"), plans)
    start = builder.given("state")[0]
    [bound] = executor.bind([start.copy()])
    [y] = executor.run([], [])
    np.testing.assert_array_equal(y, start @ start.T)
    np.testing.assert_array_equal(bound, -start)


def test_a_chain_that_needs_a_number_after_it_replaced_it_does_not_replace_it(plans):
    builder = Builder()
    p = builder.input("state", np.arange(12.0, dtype="f").reshape(4, 3))
    g = builder.input("argument", np.full((4, 3), np.float32(2)))
    product = builder.apply("multiply", operator.mul, p, g)
    new = builder.apply("subtract", operator.sub, p, g)
    late = builder.apply("add", operator.add, product, new)
    builder.program.outputs = [late]
    builder.program.updates = {0: new}
    executor = CExecutor(cleaned(builder.program, "c"), plans)
    start = builder.given("state")[0]
    [bound] = executor.bind([start.copy()])
    [y] = executor.run(builder.given("argument"), [])
    np.testing.assert_array_equal(y, 3 * start - 2)
    np.testing.assert_array_equal(bound, start - 2)


def test_outputs_stay_as_they_are_in_later_steps(plans):
    builder = Builder()
    x = builder.input("argument", np.ones(5, "f"))
    builder.program.outputs = [builder.apply("add", operator.add, x, x), x]
    executor = CExecutor(cleaned(builder.program, "c"), plans)
    executor.bind([])
    first = executor.run([np.ones(5, "f")], [])
    executor.run([np.full(5, np.float32(7))], [])
    np.testing.assert_array_equal(first[0], np.full(5, 2))
    np.testing.assert_array_equal(first[1], np.ones(5))


def test_an_argument_of_any_strides_is_taken(plans):
    builder = Builder()
    x = builder.input("argument", np.ones((4, 3), "f"))
    builder.program.outputs = [builder.apply("negative", operator.neg, x)]
    executor = CExecutor(cleaned(builder.program, "c"), plans)
    executor.bind([])
    given = np.arange(24, dtype="f").reshape(3, 8)[:, ::2].T
    [y] = executor.run([given], [])
    np.testing.assert_array_equal(y, -given)


def test_an_operation_that_c_lacks_splits_the_plan(plans):
    builder = Builder()
    x = builder.input("argument", np.arange(12.0, dtype="f").reshape(4, 3))
    p = builder.input("state", np.zeros((4, 3), "f"))
    doubled = builder.apply("add", operator.add, x, x)
    summed = builder.apply("cumulative_sum", np.cumulative_sum, doubled, axis=0)
    new = builder.apply("add", operator.add, summed, p)
    builder.program.outputs = [summed]
    builder.program.updates = {0: new}
    executor = CExecutor(cleaned(builder.program, "c"), plans)
    [state] = executor.bind(builder.given("state"))
    assert [x.name for x in executor.calls()] == ["cumulative_sum"]
    [given] = builder.given("argument")
    stacked = np.stack([given, 2 * given])
    [outputs] = executor.run_steps([stacked], [[], []])
    expected = np.cumsum(2 * given, axis=0)
    np.testing.assert_array_equal(outputs[0], expected)
    np.testing.assert_array_equal(outputs[1], 2 * expected)
    np.testing.assert_array_equal(state, 3 * expected)


@pytest.mark.parametrize("products", ["own", "blas"])
def test_the_mask_of_a_product_removes_what_the_gradient_of_relu_does(plans, products, monkeypatch):
    monkeypatch.setenv("XPNET_PRODUCTS", products)
    builder = Builder()
    a = builder.input("argument", np.arange(12, dtype="f").reshape(4, 3) + 1)
    b = builder.input("argument", np.ones((3, 5), "f"))
    mask = builder.input("argument", np.ones((4, 5), "f"))
    y = builder.apply("matmul", operator.matmul, a, b)
    builder.program.outputs = [builder.apply("relu_gradient", relu_gradient, y, mask)]
    executor = CExecutor(cleaned(builder.program, "c"), plans)
    executor.bind([])
    given = builder.given("argument")
    given[2] = np.resize(np.array([np.nan, 1, 0, -0.0, -1, np.inf, -np.inf], "f"), (4, 5))
    [found] = executor.run(given, [])
    assert [x.name for x in executor.calls()] == []
    np.testing.assert_array_equal(found, zero_unless(given[0] @ given[1], given[2] > 0))


# A step of which C makes one gather: it takes rows of bytes, and scales them.
SCALINGS = {
    "a number": (lambda x: x / 255.0, 1),
    "an array of no axes": (lambda x: x / np.float32(255), 1),
    "a factor in front": (lambda x: np.float32(1 / 255) * x, 1),
    "a shift": (lambda x: 0.5 + x / np.float32(255), 1),
    "an infinite factor": (lambda x: (x + np.float32(1)) * np.float32(np.inf), 2),
}


@pytest.mark.parametrize("name", SCALINGS)
def test_rows_of_bytes_are_scaled_while_they_are_gathered(plans, name):
    function, instructions = SCALINGS[name]
    table = np.arange(240, dtype=np.uint8).reshape(20, 12)

    def step(table, indices):
        return function(F.astype(table[indices], np.float32))

    def in_c(program):
        return CExecutor(cleaned(program, "c"), plans)

    compiled = Compiled(step, executor=in_c)
    indices = np.array([3, -1, 0, 7, 7])
    for _ in range(4):
        found = compiled(table, indices)
    np.testing.assert_allclose(found, step(table, indices), rtol=2e-7)
    assert found.dtype == np.float32
    [plan] = compiled.plans
    assert f"{instructions} instructions, 0 calls" in str(plan)


def pooled(size):
    """A program that takes maxima of images under a window of size x size, and their gradient."""
    window = Window((20, 20), (size, size), (3, 2), ((1, 1), (0, 0)), (1, 1))
    rng = np.random.default_rng(0)
    builder = Builder()
    x = builder.input("argument", rng.integers(-9, 9, (5, 2, 20, 20)).astype("f"))
    gy = builder.input("argument", rng.integers(-9, 9, (5, 2, *window.out)).astype("f"))
    y = builder.apply("maxima", portable.maxima, x, window)
    builder.program.outputs = [y, builder.apply("place", portable.place, gy, x, y, window)]
    return builder, window


@pytest.mark.parametrize(("size", "has_index"), [(11, True), (12, False)])
def test_maxima_have_an_index_only_if_it_fits_into_a_byte(plans, size, has_index):
    builder, _ = pooled(size)
    program = cleaned(builder.program, "c")
    assert any(x.name == "pooling" for x in program.operations) == has_index
    executor = CExecutor(program, plans)
    executor.bind([])
    assert executor.calls() == []
    for found, output in zip(
        executor.run(builder.given("argument"), []), builder.program.outputs, strict=True
    ):
        np.testing.assert_array_equal(found, builder.arrays[output])


def test_an_index_that_does_not_fit_into_a_byte_is_refused(plans):
    builder, _ = pooled(11)
    program = cleaned(builder.program, "c")
    pooling = next(x for x in program.operations if x.name == "pooling")
    pooling.options["window"] = pooled(12)[1]
    with pytest.raises(CompileError, match="at most 127 numbers, got 144"):
        CExecutor(program, plans)
