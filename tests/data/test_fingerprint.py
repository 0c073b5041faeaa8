"""Fingerprints are equal for equal samples only; their content does not depend on the order."""

import json

import numpy as np
import pytest
from hypothesis import given, strategies as st

from xpnet.data.fingerprint import Fingerprint, difference, fingerprint
from xpnet.errors import ShapeError, StateError

X = np.arange(24.0).reshape(8, 3)
T = np.arange(8) % 2


def test_a_fingerprint_depends_on_the_values_only():
    """The layout in memory makes no difference."""
    found = fingerprint(X, T)
    assert found == fingerprint(X.tolist(), T.tolist())
    assert found == fingerprint(np.asfortranarray(X), np.repeat(T, 2)[::2])
    assert found.samples == 8


@pytest.mark.parametrize(
    ("x", "t"),
    [
        (X.reshape(8, 3, 1), T),
        (X.astype("f4"), T),
        (X, T.astype("i1")),
        (X, T[:, None]),
        (X, 1 - T),
        (np.where(X == 7, 8, X), T),
        (X, np.roll(T, 1)),
    ],
)
def test_any_difference_changes_the_fingerprint(x, t):
    found, expected = fingerprint(x, t), fingerprint(X, T)
    assert found.content != expected.content
    assert found.order != expected.order
    assert difference(expected, found) == "as many samples (8), but with other content"


@given(st.permutations(range(8)))
def test_another_order_keeps_the_content(places):
    """The order is the same only if no sample has moved."""
    found, expected = fingerprint(X[places], T[places]), fingerprint(X, T)
    assert found.content == expected.content
    assert (found.order == expected.order) == (list(places) == list(range(8)))
    if found != expected:
        assert difference(expected, found) == "the same samples in another order"


@given(st.integers(0, 8))
def test_fingerprints_of_parts_can_be_added(place):
    """The contents add up; the order depends on the parts."""
    parts = [fingerprint(X[s], T[s]) for s in (slice(place), slice(place, None))]
    total = parts[0] + parts[1]
    assert (total.samples, total.content) == fingerprint(X, T)[:2]
    assert total.order != (parts[1] + parts[0]).order or place in (0, 8)


def test_an_added_or_missing_sample_is_detected():
    expected = fingerprint(X, T)
    assert difference(expected, fingerprint(X[1:], T[1:])) == "7 samples instead of 8"
    twice = fingerprint(np.concatenate([X, X[:1]]), np.concatenate([T, T[:1]]))
    assert difference(expected, twice) == "9 samples instead of 8"


def test_a_fingerprint_survives_json():
    found = fingerprint(X, T)
    assert Fingerprint.from_dict(json.loads(json.dumps(found._asdict()))) == found


@pytest.mark.parametrize(
    "change",
    [{"samples": "8"}, {"samples": True}, {"content": "x"}, {"content": 5}, {"order": None}],
)
def test_an_invalid_dict_is_refused(change):
    with pytest.raises(StateError):
        Fingerprint.from_dict(fingerprint(X, T)._asdict() | change)
    for other in None, [], {"samples": 3}:
        with pytest.raises(StateError, match="the fingerprint of samples"):
            Fingerprint.from_dict(other)


def test_different_numbers_of_samples_and_targets_are_refused():
    with pytest.raises(ShapeError, match="as many targets as samples, 8, got 7"):
        fingerprint(X, T[1:])


def test_empty_arrays_have_a_fingerprint():
    assert fingerprint(X[:0], T[:0]).samples == 0
