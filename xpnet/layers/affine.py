"""Affine: the layer that learns a matrix."""

from typing import Any

from xpnet import functions as F
from xpnet._hints import Renamed
from xpnet._typing import Array
from xpnet.autodiff.variable import Parameter
from xpnet.layers._input_checks import misfit, require_dtype, require_whole
from xpnet.layers.base import Layer, unusual
from xpnet.layers.initializers import Initializer, initializer, zeros


class Affine(Layer):
    """y = x @ W + b: every output a weighted sum of all inputs. PyTorch's Linear, Keras's Dense.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
        Whether there is a b.
    weight : str or callable
        How W begins: a name or a function of `xpnet.layers.initializers`. b begins with zeros.
    rng : int, numpy.random.Generator or None
        Where W's numbers come from; None: the generator of `xpnet.manual_seed`.

    Attributes
    ----------
    in_features, out_features : int
        As given.
    W : Parameter, shape (in_features, out_features)
        The transpose of PyTorch's weight.
    b : Parameter, shape (out_features,), or None

    Notes
    -----
    x : shape (..., in_features), at least two-dimensional; y : shape (..., out_features).
    """

    weight = Renamed("weight", "layer.W, the transpose of PyTorch's weight")
    bias = Renamed("bias", "layer.b")

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        weight: str | Initializer = "he_normal",
        rng: Any = None,
    ) -> None:
        require_whole(self, in_features=in_features, out_features=out_features)
        self.in_features = in_features
        self.out_features = out_features
        self.W = Parameter(initializer(weight)((in_features, out_features), rng))
        self.b = Parameter(zeros((out_features,))) if bias else None

    def forward(self, x: Array) -> Array:
        shape: tuple[int, ...] = getattr(x, "shape", ())
        if len(shape) < 2 or shape[-1] != self.W.shape[0]:
            raise misfit(self, x, ("batch", self.W.shape[0]))
        if x.dtype is not self.W.dtype:
            require_dtype(self, x, ("batch", self.W.shape[0]), self.W)
        return F.linear(x, self.W, self.b)

    def __repr__(self) -> str:
        bias = unusual(bias=(self.b is not None, True))
        return f"Affine({self.in_features} -> {self.out_features}{bias})"
