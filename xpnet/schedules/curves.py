"""Schedules as curves: functions from the number of a step to the factor for that step."""

import math
from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise
from typing import Protocol

from xpnet.errors import ArgumentError


class Schedule(Protocol):
    """A function of the number of a step, from 0, that returns the factor of the learning rates.

    Any such function is one: `Schedule` is for annotations.

    Examples
    --------
    >>> import xpnet
    >>> def inverse(step: int) -> float:
    ...     return 1.0 / (1.0 + step)
    >>> factor: xpnet.schedules.Schedule = xpnet.schedules.warmup(inverse, 2, start=0.0)
    >>> [factor(step) for step in range(5)]
    [0.0, 0.5, 1.0, 0.5, 0.3333]
    """

    def __call__(self, step: int, /) -> float: ...


def constant() -> Schedule:
    """1 in every step.

    Examples
    --------
    >>> import xpnet
    >>> xpnet.schedules.constant()(7)
    1.0
    """
    return lambda _: 1.0


def step_decay(step_size: int, gamma: float = 0.1) -> Schedule:
    """gamma^(n // step_size): multiplied by gamma every `step_size` steps. PyTorch's StepLR.

    Parameters
    ----------
    step_size : int
        1 or more.
    gamma : float, default 0.1
        0 or more.

    Returns
    -------
    function of the step

    Raises
    ------
    ArgumentError
        A number is out of range.

    Examples
    --------
    >>> import xpnet
    >>> factor = xpnet.schedules.step_decay(2, 0.5)
    >>> [factor(t) for t in range(6)]
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """
    at_least(1, step_size=step_size)
    _not_negative(gamma=gamma)
    return lambda n: _power(gamma, n // step_size)


def multi_step(milestones: Iterable[int], gamma: float = 0.1) -> Schedule:
    """gamma^k after k of the milestones, which are numbers of steps. PyTorch's MultiStepLR.

    Parameters
    ----------
    milestones : iterable of int
        In any order.
    gamma : float, default 0.1
        0 or more.

    Returns
    -------
    function of the step

    Raises
    ------
    ArgumentError
        A number is out of range.

    Examples
    --------
    >>> import xpnet
    >>> factor = xpnet.schedules.multi_step([2, 4], 0.5)
    >>> [factor(t) for t in range(6)]
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """
    milestones = sorted(milestones)
    _not_negative(gamma=gamma)
    return lambda n: _power(gamma, bisect_right(milestones, n))


def exponential(gamma: float) -> Schedule:
    """gamma^n. PyTorch's ExponentialLR.

    Parameters
    ----------
    gamma : float
        0 or more.

    Returns
    -------
    function of the step

    Raises
    ------
    ArgumentError
        A number is out of range.

    Examples
    --------
    >>> import xpnet
    >>> factor = xpnet.schedules.exponential(0.5)
    >>> [factor(t) for t in range(4)]
    [1.0, 0.5, 0.25, 0.125]
    """
    _not_negative(gamma=gamma)
    return lambda n: _power(gamma, n)


def linear(steps: int, start: float = 1.0, end: float = 0.0) -> Schedule:
    """From `start` to `end` linearly in `steps` steps, then constant. PyTorch's LinearLR.

    Parameters
    ----------
    steps : int
        1 or more.
    start : float, default 1.0
    end : float, default 0.0
        0 or more.

    Returns
    -------
    function of the step

    Raises
    ------
    ArgumentError
        A number is out of range.

    Examples
    --------
    >>> import xpnet
    >>> factor = xpnet.schedules.linear(10)
    >>> [factor(t) for t in (0, 5, 10)]
    [1.0, 0.5, 0.0]
    """
    at_least(1, steps=steps)
    _not_negative(start=start, end=end)
    return lambda n: start + (end - start) * (min(n, steps) / steps)


def cosine(steps: int, end: float = 0.0) -> Schedule:
    """From 1 to `end` along half a cosine in `steps` steps, then constant.

    end + (1 - end) (1 + cos(pi n / steps)) / 2 in step n. PyTorch's CosineAnnealingLR.

    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.

    Parameters
    ----------
    steps : int
        1 or more.
    end : float, default 0.0
        0 or more.

    Returns
    -------
    function of the step

    Raises
    ------
    ArgumentError
        A number is out of range.

    Examples
    --------
    >>> import xpnet
    >>> factor = xpnet.schedules.cosine(10)
    >>> [round(factor(t), 2) for t in (0, 5, 10)]
    [1.0, 0.5, 0.0]
    """
    at_least(1, steps=steps)
    _not_negative(end=end)
    return lambda n: _cosine_between(1.0, end, min(n, steps) / steps)


def cosine_restarts(steps: int, mult: int = 1, end: float = 0.0) -> Schedule:
    """`cosine`, repeatedly: PyTorch's CosineAnnealingWarmRestarts.

    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.

    Parameters
    ----------
    steps : int
        The length of the first period (T_0).
    mult : int
        Each period is `mult` times as long as the one before (T_mult).
    end : float
        The value that each period approaches; after its last step the factor is 1 again.

    Examples
    --------
    >>> import xpnet
    >>> factor = xpnet.schedules.cosine_restarts(4)
    >>> [round(factor(t), 2) for t in range(6)]
    [1.0, 0.85, 0.5, 0.15, 1.0, 0.85]
    """
    at_least(1, steps=steps, mult=mult)
    _not_negative(end=end)

    def schedule(n: int) -> float:
        length = steps
        if mult == 1:
            n %= length
        while n >= length:
            n -= length
            length *= mult
        return _cosine_between(1.0, end, n / length)

    return schedule


def one_cycle(
    steps: int,
    pct_start: float = 0.3,
    anneal_strategy: str = "cos",
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
) -> Schedule:
    """From 1 / div_factor up to 1, down to almost 0 at step steps - 1, then constant.

    PyTorch's OneCycleLR; the optimizer's lr is the `max_lr`. The momentum follows another curve, as
    in PyTorch: from 0.95 down to 0.85 where the learning rate is highest, and up again. Set it before
    step n (for Adam, in betas), for example in a callback's `on_step`, with n the trainer's `steps`:

        bump = one_cycle(steps, div_factor=math.inf, final_div_factor=1.0)  # 0, up to 1, and to 0
        optimizer.defaults["momentum"] = 0.95 - 0.1 * bump(n)

    Smith and Topin, "Super-convergence: very fast training of neural networks using large learning
    rates", 2018.

    Parameters
    ----------
    steps : int
        At least 2.
    pct_start : float
        The share of the steps in which the factor increases, from 0 to 1.
    anneal_strategy : {"cos", "linear"}
    div_factor, final_div_factor : float
        The factor starts at 1 / div_factor, and ends at 1 / (div_factor final_div_factor).
    three_phase : bool
        Decrease as fast as it increased, to the initial factor, and only then to the last one.

    Examples
    --------
    >>> import xpnet
    >>> factor = xpnet.schedules.one_cycle(10)
    >>> [round(factor(t), 3) for t in (0, 3, 6, 10)]
    [0.04, 0.95, 0.389, 0.0]
    """
    at_least(2, steps=steps)
    if not (div_factor > 0.0 and final_div_factor > 0.0):
        raise ArgumentError(
            "Expected div_factor and final_div_factor above 0, got "
            f"{div_factor} and {final_div_factor}."
        )
    if not 0.0 <= pct_start <= 1.0:
        raise ArgumentError(f"Expected pct_start from 0 to 1, got {pct_start}.")
    if anneal_strategy not in ("cos", "linear"):
        raise ArgumentError(f"Expected anneal_strategy 'cos' or 'linear', got {anneal_strategy!r}.")
    between = {"cos": _cosine_between, "linear": _linear_between}[anneal_strategy]
    first = 1.0 / div_factor
    last = first / final_div_factor  # not 1 / (a product), which might be 1 / 0
    top = pct_start * steps - 1  # the step with the factor 1
    points = [(0.0, first), (top, 1.0), (steps - 1.0, last)]  # (step, factor)
    if three_phase:
        points.insert(2, (2.0 * top, first))

    def schedule(n: int) -> float:
        if n >= steps - 1:
            return last
        for (begin, a), (end, b) in pairwise(points):
            if n <= end:
                share = 1.0
                if end > begin:
                    share = (n - begin) / (end - begin)
                return between(a, b, share)
        return last

    return schedule


def warmup(schedule: Schedule, steps: int, start: float | None = None) -> Schedule:
    """In the first `steps` steps a linear increase from `start`; then `schedule`, from its step 0.

    PyTorch's SequentialLR of a LinearLR and another schedule.

    Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017.

    Parameters
    ----------
    schedule : function of the step
    steps : int
        With 0 there is no warm-up.
    start : float, optional
        The share of schedule(0) to start with; by default 1 / (steps + 1), so that no step has a
        learning rate of 0.

    Examples
    --------
    >>> import xpnet
    >>> factor = xpnet.schedules.warmup(xpnet.schedules.constant(), 4)
    >>> [factor(t) for t in range(6)]
    [0.2, 0.4, 0.6000, 0.8, 1.0, 1.0]
    """
    at_least(0, steps=steps)
    first = 1.0 / (steps + 1) if start is None else start
    _not_negative(start=first)

    def warmed(n: int) -> float:
        if n < steps:
            return schedule(0) * _linear_between(first, 1.0, n / steps)
        return schedule(n - steps)

    return warmed


def per_epoch(schedule: Schedule, steps_per_epoch: int) -> Schedule:
    """A schedule whose steps are epochs: all steps of an epoch have one factor.

    Parameters
    ----------
    schedule : function of the epoch
    steps_per_epoch : int
        1 or more.

    Returns
    -------
    function of the step

    Raises
    ------
    ArgumentError
        A number is out of range.

    Examples
    --------
    >>> import xpnet
    >>> factor = xpnet.schedules.per_epoch(xpnet.schedules.exponential(0.5), 100)
    >>> [factor(t) for t in (0, 99, 100, 250)]
    [1.0, 1.0, 0.5, 0.25]
    """
    at_least(1, steps_per_epoch=steps_per_epoch)
    return lambda n: schedule(n // steps_per_epoch)


def _power(gamma: float, n: int) -> float:
    """gamma^n; infinite where Python would raise OverflowError."""
    try:
        return float(gamma**n)
    except OverflowError:
        return math.inf


def _linear_between(a: float, b: float, share: float) -> float:
    """The number at `share`, from 0 to 1, of the way from a to b, along a straight line."""
    return a + (b - a) * share


def _cosine_between(a: float, b: float, share: float) -> float:
    """The number at `share`, from 0 to 1, of the way from a to b, along half a cosine."""
    return b + (a - b) * (1.0 + math.cos(math.pi * share)) / 2.0


def at_least(least: int, **given: int) -> None:
    """Raise ArgumentError unless each of these is a whole number from `least`."""
    for name, value in given.items():
        if int(value) != value or value < least:
            raise ArgumentError(f"Expected {name} to be a whole number from {least}, got {value}.")


def _not_negative(**given: float) -> None:
    """Raise ArgumentError unless each of these is a finite number from 0."""
    for name, value in given.items():
        if not 0.0 <= value < math.inf:
            raise ArgumentError(f"Expected {name} to be a number from 0, got {value}.")
