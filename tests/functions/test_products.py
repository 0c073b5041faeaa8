"""Products: against NumPy, and their derivatives against differences."""

import numpy as np
import pytest

from xpnet import ShapeError, Variable, functions as F, gradients, to_numpy
from xpnet.functions import linalg
from xpnet.testing import assert_close, check_gradients

KINDS = ["float64", "complex128"]


def draw(shape, dtype="float64"):
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape)
    return x + 1j * rng.normal(size=shape) if dtype == "complex128" else x


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((2, 3), (3, 4)),
        ((3,), (3, 4)),
        ((2, 3), (3,)),
        ((3,), (3,)),
        ((5, 2, 3), (3, 4)),
        ((2, 3), (5, 3, 4)),
        ((5, 2, 3), (5, 3, 4)),
        ((5, 1, 2, 3), (6, 3, 4)),
        ((3,), (5, 3, 4)),
        ((5, 2, 3), (3,)),
    ],
    ids=str,
)
def test_matmul(backend64, array, order, left, right, dtype):
    """Matrices, vectors on either side, and stacks that broadcast; nothing is conjugated."""
    a = draw(left, dtype)
    b = draw(right, dtype)
    x1 = array(a, dtype)
    x2 = array(b, dtype)
    assert_close(linalg.matmul(x1, Variable(x2)), a @ b, rtol=1e-12, atol=1e-14)
    check_gradients(F.matmul, x1, x2, order=order if a.size + b.size < 40 else 1)


def test_a_stack_times_a_matrix_is_one_product(backend, array):
    """Bit for bit the product of all rows at once, and so are the gradients, on every library."""
    a = draw((4, 5, 3)).astype("float32")
    W = draw((3, 6)).astype("float32")
    rows = array(a.reshape(20, 3))
    for f in (F.matmul, F.linear):
        x = Variable(array(a))
        w = Variable(array(W))
        v = Variable(array(W))
        y = f(x, w)
        expected = f(Variable(rows), v)
        assert to_numpy(y).reshape(20, 6).tobytes() == to_numpy(expected).tobytes()
        F.sum(y * y).backward()
        F.sum(expected * expected).backward()
        assert to_numpy(w.grad).tobytes() == to_numpy(v.grad).tobytes()


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize(
    ("left", "right", "axis"),
    [
        ((3,), (3,), -1),
        ((2, 3), (3,), -1),
        ((2, 1, 3), (4, 3), -1),
        ((3, 2), (4, 3, 1), -2),
        ((3, 2), (3, 2), 0),
    ],
    ids=str,
)
def test_vecdot(backend64, array, order, left, right, axis, dtype):
    """The first argument is conjugated; axes other than `axis` broadcast."""
    a = draw(left, dtype)
    b = draw(right, dtype)
    x1 = array(a, dtype)
    x2 = array(b, dtype)
    from_end = axis if axis < 0 else axis - a.ndim
    assert_close(
        linalg.vecdot(Variable(x1), x2, axis=axis), np.sum(np.conj(a) * b, axis=from_end), 1e-12
    )
    check_gradients(lambda a, b: linalg.vecdot(a, b, axis=axis), x1, x2, order=order)


@pytest.mark.parametrize(
    ("left", "right", "axes"),
    [
        ((2, 3, 4), (3, 4, 2), 2),
        ((2, 3), (3, 2), 1),
        ((2,), (3, 2), 0),
        ((), (2,), 0),
        ((2, 3, 4), (4, 2), ((0, -1), (1, 0))),
        ((2, 3, 4), (4, 2), ([2, 0], [-2, -1])),
        ((2, 3, 4), (3, 5), ((1,), (0,))),
        ((2, 3), (2, 3), ((0, 1), (0, 1))),
        ((2, 0), (0, 3), 1),
    ],
    ids=str,
)
def test_tensordot(backend64, array, order, left, right, axes):
    a = draw(left)
    b = draw(right)
    x1 = array(a)
    x2 = array(b)
    expected = np.tensordot(a, b, axes=axes)
    for one, two in ((x1, x2), (Variable(x1), x2)):
        assert_close(linalg.tensordot(one, two, axes=axes), expected, rtol=1e-12, atol=1e-14)
    check_gradients(lambda a, b: linalg.tensordot(a, b, axes=axes), x1, x2, order=order)
    complex_x1 = array(draw(left, "complex128"), "complex128")
    check_gradients(lambda a, b: linalg.tensordot(a, b, axes=axes), complex_x1, x2, order=1)


@pytest.mark.parametrize("dtype", KINDS)
def test_outer(backend64, array, order, dtype):
    a = draw((2,), dtype)
    b = draw((3,), dtype)
    assert_close(linalg.outer(Variable(array(a, dtype)), array(b, dtype)), np.outer(a, b), 1e-12)
    check_gradients(linalg.outer, array(a, dtype), array(b, dtype), order=order)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize(
    ("left", "right", "axis"),
    [((3,), (3,), -1), ((2, 3), (3,), -1), ((3, 2), (4, 3, 1), -2), ((3, 2), (3, 1), 0)],
    ids=str,
)
def test_cross(backend64, array, order, left, right, axis, dtype):
    """The first component of a x b is a2 b3 - a3 b2, and so on cyclically; other axes broadcast."""
    a = draw(left, dtype)
    b = draw(right, dtype)
    x1 = array(a, dtype)
    x2 = array(b, dtype)
    from_end = axis if axis < 0 else axis - a.ndim
    (a1, a2, a3), (b1, b2, b3) = (np.moveaxis(x, from_end, 0) for x in (a, b))
    expected = np.stack([a2 * b3 - a3 * b2, a3 * b1 - a1 * b3, a1 * b2 - a2 * b1], axis=from_end)
    assert_close(linalg.cross(x1, Variable(x2), axis=axis), expected, rtol=1e-12, atol=1e-14)
    check_gradients(lambda a, b: linalg.cross(a, b, axis=axis), x1, x2, order=order)


