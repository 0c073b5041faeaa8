"""Embedding: its first weight, its padding, and numbers without a row."""

import numpy as np
import pytest

from xpnet import SGD, Embedding, functions as F, to_numpy
from xpnet.testing import assert_close


def test_the_initial_weight_is_normally_distributed(backend):
    """Mean 0 and standard deviation 1, repeatable by the seed."""
    W = to_numpy(Embedding(200, 50, rng=0).weight)
    assert abs(float(W.mean())) < 0.05
    assert abs(float(W.std()) - 1.0) < 0.05
    assert_close(W, np.random.default_rng(0).standard_normal((200, 50)), rtol=1e-6)


@pytest.mark.parametrize("padding", [1, -3])
def test_the_padding_row_is_zero_and_does_not_learn(backend, array, padding):
    """After a step too."""
    layer = Embedding(4, 2, padding_idx=padding, rng=0)
    x = array([[0, 1], [1, 3]])
    assert_close(layer(x)[0, 1, :], [0.0, 0.0])
    before = to_numpy(layer.weight).copy()
    F.sum(layer(x)).backward()
    SGD(layer.parameters(), lr=0.5).step()
    moved = np.asarray([[0.5, 0.5], [0.0, 0.0], [0.0, 0.0], [0.5, 0.5]])
    assert_close(layer.weight, before - moved, rtol=1e-6)
    assert repr(layer) == "Embedding(4 -> 2, padding_idx=1)"


@pytest.mark.parametrize("wrong", [4, -1])
def test_a_number_without_a_row_is_an_error(backend, array, wrong):
    """On CuPy it is raised when numbers come to the host."""
    layer = Embedding(4, 2, rng=0)
    x = array([0, wrong])
    message = f"embedding expected indices from 0 to 3, got {wrong}: it is out of range"
    if backend.name.startswith("cupy"):
        y = layer(x)
        with pytest.raises(IndexError, match=message):
            to_numpy(y)
    else:
        with pytest.raises(IndexError, match=message) as caught:
            layer(x)
        assert "in Embedding(4 -> 2)" in caught.value.__notes__


def test_an_input_that_is_not_integers_is_an_error(backend, array):
    with pytest.raises(TypeError, match=r"Embedding\(4 -> 2\) expected .*int64, got .*float32"):
        Embedding(4, 2)(array([1.0]))
    with pytest.raises(TypeError, match="got a list"):
        Embedding(4, 2)([1])
    with pytest.raises(ValueError, match="padding_idx from -4 to 3, got 4"):
        Embedding(4, 2, padding_idx=4)
