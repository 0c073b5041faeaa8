"""The Transformer's encoder: attention and a perceptron in turn, each with a residual connection."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import array_api_compat as compat

from xpnet import functions as F
from xpnet._choices import choose
from xpnet._typing import Array, Rng
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.errors import ArgumentError, ArgumentTypeError
from xpnet.layers._input_checks import require, require_floating, sequence_axes
from xpnet.layers._repr import non_default
from xpnet.layers.affine import Affine
from xpnet.layers.attention import MultiheadAttention
from xpnet.layers.base import Layer
from xpnet.layers.dropout import inner_dropout
from xpnet.layers.normalization import LayerNorm
from xpnet.random import default_rng

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"relu": F.relu, "gelu": F.gelu}


class TransformerEncoderLayer(Layer):
    """Self-attention, then a perceptron of one hidden layer, each with a residual connection.

    Parameters
    ----------
    d_model : int
        The size of inputs and outputs.
    nhead : int
        The number of heads of the attention; d_model must be a multiple of it.
    dim_feedforward : int
        The number of hidden units of the perceptron.
    dropout : float
        In training, the probability that a weight of the attention, a hidden unit, or a number that
        is added to the residual is left out.
    activation : {"relu", "gelu"}
        The activation of the hidden units.
    layer_norm_eps : float
        `eps` of both LayerNorms.
    batch_first : bool
        Whether x is of shape (batch, length, d_model), else (length, batch, d_model), as in PyTorch.
    norm_first : bool
        Whether attention and perceptron normalize their inputs. If False, the sum of each output and
        the residual is normalized. With True, training needs no warm-up of the learning rate.
    bias : bool
        Whether the attention, the perceptron and the LayerNorms have biases.
    rng : int, numpy.random.Generator or None
        The source of the initial weights and of dropout's masks; None: the generator of
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

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> layer = xpnet.TransformerEncoderLayer(16, 4, 64, rng=0)
    >>> layer(F.ones((2, 5, 16))).shape
    (2, 5, 16)
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
        *,
        rng: Rng = None,
    ) -> None:
        choose("activation", activation, _ACTIVATIONS)  # an error now, not at the first call
        has_own_rng = rng is not None  # else there is no generator to save with the layer
        rng = default_rng(rng)
        own = rng if has_own_rng else None
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, rng=own
        )
        self.linear1 = Affine(d_model, dim_feedforward, bias, weight="glorot_uniform", rng=rng)
        self.dropout = inner_dropout(dropout, own)
        self.linear2 = Affine(dim_feedforward, d_model, bias, weight="glorot_uniform", rng=rng)
        self.norm1 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias)
        self.norm2 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias)
        self.activation = activation
        self.norm_first = norm_first

    def forward(self, x: Array, mask: Array | None = None, *, is_causal: bool = False) -> Array:
        axes = sequence_axes(self.self_attn.batch_first)
        require(self, x, (*axes, self.self_attn.embed_dim), self.linear1.weight)
        if self.norm_first:
            x = F.add(x, self._attended(self.norm1(x), mask, is_causal))
            return F.add(x, self._perceptron(self.norm2(x)))
        x = self.norm1(F.add(x, self._attended(x, mask, is_causal)))
        return self.norm2(F.add(x, self._perceptron(x)))

    def _attended(self, x: Array, mask: Array | None, is_causal: bool) -> Array:
        return self.dropout(self.self_attn(x, x, x, mask, is_causal=is_causal))

    def _perceptron(self, x: Array) -> Array:
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
    """Encoder layers one after the other, all with the same mask.

    Parameters
    ----------
    layers : sequence of TransformerEncoderLayer
        Separate layers; copies of one would start with the same weights.
    norm : Layer, optional
        A layer after the last one: with `norm_first`, a LayerNorm.

    Notes
    -----
    `y = encoder(x, mask)`: as for `TransformerEncoderLayer`. The names of parameters are PyTorch's,
    `layers.0.self_attn.in_proj_weight`.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> layers = [xpnet.TransformerEncoderLayer(16, 4, 64, rng=i) for i in range(2)]
    >>> layer = xpnet.TransformerEncoder(layers)
    >>> layer(F.ones((2, 5, 16))).shape
    (2, 5, 16)
    """

    def __init__(self, layers: Sequence[Layer], norm: Layer | None = None) -> None:
        if isinstance(layers, Layer):
            raise ArgumentTypeError(
                "TransformerEncoder expected a sequence of layers, got one; write "
                "[TransformerEncoderLayer(...) for _ in range(n)]."
            )
        self.layers = list(layers)
        self.norm = norm
        self.num_layers = len(self.layers)

    def forward(self, x: Array, mask: Array | None = None, *, is_causal: bool = False) -> Array:
        for layer in self.layers:
            x = layer(x, mask, is_causal=is_causal)
        if self.norm is not None:
            x = self.norm(x)
        return x

    def _shown_layers(self) -> list[str]:
        return [repr(layer) for layer in (*self.layers, self.norm) if layer is not None]


