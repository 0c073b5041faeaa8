"""Attention: the formula, masks of both kinds, queries without keys, and PyTorch's results."""

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import xpnet
from xpnet import ShapeError, Variable, functions as F, gradients, to_numpy, using
from xpnet.testing import assert_close, check_gradients

Q = [[1.0, 0.5], [-0.3, 2.0], [0.0, -1.0]]
K = [[0.2, 1.0], [1.5, -0.7]]
V = [[1.0, 2.0, 3.0], [-4.0, 5.0, 0.5]]


def by_hand(q, k, v, scale, allowed=lambda i, j: True):
    """softmax(scale q k^T) v in plain Python."""
    rows = []
    for i, a in enumerate(q):
        shares = [
            math.exp(scale * math.fsum(x * y for x, y in zip(a, b, strict=True))) * allowed(i, j)
            for j, b in enumerate(k)
        ]
        total = math.fsum(shares) or 1.0
        columns = zip(*v, strict=True)
        rows.append(
            [math.fsum(s * x for s, x in zip(shares, c, strict=True)) / total for c in columns]
        )
    return rows


def test_formula(backend64, array, order):
    """Each query's mean of the values; by default the scale is 1 / sqrt(E)."""
    q = array(Q)
    k = array(K)
    v = array(V)
    attention = F.scaled_dot_product_attention
    assert_close(attention(q, k, v), by_hand(Q, K, V, 1 / math.sqrt(2)), rtol=1e-13)
    assert_close(attention(q, k, v, scale=0.3), by_hand(Q, K, V, 0.3), rtol=1e-13)
    assert_close(F.sum(F.attention_weights(q, k), axis=1), [1.0, 1.0, 1.0], rtol=1e-14)
    check_gradients(attention, q, k, v, order=order)


def test_causal(backend64, array):
    """Query i may attend to keys 0 to i."""
    q = array(Q)
    k = array(K)
    v = array(V)
    expected = by_hand(Q, K, V, 1 / math.sqrt(2), lambda i, j: j <= i)
    got = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert_close(got, expected, rtol=1e-13)
    mask = array([[True, True], [False, True], [True, True]])  # with a mask, both must allow it
    expected = by_hand(Q, K, V, 1 / math.sqrt(2), lambda i, j: j <= i and (i, j) != (1, 0))
    got = F.scaled_dot_product_attention(q, k, v, mask, is_causal=True)
    assert_close(got, expected, rtol=1e-13)


def test_masks(backend64, array, order):
    """Boolean masks choose keys; masks of numbers are added to the scores, and have gradients."""
    q = array(Q)
    k = array(K)
    v = array(V)
    allowed = [[True, False], [True, True], [False, True]]
    added = array([[0.0 if a else -math.inf for a in row] for row in allowed])
    expected = by_hand(Q, K, V, 1 / math.sqrt(2), lambda i, j: allowed[i][j])
    attention = F.scaled_dot_product_attention
    assert_close(attention(q, k, v, array(allowed)), expected, rtol=1e-13)
    assert_close(attention(q, k, v, added), expected, rtol=1e-13)
    check_gradients(lambda *xs: attention(*xs, array(allowed)), q, k, v, order=order)
    check_gradients(attention, q, k, v, array([[0.5, -1.0], [0.0, 2.0], [1.0, 1.0]]), order=order)


@pytest.mark.parametrize("kind", ["bool", "float"])
def test_a_query_that_may_attend_to_no_key(backend, array, kind):
    """Its output and its gradient are zeros, and no other query changes."""
    allowed = [[False, False], [True, True], [True, False]]
    added = [[0.0 if a else -math.inf for a in row] for row in allowed]
    mask = array(allowed if kind == "bool" else added)
    q, k, v = (Variable(array(x)) for x in (Q, K, V))
    y = F.scaled_dot_product_attention(q, k, v, mask)
    expected = by_hand(Q, K, V, 1 / math.sqrt(2), lambda i, j: allowed[i][j])
    assert_close(y, expected, rtol=1e-5)
    gq, gk, gv = gradients(F.sum(y * y), [q, k, v])
    assert not to_numpy(gq)[0].any()
    assert all(np.isfinite(to_numpy(g)).all() for g in (gq, gk, gv))
    assert all(a.dtype == backend.dtype for a in (y, gq, gk, gv))


