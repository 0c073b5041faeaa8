"""Pooling layers: PyTorch's arguments and numbers; texts and errors."""

import numpy as np
import pytest

import xpnet
from xpnet import (
    AvgPool1d,
    AvgPool2d,
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    MaxPool1d,
    MaxPool2d,
    ShapeError,
)
from xpnet.testing import assert_close

LAYERS = {  # what is made here, what PyTorch makes, the shape of x
    "MaxPool1d": ((3, 2, 1), {"ceil_mode": True}, (2, 3, 8)),
    "MaxPool2d": ((3, 2, 1, 1), {"ceil_mode": True}, (2, 3, 7, 8)),
    "AvgPool1d": ((3, 2, 1), {"count_include_pad": False}, (2, 3, 8)),
    "AvgPool2d": (((3, 2), 2, 1, True, False), {}, (2, 3, 7, 8)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_agrees_with_pytorchs_layer(name):
    """The same positional arguments and options give the same numbers and gradients."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    args, options, shape = LAYERS[name]
    agree(
        torch,
        getattr(xpnet, name)(*args, **options),
        getattr(torch.nn, name)(*args, **options),
        shape,
    )


@pytest.mark.parametrize("name", ["Avg", "Max"])
def test_global_pooling_agrees_with_pytorchs(name):
    """An adaptive pool to one number, flattened."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    theirs = getattr(torch.nn, f"Adaptive{name}Pool2d")(1)
    ours = getattr(xpnet, f"Global{name}Pool2d")()
    agree(torch, ours, torch.nn.Sequential(theirs, torch.nn.Flatten()), (2, 3, 4, 5))


def agree(torch, ours, theirs, shape):
    x = np.random.default_rng(0).integers(0, 9, shape).astype("float32")
    tensor = torch.tensor(x, requires_grad=True)
    with xpnet.using("numpy"):
        y, expected = ours.forward(x), theirs(tensor)
        gy = np.random.default_rng(1).normal(size=y.shape).astype("float32")
        expected.backward(torch.tensor(gy))
        assert_close(y, expected.detach(), rtol=1e-6)
        assert_close(ours.backward(gy), tensor.grad, rtol=1e-5, atol=1e-6)


def test_reprs_omit_default_options():
    """Defaults are omitted."""
    assert repr(MaxPool2d(2)) == "MaxPool2d(kernel_size=2)"
    assert repr(MaxPool1d(3, 2, ceil_mode=True)) == (
        "MaxPool1d(kernel_size=3, stride=2, ceil_mode=True)"
    )
    assert repr(AvgPool2d((2, 1), padding=(1, 0), count_include_pad=False)) == (
        "AvgPool2d(kernel_size=(2, 1), padding=(1, 0), count_include_pad=False)"
    )
    assert repr(GlobalAvgPool2d()) == "GlobalAvgPool2d()"


@pytest.mark.parametrize(
    "layer", [MaxPool2d(2), AvgPool2d(2), GlobalAvgPool2d(), GlobalMaxPool2d()], ids=repr
)
def test_invalid_shapes_and_options_are_errors(layer):
    """The batch axis is missing; the error says what the layer expected."""
    text = r"expected x of shape \(batch, channels, height, width\), got \(3, 4, 4\)\. For one"
    with pytest.raises(ShapeError, match=text):
        layer(np.zeros((3, 4, 4), "float32"))


@pytest.mark.parametrize("layer", [MaxPool1d(3), AvgPool1d(3)], ids=repr)
def test_windows_that_do_not_fit(layer):
    """Longer than the signal."""
    with pytest.raises(ShapeError, match=r"window of \(3,\) does not fit into \(2,\)"):
        layer(np.zeros((1, 1, 2), "float32"))
