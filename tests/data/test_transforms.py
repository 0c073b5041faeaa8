"""Transforms of images, compared with loops over single images, pixel by pixel."""

import numpy as np
import pytest

import xpnet
from xpnet import ShapeError
from xpnet.data import DataLoader
from xpnet.data.transforms import (
    ColorJitter,
    Compose,
    Cutout,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    RandomShift,
    RandomVerticalFlip,
)

RANDOM = [RandomCrop(6), RandomCrop((5, 7), padding=2), RandomShift(3), RandomHorizontalFlip(),
          RandomVerticalFlip(), RandomRotation(20), RandomRotation(180, fill=2), RandomResizedCrop(),
          ColorJitter(0.2, 0.3, 0.4), Cutout(3), Cutout(4, fill=2)]  # fmt: skip


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def images(rng):
    x = rng.random((200, 3, 8, 9), dtype=np.float32)
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


@pytest.mark.parametrize(
    ("kind", "mirrored"),
    [(RandomHorizontalFlip, np.s_[..., ::-1]), (RandomVerticalFlip, np.s_[..., ::-1, :])],
)
def test_half_of_the_images_are_mirrored(images, rng, kind, mirrored):
    """Each image is unchanged or its mirror image."""
    y = kind()(images, rng)
    count = 0
    for x, flipped in zip(images, y, strict=True):
        same = np.array_equal(x, flipped)
        assert same or np.array_equal(x[mirrored], flipped)
        count += not same
    assert 70 <= count <= 130
    assert np.array_equal(kind(0)(images, rng), images)
    assert np.array_equal(kind(1)(images, rng), images[mirrored])


def interpolated(image, row, column, fill):
    """The value of a channel at a fractional place, as the weighted mean of its four neighbours."""
    total = 0.0
    for i in int(np.floor(row)), int(np.floor(row)) + 1:
        for j in int(np.floor(column)), int(np.floor(column)) + 1:
            inside = 0 <= i < image.shape[0] and 0 <= j < image.shape[1]
            weight = (1 - abs(row - i)) * (1 - abs(column - j))
            total += weight * (float(image[i, j]) if inside else fill)
    return total


