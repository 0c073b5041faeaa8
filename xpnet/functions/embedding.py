"""Embedding: a row of a table for each integer."""

from xpnet._libraries import library_of
from xpnet._libraries.devices import follows
from xpnet._typing import Array
from xpnet.autodiff._messages import named
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import data_of
from xpnet.errors import ArgumentError, ArgumentTypeError, ShapeError
from xpnet.functions.indexing import ScatterAdd
from xpnet.kernels.bounds import checked_on_host, require_within, require_within_on_host


class Embedding(Function):
    """Rows of W. The gradient of a row is the sum over its places, and zero for the padding.

    Where the indices are not checked, an index that is out of range picks NaN, and adds to no gradient:
    on CuPy, where the result of the check is read later, and while JAX traces a program.
    """

    def __init__(self, indices: Array, padding_idx: int | None, are_checked: bool) -> None:
        self.indices = indices
        self.padding_idx = padding_idx
        self.are_checked = are_checked

    def forward(self, W: Array) -> Array:
        xp = array_namespace(self.indices, W)
        i = self.indices
        if xp.iinfo(i.dtype).bits < 32:  # some libraries refuse these, and 8 bits count few rows
            i = xp.astype(i, xp.int32)
        self.rows = W.shape[0]
        in_range = None
        chosen = i
        if not self.are_checked:
            in_range = (i >= 0) & (i < self.rows)
            chosen = xp.where(in_range, i, 0)
        self.places = xp.reshape(chosen, (-1,))
        self.has_gradient = in_range
        is_trained = None
        if self.padding_idx is not None:
            is_trained = i != self.padding_idx
            self.has_gradient = is_trained if in_range is None else in_range & is_trained
        y = xp.reshape(xp.take(W, self.places, axis=0), (*i.shape, W.shape[1]))
        if is_trained is not None:
            constant = library_of(y).without_gradient(y)
            if constant is not y:  # the library differentiates, and does not know of the rule
                y = xp.where(is_trained[..., None], y, constant)
        return y if in_range is None else xp.where(in_range[..., None], y, xp.nan)

    def backward(self, gy: Array) -> Array:
        xp = array_namespace(gy)
        if self.has_gradient is not None:
            gy = xp.where(self.has_gradient[..., None], gy, 0.0)
        rows = xp.reshape(gy, (self.places.shape[0], gy.shape[-1]))
        return ScatterAdd(self.places, self.rows)(rows)


def _require_rows(x: Array, rows: int) -> bool:
    """Raise IndexError unless all numbers of x are from 0 to rows - 1; returns whether they are known to be."""
    library = library_of(x)
    if library.wraps_indices:
        require_within("embedding", x, 0, rows - 1)
        return False
    if hasattr(x, "recorded_check"):  # a recording array: each replay checks it too
        x.recorded_check(checked_on_host, "embedding", 0, rows - 1)
        return library.mutable  # replays on JAX's arrays are traced
    if not library.has_values(x):
        return False
    require_within_on_host("embedding", x, 0, rows - 1)
    return True


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

    Raises
    ------
    IndexError
        A number is outside 0 .. rows - 1; negative ones do not count from the end. On CuPy the check
        runs on the GPU, and the error is raised when xpnet next brings numbers to the host, or, with
        XPNET_DEBUG_INDICES=1 in the environment, at once. A program that JAX traces, as by `jax.jit`,
        has no numbers to check: there such a row is NaN.
    TypeError
        x is not of an integer dtype.
    ShapeError
        `weight` is not of two dimensions.
    ValueError
        `padding_idx` is out of range.

    Notes
    -----
    The gradient of a row is the sum over all its places: a scatter-add. On PyTorch and JAX, numbers
    on a GPU are copied to the host for the check, which waits for the GPU.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> table = xpnet.Parameter([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> F.embedding(F.asarray([2, 0]), table)
    Variable(array([[5., 6.],
           [1., 2.]], dtype=float32))
    """
    if not has_dtype(x, "integral"):
        raise ArgumentTypeError(f"embedding expected integers, got {x.dtype}.")
    if weight.ndim != 2:
        raise ShapeError(
            f"embedding expected weight of shape (rows, columns), got {tuple(weight.shape)}."
        )
    rows = weight.shape[0]
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise ArgumentError(
            f"embedding expected a padding_idx from {-rows} to {rows - 1}, got {padding_idx}."
        )
    if padding_idx is not None:
        padding_idx %= rows
    indices = data_of(x)
    are_checked = _require_rows(indices, rows)
    return Embedding(indices, padding_idx, are_checked)(weight)
