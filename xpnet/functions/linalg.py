"""Matrix products, and `linear`, the one that networks are made of."""

import math
from typing import Any

from xpnet.autodiff import Function
from xpnet.functions.declare import standard
from xpnet.namespace import array_namespace


class MatrixTranspose(Function):
    def forward(self, x: Any) -> Any:
        return array_namespace(x).matrix_transpose(x)

    def backward(self, gy: Any) -> Any:
        return array_namespace(gy).matrix_transpose(gy)


class Matmul(Function):
    """Stacks of matrices too; a vector on either side is a matrix of one row, or one column."""

    def forward(self, x1: Any, x2: Any) -> Any:
        return array_namespace(x1, x2).matmul(x1, x2)

    def backward(self, gy: Any, x1: Any, x2: Any) -> Any:
        xp = array_namespace(gy)
        gx1 = gx2 = None
        row, column = x1.ndim == 1, x2.ndim == 1
        if column:
            gy, x2 = xp.expand_dims(gy, axis=-1), xp.expand_dims(x2, axis=-1)
        if row:
            gy, x1 = xp.expand_dims(gy, axis=-2), xp.expand_dims(x1, axis=-2)
        if self.needs[0]:
            gx1 = xp.matmul(gy, xp.matrix_transpose(x2))
            gx1 = _sum_stack(gx1)[0, :] if row else gx1
        if self.needs[1]:
            gx2 = xp.matmul(xp.matrix_transpose(x1), gy)
            gx2 = _sum_stack(gx2)[:, 0] if column else gx2
        return gx1, gx2


def _sum_stack(x: Any) -> Any:
    """The sum of a stack of matrices: a vector that met each of them had its share in each."""
    return array_namespace(x).sum(x, axis=tuple(range(x.ndim - 2))) if x.ndim > 2 else x


class Linear(Function):
    """x @ W + b as one node: nothing is kept of the product, which no derivative needs."""

    def forward(self, x: Any, W: Any, b: Any) -> Any:
        y = array_namespace(x, W, b).matmul(x, W)
        return y if b is None else y + b

    def backward(self, gy: Any, x: Any, W: Any) -> Any:
        xp = array_namespace(gy)
        gx = xp.matmul(gy, W.T) if self.needs[0] else None
        gW = xp.matmul(_rows(x).T, _rows(gy)) if self.needs[1] else None
        return gx, gW, gy


def _rows(x: Any) -> Any:
    """x of any number of dimensions as a matrix, its last axis kept."""
    return (
        x if x.ndim == 2 else array_namespace(x).reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))
    )


@standard
def matrix_transpose(x: Any, /) -> Any:
    """The last two axes of x exchanged."""
    return MatrixTranspose()(x)


@standard
def matmul(x1: Any, x2: Any, /) -> Any:
    """The matrix product x1 @ x2.

    Parameters
    ----------
    x1 : array or Variable, shape (..., m, k) or (k,)
    x2 : array or Variable, shape (..., k, n) or (k,)
    """
    return Matmul()(x1, x2)


def linear(x: Any, W: Any, b: Any = None) -> Any:
    """The affine map y = x @ W + b: `matmul` and `add` fused into one node of the tape.

    Parameters
    ----------
    x : array or Variable, shape (..., in_features)
    W : array or Variable, shape (in_features, out_features)
    b : array or Variable, shape (out_features,), optional

    Returns
    -------
    array or Variable, shape (..., out_features)

    Notes
    -----
    gx = gy @ W.T,  gW = x.T @ gy,  gb = the sum of gy over the batch.
    """
    return Linear()(x, W, b)


def linear_simple(x: Any, W: Any, b: Any = None) -> Any:
    """`linear`, composed: the text that teaches the fused one, and that tests it."""
    y = matmul(x, W)
    return y if b is None else y + b
