"""The Transformer's encoder: attention and a perceptron in turn, each beside a way around it."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import array_api_compat as compat

from xpnet import functions as F
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.errors import ArgumentError, ArgumentTypeError
from xpnet.layers._input_checks import require, require_floating
from xpnet.layers._repr import non_default
from xpnet.layers.affine import Affine
from xpnet.layers.attention import MultiheadAttention
from xpnet.layers.base import Layer
from xpnet.layers.dropout import Dropout
from xpnet.layers.normalization import LayerNorm
from xpnet.random import default_rng

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"relu": F.relu, "gelu": F.gelu}


class TransformerEncoderLayer(Layer):
    """Self-attention, then a perceptron of one hidden layer, each with a residual connection.

    Parameters
    ----------
    d_model : int
        Of inputs and outputs.
    nhead : int
        Heads of the attention; d_model must be a multiple.
    dim_feedforward : int
        Hidden units of the perceptron.
    dropout : float
        In training, the probability that a weight of the attention, a hidden unit, or a number that
        is added to the residual is left out.
    activation : {"relu", "gelu"}
        Of the hidden units.
    layer_norm_eps : float
    batch_first : bool
        Whether x is of shape (batch, length, d_model), else (length, batch, d_model), as in PyTorch.
    norm_first : bool
        Whether each of the two normalizes what it reads, else what it and the residual add up to.
        The former trains well without a warm-up of the learning rate.
    bias : bool
    rng : int, numpy.random.Generator or None
        Where the weights' numbers, and dropout's, come from; None: the generator of
        `xpnet.manual_seed`.

    Attributes
    ----------
    self_attn : MultiheadAttention
    linear1, linear2 : Affine
    norm1, norm2 : LayerNorm
        Names and shapes are PyTorch's, except that the weight of an Affine is the transpose.

    Notes
    -----
    x = norm1(x + attention(x)), x = norm2(x + perceptron(x)); with `norm_first`
    x = x + attention(norm1(x)), x = x + perceptron(norm2(x)).

    `y = layer(x, mask)`: mask and `is_causal` are those of `MultiheadAttention`.

    Source: Vaswani et al., "Attention is all you need", 2017, section 3.1; `norm_first`: Xiong et
    al., "On layer normalization in the Transformer architecture", 2020.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        rng: Any = None,
    ) -> None:
        if activation not in _ACTIVATIONS:
            known = " or ".join(map(repr, _ACTIVATIONS))
            raise ArgumentError(f"Unknown activation {activation!r}. Expected {known}.")
        given, rng = rng is not None, default_rng(rng)
        own = rng if given else None
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, rng=own
        )
        self.linear1 = Affine(d_model, dim_feedforward, bias, weight="glorot_uniform", rng=rng)
        self.dropout = Dropout(dropout, rng=own if dropout else None)
        self.linear2 = Affine(dim_feedforward, d_model, bias, weight="glorot_uniform", rng=rng)
        self.norm1 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias)
        self.norm2 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias)
        self.activation, self.norm_first = activation, norm_first

    def forward(self, x: Array, mask: Array | None = None, *, is_causal: bool = False) -> Array:
        batch_first, E = self.self_attn.batch_first, self.self_attn.embed_dim
        axes = ("batch", "length") if batch_first else ("length", "batch")
        require(self, x, (*axes, E), self.linear1.weight)
        if self.norm_first:
            x = F.add(x, self._attended(self.norm1(x), mask, is_causal))
            return F.add(x, self._computed(self.norm2(x)))
        x = self.norm1(F.add(x, self._attended(x, mask, is_causal)))
        return self.norm2(F.add(x, self._computed(x)))

    def _attended(self, x: Array, mask: Array, is_causal: bool) -> Any:
        return self.dropout(self.self_attn(x, x, x, mask, is_causal=is_causal))

    def _computed(self, x: Array) -> Any:
        hidden = _ACTIVATIONS[self.activation](self.linear1(x))
        return self.dropout(self.linear2(self.dropout(hidden)))

    def __repr__(self) -> str:
        attention = self.self_attn
        options = non_default(
            dropout=(self.dropout.p, 0.1),
            activation=(self.activation, "relu"),
            batch_first=(attention.batch_first, False),
            norm_first=(self.norm_first, False),
        )
        sizes = f"{attention.embed_dim}, nhead={attention.num_heads}"
        hidden = self.linear1.weight.shape[1]
        return f"TransformerEncoderLayer({sizes}, dim_feedforward={hidden}{options})"


