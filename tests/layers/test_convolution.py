"""Convolutional layers: PyTorch's arguments, state and numbers; texts and errors."""

import numpy as np
import pytest

import xpnet
from xpnet import (
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    ShapeError,
    Variable,
    functions as F,
    to_numpy,
)
from xpnet.testing import assert_close

LAYERS = {  # name: (arguments, options, shape of x)
    "Conv1d": ((3, 4, 3), {"stride": 2, "padding": 1}, (2, 3, 9)),
    "Conv2d": ((4, 6, (3, 2)), {"dilation": (1, 2), "groups": 2, "bias": False}, (2, 4, 6, 7)),
    "ConvTranspose1d": ((3, 4, 3), {"stride": 2, "output_padding": 1}, (2, 3, 5)),
    "ConvTranspose2d": ((4, 6, 3), {"stride": 2, "padding": 1, "groups": 2}, (2, 4, 4, 5)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_agrees_with_pytorchs_layer(name):
    """Same arguments, same state, same numbers: value, input gradient, parameter gradients."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    args, options, shape = LAYERS[name]
    with xpnet.using("numpy", dtype="float64"):
        ours = getattr(xpnet, name)(*args, **options)
        theirs = getattr(torch.nn, name)(*args, **options).double()
        state = theirs.state_dict()
        assert {k: tuple(v.shape) for k, v in state.items()} == {
            k: v.shape for k, v in ours.state_dict().items()
        }
        ours.load_state_dict(state)
        x = np.random.default_rng(0).normal(size=shape)
        tensor = torch.tensor(x, requires_grad=True)
        expected = theirs(tensor)
        y = ours.forward(x)
        gy = np.random.default_rng(1).normal(size=y.shape)
        expected.backward(torch.tensor(gy))
        assert_close(y, expected.detach(), rtol=1e-10, atol=1e-12)
        assert_close(ours.backward(gy), tensor.grad, rtol=1e-10, atol=1e-12)
        gradients = {k: p.grad for k, p in theirs.named_parameters()}
        for k, p in ours.named_parameters():
            assert_close(p.grad, gradients[k], rtol=1e-10, atol=1e-12)


def test_positional_arguments_are_pytorchs():
    """In the same order, up to the bias."""
    layer = Conv2d(2, 4, 3, 2, 1, 1, 2, False)
    told = "Conv2d(2 -> 4, kernel_size=3, stride=2, padding=1, groups=2, bias=False)"
    assert repr(layer) == told
    layer = ConvTranspose2d(2, 4, 3, 2, 1, 1, 2, False, 2)
    assert repr(layer) == (
        "ConvTranspose2d(2 -> 4, kernel_size=3, stride=2, padding=1, output_padding=1, groups=2, "
        "dilation=2, bias=False)"
    )


def test_reprs_omit_default_options():
    """Defaults are omitted; "same" and lengths that differ are shown."""
    assert repr(Conv1d(1, 2, 5)) == "Conv1d(1 -> 2, kernel_size=5)"
    assert repr(Conv2d(1, 32, 3, padding=(1, 1))) == "Conv2d(1 -> 32, kernel_size=3, padding=1)"
    told = "Conv2d(1 -> 2, kernel_size=(1, 3), padding=same)"
    assert repr(Conv2d(1, 2, (1, 3), padding="same")) == told
    assert repr(Conv2d(1, 2, [3, 3], stride=[2, 2])) == "Conv2d(1 -> 2, kernel_size=3, stride=2)"
    assert repr(ConvTranspose1d(1, 2, 4, stride=2)) == (
        "ConvTranspose1d(1 -> 2, kernel_size=4, stride=2)"
    )


def test_initial_weights_follow_the_initializer(backend):
    """He's initializer with the fans of a kernel; biases are zeros; other initializers."""
    layer = Conv2d(3, 5, (3, 2), groups=1, rng=7)
    drawn = np.random.default_rng(7).standard_normal((5, 3, 3, 2)) * np.sqrt(2 / 18)
    assert_close(layer.weight, drawn.astype("float32"))
    assert_close(layer.bias, np.zeros(5))
    assert not to_numpy(Conv1d(3, 5, 2, weight="zeros").weight.data).any()


def test_a_step_on_every_backend(backend, array):
    """Called, differentiated, and the parameters' gradients are the parameters' alike."""
    layer = Conv2d(1, 2, 3, padding="same", rng=0)
    x = array(np.random.default_rng(0).normal(size=(2, 1, 4, 4)).tolist())
    y = layer(x)
    assert y.shape == (2, 2, 4, 4)
    F.sum(y * y).backward()
    for p in layer.parameters():
        assert (p.grad.shape, p.grad.dtype) == (p.shape, backend.dtype)


@pytest.mark.parametrize(
    ("layer", "shape", "match"),
    [
        (Conv2d(3, 4, 3), (2, 1, 8, 8), r"\(batch, 3, height, width\), got \(2, 1, 8, 8\)"),
        (Conv2d(3, 4, 3), (3, 8, 8), r"one sample use x\[None, ...\]"),
        (Conv1d(3, 4, 3), (2, 4, 8), r"Conv1d\(3 -> 4, .* \(batch, 3, length\), got \(2, 4, 8\)"),
        (Conv2d(3, 4, 5), (2, 3, 4, 8), r"\(5, 5\) does not fit into \(4, 8\)"),
        (ConvTranspose2d(3, 4, 3), (2, 4, 8, 8), r"ConvTranspose2d.*\(batch, 3, height, width\)"),
    ],
)
def test_invalid_shapes_and_options_are_errors(layer, shape, match):
    """The error says what the layer expected."""
    with pytest.raises(ShapeError, match=match) as caught:
        layer(np.zeros(shape, "float32"))
    assert repr(layer) in f"{caught.value}{''.join(caught.value.__notes__)}"


def test_integers_are_an_error():
    """Pixels as bytes: the error says how to convert them."""
    with pytest.raises(TypeError, match=r"and dtype float32, got uint8\. Use F\.astype"):
        Conv2d(1, 1, 1)(Variable(np.zeros((1, 1, 2, 2), "uint8")))


@pytest.mark.parametrize("groups", [0, 2, 3])
def test_groups_divide(groups):
    """Both numbers of channels."""
    for layer in (Conv2d, ConvTranspose2d):
        with pytest.raises(ShapeError, match=f"divide the channels, 4 -> 9, got groups={groups}"):
            layer(4, 9, 3, groups=groups)
