"""Models of Keras 3 and of xpnet with each other's weights compute the same; and .keras files are read.

`nox -s keras` installs Keras, with JAX to compute. Without Keras these tests are skipped.
"""

import os

import numpy as np
import pytest

import xpnet
from xpnet import (
    Affine,
    ArgumentTypeError,
    Conv1d,
    Conv2d,
    Flatten,
    ReLU,
    Sequential,
    StateError,
)
from xpnet.saving import keras_weights, load_keras_weights, match_keras_weights

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras", reason="Keras is the other side")
# Keras calls NumPy in a deprecated way.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
L = keras.layers
RNG = np.random.default_rng(0)


def channels_first(x):
    return np.moveaxis(x, -1, 1)


def channels_last(y):
    return np.moveaxis(y, 1, -1)


def same(x):
    return x


def first_output(y):
    return y[0]


# The shape of a sample, Keras's layer, ours, x to our layout, y to Keras's.
CASES = {
    "Dense": ((3,), lambda: L.Dense(4), lambda: Affine(3, 4), same, same),
    "Dense of sequences": ((5, 3), lambda: L.Dense(4), lambda: Affine(3, 4), same, same),
    "Conv1D": ((9, 2), lambda: L.Conv1D(4, 3), lambda: Conv1d(2, 4, 3), channels_first, channels_last),
    "Conv2D": ((8, 7, 2), lambda: L.Conv2D(4, (3, 2)), lambda: Conv2d(2, 4, (3, 2)), channels_first, channels_last),
    "Conv2D, same": ((8, 7, 2), lambda: L.Conv2D(4, 3, padding="same"), lambda: Conv2d(2, 4, 3, padding="same"), channels_first, channels_last),
    "Conv2D, groups": ((8, 7, 4), lambda: L.Conv2D(6, 3, groups=2), lambda: Conv2d(4, 6, 3, groups=2), channels_first, channels_last),
    "DepthwiseConv2D": ((8, 7, 3), lambda: L.DepthwiseConv2D(3, depth_multiplier=2), lambda: Conv2d(3, 6, 3, groups=3), channels_first, channels_last),
    "Conv1DTranspose": ((5, 2), lambda: L.Conv1DTranspose(4, 3, strides=2), lambda: xpnet.ConvTranspose1d(2, 4, 3, stride=2), channels_first, channels_last),
    "Conv2DTranspose": ((5, 4, 2), lambda: L.Conv2DTranspose(4, (3, 2), strides=2), lambda: xpnet.ConvTranspose2d(2, 4, (3, 2), stride=2), channels_first, channels_last),
    "BatchNormalization": ((4, 5, 3), L.BatchNormalization, lambda: xpnet.BatchNorm2d(3, eps=1e-3), channels_first, channels_last),
    "BatchNormalization of rows": ((3,), L.BatchNormalization, lambda: xpnet.BatchNorm1d(3, eps=1e-3), same, same),
    "LayerNormalization": ((5, 3), L.LayerNormalization, lambda: xpnet.LayerNorm(3, eps=1e-3), same, same),
    "GroupNormalization": ((4, 5, 6), lambda: L.GroupNormalization(2), lambda: xpnet.GroupNorm(2, 6, eps=1e-3), channels_first, channels_last),
    "LayerNormalization of images": ((4, 5, 3), lambda: L.LayerNormalization(axis=[1, 2, 3]), lambda: xpnet.LayerNorm((3, 4, 5), eps=1e-3), channels_first, channels_last),
    "LayerNormalization of cubes": ((4, 4, 4), lambda: L.LayerNormalization(axis=[1, 2, 3]), lambda: xpnet.LayerNorm((4, 4, 4), eps=1e-3), channels_first, channels_last),
    "normalized and flattened": (
        (4, 4, 4),
        lambda: keras.Sequential([L.Conv2D(4, 3, padding="same"), L.LayerNormalization(axis=[1, 2, 3]), L.Flatten(), L.Dense(5)]),
        lambda: Sequential(Conv2d(4, 4, 3, padding="same"), xpnet.LayerNorm((4, 4, 4), eps=1e-3), Flatten(), Affine(64, 5)),
        channels_first,
        same,
    ),
    "SeparableConv2D": ((8, 7, 3), lambda: L.SeparableConv2D(4, 3, depth_multiplier=2), lambda: Sequential(Conv2d(3, 6, 3, groups=3, bias=False), Conv2d(6, 4, 1)), channels_first, channels_last),
    "TimeDistributed": ((5, 3), lambda: L.TimeDistributed(L.Dense(4)), lambda: Affine(3, 4), same, same),
    "Dropout": ((3,), lambda: keras.Sequential([L.Dense(4), L.Dropout(0.5), L.Dense(2)]), lambda: Sequential(Affine(3, 4), xpnet.Dropout(0.5), Affine(4, 2)), same, same),
    "SimpleRNN": ((5, 3), lambda: L.SimpleRNN(4, return_sequences=True), lambda: xpnet.RNN(3, 4, batch_first=True), same, first_output),
    "LSTM": ((5, 3), lambda: L.LSTM(4, return_sequences=True), lambda: xpnet.LSTM(3, 4, batch_first=True), same, first_output),
    "GRU": ((5, 3), lambda: L.GRU(4, return_sequences=True), lambda: xpnet.GRU(3, 4, batch_first=True), same, first_output),
    "GRU, reset before": ((5, 3), lambda: L.GRU(4, return_sequences=True, reset_after=False), lambda: xpnet.GRU(3, 4, batch_first=True, reset_after=False), same, first_output),
    "Bidirectional": ((5, 3), lambda: L.Bidirectional(L.LSTM(4, return_sequences=True)), lambda: xpnet.LSTM(3, 4, batch_first=True, bidirectional=True), same, first_output),
    "flattened": (
        (8, 8, 2),
        lambda: keras.Sequential([L.Conv2D(4, 3), L.ReLU(), L.MaxPooling2D(2), L.Flatten(), L.Dense(5)]),
        lambda: Sequential(Conv2d(2, 4, 3), ReLU(), xpnet.MaxPool2d(2), Flatten(), Affine(36, 5)),
        channels_first,
        same,
    ),
}  # fmt: skip


