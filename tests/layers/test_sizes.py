"""Sizes of layers are whole numbers."""

import re

import numpy as np
import pytest

import xpnet

MAKERS = {
    "Affine in_features": lambda n: xpnet.Affine(n, 2),
    "Affine out_features": lambda n: xpnet.Affine(2, n),
    "Conv2d in_channels": lambda n: xpnet.Conv2d(n, 2, 3),
    "Conv1d out_channels": lambda n: xpnet.Conv1d(2, n, 3),
    "ConvTranspose2d groups": lambda n: xpnet.ConvTranspose2d(2, 2, 3, groups=n),
    "Embedding num_embeddings": lambda n: xpnet.Embedding(n, 2),
    "Embedding embedding_dim": lambda n: xpnet.Embedding(2, n),
    "RNN input_size": lambda n: xpnet.RNN(n, 2),
    "GRU hidden_size": lambda n: xpnet.GRU(2, n),
    "LSTM num_layers": lambda n: xpnet.LSTM(2, 2, num_layers=n),
    "BatchNorm1d num_features": lambda n: xpnet.BatchNorm1d(n),
    "BatchNorm2d num_features": lambda n: xpnet.BatchNorm2d(n),
    "LayerNorm normalized_shape": lambda n: xpnet.LayerNorm([n]),
    "GroupNorm num_channels": lambda n: xpnet.GroupNorm(1, n),
    "MultiheadAttention embed_dim": lambda n: xpnet.MultiheadAttention(n, 1),
    "MultiheadAttention num_heads": lambda n: xpnet.MultiheadAttention(4, n),
}


@pytest.mark.parametrize("size", [2.5, 2.0, "two", True, None], ids=repr)
@pytest.mark.parametrize("name", MAKERS)
def test_a_size_that_is_not_a_whole_number_is_an_error_that_names_it(name, size):
    layer, argument = name.split()
    words = f"{layer} expected {argument} to be a whole number, got {size!r}."
    with pytest.raises(xpnet.ArgumentTypeError, match=re.escape(words)):
        MAKERS[name](size)


@pytest.mark.parametrize(
    "make",
    [
        lambda W: xpnet.Affine(W, np.zeros(3)),
        lambda W: xpnet.Embedding(W, 3),
        lambda W: xpnet.RNN(W, W),
    ],
)
def test_weights_in_place_of_a_size_are_an_error_that_names_where_they_go(make):
    """As in `Affine(W, b)` of the books."""
    words = (
        r"to be a whole number, got an array of shape \(2, 3\)\. .* layer\.weight\.data = array\."
    )
    with pytest.raises(xpnet.ArgumentTypeError, match=words):
        make(np.zeros((2, 3)))


@pytest.mark.parametrize("name", MAKERS)
def test_numpys_integers_are_whole_numbers(name):
    assert isinstance(MAKERS[name](np.int64(2)), xpnet.Layer)
