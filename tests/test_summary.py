"""Summaries of models: sizes computed by hand, and the known figures of LeNet-5."""

import numpy as np
import pytest
from rich.cells import cell_len

import xpnet
from xpnet import Affine, Layer, Parameter, Sequential, layers as L, random
from xpnet.layers import Buffer
from xpnet.summary import MULTIPLY_ADDS, summary


def lenet():
    """LeNet-5 of LeCun et al., 1998; as usual, every kernel of C3 is connected to all maps."""
    return Sequential(
        L.Conv2d(1, 6, 5, padding=2), L.Tanh(), L.AvgPool2d(2), L.Conv2d(6, 16, 5), L.Tanh(),
        L.AvgPool2d(2), L.Flatten(), Affine(400, 120), L.Tanh(), Affine(120, 84), L.Tanh(),
        Affine(84, 10),
    )  # fmt: skip


def test_the_summary_of_lenet_has_its_known_figures(backend):
    """LeNet-5 has 61,706 parameters and 416,520 multiply-adds."""
    found = summary(lenet(), (1, 28, 28))
    assert (found.parameters, found.trainable) == (61_706, 61_706)
    assert found.multiply_adds == 117_600 + 240_000 + 48_000 + 10_080 + 840
    assert found.parameter_bytes == 4 * 61_706
    maps = 2 * 6 * 28 * 28 + 6 * 14 * 14 + 2 * 16 * 10 * 10 + 2 * 400 + 2 * 120 + 2 * 84 + 10
    assert found.activation_bytes == 4 * (28 * 28 + maps)
    first = found.rows[1]
    assert (first.name, first.shapes, first.parameters) == ("layers.0", [(1, 6, 28, 28)], 156)
    lines = str(found).splitlines()
    assert lines[2].split() == ["Sequential", "(batch,", "10)"]
    assert lines[10].split()[-5:] == ["120)", "(batch,", "120)", "48,120", "48,000"]
    assert lines[-3] == "Parameters     61,706"
    assert lines[-2] == "Multiply-adds  416,520 per sample"
    assert lines[-1] == "Memory         parameters 246.8 kB, activations 63.1 kB per sample"
    assert len({len(line) for line in (lines[0], lines[1], lines[10])}) == 1


def test_columns_with_hangul_are_aligned(backend):
    """An attribute may have any name that Python allows; a letter takes two cells of a terminal."""

    class Named(Layer):
        def __init__(self):
            self.은닉층 = Affine(3, 4, rng=0)

        def forward(self, x):
            return self.은닉층(x)

    lines = str(summary(Named(), (3,))).splitlines()
    assert "은닉층" in lines[3]
    assert cell_len(lines[0]) == cell_len(lines[1]) == cell_len(lines[3]) == len(lines[3]) + 3


@pytest.mark.parametrize(
    ("make", "shape", "options", "count"),
    [
        (lambda: Affine(6, 4), (5, 6), {}, 5 * 24),
        (lambda: L.Conv1d(4, 6, 3, groups=2), (4, 9), {}, 7 * 6 * 2 * 3),
        (lambda: L.Conv2d(2, 4, 3, stride=2), (2, 9, 7), {}, 4 * 3 * 4 * 2 * 9),
        (lambda: L.ConvTranspose2d(2, 4, 3, stride=2), (2, 5, 4), {}, 5 * 4 * 2 * 4 * 9),
        (lambda: L.RNN(3, 4), (5, 3), {"batch_axis": 1}, 5 * (4 * 3 + 4 * 4)),
        (lambda: L.LSTM(3, 4, bidirectional=True), (5, 3), {"batch_axis": 1}, 5 * 2 * 4 * (12 + 16)),
        (lambda: L.GRU(3, 4, num_layers=2, batch_first=True), (5, 3), {}, 5 * 3 * (12 + 3 * 16)),
        # 7 rows times four matrices of 8 x 8, and twice 7 x 7 products of vectors of 8 numbers
        (lambda: L.MultiheadAttention(8, 2, batch_first=True), (7, 8), {}, 7 * 256 + 2 * 49 * 8),
        (lambda: L.MultiheadAttention(8, 2), (7, 8), {"batch_axis": 1}, 7 * 256 + 2 * 49 * 8),
        (
            lambda: L.MultiheadAttention(8, 2, kdim=4, vdim=6, batch_first=True),
            [(7, 8), (5, 4), (5, 6)],
            {},
            7 * 64 + 5 * 32 + 5 * 48 + 2 * 7 * 5 * 8 + 7 * 64,
        ),
        (lambda: L.Embedding(10, 4), (5,), {"dtype": "int32"}, 0),
        (lambda: L.LayerNorm(4), (4,), {}, 0),
    ],
)  # fmt: skip
def test_multiply_adds_agree_with_the_count_by_hand(make, shape, options, count):
    """Products of rows and matrices, and of kernels and positions; elementwise functions count as 0."""
    assert summary(make(), shape, **options).multiply_adds == count


