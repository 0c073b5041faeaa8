"""MultiheadAttention: PyTorch's answers, masks, cross attention, both styles, errors."""

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from xpnet import (
    MultiheadAttention,
    ShapeError,
    Variable,
    functions as F,
    gradients,
    to_numpy,
    using,
)
from xpnet.testing import assert_close, check_gradients

HURRIED = settings(max_examples=25, deadline=None, derandomize=True, database=None)
NEAR = {"float32": {"rtol": 1e-5, "atol": 1e-5}, "float64": {"rtol": 1e-10, "atol": 1e-12}}


def by_pytorchs_names(model, arrays):
    """Arrays, one for each parameter of the model, by PyTorch's names and in its shapes."""
    found = {}
    for (name, _), x in zip(model.named_parameters(), arrays, strict=True):
        is_affine = name.rpartition(".")[2] == "weight" and x.ndim == 2
        found[name] = to_numpy(x).T if is_affine else to_numpy(x)
    return found


def with_weights(torch, theirs, ours, dtype, seed=0):
    """PyTorch's layer with our weights, which first get random biases."""
    rng = np.random.default_rng(seed)
    for p in ours.parameters():
        p.data = p.data + 0.3 * rng.standard_normal(p.shape).astype(dtype)
    state = by_pytorchs_names(ours, ours.parameters())
    theirs.to(getattr(torch, dtype)).load_state_dict(
        {name: torch.tensor(x.copy()) for name, x in state.items()}
    )
    return theirs


