"""`linear`, the product that networks are made of, fused into one node of the tape."""

from typing import Any

from xpnet._typing import Array
from xpnet.autodiff.function import Function, call_of
from xpnet.autodiff.namespace import array_namespace
from xpnet.errors import ShapeError
from xpnet.functions.products import product, rows_of
from xpnet.kernels.lookup import kernel


class Linear(Function):
    """x @ W + b as one node: nothing is kept of the product, which no derivative needs."""

    def forward(self, x: Array, W: Array, b: Array) -> Array:
        if W.ndim != 2:
            raise ShapeError(
                "linear expected weight of shape (in_features, out_features), "
                f"got {tuple(W.shape)}."
            )
        y = product(x, W)
        if b is None:
            return y
        if type(b) is not type(y) or b.dtype != y.dtype or b.shape != W.shape[1:]:
            return array_namespace(y, b).add(y, b)
        y += b  # in place: nothing else refers to y
        return y

    def backward(self, gy: Array, x: Array, W: Array) -> Any:
        needs_x, needs_W, needs_b = self.needs
        gx = product(gy, W.T) if needs_x else None
        gW = product(rows_of(x).T, rows_of(gy)) if needs_W else None
        gb = self._of_bias(gy) if needs_b else None
        return gx, gW, gb

    def _of_bias(self, gy: Array) -> Array:
        """The gradient by b; if no kernel sums it over the batch, the tape does."""
        fast = kernel("column_sums", gy)
        if fast is None or call_of(self).parents[2].shape != gy.shape[-1:]:
            return gy
        return fast(gy)


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """The affine map y = x @ weight + bias: `matmul` and `add` fused into one node of the tape.

    Parameters
    ----------
    x : array or Variable, shape (..., in_features)
    weight : array or Variable, shape (in_features, out_features)
        The transpose of the weight of PyTorch's `linear`.
    bias : array or Variable, shape (out_features,), optional

    Returns
    -------
    array or Variable, shape (..., out_features)

    Notes
    -----
    With W = weight and b = bias: gx = gy @ W.T, gW = x.T @ gy, and gb is the sum of gy over the
    batch.
    """
    return Linear()(x, weight, bias)
