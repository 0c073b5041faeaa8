"""Embedding: a row of a table for each integer."""

import array_api_compat as compat

from xpnet._libraries.devices import follows
from xpnet._typing import Array
from xpnet.autodiff._messages import named
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import data_of
from xpnet.errors import ArgumentError, ArgumentTypeError, IndexingError, ShapeError
from xpnet.functions.indexing import ScatterAdd, check_on_cupy


class Embedding(Function):
    """Rows of W, NaN for an index out of range; the padding row has no gradient."""

    def __init__(self, indices: Array, padding_idx: int | None) -> None:
        self.indices = indices
        self.padding_idx = padding_idx

    def forward(self, W: Array) -> Array:
        xp = array_namespace(self.indices, W)
        i = self.indices
        if xp.iinfo(i.dtype).bits < 32:  # 8 bits cannot count the rows, nor index in every library
            i = xp.astype(i, xp.int32)
        self.rows = W.shape[0]
        in_range = (i >= 0) & (i < self.rows)
        self.places = xp.reshape(xp.where(in_range, i, 0), (-1,))
        self.has_gradient = in_range
        if self.padding_idx is not None:
            self.has_gradient = in_range & (i != self.padding_idx)
        y = xp.reshape(xp.take(W, self.places, axis=0), (*i.shape, W.shape[1]))
        return xp.where(in_range[..., None], y, xp.nan)

    def backward(self, gy: Array) -> Array:
        xp = array_namespace(gy)
        gy = xp.where(self.has_gradient[..., None], gy, 0.0)
        rows = xp.reshape(gy, (self.places.shape[0], gy.shape[-1]))
        return ScatterAdd(self.places, self.rows)(rows)


def _require_rows(x: Array, weight: Array) -> None:
    """Raise IndexingError for an index out of range, on NumPy and CuPy."""
    rows = weight.shape[0]
    if compat.is_numpy_array(x) and x.size and not 0 <= x.min() <= x.max() < rows:
        raise IndexingError(
            f"embedding expected numbers from 0 to {rows - 1}, got some from {x.min()} to {x.max()}."
        )
    check_on_cupy("embedding", x, weight, 0, least=0)


@named
@follows
def embedding(x: Array, weight: Array, padding_idx: int | None = None) -> Array:
    """weight[x]: for each integer of x, that row of the table.

    Parameters
    ----------
    x : array of integers, of any shape
        From 0 to rows - 1.
    weight : array or Variable, shape (rows, columns)
    padding_idx : int, optional
        A row whose gradient is 0, so that it is not trained. Negative numbers count from the end.

    Returns
    -------
    array or Variable, shape (*x.shape, columns)
        On array-api-strict, PyTorch and JAX, an integer outside 0 .. rows - 1 yields NaN instead of
        an error: checking the integers would make the host wait for a GPU in every step.

    Raises
    ------
    IndexError
        A number is outside 0 .. rows - 1, on NumPy, where the check costs little, and on CuPy. On
        CuPy it is raised when xpnet next brings numbers to the host, or, with XPNET_DEBUG_INDICES=1
        in the environment, at once.
    TypeError
        x is not of an integer dtype.
    ShapeError
        `weight` does not have two axes.
    ValueError
        `padding_idx` is out of range.

    Notes
    -----
    The gradient of a row is the sum over all its places: a scatter-add.
    """
    if not has_dtype(x, "integral"):
        raise ArgumentTypeError(f"embedding expected integers, got {x.dtype}.")
    if weight.ndim != 2:
        raise ShapeError(
            f"embedding expected weight of shape (rows, columns), got {tuple(weight.shape)}."
        )
    rows = weight.shape[0]
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise ArgumentError(f"embedding expected a padding_idx below {rows}, got {padding_idx}.")
    _require_rows(data_of(x), data_of(weight))
    if padding_idx is not None:
        padding_idx %= rows
    return Embedding(data_of(x), padding_idx)(weight)
