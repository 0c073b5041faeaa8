"""Tensors of PyTorch models whose containers have other names: matched by order, and shown first."""

import numpy as np
import pytest

import xpnet
from xpnet import Affine, ArgumentTypeError, BatchNorm1d, Sequential, StateError
from xpnet.saving import (
    load_file,
    load_torch_state_dict,
    match_torch_state_dict,
    save_file,
    torch_state_dict,
)

TORCHS = {"stem.fc.weight": (4, 3), "stem.fc.bias": (4,), "stem.norm.weight": (4,),
          "stem.norm.bias": (4,), "stem.norm.running_mean": (4,), "stem.norm.running_var": (4,),
          "stem.norm.num_batches_tracked": (), "head.weight": (4, 4), "head.bias": (4,)}  # fmt: skip


def model():
    return Sequential(Affine(3, 4, rng=0), BatchNorm1d(4), Affine(4, 4, rng=1))


def state(**changes):
    rng = np.random.default_rng(0)
    names = {name: rng.normal(size=shape).astype("float32") for name, shape in TORCHS.items()}
    names |= changes
    return {name: x for name, x in names.items() if x is not None}


def test_the_table_shows_names_shapes_and_why():
    names = match_torch_state_dict(model(), state())
    assert (
        str(names)
        == """\
name                          PyTorch                        shape                       matched by
layers.0.weight               stem.fc.weight                 (4, 3)  transposed          shape
layers.0.bias                 stem.fc.bias                   (4,)                        order
layers.1.weight               stem.norm.weight               (4,)                        shape
layers.1.bias                 stem.norm.bias                 (4,)                        order
layers.1.running_mean         stem.norm.running_mean         (4,)                        shape
layers.1.running_var          stem.norm.running_var          (4,)                        shape
layers.2.weight               head.weight                    (4, 4)  transposed, square  shape
layers.2.bias                 head.bias                      (4,)                        order
layers.1.num_batches_tracked  stem.norm.num_batches_tracked  ()                          name"""
    )


def test_what_was_matched_is_loaded(backend):
    ours = model()
    theirs = state()
    load_torch_state_dict(ours, theirs, match_torch_state_dict(ours, theirs))
    found = {name: xpnet.to_numpy(x) for name, x in ours.state_dict().items()}
    assert found["layers.0.weight"].tolist() == theirs["stem.fc.weight"].T.tolist()
    assert found["layers.2.weight"].tolist() == theirs["head.weight"].T.tolist()
    assert found["layers.1.running_var"].tolist() == theirs["stem.norm.running_var"].tolist()
    assert int(found["layers.1.num_batches_tracked"]) == int(
        theirs["stem.norm.num_batches_tracked"]
    )


def test_equal_names_are_matched_in_any_order():
    ours = model()
    theirs = dict(reversed(torch_state_dict(ours).items()))
    names = match_torch_state_dict(ours, theirs)
    assert {row[-1] for row in names.rows} == {"name"}
    assert names["layers.2.weight"] == "2.weight"
    assert names["layers.1.num_batches_tracked"] == "1.num_batches_tracked"


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module.", "encoder.net."])
def test_one_prefix_before_all_names_is_left_out(prefix, backend):
    """Of DataParallel, of torch.compile, of both, of a larger model. The order does not matter then."""
    ours = model()
    theirs = {prefix + name: 1 + x for name, x in reversed(torch_state_dict(model()).items())}
    names = match_torch_state_dict(ours, theirs)
    assert {row[-1] for row in names.rows} == {"name"}
    assert dict(names)["layers.1.num_batches_tracked"] == f"{prefix}1.num_batches_tracked"
    load_torch_state_dict(ours, theirs, names)
    found = torch_state_dict(ours)
    for name, x in theirs.items():
        given = xpnet.to_numpy(x)
        assert xpnet.to_numpy(found[name.removeprefix(prefix)]).tolist() == given.tolist()


def test_a_prefix_ends_with_a_dot():
    names = match_torch_state_dict(Affine(3, 4), {"aweight": np.ones((4, 3)), "abias": np.ones(4)})
    assert [row[-1] for row in names.rows] == ["shape", "shape"]


def test_names_of_both_models_at_other_places_are_pointed_out():
    class Net(xpnet.Layer):
        def __init__(self):
            self.a = Affine(2, 2, bias=False)
            self.b = Affine(2, 2, bias=False)
            self.c = Affine(2, 2, bias=False)

    theirs = {f"{name}.weight": np.ones((2, 2)) for name in "baz"}
    names = match_torch_state_dict(Net(), theirs)
    assert [row[-1] for row in names.rows] == ["order, not name", "order, not name", "order"]
    assert str(names).splitlines()[1].endswith("order, not name")


def test_a_tensor_in_two_places_here_may_be_there_once():
    tied = Sequential(*[Affine(2, 2, bias=False) for _ in range(3)])
    tied[2].weight = tied[0].weight
    theirs = {
        "first.weight": np.asarray([[1.0, 2.0], [3.0, 4.0]]),
        "middle.weight": np.ones((2, 2)),
    }
    names = match_torch_state_dict(tied, theirs)
    assert dict(names) == {"layers.0.weight": "first.weight", "layers.1.weight": "middle.weight"}
    load_torch_state_dict(tied, theirs, names)
    assert tied[2].weight.data.tolist() == [[1.0, 3.0], [2.0, 4.0]]
    assert tied[1].weight.data.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_a_safetensors_file_has_the_order_of_its_names(tmp_path):
    """Where the names are equal, behind a prefix or not, that does not matter; else it is an error."""
    state = {f"net.{name}": x for name, x in torch_state_dict(model()).items()}
    save_file(state, tmp_path / "net.safetensors")
    read, _ = load_file(tmp_path / "net.safetensors")
    assert list(read) != list(state)
    ours = model()
    load_torch_state_dict(ours, read, match_torch_state_dict(ours, read))
    assert ours[0].weight.data.tolist() == state["net.0.weight"].T.tolist()
    other = {name.replace("net.2", "head"): x for name, x in read.items()}
    with pytest.raises(StateError, match=r"safetensors files are ordered by names"):
        match_torch_state_dict(ours, other)


