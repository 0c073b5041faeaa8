"""Containers: layers made of layers, one after another or beside a shortcut."""

from collections.abc import Iterable, MutableSequence, Sequence
from itertools import pairwise
from typing import Any

from xpnet import functions as F
from xpnet._typing import Array, Rng
from xpnet.errors import ArgumentTypeError, ShapeError
from xpnet.layers.activation import activation as activation_layer
from xpnet.layers.affine import Affine
from xpnet.layers.base import Layer
from xpnet.layers.initializers import Initializer
from xpnet.random import default_rng


class Sequential(Layer, MutableSequence[Any]):
    """One layer after another.

    Parameters
    ----------
    *layers : Layer

    Notes
    -----
    It is also a list of its layers: `model[0]`, `model.append(layer)`, `model.insert(0, layer)`;
    `model[:-1]` is a `Sequential` of the same layers, all but the last.

    Examples
    --------
    >>> from xpnet import ReLU
    >>> Sequential(Affine(784, 80), ReLU(), Affine(80, 10))
    Sequential(
      Affine(784 -> 80)
      ReLU()
      Affine(80 -> 10)
    )
    """

    def __init__(self, *layers: Layer) -> None:
        self.layers = self._checked(*layers)

    def forward(self, x: Array) -> Array:
        for layer in self.layers:
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Sequential(*self.layers[index])
        return self.layers[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice):
            self.layers[index] = self._checked(*value)
        else:
            self._checked(value)
            self.layers[index] = value

    def __delitem__(self, index: int | slice) -> None:
        del self.layers[index]

    def insert(self, index: int, value: Layer) -> None:
        """Put a layer before the one at `index`."""
        self.layers[index:index] = self._checked(value)

    def _checked(self, *layers: Layer) -> list[Layer]:
        for layer in layers:
            if not isinstance(layer, Layer):
                raise ArgumentTypeError(
                    f"{type(self).__name__} expected layers, got a {type(layer).__name__}; "
                    f"for a list, write {type(self).__name__}(*layers)."
                )
        return list(layers)

    def _shown_layers(self) -> list[str]:
        return [repr(layer) for layer in self.layers]


class Residual(Sequential):
    """y = f(x) + shortcut(x): f learns the difference between output and input.

    Parameters
    ----------
    *layers : Layer
        The layers of f, one after another.
    shortcut : Layer, optional
        A layer whose output has the shape of f(x); by default the shortcut is x itself.

    Raises
    ------
    ShapeError
        f(x) and shortcut(x) have different shapes: nothing broadcasts.

    Notes
    -----
    Source: He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016.

    Examples
    --------
    >>> from xpnet import ReLU
    >>> Residual(Affine(8, 8), ReLU(), Affine(8, 4), shortcut=Affine(8, 4, bias=False))
    Residual(
      Affine(8 -> 8)
      ReLU()
      Affine(8 -> 4)
      shortcut=Affine(8 -> 4, bias=False)
    )
    """

    def __init__(self, *layers: Layer, shortcut: Layer | None = None) -> None:
        super().__init__(*layers)
        if shortcut is not None and not isinstance(shortcut, Layer):
            raise ArgumentTypeError(f"Residual expected a layer as shortcut, got {shortcut!r}.")
        self.shortcut = shortcut

    def forward(self, x: Array) -> Array:
        y = super().forward(x)
        shortcut = x if self.shortcut is None else self.shortcut(x)
        if y.shape != shortcut.shape:
            what = "another shortcut="
            if self.shortcut is None:
                what = "shortcut="
            raise ShapeError(
                "Residual expected the outputs of its layers and of its shortcut to have one shape, "
                f"got {tuple(y.shape)} and {tuple(shortcut.shape)} for x of shape {tuple(x.shape)}. "
                f"Pass {what}, a layer whose output has shape {tuple(y.shape)}.\n{self!r}"
            )
        return F.add(y, shortcut)

    def _shown_layers(self) -> list[str]:
        layers = super()._shown_layers()
        if self.shortcut is not None:
            layers.append(f"shortcut={self.shortcut!r}")
        return layers


class MLP(Sequential):
    """A perceptron with any number of hidden layers: Affine, activation, ..., Affine.

    Parameters
    ----------
    in_features : int
    hidden : int or sequence of int
        The width of the hidden layer, or of each hidden layer; an empty sequence for none.
    out_features : int
        The number of scores. The last layer is affine, and its scores go into the loss.
    activation : {"relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "sigmoid", "tanh"}
    weight : str or callable, optional
        The initializer of the weights. By default Glorot's for sigmoid and tanh, which are almost
        linear near 0, and He's for the others, which resemble ReLU.
    rng : int, numpy.random.Generator or None
        The source of the initial weights; None: the generator of `xpnet.manual_seed`.

    Examples
    --------
    >>> MLP(784, [256, 128], 10)
    MLP(
      Affine(784 -> 256)
      ReLU()
      Affine(256 -> 128)
      ReLU()
      Affine(128 -> 10)
    )
    """

    def __init__(
        self,
        in_features: int,
        hidden: int | Sequence[int],
        out_features: int,
        activation: str = "relu",
        weight: str | Initializer | None = None,
        rng: Rng = None,
    ) -> None:
        if not isinstance(hidden, Iterable):
            hidden = [hidden]
        widths = [in_features, *hidden, out_features]
        rng = default_rng(rng)  # once, so that the layers draw in turn from one stream
        if not weight:
            weight = "glorot_normal" if activation in ("sigmoid", "tanh") else "he_normal"
        layers: list[Layer] = []
        for before, after in pairwise(widths):
            layers += [Affine(before, after, weight=weight, rng=rng), activation_layer(activation)]
        super().__init__(*layers[:-1])
