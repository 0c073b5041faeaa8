"""The mean and the maximum of each gradient."""

import math

import pytest

pytest.importorskip("matplotlib")

import xpnet
from xpnet import plots


def test_points_are_means_and_maxima(backend, array):
    """W has 1.5 and 4, b has 2.5 and 3; the others are missing, zero, or not finite."""
    model = xpnet.MLP(2, [2, 1], 1, rng=0)
    grads = {
        "layers.0.weight": [[1.0, -4.0], [0.0, 1.0]],
        "layers.0.bias": [-3.0, 2.0],
        "layers.2.bias": [0.0],
        "layers.4.weight": [[math.nan]],
    }
    for name, p in model.named_parameters():
        p.grad = array(grads[name]) if name in grads else None
    figure = plots.gradient_flow(model)
    (axes,) = figure.axes
    means, greatest = (points.get_offsets().tolist() for points in axes.collections[1:])
    assert means == [[1.5, 0.0], [2.5, 1.0]]
    assert greatest == [[4.0, 0.0], [3.0, 1.0]]
    words = {t.get_position()[1]: t.get_text() for t in axes.texts}
    assert words == {2: "no gradient", 3: "zero", 4: "not finite", 5: "no gradient"}
    labels = [t.get_text() for t in axes.get_yticklabels()]
    assert labels == [name for name, _ in model.named_parameters()]


def test_a_model_without_gradients_is_drawn(tmp_path):
    plots.gradient_flow(xpnet.MLP(2, 2, 2), tmp_path / "flow.png")
    assert (tmp_path / "flow.png").stat().st_size > 1000
