"""ONNX graphs become models of xpnet: the same numbers, recognizable layers, and clear errors."""

import pickle
import sys

import numpy as np
import pytest

import xpnet
from xpnet import functions as F
from xpnet.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError, StateError
from xpnet.saving import load, load_onnx, save

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402 - after the check that it is there

RNG = np.random.default_rng(0)
START = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def _same_numbers_in_each_test():
    """What a test draws does not depend on which tests ran before it."""
    RNG.bit_generator.state = START


def random(*shape, dtype="float32"):
    return RNG.standard_normal(shape).astype(dtype)


def model(nodes, inputs, outputs, tensors=None, opset=17):
    """A model of nodes (operator, inputs, outputs, attributes); inputs and outputs have a shape."""
    made = []
    for kind, xs, ys, *attributes in nodes:
        options = dict(*attributes)
        made.append(helper.make_node(kind, xs.split(), ys.split(), name=f"node_{ys}", **options))

    def values(given):
        return [
            helper.make_tensor_value_info(name, getattr(TensorProto, kind), shape)
            for name, (kind, shape) in given.items()
        ]

    initializers = [numpy_helper.from_array(x, name) for name, x in (tensors or {}).items()]
    graph = helper.make_graph(made, "graph", values(inputs), values(outputs), initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def floats(*shape):
    return ("FLOAT", shape)


def run(proto, *xs):
    """The outputs that onnxruntime computes."""
    session = runtime.InferenceSession(proto.SerializeToString())
    names = [x.name for x in session.get_inputs()]
    return session.run(None, dict(zip(names, xs, strict=True)))


def convnet():
    """Images to ten scores, with what is between: a chain."""
    return model(
        [
            ("Conv", "x conv.weight conv.bias", "c", {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
            ("BatchNormalization", "c bn.weight bn.bias bn.mean bn.var", "n", {"epsilon": 1e-3}),
            ("Relu", "n", "r"),
            ("MaxPool", "r", "p", {"kernel_shape": [2, 2], "strides": [2, 2]}),
            ("Dropout", "p", "d"),
            ("Flatten", "d", "f"),
            ("Gemm", "f fc.weight fc.bias", "y", {"transB": 1}),
        ],
        {"x": floats("batch", 3, 8, 8)},
        {"y": floats("batch", 10)},
        {
            "conv.weight": random(4, 3, 3, 3),
            "conv.bias": random(4),
            "bn.weight": random(4),
            "bn.bias": random(4),
            "bn.mean": random(4),
            "bn.var": RNG.uniform(0.5, 2.0, 4).astype("float32"),
            "fc.weight": random(10, 16),
            "fc.bias": random(10),
        },
    )


def residual():
    """A sum of two paths, a matrix by attention, and shapes that are computed from x."""
    return model(
        [
            ("MatMul", "x up.weight", "u0"),
            ("Add", "u0 up.bias", "u"),
            ("Tanh", "u", "t"),
            ("Add", "x t", "s"),
            ("LayerNormalization", "s norm.weight norm.bias", "n", {"axis": -1}),
            ("Shape", "n", "shape"),
            ("Gather", "shape zero", "b", {"axis": 0}),
            ("Unsqueeze", "b zeros", "b1"),
            ("Concat", "b1 minus_one", "flat_shape", {"axis": 0}),
            ("Reshape", "n flat_shape", "flat"),
            ("Mul", "flat scale", "z"),
            ("Add", "z table", "y"),
        ],
        {"x": floats("batch", 2, 3)},
        {"y": floats("batch", 6), "n": floats("batch", 2, 3)},
        {
            "up.weight": random(3, 3),
            "up.bias": random(3),
            "norm.weight": random(3),
            "norm.bias": random(3),
            "table": random(1, 6),
            "scale": np.float32(0.5),
            "zero": np.int64(0),
            "zeros": np.zeros(1, np.int64),
            "minus_one": np.array([-1]),
        },
    )


# --- what is made -----------------------------------------------------------------------------------


def test_a_chain_is_a_sequential_of_layers():
    loaded = load_onnx(convnet())
    assert repr(loaded) == (
        "Sequential(\n"
        "  Conv2d(3 -> 4, kernel_size=3, stride=2, padding=1)\n"
        "  BatchNorm2d(4, eps=0.001)\n"
        "  ReLU()\n"
        "  MaxPool2d(kernel_size=2)\n"
        "  Dropout(p=0.5)\n"
        "  Flatten()\n"
        "  Affine(16 -> 10)\n"
        ")"
    )
    assert not loaded.training


def test_a_graph_is_shown_with_a_layer_a_line():
    loaded = load_onnx(residual())
    assert repr(loaded).splitlines() == [
        "Network(x: (batch, 2, 3)) -> add_2, norm",
        "  up = Affine(3 -> 3)(x)",
        "  tanh = Tanh()(up)",
        "  add = Add(x, tanh)",
        "  norm = LayerNorm(3)(add)",
        "  reshape = Flatten()(norm)",
        "  mul = Mul(reshape, 0.5)",
        "  add_2 = Add(mul, table)",
    ]
    assert loaded.input_names == ("x",)
    assert loaded.output_names == ("y", "n")


def test_parameters_have_the_names_of_initializers():
    names = {name: tuple(p.shape) for name, p in load_onnx(residual()).named_parameters()}
    assert names == {
        "layers.up.weight": (3, 3),
        "layers.up.bias": (3,),
        "layers.norm.weight": (3,),
        "layers.norm.bias": (3,),
        "layers.add_2.operands.table": (1, 6),
    }


def test_outputs_are_those_of_onnx(backend):
    """On every library: constants and shapes of the host meet arrays of a device."""
    for proto, shape in ((convnet(), (5, 3, 8, 8)), (residual(), (4, 2, 3))):
        x = random(*shape)
        y = load_onnx(proto)(xpnet.current().asarray(x))
        for given, expected in zip(y if isinstance(y, tuple) else (y,), run(proto, x), strict=True):
            np.testing.assert_allclose(xpnet.to_numpy(given), expected, rtol=1e-4, atol=1e-5)


def test_any_value_of_the_graph_can_be_an_output():
    proto = convnet()
    x = random(2, 3, 8, 8)
    features = load_onnx(proto, outputs="f")
    assert [type(layer).__name__ for layer in features][-1] == "Flatten"
    with_both = load_onnx(proto, outputs=["r", "y"])
    r, y = with_both(x)
    assert r.shape == (2, 4, 4, 4)
    np.testing.assert_allclose(xpnet.to_numpy(y), run(proto, x)[0], rtol=1e-5, atol=1e-5)
    with pytest.raises(ArgumentError, match=r"got 'logits'. Its own outputs are \['y'\]"):
        load_onnx(proto, outputs="logits")


def test_several_inputs_are_arguments_and_unread_ones_are_left_out():
    proto = model(
        [("Gather", "table i", "e"), ("Where", "mask e x", "y")],
        {"x": floats(2), "i": ("INT64", ["n"]), "queue": floats(1), "mask": ("BOOL", [])},
        {"y": floats("n", 2)},
        {"table": random(5, 2)},
    )
    loaded = load_onnx(proto)
    assert loaded.input_names == ("x", "i", "mask")
    assert "table = Embedding(5 -> 2)(i)" in repr(loaded)
    i = np.array([4, 0, 4])
    y = loaded(random(2), i, np.array(True))
    np.testing.assert_array_equal(
        xpnet.to_numpy(y), numpy_helper.to_array(proto.graph.initializer[0])[i]
    )
    with pytest.raises(ArgumentTypeError, match="expected 3 inputs, each as an argument, got 1"):
        loaded(i)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((2, 2, 3)), ArgumentTypeError, "expected x of float32, got float64"),
        (np.zeros((2, 3, 3), "float32"), ShapeError, r"\(batch, 2, 3\), got \(2, 3, 3\)"),
        (np.zeros((2, 3), "float32"), ShapeError, r"\(batch, 2, 3\), got \(2, 3\)"),
        ([[1.0]], ArgumentTypeError, "expected an array as x, got a list"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(x, error, message):
    with pytest.raises(error, match=message) as caught:
        load_onnx(residual())(x)
    assert caught.value.__notes__ == ["in Network(x: (batch, 2, 3)) -> add_2, norm"]


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_the_model_has_the_dtypes_of_the_file(dtype):
    kind = {"float16": "FLOAT16", "float64": "DOUBLE"}[dtype]
    proto = model(
        [("Gemm", "x w b", "h"), ("Sigmoid", "h", "y")],
        {"x": (kind, ["n", 3])},
        {"y": (kind, ["n", 2])},
        {"w": random(3, 2, dtype=dtype), "b": random(2, dtype=dtype)},
    )
    x = random(4, 3, dtype=dtype)
    y = xpnet.to_numpy(load_onnx(proto)(x))
    assert y.dtype == dtype
    np.testing.assert_allclose(y, run(proto, x)[0], rtol=2e-3 if dtype == "float16" else 1e-12)


def test_weights_that_two_nodes_read_are_one_parameter():
    """Also where one of them has it transposed: an embedding, and the scores of its words."""
    proto = model(
        [
            ("Gather", "table i", "e"),
            ("MatMul", "e w", "h"),
            ("MatMul", "h w", "k"),
            ("Gemm", "k table", "y", {"transB": 1}),
        ],
        {"i": ("INT64", ["n"])},
        {"y": floats("n", 5)},
        {"table": random(5, 2), "w": random(2, 2)},
    )
    loaded = load_onnx(proto)
    assert len(list(loaded.parameters())) == 2
    i = np.array([0, 3, 2])
    np.testing.assert_allclose(xpnet.to_numpy(loaded(i)), run(proto, i)[0], rtol=1e-5)
    F.sum(loaded(i)).backward()
    assert all(p.grad is not None for p in loaded.parameters())


def test_a_recurrent_layer_that_two_nodes_share_is_one_layer():
    proto = model(
        [
            ("RNN", "x w r", "a", {"hidden_size": 2}),
            ("Squeeze", "a one", "b"),
            ("RNN", "b w r", "c", {"hidden_size": 2}),
            ("Squeeze", "c one", "y"),
        ],
        {"x": floats(3, "n", 2)},
        {"y": floats(3, "n", 2)},
        {"w": random(1, 2, 2), "r": random(1, 2, 2), "one": np.array([1])},
    )
    loaded = load_onnx(proto)
    x = random(3, 5, 2)
    np.testing.assert_allclose(xpnet.to_numpy(loaded(x)), run(proto, x)[0], rtol=1e-5, atol=1e-6)
    assert len(list(loaded.parameters())) == 2
    assert repr(loaded).splitlines()[1:] == [
        "  rnn = RNN(2 -> 2, bias=False)(x)",
        "  rnn_2 = RNN(2 -> 2, bias=False)(rnn)",
    ]


def test_a_tensor_in_two_arrangements_is_refused():
    """Two parameters would learn apart."""
    proto = model(
        [("MatMul", "x w", "a"), ("Add", "a b", "h"), ("Mul", "h b", "y")],
        {"x": floats("n", 2)},
        {"y": floats("n", 2)},
        {"w": random(2, 2), "b": random(1, 1, 2)},
    )
    with pytest.raises(StateError, match="the tensor 'b' is read in two arrangements"):
        load_onnx(proto)


def test_a_loaded_model_is_an_ordinary_layer(tmp_path):
    """It is saved, pickled, summarized, and moved."""
    loaded = load_onnx(residual())
    x = random(3, 2, 3)
    expected, _ = loaded(x)
    save(loaded, tmp_path / "w.safetensors")
    other = load_onnx(residual())
    for p in other.parameters():
        p.data = np.zeros_like(p.data)
    load(other, tmp_path / "w.safetensors")
    copied = pickle.loads(pickle.dumps(loaded))
    for same in (other, copied, loaded.to("array_api_strict").to("numpy")):
        np.testing.assert_array_equal(xpnet.to_numpy(same(x)[0]), xpnet.to_numpy(expected))
    table = str(xpnet.summary.summary(loaded, (2, 3)))
    assert "norm: LayerNorm(3)" in table
    assert "Parameters     24" in table


# --- training ---------------------------------------------------------------------------------------


def twin():
    """The network of `convnet`, as it is written in xpnet."""
    return xpnet.Sequential(
        xpnet.Conv2d(3, 4, 3, stride=2, padding=1),
        xpnet.BatchNorm2d(4, eps=1e-3),
        xpnet.ReLU(),
        xpnet.MaxPool2d(2),
        xpnet.Dropout(0.5, rng=0),
        xpnet.Flatten(),
        xpnet.Affine(16, 10),
    )


def losses(model, x, t):
    optimizer = xpnet.Adam(model.parameters(), lr=0.01)
    found = []
    for _ in range(30):
        loss = F.softmax_cross_entropy(model(x), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(float(loss))
    return found


def test_it_trains_as_the_network_that_is_written_in_xpnet():
    """Thirty steps with batch statistics and dropout: the same losses, bit for bit."""
    loaded = load_onnx(convnet()).train()
    loaded[4].rng = xpnet.random.default_rng(0)
    written = twin()
    written.load_state_dict(loaded.state_dict())
    x = random(32, 3, 8, 8)
    t = RNG.integers(0, 10, 32)
    given = losses(loaded, x, t)
    assert given == losses(written, x, t)
    assert given[-1] < 0.6 * given[0]
    running = xpnet.to_numpy(loaded[1].running_mean.data)
    assert not np.allclose(running, numpy_helper.to_array(convnet().graph.initializer[4]))
    assert loaded[1].momentum == 0.1


def test_a_graph_trains_and_is_compiled():
    loaded = load_onnx(residual()).train()
    x = random(16, 2, 3)
    t = random(16, 6)
    optimizer = xpnet.SGD(loaded.parameters(), lr=0.1)

    def step(x, t):
        loss = F.mean_squared_error(loaded(x)[0], t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    eager = [float(step(x, t)) for _ in range(5)]
    compiled = xpnet.compile(step)
    more = [float(compiled(x, t)) for _ in range(20)]
    assert more[-1] < more[0] < eager[-1] < eager[0]


# --- single operators: what the node cases do not have ----------------------------------------------


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"])
@pytest.mark.parametrize("kind", ["Conv", "MaxPool", "AveragePool"])
@pytest.mark.parametrize("strides", [[1, 1], [2, 2]])
def test_padding_of_one_end_and_of_a_length_that_is_free(auto_pad, kind, strides):
    options = {"kernel_shape": [3, 2], "strides": strides, "auto_pad": auto_pad}
    if auto_pad == "NOTSET":
        options["pads"] = [2, 0, 1, 1]
    weights = {"w": random(4, 3, 3, 2)} if kind == "Conv" else {}
    proto = model(
        [(kind, " ".join(["x", *weights]), "y", options)],
        {"x": floats("n", 3, "h", "w_")},
        {"y": floats("n", "c", "i", "j")},
        weights,
    )
    loaded = load_onnx(proto)
    assert isinstance(loaded, xpnet.Sequential)
    for size in ((7, 9), (6, 6)):
        x = random(2, 3, *size)
        expected = run(proto, x)[0]
        np.testing.assert_allclose(xpnet.to_numpy(loaded(x)), expected, rtol=1e-4, atol=1e-5)


def test_scikit_learns_operators():
    """Compared with their definitions: the package onnx has no cases of them."""
    ml = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 3)]
    nodes = [
        helper.make_node(
            "Scaler", ["x"], ["s"], domain="ai.onnx.ml", offset=[1.0, 2.0], scale=[2.0, 0.5]
        ),
        helper.make_node("Normalizer", ["s"], ["n"], domain="ai.onnx.ml", norm="L2"),
        helper.make_node(
            "LinearRegressor",
            ["n"],
            ["y"],
            domain="ai.onnx.ml",
            coefficients=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            intercepts=[0.1, 0.2, 0.3],
            targets=3,
        ),
    ]
    proto = model([], {"x": ("INT64", ["n", 2])}, {"y": floats("n", 3)})
    proto.graph.node.extend(nodes)
    del proto.opset_import[:]
    proto.opset_import.extend(ml)
    x = np.array([[3, 1], [0, 5], [1, 2]])
    s = ((x - [1.0, 2.0]) * [2.0, 0.5]).astype("float32")
    n = s / np.maximum(np.linalg.norm(s, axis=1, keepdims=True), 1e-30)
    expected = n @ np.array([[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]]) + [0.1, 0.2, 0.3]
    loaded = load_onnx(proto)
    np.testing.assert_allclose(xpnet.to_numpy(loaded(x)), expected, rtol=1e-6)
    assert [name for name, _ in loaded.named_parameters()] == [
        "layers.2.operands.coefficients",
        "layers.2.operands.intercepts",
    ]


def test_operators_of_old_opsets():
    """Attributes that later became inputs, and a softmax over all axes but the batch."""
    proto = model(
        [
            ("Slice", "x", "a", {"axes": [1], "starts": [0], "ends": [-1]}),
            ("Pad", "a", "b", {"pads": [0, 1, 0, 0, 0, 1], "value": 0.5}),
            ("Unsqueeze", "b", "c", {"axes": [1]}),
            ("Squeeze", "c", "d", {"axes": [1]}),
            ("Clip", "d", "e", {"min": -1.0, "max": 1.0}),
            ("Dropout", "e", "f", {"ratio": 0.25}),
            ("ReduceSum", "f", "g", {"axes": [2], "keepdims": 1}),
            ("Add", "f g", "h"),
            ("Softmax", "h", "y"),
        ],
        {"x": floats(2, 3, 4)},
        {"y": floats(2, 3, 5)},
        opset=9,
    )
    x = random(2, 3, 4)
    loaded = load_onnx(proto)
    assert "Dropout(p=0.25)" in repr(loaded)
    a = np.clip(np.pad(x[:, :2], [(0, 0), (1, 0), (0, 1)], constant_values=0.5), -1.0, 1.0)
    h = np.exp(a + a.sum(2, keepdims=True))
    np.testing.assert_allclose(
        xpnet.to_numpy(loaded(x)), h / h.sum((1, 2), keepdims=True), rtol=1e-5
    )


# --- what is refused ----------------------------------------------------------------------------------


def test_the_first_operator_that_is_not_covered_is_named():
    proto = model(
        [
            ("Relu", "x", "a"),
            ("Resize", "a  scales", "b", {"mode": "cubic"}),
            ("NonZero", "b", "y"),
        ],
        {"x": floats(1, 1, 4, 4)},
        {"y": ("INT64", [4, "n"])},
        {"scales": np.ones(4, "float32")},
    )
    with pytest.raises(StateError) as caught:
        load_onnx(proto)
    assert str(caught.value) == (
        "the model: expected operators that xpnet has equals of, got Resize, of the domain ai.onnx, "
        "in the node 'node_b' (opset 17). What comes before it is loaded with outputs='a'."
    )
    assert repr(load_onnx(proto, outputs="a")) == "Sequential(\n  ReLU()\n)"


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("Gelu", {"approximate": "quick"}, "Gelu with approximate='quick'"),
        ("Cast", {"to": TensorProto.BFLOAT16}, "Cast with to=16"),
        ("Relu", {"slope": 0.5}, "Relu with slope=0.5"),
        ("If", {}, "If, of the domain ai.onnx,"),
    ],
)
def test_an_attribute_that_is_not_covered_is_named(kind, options, message):
    proto = model([(kind, "x", "y", options)], {"x": floats(2)}, {"y": floats(2)}, opset=20)
    with pytest.raises(StateError, match=f"got {message} in the node 'node_y'"):
        load_onnx(proto)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip": 1.0}, "clip=1.0"),
        ({"input_forget": 1}, "input_forget=1"),
        ({"activations": ["Sigmoid", "Relu", "Tanh"]}, "activations="),
    ],
)
def test_a_recurrent_layer_that_xpnet_does_not_have_is_named(options, message):
    proto = model(
        [("LSTM", "x w r", "y", {"hidden_size": 2, **options})],
        {"x": floats(3, 1, 2)},
        {"y": floats(3, 1, 1, 2)},
        {"w": random(1, 8, 2), "r": random(1, 8, 2)},
    )
    with pytest.raises(StateError, match=f"LSTM with {message}"):
        load_onnx(proto)


