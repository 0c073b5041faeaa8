"""Embedding: rows of a table, and sums of gradients where rows repeat."""

import math

import pytest

from xpnet import ShapeError, Variable, functions as F, gradients, using
from xpnet.testing import assert_close, check_gradients

TABLE = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]


def test_rows_of_the_table(backend64, array, order):
    """For each integer its row; the gradients of equal integers are added."""
    W = Variable(array(TABLE))
    x = array([[2, 0], [2, 2]])
    y = F.embedding(x, W)
    assert_close(y, [[TABLE[2], TABLE[0]], [TABLE[2], TABLE[2]]])
    dout = array([[[1.0, 10.0], [2.0, 20.0]], [[3.0, 30.0], [4.0, 40.0]]])
    assert_close(gradients(y, [W], dout)[0], [[2.0, 20.0], [0.0, 0.0], [8.0, 80.0]])
    check_gradients(lambda W: F.embedding(x, W * W), W.data, order=order)


@pytest.mark.parametrize("padding", [1, -2])
def test_the_padding_row_has_no_gradient(backend64, array, padding):
    """Its value is returned like any other row's."""
    W = Variable(array(TABLE))
    x = array([1, 0, 1])
    y = F.embedding(x, W, padding_idx=padding)
    assert_close(y, [TABLE[1], TABLE[0], TABLE[1]])
    (g,) = gradients(F.sum(y), [W])
    assert_close(g, [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])


@pytest.mark.parametrize("wrong", [3, -1])
def test_an_integer_out_of_range_is_an_error(backend, array, wrong):
    """A number that is too large or negative never picks another row.

    On CuPy the error is raised when numbers come to the host. Until then the row is NaN, and no
    gradient changes.
    """
    W = Variable(array(TABLE))
    x = array([0, wrong, 1])
    message = f"embedding expected indices from 0 to 2, got {wrong}: it is out of range"
    if not backend.name.startswith("cupy"):
        with pytest.raises(IndexError, match=message):
            F.embedding(x, W)
        return
    y = F.embedding(x, W)
    with pytest.raises(IndexError, match=message):
        float(F.sum(y))
    assert_close(y, [TABLE[0], [math.nan] * 2, TABLE[1]])
    (g,) = gradients(y, [W], array([[1.0, 1.0]] * 3))
    assert_close(g, [[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]])


def test_an_integer_out_of_range_is_nan_while_jax_traces():
    """A traced program has no numbers to check."""
    jax = pytest.importorskip("jax")
    with using("jax"):
        table = jax.numpy.asarray(TABLE)
        y = jax.jit(lambda x: F.embedding(x, table))(jax.numpy.asarray([0, 3, -1]))
    assert_close(y, [TABLE[0], [math.nan] * 2, [math.nan] * 2])


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "int64"])
def test_integers_of_any_width(backend, array, dtype):
    """Also 8 bits, in which labels are often stored."""
    x = array([2, 1], getattr(backend.xp, dtype))
    assert_close(F.embedding(x, array(TABLE)), [TABLE[2], TABLE[1]])
    table = [[float(i)] for i in range(300)]  # more rows than 8 bits can count
    assert_close(F.embedding(x, array(table), padding_idx=299), [[2.0], [1.0]])


def test_zero_dimensional_and_empty_indices(backend, array):
    """0-d and empty x."""
    assert_close(F.embedding(array(1), array(TABLE)), TABLE[1])
    assert F.embedding(array([[1]])[:0, :], array(TABLE)).shape == (0, 1, 2)


def test_invalid_indices_are_errors(backend, array):
    with pytest.raises(TypeError, match="expected integers, got .*float32"):
        F.embedding(array([1.0]), array(TABLE))
    with pytest.raises(ValueError, match="padding_idx from -3 to 2, got 3"):
        F.embedding(array([1]), array(TABLE), padding_idx=3)
    with pytest.raises(ShapeError, match=r"weight of shape \(rows, columns\), got \(2,\)"):
        F.embedding(array([1]), array([1.0, 2.0]))
