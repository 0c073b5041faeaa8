"""Models that PyTorch and scikit-learn write, and those of a model zoo, against onnxruntime."""

import io
import warnings
from pathlib import Path

import numpy as np
import pytest

import xpnet
from xpnet import functions as F
from xpnet.saving import load_onnx, load_torch_state_dict

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

# The exporters warn of their own calls; the cases of `sqrt` and `pow` have negative numbers.
pytestmark = pytest.mark.filterwarnings("ignore")
DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"


def compare(proto, *xs, tolerance=1e-5, **options):
    """Load a model, compare its outputs with those of onnxruntime, and return it."""
    loaded = load_onnx(proto, **options)
    session = runtime.InferenceSession(proto.SerializeToString(), runtime_options())
    names = [x.name for x in session.get_inputs()]
    expected = session.run(options.get("outputs"), dict(zip(names, xs, strict=True)))
    y = loaded(*xs)
    if not isinstance(y, tuple):
        y = (y,)
    for given, wanted in zip(y, expected, strict=True):
        given = xpnet.to_numpy(given)
        assert given.dtype == wanted.dtype
        np.testing.assert_allclose(given, wanted, rtol=tolerance, atol=tolerance)
    return loaded


def runtime_options():
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return options


# --- PyTorch ------------------------------------------------------------------------------------------


def networks(torch):
    """Networks, each with an input, and what its loaded graph consists of."""
    nn = torch.nn

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
            self.norm1 = nn.BatchNorm2d(8)
            self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
            self.fc = nn.Linear(8, 5)

        def forward(self, x):
            h = torch.relu(self.norm1(self.conv1(x)))
            h = h + self.conv2(h)
            return self.fc(h.mean((2, 3)))

    class Viewing(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, stride=2)
            self.fc = nn.Linear(4 * 7 * 7, 5)

        def forward(self, x):
            return self.fc(torch.relu(self.conv(x)).view(x.size(0), -1))

    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.position = nn.Parameter(torch.randn(1, 5, 16))
            self.layer = nn.TransformerEncoderLayer(
                16, 2, 32, batch_first=True, activation="gelu", norm_first=True
            )
            self.head = nn.Linear(16, 3)

        def forward(self, x):
            return self.head(self.layer(x + self.position).mean(1))

    class Reading(nn.Module):
        def __init__(self, kind, **options):
            super().__init__()
            self.words = nn.Embedding(20, 8)
            self.reader = kind(8, 6, batch_first=True, **options)
            self.head = nn.Linear(6 * (1 + self.reader.bidirectional), 3)

        def forward(self, x):
            return self.head(self.reader(self.words(x))[0][:, -1])

    images = torch.randn(2, 3, 16, 16)
    words = torch.randint(0, 20, (2, 7))
    cnn = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.3),
        nn.Conv2d(8, 8, 3, groups=4, stride=2, dilation=2, padding=2),
        nn.LeakyReLU(0.2),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
        nn.LogSoftmax(-1),
    )
    others = nn.Sequential(
        nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1),
        nn.GroupNorm(2, 4),
        nn.Hardswish(),
        nn.ReLU6(),
        nn.ZeroPad2d((1, 0, 2, 1)),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True),
        nn.InstanceNorm2d(4, affine=True),
        nn.PReLU(4),
        nn.ELU(),
        nn.Mish(),
        nn.PixelShuffle(2),
        nn.Softplus(),
    )
    return {
        "mlp": (nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)), torch.randn(2, 6)),
        "cnn": (cnn, images),
        "residual": (Residual(), images),
        "viewing": (Viewing(), images),
        "attending": (Attending(), torch.randn(2, 5, 16)),
        "lstm": (Reading(nn.LSTM, num_layers=2, bidirectional=True), words),
        "gru": (Reading(nn.GRU), words),
        "rnn": (Reading(nn.RNN, nonlinearity="relu"), words),
        "others": (others, images),
    }


KINDS = {
    "mlp": "Affine Tanh Affine",
    "cnn": "Conv2d ReLU MaxPool2d Conv2d LeakyReLU SiLU GlobalAvgPool2d Affine LogSoftmax",
    "viewing": "Conv2d ReLU Flatten Affine",
}


