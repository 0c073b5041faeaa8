"""Sequential as a list of layers; Residual, and its error where the shapes differ."""

import pytest

from xpnet import MLP, Affine, ReLU, Residual, Sequential, ShapeError, functions as F
from xpnet.testing import assert_close


def test_sequential_is_a_list_of_its_layers(backend, array):
    """Slices are networks, as in PyTorch; what was trained is in both."""
    model = MLP(2, [3, 4], 1, rng=0)
    features = model[:-1]
    assert type(features) is Sequential
    assert features(array([[1.0, 2.0]])).shape == (1, 4)
    assert features[0] is model[0]
    features.append(Affine(4, 2))
    features.insert(0, ReLU())
    features[1] = Affine(2, 3)
    del features[2]
    features += [ReLU()]
    assert [type(layer).__name__ for layer in features] == [
        "ReLU", "Affine", "Affine", "ReLU", "Affine", "ReLU",
    ]  # fmt: skip
    assert len(model) == 5
    assert features.pop() not in model
    features[-2:] = [ReLU(), ReLU(), model[-1]]
    assert features[-1] in model
    assert len(features) == 6
    assert len(Residual(ReLU(), ReLU(), shortcut=ReLU())[:1]) == 1


def test_items_of_a_sequential_must_be_layers(backend):
    model = Sequential(ReLU())
    with pytest.raises(TypeError, match="Sequential expected layers, got a function"):
        model.append(F.relu)
    with pytest.raises(TypeError, match="Sequential expected layers, got a type"):
        model[0] = ReLU
    with pytest.raises(TypeError, match="Sequential expected layers, got a str"):
        model[:] = "ab"
    assert len(model) == 1


def test_residual_adds_its_input(backend, array):
    """f(x) + x; and with a shortcut f(x) + g(x)."""
    x = array([[1.0, -2.0]])
    assert_close(Residual(ReLU())(x), [[2.0, -2.0]])
    assert_close(Residual(ReLU(), shortcut=ReLU())(x), [[2.0, 0.0]])
    assert_close(Residual()(x), [[2.0, -4.0]])


def test_residual_does_not_broadcast(backend):
    """(batch, 1) and (batch, 3) are a mistake, not a sum."""
    x = F.zeros((2, 3)).data
    with pytest.raises(ShapeError, match=r"got \(2, 1\) and \(2, 3\) for x .* Pass shortcut="):
        Residual(Affine(3, 1))(x)
    with pytest.raises(ShapeError, match=r"got \(2, 1\) and \(2, 2\) .* Pass another shortcut="):
        Residual(Affine(3, 1), shortcut=Affine(3, 2))(x)


def test_residual_accepts_layers_only():
    with pytest.raises(TypeError, match="Residual expected layers, got a list"):
        Residual([ReLU()])
    with pytest.raises(TypeError, match="layer as shortcut, got 'same'"):
        Residual(ReLU(), shortcut="same")


def test_residual_names_and_shows_its_shortcut(backend):
    """The parameters and the repr include those of the shortcut."""
    layer = Residual(Affine(2, 3), shortcut=Affine(2, 3, bias=False))
    assert [name for name, _ in layer.named_parameters()] == [
        "layers.0.weight",
        "layers.0.bias",
        "shortcut.weight",
    ]
    assert repr(Sequential(layer)).splitlines() == [
        "Sequential(",
        "  Residual(",
        "    Affine(2 -> 3)",
        "    shortcut=Affine(2 -> 3, bias=False)",
        "  )",
        ")",
    ]


@pytest.mark.parametrize("name", ["leaky_relu", "elu", "gelu", "silu", "softplus"])
def test_mlp_takes_every_activation(backend, array, name):
    """By its name in lower case."""
    model = MLP(2, 3, 1, activation=name, rng=0)
    assert model(array([[1.0, 2.0]])).shape == (1, 1)
