"""A layer with parameters takes inputs of their dtype and library; conversions are explicit."""

import numpy as np
import pytest

import xpnet
from xpnet import functions as F, layers as L, to_numpy
from xpnet.layers import Layer
from xpnet.training import Trainer, evaluate, predict

IMAGES, SIGNALS, ROWS, STEPS = (2, 4, 6, 6), (2, 4, 6), (5, 4), (3, 2, 4)
LAYERS = {
    "Affine": (lambda: L.Affine(4, 3), ROWS),
    "Affine without a bias": (lambda: L.Affine(4, 3, bias=False), STEPS),
    "Conv1d": (lambda: L.Conv1d(4, 2, 3), SIGNALS),
    "Conv2d": (lambda: L.Conv2d(4, 2, 3), IMAGES),
    "ConvTranspose1d": (lambda: L.ConvTranspose1d(4, 2, 3), SIGNALS),
    "ConvTranspose2d": (lambda: L.ConvTranspose2d(4, 2, 3), IMAGES),
    "BatchNorm1d": (lambda: L.BatchNorm1d(4), ROWS),
    "BatchNorm1d in evaluation": (lambda: L.BatchNorm1d(4).eval(), ROWS),
    "BatchNorm1d without a weight": (lambda: L.BatchNorm1d(4, affine=False).eval(), ROWS),
    "BatchNorm2d": (lambda: L.BatchNorm2d(4), IMAGES),
    "LayerNorm": (lambda: L.LayerNorm(4), ROWS),
    "LayerNorm without a bias": (lambda: L.LayerNorm(4, bias=False), ROWS),
    "GroupNorm": (lambda: L.GroupNorm(2, 4), IMAGES),
    "RNN": (lambda: L.RNN(4, 3), STEPS),
    "LSTM": (lambda: L.LSTM(4, 3, bidirectional=True), STEPS),
    "GRU": (lambda: L.GRU(4, 3, num_layers=2), STEPS),
    "MultiheadAttention": (lambda: L.MultiheadAttention(4, 2), STEPS),
    "TransformerEncoderLayer": (lambda: L.TransformerEncoderLayer(4, 2, 8), STEPS),
    "TransformerEncoderLayer, norm first": (
        lambda: L.TransformerEncoderLayer(4, 2, 8, norm_first=True), STEPS,
    ),
    "TransformerEncoder": (
        lambda: L.TransformerEncoder([L.TransformerEncoderLayer(4, 2, 8)]), STEPS,
    ),
    "Sequential": (lambda: L.Sequential(L.Affine(4, 3), L.ReLU()), ROWS),
    "Residual": (lambda: L.Residual(L.Affine(4, 4)), ROWS),
    "MLP": (lambda: L.MLP(4, 3, 2), ROWS),
}  # fmt: skip


@pytest.fixture(params=LAYERS)
def case(request, backend):
    make, shape = LAYERS[request.param]
    return make(), np.ones(shape) * np.linspace(-1.0, 1.0, shape[-1])


def of(backend, host, dtype):
    """An array of that dtype, or a skip where the library has none."""
    lacks_it = dtype == "float64" and backend.name.endswith("no_float64")
    if lacks_it or not hasattr(backend.xp, dtype):
        pytest.skip(f"{backend.name} has no {dtype}")
    if backend.name.startswith("jax") and dtype.endswith("64") and dtype != "complex64":
        pytest.skip("JAX narrows 64 bits until it is told, and then for the whole process")
    return backend.asarray(host, getattr(backend.xp, dtype))


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("dtype", ["float64", "complex64", "int64"])
def test_another_width_is_an_error_that_says_how_to_convert(backend, case, dtype):
    """By call, by forward, and on a Variable: never a result of another width."""
    layer, host = case
    x = of(backend, host, dtype)
    calls = [layer, layer.forward]
    if dtype == "float64":
        calls.append(lambda x: layer(xpnet.Variable(x)))
    for call in calls:
        with pytest.raises(xpnet.ArgumentTypeError) as caught:
            call(x)
        assert f"dtype float32, got {dtype}. Use F.astype(x, " in str(caught.value) or (
            f"dtype real floating, got {dtype}. Use F.astype(x, " in str(caught.value)
        )
    y = layer(F.astype(backend.asarray(host.real, backend.dtype), backend.dtype))
    assert all(leaf.dtype == backend.dtype for leaf in xpnet.autodiff.tree.leaves(y))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_narrower_width_is_an_error_too(backend, dtype):
    for name in ("Affine", "Conv2d", "LSTM", "LayerNorm", "MLP"):
        make, shape = LAYERS[name]
        x = of(backend, np.ones(shape), dtype)
        with pytest.raises(xpnet.ArgumentTypeError, match=f"dtype float32, got {dtype}"):
            make()(x)


def test_the_error_names_the_layer(backend):
    """The one that refuses, not the model around it."""
    x = of(backend, np.ones((5, 4)), "float64")
    with pytest.raises(xpnet.ArgumentTypeError) as caught:
        xpnet.MLP(4, 3, 2)(x)
    library = backend.xp.__name__.removeprefix("array_api_compat.")
    assert str(caught.value) == (
        "Affine(4 -> 3) expected x of shape (batch, 4) and dtype float32, got float64. Use F.astype("
        f"x, {library}.float32), or create the layer in float64, after xpnet.use(..., "
        'dtype="float64").'
    )