def exported(torch, net, x, exporter):
    """The model that one of PyTorch's two exporters writes, for batches of any size."""
    if exporter == "torchscript":
        file = io.BytesIO()
        torch.onnx.export(
            net, (x,), file, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "batch"}}
        )
        return onnx.load_from_string(file.getvalue())
    pytest.importorskip("onnxscript", reason="PyTorch's exporter needs onnxscript")
    shapes = ({0: torch.export.Dim.DYNAMIC},)
    program = torch.onnx.export(net, (x,), dynamo=True, dynamic_shapes=shapes, verbose=False)
    return onnx.load_from_string(program.model_proto.SerializeToString())


NETWORKS = ["mlp", "cnn", "residual", "viewing", "attending", "lstm", "gru", "rnn", "others"]
SLOW = pytest.mark.slow  # the newer exporter takes seconds for each, most of them in its own passes
CASES = [pytest.param(name, "torchscript") for name in NETWORKS]
CASES.append(pytest.param("residual", "dynamo"))
CASES += [pytest.param(name, "dynamo", marks=SLOW) for name in NETWORKS if name != "residual"]


@pytest.mark.parametrize(("name", "exporter"), CASES)
def test_networks_that_pytorch_exports(name, exporter):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net, x = networks(torch)[name]
    for p in net.parameters():  # norms at work: PyTorch's exporter merges tensors that are equal
        p.data += 0.1 * torch.randn_like(p)
    net.eval()
    proto = exported(torch, net, x, exporter)
    x3 = torch.cat([x, x[:1]])  # another size of the batch
    loaded = compare(proto, x3.numpy(), tolerance=2e-5)
    expected = net(x3).detach().numpy()
    np.testing.assert_allclose(xpnet.to_numpy(loaded(x3.numpy())), expected, rtol=1e-4, atol=1e-4)
    if name in KINDS:
        assert " ".join(type(layer).__name__ for layer in loaded) == KINDS[name]
    if (name, exporter) != ("rnn", "dynamo"):  # that one is unrolled, from a state of x's batch
        assert "Shape" not in repr(loaded), "shapes are constants, or free"


