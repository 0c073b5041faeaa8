"""Weights in Keras's layouts, as its documentation describes them; test_keras_itself.py asks Keras."""

import sys
import zipfile

import numpy as np
import pytest

import xpnet
from xpnet import (
    Affine,
    ArgumentTypeError,
    Conv1d,
    Conv2d,
    Flatten,
    Layer,
    Parameter,
    ReLU,
    Reshape,
    Sequential,
    StateError,
)
from xpnet.saving import keras_weights, load_keras_weights, match_keras_weights
from xpnet.saving._keras_file import read_keras_file

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype("float32")


def hosts(model):
    return {name: xpnet.to_numpy(x).copy() for name, x in model.state_dict().items()}


MODELS = {
    "dense": (lambda: Affine(3, 4), [(3, 4), (4,)]),
    "conv": (lambda: Conv2d(2, 6, (3, 5)), [(3, 5, 2, 6), (6,)]),
    "conv of groups": (lambda: Conv2d(4, 6, 3, groups=2), [(3, 3, 2, 6), (6,)]),
    "depthwise": (lambda: Conv2d(4, 8, 3, groups=4), [(3, 3, 4, 2), (8,)]),
    "conv of signals": (lambda: Conv1d(2, 6, 3, bias=False), [(3, 2, 6)]),
    "transposed": (lambda: xpnet.ConvTranspose2d(2, 6, (3, 5)), [(3, 5, 6, 2), (6,)]),
    "batch norm": (lambda: xpnet.BatchNorm2d(3), [(3,)] * 4),
    "batch norm, plain": (lambda: xpnet.BatchNorm1d(3, affine=False), [(3,)] * 2),
    "layer norm": (lambda: xpnet.LayerNorm(3), [(3,)] * 2),
    "layer norm of images": (lambda: xpnet.LayerNorm((3, 5, 4)), [(5, 4, 3)] * 2),
    "layer norm of images, plain": (lambda: xpnet.LayerNorm((3, 5), elementwise_affine=False), []),
    "group norm": (lambda: xpnet.GroupNorm(2, 4), [(4,)] * 2),
    "embedding": (lambda: xpnet.Embedding(5, 3), [(5, 3)]),
    "rnn": (lambda: xpnet.RNN(3, 4), [(3, 4), (4, 4), (4,)]),
    "lstm": (lambda: xpnet.LSTM(3, 4), [(3, 16), (4, 16), (16,)]),
    "gru": (lambda: xpnet.GRU(3, 4), [(3, 12), (4, 12), (2, 12)]),
    "gru, reset before": (lambda: xpnet.GRU(3, 4, reset_after=False), [(3, 12), (4, 12), (12,)]),
    "lstm, both ways": (lambda: xpnet.LSTM(3, 4, bidirectional=True), [(3, 16), (4, 16), (16,)] * 2),
    "lstm, two": (lambda: xpnet.LSTM(3, 4, 2), [(3, 16), (4, 16), (16,), (4, 16), (4, 16), (16,)]),
    "attention": (
        lambda: xpnet.MultiheadAttention(6, 2),
        [(6, 2, 3), (2, 3)] * 3 + [(2, 3, 6), (6,)],
    ),
    "attention, of keys": (
        lambda: xpnet.MultiheadAttention(6, 2, kdim=5, vdim=4, bias=False),
        [(6, 2, 3), (5, 2, 3), (4, 2, 3), (2, 3, 6)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_the_shapes_are_those_of_keras(name):
    build, shapes = MODELS[name]
    assert [x.shape for x in keras_weights(build())] == shapes


@pytest.mark.parametrize("name", MODELS)
def test_from_keras_and_back_is_bit_for_bit(name, backend, eager):
    build, shapes = MODELS[name]
    model = Sequential(build())
    theirs = [normal(*shape) for shape in shapes]
    load_keras_weights(model, theirs)
    for ours, expected in zip(keras_weights(model), theirs, strict=True):
        assert ours.tobytes() == expected.tobytes()


def test_a_kernel_by_hand():
    """(height, width, in, out): the first number of output 1 at row 0, column 2, from channel 1."""
    model = Conv2d(2, 3, (2, 4), bias=False)
    kernel = np.zeros((2, 4, 2, 3), "float32")
    kernel[0, 2, 1, 1] = 5.0
    load_keras_weights(model, [kernel])
    weight = model.weight.data
    assert weight[1, 1, 0, 2] == 5.0
    assert np.count_nonzero(weight) == 1


def test_gates_by_hand():
    """Keras: update, reset, candidate; PyTorch and xpnet: reset, update, new."""
    model = xpnet.GRU(1, 1)
    load_keras_weights(model, [np.asarray([[1.0, 2.0, 3.0]]), np.asarray([[4.0, 5.0, 6.0]]),
                               np.asarray([[1.0, 2.0, 3.0], [7.0, 8.0, 9.0]])])  # fmt: skip
    assert model.weight_ih_l0.data.tolist() == [[2.0], [1.0], [3.0]]
    assert model.bias_ih_l0.data.tolist() == [2.0, 1.0, 3.0]
    assert model.bias_hh_l0.data.tolist() == [8.0, 7.0, 9.0]


def test_the_two_biases_of_an_lstm_are_one_in_keras():
    model = xpnet.LSTM(1, 1)
    expected = model.bias_ih_l0.data + model.bias_hh_l0.data
    bias = keras_weights(model)[2]
    assert bias.tolist() == expected.tolist()
    load_keras_weights(model, keras_weights(model))
    assert model.bias_ih_l0.data.tolist() == expected.tolist()
    assert model.bias_hh_l0.data.tolist() == [0.0] * 4


# --- rows after Flatten ---------------------------------------------------------------------------


def flattening():
    return Sequential(
        Conv2d(1, 2, 1),
        ReLU(),
        xpnet.MaxPool2d(2),
        Sequential(Flatten(), xpnet.Dropout(0.1)),
        Affine(12, 1, bias=False),
    )


def test_rows_after_a_flatten_are_permuted():
    """Before it are 2 channels of (2, 3): in Keras the channel is the last axis."""
    model = flattening()
    rows = np.arange(12.0, dtype="float32")[:, None]  # numbered in Keras's order
    load_keras_weights(model, [normal(1, 1, 1, 2), normal(2), rows])
    in_keras = np.arange(12).reshape(2, 3, 2)  # (height, width, channels)
    assert model[4].weight.data[:, 0].tolist() == in_keras.transpose(2, 0, 1).ravel().tolist()
    assert keras_weights(model)[2].tolist() == rows.tolist()
    (row,) = [row for row in match_keras_weights(model, keras_weights(model)).rows if row[1] == "2"]
    assert row == (
        "layers.4.weight",
        "2",
        "(12, 1)",
        "rows from (places, 2) to (2, places)",
        "shape",
    )


def test_the_shape_before_a_flatten_may_be_given():
    class Net(Layer):
        def __init__(self):
            self.flatten = Flatten()
            self.fc = Affine(12, 1, bias=False)

        def forward(self, x):
            return self.fc(self.flatten(x))

    rows = np.arange(12.0, dtype="float32")[:, None]
    with pytest.raises(
        StateError, match=r"(?s)flatten joins channels and places.*flattened=\{'fc'"
    ):
        load_keras_weights(Net(), [rows])
    model = Net()
    load_keras_weights(model, [rows], flattened={"fc": (2, 2, 3)})
    assert model.fc.weight.data[:4, 0].tolist() == [0.0, 2.0, 4.0, 6.0]
    load_keras_weights(model, [rows], flattened={"fc": (12,)})
    assert model.fc.weight.data[:, 0].tolist() == rows[:, 0].tolist()
    with pytest.raises(
        StateError, match=r"expected the name of an Affine .* got 'fc': \(3, 2, 3\)"
    ):
        load_keras_weights(model, [rows], flattened={"fc": (3, 2, 3)})


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([Flatten(), Affine(12, 1)], r"layers.0 joins channels .* flattened=\{'layers.1': "),
        ([xpnet.Residual(Conv2d(1, 1, 1)), Flatten(), Affine(12, 1)], "layers.1 joins channels"),
        ([Conv2d(1, 2, 1), Flatten(), xpnet.BatchNorm1d(12)], "after layers.1, expected an Affine, got BatchNorm1d"),
    ],
)  # fmt: skip
def test_an_unknown_order_of_rows_is_an_error(layers, message):
    with pytest.raises(StateError, match=f"(?s){message}"):
        keras_weights(Sequential(*layers))


def test_features_that_are_last_in_both_are_not_permuted():
    model = Sequential(xpnet.Embedding(5, 2), Flatten(), Affine(6, 1, bias=False))
    rows = np.arange(6.0, dtype="float32")[:, None]
    load_keras_weights(model, [normal(5, 2), rows])
    assert model[2].weight.data.tolist() == rows.tolist()


def test_a_layer_norm_over_images_keeps_the_channels_before_a_flatten():
    model = Sequential(
        Conv2d(1, 2, 1, bias=False),
        xpnet.LayerNorm((2, 2, 3)),
        Flatten(),
        Affine(12, 1, bias=False),
    )
    rows = np.arange(12.0, dtype="float32")[:, None]
    load_keras_weights(model, [normal(1, 1, 1, 2), normal(2, 3, 2), normal(2, 3, 2), rows])
    assert model[3].weight.data[:4, 0].tolist() == [0.0, 2.0, 4.0, 6.0]


def test_a_layer_norm_over_two_axes_is_an_error():
    """(channels, length) are in another order in Keras, (length, features) are not."""
    with pytest.raises(StateError, match=r"LayerNorm\(\(4, 5\)\): its axes are in another order"):
        keras_weights(Sequential(xpnet.LayerNorm((4, 5))))


@pytest.mark.parametrize(
    "layers",
    [
        [Affine(5, 12), Reshape(3, 2, 2), xpnet.ConvTranspose2d(3, 1, 2)],
        [Conv2d(1, 3, 1), Reshape(12), Affine(12, 1)],
        [Conv2d(1, 3, 1), Reshape(1, 12), xpnet.LSTM(12, 2)],
        [Reshape(3, 4), Conv1d(3, 2, 1)],
        [Reshape(-1), Affine(12, 1)],
    ],
)
def test_what_a_reshape_does_to_the_order_must_be_said(layers):
    with pytest.raises(StateError, match=r"(?s)Reshape\(.*in another order in Keras if channels"):
        keras_weights(Sequential(*layers))
    keras_weights(Sequential(*layers), flattened={})


def test_a_reshape_into_images_of_one_channel_changes_no_order():
    assert len(keras_weights(Sequential(Reshape(1, 4, 4), Conv2d(1, 2, 3)))) == 2


def test_the_shape_before_a_reshape_may_be_given():
    model = Sequential(Conv2d(1, 2, 1, bias=False), Reshape(12), Affine(12, 1, bias=False))
    rows = np.arange(12.0, dtype="float32")[:, None]
    load_keras_weights(model, [normal(1, 1, 1, 2), rows], flattened={"layers.2": (2, 2, 3)})
    assert model[2].weight.data[:4, 0].tolist() == [0.0, 2.0, 4.0, 6.0]


# --- what is shown, and errors --------------------------------------------------------------------


def test_the_table_shows_what_goes_where():
    model = Sequential(Conv2d(1, 4, 3, bias=False), xpnet.BatchNorm2d(4))
    match = match_keras_weights(model, [normal(3, 3, 1, 4), *[normal(4) for _ in range(4)]])
    assert (
        str(match)
        == """\
name                   Keras  shape                            matched by
layers.0.weight        0      (3, 3, 1, 4)  axes (2, 3, 1, 0)  shape
layers.1.weight        1      (4,)                             order
layers.1.bias          2      (4,)                             order
layers.1.running_mean  3      (4,)                             order
layers.1.running_var   4      (4,)                             order"""
    )


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([(4, 3), (4,)], r"expected array 0 of shape \(3, 4\) for weight, got \(4, 3\).*order"),
        ([(3, 4)], "expected 2 arrays, got 1"),
        ([(3, 4), (4,), (4,)], "expected 2 arrays, got 3"),
    ],
)
def test_arrays_that_do_not_fit_change_nothing(weights, message):
    model = Affine(3, 4)
    before = hosts(model)
    with pytest.raises(StateError, match=f"(?s){message}"):
        load_keras_weights(model, [np.ones(shape) for shape in weights])
    for name, x in hosts(model).items():
        assert x.tobytes() == before[name].tobytes()


