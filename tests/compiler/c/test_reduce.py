"""Reductions against NumPy."""

import ctypes

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.compiler.c import chains, conftest
from xpnet.compiler.c import structures


@pytest.fixture(scope="session")
def reduce_library(library):
    return library("convert", "reduce")


def reduce(library, suffix, operation, x, axes, dtype=None, divisor=1.0, out=None):
    """Reduce x over some axes, by the C library."""
    kept = [n for axis, n in enumerate(x.shape) if axis not in axes]
    result = np.full(kept, 99, dtype or x.dtype) if out is None else out
    made = structures.reduction(
        operation,
        x.shape,
        axes,
        (str(x.dtype), chains.strides_in(x, x.shape)),
        (str(result.dtype), chains.strides_in(result, result.shape)),
        divisor,
    )
    problem = getattr(library, f"reduce_prepare_{suffix}")(ctypes.byref(made))
    assert problem == 0, f"reduce_prepare returned {problem}"
    scratch = chains.aligned(structures.REDUCE_SCRATCH)
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (x, result, scratch)]
    getattr(library, f"reduce_run_{suffix}")(ctypes.byref(made), *pointers)
    return result


@st.composite
def array_and_axes(draw):
    """A strided array, and some of its axes."""
    shape = draw(
        st.one_of(
            st.lists(st.integers(0, 6), min_size=1, max_size=5),
            st.tuples(st.integers(0, 40), st.integers(0, 1300)).map(list),
            st.tuples(st.integers(0, 3000), st.integers(1, 3)).map(list),
            st.tuples(st.integers(0, 9), st.integers(1, 20), st.integers(1, 40)).map(list),
        )
    )
    order = draw(st.permutations(range(len(shape))))
    step = draw(st.sampled_from([1, 1, 2]))
    seed = draw(st.integers(0, 100))
    whole = np.random.default_rng(seed).standard_normal([shape[i] for i in order] + [step])
    axes = draw(st.sets(st.integers(0, len(shape) - 1)))
    x = whole[..., 0].transpose(np.argsort(order))
    backwards = draw(st.sampled_from([1, -1]))
    return x[::backwards], tuple(sorted(axes))


def converted(x, kind):
    """x as another type, with the order, gaps and directions that its axes have in memory."""
    order = np.argsort([-abs(stride) for stride in x.strides], kind="stable")
    gap = 1 + (min(map(abs, x.strides)) > x.itemsize)
    whole = np.empty([*(x.shape[axis] for axis in order), gap], kind)
    view = whole[..., 0].transpose(np.argsort(order))
    view = view[(..., *(slice(None, None, -1 if stride < 0 else 1) for stride in x.strides))]
    view[...] = x
    return view


def typed(x, suffix):
    """x in the dtype of a function."""
    return converted(x, structures.FLOATS[suffix])


@hypothesis.given(array_and_axes(), st.sampled_from(["f32", "f64"]), st.booleans())
@conftest.EXAMPLES
def test_sums_are_as_accurate_as_pairs_of_pairs(reduce_library, given, suffix, squares):
    x = typed(given[0], suffix)
    axes = given[1]
    operation = "sum_of_squares" if squares else "sum"
    terms = x.astype(np.longdouble) ** (2 if squares else 1)
    result = reduce(reduce_library, suffix, operation, x, axes)
    count = np.prod([x.shape[axis] for axis in axes], dtype=int)
    # eight rows at a time, or pieces of 1024 by four vectors, then pairs
    eps = np.finfo(x.dtype).eps
    rounds = 4 + min(count, 20 + count / 8)
    bound = eps * rounds * np.abs(terms).sum(axis=axes)
    assert (np.abs(result - terms.sum(axis=axes)) <= bound).all()


@hypothesis.given(
    array_and_axes(), st.sampled_from(["f32", "f64"]), st.sampled_from(["max", "min"]), st.data()
)
@conftest.EXAMPLES
def test_the_largest_and_the_smallest(reduce_library, given, suffix, operation, data):
    x = typed(given[0], suffix)
    axes = given[1]
    hypothesis.assume(x.size > 0)
    if data.draw(st.booleans()):
        special = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
        x[tuple(data.draw(st.integers(0, n - 1)) for n in x.shape)] = special
    result = reduce(reduce_library, suffix, operation, x, axes)
    np.testing.assert_array_equal(result, getattr(x, operation)(axis=axes))


