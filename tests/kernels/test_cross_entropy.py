"""The kernels for softmax cross entropy on CuPy agree with the portable code on NumPy."""

import math

import numpy as np
import pytest

from xpnet import Variable, functions as F, gradients, to_numpy
from xpnet.kernels import cross_entropy as kernels
from xpnet.kernels.lookup import kernel
from xpnet.testing import assert_close

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]

# One row; as many rows as a warp has threads, and one more; classes of one thread, of one warp, and
# more than it has threads; no rows; more axes; one row without an axis.
SHAPES = [(1, 1), (32, 10), (33, 10), (200, 3), (7, 32), (7, 33), (3, 100), (0, 4), (2, 3, 5), (6,)]


def scores(shape, dtype="float32"):
    return (4.0 * np.random.default_rng(0).standard_normal(shape)).astype(dtype)


def class_numbers(shape, dtype="int64"):
    return np.random.default_rng(1).integers(0, shape[-1], shape[:-1]).astype(dtype)


def weights(shape, dtype="float32"):
    """Some are zero, and no row sums to 1."""
    drawn = np.random.default_rng(2).uniform(-0.5, 1.0, shape)
    return np.maximum(drawn, 0.0).astype(dtype)


def of_arrays(x, t):
    """The loss, and 1.5 times its gradient with respect to x."""
    v = Variable(x)
    loss = F.softmax_cross_entropy(v, t)
    return to_numpy(loss), to_numpy(gradients(loss, [v], 1.5)[0])


def outcome(x, t, make):
    """The same on the library whose arrays `make` creates."""
    return of_arrays(make(x), make(t))


def agree(backend, x, t, rtol=2e-6, atol=2e-7):
    wide = x.astype("float64")
    expected = outcome(wide, t.astype("float64") if t.dtype.kind == "f" else t, np.asarray)
    found = outcome(x, t, backend.asarray)
    for actual, wanted in zip(found, expected, strict=True):
        assert actual.dtype == x.dtype
        assert_close(actual, wanted, rtol=rtol, atol=atol)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("target", [class_numbers, weights])
def test_shapes(cupy_backend, target, shape):
    with np.errstate(invalid="ignore"):  # the mean of no rows is NaN
        agree(cupy_backend, scores(shape), target(shape))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_every_dtype_of_class_numbers(cupy_backend, dtype):
    agree(cupy_backend, scores((40, 12)), class_numbers((40, 12), dtype))


@pytest.mark.parametrize("target", [class_numbers, weights])
def test_in_float64(cupy_backend, target):
    x, t = scores((40, 12), "float64"), target((40, 12))
    t = t.astype("float64") if t.dtype.kind == "f" else t
    agree(cupy_backend, x, t, rtol=1e-13, atol=1e-14)


def test_in_float16_it_is_that_of_float32_rounded(cupy_backend):
    agree(cupy_backend, scores((40, 12), "float16"), class_numbers((40, 12)), 1e-3, 1e-4)


@pytest.mark.parametrize("one_hot", ["bool", "int32", "float32"])
def test_one_hot_rows_are_class_numbers(cupy_backend, one_hot):
    x, t = scores((9, 5)), class_numbers((9, 5))
    rows = (t[:, None] == np.arange(5)).astype(one_hot)
    for by_rows, by_number in zip(
        outcome(x, rows, cupy_backend.asarray), outcome(x, t, cupy_backend.asarray), strict=True
    ):
        assert_close(by_rows, by_number, rtol=1e-6)


@pytest.mark.parametrize("shape", [(50, 10), (20, 40)], ids=str)
@pytest.mark.parametrize("target", [class_numbers, weights])
def test_several_blocks(cupy_backend, monkeypatch, target, shape):
    """With more scores than one block takes, the sums of several blocks are added."""
    monkeypatch.setattr(kernels, "ONE_BLOCK", 100)
    monkeypatch.setattr(kernels, "THREADS_OF_MANY", 32)
    agree(cupy_backend, scores(shape), target(shape))
    monkeypatch.setattr(kernels, "BLOCKS", 2)  # each of which goes round more than once
    agree(cupy_backend, scores(shape), target(shape))


