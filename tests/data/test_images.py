"""Drawn, scanned and photographed digits become images like MNIST's."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import xpnet.data
from xpnet.data import load_digit, load_picture, read_idx
from xpnet.errors import DataError, ShapeError

Image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")


@pytest.fixture(scope="module")
def digits():
    """Forty test digits of MNIST, uint8, (40, 28, 28)."""
    built_in = Path(xpnet.data.__file__).with_name("mnist")
    return read_idx(built_in / "t10k-images-idx3-ubyte.xz")[:40]


@pytest.fixture
def load(tmp_path):
    """A function that saves a picture, or grey levels from 0 to 1, and loads it."""

    def load(picture, name="picture.png", **options):
        if isinstance(picture, np.ndarray):
            picture = Image.fromarray(to_bytes(picture))
        picture.save(tmp_path / name, **options)
        return load_digit(tmp_path / name)

    return load


def to_bytes(grey):
    """Grey levels from 0 to 1 as bytes."""
    return np.clip(np.rint(255 * grey), 0, 255).astype(np.uint8)


def bar(height=100, width=25, field=(150, 200), at=(30, 90)):
    """A white bar on black, in an array of shape `field`, with its upper left corner at `at`."""
    grey = np.zeros(field)
    grey[at[0] : at[0] + height, at[1] : at[1] + width] = 1
    return grey


def seven(field=(200, 160), at=(40, 50)):
    """A white 7 of 100 x 60 on black, with straight strokes."""
    grey = np.zeros(field)
    y, x = at
    grey[y : y + 15, x : x + 60] = 1
    grey[y : y + 100, x + 45 : x + 60] = 1
    return grey


def box(image):
    """The first and last row and column that have ink."""
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    return rows[0], rows[-1], columns[0], columns[-1]


def centre_of_mass(image):
    """The centre of mass, (row, column)."""
    return (np.indices(image.shape) * image).sum(axis=(1, 2)) / image.sum()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_prepared_digits_are_unchanged(load, digits, mode):
    """MNIST's own images, saved as pictures, are read as `load_mnist` returns them."""
    for digit in digits[:10]:
        found = load(Image.fromarray(digit).convert(mode))
        assert np.array_equal(found, (digit / 255).astype(np.float32))


def test_a_prepared_digit_of_16_bits_is_unchanged(load, digits):
    """Grey levels of 16 bits are 257 times those of 8 bits."""
    found = load(Image.fromarray(digits[0].astype(np.uint16) * 257))
    np.testing.assert_allclose(found, digits[0] / 255, rtol=1e-6)


@pytest.mark.parametrize(
    ("rows", "columns"),
    [((2, 26), (13, 15)), ((10, 18), (13, 15)), ((0, 20), (3, 5))],
    ids=["too large", "too small", "in a corner"],
)
def test_a_drawing_of_28_pixels_is_prepared(load, rows, columns):
    """It is light on black, but its digit has another size or place than MNIST's."""
    grey = np.zeros((28, 28))
    grey[slice(*rows), slice(*columns)] = 1
    found = load(grey)
    top, bottom, _, _ = box(found)
    assert bottom - top + 1 == 20
    np.testing.assert_allclose(centre_of_mass(found), 14, atol=0.51)


def test_every_image_of_mnist_counts_as_prepared():
    """This is checked for all test images."""
    built_in = Path(xpnet.data.__file__).with_name("mnist")
    images = read_idx(built_in / "t10k-images-idx3-ubyte.xz") / np.float32(255)
    assert all(map(xpnet.data.images._is_prepared, images))


@pytest.mark.parametrize("paper", [0.0, 1.0])
@pytest.mark.parametrize("side", [28, 84, 196])
def test_real_digits_are_recovered(load, digits, side, paper):
    """They were moved and enlarged on a large sheet, light or dark."""
    found = []
    for digit in digits:
        sheet = Image.new("L", (400, 300))
        sheet.paste(
            Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC), (150, 20)
        )
        found.append(load(np.abs(paper - np.asarray(sheet) / 255)))
    n = len(digits)
    likeness = np.corrcoef(np.reshape(found, (n, -1)), digits.reshape(n, -1))[:n, n:]
    assert np.median(np.diagonal(likeness)) > 0.95
    # Not all of them: a centre of mass half way between two pixels may be rounded to the other.
    assert np.count_nonzero(likeness.argmax(axis=1) == np.arange(n)) >= n - 2