class PositionalEncoding(Layer):
    """x plus a pattern of sines and cosines that depends on the place in the sequence.

    Attention by itself does not depend on the order of its keys. At place p, sin(w p) is added to
    feature 2 i, and cos(w p) to feature 2 i + 1, with w = 10000^(-2 i / d_model).

    Parameters
    ----------
    d_model : int
        The number of features.
    dropout : float
        In training, the probability that a number of the sum is left out.
    batch_first : bool
        Whether x is of shape (batch, length, d_model), else (length, batch, d_model).
    rng : int, numpy.random.Generator or None
        The source of dropout's masks; None: the generator of `xpnet.manual_seed`.

    Notes
    -----
    Sequences may have any length. There are no parameters, and there is nothing to save.

    Source: Vaswani et al., "Attention is all you need", 2017, section 3.5.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> layer = xpnet.PositionalEncoding(16)
    >>> layer(F.ones((2, 5, 16))).shape
    (2, 5, 16)
    """

    def __init__(
        self, d_model: int, dropout: float = 0.0, batch_first: bool = False, *, rng: Rng = None
    ) -> None:
        if d_model < 1:
            raise ArgumentError(
                f"PositionalEncoding expected a d_model of 1 or more, got {d_model}."
            )
        self.d_model = d_model
        self.batch_first = batch_first
        self.dropout = inner_dropout(dropout, rng)

    def forward(self, x: Array) -> Array:
        axes = sequence_axes(self.batch_first)
        require(self, x, (*axes, self.d_model))
        require_floating(self, x, (*axes, self.d_model), "float32")
        pattern = self._pattern(data_of(x))
        if not self.batch_first:
            pattern = pattern[:, None, :]
        y = x + pattern
        if self.dropout.p:
            y = self.dropout(y)
        return y

    def _pattern(self, x: Array) -> Array:
        """Shape (length, d_model), of the dtype of x; computed in float32 at least."""
        xp = array_namespace(x)
        device = compat.device(x)
        dtype = xp.float64 if xp.finfo(x.dtype).bits > 32 else xp.float32
        length = x.shape[1 if self.batch_first else 0]
        places = xp.arange(length, dtype=dtype, device=device)
        even = xp.arange(0, self.d_model, 2, dtype=dtype, device=device)
        angles = places[:, None] * xp.exp(even * (-math.log(10000.0) / self.d_model))[None, :]
        pairs = xp.stack([xp.sin(angles), xp.cos(angles)], axis=2)
        pattern = xp.reshape(pairs, (length, 2 * even.shape[0]))[:, : self.d_model]
        return xp.astype(pattern, x.dtype)

    def __repr__(self) -> str:
        options = non_default(dropout=(self.dropout.p, 0.0), batch_first=(self.batch_first, False))
        return f"PositionalEncoding({self.d_model}{options})"
