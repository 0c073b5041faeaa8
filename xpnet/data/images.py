"""Pictures in the form of the images that a network was trained on.

load_digit(path)             a digit, like those of MNIST
load_picture(path, shape)    any other picture, as an image of that shape

MNIST's digits are white on black, 28 x 28. Each was scaled, without distortion, to fit into a box of
20 x 20, and then placed with its centre of mass at the centre. A network that was trained on such
images recognises a scan, a photograph or a drawing only if it is prepared in the same way:

    picture -> ink, from 0 to 1 -> cut out -> scaled to 20 x 20 -> centred in 28 x 28
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xpnet._typing import PathLike
from xpnet.data._pictures import open_picture
from xpnet.errors import DataError, ShapeError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Float = NDArray[np.float32]

_FIELD = 28  # pixels: the side of MNIST's images
_BOX = 20  # pixels: the longer side of MNIST's digits
_CENTRE = 14  # MNIST's centres of mass round to pixel (14, 14)
_BLACK = 0.1  # the paper of a prepared picture is at most this bright
_WHITE = 0.5  # the ink of a prepared picture is at least this bright
_SHEET = 128  # pixels: a picture is averaged down to about this side, which removes noise;
_DIGIT = 40  # pixels: but less far if its digit would become smaller than this
_BLANK = 0.05  # ink differs from the paper by at least this
_LUMA = np.asarray([299.0, 587.0, 114.0])  # weights of red, green and blue: ITU-R BT.601
_ENOUGH = 2**22  # pixels: larger pictures are averaged down before they become a small image
_FLOOR = 0.4  # times the strongest ink: weaker ink is shadow, noise or the grain of the paper


def load_digit(path: PathLike) -> Float:
    """Load a picture of one digit as an image like MNIST's.

    The paper is the colour of the picture's border, and ink is what differs from it. So drawings
    that are dark on light, light on dark, coloured or faint all become white on black. If the border
    is transparent, ink is what is opaque. But if the opaque part is a sheet with a drawing on it,
    the sheet is the picture.

    A picture of 28 x 28 pixels, light on black, whose digit has MNIST's size and place, is returned
    unchanged.

    Parameters
    ----------
    path : str or path-like
        An AVIF, BMP, GIF, JPEG, PNG, PPM, TIFF or WebP file, with one digit and paper around it.

    Returns
    -------
    ndarray
        float32, shape (28, 28), from 0 (paper) to 1 (ink). For a network on flat images, such as
        those of `load_mnist`, use ``load_digit(path).reshape(1, 784)``.

    Raises
    ------
    DataError
        The picture is missing, unreadable, far too large or blank, or Pillow is not installed. The
        message names the file.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from PIL import Image
    >>> from xpnet.data import load_digit
    >>> paper = Image.new("L", (100, 140), "white")
    >>> paper.paste("black", (45, 20, 55, 120))  # a 1
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paper.save(pathlib.Path(folder, "one.png"))
    ...     image = load_digit(pathlib.Path(folder, "one.png"))
    >>> image.shape, float(image[14, 14]), float(image[14, 0])
    ((28, 28), 1.0, 0.0)
    """
    picture = _sheet(open_picture(path))
    if picture.size == (_FIELD, _FIELD):
        grey: Float = _pixels(picture)[0].max(axis=2)
        if _is_prepared(grey):
            return grey
    step = max(1, round(min(picture.size) / _SHEET))
    ink, box = _ink_and_box(picture.reduce(step), path)
    longer = max(box[2:] - box[:2])
    if step > 1 and longer < _DIGIT:  # a small digit on a large sheet: crop, and average less
        margin = longer // 2 * np.array([-1, -1, 1, 1])
        limits = 2 * picture.size  # the tuple (width, height) repeated
        around = np.clip(step * (box + margin), 0, limits)
        picture = picture.crop(tuple(around.tolist()))
        ink, box = _ink_and_box(picture.reduce(max(1, int(step * longer // _DIGIT))), path)
    left, top, right, bottom = box
    return _centred(_fitted(ink[top:bottom, left:right]))


def load_picture(path: PathLike, shape: tuple[int, int, int]) -> Float:
    """Load a picture as an image of a given shape.

    A picture of that size is neither scaled nor inverted. Any other picture is scaled. For a colour
    image, the largest part with the image's proportions is first cut out of its middle. For a grey
    image, paper is added on two sides, and a picture with a light border is inverted, so that it is
    light on black, like the photographs from which Fashion-MNIST was made (Xiao, Rasul and Vollgraf,
    2017). Transparent pixels become white.

    Parameters
    ----------
    path : str or path-like
        An AVIF, BMP, GIF, JPEG, PNG, PPM, TIFF or WebP file.
    shape : (channels, height, width)
        One channel is grey, three are red, green and blue.

    Returns
    -------
    ndarray
        float32, of that shape, from 0 to 1.

    Raises
    ------
    DataError
        The picture is missing, unreadable or far too large, or Pillow is not installed.
    ShapeError
        There are neither one nor three channels.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from PIL import Image
    >>> from xpnet.data import load_picture
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "red.png")
    ...     Image.new("RGB", (640, 480), "red").save(path)
    ...     image = load_picture(path, (3, 32, 32))
    >>> image.shape, image[:, 0, 0].tolist()  # red, green and blue
    ((3, 32, 32), [1.0, 0.0, 0.0])
    """
    if shape[0] not in (1, 3):
        raise ShapeError(f"Expected a shape with one channel or three, got {shape}.")
    return fitted_picture(open_picture(path, most=_ENOUGH), shape)


def fitted_picture(picture: Picture, shape: tuple[int, int, int]) -> Float:
    """An open picture as an image of a given shape: see `load_picture`."""
    channels, *size = shape
    colour, alpha = _pixels(picture)
    pixels = colour + (1 - alpha)  # over white: colour has been multiplied with alpha
    if channels == 1:
        if pixels.shape[2] == 3:
            pixels = (pixels @ _LUMA / 1000).astype(np.float32)
        else:
            pixels = pixels[..., 0]
        if pixels.shape != tuple(size):
            pixels = _on_paper(pixels, size[0] / size[1])
        return np.clip(_resized(pixels, size), 0, 1)[None]
    pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    pixels = _middle(pixels, size[0] / size[1])
    return np.clip(np.stack([_resized(pixels[..., c], size) for c in range(3)]), 0, 1)


def _on_paper(grey: Float, ratio: float) -> Float:
    """The picture as light on black, with paper added until height / width is the ratio."""
    paper = np.median(_border(grey))
    if paper > 0.5:
        grey = 1 - grey
        paper = 1 - paper
    height, width = grey.shape
    # A strip of one pixel by a million would otherwise become a square of a million by a million.
    shrunk = math.sqrt(max(height, width * ratio) * max(width, height / ratio) / _ENOUGH)
    if shrunk > 1:
        height = max(1, int(height / shrunk))
        width = max(1, int(width / shrunk))
        grey = _resized(grey, [height, width])
    more = (max(0, round(width * ratio) - height), max(0, round(height / ratio) - width))
    sides = [(n // 2, n - n // 2) for n in more]
    return np.pad(grey, sides, constant_values=paper)


def _middle(pixels: Float, ratio: float) -> Float:
    """The largest part in the middle whose height / width is the ratio."""
    height, width = pixels.shape[:2]
    h = max(1, min(height, round(width * ratio)))
    w = max(1, min(width, round(height / ratio)))
    top = (height - h) // 2
    left = (width - w) // 2
    return pixels[top : top + h, left : left + w]


def _resized(grey: Float, size: list[int]) -> Float:
    """A channel in another height and width; each pixel is a weighted mean."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(grey, np.float32))
    found = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(found, np.float32)


