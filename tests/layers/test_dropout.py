"""Dropout: training, evaluation, and generators of its own."""

import numpy as np
import pytest

import xpnet
from xpnet import Dropout, Sequential, Variable, functions as F, to_numpy
from xpnet.testing import assert_close


def test_one_seed_gives_the_same_masks_on_every_backend(backend):
    """Those that NumPy draws, one after the other."""
    rng, layer = np.random.default_rng(3), Dropout(0.4, rng=3)
    for _ in range(2):
        kept = rng.random((3, 5), dtype=np.float32) >= 0.4
        assert_close(layer(F.ones((3, 5)).data), kept / 0.6, rtol=1e-6)


def test_the_global_generator_is_the_default(backend):
    """`manual_seed` repeats the mask; a layer without a generator of its own has no state to save."""
    layer, x = Dropout(0.5), F.ones((4, 4)).data
    xpnet.manual_seed(1)
    first = to_numpy(layer(x))
    xpnet.manual_seed(1)
    assert (to_numpy(layer(x)) == first).all()
    assert list(layer.named_generators()) == []
    model = Sequential(Dropout(0.1, rng=0), Dropout(0.1))
    assert [name for name, _ in model.named_generators()] == ["layers.0.rng"]


def test_in_evaluation_x_is_returned_unchanged(backend, array):
    """The same array is returned, and no random number is drawn."""
    layer, x = Dropout(0.5, rng=0).eval(), array([1.0, 2.0])
    before = xpnet.random.state(layer.rng)
    assert layer(x) is x
    assert xpnet.random.state(layer.rng) == before


def test_the_gradient_has_the_same_mask(backend):
    layer = Dropout(0.5, rng=0)
    x = Variable(F.ones((6, 6)).data)
    y = layer(x)
    F.sum(y).backward()
    assert_close(x.grad, y)


def test_invalid_options_are_errors(backend, array):
    with pytest.raises(ValueError, match="Dropout expected a probability p from 0 to 1, got 2"):
        Dropout(2.0)
    with pytest.raises(TypeError, match=r"Dropout\(p=0.5\) expected .*real floating, got .*int"):
        Dropout(0.5)(array([1, 2]))
    with pytest.raises(TypeError, match="got a list"):
        Dropout(0.5)([1.0])