@hypothesis.given(array_and_axes(), st.sampled_from(["f32", "f64"]), st.integers(-1, 4))
@conftest.EXAMPLES
def test_products(reduce_library, given, suffix, zero_at):
    x = typed(given[0], suffix)
    x[...] = np.exp(x * 0.01)
    axes = given[1]
    if 0 <= zero_at < x.size:
        x[np.unravel_index(zero_at, x.shape)] = 0
    result = reduce(reduce_library, suffix, "prod", x, axes)
    count = np.prod([x.shape[axis] for axis in axes], dtype=int)
    expected = x.astype(np.longdouble).prod(axis=axes)
    np.testing.assert_allclose(
        result, expected.astype(x.dtype), rtol=(2 + count) * np.finfo(x.dtype).eps
    )


@hypothesis.given(
    array_and_axes(),
    st.sampled_from(["f32", "f64"]),
    st.sampled_from(["any", "all"]),
    st.sampled_from(["bool", "float32", "int64"]),
    st.sampled_from([-3.0, 0.0, 3.0]),
)
@conftest.EXAMPLES
def test_any_and_all(reduce_library, given, suffix, operation, kind, level):
    x = converted(given[0], kind)
    x[...] = given[0] > level
    axes = given[1]
    result = reduce(reduce_library, suffix, operation, x, axes, dtype=bool)
    np.testing.assert_array_equal(result, getattr(x, operation)(axis=axes))
    count = reduce(reduce_library, suffix, "count", x, axes, dtype="int64")
    np.testing.assert_array_equal(count, np.count_nonzero(x, axis=axes))


@hypothesis.given(
    array_and_axes(),
    st.sampled_from(["f32", "f64"]),
    st.sampled_from(["argmax", "argmin"]),
    st.data(),
)
@conftest.EXAMPLES
def test_places_of_the_largest_and_the_smallest(reduce_library, given, suffix, operation, data):
    x = typed(given[0], suffix)
    x[...] = np.round(x * 3)  # with equal numbers: the first one counts
    axis = data.draw(st.integers(0, x.ndim - 1))
    hypothesis.assume(x.size > 0)
    if data.draw(st.booleans()):
        x[tuple(data.draw(st.integers(0, n - 1)) for n in x.shape)] = np.nan
    result = reduce(reduce_library, suffix, operation, x, (axis,), dtype="int64")
    np.testing.assert_array_equal(result, getattr(x, operation)(axis=axis))
    everywhere = reduce(reduce_library, suffix, operation, x, tuple(range(x.ndim)), dtype="int64")
    assert everywhere == getattr(x, operation)()


def test_a_mean_into_a_strided_result(reduce_library, suffix, dtype):
    x = np.random.default_rng(0).standard_normal((50, 33, 4)).astype(dtype)
    out = np.zeros((4, 50), dtype).T
    reduce(reduce_library, suffix, "sum", x, (1,), divisor=33.0, out=out)
    np.testing.assert_allclose(out, x.mean(axis=1), rtol=0, atol=4 * np.finfo(dtype).eps)


def test_integers_are_added_exactly(reduce_library):
    x = np.random.default_rng(0).integers(0, 256, (100, 784)).astype("uint8")
    result = reduce(reduce_library, "f64", "sum", x, (0, 1), dtype="int64")
    assert result == x.sum(dtype="int64")


def test_a_long_row_of_equal_numbers_is_added_without_drift(reduce_library):
    x = np.full(1 << 22, 0.1, "float32")
    result = reduce(reduce_library, "f32", "sum", x, (0,))
    exact = float(x[0]) * x.size
    assert abs(float(result) - exact) <= 4 * np.finfo("float32").eps * exact


def test_columns_are_added_more_accurately_than_one_by_one(reduce_library):
    x = np.full((100_000, 16), 0.1, "float32")
    result = reduce(reduce_library, "f32", "sum", x, (0,))
    exact = float(x[0, 0]) * len(x)
    assert np.abs(result - exact).max() < np.abs(x.sum(axis=0) - exact).max()


def test_the_largest_of_no_numbers_is_refused(reduce_library, suffix, dtype):
    made = structures.reduction("max", (3, 0), (1,), (str(dtype), (0, 1)), (str(dtype), (1,)))
    assert getattr(reduce_library, f"reduce_prepare_{suffix}")(ctypes.byref(made)) == 2


def test_an_unknown_operation_is_refused(reduce_library, suffix):
    made = structures.reduction("sum", (3,), (0,), ("float32", (1,)), ("float32", ()))
    made.operation = len(structures.REDUCTIONS)
    assert getattr(reduce_library, f"reduce_prepare_{suffix}")(ctypes.byref(made)) == 1
