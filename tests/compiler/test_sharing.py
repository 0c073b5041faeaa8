"""Which arrays share memory."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from xpnet.compiler.sharing import memory_of, overlap, overlapping

WHOLE = np.zeros((4, 6))


@st.composite
def parts(draw):
    """A view of WHOLE, perhaps backwards, perhaps empty."""
    steps = st.sampled_from([1, 2, 3, -1, -2])
    bounds = st.one_of(st.none(), st.integers(-5, 5))
    key = tuple(slice(draw(bounds), draw(bounds), draw(steps)) for _ in range(2))
    part = WHOLE[key]
    return part.T if draw(st.booleans()) else part


def written(x, y):
    """Whether a change of x changes y."""
    WHOLE[...] = 0.0
    x[...] = 1.0
    return bool(np.any(y == 1.0))


@given(parts(), parts())
def test_two_views_overlap_if_one_changes_the_other(x, y):
    assert overlap(x, y) == written(x, y)
    assert memory_of(x) == memory_of(y)


@given(st.lists(parts(), max_size=6))
def test_all_pairs_are_found(arrays):
    expected = {
        (i, j) for j, y in enumerate(arrays) for i, x in enumerate(arrays[:j]) if written(x, y)
    }
    found = list(overlapping(arrays))
    assert set(found) == expected
    assert len(found) == len(expected)


def test_arrays_of_different_memory():
    x = np.zeros(4)
    assert memory_of(x) != memory_of(WHOLE)
    assert not overlap(x, WHOLE)
    assert list(overlapping([x, WHOLE, x[1:]])) == [(0, 2)]


def test_memory_that_another_object_has_allocated():
    memory = bytearray(32)
    x = np.frombuffer(memory)
    y = np.frombuffer(memory)[1:]
    assert memory_of(x) is None
    assert overlap(x, y)


def test_arrays_of_pytorch():
    torch = pytest.importorskip("torch")
    whole = torch.zeros(8)
    assert overlap(whole[:4], whole[3:])
    assert not overlap(whole[:4], whole[4:])
    assert not overlap(whole, whole.numpy())
    assert memory_of(whole[4:]) == memory_of(whole)
    assert list(overlapping([whole[:4], whole[4:], whole[2:6]])) == [(0, 2), (1, 2)]


def test_arrays_that_never_change():
    jnp = pytest.importorskip("jax.numpy")
    x = jnp.zeros(3)
    assert list(overlapping([x, x])) == []