class Drawn:
    """A generator whose `uniform` returns given numbers, one array for each call."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)

    def uniform(self, low, high, shape=None):
        found = np.broadcast_to(self.numbers.pop(0), np.shape(high) or shape)
        assert (low <= found).all()
        assert (found <= high).all()
        return found


@pytest.mark.parametrize("angle", [-90, -33, 0, 12.5, 90, 180])
def test_each_pixel_of_a_rotation_is_interpolated(images, angle):
    """A point of the result, turned back about the centre, is a point of the image."""
    y = RandomRotation(180, fill=0.25)(images[:2], Drawn(angle))
    turn = np.exp(1j * np.deg2rad(angle))
    middle = complex(3.5, 4.0)  # row and column
    for i in range(8):
        for j in range(9):
            source = (complex(i, j) - middle) * turn.conjugate() + middle
            expected = interpolated(images[1, 2], source.real, source.imag, 0.25)
            assert y[1, 2, i, j] == pytest.approx(expected, abs=1e-6)


def test_a_quarter_turn_is_exact(images):
    square = images[..., :8]
    y = RandomRotation(90)(square, Drawn(90))
    np.testing.assert_allclose(y, np.rot90(square, axes=(2, 3)), atol=1e-6)


def test_rotations_are_of_each_image_by_itself(rng):
    """The angles reach both limits and do not exceed them."""
    x = np.zeros((500, 1, 41, 41), np.float32)
    x[:, :, 20, 40] = 1  # a point on the right, 20 pixels from the centre
    y = RandomRotation(30)(x, rng)
    rows, columns = np.mgrid[-20:21, -20:21]
    weight = y.sum((1, 2, 3))
    angles = np.rad2deg(
        np.arctan2((y[:, 0] * rows).sum((1, 2)) / weight, (y[:, 0] * columns).sum((1, 2)) / weight)
    )
    assert -30.5 < angles.min() < -29
    assert 29 < angles.max() < 30.5
    assert np.array_equal(RandomRotation(0)(x, rng), x)


def test_a_resized_crop_is_an_enlarged_part(images):
    """An eighth of the area, half as wide as it is high, from row 1.6 and column 2.7 on."""
    transform = RandomResizedCrop((0.1, 1.0), ratio=(0.5, 2.0))
    y = transform(images[:2], Drawn(0.125, np.log(0.5), 1.6, 2.7))
    for i in range(8):
        for j in range(9):
            row = 1.6 + (i + 0.5) * 0.5 - 0.5  # 4 rows of 8
            column = 2.7 + (j + 0.5) * 0.25 - 0.5
            expected = interpolated(images[0, 1], row, column, None)
            assert y[0, 1, i, j] == pytest.approx(expected, abs=1e-6)


def test_resized_crops_are_inside_of_the_image(rng):
    """On an image whose values are its columns, the values that occur show the part."""
    x = np.broadcast_to(np.arange(64, dtype=np.float32), (300, 1, 4, 64))
    y = RandomResizedCrop((0.25, 0.5), ratio=(1, 1))(x, rng)
    width = (y[..., -1] - y[..., 0]).mean((1, 2)) / 63 * 64
    assert 0.24 < (width.min() / 64) ** 2 < 0.27
    assert 0.48 < (width.max() / 64) ** 2 < 0.51
    assert 0 <= y.min() < 2
    assert 61 < y.max() <= 63
    assert np.array_equal(RandomResizedCrop((1, 1), (1, 1))(x, rng), x)


@pytest.mark.parametrize("transform", [RandomRotation(30, fill=1), RandomResizedCrop((0.1, 1))])
def test_interpolated_pixels_are_not_whiter_than_those_between_which_they_are(rng, transform):
    """Not by a rounding error either, which `ColorJitter` would refuse."""
    x = np.ones((50, 3, 16, 16), np.float32)
    assert transform(x, rng).max() == 1
    assert transform(-x, rng).min() == -1
    assert transform(x[:0], rng).shape == (0, 3, 16, 16)
    Compose([transform, ColorJitter(0.5)])(x, rng)


def test_color_jitter_is_the_formula(images):
    """Brightness, contrast, saturation, each clipped to 0..1."""
    y = ColorJitter(0.5, 0.6, 0.7)(images[:3], Drawn(1.4, 0.5, 1.6))
    weights = np.asarray([0.299, 0.587, 0.114])
    for x, jittered in zip(images[:3].astype(np.float64), y, strict=True):
        x = np.minimum(1.4 * x, 1)
        x = 0.5 * x + 0.5 * np.tensordot(weights, x, 1).mean()
        x = np.clip(1.6 * x - 0.6 * np.tensordot(weights, x, 1), 0, 1)
        np.testing.assert_allclose(jittered, x, atol=1e-5)


def test_color_jitter_of_grey_and_of_bytes(images, rng):
    """Grey levels have no colour to change; bytes range to 255, and are rounded."""
    grey = images[:, :1]
    np.testing.assert_allclose(ColorJitter(saturation=0.9)(grey, rng), grey, atol=1e-6)
    levels = np.asarray([0, 101, 200], np.uint8).reshape(1, 1, 1, 3)
    y = ColorJitter(brightness=1)(levels, Drawn(1.5, 1, 1))
    assert y.ravel().tolist() == [0, 152, 255]
    assert np.array_equal(ColorJitter()(images, rng), images)
    for x, message in ((images - 1, "from 0 to 1, got -"), (images[:, :2], "one channel or three")):
        with pytest.raises(ValueError, match=message):
            ColorJitter(0.5)(x, rng)


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
        lambda: RandomVerticalFlip(-0.1),
        lambda: RandomRotation(-1),
        lambda: RandomRotation(np.nan),
        lambda: RandomResizedCrop((0, 1)),
        lambda: RandomResizedCrop((0.5, 1.1)),
        lambda: RandomResizedCrop(ratio=(2, 1)),
        lambda: ColorJitter(-0.1),
        lambda: ColorJitter(contrast=np.inf),
        lambda: Cutout(0),
    ],
)
def test_invalid_parameters_are_refused(make):
    with pytest.raises(ValueError, match="Expected"):
        make()
