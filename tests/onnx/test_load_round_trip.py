"""What `export_onnx` writes, `load_onnx` reads: every layer, and every model."""

import numpy as np
import pytest

import xpnet
from tests.layers.cases import LAYERS, Integers
from xpnet import layers as L, models
from xpnet.saving import export_onnx, load_onnx

pytest.importorskip("onnx", reason="it writes the files: pip install onnx")


MODELS = {
    "mlp": ((20,), {"hidden": [16, 8]}),
    "lenet": ((1, 28, 28), {}),
    "resnet": ((3, 16, 16), {}),
    "lstm": ((6, 5), {}),
    "transformer": ((6, 5), {}),
}


def computed(model, *inputs):
    """What the model computes in evaluation, as a list of NumPy arrays."""
    with L.hooks.evaluating():
        y = model(*inputs)
    return [xpnet.to_numpy(y) for y in (y if isinstance(y, tuple) else (y,))]


def require_same(model, loaded, *inputs):
    for given, expected in zip(computed(loaded, *inputs), computed(model, *inputs), strict=True):
        assert given.dtype == expected.dtype
        np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_comes_back(name):
    case = LAYERS[name]
    layer = case.layer()
    axis = case.batch or 0
    inputs = [x.astype("float32") if x.dtype.kind == "f" else x for x in case.hosts()]
    shapes = [x.shape[:axis] + x.shape[axis + 1 :] for x in inputs]
    dtypes = ["int64" if isinstance(x, Integers) else "float32" for x in case.inputs(case.at())]
    proto = export_onnx(layer, None, shapes, batch_axis=axis, input_dtype=dtypes)
    loaded = load_onnx(proto)
    require_same(layer, loaded, *inputs)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back(name):
    shape, options = MODELS[name]
    model = models.build(name, shape, 10, rng=0, **options)
    loaded = load_onnx(export_onnx(model, None, shape))
    x = np.random.default_rng(0).standard_normal((3, *shape)).astype("float32")
    require_same(model, loaded, x)
    # ONNX does not record that the pattern of positions is no parameter.
    constants = {"transformer": 6 * 64}.get(name, 0)
    count = sum(p.size for p in model.parameters()) + constants
    assert sum(p.size for p in loaded.parameters()) == count


def test_a_chain_comes_back_as_the_same_network():
    model = xpnet.MLP(20, [16, 8], 10)
    loaded = load_onnx(export_onnx(model, None, (20,)))
    assert repr(loaded) == repr(model).replace("MLP", "Sequential")
    loaded.load_state_dict(model.state_dict())


def test_weights_of_the_model_in_xpnet_fit_the_loaded_one():
    """Their names are the same, also where the loaded model is a graph."""
    model = models.build("resnet", (3, 16, 16), 10, rng=0)
    loaded = load_onnx(export_onnx(model, None, (3, 16, 16)))
    trained = models.build("resnet", (3, 16, 16), 10, rng=1)
    x = np.random.default_rng(0).standard_normal((3, 3, 16, 16)).astype("float32")
    names = [name for name, _ in trained.named_parameters()]
    assert [name for name, _ in loaded.named_parameters()] == names
    loaded.load_state_dict(trained.state_dict())
    require_same(trained, loaded, x)