def _pixels(picture: Picture) -> tuple[Float, Float]:
    """Colour times alpha, (h, w, channels), and alpha, (h, w, 1), both from 0 to 1."""
    pixels = np.asarray(picture, np.float32)
    if pixels.ndim == 2:
        return pixels[..., None], np.ones_like(pixels[..., None])
    pixels = pixels / np.float32(255)
    return pixels[..., :3], pixels[..., 3:]


def _sheet(picture: Picture) -> Picture:
    """The opaque part of a picture, if it is a sheet with a drawing on it; else the picture.

    A drawing on a transparent ground is opaque too, but has one colour, or does not fill its box.
    """
    if picture.mode != "RGBa":
        return picture
    sheet = picture.crop(picture.getchannel("a").point(lambda a: 255 * (a > 127)).getbbox())
    colour, alpha = _pixels(sheet.reduce(max(1, round(min(sheet.size) / _SHEET))))
    fills_its_box = np.quantile(_border(alpha), 0.25) > 0.5
    if not fills_its_box:
        return picture
    opaque = (colour / np.maximum(alpha, 0.5))[alpha[..., 0] > 0.5]
    has_several_colours = np.ptp(opaque, axis=0).max() > _BLANK
    return sheet if has_several_colours else picture


def _is_prepared(grey: Float) -> bool:
    """Whether a 28 x 28 picture is light on black, with a digit of MNIST's size and place."""
    if np.median(_border(grey)) > _BLACK or grey.max() < _WHITE:
        return False
    box = _box(grey > _BLACK)
    off = max(abs(_centre(grey, axis) - _CENTRE) for axis in (0, 1))
    return off <= 1 and _BOX - 2 <= int(max(box[2:] - box[:2])) <= _BOX