def test_the_image_is_float32_from_0_to_1(load):
    """Its shape is (28, 28), and both 0 and 1 occur."""
    found = load(seven())
    assert (found.shape, found.dtype) == ((28, 28), np.float32)
    assert (found.min(), found.max()) == (0, 1)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (100, 25, (20, 5)),
        (30, 120, (5, 20)),
        (50, 50, (20, 20)),
        (10, 5, (20, 10)),
        (90, 2, (20, 1)),
    ],
)
def test_the_digit_fits_the_box_and_keeps_its_proportions(load, height, width, expected):
    """The longer side becomes 20 pixels, and a bar stays a bar."""
    found = load(bar(height, width, at=(20, 20)))
    top, bottom, left, right = box(found)
    assert (bottom - top + 1, right - left + 1) == expected
    assert found.sum() == pytest.approx(expected[0] * expected[1], rel=0.02)


def test_a_bar_is_centred(load):
    """The middle of a 20 x 10 bar is at pixel 14, as near as whole pixels allow."""
    np.testing.assert_allclose(centre_of_mass(load(bar(100, 50))), 14, atol=0.5)


def test_the_centre_of_mass_is_centred_not_the_box(load):
    """The centre of mass of a 7 is right of the middle of its box."""
    found = load(seven())
    np.testing.assert_allclose(centre_of_mass(found), 14, atol=0.5)
    top, bottom, left, right = box(found)
    assert (bottom - top, right - left) == (19, 11)
    assert (top + bottom) / 2 > 14.5
    assert (left + right) / 2 < 13.5


@pytest.mark.parametrize(("flip", "rows"), [(1, (0, 19)), (-1, (8, 27))])
def test_an_asymmetric_drawing_stays_in_the_field(load, flip, rows):
    """A drawing with its mass near one end is moved to the edge, but not beyond."""
    grey = np.zeros((200, 200))
    grey[50:150, 98:102] = 1  # a thin stem, 20 rows when scaled, ...
    grey[130:150, 50:150] = 1  # ... on a heavy foot, which puts the centre of mass in row 16
    assert box(load(grey[::flip]))[:2] == rows


def test_margins_do_not_matter(load):
    """The same drawing anywhere on a sheet of any size becomes the same image."""
    expected = load(seven((180, 180), (40, 60)))
    assert np.array_equal(load(seven((190, 185), (80, 10))), expected)


def test_edges_are_smooth(load):
    """With antialiased edges, a disc of any size has the area of a disc of 20 pixels."""
    y, x = np.indices((190, 190)) - 95
    for radius in 37, 61, 90:
        found = load((y**2 + x**2 < radius**2).astype(float))
        assert found.sum() == pytest.approx(np.pi * 10**2, rel=0.03)
        assert ((found > 0.05) & (found < 0.95)).sum() > 20


@pytest.mark.parametrize(("ink", "paper"), [(0, 1), (0.4, 0.55), (0.55, 0.4), (0.9, 1), (0.1, 0)])
def test_polarity_and_contrast_do_not_matter(load, ink, paper):
    """Dark on light and light on dark, strong or faint, all become white on black."""
    found = load(paper + (ink - paper) * seven())
    np.testing.assert_allclose(found, load(seven()), atol=1e-6)


@pytest.mark.parametrize(
    ("ink", "paper"),
    [((255, 0, 0), (0, 130, 0)), ((0, 0, 200), (255, 255, 255)), ((255, 255, 0), (255, 255, 255))],
)
def test_coloured_ink_is_recognised(load, ink, paper):
    """It may be as bright as the paper."""
    pixels = np.where(seven()[..., None] > 0, ink, paper).astype(np.uint8)
    np.testing.assert_allclose(load(Image.fromarray(pixels)), load(seven()), atol=1e-6)


