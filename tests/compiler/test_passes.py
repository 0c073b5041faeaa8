"""Passes: programs before and after each of them compute the same bits."""

import operator

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
    snapshot,
)
from xpnet.autodiff.namespace import array_namespace
from xpnet.compiler.compiled import Compiled
from xpnet.compiler.passes import cleaned
from xpnet.compiler.passes.chain import ELEMENTWISE, Chain
from xpnet.compiler.passes.chains import with_chains
from xpnet.compiler.passes.common import without_repetitions
from xpnet.compiler.passes.constants import with_constants_folded
from xpnet.compiler.passes.dead import without_dead_operations
from xpnet.compiler.passes.fused_products import with_fused_products
from xpnet.compiler.passes.fused_windows import with_fused_windows
from xpnet.compiler.passes.identities import without_identities
from xpnet.compiler.passes.products import with_outer_products_as_matmul, with_product_updates
from xpnet.compiler.passes.rewriting import Rewriting
from xpnet.compiler.record import Value
from xpnet.functions import _windows as portable
from xpnet.kernels.elementary import outer_product
from xpnet.kernels.window import Window

PASSES = (
    without_dead_operations,
    with_constants_folded,
    without_identities,
    without_repetitions,
    with_chains,
)


def rng():
    return np.random.default_rng(0)


def matrix(m=4, n=3):
    return rng().standard_normal((m, n)).astype("f")


def check(program):
    """Whether each value is computed once, before it is read, by the operation that it names."""
    known = {*program.arguments, *program.states, *program.hosts}
    for operation in program.operations:
        for x in operation.inputs():
            assert x in known or x.source == "constant"
        for i, x in enumerate(operation.outputs):
            assert x not in known
            assert (x.operation, x.index) == (operation, i)
            known.add(x)
    for x in (*program.outputs, *program.updates.values()):
        assert x in known or x.source == "constant"


def check_chains(program):
    """Whether chains keep the rules of their format."""
    for operation in program.operations:
        assert operation.name not in ELEMENTWISE
        if operation.name != "chain":
            continue
        chain = operation.options["chain"]
        assert isinstance(chain, Chain)
        assert tuple(x.dtype for x in operation.args) == chain.inputs
        assert len(set(operation.args)) == len(operation.args)
        for n, step in enumerate(chain.steps):
            assert all(0 <= register < chain.first + n for register in step.registers)
            assert len(step.registers) == ELEMENTWISE[step.name]
        for register, x in zip(chain.results, operation.outputs, strict=True):
            assert x.shape == chain.shape
            assert x.dtype == chain.steps[register - chain.first].dtype


@pytest.mark.parametrize("change", PASSES, ids=lambda change: change.__name__)
@given(builder=builders())
@settings(deadline=None)
def test_a_pass_leaves_the_results_as_they_are(change, builder):
    with np.errstate(all="ignore"):
        given_ = snapshot(builder.program)
        changed = change(builder.program)
        assert snapshot(builder.program) == given_
        check(changed)
        arrays = [builder.given(kind) for kind in ("argument", "state", "host")]
        for before, after in zip(
            interpreted(builder.program, *arrays), interpreted(changed, *arrays), strict=True
        ):
            assert_equal_bits(after, before)


@given(builder=builders())
@settings(deadline=None)
def test_all_passes_together_leave_the_results_as_they_are(builder):
    with np.errstate(all="ignore"):
        changed = cleaned(builder.program, "numpy")
        check(changed)
        check_chains(changed)
        arrays = [builder.given(kind) for kind in ("argument", "state", "host")]
        for before, after in zip(
            interpreted(builder.program, *arrays), interpreted(changed, *arrays), strict=True
        ):
            assert_equal_bits(after, before)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("kind", ["library", "numpy"])
def test_a_training_step_is_the_same_bit_for_bit(name, kind):
    program, *arrays = recorded_step(name)
    changed = cleaned(program, kind)
    check(changed)
    assert len(changed.operations) <= len(program.operations)
    for before, after in zip(
        interpreted(program, *arrays),
        interpreted(changed, *arrays),
        strict=True,
    ):
        assert_equal_bits(after, before)