def test_zip_maps_are_refused_with_the_option_that_omits_them():
    node = helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])
    proto = model([], {"x": floats(1, 2)}, {"y": floats(1)})
    proto.graph.node.append(node)
    with pytest.raises(StateError, match="skl2onnx writes none with options={'zipmap': False}"):
        load_onnx(proto)


@pytest.mark.parametrize("opset", [1, 6, 99])
def test_opsets_that_are_not_covered_are_named(opset):
    proto = model([("Relu", "x", "y")], {"x": floats(2)}, {"y": floats(2)}, opset=opset)
    with pytest.raises(StateError, match=f"opset from 7 to 28, got {opset}"):
        load_onnx(proto)


@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "no graph", "no type"])
def test_files_that_are_no_models_are_refused(tmp_path, damage):
    data = convnet().SerializeToString()
    bad = {
        "empty": b"",
        "text": b"This is a text, and no model.",
        "truncated": data[: len(data) // 2],
        "no graph": onnx.ModelProto(ir_version=8).SerializeToString(),
    }
    path = tmp_path / "net.onnx"
    path.write_bytes(bad.get(damage, data))
    if damage == "no type":
        with pytest.raises(ArgumentTypeError, match="expected a path, the bytes of a file or"):
            load_onnx(3)
        return
    with pytest.raises((DataError, StateError), match="net.onnx: "):
        load_onnx(path)


def test_every_truncation_and_many_changed_bytes_end_in_an_error_or_a_model():
    """No other error comes out, whatever the bytes are."""
    data = model(
        [("Gemm", "x w", "h"), ("Softmax", "h", "y")],
        {"x": floats("n", 3)},
        {"y": floats("n", 2)},
        {"w": random(3, 2)},
    ).SerializeToString()
    broken = [data[:n] for n in range(len(data))]
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 + place % 255
        broken.append(bytes(changed))
    refused = 0
    for attempt in broken:
        try:
            load_onnx(attempt)
        except xpnet.XpnetError:
            refused += 1
    assert refused > len(data)


def test_graphs_that_are_not_valid_are_refused():
    cycle = model([("Add", "x b", "a"), ("Relu", "a", "b")], {"x": floats(2)}, {"b": floats(2)})
    with pytest.raises(StateError, match="ONNX's own check of the graph failed"):
        load_onnx(cycle)


def test_without_the_package_onnx_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(xpnet.MissingPackageError, match=r'pip install "xpnet\[onnx\]"'):
        load_onnx("net.onnx")


def test_names_of_a_file_do_not_act_on_a_terminal():
    proto = model(
        [("Add", "x \x1b[31mred", "y"), ("Shape", "x", "s")],
        {"x": floats("n", 2)},
        {"y": floats("n", 2), "s": ("INT64", [2])},
        {"\x1b[31mred": random(2)},
    )
    loaded = load_onnx(proto)
    assert "\x1b" not in repr(loaded)
    assert "\x1b" not in repr(loaded.layers["add"])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="absent.onnx: expected an ONNX file"):
        load_onnx(tmp_path / "absent.onnx")


