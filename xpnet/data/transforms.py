"""Transforms of images, which a loader applies to a batch on the host.

Each is called as `transform(x, rng)` with a batch of images, shape (N, C, H, W), and returns a new
batch. The random choices differ from image to image; no transform loops over images, so they are
fast. They are repeatable, because the loader's generator depends on its seed, the epoch and the batch
only.

>>> augment = Compose([RandomCrop(28, padding=2), RandomHorizontalFlip(), Normalize(0.5, 0.25)])
>>> augment
Compose([RandomCrop((28, 28), padding=2), RandomHorizontalFlip(p=0.5), Normalize(0.5, 0.25)])
>>> x = np.ones((100, 1, 28, 28), np.float32)
>>> augment(x, np.random.default_rng(0)).shape
(100, 1, 28, 28)
"""

from collections.abc import Callable, Sequence
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet._own_init import own_init
from xpnet.errors import ArgumentError, ArgumentTypeError, ShapeError

__all__ = [
    "ColorJitter",
    "Compose",
    "Cutout",
    "Normalize",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomShift",
    "RandomVerticalFlip",
]

Images = NDArray[Any]
Generator = np.random.Generator


class Compose:
    """Several transforms in turn, with the same generator.

    Parameters
    ----------
    transforms : sequence of functions `(x, rng) -> x`

    Examples
    --------
    >>> import xpnet
    >>> import numpy as np
    >>> from xpnet.data import transforms
    >>> both = transforms.Compose([transforms.RandomShift(2), transforms.RandomHorizontalFlip()])
    >>> both(np.zeros((8, 1, 28, 28), np.float32), np.random.default_rng(0)).shape
    (8, 1, 28, 28)
    """

    def __init__(self, transforms: Sequence[Callable[[Images, Generator], Images]]) -> None:
        self.transforms = list(transforms)

    def __call__(self, x: Images, rng: Generator) -> Images:
        for transform in self.transforms:
            x = transform(x, rng)
        return x

    def __repr__(self) -> str:
        return f"Compose({self.transforms!r})"