def test_dead_operations_and_those_that_only_they_need_are_left_out():
    builder = Builder()
    x = builder.input("argument", matrix())
    unused = builder.apply("negative", operator.neg, builder.apply("tanh", np.tanh, x))
    builder.program.outputs = [builder.apply("square", np.square, x)]
    assert unused.operation in builder.program.operations
    assert [o.name for o in without_dead_operations(builder.program).operations] == ["square"]


def test_a_state_that_becomes_itself_is_no_update():
    builder = Builder()
    state = builder.input("state", matrix())
    builder.program.updates = {0: state}
    assert without_dead_operations(builder.program).updates == {}


@pytest.mark.parametrize("pair", [(0.0, -0.0), (1, 1.0), (True, 1)])
def test_numbers_that_python_takes_for_equal_are_not_repetitions(pair):
    builder = Builder()
    x = builder.input("argument", matrix())
    builder.program.outputs = [
        builder.apply("copysign", lambda x, y: np.copysign(x, float(y)), x, y) for y in pair
    ]
    assert len(without_repetitions(builder.program).operations) == 2


def test_equal_operations_are_computed_once():
    builder = Builder()
    x = builder.input("argument", matrix())
    builder.program.outputs = [
        builder.apply("sum", np.sum, x, axis=0, keepdims=True),
        builder.apply("sum", np.sum, x, keepdims=True, axis=0),
        builder.apply("sum", np.sum, x, axis=1, keepdims=True),
    ]
    changed = without_repetitions(builder.program)
    assert len(changed.operations) == 2
    assert changed.outputs[0] is changed.outputs[1]


def test_what_the_step_makes_of_numbers_is_computed_once_and_an_array_from_elsewhere_is_read_anew():
    builder = Builder()
    x = builder.input("argument", matrix())
    table = np.ones((3,), "f")
    foreign = builder.input("constant", table)
    own = builder.apply("negative", operator.neg, builder.apply("arange", np.arange, 3))
    doubled = builder.apply("multiply", operator.mul, foreign, 2.0)
    builder.program.outputs = [builder.apply("add", operator.add, x, own), doubled]
    changed = with_constants_folded(builder.program)
    assert [o.name for o in changed.operations] == ["multiply", "add"]
    table[:] = 5.0
    outputs, _ = interpreted(changed, builder.given("argument"), [])
    np.testing.assert_array_equal(outputs[1], np.full(3, 10, "f"))


@pytest.mark.parametrize(
    ("name", "function", "args", "is_identity"),
    [
        ("multiply", operator.mul, (1.0,), True),
        ("multiply", operator.mul, (1,), True),
        ("divide", operator.truediv, (1.0,), True),
        ("subtract", operator.sub, (0.0,), True),
        ("subtract", operator.sub, (-0.0,), False),  # -0 - -0 = +0
        ("add", operator.add, (0.0,), False),  # -0 + 0 = +0
        ("astype", lambda x, dtype: x.astype(dtype), (np.dtype("f"),), True),
        ("astype", lambda x, dtype: x.astype(dtype), (np.dtype("d"),), False),
        ("conj", np.conj, (), True),
        ("reshape", np.reshape, ((4, 3),), True),
        ("reshape", np.reshape, ((3, 4),), False),
        ("getitem", operator.getitem, ((slice(None), ...),), True),
        ("getitem", operator.getitem, (slice(0, 2),), False),
        ("permute_dims", np.transpose, ((0, 1),), True),
        ("permute_dims", np.transpose, ((1, 0),), False),
        ("positive", operator.pos, (), True),
    ],
)
def test_only_what_changes_no_bit_is_an_identity(name, function, args, is_identity):
    builder = Builder()
    x = builder.input("argument", matrix())
    builder.program.outputs = [builder.apply(name, function, x, *args)]
    changed = without_identities(builder.program)
    assert (changed.outputs == [x]) == is_identity


