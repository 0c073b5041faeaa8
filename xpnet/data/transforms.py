"""Transforms of images: what a loader does to a batch on the host, before it is sent.

Each is called as `transform(x, rng)` with a batch of images, shape (N, C, H, W), and gives a new one;
each image has its own luck. They are fast because none of them loops over images, and repeatable
because the loader gives a generator that is a function of its seed, the epoch and the batch alone.

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

from xpnet.errors import ArgumentError, ArgumentTypeError, ShapeError

__all__ = [
    "Compose",
    "Cutout",
    "Normalize",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomShift",
]

Images = NDArray[Any]
Generator = np.random.Generator


class Compose:
    """One transform after another, all with the same generator.

    Parameters
    ----------
    transforms : sequence of functions `(x, rng) -> x`
    """

    def __init__(self, transforms: Sequence[Callable[[Any, Generator], Any]]) -> None:
        self.transforms = list(transforms)

    def __call__(self, x: Any, rng: Generator) -> Any:
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
        One for all channels, or one for each, in the units of x: grey levels from 0 to 255 have
        others than those from 0 to 1. No `std` is 0.

    Notes
    -----
    Floating images keep their dtype; others become float32.
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        self.mean, self.std = mean, std
        m, s = np.asarray(mean, np.float64), np.asarray(std, np.float64)
        if m.ndim > 1 or s.ndim > 1 or (m.ndim and s.ndim and m.shape != s.shape):
            raise ArgumentError(f"Expected a mean and std for each channel, got {mean} and {std}.")
        if not (np.isfinite(m).all() and np.isfinite(s).all() and (s > 0).all()):
            raise ArgumentError(f"Expected finite mean and std, std > 0; got {mean} and {std}.")
        self._channels = max(m.size if m.ndim else 1, s.size if s.ndim else 1)
        self._mean, self._scale = m.reshape(-1, 1, 1), (1 / s).reshape(-1, 1, 1)

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
    """A piece of each image, from a place drawn uniformly.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the piece; one number for both.
    padding : int
        First, so many pixels are put around the image: `size=32, padding=4` on images of 32 x 32
        moves them by up to 4 pixels, as is usual for CIFAR-10 (He et al. 2016).
    fill : float
        The value of these pixels.
    """

    def __init__(self, size: int | tuple[int, int], padding: int = 0, fill: float = 0) -> None:
        height, width = map(index, size if isinstance(size, Sequence) else (size, size))
        if height < 1 or width < 1 or padding < 0:
            raise ArgumentError(f"Expected size >= 1 and padding >= 0, got {size} and {padding}.")
        self.size, self.padding, self.fill = (height, width), padding, fill

    def __call__(self, x: Images, rng: Generator) -> Images:
        _require_images(self, x)
        (height, width), p = self.size, self.padding
        rows, columns = x.shape[2] + 2 * p - height, x.shape[3] + 2 * p - width
        if rows < 0 or columns < 0:
            raise ShapeError(f"{self} expected images at least that large, got shape {x.shape}.")
        return _pieces(_padded(x, p, self.fill), self.size, rows, columns, rng)

    def __repr__(self) -> str:
        return f"RandomCrop({self.size}, padding={self.padding}{_filled(self.fill)})"


class RandomShift:
    """Each image moved by up to so many pixels, up or down and left or right.

    Parameters
    ----------
    pixels : int
        Each whole number from -pixels to pixels is as likely, in both directions.
    fill : float
        The value of what moves in.
    """

    def __init__(self, pixels: int, fill: float = 0) -> None:
        if pixels < 0:
            raise ArgumentError(f"Expected pixels >= 0, got {pixels}.")
        self.pixels, self.fill = pixels, fill

    def __call__(self, x: Images, rng: Generator) -> Images:
        _require_images(self, x)
        p = self.pixels
        return _pieces(_padded(x, p, self.fill), x.shape[2:], 2 * p, 2 * p, rng)

    def __repr__(self) -> str:
        return f"RandomShift({self.pixels}{_filled(self.fill)})"


class RandomHorizontalFlip:
    """Each image mirrored, left and right, with probability p."""

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ArgumentError(f"Expected p from 0 to 1, got {p}.")
        self.p = p

    def __call__(self, x: Images, rng: Generator) -> Images:
        _require_images(self, x)
        mirrored = np.flatnonzero(rng.random(len(x)) < self.p)
        y = x.copy()
        y[mirrored] = x[mirrored][..., ::-1]
        return y

    def __repr__(self) -> str:
        return f"RandomHorizontalFlip(p={self.p})"


class Cutout:
    """A square of each image blotted out (DeVries and Taylor 2017, arXiv:1708.04552).

    Its middle is any pixel, each as likely; where it reaches over the edge, less is blotted out.

    Parameters
    ----------
    size : int
        The side of the square. The paper takes 16 for CIFAR-10.
    fill : float
        What stands there; after `Normalize`, 0 is the mean, which the paper takes.
    """

    def __init__(self, size: int, fill: float = 0) -> None:
        if size < 1:
            raise ArgumentError(f"Expected size >= 1, got {size}.")
        self.size, self.fill = size, fill

    def __call__(self, x: Images, rng: Generator) -> Images:
        _require_images(self, x)
        n, _, height, width = x.shape
        down = self._inside(height, rng.integers(0, max(height, 1), n))
        across = self._inside(width, rng.integers(0, max(width, 1), n))
        hole = down[:, None, :, None] & across[:, None, None, :]
        return np.where(hole, np.asarray(self.fill, x.dtype), x)

    def _inside(self, length: int, middle: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the places 0 to length - 1 are in each square: shape (n, length)."""
        place = np.arange(length) - (middle[:, None] - self.size // 2)
        inside: NDArray[np.bool_] = (place >= 0) & (place < self.size)
        return inside

    def __repr__(self) -> str:
        return f"Cutout({self.size}{_filled(self.fill)})"


def _require_images(transform: object, x: Any) -> None:
    if getattr(x, "ndim", None) != 4:
        raise ShapeError(
            f"{transform} expected images of shape (batch, channels, height, width), got "
            f"{tuple(np.shape(x))}. Rows of pixels become images with x.reshape(-1, 1, 28, 28)."
        )
    if not isinstance(x, np.ndarray):
        raise ArgumentTypeError(
            f"{transform} works on the host: expected a NumPy array, got a {type(x)}."
        )
    if x.dtype.kind in "biu" and (fill := getattr(transform, "fill", 0)) != int(fill):
        raise ArgumentError(f"{transform} cannot fill images of {x.dtype} with a fraction.")


def _padded(x: Images, p: int, fill: float) -> Images:
    if not p:
        return x
    n, channels, height, width = x.shape
    y = np.full((n, channels, height + 2 * p, width + 2 * p), fill, x.dtype)
    y[:, :, p : p + height, p : p + width] = x
    return y


def _pieces(x: Images, size: tuple[int, ...], rows: int, columns: int, rng: Generator) -> Images:
    """A piece of that size of each image, beginning in rows 0..rows and columns 0..columns."""
    top, left = rng.integers(0, rows + 1, len(x)), rng.integers(0, columns + 1, len(x))
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis=(2, 3))
    piece: Images = windows[np.arange(len(x)), :, top, left]
    return piece


def _filled(fill: float) -> str:
    return f", fill={fill}" if fill else ""
