"""Functions that move numbers: against NumPy, and their derivatives against differences."""

import numpy as np
import pytest

from xpnet import ShapeError, Variable, functions as F
from xpnet.testing import assert_close, check_gradients

X = np.arange(24.0).reshape(2, 3, 4) / 10.0
ONE = [
    ("reshape", lambda x: F.reshape(x, (4, -1)), X.reshape(4, -1)),
    ("permute_dims", lambda x: F.permute_dims(x, (2, 0, 1)), X.transpose(2, 0, 1)),
    ("permute_dims-negative", lambda x: F.permute_dims(x, (-1, 0, -2)), X.transpose(2, 0, 1)),
    ("broadcast_to", lambda x: F.broadcast_to(x, (5, 2, 3, 4)), np.broadcast_to(X, (5, 2, 3, 4))),
    ("expand_dims", lambda x: F.expand_dims(x, axis=1), X[:, None]),
    ("expand_dims-last", lambda x: F.expand_dims(x, axis=-1), X[..., None]),
    ("squeeze", lambda x: F.squeeze(F.reshape(x, (1, 24, 1)), (0, -1)), X.reshape(24)),
    ("squeeze-one", lambda x: F.squeeze(x[:1, :, :], 0), X[0]),
    ("flip", F.flip, X[::-1, ::-1, ::-1]),
    ("flip-axis", lambda x: F.flip(x, axis=-2), X[:, ::-1]),
    ("matrix_transpose", F.matrix_transpose, X.swapaxes(1, 2)),
    ("concat-None", lambda x: F.concat([x, x], axis=None), np.concatenate([X, X], axis=None)),
]


@pytest.mark.parametrize(("f", "expected"), [row[1:] for row in ONE], ids=[row[0] for row in ONE])
def test_functions_of_one_array(backend64, array, order, f, expected):
    """Values are compared with NumPy's, on arrays and Variables."""
    x = array(X.tolist())
    assert_close(f(x), expected)
    assert_close(f(Variable(x)), expected)
    check_gradients(lambda x: f(x) ** 3, x, order=order)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_concat_and_stack(backend64, array, order, axis):
    """Each input gets its own part of the gradient."""
    a = array(X.tolist())
    b = array((2 * X[:, :, ::-1]).tolist())
    host = [X, 2 * X[:, :, ::-1]]
    assert_close(F.concat([Variable(a), b], axis=axis), np.concatenate(host, axis=axis))
    assert_close(F.stack([Variable(a), b], axis=axis), np.stack(host, axis=axis))
    check_gradients(lambda a, b: F.concat([a, b], axis=axis) ** 3, a, b, order=order)
    check_gradients(lambda a, b: F.stack([a, b], axis=axis) ** 3, a, b, order=order)


KEYS = [1, -1, slice(None, None, 2), (0, 2), (..., 1), (None, 1, slice(1, 3)), (slice(0, 0),)]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_getitem(backend64, array, order, key):
    """Integers, slices, ... and None; numbers that were not picked have the gradient 0."""
    x = array(X.tolist())
    if isinstance(key, tuple) and None not in key and ... not in key:
        key = (*key, ...)  # the standard requires an index for each axis, or `...`
    elif not isinstance(key, tuple):
        key = (key, ...)
    elif None in key:
        key = (*key, ...)
    assert_close(Variable(x)[key], X[key])
    check_gradients(lambda x: x[key] ** 3, x, order=order)


def test_invalid_axes_are_errors(backend, array):
    """Axes out of range, and axes that do not have length 1."""
    x = Variable(array([[1.0, 2.0]]))
    with pytest.raises(IndexError, match="expand_dims expected an axis from -3 to 2, got axis 4"):
        F.expand_dims(x, axis=4)
    with pytest.raises(ValueError, match="squeeze expected axes of length 1"):
        F.squeeze(x, 1)
    with pytest.raises(ShapeError, match=r"stack expected .* got \(1, 2\) and \(1, 1\)\."):
        F.stack([x, x[:, :1]])
    with pytest.raises(ShapeError, match=r"stack expected .* got \(1, 2\) and \(2,\)\."):
        F.stack([x, x[0, :]], axis=1)


def test_astype(backend, array, xp):
    """From a floating-point dtype the gradient returns in the dtype of x; integers have no
    gradient.
    """
    x = Variable(array([1.5, 2.5]))
    y = F.astype(x, xp.int32)
    assert y.dtype == xp.int32
    assert not y.requires_grad
    F.sum(F.astype(x, x.dtype) * 2.0).backward()
    assert x.grad.dtype == x.dtype
    assert_close(x.grad, [2.0, 2.0])


@pytest.mark.parametrize(
    "call",
    [
        lambda x: F.concat([x, x], axis=2),
        lambda x: F.concat([x, x], axis=-3),
        lambda x: F.squeeze(x, axis=5),
        lambda x: F.permute_dims(x, (0, 2)),
        lambda x: F.expand_dims(x, axis=3),
        lambda x: F.sum(x, axis=2),
        lambda x: F.sum(F.sum(x), axis=0),
        lambda x: F.concat([F.sum(x)]),
    ],
)
def test_an_axis_out_of_range_is_an_error(backend, array, call):
    for x in (array([[1.0], [2.0]]), Variable(array([[1.0], [2.0]]))):
        with pytest.raises(IndexError, match="out of range"):
            call(x)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (3, r"from -3 to 2 along axis 0, got 3: it is out of range\."),
        ((..., -3), r"along axis 1, got -3: it is out of range\."),
        ((None, 0, 2), r"along axis 1, got 2: it is out of range\."),
        ((0, 0, 0), "at most 2 indices, one for each axis, got 3"),
        ((..., 0, 0, 0), "at most 2 indices, one for each axis, got 3"),
    ],
)
def test_an_index_out_of_range_is_an_error(backend, array, key, words):
    """JAX itself would use the nearest index."""
    with pytest.raises(IndexError, match=words):
        Variable(array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))[key]


def test_numpys_integers_are_indices_and_true_is_not(backend, array):
    x = Variable(array([1.0, 2.0]))
    assert float(x[np.int64(1)]) == 2.0
    with pytest.raises(IndexError, match="got bool"):
        x[True]