def reshaped_twice(before, shape):
    """A matrix of 3 times 3 numbers, changed, reshaped, and reshaped back."""
    builder = Builder()
    x = builder.input("argument", matrix(3, 3))
    x = before(builder, x)
    flat = builder.apply("reshape", np.reshape, x, shape)
    builder.program.outputs = [builder.apply("reshape", np.reshape, flat, (3, 3))]
    return without_identities(builder.program), x


def test_a_reshaping_that_made_rows_contiguous_is_kept():
    """A product of the copy adds in another order than one of the transposed matrix."""

    def transposed(builder, x):
        return builder.apply("matrix_transpose", np.matrix_transpose, x)

    changed, _ = reshaped_twice(transposed, (-1,))
    assert [o.name for o in changed.operations] == ["matrix_transpose", "reshape", "reshape"]


@pytest.mark.parametrize(
    ("before", "shape"),
    [
        (lambda builder, x: builder.apply("matmul", operator.matmul, x, x), (-1,)),
        (lambda builder, x: builder.apply("tanh", np.tanh, x), (3, 1, 3)),
    ],
)
def test_reshapings_that_copied_nothing_are_identities(before, shape):
    changed, x = reshaped_twice(before, shape)
    assert changed.outputs[0].operation.name == x.operation.name


def test_the_identity_of_a_square_matrix_is_not_taken_for_its_transposition():
    builder = Builder()
    x = builder.input("argument", matrix(3, 3))
    builder.program.outputs = [builder.apply("permute_dims", np.transpose, x, (1, 0))]
    assert len(without_identities(builder.program).operations) == 1


def test_a_step_of_adam_on_one_parameter_is_one_chain():
    program, *_ = recorded_step("mlp", xpnet.Adam)
    changed = cleaned(program, "numpy")
    chains = {x.operation for x in changed.updates.values() if x.operation.name == "chain"}
    assert len(chains) == 6  # weights and biases of three layers
    assert all(len(operation.outputs) == 3 for operation in chains)  # p, m and v


def test_a_chain_does_not_reach_across_an_operation_that_needs_it():
    """y = tanh(x); z = y + sum(y): the sum needs y, and z needs the sum."""
    builder = Builder()
    x = builder.input("argument", matrix())
    y = builder.apply("tanh", np.tanh, x)
    total = builder.apply("sum", np.sum, y)
    builder.program.outputs = [builder.apply("add", operator.add, y, total)]
    changed = with_chains(builder.program)
    assert [o.name for o in changed.operations] == ["chain", "sum", "chain"]


def test_a_chain_has_only_steps_of_its_shape():
    builder = Builder()
    x = builder.input("argument", matrix())
    b = builder.input("argument", matrix()[0])
    small = builder.apply("tanh", np.tanh, b)
    builder.program.outputs = [builder.apply("add", operator.add, x, small)]
    changed = with_chains(builder.program)
    assert [o.options["chain"].shape for o in changed.operations] == [(3,), (4, 3)]


def test_a_chain_prints_as_one_line():
    builder = Builder()
    x = builder.input("argument", matrix())
    builder.program.outputs = [
        builder.apply("tanh", np.tanh, builder.apply("multiply", operator.mul, x, 0.5))
    ]
    (operation,) = with_chains(builder.program).operations
    assert str(operation.options["chain"]) == "t2 = multiply(x0, 0.5); t3 = tanh(t2)"


def product_program(change):
    """p, x and g, and a program whose state p becomes change(builder, p, x.T @ g)."""
    builder = Builder()
    p = builder.input("state", matrix(5, 3))
    x = builder.input("argument", rng().standard_normal((8, 5)).astype("f"))
    g = builder.input("argument", rng().standard_normal((8, 3)).astype("f"))
    turned = builder.apply("matrix_transpose", np.matrix_transpose, x)
    product = builder.apply("matmul", operator.matmul, turned, g)
    builder.program.updates = {0: change(builder, p, product)}
    return builder


