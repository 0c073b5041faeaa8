"""Attention: every query takes a weighted mean of the values, with weights by likeness to the keys."""

import math
from numbers import Integral
from typing import Any

import array_api_compat as compat

from xpnet._libraries.devices import follows
from xpnet._typing import Array
from xpnet.autodiff._half_precision import in_full
from xpnet.autodiff._messages import named
from xpnet.autodiff.function import Function
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.errors import ArgumentError, ArgumentTypeError, ShapeError
from xpnet.functions._in_float32 import like, number
from xpnet.functions._masks import product_where_not_zero
from xpnet.functions.dropout import dropout


class Shares(Function):
    """Softmax over the last axis; where all scores are -inf, or there are none, all shares are 0.

    The rule is softmax's: what has no share has no gradient.
    """

    def forward(self, x: Array) -> Array:
        if x.shape[-1] == 0:
            return x
        xp = array_namespace(x)
        highest = xp.max(x, axis=-1, keepdims=True)
        e = xp.exp(x - xp.where(highest == -math.inf, 0.0, highest))
        return e / xp.maximum(xp.sum(e, axis=-1, keepdims=True), 1.0)  # 1 or more, or 0

    def backward(self, gy: Array, y: Array) -> Array:
        gy_y = product_where_not_zero(gy, y)
        return gy_y - y * array_namespace(gy).sum(gy_y, axis=-1, keepdims=True)


@named
@follows
def attention_weights(
    query: Array,
    key: Any,
    attn_mask: Any = None,
    is_causal: bool = False,
    scale: float | None = None,
    *,
    softcap: float | None = None,
    window: int | tuple[int | None, int | None] | None = None,
) -> Array:
    """softmax(scale q k^T) over the keys: how much each query takes of each.

    Parameters
    ----------
    query : array or Variable, shape (..., L, E)
    key : array or Variable, shape (..., S, E)
    attn_mask, is_causal, scale, softcap, window
        As of `scaled_dot_product_attention`.

    Returns
    -------
    array or Variable, shape (..., L, S)
        Rows that sum to 1; of a query that may look at no key, to 0.

    Raises
    ------
    ShapeError
        Queries and keys differ in E, or are no matrices; or the mask does not fit.
    TypeError
        The mask is neither of booleans nor of floating-point numbers.
    ValueError
        The softcap is not positive, or the window is no length.
    """
    if min(query.ndim, key.ndim) < 2 or query.shape[-1] != key.shape[-1]:
        raise ShapeError(
            "Attention expected a query of shape (..., L, E) and a key of shape (..., S, E), got "
            f"{tuple(query.shape)} and {tuple(key.shape)}."
        )
    xp, (length, size) = array_namespace(query, key), (query.shape[-2], key.shape[-2])
    scale = 1.0 / math.sqrt(max(query.shape[-1], 1)) if scale is None else scale
    scores = xp.matmul(query * scale, xp.matrix_transpose(key))
    if softcap is not None:
        cap = number(softcap)
        if not cap > 0.0:
            raise ArgumentError(f"Attention expected a positive softcap, got {softcap!r}.")
        scores = cap * xp.tanh(scores / cap)
    if attn_mask is not None:
        scores = _masked(scores, attn_mask)
    before, after = _reach(window)
    if is_causal:
        after = 0
    if before is None and after is None:
        return _shares(scores)
    near = xp.ones((length, size), dtype=xp.bool, device=compat.device(query))
    near = near if after is None else xp.tril(near, k=after)
    near = near if before is None else xp.triu(near, k=-before)
    return _shares(xp.where(near, scores, -math.inf))


def _shares(scores: Array) -> Array:
    """The shares of scores; for those of 16 bits computed in float32, and rounded once."""
    return like(Shares()(in_full(scores)), scores)


def _reach(window: Any) -> tuple[int | None, int | None]:
    """How many keys before its own place a query may look at, and how many after; None: all."""
    reach = window if isinstance(window, tuple) else (window, window)
    if len(reach) != 2 or not all(
        n is None or (isinstance(n, Integral) and int(n) >= 0) for n in reach
    ):
        raise ArgumentError(
            "Attention expected a window of a number of keys, from 0, or of two of them, before and "
            f"after the query's place, got {window!r}."
        )
    before, after = (None if n is None else int(n) for n in reach)
    return before, after


def _masked(scores: Array, mask: Array) -> Array:
    lengths = zip(reversed(mask.shape), reversed(scores.shape), strict=False)
    if mask.ndim > scores.ndim or any(m not in (1, n) for m, n in lengths):
        raise ShapeError(
            "Attention expected a mask that broadcasts to the scores, of shape (..., L, S) = "
            f"{tuple(scores.shape)}, got {tuple(mask.shape)}."
        )
    if has_dtype(mask, "bool"):
        return array_namespace(scores, mask).where(mask, scores, -math.inf)
    if not has_dtype(mask, "real floating"):
        raise ArgumentTypeError(
            "Attention expected a mask of booleans (True: look) or of floating-point numbers (to "
            f"be added to the scores), got {mask.dtype}."
        )
    return scores + array_namespace(scores, mask).astype(mask, scores.dtype)


@named
@follows
def scaled_dot_product_attention(
    query: Array,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    softcap: float | None = None,
    window: int | tuple[int | None, int | None] | None = None,
    rng: Any = None,
) -> Array:
    """softmax(q k^T / sqrt(E)) v: each query's mean of the values, weighted by likeness to the keys.

    Parameters
    ----------
    query : array or Variable, shape (..., L, E)
    key : array or Variable, shape (..., S, E)
    value : array or Variable, shape (..., S, V)
        What stands before the last two axes (batch, heads) broadcasts.
    attn_mask : array or Variable that broadcasts to (..., L, S), optional
        Booleans: True where the query may look at the key. Or numbers to be added to the scores:
        0 where it may, -inf where it may not.
    dropout_p : float
        The probability that a weight is left out. For training: the function does not know when
        that is, so pass 0 in evaluation.
    is_causal : bool
        Query i may look at keys 0 to i alone; with a mask, only where the mask allows it too.
    scale : float, optional
        What scores are multiplied by; by default, 1 / sqrt(E).
    softcap : float, optional
        Scores s become softcap tanh(s / softcap), before any mask, so none is further from 0.
    window : int or (int or None, int or None), optional
        Query i may look at keys i - before to i + after alone: one number for both, or
        (before, after), of which None has no limit. (before, 0) is causal.
    rng : int, numpy.random.Generator or None
        Where dropout's numbers come from; None: the generator of `xpnet.manual_seed`.

    Returns
    -------
    array or Variable, shape (..., L, V)
        A query that may look at no key gets zeros, and a gradient of zeros; PyTorch's function
        of this name gives nan there on some of its paths.

    Raises
    ------
    ShapeError
        The shapes do not fit; the message says which.
    TypeError
        The mask is neither of booleans nor of floating-point numbers.
    ValueError
        The softcap is not positive, or the window is no length.

    Notes
    -----
    Parameters are PyTorch's, but for `softcap` and `window`; there, a mask and `is_causal` exclude each other. What is masked has
    no influence as long as it is finite: 0 times nan is nan.

    Sources: Vaswani et al., "Attention is all you need", 2017, eq. 1; the softcap: Gemma Team,
    "Gemma 2: improving open language models at a practical size", 2024, section 2; the window:
    Beltagy, Peters and Cohan, "Longformer: the long-document transformer", 2020.
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
