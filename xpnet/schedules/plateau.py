"""Reduce the learning rate when the loss stops improving: a function of the losses so far."""

import math
from collections.abc import Sequence

from xpnet.errors import ArgumentError


def reduce_on_plateau(
    losses: Sequence[float],
    *,
    factor: float = 0.1,
    patience: int = 10,
    threshold: float = 1e-4,
    cooldown: int = 0,
    least: float = 0.0,
    mode: str = "min",
    threshold_mode: str = "rel",
) -> float:
    """The factor after these losses: 1, multiplied by `factor` each time they stopped improving.

    PyTorch's ReduceLROnPlateau, as a function of the history.

    Parameters
    ----------
    losses : sequence of float
        One per epoch, from the first. NaN counts as no improvement.
    factor : float
        From 0 to below 1.
    patience : int
        The number of epochs without improvement that are tolerated; the next one reduces the factor.
    threshold : float
        An improvement must exceed the best loss so far by this share of it; or, with threshold_mode
        "abs", by this amount.
    cooldown : int
        The number of epochs after a reduction that are not counted as without improvement.
    least : float
        The lowest factor.
    mode : {"min", "max"}
        "max" if larger is better, as for an accuracy.
    threshold_mode : {"rel", "abs"}

    Examples
    --------
    >>> import xpnet
    >>> from xpnet.schedules import reduce_on_plateau
    >>> reduce_on_plateau([1.0, 0.5, 0.5, 0.5, 0.5], factor=0.5, patience=1)
    0.5
    """
    if not 0.0 <= factor < 1.0:
        raise ArgumentError(f"Expected a factor from 0 to below 1, got {factor}.")
    if mode not in ("min", "max"):
        raise ArgumentError(f"Expected mode 'min' or 'max', got {mode!r}.")
    if threshold_mode not in ("rel", "abs"):
        raise ArgumentError(f"Expected threshold_mode 'rel' or 'abs', got {threshold_mode!r}.")
    sign = 1.0 if mode == "min" else -1.0  # sign * loss is smallest for the best loss
    result = 1.0
    best = math.inf
    epochs_without_improvement = 0
    epochs_to_wait = 0
    for loss in losses:
        x = sign * float(loss)
        limit = best
        if math.isfinite(best):
            # sign * best is the best loss itself
            limit -= threshold * sign * best if threshold_mode == "rel" else threshold
        if x < limit:
            best = x
            epochs_without_improvement = 0
        else:
            epochs_without_improvement += 1
        if epochs_to_wait > 0:
            epochs_to_wait -= 1
            epochs_without_improvement = 0
        if epochs_without_improvement > patience:
            result = max(result * factor, least)
            epochs_without_improvement = 0
            epochs_to_wait = cooldown
    return result
