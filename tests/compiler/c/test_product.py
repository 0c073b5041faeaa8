"""Matrix products against NumPy in higher precision: all layouts, sizes, and epilogues."""

import ctypes
import itertools
import platform
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.compiler.c import conftest
from xpnet.compiler.c import structures

SETTINGS = hypothesis.settings(deadline=None, max_examples=150)
POINTER = ctypes.c_void_p
SIZE = ctypes.c_int64
LAYOUTS = ("rows", "columns", "slice", "strides")
CANARY = 12345.0


class Epilogue(ctypes.Structure):
    """The structure of product.h."""

    _fields_ = [
        ("bias", POINTER),
        ("activation", ctypes.c_int),
        ("mask", POINTER),
        ("column_sums", POINTER),
    ]


class Fetch(ctypes.Structure):
    """The structure of fetch.h."""

    _fields_ = [
        ("table", POINTER),
        *((name, SIZE) for name in ("rows", "stride", "bytes")),
        ("indices", POINTER),
        *((name, SIZE) for name in ("count", "next", "done")),
        ("index_type", ctypes.c_int32),
        ("reserved", ctypes.c_int32),
    ]


class Ending(NamedTuple):
    """The arrays of an epilogue; None where there is none."""

    bias: np.ndarray | None = None
    relu: bool = False
    mask: np.ndarray | None = None
    column_sums: np.ndarray | None = None


def matrix(rows, columns, layout, values):
    """A matrix in one of LAYOUTS, filled by `values(shape)`; what surrounds it is CANARY."""
    if layout == "rows":
        return values((rows, columns))
    if layout == "columns":
        return values((columns, rows)).T
    filled = values((rows, columns))
    if layout == "slice":
        around = np.full((rows, columns + 5), CANARY, filled.dtype)
        inside = around[:, 2 : 2 + columns]
    else:
        around = np.full((2 * rows, 3 * columns), CANARY, filled.dtype)
        inside = around[::2, ::3]
    inside[...] = filled
    return inside