def descent(builder, p, product):
    scaled = builder.apply("multiply", operator.mul, 0.1, product)
    return builder.apply("subtract", operator.sub, p, scaled)


def momentum(builder, p, product):
    slower = builder.apply("multiply", operator.mul, p, 0.9)
    return builder.apply("add", operator.add, slower, product)


def reversed_sum(builder, p, product):
    return builder.apply("add", operator.add, product, p)


@pytest.mark.parametrize("change", [descent, momentum, reversed_sum])
def test_a_product_that_is_only_added_is_one_operation(change):
    builder = product_program(change)
    changed = with_product_updates(builder.program)
    check(changed)
    assert [o.name for o in changed.operations] == ["matrix_transpose", "product_update"]
    arrays = [builder.given(kind) for kind in ("argument", "state")]
    _, (expected,) = interpreted(builder.program, *arrays)
    _, (found,) = interpreted(changed, *arrays)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("stack", [(), (2,), (3, 2)])
def test_a_column_times_a_row_is_a_matrix_product_with_the_same_numbers(stack):
    numbers = rng()
    builder = Builder()
    column = builder.input("argument", numbers.standard_normal((*stack, 5, 1)).astype("f"))
    row = builder.input("argument", numbers.standard_normal((*stack, 1, 3)).astype("f"))
    builder.program.outputs = [builder.apply("outer_product", outer_product, column, row)]
    changed = with_outer_products_as_matmul(builder.program)
    check(changed)
    assert [o.name for o in changed.operations] == ["matmul"]
    arguments = builder.given("argument")
    (expected,), _ = interpreted(builder.program, arguments, [])
    (found,), _ = interpreted(changed, arguments, [])
    np.testing.assert_array_equal(found, expected)


def test_a_product_that_somebody_reads_stays():
    def change(builder, p, product):
        builder.program.outputs = [product]
        return descent(builder, p, product)

    changed = with_product_updates(product_program(change).program)
    assert "product_update" not in [o.name for o in changed.operations]


def test_a_product_that_is_added_to_itself_stays():
    def change(builder, p, product):
        doubled = builder.apply("multiply", operator.mul, 2.0, product)
        return builder.apply("add", operator.add, product, doubled)

    changed = with_product_updates(product_program(change).program)
    assert "product_update" not in [o.name for o in changed.operations]


@pytest.mark.parametrize("name", SIZES)
def test_constants_of_a_training_step_are_no_larger_than_its_arrays(name):
    """Folding makes no table that the step itself would not hold."""
    program, *_ = recorded_step(name)
    changed = cleaned(program, "numpy")
    constants = {
        x: x.array.nbytes
        for o in changed.operations
        for x in o.inputs()
        if isinstance(x, Value) and x.source == "constant"
    }
    largest = max(
        np.prod(x.shape) * x.dtype.itemsize for o in program.operations for x in o.outputs
    )
    assert sum(constants.values()) <= 2 * largest


def test_an_operation_is_shared_until_it_reads_a_value_that_was_replaced():
    builder = Builder()
    x = builder.input("argument", matrix())
    first = builder.apply("tanh", np.tanh, x)
    second = builder.apply("tanh", np.tanh, first)
    builder.program.outputs = [second]
    rewriting = Rewriting(builder.program)
    assert rewriting.keep(first.operation) is first.operation
    copy = rewriting.copy(first.operation)
    assert copy is not first.operation
    kept = rewriting.keep(second.operation)
    assert kept is not second.operation
    assert kept.args == (copy.outputs[0],)
    assert second.operation.args == (first,)


# --- what a name does not say -----------------------------------------------------------------------


def test_functions_of_one_name_are_not_repetitions():
    builder = Builder()
    x = builder.input("argument", matrix())
    functions = (np.add.reduce, np.multiply.reduce)
    builder.program.outputs = [builder.apply("reduce", function, x) for function in functions]
    assert len(without_repetitions(builder.program).operations) == 2


