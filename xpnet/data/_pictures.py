"""Opening pictures of unknown origin: `open_picture`, through which all pictures are read.

Decoders are written for speed, not for safety, and a file may claim any size. So

- only raster formats are opened: a PostScript file, whatever its name, would start Ghostscript;
- the size that a file claims is checked before anything is decoded;
- a large picture is averaged down band by band, so that no converted copy of it exists as a whole.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xpnet._typing import PathLike
from xpnet.errors import ArgumentError, DataError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture, Transpose

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # if Pillow has them
LIMIT = 2**26  # pixels, 8192 x 8192: more than an A4 page at 600 dpi, or a 64-megapixel photograph
_BAND = 2**20  # pixels that are converted at a time
_ORIENTATION = 0x0112  # EXIF's tag


class NoPillowError(DataError):
    """Pillow is not installed, so no picture can be read."""


def open_picture(path: PathLike, most: int = 2**24) -> Picture:
    """Open a picture, upright, in one of two modes: "RGBa" or, for more than 8 bits, "F".

    In "RGBa" colour is multiplied with alpha. Only this product can be averaged, since the colour of
    a transparent pixel is arbitrary. "F" ranges from 0 to 1. An animation is represented by its
    first frame. Colour profiles are not applied.

    Parameters
    ----------
    path : str or path-like
        An AVIF, BMP, GIF, JPEG, PNG, PPM, TIFF or WebP file.
    most : int
        A picture with more pixels is averaged down to at most this number, by a whole factor.

    Returns
    -------
    PIL.Image.Image

    Raises
    ------
    DataError
        The picture is missing, unreadable, in another format or larger than 2^26 pixels, or Pillow
        is not installed. The message names the file.
    """
    with _opened(Path(path)) as file:
        return _decoded(file, most)


def is_grey(path: PathLike) -> bool:
    """Whether a picture is grey, by the mode in its header; it is not decoded.

    Raises
    ------
    DataError
        As `open_picture`.
    """
    with _opened(Path(path)) as file:
        return file.mode in ("1", "L", "LA") or _is_deep(file)


@contextmanager
def _opened(path: Path) -> Iterator[Picture]:
    """Open a picture without decoding it; every error in the block becomes a DataError."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise NoPillowError(
            f"{path}: reading pictures needs Pillow, which is missing: pip install pillow"
        ) from None
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are about metadata, which is not used
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=formats) as file:
                _require_small(file)
                yield file
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; expected a picture") from None
    except UnidentifiedImageError:
        raise DataError(
            f"{path}: expected a picture that Pillow can read: cannot identify its content as one "
            f"of {', '.join(formats)}. If it is a picture, save it as PNG."
        ) from None
    except Exception as error:  # decoders raise errors of many types for broken files
        raise DataError(f"{path}: expected a picture that Pillow can read: {error}") from error


def _require_small(file: Picture) -> None:
    """Refuse a picture whose header claims too large a size."""
    width, height = file.size
    if width * height > LIMIT:
        raise ArgumentError(
            f"it has {width} x {height} pixels, and could exhaust the memory (a decompression "
            f"bomb); at most {LIMIT} are read. Reduce its size."
        )


def _decoded(file: Picture, most: int) -> Picture:
    """The picture, upright, with at most `most` pixels."""
    from PIL import Image

    factor = _factor(file.size, most)
    # JPEG can be decoded at a smaller size.
    file.draft(file.mode, (file.width // factor, file.height // factor))
    file.load()
    mode = file.mode
    # In some formats the orientation is known only after `load`.
    turn = _turns().get(file.getexif().get(_ORIENTATION, 1))
    low = file.getextrema()[0] if mode == "I" else 0
    picture = _averaged(file, _factor(file.size, most), low)
    if picture.mode == "F":
        picture = Image.fromarray(_unit_range(np.asarray(picture, np.float32), mode))
    return picture if turn is None else picture.transpose(turn)


def _turns() -> dict[int, Transpose]:
    """The transposition that makes a picture upright, for each orientation of EXIF."""
    from PIL.Image import Transpose

    return {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }


def _factor(size: tuple[int, int], most: int) -> int:
    """The least whole factor that reduces a picture to at most `most` pixels."""
    width, height = size
    return max(1, math.ceil(math.sqrt(width * height / most)))


def _averaged(file: Picture, factor: int, low: float) -> Picture:
    """The picture in mode "RGBa" or "F", each pixel the mean of factor x factor pixels.

    `low` is subtracted from grey levels first: float32 cannot represent all large whole numbers.
    """
    from PIL import Image

    width, height = file.size
    if factor == 1:
        return _plain(file, low)
    band = factor * max(1, _BAND // (width * factor))
    size = (-(-width // factor), -(-height // factor))
    picture = Image.new("F" if _is_deep(file) else "RGBa", size)
    for top in range(0, height, band):
        part = _plain(file.crop((0, top, width, min(top + band, height))), low)
        picture.paste(part.reduce(factor), (0, top // factor))
    return picture


def _is_deep(picture: Picture) -> bool:
    """Whether a picture has grey levels of more than 8 bits."""
    return str(picture.mode).startswith(("I", "F"))


def _plain(picture: Picture, low: float) -> Picture:
    """A picture in mode "RGBa", or in "F", since Pillow's own conversion would clip it to 8 bits."""
    from PIL import Image

    if _is_deep(picture):
        levels = np.asarray(picture)
        if low:
            levels = levels - float(low)
        return Image.fromarray(np.asarray(levels, np.float32))
    # In two steps: Pillow converts only "RGBA" to "RGBa".
    return picture.convert("RGBA").convert("RGBa")


def _unit_range(grey: NDArray[np.float32], mode: str) -> NDArray[np.float32]:
    """16- and 32-bit grey levels scaled to 0..1; only 16 bits define what is white."""
    if mode.startswith("I;16"):
        return grey / np.float32(65535)
    if not np.isfinite(grey).all():
        raise ArgumentError("some of its values are NaN or infinite")
    wide = grey.astype(np.float64)  # the difference of two float32 levels may overflow
    low = wide.min()
    high = wide.max()
    return np.asarray((wide - low) / (high - low or 1), np.float32)
