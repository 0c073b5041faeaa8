"""Flatten and Reshape: shapes in, shapes out."""

import pytest

from xpnet import Flatten, Reshape, ShapeError, functions as F
from xpnet.testing import assert_close


@pytest.mark.parametrize(
    ("layer", "given", "expected"),
    [
        (Flatten(), (2, 3, 4, 5), (2, 60)),
        (Flatten(), (2,), (2, 1)),
        (Flatten(), (0, 3, 4), (0, 12)),
        (Flatten(0), (2, 3, 4), (24,)),
        (Flatten(0, 1), (2, 3, 4), (6, 4)),
        (Flatten(-2), (2, 3, 4), (2, 12)),
        (Flatten(2, 2), (2, 3, 4), (2, 3, 4)),
        (Reshape(3, 4), (2, 12), (2, 3, 4)),
        (Reshape(-1), (2, 3, 4), (2, 12)),
        (Reshape(2, -1, 3), (5, 12), (5, 2, 2, 3)),
        (Reshape(2, -1), (0, 6), (0, 2, 3)),
        (Reshape(), (3, 1), (3,)),
        (Reshape((3, 4)), (2, 12), (2, 3, 4)),  # as Keras writes it
        (Reshape([-1]), (2, 3, 4), (2, 12)),
    ],
    ids=str,
)
def test_shapes(backend, layer, given, expected):
    assert layer(F.zeros(given).data).shape == expected


@pytest.mark.parametrize(
    ("layer", "given"),
    [
        (Flatten(2, 1), (2, 3, 4)),
        (Flatten(1, 3), (2, 3)),
        (Flatten(-4), (2, 3)),
        (Reshape(5), (2, 12)),
        (Reshape(5, -1), (2, 12)),
        (Reshape(0, -1), (2, 12)),
        (Reshape(1), ()),
    ],
    ids=str,
)
def test_shapes_that_do_not_fit(backend, layer, given):
    """The layer, and what it was given."""
    with pytest.raises(ShapeError) as caught:
        layer(F.zeros(given).data)
    assert str(caught.value).startswith(f"{layer!r} expected x of ")
    assert str(caught.value).endswith(f"got {given}.")


def test_reshaping_is_in_row_major_order(backend, array):
    """The last axis first."""
    x = array([[[1.0, 2.0], [3.0, 4.0]]])
    assert_close(Flatten()(x), [[1.0, 2.0, 3.0, 4.0]])
    assert_close(Reshape(4, 1)(x), [[[1.0], [2.0], [3.0], [4.0]]])


def test_two_sizes_of_minus_one_are_an_error():
    with pytest.raises(ShapeError, match=r"at most one of them -1, got \(-1, -1\)"):
        Reshape(-1, -1)


def test_reprs():
    assert [repr(x) for x in (Flatten(), Flatten(0, 1), Reshape(2, -1))] == [
        "Flatten()",
        "Flatten(0, 1)",
        "Reshape(2, -1)",
    ]
