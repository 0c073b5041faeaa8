"""Attention: for each query a mean of the values, weighted by the query's match to the keys.

Shapes: there are L queries and S keys, of E numbers each, and S values of V numbers each.
"""

import math
from numbers import Integral
from typing import Any

import array_api_compat as compat

from xpnet._libraries.devices import follows
from xpnet._typing import Array, Rng
from xpnet.autodiff._half_precision import in_full
from xpnet.autodiff._messages import named
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.errors import ArgumentError, ArgumentTypeError, ShapeError
from xpnet.functions._in_float32 import as_number, cast_like
from xpnet.functions._shapes import broadcasts_to
from xpnet.functions.activation import Softmax
from xpnet.functions.dropout import dropout

Neighbourhood = int | tuple[int | None, int | None] | None
"""How many keys around its own place a query may attend to: see `scaled_dot_product_attention`."""


class MaskedSoftmax(Softmax):
    """Softmax over an axis; where all scores are -inf, or the axis is empty, it is 0.

    The derivative is that of softmax: a score of -inf has no gradient.
    """

    def forward(self, x: Array) -> Array:
        if x.shape[self.axis] == 0:
            return x
        xp = array_namespace(x)
        highest = xp.max(x, axis=self.axis, keepdims=True)
        e = xp.exp(x - xp.where(highest == -math.inf, 0.0, highest))
        total = xp.sum(e, axis=self.axis, keepdims=True)  # 0 where all scores are -inf, else >= 1
        return e / xp.maximum(total, 1.0)


@named
@follows
def attention_weights(
    query: Array,
    key: Array,
    attn_mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    *,
    softcap: float | None = None,
    window: Neighbourhood = None,
) -> Array:
    """softmax(scale q k^T) over the keys: the weight of each key for each query.

    Parameters
    ----------
    query : array or Variable, shape (..., L, E)
    key : array or Variable, shape (..., S, E)
    attn_mask, is_causal, scale, softcap, window
        As for `scaled_dot_product_attention`.

    Returns
    -------
    array or Variable, shape (..., L, S)
        Each row sums to 1, or is 0 for a query that may attend to no key.

    Raises
    ------
    ShapeError
        Queries and keys differ in E, or one has fewer than two axes; or the mask does not broadcast.
    TypeError
        The mask is neither of booleans nor of floating-point numbers.
    ValueError
        The softcap is not positive, or the window is not a number of keys.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> q = F.ones((1, 2, 4))
    >>> F.attention_weights(q, q, is_causal=True)
    Variable(array([[[1. , 0. ],
            [0.5, 0.5]]], dtype=float32))
    """
    if min(query.ndim, key.ndim) < 2 or query.shape[-1] != key.shape[-1]:
        raise ShapeError(
            "Attention expected a query of shape (..., L, E) and a key of shape (..., S, E), got "
            f"{tuple(query.shape)} and {tuple(key.shape)}."
        )
    xp = array_namespace(query, key)
    if scale is None:
        scale = 1.0 / math.sqrt(max(query.shape[-1], 1))
    scores = xp.matmul(query * scale, xp.matrix_transpose(key))
    if softcap is not None:
        cap = as_number(softcap)
        if not cap > 0.0:
            raise ArgumentError(f"Attention expected a positive softcap, got {softcap!r}.")
        scores = cap * xp.tanh(scores / cap)
    if attn_mask is not None:
        scores = _masked(scores, attn_mask)
    before, after = _window_limits(window)
    if is_causal:
        after = 0
    if before is not None or after is not None:
        within = _band(query, key, before, after)
        scores = xp.where(within, scores, -math.inf)
    return cast_like(MaskedSoftmax(-1)(in_full(scores)), scores)


def _window_limits(window: Neighbourhood) -> tuple[int | None, int | None]:
    """How many keys before and after its own place a query may attend to; None: all of them."""
    limits: tuple[Any, ...] = window if isinstance(window, tuple) else (window, window)
    if len(limits) != 2 or not all(map(_is_limit, limits)):
        raise ArgumentError(
            "Attention expected a window of a number of keys, 0 or more, or of two such numbers, "
            f"before and after the query's place, got {window!r}."
        )
    before, after = (None if n is None else int(n) for n in limits)
    return before, after


def _is_limit(n: Any) -> bool:
    return n is None or (isinstance(n, Integral) and int(n) >= 0)


