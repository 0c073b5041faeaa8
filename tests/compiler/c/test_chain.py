"""Chains against NumPy: every operation, any shapes, strides and types, results in place."""

import ctypes
import math
from concurrent.futures import ThreadPoolExecutor

import hypothesis
import hypothesis.extra.numpy as arrays
import mpmath
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.compiler.c import chains, conftest
from xpnet.compiler.c import structures

SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    np.inf,
    -np.inf,
    np.nan,
    1e-30,
    -1e-30,
    1e30,
    -1e30,
    2.5,
    -2.5,
]

UNARY = {
    "copy": np.positive,
    "negative": np.negative,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "square": np.square,
    "reciprocal": np.reciprocal,
    "relu": lambda x: np.maximum(x, 0),
    "sign": np.sign,
    "isnan": np.isnan,
    "isinf": np.isinf,
    "isfinite": np.isfinite,
    "logical_not": np.logical_not,
    "signbit": np.signbit,
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "round": np.round,
}
BINARY = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
    "copysign": np.copysign,
    "nextafter": np.nextafter,
    "floor_divide": np.floor_divide,
    "remainder": np.remainder,
    "zero_unless": lambda x, mask: np.where(mask != 0, x, 0),
    "relu_gradient": lambda gy, y: np.where(y > 0, gy, 0),
    "add_relu": lambda x, y: np.maximum(x + y, 0),
}
# NumPy's names for math.h's functions, which these operations call.
LIBM = {
    name: getattr(np, numpy_name)
    for name, numpy_name in {
        **{n: n for n in ("tan", "sinh", "cosh", "log2", "log10")},
        **{f"a{n}": f"arc{n}" for n in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    }.items()
}
EXACT = {
    "exp": mpmath.exp,
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "log1p": mpmath.log1p,
    "tanh": mpmath.tanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "erf": mpmath.erf,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
}


@pytest.fixture(scope="session")
def chain_library(library):
    return library("chain", "chain_prepare", "convert")


@pytest.fixture(autouse=True)
def quiet():
    """Infinite and invalid results are compared, not warned of."""
    with np.errstate(all="ignore"):
        yield


def numbers_of(dtype):
    """Special and ordinary numbers, 77 of them: a length that is no multiple of the lanes."""
    drawn = np.random.default_rng(1).standard_normal(63) * 4
    return np.concatenate([SPECIAL, drawn]).astype(dtype)


def all_pairs(dtype):
    x = numbers_of(dtype)
    return np.repeat(x, len(x)), np.tile(x, len(x))


def assert_same(result, expected):
    """Equal numbers, NaN where NaN is expected, and the same signs of what is not NaN."""
    expected = expected.astype(result.dtype)
    np.testing.assert_array_equal(result, expected)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(result)[numbers], np.signbit(expected)[numbers])


@pytest.mark.parametrize("name", UNARY)
def test_unary_operations_equal_numpy(chain_library, suffix, dtype, name):
    x = numbers_of(dtype)
    assert_same(chains.apply(chain_library, suffix, name, x), UNARY[name](x))


@pytest.mark.parametrize("name", BINARY)
def test_binary_operations_equal_numpy(chain_library, suffix, dtype, name):
    x, y = all_pairs(dtype)
    result = chains.apply(chain_library, suffix, name, x, y)
    if name in ("maximum", "minimum"):  # either zero is right where both are zeros
        result, x, y = result + 0.0, x + 0.0, y + 0.0
    assert_same(result, BINARY[name](x, y))


def test_where_takes_every_number_but_zero_for_true(chain_library, suffix, dtype):
    x, y = all_pairs(dtype)
    z = np.arange(len(x), dtype=dtype)
    result = chains.apply(chain_library, suffix, "where", x, y, z)
    assert_same(result, np.where(x, y, z))


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("multiply_add", lambda x, y, z: x * y + z),
        ("multiply_subtract", lambda x, y, z: x * y - z),
        ("subtract_product", lambda x, y, z: z - x * y),
    ],
)
def test_products_with_a_sum_round_at_most_twice(chain_library, suffix, dtype, name, formula):
    x, y, z = np.random.default_rng(2).standard_normal((3, 1001)).astype(dtype)
    result = chains.apply(chain_library, suffix, name, x, y, z)
    wide = [v.astype(np.longdouble) for v in (x, y, z)]
    bound = np.finfo(dtype).eps * (np.abs(wide[0] * wide[1]) + np.abs(wide[2]))
    assert (np.abs(result - formula(*wide)) <= bound).all()


