"""The Transformer's encoder: PyTorch's answers, masks, positions, copies, errors."""

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from tests.layers.test_attention import by_pytorchs_names, with_weights
from xpnet import (
    LayerNorm,
    PositionalEncoding,
    ShapeError,
    TransformerEncoder,
    TransformerEncoderLayer,
    Variable,
    functions as F,
    gradients,
    to_numpy,
    using,
)
from xpnet.testing import assert_close, check_gradients

HURRIED = settings(max_examples=15, deadline=None, derandomize=True, database=None)
NEAR = {"float32": {"rtol": 1e-5, "atol": 2e-5}, "float64": {"rtol": 1e-10, "atol": 1e-11}}


@HURRIED
@given(
    heads=st.integers(1, 3),
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3)),
    activation=st.sampled_from(["relu", "gelu"]),
    flags=st.tuples(*[st.booleans()] * 4),
    layers=st.integers(1, 2),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_agrees_with_pytorch(heads, sizes, activation, flags, layers, dtype):
    """One layer, or an encoder of two with a norm at its end; values and all gradients."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    (length, batch, hidden), (norm_first, batch_first, bias, masked) = sizes, flags
    E = 4 * heads
    options = {"activation": activation, "norm_first": norm_first, "batch_first": batch_first}
    options |= {"dim_feedforward": hidden, "dropout": 0.0, "bias": bias}
    with using("numpy", dtype=dtype):
        ours = [TransformerEncoderLayer(E, heads, **options, rng=i) for i in range(layers)]
        ours = ours[0] if layers == 1 else TransformerEncoder(ours, LayerNorm(E))
    theirs = torch.nn.TransformerEncoderLayer(E, heads, **options)
    if layers == 2:
        theirs = torch.nn.TransformerEncoder(
            theirs, 2, torch.nn.LayerNorm(E), enable_nested_tensor=False
        )
    with_weights(torch, theirs, ours, dtype)
    rng = np.random.default_rng(1)
    shape = (batch, length, E) if batch_first else (length, batch, E)
    host, seed = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    keys = rng.random((batch, length)) < 0.7
    keys[:, 0] = True
    x = torch.tensor(host, requires_grad=True)
    y = theirs(x, src_key_padding_mask=torch.tensor(~keys) if masked else None)
    (y * torch.tensor(seed)).sum().backward()
    with using("numpy", dtype=dtype):
        v = Variable(host)
        got = ours(v, keys[:, None, :] if masked else None)
        gx, *grads = gradients(F.sum(got * seed), [v, *ours.parameters()])
    assert_close(got, y.detach(), **NEAR[dtype])
    assert to_numpy(got).dtype == dtype
    assert_close(gx, x.grad, **NEAR[dtype])
    by_name = by_pytorchs_names(ours, grads)
    for name, p in theirs.named_parameters():
        assert_close(by_name[name], p.grad, **NEAR[dtype])


@pytest.mark.parametrize("norm_first", [False, True])
def test_formula(backend, array, norm_first):
    """On every library, from its parts; and with a causal mask the future has no influence."""
    layer = TransformerEncoderLayer(4, 2, 8, 0.0, norm_first=norm_first, rng=0)
    host = np.random.default_rng(0).standard_normal((3, 2, 4)).astype("float32")
    x = array(host.tolist())

    def perceptron(x):
        return layer.linear2(F.relu(layer.linear1(x)))

    if norm_first:
        z = layer.self_attn(layer.norm1(x)) + x
        expected = z + perceptron(layer.norm2(z))
    else:
        z = layer.norm1(layer.self_attn(x) + x)
        expected = layer.norm2(z + perceptron(z))
    assert_close(layer(x), expected, rtol=1e-5, atol=1e-6)
    changed = host.copy()
    changed[2] += 5.0
    y, other = layer(x, is_causal=True), layer(array(changed.tolist()), is_causal=True)
    assert_close(to_numpy(y)[:2], to_numpy(other)[:2], rtol=1e-6, atol=1e-7)
    assert np.abs(to_numpy(y)[2] - to_numpy(other)[2]).max() > 1e-2


@pytest.mark.usefixtures("eager")
def test_gradients_and_both_styles(backend64, array):
    """Differences; forward and backward."""
    layer = TransformerEncoderLayer(2, 1, 3, 0.0, activation="gelu", batch_first=True, rng=0)
    x = array(np.random.default_rng(0).standard_normal((1, 2, 2)).tolist())
    check_gradients(layer, x, order=1)
    y = layer.forward(x)
    v = Variable(x)
    (expected,) = gradients(layer(v), [v], y)
    assert_close(layer.backward(y), expected, rtol=1e-12, atol=1e-15)


def test_encoder(backend, array):
    """Layer after layer, with one mask; names are PyTorch's but for Affine's."""
    layers = [TransformerEncoderLayer(4, 2, 8, 0.0, rng=i) for i in range(2)]
    encoder = TransformerEncoder(layers)
    x = array(np.random.default_rng(0).standard_normal((3, 2, 4)).tolist())
    mask = array([[[True, True, False]], [[True, True, True]]])
    assert_close(encoder(x, mask), layers[1](layers[0](x, mask), mask), rtol=1e-6)
    names = [name for name, _ in encoder.named_parameters()]
    assert "layers.1.self_attn.in_proj_weight" in names
    assert len(names) == 2 * 12
    assert repr(encoder) == (
        "TransformerEncoder(\n"
        "  TransformerEncoderLayer(4, nhead=2, dim_feedforward=8, dropout=0.0)\n"
        "  TransformerEncoderLayer(4, nhead=2, dim_feedforward=8, dropout=0.0)\n)"
    )


@pytest.mark.usefixtures("eager")
def test_dropout_is_active_in_training_only(backend, array):
    """A seed repeats the dropout; there is none in evaluation."""
    x = array(np.random.default_rng(0).standard_normal((3, 2, 4)).tolist())
    layer, again = (TransformerEncoderLayer(4, 2, 8, 0.5, rng=0) for _ in range(2))
    first = layer(x)
    assert_close(again(x), first, rtol=0.0)
    assert np.abs(to_numpy(layer(x)) - to_numpy(first)).max() > 1e-3
    layer.eval()
    assert_close(layer(x), layer(x), rtol=0.0)


@pytest.mark.parametrize("width", [1, 4, 5])
def test_positions(backend, array, width):
    """sin and cos of the paper, in turn; both orders of the axes."""
    expected = [
        [
            (math.cos if i % 2 else math.sin)(p / 10000.0 ** ((i - i % 2) / width))
            for i in range(width)
        ]
        for p in range(50)
    ]
    x = array(np.zeros((2, 50, width)).tolist())
    y = PositionalEncoding(width, batch_first=True)(x)
    assert y.dtype == backend.dtype
    assert_close(y, [expected] * 2, rtol=0.0, atol=1e-5)
    assert_close(PositionalEncoding(width)(F.moveaxis(x, 1, 0)), F.moveaxis(y, 1, 0), rtol=0.0)
    assert not PositionalEncoding(width).state_dict()


def test_positions_are_as_precise_as_x():
    """In float64 of either byte order, as read from a file."""
    x = np.zeros((3, 1, 4))
    y, other = (PositionalEncoding(4).forward(a) for a in (x, x.astype(">f8")))
    assert_close(other, y, rtol=0.0)


@pytest.mark.usefixtures("eager")
def test_positional_encoding_passes_gradients_on(backend64, array):
    """The pattern is a constant."""
    check_gradients(PositionalEncoding(3), array(np.zeros((2, 1, 3)).tolist()))
    y = PositionalEncoding(4, dropout=0.5, rng=0)(array(np.ones((50, 2, 4)).tolist()))
    assert 0.3 < np.mean(to_numpy(y) == 0.0) < 0.7


@pytest.mark.usefixtures("eager")
def test_shapes_that_do_not_fit_are_errors(backend, array):
    """Expected, given, where, and what to try."""
    layer = TransformerEncoderLayer(4, 2, 8, rng=0)
    with pytest.raises(ShapeError) as caught:
        layer(array([[1.0] * 4]))
    assert str(caught.value) == (
        "TransformerEncoderLayer(4, nhead=2, dim_feedforward=8) expected x of shape "
        "(length, batch, 4), got (1, 4). For one sample use x[:, None, ...]."
    )
    with pytest.raises(ShapeError, match=r"^PositionalEncoding\(4, batch_first=True\) expected x"):
        PositionalEncoding(4, batch_first=True)(array([[[1.0]]]))
    with pytest.raises(
        TypeError, match=r"^PositionalEncoding\(4\) expected x .*float32, got .*int"
    ):
        PositionalEncoding(4)(array([[[1] * 4]]))
    with pytest.raises(ValueError, match="Unknown activation 'sin'. Expected one of: relu, gelu"):
        TransformerEncoderLayer(4, 2, activation="sin")
    with pytest.raises(ValueError, match="d_model of 1 or more, got 0"):
        PositionalEncoding(0)
    with pytest.raises(TypeError, match="a sequence of layers, got one; write"):
        TransformerEncoder(layer, 6)
