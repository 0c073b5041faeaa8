"""Weights go to PyTorch and come back; both models then say the same."""

import numpy as np
import pytest

import xpnet
from xpnet import Affine, ArgumentTypeError, Layer, Parameter, ReLU, Sequential, StateError
from xpnet.layers import Buffer
from xpnet.saving.pytorch import (
    load_torch_state_dict,
    match_torch_state_dict,
    torch_state_dict,
)


class Normal(Layer):
    """Parameters and buffers under PyTorch's names."""

    def __init__(self, n):
        self.weight = Parameter(np.ones(n, "float32"))
        self.running_mean = Buffer(xpnet.current().asarray(np.zeros(n, "float32")))

    def forward(self, x):
        return (x - self.running_mean.data) * self.weight


class Net(Layer):
    """Sequences within attributes, lists of layers, a tensor in two places."""

    def __init__(self):
        self.body = Sequential(Affine(3, 4, rng=0), Sequential(ReLU(), Affine(4, 4, bias=False)))
        self.heads = [Affine(4, 2, rng=1), Normal(2)]
        self.again = self.heads[0]

    def forward(self, x):
        return self.heads[1](self.heads[0](self.body(x)))


NAMES = {
    "body.0.weight": (4, 3), "body.0.bias": (4,), "body.1.1.weight": (4, 4),
    "heads.0.weight": (2, 4), "heads.0.bias": (2,), "heads.1.weight": (2,),
    "heads.1.running_mean": (2,), "again.weight": (2, 4), "again.bias": (2,),
}  # fmt: skip


def hosts(model):
    return {name: xpnet.to_numpy(x).copy() for name, x in model.state_dict().items()}


def test_names_and_shapes_are_pytorchs(backend):
    """W is transposed, Sequential's list has no name, a tensor in two places is there twice."""
    state = torch_state_dict(Net())
    assert {name: tuple(x.shape) for name, x in state.items()} == NAMES


def test_parameters_that_a_subclass_adds_are_converted_too(backend):
    """An Affine's own parameters are renamed, others are as they are called."""

    class LowRank(Affine):
        def __init__(self):
            super().__init__(4, 3, bias=False)
            self.down, self.up = Affine(4, 1, bias=False), Parameter(self.weight[:1, :].data)

    state = torch_state_dict(LowRank())
    shapes = {name: tuple(x.shape) for name, x in state.items()}
    assert shapes == {"weight": (3, 4), "down.weight": (1, 4), "up": (1, 3)}
    other = LowRank()
    load_torch_state_dict(other, {name: 0.0 * x + 2.0 for name, x in state.items()})
    assert all((xpnet.to_numpy(p) == 2.0).all() for p in other.parameters())


def test_to_pytorch_and_back_is_bit_for_bit(backend):
    """Copies, so that later steps of the one do not move the other."""
    ours, other = Net(), Net()
    for p in other.parameters():
        p.data = 0.0 * p.data
    load_torch_state_dict(other, torch_state_dict(ours))
    before = hosts(ours)
    for name, x in hosts(other).items():
        assert x.tobytes() == before[name].tobytes()
    for p in other.parameters():
        p.data += 1.0
    assert all((x == before[name]).all() for name, x in hosts(ours).items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"body.0.bias": None}, r"lacks \['body.0.bias'\] and has unknown \[\]"),
        ({"tail.weight": np.ones(2)}, r"lacks \[\] and has unknown \['tail.weight'\]"),
        ({"body.0.weight": np.ones((3, 4))}, r"expected body.0.weight of shape \(4, 3\), got \(3, 4\)"),
        ({"again.bias": np.zeros(2)}, r"heads.0.bias and again.bias are one tensor here, but differ"),
        ({"heads.0.bias": None, "again.bias": None}, r"lacks \['again.bias', 'heads.0.bias'\]"),
        ({"body.0.bias": np.ones(4, "complex64")}, r"expected body.0.bias to be real, as float32, got complex64"),
    ],
)  # fmt: skip
def test_a_state_that_does_not_fit_changes_nothing(change, message):
    """The error names the tensor as PyTorch does."""
    model = Net()
    before = hosts(model)
    state = {name: np.asarray(x) + 1 for name, x in torch_state_dict(model).items()} | change
    state = {name: x for name, x in state.items() if x is not None}
    with pytest.raises(StateError, match=message):
        load_torch_state_dict(model, state)
    assert all((x == before[name]).all() for name, x in hosts(model).items())