@pytest.mark.parametrize("name", LIBM)
def test_functions_of_the_c_library(chain_library, suffix, dtype, name):
    x = numbers_of(dtype)
    result = chains.apply(chain_library, suffix, name, x)
    np.testing.assert_allclose(result, LIBM[name](x), rtol=8 * np.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("pow", np.power),
        ("atan2", np.arctan2),
        ("hypot", np.hypot),
        ("logaddexp", np.logaddexp),
    ],
)
def test_binary_functions_of_the_c_library(chain_library, suffix, dtype, name, function):
    x, y = all_pairs(dtype)
    result = chains.apply(chain_library, suffix, name, x, y)
    np.testing.assert_allclose(result, function(x, y), rtol=8 * np.finfo(dtype).eps, atol=0)


def exact_inputs(name, dtype):
    """Numbers at which a function is finite: near 0, of moderate size, up to overflow."""
    draw = np.random.default_rng(3)
    largest = float(np.log(np.finfo(dtype).max)) * 0.999
    signs = draw.choice([-1, 1], 1000)
    tiny = float(np.log10(np.finfo(dtype).tiny))
    x = np.concatenate(
        [
            draw.standard_normal(1000) * 2,
            draw.uniform(-largest, largest, 1000),
            signs * 10.0 ** draw.uniform(tiny, 1, 1000),
            1 + draw.standard_normal(300) * 0.01,
        ]
    )
    if name in ("sin", "cos"):
        multiples = np.round(draw.uniform(-1e6, 1e6, 1000)) * (np.pi / 2)  # where they are 0
        return np.concatenate([x, draw.uniform(-1e9, 1e9, 500), multiples]).astype(dtype)
    if name == "log":
        x = np.abs(x)
    if name == "log1p":
        x = np.where(x > -1, x, -x)
    return x.astype(dtype)


@pytest.mark.parametrize("name", EXACT)
def test_elementary_functions_are_within_two_units_in_the_last_place(
    chain_library, suffix, dtype, name
):
    x = exact_inputs(name, dtype)
    result = chains.apply(chain_library, suffix, name, x)
    with mpmath.workprec(200):
        exact = [EXACT[name](mpmath.mpf(float(v))) for v in x]
        units = [np.spacing(np.abs(dtype.type(float(e)))) for e in exact]
        errors = [
            float(abs(mpmath.mpf(float(r)) - e) / mpmath.mpf(float(u)))
            for r, e, u in zip(result, exact, units, strict=True)
        ]
    assert max(errors) <= 2.0, f"{name}({x[np.argmax(errors)]!r})"


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("exp", np.exp),
        ("expm1", np.expm1),
        ("log", np.log),
        ("log1p", np.log1p),
        ("tanh", np.tanh),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        ("erf", lambda x: np.array([math.erf(v) for v in x])),
        ("sin", np.sin),
        ("cos", np.cos),
    ],
)
def test_elementary_functions_at_special_numbers(chain_library, suffix, dtype, name, function):
    finfo = np.finfo(dtype)
    x = [*SPECIAL, finfo.tiny, -finfo.tiny, finfo.smallest_subnormal, finfo.max, -finfo.max]
    x += [-745.0, 750.0, 88.9, -103.0, -110.0, -88.0]
    x = np.array(x, dtype)
    result = chains.apply(chain_library, suffix, name, x)
    expected = function(x.astype(np.float64)).astype(dtype)
    smallest = finfo.smallest_subnormal
    np.testing.assert_allclose(result, expected, rtol=4 * finfo.eps, atol=smallest)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(result)[numbers], np.signbit(expected)[numbers])


# ---- shapes, strides, types ----------------------------------------------------------------------

SHAPES = arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=7)
LONG_SHAPES = st.tuples(st.integers(0, 70), st.integers(0, 1500)).map(tuple)
TYPES = st.sampled_from(["float32", "float64", "bool", "uint8", "int32", "int64"])


@st.composite
def operands(draw, shape, kind):
    """An array of small integers that broadcasts to a shape, with whatever strides."""
    axes = [1 if draw(st.booleans()) else n for n in shape]
    axes = axes[draw(st.integers(0, len(axes))) :] if draw(st.booleans()) else axes
    spread = [draw(st.sampled_from([1, 2, -1, -2])) for _ in axes]
    order = draw(st.permutations(range(len(axes))))
    whole = [n * abs(s) for n, s in zip(axes, spread, strict=True)]
    seed = draw(st.integers(0, 100))
    low = 0 if kind in ("bool", "uint8") else -4
    values = np.random.default_rng(seed).integers(low, 5, [whole[i] for i in order])
    if kind == "bool":
        values = values > 2
    values = values.astype(kind).transpose(np.argsort(order))
    return values[(..., *(slice(None, None, s) for s in spread))]


