"""The range test finds the rates that descend a parabola, and changes nothing else."""

import math

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import xpnet
from xpnet import functions as F, layers as L, plots, random


def problem(array):
    """A model with dropout, its optimizer, and two batches."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 50, 3)).astype("float32")
    t = (x @ np.ones((3, 1))).astype("float32")
    model = xpnet.Sequential(xpnet.Affine(3, 1, rng=0), L.Dropout(0.1))
    optimizer = xpnet.Momentum(model.parameters(), lr=0.5)
    batches = [(array(x[i]), array(t[i])) for i in range(2)]
    return model, F.mean_squared_error, optimizer, batches


def test_the_model_and_the_optimizer_are_not_changed(backend, array):
    """Neither are the training flag and the state of random numbers."""
    model, loss, optimizer, batches = problem(array)
    loss(model(batches[0][0]), batches[0][1]).backward()
    optimizer.step()
    weights = {name: xpnet.to_numpy(x).tolist() for name, x in model.state_dict().items()}
    moved = {k: xpnet.to_numpy(v).tolist() for k, v in optimizer.state_dict().items()}
    model.eval()
    xpnet.manual_seed(1)
    here = random.state()
    found = plots.lr_range_test(model, loss, optimizer, batches, steps=20)
    assert {n: xpnet.to_numpy(x).tolist() for n, x in model.state_dict().items()} == weights
    assert {k: xpnet.to_numpy(v).tolist() for k, v in optimizer.state_dict().items()} == moved
    assert random.state() == here
    assert not model.training
    assert optimizer.factor == 1.0
    assert found.losses[0] != found.losses[1]  # the batches take turns


def test_the_rates_are_a_geometric_series_that_ends_with_the_loss(array, backend):
    """Above twice the inverse of the curvature the loss grows, and the test stops."""
    model, loss, optimizer, batches = problem(array)
    found = plots.lr_range_test(model, loss, optimizer, batches, low=1e-4, high=100.0, steps=61)
    ratios = [b / a for a, b in zip(found.rates[:-1], found.rates[1:], strict=True)]
    assert found.rates[0] == pytest.approx(1e-4)
    assert ratios == pytest.approx([10**0.1] * len(ratios))
    assert len(found.rates) < 61
    assert 1e-3 < found.steepest < 1.0
    assert found.smoothed[0] == pytest.approx(found.losses[0])
    smoothed = (0.9 * 0.1 * found.losses[0] + 0.1 * found.losses[1]) / (1 - 0.81)
    assert found.smoothed[1] == pytest.approx(smoothed)
    (axes,) = plots.lr_finder(found).axes
    assert list(axes.lines[1].get_xdata()) == found.rates
    assert axes.get_xscale() == "log"
    assert axes.get_legend().get_texts()[2].get_text() == f"falls most at {found.steepest:.2g}"


def test_samples_are_divided_into_batches(backend):
    """As in `Trainer.fit`; here there are two batches of 100, in turn."""
    model, loss, optimizer, _ = problem(lambda x: x)
    x = np.random.default_rng(1).normal(size=(200, 3)).astype("float32")
    seen = []

    def noted(y, t):
        seen.append(y.shape)
        return loss(y, t)

    found = plots.lr_range_test(model, noted, optimizer, (x, x[:, :1]), steps=4, high=1e-3)
    assert (len(found.rates), seen) == (4, [(100, 1)] * 4)
    assert found.losses[0] != found.losses[1]


def test_invalid_ranges_and_batches_are_refused(array, backend):
    model, loss, optimizer, batches = problem(array)
    with pytest.raises(ValueError, match="0 < low < high"):
        plots.lr_range_test(model, loss, optimizer, batches, low=1.0, high=0.1)
    with pytest.raises(ValueError, match="got none"):
        plots.lr_range_test(model, loss, optimizer, [])
    broken = [(x, t * math.nan) for x, t in batches]
    with pytest.raises(ValueError, match="finite at the lowest rate"):
        plots.lr_range_test(model, loss, optimizer, broken)


def test_a_schedule_is_drawn_by_step():
    (axes,) = plots.learning_rate(lambda n: 0.5**n, 3, lr=0.4).axes
    assert list(axes.lines[0].get_ydata()) == [0.4, 0.2, 0.1]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "learning rate")