@pytest.mark.parametrize("left_out", ["heads.0", "again"])
def test_a_tensor_in_two_places_may_be_given_once(left_out):
    """As in files of safetensors, whose writer refuses the same tensor under two names."""
    ours, other = Net(), Net()
    state = torch_state_dict(ours)
    for p in other.parameters():
        p.data = 0.0 * p.data
    del state[f"{left_out}.weight"], state[f"{left_out}.bias"]
    load_torch_state_dict(other, state)
    for name, x in hosts(other).items():
        assert x.tobytes() == hosts(ours)[name].tobytes()


def test_a_tensor_in_two_places_is_compared_by_its_numbers():
    """0 is equal to -0, and float32 to the same numbers in float64."""
    state = torch_state_dict(Net())
    state["heads.0.bias"] = np.asarray([0.0, np.nan], "float32")
    state["again.bias"] = np.asarray([-0.0, np.nan], "float64")
    model = Net()
    load_torch_state_dict(model, state)
    assert np.isnan(model.again.bias.data).tolist() == [False, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((Affine(3, 2), Affine(3, 2)), r"a mapping of names to tensors, got a Affine. Pass module.state_dict\(\)"),
        ((Affine(3, 2), "net.pt"), r"got a str. .* torch.load\(path, weights_only=True\) or xpnet.saving.load_file"),
        ((Affine(3, 2), None), "got a NoneType"),
        (({}, Affine(3, 2)), "expected a Layer of xpnet first, got a dict"),
        ((Affine(3, 2), {0: np.ones(2)}), "expected names of tensors, got 0"),
    ],
)  # fmt: skip
def test_what_is_no_state_is_an_error_that_says_what_to_pass(arguments, message):
    for function in (load_torch_state_dict, match_torch_state_dict):
        with pytest.raises(ArgumentTypeError, match=f"{function.__name__} .*{message}"):
            function(*arguments)


def test_pytorchs_batch_counts_are_optional():
    """The counts of batches do not affect what a normalization computes."""
    model, other = Net(), Net()
    state = torch_state_dict(model) | {"heads.1.num_batches_tracked": np.asarray(7)}
    load_torch_state_dict(other, state)
    loaded = hosts(other)
    assert loaded.keys() == hosts(model).keys()
    assert all((x == loaded[name]).all() for name, x in hosts(model).items())


def test_a_tensor_with_a_dtype_that_numpy_lacks_is_an_error_that_names_it():
    torch = pytest.importorskip("torch", reason="PyTorch has the dtype")
    model = Affine(3, 2)
    state = {"weight": torch.ones(2, 3, dtype=torch.bfloat16), "bias": torch.ones(2)}
    with pytest.raises(
        StateError, match=r"weight, a torch.bfloat16, cannot be a NumPy array .* v.float\(\)"
    ):
        load_torch_state_dict(model, state)


def test_tensors_that_are_sparse_or_without_memory_are_errors_that_say_so():
    torch = pytest.importorskip("torch", reason="PyTorch has these tensors")
    for weight, message in (
        (torch.ones(2, 3).to_sparse(), r"weight, a torch.float32, cannot .* v.to_dense\(\)"),
        (torch.ones(2, 3, device="meta"), r"weight, a torch.float32, cannot .* no data"),
    ):
        with pytest.raises(StateError, match=message):
            load_torch_state_dict(Affine(3, 2), {"weight": weight, "bias": torch.ones(2)})


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_a_model_keeps_its_dtype(dtype):
    torch = pytest.importorskip("torch", reason="PyTorch is the other side")
    model = Affine(3, 2)
    theirs = torch.nn.Linear(3, 2).to(getattr(torch, dtype))
    load_torch_state_dict(model, theirs.state_dict(keep_vars=True))
    assert model.weight.data.dtype == np.float32
    assert model.weight.data.tolist() == theirs.weight.detach().float().numpy().T.tolist()


def test_a_pt_file_is_read_without_executing_it(tmp_path):
    torch = pytest.importorskip("torch", reason="it reads and writes such files")
    theirs = torch.nn.Linear(3, 2)
    torch.save(theirs.state_dict(), tmp_path / "net.pt")
    model = Affine(3, 2)
    load_torch_state_dict(model, torch.load(tmp_path / "net.pt", weights_only=True))
    assert model.weight.data.tolist() == theirs.weight.detach().numpy().T.tolist()


# --- PyTorch's own models ------------------------------------------------------------------------


