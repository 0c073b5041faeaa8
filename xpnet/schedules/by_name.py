"""Schedules by name, for the command line: "cosine", "step:size=10,gamma=0.5"."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from xpnet._choices import choose
from xpnet._printable import counted
from xpnet.errors import ArgumentError
from xpnet.schedules.curves import (
    Schedule,
    at_least,
    constant,
    cosine,
    cosine_restarts,
    exponential,
    linear,
    multi_step,
    one_cycle,
    per_epoch,
    step_decay,
    warmup,
)


def schedule(text: str, steps: int, epochs: int = 1) -> Schedule:
    """The schedule of a whole training, by name, optionally with options: "cosine:warmup=2,end=0.1".

    The names, each with its options and their defaults:

        constant
        linear              end=0
        cosine              end=0
        cosine-restarts     size=1 (epochs of the first period), mult=2, end=0
        one-cycle           pct_start=0.3, anneal_strategy=cos, div_factor=25, final_div_factor=1e4
        step                size (epochs; a third of the training), gamma=0.1
        multi-step          milestones=30/60 (epochs; a half and three quarters), gamma=0.1
        exponential         gamma=0.95 (per epoch)

    Each also has warmup=0: the number of epochs, which may be a fraction, in which the learning rate
    increases linearly; the schedule is for the rest.

    Parameters
    ----------
    text : str
        A name, or a name, a colon and options separated by commas.
    steps : int
        The number of steps of the whole training.
    epochs : int
        The number of epochs of the whole training.

    Returns
    -------
    function of the step

    Raises
    ------
    ArgumentError
        A name or an option is unknown; the message lists those that exist. Or the training is too
        short: `one-cycle` needs two steps, and a warm-up must be shorter than the training.

    Examples
    --------
    >>> import xpnet
    >>> factor = xpnet.schedules.schedule("linear", 10, 1)
    >>> [factor(t) for t in (0, 5)]
    [1.0, 0.5]
    """
    at_least(1, steps=steps, epochs=epochs)
    name, _, rest = text.strip().partition(":")
    build = choose("schedule", name, BY_NAME)
    try:
        options = _options(rest, {**(build.__kwdefaults__ or {}), "warmup": 0.0}, name)
        before = _warmup_steps(options.pop("warmup", 0.0), steps, epochs)
        curve = build(_Training(steps - before, max(steps // epochs, 1), epochs), **options)
    except ValueError as error:
        message = str(error)
        raise ArgumentError(f"Schedule {text!r}: {message[0].lower()}{message[1:]}") from None
    if before:
        return warmup(curve, before)
    return curve


def _warmup_steps(warmup: float, steps: int, epochs: int) -> int:
    """The number of steps of a warm-up, given in epochs; it must leave a step for the schedule."""
    if 0.0 <= warmup < epochs:
        before = round(warmup * steps / epochs)
        if before < steps:
            return before
    length = counted(epochs, "epoch")
    raise ArgumentError(f"Expected a warm-up shorter than {length}, the training, got {warmup:g}.")


def _options(text: str, known: dict[str, Any], name: str) -> dict[str, Any]:
    """The options in a string such as "end=0.1,warmup=2", each of the type of its default."""
    options = {}
    for item in filter(None, text.split(",")):
        key, _, value = (part.strip() for part in item.partition("="))
        if key not in known:
            raise ArgumentError(f"Unknown option {key!r}. {name} has: {', '.join(known)}.")
        options[key] = _read(key, value, type(known[key]))
    return options


class _Training(NamedTuple):
    """The training for which a schedule is created: its length, and the steps per epoch."""

    steps: int
    per_epoch: int
    epochs: int


def _constant(run: _Training) -> Schedule:
    return constant()


def _linear(run: _Training, *, end: float = 0.0) -> Schedule:
    return linear(run.steps, end=end)


def _cosine(run: _Training, *, end: float = 0.0) -> Schedule:
    return cosine(run.steps, end)


def _restarts(run: _Training, *, size: int = 1, mult: int = 2, end: float = 0.0) -> Schedule:
    return cosine_restarts(size * run.per_epoch, mult, end)


def _one_cycle(
    run: _Training,
    *,
    pct_start: float = 0.3,
    anneal_strategy: str = "cos",
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Schedule:
    if run.steps < 2:
        raise ArgumentError(
            "Expected a training of at least 2 steps, one up and one down, got 1. Take more epochs, or "
            "smaller batches."
        )
    return one_cycle(run.steps, pct_start, anneal_strategy, div_factor, final_div_factor)


def _step(run: _Training, *, size: int = 0, gamma: float = 0.1) -> Schedule:
    return per_epoch(step_decay(size or math.ceil(run.epochs / 3), gamma), run.per_epoch)


def _multi_step(
    run: _Training, *, milestones: tuple[int, ...] = (), gamma: float = 0.1
) -> Schedule:
    if not milestones:
        milestones = (math.ceil(run.epochs / 2), math.ceil(run.epochs * 3 / 4))
    return per_epoch(multi_step(milestones, gamma), run.per_epoch)


def _exponential(run: _Training, *, gamma: float = 0.95) -> Schedule:
    return per_epoch(exponential(gamma), run.per_epoch)


BY_NAME: dict[str, Callable[..., Schedule]] = {
    "constant": _constant,
    "linear": _linear,
    "cosine": _cosine,
    "cosine-restarts": _restarts,
    "one-cycle": _one_cycle,
    "step": _step,
    "multi-step": _multi_step,
    "exponential": _exponential,
}


def _read(key: str, value: str, kind: type) -> Any:
    """An option's value, converted to the type of its default."""
    expected = {int: "a whole number", tuple: "whole numbers as in 30/60"}.get(kind, "a number")
    message = f"Expected {key} to be {expected}, got {value!r}."
    try:
        if kind is tuple:
            return tuple(map(int, value.split("/")))
        x = kind(value)
    except ValueError:
        raise ArgumentError(message) from None
    if isinstance(x, float) and not math.isfinite(x):
        raise ArgumentError(message)
    return x
