"""Layers made of layers."""

from collections.abc import Iterable, MutableSequence, Sequence
from itertools import pairwise
from typing import Any

from xpnet import functions as F
from xpnet._typing import Array
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
    It is a list of its layers too: `model[0]`, `model.append(layer)`, `model.insert(0, layer)`;
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
        found = self.layers[index]
        return Sequential(*found) if isinstance(found, list) else found

    def __setitem__(self, index: Any, value: Any) -> None:
        new = self._checked(*value if isinstance(index, slice) else (value,))
        self.layers[index] = new if isinstance(index, slice) else new[0]

    def __delitem__(self, index: Any) -> None:
        del self.layers[index]

    def insert(self, index: int, value: Layer) -> None:
        """Put a layer before the one at `index`."""
        self.layers[index:index] = self._checked(value)

    def _checked(self, *layers: Layer) -> list[Layer]:
        for layer in layers:
            if not isinstance(layer, Layer):
                raise ArgumentTypeError(
                    f"{type(self).__name__} expected layers, got a {type(layer).__name__}; "
                    f"of a list, write {type(self).__name__}(*layers)."
                )
        return list(layers)

    def _shown_layers(self) -> list[str]:
        return [repr(layer) for layer in self.layers]


class Residual(Sequential):
    """y = f(x) + shortcut(x): what is learned is the difference to what went in.

    Parameters
    ----------
    *layers : Layer
        f: one after another.
    shortcut : Layer, optional
        What makes x of the shape of f(x); unless given, x goes by as it is.

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
        by = x if self.shortcut is None else self.shortcut(x)
        if y.shape != by.shape:
            what = "shortcut=" if self.shortcut is None else "another shortcut="
            raise ShapeError(
                f"Residual expected its layers and its shortcut to give one shape, got "
                f"{tuple(y.shape)} and {tuple(by.shape)} of x of shape {tuple(x.shape)}. Give it "
                f"{what}, a layer that makes {tuple(y.shape)} of x.\n{self!r}"
            )
        return F.add(y, by)

    def _shown_layers(self) -> list[str]:
        by = [] if self.shortcut is None else [f"shortcut={self.shortcut!r}"]
        return [*super()._shown_layers(), *by]


class MLP(Sequential):
    """A perceptron with any number of hidden layers: Affine, activation, ..., Affine.

    Parameters
    ----------
    in_features : int
    hidden : int or sequence of int
        The width of the one hidden layer, or the width of each. Empty: no hidden layer.
    out_features : int
        The last layer is affine; its scores go into the loss.
    activation : {"relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "sigmoid", "tanh"}
    weight : str or callable, optional
        The initializer of the weights; unless given, Glorot for sigmoid and tanh, which are steepest
        in the middle, and He for the others, which are kin of ReLU.
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
        weight = weight or ("glorot_normal" if activation in ("sigmoid", "tanh") else "he_normal")
        layers: list[Layer] = []
        for before, after in pairwise(widths):
            layers += [Affine(before, after, weight=weight, rng=rng), activation_layer(activation)]
        super().__init__(*layers[:-1])