class Normalize:
    """(x - mean) / std, channel by channel.

    Parameters
    ----------
    mean, std : float or sequence of float
        One number for all channels, or one for each, in the units of x: they depend on whether grey
        levels range from 0 to 255 or from 0 to 1. `std` is positive.

    Notes
    -----
    Floating-point images keep their dtype; all others become float32.

    Examples
    --------
    >>> import xpnet
    >>> import numpy as np
    >>> from xpnet.data import transforms
    >>> normalize = transforms.Normalize(0.5, 0.25)
    >>> normalize(np.ones((1, 1, 1, 2), np.float32), np.random.default_rng(0)).tolist()
    [[[[2.0, 2.0]]]]
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        self.mean = mean
        self.std = std
        m = np.asarray(mean, np.float64)
        s = np.asarray(std, np.float64)
        if m.ndim > 1 or s.ndim > 1 or (m.ndim and s.ndim and m.shape != s.shape):
            raise ArgumentError(f"Expected a mean and std for each channel, got {mean} and {std}.")
        if not (np.isfinite(m).all() and np.isfinite(s).all() and (s > 0).all()):
            raise ArgumentError(f"Expected finite mean and std, std > 0; got {mean} and {std}.")
        self._channels = max(m.size, s.size)
        self._mean = m.reshape(-1, 1, 1)
        self._scale = (1 / s).reshape(-1, 1, 1)

    def __call__(self, x: Images, rng: Generator | None = None) -> Images:
        _require_images(self, x)
        if self._channels not in (1, x.shape[1]):
            raise ShapeError(f"{self} expected {self._channels} channels, got shape {x.shape}.")
        dtype = x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)
        y = np.subtract(x, self._mean.astype(dtype), dtype=dtype)
        y *= self._scale.astype(dtype)
        return y

    def __repr__(self) -> str:
        return f"Normalize({self.mean}, {self.std})"


class RandomCrop:
    """A crop of each image, at a place drawn uniformly.

    Parameters
    ----------
    size : int or (int, int)
        The height and width of the crop; an int is both.
    padding : int
        The number of pixels that are first added on each side. On images of 32 x 32,
        `size=32, padding=4` moves them by up to 4 pixels, as is usual for CIFAR-10 (He et al. 2016).
    fill : float
        The value of the added pixels.

    Examples
    --------
    >>> import xpnet
    >>> import numpy as np
    >>> from xpnet.data import transforms
    >>> crop = transforms.RandomCrop(28, padding=2)
    >>> crop(np.zeros((8, 1, 28, 28), np.float32), np.random.default_rng(0)).shape
    (8, 1, 28, 28)
    """

    def __init__(self, size: int | tuple[int, int], padding: int = 0, fill: float = 0) -> None:
        if not isinstance(size, Sequence):
            size = (size, size)
        height, width = map(index, size)
        if height < 1 or width < 1 or padding < 0:
            raise ArgumentError(f"Expected size >= 1 and padding >= 0, got {size} and {padding}.")
        self.size = (height, width)
        self.padding = padding
        self.fill = fill

    def __call__(self, x: Images, rng: Generator) -> Images:
        _require_images(self, x)
        height, width = self.size
        rows = x.shape[2] + 2 * self.padding - height
        columns = x.shape[3] + 2 * self.padding - width
        if rows < 0 or columns < 0:
            raise ShapeError(f"{self} expected images at least that large, got shape {x.shape}.")
        return _crops(_padded(x, self.padding, self.fill), self.size, rows, columns, rng)

    def __repr__(self) -> str:
        return f"RandomCrop({self.size}, padding={self.padding}{_filled(self.fill)})"


class RandomShift:
    """Each image shifted by a random number of pixels, vertically and horizontally.

    Parameters
    ----------
    pixels : int
        The shifts are drawn uniformly from -pixels to pixels.
    fill : float
        The value of the pixels that are uncovered.

    Examples
    --------
    >>> import xpnet
    >>> import numpy as np
    >>> from xpnet.data import transforms
    >>> shift = transforms.RandomShift(2)
    >>> shift(np.zeros((8, 1, 28, 28), np.float32), np.random.default_rng(0)).shape
    (8, 1, 28, 28)
    """

    def __init__(self, pixels: int, fill: float = 0) -> None:
        if pixels < 0:
            raise ArgumentError(f"Expected pixels >= 0, got {pixels}.")
        self.pixels = pixels
        self.fill = fill

    def __call__(self, x: Images, rng: Generator) -> Images:
        _require_images(self, x)
        p = self.pixels
        return _crops(_padded(x, p, self.fill), x.shape[2:], 2 * p, 2 * p, rng)

    def __repr__(self) -> str:
        return f"RandomShift({self.pixels}{_filled(self.fill)})"


class _RandomFlip:
    """Each image mirrored along an axis with probability p."""

    axis: int

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ArgumentError(f"Expected p from 0 to 1, got {p}.")
        self.p = p

    def __call__(self, x: Images, rng: Generator) -> Images:
        _require_images(self, x)
        mirrored = np.flatnonzero(rng.random(len(x)) < self.p)
        y = x.copy()
        y[mirrored] = np.flip(x[mirrored], self.axis)
        return y

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


@own_init
class RandomHorizontalFlip(_RandomFlip):
    """Each image mirrored horizontally, left for right, with probability p.

    Parameters
    ----------
    p : float, default 0.5

    Raises
    ------
    ArgumentError
        p is not from 0 to 1.

    Examples
    --------
    >>> import xpnet
    >>> import numpy as np
    >>> from xpnet.data import transforms
    >>> flip = transforms.RandomHorizontalFlip(1.0)
    >>> flip(np.asarray([[[[1.0, 2.0]]]], np.float32), np.random.default_rng(0)).tolist()
    [[[[2.0, 1.0]]]]
    """

    axis = 3


@own_init
class RandomVerticalFlip(_RandomFlip):
    """Each image mirrored vertically, top for bottom, with probability p.

    Parameters
    ----------
    p : float, default 0.5

    Raises
    ------
    ArgumentError
        p is not from 0 to 1.

    Examples
    --------
    >>> import xpnet
    >>> import numpy as np
    >>> from xpnet.data import transforms
    >>> flip = transforms.RandomVerticalFlip(1.0)
    >>> flip(np.asarray([[[[1.0], [2.0]]]], np.float32), np.random.default_rng(0)).tolist()
    [[[[2.0], [1.0]]]]
    """

    axis = 2


class RandomRotation:
    """Each image rotated about its centre by a random angle.

    A pixel of the result is interpolated between four pixels of the image.

    Parameters
    ----------
    degrees : float
        The angles are drawn uniformly from -degrees to degrees.
    fill : float
        The value outside of the image, which the corners show.

    Examples
    --------
    >>> import xpnet
    >>> import numpy as np
    >>> from xpnet.data import transforms
    >>> rotate = transforms.RandomRotation(15)
    >>> rotate(np.zeros((8, 1, 28, 28), np.float32), np.random.default_rng(0)).shape
    (8, 1, 28, 28)
    """

    def __init__(self, degrees: float, fill: float = 0) -> None:
        if not 0 <= degrees <= 180:
            raise ArgumentError(f"Expected degrees from 0 to 180, got {degrees}.")
        self.degrees = degrees
        self.fill = fill

    def __call__(self, x: Images, rng: Generator) -> Images:
        _require_images(self, x)
        angles = np.deg2rad(rng.uniform(-self.degrees, self.degrees, (len(x), 1, 1)))
        height, width = x.shape[2:]
        down = np.arange(height)[:, None] - (height - 1) / 2
        right = np.arange(width) - (width - 1) / 2
        rows = np.cos(angles) * down + np.sin(angles) * right + (height - 1) / 2
        columns = np.cos(angles) * right - np.sin(angles) * down + (width - 1) / 2
        return _interpolated(x, rows, columns, self.fill)

    def __repr__(self) -> str:
        return f"RandomRotation({self.degrees}{_filled(self.fill)})"


class RandomResizedCrop:
    """A part of each image, of random size and place, enlarged to the size of the image.

    A pixel of the result is interpolated between four pixels of the image.

    Parameters
    ----------
    scale : (float, float)
        The smallest and the largest share of the area that the part has, drawn uniformly.
    ratio : (float, float)
        The smallest and the largest proportion, width to height, in relation to that of the image;
        its logarithm is drawn uniformly. A part is not wider or higher than the image.

    Notes
    -----
    torchvision's transform of this name takes the size of the result too, and draws again where the
    part is wider or higher than the image (Szegedy et al. 2015, arXiv:1409.4842).

    Examples
    --------
    >>> import xpnet
    >>> import numpy as np
    >>> from xpnet.data import transforms
    >>> crop = transforms.RandomResizedCrop(scale=(0.5, 1.0))
    >>> crop(np.zeros((8, 3, 48, 64), np.float32), np.random.default_rng(0)).shape
    (8, 3, 48, 64)
    """

    def __init__(
        self,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        if not 0 < scale[0] <= scale[1] <= 1 or not 0 < ratio[0] <= ratio[1] < np.inf:
            raise ArgumentError(
                f"Expected 0 < scale[0] <= scale[1] <= 1 and 0 < ratio[0] <= ratio[1], got {scale} and {ratio}."
            )
        self.scale = scale
        self.ratio = ratio

    def __call__(self, x: Images, rng: Generator) -> Images:
        _require_images(self, x)
        scale = rng.uniform(*self.scale, len(x))
        narrowest, widest = self.ratio
        ratio = np.exp(rng.uniform(np.log(narrowest), np.log(widest), len(x)))
        places = []
        for length, share in zip(x.shape[2:], (scale / ratio, scale * ratio), strict=True):
            part = length * np.minimum(np.sqrt(share), 1.0)
            start = rng.uniform(0, length - part)
            middles = start[:, None] + (np.arange(length) + 0.5) * part[:, None] / length - 0.5
            places.append(np.clip(middles, 0, length - 1))
        rows, columns = places
        return _interpolated(x, rows[:, :, None], columns[:, None, :], fill=0)

    def __repr__(self) -> str:
        ratio = ", ".join(f"{limit:.3g}" for limit in self.ratio)
        return f"RandomResizedCrop(scale={self.scale}, ratio=({ratio}))"


class ColorJitter:
    """Each image brighter or darker, and with more or less contrast and colour, at random.

    With a factor f of its own for each of the three, a pixel becomes f times itself; f times itself
    plus 1 - f times the mean grey of the image; and f times itself plus 1 - f times its own grey.

    Parameters
    ----------
    brightness, contrast, saturation : float
        Factors are drawn uniformly from max(0, 1 - brightness) to 1 + brightness, and so on.

    Notes
    -----
    Images are of one channel, which has no colour, or of red, green and blue. Floating-point images
    range from 0 to 1, so this transform comes before `Normalize`; integers range from 0 to 255. The
    result is clipped to the range. The hue is not changed.

    Examples
    --------
    >>> import xpnet
    >>> import numpy as np
    >>> from xpnet.data import transforms
    >>> jitter = transforms.ColorJitter(brightness=0.5)
    >>> x = jitter(np.full((2, 3, 8, 8), 0.5, np.float32), np.random.default_rng(0))
    >>> [f"{float(level):.2f}" for level in x[:, 0, 0, 0]]
    ['0.57', '0.38']
    """

    def __init__(self, brightness: float = 0, contrast: float = 0, saturation: float = 0) -> None:
        amounts = (brightness, contrast, saturation)
        if not all(0 <= amount < np.inf for amount in amounts):
            raise ArgumentError(f"Expected finite amounts >= 0, got {amounts}.")
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation

    def __call__(self, x: Images, rng: Generator) -> Images:
        _require_images(self, x)
        if x.shape[1] not in (1, 3):
            raise ShapeError(f"{self} expected one channel or three, got shape {x.shape}.")
        most = 1 if x.dtype.kind == "f" else 255
        if x.size and not 0 <= x.min() <= x.max() <= most:
            raise ArgumentError(
                f"{self} expected images from 0 to {most}, got {x.min()} to {x.max()}. Apply it before Normalize."
            )
        y = x.astype(_precise(x.dtype))
        changes = ((self.brightness, _black), (self.contrast, _mean_grey), (self.saturation, _grey))
        for amount, plain in changes:
            f = rng.uniform(max(0, 1 - amount), 1 + amount, (len(x), 1, 1, 1)).astype(y.dtype)
            if amount:
                y = np.clip(f * y + (1 - f) * plain(y), 0, most)
        return _as_dtype(y, x.dtype)

    def __repr__(self) -> str:
        return f"ColorJitter({self.brightness}, {self.contrast}, {self.saturation})"


class Cutout:
    """Each image with a random square erased (DeVries and Taylor 2017, arXiv:1708.04552).

    The centre of the square is drawn uniformly from all pixels, so it may extend beyond the image.

    Parameters
    ----------
    size : int
        The side of the square. The paper uses 16 for CIFAR-10.
    fill : float
        The value inside the square. After `Normalize`, 0 is the mean, which the paper uses.

    Examples
    --------
    >>> import xpnet
    >>> import numpy as np
    >>> from xpnet.data import transforms
    >>> cut = transforms.Cutout(4)
    >>> float(cut(np.ones((1, 1, 8, 8), np.float32), np.random.default_rng(0)).min())
    0.0
    """

    def __init__(self, size: int, fill: float = 0) -> None:
        if size < 1:
            raise ArgumentError(f"Expected size >= 1, got {size}.")
        self.size = size
        self.fill = fill

    def __call__(self, x: Images, rng: Generator) -> Images:
        _require_images(self, x)
        n, _, height, width = x.shape
        rows = self._inside(height, rng.integers(0, max(height, 1), n))
        columns = self._inside(width, rng.integers(0, max(width, 1), n))
        hole = rows[:, None, :, None] & columns[:, None, None, :]
        return np.where(hole, np.asarray(self.fill, x.dtype), x)

    def _inside(self, length: int, centre: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the rows or columns 0 to length - 1 each square covers: shape (n, length)."""
        offset = np.arange(length) - (centre[:, None] - self.size // 2)
        inside: NDArray[np.bool_] = (offset >= 0) & (offset < self.size)
        return inside

    def __repr__(self) -> str:
        return f"Cutout({self.size}{_filled(self.fill)})"


def _require_images(transform: object, x: Any) -> None:
    """Refuse what is not a batch of images on the host, or cannot hold the transform's `fill`."""
    if getattr(x, "ndim", None) != 4:
        raise ShapeError(
            f"{transform} expected images of shape (batch, channels, height, width), got "
            f"{tuple(np.shape(x))}. Reshape rows of pixels, as with x.reshape(-1, 1, 28, 28)."
        )
    if not isinstance(x, np.ndarray):
        raise ArgumentTypeError(
            f"{transform} works on the host: expected a NumPy array, got a {type(x).__name__}."
        )
    fill = getattr(transform, "fill", 0)
    if x.dtype.kind in "biu" and fill != int(fill):
        raise ArgumentError(f"{transform} cannot fill images of {x.dtype} with a fraction.")


def _padded(x: Images, p: int, fill: float) -> Images:
    """The images with p pixels added on each side."""
    if p == 0:
        return x
    n, channels, height, width = x.shape
    y = np.full((n, channels, height + 2 * p, width + 2 * p), fill, x.dtype)
    y[:, :, p : p + height, p : p + width] = x
    return y


def _crops(x: Images, size: tuple[int, ...], rows: int, columns: int, rng: Generator) -> Images:
    """A crop of each image, whose first row and column are drawn from 0..rows and 0..columns."""
    top = rng.integers(0, rows + 1, len(x))
    left = rng.integers(0, columns + 1, len(x))
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis=(2, 3))
    crops: Images = windows[np.arange(len(x)), :, top, left]
    return crops