def test_empty_keys_and_empty_queries(backend, array):
    """Without keys the output is zeros; without queries it is empty."""
    q = array(Q)
    k = array(K)
    v = array(V)
    none = F.scaled_dot_product_attention(q, k[:0, :], v[:0, :])
    assert_close(none, [[0.0] * 3] * 3)
    assert F.scaled_dot_product_attention(q[:0, :], k, v).shape == (0, 3)


def test_large_scores(backend, array):
    """No overflow: the best key has all the weight."""
    q = array([[1e4, 0.0]])
    k = array([[1e4, 0.0], [-1e4, 1.0]])
    v = array([[1.0], [2.0]])
    assert_close(F.scaled_dot_product_attention(q, k, v), [[1.0]])


def test_dropout(backend, array):
    """Some weights are 0 and the others larger, with the same mean; a seed determines the result."""
    q = array(Q)
    k = array(K)
    v = array(V)
    attention = F.scaled_dot_product_attention
    expected = by_hand(Q, K, V, 1 / math.sqrt(2))
    once, again = (attention(q, k, v, dropout_p=0.5, rng=3) for _ in range(2))
    assert_close(once, again)
    rng = np.random.default_rng(0)
    runs = [to_numpy(attention(q, k, v, dropout_p=0.5, rng=rng)) for _ in range(400)]
    spread = np.std(runs, axis=0)
    assert spread.min() > 0.1
    off = abs(np.mean(runs, axis=0) - expected) / (spread / math.sqrt(len(runs)))
    assert off.max() < 4.0  # standard errors


def test_shapes_that_do_not_fit_are_errors(backend, array):
    """The message shows both shapes."""
    q = array(Q)
    k = array(K)
    v = array(V)
    with pytest.raises(ShapeError, match=r"\(\.\.\., L, E\) .*, got \(3, 2\) and \(2, 3\)\."):
        F.scaled_dot_product_attention(q, v, v)
    with pytest.raises(ShapeError, match=r"as many values as keys.*\(3, 2\) and \(2, 2\)\."):
        F.scaled_dot_product_attention(q, k, q)
    with pytest.raises(ShapeError, match=r"the scores, of shape .* = \(3, 2\), got \(2, 3\)\."):
        F.scaled_dot_product_attention(q, k, v, array([[True] * 3] * 2))
    with pytest.raises(TypeError, match=r"a mask of booleans .*, got .*int"):
        F.scaled_dot_product_attention(q, k, v, array([[1, 0]]))