# --- tensors in other files ---------------------------------------------------------------------------


def external(tmp_path, **changes):
    """A model whose weight is in another file; its entry is changed."""
    folder = tmp_path / "model"
    folder.mkdir()
    w = random(3, 2)
    proto = model([("MatMul", "x w", "y")], {"x": floats("n", 3)}, {"y": floats("n", 2)}, {"w": w})
    (tensor,) = proto.graph.initializer
    (folder / "w.bin").write_bytes(b"12345678" + tensor.raw_data)
    (tmp_path / "outside.bin").write_bytes(b"12345678" + tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": "w.bin", "offset": 8, "length": 24} | changes).items():
        tensor.external_data.add(key=key, value=str(value))
    path = folder / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    return path, w


def test_tensors_in_a_file_beside_the_model_are_read(tmp_path):
    path, w = external(tmp_path)
    x = random(4, 3)
    np.testing.assert_allclose(xpnet.to_numpy(load_onnx(path)(x)), x @ w, rtol=1e-5)
    assert repr(load_onnx(str(path))) == "Sequential(\n  Affine(3 -> 2, bias=False)\n)"


@pytest.mark.parametrize(
    "location",
    ["../outside.bin", "w.bin/../../outside.bin", "{tmp}/outside.bin", ""],
)
def test_tensors_outside_of_the_folder_are_refused(tmp_path, location):
    path, _ = external(tmp_path, location=location.replace("{tmp}", str(tmp_path)))
    with pytest.raises(StateError, match="'w': expected a file in the folder of the model"):
        load_onnx(path)


@pytest.mark.parametrize("location", [".", "no.bin"])
def test_a_missing_file_of_tensors_is_named(tmp_path, location):
    path, _ = external(tmp_path, location=location)
    with pytest.raises(StateError, match=f"'w' is in the file '{location}', which is missing"):
        load_onnx(path)


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    path, _ = external(tmp_path, location="link.bin")
    (path.parent / "link.bin").symlink_to(tmp_path / "outside.bin")
    with pytest.raises(StateError, match="'w': expected a file in the folder of the model"):
        load_onnx(path)


@pytest.mark.parametrize(
    "changes", [{"offset": 9}, {"offset": -8}, {"length": 20}, {"offset": "x"}, {"length": 2**62}]
)
def test_a_truncated_file_of_tensors_is_refused(tmp_path, changes):
    path, _ = external(tmp_path, **changes)
    with pytest.raises(StateError, match="the tensor 'w'"):
        load_onnx(path)


def test_tensors_in_other_files_need_the_path(tmp_path):
    path, _ = external(tmp_path)
    with pytest.raises(StateError, match="'w' is in another file, 'w.bin': pass the path"):
        load_onnx(path.read_bytes())


def test_tensors_of_other_dtypes_are_refused():
    proto = model([("MatMul", "x w", "y")], {"x": floats("n", 3)}, {"y": floats("n", 2)})
    proto.graph.initializer.append(helper.make_tensor("w", TensorProto.BFLOAT16, [3, 2], [1.0] * 6))
    with pytest.raises(StateError, match="'w': expected one of float32, .*, got BFLOAT16"):
        load_onnx(proto)
