"""Plateaus: to go slower where nothing is won any more, from the losses so far."""

import math
from collections.abc import Sequence

from xpnet.errors import ArgumentError


def reduce_on_plateau(
    losses: Sequence[float],
    factor: float = 0.1,
    patience: int = 10,
    threshold: float = 1e-4,
    cooldown: int = 0,
    least: float = 0.0,
    mode: str = "min",
    threshold_mode: str = "rel",
) -> float:
    """The factor after these losses: less by one ratio each time they got no better for long.

    PyTorch's ReduceLROnPlateau, as a function of the history.

    Parameters
    ----------
    losses : sequence of float
        One an epoch, from the first. NaN counts as no better.
    factor : float
        The ratio, from 0 to below 1.
    patience : int
        How many epochs without progress are borne; the next one makes the rate fall.
    threshold : float
        Progress is to be better than the best so far by this share of it; or, with threshold_mode
        "abs", by this much.
    cooldown : int
        For how many epochs after a fall nothing is counted.
    least : float
        The factor falls no further.
    mode : {"min", "max"}
        "max" where larger is better, as of an accuracy.
    threshold_mode : {"rel", "abs"}
    """
    if not 0.0 <= factor < 1.0:
        raise ArgumentError(f"Expected a factor from 0 to below 1, got {factor}.")
    for name, value, of in (
        ("mode", mode, ("min", "max")),
        ("threshold_mode", threshold_mode, ("rel", "abs")),
    ):
        if value not in of:
            raise ArgumentError(f"Expected {name} {of[0]!r} or {of[1]!r}, got {value!r}.")
    sign = 1.0 if mode == "min" else -1.0
    now, best, bad, wait = 1.0, math.inf, 0, 0
    for loss in losses:
        x = sign * float(loss)
        margin = threshold * sign * best if threshold_mode == "rel" else threshold
        if x < (best if math.isinf(best) else best - margin):
            best, bad = x, 0
        else:
            bad += 1
        if wait > 0:
            wait, bad = wait - 1, 0
        if bad > patience:
            now, bad, wait = max(now * factor, least), 0, cooldown
    return now
