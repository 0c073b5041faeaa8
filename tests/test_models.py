"""Networks by name: their shapes, sizes and messages, and that each learns in a few steps."""

import numpy as np
import pytest

import xpnet
from xpnet import Adam, ShapeError, functions as F, manual_seed, models, to_numpy
from xpnet.layers import LSTM, Conv2d, GlobalAvgPool2d
from xpnet.testing import assert_close

SIZES = {  # name: (input shape, the number of parameters of 10 outputs, from its docstring)
    "mlp": ((1, 28, 28), 784 * 256 + 256 + 256 * 128 + 128 + 128 * 10 + 10),
    "lenet": ((1, 28, 28), 16 * 26 + 32 * 401 + 800 * 128 + 128 + 1290),
    "resnet": (
        (1, 28, 28),
        9 * 16 + 2 * 9 * 16 * 16  # the first, and the first stage
        + (9 * 16 * 32 + 9 * 32 * 32 + 16 * 32) + (9 * 32 * 64 + 9 * 64 * 64 + 32 * 64)
        + 2 * (3 * 16 + 3 * 32 + 3 * 64) + 650,  # normalization, and the last
    ),
    "lstm": ((28, 28), 4 * 128 * (28 + 128 + 2) + 1290),
    "transformer": (
        (28, 28),
        29 * 64 + 2 * (4 * 64 * 65 + 65 * 128 + 129 * 64 + 4 * 64) + 128 + 650,
    ),
}  # fmt: skip
SMALL = {
    "mlp": ((4, 3), {"hidden": 16}),
    "lenet": ((1, 12, 14), {"channels": (4, 8), "hidden": 16, "dropout": 0.0}),
    "resnet": ((2, 8, 8), {"channels": (4, 8)}),
    "lstm": ((5, 3), {"hidden": 16}),
    "transformer": ((5, 3), {"width": 16, "heads": 2, "layers": 1, "hidden": 16}),
}


def image_like(shape, n, rng):
    return rng.normal(size=(n, *shape)).tolist()


@pytest.mark.parametrize("name", SIZES)
def test_the_number_of_parameters_is_the_documented_one(name):
    shape, size = SIZES[name]
    model = models.build(name, shape, 10)
    assert sum(to_numpy(p.data).size for p in model.parameters()) == size


@pytest.mark.parametrize("name", SMALL)
def test_scores_are_the_same_on_every_backend(backend, array, name):
    """Their shape is (batch, outputs), and their dtype the backend's; one seed gives the same weights."""
    shape, options = SMALL[name]
    model = models.build(name, shape, 3, rng=0, **options).eval()
    x = image_like(shape, 2, np.random.default_rng(0))
    y = model(array(x))
    assert (y.shape, y.dtype) == ((2, 3), backend.dtype)
    with xpnet.using("numpy") as host:
        reference = models.build(name, shape, 3, rng=0, **options).eval()(host.asarray(x))
    assert_close(y, reference, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_each_network_memorizes_a_few_samples(name):
    """For 32 samples of noise in three classes, the loss falls to less than a third."""
    shape, options = SMALL[name]
    manual_seed(0)
    with xpnet.using("numpy") as backend:
        rng = np.random.default_rng(0)
        x = backend.asarray(image_like(shape, 32, rng))
        t = backend.asarray(rng.integers(0, 3, 32))
        model = models.build(name, shape, 3, **options)
        optimizer = Adam(model.parameters(), lr=0.01)
        losses = []
        for _ in range(60):
            loss = F.softmax_cross_entropy(model(x), t)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss))
        assert losses[-1] < losses[0] / 3


@pytest.mark.parametrize("shape", [(6,), (2, 3), (3, 2, 4), (4, 2)], ids=str)
@pytest.mark.parametrize("name", ["lstm", "transformer"])
def test_sequence_models_accept_samples_of_one_to_three_axes(name, shape):
    """A vector, a sequence of vectors, and an image with channels, which is read row by row."""
    x = np.random.default_rng(0).normal(size=(5, *shape)).astype("float32")
    assert models.build(name, shape, 2)(x).shape == (5, 2)


def test_rows_concatenates_the_channels_of_each_row():
    """Row r of the result is row r of all channels, one after the other."""
    x = np.arange(12.0, dtype="float32").reshape(1, 2, 3, 2)
    expected = [[[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]]]
    assert_close(models.Rows()(x), expected)


def test_the_last_state_is_that_of_both_directions():
    """The last output of the forward direction beside the first one of the backward direction."""
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    reader = LSTM(3, 5, 2, batch_first=True, bidirectional=True, rng=0)
    output = to_numpy(reader(x)[0])
    expected = np.concatenate([output[:, -1, :5], output[:, 0, 5:]], axis=1)
    assert_close(models.LastState(reader)(x), expected, rtol=1e-6)
    assert repr(models.LastState(reader)) == f"LastState({reader!r})"
    assert models.lstm((4, 3), 2, layers=2, bidirectional=True, dropout=0.5)(x).shape == (2, 2)


def test_the_networks_follow_their_options():
    """The numbers of blocks and channels of resnet and lenet."""
    model = models.resnet((3, 9, 9), 4, channels=(2, 4), blocks=3)
    printed = repr(model)
    assert printed.count("Residual(") == 6
    assert printed.count("shortcut=") == 1
    assert "Conv2d(2 -> 4, kernel_size=1, stride=2, bias=False)" in printed
    assert isinstance(model[0], Conv2d)
    assert isinstance(model[-2], GlobalAvgPool2d)
    assert model(np.zeros((2, 3, 9, 9), "float32")).shape == (2, 4)
    model = models.lenet((3, 32, 20), 4, channels=(2, 3), hidden=5, dropout=0.0)
    assert model(np.zeros((2, 3, 32, 20), "float32")).shape == (2, 4)


def test_rng_determines_the_weights_and_the_dropout():
    """The same integer gives the same weights; dropout draws from the same generator."""
    a, b = (models.lenet((1, 12, 12), 2, rng=3).state_dict() for _ in range(2))
    assert all(to_numpy(a[k] == b[k]).all() for k in a)
    assert len(list(models.transformer((4, 3), 2, rng=3).named_generators())) == 1
    assert not list(models.transformer((4, 3), 2).named_generators())


def test_unknown_names_and_unsuitable_samples_raise():
    with pytest.raises(ValueError, match="Unknown model 'vgg'. Expected one of: mlp, lenet, res"):
        models.build("vgg", (1, 28, 28), 10)
    with pytest.raises(ShapeError, match=r"lenet expected images .* at least 12 x 12, got \(784,"):
        models.build("lenet", (784,), 10)
    with pytest.raises(ShapeError, match=r"at least 12 x 12, got \(1, 8, 8\)"):
        models.lenet((1, 8, 8), 10)
    with pytest.raises(ShapeError, match=r"resnet expected images of shape .*, got \(28, 28\)"):
        models.resnet((28, 28), 10)
    with pytest.raises(ShapeError, match=r"Expected samples of shape .*, got \(1, 2, 3, 4\)"):
        models.lstm((1, 2, 3, 4), 10)