@hypothesis.given(st.data())
@conftest.EXAMPLES
def test_any_shapes_strides_and_types(chain_library, data):
    suffix = data.draw(st.sampled_from(["f32", "f64"]))
    shape = data.draw(st.one_of(SHAPES, LONG_SHAPES))
    kinds = [data.draw(TYPES) for _ in range(4)]
    a, b, c, mask = (data.draw(operands(shape, kind)) for kind in kinds)
    first = np.full(shape, 99, data.draw(st.sampled_from(["float32", "float64"])))
    second = np.full(shape[::-1], 99, "int64").T  # stored by columns
    third = np.full((*shape, 2), True)[..., 0]  # every second byte
    number = float(data.draw(st.integers(-3, 3)))
    # values: a b c mask number | product sum chosen less
    steps = [("multiply", 0, 4), ("add", 5, 1), ("where", 3, 6, 2), ("less", 7, 0)]
    results = [(6, first), (7, second), (8, third)]
    chains.Chain(chain_library, suffix, shape, [a, b, c, mask], [number], steps, results).run()
    total = a.astype("float64") * number + b
    chosen = np.where(mask, total, c)
    np.testing.assert_array_equal(first, np.broadcast_to(total, shape))
    np.testing.assert_array_equal(second, np.broadcast_to(chosen, shape))
    np.testing.assert_array_equal(third, np.broadcast_to(chosen < a, shape))


@hypothesis.given(
    st.integers(0, 5000), st.integers(1, 40), st.sampled_from(["f32", "f64"]), st.integers(0, 9)
)
@conftest.EXAMPLES
def test_nothing_is_written_beyond_a_result(chain_library, rows, columns, suffix, offset):
    rows = rows // columns
    dtype = structures.FLOATS[suffix]
    around = np.full(rows * columns + 20, 7, dtype)
    result = around[offset : offset + rows * columns].reshape(rows, columns)
    x = np.ones((rows, columns), dtype)
    bias = np.arange(columns, dtype=dtype)
    steps = [("add", 0, 1), ("relu", 2)]
    chains.Chain(chain_library, suffix, (rows, columns), [x, bias], [], steps, [(3, result)]).run()
    expected = np.full_like(around, 7)
    expected[offset : offset + rows * columns] = np.tile(bias + 1, rows)
    np.testing.assert_array_equal(around, expected)


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3), (5, 0, 4), (2, 3, 0, 5)])
def test_a_chain_of_no_numbers(chain_library, suffix, dtype, shape):
    x = np.zeros([n if axis == 0 else 1 for axis, n in enumerate(shape)], dtype)
    memory = np.zeros(64, dtype)
    result = memory[:0].reshape(shape)
    steps = [("add", 0, 1)]
    chains.Chain(chain_library, suffix, shape, [x], [1.0], steps, [(2, result)]).run()
    assert not memory.any()


def test_a_copy_of_an_input_and_of_a_number(chain_library):
    x = np.arange(10, dtype="int32")
    copies = np.zeros((3, 10), "float64")
    number = np.zeros((3, 10), "uint8")
    results = [(0, copies), (1, number)]
    chains.Chain(chain_library, "f64", (3, 10), [x], [200.0], [], results).run()
    np.testing.assert_array_equal(copies, np.tile(x, (3, 1)))
    np.testing.assert_array_equal(number, np.full((3, 10), 200))


def test_one_value_in_two_results(chain_library, suffix, dtype):
    x = np.arange(3000, dtype=dtype)
    first = np.zeros_like(x)
    second = np.zeros_like(x)
    chain = chains.Chain(
        chain_library, suffix, x.shape, [x], [], [("square", 0)], [(1, first), (1, second)]
    )
    chain.run()
    np.testing.assert_array_equal(first, x * x)
    np.testing.assert_array_equal(second, x * x)


# ---- results in the place of inputs --------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 5, 64, 1000, 5000])
def test_an_optimizer_updates_parameters_and_state_in_place(chain_library, suffix, dtype, size):
    draw = np.random.default_rng(size)
    p, g, m = draw.standard_normal((3, size)).astype(dtype)
    expected_m = 0.9 * m.astype("float64") + g
    expected_p = p - 0.1 * (g + 0.9 * expected_m)  # Nesterov's momentum
    # values: p g m | 0.9 0.1 | 5: 0.9 m, 6: m', 7: 0.9 m', 8: g + that, 9: 0.1 times it, 10: p'
    steps = [("multiply", 2, 3), ("add", 5, 1), ("multiply", 6, 3), ("add", 7, 1)]
    steps += [("multiply", 8, 4), ("subtract", 0, 9)]
    numbers = [float(dtype.type(0.9)), float(dtype.type(0.1))]
    chain = chains.Chain(
        chain_library, suffix, p.shape, [p, g, m], numbers, steps, [(10, p), (6, m)]
    )
    chain.run()
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(m, expected_m, rtol=4 * eps, atol=4 * eps)
    np.testing.assert_allclose(p, expected_p, rtol=4 * eps, atol=4 * eps)


