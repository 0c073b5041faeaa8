"""Transforms of images, compared with loops over single images, pixel by pixel."""

import numpy as np
import pytest

import xpnet
from xpnet import ShapeError
from xpnet.data import DataLoader
from xpnet.data.transforms import (
    Compose,
    Cutout,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    RandomShift,
)

RANDOM = [RandomCrop(6), RandomCrop((5, 7), padding=2), RandomShift(3), RandomHorizontalFlip(),
          Cutout(3), Cutout(4, fill=2)]  # fmt: skip


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def images(rng):
    x = rng.random((200, 3, 8, 9), dtype=np.float32) + 1
    x.flags.writeable = False
    return x


def test_normalize_is_the_formula(images):
    """Channels may have numbers of their own; float64 stays, bytes become float32."""
    mean, std = [1.4, 1.5, 1.6], [0.2, 0.3, 0.4]
    y = Normalize(mean, std)(images)
    assert y.dtype == np.float32
    for c in range(3):
        expected = (images[:, c].astype(np.float64) - mean[c]) / std[c]
        np.testing.assert_allclose(y[:, c], expected, rtol=1e-5, atol=1e-5)
    y = Normalize(1.5, [0.2, 0.3, 0.4])(images.astype(np.float64))
    assert y.dtype == np.float64
    np.testing.assert_allclose(y[:, 2], (images[:, 2].astype(np.float64) - 1.5) / 0.4, rtol=1e-12)
    levels = np.asarray([0, 127, 255], np.uint8).reshape(1, 1, 1, 3)
    y = Normalize(127, 128)(levels)
    assert y.dtype == np.float32
    assert y.ravel().tolist() == [-127 / 128, 0, 1]


@pytest.mark.parametrize("padding", [0, 2])
def test_each_crop_is_a_part_of_its_image(images, rng, padding):
    """The pixels encode the place in the padded image; all places occur."""
    transform = RandomCrop((5, 7), padding=padding, fill=-1)
    y = transform(images, rng)
    assert y.shape == (200, 3, 5, 7)
    wide = np.pad(images, [(0, 0), (0, 0), *[(padding, padding)] * 2], constant_values=-1)
    places = set()
    for x, piece in zip(wide, y, strict=True):
        found = [
            (i, j)
            for i in range(8 + 2 * padding - 4)
            for j in range(9 + 2 * padding - 6)
            if np.array_equal(x[:, i : i + 5, j : j + 7], piece)
        ]
        assert len(found) == 1
        places.update(found)
    if not padding:
        assert places == {(i, j) for i in range(4) for j in range(3)}


def test_each_image_is_shifted_by_itself(images, rng):
    """The shifts are -2 to 2 in each direction, and free pixels are filled."""
    y = RandomShift(2, fill=-1)(images, rng)
    moves = set()
    for x, shifted in zip(images, y, strict=True):
        for di in range(-2, 3):
            for dj in range(-2, 3):
                expected = np.full_like(x, -1)
                source = x[:, max(0, -di) : 8 - max(0, di), max(0, -dj) : 9 - max(0, dj)]
                expected[:, max(0, di) : 8 + min(0, di), max(0, dj) : 9 + min(0, dj)] = source
                if np.array_equal(shifted, expected):
                    moves.add((di, dj))
                    break
            else:
                continue
            break
        else:
            pytest.fail("no shift of the image")
    assert len(moves) == 25


def test_half_of_the_images_are_mirrored(images, rng):
    """Each image is unchanged or its mirror image."""
    y = RandomHorizontalFlip()(images, rng)
    mirrored = 0
    for x, flipped in zip(images, y, strict=True):
        same = np.array_equal(x, flipped)
        assert same or np.array_equal(x[:, :, ::-1], flipped)
        mirrored += not same
    assert 70 <= mirrored <= 130
    assert np.array_equal(RandomHorizontalFlip(0)(images, rng), images)
    assert np.array_equal(RandomHorizontalFlip(1)(images, rng), images[..., ::-1])


@pytest.mark.parametrize("size", [1, 3, 4, 30])
def test_cutout_erases_a_square(images, rng, size):
    """The place is the same in all channels. The centre is inside of the image."""
    y = Cutout(size, fill=-1)(images, rng)
    areas = set()
    for x, holed in zip(images, y, strict=True):
        hole = (holed == -1).all(axis=0)
        rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
        assert np.array_equal(hole, np.outer(hole.any(axis=1), hole.any(axis=0)))
        assert np.ptp(rows) + 1 == len(rows) <= size
        assert np.ptp(columns) + 1 == len(columns) <= size
        assert np.array_equal(holed[:, ~hole], x[:, ~hole])
        areas.add(int(hole.sum()))
    assert max(areas) == min(size, 8) * min(size, 9)
    if size == 4:
        assert min(areas) < 16  # some extend beyond the edge


