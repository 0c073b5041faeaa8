"""Learning rates: the range test, and schedules."""

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from xpnet import random
from xpnet._typing import Array, PathLike
from xpnet.autodiff.variable import Variable, data_of
from xpnet.backend import to_numpy
from xpnet.data.loader import DataLoader
from xpnet.errors import ArgumentError
from xpnet.layers import Layer
from xpnet.plots._style import BLUE, ORANGE, figure_of, finished, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from xpnet.optimizers import Optimizer


class RangeTest(NamedTuple):
    """The result of `lr_range_test`.

    Attributes
    ----------
    rates, losses : list of float
        The rate of each step, and the loss before its update.
    smoothed : list of float
        The exponential moving average of the losses, with bias correction.
    steepest : float
        The rate at which the smoothed loss falls most per factor of the rate: a good choice for a
        training, or for the maximum of a schedule.

    Examples
    --------
    See `lr_range_test`, which returns one.

    >>> from xpnet import plots
    >>> found = plots.RangeTest([0.01, 0.1, 1.0], [2.0, 1.5, 9.0], [2.0, 1.7, 5.0], steepest=0.1)
    >>> dict(zip(found.rates, found.losses, strict=True))
    {0.01: 2.0, 0.1: 1.5, 1.0: 9.0}
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    steepest: float


def lr_range_test(
    model: Layer,
    loss: Callable[[Any, Any], Variable],
    optimizer: "Optimizer",
    batches: tuple[Array, Array] | Iterable[tuple[Array, Array]],
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.9,
    stop: float = 4.0,
) -> RangeTest:
    """Train a copy of the model with rates that grow from `low` to `high`, until the loss explodes.

    Source: L. N. Smith, Cyclical learning rates for training neural networks, WACV 2017, section
    3.3; but the rates are a geometric series.

    Parameters
    ----------
    model : Layer
    loss : callable
        From (y, t) to the mean loss of a batch.
    optimizer : Optimizer
        The optimizer of the model's parameters. Copies of it and of the model are trained; they
        themselves, and the state of xpnet's random numbers, do not change.
    batches : (x, t), DataLoader, or iterable of batches (x, t)
        As for `Trainer.fit`: a tuple holds all samples, which are divided into batches of 100. The
        batches of an iterable are on the model's device; it is repeated when it ends.
    low, high : float
        The first and the last rate. The rates of parameter groups keep their ratio to it.
    steps : int
        The maximum number of steps.
    smoothing : float
        The weight of the past in the moving average of the losses: at least 0, which does not smooth,
        and below 1.
    stop : float
        The test ends when the smoothed loss exceeds its minimum by this factor, or is not finite.

    Returns
    -------
    RangeTest

    Raises
    ------
    ValueError
        The range is empty, there are fewer than three steps, or no batch has a finite loss.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F, plots
    >>> x = F.asarray([[1.0], [2.0], [3.0]])
    >>> model = xpnet.Affine(1, 1, rng=0)
    >>> optimizer = xpnet.SGD(model.parameters(), lr=0.01)
    >>> found = plots.lr_range_test(model, F.mean_squared_error, optimizer, (x, 2.0 * x))
    >>> optimizer.lr = found.steepest
    >>> print(f"{found.steepest:.2g}, from {found.rates[0]:.2g} to {found.rates[-1]:.2g}")
    0.015, from 1e-06 to 1.2
    """
    if not 0.0 < low < high or steps < 3:
        raise ArgumentError(f"Expected 0 < low < high and steps >= 3, got {low}, {high}, {steps}.")
    if isinstance(batches, tuple):
        batches = DataLoader(*batches, batch_size=100, shuffle=True, seed=0)
    with random.aside():
        # One copy of both, so that the new optimizer refers to the parameters of the new model.
        model, optimizer = copy.deepcopy((model, optimizer))
        model.train()
        base = optimizer.lr
        mean = 0.0
        rates: list[float] = []
        losses: list[float] = []
        smoothed: list[float] = []
        for i, (x, t) in enumerate(islice(cycle(batches), steps)):
            rate = low * (high / low) ** (i / (steps - 1))
            optimizer.factor = rate / base
            found = loss(model(x), t)
            value = float(to_numpy(data_of(found)))
            mean = smoothing * mean + (1.0 - smoothing) * value
            # Without this correction, the mean would still be near its initial value, 0.
            corrected = mean / (1.0 - smoothing ** (i + 1))
            if not math.isfinite(value) or (smoothed and corrected > stop * min(smoothed)):
                break
            rates.append(rate)
            losses.append(value)
            smoothed.append(corrected)
            optimizer.zero_grad()
            found.backward()
            optimizer.step()
    if not rates:
        raise ArgumentError("Expected batches whose loss is finite at the lowest rate, got none.")
    return RangeTest(rates, losses, smoothed, _steepest(rates, smoothed))


def _steepest(rates: Sequence[float], smoothed: Sequence[float]) -> float:
    """The rate where the loss falls most, without the first tenth, whose average is still noisy."""
    inner = range(max(1, len(rates) // 10), len(rates) - 1)
    # The rates are a geometric series, so differences are slopes with respect to the logarithm of the rate.
    slopes = {i: smoothed[i + 1] - smoothed[i - 1] for i in inner}
    if not slopes:
        return rates[0]
    return rates[min(slopes, key=slopes.__getitem__)]


def lr_finder(result: RangeTest, path: PathLike | None = None) -> "Figure":
    """The loss by learning rate, from `lr_range_test`, with the rate where it falls most.

    Parameters
    ----------
    result : RangeTest
    path : str or path-like, optional
        Where to write the plot, as PNG, PDF or SVG by its suffix.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed.

    Examples
    --------
    >>> from xpnet import plots
    >>> found = plots.RangeTest([0.01, 0.1, 1.0], [2.0, 1.5, 9.0], [2.0, 1.7, 5.0], steepest=0.1)
    >>> (axes,) = plots.lr_finder(found).axes
    >>> [text.get_text() for text in axes.get_legend().get_texts()]
    ['each batch', 'smoothed', 'falls most at 0.1']
    """
    figure = figure_of(6.4, 4.0)
    axes = figure.subplots()
    axes.plot(result.rates, result.losses, color="#bbbbbb", linewidth=1.0, label="each batch")
    axes.plot(result.rates, result.smoothed, color=BLUE, linewidth=2.0, label="smoothed")
    loss = result.smoothed[result.rates.index(result.steepest)]
    label = f"falls most at {result.steepest:.2g}"
    axes.plot([result.steepest], [loss], marker="o", ms=8, ls="", color=ORANGE, label=label)
    axes.set_xscale("log")
    # The smoothed curve decides how high the plot is: a single batch may have a far larger loss.
    top = max(result.smoothed) + 0.3 * (max(result.smoothed) - min(result.smoothed))
    bottom = min(*result.smoothed, *result.losses)
    margin = 0.05 * (top - bottom)
    axes.set_ylim(bottom - margin, top + margin or 1.0)  # 1 if all losses are 0
    plain(axes, "learning rate", "loss (mean over a batch)")
    axes.legend(frameon=False, loc="best")
    return finished(figure, path)


def learning_rate(
    schedule: Callable[[int], float],
    steps: int,
    lr: float = 1.0,
    path: PathLike | None = None,
) -> "Figure":
    """The learning rate of a schedule, by step.

    Parameters
    ----------
    schedule : callable
        From the number of a step, counted from 0, to the factor of the rate; see `xpnet.schedules`.
    steps : int
    lr : float
        The optimizer's rate; with 1 the factor is drawn.
    path : str or path-like, optional
        Where to write the plot, as PNG, PDF or SVG by its suffix.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed.

    Examples
    --------
    >>> from xpnet import plots, schedules
    >>> (axes,) = plots.learning_rate(schedules.linear(4), steps=5, lr=0.1).axes
    >>> axes.lines[0].get_ydata().tolist()
    [0.1, 0.075, 0.05, 0.025, 0.0]
    """
    figure = figure_of(6.4, 3.4)
    axes = figure.subplots()
    rates = [lr * schedule(step) for step in range(steps)]
    axes.plot(range(steps), rates, color=BLUE, linewidth=2.0, drawstyle="steps-post")
    axes.set_ylim(bottom=0.0)
    plain(axes, "step", "factor of the learning rate" if lr == 1.0 else "learning rate")
    return finished(figure, path)