@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(
    lead=st.sampled_from([(), (2,), (2, 3), (0,)]),
    length=st.integers(1, 5),
    size=st.integers(1, 5),
    widths=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    masked=st.sampled_from(["no", "bool", "float", "causal"]),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 99),
)
def test_agrees_with_pytorch(lead, length, size, widths, masked, dtype, seed):
    """Value and gradients."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    rng = np.random.default_rng(seed)
    E, width = widths
    shapes = [(*lead, length, E), (*lead, size, E), (*lead, size, width)]
    hosts = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    options = {}
    theirs = {}
    if masked == "causal":
        options = theirs = {"is_causal": True}
    elif masked != "no":
        mask = rng.random((length, size)) < 0.7
        mask[:, 0] = True  # PyTorch returns NaN where no key is allowed
        mask = mask if masked == "bool" else rng.standard_normal((length, size)).astype(dtype)
        options = {"attn_mask": mask}
        theirs = {"attn_mask": torch.tensor(mask)}
    tensors = [torch.tensor(host, requires_grad=True) for host in hosts]
    expected = torch.nn.functional.scaled_dot_product_attention(*tensors, **theirs)
    weights = rng.standard_normal(expected.shape).astype(dtype)
    (expected * torch.tensor(weights)).sum().backward()
    with using("numpy", dtype=dtype):
        xs = [Variable(host) for host in hosts]
        y = F.scaled_dot_product_attention(*xs, **options)
        grads = gradients(F.sum(y * weights), xs)
    near = {"rtol": 1e-5, "atol": 2e-6} if dtype == "float32" else {"rtol": 1e-10, "atol": 1e-13}
    assert_close(y, expected, **near)
    for g, x in zip(grads, tensors, strict=True):
        assert_close(g, x.grad, **near)
    assert xpnet.to_numpy(y).dtype == dtype


# --- a bound for scores, and a window of keys -----------------------------------------------------


def capped(q, k, v, cap, allowed):
    """softmax(cap tanh(q k^T / (sqrt(E) cap))) v in NumPy, over the keys that `allowed` permits."""
    scores = q @ k.T / math.sqrt(q.shape[1])
    scores = scores if cap is None else cap * np.tanh(scores / cap)
    e = np.where(allowed, np.exp(scores), 0.0)
    return e / np.maximum(e.sum(axis=1, keepdims=True), 1e-300) @ v


WINDOWS = [None, 0, 1, (1, 0), (0, 2), (None, 1), (2, None), (None, None)]


@pytest.mark.usefixtures("sampled")  # masks and tanh, the same code for all libraries
@pytest.mark.parametrize("cap", [None, 0.5, 30.0])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("is_causal", [False, True])
def test_softcap_and_window(backend64, array, cap, window, is_causal):
    """The formula of Gemma 2, over keys from i - before to i + after."""
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal(shape) for shape in ((5, 2), (5, 2), (5, 3)))
    before, after = window if isinstance(window, tuple) else (window, window)
    i, j = np.indices((5, 5))
    allowed = (j >= i - (9 if before is None else before)) & (
        j <= i + (9 if after is None else after)
    )
    allowed &= (j <= i) | (not is_causal)
    arrays = [array(a) for a in (q, k, v)]
    options = {"softcap": cap, "window": window, "is_causal": is_causal}
    y = F.scaled_dot_product_attention(*arrays, **options)
    assert_close(y, capped(q, k, v, cap, allowed), rtol=1e-12)


def test_derivatives_with_softcap_and_window(backend64, array, order):
    rng = np.random.default_rng(1)
    arrays = [array(rng.standard_normal(shape)) for shape in ((3, 2), (4, 2), (4, 2))]

    def call(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, softcap=0.8, window=(1, 1))

    check_gradients(call, *arrays, order=order)


def test_a_window_with_a_mask_and_other_lengths(backend64, array):
    """A key must be allowed by both; a query whose keys are all outside its window gets zeros."""
    q = array(np.ones((4, 1)))
    k = array(np.ones((2, 1)))
    w = F.attention_weights(q, k, array([[True, False]] * 4, "bool"), window=1)
    assert_close(w, [[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])


def test_invalid_softcaps_and_windows_are_errors(backend, array):
    q = array(Q)
    for cap in (0.0, -1.0):
        with pytest.raises(ValueError, match="positive softcap"):
            F.attention_weights(q, q, softcap=cap)
    for window in (-1, (1, -1), (1, 2, 3), 1.5, "2"):
        with pytest.raises(ValueError, match="expected a window of a number of keys"):
            F.attention_weights(q, q, window=window)


def test_softcap_and_window_of_the_layer(backend64, array):
    """MultiheadAttention passes them on: a wide window changes nothing, a narrow one changes much."""
    layer = xpnet.MultiheadAttention(4, 2, batch_first=True, rng=0)
    x = array(np.random.default_rng(0).standard_normal((2, 5, 4)))
    plain = to_numpy(layer(x))
    assert_close(layer(x, window=5, softcap=1e6), plain, rtol=1e-9)
    _, weights = layer(x, window=(1, 0), softcap=2.0, need_weights=True)
    i, j = np.indices((5, 5))
    assert np.all((to_numpy(weights) > 0.0) == ((j == i) | (j == i - 1)))