def test_an_input_is_read_after_its_array_got_a_result(chain_library, suffix, dtype):
    x = np.arange(3000, dtype=dtype)
    before = x.copy()
    other = np.zeros_like(x)
    # x becomes x + 1, and only then the old x is read once more.
    steps = [("add", 0, 1), ("multiply", 2, 0)]
    chains.Chain(chain_library, suffix, x.shape, [x], [1.0], steps, [(2, x), (3, other)]).run()
    np.testing.assert_array_equal(x, before + 1)
    np.testing.assert_array_equal(other, (before + 1) * before)


@pytest.mark.parametrize("size", [5, 3000])
def test_two_arrays_are_exchanged(chain_library, suffix, dtype, size):
    x = np.arange(size, dtype=dtype)
    y = -np.arange(size, dtype=dtype)
    before = x.copy()
    chains.Chain(chain_library, suffix, x.shape, [x, y], [], [], [(1, x), (0, y)]).run()
    np.testing.assert_array_equal(x, -before)
    np.testing.assert_array_equal(y, before)


@pytest.mark.parametrize("size", [5, 3000])
def test_the_old_values_of_what_is_updated_are_a_result(chain_library, suffix, dtype, size):
    x = np.arange(size, dtype=dtype)
    before = x.copy()
    old = np.zeros_like(x)
    steps = [("add", 0, 1)]
    chains.Chain(chain_library, suffix, x.shape, [x], [1.0], steps, [(2, x), (0, old)]).run()
    np.testing.assert_array_equal(x, before + 1)
    np.testing.assert_array_equal(old, before)


def test_numbers_are_read_at_each_run(chain_library, suffix, dtype):
    x = np.ones(100, dtype)
    chain = chains.Chain(chain_library, suffix, x.shape, [x], [3.0], [("multiply", 0, 1)], [(2, x)])
    chain.run()
    chain.numbers[0] = 5.0
    chain.run()
    np.testing.assert_array_equal(x, np.full(100, 15.0))


def test_two_threads_run_one_chain_at_once(chain_library):
    x = np.random.default_rng(0).standard_normal((300, 80)).astype("float32")
    bias = np.arange(80, dtype="float32")
    steps = [("add", 0, 1), ("relu", 2)]
    results = [np.zeros_like(x) for _ in range(8)]
    made = [
        chains.Chain(chain_library, "f32", x.shape, [x, bias], [], steps, [(3, result)])
        for result in results
    ]
    for chain in made[1:]:  # one description for all; arrays and scratch memory are each one's own
        chain.arguments = (ctypes.byref(made[0].chain), *chain.arguments[1:])
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda chain: [chain.run() for _ in range(50)], made))
    for result in results:
        np.testing.assert_array_equal(result, np.maximum(x + bias, 0))


# ---- descriptions that are wrong ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda c: setattr(c, "inputs", structures.CHAIN_OPERANDS + 1), 1),
        (lambda c: setattr(c, "results", -1), 1),
        (lambda c: setattr(c.step[0], "operation", 1000), 2),
        (lambda c: setattr(c.step[0], "operation", -1), 2),
        (lambda c: setattr(c.step[0], "second", 2), 3),
        (lambda c: setattr(c.operands[2], "value", 3), 3),
        (lambda c: setattr(c.operands[0], "type", 99), 4),
    ],
)
def test_a_wrong_description_is_refused(chain_library, suffix, change, problem):
    add = chain_library.chain_operation(b"add")
    made = structures.chain(
        (4,), [("float32", (1,)), ("float32", (1,))], 0, [(add, 0, 1)], [("float32", (1,), 2)]
    )
    prepare = getattr(chain_library, f"chain_prepare_{suffix}")
    change(made)
    assert prepare(ctypes.byref(made)) == problem


def test_operations_have_names(chain_library):
    where = chain_library.chain_operation(b"where")
    assert chain_library.chain_operation_inputs(where) == 3
    assert chain_library.chain_operation(b"no such operation") == -1
    assert chain_library.chain_operation_inputs(10_000) == -1
