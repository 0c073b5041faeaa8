"""Affine: a learned matrix and a learned bias."""

from xpnet import functions as F
from xpnet._hints import Renamed
from xpnet._typing import Array, Rng
from xpnet.autodiff.variable import Parameter
from xpnet.layers._input_checks import misfit, require_dtype, require_whole
from xpnet.layers._repr import non_default
from xpnet.layers.base import Layer
from xpnet.layers.initializers import Initializer, initializer, zeros


class Affine(Layer):
    """y = x @ weight + bias: every output is a weighted sum of all inputs, plus a constant.

    PyTorch's Linear, Keras's Dense.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
        Whether the layer has a bias. It starts at zero.
    weight : str or callable
        The initial weight: the name of an initializer, or a function like those in
        `xpnet.layers.initializers`.
    rng : int, numpy.random.Generator or None
        The source of the initial weight; None: the generator of `xpnet.manual_seed`.

    Attributes
    ----------
    in_features, out_features : int
        As given.
    weight : Parameter, shape (in_features, out_features)
        The transpose of PyTorch's weight; `xpnet.saving.pytorch` converts between the two.
    bias : Parameter, shape (out_features,), or None

    Notes
    -----
    x : shape (..., in_features), at least two-dimensional; y : shape (..., out_features).

    Examples
    --------
    >>> import xpnet
    >>> Affine(3, 2)(xpnet.Variable([[1.0, 2.0, 3.0]])).shape
    (1, 2)
    """

    # Names from the lessons: reading or setting one raises an error that names the new one.
    W = Renamed("W", "layer.weight")
    b = Renamed("b", "layer.bias")
    dW = Renamed("dW", "layer.weight.grad")
    db = Renamed("db", "layer.bias.grad")

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        weight: str | Initializer = "he_normal",
        rng: Rng = None,
    ) -> None:
        require_whole(self, in_features=in_features, out_features=out_features)
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(initializer(weight)((in_features, out_features), rng))
        self.bias = Parameter(zeros((out_features,))) if bias else None

    def forward(self, x: Array) -> Array:
        shape: tuple[int, ...] = getattr(x, "shape", ())
        if len(shape) < 2 or shape[-1] != self.weight.shape[0]:
            raise misfit(self, x, ("batch", self.weight.shape[0]))
        if x.dtype is not self.weight.dtype:  # `is` is fast; require_dtype compares in full
            require_dtype(self, x, ("batch", self.weight.shape[0]), self.weight)
        return F.linear(x, self.weight, self.bias)

    def __repr__(self) -> str:
        bias = non_default(bias=(self.bias is not None, True))
        return f"Affine({self.in_features} -> {self.out_features}{bias})"
