"""Pictures brought into the form that a network has learned.

load_digit(path)             a digit, as MNIST's own
load_picture(path, shape)    whatever else, as images of that shape

MNIST's digits are white on black, 28 x 28. Each was scaled with its aspect ratio kept until it
fitted a 20 x 20 box, then placed so that its centre of mass is the field's centre. A network that
has seen only such images wants the same of any other picture, whether scan, photograph or drawing:

    picture -> ink, from 0 to 1 -> cut out -> scaled to 20 x 20 -> centred in 28 x 28
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xpnet.data._pictures import open_picture
from xpnet.errors import DataError, ShapeError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Float = NDArray[np.float32]

_FIELD, _BOX, _CENTRE = 28, 20, 14  # MNIST's: its centres of mass round to pixel (14, 14)
_BLACK, _WHITE = 0.1, 0.5  # a prepared picture's paper is darker, its ink brighter
_SHEET = 128  # a picture is averaged down to about this, and its noise with it, ...
_DIGIT = 40  # ... but not so far that its digit is left with less than this
_BLANK = 0.05  # what stands out from the paper by less is no digit
_LUMA = np.asarray([299.0, 587.0, 114.0])  # of red, green, blue: ITU-R BT.601
_ENOUGH = 2**22  # pixels of a picture that becomes a small image, with its paper
_FLOOR = 0.4  # of the strongest ink; what is weaker is shadow, noise or the paper's grain


def load_digit(path: str | os.PathLike[str]) -> Float:
    """Load a picture of one digit as an image like MNIST's.

    Ink is whatever differs from the paper, and the paper is the colour of the picture's border. So
    dark on light, light on dark, coloured and faint drawings all end as white on black. Where the
    border is transparent, ink is whatever is opaque; but where that is a sheet with something on
    it, the sheet is the picture.

    A picture of 28 x 28 pixels, light on black, with a digit of MNIST's size at MNIST's place, is
    taken as prepared and comes through unchanged.

    Parameters
    ----------
    path : str or path-like
        A picture in a format that `open_picture` reads, with one digit and some paper around it.

    Returns
    -------
    ndarray
        float32, shape (28, 28), from 0 (paper) to 1 (ink). A network on flat images, such as those
        of `load_mnist`, takes ``load_digit(path).reshape(1, 784)``.

    Raises
    ------
    DataError
        The picture is missing, unreadable, far too large or blank, or Pillow is not installed. The
        message names the file.
    """
    picture = _sheet(open_picture(path))
    if picture.size == (_FIELD, _FIELD):
        grey: Float = _pixels(picture)[0].max(axis=2)
        if _is_prepared(grey):
            return grey
    step = max(1, round(min(picture.size) / _SHEET))
    ink, box = _look(picture.reduce(step), path)
    longer = max(box[2:] - box[:2])
    if step > 1 and longer < _DIGIT:  # a small digit on a large sheet: look again, closer
        margin = longer // 2 * np.array([-1, -1, 1, 1])
        near = np.clip(step * (box + margin), 0, 2 * picture.size)  # the size twice: w, h, w, h
        picture = picture.crop(tuple(near.tolist()))
        ink, box = _look(picture.reduce(max(1, int(step * longer // _DIGIT))), path)
    left, top, right, bottom = box
    return _centred(_fitted(ink[top:bottom, left:right]))


def load_picture(path: str | os.PathLike[str], shape: tuple[int, int, int]) -> Float:
    """Load a picture as an image of a given shape.

    A picture of that very size comes through as it is. Of another one, a colour image is cut out of
    the middle, as large as its proportions allow; a grey one is the whole picture with paper on
    two sides, and light on black: where the border is light, it is negated, as the photographs were
    of which Fashion-MNIST is made (Xiao, Rasul and Vollgraf, 2017). What is transparent is white.

    Parameters
    ----------
    path : str or path-like
        A picture in a format that `open_picture` reads.
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
        There are other channels.
    """
    if shape[0] not in (1, 3):
        raise ShapeError(f"Pictures have one channel or three; asked for is the shape {shape}.")
    return fitted_picture(open_picture(path, most=_ENOUGH), shape)


def fitted_picture(picture: Picture, shape: tuple[int, int, int]) -> Float:
    """An open picture as an image of a given shape: see `load_picture`."""
    channels, *size = shape
    colour, alpha = _pixels(picture)
    pixels = colour + (1 - alpha)  # colour times alpha, over white
    if channels == 1:
        pixels = (
            (pixels @ _LUMA / 1000).astype(np.float32) if pixels.shape[2] == 3 else pixels[..., 0]
        )
        if pixels.shape != tuple(size):
            pixels = _on_paper(pixels, size[0] / size[1])
        return np.clip(_resized(pixels, size), 0, 1)[None]
    pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    pixels = _middle(pixels, size[0] / size[1])
    return np.clip(np.stack([_resized(pixels[..., c], size) for c in range(3)]), 0, 1)


def _on_paper(grey: Float, ratio: float) -> Float:
    """Return light on black, with as much paper added as makes height / width the ratio."""
    paper = np.median(_border(grey))
    if paper > 0.5:
        grey, paper = 1 - grey, 1 - paper
    height, width = grey.shape
    # A strip, a pixel wide and a million high, would become a square of a million by a million.
    shrunk = math.sqrt(max(height, width * ratio) * max(width, height / ratio) / _ENOUGH)
    if shrunk > 1:
        height, width = max(1, int(height / shrunk)), max(1, int(width / shrunk))
        grey = _resized(grey, [height, width])
    more = (max(0, round(width * ratio) - height), max(0, round(height / ratio) - width))
    sides = [(n // 2, n - n // 2) for n in more]
    return np.pad(grey, sides, constant_values=paper)


def _middle(pixels: Float, ratio: float) -> Float:
    """Return the largest part in the middle whose height / width is the ratio."""
    height, width = pixels.shape[:2]
    h, w = max(1, min(height, round(width * ratio))), max(1, min(width, round(height / ratio)))
    top, left = (height - h) // 2, (width - w) // 2
    return pixels[top : top + h, left : left + w]


def _resized(grey: Float, size: list[int]) -> Float:
    """Return a channel in another height and width; each pixel is a weighted mean."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(grey, np.float32))
    found = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(found, np.float32)


