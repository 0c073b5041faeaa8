"""`export_onnx`: ONNX Runtime computes what the model does, in a graph that a person would draw."""

import copy
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import xpnet
from tests.layers.cases import LAYERS, Integers
from xpnet import errors, functions as F, layers as L, models
from xpnet.compiler.call import recorded_call
from xpnet.saving import export_onnx
from xpnet.saving.onnx.export import OLDEST

onnx = pytest.importorskip("onnx", reason="it writes the files: pip install onnx")
runtime = pytest.importorskip("onnxruntime", reason="it runs the files: pip install onnxruntime")

FEW = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
SIZES = (1, 2, 5)  # of batches


def run(proto, *inputs):
    """What ONNX Runtime computes."""
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(proto.SerializeToString(), options)
    names = [x.name for x in session.get_inputs()]
    return session.run(None, dict(zip(names, inputs, strict=True)))


def computed(model, *inputs):
    """What the model computes in evaluation, as a list of NumPy arrays."""
    with L.hooks.evaluating():
        y = model(*inputs)
    ys = y if isinstance(y, tuple) else (y,)
    return [xpnet.to_numpy(y) for y in ys]


def drawn(shape, axis=0, n=2, seed=0, below=None, dtype="float32"):
    """A batch of n samples."""
    rng = np.random.default_rng([seed, n])
    shape = (*shape[:axis], n, *shape[axis:])
    if below is not None:
        return rng.integers(0, below, shape)
    return rng.normal(size=shape).astype(dtype)


def require_agreement(model, shapes, axis=0, below=None, rtol=1e-5, **options):
    """Export a model, compare its results with the runtime's on batches of several sizes; return the file."""
    several = isinstance(shapes, list)
    if below is not None:
        options["input_dtype"] = "int64"
    proto = export_onnx(model, None, shapes, batch_axis=axis, **options)
    for n in SIZES:
        xs = [
            drawn(shape, axis, n, seed, below)
            for seed, shape in enumerate(shapes if several else [shapes])
        ]
        found = run(proto, *xs)
        for y, expected in zip(found, computed(model, *xs), strict=True):
            assert y.shape == expected.shape
            assert y.dtype == expected.dtype
            np.testing.assert_allclose(y, expected, rtol=rtol, atol=rtol)
    return proto


def operators(proto):
    return [node.op_type for node in proto.graph.node]


def initializers(proto):
    return {x.name: onnx.numpy_helper.to_array(x) for x in proto.graph.initializer}


# --- every layer, and every model --------------------------------------------------------------------

AXES = {
    "Softmax, axis": 1,
    "GRU": 0,
    "BatchNorm2d, plain": 0,
}  # of cases without an axis of the batch


def arguments_of(name, sizes):
    """The shapes of one sample, the axis of the batch, and the bound of integers."""
    case = LAYERS[name]
    axis = AXES.get(name, case.batch)
    specs = case.inputs(sizes)
    below = None
    if isinstance(specs[0], Integers):
        below = specs[0].below
        specs = [spec.shape for spec in specs]
    return [shape[:axis] + shape[axis + 1 :] for shape in specs], axis, below


def trained(case, sizes):
    """A layer that has seen a batch in training, which changes its buffers."""
    layer = case.build(sizes)
    xs = case.hosts(seed=5, s=sizes)
    layer(*(x.astype("float32") if x.dtype == np.float64 else x for x in xs))
    return layer


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_agrees_with_the_runtime(name):
    sizes = LAYERS[name].at()
    shapes, axis, below = arguments_of(name, sizes)
    require_agreement(trained(LAYERS[name], sizes), shapes, axis, below)


OPTIONS = [name for name in LAYERS if name.startswith(("Conv", "Max", "Avg", "RNN", "LSTM", "GRU"))]


@pytest.mark.parametrize("name", OPTIONS)
@FEW
@given(data=st.data())
def test_each_layer_agrees_with_other_options(name, data):
    case = LAYERS[name]
    drawn_sizes = {key: data.draw(st.integers(*bounds), key) for key, bounds in case.sizes.items()}
    sizes = case.at(**drawn_sizes)
    shapes, axis, below = arguments_of(name, sizes)
    require_agreement(trained(case, sizes), shapes, axis, below)


