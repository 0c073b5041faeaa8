"""Rows by their numbers, and sums of rows, against NumPy's indexing."""

import ctypes

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.compiler.c import conftest
from xpnet.compiler.c import structures

SUFFIXES = st.sampled_from(["f32", "f64"])
KINDS = st.sampled_from(["float32", "float64", "bool", "uint8", "int32", "int64"])
INDEX_KINDS = st.sampled_from(["int32", "int64"])


@pytest.fixture(scope="session")
def gather_library(library):
    loaded = library("convert", "gather")
    for name in ("gather_rows_f32", "gather_rows_f64", "take_rows", "first_outside"):
        getattr(loaded, name).restype = ctypes.c_int64
    for name in ("scatter_add_f32", "scatter_add_f64"):
        getattr(loaded, name).restype = ctypes.c_int64
    return loaded


def pointer(array):
    return ctypes.c_void_p(array.ctypes.data)


def gather_rows(library, suffix, table, indices, result, scale=1.0, shift=0.0):
    """Fill result (count, a, b, c), of any strides, from a table (rows, a, b, c)."""
    made = structures.Gather(
        structures.TYPES[str(table.dtype)],
        structures.TYPES[str(indices.dtype)],
        len(indices),
        len(table),
        table.strides[0] // table.itemsize,
        result.strides[0] // result.itemsize,
    )
    made.shape[:] = table.shape[1:]
    made.strides[:] = [stride // result.itemsize for stride in result.strides[1:]]
    made.scale = scale
    made.shift = shift
    function = getattr(library, f"gather_rows_{suffix}")
    return function(ctypes.byref(made), *map(pointer, (table, indices, result)))


def drawn(kind, shape, seed):
    return np.random.default_rng(seed).integers(0, 200, shape).astype(kind)


@st.composite
def problems(draw):
    """A table (rows, a, b, c), and indices into it, some of which count from the end."""
    rows = draw(st.integers(1, 50))
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(0, 90)))
    table = drawn(draw(KINDS), (rows, *shape), draw(st.integers(0, 99)))
    indices = draw(st.lists(st.integers(-rows, rows - 1), max_size=40))
    return table, np.array(indices, draw(INDEX_KINDS))


@hypothesis.given(problems(), SUFFIXES, st.booleans())
@conftest.EXAMPLES
def test_rows_in_both_layouts(gather_library, problem, suffix, is_batch_last):
    table, indices = problem
    dtype = structures.FLOATS[suffix]
    shape = (len(indices), *table.shape[1:])
    result = np.full(shape, 99, dtype)
    if is_batch_last:
        result = np.moveaxis(np.full((*shape[1:], shape[0]), 99, dtype), -1, 0)
    wrong = gather_rows(gather_library, suffix, table, indices, result, 0.25, -3.0)
    assert wrong == -1
    np.testing.assert_array_equal(result, table[indices].astype(dtype) * 0.25 - 3)


def test_images_into_the_middle_of_a_margin(gather_library):
    table = drawn("uint8", (9, 2, 5, 7), 0)
    indices = np.array([3, 3, 0, 8, -1])
    padded = np.zeros((2, 7, 9, 5), "float32")  # channels, height, width, batch
    inside = np.moveaxis(padded[:, 1:-1, 1:-1], -1, 0)
    assert gather_rows(gather_library, "f32", table, indices, inside, scale=0.5) == -1
    expected = np.pad(table[indices] * 0.5, [(0, 0), (0, 0), (1, 1), (1, 1)])
    np.testing.assert_array_equal(np.moveaxis(padded, -1, 0), expected)


def test_bytes_over_255_are_within_one_rounding_of_a_division(gather_library):
    table = np.arange(256, dtype="uint8").reshape(1, 1, 1, 256)
    result = np.zeros((1, 1, 1, 256), "float32")
    gather_rows(gather_library, "f32", table, np.array([0]), result, scale=1 / 255)
    exact = np.arange(256) / 255
    assert (np.abs(result.ravel() - exact) <= np.spacing(exact.astype("float32"))).all()


