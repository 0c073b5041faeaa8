"""How a window slides: by hand."""

import pytest

from xpnet import ShapeError
from xpnet.kernels.window import Window


def test_by_hand():
    """Seven numbers, padded by one; a kernel of 3, 2 apart, moved by 2."""
    window = Window.over((7,), (3,), (2,), (1,), (2,))
    assert (window.reach, window.padded, window.out, window.pads) == ((5,), (9,), (3,), True)
    assert list(window.offsets) == [(0,), (1,), (2,)]
    assert window.under((1,)) == (slice(2, 7, 2),)
    assert window.under((1,), (1,), (2,)) == (slice(4, 5, 2),)
    assert window.inner == (slice(1, 8),)
    assert window.inside((0,)) == ((slice(1, 3),), (slice(1, 4, 2),))
    assert window.inside((1,)) == ((slice(0, 3),), (slice(1, 6, 2),))
    assert window.inside((2,)) == ((slice(0, 2),), (slice(3, 6, 2),))


def test_a_number_that_meets_padding_alone():
    """One column, padded by two on both sides: the kernel's ends never meet it."""
    window = Window.over((1,), (3,), (3,), (1,), (1,))
    assert [window.inside(offset) is None for offset in window.offsets] == [True, False, True]


def test_the_way_back():
    """From 5 places to the 6 numbers they met, padded by what the kernel reaches beyond."""
    window = Window((6,), (3,), (1,), ((1, 0),), (1,))
    assert window.out == (5,)
    back = window.turned
    assert (back.size, back.padding, back.out) == ((5,), ((1, 2),), (6,))
    assert Window.over((6,), (3,), (2,), (1,), (1,)).turned is None
    assert Window.over((6,), (3,), (1,), (3,), (1,)).turned is None


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        (0, [((i, j), (i + 1, j + 1)) for i in range(3) for j in range(2)]),
        (2, [((i, 0), (i + 1, 2)) for i in range(3)]),
        (5, [((0, 0), (2, 2)), ((2, 0), (3, 2))]),
        (99, [((0, 0), (3, 2))]),
    ],
)
def test_blocks_are_neighbours_in_memory(room, expected):
    """Whole rows where there is room for one; parts of one row otherwise."""
    assert list(Window.over((3, 2), (1, 1), (1, 1), (0, 0), (1, 1)).blocks(room)) == expected


def test_a_window_that_does_not_fit():
    """The error tells what was thought around the axes."""
    with pytest.raises(ShapeError, match=r"dilated to \(7,\) does not fit into \(3,\), padded"):
        Window.over((3,), (4,), (1,), (1,), (2,))