def strides(x):
    """The strides of an array in elements."""
    return [step // x.itemsize for step in x.strides]


def address(x):
    """The address of an array's data, or None."""
    return None if x is None else x.ctypes.data


def multiply(functions, a, b, c, alpha=1.0, beta=0.0, ending=None, scratch_size=None, ahead=None):
    """c = ending(alpha * a @ b + beta * c), in place, with a check of the scratch memory's end."""
    suffix = {4: "f32", 8: "f64"}[a.itemsize]
    number = {4: ctypes.c_float, 8: ctypes.c_double}[a.itemsize]
    product = functions[f"product_{suffix}"]
    product.argtypes = [SIZE] * 3 + [number, POINTER, SIZE, SIZE, POINTER, SIZE, SIZE]
    product.argtypes += [number, POINTER, SIZE, SIZE, POINTER, POINTER, SIZE, POINTER]
    product.restype = None
    wanted = functions[f"product_scratch_{suffix}"]
    wanted.argtypes = [SIZE] * 9
    wanted.restype = SIZE
    m, k = a.shape
    n = b.shape[1]
    size = wanted(m, n, k, *strides(a), *strides(b), *strides(c))
    if scratch_size is not None:
        size = min(size, scratch_size)
    scratch = np.full(size + 64, CANARY, a.dtype)
    epilogue = None
    if ending is not None:
        fields = (address(ending.bias), int(ending.relu), address(ending.mask))
        epilogue = Epilogue(*fields, address(ending.column_sums))
    where = None if epilogue is None else ctypes.addressof(epilogue)
    operands = (address(a), *strides(a), address(b), *strides(b), beta, address(c), *strides(c))
    fetched = None if ahead is None else ctypes.addressof(ahead)
    product(m, n, k, alpha, *operands, where, address(scratch), size, fetched)
    assert np.all(scratch[size:] == CANARY)


def expected(a, b, c, alpha, beta, ending):
    """The result in higher precision, and a bound of the rounding errors of any order of sums."""
    wide = np.longdouble
    total = alpha * (a.astype(wide) @ b.astype(wide))
    size = abs(alpha) * (np.abs(a.astype(wide)) @ np.abs(b.astype(wide)))
    if beta != 0:
        total = total + beta * c.astype(wide)
        size = size + np.abs(beta * c.astype(wide))
    if ending.bias is not None:
        total = total + ending.bias
        size = size + np.abs(ending.bias)
    if ending.relu:
        total = np.maximum(total, 0)
    if ending.mask is not None:
        total = np.where(ending.mask > 0, total, 0)
    return total, size * (a.shape[1] + 4) * np.finfo(a.dtype).eps


def check(functions, a, b, c, alpha=1.0, beta=0.0, ending=None, **options):
    """Compare one product with the expected one, elements and column sums."""
    ending = ending or Ending()
    total, bound = expected(a, b, c, alpha, beta, ending)
    if beta == 0:
        c[...] = np.nan  # it must not be read
    multiply(functions, a, b, c, alpha, beta, ending, **options)
    assert np.all(np.abs(c - total) <= bound)
    if ending.column_sums is not None:
        rounding = np.abs(total).sum(axis=0) * len(c) * np.finfo(c.dtype).eps
        assert np.all(
            np.abs(ending.column_sums - total.sum(axis=0)) <= bound.sum(axis=0) + rounding
        )


def drawn_ending(data, m, n, like, values):
    """An epilogue with any of its parts; the mask lies in memory as `like`."""
    flags = data.draw(st.tuples(*[st.booleans()] * 4), label="bias, ReLU, mask, sums")
    mask = None
    if flags[2]:
        around = np.zeros(base_of(like).shape, like.dtype)
        offset = (like.ctypes.data - base_of(like).ctypes.data) // like.itemsize
        flat = around.reshape(-1)[offset if like.size else 0 :]
        mask = np.lib.stride_tricks.as_strided(flat, like.shape, like.strides)
        mask[...] = values((m, n))
    return Ending(
        values((n,)) if flags[0] else None,
        flags[1],
        mask,
        np.full(n, np.nan, like.dtype) if flags[3] else None,
    )


def base_of(x):
    """The array that owns the memory of x."""
    return x if x.base is None else base_of(x.base)


@pytest.fixture(scope="module")
def functions(library):
    """The functions of product.c."""
    return library("product")


@pytest.fixture
def values(dtype):
    """A function that draws arrays: numbers of a normal distribution, zeros among them."""
    generator = np.random.default_rng(3)

    def draw(shape):
        x = generator.standard_normal(shape).astype(dtype)
        x[generator.random(shape) < 0.1] = 0
        return x

    return draw


EDGES = [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 12, 15, 16, 17, 24, 31, 32, 33, 48, 63, 65, 80, 81, 96]
SIZES = st.one_of(st.sampled_from(EDGES), st.integers(0, 200))


@pytest.mark.parametrize("suffix", ["f32", "f64"])
@SETTINGS
@hypothesis.given(st.data())
def test_a_product_agrees_with_numpy_in_higher_precision(functions, suffix, data):
    draw_values = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    dtype = {"f32": np.float32, "f64": np.float64}[suffix]

    def values(shape):
        return draw_values.standard_normal(shape).astype(dtype)

    m, n, k = data.draw(st.tuples(SIZES, SIZES, SIZES), label="m, n, k")
    layouts = data.draw(st.tuples(*[st.sampled_from(LAYOUTS)] * 3), label="layouts of a, b, c")
    a = matrix(m, k, layouts[0], values)
    b = matrix(k, n, layouts[1], values)
    c = matrix(m, n, layouts[2], values)
    alpha = data.draw(st.sampled_from([1.0, -0.5, 0.125]), label="alpha")
    beta = data.draw(st.sampled_from([0.0, 1.0, -0.25]), label="beta")
    check(functions, a, b, c, alpha, beta, drawn_ending(data, m, n, c, values))
    around = base_of(c)
    if layouts[2] in ("slice", "strides"):
        assert np.count_nonzero(around == CANARY) >= around.size - c.size


@pytest.mark.parametrize("a_layout", LAYOUTS)
@pytest.mark.parametrize("b_layout", LAYOUTS)
@pytest.mark.parametrize("c_layout", ["rows", "columns"])
def test_a_product_of_several_blocks_agrees(functions, values, a_layout, b_layout, c_layout):
    m, n, k = 291, 421, 1103  # more than one block of rows and of depth, several panels
    a = matrix(m, k, a_layout, values)
    b = matrix(k, n, b_layout, values)
    c = matrix(m, n, c_layout, values)
    total = 0.5 * (a.astype(np.float64) @ b) - 2.0 * c + values((n,)) * 0
    size = 0.5 * (np.abs(a).astype(np.float64) @ np.abs(b)) + 2 * np.abs(c)
    bias = values((n,))
    sums = np.empty(n, a.dtype)
    multiply(functions, a, b, c, 0.5, -2.0, Ending(bias, True, None, sums))
    bound = size * 2 * (k + 4) * np.finfo(a.dtype).eps
    wanted = np.maximum(total + bias, 0)
    assert np.all(np.abs(c - wanted) <= bound)
    assert np.all(np.abs(sums - wanted.sum(axis=0)) <= bound.sum(axis=0))


@pytest.mark.parametrize("m", [1, 2, 3, 6, 16, 17])
@pytest.mark.parametrize("k", [1, 2, 5, 31, 64, 100])
def test_few_rows_agree(functions, values, m, k):
    for n, b_layout, c_layout in itertools.product([1, 37, 256], LAYOUTS, LAYOUTS):
        a = values((m, k))
        b = matrix(k, n, b_layout, values)
        check(functions, a, b, matrix(m, n, c_layout, values), -0.5, 1.0)


@pytest.mark.parametrize("k", range(1, 6))
def test_products_of_small_depth_agree(functions, values, k):
    for m, n, beta in itertools.product([1, 2, 5], [64, 97, 300], [0.0, 1.0, 0.5]):
        a = values((k, m)).T
        check(functions, a, values((k, n)), values((m, n)), -0.25, beta)


def test_a_product_without_depth_scales_c_and_applies_the_epilogue(functions, values, dtype):
    a, b = np.empty((7, 0), dtype), np.empty((0, 21), dtype)
    check(functions, a, b, values((7, 21)), 1.0, 0.5, Ending(bias=values((21,)), relu=True))
    check(functions, a, b, values((7, 21)), 1.0, 0.0)


def test_sums_over_no_rows_are_zero(functions, dtype):
    sums = np.full(9, np.nan, dtype)
    a, b, c = np.empty((0, 4), dtype), np.ones((4, 9), dtype), np.empty((0, 9), dtype)
    multiply(functions, a, b, c, ending=Ending(column_sums=sums))
    np.testing.assert_array_equal(sums, 0)


@pytest.mark.parametrize("c_layout", LAYOUTS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_appear_where_numpy_has_them(functions, values, bad, c_layout):
    a, b = values((19, 40)), values((40, 21))
    a[3, 7] = bad
    b[:, 11] = 0
    b[5, 20] = bad
    with np.errstate(invalid="ignore"):
        wanted = a @ b
        wanted_sums = wanted.sum(axis=0)
    c = matrix(19, 21, c_layout, values)
    sums = np.empty(21, a.dtype)
    multiply(functions, a, b, c, ending=Ending(column_sums=sums))
    np.testing.assert_array_equal(np.isnan(c), np.isnan(wanted))
    np.testing.assert_array_equal(np.isposinf(c), np.isposinf(wanted))
    np.testing.assert_array_equal(np.isneginf(c), np.isneginf(wanted))
    np.testing.assert_array_equal(np.isfinite(sums), np.isfinite(wanted_sums))


def test_relu_keeps_nan_and_the_mask_removes_it(functions, dtype):
    a = np.array([[1.0], [np.nan], [-1.0], [np.inf], [-np.inf]], dtype)
    b = np.ones((1, 20), dtype)
    c = np.empty((5, 20), dtype)
    product = np.broadcast_to(a, (5, 20))
    multiply(functions, a, b, c, ending=Ending(relu=True))
    np.testing.assert_array_equal(c, np.maximum(product, 0))
    mask = np.tile(np.array([1.0, 0.0, -0.0, -1.0, np.nan], dtype), 20).reshape(5, 20)
    multiply(functions, a, b, c, ending=Ending(mask=mask))
    np.testing.assert_array_equal(c, np.where(mask > 0, product, 0))


def test_a_product_with_less_scratch_memory_is_the_same_to_rounding(functions, values):
    a = matrix(50, 700, "strides", values)
    b = matrix(700, 90, "columns", values)
    check(functions, a, b, values((50, 90)), 1.0, 0.0, scratch_size=3000)
    few = matrix(5, 700, "strides", values)  # its rows are copied if there is room
    check(functions, few, b, values((5, 90)), 1.0, 0.0)
    check(functions, few, b, values((5, 90)), 1.0, 0.0, scratch_size=1500)


def test_two_threads_compute_at_once(functions, values):
    a, b = values((130, 300)), values((170, 300)).T

    def compute(_):
        c = np.empty((130, 170), a.dtype)
        multiply(functions, a, b, c)
        return c

    first = compute(0)
    with ThreadPoolExecutor(2) as pool:
        for c in pool.map(compute, range(40)):
            np.testing.assert_array_equal(c, first)


def variant_library(folder, variant):
    """product.c for another generation of x86 processors; skips where it cannot be run."""
    information = Path("/proc/cpuinfo")
    if platform.machine() != "x86_64" or not information.exists():
        pytest.skip("the variants are those of x86 processors, whose features Linux lists")
    if variant == "x86-64-v3" and " avx2 " not in information.read_text(encoding="utf-8"):
        pytest.skip("this processor has no AVX2")
    flags = [f"-march={variant}" if flag == "-march=native" else flag for flag in conftest.flags()]
    objects = []
    for bits in ("32", "64"):
        objects.append(str(folder / f"{variant}-{bits}.o"))
        source = str(conftest.SOURCES / "product.c")
        command = [
            conftest.COMPILER,
            *flags,
            f"-DREAL_BITS={bits}",
            "-c",
            source,
            "-o",
            objects[-1],
        ]
        subprocess.run(command, check=True)
    target = str(folder / f"{variant}.so")
    command = [
        conftest.COMPILER,
        *flags,
        "-shared",
        "-Wl,-Bsymbolic",
        *objects,
        "-o",
        target,
        "-lm",
    ]
    subprocess.run(command, check=True)
    return ctypes.CDLL(target)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["x86-64-v2", "x86-64-v3"])
def test_products_for_processors_with_fewer_registers_agree(tmp_path, variant):
    if conftest.COMPILER is None:
        pytest.skip("no C compiler: gcc, clang or cc is needed to test the C sources on their own")
    functions = variant_library(tmp_path, variant)
    generator = np.random.default_rng(5)
    sizes = [1, 2, 3, 5, 8, 17, 33, 70, 100, 261]
    for dtype, a_layout, b_layout, c_layout in itertools.product("fd", LAYOUTS, LAYOUTS, LAYOUTS):

        def values(shape, dtype=dtype):
            return generator.standard_normal(shape).astype(dtype)

        for m, n, k in generator.choice(sizes, (8, 3)):
            ending = Ending(values((n,)), True, None, np.empty(n, dtype))
            a, b = matrix(m, k, a_layout, values), matrix(k, n, b_layout, values)
            check(functions, a, b, matrix(m, n, c_layout, values), -0.5, 0.25, ending)
            check(functions, a, b, matrix(m, n, c_layout, values), 1.0, 1.0)


def fetch(table, indices):
    """The rows of a table that a product is to fetch."""
    return Fetch(
        address(table),
        len(table),
        table.strides[0],
        table[0].nbytes,
        address(indices),
        len(indices),
        index_type=structures.TYPES[str(indices.dtype)],
    )


@pytest.mark.parametrize("kind", ["int32", "int64"])
@pytest.mark.parametrize("row", [1, 16, 784, 785, 2000])
def test_the_rows_of_the_next_batch_are_fetched_during_a_product(functions, dtype, kind, row):
    table = np.ones((50, row), dtype)
    indices = np.arange(32, dtype=kind)
    ahead = fetch(table, indices)
    a = np.ones((200, 784), dtype)
    b = np.ones((784, 80), dtype)
    check(functions, a, b, np.empty((200, 80), dtype), ahead=ahead)
    assert (ahead.next, ahead.done) == (32, 0)


def test_a_product_fetches_as_much_as_it_has_time_for(functions, dtype):
    table = np.ones((50, 784), dtype)
    indices = np.arange(32)
    ahead = fetch(table, indices)
    tiles = np.ones((8, 64), dtype)
    found = []
    while ahead.next < 32:
        check(functions, tiles, tiles.T.copy(), np.empty((8, 8), dtype), ahead=ahead)
        found.append(ahead.next * table[0].nbytes + ahead.done)
    assert len(found) > 10
    assert found == sorted(set(found))  # each goes on where the one before it has stopped


def test_wrong_indices_and_empty_rows_are_not_fetched(functions, dtype):
    table = np.ones((5, 784), dtype)
    indices = np.array([4, 5, -5, -6, 2**62, -(2**62)])
    a = np.ones((100, 784), dtype)
    b = np.ones((784, 20), dtype)
    for rows in (table, table[:, :0]):
        ahead = fetch(rows, indices)
        check(functions, a, b, np.empty((100, 20), dtype), ahead=ahead)
        assert ahead.next == (len(indices) if rows.size else 0)