WINDOWS = {
    "more at the end than a stride": L.ConvTranspose1d(
        2, 3, 3, dilation=2, output_padding=1, rng=0
    ),
    "taken from the padding": L.ConvTranspose1d(
        2, 3, 3, padding=2, dilation=2, output_padding=1, rng=0
    ),
    "two strides": L.ConvTranspose1d(2, 3, 2, 2, 1, 4, dilation=5, rng=0),
    "a padding longer than the kernel": L.MaxPool1d(2, dilation=3, padding=2),
    "of zeros that count": L.AvgPool1d(2, dilation=3, padding=2),
    "of nothing": L.AvgPool1d(2, dilation=3, padding=2, count_include_pad=False),
    "a last window that counts": L.AvgPool1d(3, 2, 1, ceil_mode=True),
    "a last window that does not count": L.AvgPool1d(3, 2, 1, True, count_include_pad=False),
    "a last window beyond the end": L.MaxPool1d(3, 2, ceil_mode=True),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_at_the_ends_agree_with_the_runtime(name):
    require_agreement(WINDOWS[name], (2, 6))


def test_attention_to_others_of_the_same_size():
    layer = L.MultiheadAttention(6, 2, batch_first=True, rng=0)
    layer.in_proj_bias.data = drawn((), n=18)
    require_agreement(layer, [(3, 6), (4, 6), (4, 6)])
    require_agreement(L.MultiheadAttention(6, 2, bias=False, rng=0), (3, 6), axis=1)


EXPECTED = {
    "Affine": ["Gemm"],
    "Affine, no bias": ["MatMul"],
    "Embedding": ["Gather"],
    "GELU": ["Gelu"],
    "ELU": ["Elu"],
    "LeakyReLU": ["LeakyRelu"],
    "Softplus": ["Softplus"],
    "Softmax": ["Softmax"],
    "LogSoftmax": ["LogSoftmax"],
    "BatchNorm2d": ["BatchNormalization"],
    "LayerNorm": ["LayerNormalization"],
    "Dropout": ["Identity"],
    "Flatten": ["Flatten"],
    "Reshape": ["Reshape"],
    "Conv2d": ["Conv"],
    "ConvTranspose2d": ["ConvTranspose"],
    "MaxPool2d": ["MaxPool"],
    "AvgPool1d": ["AveragePool"],
    "GlobalAvgPool2d": ["GlobalAveragePool", "Flatten"],
    "GlobalMaxPool2d": ["GlobalMaxPool", "Flatten"],
    "RNN": ["RNN", "Squeeze"],
    "PositionalEncoding": ["Add"],
    "Sequential": ["Gemm", "BatchNormalization", "Relu", "Gemm"],
    "Residual": ["Gemm", "Tanh", "Gemm", "Gemm", "Add"],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_layer_is_the_operator_of_its_name(name):
    shapes, axis, below = arguments_of(name, LAYERS[name].at())
    dtype = None if below is None else "int64"
    proto = export_onnx(LAYERS[name].layer(), None, shapes, batch_axis=axis, input_dtype=dtype)
    assert operators(proto) == EXPECTED[name]


NETWORKS = {
    "mlp": (models.mlp, (1, 6, 6), {}),
    "mlp, gelu": (models.mlp, (7,), {"hidden": 5, "activation": "gelu"}),
    "lenet": (models.lenet, (1, 14, 14), {"channels": (2, 3), "hidden": 5}),
    "resnet": (models.resnet, (3, 9, 8), {"channels": (4, 6), "blocks": 2}),
    "lstm": (models.lstm, (5, 3), {"hidden": 4}),
    "lstm of images": (models.lstm, (2, 5, 3), {"hidden": 4, "layers": 2, "bidirectional": True}),
    "transformer": (models.transformer, (6, 3), {"width": 8, "heads": 2, "hidden": 7}),
    "transformer of numbers": (models.transformer, (6,), {"width": 8, "heads": 2, "layers": 1}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_each_model_agrees_with_the_runtime(name):
    build, shape, options = NETWORKS[name]
    require_agreement(build(shape, 3, rng=0, **options), shape)


def test_every_model_is_here():
    assert {build.__name__ for build, *_ in NETWORKS.values()} == set(models.BY_NAME)


def test_a_network_has_the_nodes_and_names_that_a_person_would_give_it():
    model = models.lenet((1, 28, 28), 10, rng=0)
    proto = export_onnx(model, None, (1, 28, 28))
    assert operators(proto) == [
        "Conv", "Relu", "MaxPool", "Conv", "Relu", "MaxPool", "Flatten", "Gemm", "Relu", "Gemm",
    ]  # fmt: skip
    assert [node.name for node in proto.graph.node][:3] == [
        "layers.0/Conv", "layers.1/Relu", "layers.2/MaxPool",
    ]  # fmt: skip
    found = initializers(proto)
    assert found.keys() == model.state_dict().keys()
    for name, x in model.state_dict().items():
        np.testing.assert_array_equal(found[name], x)
    (given,) = proto.graph.input
    assert [n.dim_param or n.dim_value for n in given.type.tensor_type.shape.dim] == [
        "batch", 1, 28, 28,
    ]  # fmt: skip
    (result,) = proto.graph.output
    assert (given.name, result.name) == ("input", "output")
    assert proto.producer_name == "xpnet"


def test_shapes_that_stay_as_they_are_need_no_node():
    """`Rows` leaves sequences as they are."""
    proto = export_onnx(models.lstm((5, 3), 2, rng=0), None, (5, 3))
    assert operators(proto) == ["Transpose", "LSTM", "Gather", "Gemm"]


def test_an_lstm_whose_last_state_is_read_has_no_other_output():
    proto = export_onnx(models.lstm((5, 3), 2, rng=0), None, (5, 3))
    (node,) = [node for node in proto.graph.node if node.op_type == "LSTM"]
    assert [bool(name) for name in node.output] == [False, True, False]
    assert list(node.input)[:3] == [
        node.input[0], "layers.1.recurrent.weight_ih_l0", "layers.1.recurrent.weight_hh_l0",
    ]  # fmt: skip


# --- networks that hypothesis draws ----------------------------------------------------------------


@st.composite
def networks(draw):
    """A network of convolutions, normalizations and perceptrons, and the shape of its samples."""
    shape = (draw(st.integers(1, 4)), draw(st.integers(5, 9)), draw(st.integers(5, 9)))
    own = []
    channels, *size = shape
    for _ in range(draw(st.integers(0, 4))):
        layer, channels, size = draw(image_layers(channels, size))
        own.append(layer)
    own.append(draw(st.sampled_from((L.Flatten, L.GlobalAvgPool2d, L.GlobalMaxPool2d)))())
    features = channels
    if isinstance(own[-1], L.Flatten):
        features = channels * size[0] * size[1]
    for _ in range(draw(st.integers(0, 3))):
        width = draw(st.integers(1, 6))
        own += [L.Affine(features, width, bias=draw(st.booleans()), rng=0), draw(activations())]
        features = width
        if draw(st.booleans()):
            # Divided by a small deviation, rounding in float32 would exceed the tolerance.
            norm = L.LayerNorm(width, eps=0.1)
            own.append(L.Residual(norm, L.Affine(width, width, rng=1), L.Tanh()))
    return L.Sequential(*own), shape


def activations():
    return st.sampled_from(
        (L.ReLU(), L.Tanh(), L.GELU("tanh"), L.ELU(0.7), L.SiLU(), L.Softplus(2.0), L.Softmax())
    )


@st.composite
def image_layers(draw, channels, size):
    """A layer of images, and what it makes of these channels and this size."""
    kind = draw(st.sampled_from(("conv", "pool", "other")))
    if kind == "conv" and min(size) > 2:
        width = draw(st.integers(1, 4))
        stride = draw(st.integers(1, 2))
        size = [(n - 3 + 2) // stride + 1 for n in size]
        return L.Conv2d(channels, width, 3, stride, 1, rng=0), width, size
    if kind == "pool" and min(size) > 1:
        pooling = draw(st.sampled_from((L.MaxPool2d, L.AvgPool2d)))
        ceil = draw(st.booleans())
        size = [-(-n // 2) if ceil else n // 2 for n in size]
        return pooling(2, ceil_mode=ceil), channels, size
    norm = L.BatchNorm2d(channels)
    norm.running_mean.data = drawn((), n=channels, seed=1)
    norm.running_var.data = np.exp(drawn((), n=channels, seed=2))
    residual = L.Residual(L.Conv2d(channels, channels, 3, padding="same", rng=0))
    others = st.sampled_from((norm, residual, L.GroupNorm(1, channels), L.Dropout(0.5)))
    return draw(others | activations()), channels, size


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(network=networks())
def test_drawn_networks_agree_with_the_runtime(network):
    model, shape = network
    require_agreement(model, shape)


# --- layers of the user's own ----------------------------------------------------------------------


class Gated(L.Layer):
    """Layers, functions of xpnet, operators and a constant, in one forward."""

    def __init__(self):
        self.first = L.Affine(4, 6, rng=0)
        self.gate = L.Affine(4, 6, rng=1)
        self.scale = xpnet.Parameter(np.full(6, 0.5, "float32"))

    def forward(self, x):
        hidden = F.tanh(self.first(x)) * F.sigmoid(self.gate(x))
        return F.concat([hidden * self.scale + 1.0, F.relu(x)], axis=1)


def test_a_layer_of_ones_own_is_exported_with_the_layers_in_it():
    proto = require_agreement(Gated(), (4,))
    assert operators(proto).count("Gemm") == 2
    assert {"first.weight", "gate.bias", "scale"} <= initializers(proto).keys()


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (F.relu, ["Relu"]),
        (F.sigmoid, ["Sigmoid"]),
        (F.gelu, ["Gelu"]),
        (lambda x: F.gelu(x, "tanh"), ["Gelu"]),
        (F.silu, ["Sigmoid", "Mul"]),
        (lambda x: F.elu(x, 0.5), ["Elu"]),
        (lambda x: F.leaky_relu(x, 0.2), ["LeakyRelu"]),
        (F.softplus, ["Softplus"]),
        (lambda x: F.softplus(x, 2.0, 3.0), ["Mul", "Softplus", "Div", "Greater", "Where"]),
    ],
)
def test_an_activation_that_is_called_as_a_function_is_its_operator(function, expected):
    proto = require_agreement(lambda_layer(function), (5,))
    assert operators(proto) == expected


def test_an_activation_of_constants_is_a_constant():
    constant = np.asarray([-1.0, 2.0], "float32")
    proto = require_agreement(lambda_layer(lambda x: x + F.gelu(F.asarray(constant))), (2,))
    assert operators(proto) == ["Add"]


def test_an_activation_of_integers_is_written_as_before():
    require_agreement(lambda_layer(lambda x: F.relu(x - 2)), (3,), below=5)


def test_a_recording_of_the_compiler_has_no_kernels_of_onnx():
    """Both record arrays of NumPy; kernels are looked up by the classes of arrays, once."""
    export_onnx(lambda_layer(F.gelu), None, (3,))
    found = recorded_call(F.gelu, [drawn((3,))])
    names = [operation.name for operation in found.program.operations]
    assert "gelu" not in names
    assert "exp" in names


class Rows(L.Layer):
    """The batch is in a shape, and is joined with another axis and split off again."""

    def __init__(self):
        self.affine = L.Affine(3, 2, rng=0)

    def forward(self, x):
        n, steps, features = x.shape
        y = self.affine(F.reshape(x, (n * steps, features)))
        y = F.reshape(y, (n, steps, 2))
        return y + F.zeros((n, 1, 2)), F.mean(y, axis=0)


def test_the_batch_may_be_in_shapes_that_the_model_computes():
    proto = require_agreement(Rows(), (4, 3))
    assert [x.name for x in proto.graph.output] == ["output_0", "output_1"]


class Positions(L.Layer):
    """Indices of places are the same for every input; those of words are not."""

    def __init__(self):
        self.words = L.Embedding(9, 4, rng=0)
        self.places = L.Embedding(6, 4, rng=1)

    def forward(self, x):
        return self.words(x) + self.places(F.arange(x.shape[1]))


def test_an_embedding_of_places_and_words():
    require_agreement(Positions(), (6,), below=9)


class Causal(L.Layer):
    def __init__(self):
        self.attention = L.MultiheadAttention(6, 2, batch_first=True, rng=0)

    def forward(self, x):
        y, weights = self.attention(x, is_causal=True, need_weights=True)
        return y, weights, self.attention(x, x, x, F.ones((5, 5), dtype=F.bool))


def test_attention_with_a_mask_is_written_function_by_function():
    require_agreement(Causal(), (5, 6), rtol=2e-5)


@pytest.mark.parametrize("name", ["out_proj", "q", "norm1", "linear2"])
def test_a_layer_with_a_part_of_ones_own_is_written_with_that_part(name):
    model = L.TransformerEncoderLayer(6, 2, 5, dropout=0.0, batch_first=True, rng=0)
    owner = model
    part = Squared(6, 6, rng=1)
    if name == "out_proj":
        owner = model.self_attn
    if name == "q":
        part = xpnet.Parameter(np.ones((18, 6), "float32"))
        owner, name = model.self_attn, "in_proj_weight"
    if name == "linear2":
        part = Squared(5, 6, rng=1)
    setattr(owner, name, part)
    require_agreement(model, (4, 6))


class Twice(L.Layer):
    """One layer that is called twice, and two that share a weight."""

    def __init__(self):
        self.a = L.Affine(3, 3, rng=0)
        self.b = L.Affine(3, 3, rng=1)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(self.a(self.a(x)))


class Same(L.Flatten):
    """What has an operator may return its input, or compute with constants alone."""

    def __init__(self):
        super().__init__()
        self.relu = L.ReLU()
        self.affine = L.Affine(2, 2, rng=0)

    def forward(self, x):
        constant = self.relu(np.asarray([[1.0, -1.0]], "float32"))
        return x + constant + self.affine(constant)


def test_layers_of_constants_are_constants():
    require_agreement(Same(), (2,))


def test_hooks_of_the_caller_see_nothing():
    model = L.MLP(2, 3, 2, rng=0)
    seen = []
    with L.watching(model, lambda *call: seen.append(call)):
        export_onnx(model, None, (2,))
    assert seen == []


def test_shared_weights_are_written_once():
    proto = require_agreement(Twice(), (3,))
    assert initializers(proto).keys() == {"a.weight", "a.bias", "b.bias"}


class Squared(L.Affine):
    """It inherits from a layer that has an operator, and computes something else."""

    def forward(self, x):
        return F.square(super().forward(x))


class Named(L.Affine):
    """It computes what its base class does."""

    def __init__(self, name):
        super().__init__(3, 2, rng=0)
        self.name = name


def test_a_subclass_is_its_base_classs_operator_only_if_it_changes_nothing():
    assert operators(require_agreement(Named("head"), (3,))) == ["Gemm"]
    assert operators(require_agreement(Squared(3, 2, rng=0), (3,))) != ["Gemm"]


class Pair(L.Layer):
    def forward(self, left, right):
        return left @ F.matrix_transpose(right)


class Several(L.Layer):
    def forward(self, x):
        return {"sum": x + 1.0, "parts": (x * 2.0, {"last": F.exp(x)}), "mean": [F.mean(x)]}


def test_outputs_of_a_dict_have_the_names_of_its_keys():
    names = ["sum", "parts_0", "parts_1_last", "mean"]
    model = Several()
    proto = export_onnx(model, None, (3,))
    assert [x.name for x in proto.graph.output] == names
    x = drawn((3,))
    expected = [x + 1.0, x * 2.0, np.exp(x), x.mean()]
    for y, z in zip(run(proto, x), expected, strict=True):
        np.testing.assert_allclose(y, z, rtol=1e-6)
    proto = export_onnx(model, None, (3,), output_names=["a", "b", "c", "d"])
    assert [x.name for x in proto.graph.output] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64"])
def test_an_embedding_takes_indices_of_each_dtype_of_integers(dtype):
    model = Tied()
    proto = export_onnx(model, None, (6,), input_dtype=dtype)
    x = drawn((6,), n=3, below=9).astype(dtype)
    (y,) = run(proto, x)
    np.testing.assert_allclose(y, computed(model, x)[0], rtol=1e-5, atol=1e-6)


class Tied(L.Layer):
    """The weight of an embedding is that of the last layer, too."""

    def __init__(self):
        self.words = L.Embedding(9, 4, rng=0)

    def forward(self, x):
        return self.words(x) @ F.matrix_transpose(self.words.weight)


def test_weights_that_are_tied_are_written_once():
    proto = require_agreement(Tied(), (6,), below=9)
    assert sum(x.shape == (9, 4) for x in initializers(proto).values()) == 1


@pytest.mark.parametrize(
    "forward",
    [
        lambda x: F.sum(x),
        lambda x: x,
        lambda x: (x, x, F.exp(x)),
        lambda x: (F.asarray(np.ones(2, "float32")), x),
        lambda x: x > 0.0,
        lambda x: F.reshape(x, (-1,)),
        lambda x: F.permute_dims(x, (1, 0)),
        lambda x: x @ F.matrix_transpose(x),
        lambda x: x[1:, ...] - x[:-1, ...],
        lambda x: F.flip(x, axis=0),
        lambda x: (x - F.mean(x, axis=0)) / F.sqrt(F.var(x, axis=0) + 1e-3),
    ],
)
def test_results_of_other_forms_agree_with_the_runtime(forward):
    require_agreement(lambda_layer(forward), (4,))


def test_names_may_have_any_characters():
    given = ["a/b c:0 é\n"]
    made = ['"}{']
    model = L.Affine(3, 2, rng=0)
    proto = require_agreement(model, (3,), input_names=given, output_names=made)
    assert [x.name for x in proto.graph.input] == given
    assert [x.name for x in proto.graph.output] == made


def test_several_inputs_have_the_names_of_the_arguments():
    proto = require_agreement(Pair(), [(2, 3), (4, 3)])
    assert [x.name for x in proto.graph.input] == ["left", "right"]
    proto = require_agreement(
        Pair(), [(2, 3), (4, 3)], input_names=["a", "b"], output_names=["product"]
    )
    assert [x.name for x in (*proto.graph.input, *proto.graph.output)] == ["a", "b", "product"]


def test_states_of_recurrent_layers_may_be_given():
    class Continued(L.Layer):
        def __init__(self):
            self.lstm = L.LSTM(3, 4, num_layers=2, rng=0)
            self.gru = L.GRU(3, 4, reset_after=False, rng=1)

        def forward(self, x, h, c):
            _, h, c = self.lstm(x, None, h, c)
            return self.gru(x, None, h[:1, ...])[0], h, c

    require_agreement(Continued(), [(5, 3), (2, 4), (2, 4)], axis=1)


class Short(L.Layer):
    def __init__(self):
        self.rnn = L.LSTM(2, 3, batch_first=True, bidirectional=True, rng=0)

    def forward(self, x, lengths):
        return self.rnn(x, lengths)[:2]


def test_lengths_of_sequences_are_written_function_by_function():
    proto = export_onnx(Short(), None, [(4, 2), ()], input_dtype=["float32", "int64"])
    assert [x.name for x in proto.graph.input] == ["x", "lengths"]
    for n in SIZES:
        x = drawn((4, 2), n=n)
        lengths = np.asarray([3, 4, 1, 2, 3][:n])
        for y, expected in zip(run(proto, x, lengths), computed(Short(), x, lengths), strict=True):
            np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


# --- what stays as it is --------------------------------------------------------------------------


class Counting(L.Layer):
    """A layer in training, with a state of each kind."""

    def __init__(self):
        self.norm = L.BatchNorm1d(3)
        self.drop = L.Dropout(0.5, rng=3)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.drop(self.norm(x))


def test_the_model_stays_as_it_is():
    model = Counting()
    model(drawn((3,), n=4))
    model.norm.eval()
    before = copy.deepcopy(model)
    xpnet.manual_seed(5)
    expected = xpnet.random.default_rng(None).random()
    xpnet.manual_seed(5)
    export_onnx(model, None, (3,))
    assert xpnet.random.default_rng(None).random() == expected
    assert model.calls == before.calls == 1
    assert (model.training, model.drop.training, model.norm.training) == (True, True, False)
    assert model.drop.rng.random() == before.drop.rng.random()
    for name, x in before.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name], x)
    assert not any(hasattr(x, "recorder") for x in model.state_dict().values())


def test_a_model_in_training_is_exported_in_evaluation():
    model = L.Sequential(L.Affine(3, 4, rng=0), L.BatchNorm1d(4), L.Dropout(0.9))
    assert model.training
    assert operators(require_agreement(model, (3,))) == ["Gemm", "BatchNormalization"]


def test_arrays_of_another_library_become_the_same_file():
    pytest.importorskip("array_api_strict", reason="it stands for other libraries")
    files = []
    for library in ("numpy", "array_api_strict"):
        with xpnet.using(library):
            xpnet.manual_seed(0)
            model = L.Sequential(Gated(), L.Affine(10, 2, rng=0))
            files.append(export_onnx(model, None, (4,)).SerializeToString())
            words = export_onnx(Positions(), None, (6,), input_dtype="int64")
            files.append(words.SerializeToString())
    assert files[:2] == files[2:]


# --- options ----------------------------------------------------------------------------------------


def test_a_fixed_batch_is_in_the_shapes():
    proto = export_onnx(Rows(), None, (4, 3), dynamic_batch=False, batch_size=3)
    dims = [n.dim_value for n in proto.graph.input[0].type.tensor_type.shape.dim]
    assert dims == [3, 4, 3]
    x = drawn((4, 3), n=3)
    for y, expected in zip(run(proto, x), computed(Rows(), x), strict=True):
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def deep():
    """Most of the layers that other opsets write in another way."""
    return L.Sequential(
        L.Conv2d(2, 4, 3, padding=1, rng=0),
        L.GroupNorm(2, 4),
        L.GroupNorm(4, 4, affine=False),
        L.GELU(),
        L.AvgPool2d(2, dilation=1),
        L.Flatten(),
        L.LayerNorm(36),
        L.GELU("tanh"),
        L.Affine(36, 3, rng=0),
    )


@pytest.mark.parametrize("opset", [OLDEST, 20, 21, 23])
def test_the_opset_is_named_and_computes_the_same(opset):
    if opset > onnx.defs.onnx_opset_version():
        pytest.skip("this version of onnx does not have it yet")
    proto = require_agreement(deep(), (2, 6, 6), opset=opset)
    assert [(x.domain, x.version) for x in proto.opset_import] == [("", opset)]
    assert ("GroupNormalization" in operators(proto)) == (opset >= 21)
    assert ("Gelu" in operators(proto)) == (opset >= 20)


@pytest.mark.parametrize(
    ("dtype", "rtol"), [("float64", 1e-9), ("float32", 1e-5), ("float16", 2e-2)]
)
def test_the_dtype_may_be_another(dtype, rtol):
    model = L.Sequential(L.Affine(4, 6, rng=0), L.ReLU(), L.Affine(6, 3, rng=1), L.Softmax())
    proto = export_onnx(model, None, (4,), dtype=dtype)
    assert {x.dtype for x in initializers(proto).values()} == {np.dtype(dtype)}
    x = drawn((4,), n=3)
    (y,) = run(proto, x.astype(dtype))
    assert y.dtype == dtype
    weights = [p.data.astype("float64") for p in model.parameters()]
    hidden = np.maximum(x.astype(dtype).astype("float64") @ weights[0] + weights[1], 0.0)
    scores = np.exp(hidden @ weights[2] + weights[3])
    np.testing.assert_allclose(y, scores / scores.sum(axis=1, keepdims=True), rtol=rtol)


def test_a_layer_norm_of_float64_is_computed_in_float64():
    x = drawn((4, 6), n=3, dtype="float64")
    (y,) = run(export_onnx(L.LayerNorm(6), None, (4, 6), dtype="float64"), x)
    variance = x.var(axis=2, keepdims=True)
    expected = (x - x.mean(axis=2, keepdims=True)) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


def test_inputs_are_scaled_in_the_graph():
    model = L.Sequential(L.Flatten(), L.Affine(8, 2, rng=0))
    mean = np.asarray([1.0, 2.0]).reshape(2, 1, 1)
    proto = export_onnx(
        model, None, (2, 2, 2), input_scaling=(mean, 255.0), output_scaling=([1.0, 2.0], 3.0),
        input_dtype="uint8",
    )  # fmt: skip
    x = np.random.default_rng(0).integers(0, 256, (3, 2, 2, 2)).astype("uint8")
    scaled = ((x - mean) / 255.0).astype("float32")
    (y,) = run(proto, x)
    (expected,) = computed(model, scaled)
    np.testing.assert_allclose(y, expected * 3.0 + [1.0, 2.0], rtol=1e-5, atol=1e-5)


def test_metadata_have_classes_and_what_was_scaled():
    proto = export_onnx(
        L.Affine(2, 2),
        None,
        (2,),
        classes=["no", "yes"],
        input_scaling=([1.0, 2.0], [3.0, 4.0]),
        metadata={"author": "somebody", "numbers": [1, 2]},
    )
    found = {x.key: x.value for x in proto.metadata_props}
    assert json.loads(found["classes"]) == ["no", "yes"]
    assert json.loads(found["input_scaling"]) == [[1.0, 2.0], [3.0, 4.0]]
    assert (found["author"], found["numbers"]) == ("somebody", "[1, 2]")
    assert (found["xpnet"], found["model"]) == (xpnet.__version__, "Affine")


def test_the_file_is_complete_or_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"old")

    class Unable(L.Layer):
        def forward(self, x):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        export_onnx(Unable(), path, (2,))
    assert path.read_bytes() == b"old"
    proto = export_onnx(L.Affine(2, 1), path, (2,))
    assert onnx.load(path) == proto
    onnx.checker.check_model(path, full_check=True)
    assert [x.name for x in tmp_path.iterdir()] == ["net.onnx"]


# --- errors -----------------------------------------------------------------------------------------


def lambda_layer(forward):
    return type("Own", (L.Layer,), {"forward": lambda self, x: forward(x)})()


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda x: x * float(F.sum(x)), "reads a value"),
        (lambda x: x if F.sum(x) > 0.0 else -x, "reads a value"),
        (lambda x: F.stack([x[i, ...] for i in range(x.shape[0])]), "dynamic_batch=False"),
        (lambda x: x + np.ones((x.shape[0], 1), "float32"), "dynamic_batch=False"),
        (lambda x: x[: x.shape[0] // 2, ...], "dynamic_batch=False"),
        (lambda x: x[::2, ...], "dynamic_batch=False"),
        (lambda x: F.mean(x, axis=0) if x.shape[0] > 4 else x, "dynamic_batch=False"),
        (lambda x: x * x.shape[0] ** 0.5, "dynamic_batch=False"),
        (lambda x: F.linalg.svdvals(x), "svdvals"),
        (lambda x: F.dropout(x, 0.5), "draws a random number"),
        (lambda x: None, "return"),
    ],
)
def test_what_cannot_be_exported_raises_an_error_that_says_why(forward, message):
    with pytest.raises(errors.CompileError, match=message):
        export_onnx(lambda_layer(forward), None, (3,))


def test_an_error_of_a_model_that_takes_batches_of_one_size_says_how_to_export_it():
    model = lambda_layer(lambda x: x + np.ones((4, 1), "float32"))
    with pytest.raises(ValueError, match="broadcast") as error:
        export_onnx(model, None, (3,))
    (note,) = (x for x in error.value.__notes__ if "recorded" in x)
    assert "float32 of shape (3, 3)" in note
    assert "dynamic_batch=False" in note
    x = drawn((3,), n=4)
    (y,) = run(export_onnx(model, None, (3,), dynamic_batch=False, batch_size=4), x)
    np.testing.assert_array_equal(y, x + 1.0)


def test_more_than_two_gigabytes_are_refused(monkeypatch):
    monkeypatch.setattr("xpnet.saving.onnx._graph.LARGEST", 4 * 12)
    export_onnx(L.Affine(3, 3), None, (3,))
    with pytest.raises(errors.CompileError, match="less than 2 GB, the limit of a file of ONNX"):
        export_onnx(L.Affine(4, 3), None, (4,))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"opset": 7}, "opset from 18"),
        ({"opset": 10**4}, "opset from 18"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_axis": 2}, "batch_axis from 0 to 1"),
        ({"batch_axis": -1}, "batch_axis from 0 to 1"),
        ({"dtype": "int8"}, "dtype"),
        ({"input_dtype": "words"}, "input_dtype"),
        ({"input_dtype": ["int64", "int64"]}, "input_dtype"),
        ({"input_names": ["a", "b"]}, "names of 1 input"),
        ({"input_names": "x"}, "names of 1 input"),
        ({"output_names": ["input"]}, "nothing else"),
        ({"output_names": ["weight"]}, "nothing else"),
        ({"output_names": []}, "names of 1 output"),
        ({"input_names": [""]}, "names of 1 input"),
        ({"output_names": [3]}, "names of 1 output"),
        ({"batch_size": 5}, "dynamic_batch=False with batch_size=5"),
        ({"input_scaling": ([1.0, 2.0, 3.0], 1.0)}, "input_scaling"),
        ({"input_scaling": 3.0}, r"Expected input_scaling \(mean, scale\)"),
        ({"input_scaling": (0.0, [1.0, 0.0])}, "no scale of 0"),
        ({"output_scaling": (np.nan, 1.0)}, "Expected output_scaling .* finite"),
        ({"output_scaling": ("a", 1.0)}, "Expected output_scaling"),
        ({"output_scaling": ([1.0, 2.0, 3.0], 1.0)}, "broadcasts to the output, of shape"),
    ],
)
def test_invalid_options_raise_an_error(options, message):
    with pytest.raises(errors.ArgumentError, match=message):
        export_onnx(L.Affine(2, 2), None, (2,), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": "ab"}, "classes in a list, got the string 'ab'"),
        ({"metadata": [1]}, "metadata that map strings"),
        ({"metadata": {1: "a"}}, "the key 1 is no string"),
        ({"metadata": {"a": object()}}, "is of object"),
    ],
)
def test_metadata_of_another_form_raise_an_error(options, message):
    with pytest.raises(errors.ArgumentTypeError, match=message):
        export_onnx(L.Affine(2, 2), None, (2,), **options)


@pytest.mark.parametrize("shape", [4, [4], ("4",), (0,), None, [(4,), 4]])
def test_a_shape_of_another_form_raises_an_error(shape):
    with pytest.raises(errors.ArgumentTypeError, match="a tuple of lengths such as"):
        export_onnx(L.Affine(4, 2), None, shape)


def test_what_is_no_layer_raises_an_error():
    with pytest.raises(
        errors.ArgumentTypeError, match="Expected a Layer to export, got a function"
    ):
        export_onnx(lambda x: x, None, (4,))


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(errors.MissingPackageError, match=r"pip install 'xpnet\[onnx\]'"):
        export_onnx(L.Affine(2, 2), None, (2,))


def test_the_compiler_and_onnx_are_imported_when_they_are_needed():
    code = "import sys, xpnet.saving; print('xpnet.compiler' in sys.modules, 'onnx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    assert "export_onnx" in dir(xpnet.saving)
    with pytest.raises(errors.MissingAttributeError, match="export_onxx"):
        xpnet.saving.export_onxx  # noqa: B018 - looked up, and not there
