"""Multi-head attention: several attentions side by side, each with its own projections."""

from typing import Any

from xpnet import functions as F
from xpnet._typing import Array, Rng
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import Parameter
from xpnet.errors import ArgumentError, ShapeError
from xpnet.layers._input_checks import require, require_dtype, require_whole
from xpnet.layers._repr import non_default
from xpnet.layers.affine import Affine
from xpnet.layers.base import Layer
from xpnet.layers.dropout import inner_dropout
from xpnet.layers.initializers import glorot_uniform, zeros
from xpnet.random import default_rng


class MultiheadAttention(Layer):
    """For each query, a weighted mean of the values, in each of several heads. As in PyTorch.

    A head computes softmax(q k^T / sqrt(E / num_heads)) v, where q, k and v are its own projections of
    query, key and value. `out_proj` then mixes the heads.

    Parameters
    ----------
    embed_dim : int
        The size of queries and outputs: E below.
    num_heads : int
        Each head works in E / num_heads dimensions; E must be a multiple of num_heads.
    dropout : float
        In training, the probability that a weight is left out.
    bias : bool
        Whether the projections have biases.
    kdim, vdim : int, optional
        The sizes of keys and of values; by default `embed_dim`.
    batch_first : bool
        Whether arrays are of shape (batch, length, E), else (length, batch, E), as in PyTorch.
    rng : int, numpy.random.Generator or None
        The source of the initial weights and of dropout's masks; None: the generator of
        `xpnet.manual_seed`.

    Attributes
    ----------
    in_proj_weight : Parameter, shape (3 E, E)
        The matrices for queries, keys and values, one above the other. With another `kdim` or
        `vdim` there are `q_proj_weight` (E, E), `k_proj_weight` (E, kdim) and `v_proj_weight` (E, vdim)
        instead.
    in_proj_bias : Parameter, shape (3 E,), or None
    out_proj : Affine(E -> E)
        Names and shapes are PyTorch's, except that the weight of an Affine is the transpose.

    Notes
    -----
    `y = layer(query, key, value, mask)`, each by position. By default the value is the key, and the
    key is the query: `layer(x)` is self-attention, with one product for queries, keys and values.

    query, y : shape (length, batch, E);  key, value : shape (size, batch, kdim), (..., vdim)
    mask : array that broadcasts to (batch, length, size), or to (batch, heads, length, size)
        Booleans, True where a query may attend to a key; or numbers that are added to the scores, as
        in `F.scaled_dot_product_attention`. For `valid`, of shape (batch, size) and False at padding,
        pass `valid[:, None, :]`. (In PyTorch's layer, unlike in its function, True means that a
        query may not attend.) For a query that may attend to no key, y is the bias of `out_proj`,
        not NaN.
    is_causal : bool, by name
        Query i attends to keys 0 to i only, where the mask allows it.
    softcap, window : by name
        As for `F.scaled_dot_product_attention`: a bound for the scores, and how far a query sees.
    need_weights : bool, by name
        Whether to return (y, weights). The weights are those before dropout, averaged over the
        heads, of shape (batch, length, size).
    average_attn_weights : bool, by name
        If False, the weights are those of each head, of shape (batch, heads, length, size).

    Source: Vaswani et al., "Attention is all you need", 2017, section 3.2.2.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> layer = xpnet.MultiheadAttention(16, 4, rng=0)
    >>> x = F.ones((2, 5, 16))
    >>> layer(x, x, x, is_causal=True).shape
    (2, 5, 16)
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        rng: Rng = None,
    ) -> None:
        require_whole(self, embed_dim=embed_dim, num_heads=num_heads)
        if min(embed_dim, num_heads) < 1 or embed_dim % num_heads:
            raise ArgumentError(
                "MultiheadAttention expected an embed_dim that is a multiple of num_heads, got "
                f"{embed_dim} and {num_heads}."
            )
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.kdim = kdim or embed_dim
        self.vdim = vdim or embed_dim
        self.batch_first = batch_first
        has_own_rng = rng is not None  # else there is no generator to save with the layer
        rng = default_rng(rng)
        self._joint = self.kdim == self.vdim == embed_dim  # then one parameter has all projections
        if self._joint:
            self.in_proj_weight = Parameter(glorot_uniform((3 * embed_dim, embed_dim), rng))
        else:
            self.q_proj_weight = Parameter(glorot_uniform((embed_dim, embed_dim), rng))
            self.k_proj_weight = Parameter(glorot_uniform((embed_dim, self.kdim), rng))
            self.v_proj_weight = Parameter(glorot_uniform((embed_dim, self.vdim), rng))
        self.in_proj_bias = Parameter(zeros((3 * embed_dim,))) if bias else None
        self.out_proj = Affine(embed_dim, embed_dim, bias=bias, weight="glorot_uniform", rng=rng)
        self.dropout = dropout
        self.dropout_layer = inner_dropout(dropout, rng if has_own_rng else None)

    def forward(
        self,
        query: Array,
        key: Array | None = None,
        value: Array | None = None,
        mask: Array | None = None,
        *,
        is_causal: bool = False,
        softcap: float | None = None,
        window: int | tuple[int | None, int | None] | None = None,
        need_weights: bool = False,
        average_attn_weights: bool = True,
    ) -> Any:
        if key is None:
            key = query
        if value is None:
            value = key
        q, k, v = self._projected(query, key, value)
        weights = F.attention_weights(
            q, k, self._mask(mask), is_causal, softcap=softcap, window=window
        )
        dropped = self.dropout_layer(weights) if self.dropout else weights
        y = F.matmul(dropped, v)
        # From (batch, heads, length, E / heads) to the layout of the inputs, heads side by side.
        y = F.permute_dims(y, (0, 2, 1, 3) if self.batch_first else (2, 0, 1, 3))
        y = self.out_proj(F.reshape(y, (*y.shape[:2], self.embed_dim)))
        if not need_weights:
            return y
        if average_attn_weights:
            weights = F.mean(weights, axis=1)
        return y, weights

    def _projected(self, query: Array, key: Array, value: Array) -> list[Array]:
        """Queries, keys and values of all heads, each of shape (batch, heads, length, E / heads)."""
        batch, _ = self._checked_sizes(query, "batch", "length", self.embed_dim)
        _, size = self._checked_sizes(key, batch, "size", self.kdim)
        self._checked_sizes(value, batch, size, self.vdim)
        if self._joint and query is key is value:
            return self._projected_together(query)
        E = self.embed_dim
        rows = [slice(i * E, (i + 1) * E) for i in range(3)]  # of queries, of keys, of values
        if self._joint:
            weights = [self.in_proj_weight[r, :] for r in rows]
        else:
            weights = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        biases = [None, None, None]
        if self.in_proj_bias is not None:
            biases = [self.in_proj_bias[r] for r in rows]
        order = (0, 2, 1, 3) if self.batch_first else (1, 2, 0, 3)  # to (batch, heads, length, ...)
        heads = []
        for x, weight, bias in zip((query, key, value), weights, biases, strict=True):
            z = _linear(x, weight, bias)
            z = F.reshape(z, (*z.shape[:2], self.num_heads, self.head_dim))
            heads.append(F.permute_dims(z, order))
        return heads

    def _projected_together(self, x: Array) -> list[Array]:
        """`_projected` for self-attention: one product instead of three."""
        qkv = _linear(x, self.in_proj_weight, self.in_proj_bias)
        qkv = F.reshape(qkv, (*qkv.shape[:2], 3, self.num_heads, self.head_dim))
        # To (3, batch, heads, length, E / heads), which is unstacked into queries, keys and values.
        order = (2, 0, 3, 1, 4) if self.batch_first else (2, 1, 3, 0, 4)
        return list(F.unstack(F.permute_dims(qkv, order)))

    def _checked_sizes(
        self, x: Array, batch: int | str, length: int | str, dim: int
    ) -> tuple[int, int]:
        """(batch, length) of x; an error if x does not have these sizes."""
        if self.batch_first:
            require(self, x, (batch, length, dim), self.out_proj.weight)
            return x.shape[0], x.shape[1]
        require(self, x, (length, batch, dim), self.out_proj.weight)
        return x.shape[1], x.shape[0]

    def _mask(self, mask: Array | None) -> Array | None:
        """The mask with an axis for the heads, unless it has one or is the same for all samples."""
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


def _linear(x: Array, weight: Array, bias: Array | None) -> Array:
    """`F.linear` with a weight in PyTorch's layout, (out, in)."""
    return F.linear(x, F.matrix_transpose(weight), bias)