def _band(query: Array, key: Array, before: int | None, after: int | None) -> Array:
    """Booleans of shape (L, S): True where a query may attend to a key.

    For query i these are the keys from i - before to i + after; None means no limit.
    """
    xp = array_namespace(query, key)
    shape = (query.shape[-2], key.shape[-2])
    within = xp.ones(shape, dtype=xp.bool, device=compat.device(query))
    if after is not None:
        within = xp.tril(within, k=after)
    if before is not None:
        within = xp.triu(within, k=-before)
    return within


def _masked(scores: Array, mask: Array) -> Array:
    """The scores with -inf where a boolean mask is False, or with the mask's numbers added."""
    if not broadcasts_to(mask.shape, scores.shape):
        raise ShapeError(
            "Attention expected a mask that broadcasts to the scores, of shape (..., L, S) = "
            f"{tuple(scores.shape)}, got {tuple(mask.shape)}."
        )
    if has_dtype(mask, "bool"):
        return array_namespace(scores, mask).where(mask, scores, -math.inf)
    if not has_dtype(mask, "real floating"):
        raise ArgumentTypeError(
            "Attention expected a mask of booleans (True: attend) or of floating-point numbers (to "
            f"be added to the scores), got {mask.dtype}."
        )
    return scores + array_namespace(scores, mask).astype(mask, scores.dtype)


@named
@follows
def scaled_dot_product_attention(
    query: Array,
    key: Array,
    value: Array,
    attn_mask: Array | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    softcap: float | None = None,
    window: Neighbourhood = None,
    rng: Rng = None,
) -> Array:
    """softmax(q k^T / sqrt(E)) v: for each query, a mean of the values, weighted by the keys.

    Parameters
    ----------
    query : array or Variable, shape (..., L, E)
    key : array or Variable, shape (..., S, E)
    value : array or Variable, shape (..., S, V)
        The axes before the last two (batch, heads) broadcast.
    attn_mask : array or Variable that broadcasts to (..., L, S), optional
        Booleans: True where the query may attend to the key. Or numbers to be added to the scores:
        0 where it may, -inf where it may not.
    dropout_p : float
        The probability that a weight is set to 0. It is for training: the function does not know
        whether the model is in training, so pass 0 in evaluation.
    is_causal : bool
        Query i may attend only to keys 0 to i; with a mask, only where the mask allows it too.
    scale : float, optional
        The factor of the scores; by default, 1 / sqrt(E).
    softcap : float, optional
        Scores s become softcap tanh(s / softcap), before any mask, which limits them to the range
        from -softcap to softcap.
    window : int or (int or None, int or None), optional
        Query i may attend only to keys i - before to i + after: one number for both, or
        (before, after), where None means no limit. (before, 0) is causal.
    rng : int, numpy.random.Generator, xpnet.random.DeviceGenerator or None
        The source of dropout's random numbers; None: the generator of `xpnet.manual_seed`.

    Returns
    -------
    array or Variable, shape (..., L, V)
        For a query that may attend to no key, the result and its gradient are zeros; PyTorch's
        function of this name returns NaN there in some of its implementations.

    Raises
    ------
    ShapeError
        The shapes do not fit; the message names them.
    TypeError
        The mask is neither of booleans nor of floating-point numbers.
    ValueError
        The softcap is not positive, or the window is not a number of keys.

    Notes
    -----
    Parameters are PyTorch's, except `softcap` and `window`; in PyTorch, a mask and `is_causal`
    exclude each other. Masked keys and values have no influence as long as they are finite: 0 times
    NaN is NaN.

    Sources: Vaswani et al., "Attention is all you need", 2017, eq. 1; the softcap: Gemma Team,
    "Gemma 2: improving open language models at a practical size", 2024, section 2; the window:
    Beltagy, Peters and Cohan, "Longformer: the long-document transformer", 2020.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> q = F.ones((2, 5, 16))
    >>> F.scaled_dot_product_attention(q, q, q, is_causal=True).shape
    (2, 5, 16)
    """
    if value.ndim < 2 or value.shape[-2] != key.shape[-2]:
        raise ShapeError(
            "Attention expected as many values as keys, of shapes (..., S, V) and (..., S, E), got "
            f"{tuple(value.shape)} and {tuple(key.shape)}."
        )
    weights = attention_weights(
        query, key, attn_mask, is_causal, scale, softcap=softcap, window=window
    )
    if dropout_p:
        weights = dropout(weights, dropout_p, rng=rng)
    return array_namespace(weights, value).matmul(weights, value)
