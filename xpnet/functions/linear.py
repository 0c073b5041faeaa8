"""`linear`, the product that networks are made of, fused into one node of the tape."""

from xpnet._typing import Array
from xpnet.autodiff.function import Function, call_of
from xpnet.autodiff.namespace import array_namespace
from xpnet.errors import ShapeError
from xpnet.functions.products import product, rows_of
from xpnet.kernels.lookup import kernel


class Linear(Function):
    """x @ weight + bias as one node: no derivative needs the product, so it is not saved."""

    def forward(self, x: Array, weight: Array, bias: Array | None) -> Array:
        if weight.ndim != 2:
            raise ShapeError(
                "linear expected weight of shape (in_features, out_features), "
                f"got {tuple(weight.shape)}."
            )
        y = product(x, weight)
        if bias is None:
            return y
        if type(bias) is not type(y) or bias.dtype != y.dtype or bias.shape != weight.shape[1:]:
            return array_namespace(y, bias).add(y, bias)
        y += bias  # in place, because nothing else refers to y
        return y

    def backward(
        self, gy: Array, x: Array, weight: Array
    ) -> tuple[Array | None, Array | None, Array | None]:
        needs_x, needs_weight, needs_bias = self.needs
        gx = product(gy, weight.T) if needs_x else None
        g_weight = product(rows_of(x).T, rows_of(gy)) if needs_weight else None
        g_bias = self._of_bias(gy) if needs_bias else None
        return gx, g_weight, g_bias

    def _of_bias(self, gy: Array) -> Array:
        """The gradient with respect to the bias; where no kernel sums over the batch, the tape does."""
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
    With W = weight, b = bias, and x and gy as matrices with one row per sample: gx = gy @ W.T,
    gW = x.T @ gy, and gb is the sum of gy over the rows.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> F.linear(xpnet.Variable([[1.0, 2.0]]), F.asarray([[1.0], [10.0]]), F.asarray([0.5]))
    Variable(array([[21.5]], dtype=float32))
    """
    return Linear()(x, weight, bias)