@pytest.mark.parametrize("is_batch_last", [False, True])
@pytest.mark.parametrize("scale", [1.0, 0.1, -3.0])
def test_infinities_nan_and_the_signs_of_zeros_are_kept(
    gather_library, suffix, dtype, is_batch_last, scale
):
    special = [np.inf, -np.inf, np.nan, -0.0, 0.0, 1.0, np.finfo(dtype).smallest_subnormal]
    table = np.array(special * 3, dtype).reshape(3, 1, 1, 7)
    indices = np.array([2, 0])
    shape = (1, 1, 7, 2) if is_batch_last else (2, 1, 1, 7)
    result = np.full(shape, 99, dtype)
    result = np.moveaxis(result, -1, 0) if is_batch_last else result
    assert gather_rows(gather_library, suffix, table, indices, result, scale=scale) == -1
    expected = table[indices] * dtype.type(scale)
    np.testing.assert_array_equal(result, expected)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(result)[numbers], np.signbit(expected)[numbers])


@pytest.mark.parametrize("index", [7, 100, -8, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("kind", ["int32", "int64"])
def test_an_index_out_of_range_is_found_before_anything_is_written(
    gather_library, suffix, dtype, index, kind
):
    table = np.ones((7, 1, 1, 4), dtype)
    indices = np.array([0, 6, -7, index, 200], kind)
    result = np.zeros((5, 1, 1, 4), dtype)
    assert gather_rows(gather_library, suffix, table, indices, result) == 3
    assert take(gather_library, table, indices, result) == 3
    assert scatter_add(gather_library, suffix, table, indices, result + 1) == 3
    np.testing.assert_array_equal(result, 0)
    np.testing.assert_array_equal(table, 1)


@pytest.mark.parametrize("index", [7, -1, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("kind", ["int32", "int64"])
def test_the_first_index_that_does_not_count_from_the_beginning(gather_library, index, kind):
    def first_outside(numbers):
        indices = np.array(numbers, kind)
        given = pointer(indices), structures.TYPES[kind], *map(ctypes.c_int64, (len(indices), 7))
        return gather_library.first_outside(*given)

    assert first_outside([0, 6, 3]) == -1
    assert first_outside([]) == -1
    assert first_outside([0, 6, index, 3, index]) == 2


def take(library, table, indices, result):
    """Copy rows, whatever their type."""
    row_bytes = table[0].nbytes if len(table) else 0
    return library.take_rows(
        ctypes.c_int64(row_bytes),
        ctypes.c_int64(table.strides[0]),
        ctypes.c_int64(len(table)),
        pointer(table),
        structures.TYPES[str(indices.dtype)],
        pointer(indices),
        ctypes.c_int64(len(indices)),
        pointer(result),
        ctypes.c_int64(result.strides[0]),
    )


@hypothesis.given(problems(), st.booleans())
@conftest.EXAMPLES
def test_rows_are_copied(gather_library, problem, is_labels):
    table, indices = problem
    table = np.ascontiguousarray(table[:, 0, 0, :1]) if is_labels else table
    result = np.zeros((len(indices), *table.shape[1:]), table.dtype)
    assert take(gather_library, table, indices, result) == -1
    np.testing.assert_array_equal(result, table[indices])


def scatter_add(library, suffix, table, indices, rows, factor=1.0):
    """Add rows to rows of the table."""
    row = rows[0].size if len(rows) else 0
    return getattr(library, f"scatter_add_{suffix}")(
        pointer(table),
        ctypes.c_int64(len(table)),
        ctypes.c_int64(table.strides[0] // table.itemsize),
        structures.TYPES[str(indices.dtype)],
        pointer(indices),
        ctypes.c_int64(len(indices)),
        pointer(rows),
        ctypes.c_int64(rows.strides[0] // rows.itemsize),
        ctypes.c_int64(row),
        ctypes.c_double(factor),
    )


@hypothesis.given(problems(), SUFFIXES)
@conftest.EXAMPLES
def test_rows_are_added_to_a_table(gather_library, problem, suffix):
    table, indices = problem
    table = table.astype(structures.FLOATS[suffix])
    rows = drawn(table.dtype, (len(indices), *table.shape[1:]), 5)
    expected = table.copy()
    np.subtract.at(expected, indices, rows * 2)
    assert scatter_add(gather_library, suffix, table, indices, rows, -2.0) == -1
    np.testing.assert_array_equal(table, expected)
