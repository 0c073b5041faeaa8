"""The softmax cross entropy against a formula in float64, and against the kernel of NumPy."""

import ctypes

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.compiler.c import chains, conftest
from xpnet.compiler.c import structures
from xpnet.kernels import elementary


@pytest.fixture(scope="session")
def head_library(library):
    loaded = library("head")
    for suffix in ("f32", "f64"):
        getattr(loaded, f"cross_entropy_scratch_{suffix}").restype = ctypes.c_int64
    return loaded


def pointer(array):
    return None if array is None else ctypes.c_void_p(array.ctypes.data)


def cross_entropy(library, suffix, scores, classes, gradient, factor=1.0, loss=True):
    """The loss, or None; the gradient is written into `gradient`, unless it is None."""
    of = scores if gradient is None else gradient
    made = structures.CrossEntropy(
        *scores.shape,
        *(stride // scores.itemsize for stride in scores.strides),
        *(stride // scores.itemsize for stride in of.strides),
        structures.TYPES[str(classes.dtype)],
    )
    size = getattr(library, f"cross_entropy_scratch_{suffix}")(ctypes.byref(made))
    scratch = chains.aligned(size)
    result = np.full((), 99, scores.dtype) if loss else None
    getattr(library, f"cross_entropy_run_{suffix}")(
        ctypes.byref(made),
        *(pointer(array) for array in (scores, classes, result, gradient)),
        ctypes.c_double(factor),
        pointer(scratch),
    )
    return result


def exact(scores, classes):
    """Loss and gradient by the formula, in float64."""
    x = scores.astype("float64")
    shifted = x - x.max(axis=1, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(x))
    gradient = np.exp(log_softmax)
    gradient[rows, classes] -= 1
    return -log_softmax[rows, classes].mean(), gradient


def as_laid_out(x, layout):
    """x, in memory by rows, by columns, or with gaps."""
    if layout == "batch last":
        return np.asfortranarray(x)
    if layout == "gaps":
        wide = np.zeros((len(x) + 1, x.shape[1] + 3), x.dtype)
        wide[:-1, 3:] = x
        return wide[:-1, 3:]
    return np.ascontiguousarray(x)


LAYOUTS = st.sampled_from(["rows", "batch last", "gaps"])


@hypothesis.given(
    st.integers(1, 70),
    st.one_of(st.integers(1, 40), st.integers(41, 2600)),
    st.sampled_from(["f32", "f64"]),
    LAYOUTS,
    LAYOUTS,
    st.sampled_from(["int32", "int64"]),
    st.sampled_from([0.1, 3.0, 60.0]),
    st.integers(0, 99),
)
@conftest.EXAMPLES
def test_loss_and_gradient(
    head_library, rows, classes, suffix, layout, gradient_layout, kind, spread, seed
):
    dtype = structures.FLOATS[suffix]
    draw = np.random.default_rng(seed)
    scores = as_laid_out((draw.standard_normal((rows, classes)) * spread).astype(dtype), layout)
    numbers = draw.integers(0, classes, rows).astype(kind)
    gradient = as_laid_out(np.full((rows, classes), 99, dtype), gradient_layout)
    loss = cross_entropy(head_library, suffix, scores, numbers, gradient, 0.5)
    expected_loss, expected = exact(scores, numbers)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(loss, expected_loss, rtol=4 * eps, atol=4 * eps * spread)
    # exp of a rounded difference of scores: eps times its size
    np.testing.assert_allclose(gradient, expected * 0.5, rtol=12 * eps * (1 + spread), atol=eps)


@pytest.mark.parametrize("classes", [10, 300])
@pytest.mark.parametrize("layout", ["rows", "batch last"])
def test_the_gradient_in_the_place_of_the_scores(head_library, suffix, dtype, classes, layout):
    draw = np.random.default_rng(0)
    scores = as_laid_out(draw.standard_normal((37, classes)).astype(dtype), layout)
    numbers = draw.integers(0, classes, 37)
    separate = np.empty_like(scores)
    loss = cross_entropy(head_library, suffix, scores, numbers, separate)
    assert cross_entropy(head_library, suffix, scores, numbers, scores) == loss
    np.testing.assert_array_equal(scores, separate)


@pytest.mark.parametrize("classes", [10, 300])
def test_the_loss_alone_and_the_gradient_alone(head_library, suffix, dtype, classes):
    draw = np.random.default_rng(0)
    scores = draw.standard_normal((37, classes)).astype(dtype)
    numbers = draw.integers(0, classes, 37)
    gradient = np.empty_like(scores)
    loss = cross_entropy(head_library, suffix, scores, numbers, gradient)
    assert cross_entropy(head_library, suffix, scores, numbers, None) == loss
    alone = np.empty_like(scores)
    assert cross_entropy(head_library, suffix, scores, numbers, alone, loss=False) is None
    np.testing.assert_array_equal(alone, gradient)


@pytest.mark.parametrize("classes", [10, 300])
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf, 1e38, -1e38])
@pytest.mark.parametrize("wrong", [None, -1, 300, 2**31, -(2**63)])
def test_special_scores_and_wrong_classes_as_in_eager(
    head_library, suffix, dtype, classes, special, wrong
):
    draw = np.random.default_rng(0)
    scores = draw.standard_normal((37, classes)).astype(dtype)
    numbers = draw.integers(0, classes, 37)
    scores[5, 3] = special
    scores[6, 3] = special
    scores[7] = special
    numbers[6] = 3
    if wrong is not None:
        numbers[11] = wrong
    gradient = np.empty_like(scores)
    loss = cross_entropy(head_library, suffix, scores, numbers, gradient, 1 / 37)
    with np.errstate(all="ignore"):
        expected_loss, kept = elementary.cross_entropy(scores, numbers)
        expected = elementary.cross_entropy_gradient(1.0, scores, numbers, kept)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(loss, expected_loss, rtol=8 * eps)
    np.testing.assert_allclose(gradient, expected, rtol=32 * eps, atol=eps / 37)
