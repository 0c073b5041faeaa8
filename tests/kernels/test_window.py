"""The geometry of a sliding window, against numbers found by hand."""

import pytest

from tests.kernels.drawn import window_over
from xpnet import ShapeError
from xpnet.kernels.window import Window


def test_by_hand():
    """Seven numbers, padded by one; a kernel of 3, 2 apart, moved by 2."""
    window = window_over((7,), (3,), (2,), (1,), (2,))
    assert (window.reach, window.padded, window.out, window.pads) == ((5,), (9,), (3,), True)
    assert list(window.offsets) == [(0,), (1,), (2,)]
    assert window.under((1,)) == (slice(2, 7, 2),)
    assert window.under((1,), (1,), (2,)) == (slice(4, 5, 2),)
    assert window.inner == (slice(1, 8),)
    assert window.inside((0,)) == ((slice(1, 3),), (slice(1, 4, 2),))
    assert window.inside((1,)) == ((slice(0, 3),), (slice(1, 6, 2),))
    assert window.inside((2,)) == ((slice(0, 2),), (slice(3, 6, 2),))


def test_a_number_that_meets_only_padding():
    """One column, padded by two on both sides: the kernel's ends never meet it."""
    window = window_over((1,), (3,), (3,), (1,), (1,))
    assert [window.inside(offset) is None for offset in window.offsets] == [True, False, True]


def test_the_way_back():
    """From 5 places to the 6 numbers that they met, padded by the reach of the kernel."""
    window = Window((6,), (3,), (1,), ((1, 0),), (1,))
    assert window.out == (5,)
    back = window.turned
    assert (back.size, back.padding, back.out) == ((5,), ((1, 2),), (6,))
    assert window_over((6,), (3,), (2,), (1,), (1,)).turned is None
    assert window_over((6,), (3,), (1,), (3,), (1,)).turned is None


@pytest.mark.parametrize(
    ("rows", "room", "expected"),
    [
        (1, 0, [((i, j), (i + 1, j + 1)) for i in range(3) for j in range(2)]),
        (2, 1, [((i, j), (k, j + 1)) for i, k in ((0, 1), (1, 3)) for j in range(2)]),
        (2, 5, [((0, 0), (1, 2)), ((1, 0), (3, 2))]),
        (99, 99, [((0, 0), (3, 2))]),
    ],
)
def test_blocks(rows, room, expected):
    """Blocks of about equal size, with at most `rows` rows and `room` places in each."""
    window = window_over((3, 2), (1, 1), (1, 1), (0, 0), (1, 1))
    assert list(window.blocks(rows, room)) == expected


def test_in_one_row():
    """The window gets a first axis of length 1, along which it does not move."""
    window = Window((6,), (3,), (2,), ((1, 0),), (2,), (2,)).lifted
    assert (window.size, window.kernel, window.stride) == ((1, 6), (1, 3), (1, 2))
    assert (window.padding, window.dilation, window.out) == (((0, 0), (1, 0)), (1, 2), (1, 2))


def test_a_window_that_does_not_fit():
    """The error states the padding."""
    with pytest.raises(ShapeError, match=r"dilated to \(7,\) does not fit into \(3,\), padded"):
        window_over((3,), (4,), (1,), (1,), (2,))