def _pixels(picture: Picture) -> tuple[Float, Float]:
    """Return colour times alpha, (h, w, channels), and alpha, (h, w, 1), both from 0 to 1."""
    pixels = np.asarray(picture, np.float32)
    if pixels.ndim == 2:
        return pixels[..., None], np.ones_like(pixels[..., None])
    pixels = pixels / np.float32(255)
    return pixels[..., :3], pixels[..., 3:]


def _sheet(picture: Picture) -> Picture:
    """Return the opaque part of a picture, if it is a sheet with something on it; else the picture.

    A drawing on transparent paper is opaque too, but of one colour, or not to its box's edges.
    """
    if picture.mode == "RGBa":
        sheet = picture.crop(picture.getchannel("a").point(lambda a: 255 * (a > 127)).getbbox())
        colour, alpha = _pixels(sheet.reduce(max(1, round(min(sheet.size) / _SHEET))))
        paint = (colour / np.maximum(alpha, 0.5))[alpha[..., 0] > 0.5]
        if np.quantile(_border(alpha), 0.25) > 0.5 and np.ptp(paint, axis=0).max() > _BLANK:
            return sheet
    return picture


def _is_prepared(grey: Float) -> bool:
    """Tell whether a 28 x 28 picture is light on black, its digit of MNIST's size and place."""
    if np.median(_border(grey)) > _BLACK or grey.max() < _WHITE:
        return False
    box = _box(grey > _BLACK)
    off = max(abs(_centre(grey, axis) - _CENTRE) for axis in (0, 1))
    return off <= 1 and _BOX - 2 <= int(max(box[2:] - box[:2])) <= _BOX


def _look(picture: Picture, path: str | os.PathLike[str]) -> tuple[Float, NDArray[Any]]:
    """Return the ink, (h, w), and the box around it: left, top, right, bottom.

    Ink is how far a pixel is from the paper in the channel that shows it best. Brightness would
    not do: a red and a green can be equally bright.
    """
    colour, alpha = _pixels(picture)
    paper, opacity = np.median(_border(colour), axis=0), np.median(_border(alpha))
    # The paper, too, is weighed by alpha, so a transparent spot on an opaque sheet is no ink.
    ink = alpha[..., 0] if opacity < 0.5 else np.abs(colour - paper / opacity * alpha).max(axis=2)
    strongest = ink.max()
    if strongest < _BLANK:
        raise DataError(
            f"{path}: blank: expected a digit, but nothing differs from the paper by more than "
            f"{strongest:.1%} of the way from black to white; at least {_BLANK:.0%} is needed"
        )
    ink = np.where(ink < _FLOOR * strongest, np.float32(0), ink)
    return ink, _box(ink)


def _box(ink: NDArray[Any]) -> NDArray[Any]:
    """Return the box around what is not 0: left, top, right, bottom."""
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


def _centre(ink: Float, axis: int) -> float:
    """Return where the centre of mass lies along an axis."""
    mass = ink.sum(axis=1 - axis)
    return float(mass @ np.arange(len(mass)) / mass.sum())


def _border(pixels: Float) -> Float:
    """Return the pixels, (n, ...), of a narrow frame around the picture, (height, width, ...)."""
    height, width = pixels.shape[:2]
    thick = max(1, min(height, width) // 20)
    frame = np.ones((height, width), bool)
    frame[thick : height - thick, thick : width - thick] = False
    return pixels[frame]


def _fitted(ink: Float) -> Float:
    """Return `ink` scaled so that its longer side is 20 pixels and its strongest pixel is 1."""
    from PIL import Image

    height, width = ink.shape
    scale = _BOX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Pillow's bilinear filter widens as it shrinks a picture: each pixel is a weighted mean.
    scaled = np.asarray(Image.fromarray(ink).resize(size, Image.Resampling.BILINEAR))
    return np.asarray(scaled / scaled.max(), np.float32)  # the mean of a hair line is faint


def _centred(ink: Float) -> Float:
    """Return `ink` in a black 28 x 28 field, its centre of mass as near the middle as it fits."""
    place = []
    for axis, length in enumerate(ink.shape):
        start = min(max(round(_CENTRE - _centre(ink, axis)), 0), _FIELD - length)
        place.append(slice(start, start + length))
    field = np.zeros((_FIELD, _FIELD), np.float32)
    field[tuple(place)] = ink
    return field
