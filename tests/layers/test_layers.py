"""Each layer's own shape, and its errors."""

import numpy as np
import pytest

import xpnet
from xpnet import MLP, Affine, Flatten, Layer, ReLU, Sequential, ShapeError, to_numpy
from xpnet.layers.activation import activation
from xpnet.testing import assert_close


def test_affine_formula(backend, array):
    """y = x @ W + b."""
    layer = Affine(2, 2, rng=0)
    layer.load_state_dict(
        {"weight": to_numpy([[1.0, 2.0], [3.0, 4.0]]), "bias": to_numpy([10.0, 20.0])}
    )
    assert_close(layer(array([[1.0, 1.0], [2.0, 0.0]])), [[14.0, 26.0], [12.0, 24.0]])
    assert_close(layer(array([[[1.0, 1.0]], [[2.0, 0.0]]])), [[[14.0, 26.0]], [[12.0, 24.0]]])


def test_affine_names_what_does_not_fit(backend, array):
    """Expected, given, where, and what to try."""
    layer = Affine(3, 2, rng=0)
    with pytest.raises(ShapeError) as caught:
        layer(array([1.0, 2.0, 3.0]))
    assert str(caught.value) == (
        "Affine(3 -> 2) expected x of shape (batch, 3), got (3,). For one sample use x[None, :]."
    )
    with pytest.raises(ShapeError) as caught:
        layer(array([[1.0, 2.0]]))
    assert str(caught.value) == "Affine(3 -> 2) expected x of shape (batch, 3), got (1, 2)."
    with pytest.raises(
        TypeError, match=r"\(3 -> 2\) expected x of shape \(batch, 3\), got a list; "
    ):
        layer([[1.0, 2.0, 3.0]])
    with pytest.raises(TypeError, match=r"got a tuple; if a layer has several outputs, take one"):
        Sequential(xpnet.LSTM(2, 3), layer)(array([[[1.0, 2.0]]]))
    with pytest.raises(TypeError, match=r"Affine\(3 -> 2\) expected .*float32, got .*int"):
        layer(array([[1, 2, 3]]))


def test_flatten(backend, array):
    """The batch stays; an empty one too."""
    layer = Flatten()
    assert layer(array([[[1.0, 2.0], [3.0, 4.0]]])).shape == (1, 4)
    assert layer(array([1.0, 2.0])).shape == (2, 1)
    assert layer(array([[[1.0, 2.0]]])[:0, :, :]).shape == (0, 2)


@pytest.mark.parametrize(
    ("hidden", "widths"), [(5, [5]), ([5], [5]), ([5, 4], [5, 4]), ((6, 5, 4), [6, 5, 4]), ([], [])]
)
def test_mlp_takes_an_int_or_a_list(backend, array, hidden, widths):
    """An int is one hidden layer, a list as many as it has numbers."""
    model = MLP(3, hidden, 2, rng=0)
    affine = [layer for layer in model if isinstance(layer, Affine)]
    assert [layer.weight.shape for layer in affine] == list(
        zip([3, *widths], [*widths, 2], strict=True)
    )
    assert len(model) == 2 * len(widths) + 1
    assert model(array([[1.0, 2.0, 3.0]])).shape == (1, 2)


def test_sequential_is_a_list_of_layers():
    """It can be indexed and walked."""
    first = ReLU()
    model = Sequential(first, Flatten())
    assert model[0] is first
    assert [type(layer).__name__ for layer in model] == ["ReLU", "Flatten"]
    assert all(isinstance(layer, Layer) for layer in model)


def test_unknown_names_are_errors():
    """The messages list what there is."""
    with pytest.raises(ValueError, match=r"Unknown activation 'swosh'. Expected one of: relu, "):
        activation("swosh")
    with pytest.raises(ValueError, match=r"Unknown initializer 'huge'. Expected one of: zeros, "):
        Affine(2, 2, weight="huge")


@pytest.mark.parametrize("sizes", [(0, 3), (3, 0), (-1, 2)])
def test_affine_of_no_features_is_an_error(sizes):
    """A width of 0 is a mistake, and one below it."""
    with pytest.raises(ShapeError, match="all of them 1 or more"):
        Affine(*sizes)


def test_the_layers_of_an_mlp_draw_from_one_stream(backend):
    """The second layer continues the stream of the first, so that the weights differ."""
    model = MLP(3, 3, 3, weight="normal", rng=5)
    numbers = np.random.default_rng(5).standard_normal(18)
    scale = float(model[0].weight[0, 0]) / numbers[0]
    assert_close(model[0].weight, (scale * numbers[:9]).reshape(3, 3), rtol=1e-5)
    assert_close(model[2].weight, (scale * numbers[9:]).reshape(3, 3), rtol=1e-5)


@pytest.mark.parametrize(
    ("activation", "variance"), [("relu", 2 / 300), ("tanh", 2 / 400), ("sigmoid", 2 / 400)]
)
def test_the_initializer_of_an_mlp_suits_its_activation(activation, variance):
    """He for ReLU: 2 / in; Glorot for the others: 2 / (in + out)."""
    with xpnet.using("numpy"):
        W = MLP(300, 100, 10, activation=activation, rng=0)[0].weight.data
    assert float(W.var()) == pytest.approx(variance, rel=0.05)


def test_the_width_of_an_mlp_may_be_a_numpy_integer(backend):
    assert MLP(3, np.int64(4), 2)[0].weight.shape == (3, 4)


each_option = pytest.mark.parametrize(
    "use",
    [
        lambda x, half: xpnet.Dropout(half)(x),
        lambda x, half: xpnet.LeakyReLU(half)(x),
        lambda x, half: xpnet.ELU(half)(x),
        lambda x, half: xpnet.Softplus(half, half)(x),
        lambda x, half: xpnet.functions.hinge_loss(x, 0.0 * x + 1.0, margin=half),
        lambda x, half: xpnet.functions.huber_loss(x, 2.0 * x, delta=half),
        lambda x, half: xpnet.functions.softmax_cross_entropy(x, x, label_smoothing=half),
    ],
    ids=["dropout", "leaky", "elu", "softplus", "hinge", "huber", "smoothing"],
)


@each_option
def test_options_may_be_numpys_numbers(use):
    """As np.linspace gives them: float32 stays float32, and the values are those of a float."""
    with xpnet.using("numpy") as backend:
        x = backend.asarray([[1.0, -2.0], [3.0, 0.5]])
        xpnet.manual_seed(0)
        y = use(xpnet.Variable(x), np.float64(0.5))
        xpnet.manual_seed(0)
        assert y.dtype == backend.dtype
        assert_close(y, use(x, 0.5), rtol=1e-6)


@each_option
def test_a_variable_that_requires_a_gradient_is_an_error_as_an_option(use):
    """Its gradient is not lost in silence."""
    with xpnet.using("numpy") as backend:
        x, half = backend.asarray([[1.0, -2.0]]), xpnet.Parameter(0.5)
        with pytest.raises(TypeError, match=r"Expected a number, got Parameter\(.*no gradient"):
            use(x, half)


def test_running_averages_of_numpys_momentum_stay_float32():
    with xpnet.using("numpy") as backend:
        layer = xpnet.BatchNorm1d(2, momentum=np.float64(0.5))
        layer(backend.asarray([[1.0, 2.0], [3.0, 4.0]]))
        assert layer.running_mean.data.dtype == layer.running_var.data.dtype == backend.dtype
        assert_close(layer.running_mean.data, [1.0, 1.5])