@HURRIED
@given(
    heads=st.integers(1, 3),
    width=st.integers(1, 4),
    lengths=st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3)),
    kind=st.sampled_from(["self", "cross", "dims"]),
    masked=st.sampled_from(["no", "keys", "both", "added", "causal"]),
    flags=st.tuples(st.booleans(), st.booleans()),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_agrees_with_pytorch(heads, width, lengths, kind, masked, flags, dtype):
    """Values, weights, gradients; PyTorch's masks have True where nobody may look."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    E, (length, size, batch), (bias, batch_first) = heads * width, lengths, flags
    size = length if kind == "self" or masked == "causal" else size
    options = {"bias": bias, "batch_first": batch_first}
    if kind == "dims":
        options |= {"kdim": E + 1, "vdim": E + 2}
    with using("numpy", dtype=dtype):
        ours = MultiheadAttention(E, heads, **options, rng=0)
    theirs = with_weights(torch, torch.nn.MultiheadAttention(E, heads, **options), ours, dtype)

    rng = np.random.default_rng(1)
    dims = [(length, E), (size, ours.kdim), (size, ours.vdim)][: 1 if kind == "self" else 3]
    shapes = [(batch, n, d) if batch_first else (n, batch, d) for n, d in dims]
    hosts = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    keys = rng.random((batch, size)) < 0.7
    keys[:, 0] = True  # PyTorch has nan where nothing is allowed
    allowed = np.tril(np.ones((length, size), bool))
    added = rng.standard_normal((length, size)).astype(dtype)
    mask, their_masks = {
        "no": (None, {}),
        "keys": (keys[:, None, :], {"key_padding_mask": torch.tensor(~keys)}),
        "both": (
            keys[:, None, :] & allowed,
            {"key_padding_mask": torch.tensor(~keys), "attn_mask": torch.tensor(~allowed)},
        ),
        "added": (added, {"attn_mask": torch.tensor(added)}),
        "causal": (None, {"attn_mask": torch.tensor(~allowed)}),
    }[masked]

    tensors = [torch.tensor(host, requires_grad=True) for host in hosts]
    y, weights = theirs(*(tensors * 3 if kind == "self" else tensors), **their_masks)
    seed = rng.standard_normal(y.shape).astype(dtype)
    (y * torch.tensor(seed)).sum().backward()

    with using("numpy", dtype=dtype):
        xs = [Variable(host) for host in hosts]
        qkv = xs * 3 if kind == "self" else xs
        got, shares = ours(*qkv, mask, is_causal=masked == "causal", need_weights=True)
        grads = gradients(F.sum(got * seed), [*xs, *ours.parameters()])
    assert_close(got, y.detach(), **NEAR[dtype])
    assert_close(shares, weights.detach(), **NEAR[dtype])
    for g, x in zip(grads, tensors, strict=False):
        assert_close(g, x.grad, **NEAR[dtype])
    ours_by_name, named = by_pytorchs_names(ours, grads[len(xs) :]), theirs.named_parameters()
    for name, p in named:
        assert_close(ours_by_name[name], p.grad, **NEAR[dtype])


def formula(layer, x, allowed):
    """Head by head, with the layer's own numbers, in NumPy."""
    E, heads = layer.embed_dim, layer.num_heads
    W, b = to_numpy(layer.in_proj_weight), to_numpy(layer.in_proj_bias)
    q, k, v = (x @ W[i * E : (i + 1) * E].T + b[i * E : (i + 1) * E] for i in range(3))
    outputs = []
    for h in range(heads):
        own = slice(h * E // heads, (h + 1) * E // heads)
        scores = q[:, own] @ k[:, own].T / math.sqrt(E // heads)
        shares = np.exp(scores) * allowed
        outputs.append(shares / shares.sum(axis=1, keepdims=True) @ v[:, own])
    y = np.concatenate(outputs, axis=1)
    return y @ to_numpy(layer.out_proj.weight) + to_numpy(layer.out_proj.bias)


def test_formula(backend, array):
    """On every library, head by head; a mask for each sample, and one for all."""
    layer = MultiheadAttention(4, 2, batch_first=True, rng=0)
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype("float32")
    allowed = np.asarray([np.tril(np.ones((3, 3), bool)), [[True, False, True]] * 3])
    near = {"rtol": 1e-5, "atol": 1e-6}
    y = layer(array(x.tolist()), None, None, array(allowed.tolist()))
    for k in range(2):
        assert_close(to_numpy(y)[k], formula(layer, x[k], allowed[k]), **near)
    causal = layer(array(x.tolist()), is_causal=True)
    same = layer(array(x.tolist()), None, None, array(allowed[0].tolist()))
    each = np.stack([allowed[:1].repeat(2, 0)] * 2)[0][:, None]
    heads = layer(array(x.tolist()), None, None, array(each.tolist()))
    for got in (causal, same, heads):
        assert_close(to_numpy(got)[1], formula(layer, x[1], allowed[0]), **near)


def test_self_attention_is_one_product(backend, array):
    """layer(x) equals layer(x, x, x), and the result for three equal but separate arrays."""
    layer = MultiheadAttention(4, 2, rng=0)
    x = np.random.default_rng(0).standard_normal((3, 2, 4)).tolist()
    one, three = array(x), [array(x) for _ in range(3)]
    assert_close(layer(one), layer(*three), rtol=1e-5, atol=1e-6)
    assert_close(layer(one), layer(one, one, one), rtol=0.0)
    assert_close(layer(one, three[0]), layer(*three), rtol=1e-5, atol=1e-6)


def test_a_query_without_any_key(backend, array):
    """A query without keys gets the bias of the output; gradients are finite."""
    layer = MultiheadAttention(4, 2, batch_first=True, rng=0)
    layer.out_proj.bias.data = array([1.0, 2.0, 3.0, 4.0])
    x = Variable(array(np.random.default_rng(0).standard_normal((1, 2, 4)).tolist()))
    y = layer(x, x, x, array([[[False, False], [True, True]]]))
    assert_close(y[0, 0, :], [1.0, 2.0, 3.0, 4.0])
    grads = gradients(F.sum(y * y), [x, *layer.parameters()])
    assert all(np.isfinite(to_numpy(g)).all() for g in grads)
    assert all(g.dtype == backend.dtype for g in grads)


@HURRIED
@given(lengths=st.lists(st.integers(1, 4), min_size=1, max_size=3), seed=st.integers(0, 99))
def test_padding_has_no_influence(lengths, seed):
    """What stands at masked keys changes nothing at the others."""
    rng, batch = np.random.default_rng(seed), len(lengths)
    real = np.arange(4) < np.asarray(lengths)[:, None]
    with using("numpy", dtype="float64"):
        layer, answers = MultiheadAttention(4, 2, batch_first=True, rng=seed), []
        x = rng.standard_normal((batch, 4, 4))
        for rubbish in (0.0, 1e6):
            v = Variable(np.where(real[..., None], x, rubbish))
            y = F.where(real[..., None], layer(v, v, v, real[:, None, :]), 0.0)
            answers.append([y, *gradients(F.sum(y * y), [v, *layer.parameters()])])
        assert_close(answers[1][0], answers[0][0], rtol=1e-12)
        assert not to_numpy(answers[1][1])[~real].any()
        for dirty, clean in zip(*answers, strict=True):
            assert_close(dirty, clean, rtol=1e-9, atol=1e-12)


@pytest.mark.usefixtures("eager")
def test_both_styles_and_second_derivatives(backend64, array):
    """forward and backward with three inputs and a mask, compared with central differences."""
    layer = MultiheadAttention(2, 1, batch_first=True, rng=0)
    rng = np.random.default_rng(0)
    inputs = [array(rng.standard_normal((1, n, 2)).tolist()) for n in (2, 3, 3)]
    mask = array([[[True, True, False], [True, True, True]]])
    y = layer.forward(*inputs, mask)
    found = layer.backward(2.0 * y)
    variables = [Variable(a) for a in inputs]
    z = layer(*variables, mask)
    for actual, expected in zip(found, gradients(F.sum(z * z), variables), strict=True):
        assert_close(actual, expected, rtol=1e-12, atol=1e-15)
    check_gradients(lambda *xs: layer(*xs, mask), *inputs, order=1)
    check_gradients(layer, inputs[0][:, :1, :])


@pytest.mark.usefixtures("eager")
def test_dropout_and_weights(backend, array):
    """Weights are asked for by name; dropout is for training."""
    layer = MultiheadAttention(4, 2, dropout=0.5, rng=0)
    x = array(np.random.default_rng(0).standard_normal((5, 3, 4)).tolist())
    assert np.abs(to_numpy(layer(x)) - to_numpy(layer(x))).max() > 1e-3
    layer.eval()
    y, shares = layer(x, need_weights=True)
    assert_close(layer(x), y, rtol=0.0)
    assert shares.shape == (3, 5, 5)
    assert_close(F.sum(shares, axis=-1), np.ones((3, 5)), rtol=1e-6)
    _, each = layer(x, need_weights=True, average_attn_weights=False)
    assert each.shape == (3, 2, 5, 5)
    assert_close(F.mean(each, axis=1), shares, rtol=1e-6)


def test_state_and_repr():
    """Names and shapes are PyTorch's, but for Affine's; what is not as usual is shown."""
    shapes = {k: p.shape for k, p in MultiheadAttention(6, 2).named_parameters()}
    assert shapes == {
        "in_proj_weight": (18, 6),
        "in_proj_bias": (18,),
        "out_proj.weight": (6, 6),
        "out_proj.bias": (6,),
    }
    names = [k for k, _ in MultiheadAttention(6, 2, bias=False, kdim=5).named_parameters()]
    assert names == ["q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight"]
    assert repr(MultiheadAttention(6, 2)) == "MultiheadAttention(6, num_heads=2)"
    layer = MultiheadAttention(6, 2, 0.1, bias=False, kdim=5, batch_first=True)
    assert repr(layer) == (
        "MultiheadAttention(6, num_heads=2, dropout=0.1, bias=False, kdim=5, batch_first=True)"
    )


@pytest.mark.usefixtures("eager")
def test_shapes_that_do_not_fit_are_errors(backend, array):
    """Expected, given, where, and what to try."""
    layer = MultiheadAttention(4, 2, batch_first=True, rng=0)
    x = array(np.zeros((2, 3, 4)).tolist())
    with pytest.raises(ShapeError) as caught:
        layer(x[0, ...])
    assert str(caught.value) == (
        "MultiheadAttention(4, num_heads=2, batch_first=True) expected x of shape "
        "(batch, length, 4), got (3, 4). For one sample use x[None, ...]."
    )
    with pytest.raises(ShapeError, match=r"expected x of shape \(2, size, 4\), got \(1, 3, 4\)"):
        layer(x, x[:1, ...])
    with pytest.raises(ShapeError, match=r"expected x of shape \(2, 3, 4\), got \(2, 2, 4\)"):
        layer(x, x, x[:, :2, :])
    with pytest.raises(ShapeError, match=r"a mask of shape .*size\), got \(3,\)\."):
        layer(x, x, x, array([True, True, False]))
    with pytest.raises(ShapeError, match=r"broadcasts to the scores, .* got \(2, 3\)\."):
        layer(x, x, x, array([[True] * 3] * 2))
    with pytest.raises(TypeError, match=r"and dtype .*float32, got .*int"):
        layer(array(np.zeros((2, 3, 4), int)))
    with pytest.raises(TypeError, match=r"a mask of booleans .*, got .*int"):
        layer(x, x, x, array(np.ones((3, 3), int)))
    with pytest.raises(ValueError, match="multiple of num_heads, got 4 and 3"):
        MultiheadAttention(4, 3)


@pytest.mark.parametrize("dtype", ["float64", "float16"])
@pytest.mark.parametrize("shape", [(3, 3), (2, 3, 3)])
def test_a_mask_of_another_precision_is_an_error(shape, dtype):
    """Numbers that are added to the scores are in the layer's own dtype, as its inputs are."""
    layer = MultiheadAttention(4, 2, batch_first=True, rng=0)
    x, mask = np.ones((2, 3, 4), "float32"), np.zeros(shape, "float32")
    assert layer(x, x, x, mask).shape == (2, 3, 4)
    with pytest.raises(TypeError) as caught:
        layer(x, x, x, mask.astype(dtype))
    assert f"expected a mask of shape {shape} and dtype float32, got {dtype}." in str(caught.value)
