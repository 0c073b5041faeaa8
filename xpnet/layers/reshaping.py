"""Layers that change shapes and nothing else."""

import math
from collections.abc import Sequence
from typing import Any

from xpnet import functions as F
from xpnet._typing import Array
from xpnet.errors import ShapeError
from xpnet.layers._input_checks import misfit
from xpnet.layers.base import Layer


class Flatten(Layer):
    """Joins the axes from `start_dim` to `end_dim` into one: images become rows of numbers.

    Parameters
    ----------
    start_dim, end_dim : int
        The first axis and the last. Negative ones count from the end. By default all axes but the
        batch are joined.

    Notes
    -----
    x : shape (batch, ...); y : shape (batch, product of the rest). An x of shape (batch,) becomes
    (batch, 1).

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> xpnet.Flatten()(F.ones((2, 3, 8, 8))).shape
    (2, 192)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, x: Array) -> Array:
        if not hasattr(x, "shape"):
            raise misfit(self, x, ("batch", "..."))
        shape = tuple(x.shape)
        first = self.start_dim
        if first < 0:
            first += len(shape)
        last = self.end_dim
        if last < 0:
            last += len(shape)
        no_axes = first == len(shape) == last + 1  # their product is 1: a new axis of that size
        if not (0 <= first <= last < len(shape) or no_axes):
            raise ShapeError(
                f"{self!r} expected x of more axes, to join those from {self.start_dim} to "
                f"{self.end_dim}, got {shape}."
            )
        joined = math.prod(shape[first : last + 1])
        return F.reshape(x, (*shape[:first], joined, *shape[last + 1 :]))

    def __repr__(self) -> str:
        if (self.start_dim, self.end_dim) == (1, -1):
            return "Flatten()"
        return f"Flatten({self.start_dim}, {self.end_dim})"


class Reshape(Layer):
    """Changes the shape of each sample: rows of numbers become images. As in Keras, the batch stays.

    Parameters
    ----------
    *sizes : int, or one sequence of int
        The shape of a sample. One of them may be -1: as large as it has to be.

    Notes
    -----
    x : shape (batch, ...); y : shape (batch, *sizes).

    Examples
    --------
    >>> import xpnet
    >>> Reshape(2, -1)(xpnet.functions.zeros((5, 6))).shape
    (5, 2, 3)
    """

    def __init__(self, *sizes: int | Sequence[int]) -> None:
        shape: Any = sizes
        if len(sizes) == 1 and isinstance(sizes[0], Sequence):
            shape = sizes[0]
        if sum(n == -1 for n in shape) > 1 or any(n < -1 for n in shape):
            raise ShapeError(f"Reshape expected sizes, and at most one of them -1, got {shape}.")
        self.shape = tuple(shape)

    def forward(self, x: Array) -> Array:
        if not hasattr(x, "shape"):
            raise misfit(self, x, ("batch", "..."))
        given = tuple(x.shape)
        size = math.prod(given[1:])
        known = math.prod(n for n in self.shape if n != -1)
        fits = size == known
        if -1 in self.shape:
            fits = known > 0 and size % known == 0
        if not given or not fits:
            count = f"a multiple of {known}" if -1 in self.shape else f"{known}"
            raise ShapeError(
                f"{self!r} expected x of shape (batch, ...), with {count} numbers per sample, "
                f"got {given}."
            )
        shape = [size // known if n == -1 else n for n in self.shape]
        return F.reshape(x, (given[0], *shape))

    def __repr__(self) -> str:
        return f"Reshape({', '.join(map(str, self.shape))})"