def test_states_and_masks_of_another_width_are_errors(backend):
    """They would widen all that comes out, as inputs do."""
    x = backend.asarray(np.ones(STEPS), backend.dtype)
    h = of(backend, np.zeros((1, 2, 3)), "float64")
    with pytest.raises(xpnet.ArgumentTypeError, match="expected h_0 .*float32, got float64"):
        L.GRU(4, 3)(x, None, h)
    good = F.astype(h, backend.dtype)
    with pytest.raises(xpnet.ArgumentTypeError, match="expected c_0 .*F.astype.c_0, "):
        L.LSTM(4, 3)(x, None, good, h)
    mask = of(backend, np.zeros((3, 3)), "float64")
    attention = L.MultiheadAttention(4, 2)
    with pytest.raises(xpnet.ArgumentTypeError, match="expected a mask .*float32, got float64"):
        attention(x, None, None, mask)
    assert attention(x, None, None, F.astype(mask, backend.dtype)).dtype == backend.dtype
    for i in range(3):
        xs = [x, x, x]
        xs[i] = F.astype(x, h.dtype)
        with pytest.raises(xpnet.ArgumentTypeError, match="float32, got float64"):
            attention(*xs)


def test_layers_without_parameters_keep_the_width(backend):
    """There is nothing to differ from."""
    x = of(backend, np.ones(IMAGES), "float64")
    for layer in (
        L.ReLU(),
        L.Dropout(0.5),
        L.MaxPool2d(2),
        L.Flatten(),
        L.GroupNorm(2, 4, affine=False),
    ):
        assert layer(x).dtype == x.dtype
    rows = of(backend, np.ones(STEPS), "float64")
    assert L.LayerNorm(4, elementwise_affine=False)(rows).dtype == x.dtype
    assert L.PositionalEncoding(4)(rows).dtype == x.dtype
    assert L.BatchNorm2d(4, affine=False, track_running_stats=False)(x).dtype == x.dtype
    integers = backend.asarray([[1, 2, 3, 4]])
    for layer in (L.LayerNorm(4, elementwise_affine=False), L.Dropout(0.5)):
        with pytest.raises(xpnet.ArgumentTypeError, match="expected .* real floating, got .*int"):
            layer(integers)


def test_another_byte_order_is_not_another_width():
    """What FITS and IDX hold is big-endian: the numbers are the same."""
    layer = L.Affine(4, 3, rng=0)
    x = np.linspace(0.0, 1.0, 20, dtype="float32").reshape(5, 4)
    swapped = x.astype(">f4")
    assert to_numpy(layer(swapped)).tobytes() == to_numpy(layer(x)).tobytes()
    with pytest.raises(xpnet.ArgumentTypeError, match="got .*f8"):
        layer(x.astype(">f8"))


@pytest.mark.parametrize("library", ["torch", "array_api_strict", "jax"])
def test_arrays_of_another_library_are_an_error_at_the_parameter(library):
    """A model on PyTorch given NumPy's arrays: what is mixed, and the line to write."""
    pytest.importorskip(library, reason="another library than NumPy to mix with")
    x = np.ones((5, 4), "float32")
    with xpnet.using(library):
        models = [L.Affine(4, 3), L.MLP(4, 3, 2), L.LayerNorm(4), L.BatchNorm1d(4)]
        for model in models:
            for given in (x, x.astype("float64"), xpnet.Variable(x)):
                with pytest.raises(xpnet.ArgumentTypeError) as caught:
                    model(given)
                said = str(caught.value)
                assert "Arrays of different libraries do not mix" in said
                assert "xpnet.current().asarray(x)" in said
            assert model(xpnet.current().asarray(x)).shape[0] == 5
        y = predict(models[1], x)  # a trainer moves its data itself
        assert type(y) is type(xpnet.current().asarray(x))


class Doubling(Layer):
    """The error names the dtype of the input."""

    def __init__(self):
        self.factor = xpnet.Parameter([2.0])
        self.seen = []

    def forward(self, x):
        self.seen.append(str(x.dtype).rpartition(".")[2])
        return F.multiply(x, self.factor)


@pytest.mark.parametrize("other", ["float32", "float64"])
def test_a_trainer_converts_data_to_the_dtype_of_its_model(backend64, other):
    """Arrays, loaders and batches of any dtype, whatever the dtype of the current backend."""
    x, t = np.ones((20, 3)), np.full((20, 3), 3.0)
    with xpnet.using(backend64.name, dtype="float64" if other == "float32" else "float32"):
        model = Doubling()
    dtype = str(model.factor.dtype).rpartition(".")[2]
    with xpnet.using(backend64.name, dtype=other):
        trainer = Trainer(model, F.mean_squared_error, xpnet.SGD([model.factor]), rng=0)
        for data in ((x, t), [(x, t)], xpnet.data.DataLoader(x, t, batch_size=10)):
            trainer.fit(data, data, epochs=1, batch_size=10)
            trainer.evaluate(data)
            evaluate(model, F.mean_squared_error, data)
        y = trainer.predict(x.astype("float16"))
        assert set(model.seen) == {dtype}
        assert str(y.dtype).endswith(dtype)
        assert str(xpnet.current().dtype).rpartition(".")[2].rstrip("'>") == other