def test_arrays_with_gaps(cupy_backend):
    x, t = scores((10, 24)), class_numbers((24, 10))
    gaps = of_arrays(cupy_backend.asarray(x).T, cupy_backend.asarray(np.repeat(t, 2))[::2])
    dense = outcome(np.ascontiguousarray(x.T), t, cupy_backend.asarray)
    for actual, expected in zip(gaps, dense, strict=True):
        assert actual.tobytes() == expected.tobytes()


def test_a_class_number_out_of_range_is_an_infinite_loss(cupy_backend, monkeypatch):
    x = scores((40, 4))
    for wrong in (-1, 4, 1000):
        t = class_numbers((40, 4))
        t[17] = wrong
        agree(cupy_backend, x, t)
        assert outcome(x, t, cupy_backend.asarray)[0] == math.inf
        monkeypatch.setattr(kernels, "ONE_BLOCK", 16)
        assert outcome(x, t, cupy_backend.asarray)[0] == math.inf
        monkeypatch.undo()


def test_extreme_scores(cupy_backend):
    """No overflow; a score of -inf has no share; NaN and inf give NaN, only in their own row."""
    x = np.asarray([[1e4, 0.0, -1e4], [-np.inf, 1.0, 2.0], [3e38, -3e38, 0.0]], "float32")
    t = np.asarray([1, 2, 0])
    with np.errstate(over="ignore"):
        agree(cupy_backend, x, t)
        agree(cupy_backend, x, (t[:, None] == np.arange(3)).astype("float32"))
    impossible = np.asarray([0, 0, 0])  # the second row asks for the class that is ruled out
    assert outcome(x, impossible, cupy_backend.asarray)[0] == math.inf
    for bad in (np.nan, np.inf):
        broken = np.array(x[:2])
        broken[0, 1] = bad
        loss, gx = outcome(broken, t[:2], cupy_backend.asarray)
        assert np.isnan(loss)
        assert np.isnan(gx[0]).all()
        assert np.isfinite(gx[1]).all()


def test_gradients_by_the_target_and_of_second_order(cupy_backend):
    """A recorded rule is the portable code's, which has to compute the softmax first."""
    x, t = scores((6, 4), "float64"), weights((6, 4), "float64")
    found = []
    for make in (np.asarray, cupy_backend.asarray):
        xs = [Variable(make(x)), Variable(make(t))]
        loss = F.softmax_cross_entropy(*xs)
        first = gradients(loss, xs, create_graph=True)
        second = gradients(F.sum(first[0] * first[0]), xs)
        by_number = Variable(make(x))
        (gx,) = gradients(
            F.softmax_cross_entropy(by_number, make(class_numbers((6, 4)))),
            [by_number],
            create_graph=True,
        )
        found.append([*first, *second, gx, *gradients(F.sum(gx * gx), [by_number])])
    for actual, expected in zip(found[1], found[0], strict=True):
        assert_close(actual, expected, rtol=1e-11, atol=1e-14)


def test_the_gradient_of_part_of_a_formula(cupy_backend):
    """Then the incoming gradient is an array on the device, and stays there."""
    x, t = scores((6, 4), "float64"), class_numbers((6, 4))
    found = []
    for make in (np.asarray, cupy_backend.asarray):
        v = Variable(make(x))
        loss = F.softmax_cross_entropy(v, make(t))
        found.append(gradients(loss * loss + F.sum(v), [v])[0])
    assert_close(found[1], found[0], rtol=1e-12)


def test_the_same_bits_each_time(cupy_backend, monkeypatch):
    monkeypatch.setattr(kernels, "ONE_BLOCK", 100)
    x, t = scores((300, 10)), class_numbers((300, 10))
    first, second = (outcome(x, t, cupy_backend.asarray) for _ in range(2))
    assert [a.tobytes() for a in first] == [a.tobytes() for a in second]


def test_which_arrays_have_a_kernel(cupy_backend):
    x, t = (cupy_backend.asarray(a) for a in (scores((6, 4)), class_numbers((6, 4))))
    rows = cupy_backend.asarray(weights((6, 4)))
    assert kernel("cross_entropy", x, t) is not None
    assert kernel("cross_entropy", x, rows) is not None
    assert kernel("cross_entropy", x, rows.astype("float64")) is None
    assert kernel("cross_entropy", x[:, :0], t) is None
    assert kernel("cross_entropy", x, to_numpy(t)) is None
    assert kernel("cross_entropy", Variable(x), t) is None