@pytest.mark.parametrize("ink", [0, 90, 255])
@pytest.mark.parametrize("behind", [0, 255])
def test_on_transparent_paper_ink_is_what_is_opaque(load, ink, behind):
    """The colour of transparent pixels does not matter."""
    opaque = seven() > 0
    pixels = np.stack([np.where(opaque, ink, behind), 255 * opaque], axis=2).astype(np.uint8)
    assert np.array_equal(load(Image.fromarray(pixels, "LA")), load(seven()))


@pytest.mark.parametrize(("ink", "paper"), [(0, 1), (1, 0), (0.9, 0.6)])
@pytest.mark.parametrize("margin", [1, 40, 300])
def test_a_sheet_with_transparent_margins_is_the_paper(load, ink, paper, margin):
    """What is around the sheet does not matter."""
    grey = to_bytes(paper + (ink - paper) * seven())
    card = np.pad(
        np.dstack([grey, np.full_like(grey, 255)]), [(margin,) * 2, (margin,) * 2, (0, 0)]
    )
    np.testing.assert_allclose(load(Image.fromarray(card, "LA")), load(seven()), atol=1e-5)


def test_a_card_of_28_pixels_is_not_a_prepared_digit(load):
    """A white card with transparent margins is light on black, but not a digit of MNIST."""
    card = np.zeros((28, 28, 2), np.uint8)
    card[4:24, 4:24] = 255
    card[7:21, 10:12, 0] = 0
    top, bottom, left, right = box(load(Image.fromarray(card, "LA")))
    assert (bottom - top + 1, right - left + 1) == (20, 3)


def test_a_coloured_bar_on_transparent_paper_is_ink(load):
    """It fills its box like a sheet, but has no drawing on it."""
    pixels = np.stack([bar() * 90, bar() * 255], axis=2).astype(np.uint8)
    assert np.array_equal(load(Image.fromarray(pixels, "LA")), load(bar()))


