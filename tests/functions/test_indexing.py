"""x[key] by arrays and masks: a number picked twice counts twice, others have the gradient 0."""

import numpy as np
import pytest

from xpnet import ArgumentError, GradientError, Variable, array_namespace, functions as F, gradients
from xpnet.testing import assert_close, check_gradients

X = np.arange(1.0, 13.0).reshape(3, 4) / 4.0
KEYS = {  # of NumPy's arrays; array-api-strict supports only those of the standard
    "repeated integers": [0, 2, 2, 0, 0],
    "negative integers": [-1, 0, -1],
    "a matrix of integers": [[0, 1], [2, 2]],
    "a mask of rows": [True, False, True],
    "a mask of all": X > 1.0,
    "a mask of nothing": X > 99.0,
    "no integers": np.zeros((0,), dtype=np.int64),
    "two arrays": ([0, 0, 2], [1, 1, 3]),
    "an array and a slice": ([0, 2, 2], slice(1, 3)),
    "an array and an integer": ([0, 2, 2], 1),
}
BEYOND_THE_STANDARD = {  # which has an array for every axis, or one mask of all axes
    "repeated integers",
    "negative integers",
    "a matrix of integers",
    "a mask of rows",
    "no integers",
    "an array and a slice",
}


def of(array, key):
    """The key with arrays of the backend."""
    if isinstance(key, tuple):
        return tuple(k if isinstance(k, (slice, int)) else of(array, k) for k in key)
    host = np.asarray(key)
    return array(host.tolist(), "bool" if host.dtype == bool else "int64")


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("wrapped", [False, True], ids=["arrays", "Variables"])
def test_getitem_by_arrays(backend64, array, order, name, wrapped):
    """The value is NumPy's; the derivatives agree with differences."""
    if backend64.name.startswith("array_api_strict") and name in BEYOND_THE_STANDARD:
        pytest.skip("the standard does not have such a key, and array-api-strict refuses it")
    host = tuple(
        k if isinstance(k, (slice, int)) else np.asarray(k)
        for k in (KEYS[name] if isinstance(KEYS[name], tuple) else (KEYS[name],))
    )
    key = of(array, KEYS[name])
    if name == "no integers":
        key = F.zeros(0, dtype=backend64.xp.int64).data
    if wrapped:
        key = (
            tuple(k if isinstance(k, (slice, int)) else Variable(k) for k in key)
            if isinstance(key, tuple)
            else Variable(key)
        )
    x = array(X.tolist())
    assert_close(Variable(x)[key], X[host])
    if X[host].size:
        check_gradients(lambda x: x[key] ** 3, x, order=order)
    else:
        v = Variable(x)
        (g,) = gradients(F.sum(v[key]), [v])
        assert_close(g, np.zeros(X.shape))


def test_take_along_axis_requires_indices_of_as_many_dimensions(backend, array):
    x = Variable(array([[1.0, 2.0], [3.0, 4.0]]))
    for indices in ([1, 0], [[[1, 0], [0, 1]]]):
        with pytest.raises(ArgumentError, match="take_along_axis expected indices of 2 dimensions"):
            F.take_along_axis(x, array(indices, "int64"))


def test_every_pick_of_a_row_counts(backend64, array):
    """Row 2 is picked three times, row 1 never."""
    v = Variable(array(X.tolist()))
    (g,) = gradients(F.sum(F.take(v, array([2, 0, 2, 2], "int64"), axis=0)), [v])
    assert_close(g, np.asarray([[1.0] * 4, [0.0] * 4, [3.0] * 4]))


@pytest.mark.parametrize("pick", ["take", "x[key]", "take_along_axis"])
def test_picking_complex_numbers(backend64, array, pick):
    """The gradient of the sum of the real parts counts each occurrence."""
    x = Variable(array([1.0 + 2.0j, 3.0 - 1.0j, -2.0j], "complex128"))
    key = array([0, 0, 2], "int64")
    picks = {
        "take": lambda: F.take(x, key),
        "x[key]": lambda: x[key],
        "take_along_axis": lambda: F.take_along_axis(x, key),
    }
    if backend64.name.startswith("array_api_strict") and pick == "x[key]":
        pytest.skip("the standard does not have such a key, and array-api-strict refuses it")
    (g,) = gradients(F.sum(F.real(picks[pick]() * (1.0 - 3.0j))), [x])
    assert_close(g, [2.0 - 6.0j, 0.0j, 1.0 - 3.0j])


def test_the_first_of_equal_numbers_has_the_gradient_of_unique_values(backend64, array):
    """The values of 1, 2, 1, 3 are 1, 2, 3."""
    v = Variable(array([1.0, 2.0, 1.0, 3.0]))
    values, indices, inverse, counts = F.unique_all(v)
    assert_close(values, [1.0, 2.0, 3.0])
    assert_close(indices, [0, 1, 3])
    assert_close(inverse, [0, 1, 0, 2])
    assert_close(counts, [2, 1, 1])
    (g,) = gradients(F.sum(values * values), [v])
    assert_close(g, [2.0, 4.0, 0.0, 6.0])


# --- assignment after use -------------------------------------------------------------------------


@pytest.mark.parametrize("pick", [F.take, F.take_along_axis])
def test_indices_of_another_library_are_an_error(backend, array, pick):
    """CuPy would accept NumPy's, with a hidden copy to the device in each call."""
    strict = pytest.importorskip("array_api_strict", reason="it stands in as another library")
    other = (strict if backend.name == "numpy" else np).asarray([0, 1])
    for x in (array([1.0, 2.0, 3.0]), Variable(array([1.0, 2.0, 3.0]))):
        with pytest.raises(TypeError, match="do not mix"):
            pick(x, other, axis=0)


def test_a_graph_keeps_a_constant_that_is_assigned_to_later(backend, array):
    """Whether it was used by itself, by a view of it, as indices, or as a mask."""
    v = Variable(array([1.0, 2.0, 3.0]))
    c = F.ones(3)
    i = F.asarray([0, 1])
    m = F.asarray([True, False, True])
    r = F.asarray([1, 2, 0])
    uses = {
        "a factor": (v * c, [1.0, 1.0, 1.0]),
        "a view": (v[:2] * c[:2], [1.0, 1.0, 0.0]),
        "a condition": (F.where(m, v, 0.0), [1.0, 0.0, 1.0]),
        "a key": (v[i], [1.0, 1.0, 0.0]),
        "a mask": (v[m], [1.0, 0.0, 1.0]),
        "take": (F.take(v, i), [1.0, 1.0, 0.0]),
        "take_along_axis": (F.take_along_axis(v, i, axis=0), [1.0, 1.0, 0.0]),
    }
    if not backend.name.startswith("jax"):  # JAX must know the repeats before it runs
        uses["repeat"] = (F.repeat(v, r), [1.0, 2.0, 0.0])
    c[0] = 5.0
    i[0] = 2
    m[1] = True
    r[0] = 7
    for y, expected in uses.values():
        assert_close(gradients(F.sum(y), [v])[0], array(expected))


def test_backward_through_a_parameter_that_was_updated_later_is_an_error(backend, array):
    """A graph from before the step does not use the new weights."""
    from xpnet import SGD, Parameter

    w = Parameter(array([1.0, 2.0]))
    y = F.sum(w * w)
    y.backward()
    SGD([w], lr=0.1).step()
    with pytest.raises(
        GradientError, match="an optimizer's step changed it since: compute the loss again"
    ):
        y.backward()
    assert array_namespace(w) is w.__array_namespace__()