class TransformerEncoder(Layer):
    """Encoder layers, one after the other, all with one mask.

    Parameters
    ----------
    layers : sequence of TransformerEncoderLayer
        Layers, not one to be copied: copies would begin with the same weights.
    norm : Layer, optional
        What comes after the last: with `norm_first`, a LayerNorm.

    Notes
    -----
    `y = encoder(x, mask)`: as of `TransformerEncoderLayer`. Parameters are called as in PyTorch,
    `layers.0.self_attn.in_proj_weight`.
    """

    def __init__(self, layers: Sequence[Layer], norm: Layer | None = None) -> None:
        if isinstance(layers, Layer):
            raise ArgumentTypeError(
                "TransformerEncoder expected a sequence of layers, got one; write "
                "[TransformerEncoderLayer(...) for _ in range(n)]."
            )
        self.layers, self.norm = list(layers), norm
        self.num_layers = len(self.layers)

    def forward(self, x: Array, mask: Array | None = None, *, is_causal: bool = False) -> Array:
        for layer in self.layers:
            x = layer(x, mask, is_causal=is_causal)
        return x if self.norm is None else self.norm(x)

    def _shown_layers(self) -> list[str]:
        return [repr(layer) for layer in (*self.layers, self.norm) if layer is not None]


class PositionalEncoding(Layer):
    """x plus a pattern of sines and cosines that tells the place in the sequence.

    Attention by itself does not see the order of its keys. Place p adds, to features 2 i and
    2 i + 1, sin(w p) and cos(w p) with w = 10000^(-2 i / d_model).

    Parameters
    ----------
    d_model : int
    dropout : float
        In training, the probability that a number of the sum is left out.
    batch_first : bool
        Whether x is of shape (batch, length, d_model), else (length, batch, d_model).
    rng : int, numpy.random.Generator or None
        Where dropout's numbers come from; None: the generator of `xpnet.manual_seed`.

    Notes
    -----
    Sequences may have any length, and there is nothing to learn or to save.

    Source: Vaswani et al., "Attention is all you need", 2017, section 3.5.
    """

    def __init__(
        self, d_model: int, dropout: float = 0.0, batch_first: bool = False, rng: Any = None
    ) -> None:
        if d_model < 1:
            raise ArgumentError(
                f"PositionalEncoding expected a d_model of 1 or more, got {d_model}."
            )
        self.d_model, self.batch_first = d_model, batch_first
        self.dropout = Dropout(dropout, rng=rng if dropout else None)

    def forward(self, x: Array) -> Array:
        axes = ("batch", "length") if self.batch_first else ("length", "batch")
        require(self, x, (*axes, self.d_model))
        require_floating(self, x, (*axes, self.d_model), "float32")
        pattern = self._pattern(data_of(x))
        y = x + (pattern if self.batch_first else pattern[:, None, :])
        return self.dropout(y) if self.dropout.p else y

    def _pattern(self, x: Array) -> Any:
        """Shape (length, d_model), of the dtype of x; computed in float32 at least."""
        xp, device = array_namespace(x), compat.device(x)
        dtype = xp.float64 if xp.finfo(x.dtype).bits > 32 else xp.float32
        length = x.shape[1 if self.batch_first else 0]
        places = xp.arange(length, dtype=dtype, device=device)
        even = xp.arange(0, self.d_model, 2, dtype=dtype, device=device)
        angles = places[:, None] * xp.exp(even * (-math.log(10000.0) / self.d_model))[None, :]
        pairs = xp.stack([xp.sin(angles), xp.cos(angles)], axis=2)
        pattern = xp.reshape(pairs, (length, 2 * even.shape[0]))[:, : self.d_model]
        return xp.astype(pattern, x.dtype)

    def __repr__(self) -> str:
        dropout = f", dropout={self.dropout.p}" if self.dropout.p else ""
        batch = ", batch_first=True" if self.batch_first else ""
        return f"PositionalEncoding({self.d_model}{dropout}{batch})"