@pytest.mark.parametrize("transform", RANDOM, ids=repr)
def test_equal_seeds_give_equal_batches(images, transform):
    """The dtype is kept, and the input is not written to."""
    first, second = (transform(images, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, transform(images, np.random.default_rng(6)))
    grey = (images * 100).astype(np.uint8)
    assert transform(grey, np.random.default_rng(5)).dtype == np.uint8
    for part in images[:0], images[:1], images[::3], images[..., ::-1]:
        assert transform(part, np.random.default_rng(5)).shape[0] == len(part)


def test_compose_applies_transforms_in_turn(images):
    """They share one generator."""
    composed = Compose([RandomShift(2), Normalize(1.5, 0.3)])
    rng = np.random.default_rng(3)
    expected = Normalize(1.5, 0.3)(RandomShift(2)(images, rng), rng)
    assert np.array_equal(composed(images, np.random.default_rng(3)), expected)


def test_a_loader_applies_its_transform(images):
    """Each epoch is transformed anew."""
    loader = DataLoader(images, np.arange(200), batch_size=50, seed=1, transform=RandomShift(1))
    first = [x for x, _ in loader.epoch(1)]
    assert all(np.array_equal(a, b) for a, (b, _) in zip(first, loader.epoch(1), strict=True))
    assert not any(np.array_equal(a, b) for a, (b, _) in zip(first, loader.epoch(2), strict=True))


@pytest.mark.parametrize("transform", [*RANDOM, Normalize(0, 1)], ids=repr)
def test_flat_images_are_refused(transform):
    """The message says how to reshape them."""
    with pytest.raises(ShapeError, match=r"expected images of shape .*got \(5, 784\).*reshape"):
        transform(np.zeros((5, 784)), np.random.default_rng(0))


def test_images_that_do_not_fit_are_refused():
    x = np.zeros((2, 3, 4, 4))
    with pytest.raises(ShapeError, match=r"RandomCrop\(\(7, 7\), padding=1\) expected images"):
        RandomCrop(7, padding=1)(x, np.random.default_rng(0))
    with pytest.raises(ShapeError, match="2 channels"):
        Normalize([0, 0], [1, 1])(x)


@pytest.mark.parametrize("transform", [*RANDOM, Normalize(0, 1)], ids=repr)
def test_arrays_of_another_library_are_refused(transform):
    """A loader passes NumPy arrays, on every backend."""
    with xpnet.using("array_api_strict:device1") as there:
        x = there.asarray(np.zeros((2, 1, 8, 9), np.float32))
    with pytest.raises(TypeError, match="works on the host: expected a NumPy array"):
        transform(x, np.random.default_rng(0))


def test_a_fraction_cannot_fill_images_of_bytes():
    """Grey levels from 0 to 1 have a middle of 0.5, bytes have not."""
    x, rng = np.ones((1, 1, 3, 3), np.uint8), np.random.default_rng(0)
    for transform in RandomShift(1, fill=0.5), RandomCrop(3, 1, fill=0.5), Cutout(2, fill=0.5):
        with pytest.raises(ValueError, match="cannot fill images of uint8 with a fraction"):
            transform(x, rng)
        assert transform(x.astype(np.float16), rng).dtype == np.float16


def test_sizes_may_be_any_integers():
    assert RandomCrop(np.int64(3)).size == RandomCrop([3, np.int32(3)]).size == (3, 3)
    with pytest.raises(TypeError, match="integer"):
        RandomCrop(2.5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Normalize(0, 0),
        lambda: Normalize([0, 1], [1, 1, 1]),
        lambda: Normalize(np.nan, 1),
        lambda: Normalize(0, [[1]]),
        lambda: RandomCrop(0),
        lambda: RandomCrop(3, padding=-1),
        lambda: RandomShift(-1),
        lambda: RandomHorizontalFlip(1.5),
        lambda: Cutout(0),
    ],
)
def test_invalid_parameters_are_refused(make):
    with pytest.raises(ValueError, match="Expected"):
        make()
