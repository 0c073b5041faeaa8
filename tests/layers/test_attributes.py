"""Layers have PyTorch's attributes, with PyTorch's values."""

import copy

import numpy as np
import pytest

import xpnet
from xpnet import layers as L

UNSUPPORTED = {  # options that the layers here do not have
    "activation", "activation_relu_or_gelu", "add_zero_attn", "bias_k", "bias_v",
    "divisor_override", "enable_nested_tensor", "inplace", "mask_check", "max_norm", "mode",
    "norm_type", "padding_mode", "proj_size", "return_indices", "scale_grad_by_freq", "sparse",
    "use_nested_tensor",
}  # fmt: skip

# PyTorch's class, our class if it is called otherwise, arguments
CASES = [
    ("Linear", L.Affine, (4, 3), {}),
    ("Linear", L.Affine, (4, 3), {"bias": False}),
    ("Conv1d", None, (4, 2, 3), {}),
    ("Conv1d", None, (4, 6, 3), {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}),
    ("Conv2d", None, (4, 2, 3), {"bias": False}),
    ("Conv2d", None, (4, 2, (3, 5)), {"stride": (1, 2), "padding": (0, 1), "dilation": (2, 1)}),
    ("Conv2d", None, (4, 2, 3), {"padding": "same"}),
    ("Conv2d", None, (4, 2, 3), {"padding": "valid", "stride": 2}),
    ("ConvTranspose1d", None, (4, 2, 3), {"stride": 3, "output_padding": 1}),
    (
        "ConvTranspose2d",
        None,
        (4, 2, 3),
        {"stride": (2, 3), "padding": 1, "output_padding": (1, 2)},
    ),
    ("BatchNorm1d", None, (4,), {}),
    ("BatchNorm2d", None, (4,), {"eps": 1e-3, "momentum": None, "affine": False}),
    ("BatchNorm2d", None, (4,), {"momentum": 0.3, "track_running_stats": False}),
    ("LayerNorm", None, (4,), {}),
    ("LayerNorm", None, ((2, 3),), {"eps": 1e-3, "elementwise_affine": False}),
    ("GroupNorm", None, (2, 4), {"eps": 1e-3, "affine": False}),
    ("Embedding", None, (5, 3), {}),
    ("Embedding", None, (5, 3), {"padding_idx": -2}),
    ("RNN", None, (4, 3), {"nonlinearity": "relu", "num_layers": 2, "dropout": 0.25}),
    ("LSTM", None, (4, 3), {}),
    ("LSTM", None, (4, 3), {"num_layers": 3, "bias": False, "batch_first": True, "dropout": 0.5}),
    ("GRU", None, (4, 3), {"bidirectional": True}),
    ("MultiheadAttention", None, (4, 2), {}),
    (
        "MultiheadAttention",
        None,
        (6, 3),
        {"dropout": 0.1, "kdim": 5, "vdim": 7, "batch_first": True},
    ),
    ("TransformerEncoderLayer", None, (4, 2), {"norm_first": True}),
    ("Dropout", None, (0.3,), {}),
    ("MaxPool1d", None, (2,), {}),
    ("MaxPool2d", None, (3,), {"stride": 2, "padding": 1, "dilation": 2, "ceil_mode": True}),
    ("AvgPool1d", None, (2,), {"stride": 3}),
    ("AvgPool2d", None, ((2, 3),), {"padding": 1, "count_include_pad": False}),
    ("Flatten", None, (), {}),
    ("Flatten", None, (0, 1), {}),
    ("Softmax", None, (1,), {}),
    ("LogSoftmax", None, (-1,), {}),
    ("LeakyReLU", None, (0.2,), {}),
    ("ELU", None, (0.5,), {}),
    ("GELU", None, (), {"approximate": "tanh"}),
    ("Softplus", None, (2.0, 10.0), {}),
]


def identity(case):
    name, _, args, options = case
    return f"{name}{args}{options}".replace(" ", "")


@pytest.fixture(params=CASES, ids=identity)
def pair(request):
    """A layer of xpnet and one of PyTorch, created with the same arguments."""
    nn = pytest.importorskip("torch", reason="PyTorch is the oracle of this test").nn
    name, ours, args, options = request.param
    return (ours or getattr(L, name))(*args, **options), getattr(nn, name)(*args, **options)


def public(module):
    """The plain attributes of a PyTorch module, without those that xpnet does not have."""
    return {
        name: value for name, value in vars(module).items()
        if not name.startswith("_") and name not in UNSUPPORTED
    }  # fmt: skip


def plain(value, theirs):
    """A window's length for one axis as PyTorch has it: 2 or (2,)."""
    if isinstance(theirs, tuple) and isinstance(value, int):
        return (value,) * len(theirs)
    return value


def test_attributes_are_pytorchs(pair):
    ours, theirs = pair
    expected = public(theirs)
    assert expected
    if not type(ours).__name__.startswith("ConvTranspose"):
        expected.pop("output_padding", None)
    for name, value in expected.items():
        found = plain(getattr(ours, name), value)
        assert found == value, name
        assert type(found) is type(value), name


def test_attributes_do_not_follow_the_parameters():
    """The attributes stay as the arguments were, even if the weights are replaced."""
    layer, table = L.Affine(4, 3), L.Embedding(5, 3)
    layer.weight.data = np.ones((2, 2), "float32")
    layer.weight = None
    table.weight = None
    assert (layer.in_features, layer.out_features) == (4, 3)
    assert (table.num_embeddings, table.embedding_dim) == (5, 3)
    assert repr(layer) == "Affine(4 -> 3)"
    assert repr(table) == "Embedding(5 -> 3)"
    again = copy.deepcopy(L.Conv2d(4, 2, 3, padding=1))
    assert (again.kernel_size, again.padding, again.groups) == ((3, 3), (1, 1), 1)


def test_an_encoder_has_its_number_of_layers():
    encoder = L.TransformerEncoder([L.TransformerEncoderLayer(4, 2, 8) for _ in range(3)])
    assert encoder.num_layers == 3
    assert encoder.norm is None


def test_an_invalid_length_is_an_error_when_the_layer_is_made():
    """Not in the first step."""
    for options in ({"stride": 0}, {"dilation": (1, 1, 1)}, {"padding": -1}, {"stride": 1.5}):
        with pytest.raises(xpnet.ArgumentError, match="Expected a whole number from"):
            L.Conv2d(4, 2, 3, **options)
    with pytest.raises(xpnet.ArgumentError, match="whole number from 0"):
        L.ConvTranspose1d(4, 2, 3, output_padding=-1)