def test_complex_arrays_are_an_error():
    with pytest.raises(StateError, match="expected weight to be real, as float32, got complex128"):
        load_keras_weights(Affine(1, 1), [np.ones((1, 1), complex), np.ones(1)])


@pytest.mark.parametrize("weights", [None, Affine(1, 1), {"0": np.ones((1, 1))}])
def test_what_is_no_list_of_weights_is_an_error_that_says_what_to_pass(weights):
    with pytest.raises(ArgumentTypeError, match=r"as a list of arrays, .*get_weights\(\)"):
        load_keras_weights(Affine(1, 1), weights)


def test_parameters_that_keras_does_not_have_are_an_error():
    class LowRank(Affine):
        def __init__(self):
            super().__init__(4, 3)
            self.up = Parameter(np.ones((1, 3), "float32"))

    with pytest.raises(StateError, match=r"no layer of Keras has the parameters \['layers.0.up'\]"):
        keras_weights(Sequential(LowRank()))


def test_a_layer_in_two_places_is_there_once_and_a_shared_parameter_must_agree():
    shared = Affine(2, 2, bias=False)
    assert len(keras_weights(Sequential(shared, shared))) == 1
    tied = Sequential(Affine(2, 2, bias=False), Affine(2, 2, bias=False))
    tied[1].weight = tied[0].weight
    load_keras_weights(tied, [np.eye(2), np.eye(2)])
    with pytest.raises(
        StateError, match="two of Keras's arrays are layers.0.weight here, but differ"
    ):
        load_keras_weights(tied, [np.eye(2), np.ones((2, 2))])


def test_weights_are_copies():
    model = Affine(2, 2)
    weights = keras_weights(model)
    weights[0][...] = 7.0
    assert not (model.weight.data == 7.0).any()


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"not a zip", "File is not a zip file"),
        ({"config.json": b"{}"}, "model.weights.h5"),
        ({"config.json": b"{", "model.weights.h5": b""}, "expected a .keras file"),
        ({"config.json": b"{}", "model.weights.h5": b"no hdf5"}, "expected a .keras file"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, content, message):
    pytest.importorskip("pyfive", reason="it reads HDF5")
    path = tmp_path / "net.keras"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in content.items():
                archive.writestr(name, data)
    with pytest.raises(StateError, match=message):
        read_keras_file(path)


def test_without_pyfive_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyfive", None)
    with pytest.raises(xpnet.MissingPackageError, match=r'pip install "xpnet\[keras\]"'):
        load_keras_weights(Affine(1, 1), tmp_path / "net.keras")