def test_matrix_transpose(backend64, array, order):
    x = draw((2, 3, 4), "complex128")
    v = Variable(array(x, "complex128"))
    assert_close(linalg.matrix_transpose(v), np.swapaxes(x, -1, -2))
    check_gradients(linalg.matrix_transpose, v.data, order=order)


def test_integers_stay_integers(backend, array):
    """As in the library, without history."""
    a = array([[1, 2, 3], [4, 5, 6]], "int32")
    b = array([7, 8, 9], "int32")
    for y, expected in [
        (linalg.vecdot(Variable(a), b), [50, 122]),
        (linalg.cross(Variable(a), b), [[-6, 12, -6], [-3, 6, -3]]),
        (linalg.tensordot(Variable(a), b, axes=1), [50, 122]),
        (linalg.outer(Variable(b), b)[0, :], [49, 56, 63]),
        (linalg.matmul(Variable(a), b), [50, 122]),
    ]:
        assert y.dtype == a.dtype
        assert not y.requires_grad
        assert to_numpy(y).tolist() == expected


def test_only_the_gradients_that_are_needed_are_computed(backend64, array):
    """A constant factor has no gradient."""
    x1 = Variable(array([1.0, 2.0, 3.0]))
    x2 = array([4.0, 5.0, 6.0])
    for product in (linalg.vecdot, linalg.cross, linalg.matmul):
        for y in (product(x1, x2), product(x2, x1)):
            (g,) = gradients(F.sum(y), [x1])
            assert g.shape == (3,)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (linalg.outer, ShapeError, r"two vectors, got shapes \(2, 3\) and"),
        (lambda x, v: linalg.cross(x[:, :2], v[:2]), ShapeError, "3 components along axis -1"),
        (lambda x, v: linalg.cross(x, v[:1]), ShapeError, "3 components along axis -1"),
        (lambda x, v: linalg.vecdot(x, v[:1]), ShapeError, "of one length along axis -1"),
        (lambda x, v: linalg.vecdot(x, v, axis=0), IndexError, "from the end, from -1 to -1"),
        (linalg.tensordot, ValueError, "0 to 1 axes, got 2"),
        (lambda x, v: linalg.tensordot(x, x, axes=1), ShapeError, "equal lengths"),
        (lambda x, v: linalg.tensordot(x, x, axes=((0,), (0, 1))), ValueError, "as many"),
        (lambda x, v: linalg.tensordot(x, x, axes=((0, 0), (0, 0))), ValueError, "different"),
        (lambda x, v: linalg.tensordot(x, x, axes=((2,), (0,))), IndexError, "axis 2"),
    ],
)
def test_shapes_that_do_not_fit_are_errors(backend, array, call, error, message):
    """No library broadcasts an axis that is summed over, or uses another axis than the given one."""
    x = array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    v = array([1.0, 2.0, 3.0])
    for arrays in ((x, v), (Variable(x), Variable(v))):
        with pytest.raises(error, match=message):
            call(*arrays)


OUTER = [((5, 1), (1, 4)), ((3, 5, 1), (3, 1, 4)), ((3, 5, 1), (1, 4)), ((5, 1), (3, 1, 4))]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("left", "right"), OUTER)
def test_a_column_times_a_row(left, right, dtype):
    """The replacement for np.matmul, which is slow here, has the same bits, also for NaN and inf."""
    x1 = draw(left).astype(dtype)
    x2 = draw(right).astype(dtype)
    x1.reshape(-1)[:2] = np.inf, np.nan
    np.testing.assert_array_equal(F.matmul(x1, x2), np.matmul(x1, x2))
    if x1.ndim == 2:
        turned = np.asfortranarray(x1)
        np.testing.assert_array_equal(F.matmul(turned, x2), np.matmul(turned, x2))


def test_gradients_of_a_batch_of_one():
    """The gradient of the weight is an outer product, with the bits of np.matmul."""
    x = draw((1, 5))
    W = Variable(draw((5, 4)))
    gy = draw((1, 4))
    for f in (F.matmul, F.linear):
        (g,) = gradients(f(x, W), [W], gy)
        np.testing.assert_array_equal(g, np.matmul(x.T, gy))
    a = Variable(draw((3, 5, 1)))
    b = Variable(draw((3, 1, 4)))
    ga, gb = gradients(F.matmul(a, b), [a, b], draw((3, 5, 4)))
    assert_close(ga, draw((3, 5, 4)) @ b.data.mT, rtol=1e-13)
    assert_close(gb, a.data.mT @ draw((3, 5, 4)), rtol=1e-13)
