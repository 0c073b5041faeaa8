"""Multi-head attention: several attentions side by side, each in a space of its own."""

from typing import Any

from xpnet import functions as F
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import Parameter
from xpnet.errors import ArgumentError, ShapeError
from xpnet.layers._input_checks import require, require_dtype, require_whole
from xpnet.layers._repr import non_default
from xpnet.layers.affine import Affine
from xpnet.layers.base import Layer
from xpnet.layers.dropout import Dropout
from xpnet.layers.initializers import glorot_uniform, zeros
from xpnet.random import default_rng


class MultiheadAttention(Layer):
    """Each query takes, in every head, a weighted mean of the values; PyTorch's layer of that name.

    Parameters
    ----------
    embed_dim : int
        Of queries and outputs: E below.
    num_heads : int
        Each works in E / num_heads dimensions; E must be a multiple.
    dropout : float
        In training, the probability that a weight is left out.
    bias : bool
        Whether the projections have biases.
    kdim, vdim : int, optional
        Of keys and values; unless given, `embed_dim`.
    batch_first : bool
        Whether arrays are of shape (batch, length, E), else (length, batch, E), as in PyTorch.
    rng : int, numpy.random.Generator or None
        Where the weights' numbers, and dropout's, come from; None: the generator of
        `xpnet.manual_seed`.

    Attributes
    ----------
    in_proj_weight : Parameter, shape (3 E, E)
        For queries, keys and values, one above the other. With other `kdim` or `vdim`, there are
        instead `q_proj_weight` (E, E), `k_proj_weight` (E, kdim) and `v_proj_weight` (E, vdim).
    in_proj_bias : Parameter, shape (3 E,), or None
    out_proj : Affine(E -> E)
        Names and shapes are PyTorch's but for its W and b.

    Notes
    -----
    `y = layer(query, key, value, mask)`, each by position. Without a value it is the key, without a
    key the query: `layer(x)` is self-attention, in one product for queries, keys and values.

    query, y : shape (length, batch, E);  key, value : shape (size, batch, kdim), (..., vdim)
    mask : what broadcasts to (batch, length, size), or to (batch, heads, length, size)
        Booleans, True where the query may look; or numbers to be added to the scores, as of
        `F.scaled_dot_product_attention`. Of padding, with True at the keys that are none:
        `mask[:, None, :]`. (PyTorch's layer, unlike its function, has True where it may not.) A
        query that may look at nothing gets the bias of `out_proj`, not nan.
    is_causal : bool, by name
        Query i may look at keys 0 to i alone, and where the mask lets it.
    softcap, window : by name
        As of `F.scaled_dot_product_attention`: a bound for scores, and how far a query looks.
    need_weights : bool, by name
        Return (y, weights), the latter before dropout, their mean over the heads, of shape
        (batch, length, size); with `average_attn_weights=False` (batch, heads, length, size).

    Source: Vaswani et al., "Attention is all you need", 2017, section 3.2.2.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        rng: Any = None,
    ) -> None:
        require_whole(self, embed_dim=embed_dim, num_heads=num_heads)
        if min(embed_dim, num_heads) < 1 or embed_dim % num_heads:
            raise ArgumentError(
                "MultiheadAttention expected an embed_dim that is a multiple of num_heads, got "
                f"{embed_dim} and {num_heads}."
            )
        self.embed_dim, self.num_heads, self.batch_first = embed_dim, num_heads, batch_first
        self.head_dim = embed_dim // num_heads
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        given, rng = rng is not None, default_rng(rng)
        self._joint = self.kdim == self.vdim == embed_dim
        if self._joint:
            self.in_proj_weight = Parameter(glorot_uniform((3 * embed_dim, embed_dim), rng))
        else:
            self.q_proj_weight = Parameter(glorot_uniform((embed_dim, embed_dim), rng))
            self.k_proj_weight = Parameter(glorot_uniform((embed_dim, self.kdim), rng))
            self.v_proj_weight = Parameter(glorot_uniform((embed_dim, self.vdim), rng))
        self.in_proj_bias = Parameter(zeros((3 * embed_dim,))) if bias else None
        self.out_proj = Affine(embed_dim, embed_dim, bias=bias, weight="glorot_uniform", rng=rng)
        self.dropout = dropout
        self.dropout_layer = Dropout(dropout, rng=rng if given and dropout else None)

    def forward(
        self,
        query: Array,
        key: Any = None,
        value: Any = None,
        mask: Array | None = None,
        *,
        is_causal: bool = False,
        softcap: float | None = None,
        window: int | tuple[int | None, int | None] | None = None,
        need_weights: bool = False,
        average_attn_weights: bool = True,
    ) -> Any:
        key = query if key is None else key
        value = key if value is None else value
        q, k, v = self._projected(query, key, value)
        weights = F.attention_weights(
            q, k, self._mask(mask), is_causal, softcap=softcap, window=window
        )
        dropped = self.dropout_layer(weights) if self.dropout else weights
        y = F.matmul(dropped, v)
        y = F.permute_dims(y, (0, 2, 1, 3) if self.batch_first else (2, 0, 1, 3))
        y = self.out_proj(F.reshape(y, (*y.shape[:2], self.embed_dim)))
        if not need_weights:
            return y
        return y, F.mean(weights, axis=1) if average_attn_weights else weights

    def _projected(self, query: Array, key: Any, value: Any) -> list[Any]:
        """Queries, keys and values of all heads, each of shape (batch, heads, length, E / heads)."""
        E, b = self.embed_dim, self.in_proj_bias
        batch, _ = self._sizes(query, "batch", "length", E)
        _, size = self._sizes(key, batch, "size", self.kdim)
        self._sizes(value, batch, size, self.vdim)
        if self._joint and query is key is value:
            qkv = _linear(query, self.in_proj_weight, b)
            qkv = F.reshape(qkv, (*qkv.shape[:2], 3, self.num_heads, self.head_dim))
            order = (2, 0, 3, 1, 4) if self.batch_first else (2, 1, 3, 0, 4)
            return list(F.unstack(F.permute_dims(qkv, order)))
        if self._joint:
            weights = [self.in_proj_weight[i * E : (i + 1) * E, :] for i in range(3)]
        else:
            weights = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        heads = []
        for i, (x, W) in enumerate(zip((query, key, value), weights, strict=True)):
            z = _linear(x, W, None if b is None else b[i * E : (i + 1) * E])
            z = F.reshape(z, (*z.shape[:2], self.num_heads, self.head_dim))
            heads.append(F.permute_dims(z, (0, 2, 1, 3) if self.batch_first else (1, 2, 0, 3)))
        return heads

    def _sizes(self, x: Array, batch: Any, length: Any, dim: int) -> Any:
        """(batch, length) of x, which has these sizes, or it is an error."""
        axes = (batch, length) if self.batch_first else (length, batch)
        require(self, x, (*axes, dim), self.out_proj.weight)
        return x.shape[:2] if self.batch_first else x.shape[1::-1]

    def _mask(self, mask: Array) -> Any:
        """With an axis for the heads, unless it has one or is the same for all samples."""
        if mask is None:
            return None
        if mask.dtype is not self.out_proj.weight.dtype and has_dtype(mask, "real floating"):
            require_dtype(self, mask, tuple(mask.shape), self.out_proj.weight, "a mask")
        if mask.ndim in (2, 4):
            return mask
        if mask.ndim != 3:
            raise ShapeError(
                f"{self!r} expected a mask of shape (length, size), (batch, length, size) or "
                f"(batch, heads, length, size), got {tuple(mask.shape)}."
            )
        return array_namespace(mask).expand_dims(mask, axis=1)

    def __repr__(self) -> str:
        options = non_default(
            dropout=(self.dropout, 0.0),
            bias=(self.in_proj_bias is not None, True),
            kdim=(self.kdim, self.embed_dim),
            vdim=(self.vdim, self.embed_dim),
            batch_first=(self.batch_first, False),
        )
        return f"MultiheadAttention({self.embed_dim}, num_heads={self.num_heads}{options})"


def _linear(x: Array, W: Array, b: Array) -> Any:
    return F.linear(x, F.matrix_transpose(W), b)