def pairs():
    """Name, our model, a function that creates PyTorch's from torch.nn, an input shape."""
    layers = vars(xpnet.layers)
    yield (
        "mlp",
        lambda: xpnet.MLP(6, [5, 4], 3),
        lambda nn: nn.Sequential(
            nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)
        ),
        (7, 6),
    )
    if {"Conv2d", "MaxPool2d", "BatchNorm2d"} <= layers.keys():
        yield (
            "lenet",
            lambda: _lenet(xpnet.layers),
            lambda nn: _lenet(nn, nn.Linear),
            (2, 1, 28, 28),
        )
        yield (
            "normalized",
            lambda: _normalized(xpnet.layers),
            lambda nn: _normalized(nn, nn.Linear),
            (3, 2, 6, 6),
        )
    if "LSTM" in layers:
        yield (
            "lstm",
            lambda: layers["LSTM"](3, 4, num_layers=2, bidirectional=True, batch_first=True),
            lambda nn: nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True),
            (2, 5, 3),
        )
    yield (
        "gru",
        lambda: layers["GRU"](3, 4, num_layers=2, bidirectional=True, batch_first=True),
        lambda nn: nn.GRU(3, 4, num_layers=2, bidirectional=True, batch_first=True),
        (2, 5, 3),
    )
    yield (
        "transposed, of groups",
        lambda: layers["ConvTranspose2d"](4, 6, 3, stride=2, groups=2),
        lambda nn: nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2),
        (2, 4, 5, 5),
    )
    yield "group norm", lambda: layers["GroupNorm"](2, 4), lambda nn: nn.GroupNorm(2, 4), (2, 4, 5)
    yield (
        "batch norm, plain average",
        lambda: layers["BatchNorm1d"](4, momentum=None),
        lambda nn: nn.BatchNorm1d(4, momentum=None),
        (5, 4),
    )
    if "TransformerEncoderLayer" in layers:
        yield (
            "transformer",
            lambda: layers["TransformerEncoderLayer"](8, 2, 16, batch_first=True),
            lambda nn: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
            (2, 5, 8),
        )


def _lenet(nn, affine=Affine):
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(),
        nn.MaxPool2d(2), nn.Flatten(), affine(400, 120), nn.Tanh(), affine(120, 84), nn.Tanh(),
        affine(84, 10),
    )  # fmt: skip


def _normalized(nn, affine=Affine):
    block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), block, nn.Flatten(), affine(64, 3))


PAIRS = {name: rest for name, *rest in pairs()}


def outputs(ours, theirs, x, torch):
    """Both models' values in evaluation."""
    with xpnet.no_grad(), torch.no_grad():
        y, t = ours.eval()(x), theirs.eval()(torch.asarray(x))
    y, t = (v[0] if isinstance(v, tuple) else v for v in (y, t))
    return xpnet.to_numpy(xpnet.autodiff.variable.data_of(y)), t.numpy()


@pytest.mark.parametrize("name", PAIRS)
def test_from_pytorch(name):
    """With random weights and statistics, the outputs agree to 1e-5."""
    torch = pytest.importorskip("torch", reason="PyTorch is the other side")
    make_ours, make_theirs, shape = PAIRS[name]
    ours, theirs = make_ours(), make_theirs(torch.nn)
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    with torch.no_grad():
        for p in theirs.parameters():
            p += 0.1 * torch.randn(p.shape)
        theirs.train()(torch.asarray(x))  # running statistics that are not 0 and 1
    load_torch_state_dict(ours, theirs.state_dict())
    y, t = outputs(ours, theirs, x, torch)
    np.testing.assert_allclose(y, t, rtol=1e-5, atol=1e-5)
    for key, value in torch_state_dict(ours).items():
        assert value.tobytes() == theirs.state_dict()[key].numpy().tobytes(), key


@pytest.mark.parametrize("name", PAIRS)
def test_to_pytorch(name):
    """Loaded strictly: every name is known, and none is missing."""
    torch = pytest.importorskip("torch", reason="PyTorch is the other side")
    make_ours, make_theirs, shape = PAIRS[name]
    ours, theirs = make_ours(), make_theirs(torch.nn)
    state = {key: torch.asarray(value) for key, value in torch_state_dict(ours).items()}
    theirs.load_state_dict(state, strict=True)
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    y, t = outputs(ours, theirs, x, torch)
    np.testing.assert_allclose(y, t, rtol=1e-5, atol=1e-5)
