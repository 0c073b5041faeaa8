"""Learning rates: the range test, and schedules."""

import copy
import math
import os
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from xpnet import random
from xpnet.autodiff.variable import data_of
from xpnet.backend import to_numpy
from xpnet.data.loader import DataLoader
from xpnet.errors import ArgumentError
from xpnet.layers import Layer
from xpnet.plots._style import BLUE, ORANGE, figure_of, finished, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from xpnet.optimizers import Optimizer


class RangeTest(NamedTuple):
    """What `lr_range_test` found.

    Attributes
    ----------
    rates, losses : list of float
        The rate of each step, and its loss before the update.
    smoothed : list of float
        The losses' exponential mean, freed from its beginning.
    steepest : float
        The rate at which the smoothed loss falls most for a given factor of the rate: a good
        choice to train with, or the greatest of a schedule.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    steepest: float


def lr_range_test(
    model: Layer,
    loss: Callable[[Any, Any], Any],
    optimizer: "Optimizer",
    batches: tuple[Any, Any] | Iterable[tuple[Any, Any]],
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.9,
    stop: float = 4.0,
) -> RangeTest:
    """Train a copy with rates that grow from `low` to `high`, until the loss explodes.

    Source: L. N. Smith, Cyclical learning rates for training neural networks, WACV 2017, section
    3.3; with rates in a geometric series.

    Parameters
    ----------
    model : Layer
    loss : callable
        (y, t) -> the mean over a batch.
    optimizer : Optimizer
        Of the model's parameters. It, the model and xpnet's random numbers are left as they are:
        copies of the first two are trained.
    batches : (x, t), DataLoader, or iterable of batches (x, t)
        As for `Trainer.fit`: a tuple is all samples, and goes by batches of 100. What an iterable
        gives is on the model's device; it is begun anew when it ends.
    low, high : float
        The first and the last rate; of parameter groups with rates of their own, the optimizer's.
    steps : int
        At most so many.
    smoothing : float
        From 0 (none) to below 1: the weight of the past in the mean of the losses.
    stop : float
        The test ends where the smoothed loss is so many times its least, or not finite.

    Returns
    -------
    RangeTest

    Raises
    ------
    ValueError
        The range is empty, there are less than three steps, or there is no batch.
    """
    if not 0.0 < low < high or steps < 3:
        raise ArgumentError(f"Expected 0 < low < high and steps >= 3, got {low}, {high}, {steps}.")
    if isinstance(batches, tuple):
        batches = DataLoader(*batches, batch_size=100, shuffle=True, seed=0)
    with random.aside():
        model, optimizer = copy.deepcopy((model, optimizer))  # in one, so that they stay a pair
        model.train()
        base, mean = optimizer.lr, 0.0
        rates: list[float] = []
        losses: list[float] = []
        smoothed: list[float] = []
        for i, (x, t) in enumerate(islice(cycle(batches), steps)):
            rate = low * (high / low) ** (i / (steps - 1))
            optimizer.factor = rate / base
            found = loss(model(x), t)
            value = float(to_numpy(data_of(found)))  # to the host in each step: it may be the last
            mean = smoothing * mean + (1.0 - smoothing) * value
            now = mean / (1.0 - smoothing ** (i + 1))
            if not math.isfinite(value) or (smoothed and now > stop * min(smoothed)):
                break
            rates.append(rate)
            losses.append(value)
            smoothed.append(now)
            optimizer.zero_grad()
            found.backward()
            optimizer.step()
    if not rates:
        raise ArgumentError("Expected batches whose loss is finite at the lowest rate, got none.")
    return RangeTest(rates, losses, smoothed, _steepest(rates, smoothed))


def _steepest(rates: Sequence[float], smoothed: Sequence[float]) -> float:
    """Where the loss falls most; the first tenth, in which its mean is still young, left out."""
    inner = range(max(1, len(rates) // 10), len(rates) - 1)
    slopes = {i: smoothed[i + 1] - smoothed[i - 1] for i in inner}  # rates are a geometric series
    return rates[min(slopes, key=slopes.__getitem__)] if slopes else rates[0]


def lr_finder(result: RangeTest, path: str | os.PathLike[str] | None = None) -> "Figure":
    """The loss by learning rate, as `lr_range_test` found it, and where it falls most.

    Parameters
    ----------
    result : RangeTest
    path : str or path-like, optional
        Where to write the picture, as PNG, PDF or SVG by its suffix.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = figure_of(6.4, 4.0)
    axes = figure.subplots()
    axes.plot(result.rates, result.losses, color="#bbbbbb", linewidth=1.0, label="each batch")
    axes.plot(result.rates, result.smoothed, color=BLUE, linewidth=2.0, label="smoothed")
    at = result.smoothed[result.rates.index(result.steepest)]
    label = f"falls most at {result.steepest:.2g}"
    axes.plot([result.steepest], [at], marker="o", ms=8, ls="", color=ORANGE, label=label)
    axes.set_xscale("log")
    top = max(result.smoothed) + 0.3 * (max(result.smoothed) - min(result.smoothed))
    bottom = min(*result.smoothed, *result.losses)
    axes.set_ylim(bottom - 0.05 * (top - bottom), top + 0.05 * (top - bottom) or 1.0)
    plain(axes, "learning rate", "loss (mean over a batch)")
    axes.legend(frameon=False, loc="best")
    return finished(figure, path)


def learning_rate(
    schedule: Callable[[int], float],
    steps: int,
    lr: float = 1.0,
    path: str | os.PathLike[str] | None = None,
) -> "Figure":
    """The learning rate by step.

    Parameters
    ----------
    schedule : callable
        The number of a step, from 0 -> the factor of the rate: see `xpnet.schedules`.
    steps : int
    lr : float
        The optimizer's rate; 1 draws the factor.
    path : str or path-like, optional
        Where to write the picture, as PNG, PDF or SVG by its suffix.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = figure_of(6.4, 3.4)
    axes = figure.subplots()
    rates = [lr * schedule(step) for step in range(steps)]
    axes.plot(range(steps), rates, color=BLUE, linewidth=2.0, drawstyle="steps-post")
    axes.set_ylim(bottom=0.0)
    plain(axes, "step", "factor of the learning rate" if lr == 1.0 else "learning rate")
    return finished(figure, path)