class SharedLayer(Layer):
    """It calls one layer twice and another never, has a matrix, and defines `multiply_adds`."""

    def __init__(self):
        self.inner = Affine(3, 3)
        self.again = [self.inner]
        self.other = L.ReLU()
        self.scale = Parameter(np.ones((3, 3), "float32"))

    def forward(self, x):
        return self.inner.forward(self.inner(x)) @ self.scale

    def multiply_adds(self, inputs, shapes):
        (x,) = inputs
        return 9 * x.shape[0] * len(shapes)


def test_a_shared_layer_counts_its_parameters_once():
    """Multiply-adds are counted for every call."""
    model = SharedLayer()
    model.scale.requires_grad = False
    found = summary(model, (3,))
    assert (found.parameters, found.trainable, found.multiply_adds) == (21, 12, 9 + 2 * 9)
    assert [(r.name, r.parameters, r.multiply_adds) for r in found.rows] == [
        ("", 9, 9), ("inner", 12, 18), ("other", 0, 0),
    ]  # fmt: skip
    assert "other: ReLU()" in str(found)
    assert "not called" in str(found)
    assert "Parameters     21, 9 of them frozen" in str(found)


def test_multiply_adds_of_another_class_may_be_registered(monkeypatch):
    """By the name of the class or of one of its bases."""
    monkeypatch.setitem(MULTIPLY_ADDS, "ReLU", lambda layer, xs, shapes: 7)
    assert summary(Sequential(L.ReLU()), (3,)).multiply_adds == 7


class Stateful(Layer):
    """It draws random numbers and changes its buffers, also in evaluation mode."""

    def __init__(self):
        self.count = Buffer(xpnet.current().asarray(np.zeros(2, "float32")))
        self.mean = Buffer(xpnet.current().asarray(np.zeros(2, "float32")))
        self.rng = random.default_rng(5)
        self.inner = Affine(2, 2, rng=0)

    def forward(self, x):
        self.count.data = self.count.data + 1.0
        if xpnet.current().name == "numpy":
            self.mean.data += 1.0
        self.rng.random()
        random.default_rng().random()
        assert not self.training
        return self.inner(x)


def test_a_summary_does_not_change_the_model(backend):
    """Its flags, buffers, generators, gradients and attributes are restored, also after an error."""
    model = Sequential(Stateful(), L.ReLU())
    model[1].training = False  # this layer is in evaluation mode, the others are not
    x = backend.asarray([[1.0, 2.0]])
    xpnet.manual_seed(3)
    before = [sorted(vars(layer)) for layer in model.sublayers()]
    first = summary(model, (2,))
    assert [sorted(vars(layer)) for layer in model.sublayers()] == before
    assert [layer.training for layer in model.sublayers()] == [True, True, True, False]
    for _, buffer in model.named_buffers():
        assert xpnet.to_numpy(buffer.data).tolist() == [0.0, 0.0]
    assert model[0].rng.random() == np.random.default_rng(5).random()
    assert random.default_rng().random() == np.random.default_rng(3).random()
    assert all(p.grad is None for p in model.parameters())
    assert (first.buffer_bytes, "buffers 16 bytes" in str(first)) == (16, True)
    with pytest.raises(xpnet.ShapeError, match=r"expected x of shape \(batch, 2\), got \(1, 3\)"):
        summary(model, (3,))
    assert [sorted(vars(layer)) for layer in model.sublayers()] == before
    model.eval()
    model(x)  # the model still works


def test_a_summary_uses_the_backend_and_dtype_of_the_model(backend):
    """Even if another backend and dtype are in force."""
    model = Affine(3, 2)
    with xpnet.using("numpy", dtype="float64"):
        found = summary(model, (3,))
    assert found.activation_bytes == 4 * (3 + 2)
    assert found.rows[0].kind == "Affine(3 -> 2)"


def test_the_repr_of_a_summary_is_its_table():
    """A notebook shows the repr of the last line of a cell."""
    found = summary(xpnet.MLP(4, 3, 2, rng=0), (4,))
    assert repr(found) == str(found)
    assert repr(found).startswith("Layer  ")


def test_a_notebook_displays_a_summary_as_a_table():
    """As pandas' tables; a name is indented by the layers that contain it, and escaped."""

    class Odd(xpnet.ReLU):
        def __repr__(self):
            return "<b>"

    text = summary(xpnet.Sequential(Odd(), xpnet.Affine(4, 3, rng=0)), (4,))._repr_html_()
    assert text.startswith('<table border="1" class="dataframe">')
    assert ">  0: &lt;b&gt;</td>" in text
    assert '<td style="text-align: right; white-space: pre">15</td>' in text
    assert (
        "<p>Parameters: 15<br>Multiply-adds: 12 per sample<br>Memory: parameters 60 bytes, " in text
    )
