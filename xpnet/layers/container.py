"""Layers made of layers."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from xpnet.initializers import Initializer
from xpnet.layers.activation import activation as activation_layer
from xpnet.layers.affine import Affine
from xpnet.layers.base import Layer
from xpnet.random import default_rng


class Sequential(Layer):
    """One layer after another.

    Parameters
    ----------
    *layers : Layer

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
        for layer in layers:
            if not isinstance(layer, Layer):
                raise TypeError(
                    f"Sequential expected layers, got a {type(layer).__name__}; "
                    "of a list, write Sequential(*layers)."
                )
        self.layers = list(layers)

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int) -> Layer:
        return self.layers[index]

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __repr__(self) -> str:
        lines = "".join(f"\n{layer!r}" for layer in self.layers).replace("\n", "\n  ")
        return f"{type(self).__name__}({lines}\n)"


class MLP(Sequential):
    """A perceptron with any number of hidden layers: Affine, activation, ..., Affine.

    Parameters
    ----------
    in_features : int
    hidden : int or sequence of int
        The width of the one hidden layer, or the width of each. Empty: no hidden layer.
    out_features : int
        The last layer is affine; its scores go into the loss.
    activation : {"relu", "sigmoid", "tanh"}
    weight : str or callable, optional
        The initializer of the weights; unless given, He for ReLU and Glorot for the others.
    rng : int, numpy.random.Generator or None
        Where the weights' numbers come from; None: the generator of `xpnet.manual_seed`.

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
        rng: Any = None,
    ) -> None:
        inner = hidden if isinstance(hidden, Iterable) else [hidden]
        widths = [in_features, *inner, out_features]
        rng = default_rng(rng)  # once: the layers draw in turn from one stream
        weight = weight or ("he_normal" if activation == "relu" else "glorot_normal")
        layers: list[Layer] = []
        for before, after in pairwise(widths):
            layers += [Affine(before, after, weight=weight, rng=rng), activation_layer(activation)]
        super().__init__(*layers[:-1])