def _precise(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in which pixels are averaged: float32, or float64 for float64."""
    return np.result_type(dtype, np.float32) if dtype.kind == "f" else np.dtype(np.float32)


def _as_dtype(y: Images, dtype: np.dtype[Any]) -> Images:
    """Averages in the dtype of the images; they are rounded to integers, not cut off."""
    return (np.rint(y) if dtype.kind != "f" else y).astype(dtype, copy=False)


def _grey(x: Images) -> Images:
    """The brightness of each pixel, (n, 1, height, width), by ITU-R BT.601."""
    if x.shape[1] == 1:
        return x
    weights = np.asarray([0.299, 0.587, 0.114], x.dtype).reshape(3, 1, 1)
    grey: Images = (x * weights).sum(1, keepdims=True)
    return grey


def _mean_grey(x: Images) -> Images:
    """The mean brightness of each image, (n, 1, 1, 1)."""
    mean: Images = _grey(x).mean((1, 2, 3), keepdims=True)
    return mean


def _black(x: Images) -> Images:
    """A black pixel for each image, (n, 1, 1, 1)."""
    return np.zeros((len(x), 1, 1, 1), x.dtype)


def _interpolated(x: Images, rows: Images, columns: Images, fill: float) -> Images:
    """The images at fractional places, which broadcast to (n, height, width); bilinear.

    Beyond an image there is `fill`.
    """
    n, channels, height, width = x.shape
    padded = _padded(x, 1, fill).reshape(n, channels, (height + 2) * (width + 2))
    y = np.zeros((n, channels, height * width), _precise(x.dtype))
    rows = np.clip(rows + 1, 0, height + 1)
    columns = np.clip(columns + 1, 0, width + 1)
    top = np.minimum(rows.astype(np.int64), height)
    left = np.minimum(columns.astype(np.int64), width)
    below = rows - top
    beyond = columns - left
    for i, weight_of_row in (0, 1 - below), (1, below):
        for j, weight_of_column in (0, 1 - beyond), (1, beyond):
            place = ((top + i) * (width + 2) + left + j).reshape(n, 1, height * width)
            weight = (weight_of_row * weight_of_column).astype(y.dtype).reshape(place.shape)
            y += weight * np.take_along_axis(padded, place, axis=2)
    # Rounded, the weights may add up to more than 1: white would be whiter than the range of the images.
    np.clip(y, padded.min(2, keepdims=True), padded.max(2, keepdims=True), out=y)
    return _as_dtype(y, x.dtype).reshape(x.shape)


def _filled(fill: float) -> str:
    """The argument `fill` in a repr, unless it is the default."""
    return f", fill={fill}" if fill else ""