def _ink_and_box(picture: Picture, path: PathLike) -> tuple[Float, NDArray[Any]]:
    """The ink, (h, w), and the box around it: left, top, right, bottom.

    Ink is the difference from the paper in the channel where it is largest. A difference in
    brightness would not do: a red and a green can be equally bright.
    """
    colour, alpha = _pixels(picture)
    paper = np.median(_border(colour), axis=0)
    opacity = np.median(_border(alpha))
    if opacity < 0.5:
        ink = alpha[..., 0]
    else:
        # The paper is multiplied with alpha too, so a transparent spot on an opaque sheet is not ink.
        difference = np.abs(colour - paper / opacity * alpha)
        ink = difference.max(axis=2)
    strongest = ink.max()
    if strongest < _BLANK:
        raise DataError(
            f"{path}: blank: expected a digit, but nothing differs from the paper by more than "
            f"{strongest:.1%} of the way from black to white; at least {_BLANK:.0%} is needed"
        )
    ink = np.where(ink < _FLOOR * strongest, np.float32(0), ink)
    return ink, _box(ink)


def _box(ink: NDArray[Any]) -> NDArray[Any]:
    """The box around all pixels that are not 0: left, top, right, bottom."""
    rows = np.flatnonzero(ink.any(axis=1))
    columns = np.flatnonzero(ink.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


def _centre(ink: Float, axis: int) -> float:
    """The position of the centre of mass along an axis."""
    mass = ink.sum(axis=1 - axis)
    return float(mass @ np.arange(len(mass)) / mass.sum())


def _border(pixels: Float) -> Float:
    """The pixels, (n, ...), of a narrow frame along the edges of the picture, (height, width, ...)."""
    height, width = pixels.shape[:2]
    thick = max(1, min(height, width) // 20)
    frame = np.ones((height, width), bool)
    frame[thick : height - thick, thick : width - thick] = False
    return pixels[frame]


def _fitted(ink: Float) -> Float:
    """`ink`, scaled so that its longer side is 20 pixels and its strongest pixel is 1."""
    from PIL import Image

    height, width = ink.shape
    scale = _BOX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Pillow's bilinear filter widens as it shrinks a picture: each pixel is a weighted mean.
    scaled = np.asarray(Image.fromarray(ink).resize(size, Image.Resampling.BILINEAR))
    return np.asarray(scaled / scaled.max(), np.float32)  # averaging makes thin lines faint


def _centred(ink: Float) -> Float:
    """`ink` in a black 28 x 28 field, with its centre of mass as near the middle as possible."""
    place = []
    for axis, length in enumerate(ink.shape):
        start = min(max(round(_CENTRE - _centre(ink, axis)), 0), _FIELD - length)
        place.append(slice(start, start + length))
    field = np.zeros((_FIELD, _FIELD), np.float32)
    field[tuple(place)] = ink
    return field