def test_a_model_of_pytorch_is_trained_further():
    """From PyTorch's file: the same losses as those of the network in xpnet with the same weights."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
    loaded = load_onnx(exported(torch, net, torch.randn(2, 6), "torchscript"))
    written = xpnet.MLP(6, 16, 3)
    load_torch_state_dict(written, net.state_dict())
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 6)).astype("float32")
    t = rng.integers(0, 3, 64)
    found = []
    for model in (loaded.train(), written):
        optimizer = xpnet.SGD(model.parameters(), lr=0.5)
        losses = []
        for _ in range(40):
            loss = F.softmax_cross_entropy(model(x), t)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss))
        found.append(losses)
    assert found[0] == found[1]
    assert found[0][-1] < 0.8 * found[0][0]


# --- scikit-learn -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    datasets = pytest.importorskip("sklearn.datasets")
    x, t = datasets.load_digits(return_X_y=True)
    return x[:300].astype("float32"), t[:300]


def fitted(digits, kind):
    from sklearn.linear_model import Ridge
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler

    x, t = digits
    estimator = {
        "classifier": lambda: make_pipeline(
            StandardScaler(), MLPClassifier((20, 10), max_iter=10, random_state=0)
        ),
        "binary": lambda: MLPClassifier((8,), activation="tanh", max_iter=10, random_state=0),
        "regressor": lambda: make_pipeline(
            MinMaxScaler(), MLPRegressor(hidden_layer_sizes=(8,), max_iter=10, random_state=0)
        ),
        "linear": lambda: make_pipeline(Normalizer(), Ridge()),
    }[kind]()
    if kind == "binary":
        t = t > 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ten epochs do not converge
        return estimator.fit(x, t)


@pytest.mark.parametrize("kind", ["classifier", "binary", "regressor", "linear"])
def test_estimators_that_scikit_learn_exports(digits, kind):
    skl2onnx = pytest.importorskip("skl2onnx")
    x, _ = digits
    estimator = fitted(digits, kind)
    options = {"zipmap": False} if hasattr(estimator, "predict_proba") else None
    proto = skl2onnx.to_onnx(estimator, x[:1], options=options)
    loaded = compare(proto, x, tolerance=1e-4)
    if options:
        label, probabilities = loaded(x)
        np.testing.assert_array_equal(xpnet.to_numpy(label), estimator.predict(x))
        only = load_onnx(proto, outputs="probabilities")
        np.testing.assert_array_equal(xpnet.to_numpy(only(x)), xpnet.to_numpy(probabilities))
    assert any(True for _ in loaded.parameters())


def test_a_dictionary_of_probabilities_is_refused(digits):
    """It is what skl2onnx writes by default."""
    skl2onnx = pytest.importorskip("skl2onnx")
    proto = skl2onnx.to_onnx(fitted(digits, "classifier"), digits[0][:1])
    with pytest.raises(xpnet.StateError, match=r"ZipMap.*\{'zipmap': False\}"):
        load_onnx(proto)


# --- models that are in the package onnx --------------------------------------------------------------


def tensor(path):
    return onnx.numpy_helper.to_array(onnx.load_tensor(path))


PER_CHANNEL = "a slope per channel has to broadcast since opset 7, and the converter leaves it"
CONVERTED = {
    "test_PReLU_1d_multiparam": PER_CHANNEL,
    "test_PReLU_2d_multiparam": PER_CHANNEL,
    "test_PReLU_3d_multiparam": PER_CHANNEL,
}


@pytest.mark.parametrize("folder", ["pytorch-converted", "pytorch-operator"])
def test_layers_of_pytorch_that_onnx_has_as_cases(folder):
    """They are of opset 6, so they are converted first."""
    converter = pytest.importorskip("onnx.version_converter")
    failed = []
    paths = sorted((DATA / folder).glob("test_*/model.onnx"))
    for path in paths:
        if path.parent.name in CONVERTED:
            continue
        proto = converter.convert_version(onnx.load(path), 18)
        data = path.parent / "test_data_set_0"
        try:
            loaded = load_onnx(proto)
            count = len(getattr(loaded, "inputs", "x"))
            y = loaded(*(tensor(data / f"input_{i}.pb") for i in range(count)))
            if not isinstance(y, tuple):
                y = (y,)
            for i, given in enumerate(y):
                np.testing.assert_allclose(
                    xpnet.to_numpy(given), tensor(data / f"output_{i}.pb"), rtol=1e-3, atol=1e-5
                )
        except Exception as error:  # noqa: BLE001 - all failures are listed
            failed.append(f"{path.parent.name}: {error!r}"[:300])
    assert len(paths) > 30
    assert not failed, "\n".join(failed)


def zoo(name):
    """A network of the model zoo with random weights, as the file has none: only their shapes."""
    proto = onnx.load(DATA / "light" / f"light_{name}.onnx")
    rng = np.random.default_rng(0)
    shapes = {x.name: onnx.numpy_helper.to_array(x) for x in proto.graph.initializer}
    nodes = []
    for node in proto.graph.node:
        if node.op_type != "ConstantOfShape":
            nodes.append(node)
            continue
        shape = shapes[node.input[0]]
        fan_in = max(1, np.prod(shape[1:]))
        weight = rng.standard_normal(shape) * np.sqrt(2.0 / fan_in)
        made = onnx.numpy_helper.from_array(weight.astype("float32"), node.output[0])
        proto.graph.initializer.append(made)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return proto


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("squeezenet", 67),
        ("shufflenet", 204),
        pytest.param("inception_v1", 144, marks=pytest.mark.slow),  # seconds of convolutions
        pytest.param("resnet50", 177, marks=pytest.mark.slow),
        pytest.param("densenet121", 669, marks=pytest.mark.slow),
    ],
)
def test_networks_of_the_model_zoo(name, layers):
    """In eight digits of what onnxruntime computes, with variances that are made positive."""
    proto = zoo(name)
    for node in proto.graph.node:
        if node.op_type == "BatchNormalization":
            for value in proto.graph.initializer:
                if value.name == node.input[4]:
                    positive = np.abs(onnx.numpy_helper.to_array(value)) + np.float32(0.5)
                    value.CopyFrom(onnx.numpy_helper.from_array(positive, value.name))
    initializers = {x.name for x in proto.graph.initializer}
    unread = {x.name for x in proto.graph.input} - {n for v in proto.graph.node for n in v.input}
    kept = [x for x in proto.graph.input if x.name not in initializers | unread]
    del proto.graph.input[:]
    proto.graph.input.extend(kept)
    proto.ir_version = 8
    x = np.random.default_rng(1).standard_normal((1, 3, 224, 224)).astype("float32")
    loaded = compare(proto, x, tolerance=1e-3)
    assert len(list(loaded.named_layers())) == layers