def test_transparent_corners_are_paper(load):
    """A screenshot of a window has rounded corners, which are not ink."""
    pixels = np.dstack([to_bytes(1 - seven())] * 3 + [np.full((200, 160), 255, np.uint8)])
    pixels[:8, :8] = pixels[-8:, -8:] = 0
    np.testing.assert_allclose(load(Image.fromarray(pixels)), load(seven()), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "convert"),
    [
        ("palette.gif", lambda image: image.convert("P")),
        ("palette.png", lambda image: image.convert("RGB").quantize(4)),
        ("bits.png", lambda image: image.convert("1")),
        ("print.tiff", lambda image: image.convert("RGB").convert("CMYK")),
        ("exact.webp", lambda image: image.convert("RGB")),
        ("picture.bmp", lambda image: image),
        (
            "levels.png",
            lambda image: Image.fromarray(np.asarray(image).astype(np.uint16) * 99 + 700),
        ),
        ("levels.tiff", lambda image: Image.fromarray(np.asarray(image).astype(np.int32) * 1000)),
        ("floats.tiff", lambda image: Image.fromarray(np.asarray(image) / np.float32(-7))),
    ],
)
def test_all_formats_give_the_same_image(load, name, convert):
    """This holds for every format and depth."""
    options = {"lossless": True} if name.endswith("webp") else {}
    found = load(convert(Image.fromarray(to_bytes(1 - seven()))), name, **options)
    np.testing.assert_allclose(found, load(seven()), atol=1e-5)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_exif_is_applied(load, orientation):
    """Cameras store how they were held."""
    undo = {  # the transposition of an upright picture that a viewer's correction undoes
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image = Image.fromarray(to_bytes(1 - seven()))
    if orientation in undo:
        image = image.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(load(image, exif=exif), load(1 - seven()))


def test_a_photograph_of_a_digit_is_read(load):
    """Grain, uneven light, dust and artefacts of JPEG are not ink."""
    rng = np.random.default_rng(0)
    grey = (1 - 0.8 * seven((400, 320), (140, 120))) * np.linspace(0.95, 0.6, 320)
    grey += rng.normal(0, 0.04, grey.shape)
    grey[rng.integers(0, 400, 5), rng.integers(0, 320, 5)] = 0
    found = load(grey, "photo.jpg", quality=40)
    clean = load(seven((400, 320), (140, 120)))
    assert np.abs(found - clean).mean() < 0.02


def test_a_large_picture_gives_the_same_image(load):
    """It has twelve million pixels."""
    small = seven((150, 200))
    large = small.repeat(20, axis=0).repeat(20, axis=1)
    assert large.size == 12e6
    np.testing.assert_allclose(load(large), load(small), atol=0.1)


def test_a_small_digit_on_a_large_sheet_keeps_its_detail(load):
    """Averaging the whole sheet would blur it to a few pixels."""
    grey = np.zeros((2000, 2000))
    grey[100:200, 1700:1760] = seven((100, 60), (0, 0))
    np.testing.assert_allclose(load(grey), load(seven()), atol=0.15)


def test_a_thin_line_is_as_bright_as_a_thick_one(load):
    """Averaging makes a line of one pixel faint, so it is scaled to full strength."""
    found = load(bar(100, 1) + bar(1, 60))
    assert found.max() == 1
    assert (found > 0.5).sum() >= 20


@pytest.mark.parametrize("size", [(1, 1), (28, 28), (300, 200)])
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_blank_picture_is_refused(load, tmp_path, size, level):
    """A picture of one colour has no digit."""
    with pytest.raises(DataError) as caught:
        load(np.full(size, level))
    assert str(caught.value).startswith(f"{tmp_path / 'picture.png'}: blank")
    assert "more than 0.0%" in str(caught.value)


@pytest.mark.parametrize("mode", ["RGBA", "I;16", "I", "F"])
def test_a_blank_picture_in_other_modes_is_refused(load, tmp_path, mode):
    """It may be transparent, or have more than 8 bits."""
    with pytest.raises(DataError, match="blank"):
        load(Image.new(mode, (50, 50)), "picture.tiff")


def test_a_picture_that_is_nearly_blank_is_refused(load):
    """The grain of an empty sheet is not a digit."""
    with pytest.raises(DataError, match="at least 5% is needed"):
        load(0.9 + np.random.default_rng(0).normal(0, 0.005, (200, 200)))


def test_levels_that_are_nan_are_refused(load):
    """The picture has floating-point levels."""
    grey = seven().astype(np.float32)
    grey[0, 0] = np.nan
    with pytest.raises(DataError, match="some of its values are NaN or infinite"):
        load(Image.fromarray(grey), "floats.tiff")


def refusal(path):
    """The message with which a file is refused, which must begin with its path."""
    with pytest.raises(DataError) as caught:
        load_digit(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def test_a_missing_picture_is_named(tmp_path):
    """The message has its path."""
    assert "no such file; expected a picture" in refusal(tmp_path / "nowhere.png")


def test_an_unreadable_picture_is_named(tmp_path):
    """It may be a folder, an empty file, a text or a truncated picture."""
    assert "directory" in refusal(tmp_path).lower()
    path = tmp_path / "picture.png"
    for content in b"", b"not a picture":
        path.write_bytes(content)
        assert "cannot identify" in refusal(path)
    Image.fromarray(to_bytes(seven())).save(path)
    path.write_bytes(path.read_bytes()[:100])
    assert "expected a picture that Pillow can read" in refusal(path)


@pytest.mark.parametrize("limit", [200 * 160 - 1, 1000])
def test_a_decompression_bomb_is_refused(load, tmp_path, monkeypatch, limit):
    """It is refused before it is decoded, also where Pillow only warns."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DataError, match="decompression bomb"):
        load(seven((200, 160)))


def test_without_pillow_the_error_says_what_to_install(tmp_path, monkeypatch):
    """The message has the command."""
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert refusal(tmp_path / "picture.png").endswith("missing: pip install pillow")


def outcome(path):
    """The image, or None and the message of the DataError."""
    try:
        return load_digit(path), ""
    except DataError as error:
        return None, str(error)


@pytest.mark.filterwarnings("ignore")  # Pillow's warnings about the damage
@settings(max_examples=150, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["png", "gif", "jpeg", "bmp", "tiff", "webp"]))
def test_a_damaged_picture_is_read_or_refused(tmp_path_factory, data, kind):
    """It becomes an image like MNIST's, or raises a DataError."""
    path = tmp_path_factory.getbasetemp() / f"fuzz.{kind}"
    Image.fromarray(to_bytes(bar(12, 6, (20, 20), (4, 7)))).save(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    found, message = outcome(path)
    if found is None:
        assert message.startswith(f"{path}: ")
    else:
        assert (found.shape, found.dtype) == ((28, 28), np.float32)
        assert found.min() >= 0
        assert found.max() <= 1


# --- pictures of other things ---------------------------------------------------------------------


def test_a_picture_of_the_right_size_is_not_scaled(tmp_path):
    rng = np.random.default_rng(0)
    for shape in ((1, 28, 28), (3, 32, 32), (1, 10, 20), (3, 10, 20)):
        pixels = rng.integers(0, 256, shape).astype("u1")
        picture = Image.fromarray(pixels[0] if shape[0] == 1 else np.moveaxis(pixels, 0, -1).copy())
        picture.save(tmp_path / "picture.png")
        found = load_picture(tmp_path / "picture.png", shape)
        assert (found.dtype, found.shape) == (np.float32, shape)
        np.testing.assert_array_equal(found, pixels.astype(np.float32) / np.float32(255))


def test_a_photograph_on_light_paper_is_inverted(tmp_path):
    """If it is wider than high, paper is added above and below."""
    grey = np.full((100, 200), 230, "u1")
    grey[20:80, 50:150] = 30
    Image.fromarray(grey).convert("RGB").save(tmp_path / "picture.png")
    (found,) = load_picture(tmp_path / "picture.png", (1, 28, 28))
    assert found[0, 0] == found[-1, -1] == pytest.approx(25 / 255, abs=1e-6)
    assert found[14, 14] == pytest.approx(225 / 255, abs=1e-6)
    rows = np.flatnonzero((found > 0.5).any(axis=1))
    columns = np.flatnonzero((found > 0.5).any(axis=0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (10, 17, 7, 20)


def test_the_middle_of_a_colour_picture_is_cut_out(tmp_path):
    """The colours keep their places, and transparent pixels become white."""
    colour = np.zeros((40, 100, 4), "u1")
    colour[:, 30:70] = [200, 100, 50, 255]
    colour[:, 50:70] = 0  # transparent
    Image.fromarray(colour).save(tmp_path / "picture.png")
    found = load_picture(tmp_path / "picture.png", (3, 8, 8))
    np.testing.assert_allclose(found[:, 4, 1], np.array([200, 100, 50]) / 255, atol=1e-6)
    np.testing.assert_allclose(found[:, 4, 6], 1.0, atol=1e-6)


def test_grey_pictures_have_three_equal_colours(tmp_path):
    grey = np.random.default_rng(0).integers(0, 65536, (8, 8)).astype("u2")
    Image.fromarray(grey).save(tmp_path / "picture.png")
    found = load_picture(tmp_path / "picture.png", (3, 8, 8))
    np.testing.assert_allclose(found, np.broadcast_to(grey / 65535, (3, 8, 8)), atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 60), width=st.integers(1, 60), channels=st.sampled_from([1, 3]),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)  # fmt: skip
def test_any_picture_fits_any_shape(tmp_path_factory, height, width, channels, size):
    path = tmp_path_factory.getbasetemp() / "any.png"
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype("u1")
    Image.fromarray(pixels).save(path)
    found = load_picture(path, (channels, *size))
    assert (found.dtype, found.shape) == (np.float32, (channels, *size))
    assert 0 <= found.min() <= found.max() <= 1


@pytest.mark.parametrize("channels", [2, 4])
def test_other_numbers_of_channels_are_refused(tmp_path, channels):
    with pytest.raises(ShapeError, match=f"one channel or three, got \\({channels}, 8, 8\\)"):
        load_picture(tmp_path / "picture.png", (channels, 8, 8))


def test_a_file_that_is_not_a_picture_is_named(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    for name, expected in (("none.png", "no such file"), ("text.png", "that Pillow can read")):
        with pytest.raises(DataError, match=f"{name}: .*{expected}"):
            load_picture(tmp_path / name, (1, 28, 28))