def randomized(model):
    """The model, with weights that are not 0 and 1; variances are positive."""
    model.set_weights([np.abs(RNG.normal(size=w.shape)) * 0.3 + 0.1 for w in model.get_weights()])
    signs = [1.0 if "variance" in v.path else -1.0 for v in model.weights]
    model.set_weights(
        [s**k * w for k, (s, w) in enumerate(zip(signs, model.get_weights(), strict=True))]
    )
    return model


def outputs(case, theirs, ours, x):
    _, _, _, to_ours, to_theirs = CASES[case]
    with xpnet.using("numpy"), xpnet.no_grad():
        y = ours.eval()(to_ours(x))
    y = to_theirs(y)
    return xpnet.to_numpy(y), np.asarray(theirs(x, training=False))


@pytest.mark.parametrize("case", CASES)
def test_the_outputs_are_those_of_keras(case, tmp_path):
    """Keras's weights here, ours there, and Keras's file here."""
    shape, make_theirs, make_ours, _, _ = CASES[case]
    theirs = randomized(keras.Sequential([keras.Input(shape), make_theirs()]))
    x = RNG.normal(size=(3, *shape)).astype("float32")
    ours = make_ours()
    load_keras_weights(ours, theirs.get_weights())
    np.testing.assert_allclose(*outputs(case, theirs, ours, x), rtol=1e-4, atol=1e-5)
    others = make_ours()
    theirs.set_weights(keras_weights(others))
    np.testing.assert_allclose(*outputs(case, theirs, others, x), rtol=1e-4, atol=1e-5)
    pytest.importorskip("pyfive", reason="it reads HDF5")
    theirs.save(tmp_path / "net.keras")
    load_keras_weights(ours, tmp_path / "net.keras")
    for a, b in zip(keras_weights(ours), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_embedding():
    theirs = keras.Sequential(
        [keras.Input((4,), dtype="int32"), L.Embedding(6, 3), L.Flatten(), L.Dense(2)]
    )
    ours = Sequential(xpnet.Embedding(6, 3), Flatten(), Affine(12, 2))
    load_keras_weights(ours, theirs.get_weights())
    x = RNG.integers(0, 6, (5, 4))
    np.testing.assert_allclose(ours(x).data, np.asarray(theirs(x)), rtol=1e-4, atol=1e-6)


def test_attention(tmp_path):
    """Two inputs; with a key and value of another size."""
    query, value = keras.Input((5, 6)), keras.Input((7, 4))
    y = L.MultiHeadAttention(2, 3)(query, value)
    theirs = randomized(keras.Model([query, value], y))
    ours = xpnet.MultiheadAttention(6, 2, kdim=4, vdim=4, batch_first=True)
    load_keras_weights(ours, theirs.get_weights())
    q, v = (
        RNG.normal(size=(2, 5, 6)).astype("float32"),
        RNG.normal(size=(2, 7, 4)).astype("float32"),
    )
    np.testing.assert_allclose(ours(q, v).data, np.asarray(theirs([q, v])), rtol=1e-4, atol=1e-5)
    x = keras.Input((5, 6))
    theirs = randomized(keras.Model(x, L.MultiHeadAttention(2, 3)(x, x)))
    ours = xpnet.MultiheadAttention(6, 2, batch_first=True)
    load_keras_weights(ours, theirs.get_weights())
    np.testing.assert_allclose(ours(q).data, np.asarray(theirs(q)), rtol=1e-4, atol=1e-5)
    pytest.importorskip("pyfive", reason="it reads HDF5")
    theirs.save(tmp_path / "net.keras")
    load_keras_weights(ours, tmp_path / "net.keras")
    np.testing.assert_allclose(ours(q).data, np.asarray(theirs(q)), rtol=1e-4, atol=1e-5)


def test_files_of_larger_models(tmp_path):
    """More than ten layers of a kind, models within models, and layers in another order than made."""
    pytest.importorskip("pyfive", reason="it reads HDF5")
    inner = keras.Sequential([keras.Input((3,)), L.Dense(3), L.Dense(3)])
    x = keras.Input((3,))
    y = x
    for _ in range(12):
        y = L.Dense(3)(y)
    y = L.BatchNormalization()(inner(y))
    theirs = randomized(keras.Model(x, L.Add()([y, L.Dense(3)(x)])))
    theirs.save(tmp_path / "net.keras")
    ours = Sequential(*[Affine(3, 3) for _ in range(14)], xpnet.BatchNorm1d(3), Affine(3, 3))
    load_keras_weights(ours, tmp_path / "net.keras")
    for a, b in zip(keras_weights(ours), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(match_keras_weights(ours, tmp_path / "net.keras").rows) == len(theirs.weights)


def test_parts_of_an_unknown_order_are_an_error(tmp_path):
    """The order in which a class of one's own makes its parts is not in the file."""
    pytest.importorskip("pyfive", reason="it reads HDF5")

    @keras.saving.register_keras_serializable()
    class Block(L.Layer):
        def __init__(self, **options):
            super().__init__(**options)
            self.layer = L.Dense(3)
            self.cell = L.Dense(3)

        def build(self, shape):
            self.layer.build(shape)
            self.cell.build(shape)

        def call(self, x):
            return self.cell(self.layer(x))

    x = keras.Input((5, 6))
    attention = L.GroupQueryAttention(3, 2, 1)(x, x)  # its group has another name than its class
    for theirs, message in (
        (
            keras.Sequential([keras.Input((3,)), Block()]),
            r"parts of an unknown order, \['cell', 'layer'\]",
        ),
        (
            keras.Model(x, attention),
            r"layers that its description lacks, \['grouped_query_attention'\]",
        ),
    ):
        theirs.save(tmp_path / "net.keras")
        with pytest.raises(StateError, match=message):
            load_keras_weights(Sequential(Affine(3, 3), Affine(3, 3)), tmp_path / "net.keras")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_files_of_half_precision(tmp_path, dtype):
    """HDF5 has no bfloat16: Keras writes two bytes for each number."""
    pytest.importorskip("pyfive", reason="it reads HDF5")
    theirs = keras.Sequential([keras.Input((3,), dtype=dtype), L.Dense(2, dtype=dtype)])
    theirs.save(tmp_path / "net.keras")
    for weights in (theirs.get_weights(), tmp_path / "net.keras"):
        ours = Affine(3, 2)
        load_keras_weights(ours, weights)
        assert ours.weight.data.dtype == np.float32
        np.testing.assert_array_equal(ours.weight.data, theirs.get_weights()[0].astype("float32"))


def test_a_model_itself_is_an_error_that_asks_for_its_weights():
    theirs = keras.Sequential([keras.Input((3,)), L.Dense(2)])
    with pytest.raises(ArgumentTypeError, match=r"got a Sequential. Pass keras_model.get_weights"):
        load_keras_weights(Affine(3, 2), theirs)


def test_a_truncated_file_is_an_error(tmp_path):
    pytest.importorskip("pyfive", reason="it reads HDF5")
    path = tmp_path / "net.keras"
    keras.Sequential([keras.Input((3,)), L.Dense(2)]).save(path)
    whole = path.read_bytes()
    for part in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:part])
        with pytest.raises(StateError, match=r"net.keras: expected a .keras file of Keras 3"):
            load_keras_weights(Affine(3, 2), path)


def test_a_model_that_is_a_class_of_its_own_is_an_error(tmp_path):
    pytest.importorskip("pyfive", reason="it reads HDF5")

    @keras.saving.register_keras_serializable()
    class Net(keras.Model):
        def __init__(self, **options):
            super().__init__(**options)
            self.dense = L.Dense(2)

        def call(self, x):
            return self.dense(x)

    net = Net()
    net(np.ones((1, 3), "float32"))
    net.save(tmp_path / "net.keras")
    with pytest.raises(StateError, match="expected a Sequential or Functional model, got Net"):
        load_keras_weights(Affine(3, 2), tmp_path / "net.keras")
    load_keras_weights(Affine(3, 2), net.get_weights())
