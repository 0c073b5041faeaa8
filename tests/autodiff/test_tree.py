"""Nested containers are split into leaves, and rebuilt from leaves."""

from typing import NamedTuple

import pytest

from xpnet.autodiff import tree


class Pair(NamedTuple):
    left: object
    right: object


TREES = [
    (3.0, [3.0]),
    ([1, (2, 3)], [1, 2, 3]),
    ({"b": 1, "a": {"c": 2}}, [1, 2]),
    (Pair(1, [2]), [1, 2]),
    ({"x": None, "y": [None, 1]}, [1]),
    ([], []),
    (None, []),
    ((), []),
    ("text", ["text"]),
]


@pytest.mark.parametrize(("given", "expected"), TREES)
def test_leaves_are_listed_from_left_to_right(given, expected):
    """Dicts keep their own order; None has no leaves; a string is one leaf."""
    assert tree.leaves(given) == expected


@pytest.mark.parametrize(("given", "values"), TREES)
def test_rebuild_is_the_inverse_of_leaves(given, values):
    """All containers keep their types, named tuples included."""
    found = tree.rebuild(given, values)
    assert found == given
    assert type(found) is type(given)
    assert repr(found) == repr(given)  # also for nested containers


def test_map_matches_dicts_by_key():
    """Dicts may have different orders; the result has the order of the first."""
    one = {"x": 1, "y": [2]}
    other = {"y": [20], "x": 10}
    third = {"x": 5, "y": (6,)}
    found = tree.map(lambda *row: sum(row), one, other, third)
    assert list(found.items()) == [("x", 16), ("y", [28])]


def test_matched_yields_the_path_of_each_leaf():
    """A path is what one would write after the name of the tree."""
    model = {"W": [0, (0, 0)], "b": None}
    places = dict(tree.matched(model, model))
    assert list(places) == ["['W'][0]", "['W'][1][0]", "['W'][1][1]"]


def test_a_leaf_of_the_model_matches_any_subtree():
    """A nested list may be given where an array is expected."""
    assert list(tree.matched((1, 2), ([3.0, 4.0], 5.0))) == [("[0]", [3.0, 4.0]), ("[1]", 5.0)]


@pytest.mark.parametrize(
    ("model", "given", "words"),
    [
        ({"a": 1}, {"b": 1}, "Expected a tree like dict of ['a'], got dict of ['b']."),
        ([1, 2], [1], "Expected a tree like list of [0, 1], got list of [0]."),
        ((1,), 1, "Expected a tree like tuple of [0], got int."),
        (None, 1, "Expected a tree like None, got int."),
        ({"a": [1]}, {"a": None}, "Expected a tree like list of [0], got None, at ['a']."),
    ],
)
def test_a_different_structure_raises(model, given, words):
    """The message contains both structures, and the path."""
    with pytest.raises(TypeError) as caught:
        tree.map(lambda a, b: a, model, given)
    assert str(caught.value) == words