@pytest.mark.parametrize(
    ("name", "function"),
    [("stack", np.stack), ("concat", np.concatenate)],
)
def test_reshapings_of_what_has_the_order_of_its_operands_are_kept(name, function):
    """A stack of transposed matrices is not in the order of its axes: its reshaping makes it so."""
    builder = Builder()
    x = builder.input("argument", matrix(3, 2))
    turned = builder.apply("matrix_transpose", np.matrix_transpose, x)
    joined = builder.apply(name, function, [turned, turned])
    shape = builder.arrays[joined].shape
    flat = builder.apply("reshape", np.reshape, joined, (-1,))
    builder.program.outputs = [builder.apply("reshape", np.reshape, flat, shape)]
    names = [o.name for o in without_identities(builder.program).operations]
    assert names == ["matrix_transpose", name, "reshape", "reshape"]


def test_a_reshaping_in_another_order_is_no_identity():
    builder = Builder()
    x = builder.input("argument", matrix(2, 2))
    y = builder.input("argument", matrix(2, 3))
    product = builder.apply("matmul", operator.matmul, x, y)
    flat = builder.apply("reshape", np.reshape, product, (6,), order="F")
    builder.program.outputs = [builder.apply("reshape", np.reshape, flat, (2, 3))]
    before, _ = interpreted(builder.program, builder.given("argument"), [])
    after, _ = interpreted(without_identities(builder.program), builder.given("argument"), [])
    assert_equal_bits(after, before)


def test_an_operation_with_options_is_no_identity():
    """`np.multiply(x, 1.0, where=mask)`, for example."""
    builder = Builder()
    x = builder.input("argument", matrix())
    product = builder.apply("multiply", lambda x, y, where: x * y * where, x, 1.0, where=0.0)
    builder.program.outputs = [product]
    assert len(without_identities(builder.program).operations) == 1


@pytest.mark.parametrize(("number", "fuses"), [(0.0, True), (0, True), (-0.0, False)])
def test_only_the_maximum_with_positive_zero_is_fused_with_a_product(number, fuses):
    builder = Builder()
    x = builder.input("argument", matrix())
    y = builder.apply("matmul", operator.matmul, x, builder.input("state", matrix(3, 2)))
    builder.program.outputs = [builder.apply("maximum", np.maximum, y, number)]
    names = [o.name for o in with_fused_products(builder.program).operations]
    assert names == (["product"] if fuses else ["matmul", "maximum"])


@pytest.mark.parametrize("reads_early", [False, True])
def test_sums_that_are_read_before_the_gradient_of_a_kernel_are_computed_by_themselves(reads_early):
    """The sums of gy belong to the gradient of the bias, and the layer before may need them first."""
    window = Window((5, 5), (3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1))
    builder = Builder()
    x = builder.input("argument", rng().standard_normal((2, 3, 5, 5)).astype("f"))
    gy = builder.input("argument", rng().standard_normal((2, 4, *window.out)).astype("f"))
    total = builder.apply("sum", np.sum, gy, axis=(0, 2, 3))
    early = builder.apply("multiply", operator.mul, total, 2.0) if reads_early else total
    gradient = builder.apply("weigh", portable.weigh, x, gy, window, 1)
    builder.program.outputs = [early, gradient]
    changed = with_fused_windows(builder.program)
    check(changed)
    assert ("sum" in [o.name for o in changed.operations]) == reads_early


def test_a_function_of_the_library_is_not_taken_for_a_kernel_of_its_name():
    def step(a, b):
        return array_namespace(a).correlate(a, b)

    compiled = Compiled(step, executor=Capturing)
    a = np.arange(5.0)
    b = np.array([1.0, 2.0])
    for _ in range(4):
        found = compiled(a, b)
    np.testing.assert_array_equal(found, np.correlate(a, b))
    (replay,) = compiled.replays
    assert [o.name for o in cleaned(replay.program, "c").operations] == ["xp.correlate"]
