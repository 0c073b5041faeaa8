"""Weights and outputs of layers as images."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import xpnet
from xpnet import Affine, layers as L, plots


def shown(figure):
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def pictures_of(figure):
    """The axes of the images, without that of the color bar."""
    return shown(figure)[: len([a for a in figure.axes if not a.axison and a.images])]


def test_columns_of_an_affine_are_images(backend):
    """A column of the weight is an image, row by row."""
    layer = Affine(6, 3, rng=0)
    figure = plots.filters(layer, shape=(2, 3))
    w = xpnet.to_numpy(layer.weight.data)
    for j, picture in enumerate(pictures_of(figure)):
        assert picture.tolist() == w[:, j].reshape(2, 3).tolist()
    low, high = figure.axes[0].images[0].get_clim()
    assert high == -low == pytest.approx(float(abs(w).max()))
    with pytest.raises(
        xpnet.ShapeError, match="expected the shape of an image of 6 pixels, got None"
    ):
        plots.filters(layer)
    with pytest.raises(xpnet.ShapeError, match=r"or an Affine, got a Parameter\.$"):
        plots.filters(layer.weight)
    with pytest.raises(xpnet.ShapeError, match=r"with kernels or an Affine, got ReLU\(\)"):
        plots.filters(xpnet.ReLU())


@pytest.mark.parametrize(
    ("channels", "limit", "count", "size"),
    [(1, 64, 5, (3, 3)), (3, 4, 4, (3, 3, 3)), (2, 64, 10, (3, 3)), (2, 7, 6, (3, 3))],
)
def test_kernels_are_images(channels, limit, count, size):
    """One channel is blue and red, three are colors, and others have an image each."""
    layer = L.Conv2d(channels, 5, 3, rng=0)
    found = pictures_of(plots.filters(layer, limit=limit))
    assert [p.shape for p in found] == [size] * count
    w = xpnet.to_numpy(layer.weight.data)
    if channels == 2:
        assert found[3].tolist() == w[1, 1].tolist()
    if channels == 3:
        assert (min(p.min() for p in found), max(p.max() for p in found)) == (0.0, 1.0)


def test_feature_maps_are_the_layers_output(backend, array):
    """The model stays in training mode."""
    conv = L.Conv2d(1, 4, 3, rng=0)
    model = xpnet.Sequential(conv, xpnet.ReLU(), xpnet.Flatten())
    x = array(np.random.default_rng(0).normal(size=(1, 1, 6, 5)).astype("float32"))
    found = pictures_of(plots.feature_maps(model, conv, x))
    np.testing.assert_allclose(np.stack(found), xpnet.to_numpy(conv(x).data)[0], rtol=1e-6)
    assert model.training
    assert len(pictures_of(plots.feature_maps(model, conv, x, limit=3))) == 3
    for layer, sample, message in (
        (conv, array(np.zeros((2, 1, 6, 5), "float32")), r"one sample, .*, got \(2, 1, 6, 5\)"),
        (xpnet.Tanh(), x, r"Expected a layer that the model calls, got Tanh\(\)"),
        (model[2], x, r"got \(1, 48\) from Flatten\(\)"),
    ):
        with pytest.raises(xpnet.ShapeError, match=message):
            plots.feature_maps(model, layer, sample)


def test_arrays_that_are_not_images_are_refused():
    with pytest.raises(xpnet.ShapeError, match=r"got \(2, 7\)"):
        plots.pictures(np.zeros((2, 7)))


def titles(figure):
    return [axes.get_title() for axes in figure.axes if axes.images]


def test_samples_are_of_each_class(backend, array):
    """As many as fit, one at least; a row for each class where all have enough."""
    x = np.arange(40 * 12, dtype=np.float32).reshape(40, 1, 3, 4) / 480
    t = np.arange(40) % 2
    t[5] = 2
    figure = plots.samples(array(x), array(t), ["circle", "triangle", "square"])
    assert titles(figure) == ["circle"] * 8 + ["triangle"] * 8 + ["square"]
    expected = [*range(0, 16, 2), *[i for i in range(1, 18, 2) if i != 5], 5]
    for image, i in zip(shown(figure), expected, strict=True):
        np.testing.assert_array_equal(image, x[i, 0])
    figure = plots.samples(x, np.arange(40) % 4)
    assert titles(figure) == [c for c in "0123" for _ in range(8)]
    places = [axes.get_subplotspec().rowspan.start for axes in figure.axes]
    assert places == [row for row in range(4) for _ in range(8)]
    assert titles(plots.samples(x, np.arange(40))) == [str(i) for i in range(40)]
    assert titles(plots.samples(x, t, count=3)) == ["0", "1", "2"]


def test_samples_may_be_changed_as_a_loader_does(tmp_path):
    """Only those that are shown; normalized images are scaled back to black and white."""
    x = np.random.default_rng(0).random((50, 3, 6, 5), dtype=np.float32)
    seen = []

    def darker(batch, rng):
        seen.append((len(batch), isinstance(rng, np.random.Generator)))
        return batch * 4 - 2

    figure = plots.samples(x, np.zeros(50, int), transform=darker, count=4, path=tmp_path / "x.png")
    assert seen == [(4, True)]
    low, high = x[:4].min(), x[:4].max()
    np.testing.assert_allclose(
        np.stack(shown(figure)), np.moveaxis((x[:4] - low) / (high - low), 1, -1), atol=1e-6
    )
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_samples_of_many_classes_say_how_many_are_not_shown():
    figure = plots.samples(np.zeros((103, 2, 2)), np.arange(103))
    assert len(titles(figure)) == 100
    assert figure.get_supxlabel() == "3 more classes are not shown"


def test_samples_that_do_not_fit_are_refused():
    x = np.zeros((3, 2, 2))
    with pytest.raises(xpnet.ShapeError, match=r"got \(3, 2, 2\) and \(2,\)"):
        plots.samples(x, np.zeros(2, int))
    with pytest.raises(xpnet.ShapeError, match=r"got \(3, 2, 2\) and \(3, 1\)"):
        plots.samples(x, np.zeros((3, 1), int))
    with pytest.raises(xpnet.DataError, match="class numbers below 2, got 0 to 2"):
        plots.samples(x, np.arange(3), ["a", "b"])
    assert titles(plots.samples(x[:0], np.arange(0))) == []