def test_a_vector_in_the_place_of_a_matrix_is_not_called_square():
    with pytest.raises(StateError, match=r"bias +\(4,\) +transposed +shape"):
        match_torch_state_dict(Affine(3, 4), {"bias": np.ones(4), "w": np.ones((4, 3))})


def test_names_that_are_no_strings_are_an_error():
    with pytest.raises(ArgumentTypeError, match="expected names of tensors, got 0"):
        load_torch_state_dict(Affine(3, 4), {}, {"weight": 0, "bias": "bias"})


def test_a_dict_may_be_written_by_hand():
    """Two equal layers are the other way round there: nothing in the shapes shows it."""
    ours = Sequential(Affine(2, 2, bias=False), Affine(2, 2, bias=False))
    theirs = {"b.weight": np.full((2, 2), 1.0), "a.weight": np.full((2, 2), 2.0)}
    names = match_torch_state_dict(ours, theirs)
    assert [row[-1] for row in names.rows] == ["order", "order"]
    swapped = {**names, "layers.0.weight": "a.weight", "layers.1.weight": "b.weight"}
    load_torch_state_dict(ours, theirs, swapped)
    assert (ours[0].weight.data == 2.0).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head.bias": None}, r"expected 8 tensors, got 7; without a counterpart are \['layers.2.bias'\]"),
        ({"tail.weight": np.ones(2)}, r"expected 8 tensors, got 9; .* are \['tail.weight'\]"),
        ({"stem.fc.weight": np.ones((3, 4))}, r"for layers.0.weight, of shape \(4, 3\) in PyTorch, got stem.fc.weight of shape \(3, 4\)"),
        ({"head.bias": 1.0}, "Expected head.bias to be a tensor, got 1.0"),
    ],
)  # fmt: skip
def test_tensors_that_cannot_be_matched_are_an_error_with_the_table(changes, message):
    with pytest.raises(StateError, match=f"(?s){message}"):
        match_torch_state_dict(model(), state(**changes))


def test_equal_shapes_in_another_order_are_noticed_by_their_names():
    theirs = state()
    order = list(theirs)
    order[2:4] = order[3], order[2]  # bias before weight
    with pytest.raises(
        StateError, match=r"(?s)for layers.1.weight.* got stem.norm.bias.*matched by"
    ):
        match_torch_state_dict(model(), {name: theirs[name] for name in order})


def test_tensors_of_other_names_are_matched_by_shape():
    ours = Affine(3, 4)
    names = match_torch_state_dict(ours, {"kernel": np.ones((4, 3)), "offset": np.ones(4)})
    assert dict(names) == {"weight": "kernel", "bias": "offset"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers.0.bias": None}, r"lacks \['layers.0.bias'\]"),
        ({"extra": "head.bias"}, r"has unknown \['extra'\]"),
        ({"layers.0.bias": "head.bias"}, r"names \['head.bias'\] more than once"),
        ({"layers.0.bias": "fc.bias"}, r"lacks \['fc.bias'\] and has unknown \['stem.fc.bias'\]"),
    ],
)
def test_names_that_do_not_fit_change_nothing(change, message):
    ours = model()
    before = {name: x.copy() for name, x in ours.state_dict().items()}
    names = {**match_torch_state_dict(ours, state()), **change}
    names = {name: other for name, other in names.items() if other is not None}
    with pytest.raises(StateError, match=message):
        load_torch_state_dict(ours, state(), names)
    for name, x in ours.state_dict().items():
        assert (x == before[name]).all()


def test_other_names_are_suggested_when_a_state_does_not_fit():
    with pytest.raises(StateError, match="If only the names differ, see match_torch_state_dict"):
        load_torch_state_dict(model(), state())


def test_a_model_of_pytorch_with_other_names_computes_the_same():
    torch = pytest.importorskip("torch", reason="PyTorch is the other side")
    nn = torch.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.ModuleDict({"conv": nn.Conv2d(1, 4, 3), "norm": nn.BatchNorm2d(4)})
            self.fc = nn.Linear(64, 3)

        def forward(self, x):
            x = torch.relu(self.features["norm"](self.features["conv"](x)))
            return self.fc(x.flatten(1))

    theirs = Net()
    x = torch.randn(5, 1, 6, 6)
    theirs(x)  # running statistics that are not 0 and 1
    ours = Sequential(
        xpnet.Conv2d(1, 4, 3),
        xpnet.BatchNorm2d(4),
        xpnet.ReLU(),
        xpnet.Flatten(),
        Affine(64, 3),
    )
    load_torch_state_dict(
        ours, theirs.state_dict(), match_torch_state_dict(ours, theirs.state_dict())
    )
    expected = theirs.eval()(x).detach().numpy()
    np.testing.assert_allclose(ours.eval()(x.numpy()).data, expected, rtol=1e-4, atol=1e-5)
